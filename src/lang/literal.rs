//! Literals: quoted text, dates, times, integers, and what is wrong with impossible ones.

use super::{Diagnostic, Span};
use jiff::civil::{Date, Time};
use std::borrow::Cow;

/// The content of a quoted text: quotes removed, doubled ones folded (language.md 2.5).
pub fn unquote(quoted: &str) -> Cow<'_, str> {
    let Some(quote) = quoted.chars().next() else { return Cow::Borrowed(quoted) };
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    if inner.contains(quote) {
        let (double, single) = if quote == '"' { ("\"\"", "\"") } else { ("''", "'") };
        Cow::Owned(inner.replace(double, single))
    } else {
        Cow::Borrowed(inner)
    }
}

/// Text as it would have to be written: quoted, quotes doubled.
pub fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// `mm/dd/yy` or `mm/dd/yyyy`, one or two digits for month and day; 00 to 69 are 20xx (language.md 2.12).
pub fn date(text: &str) -> Option<Date> {
    let mut fields = text.split('/');
    let (month, day, year) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() || !matches!(year.len(), 2 | 4) {
        return None;
    }
    let year = match (year.len(), number(year, 4)?) {
        (2, n) if n < 70 => 2000 + n,
        (2, n) => 1900 + n,
        (_, n) => n,
    };
    let (month, day) = (i8::try_from(number(month, 2)?).ok()?, i8::try_from(number(day, 2)?).ok()?);
    Date::new(year, month, day).ok()
}

/// `hh:mm` or `hh:mm:ss`, 24 hours.
pub fn time(text: &str) -> Option<Time> {
    let mut fields = text.split(':');
    let hour = number(fields.next()?, 2)?;
    let minute = fields.next()?;
    let second = fields.next();
    if fields.next().is_some() || minute.len() != 2 || second.is_some_and(|s| s.len() != 2) {
        return None;
    }
    let byte = |n: i16| i8::try_from(n).ok();
    let second = second.map_or(Some(0), |s| number(s, 2))?;
    Time::new(byte(hour)?, byte(number(minute, 2)?)?, byte(second)?, 0).ok()
}

fn number(digits: &str, at_most: usize) -> Option<i16> {
    let fits = (1..=at_most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| digits.parse().ok())?
}

pub(super) fn date_problem(text: &str, span: Span) -> Diagnostic {
    Diagnostic::error(114, format!("there is no date {text}"), span)
        .help("a date is month/day/year, mm/dd/yy or mm/dd/yyyy")
}

pub(super) fn time_problem(text: &str, span: Span) -> Diagnostic {
    Diagnostic::error(115, format!("there is no time {text}"), span)
        .help("a time is hh:mm or hh:mm:ss, from 00:00:00 to 23:59:59")
}

pub(super) fn integer_problem(span: Span) -> Diagnostic {
    Diagnostic::error(101, "this number is too large", span).help(format!(
        "integers go from {} to {}",
        i64::MIN,
        i64::MAX
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_quotes_fold_and_backslashes_stay() {
        assert_eq!(unquote(r#""d:\""#), r"d:\");
        assert_eq!(unquote(r#""say ""hi""""#), r#"say "hi""#);
        assert_eq!(unquote("'it''s'"), "it's");
        assert_eq!(unquote(r#"'"'"#), "\"");
        assert_eq!(unquote("\"\""), "");
    }

    #[test]
    fn two_digit_years_turn_at_70() {
        let of = |text| date(text).map(|d| d.to_string());
        assert_eq!(of("1/2/69").as_deref(), Some("2069-01-02"));
        assert_eq!(of("11/30/70").as_deref(), Some("1970-11-30"));
        assert_eq!(of("2/29/2028").as_deref(), Some("2028-02-29"));
        assert_eq!(of("2/29/2027"), None);
        assert_eq!(of("13/1/27"), None);
    }

    #[test]
    fn impossible_times_are_none() {
        assert!(time("22:30").is_some() && time("9:05:59").is_some());
        assert!(time("24:00").is_none() && time("12:60").is_none() && time("12:5").is_none());
    }
}
