//! What the threads of a replication share: the model and whose turn it is to change it, the queue, what holds it up.
//!
//! The log is one for mirror and replication (architecture.md 3). A mirror sends while it holds the model, and only when all
//! that was logged has gone out: then the model is what the target will have, and the mirror's operation takes its place in
//! the order. `HPQueueRatio` says how many operations of replication may pass before a waiting mirror gets its turn.

use super::super::capture::Capture;
use super::super::emit::{Emit, REPLICATIONS, TargetGone};
use super::super::queue::{Popped, Queue};
use super::bulk::Bulk;
use super::model::{Identity, Model, NodeId, Stamps, flag};
use super::moves::{Moves, Place};
use super::record::{At, Record};
use crate::engine::connect::mounts::Mounts;
use crate::engine::job::JobPlan;
use crate::engine::log::escape;
use crate::engine::replication::{Activity, Hold, ReplicationShared};
use crate::sys::{self, Dir};
use crate::wire::Op;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The guard lets so few removals pass whatever their share is.
const GUARD_FLOOR: u64 = 10;
/// How long a copy that was larger is remembered by the guard.
const GUARD_WINDOW: Duration = Duration::from_secs(3600);
/// A waiting mirror gets its turn after so long, whatever the ratio.
const TURN: Duration = Duration::from_millis(20);

/// A root as replication reaches it.
#[derive(Clone, Debug)]
pub(super) struct RootPlace {
    /// Source path of the directory: the root, or the parent of a root that is one file.
    pub path: PathBuf,
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
    model: Mutex<Model>,
    /// Operations of replication that may pass a waiting mirror (HPQueueRatio).
    ratio: u64,
    /// Mirrors that wait for their turn.
    mirrors: AtomicU64,
    since_mirror: AtomicU64,
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
    /// Directories (device, inode) that the looker is asked to list.
    rescans: Mutex<Vec<(u64, u64)>>,
    /// Files whose content it is asked to have compared.
    contents: Mutex<Vec<(u64, u64)>>,
    moves: Mutex<Moves>,
    /// What is to be looked at again, and barriers on their way.
    desk: Mutex<Desk>,
    told: Condvar,
    /// The stream is up; another flag for each stream.
    line: Mutex<Arc<AtomicBool>>,
    looking: AtomicBool,
    /// A mirror has begun since the start.
    active: AtomicBool,
    asked: AtomicU64,
    bulk: Mutex<Weak<Bulk>>,
}

/// What threads ask of each other, outside the order of the log.
#[derive(Debug, Default)]
struct Desk {
    /// Barriers that the looker has not taken yet, and how often each was sent back.
    marks: Vec<u64>,
    returned: HashMap<u64, u32>,
    reached: HashSet<u64>,
    /// Records whose file had moved when their turn came.
    missed: Vec<Vec<u8>>,
    /// Places of the target that are not as the model has them: to be sent anew.
    heals: Vec<(u16, Vec<u8>)>,
    healed: HashMap<(u16, Vec<u8>), u32>,
    /// Files that a mirror sends at the moment, and whether they were changed meanwhile.
    busy: HashMap<(u64, u64), bool>,
    /// Names that are gone or moved, whose operation is not applied yet, by the question that follows it.
    leaving: VecDeque<(u64, Lost)>,
    /// Of these, the ones whose operation was dropped: they may still stand on the target.
    lost: Vec<Lost>,
    /// Which they are is not known.
    lost_all: bool,
    /// Sent bytes at each question, to know what is applied.
    asks: VecDeque<(u64, u64)>,
    /// Files with several names of which a mirror and replication may both have sent some: to be sent whole, with all names.
    regroups: Vec<Identity>,
    regrouped: HashSet<Identity>,
    /// Names under which a job sent a file whole that has others.
    links: Vec<(NodeId, Identity)>,
    /// What a mirror sent with metadata that may be older than what replication had sent.
    times: Vec<Identity>,
}

/// A name of the target: root, directory, name.
pub(super) type Lost = (u16, Vec<u8>, Vec<u8>);

