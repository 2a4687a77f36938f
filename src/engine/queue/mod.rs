//! A queue: records in their order, from the thread that has them to the one that works on them; in memory, and
//! past `QMemoryBufferMax` in files below `QJournalDir` (architecture.md 4, QUE-01 to QUE-10).
//!
//! Records lie in blocks. The newest block is filled in memory; the consumer takes blocks whole, so that the two threads meet
//! once a block and no system call is made for a record. Once a block went to disk, all later ones do until the disk is
//! read empty. Nothing is kept over the end of a process: what it leaves behind is removed by the next.
//!
//! Locks, in this order: `spill` (who writes a block), `head` (who reads one), `state`. Only `spill` and `head` are held
//! over input and output, so a slow disk stops neither the counters nor the other thread while that has work in memory.

mod alert;
mod fs;
mod limits;
mod record;
mod segment;
mod state;

pub use fs::{Disk, SegmentDir, SegmentFile, SegmentFs};
pub use record::RECORD_MOST;
pub(in crate::engine) use {alert::Alert, limits::Limits};

use super::settings::QueueSettings;
use crate::engine::lock;
use record::HEAD;
use segment::{Journal, Reader, Unread};
use state::{Append, Link, State};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a wait looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(50);
/// When a block is read again that could not be for want of descriptors or memory.
const AGAIN: Duration = Duration::from_millis(100);

/// One connection's queue. Clones are the same queue.
#[derive(Clone, Debug)]
pub struct Queue {
    shared: Arc<Shared>,
}

/// Why a record was not taken. What was taken before is unharmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("the memory of the queue ({limit} bytes) is full and queuing to disk is off")]
    Memory { limit: u64 },
    #[error("the disk queue has reached QJournalSpaceMax ({limit} bytes)")]
    Limit { limit: u64 },
    #[error(
        "the disk queue has reached its greatest number of files; a larger QJournalFileSize gives it more room"
    )]
    Segments,
    #[error(
        "the volume of QJournalDir has {free} bytes free, and {keep} have to remain (QJournalFreeSpaceMin)"
    )]
    FreeSpace { free: u64, keep: u64 },
    #[error("the disk queue cannot be written: {0}")]
    Disk(String),
    #[error("a record is longer than {RECORD_MOST} bytes")]
    TooLong,
    #[error("the queue is closed")]
    Closed,
}

/// What was on disk cannot be read back (QUE-10): all that waited was dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk queue is damaged, {records} operations are lost: {why}")]
pub struct Damaged {
    pub records: u64,
    pub bytes: u64,
    /// The file and what is wrong with it.
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Popped {
    Record {
        position: u64,
        /// Content bytes that it stands for.
        bytes: u64,
    },
    /// The time is up, or somebody called [`Queue::wake`].
    Nothing,
    Closed,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Done,
    /// The record was dropped, by [`Queue::clear`] or by damage: it will never be handed over.
    Lost,
    TimedOut,
    Cancelled,
    Closed,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    pub records: u64,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Records that wait, and the content bytes that they stand for.
    pub records: u64,
    pub bytes: u64,
    /// Records that were given out and are not done.
    pub under_way: u64,
    /// Memory of the blocks, spare ones among them.
    pub memory_bytes: u64,
    /// Bytes of the segments.
    pub disk_bytes: u64,
    /// Share of what the queue may have on disk (QUE-05); of memory where queuing to disk is off.
    pub percent: u8,
}

/// Written by one thread each, read by all.
#[derive(Debug, Default)]
struct Counters {
    /// Positions: newest taken, newest given out or dropped, newest before which all is done. Never in another order.
    pushed: AtomicU64,
    popped: AtomicU64,
    done: AtomicU64,
    pushed_bytes: AtomicU64,
    popped_bytes: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    journal: Journal,
    counters: Counters,
    paused: AtomicBool,
    closed: AtomicBool,
    spill: Mutex<()>,
    head: Mutex<Head>,
    state: Mutex<State>,
    alert: Mutex<Alert>,
    /// For the consumer.
    arrived: Condvar,
    /// For those who wait until something is done.
    settled: Condvar,
}

/// The consumer's end.
#[derive(Debug, Default)]
struct Head {
    block: Vec<u8>,
    at: usize,
    reader: Reader,
}

impl Queue {
    /// An empty queue. `directory`, a place below `QJournalDir`, is made when something has to go to disk, under a name
    /// beside it if it is taken, and removed with the queue. What ended processes left beside it is removed now.
    pub fn open(settings: &QueueSettings, directory: PathBuf, fs: Arc<dyn SegmentFs>) -> Queue {
        match fs.sweep(&directory) {
            0 => {}
            1 => tracing::info!("Removed a disk queue that an ended process left behind"),
            n => tracing::info!("Removed {n} disk queues that ended processes left behind"),
        }
        let limits = Limits::of(settings);
        let journal = Journal::new(fs, directory, limits.clone());
        let shared = Shared {
            state: Mutex::new(State::new(limits.clone())),
            limits,
            journal,
            counters: Counters::default(),
            paused: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            spill: Mutex::default(),
            head: Mutex::default(),
            alert: Mutex::default(),
            arrived: Condvar::new(),
            settled: Condvar::new(),
        };
        Queue { shared: Arc::new(shared) }
    }

