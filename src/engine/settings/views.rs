//! Typed views: what the engine's parts read. Taken when their work starts, so a later SET does not change it midway.

use super::Settings;
use crate::engine::orphans::TargetOrphans;
use crate::engine::stats::Received;
use crate::engine::tasks::Power;
use crate::engine::transmission::extensions;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What mirror and verify read. Taken once when a job starts.
#[derive(Clone, Debug)]
pub struct MirrorSettings {
    /// A line that has failed is dialled anew (AutoReconnect).
    pub reconnects: bool,
    pub checksum_all: bool,
    /// 0 never, 1 always, 2 only when the target's file is older.
    pub overwrite: Overwrite,
    pub zero_k_files: bool,
    pub chunk_size: usize,
    pub remap_link: bool,
    pub extended_attributes: bool,
    /// Sends owner, group and mode (inverse of DisableAttributeReplication).
    pub attributes: bool,
    pub sparse_files: bool,
    pub small_file_threshold: u64,
    /// Bounds of memory: operations under way.
    pub mirror_queue_limit: usize,
    /// Retries of an operation that failed on the target or a file that could not be read or settled
    /// (TGExecutionRetryLimit; 0 would be for ever, a mirror then retries 3 times at its end).
    pub retry_limit: u32,
    /// Seconds between retries (TGRetryLocked).
    pub retry_delay_s: u32,
    /// Retries of an operation until the target status shows it; 0: it never does (TGWriteFailureBeforeNotification).
    pub notify_after: u32,
    /// Bytes of the largest write that replication sends (MaxWriteChunkSize).
    pub write_chunk: usize,
    /// Packets of replication for one of a mirror (HPQueueRatio).
    pub ratio: u32,
    /// Removals on the source are not followed (IgnoreDeleteOps).
    pub ignore_deletes: bool,
    /// How long the target keeps a file open that was changed in place (TGCloseDelay).
    pub close_delay: Duration,
    pub queue: QueueSettings,
    /// Where the queue's files lie (QJournalDir).
    pub queue_dir: PathBuf,
    pub orphans: OrphanSettings,
    /// This machine's way with orphans as a target, as it is at the time. None: `orphans`.
    pub target_orphans: Option<Arc<TargetOrphans>>,
    /// What runs tasks that come to this machine as a target. None: none are run.
    pub power: Option<Arc<Power>>,
    /// Where this machine counts as a target. None: nowhere.
    pub received: Option<Arc<Received>>,
}

/// What STATLOG reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsSettings {
    /// A name in the log directory (StatsFileName).
    pub file: String,
    /// An earlier file is kept (SaveStatFile).
    pub keep: bool,
    /// Bytes that the file may take (StatsMaxFileSize).
    pub limit: u64,
    /// Between two snapshots (StatsWriteInterval); zero: as often as it is looked.
    pub interval: Duration,
    /// It begins with the engine (StatsLoggingOn).
    pub at_start: bool,
}

/// MirrorOverwrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    Never,
    Always,
    Older,
}

/// The target's way with orphans (ORP-08, ORP-09).
#[derive(Clone, Debug)]
pub struct OrphanSettings {
    /// Move to this directory instead of deleting.
    pub move_to: Option<PathBuf>,
    /// MoveOrphansDir, whether orphans are moved or not.
    pub directory: Option<PathBuf>,
    /// Only those not modified for so many minutes.
    pub min_age_minutes: Option<u32>,
    pub log_each: bool,
    /// Most that are sent to the target at a time (MaxRemoveOrphansOpSize).
    pub piece: usize,
    /// Percent of the target's entries that may be removed at once without a person (mass-deletion guard, X).
    pub guard_percent: u8,
}

impl Default for MirrorSettings {
    fn default() -> Self {
        Self {
            reconnects: true,
            checksum_all: true,
            overwrite: Overwrite::Always,
            zero_k_files: true,
            chunk_size: 65536,
            remap_link: true,
            extended_attributes: true,
            attributes: true,
            sparse_files: true,
            small_file_threshold: 65536,
            mirror_queue_limit: 1000,
            retry_limit: 0,
            retry_delay_s: 3,
            notify_after: 10,
            write_chunk: 65536,
            ratio: 5,
            ignore_deletes: false,
            close_delay: Duration::from_secs(1),
            queue: QueueSettings::default(),
            queue_dir: std::env::temp_dir(),
            orphans: OrphanSettings {
                move_to: None,
                directory: None,
                min_age_minutes: None,
                log_each: false,
                piece: 1000,
                guard_percent: 50,
            },
            target_orphans: None,
            power: None,
            received: None,
        }
    }
}

/// The automatic mirror (MIR-20, MIR-21, SET-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoRemirror {
    /// AutoReconnect: the connection comes back by itself.
    pub reconnect: bool,
    /// AutoRemirror; None: a person begins the mirror.
    pub kind: Option<RemirrorKind>,
    /// AutoRemirrorRetry.
    pub retry: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemirrorKind {
    Full,
    Different,
    /// Only blocks that differ; of every file, or of those whose size or time differs.
    Checksum {
        all: bool,
    },
}

