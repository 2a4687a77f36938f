//! What is wrong, where, and what would be right (language.md 7).

use super::Span;

/// How bad it is. Only errors keep a script from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
    Hint,
}

/// A second place that a finding tells of, in a file of another language (a Rhai module).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters from 1.
    pub column: usize,
    /// The whole line.
    pub text: String,
    /// What happened there, in a few words.
    pub note: String,
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
    /// Where the cause lies, if in another file.
    pub beside: Option<Box<Beside>>,
}

impl Diagnostic {
    /// An error without help.
    pub fn error(code: u16, message: impl Into<String>, span: Span) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), span, help: None, beside: None }
    }

    /// A warning: nothing is kept from running.
    pub fn warning(message: impl Into<String>, span: Span) -> Self {
        Self { severity: Severity::Warning, code: 0, message: message.into(), span, help: None, beside: None }
    }

    /// A hint: it works, and could be better.
    pub fn hint(message: impl Into<String>, span: Span) -> Self {
        Self { severity: Severity::Hint, ..Self::warning(message, span) }
    }

    /// The same finding with what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
