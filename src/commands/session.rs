//! What a handler works with: current machines, access, output, cancellation.
//!
//! Invariant: a request reaches a machine only through [`Session::ask`], which has looked at the catalogue's access
//! column first.

use super::output::{Outcome, Output};
use super::render::{self, Mode};
use super::ui::Ui;
use super::{Args, Binding, Command, Handler, Item, bind};
use crate::api::{Access, ApiError, Code, ConnectionId, Event, Reply, Request, Watch};
use crate::lang::{Diagnostic, Word, WordKind};
use crate::machine::{Connector, Machine};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
}

/// A machine that was asked something.
struct Opened {
    machine: Arc<dyn Machine>,
    /// None: no login was tried yet.
    access: Option<Access>,
}

/// The way out: mode, spool file, indentation.
pub(super) struct Out {
    pub ui: Box<dyn Ui>,
    pub mode: Mode,
    pub spool: Option<(String, std::fs::File)>,
    /// Two blanks before each line (the interactive shell).
    pub indent: bool,
    at_line_start: bool,
}

impl Out {
    /// Standard output, indented if the session is, and copied to the spool file.
    pub fn write(&mut self, text: &str) {
        if !self.indent {
            return self.emit(text);
        }
        let mut indented = String::with_capacity(text.len() + 16);
        for line in text.split_inclusive('\n') {
            if self.at_line_start && line != "\n" {
                indented.push_str("  ");
            }
            indented.push_str(line);
            self.at_line_start = line.ends_with('\n');
        }
        self.emit(&indented);
    }

    fn emit(&mut self, text: &str) {
        self.ui.write(text);
        if let Some((name, file)) = &mut self.spool
            && let Err(error) = file.write_all(text.as_bytes())
        {
            let message = format!("spool file {name}: {error}; spooling ends");
            self.spool = None;
            self.ui.message(&message);
        }
    }
}

impl Session {
    pub fn new(connector: Arc<dyn Connector>, ui: Box<dyn Ui>) -> Session {
        Session {
            connector,
            machines: Vec::new(),
            source: None,
            target: None,
            directory: None,
            out: Out { ui, mode: Mode::Text, spool: None, indent: false, at_line_start: true },
            required: Access::None,
            running: None,
            timing: false,
            history: Vec::new(),
            servers: Vec::new(),
            exposed: false,
            told: false,
        }
    }

    // --- the one at the other end ------------------------------------------------------------------

    pub fn ui(&mut self) -> &mut dyn Ui {
        self.out.ui.as_mut()
    }

    pub fn cancelled(&self) -> bool {
        self.out.ui.cancelled()
    }

    pub fn mode(&self) -> Mode {
        self.out.mode
    }

    pub fn set_mode(&mut self, mode: Mode) {
        self.out.mode = mode;
    }

