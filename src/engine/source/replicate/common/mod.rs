//! What the threads of a replication share: the model and whose turn it is to change it, the queue, what holds it up.
//!
//! The log is one for mirror and replication (architecture.md 3). A mirror sends while it holds the model, and only when all
//! that was logged has gone out: then the model is what the target will have, and the mirror's operation takes its place in
//! the order. How much replication may send before a waiting mirror gets its turn: [`share`](super::share).

mod accounts;
mod found;
mod holds;
mod mirrors;

pub(super) use accounts::Accounts;
pub(super) use found::ByKey;
pub(in crate::engine::source) use mirrors::{Begun, Stirred};

use super::super::capture::{Capture, Key};
use super::bulk::Bulk;
use super::desk::Desk;
use super::dirty::Dirty;
use super::ledger::{Entry, Ledger};
use super::model::{Identity, Model, NodeId, Stamps, flag};
use super::record::Record;
use super::share::Share;
use super::waiting::Waiting;
use crate::engine::job::JobPlan;
use crate::engine::log::event;
use crate::engine::queue::{Popped, Queue};
use crate::engine::replication::{Activity, ReplicationShared};
use crate::sys::Favour;
use holds::Guard;
use mirrors::Comparing;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A waiting mirror gets its turn after so long, whatever the ratio.
const TURN: Duration = Duration::from_millis(20);

/// The looker waits so long at most while a mirror has it wait.
const CALM: Duration = Duration::from_secs(1);

/// Records in the log above which nothing more is looked at while it is being sent: what is looked at later is sent as it is
/// then, once, however often it changes until then.
const ROOM: u64 = 4096;
/// A log that has not moved for so long is stalled: what comes then is queued, in memory and on disk.
const STALL: Duration = Duration::from_millis(20);

/// A root as replication reaches it.
#[derive(Clone, Debug)]
pub(super) struct RootPlace {
    /// Source path of the directory: the root, or the parent of a root that is one file.
    pub path: PathBuf,
    /// Where the kernel says that it is.
    pub real: Vec<u8>,
    /// Device of the directory above it: another one means that the root is a mount point.
    pub above: Option<u64>,
}

/// See the module.
pub(in crate::engine::source) struct Common {
    pub(super) plan: JobPlan,
    pub(super) roots: BTreeMap<u16, RootPlace>,
    pub(super) queue: Queue,
    pub(super) capture: Arc<dyn Capture>,
    pub(super) shared: Arc<ReplicationShared>,
    pub(super) ignore_deletes: bool,
    /// The threads that changes pass through, for barriers.
    pub(super) favour: Arc<Favour>,
    /// What the target has, as it is kept for the next start of the service.
    pub(super) ledger: Arc<Ledger>,
    /// The model is one of before: the source is compared with it first. Files that the target may have as they were before.
    resumed: Mutex<Option<Vec<NodeId>>>,
    /// That is not done yet.
    lists_all: AtomicBool,
    /// A job uses the stream.
    job: AtomicBool,
    model: Mutex<Model>,
    share: Share,
    /// Until when the looker has no turn at all, while `calm`.
    turns: Mutex<Option<Instant>>,
    turned: Condvar,
    calm: AtomicBool,
    stopping: AtomicBool,
    held: AtomicBool,
    released: AtomicBool,
    /// Records are dropped: the copy has to be compared anew.
    degraded: AtomicBool,
    given_up: AtomicBool,
    /// A mirror has come to its end: the model is all that the copy has, and the guard can count.
    whole: AtomicBool,
    guard: Mutex<Guard>,
    /// Its lock is the last one taken.
    desk: Mutex<Desk>,
    /// Nothing else is locked while this is.
    dirty: Mutex<Dirty>,
    comparing: Mutex<Comparing>,
    /// A barrier has been reached, or never will be.
    pub(super) told: Condvar,
    /// The stream is up; another flag for each stream.
    line: Mutex<Arc<AtomicBool>>,
    looking: AtomicBool,
    /// Events were lost, and what they told of was not all found and applied yet.
    lost_events: AtomicBool,
    /// A mirror has begun since the start.
    active: AtomicBool,
    /// A mirror is on its way.
    mirroring: AtomicBool,
    /// It has ended, and what changed until then was not looked at yet.
    mirrored: AtomicBool,
    /// See [`Common::note_key`].
    recent: Mutex<HashMap<Identity, Key>>,
    /// What changed before this time (nanoseconds since 1970) was looked at and logged.
    pub(super) looked: AtomicI64,
    /// Mirrors that were required before the last one that came to its end began.
    covered: AtomicU64,
    /// Questions for what is applied that were sent.
    pub(super) asked: AtomicU64,
    bulk: Mutex<Weak<Bulk>>,
    /// The job that sends over the stream shall end.
    job_stops: Mutex<Arc<AtomicBool>>,
    showing: Mutex<()>,
    /// What files have grown by while their records wait.
    waiting: Mutex<Waiting>,
}

impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queue = self.queue.usage();
        f.debug_struct("Common").field("desk", &*self.desk()).field("queue", &queue).finish_non_exhaustive()
    }
}

impl Common {
    pub(super) fn new(
        plan: JobPlan,
        roots: BTreeMap<u16, RootPlace>,
        model: Model,
        queue: Queue,
        capture: Arc<dyn Capture>,
        shared: Arc<ReplicationShared>,
        ledger: Arc<Ledger>,
    ) -> Self {
        let mut model = model;
        model.set_ledger(Arc::clone(&ledger));
        let mut dirty = Dirty::default();
        dirty.set_ledger(Arc::clone(&ledger));
        let percent = u64::from(plan.settings.orphans.guard_percent);
        let (ignore_deletes, share) = (plan.settings.ignore_deletes, Share::new(plan.settings.ratio));
        Self {
            plan,
            roots,
            queue,
            capture,
            shared,
            favour: Arc::default(),
            ignore_deletes,
            ledger,
            resumed: Mutex::default(),
            lists_all: AtomicBool::new(false),
            job: AtomicBool::new(false),
            model: Mutex::new(model),
            share,
            turns: Mutex::default(),
            turned: Condvar::new(),
            calm: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            held: AtomicBool::new(false),
            released: AtomicBool::new(false),
            degraded: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            whole: AtomicBool::new(false),
            guard: Mutex::new(Guard::new(percent)),
            desk: Mutex::default(),
            dirty: Mutex::new(dirty),
            comparing: Mutex::default(),
            told: Condvar::new(),
            line: Mutex::default(),
            looking: AtomicBool::new(false),
            lost_events: AtomicBool::new(false),
            active: AtomicBool::new(false),
            mirroring: AtomicBool::new(false),
            mirrored: AtomicBool::new(false),
            recent: Mutex::default(),
            looked: AtomicI64::new(0),
            covered: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            bulk: Mutex::default(),
            job_stops: Mutex::default(),
            showing: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dirty(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn comparing(&self) -> MutexGuard<'_, Comparing> {
        self.comparing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model, for a moment.
    pub(super) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The looker's turn.
    pub(super) fn turn(&self) -> MutexGuard<'_, Model> {
        if self.share.is_spent() {
            let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.turned.wait_timeout_while(turns, TURN, |_| self.share.is_spent()));
        }
        if self.calm.load(Relaxed) {
            self.wait_for_calm_to_end();
        }
        self.model()
    }

    fn wait_for_calm_to_end(&self) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(left) = turns.and_then(|until| until.checked_duration_since(Instant::now()))
            && !self.is_stopping()
        {
            let waited = self.turned.wait_timeout(turns, left);
            turns = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A mirror makes a short pass over the target during which nothing may move, or has made it. The looker waits, for a while at most:
    /// the mirror may be paused.
    pub(super) fn calm(&self, calm: bool) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        *turns = if calm { Instant::now().checked_add(CALM) } else { None };
        self.calm.store(calm, Relaxed);
        self.turned.notify_all();
    }

    /// A job begins to send over the stream; the flag is set when it shall end.
    pub(super) fn job_stops(&self, flag: Arc<AtomicBool>) {
        *self.job_stops.lock().unwrap_or_else(PoisonError::into_inner) = flag;
    }

    /// A mirror's turn: everything that was logged has been sent. None: the replication is ending, the target has, or the mirror shall.
    pub(super) fn mirror_turn(&self) -> Option<MutexGuard<'_, Model>> {
        let model = self.model();
        if self.queue.is_idle() {
            self.share.mirrors();
            return Some(model);
        }
        drop(model);
        let stops = Arc::clone(&self.job_stops.lock().unwrap_or_else(PoisonError::into_inner));
        self.share.waits();
        let turn = loop {
            if self.is_stopping() || !self.is_line_alive() || stops.load(Relaxed) {
                break None;
            }
            self.queue.wait_idle(Some(TURN), || self.is_stopping());
            let model = self.model();
            if self.queue.is_idle() {
                break Some(model);
            }
        };
        self.share.waits_no_more();
        self.share.mirrors();
        self.turned.notify_all();
        turn
    }

    /// Waits while the log is long and is being sent.
    pub(super) fn wait_for_room(&self) {
        let mut before = u64::MAX;
        loop {
            let usage = self.queue.usage();
            let records = usage.records + usage.under_way;
            if records <= ROOM || records >= before || self.is_stopping() {
                return;
            }
            before = records;
            self.queue.wait_room(ROOM, Some(STALL), || self.is_stopping());
        }
    }

