//! What a connection and its real-time replication know of each other: the handle by which it is steered, and the numbers
//! that everybody may read while it runs.

use super::tasks::Submitted;
use crate::api::{ApiError, Code, ConnectionId, Watch};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// A running replication. Dropping the last handle without [`Replication::stop`] stops it, too.
pub trait Replication: Send + Sync + std::fmt::Debug {
    fn shared(&self) -> &ReplicationShared;

    /// For the engine's source, which knows what it made.
    fn as_any(&self) -> &dyn std::any::Any;

    /// Returns true when everything that was changed on the source before the call is applied on the target, false when
    /// the time ran out first. An error when it can no longer happen.
    fn barrier(&self, timeout: Option<Duration>, watch: &mut dyn Watch) -> Result<bool, ApiError>;

    /// Gives a task its place in the log; returns once it has it. An error when it can have none, or the caller gave up: it was not queued.
    fn queue_task(&self, _task: &Arc<Submitted>, _watch: &mut dyn Watch) -> Result<(), ApiError> {
        Err(ApiError::bare(Code::OperationOrCommandIsNotSupported))
    }

    /// The job that sends over the stream shall end, and what it has sent cannot be answered now: it waits for no answers any more.
    fn let_job_go(&self) {}

    /// False once its target has ended: a mirror connects it anew.
    fn is_connected(&self) -> bool {
        true
    }

    /// Is all that was sent applied, as far as the target has told? Of what is held back nothing was. Does not wait.
    fn is_all_answered(&self) -> bool {
        true
    }

    /// The same, and nothing that was logged is still to be sent. Does not wait.
    fn is_all_applied(&self) -> bool {
        true
    }

    /// Does it go on with what was known of the target before the service was started again? Then the copy is whole but for what was missed.
    fn is_resumed(&self) -> bool {
        false
    }

    /// The copy is not what it was taken for: all is compared by the next mirror, also after a restart of the service.
    fn distrust(&self) {}

    /// Goes on after [`Hold`]: what was held back is done (REPLICATION START). False: nothing was held. Does not block.
    fn release(&self) -> bool;

    /// Ends it. What was changed up to now is sent first unless `discard`; blocks until the threads have ended, at most
    /// `limit` (`false`: they have not). Called again with `discard` after that, or meanwhile from another thread: then it
    /// ends soon, and `ops_queued` says how much was left.
    fn stop(&self, discard: bool, limit: Duration) -> bool;

    /// All shall end, and what is under way be dropped, while a job still uses the stream: so that the job ends. Does not wait.
    fn abandon(&self) {}

    /// Breaks the stream as the death of its target does: what is under way is lost, and a remirror is due. For tests.
    #[doc(hidden)]
    fn cut(&self) {}

    /// Is a change of that source path in the queue? None: that cannot be told.
    fn is_queued(&self, _path: &Path) -> Option<bool> {
        None
    }
}

/// Replication Status (availability.md 9.1, 29.1) beside `Stopped`, which is the absence of a replication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// Changes are known that the target does not have yet.
    Replicating,
    /// Nothing to replicate.
    Ready,
    /// A mirror has to run before changes can be sent, or something is held back.
    #[default]
    Pending,
    /// There was no room for events: all that is followed is being compared with what was sent.
    OutOfMemory,
}

/// Why replication waits for a person. The words for STATUS say what to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It would remove this many of that many entries of the copy (`MassDeletionGuard`).
    MassDeletion { entries: u64, of: u64 },
    /// The root is not there any more, or another directory or file system has taken its place.
    RootGone { path: String },
    /// The root was renamed or removed (REP-31); going on removes its copy.
    RootRenamed { path: String },
}

impl Hold {
    /// What happened, and the command that lets it go on.
    pub fn words(&self, connection: ConnectionId) -> String {
        let (what, going_on) = match self {
            Hold::MassDeletion { entries, of } => (
                format!("{entries} of {of} entries of the copy would be removed (MassDeletionGuard)"),
                "removes them",
            ),
            Hold::RootGone { path } => (
                format!("{path} is gone, or something else has taken its place"),
                "takes what is there now for the source",
            ),
            Hold::RootRenamed { path } => {
                (format!("{path} was renamed or removed"), "removes its copy from the target")
            }
        };
        format!("replication is held: {what}; REPLICATION START {connection} goes on and {going_on}")
    }
}

