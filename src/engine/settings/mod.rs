//! Settings of a machine: one table (`settings.tsv`), `DT.conf`, and typed views for the engine.

/// What mirror and verify read. Taken once when a job starts.
#[derive(Clone, Debug)]
pub struct MirrorSettings {
    pub checksum_all: bool,
    /// 0 never, 1 always, 2 only when the target's file is older.
    pub overwrite: Overwrite,
    pub zero_k_files: bool,
    pub chunk_size: usize,
    pub remap_link: bool,
    pub extended_attributes: bool,
    /// Sends owner, group and mode (inverse of DisableAttributeReplication).
    pub attributes: bool,
    pub sparse_files: bool,
    pub small_file_threshold: u64,
    /// Bounds of memory: operations under way.
    pub mirror_queue_limit: usize,
    /// Retries of an operation that failed on the target or a file that could not be read or settled
    /// (TGExecutionRetryLimit; 0 would be for ever, a mirror then retries 5 times at its end).
    pub retry_limit: u32,
    /// Seconds between retries (TGRetryLocked).
    pub retry_delay_s: u32,
    pub orphans: OrphanSettings,
}

/// MirrorOverwrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    Never,
    Always,
    Older,
}

/// The target's way with orphans (ORP-08, ORP-09).
#[derive(Clone, Debug)]
pub struct OrphanSettings {
    /// Move to this directory instead of deleting.
    pub move_to: Option<std::path::PathBuf>,
    /// Only those not modified for so many minutes.
    pub min_age_minutes: Option<u32>,
    pub log_each: bool,
    /// Percent of the target's entries that may be removed at once without a person (mass-deletion guard, X).
    pub guard_percent: u8,
}

impl Default for MirrorSettings {
    fn default() -> Self {
        Self {
            checksum_all: true,
            overwrite: Overwrite::Always,
            zero_k_files: true,
            chunk_size: 65536,
            remap_link: true,
            extended_attributes: true,
            attributes: true,
            sparse_files: true,
            small_file_threshold: 65536,
            mirror_queue_limit: 1000,
            retry_limit: 0,
            retry_delay_s: 3,
            orphans: OrphanSettings {
                move_to: None,
                min_age_minutes: None,
                log_each: false,
                guard_percent: 50,
            },
        }
    }
}
