//! How much of the time comparing may take.

use std::time::{Duration, Instant};

/// Part of the time that comparing may take in the long run while nobody waits for it: one in so many.
const SHARE: u32 = 3;
/// Time that it may take at once before that counts.
const BURST: Duration = Duration::from_secs(1);

/// Keeps comparing to its share of the time.
pub(super) struct Pace {
    /// Time taken beyond the share.
    over: Duration,
    /// When that was so.
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { over: Duration::ZERO, at: now }
    }

    /// Work has gone on from `began` until `now`. How long to rest before the next.
    pub(super) fn rest(&mut self, began: Instant, now: Instant) -> Duration {
        let took = now.duration_since(began);
        self.over = (self.over + took).saturating_sub(now.duration_since(self.at) / SHARE);
        self.at = now;
        if self.over > BURST { took * (SHARE - 1) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works whenever it may, a millisecond at a time, until `end`; how long it worked.
    fn work(pace: &mut Pace, now: &mut Instant, end: Instant) -> Duration {
        let step = Duration::from_millis(1);
        let mut worked = Duration::ZERO;
        while *now < end {
            let began = *now;
            *now += step;
            worked += step;
            *now += pace.rest(began, *now);
        }
        worked
    }

    #[test]
    fn comparing_may_hurry_for_a_moment_and_keeps_to_its_share_in_the_long_run() {
        let start = Instant::now();
        let mut now = start;
        let mut pace = Pace::new(start);
        let second = Duration::from_secs(1);
        assert_eq!(work(&mut pace, &mut now, start + second), second);
        let long = work(&mut pace, &mut now, start + 100 * second);
        assert!(long < 99 * second / SHARE + 2 * BURST, "{long:?}");
        // After a pause it may hurry once more.
        let later = now + 100 * second;
        now = later;
        assert_eq!(work(&mut pace, &mut now, later + second), second);
    }
}
