//! Options (`settings.tsv`).

use super::{ADMIN, Command, MONITOR, command};
use crate::api::{ApiError, Reply, Request, SettingValue};
use crate::commands::Family::Options;
use crate::commands::output::text;
use crate::commands::session::unexpected;
use crate::commands::{Args, Outcome, Output, Session, Table};

pub(super) const COMMANDS: &[Command] = &[
    command(Options, "GET <option>", MONITOR, "G (the names GET, SET), others R", "Prints an option as `Option = value`.")
        .details("Returns 1; the value in a script: `option(\"Name\")`.")
        .examples(&["get ChecksumAll"])
    .run(get),
    command(
        Options,
        "GETDEFAULT <option>",
        MONITOR,
        "G (the names GET, SET), others R",
        "Prints an option's default as `Option = value`.",
    )
    .examples(&["getdefault MirrorChunkSize"])
    .run(get_default),
    command(Options, "SET <option> = <value>", ADMIN, "G (the names GET, SET), others R", "Changes an option.")
        .details(
            "Type and range are checked before anything changes. A list is one quoted value. A message says when a \
             restart is needed. Kept in `DT.conf`. The target's options: `ON <target>`.",
        )
        .examples(&["set ChecksumAll = 0", "set MirrorChunkSize = 131072 on beta"])
    .run(set),
    command(
        Options,
        "SETDEFAULT <option>",
        ADMIN,
        "G (the names GET, SET), others R",
        "Gives an option its default again.",
    )
    .examples(&["setdefault ChecksumAll"])
    .run(set_default),
    command(Options, "OPTIONS [<pattern>]", MONITOR, "X", "Lists options: value, default, unit, range, restart, meaning.")
        .details("The pattern may hold * and ?.")
        .examples(&["options", "options Mirror*"])
    .run(options),
];

fn get(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let request = Request::Get { option: args.text("option")? };
    assignment(session.ask(&machine, request)?)
}

fn get_default(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let request = Request::GetDefault { option: args.text("option")? };
    assignment(session.ask(&machine, request)?)
}

fn assignment(reply: Reply) -> Result<Outcome, ApiError> {
    match reply {
        Reply::Setting(SettingValue { name, value, .. }) => {
            Ok(Outcome::show(Output::Assignment { name, value }))
        }
        _ => Err(unexpected()),
    }
}

fn set(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let request = Request::Set { option: args.text("option")?, value: args.text("value")? };
    let reply = session.ask(&machine, request)?;
    changed(session, reply)
}

fn set_default(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let request = Request::SetDefault { option: args.text("option")? };
    let reply = session.ask(&machine, request)?;
    changed(session, reply)
}

/// A changed option prints nothing; messages tell when it takes effect.
fn changed(session: &mut Session, reply: Reply) -> Result<Outcome, ApiError> {
    let Reply::Setting(setting) = reply else { return Err(unexpected()) };
    if let Some(why) = &setting.inert {
        session.ui().message(&format!("{}: {why}", setting.name));
    } else if setting.restart {
        session.ui().message(&format!("{} takes effect after a restart of the service", setting.name));
    }
    Ok(Outcome::done())
}

fn options(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let request = Request::Options { pattern: args.optional("pattern")? };
    let Reply::Settings(rows) = session.ask(&machine, request)? else { return Err(unexpected()) };
    let columns = ["Name", "Value", "Default", "Unit", "Range", "Restart", "Meaning"];
    let mut table = Table::new("Options", &columns);
    for row in rows {
        let cells = [row.name, row.value, row.default, row.unit, row.range, row.restart, row.meaning];
        table.push(cells.map(text));
    }
    Ok(Outcome::show(table))
}