    /// Puts a record into the queue; past its limit the log is lost, and records go to the dirty set alone until a mirror begins.
    /// `nodes`: the entries that it is about, and whether all that is below them is. Who logs what is about one holds the model.
    /// The record's position. None: it went with the log.
    pub(super) fn log(&self, record: &[u8], bytes: u64, nodes: &[(NodeId, bool)]) -> Option<u64> {
        // Before the record can be sent.
        nodes.iter().for_each(|(node, deep)| self.ledger.note(&Entry::Dirty { node: *node, deep: *deep }));
        let mut position = 0;
        if !self.degraded.load(Relaxed) {
            match self.queue.push(record, bytes) {
                Ok(at) => {
                    position = at;
                    self.show(Activity::Replicating);
                    self.share.replicates();
                    self.shared.ops_generated.fetch_add(1, Relaxed);
                    self.plan.traffic.counts.logs();
                }
                Err(full) => self.degrade(&full.to_string()),
            }
        }
        if !nodes.is_empty() {
            let mut dirty = self.dirty();
            dirty.logged(position);
            nodes.iter().for_each(|(node, deep)| dirty.node(*node, *deep));
        }
        if position == 0 {
            self.lose(Record::decode(record).ok().and_then(|record| record.leaves()));
        }
        (position > 0).then_some(position)
    }

    /// The log is given up: what it held is found again by comparing (architecture.md 4).
    pub(super) fn degrade(&self, why: &str) {
        if self.is_degraded() {
            return;
        }
        // Before anything is dropped: what is marked from now on is kept.
        self.dirty().lose();
        if !self.degraded.swap(true, Relaxed) {
            let Self { plan, .. } = self;
            let place = plan.place();
            event!(AutoDisconnectBegun, "Auto-disconnect begins: {place}: {why}");
            self.drop_log();
            tracing::warn!(
                "Source lost connection with {} {}: auto-disconnect of connection {}: {why}",
                plan.target_name,
                plan.target_address,
                plan.connection
            );
            plan.traffic.counts.disconnects();
            event!(AutoDisconnectDone, "Auto-disconnect is done: {place}");
            self.shared.require_remirror(why.to_owned());
        }
    }

    pub(super) fn is_degraded(&self) -> bool {
        self.degraded.load(Relaxed)
    }

    /// The looking thread has ended by itself: nothing is followed any more.
    pub(super) fn give_up(&self, why: &str) {
        self.given_up.store(true, Relaxed);
        event!(
            ReplicationGivenUp,
            "Replication has stopped until it is started again: {}: {why}",
            self.plan.place()
        );
        self.degraded.store(true, Relaxed);
        self.shared.require_mirror(Some(why.to_owned()));
        self.told.notify_all();
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }

    /// The thread that sends large files, for as long as the stream lasts.
    pub(super) fn set_bulk(&self, bulk: Weak<Bulk>) {
        *self.bulk.lock().unwrap_or_else(PoisonError::into_inner) = bulk;
    }

    /// None: there is no stream.
    pub(super) fn bulk(&self) -> Option<Arc<Bulk>> {
        self.bulk.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Ends all threads' waiting.
    pub(super) fn begin_stop(&self) {
        self.stopping.store(true, Relaxed);
        self.capture.looks().wake();
        self.turned.notify_all();
        self.plan.transmission.nudge();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Empties the log; names whose removal or move is dropped with it are remembered. Without locking the model.
    fn drop_log(&self) {
        let mut record = Vec::new();
        let mut lost = Vec::new();
        loop {
            match self.queue.pop(&mut record, Some(Duration::ZERO)) {
                Ok(Popped::Record { position, .. }) => {
                    lost.extend(Record::decode(&record).ok().and_then(|record| record.leaves()));
                    self.queue.done(position);
                }
                Ok(Popped::Nothing | Popped::Closed) => break,
                Err(_) => self.lose_all(),
            }
        }
        self.waiting().clear();
        self.drop_debts(lost);
        self.told.notify_all();
    }

    /// A new stream; the flag says whether it is up.
    pub(super) fn new_line(&self) -> Arc<AtomicBool> {
        let alive = Arc::new(AtomicBool::new(true));
        self.desk().new_stream();
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&alive);
        alive
    }

    pub(super) fn is_line_alive(&self) -> bool {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).load(Relaxed)
    }

