//! Requests: one per thing that a machine can be asked.
//!
//! Names and paths that a person typed are `String`s (scripts are UTF-8); names read from a disk are bytes and
//! reach a client only as escaped text.

use super::{
    Access, BandwidthChange, ConnectionId, GrantSpec, Granted, LogFilter, LogFrom, ScheduleChange, TaskSpec,
    VerifyScheduleSpec,
};
use serde::{Deserialize, Serialize};

/// A request to one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    // --- the session -------------------------------------------------------------------------------
    /// -> `Reply::Access`
    Login {
        user: String,
        password: Option<String>,
        domain: Option<String>,
    },
    /// -> `Reply::Done`
    Logout,
    /// -> `Reply::Done` or -109, -110
    Ping,
    /// -> `Reply::Version`
    Version,
    /// Ends the service in good order. -> `Reply::Done` before it ends; -161 where no service runs
    Shutdown,
    /// A directory's entries. -> `Reply::Directory`
    Directory {
        path: String,
    },

    // --- replication sets ----------------------------------------------------------------------------
    /// -> `Reply::Done`
    RepsetCreate {
        repset: String,
    },
    RuleAdd {
        repset: String,
        rule: Rule,
    },
    RuleRemove {
        repset: String,
        path: String,
    },
    /// -> `Reply::Rules`
    RuleList {
        repset: String,
    },
    /// All sets without a name. -> `Reply::Saved`
    RepsetSave {
        repset: Option<String>,
    },
    /// -> `Reply::Repsets`
    RepsetList,
    /// -> `Reply::Repset`
    RepsetDisplay {
        repset: String,
    },
    /// With progress events. -> `Reply::Size`
    RepsetCalculate {
        repset: String,
    },
    RepsetRename {
        repset: String,
        name: String,
    },
    RepsetCopy {
        repset: String,
        name: String,
    },
    RepsetDelete {
        repset: String,
    },
    /// Drops unsaved changes. -> `Reply::Done`
    RepsetResync {
        repset: String,
    },
    /// -> `Reply::Text` (the client writes the file)
    RepsetExport {
        repset: String,
    },
    /// Text of an exported set; `name` replaces the name in it. -> `Reply::Name`
    RepsetImport {
        text: String,
        name: Option<String>,
    },
    /// -> `Reply::Belongs`
    RepsetTest {
        path: String,
        repset: String,
    },

    // --- connections -----------------------------------------------------------------------------------
    /// What this machine, as a source, says of itself and of a set, if one is named. -> `Reply::Introduction`; errors as those of
    /// `Connect`
    Introduce {
        repset: Option<String>,
    },
    /// Lets a source send a set here. -> `Reply::Granted`
    Grant(GrantSpec),
    /// Takes a grant back, and ends the lines of its source. -> `Reply::Done`, -107 if there is none
    Withdraw {
        grant: String,
    },
    /// -> `Reply::Grants`
    Grants,
    /// -> `Reply::Connected`; a dry run sends `Event::WouldSend`s and connects nothing: `Reply::DryRun`
    Connect(ConnectSpec),
    Disconnect {
        connection: ConnectionId,
        discard: bool,
    },
    /// -> `Reply::Connection`
    Status {
        connection: ConnectionId,
    },
    /// All connections. -> `Reply::Connections`
    StatusAll,
    /// -> `Reply::Source`
    StatusSource,
    /// -> `Reply::Target`
    StatusTarget,
    /// Replies `Reply::Connected`, -107 if none, -101 if several.
    ConnectionIdOf {
        repset: String,
        target: Option<String>,
    },
    /// All of this machine (reference-guide.md 3). -> `Reply::Statistics`
    Statistics,
    /// Begins or ends statistics logging; None: says how it stands. -> `Reply::Done`, `Reply::StatisticsLog`
    StatisticsLog {
        running: Option<bool>,
    },
    /// The 26 columns of a connection (availability.md 9.1). -> `Reply::Columns`
    Columns {
        connection: ConnectionId,
    },
    /// -> `Reply::Explanation`
    Explain {
        path: String,
        connection: Option<ConnectionId>,
    },

    // --- mirror and verify ------------------------------------------------------------------------------
    /// A dry run blocks and sends `Event::WouldSend`s: `Reply::DryRun`; else `Reply::Done` once it is started.
    MirrorStart {
        connection: ConnectionId,
        mirror: MirrorSpec,
    },
    MirrorStop {
        connection: ConnectionId,
    },
    MirrorPause {
        connection: ConnectionId,
    },
    MirrorResume {
        connection: ConnectionId,
    },
    Verify {
        connection: ConnectionId,
        verify: VerifySpec,
    },
    VerifyStop {
        connection: ConnectionId,
    },
    VerifyPause {
        connection: ConnectionId,
    },
    VerifyResume {
        connection: ConnectionId,
    },
    /// `SCHEDULE VERIFY`; None clears it.
    ScheduleVerify {
        connection: ConnectionId,
        schedule: Option<VerifyScheduleSpec>,
    },
    /// `ORPHANS START`, or `PREVIEW`.
    Orphans {
        connection: ConnectionId,
        orphans: OrphanSpec,
    },
    OrphansStop {
        connection: ConnectionId,
    },
    OrphansPause {
        connection: ConnectionId,
    },
    OrphansResume {
        connection: ConnectionId,
    },
    /// -> `Reply::Verify`
    VerifyReport {
        connection: ConnectionId,
    },

    /// Blocks with progress events. -> `Reply::Done`, `Reply::TimedOut`, or an error when it can no longer
    /// happen (for a mirror that ended incomplete: the error says why, and how many files failed).
    Wait {
        connection: ConnectionId,
        until: Until,
        timeout_ms: Option<u64>,
    },

    // --- replication -------------------------------------------------------------------------------------
    /// Begins to replicate, or lets what is held go on. -> `Reply::Done`, -125 if it replicates and nothing is held
    ReplicationStart {
        connection: ConnectionId,
    },
    /// -> `Reply::Done` once it has ended, -126 if it does not replicate
    ReplicationStop {
        connection: ConnectionId,
    },
    /// Blocks until all that was changed before is on the target. -> `Reply::Done`, `Reply::TimedOut`, or an error when
    /// it can no longer happen
    Barrier {
        connection: ConnectionId,
        timeout_ms: Option<u64>,
    },

    // --- transmission ------------------------------------------------------------------------------------
    /// Of all connections to that target. -> `Reply::Done`, -153 or -154 when there is nothing to do, -110 when the target
    /// cannot be reached
    Transmission {
        target: String,
        step: TransmissionStep,
    },
    /// Pauses or resumes all connections to that target; returns once what was sent is applied there. -> `Reply::Done`, -162 or
    /// -164 when there is nothing to do
    PauseTarget {
        target: String,
        paused: bool,
    },

    /// Whether and how hard what goes to that target is compressed. -> `Reply::Done`
    Compression {
        target: String,
        change: CompressionChange,
    },
    /// -> `Reply::Compressions`
    Compressions,

    /// How much may be sent to that target, always or by its weekly schedule. -> `Reply::Done`
    Bandwidth {
        target: String,
        change: BandwidthChange,
    },
    /// What is in force for each target. -> `Reply::Bandwidths`
    Bandwidths,
    /// -> `Reply::BandwidthSchedule`
    BandwidthSchedule {
        target: String,
    },
    /// When that target is sent to. -> `Reply::Done`
    Schedule {
        target: String,
        change: ScheduleChange,
    },
    /// -> `Reply::Schedule`
    ScheduleView {
        target: String,
    },

    // --- tasks -------------------------------------------------------------------------------------------
    /// Gives a task its place in the stream of each connection to a target; waits for a mirror that runs there. -> `Reply::Numbers`,
    /// those of the tasks
    QueueTask(Box<TaskSpec>),
    /// -> `Reply::Tasks`
    TaskList,
    /// The tasks of the newest QUEUETASK of that name. -> `Reply::TaskStatus`, -123 if there is none
    TaskStatus {
        job: String,
    },
    /// Who tasks run as on this machine. -> `Reply::Done`, -101 for a user that it cannot become
    TaskRunAs {
        user: String,
    },
    /// Whether the source of a grant may run tasks here. -> `Reply::Done`, -107 if there is none
    GrantTasks {
        grant: String,
        allowed: bool,
    },

    // --- the log -----------------------------------------------------------------------------------------
    /// Lines of the engine's log; where there are none yet it is waited for them so long. -> `Reply::Log`
    Log {
        from: LogFrom,
        filter: LogFilter,
        wait_ms: u64,
    },
    /// Writes a line, event 4013. -> `Reply::Done`, -101 for a text that is empty or too long
    LogWrite {
        text: String,
    },

    // --- options -----------------------------------------------------------------------------------------
    /// -> `Reply::Setting`
    Get {
        option: String,
    },
    GetDefault {
        option: String,
    },
    /// -> `Reply::Setting`
    Set {
        option: String,
        value: String,
    },
    SetDefault {
        option: String,
    },
    /// Names matching a pattern with `*` and `?`; all without one. -> `Reply::Settings`
    Options {
        pattern: Option<String>,
    },
}

