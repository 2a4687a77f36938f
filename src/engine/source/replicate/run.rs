//! A running replication: its threads, barriers, what the target answers, and its end.

use super::super::capture::{Batch, Key};
use super::bulk::Bulk;
use super::common::Common;
use super::desk::Spent;
use super::line::{Hears, JobEnd, Line, spawn, spawn_prompt};
use super::look::Looker;
use super::tasks;
use super::transmit::Transmitter;
use crate::api::{ApiError, Code, Event, Watch};
use crate::engine::job::{JobShared, Sink};
use crate::engine::log::{escape, event};
use crate::engine::replication::{Replication, ReplicationShared};
use crate::engine::source::emit::REPLICATIONS;
use crate::engine::source::walk::source_path;
use crate::engine::tasks::Submitted;
use crate::wire::{Answer, FailureKind};
use std::any::Any;
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How often a barrier's caller is asked whether it still waits.
const BEAT: Duration = Duration::from_millis(100);
/// How often files that are written without events are looked at.
const TICK: Duration = Duration::from_secs(5);
/// How often a barrier begins anew when something before it went round as often as one barrier may.
const TRIES: u32 = 4;
/// How long the end of a service waits for the target to have all of the ledger.
const LEDGER: Duration = Duration::from_secs(2);
/// What was missed when the source was listed is looked for so long before a mirror begins.
const LISTED: Duration = Duration::from_secs(2);
/// Memory for what is known of the target's blocks.
const INDEX: usize = 64 << 20;

/// The stream and the threads that live as long as it does.
struct Live {
    line: Arc<Line>,
    bulk: Arc<Bulk>,
    threads: Vec<JoinHandle<()>>,
}

/// A running replication.
pub(in crate::engine::source) struct Follow {
    common: Arc<Common>,
    targets: Vec<(PathBuf, Option<Vec<u8>>)>,
    live: Mutex<Live>,
    looker: Mutex<Option<JoinHandle<()>>>,
    marks: AtomicU64,
    stopped: AtomicBool,
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Follow({}, {:?})", self.common.plan.connection, self.common)?;
        write!(f, "{:?}", lock(&self.live).bulk.describe())
    }
}

/// Hands answers to what they are for. Weak, as the stream's threads hold it.
struct Ears {
    common: Arc<Common>,
    bulk: Mutex<Weak<Bulk>>,
    alive: Arc<AtomicBool>,
    /// The target holds operations back.
    holding: AtomicBool,
}

impl Hears for Ears {
    fn answer(&self, answer: &Answer<'_>) {
        let bulk = || lock(&self.bulk).upgrade();
        match answer {
            Answer::Sums { question, sums, last } => {
                if let Some(bulk) = bulk() {
                    bulk.sums(*question, sums, last.is_some());
                }
            }
            Answer::NoSums { question, .. } => {
                if let Some(bulk) = bulk() {
                    bulk.sums(*question, &[], true);
                }
            }
            Answer::Here { question } => {
                if let Some(bulk) = bulk() {
                    bulk.here(*question);
                }
            }
            Answer::Written { file } => {
                if let Some(bulk) = bulk() {
                    bulk.written(*file);
                }
            }
            Answer::Reached { barrier } => {
                let idle = bulk().is_none_or(|bulk| bulk.len() == 0);
                self.common.reached(barrier & !REPLICATIONS, idle);
            }
            Answer::Held { count, retrying, errno, root, path, name, what } => {
                self.held_back(*count, *retrying, &self.common.shown(*root, path, name), *errno, what);
            }
            Answer::Queue { operations, memory, disk } => self.queued(*operations, *memory, *disk),
            Answer::Task(told) => self.common.task_told(told),
            Answer::Failed { kind, errno, root, path, name, what, .. } => {
                self.common.failed(*kind, *errno, *root, path, name, &String::from_utf8_lossy(what));
            }
            _ => {}
        }
    }

    fn ended(&self, error: Option<String>) {
        self.alive.store(false, Relaxed);
        self.common.shared.retrying.store(false, Relaxed);
        self.queued(0, 0, 0);
        if !self.common.is_stopping() {
            let plan = &self.common.plan;
            if let (Sink::Far(_), Some(error)) = (&plan.sink, &error) {
                event!(TargetLost, "The target is down or out of reach: {}: {error}", plan.place());
            }
            self.common.degrade(error.as_deref().unwrap_or("the target has ended"));
        }
        if let Some(bulk) = lock(&self.bulk).upgrade() {
            bulk.close();
        }
        self.common.plan.transmission.nudge();
        self.common.wake_barriers();
    }
}

