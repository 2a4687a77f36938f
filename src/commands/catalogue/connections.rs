//! Connections (CNX, JOB).

use super::far;
use super::mirror::mirror_kind;
use super::{ADMIN, Command, MONITOR, command};
use crate::api::{ApiError, Code, ConnectSpec, ConnectTarget, MapSpec, MirrorSpec, Reply, Request};
use crate::commands::Family::Connections as Links;
use crate::commands::args::as_typed;
use crate::commands::session::unexpected;
use crate::commands::{Arg, Args, Connections, Outcome, Output, Record, Session, dry_run, each, show};

pub(super) const COMMANDS: &[Command] = &[
    command(
        Links,
        "CONNECT <repset> TO <target> <flags>",
        ADMIN,
        "S (MAP EXACT, MAP a TO b), others R",
        "Connects a set to a target, starts its mirror and replicates.",
    )
    .details(
        "Returns the connection ID. MAP says where the data comes to lie: EXACT under the same paths, BASE below one \
         directory, or pairs of source and target path; without MAP it is BASE /<source>/<repset>/<volume> under the \
         target's data root. A full mirror starts unless NOMIRROR or other flags say otherwise; with NEWER or CHECKSUM \
         alone it is a difference mirror. Changes are captured from before the mirror on and follow it to the target, \
         unless NOREPLICATE is given. DRYRUN names each file that the mirror would send with the reason and connects nothing. The set must be \
         saved (-144); a target path inside the set's own data and a place another set is connected to are refused.",
    )
    .examples(&[
        "connect payroll to beta map exact",
        "connect payroll to localhost map base /backup mirror different checksum",
        "connect payroll to beta map /srv/a to /copy/a, /srv/b to /copy/b nomirror noreplicate",
        "$con = connect payroll to beta dryrun map exact",
    ])
    .run(connect),
    command(
        Links,
        "CONNECT <repset> TO TDU [<filename>] <flags>",
        ADMIN,
        "D",
        "Connects a set to the null target.",
    )
    .details(
        "Nothing is sent and all that a mirror would send is counted, as a rehearsal; REPLICATE is refused (-161). The counts go to the file, `statistic.sts` without one. A \
         machine of that name is quoted: `connect payroll to \"tdu\"`.",
    )
    .examples(&["connect payroll to tdu", "connect payroll to tdu \"rehearsal.sts\" mirror"])
    .run(connect),
    command(
        Links,
        "DISCONNECT <con_id> [DISCARD] [KEEPMONITOR | STOPMONITOR]",
        ADMIN,
        "R, monitor X",
        "Ends a connection.",
    )
    .details(
        "What is queued is sent first; DISCARD drops it. A failover monitor goes on unless STOPMONITOR ends it. In the \
         interactive shell it asks before.",
    )
    .examples(&["disconnect 1", "disconnect *", "disconnect $con discard"])
    .run(disconnect),
    command(Links, "STATUS CONnection <con_id>", MONITOR, "S", "Shows one connection.")
        .details(
            "Ten lines that scripts may rely on. When files have failed, two more tell their number and the newest \
             failure. When replication waits for a person, the last line says why, and the command to go on.",
        )
        .examples(&["status con 1", "status connection $con", "status con *"])
    .run(status_connection),
    command(Links, "STATUS", MONITOR, "R", "Lists all connections of the current source.")
        .details(
            "ID, set, target, transmit mode, mirror and replication status, target data state, bytes queued and sent. \
             Below the table stands why a connection waits for a person, and the command to go on.",
        )
        .examples(&["status"])
    .run(status),
    command(
        Links,
        "STATUS SOURCE|TARGET [<machine>]",
        MONITOR,
        "R",
        "Shows a machine's source or target module.",
    )
    .details("SOURCE tells for each file system of a connection how changes are captured. Without a machine the current source, or the current target (-131 if there is none).")
    .examples(&["status source", "status target beta"])
    .run(status_module),
    command(Links, "CONID <repset> [TO <target>]", MONITOR, "R", "Returns the connection ID of a set.")
        .details("-107 if it is not connected, -101 if it is connected several times and no target decides.")
        .examples(&["$con = conid payroll", "conid payroll to beta"])
    .run(conid),
    command(Links, "EXPLAIN <path> [CON <con_id>]", MONITOR, "X", "Tells one file's story.")
        .details("In which set it is or why not, whether it is on the target, what is pending, and its last error.")
        .examples(&["explain /srv/data/a.txt", "explain \"/srv/data/a b.txt\" con 1"])
    .run(explain),
    command(Links, "PAUSE TARGET <target>", ADMIN, "R", "Pauses all connections to a target.")
        .details(
            "Nothing more is sent to that target's address, so that it can be backed up. It is Pause Pending while operations in \
             progress complete, and Paused when the command returns; changes are queued meanwhile. It stays so over restarts.",
        )
        .examples(&["pause target beta"])
        .run(pause_target),
    command(Links, "RESUME TARGET <target>", ADMIN, "R", "Resumes all connections to a target.")
        .examples(&["resume target beta"])
        .run(pause_target),
];

