//! When a target is sent to (TRN-10 to -27): what starts a session, what ends it, and a window that bounds both. Pure: the
//! engine looks once a second, and does what is due.
//!
//! While a schedule governs, nothing is sent but in a session. In order of precedence:
//!
//! 1. Outside the window no session begins, and one that runs ends (TRN-24). A start outside it is void; a window starts nothing (TRN-25).
//! 2. A session ends when its time or its bytes are used up (TRN-20, -21), or, where something starts the next one, when nothing is
//!    queued (TRN-15, -22).
//! 3. Before the start time nothing starts one, whatever is queued (TRN-18).
//! 4. The start time and each interval after it start one (TRN-15, -16); so does a queue over a threshold (TRN-17, -19).
//!
//! Starts that come while a session runs are part of it. What should have started one while the engine was not there, or the target
//! could not be reached, is made good once, inside the window. With an end and nothing that starts, a session begins when the end
//! is set, and the next one by hand.

mod moments;

use super::times::{LocalTime, TimeOfDay};
use crate::api::{ApiError, Code, EndSpec, SchedulePart, StartSpec, TimeUnit};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest time that a schedule knows: a hundred years.
pub const SECONDS_MOST: u64 = 36_525 * 86_400;
/// A clock that was set back by more than this lets starts come again that have been.
const SET_BACK_MS: i64 = 3_600_000;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// It keeps its settings (TRN-13).
    pub disabled: bool,
    pub start: Start,
    pub end: End,
    pub window: Option<Window>,
    pub session: Option<Session>,
    /// Starts up to this moment have been, or are void; milliseconds since 1970.
    pub handled_ms: i64,
}

/// What starts a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    pub time: Option<LocalTime>,
    /// Only with a time, from which on they are counted.
    pub every: Option<(u64, TimeUnit)>,
    pub mem_limit: Option<u8>,
    pub queue_size: Option<u64>,
}

/// What ends one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    pub seconds: Option<u64>,
    pub bytes: Option<u64>,
}

/// By the local time of day, whichever day. One that closes before it opens crosses midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub open: TimeOfDay,
    pub close: TimeOfDay,
}

/// A time in which is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Milliseconds since 1970.
    pub began_ms: i64,
    /// Bytes that were sent in it, as they were kept last.
    pub bytes: u64,
}

/// What the engine sees of a target.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub now: Timestamp,
    /// Nothing waits to be sent, and nothing that was sent to be applied.
    pub is_empty: bool,
    pub queued_bytes: u64,
    /// The fullest queue's share of its memory or disk space.
    pub queued_percent: u8,
    /// Of the session, by a clock that nobody sets.
    pub elapsed: Duration,
    pub sent: u64,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    Begin(Why),
    End(Why),
    /// A start found nothing to send: it has been.
    Void,
    /// A start came outside the window: it has been.
    Outside,
    /// The clock was set far back: starts count from now on.
    Recount,
}

/// Why a session begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    StartTime,
    Percent(u8),
    Bytes(u64),
    ByHand,
    Empty,
    TimeUsedUp,
    BytesUsedUp,
    WindowCloses,
    Changed,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::StartTime => f.write_str("its time has come"),
            Why::Percent(percent) => write!(f, "{percent} percent of the queue are in use"),
            Why::Bytes(bytes) => write!(f, "{bytes} bytes are queued"),
            Why::ByHand => f.write_str("by hand"),
            Why::Empty => f.write_str("nothing is queued"),
            Why::TimeUsedUp => f.write_str("its time is used up"),
            Why::BytesUsedUp => f.write_str("its bytes are used up"),
            Why::WindowCloses => f.write_str("the window is closed"),
            Why::Changed => f.write_str("the schedule was changed"),
        }
    }
}

impl Start {
    fn is_set(&self) -> bool {
        self.time.is_some() || self.mem_limit.is_some() || self.queue_size.is_some()
    }

