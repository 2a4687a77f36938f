//! The sending side: scan, mirror, verify.
//!
//! A job runs on the thread that calls it, a comparing thread when checksums are asked for, and the target's threads at the
//! other end of a [`link`](super::link). Source and target meet in nothing but operations and answers.

mod calculate;
mod compare;
mod content;
mod decide;
mod emit;
mod folder;
mod links;
mod listing;
mod mirror;
mod null;
mod orphans;
mod remap;
mod report;
mod sums;
mod verify;
mod verify_log;
mod walk;

pub use calculate::calculate;
pub use decide::{Decision, Facts, Policy, decide};

use super::job::{DryRunSink, JobKind, JobOutcome, JobPlan, JobShared, Sink};
use super::link::{self, SourceEnd};
use super::log::escape;
use super::target;
use crate::api::{ApiError, Code, MirrorKind, MirrorSpec, Phase, VerifySpec};
use crate::sys;
use crate::wire::{Op, PATH_MAX};
use compare::{Compare, Comparer};
use emit::Emitter;
use links::Links;
use listing::{Listing, TargetEntry};
use mirror::Mirror;
use orphans::Orphans;
use report::{Report, Spot};
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;
use sums::Sums;
use verify::{Findings, Verify};
use verify_log::VerifyLog;
use walk::{Root, open_roots, walk};

/// Most comparisons that wait; the target's queue of questions is longer, so that its applier never waits for them. Each may
/// hold a directory open on either side, and 1024 descriptors are a common limit.
const COMPARISONS: usize = 200;

/// Runs a mirror or a verification to its end. Blocks; logs its beginning, end and failures.
pub fn run(plan: &JobPlan, kind: JobKind, shared: &JobShared) -> JobOutcome {
    let clean = matches!(kind, JobKind::Mirror(MirrorSpec { clean: true, .. }));
    if clean {
        let outcome = with_target(plan, shared, |end| survey(plan, shared, end, true, &mut |_, _, _| {}));
        if outcome.fatal.is_some() || outcome.stopped || !outcome.failures.is_empty() {
            return outcome;
        }
        shared.counters.restart();
    }
    with_target(plan, shared, |end| run_over(plan, kind, shared, end))
}

/// Says what a mirror would send, without sending. Blocks.
pub fn dry_run(plan: &JobPlan, kind: JobKind, shared: &JobShared, tell: DryRunSink<'_>) -> JobOutcome {
    match kind {
        JobKind::Mirror(spec) => {
            with_target(plan, shared, |end| mirror(plan, spec, shared, end, Some(tell), false))
        }
        JobKind::Verify(_) => run(plan, kind, shared),
    }
}

/// Runs a job over a link whose other end is served already: what [`run`] does once it has made one. A test puts a recorder in
/// between.
pub fn run_over(plan: &JobPlan, kind: JobKind, shared: &JobShared, end: SourceEnd) -> JobOutcome {
    match kind {
        JobKind::Mirror(spec) => mirror(plan, spec, shared, end, None, false),
        JobKind::Verify(spec) => verification(plan, spec, shared, end),
    }
}

/// Serves the other end of a new link while `job` runs.
fn with_target(plan: &JobPlan, shared: &JobShared, job: impl FnOnce(SourceEnd) -> JobOutcome) -> JobOutcome {
    let (source_end, mut target_end) = link::pair(plan.sink == Sink::Local);
    let policy = target::Policy {
        forbidden: plan.forbidden.clone(),
        aside: plan.settings.orphans.move_to.clone(),
        ..target::Policy::default()
    };
    target_end.cut = shared.discarding();
    let null = plan.sink == Sink::Null;
    std::thread::scope(|scope| {
        let server = std::thread::Builder::new().name("target".to_string()).spawn_scoped(scope, move || {
            if null { null::serve(target_end) } else { target::serve(target_end, policy) }
        });
        let server = match server {
            Ok(server) => server,
            Err(error) => return refused(broken(&format!("no thread for the target: {error}"))),
        };
        let mut outcome = job(source_end);
        match server.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                outcome.fatal = Some(broken(&format!("the target refused an operation: {error}")))
            }
            Err(_) => outcome.fatal = Some(broken("the target's thread ended by itself")),
        }
        outcome.complete &= outcome.fatal.is_none();
        outcome
    })
}

fn broken(message: &str) -> ApiError {
    ApiError::new(Code::ConnectionFailed, message).help("see the log, then mirror again")
}

