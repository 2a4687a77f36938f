//! Blocks in their order, and the accounts of memory: everything under the queue's one short lock. No input or output here.

use super::limits::Limits;
use super::record::{self, HEAD};
use super::segment::{Extent, Place};
use super::{Counters, Full};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Blocks kept for use again: memory that is touched for the first time is slow.
const SPARES: usize = 4;

/// Records in memory, one behind the other.
#[derive(Debug)]
pub(super) struct Block {
    pub data: Vec<u8>,
    /// Position of the first record.
    pub first: u64,
    pub records: u64,
    /// Filled for the disk.
    to_disk: bool,
}

/// A place in the order.
#[derive(Debug)]
pub(super) enum Link {
    Memory(Block),
    Disk(Extent),
}

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Append {
    /// Its position.
    Taken(u64),
    /// The last block has to go to disk first.
    Spill,
}

#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    /// Full blocks, oldest first.
    pub links: VecDeque<Link>,
    /// The block that is being filled; never empty of records.
    pub tail: Option<Block>,
    spares: Vec<Vec<u8>>,
    /// Memory of blocks in use, those being read and written among them.
    used: u64,
    /// Blocks and records on disk, those being read among them.
    pub disk_blocks: usize,
    disk_records: u64,
    pub place: Place,
    /// A block is under way to the disk: none may be begun behind it.
    pub writing: bool,
    /// Counts what dropped all records: a block that is under way then belongs to nobody.
    pub generation: u64,
    /// The consumer waits.
    pub sleeping: bool,
    pub woken: bool,
    pub closed: bool,
    /// Threads in `wait_done` and `wait_idle`.
    pub waiters: usize,
    /// The lowest position that one of them waits for.
    pub wanted: u64,
    /// Positions that were dropped, first and last, in order.
    lost: Vec<(u64, u64)>,
}

