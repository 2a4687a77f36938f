//! The target's answers to checksum questions, in the order of the questions.

use crate::engine::link::{Frame, FramePool};
use crate::wire::{Answer, Reader, SUM_LEN};
use std::collections::VecDeque;
use std::sync::mpsc::Receiver;

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
    frames: Receiver<Frame>,
    pool: FramePool,
    /// Blocks of the present question that were received and not yet taken.
    waiting: VecDeque<[u8; SUM_LEN]>,
    end: Option<Piece>,
}

impl Sums {
    pub(super) fn new(frames: Receiver<Frame>, pool: FramePool) -> Self {
        Self { frames, pool, waiting: VecDeque::new(), end: None }
    }

    /// The next piece of the answer to this question; waits for it.
    pub(super) fn next(&mut self, question: u64) -> Piece {
        loop {
            if let Some(sum) = self.waiting.pop_front() {
                return Piece::Sum(sum);
            }
            if let Some(end) = self.end.take() {
                return end;
            }
            let Ok(frame) = self.frames.recv() else { return Piece::Gone };
            if !self.read(&frame, question) {
                return Piece::Gone;
            }
            self.pool.give(frame);
        }
    }

    /// True when the answer is that the file can be read here; waits for the answer's beginning.
    pub(super) fn is_here(&mut self, question: u64) -> bool {
        while self.waiting.is_empty() && self.end.is_none() {
            let Ok(frame) = self.frames.recv() else { return false };
            if !self.read(&frame, question) {
                return false;
            }
            self.pool.give(frame);
        }
        let here = self.waiting.is_empty() && self.end == Some(Piece::Here);
        if here {
            self.end = None;
        }
        here
    }

    /// Passes over what is left of an answer.
    pub(super) fn skip(&mut self, question: u64) {
        while let Piece::Sum(_) = self.next(question) {}
    }

    /// False for a message that is none.
    fn read(&mut self, frame: &[u8], question: u64) -> bool {
        match Answer::decode(&mut Reader::new(frame)) {
            Ok(Answer::Sums { question: its, sums, last }) if its == question => {
                let (blocks, _) = sums.as_chunks::<SUM_LEN>();
                self.waiting.extend(blocks);
                self.end = last.map(Piece::End);
                true
            }
            Ok(Answer::Here { question: its }) if its == question => {
                self.end = Some(Piece::Here);
                true
            }
            Ok(Answer::NoSums { question: its, errno }) if its == question => {
                self.end = Some(Piece::Unreadable(errno));
                true
            }
            _ => false,
        }
    }
}
