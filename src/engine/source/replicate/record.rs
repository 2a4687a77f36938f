//! What stands in the operation log: structure in full, content and metadata only as "this one, when its turn comes".
//!
//! Paths are those that the target has when the record's turn comes. `node` and `id` find the source's file at that moment,
//! wherever it is by then; a file that is gone is passed over, as its removal stands later in the log.

use super::model::{Identity, Model, NodeId};
use crate::wire::{NAME_MAX, PATH_MAX, Reader, WireError};

/// A place on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At<'a> {
    pub root: u16,
    /// Of the directory.
    pub path: &'a [u8],
    /// Empty: the directory itself.
    pub name: &'a [u8],
}

/// One step of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// A directory is made, with the metadata that it has by then.
    Directory {
        node: NodeId,
        id: Identity,
        at: At<'a>,
    },
    /// A directory's own metadata.
    DirectoryMeta {
        node: NodeId,
        id: Identity,
        at: At<'a>,
    },
    /// Content and metadata of a file.
    Content {
        node: NodeId,
        id: Identity,
        at: At<'a>,
        state: State,
    },
    /// Metadata of anything but a directory.
    Meta {
        node: NodeId,
        id: Identity,
        at: At<'a>,
    },
    /// A link or special file is made.
    Other {
        node: NodeId,
        id: Identity,
        at: At<'a>,
    },
    /// Another name for what is at `from`.
    Link {
        id: Identity,
        at: At<'a>,
        from: At<'a>,
    },
    Rename {
        id: Identity,
        at: At<'a>,
        from: At<'a>,
        directory: bool,
    },
    /// A tree when it is a directory.
    Remove {
        at: At<'a>,
        directory: bool,
    },
    /// Nothing is to be done.
    Mark {
        number: u64,
    },
}

/// What the target has of a file when its content's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Nothing,
    /// It, under one name.
    Single,
    /// It, under several names of one inode. That is so at the record's place in the log: names that it has by the time it
    /// is sent may be others.
    Shared,
}

impl State {
    /// Of a file that the target has.
    pub(super) fn of(model: &Model, node: NodeId) -> State {
        if model.group(node).len() > 1 { State::Shared } else { State::Single }
    }
}

const DIRECTORY: u8 = 1;
const DIRECTORY_META: u8 = 2;
const CONTENT: u8 = 3;
const FRESH: u8 = 4;
const META: u8 = 5;
const OTHER: u8 = 6;
const LINK: u8 = 7;
const RENAME: u8 = 8;
const RENAME_DIRECTORY: u8 = 9;
const REMOVE: u8 = 10;
const REMOVE_DIRECTORY: u8 = 11;
const MARK: u8 = 12;
const SHARED: u8 = 13;