    /// As it was typed. -139 for one that would start nothing, -114 for a time that no clock shows. An interval alone begins now.
    pub fn of(spec: &StartSpec, now: Timestamp, zone: &TimeZone) -> Result<Start, ApiError> {
        let invalid = |message: String| ApiError::new(Code::InvalidParameterWasSupplied, message);
        if let Some((n, unit)) = spec.every
            && (n == 0 || seconds_of(n, unit).is_none())
        {
            return Err(invalid(format!("{n} {unit} are no interval")).help("1 second to 36525 days"));
        }
        if let Some(percent) = spec.mem_limit.filter(|percent| *percent > 100) {
            return Err(invalid(format!("{percent} is no percentage")).help("0 to 100"));
        }
        let mut time = spec.time.as_deref().map(str::parse::<LocalTime>).transpose()?;
        if time.is_none() && spec.every.is_some() {
            let local = zone.to_datetime(now);
            // Whole seconds, as they are typed and shown.
            time = Some(LocalTime(local.date().at(local.hour(), local.minute(), local.second(), 0)));
        }
        let start = Start { time, every: spec.every, mem_limit: spec.mem_limit, queue_size: spec.queue_size };
        if !start.is_set() {
            return Err(ApiError::new(
                Code::ScheduleCommandIsInvalid,
                "nothing is given that starts sending",
            )
            .help("give STARTTIME, MEMLIMIT, QUEUESIZE or EVERY"));
        }
        if let Some(time) = &start.time {
            let Ok(at) = zone.to_timestamp(time.0) else {
                return Err(ApiError::new(
                    Code::DateIsInvalid,
                    format!("{time} is no time that the clock will show"),
                ));
            };
            let only = start.every.is_none() && start.mem_limit.is_none() && start.queue_size.is_none();
            if only && at <= now {
                return Err(ApiError::new(
                    Code::ScheduleCommandIsInvalid,
                    format!("{time} is past: it would start nothing"),
                )
                .help("give a time to come, or EVERY <n> <units> with it; TRANSMISSION START <target> sends now"));
            }
        }
        Ok(start)
    }

    pub fn spec(&self) -> StartSpec {
        StartSpec {
            time: self.time.map(String::from),
            mem_limit: self.mem_limit,
            queue_size: self.queue_size,
            every: self.every,
        }
    }
}

impl End {
    /// -101 for a time or a number of bytes that ends before it begins.
    pub fn of(spec: EndSpec) -> Result<End, ApiError> {
        if spec.seconds.is_none() && spec.bytes.is_none() {
            return Err(ApiError::new(Code::ScheduleCommandIsInvalid, "nothing is given that ends sending")
                .help("give DURATION or BYTES"));
        }
        let invalid = |message: String| ApiError::new(Code::InvalidParameterWasSupplied, message);
        if let Some(seconds) = spec.seconds
            && !(1..=SECONDS_MOST).contains(&seconds)
        {
            return Err(invalid(format!("{seconds} seconds are no duration of a session"))
                .help("1 second to 36525 days"));
        }
        match spec.bytes {
            Some(bytes) if bytes < BYTES_LEAST => {
                Err(invalid(format!("a session of {bytes} bytes cannot send anything"))
                    .help(format!("{BYTES_LEAST} bytes or more; TRANSMISSION PAUSE <target> sends nothing")))
            }
            Some(bytes) if bytes > BYTES_MOST => {
                Err(invalid(format!("{bytes} bytes are no end of a session"))
                    .help(format!("{BYTES_MOST} bytes at most")))
            }
            _ => Ok(End { seconds: spec.seconds, bytes: spec.bytes }),
        }
    }

    pub fn spec(self) -> EndSpec {
        EndSpec { seconds: self.seconds, bytes: self.bytes }
    }
}

/// So many openings of a window are looked at for a start.
const OPENINGS: u32 = 400;
/// The most bytes of a session: more than any disk holds, and sums of it are numbers still.
const BYTES_MOST: u64 = 1 << 60;
/// The fewest: less would be used up by what goes beside the data.
const BYTES_LEAST: u64 = 1000;

/// None: more than a hundred years.
pub fn seconds_of(n: u64, unit: TimeUnit) -> Option<u64> {
    let one = match unit {
        TimeUnit::Seconds => 1,
        TimeUnit::Minutes => 60,
        TimeUnit::Hours => 3600,
        TimeUnit::Days => 86_400,
    };
    n.checked_mul(one).filter(|seconds| *seconds <= SECONDS_MOST)
}

impl Window {
    /// -139 if it would never open, or never close.
    pub fn of(open: &str, close: &str) -> Result<Window, ApiError> {
        let window = Window { open: open.parse()?, close: close.parse()? };
        if window.open == window.close {
            return Err(ApiError::new(
                Code::ScheduleCommandIsInvalid,
                format!("a window that opens and closes at {} bounds nothing", window.open),
            )
            .help("give two different times; SCHEDULE <target> WINDOW CLEAR takes the bounds away"));
        }
        Ok(window)
    }

    pub fn is_open(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let time = zone.to_datetime(now).time();
        let (open, close) = (self.open.0, self.close.0);
        if open < close { (open..close).contains(&time) } else { time >= open || time < close }
    }

