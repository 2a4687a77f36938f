//! What stands in a ledger: steps of the model, marks of what is dirty, and how far the target is known to be.

use super::super::model::{Entry as Inode, Identity, NodeId};
use super::super::record::{get_id, put_id};
use crate::sys::FileKind;
use crate::wire::{NAME_MAX, Reader, WireError};

/// A name of the model, with the inode of its directory: the directory's number may be another's by the time it is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Place<'a> {
    pub parent: NodeId,
    pub ino: u64,
    pub name: &'a [u8],
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Entry<'a> {
    /// A root's directory.
    Root {
        node: NodeId,
        number: u16,
        inode: Inode,
    },
    /// An entry with some of its flags ([`KEPT`](super::KEPT)).
    Node {
        node: NodeId,
        parent: NodeId,
        name: &'a [u8],
        inode: Inode,
        flags: u16,
    },
    Moved {
        node: NodeId,
        from: Place<'a>,
        parent: NodeId,
        name: &'a [u8],
    },
    /// It is removed, after all that was below it.
    Gone {
        node: NodeId,
        from: Place<'a>,
    },
    Stamps {
        node: NodeId,
        size: u64,
        ctime: i64,
        mtime: i64,
    },
    Flags {
        node: NodeId,
        flags: u16,
    },
    /// The target may not have it as it is; `deep`: nor what is below it.
    Dirty {
        node: NodeId,
        deep: bool,
    },
    /// The same of an inode under all its names.
    Inode {
        id: Identity,
    },
    /// What the target has not is not known.
    Everything,
    /// Which names it has that are gone is not known.
    Unseen,
    /// All that stands before it is of one generation, or of an older one.
    Generation,
    /// The target has all of the generation that ended last, and of older ones.
    Applied,
    /// All entries that were there when the ledger was begun stand before it.
    Base,
    /// Its engine has ended in good order.
    Closed,
}

const ROOT: u8 = 1;
const NODE: u8 = 2;
const MOVED: u8 = 3;
const GONE: u8 = 4;
const STAMPS: u8 = 5;
const FLAGS: u8 = 6;
const DIRTY: u8 = 7;
const DEEP: u8 = 8;
const INODE: u8 = 9;
const EVERYTHING: u8 = 10;
const UNSEEN: u8 = 11;
const GENERATION: u8 = 12;
const APPLIED: u8 = 13;
const BASE: u8 = 14;
const CLOSED: u8 = 15;

impl<'a> Entry<'a> {
    /// Appends it to `out`.
    pub(in super::super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Entry::Root { node, number, inode } => {
                begin(out, ROOT, node);
                out.extend_from_slice(&number.to_le_bytes());
                put_inode(out, &inode);
            }
            Entry::Node { node, parent, name, inode, flags } => {
                begin(out, NODE, node);
                out.extend_from_slice(&parent.to_le_bytes());
                out.extend_from_slice(&flags.to_le_bytes());
                put_inode(out, &inode);
                put_name(out, name);
            }
            Entry::Moved { node, from, parent, name } => {
                begin(out, MOVED, node);
                put_place(out, &from);
                out.extend_from_slice(&parent.to_le_bytes());
                put_name(out, name);
            }
            Entry::Gone { node, from } => {
                begin(out, GONE, node);
                put_place(out, &from);
            }
            Entry::Stamps { node, size, ctime, mtime } => {
                begin(out, STAMPS, node);
                out.extend_from_slice(&size.to_le_bytes());
                out.extend_from_slice(&ctime.to_le_bytes());
                out.extend_from_slice(&mtime.to_le_bytes());
            }
            Entry::Flags { node, flags } => {
                begin(out, FLAGS, node);
                out.extend_from_slice(&flags.to_le_bytes());
            }
            Entry::Dirty { node, deep } => begin(out, if deep { DEEP } else { DIRTY }, node),
            Entry::Inode { id } => {
                out.push(INODE);
                put_id(out, &id);
            }
            Entry::Everything => out.push(EVERYTHING),
            Entry::Unseen => out.push(UNSEEN),
            Entry::Generation => out.push(GENERATION),
            Entry::Applied => out.push(APPLIED),
            Entry::Base => out.push(BASE),
            Entry::Closed => out.push(CLOSED),
        }
    }

    /// Reads one. A file on disk may hold anything.
    pub(in super::super) fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let kind = reader.u8()?;
        Ok(match kind {
            ROOT => Entry::Root { node: reader.u32()?, number: reader.u16()?, inode: get_inode(reader)? },
            NODE => {
                let (node, parent, flags) = (reader.u32()?, reader.u32()?, reader.u16()?);
                Entry::Node { node, parent, flags, inode: get_inode(reader)?, name: get_name(reader)? }
            }
            MOVED => Entry::Moved {
                node: reader.u32()?,
                from: get_place(reader)?,
                parent: reader.u32()?,
                name: get_name(reader)?,
            },
            GONE => Entry::Gone { node: reader.u32()?, from: get_place(reader)? },
            STAMPS => Entry::Stamps {
                node: reader.u32()?,
                size: reader.u64()?,
                ctime: reader.u64()?.cast_signed(),
                mtime: reader.u64()?.cast_signed(),
            },
            FLAGS => Entry::Flags { node: reader.u32()?, flags: reader.u16()? },
            DIRTY | DEEP => Entry::Dirty { node: reader.u32()?, deep: kind == DEEP },
            INODE => Entry::Inode { id: get_id(reader)? },
            EVERYTHING => Entry::Everything,
            UNSEEN => Entry::Unseen,
            GENERATION => Entry::Generation,
            APPLIED => Entry::Applied,
            BASE => Entry::Base,
            CLOSED => Entry::Closed,
            other => return Err(WireError::UnknownType(other)),
        })
    }
}

