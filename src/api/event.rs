//! What a machine tells while it works on a request.

use serde::{Deserialize, Serialize};

/// The receiver of events of one call. It is also asked whether to go on.
pub trait Watch {
    /// Called from the calling thread, at most some ten times a second for progress.
    fn event(&mut self, event: Event);

    /// True when the caller wants the call to end early (Ctrl-C). What was started on the machine goes on.
    fn cancelled(&self) -> bool {
        false
    }

    /// False where nobody hears of events: what is told once waits for somebody who does.
    fn hears(&self) -> bool {
        true
    }
}

/// Ignores events, never cancels.
impl Watch for () {
    fn event(&mut self, _: Event) {}

    fn hears(&self) -> bool {
        false
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// How far a mirror, verify, calculation or wait is.
    Progress(Progress),
    /// One line of a dry run: what would be sent and why.
    WouldSend {
        /// Path on the source, control bytes escaped.
        path: String,
        /// Why it would be sent.
        reason: MirrorReason,
        /// Bytes that would be sent.
        bytes: u64,
    },
    /// A warning or information for the person who called.
    Notice(String),
}

/// Why a mirror sends something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MirrorReason {
    /// A full mirror sends every file.
    Full,
    /// Not on the target.
    Missing,
    /// Other kind of file on the target.
    Type,
    /// Size differs.
    Size,
    /// Date or time differs.
    Time,
    /// Newer on the source.
    Newer,
    /// Content has to be compared by checksums.
    Checksum,
    /// Owner, mode, extended attributes or link text differ.
    Attributes,
    /// Other hard links on the target.
    Links,
    /// On the target only: an orphan that would be removed.
    Orphan,
}

impl std::fmt::Display for MirrorReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MirrorReason::Full => "full mirror",
            MirrorReason::Missing => "missing on target",
            MirrorReason::Type => "different type",
            MirrorReason::Size => "different size",
            MirrorReason::Time => "different time",
            MirrorReason::Newer => "newer on source",
            MirrorReason::Checksum => "to be compared by checksum",
            MirrorReason::Attributes => "different attributes",
            MirrorReason::Links => "different hard links",
            MirrorReason::Orphan => "orphan on target",
        })
    }
}

/// What a connection's mirror machinery is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Idle,
    Calculating,
    Mirroring,
    Waiting,
    RemovingOrphans,
    Verifying,
    Paused,
}

/// A snapshot of work under way. All sizes in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub phase: Phase,
    pub files_done: u64,
    pub bytes_done: u64,
    /// Known after a calculation only (MIR-09).
    pub files_total: Option<u64>,
    pub bytes_total: Option<u64>,
    pub errors: u64,
    /// Path being worked on, control bytes escaped; may be empty.
    pub path: String,
}