/// What a connection's replication has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Counts that move when anything is sent or applied.
    pub counts: [u64; 5],
    /// Its target has something to apply, and is not trying it again.
    pub has_work: bool,
}

/// How changes of one file system are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Mount point, escaped.
    pub place: String,
    /// `fanotify` or `inotify`.
    pub name: &'static str,
    /// Why it is not fanotify.
    pub reason: Option<String>,
}

/// Counters and words of a running replication. Operations and bytes as reference-guide.md 3 names them.
#[derive(Debug, Default)]
pub struct ReplicationShared {
    /// Operations and bytes put into the source's queue.
    pub ops_generated: AtomicU64,
    pub ops_transmitted: AtomicU64,
    /// Content bytes that were sent.
    pub bytes_transmitted: AtomicU64,
    /// Content bytes that the target has applied.
    pub bytes_applied: AtomicU64,
    /// Operations and bytes in the queue: generated and not applied. Content is bound late, so bytes are an estimate until
    /// they are read.
    pub ops_queued: AtomicU64,
    pub bytes_queued: AtomicU64,
    /// Bytes of memory that the queue takes (Intermediate Queue).
    pub memory_queue: AtomicU64,
    /// Bytes of queue segments on disk.
    pub disk_queue: AtomicU64,
    /// Percent of the queue's memory, or of its disk space, that are in use: the larger share (TRN-17).
    pub queue_percent: AtomicU64,
    /// What the target has taken and not done: operations, and bytes of memory and of queue segments.
    pub target_ops: AtomicU64,
    pub target_memory: AtomicU64,
    pub target_disk: AtomicU64,
    /// Changes that could not be sent or applied.
    pub errors: AtomicU64,
    /// The target has tried an operation again so often that people are told (`TGWriteFailureBeforeNotification`).
    pub retrying: AtomicBool,
    /// A task runs on the target, which does nothing else meanwhile.
    pub task_runs: AtomicBool,
    words: Mutex<Words>,
    /// Mirrors that were required so far.
    required: AtomicU64,
    listener: OnceLock<Listener>,
}

