//! Is a value one that a setting can take? Pure; the table says what is allowed.

use super::table::{Definition, Kind, Restart};
use std::ops::RangeInclusive;

/// Longest value in bytes; a list of file extensions fits many times.
const VALUE_LIMIT: usize = 4096;

/// Why a value is refused: what is wrong, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    pub problem: String,
    pub allowed: String,
}

impl Definition {
    /// The value in the form in which it is stored, or why it cannot be taken.
    pub fn check(&self, value: &str) -> Result<String, BadValue> {
        let value = value.trim();
        let bad = |problem: &str| BadValue {
            problem: format!("{} cannot be \"{}\": {problem}", self.name, value.escape_debug()),
            allowed: self.allowed_values(),
        };
        if value.len() > VALUE_LIMIT {
            return Err(BadValue {
                problem: format!(
                    "the value of {} has {} bytes, at most {VALUE_LIMIT} are kept",
                    self.name,
                    value.len()
                ),
                allowed: self.allowed_values(),
            });
        }
        if value.chars().any(char::is_control) {
            return Err(bad("it holds control characters"));
        }
        if value.is_empty() && self.default == "-" {
            // The product fills it in itself; without a value it is as it was at first.
            return Ok(String::new());
        }
        match self.kind {
            Kind::Bool => match value {
                "0" | "1" => Ok(value.to_owned()),
                _ => Err(bad("it is neither 0 nor 1")),
            },
            Kind::Choice => {
                let number = value.parse::<u64>().map_err(|_| bad("it is not a number"))?;
                if !self.choices().any(|choice| choice == number) {
                    return Err(bad("it is none of the choices"));
                }
                Ok(number.to_string())
            }
            Kind::Integer => self.check_integer(value).map_err(|problem| bad(&problem)),
            Kind::Path => {
                if !value.starts_with('/') {
                    return Err(bad("it is not an absolute path"));
                }
                if value.split('/').any(|part| part == "..") {
                    return Err(bad("it holds \"..\""));
                }
                Ok(value.to_owned())
            }
            Kind::FileName => match value {
                "" => Err(bad("it is empty")),
                "." | ".." => Err(bad("it names a directory")),
                _ if value.contains('/') => Err(bad("it holds a slash")),
                _ if value.len() > 200 => Err(bad("it is longer than 200 bytes")),
                _ => Ok(value.to_owned()),
            },
            Kind::Text | Kind::List | Kind::Unspecified => Ok(value.to_owned()),
        }
    }

    fn check_integer(&self, value: &str) -> Result<String, String> {
        if let Some(word) = self.word().filter(|word| word.eq_ignore_ascii_case(value)) {
            return Ok(word.to_owned());
        }
        let number: u64 = match value.parse::<i128>() {
            Ok(number) => u64::try_from(number).map_err(|_| "it is out of range".to_owned())?,
            Err(_) => return Err("it is not a whole number".to_owned()),
        };
        if self.range().contains(&number) || self.zero_apart() && number == 0 {
            return Ok(number.to_string());
        }
        Err("it is out of range".to_owned())
    }

