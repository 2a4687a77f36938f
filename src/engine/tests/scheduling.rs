//! SCHEDULE and LIMIT BANDWIDTH as a connection shows them, by a clock that is moved (TRN-10 to -33, CNX-06).

use super::support::*;
use crate::api::*;
use crate::wire::data::Gate;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn schedule(change: ScheduleChange) -> Request {
    Request::Schedule { target: "localhost".into(), change }
}

fn start(spec: StartSpec) -> Request {
    schedule(ScheduleChange::Start(spec))
}

fn bandwidth(change: BandwidthChange) -> Request {
    Request::Bandwidth { target: "localhost".into(), change }
}

fn step(step: TransmissionStep) -> Request {
    Request::Transmission { target: "localhost".into(), step }
}

fn local(bench: &Bench, later: Duration) -> DateTime {
    let now = Timestamp::from_millisecond(crate::engine::clock::Clock::wall_ms(&*bench.clock)).unwrap();
    TimeZone::system().to_datetime(now + later)
}

/// One look after the other, until the connection is so.
#[track_caller]
fn until(bench: &Bench, so: impl Fn(&ConnectionStatus) -> bool) -> ConnectionStatus {
    let began = std::time::Instant::now();
    loop {
        for acting in bench.engine.look_at_schedules() {
            acting.join().unwrap();
        }
        let status = bench.status(ONE);
        if so(&status) {
            return status;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{status:?}");
        std::thread::yield_now();
    }
}

/// Looks so often that what was due has been done.
fn look(bench: &Bench) {
    for _ in 0..3 {
        for acting in bench.engine.look_at_schedules() {
            acting.join().unwrap();
        }
    }
}

fn told(bench: &Bench, request: Request) -> String {
    let mut watcher = Watcher::new(|| ());
    bench.engine.call(request, &mut watcher).unwrap();
    let notices = watcher.events.iter().filter_map(|event| match event {
        Event::Notice(text) => Some(text.clone()),
        _ => None,
    });
    notices.collect::<Vec<_>>().join("\n")
}

fn view(bench: &Bench) -> ScheduleView {
    match bench.ask(Request::ScheduleView { target: "localhost".into() }).unwrap() {
        Reply::Schedule(view) => *view,
        other => panic!("{other:?}"),
    }
}

fn since(bench: &Bench) -> String {
    let Reply::Source(rows) = bench.ask(Request::StatusSource).unwrap() else { panic!() };
    rows.into_iter().find(|(name, _)| name == "Connected since").unwrap().1
}

/// TRN-15, -22, -27: Scheduled and no socket until its time, then sent until nothing is queued.
#[test]
fn a_target_is_sent_to_from_its_time_until_its_queue_is_empty() {
    let bench = Bench::new();
    let follower = bench.following();
    assert!(!since(&bench).is_empty());
    let time = local(&bench, HOUR);
    bench.ask(start(StartSpec { time: Some(time.to_string()), ..StartSpec::default() })).unwrap();
    let status = bench.status(ONE);
    assert_eq!(status.transmit, "Scheduled");
    let why = status.last_error.unwrap();
    assert!(why.contains("waits for its schedule") && why.contains("TRANSMISSION START localhost"), "{why}");
    assert_eq!(since(&bench), "");
    follower.shared.ops_queued.store(5, Relaxed);
    bench.clock.pass(HOUR - 2 * SECOND);
    look(&bench);
    assert_eq!(bench.status(ONE).transmit, "Scheduled");
    assert_eq!(
        bench.code(Request::Disconnect { connection: ONE, discard: false }),
        Code::TransmissionIsPaused
    );
    bench.clock.pass(2 * SECOND);
    until(&bench, |status| status.transmit == "Started");
    assert!(!since(&bench).is_empty());
    look(&bench);
    assert_eq!(bench.status(ONE).transmit, "Started");
    assert_eq!(view(&bench).state, "sending");
    follower.shared.ops_queued.store(0, Relaxed);
    until(&bench, |status| status.transmit == "Scheduled");
    let log = bench.log();
    assert!(
        log.contains("starts by its schedule: its time has come") && log.contains("nothing is queued"),
        "{log}"
    );
}

/// TRN-17 to -21, -24, by the engine's own figures.
#[test]
fn thresholds_durations_and_windows_count() {
    let bench = Bench::new();
    let follower = bench.following();
    bench
        .ask(start(StartSpec { mem_limit: Some(40), queue_size: Some(1000), ..StartSpec::default() }))
        .unwrap();
    bench.ask(schedule(ScheduleChange::End(EndSpec { seconds: Some(60), bytes: None }))).unwrap();
    follower.shared.ops_queued.store(1, Relaxed);
    follower.shared.bytes_queued.store(999, Relaxed);
    follower.shared.queue_percent.store(39, Relaxed);
    look(&bench);
    assert_eq!(bench.status(ONE).transmit, "Scheduled");
    follower.shared.bytes_queued.store(1000, Relaxed);
    until(&bench, |status| status.transmit == "Started");
    follower.shared.bytes_queued.store(0, Relaxed);
    bench.clock.pass(59 * SECOND);
    look(&bench);
    assert_eq!(bench.status(ONE).transmit, "Started");
    bench.clock.pass(SECOND);
    until(&bench, |status| status.transmit == "Scheduled");
    follower.shared.queue_percent.store(40, Relaxed);
    until(&bench, |status| status.transmit == "Started");
    // The window closes in the midst of it, and nothing opens it.
    let time = |later| local(&bench, later).strftime("%H:%M:%S").to_string();
    let window = ScheduleChange::Window { open: time(2 * HOUR), close: time(3 * HOUR) };
    bench.ask(schedule(window)).unwrap();
    until(&bench, |status| status.transmit == "Scheduled");
    let refused = bench.refusal(step(TransmissionStep::Start));
    assert!(refused.contains("outside its window") && refused.contains("WINDOW CLEAR"), "{refused}");
    bench.clock.pass(2 * HOUR);
    until(&bench, |status| status.transmit == "Started");
}

/// TRN-21: the rest waits until it is restarted by hand; a person who stops it is above all.
#[test]
fn a_person_starts_a_session_and_holds_it() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.shared.ops_queued.store(3, Relaxed);
    bench.ask(start(StartSpec { queue_size: Some(1 << 40), ..StartSpec::default() })).unwrap();
    bench.ask(step(TransmissionStep::Start)).unwrap();
    assert_eq!(bench.status(ONE).transmit, "Started");
    look(&bench);
    assert_eq!(bench.status(ONE).transmit, "Started");
    assert_eq!(bench.code(step(TransmissionStep::Start)), Code::TransmissionIsActive);
    follower.shared.ops_queued.store(0, Relaxed);
    until(&bench, |status| status.transmit == "Scheduled");
    // Held by a person, nothing starts it.
    bench.ask(step(TransmissionStep::Stop)).unwrap();
    follower.shared.ops_queued.store(3, Relaxed);
    follower.shared.bytes_queued.store(1 << 41, Relaxed);
    look(&bench);
    assert_eq!(bench.status(ONE).transmit, "Stopped");
    bench.ask(step(TransmissionStep::Resume)).unwrap();
    assert_eq!(bench.status(ONE).transmit, "Started");
}

