//! Time that tests can move.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where deadlines and dates come from.
pub trait Clock: Send + Sync {
    /// For deadlines.
    fn now(&self) -> Instant;
    /// For people: milliseconds since 1970.
    fn wall_ms(&self) -> i64;
}

/// The machine's own.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}
