//! The 65 statistics of an engine (reference-guide.md 3, statistics.tsv) and a snapshot of them, as a service gives them and as
//! `statistic.sts` keeps them.
//!
//! The table is the only place that knows a statistic's section, name and label; a test holds it to `statistics.tsv`.

use super::ConnectionId;
use serde::{Deserialize, Serialize};

/// A part of a snapshot, in the order in which they are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Section {
    General,
    Security,
    Kernel,
    /// One for each pair of addresses between which this machine is sent to.
    Target,
    Source,
    /// One for each connection.
    Connection,
}

impl Section {
    pub const ALL: [Section; 6] = [
        Section::General,
        Section::Security,
        Section::Kernel,
        Section::Target,
        Section::Source,
        Section::Connection,
    ];

    /// As statistics.tsv names it.
    pub fn name(self) -> &'static str {
        match self {
            Section::General => "general",
            Section::Security => "security",
            Section::Kernel => "kernel",
            Section::Target => "target",
            Section::Source => "source",
            Section::Connection => "connection",
        }
    }
}

/// What kind of value a statistic has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Grows for as long as the engine runs; a rate is the difference of two snapshots.
    Counter,
    Gauge,
    /// A number that stands for a state.
    State,
    /// Thousandths, printed as percent with one decimal.
    Permille,
    /// Milliseconds since 1970.
    Moment,
    /// The same, printed in UTC.
    MomentUtc,
    Text,
}

macro_rules! statistics {
    ($($id:ident: $section:ident, $shape:ident, $name:literal, $label:literal;)*) => {
        /// One of the statistics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Statistic {
            $(#[doc = $name] $id,)*
        }

        impl Statistic {
            /// All, in the guide's order.
            pub const ALL: &[Statistic] = &[$(Statistic::$id),*];

            pub fn section(self) -> Section {
                match self { $(Statistic::$id => Section::$section,)* }
            }

            pub fn shape(self) -> Shape {
                match self { $(Statistic::$id => Shape::$shape,)* }
            }

            /// As statistics.tsv names it.
            pub fn name(self) -> &'static str {
                match self { $(Statistic::$id => $name,)* }
            }

            /// As DTStat prints it.
            pub fn label(self) -> &'static str {
                match self { $(Statistic::$id => $label,)* }
            }
        }
    };
}

