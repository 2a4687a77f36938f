//! Orphans on their way: what a source asks of the target's one way with them, each orphan as the target itself has described it, and
//! what became of them. The target decides what is done with one, and counts; a source only names.

use super::primitive::{put_name, put_short, put_time};
use super::{Reader, WireError};
use crate::sys::FileKind;

/// A step of a run over orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanStep {
    /// Asks for `Answer::OrphanTerms`. `switch_on`: a person has asked for orphans to be removed, which is the target's one switch (ORP-03).
    Ask { switch_on: bool },
    /// Orphans follow. `preview`: they are named in the target's log, and nothing is done with them (ORP-04).
    Begin { preview: bool },
    /// There are no more; answered by `Answer::Orphans`.
    End,
}

/// One thing that only the target has, below the directory entered: it goes only if it still is what was described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrphanNamed<'a> {
    /// The directory that holds it, by names joined by `/`; empty for the one entered.
    pub dir: &'a [u8],
    pub name: &'a [u8],
    /// A directory goes only when nothing is left in it.
    pub kind: FileKind,
    pub mtime: (i64, u32),
}

/// How the target deals with orphans at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrphanTerms {
    /// Each mirror and verification removes them (ORP-03).
    pub on: bool,
    /// Only what was modified before this moment is one to go, in seconds since 1970 by the target's clock; None: all (ORP-09).
    pub before: Option<i64>,
}

/// What has gone, or would go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrphanCounts {
    /// All that is no directory.
    pub files: u64,
    pub directories: u64,
    /// Content of the regular files.
    pub bytes: u64,
    /// What stays, as it is not what was described any more.
    pub left: u64,
}

const ASK: u8 = 0;
const SWITCH_ON: u8 = 1;
const BEGIN: u8 = 2;
const PREVIEW: u8 = 3;
const END: u8 = 4;

impl OrphanStep {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.push(match self {
            OrphanStep::Ask { switch_on: false } => ASK,
            OrphanStep::Ask { switch_on: true } => SWITCH_ON,
            OrphanStep::Begin { preview: false } => BEGIN,
            OrphanStep::Begin { preview: true } => PREVIEW,
            OrphanStep::End => END,
        });
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            ASK => OrphanStep::Ask { switch_on: false },
            SWITCH_ON => OrphanStep::Ask { switch_on: true },
            BEGIN => OrphanStep::Begin { preview: false },
            PREVIEW => OrphanStep::Begin { preview: true },
            END => OrphanStep::End,
            _ => return Err(WireError::Invalid("step of orphans")),
        })
    }
}

impl<'a> OrphanNamed<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, self.dir);
        put_name(out, self.name);
        out.push(self.kind as u8);
        put_time(out, self.mtime);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let (dir, name) = (reader.path()?, reader.name()?);
        let kind = FileKind::from_number(reader.u8()?).ok_or(WireError::Invalid("file type"))?;
        Ok(Self { dir, name, kind, mtime: reader.time()? })
    }
}

impl OrphanTerms {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[u8::from(self.on), u8::from(self.before.is_some())]);
        if let Some(before) = self.before {
            out.extend_from_slice(&before.to_le_bytes());
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let (on, aged) = (reader.bool()?, reader.bool()?);
        let before = if aged { Some(reader.u64()?.cast_signed()) } else { None };
        Ok(Self { on, before })
    }
}

impl OrphanCounts {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        for number in [self.files, self.directories, self.bytes, self.left] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut number = || reader.u64();
        Ok(Self { files: number()?, directories: number()?, bytes: number()?, left: number()? })
    }
}
