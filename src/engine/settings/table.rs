//! The table of settings: all 121 of the product on Linux as `settings.tsv` has them, and ours.
//!
//! This is the only place that knows a setting's type, range, default and meaning. A test holds it to `settings.tsv`;
//! where it differs on purpose stands in `DIFFERENCES`, with the reason.

/// One setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: &'static str,
    pub platform: Platform,
    pub kind: Kind,
    /// `-`: none. So for the texts below.
    pub unit: &'static str,
    pub minimum: &'static str,
    pub maximum: &'static str,
    /// `0 = off; 1 = on`, or a sentence.
    pub allowed: &'static str,
    /// As the table words it: some are places that a home resolves.
    pub default: &'static str,
    pub restart: Restart,
    pub effect: Effect,
    pub meaning: &'static str,
}

/// Which products know the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    Linux,
    /// Linux and Windows.
    Both,
    /// This program only (X).
    Own,
}

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0 or 1.
    Bool,
    /// One of the numbers in `allowed`.
    Choice,
    Integer,
    /// An absolute path.
    Path,
    /// A name without a slash.
    FileName,
    Text,
    /// Items between periods.
    List,
    /// The guide gives no fields; any text is kept.
    Unspecified,
}

/// Whether a change waits for a restart of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    No,
    Yes,
    Partly(&'static str),
    Unspecified,
}

/// What this version does with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Acts,
    /// Kept for the part of the product named here, which this version does not have yet.
    Later(&'static str),
    /// Never acted on: why.
    None(&'static str),
}

/// A place where the table departs from `settings.tsv`: name, column, the TSV's value, why.
pub const DIFFERENCES: &[(&str, &str, &str, &str)] = &[
    (
        "EncryptNetworkData",
        "default",
        "0",
        "nothing goes over a network in the clear unless someone asks for that",
    ),
    ("ExtendedAttributes", "default", "0", "a copy without ACLs and attributes is not the same tree"),
    ("RepSetDBName", "default", "DbTake.db", "the other guides spell it DblTake.db"),
    ("StatsMaxFileSize", "unit", "MB", "the default, 10485760, is bytes"),
];

/// Other spellings in the guides, and the name they stand for. Case does not matter anyway.
pub const ALIASES: &[(&str, &str)] = &[
    ("HBTTL", "HBTTTL"),
    ("MaxNumberOfLogFiles", "MaxNumberofLogFiles"),
    ("RemoveOrphanTime", "RemoveOrphansTime"),
];

/// The definition of a setting, by any spelling of its name.
pub fn find(name: &str) -> Option<&'static Definition> {
    let alias = ALIASES.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, name)| *name);
    let name = alias.unwrap_or(name);
    all().find(|definition| definition.name.eq_ignore_ascii_case(name))
}

/// The product's settings and ours, each list in the order of the alphabet.
pub fn all() -> impl Iterator<Item = &'static Definition> {
    PRODUCT.iter().chain(OWN)
}

macro_rules! definitions {
    ($($name:ident: $platform:ident, $kind:ident, $unit:literal, $minimum:literal, $maximum:literal, $allowed:literal,
        $default:literal, $restart:expr, $effect:expr, $meaning:literal;)*) => {{
        use Effect::*;
        use Restart::*;
        &[$(Definition {
            name: stringify!($name),
            platform: Platform::$platform,
            kind: Kind::$kind,
            unit: $unit,
            minimum: $minimum,
            maximum: $maximum,
            allowed: $allowed,
            default: $default,
            restart: $restart,
            effect: $effect,
            meaning: $meaning,
        },)*]
    }};
}

/// Settings of this program alone (X).
#[allow(unused_imports)]
pub const OWN: &[Definition] = definitions! {
    MassDeletionGuard: Own, Integer, "percent", "0", "100", "0 = every removal waits for a person; 100 = no guard", "50", No, Acts,
        "Largest share of the target's entries that may be removed at once without a person";
};

