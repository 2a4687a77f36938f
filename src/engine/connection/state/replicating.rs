//! Replication as part of a connection's state (9.1 row 10, RPL-01, RPL-02, MIR-20, MIR-21).
//!
//! The copy is `OK` while a mirror that began after capture did has left it whole, and replication has missed nothing
//! since. Replication starts without a mirror and stops without leaving the copy to be trusted: both make it `Mirror
//! Required`. What replication missed is taken over by the mirror that begins next, and comes back if that one does not
//! bring it.

use super::{DataState, Remirror, State, Work};
use crate::api::{ApiError, Code};
use crate::engine::replication::{Activity, Replication, ReplicationShared};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Where replication is in its life.
#[derive(Clone, Debug, Default)]
pub enum Stage {
    /// Changes are not captured.
    #[default]
    Off,
    /// Capture is being set up.
    Starting,
    On(Arc<dyn Replication>),
    /// What is queued is sent, or dropped.
    Stopping(Arc<dyn Replication>),
}

/// What keeps a change from reaching the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It passes by itself.
    Passing,
    /// A person has to do something.
    Standing(ApiError),
}

impl Stage {
    pub fn shared(&self) -> Option<&ReplicationShared> {
        match self {
            Stage::Off | Stage::Starting => None,
            Stage::On(replication) | Stage::Stopping(replication) => Some(replication.shared()),
        }
    }
}

impl State {
    /// Replication shall begin. -125 if it has, or is about to; -134 while it ends.
    pub fn replicate(&mut self) -> Result<(), ApiError> {
        let id = self.id;
        let already = |how: &str| {
            Err(ApiError::new(Code::ConnectionIsReplicating, format!("connection {id} {how}")).help(format!(
                "STATUS CON {id} says how it is; MIRROR START {id} DIFFERENT CHECKSUM sends what it may lack"
            )))
        };
        match self.stage {
            Stage::On(_) => already("is replicating, and nothing is held"),
            Stage::Starting => already("is starting to replicate"),
            Stage::Stopping(_) => self.refuse_between_stages(),
            Stage::Off => {
                self.stage = Stage::Starting;
                Ok(())
            }
        }
    }

    /// Changes are captured from now on, or it did not come to that.
    pub fn replicates(&mut self, replication: Option<Arc<dyn Replication>>) {
        self.stage = match replication {
            Some(replication) => Stage::On(replication),
            None => Stage::Off,
        };
        if let Stage::On(_) = self.stage {
            self.resumes = None;
        }
        let resumed = matches!(&self.stage, Stage::On(replication) if replication.is_resumed());
        self.whole = resumed || self.whole && matches!(self.stage, Stage::Off);
        (self.mirrored, self.required) = (resumed, None);
        self.settle();
    }

    /// Replication shall end: what is to be ended. -126 when there is none, -108 while a job uses its stream.
    pub fn unreplicate(&mut self) -> Result<Arc<dyn Replication>, ApiError> {
        let id = self.id;
        self.refuse_between_stages()?;
        let Stage::On(replication) = &self.stage else {
            return Err(ApiError::new(
                Code::ConnectionIsNotReplicating,
                format!("connection {id} is not replicating"),
            ));
        };
        if let Some(running) = self.running.as_ref().filter(|running| running.over_stream) {
            let work = Work::of(&running.kind);
            return Err(ApiError::new(
                Code::MirrorCurrentlyActive,
                format!("a {} of connection {id} uses the replication's stream", work.noun()),
            )
            .help(format!(
                "wait for it with WAITONMIRROR {id}, or end it with {} STOP {id}",
                work.command()
            )));
        }
        let replication = Arc::clone(replication);
        self.stage = Stage::Stopping(Arc::clone(&replication));
        Ok(replication)
    }

    /// Replication has ended. `for_good`: the connection ends with it, so the copy stays as good as it is.
    pub fn unreplicated(&mut self, for_good: bool) {
        if let Some(shared) = self.stage.shared() {
            self.left = shared.ops_queued.load(Relaxed);
            self.totals.replicated += shared.bytes_transmitted.load(Relaxed);
            self.totals.replication_errors += shared.errors.load(Relaxed);
        }
        self.stage = Stage::Off;
        if !for_good {
            (self.whole, self.mirrored, self.required) = (false, false, None);
        }
        self.settle();
    }

    /// Takes over what replication says of the copy.
    pub fn notice(&mut self) {
        if let Stage::On(replication) = &self.stage {
            self.required = replication.shared().mirror_required();
            self.settle();
        }
    }