/// A job that could not begin.
fn refused(error: ApiError) -> JobOutcome {
    JobOutcome { fatal: Some(error), ..JobOutcome::default() }
}

/// Everything a job needs of its beginning.
struct Start {
    started: Instant,
    roots: Vec<Root>,
    report: Arc<Report>,
    emitter: Emitter,
}

/// Opens the roots and the stream. The error: no root could be opened.
fn begin(
    plan: &JobPlan,
    shared: &JobShared,
    ops: std::sync::mpsc::SyncSender<link::Frame>,
    frames: &link::FramePool,
    local: Option<link::LocalFiles>,
) -> Result<Start, ApiError> {
    let started = Instant::now();
    let mut missing = Vec::new();
    let roots = open_roots(plan, |number, path, error| {
        missing.push((number, path.to_path_buf(), error.kind(), error.to_string()));
    });
    let directory = |number: usize| -> PathBuf {
        let opened = roots.iter().find(|root| usize::from(root.number) == number);
        opened.map_or_else(|| plan.paths[number].source.clone(), |root| root.path.clone())
    };
    let report = Arc::new(Report::new((0..plan.paths.len()).map(directory).collect()));
    if roots.is_empty() {
        let paths: Vec<String> = missing
            .iter()
            .map(|(_, path, _, error)| format!("{} ({error})", escape(path.as_os_str().as_bytes())))
            .collect();
        let fatal = ApiError::new(
            Code::SourcePathIsInvalid,
            format!("none of the set's paths can be read: {}", paths.join(", ")),
        )
        .help("check the rules with REPSET RULE LIST, and that the paths are mounted and readable");
        return Err(fatal);
    }
    for (number, path, kind, error) in missing {
        // A rule may name what is not there (RST-03). What is there and cannot be opened is a failure.
        if kind == std::io::ErrorKind::NotFound {
            tracing::warn!("{}: not mirrored: {error}", escape(path.as_os_str().as_bytes()));
        } else {
            let spot = Spot { root: number, path: Vec::new(), name: Vec::new() };
            report.fail(&shared.counters, &spot, error);
        }
    }
    let emitter = Emitter::new(ops, frames.clone(), local);
    let mut paths: Vec<(PathBuf, Option<Vec<u8>>)> =
        plan.paths.iter().map(|mapping| (mapping.target.clone(), None)).collect();
    for root in &roots {
        if let Some(slot) = paths.get_mut(usize::from(root.number)) {
            *slot = (root.target.clone(), root.only.clone());
        }
    }
    if let Some((long, _)) = paths.iter().find(|(path, _)| path.as_os_str().len() > PATH_MAX) {
        let message = format!(
            "the target path {} is longer than {PATH_MAX} bytes",
            escape(long.as_os_str().as_bytes())
        );
        let fatal = ApiError::new(Code::InvalidPath, message).help("MAP to a shorter path");
        return Err(fatal);
    }
    let op = Op::Begin {
        attributes: plan.settings.attributes,
        xattrs: plan.settings.extended_attributes,
        scan: plan.sink == Sink::Local,
        roots: paths.iter().map(|(path, only)| (path.as_os_str().as_bytes(), only.as_deref())).collect(),
    };
    let mut emit = emitter.lock();
    let sent = emit.push(&op).and_then(|()| emit.flush());
    drop(emit);
    if sent.is_err() {
        return Err(broken("the target has ended"));
    }
    Ok(Start { started, roots, report, emitter })
}

fn policy(plan: &JobPlan, spec: MirrorSpec) -> Policy {
    Policy {
        kind: spec.kind,
        newer: spec.newer,
        checksum: spec.checksum,
        checksum_all: plan.settings.checksum_all,
        overwrite: plan.settings.overwrite,
        zero_k_files: plan.settings.zero_k_files,
    }
}