impl<'a> Record<'a> {
    /// Appends the record to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut found = |kind: u8, node: NodeId, id: &Identity, at: &At<'_>| {
            out.push(kind);
            out.extend_from_slice(&node.to_le_bytes());
            put_id(out, id);
            put_at(out, at);
        };
        match self {
            Record::Directory { node, id, at } => found(DIRECTORY, *node, id, at),
            Record::DirectoryMeta { node, id, at } => found(DIRECTORY_META, *node, id, at),
            Record::Content { node, id, at, state } => {
                let kind = match state {
                    State::Nothing => FRESH,
                    State::Single => CONTENT,
                    State::Shared => SHARED,
                };
                found(kind, *node, id, at);
            }
            Record::Meta { node, id, at } => found(META, *node, id, at),
            Record::Other { node, id, at } => found(OTHER, *node, id, at),
            Record::Link { id, at, from } => {
                out.push(LINK);
                put_id(out, id);
                put_at(out, at);
                put_at(out, from);
            }
            Record::Rename { id, at, from, directory } => {
                out.push(if *directory { RENAME_DIRECTORY } else { RENAME });
                put_id(out, id);
                put_at(out, at);
                put_at(out, from);
            }
            Record::Remove { at, directory } => {
                out.push(if *directory { REMOVE_DIRECTORY } else { REMOVE });
                put_at(out, at);
            }
            Record::Mark { number } => {
                out.push(MARK);
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }

    /// Is it about a file of this directory, and nothing that moves?
    pub(super) fn is_in(&self, root: u16, path: &[u8]) -> bool {
        match self {
            Record::Content { at, .. } | Record::Meta { at, .. } => (at.root, at.path) == (root, path),
            _ => false,
        }
    }

    /// The entry of the source that it is about, where there is one to look at when its turn comes.
    pub(super) fn subject(&self) -> Option<(NodeId, Identity)> {
        match self {
            Record::Directory { node, id, .. }
            | Record::DirectoryMeta { node, id, .. }
            | Record::Content { node, id, .. }
            | Record::Meta { node, id, .. }
            | Record::Other { node, id, .. } => Some((*node, *id)),
            _ => None,
        }
    }

    /// Does it bring something of which the target has nothing before?
    pub(super) fn is_fresh(&self) -> bool {
        matches!(self, Record::Content { state: State::Nothing, .. } | Record::Other { .. })
    }

    /// The name that is free on the target when the record is applied.
    pub(super) fn leaves(&self) -> Option<(u16, Vec<u8>, Vec<u8>)> {
        match self {
            Record::Rename { from: at, .. } | Record::Remove { at, .. } => {
                Some((at.root, at.path.to_vec(), at.name.to_vec()))
            }
            _ => None,
        }
    }

    /// Reads a record; a queue on disk may hold anything.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let record = match kind {
            DIRECTORY..=OTHER | SHARED => {
                let node = reader.u32()?;
                let id = get_id(&mut reader)?;
                let at = get_at(&mut reader)?;
                match kind {
                    DIRECTORY => Record::Directory { node, id, at },
                    DIRECTORY_META => Record::DirectoryMeta { node, id, at },
                    META => Record::Meta { node, id, at },
                    OTHER => Record::Other { node, id, at },
                    FRESH => Record::Content { node, id, at, state: State::Nothing },
                    SHARED => Record::Content { node, id, at, state: State::Shared },
                    _ => Record::Content { node, id, at, state: State::Single },
                }
            }
            LINK => Record::Link {
                id: get_id(&mut reader)?,
                at: get_at(&mut reader)?,
                from: get_at(&mut reader)?,
            },
            RENAME | RENAME_DIRECTORY => Record::Rename {
                id: get_id(&mut reader)?,
                at: get_at(&mut reader)?,
                from: get_at(&mut reader)?,
                directory: kind == RENAME_DIRECTORY,
            },
            REMOVE | REMOVE_DIRECTORY => {
                Record::Remove { at: get_at(&mut reader)?, directory: kind == REMOVE_DIRECTORY }
            }
            MARK => Record::Mark { number: reader.u64()? },
            other => return Err(WireError::UnknownType(other)),
        };
        if reader.is_empty() { Ok(record) } else { Err(WireError::Invalid("record")) }
    }
}

pub(super) fn put_id(out: &mut Vec<u8>, id: &Identity) {
    out.extend_from_slice(&id.dev.to_le_bytes());
    out.extend_from_slice(&id.ino.to_le_bytes());
    out.extend_from_slice(&id.born.to_le_bytes());
}

pub(super) fn get_id(reader: &mut Reader<'_>) -> Result<Identity, WireError> {
    Ok(Identity { dev: reader.u64()?, ino: reader.u64()?, born: reader.u64()?.cast_signed() })
}

fn put_at(out: &mut Vec<u8>, at: &At<'_>) {
    out.extend_from_slice(&at.root.to_le_bytes());
    for part in [at.path, at.name] {
        // Paths over the limit never become records.
        out.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(part);
    }
}

fn get_at<'a>(reader: &mut Reader<'a>) -> Result<At<'a>, WireError> {
    Ok(At {
        root: reader.u16()?,
        path: reader.short("path", PATH_MAX)?,
        name: reader.short("name", NAME_MAX)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_record_reads_back_as_it_was_written() {
        let id = Identity { dev: 1, ino: 2, born: -3 };
        let at = At { root: 1, path: b"a/b", name: b"c" };
        let from = At { root: 0, path: b"", name: b"x" };
        let node = 9;
        let records = [
            Record::Directory { node, id, at },
            Record::DirectoryMeta { node, id, at: At { name: b"", ..at } },
            Record::Content { node, id, at, state: State::Nothing },
            Record::Content { node, id, at, state: State::Single },
            Record::Content { node, id, at, state: State::Shared },
            Record::Meta { node, id, at },
            Record::Other { node, id, at },
            Record::Link { id, at, from },
            Record::Rename { id, at, from, directory: true },
            Record::Rename { id, at, from, directory: false },
            Record::Remove { at, directory: true },
            Record::Remove { at, directory: false },
            Record::Mark { number: 5 },
        ];
        for record in records {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            assert_eq!(Record::decode(&bytes).unwrap(), record);
            assert!(Record::decode(&bytes[..bytes.len() - 1]).is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&bytes);
        }
    }
}