impl Request {
    /// The access that a caller needs for it. A service looks at it for each request, whatever the caller's program has
    /// looked at before.
    pub fn needs(&self) -> Access {
        use Request::*;
        match self {
            Login { .. } | Logout | Ping | Version => Access::None,

            Directory { .. }
            | RuleList { .. }
            | RepsetList
            | RepsetDisplay { .. }
            | RepsetCalculate { .. }
            | RepsetExport { .. }
            | RepsetTest { .. }
            | Status { .. }
            | StatusAll
            | StatusSource
            | StatusTarget
            | Statistics
            | StatisticsLog { running: None }
            | Columns { .. }
            | Grants
            | ConnectionIdOf { .. }
            | Explain { .. }
            | VerifyReport { .. }
            | Wait { .. }
            | Barrier { .. }
            | Get { .. }
            | GetDefault { .. }
            | TaskList
            | TaskStatus { .. }
            | Log { .. }
            | Options { .. } => Access::Monitor,

            RepsetCreate { .. }
            | RuleAdd { .. }
            | RuleRemove { .. }
            | RepsetSave { .. }
            | RepsetRename { .. }
            | RepsetCopy { .. }
            | RepsetDelete { .. }
            | RepsetResync { .. }
            | RepsetImport { .. }
            | Introduce { .. }
            | Grant(_)
            | Withdraw { .. }
            | Connect(_)
            | Disconnect { .. }
            | MirrorStart { .. }
            | MirrorStop { .. }
            | MirrorPause { .. }
            | MirrorResume { .. }
            | Verify { .. }
            | VerifyStop { .. }
            | VerifyPause { .. }
            | VerifyResume { .. }
            | ScheduleVerify { .. }
            | Orphans { .. }
            | OrphansStop { .. }
            | OrphansPause { .. }
            | OrphansResume { .. }
            | ReplicationStart { .. }
            | ReplicationStop { .. }
            | Transmission { .. }
            | PauseTarget { .. }
            | Compression { .. }
            | Compressions
            | Bandwidth { .. }
            | Bandwidths
            | BandwidthSchedule { .. }
            | Schedule { .. }
            | ScheduleView { .. }
            | Set { .. }
            | SetDefault { .. }
            | StatisticsLog { .. }
            | QueueTask(_)
            | TaskRunAs { .. }
            | GrantTasks { .. }
            | LogWrite { .. }
            | Shutdown => Access::Full,
        }
    }
}

