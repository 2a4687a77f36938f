//! An engine that rehearses: it works on a copy of a machine's state, and its jobs touch no file of source or target.
//!
//! Sets, options, connections and their states are those of any other engine, so what it refuses and answers is what the real one
//! would. Invariants: nothing is written outside of the copy, which goes with the engine; no task is run; a job ends when
//! somebody waits for its connection or has seen it run, so that no loop waits for what cannot come.

mod copy;
mod stand_in;

use super::connection::Stage;
use super::home::Home;
use super::{Engine, lock};
use crate::api::{
    ApiError, Code, ConnectSpec, ConnectTarget, ConnectionId, Reply, Request, SettingRow, Until, Watch,
};
use copy::Copy;
use stand_in::StandIn;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a job may take to notice that it is to end.
const ENDING: Duration = Duration::from_secs(5);

/// See the module.
pub struct Rehearsal {
    engine: Arc<Engine>,
    jobs: Arc<StandIn>,
    /// Dropped last.
    _copy: Copy,
}

impl Rehearsal {
    /// Of the state that a home keeps while no engine runs on it.
    pub fn of_home(home: &Home) -> Result<Rehearsal, ApiError> {
        Self::on(Copy::of_home(home)?, true)
    }

    /// Of a machine whose service tells its options; sets are created and connections numbered afterwards. `here`: what its paths
    /// name is on this machine.
    pub fn of_options(rows: &[SettingRow], here: Option<&Home>) -> Result<Rehearsal, ApiError> {
        Self::on(Copy::of_options(rows, here)?, here.is_some())
    }

    fn on(copy: Copy, here: bool) -> Result<Rehearsal, ApiError> {
        let jobs = Arc::new(StandIn::new(here));
        let clock = Arc::new(super::clock::SystemClock);
        let engine = Engine::open_as(copy.home().clone(), jobs.clone(), clock, false)?;
        // No program is run, not even one whose turn would be now.
        engine.tasks.power.rehearse();
        Ok(Rehearsal { engine, jobs, _copy: copy })
    }

    /// The next connection gets the number behind this one.
    pub fn number_from(&self, last: ConnectionId) {
        self.engine.number_from(last);
    }

    /// Answers as the machine would, and does nothing of it.
    pub fn call(&self, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        use Request::*;
        match &request {
            Disconnect { .. }
            | PauseTarget { .. }
            | QueueTask(_)
            | ReplicationStop { .. }
            | VerifyReport { .. } => {
                self.end_jobs();
            }
            Wait { connection, until, timeout_ms } => {
                self.end_jobs();
                return self.wait(*connection, *until, *timeout_ms, watch);
            }
            Barrier { connection, timeout_ms } => {
                self.end_jobs();
                if let Some(over) = self.never(*connection, true, *timeout_ms) {
                    return over;
                }
            }
            _ => {}
        }
        let seen = matches!(request, Status { .. } | StatusAll);
        let request = match request {
            // A file of statistics that is named stands where it is named.
            Connect(spec) => Connect(ConnectSpec {
                target: match spec.target {
                    ConnectTarget::Tdu { .. } => ConnectTarget::Tdu { file: None },
                    target => target,
                },
                ..spec
            }),
            request => request,
        };
        let reply = self.engine.call(request, watch);
        if seen {
            self.end_jobs();
        }
        reply
    }

    fn wait(
        &self,
        connection: ConnectionId,
        until: Until,
        timeout_ms: Option<u64>,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        if let Some(over) = self.never(connection, until == Until::Target, timeout_ms) {
            return over;
        }
        self.engine.call(Request::Wait { connection, until, timeout_ms }, watch)
    }

    /// The answer to a wait for what is paused or not sent: in a rehearsal nobody else comes and lets it go on.
    /// `applied`: it is the target's end of the stream that is waited for, where nothing comes while nothing is sent.
    fn never(
        &self,
        id: ConnectionId,
        applied: bool,
        timeout_ms: Option<u64>,
    ) -> Option<Result<Reply, ApiError>> {
        let connection = self.engine.connection(id).ok()?;
        let held = connection.info.transmission.held(&connection.info.target);
        let state = connection.view().state;
        let passes = applied && !matches!(state.stage, Stage::Off);
        if state.running.is_none() && !(passes && held.is_some()) {
            return None;
        }
        let why = held.unwrap_or_else(|| format!("connection {id} is paused"));
        Some(match timeout_ms {
            Some(_) => Ok(Reply::TimedOut),
            None => Err(ApiError::new(Code::TransmissionIsPaused, format!("this wait would not end: {why}"))
                .help("let it go on before the wait, or give the wait a TIMEOUT")),
        })
    }

    /// What runs comes to its end, unless it is paused or nothing is to be sent to its target.
    fn end_jobs(&self) {
        let deadline = Instant::now() + ENDING;
        for connection in self.engine.connections() {
            let id = connection.info.id;
            loop {
                let state = connection.view().state;
                let Some(running) = &state.running else { break };
                let held = connection.info.transmission.held(&connection.info.target).is_some();
                if running.shared.is_paused() || held || Instant::now() >= deadline {
                    break;
                }
                self.jobs.let_end(id);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.end_jobs();
        self.engine.close(Duration::ZERO);
    }
}

impl Engine {
    fn number_from(&self, last: ConnectionId) {
        lock(&self.table).number_from(last);
    }
}

#[cfg(test)]
mod tests;
