//! Transmission (TRN). The scope is source and target address together.

use super::{ADMIN, Command, command};
use crate::commands::Family::Transmission;

pub(super) const COMMANDS: &[Command] = &[
    command(
        Transmission,
        "TRANSMISSION START|STOP|PAUSE|RESUME <target>",
        ADMIN,
        "R",
        "Starts, stops, pauses or resumes sending to a target.",
    )
    .details("STOP drops the network connection, PAUSE keeps it.")
    .examples(&["transmission pause beta"]),
    command(Transmission, "COMPRESSION ENABLE|DISABLE FOR <target>", ADMIN, "R", "Turns compression on or off.")
        .examples(&["compression enable for beta"]),
    command(Transmission, "COMPRESSION SET <level>|AUTO FOR <target>", ADMIN, "R", "Chooses the level of compression.")
        .details("zstd levels 1 to 19; with AUTO (X) the level follows the queue.")
        .examples(&["compression set 3 for beta", "compression set auto for beta"]),
    command(Transmission, "COMPRESSION LIST", ADMIN, "R", "Shows the compression of each target.")
        .examples(&["compression list"]),
    command(
        Transmission,
        "LIMIT BANDWIDTH <bytes>[,] <seconds> TO <target>",
        ADMIN,
        "D",
        "Limits what is sent to so many bytes in so many seconds.",
    )
    .examples(&["limit bandwidth 1000000, 10 to beta", "limit bandwidth 1000000 10 to beta"]),
    command(Transmission, "LIMIT BANDWIDTH <n> KBIT|MBIT TO <target>", ADMIN, "X", "Limits what is sent to a rate.")
        .examples(&["limit bandwidth 10 mbit to beta"]),
    command(
        Transmission,
        "LIMIT BANDWIDTH <percent> PERCENT OF <n> KBIT|MBIT TO <target>",
        ADMIN,
        "X",
        "Limits what is sent to a share of a line.",
    )
    .examples(&["limit bandwidth 60 percent of 100 mbit to beta"]),
    command(Transmission, "LIMIT BANDWIDTH OFF TO <target>", ADMIN, "X", "Lifts the limit.")
        .examples(&["limit bandwidth off to beta"]),
    command(Transmission, "LIMIT BANDWIDTH LIST", ADMIN, "X", "Shows the limit in force for each target.")
        .examples(&["limit bandwidth list"]),
    command(
        Transmission,
        "LIMIT BANDWIDTH SCHEDULE ADD <label> DAYS = <day>[, <day>]... STARTTIME = <hh:mm> LIMIT = {<bytes>[,] <seconds> | UNLIMITED} TO <target>",
        ADMIN,
        "D",
        "Adds an entry to a target's bandwidth schedule.",
    )
    .details("An entry holds until the next one begins.")
    .examples(&[
        "limit bandwidth schedule add night days = mo, tu, wednesday starttime = 22:00 limit = unlimited to beta",
        "limit bandwidth schedule add day days=mo starttime=08:00 limit=500000 1 to beta",
    ]),
    command(
        Transmission,
        "LIMIT BANDWIDTH SCHEDULE REMOVE <label> TO <target>",
        ADMIN,
        "R",
        "Takes an entry out of a target's bandwidth schedule.",
    )
    .examples(&["limit bandwidth schedule remove night to beta"]),
    command(
        Transmission,
        "LIMIT BANDWIDTH SCHEDULE CLEAR|ENABLE|DISABLE|LIST TO <target>",
        ADMIN,
        "R",
        "Clears, turns on or off, or lists a target's bandwidth schedule.",
    )
    .examples(&["limit bandwidth schedule list to beta"]),
    command(
        Transmission,
        "SCHEDULE <target> START [STARTTIME = <mm/dd/yy> <hh:mm>] [MEMLIMIT = <percent>] [QUEUESIZE = <bytes>] [EVERY <n> <units>]",
        ADMIN,
        "D",
        "Says when sending to a target starts.",
    )
    .details("Any combination, at least one; a start time overrides the thresholds.")
    .one_of(&["STARTTIME", "MEMLIMIT", "QUEUESIZE", "EVERY"])
    .examples(&["schedule beta start starttime = 11/30/26 22:30 every 1 days", "schedule beta start memlimit=80"]),
    command(
        Transmission,
        "SCHEDULE <target> END [DURATION = <duration>] [BYTES = <bytes>]",
        ADMIN,
        "R",
        "Says when sending to a target ends.",
    )
    .details("At least one of them.")
    .one_of(&["DURATION", "BYTES"])
    .examples(&["schedule beta end duration = 2 hours", "schedule beta end bytes = 1000000"]),
    command(
        Transmission,
        "SCHEDULE <target> WINDOW <hh:mm> TO <hh:mm>",
        ADMIN,
        "R",
        "Bounds the times at which a target is sent to.",
    )
    .details("It starts nothing and may cross midnight.")
    .examples(&["schedule beta window 22:00 to 06:00"]),
    command(
        Transmission,
        "SCHEDULE <target> ENABLE|DISABLE|CLEAR|LIST",
        ADMIN,
        "R",
        "Turns a target's schedule on or off, clears or lists it.",
    )
    .examples(&["schedule beta list"]),
    command(
        Transmission,
        "SCHEDULE <target> START|END|WINDOW CLEAR",
        ADMIN,
        "R",
        "Clears one part of a target's schedule.",
    )
    .examples(&["schedule beta end clear"]),
];
