//! The language's text: parser over pest, spans, values, diagnostics, checker. Knows no engine and no catalogue:
//! what a command's words mean comes in through [`Vocabulary`].

mod diagnostic;
mod span;
mod tree;
mod value;

pub use diagnostic::{Diagnostic, Severity};
pub use span::{Source, Span};
pub use tree::{Word, WordKind};
pub use value::Value;
