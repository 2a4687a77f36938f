//! DTStat: statistics on the screen and in files, from the running service, another machine's, or a file (reference-guide.md 3.2).
//!
//! One loop for all: snapshots come from a source, are selected by time and address, and go to the screen, to a binary file and to tables. A
//! live source is read again and again, and what has not moved since is not shown again; a file ends.

mod args;
mod layout;
mod table;

use super::run;
use crate::api::statistics::Snapshot;
use crate::api::{Access, ApiError, Code, Reply, Request};
use crate::engine::stats::file::{self, BadFile, StatisticsFile};
use crate::machine::Machine;
#[cfg(test)]
pub(super) use args::HELP;
use args::{Options, Wanted};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use table::{Kind, Tables};

/// Who logs in on another machine, where it is not the user of this one.
const USER: &str = "DTCL_USER";
const PASSWORD_FILE: &str = "DTCL_PASSWORD_FILE";

/// A file that DTStat writes is not bounded: it ends when it is ended.
const UNBOUNDED: u64 = u64::MAX / 2;

/// Is it this program by its name, or by its first word? Then what stands behind.
pub(super) fn asked_for(mut args: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let is_name = |word: &OsString| word.to_str().is_some_and(|word| word.eq_ignore_ascii_case("DTStat"));
    let own = args.next()?;
    if Path::new(&own).file_name().map(OsString::from).as_ref().is_some_and(is_name) {
        return Some(args.collect());
    }
    args.next().filter(is_name).map(|_| args.collect())
}

/// Runs it; gives the exit status.
pub(super) fn main(args: Vec<OsString>) -> i32 {
    let options = match args::parse(args) {
        Ok(Wanted::Run(options)) => options,
        Ok(Wanted::Help) => return say_out(args::HELP),
        Ok(Wanted::Version) => return say_out(&format!("DTStat {}\n", env!("CARGO_PKG_VERSION"))),
        Err(wrong) => {
            run::say_failed(&wrong.to_string(), &wrong.help());
            return run::USAGE;
        }
    };
    match show(&options) {
        Ok(()) => 0,
        Err(error) => {
            run::failed(&error);
            match error.code {
                Code::InsufficientSecurityAccess => 3,
                Code::ServerIsNotResponding
                | Code::ServerDoesNotExistOrCouldNotBeLocated
                | Code::StatsServerWasNotStarted => 4,
                _ => 1,
            }
        }
    }
}

fn say_out(text: &str) -> i32 {
    i32::from(std::io::stdout().write_all(text.as_bytes()).is_err())
}

fn show(options: &Options) -> Result<(), ApiError> {
    refuse_one_file_twice(options)?;
    // What is there already is written over only when there is something to write.
    if let Some(path) = &options.from {
        let snapshots = file::read(path).map_err(|error| bad_file(path, &error))?;
        let mut outputs = Outputs::open(options)?;
        for snapshot in snapshots {
            let snapshot = snapshot.map_err(|error| bad_file(path, &error.into()))?;
            if !outputs.take(options, &snapshot)? {
                return Ok(());
            }
        }
        return outputs.end();
    }
    let machine = reach(options)?;
    let mut snapshot = ask(&*machine)?;
    let mut outputs = Outputs::open(options)?;
    loop {
        let is_over = options.stop.is_some_and(|stop| snapshot.at_ms > stop);
        if is_over || !outputs.take(options, &snapshot)? {
            return outputs.end();
        }
        outputs.flush()?;
        std::thread::sleep(options.interval);
        snapshot = ask(&*machine)?;
    }
}

fn ask(machine: &dyn Machine) -> Result<Snapshot, ApiError> {
    match machine.call(Request::Statistics, &mut ())? {
        Reply::Statistics(snapshot) => Ok(*snapshot),
        _ => Err(ApiError::new(Code::UnknownError, "the service's answer is not one to this question")),
    }
}

/// What is read would be written over, or two kinds of output into one file.
fn refuse_one_file_twice(options: &Options) -> Result<(), ApiError> {
    let Options { from, to, connections, targets, .. } = options;
    // One that is not there yet is known by its name alone.
    let real = |path: &std::path::PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let mut named = Vec::new();
    for path in [from, to, connections, targets].into_iter().flatten() {
        let real = real(path);
        if named.contains(&real) {
            let message = format!("{} stands for two files", path.display());
            return Err(ApiError::new(Code::InvalidParameterWasSupplied, message)
                .help("-f, -t, -s and -st each take a file of their own"));
        }
        named.push(real);
    }
    Ok(())
}

