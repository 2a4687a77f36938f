//! Dates and times in Rhai: the types `date` and `time`, with the arithmetic that the language has (language.md 3).

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Span};
use rhai::{Engine, EvalAltResult, INT};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

const DAY: i64 = 86_400;

fn no_date(shown: impl std::fmt::Display) -> Box<EvalAltResult> {
    format!("there is no date {shown}").into()
}

fn no_time(shown: impl std::fmt::Display) -> Box<EvalAltResult> {
    format!("there is no time {shown}").into()
}

fn make_date(year: INT, month: INT, day: INT) -> Result<Date> {
    let field = |n: INT| i8::try_from(n).ok();
    i16::try_from(year)
        .ok()
        .filter(|year| *year >= 0)
        .zip(field(month).zip(field(day)))
        .and_then(|(year, (month, day))| Date::new(year, month, day).ok())
        .ok_or_else(|| no_date(format!("{month}/{day}/{year}")))
}

fn make_time(hour: INT, minute: INT, second: INT) -> Result<Time> {
    let field = |n: INT| i8::try_from(n).ok();
    field(hour)
        .zip(field(minute).zip(field(second)))
        .and_then(|(hour, (minute, second))| Time::new(hour, minute, second, 0).ok())
        .ok_or_else(|| no_time(format!("{hour}:{minute}:{second}")))
}

fn shift(date: Date, days: INT) -> Result<Date> {
    let span = Span::new().try_days(days).map_err(|_| no_date(format!("{days} days from then")))?;
    // Of the years that the language has.
    let there = date.checked_add(span).ok().filter(|date| date.year() >= 0);
    there.ok_or_else(|| no_date(format!("{days} days from then")))
}

/// Past midnight too.
fn turn(time: Time, seconds: INT) -> Time {
    time.wrapping_add(SignedDuration::from_secs(seconds % DAY))
}

fn seconds_of(time: Time) -> INT {
    (INT::from(time.hour()) * 60 + INT::from(time.minute())) * 60 + INT::from(time.second())
}

fn days_between(one: Date, other: Date) -> INT {
    one.duration_since(other).as_secs() / DAY
}

fn shown_date(date: &mut Date) -> String {
    crate::lang::Value::Date(*date).to_string()
}

fn shown_time(time: &mut Time) -> String {
    crate::lang::Value::Time(*time).to_string()
}

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Date>("date")
        .register_fn("date", make_date)
        .register_fn("date", |text: &str| crate::lang::date(text.trim()).ok_or_else(|| no_date(text)))
        .register_fn("today", || jiff::Zoned::now().date())
        .register_get("year", |date: &mut Date| INT::from(date.year()))
        .register_get("month", |date: &mut Date| INT::from(date.month()))
        .register_get("day", |date: &mut Date| INT::from(date.day()))
        .register_get("weekday", |date: &mut Date| INT::from(date.weekday().to_monday_one_offset()))
        .register_fn("to_string", shown_date)
        .register_fn("to_debug", shown_date)
        .register_fn("+", shift)
        .register_fn("-", |date: Date, days: INT| shift(date, days.saturating_neg()))
        .register_fn("-", days_between)
        .register_fn("==", |a: Date, b: Date| a == b)
        .register_fn("!=", |a: Date, b: Date| a != b)
        .register_fn("<", |a: Date, b: Date| a < b)
        .register_fn("<=", |a: Date, b: Date| a <= b)
        .register_fn(">", |a: Date, b: Date| a > b)
        .register_fn(">=", |a: Date, b: Date| a >= b);
    engine
        .register_type_with_name::<Time>("time")
        .register_fn("time", make_time)
        .register_fn("time", |hour: INT, minute: INT| make_time(hour, minute, 0))
        .register_fn("time", |text: &str| crate::lang::time(text.trim()).ok_or_else(|| no_time(text)))
        .register_fn("clock", || {
            let now = jiff::Zoned::now().time();
            now.with().subsec_nanosecond(0).build().unwrap_or(now)
        })
        .register_get("hour", |time: &mut Time| INT::from(time.hour()))
        .register_get("minute", |time: &mut Time| INT::from(time.minute()))
        .register_get("second", |time: &mut Time| INT::from(time.second()))
        .register_fn("to_string", shown_time)
        .register_fn("to_debug", shown_time)
        .register_fn("+", turn)
        .register_fn("-", |time: Time, seconds: INT| turn(time, -(seconds % DAY)))
        .register_fn("-", |a: Time, b: Time| seconds_of(a) - seconds_of(b))
        .register_fn("==", |a: Time, b: Time| a == b)
        .register_fn("!=", |a: Time, b: Time| a != b)
        .register_fn("<", |a: Time, b: Time| a < b)
        .register_fn("<=", |a: Time, b: Time| a <= b)
        .register_fn(">", |a: Time, b: Time| a > b)
        .register_fn(">=", |a: Time, b: Time| a >= b);
    engine.register_fn("now", || jiff::Timestamp::now().as_second());
}
