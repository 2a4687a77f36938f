//! Ends: DISCONNECT, and what happens to connections when the engine is closed.

use super::support::*;
use crate::api::*;
use crate::engine::Engine;
use crate::engine::home::Home;
use crate::engine::job::JobOutcome;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_second_engine_on_the_home_is_refused_until_the_first_is_closed() {
    let bench = Bench::new();
    let home = || Home::at(bench.path("home"));
    assert_eq!(Engine::open(home()).err().unwrap().code, Code::ProductIsRunning);
    assert!(bench.engine.close(Duration::ZERO).is_empty());
    let second = Engine::open(home()).unwrap();
    let Reply::Repsets(sets) = second.call(Request::RepsetList, &mut ()).unwrap() else { unreachable!() };
    assert_eq!(sets[0].name, "payroll", "what was saved is there again");
    assert_eq!(
        bench.code(Request::Connect(bench.spec())),
        Code::ServerIsNotResponding,
        "the first is closed"
    );
}

#[test]
fn a_mirror_gets_time_to_end_and_the_connection_is_named() {
    let bench = Bench::new();
    bench.mirroring();
    bench.until_jobs(1);
    bench.runner.complete();
    assert_eq!(bench.engine.close(MINUTE), ["connection 1 of payroll to localhost: the mirror is complete"]);
}

#[test]
fn what_does_not_end_in_time_is_stopped() {
    let bench = Bench::new();
    bench.mirroring();
    let named = bench.engine.close(Duration::ZERO);
    assert_eq!(named, ["connection 1 of payroll to localhost: stopped before it was complete"]);
}

#[test]
fn a_paused_mirror_is_not_waited_for() {
    let bench = Bench::new();
    bench.mirroring();
    bench.ask(Request::MirrorPause { connection: ONE }).unwrap();
    let named = bench.engine.close(MINUTE);
    assert_eq!(named, ["connection 1 of payroll to localhost: stopped before it was complete"]);
}

#[test]
fn an_idle_connection_says_how_good_the_copy_is() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    bench.connect(ConnectSpec {
        map: MapSpec::Base(bench.text("second")),
        mirror: Some(MirrorSpec::default()),
        ..bench.spec()
    });
    bench.runner.end(JobOutcome::default());
    let wait = Request::Wait { connection: ConnectionId(2), until: Until::Mirror, timeout_ms: None };
    bench.ask(wait).unwrap_err();
    assert_eq!(
        bench.engine.close(MINUTE),
        [
            "connection 1 of payroll to localhost: nothing was mirrored",
            "connection 2 of payroll to localhost: a mirror is required"
        ]
    );
}

#[test]
fn disconnect_stops_the_job_and_ends_waits() {
    let bench = Bench::new();
    bench.mirroring();
    std::thread::scope(|scope| {
        let (begun, seen) = std::sync::mpsc::channel();
        let bench = &bench;
        let waiting = scope.spawn(move || {
            let mut watcher = Watcher::new(|| {
                let _ = begun.send(());
            });
            let wait = Request::Wait { connection: ONE, until: Until::Mirror, timeout_ms: None };
            bench.engine.call(wait, &mut watcher)
        });
        seen.recv().unwrap();
        bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
        assert!(waiting.join().unwrap().is_err());
    });
    assert_eq!(bench.code(Request::Status { connection: ONE }), Code::ConnectionDoesNotExist);
    assert_eq!(
        bench.code(Request::Disconnect { connection: ONE, discard: false }),
        Code::ConnectionDoesNotExist
    );
}

#[test]
fn discard_tells_the_job() {
    let bench = Bench::new();
    bench.mirroring();
    let shared = bench.shared(ONE);
    bench.ask(Request::Disconnect { connection: ONE, discard: true }).unwrap();
    assert!(shared.stopped() && shared.discarding().is_cut());
}

#[test]
fn a_disconnect_that_is_not_waited_for_still_ends_the_connection() {
    let bench = Bench::new();
    bench.mirroring();
    bench.runner.deaf.store(true, Relaxed);
    let mut watcher = Watcher::new(|| ());
    watcher.cancelled = true;
    let request = Request::Disconnect { connection: ONE, discard: false };
    assert!(bench.engine.call(request, &mut watcher).unwrap_err().message.contains("interrupted"));
    assert_eq!(bench.words(ONE).1, "Mirroring", "it is there as long as it works");
    bench.runner.complete();
    while bench.ask(Request::Status { connection: ONE }).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(bench.connect(bench.spec()), ConnectionId(2), "its place is free");
}

#[test]
fn a_job_that_hangs_does_not_hold_the_end() {
    let bench = Bench::new();
    bench.mirroring();
    bench.runner.deaf.store(true, Relaxed);
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| bench.engine.close(Duration::ZERO));
        while !closing.is_finished() {
            bench.clock.forward(Duration::from_secs(1));
            std::thread::yield_now();
        }
        assert_eq!(
            closing.join().unwrap(),
            ["connection 1 of payroll to localhost: what it was doing did not stop in time"]
        );
    });
    bench.runner.complete();
}
