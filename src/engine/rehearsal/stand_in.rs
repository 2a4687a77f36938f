//! What stands in for mirrors, verifications and replication: it takes their place and touches nothing.

use crate::api::{ApiError, Code, ConnectionId, Phase, SetSize, VerifyReport, Watch};
use crate::engine::connection::runner::{JobRunner, Source, Stream};
use crate::engine::job::{DryRunSink, JobKind, JobOutcome, JobPlan, JobShared, Sink};
use crate::engine::lock;
use crate::engine::replication::{Activity, Replication, ReplicationShared};
use crate::engine::tasks::Submitted;
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How soon a job that is stopped ends.
const BEAT: Duration = Duration::from_millis(2);

/// Runs no job: one lasts until it is let end, or is stopped.
pub(super) struct StandIn {
    /// Connections whose job is to end well.
    ending: Mutex<BTreeSet<ConnectionId>>,
    changed: Condvar,
    /// The paths of the sets name what is on this machine: it can be looked at.
    here: bool,
}

impl StandIn {
    pub(super) fn new(here: bool) -> StandIn {
        StandIn { ending: Mutex::default(), changed: Condvar::new(), here }
    }

    /// The job of a connection ends, as if it had done all.
    pub(super) fn let_end(&self, connection: ConnectionId) {
        lock(&self.ending).insert(connection);
        self.changed.notify_all();
    }
}

impl JobRunner for StandIn {
    fn replicate(
        &self,
        _: &JobPlan,
        shared: Arc<ReplicationShared>,
    ) -> Result<Arc<dyn Replication>, ApiError> {
        shared.set_activity(Activity::Ready);
        Ok(Arc::new(Following { shared }))
    }

    fn run(&self, plan: &JobPlan, kind: JobKind, shared: &JobShared, _: Stream<'_>) -> JobOutcome {
        shared.set_phase(match kind {
            JobKind::Mirror(_) => Phase::Mirroring,
            JobKind::Verify(_) => Phase::Verifying,
            JobKind::Orphans(_) => Phase::RemovingOrphans,
        });
        // What let an earlier one end is not for this one.
        lock(&self.ending).remove(&plan.connection);
        loop {
            if !shared.go_on() {
                return JobOutcome { stopped: true, ..JobOutcome::default() };
            }
            let mut ending = lock(&self.ending);
            if ending.remove(&plan.connection) {
                break;
            }
            drop(self.changed.wait_timeout(ending, BEAT).unwrap_or_else(PoisonError::into_inner));
        }
        let verify = matches!(kind, JobKind::Verify(_)).then(|| VerifyReport {
            repset: plan.repset.clone(),
            started_ms: now_ms(),
            completed_ms: Some(now_ms()),
            ..VerifyReport::default()
        });
        JobOutcome { complete: true, verify, ..JobOutcome::default() }
    }

    /// This looks, and changes nothing: it is done.
    fn dry_run(
        &self,
        plan: &JobPlan,
        kind: JobKind,
        shared: &JobShared,
        stream: Stream<'_>,
        tell: DryRunSink<'_>,
    ) -> JobOutcome {
        if self.here && !matches!(plan.sink, Sink::Far(_)) {
            return Source.dry_run(plan, kind, shared, stream, tell);
        }
        let message = "what this would send cannot be told in a dry run: it lies on another machine";
        let error = ApiError::new(Code::OperationOrCommandIsNotSupported, message)
            .help("ask outside of a dry run: DRYRUN itself changes nothing");
        JobOutcome { fatal: Some(error), ..JobOutcome::default() }
    }

    fn calculate(&self, plan: &JobPlan, shared: &JobShared) -> SetSize {
        if self.here { Source.calculate(plan, shared) } else { SetSize::default() }
    }

    fn rehearses(&self) -> bool {
        true
    }

    fn sees_files(&self) -> bool {
        self.here
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A replication that has nothing to do.
#[derive(Debug)]
struct Following {
    shared: Arc<ReplicationShared>,
}

impl Replication for Following {
    fn shared(&self) -> &ReplicationShared {
        &self.shared
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn barrier(&self, _: Option<Duration>, _: &mut dyn Watch) -> Result<bool, ApiError> {
        Ok(true)
    }

    fn queue_task(&self, task: &Arc<Submitted>, _: &mut dyn Watch) -> Result<(), ApiError> {
        task.is_queued();
        for line in task.line().points {
            task.run_here(line.point, &|| false);
        }
        task.finish();
        Ok(())
    }

    fn release(&self) -> bool {
        false
    }

    fn stop(&self, _: bool, _: Duration) -> bool {
        true
    }
}
