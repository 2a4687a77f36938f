//! Statistics, logs, mail.

use super::{ADMIN, Command, MONITOR, command, logs};
use crate::commands::Family::Statistics;

pub(super) const COMMANDS: &[Command] = &[
    command(Statistics, "STATLOG START|STOP|STATUS", ADMIN, "R", "Starts or stops the statistics file.")
        .details("`statistic.sts`, read by DTStat.")
        .examples(&["statlog start"]),
    command(Statistics, "STATISTICS [<con_id>]", MONITOR, "R", "Shows the statistics.").examples(&["statistics", "statistics 1"]),
    command(
        Statistics,
        "LOG [<lines>] [FOLLOW] [TYPE <n>] [INCLUDE <id>[, <id>]...] [EXCLUDE <id>[, <id>]...]",
        MONITOR,
        "X",
        "Shows the log.",
    )
    .details(
        "The last lines, 20 if their number is left out: the eight columns of the `.dtl` log, date, time, process, \
         thread, sequence, type, ID and text. Only those count that are wanted: TYPE 1 is warnings and errors alone, \
         TYPE 2, the default, information too; INCLUDE takes the messages with these IDs alone, EXCLUDE leaves some \
         out, each an ID or a range `4000-4010`. FOLLOW goes on with each new line until it is interrupted.",
    )
    .examples(&["log", "log 50 follow", "log 100 include 4000-4010, 200 type 2", "log type 1 exclude 4065"])
    .run(logs::log),
    command(Statistics, "LOG WRITE <text>", ADMIN, "X", "Writes a line to the log.")
        .details("As event 4013, so that it reaches whoever hears events. At most 1,024 characters.")
        .examples(&["log write \"nightly run begins\""])
        .run(logs::write),
    command(Statistics, "EMAIL ENABLE|DISABLE", ADMIN, "G", "Turns mail on or off.").examples(&["email enable"]),
    command(
        Statistics,
        "EMAIL SET {SERVER|USER|PASSWORDFILE|FROM|PREFIX|DESCRIPTION|TYPES|EXCLUDE = <value>}...",
        ADMIN,
        "G",
        "Says how mail is sent.",
    )
    .details(
        "SERVER is an address, TYPES a quoted list of information, warning, error. One message is sent for each group \
         of failures.",
    )
    .examples(&["email set server = mail.example.org:25 from = dt@example.org types = \"warning, error\""]),
    command(
        Statistics,
        "EMAIL ADD|REMOVE <mail_address>[, <mail_address>]...",
        ADMIN,
        "G",
        "Adds or removes receivers of mail.",
    )
    .examples(&["email add a@example.org, b@example.org"]),
    command(Statistics, "EMAIL LIST", ADMIN, "G", "Shows how mail is sent and to whom.").examples(&["email list"]),
    command(
        Statistics,
        "EMAIL TEST [TO <mail_address>[, <mail_address>]...] [TEXT <text>]",
        ADMIN,
        "G",
        "Sends a test message.",
    )
    .examples(&["email test", "email test text \"hello\" to a@example.org"]),
];
