//! What a connection hands to a mirror or a verification, and how both are watched and steered.
//!
//! A job runs on its own threads; `source::mirror::run` and `source::verify::run` block until it ended. The
//! connection's task reads the counters and sets the control while it runs.

use super::connect::far::Far;
use super::link::Cut;
use super::repset::{DirDecision, RuleSet};
use super::settings::{MirrorSettings, VerifyLogSettings};
use super::settled::Settled;
use super::transmission::{Traffic, Transmission};
use crate::api::{ConnectionId, MirrorReason, MirrorSpec, OrphanSpec, Phase, VerifySpec};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// What is to be mirrored or verified, and whereto.
#[derive(Clone, Debug)]
pub struct JobPlan {
    pub connection: ConnectionId,
    pub repset: String,
    pub rules: Arc<RuleSet>,
    /// One for each of the rules' roots.
    pub paths: Vec<Mapping>,
    pub settings: MirrorSettings,
    pub verify_log: VerifyLogSettings,
    /// Connections that send some of this data already, with the rules that say which (REP-34).
    pub elsewhere: Vec<(ConnectionId, Arc<RuleSet>)>,
    /// Directories that never belong (the engine's own home), as device and inode.
    pub forbidden: Vec<(u64, u64)>,
    pub sink: Sink,
    /// What the log calls source and target, e.g. `alpha`, `ip://127.0.0.1 : 1500`.
    pub source_name: String,
    pub target_name: String,
    pub target_address: String,
    /// Up to when the target is known to have what changed.
    pub settled: Arc<Settled>,
    /// Whether anything is to be sent.
    pub transmission: Arc<Transmission>,
    /// What compression has spared the connection.
    pub traffic: Arc<Traffic>,
}

impl JobPlan {
    /// `beta (ip://192.0.2.7 : 1500), replication set payroll, connection 1`
    pub fn place(&self) -> String {
        let Self { target_name, target_address, repset, connection, .. } = self;
        format!("{target_name} ({target_address}), replication set {repset}, connection {connection}")
    }

    /// The connection of another set that sends this path already; a directory only with all that is in it.
    pub fn sent_by(&self, path: &std::path::Path, directory: bool) -> Option<ConnectionId> {
        sent_by(&self.elsewhere, path, directory)
    }
}

/// Which of these connections sends a path: a directory counts only with all that is in it.
pub fn sent_by(
    others: &[(ConnectionId, Arc<RuleSet>)],
    path: &std::path::Path,
    directory: bool,
) -> Option<ConnectionId> {
    let sends = |rules: &RuleSet| match directory {
        false => rules.includes_file(path),
        true => {
            matches!(rules.enter(path), DirDecision::Enter { included: true, rules } if rules.everything())
        }
    };
    others.iter().find(|(_, rules)| sends(rules)).map(|(id, _)| *id)
}

/// A source root and the path it has on the target, both absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub source: PathBuf,
    pub target: PathBuf,
}

/// Where operations go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// A target in this process.
    Local,
    /// A target on another machine.
    Far(Arc<Far>),
    /// The null target: everything is counted, nothing is kept (JOB-15).
    Null,
}

/// Which job.
#[derive(Clone, Copy, Debug)]
pub enum JobKind {
    Mirror(MirrorSpec),
    Verify(VerifySpec),
    /// Orphans by hand.
    Orphans(OrphanSpec),
}

/// Shared by a job and those who watch it.
#[derive(Debug, Default)]
pub struct JobShared {
    pub counters: Counters,
    control: Mutex<Control>,
    changed: Condvar,
    stop: Arc<AtomicBool>,
    discard: Arc<Cut>,
    paused: AtomicBool,
    /// Whether anything is to be sent, once the job runs; None: it sends nothing.
    transmission: OnceLock<Arc<Transmission>>,
}

#[derive(Debug, Default)]
struct Control {
    paused_since: Option<Instant>,
    paused_time: Duration,
    pauses: u64,
}

/// Counts of a running job. Bytes are file content.
#[derive(Debug, Default)]
pub struct Counters {
    pub directories: AtomicU64,
    /// Files looked at and done with (sent or found the same).
    pub files: AtomicU64,
    pub files_sent: AtomicU64,
    pub bytes_sent: AtomicU64,
    /// Content that was the same (Skipped Mirror).
    pub bytes_skipped: AtomicU64,
    pub files_checksummed: AtomicU64,
    /// Bytes of the source that were compared block by block.
    pub bytes_compared: AtomicU64,
    /// Bytes handed to the target and not yet applied.
    pub bytes_queued: AtomicU64,
    /// Orphans that the target has removed, or found where only they were asked for.
    pub orphans: AtomicU64,
    pub orphan_directories: AtomicU64,
    pub orphan_bytes: AtomicU64,
    pub errors: AtomicU64,
    /// Those of them that could not be read on the source.
    pub unread: AtomicU64,
    /// Totals of a calculation; `calculated` says whether they hold.
    pub calculated: AtomicBool,
    pub files_total: AtomicU64,
    pub bytes_total: AtomicU64,
    pub phase: Mutex<Option<Phase>>,
    /// The path being worked on, escaped.
    pub path: Mutex<String>,
}

