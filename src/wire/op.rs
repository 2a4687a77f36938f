//! Operations: what a source asks a target to do, in order.
//!
//! A stream begins with `Begin`. `Enter` names the directory that the following operations are about; they carry single
//! names only. Content of small files stands in the operation; larger files are begun, written in ranges and ended, and
//! appear (or change their length) when they are ended.
//!
//! Two owners may share a stream: a mirror or verification, and replication. `By` says whose the following operations are; the
//! directory entered and the numbers of files, questions and barriers are the stream's, whoever sent them.

use super::orphan::{OrphanNamed, OrphanStep};
use super::primitive::{put_bytes, put_meta, put_name, put_short, put_xattrs};
use super::task::TaskOrder;
use super::{BLOCK_MIN, CONTENT_MAX, PARTS_MAX, PATH_MAX, ROOTS_MAX, Reader, WireError};
use crate::sys::{FileKind, Meta, Xattrs};

/// Whether a begun file is a new one or an existing one that keeps its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// Written aside; takes the name at its end, replacing what has it.
    Whole,
    /// Changed in place by blocks (FileEnd sets the length).
    InPlace,
    /// The same, of a file that is to have no other name: one that has is not changed.
    Alone,
}

/// Where the bytes of a range come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch<'a> {
    /// They stand here.
    Bytes(&'a [u8]),
    /// A hole of this many bytes.
    Hole(u64),
    /// This many bytes at the same offset of a file that source and target, being one process, both hold.
    Local(u64),
}

/// A directory to be described: its root, its path, and whether what is below it is described too.
pub type Part<'a> = (u16, &'a [u8], bool);