/// The running service of this machine, or the one that was named.
fn reach(options: &Options) -> Result<Arc<dyn Machine>, ApiError> {
    let (connector, _) = run::connector(false);
    let Some(address) = &options.server else {
        return connector.service()?.ok_or_else(|| {
            ApiError::new(Code::StatsServerWasNotStarted, "no service runs here")
                .help("DTCL serve starts it; -f <file> reads a statistics file, -Server <address> <port> another machine")
        });
    };
    let machine = connector.open(address)?;
    let user = std::env::var(USER).ok().filter(|user| !user.is_empty());
    let password = match std::env::var_os(PASSWORD_FILE) {
        Some(file) => Some(first_line(Path::new(&file))?),
        None => None,
    };
    let login =
        Request::Login { user: user.unwrap_or_else(crate::commands::own_user), password, domain: None };
    let access = match machine.call(login, &mut ()) {
        Ok(Reply::Access(access)) => access,
        Ok(_) => Access::None,
        Err(error) if error.code == Code::InsufficientSecurityAccess => {
            return Err(error.help(format!(
                "{USER} names a user of {address}, {PASSWORD_FILE} a file with the password"
            )));
        }
        Err(error) => return Err(error),
    };
    if access == Access::None {
        let message = format!("statistics of {address} need {}", Access::Monitor.label());
        return Err(ApiError::new(Code::InsufficientSecurityAccess, message)
            .help(format!("{USER} names a user of that machine, {PASSWORD_FILE} a file with the password")));
    }
    Ok(machine)
}

fn first_line(path: &Path) -> Result<String, ApiError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ApiError::new(
            Code::InvalidParameterWasSupplied,
            format!("{PASSWORD_FILE}: {} cannot be read: {error}", path.display()),
        )
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// 143.
fn bad_file(path: &Path, error: &BadFile) -> ApiError {
    ApiError::new(
        Code::InvalidStatisticsFile,
        format!("{} cannot be used as a statistics file: {error}", path.display()),
    )
    .help("STATLOG START writes one, and so does DTStat -t <file>")
}

/// Where snapshots go.
struct Outputs {
    binary: Option<StatisticsFile>,
    tables: Tables,
    /// What was taken last, as it was selected.
    last: Option<Snapshot>,
}

impl Outputs {
    fn open(options: &Options) -> Result<Outputs, ApiError> {
        let binary = match &options.to {
            Some(path) => {
                Some(StatisticsFile::create(path, UNBOUNDED, false).map_err(|error| bad_file(path, &error))?)
            }
            None => None,
        };
        let mut tables = Tables::default();
        for (path, kind) in [(&options.connections, Kind::Connections), (&options.targets, Kind::Targets)] {
            if let Some(path) = path {
                tables.open(path, kind).map_err(|error| unwritten(path, &error))?;
            }
        }
        Ok(Outputs { binary, tables, last: None })
    }

    /// Shows and keeps a snapshot, if it is one that is wanted and something has moved. False: nobody reads the screen any more.
    fn take(&mut self, options: &Options, snapshot: &Snapshot) -> Result<bool, ApiError> {
        if options.start.is_some_and(|start| snapshot.at_ms < start)
            || options.stop.is_some_and(|stop| snapshot.at_ms > stop)
        {
            return Ok(true);
        }
        let mut selected = snapshot.clone();
        if let Some(addresses) = &options.addresses {
            let wanted = |address: &str| addresses.iter().any(|wanted| wanted == address);
            selected.blocks.retain(|block| block.address().is_none_or(wanted));
        }
        if self.last.as_ref().is_some_and(|last| !selected.moved_since(last)) {
            return Ok(true);
        }
        if let Some(binary) = &mut self.binary {
            binary.add(&selected).map_err(|error| unwritten(binary.path(), &error))?;
        }
        self.tables.add(&selected).map_err(|(path, error)| unwritten(&path, &error))?;
        let shown = options.quiet || print(&layout::text(&selected, options.level))?;
        self.last = Some(selected);
        Ok(shown)
    }

    fn flush(&mut self) -> Result<(), ApiError> {
        self.tables.flush().map_err(|(path, error)| unwritten(&path, &error))
    }

    fn end(mut self) -> Result<(), ApiError> {
        self.flush()
    }
}

/// False: nobody reads it any more.
fn print(text: &str) -> Result<bool, ApiError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(unwritten(Path::new("standard output"), &error)),
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> ApiError {
    ApiError::new(Code::UnknownError, format!("{} cannot be written: {error}", path.display()))
        .help("what was written before is whole")
}

/// Default of -i.
const EACH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_name_of_the_program_and_its_first_word() {
        let asked = |words: &[&str]| asked_for(words.iter().map(OsString::from));
        assert_eq!(asked(&["/usr/local/bin/DTStat", "-p"]), Some(vec!["-p".into()]));
        assert_eq!(asked(&["dtstat"]), Some(vec![]));
        assert_eq!(asked(&["/usr/bin/DTCL", "dtSTAT", "-l", "1"]), Some(vec!["-l".into(), "1".into()]));
        assert_eq!(asked(&["DTCL", "status"]), None);
        assert_eq!(asked(&["DTCL"]), None);
    }
}
