//! Barriers on their way through the log.
//!
//! A barrier is a mark in the log. It may be passed on only when nothing that stood before it is *owed*: a record is owed when
//! its file had moved by the time its turn came, until it has been sent; a place is, when an operation on it failed on the
//! target, until it was sent anew. Only what was owed before the mark's turn first came counts, and of failures those told by its
//! first answer, and later those of what was sent anew because of them; so that what others do meanwhile does not hold it up.

use super::super::common::Common;
use super::super::model::Identity;
use super::super::moves::Place;
use super::super::record::Record;
use super::super::tasks::Placed;
use super::Desk;
use super::owing::Owed;
use crate::engine::source::folder::split;
use std::collections::{HashMap, HashSet};
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
    /// Those that go round once more, or may have to.
    pub(super) returned: Vec<u64>,
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
    /// Failures that were told by its first answer, and by its last one.
    first: Option<u64>,
    told: u64,
    /// Something had failed by its last answer.
    failing: bool,
    /// Its answer is waited for by who stands at it.
    asked: bool,
    /// What was sent anew, because of failures that it waits for, and where they were, since an answer without these.
    anew: HashSet<Identity>,
    places: HashSet<Place>,
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

/// Where a mark is for who stands at it.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum MarkAt {
    /// Its answer is waited for.
    Asked,
    Reached(Option<Spent>),
    /// It goes round once more.
    Returned,
    /// It was dropped with the log.
    Nowhere,
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

    /// Counts a further round of a mark. False: it went round too often.
    fn again(&mut self, number: u64, why: impl FnOnce() -> Spent) -> bool {
        let Some(mark) = self.marks.get_mut(&number) else { return false };
        mark.rounds += 1;
        let again = mark.rounds <= ROUNDS;
        if !again {
            mark.spent = Some(why());
        }
        again
    }

    /// A mark has come to its end.
    fn reach(&mut self, number: u64) {
        let spent = self.marks.remove(&number).and_then(|mark| mark.spent);
        self.reached.insert(number, spent);
    }

    /// A mirror is through with a file.
    pub(super) fn unpark(&mut self) {
        self.asked.append(&mut self.parked);
    }

    /// The log is dropped, and the marks with it.
    pub(super) fn clear(&mut self) {
        self.marks.clear();
        self.parked.clear();
        self.returned.clear();
    }
}

impl Desk {
    /// A mark's turn has come. Is something owed from before its first turn?
    pub(super) fn is_owed_before(&mut self, number: u64) -> bool {
        let passed = self.barriers.pass(number);
        passed.is_some_and(|passed| self.owed(number, passed).next().is_some())
    }

    /// What a mark waits for: it was owed before the mark's first turn, or it has failed, was sent anew, and had moved by then.
    fn owed(&self, number: u64, passed: u64) -> impl Iterator<Item = Owed> {
        let anew = self.barriers.marks.get(&number).map(|mark| &mark.anew);
        self.owing.of(move |id, since| since < passed || anew.is_some_and(|anew| anew.contains(id)))
    }

    /// True: the mark goes round once more.
    pub(super) fn turn(&mut self, number: u64) -> bool {
        let Some(passed) = self.barriers.pass(number) else { return false };
        let owed: Vec<Owed> = self.owed(number, passed).collect();
        if owed.iter().any(|(id, _)| self.jobs.is_busy(id)) {
            self.barriers.parked.push(number);
            return true;
        }
        let Some((first, _)) = owed.first().copied() else { return false };
        let again = self.barriers.again(number, || Spent::Owed(first));
        let rounds = self.barriers.marks.get(&number).map_or(0, |mark| mark.rounds);
        if again && rounds.is_multiple_of(PATIENCE) {
            // Who was to send it may have lost it, as a mirror that has brought it does not pay.
            self.jobs.requests.owed.extend(owed);
        }
        if again {
            self.barriers.returned.push(number);
        }
        again
    }

    /// Who stands at a mark waits for its answer.
    pub(in super::super) fn ask_turn(&mut self, number: u64) {
        if let Some(mark) = self.barriers.marks.get_mut(&number) {
            mark.asked = true;
        }
    }

    /// What became of it since. One that is reached is told of once.
    pub(in super::super) fn mark_at(&mut self, number: u64) -> MarkAt {
        if let Some(spent) = self.barriers.reached.remove(&number) {
            return MarkAt::Reached(spent);
        }
        match self.barriers.marks.get(&number) {
            Some(mark) if mark.asked => MarkAt::Asked,
            Some(_) => MarkAt::Returned,
            None => MarkAt::Nowhere,
        }
    }

