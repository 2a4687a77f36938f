//! What this machine as a target does with orphans: its one switch (ORP-03), its settings as they are at the time, and what it has
//! removed. Shared by all streams that come here, so that a second connection sees a change at once.

use super::settings::OrphanSettings;
use crate::sys::{Dir, Stat};
use crate::wire::{OrphanCounts, OrphanTerms};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// See the module.
pub struct TargetOrphans {
    /// Off by default (ORP-07).
    on: AtomicBool,
    settings: Box<dyn Fn() -> OrphanSettings + Send + Sync>,
    files: AtomicU64,
    directories: AtomicU64,
    bytes: AtomicU64,
}

impl std::fmt::Debug for TargetOrphans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TargetOrphans(on: {})", self.is_on())
    }
}

impl TargetOrphans {
    pub fn new(settings: impl Fn() -> OrphanSettings + Send + Sync + 'static) -> Self {
        let (on, settings) = (AtomicBool::new(false), Box::new(settings));
        let [files, directories, bytes] = Default::default();
        Self { on, settings, files, directories, bytes }
    }

    /// Each mirror and verification to this target removes orphans.
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    pub fn switch(&self, on: bool) {
        if self.on.swap(on, Relaxed) != on {
            let word = if on { "removed" } else { "kept" };
            tracing::info!("Orphans of all connections to this target are {word} from now on");
        }
    }

    /// As they are now.
    pub fn settings(&self) -> OrphanSettings {
        (self.settings)()
    }

    /// `MoveOrphansDir` as device and inode, if it is there: what was moved there is nobody's orphan, whether orphans are moved or not. The
    /// error: it may be there, and could not be looked at.
    pub fn own_directory(&self) -> io::Result<Option<(u64, u64)>> {
        let Some(directory) = self.settings().directory else { return Ok(None) };
        match Dir::open_root(&directory).and_then(|directory| Stat::of(&directory)) {
            Ok(stat) => Ok(Some(stat.id())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a source is to go by.
    pub fn terms(&self) -> OrphanTerms {
        let before = self.settings().min_age_minutes.map(|minutes| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            now.cast_signed().saturating_sub(60 * i64::from(minutes))
        });
        OrphanTerms { on: self.is_on(), before }
    }

    /// So much has gone.
    pub fn count(&self, counts: OrphanCounts) {
        self.files.fetch_add(counts.files, Relaxed);
        self.directories.fetch_add(counts.directories, Relaxed);
        self.bytes.fetch_add(counts.bytes, Relaxed);
    }

    /// All that has gone since this engine began (statistics.tsv: Orphan Files, Directories and Bytes Removed).
    pub fn removed(&self) -> OrphanCounts {
        OrphanCounts {
            files: self.files.load(Relaxed),
            directories: self.directories.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            left: 0,
        }
    }
}