    /// Appends a record that stands for so many content bytes; returns its position, counted from 1. Refused, it is not taken
    /// and the queue stays as it is.
    pub fn push(&self, record: &[u8], bytes: u64) -> Result<u64, Full> {
        if record.len() > RECORD_MOST {
            return Err(Full::TooLong);
        }
        let shared = &*self.shared;
        let mut state = lock(&shared.state);
        match state.append(&shared.counters, record, bytes) {
            Ok(Append::Taken(position)) => {
                shared.arrive(state);
                Ok(position)
            }
            Ok(Append::Spill) => {
                drop(state);
                shared.spill(record, bytes)
            }
            Err(full) => {
                drop(state);
                Err(shared.refuse(full))
            }
        }
    }

    /// Waits for the next record, at most so long (None: without end), and copies it into `into`. For one thread.
    pub fn pop(&self, into: &mut Vec<u8>, wait: Option<Duration>) -> Result<Popped, Damaged> {
        let shared = &*self.shared;
        into.clear();
        let mut deadline = None;
        loop {
            let again = match shared.take(&mut lock(&shared.head), into)? {
                Taken::Record(popped) => return Ok(popped),
                Taken::Nothing => false,
                Taken::Later => true,
            };
            let now = Instant::now();
            let until = *deadline.get_or_insert_with(|| wait.and_then(|wait| now.checked_add(wait)));
            if !shared.sleep(until, again) {
                return Ok(if shared.closed.load(Acquire) { Popped::Closed } else { Popped::Nothing });
            }
        }
    }

    /// The record at this position and all before it were handed over.
    pub fn done(&self, position: u64) {
        let mut state = lock(&self.shared.state);
        state.done(&self.shared.counters, position);
        if self.shared.counters.done.load(Acquire) >= state.wanted {
            self.shared.settle(&mut state);
        }
    }

    /// Nothing waits, and all that was given out is done.
    pub fn is_idle(&self) -> bool {
        // Each counter only grows, and `done` is never the greater: equal now means equal when the first was read.
        let done = self.shared.counters.done.load(Acquire);
        done == self.shared.counters.pushed.load(Acquire)
    }

    /// Waits until [`Queue::is_idle`].
    pub fn wait_idle(&self, timeout: Option<Duration>, cancelled: impl Fn() -> bool) -> Waited {
        let pushed = || self.shared.counters.pushed.load(Acquire);
        // A closed queue is empty because all was dropped.
        self.wait(timeout, cancelled, pushed, |state| {
            (!state.closed && self.is_idle()).then_some(Waited::Done)
        })
    }

    /// Waits until no more than so many records wait or are under way.
    pub fn wait_room(&self, most: u64, timeout: Option<Duration>, cancelled: impl Fn() -> bool) -> Waited {
        let wanted = || self.shared.counters.pushed.load(Acquire).saturating_sub(most);
        let done = || self.shared.counters.done.load(Acquire);
        self.wait(timeout, cancelled, wanted, |_| (done() >= wanted()).then_some(Waited::Done))
    }

    /// Waits until the record at this position and all before it are done.
    pub fn wait_done(
        &self,
        position: u64,
        timeout: Option<Duration>,
        cancelled: impl Fn() -> bool,
    ) -> Waited {
        self.wait(
            timeout,
            cancelled,
            || position,
            |state| {
                if state.is_lost(position) {
                    return Some(Waited::Lost);
                }
                (self.shared.counters.done.load(Acquire) >= position).then_some(Waited::Done)
            },
        )
    }

