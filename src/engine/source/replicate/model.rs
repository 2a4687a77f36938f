//! The tree as the operation log leaves it: what the target will look like when everything that was logged so far is applied.
//!
//! Capture's events say where to look; what is found there is compared with this, and the difference becomes operations
//! (architecture.md 3). An entry is found by directory and name, by inode (device, number, birth time), and a directory by the
//! key under which events name it. About 100 bytes an entry.
//!
//! Invariant: every node but a root hangs below a directory; names in a directory are unique; a node's inode is one that the
//! tree had when it was looked at.

use super::ledger::{Entry as Step, KEPT, Ledger, Place as StepPlace};
use crate::engine::repset::{DirDecision, DirRules};
use crate::engine::source::capture::Key;
use crate::engine::source::folder::join;
use crate::sys::{FileKind, Stat};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;
use std::sync::Arc;

/// A place in the model. Numbers are used again after a removal: who keeps one across a lock checks the identity.
pub(super) type NodeId = u32;

/// No node.
pub(super) const NONE: NodeId = u32::MAX;

/// An inode that is never mistaken for a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine::source) struct Identity {
    pub dev: u64,
    pub ino: u64,
    /// Birth time, 0 where it is not known.
    pub born: i64,
}

impl Identity {
    pub(super) fn of(stat: &Stat) -> Self {
        Self { dev: stat.dev, ino: stat.ino, born: stat.born }
    }
}

/// What is remembered of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub id: Identity,
    pub kind: FileKind,
    pub size: u64,
    /// Nanoseconds since 1970; from before its bytes were read.
    pub ctime: i64,
    /// The same.
    pub mtime: i64,
}

impl Entry {
    pub(super) fn of(stat: &Stat) -> Self {
        let size = if stat.kind == FileKind::File { stat.size } else { 0 };
        let (ctime, mtime) = (nanoseconds(stat.ctime), nanoseconds(stat.meta.mtime));
        Self { id: Identity::of(stat), kind: stat.kind, size, ctime, mtime }
    }
}

/// ctime and mtime in nanoseconds since 1970.
pub(super) type Stamps = (i64, i64);

pub(super) fn stamps(stat: &Stat) -> Stamps {
    (nanoseconds(stat.ctime), nanoseconds(stat.meta.mtime))
}

pub(in crate::engine::source) fn nanoseconds((seconds, nanoseconds): (i64, u32)) -> i64 {
    seconds.wrapping_mul(1_000_000_000).wrapping_add(i64::from(nanoseconds))
}

/// Bits of a node.
pub(super) mod flag {
    /// Content of the file stands in the log and was not read yet.
    pub(in super::super) const CONTENT: u16 = 1;
    /// Metadata stands in the log and was not read yet.
    pub(in super::super) const META: u16 = 2;
    /// The target has, or gets by the log, an inode of its own for this name (REP-23).
    pub(in super::super) const SEPARATE: u16 = 4;
    /// The directory was, or is being, listed: events in it are looked at.
    pub(in super::super) const WALKED: u16 = 8;
    /// The target has it, or gets it by the log.
    pub(in super::super) const MADE: u16 = 16;
    /// Not where the model has it any more; gone, if it is not found elsewhere soon.
    pub(in super::super) const DISPLACED: u16 = 32;
    /// It stands under a name of the engine's own on the target until it is found elsewhere.
    pub(in super::super) const PARKED: u16 = 64;
    /// Found by events since the present mirror began, which leaves it alone.
    pub(in super::super) const FOLLOWED: u16 = 128;
    /// What was logged of it could not be read when its turn came, as it had moved: to be logged when it is found.
    pub(in super::super) const DIRTY: u16 = 256;
    /// The same, and the target has nothing of it.
    pub(in super::super) const LACKING: u16 = 512;
    /// A directory in which a name could not be looked at while it moved: to be listed when it is found.
    pub(in super::super) const UNSEEN: u16 = 1024;
    /// Of what is no directory: replication has sent it whole since the present mirror began, or has linked it to what the target is known to
    /// have.
    pub(in super::super) const SURE: u16 = 1024;
    /// Replication has sent its metadata alone since the present mirror began.
    pub(in super::super) const TIMED: u16 = 2048;
    /// The present mirror has sent or compared it.
    pub(in super::super) const PASSED: u16 = 4096;
    /// Another entry has left its place, and the target could not be told: until a mirror is through, it may have there what
    /// the model has not.
    pub(in super::super) const VACATED: u16 = 8192;
    /// A directory that the present mirror could not compare as it is now: the target may have in it what the model has not.
    pub(in super::super) const STIRRED: u16 = 16384;
    /// A directory that the present mirror has compared where it stood all the while: the target has nothing of its own in it any more,
    /// wherever it moves.
    pub(in super::super) const SWEPT: u16 = 32768;
}

