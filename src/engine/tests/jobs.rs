//! Mirror, verify, wait: states, words and refusals.

use super::support::*;
use crate::api::*;
use crate::engine::job::{JobFailure, JobOutcome};
use std::time::Duration;

fn start() -> Request {
    Request::MirrorStart { connection: ONE, mirror: MirrorSpec::default() }
}

fn verify() -> Request {
    Request::Verify { connection: ONE, verify: VerifySpec::default() }
}

fn failed() -> JobOutcome {
    let failure = JobFailure { path: b"/srv/x".to_vec(), reason: "Permission denied".into() };
    JobOutcome { failures: vec![failure], ..JobOutcome::default() }
}

#[test]
fn a_fresh_connection_requires_a_mirror() {
    let bench = Bench::new();
    assert_eq!(bench.connect(bench.spec()), ONE);
    assert_eq!(bench.words(ONE), words("Mirror Required", "Idle"));
    let status = bench.status(ONE);
    assert_eq!((status.target_status.as_str(), status.transmit.as_str()), ("OK", "Started"));
    assert_eq!(status.replication, "Stopped");
    assert_eq!(status.established_ms, 1_439_819_947_473);
}

#[test]
fn a_mirror_that_is_complete_makes_the_target_ok() {
    let bench = Bench::new();
    bench.mirroring();
    assert_eq!(bench.words(ONE), words("Mirroring", "Mirroring"));
    bench.runner.complete();
    assert_eq!(bench.wait(Until::Mirror), Ok(Reply::Done));
    assert_eq!(bench.words(ONE), words("OK", "Idle"));
}

#[test]
fn a_mirror_with_failures_ends_as_mirror_required_and_fails_the_wait() {
    let bench = Bench::new();
    bench.mirroring();
    bench.runner.end(failed());
    let error = bench.wait(Until::Mirror).unwrap_err();
    assert_eq!(error.code, Code::ConnectionFailed);
    assert!(error.message.contains("1 file failed, the first is /srv/x: Permission denied"), "{error}");
    assert!(error.help.unwrap().contains("EXPLAIN"));
    assert_eq!(bench.words(ONE), words("Mirror Required", "Idle"));
    let status = bench.status(ONE);
    assert_eq!(status.last_error.as_deref(), Some("/srv/x: Permission denied"));
}

#[test]
fn what_ended_a_mirror_early_keeps_its_number() {
    let bench = Bench::new();
    bench.mirroring();
    let fatal = Some(ApiError::new(Code::TargetDiskIsFull, "no space left in /copy").help("free some"));
    bench.runner.end(JobOutcome { fatal, ..JobOutcome::default() });
    let error = bench.wait(Until::Mirror).unwrap_err();
    assert_eq!(error.code, Code::TargetDiskIsFull);
    assert!(error.message.contains("no space left"), "{error}");
    assert_eq!(bench.wait(Until::Target).unwrap_err().code, Code::TargetDiskIsFull);
    assert_eq!(bench.wait(Until::Queue), Ok(Reply::Done));
}

#[test]
fn after_a_calculation_a_percentage_is_shown() {
    let bench = Bench::new();
    bench.connect(ConnectSpec { mirror: Some(MirrorSpec::default()), calculate: Some(true), ..bench.spec() });
    bench.until_jobs(1);
    set_counters(&bench.shared(ONE), 50, 20, 10);
    assert_eq!(bench.words(ONE), words("Mirroring", "35%"));
    let status = bench.status(ONE);
    assert_eq!(status.mirror_bytes_remaining, Some(130));
    assert_eq!((status.mirror_bytes_transferred, status.mirror_bytes_skipped), (50, 20));
    assert_eq!(status.mirror_bytes_queued, 10);
    bench.shared(ONE).set_phase(Phase::Waiting);
    assert_eq!(bench.words(ONE).1, "Waiting");
    bench.shared(ONE).set_phase(Phase::RemovingOrphans);
    assert_eq!(bench.words(ONE).1, "Removing Orphans");
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    let status = bench.status(ONE);
    assert_eq!(status.mirror_bytes_remaining, Some(0));
    assert_eq!(status.mirror_bytes_transferred, 50, "the counts stay after the end");
}

