//! Days of the week and local times, as schedules keep them.

use crate::api::{ApiError, Code};
use jiff::civil::{Date, DateTime, Time, Weekday};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::str::FromStr;

/// A day of the week, Monday first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

const DAYS: [Day; 7] =
    [Day::Monday, Day::Tuesday, Day::Wednesday, Day::Thursday, Day::Friday, Day::Saturday, Day::Sunday];

impl Day {
    pub fn of(date: Date) -> Day {
        match date.weekday() {
            Weekday::Monday => Day::Monday,
            Weekday::Tuesday => Day::Tuesday,
            Weekday::Wednesday => Day::Wednesday,
            Weekday::Thursday => Day::Thursday,
            Weekday::Friday => Day::Friday,
            Weekday::Saturday => Day::Saturday,
            Weekday::Sunday => Day::Sunday,
        }
    }
}

impl Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Their names are the English ones.
        write!(f, "{self:?}")
    }
}

impl FromStr for Day {
    type Err = ApiError;

    /// A day's English name or its first two letters, or more of them; -2304.
    fn from_str(text: &str) -> Result<Day, ApiError> {
        let typed = text.trim().to_lowercase();
        let fits = |day: &&Day| typed.len() >= 2 && day.to_string().to_lowercase().starts_with(&typed);
        DAYS.iter().find(fits).copied().ok_or_else(|| {
            ApiError::new(Code::BandwidthLimitDayIsInvalid, format!("`{text}` is not a day"))
                .help("write monday to sunday, or mo, tu, we, th, fr, sa, su")
        })
    }
}

/// A local time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(pub Time);

impl FromStr for TimeOfDay {
    type Err = ApiError;

    /// `hh:mm` or `hh:mm:ss`; -115.
    fn from_str(text: &str) -> Result<TimeOfDay, ApiError> {
        let parts: Vec<Option<i8>> = text.split(':').map(|part| part.parse().ok()).collect();
        let time = match parts[..] {
            [Some(hour), Some(minute)] => Time::new(hour, minute, 0, 0).ok(),
            [Some(hour), Some(minute), Some(second)] => Time::new(hour, minute, second, 0).ok(),
            _ => None,
        };
        time.map(TimeOfDay).ok_or_else(|| {
            ApiError::new(Code::TimeIsInvalid, format!("`{text}` is not a time of day"))
                .help("write it as hh:mm, 00:00 to 23:59")
        })
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = ApiError;

    fn try_from(text: String) -> Result<Self, ApiError> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> String {
        time.to_string()
    }
}

impl Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = if self.0.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
        write!(f, "{}", self.0.strftime(format))
    }
}

/// A local date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LocalTime(pub DateTime);

impl FromStr for LocalTime {
    type Err = ApiError;

    /// `yyyy-mm-ddThh:mm:ss`; -114.
    fn from_str(text: &str) -> Result<LocalTime, ApiError> {
        text.parse().map(LocalTime).map_err(|_| {
            ApiError::new(Code::DateIsInvalid, format!("`{text}` is not a date and time"))
                .help("write them as mm/dd/yy hh:mm, e.g. 11/30/26 22:30")
        })
    }
}

impl TryFrom<String> for LocalTime {
    type Error = ApiError;

    fn try_from(text: String) -> Result<Self, ApiError> {
        text.parse()
    }
}

impl From<LocalTime> for String {
    fn from(time: LocalTime) -> String {
        time.0.to_string()
    }
}

/// As people type it.
impl Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = if self.0.second() == 0 { "%m/%d/%Y %H:%M" } else { "%m/%d/%Y %H:%M:%S" };
        write!(f, "{}", self.0.strftime(format))
    }
}
