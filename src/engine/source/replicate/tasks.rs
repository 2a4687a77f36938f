//! A task's place in the order (RPL-05): behind all that was changed before it was given, before what was first changed afterwards.
//!
//! It is a mark in the log, as a barrier is. At its turn nothing else is sent: the transmitter stands there until the large files under way
//! have been passed over once more, the target says that all before is applied, and the task has ended. Where a barrier would go round once
//! more the task does, too, and then sees later changes: it says so. So that this is rare, what cannot be read at its turn is tried again in
//! its place while a task is in the log.

use super::super::emit::{REPLICATION, TargetGone};
use super::common::Common;
use super::desk::Spent;
use super::transmit::Transmitter;
use crate::api::{ApiError, TaskPoint, Watch};
use crate::engine::log::escape;
use crate::engine::tasks::{Done, Errand, Submitted};
use crate::wire::{Op, TaskOrder, TaskTold};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Marks of tasks have this bit; the marks of barriers have none.
pub(super) const TASK: u64 = 1 << 61;

/// How long is waited at a time.
const BEAT: Duration = Duration::from_millis(100);
/// How long what has moved is tried again in its place, for one task in all; and how long nothing is done until it is tried again.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);
/// How often a task begins anew when something before it went round as often as one mark may.
const TRIES: u32 = 4;
/// Ends that nobody waits for.
const TOLD: usize = 64;

/// The tasks that have a place, or wait for one.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    queued: BTreeMap<u64, Queued>,
    /// How points ended on the target.
    told: VecDeque<(u64, TaskPoint, Done)>,
    /// The one that the transmitter stands at.
    at: Option<u64>,
}

#[derive(Clone, Debug)]
struct Queued {
    task: Arc<Submitted>,
    /// It has its place in the log, or is about to get it.
    placed: bool,
    /// It has it.
    logged: bool,
    /// How often it began anew.
    tries: u32,
}

impl Tasks {
    /// Does the transmitter stand at one?
    pub(super) fn is_at_one(&self) -> bool {
        self.at.is_some()
    }

    /// Is one in the log?
    pub(super) fn has_placed(&self) -> bool {
        self.queued.values().any(|queued| queued.placed)
    }

    /// The log is dropped: those that had a place in it, but for the one that the transmitter stands at.
    pub(super) fn lose(&mut self) -> Vec<Arc<Submitted>> {
        let at = self.at;
        let is_lost = |number: &u64, queued: &Queued| (queued.placed || queued.logged) && Some(*number) != at;
        let mut lost = Vec::new();
        self.queued.retain(|number, queued| {
            let goes = is_lost(number, queued);
            if goes {
                lost.push(Arc::clone(&queued.task));
            }
            !goes
        });
        lost
    }
}

/// How the mark of a task gets its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    Begins,
    Is,
    /// It went with the log.
    Lost,
}

/// What has become of a mark whose answer is waited for.
enum Turn {
    Reached(Option<Spent>),
    /// It goes round once more.
    Returned,
    /// It was dropped with the log.
    Dropped,
    /// The target has ended, or the replication does.
    Over,
}

impl Common {
    /// Gives a task its place; returns once it has it. `impossible`: why it can no longer have one.
    pub(super) fn queue_task(
        &self,
        number: u64,
        task: &Arc<Submitted>,
        watch: &mut dyn Watch,
        impossible: impl Fn() -> Option<ApiError>,
    ) -> Result<(), ApiError> {
        let queued = Queued { task: Arc::clone(task), placed: false, logged: false, tries: 0 };
        {
            let mut desk = self.desk();
            desk.tasks.queued.insert(number, queued);
            desk.seek_owed();
        }
        self.ask_mark(number);
        let refused = loop {
            let desk = self.desk();
            let waits = |desk: &mut super::desk::Desk| {
                desk.tasks.queued.get(&number).is_some_and(|queued| !queued.logged) && !self.is_stopping()
            };
            let waited = self.told.wait_timeout_while(desk, BEAT, waits);
            let (desk, _) = waited.unwrap_or_else(PoisonError::into_inner);
            // One that is there no more was placed, and has come to its turn already.
            if desk.tasks.queued.get(&number).is_none_or(|queued| queued.logged) {
                return Ok(());
            }
            drop(desk);
            if let Some(error) = impossible() {
                break error;
            }
            if !self.has_mark(number) {
                // It went with a log that was dropped, and a mirror has begun since.
                self.ask_mark(number);
            }
            if watch.cancelled() {
                break crate::engine::tasks::board::given_up();
            }
        };
        let mut desk = self.desk();
        if desk.tasks.queued.get(&number).is_none_or(|queued| queued.logged) {
            return Ok(());
        }
        desk.tasks.queued.remove(&number);
        drop(desk);
        self.forget_mark(number);
        Err(refused)
    }

