//! What the threads of a replication share: the model and whose turn it is to change it, the queue, what holds it up.
//!
//! The log is one for mirror and replication (architecture.md 3). A mirror sends while it holds the model, and only when all
//! that was logged has gone out: then the model is what the target will have, and the mirror's operation takes its place in
//! the order. How much replication may send before a waiting mirror gets its turn: [`share`](super::share).

use super::super::capture::{Capture, Key};
use super::bulk::Bulk;
use super::desk::{Desk, Lost};
use super::dirty::{Area, Dirty, Marks, Nodes};
use super::model::{Identity, Model, NodeId, Stamps, flag};
use super::record::{At, Record};
use super::share::Share;
use crate::engine::connect::mounts::Mounts;
use crate::engine::job::JobPlan;
use crate::engine::log::escape;
use crate::engine::queue::{Popped, Queue};
use crate::engine::replication::{Activity, Hold, ReplicationShared};
use crate::engine::source::parts::{Parts, Vacated};
use crate::sys::{self, Dir, Stat};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The guard lets so few removals pass whatever their share is.
const GUARD_FLOOR: u64 = 10;
/// How long a copy that was larger is remembered by the guard.
const GUARD_WINDOW: Duration = Duration::from_secs(3600);
/// A waiting mirror gets its turn after so long, whatever the ratio.
const TURN: Duration = Duration::from_millis(20);

/// Records in the log above which nothing more is looked at while it is being sent: what is looked at later is sent as it is
/// then, once, however often it changes until then.
const ROOM: u64 = 4096;
/// Entries whose keys are remembered while there is something to send, some 80 bytes each; then all are forgotten.
const RECENT: usize = 256 * 1024;
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

/// What its key says of a file.
pub(super) enum ByKey {
    Open(File, Stat),
    /// It is no more; what is left of it goes with the events that say so.
    Gone,
    /// It has no key, or is not to be reached by it.
    Unknown,
}

/// See the module.
pub(in crate::engine::source) struct Common {
    pub(super) plan: JobPlan,
    pub(super) roots: BTreeMap<u16, RootPlace>,
    pub(super) queue: Queue,
    pub(super) capture: Arc<dyn Capture>,
    pub(super) shared: Arc<ReplicationShared>,
    pub(super) ignore_deletes: bool,
    model: Mutex<Model>,
    share: Share,
    turns: Mutex<()>,
    turned: Condvar,
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
    /// Questions for what is applied that were sent.
    pub(super) asked: AtomicU64,
    bulk: Mutex<Weak<Bulk>>,
}

/// What the present mirror, or the last one, compares.
#[derive(Debug, Default)]
struct Comparing {
    /// To be dirty again if it does not come to its end. None: no mirror is on its way.
    marks: Option<Marks>,
    /// Whatever only the target has is to go.
    unseen: bool,
    /// It has come to its end.
    complete: bool,
    /// None: everything.
    directories: Option<Arc<Nodes>>,
}

/// How a mirror begins.
#[derive(Debug, Default)]
pub(in crate::engine::source) struct Begun {
    /// Names may have left unseen: whatever only the target has has to go.
    pub unseen: bool,
    /// All that is to be compared. None: everything.
    pub parts: Option<Parts>,
    pub vacated: Vacated,
}

