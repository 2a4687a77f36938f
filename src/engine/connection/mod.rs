//! A connection: a task with an inbox that owns its state (architecture.md 7). Others hold a [`Connection`]: they send
//! to the inbox, and read snapshots that the task publishes; a running job's counters are read where they stand.

mod barrier;
mod replicate;
pub mod runner;
pub mod state;
pub mod status;
mod task;
mod tasks;
pub(super) mod telling;
pub mod verifying;
pub mod wait;

pub use replicate::{Automatic, Begun, Capture};
pub use state::{DataState, Ended, Stage, State, Step, Work};
pub(super) use task::{DRAIN, ip_words};

use super::clock::Clock;
use super::connect::far::Far;
use super::connect::route::{Route, To};
use super::job::{JobKind, JobPlan, JobShared};
use super::log::inherit_task;
use super::settled::Settled;
use super::transmission::{Traffic, Transmission};
use super::verifications::Verifying;
use crate::api::{ApiError, Code, ConnectionId, MapSpec, SetSize, Watch};
use runner::JobRunner;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use task::Message;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

/// How often a call that waits asks whether its caller still wants it, and tells progress.
pub(in crate::engine) const BEAT: Duration = Duration::from_millis(100);

/// What does not change in a connection's life.
#[derive(Debug)]
pub struct Info {
    pub id: ConnectionId,
    pub repset: String,
    /// The target machine's name as typed, or `TDU`.
    pub target: String,
    /// `<ip>:<port>`, or `TDU`.
    pub target_address: String,
    /// This machine's name.
    pub source: String,
    /// Milliseconds since 1970.
    pub established_ms: i64,
    /// Where the log is, for messages.
    pub log_dir: String,
    /// As typed: a later mirror finds its way with it again.
    pub map: MapSpec,
    /// None: the target is on this machine.
    pub far: Option<Arc<Far>>,
    /// CONNECT asked for orphans to be removed: a mirror that begins by itself after a restart of the service does so.
    pub orphans: bool,
    /// It leads to the null target.
    pub null: bool,
    /// Where it is kept for the next start of the service, once it is.
    pub row: OnceLock<i64>,
    /// Up to when the target is known to have what changed.
    pub settled: Arc<Settled>,
    /// How its target is sent to; shared by all connections to it.
    pub transmission: Arc<Transmission>,
    /// What compression has spared it.
    pub traffic: Arc<Traffic>,
    /// Its verification at set times (VER-10).
    pub verifying: Verifying,
    /// The null target's statistics (JOB-15).
    pub statistics: Option<super::connect::tdu::Throughput>,
}

impl Info {
    /// Where it leads.
    pub fn to(&self) -> To<'_> {
        match &self.far {
            Some(far) => To::Far(far),
            None if self.null => To::Null,
            None => To::Here,
        }
    }

    /// The connection has ended for good: its target need not keep the place any more. Blocks for a few seconds at most.
    pub fn give_grant_back(&self) {
        let Some(far) = &self.far else { return };
        if let Err(error) = far.withdraw() {
            let Info { id, target, .. } = self;
            tracing::warn!("{target} could not be told that connection {id} has ended: {error}");
        }
    }
}

/// A snapshot.
#[derive(Clone, Debug)]
pub struct View {
    pub state: State,
    /// Rules and paths as the last job took them.
    pub route: Arc<Route>,
}

/// Hears what a calculation before a mirror found (RST-14).
pub type Counted = Arc<dyn Fn(&str, &SetSize) + Send + Sync>;

/// What a connection's task works with.
pub struct Means {
    pub runner: Arc<dyn JobRunner>,
    pub clock: Arc<dyn Clock>,
    pub counted: Counted,
    /// What the settings say, each time it is asked.
    pub automatic: Arc<dyn Fn() -> Automatic + Send + Sync>,
}

/// A handle on a connection.
#[derive(Clone, Debug)]
pub struct Connection {
    pub info: Arc<Info>,
    inbox: mpsc::UnboundedSender<Message>,
    pub(super) view: watch::Receiver<View>,
    pub(super) handle: Handle,
}

