//! This machine: the service of the home where one answers, else an engine inside this process. Which of them is found out by the
//! first request, so that a script which asks nothing starts nothing.

use super::Machine;
use super::remote::Remote;
use crate::api::{Access, ApiError, Reply, Request, Watch};
use crate::engine::Engine;
use crate::engine::home::Home;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// This machine, under one of its names.
pub struct Local {
    name: String,
    cell: Arc<Cell>,
}

/// What all names of this machine share, once it is open.
pub(super) struct Cell {
    home: Home,
    /// Where the system's service is asked for before an engine of one's own is opened; None where a home was chosen.
    system: Option<PathBuf>,
    open: Mutex<Option<Open>>,
}

/// The machine behind all names.
#[derive(Clone)]
enum Open {
    Embedded(Arc<Engine>),
    Service(Arc<Remote>),
}

impl Cell {
    pub(super) fn new(home: Home, system: Option<PathBuf>) -> Self {
        Cell { home, system, open: Mutex::new(None) }
    }

    fn open(&self, name: &str) -> Result<Open, ApiError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*open {
            return Ok(open.clone());
        }
        let opened = match self.service(name)? {
            Some(service) => Open::Service(Arc::new(service)),
            None => Open::Embedded(Engine::open(self.home.clone())?),
        };
        Ok(open.insert(opened).clone())
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    /// The home that a service of this machine serves.
    pub(super) fn home_of(&self, service: &Remote) -> Home {
        match (&self.system, service.run_dir()) {
            (Some(system), Some(directory)) if directory == system => Home::system(),
            _ => self.home.clone(),
        }
    }

    /// The service of the home; without one the system's, if it grants the caller anything.
    pub(super) fn service(&self, name: &str) -> Result<Option<Remote>, ApiError> {
        if let Some(service) = Remote::of_home(name, self.home.run_dir())? {
            return Ok(Some(service));
        }
        let Some(system) = &self.system else { return Ok(None) };
        let service = Remote::of_home(name, system)?;
        Ok(service.filter(|service| service.own_access() > Access::None))
    }
}

impl Local {
    pub(super) fn new(name: impl Into<String>, cell: Arc<Cell>) -> Self {
        Self { name: name.into(), cell }
    }
}

impl Machine for Local {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        match self.cell.open(&self.name)? {
            Open::Embedded(engine) => engine.call(request, watch),
            Open::Service(service) => service.call(request, watch),
        }
    }

    fn keeps_connections(&self) -> bool {
        let open = self.cell.open.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*open, Some(Open::Service(_)))
    }

    /// A later request would look anew.
    fn close(&self, drain: Duration) -> Vec<String> {
        let open = self.cell.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        match open {
            Some(Open::Embedded(engine)) => engine.close(drain),
            Some(Open::Service(service)) => service.close(drain),
            None => Vec::new(),
        }
    }
}
