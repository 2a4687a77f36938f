//! Operations of replication that are held back: those that failed for a reason that may pass, and those that must not overtake
//! them. Pure bookkeeping: what is held, what waits for what, what it costs.
//!
//! Invariants: two held operations that touch the same entry, or one an entry and the other something below it, are carried
//! out in the order in which they came. Each held operation is either a head (it was tried, and nothing older is in its way) or
//! waits for exactly one older one.

use super::failure::Failed;
use crate::sys::FileKind;
use crate::wire::Op;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::ops::Bound;
use std::sync::Arc;

/// Bytes that a held operation takes beside its own.
const OVERHEAD: usize = 400;
/// Begun files with held operations that may keep a descriptor each.
pub(super) const OPEN_MAX: usize = 64;

/// A directory as a source names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub root: u16,
    pub path: Vec<u8>,
    /// Missing ones on the way are made.
    pub make: bool,
}

/// An entry as a source names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntrySpot {
    pub root: u16,
    pub path: Vec<u8>,
    pub name: Vec<u8>,
}

/// A root and the names below it, each behind a `/`, so that everything below an entry begins with its key and a `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn new(root: u16, path: &[u8], name: &[u8]) -> Key {
        let mut key = Vec::with_capacity(path.len() + name.len() + 4);
        key.extend_from_slice(&root.to_be_bytes());
        for part in [path, name].into_iter().filter(|part| !part.is_empty()) {
            key.push(b'/');
            key.extend_from_slice(part);
        }
        Key(key)
    }

    /// The directories that hold it, from its root on; not itself.
    fn above(&self) -> impl Iterator<Item = &[u8]> {
        // The root's number may hold the byte of a slash.
        self.0.iter().enumerate().skip(2).filter(|(_, byte)| **byte == b'/').map(|(at, _)| &self.0[..at])
    }
}

/// What an operation does to an entry, as far as order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// Changes it, gives it its name or takes it away.
    Entry,
    /// Makes a directory where there is none; each on the way that is missing is touched so, too.
    Make,
    /// Needs the directory.
    Look,
    /// Sets metadata of the directory. What happens below does not wait for it, but it waits for what happens directly in it, which
    /// moves its time.
    Meta,
}

pub(super) type Touches = Vec<(Touch, Key)>;

/// One held operation.
pub(super) struct HeldOp {
    pub op: Vec<u8>,
    /// The directory that it is about; None for one that is about a begun file.
    pub spot: Option<Spot>,
    /// The file to copy from, of a range that both sides hold.
    pub local: Option<Arc<File>>,
    pub touches: Touches,
    /// Bytes of content, for the counters.
    pub content: u64,
    /// How often it was tried again.
    pub tries: u32,
    /// Why it failed last; None for one that only waits.
    pub failed: Option<Box<Failed>>,
    /// Administrators were told of it.
    pub cried: bool,
    waiters: Vec<u64>,
}

impl HeldOp {
    pub(super) fn new(op: &Op<'_>, spot: Option<Spot>, touches: Touches, content: u64) -> Self {
        let mut bytes = Vec::new();
        op.encode(&mut bytes);
        HeldOp {
            op: bytes,
            spot,
            local: None,
            touches,
            content,
            tries: 0,
            failed: None,
            cried: false,
            waiters: Vec::new(),
        }
    }

    fn cost(&self) -> usize {
        let spot = self.spot.as_ref().map_or(0, |spot| spot.path.len());
        self.op.len() + spot + self.touches.iter().map(|(_, key)| key.0.len()).sum::<usize>() + OVERHEAD
    }
}

/// Numbers of the held operations that touch one entry.
#[derive(Default)]
struct Slot {
    /// `Entry` and `Make`.
    entries: BTreeSet<u64>,
    metas: BTreeSet<u64>,
    /// `Entry` and `Make` of what lies directly in it.
    inside: BTreeSet<u64>,
}