impl Counters {
    /// Counts from nothing again, after a first look that is no part of the job. Totals and phase stay.
    pub fn restart(&self) {
        let counts = [
            &self.directories,
            &self.files,
            &self.files_sent,
            &self.bytes_sent,
            &self.bytes_skipped,
            &self.files_checksummed,
            &self.bytes_compared,
            &self.bytes_queued,
            &self.orphans,
            &self.orphan_directories,
            &self.orphan_bytes,
            &self.errors,
            &self.unread,
        ];
        counts.into_iter().for_each(|count| count.store(0, Relaxed));
    }
}

impl JobShared {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Asks the job to end soon; what was sent is still applied.
    pub fn stop(&self) {
        // Under the lock, so that no waiting thread can miss it.
        let control = self.lock();
        self.stop.store(true, Relaxed);
        self.changed.notify_all();
        drop(control);
        if let Some(transmission) = self.transmission.get() {
            transmission.nudge();
        }
        self.resume();
    }

    /// It sends only while this is open. Said once, when it begins.
    pub fn sends_by(&self, transmission: &Arc<Transmission>) {
        let _ = self.transmission.set(Arc::clone(transmission));
    }

    /// With a stop: what was sent and is not applied yet may be dropped (DISCONNECT DISCARD).
    pub fn discard(&self) {
        self.discard.cut();
    }

    /// Shared with the link of the job: when it is cut, the target drops what it has not taken up yet.
    pub fn discarding(&self) -> Arc<Cut> {
        Arc::clone(&self.discard)
    }

    /// Set when the job shall end.
    pub fn stopping(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// False if it is paused already.
    pub fn pause(&self) -> bool {
        let mut control = self.lock();
        if control.paused_since.is_some() {
            return false;
        }
        control.paused_since = Some(Instant::now());
        control.pauses += 1;
        self.paused.store(true, Relaxed);
        true
    }

    /// False if it was not paused.
    pub fn resume(&self) -> bool {
        let mut control = self.lock();
        let Some(since) = control.paused_since.take() else { return false };
        control.paused_time += since.elapsed();
        self.paused.store(false, Relaxed);
        self.changed.notify_all();
        true
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Relaxed)
    }

    /// It is paused, or nothing is to be sent.
    pub fn is_held(&self) -> bool {
        self.is_paused() || self.transmission.get().is_some_and(|transmission| !transmission.is_open())
    }

    /// Called by the job between two files: waits while it is paused, or nothing is to be sent. False: stop.
    pub fn go_on(&self) -> bool {
        // One may come while the other is waited for.
        while self.is_held() && !self.stopped() {
            if let Some(transmission) = self.transmission.get() {
                transmission.wait(|| self.stopped());
            }
            let mut control = self.lock();
            while control.paused_since.is_some() && !self.stopped() {
                control = self.changed.wait(control).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
        }
        !self.stopped()
    }

    /// Waits for so long, or until a stop. False: stop.
    pub fn sleep(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut control = self.lock();
        while !self.stopped() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(control, left);
            control = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(control, _)| control);
        }
        !self.stopped()
    }

    /// Time spent paused, and the number of pauses.
    pub fn pauses(&self) -> (Duration, u64) {
        let control = self.lock();
        (control.paused_time + control.paused_since.map_or(Duration::ZERO, |s| s.elapsed()), control.pauses)
    }

    pub fn set_phase(&self, phase: Phase) {
        *self.counters.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(phase);
    }

    pub fn phase(&self) -> Option<Phase> {
        *self.counters.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How a job ended.
#[derive(Clone, Debug, Default)]
pub struct JobOutcome {
    /// All that belongs is on the target, as far as this job looked.
    pub complete: bool,
    pub stopped: bool,
    /// The first 1000 failures; their number is in the counters.
    pub failures: Vec<JobFailure>,
    /// What kept the job from running at all, or ended it early.
    pub fatal: Option<crate::api::ApiError>,
    pub elapsed: Duration,
    /// Of a verification.
    pub verify: Option<crate::api::VerifyReport>,
}

/// One thing that could not be mirrored or verified.
#[derive(Clone, Debug)]
pub struct JobFailure {
    /// Source path, any bytes.
    pub path: Vec<u8>,
    /// The reason with what to do, one line.
    pub reason: String,
}

/// Hears of each thing that a dry run would send.
pub type DryRunSink<'a> = &'a mut dyn FnMut(&[u8], MirrorReason, u64);