/// TRN-11, -13, -14: all connections to the target; disabled it keeps all; over a restart.
#[test]
fn a_schedule_is_kept_and_holds_for_all_connections_of_its_target() {
    let bench = Bench::new();
    bench.following();
    let time = local(&bench, HOUR);
    let spec = StartSpec {
        time: Some(time.to_string()),
        every: Some((1, TimeUnit::Days)),
        mem_limit: Some(80),
        queue_size: None,
    };
    bench.ask(start(spec.clone())).unwrap();
    let bytes = schedule(ScheduleChange::End(EndSpec { seconds: Some(7200), bytes: Some(5000) }));
    bench.ask(bytes).unwrap();
    let seen = view(&bench);
    assert_eq!((&seen.start, seen.end.bytes, seen.enabled), (&spec, Some(5000), true));
    assert!(seen.next_ms.is_some() && seen.state.starts_with("waiting: "), "{}", seen.state);
    bench.make("other");
    bench.set("other", &bench.path("other"));
    let other =
        ConnectSpec { repset: "other".into(), map: MapSpec::Base(bench.text("elsewhere")), ..bench.spec() };
    let two = bench.connect(other);
    assert_eq!(bench.status(two).transmit, "Scheduled");
    bench.ask(schedule(ScheduleChange::Disable)).unwrap();
    assert_eq!(bench.status(two).transmit, "Started");
    assert_eq!(bench.code(schedule(ScheduleChange::Disable)), Code::ScheduleIsPaused);
    let bench = bench.again();
    assert_eq!((view(&bench).start, view(&bench).enabled), (spec, false));
    bench.ask(schedule(ScheduleChange::Enable)).unwrap();
    let bench = bench.again();
    bench.connect(bench.spec());
    assert_eq!(bench.status(ONE).transmit, "Scheduled");
    bench.ask(schedule(ScheduleChange::Clear(None))).unwrap();
    assert_eq!(bench.status(ONE).transmit, "Started");
    assert_eq!(bench.code(schedule(ScheduleChange::Enable)), Code::ScheduleIsNotDefined);
    bench.ask(schedule(ScheduleChange::Clear(None))).unwrap();
    assert!(
        told(&bench, schedule(ScheduleChange::Window { open: "01:00".into(), close: "02:00".into() }))
            .contains("a window alone")
    );
}

