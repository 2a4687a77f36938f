//! A verification from its first line in the log to its last.

use super::start::{Start, begin, policy, root_is_gone, spawn_comparer};
use super::{COMPARISONS, Way, broken_off, refused};
use crate::api::{MirrorKind, MirrorSpec, Phase, VerifySpec};
use crate::engine::job::{JobOutcome, JobPlan, JobShared, Sink};
use crate::engine::source::compare::{Compare, Comparer};
use crate::engine::source::listing::{Listing, TargetEntry};
use crate::engine::source::mirror::Mirror;
use crate::engine::source::orphans::{Orphans, terms};
use crate::engine::source::sums::Sums;
use crate::engine::source::verify::{Findings, Verify};
use crate::engine::source::verify_log::VerifyLog;
use crate::engine::source::walk::walk;
use crate::sys;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;

pub(super) fn run(plan: &JobPlan, spec: VerifySpec, shared: &JobShared, way: Way) -> JobOutcome {
    let Some(terms) = terms(plan, shared, &way, spec.orphans) else { return broken_off(shared) };
    let spec = VerifySpec { orphans: spec.orphans || terms.on, ..spec };
    way.gate.verify_begins(spec.remirror);
    let Start { started, roots, report } = match begin(plan, shared, &way, None) {
        Ok(start) => start,
        Err(error) => return refused(error),
    };
    let own = way.is_own();
    let Way { emitter, gate, listings, sums, results, frames } = way;
    let emitter = &*emitter;
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
    let sums = &mut Sums::new(sums, frames.clone());
    let walked = std::thread::scope(|scope| {
        let comparer =
            Comparer { emitter, gate: &gate, report: &report, shared, sums, verify: Some(&findings) };
        let comparing = spawn_comparer(scope, comparer, queue)?;
        let mut verify = Verify {
            plan,
            spec,
            shared,
            emitter,
            gate: &gate,
            report: &report,
            findings: &findings,
            listing: Listing::new((plan.sink != Sink::Null).then_some(listings), frames.clone()),
            compare,
            orphans: Orphans::new(spec.orphans, terms),
            as_root: sys::is_root(),
            asked: 0,
            gone: false,
            entry: TargetEntry::empty(),
            roots: &roots,
        };
        let mut walked = true;
        for number in 0..plan.paths.len() {
            match roots.iter().find(|root| usize::from(root.number) == number) {
                Some(root) => walked = walked && walk(plan, root, None, shared, &mut verify),
                None => {
                    let number = u16::try_from(number).unwrap_or(u16::MAX);
                    root_is_gone((&mut verify.listing, &mut verify.orphans), &report, shared, number);
                }
            }
        }
        walked &= !verify.gone && emitter.lock().flush().is_ok();
        let Verify { listing, compare, orphans, .. } = verify;
        drop(compare);
        walked &= comparing.join().unwrap_or(false);
        // Afterwards what was found different is sent whole by the mirror's own code.
        let job = (plan, shared, policy);
        let mut mirror = Mirror::new(job, (emitter, &gate, results), (&report, &roots), listing, orphans);
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
    if own {
        emitter.lock().close();
    }
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
