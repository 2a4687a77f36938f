//! Barriers on their way through the log.
//!
//! A barrier is a mark in the log. It may be passed on only when nothing that stood before it is *owed*: a record is owed when
//! its file had moved by the time its turn came, until it has been sent; a place is, when an operation on it failed on the
//! target, until it was sent anew. Only what was owed before the mark's turn first came counts, so that what others do
//! meanwhile does not hold it up.

use super::super::common::Common;
use super::super::model::Identity;
use super::super::moves::Place;
use super::super::record::Record;
use super::Desk;
use crate::engine::source::folder::split;
use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

/// How often a barrier goes round because of what is owed. Each time something before it has moved again, or failed again.
pub(super) const ROUNDS: u32 = 12;

/// What is owed for so many of these rounds is looked for anew.
const PATIENCE: u32 = 3;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Barriers {
    /// Those that the looker has not taken yet.
    pub(super) asked: Vec<u64>,
    pub(super) marks: HashMap<u64, Mark>,
    pub(super) reached: HashMap<u64, Option<Spent>>,
    /// Marks whose turn has come for the first time.
    pub(super) passed: u64,
    /// Those that wait for a file that a mirror sends.
    pub(super) parked: Vec<u64>,
}

/// A barrier on its way.
#[derive(Debug, Default)]
pub(super) struct Mark {
    rounds: u32,
    /// Failures that were taken up before it was logged last.
    pub(super) taken: u64,
    passed: Option<u64>,
    spent: Option<Spent>,
}

/// What a barrier went round for as often as one may: it may not be on the target as it was when the barrier began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Spent {
    /// It had moved each time its turn came.
    Owed(Identity),
    /// An operation there failed each time.
    Failed(Place),
    /// Something that has moved was still being looked for.
    Sought,
}

impl Barriers {
    /// `taken`: failures that the looker has taken.
    fn begin(&mut self, number: u64, taken: u64) {
        self.marks.insert(number, Mark { taken, ..Mark::default() });
        self.asked.push(number);
    }

    /// A mark's turn has come: how many had passed when it first did. None: nobody waits for it, or it went with the log.
    fn pass(&mut self, number: u64) -> Option<u64> {
        let mark = self.marks.get_mut(&number)?;
        let passed = *mark.passed.get_or_insert(self.passed + 1);
        self.passed = self.passed.max(passed);
        Some(passed)
    }

    /// Sends a mark round once more, if it was not too often. True: so it is.
    fn again(&mut self, number: u64, why: impl FnOnce() -> Spent) -> bool {
        let Some(mark) = self.marks.get_mut(&number) else { return false };
        mark.rounds += 1;
        let again = mark.rounds <= ROUNDS;
        if again {
            self.asked.push(number);
        } else {
            mark.spent = Some(why());
        }
        again
    }

    /// A mirror is through with a file.
    pub(super) fn unpark(&mut self) {
        self.asked.append(&mut self.parked);
    }

    /// The log is dropped, and the marks with it.
    pub(super) fn clear(&mut self) {
        self.marks.clear();
        self.parked.clear();
    }
}

impl Desk {
    /// A mark's turn has come. Is something owed from before its first turn?
    pub(super) fn is_owed_before(&mut self, number: u64) -> bool {
        let passed = self.barriers.pass(number);
        passed.is_some_and(|passed| self.owing.before(passed).next().is_some())
    }

    /// True: the mark goes round once more.
    pub(super) fn turn(&mut self, number: u64) -> bool {
        let Some(passed) = self.barriers.pass(number) else { return false };
        if self.owing.before(passed).any(|(id, _)| self.jobs.is_busy(&id)) {
            self.barriers.parked.push(number);
            return true;
        }
        let Some((first, _)) = self.owing.before(passed).next() else { return false };
        let again = self.barriers.again(number, || Spent::Owed(first));
        let rounds = self.barriers.marks.get(&number).map_or(0, |mark| mark.rounds);
        if again && rounds.is_multiple_of(PATIENCE) {
            // Who was to send it may have lost it, as a mirror that has brought it does not pay.
            self.jobs.requests.owed.extend(self.owing.before(passed));
        }
        again
    }