/// Where and how the engine log is written (reference-guide.md 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub directory: PathBuf,
    /// The file names' beginning, `dtlog`.
    pub base: String,
    /// 0 nothing, 1 alerts, 2 alerts and release messages, 3 debug messages too.
    pub level: u8,
    /// Bytes of one file.
    pub max_size: u64,
    pub max_files: usize,
}

/// Where and how a verification's log is written (VER-20 to -23).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyLogSettings {
    pub directory: PathBuf,
    /// The file name's second half: `<repset> DTVerify.log`.
    pub name: String,
    /// Bytes at which nothing more is written.
    pub limit: u64,
    pub append: bool,
}

impl VerifyLogSettings {
    /// The file of a set: `<repset> DTVerify.log`.
    pub fn file(&self, repset: &str) -> PathBuf {
        self.directory.join(format!("{repset} {}", self.name))
    }
}

/// What a replication queue may take (QUE-01 to -06).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Bytes of memory (QMemoryBufferMax).
    pub memory_max_bytes: u64,
    /// Share of it at which queuing to disk starts (MemoryQueueToDiskThreshold).
    pub to_disk_percent: u8,
    /// Bytes of a queue file (QJournalFileSize).
    pub file_size_bytes: u64,
    /// Bytes on disk: None without limit, 0 no queuing to disk (QJournalSpaceMax).
    pub space_max: Option<u64>,
    /// Bytes that stay free on the volume (QJournalFreeSpaceMin).
    pub free_min_bytes: u64,
    /// Usage that raises an alert (QueueSizeAlertThreshold).
    pub alert_percent: u8,
    /// Each write waits for the disk (QLogWriteThrough).
    pub write_through: bool,
    /// Operations in memory before queuing to disk starts; 0 without limit (OpBufferSize).
    pub op_limit: u64,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            memory_max_bytes: 256 * MB,
            to_disk_percent: 100,
            file_size_bytes: 5 * MB,
            space_max: None,
            free_min_bytes: 250 * MB,
            alert_percent: 50,
            write_through: false,
            op_limit: 0,
        }
    }
}

/// The unit of the queue's sizes.
const MB: u64 = 1 << 20;

/// A number of the table as the type a part works with; ones that do not fit become the greatest that does.
fn clamp<T: TryFrom<u64>>(value: u64, greatest: T) -> T {
    T::try_from(value).unwrap_or(greatest)
}

impl Settings {
    pub fn mirror(&self) -> MirrorSettings {
        MirrorSettings {
            reconnects: self.on("AutoReconnect"),
            checksum_all: self.on("ChecksumAll"),
            overwrite: match self.number("MirrorOverwrite") {
                0 => Overwrite::Never,
                2 => Overwrite::Older,
                _ => Overwrite::Always,
            },
            zero_k_files: self.on("MirrorZeroKFiles"),
            chunk_size: clamp(self.number("MirrorChunkSize"), usize::MAX),
            remap_link: self.on("RemapLink"),
            extended_attributes: self.on("ExtendedAttributes"),
            attributes: !self.on("DisableAttributeReplication"),
            sparse_files: self.on("EnableSparseFileMirroring"),
            small_file_threshold: self.number("SmallFileThreshold"),
            mirror_queue_limit: clamp(self.number("MirrorQueueLimit"), usize::MAX),
            retry_limit: clamp(self.number("TGExecutionRetryLimit"), u32::MAX),
            retry_delay_s: clamp(self.number("TGRetryLocked"), u32::MAX),
            notify_after: clamp(self.number("TGWriteFailureBeforeNotification"), u32::MAX),
            write_chunk: clamp(self.number("MaxWriteChunkSize"), usize::MAX),
            ratio: clamp(self.number("HPQueueRatio"), u32::MAX),
            ignore_deletes: self.on("IgnoreDeleteOps"),
            close_delay: Duration::from_millis(self.number("TGCloseDelay")),
            queue: self.queue(),
            queue_dir: self.queue_directory(),
            orphans: self.orphans(),
            target_orphans: None,
            power: None,
            received: None,
        }
    }

    /// This machine's way with orphans.
    pub fn orphans(&self) -> OrphanSettings {
        let directory = self.path("MoveOrphansDir");
        OrphanSettings {
            move_to: self.on("MoveOrphanedFiles").then(|| directory.clone()),
            directory: Some(directory),
            min_age_minutes: (!self.on("RemoveAllOrphans"))
                .then(|| clamp(self.number("RemoveOrphansTime"), u32::MAX)),
            log_each: self.on("LogAllOrphans"),
            piece: clamp(self.number("MaxRemoveOrphansOpSize"), usize::MAX),
            guard_percent: clamp(self.number("MassDeletionGuard"), 100),
        }
    }

    /// Are tasks run on this machine (SET-02)?
    pub fn runs_tasks(&self) -> bool {
        self.on("EnableTaskCmdProcessing")
    }

