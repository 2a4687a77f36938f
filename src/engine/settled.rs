//! Up to when a connection's target is known to have what changed on the source. What changed later was perhaps not applied when a
//! line, a target or the source itself was lost; a mirror then compares its content even where size and time are the same: two writes
//! within one tick of the clock (4 ms on most kernels) leave the same time, and the first of them may be what the target has.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::mpsc::Sender;

/// Nanoseconds since 1970, by the source's clock. Changes are told by capture and looked at somewhat later than they happen.
const MARGIN: i64 = 30_000_000_000;

/// A row of the kept connections, and what is to be kept there.
pub type Kept = (i64, i64);

/// See the module. Shared by a connection and its jobs.
#[derive(Debug, Default)]
pub struct Settled {
    /// 0: nothing is known.
    at: AtomicI64,
    /// What it has advanced to since this engine began; 0: it has not.
    reached: AtomicI64,
    /// What was given to be kept.
    told: AtomicI64,
    keeper: OnceLock<(i64, Sender<Kept>)>,
    /// When its connection was made, milliseconds since 1970.
    established_ms: i64,
    /// Where what the target has is kept (docs/design/ledger.md).
    ledger: OnceLock<PathBuf>,
    /// The connection has ended, or its replication: nothing is kept any more.
    forgotten: AtomicBool,
}

impl Settled {
    /// Of a connection that was made at this time, milliseconds since 1970: what changed before, a mirror reads as it was left. `kept`:
    /// what was kept of it since; 0: nothing.
    pub fn of(established_ms: i64, kept: i64) -> Settled {
        let at = established_ms.saturating_mul(1_000_000).saturating_add(MARGIN).max(kept);
        Settled { at: AtomicI64::new(at), told: AtomicI64::new(kept), established_ms, ..Settled::default() }
    }

    /// From now on it is kept in this row, for the next start of the service, and what the target has in this file.
    pub fn keep(&self, row: i64, keeper: Sender<Kept>, ledger: PathBuf) {
        // A connection is kept once.
        let _ = self.keeper.set((row, keeper));
        let _ = self.ledger.set(ledger);
    }

    /// When its connection was made, milliseconds since 1970.
    pub fn established_ms(&self) -> i64 {
        self.established_ms
    }

    /// The file of what the target has. None: that is not kept.
    pub fn ledger(&self) -> Option<PathBuf> {
        self.ledger.get().filter(|_| !self.forgotten.load(Relaxed)).cloned()
    }

    /// What the target has is not followed any more, or (`forgotten` false) is followed anew: what was kept of it counts no more.
    pub fn forget_ledger(&self, forgotten: bool) {
        self.forgotten.store(forgotten, Relaxed);
        if forgotten {
            self.drop_ledger();
        }
    }

    /// What is kept of the target counts no more.
    pub fn drop_ledger(&self) {
        if let Some(path) = self.ledger.get() {
            // It may never have been there.
            let _ = std::fs::remove_file(path);
            let _ = std::fs::remove_file(path.with_extension("new"));
        }
    }

    /// The target has all that changed before this time, nanoseconds since 1970.
    pub fn advance(&self, at: i64) {
        self.at.fetch_max(at, Relaxed);
        self.reached.fetch_max(at, Relaxed);
    }

    /// The clock went back to this time: of what changes from here on nothing is known.
    pub fn rewind(&self, at: i64) {
        self.at.fetch_min(at, Relaxed);
        self.reached.fetch_min(at, Relaxed);
    }

    /// The last moment at which source and target were known to be equal, milliseconds since 1970. None: that never was.
    pub fn equal_ms(&self) -> Option<i64> {
        Some(self.reached.load(Relaxed) / 1_000_000).filter(|at| *at > 0)
    }

    /// Called now and then: what has advanced is kept.
    pub fn tick(&self) {
        let at = self.at.load(Relaxed);
        if let Some((row, keeper)) = self.keeper.get()
            && self.told.swap(at, Relaxed) != at
        {
            // Nobody keeps it at the service's end.
            let _ = keeper.send((*row, at));
        }
    }

    /// Files whose inode changed at this time (ctime, nanoseconds since 1970) or later may have other content on the target than their
    /// size and time tell. None: nothing is known of any.
    pub fn doubtful_since(&self) -> Option<i64> {
        let at = self.at.load(Relaxed);
        (at > 0).then(|| at.saturating_sub(MARGIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward_only_and_is_kept_when_it_has() {
        let (keeper, kept) = std::sync::mpsc::channel();
        let settled = Settled::default();
        assert_eq!(settled.doubtful_since(), None);
        settled.keep(7, keeper, PathBuf::new());
        settled.tick();
        settled.advance(MARGIN + 5);
        settled.advance(MARGIN + 3);
        settled.tick();
        settled.tick();
        assert_eq!(settled.doubtful_since(), Some(5));
        assert_eq!(kept.try_iter().collect::<Vec<_>>(), [(7, MARGIN + 5)]);
        settled.rewind(MARGIN + 4);
        assert_eq!(settled.doubtful_since(), Some(4));
        assert_eq!(Settled::of(3, 0).doubtful_since(), Some(3_000_000));
        assert_eq!(Settled::of(3, MARGIN + 4_000_000).doubtful_since(), Some(4_000_000));
    }
}
