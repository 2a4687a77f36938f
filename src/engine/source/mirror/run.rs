//! A mirror from its first line in the log to its last.

use crate::api::{ApiError, MirrorKind, MirrorSpec, Phase};
use crate::engine::job::{DryRunSink, JobOutcome, JobPlan, JobShared, Sink};
use crate::engine::log::escape;
use crate::engine::source::compare::{Compare, Comparer};
use crate::engine::source::links::Links;
use crate::engine::source::listing::Listing;
use crate::engine::source::mirror::Mirror;
use crate::engine::source::orphans::{Orphans, terms};
use crate::engine::source::replicate::{Begun, Stirred};
use crate::engine::source::report::Spot;
use crate::engine::source::start::{Start, ask_for, begin, policy, root_is_gone, spawn_comparer};
use crate::engine::source::sums::Sums;
use crate::engine::source::walk::{Root, walk};
use crate::engine::source::{COMPARISONS, Way, broken_off, refused};
use crate::wire::Op;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Passes of a mirror that removes orphans after which nothing may move while one is made, and after which no more are made.
const LOOSE: u32 = 2;
const PASSES: u32 = 40;
/// So long the looker has at most for what was asked of it.
const LATER: Duration = Duration::from_secs(2);
/// What is waited at first for directories that are on their way.
const PAUSE: Duration = Duration::from_millis(5);

/// What follows a pass.
enum Again {
    Pass,
    Ended,
    /// Directories kept moving: what only the target has may be left.
    Endless,
}

/// A mirror, or what one would send. `clean`: afterwards, what the target has is removed instead (see [`survey`]).
pub(in crate::engine::source) fn run(
    plan: &JobPlan,
    spec: MirrorSpec,
    shared: &JobShared,
    way: Way,
    mut dry: Option<DryRunSink<'_>>,
    clean: bool,
) -> JobOutcome {
    // A dry run, and the look before a CLEAN, change no switch.
    let Some(terms) = terms(plan, shared, &way, spec.orphans && dry.is_none()) else {
        return broken_off(shared);
    };
    let spec = MirrorSpec { orphans: spec.orphans || terms.on, ..spec };
    let begun = if dry.is_none() { way.gate.mirror_begins(spec.orphans) } else { Begun::default() };
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
    let listings = (plan.sink != Sink::Null).then_some(listings);
    let mut mirror = Mirror {
        parts: begun.parts.map(Arc::new),
        vacated: begun.vacated,
        doubtful: begun.doubtful,
        dry: if is_dry { Some(&mut tell) } else { None },
        ..Mirror::new(
            (plan, shared, policy(plan, spec)),
            (emitter, &gate, results),
            (&report, &roots),
            Listing::new(listings, frames.clone()),
            Orphans::new(spec.orphans || clean || begun.unseen, terms),
        )
    };
    let compares = !is_dry && spec.kind == MirrorKind::Different && spec.checksum;
    let sweeps = spec.orphans || clean || begun.unseen;
    let complete = mirror.passes(compares.then(|| Sums::new(sums, frames)), sweeps, clean);
    drop(mirror);
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
        let parts = mirror.parts.clone();
        let parts = parts.as_ref().map(|parts| parts.root(u16::try_from(number).unwrap_or(u16::MAX)));
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
                root_is_gone((&mut mirror.listing, &mut mirror.orphans), mirror.report, shared, number);
            }
        }
    }
    !mirror.gone
}

