use crate::api::*;
use crate::commands::testing::{Stage, bind, unscripted};

fn asked(text: &str) -> Request {
    let mut stage = Stage::obedient();
    assert_eq!(stage.run(text), Ok(1), "{text}");
    let asked = stage.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked.into_iter().next().unwrap()
}

fn bandwidth(change: BandwidthChange) -> Request {
    Request::Bandwidth { target: "beta".into(), change }
}

fn schedule(change: ScheduleChange) -> Request {
    Request::Schedule { target: "beta".into(), change }
}

/// Of words that are refused before anybody is asked.
fn code(text: &str) -> u16 {
    bind(text).map(|binding| panic!("{binding:?}")).unwrap_err().code
}

#[test]
fn each_form_of_a_limit_is_asked_for_as_it_was_typed() {
    use BandwidthSpec::{Burst, Kbit};
    let limit = |spec| bandwidth(BandwidthChange::Limit(spec));
    for (text, request) in [
        ("limit bandwidth 1000000, 10 to beta", limit(Burst { bytes: 1_000_000, seconds: 10 })),
        ("limit bandwidth 1000000 10 to beta", limit(Burst { bytes: 1_000_000, seconds: 10 })),
        ("limit bandwidth 500 kbit to beta", limit(Kbit(500))),
        ("limit bandwidth 10 mbit to beta", limit(Kbit(10_000))),
        ("limit bandwidth 60 percent of 100 mbit to beta", limit(Kbit(60_000))),
        ("limit bandwidth 33 percent of 100 kbit to beta", limit(Kbit(33))),
        ("limit bandwidth off to beta", bandwidth(BandwidthChange::Off)),
        (
            "limit bandwidth schedule remove night to beta",
            bandwidth(BandwidthChange::Remove { label: "night".into() }),
        ),
        ("limit bandwidth schedule clear to beta", bandwidth(BandwidthChange::Clear)),
        ("limit bandwidth schedule enable to beta", bandwidth(BandwidthChange::Enable)),
        ("limit bandwidth schedule disable to beta", bandwidth(BandwidthChange::Disable)),
    ] {
        assert_eq!(asked(text), request, "{text}");
    }
    let entry = |limit| {
        bandwidth(BandwidthChange::Add(BandwidthEntry {
            label: "night".into(),
            days: vec!["MONDAY".into(), "TUESDAY".into()],
            start: "22:00:00".into(),
            limit,
        }))
    };
    let add = |limit: &str| {
        asked(&format!(
            "limit bandwidth schedule add night days = mo, Tuesday starttime = 22:00 limit = {limit} to beta"
        ))
    };
    assert_eq!(add("unlimited"), entry(None));
    assert_eq!(add("500000, 1"), entry(Some(Burst { bytes: 500_000, seconds: 1 })));
    assert_eq!(
        code("limit bandwidth schedule add x days = mo starttime = 25:00 limit = unlimited to beta"),
        115
    );
    for days in ["someday", "mo, m"] {
        let text = format!(
            "limit bandwidth schedule add x days = {days} starttime = 22:00 limit = unlimited to beta"
        );
        assert_eq!(code(&text), 2304, "{days}");
    }
    for absurd in ["101 percent of 1 mbit", "-1, 10", "99999999999999999999, 1", "1, 0"] {
        assert_eq!(code(&format!("limit bandwidth {absurd} to beta")), 101, "{absurd}");
    }
}

