//! What one end of a line has said and may have to say again.

use super::PIECE;
use std::collections::VecDeque;

/// The last bytes of what was said, from which on the other end has not told that it heard them.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Of at most [`PIECE`] bytes each.
    pieces: VecDeque<Vec<u8>>,
    /// Where the first of them begins, in bytes since the beginning of the line.
    from: u64,
    /// Where the last of them ends.
    upto: u64,
    /// Memory for the next piece.
    spare: Vec<u8>,
}

impl Kept {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        self.upto += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.pieces.back().is_none_or(|piece| piece.len() == PIECE) {
                self.pieces.push_back(std::mem::take(&mut self.spare));
            }
            let Some(piece) = self.pieces.back_mut() else { return };
            let (fits, rest) = bytes.split_at(bytes.len().min(PIECE - piece.len()));
            piece.extend_from_slice(fits);
            bytes = rest;
        }
    }

    /// The other end has heard so many bytes: they are not asked for any more.
    pub(super) fn forget(&mut self, heard: u64) {
        while let Some(piece) = self.pieces.front()
            && self.from + piece.len() as u64 <= heard
        {
            self.from += piece.len() as u64;
            if let Some(mut piece) = self.pieces.pop_front() {
                piece.clear();
                self.spare = piece;
            }
        }
    }

    /// Bytes that were said.
    pub(super) fn upto(&self) -> u64 {
        self.upto
    }

    /// Bytes that are kept.
    pub(super) fn len(&self) -> u64 {
        self.upto - self.from
    }

    /// May the other end have heard so many bytes, and is all that follows still here?
    pub(super) fn reaches(&self, heard: u64) -> bool {
        (self.from..=self.upto).contains(&heard)
    }

    /// All behind the first so many bytes of the line.
    pub(super) fn behind(&self, heard: u64) -> impl Iterator<Item = &[u8]> {
        let mut begins = self.from;
        self.pieces.iter().filter_map(move |piece| {
            let skip = usize::try_from(heard.saturating_sub(begins)).unwrap_or(usize::MAX);
            begins += piece.len() as u64;
            piece.get(skip..).filter(|piece| !piece.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn behind(kept: &Kept, heard: u64) -> Vec<u8> {
        kept.behind(heard).flatten().copied().collect()
    }

    proptest! {
        #[test]
        fn what_was_not_heard_is_here(steps in prop::collection::vec((0..3 * PIECE, 0..100u64), 1..20)) {
            let (mut kept, mut all, mut heard) = (Kept::default(), Vec::new(), 0);
            for (len, share) in steps {
                let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + all.len()) as u8).collect();
                kept.push(&bytes);
                all.extend_from_slice(&bytes);
                heard += (all.len() as u64 - heard) * share / 100;
                kept.forget(heard);
                prop_assert!(kept.reaches(heard) && kept.reaches(all.len() as u64));
                prop_assert!(!kept.reaches(all.len() as u64 + 1));
                prop_assert_eq!(behind(&kept, heard), &all[heard as usize..]);
                // No more than a piece longer than it has to be.
                prop_assert!(all.len() as u64 - kept.from < all.len() as u64 - heard + PIECE as u64);
            }
            kept.forget(all.len() as u64);
            prop_assert!(kept.pieces.is_empty() && behind(&kept, all.len() as u64).is_empty());
        }
    }
}
