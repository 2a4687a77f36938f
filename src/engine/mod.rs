//! The replication engine of one home: sets, connections, mirror, verify.
//!
//! An open engine holds the home's lock. Calls come from any thread and block; connections are tasks of a small runtime
//! that starts with the first of them.

mod calls;
pub mod clock;
pub mod connect;
pub mod connection;
pub mod home;
pub mod job;
pub mod link;
pub mod log;
pub mod repset;
pub mod settings;
pub mod source;
pub mod target;

use crate::api::ApiError;
use home::{Home, HomeLock};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The engine of one home.
pub struct Engine {
    home: Home,
    /// Given back when the engine is closed.
    lock: Mutex<Option<HomeLock>>,
}

impl Engine {
    /// Makes the home's directories, takes its lock and reads what is kept there.
    pub fn open(home: Home) -> Result<Arc<Engine>, ApiError> {
        home.create()?;
        let lock = home.lock()?;
        Ok(Arc::new(Engine { home, lock: Mutex::new(Some(lock)) }))
    }

    /// Ends the engine: connections get `drain` to finish what runs, and are named in the answer.
    pub fn close(&self, _drain: Duration) -> Vec<String> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        Vec::new()
    }
}
