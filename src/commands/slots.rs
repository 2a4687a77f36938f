//! What the slots of syntax lines hold: one table of types, used for written words before a script runs and for values
//! while it runs, so that both are converted alike.

use crate::api::{ApiError, Code, ConnectionId, IdRange};
use jiff::civil;

/// `<con_id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    One(ConnectionId),
    /// `*`: every connection of the current source.
    All,
}

/// What kind of value a slot takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connection,
    /// A whole number in a range.
    Number(i64, i64),
    Date,
    Time,
    Address,
    /// An id or a range `4000-4010`.
    Ids,
    Ip,
    /// A user name, password or domain: FIELD characters at most.
    Field,
    Text,
}

/// Longest user name, password and domain (LOG-05).
pub(crate) const FIELD: usize = 100;

fn kind(slot: &str) -> Kind {
    match slot {
        "con_id" => Kind::Connection,
        // A wait of more than 100 years is a mistake, and would overflow milliseconds somewhere.
        "n" => Kind::Number(0, 3_155_760_000),
        "seconds" => Kind::Number(1, 3_155_760_000),
        "bytes" => Kind::Number(0, i64::MAX),
        "percent" => Kind::Number(0, 100),
        "level" => Kind::Number(1, 19),
        "days" => Kind::Number(1, 36_525),
        "lines" => Kind::Number(1, 1_000_000_000),
        "exit_status" => Kind::Number(0, 255),
        "mm/dd/yy" => Kind::Date,
        "hh:mm" => Kind::Time,
        "address" => Kind::Address,
        "id" => Kind::Ids,
        "ip" | "mask" => Kind::Ip,
        "user" | "password" | "domain" => Kind::Field,
        _ => Kind::Text,
    }
}

/// Checks a written word for its slot.
pub(crate) fn check(slot: &str, text: &str) -> Result<(), ApiError> {
    match kind(slot) {
        Kind::Connection => connections(text).map(drop),
        Kind::Number(low, high) => number(slot, text, low, high).map(drop),
        Kind::Date => date(text).map(drop),
        Kind::Time => time(text).map(drop),
        Kind::Address => address(text).map(drop),
        Kind::Ids => ids(text).map(drop),
        Kind::Ip => text.parse::<std::net::IpAddr>().map(drop).map_err(|_| {
            invalid(format!("`{text}` is not an IP address")).help("write it as 192.0.2.7 or 2001:db8::7")
        }),
        // Never shown: it may be a password.
        Kind::Field if text.chars().count() > FIELD => {
            Err(invalid(format!("this <{slot}> is too long")).help(format!("at most {FIELD} characters")))
        }
        Kind::Field | Kind::Text => Ok(()),
    }
}

/// The whole number of a slot, in its range.
pub(crate) fn number_of(slot: &str, text: &str) -> Result<i64, ApiError> {
    match kind(slot) {
        Kind::Number(low, high) => number(slot, text, low, high),
        _ => number(slot, text, i64::MIN, i64::MAX),
    }
}

fn number(slot: &str, text: &str, low: i64, high: i64) -> Result<i64, ApiError> {
    let range = if high == i64::MAX { format!("{low} or more") } else { format!("{low} to {high}") };
    match text.parse::<i64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        Ok(number) => {
            Err(invalid(format!("{number} is out of range for <{slot}>")).help(format!("allowed: {range}")))
        }
        Err(_) => Err(invalid(format!("`{text}` is not a whole number for <{slot}>"))
            .help(format!("a number is expected, {range}"))),
    }
}

/// A connection's number, or `*`.
pub(crate) fn connections(text: &str) -> Result<Connections, ApiError> {
    if text == "*" {
        return Ok(Connections::All);
    }
    match text.parse::<u32>() {
        Ok(id) if id > 0 => Ok(Connections::One(ConnectionId(id))),
        _ => Err(invalid(format!("`{text}` is not a connection ID"))
            .help("a number from 1 or * for all is expected; STATUS lists the connections")),
    }
}

/// `mm/dd/yy` or `mm/dd/yyyy`; two-digit years are 20yy up to 69, then 19yy (language.md 2.12).
pub(crate) fn date(text: &str) -> Result<civil::Date, ApiError> {
    let wrong = || {
        ApiError::new(Code::DateIsInvalid, format!("`{text}` is not a date"))
            .help("write it as mm/dd/yy or mm/dd/yyyy, e.g. 11/30/26")
    };
    let parts: Vec<&str> = text.split('/').collect();
    let [month, day, year] = parts.as_slice() else { return Err(wrong()) };
    let digits = |part: &str, lengths: &[usize]| -> Option<i16> {
        let fits = lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| part.parse().ok()).flatten()
    };
    let month = digits(month, &[1, 2]).ok_or_else(wrong)?;
    let day = digits(day, &[1, 2]).ok_or_else(wrong)?;
    let number = digits(year, &[2, 4]).ok_or_else(wrong)?;
    let year = match (year.len(), number) {
        (2, 0..=69) => 2000 + number,
        (2, _) => 1900 + number,
        _ => number,
    };
    let (month, day) = (i8::try_from(month).map_err(|_| wrong())?, i8::try_from(day).map_err(|_| wrong())?);
    civil::Date::new(year, month, day).map_err(|_| wrong())
}

/// `hh:mm` or `hh:mm:ss`, 24 hours.
pub(crate) fn time(text: &str) -> Result<civil::Time, ApiError> {
    let wrong = || {
        ApiError::new(Code::TimeIsInvalid, format!("`{text}` is not a time of day"))
            .help("write it as hh:mm, 00:00 to 23:59")
    };
    let parts: Option<Vec<i8>> = text
        .split(':')
        .map(|part| {
            let fits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            fits.then(|| part.parse().ok()).flatten()
        })
        .collect();
    let (hour, minute, second) = match parts.ok_or_else(wrong)?.as_slice() {
        [hour, minute] => (*hour, *minute, 0),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return Err(wrong()),
    };
    civil::Time::new(hour, minute, second, 0).map_err(|_| wrong())
}

/// `name`, `name:port`, `192.0.2.7:1500`, `[2001:db8::7]:1500`: host and port.
pub(crate) fn address(text: &str) -> Result<(String, Option<u16>), ApiError> {
    let wrong = |why: &str| {
        invalid(format!("`{text}` is not an address: {why}"))
            .help("write name, name:port, 192.0.2.7:1500 or [2001:db8::7]:1500")
    };
    let port = |port: &str| {
        port.parse::<u16>().ok().filter(|&port| port > 0).ok_or_else(|| wrong("a port is 1 to 65535"))
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(|| wrong("`]` is missing"))?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong("no IPv6 address stands in the brackets"))?;
        return match after.strip_prefix(':') {
            Some(number) => Ok((host.to_owned(), Some(port(number)?))),
            None if after.is_empty() => Ok((host.to_owned(), None)),
            None => Err(wrong("`:` and a port are expected after `]`")),
        };
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok((text.to_owned(), None));
    }
    let (host, number) = match text.split_once(':') {
        Some((host, number)) => (host, Some(port(number)?)),
        None => (text, None),
    };
    if host.is_empty() {
        return Err(wrong("the name is missing"));
    }
    Ok((host.to_owned(), number))
}

pub(crate) fn ids(text: &str) -> Result<IdRange, ApiError> {
    IdRange::parse(text).ok_or_else(|| {
        invalid(format!("`{text}` is not an ID")).help("write an ID, or a range such as 4000-4010")
    })
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterWasSupplied, message)
}
