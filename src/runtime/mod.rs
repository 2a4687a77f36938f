//! The interpreter: scripts compiled to operations ([`program`]) and carried out on a stack machine ([`execute`]).
//!
//! It does not know where a machine is: commands go to the catalogue, which asks machines through the session.
//! Invariants: a script with any syntax error runs no command at all; depth of blocks, files and expressions costs
//! no stack of the process.

mod advice;
mod arithmetic;
mod check;
mod compile;
mod execute;
mod extend;
mod failure;
mod fault;
mod frame;
mod functions;
pub mod hook;
mod inquiry;
mod pattern;
mod program;
mod rehearse;
mod scope;
#[cfg(test)]
mod tests;
mod verbs;

use crate::commands::{Mode, Session};
use crate::lang::{self, Diagnostic, Source, Value};
use crate::rhai_host::Host;
pub use crate::rhai_host::{BadLimit, Limit, Limits};
pub use check::{CheckedFile, check_files};
use frame::{Frame, Policy};
use scope::Scope;
use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;

/// What became of a line fed to the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// A block or a continued line is open: the rest is wanted.
    Incomplete,
    Done,
    /// EXIT or QUIT, with the status.
    Exit(i32),
}

/// Exit statuses (language.md 1).
pub mod status {
    pub const OK: i32 = 0;
    /// A command failed.
    pub const FAILED: i32 = 1;
    /// Usage or syntax error; nothing of that file was run.
    pub const SYNTAX: i32 = 2;
    /// No access.
    pub const ACCESS: i32 = 3;
    /// A machine cannot be reached.
    pub const UNREACHABLE: i32 = 4;
    /// A wait timed out.
    pub const TIMED_OUT: i32 = 5;
    /// Stopped by a signal.
    pub const STOPPED: i32 = 6;
}

/// Runs scripts and lines over one session.
pub struct Interpreter {
    /// Shared with the functions that a Rhai module may call.
    session: Rc<RefCell<Session>>,
    /// One for each script that runs, the innermost last. The first belongs to the shell or the outermost script.
    scopes: Vec<Scope>,
    /// The files that run, the innermost last.
    frames: Vec<Frame>,
    stack: Vec<Value>,
    /// `$result`
    result: i64,
    /// `$error`
    error: Arc<str>,
    /// ON ERROR of the shell, kept from line to line.
    shell_policy: Policy,
    /// A statement without loops that was typed: its commands may page what they show.
    typed: bool,
    /// Counts loop turns between looks at the person's wish to stop.
    turns: u8,
    /// What a call into Rhai may do.
    limits: Limits,
    /// Made by the first USE.
    host: Option<Rc<Host>>,
    /// Variables that are there when a script begins.
    preset: Vec<(String, String)>,
}

impl Interpreter {
    pub fn new(session: Session) -> Interpreter {
        Interpreter {
            session: Rc::new(RefCell::new(session)),
            scopes: vec![Scope::default()],
            frames: Vec::new(),
            stack: Vec::new(),
            result: 0,
            error: Arc::default(),
            shell_policy: Policy::Inherit,
            typed: false,
            turns: 0,
            limits: Limits::default(),
            host: None,
            preset: Vec::new(),
        }
    }