    /// When it opens next after that moment.
    fn opens(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let today = zone.to_datetime(after).date();
        let on = |date: Date| zone.to_timestamp(date.to_datetime(self.open.0)).ok();
        on(today).filter(|opens| *opens > after).or_else(|| on(today.tomorrow().ok()?))
    }
}

impl Schedule {
    /// Something is set (else -128).
    pub fn is_defined(&self) -> bool {
        self.start.is_set() || self.end != End::default() || self.window.is_some()
    }

    /// Nothing is sent but in a session.
    pub fn governs(&self) -> bool {
        !self.disabled && self.is_defined()
    }

    /// Nothing is sent for now.
    pub fn waits(&self) -> bool {
        self.governs() && self.session.is_none()
    }

    pub fn is_window_open(&self, now: Timestamp, zone: &TimeZone) -> bool {
        self.window.is_none_or(|window| window.is_open(now, zone))
    }

    /// What is due; it changes nothing.
    pub fn due(&self, seen: &Seen, zone: &TimeZone) -> Due {
        if !self.governs() {
            return Due::Nothing;
        }
        let open = self.is_window_open(seen.now, zone);
        if let Some(why) = self.session.and_then(|_| self.ends(seen, open)) {
            return Due::End(why);
        }
        if self.handled_ms > seen.now.as_millisecond().saturating_add(SET_BACK_MS) {
            return Due::Recount;
        }
        if self.session.is_some() {
            return Due::Nothing;
        }
        let start = self.unhandled(seen.now, zone);
        if start.is_some_and(|start| !self.is_window_open(start, zone)) {
            return Due::Outside;
        }
        if !open {
            return Due::Nothing;
        }
        let has_come = |time: LocalTime| zone.to_timestamp(time.0).is_ok_and(|time| time <= seen.now);
        if self.start.time.is_some_and(|time| !has_come(time)) {
            return Due::Nothing;
        }
        if start.is_some() {
            return if seen.is_empty { Due::Void } else { Due::Begin(Why::StartTime) };
        }
        match (self.start.mem_limit, self.start.queue_size) {
            _ if seen.is_empty => Due::Nothing,
            (Some(percent), _) if seen.queued_percent >= percent => {
                Due::Begin(Why::Percent(seen.queued_percent))
            }
            (_, Some(bytes)) if seen.queued_bytes >= bytes => Due::Begin(Why::Bytes(seen.queued_bytes)),
            _ => Due::Nothing,
        }
    }

    fn ends(&self, seen: &Seen, open: bool) -> Option<Why> {
        if !open {
            return Some(Why::WindowCloses);
        }
        if self.end.seconds.is_some_and(|seconds| seen.elapsed >= Duration::from_secs(seconds)) {
            return Some(Why::TimeUsedUp);
        }
        if self.end.bytes.is_some_and(|bytes| seen.sent >= bytes) {
            return Some(Why::BytesUsedUp);
        }
        (seen.is_empty && self.start.is_set()).then_some(Why::Empty)
    }

    /// A session begins, or all that came up to now has been.
    pub fn begin(&mut self, now: Timestamp) {
        self.session = Some(Session { began_ms: now.as_millisecond(), bytes: 0 });
        self.handled_ms = now.as_millisecond();
    }

    pub fn end(&mut self, now: Timestamp) {
        self.session = None;
        self.recount(now);
    }

    /// Starts count from now on.
    pub fn recount(&mut self, now: Timestamp) {
        self.handled_ms = now.as_millisecond();
    }

    pub fn set_start(&mut self, start: Start, now: Timestamp, zone: &TimeZone) {
        self.start = start;
        self.end(now);
        if self
            .start
            .latest(now, zone)
            .is_some_and(|latest| latest.as_millisecond() / 1000 == now.as_millisecond() / 1000)
        {
            // It begins now: an interval alone, or a start time of this very second.
            self.handled_ms -= 1000;
        }
    }

    pub fn set_end(&mut self, end: End, now: Timestamp) {
        self.end = end;
        self.settle(now);
    }

    /// A session that runs goes on inside it; one that nothing starts does not begin (TRN-25).
    pub fn set_window(&mut self, window: Window, now: Timestamp) {
        let governed = self.governs();
        self.window = Some(window);
        if !governed {
            self.end(now);
        }
    }

    /// The last start, unless it has been.
    fn unhandled(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.start.latest(now, zone).filter(|start| start.as_millisecond() > self.handled_ms)
    }

