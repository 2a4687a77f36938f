//! What goes wrong while a script runs, before it is known where.

use crate::api::{ApiError, Code};
use crate::lang::Beside;

/// An error in an expression: a failure that no assignment catches (language.md 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The product's number, positive; 1 where none fits.
    pub code: u16,
    pub message: String,
    pub help: Option<String>,
    /// Its place in a Rhai module.
    pub beside: Option<Box<Beside>>,
}

impl Fault {
    /// An error with the number "invalid parameter".
    pub fn new(message: impl Into<String>) -> Box<Self> {
        Self::with(Code::InvalidParameterWasSupplied, message)
    }

    pub fn with(code: Code, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { code: code.number(), message: message.into(), help: None, beside: None })
    }

    /// The same error with what would be right.
    #[must_use]
    pub fn help(mut self: Box<Self>, help: impl Into<String>) -> Box<Self> {
        self.help = Some(help.into());
        self
    }
}

impl From<ApiError> for Box<Fault> {
    fn from(error: ApiError) -> Self {
        Box::new(Fault { code: error.code.number(), message: error.message, help: error.help, beside: None })
    }
}
