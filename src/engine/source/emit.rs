//! The sending end: operations are appended to a frame, and a full frame goes to the target.

use super::folder::Folder;
use crate::engine::link::{Frame, FramePool, LocalFiles};
use crate::engine::stats::Stream;
use crate::wire::{FRAME_FULL, Load, OWNERS, Op};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, TrySendError};

/// The target has ended: nothing more can be sent. Its last answers say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the target has ended")]
pub(super) struct TargetGone;

/// Owners of operations: a mirror or verification, and replication.
pub(super) const JOB: u8 = 0;
pub(super) const REPLICATION: u8 = 1;

/// Numbers of files, questions and barriers that are replication's have this bit, so that answers find their way.
pub(super) const REPLICATIONS: u64 = 1 << 63;

/// Shared by the threads of one stream; the order in which it is locked is the order of the operations. Who has waited for half a
/// millisecond is next: large files always have something to send, and the log behind them must not wait for their end.
pub(super) struct Emitter {
    inner: Mutex<Emit>,
    /// Descriptions that the target was asked for.
    pub descriptions: AtomicU64,
    pub local: Option<LocalFiles>,
    /// What is sent and acknowledged.
    pub stream: Arc<Stream>,
}

impl Emitter {
    pub(super) fn new(
        ops: SyncSender<Frame>,
        frames: FramePool,
        local: Option<LocalFiles>,
        stream: Arc<Stream>,
    ) -> Self {
        let frame = frames.take();
        let emit = Emit {
            ops: Some(ops),
            frames,
            frame,
            owner: JOB,
            place: None,
            at: None,
            next: 1,
            before: None,
            asks: Asks::default(),
            stream: Arc::clone(&stream),
            loads: Default::default(),
        };
        Self { inner: Mutex::new(emit), descriptions: AtomicU64::new(0), local, stream }
    }

    /// Has something done before each frame is sent.
    pub(super) fn does_before(&self, work: impl Fn() + Send + 'static) {
        self.inner.lock().before = Some(Box::new(work));
    }

    /// For operations of a mirror or verification.
    pub(super) fn lock(&self) -> MutexGuard<'_, Emit> {
        self.lock_as(JOB)
    }

    /// For operations of this owner (see [`Op::By`]).
    pub(super) fn lock_as(&self, who: u8) -> MutexGuard<'_, Emit> {
        let mut emit = self.inner.lock();
        emit.belong_to(who);
        emit
    }

    /// Does a question follow all that replication has sent? Without waiting: false while somebody sends.
    pub(super) fn is_asked(&self) -> bool {
        self.inner.try_lock().is_some_and(|emit| emit.is_asked())
    }

    /// Closes the stream, without waiting: false while somebody else sends, or the target reads nothing.
    pub(super) fn try_close(&self) -> bool {
        self.inner.try_lock().is_some_and(|mut emit| emit.try_close())
    }

    /// Sends one operation about a folder.
    pub(super) fn send(&self, folder: &Arc<Folder>, op: &Op<'_>) -> Result<(), TargetGone> {
        let mut emit = self.lock();
        emit.enter(folder);
        emit.push(op)
    }

    /// Sends one operation about a file that has a number: it needs no place.
    pub(super) fn send_numbered(&self, op: &Op<'_>) -> Result<(), TargetGone> {
        self.lock().push(op)
    }

    /// Sends one operation that changes no entry of the folder: it is not made, nor made writable.
    pub(super) fn send_looking(&self, folder: &Arc<Folder>, op: &Op<'_>) -> Result<(), TargetGone> {
        let mut emit = self.lock();
        emit.look(folder);
        emit.push(op)
    }

    /// Sends the folder's own metadata.
    pub(super) fn send_folder_meta(&self, folder: &Arc<Folder>) -> Result<(), TargetGone> {
        self.send(folder, &Op::SetDirMeta { meta: folder.meta, xattrs: folder.xattrs.clone() })
    }
}

/// The frame that is being filled.
pub(super) struct Emit {
    /// None after the end.
    ops: Option<SyncSender<Frame>>,
    frames: FramePool,
    pub frame: Frame,
    /// Whose the operations are that come next.
    owner: u8,
    /// The folder that the target has been sent to, and whether it may change entries there.
    place: Option<(Arc<Folder>, bool)>,
    /// The same of replication, which knows root and path.
    at: Option<(u16, Vec<u8>, bool)>,
    next: u64,
    before: Option<Box<dyn Fn() + Send>>,
    asks: Asks,
    stream: Arc<Stream>,
    /// What the present frame amounts to, by owner.
    loads: [Load; OWNERS],
}

/// Which of replication's operations are followed by a question for when they are applied.
#[derive(Debug, Default)]
struct Asks {
    /// Bytes of the frames that are gone.
    gone: u64,
    /// Where the part begins that nobody has asked for, while replication's operations are appended.
    from: u64,
    /// There are others before that.
    unasked: bool,
}