#[test]
fn each_form_of_a_schedule_is_asked_for_as_it_was_typed() {
    let start = |spec| schedule(ScheduleChange::Start(spec));
    let none = StartSpec::default;
    for (text, request) in [
        (
            "schedule beta start starttime = 11/30/26 22:30",
            start(StartSpec { time: Some("2026-11-30T22:30:00".into()), ..none() }),
        ),
        ("schedule beta start memlimit = 80", start(StartSpec { mem_limit: Some(80), ..none() })),
        (
            "schedule beta start queuesize = 10000000",
            start(StartSpec { queue_size: Some(10_000_000), ..none() }),
        ),
        (
            "schedule beta start every 30 minutes",
            start(StartSpec { every: Some((30, TimeUnit::Minutes)), ..none() }),
        ),
        (
            "schedule beta start every 1 day queuesize=5 starttime=11/30/26 22:30 memlimit=40",
            start(StartSpec {
                time: Some("2026-11-30T22:30:00".into()),
                mem_limit: Some(40),
                queue_size: Some(5),
                every: Some((1, TimeUnit::Days)),
            }),
        ),
        (
            "schedule beta end duration = 2 hours",
            schedule(ScheduleChange::End(EndSpec { seconds: Some(7200), bytes: None })),
        ),
        (
            "schedule beta end bytes = 5000 duration = 9",
            schedule(ScheduleChange::End(EndSpec { seconds: Some(9), bytes: Some(5000) })),
        ),
        (
            "schedule beta window 22:00 to 06:00",
            schedule(ScheduleChange::Window { open: "22:00:00".into(), close: "06:00:00".into() }),
        ),
        ("schedule beta enable", schedule(ScheduleChange::Enable)),
        ("schedule beta disable", schedule(ScheduleChange::Disable)),
        ("schedule beta clear", schedule(ScheduleChange::Clear(None))),
        ("schedule beta start clear", schedule(ScheduleChange::Clear(Some(SchedulePart::Start)))),
        ("schedule beta end clear", schedule(ScheduleChange::Clear(Some(SchedulePart::End)))),
        ("schedule beta window clear", schedule(ScheduleChange::Clear(Some(SchedulePart::Window)))),
    ] {
        assert_eq!(asked(text), request, "{text}");
    }
    assert_eq!(code("schedule beta start starttime = 02/30/26 22:30"), 114);
    assert_eq!(code("schedule beta start memlimit = 101"), 101);
    assert_eq!(code("schedule beta window 22:00 to 24:00"), 115);
    assert_eq!(Stage::obedient().code("schedule beta end duration = 99999999 days"), 101);
}

#[test]
fn what_is_in_force_is_shown() {
    let mut stage = Stage::new(|request, _| match request {
        Request::Bandwidths => Ok(Reply::Bandwidths(vec![
            BandwidthLine {
                target: "beta".into(),
                in_force: Some(BandwidthSpec::Burst { bytes: 1_000_000, seconds: 10 }),
                kbit: Some(800),
                entry: None,
                always: None,
            },
            BandwidthLine {
                target: "10.0.0.9".into(),
                in_force: None,
                kbit: None,
                entry: Some("night".into()),
                always: Some(BandwidthSpec::Kbit(500)),
            },
        ])),
        Request::BandwidthSchedule { target } => Ok(Reply::BandwidthSchedule(BandwidthSchedule {
            target: target.clone(),
            enabled: true,
            entries: vec![BandwidthEntry {
                label: "night".into(),
                days: vec!["Monday".into(), "Friday".into()],
                start: "22:00".into(),
                limit: None,
            }],
            now: Some("night".into()),
        })),
        Request::ScheduleView { target } => Ok(Reply::Schedule(Box::new(ScheduleView {
            target: target.clone(),
            enabled: true,
            start: StartSpec {
                time: Some("2026-11-30T22:30:00".into()),
                mem_limit: None,
                queue_size: Some(5),
                every: Some((1, TimeUnit::Days)),
            },
            end: EndSpec { seconds: Some(7200), bytes: None },
            window: Some(("22:00".into(), "06:00".into())),
            state: "sending".into(),
            next_ms: None,
            verifications: vec![(ConnectionId(1), "every 1 days from 11/30/2026 22:30".into())],
        }))),
        _ => unscripted(),
    });
    assert_eq!(
        stage.output("limit bandwidth list"),
        "- Bandwidth -\n\
         Target machine  Bandwidth limit              Kbit/s  By               Otherwise\n\
         beta            1000000 bytes in 10 seconds  800     always\n\
         10.0.0.9        Unlimited                            schedule: night  500 kbit/s\n"
    );
    assert_eq!(
        stage.output("limit bandwidth schedule list to beta"),
        "- Bandwidth schedule of beta (enabled) -\n\
         Label  Days            Start  Bandwidth limit  Now\n\
         night  Monday, Friday  22:00  Unlimited        in force\n"
    );
    assert_eq!(
        stage.output("schedule beta list"),
        "- Schedule of beta -\n\
         Enabled:                          yes\n\
         Start time:                       11/30/2026 22:30\n\
         Start every:                      1 days\n\
         Start at percent of queue:        none\n\
         Start at queued bytes:            5\n\
         End after seconds:                7200\n\
         End after bytes:                  none\n\
         Window:                           22:00 to 06:00\n\
         State:                            sending\n\
         Next start:                       none\n\
         Verification of connection 1:     every 1 days from 11/30/2026 22:30\n"
    );
}