statistics! {
    Stamp: General, Moment, "Date/Time Stamp", "Date/Time Stamp";
    SystemAllocator: General, Gauge, "System Allocator, Total Bytes", "Total Bytes";
    QueueAllocator: General, Gauge, "IQAllocator, Total Bytes", "Total Bytes";
    Logins: Security, Counter, "Logins", "Logins ";
    FailedLogins: Security, Counter, "Failed Logins", "FailedLogins ";
    SourceState: Kernel, State, "SourceState", "SourceState";
    TargetState: Kernel, State, "TargetState", "TargetState";
    StartTime: Kernel, Moment, "Start Time", "Start Time";
    RepOpsGenerated: Kernel, Counter, "RepOpsGenerated", "RepOpsGenerated";
    RepBytesGenerated: Kernel, Counter, "RepBytesGenerated", "RepBytesGenerated";
    MirOpsGenerated: Kernel, Counter, "MirOpsGenerated", "MirOpsGenerated";
    MirBytesGenerated: Kernel, Counter, "MirBytesGenerated", "MirBytesGenerated";
    FailedMirrorCount: Kernel, Counter, "FailedMirrorCount", "FailedMirrorCount";
    FailedRepCount: Kernel, Counter, "FailedRepCount", "FailedRepCount";
    ActFailCount: Kernel, Counter, "ActFailCount", "ActFailCount";
    TargetOpenHandles: Kernel, Gauge, "TargetOpenHandles", "TargetOpenHandles";
    DriverQueuePercent: Kernel, Gauge, "DriverQueuePercent", "DriverQueuePercent";
    PeerAddress: Target, Text, "PeerAddress", "PeerAddress";
    LocalAddress: Target, Text, "LocalAddress", "LocalAddress";
    OpsReceived: Target, Counter, "Ops Received", "Ops Received";
    MirrorOpsReceived: Target, Counter, "Mirror Ops Received", "Mirror Ops Received";
    Retries: Target, Counter, "Retries", "Retries";
    OpsDropped: Target, Counter, "OpsDropped", "OpsDropped";
    OpsRemaining: Target, Gauge, "Ops Remaining", "Ops Remaining";
    OrphanFilesRemoved: Target, Counter, "Orphan Files Removed", "Orphan Files Removed";
    OrphanDirectoriesRemoved: Target, Counter, "Orphan Directories Removed", "Orphan Directories Removed";
    OrphanBytesRemoved: Target, Counter, "Orphan Bytes Removed", "Orphan Bytes Removed";
    TargetQueueBytes: Target, Gauge, "Bytes In Target Queue", "Bytes In Target Queue";
    TargetDiskQueueBytes: Target, Gauge, "Bytes In Target Disk Queue", "Bytes In Target Disk Queue";
    TasksSucceeded: Target, Counter, "TasksSucceeded", "TasksSucceeded";
    TasksFailed: Target, Counter, "TasksFailed", "TasksFailed";
    TasksIgnored: Target, Counter, "TasksIgnored", "TasksIgnored";
    AutoDisconnects: Source, Counter, "autoDisConnects", "autoDisConnects ";
    AutoReconnects: Source, Counter, "autoReConnects", "autoReConnects ";
    LastFileTouched: Source, Text, "lastFileTouched", "lastFileTouched ";
    ConPeerAddress: Connection, Text, "conPeerAddress", "conPeerAddress";
    ConnectTime: Connection, Moment, "connectTime", "connectTime";
    ConState: Connection, State, "conState", "conState";
    ConOpsInCmdQueue: Connection, Gauge, "conOpsInCmdQueue", "conOpsInCmdQueue";
    ConOpsInAckQueue: Connection, Gauge, "conOpsInAckQueue", "conOpsInAckQueue";
    ConOpsInRepQueue: Connection, Gauge, "conOpsInRepQueue", "conOpsInRepQueue";
    ConOpsInMirQueue: Connection, Gauge, "conOpsInMirQueue", "conOpsInMirQueue";
    ConBytesInRepQueue: Connection, Gauge, "conBytesInRepQueue", "conBytesInRepQueue";
    ConOpsTx: Connection, Counter, "conOpsTx", "conOpsTx";
    ConBytesInMirQueue: Connection, Gauge, "conBytesInMirQueue", "conBytesInMirQueue";
    ConBytesTx: Connection, Counter, "conBytesTx", "conBytesTx";
    ConBytesCompressedTx: Connection, Counter, "conBytesCompressedTx", "conBytesCompressedTx";
    ConOpsRx: Connection, Counter, "conOpsRx", "conOpsRx";
    ConBytesRx: Connection, Counter, "conBytesRx", "conBytesRx";
    ConResentOpCount: Connection, Counter, "conResentOpCount", "conResentOpCount";
    ConBytesInDiskQueue: Connection, Gauge, "conBytesInDiskQueue", "conBytesInDiskQueue";
    ConBandwidthLimit: Connection, Gauge, "conBandwidthLimit", "conBandwidthLimit";
    ConBytesSkipped: Connection, Counter, "conBytesSkipped", "conBytesSkipped";
    ConMirrorBytesRemaining: Connection, Gauge, "conMirrorBytesRemaining", "conMirrorBytesRemain";
    ConMirrorPercent: Connection, Permille, "conMirrorPercent", "conMirrorPercent";
    ConTaskCmdsSubmitted: Connection, Counter, "conTaskCmdsSubmitted", "conTaskCmdsSubmitted";
    ConTaskCmdsQueued: Connection, Gauge, "conTaskCmdsQueued", "conTaskCmdsQueued";
    ConTasksSucceeded: Connection, Counter, "conTasksSucceeded", "conTasksSucceeded";
    ConTasksFailed: Connection, Counter, "conTasksFailed", "conTasksFailed";
    ConTasksIgnored: Connection, Counter, "conTasksIgnored", "conTasksIgnored";
    ConRpt: Connection, MomentUtc, "ConRPT", "ConRPT";
    ConRpl: Connection, Gauge, "ConRPL", "ConRPL";
    ConCurrentTime: Connection, MomentUtc, "ConCurrentTime", "ConCurrentTime";
    ConMirrorStartTime: Connection, MomentUtc, "ConMirrorStartTime", "ConMirrorStartTime";
    ConMirrorEndTime: Connection, MomentUtc, "ConMirrorEndTime", "ConMirrorEndTime";
}