    /// Why a mark goes round once more, as far as that can still be told.
    pub(in super::super) fn why_again(&self, number: u64) -> Option<Spent> {
        let mark = self.barriers.marks.get(&number)?;
        let owed = mark.passed.and_then(|passed| self.owed(number, passed).next());
        let failed = || self.failures.behind(mark.taken).next().map(|failure| failure.place.clone());
        owed.map(|(id, _)| Spent::Owed(id)).or_else(|| failed().map(Spent::Failed))
    }

    /// A mark's answer has come: it is reached, or (true) something has failed, and the looker, once it has sent that anew, tells
    /// whether the mark goes round once more ([`Desk::judge`]). One that nobody waits for, or that was dropped with the log, is none.
    pub(super) fn answer(&mut self, number: u64) -> bool {
        let Some(mark) = self.barriers.marks.get_mut(&number) else { return false };
        mark.asked = false;
        mark.told = self.failures.count;
        mark.first.get_or_insert(mark.told);
        // What was sent anew may have failed again, there or below, so each answer counts and not only the first.
        mark.failing = self.failures.behind(mark.taken).next().is_some();
        if mark.failing {
            self.barriers.returned.push(number);
            return true;
        }
        self.barriers.reach(number);
        false
    }

    /// Everything that failed by a mark's last answer was sent anew. True: the mark goes round once more, as that is what it waits
    /// for. False: it is reached, or there is none.
    pub(super) fn judge(&mut self, number: u64) -> bool {
        let Some(mark) = self.barriers.marks.get_mut(&number) else { return false };
        let failing = std::mem::take(&mut mark.failing);
        // One that comes back before its answer: what has failed meanwhile was taken, too.
        let told = if failing { mark.told } else { self.failures.taken };
        let first = mark.first.unwrap_or(u64::MAX);
        let (mut anew, mut places) = (HashSet::new(), HashSet::new());
        let mut place = None;
        for failure in self.failures.behind(mark.taken).take_while(|failure| failure.number <= told) {
            if failure.number <= first
                || mark.places.contains(&failure.place)
                || failure.ids.iter().any(|id| mark.anew.contains(id))
            {
                anew.extend(&failure.ids);
                places.insert(failure.place.clone());
                place.get_or_insert_with(|| failure.place.clone());
            }
        }
        if !failing {
            mark.anew.extend(anew);
            mark.places.extend(places);
            return true;
        }
        // What is not among these has arrived.
        (mark.anew, mark.places) = (anew, places);
        if place.is_some_and(|place| self.barriers.again(number, || Spent::Failed(place))) {
            return true;
        }
        self.barriers.reach(number);
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

    /// Those that go round once more, or may have to.
    pub(in super::super) fn take_returned(&self) -> Vec<u64> {
        std::mem::take(&mut self.desk().barriers.returned)
    }

    /// Of those that may have to go round once more, the ones that do; what had failed was sent anew.
    pub(in super::super) fn judge(&self, mut numbers: Vec<u64>) -> Vec<u64> {
        let mut desk = self.desk();
        numbers.retain(|number| desk.judge(*number));
        drop(desk);
        self.told.notify_all();
        numbers
    }

    pub(in super::super) fn has_new_marks(&self) -> bool {
        let Desk { barriers, .. } = &*self.desk();
        !barriers.asked.is_empty() || !barriers.returned.is_empty()
    }

    /// Something that the barrier has to wait for is still being looked for, and it waits no longer.
    pub(in super::super) fn mark_unsettled(&self, number: u64) {
        if let Some(mark) = self.desk().barriers.marks.get_mut(&number) {
            mark.spent = Some(Spent::Sought);
        }
    }

    /// The barrier's place in the log. False: it is to get it a little later.
    pub(in super::super) fn log_mark(&self, number: u64) -> bool {
        // Known before, as its turn may come at once.
        if !self.place_task(number, Placed::Begins) {
            return false;
        }
        {
            let mut desk = self.desk();
            let taken = desk.failures.taken;
            if let Some(mark) = desk.barriers.marks.get_mut(&number) {
                mark.taken = taken;
            }
        }
        let mut record = Vec::new();
        Record::Mark { number }.encode(&mut record);
        let placed = self.log(&record, 0, &[]).is_some();
        self.place_task(number, if placed { Placed::Is } else { Placed::Lost })
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
        self.desk().has_mark(number)
    }

    /// Nobody waits for the barrier any more.
    pub(in super::super) fn forget_mark(&self, number: u64) {
        let mut desk = self.desk();
        desk.barriers.marks.remove(&number);
        desk.barriers.reached.remove(&number);
        desk.barriers.asked.retain(|asked| *asked != number);
        desk.barriers.returned.retain(|returned| *returned != number);
    }

    pub(in super::super) fn wake_barriers(&self) {
        self.told.notify_all();
    }
}