fn begin(out: &mut Vec<u8>, kind: u8, node: NodeId) {
    out.push(kind);
    out.extend_from_slice(&node.to_le_bytes());
}

fn put_inode(out: &mut Vec<u8>, inode: &Inode) {
    put_id(out, &inode.id);
    out.push(inode.kind as u8);
    out.extend_from_slice(&inode.size.to_le_bytes());
    out.extend_from_slice(&inode.ctime.to_le_bytes());
    out.extend_from_slice(&inode.mtime.to_le_bytes());
}

fn get_inode(reader: &mut Reader<'_>) -> Result<Inode, WireError> {
    Ok(Inode {
        id: get_id(reader)?,
        kind: FileKind::from_number(reader.u8()?).ok_or(WireError::Invalid("file type"))?,
        size: reader.u64()?,
        ctime: reader.u64()?.cast_signed(),
        mtime: reader.u64()?.cast_signed(),
    })
}

fn put_place(out: &mut Vec<u8>, place: &Place<'_>) {
    out.extend_from_slice(&place.parent.to_le_bytes());
    out.extend_from_slice(&place.ino.to_le_bytes());
    put_name(out, place.name);
}

fn get_place<'a>(reader: &mut Reader<'a>) -> Result<Place<'a>, WireError> {
    Ok(Place { parent: reader.u32()?, ino: reader.u64()?, name: get_name(reader)? })
}

fn put_name(out: &mut Vec<u8>, name: &[u8]) {
    // Names over the limit are in no model.
    out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(name);
}

fn get_name<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    reader.short("name", NAME_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_entry_reads_back_as_it_was_written() {
        let id = Identity { dev: 1, ino: 2, born: -3 };
        let from = Place { parent: 7, ino: 8, name: b"old" };
        let mut entries = vec![
            Entry::Moved { node: 1, from, parent: 2, name: b"new" },
            Entry::Gone { node: 1, from },
            Entry::Stamps { node: 1, size: 2, ctime: -3, mtime: 4 },
            Entry::Flags { node: 1, flags: 3 },
            Entry::Dirty { node: 1, deep: false },
            Entry::Dirty { node: 1, deep: true },
            Entry::Inode { id },
            Entry::Everything,
            Entry::Unseen,
            Entry::Generation,
            Entry::Applied,
            Entry::Base,
            Entry::Closed,
        ];
        for kind in [FileKind::File, FileKind::Directory, FileKind::Symlink, FileKind::Socket] {
            let inode = Inode { id, kind, size: 5, ctime: -6, mtime: 7 };
            entries.push(Entry::Root { node: 1, number: 2, inode });
            entries.push(Entry::Node { node: 1, parent: 2, name: b"n", inode, flags: 4 });
        }
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.encode(&mut bytes));
        let mut reader = Reader::new(&bytes);
        for entry in entries {
            assert_eq!(Entry::decode(&mut reader).unwrap(), entry);
        }
        assert!(reader.is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            while Entry::decode(&mut reader).is_ok() {}
        }
    }
}