impl Emit {
    /// A number for a file, question or barrier.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        if self.owner == REPLICATION { self.next | REPLICATIONS } else { self.next }
    }

    fn belong_to(&mut self, who: u8) {
        if self.owner != who {
            self.asks.unasked = !self.is_asked();
            self.owner = who;
            self.append(&Op::By { who });
            (self.place, self.at) = (None, None);
            self.asks.from = self.position();
        }
    }

    fn append(&mut self, op: &Op<'_>) {
        let before = self.frame.len();
        op.encode(&mut self.frame);
        self.loads[usize::from(self.owner)] += Load::of(op, self.frame.len() - before);
    }

    /// Closes an [`Op::Put`] whose content was read into the frame; `begin`: where it begins, `start`: where its content does.
    pub(super) fn end_put(&mut self, begin: usize, start: usize) {
        Op::end_put(&mut self.frame, start);
        self.loads[usize::from(self.owner)] +=
            Load { operations: 1, bytes: (self.frame.len() - begin) as u64 };
    }

    fn position(&self) -> u64 {
        self.asks.gone + self.frame.len() as u64
    }

    /// Does a question follow all that replication has appended?
    pub(super) fn is_asked(&self) -> bool {
        let follows = self.owner == REPLICATION && self.position() != self.asks.from;
        self.ops.is_none() || !self.asks.unasked && !follows
    }

    /// Appends a question for when all of replication's operations before it are applied.
    pub(super) fn ask(&mut self, op: &Op<'_>) -> Result<(), TargetGone> {
        self.push(op)?;
        (self.asks.unasked, self.asks.from) = (false, self.position());
        Ok(())
    }

    /// Appends an operation that changes nothing, and so needs no question.
    pub(super) fn push_harmless(&mut self, op: &Op<'_>) -> Result<(), TargetGone> {
        if self.is_asked() { self.ask(op) } else { self.push(op) }
    }

    /// Goes to a directory by root and path; `make`: missing ones on the way are made.
    pub(super) fn go(&mut self, root: u16, path: &[u8], make: bool) {
        if self.at.as_ref().is_some_and(|at| (at.0, at.1.as_slice()) == (root, path) && (at.2 || !make)) {
            return;
        }
        self.append(&Op::Enter { root, path, make });
        (self.place, self.at) = (None, Some((root, path.to_vec(), make)));
    }

    /// Directories have moved: the next operation goes to its own anew.
    pub(super) fn lose_place(&mut self) {
        (self.place, self.at) = (None, None);
    }

    /// Makes the folder the one that the next operations are about; the target makes it when it lacks it.
    pub(super) fn enter(&mut self, folder: &Arc<Folder>) {
        if self.is_at(folder, true) {
            return;
        }
        folder.make();
        self.append(&Op::Enter { root: folder.root, path: &folder.path, make: true });
        self.place = Some((Arc::clone(folder), true));
    }

    /// The same for operations that change no entry of it.
    pub(super) fn look(&mut self, folder: &Arc<Folder>) {
        if self.is_at(folder, false) {
            return;
        }
        self.append(&Op::Enter { root: folder.root, path: &folder.path, make: false });
        self.place = Some((Arc::clone(folder), false));
    }

    fn is_at(&self, folder: &Arc<Folder>, for_changes: bool) -> bool {
        self.place.as_ref().is_some_and(|(place, made)| Arc::ptr_eq(place, folder) && (*made || !for_changes))
    }

    /// Appends an operation.
    pub(super) fn push(&mut self, op: &Op<'_>) -> Result<(), TargetGone> {
        self.append(op);
        self.full()
    }

    /// Sends the frame when it is full.
    pub(super) fn full(&mut self) -> Result<(), TargetGone> {
        if self.frame.len() >= FRAME_FULL { self.flush() } else { Ok(()) }
    }

    /// Sends what there is.
    pub(super) fn flush(&mut self) -> Result<(), TargetGone> {
        if self.frame.is_empty() {
            return if self.ops.is_some() { Ok(()) } else { Err(TargetGone) };
        }
        self.asks.gone += self.frame.len() as u64;
        let frame = std::mem::replace(&mut self.frame, self.frames.take());
        if let Some(before) = &self.before {
            before();
        }
        let Some(ops) = &self.ops else { return Err(TargetGone) };
        // Before it is sent: what is acknowledged was sent.
        self.stream.sends(std::mem::take(&mut self.loads));
        ops.send(frame).map_err(|_| TargetGone)
    }

    fn try_close(&mut self) -> bool {
        if let Some(before) = self.before.as_ref().filter(|_| !self.frame.is_empty()) {
            before();
        }
        if let Some(ops) = self.ops.as_ref().filter(|_| !self.frame.is_empty()) {
            let loads = std::mem::take(&mut self.loads);
            // Before it is sent: what is acknowledged was sent.
            self.stream.sends(loads);
            if let Err(TrySendError::Full(frame)) = ops.try_send(std::mem::take(&mut self.frame)) {
                self.stream.takes_back(loads);
                (self.frame, self.loads) = (frame, loads);
                return false;
            }
        }
        self.ops = None;
        true
    }

    /// Closes the stream without sending what there is.
    pub(super) fn drop_all(&mut self) {
        self.frame.clear();
        self.loads = Default::default();
        self.ops = None;
    }

    /// Closes the stream: the target ends when it has applied all.
    pub(super) fn close(&mut self) {
        let _ = self.flush();
        self.ops = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    const ASK: Op<'_> = Op::Barrier { barrier: REPLICATIONS };
    const OTHER: Op<'_> = Op::FileDrop { file: 1 };

    fn emitter() -> (Emitter, std::sync::mpsc::Receiver<Frame>) {
        let (ops, sent) = sync_channel(16);
        (Emitter::new(ops, FramePool::default(), None, Arc::default()), sent)
    }

    /// What is summed as it is appended is what a frame amounts to as it is read.
    #[test]
    fn a_frame_is_counted_as_its_reader_counts_it() {
        let (emitter, sent) = emitter();
        emitter.lock().push(&OTHER).unwrap();
        let mut emit = emitter.lock_as(REPLICATION);
        emit.go(0, b"dir", true);
        let meta = crate::sys::Meta { mode: 0o600, uid: 0, gid: 0, mtime: (0, 0) };
        for is_whole in [false, true] {
            let begin = emit.frame.len();
            let start = Op::begin_put(&mut emit.frame, b"f", &meta, &Default::default());
            emit.frame.extend([7; 900]);
            if is_whole { emit.end_put(begin, start) } else { emit.frame.truncate(begin) }
        }
        emit.flush().unwrap();
        drop(emit);
        let loads = Load::of_frame(&sent.recv().unwrap(), &mut JOB.clone()).unwrap();
        assert_eq!(emitter.stream.sent(), loads);
        assert_eq!(loads.map(|load| load.operations), [1, 1]);
        // A target that reads nothing has got nothing.
        emitter.lock().push(&OTHER).unwrap();
        let full = std::iter::repeat_with(|| emitter.lock().ops.as_ref().unwrap().try_send(Vec::new()));
        assert!(full.take(17).last().unwrap().is_err());
        assert!(!emitter.try_close());
        assert_eq!(emitter.stream.sent(), loads);
        drop(sent);
        assert!(emitter.try_close());
    }

    #[test]
    fn what_replication_sends_is_asked_for_by_the_question_behind_it() {
        let (emitter, _sent) = emitter();
        assert!(emitter.is_asked());
        // A lock that sends nothing leaves nothing to be asked for.
        emitter.lock_as(REPLICATION).flush().unwrap();
        assert!(emitter.is_asked());
        emitter.lock_as(REPLICATION).push(&OTHER).unwrap();
        assert!(!emitter.is_asked());
        emitter.lock_as(REPLICATION).flush().unwrap();
        assert!(!emitter.is_asked(), "a frame that has gone is not answered for that");
        emitter.lock_as(REPLICATION).ask(&ASK).unwrap();
        assert!(emitter.is_asked());
        emitter.lock_as(REPLICATION).flush().unwrap();
        assert!(emitter.is_asked());
    }

    #[test]
    fn a_job_between_makes_no_difference() {
        let (emitter, _sent) = emitter();
        emitter.lock().push(&OTHER).unwrap();
        assert!(emitter.is_asked(), "a job asks for itself");
        emitter.lock_as(REPLICATION).push(&OTHER).unwrap();
        emitter.lock().push(&OTHER).unwrap();
        assert!(!emitter.is_asked());
        emitter.lock_as(REPLICATION).flush().unwrap();
        assert!(!emitter.is_asked());
        emitter.lock_as(REPLICATION).ask(&ASK).unwrap();
        emitter.lock().push(&OTHER).unwrap();
        assert!(emitter.is_asked());
    }

    #[test]
    fn a_mark_needs_no_question_and_is_none() {
        let (emitter, _sent) = emitter();
        emitter.lock_as(REPLICATION).push_harmless(&ASK).unwrap();
        assert!(emitter.is_asked());
        let mut emit = emitter.lock_as(REPLICATION);
        emit.push(&OTHER).unwrap();
        emit.push_harmless(&ASK).unwrap();
        drop(emit);
        assert!(!emitter.is_asked());
    }

    #[test]
    fn who_sends_at_this_moment_has_not_asked_yet() {
        let (emitter, _sent) = emitter();
        let emit = emitter.lock_as(REPLICATION);
        assert!(!emitter.is_asked());
        drop(emit);
        emitter.lock_as(REPLICATION).push(&OTHER).unwrap();
        emitter.lock().close();
        assert!(emitter.is_asked(), "nothing is answered over a stream that is over");
    }
}
