//! The pair of ends between a source and a target: bounded channels of encoded frames, in one process or, by [`far`], with a
//! line between two machines.
//!
//! What crosses is bytes, the same either way. Listings, checksums and results have a channel each, so
//! that a reader of one never waits behind another. Only [`LocalFiles`] is a shortcut: files that both sides, being one
//! process, may hold; `Patch::Local` names ranges of them.

pub mod far;
mod packing;

use crate::wire::{CONTENT_MAX, FRAME_FULL};
use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryRecvError, channel, sync_channel,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One message's bytes.
pub type Frame = Vec<u8>;

/// Frames under way in one direction.
const DEPTH: usize = 4;

/// Most bytes of a frame whose memory is kept: a full one, and one operation more.
const KEPT: usize = FRAME_FULL + 2 * CONTENT_MAX;

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
    /// Never waits, as the source may be waiting to send when the target has to say that something failed.
    pub results: Results,
    pub frames: FramePool,
    pub local: Option<LocalFiles>,
    /// The line is cut: what is still under way is dropped (DISCONNECT DISCARD).
    pub cut: Arc<Cut>,
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
        TargetEnd {
            ops: ops_in.into(),
            listings,
            sums,
            results: Results { frames: results, waiting: None },
            frames,
            local,
            cut: Arc::default(),
        },
    )
}

/// Whether a link is cut. Cheap to look at; a line to another machine is told at once.
#[derive(Default)]
pub struct Cut {
    set: AtomicBool,
    told: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl std::fmt::Debug for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cut({})", self.is_cut())
    }
}

impl Cut {
    /// What is under way is dropped, and nobody waits for the other end any more.
    pub fn cut(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.set.store(true, Relaxed);
        told.drain(..).for_each(|tell| tell());
    }

    pub fn is_cut(&self) -> bool {
        self.set.load(Relaxed)
    }

    /// Calls back when it is cut, at once if it is already. The callback does not block.
    pub fn on_cut(&self, tell: impl Fn() + Send + 'static) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_cut() {
            return tell();
        }
        told.push(Box::new(tell));
    }
}

/// Most bytes of results that may wait for a source on another machine. There are as many as operations under way, unless it does
/// not read them.
const RESULTS_WAIT: u64 = 64 << 20;

/// Where a target's results go.
pub struct Results {
    frames: Sender<Frame>,
    /// Bytes that wait, and whom to cut when they are too many; None inside one process.
    waiting: Option<(Arc<AtomicU64>, Arc<Cut>)>,
}

impl Results {
    /// The error: the source is gone.
    pub fn send(&self, frame: Frame) -> Result<(), SendError<Frame>> {
        if let Some((waiting, cut)) = &self.waiting {
            let cost = Self::cost(&frame);
            if waiting.fetch_add(cost, Relaxed) > RESULTS_WAIT && !cut.is_cut() {
                tracing::warn!("A source does not read what it is told, and is cut off");
                cut.cut();
            }
        }
        self.frames.send(frame)
    }

    fn cost(frame: &Frame) -> u64 {
        frame.len() as u64 + 64
    }
}

/// Where frames come out. A line to another machine hears of each that is taken out, so that its other end sends more, and when
/// nobody wants them any more.
pub struct Inlet {
    frames: Receiver<Frame>,
    taps: Option<Box<dyn Tap>>,
}

/// Hears what becomes of an inlet's frames.
trait Tap: Send {
    fn took(&self, len: usize);
    fn left(&self);
}

impl From<Receiver<Frame>> for Inlet {
    fn from(frames: Receiver<Frame>) -> Self {
        Inlet { frames, taps: None }
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        if let Some(taps) = &self.taps {
            taps.left();
        }
    }
}

impl Inlet {
    fn out(&self, frame: Frame) -> Frame {
        if let Some(taps) = &self.taps {
            taps.took(frame.len());
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

    /// Gives a frame back. One that is far larger than usual is not kept.
    pub fn give(&self, mut frame: Frame) {
        if frame.capacity() > KEPT {
            return;
        }
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
