//! Statistics, logs, mail.

use super::{ADMIN, Command, MONITOR, command, logs};
use crate::api::{ApiError, Reply, Request};
use crate::commands::Family::Statistics;
use crate::commands::session::unexpected;
use crate::commands::{Args, Outcome, Output, Session, each, show};

pub(super) const COMMANDS: &[Command] = &[
    command(Statistics, "STATLOG START|STOP|STATUS", ADMIN, "R", "Starts or stops the statistics file.")
        .details(
            "`statistic.sts` (StatsFileName) in the log directory, read by DTStat. Every StatsWriteInterval minutes a snapshot of all \
             statistics is added if something has happened since; at StatsMaxFileSize the oldest are overwritten. An earlier file is \
             kept as `statistic-old.sts` if SaveStatFile is 1. StatsLoggingOn begins it with the service.",
        )
        .examples(&["statlog start", "statlog status"])
        .run(statlog),
    command(Statistics, "STATISTICS [<con_id>]", MONITOR, "R", "Shows the statistics.")
        .details(
            "All of the machine, in the sections of DTStat; with a connection the 26 columns of its protection monitor, in their order. \
             Counters have grown since the engine began; a mirror sets MirOpsGenerated and MirBytesGenerated back.",
        )
        .examples(&["statistics", "statistics 1"])
        .run(statistics),
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

fn statlog(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let running = args.which(&["START", "STOP"]).map(|step| step == "START");
    match session.ask(&machine, Request::StatisticsLog { running })? {
        Reply::StatisticsLog(log) => Ok(Outcome::show(show::statistics_log(&log))),
        Reply::Done => Ok(Outcome::done()),
        _ => Err(unexpected()),
    }
}

fn statistics(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    if args.value("con_id").is_some() {
        return each::connection(session, args, |session, machine, connection| {
            match session.ask(machine, Request::Columns { connection })? {
                Reply::Columns(columns) => Ok(Outcome::show(show::columns(connection, columns))),
                _ => Err(unexpected()),
            }
        });
    }
    let machine = session.machine(args)?;
    match session.ask(&machine, Request::Statistics)? {
        Reply::Statistics(snapshot) => Ok(Outcome::show(Output::Records(show::statistics(&snapshot)))),
        _ => Err(unexpected()),
    }
}
