//! When and how fast a target is sent to, as it is asked for and shown: LIMIT BANDWIDTH and SCHEDULE (TRN-10 to -33).

use super::{ConnectionId, VerifySpec};
use serde::{Deserialize, Serialize};

/// What LIMIT BANDWIDTH does to one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BandwidthChange {
    /// At all times, unless the weekly schedule says otherwise.
    Limit(BandwidthSpec),
    Off,
    /// An entry of the weekly schedule (TRN-32). -2301 to -2305.
    Add(BandwidthEntry),
    Remove {
        label: String,
    },
    Clear,
    Enable,
    Disable,
}

/// A limit as it was typed. Both forms are kept with their rate in kilobits per second (TRN-31).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BandwidthSpec {
    /// At most so many bytes in any span of so many seconds, as fast as they go within it.
    Burst { bytes: u64, seconds: u64 },
    /// Kilobits (1000 bits) per second, evenly.
    Kbit(u64),
}

/// One line of a target's weekly bandwidth schedule: it holds until the next one begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandwidthEntry {
    pub label: String,
    /// English names or their first two letters.
    pub days: Vec<String>,
    /// Local time, `hh:mm:ss`.
    pub start: String,
    /// None: unlimited.
    pub limit: Option<BandwidthSpec>,
}

/// A line of LIMIT BANDWIDTH LIST: what is in force for a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandwidthLine {
    pub target: String,
    /// None: unlimited.
    pub in_force: Option<BandwidthSpec>,
    /// Its rate.
    pub kbit: Option<u64>,
    /// The entry of the schedule that says so; None: no schedule does.
    pub entry: Option<String>,
    /// The limit at all times, where the schedule overrides it.
    pub always: Option<BandwidthSpec>,
}

/// LIMIT BANDWIDTH SCHEDULE LIST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandwidthSchedule {
    pub target: String,
    pub enabled: bool,
    /// In the order of the week, Monday first; days in full.
    pub entries: Vec<BandwidthEntry>,
    /// The label of the one that holds now.
    pub now: Option<String>,
}

/// What SCHEDULE does to one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleChange {
    Start(StartSpec),
    End(EndSpec),
    /// Local times, `hh:mm:ss`; may cross midnight (TRN-24).
    Window {
        open: String,
        close: String,
    },
    Enable,
    /// Keeps all (TRN-13).
    Disable,
    /// None: all (TRN-14).
    Clear(Option<SchedulePart>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulePart {
    Start,
    End,
    Window,
}

/// What starts sending (TRN-15 to -19). At least one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSpec {
    /// Local time, `yyyy-mm-ddThh:mm:ss`.
    pub time: Option<String>,
    /// Percent of the queue's memory or disk space that are in use.
    pub mem_limit: Option<u8>,
    /// Bytes that are queued.
    pub queue_size: Option<u64>,
    pub every: Option<(u64, TimeUnit)>,
}

/// What ends it (TRN-20, -21). At least one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndSpec {
    pub seconds: Option<u64>,
    pub bytes: Option<u64>,
}

/// Days are those of the calendar, at the same local time; the others pass evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeUnit {
    Seconds,
    Minutes,
    Hours,
    Days,
}

impl std::fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TimeUnit::Seconds => "seconds",
            TimeUnit::Minutes => "minutes",
            TimeUnit::Hours => "hours",
            TimeUnit::Days => "days",
        })
    }
}

/// SCHEDULE LIST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleView {
    pub target: String,
    /// False: disabled (TRN-13).
    pub enabled: bool,
    pub start: StartSpec,
    pub end: EndSpec,
    /// Opens and closes.
    pub window: Option<(String, String)>,
    /// What is happening: a word and why.
    pub state: String,
    /// When a start time or an interval starts sending next; milliseconds since 1970.
    pub next_ms: Option<i64>,
    /// Verifications at set times of connections to that target: the connection, and when.
    pub verifications: Vec<(ConnectionId, String)>,
}

/// SCHEDULE VERIFY (VER-10 to -12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyScheduleSpec {
    /// Local time of the first run, `yyyy-mm-ddThh:mm:ss`; None: now.
    pub time: Option<String>,
    /// None: once.
    pub every: Option<(u64, TimeUnit)>,
    pub verify: VerifySpec,
}
