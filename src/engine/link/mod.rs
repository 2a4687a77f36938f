//! The pair of ends between a source and a target: bounded channels of encoded frames, in one process or, by [`far`], with a
//! line between two machines.
//!
//! What crosses is bytes, the same either way. Listings, checksums and results have a channel each, so
//! that a reader of one never waits behind another. Only [`LocalFiles`] is a shortcut: files that both sides, being one
//! process, may hold; `Patch::Local` names ranges of them.

pub mod far;

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{
    Receiver, RecvError, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One message's bytes.
pub type Frame = Vec<u8>;

/// Frames under way in one direction.
const DEPTH: usize = 4;

/// The source's end.
pub struct SourceEnd {
    pub ops: SyncSender<Frame>,
    pub listings: Inlet,
    pub sums: Inlet,
    pub results: Inlet,
    pub frames: FramePool,
    /// None: all content travels in frames.
    pub local: Option<LocalFiles>,
}

/// The target's end.
pub struct TargetEnd {
    pub ops: Inlet,
    pub listings: SyncSender<Frame>,
    pub sums: SyncSender<Frame>,
    /// Unbounded, as the source may be waiting to send when the target has to say that something failed; there are never
    /// more results than operations under way.
    pub results: Sender<Frame>,
    pub frames: FramePool,
    pub local: Option<LocalFiles>,
    /// Set: the line is cut, what is still under way is dropped (DISCONNECT DISCARD).
    pub cut: Arc<AtomicBool>,
}

/// Makes the two ends. `local`: content may be copied inside the kernel.
pub fn pair(local: bool) -> (SourceEnd, TargetEnd) {
    let (ops, ops_in) = sync_channel(DEPTH);
    let (listings, listings_in) = sync_channel(DEPTH);
    let (sums, sums_in) = sync_channel(DEPTH);
    let (results, results_in) = channel();
    let frames = FramePool::default();
    let local = local.then(LocalFiles::default);
    (
        SourceEnd {
            ops,
            listings: listings_in.into(),
            sums: sums_in.into(),
            results: results_in.into(),
            frames: frames.clone(),
            local: local.clone(),
        },
        TargetEnd { ops: ops_in.into(), listings, sums, results, frames, local, cut: Arc::default() },
    )
}

/// Where frames come out. A line to another machine hears of each that is taken out, so that its other end sends more.
pub struct Inlet {
    frames: Receiver<Frame>,
    took: Option<Box<dyn Fn(usize) + Send>>,
}

impl From<Receiver<Frame>> for Inlet {
    fn from(frames: Receiver<Frame>) -> Self {
        Inlet { frames, took: None }
    }
}

impl Inlet {
    fn out(&self, frame: Frame) -> Frame {
        if let Some(took) = &self.took {
            took(frame.len());
        }
        frame
    }

    pub fn recv(&self) -> Result<Frame, RecvError> {
        self.frames.recv().map(|frame| self.out(frame))
    }

    pub fn try_recv(&self) -> Result<Frame, TryRecvError> {
        self.frames.try_recv().map(|frame| self.out(frame))
    }

    /// All that come, waiting for each.
    pub fn iter(&self) -> impl Iterator<Item = Frame> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    pub fn recv_timeout(&self, time: Duration) -> Result<Frame, RecvTimeoutError> {
        self.frames.recv_timeout(time).map(|frame| self.out(frame))
    }
}

impl Iterator for Inlet {
    type Item = Frame;

    /// Waits for it; None: there is none any more.
    fn next(&mut self) -> Option<Frame> {
        self.recv().ok()
    }
}

/// Frames that were read, to be filled again: memory that is touched once is much cheaper the second time.
#[derive(Clone, Debug, Default)]
pub struct FramePool {
    spare: Arc<Mutex<Vec<Frame>>>,
}

impl FramePool {
    /// An empty frame.
    pub fn take(&self) -> Frame {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Gives a frame back.
    pub fn give(&self, mut frame: Frame) {
        frame.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < 4 * DEPTH {
            spare.push(frame);
        }
    }
}

/// Files of the source that the target may copy from, by the number of `FileBegin`.
#[derive(Clone, Debug, Default)]
pub struct LocalFiles {
    files: Arc<Mutex<HashMap<u64, Arc<File>>>>,
}

impl LocalFiles {
    pub fn offer(&self, file: u64, handle: Arc<File>) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(file, handle);
    }

    pub fn get(&self, file: u64) -> Option<Arc<File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).get(&file).cloned()
    }

    pub fn withdraw(&self, file: u64) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&file);
    }
}