/// A mirror, or what one would send. `clean`: afterwards, what the target has is removed instead (see [`survey`]).
fn mirror(
    plan: &JobPlan,
    spec: MirrorSpec,
    shared: &JobShared,
    end: SourceEnd,
    mut dry: Option<DryRunSink<'_>>,
    clean: bool,
) -> JobOutcome {
    let SourceEnd { ops, listings, sums, results, frames, local } = end;
    let Start { started, roots, report, emitter } = match begin(plan, shared, ops, &frames, local) {
        Ok(start) => start,
        Err(error) => return refused(error),
    };
    let is_dry = dry.is_some();
    let mut tell = |path: &[u8], reason, bytes| {
        if let Some(dry) = &mut dry {
            dry(path, reason, bytes);
        }
    };
    if !is_dry {
        shared.set_phase(Phase::Mirroring);
        log_start(plan, &spec);
    }
    let limit = plan.settings.mirror_queue_limit.clamp(1, COMPARISONS);
    let (compare, queue) = sync_channel::<Compare>(limit);
    let compares = !is_dry && spec.kind == MirrorKind::Different && spec.checksum;
    let complete = std::thread::scope(|scope| {
        let comparer = Comparer {
            emitter: &emitter,
            report: &report,
            shared,
            sums: Sums::new(sums, frames.clone()),
            verify: None,
        };
        let comparing = compares.then(|| spawn_comparer(scope, comparer, queue)).transpose();
        let comparing = match comparing {
            Ok(comparing) => comparing,
            Err(error) => return Err(error),
        };
        let listings = (plan.sink == Sink::Local).then_some(listings);
        let mut mirror = Mirror {
            plan,
            shared,
            policy: policy(plan, spec),
            emitter: &emitter,
            report: &report,
            roots: &roots,
            listing: Listing::new(listings, frames.clone()),
            results,
            compare: compares.then_some(compare),
            links: Links::default(),
            orphans: Orphans::new(plan, spec.orphans || clean),
            dry: if is_dry { Some(&mut tell) } else { None },
            under_way: HashMap::new(),
            reached: 0,
            gone: false,
            as_root: sys::is_root(),
            asked: 0,
            top_entries: Vec::new(),
            replacing: Vec::new(),
            resent: HashMap::new(),
            looked: 0,
            entry: TargetEntry::empty(),
            chunk: Vec::new(),
        };
        let mut walked = walk_all(plan, &roots, shared, &mut mirror);
        // The comparing thread ends when its queue does; what it still finds is sent before what follows.
        mirror.compare = None;
        walked &= mirror.flush().is_ok();
        if let Some(comparing) = comparing {
            walked &= comparing.join().is_ok();
        }
        let listed = mirror.finish_listing();
        if is_dry && !clean {
            return Ok(walked && listed && !mirror.gone);
        }
        shared.set_phase(Phase::Waiting);
        let mut alive = mirror.settle_all();
        if alive && walked && !shared.stopped() && !report.is_fatal() {
            alive = mirror.retry();
        }
        if alive && walked && listed && !shared.stopped() && !report.is_fatal() && !mirror.orphans.is_empty()
        {
            alive = mirror.remove_orphans();
        }
        // A mirror that would not bring everything back must not empty the target.
        let sound = || shared.counters.errors.load(Relaxed) == 0 && !shared.stopped() && !report.is_fatal();
        if alive && walked && listed && clean && sound() {
            alive = mirror.clean();
        }
        let _ = mirror.drain();
        mirror.fail_retries();
        Ok(walked && listed && alive && !mirror.gone)
    });
    emitter.lock().close();
    let walked = match complete {
        Ok(walked) => walked,
        Err(error) => return refused(error),
    };
    shared.counters.bytes_queued.store(0, Relaxed);
    let (failures, fatal) = report.finish();
    let errors = shared.counters.errors.load(Relaxed);
    let outcome = JobOutcome {
        complete: walked && errors == 0 && fatal.is_none() && !shared.stopped(),
        stopped: shared.stopped(),
        failures,
        fatal,
        elapsed: started.elapsed(),
        verify: None,
    };
    if !is_dry {
        log_end(plan, shared, &outcome);
    }
    outcome
}

/// Looks what a CLEAN would lose, and removes what the target has when the guard lets it (commands.md, MIRROR START).
fn survey(
    plan: &JobPlan,
    shared: &JobShared,
    end: SourceEnd,
    clean: bool,
    tell: DryRunSink<'_>,
) -> JobOutcome {
    let spec = MirrorSpec { kind: MirrorKind::Different, orphans: true, ..MirrorSpec::default() };
    mirror(plan, spec, shared, end, Some(tell), clean)
}

fn spawn_comparer<'scope, 'env>(
    scope: &'scope std::thread::Scope<'scope, 'env>,
    comparer: Comparer<'scope>,
    queue: Receiver<Compare>,
) -> Result<std::thread::ScopedJoinHandle<'scope, ()>, ApiError> {
    std::thread::Builder::new()
        .name("compare".to_string())
        .spawn_scoped(scope, move || comparer.run(&queue))
        .map_err(|error| broken(&format!("no thread to compare: {error}")))
}

