//! `<con_id>`: one connection, or with `*` all of the current source, of which the first failure is the value.

use super::{Args, Connections, Outcome, Output, Session};
use crate::api::{ApiError, ConnectionId};
use crate::machine::Machine;
use std::sync::Arc;

/// Does the work for each connection that `<con_id>` means. With `*` all are done even when one fails; what the
/// others show is shown.
pub(super) fn connection(
    session: &mut Session,
    args: &Args,
    mut work: impl FnMut(&mut Session, &Arc<dyn Machine>, ConnectionId) -> Result<Outcome, ApiError>,
) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let id = match args.connections()? {
        Connections::One(id) => return work(session, &machine, id),
        Connections::All => session.all_connections(&machine)?,
    };
    let mut records = Vec::new();
    let mut value = 1;
    let mut failure = None;
    for id in id {
        match work(session, &machine, id) {
            Ok(outcome) => {
                if value > 0 && outcome.value <= 0 {
                    value = outcome.value;
                }
                match outcome.output {
                    Output::Nothing => {}
                    Output::Record(record) => records.push(record),
                    other => session.show_part(other),
                }
            }
            Err(mut error) if failure.is_none() => {
                error.message = format!("connection {id}: {}", error.message);
                failure = Some(error);
            }
            // Only the first failure is the value; the others are told.
            Err(error) => session.ui().message(&format!("connection {id}: {error}")),
        }
        if session.cancelled() {
            break;
        }
    }
    let output = if records.is_empty() { Output::Nothing } else { Output::Records(records) };
    match failure {
        None => Ok(Outcome { value, output }),
        Some(error) => {
            if output != Output::Nothing {
                session.show_part(output);
            }
            Err(error)
        }
    }
}
