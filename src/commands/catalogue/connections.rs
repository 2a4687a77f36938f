//! Connections (CNX, JOB).

use super::{ADMIN, Command, MONITOR, command};
use crate::commands::Family::Connections;

pub(super) const COMMANDS: &[Command] = &[
    command(
        Connections,
        "CONNECT <repset> TO <target> <flags>",
        ADMIN,
        "S (MAP EXACT, MAP a TO b), others R",
        "Connects a set to a target and starts its mirror.",
    )
    .details(
        "Returns the connection ID. MAP says where the data comes to lie: EXACT under the same paths, BASE below one \
         directory, or pairs of source and target path; without MAP it is BASE /<source>/<repset>/<volume> under the \
         target's data root. A full mirror starts unless NOMIRROR or other flags say otherwise; with NEWER or CHECKSUM \
         alone it is a difference mirror. REPLICATE is not yet available in this version, NOREPLICATE the default until \
         then. DRYRUN names each file that the mirror would send with the reason and connects nothing. The set must be \
         saved (-144); a target path inside the set's own data and a place another set is connected to are refused.",
    )
    .examples(&[
        "connect payroll to beta map exact",
        "connect payroll to localhost map base /backup mirror different checksum",
        "connect payroll to beta map /srv/a to /copy/a, /srv/b to /copy/b nomirror",
        "$con = connect payroll to beta dryrun map exact",
    ]),
    command(
        Connections,
        "CONNECT <repset> TO TDU [<filename>] <flags>",
        ADMIN,
        "D",
        "Connects a set to the null target.",
    )
    .details(
        "Nothing is sent and all is counted, as a rehearsal. The counts go to the file, `statistic.sts` without one. A \
         machine of that name is quoted: `connect payroll to \"tdu\"`.",
    )
    .examples(&["connect payroll to tdu", "connect payroll to tdu \"rehearsal.sts\" mirror"]),
    command(
        Connections,
        "DISCONNECT <con_id> [DISCARD] [KEEPMONITOR | STOPMONITOR]",
        ADMIN,
        "R, monitor X",
        "Ends a connection.",
    )
    .details(
        "What is queued is sent first; DISCARD drops it. A failover monitor goes on unless STOPMONITOR ends it. In the \
         interactive shell it asks before.",
    )
    .examples(&["disconnect 1", "disconnect *", "disconnect $con discard"]),
    command(Connections, "STATUS CONnection <con_id>", MONITOR, "S", "Shows one connection.")
        .details(
            "Ten lines that scripts may rely on. When files have failed or were excluded from the mirror two more tell \
             their number and the newest failure.",
        )
        .examples(&["status con 1", "status connection $con", "status con *"]),
    command(Connections, "STATUS", MONITOR, "R", "Lists all connections of the current source.")
        .details("ID, set, target, transmit mode, mirror and replication status, target data state, bytes queued and sent.")
        .examples(&["status"]),
    command(
        Connections,
        "STATUS SOURCE|TARGET [<machine>]",
        MONITOR,
        "R",
        "Shows a machine's source or target module.",
    )
    .details("Without a machine the current source, or the current target (-131 if there is none).")
    .examples(&["status source", "status target beta"]),
    command(Connections, "CONID <repset> [TO <target>]", MONITOR, "R", "Returns the connection ID of a set.")
        .details("-107 if it is not connected, -101 if it is connected several times and no target decides.")
        .examples(&["$con = conid payroll", "conid payroll to beta"]),
    command(Connections, "EXPLAIN <path> [CON <con_id>]", MONITOR, "X", "Tells one file's story.")
        .details("In which set it is or why not, whether it is on the target, what is pending, and its last error.")
        .examples(&["explain /srv/data/a.txt", "explain \"/srv/data/a b.txt\" con 1"]),
    command(Connections, "PAUSE TARGET <target>", ADMIN, "R", "Pauses all connections to a target.")
        .details("Pause Pending while operations in progress complete, then Paused.")
        .examples(&["pause target beta"]),
    command(Connections, "RESUME TARGET <target>", ADMIN, "R", "Resumes all connections to a target.")
        .examples(&["resume target beta"]),
];
