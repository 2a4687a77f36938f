//! Replication as a connection steers it: CONNECT, REPLICATION START and STOP, BARRIER, waits (JOB-02, RPL-01,
//! RPL-02, 9.1, 25.2).

use super::support::*;
use crate::api::*;
use crate::engine::connection::Stage;
use crate::engine::job::{JobFailure, JobOutcome};
use crate::engine::replication::{Activity, Backend, Hold};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const START: Request = Request::ReplicationStart { connection: ONE };
const STOP: Request = Request::ReplicationStop { connection: ONE };

fn barrier(ms: u64) -> Request {
    Request::Barrier { connection: ONE, timeout_ms: Some(ms) }
}

fn mirror() -> Request {
    Request::MirrorStart { connection: ONE, mirror: MirrorSpec::default() }
}

/// JOB-02
#[test]
fn connect_captures_before_it_mirrors() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        let slow = bench.runner.slow();
        let connecting = scope.spawn(|| bench.replicating());
        while bench.ask(Request::Status { connection: ONE }).is_err() {
            std::thread::yield_now();
        }
        assert_eq!(bench.replication(ONE), words("Mirror Required", "Pending"));
        assert_eq!(bench.code(mirror()), Code::ReplicationIsPending, "not before changes are captured");
        assert!(bench.runner.plans.lock().unwrap().is_empty());
        drop(slow);
        connecting.join().unwrap();
    });
    assert_eq!(bench.replication(ONE), words("Mirroring", "Ready"));
    assert_eq!(*bench.runner.over_stream.lock().unwrap(), [true]);
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    assert_eq!(bench.replication(ONE), words("OK", "Ready"));
}

#[test]
fn a_connect_whose_capture_is_refused_leaves_nothing() {
    let bench = Bench::new();
    let refusal = ApiError::new(Code::MemoryIsLow, "no inotify watches are left");
    *bench.runner.refusal.lock().unwrap() = Some(refusal.clone());
    let spec = ConnectSpec { replicate: None, mirror: Some(MirrorSpec::default()), ..bench.spec() };
    assert_eq!(bench.ask(Request::Connect(spec)), Err(refusal));
    assert!(bench.engine.connections().is_empty());
    assert!(bench.runner.plans.lock().unwrap().is_empty(), "no mirror either");
}

#[test]
fn noreplicate_and_the_null_target_only_mirror() {
    let bench = Bench::new();
    bench.mirroring();
    assert_eq!(bench.replication(ONE).1, "Stopped");
    let target = ConnectTarget::Tdu { file: None };
    let spec = ConnectSpec { target, replicate: None, mirror: Some(MirrorSpec::default()), ..bench.spec() };
    let null = bench.connect(spec);
    assert_eq!(bench.replication(null).1, "Stopped");
    let start = Request::ReplicationStart { connection: null };
    assert_eq!(bench.code(start), Code::OperationOrCommandIsNotSupported);
    assert!(bench.runner.followers.lock().unwrap().is_empty());
}

/// RPL-01
#[test]
fn after_a_start_by_hand_a_mirror_is_required() {
    let bench = Bench::new();
    bench.mirroring();
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    let mut watcher = Watcher::new(|| ());
    assert_eq!(bench.engine.call(START, &mut watcher), Ok(Reply::Done));
    assert!(matches!(&watcher.events[..], [Event::Notice(text)] if text.contains("MIRROR START 1")));
    assert_eq!(bench.replication(ONE), words("Mirror Required", "Pending"));
    assert!(bench.refusal(barrier(0)).contains("MIRROR START 1"));
    bench.ask(mirror()).unwrap();
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    assert_eq!(bench.replication(ONE), words("OK", "Ready"));
}

/// A mirror that began before changes were captured says nothing about those made meanwhile.
#[test]
fn a_mirror_that_began_before_does_not_count() {
    let bench = Bench::new();
    bench.mirroring();
    bench.until_jobs(1);
    bench.ask(START).unwrap();
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    assert_eq!(bench.replication(ONE), words("Mirror Required", "Pending"));
}

/// RPL-02
#[test]
fn after_a_stop_a_mirror_is_required() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.queue(3);
    bench.ask(STOP).unwrap();
    assert_eq!(*follower.stops.lock().unwrap(), [false], "what is queued is sent first");
    assert_eq!(bench.replication(ONE), words("Mirror Required", "Stopped"));
    assert_eq!(bench.code(STOP), Code::ConnectionIsNotReplicating);
}

#[test]
fn what_a_stop_could_not_send_is_said() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.queue(3);
    follower.clogged.store(true, Relaxed);
    let mut watcher = Watcher::new(|| ());
    bench.engine.call(STOP, &mut watcher).unwrap();
    assert!(matches!(&watcher.events[..], [Event::Notice(text)] if text.starts_with("3 changes")));
}