    /// `wanted`: the position before which nobody needs to look again.
    fn wait(
        &self,
        timeout: Option<Duration>,
        cancelled: impl Fn() -> bool,
        wanted: impl Fn() -> u64,
        settled: impl Fn(&State) -> Option<Waited>,
    ) -> Waited {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(waited) = settled(&state) {
                return waited;
            }
            if state.closed {
                return Waited::Closed;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Waited::TimedOut;
            }
            if cancelled() {
                return Waited::Cancelled;
            }
            state.waiters += 1;
            state.wanted = state.wanted.min(wanted());
            state = wait_on(&self.shared.settled, state, left.unwrap_or(LOOK).min(LOOK));
            state.waiters -= 1;
        }
    }

    /// Drops all that waits. What was given out is not touched.
    pub fn clear(&self) -> Cleared {
        self.shared.clear(&mut lock(&self.shared.head))
    }

    pub fn usage(&self) -> Usage {
        self.shared.usage()
    }

    /// Words for the log, once when usage reaches `QueueSizeAlertThreshold`.
    pub fn alert(&self) -> Option<String> {
        self.shared.look(false);
        lock(&self.shared.alert).take()
    }

    /// From now on `pop` finds nothing.
    pub fn pause(&self) {
        self.shared.paused.store(true, Release);
    }

    pub fn resume(&self) {
        self.shared.paused.store(false, Release);
        self.shared.arrive(lock(&self.shared.state));
    }

    /// Ends a wait in `pop`, the present one or the next, with [`Popped::Nothing`].
    pub fn wake(&self) {
        let mut state = lock(&self.shared.state);
        state.woken = true;
        self.shared.arrive(state);
    }

    /// Drops all that waits, removes what is on disk and takes nothing more. Waiting threads return.
    pub fn close(&self) {
        let shared = &*self.shared;
        let mut state = lock(&shared.state);
        state.closed = true;
        shared.closed.store(true, Release);
        shared.settle(&mut state);
        shared.arrive(state);
        shared.clear(&mut lock(&shared.head));
    }
}

/// What the consumer found.
enum Taken {
    Record(Popped),
    Nothing,
    /// Something that cannot be read just now.
    Later,
}

