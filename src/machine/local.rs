//! The engine inside this process. Opened on the first request, so that a script which asks nothing starts nothing.

use super::Machine;
use crate::api::{ApiError, Reply, Request, Watch};
use crate::engine::Engine;
use crate::engine::home::Home;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// This process's machine, under one of its names.
pub struct Embedded {
    name: String,
    cell: Arc<Cell>,
}

/// The engine that all names of this machine share, once it is open.
pub(super) struct Cell {
    home: Home,
    engine: Mutex<Option<Arc<Engine>>>,
}

impl Cell {
    pub(super) fn new(home: Home) -> Self {
        Cell { home, engine: Mutex::new(None) }
    }

    fn engine(&self) -> Result<Arc<Engine>, ApiError> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*engine {
            return Ok(Arc::clone(engine));
        }
        let opened = Engine::open(self.home.clone())?;
        *engine = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

impl Embedded {
    pub(super) fn new(name: impl Into<String>, cell: Arc<Cell>) -> Self {
        Self { name: name.into(), cell }
    }
}

impl Machine for Embedded {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        self.cell.engine()?.call(request, watch)
    }

    /// A later request would open the engine anew.
    fn close(&self, drain: Duration) -> Vec<String> {
        let engine = self.cell.engine.lock().unwrap_or_else(PoisonError::into_inner).take();
        engine.map(|engine| engine.close(drain)).unwrap_or_default()
    }
}
