//! SCHEDULE VERIFY by a clock that is moved (VER-10 to -13).

use super::support::*;
use crate::api::*;
use crate::engine::Engine;
use crate::engine::home::Home;
use crate::engine::job::JobOutcome;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn every(n: u64, unit: TimeUnit, verify: VerifySpec) -> Request {
    let schedule = VerifyScheduleSpec { time: None, every: Some((n, unit)), verify };
    Request::ScheduleVerify { connection: ONE, schedule: Some(schedule) }
}

fn home(bench: &Bench) -> Home {
    Home::at(bench.path("home"))
}

/// Its engine is closed and opened, as a service's is.
fn started_again(bench: Bench) -> Bench {
    bench.engine.close(Duration::ZERO);
    opened(bench)
}

/// The same of one that is closed.
fn opened(bench: Bench) -> Bench {
    let engine = Engine::open_as(home(&bench), bench.runner.clone(), bench.clock.clone(), true).unwrap();
    engine.resume_connections().unwrap();
    Bench { engine, ..bench }
}

/// Looks so often that what is due has been done.
fn look(bench: &Bench) {
    for _ in 0..3 {
        for beginning in bench.engine.look_at_schedules() {
            beginning.join().unwrap();
        }
    }
}

/// Verifications that have begun so far.
fn runs(bench: &Bench) -> usize {
    let plans = bench.runner.plans.lock().unwrap();
    plans.iter().filter(|(_, kind)| matches!(kind, crate::engine::job::JobKind::Verify(_))).count()
}

/// Looks until so many have begun.
#[track_caller]
fn until_runs(bench: &Bench, count: usize) {
    let began = Instant::now();
    while runs(bench) < count {
        look(bench);
        assert!(began.elapsed() < Duration::from_secs(20), "{} runs: {}", runs(bench), bench.log());
    }
    look(bench);
    assert_eq!(runs(bench), count);
}

/// The same by the engine's own looks.
#[track_caller]
fn by_itself(bench: &Bench, count: usize) {
    let began = Instant::now();
    while runs(bench) < count {
        assert!(began.elapsed() < Duration::from_secs(20), "{} runs: {}", runs(bench), bench.log());
        std::thread::yield_now();
    }
    until_runs(bench, count);
}

/// Ends the run with this, and looks until that is known.
fn end(bench: &Bench, outcome: JobOutcome) {
    bench.runner.end(outcome);
    bench.until(ONE, |status| status.mirror == "Idle");
    look(bench);
}

fn whole() -> JobOutcome {
    JobOutcome { complete: true, ..JobOutcome::default() }
}

fn failed() -> JobOutcome {
    JobOutcome { fatal: Some(ApiError::bare(Code::ConnectionFailed)), ..JobOutcome::default() }
}

fn shown(bench: &Bench) -> String {
    bench.status(ONE).verification.unwrap_or_default()
}

#[test]
fn a_connection_is_verified_at_once_and_then_by_its_interval() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let verify = VerifySpec { checksum: true, ..VerifySpec::default() };
    bench.ask(every(2, TimeUnit::Hours, verify)).unwrap();
    by_itself(&bench, 1);
    assert_eq!(bench.words(ONE).1, "Verifying");
    let kind = bench.runner.plans.lock().unwrap()[0].1;
    assert!(matches!(kind, crate::engine::job::JobKind::Verify(spec) if spec == verify), "{kind:?}");
    bench.until(ONE, |status| {
        status.verification.as_deref().is_some_and(|words| words.ends_with("; one runs"))
    });
    assert!(shown(&bench).starts_with("every 2 hours from "), "{}", shown(&bench));
    end(&bench, whole());
    bench.clock.pass(HOUR);
    look(&bench);
    assert_eq!(runs(&bench), 1);
    let Reply::Schedule(view) = bench.ask(Request::ScheduleView { target: "localhost".into() }).unwrap()
    else {
        panic!()
    };
    assert_eq!(view.verifications, [(ONE, shown(&bench))]);
    bench.clock.pass(HOUR);
    until_runs(&bench, 2);
    end(&bench, whole());
    bench.ask(Request::ScheduleVerify { connection: ONE, schedule: None }).unwrap();
    bench.clock.pass(30 * HOUR);
    look(&bench);
    assert_eq!((runs(&bench), shown(&bench)), (2, String::new()));
}

