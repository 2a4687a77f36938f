//! Snapshots, points in time, archives, jobs.

use super::{ADMIN, Command, command};
use crate::commands::Family::Snapshots;

pub(super) const COMMANDS: &[Command] = &[
    command(
        Snapshots,
        "SNAPSHOT CREATE|LIST <con_id>",
        ADMIN,
        "R",
        "Takes or lists snapshots of the target's data.",
    )
    .details("At least 15 minutes apart; taken only in a good data state, else deferred.")
    .examples(&["snapshot create 1", "snapshot list 1"]),
    command(
        Snapshots,
        "SNAPSHOT DELETE|REVERT <con_id> <snapshot>",
        ADMIN,
        "R",
        "Deletes a snapshot or goes back to it.",
    )
    .examples(&["snapshot revert 1 4"]),
    command(
        Snapshots,
        "SNAPSHOT SCHEDULE <con_id> EVERY <n> <units> [STARTTIME = {NOW | <mm/dd/yy> <hh:mm>}] [KEEP <n>]",
        ADMIN,
        "R",
        "Takes snapshots at set times.",
    )
    .examples(&["snapshot schedule 1 every 30 minutes starttime = now keep 10"]),
    command(
        Snapshots,
        "SNAPSHOT SCHEDULE <con_id> ENABLE|DISABLE|CLEAR",
        ADMIN,
        "R",
        "Turns scheduled snapshots on or off, or clears them.",
    )
    .examples(&["snapshot schedule 1 disable"]),
    command(
        Snapshots,
        "TIMEDATA ENABLE|DISABLE|LIST <con_id>",
        ADMIN,
        "G",
        "Turns continuous protection on or off, or lists its points.",
    )
    .examples(&["timedata enable 1"]),
    command(Snapshots, "TIMEDATA RETENTION <days>", ADMIN, "G", "Says how long points in time are kept.")
        .details("On the current target.")
        .examples(&["timedata retention 14"]),
    command(
        Snapshots,
        "RECOVER <con_id> [AT <mm/dd/yy> <hh:mm> | SNAPSHOT <snapshot>] TO {<machine> | PATH <path>}",
        ADMIN,
        "G",
        "Recovers data as it was at a point in time.",
    )
    .examples(&["recover 1 at 11/30/26 22:30 to path /recovered", "recover 1 snapshot 4 to gamma"]),
];
