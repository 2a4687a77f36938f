//! Waiting, for scripts.

use super::{Command, MONITOR, command};
use crate::commands::Family::Waiting;

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
    .examples(&["waitonmirror 1", "waitonqueue $con timeout = 10 minutes", "waitontarget * timeout=30"]),
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