/// One operation. Byte strings are borrowed from the frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Op<'a> {
    /// The target's roots (absolute paths of directories, made when needed); whether owner, group and mode
    /// (`attributes`) and extended attributes (`xattrs`) are part of the copy; whether the target describes its trees
    /// (`scan`). A root with a name is that one entry of its directory.
    Begin {
        attributes: bool,
        xattrs: bool,
        scan: bool,
        roots: Vec<(&'a [u8], Option<&'a [u8]>)>,
    },
    /// Whose the following operations are: 0 a mirror's or verification's (also before the first of these), 1 replication's.
    By {
        who: u8,
    },
    /// Asks for a description of these directories, as `Begin` with `scan` asks for one of all roots; no part at all means that too.
    /// One is described after another; parts that are not there are left out. It says what is there, not what is held back.
    Scan {
        parts: Vec<Part<'a>>,
    },
    /// Goes to a directory below a root; with `make`, missing ones on the way are made.
    Enter {
        root: u16,
        path: &'a [u8],
        make: bool,
    },
    /// A whole file.
    Put {
        name: &'a [u8],
        meta: Meta,
        xattrs: Xattrs,
        content: &'a [u8],
    },
    /// Begins a file; `file` names it in later operations.
    FileBegin {
        file: u64,
        name: &'a [u8],
        mode: FileMode,
    },
    FileWrite {
        file: u64,
        offset: u64,
        patch: Patch<'a>,
    },
    /// Asks for `Answer::Written` when all ranges so far are written.
    FileAsk {
        file: u64,
    },
    FileEnd {
        file: u64,
        length: u64,
        meta: Meta,
        xattrs: Xattrs,
    },
    /// Length and metadata of a file changed in place, which stays open.
    FileSet {
        file: u64,
        length: u64,
        meta: Meta,
        xattrs: Xattrs,
    },
    /// Forgets a begun file; one changed in place stays as far as it was changed.
    FileDrop {
        file: u64,
    },
    Symlink {
        name: &'a [u8],
        meta: Meta,
        xattrs: Xattrs,
        text: &'a [u8],
    },
    /// Fifo, socket or device node.
    Node {
        name: &'a [u8],
        meta: Meta,
        xattrs: Xattrs,
        kind: FileKind,
        rdev: u64,
    },
    /// Another name for an entry that an earlier operation made or left: its root, directory and name.
    Link {
        name: &'a [u8],
        root: u16,
        dir: &'a [u8],
        from: &'a [u8],
    },
    /// Moves an entry here from its root, directory and name, replacing what has the new name as renameat(2) does. Between file systems
    /// all but a directory is copied. A directory entered that lies in what is moved is to be entered again by its new path.
    Rename {
        name: &'a [u8],
        root: u16,
        dir: &'a [u8],
        from: &'a [u8],
    },
    /// Metadata of an existing entry that has this kind.
    SetMeta {
        name: &'a [u8],
        kind: FileKind,
        meta: Meta,
        xattrs: Xattrs,
    },
    /// Metadata of the directory entered.
    SetDirMeta {
        meta: Meta,
        xattrs: Xattrs,
    },
    /// Removes an entry; a directory with all that is in it only when `tree` says so.
    Remove {
        name: &'a [u8],
        tree: bool,
    },
    /// Of a run over what only the target has (a mirror's or verification's).
    Orphans(OrphanStep),
    /// One of them: deleted, moved to the same path below `MoveOrphansDir`, or only named, as the target and the run's beginning say.
    Orphan(OrphanNamed<'a>),
    /// Asks for the SHA-1 of each block of a file: `Answer::Sums`. With `here`, a target of the same process answers
    /// `Answer::Here` instead.
    Question {
        question: u64,
        name: &'a [u8],
        block: u32,
        here: bool,
    },
    /// Asks for `Answer::Reached` when all before it is applied. One of replication's waits for what is held back, too.
    Barrier {
        barrier: u64,
    },
    /// A task's turn (replication's only): it runs, and nothing else is done until `Answer::Task` is given. At ONRECEIVE it runs as soon as
    /// it is read, whatever waits.
    Task(TaskOrder<'a>),
}

const BEGIN: u8 = 1;
const ENTER: u8 = 2;
const PUT: u8 = 3;
const FILE_BEGIN: u8 = 4;
const FILE_BYTES: u8 = 5;
const FILE_HOLE: u8 = 6;
const FILE_LOCAL: u8 = 7;
const FILE_ASK: u8 = 8;
const FILE_END: u8 = 9;
const FILE_DROP: u8 = 10;
const SYMLINK: u8 = 11;
const NODE: u8 = 12;
const LINK: u8 = 13;
const SET_META: u8 = 14;
const SET_DIR_META: u8 = 15;
const REMOVE: u8 = 16;
const QUESTION: u8 = 17;
const BARRIER: u8 = 18;
const FILE_SET: u8 = 23;
const BY: u8 = 20;
const SCAN: u8 = 21;
const RENAME: u8 = 22;
const TASK: u8 = 24;
const ORPHANS: u8 = 25;
const ORPHAN: u8 = 26;

/// The owners of operations.
pub const OWNERS: usize = 2;

impl<'a> Op<'a> {
    /// Appends the operation to a frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Op::Begin { attributes, xattrs, scan, roots } => {
                out.extend_from_slice(&[BEGIN, u8::from(*attributes), u8::from(*xattrs), u8::from(*scan)]);
                out.extend_from_slice(&u16::try_from(roots.len()).unwrap_or(u16::MAX).to_le_bytes());
                for (path, only) in roots {
                    put_short(out, path);
                    out.push(u8::from(only.is_some()));
                    if let Some(name) = only {
                        put_name(out, name);
                    }
                }
            }
            Op::By { who } => out.extend_from_slice(&[BY, *who]),
            Op::Scan { parts } => {
                out.push(SCAN);
                out.extend_from_slice(&u16::try_from(parts.len()).unwrap_or(u16::MAX).to_le_bytes());
                for (root, path, deep) in parts {
                    out.extend_from_slice(&root.to_le_bytes());
                    out.push(u8::from(*deep));
                    put_short(out, path);
                }
            }
            Op::Enter { root, path, make } => {
                out.push(ENTER);
                out.extend_from_slice(&root.to_le_bytes());
                out.push(u8::from(*make));
                put_short(out, path);
            }
            Op::Put { name, meta, xattrs, content } => {
                let start = Self::begin_put(out, name, meta, xattrs);
                out.extend_from_slice(content);
                Self::end_put(out, start);
            }
            Op::FileBegin { file, name, mode } => {
                out.push(FILE_BEGIN);
                out.extend_from_slice(&file.to_le_bytes());
                put_name(out, name);
                out.push(match mode {
                    FileMode::Whole => 0,
                    FileMode::InPlace => 1,
                    FileMode::Alone => 2,
                });
            }
            Op::FileWrite { file, offset, patch } => {
                out.push(match patch {
                    Patch::Bytes(_) => FILE_BYTES,
                    Patch::Hole(_) => FILE_HOLE,
                    Patch::Local(_) => FILE_LOCAL,
                });
                out.extend_from_slice(&file.to_le_bytes());
                out.extend_from_slice(&offset.to_le_bytes());
                match patch {
                    Patch::Bytes(bytes) => put_bytes(out, bytes),
                    Patch::Hole(len) | Patch::Local(len) => out.extend_from_slice(&len.to_le_bytes()),
                }
            }
            Op::FileAsk { file } => {
                out.push(FILE_ASK);
                out.extend_from_slice(&file.to_le_bytes());
            }
            Op::FileEnd { file, length, meta, xattrs } => {
                out.push(FILE_END);
                out.extend_from_slice(&file.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
                put_meta(out, meta);
                put_xattrs(out, xattrs);
            }
            Op::FileSet { file, length, meta, xattrs } => {
                out.push(FILE_SET);
                out.extend_from_slice(&file.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
                put_meta(out, meta);
                put_xattrs(out, xattrs);
            }
            Op::FileDrop { file } => {
                out.push(FILE_DROP);
                out.extend_from_slice(&file.to_le_bytes());
            }
            Op::Symlink { name, meta, xattrs, text } => {
                out.push(SYMLINK);
                put_name(out, name);
                put_meta(out, meta);
                put_xattrs(out, xattrs);
                put_short(out, text);
            }
            Op::Node { name, meta, xattrs, kind, rdev } => {
                out.push(NODE);
                put_name(out, name);
                put_meta(out, meta);
                put_xattrs(out, xattrs);
                out.push(*kind as u8);
                out.extend_from_slice(&rdev.to_le_bytes());
            }
            Op::Link { name, root, dir, from } | Op::Rename { name, root, dir, from } => {
                out.push(if matches!(self, Op::Link { .. }) { LINK } else { RENAME });
                put_name(out, name);
                out.extend_from_slice(&root.to_le_bytes());
                put_short(out, dir);
                put_name(out, from);
            }
            Op::SetMeta { name, kind, meta, xattrs } => {
                out.push(SET_META);
                put_name(out, name);
                out.push(*kind as u8);
                put_meta(out, meta);
                put_xattrs(out, xattrs);
            }
            Op::SetDirMeta { meta, xattrs } => {
                out.push(SET_DIR_META);
                put_meta(out, meta);
                put_xattrs(out, xattrs);
            }
            Op::Remove { name, tree } => {
                out.push(REMOVE);
                put_name(out, name);
                out.push(u8::from(*tree));
            }
            Op::Orphans(step) => {
                out.push(ORPHANS);
                step.encode(out);
            }
            Op::Orphan(orphan) => {
                out.push(ORPHAN);
                orphan.encode(out);
            }
            Op::Question { question, name, block, here } => {
                out.push(QUESTION);
                out.extend_from_slice(&question.to_le_bytes());
                put_name(out, name);
                out.extend_from_slice(&block.to_le_bytes());
                out.push(u8::from(*here));
            }
            Op::Barrier { barrier } => {
                out.push(BARRIER);
                out.extend_from_slice(&barrier.to_le_bytes());
            }
            Op::Task(order) => {
                out.push(TASK);
                order.encode(out);
            }
        }
    }

    /// Begins a `Put` whose content the caller appends to `out` itself; [`Op::end_put`] then closes it. Lets content be
    /// read straight into the frame.
    pub fn begin_put(out: &mut Vec<u8>, name: &[u8], meta: &Meta, xattrs: &Xattrs) -> usize {
        out.push(PUT);
        put_name(out, name);
        put_meta(out, meta);
        put_xattrs(out, xattrs);
        out.extend_from_slice(&[0; 4]);
        out.len()
    }

    /// Closes a `Put`: `start` is what `begin_put` returned.
    pub fn end_put(out: &mut [u8], start: usize) {
        let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
        out[start - 4..start].copy_from_slice(&len.to_le_bytes());
    }

    /// Reads and validates the next operation of a frame.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            PUT => Op::Put {
                name: reader.name()?,
                meta: reader.meta()?,
                xattrs: reader.xattrs()?,
                content: reader.bytes("content", CONTENT_MAX)?,
            },
            BEGIN => {
                let (attributes, xattrs, scan) = (reader.bool()?, reader.bool()?, reader.bool()?);
                let count = reader.u16()? as usize;
                if count > ROOTS_MAX {
                    return Err(WireError::TooLong { what: "number of roots", limit: ROOTS_MAX });
                }
                let mut roots = Vec::with_capacity(count);
                for _ in 0..count {
                    let path = reader.short("root", PATH_MAX)?;
                    let climbs = path.split(|byte| *byte == b'/').any(|name| name == b"..");
                    if path.first() != Some(&b'/') || path.contains(&0) || climbs {
                        return Err(WireError::Invalid("root"));
                    }
                    let only = if reader.bool()? { Some(reader.name()?) } else { None };
                    roots.push((path, only));
                }
                Op::Begin { attributes, xattrs, scan, roots }
            }
            BY => {
                let who = reader.u8()?;
                if usize::from(who) >= OWNERS {
                    return Err(WireError::Invalid("owner"));
                }
                Op::By { who }
            }
            SCAN => {
                let count = reader.u16()? as usize;
                if count > PARTS_MAX {
                    return Err(WireError::TooLong { what: "number of parts", limit: PARTS_MAX });
                }
                let mut parts = Vec::with_capacity(count);
                for _ in 0..count {
                    let (root, deep) = (reader.u16()?, reader.bool()?);
                    parts.push((root, reader.path()?, deep));
                }
                Op::Scan { parts }
            }
            ENTER => {
                let root = reader.u16()?;
                let make = reader.bool()?;
                Op::Enter { root, path: reader.path()?, make }
            }
            FILE_BEGIN => {
                let (file, name) = (reader.u64()?, reader.name()?);
                let mode = match reader.u8()? {
                    0 => FileMode::Whole,
                    1 => FileMode::InPlace,
                    2 => FileMode::Alone,
                    _ => return Err(WireError::Invalid("mode of a file")),
                };
                Op::FileBegin { file, name, mode }
            }
            FILE_BYTES => {
                let (file, offset) = (reader.u64()?, offset(reader)?);
                Op::FileWrite { file, offset, patch: Patch::Bytes(reader.bytes("content", CONTENT_MAX)?) }
            }
            kind @ (FILE_HOLE | FILE_LOCAL) => {
                let (file, offset, len) = (reader.u64()?, offset(reader)?, self::offset(reader)?);
                if offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
                    return Err(WireError::Invalid("range"));
                }
                let patch = if kind == FILE_HOLE { Patch::Hole(len) } else { Patch::Local(len) };
                Op::FileWrite { file, offset, patch }
            }
            FILE_ASK => Op::FileAsk { file: reader.u64()? },
            FILE_END => Op::FileEnd {
                file: reader.u64()?,
                length: offset(reader)?,
                meta: reader.meta()?,
                xattrs: reader.xattrs()?,
            },
            FILE_SET => Op::FileSet {
                file: reader.u64()?,
                length: offset(reader)?,
                meta: reader.meta()?,
                xattrs: reader.xattrs()?,
            },
            FILE_DROP => Op::FileDrop { file: reader.u64()? },
            SYMLINK => {
                let (name, meta, xattrs) = (reader.name()?, reader.meta()?, reader.xattrs()?);
                let text = reader.short("link text", PATH_MAX + 1)?;
                if text.is_empty() || text.contains(&0) {
                    return Err(WireError::Invalid("link text"));
                }
                Op::Symlink { name, meta, xattrs, text }
            }
            NODE => {
                let (name, meta, xattrs) = (reader.name()?, reader.meta()?, reader.xattrs()?);
                let kind = kind(reader)?;
                if matches!(kind, FileKind::File | FileKind::Directory | FileKind::Symlink) {
                    return Err(WireError::Invalid("node's type"));
                }
                Op::Node { name, meta, xattrs, kind, rdev: reader.u64()? }
            }
            kind @ (LINK | RENAME) => {
                let (name, root) = (reader.name()?, reader.u16()?);
                let (dir, from) = (reader.path()?, reader.name()?);
                if kind == LINK {
                    Op::Link { name, root, dir, from }
                } else {
                    Op::Rename { name, root, dir, from }
                }
            }
            SET_META => {
                let (name, kind) = (reader.name()?, kind(reader)?);
                Op::SetMeta { name, kind, meta: reader.meta()?, xattrs: reader.xattrs()? }
            }
            SET_DIR_META => Op::SetDirMeta { meta: reader.meta()?, xattrs: reader.xattrs()? },
            REMOVE => Op::Remove { name: reader.name()?, tree: reader.bool()? },
            ORPHANS => Op::Orphans(OrphanStep::decode(reader)?),
            ORPHAN => Op::Orphan(OrphanNamed::decode(reader)?),
            QUESTION => {
                let (question, name, block) = (reader.u64()?, reader.name()?, reader.u32()?);
                if !(BLOCK_MIN..=CONTENT_MAX).contains(&(block as usize)) {
                    return Err(WireError::Invalid("block size"));
                }
                Op::Question { question, name, block, here: reader.bool()? }
            }
            BARRIER => Op::Barrier { barrier: reader.u64()? },
            TASK => Op::Task(TaskOrder::decode(reader)?),
            other => return Err(WireError::UnknownType(other)),
        })
    }
}

