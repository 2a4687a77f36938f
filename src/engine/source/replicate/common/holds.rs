//! What no stream of events should do without a person: a root that is gone, a mass deletion.

use super::Common;
use crate::engine::log::escape;
use crate::engine::replication::Hold;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// The guard lets so few removals pass whatever their share is.
const GUARD_FLOOR: u64 = 10;
/// How long a copy that was larger is remembered by the guard.
const GUARD_WINDOW: Duration = Duration::from_secs(3600);

/// The largest copy of late, and since when it is so.
#[derive(Debug)]
pub(super) struct Guard {
    percent: u64,
    peak: u64,
    since: Instant,
}

impl Guard {
    pub(super) fn new(percent: u64) -> Self {
        Self { percent, peak: 0, since: Instant::now() }
    }
}

impl Common {
    /// Nothing is looked at until a person decides. A missing root is looked at more closely: one that is on the file system
    /// of the directory above it was renamed or removed, a mount point was unmounted.
    pub(in super::super) fn hold(&self, hold: Hold) {
        let hold = match hold {
            Hold::RootGone { path } => {
                let place =
                    self.roots.values().find(|place| escape(place.path.as_os_str().as_bytes()) == path);
                let missing = place.is_some_and(|place| {
                    std::fs::symlink_metadata(&place.path)
                        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
                });
                let part = place.is_some_and(|place| place.above.is_some());
                if missing && part { Hold::RootRenamed { path } } else { Hold::RootGone { path } }
            }
            other => other,
        };
        if !self.held.swap(true, Relaxed) {
            tracing::warn!(
                "Replication of connection {} waits: {}",
                self.plan.connection,
                hold.words(self.plan.connection)
            );
            self.shared.set_hold(Some(hold));
        }
    }

    pub(in super::super) fn is_held(&self) -> bool {
        self.held.load(Relaxed)
    }

    /// Goes on with what was held up. False: nothing was.
    pub(in super::super) fn release(&self) -> bool {
        if !self.held.load(Relaxed) {
            return false;
        }
        self.released.store(true, Relaxed);
        self.shared.set_hold(None);
        self.held.store(false, Relaxed);
        self.capture.looks().wake();
        self.turned.notify_all();
        true
    }

    /// A person has said that it shall be done.
    pub(in super::super) fn is_released(&self) -> bool {
        self.released.load(Relaxed)
    }

    /// What was released is done; from now on the guard counts anew.
    pub(in super::super) fn end_release(&self) {
        self.released.store(false, Relaxed);
        self.reset_guard();
    }

    /// Counts from the present size of the copy.
    pub(in super::super) fn reset_guard(&self) {
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        (guard.peak, guard.since) = (0, Instant::now());
    }

    /// Would the copy shrink by more than the set share of what it was of late? The answer is why to wait.
    pub(in super::super) fn guard(&self, removed: u64, entries: u64) -> Option<Hold> {
        if !self.whole.load(Relaxed) {
            return None;
        }
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        if entries >= guard.peak || guard.since.elapsed() > GUARD_WINDOW {
            (guard.peak, guard.since) = (entries, Instant::now());
        }
        let lost = guard.peak - entries.saturating_sub(removed);
        let over = lost >= GUARD_FLOOR && lost * 100 > guard.peak * guard.percent;
        over.then_some(Hold::MassDeletion { entries: lost, of: guard.peak })
    }

    /// Waits until a person releases what is held, or the end.
    pub(in super::super) fn wait_release(&self) {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.turned.wait_while(turns, |_| self.is_held() && !self.is_stopping()));
    }
}
