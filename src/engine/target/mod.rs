//! The receiving side: applies operations below directory handles, trusts nobody (architecture.md 5).
//!
//! Invariants: nothing below a root is reached by a path string, only from a held directory by single names; a new file
//! appears whole or not at all; a failed operation is answered and the next one is tried.
#![deny(clippy::disallowed_methods)]

mod apply;
mod aside;
mod failure;
mod file;
mod held;
mod lately;
mod meta;
mod named;
mod orphans;
mod outcry;
mod place;
mod queue;
mod remove;
mod rename;
mod retry;
mod scan;
mod sums;
mod task;
#[cfg(test)]
mod tests;

pub use apply::serve;
pub use file::{incarnation, unfinished_name};
pub use remove::remove_tree;
pub use task::TaskHost;

use super::orphans::TargetOrphans;
use super::queue::{Disk, SegmentFs};
use super::settings::{MirrorSettings, OrphanSettings, QueueSettings};
use super::stats::Received;
use crate::api::RootKind;
use crate::wire::WireError;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the target's administrator decides, whatever a source asks.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Root paths lie below this directory: `/`, or another place for a replay.
    pub base: PathBuf,
    /// The only roots that a source may name, of one on another machine; None: any.
    pub confined: Option<Vec<Confined>>,
    /// The process ([`incarnation`]) of a source on another machine, whose places are its alone: what any but it and this one has left
    /// unfinished there is nobody's any more.
    pub source: Option<u32>,
    /// Directories (device, inode) that are neither described nor removed: the engine's own home.
    pub forbidden: Vec<(u64, u64)>,
    /// Its way with orphans.
    pub orphans: Arc<TargetOrphans>,
    /// How long a file that replication changed in place stays open (`TGCloseDelay`); zero closes it at once.
    pub close_delay: Duration,
    /// How long replication's operations that failed wait before they are tried again (`TGRetryLocked`). With zero they are tried before
    /// each next operation, and over and over while there is none.
    pub retry_delay: Duration,
    /// How often they are tried again before they are given up (`TGExecutionRetryLimit`); 0: until they succeed.
    pub retry_limit: u32,
    /// After so many retries of an operation the source's people are told (`TGWriteFailureBeforeNotification`); 0: never.
    pub notify_after: u32,
    /// What may be held back, and what may wait behind it on disk (QUE-02 to QUE-06).
    pub queue: QueueSettings,
    /// Where what waits lies. None: nothing goes to disk, and nothing is read while the memory is taken.
    pub spill: Option<Spill>,
    /// What runs tasks. None: none are run.
    pub tasks: Option<TaskHost>,
    /// Where it counts.
    pub counts: Arc<Received>,
}

/// What a target has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Operations that it has taken and not done; bytes of memory, and of segments on disk, that they take.
    pub operations: u64,
    pub memory: u64,
    pub disk: u64,
    /// Files that it holds open.
    pub handles: u64,
}

/// A root that a source on another machine may name: as it was told, and where that lay, without links, when it was granted. A
/// link that came into the way since leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    pub told: PathBuf,
    pub real: PathBuf,
    /// What it was when it was granted: a directory is never named as an entry of the one above it, which could be put in its place,
    /// and a file never as a directory.
    pub kind: RootKind,
}

impl Policy {
    /// What the settings of the target's machine say. `spill`: the name of its queue's directory.
    pub fn of(settings: &MirrorSettings, forbidden: Vec<(u64, u64)>, spill: &str) -> Policy {
        Policy {
            forbidden,
            orphans: settings.target_orphans.clone().unwrap_or_else(|| fixed(&settings.orphans)),
            retry_delay: Duration::from_secs(u64::from(settings.retry_delay_s)),
            retry_limit: settings.retry_limit,
            notify_after: settings.notify_after,
            close_delay: settings.close_delay,
            queue: settings.queue.clone(),
            spill: Some(Spill { directory: settings.queue_dir.join(spill), fs: Arc::new(Disk) }),
            tasks: settings.power.clone().map(|power| TaskHost { power, allowed: None }),
            counts: settings.received.clone().unwrap_or_default(),
            ..Policy::default()
        }
    }
}

/// Of a job without an engine, whose settings do not change.
fn fixed(settings: &OrphanSettings) -> Arc<TargetOrphans> {
    let settings = settings.clone();
    Arc::new(TargetOrphans::new(move || settings.clone()))
}

/// The directory of the target's queue, below `QJournalDir`; made when something goes to disk.
#[derive(Clone, Debug)]
pub struct Spill {
    pub directory: PathBuf,
    pub fs: Arc<dyn SegmentFs>,
}

/// Why a target ended before its source did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The source broke a rule of the wire; nothing of the message that broke it was carried out.
    #[error("the target refused an operation: {0}")]
    Wire(#[from] WireError),
    /// What waited on disk cannot be read back (QUE-10).
    #[error("the target's disk queue is damaged, {operations} operations are lost: {why}")]
    Queue { operations: u64, why: String },
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            base: PathBuf::from("/"),
            confined: None,
            source: None,
            forbidden: Vec::new(),
            orphans: fixed(&MirrorSettings::default().orphans),
            close_delay: Duration::from_secs(1),
            retry_delay: Duration::from_secs(3),
            retry_limit: 0,
            notify_after: 10,
            queue: QueueSettings::default(),
            spill: None,
            tasks: None,
            counts: Arc::default(),
        }
    }
}

/// Beginning of the names that files have until they are whole, then the process ([`incarnation`]) and a number. Never described to a source, nor
/// sent by one; left-overs of a killed process are removed when they are met.
const UNFINISHED: &[u8] = b".dtcl-unfinished-";

/// The process that made a file of such a name; None for any other name.
pub fn unfinished_by(name: &[u8]) -> Option<u32> {
    let rest = std::str::from_utf8(name.strip_prefix(UNFINISHED)?).ok()?;
    let (process, number) = rest.split_once('-')?;
    number.parse::<u64>().ok()?;
    process.parse().ok()
}
