//! Statistics, logs, mail.

use super::{ADMIN, Command, MONITOR, command};
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
    .details("The eight columns of the `.dtl` log. An ID or a range `4000-4010`.")
    .examples(&["log", "log 50 follow", "log 100 include 4000-4010, 200 type 2"]),
    command(Statistics, "LOG WRITE <text>", ADMIN, "X", "Writes a line to the log.").examples(&["log write \"nightly run begins\""]),
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
