//! The engine inside this process. Opened on the first request, so that a script which asks nothing starts nothing.

use super::Machine;
use crate::api::{ApiError, Code, Reply, Request, Watch};

/// The machine of this process.
pub struct Embedded {
    name: String,
}

impl Embedded {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl Machine for Embedded {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, _request: Request, _watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        Err(ApiError::bare(Code::OperationOrCommandIsNotSupported))
    }

    fn close(&self, _drain: std::time::Duration) -> Vec<String> {
        Vec::new()
    }
}