    /// The target has told what it has applied; `all`: nothing is under way.
    pub(super) fn is_applied(&self, all: bool) {
        self.show_queue();
        if all && self.is_quiet() {
            self.forget_lacking();
            let looked = self.looked.load(Relaxed);
            if !self.dirty().is_doubtful() {
                self.settle(looked);
            }
            self.show(Activity::Ready);
        }
    }

    /// The target has all that changed before this time, as far as answers tell: unless something is known to be missed, is owed, is
    /// being sent by a job, or is dropped as the replication ends.
    pub(super) fn settle(&self, at: i64) {
        let missed = self.shared.required() != self.covered.load(Relaxed);
        if !missed && !self.is_mirroring() && !self.is_stopping() && !self.owes() {
            self.plan.settled.advance(at);
        }
    }

    /// Replication Status; Pending until a mirror has begun.
    fn show(&self, activity: Activity) {
        if activity == Activity::Ready {
            self.lost_events.store(false, Relaxed);
        }
        if self.active.load(Relaxed) {
            let lost = self.lost_events.load(Relaxed);
            self.shared.set_activity(if lost { Activity::OutOfMemory } else { activity });
        }
    }

    /// There was no room for events, here or in the kernel: all that is followed is compared.
    pub(super) fn loses_events(&self) {
        self.lost_events.store(true, Relaxed);
        self.show(Activity::Replicating);
    }

    /// Nothing is known that the target lacks, as far as the log goes.
    fn is_quiet(&self) -> bool {
        self.queue.is_idle() && !self.looking.load(Relaxed) && self.capture.looks().is_empty()
    }

    /// The looker has something to do, or has done it.
    pub(super) fn set_busy_looking(&self, busy: bool) {
        self.looking.store(busy, Relaxed);
        if !busy {
            // Nothing may be applied for a long time.
            self.show_queue();
        }
        if !busy && self.is_quiet() && self.is_all_applied() {
            self.show(Activity::Ready);
        }
    }

    /// The same while the stream is up: what was under way is not, once it has ended.
    pub(super) fn bulk_alive(&self) -> Option<Arc<Bulk>> {
        self.bulk().filter(|_| self.is_line_alive())
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits, and what is under way: large files are until they have come to their end.
    pub(super) fn show_queue(&self) {
        // Who looks first tells first.
        let _turn = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = self.queue.usage();
        let waits = usage.bytes + self.waiting().grown();
        let shared = &self.shared;
        let (files, left) = self.bulk_alive().map_or((0, 0), |bulk| (bulk.len() as u64, bulk.left()));
        let under_way =
            shared.bytes_transmitted.load(Relaxed).saturating_sub(shared.bytes_applied.load(Relaxed));
        shared.ops_queued.store(usage.records + usage.under_way + files, Relaxed);
        shared.bytes_queued.store(waits + under_way + left, Relaxed);
        shared.memory_queue.store(usage.memory_bytes, Relaxed);
        shared.disk_queue.store(usage.disk_bytes, Relaxed);
        let memory =
            usage.memory_bytes.saturating_mul(100) / self.plan.settings.queue.memory_max_bytes.max(1);
        shared.queue_percent.store(memory.max(usage.percent.into()).min(100), Relaxed);
    }

    /// The size that the target's file has.
    pub(super) fn model_size(&self, node: NodeId, id: &Identity) -> u64 {
        let model = self.model();
        if model.is(node, id) {
            return model.entry(node).size;
        }
        model.names_of(id).next().map_or(0, |node| model.entry(node).size)
    }

    /// What was sent of a file: its length on the target, and the stamp from before its bytes were read.
    /// `own`: the one name that has an inode of its own on the target; else of all that share one.
    pub(super) fn set_stamps(&self, id: &Identity, own: Option<NodeId>, size: u64, stamps: Stamps) {
        let mut model = self.model();
        for node in names_in(&model, id, own) {
            model.set_stamps(node, size, stamps);
        }
    }

    /// So many bytes the target's file has.
    pub(super) fn set_size(&self, id: &Identity, own: Option<NodeId>, size: u64) {
        let mut model = self.model();
        for node in names_in(&model, id, own) {
            model.set_size(node, size);
        }
    }
}

/// Replication sends the file: the present mirror leaves its names alone.
pub(super) fn follow(model: &mut Model, id: &Identity) {
    for node in model.names_of(id).collect::<Vec<_>>() {
        model.set(node, flag::FOLLOWED);
    }
}

/// The names whose inode on the target is the same: `own` alone, or all that share one.
fn names_in(model: &Model, id: &Identity, own: Option<NodeId>) -> Vec<NodeId> {
    match own {
        Some(node) => model.is(node, id).then_some(node).into_iter().collect(),
        None => model.names_of(id).filter(|node| !model.has(*node, flag::SEPARATE)).collect(),
    }
}
