//! Barriers until they have their places in the log.
//!
//! A barrier that comes while a batch is looked at does not wait for the next one: what is to be looked at before it is added to
//! that batch. It has its place when nothing that was missed up to then waits for events any more.

use super::super::tasks::TASK;
use super::Looker;

/// A barrier gets its place in the log when nothing of what it waits for is waiting for events any more, or after so many looks.
const TURNS: u32 = 24;

/// A task waits so many for what could not be logged anew yet.
const TASK_TURNS: u32 = 10 * TURNS;

/// A barrier that has no place in the log yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    number: u64,
    /// The batch with which all before it is looked at.
    upto: u64,
    turns: u32,
}

impl Looker {
    pub(in super::super) fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Takes the barriers that have come. What was changed before them is read from then on, and is to be looked at with this
    /// batch. False: none has.
    pub(in super::super) fn take_marks(&mut self, batch: u64) -> bool {
        self.send_back();
        let fresh = self.common.take_marks();
        if fresh.is_empty() {
            return false;
        }
        // What a job left until now may have been changed before them, too.
        self.grant(self.common.take_requests());
        self.look_for_silent(true);
        self.drain(batch);
        self.marks.extend(fresh.into_iter().map(|number| Waiting { number, upto: batch, turns: 0 }));
        true
    }

    /// What has failed is sent anew. Barriers that go round once more because of that wait only for what is owed: for no further looks, if that was found at once.
    pub(super) fn send_back(&mut self) {
        let again = self.common.take_returned();
        if again.is_empty() {
            return;
        }
        self.repay(true);
        let again = self.common.judge(again);
        // What was missed just now counts with the next batch.
        let upto = self.batch + 1;
        if self.is_settled(upto) && !self.common.has_requests() {
            for number in again {
                if !self.common.log_mark(number) {
                    self.marks.push(Waiting { number, upto, turns: 0 });
                }
            }
        } else {
            self.marks.extend(again.into_iter().map(|number| Waiting { number, upto, turns: 0 }));
        }
    }

    /// All have waited for one more look.
    pub(in super::super) fn count_turn(&mut self) {
        self.marks.iter_mut().for_each(|mark| mark.turns += 1);
    }

    /// Gives the barriers their places in the log for which nothing is waited for any more.
    pub(in super::super) fn log_marks(&mut self) {
        if self.marks.is_empty() {
            return;
        }
        // What is owed comes before them.
        self.repay(true);
        for mark in std::mem::take(&mut self.marks) {
            let settled = mark.upto <= self.batch && self.is_settled(mark.upto);
            // What could not be logged anew yet would come behind a task.
            let waits = mark.number & TASK != 0 && !self.unsent.is_empty() && mark.turns < TASK_TURNS;
            if !settled && mark.turns < TURNS || waits {
                self.marks.push(mark);
                continue;
            }
            if !settled {
                self.common.mark_unsettled(mark.number);
            }
            if !self.common.log_mark(mark.number) {
                self.marks.push(mark);
            }
        }
    }

    /// Nothing that was missed up to this batch waits for events any more.
    fn is_settled(&self, batch: u64) -> bool {
        // A record that is unsent is owed, which the barrier asks for itself.
        let missed = self.displaced.iter().any(|(_, _, missed)| *missed <= batch);
        let late = self.deferred.iter().any(|(_, late)| late.since <= batch);
        !missed && !late && self.scans.is_empty() && !self.behind.values().any(|since| *since <= batch)
    }
}