#[test]
fn replication_is_not_stopped_under_a_mirror() {
    let bench = Bench::new();
    bench.replicating();
    assert!(bench.refusal(STOP).contains("MIRROR STOP 1"));
    bench.ask(Request::MirrorStop { connection: ONE }).unwrap();
    bench.ask(STOP).unwrap();
}

#[test]
fn a_second_start_is_refused() {
    let bench = Bench::new();
    bench.following();
    assert_eq!(bench.code(START), Code::ConnectionIsReplicating);
}

#[test]
fn a_start_can_be_given_up_and_goes_on() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let slow = bench.runner.slow();
    let mut watcher = Watcher::new(|| ());
    watcher.cancelled = true;
    assert!(bench.engine.call(START, &mut watcher).unwrap_err().message.contains("interrupted"));
    assert_eq!(bench.code(START), Code::ConnectionIsReplicating, "it is on its way");
    drop(slow);
    while !matches!(bench.stage(ONE), Stage::On(_)) {
        std::thread::yield_now();
    }
}

#[test]
fn the_status_has_the_words_and_numbers_of_replication() {
    let bench = Bench::new();
    let follower = bench.following();
    let shared = &follower.shared;
    shared.bytes_transmitted.store(70, Relaxed);
    shared.bytes_queued.store(30, Relaxed);
    follower.queue(2);
    shared.retrying.store(true, Relaxed);
    shared.fail("/srv/x", "Permission denied");
    let status = bench.status(ONE);
    assert_eq!((status.replication.as_str(), status.target_status.as_str()), ("Replicating", "Retrying"));
    assert_eq!((status.replication_bytes_transmitted, status.replication_bytes_queued), (70, 30));
    assert_eq!((status.files_failed, status.last_error.as_deref()), (1, Some("/srv/x: Permission denied")));
    shared.set_activity(Activity::OutOfMemory);
    assert_eq!(bench.replication(ONE).1, "Out of Memory");
    bench.ask(STOP).unwrap();
    assert_eq!(bench.status(ONE).replication_bytes_transmitted, 70, "the counts stay after the end");
}

#[test]
fn a_mirror_with_failures_holds_up_nothing_but_the_state() {
    let bench = Bench::new();
    bench.replicating();
    let failure = JobFailure { path: b"/srv/x".to_vec(), reason: "Permission denied".into() };
    bench.runner.end(JobOutcome { failures: vec![failure], ..JobOutcome::default() });
    bench.wait(Until::Mirror).unwrap_err();
    assert_eq!(bench.replication(ONE), words("Mirror Required", "Ready"));
    assert!(bench.refusal(barrier(0)).contains("not complete"), "a barrier promises all");
}

#[test]
fn a_hold_is_shown_and_a_start_releases_it() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.queue(70);
    follower.shared.set_hold(Some(Hold::MassDeletion { entries: 70, of: 100 }));
    let status = bench.status(ONE);
    assert_eq!(status.replication, "Pending");
    let why = status.last_error.unwrap();
    assert!(why.contains("70 of 100") && why.contains("REPLICATION START 1"), "{why}");
    for request in [barrier(0), Request::Wait { connection: ONE, until: Until::Queue, timeout_ms: None }] {
        let refused = bench.refusal(request);
        assert!(refused.starts_with("-134") && refused.contains("REPLICATION START 1"), "{refused}");
    }
    let mut watcher = Watcher::new(|| ());
    bench.engine.call(START, &mut watcher).unwrap();
    assert!(matches!(&watcher.events[..], [Event::Notice(text)] if text.contains("goes on now")));
    assert_eq!(bench.replication(ONE).1, "Replicating");
}

#[test]
fn a_barrier_waits_for_the_mirror_first() {
    let bench = Bench::new();
    bench.replicating();
    assert_eq!(bench.ask(barrier(0)), Ok(Reply::TimedOut));
    std::thread::scope(|scope| {
        let (begun, seen) = std::sync::mpsc::channel();
        let bench = &bench;
        let waiting = scope.spawn(move || {
            let mut watcher = Watcher::new(|| {
                let _ = begun.send(());
            });
            bench.engine.call(Request::Barrier { connection: ONE, timeout_ms: None }, &mut watcher)
        });
        seen.recv().unwrap();
        bench.runner.complete();
        assert_eq!(waiting.join().unwrap(), Ok(Reply::Done));
    });
}

#[test]
fn a_barrier_hands_on_what_replication_says() {
    let bench = Bench::new();
    let follower = bench.following();
    let broken = ApiError::new(Code::ConnectionFailed, "the target ended");
    *follower.barriers.lock().unwrap() = vec![Err(broken.clone()), Ok(false), Ok(true)];
    assert_eq!(bench.ask(barrier(1000)), Ok(Reply::Done));
    assert_eq!(bench.ask(barrier(1000)), Ok(Reply::TimedOut));
    assert_eq!(bench.ask(barrier(1000)), Err(broken));
}

