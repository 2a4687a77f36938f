//! Machines as a dry run sees them: requests are answered by a copy of each machine's state ([`Rehearsal`]), and only questions reach
//! the machine itself.
//!
//! A machine without a service is copied from its home. One with a service tells its options and sets; its connections stay there and
//! are asked for their status, and a request that would change one is taken as carried out.

use super::known::Known;
use super::local::Cell;
use super::remote::Remote;
use super::{Connector, Machine};
use crate::api::{ApiError, Code, ConnectionId, ConnectionStatus, Event, Reply, Request, Watch};
use crate::engine::connect::address::{self, Address, Place};
use crate::engine::home::Home;
use crate::engine::rehearsal::Rehearsal;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Finds machines by name, and hands out their copies.
pub(super) struct Rehearsed {
    cell: Cell,
    known: Known,
    /// This machine's, once it is needed.
    here: Arc<Mutex<Option<Arc<Stage>>>>,
}

impl Rehearsed {
    pub(super) fn new(cell: Cell, known: Known) -> Rehearsed {
        Rehearsed { cell, known, here: Arc::default() }
    }
}

impl Connector for Rehearsed {
    fn local(&self) -> String {
        address::own_name()
    }

    fn vet_option(&self, name: &str, value: Option<&str>) -> Result<(), ApiError> {
        crate::engine::settings::vet(name, value)
    }

    fn option_names(&self) -> Vec<&'static str> {
        crate::engine::settings::names()
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Machine>, ApiError> {
        let address = Address::parse(name)?;
        let (real, stage, home) = match address.locate()? {
            Place::Here => {
                let service = self.cell.service(name)?.map(Arc::new);
                let home =
                    service.as_ref().map_or_else(|| self.cell.home().clone(), |real| self.cell.home_of(real));
                (service, Arc::clone(&self.here), Some(home))
            }
            Place::There(at) => {
                let label = Address { port: Some(at.port()), ..address }.to_string();
                (Some(Arc::new(Remote::at(name, at, &label, self.known.clone())?)), Arc::default(), None)
            }
        };
        Ok(Arc::new(Understudy { name: name.to_owned(), real, home, stage }))
    }
}

/// One machine, under one of its names.
struct Understudy {
    name: String,
    /// Its service; none: the copy is all there is.
    real: Option<Arc<Remote>>,
    /// Of this machine.
    home: Option<Home>,
    stage: Arc<Mutex<Option<Arc<Stage>>>>,
}

/// A machine's copy.
struct Stage {
    copy: Rehearsal,
    /// Connections of the service that were not disconnected here.
    live: Mutex<BTreeSet<ConnectionId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Understudy {
    fn stage(&self) -> Result<Arc<Stage>, ApiError> {
        let mut stage = lock(&self.stage);
        if let Some(stage) = &*stage {
            return Ok(Arc::clone(stage));
        }
        let made = match (&self.real, &self.home) {
            (None, Some(home)) => Stage { copy: Rehearsal::of_home(home)?, live: Mutex::default() },
            (Some(real), home) => Stage::of_service(real, home.as_ref())?,
            (None, None) => return Err(ApiError::bare(Code::ServerIsNotResponding)),
        };
        Ok(Arc::clone(stage.insert(Arc::new(made))))
    }
}

impl Machine for Understudy {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        let Some(real) = &self.real else { return self.stage()?.copy.call(request, watch) };
        if is_of_the_service(&request) {
            return real.call(request, watch);
        }
        if request == Request::Shutdown {
            return Ok(Reply::Done);
        }
        let stage = self.stage()?;
        match &request {
            Request::RepsetCalculate { repset } if self.home.is_none() => {
                return stage.size(real, repset, watch);
            }
            // Nothing of a run's own connections has happened there, and the copy sees no file of another machine.
            Request::Explain { connection, .. } if self.home.is_none() => {
                return match connection {
                    Some(id) if !lock(&stage.live).contains(id) => Err(untold("what has become of a path")),
                    _ => real.call(request, watch),
                };
            }
            _ => {}
        }
        match request.connection() {
            Some(id) if lock(&stage.live).contains(&id) => stage.of_live(real, id, request, watch),
            _ => stage.answer(real, request, watch),
        }
    }

    fn keeps_connections(&self) -> bool {
        self.real.is_some()
    }

    fn is_far(&self) -> bool {
        self.home.is_none()
    }

    /// Nothing that was rehearsed is worth a word at the end.
    fn close(&self, drain: Duration) -> Vec<String> {
        lock(&self.stage).take();
        self.real.as_ref().map_or_else(Vec::new, |real| real.close(drain))
    }
}

/// Questions whose answer only the machine itself knows, and who may ask.
fn is_of_the_service(request: &Request) -> bool {
    use Request::*;
    matches!(
        request,
        Login { .. }
            | Logout
            | Ping
            | Version
            | Directory { .. }
            | StatusSource
            | StatusTarget
            | Grants
            | Compressions
            | Bandwidths
            | BandwidthSchedule { .. }
            | ScheduleView { .. }
            | TaskList
            | TaskStatus { .. }
    )
}

/// The target that a request is about by its name, and not by a connection's number.
fn target(request: &Request) -> Option<&str> {
    match request {
        Request::QueueTask(spec) => Some(&spec.target),
        Request::PauseTarget { target, .. } | Request::Transmission { target, .. } => Some(target),
        _ => None,
    }
}

