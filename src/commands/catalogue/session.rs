//! Machines and the session.

use super::{ADMIN, Command, MONITOR, NONE, Verb, command};
use crate::api::{Access, ApiError, Code, Reply, Request};
use crate::commands::Family::Session as Here;
use crate::commands::output::{number, text};
use crate::commands::session::{join, own_user, unexpected};
use crate::commands::slots::FIELD;
use crate::commands::{Args, Column, Mode, Outcome, Output, Record, Session, Table, files, help, show};
use std::path::Path;

pub(super) const COMMANDS: &[Command] = &[
    command(
        Here,
        "LOGIN|LOGON <machine> <user> [<password> [<domain>]]",
        NONE,
        "S, domain R",
        "Logs in to a machine and prints the access level.",
    )
    .details(
        "Returns 0 for no access (a failure: exit status 3), 1 for monitor access, 2 for full access. Without a \
         password (X) it is read from the first line of the file that the environment variable DTCL_PASSWORD_FILE \
         names, or asked for on a terminal. A password is refused where other users can list it: in the arguments of \
         `DTCL login ...` and `DTCL -c`. User, password and domain have at most 100 characters each. A machine that is \
         used without LOGIN is tried with the caller's own identity.",
    )
    .examples(&["login alpha admin", "login alpha admin \"a secret\"", "logon 192.0.2.7:1500 admin $password CORP"])
    .run(login),
    command(Here, "LOGOUT <machine>|*", NONE, "R", "Logs out of a machine.")
        .details("`*` logs out of all machines and forgets their credentials.")
        .examples(&["logout alpha", "logout *"])
    .run(logout),
    command(Here, "SOURCE <machine>", NONE, "S", "Makes a machine the current source.")
        .details(
            "Commands act on the current source; until SOURCE names one that is localhost. Prints nothing; a name that \
             cannot be resolved is an error at once (-109).",
        )
        .examples(&["source alpha", "source 192.0.2.7:1500"])
    .run(source),
    command(Here, "TARGET <machine>", NONE, "S", "Makes a machine the current target.")
        .details("The current target is what commands marked *target* act on. Without one they fail with -131.")
        .examples(&["target beta"])
    .run(target),
    command(Here, "SERVERS", NONE, "R", "Lists the known machines.")
        .details(
            "Name, address, role, version, how it was discovered and the access granted. Known are this machine, those \
             that this session used and those of SERVER ADD.",
        )
        .examples(&["servers"])
    .run(servers),
    command(Here, "SERVER <machine>", NONE, "R", "Shows one machine.").examples(&["server alpha"])
    .run(server),
    command(Here, "SERVER ADD|REMOVE <machine>", NONE, "X", "Puts a machine on the list of SERVERS or takes it off.")
        .details("The list is the session's own; a script that needs it names its machines at its beginning.")
        .examples(&["server add beta:1500", "server remove beta:1500"])
    .run(server_list),
    command(Here, "PING <machine>", NONE, "D", "Asks whether the product runs on a machine.")
        .details("Needs no login. Silent on success (X); -109 when the name is not known, -110 when nothing answers.")
        .examples(&["ping beta"])
    .run(ping),
    command(Here, "VERSION [<machine>]", NONE, "R", "Prints a machine's product and version.")
        .examples(&["version", "version beta"])
    .run(version),
    command(Here, "ENVIRONMENT", NONE, "R", "Prints what this session works with.").examples(&["environment"])
    .run(environment),
    command(Here, "DATE", NONE, "R", "Prints today's date.")
        .details("In expressions use `$date` or `date(\"1/2/27\")`.")
        .examples(&["date"])
    .run(date),
    command(Here, "TIME", NONE, "R", "Prints the time of day.")
        .details("In expressions use `$time` or `now()`.")
        .examples(&["time"])
    .run(time),
    command(Here, "LOAD|UNLOAD SOURCE|TARGET [ON <machine>]", ADMIN, "R", "Loads or unloads the source or target module.")
        .details("`LoadSourceTarget` says what is loaded at start. Without a module its commands fail with -103 or -105.")
        .examples(&["unload target on beta", "load source"]),
    command(Here, "SHUTDOWN [<machine>]", ADMIN, "R", "Stops the service in good order.")
        .details("The service ends its sessions, this one too. An engine inside this program has no service to stop (-161).")
        .examples(&["shutdown beta"])
    .run(shutdown),
    command(Here, "CHDIR <path>", MONITOR, "R", "Changes the directory that DIR lists.")
        .details(
            "A directory of the current source, `/` at first; SOURCE sets it back. Relative paths of DIR, REPSET RULE, \
             REPSET TEST and EXPLAIN begin there once CHDIR was used.",
        )
        .examples(&["chdir /srv", "chdir .."])
    .run(chdir),
    command(Here, "DIR [<path>]", MONITOR, "R", "Lists a directory of the current source.")
        .examples(&["dir", "dir /srv/data"])
    .run(dir),
    command(Here, "PWD", MONITOR, "R", "Prints the directory of CHDIR.").examples(&["pwd"])
    .run(pwd),
    command(Here, "HELP [<words>]", NONE, "G", "Prints help about a command, a family, an option or a topic.")
        .examples(&["help", "help mirror start", "help ChecksumAll", "help quoting"])
    .run(help_page),
    command(Here, "EXIT [<n>]", NONE, "G", "Ends the script or the shell.")
        .details(
            "With a number from 0 to 255 that is the exit status, else 0. Warns when a replication set is not saved.",
        )
        .examples(&["exit", "exit 3"])
        .verb(Verb::Exit),
    command(Here, "QUIT", NONE, "G", "Ends the script or the shell.").examples(&["quit"]).verb(Verb::Exit),
    command(Here, "HISTORY", NONE, "X", "Lists the statements typed so far.").examples(&["history"])
    .run(history),
    command(Here, "WATCH <seconds> <command>", NONE, "X", "Runs a command again and again until Ctrl-C.")
        .details("Ends with the command's first failure, whose value is WATCH's own.")
        .examples(&["watch 2 status con 1"])
        .verb(Verb::Watch),
    command(Here, "TIMING ON|OFF", NONE, "X", "Says how long each command took.")
        .details("On standard error.")
        .examples(&["timing on"])
    .run(timing),
    command(Here, "OUTPUT TEXT|JSON|CSV", NONE, "X", "Chooses the form of the output.")
        .details(
            "JSON is one document per command and line: its name, its value, and what it shows with the labels in \
             lower case and `_` for blanks. CSV has a heading line.",
        )
        .examples(&["output json"])
    .run(output),
    command(Here, "SPOOL <file>|OFF", NONE, "X", "Writes all further output to a file too.")
        .details("What the file already holds stays; new output goes behind it.")
        .examples(&["spool \"/tmp/session.log\"", "spool off"])
    .run(spool),
];

