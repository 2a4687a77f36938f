//! A ledger read back, and the model made of it.

use super::super::desk::Lost;
use super::super::dirty::Marks;
use super::super::model::{Belongs, Entry as Inode, Model, NONE, NodeId};
use super::{BOOT_ID, Entry, KEPT, MAGIC, PAGE_HEAD, PAGE_MOST, Place, Signature, VERSION};
use crate::sys::FileKind;
use crate::wire::Reader;
use std::fs::OpenOptions;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// More nodes than fit into memory.
const NODES_MOST: NodeId = 1 << 28;

/// Bytes of an entry without its name.
const NODE: u64 = 68;

/// An entry of the model of before.
#[derive(Debug)]
struct Node {
    parent: NodeId,
    name: Box<[u8]>,
    inode: Inode,
    flags: u16,
}

/// A name that was left: number and inode of its directory, and the name.
type Left = (NodeId, u64, Vec<u8>);

/// What is told of one generation.
#[derive(Debug, Default)]
struct Generation {
    dirty: Marks,
    left: Vec<Left>,
    unseen: bool,
}

impl Generation {
    fn leaves(&mut self, from: &Place<'_>) {
        self.left.push((from.parent, from.ino, from.name.to_vec()));
    }

    fn add(&mut self, other: Generation) {
        self.dirty.merge(&other.dirty);
        self.left.extend(other.left);
        self.unseen |= other.unseen;
    }
}

/// What the target has, as far as it is known.
#[derive(Debug, Default)]
pub(in super::super) struct Loaded {
    nodes: Vec<Option<Node>>,
    roots: Vec<(NodeId, u16, Inode)>,
    older: Generation,
    younger: Generation,
    doubtful: Vec<NodeId>,
    whole: bool,
    closed: bool,
    /// Bytes of whole pages.
    pub(super) bytes: u64,
}

/// What is known of the target beside the model.
#[derive(Debug)]
pub(in super::super) struct Known {
    /// What it may not have as the model has it.
    pub dirty: Marks,
    /// Names that it may have though they are gone.
    pub left: Vec<Lost>,
    /// There may be others.
    pub unseen: bool,
    /// Files that it may have as they were before their last change.
    pub doubtful: Vec<NodeId>,
}

impl Known {
    /// It has what the model has, and nothing else of the source's.
    pub(in super::super) fn is_all(&self) -> bool {
        self.dirty.is_empty() && self.left.is_empty() && !self.unseen
    }
}

/// None: there is none. The error: it does not count, and why.
pub(super) fn load(
    path: &Path,
    signature: &Signature,
    boot: Option<[u8; BOOT_ID]>,
) -> Result<Option<Loaded>, String> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut loaded, mut page, mut booted) = (Loaded::default(), Vec::new(), None);
    while next_page(&mut reader, &mut page).map_err(|error| error.to_string())? {
        if page.starts_with(&MAGIC) {
            booted = Some(check_head(&page, signature)?);
            loaded.goes_on();
        } else {
            let mut reader = Reader::new(&page);
            while !reader.is_empty() {
                let entry = Entry::decode(&mut reader).map_err(|error| error.to_string())?;
                loaded.take(&entry)?;
            }
        }
        loaded.bytes += (PAGE_HEAD + page.len()) as u64;
    }
    let Some(booted) = booted else { return Err("nothing stands in it".to_owned()) };
    if !loaded.whole {
        return Err("it was not begun whole".to_owned());
    }
    if !loaded.closed && boot != Some(booted) {
        return Err("the machine has gone down while it was written".to_owned());
    }
    Ok(Some(loaded))
}

/// The next page; false at the end, or where one was being written when the process died. An error for one that is damaged.
fn next_page(reader: &mut impl Read, page: &mut Vec<u8>) -> io::Result<bool> {
    let mut head = [0; PAGE_HEAD];
    if !read_all(reader, &mut head)? {
        return Ok(false);
    }
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let damaged = || io::Error::other("it is damaged");
    let length = number(0);
    if number(4) != !length || length as usize > PAGE_MOST {
        return Err(damaged());
    }
    page.clear();
    if reader.take(u64::from(length)).read_to_end(page)? < length as usize {
        return Ok(false);
    }
    if crc32fast::hash(page) == number(8) { Ok(true) } else { Err(damaged()) }
}

/// False: it ends before.
fn read_all(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The boot of the machine in which this page was written.
fn check_head(page: &[u8], signature: &Signature) -> Result<[u8; BOOT_ID], String> {
    let mut reader = Reader::new(page);
    let mut read = || {
        reader.take(MAGIC.len())?;
        Ok::<_, crate::wire::WireError>((reader.u32()?, reader.take(20)?, reader.take(BOOT_ID)?))
    };
    let (version, of, boot) = read().map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("it is of version {version}"));
    }
    if of != signature {
        return Err("connection, set or paths are others by now".to_owned());
    }
    boot.try_into().map_err(|_| "it is damaged".to_owned())
}

impl Loaded {
    /// Another engine has gone on with it: nobody has waited for the answer to the last generation's question.
    fn goes_on(&mut self) {
        let younger = std::mem::take(&mut self.younger);
        self.older.add(younger);
        self.closed = false;
    }

