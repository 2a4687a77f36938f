//! Answers: what a target tells its source.

use super::orphan::{OrphanCounts, OrphanTerms};
use super::primitive::{put_bytes, put_meta, put_name, put_short};
use super::task::TaskTold;
use super::{Load, NAME_MAX, OWNERS, PATH_MAX, Reader, SUM_LEN, SUMS_MAX, WireError};
use crate::sys::{FileKind, Meta};

/// What the target has under one name: enough to tell whether the source's differs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Described<'a> {
    pub name: &'a [u8],
    pub kind: FileKind,
    pub meta: Meta,
    /// Bytes of a file; 0 for all else.
    pub size: u64,
    /// Device and inode, of an object that has several names.
    pub shared: Option<(u64, u64)>,
    /// Device number of a device node.
    pub rdev: u64,
    /// The beginning of a SHA-1 of the extended attributes; zeros without any.
    pub xattrs: [u8; 16],
    /// Text of a symbolic link.
    pub text: &'a [u8],
}

/// Which failures a source treats in their own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FailureKind {
    /// This one thing; the rest goes on.
    One = 1,
    /// No space (or quota) left: goes on for nothing.
    Full = 2,
    /// The file system is read-only.
    ReadOnly = 3,
    /// A root could not be opened or made.
    Root = 4,
    /// A directory stands where a file must be, or a file where a directory must be.
    Mismatch = 5,
    /// What was to be changed, moved or linked is not there: the two sides are to be compared.
    Missing = 6,
}