    /// The mark of a task gets its place in the log, or has it. Nothing for other marks. False: not yet, as something was missed just now
    /// that would come behind it.
    pub(super) fn place_task(&self, number: u64, placed: Placed) -> bool {
        if number & TASK == 0 {
            return true;
        }
        let mut desk = self.desk();
        let missed = desk.has_missed();
        let Some(queued) = desk.tasks.queued.get_mut(&number) else { return true };
        if placed == Placed::Begins && missed && !queued.placed {
            return false;
        }
        let first = !queued.placed;
        queued.placed = placed != Placed::Lost;
        queued.logged |= placed == Placed::Is;
        let task = Arc::clone(&queued.task);
        drop(desk);
        if first && placed == Placed::Begins {
            task.is_queued();
        }
        self.told.notify_all();
        true
    }

    /// The target has told how a point ended.
    pub(super) fn task_told(&self, told: &TaskTold<'_>) {
        let TaskTold { task, point, ref end, elapsed_ms, output } = *told;
        let done = Done { end: end.clone(), elapsed_ms, output: output.to_vec() };
        let mut desk = self.desk();
        if desk.tasks.told.len() >= TOLD {
            desk.tasks.told.pop_front();
        }
        desk.tasks.told.push_back((task, point, done));
        drop(desk);
        self.told.notify_all();
    }

    /// The replication has ended: what was not sent is not any more.
    pub(super) fn discard_tasks(&self) {
        let tasks = std::mem::take(&mut self.desk().tasks.queued);
        for Queued { task, .. } in tasks.into_values() {
            task.discard(
                "the connection was disconnected, or its replication stopped, before it could be sent",
            );
        }
    }

    /// Waits until a mark whose answer was asked for has come to something.
    fn wait_turn(&self, number: u64) -> Turn {
        loop {
            let mut desk = self.desk();
            if let Some(turn) = desk.turn_of(number) {
                return turn;
            }
            if self.is_stopping() || !self.is_line_alive() {
                return Turn::Over;
            }
            // Whoever ends the line or the replication tells.
            desk = self.told.wait_timeout(desk, BEAT).unwrap_or_else(PoisonError::into_inner).0;
            drop(desk);
        }
    }

    /// Waits until the target has told how a point ended. None: the target has ended, or the replication does.
    fn wait_end(&self, task: u64, point: TaskPoint) -> Option<Done> {
        loop {
            let mut desk = self.desk();
            let told = &mut desk.tasks.told;
            if let Some(at) = told.iter().position(|(other, ended, _)| (*other, *ended) == (task, point)) {
                return told.remove(at).map(|(_, _, done)| done);
            }
            if self.is_stopping() || !self.is_line_alive() {
                return None;
            }
            desk = self.told.wait_timeout(desk, BEAT).unwrap_or_else(PoisonError::into_inner).0;
            drop(desk);
        }
    }
}

impl super::desk::Desk {
    fn turn_of(&mut self, number: u64) -> Option<Turn> {
        match self.mark_at(number) {
            super::desk::MarkAt::Asked => None,
            super::desk::MarkAt::Reached(spent) => Some(Turn::Reached(spent)),
            super::desk::MarkAt::Returned => Some(Turn::Returned),
            super::desk::MarkAt::Nowhere => Some(Turn::Dropped),
        }
    }

    fn has_no_mark(&self, number: u64) -> bool {
        !self.has_mark(number)
    }
}

impl Transmitter {
    /// Sends a record; while a task is in the log one that cannot be read, as it has moved, is tried again for a while before it comes
    /// behind that.
    pub(super) fn send_in_place(&mut self, record: &[u8]) -> Result<(), TargetGone> {
        self.common.shared.ops_transmitted.fetch_add(1, Relaxed);
        loop {
            let patient = self.patience < PATIENCE && !self.is_over();
            if self.send(record, patient)? {
                return Ok(());
            }
            let began = Instant::now();
            // The looker looks for it meanwhile.
            std::thread::sleep(PAUSE);
            self.patience += began.elapsed();
        }
    }

    /// A task's turn has come.
    pub(super) fn task(&mut self, number: u64) -> Result<(), TargetGone> {
        let common = Arc::clone(&self.common);
        self.patience = Duration::ZERO;
        let task = {
            let mut desk = common.desk();
            let Some(queued) = desk.tasks.queued.get(&number) else { return Ok(()) };
            let task = Arc::clone(&queued.task);
            desk.tasks.at = Some(number);
            task
        };
        // It may stand here for long, and what is sent for it waits in its place.
        self.sending = None;
        let turn = self.turn(number, &task);
        let mut desk = common.desk();
        desk.tasks.at = None;
        // One that is to go round once more may have lost its mark with a log that was dropped meanwhile.
        let is_lost = turn == Ok(false) && desk.has_no_mark(number);
        if turn != Ok(false) || is_lost {
            desk.tasks.queued.remove(&number);
        }
        drop(desk);
        if is_lost {
            task.is_lost("the queue was lost");
        }
        if turn == Err(TargetGone) && !task.is_over() {
            if common.is_stopping() {
                task.discard("the replication was ended before it could be sent");
            } else {
                task.is_lost("the target has ended");
            }
        }
        turn.map(drop)
    }

