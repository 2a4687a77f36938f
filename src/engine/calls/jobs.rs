//! Jobs that a call waits for itself: dry runs and size calculations. They run on a thread of their own, so that the
//! calling thread can tell progress and ask whether to go on.

use crate::api::{ApiError, Code, Event, MirrorReason, MirrorSpec, Phase, Reply, SetSize, Watch};
use crate::engine::Engine;
use crate::engine::connection::runner::Stream;
use crate::engine::connection::{BEAT, interrupted, status};
use crate::engine::job::{JobKind, JobOutcome, JobPlan, JobShared};
use crate::engine::log::{escape, inherit};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};

/// Lines of a dry run that may wait for the caller.
const LINES: usize = 256;

impl Engine {
    /// Says what a mirror would send. Orphans that would be removed are named, but are no files that would be sent.
    pub(in crate::engine) fn dry_run(
        &self,
        plan: &JobPlan,
        mirror: MirrorSpec,
        replication: Stream<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let shared = JobShared::new();
        let (mut files, mut bytes) = (0, 0);
        let outcome = aside(
            &shared,
            Phase::Mirroring,
            watch,
            |tell: &mut dyn FnMut((String, MirrorReason, u64))| {
                let mut sink = |path: &[u8], reason, size| tell((escape(path), reason, size));
                self.runner.dry_run(plan, JobKind::Mirror(mirror), &shared, replication, &mut sink)
            },
            |(path, reason, size), watch| {
                if reason != MirrorReason::Orphan {
                    files += 1;
                    bytes += size;
                }
                watch.event(Event::WouldSend { path, reason, bytes: size });
            },
        )?;
        check(&outcome)?;
        Ok(Reply::DryRun { files, bytes })
    }

    /// Counts what belongs to a set (RST-14).
    pub(in crate::engine) fn calculate(
        &self,
        plan: &JobPlan,
        watch: &mut dyn Watch,
    ) -> Result<SetSize, ApiError> {
        let shared = JobShared::new();
        shared.set_phase(Phase::Calculating);
        let work = |_: &mut dyn FnMut(())| self.runner.calculate(plan, &shared);
        aside(&shared, Phase::Calculating, watch, work, |(), _| {})
    }
}

/// Runs `work` on another thread and hands what it tells to `heard` on this one. An error when the caller gave up.
fn aside<T: Send, R: Send>(
    shared: &JobShared,
    phase: Phase,
    watch: &mut dyn Watch,
    work: impl FnOnce(&mut dyn FnMut(T)) -> R + Send,
    mut heard: impl FnMut(T, &mut dyn Watch),
) -> Result<R, ApiError> {
    let (tell, told) = sync_channel(LINES);
    std::thread::scope(|scope| {
        // Sending fails only if the calling thread is gone.
        let work = inherit(move || work(&mut |item| drop(tell.send(item))));
        let worker = std::thread::Builder::new().name("aside".to_owned()).spawn_scoped(scope, work);
        let worker = worker.map_err(|error| ApiError::no_thread(&error))?;
        loop {
            match told.recv_timeout(BEAT) {
                Ok(item) => heard(item, watch),
                Err(RecvTimeoutError::Timeout) => watch.event(Event::Progress(status::of_job(shared, phase))),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if watch.cancelled() {
                shared.stop();
                // It has sent only questions, and while transmission is stopped nobody answers them.
                shared.discard();
            }
        }
        let result = worker.join().map_err(|_| {
            ApiError::new(Code::UnknownError, "an internal error stopped it")
                .help("standard error has the details; please report them")
        })?;
        if shared.stopped() { Err(interrupted()) } else { Ok(result) }
    })
}

/// A dry run that could not look at everything is no answer.
fn check(outcome: &JobOutcome) -> Result<(), ApiError> {
    if let Some(fatal) = &outcome.fatal {
        return Err(fatal.clone());
    }
    match outcome.failures.first() {
        None => Ok(()),
        Some(first) => Err(ApiError::new(
            Code::ConnectionFailed,
            format!(
                "the dry run could not look at {} files, the first is {}: {}",
                outcome.failures.len(),
                escape(&first.path),
                first.reason
            ),
        )
        .help("a mirror would leave them out; the log has all of them")),
    }
}
