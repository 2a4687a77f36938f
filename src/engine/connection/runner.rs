//! What carries jobs and replication out. The engine uses [`Source`]; tests of transitions use one that they steer.

use crate::api::{ApiError, SetSize};
use crate::engine::job::{DryRunSink, JobKind, JobOutcome, JobPlan, JobShared};
use crate::engine::replication::{Replication, ReplicationShared};
use crate::engine::source;
use std::sync::Arc;

/// The replication whose stream a job uses: that of its connection, if it has one.
pub type Stream<'a> = Option<&'a Arc<dyn Replication>>;

/// Blocks until the work is done; called on a thread of its own.
pub trait JobRunner: Send + Sync {
    /// Starts to capture changes; returns once none is missed any more. A mirror begins afterwards.
    fn replicate(
        &self,
        plan: &JobPlan,
        shared: Arc<ReplicationShared>,
    ) -> Result<Arc<dyn Replication>, ApiError>;

    fn run(&self, plan: &JobPlan, kind: JobKind, shared: &JobShared, replication: Stream<'_>) -> JobOutcome;

    fn dry_run(
        &self,
        plan: &JobPlan,
        kind: JobKind,
        shared: &JobShared,
        replication: Stream<'_>,
        tell: DryRunSink<'_>,
    ) -> JobOutcome;

    fn calculate(&self, plan: &JobPlan, shared: &JobShared) -> SetSize;

    /// Nothing is done, here or on another machine.
    fn rehearses(&self) -> bool {
        false
    }

    /// What paths name is on this machine. Else each counts as a directory that is there, apart from all others.
    fn sees_files(&self) -> bool {
        true
    }
}

/// The real scan, mirror, verification and replication.
#[derive(Clone, Copy, Debug)]
pub struct Source;

impl JobRunner for Source {
    fn replicate(
        &self,
        plan: &JobPlan,
        shared: Arc<ReplicationShared>,
    ) -> Result<Arc<dyn Replication>, ApiError> {
        source::replicate(plan, shared)
    }

    fn run(&self, plan: &JobPlan, kind: JobKind, shared: &JobShared, stream: Stream<'_>) -> JobOutcome {
        source::run(plan, kind, shared, stream)
    }

    fn dry_run(
        &self,
        plan: &JobPlan,
        kind: JobKind,
        shared: &JobShared,
        _: Stream<'_>,
        tell: DryRunSink<'_>,
    ) -> JobOutcome {
        source::dry_run(plan, kind, shared, tell)
    }

    fn calculate(&self, plan: &JobPlan, shared: &JobShared) -> SetSize {
        source::calculate(plan, shared)
    }
}