#[test]
fn a_barrier_without_replication_says_what_to_do() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let refused = bench.refusal(barrier(0));
    assert!(refused.starts_with("-126") && refused.contains("REPLICATION START 1"), "{refused}");
}

#[test]
fn waits_look_at_the_queue_too() {
    let bench = Bench::new();
    let follower = bench.following();
    let wait = |until| Request::Wait { connection: ONE, until, timeout_ms: Some(0) };
    follower.queue(1);
    assert_eq!(bench.ask(wait(Until::Queue)), Ok(Reply::TimedOut));
    assert_eq!(bench.ask(wait(Until::Mirror)), Ok(Reply::Done));
    *follower.barriers.lock().unwrap() = vec![Ok(false)];
    assert_eq!(bench.ask(wait(Until::Target)), Ok(Reply::TimedOut));
    assert_eq!(bench.ask(wait(Until::Target)), Ok(Reply::Done), "a barrier ends under load");
    follower.queue(0);
    assert_eq!(bench.ask(wait(Until::Queue)), Ok(Reply::Done));
}

#[test]
fn disconnect_sends_what_is_queued_unless_it_is_discarded() {
    for discard in [false, true] {
        let bench = Bench::new();
        let follower = bench.following();
        follower.queue(5);
        bench.ask(Request::Disconnect { connection: ONE, discard }).unwrap();
        assert_eq!(*follower.stops.lock().unwrap(), [discard]);
        assert!(bench.engine.connections().is_empty());
    }
}

#[test]
fn disconnect_ends_the_mirror_before_the_replication() {
    let bench = Bench::new();
    let follower = bench.replicating();
    bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    assert_eq!(*follower.stops.lock().unwrap(), [true], "without its mirror nothing queued has a place");
}

#[test]
fn closing_sends_what_is_queued_and_names_what_was_left() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.queue(5);
    let line = |end: &str| [format!("connection 1 of payroll to localhost: the mirror is complete{end}")];
    assert_eq!(bench.engine.close(Duration::from_secs(60)), line(", all changes were sent"));

    let bench = Bench::new();
    let follower = bench.following();
    follower.queue(5);
    follower.clogged.store(true, Relaxed);
    assert_eq!(bench.engine.close(Duration::from_secs(60)), line(", 5 changes were not sent"));
    assert_eq!(*follower.stops.lock().unwrap(), [false, true]);
}

#[test]
fn the_source_module_names_how_changes_are_captured() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.shared.set_backends(vec![
        Backend { place: "/".into(), name: "fanotify", reason: None },
        Backend {
            place: "/srv".into(),
            name: "inotify",
            reason: Some("overlayfs without nfs_export".into()),
        },
    ]);
    let Reply::Source(rows) = bench.ask(Request::StatusSource).unwrap() else { unreachable!() };
    let capture: Vec<_> =
        rows.iter().filter(|(label, _)| label == "Capture").map(|(_, value)| value.as_str()).collect();
    assert_eq!(capture, ["/ by fanotify", "/srv by inotify, not fanotify: overlayfs without nfs_export"]);
}

#[test]
fn a_files_story_has_its_part_of_replication() {
    let bench = Bench::new();
    let follower = bench.following();
    let pending = |label: &str| {
        let request = Request::Explain { path: bench.text("data/file"), connection: Some(ONE) };
        let Reply::Explanation(rows) = bench.ask(request).unwrap() else { unreachable!() };
        rows.into_iter().find(|(name, _)| name == label).unwrap().1
    };
    assert_eq!(pending("Pending"), "nothing");
    follower.queue(3);
    assert_eq!(pending("Pending"), "3 changes are in the queue; it may be one of them");
    follower.shared.fail(&bench.text("data/file"), "No space left on device");
    assert_eq!(pending("Last error"), "No space left on device");
    follower.shared.set_hold(Some(Hold::RootGone { path: bench.text("data") }));
    assert!(pending("Pending").contains("REPLICATION START 1"));
}

#[test]
fn the_log_tells_when_replication_begins_and_ends() {
    let bench = Bench::new();
    bench.following();
    bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    let text = bench.log();
    for line in [
        "Starting replication of set payroll".to_owned(),
        format!("Activating replication on {}", bench.text("data")),
        "Service has stopped Replication to localhost (127.0.0.1:1500) for Replication Set payroll"
            .to_owned(),
        "Service has disconnected from localhost (127.0.0.1:1500) for Replication Set payroll".to_owned(),
    ] {
        assert!(text.contains(&line), "no {line:?} in {text}");
    }
}

#[test]
fn the_rules_of_the_moment_are_replicated() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    bench.make("more");
    bench.rule("payroll", &bench.path("more"), true);
    bench.ask(Request::RepsetSave { repset: None }).unwrap();
    bench.ask(START).unwrap();
    assert_eq!(bench.follower().plan.paths.len(), 2);
}
