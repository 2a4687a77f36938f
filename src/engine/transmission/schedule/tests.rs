use super::*;
use jiff::civil::{DateTime, Time, date};
use jiff::{SignedDuration, ToSpan};
use proptest::prelude::*;

/// Central Europe: forward on the last Sunday of March at 2, back on that of October at 3.
fn zone() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn at(local: DateTime) -> Timestamp {
    zone().to_timestamp(local).unwrap()
}

fn evening(hour: i8, minute: i8) -> Timestamp {
    at(date(2026, 11, 30).at(hour, minute, 0, 0))
}

/// A target whose queue fills and drains.
struct World {
    schedule: Schedule,
    now: Timestamp,
    queue: u64,
    /// Bytes that come, and that may be sent, in a second.
    comes: u64,
    sends: u64,
    /// Of the session.
    elapsed: Duration,
    sent: u64,
    /// What happened, and when by the local clock.
    told: Vec<(DateTime, Due)>,
}

impl World {
    fn new(now: Timestamp) -> World {
        World {
            schedule: Schedule::default(),
            now,
            queue: 0,
            comes: 0,
            sends: 1000,
            elapsed: Duration::ZERO,
            sent: 0,
            told: Vec::new(),
        }
    }

    fn start(&mut self, spec: StartSpec) {
        let start = Start::of(&spec, self.now, &zone()).unwrap();
        self.schedule.set_start(start, self.now, &zone());
    }

    fn end(&mut self, seconds: Option<u64>, bytes: Option<u64>) {
        self.schedule.set_end(End::of(EndSpec { seconds, bytes }).unwrap(), self.now);
    }

    fn window(&mut self, open: &str, close: &str) {
        self.schedule.set_window(Window::of(open, close).unwrap(), self.now);
    }

    fn seen(&self) -> Seen {
        Seen {
            now: self.now,
            is_empty: self.queue == 0,
            queued_bytes: self.queue,
            queued_percent: u8::try_from(self.queue / 1000).unwrap_or(100).min(100),
            elapsed: self.elapsed,
            sent: self.sent,
        }
    }

    fn step(&mut self, by: SignedDuration) {
        let due = self.schedule.due(&self.seen(), &zone());
        match due {
            Due::Begin(_) => {
                self.schedule.begin(self.now);
                (self.elapsed, self.sent) = (Duration::ZERO, 0);
            }
            Due::End(_) => self.schedule.end(self.now),
            Due::Void | Due::Outside | Due::Recount => self.schedule.recount(self.now),
            Due::Nothing => {}
        }
        if due != Due::Nothing && due != Due::Outside {
            self.told.push((zone().to_datetime(self.now), due));
        }
        let seconds = u64::try_from(by.as_secs()).unwrap();
        if !self.schedule.waits() {
            let left = self.schedule.end.bytes.map_or(u64::MAX, |bytes| bytes - self.sent.min(bytes));
            let sent = self.queue.min(self.sends * seconds).min(left);
            self.queue -= sent;
            self.sent += sent;
            self.elapsed += Duration::from_secs(seconds);
        }
        self.queue += self.comes * seconds;
        self.now += by;
    }

    /// Each second up to then.
    fn until(&mut self, then: Timestamp) {
        while self.now < then {
            self.step(SignedDuration::from_secs(1));
        }
    }

    fn begun(&self) -> Vec<DateTime> {
        let begun = |(at, due): &(DateTime, Due)| matches!(due, Due::Begin(_)).then_some(*at);
        self.told.iter().filter_map(begun).collect()
    }

    fn ended(&self) -> Vec<(Time, Why)> {
        let ended = |(at, due): &(DateTime, Due)| match due {
            Due::End(why) => Some((at.time(), *why)),
            _ => None,
        };
        self.told.iter().filter_map(ended).collect()
    }
}

fn time(local: DateTime) -> StartSpec {
    StartSpec { time: Some(local.to_string()), ..StartSpec::default() }
}

fn hm(hour: i8, minute: i8) -> Time {
    jiff::civil::time(hour, minute, 0, 0)
}

