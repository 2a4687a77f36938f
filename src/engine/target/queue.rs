//! The target's queue: frames that were read from the source and are not looked at yet, as more is held back already than there
//! is room for in memory (QUE-02 to QUE-07). They lie in segments below `QJournalDir`, as the source's queue does.
//!
//! Invariants: while frames wait here, none is taken up past them; so all that is in them, barriers and questions of both
//! owners too, keeps its order. Nothing in a frame is changed or left out.
//!
//! A range that is copied from the source's own file (`Patch::Local`) has no content in its frame. The source keeps such a file
//! open until it hears that the range is written, so the range is as good later; but it costs a descriptor, and no more than
//! [`COPIED_MOST`] such files may wait.

use super::{Broken, Policy, Spill};
use crate::engine::link::{Frame, FramePool};
use crate::engine::queue::{Alert, Damaged, Limits, Popped, Queue, Usage};
use crate::engine::settings::QueueSettings;
use crate::wire::{FRAME_MAX, Op, Patch, Reader, WireError};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Files that wait to be copied from.
pub(super) const COPIED_MOST: usize = 128;
/// Memory for blocks on their way to the disk and back; all other memory is for what is held back.
const BLOCKS: u64 = 2 << 20;

/// What the target has not done yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Queued {
    pub operations: u64,
    /// Bytes of memory and of segments.
    pub memory: u64,
    pub disk: u64,
}

/// See the module.
pub(super) struct Backlog {
    limits: Limits,
    settings: QueueSettings,
    /// None: nothing goes to disk.
    spill: Option<Spill>,
    /// Where frames are; none while there are none.
    queue: Option<Queue>,
    frames: u64,
    operations: u64,
    /// The newest frame, for which there was no room, and its operations.
    left: Option<(Frame, u64)>,
    /// It was said that there is no room.
    said: bool,
    /// Begun files of which ranges wait that are copied.
    copied: HashSet<u64>,
    alert: Alert,
    pool: FramePool,
}

impl Backlog {
    pub(super) fn new(policy: &Policy, pool: FramePool) -> Self {
        let limits = Limits::of(&policy.queue);
        let spill = policy.spill.clone().filter(|_| limits.has_disk());
        let settings = QueueSettings {
            memory_max_bytes: policy.queue.memory_max_bytes.min(BLOCKS),
            to_disk_percent: 0,
            op_limit: 0,
            ..policy.queue.clone()
        };
        Self {
            limits,
            settings,
            spill,
            queue: None,
            frames: 0,
            operations: 0,
            left: None,
            said: false,
            copied: HashSet::new(),
            alert: Alert::default(),
            pool,
        }
    }

