//! DRYRUN: each file that would be sent with its reason. As text the lines are written while the machine still looks;
//! JSON and CSV are one document at the end.

use super::output::{Outcome, Record, Table, number};
use super::render::{self, Mode};
use super::session::{Session, unexpected};
use super::show;
use crate::api::{ApiError, Event, Reply, Request};
use crate::machine::Machine;
use std::sync::Arc;

/// Asks with a request that is a dry run.
pub(super) fn ask(
    session: &mut Session,
    machine: &Arc<dyn Machine>,
    request: Request,
) -> Result<Outcome, ApiError> {
    let streams = session.mode() == Mode::Text;
    let mut table = show::dry_run();
    let mut row = Table { title: None, ..show::dry_run() };
    let mut titled = false;
    let reply = session.ask_with(machine, request, &mut |out, event| {
        let Event::WouldSend { path, reason, bytes } = event else { return };
        let cells = show::dry_run_row(&path, reason, bytes);
        if !streams {
            table.rows.push(cells);
            return;
        }
        if !titled {
            out.write(&format!("- {} -\n", show::DRY_RUN));
            titled = true;
        }
        row.rows = vec![cells];
        out.write(&render::text(&super::Output::Table(row.clone()), None));
    })?;
    let Reply::DryRun { files, bytes } = reply else { return Err(unexpected()) };
    if streams {
        let record = Record { title: (!titled).then(|| show::DRY_RUN.to_owned()), rows: Vec::new() };
        return Ok(Outcome::show(record.number("Files", files).number("Bytes", bytes)));
    }
    table.summary = vec![("Files".to_owned(), number(files)), ("Bytes".to_owned(), number(bytes))];
    Ok(Outcome::show(table))
}
