//! What a connection is doing and how good its target's data is: pure transitions, as 25.3 and 25.4 say.
//!
//! Only the connection's task changes a state; everybody else reads copies of it. Target Data State moves
//! `Mirroring -> OK` when a mirror is complete and written, `Mirroring -> Mirror Required` when it was stopped or
//! something is missing. A verification leaves it as it is, with two exceptions that it has evidence for: what it found
//! different and did not repair makes it `Mirror Required`, a remirror that repaired everything makes it `OK`.
//! What replication adds to this stands in [`replicating`].

pub mod replicating;

pub use replicating::{Obstacle, Stage};

use crate::api::{ApiError, Code, ConnectionId, VerifyReport};
use crate::engine::job::{JobFailure, JobKind, JobOutcome, JobShared};
use crate::engine::log::escape;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Target Data State (29.1), as far as this version reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataState {
    Ok,
    Mirroring,
    MirrorRequired,
}

impl std::fmt::Display for DataState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DataState::Ok => "OK",
            DataState::Mirroring => "Mirroring",
            DataState::MirrorRequired => "Mirror Required",
        })
    }
}

/// Which of the jobs a command means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Mirror,
    Verify,
    Orphans,
}

impl Work {
    pub fn of(kind: &JobKind) -> Work {
        match kind {
            JobKind::Mirror(_) => Work::Mirror,
            JobKind::Verify(_) => Work::Verify,
            JobKind::Orphans(_) => Work::Orphans,
        }
    }

    pub fn noun(self) -> &'static str {
        match self {
            Work::Mirror => "mirror",
            Work::Verify => "verification",
            Work::Orphans => "search for orphans",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Work::Mirror => "MIRROR",
            Work::Verify => "VERIFY",
            Work::Orphans => "ORPHANS",
        }
    }
}

/// What a running job can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Stop,
    Pause,
    Resume,
}

/// How the last job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything that belongs is on the target, as far as the job looked.
    Complete,
    /// Nothing failed, but differences were found and left.
    Differs(ApiError),
    /// By a person.
    Stopped,
    Failed(ApiError),
}

/// A job under way.
#[derive(Clone, Debug)]
pub struct Running {
    pub kind: JobKind,
    pub shared: Arc<JobShared>,
    /// Changes have been captured since before it began: it goes over the replication's stream.
    pub over_stream: bool,
    /// The connection began it by itself (MIR-20).
    pub automatic: bool,
    /// It leaves out what is known to be the same: nothing else than what replication missed is wrong.
    pub dirty_only: bool,
    /// Why a mirror was required when it began.
    required: Option<String>,
}

/// Sums over the jobs that ended. Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub sent: u64,
    pub skipped: u64,
    pub files: u64,
    pub files_sent: u64,
    pub directories: u64,
    /// Bytes that replications sent which have ended.
    pub replicated: u64,
    pub replication_errors: u64,
}

/// A connection's state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    id: ConnectionId,
    pub data: DataState,
    pub running: Option<Running>,
    /// The last job that ended, with its counters.
    pub last: Option<(Work, Ended, Arc<JobShared>)>,
    pub totals: Totals,
    /// What failed in the last job.
    pub failures: Arc<Vec<JobFailure>>,
    /// The last verification's.
    pub report: Option<Arc<VerifyReport>>,
    /// Real-time replication.
    pub stage: Stage,
    /// The last job that said something about the copy found or left it whole.
    whole: bool,
    /// A mirror has reached its end since replication began (RPL-01).
    mirrored: bool,
    /// Why replication needs a mirror, if so.
    required: Option<String>,
    /// What happens next to what is required.
    pub remirror: Remirror,
    /// It replicated before its service was started again, and shall: why it does not yet.
    pub resumes: Option<String>,
    /// Changes that were still in the queue when the last replication ended.
    pub left: u64,
}

/// Who begins the mirror that replication needs (MIR-20, MIR-21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remirror {
    /// A person, or none is needed.
    #[default]
    ByHand,
    /// A person, who has to bring the connection back, too: `AutoReconnect` is 0.
    Disconnected,
    /// The connection, by itself.
    ByItself,
}

