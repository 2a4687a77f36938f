//! How much may be sent to a target, and when (TRN-30 to -32): a limit at all times, and a weekly schedule of limits that
//! overrides it while it is enabled and has entries. An entry holds until the next one begins.

use super::limit::Limit;
use super::times::{Day, TimeOfDay};
use crate::api::{ApiError, BandwidthEntry, BandwidthSpec, Code};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// Most entries, and characters of a label.
const ENTRIES_MOST: usize = 500;
const LABEL_MOST: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bandwidth {
    pub limit: Option<Limit>,
    pub entries: Vec<Entry>,
    /// The schedule is; it keeps its entries.
    pub disabled: bool,
}

/// From that time on those days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub label: String,
    pub days: Vec<Day>,
    pub start: TimeOfDay,
    /// None: unlimited.
    pub limit: Option<Limit>,
}

/// What is in force, and the label of the entry that says so.
pub type InForce = (Option<Limit>, Option<String>);

impl Bandwidth {
    /// True while the schedule decides.
    pub fn is_scheduled(&self) -> bool {
        !self.disabled && !self.entries.is_empty()
    }

    /// What is in force at that moment, in that zone's local time.
    pub fn in_force(&self, now: Timestamp, zone: &TimeZone) -> InForce {
        if !self.is_scheduled() {
            return (self.limit, None);
        }
        let begun = self.entries.iter().filter_map(|entry| Some((entry.begun(now, zone)?, entry)));
        // Of two that begin at one moment, as the clocks go forward over one of them, the later time of day holds.
        match begun.max_by_key(|(began, _)| *began) {
            Some((_, entry)) => (entry.limit, Some(entry.label.clone())),
            None => (self.limit, None),
        }
    }

    /// Adds an entry. -2301: another one begins then; -2302: the label is taken; -2304, -2305: a day or a label that is none.
    pub fn add(&mut self, entry: &BandwidthEntry) -> Result<(), ApiError> {
        let entry = Entry::of(entry)?;
        if let Some(there) = self.entries.iter().find(|there| there.is_called(&entry.label)) {
            return Err(ApiError::new(
                Code::BandwidthLimitingNameExists,
                format!("the bandwidth schedule has an entry {} already", there.label),
            )
            .help(format!(
                "choose another label, or LIMIT BANDWIDTH SCHEDULE REMOVE {} TO <target> first",
                there.label
            )));
        }
        let meets = |there: &&Entry| {
            there.start == entry.start && there.days.iter().any(|day| entry.days.contains(day))
        };
        if let Some(there) = self.entries.iter().find(meets) {
            return Err(ApiError::new(
                Code::BandwidthLimitingTimeExists,
                format!(
                    "the entry {} of the bandwidth schedule begins at {} on one of these days, too",
                    there.label, there.start
                ),
            )
            .help("choose another time or other days, or remove that entry first"));
        }
        if self.entries.len() >= ENTRIES_MOST {
            return Err(ApiError::new(
                Code::InvalidParameterWasSupplied,
                format!("a bandwidth schedule has at most {ENTRIES_MOST} entries"),
            ));
        }
        self.entries.push(entry);
        let first = |entry: &Entry| (entry.days.iter().min().copied(), entry.start);
        self.entries.sort_by_key(first);
        Ok(())
    }

    /// -2303 if there is none of that label.
    pub fn remove(&mut self, label: &str) -> Result<(), ApiError> {
        let before = self.entries.len();
        self.entries.retain(|entry| !entry.is_called(label));
        if self.entries.len() < before {
            return Ok(());
        }
        Err(ApiError::new(
            Code::BandwidthLimitNotFound,
            format!("the bandwidth schedule has no entry {label}"),
        )
        .help("LIMIT BANDWIDTH SCHEDULE LIST TO <target> shows its entries"))
    }

    /// Why what was kept cannot have been.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.entries.iter().find(|entry| entry.days.is_empty()) {
            Some(entry) => Err(format!("the bandwidth schedule's entry {:?} has no days", entry.label)),
            None => Ok(()),
        }
    }
}