/// TRN-16, the guide's example: every 30 minutes from 10 p.m.; the queue is empty at 10:20, and it starts again at 10:30.
#[test]
fn every_30_minutes_from_ten() {
    let mut world = World::new(evening(21, 0));
    world.start(StartSpec {
        every: Some((30, TimeUnit::Minutes)),
        ..time(date(2026, 11, 30).at(22, 0, 0, 0))
    });
    // Twenty minutes' worth.
    world.queue = 1000 * 20 * 60;
    world.until(evening(22, 25));
    assert_eq!(world.begun(), [date(2026, 11, 30).at(22, 0, 0, 0)]);
    assert_eq!(world.ended(), [(hm(22, 20), Why::Empty)]);
    world.queue = 5000;
    world.until(evening(22, 29));
    assert_eq!(world.begun().len(), 1, "nothing before its time");
    world.until(evening(23, 59));
    let void: Vec<_> =
        world.told.iter().filter(|(_, due)| *due == Due::Void).map(|(at, _)| at.time()).collect();
    assert_eq!(world.begun()[1..], [date(2026, 11, 30).at(22, 30, 0, 0)]);
    assert_eq!(void, [hm(23, 0), hm(23, 30)], "with nothing queued there is nothing to start");
}

/// TRN-18: nothing is sent until the start time even if the threshold is passed; from then on both start.
#[test]
fn a_start_time_overrides_the_thresholds() {
    let mut world = World::new(evening(20, 0));
    let spec = StartSpec {
        mem_limit: Some(40),
        queue_size: Some(50_000),
        ..time(date(2026, 11, 30).at(22, 0, 0, 0))
    };
    world.start(spec);
    world.queue = 90_000;
    world.until(evening(22, 0));
    assert_eq!(world.told, []);
    world.until(evening(23, 0));
    assert_eq!(world.begun(), [date(2026, 11, 30).at(22, 0, 0, 0)]);
    world.queue = 40_000;
    world.until(evening(23, 1));
    assert_eq!(world.told.iter().filter(|(_, due)| *due == Due::Begin(Why::Percent(40))).count(), 1);
}

/// TRN-17, -19: at the threshold, not below; and to the end of the queue.
#[test]
fn thresholds_start_it_and_an_empty_queue_ends_it() {
    for (spec, why) in [
        (StartSpec { mem_limit: Some(40), ..StartSpec::default() }, Why::Percent(40)),
        (StartSpec { queue_size: Some(40_000), ..StartSpec::default() }, Why::Bytes(40_000)),
    ] {
        let mut world = World::new(evening(9, 0));
        world.start(spec);
        world.queue = 39_999;
        world.until(evening(9, 1));
        assert_eq!(world.told, []);
        world.queue = 40_000;
        world.until(evening(9, 5));
        let dues: Vec<Due> = world.told.iter().map(|(_, due)| *due).collect();
        assert_eq!(dues, [Due::Begin(why), Due::End(Why::Empty)]);
    }
    // A threshold of nothing is: as soon as there is something.
    let mut world = World::new(evening(9, 0));
    world.start(StartSpec { mem_limit: Some(0), ..StartSpec::default() });
    world.until(evening(9, 1));
    assert_eq!(world.told, []);
    world.queue = 1;
    world.until(evening(9, 2));
    assert_eq!(world.begun().len(), 1);
}

/// TRN-20, with the interval: how often and how long. TRN-21, TRN-23: ten of a queue of ten, then it closes.
#[test]
fn a_session_ends_with_its_time_or_its_bytes() {
    let mut world = World::new(evening(21, 0));
    world.start(StartSpec { every: Some((1, TimeUnit::Hours)), ..time(date(2026, 11, 30).at(21, 30, 0, 0)) });
    world.end(Some(600), None);
    world.queue = u64::MAX / 2;
    world.until(evening(23, 0));
    assert_eq!(world.begun(), [date(2026, 11, 30).at(21, 30, 0, 0), date(2026, 11, 30).at(22, 30, 0, 0)]);
    assert_eq!(world.ended(), [(hm(21, 40), Why::TimeUsedUp), (hm(22, 40), Why::TimeUsedUp)]);

    let mut world = World::new(evening(9, 0));
    (world.comes, world.sends) = (1000, 1_000_000);
    world.start(StartSpec { queue_size: Some(10_000_000), ..StartSpec::default() });
    world.end(None, Some(10_000_000));
    world.until(evening(15, 0));
    let sessions = world.begun().len();
    // Ten million in 10000 s each.
    assert_eq!((sessions, world.ended().len()), (2, 2));
    assert!(world.ended().iter().all(|(_, why)| *why == Why::BytesUsedUp), "{:?}", world.told);
}

