//! Waiting, for scripts.

use super::{Command, MONITOR, command};
use crate::api::{ApiError, Code, Reply, Request, Until};
use crate::commands::Family::Waiting;
use crate::commands::session::unexpected;
use crate::commands::{Args, Outcome, Session, each};
use std::time::Instant;

pub(super) const COMMANDS: &[Command] = &[
    command(
        Waiting,
        "WAITONMIRROR|WAITONQUEUE|WAITONTARGET|WAITONRESTORE <con_id> [TIMEOUT = <duration>]",
        MONITOR,
        "R",
        "Waits until a connection's work is done.",
    )
    .details(
        "WAITONMIRROR: until the mirror, or a verification with its remirror, is written on the target. WAITONQUEUE: \
         until the queue on the source is empty. WAITONTARGET: until the target has applied all. Returns 0 when the \
         time ran out (a failure: exit status 5), and fails at once when it can no longer happen. WAITONRESTORE is not \
         yet available in this version.",
    )
    .examples(&["waitonmirror 1", "waitonqueue $con timeout = 10 minutes", "waitontarget * timeout=30"])
    .run(wait),
    command(
        Waiting,
        "BARRIER <con_id> [TIMEOUT = <duration>]",
        MONITOR,
        "X",
        "Waits until everything changed before this moment is on the target.",
    )
    .details("At least: later changes may be there too. It ends in bounded time under any load.")
    .examples(&["barrier 1 timeout = 30"]),
];

/// With `*` the time holds for all connections together.
fn wait(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let until = match args.which(&["WAITONMIRROR", "WAITONQUEUE", "WAITONTARGET"]) {
        Some("WAITONMIRROR") => Until::Mirror,
        Some("WAITONQUEUE") => Until::Queue,
        Some("WAITONTARGET") => Until::Target,
        _ => {
            return Err(ApiError::new(
                Code::OperationOrCommandIsNotSupported,
                "WAITONRESTORE is not yet available in this version",
            )
            .help("restorations come with a later version"));
        }
    };
    let deadline = args.duration()?.map(|timeout| (Instant::now(), timeout));
    each::connection(session, args, |session, machine, connection| {
        let left = deadline.map(|(start, timeout)| timeout.saturating_sub(start.elapsed()));
        let timeout_ms = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        match session.ask(machine, Request::Wait { connection, until, timeout_ms })? {
            Reply::Done => Ok(Outcome::done()),
            Reply::TimedOut => Ok(Outcome::value(0)),
            _ => Err(unexpected()),
        }
    })
}
