//! A connection's verification at set times (VER-10 to -13). Pure: the engine looks once a second, and does what is due.
//!
//! A run that was due while the engine was not there, or while it could not begin (a mirror runs, nothing is to be sent), is made good
//! once. One that a restart cut begins anew. One that failed is tried again after `VerifyRetryInterval`, `VerifyRetryLimit` times;
//! differences that it found are no failure.

use crate::api::{ApiError, Code, TimeUnit, VerifyScheduleSpec, VerifySpec};
use crate::engine::transmission::schedule::{Start, seconds_of};
use crate::engine::transmission::times::LocalTime;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A clock that was set back by more than this lets runs come again that have been.
const SET_BACK_MS: i64 = 3_600_000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyTimes {
    pub verify: VerifySpec,
    /// The first run and the interval; without an interval there is one.
    time: LocalTime,
    every: Option<(u64, TimeUnit)>,
    /// Times up to this moment have been; milliseconds since 1970.
    handled_ms: i64,
    /// A run is due from this moment on, whatever the times say: the first at once, one that runs, or another try.
    again_ms: Option<i64>,
    /// How often the run was tried again.
    tries: u32,
}

impl VerifyTimes {
    /// As it was typed: without a time it begins now. -101 for an interval that is none, -114 for a time that no clock shows, -139 for a
    /// single time that is past.
    pub fn of(spec: &VerifyScheduleSpec, now: Timestamp, zone: &TimeZone) -> Result<VerifyTimes, ApiError> {
        if let Some((n, unit)) = spec.every
            && (n == 0 || seconds_of(n, unit).is_none())
        {
            let message = format!("{n} {unit} are no interval");
            return Err(
                ApiError::new(Code::InvalidParameterWasSupplied, message).help("1 second to 36525 days")
            );
        }
        let local = zone.to_datetime(now);
        // Whole seconds, as they are typed and shown.
        let present = LocalTime(local.date().at(local.hour(), local.minute(), local.second(), 0));
        let time = spec.time.as_deref().map(str::parse::<LocalTime>).transpose()?;
        let Ok(first) = zone.to_timestamp(time.unwrap_or(present).0) else {
            let message = format!("{} is no time that the clock will show", time.unwrap_or(present));
            return Err(ApiError::new(Code::DateIsInvalid, message));
        };
        if time.is_some() && spec.every.is_none() && first <= now {
            let message = format!("{} is past: nothing would be verified", time.unwrap_or(present));
            return Err(ApiError::new(Code::ScheduleCommandIsInvalid, message)
                .help("give a time to come, STARTTIME = NOW, or EVERY <n> <units> with it"));
        }
        Ok(VerifyTimes {
            verify: spec.verify,
            time: time.unwrap_or(present),
            every: spec.every,
            handled_ms: now.as_millisecond(),
            again_ms: time.is_none().then(|| now.as_millisecond()),
            tries: 0,
        })
    }

    fn start(&self) -> Start {
        Start { time: Some(self.time), every: self.every, ..Start::default() }
    }

    /// Is a run to begin?
    pub fn is_due(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let now_ms = now.as_millisecond();
        self.again_ms.is_some_and(|at| at <= now_ms) || self.has_come(now, zone)
    }

    fn has_come(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let latest = self.start().latest(now, zone);
        latest.is_some_and(|latest| latest.as_millisecond() > self.handled_ms)
    }

    /// It begins. Until it has ended it counts as due, so that a restart begins it anew.
    pub fn begins(&mut self, now: Timestamp, zone: &TimeZone) {
        if self.has_come(now, zone) {
            self.tries = 0;
        }
        (self.handled_ms, self.again_ms) = (now.as_millisecond(), Some(now.as_millisecond()));
    }

    /// It has ended. True: it failed, and is tried again.
    pub fn ended(&mut self, failed: bool, now: Timestamp, (interval, limit): (Duration, u32)) -> bool {
        let again = failed && self.tries < limit;
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        self.again_ms = again.then(|| now.as_millisecond().saturating_add(interval));
        self.tries = if again { self.tries + 1 } else { 0 };
        if !again {
            // Times that came while it ran are part of it.
            self.handled_ms = self.handled_ms.max(now.as_millisecond());
        }
        again
    }