/// TRN-24: nine to four, and a start at five: nothing is sent at five, nor when the window opens again.
#[test]
fn a_start_outside_the_window_is_void() {
    let mut world = World::new(evening(22, 0));
    world.window("21:00", "04:00");
    world.start(time(date(2026, 12, 1).at(5, 0, 0, 0)));
    world.queue = 1000;
    world.until(at(date(2026, 12, 2).at(12, 0, 0, 0)));
    assert_eq!(world.told, []);
    // Inside it starts, and what is not done when it closes waits for the next start.
    world.start(StartSpec { every: Some((1, TimeUnit::Days)), ..time(date(2026, 12, 2).at(23, 0, 0, 0)) });
    world.queue = 1000 * 3600 * 7;
    world.until(at(date(2026, 12, 4).at(12, 0, 0, 0)));
    let (first, second) = (date(2026, 12, 2).at(23, 0, 0, 0), date(2026, 12, 3).at(23, 0, 0, 0));
    assert_eq!(world.begun(), [first, second]);
    assert_eq!(world.ended(), [(hm(4, 0), Why::WindowCloses), (hm(1, 0), Why::Empty)]);
}

/// What will not start is said to be so; what will, not.
#[test]
fn a_start_that_does_not_come_is_told_of() {
    let mut world = World::new(evening(20, 0));
    world.start(time(date(2026, 11, 30).at(22, 0, 0, 0)));
    let stands = |world: &World| world.schedule.has_no_start(world.now, &zone());
    assert_eq!(stands(&world), None);
    world.window("23:00", "04:00");
    assert_eq!(stands(&world), Some("its start time is outside its window"));
    let due = |world: &World| world.schedule.due(&world.seen(), &zone());
    world.now = evening(22, 0);
    assert_eq!(due(&world), Due::Outside);
    world.until(evening(22, 1));
    assert_eq!(due(&world), Due::Nothing, "once");
    assert_eq!(stands(&world), Some("its start time is past"));
    assert_eq!(
        world.schedule.words(world.now, &zone()),
        "its start time is past, between 23:00 and 04:00 only"
    );
    // A threshold starts it still.
    world.schedule.start.queue_size = Some(5);
    assert_eq!(stands(&world), None);
    // Some of many starts lie inside: the first of these is the next.
    world.now = at(date(2026, 12, 1).at(12, 0, 0, 0));
    world.schedule.start = Start { every: Some((5, TimeUnit::Hours)), ..world.schedule.start.clone() };
    world.schedule.start.queue_size = None;
    let next = world.schedule.next_start(world.now, &zone()).map(|next| zone().to_datetime(next));
    assert_eq!(next, Some(date(2026, 12, 1).at(23, 0, 0, 0)), "25 hours after the first, as it opens");
    assert_eq!(stands(&world), None);
    world.schedule.start.every = Some((1, TimeUnit::Days));
    assert_eq!(world.schedule.next_start(world.now, &zone()), None);
    // Missed inside the window, it is made good.
    let mut world = World::new(evening(20, 0));
    world.start(time(date(2026, 11, 30).at(22, 0, 0, 0)));
    world.now = evening(23, 0);
    assert_eq!(stands(&world), None);
}

/// TRN-25.
#[test]
fn a_window_alone_starts_nothing() {
    let mut world = World::new(evening(10, 0));
    world.window("09:00", "18:00");
    world.queue = u64::MAX / 2;
    assert!(world.schedule.waits() && world.schedule.has_no_start(world.now, &zone()).is_some());
    world.until(evening(19, 0));
    assert_eq!(world.told, []);
    assert!(world.schedule.words(world.now, &zone()).contains("nothing starts it"));
}

/// With an end alone it is sent from then on, an empty queue or not; the rest waits for a person (TRN-21).
#[test]
fn an_end_alone_counts_from_when_it_is_set() {
    let mut world = World::new(evening(10, 0));
    world.end(None, Some(10_000));
    assert!(!world.schedule.waits());
    world.until(evening(10, 5));
    assert_eq!(world.told, []);
    world.queue = 30_000;
    world.until(evening(11, 0));
    assert_eq!(world.ended().len(), 1);
    assert!(world.schedule.waits() && world.queue == 20_000);
}