    /// With so much held back, is nothing more to be looked at? Without a disk queue all memory may be taken (QUE-03).
    pub(super) fn is_reached(&self, bytes: usize, operations: u32) -> bool {
        let (bytes, operations) = (bytes as u64, u64::from(operations));
        match self.spill {
            Some(_) => bytes >= self.limits.threshold || operations >= self.limits.records,
            None => bytes >= self.limits.memory,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames == 0 && self.left.is_none()
    }

    /// May another frame be read from the source?
    pub(super) fn has_room(&self) -> bool {
        self.spill.is_some() && self.left.is_none() && self.copied.len() < COPIED_MOST
    }

    /// Puts a frame behind the others.
    pub(super) fn push(&mut self, frame: Frame) -> Result<(), WireError> {
        if frame.len() > FRAME_MAX {
            return Err(WireError::TooLong { what: "frame", limit: FRAME_MAX });
        }
        let copied = &mut self.copied;
        let operations = count(&frame, |file| {
            copied.insert(file);
        })?;
        self.put(frame, operations);
        Ok(())
    }

    /// Looks whether there is room by now for the frame that there was none for.
    pub(super) fn try_again(&mut self) {
        if let Some((frame, operations)) = self.left.take() {
            self.put(frame, operations);
        }
    }

    fn put(&mut self, frame: Frame, operations: u64) {
        let Some(spill) = &self.spill else {
            self.left = Some((frame, operations));
            return;
        };
        let open = || Queue::open(&self.settings, spill.directory.clone(), Arc::clone(&spill.fs));
        match self.queue.get_or_insert_with(open).push(&frame, operations) {
            Ok(_) => {
                self.frames += 1;
                self.operations += operations;
                self.pool.give(frame);
            }
            Err(full) => {
                if !std::mem::replace(&mut self.said, true) {
                    tracing::warn!("The target reads nothing more for now, so the source queues: {full}");
                }
                self.left = Some((frame, operations));
            }
        }
    }

    /// The oldest frame; None: there is none, or it cannot be read just now, for which `wait` is waited.
    pub(super) fn pop(&mut self, wait: Duration) -> Result<Option<Frame>, Broken> {
        let Some(queue) = self.queue.as_ref().filter(|_| self.frames > 0) else {
            let left = self.left.take();
            self.rest();
            return Ok(left.map(|(frame, _)| frame));
        };
        let mut frame = self.pool.take();
        match queue.pop(&mut frame, Some(wait)) {
            Ok(Popped::Record { position, bytes: operations }) => {
                queue.done(position);
                self.frames -= 1;
                self.operations -= operations;
                if self.is_empty() {
                    self.rest();
                }
                Ok(Some(frame))
            }
            Ok(Popped::Nothing | Popped::Closed) => Ok(None),
            Err(Damaged { why, .. }) => Err(Broken::Queue { operations: self.usage().operations, why }),
        }
    }

    /// Nothing waits any more: memory, files and directory are given back.
    fn rest(&mut self) {
        self.queue = None;
        self.said = false;
        self.copied.clear();
    }

    /// An operation is about to be carried out or held back.
    pub(super) fn passes(&mut self, op: &Op<'_>) {
        if let Op::FileEnd { file, .. } | Op::FileDrop { file } = op {
            self.copied.remove(file);
        }
    }

    pub(super) fn usage(&self) -> Queued {
        let Usage { memory_bytes, disk_bytes, .. } = self.in_queue();
        let (left, operations) = self.left.as_ref().map_or((0, 0), |(frame, n)| (frame.len(), *n));
        Queued {
            operations: self.operations + operations,
            memory: memory_bytes + left as u64,
            disk: disk_bytes,
        }
    }

    fn in_queue(&self) -> Usage {
        self.queue.as_ref().map(Queue::usage).unwrap_or_default()
    }

    /// Words for the log, once when usage reaches `QueueSizeAlertThreshold` (QUE-06): of the disk queue; without one, of the memory.
    /// `all`: what the target has not done in all.
    pub(super) fn alert(&mut self, all: &Queued) -> Option<String> {
        let mut usage = self.in_queue();
        usage.records = all.operations;
        let full = match self.spill {
            Some(_) => self.left.is_some(),
            None => {
                let percent = u128::from(all.memory) * 100 / u128::from(self.limits.memory.max(1));
                (usage.memory_bytes, usage.percent) = (all.memory, percent.min(100) as u8);
                false
            }
        };
        self.alert.look(&self.limits, &usage, full);
        self.alert.take()
    }
}

/// Operations of a frame, without those that only say whose or where the next ones are, or ask. Calls back with the file of each
/// range that is copied.
pub(super) fn count(frame: &[u8], mut copied: impl FnMut(u64)) -> Result<u64, WireError> {
    let (mut reader, mut count) = (Reader::new(frame), 0);
    while !reader.is_empty() {
        match Op::decode(&mut reader)? {
            Op::By { .. } | Op::Enter { .. } | Op::Scan { .. } | Op::Question { .. } => continue,
            Op::Barrier { .. } | Op::FileAsk { .. } | Op::Task(_) => continue,
            Op::FileWrite { file, patch: Patch::Local(_), .. } => copied(file),
            _ => {}
        }
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::queue::Disk;
    use crate::sys::{Meta, Xattrs};
    use crate::wire::FileMode;
    use std::path::Path;

    const META: Meta = Meta { mode: 0o600, uid: 0, gid: 0, mtime: (0, 0) };
    const AT_ONCE: Duration = Duration::ZERO;

    /// Segments of 8 KiB in blocks of 2 KiB.
    fn backlog(journal: &Path, space_max: Option<u64>) -> Backlog {
        let queue = QueueSettings {
            memory_max_bytes: 16 << 10,
            file_size_bytes: 8 << 10,
            space_max,
            free_min_bytes: 0,
            alert_percent: 50,
            ..QueueSettings::default()
        };
        let spill = Some(Spill { directory: journal.join("target-1"), fs: Arc::new(Disk) });
        Backlog::new(&Policy { queue, spill, ..Policy::default() }, FramePool::default())
    }

    fn frame(n: u8) -> Frame {
        let mut frame = Vec::new();
        Op::Enter { root: 0, path: b"", make: true }.encode(&mut frame);
        let name = [b'f', b'0' + n % 10];
        Op::Put { name: &name, meta: META, xattrs: Xattrs::default(), content: &[n; 900] }.encode(&mut frame);
        frame
    }

    fn copied(file: u64) -> Frame {
        let mut frame = Vec::new();
        Op::FileBegin { file, name: b"f", mode: FileMode::InPlace }.encode(&mut frame);
        Op::FileWrite { file, offset: 0, patch: Patch::Local(1) }.encode(&mut frame);
        frame
    }

    /// QUE-03, QUE-05: past the limit one frame is kept, and no other is to be read.
    #[test]
    fn at_the_limit_of_the_disk_nothing_more_is_taken_and_nothing_is_lost() {
        let journal = tempfile::tempdir().unwrap();
        let mut backlog = backlog(journal.path(), Some(20 << 10));
        let mut taken = 0;
        while backlog.has_room() {
            backlog.push(frame(taken)).unwrap();
            taken += 1;
        }
        let usage = backlog.usage();
        // What cannot be written any more stays in the memory for blocks.
        assert!((10..45).contains(&taken), "{taken} frames");
        assert_eq!(usage.operations, u64::from(taken));
        assert!((10 << 10..=20 << 10).contains(&usage.disk), "{usage:?}");
        let mut popped = 0;
        while !backlog.has_room() {
            assert_eq!(backlog.pop(AT_ONCE).unwrap().as_ref(), Some(&frame(popped)));
            popped += 1;
            backlog.try_again();
        }
        assert!(popped < taken / 2, "a block that was read gives room");
        backlog.push(frame(taken)).unwrap();
        for n in popped..=taken {
            assert_eq!(backlog.pop(AT_ONCE).unwrap().as_ref(), Some(&frame(n)));
        }
        assert_eq!(backlog.pop(AT_ONCE), Ok(None));
        assert_eq!(backlog.usage(), Queued::default());
        assert!(!journal.path().join("target-1").exists());
    }

    #[test]
    fn the_frame_that_there_was_no_room_for_comes_last() {
        let journal = tempfile::tempdir().unwrap();
        let mut backlog = backlog(journal.path(), Some(1));
        let mut taken = 0;
        while backlog.has_room() {
            backlog.push(frame(taken)).unwrap();
            taken += 1;
        }
        let popped: Vec<Frame> = std::iter::from_fn(|| backlog.pop(AT_ONCE).unwrap()).collect();
        assert_eq!(popped, (0..taken).map(frame).collect::<Vec<_>>());
        assert!(backlog.is_empty() && backlog.has_room());
    }

    /// QUE-02, QUE-03.
    #[test]
    fn the_settings_say_how_much_is_held_back() {
        let policy = |queue| Policy {
            queue,
            spill: Some(Spill { directory: "/nowhere".into(), fs: Arc::new(Disk) }),
            ..Policy::default()
        };
        let reached = |queue, bytes, operations| {
            Backlog::new(&policy(queue), FramePool::default()).is_reached(bytes, operations)
        };
        let settings =
            QueueSettings { memory_max_bytes: 32 << 20, to_disk_percent: 50, ..QueueSettings::default() };
        assert!(!reached(settings.clone(), (16 << 20) - 1, u32::MAX));
        assert!(reached(settings.clone(), 16 << 20, 1));
        let few = QueueSettings { op_limit: 100, ..settings.clone() };
        assert!(!reached(few.clone(), 0, 99) && reached(few.clone(), 0, 100));
        let no_disk = QueueSettings { space_max: Some(0), ..few };
        assert!(!reached(no_disk.clone(), (32 << 20) - 1, 1000), "all memory, and no number");
        assert!(reached(no_disk.clone(), 32 << 20, 1000));
        let backlog = Backlog::new(&policy(no_disk), FramePool::default());
        assert!(!backlog.has_room(), "nothing goes to disk");
    }

    /// Each file that waits to be copied costs a descriptor.
    #[test]
    fn only_so_many_files_wait_to_be_copied() {
        let journal = tempfile::tempdir().unwrap();
        let mut backlog = backlog(journal.path(), None);
        for file in 0..COPIED_MOST as u64 {
            assert!(backlog.has_room());
            // Twice the same file is one.
            backlog.push(copied(file)).unwrap();
            backlog.push(copied(file)).unwrap();
        }
        assert!(!backlog.has_room());
        backlog.passes(&Op::FileEnd { file: 3, length: 1, meta: META, xattrs: Xattrs::default() });
        assert!(backlog.has_room());
        backlog.push(copied(1000)).unwrap();
        assert!(!backlog.has_room());
        while backlog.pop(AT_ONCE).unwrap().is_some() {}
        assert!(backlog.has_room(), "none waits");
    }

    /// QUE-06.
    #[test]
    fn the_alert_is_said_once() {
        let journal = tempfile::tempdir().unwrap();
        let mut disk = backlog(journal.path(), Some(20 << 10));
        let mut alerts = Vec::new();
        for n in 0..20 {
            if disk.has_room() {
                disk.push(frame(n)).unwrap();
            }
            let usage = disk.usage();
            alerts.extend(disk.alert(&usage));
        }
        assert!(matches!(&alerts[..], [one] if one.contains("50% exceeded: the disk queue")), "{alerts:?}");
        let mut memory = backlog(journal.path(), Some(0));
        let used = |memory| Queued { operations: 7, memory, disk: 0 };
        assert_eq!(
            memory.alert(&used(8 << 10).clone()).as_deref().map(|words| words.contains("the memory queue")),
            Some(true)
        );
        assert_eq!(memory.alert(&used(9 << 10)), None);
        assert_eq!(memory.alert(&used(0)), None);
        assert!(memory.alert(&used(12 << 10)).is_some(), "it had fallen");
    }

    #[test]
    fn a_frame_that_breaks_a_rule_is_not_kept() {
        let journal = tempfile::tempdir().unwrap();
        let mut backlog = backlog(journal.path(), None);
        assert_eq!(backlog.push(vec![255]), Err(WireError::UnknownType(255)));
        let long = vec![0; FRAME_MAX + 1];
        assert_eq!(backlog.push(long), Err(WireError::TooLong { what: "frame", limit: FRAME_MAX }));
        assert!(backlog.is_empty());
    }
}
