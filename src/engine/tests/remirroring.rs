//! The mirror that a connection begins by itself after replication missed changes (MIR-20, MIR-21, CNX-08).

use super::support::*;
use crate::api::*;
use crate::engine::job::{JobFailure, JobKind, JobOutcome};
use crate::engine::replication::Hold;
use std::time::Duration;

const START: Request = Request::ReplicationStart { connection: ONE };

fn barrier(ms: u64) -> Request {
    Request::Barrier { connection: ONE, timeout_ms: Some(ms) }
}

fn mirror() -> Request {
    Request::MirrorStart { connection: ONE, mirror: MirrorSpec::default() }
}

fn fatal() -> JobOutcome {
    let fatal = Some(ApiError::new(Code::ConnectionFailed, "the line broke"));
    JobOutcome { fatal, ..JobOutcome::default() }
}

/// MIR-20
#[test]
fn a_remirror_of_what_was_missed_begins_by_itself() {
    for (value, kind, checksum, all) in [
        ("1", MirrorKind::Different, true, false),
        ("2", MirrorKind::Full, false, false),
        ("3", MirrorKind::Different, false, false),
        ("4", MirrorKind::Different, true, true),
    ] {
        let bench = Bench::new();
        bench.set_option("AutoRemirror", value);
        let follower = bench.following();
        follower.shared.require_remirror("the queue was full".into());
        bench.until_jobs(2);
        assert!(follower.shared.mirrors_dirty_only());
        let (plan, JobKind::Mirror(spec)) = bench.runner.plans.lock().unwrap()[1].clone() else {
            unreachable!()
        };
        assert_eq!((spec.kind, spec.checksum), (kind, checksum), "AutoRemirror {value}");
        assert_eq!(plan.settings.checksum_all && checksum, all, "AutoRemirror {value}");
        bench.until(ONE, |status| status.target_data_state == "Mirroring");
        bench.runner.complete();
        bench.wait(Until::Mirror).unwrap();
        assert_eq!(bench.replication(ONE), words("OK", "Ready"));
    }
}

/// MIR-21
#[test]
fn without_autoremirror_it_stays_pending_until_a_mirror_is_started() {
    let bench = Bench::new();
    bench.set_option("AutoRemirror", "0");
    let follower = bench.following();
    follower.shared.require_remirror("the queue was full".into());
    let status = bench.until(ONE, |status| status.target_data_state == "Mirror Required");
    assert_eq!((status.replication.as_str(), status.mirror.as_str()), ("Pending", "Idle"));
    assert!(status.last_error.unwrap().contains("MIRROR START 1"));
    assert!(bench.refusal(barrier(0)).contains("the queue was full"));
    bench.ask(mirror()).unwrap();
    bench.until_jobs(2);
    assert!(!follower.shared.mirrors_dirty_only(), "a person's mirror is whole");
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    assert_eq!(bench.replication(ONE), words("OK", "Ready"));
}

/// CNX-08, SET-04: the option acts from the next start on, so it stands in the file before.
#[test]
fn without_autoreconnect_it_stays_disconnected_until_a_mirror_is_started() {
    let bench = Bench::new();
    bench.set_option("AutoReconnect", "0");
    let bench = bench.again();
    let follower = bench.following();
    follower.shared.require_remirror("the queue was full".into());
    let status = bench.until(ONE, |status| status.target_data_state == "Mirror Required");
    assert_eq!((status.transmit.as_str(), status.replication.as_str()), ("Stopped", "Pending"));
    assert!(status.last_error.unwrap().contains("AutoReconnect is 0"));
    bench.ask(mirror()).unwrap();
    assert_eq!(bench.status(ONE).transmit, "Started");
}

#[test]
fn a_remirror_that_could_not_begin_is_tried_again() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.shared.require_remirror("the queue was full".into());
    bench.until_jobs(2);
    bench.runner.end(fatal());
    bench.until(ONE, |status| status.target_data_state == "Mirror Required");
    assert_eq!(bench.ask(barrier(0)), Ok(Reply::TimedOut), "it will be tried again");
    assert!(bench.status(ONE).last_error.unwrap().contains("begins by itself"));
    assert_eq!(bench.runner.plans.lock().unwrap().len(), 2, "not at once");
    bench.clock.forward(Duration::from_secs(30));
    // Any message makes the connection look at the clock.
    bench.code(START);
    bench.until_jobs(3);
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    assert_eq!(bench.replication(ONE), words("OK", "Ready"));
}

/// What failed may succeed later: nobody has to be there for that. It stays a mirror of what is dirty.
#[test]
fn a_remirror_in_which_a_file_failed_is_tried_again() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.shared.require_remirror("the queue was full".into());
    bench.until_jobs(2);
    let failure = JobFailure { path: b"/srv/x".to_vec(), reason: "Permission denied".into() };
    bench.runner.end(JobOutcome { failures: vec![failure], ..JobOutcome::default() });
    bench.until(ONE, |status| status.target_data_state == "Mirror Required");
    assert!(bench.status(ONE).last_error.unwrap().contains("begins by itself"));
    assert_eq!(bench.runner.plans.lock().unwrap().len(), 2, "not at once");
    bench.clock.forward(Duration::from_secs(30));
    bench.code(START);
    bench.until_jobs(3);
    assert!(follower.shared.mirrors_dirty_only());
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    assert_eq!(bench.replication(ONE), words("OK", "Ready"));
}

#[test]
fn a_remirror_that_a_person_stopped_is_not_begun_again() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.shared.require_remirror("the queue was full".into());
    bench.until_jobs(2);
    bench.ask(Request::MirrorStop { connection: ONE }).unwrap();
    let status = bench.status(ONE);
    assert_eq!(
        (status.target_data_state.as_str(), status.replication.as_str()),
        ("Mirror Required", "Pending")
    );
    assert_eq!(follower.shared.mirror_required().as_deref(), Some("the queue was full"));
    assert_eq!(bench.runner.plans.lock().unwrap().len(), 2);
}

/// What is missed while the mirror runs is not this mirror's any more.
#[test]
fn what_was_missed_during_a_mirror_is_still_missed_after_it() {
    let bench = Bench::new();
    bench.set_option("AutoRemirror", "0");
    let follower = bench.replicating();
    follower.shared.require_remirror("events were lost".into());
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    assert_eq!(bench.replication(ONE), words("Mirror Required", "Pending"));
}

/// A mirror of what is dirty puts right what was missed, not what was wrong before.
#[test]
fn a_remirror_looks_at_everything_when_the_copy_was_not_whole() {
    let bench = Bench::new();
    let follower = bench.replicating();
    let failure = JobFailure { path: b"/srv/x".to_vec(), reason: "Permission denied".into() };
    bench.runner.end(JobOutcome { failures: vec![failure], ..JobOutcome::default() });
    bench.wait(Until::Mirror).unwrap_err();
    follower.shared.require_remirror("the queue was full".into());
    bench.until_jobs(2);
    assert!(!follower.shared.mirrors_dirty_only());
}

/// REP-31 and the guard come before what begins by itself.
#[test]
fn nothing_begins_by_itself_while_something_is_held() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.shared.set_hold(Some(Hold::RootRenamed { path: bench.text("data") }));
    follower.shared.require_remirror("events were lost".into());
    bench.until(ONE, |status| status.target_data_state == "Mirror Required");
    assert_eq!(bench.runner.plans.lock().unwrap().len(), 1);
    bench.ask(START).unwrap();
    bench.until_jobs(2);
}