/// One answer. Byte strings are borrowed from the frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<'a> {
    /// A directory of the target begins: its root and path, its own metadata. Entries follow.
    Directory {
        root: u16,
        path: &'a [u8],
        meta: Meta,
        xattrs: [u8; 16],
    },
    Entry(Described<'a>),
    /// All entries of the directory were told. In byte order of their names.
    DirectoryEnd,
    /// All roots were told, each directory before its subdirectories, these in byte order of their names.
    ScanEnd,
    /// Hashes of the next blocks of a file; `last` when there are no more, and then the file's size as it was read.
    Sums {
        question: u64,
        sums: &'a [u8],
        last: Option<u64>,
    },
    /// Instead of sums: both sides, being one process, may read the file, which the target has opened.
    Here {
        question: u64,
    },
    /// The file could not be read: an errno.
    NoSums {
        question: u64,
        errno: i32,
    },
    /// All ranges of the file that were sent are written.
    Written {
        file: u64,
    },
    /// An operation failed for good: whose it was, an errno, and what it was about.
    Failed {
        who: u8,
        kind: FailureKind,
        errno: i32,
        root: u16,
        path: &'a [u8],
        name: &'a [u8],
        what: &'a [u8],
    },
    /// So much of what one owner sent is dealt with: one answer for each frame and owner, another when what was held back is done.
    Applied {
        who: u8,
        /// Bytes of content.
        bytes: u64,
        /// Operations, and their bytes as they were sent: acknowledged (conOpsRx, conBytesRx).
        load: Load,
    },
    /// So many of replication's operations are held back, to be tried again; sent when something of it has changed, 0 when all are done. The
    /// rest tells of the first that failed. `retrying`: one was tried again so often that people are told
    /// (`TGWriteFailureBeforeNotification`).
    Held {
        count: u32,
        retrying: bool,
        errno: i32,
        root: u16,
        path: &'a [u8],
        name: &'a [u8],
        what: &'a [u8],
    },
    /// What the target has not done yet, held back or behind what is held back: operations, and bytes of memory and of disk that it
    /// takes.
    Queue {
        operations: u64,
        memory: u64,
        disk: u64,
    },
    /// All before the barrier is applied.
    Reached {
        barrier: u64,
    },
    /// A task has ended, or was not run.
    Task(TaskTold<'a>),
    /// How the target deals with orphans, as it was asked.
    OrphanTerms(OrphanTerms),
    /// A run over orphans is over, and what it has come to.
    Orphans(OrphanCounts),
}

const DIRECTORY: u8 = 1;
const ENTRY: u8 = 2;
const DIRECTORY_END: u8 = 3;
const SCAN_END: u8 = 4;
const SUMS: u8 = 5;
const SUMS_LAST: u8 = 6;
const NO_SUMS: u8 = 7;
const WRITTEN: u8 = 8;
const FAILED: u8 = 9;
const REACHED: u8 = 10;
const APPLIED: u8 = 11;
const HERE: u8 = 12;
const HELD: u8 = 13;
const QUEUE: u8 = 14;
const TASK: u8 = 15;
const ORPHAN_TERMS: u8 = 16;
const ORPHANS: u8 = 17;

const HAS_SHARED: u8 = 0x10;
const HAS_RDEV: u8 = 0x20;
const HAS_XATTRS: u8 = 0x40;
const KIND_BITS: u8 = 0x0f;

impl<'a> Answer<'a> {
    /// Appends the answer to a frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Entry(d) => {
                let mut flags = d.kind as u8;
                if d.shared.is_some() {
                    flags |= HAS_SHARED;
                }
                if d.rdev != 0 {
                    flags |= HAS_RDEV;
                }
                if d.xattrs != [0; 16] {
                    flags |= HAS_XATTRS;
                }
                out.extend_from_slice(&[ENTRY, flags]);
                put_name(out, d.name);
                put_meta(out, &d.meta);
                out.extend_from_slice(&d.size.to_le_bytes());
                if let Some((dev, ino)) = d.shared {
                    out.extend_from_slice(&dev.to_le_bytes());
                    out.extend_from_slice(&ino.to_le_bytes());
                }
                if d.rdev != 0 {
                    out.extend_from_slice(&d.rdev.to_le_bytes());
                }
                if d.xattrs != [0; 16] {
                    out.extend_from_slice(&d.xattrs);
                }
                if d.kind == FileKind::Symlink {
                    put_short(out, d.text);
                }
            }
            Answer::Directory { root, path, meta, xattrs } => {
                out.push(DIRECTORY);
                out.extend_from_slice(&root.to_le_bytes());
                put_short(out, path);
                put_meta(out, meta);
                out.extend_from_slice(xattrs);
            }
            Answer::DirectoryEnd => out.push(DIRECTORY_END),
            Answer::ScanEnd => out.push(SCAN_END),
            Answer::Sums { question, sums, last } => {
                out.push(if last.is_some() { SUMS_LAST } else { SUMS });
                out.extend_from_slice(&question.to_le_bytes());
                put_bytes(out, sums);
                if let Some(size) = last {
                    out.extend_from_slice(&size.to_le_bytes());
                }
            }
            Answer::Here { question } => {
                out.push(HERE);
                out.extend_from_slice(&question.to_le_bytes());
            }
            Answer::NoSums { question, errno } => {
                out.push(NO_SUMS);
                out.extend_from_slice(&question.to_le_bytes());
                out.extend_from_slice(&errno.to_le_bytes());
            }
            Answer::Written { file } => {
                out.push(WRITTEN);
                out.extend_from_slice(&file.to_le_bytes());
            }
            Answer::Failed { who, kind, errno, root, path, name, what } => {
                out.extend_from_slice(&[FAILED, *who, *kind as u8]);
                put_about(out, *errno, *root, [path, name, what]);
            }
            Answer::Held { count, retrying, errno, root, path, name, what } => {
                out.push(HELD);
                out.extend_from_slice(&count.to_le_bytes());
                out.push(u8::from(*retrying));
                put_about(out, *errno, *root, [path, name, what]);
            }
            Answer::Applied { who, bytes, load } => {
                out.extend_from_slice(&[APPLIED, *who]);
                for number in [*bytes, load.operations, load.bytes] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            Answer::Queue { operations, memory, disk } => {
                out.push(QUEUE);
                for number in [operations, memory, disk] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            Answer::Reached { barrier } => {
                out.push(REACHED);
                out.extend_from_slice(&barrier.to_le_bytes());
            }
            Answer::Task(told) => {
                out.push(TASK);
                told.encode(out);
            }
            Answer::OrphanTerms(terms) => {
                out.push(ORPHAN_TERMS);
                terms.encode(out);
            }
            Answer::Orphans(counts) => {
                out.push(ORPHANS);
                counts.encode(out);
            }
        }
    }

    /// Reads and validates the next answer of a frame.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            ENTRY => Answer::Entry(Described::decode(reader)?),
            DIRECTORY => {
                let root = reader.u16()?;
                Answer::Directory { root, path: reader.path()?, meta: reader.meta()?, xattrs: hash(reader)? }
            }
            DIRECTORY_END => Answer::DirectoryEnd,
            SCAN_END => Answer::ScanEnd,
            kind @ (SUMS | SUMS_LAST) => {
                let question = reader.u64()?;
                let sums = reader.bytes("list of checksums", SUMS_MAX * SUM_LEN)?;
                if sums.len() % SUM_LEN != 0 {
                    return Err(WireError::Invalid("list of checksums"));
                }
                let last = if kind == SUMS_LAST { Some(reader.u64()?) } else { None };
                Answer::Sums { question, sums, last }
            }
            HERE => Answer::Here { question: reader.u64()? },
            NO_SUMS => Answer::NoSums { question: reader.u64()?, errno: errno(reader)? },
            WRITTEN => Answer::Written { file: reader.u64()? },
            FAILED => {
                use FailureKind::*;
                let (who, kind) = (owner(reader)?, reader.u8()?);
                let kind =
                    [One, Full, ReadOnly, Root, Mismatch, Missing].into_iter().find(|k| *k as u8 == kind);
                let kind = kind.ok_or(WireError::Invalid("kind of failure"))?;
                let (errno, root, path, name, what) = about(reader)?;
                Answer::Failed { who, kind, errno, root, path, name, what }
            }
            HELD => {
                let (count, retrying) = (reader.u32()?, reader.bool()?);
                let (errno, root, path, name, what) = about(reader)?;
                Answer::Held { count, retrying, errno, root, path, name, what }
            }
            APPLIED => Answer::Applied {
                who: owner(reader)?,
                bytes: reader.u64()?,
                load: Load { operations: reader.u64()?, bytes: reader.u64()? },
            },
            QUEUE => Answer::Queue { operations: reader.u64()?, memory: reader.u64()?, disk: reader.u64()? },
            REACHED => Answer::Reached { barrier: reader.u64()? },
            TASK => Answer::Task(TaskTold::decode(reader)?),
            ORPHAN_TERMS => Answer::OrphanTerms(OrphanTerms::decode(reader)?),
            ORPHANS => Answer::Orphans(OrphanCounts::decode(reader)?),
            other => return Err(WireError::UnknownType(other)),
        })
    }
}

