//! From `tracing` to the log of the engine that is meant.
//!
//! One subscriber serves the whole process. A thread that entered a log writes to that one; any other writes to the only
//! log that is open. So a process with one engine never has to think of it; where there are several (tests), threads
//! that did not enter one write nothing, because their engine cannot be told.

use super::{EngineLog, Kind, Shared};
use std::cell::RefCell;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Once, PoisonError, RwLock, Weak};
use std::task::{Context, Poll};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};

static OPEN: RwLock<Vec<Weak<Shared>>> = RwLock::new(Vec::new());

/// The highest level of the open logs, so that what none of them writes costs next to nothing.
static HIGHEST: AtomicU8 = AtomicU8::new(0);

thread_local! {
    static ENTERED: RefCell<Vec<EngineLog>> = const { RefCell::new(Vec::new()) };
}

/// Ends with `enter`'s scope. Stays on its thread.
#[derive(Debug)]
pub struct Entered(std::marker::PhantomData<*const ()>);

impl Drop for Entered {
    fn drop(&mut self) {
        // The thread's storage may be gone already when the thread ends.
        let _ = ENTERED.try_with(|logs| logs.borrow_mut().pop());
    }
}

pub(super) fn enter(log: &EngineLog) -> Entered {
    ENTERED.with(|logs| logs.borrow_mut().push(log.clone()));
    Entered(std::marker::PhantomData)
}

/// The log that events of this thread go to.
pub fn current() -> Option<EngineLog> {
    let entered = ENTERED.try_with(|logs| logs.borrow().last().cloned()).ok().flatten();
    entered.or_else(|| {
        let logs = OPEN.read().unwrap_or_else(PoisonError::into_inner);
        let mut open = logs.iter().filter_map(Weak::upgrade);
        let only = open.next()?;
        open.next().is_none().then_some(EngineLog(only))
    })
}

/// Makes a new thread's work write to the log of the thread that starts it.
pub fn inherit<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let log = current();
    move || {
        let _entered = log.as_ref().map(EngineLog::enter);
        work()
    }
}

/// The same for a task: whichever threads it runs on.
pub fn inherit_task<F: Future>(task: F) -> impl Future<Output = F::Output> {
    Logged { log: current(), task: Box::pin(task) }
}

struct Logged<F> {
    log: Option<EngineLog>,
    task: Pin<Box<F>>,
}

impl<F: Future> Future for Logged<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.log.clone().map(|log| log.enter());
        self.task.as_mut().poll(context)
    }
}

/// Makes an open log known, and the subscriber on first use.
pub(super) fn register(shared: Weak<Shared>) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // A program that brought its own subscriber keeps it; the log then has only what is written to it directly.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Route));
    });
    OPEN.write().unwrap_or_else(PoisonError::into_inner).push(shared);
    levels_changed();
}

pub(super) fn levels_changed() {
    let mut logs = OPEN.write().unwrap_or_else(PoisonError::into_inner);
    logs.retain(|log| log.strong_count() > 0);
    let highest = logs.iter().filter_map(Weak::upgrade).map(|log| log.level.load(Relaxed)).max();
    HIGHEST.store(highest.unwrap_or(0), Relaxed);
}

struct Route;

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
}

fn kind(level: Level) -> Kind {
    match level {
        Level::ERROR | Level::WARN => Kind::Alert,
        Level::INFO => Kind::Information,
        _ => Kind::Debug,
    }
}

impl<S: Subscriber> Layer<S> for Route {
    /// Asked once for each place in the code: the level changes while it runs, so it has to be asked each time.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_ours(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: LayerContext<'_, S>) -> bool {
        kind(*metadata.level()).level() <= HIGHEST.load(Relaxed) && is_ours(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let Some(log) = current() else { return };
        let mut text = Text::default();
        event.record(&mut text);
        log.write(kind(*event.metadata().level()), text.id, &text.text);
    }
}

/// The message, then any other field as ` name=value`; the field `id` is column 7.
#[derive(Default)]
struct Text {
    text: String,
    id: u32,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing into memory does not fail, and a value that cannot be shown is left out.
        let _ = match field.name() {
            "message" => {
                let others = std::mem::take(&mut self.text);
                write!(self.text, "{value:?}{others}")
            }
            name => write!(self.text, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match (field.name(), u32::try_from(value)) {
            ("id", Ok(id)) => self.id = id,
            _ => self.record_debug(field, &value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.record_u64(field, value),
            Err(_) => self.record_debug(field, &value),
        }
    }
}