impl Stage {
    /// The options and sets as the service tells them.
    fn of_service(real: &Remote, home: Option<&Home>) -> Result<Stage, ApiError> {
        let ask = |request| real.call(request, &mut ());
        let rows = match ask(Request::Options { pattern: None })? {
            Reply::Settings(rows) => rows,
            _ => return Err(unexpected()),
        };
        let copy = Rehearsal::of_options(&rows, home)?;
        let Reply::Repsets(sets) = ask(Request::RepsetList)? else { return Err(unexpected()) };
        for set in sets {
            let Reply::Text(text) = ask(Request::RepsetExport { repset: set.name.clone() })? else {
                return Err(unexpected());
            };
            copy.call(Request::RepsetImport { text, name: Some(set.name.clone()) }, &mut ())?;
            if set.saved {
                copy.call(Request::RepsetSave { repset: Some(set.name) }, &mut ())?;
            }
        }
        let live: BTreeSet<ConnectionId> = statuses(real)?.iter().map(|status| status.id).collect();
        if let Some(last) = live.last() {
            copy.number_from(*last);
        }
        Ok(Stage { copy, live: Mutex::new(live) })
    }

    /// A request about a connection that the service has.
    fn of_live(
        &self,
        real: &Remote,
        id: ConnectionId,
        request: Request,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        match request {
            Request::Disconnect { .. } => {
                lock(&self.live).remove(&id);
                Ok(Reply::Done)
            }
            // What it would wait for comes from what this run would have done.
            Request::Wait { .. } | Request::Barrier { .. } => Ok(Reply::Done),
            request if request.changes() => Ok(Reply::Done),
            request => real.call(request, watch),
        }
    }

    /// What was counted before: counting anew is kept by the service, and is a change.
    fn size(&self, real: &Remote, repset: &str, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        // By its name in this run, and refused as it would be.
        self.copy.call(Request::RepsetDisplay { repset: repset.to_owned() }, watch)?;
        let kept = match real.call(Request::RepsetDisplay { repset: repset.to_owned() }, watch) {
            Ok(Reply::Repset(detail)) => detail.size,
            _ => None,
        };
        let size = kept.ok_or_else(|| untold("the size of a set that was never counted"))?;
        watch.event(Event::Notice(format!(
            "{repset} is not counted in a dry run: this is what was counted before"
        )));
        Ok(Reply::Size(size))
    }

    /// A request about a target that connections of the service lead to.
    fn of_target(&self, live: u64, request: Request) -> Result<Reply, ApiError> {
        // Connections of this run hear of it, too; what it is for them alone is not the answer.
        let task = matches!(request, Request::QueueTask(_));
        match self.copy.call(request, &mut ()) {
            Err(error) if task && error.code != Code::ConnectionDoesNotExist => Err(error),
            Ok(Reply::Numbers(mut numbers)) => {
                let last = numbers.last().copied().unwrap_or(0);
                numbers.extend((1..=live).map(|more| last + more));
                Ok(Reply::Numbers(numbers))
            }
            _ if task => Ok(Reply::Numbers((1..=live).collect())),
            _ => Ok(Reply::Done),
        }
    }

    /// Any other request: of the copy, with the service's connections where all are asked for.
    fn answer(&self, real: &Remote, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        if let Some(target) = target(&request) {
            let leads = |status: &&ConnectionStatus| leads_to(status, target, real.is_far());
            let live = self.live(real)?.iter().filter(leads).count();
            if live > 0 {
                return self.of_target(live as u64, request);
            }
        }
        if let Request::RepsetRename { repset, .. } | Request::RepsetDelete { repset } = &request
            && self.live(real)?.iter().any(|status| status.repset.eq_ignore_ascii_case(repset))
        {
            return Err(ApiError::new(
                Code::JobIsInUse,
                format!("the replication set \"{repset}\" is connected"),
            )
            .help("disconnect it first (DISCONNECT <con_id>)"));
        }
        let asked = request.clone();
        let answer = self.copy.call(request, watch);
        match (asked, answer) {
            (Request::StatusAll, Ok(Reply::Connections(own))) => {
                let mut all = self.live(real)?;
                all.extend(own);
                Ok(Reply::Connections(all))
            }
            (asked @ Request::ConnectionIdOf { .. }, Err(error))
                if error.code == Code::ConnectionDoesNotExist =>
            {
                match real.call(asked, watch)? {
                    Reply::Connected(id) if lock(&self.live).contains(&id) => Ok(Reply::Connected(id)),
                    _ => Err(error),
                }
            }
            (_, answer) => answer,
        }
    }

    fn live(&self, real: &Remote) -> Result<Vec<ConnectionStatus>, ApiError> {
        let live = lock(&self.live);
        Ok(statuses(real)?.into_iter().filter(|status| live.contains(&status.id)).collect())
    }
}

/// Does a connection of a service lead there? A machine may have several names.
fn leads_to(status: &ConnectionStatus, target: &str, far: bool) -> bool {
    let own = |name: &str| !far && address::is_here(name);
    status.target.eq_ignore_ascii_case(target)
        || status.target_address == target
        || (own(target) && own(&status.target))
}

fn untold(what: &str) -> ApiError {
    let message = format!("{what} cannot be told in a dry run");
    ApiError::new(Code::OperationOrCommandIsNotSupported, message).help("ask outside of a dry run")
}

fn statuses(real: &Remote) -> Result<Vec<ConnectionStatus>, ApiError> {
    match real.call(Request::StatusAll, &mut ())? {
        Reply::Connections(all) => Ok(all),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> ApiError {
    ApiError::new(Code::UnknownError, "the machine's answer does not fit the question")
        .help("the versions of this program and of the service there differ")
}
