//! The catalogue: each command is declared once, by the syntax line a manual would print.
//!
//! From that line come the parser for the command's words, typed arguments for its handler, the "expected ..." of an
//! error, completion and hints, HELP and the docs.

mod session;

pub use session::Session;

use crate::api::{Access, ApiError};
use crate::lang::{Span, Value};

/// One command of the catalogue: one syntax line of `commands.md`.
pub struct Command {
    /// The line as a manual prints it, e.g. `REPSET CREATE <repset>`.
    pub syntax: &'static str,
    pub access: Access,
    /// D, S, G, R or X (language.md).
    pub tag: &'static str,
    /// The family it is listed under.
    pub family: Family,
    /// One sentence for HELP.
    pub summary: &'static str,
    /// More for HELP and the docs; may be empty.
    pub details: &'static str,
    pub handler: Handler,
}

/// The tables of `commands.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Language,
    Session,
    Sets,
    Connections,
    Mirror,
    Transmission,
    Waiting,
    Tasks,
    Options,
    Statistics,
    Failover,
    Snapshots,
}

/// Who carries a command out.
pub enum Handler {
    /// A function over the session.
    Run(fn(&mut Session<'_>, &Args) -> Result<Outcome, ApiError>),
    /// The interpreter itself (WRITE, SLEEP, RUN, INCLUDE, EXIT, WATCH ...).
    Interpreter(Verb),
    /// In the catalogue, but "not yet available in this version" (-161).
    Later,
}

/// Commands that need the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Write,
    Sleep,
    Run,
    Include,
    Use,
    Exit,
    Watch,
    History,
}

/// A command's words bound to its syntax line: keywords and values in the order of the text.
#[derive(Clone)]
pub struct Binding {
    pub command: &'static Command,
    pub items: Vec<Item>,
}

/// One bound word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A keyword, in capitals and in full (`CONNECTION` for `con`).
    Keyword(&'static str),
    /// The value for `<slot>`: the word with this index in the command's word list.
    Value { slot: &'static str, word: usize },
}

/// A binding with its values evaluated: what a handler gets.
pub struct Args {
    pub items: Vec<Arg>,
}

pub enum Arg {
    Keyword(&'static str),
    Value { slot: &'static str, value: Value, span: Span },
}

/// What a command that succeeded gives back.
pub struct Outcome {
    /// Positive: success (D). 0 or negative: a failure that is no error of its own (LOGIN, a wait's time-out).
    pub value: i64,
    /// What it shows; rendered as text, JSON or CSV by the session's output.
    pub output: Output,
}

/// What a command shows.
pub enum Output {
    Nothing,
    /// `- Title -`, then label and value in one column (language.md 8).
    Record {
        title: Option<String>,
        rows: Vec<(String, String)>,
    },
    /// `- Title -`, then rows under columns.
    Table {
        title: Option<String>,
        columns: Vec<&'static str>,
        rows: Vec<Vec<String>>,
    },
    /// Lines as they are.
    Text(String),
}
