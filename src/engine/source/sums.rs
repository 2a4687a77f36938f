//! The target's answers to checksum questions, in the order of the questions.

use crate::engine::link::{FramePool, Inlet};
use crate::wire::{Answer, Reader, SUM_LEN};
use std::collections::VecDeque;

/// The next piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The SHA-1 of the next block.
    Sum([u8; SUM_LEN]),
    /// No more blocks; the bytes that the target read.
    End(u64),
    /// No sums: the file can be read here.
    Here,
    /// The target could not read the file.
    Unreadable(i32),
    /// The target has ended.
    Gone,
}

/// Reads them.
pub(super) struct Sums {
    frames: Inlet,
    pool: FramePool,
    /// The question whose answer has begun and not ended.
    open: Option<u64>,
    /// Blocks of it that were received and not yet taken.
    waiting: VecDeque<[u8; SUM_LEN]>,
    end: Option<Piece>,
}

impl Sums {
    pub(super) fn new(frames: Inlet, pool: FramePool) -> Self {
        Self { frames, pool, open: None, waiting: VecDeque::new(), end: None }
    }

    /// The next piece of the answer to this question; waits for it. Questions are taken in the order in which they were asked;
    /// what is left of the answer to an earlier one is passed over. Once the end was taken nothing may be asked for it.
    pub(super) fn next(&mut self, question: u64) -> Piece {
        loop {
            if self.open.is_some_and(|open| open != question) {
                self.waiting.clear();
                if self.end.take().is_some() {
                    self.open = None;
                    continue;
                }
            } else if let Some(sum) = self.waiting.pop_front() {
                return Piece::Sum(sum);
            } else if let Some(end) = self.end.take() {
                self.open = None;
                return end;
            }
            if !self.receive() {
                return Piece::Gone;
            }
        }
    }

    /// True when the answer is that the file can be read here; waits for the answer's beginning.
    pub(super) fn is_here(&mut self, question: u64) -> bool {
        while self.open != Some(question) {
            if let Some(earlier) = self.open {
                self.skip(earlier);
            } else if !self.receive() {
                return false;
            }
        }
        let here = self.waiting.is_empty() && self.end == Some(Piece::Here);
        if here {
            (self.open, self.end) = (None, None);
        }
        here
    }

    /// Passes over what is left of an answer.
    pub(super) fn skip(&mut self, question: u64) {
        while let Piece::Sum(_) = self.next(question) {}
    }

    fn receive(&mut self) -> bool {
        let Ok(frame) = self.frames.recv() else { return false };
        let read = self.read(&frame);
        self.pool.give(frame);
        read
    }

    /// False for a message that is none, or of another answer than the one that has begun.
    fn read(&mut self, frame: &[u8]) -> bool {
        let (its, end) = match Answer::decode(&mut Reader::new(frame)) {
            Ok(Answer::Sums { question, sums, last }) => {
                let (blocks, _) = sums.as_chunks::<SUM_LEN>();
                self.waiting.extend(blocks);
                (question, last.map(Piece::End))
            }
            Ok(Answer::Here { question }) => (question, Some(Piece::Here)),
            Ok(Answer::NoSums { question, errno }) => (question, Some(Piece::Unreadable(errno))),
            _ => return false,
        };
        self.end = end;
        *self.open.get_or_insert(its) == its
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_rest_of_an_answer_that_nobody_wants_is_passed_over() {
        let (sender, frames) = channel();
        let send = |answer: Answer<'_>| {
            let mut frame = Vec::new();
            answer.encode(&mut frame);
            sender.send(frame).unwrap();
        };
        let (a, b) = ([1; SUM_LEN], [2; SUM_LEN]);
        send(Answer::Sums { question: 1, sums: &[a, a].concat(), last: None });
        send(Answer::Sums { question: 1, sums: &a, last: Some(9) });
        send(Answer::NoSums { question: 2, errno: 5 });
        send(Answer::Sums { question: 3, sums: &b, last: Some(4) });
        send(Answer::Here { question: 4 });
        drop(sender);
        let mut sums = Sums::new(frames.into(), FramePool::default());
        assert_eq!(sums.next(1), Piece::Sum(a));
        assert_eq!(sums.next(3), Piece::Sum(b));
        assert!(sums.is_here(4));
        assert_eq!(sums.next(5), Piece::Gone);
    }
}
