//! What is kept of the target for the next start of the service: when the ledger goes from one generation to the next, how it is begun
//! anew, and how a replication begins with that of before (docs/design/ledger.md).

use super::super::desk::Desk;
use super::super::ledger::{Known, Loaded};
use super::super::line::spawn;
use super::super::model::{Identity, NodeId};
use super::Common;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Entries that are copied while the model is held.
const STEP: NodeId = 512;
/// A generation lasts at least so long.
const GENERATION: Duration = Duration::from_millis(500);

/// How often who waits for the source to be listed looks whether it is to go on waiting.
const LISTED: Duration = Duration::from_millis(100);

/// Where the ledger stands. The looker's own.
#[derive(Debug, Default)]
pub(in super::super) struct Accounts {
    /// The last record of the generation that has ended, and the question that was asked last by then.
    ended: Option<(Option<u64>, u64)>,
    since: Option<Instant>,
}

impl Common {
    /// Begins with what was kept. Where the target is known to have what the model has, what has changed since goes through the log as what changes from
    /// now on does, and no mirror is needed. Else it is dirty, and a mirror compares that.
    pub(in super::super) fn resume(&self, loaded: Loaded) {
        self.lists_all.store(true, Relaxed);
        let known = loaded.sum(&self.model());
        self.whole.store(true, Relaxed);
        if known.is_all() {
            tracing::info!("Connection {} goes on without a mirror", self.plan.connection);
            self.active.store(true, Relaxed);
            self.dirty().is_mirrored();
            self.shared.begin_mirror(true);
            *lock(&self.resumed) = Some(known.doubtful);
            return;
        }
        let Known { mut dirty, left, unseen, doubtful } = known;
        doubtful.into_iter().for_each(|node| dirty.node(node, false));
        {
            let mut lost = self.dirty();
            lost.lose();
            lost.keep(&dirty);
        }
        self.lost_before(left);
        if unseen {
            self.lose_all();
        }
        self.degraded.store(true, Relaxed);
        *lock(&self.resumed) = Some(Vec::new());
        self.shared.require_remirror("the service was started again".to_owned());
    }

    /// Files that the target may have as they were before their last change. None: the model is not one of before.
    pub(in super::super) fn take_doubtful(&self) -> Option<Vec<NodeId>> {
        lock(&self.resumed).as_mut().map(std::mem::take)
    }

    /// The source was compared with the model of before.
    pub(in super::super) fn has_listed_all(&self) {
        if self.lists_all.swap(false, Relaxed) {
            drop(lock(&self.turns));
            self.turned.notify_all();
        }
    }

    /// A job waits until the source was compared with the model of before: until then everything moves.
    pub(super) fn wait_listed(&self) {
        let stops = Arc::clone(&lock(&self.job_stops));
        let mut turns = lock(&self.turns);
        while self.lists_all.load(Relaxed)
            && !self.is_stopping()
            && !self.is_held()
            && self.is_line_alive()
            && !stops.load(Relaxed)
        {
            let waited = self.turned.wait_timeout(turns, LISTED);
            turns = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Was the model one of before?
    pub(in super::super) fn is_resumed(&self) -> bool {
        lock(&self.resumed).is_some()
    }

    /// A job begins to use the stream, or has ended.
    pub(in super::super) fn job_runs(&self, runs: bool) {
        self.job.store(runs, Relaxed);
    }

    /// Is all that the target may not have among what was logged, and nothing under way beside the log?
    fn is_accountable(&self) -> bool {
        let missed = self.shared.required() != self.covered.load(Relaxed);
        let doubtful = || self.is_degraded() || self.is_held() || self.dirty().is_doubtful();
        let job = self.job.load(Relaxed) || self.is_mirroring();
        !missed && !job && !self.is_stopping() && !doubtful() && !self.owes() && !self.has_debts()
    }

    /// For the looker, when it has logged all that it knows of. `held`: files (device, inode) that can be written without anything that tells.
    pub(in super::super) fn account(
        self: &Arc<Self>,
        accounts: &mut Accounts,
        held: impl Iterator<Item = (u64, u64)>,
    ) {
        let due = self.ledger.is_due();
        if !due && !self.ledger.is_open() {
            return;
        }
        self.ledger.relieve();
        // What fails is known when its answer is, so that is asked first.
        let answered =
            accounts.ended.is_some_and(|(position, asked)| self.desk().has_answered(position, asked));
        if !self.is_accountable() {
            accounts.ended = None;
            return;
        }
        if answered {
            self.ends_generation(held);
            accounts.ended = None;
        }
        let rests = accounts.since.is_some_and(|since| since.elapsed() < GENERATION);
        if accounts.ended.is_none() && !rests && (due || self.ledger.has_news()) {
            // Nobody is between a step and its record.
            let model = self.model();
            let book = if due { self.ledger.begin() } else { None };
            self.ledger.next_generation();
            accounts.ended = Some((self.dirty().logged_upto(), self.asked.load(Relaxed)));
            accounts.since = Some(Instant::now());
            drop(model);
            if let Some(book) = book {
                let common = Arc::clone(self);
                if spawn("ledger", move || common.copy_model(book)).is_err() {
                    self.ledger.give_up_next();
                }
            }
        }
    }

    /// The target has all of the generation. What it is getting beside the log is of the next one.
    fn ends_generation(&self, held: impl Iterator<Item = (u64, u64)>) {
        let mut under_way: Vec<Identity> = self.bulk().map(|bulk| bulk.under_way()).unwrap_or_default();
        let model = self.model();
        for (dev, ino) in held {
            under_way.extend(model.names_of_number(dev, ino).map(|node| model.entry(node).id));
        }
        drop(model);
        self.ledger.is_applied(&under_way);
    }

    /// Copies the model into the next book, a little at a time.
    fn copy_model(&self, book: u64) {
        let mut at: NodeId = 0;
        loop {
            let model = self.model();
            let most = model.most();
            let end = at.saturating_add(STEP).min(most);
            let goes_on = self.ledger.copies(book, model.steps(at..end), end == most);
            drop(model);
            self.ledger.write();
            if end == most || !goes_on || self.is_stopping() {
                return;
            }
            at = end;
        }
    }
}

impl Desk {
    /// Are all records up to this one, and all questions up to that one, answered?
    fn has_answered(&self, position: Option<u64>, asked: u64) -> bool {
        self.has_applied(position) && self.answered() >= asked
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