/// A question whose answer says that all before it is applied.
const ASK: u64 = 1 << 62;
/// How often a barrier is sent back because a file had just moved.
const RETURNS: u32 = 5;
/// How often one place is sent anew before that is a failure.
const HEALS: u32 = 3;

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
        let (ignore_deletes, ratio) = (plan.settings.ignore_deletes, u64::from(plan.settings.ratio).max(1));
        Self {
            plan,
            roots,
            queue,
            capture,
            shared,
            ignore_deletes,
            model: Mutex::new(model),
            ratio,
            mirrors: AtomicU64::new(0),
            since_mirror: AtomicU64::new(0),
            turns: Mutex::default(),
            turned: Condvar::new(),
            stopping: AtomicBool::new(false),
            held: AtomicBool::new(false),
            released: AtomicBool::new(false),
            degraded: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            whole: AtomicBool::new(false),
            guard: Mutex::new(Guard { percent, peak: 0, since: Instant::now() }),
            rescans: Mutex::default(),
            contents: Mutex::default(),
            moves: Mutex::default(),
            desk: Mutex::default(),
            told: Condvar::new(),
            line: Mutex::default(),
            looking: AtomicBool::new(false),
            active: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            bulk: Mutex::default(),
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model, for a moment.
    pub(super) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The looker's turn.
    pub(super) fn turn(&self) -> MutexGuard<'_, Model> {
        if self.mirrors.load(Relaxed) > 0 && self.since_mirror.load(Relaxed) >= self.ratio * 64 {
            let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            let over = |(): &mut ()| self.mirrors.load(Relaxed) > 0 && self.since_mirror.load(Relaxed) > 0;
            drop(self.turned.wait_timeout_while(turns, TURN, over));
        }
        self.model()
    }

    /// A mirror's turn: everything that was logged has been sent. None: the replication is ending.
    pub(super) fn mirror_turn(&self) -> Option<MutexGuard<'_, Model>> {
        let model = self.model();
        if self.queue.is_idle() {
            return Some(model);
        }
        drop(model);
        self.mirrors.fetch_add(1, Relaxed);
        let turn = loop {
            if self.is_stopping() {
                break None;
            }
            self.queue.wait_idle(Some(TURN), || self.is_stopping());
            let model = self.model();
            if self.queue.is_idle() {
                break Some(model);
            }
        };
        self.mirrors.fetch_sub(1, Relaxed);
        self.since_mirror.store(0, Relaxed);
        self.turned.notify_all();
        turn
    }

    /// Puts a record into the queue. Past its limit the copy has to be compared anew, and records are dropped until then.
    pub(super) fn log(&self, record: &[u8], bytes: u64) {
        if self.degraded.load(Relaxed) {
            return;
        }
        match self.queue.push(record, bytes) {
            Ok(_) => {
                self.show(Activity::Replicating);
                self.since_mirror.fetch_add(1, Relaxed);
                self.shared.ops_generated.fetch_add(1, Relaxed);
            }
            Err(full) => self.degrade(&full.to_string()),
        }
    }

    /// The log is given up: what it held is found again by comparing (architecture.md 4).
    pub(super) fn degrade(&self, why: &str) {
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

    pub(super) fn mirror_ends(&self) {
        self.whole.store(true, Relaxed);
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

    /// A mirror begins: it compares everything, so what was dropped is made good by it.
    /// Names that left the source while the log was dropped are removed first. True: which they were is not known, so that
    /// whatever only the target has has to go.
    pub(super) fn mirror_begins(&self) -> bool {
        self.active.store(true, Relaxed);
        let degraded = self.degraded.swap(self.has_given_up(), Relaxed);
        if degraded {
            self.model().clear_all(flag::CONTENT | flag::META);
        }
        self.job_begins();
        let model = self.model();
        let (lost, all) = self.take_lost();
        let mut record = Vec::new();
        for (root, path, name) in lost {
            let whole = super::super::folder::join(&path, &name);
            if model.at(root, &whole).is_none() {
                record.clear();
                let at = At { root, path: &path, name: &name };
                Record::Remove { at, directory: true }.encode(&mut record);
                self.log(&record, 0);
            }
        }
        all
    }

    /// A mirror or verification begins: what replication sends from now on it leaves alone.
    pub(super) fn job_begins(&self) {
        self.model().clear_all(flag::FOLLOWED | flag::TIMED);
        let mut desk = self.desk();
        desk.regrouped.clear();
        desk.times.clear();
        drop(desk);
        let Some(bulk) = self.bulk.lock().unwrap_or_else(PoisonError::into_inner).upgrade() else { return };
        // What is under way goes on, into the file that the target has now. One that ends meanwhile leaves sums, which are of
        // no use once the job has sent the file.
        let under_way = bulk.under_way();
        let mut model = self.model();
        for id in under_way {
            follow(&mut model, &id);
        }
        drop(model);
        bulk.forget_all();
    }

    /// The thread that sends large files, for as long as the stream lasts.
    pub(super) fn set_bulk(&self, bulk: Weak<Bulk>) {
        *self.bulk.lock().unwrap_or_else(PoisonError::into_inner) = bulk;
    }

    /// Asks for a file to be sent anew with all its names, once in a job.
    pub(super) fn ask_regroup(&self, id: Identity) {
        let mut desk = self.desk();
        if desk.regrouped.insert(id) {
            desk.regroups.push(id);
        }
        drop(desk);
        self.capture.looks().wake();
    }

    /// A job has sent a file whole under this name: asks for its other names to be linked to it.
    pub(super) fn ask_links(&self, node: NodeId, id: Identity) {
        self.desk().links.push((node, id));
        self.capture.looks().wake();
    }

    pub(super) fn take_links(&self) -> Vec<(NodeId, Identity)> {
        std::mem::take(&mut self.desk().links)
    }

    pub(super) fn take_regroups(&self) -> Vec<Identity> {
        std::mem::take(&mut self.desk().regroups)
    }

    /// Asks for metadata to be sent anew.
    pub(super) fn ask_time(&self, id: Identity) {
        let mut desk = self.desk();
        if desk.times.last() != Some(&id) {
            desk.times.push(id);
        }
        drop(desk);
        self.capture.looks().wake();
    }

    pub(super) fn take_times(&self) -> Vec<Identity> {
        std::mem::take(&mut self.desk().times)
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
                        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
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

    /// Asks the looker to list a directory again.
    pub(super) fn ask_rescan(&self, id: (u64, u64)) {
        let mut rescans = self.rescans.lock().unwrap_or_else(PoisonError::into_inner);
        if !rescans.contains(&id) {
            rescans.push(id);
        }
        drop(rescans);
        self.capture.looks().wake();
    }

    pub(super) fn take_rescans(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.rescans.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn has_rescans(&self) -> bool {
        !self.rescans.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
            || !self.contents.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
            || {
                let desk = self.desk();
                !desk.regroups.is_empty() || !desk.times.is_empty() || !desk.links.is_empty()
            }
    }

    /// Empties the log; names whose removal or move is dropped with it are remembered.
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
                Err(_) => self.desk().lost_all = true,
            }
        }
        let mut desk = self.desk();
        let leaving = std::mem::take(&mut desk.leaving);
        desk.lost.extend(leaving.into_iter().map(|(_, lost)| lost));
        desk.lost.extend(lost);
        desk.asks.clear();
        desk.missed.clear();
        desk.heals.clear();
        drop(desk);
        self.told.notify_all();
    }

    /// Records were damaged: which names they were about is not known.
    pub(super) fn lose_all(&self) {
        self.desk().lost_all = true;
    }

    /// The names that may stand on the target though they are gone; true: there may be others.
    pub(super) fn take_lost(&self) -> (Vec<Lost>, bool) {
        let mut desk = self.desk();
        (std::mem::take(&mut desk.lost), std::mem::take(&mut desk.lost_all))
    }

    /// A name is leaving the target: the operation is sent, and not yet applied.
    pub(super) fn leaves(&self, lost: Lost) {
        let asked = self.asked.load(Relaxed) + 1;
        self.desk().leaving.push_back((asked, lost));
    }

    /// A record whose file was not where it had been a moment before.
    pub(super) fn miss(&self, record: &[u8]) {
        self.desk().missed.push(record.to_vec());
        self.capture.looks().wake();
    }

    pub(super) fn take_missed(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.desk().missed)
    }

    pub(super) fn has_missed(&self) -> bool {
        let desk = self.desk();
        !desk.missed.is_empty() || !desk.heals.is_empty()
    }

    /// A rename was logged.
    pub(super) fn note_move(&self, from: Place, to: Place) {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner).note(from, to);
    }

    /// The entries that may be what stood at a place when an operation that has failed since was sent.
    pub(super) fn now_at(&self, place: Place) -> Vec<NodeId> {
        let places = self.moves.lock().unwrap_or_else(PoisonError::into_inner).since(place);
        let model = self.model();
        places.iter().filter_map(|(root, path)| model.at(*root, path)).collect()
    }

    /// Asks for a place of the target to be sent anew. False: it was, often enough.
    pub(super) fn ask_heal(&self, root: u16, path: &[u8], name: &[u8]) -> bool {
        let place = (root, super::super::folder::join(path, name));
        let mut desk = self.desk();
        let count = desk.healed.entry(place.clone()).or_default();
        *count += 1;
        if *count > HEALS {
            return false;
        }
        if !desk.heals.contains(&place) {
            desk.heals.push(place);
        }
        drop(desk);
        self.capture.looks().wake();
        true
    }

    pub(super) fn take_heals(&self) -> Vec<(u16, Vec<u8>)> {
        std::mem::take(&mut self.desk().heals)
    }

    /// A mirror sends this file from now on; replication leaves it alone until [`Common::end_busy`].
    pub(super) fn begin_busy(&self, id: (u64, u64)) {
        self.desk().busy.insert(id, false);
    }

    /// The mirror has sent it. What came meanwhile is looked at.
    pub(super) fn end_busy(&self, id: (u64, u64)) {
        let again = self.desk().busy.remove(&id) == Some(true);
        if again {
            self.ask_content(id);
        }
    }

    pub(super) fn is_busy(&self, id: &Identity) -> bool {
        let mut desk = self.desk();
        let busy = desk.busy.get_mut(&(id.dev, id.ino));
        busy.map(|again| *again = true).is_some()
    }

    /// Asks for a file's content to be compared.
    pub(super) fn ask_content(&self, id: (u64, u64)) {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        contents.push(id);
        drop(contents);
        self.capture.looks().wake();
    }

    pub(super) fn take_contents(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.contents.lock().unwrap_or_else(PoisonError::into_inner))
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

    // --- barriers --------------------------------------------------------------------------------------------

    /// A barrier begins: the looker takes it when it has looked at everything that was changed before.
    pub(super) fn ask_mark(&self, number: u64) {
        self.desk().marks.push(number);
        self.capture.looks().wake();
    }

    pub(super) fn take_marks(&self) -> Vec<u64> {
        std::mem::take(&mut self.desk().marks)
    }

    pub(super) fn has_marks(&self) -> bool {
        !self.desk().marks.is_empty()
    }

    /// The barrier's place in the log.
    pub(super) fn log_mark(&self, number: u64) {
        let mut record = Vec::new();
        Record::Mark { number }.encode(&mut record);
        self.log(&record, 0);
    }

    /// Its turn has come, but a file that was changed before it had just moved: it goes round once more.
    pub(super) fn return_mark(&self, number: u64) -> bool {
        let mut desk = self.desk();
        if desk.missed.is_empty() && desk.heals.is_empty() {
            return false;
        }
        let returned = desk.returned.entry(number).or_default();
        *returned += 1;
        let again = *returned <= RETURNS;
        if again {
            desk.marks.push(number);
        } else {
            desk.returned.remove(&number);
        }
        drop(desk);
        self.capture.looks().wake();
        again
    }

    /// Waits a while; true: everything before the barrier is applied.
    pub(super) fn wait_mark(&self, number: u64, time: Duration) -> bool {
        let desk = self.desk();
        let (mut desk, _) = self
            .told
            .wait_timeout_while(desk, time, |desk| !desk.reached.contains(&number) && !self.is_stopping())
            .unwrap_or_else(PoisonError::into_inner);
        desk.reached.remove(&number)
    }

    pub(super) fn wake_barriers(&self) {
        self.told.notify_all();
    }

    /// Appends a question for when all before it is applied.
    pub(super) fn ask_applied(&self, emit: &mut Emit) -> Result<(), TargetGone> {
        let number = self.asked.fetch_add(1, Relaxed) + 1;
        let sent = self.shared.bytes_transmitted.load(Relaxed);
        self.desk().asks.push_back((number, sent));
        emit.push(&Op::Barrier { barrier: number | ASK | REPLICATIONS })
    }

    /// The target has applied everything before a barrier or question. `idle`: no large file is under way.
    pub(super) fn reached(&self, number: u64, idle: bool) {
        let mut desk = self.desk();
        if number & ASK == 0 {
            desk.reached.insert(number);
            desk.returned.remove(&number);
            drop(desk);
            self.told.notify_all();
            return;
        }
        let number = number & !ASK;
        while let Some((asked, sent)) = desk.asks.front().copied()
            && asked <= number
        {
            self.shared.bytes_applied.store(sent, Relaxed);
            desk.asks.pop_front();
        }
        while desk.leaving.front().is_some_and(|(asked, _)| *asked <= number) {
            desk.leaving.pop_front();
        }
        let all = desk.asks.is_empty();
        if all {
            desk.healed.clear();
        }
        drop(desk);
        self.show_queue();
        if all && idle && self.is_quiet() {
            self.show(Activity::Ready);
        }
    }

    /// Replication Status; Pending until a mirror has begun.
    fn show(&self, activity: Activity) {
        if self.active.load(Relaxed) {
            self.shared.set_activity(activity);
        }
    }

    /// Nothing is known that the target lacks, as far as the log goes.
    fn is_quiet(&self) -> bool {
        self.queue.is_idle() && !self.looking.load(Relaxed) && self.capture.looks().is_empty()
    }

    /// The looker has something to do, or has done it.
    pub(super) fn set_busy_looking(&self, busy: bool) {
        self.looking.store(busy, Relaxed);
        if !busy && self.is_quiet() && self.desk().asks.is_empty() {
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
