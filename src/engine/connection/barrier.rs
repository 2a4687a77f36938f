//! BARRIER: until everything that was changed on the source before the call is applied on the target. At least that;
//! later changes may be there too (architecture.md 3).

use super::state::Obstacle;
use super::wait::Verdict;
use super::{Connection, Stage};
use crate::api::{ApiError, Reply, Watch};
use crate::engine::clock::Clock;
use std::time::{Duration, Instant};

impl Connection {
    /// Waits for a running mirror first, as what it has not looked at yet is not on the target either. An error at once
    /// when it can no longer happen without a person.
    pub fn barrier(
        &self,
        timeout: Option<Duration>,
        clock: &dyn Clock,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        // A time-out past what the clock can count is none.
        let deadline = timeout.and_then(|timeout| clock.now().checked_add(timeout));
        self.pass_barrier(deadline, clock, watch)
    }

    pub(super) fn pass_barrier(
        &self,
        deadline: Option<Instant>,
        clock: &dyn Clock,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        while !self.is_gone() {
            let clear = self.follow(deadline, clock, watch, &mut |state| match state.obstacle() {
                None => Verdict::Done,
                Some(Obstacle::Passing) => Verdict::NotYet,
                Some(Obstacle::Standing(error)) => Verdict::Never(error),
            })?;
            if !clear {
                return Ok(Reply::TimedOut);
            }
            let Stage::On(replication) = self.view().state.stage else { continue };
            let left = deadline.map(|deadline| deadline.saturating_duration_since(clock.now()));
            let passed = replication.barrier(left, watch);
            let obstacle = self.view().state.obstacle();
            match (passed, obstacle) {
                (Ok(true), None) => return Ok(Reply::Done),
                (Ok(false), _) => return Ok(Reply::TimedOut),
                // What was missed meanwhile, or what holds it up now, has its own words.
                (_, Some(_)) => {}
                (Err(error), None) => return Err(error),
            }
        }
        Err(self.gone())
    }
}