impl Entry {
    fn of(entry: &BandwidthEntry) -> Result<Entry, ApiError> {
        let label = entry.label.trim();
        if label.is_empty() || label.chars().count() > LABEL_MOST || label.chars().any(char::is_control) {
            return Err(ApiError::new(
                Code::BandwidthLimitLabelIsInvalid,
                format!("{:?} is no label of an entry", entry.label),
            )
            .help(format!("1 to {LABEL_MOST} letters, digits or other printed characters")));
        }
        let mut days = entry.days.iter().map(|day| day.parse()).collect::<Result<Vec<Day>, ApiError>>()?;
        days.sort_unstable();
        days.dedup();
        if days.is_empty() {
            return Err(ApiError::new(Code::BandwidthLimitDayIsInvalid, "an entry needs a day at least"));
        }
        let limit = entry.limit.map(Limit::try_from).transpose()?;
        Ok(Entry { label: label.to_owned(), days, start: entry.start.parse()?, limit })
    }

    fn is_called(&self, label: &str) -> bool {
        self.label.to_lowercase() == label.trim().to_lowercase()
    }

    /// When it began last, with its local time.
    fn begun(&self, now: Timestamp, zone: &TimeZone) -> Option<(Timestamp, DateTime)> {
        let today = zone.to_datetime(now).date();
        // The clocks may have gone back over midnight.
        (-1..=7).find_map(|ago: i64| {
            let date = today.checked_sub(ago.days()).ok()?;
            let local = date.to_datetime(self.start.0);
            let began = zone.to_timestamp(local).ok()?;
            (self.days.contains(&Day::of(date)) && began <= now).then_some((began, local))
        })
    }

