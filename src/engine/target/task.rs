//! A task's turn on the target: nothing else is done, and nothing read, until it has ended.
//!
//! The applier's thread waits for it; so what comes meanwhile waits on the source, which sends nothing behind it anyway. What runs when the
//! line is lost runs to its end: until then the line counts as one that stands, and its source is let in by no other.

use super::apply::{Applier, LOOK};
use crate::api::{TaskEnd, TaskPoint};
use crate::engine::tasks::{Errand, Power};
use crate::wire::{Answer, Op, Reader, TaskOrder, TaskTold, WireError};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is asked whether a task may go on.
const ASK: Duration = Duration::from_secs(1);
/// Tasks at ONRECEIVE that were run before their turn to be looked at.
const RECEIVED: usize = 4096;

/// What runs tasks on a target.
#[derive(Clone)]
pub struct TaskHost {
    pub power: Arc<Power>,
    /// Does the grant of a source on another machine allow it? None: the source is this machine.
    pub allowed: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl std::fmt::Debug for TaskHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TaskHost")
    }
}

impl Applier {
    /// Runs a task, and tells how it ended.
    pub(super) fn task(&mut self, order: &TaskOrder<'_>) -> Result<(), WireError> {
        match order.point {
            // It was, when its frame was put aside.
            TaskPoint::Receive if self.received.remove(&order.task) => return Ok(()),
            TaskPoint::Receive => {}
            _ => {
                self.wait_for_nothing_held()?;
                if self.is_cut() || self.ended && !self.held.is_empty() {
                    return Ok(());
                }
                // What was changed in place is closed, so that whoever takes a snapshot finds nothing open.
                self.lately.close(Instant::now() + self.policy.close_delay);
            }
        }
        self.answer_bytes();
        self.settle_held();
        self.run_task(order);
        Ok(())
    }

    /// All before it is to be applied. What comes meanwhile is put aside.
    fn wait_for_nothing_held(&mut self) -> Result<(), WireError> {
        // Who has ended hears of no task: what is held is tried once more, and nothing runs.
        while !self.held.is_empty() && !self.is_cut() && !self.ended {
            self.answer_bytes();
            self.settle_held();
            let left = self.next_try.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.try_again()?;
            } else {
                self.put_aside(left.min(LOOK))?;
            }
        }
        Ok(())
    }

    /// A frame is put aside: the tasks in it that run when they come.
    pub(super) fn receive_tasks(&mut self, frame: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(frame);
        while !reader.is_empty() {
            if let Op::Task(order) = Op::decode(&mut reader)?
                && order.point == TaskPoint::Receive
            {
                if self.received.len() >= RECEIVED {
                    return Err(WireError::Invalid("number of tasks that wait"));
                }
                self.run_task(&order);
                self.received.insert(order.task);
            }
        }
        Ok(())
    }

    fn run_task(&self, order: &TaskOrder<'_>) {
        let done = match &self.policy.tasks {
            None => None,
            Some(host) => {
                let errand = self.errand(order);
                let allowed = || host.allowed.as_ref().is_none_or(|allowed| allowed());
                let (asked, may) = (Cell::new(Instant::now()), Cell::new(allowed()));
                let stop = || {
                    if host.allowed.is_none() {
                        // One process: whoever cuts the link wants no more of it.
                        return self.end.cut.is_cut();
                    }
                    if asked.get().elapsed() >= ASK {
                        asked.set(Instant::now());
                        may.set(allowed());
                    }
                    !may.get()
                };
                Some(host.power.serve(&errand, may.get(), &stop))
            }
        };
        let (end, elapsed_ms, output) = match done {
            Some(done) => {
                self.policy.counts.ran(done.end.succeeded());
                (done.end, done.elapsed_ms, done.output)
            }
            None => (TaskEnd::Disabled, 0, Vec::new()),
        };
        let TaskOrder { task, point, .. } = *order;
        // A source that has gone needs no answer.
        self.answer(&Answer::Task(TaskTold { task, point, end, elapsed_ms, output: &output }));
    }

    fn errand(&self, order: &TaskOrder<'_>) -> Errand {
        let paths = self.roots.iter().map(|root| {
            let only = root.only.as_deref().map(|only| String::from_utf8_lossy(only).into_owned());
            let path = only.map_or_else(|| root.path.clone(), |only| root.path.join(only));
            path.to_string_lossy().into_owned()
        });
        Errand {
            job: order.job.to_owned(),
            point: order.point,
            command: order.command.to_owned(),
            limit: order.limit,
            repset: order.repset.to_owned(),
            connection: order.connection,
            source: order.source.to_owned(),
            target: order.target.to_owned(),
            paths: paths.collect(),
            submitted_ms: order.submitted_ms,
            by: order.by.to_owned(),
        }
    }
}