fn login(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let name = args.text("machine")?;
    let user = field(args.text("user")?, "user name")?;
    let written = args.optional("password")?;
    if written.is_some() && session.exposed() {
        return Err(invalid("a password among a program's arguments can be read by every user of this host")
            .help("put it into a file and name that in DTCL_PASSWORD_FILE, or use a script (-f) or the shell (-i)"));
    }
    let password = match written {
        Some(password) => Some(password),
        None => password_of(session, &name, &user)?,
    };
    let password = password.map(|password| field(password, "password")).transpose()?;
    let domain = args.optional("domain")?.map(|domain| field(domain, "domain")).transpose()?;
    let machine = session.open(&name)?;
    let access = match session.ask(&machine, Request::Login { user, password, domain }) {
        Ok(Reply::Access(access)) => access,
        Ok(_) => return Err(unexpected()),
        Err(error) if error.code == Code::InsufficientSecurityAccess => Access::None,
        Err(error) => return Err(error),
    };
    session.set_access(&machine, Some(access));
    let output = Output::Text(format!("User access level set to {}\n", access.product_name()));
    Ok(Outcome { value: access as i64, output })
}

/// From the file that DTCL_PASSWORD_FILE names, else from the person, else none.
fn password_of(session: &mut Session, machine: &str, user: &str) -> Result<Option<String>, ApiError> {
    if let Some(file) = std::env::var_os("DTCL_PASSWORD_FILE") {
        let text = files::read_text(Path::new(&file))?;
        return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
    }
    Ok(session.ui().password(&format!("Password of {user} on {machine}: ")))
}