fn connect(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let target = match args.has("TDU") {
        true => ConnectTarget::Tdu { file: args.optional("filename")? },
        false => ConnectTarget::Machine(args.text("target")?),
    };
    let calculate = switch(args, "CALCULATE", "NOCALCULATE");
    let orphans = switch(args, "ORPHANS", "NOORPHANS");
    let dry_run = args.has("DRYRUN");
    let mirror = (!args.has("NOMIRROR")).then(|| MirrorSpec {
        kind: mirror_kind(args),
        newer: args.has("NEWER"),
        checksum: args.has("CHECKSUM"),
        calculate: calculate == Some(true),
        orphans: orphans == Some(true),
        clean: false,
        dry_run,
    });
    let spec = ConnectSpec {
        repset: args.repset()?,
        target,
        map: map(args)?,
        mirror,
        replicate: switch(args, "REPLICATE", "NOREPLICATE"),
        calculate,
        orphans,
        route: args.address()?,
        compress: args
            .value("level")
            .map(|_| args.number("level"))
            .transpose()?
            .map(|level| level.to_string()),
        dry_run,
    };
    let machine = session.machine(args)?;
    far::with_grant(session, &machine, spec, |session, spec| {
        if dry_run {
            return dry_run::ask(session, &machine, Request::Connect(spec));
        }
        match session.ask(&machine, Request::Connect(spec))? {
            Reply::Connected(id) => Ok(Outcome::value(i64::from(id.0))),
            _ => Err(unexpected()),
        }
    })
}

fn switch(args: &Args, on: &str, off: &str) -> Option<bool> {
    if args.has(on) { Some(true) } else { args.has(off).then_some(false) }
}

/// The pieces of `<map>`.
fn map(args: &Args) -> Result<MapSpec, ApiError> {
    if args.has("EXACT") {
        return Ok(MapSpec::Exact);
    }
    if let Some(base) = args.text_after("BASE")? {
        return Ok(MapSpec::Base(base));
    }
    let paths: Result<Vec<String>, ApiError> =
        args.values("path").map(|value| as_typed(value, "path")).collect();
    let paths = paths?;
    if paths.is_empty() {
        return Ok(MapSpec::Default);
    }
    Ok(MapSpec::Pairs(paths.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()))
}

fn disconnect(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    if let Some(word) = args.which(&["KEEPMONITOR", "STOPMONITOR"]) {
        return Err(ApiError::new(
            Code::OperationOrCommandIsNotSupported,
            format!("{word}: failover monitors are not yet available in this version"),
        )
        .help("leave the word out"));
    }
    let discard = args.has("DISCARD");
    let typed = args.text("con_id")?;
    if session.ui().interactive() {
        let what = match args.connections()? {
            Connections::One(id) => format!("connection {id}"),
            Connections::All => "all connections".to_owned(),
        };
        let question = match discard {
            true => format!("Disconnect {what} and drop what is queued?"),
            false => format!("Disconnect {what}?"),
        };
        if session.ui().confirm(&question) == Some(false) {
            return Err(ApiError::new(Code::UnknownError, format!("{what} is still there, as answered"))
                .help(format!("answer yes, or run DISCONNECT {typed} from a script, which does not ask")));
        }
    }
    each::connection(session, args, |session, machine, connection| {
        session.order(machine, Request::Disconnect { connection, discard })
    })
}

fn status_connection(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    match args.connections()? {
        Connections::One(connection) => match session.ask(&machine, Request::Status { connection })? {
            Reply::Connection(status) => Ok(Outcome::show(show::connection(&status))),
            _ => Err(unexpected()),
        },
        Connections::All => match session.ask(&machine, Request::StatusAll)? {
            Reply::Connections(all) => {
                Ok(Outcome::show(Output::Records(all.iter().map(show::connection).collect())))
            }
            _ => Err(unexpected()),
        },
    }
}

fn pause_target(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let paused = args.has("PAUSE");
    session.order(&machine, Request::PauseTarget { target: args.text("target")?, paused })
}

fn status(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    match session.ask(&machine, Request::StatusAll)? {
        Reply::Connections(all) => Ok(Outcome::show(show::connections(&all))),
        _ => Err(unexpected()),
    }
}

fn status_module(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let source = args.has("SOURCE");
    let named = args.items.iter().any(|item| matches!(item, Arg::Keyword("ON")));
    let machine = match args.value("machine") {
        Some(_) if named => session.machine(args)?,
        Some(value) => session.open(&as_typed(value, "machine")?)?,
        None if source => session.source_machine()?,
        None => session.target_machine()?,
    };
    let request = if source { Request::StatusSource } else { Request::StatusTarget };
    match session.ask(&machine, request)? {
        Reply::Source(rows) | Reply::Target(rows) => {
            let module = if source { "source" } else { "target" };
            let title = format!("Status for {module} {}", machine.name());
            Ok(Outcome::show(labelled(Record::new(title), rows)))
        }
        _ => Err(unexpected()),
    }
}

/// Rows of a machine's own labels.
fn labelled(mut record: Record, rows: Vec<(String, String)>) -> Record {
    for (label, value) in rows {
        record = record.text(label, value);
    }
    record
}

fn conid(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let request = Request::ConnectionIdOf { repset: args.repset()?, target: args.optional("target")? };
    match session.ask(&machine, request)? {
        Reply::Connected(id) => {
            let number = u64::from(id.0);
            // A script takes the value; a person has to see it.
            let output = match session.ui().interactive() {
                true => Output::Record(Record::plain().number("Connection ID", number)),
                false => Output::Nothing,
            };
            Ok(Outcome { value: i64::from(id.0), output })
        }
        _ => Err(unexpected()),
    }
}

fn explain(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let connection = match args.value("con_id") {
        None => None,
        Some(_) => match args.connections()? {
            Connections::One(id) => Some(id),
            Connections::All => None,
        },
    };
    let machine = session.machine(args)?;
    let path = session.resolve(&args.path()?);
    match session.ask(&machine, Request::Explain { path, connection })? {
        Reply::Explanation(rows) => Ok(Outcome::show(labelled(Record::plain(), rows))),
        _ => Err(unexpected()),
    }
}