fn kind(reader: &mut Reader<'_>) -> Result<FileKind, WireError> {
    FileKind::from_number(reader.u8()?).ok_or(WireError::Invalid("file type"))
}

/// A place in a file: at most 2^63 - 1.
fn offset(reader: &mut Reader<'_>) -> Result<u64, WireError> {
    let offset = reader.u64()?;
    if offset > i64::MAX as u64 { Err(WireError::Invalid("offset")) } else { Ok(offset) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples() -> Vec<Op<'static>> {
        let meta = Meta { mode: 0o4755, uid: 1, gid: 2, mtime: (-3, 999_999_999) };
        let xattrs = Xattrs { list: vec![(b"user.a".to_vec(), b"v".to_vec()), (b"user.b".to_vec(), vec![])] };
        vec![
            Op::Begin {
                attributes: true,
                xattrs: false,
                scan: true,
                roots: vec![(b"/t", None), (b"/u", Some(b"x"))],
            },
            Op::By { who: 1 },
            Op::Scan { parts: vec![(0, b"", true), (7, b"a/b", false)] },
            Op::Scan { parts: vec![] },
            Op::Enter { root: 3, path: b"a/b\n/\xff", make: true },
            Op::Enter { root: 3, path: b"", make: false },
            Op::Put { name: b"n", meta, xattrs: xattrs.clone(), content: b"content" },
            Op::FileBegin { file: 9, name: b"big", mode: FileMode::InPlace },
            Op::FileBegin { file: 10, name: b"big", mode: FileMode::Whole },
            Op::FileBegin { file: 11, name: b"big", mode: FileMode::Alone },
            Op::FileWrite { file: 9, offset: 1 << 40, patch: Patch::Bytes(b"xyz") },
            Op::FileWrite { file: 9, offset: 5, patch: Patch::Hole(1 << 41) },
            Op::FileWrite { file: 9, offset: 5, patch: Patch::Local(7) },
            Op::FileAsk { file: 9 },
            Op::Task(crate::wire::task::ORDER),
            Op::FileEnd { file: 9, length: 1 << 42, meta, xattrs: Xattrs::default() },
            Op::FileSet { file: 9, length: 1 << 41, meta, xattrs: Xattrs::default() },
            Op::FileDrop { file: 10 },
            Op::Symlink { name: b"l", meta, xattrs: xattrs.clone(), text: b"../x" },
            Op::Node { name: b"d", meta, xattrs: Xattrs::default(), kind: FileKind::Block, rdev: 0x0801 },
            Op::Link { name: b"h", root: 0, dir: b"p/q", from: b"first" },
            Op::Rename { name: b"new", root: 1, dir: b"", from: b"old" },
            Op::SetMeta { name: b"m", kind: FileKind::Fifo, meta, xattrs },
            Op::SetDirMeta { meta, xattrs: Xattrs::default() },
            Op::Remove { name: b"gone", tree: true },
            Op::Orphans(OrphanStep::Ask { switch_on: false }),
            Op::Orphans(OrphanStep::Ask { switch_on: true }),
            Op::Orphans(OrphanStep::Begin { preview: false }),
            Op::Orphans(OrphanStep::Begin { preview: true }),
            Op::Orphans(OrphanStep::End),
            Op::Orphan(OrphanNamed { dir: b"", name: b"alone", kind: FileKind::File, mtime: (-1, 5) }),
            Op::Orphan(OrphanNamed {
                dir: b"p/q",
                name: b"d",
                kind: FileKind::Directory,
                mtime: (1 << 33, 0),
            }),
            Op::Question { question: 77, name: b"q", block: 65536, here: true },
            Op::Barrier { barrier: 1 },
        ]
    }

    #[test]
    fn every_operation_reads_back_as_it_was_written() {
        let mut frame = Vec::new();
        samples().iter().for_each(|op| op.encode(&mut frame));
        let mut reader = Reader::new(&frame);
        for op in samples() {
            assert_eq!(Op::decode(&mut reader).unwrap(), op);
        }
        assert!(reader.is_empty());
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0"] {
            let mut frame = Vec::new();
            Op::Remove { name, tree: true }.encode(&mut frame);
            assert!(Op::decode(&mut Reader::new(&frame)).is_err(), "{name:?}");
        }
        for path in [&b".."[..], b"a/../b", b"/a", b"a//b", b"a/", b"./a"] {
            let mut frame = Vec::new();
            Op::Enter { root: 0, path, make: true }.encode(&mut frame);
            assert!(Op::decode(&mut Reader::new(&frame)).is_err(), "{path:?}");
            frame.clear();
            Op::Rename { name: b"n", root: 0, dir: path, from: b"f" }.encode(&mut frame);
            assert!(Op::decode(&mut Reader::new(&frame)).is_err(), "{path:?}");
            frame.clear();
            Op::Scan { parts: vec![(0, path, true)] }.encode(&mut frame);
            assert!(Op::decode(&mut Reader::new(&frame)).is_err(), "{path:?}");
            frame.clear();
            Op::Orphan(OrphanNamed { dir: path, name: b"n", kind: FileKind::File, mtime: (0, 0) })
                .encode(&mut frame);
            assert!(Op::decode(&mut Reader::new(&frame)).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error() {
        for op in samples() {
            let mut frame = Vec::new();
            op.encode(&mut frame);
            for len in 0..frame.len() {
                assert!(Op::decode(&mut Reader::new(&frame[..len])).is_err(), "{op:?} cut to {len}");
            }
        }
    }

    #[test]
    fn an_unknown_owner_and_too_many_parts_are_refused() {
        assert_eq!(Op::decode(&mut Reader::new(&[BY, 2])), Err(WireError::Invalid("owner")));
        let mut frame = Vec::new();
        Op::Scan { parts: vec![(0, b"", true); PARTS_MAX + 1] }.encode(&mut frame);
        let refused = Err(WireError::TooLong { what: "number of parts", limit: PARTS_MAX });
        assert_eq!(Op::decode(&mut Reader::new(&frame)), refused);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_decoded_operations_encode_to_what_decodes_alike(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), first in 0u8..27
        ) {
            let mut frame = bytes;
            if let Some(byte) = frame.first_mut() { *byte = first; }
            let mut reader = Reader::new(&frame);
            while let Ok(op) = Op::decode(&mut reader) {
                let mut again = Vec::new();
                op.encode(&mut again);
                prop_assert_eq!(Op::decode(&mut Reader::new(&again)).unwrap(), op);
            }
        }

        #[test]
        fn parts_and_renames_read_back_whatever_their_names(
            parts in proptest::collection::vec((any::<u16>(), "[a-z.~]{2,9}(/[^/\0]{3,9}){0,4}", any::<bool>()), 0..50),
            from in proptest::collection::vec(1u8..46, 1..=255), root in any::<u16>()
        ) {
            let ops = [
                Op::Scan { parts: parts.iter().map(|(root, path, deep)| (*root, path.as_bytes(), *deep)).collect() },
                Op::Rename { name: b"n", root, dir: parts.first().map_or(b"", |part| part.1.as_bytes()), from: &from },
            ];
            for op in ops {
                let mut frame = Vec::new();
                op.encode(&mut frame);
                match Op::decode(&mut Reader::new(&frame)) {
                    Ok(again) => prop_assert_eq!(again, op),
                    // Only a name that means another directory.
                    Err(_) => prop_assert!(parts.iter().any(|part| part.1.split('/').any(|name| name == "..")) || from.iter().all(|b| *b == b'.')),
                }
            }
        }

        #[test]
        fn one_changed_byte_never_panics(at in 0usize..4096, value in any::<u8>()) {
            let mut frame = Vec::new();
            samples().iter().for_each(|op| op.encode(&mut frame));
            let at = at % frame.len();
            frame[at] = value;
            let mut reader = Reader::new(&frame);
            while Op::decode(&mut reader).is_ok() {}
        }
    }
}
