//! WAITONMIRROR, WAITONQUEUE, WAITONTARGET: until it is so, until the time is over, or until it can no longer happen.
//!
//! A wait sleeps on the connection's snapshots; only the counters of a running job and of the replication's queue, which
//! change without one, are looked at on each beat.

use super::state::Obstacle;
use super::{BEAT, Connection, Ended, Stage, State, View, Work, interrupted, no_connection, status};
use crate::api::{ApiError, Code, ConnectionId, Event, Phase, Reply, Until, Watch};
use crate::engine::clock::Clock;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How a wait stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    NotYet,
    /// It can no longer happen.
    Never(ApiError),
}

impl Connection {
    /// Waits. -107 when the connection ends meanwhile.
    pub fn wait(
        &self,
        until: Until,
        timeout: Option<Duration>,
        clock: &dyn Clock,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let id = self.info.id;
        // A time-out past what the clock can count is none.
        let deadline = timeout.and_then(|timeout| clock.now().checked_add(timeout));
        if !self.follow(deadline, clock, watch, &mut |state| verdict(id, state, until))? {
            return Ok(Reply::TimedOut);
        }
        // All that is queued is not all that was changed: the target is waited for with a barrier.
        let state = self.view().state;
        if until == Until::Target && !matches!(state.stage, Stage::Off) && !is_paused(&state) {
            return self.pass_barrier(deadline, clock, watch);
        }
        Ok(Reply::Done)
    }

    /// Looks at each snapshot until `check` says that it is so (true), or the deadline has passed (false).
    pub(super) fn follow(
        &self,
        deadline: Option<Instant>,
        clock: &dyn Clock,
        watch: &mut dyn Watch,
        check: &mut dyn FnMut(&State) -> Verdict,
    ) -> Result<bool, ApiError> {
        let id = self.info.id;
        let mut snapshots = self.view.clone();
        let mut paused = None;
        loop {
            let view: View = snapshots.borrow_and_update().clone();
            match check(&view.state) {
                Verdict::Done => return Ok(true),
                Verdict::Never(error) => return Err(error),
                Verdict::NotYet => {}
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(clock.now()));
            if left == Some(Duration::ZERO) {
                return Ok(false);
            }
            if watch.cancelled() {
                return Err(interrupted());
            }
            let pauses = match is_paused(&view.state) {
                true => Some(format!("connection {id} is paused")),
                false => self.info.transmission.held(&self.info.target),
            };
            if pauses != paused
                && let Some(why) = &pauses
            {
                watch.event(Event::Notice(format!("{why}; the wait goes on until it is resumed")));
            }
            paused = pauses;
            if let Some(progress) = status::progress(&view.state) {
                watch.event(Event::Progress(progress));
            }
            let beat = left.map_or(BEAT, |left| left.min(BEAT));
            let changed =
                self.handle.block_on(async { tokio::time::timeout(beat, snapshots.changed()).await });
            if let Ok(Err(_)) = changed {
                return match check(&snapshots.borrow().state) {
                    Verdict::Done => Ok(true),
                    _ => Err(no_connection(id)),
                };
            }
        }
    }
}

fn is_paused(state: &State) -> bool {
    state.running.as_ref().is_some_and(|running| running.shared.is_paused())
}

/// Is it so?
pub fn verdict(id: ConnectionId, state: &State, until: Until) -> Verdict {
    let queued =
        state.running.as_ref().map_or(0, |running| running.shared.counters.bytes_queued.load(Relaxed));
    match (until, &state.running) {
        (Until::Mirror, Some(_)) => Verdict::NotYet,
        (Until::Mirror, None) => match &state.last {
            None if state.resumes.is_some() => Verdict::NotYet,
            None => Verdict::Never(
                ApiError::new(Code::MirrorIsNotRunning, format!("no mirror of connection {id} was started"))
                    .help(format!("MIRROR START {id} starts one")),
            ),
            Some((_, Ended::Complete, _)) => Verdict::Done,
            Some((work, Ended::Stopped, _)) => Verdict::Never(
                ApiError::new(
                    Code::MirrorIsNotRunning,
                    format!("the {} of connection {id} was stopped before its end", work.noun()),
                )
                .help(match work {
                    Work::Mirror => format!("MIRROR START {id} begins it anew"),
                    Work::Verify => format!("VERIFY {id} begins it anew"),
                    Work::Orphans => format!("ORPHANS START {id} begins it anew"),
                }),
            ),
            Some((_, Ended::Failed(error) | Ended::Differs(error), _)) => Verdict::Never(error.clone()),
        },
        // A paused job hands out nothing; one that only waits for the target, or removes orphans, has handed out all.
        (Until::Queue, Some(running)) => {
            let hands_out = !running.shared.is_paused()
                && !matches!(running.shared.phase(), Some(Phase::Waiting | Phase::RemovingOrphans));
            if hands_out || queued > 0 { Verdict::NotYet } else { replicated(state) }
        }
        (Until::Queue, None) => replicated(state),
        (Until::Target, Some(running)) if running.shared.is_paused() && queued == 0 => Verdict::Done,
        (Until::Target, Some(_)) => Verdict::NotYet,
        // What failed will never be applied.
        (Until::Target, None) => match &state.last {
            Some((Work::Mirror, Ended::Failed(error), _)) => Verdict::Never(error.clone()),
            _ => Verdict::Done,
        },
    }
}

/// Is nothing of the replication's queue left?
fn replicated(state: &State) -> Verdict {
    match state.stage.shared() {
        Some(shared) if shared.ops_queued.load(Relaxed) > 0 => match state.obstacle() {
            Some(Obstacle::Standing(error)) => Verdict::Never(error),
            _ => Verdict::NotYet,
        },
        _ => Verdict::Done,
    }
}