#[test]
fn one_that_is_due_waits_for_a_mirror_and_for_transmission() {
    let bench = Bench::new();
    bench.mirroring();
    bench.until_jobs(1);
    bench.ask(every(1, TimeUnit::Days, VerifySpec::default())).unwrap();
    look(&bench);
    assert_eq!(runs(&bench), 0);
    assert!(bench.log().contains("that is due waits: a mirror runs"), "{}", bench.log());
    let transmission = |step| Request::Transmission { target: "localhost".into(), step };
    bench.ask(transmission(TransmissionStep::Pause)).unwrap();
    bench.ask(Request::MirrorStop { connection: ONE }).unwrap();
    look(&bench);
    assert_eq!(runs(&bench), 0);
    bench.ask(transmission(TransmissionStep::Resume)).unwrap();
    until_runs(&bench, 1);
    end(&bench, whole());
}

#[test]
fn one_that_fails_is_tried_again_so_often() {
    let bench = Bench::new();
    bench.set_option("VerifyRetryInterval", "10");
    bench.set_option("VerifyRetryLimit", "2");
    bench.connect(bench.spec());
    bench.ask(every(1, TimeUnit::Days, VerifySpec::default())).unwrap();
    for run in 1..=3 {
        until_runs(&bench, run);
        end(&bench, failed());
        bench.clock.pass(9 * MINUTE);
        look(&bench);
        assert_eq!(runs(&bench), run);
        bench.clock.pass(MINUTE);
    }
    look(&bench);
    assert_eq!(runs(&bench), 3);
    assert!(bench.log().contains("is not tried again before its next time"));
    bench.clock.pass(24 * HOUR);
    until_runs(&bench, 4);
    // What a person stops is no failure.
    bench.ask(Request::VerifyStop { connection: ONE }).unwrap();
    look(&bench);
    bench.clock.pass(HOUR);
    look(&bench);
    assert_eq!(runs(&bench), 4);
}

#[test]
fn a_single_one_is_forgotten_when_it_has_been() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let schedule = VerifyScheduleSpec { time: None, every: None, verify: VerifySpec::default() };
    bench.ask(Request::ScheduleVerify { connection: ONE, schedule: Some(schedule.clone()) }).unwrap();
    until_runs(&bench, 1);
    end(&bench, whole());
    assert_eq!(shown(&bench), "");
    let past = VerifyScheduleSpec { time: Some("2001-01-01T10:00:00".into()), ..schedule };
    let asked = Request::ScheduleVerify { connection: ONE, schedule: Some(past) };
    assert_eq!(bench.code(asked), Code::ScheduleCommandIsInvalid);
}

#[test]
fn a_service_that_is_started_again_goes_on_with_them() {
    let bench = started_again(Bench::new());
    bench.connect(bench.spec());
    bench.ask(every(1, TimeUnit::Days, VerifySpec::default())).unwrap();
    until_runs(&bench, 1);
    // It is cut: it begins anew.
    let bench = started_again(bench);
    until_runs(&bench, 2);
    end(&bench, whole());
    bench.engine.close(Duration::ZERO);
    // Three days that nobody saw are made good once.
    bench.clock.pass(73 * HOUR);
    let bench = opened(bench);
    by_itself(&bench, 3);
    end(&bench, whole());
    bench.clock.pass(22 * HOUR);
    look(&bench);
    assert_eq!(runs(&bench), 3);
}

#[test]
fn times_that_cannot_be_read_again_are_told() {
    let bench = started_again(Bench::new());
    bench.connect(bench.spec());
    bench.ask(every(1, TimeUnit::Days, VerifySpec::default())).unwrap();
    bench.engine.close(Duration::ZERO);
    let kept = rusqlite::Connection::open(home(&bench).state_dir().join("connect.sts")).unwrap();
    assert_eq!(kept.execute("UPDATE connection SET verify = '{'", []).unwrap(), 1);
    drop(kept);
    let bench = opened(bench);
    assert!(bench.log().contains("is verified cannot be read"), "{}", bench.log());
    assert_eq!(shown(&bench), "");
}