impl<'a> Described<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let flags = reader.u8()?;
        let kind = FileKind::from_number(flags & KIND_BITS).ok_or(WireError::Invalid("file type"))?;
        let (name, meta, size) = (reader.name()?, reader.meta()?, reader.u64()?);
        let shared = if flags & HAS_SHARED != 0 { Some((reader.u64()?, reader.u64()?)) } else { None };
        let rdev = if flags & HAS_RDEV != 0 { reader.u64()? } else { 0 };
        let xattrs = if flags & HAS_XATTRS != 0 { hash(reader)? } else { [0; 16] };
        let text = if kind == FileKind::Symlink { reader.short("link text", PATH_MAX + 1)? } else { &[] };
        Ok(Described { name, kind, meta, size, shared, rdev, xattrs, text })
    }
}

fn hash(reader: &mut Reader<'_>) -> Result<[u8; 16], WireError> {
    let mut hash = [0; 16];
    hash.copy_from_slice(reader.take(16)?);
    Ok(hash)
}

fn owner(reader: &mut Reader<'_>) -> Result<u8, WireError> {
    let who = reader.u8()?;
    if usize::from(who) < OWNERS { Ok(who) } else { Err(WireError::Invalid("owner")) }
}

/// What an operation was about: its path, its name, what was done.
fn put_about(out: &mut Vec<u8>, errno: i32, root: u16, texts: [&[u8]; 3]) {
    out.extend_from_slice(&errno.to_le_bytes());
    out.extend_from_slice(&root.to_le_bytes());
    texts.iter().for_each(|text| put_short(out, text));
}

