//! The engine log: `dtlogN.dtl`, eight columns a line (reference-guide.md 2.1 and 2.2).
//!
//! Everyone writes with `tracing`: `error!` and `warn!` are alerts (type 1), `info!` information (type 2), `debug!` and
//! `trace!` appear at `LogMessageLevel` 3 only. What has a number is an [event](event), told with `event!`. Names of any bytes go through
//! `escape` first; what still would break a line is escaped here. A log that cannot be written never stops the engine.

mod escape;
pub mod event;
mod file;
mod line;
mod read;
mod route;
mod syslog;
#[cfg(test)]
pub(crate) mod testing;

pub use escape::{escape, one_line};
pub(crate) use event::event;
pub use event::{Event, Severity, Told, tell};
pub use line::Kind;
pub use read::LogReader;
pub use route::{Entered, current, inherit, inherit_task};
use syslog::SystemLog;

use super::home::make_private;
use super::settings::LogSettings;
use crate::api::ApiError;
use file::{Files, Shape};
use jiff::Zoned;
use line::Message;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// The log of one engine. Clones are the same log; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct EngineLog(Arc<Shared>);

struct Shared {
    level: AtomicU8,
    dropped: AtomicU64,
    writer: Mutex<Writer>,
    /// Who else hears events.
    listeners: RwLock<Vec<Listener>>,
    system: OnceLock<Arc<SystemLog>>,
}

/// Hears each event, on the thread that tells it: it must not wait for anything.
pub type Listener = Box<dyn Fn(&Told<'_>) + Send + Sync>;

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EngineLog({:?})", self.writer)
    }
}

#[derive(Debug)]
struct Writer {
    files: Files,
    sequence: u64,
    /// Lines dropped since the last one that was written.
    missing: u64,
}

/// Reads the log that these settings name, whoever writes it.
pub fn reader(settings: &LogSettings) -> LogReader {
    LogReader::of(shape(settings))
}

fn shape(settings: &LogSettings) -> Shape {
    Shape {
        directory: settings.directory.clone(),
        base: settings.base.clone(),
        max_size: settings.max_size,
        max_files: settings.max_files,
    }
}

impl EngineLog {
    /// Makes the directory if it is missing; a file is made with the first line. From now on `tracing` feeds it.
    pub fn open(settings: &LogSettings) -> Result<Self, ApiError> {
        make_private(&settings.directory)?;
        let writer = Writer { files: Files::new(shape(settings)), sequence: 0, missing: 0 };
        let log = Self(Arc::new(Shared {
            level: AtomicU8::new(settings.level),
            dropped: AtomicU64::new(0),
            writer: Mutex::new(writer),
            listeners: RwLock::default(),
            system: OnceLock::new(),
        }));
        route::register(Arc::downgrade(&log.0));
        Ok(log)
    }

    /// Takes changed settings over, from the next line on.
    pub fn configure(&self, settings: &LogSettings) {
        self.0.level.store(settings.level, Relaxed);
        self.writer().files.configure(shape(settings));
        route::levels_changed();
    }

    /// Events of this thread go to this log until the guard is dropped.
    pub fn enter(&self) -> Entered {
        route::enter(self)
    }

    /// Writes one line, if the level lets it through. `id` 0: the message has none.
    pub fn write(&self, kind: Kind, id: u32, text: &str) {
        if kind.level() > self.0.level.load(Relaxed) {
            return;
        }
        let thread = thread_id();
        // Taken inside, so that times and sequence numbers rise together.
        let mut writer = self.writer();
        let now = Zoned::now();
        if writer.missing > 0 {
            let text = format!("{} messages are missing here: the log could not be written", writer.missing);
            let message = Message { kind: Kind::Alert, id: 0, text: &text };
            if writer.put(&message, &now, thread) {
                writer.missing = 0;
            }
        }
        if writer.missing > 0 || !writer.put(&Message { kind, id, text }, &now, thread) {
            writer.missing += 1;
            self.0.dropped.fetch_add(1, Relaxed);
        }
    }

    /// From now on this one hears events, too.
    pub fn listen(&self, listener: Listener) {
        self.0.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// From now on events go to the system's log, at this socket. That they do not reach it is told here.
    pub fn send_to(&self, socket: &Path) {
        let (log, path) = (Arc::downgrade(&self.0), escape(socket.as_os_str().as_encoded_bytes()));
        let complaint = move |why: &str| {
            if let Some(log) = log.upgrade() {
                let text = format!("Events do not reach the system's log {path}: {why}");
                EngineLog(log).write(Kind::Alert, 0, &text);
            }
        };
        match SystemLog::new(socket.to_owned(), Box::new(complaint)) {
            Ok(system) => {
                let system = Arc::new(system);
                let sends = Arc::clone(&system);
                self.listen(Box::new(move |told| sends.send(told)));
                // One log has one.
                let _ = self.0.system.set(system);
            }
            Err(error) => tracing::warn!("Events do not go to the system's log: {error}"),
        }
    }

    /// Waits until events have reached the system's log, a while.
    pub fn flush(&self) {
        if let Some(system) = self.0.system.get() {
            system.flush();
        }
    }

    /// Reads what was written.
    pub fn reader(&self) -> LogReader {
        LogReader::of(self.writer().files.shape().clone())
    }

    /// Lines that could not be written since the engine was opened.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// The file that was written last; none before the first line.
    pub fn file(&self) -> Option<PathBuf> {
        self.writer().files.path()
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// False: the line is lost. Its number is used up then, so that a gap shows.
    fn put(&mut self, message: &Message<'_>, now: &Zoned, thread: i32) -> bool {
        self.sequence += 1;
        self.files.write(&message.line(now, thread, self.sequence)).is_ok()
    }
}

fn thread_id() -> i32 {
    thread_local! {
        static ID: i32 = nix::unistd::gettid().as_raw();
    }
    ID.try_with(|id| *id).unwrap_or(0)
}

#[cfg(test)]
mod tests;
