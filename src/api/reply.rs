//! Replies: what a machine answers.

use super::statistics::Snapshot;
use super::{
    BandwidthLine, BandwidthSchedule, ConnectionId, GrantLine, Granted, Introduction, LogPart, Rule,
    ScheduleView, TaskLine, TaskList,
};
use serde::{Deserialize, Serialize};

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    /// A wait's time ran out.
    TimedOut,
    Access(Access),
    Version(Version),
    Directory(Vec<DirectoryEntry>),
    Rules(Vec<Rule>),
    Saved(Saved),
    Repsets(Vec<RepsetLine>),
    Repset(Box<RepsetDetail>),
    Size(SetSize),
    Text(String),
    Name(String),
    Belongs(Belongs),
    Connected(ConnectionId),
    Introduction(Introduction),
    Granted(Granted),
    Grants(Vec<GrantLine>),
    DryRun {
        files: u64,
        bytes: u64,
    },
    Connection(Box<ConnectionStatus>),
    Connections(Vec<ConnectionStatus>),
    Source(Vec<(String, String)>),
    Target(Vec<(String, String)>),
    Statistics(Box<Snapshot>),
    StatisticsLog(StatisticsLog),
    /// Column and value, in the guide's order.
    Columns(Vec<(String, String)>),
    Explanation(Vec<(String, String)>),
    Verify(Box<VerifyReport>),
    Compressions(Vec<CompressionLine>),
    Bandwidths(Vec<BandwidthLine>),
    BandwidthSchedule(BandwidthSchedule),
    Schedule(Box<ScheduleView>),
    /// Numbers of tasks.
    Numbers(Vec<u64>),
    Tasks(Box<TaskList>),
    TaskStatus(Vec<TaskLine>),
    Log(LogPart),
    Setting(SettingValue),
    Settings(Vec<SettingRow>),
}

/// What a login grants, in rising order; LOGIN returns its number (0, 1, 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    None = 0,
    Monitor = 1,
    Full = 2,
}

impl Access {
    /// As LOGIN prints it, e.g. `DT_FULL_ACCESS`.
    pub fn product_name(self) -> &'static str {
        match self {
            Access::None => "DT_NO_ACCESS",
            Access::Monitor => "DT_MONITOR_ACCESS",
            Access::Full => "DT_FULL_ACCESS",
        }
    }

    /// As a console shows it (LOG-03).
    pub fn label(self) -> &'static str {
        match self {
            Access::None => "No Access",
            Access::Monitor => "Monitor Access",
            Access::Full => "Administrator Access",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub product: String,
    pub version: String,
    pub build: String,
    pub system: String,
    pub machine: String,
    pub addresses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// Control bytes and invalid UTF-8 escaped.
    pub name: String,
    /// `d`, `-`, `l`, `p`, `s`, `b`, `c` as ls prints it.
    pub kind: char,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: i64,
}

/// What REPSET SAVE did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub saved: Vec<String>,
    /// Of these a connection exists: run a difference mirror (RST-12).
    pub connected: Vec<String>,
    /// Rules that were dropped or are discarded by precedence (RST-10), as sentences.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepsetLine {
    pub name: String,
    pub connected: bool,
    pub saved: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepsetDetail {
    pub name: String,
    pub rules: Vec<Rule>,
    /// Parallel to `rules`: why a rule is without effect (RST-10), if so.
    pub discarded: Vec<Option<String>>,
    pub generation: u64,
    pub saved: bool,
    pub size: Option<SetSize>,
    pub connections: Vec<ConnectionId>,
}

/// A set's size at a moment (RST-14).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSize {
    pub files: u64,
    pub directories: u64,
    pub bytes: u64,
    /// Things that could not be read.
    pub errors: u64,
    /// Seconds since 1970.
    pub calculated: i64,
}

/// REPSET TEST's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belongs {
    pub belongs: bool,
    /// The rule that decided; none: no rule covers the path.
    pub rule: Option<Rule>,
    /// Another reason than a rule (the engine's own home, a pseudo file system).
    pub reason: Option<String>,
}