    /// Replication needs a mirror, and none runs: why.
    pub fn required(&self) -> Option<&str> {
        self.required.as_deref().filter(|_| self.running.is_none())
    }

    /// Replication Status (29.1).
    pub fn replication_word(&self) -> &'static str {
        let Some(shared) = self.stage.shared() else {
            let begins = matches!(self.stage, Stage::Starting) || self.resumes.is_some();
            return if begins { "Pending" } else { "Stopped" };
        };
        let queued = shared.ops_queued.load(Relaxed) > 0;
        let mirrors = self.running.as_ref().is_some_and(|running| running.over_stream);
        match shared.activity() {
            Activity::OutOfMemory => "Out of Memory",
            _ if shared.hold().is_some() => "Pending",
            _ if mirrors && queued => "Replicating",
            _ if mirrors => "Ready",
            _ if !self.mirrored || shared.mirror_required().is_some() || self.required.is_some() => "Pending",
            Activity::Pending => "Pending",
            Activity::Replicating => "Replicating",
            Activity::Ready if queued => "Replicating",
            Activity::Ready => "Ready",
        }
    }

    /// What a person has to see to before replication goes on, with the command for it; escaped.
    pub fn in_the_way(&self) -> Option<String> {
        let id = self.id;
        if let Some(hold) = self.stage.shared().and_then(ReplicationShared::hold) {
            return Some(hold.words(id));
        }
        if let Some(why) = &self.resumes {
            return Some(format!(
                "it is to go on as before the service was started again: {why}; it is tried again by itself"
            ));
        }
        let why = self.required()?;
        Some(match self.remirror {
            Remirror::ByItself => format!("changes were missed: {why}; a mirror begins by itself"),
            Remirror::ByHand => {
                format!("changes were missed: {why}; MIRROR START {id} DIFFERENT CHECKSUM sends them")
            }
            Remirror::Disconnected => format!(
                "disconnected: {why}; AutoReconnect is 0, MIRROR START {id} DIFFERENT CHECKSUM reconnects and sends \
                 what was missed"
            ),
        })
    }

    /// What keeps changes from reaching the target now, on a connection that shall replicate. None: nothing does, they
    /// are sent.
    pub fn obstacle(&self) -> Option<Obstacle> {
        let id = self.id;
        let standing = |code, message: String, help: String| {
            Some(Obstacle::Standing(ApiError::new(code, message).help(help)))
        };
        let shared = match &self.stage {
            Stage::On(replication) => replication.shared(),
            Stage::Starting => return Some(Obstacle::Passing),
            Stage::Off if self.resumes.is_some() => return Some(Obstacle::Passing),
            Stage::Off | Stage::Stopping(_) => {
                return standing(
                    Code::ConnectionIsNotReplicating,
                    format!("connection {id} is not replicating"),
                    format!(
                        "REPLICATION START {id} captures changes from then on, a mirror sends what is there"
                    ),
                );
            }
        };
        if let Some(hold) = shared.hold() {
            let words = hold.words(id);
            let (message, help) = words.split_once("; ").unwrap_or((&words, ""));
            return standing(Code::ReplicationIsPending, message.to_owned(), help.to_owned());
        }
        if self.takes_over() {
            return Some(Obstacle::Passing);
        }
        if shared.mirror_required() != self.required || self.remirror == Remirror::ByItself {
            // The connection's task has yet to see it, or acts on it.
            return Some(Obstacle::Passing);
        }
        if self.data == DataState::Ok {
            return None;
        }
        if self.running.is_some() && !self.is_verifying() {
            return Some(Obstacle::Passing);
        }
        let why = match &self.required {
            Some(why) => format!("changes were missed: {why}"),
            None if self.mirrored => "the last mirror was not complete".to_owned(),
            None => "no mirror has run to its end since replication began".to_owned(),
        };
        standing(
            Code::ReplicationIsPending,
            format!("connection {id} needs a mirror: {why}"),
            format!("MIRROR START {id} DIFFERENT CHECKSUM, then this command again"),
        )
    }

    fn is_verifying(&self) -> bool {
        self.running.as_ref().is_some_and(|running| Work::of(&running.kind) == Work::Verify)
    }

    /// -134 while replication begins or ends.
    pub(super) fn refuse_between_stages(&self) -> Result<(), ApiError> {
        let what = match self.stage {
            Stage::Starting => "starting",
            Stage::Stopping(_) => "stopping",
            Stage::Off | Stage::On(_) => return Ok(()),
        };
        Err(ApiError::new(
            Code::ReplicationIsPending,
            format!("replication of connection {} is {what}", self.id),
        )
        .help("give it a moment, then try again"))
    }
}
