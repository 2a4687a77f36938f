//! What is wrong, where, and what would be right (language.md 7).

use super::Span;

/// How bad it is. Only errors keep a script from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
    Hint,
}

/// One finding about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The product's number, positive (102 for a command that is not one), or 0 where none fits.
    pub code: u16,
    pub message: String,
    pub span: Span,
    /// The expected words, the nearest name, the allowed range.
    pub help: Option<String>,
}
