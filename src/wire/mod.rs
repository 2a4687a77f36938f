//! What source and target say to each other: operations one way, answers the other, as bytes with hard limits.
//!
//! Every length and count is checked against a constant before memory is taken, every name is a single name, every
//! path a chain of such names: a decoded message is a valid one (architecture.md 5). The same code reads from a channel in
//! this process and from a line to another machine.

mod answer;
pub mod control;
pub mod data;
mod load;
mod op;
mod orphan;
pub mod packed;
mod primitive;
mod task;
pub mod tls;

pub use answer::{Answer, Described, FailureKind};
pub use load::Load;
pub use op::{FileMode, OWNERS, Op, Part, Patch};
pub use orphan::{OrphanCounts, OrphanNamed, OrphanStep, OrphanTerms};
pub use primitive::Reader;
pub use task::{COMMAND_MAX, JOB_MAX, OUTPUT_MAX, SECONDS_MAX, TaskOrder, TaskTold, is_plain};

use std::io;

/// Most bytes of one frame, whatever is in it.
pub const FRAME_MAX: usize = 8 << 20;
/// A sender begins a new frame when the present one has reached this size.
pub const FRAME_FULL: usize = 256 << 10;
/// Most bytes of content in one operation.
pub const CONTENT_MAX: usize = 1 << 20;
/// Least bytes of a block that a checksum is asked for: those of fewer would tell the content.
pub const BLOCK_MIN: usize = 4 << 10;
/// Most bytes of a path below a root, and of a root (REP-37).
pub const PATH_MAX: usize = 4094;
/// Most bytes of one name (`NAME_MAX`).
pub const NAME_MAX: usize = 255;
/// Most extended attributes of one object, bytes of one value (`XATTR_SIZE_MAX`), and of all.
pub const XATTRS_MAX: usize = crate::sys::XATTRS_MOST;
pub const XATTR_VALUE_MAX: usize = 64 << 10;
pub const XATTRS_BYTES_MAX: usize = crate::sys::XATTRS_MOST_BYTES;
/// Most roots of one connection.
pub const ROOTS_MAX: usize = 4096;
/// Most parts of one `Scan`.
pub const PARTS_MAX: usize = 32 << 10;
/// Most hashes in one answer.
pub const SUMS_MAX: usize = 16 << 10;
pub use crate::sys::SUM_LEN;

/// A message that breaks a rule. The connection it came over is not to be trusted further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("a message ends too early")]
    Truncated,
    #[error("a message has an unknown type {0}")]
    UnknownType(u8),
    #[error("a {what} is over its limit of {limit}")]
    TooLong { what: &'static str, limit: usize },
    #[error("a {0} is not a valid one")]
    Invalid(&'static str),
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}