impl Request {
    /// Whether carrying it out changes anything on the machine, its source or its target. A dry run changes nothing.
    pub fn changes(&self) -> bool {
        use Request::*;
        match self {
            Connect(spec) => !spec.dry_run,
            MirrorStart { mirror, .. } => !mirror.dry_run,
            Introduce { .. } | Grant(_) | Withdraw { .. } => false,
            Compressions | Bandwidths | BandwidthSchedule { .. } | ScheduleView { .. } => false,
            other => other.needs() == Access::Full,
        }
    }

    /// The connection that it names by number.
    pub fn connection(&self) -> Option<ConnectionId> {
        use Request::*;
        match self {
            Disconnect { connection, .. }
            | Status { connection }
            | Columns { connection }
            | MirrorStart { connection, .. }
            | MirrorStop { connection }
            | MirrorPause { connection }
            | MirrorResume { connection }
            | Verify { connection, .. }
            | VerifyStop { connection }
            | VerifyPause { connection }
            | VerifyResume { connection }
            | ScheduleVerify { connection, .. }
            | Orphans { connection, .. }
            | OrphansStop { connection }
            | OrphansPause { connection }
            | OrphansResume { connection }
            | VerifyReport { connection }
            | Wait { connection, .. }
            | ReplicationStart { connection }
            | ReplicationStop { connection }
            | Barrier { connection, .. } => Some(*connection),
            Explain { connection, .. } => *connection,
            _ => None,
        }
    }
}

