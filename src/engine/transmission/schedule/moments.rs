//! At which moments a start time and its interval start a session. Seconds, minutes and hours pass evenly; days are days of the
//! calendar, so what starts at ten in the evening does so the whole year. A local time that the clocks leave out is taken an hour
//! later, one that comes twice at its first.

use super::{LocalTime, Start};
use crate::api::TimeUnit;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

impl Start {
    /// The last one up to that moment.
    pub fn latest(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let time = self.time?;
        let first = moment(time, zone)?;
        if first > now {
            return None;
        }
        match self.every {
            None => Some(first),
            Some((n, TimeUnit::Days)) => {
                let passed = days(time.0.date(), zone.to_datetime(now).date()) / i64::try_from(n).ok()?;
                // The clocks may say another day than the one that it is counted by.
                (passed - 1..=passed + 1)
                    .rev()
                    .filter(|count| *count >= 0)
                    .find_map(|count| on_day(time, n, count, zone).filter(|moment| *moment <= now))
            }
            Some((n, unit)) => {
                let step = step_ms(n, unit)?;
                let passed = now.as_millisecond().checked_sub(first.as_millisecond())? / step;
                first.checked_add(SignedDuration::from_millis(passed.checked_mul(step)?)).ok()
            }
        }
    }

    /// The first one after that moment.
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let time = self.time?;
        let first = moment(time, zone)?;
        if first > now {
            return Some(first);
        }
        match self.every? {
            (n, TimeUnit::Days) => {
                let passed = days(time.0.date(), zone.to_datetime(now).date()) / i64::try_from(n).ok()?;
                (passed.max(0)..=passed + 2)
                    .find_map(|count| on_day(time, n, count, zone).filter(|moment| *moment > now))
            }
            (n, unit) => {
                let latest = self.latest(now, zone)?;
                latest.checked_add(SignedDuration::from_millis(step_ms(n, unit)?)).ok()
            }
        }
    }
}

fn moment(time: LocalTime, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_timestamp(time.0).ok()
}

/// That time of day so many intervals of days later.
fn on_day(time: LocalTime, n: u64, count: i64, zone: &TimeZone) -> Option<Timestamp> {
    let later = count.checked_mul(i64::try_from(n).ok()?)?;
    let date = time.0.date().checked_add(Span::new().try_days(later).ok()?).ok()?;
    moment(LocalTime(date.to_datetime(time.0.time())), zone)
}

fn days(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| span.get_days().into())
}

fn step_ms(n: u64, unit: TimeUnit) -> Option<i64> {
    i64::try_from(super::seconds_of(n, unit)?).ok()?.checked_mul(1000).filter(|step| *step > 0)
}
