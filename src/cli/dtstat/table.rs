//! Comma separated tables: a row for each connection (-s), or each target (-st), of each snapshot (reference-guide.md 3.2).
//!
//! The guide says what a table of connections leaves out (targets, TargetOpenHandles) and has without use (Managed Pagefile Alloc);
//! labels and order, which it does not give, are those of its table of statistics.

use super::layout::shown;
use crate::api::statistics::{Block, Section, Snapshot, Statistic, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a table has a row for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Connections,
    Targets,
}

impl Kind {
    fn section(self) -> Section {
        match self {
            Kind::Connections => Section::Connection,
            Kind::Targets => Section::Target,
        }
    }

    fn columns(self) -> impl Iterator<Item = Statistic> {
        Statistic::ALL.iter().copied().filter(move |it| match (self, it.section()) {
            (_, Section::General) if *it == Statistic::Stamp => true,
            (Kind::Connections, Section::Target) => false,
            (Kind::Connections, _) => *it != Statistic::TargetOpenHandles,
            (Kind::Targets, section) => section == Section::Target,
        })
    }

    /// A comma in a name would have to be quoted.
    fn heading(self) -> Vec<String> {
        let names = self.columns().flat_map(|it| [Some(it.name()), unused(self, it)]);
        names.flatten().map(|name| name.replace(',', "")).collect()
    }

    fn rows(self, snapshot: &Snapshot) -> Vec<Vec<String>> {
        let cell = |row: &Block, it: Statistic| match it {
            Statistic::Stamp => moment(snapshot.at_ms),
            it if it.section() == row.section => value(it, row.get(it)),
            it => snapshot.of(it.section()).next().map_or_else(String::new, |block| value(it, block.get(it))),
        };
        let cells = |row: &Block| {
            let cells =
                self.columns().flat_map(|it| [Some(cell(row, it)), unused(self, it).map(|_| "0".to_owned())]);
            cells.flatten().collect()
        };
        snapshot.of(self.section()).map(cells).collect()
    }
}

/// The column without use that stands behind this one.
fn unused(kind: Kind, behind: Statistic) -> Option<&'static str> {
    (kind == Kind::Connections && behind == Statistic::QueueAllocator).then_some("Managed Pagefile Alloc")
}

fn value(statistic: Statistic, value: &Value) -> String {
    match value {
        Value::Moment(at) => moment(*at),
        value => shown(statistic, value),
    }
}

/// `2024-05-14 08:31:20.900`, local time: spreadsheets take it for a moment.
fn moment(at_ms: i64) -> String {
    match Timestamp::from_millisecond(at_ms) {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        Err(_) => at_ms.to_string(),
    }
}

/// The tables that are written.
#[derive(Default)]
pub struct Tables(Vec<(PathBuf, Kind, BufWriter<File>)>);

impl Tables {
    /// Begins a table; a file of that name is written anew.
    pub fn open(&mut self, path: &Path, kind: Kind) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        write_row(&mut out, kind.heading())?;
        self.0.push((path.to_owned(), kind, out));
        Ok(())
    }

    pub fn add(&mut self, snapshot: &Snapshot) -> Result<(), (PathBuf, io::Error)> {
        for (path, kind, out) in &mut self.0 {
            for row in kind.rows(snapshot) {
                write_row(out, row).map_err(|error| (path.clone(), error))?;
            }
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<(), (PathBuf, io::Error)> {
        for (path, _, out) in &mut self.0 {
            out.flush().map_err(|error| (path.clone(), error))?;
        }
        Ok(())
    }
}

/// RFC 4180: what has a comma, a quote or a line's end in it is quoted.
fn write_row(out: &mut impl Write, cells: Vec<String>) -> io::Result<()> {
    let quoted = cells.into_iter().map(|cell| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    });
    writeln!(out, "{}", quoted.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::sample;
    use super::*;

    fn table(kind: Kind, snapshot: &Snapshot) -> Vec<(String, String)> {
        let rows = kind.rows(snapshot);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].len(), kind.heading().len());
        kind.heading().into_iter().zip(rows.into_iter().next().unwrap()).collect()
    }

    #[test]
    fn a_table_of_connections_is_what_the_guide_says() {
        let row = table(Kind::Connections, &sample());
        let get = |name: &str| row.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        assert_eq!(get("Date/Time Stamp"), Some("2024-05-14 08:31:20.900"));
        assert_eq!((get("TargetOpenHandles"), get("Ops Received")), (None, None));
        assert_eq!((get("Managed Pagefile Alloc"), get("SourceState")), (Some("0"), Some("2")));
        assert_eq!((get("conOpsTx"), get("conMirrorPercent")), (Some("827"), Some("100.0%")));
        assert_eq!(get("connectTime"), Some("2024-05-14 08:31:07.000"));
        assert_eq!(row.len(), 65 - 15 - 1 + 1);
    }

    #[test]
    fn a_table_of_targets_has_nothing_else() {
        let row = table(Kind::Targets, &sample());
        assert_eq!(row.len(), 16);
        assert_eq!(row[1], ("PeerAddress".to_owned(), "127.0.0.2".to_owned()));
    }

    #[test]
    fn a_comma_in_a_path_does_not_begin_a_cell() {
        let mut out = Vec::new();
        write_row(&mut out, vec!["/srv/a,b".into(), "say \"x\"".into(), "7".into()]).unwrap();
        assert_eq!(out, b"\"/srv/a,b\",\"say \"\"x\"\"\",7\n");
    }
}