/// TRN-13, -14.
#[test]
fn disabling_keeps_all_and_clearing_takes_one_part_or_all() {
    let mut world = World::new(evening(10, 0));
    assert_eq!(world.schedule.enable(true, "beta", world.now).unwrap_err().code.number(), 128);
    world.start(StartSpec { queue_size: Some(5), ..StartSpec::default() });
    world.end(Some(60), None);
    world.window("09:00", "18:00");
    let before = world.schedule.clone();
    assert_eq!(world.schedule.enable(true, "beta", world.now).unwrap_err().code.number(), 188);
    world.schedule.enable(false, "beta", world.now).unwrap();
    assert!(!world.schedule.waits());
    assert_eq!(world.schedule.enable(false, "beta", world.now).unwrap_err().code.number(), 187);
    assert_eq!(
        (&world.schedule.start, world.schedule.end, world.schedule.window),
        (&before.start, before.end, before.window)
    );
    world.schedule.enable(true, "beta", world.now).unwrap();
    assert!(world.schedule.waits());
    world.schedule.clear(Some(SchedulePart::Window), world.now);
    assert!(world.schedule.window.is_none() && world.schedule.waits());
    world.schedule.clear(Some(SchedulePart::Start), world.now);
    assert!(world.schedule.session.is_some(), "only an end is left");
    world.schedule.clear(Some(SchedulePart::End), world.now);
    assert!(!world.schedule.is_defined() && world.schedule.session.is_none());
    world.schedule = before;
    world.schedule.clear(None, world.now);
    assert_eq!(world.schedule, Schedule::default());
}

/// Each day at ten in the evening and at half past two at night, for a year: each minute is looked at.
#[test]
fn a_year_of_nights_keeps_local_time() {
    for (hour, minute) in [(22, 0), (2, 30)] {
        let mut world = World::new(at(date(2026, 1, 1).at(0, 0, 0, 0)));
        world.queue = 1 << 60;
        world.end(Some(3600), None);
        world.start(StartSpec {
            every: Some((1, TimeUnit::Days)),
            ..time(date(2026, 1, 1).at(hour, minute, 0, 0))
        });
        let next_year = at(date(2027, 1, 1).at(0, 0, 0, 0));
        while world.now < next_year {
            world.step(SignedDuration::from_mins(1));
        }
        let begun = world.begun();
        assert_eq!(begun.len(), 365);
        for (day, begun) in begun.iter().enumerate() {
            let day = date(2026, 1, 1) + i64::try_from(day).unwrap().days();
            // The clocks go from two to three on 29 March: half past two is not there.
            let hour = if hour == 2 && day == date(2026, 3, 29) { 3 } else { hour };
            assert_eq!(*begun, day.at(hour, minute, 0, 0));
        }
    }
}

/// Days are the calendar's, hours pass evenly: 24 hours later is another local time after the clocks went back.
#[test]
fn days_are_of_the_calendar_and_hours_pass_evenly() {
    let first = date(2026, 10, 24).at(22, 0, 0, 0);
    let start = |n, unit| Start { time: Some(LocalTime(first)), every: Some((n, unit)), ..Start::default() };
    let after = |start: &Start, now: Timestamp| zone().to_datetime(start.next(now, &zone()).unwrap());
    assert_eq!(after(&start(1, TimeUnit::Days), at(first)), date(2026, 10, 25).at(22, 0, 0, 0));
    assert_eq!(after(&start(24, TimeUnit::Hours), at(first)), date(2026, 10, 25).at(21, 0, 0, 0));
    assert_eq!(
        after(&start(2, TimeUnit::Days), at(date(2026, 12, 1).at(9, 0, 0, 0))),
        date(2026, 12, 1).at(22, 0, 0, 0)
    );
    assert_eq!(after(&start(1, TimeUnit::Days), at(date(2026, 10, 1).at(9, 0, 0, 0))), first);
    let once = Start { time: Some(LocalTime(first)), ..Start::default() };
    assert_eq!(once.next(at(first), &zone()), None);
    // One that comes twice is the first.
    let twice = Start { time: Some(LocalTime(date(2026, 10, 25).at(2, 30, 0, 0))), ..Start::default() };
    assert_eq!(twice.next(at(first), &zone()).unwrap().to_string(), "2026-10-25T00:30:00Z");
}