    fn known(&mut self, node: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(node as usize)?.as_mut()
    }

    fn take(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        self.closed = false;
        match *entry {
            Entry::Root { node, .. } | Entry::Node { node, .. } | Entry::Dirty { node, .. }
                if node >= NODES_MOST =>
            {
                return Err("it is damaged".to_owned());
            }
            Entry::Root { node, number, inode } => self.roots.push((node, number, inode)),
            Entry::Node { node, parent, name, inode, flags } => {
                let at = node as usize;
                if at >= self.nodes.len() {
                    self.nodes.resize_with(at + 1, || None);
                }
                self.nodes[at] = Some(Node { parent, name: name.into(), inode, flags: flags & KEPT });
            }
            Entry::Moved { node, from, parent, name } => {
                self.younger.leaves(&from);
                // One that is not there yet is told of, where it is, by the copy that comes.
                if let Some(known) = self.known(node) {
                    (known.parent, known.name) = (parent, name.into());
                }
            }
            Entry::Gone { node, from } => {
                self.younger.leaves(&from);
                if let Some(known) = self.nodes.get_mut(node as usize) {
                    *known = None;
                }
            }
            Entry::Stamps { node, size, ctime, mtime } => {
                if let Some(known) = self.known(node) {
                    let inode = &mut known.inode;
                    (inode.size, inode.ctime, inode.mtime) = (size, ctime, mtime);
                }
            }
            Entry::Flags { node, flags } => {
                if let Some(known) = self.known(node) {
                    known.flags = flags & KEPT;
                }
            }
            Entry::Dirty { node, deep } => self.younger.dirty.node(node, deep),
            Entry::Inode { id } => self.younger.dirty.inode(id),
            Entry::Everything => self.younger.dirty.everything(),
            Entry::Unseen => self.younger.unseen = true,
            Entry::Generation => {
                let younger = std::mem::take(&mut self.younger);
                self.older.add(younger);
            }
            Entry::Applied => self.older = Generation::default(),
            Entry::Base => self.whole = true,
            Entry::Closed => self.closed = true,
        }
        Ok(())
    }

    /// Bytes of a ledger that has just been begun with what this one has, about.
    pub(super) fn size(&self) -> u64 {
        self.nodes.iter().flatten().map(|node| NODE + node.name.len() as u64).sum()
    }

    /// Number and inode of a root's directory.
    pub(in super::super) fn root(&self, number: u16) -> Option<(NodeId, Inode)> {
        self.roots.iter().find(|root| root.1 == number).map(|(node, _, inode)| (*node, *inode))
    }

    pub(in super::super) fn roots(&self) -> usize {
        self.roots.len()
    }

    /// Makes the model that has the roots already: entries that the rules leave out by now are not in it, nor is what had no directory. `doubtful`:
    /// files whose inode changed since (ctime, nanoseconds since 1970), which the target may have as they were before.
    pub(in super::super) fn fill(&mut self, model: &mut Model, doubtful: Option<i64>) {
        let mut order: Vec<(NodeId, NodeId)> = Vec::new();
        for (node, known) in self.nodes.iter().enumerate() {
            if let Some(known) = known {
                order.push((known.parent, node as NodeId));
            }
        }
        order.sort_unstable();
        let mut todo: Vec<NodeId> = model.roots().to_vec();
        while let Some(parent) = todo.pop() {
            let first = order.partition_point(|(above, _)| *above < parent);
            for (_, node) in order[first..].iter().take_while(|(above, _)| *above == parent) {
                let Some(Node { name, inode, flags, .. }) = self.nodes[*node as usize].take() else {
                    continue;
                };
                let is_directory = inode.kind == FileKind::Directory;
                let belongs = model.belongs(parent, &name, is_directory);
                if matches!(belongs, Belongs::No)
                    || model.child(parent, &name).is_some()
                    || model.is_used(*node)
                {
                    continue;
                }
                if !is_directory && doubtful.is_some_and(|since| inode.ctime >= since) {
                    self.doubtful.push(*node);
                }
                model.put_back(*node, parent, &name, &inode, flags);
                if let Belongs::Directory(included, scope) = belongs {
                    model.set_scope(*node, included, scope);
                    todo.push(*node);
                }
            }
        }
        model.placed();
    }

    /// Sums it up for the model that was made of it.
    pub(in super::super) fn sum(self, model: &Model) -> Known {
        let Loaded { older: mut all, younger, doubtful, .. } = self;
        all.add(younger);
        let place = |(parent, ino, name): Left| {
            let stands = parent != NONE && model.is_used(parent) && model.entry(parent).id.ino == ino;
            if !stands || model.entry(parent).kind != FileKind::Directory {
                // It went with its directory, whose own name is told of.
                return None;
            }
            let (root, path) = model.path(parent);
            Some((root, path, name))
        };
        all.left.sort_unstable();
        all.left.dedup();
        let left = all.left.into_iter().filter_map(place).collect();
        Known { dirty: all.dirty, left, unseen: all.unseen, doubtful }
    }
}