/// All of them, by number in the order in which they came.
#[derive(Default)]
pub(super) struct Held {
    ops: BTreeMap<u64, HeldOp>,
    slots: BTreeMap<Vec<u8>, Slot>,
    heads: BTreeSet<u64>,
    /// Those that were tried again so often that people are told.
    stubborn: BTreeSet<u64>,
    /// Begun files of which operations are held.
    pub files: HashMap<u64, EntrySpot>,
    /// Those of them that keep a descriptor.
    open: HashSet<u64>,
    /// Barriers that wait, and the number of the next operation when they came.
    barriers: VecDeque<(u64, u64)>,
    next: u64,
    cost: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.ops.len()).unwrap_or(u32::MAX)
    }

    /// Bytes of memory, roughly.
    pub(super) fn cost(&self) -> usize {
        self.cost + self.barriers.len() * 16
    }

    /// True when so many files are open for held operations that no more are to be opened.
    pub(super) fn are_many_open(&self) -> bool {
        self.open.len() >= OPEN_MAX
    }

    /// An operation on a begun file is held; `is_open`: it keeps a descriptor.
    pub(super) fn hold_file(&mut self, file: u64, spot: EntrySpot, is_open: bool) {
        self.files.insert(file, spot);
        if is_open {
            self.open.insert(file);
        }
    }

    /// A begun file is over.
    pub(super) fn forget_file(&mut self, file: u64) {
        self.files.remove(&file);
        self.open.remove(&file);
    }

    pub(super) fn heads(&self) -> BTreeSet<u64> {
        self.heads.clone()
    }

    pub(super) fn has_heads(&self) -> bool {
        !self.heads.is_empty()
    }

    pub(super) fn is_head(&self, number: u64) -> bool {
        self.heads.contains(&number)
    }

    /// One that was tried again so often that people are told.
    pub(super) fn note_stubborn(&mut self, number: u64) {
        self.stubborn.insert(number);
    }

    pub(super) fn has_stubborn(&self) -> bool {
        !self.stubborn.is_empty()
    }

    /// Why the oldest one that was tried failed.
    pub(super) fn first_failure(&self) -> Option<&Failed> {
        self.ops.get(self.heads.first()?)?.failed.as_deref()
    }

    /// The youngest found held operation, older than `before`, that one with these touches must not overtake.
    pub(super) fn blocker(&self, touches: &Touches, before: u64) -> Option<u64> {
        let last = |set: &BTreeSet<u64>| set.range(..before).next_back().copied();
        let mut found = None;
        for (touch, key) in touches {
            for above in key.above() {
                found = found.max(self.slots.get(above).and_then(|slot| last(&slot.entries)));
            }
            if let Some(slot) = self.slots.get(&key.0) {
                found = found.max(last(&slot.entries));
                if matches!(touch, Touch::Entry | Touch::Meta) {
                    found = found.max(last(&slot.metas));
                }
                if *touch == Touch::Meta {
                    found = found.max(last(&slot.inside));
                }
            }
            if *touch == Touch::Entry && found.is_none() {
                let mut below = key.0.clone();
                below.push(b'/');
                let from = (Bound::Included(below.as_slice()), Bound::Unbounded);
                found = self
                    .slots
                    .range::<[u8], _>(from)
                    .take_while(|(key, _)| key.starts_with(&below))
                    .find_map(|(_, slot)| last(&slot.entries).max(last(&slot.metas)));
            }
        }
        found
    }

    /// Holds an operation back: behind `blocker`, or as a head.
    pub(super) fn push(&mut self, op: HeldOp, blocker: Option<u64>) {
        let number = self.next;
        self.next += 1;
        self.cost += op.cost();
        self.index(number, &op.touches);
        self.ops.insert(number, op);
        self.wait(number, blocker);
    }

    fn wait(&mut self, number: u64, blocker: Option<u64>) {
        match blocker.and_then(|blocker| self.ops.get_mut(&blocker)) {
            Some(blocker) => {
                blocker.waiters.push(number);
                self.heads.remove(&number);
            }
            None => {
                self.heads.insert(number);
            }
        }
    }

    /// Lets one that was ready wait on: behind `blocker`, or as a head.
    pub(super) fn put_back(&mut self, number: u64, op: HeldOp, blocker: Option<u64>) {
        self.ops.insert(number, op);
        self.wait(number, blocker);
    }

    /// Takes one out to try it. It keeps its place in the order until [`Held::done`].
    pub(super) fn take(&mut self, number: u64) -> Option<HeldOp> {
        self.ops.remove(&number)
    }

    /// What one that was taken out touches is known better now.
    pub(super) fn touch_anew(&mut self, number: u64, op: &mut HeldOp, touches: Touches) {
        if op.touches != touches {
            self.cost -= op.cost();
            self.unindex(number, &op.touches);
            op.touches = touches;
            self.index(number, &op.touches);
            self.cost += op.cost();
        }
    }

    /// One that was taken out is over. What waited for it.
    pub(super) fn done(&mut self, number: u64, op: HeldOp) -> Vec<u64> {
        self.cost -= op.cost();
        self.unindex(number, &op.touches);
        self.heads.remove(&number);
        self.stubborn.remove(&number);
        op.waiters
    }

    /// Forgets held metadata of a directory that newer metadata of it replaces, so that a busy directory around a locked file does not
    /// fill the memory. Kept when anything between the two may have moved the directory.
    pub(super) fn supersede(&mut self, key: &Key) {
        let Some(number) = self.slots.get(&key.0).and_then(|slot| slot.metas.last().copied()) else { return };
        let moved = key
            .above()
            .chain([key.0.as_slice()])
            .filter_map(|key| self.slots.get(key))
            .any(|slot| slot.entries.last().is_some_and(|last| *last > number));
        let waited_for = self.ops.get(&number).is_none_or(|op| !op.waiters.is_empty());
        if moved || waited_for {
            return;
        }
        if let Some(op) = self.take(number) {
            self.done(number, op);
            // What it waited for lets go of it when its turn comes: an unknown number is passed over.
        }
    }

    /// Lets a barrier wait until all that is held now is done. False: nothing is held.
    pub(super) fn hold_barrier(&mut self, barrier: u64) -> bool {
        if self.ops.is_empty() {
            return false;
        }
        self.barriers.push_back((barrier, self.next));
        true
    }

    /// A barrier before which nothing is held any more.
    pub(super) fn reached(&mut self) -> Option<u64> {
        let (barrier, at) = *self.barriers.front()?;
        if self.ops.first_key_value().is_some_and(|(first, _)| *first < at) {
            return None;
        }
        self.barriers.pop_front();
        Some(barrier)
    }

    /// Ends: all that is held, oldest first.
    pub(super) fn drain(&mut self) -> Vec<HeldOp> {
        let ops = std::mem::take(self).ops;
        ops.into_values().collect()
    }

    fn index(&mut self, number: u64, touches: &Touches) {
        for (touch, key) in touches {
            let slot = self.slots.entry(key.0.clone()).or_default();
            match touch {
                Touch::Entry | Touch::Make => {
                    slot.entries.insert(number);
                    if let Some(parent) = key.above().last() {
                        self.slots.entry(parent.to_vec()).or_default().inside.insert(number);
                    }
                }
                Touch::Meta => {
                    slot.metas.insert(number);
                }
                Touch::Look => {}
            }
        }
    }

    fn unindex(&mut self, number: u64, touches: &Touches) {
        for (_, key) in touches {
            let own = [(key.0.as_slice(), true)].into_iter();
            for (key, own) in own.chain(key.above().last().map(|above| (above, false))) {
                let Some(slot) = self.slots.get_mut(key) else { continue };
                if own {
                    slot.entries.remove(&number);
                    slot.metas.remove(&number);
                } else {
                    slot.inside.remove(&number);
                }
                if slot.entries.is_empty() && slot.metas.is_empty() && slot.inside.is_empty() {
                    self.slots.remove(key);
                }
            }
        }
    }
}

