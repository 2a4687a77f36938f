//! A mirror from its first line in the log to its last.

use crate::api::{MirrorKind, MirrorSpec, Phase};
use crate::engine::job::{DryRunSink, JobOutcome, JobPlan, JobShared, Sink};
use crate::engine::log::escape;
use crate::engine::source::compare::{Compare, Comparer};
use crate::engine::source::links::Links;
use crate::engine::source::listing::{Listing, TargetEntry};
use crate::engine::source::mirror::Mirror;
use crate::engine::source::orphans::Orphans;
use crate::engine::source::refused;
use crate::engine::source::replicate::Begun;
use crate::engine::source::report::Spot;
use crate::engine::source::start::{Start, begin, policy, root_is_gone, spawn_comparer};
use crate::engine::source::sums::Sums;
use crate::engine::source::walk::{Root, walk};
use crate::engine::source::{COMPARISONS, Way};
use crate::sys;
use crate::wire::Op;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;

/// A mirror, or what one would send. `clean`: afterwards, what the target has is removed instead (see [`survey`]).
pub(in crate::engine::source) fn run(
    plan: &JobPlan,
    spec: MirrorSpec,
    shared: &JobShared,
    way: Way,
    mut dry: Option<DryRunSink<'_>>,
    clean: bool,
) -> JobOutcome {
    let begun = if dry.is_none() { way.gate.mirror_begins() } else { Begun::default() };
    let Start { started, roots, report } = match begin(plan, shared, &way, begun.parts.as_ref()) {
        Ok(start) => start,
        Err(error) => return refused(error),
    };
    let own = way.is_own();
    let Way { emitter, gate, listings, sums, results, frames } = way;
    let emitter = &*emitter;
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
            emitter,
            gate: &gate,
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
        let listings = (plan.sink != Sink::Null).then_some(listings);
        let mut mirror = Mirror {
            plan,
            shared,
            policy: policy(plan, spec),
            emitter,
            gate: &gate,
            report: &report,
            roots: &roots,
            parts: begun.parts.as_ref(),
            vacated: begun.vacated,
            listing: Listing::new(listings, frames.clone()),
            results,
            compare: compares.then_some(compare),
            links: Links::default(),
            orphans: Orphans::new(plan, spec.orphans || clean || begun.unseen),
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
            walked &= comparing.join().unwrap_or(false);
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
    if own {
        emitter.lock().close();
    }
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
pub(in crate::engine::source) fn survey(
    plan: &JobPlan,
    shared: &JobShared,
    way: Way,
    clean: bool,
    tell: DryRunSink<'_>,
) -> JobOutcome {
    let spec = MirrorSpec { kind: MirrorKind::Different, orphans: true, ..MirrorSpec::default() };
    run(plan, spec, shared, way, Some(tell), clean)
}

/// Walks all roots in their order. A root that is not there, but is on the target, is a failure: its copy is kept.
fn walk_all(plan: &JobPlan, roots: &[Root], shared: &JobShared, mirror: &mut Mirror<'_>) -> bool {
    for number in 0..plan.paths.len() {
        let parts = mirror.parts.map(|parts| parts.root(u16::try_from(number).unwrap_or(u16::MAX)));
        match roots.iter().find(|root| usize::from(root.number) == number) {
            // Nothing in it is to be compared.
            Some(_) if parts.is_some_and(|part| part.is_none()) => {}
            Some(root) => {
                if !walk(plan, root, parts.flatten(), shared, mirror) {
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

impl Mirror<'_> {
    /// Reads the rest of the target's description, and reports what it could not describe.
    pub(in crate::engine::source) fn finish_listing(&mut self) -> bool {
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

    /// Entries of the target's copy: of all of it, also where only a part was described.
    fn entries(&self) -> u64 {
        let known = if self.parts.is_some() { self.gate.entries() } else { 0 };
        known.max(self.listing.entries)
    }

    /// False: the target has ended.
    pub(in crate::engine::source) fn remove_orphans(&mut self) -> bool {
        if self.dry.is_some() {
            return true;
        }
        self.shared.set_phase(Phase::RemovingOrphans);
        let (below, entries) = (self.listing.below_orphans, self.entries());
        let removed = self.orphans.remove(
            self.plan,
            self.shared,
            (self.emitter, self.gate),
            self.report,
            below,
            entries,
        );
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
        if let Some(refusal) = super::super::orphans::guard(self.plan, lost, self.listing.entries) {
            self.report.fatal(refusal);
            return true;
        }
        tracing::info!("Cleaning the target <{}>: {} entries", self.plan.connection, self.listing.entries);
        for (folder, name) in std::mem::take(&mut self.top_entries) {
            let Some(_turn) = self.gate.stands(&folder) else { continue };
            if self.emitter.send(&folder, &Op::Remove { name: &name, tree: true }).is_err() {
                return false;
            }
        }
        self.settle_all()
    }
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
