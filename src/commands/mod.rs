//! The catalogue: each command is declared once, by the syntax line a manual would print.
//!
//! From that line come the parser for the command's words ([`bind`]), typed arguments for its handler ([`Args`]), the
//! "expected ..." of an error, completion and hints, HELP and the docs. Nothing about a command's form is written a
//! second time.

mod args;
mod bind;
mod catalogue;
mod complete;
mod dry_run;
mod each;
pub mod editors;
mod execute;
mod files;
mod help;
pub mod manual;
mod matcher;
mod nearest;
mod output;
mod reference;
mod render;
mod session;
mod show;
mod signature;
mod slots;
#[cfg(test)]
mod testing;
mod topics;
pub mod ui;

pub use bind::{bind, bind_form, check_values, first_words, is_command_word};
pub use catalogue::all;
pub use complete::{Candidate, CandidateKind, complete, hint};
pub use execute::execute;
pub use help::help;
pub use nearest::nearest;
pub use output::{Column, Outcome, Output, Record, Table};
pub use reference::{compatibility, escaped, reference};
pub use render::Mode;
pub use session::{Session, own_user};
pub use show::status_map;
pub use slots::Connections;
pub use ui::Ui;

use crate::api::{Access, ApiError};
use crate::lang::{Span, Value};

/// One command of the catalogue: one syntax line of `commands.md`.
#[derive(Clone, Copy)]
pub struct Command {
    /// The line as a manual prints it, e.g. `REPSET CREATE <repset>`.
    pub syntax: &'static str,
    /// What the caller needs on the machine that carries it out.
    pub access: Access,
    /// D, S, G, R or X (language.md), with what it holds for where a line is mixed.
    pub tag: &'static str,
    /// The family it is listed under.
    pub family: Family,
    /// One sentence for HELP.
    pub summary: &'static str,
    /// More for HELP and the docs; may be empty.
    pub details: &'static str,
    /// Commands as a script would write them; each binds to this line (a test says so).
    pub examples: &'static [&'static str],
    /// At least one of these keywords has to be given, where the notation cannot say so.
    pub one_of: &'static [&'static str],
    pub handler: Handler,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({})", self.syntax)
    }
}

/// The tables of `commands.md`, in their order; the language's own commands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
#[derive(Clone, Copy)]
pub enum Handler {
    /// A function over the session.
    Run(fn(&mut Session, &Args) -> Result<Outcome, ApiError>),
    /// The interpreter itself.
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
    /// Runs the command in its `<command>` words again and again; see [`Binding::rest`].
    Watch,
}

/// A command's words bound to its syntax line: keywords and values in the order of the text.
#[derive(Clone, Debug)]
pub struct Binding {
    pub command: &'static Command,
    pub items: Vec<Item>,
    /// Index of the first word of a `<words>` or `<command>` slot, which takes all that follows as it is; those words
    /// are items too, except `=` and `,`.
    pub rest: Option<usize>,
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
#[derive(Clone, Debug)]
pub struct Args {
    pub items: Vec<Arg>,
}

/// One evaluated item. A bare or quoted word is a `Value::String` of its text; conversions take any value "as if it
/// had been typed there".
#[derive(Clone, Debug)]
pub enum Arg {
    Keyword(&'static str),
    Value { slot: &'static str, value: Value, span: Span },
}