/// Walks all roots in their order. A root that is not there, but is on the target, is a failure: its copy is kept.
fn walk_all(plan: &JobPlan, roots: &[Root], shared: &JobShared, mirror: &mut Mirror<'_>) -> bool {
    for number in 0..plan.paths.len() {
        match roots.iter().find(|root| usize::from(root.number) == number) {
            Some(root) => {
                if !walk(plan, root, shared, mirror) {
                    return false;
                }
            }
            None => {
                let number = u16::try_from(number).unwrap_or(u16::MAX);
                root_is_gone(&mut mirror.listing, mirror.report, shared, number);
            }
        }
    }
    !mirror.gone
}

/// A root that is not there: a failure when it is on the target.
fn root_is_gone(listing: &mut Listing, report: &Report, shared: &JobShared, number: u16) {
    if matches!(listing.enter(number, b""), Ok(Some(_))) {
        let spot = Spot { root: number, path: Vec::new(), name: Vec::new() };
        let reason = "it is not on the source any more, but its copy is on the target and is kept: \
                      mount or restore it, or take its rule out of the set";
        report.fail(&shared.counters, &spot, reason.to_string());
    }
}

impl Mirror<'_> {
    /// Reads the rest of the target's description, and reports what it could not describe.
    fn finish_listing(&mut self) -> bool {
        if self.shared.stopped() || self.report.is_fatal() {
            return true;
        }
        let finished = self.listing.finish().is_ok();
        for failure in std::mem::take(&mut self.listing.failures) {
            let spot = Spot { root: failure.root, path: failure.path, name: Vec::new() };
            self.report.errno(&self.shared.counters, spot, failure.errno, &failure.what, true);
        }
        finished
    }

    /// False: the target has ended.
    fn remove_orphans(&mut self) -> bool {
        if self.dry.is_some() {
            return true;
        }
        self.shared.set_phase(Phase::RemovingOrphans);
        let (below, entries) = (self.listing.below_orphans, self.listing.entries);
        let removed = self.orphans.remove(self.plan, self.shared, self.emitter, self.report, below, entries);
        if removed.is_err() || !self.settle_all() {
            return false;
        }
        // What could not be removed is not there on the source to be sent again.
        self.fail_retries();
        let replacing = std::mem::take(&mut self.replacing);
        self.remirror(replacing) && self.settle_all() && self.retry()
    }

    /// Empties the target's paths, when what would be lost passes the guard. False: the target has ended.
    fn clean(&mut self) -> bool {
        let lost = self.orphans.len() + self.listing.below_orphans;
        if let Some(refusal) = orphans::guard(self.plan, lost, self.listing.entries) {
            self.report.fatal(refusal);
            return true;
        }
        tracing::info!("Cleaning the target <{}>: {} entries", self.plan.connection, self.listing.entries);
        for (folder, name) in std::mem::take(&mut self.top_entries) {
            if self.emitter.send(&folder, &Op::Remove { name: &name, tree: true }).is_err() {
                return false;
            }
        }
        self.settle_all()
    }
}