/// A statistic's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Not known, or there was no such moment yet.
    Unknown,
    Number(u64),
    /// Milliseconds since 1970.
    Moment(i64),
    Text(String),
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(number)
    }
}

impl From<Option<u64>> for Value {
    fn from(number: Option<u64>) -> Value {
        number.map_or(Value::Unknown, Value::Number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

/// The values of one section; there may be several of targets and connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    pub section: Section,
    /// Of a connection's.
    pub connection: Option<ConnectionId>,
    pub values: Vec<(Statistic, Value)>,
}

impl Block {
    pub fn new(section: Section, values: Vec<(Statistic, Value)>) -> Block {
        Block { section, connection: None, values }
    }

    pub fn get(&self, statistic: Statistic) -> &Value {
        self.values.iter().find(|(found, _)| *found == statistic).map_or(&Value::Unknown, |(_, value)| value)
    }

    /// A number; 0 while it is not known.
    pub fn number(&self, statistic: Statistic) -> u64 {
        match self.get(statistic) {
            Value::Number(number) => *number,
            _ => 0,
        }
    }

    /// The address by which a target or connection is selected (DTStat -IP).
    pub fn address(&self) -> Option<&str> {
        let of = match self.section {
            Section::Target => Statistic::PeerAddress,
            Section::Connection => Statistic::ConPeerAddress,
            _ => return None,
        };
        match self.get(of) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// All statistics at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Milliseconds since 1970: the Date/Time Stamp of all that is in it.
    pub at_ms: i64,
    pub blocks: Vec<Block>,
}

impl Snapshot {
    pub fn of(&self, section: Section) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.section == section)
    }

    /// A number of the first block of the statistic's section.
    pub fn number(&self, statistic: Statistic) -> u64 {
        self.of(statistic.section()).next().map_or(0, |block| block.number(statistic))
    }

    /// Has something happened since? What moves by itself (the clock, memory, the time that the target lags) is nothing that happened.
    pub fn moved_since(&self, before: &Snapshot) -> bool {
        use Statistic::{ConCurrentTime, ConRpl, ConRpt, QueueAllocator, Stamp, SystemAllocator};
        let by_itself = [Stamp, SystemAllocator, QueueAllocator, ConRpt, ConRpl, ConCurrentTime];
        let kept = |snapshot: &Snapshot| -> Vec<Block> {
            let mut blocks = snapshot.blocks.clone();
            for block in &mut blocks {
                block.values.retain(|(statistic, _)| !by_itself.contains(statistic));
            }
            blocks
        };
        kept(self) != kept(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// No one missing, none extra, in the guide's order.
    #[test]
    fn the_statistics_are_the_guides() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/reference/statistics.tsv");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: {} is not there", path.display());
            return;
        };
        let rows = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let theirs: Vec<_> =
            rows.filter(|row| row[0] == "dtstat").map(|row| (row[1].to_owned(), row[2].to_owned())).collect();
        assert_eq!(theirs.len(), 65);
        let ours = Statistic::ALL.iter();
        let ours: Vec<_> = ours.map(|it| (it.section().name().to_owned(), it.name().to_owned())).collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_clock_that_runs_is_nothing_that_happened() {
        let at = |at_ms, ops: u64| Snapshot {
            at_ms,
            blocks: vec![
                Block::new(Section::General, vec![(Statistic::SystemAllocator, (at_ms as u64).into())]),
                Block::new(Section::Target, vec![(Statistic::OpsReceived, ops.into())]),
            ],
        };
        assert!(!at(2, 7).moved_since(&at(1, 7)));
        assert!(at(2, 8).moved_since(&at(1, 7)));
        assert_eq!(at(2, 8).number(Statistic::OpsReceived), 8);
    }
}