/// The largest copy of late, and since when it is so.
#[derive(Debug)]
struct Guard {
    percent: u64,
    peak: u64,
    since: Instant,
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
    ) -> Self {
        let percent = u64::from(plan.settings.orphans.guard_percent);
        let (ignore_deletes, share) = (plan.settings.ignore_deletes, Share::new(plan.settings.ratio));
        Self {
            plan,
            roots,
            queue,
            capture,
            shared,
            ignore_deletes,
            model: Mutex::new(model),
            share,
            turns: Mutex::default(),
            turned: Condvar::new(),
            stopping: AtomicBool::new(false),
            held: AtomicBool::new(false),
            released: AtomicBool::new(false),
            degraded: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            whole: AtomicBool::new(false),
            guard: Mutex::new(Guard { percent, peak: 0, since: Instant::now() }),
            desk: Mutex::default(),
            dirty: Mutex::default(),
            comparing: Mutex::default(),
            told: Condvar::new(),
            line: Mutex::default(),
            looking: AtomicBool::new(false),
            lost_events: AtomicBool::new(false),
            active: AtomicBool::new(false),
            mirroring: AtomicBool::new(false),
            mirrored: AtomicBool::new(false),
            recent: Mutex::default(),
            asked: AtomicU64::new(0),
            bulk: Mutex::default(),
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
            drop(self.turned.wait_timeout_while(turns, TURN, |()| self.share.is_spent()));
        }
        self.model()
    }

    /// A mirror's turn: everything that was logged has been sent. None: the replication is ending, or the target has.
    pub(super) fn mirror_turn(&self) -> Option<MutexGuard<'_, Model>> {
        let model = self.model();
        if self.queue.is_idle() {
            self.share.mirrors();
            return Some(model);
        }
        drop(model);
        self.share.waits();
        let turn = loop {
            if self.is_stopping() || !self.is_line_alive() {
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
        let mut position = 0;
        if !self.degraded.load(Relaxed) {
            match self.queue.push(record, bytes) {
                Ok(at) => {
                    position = at;
                    self.show(Activity::Replicating);
                    self.share.replicates();
                    self.shared.ops_generated.fetch_add(1, Relaxed);
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
            self.drop_log();
            let Self { plan, .. } = self;
            tracing::warn!(
                "Source lost connection with {} {}: auto-disconnect of connection {}: {why}",
                plan.target_name,
                plan.target_address,
                plan.connection
            );
            self.shared.require_remirror(why.to_owned());
        }
    }

    pub(super) fn is_degraded(&self) -> bool {
        self.degraded.load(Relaxed)
    }

    /// A job has ended. What a mirror that did not come to its end was to compare is dirty still.
    pub(super) fn job_ends(&self, complete: bool) {
        let mut comparing = self.comparing();
        comparing.complete = complete && comparing.marks.is_some();
        let (marks, unseen) = (if complete { None } else { comparing.marks.take() }, comparing.unseen);
        drop(comparing);
        if let Some(mut marks) = marks {
            let lost = self.is_degraded() || !self.is_line_alive();
            if lost {
                // What it had sent and what replication sent between cannot be told apart any more.
                marks.everything();
            }
            self.dirty().keep(&marks);
            if unseen || lost {
                self.lose_all();
            }
        }
        self.end_all_busy();
        self.whole.store(true, Relaxed);
        self.mirrored.store(self.is_mirroring(), Relaxed);
        self.capture.looks().wake();
    }

    /// The mirror has ended; what it did not find in its place is compared when it is found, which may be only now.
    pub(super) fn is_mirror_ending(&self) -> bool {
        self.mirrored.load(Relaxed)
    }

    /// Everything that was changed before the mirror ended was looked at.
    pub(super) fn end_mirroring(&self) {
        // Under the locks, as the next one may be beginning.
        let mut model = self.model();
        let mut comparing = self.comparing();
        if self.mirrored.swap(false, Relaxed) {
            self.mirroring.store(false, Relaxed);
            comparing.marks = None;
            if comparing.complete {
                model.clear_all(flag::VACATED);
            }
        }
    }

    /// The directories that the present mirror compares. None: all.
    pub(super) fn compared(&self) -> Option<Arc<Nodes>> {
        self.comparing().directories.clone()
    }

    /// A mirror is on its way: what the target has may not be what the model says.
    pub(super) fn is_mirroring(&self) -> bool {
        self.mirroring.load(Relaxed)
    }

    /// Names may have left unseen before the present mirror: the target may have anything.
    pub(super) fn is_unseen(&self) -> bool {
        self.comparing().unseen
    }

    /// The looking thread has ended by itself: nothing is followed any more.
    pub(super) fn give_up(&self, why: &str) {
        self.given_up.store(true, Relaxed);
        self.degraded.store(true, Relaxed);
        self.shared.require_mirror(Some(why.to_owned()));
        self.told.notify_all();
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }

    /// A mirror begins: it compares everything, or what is dirty, so what was dropped is made good by it. Names that left the
    /// source while the log was lost are removed first.
    pub(super) fn mirror_begins(&self) -> Begun {
        self.active.store(true, Relaxed);
        {
            let mut comparing = self.comparing();
            // What the last one left to be found is not found yet.
            if let Some(marks) = std::mem::take(&mut *comparing).marks {
                self.dirty().keep(&marks);
            }
            self.mirrored.store(false, Relaxed);
            self.mirroring.store(true, Relaxed);
        }
        // Held until the names that have left are in the log: what comes behind them may need their places.
        let mut model = self.model();
        let mut marks = self.begin_log(&mut model);
        self.begin_job(&mut model);
        let (left, unseen) = self.take_lost();
        for (root, path, name) in &left {
            if let Some(node) = model.at(*root, &super::super::folder::join(path, name)) {
                model.set(node, flag::VACATED);
            }
        }
        let vacated = model.flagged(flag::VACATED);
        let area = if self.shared.mirrors_dirty_only() && !self.has_given_up() {
            marks.area(&model, &left, &vacated)
        } else {
            None
        };
        self.tell_area(&model, area.as_ref());
        if area.is_none() {
            marks.everything();
        }
        let removes = !left.is_empty();
        self.remove_left(&model, &left);
        let (directories, parts) =
            area.map_or((None, None), |area| (Some(Arc::new(area.directories)), Some(area.parts)));
        let vacated = Vacated::new(vacated.into_iter().map(|node| model.path(node)));
        *self.comparing() = Comparing { marks: Some(marks), unseen, complete: false, directories };
        drop(model);
        if removes {
            // The target describes itself without them.
            drop(self.mirror_turn());
        }
        Begun { unseen, parts, vacated }
    }

    /// From now on records are logged. What has to be compared.
    fn begin_log(&self, model: &mut Model) -> Marks {
        if self.is_degraded() {
            // What was being logged when the log was lost.
            self.drop_log();
        }
        let degraded = self.degraded.swap(self.has_given_up(), Relaxed);
        if degraded {
            model.clear_all(flag::CONTENT | flag::META);
        }
        let mut marks = self.dirty().take();
        for place in self.take_unhealed() {
            self.at_places(model, &place).into_iter().for_each(|(node, _)| marks.node(node, true));
        }
        marks
    }

    /// Removes the names that nothing has taken since.
    fn remove_left(&self, model: &Model, left: &[Lost]) {
        let mut record = Vec::new();
        for (root, path, name) in left {
            // One whose directory has left, too, goes with that; to remove it by itself would make the directory, also where
            // the source has something else by now.
            let Some(directory) = model.directory_at(*root, path) else { continue };
            if model.child(directory, name).is_none() {
                record.clear();
                let at = At { root: *root, path, name };
                Record::Remove { at, directory: true }.encode(&mut record);
                self.log(&record, 0, &[(directory, false)]);
            }
        }
    }

    fn tell_area(&self, model: &Model, area: Option<&Area>) {
        if let Some(area) = area {
            let (compared, all) = (area.directories.len(), model.directories());
            let id = self.plan.connection;
            tracing::info!("Remirror of connection {id}: {compared} of {all} directories are compared");
        }
    }

    /// A mirror or verification begins: what replication sends from now on it leaves alone.
    pub(super) fn job_begins(&self) {
        self.begin_job(&mut self.model());
    }

    fn begin_job(&self, model: &mut Model) {
        model.clear_all(flag::FOLLOWED | flag::TIMED | flag::PASSED);
        self.clear_requests();
        let Some(bulk) = self.bulk.lock().unwrap_or_else(PoisonError::into_inner).upgrade() else { return };
        // What is under way goes on, into the file that the target has now. One that ends meanwhile leaves sums, which are of
        // no use once the job has sent the file.
        for id in bulk.under_way() {
            follow(model, &id);
        }
        bulk.forget_all();
    }

    /// The thread that sends large files, for as long as the stream lasts.
    pub(super) fn set_bulk(&self, bulk: Weak<Bulk>) {
        *self.bulk.lock().unwrap_or_else(PoisonError::into_inner) = bulk;
    }

    /// Ends all threads' waiting.
    pub(super) fn begin_stop(&self) {
        self.stopping.store(true, Relaxed);
        self.capture.looks().wake();
        self.turned.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Nothing is looked at until a person decides. A missing root is looked at more closely: one that is on the file system
    /// of the directory above it was renamed or removed, a mount point was unmounted.
    pub(super) fn hold(&self, hold: Hold) {
        let hold = match hold {
            Hold::RootGone { path } => {
                let place =
                    self.roots.values().find(|place| escape(place.path.as_os_str().as_bytes()) == path);
                let missing = place.is_some_and(|place| {
                    std::fs::symlink_metadata(&place.path)
                        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
                });
                let part = place.is_some_and(|place| place.above.is_some());
                if missing && part { Hold::RootRenamed { path } } else { Hold::RootGone { path } }
            }
            other => other,
        };
        if !self.held.swap(true, Relaxed) {
            tracing::warn!(
                "Replication of connection {} waits: {}",
                self.plan.connection,
                hold.words(self.plan.connection)
            );
            self.shared.set_hold(Some(hold));
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Relaxed)
    }

    /// Goes on with what was held up. False: nothing was.
    pub(super) fn release(&self) -> bool {
        if !self.held.load(Relaxed) {
            return false;
        }
        self.released.store(true, Relaxed);
        self.shared.set_hold(None);
        self.held.store(false, Relaxed);
        self.capture.looks().wake();
        self.turned.notify_all();
        true
    }

    /// A person has said that it shall be done.
    pub(super) fn is_released(&self) -> bool {
        self.released.load(Relaxed)
    }

    /// What was released is done; from now on the guard counts anew.
    pub(super) fn end_release(&self) {
        self.released.store(false, Relaxed);
        self.reset_guard();
    }

    /// Counts from the present size of the copy.
    pub(super) fn reset_guard(&self) {
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        (guard.peak, guard.since) = (0, Instant::now());
    }

    /// Would the copy shrink by more than the set share of what it was of late? The answer is why to wait.
    pub(super) fn guard(&self, removed: u64, entries: u64) -> Option<Hold> {
        if !self.whole.load(Relaxed) {
            return None;
        }
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        if entries >= guard.peak || guard.since.elapsed() > GUARD_WINDOW {
            (guard.peak, guard.since) = (entries, Instant::now());
        }
        let lost = guard.peak - entries.saturating_sub(removed);
        let over = lost >= GUARD_FLOOR && lost * 100 > guard.peak * guard.percent;
        over.then_some(Hold::MassDeletion { entries: lost, of: guard.peak })
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
        self.drop_debts(lost);
        self.told.notify_all();
    }

    /// A new stream; the flag says whether it is up.
    pub(super) fn new_line(&self) -> Arc<AtomicBool> {
        let alive = Arc::new(AtomicBool::new(true));
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
            self.show(Activity::Ready);
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
        if !busy && self.is_quiet() && self.is_all_applied() {
            self.show(Activity::Ready);
        }
    }

    fn show_queue(&self) {
        let usage = self.queue.usage();
        let shared = &self.shared;
        let under_way =
            shared.bytes_transmitted.load(Relaxed).saturating_sub(shared.bytes_applied.load(Relaxed));
        shared.ops_queued.store(usage.records + usage.under_way, Relaxed);
        shared.bytes_queued.store(usage.bytes + under_way, Relaxed);
        shared.disk_queue.store(usage.disk_bytes, Relaxed);
    }

    /// Waits until a person releases what is held, or the end.
    pub(super) fn wait_release(&self) {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.turned.wait_while(turns, |()| self.is_held() && !self.is_stopping()));
    }

    // --- stamps ----------------------------------------------------------------------------------------------

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

    /// Opens a directory by its key, if that shows it below its root: then it does not matter where it has moved meanwhile.
    /// None: its path has to tell.
    pub(super) fn open_by_key(&self, root: u16, key: &Key, id: &Identity) -> Option<Dir> {
        let dir = self.capture.open_dir(key).ok()??;
        self.is_within(root, &dir, &Stat::of(&dir).ok()?, id).then_some(dir)
    }

    /// The same for an entry of any kind whose key was noted lately, by `O_PATH`.
    pub(super) fn hold_by_key(&self, root: u16, id: &Identity) -> ByKey {
        self.found_by_key(root, id, |key| Ok(self.capture.hold(key)?.map(File::from)))
    }

    /// The same for a file, to be read.
    pub(super) fn open_file_by_key(&self, root: u16, id: &Identity) -> ByKey {
        self.found_by_key(root, id, |key| self.capture.open_file(key, (id.dev, id.ino)))
    }

    fn found_by_key(
        &self,
        root: u16,
        id: &Identity,
        open: impl FnOnce(&Key) -> io::Result<Option<File>>,
    ) -> ByKey {
        let file = match self.key_of(id).map(|key| open(&key)) {
            Some(Ok(Some(file))) => file,
            Some(Ok(None)) => return ByKey::Gone,
            Some(Err(_)) | None => return ByKey::Unknown,
        };
        match Stat::of(&file) {
            Ok(stat) if stat.links == 0 => ByKey::Gone,
            Ok(stat) if self.is_within(root, &file, &stat, id) => ByKey::Open(file, stat),
            _ => ByKey::Unknown,
        }
    }

    pub(super) fn key_of(&self, id: &Identity) -> Option<Key> {
        self.recent().get(id).cloned()
    }

    /// Is it this object, with a name below its root?
    fn is_within(&self, root: u16, fd: impl AsFd, stat: &Stat, id: &Identity) -> bool {
        let Some(RootPlace { real, .. }) = self.roots.get(&root) else { return false };
        let Ok(path) = sys::path_of(fd) else { return false };
        let is_below = Path::new(OsStr::from_bytes(&path)).starts_with(OsStr::from_bytes(real));
        stat.links > 0 && Identity::of(stat) == *id && is_below
    }

    /// The keys by which events told of entries lately.
    fn recent(&self) -> MutexGuard<'_, HashMap<Identity, Key>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event told of an entry by this key.
    pub(super) fn note_key(&self, id: Identity, key: &Key) {
        let mut recent = self.recent();
        if recent.len() >= RECENT {
            recent.clear();
        }
        recent.insert(id, key.clone());
    }

    /// Nothing is left to be sent: nothing is kept open for it, and what is not owed is not remembered either.
    pub(super) fn rest(&self) {
        if !self.is_owing() {
            self.recent().clear();
        }
        self.capture.let_go();
    }

    /// Does the name lead to this inode at the moment? The model is held meanwhile: what changes later is looked at later.
    pub(super) fn stands_at(&self, id: &Identity, root: u16, path: &[u8], name: &[u8]) -> bool {
        let Some(place) = self.roots.get(&root) else { return false };
        let found = Dir::open_root(&place.path).and_then(|top| {
            let dir = if path.is_empty() { top } else { top.descend(&sys::c_string(path)?)? };
            dir.stat(&sys::c_string(name)?)
        });
        found.is_ok_and(|stat| Identity::of(&stat) == *id)
    }

    /// The places where something is mounted now.
    pub(super) fn mount_points(&self) -> Vec<PathBuf> {
        // Without the table the events of the mounts themselves are all there is.
        Mounts::read().map(|mounts| mounts.points().map(PathBuf::from).collect()).unwrap_or_default()
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
