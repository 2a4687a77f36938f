//! Mirror, replication, verify, orphans.

use super::{ADMIN, Command, MONITOR, command};
use crate::commands::Family::Mirror;

pub(super) const COMMANDS: &[Command] = &[
    command(
        Mirror,
        "MIRROR START <con_id> [FULL | DIFFERENT] [NEWER] [CHECKSUM] [CALCULATE] [ORPHANS] [CLEAN] [DRYRUN]",
        ADMIN,
        "R (the name CLEAN G)",
        "Starts a mirror.",
    )
    .details(
        "FULL, the default, sends every file. DIFFERENT sends the files whose date, time or size differ, with NEWER \
         those that are newer on the source, with CHECKSUM only the blocks that differ; NEWER or CHECKSUM alone mean \
         DIFFERENT. CALCULATE measures the set first, ORPHANS removes what is on the target only. CLEAN empties the \
         connection's target paths first, where the option Cleaner is 1 (else -146). DRYRUN names each file that would \
         be sent with the reason and sends nothing. Refuses while a mirror runs (-113).",
    )
    .examples(&["mirror start 1", "mirror start $con different checksum", "mirror start * dryrun different"]),
    command(Mirror, "MIRROR STOP|PAUSE|RESUME <con_id>", ADMIN, "R", "Stops, pauses or resumes a mirror.")
        .details("STOP forgets how far it came, PAUSE keeps it. -121 if no mirror runs, -117 if none is paused.")
        .examples(&["mirror stop 1", "mirror pause *", "mirror resume $con"]),
    command(
        Mirror,
        "REPLICATION START|STOP <con_id>",
        ADMIN,
        "R (the name START D)",
        "Starts or stops real-time replication.",
    )
    .details("After a start a mirror is needed; the target data state says so.")
    .examples(&["replication stop 1"]),
    command(
        Mirror,
        "VERIFY <con_id> [REMIRROR] [NEWER] [CHECKSUM] [ORPHANS]",
        ADMIN,
        "R",
        "Compares source and target.",
    )
    .details(
        "Not during a mirror (-108). REMIRROR sends what differs; NEWER and CHECKSUM choose what counts as different. \
         The log is `<repset> DTVerify.log` on the source. WAITONMIRROR waits for its end, VERIFY REPORT shows it.",
    )
    .examples(&["verify 1", "verify $con remirror checksum"]),
    command(Mirror, "VERIFY STOP|PAUSE|RESUME <con_id>", ADMIN, "X", "Stops, pauses or resumes a verification.")
        .details("A stopped run's log still gets its totals and end marker.")
        .examples(&["verify stop 1"]),
    command(Mirror, "VERIFY REPORT <con_id>", MONITOR, "X", "Shows the last verification's totals and differing files.")
        .examples(&["verify report 1"]),
    command(
        Mirror,
        "SCHEDULE VERIFY <con_id> [STARTTIME = {NOW | <mm/dd/yy> <hh:mm>}] [EVERY <n> <units>] [REMIRROR] [NEWER] [CHECKSUM]",
        ADMIN,
        "G",
        "Verifies a connection at set times.",
    )
    .examples(&["schedule verify 1 starttime = now every 1 days remirror", "schedule verify 1 starttime=11/30/26 22:30"]),
    command(Mirror, "SCHEDULE VERIFY <con_id> CLEAR", ADMIN, "G", "Ends scheduled verification.")
        .examples(&["schedule verify 1 clear"]),
    command(
        Mirror,
        "ORPHANS START|STOP|PAUSE|RESUME|PREVIEW <con_id>",
        ADMIN,
        "R, PAUSE X",
        "Removes or lists files that are on the target only.",
    )
    .details("Off by default, one switch per target; never outside the connection's target paths.")
    .examples(&["orphans preview 1"]),
];
