//! How much of the stream is replication's and how much a waiting mirror's (`HPQueueRatio`).
//!
//! The setting counts packets. A packet is [`PACKET`] operations, on both sides. Frames would be no measure: one holds operations
//! of both, and is sent when it is full or when there is nothing more to send. That a packet is more than one operation
//! keeps it cheap: a mirror's turn begins when the log is empty, and turns by single operations would empty it for each.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Operations of a packet.
const PACKET: u64 = 64;

/// Counts for both. Changed by the looker and by mirrors.
#[derive(Debug)]
pub(super) struct Share {
    /// Operations of replication for one packet of a mirror.
    most: u64,
    /// Mirrors that wait for their turn.
    waiting: AtomicU64,
    /// Operations of replication since the mirror's last packet.
    replicated: AtomicU64,
    /// Operations of the mirror's present packet.
    mirrored: AtomicU64,
}

impl Share {
    /// `ratio`: packets of replication for one of a mirror.
    pub(super) fn new(ratio: u32) -> Self {
        Self {
            most: u64::from(ratio.max(1)) * PACKET,
            waiting: AtomicU64::new(0),
            replicated: AtomicU64::new(0),
            mirrored: AtomicU64::new(0),
        }
    }

    /// Replication has had its share, and a mirror waits.
    pub(super) fn is_spent(&self) -> bool {
        self.waiting.load(Relaxed) > 0 && self.replicated.load(Relaxed) >= self.most
    }

    /// Replication has logged an operation.
    pub(super) fn replicates(&self) {
        self.replicated.fetch_add(1, Relaxed);
    }

    /// A mirror waits for its turn from now on.
    pub(super) fn waits(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    /// It does not any more.
    pub(super) fn waits_no_more(&self) {
        self.waiting.fetch_sub(1, Relaxed);
    }

    /// A mirror has its turn for one operation. The last of its packet gives replication the next share; what that has sent
    /// beyond the present one counts against it.
    pub(super) fn mirrors(&self) {
        if self.mirrored.fetch_add(1, Relaxed) + 1 < PACKET {
            return;
        }
        self.mirrored.store(0, Relaxed);
        // While no mirror was there, any number may have passed.
        let rest = |replicated: u64| Some(replicated.saturating_sub(self.most).min(self.most));
        let _ = self.replicated.fetch_update(Relaxed, Relaxed, rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations of replication while a mirror, and replication, always have something to send.
    fn replicated(ratio: u32, mirrored: u64) -> u64 {
        let share = Share::new(ratio);
        let mut replicated = 0;
        share.waits();
        for _ in 0..mirrored {
            // The looker goes on when it sees no mirror waiting, so one operation may pass with each of the mirror's.
            share.replicates();
            replicated += 1;
            while !share.is_spent() {
                share.replicates();
                replicated += 1;
            }
            share.mirrors();
        }
        replicated
    }

    #[test]
    fn so_many_packets_of_replication_are_sent_for_one_of_a_mirror() {
        for ratio in [2, 5, 40] {
            let (mirrored, wanted) = (1000 * PACKET, 1000 * PACKET * u64::from(ratio));
            let found = replicated(ratio, mirrored);
            assert!(
                found.abs_diff(wanted) <= 2 * PACKET * u64::from(ratio),
                "{ratio}: {found} for {mirrored}"
            );
        }
    }

    #[test]
    fn without_a_waiting_mirror_replication_is_never_stopped() {
        let share = Share::new(1);
        (0..1_000_000).for_each(|_| share.replicates());
        assert!(!share.is_spent());
        share.waits();
        assert!(share.is_spent(), "the mirror is first");
        (0..2 * PACKET).for_each(|_| share.mirrors());
        assert!(!share.is_spent(), "what passed before is forgotten after two packets");
        share.replicates();
        share.waits_no_more();
        assert!(!share.is_spent());
    }
}
