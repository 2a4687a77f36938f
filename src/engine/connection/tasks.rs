//! QUEUETASK as a connection takes it: behind a mirror that runs, and where nothing that only a person can clear is in the way.

use super::state::Obstacle;
use super::wait::Verdict;
use super::{Connection, Stage};
use crate::api::{ApiError, TaskPoint, Watch};
use crate::engine::clock::SystemClock;
use crate::engine::tasks::Submitted;
use std::sync::Arc;

impl Connection {
    /// An error if no task can be queued before a person has done something.
    pub(in crate::engine) fn refuse_task(&self) -> Result<(), ApiError> {
        match self.view().state.obstacle() {
            Some(Obstacle::Standing(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives a task its place in the log; returns once it has it, and what is changed from then on comes behind it. A mirror is waited for
    /// first, as what it has not looked at yet is not on the target either. One that has nothing to run but at ONQUEUE is over at once.
    pub(in crate::engine) fn queue_task(
        &self,
        task: &Arc<Submitted>,
        watch: &mut dyn Watch,
    ) -> Result<(), ApiError> {
        if TaskPoint::ALL[1..].iter().all(|point| !task.is_due(*point)) {
            task.is_queued();
            task.finish();
            return Ok(());
        }
        loop {
            self.follow(None, &SystemClock, watch, &mut |state| match state.obstacle() {
                None => Verdict::Done,
                Some(Obstacle::Passing) => Verdict::NotYet,
                Some(Obstacle::Standing(error)) => Verdict::Never(error),
            })?;
            let Stage::On(replication) = self.view().state.stage else { continue };
            let queued = replication.queue_task(task, watch);
            match (queued, self.view().state.obstacle()) {
                (Ok(()), _) => return Ok(()),
                // A mirror that has begun, or what was missed meanwhile, has its own words.
                (Err(_), Some(_)) if !watch.cancelled() => {}
                (Err(error), _) => return Err(error),
            }
        }
    }
}