    /// Ok(false): it goes round once more.
    fn turn(&mut self, number: u64, task: &Arc<Submitted>) -> Result<bool, TargetGone> {
        let common = Arc::clone(&self.common);
        self.settle_time()?;
        task.run_here(TaskPoint::Transmit, &|| common.is_stopping() || !common.is_line_alive());
        if task.is_due(TaskPoint::Receive) && !self.order(task, TaskPoint::Receive)? {
            return Ok(true);
        }
        if !task.is_due(TaskPoint::Execute) {
            common.forget_mark(number);
            task.finish();
            return Ok(true);
        }
        if common.return_mark(number) {
            self.note_passed(number, task);
            return Ok(false);
        }
        common.desk().ask_turn(number);
        self.bulk.mark(number)?;
        match common.wait_turn(number) {
            Turn::Reached(None) => {}
            Turn::Reached(Some(spent)) => return Ok(self.begin_anew(number, task, &spent)),
            Turn::Returned => {
                self.note_passed(number, task);
                return Ok(false);
            }
            Turn::Dropped => {
                task.is_lost("the queue was lost");
                return Ok(true);
            }
            Turn::Over => return Err(TargetGone),
        }
        if self.order(task, TaskPoint::Execute)? {
            task.finish();
        }
        Ok(true)
    }

    fn note_passed(&self, number: u64, task: &Submitted) {
        let why = self.common.desk().why_again(number);
        let why = why.map(|spent| format!(" ({})", self.common.spent_words(&spent)));
        task.note(&format!("{PASSED}{}", why.unwrap_or_default()));
    }

    /// Something before it was somewhere else each time that its turn came. False: it is to be tried once more.
    fn begin_anew(&self, number: u64, task: &Arc<Submitted>, spent: &Spent) -> bool {
        let words = self.common.spent_words(spent);
        let mut desk = self.common.desk();
        let Some(queued) = desk.tasks.queued.get_mut(&number) else { return true };
        queued.tries += 1;
        let again = queued.tries < TRIES;
        drop(desk);
        if again {
            task.note(&format!("{PASSED} ({words})"));
            self.common.ask_mark(number);
        } else {
            task.fail(&format!("what was changed before it could not all be brought to the target: {words}"));
        }
        !again
    }

    /// Has the target run a point, and waits for its end. False: the task is over, as that was not heard, or it could not be sent.
    fn order(&mut self, task: &Arc<Submitted>, point: TaskPoint) -> Result<bool, TargetGone> {
        let Some(errand) = task.errand(point) else { return Ok(true) };
        // Nothing is sent while the target is paused, or transmission.
        self.wait_open(false)?;
        if self.is_over() {
            return Err(TargetGone);
        }
        if let Err(error) = task.sends() {
            task.fail(&format!("that it is sent could not be kept: {}", error.message));
            return Ok(false);
        }
        task.begins(point);
        self.common.shared.task_runs.store(true, Relaxed);
        let sent = {
            let mut emit = self.line.emitter.lock_as(REPLICATION);
            emit.push(&Op::Task(order_of(task, &errand))).and_then(|()| emit.flush())
        };
        let end = sent.ok().and_then(|()| self.common.wait_end(task.number, point));
        self.common.shared.task_runs.store(false, Relaxed);
        match end {
            Some(done) => {
                task.ended(point, done);
                Ok(true)
            }
            None => {
                let why =
                    if self.common.is_stopping() { "the replication was ended" } else { "the line was lost" };
                task.is_unknown(point, why);
                // Whatever comes next finds the line as it is.
                Ok(false)
            }
        }
    }
}

const PASSED: &str = "something before it had to be sent once more, and what changed meanwhile passed it: \
                      it may see changes from after it was queued";

fn order_of<'a>(task: &Submitted, errand: &'a Errand) -> TaskOrder<'a> {
    TaskOrder {
        task: task.number,
        point: errand.point,
        limit: errand.limit,
        connection: errand.connection,
        submitted_ms: errand.submitted_ms,
        job: &errand.job,
        command: &errand.command,
        repset: &errand.repset,
        source: &errand.source,
        target: &errand.target,
        by: &errand.by,
    }
}

/// A number for the mark of a task.
pub(super) fn mark(marks: &std::sync::atomic::AtomicU64, task: &Submitted) -> u64 {
    let number = marks.fetch_add(1, Relaxed) + 1;
    tracing::debug!("Task {} ({}) has the mark {number}", task.number, escape(task.line().job));
    number | TASK
}
