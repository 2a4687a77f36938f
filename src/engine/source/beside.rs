//! Two files that this process may both read, compared byte by byte instead of by checksums.
//!
//! Only for mirrors whose source and target are one process (a verification always compares SHA-1 sums, as it promises): the
//! two halves of the file are compared at once, and nothing is hashed.

use crate::engine::job::JobShared;
use crate::sys;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes that are read from either side at a time: both stay in a core's cache.
const SPAN: usize = 256 << 10;

/// Offsets of the blocks of the first `size` bytes of `ours` that `theirs` has not got, in order. None: a stop was asked for.
pub(super) fn differing_blocks(
    ours: &File,
    theirs: &File,
    size: u64,
    block: usize,
    shared: &JobShared,
) -> io::Result<Option<Vec<u64>>> {
    let span = block * (SPAN / block).max(1);
    let half = size / 2 / span as u64 * span as u64;
    let compare = |from, to| range(ours, theirs, from..to, block, span, shared);
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| compare(half, size));
        let first = compare(0, half);
        let second =
            second.join().unwrap_or_else(|_| Err(io::Error::other("the comparing thread ended by itself")));
        (first, second)
    });
    let (Some(mut blocks), Some(rest)) = (first?, second?) else { return Ok(None) };
    blocks.extend(rest);
    Ok(Some(blocks))
}

fn range(
    ours: &File,
    theirs: &File,
    range: std::ops::Range<u64>,
    block: usize,
    span: usize,
    shared: &JobShared,
) -> io::Result<Option<Vec<u64>>> {
    let (mut a, mut b) = (vec![0; span], vec![0; span]);
    let mut blocks = Vec::new();
    let mut at = range.start;
    while at < range.end {
        if !shared.go_on() {
            return Ok(None);
        }
        let len = usize::try_from(range.end - at).unwrap_or(span).min(span);
        let got = sys::read_exact_at(ours, &mut a[..len], at)?;
        let theirs = sys::read_exact_at(theirs, &mut b[..len], at)?;
        shared.counters.bytes_compared.fetch_add(got as u64, Relaxed);
        let (ours, theirs) = (&a[..got], &b[..theirs]);
        if ours != theirs {
            for (number, bytes) in ours.chunks(block).enumerate() {
                let start = number * block;
                let end = (start + bytes.len()).min(theirs.len());
                if theirs.get(start..end) != Some(bytes) {
                    blocks.push(at + start as u64);
                }
            }
        }
        if got < len {
            // Shorter than it was: its stamps will tell.
            break;
        }
        at += got as u64;
    }
    Ok(Some(blocks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn naive(ours: &[u8], theirs: &[u8], block: usize) -> Vec<u64> {
        let differs = |(n, bytes): (usize, &[u8])| {
            let start = n * block;
            let same = theirs.len() >= start + bytes.len() && theirs[start..start + bytes.len()] == *bytes;
            (!same).then_some(start as u64)
        };
        ours.chunks(block).enumerate().filter_map(differs).collect()
    }

    #[test]
    fn every_differing_block_is_found_in_either_half_and_at_the_end() {
        let ours: Vec<u8> = (0..3_000_001u32).map(|n| (n % 251) as u8).collect();
        for block in [4096, 65536, 1 << 20] {
            for at in [0usize, 1_400_000, 1_600_000, 3_000_000] {
                let mut theirs = ours.clone();
                theirs[at] ^= 1;
                for theirs in [theirs.clone(), theirs[..2_000_000].to_vec(), [theirs, vec![7; 99]].concat()] {
                    let found = differing_blocks(
                        &file(&ours),
                        &file(&theirs),
                        ours.len() as u64,
                        block,
                        &JobShared::new(),
                    );
                    assert_eq!(
                        found.unwrap().unwrap(),
                        naive(&ours, &theirs, block),
                        "{block} {at} {}",
                        theirs.len()
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn as_one_by_one(
            ours in proptest::collection::vec(0u8..2, 0..5000), theirs in proptest::collection::vec(0u8..2, 0..5000),
            block in 1usize..700
        ) {
            let found = differing_blocks(&file(&ours), &file(&theirs), ours.len() as u64, block, &JobShared::new());
            prop_assert_eq!(found.unwrap().unwrap(), naive(&ours, &theirs, block));
        }
    }
}