fn verification(plan: &JobPlan, spec: VerifySpec, shared: &JobShared, end: SourceEnd) -> JobOutcome {
    let SourceEnd { ops, listings, sums, results, frames, local } = end;
    let Start { started, roots, report, emitter } = match begin(plan, shared, ops, &frames, local) {
        Ok(start) => start,
        Err(error) => return refused(error),
    };
    shared.set_phase(Phase::Verifying);
    let mirror_spec = MirrorSpec {
        kind: MirrorKind::Different,
        newer: spec.newer,
        checksum: spec.checksum,
        orphans: spec.orphans,
        ..MirrorSpec::default()
    };
    let policy = policy(plan, mirror_spec);
    tracing::info!("Verification Started <{}>", plan.connection);
    let log = VerifyLog::begin(plan, &policy);
    let findings = Findings::new(plan, spec, log, Arc::clone(&report));
    let (compare, queue) = sync_channel::<Compare>(plan.settings.mirror_queue_limit.clamp(1, COMPARISONS));
    let walked = std::thread::scope(|scope| {
        let sums = Sums::new(sums, frames.clone());
        let comparer = Comparer { emitter: &emitter, report: &report, shared, sums, verify: Some(&findings) };
        let comparing = spawn_comparer(scope, comparer, queue)?;
        let mut verify = Verify {
            plan,
            spec,
            shared,
            emitter: &emitter,
            report: &report,
            findings: &findings,
            listing: Listing::new((plan.sink == Sink::Local).then_some(listings), frames.clone()),
            compare,
            orphans: Orphans::new(plan, spec.orphans),
            as_root: sys::is_root(),
            asked: 0,
            gone: false,
            entry: TargetEntry::empty(),
            roots: &roots,
        };
        let mut walked = true;
        for number in 0..plan.paths.len() {
            match roots.iter().find(|root| usize::from(root.number) == number) {
                Some(root) => walked = walked && walk(plan, root, shared, &mut verify),
                None => {
                    let number = u16::try_from(number).unwrap_or(u16::MAX);
                    root_is_gone(&mut verify.listing, &report, shared, number);
                }
            }
        }
        walked &= !verify.gone && emitter.lock().flush().is_ok();
        let Verify { listing, compare, orphans, .. } = verify;
        drop(compare);
        walked &= comparing.join().is_ok();
        // Afterwards what was found different is sent whole by the mirror's own code.
        let mut mirror = Mirror {
            plan,
            shared,
            policy,
            emitter: &emitter,
            report: &report,
            roots: &roots,
            listing,
            results,
            compare: None,
            links: Links::default(),
            orphans,
            dry: None,
            under_way: HashMap::new(),
            reached: 0,
            gone: false,
            as_root: sys::is_root(),
            asked: 0,
            top_entries: Vec::new(),
            replacing: Vec::new(),
            resent: HashMap::new(),
            looked: 0,
            entry: TargetEntry::empty(),
            chunk: Vec::new(),
        };
        walked &= mirror.finish_listing();
        let spots = findings.take_remirror();
        let alive = shared.stopped() || mirror.remirror(spots);
        let mut alive = alive && mirror.settle_all();
        if alive && !shared.stopped() && spec.remirror {
            alive = mirror.retry();
        }
        if alive && walked && !shared.stopped() && !report.is_fatal() && !mirror.orphans.is_empty() {
            alive = mirror.remove_orphans();
        }
        mirror.fail_retries();
        Ok(walked && alive)
    });
    emitter.lock().close();
    let walked = match walked {
        Ok(walked) => walked,
        Err(error) => return refused(error),
    };
    shared.counters.bytes_queued.store(0, Relaxed);
    let elapsed = started.elapsed();
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let stopped = shared.stopped();
    let verify = findings.end(stopped, elapsed_ms, &shared.counters);
    tracing::info!("Verification Ended <{}>", plan.connection);
    let (failures, fatal) = report.finish();
    let complete = walked && fatal.is_none() && !stopped && shared.counters.errors.load(Relaxed) == 0;
    JobOutcome { complete, stopped, failures, fatal, elapsed, verify: Some(verify) }
}

/// `Mirror Started, Differences, Newer On Source, Block Checksum, Checksum All <id>` (log-lines.md).
fn log_start(plan: &JobPlan, spec: &MirrorSpec) {
    let mut line = String::from("Mirror Started");
    if spec.kind == MirrorKind::Different {
        line.push_str(", Differences");
    }
    if spec.newer {
        line.push_str(", Newer On Source");
    }
    if spec.checksum {
        line.push_str(", Block Checksum");
        if plan.settings.checksum_all {
            line.push_str(", Checksum All");
        }
    }
    tracing::info!("{line} <{}>", plan.connection);
    for mapping in &plan.paths {
        tracing::info!("Processing path {}", escape(mapping.source.as_os_str().as_bytes()));
    }
}

/// The summary block at a mirror's end (log-lines.md).
fn log_end(plan: &JobPlan, shared: &JobShared, outcome: &JobOutcome) {
    let counters = &shared.counters;
    let (paused, pauses) = shared.pauses();
    let seconds = |time: std::time::Duration| format!("{}.{:03}", time.as_secs(), time.subsec_millis());
    tracing::info!("Mirror Ended <{}>", plan.connection);
    tracing::info!("Directories Mirrored: {}", counters.directories.load(Relaxed));
    tracing::info!("Files Mirrored: {}", counters.files_sent.load(Relaxed));
    tracing::info!("Bytes Mirrored: {}", counters.bytes_sent.load(Relaxed));
    tracing::info!("Files Checksummed: {}", counters.files_checksummed.load(Relaxed));
    tracing::info!("Elapsed Time: {} seconds", seconds(outcome.elapsed));
    tracing::info!("Paused Time: {} seconds", seconds(paused));
    tracing::info!("Total number of pauses: {pauses}");
    if let Some(fatal) = &outcome.fatal {
        tracing::warn!("{}", fatal.message);
    }
    let errors = counters.errors.load(Relaxed);
    if errors > 0 {
        tracing::warn!("Files that could not be mirrored: {errors}");
    }
}
