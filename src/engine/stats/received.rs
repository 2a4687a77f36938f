//! What this machine counts as a target, of one source's address.

use crate::engine::target::Amount;
use crate::wire::{Load, OWNERS, OrphanCounts};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};

/// Since the engine began, over all lines from there.
#[derive(Debug, Default)]
pub struct Received {
    pub operations: AtomicU64,
    pub mirror_operations: AtomicU64,
    pub retries: AtomicU64,
    pub dropped: AtomicU64,
    pub orphan_files: AtomicU64,
    pub orphan_directories: AtomicU64,
    pub orphan_bytes: AtomicU64,
    pub tasks_succeeded: AtomicU64,
    pub tasks_failed: AtomicU64,
    pub tasks_ignored: AtomicU64,
    standing: Mutex<Vec<Weak<Standing>>>,
}

/// What one line's target has in hand now.
#[derive(Debug, Default)]
pub struct Standing {
    now: Mutex<Amount>,
}

impl Standing {
    pub fn set(&self, now: Amount) {
        *super::lock(&self.now) = now;
    }
}

impl Received {
    /// A line's target begins.
    pub fn begins(&self) -> Arc<Standing> {
        let standing = Arc::default();
        let mut all = super::lock(&self.standing);
        all.retain(|standing| standing.strong_count() > 0);
        all.push(Arc::downgrade(&standing));
        standing
    }

    /// What all have in hand now.
    pub fn now(&self) -> Amount {
        let mut sum = Amount::default();
        for standing in super::lock(&self.standing).iter().filter_map(Weak::upgrade) {
            let Amount { operations, memory, disk, handles } = *super::lock(&standing.now);
            sum.operations += operations;
            sum.memory += memory;
            sum.disk += disk;
            sum.handles += handles;
        }
        sum
    }

    /// Operations have come.
    pub fn takes(&self, [job, replication]: [Load; OWNERS]) {
        self.operations.fetch_add(job.operations + replication.operations, Relaxed);
        self.mirror_operations.fetch_add(job.operations, Relaxed);
    }

    pub fn removes(&self, counts: OrphanCounts) {
        self.orphan_files.fetch_add(counts.files, Relaxed);
        self.orphan_directories.fetch_add(counts.directories, Relaxed);
        self.orphan_bytes.fetch_add(counts.bytes, Relaxed);
    }

    /// A task has ended; None: it was not run.
    pub fn ran(&self, succeeded: Option<bool>) {
        let count = match succeeded {
            Some(true) => &self.tasks_succeeded,
            Some(false) => &self.tasks_failed,
            None => &self.tasks_ignored,
        };
        count.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_hand_goes_with_its_line() {
        let received = Received::default();
        let (one, other) = (received.begins(), received.begins());
        one.set(Amount { operations: 3, memory: 100, disk: 7, handles: 2 });
        other.set(Amount { operations: 1, memory: 10, disk: 0, handles: 1 });
        assert_eq!(received.now(), Amount { operations: 4, memory: 110, disk: 7, handles: 3 });
        drop(one);
        assert_eq!(received.now(), Amount { operations: 1, memory: 10, disk: 0, handles: 1 });
    }
}