type About<'a> = (i32, u16, &'a [u8], &'a [u8], &'a [u8]);

fn about<'a>(reader: &mut Reader<'a>) -> Result<About<'a>, WireError> {
    let (errno, root) = (errno(reader)?, reader.u16()?);
    Ok((errno, root, reader.path()?, reader.short("name", NAME_MAX)?, reader.short("reason", 1024)?))
}

fn errno(reader: &mut Reader<'_>) -> Result<i32, WireError> {
    reader.u32().map(|n| n as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples() -> Vec<Answer<'static>> {
        let meta = Meta { mode: 0o644, uid: 1, gid: 2, mtime: (1 << 33, 1) };
        let file = Described {
            name: b"f",
            kind: FileKind::File,
            meta,
            size: 1 << 40,
            shared: Some((1, 2)),
            rdev: 0,
            xattrs: [9; 16],
            text: b"",
        };
        let link = Described {
            kind: FileKind::Symlink,
            shared: None,
            xattrs: [0; 16],
            size: 0,
            text: b"to",
            ..file
        };
        let node = Described { kind: FileKind::Character, rdev: 0x0103, text: b"", ..link };
        vec![
            Answer::Directory { root: 1, path: b"a/b", meta, xattrs: [3; 16] },
            Answer::Entry(file),
            Answer::Entry(link),
            Answer::Entry(node),
            Answer::DirectoryEnd,
            Answer::ScanEnd,
            Answer::Sums { question: 4, sums: &[7; 40], last: None },
            Answer::Sums { question: 4, sums: &[], last: Some(12) },
            Answer::Here { question: 4 },
            Answer::NoSums { question: 4, errno: 13 },
            Answer::Written { file: 5 },
            Answer::Task(crate::wire::task::TOLD),
            Answer::Failed {
                who: 0,
                kind: FailureKind::Full,
                errno: 28,
                root: 0,
                path: b"",
                name: b"x",
                what: b"write",
            },
            Answer::Failed {
                who: 1,
                kind: FailureKind::Missing,
                errno: 2,
                root: 3,
                path: b"a/b",
                name: b"",
                what: b"move",
            },
            Answer::Applied { who: 1, bytes: 8, load: Load { operations: 2, bytes: 90 } },
            Answer::Held {
                count: 3,
                retrying: true,
                errno: 26,
                root: 1,
                path: b"a",
                name: b"busy",
                what: b"write the file",
            },
            Answer::Queue { operations: 5, memory: 70_000, disk: 1 << 40 },
            Answer::Held { count: 0, retrying: false, errno: 0, root: 0, path: b"", name: b"", what: b"" },
            Answer::Reached { barrier: 6 },
            Answer::OrphanTerms(OrphanTerms { on: true, before: Some(-7) }),
            Answer::OrphanTerms(OrphanTerms { on: false, before: None }),
            Answer::Orphans(OrphanCounts { files: 3, directories: 1, bytes: 1 << 40, left: 2 }),
        ]
    }

    #[test]
    fn every_answer_reads_back_as_it_was_written() {
        let mut frame = Vec::new();
        samples().iter().for_each(|answer| answer.encode(&mut frame));
        let mut reader = Reader::new(&frame);
        for answer in samples() {
            assert_eq!(Answer::decode(&mut reader).unwrap(), answer);
        }
        assert!(reader.is_empty());
    }

    #[test]
    fn an_answer_cut_anywhere_or_of_an_unknown_owner_is_an_error() {
        for answer in samples() {
            let mut frame = Vec::new();
            answer.encode(&mut frame);
            for len in 0..frame.len() {
                assert!(Answer::decode(&mut Reader::new(&frame[..len])).is_err(), "{answer:?} cut to {len}");
            }
            if matches!(answer, Answer::Failed { .. } | Answer::Applied { .. }) {
                frame[1] = 2;
                assert_eq!(Answer::decode(&mut Reader::new(&frame)), Err(WireError::Invalid("owner")));
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut frame in proptest::collection::vec(any::<u8>(), 1..400), first in 0u8..18) {
            frame[0] = first;
            let mut reader = Reader::new(&frame);
            while Answer::decode(&mut reader).is_ok() {}
        }
    }
}
