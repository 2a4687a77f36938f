//! Waiting, for scripts.

use super::{Command, MONITOR, command};
use crate::api::{ApiError, Code, ConnectionId, Reply, Request, Until};
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
         until the queue on the source is empty. WAITONTARGET: until the target has applied all that was changed up to \
         now. Returns 0 when the time ran out (a failure: exit status 5), and fails at once when it can no longer \
         happen. Under steady load the queue may never be empty: BARRIER ends all the same. WAITONRESTORE is not yet \
         available in this version.",
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
    .details(
        "At least: later changes may be there too. While a mirror runs it waits for the mirror first; then it ends in \
         bounded time under any load. Returns 0 when the time ran out (a failure: exit status 5). Fails at once when it \
         can no longer happen: -126 if the connection does not replicate, -134 if replication is held or a mirror is \
         required and none runs. Returns -1, and names the place, when something had moved, or did not fit what the \
         target has, each of many times that it was to be sent.",
    )
    .examples(&["barrier 1 timeout = 30", "barrier *", "$r = barrier $con timeout = 2 minutes"])
    .run(barrier),
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
    wait_with(session, args, |connection, timeout_ms| Request::Wait { connection, until, timeout_ms })
}

/// With `*` one connection after the other: each barrier is at least as late as the command.
fn barrier(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    wait_with(session, args, |connection, timeout_ms| Request::Barrier { connection, timeout_ms })
}

/// Asks with what is left of the time.
fn wait_with(
    session: &mut Session,
    args: &Args,
    request: impl Fn(ConnectionId, Option<u64>) -> Request,
) -> Result<Outcome, ApiError> {
    let deadline = args.duration()?.map(|timeout| (Instant::now(), timeout));
    each::connection(session, args, |session, machine, connection| {
        let left = deadline.map(|(start, timeout)| timeout.saturating_sub(start.elapsed()));
        let timeout_ms = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        match session.ask(machine, request(connection, timeout_ms))? {
            Reply::Done => Ok(Outcome::done()),
            Reply::TimedOut => Ok(Outcome::value(0)),
            _ => Err(unexpected()),
        }
    })
}