fn field(text: String, what: &str) -> Result<String, ApiError> {
    if text.chars().count() <= FIELD {
        return Ok(text);
    }
    Err(invalid(&format!("the {what} is too long")).help(format!("at most {FIELD} characters")))
}

fn logout(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machines = match args.value("machine") {
        Some(_) => {
            let name = args.text("machine")?;
            vec![session.open(&name)?]
        }
        None => {
            let names: Vec<String> = session.used().into_iter().map(|(name, _)| name).collect();
            names.iter().map(|name| session.open(name)).collect::<Result<Vec<_>, _>>()?
        }
    };
    for machine in machines {
        session.ask(&machine, Request::Logout)?;
        // Not None: it would be tried with the caller's own identity again.
        session.set_access(&machine, Some(Access::None));
    }
    Ok(Outcome::done())
}

fn source(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    session.set_source(&args.text("machine")?)?;
    Ok(Outcome::done())
}

fn target(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    session.set_target(&args.text("machine")?)?;
    Ok(Outcome::done())
}

const SERVER_COLUMNS: [&str; 6] = ["Name", "Address", "Role", "Version", "Discovered", "Access"];

fn servers(session: &mut Session, _: &Args) -> Result<Outcome, ApiError> {
    let mut names = vec![session.local()];
    let used = session.used().into_iter().map(|(name, _)| name);
    for name in used.chain(session.servers.clone()) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(&name))
            && !name.eq_ignore_ascii_case("localhost")
        {
            names.push(name);
        }
    }
    let mut table = Table::new("Servers", &SERVER_COLUMNS);
    for name in names {
        table.push(server_row(session, &name).map(text));
    }
    Ok(Outcome::show(table))
}

fn server(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let name = args.text("machine")?;
    // A name that is unknown is an error here, not a line of a list.
    session.open(&name)?;
    let cells = server_row(session, &name);
    let mut record = Record::new(format!("Server {name}"));
    for (label, value) in SERVER_COLUMNS.into_iter().zip(cells) {
        record = record.text(label, value);
    }
    Ok(Outcome::show(record))
}

/// Name, address, role, version, how discovered, access.
fn server_row(session: &mut Session, name: &str) -> [String; 6] {
    let local = name.eq_ignore_ascii_case("localhost") || name.eq_ignore_ascii_case(&session.local());
    let machine = session.open(if local { "localhost" } else { name });
    let version = machine.and_then(|machine| {
        let version = session.ask(&machine, Request::Version)?;
        let access = session.used().into_iter().find(|(used, _)| used.eq_ignore_ascii_case(machine.name()));
        Ok((version, access.and_then(|(_, access)| access)))
    });
    let (address, role, version, access) = match version {
        Ok((Reply::Version(version), access)) => (
            version.addresses.first().cloned().unwrap_or_default(),
            "Source, Target".to_owned(),
            version.version,
            access.map_or("Not logged in", Access::label).to_owned(),
        ),
        Ok(_) => (String::new(), String::new(), String::new(), String::new()),
        Err(error) => (String::new(), String::new(), String::new(), error.code.meaning().to_owned()),
    };
    // The discovery methods of the console (availability.md 29.1), and this machine.
    let discovered = if local { "Local" } else { "Manual" };
    [name.to_owned(), address, role, version, discovered.to_owned(), access]
}

fn server_list(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let name = args.text("machine")?;
    let known = session.servers.iter().position(|known| known.eq_ignore_ascii_case(&name));
    if args.has("ADD") {
        session.open(&name)?;
        if known.is_none() {
            session.servers.push(name);
        }
        return Ok(Outcome::done());
    }
    match known {
        Some(index) => {
            session.servers.remove(index);
            Ok(Outcome::done())
        }
        None => Err(invalid(&format!("{name} was not added")).help("SERVERS lists the known machines")),
    }
}

fn ping(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.open(&args.text("machine")?)?;
    session.order(&machine, Request::Ping)
}

fn shutdown(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = match args.optional("machine")? {
        Some(name) => session.open(&name)?,
        None => session.source_machine()?,
    };
    session.order(&machine, Request::Shutdown)
}

