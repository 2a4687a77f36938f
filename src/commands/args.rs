//! Typed access to a command's items. Every conversion takes a value of any type "as if it had been typed there"
//! (language.md 2.10); what does not fit is -101, a date -114, a time -115.

use super::slots::{self, Connections};
use super::{Arg, Args};
use crate::api::{ApiError, Code};
use crate::lang::Value;
use std::time::Duration;

impl Args {
    /// True if the keyword (in capitals, whole) was given.
    pub fn has(&self, keyword: &str) -> bool {
        self.items.iter().any(|item| matches!(item, Arg::Keyword(word) if *word == keyword))
    }

    /// The first of these keywords that was given.
    pub fn which(&self, keywords: &[&'static str]) -> Option<&'static str> {
        keywords.iter().copied().find(|keyword| self.has(keyword))
    }

    /// The keywords that the command begins with, in lower case: its name in JSON and messages.
    pub fn name(&self) -> String {
        let mut name = String::new();
        for item in &self.items {
            let Arg::Keyword(word) = item else { break };
            if !name.is_empty() {
                name.push(' ');
            }
            name.push_str(&word.to_ascii_lowercase());
        }
        name
    }

    /// The first value for a slot.
    pub fn value(&self, slot: &str) -> Option<&Value> {
        self.items.iter().find_map(|item| match item {
            Arg::Value { slot: name, value, .. } if *name == slot => Some(value),
            _ => None,
        })
    }

    /// All values for a slot, in the order of the text.
    pub fn values<'a>(&'a self, slot: &'a str) -> impl Iterator<Item = &'a Value> {
        self.items.iter().filter_map(move |item| match item {
            Arg::Value { slot: name, value, .. } if *name == slot => Some(value),
            _ => None,
        })
    }

    /// The value directly after a keyword.
    pub fn after(&self, keyword: &str) -> Option<&Value> {
        let mut items = self.items.iter();
        items.find(|item| matches!(item, Arg::Keyword(word) if *word == keyword))?;
        match items.next() {
            Some(Arg::Value { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// A slot's text; -101 if the line has it optional and it was left out.
    pub fn text(&self, slot: &str) -> Result<String, ApiError> {
        match self.value(slot) {
            Some(value) => as_typed(value, slot),
            None => Err(ApiError::new(Code::InvalidParameterWasSupplied, format!("<{slot}> is missing"))),
        }
    }

    /// A slot's text, if it was given.
    pub fn optional(&self, slot: &str) -> Result<Option<String>, ApiError> {
        self.value(slot).map(|value| as_typed(value, slot)).transpose()
    }

    /// The text directly after a keyword, if it was given.
    pub fn text_after(&self, keyword: &str) -> Result<Option<String>, ApiError> {
        self.after(keyword).map(|value| as_typed(value, &keyword.to_ascii_lowercase())).transpose()
    }

    /// All words of a `<words>` slot, joined by blanks.
    pub fn words(&self, slot: &str) -> Result<String, ApiError> {
        let words: Result<Vec<String>, ApiError> =
            self.values(slot).map(|value| as_typed(value, slot)).collect();
        Ok(words?.join(" "))
    }

    pub fn repset(&self) -> Result<String, ApiError> {
        self.text("repset")
    }

    pub fn path(&self) -> Result<String, ApiError> {
        self.text("path")
    }

    /// `<con_id>`: a number, or `*` for all connections of the current source.
    pub fn connections(&self) -> Result<Connections, ApiError> {
        slots::connections(&self.text("con_id")?)
    }

    /// A whole number in the range of its slot.
    pub fn number(&self, slot: &str) -> Result<i64, ApiError> {
        slots::number_of(slot, &self.text(slot)?)
    }

    /// `<n> [<units>]`, if it was given; without a unit seconds.
    pub fn duration(&self) -> Result<Option<Duration>, ApiError> {
        if self.value("n").is_none() {
            return Ok(None);
        }
        let number = self.number("n")?;
        let seconds = match self.which(&["SECONDS", "MINUTES", "HOURS", "DAYS"]) {
            Some("MINUTES") => 60,
            Some("HOURS") => 3600,
            Some("DAYS") => 86400,
            _ => 1,
        };
        let seconds = u64::try_from(number).ok().and_then(|n| n.checked_mul(seconds));
        match seconds {
            // A hundred years; far below what overflows a clock.
            Some(seconds) if seconds <= 3_155_760_000 => Ok(Some(Duration::from_secs(seconds))),
            _ => Err(ApiError::new(
                Code::InvalidParameterWasSupplied,
                format!("{number} is too long a time for <duration>"),
            )
            .help("at most 36525 days")),
        }
    }

    pub fn date(&self) -> Result<jiff::civil::Date, ApiError> {
        slots::date(&self.text("mm/dd/yy")?)
    }

    pub fn time(&self) -> Result<jiff::civil::Time, ApiError> {
        slots::time(&self.text("hh:mm")?)
    }

    /// `<address>` as typed, checked.
    pub fn address(&self) -> Result<Option<String>, ApiError> {
        let Some(text) = self.optional("address")? else { return Ok(None) };
        slots::address(&text)?;
        Ok(Some(text))
    }
}

/// A value as the text that would have been typed for it.
pub(crate) fn as_typed(value: &Value, slot: &str) -> Result<String, ApiError> {
    Ok(match value {
        Value::String(text) => text.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Date(date) => date.strftime("%m/%d/%Y").to_string(),
        Value::Time(time) => time.strftime("%H:%M:%S").to_string(),
        Value::Boolean(true) => "TRUE".to_owned(),
        Value::Boolean(false) => "FALSE".to_owned(),
        Value::List(_) | Value::Map(_) => {
            let kind = if matches!(value, Value::List(_)) { "list" } else { "map" };
            return Err(ApiError::new(
                Code::InvalidParameterWasSupplied,
                format!("a {kind} cannot stand for <{slot}>"),
            )
            .help("give one of its elements, e.g. $list[0]"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::Span;

    fn args(items: &[(&'static str, Value)], keywords: &[&'static str]) -> Args {
        let values = items.iter().map(|(slot, value)| Arg::Value {
            slot,
            value: value.clone(),
            span: Span::default(),
        });
        Args { items: values.chain(keywords.iter().map(|k| Arg::Keyword(k))).collect() }
    }

    fn text(value: &str) -> Value {
        Value::String(value.into())
    }

    #[test]
    fn values_are_taken_as_if_typed() {
        let date = Value::Date(jiff::civil::date(2026, 11, 5));
        let time = Value::Time(jiff::civil::time(22, 30, 15, 0));
        let args = args(&[("con_id", Value::Integer(7)), ("mm/dd/yy", date), ("hh:mm", time)], &[]);
        assert_eq!(args.connections().unwrap(), Connections::One(crate::api::ConnectionId(7)));
        assert_eq!(args.date().unwrap(), jiff::civil::date(2026, 11, 5));
        assert_eq!(args.time().unwrap(), jiff::civil::time(22, 30, 15, 0));
    }

    #[test]
    fn what_does_not_fit_says_so_with_its_number() {
        let wrong = |slot: &'static str, value: Value| {
            let args = args(&[(slot, value)], &[]);
            match slot {
                "con_id" => args.connections().map(drop),
                "mm/dd/yy" => args.date().map(drop),
                "hh:mm" => args.time().map(drop),
                "address" => args.address().map(drop),
                _ => args.number(slot).map(drop),
            }
            .unwrap_err()
            .code
            .number()
        };
        assert_eq!(wrong("con_id", text("payroll")), 101);
        assert_eq!(wrong("con_id", Value::Integer(0)), 101);
        assert_eq!(wrong("con_id", Value::List(vec![].into())), 101);
        assert_eq!(wrong("mm/dd/yy", text("2/30/26")), 114);
        assert_eq!(wrong("mm/dd/yy", text("2026-11-30")), 114);
        assert_eq!(wrong("hh:mm", text("24:00")), 115);
        assert_eq!(wrong("percent", text("101")), 101);
        assert_eq!(wrong("address", text("beta:0")), 101);
        assert_eq!(wrong("address", text("[::1")), 101);
    }

    #[test]
    fn durations_have_units() {
        let of = |n: i64, unit: &[&'static str]| args(&[("n", Value::Integer(n))], unit).duration();
        assert_eq!(of(5, &[]).unwrap(), Some(Duration::from_secs(5)));
        assert_eq!(of(2, &["MINUTES"]).unwrap(), Some(Duration::from_secs(120)));
        assert_eq!(of(1, &["DAYS"]).unwrap(), Some(Duration::from_secs(86400)));
        assert_eq!(of(-1, &[]).unwrap_err().code.number(), 101);
        assert_eq!(of(3_000_000_000, &["DAYS"]).unwrap_err().code.number(), 101);
        assert_eq!(args(&[], &[]).duration().unwrap(), None);
    }

    #[test]
    fn two_digit_years_turn_at_69() {
        let year = |typed: &str| args(&[("mm/dd/yy", text(typed))], &[]).date().unwrap().year();
        assert_eq!((year("1/2/69"), year("1/2/70"), year("1/2/2070")), (2069, 1970, 2070));
    }
}