    /// The word that stands for no limit, where there is one (`Unlimited`).
    pub fn word(&self) -> Option<&'static str> {
        self.allowed.starts_with("Unlimited").then_some("Unlimited")
    }

    /// 0 is allowed though it lies outside of the range.
    fn zero_apart(&self) -> bool {
        self.allowed.starts_with("0 also accepted")
    }

    /// The bounds of an integer. Where the guide names none: 0, or 1 for sizes of which 0 makes no sense, up to 100
    /// for a share and to what a signed 64 bit number holds for everything else.
    pub fn range(&self) -> RangeInclusive<u64> {
        let minimum = match self.minimum {
            ">0" => 1,
            "-" if matches!(self.name, "MaxLogFileSize" | "QJournalFileSize" | "StatsMaxFileSize") => 1,
            text => text.parse().unwrap_or(0),
        };
        let maximum = match self.maximum {
            "4 GB" => 4 << 30,
            "-" if self.unit == "percent" => 100,
            text => text.parse().unwrap_or(i64::MAX as u64),
        };
        minimum..=maximum
    }

    /// The numbers of a choice.
    fn choices(&self) -> impl Iterator<Item = u64> {
        self.allowed.split(';').filter_map(|choice| choice.split('=').next()?.trim().parse().ok())
    }

    /// What OPTIONS and error messages say about the allowed values.
    pub fn allowed_values(&self) -> String {
        match self.kind {
            Kind::Bool | Kind::Choice => self.allowed.to_owned(),
            Kind::Integer => {
                let range = self.range();
                let bounds = match *range.end() {
                    maximum if maximum == i64::MAX as u64 => format!("{} or more", range.start()),
                    maximum => format!("{} to {maximum}", range.start()),
                };
                match self.word() {
                    Some(word) => format!("{bounds}, or {word}"),
                    // Sentences such as "any integer" say less than the bounds.
                    None if self.allowed.contains('=') => format!("{bounds}; {}", self.allowed),
                    None => bounds,
                }
            }
            Kind::Path => "an absolute path".to_owned(),
            Kind::FileName => "a file name".to_owned(),
            Kind::Text => "any text".to_owned(),
            Kind::List => "items between periods".to_owned(),
            Kind::Unspecified => "not specified".to_owned(),
        }
    }

    /// Whether a change waits for a restart, as OPTIONS shows it.
    pub fn restart_text(&self) -> &'static str {
        match self.restart {
            Restart::No => "no",
            Restart::Yes => "yes",
            Restart::Partly(text) => text,
            Restart::Unspecified => "-",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{all, find};
    use proptest::prelude::*;

    fn check(name: &str, value: &str) -> Result<String, String> {
        find(name).unwrap().check(value).map_err(|bad| format!("{}; {}", bad.problem, bad.allowed))
    }

    #[test]
    fn values_in_and_out_of_range() {
        for (name, value) in [
            ("MirrorChunkSize", "1"),
            ("MirrorChunkSize", "1048576"),
            ("ChecksumAll", "0"),
            ("MirrorOverwrite", "2"),
            ("TCPBufferSize", "0"),
            ("TCPBufferSize", "4096"),
            ("QJournalSpaceMax", "0"),
            ("VerifyLogLimit", "4294967296"),
            ("MemoryQueueToDiskThreshold", "100"),
            ("LogDir", "/var/log/DT"),
            ("Advertisement", "anything at all"),
            ("MassDeletionGuard", "100"),
        ] {
            assert_eq!(check(name, value).as_deref(), Ok(value), "{name}");
        }
        assert_eq!(check("qjournalspacemax", "UNLIMITED").as_deref(), Ok("Unlimited"));
        assert_eq!(check("MirrorChunkSize", " 007 ").as_deref(), Ok("7"));
        for (name, value, words) in [
            ("MirrorChunkSize", "0", "1 to 1048576"),
            ("MirrorChunkSize", "1048577", "1 to 1048576"),
            ("MirrorChunkSize", "-1", "out of range"),
            ("MirrorChunkSize", "99999999999999999999999999", "out of range"),
            ("MirrorChunkSize", "64K", "not a whole number"),
            ("ChecksumAll", "2", "0 = compare by attributes"),
            ("ChecksumAll", "yes", "neither 0 nor 1"),
            ("MirrorOverwrite", "3", "2 = only when older"),
            ("TCPBufferSize", "1", "4096 to 7500000"),
            ("TCPBufferSize", "7500001", "4096 to 7500000"),
            ("NetworkRetry", "0", "1 or more"),
            ("MemoryQueueToDiskThreshold", "101", "0 to 100"),
            ("LogDir", "logs", "absolute"),
            ("LogDir", "/a/../b", ".."),
            ("LogFile", "a/b", "slash"),
            ("LogFile", "", "empty"),
            ("ActivationCode", "a\nb", "control"),
            ("MassDeletionGuard", "101", "0 to 100"),
        ] {
            let error = check(name, value).unwrap_err();
            assert!(error.contains(words), "{name} {value}: {error}");
            assert!(!error.contains('\n'), "one line");
        }
    }

    #[test]
    fn every_allowed_number_and_bound_is_taken() {
        for definition in all() {
            for choice in definition.choices() {
                assert!(definition.check(&choice.to_string()).is_ok(), "{} {choice}", definition.name);
            }
            if definition.kind == super::Kind::Integer {
                let range = definition.range();
                assert!(definition.check(&range.start().to_string()).is_ok(), "{}", definition.name);
                assert!(definition.check(&range.end().to_string()).is_ok(), "{}", definition.name);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_is_taken_again(place in 0..all().count(), value in ".{0,12}|-?[0-9]{1,9}|/[a-z/]{0,9}") {
            let definition = all().nth(place).unwrap();
            if let Ok(stored) = definition.check(&value) {
                prop_assert_eq!(definition.check(&stored), Ok(stored.clone()));
                prop_assert!(!stored.chars().any(char::is_control));
            }
        }
    }
}
