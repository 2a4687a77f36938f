//! What the threads of a replication ask of each other outside the order of the log: barriers on their way, records to be
//! logged anew, places of the target to be mended, what a mirror left to replication.

mod barriers;
mod failures;
mod jobs;
mod owing;
mod sent;
#[cfg(test)]
mod tests;

pub(super) use barriers::{MarkAt, Spent};
pub(super) use jobs::Requests;
pub(super) use sent::Lost;

use super::common::Common;
use super::model::Identity;
use super::moves::Failing;
use super::tasks::Tasks;
use barriers::Barriers;
use failures::Failures;
use jobs::Jobs;
use owing::Owing;
use sent::{LostNames, Sent};

/// Names that left while the log was lost, or places to be sent anew, that are remembered one by one.
const MOST: usize = 65_536;

/// See the module. Its lock is the last one taken.
#[derive(Debug, Default)]
pub(super) struct Desk {
    barriers: Barriers,
    owing: Owing,
    failures: Failures,
    sent: Sent,
    lost: LostNames,
    jobs: Jobs,
    pub(super) tasks: Tasks,
}

/// What is to be done by the looker before it goes on.
#[derive(Debug, Default)]
pub(super) struct Debts {
    pub missed: Vec<Vec<u8>>,
    pub heals: Vec<Failing>,
    pub blocked: Vec<Failing>,
    pub rewrites: Vec<Identity>,
}

impl Desk {
    /// The stream is another: what was asked over the last one is not answered.
    pub(super) fn new_stream(&mut self) {
        self.sent.forget_questions();
    }

    /// Is the answer there that says that all records up to this one are applied, or have failed?
    pub(super) fn has_applied(&self, position: Option<u64>) -> bool {
        position.is_none_or(|position| self.sent.upto >= position)
    }

    /// The last question that was answered.
    pub(super) fn answered(&self) -> u64 {
        self.sent.applied
    }

    /// What is owed is looked for anew: who was to send it may have lost it, and then each mark goes round because of it.
    pub(super) fn seek_owed(&mut self) {
        let owed: Vec<_> = self.owing.of(|_, _| true).collect();
        self.jobs.requests.owed.extend(owed);
    }

    /// Has the looker something to log anew?
    pub(super) fn has_missed(&self) -> bool {
        !self.owing.missed.is_empty()
    }

    /// Is the mark on its way, or has it been reached?
    pub(super) fn has_mark(&self, number: u64) -> bool {
        self.barriers.marks.contains_key(&number) || self.barriers.reached.contains_key(&number)
    }

    fn has_debts(&self) -> bool {
        !self.owing.missed.is_empty() || self.failures.has_any()
    }
}

impl Common {
    fn ask(&self, what: impl FnOnce(&mut Desk)) {
        what(&mut self.desk());
        self.capture.looks().wake();
    }

    /// What is to be logged anew; it has to be before any mark that is taken before this call.
    pub(super) fn take_debts(&self) -> Debts {
        let mut desk = self.desk();
        let Desk { barriers, owing, failures, .. } = &mut *desk;
        failures.take(barriers.marks.values().map(|mark| mark.taken));
        Debts {
            missed: std::mem::take(&mut owing.missed),
            heals: std::mem::take(&mut failures.heals),
            blocked: std::mem::take(&mut failures.blocked),
            rewrites: std::mem::take(&mut failures.rewrites),
        }
    }

    pub(super) fn has_debts(&self) -> bool {
        self.desk().has_debts()
    }

    /// Is something to be sent that could not be when its turn came?
    pub(super) fn is_owing(&self) -> bool {
        let desk = self.desk();
        !desk.owing.is_empty() || desk.has_debts()
    }

    /// The log was dropped: `lost` are the names that it would have removed. What is owed is dirty from now on.
    pub(super) fn drop_debts(&self, lost: Vec<Lost>) {
        let mut desk = self.desk();
        let Desk { barriers, owing, failures, sent, lost: names, .. } = &mut *desk;
        names.lose(sent.clear().chain(lost));
        let (places, rewrites, too_many) = failures.clear();
        names.lose_places(places);
        barriers.clear();
        let owed: Vec<Identity> = owing.clear().chain(rewrites).collect();
        let tasks = desk.tasks.lose();
        drop(desk);
        tasks.iter().for_each(|task| task.is_lost("what was queued was lost"));
        let mut dirty = self.dirty();
        owed.into_iter().for_each(|id| dirty.inode(id));
        if too_many {
            dirty.everything();
        }
    }
}