#[test]
fn pause_keeps_the_job_and_resume_goes_on() {
    let bench = Bench::new();
    bench.mirroring();
    bench.ask(Request::MirrorPause { connection: ONE }).unwrap();
    assert_eq!(bench.words(ONE), words("Mirroring", "Paused"));
    assert_eq!(bench.code(Request::VerifyResume { connection: ONE }), Code::MirrorIsNotPaused);
    bench.ask(Request::MirrorResume { connection: ONE }).unwrap();
    assert_eq!(bench.code(Request::MirrorResume { connection: ONE }), Code::MirrorIsNotPaused);
    bench.runner.complete();
    assert_eq!(bench.wait(Until::Mirror), Ok(Reply::Done));
}

#[test]
fn stop_ends_the_job_before_it_answers() {
    let bench = Bench::new();
    bench.mirroring();
    bench.ask(Request::MirrorStop { connection: ONE }).unwrap();
    assert_eq!(bench.words(ONE), words("Mirror Required", "Idle"));
    assert_eq!(bench.wait(Until::Mirror).unwrap_err().code, Code::MirrorIsNotRunning);
    assert_eq!(bench.code(Request::MirrorStop { connection: ONE }), Code::MirrorIsNotRunning);
    bench.ask(start()).unwrap();
    assert_eq!(bench.words(ONE), words("Mirroring", "Mirroring"));
}

#[test]
fn a_paused_mirror_can_be_stopped() {
    let bench = Bench::new();
    bench.mirroring();
    bench.ask(Request::MirrorPause { connection: ONE }).unwrap();
    bench.ask(Request::MirrorStop { connection: ONE }).unwrap();
    assert_eq!(bench.words(ONE), words("Mirror Required", "Idle"));
}

#[test]
fn one_job_at_a_time() {
    let bench = Bench::new();
    bench.mirroring();
    assert_eq!(bench.code(start()), Code::MirrorAlreadyActive);
    assert_eq!(bench.code(verify()), Code::MirrorCurrentlyActive);
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    bench.ask(verify()).unwrap();
    assert_eq!(bench.words(ONE), words("OK", "Verifying"));
    assert_eq!(bench.code(start()), Code::MirrorAlreadyActive);
    assert_eq!(bench.code(Request::MirrorPause { connection: ONE }), Code::MirrorIsNotRunning);
    bench.ask(Request::VerifyPause { connection: ONE }).unwrap();
    bench.ask(Request::VerifyResume { connection: ONE }).unwrap();
    bench.ask(Request::VerifyStop { connection: ONE }).unwrap();
    assert_eq!(bench.words(ONE), words("OK", "Idle"));
}

#[test]
fn a_report_is_there_once_a_verification_has_ended() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let report = Request::VerifyReport { connection: ONE };
    assert_eq!(bench.code(report.clone()), Code::InvalidParameterWasSupplied);
    bench.ask(verify()).unwrap();
    let found = VerifyReport { files_different: 1, ..VerifyReport::default() };
    bench.runner.end(JobOutcome { complete: true, verify: Some(found.clone()), ..JobOutcome::default() });
    let error = bench.wait(Until::Mirror).unwrap_err();
    assert!(error.message.contains("1 file differs"), "{error}");
    assert_eq!(bench.ask(report), Ok(Reply::Verify(Box::new(found))));
}

#[test]
fn what_was_never_begun_cannot_be_waited_for() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    assert_eq!(bench.wait(Until::Mirror).unwrap_err().code, Code::MirrorIsNotRunning);
    assert_eq!(bench.wait(Until::Queue), Ok(Reply::Done));
    assert_eq!(bench.wait(Until::Target), Ok(Reply::Done));
    let other = Request::Wait { connection: ConnectionId(7), until: Until::Queue, timeout_ms: None };
    assert_eq!(bench.code(other), Code::ConnectionDoesNotExist);
}

