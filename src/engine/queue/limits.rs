//! What a queue may take, computed once from its settings.

use crate::engine::settings::QueueSettings;

/// Greatest block: what is written and read at once, and the unit in which memory is taken.
const BLOCK: usize = 256 << 10;
/// Least block, for limits as small as tests have them.
const BLOCK_LEAST: usize = 64;
/// Most segments that a queue keeps (`QJournalSpaceMax`).
pub(super) const SEGMENTS_MOST: u64 = 16_384;

#[derive(Clone, Debug)]
pub(in crate::engine) struct Limits {
    /// Bytes of a block. An eighth of the memory at most: in the disk mode up to three are in use at a time.
    pub block: usize,
    /// Memory in all.
    pub memory: u64,
    /// Memory up to which nothing goes to disk; leaves room for the block that is filled for the disk.
    pub threshold: u64,
    /// Records in memory up to which nothing goes to disk.
    pub records: u64,
    pub segment: u64,
    /// None: as much as there is.
    pub space: Option<u64>,
    pub free_min: u64,
    pub alert_percent: u64,
    pub write_through: bool,
}

impl Limits {
    pub(in crate::engine) fn of(settings: &QueueSettings) -> Self {
        let memory = settings.memory_max_bytes;
        let block = usize::try_from((memory / 8).min(settings.file_size_bytes / 4)).unwrap_or(BLOCK);
        let block = block.clamp(BLOCK_LEAST, BLOCK);
        let share = (u128::from(memory) * u128::from(settings.to_disk_percent) / 100) as u64;
        Self {
            block,
            memory,
            threshold: share.min(memory.saturating_sub(block as u64)),
            records: if settings.op_limit == 0 { u64::MAX } else { settings.op_limit },
            segment: settings.file_size_bytes,
            space: settings.space_max,
            free_min: settings.free_min_bytes,
            alert_percent: settings.alert_percent.into(),
            write_through: settings.write_through,
        }
    }

    /// `QJournalSpaceMax` 0 means memory only (QUE-03).
    pub(in crate::engine) fn has_disk(&self) -> bool {
        self.space != Some(0)
    }

    /// What the queue may have on disk with `used` bytes there and `free` (None: not known) beside them: the lesser of the
    /// maximum and what the volume gives (QUE-05).
    pub(super) fn usable(&self, used: u64, free: Option<u64>) -> u64 {
        let segments = self.segment.saturating_mul(SEGMENTS_MOST);
        let volume = free.map_or(u64::MAX, |free| (used.saturating_add(free)).saturating_sub(self.free_min));
        self.space.unwrap_or(u64::MAX).min(segments).min(volume)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usable_is_the_lesser_of_maximum_and_free_space() {
        let gb = |tenths: u64| tenths * 100_000_000;
        let mut limits = Limits::of(&QueueSettings {
            space_max: Some(gb(100)),
            free_min_bytes: gb(5),
            file_size_bytes: 5 << 20,
            ..QueueSettings::default()
        });
        // QUE-05's example: 10 GB of disk, 10 GB allowed, 5 GB taken by another program, 0.5 GB stay free.
        assert_eq!(limits.usable(0, Some(gb(50))), gb(45));
        assert_eq!(limits.usable(gb(20), Some(gb(30))), gb(45), "its own part counts as usable");
        assert_eq!(limits.usable(0, Some(gb(900))), gb(100));
        assert_eq!(limits.usable(0, Some(gb(1))), 0);
        limits.space = None;
        assert_eq!(limits.usable(0, Some(u64::MAX)), 16_384 * (5 << 20), "about 80 GB");
    }

    #[test]
    fn a_block_fits_into_memory_and_segments() {
        let limits = Limits::of(&QueueSettings::default());
        assert_eq!(limits.block, 256 << 10);
        assert_eq!(limits.threshold, limits.memory - (256 << 10));
        let half = Limits::of(&QueueSettings { to_disk_percent: 50, ..QueueSettings::default() });
        assert_eq!(half.threshold, half.memory / 2);
        let small = Limits::of(&QueueSettings { memory_max_bytes: 8000, ..QueueSettings::default() });
        assert_eq!(small.block, 1000);
    }
}
