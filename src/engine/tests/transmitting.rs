//! TRANSMISSION, PAUSE TARGET and COMPRESSION as a connection shows them (25.2, CNX-03, CNX-06, TRN-40 to -43).

use super::support::*;
use crate::api::*;
use crate::engine::job::{JobFailure, JobOutcome};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn step(target: &str, step: TransmissionStep) -> Request {
    Request::Transmission { target: target.into(), step }
}

fn pause(paused: bool) -> Request {
    Request::PauseTarget { target: "localhost".into(), paused }
}

const STOP: TransmissionStep = TransmissionStep::Stop;
const START: TransmissionStep = TransmissionStep::Start;
const PAUSE: TransmissionStep = TransmissionStep::Pause;

fn shown(bench: &Bench) -> (String, String, Option<String>) {
    let status = bench.status(ONE);
    (status.transmit, status.target_status, status.last_error)
}

fn row(rows: Reply, label: &str) -> String {
    let (Reply::Source(rows) | Reply::Target(rows)) = rows else { panic!("{rows:?}") };
    rows.into_iter().find(|(name, _)| name == label).unwrap().1
}

/// 25.2: the states, and Connected Since, which is blank while there is no socket and kept while it is paused.
#[test]
fn status_shows_whether_it_is_sent_and_what_to_type() {
    let bench = Bench::new();
    bench.following();
    let since = || row(bench.ask(Request::StatusSource).unwrap(), "Connected since");
    let began = since();
    assert!(!began.is_empty());
    assert_eq!(shown(&bench), ("Started".into(), "OK".into(), None));
    bench.ask(step("localhost", PAUSE)).unwrap();
    let (transmit, target, why) = shown(&bench);
    assert_eq!((&*transmit, &*target), ("Paused", "OK"));
    assert!(why.unwrap().contains("TRANSMISSION RESUME localhost"));
    assert_eq!(since(), began);
    bench.ask(step("localhost", STOP)).unwrap();
    let (transmit, _, why) = shown(&bench);
    assert_eq!(transmit, "Stopped");
    assert!(why.unwrap().contains("TRANSMISSION START localhost"));
    assert_eq!(since(), "");
    assert_eq!(bench.code(step("localhost", PAUSE)), Code::TransmissionIsPaused);
    // Another name of this machine is the same target (CNX-06).
    bench.ask(step("127.0.0.1", START)).unwrap();
    assert_eq!(shown(&bench).0, "Started");
    assert!(!since().is_empty());
    assert_eq!(bench.code(step("localhost", START)), Code::TransmissionIsActive);
}

/// CNX-06: another address is another target.
#[test]
fn what_holds_for_a_target_holds_for_all_its_connections_and_no_others() {
    let bench = Bench::new();
    bench.following();
    let mut watcher = Watcher::new(|| ());
    bench.engine.call(step("192.0.2.7", STOP), &mut watcher).unwrap();
    assert!(
        matches!(&watcher.events[..], [Event::Notice(text)] if text.contains("no connection leads to 192.0.2.7"))
    );
    assert_eq!(shown(&bench).0, "Started");
    bench.make("other");
    bench.set("other", &bench.path("other"));
    bench.ask(step("localhost", STOP)).unwrap();
    let spec =
        ConnectSpec { repset: "other".into(), map: MapSpec::Base(bench.text("elsewhere")), ..bench.spec() };
    let mut watcher = Watcher::new(|| ());
    let Reply::Connected(two) = bench.engine.call(Request::Connect(spec), &mut watcher).unwrap() else {
        panic!()
    };
    assert!(
        watcher
            .events
            .iter()
            .any(|event| matches!(event, Event::Notice(text) if text.contains("TRANSMISSION START")))
    );
    assert_eq!(bench.status(two).transmit, "Stopped");
    bench.ask(step("localhost", START)).unwrap();
    assert_eq!((shown(&bench).0, bench.status(two).transmit), ("Started".into(), "Started".into()));
}

/// TRN-02: until it is started again by hand.
#[test]
fn it_stays_so_over_a_restart() {
    let bench = Bench::new();
    bench.ask(step("localhost", STOP)).unwrap();
    bench.ask(pause(true)).unwrap();
    let bench = bench.again();
    bench.connect(bench.spec());
    assert_eq!((shown(&bench).0, shown(&bench).1), ("Stopped".into(), "Paused".into()));
    bench.ask(step("localhost", START)).unwrap();
    bench.ask(pause(false)).unwrap();
    let bench = bench.again();
    bench.connect(bench.spec());
    assert_eq!((shown(&bench).0, shown(&bench).1), ("Started".into(), "OK".into()));
}

/// CNX-03: what is in progress completes first.
#[test]
fn a_target_is_pause_pending_until_it_has_applied_what_was_sent() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.shared.target_ops.store(3, Relaxed);
    std::thread::scope(|scope| {
        let pausing = scope.spawn(|| bench.ask(pause(true)));
        bench.until(ONE, |status| status.target_status == "Pause Pending");
        assert!(!pausing.is_finished());
        assert_eq!(row(bench.ask(Request::StatusTarget).unwrap(), "Target status"), "Pause Pending");
        follower.shared.target_ops.store(0, Relaxed);
        pausing.join().unwrap().unwrap();
    });
    assert_eq!(shown(&bench).1, "Paused");
    assert_eq!(bench.code(pause(true)), Code::TargetIsPaused);
    // Who gives up waiting leaves it so.
    bench.ask(pause(false)).unwrap();
    assert_eq!(bench.code(pause(false)), Code::TargetIsActive);
    follower.shared.target_ops.store(3, Relaxed);
    let mut gives_up = Watcher { cancelled: true, ..Watcher::new(|| ()) };
    assert!(bench.engine.call(pause(true), &mut gives_up).is_err());
    assert_eq!(shown(&bench).1, "Pause Pending");
}