#[derive(Debug)]
struct Node {
    name: Box<[u8]>,
    ino: u64,
    born: i64,
    size: u64,
    ctime: i64,
    mtime: i64,
    directory: Option<Box<Directory>>,
    parent: NodeId,
    next: NodeId,
    previous: NodeId,
    dev: u16,
    kind: FileKind,
    flags: u16,
    used: bool,
}

#[derive(Debug)]
struct Directory {
    first: NodeId,
    key: Option<Key>,
    scope: Scope,
    /// It belongs itself; else it only leads to something that may.
    included: bool,
    /// Of a root, its number.
    root: Option<u16>,
}

/// What of a directory's entries belongs.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// Everything, as in the directory above it.
    Everything,
    Rules(DirRules),
    /// One name: the directory holds a root that is a single file.
    Only(Box<[u8]>),
}

impl Scope {
    pub(super) fn of(rules: DirRules) -> Self {
        if rules.everything() { Scope::Everything } else { Scope::Rules(rules) }
    }
}

/// What the rules say of a name.
#[derive(Clone, Debug)]
pub(super) enum Belongs {
    No,
    File,
    /// A directory: it belongs itself or only leads to what may, and what of its entries belongs.
    Directory(bool, Scope),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Model {
    nodes: Vec<Node>,
    free: Vec<NodeId>,
    devices: Vec<u64>,
    by_name: HashTable<NodeId>,
    by_inode: HashTable<NodeId>,
    by_key: HashMap<Key, NodeId>,
    hasher: DefaultHashBuilder,
    roots: Vec<NodeId>,
    len: usize,
    moves: u64,
    /// Where its steps are noted.
    ledger: Option<Arc<Ledger>>,
}

impl Model {
    /// Counts moves: while it stands, an entry's path stays the same.
    pub(super) fn moves(&self) -> u64 {
        self.moves
    }

    /// Entries without the roots.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Directories, the roots' included.
    pub(super) fn directories(&self) -> usize {
        self.nodes.iter().filter(|node| node.used && node.directory.is_some()).count()
    }

    /// Adds a root's directory.
    #[cfg(test)]
    pub(super) fn add_root(&mut self, number: u16, stat: &Stat, scope: Scope, included: bool) -> NodeId {
        self.place_root(None, number, stat, scope, included)
    }

    /// The same with a number of before. [`Self::placed`] follows.
    pub(super) fn place_root(
        &mut self,
        place: Option<NodeId>,
        number: u16,
        stat: &Stat,
        scope: Scope,
        included: bool,
    ) -> NodeId {
        let node = self.allocate(place, NONE, b"", &Entry::of(stat));
        let directory = Directory { first: NONE, key: None, scope, included, root: Some(number) };
        self.nodes[node as usize].directory = Some(Box::new(directory));
        self.nodes[node as usize].flags = flag::MADE;
        self.link_inode(node);
        self.roots.push(node);
        node
    }

    pub(super) fn roots(&self) -> &[NodeId] {
        &self.roots
    }

    /// The root's directory of this number.
    pub(super) fn root(&self, number: u16) -> Option<NodeId> {
        self.roots.iter().copied().find(|node| self.root_number(*node) == Some(number))
    }

    fn root_number(&self, node: NodeId) -> Option<u16> {
        self.nodes[node as usize].directory.as_ref().and_then(|directory| directory.root)
    }

    pub(super) fn is_root(&self, node: NodeId) -> bool {
        self.root_number(node).is_some()
    }

    /// Adds an entry below a directory. The name must be free there.
    pub(super) fn insert(&mut self, parent: NodeId, name: &[u8], entry: &Entry, flags: u16) -> NodeId {
        debug_assert!(self.child(parent, name).is_none());
        let node = self.allocate(None, parent, name, entry);
        self.enter(node, entry, flags);
        let kept = flags & KEPT;
        self.note(&Step::Node { node, parent, name, inode: *entry, flags: kept });
        node
    }