impl Mirror<'_> {
    /// All passes of the mirror. False: it did not come to its end. `sums`: checksums are compared; `sweeps`: what only the target has is to be
    /// removed, and not alone where something has left unseen.
    fn passes(&mut self, mut sums: Option<Sums>, sweeps: bool, clean: bool) -> Result<bool, ApiError> {
        let is_survey = self.dry.is_some() && !clean;
        let mut whole = self.pass(sums.as_mut(), is_survey)?;
        if is_survey {
            return Ok(whole);
        }
        self.orphans.entries = self.entries();
        if self.dry.is_none() {
            let (mut pass, counters) = (1, &self.shared.counters);
            while whole && self.is_sound() {
                match self.stirs_again(pass, sweeps) {
                    Again::Pass => {}
                    Again::Ended => break,
                    Again::Endless => {
                        // Who has asked is told; what has left unseen is the next mirror's.
                        whole = sweeps;
                        break;
                    }
                }
                // What is compared once more is counted once.
                let counts = [
                    &counters.directories,
                    &counters.files,
                    &counters.bytes_skipped,
                    &counters.files_checksummed,
                ];
                let before = counts.map(|count| count.load(Relaxed));
                whole = self.pass(sums.as_mut(), false)?;
                self.gate.calm(false);
                counts.iter().zip(before).for_each(|(count, before)| count.store(before, Relaxed));
                pass += 1;
            }
            self.gate.calm(false);
        }
        // A mirror that would not bring everything back must not empty the target.
        if whole && clean && self.is_sound() && self.shared.counters.errors.load(Relaxed) == 0 {
            whole = self.clean();
        }
        let _ = self.drain();
        self.fail_retries();
        Ok(whole && !self.gone)
    }

    fn is_sound(&self) -> bool {
        !self.shared.stopped() && !self.report.is_fatal()
    }

    /// What has moved during this pass, or could not be compared, may have on the target what the source has not: is it to be
    /// compared in another? The later ones are short, and nothing moves in them. `sweeps`: else only what the walk has missed is, and where
    /// something has left unseen.
    fn stirs_again(&mut self, pass: u32, sweeps: bool) -> Again {
        if pass > LOOSE && !self.shared.sleep(PAUSE * pass) {
            // The looker has its turn between two of them.
            return Again::Ended;
        }
        let mut waits = 0;
        loop {
            // While nothing is sent nothing is answered.
            if !self.shared.go_on() {
                return Again::Ended;
            }
            self.gate.calm(pass + waits >= LOOSE);
            let stirred = self.gate.stirred(sweeps);
            let is_endless =
                pass + waits >= PASSES || pass > LOOSE && matches!(stirred, Stirred::Parts(None, _));
            let (parts, vacated) = match stirred {
                Stirred::Nothing => return Again::Ended,
                Stirred::Gone => {
                    self.gone = true;
                    return Again::Ended;
                }
                _ if self.gate.is_held() => {
                    tracing::warn!(
                        "Replication of connection {} is held: what only the target has may be left; MIRROR START {0} DIFFERENT ORPHANS \
                         when it goes on",
                        self.plan.connection
                    );
                    return Again::Ended;
                }
                _ if is_endless => {
                    tracing::warn!(
                        "Directories kept moving on the source, or the target did not answer: what only it has may be left; \
                         MIRROR START {} DIFFERENT ORPHANS when fewer do",
                        self.plan.connection
                    );
                    return Again::Endless;
                }
                Stirred::Parts(parts, vacated) => (parts.map(Arc::new), vacated),
                Stirred::Later => {
                    // The looker finds them, once it has come to them.
                    self.gate.calm(false);
                    waits += 1;
                    let until = Instant::now() + LATER;
                    loop {
                        if !self.shared.sleep(PAUSE * waits) {
                            return Again::Ended;
                        }
                        if !self.gate.owes() || Instant::now() >= until {
                            break;
                        }
                    }
                    continue;
                }
            };
            // For the pass: what was waited for has taken some of the time.
            self.gate.calm(pass >= LOOSE);
            if ask_for(self.emitter, self.roots, parts.as_deref()).is_err() {
                self.gone = true;
                return Again::Ended;
            }
            (self.parts, self.vacated) = (parts, vacated);
            // Content was sent once.
            self.policy.kind = MirrorKind::Different;
            self.listing.again();
            self.orphans.again();
            self.links = Links::default();
            return Again::Pass;
        }
    }

    /// Compares everything, or the parts, once. False: it did not come to its end. `only_look`: nothing is sent.
    fn pass(&mut self, sums: Option<&mut Sums>, only_look: bool) -> Result<bool, ApiError> {
        let (plan, shared, report) = (self.plan, self.shared, self.report);
        let limit = plan.settings.mirror_queue_limit.clamp(1, COMPARISONS);
        let (emitter, gate) = (self.emitter, self.gate);
        let mut walked = std::thread::scope(|scope| {
            let comparing = sums
                .map(|sums| {
                    let (compare, queue) = sync_channel::<Compare>(limit);
                    self.compare = Some(compare);
                    let comparer = Comparer { emitter, gate, report, shared, sums, verify: None };
                    spawn_comparer(scope, comparer, queue)
                })
                .transpose()?;
            let walked = walk_all(plan, self.roots, shared, self);
            // The comparing thread ends when its queue does; what it still finds is sent before what follows.
            self.compare = None;
            let flushed = self.flush().is_ok();
            let compared = comparing.is_none_or(|comparing| comparing.join().unwrap_or(false));
            Ok::<_, ApiError>(walked && flushed && compared)
        })?;
        walked &= self.finish_listing();
        if only_look {
            return Ok(walked && !self.gone);
        }
        shared.set_phase(Phase::Waiting);
        let mut alive = self.settle_all();
        if alive && walked && self.is_sound() {
            alive = self.retry();
        }
        if alive && walked && self.is_sound() && !self.orphans.is_empty() {
            alive = self.remove_orphans();
        }
        Ok(walked && alive && !self.gone)
    }

    /// Reads the rest of the target's description, and reports what it could not describe.
    pub(in crate::engine::source) fn finish_listing(&mut self) -> bool {
        if self.shared.stopped() || self.report.is_fatal() {
            return true;
        }
        let finished = !self.orphans.is_full() && self.listing.finish(&mut self.orphans).is_ok();
        if let Some(overflow) = self.orphans.overflow() {
            self.report.fatal(overflow);
        }
        for failure in std::mem::take(&mut self.listing.failures) {
            let spot = Spot { root: failure.root, path: failure.path, name: Vec::new() };
            self.report.errno(&self.shared.counters, spot, failure.errno, &failure.what, true);
        }
        finished
    }

    /// Entries of the target's copy: of all of it, also where only a part was described.
    pub(super) fn entries(&self) -> u64 {
        let known = if self.parts.is_some() { self.gate.entries() } else { 0 };
        known.max(self.listing.entries)
    }

    /// Empties the target's paths, when what would be lost passes the guard; an entry in which something stays is left to the mirror.
    /// False: the target has ended.
    fn clean(&mut self) -> bool {
        let lost = self.orphans.len();
        if let Some(refusal) = super::super::orphans::guard(self.plan, lost, self.listing.entries) {
            self.report.fatal(refusal);
            return true;
        }
        tracing::info!("Cleaning the target <{}>: {} entries", self.plan.connection, self.listing.entries);
        self.gate.distrusts();
        for (folder, name) in std::mem::take(&mut self.top_entries) {
            if !self.orphans.goes_whole(folder.root, &name) {
                let spot = Spot { root: folder.root, path: folder.path.clone(), name };
                let path = escape(self.report.path(&spot));
                tracing::info!("{path} is not cleaned: something at or below it stays on the target");
                continue;
            }
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
