//! What carries jobs out. The engine uses [`Source`]; tests of transitions use one that they steer.

use crate::api::SetSize;
use crate::engine::job::{DryRunSink, JobKind, JobOutcome, JobPlan, JobShared};
use crate::engine::source;

/// Blocks until the job ended; called on a thread of its own.
pub trait JobRunner: Send + Sync {
    fn run(&self, plan: &JobPlan, kind: JobKind, shared: &JobShared) -> JobOutcome;
    fn dry_run(&self, plan: &JobPlan, kind: JobKind, shared: &JobShared, tell: DryRunSink<'_>) -> JobOutcome;
    fn calculate(&self, plan: &JobPlan, shared: &JobShared) -> SetSize;
}

/// The real scan, mirror and verification.
#[derive(Clone, Copy, Debug)]
pub struct Source;

impl JobRunner for Source {
    fn run(&self, plan: &JobPlan, kind: JobKind, shared: &JobShared) -> JobOutcome {
        source::run(plan, kind, shared)
    }

    fn dry_run(&self, plan: &JobPlan, kind: JobKind, shared: &JobShared, tell: DryRunSink<'_>) -> JobOutcome {
        source::dry_run(plan, kind, shared, tell)
    }

    fn calculate(&self, plan: &JobPlan, shared: &JobShared) -> SetSize {
        source::calculate(plan, shared)
    }
}
