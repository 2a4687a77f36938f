//! What administrators hear: each event is caused, and read from a system log (linux-events.tsv, backup.md P).

use super::support::*;
use crate::api::*;
use crate::engine::Engine;
use crate::engine::home::Home;
use crate::engine::job::JobOutcome;
use crate::engine::log::Event::*;
use crate::engine::log::testing::Daemon;
use crate::engine::log::{self, Event};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn fatal() -> JobOutcome {
    let fatal = Some(ApiError::new(Code::ConnectionFailed, "the line broke"));
    JobOutcome { fatal, ..JobOutcome::default() }
}

fn complete() -> JobOutcome {
    JobOutcome { complete: true, ..JobOutcome::default() }
}

fn says(text: &str, words: &[&str]) {
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

/// The job that ends has ended for who asks, too.
fn rests(bench: &Bench) {
    bench.until(ONE, |status| status.mirror == "Idle" || status.mirror == "Stopped");
}

const PLACE: &[&str] = &["localhost (", "replication set payroll, connection 1"];

#[test]
fn a_mirror_tells_of_its_beginning_its_pauses_and_its_end() {
    let (bench, daemon) = Bench::heard();
    bench.mirroring();
    for event in [Connected, JobCreated] {
        says(&daemon.until(event), PLACE);
    }
    says(&daemon.until(TargetDataState), &["connection 1", "from Mirror Required to Mirroring"]);
    says(&daemon.until(MirrorStarted), PLACE);
    bench.ask(Request::MirrorPause { connection: ONE }).unwrap();
    says(&daemon.until(MirrorPaused), PLACE);
    bench.ask(Request::MirrorResume { connection: ONE }).unwrap();
    says(&daemon.until(MirrorResumed), PLACE);
    bench.runner.complete();
    says(&daemon.until(TargetDataState), &["from Mirroring to OK"]);
    says(&daemon.until(MirrorCompleted), PLACE);
    rests(&bench);
    bench.ask(Request::MirrorStart { connection: ONE, mirror: MirrorSpec::default() }).unwrap();
    bench.ask(Request::MirrorStop { connection: ONE }).unwrap();
    says(&daemon.until(MirrorStopped), PLACE);
    bench.ask(Request::MirrorStart { connection: ONE, mirror: MirrorSpec::default() }).unwrap();
    bench.runner.end(fatal());
    says(&daemon.until(MirrorStopped), &["the line broke"]);
    says(&daemon.until(GeneralError), &["the line broke"]);
    rests(&bench);
    bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    says(&daemon.until(Disconnected), PLACE);
    says(&daemon.until(JobDeleted), PLACE);
}

#[test]
fn a_verification_tells_of_itself_and_of_what_it_found() {
    let (bench, daemon) = Bench::heard();
    bench.connect(bench.spec());
    let verify = || bench.ask(Request::Verify { connection: ONE, verify: VerifySpec::default() }).unwrap();
    verify();
    says(&daemon.until(VerifyStarted), PLACE);
    bench.ask(Request::VerifyPause { connection: ONE }).unwrap();
    says(&daemon.until(VerifyPaused), PLACE);
    bench.ask(Request::VerifyResume { connection: ONE }).unwrap();
    says(&daemon.until(VerifyResumed), PLACE);
    bench.ask(Request::VerifyStop { connection: ONE }).unwrap();
    says(&daemon.until(VerifyStopped), PLACE);
    verify();
    bench.runner.complete();
    says(&daemon.until(VerifyCompleted), PLACE);
    rests(&bench);
    verify();
    let report = VerifyReport { files_different: 2, ..VerifyReport::default() };
    bench.runner.end(JobOutcome { complete: true, verify: Some(report), ..JobOutcome::default() });
    says(&daemon.until(VerifyCompleted), PLACE);
    says(&daemon.until(VerifyErrors), &["2 files differ", "connection 1"]);
}

#[test]
fn a_search_for_orphans_tells_of_its_five_phases() {
    let (bench, daemon) = Bench::heard();
    bench.connect(bench.spec());
    let search = || {
        let orphans = OrphanSpec { preview: false };
        bench.ask(Request::Orphans { connection: ONE, orphans }).unwrap();
    };
    search();
    says(&daemon.until(OrphansStarted), PLACE);
    bench.ask(Request::OrphansPause { connection: ONE }).unwrap();
    says(&daemon.until(OrphansPaused), PLACE);
    bench.ask(Request::OrphansResume { connection: ONE }).unwrap();
    says(&daemon.until(OrphansResumed), PLACE);
    bench.ask(Request::OrphansStop { connection: ONE }).unwrap();
    says(&daemon.until(OrphansStopped), PLACE);
    search();
    bench.runner.complete();
    says(&daemon.until(OrphansCompleted), PLACE);
}

#[test]
fn replication_tells_of_its_beginning_and_end() {
    let (bench, daemon) = Bench::heard();
    bench.following();
    says(&daemon.until(ReplicationStarted), PLACE);
    says(&daemon.until(ProtectionStarted), PLACE);
    bench.ask(Request::ReplicationStop { connection: ONE }).unwrap();
    says(&daemon.until(ReplicationStopped), PLACE);
    says(&daemon.until(JobStopped), PLACE);
    *bench.runner.refusal.lock().unwrap() = Some(ApiError::new(Code::UnknownError, "no more watches"));
    bench.ask(Request::ReplicationStart { connection: ONE }).unwrap_err();
    says(&daemon.until(GeneralError), &["payroll", "no more watches"]);
    // Also of one that ends with its connection.
    bench.ask(Request::ReplicationStart { connection: ONE }).unwrap();
    bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    daemon.until(ReplicationStopped);
    daemon.until(Disconnected);
}

#[test]
fn a_reconnection_by_itself_tells_whether_it_succeeds() {
    let (bench, daemon) = Bench::heard();
    let follower = bench.following();
    follower.shared.require_remirror("the queue was full".into());
    says(&daemon.until(AutoReconnectBegun), &["connection 1", "the queue was full"]);
    says(&daemon.until(AutoReconnectDone), PLACE);
    follower.lost.store(true, Relaxed);
    bench.runner.end(fatal());
    says(&daemon.until(AutoReconnectFailed), &["connection 1", "the line broke"]);
    daemon.until(GeneralError);
    // Tried again and again for the same reason: nothing new is told, until it succeeds.
    for tries in 3..6 {
        bench.until(ONE, |status| status.mirror == "Idle");
        bench.clock.forward(Duration::from_secs(31));
        bench.ask(Request::Status { connection: ONE }).unwrap();
        follower.shared.require_remirror(format!("still, {tries}"));
        bench.until_jobs(tries);
        bench.runner.end(if tries < 5 { fatal() } else { complete() });
    }
    says(&daemon.until(MirrorCompleted), PLACE);
    let others = daemon.passed_over();
    assert_eq!(others, [TargetDataState.id()], "only that it is OK: {others:?}");
}

#[test]
fn transmission_and_its_target_tell_whether_they_go_on() {
    let (bench, daemon) = Bench::heard();
    bench.connect(bench.spec());
    let target = || "localhost".to_owned();
    for (step, events) in [
        (TransmissionStep::Pause, [TransmissionStopped, ProtectionPaused].as_slice()),
        (TransmissionStep::Resume, &[TransmissionStarted, ProtectionStarted]),
        (TransmissionStep::Stop, &[TransmissionStopped]),
        (TransmissionStep::Start, &[TransmissionStarted]),
    ] {
        bench.ask(Request::Transmission { target: target(), step }).unwrap();
        for event in events {
            says(&daemon.until(*event), &["localhost"]);
        }
    }
    for (paused, event) in [(true, TargetPaused), (false, TargetResumed)] {
        bench.ask(Request::PauseTarget { target: target(), paused }).unwrap();
        says(&daemon.until(event), &["localhost"]);
    }
    let set = |change| bench.ask(Request::Bandwidth { target: target(), change }).unwrap();
    set(BandwidthChange::Limit(BandwidthSpec::Kbit(800)));
    says(&daemon.until(BandwidthLimit), &["localhost", "800 kbit/s"]);
    let days = ["mo", "tu", "we", "th", "fr", "sa", "su"].map(str::to_owned).to_vec();
    let entry = BandwidthEntry { label: "always".into(), days, start: "00:00:00".into(), limit: None };
    set(BandwidthChange::Add(entry));
    says(&daemon.until(BandwidthPeriod), &["localhost", "always", "Unlimited"]);
}

#[test]
fn a_port_that_cannot_be_one_is_told_and_its_default_used() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::at(&dir.path().join("socket"));
    let home = Home::at(dir.path().join("home")).with_system_log(dir.path().join("socket"));
    std::fs::create_dir_all(home.settings_file().parent().unwrap()).unwrap();
    std::fs::write(home.settings_file(), "NetPort=80\nMirrorQueueLimit=x\n").unwrap();
    let engine = Engine::open(home).unwrap();
    says(&daemon.until(PortSetting), &["line 1", "NetPort", "1025", "its default is used"]);
    assert_eq!(engine.net_port(), 1500);
    engine.close(Duration::ZERO);
    assert_eq!(daemon.so_far(), []);
}

/// The level is the log file's; and each event stands in that, too.
#[test]
fn events_stand_in_the_log_with_their_numbers_and_reach_the_system_at_any_level() {
    let (bench, daemon) = Bench::heard();
    bench.connect(bench.spec());
    says(&daemon.until(Connected), PLACE);
    let log = bench.log();
    assert!(log.lines().any(|line| line.contains(" 2 4016 Connected to localhost")), "{log}");
    bench.set_option("LogMessageLevel", "1");
    bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    says(&daemon.until(Disconnected), PLACE);
    let log = bench.log();
    assert!(!log.contains(" 4017 ") && log.contains(" 1 5704 The job was deleted"), "{log}");
}

#[test]
fn what_would_break_a_line_is_escaped_and_an_embedded_engine_tells_nothing_of_its_start() {
    let (bench, daemon) = Bench::heard();
    let _entered = bench.engine.kept.log.enter();
    log::tell(Event::Note, "two\nlines");
    assert_eq!(daemon.until(Note), "two\\nlines");
    bench.engine.close(Duration::ZERO);
    assert_eq!(daemon.so_far(), []);
}