/// One connection, whole. Status words are those of availability.md 29.1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    pub id: ConnectionId,
    pub repset: String,
    /// As `Target machine:` prints it.
    pub target: String,
    /// `<ip>:<port>`, or `TDU`.
    pub target_address: String,
    /// Milliseconds since 1970 when the connection was made.
    pub established_ms: i64,
    /// `OK` `Mirroring` `Mirror Required` `Restore required` `Not Ready`
    pub target_data_state: String,
    /// `OK` `Not Loaded` `Paused` `Retrying` `Pause Pending`
    pub target_status: String,
    /// `Started` `Paused` `Scheduled` `Stopped` `Error`
    pub transmit: String,
    /// `Mirroring` `Idle` `Paused` `<n>%` `Waiting` `Verifying` `Removing Orphans` `Calculating`
    pub mirror: String,
    /// `Replicating` `Ready` `Stopped` `Pending` `Out of Memory`
    pub replication: String,
    pub mirror_bytes_transferred: u64,
    pub mirror_bytes_transmitted: u64,
    pub mirror_bytes_queued: u64,
    pub replication_bytes_transferred: u64,
    pub replication_bytes_transmitted: u64,
    pub replication_bytes_queued: u64,
    /// Bytes left, known after a calculation.
    pub mirror_bytes_remaining: Option<u64>,
    /// Bytes of files that were the same (Skipped Mirror).
    pub mirror_bytes_skipped: u64,
    pub files_failed: u64,
    /// The bandwidth limit in force, in words; None: unlimited.
    pub bandwidth_limit: Option<String>,
    /// When it is verified, in words; None: by hand only.
    pub verification: Option<String>,
    /// The newest failure: path and reason, escaped.
    pub last_error: Option<String>,
    /// Source path -> target path, as mapped.
    pub paths: Vec<(String, String)>,
}

/// STATLOG STATUS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsLog {
    pub running: bool,
    pub file: String,
    /// What it takes now, and at most.
    pub bytes: u64,
    pub limit: u64,
    /// 0: once a second.
    pub interval_minutes: u64,
    /// An earlier file is kept when it begins (SaveStatFile).
    pub keeps_old: bool,
    /// It begins with the service (StatsLoggingOn).
    pub at_start: bool,
}

/// A line of COMPRESSION LIST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompressionLine {
    pub target: String,
    pub enabled: bool,
    /// None: AUTO.
    pub level: Option<u8>,
    /// The level that AUTO has chosen last.
    pub auto: Option<u8>,
    /// Content bytes that its connections have sent, and what they have become.
    pub sent: u64,
    pub compressed: u64,
}

/// VERIFY REPORT.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifyReport {
    pub repset: String,
    /// Milliseconds since 1970.
    pub started_ms: i64,
    /// None: still running.
    pub completed_ms: Option<i64>,
    pub stopped: bool,
    pub elapsed_ms: u64,
    pub directories_compared: u64,
    pub directories_missing: u64,
    pub directories_remirrored: u64,
    pub files_compared: u64,
    pub files_missing: u64,
    pub files_different: u64,
    pub files_remirrored: u64,
    pub bytes_skipped: u64,
    pub bytes_compared: u64,
    pub bytes_missing: u64,
    pub bytes_different: u64,
    pub bytes_remirrored: u64,
    pub errors: u64,
    /// Path and state (`DIFFERENT ON TARGET`, `MISSING ON TARGET` ...), at most 1000.
    pub differing: Vec<(String, String)>,
    pub log: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingValue {
    /// As the table spells it.
    pub name: String,
    pub value: String,
    /// Takes effect after a restart only.
    pub restart: bool,
    /// Stored and shown, but not acted on by this version: why.
    pub inert: Option<String>,
}

/// One row of OPTIONS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingRow {
    pub name: String,
    pub value: String,
    pub default: String,
    pub unit: String,
    pub range: String,
    pub restart: String,
    pub meaning: String,
}
