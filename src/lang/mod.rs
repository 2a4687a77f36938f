//! The language's text: parser over pest, spans, values, diagnostics, checker. Knows no engine and no catalogue:
//! what a command's words mean comes in through [`Vocabulary`].

mod blocks;
mod build;
mod check;
mod decode;
mod diagnostic;
mod flow;
mod format;
mod function;
mod grammar;
mod literal;
mod nearest;
mod parse;
mod recover;
mod render;
mod scan;
mod span;
mod tree;
mod typed;
mod value;

pub use blocks::{Block, Blocks, stray_else};
pub use check::{
    Call, Checked, Known, Named, Setting, Used, Vocabulary, check, check_loop_word, read_only, text_is_quoted,
};
pub use decode::decode;
pub use diagnostic::{Beside, Diagnostic, Severity};
pub use format::format;
pub use function::Function;
pub use literal::{date, quote, time, unquote};
pub use nearest::nearest;
pub use parse::parse;
pub use render::{Place, render, to_json};
pub use span::{Source, Span};
pub use tree::{Binary, Clause, ClauseKind, CommandWords, End, Expr, For, Node, Part, Word, WordKind};
pub use typed::{Partial, Typed, words};
pub use value::{Kind, Value};

/// How deep blocks and parentheses nest at most (language.md 2, Limits).
pub const NESTING_LIMIT: usize = 256;

/// How many bytes a line has at most.
pub const LINE_LIMIT: usize = 1 << 20;

/// The variables that the interpreter sets; nobody else may (language.md 3).
pub const READ_ONLY: &[&str] =
    &["argc", "script", "user", "machine", "source", "target", "result", "error", "date", "time"];

/// Whether a variable's name (without `$`) is one that scripts may not assign.
pub fn is_read_only(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_digit()) || READ_ONLY.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests;