/// The engine was not there at ten: it starts when it is back, once, and only inside the window.
#[test]
fn a_start_that_was_missed_is_made_good_once_inside_the_window() {
    let night = |window: bool| {
        let mut world = World::new(evening(20, 0));
        world.start(StartSpec {
            every: Some((1, TimeUnit::Days)),
            ..time(date(2026, 11, 30).at(22, 0, 0, 0))
        });
        if window {
            world.window("21:00", "04:00");
        }
        world.queue = 10_000;
        world
    };
    let mut world = night(false);
    world.now = at(date(2026, 12, 4).at(8, 0, 0, 0));
    world.until(at(date(2026, 12, 4).at(9, 0, 0, 0)));
    assert_eq!(world.begun(), [date(2026, 12, 4).at(8, 0, 0, 0)]);
    let mut world = night(true);
    world.now = at(date(2026, 12, 4).at(8, 0, 0, 0));
    world.until(at(date(2026, 12, 4).at(9, 0, 0, 0)));
    assert_eq!(world.told, []);
    world.until(at(date(2026, 12, 4).at(21, 30, 0, 0)));
    assert_eq!(world.begun(), [date(2026, 12, 4).at(21, 0, 0, 0)]);
}

#[test]
fn a_clock_that_is_set_back_repeats_no_start_and_blocks_none_for_long() {
    let mut world = World::new(evening(21, 0));
    world.start(StartSpec { every: Some((1, TimeUnit::Days)), ..time(date(2026, 11, 30).at(22, 0, 0, 0)) });
    world.queue = 1000;
    world.until(evening(22, 10));
    world.now = evening(21, 50);
    world.queue = 1000;
    world.until(evening(22, 30));
    assert_eq!(world.begun().len(), 1, "{:?}", world.told);
    // It had been four years ahead.
    world.now = at(date(2030, 11, 30).at(22, 0, 0, 0));
    world.until(world.now + 1.minute());
    assert_eq!(world.begun().len(), 2);
    world.now = at(date(2026, 12, 1).at(12, 0, 0, 0));
    world.queue = 1000;
    world.until(at(date(2026, 12, 1).at(22, 5, 0, 0)));
    assert_eq!(world.begun().len(), 3, "{:?}", world.told);
}

#[test]
fn what_starts_or_ends_nothing_is_refused_with_what_to_type() {
    let now = evening(12, 0);
    let code = |spec: &StartSpec| {
        let error = Start::of(spec, now, &zone()).unwrap_err();
        assert!(error.help.is_some(), "{error}");
        error.code.number()
    };
    assert_eq!(code(&StartSpec::default()), 139);
    assert_eq!(code(&time(date(2026, 11, 30).at(11, 59, 0, 0))), 139, "past");
    for every in [
        (0, TimeUnit::Days),
        (u64::MAX, TimeUnit::Days),
        (36_526, TimeUnit::Days),
        (u64::MAX, TimeUnit::Seconds),
    ] {
        assert_eq!(code(&StartSpec { every: Some(every), ..StartSpec::default() }), 101);
    }
    assert_eq!(code(&StartSpec { mem_limit: Some(101), ..StartSpec::default() }), 101);
    assert_eq!(code(&StartSpec { time: Some("2026-02-30T10:00:00".into()), ..StartSpec::default() }), 114);
    // Past with an interval, and an interval alone, which begins now.
    let every = Some((36_525, TimeUnit::Days));
    let past = Start::of(&StartSpec { every, ..time(date(1, 1, 1).at(0, 0, 0, 0)) }, now, &zone()).unwrap();
    assert!(past.next(now, &zone()).is_some() && past.latest(now, &zone()).is_some());
    let alone =
        Start::of(&StartSpec { every: Some((7, TimeUnit::Minutes)), ..StartSpec::default() }, now, &zone())
            .unwrap();
    assert_eq!(alone.latest(now, &zone()), Some(now));
    let far = time(date(9999, 12, 31).at(23, 59, 59, 0));
    // The last day that there is, which no clock in this zone may show.
    let _ = Start::of(&far, now, &zone());
    let mut schedule = Schedule::default();
    schedule.set_start(alone, now, &zone());
    assert_eq!(
        schedule.due(&Seen { is_empty: false, ..World::new(now).seen() }, &zone()),
        Due::Begin(Why::StartTime)
    );
    let code = |seconds, bytes| End::of(EndSpec { seconds, bytes }).unwrap_err().code.number();
    assert_eq!(code(None, None), 139);
    assert_eq!(
        [
            code(Some(0), None),
            code(Some(u64::MAX), None),
            code(None, Some(0)),
            code(None, Some(999)),
            code(None, Some(u64::MAX))
        ],
        [101; 5]
    );
    assert_eq!(Window::of("22:00", "22:00").unwrap_err().code.number(), 139);
    assert_eq!(Window::of("24:00", "22:00").unwrap_err().code.number(), 115);
}