/// A job to begin.
pub struct Order {
    pub kind: JobKind,
    pub plan: JobPlan,
    pub route: Arc<Route>,
    /// Count before the first file is sent (MIR-09).
    pub calculate: bool,
    pub shared: Arc<JobShared>,
}

impl Connection {
    /// Makes the connection's task.
    pub fn open(info: Info, route: Arc<Route>, means: Means, handle: &Handle) -> Connection {
        let info = Arc::new(info);
        let (inbox, messages) = mpsc::unbounded_channel();
        let view = View { state: State::new(info.id), route };
        let (publish, watched) = watch::channel(view.clone());
        let task = task::Task::new(Arc::clone(&info), view, publish, messages, inbox.clone(), means);
        handle.spawn(inherit_task(task.run()));
        Connection { info, inbox, view: watched, handle: handle.clone() }
    }

    /// True when it leads to the null target (JOB-15).
    pub fn is_null(&self) -> bool {
        matches!(self.info.to(), To::Null)
    }

    /// True once its task has ended: it was closed by a caller that did not wait for the end.
    pub fn is_gone(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Has the target something to apply that was sent to it, as far as it has told?
    pub(in crate::engine) fn has_under_way(&self) -> bool {
        status::has_under_way(&self.info, &self.view().state)
    }

    /// Is all that replication has sent applied, as far as the target has told?
    pub(in crate::engine) fn is_all_applied(&self) -> bool {
        match self.view().state.stage {
            Stage::On(replication) => replication.is_all_applied(),
            Stage::Off | Stage::Starting | Stage::Stopping(_) => true,
        }
    }

    /// The newest snapshot.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Begins a job; returns once it runs.
    pub fn start(&self, order: Order) -> Result<(), ApiError> {
        self.ask(|answer| Message::Start { order: Box::new(order), answer }, &())?
    }

    /// Stops, pauses or resumes. A stop returns once the job has ended, so that another can begin.
    pub fn steer(&self, work: Work, step: Step, watch: &dyn Watch) -> Result<(), ApiError> {
        self.ask(|answer| Message::Steer { work, step, answer }, watch)?
    }

    /// Says why it is not yet what it was before its service was started again; it is tried until it is. None: it is not tried any more.
    pub fn resumes(&self, why: Option<String>) {
        // One that has ended needs no word.
        let _ = self.inbox.send(Message::Resumes(why));
    }

    /// Ends the connection: a running job is stopped; what it has sent is applied first, and what replication has queued
    /// is sent for at most `drain`, unless `discard` says so.
    pub fn close(&self, discard: bool, drain: Duration, watch: &dyn Watch) -> Result<(), ApiError> {
        self.ask(|answer| Message::Close { discard, drain, answer }, watch)
    }

    /// Sends a message and waits for its answer, or until the caller gives up.
    fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
        watch: &dyn Watch,
    ) -> Result<T, ApiError> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(message(answer)).map_err(|_| self.gone())?;
        self.answer(answered, watch)
    }

    /// Waits for an answer, or until the caller gives up.
    fn answer<T>(&self, mut answered: oneshot::Receiver<T>, watch: &dyn Watch) -> Result<T, ApiError> {
        loop {
            let waited = self.handle.block_on(async { tokio::time::timeout(BEAT, &mut answered).await });
            match waited {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(_)) => return Err(self.gone()),
                Err(_) if watch.cancelled() => return Err(interrupted()),
                Err(_) => {}
            }
        }
    }

    fn gone(&self) -> ApiError {
        no_connection(self.info.id)
    }
}

/// -107.
pub fn no_connection(id: ConnectionId) -> ApiError {
    ApiError::new(Code::ConnectionDoesNotExist, format!("there is no connection {id}"))
        .help("STATUS lists the connections")
}

/// The caller wants no answer any more. What it asked for goes on.
pub(in crate::engine) fn interrupted() -> ApiError {
    ApiError::new(Code::UnknownError, "interrupted; what was started goes on")
}