/// A service looks before its connections are there: what they have queued is not known then, and no start is void for it.
#[test]
fn nothing_is_empty_before_the_connections_of_before_are_there() {
    let bench = Bench::new();
    let time = local(&bench, HOUR);
    bench.ask(start(StartSpec { time: Some(time.to_string()), ..StartSpec::default() })).unwrap();
    bench.engine.close(Duration::ZERO);
    bench.clock.pass(2 * HOUR);
    let home = crate::engine::home::Home::at(bench.path("home"));
    let engine = crate::engine::Engine::open_as(home, bench.runner.clone(), bench.clock.clone(), true);
    let bench = Bench { engine: engine.unwrap(), ..bench };
    look(&bench);
    assert_eq!(view(&bench).state, "sending", "the start that was missed");
    bench.engine.resume_connections().unwrap();
    look(&bench);
    assert!(view(&bench).state.starts_with("waiting: its start time is past"), "{}", view(&bench).state);
    assert!(!bench.log().contains("and nothing is queued\n"), "{}", bench.log());
}

/// TRN-30 to -33: STATUS shows what is in force, by the week's schedule, and over a restart.
#[test]
fn status_shows_the_bandwidth_limit_in_force() {
    let bench = Bench::new();
    bench.following();
    let limit = |bench: &Bench| bench.status(ONE).bandwidth_limit;
    assert_eq!(limit(&bench), None);
    let words = told(
        &bench,
        bandwidth(BandwidthChange::Limit(BandwidthSpec::Burst { bytes: 1_000_000, seconds: 10 })),
    );
    assert!(words.contains("localhost is this machine"), "{words}");
    assert_eq!(limit(&bench).unwrap(), "800 kbit/s, at most 1000000 bytes in 10 seconds");
    let words = told(&bench, bandwidth(BandwidthChange::Limit(BandwidthSpec::Kbit(20))));
    assert!(words.contains("3500 bytes"), "{words}");
    assert_eq!(
        bench.code(bandwidth(BandwidthChange::Limit(BandwidthSpec::Kbit(0)))),
        Code::InvalidParameterWasSupplied
    );
    assert_eq!(bench.code(bandwidth(BandwidthChange::Enable)), Code::BandwidthLimitNotFound);
    let time = |later| local(&bench, later).strftime("%H:%M:%S").to_string();
    let days: Vec<String> = ["mo", "tu", "we", "th", "fr", "sa", "su"].map(str::to_owned).into();
    for (label, later, kbit) in [("now", Duration::ZERO, Some(500)), ("later", HOUR, None)] {
        let limit = kbit.map(BandwidthSpec::Kbit);
        let entry = BandwidthEntry { label: label.into(), days: days.clone(), start: time(later), limit };
        bench.ask(bandwidth(BandwidthChange::Add(entry))).unwrap();
    }
    assert_eq!(limit(&bench).unwrap(), "500 kbit/s");
    let words = told(&bench, bandwidth(BandwidthChange::Off));
    assert!(words.contains("by its entry now"), "{words}");
    bench.clock.pass(HOUR - SECOND);
    look(&bench);
    assert_eq!(limit(&bench).unwrap(), "500 kbit/s");
    bench.clock.pass(SECOND);
    look(&bench);
    assert_eq!(limit(&bench), None);
    bench.clock.pass(23 * HOUR);
    let bench = bench.again();
    bench.connect(bench.spec());
    assert_eq!(limit(&bench).unwrap(), "500 kbit/s");
    let Reply::Bandwidths(lines) = bench.ask(Request::Bandwidths).unwrap() else { panic!() };
    assert_eq!((lines[0].entry.as_deref(), lines[0].kbit, lines[0].always), (Some("now"), Some(500), None));
    bench.ask(bandwidth(BandwidthChange::Disable)).unwrap();
    assert_eq!(limit(&bench), None);
    let log = bench.log();
    for line in [
        "is now 800 kbit/s",
        "entered period later at Unlimited",
        "entered period now at 500 kbit/s",
        "No bandwidth limit set.",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
}

/// A frame that takes an hour by a small limit is no standstill that the watchdog ends the service for.
#[test]
fn what_leaves_slowly_is_progress() {
    let bench = Bench::new();
    let follower = bench.following();
    follower.shared.target_ops.store(1, Relaxed);
    let progress = || bench.engine.progress()[0].1;
    let before = progress();
    assert!(before.has_work && progress() == before);
    let transmission = std::sync::Arc::clone(&bench.engine.connection(ONE).unwrap().info.transmission);
    // Another connection's progress is not this one's.
    Gate::went(&*transmission.gate_of(&Default::default()), 0, 100);
    assert_eq!(progress(), before);
    Gate::went(&*transmission.gate_of(&bench.engine.connection(ONE).unwrap().info.traffic), 0, 100);
    assert_ne!(progress(), before);
    assert_eq!(transmission.gate().sent(), 200, "the limit is of all of them");
}
