//! What the source knows of the target's content of large files: a sum for each block, so that only changed blocks travel.
//!
//! A sum is the beginning of a block's SHA-1. Whole blocks only; the bytes behind the last one are kept as they are. What is
//! not known differs.

use super::replicate::Identity;
use crate::sys::SUM_LEN;
use std::collections::HashMap;

/// Bytes of a sum that are kept: two different blocks are taken for equal once in 2^96 comparisons.
const KEPT: usize = 12;
/// The finest block: a change of so many bytes touches two of them at most.
const BLOCK: usize = 4 << 10;
/// The coarsest, of files over 128 GiB: no operation carries more.
const COARSEST: usize = 1 << 20;
/// Blocks of one file; larger files have larger blocks.
const BLOCKS: u64 = 128 << 10;

type Sum = [u8; KEPT];

/// Of a block that nothing is known of. A block whose sum is this is sent each time.
const UNKNOWN: Sum = [0; KEPT];

/// The sums of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileIndex {
    block: usize,
    /// Of each whole block.
    sums: Vec<Sum>,
    /// What follows the last whole block. None: not known.
    tail: Option<Vec<u8>>,
    length: u64,
    /// No sum was ever set.
    empty: bool,
}

impl FileIndex {
    /// Of a target file of `length` bytes of which nothing is known, for a file of about `size` bytes.
    pub(super) fn unknown(size: u64, length: u64) -> Self {
        let mut block = BLOCK;
        while size / block as u64 > BLOCKS && block < COARSEST {
            block *= 2;
        }
        let mut index =
            FileIndex { block, sums: Vec::new(), tail: Some(Vec::new()), length: 0, empty: length > 0 };
        index.grown_unknown(length);
        index
    }

    /// Bytes of a block.
    pub(super) fn block(&self) -> usize {
        self.block
    }

    /// Bytes of the target's file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Nothing is known but the length.
    pub(super) fn is_unknown(&self) -> bool {
        self.empty
    }

    fn bytes(&self) -> usize {
        self.sums.len() * KEPT + self.tail.as_ref().map_or(0, Vec::len) + 128
    }

    /// The target's own sums of its blocks from this one on. What was sent since it was asked is known better.
    pub(super) fn learn(&mut self, first: usize, sums: &[[u8; SUM_LEN]]) {
        for (number, sum) in (first..).zip(sums) {
            if let Some(known) = self.sums.get_mut(number)
                && *known == UNKNOWN
            {
                *known = short(sum);
                self.empty = false;
            }
        }
    }

    /// Are all whole blocks of this range known?
    pub(super) fn knows(&self, at: u64, len: u64) -> bool {
        let first = usize::try_from(at / self.block as u64).unwrap_or(usize::MAX);
        let end = usize::try_from((at + len) / self.block as u64).unwrap_or(usize::MAX).min(self.sums.len());
        self.sums.get(first..end).is_none_or(|sums| !sums.contains(&UNKNOWN))
    }

    /// Of blocks from `first` on, with their sums and bytes: the numbers of those that the target does not have so.
    pub(super) fn differing(&self, first: usize, sums: &[[u8; SUM_LEN]], bytes: &[u8]) -> Vec<usize> {
        let mut numbers = Vec::new();
        for ((number, sum), bytes) in (first..).zip(sums).zip(bytes.chunks(self.block)) {
            let same = if number < self.sums.len() {
                bytes.len() == self.block && self.sums[number] != UNKNOWN && self.sums[number] == short(sum)
            } else {
                number == self.sums.len() && self.tail.as_deref() == Some(bytes)
            };
            if !same {
                numbers.push(number);
            }
        }
        numbers
    }

    /// Of blocks from `first` on, with their bytes: the numbers of those that the target does not have so, which it has from now
    /// on. `theirs`: the target's bytes at this place, as far as they can be relied on. They say nothing of a block that is
    /// known: what was sent may not be written yet.
    pub(super) fn compare(&mut self, first: usize, bytes: &[u8], theirs: &[u8]) -> Vec<usize> {
        let mut numbers = Vec::new();
        let mut sums = Vec::new();
        for (index, block) in bytes.chunks(self.block).enumerate() {
            let number = first + index;
            let known = self.sums.get(number).map_or(self.tail.is_some(), |sum| *sum != UNKNOWN);
            let start = index * self.block;
            if !known && theirs.get(start..start + block.len()) == Some(block) {
                continue;
            }
            sums.clear();
            crate::sys::block_sums(block, self.block, &mut sums);
            if !self.differing(number, &sums, block).is_empty() {
                self.set(number, &sums, block);
                numbers.push(number);
            }
        }
        numbers
    }

