//! The sending side: scan, mirror, verify.
//!
//! A job runs on the thread that calls it, a comparing thread when checksums are asked for, and the target's threads at the
//! other end of a [`link`](super::link). Source and target meet in nothing but operations and answers.

mod beside;
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
mod start;
mod sums;
mod verification;
mod verify;
mod verify_log;
mod walk;

pub use calculate::calculate;
pub use decide::{Decision, Facts, Policy, decide};

use super::job::{DryRunSink, JobKind, JobOutcome, JobPlan, JobShared, Sink};
use super::link::{self, SourceEnd};
use super::target;
use crate::api::{ApiError, Code, MirrorSpec};

/// Most comparisons that wait; the target's queue of questions is longer, so that its applier never waits for them. Each may
/// hold a directory open on either side, and 1024 descriptors are a common limit.
const COMPARISONS: usize = 200;

/// Runs a mirror or a verification to its end. Blocks; logs its beginning, end and failures.
pub fn run(plan: &JobPlan, kind: JobKind, shared: &JobShared) -> JobOutcome {
    let clean = matches!(kind, JobKind::Mirror(MirrorSpec { clean: true, .. }));
    if clean {
        let outcome =
            with_target(plan, shared, |end| mirror::survey(plan, shared, end, true, &mut |_, _, _| {}));
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
            with_target(plan, shared, |end| mirror::run(plan, spec, shared, end, Some(tell), false))
        }
        JobKind::Verify(_) => run(plan, kind, shared),
    }
}

/// Runs a job over a link whose other end is served already: what [`run`] does once it has made one. A test puts a recorder in
/// between.
pub fn run_over(plan: &JobPlan, kind: JobKind, shared: &JobShared, end: SourceEnd) -> JobOutcome {
    match kind {
        JobKind::Mirror(spec) => mirror::run(plan, spec, shared, end, None, false),
        JobKind::Verify(spec) => verification::run(plan, spec, shared, end),
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