    /// Where tasks are kept.
    pub fn task_file(&self) -> PathBuf {
        self.data_path().join("tasks.sts")
    }

    pub fn log(&self) -> LogSettings {
        LogSettings {
            directory: self.path("LogDir"),
            // The guide compares the name without case, and writes file names in small letters.
            base: self.text("LogFile").to_lowercase(),
            level: clamp(self.number("LogMessageLevel"), 3),
            max_size: self.number("MaxLogFileSize"),
            max_files: clamp(self.number("MaxNumberofLogFiles"), 999),
        }
    }

    /// After which time, and how often, a verification at a set time that failed is tried again.
    pub fn verify_retry(&self) -> (Duration, u32) {
        let minutes = self.number("VerifyRetryInterval").min(u64::from(u32::MAX));
        (Duration::from_secs(60 * minutes), clamp(self.number("VerifyRetryLimit"), u32::MAX))
    }

    pub fn verify_log(&self) -> VerifyLogSettings {
        VerifyLogSettings {
            directory: self.path("LogDir"),
            name: self.text("VerifyLogName"),
            limit: self.number("VerifyLogLimit"),
            append: self.on("VerifyLogAppend"),
        }
    }

    pub fn queue(&self) -> QueueSettings {
        let bytes = |name| self.number(name).saturating_mul(MB);
        QueueSettings {
            memory_max_bytes: bytes("QMemoryBufferMax"),
            to_disk_percent: clamp(self.number("MemoryQueueToDiskThreshold"), 100),
            file_size_bytes: bytes("QJournalFileSize"),
            space_max: (self.text("QJournalSpaceMax") != "Unlimited").then(|| bytes("QJournalSpaceMax")),
            free_min_bytes: bytes("QJournalFreeSpaceMin"),
            alert_percent: clamp(self.number("QueueSizeAlertThreshold"), 100),
            write_through: self.on("QLogWriteThrough"),
            op_limit: self.number("OpBufferSize"),
        }
    }

    /// `QJournalDir`: where the queues have their directories.
    pub fn queue_directory(&self) -> PathBuf {
        self.path("QJournalDir")
    }

    /// Whether a connection measures its set first, when its command does not say.
    pub fn calculate_on_connect(&self) -> bool {
        self.on("CalculateOnConnect")
    }

    /// What happens by itself after replication missed changes (`AutoReconnect`, `AutoRemirror`).
    pub fn auto_remirror(&self) -> AutoRemirror {
        AutoRemirror {
            reconnect: self.on("AutoReconnect"),
            kind: match self.number("AutoRemirror") {
                0 => None,
                2 => Some(RemirrorKind::Full),
                3 => Some(RemirrorKind::Different),
                4 => Some(RemirrorKind::Checksum { all: true }),
                _ => Some(RemirrorKind::Checksum { all: false }),
            },
            retry: Duration::from_secs(self.number("AutoRemirrorRetry")),
        }
    }

    /// Whether MIRROR START ... CLEAN is allowed (else -146).
    pub fn cleaner(&self) -> bool {
        self.on("Cleaner")
    }

    /// Of the statistics file.
    pub fn statistics(&self) -> StatisticsSettings {
        StatisticsSettings {
            file: self.text("StatsFileName"),
            keep: self.on("SaveStatFile"),
            limit: self.number("StatsMaxFileSize"),
            interval: Duration::from_secs(60 * self.number("StatsWriteInterval")),
            at_start: self.on("StatsLoggingOn"),
        }
    }

    /// `StatsPort`: where a service answers DTStat on the network.
    pub fn stats_port(&self) -> u16 {
        // Its range was checked.
        u16::try_from(self.number("StatsPort")).unwrap_or(1506)
    }

    /// `NetPort`: where a service answers on the network.
    pub fn net_port(&self) -> u16 {
        // Its range was checked.
        u16::try_from(self.number("NetPort")).unwrap_or(1500)
    }

    /// `DataPath`: the directory of the databases.
    pub fn data_path(&self) -> PathBuf {
        self.path("DataPath")
    }

    /// The database of the connections that go on after a restart.
    pub fn connection_file(&self) -> PathBuf {
        self.data_path().join(self.text("ConnectionFile"))
    }

    /// Bytes of the smallest file that is compressed, and the extensions of files that never are.
    pub fn compression(&self) -> (u64, HashSet<String>) {
        (self.number("MinCompressionFileSize"), extensions(&self.text("SkipCompressionFileExt")))
    }

    /// How often the schedules of targets are looked at.
    pub fn schedule_interval(&self) -> Duration {
        Duration::from_secs(self.number("ScheduleInterval").max(1))
    }

    /// The database of how targets are sent to.
    pub fn schedule_file(&self) -> PathBuf {
        self.data_path().join(self.text("ScheduleFile"))
    }

    /// The database of the replication sets.
    pub fn repset_database(&self) -> PathBuf {
        self.data_path().join(self.text("RepSetDBName"))
    }
}