    /// The target has these blocks now, none of them longer than it was.
    pub(super) fn set(&mut self, first: usize, sums: &[[u8; SUM_LEN]], bytes: &[u8]) {
        for ((number, sum), bytes) in (first..).zip(sums).zip(bytes.chunks(self.block)) {
            if number < self.sums.len() {
                self.sums[number] = if bytes.len() == self.block { short(sum) } else { UNKNOWN };
            } else if number == self.sums.len() {
                let rest = self.length - number as u64 * self.block as u64;
                self.tail = (bytes.len() as u64 == rest).then(|| bytes.to_vec());
            }
        }
        self.empty = false;
    }

    /// These bytes were written behind the target's end.
    pub(super) fn appended(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let filled = usize::try_from(self.length % self.block as u64).unwrap_or(0);
            let part = rest.len().min(self.block - filled);
            let (now, later) = rest.split_at(part);
            self.length += part as u64;
            rest = later;
            if let Some(tail) = &mut self.tail {
                tail.extend_from_slice(now);
            }
            if filled + part == self.block {
                let sum = match &self.tail {
                    Some(tail) => {
                        let mut sums = Vec::new();
                        crate::sys::block_sums(tail, self.block, &mut sums);
                        sums.first().map_or(UNKNOWN, short)
                    }
                    None => UNKNOWN,
                };
                self.sums.push(sum);
                self.tail = Some(Vec::new());
            }
        }
    }

    /// The target's file is so long now, by bytes that are not known here.
    pub(super) fn grown_unknown(&mut self, length: u64) {
        if length > self.length {
            let whole = usize::try_from(length / self.block as u64).unwrap_or(usize::MAX);
            if whole > self.sums.len() {
                self.sums.resize(whole, UNKNOWN);
            }
            self.length = length;
            self.tail = (length.is_multiple_of(self.block as u64)).then(Vec::new);
        }
    }

    /// The target's file ends here.
    pub(super) fn truncated(&mut self, length: u64) {
        let whole = usize::try_from(length / self.block as u64).unwrap_or(usize::MAX);
        let rest = usize::try_from(length % self.block as u64).unwrap_or(0);
        if whole < self.sums.len() {
            self.sums.truncate(whole);
            self.tail = (rest == 0).then(Vec::new);
        } else if let Some(tail) = &mut self.tail {
            tail.truncate(rest);
        }
        self.length = length;
    }
}

fn short(sum: &[u8; SUM_LEN]) -> Sum {
    let mut kept = UNKNOWN;
    kept.copy_from_slice(&sum[..KEPT]);
    kept
}

/// The files of a connection that were sent of late, within a bound of memory; what was used longest ago goes first.
#[derive(Debug)]
pub(super) struct Index {
    files: HashMap<Identity, (u64, FileIndex)>,
    budget: usize,
    bytes: usize,
    turn: u64,
}

impl Index {
    /// `budget`: bytes of memory.
    pub(super) fn new(budget: usize) -> Self {
        Self { files: HashMap::new(), budget, bytes: 0, turn: 0 }
    }

    /// Takes a file's sums out.
    pub(super) fn take(&mut self, id: &Identity) -> Option<FileIndex> {
        let (_, index) = self.files.remove(id)?;
        self.bytes -= index.bytes();
        Some(index)
    }

