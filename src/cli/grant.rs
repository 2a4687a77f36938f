//! `DTCL grant`: what sources on other machines may send to this one, and taking it back from one that does not ask any more.

use super::args::GrantAct;
use super::output::Output;
use super::run::failed;
use crate::api::{ApiError, Reply, Request};
use crate::machine::Machine;
use std::sync::Arc;

/// Does it; gives the exit status.
pub(super) fn run(act: &GrantAct, machine: &Arc<dyn Machine>, output: &Output) -> i32 {
    match act_on(act, machine, output) {
        Ok(()) => 0,
        Err(error) => failed(&error),
    }
}

fn act_on(act: &GrantAct, machine: &Arc<dyn Machine>, output: &Output) -> Result<(), ApiError> {
    match act {
        GrantAct::Remove { id } => machine.call(Request::Withdraw { grant: id.clone() }, &mut ()).map(drop),
        GrantAct::Tasks { id, allowed } => {
            machine.call(Request::GrantTasks { grant: id.clone(), allowed: *allowed }, &mut ()).map(drop)
        }
        GrantAct::List => {
            let Reply::Grants(grants) = machine.call(Request::Grants, &mut ())? else { return Ok(()) };
            for grant in grants {
                let from =
                    if grant.from.is_empty() { "not connected".to_owned() } else { grant.from.join(", ") };
                let tasks = if grant.tasks { "tasks" } else { "no tasks" };
                output.write(&format!(
                    "{}\t{}\t{}\t{from}\t{}\t{tasks}\n",
                    grant.id, grant.source, grant.repset, grant.key
                ));
                for (source, target) in grant.paths {
                    output.write(&format!("\t{source}\t{target}\n"));
                }
            }
            Ok(())
        }
    }
}