impl State {
    /// A fresh connection: nothing was mirrored yet.
    pub fn new(id: ConnectionId) -> State {
        State {
            id,
            data: DataState::MirrorRequired,
            running: None,
            last: None,
            totals: Totals::default(),
            failures: Arc::default(),
            report: None,
            stage: Stage::Off,
            whole: false,
            mirrored: false,
            required: None,
            remirror: Remirror::ByHand,
            resumes: None,
            left: 0,
        }
    }

    /// Begins a job. -113 or -108 while one runs (MIR-11), -134 while replication begins or ends.
    pub fn start(&mut self, kind: JobKind, shared: Arc<JobShared>, automatic: bool) -> Result<(), ApiError> {
        let work = Work::of(&kind);
        if let Some(running) = &self.running {
            let runs = Work::of(&running.kind);
            let code = match work {
                Work::Mirror => Code::MirrorAlreadyActive,
                Work::Verify | Work::Orphans => Code::MirrorCurrentlyActive,
            };
            return Err(ApiError::new(
                code,
                format!("a {} runs on connection {} already", runs.noun(), self.id),
            )
            .help(format!(
                "wait for it with WAITONMIRROR {}, or end it with {} STOP {0}",
                self.id,
                runs.command()
            )));
        }
        self.refuse_between_stages()?;
        self.failures = Arc::default();
        let over_stream = matches!(self.stage, Stage::On(_));
        // What was missed up to now is this job's to bring.
        let required = if repairs(&kind) { self.required.take() } else { None };
        let dirty_only = automatic && self.whole && self.mirrored;
        self.running = Some(Running { kind, shared, over_stream, automatic, dirty_only, required });
        self.settle();
        Ok(())
    }