    /// Sets what a call into a Rhai module may do, for modules that are loaded from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.host = None;
    }

    /// Assigns variables before the script begins: names without `$`, and texts.
    pub fn preset(&mut self, variables: Vec<(String, String)>) {
        self.preset = variables;
    }

    pub fn session(&self) -> Ref<'_, Session> {
        self.session.borrow()
    }

    pub fn session_mut(&self) -> RefMut<'_, Session> {
        self.session.borrow_mut()
    }

    /// The names of the variables that are assigned, for completion.
    pub fn variables(&self) -> Vec<String> {
        let Some(scope) = self.scopes.first() else { return Vec::new() };
        let assigned = |slot: u32| matches!(scope.values.get(slot as usize), Some(Some(_)));
        let mut names: Vec<String> =
            scope.names.iter().filter(|(_, slot)| assigned(*slot)).map(|(name, _)| name.to_owned()).collect();
        names.extend(lang::READ_ONLY.iter().map(|name| (*name).to_owned()));
        names.sort();
        names
    }

    /// Runs a script with its arguments; gives its exit status.
    pub fn run_script(&mut self, name: &str, text: &[u8], args: Vec<String>) -> i32 {
        let source = match lang::decode(name, text) {
            Ok(source) => Arc::new(source),
            Err(refused) => {
                let (source, problem) = *refused;
                self.tell(&problem, &source);
                return status::SYNTAX;
            }
        };
        self.scopes = vec![Scope {
            arguments: args.into_iter().map(Arc::from).collect(),
            script: name.into(),
            ..Scope::default()
        }];
        self.run_source(source)
    }

    /// Runs the words of a command line as one command: a word that is not made of word characters, `=` and `,`
    /// counts as quoted (language.md 1).
    pub fn run_words(&mut self, words: &[String]) -> i32 {
        let mut text = String::new();
        for word in words {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&as_word(word));
        }
        let name = "command line";
        self.scopes = vec![Scope { script: name.into(), ..Scope::default() }];
        if let Some(word) = words.iter().find(|word| word.contains(['\n', '\0'])) {
            let shown: String = word.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect();
            self.session
                .borrow_mut()
                .ui()
                .message(&format!("error -101: an argument holds a line's end or a byte 0: \"{shown}\""));
            return status::SYNTAX;
        }
        self.run_source(Arc::new(Source::new(name, text)))
    }

    fn run_source(&mut self, source: Arc<Source>) -> i32 {
        let Some(scope) = self.scopes.last_mut() else { return status::FAILED };
        for (name, text) in &self.preset {
            let slot = scope.names.slot(name) as usize;
            let slots = scope.values.len().max(slot + 1);
            scope.values.resize(slots, None);
            scope.values[slot] = Some(Value::text(text.as_str()));
        }
        match compile::compile(source, &mut scope.names, false) {
            Ok(program) => {
                self.frames = vec![Frame::script(Arc::new(program), 0)];
                self.execute().status
            }
            Err((source, problems)) => {
                self.tell_all(&problems, &source);
                status::SYNTAX
            }
        }
    }

    /// Takes in what was typed at the shell's prompt, all lines of one statement or block together. Variables stay
    /// from call to call, and nothing that fails ends the shell.
    pub fn feed(&mut self, text: &str) -> Feed {
        if !compile::is_complete(text) {
            return Feed::Incomplete;
        }
        self.scopes.truncate(1);
        let Some(scope) = self.scopes.last_mut() else { return Feed::Done };
        let source = Arc::new(Source::new("input", text));
        let modules = !scope.modules.is_empty();
        match compile::compile(source, &mut scope.names, modules) {
            Ok(program) => {
                self.typed = !program.ops.iter().any(|op| matches!(op, program::Op::Again(_)));
                let mut frame = Frame::script(Arc::new(program), 0);
                frame.policy = self.shell_policy;
                self.frames = vec![frame];
                let end = self.execute();
                self.typed = false;
                // The block of an ON ERROR DO went with its line.
                self.shell_policy = match end.policy {
                    Policy::Continue => Policy::Continue,
                    _ => Policy::Inherit,
                };
                if end.exit { Feed::Exit(end.status) } else { Feed::Done }
            }
            Err((source, problems)) => {
                self.tell_all(&problems, &source);
                Feed::Done
            }
        }
    }

    /// Shows a finding on standard error, in the form of the output's mode.
    fn tell(&mut self, problem: &Diagnostic, source: &Source) {
        let text = match self.session().mode() {
            Mode::Json => lang::to_json(problem, source),
            Mode::Text | Mode::Csv => lang::render(problem, source),
        };
        self.session.borrow_mut().ui().message(text.trim_end());
    }

    fn tell_all(&mut self, problems: &[Diagnostic], source: &Source) {
        for problem in problems {
            self.tell(problem, source);
        }
    }
}

/// An argument of the command line as a word of the language.
fn as_word(argument: &str) -> String {
    let variable = argument.strip_prefix('$').is_none_or(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']'))
    });
    let delimiter = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | ';' | '(' | ')' | '<' | '>')
    };
    let plain =
        !argument.is_empty() && variable && !argument.starts_with('#') && !argument.contains(delimiter);
    if plain { argument.to_owned() } else { lang::quote(argument) }
}