impl Shared {
    /// Wakes the consumer if it waits.
    fn arrive(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.sleeping) {
            drop(state);
            self.arrived.notify_one();
        }
    }

    /// Wakes those who wait until something is done.
    fn settle(&self, state: &mut State) {
        state.wanted = u64::MAX;
        if state.waiters > 0 {
            self.settled.notify_all();
        }
    }

    /// Appends a record for which blocks have to go to disk.
    fn spill(&self, record: &[u8], bytes: u64) -> Result<u64, Full> {
        let _one = lock(&self.spill);
        loop {
            let mut state = lock(&self.state);
            let mut tail = match state.append(&self.counters, record, bytes) {
                Ok(Append::Taken(position)) => {
                    self.arrive(state);
                    self.look(false);
                    return Ok(position);
                }
                Ok(Append::Spill) => match state.tail.take() {
                    Some(tail) => tail,
                    // The consumer took it.
                    None => continue,
                },
                Err(full) => {
                    drop(state);
                    return Err(self.refuse(full));
                }
            };
            let (generation, mut place) = (state.generation, state.place.clone());
            state.writing = true;
            drop(state);
            let written = self.journal.write(&mut place, &mut tail.data, tail.first, tail.records);
            let mut state = lock(&self.state);
            state.writing = false;
            if state.generation != generation {
                // Its records were dropped meanwhile; so is what was written.
                state.recycle(tail.data);
                drop(state);
                continue;
            }
            let replaced = std::mem::replace(&mut state.place, place);
            let refused = match written {
                Ok(extent) => {
                    state.written(tail, extent);
                    None
                }
                Err(full) => (!state.unwritten(tail, HEAD + record.len())).then_some(full),
            };
            self.arrive(state);
            drop(replaced);
            if let Some(full) = refused {
                return Err(self.refuse(full));
            }
        }
    }

    fn refuse(&self, full: Full) -> Full {
        if !matches!(full, Full::Closed) {
            self.look(true);
        }
        full
    }

    /// The next record, copied.
    fn take(&self, head: &mut Head, into: &mut Vec<u8>) -> Result<Taken, Damaged> {
        loop {
            if self.paused.load(Acquire) || self.closed.load(Acquire) {
                return Ok(Taken::Nothing);
            }
            if let Some(record) = record::read(&head.block, head.at) {
                into.extend_from_slice(record.content);
                let (position, bytes) = (record.position, record.bytes);
                head.at = record.end;
                self.counters.popped_bytes.fetch_add(bytes, Relaxed);
                self.counters.popped.store(position, Release);
                return Ok(Taken::Record(Popped::Record { position, bytes }));
            }
            let mut state = lock(&self.state);
            head.give_back(&mut state);
            let extent = match state.next() {
                None => return Ok(Taken::Nothing),
                Some(Link::Memory(block)) => {
                    head.block = block.data;
                    continue;
                }
                Some(Link::Disk(extent)) => extent,
            };
            let mut block = state.buffer(extent.len);
            drop(state);
            let read = head.reader.read(&self.journal, &extent, &mut block);
            let mut state = lock(&self.state);
            match read {
                Ok(()) => {
                    head.block = block;
                    let finished = state.read_back(&extent);
                    let last = state.disk_blocks == 0;
                    drop(state);
                    if last {
                        head.reader.close();
                    }
                    drop((finished, extent));
                    self.look(false);
                }
                Err(Unread::Passing(error)) => {
                    tracing::debug!("the disk queue waits: {error}");
                    state.recycle(block);
                    state.links.push_front(Link::Disk(extent));
                    return Ok(Taken::Later);
                }
                Err(Unread::Lost(why)) => {
                    state.recycle(block);
                    drop((state, extent));
                    let Cleared { records, bytes } = self.clear(head);
                    return Err(Damaged { records, bytes, why });
                }
            }
        }
    }

    /// Waits until there may be something to take. False: the time is up, or the wait is over for another reason. `again`: what
    /// is next could not be read and is looked at once more after a while.
    fn sleep(&self, until: Option<Instant>, again: bool) -> bool {
        let mut state = lock(&self.state);
        let mut shrunk = false;
        loop {
            if state.closed || std::mem::take(&mut state.woken) {
                return false;
            }
            let paused = self.paused.load(Acquire);
            if !paused && state.has_next() && !again {
                return true;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                if shrunk {
                    // Nothing came for the whole wait.
                    state.shrink(0);
                }
                return false;
            }
            if !state.has_next() {
                state.shrink(1);
                shrunk = true;
            }
            state.sleeping = true;
            let most = if again { Some(AGAIN) } else { left };
            let wait = left.into_iter().chain(most).min();
            state = match wait {
                Some(wait) => wait_on(&self.arrived, state, wait),
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.sleeping = false;
            if again && !state.closed && !state.woken {
                return true;
            }
        }
    }

    /// Drops all that waits.
    fn clear(&self, head: &mut Head) -> Cleared {
        let mut state = lock(&self.state);
        head.give_back(&mut state);
        let counters = &self.counters;
        let records = counters.pushed.load(Relaxed) - counters.popped.load(Relaxed);
        let bytes = counters.pushed_bytes.load(Relaxed) - counters.popped_bytes.load(Relaxed);
        let dropped = state.drop_all(counters);
        state.shrink(0);
        self.settle(&mut state);
        drop(state);
        head.reader.close();
        drop(dropped);
        Cleared { records, bytes }
    }

    fn usage(&self) -> Usage {
        let counters = &self.counters;
        let memory_bytes = lock(&self.state).memory();
        // In this order, so that no difference is negative.
        let done = counters.done.load(Acquire);
        let (popped, popped_bytes) = (counters.popped.load(Acquire), counters.popped_bytes.load(Acquire));
        let (pushed, pushed_bytes) = (counters.pushed.load(Acquire), counters.pushed_bytes.load(Acquire));
        let used = &self.journal.used;
        let disk_bytes = used.bytes.load(Relaxed);
        let (part, whole) = if self.limits.has_disk() {
            (disk_bytes, self.limits.usable(disk_bytes, used.free()))
        } else {
            (memory_bytes, self.limits.memory)
        };
        let percent = if part == 0 { 0 } else { u128::from(part) * 100 / u128::from(whole.max(1)) };
        Usage {
            records: pushed.saturating_sub(popped),
            bytes: pushed_bytes.saturating_sub(popped_bytes),
            under_way: popped.saturating_sub(done),
            memory_bytes,
            disk_bytes,
            percent: percent.min(100) as u8,
        }
    }

    fn look(&self, full: bool) {
        let usage = self.usage();
        lock(&self.alert).look(&self.limits, &usage, full);
    }
}

impl Head {
    /// Gives the block back, also one that was not read to its end.
    fn give_back(&mut self, state: &mut State) {
        let block = std::mem::take(&mut self.block);
        self.at = 0;
        if block.capacity() > 0 {
            state.recycle(block);
        }
    }
}

fn wait_on<'a, T>(on: &Condvar, guard: MutexGuard<'a, T>, at_most: Duration) -> MutexGuard<'a, T> {
    on.wait_timeout(guard, at_most).unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