    /// The running job is to bring what replication missed.
    pub fn takes_over(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.over_stream && repairs(&running.kind))
    }

    /// Has the last job that said something about the copy found or left it whole?
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The Target Data State that follows from what is known.
    fn settle(&mut self) {
        self.data = match &self.running {
            Some(running) if Work::of(&running.kind) == Work::Mirror => DataState::Mirroring,
            _ if self.whole && self.required.is_none() => DataState::Ok,
            _ => DataState::MirrorRequired,
        };
    }

    /// Stops, pauses or resumes the job of that kind. -121 when none runs, -117 when there is nothing to resume.
    pub fn steer(&self, work: Work, step: Step) -> Result<(), ApiError> {
        let id = self.id;
        let running = self.running.as_ref().filter(|running| Work::of(&running.kind) == work);
        let not_running = || {
            ApiError::new(Code::MirrorIsNotRunning, format!("no {} runs on connection {id}", work.noun()))
                .help(format!("STATUS CON {id} says what it is doing"))
        };
        match (step, running) {
            (Step::Resume, Some(running)) if running.shared.resume() => Ok(()),
            (Step::Resume, _) => Err(ApiError::new(
                Code::MirrorIsNotPaused,
                format!("no {} of connection {id} is paused", work.noun()),
            )),
            (_, None) => Err(not_running()),
            (Step::Stop, Some(running)) => {
                running.shared.stop();
                Ok(())
            }
            (Step::Pause, Some(running)) if running.shared.pause() => Ok(()),
            (Step::Pause, Some(_)) => Err(ApiError::new(
                Code::MirrorIsNotRunning,
                format!("the {} of connection {id} is paused already", work.noun()),
            )
            .help(format!("{} RESUME {id} goes on with it", work.command()))),
        }
    }

    /// The running job ended. `log` names the place to look for more.
    pub fn ended(&mut self, outcome: JobOutcome, log: &str) {
        let Some(running) = self.running.take() else { return };
        let work = Work::of(&running.kind);
        let counters = &running.shared.counters;
        self.totals.sent += counters.bytes_sent.load(Relaxed);
        if work == Work::Mirror {
            self.totals.skipped += counters.bytes_skipped.load(Relaxed);
        }
        self.totals.files += counters.files.load(Relaxed);
        self.totals.files_sent += counters.files_sent.load(Relaxed);
        self.totals.directories += counters.directories.load(Relaxed);
        let end = self.judge(&running, &outcome, log);
        // What began before changes were captured says nothing about those that were made meanwhile.
        let counts = running.over_stream || matches!(self.stage, Stage::Off);
        self.whole = match (&running.kind, &end) {
            (JobKind::Mirror(_), Ended::Complete) => counts,
            // What it was to compare is still missed, and nothing else.
            (JobKind::Mirror(_), _) => self.whole && running.dirty_only,
            (JobKind::Verify(_), Ended::Complete) if repairs(&running.kind) => counts,
            (JobKind::Verify(_), Ended::Differs(_)) => false,
            (JobKind::Verify(spec), Ended::Failed(_)) if spec.remirror => false,
            (JobKind::Verify(_) | JobKind::Orphans(_), _) => self.whole,
        };
        if running.over_stream && repairs(&running.kind) {
            let reached_the_end = outcome.fatal.is_none()
                && matches!(end, Ended::Complete | Ended::Failed(_) | Ended::Differs(_));
            self.mirrored |= reached_the_end;
            if end != Ended::Complete {
                // It was not brought, at least not whole.
                self.required = self.required.take().or(running.required.clone());
            }
        }
        self.settle();
        if let Some(report) = outcome.verify {
            self.report = Some(Arc::new(report));
        }
        self.failures = Arc::new(outcome.failures);
        self.last = Some((work, end, running.shared));
    }

    fn judge(&self, running: &Running, outcome: &JobOutcome, log: &str) -> Ended {
        let id = self.id;
        let work = Work::of(&running.kind);
        if let Some(fatal) = &outcome.fatal {
            let mut error = fatal.clone();
            error.message = format!("the {} of connection {id} ended early: {}", work.noun(), error.message);
            return Ended::Failed(error);
        }
        if outcome.stopped {
            return Ended::Stopped;
        }
        let errors = running.shared.counters.errors.load(Relaxed).max(outcome.failures.len() as u64);
        let left = outcome.verify.as_ref().map_or(0, |report| {
            let found = report.files_different + report.files_missing + report.directories_missing;
            found.saturating_sub(report.files_remirrored + report.directories_remirrored)
        });
        if outcome.complete && errors == 0 && left == 0 {
            return Ended::Complete;
        }
        if errors == 0 && left > 0 {
            return Ended::Differs(
                ApiError::new(
                    Code::ConnectionFailed,
                    format!(
                        "the verification of connection {id} found that {left} {} on the target",
                        differ(left)
                    ),
                )
                .help(format!(
                    "VERIFY REPORT {id} names them; MIRROR START {id} DIFFERENT CHECKSUM sends them"
                )),
            );
        }
        let first = match outcome.failures.first() {
            Some(first) => format!(", the first is {}: {}", escape(&first.path), first.reason),
            None => String::new(),
        };
        let what = match errors {
            0 => "it did not reach everything".to_owned(),
            1 => format!("1 file failed{first}"),
            n => format!("{n} files failed{first}"),
        };
        let remedy = match work {
            Work::Mirror => format!("then MIRROR START {id} DIFFERENT sends what is missing"),
            Work::Verify => format!("then VERIFY {id} looks again"),
            Work::Orphans => format!("then ORPHANS START {id} looks again"),
        };
        let error = ApiError::new(
            Code::ConnectionFailed,
            format!("the {} of connection {id} is incomplete: {what}", work.noun()),
        )
        .help(format!("the log in {log} and EXPLAIN <path> CON {id} say more; {remedy}"));
        Ended::Failed(error)
    }

    /// For STATUS, escaped: what a person has to see to, or else the newest failure.
    pub fn last_error(&self) -> Option<String> {
        let failed =
            self.failures.last().map(|failure| format!("{}: {}", escape(&failure.path), failure.reason));
        let ended_early = || match &self.last {
            Some((_, Ended::Failed(error), _)) if self.running.is_none() => Some(error.message.clone()),
            _ => None,
        };
        let replicating = || self.stage.shared().and_then(|shared| shared.last_error());
        self.in_the_way().or(failed).or_else(ended_early).or_else(replicating)
    }
}

/// True for a job that leaves the copy whole if it is complete.
fn repairs(kind: &JobKind) -> bool {
    match kind {
        JobKind::Mirror(_) => true,
        JobKind::Verify(spec) => spec.remirror && !spec.newer,
        JobKind::Orphans(_) => false,
    }
}

fn differ(n: u64) -> &'static str {
    if n == 1 { "file differs or is missing" } else { "files differ or are missing" }
}

#[cfg(test)]
mod tests;
