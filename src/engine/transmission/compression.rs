//! Whether and how hard what goes to a target is compressed (TRN-40 to -44), and the level that AUTO chooses.

use crate::engine::stats::Counts;
use crate::sys;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What was chosen for a target. Disabled by default (TRN-40); AUTO until a level is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compression {
    pub enabled: bool,
    /// A level of zstd, 1 to 19; None: AUTO.
    pub level: Option<u8>,
}

/// How one frame is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    pub level: u8,
    /// Bytes of the smallest file that is compressed (`MinCompressionFileSize`).
    pub smallest: u64,
    /// Extensions of files that are not, in small letters (`SkipCompressionFileExt`).
    pub skipped: HashSet<String>,
}

impl Packing {
    /// Is a file of that name compressed already?
    pub fn skips(&self, name: &[u8]) -> bool {
        let Some(dot) = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0) else {
            return false;
        };
        let extension = std::str::from_utf8(&name[dot + 1..]);
        extension.is_ok_and(|extension| self.skipped.contains(&extension.to_lowercase()))
    }
}

/// The extensions of `SkipCompressionFileExt`, which separates them by periods.
pub fn extensions(list: &str) -> HashSet<String> {
    list.split('.').filter(|one| !one.is_empty()).map(str::to_lowercase).collect()
}

/// What went for a connection, and what compression has spared it.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes of content that were not sent, as they were compressed: of mirrors and verifications, and of replication.
    pub spared: [AtomicU64; 2],
    /// Bytes that went over the wire, to the target.
    pub left: AtomicU64,
    /// For the statistics.
    pub counts: Arc<Counts>,
    /// Lines that have failed, and are dialled anew.
    away: AtomicU64,
}

impl Traffic {
    /// Of a connection whose counts are these.
    pub fn of(counts: Arc<Counts>) -> Arc<Traffic> {
        Arc::new(Traffic { counts, ..Traffic::default() })
    }

    /// A line has failed, until what is returned is dropped.
    pub fn away(&self) -> Away<'_> {
        self.away.fetch_add(1, Relaxed);
        Away(self)
    }

    /// Nothing is told by the target, and nothing reaches it.
    pub fn is_away(&self) -> bool {
        self.away.load(Relaxed) > 0
    }

    /// The same for a person; None: it is reached.
    pub fn away_words(&self, target: &str) -> Option<String> {
        let words = || {
            format!(
                "the line to {target} has failed; it is dialled anew, and goes on where it was if {target} has kept it"
            )
        };
        self.is_away().then(words)
    }
}

/// See [`Traffic::away`].
#[derive(Debug)]
pub struct Away<'a>(&'a Traffic);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.away.fetch_sub(1, Relaxed);
    }
}

/// How often AUTO chooses.
const EACH: Duration = Duration::from_secs(1);
/// Its first level, and what it goes back to while there is little to send.
const USUAL: u8 = 3;
/// The machine is busy from so many percent on (TRN-44).
const BUSY: u64 = 85;

/// What a second of a line's thread was spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Nothing was there to be sent.
    pub idle: Duration,
    pub packing: Duration,
    /// What was packed waited for the line: its limit, its speed, the target.
    pub sending: Duration,
}

/// AUTO: a higher level while what is queued waits for the line, a lower one while it waits for the compressor, or the machine has
/// other work.
#[derive(Debug)]
pub struct Auto {
    level: u8,
    spent: Spent,
    since: Instant,
    machine: Option<sys::MachineTime>,
}

impl Auto {
    pub fn new(now: Instant) -> Auto {
        Auto { level: USUAL, spent: Spent::default(), since: now, machine: sys::machine_time().ok() }
    }

    pub fn level(&self) -> u8 {
        self.level
    }

    /// A frame has gone; what was spent on it counts.
    pub fn went(&mut self, spent: Spent, now: Instant) {
        self.spent.idle += spent.idle;
        self.spent.packing += spent.packing;
        self.spent.sending += spent.sending;
        if now.duration_since(self.since) < EACH {
            return;
        }
        let machine = sys::machine_time().ok();
        let busy = match (&self.machine, &machine) {
            (Some(before), Some(now)) => now.busy_percent(before),
            // Where that cannot be told.
            _ => 0,
        };
        self.level = next(self.level, self.spent, busy);
        (self.spent, self.since, self.machine) = (Spent::default(), now, machine);
    }
}

/// The level that follows from a second. `busy`: percent of all processors.
fn next(level: u8, spent: Spent, busy: u64) -> u8 {
    let all = (spent.idle + spent.packing + spent.sending).as_nanos().max(1);
    let percent = |part: Duration| part.as_nanos() * 100 / all;
    let (idle, packing, sending) = (percent(spent.idle), percent(spent.packing), percent(spent.sending));
    if busy >= BUSY && packing >= 20 {
        return level.saturating_sub(2).max(1);
    }
    if packing >= 60 {
        return level.saturating_sub(1).max(1);
    }
    if idle >= 50 {
        // There is little queued: nothing to gain by working harder.
        return if level > USUAL { level - 1 } else { level.max(USUAL.min(level + 1)) };
    }
    if sending >= 50 && busy < BUSY { (level + 1).min(19) } else { level }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(idle: u64, packing: u64, sending: u64) -> Spent {
        let ms = Duration::from_millis;
        Spent { idle: ms(idle), packing: ms(packing), sending: ms(sending) }
    }

    #[test]
    fn auto_follows_the_queue_and_the_processor() {
        let after = |level, spent, busy| (0..30).fold(level, |level, _| next(level, spent, busy));
        assert_eq!(next(3, spent(0, 100, 900), 30), 4);
        assert_eq!(after(3, spent(0, 100, 900), 30), 19, "the line is what is waited for");
        assert_eq!(after(19, spent(0, 900, 100), 30), 1, "the compressor is");
        assert_eq!(next(9, spent(0, 300, 700), 90), 7, "the machine is busy");
        assert_eq!(next(9, spent(0, 100, 900), 90), 9);
        assert_eq!(
            (after(19, spent(900, 50, 50), 30), after(1, spent(900, 50, 50), 30)),
            (3, 3),
            "there is little"
        );
        assert_eq!(next(5, spent(300, 400, 300), 30), 5);
        for busy in [0, 84, 85, 100] {
            for level in 1..=19 {
                for (idle, packing, sending) in [(0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9), (3, 3, 3)] {
                    assert!((1..=19).contains(&next(level, spent(idle, packing, sending), busy)));
                }
            }
        }
    }

    #[test]
    fn auto_chooses_once_a_second() {
        let began = Instant::now();
        let mut auto = Auto::new(began);
        auto.machine = None;
        for step in 1..=9 {
            auto.went(spent(0, 10, 90), began + step * Duration::from_millis(100));
            assert_eq!(auto.level(), 3);
        }
        auto.went(spent(0, 10, 90), began + EACH);
        assert!(auto.level() >= 1 && auto.since == began + EACH);
    }

    #[test]
    fn extensions_are_separated_by_periods_and_compare_without_case() {
        let packing = Packing { level: 3, smallest: 0, skipped: extensions("mp3.EXE..jpg") };
        assert_eq!(packing.skipped.len(), 3);
        for (name, skipped) in [
            ("a.mp3", true),
            ("A.Exe", true),
            ("a.b.jpg", true),
            ("jpg", false),
            (".jpg", false),
            ("a.jpg.txt", false),
            ("a.", false),
        ] {
            assert_eq!(packing.skips(name.as_bytes()), skipped, "{name}");
        }
    }
}