/// The name in the directory entered that an operation is about.
pub(super) fn name_of<'a>(op: &Op<'a>) -> Option<&'a [u8]> {
    match op {
        Op::Put { name, .. }
        | Op::FileBegin { name, .. }
        | Op::Symlink { name, .. }
        | Op::Node { name, .. }
        | Op::Link { name, .. }
        | Op::Rename { name, .. }
        | Op::SetMeta { name, .. }
        | Op::Remove { name, .. }
        | Op::Question { name, .. } => Some(*name),
        Op::Orphan(orphan) => Some(orphan.name),
        _ => None,
    }
}

/// True for an operation on the directory entered.
pub(super) fn is_here(op: &Op<'_>) -> bool {
    name_of(op).is_some() || matches!(op, Op::SetDirMeta { .. })
}

/// The begun file that an operation is about.
pub(super) fn file_of(op: &Op<'_>) -> Option<u64> {
    match op {
        Op::FileBegin { file, .. }
        | Op::FileWrite { file, .. }
        | Op::FileAsk { file }
        | Op::FileEnd { file, .. }
        | Op::FileSet { file, .. }
        | Op::FileDrop { file } => Some(*file),
        _ => None,
    }
}

/// What an operation touches, when `here` is the directory entered and `file` says which entry a begun file is. Nothing for what is
/// not ordered.
pub(super) fn touches(op: &Op<'_>, here: (u16, &[u8]), file: impl Fn(u64) -> Option<Key>) -> Touches {
    let entry = |name: &[u8]| (Touch::Entry, Key::new(here.0, here.1, name));
    match op {
        Op::Enter { root, path, make } => {
            vec![(if *make { Touch::Make } else { Touch::Look }, Key::new(*root, path, b""))]
        }
        Op::SetDirMeta { .. } => vec![(Touch::Meta, Key::new(here.0, here.1, b""))],
        Op::SetMeta { name, kind: FileKind::Directory, .. } => vec![(Touch::Meta, entry(name).1)],
        Op::Link { name, root, dir, from } | Op::Rename { name, root, dir, from } => {
            vec![entry(name), (Touch::Entry, Key::new(*root, dir, from))]
        }
        Op::Orphan(orphan) => {
            vec![(Touch::Entry, Key::new(here.0, &super::orphans::join(here.1, orphan.dir), orphan.name))]
        }
        Op::Begin { .. }
        | Op::By { .. }
        | Op::Scan { .. }
        | Op::Barrier { .. }
        | Op::Task(_)
        | Op::Orphans(_) => Vec::new(),
        op => match (name_of(op), file_of(op)) {
            (Some(name), _) => vec![entry(name)],
            (None, Some(number)) => file(number).map(|key| (Touch::Entry, key)).into_iter().collect(),
            (None, None) => Vec::new(),
        },
    }
}