#[test]
fn a_wait_ends_when_its_time_is_over() {
    let bench = Bench::new();
    bench.mirroring();
    let wait = |ms| Request::Wait { connection: ONE, until: Until::Mirror, timeout_ms: Some(ms) };
    assert_eq!(bench.ask(wait(0)), Ok(Reply::TimedOut));
    let mut watcher = Watcher::new(|| bench.clock.forward(Duration::from_secs(600)));
    assert_eq!(bench.engine.call(wait(3_600_000), &mut watcher), Ok(Reply::TimedOut));
    assert_eq!(watcher.events.len(), 6, "an hour in steps of ten minutes");
    assert!(matches!(&watcher.events[0], Event::Progress(progress) if progress.phase == Phase::Mirroring));
    assert_eq!(bench.words(ONE).1, "Mirroring", "what was waited for goes on");
}

#[test]
fn a_wait_can_be_given_up() {
    let bench = Bench::new();
    bench.mirroring();
    let mut watcher = Watcher::new(|| ());
    watcher.cancelled = true;
    let wait = Request::Wait { connection: ONE, until: Until::Mirror, timeout_ms: None };
    assert!(bench.engine.call(wait, &mut watcher).unwrap_err().message.contains("interrupted"));
    assert_eq!(bench.words(ONE).1, "Mirroring");
}

#[test]
fn a_wait_on_a_paused_mirror_says_so_once() {
    let bench = Bench::new();
    bench.mirroring();
    bench.ask(Request::MirrorPause { connection: ONE }).unwrap();
    let mut watcher = Watcher::new(|| bench.clock.forward(Duration::from_secs(20)));
    let wait = Request::Wait { connection: ONE, until: Until::Mirror, timeout_ms: Some(60_000) };
    assert_eq!(bench.engine.call(wait, &mut watcher), Ok(Reply::TimedOut));
    let notices = watcher.events.iter().filter(|event| matches!(event, Event::Notice(_))).count();
    assert_eq!(notices, 1);
    assert_eq!(bench.wait(Until::Target), Ok(Reply::Done), "the target has all that was sent");
}

#[test]
fn the_queue_is_waited_for_until_it_is_empty() {
    let bench = Bench::new();
    bench.mirroring();
    bench.until_jobs(1);
    let shared = bench.shared(ONE);
    set_counters(&shared, 10, 0, 5);
    shared.set_phase(Phase::Waiting);
    let wait = Request::Wait { connection: ONE, until: Until::Queue, timeout_ms: Some(0) };
    assert_eq!(bench.ask(wait.clone()), Ok(Reply::TimedOut));
    set_counters(&shared, 10, 0, 0);
    assert_eq!(bench.ask(wait), Ok(Reply::Done));
}

#[test]
fn clean_needs_the_cleaner_option() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let mirror = MirrorSpec { clean: true, ..MirrorSpec::default() };
    let request = Request::MirrorStart { connection: ONE, mirror };
    assert_eq!(bench.code(request.clone()), Code::CleanerOptionIsNotEnabled);
    bench.ask(Request::Set { option: "Cleaner".into(), value: "1".into() }).unwrap();
    bench.ask(request).unwrap();
}

#[test]
fn rules_saved_later_count_in_the_next_mirror() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    bench.make("more");
    bench.rule("payroll", &bench.path("more"), true);
    bench.ask(Request::RepsetSave { repset: None }).unwrap();
    bench.ask(start()).unwrap();
    bench.until_jobs(1);
    assert_eq!(bench.runner.plans.lock().unwrap()[0].0.paths.len(), 2);
    assert_eq!(bench.status(ONE).paths.len(), 2);
}

/// RST-08: what is not saved is not in force, and holds no mirror up.
#[test]
fn unsaved_rules_do_not_count() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    bench.rule("payroll", &bench.path("more"), true);
    bench.ask(start()).unwrap();
    bench.until_jobs(1);
    assert_eq!(bench.runner.plans.lock().unwrap()[0].0.paths.len(), 1);
}

#[test]
fn an_internal_error_ends_the_job_and_not_the_engine() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let poisoned = std::sync::Arc::clone(&bench.runner);
    // The runner panics when its lock is poisoned.
    let _ = std::thread::spawn(move || {
        let _held = poisoned.plans.lock();
        panic!("on purpose");
    })
    .join();
    bench.ask(start()).unwrap();
    let error = bench.wait(Until::Mirror).unwrap_err();
    assert!(error.message.contains("internal error"), "{error}");
    assert_eq!(bench.words(ONE), words("Mirror Required", "Idle"));
}
