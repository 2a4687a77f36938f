//! Options (`settings.tsv`).

use super::{ADMIN, Command, MONITOR, command};
use crate::commands::Family::Options;

pub(super) const COMMANDS: &[Command] = &[
    command(Options, "GET <option>", MONITOR, "G (the names GET, SET), others R", "Prints an option as `Option = value`.")
        .details("Returns 1; the value in a script: `option(\"Name\")`.")
        .examples(&["get ChecksumAll"]),
    command(
        Options,
        "GETDEFAULT <option>",
        MONITOR,
        "G (the names GET, SET), others R",
        "Prints an option's default as `Option = value`.",
    )
    .examples(&["getdefault MirrorChunkSize"]),
    command(Options, "SET <option> = <value>", ADMIN, "G (the names GET, SET), others R", "Changes an option.")
        .details(
            "Type and range are checked before anything changes. A list is one quoted value. A message says when a \
             restart is needed. Kept in `DT.conf`. The target's options: `ON <target>`.",
        )
        .examples(&["set ChecksumAll = 0", "set MirrorChunkSize = 131072 on beta"]),
    command(
        Options,
        "SETDEFAULT <option>",
        ADMIN,
        "G (the names GET, SET), others R",
        "Gives an option its default again.",
    )
    .examples(&["setdefault ChecksumAll"]),
    command(Options, "OPTIONS [<pattern>]", MONITOR, "X", "Lists options: value, default, unit, range, restart, meaning.")
        .details("The pattern may hold * and ?.")
        .examples(&["options", "options Mirror*"]),
];