fn specs() -> impl Strategy<Value = StartSpec> {
    let minute = 0..3 * 24 * 60i64;
    let unit = prop_oneof![Just(TimeUnit::Minutes), Just(TimeUnit::Hours), Just(TimeUnit::Days)];
    (
        prop::option::of(minute),
        prop::option::of((1..90u64, unit)),
        prop::option::of(0..=100u8),
        prop::option::of(0..100_000u64),
    )
        .prop_map(|(minute, every, mem_limit, queue_size)| StartSpec {
            time: minute.map(|minute| (date(2026, 3, 27).at(0, 0, 0, 0) + minute.minutes()).to_string()),
            every,
            mem_limit,
            queue_size,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any schedule, any load, over five days with a change of the clocks in their midst: nothing is sent outside the window, before
    /// the start time, or past an end; and each session has a reason to begin.
    #[test]
    fn precedence_holds(
        spec in specs(),
        seconds in prop::option::of(1..20_000u64),
        bytes in prop::option::of(1000..100_000u64),
        window in prop::option::of((0..24i8, 0..24i8)),
        comes in 0..30u64,
        sends in 1..200u64,
        step in 1..120i64,
        jumps in prop::collection::vec((0..7000usize, -7200..7200i64), 0..4),
    ) {
        let mut world = World::new(at(date(2026, 3, 27).at(0, 0, 0, 0)));
        (world.comes, world.sends) = (comes, sends);
        let Ok(start) = Start::of(&spec, world.now, &zone()) else { return Ok(()) };
        world.schedule.set_start(start.clone(), world.now, &zone());
        if seconds.is_some() || bytes.is_some() {
            world.end(seconds, bytes);
        }
        let window = window.filter(|(open, close)| open != close);
        if let Some((open, close)) = window {
            world.window(&format!("{open}:00"), &format!("{close}:00"));
        }
        let is_open = |now: Timestamp| window.is_none_or(|(open, close)| {
            let hour = zone().to_datetime(now).hour();
            if open < close { (open..close).contains(&hour) } else { hour >= open || hour < close }
        });
        let first = start.time.map(|time| zone().to_timestamp(time.0).unwrap());
        let mut handled = world.now;
        for turn in 0..(5 * 86_400 / step).min(7000) {
            if let Some((_, jump)) = jumps.iter().find(|(at, _)| *at == turn as usize) {
                world.now += SignedDuration::from_secs(*jump);
            }
            let (now, queue, had) = (world.now, world.queue, world.schedule.session.is_some());
            let (elapsed, sent, told) = (world.elapsed, world.sent, world.told.len());
            world.step(SignedDuration::from_secs(step));
            if world.queue < queue + comes * step as u64 {
                prop_assert!(is_open(now), "sent outside the window");
                prop_assert!(had || first.is_none_or(|first| first <= now), "sent before the start time");
                prop_assert!(seconds.is_none_or(|seconds| !had || elapsed.as_secs() < seconds), "sent past its time");
                prop_assert!(bytes.is_none_or(|bytes| world.sent <= bytes));
            }
            match world.told.last() {
                Some((_, Due::Begin(Why::StartTime))) if !had && world.schedule.session.is_some() => {
                    // A moment since the last session that the window was open at.
                    let moment = start.latest(now, &zone()).unwrap();
                    prop_assert!(moment > handled - 1.second() && is_open(moment), "{moment} {handled}");
                }
                Some((_, Due::Begin(Why::Percent(percent)))) if !had && world.schedule.session.is_some() => {
                    prop_assert!(u64::from(*percent) >= spec.mem_limit.unwrap().into());
                }
                Some((_, Due::Begin(Why::Bytes(queued)))) if !had && world.schedule.session.is_some() => {
                    prop_assert!(*queued == queue && queue >= spec.queue_size.unwrap());
                }
                Some((_, Due::End(Why::Empty))) if had && world.schedule.session.is_none() => prop_assert!(queue == 0),
                Some((_, Due::End(Why::BytesUsedUp))) if had && world.schedule.session.is_none() => {
                    prop_assert!(sent == bytes.unwrap());
                }
                _ => {}
            }
            if world.told.len() > told {
                handled = now;
            }
        }
    }
}