/// What TRANSMISSION does (TRN-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransmissionStep {
    Start,
    Stop,
    Pause,
    Resume,
}

/// What COMPRESSION does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompressionChange {
    Enable,
    Disable,
    /// 1 to 19.
    Level(u8),
    Auto,
}

/// A rule of a replication set (RST-02).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Absolute path, may hold `*` and `?`; at most 259 characters (RST-05).
    pub path: String,
    pub include: bool,
    pub recursive: bool,
}

/// `CONNECT <repset> TO <target> <flags>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectSpec {
    pub repset: String,
    /// A machine's name as typed, or the null target with its statistics file (JOB-15).
    pub target: ConnectTarget,
    pub map: MapSpec,
    /// None: `NOMIRROR`.
    pub mirror: Option<MirrorSpec>,
    /// None: it replicates, except to the null target, where Some(true) answers -161 (JOB-02).
    pub replicate: Option<bool>,
    /// None: as `CalculateOnConnect` says.
    pub calculate: Option<bool>,
    /// None: the target's switch stays as it is (ORP-03).
    pub orphans: Option<bool>,
    pub route: Option<String>,
    /// A zstd level as typed, or AUTO: compression to that target is enabled with it. None: it stays as it is.
    pub compress: Option<String>,
    pub dry_run: bool,
}

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectTarget {
    Machine(String),
    /// Another machine than the source's, by the name that the source reaches it by, and what it has granted.
    Far {
        machine: String,
        granted: Box<Granted>,
    },
    Tdu {
        file: Option<String>,
    },
}

/// Where source paths come to lie on the target (JOB-05 to -07).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MapSpec {
    /// `BASE /<source>/<repset>/<volume>` under the target's data root.
    Default,
    /// Same paths below the target's data root... on another machine `/`.
    Exact,
    Base(String),
    /// Pairs source path, target path.
    Pairs(Vec<(String, String)>),
}

/// The flags of a mirror (table 25.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorSpec {
    pub kind: MirrorKind,
    pub newer: bool,
    pub checksum: bool,
    pub calculate: bool,
    pub orphans: bool,
    pub clean: bool,
    pub dry_run: bool,
}

/// FULL sends every file, DIFFERENT those that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MirrorKind {
    #[default]
    Full,
    Different,
}

/// The flags of a verification (VER-03 to -06).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifySpec {
    pub remirror: bool,
    pub newer: bool,
    pub checksum: bool,
    pub orphans: bool,
}

/// What a search for orphans does with what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanSpec {
    /// Lists them in the target's log, and removes nothing (ORP-04).
    pub preview: bool,
}

/// What a wait waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// The mirror (or a verify, with its remirror) is written on the target.
    Mirror,
    /// Nothing is queued on the source.
    Queue,
    /// The target has applied all.
    Target,
}
