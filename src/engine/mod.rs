//! The replication engine of one home: sets, connections, mirror, verify.
//!
//! An open engine holds the home's lock. Calls come from any thread and block; connections are tasks of a small runtime
//! that starts with the first of them.

mod calls;
pub mod clock;
pub mod connect;
pub mod connection;
mod explain;
pub mod grants;
pub mod home;
pub mod job;
mod kept;
mod lines;
pub mod link;
pub mod log;
mod machine_key;
pub mod orphans;
mod own_file;
pub mod queue;
mod random;
pub mod rehearsal;
pub mod replication;
pub mod repset;
mod scheduler;
pub mod settings;
pub mod settled;
pub mod source;
pub mod stats;
pub mod store;
mod survival;
mod table;
pub mod target;
pub mod tasks;
#[cfg(test)]
mod tests;
pub mod transmission;
pub mod users;
mod verifications;

use crate::api::ApiError;
use crate::wire::tls::MachineKey;
use clock::{Clock, SystemClock};
use connect::address;
use connection::runner::{JobRunner, Source};
use home::{Home, HomeLock};
use log::event;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use table::Table;

/// The engine of one home.
pub struct Engine {
    home: Home,
    /// Given back when the engine is closed.
    lock: Mutex<Option<HomeLock>>,
    kept: kept::Kept,
    /// This machine's name.
    source: String,
    runner: Arc<dyn JobRunner>,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    /// Held while a way is looked for and taken.
    connecting: Mutex<()>,
    /// Of a service: connections that are to go on when it is started again.
    survivors: OnceLock<survival::Keeper>,
    /// Known once it was needed.
    key: OnceLock<Arc<MachineKey>>,
    /// What other machines may send here, and do.
    lines: lines::Lines,
    /// This machine's way with orphans as a target; its one switch (ORP-03) is off after each start.
    orphans: Arc<orphans::TargetOrphans>,
    /// What looks at the schedules of targets.
    scheduler: scheduler::Scheduler,
    tasks: tasks::board::Board,
    /// What it has counted since it began.
    statistics: Arc<stats::Statistics>,
    statlog: stats::Logging,
    /// Somebody was told that it has started, and is told of its end.
    tells: AtomicBool,
}

impl Engine {
    /// Makes the home's directories, takes its lock and reads what is kept there. -111 while another engine runs on it.
    pub fn open(home: Home) -> Result<Arc<Engine>, ApiError> {
        Self::open_with(home, Arc::new(Source), Arc::new(SystemClock))
    }

    /// For a service, which [resumes connections](Engine::resume_connections) next.
    pub(crate) fn open_to_resume(home: Home) -> Result<Arc<Engine>, ApiError> {
        Self::open_as(home, Arc::new(Source), Arc::new(SystemClock), true)
    }

    /// With other means than the real ones, for tests.
    pub(crate) fn open_with(
        home: Home,
        runner: Arc<dyn JobRunner>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Engine>, ApiError> {
        Self::open_as(home, runner, clock, false)
    }

    /// `resumes`: connections of before are still to be taken up.
    pub(crate) fn open_as(
        home: Home,
        runner: Arc<dyn JobRunner>,
        clock: Arc<dyn Clock>,
        resumes: bool,
    ) -> Result<Arc<Engine>, ApiError> {
        home.create()?;
        crate::sys::raise_open_files();
        let lock = home.lock()?;
        let kept = kept::Kept::open(&home)?;
        let tasks = tasks::board::Board::open(&kept.settings.task_file(), Arc::clone(&kept.settings))?;
        let settings = Arc::clone(&kept.settings);
        let statistics = stats::Statistics::begun(clock.wall_ms());
        let engine = Arc::new(Engine {
            home,
            lock: Mutex::new(Some(lock)),
            kept,
            source: address::own_name(),
            runner,
            clock,
            table: Mutex::default(),
            connecting: Mutex::default(),
            survivors: OnceLock::new(),
            key: OnceLock::new(),
            lines: lines::Lines::default(),
            orphans: Arc::new(orphans::TargetOrphans::new(move || settings.orphans())),
            scheduler: scheduler::Scheduler::new(resumes),
            tasks,
            statistics,
            statlog: stats::Logging::default(),
            tells: AtomicBool::new(false),
        });
        engine.begin_schedules();
        engine.statlog_begins();
        engine.tasks.belongs_to(&engine);
        Ok(engine)
    }
}

impl Engine {
    /// The name that this machine is known by.
    pub fn machine_name(&self) -> &str {
        &self.source
    }

    /// The credential file of the home.
    pub fn users(&self) -> users::Users {
        users::Users::of(self.kept.settings.data_path())
    }

    /// `StatsPort`: where a service answers DTStat.
    pub fn stats_port(&self) -> u16 {
        self.kept.settings.stats_port()
    }

    /// What it counts of itself.
    pub fn counts(&self) -> &stats::Statistics {
        &self.statistics
    }

    /// `NetPort`.
    pub fn net_port(&self) -> u16 {
        self.kept.settings.net_port()
    }

    /// Writes a line of information into this engine's log.
    pub fn note(&self, text: &str) {
        let _entered = self.kept.log.enter();
        tracing::info!("{text}");
    }

    /// The service is there (4000 to 4002).
    pub fn tell_started(&self) {
        let _entered = self.kept.log.enter();
        event!(KernelStarted, "The service has started");
        event!(TargetStarted, "The target module has started");
        event!(SourceStarted, "The source module has started");
        self.tells.store(true, Relaxed);
    }

    /// It ends (4003 to 4005), unless nobody heard that it began.
    fn tell_stopped(&self) {
        if self.tells.swap(false, Relaxed) {
            event!(SourceStopped, "The source module has stopped");
            event!(TargetStopped, "The target module has stopped");
            event!(KernelStopped, "The service has stopped");
        }
    }

    /// The service cannot start: `port`, as another program has it.
    pub fn tell_not_started(&self, error: &ApiError, port: bool) {
        let _entered = self.kept.log.enter();
        match port {
            true => event!(PortTaken, "The service could not start: {error}"),
            false => event!(ServiceAborted, "The service has aborted: {error}"),
        }
    }

    /// Reads `DT.conf` again: what a person changed there takes effect as a SET of it would. A bad value is told in the log.
    pub fn reread(&self) {
        let _entered = self.kept.log.enter();
        match self.kept.settings.reread() {
            Ok(problems) => {
                kept::tell_problems(problems);
                self.kept.log.configure(&self.kept.settings.log());
                tracing::info!("The options were read again");
            }
            Err(error) => tracing::error!("The options could not be read again: {error}"),
        }
    }
}

/// A lock whose holder panicked is taken all the same: each holder leaves a whole state behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many blocks of a file are read and hashed together: enough for the lanes of [`block_sums`](crate::sys::block_sums), and
/// no more than stays in a core's cache.
fn blocks_together(block: usize) -> usize {
    (1 << 20) / block.clamp(1, 1 << 20)
}
