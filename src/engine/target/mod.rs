//! The receiving side: applies operations below directory handles, trusts nobody (architecture.md 5).
//!
//! Invariants: nothing below a root is reached by a path string, only from a held directory by single names; a new file
//! appears whole or not at all; a failed operation is answered and the next one is tried.
#![deny(clippy::disallowed_methods)]

mod apply;
mod file;
mod meta;
mod place;
mod remove;
mod scan;
mod sums;

pub use apply::serve;
pub use remove::remove_tree;

use std::path::PathBuf;

/// What the target's administrator decides, whatever a source asks.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Root paths lie below this directory: `/`, or another place for a replay.
    pub base: PathBuf,
    /// Directories (device, inode) that are neither described nor removed: the engine's own home.
    pub forbidden: Vec<(u64, u64)>,
    /// Where `MoveAside` moves to.
    pub aside: Option<PathBuf>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { base: PathBuf::from("/"), forbidden: Vec::new(), aside: None }
    }
}

/// Beginning of the names that files have until they are whole, then the process and a number. Never described to a source, nor
/// sent by one; left-overs of a killed process are removed when they are met.
const UNFINISHED: &[u8] = b".dtcl-unfinished-";

/// The process that made a file of such a name; None for any other name.
pub fn unfinished_by(name: &[u8]) -> Option<u32> {
    let rest = std::str::from_utf8(name.strip_prefix(UNFINISHED)?).ok()?;
    let (process, number) = rest.split_once('-')?;
    number.parse::<u64>().ok()?;
    process.parse().ok()
}