#[test]
fn waits_say_why_and_go_on_with_it() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.queue(7);
    bench.ask(step("localhost", PAUSE)).unwrap();
    let mut watcher = Watcher::new(|| {
        bench.ask(step("localhost", START)).unwrap();
        follower.queue(0);
    });
    let waits = Request::Wait { connection: ONE, until: Until::Queue, timeout_ms: None };
    assert_eq!(bench.engine.call(waits, &mut watcher), Ok(Reply::Done));
    let told = |event: &Event| matches!(event, Event::Notice(text) if text.contains("TRANSMISSION RESUME localhost goes on; the wait goes on"));
    assert_eq!(watcher.events.iter().filter(|event| told(event)).count(), 1, "{:?}", watcher.events);
}

/// DISCONNECT sends first what is queued: it would wait for ever.
#[test]
fn what_would_send_first_is_refused_with_the_remedy_and_discard_is_not() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.queue(7);
    bench.ask(step("localhost", STOP)).unwrap();
    let disconnect = |discard| Request::Disconnect { connection: ONE, discard };
    let refused = bench.refusal(disconnect(false));
    assert!(
        refused.contains("TRANSMISSION START localhost") && refused.contains("DISCONNECT 1 DISCARD"),
        "{refused}"
    );
    assert_eq!(bench.code(Request::ReplicationStop { connection: ONE }), Code::TransmissionIsPaused);
    assert!(follower.stops.lock().unwrap().is_empty());
    bench.ask(disconnect(true)).unwrap();
    assert_eq!(*follower.stops.lock().unwrap(), [true]);
}

/// The end of the engine does not wait for what cannot be sent.
#[test]
fn an_engine_ends_at_once_while_nothing_is_sent() {
    let bench = Bench::new();
    let follower = bench.replicating();
    follower.queue(7);
    bench.ask(step("localhost", PAUSE)).unwrap();
    // The clock stands still: whoever waited for the deadline would wait for ever.
    let named = bench.engine.close(Duration::from_secs(3600));
    assert!(named[0].contains("7 changes were not sent"), "{named:?}");
    assert_eq!(*follower.stops.lock().unwrap(), [true]);
}

/// The watchdog takes no target that cannot tell what it did for a standstill.
#[test]
fn what_is_held_is_no_standstill() {
    let bench = Bench::new();
    bench.following().shared.target_ops.store(3, Relaxed);
    assert!(bench.engine.progress()[0].1.has_work);
    bench.ask(step("localhost", STOP)).unwrap();
    assert!(!bench.engine.progress()[0].1.has_work);
}

/// TRN-40, TRN-42, TRN-43.
#[test]
fn compression_is_off_until_it_is_enabled_and_is_kept_for_the_target() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let list = |bench: &Bench| match bench.ask(Request::Compressions).unwrap() {
        Reply::Compressions(lines) => {
            lines.into_iter().map(|l| (l.target, l.enabled, l.level)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let change = |change| Request::Compression { target: "localhost".into(), change };
    assert_eq!(list(&bench), [("localhost".into(), false, None)]);
    bench.ask(change(CompressionChange::Level(7))).unwrap();
    assert_eq!(list(&bench), [("localhost".into(), false, Some(7))], "a level does not turn it on");
    let mut watcher = Watcher::new(|| ());
    bench.engine.call(change(CompressionChange::Enable), &mut watcher).unwrap();
    assert!(matches!(&watcher.events[..], [Event::Notice(text)] if text.contains("is not compressed")));
    assert_eq!(bench.code(change(CompressionChange::Level(20))), Code::InvalidParameterWasSupplied);
    let bench = bench.again();
    assert_eq!(list(&bench), [("localhost".into(), true, Some(7))]);
    bench.ask(change(CompressionChange::Auto)).unwrap();
    bench.ask(change(CompressionChange::Disable)).unwrap();
    assert_eq!(list(&bench), [("localhost".into(), false, None)]);
    let spec = ConnectSpec { compress: Some("5".into()), ..bench.spec() };
    bench.connect(spec);
    assert_eq!(list(&bench), [("localhost".into(), true, Some(5))]);
    assert!(bench.log().contains("Compression has been enabled (localhost), level 5"));
}

/// 9.1 rows 13, 18 and 21: equal while it is off.
#[test]
fn what_is_sent_is_shown_as_it_was_and_as_it_was_compressed() {
    let bench = Bench::new();
    let follower = bench.replicating();
    set_counters(&bench.shared(ONE), 1000, 0, 0);
    follower.shared.bytes_transmitted.store(500, Relaxed);
    let sent = || {
        let status = bench.status(ONE);
        let mirror = (status.mirror_bytes_transferred, status.mirror_bytes_transmitted);
        (mirror, (status.replication_bytes_transferred, status.replication_bytes_transmitted))
    };
    assert_eq!(sent(), ((1000, 1000), (500, 500)));
    follower.plan.traffic.spared[0].store(900, Relaxed);
    follower.plan.traffic.spared[1].store(200, Relaxed);
    assert_eq!(sent(), ((1000, 100), (500, 300)));
    bench.runner.end(JobOutcome {
        failures: vec![JobFailure { path: b"/a".to_vec(), reason: "gone".into() }],
        ..JobOutcome::default()
    });
    bench.until(ONE, |status| status.mirror == "Idle");
    assert_eq!(sent().0, (1000, 100));
}
