//! Replication sets (RST-01 to RST-21).

use super::{ADMIN, Command, MONITOR, command};
use crate::api::{ApiError, Reply, Request, Rule};
use crate::commands::Family::Sets;
use crate::commands::session::unexpected;
use crate::commands::{Args, Outcome, Record, Session, files, show};
use std::path::Path;

pub(super) const COMMANDS: &[Command] = &[
    command(Sets, "REPSET CREATE <repset>", ADMIN, "S", "Makes a replication set.")
        .details(
            "It has no rules yet and is not saved until REPSET SAVE. A name must not hold . ? < > : \" \\ / * or |.",
        )
        .examples(&["repset create payroll"])
    .run(create),
    command(
        Sets,
        "REPSET RULE ADD <path> INClude|EXClude [[,] RECursive|NONRECursive] TO <repset>",
        ADMIN,
        "S, recursion R",
        "Adds a rule to a set.",
    )
    .details(
        "The path is absolute and may hold the wildcards * and ?; it need not exist; 259 characters at most. A rule is \
         recursive unless NONRECURSIVE says that it leaves out subdirectories. It is in force after REPSET SAVE. A \
         recursive rule makes others of its kind below it superfluous; an EXCLUDE below an INCLUDE leaves out that part.",
    )
    .examples(&[
        "repset rule add /srv/data include to payroll",
        "repset rule add \"/srv/data/*.tmp\" exc, rec to payroll",
        "repset rule add $dir inc nonrec to payroll",
    ])
    .run(rule_add),
    command(Sets, "REPSET RULE REMOVE <path> FROM <repset>", ADMIN, "R", "Takes a rule out of a set.")
        .details("The path is that of the rule, as REPSET RULE LIST prints it.")
        .examples(&["repset rule remove /srv/data/old from payroll"])
    .run(rule_remove),
    command(Sets, "REPSET RULE LIST <repset>", MONITOR, "R", "Lists a set's rules.")
        .details("Each as `path inc, rec`.")
        .examples(&["repset rule list payroll"])
    .run(rule_list),
    command(Sets, "REPSET DEVICE ADD <device> TO <repset>", ADMIN, "G", "Adds a block device to a set.")
        .examples(&["repset device add /dev/loop7 to payroll"]),
    command(Sets, "REPSET DEVICE REMOVE <device> FROM <repset>", ADMIN, "G", "Takes a block device out of a set.")
        .examples(&["repset device remove /dev/loop7 from payroll"]),
    command(Sets, "REPSET DEVICE LIST [ALL]", ADMIN, "G", "Lists block devices configured for replication.")
        .details("ALL lists every device that could be.")
        .examples(&["repset device list", "repset device list all"]),
    command(Sets, "REPSET SAVE [<repset>]", ADMIN, "S, name R", "Saves a set's changes.")
        .details(
            "Without a name all sets are saved. Each save counts up the set's generation number; a set that somebody \
             else saved in the meantime is refused. A set that is connected needs a difference mirror then, and a \
             warning says so.",
        )
        .examples(&["repset save", "repset save payroll"])
    .run(save),
    command(Sets, "REPSET LIST", MONITOR, "S", "Lists the sets.")
        .details("Each with `enabled` if it is connected, else `disabled`.")
        .examples(&["repset list"])
    .run(list),
    command(Sets, "REPSET DISPLAY <repset>", MONITOR, "R", "Shows a set: rules, generation, size, connections.")
        .examples(&["repset display payroll"])
    .run(display),
    command(Sets, "REPSET CALCulate <repset>", MONITOR, "R", "Measures a set: files, directories, bytes.")
        .details("The size is that of the moment; with it a mirror's progress is known in percent.")
        .examples(&["repset calculate payroll", "repset calc payroll"])
    .run(calculate),
    command(Sets, "REPSET RENAME <repset> TO <name>", ADMIN, "R", "Gives a set another name.")
        .details("Always renames, whether the set is saved or not (the original copied a saved set).")
        .examples(&["repset rename payroll to wages"])
    .run(rename),
    command(Sets, "REPSET COPY <repset> TO <name>", ADMIN, "R", "Copies a set under another name.")
        .examples(&["repset copy payroll to wages"])
    .run(copy),
    command(Sets, "REPSET DELETE <repset>", ADMIN, "R", "Deletes a set.")
        .details("Only when it is not connected (-130).")
        .examples(&["repset delete payroll"])
    .run(delete),
    command(Sets, "REPSET RESYNC <repset>", ADMIN, "R", "Drops a set's unsaved changes.").examples(&["repset resync payroll"])
    .run(resync),
    command(Sets, "REPSET EXPORT <repset> TO <file>", ADMIN, "G", "Writes a set to a file.")
        .details(
            "Text, one rule a line. The file is written where this client runs, whole or not at all; a file that \
             exists is not overwritten.",
        )
        .examples(&["repset export payroll to \"/tmp/payroll.set\""])
    .run(export),
    command(Sets, "REPSET IMPORT <file> [AS <name>]", ADMIN, "G", "Reads a set from a file.")
        .details("The file is one that REPSET EXPORT wrote, where this client runs. The set arrives unsaved.")
        .examples(&["repset import \"/tmp/payroll.set\"", "repset import \"/tmp/payroll.set\" as wages"])
    .run(import),
    command(Sets, "REPSET TEST <path> IN <repset>", MONITOR, "X", "Says whether a path belongs to a set and why.")
        .examples(&["repset test /srv/data/old/a.txt in payroll"])
    .run(test),
];

