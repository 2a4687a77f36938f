//! A client's handle on a machine: embedded or remote, behind one trait. Handlers and scripts know only this.

mod known;
mod local;
mod machines;
mod rehearsal;
mod remote;

pub use local::Local;
pub use machines::Machines;

use crate::api::{ApiError, Reply, Request, Watch};
use std::sync::Arc;

/// One machine. Calls block; cancelling a call through its watch does not undo what was started there.
pub trait Machine: Send + Sync {
    /// The name it was opened by.
    fn name(&self) -> &str;

    /// Asks one thing.
    fn call(&self, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError>;

    /// True where connections go on without this client: a service's. Known once it was asked something.
    fn keeps_connections(&self) -> bool {
        false
    }

    /// True for a machine that is reached over the network.
    fn is_far(&self) -> bool {
        false
    }

    /// Ends the client's hold on it: an embedded engine drains its connections for at most the given time, closes
    /// them, and names them in the answer; a service's connections stay and nothing is named.
    fn close(&self, drain: std::time::Duration) -> Vec<String>;
}

/// Finds machines by name.
pub trait Connector: Send + Sync {
    /// This host's own name.
    fn local(&self) -> String;

    /// The machine of that name. -101 if it is no name, -109 when it is not known (LOG-13), -110 when nothing that
    /// can be spoken with answers there.
    fn open(&self, name: &str) -> Result<Arc<dyn Machine>, ApiError>;

    /// The service that runs on this machine; None: none does, and no engine is begun for it.
    fn service(&self) -> Result<Option<Arc<dyn Machine>>, ApiError> {
        Ok(None)
    }

    /// For `--check`, which asks no machine: -116 for an option that machines of this version do not have, -101 for a
    /// value that it cannot take. Nothing is opened.
    fn vet_option(&self, _name: &str, _value: Option<&str>) -> Result<(), ApiError> {
        Ok(())
    }

    /// The options that machines of this version have, for completion where no machine is asked.
    fn option_names(&self) -> Vec<&'static str> {
        Vec::new()
    }
}