impl State {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            links: VecDeque::new(),
            tail: None,
            spares: Vec::new(),
            used: 0,
            disk_blocks: 0,
            disk_records: 0,
            place: Place::default(),
            writing: false,
            generation: 0,
            sleeping: false,
            woken: false,
            closed: false,
            waiters: 0,
            wanted: u64::MAX,
            lost: Vec::new(),
        }
    }

    pub(super) fn memory(&self) -> u64 {
        self.used + self.spares.iter().map(|spare| spare.capacity() as u64).sum::<u64>()
    }

    /// Appends a record without touching the disk.
    pub(super) fn append(&mut self, counters: &Counters, content: &[u8], bytes: u64) -> Result<Append, Full> {
        if self.closed {
            return Err(Full::Closed);
        }
        let need = HEAD + content.len();
        let many = self.has_many(counters);
        let room = |tail: &Block| tail.data.len() + need <= tail.data.capacity() && (tail.to_disk || !many);
        if !self.tail.as_ref().is_some_and(room) {
            if self.writing || self.tail.as_ref().is_some_and(|tail| tail.to_disk && !self.stays(need, many))
            {
                return Ok(Append::Spill);
            }
            let tail = self.begin(need, many)?;
            self.links.extend(self.tail.replace(tail).map(Link::Memory));
        }
        let Some(tail) = &mut self.tail else { return Ok(Append::Spill) };
        let position = counters.pushed.load(Relaxed) + 1;
        if tail.records == 0 {
            tail.first = position;
        }
        tail.records += 1;
        record::append(&mut tail.data, position, bytes, content);
        counters.pushed_bytes.fetch_add(bytes, Relaxed);
        counters.pushed.store(position, Release);
        Ok(Append::Taken(position))
    }

    /// The memory of the next block.
    fn size(&self, need: usize) -> u64 {
        need.max(self.limits.block) as u64
    }

    /// As many records in memory as may be there (`OpBufferSize`).
    fn has_many(&self, counters: &Counters) -> bool {
        self.limits.records != u64::MAX && self.limits.has_disk() && {
            let waiting = counters.pushed.load(Relaxed) - counters.popped.load(Acquire);
            waiting.saturating_sub(self.disk_records) >= self.limits.records
        }
    }

    /// Does the next block belong into memory? Not while older ones are on disk: they are read back first.
    fn stays(&self, need: usize, many: bool) -> bool {
        self.disk_blocks == 0 && !many && self.used + self.size(need) <= self.limits.threshold
    }

    /// Is there memory for one more block, though it belongs to the disk?
    fn fits(&self, need: usize) -> bool {
        self.used + self.size(need) <= self.limits.memory
    }

    /// An empty block for a record of `need` bytes. One that is filled for the disk is begun in any case: it is the only one.
    fn begin(&mut self, need: usize, many: bool) -> Result<Block, Full> {
        let to_disk = self.limits.has_disk() && !self.stays(need, many);
        if !to_disk && !self.fits(need) {
            return Err(Full::Memory { limit: self.limits.memory });
        }
        let data = self.buffer(need);
        Ok(Block { data, first: 0, records: 0, to_disk })
    }

    /// Empty memory for `need` bytes at least.
    pub(super) fn buffer(&mut self, need: usize) -> Vec<u8> {
        let size = need.max(self.limits.block);
        let spare = if size == self.limits.block { self.spares.pop() } else { None };
        let data = spare.unwrap_or_else(|| Vec::with_capacity(size));
        self.used += data.capacity() as u64;
        data
    }

    /// Gives memory back.
    pub(super) fn recycle(&mut self, mut data: Vec<u8>) {
        self.used -= data.capacity() as u64;
        if data.capacity() == self.limits.block && self.spares.len() < SPARES {
            data.clear();
            self.spares.push(data);
        }
    }

    /// Keeps no more spare blocks than this.
    pub(super) fn shrink(&mut self, spares: usize) {
        self.spares.truncate(spares);
        if spares == 0 {
            self.spares.shrink_to_fit();
            self.links.shrink_to_fit();
        }
    }

    /// A block was written.
    pub(super) fn written(&mut self, block: Block, extent: Extent) {
        self.disk_blocks += 1;
        self.disk_records += extent.records;
        self.links.push_back(Link::Disk(extent));
        self.recycle(block.data);
    }

    /// A block could not be written. It stays in memory; true if there is room for another behind it.
    pub(super) fn unwritten(&mut self, block: Block, need: usize) -> bool {
        let fits = self.fits(need);
        if fits {
            self.links.push_back(Link::Memory(block));
        } else {
            self.tail = Some(block);
        }
        fits
    }

    /// What comes next, taken out.
    pub(super) fn next(&mut self) -> Option<Link> {
        self.links.pop_front().or_else(|| self.tail.take().map(Link::Memory))
    }

    pub(super) fn has_next(&self) -> bool {
        !self.links.is_empty() || self.tail.is_some()
    }

    /// A block was read back. With the last of them goes the segment that was being written: returned, to be dropped
    /// without the lock.
    pub(super) fn read_back(&mut self, extent: &Extent) -> Option<impl Sized + use<>> {
        self.disk_blocks -= 1;
        self.disk_records -= extent.records;
        (self.disk_blocks == 0 && !self.writing).then(|| self.place.writer.take())
    }

    /// Drops all that waits; what is returned is to be dropped without the lock.
    pub(super) fn drop_all(&mut self, counters: &Counters) -> impl Sized + use<> {
        self.generation += 1;
        let links = std::mem::take(&mut self.links);
        let tail = self.tail.take();
        for link in links.iter() {
            if let Link::Memory(block) = link {
                self.used -= block.data.capacity() as u64;
            }
        }
        self.used -= tail.as_ref().map_or(0, |block| block.data.capacity() as u64);
        self.disk_blocks = 0;
        self.disk_records = 0;
        let (popped, pushed) = (counters.popped.load(Relaxed), counters.pushed.load(Relaxed));
        if popped < pushed {
            match self.lost.last_mut() {
                Some((_, last)) if *last == popped => *last = pushed,
                _ => self.lost.push((popped + 1, pushed)),
            }
        }
        counters.popped_bytes.store(counters.pushed_bytes.load(Relaxed), Relaxed);
        counters.popped.store(pushed, Release);
        self.done(counters, 0);
        (links, tail, std::mem::take(&mut self.place))
    }

    /// All up to this position was handed over. What was dropped right behind it is nobody's business any more, either.
    pub(super) fn done(&mut self, counters: &Counters, position: u64) {
        let mut done = counters.done.load(Relaxed).max(position.min(counters.popped.load(Acquire)));
        for (first, last) in &self.lost {
            if *first <= done + 1 {
                done = done.max(*last);
            }
        }
        counters.done.store(done, Release);
        // Of long ago only the newest are remembered apart; a wait for one of the others errs on the safe side.
        while self.lost.len() > LOST_MOST && self.lost[1].1 <= done {
            let (_, last) = self.lost.remove(1);
            self.lost[0].1 = last;
        }
    }

    /// Was the record at this position dropped?
    pub(super) fn is_lost(&self, position: u64) -> bool {
        self.lost.iter().any(|(first, last)| (*first..=*last).contains(&position))
    }
}

/// Ranges of dropped positions that are told apart.
const LOST_MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::settings::QueueSettings;

    #[test]
    fn what_was_dropped_is_passed_over_once_all_before_it_is_done() {
        let (mut state, counters) = (State::new(Limits::of(&QueueSettings::default())), Counters::default());
        for _ in 0..10 {
            state.append(&counters, b"x", 1).unwrap();
        }
        counters.popped.store(4, Release);
        let _ = state.drop_all(&counters);
        assert_eq!(counters.done.load(Acquire), 0, "four were given out");
        state.done(&counters, 3);
        assert_eq!(counters.done.load(Acquire), 3);
        state.done(&counters, 4);
        assert_eq!(counters.done.load(Acquire), 10);
        assert!(!state.is_lost(4) && state.is_lost(5) && state.is_lost(10) && !state.is_lost(11));
    }

    #[test]
    fn ranges_of_dropped_positions_stay_few() {
        let (mut state, counters) = (State::new(Limits::of(&QueueSettings::default())), Counters::default());
        for _ in 0..1000 {
            state.append(&counters, b"x", 1).unwrap();
            counters.popped.fetch_add(1, Release);
            state.append(&counters, b"x", 1).unwrap();
            let _ = state.drop_all(&counters);
            state.done(&counters, u64::MAX);
        }
        assert!(state.lost.len() <= LOST_MOST + 1, "{}", state.lost.len());
        assert!(state.is_lost(2) && state.is_lost(2000) && !state.is_lost(1999));
    }
}
