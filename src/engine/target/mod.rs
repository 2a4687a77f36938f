//! The receiving side: applies operations below directory handles, trusts nobody (architecture.md 5).
//!
//! Invariants: nothing below a root is reached by a path string, only from a held directory by single names; a new file
//! appears whole or not at all; a failed operation is answered and the next one is tried.
#![deny(clippy::disallowed_methods)]

mod apply;
mod failure;
mod file;
mod held;
mod lately;
mod meta;
mod named;
mod place;
mod remove;
mod rename;
mod retry;
mod scan;
mod sums;
#[cfg(test)]
mod tests;

pub use apply::serve;
pub use file::unfinished_name;
pub use remove::remove_tree;

use std::path::PathBuf;
use std::time::Duration;

/// What the target's administrator decides, whatever a source asks.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Root paths lie below this directory: `/`, or another place for a replay.
    pub base: PathBuf,
    /// Directories (device, inode) that are neither described nor removed: the engine's own home.
    pub forbidden: Vec<(u64, u64)>,
    /// Where `MoveAside` moves to.
    pub aside: Option<PathBuf>,
    /// How long a file that replication changed in place stays open (`TGCloseDelay`); zero closes it at once.
    pub close_delay: Duration,
    /// How long replication's operations that failed wait before they are tried again (`TGRetryLocked`). With zero they are tried before
    /// each next operation, and over and over while there is none.
    pub retry_delay: Duration,
    /// How often they are tried again before they are given up (`TGExecutionRetryLimit`); 0: until they succeed.
    pub retry_limit: u32,
    /// After so many retries of an operation the source's people are told (`TGWriteFailureBeforeNotification`); 0: never.
    pub notify_after: u32,
    /// Bytes of held operations at which nothing more is read from the source.
    pub held_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            base: PathBuf::from("/"),
            forbidden: Vec::new(),
            aside: None,
            close_delay: Duration::from_secs(1),
            retry_delay: Duration::from_secs(3),
            retry_limit: 0,
            notify_after: 10,
            held_max: 64 << 20,
        }
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