    /// The same with a number of before, for a model that is made of what was noted. [`Self::placed`] follows.
    pub(super) fn put_back(&mut self, node: NodeId, parent: NodeId, name: &[u8], entry: &Entry, flags: u16) {
        let node = self.allocate(Some(node), parent, name, entry);
        // Whoever comes to a directory first: what has changed in it is found by listing it.
        let unseen = if entry.kind == FileKind::Directory { flag::UNSEEN } else { 0 };
        self.enter(node, entry, flags | unseen);
    }

    /// All entries of before are there: numbers that none has are free.
    pub(super) fn placed(&mut self) {
        let unused = |(at, node): (usize, &Node)| (!node.used).then_some(at as NodeId);
        self.free = self.nodes.iter().enumerate().filter_map(unused).collect();
    }

    fn enter(&mut self, node: NodeId, entry: &Entry, flags: u16) {
        self.nodes[node as usize].flags = flags;
        if entry.kind == FileKind::Directory {
            let directory =
                Directory { first: NONE, key: None, scope: Scope::Everything, included: true, root: None };
            self.nodes[node as usize].directory = Some(Box::new(directory));
        }
        self.hang(node);
        self.link_inode(node);
        self.len += 1;
    }

    /// What of the directory's entries belongs, and whether it does itself.
    pub(super) fn set_scope(&mut self, node: NodeId, included: bool, scope: Scope) {
        if let Some(directory) = &mut self.nodes[node as usize].directory {
            directory.scope = scope;
            directory.included = included;
        }
    }

    pub(super) fn included(&self, node: NodeId) -> bool {
        self.nodes[node as usize].directory.as_ref().is_none_or(|directory| directory.included)
    }

    pub(super) fn scope(&self, node: NodeId) -> Option<&Scope> {
        self.nodes[node as usize].directory.as_ref().map(|directory| &directory.scope)
    }

    /// Does this name of the directory belong?
    pub(super) fn belongs(&self, directory: NodeId, name: &[u8], is_directory: bool) -> Belongs {
        let yes = || if is_directory { Belongs::Directory(true, Scope::Everything) } else { Belongs::File };
        match self.scope(directory) {
            None => Belongs::No,
            Some(Scope::Everything) => yes(),
            Some(Scope::Only(only)) if !is_directory && **only == *name => Belongs::File,
            Some(Scope::Only(_)) => Belongs::No,
            Some(Scope::Rules(rules)) if is_directory => match rules.dir(name) {
                DirDecision::Skip => Belongs::No,
                DirDecision::Enter { included, rules } => Belongs::Directory(included, Scope::of(rules)),
            },
            Some(Scope::Rules(rules)) if rules.file(name) => Belongs::File,
            Some(Scope::Rules(_)) => Belongs::No,
        }
    }

    /// The entry of this name.
    pub(super) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let hash = self.hash_name(parent, name);
        self.by_name
            .find(hash, |node| {
                let node = &self.nodes[*node as usize];
                node.parent == parent && *node.name == *name
            })
            .copied()
    }