fn version(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = match args.optional("machine")? {
        Some(name) => session.open(&name)?,
        None => session.source_machine()?,
    };
    match session.ask(&machine, Request::Version)? {
        Reply::Version(version) => Ok(Outcome::show(show::version(&version))),
        _ => Err(unexpected()),
    }
}

fn environment(session: &mut Session, _: &Args) -> Result<Outcome, ApiError> {
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    let home = std::env::var("DTCL_HOME").unwrap_or_default();
    let spool = session.out.spool.as_ref().map(|(name, _)| name.clone()).unwrap_or_default();
    let record = Record::new("Environment")
        .text("Version", env!("CARGO_PKG_VERSION"))
        .text("Machine", session.local())
        .text("User", own_user())
        .text("Source", or_none(session.source()))
        .text("Target", or_none(session.target()))
        .text("Directory", session.directory.as_deref().unwrap_or("/"))
        .text(
            "Output",
            match session.mode() {
                Mode::Text => "TEXT",
                Mode::Json => "JSON",
                Mode::Csv => "CSV",
            },
        )
        .text("Spool file", or_none(&spool))
        .text("Timing", if session.timing { "ON" } else { "OFF" })
        .text("DTCL_HOME", or_none(&home));
    Ok(Outcome::show(record))
}

fn date(_: &mut Session, _: &Args) -> Result<Outcome, ApiError> {
    Ok(Outcome::text(jiff::Zoned::now().strftime("%m/%d/%Y\n").to_string()))
}

fn time(_: &mut Session, _: &Args) -> Result<Outcome, ApiError> {
    Ok(Outcome::text(jiff::Zoned::now().strftime("%H:%M:%S\n").to_string()))
}

fn chdir(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.source_machine()?;
    let path = join(session.directory.as_deref().unwrap_or("/"), &args.path()?);
    session.ask(&machine, Request::Directory { path: path.clone() })?;
    session.directory = Some(path);
    Ok(Outcome::done())
}

fn dir(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.source_machine()?;
    let here = session.directory.as_deref().unwrap_or("/");
    let path = join(here, &args.optional("path")?.unwrap_or_default());
    let Reply::Directory(entries) = session.ask(&machine, Request::Directory { path: path.clone() })? else {
        return Err(unexpected());
    };
    let mut table = Table::new(format!("Directory of {path}"), &["Kind", "Bytes", "Modified", "Name"]);
    for entry in entries {
        let modified = show::moment_s(entry.modified);
        table.push([text(entry.kind.to_string()), number(entry.size), text(modified), text(entry.name)]);
    }
    Ok(Outcome::show(table))
}

fn pwd(session: &mut Session, _: &Args) -> Result<Outcome, ApiError> {
    Ok(Outcome::text(format!("{}\n", session.directory.as_deref().unwrap_or("/"))))
}

fn history(session: &mut Session, _: &Args) -> Result<Outcome, ApiError> {
    let rows =
        session.history().iter().zip(1..).map(|(statement, index)| vec![number(index), text(&**statement)]);
    Ok(Outcome::show(Table {
        columns: vec![Column { name: "Number", width: 6 }, Column { name: "Statement", width: 1 }],
        rows: rows.collect(),
        ..Table::default()
    }))
}

fn timing(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    session.timing = args.has("ON");
    Ok(Outcome::done())
}

fn output(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    session.set_mode(match args.which(&["JSON", "CSV"]) {
        Some("JSON") => Mode::Json,
        Some(_) => Mode::Csv,
        None => Mode::Text,
    });
    Ok(Outcome::done())
}

fn spool(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let Some(name) = args.optional("file")? else {
        session.out.spool = None;
        return Ok(Outcome::done());
    };
    if session.only_rehearses() {
        return Ok(Outcome::done());
    }
    let file = std::fs::OpenOptions::new().append(true).create(true).open(&name);
    let file = file.map_err(|error| ApiError::new(Code::InvalidPath, format!("{name}: {error}")))?;
    session.out.spool = Some((name, file));
    Ok(Outcome::done())
}

fn help_page(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let topic = args.words("words")?;
    match help::help(&topic) {
        Ok(page) => Ok(Outcome::text(page)),
        Err(unknown) => match help::option(session, &topic) {
            Some(page) => Ok(Outcome::text(page)),
            None => Err(unknown),
        },
    }
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(Code::InvalidParameterWasSupplied, message)
}
