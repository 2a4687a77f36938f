//! The sending side: scan, mirror, verify.
//!
//! A job runs on the thread that calls it, a comparing thread when checksums are asked for, and the target's threads at the
//! other end of a [`link`](super::link). Source and target meet in nothing but operations and answers.

mod beside;
mod calculate;
pub(super) mod capture;
mod compare;
mod content;
mod decide;
mod emit;
mod folder;
mod index;
mod links;
mod listing;
mod mirror;
mod null;
mod orphans;
mod parts;
mod reach;
mod remap;
mod replicate;
mod report;
mod start;
mod sums;
mod sweep;
mod verification;
mod verify;
mod verify_log;
mod walk;
mod writers;

pub use calculate::calculate;
pub use decide::{Decision, Facts, Policy, decide};
pub use replicate::replicate;

use super::job::{DryRunSink, JobKind, JobOutcome, JobPlan, JobShared};
use super::link::{FramePool, Inlet, SourceEnd};
use super::log::inherit;
use super::replication::Replication;
use crate::api::{ApiError, Code, MirrorSpec, VerifySpec};
use emit::Emitter;
use reach::reach;
use replicate::{Follow, Gate, JobEnd};
use std::sync::Arc;

/// Most comparisons that wait; the target's queue of questions is longer, so that its applier never waits for them. Each may
/// hold a directory open on either side, and 1024 descriptors are a common limit.
const COMPARISONS: usize = 200;

/// How a job reaches its target: over a stream of its own, or over that of the connection's replication.
struct Way {
    emitter: Arc<Emitter>,
    gate: Gate,
    listings: Inlet,
    sums: Inlet,
    results: Inlet,
    frames: FramePool,
}

impl Way {
    fn own(plan: &JobPlan, end: SourceEnd) -> Way {
        let SourceEnd { ops, listings, sums, results, frames, local } = end;
        let emitter = Arc::new(Emitter::new(ops, frames.clone(), local, plan.traffic.counts.stream()));
        Way { emitter, gate: Gate::Open, listings, sums, results, frames }
    }

    /// The stream ends with the job.
    fn is_own(&self) -> bool {
        matches!(self.gate, Gate::Open)
    }
}

/// Runs a mirror or a verification to its end, over the stream of the connection's replication where there is one. Blocks;
/// logs its beginning, end and failures.
pub fn run(
    plan: &JobPlan,
    kind: JobKind,
    shared: &JobShared,
    replication: Option<&Arc<dyn Replication>>,
) -> JobOutcome {
    shared.sends_by(&plan.transmission);
    let clean = matches!(kind, JobKind::Mirror(MirrorSpec { clean: true, .. }));
    let follow = replication.and_then(|replication| replication.as_any().downcast_ref::<Follow>());
    let sends = matches!(kind, JobKind::Mirror(_) | JobKind::Verify(VerifySpec { remirror: true, .. }));
    if sends && follow.is_none() {
        // What is kept of the target does not hear of it.
        plan.settled.drop_ledger();
    }
    if clean {
        let survey = |way| mirror::survey(plan, shared, way, true, &mut |_, _, _| {});
        let outcome = over(plan, shared, follow, survey);
        if !outcome.complete || outcome.stopped {
            return outcome;
        }
        shared.counters.restart();
    }
    over(plan, shared, follow, |way| job(plan, kind, shared, way))
}

/// Says what a mirror would send, without sending. Blocks.
pub fn dry_run(plan: &JobPlan, kind: JobKind, shared: &JobShared, tell: DryRunSink<'_>) -> JobOutcome {
    match kind {
        JobKind::Mirror(spec) => with_target(plan, shared, |end| {
            mirror::run(plan, spec, shared, Way::own(plan, end), Some(tell), false)
        }),
        JobKind::Verify(_) | JobKind::Orphans(_) => run(plan, kind, shared, None),
    }
}

/// Runs a job over a link whose other end is served already: what [`run`] does once it has made one. A test puts a recorder in
/// between.
pub fn run_over(plan: &JobPlan, kind: JobKind, shared: &JobShared, end: SourceEnd) -> JobOutcome {
    job(plan, kind, shared, Way::own(plan, end))
}

fn job(plan: &JobPlan, kind: JobKind, shared: &JobShared, way: Way) -> JobOutcome {
    match kind {
        JobKind::Mirror(spec) => mirror::run(plan, spec, shared, way, None, false),
        JobKind::Verify(spec) => verification::run(plan, spec, shared, way),
        JobKind::Orphans(spec) => sweep::run(plan, spec, shared, way),
    }
}

/// Runs a job over replication's stream, or over one of its own.
fn over(
    plan: &JobPlan,
    shared: &JobShared,
    follow: Option<&Follow>,
    job: impl FnOnce(Way) -> JobOutcome,
) -> JobOutcome {
    let Some(follow) = follow else { return with_target(plan, shared, |end| job(Way::own(plan, end))) };
    let (common, end) = match follow.job(shared) {
        Ok(end) => end,
        Err(_) if shared.stopped() => return JobOutcome { stopped: true, ..JobOutcome::default() },
        Err(error) => return refused(error),
    };
    let JobEnd { emitter, listings, sums, results, frames } = end;
    let mut outcome = job(Way { emitter, gate: Gate::Follow(common), listings, sums, results, frames });
    if shared.stopped() && outcome.fatal.take().is_some() {
        // Answers for which it waited no more (`let_job_go`).
        (outcome.stopped, outcome.complete) = (true, false);
    }
    follow.end_job(outcome.complete);
    outcome
}

/// Serves the other end of a new link while `job` runs.
fn with_target(plan: &JobPlan, shared: &JobShared, job: impl FnOnce(SourceEnd) -> JobOutcome) -> JobOutcome {
    let (source_end, serve) = match reach(plan, shared.discarding()) {
        Ok(reached) => reached,
        Err(error) => return refused(error),
    };
    std::thread::scope(|scope| {
        let server =
            std::thread::Builder::new().name("target".to_string()).spawn_scoped(scope, inherit(serve));
        let server = match server {
            Ok(server) => server,
            Err(error) => return refused(ApiError::no_thread(&error)),
        };
        let mut outcome = job(source_end);
        match server.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => outcome.fatal = Some(broken(&error)),
            Err(_) => outcome.fatal = Some(broken("the target's thread ended by itself")),
        }
        outcome.complete &= outcome.fatal.is_none();
        outcome
    })
}

fn broken(message: &str) -> ApiError {
    ApiError::new(Code::ConnectionFailed, message).help("see the log, then mirror again")
}

/// A job that was stopped before it began, or whose target has ended by then.
fn broken_off(shared: &JobShared) -> JobOutcome {
    match shared.stopped() {
        true => JobOutcome { stopped: true, ..JobOutcome::default() },
        false => refused(broken("the target has ended")),
    }
}

/// A job that could not begin.
fn refused(error: ApiError) -> JobOutcome {
    JobOutcome { fatal: Some(error), ..JobOutcome::default() }
}