    /// The entries of a directory.
    pub(super) fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let mut at = self.nodes[node as usize].directory.as_ref().map_or(NONE, |directory| directory.first);
        std::iter::from_fn(move || {
            let now = at;
            if now == NONE {
                return None;
            }
            at = self.nodes[now as usize].next;
            Some(now)
        })
    }

    /// All names of an inode.
    pub(super) fn names_of(&self, id: &Identity) -> impl Iterator<Item = NodeId> {
        let (dev, ino, born) = (id.dev, id.ino, id.born);
        self.by_inode.iter_hash(self.hash_inode(dev, ino)).copied().filter(move |node| {
            let node = &self.nodes[*node as usize];
            node.ino == ino && node.born == born && self.devices[usize::from(node.dev)] == dev
        })
    }

    /// All names of the inode that has this number now, whatever its birth time.
    pub(super) fn names_of_number(&self, dev: u64, ino: u64) -> impl Iterator<Item = NodeId> {
        self.by_inode.iter_hash(self.hash_inode(dev, ino)).copied().filter(move |node| {
            let node = &self.nodes[*node as usize];
            node.ino == ino && self.devices[usize::from(node.dev)] == dev
        })
    }

    /// The device numbers that entries lie on.
    pub(super) fn devices(&self) -> &[u64] {
        &self.devices
    }

    pub(super) fn by_key(&self, key: &Key) -> Option<NodeId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn key(&self, node: NodeId) -> Option<&Key> {
        self.nodes[node as usize].directory.as_ref().and_then(|directory| directory.key.as_ref())
    }

    /// Events name the directory so from now on. The earlier key of it, if it had another.
    pub(super) fn set_key(&mut self, node: NodeId, key: Key) -> Option<Key> {
        let directory = self.nodes[node as usize].directory.as_mut()?;
        let old = directory.key.replace(key.clone()).filter(|old| *old != key);
        if let Some(old) = &old
            && self.by_key.get(old) == Some(&node)
        {
            self.by_key.remove(old);
        }
        self.by_key.insert(key, node);
        old
    }

    pub(super) fn entry(&self, node: NodeId) -> Entry {
        let node = &self.nodes[node as usize];
        let id = Identity { dev: self.devices[usize::from(node.dev)], ino: node.ino, born: node.born };
        Entry { id, kind: node.kind, size: node.size, ctime: node.ctime, mtime: node.mtime }
    }

    /// The node, if it is still there and still of this inode.
    pub(super) fn is(&self, node: NodeId, id: &Identity) -> bool {
        self.nodes.get(node as usize).is_some_and(|it| it.used) && self.entry(node).id == *id
    }

    pub(super) fn is_used(&self, node: NodeId) -> bool {
        self.nodes.get(node as usize).is_some_and(|it| it.used)
    }

    /// Remembers new stamps. The inode stays.
    pub(super) fn set_stamps(&mut self, node: NodeId, size: u64, (ctime, mtime): Stamps) {
        let it = &mut self.nodes[node as usize];
        if (it.size, it.ctime, it.mtime) == (size, ctime, mtime) {
            return;
        }
        (it.size, it.ctime, it.mtime) = (size, ctime, mtime);
        self.note(&Step::Stamps { node, size, ctime, mtime });
    }

    /// The target's file has so many bytes.
    pub(super) fn set_size(&mut self, node: NodeId, size: u64) {
        let Entry { ctime, mtime, .. } = self.entry(node);
        self.set_stamps(node, size, (ctime, mtime));
    }

    /// The names that share an inode on the target with this one: itself alone if it has one of its own.
    pub(super) fn group(&self, node: NodeId) -> Vec<NodeId> {
        if self.has(node, flag::SEPARATE) {
            return vec![node];
        }
        self.names_of(&self.entry(node).id).filter(|name| !self.has(*name, flag::SEPARATE)).collect()
    }

    pub(super) fn has(&self, node: NodeId, flag: u16) -> bool {
        self.nodes[node as usize].flags & flag != 0
    }

    /// Has it, or a directory above it, one of these?
    pub(super) fn is_under(&self, mut node: NodeId, flags: u16) -> bool {
        while node != NONE {
            if self.has(node, flags) {
                return true;
            }
            node = self.parent(node);
        }
        false
    }

    pub(super) fn set(&mut self, node: NodeId, flag: u16) {
        let before = self.nodes[node as usize].flags;
        self.nodes[node as usize].flags |= flag;
        self.note_flags(node, before);
    }

    pub(super) fn clear(&mut self, node: NodeId, flag: u16) {
        let before = self.nodes[node as usize].flags;
        self.nodes[node as usize].flags &= !flag;
        self.note_flags(node, before);
    }

    fn note_flags(&self, node: NodeId, before: u16) {
        let flags = self.nodes[node as usize].flags & KEPT;
        if flags != before & KEPT {
            self.note(&Step::Flags { node, flags });
        }
    }

    /// Takes a flag from every node.
    pub(super) fn clear_all(&mut self, flag: u16) {
        debug_assert_eq!(flag & KEPT, 0);
        self.nodes.iter_mut().for_each(|node| node.flags &= !flag);
    }

    /// Takes a flag from all that is no directory.
    pub(super) fn clear_files(&mut self, flag: u16) {
        debug_assert_eq!(flag & KEPT, 0);
        let files = self.nodes.iter_mut().filter(|node| node.kind != FileKind::Directory);
        files.for_each(|node| node.flags &= !flag);
    }

    /// The nodes that have a flag.
    pub(super) fn flagged(&self, flag: u16) -> Vec<NodeId> {
        let has = |(at, node): (usize, &Node)| (node.used && node.flags & flag != 0).then_some(at as NodeId);
        self.nodes.iter().enumerate().filter_map(has).collect()
    }

    pub(super) fn parent(&self, node: NodeId) -> NodeId {
        self.nodes[node as usize].parent
    }

    pub(super) fn name(&self, node: NodeId) -> &[u8] {
        &self.nodes[node as usize].name
    }

    /// Number of its root and path below it.
    pub(super) fn path(&self, node: NodeId) -> (u16, Vec<u8>) {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut at = node;
        loop {
            if let Some(number) = self.root_number(at) {
                names.reverse();
                return (number, names.join(&b'/'));
            }
            names.push(self.name(at));
            at = self.parent(at);
        }
    }

    /// Root, path of the directory and name; a root itself has no name.
    pub(super) fn place(&self, node: NodeId) -> (u16, Vec<u8>, Vec<u8>) {
        if self.is_root(node) {
            let (root, path) = self.path(node);
            return (root, path, Vec::new());
        }
        let (root, path) = self.path(self.parent(node));
        (root, path, self.name(node).to_vec())
    }

    /// The node at a path below a root.
    pub(super) fn at(&self, root: u16, path: &[u8]) -> Option<NodeId> {
        let mut node = self.root(root)?;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            node = self.child(node, name)?;
        }
        Some(node)
    }

    /// The directory at a path below a root.
    pub(super) fn directory_at(&self, root: u16, path: &[u8]) -> Option<NodeId> {
        self.at(root, path).filter(|node| self.nodes[*node as usize].directory.is_some())
    }

    /// True when `node` is `above` or below it.
    pub(super) fn is_below(&self, mut node: NodeId, above: NodeId) -> bool {
        while node != NONE {
            if node == above {
                return true;
            }
            node = self.parent(node);
        }
        false
    }

    /// Gives an entry another place. The name must be free there, and not below the entry itself.
    pub(super) fn relocate(&mut self, node: NodeId, parent: NodeId, name: &[u8]) {
        debug_assert!(self.child(parent, name).is_none() && !self.is_below(parent, node));
        self.note(&Step::Moved { node, from: self.own_place(node), parent, name });
        self.unhang(node);
        self.moves += 1;
        let it = &mut self.nodes[node as usize];
        it.parent = parent;
        it.name = name.into();
        self.hang(node);
    }

    /// Removes an entry with all below it; each is shown first, deepest last. How many they were.
    pub(super) fn remove(&mut self, node: NodeId, gone: &mut dyn FnMut(&Model, NodeId)) -> u64 {
        let mut order = vec![node];
        let mut at = 0;
        while at < order.len() {
            let next = order[at];
            order.extend(self.children(next));
            at += 1;
        }
        for node in order.iter().rev() {
            gone(self, *node);
            self.note(&Step::Gone { node: *node, from: self.own_place(*node) });
            self.unhang(*node);
            self.unlink_inode(*node);
            if let Some(key) = self.key(*node).cloned()
                && self.by_key.get(&key) == Some(node)
            {
                self.by_key.remove(&key);
            }
            let it = &mut self.nodes[*node as usize];
            (it.directory, it.name, it.used) = (None, Box::default(), false);
            self.free.push(*node);
            self.len -= 1;
        }
        order.len() as u64
    }

    /// Entries at and below a node, counted no further than `most`.
    pub(super) fn count(&self, node: NodeId, most: u64) -> u64 {
        let mut stack = vec![node];
        let mut count = 0;
        while let Some(next) = stack.pop() {
            count += 1;
            if count >= most {
                break;
            }
            stack.extend(self.children(next));
        }
        count
    }

    /// All nodes below a root's directory, itself included, parents first.
    pub(super) fn all_below(&self, node: NodeId) -> Vec<NodeId> {
        let mut order = vec![node];
        let mut at = 0;
        while at < order.len() {
            order.extend(self.children(order[at]));
            at += 1;
        }
        order
    }

    /// Notes steps from now on.
    pub(super) fn set_ledger(&mut self, ledger: Arc<Ledger>) {
        self.ledger = Some(ledger);
    }

    fn note(&self, step: &Step<'_>) {
        if let Some(ledger) = &self.ledger {
            ledger.note(step);
        }
    }

    /// No place for what the target was never given.
    fn own_place(&self, node: NodeId) -> StepPlace<'_> {
        let parent = if self.has(node, flag::MADE) { self.parent(node) } else { NONE };
        let ino = self.nodes.get(parent as usize).map_or(0, |parent| parent.ino);
        StepPlace { parent, ino, name: self.name(node) }
    }

    /// Numbers up to this one are used.
    pub(super) fn most(&self) -> NodeId {
        // As in `allocate`.
        self.nodes.len() as NodeId
    }

    /// The entries with these numbers, as steps that make them.
    pub(super) fn steps(&self, numbers: std::ops::Range<NodeId>) -> impl Iterator<Item = Step<'_>> {
        numbers.filter(|node| self.is_used(*node)).map(|node| {
            let (it, inode) = (&self.nodes[node as usize], self.entry(node));
            match self.root_number(node) {
                Some(number) => Step::Root { node, number, inode },
                None => Step::Node { node, parent: it.parent, name: &it.name, inode, flags: it.flags & KEPT },
            }
        })
    }

    fn allocate(&mut self, place: Option<NodeId>, parent: NodeId, name: &[u8], entry: &Entry) -> NodeId {
        let dev = self.device(entry.id.dev);
        let node = Node {
            name: name.into(),
            ino: entry.id.ino,
            born: entry.id.born,
            size: entry.size,
            ctime: entry.ctime,
            mtime: entry.mtime,
            directory: None,
            parent,
            next: NONE,
            previous: NONE,
            dev,
            kind: entry.kind,
            flags: 0,
            used: true,
        };
        if let Some(place) = place {
            while self.nodes.len() <= place as usize {
                self.nodes.push(Node { name: Box::default(), directory: None, used: false, ..node });
            }
        }
        match place.or_else(|| self.free.pop()) {
            Some(place) => {
                self.nodes[place as usize] = node;
                place
            }
            None => {
                // Four thousand million entries do not fit into memory.
                let place = self.nodes.len() as NodeId;
                self.nodes.push(node);
                place
            }
        }
    }

    fn device(&mut self, dev: u64) -> u16 {
        let found = self.devices.iter().position(|known| *known == dev).unwrap_or_else(|| {
            self.devices.push(dev);
            self.devices.len() - 1
        });
        u16::try_from(found).unwrap_or(u16::MAX)
    }

    fn hash_name(&self, parent: NodeId, name: &[u8]) -> u64 {
        self.hasher.hash_one((parent, name))
    }

    fn hash_inode(&self, dev: u64, ino: u64) -> u64 {
        self.hasher.hash_one((dev, ino))
    }

    fn hash_of_inode(nodes: &[Node], devices: &[u64], hasher: &DefaultHashBuilder, node: NodeId) -> u64 {
        let it = &nodes[node as usize];
        hasher.hash_one((devices[usize::from(it.dev)], it.ino))
    }

    fn hang(&mut self, node: NodeId) {
        let (parent, hash) = {
            let it = &self.nodes[node as usize];
            (it.parent, self.hash_name(it.parent, &it.name))
        };
        let first = self.nodes[parent as usize]
            .directory
            .as_mut()
            .map_or(NONE, |directory| std::mem::replace(&mut directory.first, node));
        self.nodes[node as usize].next = first;
        self.nodes[node as usize].previous = NONE;
        if first != NONE {
            self.nodes[first as usize].previous = node;
        }
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.by_name.insert_unique(hash, node, |node| {
            let it = &nodes[*node as usize];
            hasher.hash_one((it.parent, &*it.name))
        });
    }

    fn unhang(&mut self, node: NodeId) {
        let it = &self.nodes[node as usize];
        let (parent, next, previous) = (it.parent, it.next, it.previous);
        let hash = self.hash_name(parent, &it.name);
        if let Ok(found) = self.by_name.find_entry(hash, |other| *other == node) {
            found.remove();
        }
        if previous == NONE {
            if let Some(directory) = self.nodes[parent as usize].directory.as_mut() {
                directory.first = next;
            }
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
    }

    fn link_inode(&mut self, node: NodeId) {
        let (nodes, devices, hasher) = (&self.nodes, &self.devices, &self.hasher);
        let hash = Self::hash_of_inode(nodes, devices, hasher, node);
        self.by_inode.insert_unique(hash, node, |node| Self::hash_of_inode(nodes, devices, hasher, *node));
    }

    fn unlink_inode(&mut self, node: NodeId) {
        let hash = Self::hash_of_inode(&self.nodes, &self.devices, &self.hasher, node);
        if let Ok(found) = self.by_inode.find_entry(hash, |other| *other == node) {
            found.remove();
        }
    }

    /// The source path below the root's directory, with a name.
    pub(super) fn path_with(&self, directory: NodeId, name: &[u8]) -> (u16, Vec<u8>) {
        let (root, path) = self.path(directory);
        (root, join(&path, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn stat(ino: u64, kind: FileKind) -> Stat {
        let meta = crate::sys::Meta { mode: 0o755, uid: 0, gid: 0, mtime: (0, 0) };
        Stat { kind, meta, size: 0, blocks: 0, links: 1, dev: 7, ino, rdev: 0, ctime: (0, 0), born: 1 }
    }

    fn entry(ino: u64, kind: FileKind) -> Entry {
        Entry::of(&stat(ino, kind))
    }

    #[test]
    fn an_entry_is_found_by_name_inode_and_path() {
        let mut model = Model::default();
        let root = model.add_root(3, &stat(1, FileKind::Directory), Scope::Everything, true);
        let a = model.insert(root, b"a", &entry(2, FileKind::Directory), 0);
        let f = model.insert(a, b"f", &entry(3, FileKind::File), 0);
        let g = model.insert(a, b"g", &entry(3, FileKind::File), 0);
        assert_eq!(model.child(a, b"f"), Some(f));
        assert_eq!(model.path(g), (3, b"a/g".to_vec()));
        assert_eq!(model.at(3, b"a/f"), Some(f));
        let id = model.entry(f).id;
        let mut names: Vec<_> = model.names_of(&id).collect();
        names.sort_unstable();
        assert_eq!(names, [f, g]);
        model.relocate(a, root, b"b");
        assert_eq!(model.path(f), (3, b"b/f".to_vec()));
        assert_eq!(model.remove(a, &mut |_, _| {}), 3);
        assert_eq!((model.len(), model.names_of(&id).count()), (0, 0));
        assert!(!model.is_used(f));
    }

    proptest! {
        /// Random insertions, moves and removals against plain paths.
        #[test]
        fn it_is_a_tree(steps in proptest::collection::vec((0u8..3, 0usize..64, 0usize..64, 0u8..4), 1..200)) {
            let mut model = Model::default();
            let root = model.add_root(0, &stat(1, FileKind::Directory), Scope::Everything, true);
            let mut paths: BTreeMap<Vec<u8>, NodeId> = BTreeMap::new();
            paths.insert(Vec::new(), root);
            let mut ino = 10;
            for (what, a, b, name) in steps {
                let list: Vec<(Vec<u8>, NodeId)> = paths.iter().map(|(p, n)| (p.clone(), *n)).collect();
                let (path, node) = list[a % list.len()].clone();
                let (into, parent) = list[b % list.len()].clone();
                let name = [b'a' + name];
                match what {
                    0 if model.child(node, &name).is_none() => {
                        ino += 1;
                        let new = model.insert(node, &name, &entry(ino, FileKind::Directory), 0);
                        paths.insert(join(&path, &name), new);
                    }
                    1 if node != root && model.child(parent, &name).is_none() && !model.is_below(parent, node) => {
                        model.relocate(node, parent, &name);
                        let to = join(&into, &name);
                        let moved: Vec<_> = paths.iter()
                            .filter(|(p, _)| **p == path || p.starts_with(&[&path[..], b"/"].concat()))
                            .map(|(p, n)| (p.clone(), *n)).collect();
                        for (p, _) in &moved { paths.remove(p); }
                        for (p, n) in moved { paths.insert([&to[..], &p[path.len()..]].concat(), n); }
                    }
                    2 if node != root => {
                        model.remove(node, &mut |_, _| {});
                        paths.retain(|p, _| *p != path && !p.starts_with(&[&path[..], b"/"].concat()));
                    }
                    _ => {}
                }
                prop_assert_eq!(model.len(), paths.len() - 1);
                for (p, n) in &paths {
                    prop_assert_eq!(&model.path(*n).1, p);
                    prop_assert_eq!(model.at(0, p), Some(*n));
                    prop_assert_eq!(model.children(*n).count(), paths.keys().filter(|q| {
                        !q.is_empty() && q[..q.iter().rposition(|b| *b == b'/').unwrap_or(0)] == p[..]
                    }).count());
                    let id = model.entry(*n).id;
                    prop_assert_eq!(model.names_of(&id).collect::<Vec<_>>(), vec![*n]);
                }
            }
        }
    }
}
