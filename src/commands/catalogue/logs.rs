//! LOG and LOG WRITE: what they ask, and how lines are shown.

use crate::api::{ApiError, Code, LogFilter, LogFrom, LogLine, Reply, Request};
use crate::commands::output::{Column, Output, Table, number, text};
use crate::commands::session::unexpected;
use crate::commands::{Arg, Args, Outcome, Session, slots};

/// Lines without a number of them.
const LINES: u64 = 20;
/// How long one call waits for new lines.
const WAIT_MS: u64 = 500;

pub(super) fn log(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let filter = filter(args)?;
    let count = match args.optional("lines")? {
        None => LINES,
        Some(_) => u64::try_from(args.number("lines")?).unwrap_or(LINES),
    };
    let follow = args.has("FOLLOW");
    let machine = session.machine(args)?;
    let (mut from, mut left) = (LogFrom::Last(count), count);
    loop {
        let wait_ms = if follow && left == 0 { WAIT_MS } else { 0 };
        let request = Request::Log { from, filter: filter.clone(), wait_ms };
        let Reply::Log(part) = session.ask(&machine, request)? else { return Err(unexpected()) };
        if let Some(next) = part.next {
            from = LogFrom::Place(next);
        }
        let mut lines = part.lines;
        if !follow {
            // What was written meanwhile was not asked for.
            lines.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        left = if part.more { left.saturating_sub(lines.len() as u64) } else { 0 };
        if !follow && left == 0 {
            return Ok(Outcome::show(table(&lines)));
        }
        if !lines.is_empty() {
            session.show_part(Output::Table(table(&lines)));
        }
        if session.cancelled() {
            return Ok(Outcome::done());
        }
    }
}

pub(super) fn write(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    session.order(&machine, Request::LogWrite { text: args.text("text")? })
}

fn filter(args: &Args) -> Result<LogFilter, ApiError> {
    let mut filter = LogFilter::default();
    if args.has("TYPE") {
        filter.alerts = match args.number("n")? {
            1 => true,
            2 => false,
            other => {
                return Err(ApiError::new(
                    Code::InvalidParameterWasSupplied,
                    format!("{other} is no type of message"),
                )
                .help("TYPE 1 is warnings and errors, TYPE 2 information too"));
            }
        };
    }
    let mut excluding = false;
    for item in &args.items {
        match item {
            Arg::Keyword("INCLUDE") => excluding = false,
            Arg::Keyword("EXCLUDE") => excluding = true,
            Arg::Value { slot: "id", value, .. } => {
                let range = slots::ids(&crate::commands::args::as_typed(value, "id")?)?;
                if excluding { filter.exclude.push(range) } else { filter.include.push(range) }
            }
            _ => {}
        }
    }
    Ok(filter)
}

/// The columns as they stand in the file, with one blank between them.
fn table(lines: &[LogLine]) -> Table {
    let names = ["Date", "Time", "Process", "Thread", "Sequence", "Type", "ID", "Text"];
    let row = |line: &LogLine| {
        vec![
            text(&*line.date),
            text(&*line.time),
            number(line.process),
            number(line.thread),
            number(line.sequence),
            number(line.kind.into()),
            number(line.id.into()),
            text(&*line.text),
        ]
    };
    Table {
        columns: names.iter().map(|&name| Column { name, width: 1 }).collect(),
        rows: lines.iter().map(row).collect(),
        ..Table::default()
    }
}