fn create(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    session.order(&machine, Request::RepsetCreate { repset: args.repset()? })
}

fn rule_add(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let rule = Rule {
        path: session.resolve(&args.path()?),
        include: args.has("INCLUDE"),
        recursive: !args.has("NONRECURSIVE"),
    };
    session.order(&machine, Request::RuleAdd { repset: args.repset()?, rule })
}

fn rule_remove(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let path = session.resolve(&args.path()?);
    session.order(&machine, Request::RuleRemove { repset: args.repset()?, path })
}

fn rule_list(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let repset = args.repset()?;
    match session.ask(&machine, Request::RuleList { repset: repset.clone() })? {
        Reply::Rules(rules) => Ok(Outcome::show(show::rules(&repset, &rules))),
        _ => Err(unexpected()),
    }
}

fn save(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let request = Request::RepsetSave { repset: args.optional("repset")? };
    let Reply::Saved(saved) = session.ask(&machine, request)? else { return Err(unexpected()) };
    for warning in &saved.warnings {
        session.ui().message(&format!("warning: {warning}"));
    }
    for set in &saved.connected {
        let advice = format!(
            "warning: {set} is connected: run MIRROR START <con_id> DIFFERENT to bring its target up to date"
        );
        session.ui().message(&advice);
    }
    Ok(Outcome::done())
}

fn list(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    match session.ask(&machine, Request::RepsetList)? {
        Reply::Repsets(sets) => Ok(Outcome::show(show::repset_list(&sets))),
        _ => Err(unexpected()),
    }
}

fn display(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    match session.ask(&machine, Request::RepsetDisplay { repset: args.repset()? })? {
        Reply::Repset(detail) => Ok(Outcome::show(show::repset(&detail))),
        _ => Err(unexpected()),
    }
}

fn calculate(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let repset = args.repset()?;
    match session.ask(&machine, Request::RepsetCalculate { repset: repset.clone() })? {
        Reply::Size(size) => Ok(Outcome::show(show::size(&repset, &size))),
        _ => Err(unexpected()),
    }
}

fn rename(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    session.order(&machine, Request::RepsetRename { repset: args.repset()?, name: args.text("name")? })
}

fn copy(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    session.order(&machine, Request::RepsetCopy { repset: args.repset()?, name: args.text("name")? })
}

fn delete(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    session.order(&machine, Request::RepsetDelete { repset: args.repset()? })
}

fn resync(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    session.order(&machine, Request::RepsetResync { repset: args.repset()? })
}

/// The machine gives the text, the client writes the file.
fn export(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let file = args.text("file")?;
    match session.ask(&machine, Request::RepsetExport { repset: args.repset()? })? {
        Reply::Text(text) if session.only_rehearses() => session.keep_file(&file, text)?,
        Reply::Text(text) => files::write_new(Path::new(&file), text.as_bytes())?,
        _ => return Err(unexpected()),
    }
    Ok(Outcome::done())
}

fn import(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let file = args.text("file")?;
    let text = match session.kept_file(&file) {
        Some(text) => text,
        None => files::read_text(Path::new(&file))?,
    };
    session.order(&machine, Request::RepsetImport { text, name: args.optional("name")? })
}

fn test(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    let path = session.resolve(&args.path()?);
    let request = Request::RepsetTest { path: path.clone(), repset: args.repset()? };
    let Reply::Belongs(answer) = session.ask(&machine, request)? else { return Err(unexpected()) };
    let mut record = Record::plain()
        .text("Path", path)
        .text("Belongs", if answer.belongs { "yes" } else { "no" })
        .text("Rule", answer.rule.as_ref().map_or_else(|| "none".to_owned(), show::rule));
    if let Some(reason) = answer.reason {
        record = record.text("Reason", reason);
    }
    Ok(Outcome::show(record))
}