/// Hears that a person, or the connection, has something to do: a hold or a required mirror came or went.
struct Listener(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

#[derive(Clone, Debug, Default)]
struct Words {
    activity: Activity,
    hold: Option<Hold>,
    last_error: Option<String>,
    last_file: String,
    backends: Vec<Backend>,
    /// A remirror is needed: why.
    mirror_required: Option<String>,
    /// A mirror of what is dirty is all that is needed.
    remirror_due: bool,
    dirty_only: bool,
}

impl ReplicationShared {
    /// For the service's watchdog.
    pub fn progress(&self) -> Progress {
        let counts = [
            &self.ops_transmitted,
            &self.bytes_transmitted,
            &self.bytes_applied,
            &self.target_ops,
            &self.target_memory,
        ];
        let stands = self.retrying.load(Relaxed) || self.task_runs.load(Relaxed);
        let has_work = self.target_ops.load(Relaxed) > 0 && !stands;
        Progress { counts: counts.map(|count| count.load(Relaxed)), has_work }
    }

    pub fn activity(&self) -> Activity {
        self.words().activity
    }

    pub fn set_activity(&self, activity: Activity) {
        self.words().activity = activity;
    }

    pub fn hold(&self) -> Option<Hold> {
        self.words().hold.clone()
    }

    pub fn set_hold(&self, hold: Option<Hold>) {
        self.change(|words| words.hold != hold, |words| words.hold = hold.clone());
    }

    /// Path and reason of the newest failure, escaped.
    pub fn last_error(&self) -> Option<String> {
        self.words().last_error.clone()
    }

    pub fn fail(&self, path: &str, reason: &str) {
        self.errors.fetch_add(1, Relaxed);
        self.words().last_error = Some(format!("{path}: {reason}"));
    }

    /// The file sent last, escaped (9.1 row 25).
    pub fn last_file(&self) -> String {
        self.words().last_file.clone()
    }

    pub fn set_last_file(&self, path: String) {
        self.words().last_file = path;
    }

    pub fn backends(&self) -> Vec<Backend> {
        self.words().backends.clone()
    }

    pub fn set_backends(&self, backends: Vec<Backend>) {
        self.words().backends = backends;
    }

    /// Why the target's data cannot be trusted without a mirror; None while it can.
    /// How often a mirror was required so far.
    pub fn required(&self) -> u64 {
        self.required.load(Relaxed)
    }

    pub fn mirror_required(&self) -> Option<String> {
        self.words().mirror_required.clone()
    }

    /// Changes were lost (Some), or it turned out that none were; a person has to start the mirror. The connection itself
    /// takes it back when a mirror begins: see [`begin_mirror`](Self::begin_mirror).
    pub fn require_mirror(&self, why: Option<String>) {
        self.required.fetch_add(u64::from(why.is_some()), Relaxed);
        self.change(
            |words| words.mirror_required != why || words.remirror_due,
            |words| {
                words.remirror_due = false;
                words.mirror_required = why.clone();
            },
        );
    }

    /// As `require_mirror`, and it is known what is dirty: a mirror of that alone puts it right, so the connection begins one
    /// by itself where `AutoRemirror` says so.
    pub fn require_remirror(&self, why: String) {
        self.required.fetch_add(1, Relaxed);
        self.change(
            |words| !words.remirror_due || words.mirror_required.as_ref() != Some(&why),
            |words| {
                words.remirror_due = true;
                words.mirror_required = Some(why.clone());
            },
        );
    }

    /// True after [`require_remirror`](Self::require_remirror), until a mirror begins.
    pub fn auto_remirror_due(&self) -> bool {
        self.words().remirror_due
    }

    /// The connection begins a mirror: what was missed up to now is this mirror's to bring, so nothing is required any more.
    /// What is missed from now on is said anew, and counts against the mirror's end. `dirty_only`: the mirror may leave out
    /// what is known to be the same.
    pub fn begin_mirror(&self, dirty_only: bool) {
        let mut words = self.words();
        words.mirror_required = None;
        words.remirror_due = false;
        words.dirty_only = dirty_only;
    }

    /// Whether the mirror that runs, or ran last, is one of what is dirty only.
    pub fn mirrors_dirty_only(&self) -> bool {
        self.words().dirty_only
    }

    /// Calls back on each change of hold and required mirror. Once, before the replication starts. The callback must not
    /// block, and may be called from any thread.
    pub fn set_listener(&self, listener: Box<dyn Fn() + Send + Sync>) {
        // A second one would be a second owner; there is none.
        let _ = self.listener.set(Listener(listener));
    }

    /// Changes the words and tells the listener, without holding the lock.
    fn change(&self, differs: impl FnOnce(&Words) -> bool, set: impl FnOnce(&mut Words)) {
        let mut words = self.words();
        let changes = differs(&words);
        set(&mut words);
        drop(words);
        if let (true, Some(Listener(tell))) = (changes, self.listener.get()) {
            tell();
        }
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_hears_changes_and_only_those() {
        let shared = ReplicationShared::default();
        let heard = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&heard);
        shared.set_listener(Box::new(move || {
            count.fetch_add(1, Relaxed);
        }));
        let hold = Hold::RootGone { path: "/srv".into() };
        shared.set_hold(Some(hold.clone()));
        shared.set_hold(Some(hold));
        assert_eq!(heard.load(Relaxed), 1);
        shared.set_hold(None);
        shared.require_mirror(Some("an overflow".into()));
        shared.require_remirror("an overflow".into());
        shared.set_activity(Activity::Ready);
        assert_eq!(heard.load(Relaxed), 4);
    }

    #[test]
    fn a_mirror_that_begins_takes_over_what_was_missed() {
        let shared = ReplicationShared::default();
        shared.require_remirror("the queue was full".into());
        assert!(shared.auto_remirror_due());
        shared.begin_mirror(true);
        assert_eq!((shared.mirror_required(), shared.auto_remirror_due()), (None, false));
        assert!(shared.mirrors_dirty_only());
        shared.require_mirror(Some("missed meanwhile".into()));
        assert!(shared.mirror_required().is_some() && !shared.auto_remirror_due());
    }

    #[test]
    fn a_hold_says_what_to_type() {
        let held = Hold::MassDeletion { entries: 70, of: 100 }.words(ConnectionId(3));
        assert!(held.contains("70 of 100") && held.contains("REPLICATION START 3"), "{held}");
    }
}