    /// Two blanks before each line of output, as the interactive shell has it (language.md 8).
    pub fn set_indent(&mut self, indent: bool) {
        self.out.indent = indent;
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

    /// Ends the session's hold on all machines. An embedded engine drains its connections for at most this long; what
    /// it closed is named in messages.
    pub fn close(&mut self, drain: Duration) {
        if !self.told {
            let mut lost: Vec<String> = self.machines_in_use().iter().flat_map(unsaved).collect();
            // Several names may lead to one machine.
            lost.dedup();
            for line in lost {
                self.out.ui.message(&format!("warning: {line}"));
            }
        }
        for opened in std::mem::take(&mut self.machines) {
            for line in opened.machine.close(drain) {
                self.out.ui.message(&line);
            }
        }
    }

    // --- asking ----------------------------------------------------------------------------------------

    /// Asks a machine one thing; progress and notices go to the person. The caller's access is looked at first.
    pub fn ask(&mut self, machine: &Arc<dyn Machine>, request: Request) -> Result<Reply, ApiError> {
        self.ask_with(machine, request, &mut |_, _| {})
    }

    /// Asks the current source something that changes nothing, for the functions of the language: monitor access is
    /// enough.
    pub fn inquire(&mut self, request: Request) -> Result<Reply, ApiError> {
        self.needing(Access::Monitor, |session| {
            let machine = session.source_machine()?;
            session.ask(&machine, request)
        })
    }

    /// As [`Session::ask`]; the other events go to `hear`, which may write.
    pub(super) fn ask_with(
        &mut self,
        machine: &Arc<dyn Machine>,
        request: Request,
        hear: &mut dyn FnMut(&mut Out, Event),
    ) -> Result<Reply, ApiError> {
        self.authorise(machine)?;
        // What was printed before is not to wait for an answer that may take hours.
        self.out.ui.flush();
        let mut listener = Listener { out: &mut self.out, hear, shows_progress: false };
        let reply = machine.call(request, &mut listener);
        if listener.shows_progress {
            self.out.ui.progress(None);
        }
        reply
    }

    /// A machine first used without LOGIN is tried with the caller's own identity (LOG-04).
    fn authorise(&mut self, machine: &Arc<dyn Machine>) -> Result<(), ApiError> {
        if self.required == Access::None {
            return Ok(());
        }
        let known = self
            .machines
            .iter()
            .find(|opened| Arc::ptr_eq(&opened.machine, machine))
            .and_then(|opened| opened.access);
        let access = match known {
            Some(access) => access,
            None => {
                let request = Request::Login { user: own_user(), password: None, domain: None };
                let access = match machine.call(request, &mut ())? {
                    Reply::Access(access) => access,
                    _ => Access::None,
                };
                self.set_access(machine, Some(access));
                access
            }
        };
        if access >= self.required {
            return Ok(());
        }
        Err(ApiError::new(
            Code::InsufficientSecurityAccess,
            format!(
                "this needs {} on {}, you have {}",
                self.required.label(),
                machine.name(),
                access.label()
            ),
        )
        .help(format!("log in with LOGIN {} <user>", machine.name())))
    }

    /// Asks what is answered with nothing but success.
    pub(super) fn order(
        &mut self,
        machine: &Arc<dyn Machine>,
        request: Request,
    ) -> Result<Outcome, ApiError> {
        self.ask(machine, request)?;
        Ok(Outcome::done())
    }

    /// Runs with this access needed, for what is no command of its own (functions, warnings).
    pub(super) fn needing<T>(&mut self, access: Access, work: impl FnOnce(&mut Session) -> T) -> T {
        let before = std::mem::replace(&mut self.required, access);
        let result = work(self);
        self.required = before;
        result
    }

    /// All connections of the machine.
    pub(super) fn all_connections(
        &mut self,
        machine: &Arc<dyn Machine>,
    ) -> Result<Vec<ConnectionId>, ApiError> {
        match self.ask(machine, Request::StatusAll)? {
            Reply::Connections(all) => Ok(all.into_iter().map(|status| status.id).collect()),
            _ => Err(unexpected()),
        }
    }

    /// A path on the current source: once CHDIR was used a relative one begins in its directory.
    pub(super) fn resolve(&self, path: &str) -> String {
        match &self.directory {
            Some(directory) => join(directory, path),
            None => path.to_owned(),
        }
    }

    /// For `--check`: an option that does not exist, or a value that it cannot take, written out in a command. No machine
    /// is asked.
    pub fn vet_options(&self, binding: &Binding, words: &[Word]) -> Option<Diagnostic> {
        let written = |wanted: &str| {
            binding.items.iter().find_map(|item| match item {
                Item::Value { slot, word } if *slot == wanted => match &words.get(*word)?.kind {
                    WordKind::Bare(text) | WordKind::Quoted(text) => Some((&**text, words[*word].span)),
                    _ => None,
                },
                _ => None,
            })
        };
        let (name, place) = written("option")?;
        let value = written("value");
        let refused = match self.connector.vet_option(name, None) {
            Err(error) => (error, place),
            Ok(()) => {
                let (value, place) = value?;
                (self.connector.vet_option(name, Some(value)).err()?, place)
            }
        };
        Some(bind::refused(refused.0, refused.1))
    }

    /// What ends or is lost with this session, as sentences: sets that are not saved, connections of an embedded engine.
    /// Machines that were not used are not asked. What was named once is not named again by [`Session::close`].
    pub fn losses(&mut self) -> Vec<String> {
        self.told = true;
        let mut losses = Vec::new();
        for machine in self.machines_in_use() {
            losses.extend(unsaved(&machine));
            // A machine that no longer answers has nothing that this session could still save.
            if let Ok(Reply::Connections(connections)) = machine.call(Request::StatusAll, &mut ()) {
                losses.extend(connections.iter().map(|connection| {
                    let (id, set, target) = (connection.id, &connection.repset, &connection.target);
                    format!("connection {id} ({set} to {target}) ends with this shell")
                }));
            }
        }
        losses
    }

    // --- running and showing -----------------------------------------------------------------------------

    /// Notes the command that runs now, for JSON's `command` and TIMING; [`execute`] does it by itself.
    pub fn begin(&mut self, name: impl Into<String>) {
        self.running = Some((name.into(), Instant::now()));
    }

    /// Renders what a command shows, by the mode.
    pub fn show(&mut self, command: &Command, outcome: &Outcome) {
        let (name, started) = match self.running.take() {
            Some((name, started)) => (name, Some(started)),
            None => (command.name(), None),
        };
        self.show_as(&name, outcome);
        self.show_time(started);
    }

    /// A failed command's document in JSON; in text and CSV nothing (the interpreter reports the failure).
    pub fn show_failure(&mut self, command: &Command, error: &ApiError) {
        let (name, started) = match self.running.take() {
            Some((name, started)) => (name, Some(started)),
            None => (command.name(), None),
        };
        if self.out.mode == Mode::Json {
            let text = render::failure(&name, error);
            self.out.write(&text);
        }
        self.show_time(started);
    }

    pub(super) fn show_as(&mut self, name: &str, outcome: &Outcome) {
        let width = self.out.ui.width().map(|width| width.saturating_sub(2 * usize::from(self.out.indent)));
        let text = match self.out.mode {
            Mode::Text => render::text(&outcome.output, width),
            Mode::Json => render::json(name, outcome),
            Mode::Csv => render::csv(&outcome.output),
        };
        if !text.is_empty() {
            self.out.write(&text);
        }
    }

    /// Part of a command's output before its end (one connection of several).
    pub(super) fn show_part(&mut self, output: Output) {
        let name = self.running.as_ref().map_or_else(String::new, |(name, _)| name.clone());
        self.show_as(&name, &Outcome { value: 1, output });
    }

    fn show_time(&mut self, started: Option<Instant>) {
        if let Some(started) = started
            && self.timing
        {
            let elapsed = started.elapsed();
            self.out.ui.message(&format!("Elapsed: {:.3} s", elapsed.as_secs_f64()));
        }
    }
}

/// Carries a command out: access first, then its handler.
pub fn execute(session: &mut Session, command: &'static Command, args: &Args) -> Result<Outcome, ApiError> {
    session.begin(args.name());
    match command.handler {
        Handler::Run(run) => {
            session.required = command.access;
            let outcome = run(session, args);
            session.required = Access::None;
            outcome
        }
        Handler::Interpreter(verb) => Err(ApiError::new(
            Code::OperationOrCommandIsNotSupported,
            format!("{verb:?} can only be run by the interpreter"),
        )),
        Handler::Later => Err(ApiError::new(
            Code::OperationOrCommandIsNotSupported,
            format!("{} is not yet available in this version", args.name().to_ascii_uppercase()),
        )
        .help("HELP lists the commands of this version")),
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

/// Its replication sets that are not saved, as sentences.
fn unsaved(machine: &Arc<dyn Machine>) -> Vec<String> {
    match machine.call(Request::RepsetList, &mut ()) {
        Ok(Reply::Repsets(sets)) => {
            let unsaved = sets.iter().filter(|set| !set.saved);
            unsaved.map(|set| format!("replication set {} has unsaved changes", set.name)).collect()
        }
        _ => Vec::new(),
    }
}

/// A reply that is none to the request: a machine of another version.
pub(super) fn unexpected() -> ApiError {
    ApiError::new(Code::UnknownError, "the machine's answer does not fit the question")
        .help("the versions of this program and of the service there differ")
}

/// The name of whoever runs this process.
pub(super) fn own_user() -> String {
    let uid = nix::unistd::getuid();
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

struct Listener<'a> {
    out: &'a mut Out,
    hear: &'a mut dyn FnMut(&mut Out, Event),
    shows_progress: bool,
}

impl Watch for Listener<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Progress(progress) => {
                self.shows_progress = true;
                self.out.ui.progress(Some(&progress));
            }
            Event::Notice(text) => self.out.ui.message(&text),
            other => (self.hear)(self.out, other),
        }
    }

    fn cancelled(&self) -> bool {
        self.out.ui.cancelled()
    }
}