    /// The first start after that moment that is not void. None: there is none, within a year and more of openings of the window.
    pub fn next_start(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut after = now;
        for _ in 0..OPENINGS {
            let next = self.start.next(after, zone)?;
            let Some(window) = self.window.filter(|window| !window.is_open(next, zone)) else {
                return Some(next);
            };
            // A start at the very moment at which it opens is inside it.
            after = window.opens(next, zone)?.checked_sub(SignedDuration::from_millis(1)).ok()?;
        }
        None
    }

    /// Nothing but a person starts a session: why.
    pub fn has_no_start(&self, now: Timestamp, zone: &TimeZone) -> Option<&'static str> {
        if !self.start.is_set() {
            return Some("nothing starts it");
        }
        let starts = self.start.mem_limit.is_some()
            || self.start.queue_size.is_some()
            || self.unhandled(now, zone).is_some_and(|start| self.is_window_open(start, zone))
            || self.next_start(now, zone).is_some();
        match self.start.next(now, zone) {
            _ if starts => None,
            None => Some("its start time is past"),
            Some(_) => Some("its start time is outside its window"),
        }
    }

    /// -187 or -188 when it is so already, -128 if nothing is set.
    pub fn enable(&mut self, enabled: bool, target: &str, now: Timestamp) -> Result<(), ApiError> {
        if !self.is_defined() {
            return Err(ApiError::new(Code::ScheduleIsNotDefined, format!("{target} has no schedule"))
                .help(format!("SCHEDULE {target} START ... makes one")));
        }
        if self.disabled != enabled {
            return Err(match enabled {
                true => ApiError::new(
                    Code::ScheduleIsResumed,
                    format!("the schedule of {target} is enabled already"),
                )
                .help(format!("SCHEDULE {target} DISABLE turns it off and keeps it")),
                false => ApiError::new(
                    Code::ScheduleIsPaused,
                    format!("the schedule of {target} is disabled already"),
                )
                .help(format!("SCHEDULE {target} ENABLE turns it on")),
            });
        }
        self.disabled = !enabled;
        // What would have started meanwhile has been.
        self.end(now);
        self.settle(now);
        Ok(())
    }

    /// One part, or all.
    pub fn clear(&mut self, part: Option<SchedulePart>, now: Timestamp) {
        match part {
            None => *self = Schedule::default(),
            Some(SchedulePart::Start) => self.start = Start::default(),
            Some(SchedulePart::End) => self.end = End::default(),
            Some(SchedulePart::Window) => self.window = None,
        }
        self.settle(now);
    }

    /// With an end alone a session begins at once; without a schedule there is none.
    fn settle(&mut self, now: Timestamp) {
        if !self.governs() {
            self.session = None;
        } else if self.session.is_none() && !self.start.is_set() && self.window.is_none() {
            self.begin(now);
        }
    }

    /// What it waits for, as a sentence's part.
    pub fn words(&self, now: Timestamp, zone: &TimeZone) -> String {
        let mut words = Vec::new();
        match (self.start.time, self.start.every) {
            (Some(time), Some((n, unit))) => words.push(format!("from {time} every {n} {unit}")),
            (Some(time), None) => words.push(format!("at {time}")),
            (None, _) => {}
        }
        words.extend(
            self.start.mem_limit.map(|percent| format!("when {percent} percent of the queue are in use")),
        );
        words.extend(self.start.queue_size.map(|bytes| format!("when {bytes} bytes are queued")));
        let starts = match self.has_no_start(now, zone) {
            Some(why) => why.to_owned(),
            None => format!("it starts {}", words.join(", or ")),
        };
        match self.window {
            Some(window) => format!("{starts}, between {} and {} only", window.open, window.close),
            None => starts,
        }
    }

    /// Why what was kept cannot have been.
    pub(super) fn check(&self) -> Result<(), String> {
        let Schedule { start, end, window, .. } = self;
        if start
            .every
            .is_some_and(|(n, unit)| n == 0 || seconds_of(n, unit).is_none() || start.time.is_none())
        {
            return Err("the schedule's interval is none".into());
        }
        if start.mem_limit.is_some_and(|percent| percent > 100) {
            return Err("the schedule's percentage is none".into());
        }
        if end.seconds.is_some_and(|seconds| !(1..=SECONDS_MOST).contains(&seconds))
            || end.bytes.is_some_and(|bytes| !(BYTES_LEAST..=BYTES_MOST).contains(&bytes))
        {
            return Err("the end of the schedule's sessions is none".into());
        }
        if window.is_some_and(|window| window.open == window.close) {
            return Err("the schedule's window never opens".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