impl Ears {
    /// What the target has not done yet.
    fn queued(&self, operations: u64, memory: u64, disk: u64) {
        let shared = &self.common.shared;
        shared.target_ops.store(operations, Relaxed);
        shared.target_memory.store(memory, Relaxed);
        shared.target_disk.store(disk, Relaxed);
    }

    /// The target holds so many operations back. The log names the first at once; the status, and a warning, follow
    /// `TGWriteFailureBeforeNotification`.
    fn held_back(&self, count: u32, retrying: bool, shown: &str, errno: i32, what: &[u8]) {
        let shared = &self.common.shared;
        let (held, was_held) = (count > 0, self.holding.swap(count > 0, Relaxed));
        if held {
            let error = io::Error::from_raw_os_error(errno);
            let what = String::from_utf8_lossy(what);
            let reason = format!("cannot {what} on the target: {error}; it is tried again");
            if !was_held {
                tracing::info!("{shown}: {reason}");
            }
            if shared.last_error() != Some(format!("{shown}: {reason}")) {
                shared.fail(shown, &reason);
            }
        }
        let target = &self.common.plan.target_name;
        match (shared.retrying.swap(retrying, Relaxed), retrying) {
            (false, true) => tracing::warn!("Target {target} is retrying operations"),
            (true, false) => tracing::warn!("Target {target} is no longer retrying operations"),
            _ => {}
        }
        if was_held && !held {
            tracing::info!("What the target could not do at first is done now");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Follow {
    pub(super) fn start(
        common: Arc<Common>,
        targets: Vec<(PathBuf, Option<Vec<u8>>)>,
        above: HashSet<Key>,
    ) -> Result<Follow, ApiError> {
        let live = Self::connect(&common, &targets)?;
        let looking = Arc::clone(&common);
        let looker = spawn_prompt("look", move || {
            let _member = looking.favour.joins();
            let work = std::panic::AssertUnwindSafe(|| look(&looking, above));
            if std::panic::catch_unwind(work).is_err() {
                // The runtime has told the details; no barrier may wait for what no longer looks.
                looking.give_up("an internal error stopped following the source");
            }
        })?;
        Ok(Follow {
            common,
            targets,
            live: Mutex::new(live),
            looker: Mutex::new(Some(looker)),
            marks: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    #[cfg(test)]
    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    /// Opens the stream and starts the threads that send over it.
    fn connect(common: &Arc<Common>, targets: &[(PathBuf, Option<Vec<u8>>)]) -> Result<Live, ApiError> {
        let (alive, holding) = (common.new_line(), AtomicBool::new(false));
        let opened = Self::open(common, targets, (Arc::clone(&alive), holding));
        // One that did not come to be is not waited for.
        opened.inspect_err(|_| alive.store(false, Relaxed))
    }

    fn open(
        common: &Arc<Common>,
        targets: &[(PathBuf, Option<Vec<u8>>)],
        (alive, holding): (Arc<AtomicBool>, AtomicBool),
    ) -> Result<Live, ApiError> {
        let ears =
            Arc::new(Ears { common: Arc::clone(common), bulk: Mutex::new(Weak::new()), alive, holding });
        let hears = Arc::clone(&ears) as Arc<dyn Hears>;
        let line = Arc::new(Line::open(&common.plan, targets, hears, &common.favour)?);
        let ledger = Arc::clone(&common.ledger);
        line.emitter.does_before(move || ledger.write());
        let bulk = Arc::new(Bulk::new(Arc::clone(common), Arc::clone(&line), INDEX));
        *lock(&ears.bulk) = Arc::downgrade(&bulk);
        common.set_bulk(Arc::downgrade(&bulk));
        let transmitter = Transmitter::new(Arc::clone(common), Arc::clone(&line), Arc::clone(&bulk));
        let work = Arc::clone(&bulk);
        let favours = [(); 2].map(|()| Arc::clone(&common.favour));
        let [transmits, compares] = favours;
        let threads = vec![
            spawn_prompt("transmit", move || {
                let _member = transmits.joins();
                transmitter.run();
            })?,
            spawn("blocks", move || {
                let _member = compares.joins();
                work.run();
            })?,
        ];
        Ok(Live { line, bulk, threads })
    }

    /// The gate and the stream for a mirror or verification. A stream that has ended is opened anew.
    pub(in crate::engine::source) fn job(
        &self,
        shared: &JobShared,
    ) -> Result<(Arc<Common>, JobEnd), ApiError> {
        let mut live = lock(&self.live);
        if !self.common.is_line_alive() {
            // It may have ended just when a mirror had begun to make good what an earlier one lost.
            self.common.degrade("the target has ended");
            live.line.close(true);
            live.bulk.close();
            live.bulk.under_way().into_iter().for_each(|id| self.common.dirty().inode(id));
            self.common.queue.wake();
            for thread in live.threads.drain(..) {
                // A panic there has been reported by the runtime.
                let _ = thread.join();
            }
            live.line.join();
            *live = Self::connect(&self.common, &self.targets)?;
            let plan = &self.common.plan;
            tracing::info!("Connection resumed with IP address {}", plan.target_address);
            event!(AutoReconnectDone, "Auto-reconnect has succeeded to {}", plan.place());
            if matches!(plan.sink, Sink::Far(_)) {
                event!(TargetReachable, "The target is up and reachable: {}", plan.place());
                event!(CommunicationFine, "Source and target talk to each other again: {}", plan.place());
            }
        }
        self.common.plan.traffic.counts.is_back();
        live.bulk.forget_all();
        self.common.job_stops(shared.stopping());
        let plan = &self.common.plan;
        if shared.stopped() && plan.transmission.is_silent(&plan.traffic) {
            // Who let it go may have come before.
            return Err(ApiError::new(Code::MirrorIsNotRunning, "it was stopped before it began"));
        }
        self.common.job_runs(true);
        Ok((Arc::clone(&self.common), live.line.job()))
    }

    /// The job has ended; `complete`: it has done all that it was to do.
    pub(in crate::engine::source) fn end_job(&self, complete: bool) {
        self.common.job_ends(complete);
        lock(&self.live).line.end_job();
    }

    /// What the target has is kept as of now, if the source comes to rest for a moment.
    fn wait_for_ledger(&self) {
        let until = Instant::now() + LEDGER;
        let ledger = &self.common.ledger;
        while ledger.is_open()
            && !ledger.is_settled()
            && self.impossible().is_none()
            && Instant::now() < until
        {
            self.common.capture.looks().wake();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn unsettled(&self, spent: &Spent) -> ApiError {
        let id = self.common.plan.connection;
        let why = self.common.spent_words(spent);
        let message = format!("what was changed before the barrier may not all be on the target: {why}");
        let help = format!("BARRIER {id} once more, or MIRROR START {id} DIFFERENT to compare everything");
        ApiError::new(Code::UnknownError, message).help(help)
    }

    fn impossible(&self) -> Option<ApiError> {
        let id = self.common.plan.connection;
        if self.stopped.load(Relaxed) {
            let message = format!("replication of connection {id} has ended");
            return Some(
                ApiError::new(Code::ConnectionFailed, message).help(format!("REPLICATION START {id}")),
            );
        }
        if self.common.has_given_up() {
            let why = self.common.shared.mirror_required().unwrap_or_default();
            let message = format!("replication of connection {id} has ended: {why}");
            let help =
                format!("REPLICATION STOP {id}, REPLICATION START {id}, then MIRROR START {id} DIFFERENT");
            return Some(ApiError::new(Code::ConnectionFailed, message).help(help));
        }
        if let Some(hold) = self.common.shared.hold() {
            return Some(ApiError::new(Code::ConnectionFailed, hold.words(id)));
        }
        if self.common.is_degraded() {
            let why = self.common.shared.mirror_required().unwrap_or_default();
            let message = format!("a mirror of connection {id} is required: {why}");
            return Some(ApiError::new(Code::ConnectionFailed, message).help(format!("MIRROR START {id}")));
        }
        None
    }
}

impl Replication for Follow {
    fn shared(&self) -> &ReplicationShared {
        &self.common.shared
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn barrier(&self, timeout: Option<Duration>, watch: &mut dyn Watch) -> Result<bool, ApiError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let ask = || {
            let number = self.marks.fetch_add(1, Relaxed) + 1;
            self.common.ask_mark(number);
            number
        };
        let mut number = ask();
        let mut tries = 1;
        let mut told = Instant::now();
        let (mut holds, mut waits) = (None, None);
        loop {
            match self.common.wait_mark(number, BEAT.min(left(deadline))) {
                Some(None) => return Ok(true),
                Some(Some(spent)) if tries == TRIES => return Err(self.unsettled(&spent)),
                Some(Some(spent)) => {
                    tracing::info!("a barrier tries again: {}", self.common.spent_words(&spent));
                    tries += 1;
                    number = ask();
                    continue;
                }
                // Writers that go on for ever may make more than is sent beside them.
                None => _ = waits.get_or_insert_with(|| self.common.favour.waits()),
            }
            let plan = &self.common.plan;
            let held = plan.transmission.hindered(&plan.target_name, &plan.traffic);
            if held.is_some()
                && held != holds
                && let Some(why) = &held
            {
                watch.event(Event::Notice(why.clone()));
            }
            holds = held;
            if let Some(error) = self.impossible() {
                self.common.forget_mark(number);
                return Err(error);
            }
            if !self.common.has_mark(number) {
                // It went with a log that was dropped, and a mirror has begun since.
                self.common.ask_mark(number);
            }
            if left(deadline).is_zero() {
                self.common.forget_mark(number);
                return Ok(false);
            }
            if watch.cancelled() {
                self.common.forget_mark(number);
                return Err(ApiError::new(Code::UnknownError, "interrupted; what was started goes on"));
            }
            if told.elapsed() > 10 * BEAT && self.common.shared.task_runs.load(Relaxed) {
                watch.event(Event::Notice("a task runs on the target: TASK LIST shows it".to_owned()));
                told = Instant::now() + Duration::from_secs(30);
            }
            if told.elapsed() > 10 * BEAT && self.common.shared.retrying.load(Relaxed) {
                let why = self.common.shared.last_error().unwrap_or_default();
                watch.event(Event::Notice(format!("the target tries again: {why}")));
                told = Instant::now() + Duration::from_secs(30);
            }
        }
    }

    fn queue_task(&self, task: &Arc<Submitted>, watch: &mut dyn Watch) -> Result<(), ApiError> {
        let number = tasks::mark(&self.marks, task);
        self.common.queue_task(number, task, watch, || self.impossible())
    }

    fn let_job_go(&self) {
        lock(&self.live).line.end_job();
    }

    fn abandon(&self) {
        self.common.begin_stop();
        lock(&self.live).line.abandon();
    }

    fn is_connected(&self) -> bool {
        self.common.is_line_alive()
    }

    fn is_all_answered(&self) -> bool {
        self.common.is_all_answered()
    }

    fn is_all_applied(&self) -> bool {
        self.common.is_all_applied()
    }

    fn distrust(&self) {
        self.common.distrust();
    }

    fn is_resumed(&self) -> bool {
        self.common.is_resumed()
    }

    fn release(&self) -> bool {
        self.common.release()
    }

    fn cut(&self) {
        lock(&self.live).line.cut();
    }

    fn stop(&self, discard: bool, limit: Duration) -> bool {
        if self.stopped.load(Relaxed) && !discard {
            return true;
        }
        let deadline = Instant::now() + limit;
        if !discard {
            if self.common.plan.traffic.is_away() {
                // Nobody knows when it could be sent.
                self.cut();
            }
            // What cannot be sent in time, or at all, is left.
            let _ = self.barrier(Some(limit), &mut ());
            self.wait_for_ledger();
        }
        self.stopped.store(true, Relaxed);
        self.common.begin_stop();
        self.common.queue.close();
        lock(&self.live).bulk.close();
        self.common.capture.stop();
        self.common.wake_barriers();
        let looker = lock(&self.looker).take();
        let mut closed = false;
        // Between two looks another call may come and discard.
        let mut live = loop {
            let live = lock(&self.live);
            closed = closed || live.line.try_close(discard);
            let over = closed
                && live.threads.iter().all(JoinHandle::is_finished)
                && looker.as_ref().is_none_or(JoinHandle::is_finished)
                && live.line.has_ended();
            if over {
                break live;
            }
            drop(live);
            if Instant::now() >= deadline + Duration::from_secs(10) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        for thread in live.threads.drain(..).chain(looker) {
            let _ = thread.join();
        }
        live.line.join();
        self.common.ledger.close();
        self.common.discard_tasks();
        true
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.stop(true, Duration::ZERO);
    }
}

fn left(deadline: Option<Instant>) -> Duration {
    deadline.map_or(BEAT, |deadline| deadline.saturating_duration_since(Instant::now()))
}

/// The looking thread.
fn look(common: &Arc<Common>, above: HashSet<Key>) {
    let mut looker = Looker::new(Arc::clone(common), above);
    let mut batch = Batch::default();
    let mut next = Instant::now() + TICK;
    if common.is_resumed() {
        looker.list_all();
    }
    let listed = Instant::now();
    while !common.is_stopping() {
        if common.is_held() {
            common.wait_release();
            continue;
        }
        if listed.elapsed() > LISTED {
            common.has_listed_all();
        }
        let released = common.is_released();
        let (now, began) = (Instant::now(), now_ns());
        if now >= next {
            if let Some(alert) = common.queue.alert() {
                tracing::warn!("{alert}");
            }
            if let Some(why) = common.capture.ended() {
                return common.give_up(&format!("changes are captured no longer: {why}"));
            }
            looker.look_for_silent(false);
            common.plan.settled.tick();
            next = now + TICK;
        }
        let ending = common.is_mirror_ending();
        looker.take_marks(looker.batch() + 1);
        if !looker.has_marks() {
            looker.missed(&mut batch);
            looker.log_marks();
        }
        if ending || looker.is_waiting() {
            // What was queued before this moment tells of all that was missed.
            looker.drain(looker.batch() + 1);
        }
        let took = common.capture.looks().take(&mut batch);
        if took || common.has_requests() || looker.has_marks() || released {
            common.set_busy_looking(true);
            looker.look(&mut batch);
        }
        looker.log_marks();
        if looker.is_waiting() && !common.is_held() {
            // Whether it is gone or has moved.
            looker.drain(looker.batch() + 1);
            if common.capture.looks().take(&mut batch) {
                looker.look(&mut batch);
            } else {
                looker.settle();
            }
        }
        if released {
            common.end_release();
        }
        if ending && !looker.is_waiting() && !common.is_held() {
            common.end_mirroring();
        }
        looker.count_turn();
        looker.log_marks();
        if looker.is_waiting() || common.has_requests() || common.has_debts() || looker.has_marks() {
            continue;
        }
        looker.forget_left();
        looker.end_batch();
        common.has_listed_all();
        looker.account();
        if common.looked.swap(began, Relaxed) > began {
            common.plan.settled.rewind(began);
        }
        common.set_busy_looking(false);
        let wait = next.saturating_duration_since(Instant::now());
        if common.capture.looks().is_empty() && !common.has_new_marks() {
            common.capture.looks().wait(Some(wait));
        }
    }
}

/// Nanoseconds since 1970.
fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

impl Common {
    /// A place of the source for a person.
    pub(super) fn shown(&self, root: u16, path: &[u8], name: &[u8]) -> String {
        let top = self.roots.get(&root).map(|place| place.path.clone()).unwrap_or_default();
        escape(source_path(&top, path, name))
    }

    /// An operation failed on the target for good: what it was about is looked at and sent anew, some times.
    fn failed(&self, kind: FailureKind, errno: i32, root: u16, path: &[u8], name: &[u8], what: &str) {
        let shown = self.shown(root, path, name);
        let error = io::Error::from_raw_os_error(errno);
        let stale = matches!(
            errno,
            libc::ENOENT
                | libc::ESTALE
                | libc::EEXIST
                | libc::ENOTDIR
                | libc::EISDIR
                | libc::ENOTEMPTY
                | libc::ELOOP
        );
        if stale || matches!(kind, FailureKind::Missing | FailureKind::Mismatch) {
            tracing::debug!("{shown}: cannot {what} on the target: {error}; it is compared");
            let place = (root, super::super::folder::join(path, name));
            let blocked = [libc::EISDIR, libc::ENOTDIR, libc::ENOTEMPTY, libc::EEXIST].contains(&errno);
            if blocked && !name.is_empty() {
                self.ask_room(place.clone());
            }
            let there = self.now_at(&self.failing(place.clone()));
            // What was written there may have other names, and another may have the place by now.
            self.ask_rewrite(&place, &there);
            // What is gone since needs nothing; a later record removes what the target may have of it. What has left a directory there
            // before does.
            if there.is_empty() && self.moved_out(&self.failing(place)).is_empty() {
                return;
            }
            if self.ask_heal(root, path, name) {
                return;
            }
        }
        tracing::warn!("{shown}: cannot {what} on the target: {error}");
        self.shared.fail(&shown, &format!("cannot {what} on the target: {error}"));
        self.shared.require_mirror(Some(format!("{shown} could not be brought to the target")));
    }
}