    /// The clock may have been set far back: runs count from now on. True: so it is.
    pub fn recounts(&mut self, now: Timestamp) -> bool {
        let now_ms = now.as_millisecond();
        if self.handled_ms <= now_ms.saturating_add(SET_BACK_MS) {
            return false;
        }
        self.handled_ms = now_ms;
        self.again_ms = self.again_ms.map(|at| at.min(now_ms));
        true
    }

    /// When the next run begins; None: none does.
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.has_come(now, zone) {
            return Some(now);
        }
        let again = self.again_ms.and_then(|at| Timestamp::from_millisecond(at).ok());
        [again, self.start().next(now, zone)].into_iter().flatten().min()
    }

    /// What is verified and when, for a person.
    pub fn words(&self, now: Timestamp, zone: &TimeZone) -> String {
        let mut words = match self.every {
            Some((n, unit)) => format!("every {n} {unit} from {}", self.time),
            None => format!("once, at {}", self.time),
        };
        let VerifySpec { remirror, newer, checksum, .. } = self.verify;
        for (word, is_asked) in [("remirror", remirror), ("newer", newer), ("checksum", checksum)] {
            if is_asked {
                words.push_str(", ");
                words.push_str(word);
            }
        }
        if let Some(next) = self.next(now, zone) {
            let local = zone.to_datetime(next);
            words.push_str(&format!("; next {}", local.strftime("%m/%d/%Y %H:%M:%S")));
        }
        if self.tries > 0 {
            words.push_str(&format!(" (try {} after a failure)", self.tries));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;
    use jiff::civil::{DateTime, date};

    const RETRY: (Duration, u32) = (Duration::from_secs(180), 5);

    /// Central Europe: forward on the last Sunday of March at 2, back on that of October at 3.
    fn zone() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn at(local: DateTime) -> Timestamp {
        zone().to_timestamp(local).unwrap()
    }

    fn times(time: Option<DateTime>, every: Option<(u64, TimeUnit)>, now: Timestamp) -> VerifyTimes {
        let time = time.map(|time| time.to_string());
        let spec = VerifyScheduleSpec { time, every, verify: VerifySpec::default() };
        VerifyTimes::of(&spec, now, &zone()).unwrap()
    }

    /// Looks each quarter of an hour; each run is over at the next look. When runs began, by the local clock.
    fn runs(times: &mut VerifyTimes, from: Timestamp, to: Timestamp) -> Vec<DateTime> {
        let (mut now, mut began) = (from, Vec::new());
        while now <= to {
            if times.is_due(now, &zone()) {
                times.begins(now, &zone());
                began.push(zone().to_datetime(now));
                times.ended(false, now, RETRY);
            }
            now += 15.minutes();
        }
        began
    }

    #[test]
    fn a_year_of_nights_keeps_its_local_time() {
        let first = date(2026, 12, 1).at(22, 30, 0, 0);
        let now = at(date(2026, 11, 30).at(12, 0, 0, 0));
        let mut times = times(Some(first), Some((1, TimeUnit::Days)), now);
        let began = runs(&mut times, now, at(date(2027, 12, 1).at(12, 0, 0, 0)));
        assert_eq!(began.len(), 365);
        assert!(began.iter().all(|time| (time.hour(), time.minute()) == (22, 30)), "{began:?}");
        let hour = |time: DateTime| date(2027, 3, 27).at(time.hour(), 0, 0, 0);
        // Hours pass evenly: the night that lacks one has 23 of them.
        let mut hourly = super::tests::times(Some(hour(first)), Some((1, TimeUnit::Hours)), now);
        let night = (at(date(2027, 3, 28).at(0, 0, 0, 0)), at(date(2027, 3, 28).at(23, 59, 0, 0)));
        hourly.handled_ms = night.0.as_millisecond() - 1;
        assert_eq!(runs(&mut hourly, night.0, night.1).len(), 23);
    }

    #[test]
    fn now_runs_at_once_and_then_by_its_interval() {
        let now = at(date(2026, 11, 30).at(12, 0, 0, 0));
        let mut times = times(None, Some((30, TimeUnit::Minutes)), now);
        assert_eq!(runs(&mut times, now, now + 65.minutes()).len(), 3);
        let mut once = super::tests::times(None, None, now);
        assert_eq!(runs(&mut once, now, now + 65.minutes()).len(), 1);
        assert_eq!(once.next(now + 65.minutes(), &zone()), None);
    }

    #[test]
    fn what_was_missed_is_made_good_once_and_what_was_cut_begins_anew() {
        let first = date(2026, 12, 1).at(1, 0, 0, 0);
        let now = at(date(2026, 11, 30).at(12, 0, 0, 0));
        let mut times = times(Some(first), Some((1, TimeUnit::Days)), now);
        let later = at(date(2026, 12, 9).at(15, 0, 0, 0));
        assert_eq!(runs(&mut times, later, later + 9.hours()).len(), 1);
        times.begins(later + 9.hours(), &zone());
        // Kept as it is while it runs.
        let kept: VerifyTimes = serde_json::from_str(&serde_json::to_string(&times).unwrap()).unwrap();
        assert_eq!(kept, times);
        assert!(kept.is_due(later + 10.hours(), &zone()));
    }

    #[test]
    fn a_failure_is_tried_again_so_often_and_the_next_time_counts_anew() {
        let now = at(date(2026, 11, 30).at(12, 0, 0, 0));
        let mut times = times(None, Some((1, TimeUnit::Days)), now);
        let (mut at, mut tries) = (now, 0);
        while times.is_due(at, &zone()) {
            times.begins(at, &zone());
            times.ended(true, at, RETRY);
            tries += 1;
            assert!(!times.is_due(at + 179.seconds(), &zone()));
            at += 180.seconds();
        }
        assert_eq!(tries, 6);
        assert!(times.is_due(now + 24.hours(), &zone()));
        times.begins(now + 24.hours(), &zone());
        assert!(times.ended(true, now + 24.hours(), RETRY));
    }

    #[test]
    fn times_that_come_while_it_runs_are_part_of_the_run() {
        let now = at(date(2026, 11, 30).at(12, 0, 0, 0));
        let mut times = times(None, Some((1, TimeUnit::Hours)), now);
        times.begins(now, &zone());
        let end = now + 150.minutes();
        times.ended(false, end, RETRY);
        assert!(!times.is_due(end + 29.minutes(), &zone()));
        assert!(times.is_due(end + 30.minutes(), &zone()));
        // One that is tried again is another run.
        times.begins(end + 30.minutes(), &zone());
        assert!(times.ended(true, end + 100.minutes(), RETRY));
        assert!(times.is_due(end + 100.minutes(), &zone()));
    }

    #[test]
    fn what_would_verify_nothing_is_refused() {
        let now = at(date(2026, 11, 30).at(12, 0, 0, 0));
        let code = |time: Option<&str>, every| {
            let spec =
                VerifyScheduleSpec { time: time.map(str::to_owned), every, verify: VerifySpec::default() };
            VerifyTimes::of(&spec, now, &zone()).map_err(|error| error.code).map(drop)
        };
        assert_eq!(code(Some("2026-11-30T11:00:00"), None), Err(Code::ScheduleCommandIsInvalid));
        assert_eq!(code(Some("2026-11-30T11:00:00"), Some((1, TimeUnit::Hours))), Ok(()));
        assert_eq!(code(None, Some((0, TimeUnit::Hours))), Err(Code::InvalidParameterWasSupplied));
        assert_eq!(code(None, Some((u64::MAX, TimeUnit::Days))), Err(Code::InvalidParameterWasSupplied));
        assert_eq!(code(Some("soon"), None), Err(Code::DateIsInvalid));
    }

    #[test]
    fn a_clock_that_was_set_far_back_starts_anew() {
        let now = at(date(2026, 11, 30).at(12, 0, 0, 0));
        let mut times = times(None, Some((1, TimeUnit::Hours)), now);
        times.begins(now, &zone());
        times.ended(false, now, RETRY);
        assert!(!times.recounts(now - 59.minutes()));
        assert!(times.recounts(now - 30.hours()));
        assert!(!times.is_due(now - 30.hours(), &zone()));
    }
}
