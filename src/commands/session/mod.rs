//! What a handler works with: current machines, access, output, cancellation.
//!
//! Invariant: a request reaches a machine only through [`Session::ask`], which has looked at the catalogue's access
//! column first.

mod asking;
mod leaving;
mod out;
mod rehearsing;
mod vet;

pub use asking::own_user;
pub(super) use asking::unexpected;
pub(super) use out::Out;

use super::{Args, Mode, Outcome, Ui};
use crate::api::{Access, ApiError, Code, Request};
use crate::machine::{Connector, Machine};
use std::sync::Arc;
use std::time::Instant;

/// One client's session.
pub struct Session {
    connector: Arc<dyn Connector>,
    /// In the order of first use.
    machines: Vec<Opened>,
    source: Option<String>,
    target: Option<String>,
    /// CHDIR's directory on the current source.
    pub(super) directory: Option<String>,
    pub(super) out: Out,
    /// What the command under way needs on the machines it asks.
    required: Access,
    /// Its name and start, for JSON and TIMING.
    running: Option<(String, Instant)>,
    pub(super) timing: bool,
    history: Vec<String>,
    /// Machines named by SERVER ADD.
    pub(super) servers: Vec<String>,
    /// The command's words stand where other users can list them (`DTCL login ...`).
    exposed: bool,
    /// What is lost with the session was named already.
    told: bool,
    /// When what runs now is to end, whoever waits.
    deadline: Option<Instant>,
    /// Each command is said before it runs.
    verbose: bool,
    /// Nothing is changed (`--dry-run`).
    rehearsal: Option<rehearsing::Rehearsal>,
}

/// A machine that was asked something.
struct Opened {
    machine: Arc<dyn Machine>,
    /// None: no login was tried yet.
    access: Option<Access>,
}

impl Session {
    pub fn new(connector: Arc<dyn Connector>, ui: Box<dyn Ui>) -> Session {
        Session {
            connector,
            machines: Vec::new(),
            source: None,
            target: None,
            directory: None,
            out: Out {
                ui,
                mode: Mode::Text,
                spool: None,
                indent: false,
                at_line_start: true,
                capture: None,
                pages: false,
                paged: false,
            },
            required: Access::None,
            running: None,
            timing: false,
            history: Vec::new(),
            servers: Vec::new(),
            exposed: false,
            told: false,
            deadline: None,
            verbose: false,
            rehearsal: None,
        }
    }

    // --- the one at the other end ------------------------------------------------------------------

    pub fn ui(&mut self) -> &mut dyn Ui {
        self.out.ui.as_mut()
    }

    pub fn cancelled(&self) -> bool {
        self.out.ui.cancelled()
    }

    /// Says each command before it runs (`-v`).
    pub fn set_verbose(&mut self, verbose: bool) {
        self.verbose = verbose;
    }

    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Says a command that runs now. Of one that may hold a password only the keywords are said.
    pub fn trace(&mut self, place: &str, args: &Args, text: &str) {
        let name = args.name();
        let secret = matches!(name.split(' ').next(), Some("login" | "logon"));
        let text = if secret { format!("{name} ...") } else { text.to_owned() };
        self.out.ui.message(&format!("+ {place}: {text}"));
    }

    /// Runs with a moment at which every wait for a machine is given up.
    pub fn until<T>(&mut self, deadline: Option<Instant>, work: impl FnOnce(&mut Session) -> T) -> T {
        let before = std::mem::replace(&mut self.deadline, deadline);
        let result = work(self);
        self.deadline = before;
        result
    }

    pub fn mode(&self) -> Mode {
        self.out.mode
    }

    pub fn set_mode(&mut self, mode: Mode) {
        self.out.mode = mode;
    }

    /// Two blanks before each line of output, as the interactive shell has it (language.md 8). The next output begins a
    /// line.
    pub fn set_indent(&mut self, indent: bool) {
        self.out.indent = indent;
        self.out.at_line_start = true;
    }

    /// Says that the commands stand where other users can list them, as with `DTCL login m u secret`; LOGIN then
    /// refuses a password argument.
    pub fn set_exposed(&mut self, exposed: bool) {
        self.exposed = exposed;
    }

    pub(super) fn exposed(&self) -> bool {
        self.exposed
    }

    /// Writes text to standard output exactly as it is (indented in the interactive shell).
    pub fn write(&mut self, text: &str) {
        self.out.write(text);
    }

    /// Text that a command shows, as a document in JSON.
    pub fn show_text(&mut self, name: &str, text: &str) {
        self.show_as(name, &Outcome::text(text));
    }

    /// Keeps a statement for HISTORY.
    pub fn remember(&mut self, statement: &str) {
        self.history.push(statement.trim_end().to_owned());
    }

    pub fn history(&self) -> &[String] {
        &self.history
    }

    // --- current machines ----------------------------------------------------------------------------

    /// What SOURCE named, or "" (`$source`).
    pub fn source(&self) -> &str {
        self.source.as_deref().unwrap_or_default()
    }