    /// A mark's answer has come: it is reached, or (true) goes round once more, as something before it has failed. One that
    /// nobody waits for, or that was dropped with the log, is none.
    pub(super) fn answer(&mut self, number: u64) -> bool {
        let Some(mark) = self.barriers.marks.get(&number) else { return false };
        // What was sent anew may have failed again, there or below, so each answer counts and not only the first.
        let failed = self.failures.behind(mark.taken);
        if failed.is_some_and(|place| self.barriers.again(number, || Spent::Failed(place))) {
            return true;
        }
        let spent = self.barriers.marks.remove(&number).and_then(|mark| mark.spent);
        self.barriers.reached.insert(number, spent);
        false
    }
}

impl Common {
    /// A barrier begins: the looker takes it when it has looked at everything that was changed before.
    pub(in super::super) fn ask_mark(&self, number: u64) {
        self.ask(|desk| desk.barriers.begin(number, desk.failures.taken));
    }

    pub(in super::super) fn take_marks(&self) -> Vec<u64> {
        std::mem::take(&mut self.desk().barriers.asked)
    }

    /// Those that go round once more.
    pub(in super::super) fn take_returned(&self) -> Vec<u64> {
        let mut desk = self.desk();
        let Barriers { asked, marks, .. } = &mut desk.barriers;
        let returned = |number: &mut u64| marks.get(number).is_some_and(|mark| mark.rounds > 0);
        asked.extract_if(.., returned).collect()
    }

    pub(in super::super) fn has_new_marks(&self) -> bool {
        !self.desk().barriers.asked.is_empty()
    }

    /// Something that the barrier has to wait for is still being looked for, and it waits no longer.
    pub(in super::super) fn mark_unsettled(&self, number: u64) {
        if let Some(mark) = self.desk().barriers.marks.get_mut(&number) {
            mark.spent = Some(Spent::Sought);
        }
    }

    /// The barrier's place in the log.
    pub(in super::super) fn log_mark(&self, number: u64) {
        {
            let mut desk = self.desk();
            let taken = desk.failures.taken;
            if let Some(mark) = desk.barriers.marks.get_mut(&number) {
                mark.taken = taken;
            }
        }
        let mut record = Vec::new();
        Record::Mark { number }.encode(&mut record);
        self.log(&record, 0, &[]);
    }

    /// Its turn has come. True: something before it is still owed, and it goes round once more.
    pub(in super::super) fn return_mark(&self, number: u64) -> bool {
        if !self.desk().is_owed_before(number) {
            return false;
        }
        self.forgive();
        let again = self.desk().turn(number);
        self.capture.looks().wake();
        again
    }

    /// All before a barrier is applied, but for what has failed.
    pub(super) fn mark_reached(&self, number: u64) {
        if self.desk().answer(number) {
            self.capture.looks().wake();
        } else {
            self.told.notify_all();
        }
    }

    /// Waits a while. Some: what was before the barrier is applied, all of it or all but this.
    pub(in super::super) fn wait_mark(&self, number: u64, time: Duration) -> Option<Option<Spent>> {
        let desk = self.desk();
        let waits = |desk: &mut Desk| !desk.barriers.reached.contains_key(&number) && !self.is_stopping();
        let (mut desk, _) =
            self.told.wait_timeout_while(desk, time, waits).unwrap_or_else(PoisonError::into_inner);
        desk.barriers.reached.remove(&number)
    }

    /// For a person.
    pub(in super::super) fn spent_words(&self, spent: &Spent) -> String {
        match spent {
            Spent::Owed(id) => {
                let model = self.model();
                let place = model.names_of(id).next().map(|node| model.place(node));
                drop(model);
                let shown = place.map_or_else(
                    || format!("inode {}", id.ino),
                    |(root, path, name)| self.shown(root, &path, &name),
                );
                format!("{shown} was somewhere else each time it was to be read")
            }
            Spent::Failed((root, path)) => {
                let (directory, name) = split(path);
                let shown = self.shown(*root, directory, name);
                format!("what was sent to {shown} did not fit what the target has there, each time")
            }
            Spent::Sought => "something that was moved was not found in its new place".to_owned(),
        }
    }

    /// False: it was dropped with the log.
    pub(in super::super) fn has_mark(&self, number: u64) -> bool {
        let desk = self.desk();
        desk.barriers.marks.contains_key(&number) || desk.barriers.reached.contains_key(&number)
    }

    /// Nobody waits for the barrier any more.
    pub(in super::super) fn forget_mark(&self, number: u64) {
        let mut desk = self.desk();
        desk.barriers.marks.remove(&number);
        desk.barriers.reached.remove(&number);
        desk.barriers.asked.retain(|asked| *asked != number);
    }

    pub(in super::super) fn wake_barriers(&self) {
        self.told.notify_all();
    }
}