    /// Keeps a file's sums, if they fit at all.
    pub(super) fn put(&mut self, id: Identity, index: FileIndex) {
        self.take(&id);
        if index.bytes() > self.budget {
            return;
        }
        self.turn += 1;
        self.bytes += index.bytes();
        self.files.insert(id, (self.turn, index));
        while self.bytes > self.budget {
            let Some(oldest) = self.files.iter().min_by_key(|(_, (turn, _))| *turn).map(|(id, _)| *id) else {
                return;
            };
            self.take(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sums(bytes: &[u8]) -> Vec<[u8; SUM_LEN]> {
        let mut list = Vec::new();
        crate::sys::block_sums(bytes, BLOCK, &mut list);
        list
    }

    fn id(ino: u64) -> Identity {
        Identity { dev: 1, ino, born: 0 }
    }

    #[test]
    fn what_is_unknown_differs_until_it_is_learned() {
        let content = vec![7; 3 * BLOCK + 10];
        let mut index = FileIndex::unknown(content.len() as u64, content.len() as u64);
        assert!(index.is_unknown());
        assert_eq!(index.differing(0, &sums(&content), &content), [0, 1, 2, 3]);
        index.learn(0, &sums(&content));
        // The rest behind the last whole block is not learned from a sum.
        assert_eq!(index.differing(0, &sums(&content), &content), [3]);
        index.set(0, &sums(&content), &content);
        assert!(index.differing(0, &sums(&content), &content).is_empty());
    }

    #[test]
    fn what_was_used_longest_ago_is_forgotten_first() {
        let mut index = Index::new(2000);
        for ino in 0..10 {
            let mut file = FileIndex::unknown(0, 0);
            file.appended(&[1; 500]);
            index.put(id(ino), file);
        }
        assert!(index.take(&id(9)).is_some() && index.take(&id(0)).is_none());
        assert!(index.bytes <= 2000);
    }

    /// A step of somebody who writes: an append, a truncation or a change; false: none of these.
    fn write(source: &mut Vec<u8>, (what, at, len, byte): (u8, usize, usize, u8)) -> bool {
        match what {
            0 => source.extend(std::iter::repeat_n(byte, len)),
            1 => source.truncate(at),
            2 => {
                let end = (at + len).min(source.len());
                if at < end {
                    source[at..end].fill(byte);
                }
            }
            _ => return false,
        }
        true
    }

    proptest! {
        /// A target that is told only of appends, lengths and differing blocks ends with the source's bytes.
        #[test]
        fn only_what_differs_is_sent(steps in proptest::collection::vec((0u8..4, 0usize..5 * BLOCK, 1usize..2 * BLOCK, any::<u8>()), 1..30)) {
            let (mut source, mut target) = (Vec::<u8>::new(), Vec::<u8>::new());
            let mut index = FileIndex::unknown(0, 0);
            for step in steps {
                write(&mut source, step);
                if source.len() < target.len() {
                    target.truncate(source.len());
                    index.truncated(source.len() as u64);
                }
                let grown = source[target.len()..].to_vec();
                index.appended(&grown);
                target.extend_from_slice(&grown);
                for number in index.differing(0, &sums(&source), &source) {
                    let range = number * BLOCK..((number + 1) * BLOCK).min(source.len());
                    prop_assert!(source[range.clone()] != target[range.clone()] || number >= source.len() / BLOCK);
                    target[range.clone()].copy_from_slice(&source[range]);
                }
                index.set(0, &sums(&source), &source);
                prop_assert_eq!(&source, &target);
                prop_assert_eq!(index.length(), source.len() as u64);
                prop_assert!(index.differing(0, &sums(&source), &source).is_empty());
            }
        }

        /// The same where the target's own bytes are compared while some of what was sent is still on its way, and holes are
        /// made by lengths: in the end it has the source's bytes.
        #[test]
        fn what_is_under_way_is_not_taken_for_what_the_target_has(
            begin in 0usize..4 * BLOCK,
            steps in proptest::collection::vec((0u8..6, 0usize..5 * BLOCK, 1usize..2 * BLOCK, 0u8..3), 1..40),
        ) {
            let mut source = vec![1u8; begin];
            let mut target = vec![2u8; begin];
            let mut index = FileIndex::unknown(begin as u64, begin as u64);
            let mut held = usize::MAX;
            let mut under_way = std::collections::VecDeque::<(usize, Option<Vec<u8>>)>::new();
            let mut pass = |source: &Vec<u8>, target: &Vec<u8>, under_way: &mut std::collections::VecDeque<_>| {
                let length = usize::try_from(index.length()).unwrap();
                if source.len() < length {
                    held = held.min(source.len() / BLOCK * BLOCK);
                    index.truncated(source.len() as u64);
                    under_way.push_back((source.len(), None));
                } else if source.len() > length {
                    // By a copy of the target's own, which reads when its turn comes, or by bytes.
                    if source.len() - length > BLOCK {
                        index.grown_unknown(source.len() as u64);
                        under_way.push_back((source.len(), None));
                    } else {
                        index.appended(&source[length..]);
                        under_way.push_back((length, Some(source[length..].to_vec())));
                    }
                }
                for number in index.compare(0, source, &target[..target.len().min(held)]) {
                    let range = number * BLOCK..((number + 1) * BLOCK).min(source.len());
                    under_way.push_back((range.start, Some(source[range].to_vec())));
                }
            };
            let apply = |target: &mut Vec<u8>, op: (usize, Option<Vec<u8>>)| match op {
                (length, None) => target.resize(length, 0),
                (at, Some(bytes)) => {
                    target.resize(target.len().max(at + bytes.len()), 0);
                    target[at..at + bytes.len()].copy_from_slice(&bytes);
                }
            };
            for step in steps {
                if write(&mut source, step) {
                    continue;
                }
                if step.0 == 3 {
                    pass(&source, &target, &mut under_way);
                } else if let Some(op) = under_way.pop_front() {
                    apply(&mut target, op);
                }
            }
            pass(&source, &target, &mut under_way);
            for op in under_way.drain(..) { apply(&mut target, op) }
            prop_assert_eq!(&source, &target);
        }
    }
}
