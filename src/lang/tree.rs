//! The tree of a script.

use super::Span;

/// One word of a command, with its place.
#[derive(Clone, Debug)]
pub struct Word {
    pub span: Span,
    pub kind: WordKind,
}

/// What stands in a command's word list (language.md 2.4 to 2.10).
#[derive(Clone, Debug)]
pub enum WordKind {
    /// An unquoted word: a keyword where one fits, else a value.
    Bare(Box<str>),
    /// A quoted word, quotes removed and doubled quotes folded: always a value.
    Quoted(Box<str>),
    /// `$name`, `$name.field`, `$name[i]`, `(...)` or `$"..."`: always exactly one value, known when it runs.
    Value,
    Equals,
    Comma,
}