    /// What TARGET named, or "" (`$target`).
    pub fn target(&self) -> &str {
        self.target.as_deref().unwrap_or_default()
    }

    /// Names the current source; an unknown name is an error at once (LOG-13).
    pub(super) fn set_source(&mut self, name: &str) -> Result<(), ApiError> {
        self.open(name)?;
        self.source = Some(name.to_owned());
        self.directory = None;
        Ok(())
    }

    pub(super) fn set_target(&mut self, name: &str) -> Result<(), ApiError> {
        self.open(name)?;
        self.target = Some(name.to_owned());
        Ok(())
    }

    /// The current source, `localhost` until SOURCE names one.
    pub fn source_machine(&mut self) -> Result<Arc<dyn Machine>, ApiError> {
        let name = self.source.clone().unwrap_or_else(|| "localhost".to_owned());
        self.open(&name)
    }

    /// The current target; -131 if TARGET named none.
    pub fn target_machine(&mut self) -> Result<Arc<dyn Machine>, ApiError> {
        let name = self
            .target
            .clone()
            .ok_or_else(|| ApiError::bare(Code::NoTargetIdentified).help("name one with TARGET <machine>"))?;
        self.open(&name)
    }

    /// The machine that a command acts on: the one of its `ON`, else the current source.
    pub fn machine(&mut self, args: &Args) -> Result<Arc<dyn Machine>, ApiError> {
        match args.text_after("ON")? {
            Some(name) => self.open(&name),
            None => self.source_machine(),
        }
    }

    /// A machine by name, the same handle each time.
    pub fn open(&mut self, name: &str) -> Result<Arc<dyn Machine>, ApiError> {
        let name = if name.is_empty() { "localhost" } else { name };
        if let Some(opened) = self.opened(name) {
            return Ok(Arc::clone(&opened.machine));
        }
        let machine = self.connector.open(name)?;
        // Two names may lead to the same machine.
        if !self.machines.iter().any(|opened| Arc::ptr_eq(&opened.machine, &machine)) {
            self.machines.push(Opened { machine: Arc::clone(&machine), access: None });
        }
        Ok(machine)
    }

    fn opened(&mut self, name: &str) -> Option<&mut Opened> {
        self.machines.iter_mut().find(|opened| opened.machine.name().eq_ignore_ascii_case(name))
    }

    /// This host's name.
    pub fn local(&self) -> String {
        self.connector.local()
    }

    /// Machines that granted access, in the order of their first use.
    pub fn machines_in_use(&self) -> Vec<Arc<dyn Machine>> {
        let used =
            self.machines.iter().filter(|opened| opened.access.is_some_and(|access| access > Access::None));
        used.map(|opened| Arc::clone(&opened.machine)).collect()
    }

    /// The current source for a question in passing, with the login that it has to hear first; None where a way to it is still to be
    /// found, which may take time.
    pub fn source_in_passing(&mut self) -> Option<(Arc<dyn Machine>, Option<Request>)> {
        let name = self.source.clone().unwrap_or_else(|| "localhost".to_owned());
        if self.opened(&name).is_none() && !name.eq_ignore_ascii_case("localhost") {
            return None;
        }
        let machine = self.open(&name).ok()?;
        let access = self.opened(&name).and_then(|opened| opened.access);
        let login = match access {
            Some(Access::None) => return None,
            Some(_) => None,
            // Nobody has said that it is to hear who asks.
            None if machine.is_far() => return None,
            None => Some(Request::Login { user: own_user(), password: None, domain: None }),
        };
        Some((machine, login))
    }

    /// Names that machines are known by here: the own ones, those used and those named by SERVER ADD.
    pub fn machine_names(&self) -> Vec<String> {
        let used = self.machines.iter().map(|opened| opened.machine.name().to_owned());
        let mut names: Vec<String> = ["localhost".to_owned(), self.local()]
            .into_iter()
            .chain(used)
            .chain(self.servers.clone())
            .collect();
        names.sort_unstable();
        names.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
        names
    }

    /// CHDIR's directory on the current source.
    pub fn directory(&self) -> Option<&str> {
        self.directory.as_deref()
    }

    /// Machines used so far, with the access they granted.
    pub(super) fn used(&self) -> Vec<(String, Option<Access>)> {
        self.machines.iter().map(|opened| (opened.machine.name().to_owned(), opened.access)).collect()
    }

    pub(super) fn set_access(&mut self, machine: &Arc<dyn Machine>, access: Option<Access>) {
        for opened in &mut self.machines {
            if Arc::ptr_eq(&opened.machine, machine) {
                opened.access = access;
            }
        }
    }

    /// A path on the current source: once CHDIR was used a relative one begins in its directory.
    pub(super) fn resolve(&self, path: &str) -> String {
        match &self.directory {
            Some(directory) => join(directory, path),
            None => path.to_owned(),
        }
    }
}

/// `path` as seen from `directory`, without `.` and `..`. What names a drive (`e:\data`) stays as it is.
pub(super) fn join(directory: &str, path: &str) -> String {
    let drive = path.as_bytes().get(1) == Some(&b':');
    if drive {
        return path.to_owned();
    }
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}
