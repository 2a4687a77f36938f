//! The sending side: scan, mirror, verify.

use super::job::{DryRunSink, JobKind, JobOutcome, JobPlan, JobShared};
use crate::api::SetSize;

/// Runs a mirror or a verification to its end. Blocks; logs its beginning, end and failures.
pub fn run(_plan: &JobPlan, _kind: JobKind, _shared: &JobShared) -> JobOutcome {
    JobOutcome::default()
}

/// Says what a mirror would send, without sending. Blocks. Files and bytes in total.
pub fn dry_run(_plan: &JobPlan, _kind: JobKind, _shared: &JobShared, _tell: DryRunSink<'_>) -> JobOutcome {
    JobOutcome::default()
}

/// Counts what belongs to a set (RST-14). `shared` gets the running totals.
pub fn calculate(_plan: &JobPlan, _shared: &JobShared) -> SetSize {
    SetSize::default()
}
