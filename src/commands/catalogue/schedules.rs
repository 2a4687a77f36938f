//! Handlers of LIMIT BANDWIDTH and SCHEDULE, whose lines stand with [`transmission`](super::transmission).

use crate::api::{
    ApiError, BandwidthChange, BandwidthEntry, BandwidthSpec, Code, EndSpec, Reply, Request, ScheduleChange,
    SchedulePart, StartSpec, TimeUnit,
};
use crate::commands::args::as_typed;
use crate::commands::session::unexpected;
use crate::commands::{Arg, Args, Outcome, Session, show, slots};

pub(super) fn limit(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let change = if args.has("OFF") {
        BandwidthChange::Off
    } else if args.has("KBIT") || args.has("MBIT") {
        BandwidthChange::Limit(BandwidthSpec::Kbit(kbit(args)?))
    } else {
        BandwidthChange::Limit(burst(args)?)
    };
    change_bandwidth(session, args, change)
}

/// Kilobits per second; of a percentage rounded down. What is too large stays at the largest, which the machine refuses.
fn kbit(args: &Args) -> Result<u64, ApiError> {
    let n = u64::try_from(args.number("n")?).unwrap_or(0);
    let kbit = if args.has("MBIT") { n.saturating_mul(1000) } else { n };
    if !args.has("PERCENT") {
        return Ok(kbit);
    }
    let percent = u128::try_from(args.number("percent")?).unwrap_or(0);
    Ok(u64::try_from(u128::from(kbit) * percent / 100).unwrap_or(u64::MAX))
}

fn burst(args: &Args) -> Result<BandwidthSpec, ApiError> {
    let number = |slot| args.number(slot).map(|number| u64::try_from(number).unwrap_or(0));
    Ok(BandwidthSpec::Burst { bytes: number("bytes")?, seconds: number("seconds")? })
}

pub(super) fn bandwidths(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    match session.ask(&machine, Request::Bandwidths)? {
        Reply::Bandwidths(lines) => Ok(Outcome::show(show::bandwidths(&lines))),
        _ => Err(unexpected()),
    }
}

const DAYS: [&str; 7] = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];

pub(super) fn bandwidth_add(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let days = args.items.iter().filter_map(|item| match item {
        Arg::Keyword(word) if DAYS.contains(word) => Some((*word).to_owned()),
        _ => None,
    });
    let entry = BandwidthEntry {
        label: args.text("label")?,
        days: days.collect(),
        start: args.time()?.strftime("%H:%M:%S").to_string(),
        limit: if args.has("UNLIMITED") { None } else { Some(burst(args)?) },
    };
    change_bandwidth(session, args, BandwidthChange::Add(entry))
}

pub(super) fn bandwidth_remove(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let label = args.text("label")?;
    change_bandwidth(session, args, BandwidthChange::Remove { label })
}

pub(super) fn bandwidth_schedule(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let change = match args.which(&["CLEAR", "ENABLE", "DISABLE"]) {
        Some("CLEAR") => BandwidthChange::Clear,
        Some("ENABLE") => BandwidthChange::Enable,
        Some(_) => BandwidthChange::Disable,
        None => {
            let machine = session.machine(args)?;
            return match session.ask(&machine, Request::BandwidthSchedule { target: args.text("target")? })? {
                Reply::BandwidthSchedule(schedule) => Ok(Outcome::show(show::bandwidth_schedule(&schedule))),
                _ => Err(unexpected()),
            };
        }
    };
    change_bandwidth(session, args, change)
}

fn change_bandwidth(
    session: &mut Session,
    args: &Args,
    change: BandwidthChange,
) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    session.order(&machine, Request::Bandwidth { target: args.text("target")?, change })
}

pub(super) fn schedule_start(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let (time, every) = (start_time(args)?, every(args)?);
    let mem_limit = match args.value("percent") {
        None => None,
        Some(_) => Some(u8::try_from(args.number("percent")?).unwrap_or(u8::MAX)),
    };
    let queue_size = match args.value("bytes") {
        None => None,
        Some(_) => Some(u64::try_from(args.number("bytes")?).unwrap_or(0)),
    };
    change_schedule(session, args, ScheduleChange::Start(StartSpec { time, mem_limit, queue_size, every }))
}

/// STARTTIME as a date and a time. None: NOW, or none is given.
pub(super) fn start_time(args: &Args) -> Result<Option<String>, ApiError> {
    match args.value("mm/dd/yy") {
        None => Ok(None),
        Some(_) => Ok(Some(args.date()?.to_datetime(args.time()?).to_string())),
    }
}

pub(super) fn every(args: &Args) -> Result<Option<(u64, TimeUnit)>, ApiError> {
    match args.value("n") {
        None => Ok(None),
        Some(_) => Ok(Some((u64::try_from(args.number("n")?).unwrap_or(0), unit(args)))),
    }
}

fn unit(args: &Args) -> TimeUnit {
    match args.which(&["MINUTES", "HOURS", "DAYS"]) {
        Some("MINUTES") => TimeUnit::Minutes,
        Some("HOURS") => TimeUnit::Hours,
        Some("DAYS") => TimeUnit::Days,
        _ => TimeUnit::Seconds,
    }
}

pub(super) fn schedule_end(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let bytes = match args.value("bytes") {
        None => None,
        Some(_) => Some(u64::try_from(args.number("bytes")?).unwrap_or(0)),
    };
    let seconds = args.duration()?.map(|duration| duration.as_secs());
    change_schedule(session, args, ScheduleChange::End(EndSpec { seconds, bytes }))
}

pub(super) fn schedule_window(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let times = args
        .values("hh:mm")
        .map(|value| Ok(slots::time(&as_typed(value, "hh:mm")?)?.strftime("%H:%M:%S").to_string()))
        .collect::<Result<Vec<String>, ApiError>>()?;
    let [open, close] = <[String; 2]>::try_from(times)
        .map_err(|_| ApiError::new(Code::ScheduleCommandIsInvalid, "a window needs two times"))?;
    change_schedule(session, args, ScheduleChange::Window { open, close })
}

pub(super) fn schedule(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let change = match args.which(&["CLEAR", "ENABLE", "DISABLE"]) {
        Some("CLEAR") => ScheduleChange::Clear(None),
        Some("ENABLE") => ScheduleChange::Enable,
        Some(_) => ScheduleChange::Disable,
        None => {
            let machine = session.machine(args)?;
            return match session.ask(&machine, Request::ScheduleView { target: args.text("target")? })? {
                Reply::Schedule(view) => Ok(Outcome::show(show::schedule(&view))),
                _ => Err(unexpected()),
            };
        }
    };
    change_schedule(session, args, change)
}

pub(super) fn schedule_clear(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let part = match args.which(&["START", "END"]) {
        Some("START") => SchedulePart::Start,
        Some(_) => SchedulePart::End,
        None => SchedulePart::Window,
    };
    change_schedule(session, args, ScheduleChange::Clear(Some(part)))
}

fn change_schedule(session: &mut Session, args: &Args, change: ScheduleChange) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    session.order(&machine, Request::Schedule { target: args.text("target")?, change })
}

#[cfg(test)]
mod tests;