/// The product's 121 settings on Linux. Columns: platform, type, unit, minimum, maximum, allowed values, default,
/// restart, effect; below them the meaning.
#[rustfmt::skip]
pub const PRODUCT: &[Definition] = definitions! {
    ActivationCode: Both, Text, "-", "-", "-", "unique per customer", "N/A", No, Later("licences"),
        "Product licence key of 24 characters";
    AdapterFlags: Linux, Choice, "-", "-", "-", "2 = Encryption; 4 = Network Data Representation", "4", No, Later("connections over the network"),
        "Picks the adapter used while a connection is being set up";
    Advertisement: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    AllFailover: Linux, Bool, "-", "-", "-", "0 = only the monitored IP addresses; 1 = every IP address", "1", No, Later("failover"),
        "Decides which IP addresses move at failover";
    AllMustFail: Linux, Bool, "-", "-", "-", "0 = one failed address suffices; 1 = all addresses have to fail", "1", No, Later("failover"),
        "Decides whether failover needs all IP addresses to be down";
    AutoReconnect: Both, Bool, "-", "-", "-", "0 = no reconnect; 1 = reconnect", "1", Yes, Acts,
        "Re-establish target connections once a failed source is online again";
    AutoRemirror: Both, Choice, "-", "-", "-", "0 = no comparison and nothing sent; 1 = compare attributes, send differing attributes and bytes; 2 = no comparison, send every file whole; 3 = compare attributes, send whole file when different; 4 = compare attributes and data, send differing attributes and bytes", "1", No, Acts,
        "Kind of mirror started by itself when the source returns after an auto-disconnect";
    AutoRemirrorRetry: Both, Integer, "seconds", "-", "-", "any integer", "30", No, Acts,
        "Interval at which the source looks for connections that are reconnected but not yet remirrored";
    AutoRetransmit: Both, Bool, "-", "-", "-", "0 = no attempt; 1 = attempt", "1", No, Later("connections over the network"),
        "Whether a source that lost a target tries to reach it again";
    BackupDir: Both, Path, "path", "-", "-", "any valid path", "installation directory", No, Later("backups of sets on the target"),
        "Target directory with the backup of protected data sets";
    CalculateOnConnect: Both, Bool, "-", "-", "-", "0 = do not calculate; 1 = calculate", "1", Yes, Acts,
        "Measure the amount of data to be mirrored when a connection is made";
    CaseSensitiveRepSetQueries: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    ChecksumAll: Both, Bool, "-", "-", "-", "0 = compare by attributes; 1 = compare by checksums", "1", No, Acts,
        "Makes mirror, verify and restore disregard attributes and run a checksum over every file";
    Cleaner: Linux, Bool, "-", "-", "-", "0 = nothing deleted beforehand; 1 = target files deleted before mirroring", "0", No, Acts,
        "Permits a clean mirror to delete the target files first";
    ClientLog: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    ClientLogName: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    ConnectionFile: Both, FileName, "file name", "-", "-", "any valid file name", "connect.sts", No, Acts,
        "Database file holding the connections";
    DataPath: Both, Path, "path", "-", "-", "any valid path", "installation directory", No, Acts,
        "Directory of the database files for file attributes, protected data sets, connections and schedules";
    DefaultProtocol: Both, Choice, "-", "-", "-", "1 = IPv4 only", "1", Yes, Later("connections over the network"),
        "Network protocol used by default";
    DirUNetPort: Linux, Integer, "port", "1025", "65535", "-", "1505", Partly("source: yes; target: no"), Later("connections over the network"),
        "UDP port for directed traffic";
    DisableAttributeReplication: Both, Bool, "-", "-", "-", "0 = attributes are replicated; 1 = attributes are not replicated", "0", Yes, Acts,
        "Switches off the replication of user, group and other permission attributes";
    EnablePerformanceTracking: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("reserved by the product"),
        "Reserved for future use";
    EnableSparseFileMirroring: Linux, Bool, "-", "-", "-", "0 = sparse files not mirrored; 1 = sparse files mirrored", "1", No, Acts,
        "Whether sparse files take part in a mirror";
    EnableTaskCmdProcessing: Both, Bool, "-", "-", "-", "0 = off; 1 = on", "0", No, Acts,
        "Task commands are queued in line with the replication data";
    EnableVolumeLevelReplication: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("internal to the product"),
        "Internal, for full server jobs";
    EncryptionCipherFilter: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("it names a fact, no choice"),
        "Names the encryption in use: AES 256, with the public key exchange by OpenSSL";
    EncryptNetworkData: Both, Bool, "-", "-", "-", "0 = not encrypted; 1 = encrypted", "1", No, Later("connections over the network"),
        "Encrypt data between source and target";
    ExtendedAttributes: Linux, Bool, "-", "-", "-", "0 = not mirrored or replicated; 1 = mirrored and replicated", "1", No, Acts,
        "Whether extended attributes go to the target";
    ExtensionNumber: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("the log finds its next number in its directory"),
        "Used by the log files";
    FileQueueSize: Both, Integer, "entries", "1", "65535", "-", "16", No, None("the mirror of this version bounds its queue by MirrorQueueLimit alone"),
        "Capacity of the mirror file queue that one disk-reading thread fills and several sending threads empty";
    HBExternalRate: Linux, Integer, "seconds", "0", "65535", "0 = heartbeats off", "3", No, Later("connections over the network"),
        "Time between two heartbeats";
    HBInteralRate: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    HBLoopback: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    HBTrace: Linux, Bool, "-", "-", "-", "0 = not generated; 1 = generated", "0", No, Later("connections over the network"),
        "Produce heartbeat debugging information";
    HBTTTL: Linux, Integer, "seconds", "0", "65535", "-", "10", No, Later("connections over the network"),
        "Time without a heartbeat after which a remote machine counts as unavailable";
    HPQueueRatio: Both, Integer, "packets", "1", "65535", "-", "5", Partly("future connections: no; current connection: yes"), Acts,
        "Number of replication packets sent per one mirror packet";
    IgnoreDeleteOps: Both, Bool, "-", "-", "-", "0 = deletes are replicated; 1 = deletes are not replicated", "0", No, Acts,
        "Whether file and directory deletions reach the target";
    LoadSourceTarget: Linux, Choice, "-", "-", "-", "0 = neither module; 1 = source only; 2 = target only; 3 = source and target", "3", Yes, Later("loading and unloading of the modules"),
        "Which modules are loaded";
    LogAllOrphans: Both, Bool, "-", "-", "-", "0 = not logged; 1 = logged", "0", No, Acts,
        "Write success messages about orphan files to the engine log";
    LogDir: Both, Path, "path", "-", "-", "any valid path", "installation directory", Yes, Acts,
        "Directory of the message/alert, verification and statistics logs";
    LogFile: Both, FileName, "file name", "-", "-", "any valid file name", "DTLog", No, Acts,
        "Base name of the message/alert log";
    LogMessageLevel: Both, Choice, "-", "-", "-", "0 = nothing; 1 = alerts; 2 = alerts and release messages; 3 = alerts, release and debug messages", "2", No, Acts,
        "Which messages go into the .dtl files";
    MaxChecksumBlocks: Both, Integer, "checksums", "-", "-", "any integer", "32", No, Later("flow control over the network"),
        "Number of checksum values fetched from the target";
    MaxConnections: Both, Integer, "requests", "0", "65535", "-", "5", Yes, Later("connections over the network"),
        "Network requests processed at the same time";
    MaxLogFileSize: Both, Integer, "bytes", "-", "-", "limited by free disk space", "5242880", No, Acts,
        "Largest size of one .dtl log file";
    MaxNumberofLogFiles: Linux, Integer, "files", "1", "999", "-", "20", No, Acts,
        "How many .dtl files may exist; the oldest goes when a new file exceeds the number";
    MaxRemoveOrphansOpSize: Both, Integer, "files", "0", "131072", "-", "1000", No, Acts,
        "Orphan operations are sent in several pieces once a directory holds more files than this";
    MaxRetry: Both, Integer, "attempts", "-", "-", "any integer", "5", Yes, Later("connections over the network"),
        "General retry count for the whole application, such as socket creation and service start";
    MaxWriteChunkSize: Both, Integer, "bytes", "1", "131072", "-", "65536", No, Acts,
        "Largest merged operation during replication";
    MemoryQueueToDiskThreshold: Both, Integer, "percent", "-", "-", "any valid percentage", "100", Yes, Acts,
        "Share of QMemoryBufferMax at which queuing to disk starts";
    MinCompressionFileSize: Both, Integer, "bytes", "-", "-", "any file size", "1024", No, Acts,
        "Smallest file that is compressed; smaller ones go uncompressed";
    MirrorChunkSize: Both, Integer, "bytes", "1", "1048576", "-", "65536", No, Acts,
        "Block size of a mirror";
    MirrorOverwrite: Both, Choice, "-", "-", "-", "0 = never; 1 = always; 2 = only when older", "1", No, Acts,
        "Whether a mirror overwrites files that exist on the target";
    MirrorPrompting: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    MirrorQueueLimit: Both, Integer, "operations", "1", "65535", "-", "1000", No, Acts,
        "Most mirror operations that may wait on the source";
    MirrorZeroKFiles: Both, Bool, "-", "-", "-", "0 = empty files skipped; 1 = all files mirrored", "1", No, Acts,
        "Whether zero-byte files take part in a mirror";
    MissedPackets: Linux, Integer, "requests", "1", "65535", "-", "5", No, Later("failover"),
        "Unanswered target requests tolerated before failover when monitoring by network response";
    MoveOrphanedFiles: Both, Bool, "-", "-", "-", "0 = delete; 1 = move", "0", No, Acts,
        "Delete orphan files or move them to MoveOrphansDir";
    MoveOrphansDir: Both, Path, "path", "-", "-", "any valid path", "installation directory", No, Acts,
        "Directory that receives orphan files when MoveOrphanedFiles is 1";
    NetPort: Linux, Integer, "port", "1025", "65535", "-", "1500", Yes, Acts,
        "TCP port for communication";
    NetworkRetry: Both, Integer, "seconds", ">0", "-", "any positive number", "10", No, Later("connections over the network"),
        "Interval between attempts to reconnect to the target";
    NetworkStatusInterval: Both, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("internal to the product"),
        "Internal, network communication";
    NetworkTimeout: Both, Integer, "seconds", "-", "-", "any integer", "120", No, Later("connections over the network"),
        "Longest wait for data on a connection before it is closed";
    NodeLockedLicenseKey: Both, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("internal to the product"),
        "Internal, licensing";
    OpBufferSize: Linux, Integer, "operations", "0", "-", "0 = no limit; 1 or more = limit", "0", No, Acts,
        "Operations kept in the memory queue before disk queuing starts";
    PingFrequency: Linux, Integer, "seconds", "1", "65535", "-", "5", No, Later("failover"),
        "Time between pings from the monitoring target to the source";
    PreFailbackWait: Linux, Bool, "-", "-", "-", "0 = no wait; 1 = wait", "0", No, Later("failover"),
        "Wait for the target's pre-failback script before the failback is finished";
    PreFailoverWait: Linux, Bool, "-", "-", "-", "0 = no wait; 1 = wait", "0", No, Later("failover"),
        "Wait for the target's pre-failover script before the failover is finished";
    QJournalDir: Both, Path, "path", "-", "-", "any valid path", "directory chosen at installation", No, Acts,
        "Directory of the disk queue";
    QJournalFileSize: Both, Integer, "MB", "-", "4095", "any valid file size", "5", No, Acts,
        "Size of each queue transaction log file";
    QJournalFreeSpaceMin: Both, Integer, "MB", "-", "-", "depends on the disk", "250", No, Acts,
        "Free space in QJournalDir that has to remain at all times";
    QJournalPreload: Both, Unspecified, "operations", "-", "-", "-", "-", Unspecified, None("internal to the product"),
        "Operations fetched per read of the disk queue";
    QJournalSpaceMax: Both, Integer, "MB", "0", "-", "Unlimited, or a number depending on the disk; 0 = no disk queuing", "Unlimited", No, Acts,
        "Disk space in QJournalDir that the queue may take; reaching it starts the auto-disconnect";
    QLogWriteThrough: Both, Bool, "-", "-", "-", "0 = not write-through; 1 = write-through", "0", No, Acts,
        "Write the disk queue in write-through mode";
    QMemoryBufferMax: Both, Integer, "MB", "32", "4095", "-", "256", Yes, Acts,
        "System memory that, once exceeded, leads to queuing on disk";
    QueueSizeAlertThreshold: Both, Integer, "percent", "-", "-", "any valid percentage", "50", Yes, Acts,
        "Queue usage that raises an alert";
    RemapLink: Both, Bool, "-", "-", "-", "0 = link path left as it is; 1 = link path rewritten to the target path", "1", No, Acts,
        "What happens to a soft link that points inside the replication set";
    RemoveAllOrphans: Both, Bool, "-", "-", "-", "0 = only those selected by RemoveOrphansTime; 1 = all", "1", No, Acts,
        "Which orphan files are removed";
    RemoveOrphansTime: Both, Integer, "minutes", "1", "131072", "-", "60", No, Acts,
        "Age an orphan file must reach before it is removed";
    ReplaceTarget: Linux, Bool, "-", "-", "-", "0 = keep; 1 = replace", "0", No, Later("failover"),
        "Whether the source identity replaces that of the target at failover";
    RepSetDBName: Both, FileName, "file name", "-", "-", "any valid file name", "DblTake.db", No, Acts,
        "Database file of the protected data sets";
    RestoreOverwrite: Linux, Choice, "-", "-", "-", "0 = never; 1 = always; 2 = only when older", "2", No, Later("restoration"),
        "Whether a restoration overwrites existing files";
    RestorePrompting: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    RestoreSpecialExecutableHandling: Linux, Bool, "-", "-", "-", "0 = no alternate file; 1 = alternate file", "1", No, Later("restoration"),
        "Restore a running executable into an alternate file";
    SaveStatFile: Both, Bool, "-", "-", "-", "0 = overwrite; 1 = keep the old file as statistic-old.sts", "1", No, Acts,
        "Keep or overwrite statistic.sts";
    ScheduleFile: Both, FileName, "file name", "-", "-", "any valid file name", "Schedule.sts", Yes, Acts,
        "Database file of the transmission schedules";
    ScheduleInterval: Both, Integer, "seconds", "1", "3600", "-", "1", Yes, Acts,
        "Interval at which transmission schedules are examined for start and stop";
    ShareUpdateInterval: Linux, Integer, "minutes", "1", "65535", "-", "60", No, Later("failover"),
        "Interval at which the share file goes to the target";
    SkipCompressionFileExt: Both, List, "file extensions", "-", "-", "period-delimited list", "mp3.exe.wmv.wma.qt.mpg.mpeg.zip.jpg.jpeg.tiff.rar.cab.tgz.bz.bz2.z.pkg.sea.sit.sitx", No, Acts,
        "File types never compressed, even with compression on";
    SmallFileThreshold: Linux, Integer, "bytes", "-", "-", "any integer", "65536", No, Acts,
        "Files smaller than this are mirrored whole";
    SourcePendingAcks: Both, Integer, "operations", "100", "20000", "-", "2000", No, Later("connections over the network"),
        "Operations taken by the target queue for which the source still awaits an answer";
    StatsFileName: Both, FileName, "file name", "-", "-", "any valid file name", "statistic.sts", No, Acts,
        "Default file for the statistics log";
    StatsLoggingOn: Both, Bool, "-", "-", "-", "0 = not started; 1 = started", "0", No, Acts,
        "Start statistics logging when the product starts";
    StatsMaxFileSize: Both, Integer, "bytes", "-", "-", "limited by free disk space", "10485760", No, Acts,
        "Largest size of statistic.sts";
    StatsMaxObjects: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    StatsPort: Linux, Integer, "port", "1025", "65535", "-", "1506", No, Acts,
        "Port at which DTStat fetches statistics";
    StatsShmSize: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    StatsWriteInterval: Both, Integer, "minutes", "0", "65535", "-", "5", No, Acts,
        "Interval at which statistics are written to statistic.sts";
    SystemMemoryLimit: Both, Integer, "-", "-", "-", "-", "-", Unspecified, None("internal to the product"),
        "Amount of available memory, recorded by the service at every start";
    TargetPaused: Both, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("internal to the product"),
        "Internal: whether the target machine is paused";
    TargetPausedVirtual: Both, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("internal to the product"),
        "Internal: which target machines are paused";
    TCPBufferSize: Both, Integer, "bytes", "4096", "7500000", "0 also accepted on Linux = automatic tuning", "375000", Yes, Later("connections over the network"),
        "Size of the TCP/IP buffer of the operating system";
    TGCloseDelay: Both, Integer, "milliseconds", "0", "2000", "-", "1000", No, Acts,
        "How long a file stays open on the target";
    TGExecutionRetryLimit: Both, Integer, "attempts", "0", "65536", "0 = never discarded, retried until applied", "0", No, Acts,
        "Retries of an unfinished target operation until it is thrown away";
    TGMirrorCapacityHigh: Both, Integer, "percent", "2", "75", "-", "20", No, Later("flow control over the network"),
        "Share of system memory filled with mirror data at which the target makes the source pause mirror operations";
    TGMirrorCapacityLow: Both, Integer, "percent", "1", "75", "-", "15", No, Later("flow control over the network"),
        "Share of system memory filled with mirror data at which the target makes the source resume mirror operations";
    TGRetryLocked: Both, Integer, "seconds", "0", "65536", "-", "3", No, Acts,
        "Shortest wait before a failed operation is tried again on the target";
    TGThreadCount: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
    TGUseExtendedQueue: Linux, Bool, "-", "-", "-", "0 = use it; 1 = do not use it", "1", No, Later("real-time replication"),
        "Whether the extended queue is used";
    TGWriteCache: Both, Bool, "-", "-", "-", "0 = write straight to disk; 1 = go through the intermediate cache", "0 (full server to ESX jobs); 1 (all other job types)", No, None("the target of this version leaves caching to the kernel"),
        "Whether target writes pass the intermediate cache";
    TGWriteFailureBeforeNotification: Both, Integer, "retries", "0", "1024", "0 = no notification", "10", Yes, Acts,
        "Retries of an operation on the target before the target status shows it";
    UNetPort: Linux, Integer, "port", "1025", "65535", "-", "1500", Yes, Later("connections over the network"),
        "UDP port for communication";
    UpdateInterval: Linux, Integer, "seconds", "1", "9999", "-", "1", No, Later("failover"),
        "Refresh interval of the monitored machines in the Failover Control Center";
    UserIntervention: Linux, Bool, "-", "-", "-", "0 = not required; 1 = required", "1", No, Later("failover"),
        "Whether a person has to start the failover";
    UseShareFile: Linux, Bool, "-", "-", "-", "0 = shares now in target memory; 1 = make and use a share file", "1", No, Later("failover"),
        "Where the share information comes from";
    VerifyLogAppend: Both, Bool, "-", "-", "-", "0 = overwrite; 1 = append", "1", No, Acts,
        "Append to DTVerify.log or overwrite it";
    VerifyLogLimit: Both, Integer, "bytes", "-", "4 GB", "limited by free disk space", "1048576", No, Acts,
        "Largest size of DTVerify.log";
    VerifyLogName: Both, FileName, "file name", "-", "-", "any valid file name", "DTVerify.log", No, Acts,
        "File name of the verification log";
    VerifyRetryInterval: Both, Integer, "minutes", "-", "-", "any valid number", "3", No, Acts,
        "Time from a failed verification to the next try";
    VerifyRetryLimit: Both, Integer, "retries", "-", "-", "any valid number", "5", No, Acts,
        "How often a verification is tried again";
    WarningPings: Linux, Unspecified, "-", "-", "-", "-", "-", Unspecified, None("obsolete in the product"),
        "Obsolete, has no effect any more";
};
