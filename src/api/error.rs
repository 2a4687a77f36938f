//! Why a machine refused or failed a request.

use super::Code;

/// A failure with the product's number, a sentence for a person, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{message}")]
pub struct ApiError {
    /// The product's number (`error-codes.tsv`).
    pub code: Code,
    /// What is wrong, one sentence without a final full stop.
    pub message: String,
    /// What would be right, or the remedy.
    pub help: Option<String>,
}

impl ApiError {
    /// A failure without a remedy.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    /// A failure whose message is the table's own wording.
    pub fn bare(code: Code) -> Self {
        Self::new(code, code.meaning())
    }

    /// A thread that could not be started.
    pub fn no_thread(error: &std::io::Error) -> Self {
        Self::new(Code::MemoryIsLow, format!("no thread could be started: {error}"))
            .help("end other work on this machine and try again")
    }

    /// The same failure with a remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