    pub fn spec(&self) -> BandwidthEntry {
        BandwidthEntry {
            label: self.label.clone(),
            days: self.days.iter().map(ToString::to_string).collect(),
            start: self.start.to_string(),
            limit: self.limit.map(BandwidthSpec::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn zone() -> TimeZone {
        // Central Europe: forward on the last Sunday of March at 2, back on that of October at 3.
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn entry(label: &str, days: &[&str], start: &str, kbit: Option<u64>) -> BandwidthEntry {
        BandwidthEntry {
            label: label.into(),
            days: days.iter().map(|day| (*day).into()).collect(),
            start: start.into(),
            limit: kbit.map(BandwidthSpec::Kbit),
        }
    }

    fn scheduled(entries: &[BandwidthEntry]) -> Bandwidth {
        let mut bandwidth =
            Bandwidth { limit: Some(BandwidthSpec::Kbit(7).try_into().unwrap()), ..Bandwidth::default() };
        entries.iter().for_each(|entry| bandwidth.add(entry).unwrap());
        bandwidth
    }

    fn label(bandwidth: &Bandwidth, local: DateTime) -> Option<String> {
        bandwidth.in_force(zone().to_timestamp(local).unwrap(), &zone()).1
    }

    /// TRN-32: an entry holds until the next one begins, over the week's end and midnight.
    #[test]
    fn an_entry_holds_until_the_next_one_begins() {
        let all = ["mo", "TUESDAY", "We", "th", "fr"];
        let bandwidth = scheduled(&[
            entry("day", &all, "08:00", Some(1000)),
            entry("night", &all, "22:00", None),
            entry("sunday", &["su"], "12:00", Some(500)),
        ]);
        // 30 November 2026 is a Monday.
        for (at, holds) in [
            (date(2026, 11, 30).at(7, 59, 59, 0), "sunday"),
            (date(2026, 11, 30).at(8, 0, 0, 0), "day"),
            (date(2026, 11, 30).at(21, 59, 59, 0), "day"),
            (date(2026, 11, 30).at(22, 0, 0, 0), "night"),
            (date(2026, 12, 1).at(3, 0, 0, 0), "night"),
            (date(2026, 12, 5).at(12, 0, 0, 0), "night"),
            (date(2026, 12, 6).at(11, 59, 0, 0), "night"),
            (date(2026, 12, 6).at(12, 0, 0, 0), "sunday"),
        ] {
            assert_eq!(label(&bandwidth, at).as_deref(), Some(holds), "{at}");
        }
        let (limit, _) =
            bandwidth.in_force(zone().to_timestamp(date(2026, 11, 30).at(9, 0, 0, 0)).unwrap(), &zone());
        assert_eq!(limit.unwrap().kbit(), 1000);
        // One alone holds always; none, or a disabled schedule, leaves it to the limit at all times.
        let one = scheduled(&[entry("one", &["we"], "10:00", None)]);
        assert_eq!(label(&one, date(2026, 12, 2).at(9, 0, 0, 0)).as_deref(), Some("one"));
        let disabled = Bandwidth { disabled: true, ..one };
        assert_eq!(disabled.in_force(Timestamp::UNIX_EPOCH, &zone()), (disabled.limit, None));
    }

    #[test]
    fn local_time_stays_right_when_the_clocks_change() {
        let bandwidth = scheduled(&[
            entry("evening", &["sa"], "20:00", Some(1)),
            entry("gap", &["su"], "02:30", Some(2)),
            entry("morning", &["su"], "08:00", Some(3)),
        ]);
        // Forward: 02:30 of 29 March 2026 is not there; the entry begins with the hour that is.
        let at = |text: &str| bandwidth.in_force(text.parse().unwrap(), &zone()).1.unwrap();
        assert_eq!(at("2026-03-29T00:59:59Z"), "evening");
        assert_eq!(at("2026-03-29T01:29:59Z"), "evening", "03:29:59");
        assert_eq!(at("2026-03-29T01:30:00Z"), "gap", "03:30");
        assert_eq!(at("2026-03-29T05:59:59Z"), "gap");
        assert_eq!(at("2026-03-29T06:00:00Z"), "morning", "08:00 by summer time");
        // Back: 02:30 of 25 October comes twice; what has begun is not taken back.
        assert_eq!(at("2026-10-25T00:29:59Z"), "evening");
        assert_eq!(at("2026-10-25T00:30:00Z"), "gap", "the first 02:30");
        assert_eq!(at("2026-10-25T01:10:00Z"), "gap", "02:10 again");
        assert_eq!(at("2026-10-25T07:00:00Z"), "morning", "08:00 by winter time");
    }

    /// A year, each quarter of an hour: what holds is what an entry's time of day says, whatever the clocks did.
    #[test]
    fn a_year_of_days_and_nights() {
        let all = ["mo", "tu", "we", "th", "fr", "sa", "su"];
        let bandwidth =
            scheduled(&[entry("day", &all, "07:00", Some(1000)), entry("night", &all, "19:00", None)]);
        let (zone, mut now) = (zone(), "2026-01-01T12:00:00Z".parse::<Timestamp>().unwrap());
        let mut changes = 0;
        let mut before = None;
        for _ in 0..366 * 96 {
            let local = zone.to_datetime(now);
            let holds = bandwidth.in_force(now, &zone).1.unwrap();
            assert_eq!(holds, if (7..19).contains(&local.hour()) { "day" } else { "night" }, "{local}");
            changes += usize::from(before.as_ref() != Some(&holds));
            before = Some(holds);
            now += 15.minutes();
        }
        assert_eq!(changes, 1 + 2 * 366);
    }

    #[test]
    fn what_cannot_be_added_or_removed_says_why() {
        let mut bandwidth = scheduled(&[entry("night", &["mo", "tu"], "22:00", None)]);
        let before = bandwidth.clone();
        let long = "x".repeat(65);
        for (bad, code) in [
            (entry("Night", &["we"], "10:00", None), 2302),
            (entry("other", &["we", "tuesday"], "22:00", None), 2301),
            (entry("other", &["xx"], "10:00", None), 2304),
            (entry("other", &["m"], "10:00", None), 2304),
            (entry("other", &["mondayy"], "10:00", None), 2304),
            (entry("other", &[], "10:00", None), 2304),
            (entry("", &["we"], "10:00", None), 2305),
            (entry("a\nb", &["we"], "10:00", None), 2305),
            (entry(&long, &["we"], "10:00", None), 2305),
            (entry("other", &["we"], "24:00", None), 115),
            (entry("other", &["we"], "10:00", Some(0)), 101),
        ] {
            assert_eq!(bandwidth.add(&bad).unwrap_err().code.number(), code, "{bad:?}");
        }
        assert_eq!(bandwidth.remove("day").unwrap_err().code.number(), 2303);
        assert_eq!(bandwidth, before);
        bandwidth.add(&entry("other", &["we"], "22:00", None)).unwrap();
        bandwidth.remove(" NIGHT ").unwrap();
        assert_eq!(bandwidth.entries.len(), 1);
    }
}
