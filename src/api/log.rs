//! Lines of the engine log as clients see them, and which of them somebody wants (reference-guide.md 2.2 and 2.4).

use serde::{Deserialize, Serialize};

/// The eight columns of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `MM/DD/YYYY`, local time of the engine.
    pub date: String,
    /// `HH:MM:SS.ffff`
    pub time: String,
    pub process: u64,
    pub thread: u64,
    pub sequence: u64,
    /// 1: a warning or an error, 2: information.
    pub kind: u8,
    /// 0: the message has no number.
    pub id: u32,
    /// Control bytes are escaped.
    pub text: String,
}

impl LogLine {
    /// A line without its end. None: it is no line of a log.
    pub fn parse(line: &str) -> Option<LogLine> {
        let mut columns = line.splitn(8, ' ');
        let mut next = || columns.next();
        let (date, time) = (next()?, next()?);
        let is_like = |text: &str, model: &str| {
            let fits = |(byte, like): (u8, u8)| byte == like || like == b'0' && byte.is_ascii_digit();
            text.len() == model.len() && text.bytes().zip(model.bytes()).all(fits)
        };
        if !is_like(date, "00/00/0000") || !is_like(time, "00:00:00.0000") {
            return None;
        }
        let (process, thread, sequence) =
            (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
        let kind = next()?.parse().ok().filter(|kind| matches!(kind, 1 | 2))?;
        let (id, text) = (next()?.parse().ok()?, next()?.to_owned());
        Some(LogLine {
            date: date.to_owned(),
            time: time.to_owned(),
            process,
            thread,
            sequence,
            kind,
            id,
            text,
        })
    }
}

/// Message numbers from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    pub first: u32,
    pub last: u32,
}

impl IdRange {
    /// `4007` or `4000-4010`. None: it is neither.
    pub fn parse(text: &str) -> Option<IdRange> {
        let number = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten()
        };
        let (first, last) = match text.split_once('-') {
            None => (number(text)?, number(text)?),
            Some((first, last)) => (number(first)?, number(last)?),
        };
        (first <= last).then_some(IdRange { first, last })
    }

    pub fn contains(self, id: u32) -> bool {
        (self.first..=self.last).contains(&id)
    }
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFilter {
    /// Warnings and errors alone (TYPE 1).
    pub alerts: bool,
    /// Only these; none: all.
    pub include: Vec<IdRange>,
    pub exclude: Vec<IdRange>,
}

impl LogFilter {
    pub fn takes(&self, line: &LogLine) -> bool {
        let any = |ranges: &[IdRange]| ranges.iter().any(|range| range.contains(line.id));
        (!self.alerts || line.kind == 1)
            && (self.include.is_empty() || any(&self.include))
            && !any(&self.exclude)
    }
}

/// Where in a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFrom {
    /// Where the last lines begin that are wanted, as many as this.
    Last(u64),
    Place(LogPlace),
}

/// A place in a log: a numbered file, and bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    pub file: u32,
    pub offset: u64,
}

/// Lines of a log, and where the next ones are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    pub lines: Vec<LogLine>,
    /// None: there is no log yet.
    pub next: Option<LogPlace>,
    /// There are more already.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "05/14/2024 08:31:07.1250 77 2244 5 1 4110 /a: cannot write  it";

    #[test]
    fn a_line_has_eight_columns_and_a_text_may_have_blanks() {
        let line = LogLine::parse(LINE).unwrap();
        assert_eq!((line.process, line.thread, line.sequence, line.kind, line.id), (77, 2244, 5, 1, 4110));
        assert_eq!(line.text, "/a: cannot write  it");
        for wrong in
            ["", "05/14/2024", "x 08:31:07.1250 77 2244 5 1 0 t", &LINE.replace(" 1 4110", " 3 4110")]
        {
            assert_eq!(LogLine::parse(wrong), None, "{wrong}");
        }
        assert_eq!(LogLine::parse(&LINE[..LINE.len() - 20]).unwrap().text, "");
    }

    #[test]
    fn numbers_and_ranges_and_nothing_else() {
        assert_eq!(IdRange::parse("300"), Some(IdRange { first: 300, last: 300 }));
        assert_eq!(IdRange::parse("510-590"), Some(IdRange { first: 510, last: 590 }));
        for wrong in ["", "-", "5-", "-5", "9-1", "x", "+5", "1-2-3", "99999999999"] {
            assert_eq!(IdRange::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_filter_takes_what_all_of_it_takes() {
        let (alert, range) = (LogLine::parse(LINE).unwrap(), |first, last| IdRange { first, last });
        let other = LogLine { kind: 2, id: 0, ..alert.clone() };
        let takes = |filter: LogFilter| (filter.takes(&alert), filter.takes(&other));
        assert_eq!(takes(LogFilter::default()), (true, true));
        assert_eq!(takes(LogFilter { alerts: true, ..LogFilter::default() }), (true, false));
        let only = LogFilter { include: vec![range(4000, 4109), range(4110, 4110)], ..LogFilter::default() };
        assert_eq!(takes(only.clone()), (true, false));
        assert_eq!(takes(LogFilter { exclude: vec![range(4110, 4120)], ..only }), (false, false));
        let without = LogFilter { exclude: vec![range(1, 9999)], ..LogFilter::default() };
        assert_eq!(takes(without), (false, true));
    }
}
