//! Connections that outlive their service (architecture.md 6, CNX-01, FBK-03): each is kept when it is made and forgotten when it is
//! disconnected. When the service is started again they are there at once, with numbers from 1 in the order in which they were made,
//! and those that replicated go on as soon as their source and target can be reached: capture begins, then the mirror that
//! `AutoRemirror` says.

use super::connect::far::Far;
use super::connect::mapping::{Ground, shown};
use super::connect::own_target_address;
use super::connect::route::{Circumstances, Route, To};
use super::connection::verifying::VerifyTimes;
use super::connection::{Begun, Capture, Connection, Info, Order, Stage, telling};
use super::job::{JobKind, JobShared};
use super::log::{event, inherit};
use super::repset::RuleSet;
use super::settled::{Kept, Settled};
use super::store::{Survivor, Survivors};
use super::transmission::Traffic;
use super::verifications::Verifying;
use super::{Engine, lock};
use crate::api::{ApiError, Code, ConnectSpec, ConnectTarget, ConnectionId, MirrorSpec};
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// How often who waits to try again looks whether the engine is still there.
const LOOK: Duration = Duration::from_secs(1);
/// What the name of a connection's ledger begins with; its row follows.
const LEDGER: &str = "ledger-";

/// What keeps the connections of a service, and what their targets are known to have.
#[derive(Debug)]
pub(super) struct Keeper {
    survivors: Arc<Survivors>,
    settled: Sender<Kept>,
    /// The directory of the ledgers.
    ledgers: PathBuf,
}

impl Keeper {
    /// Its thread ends when nobody has anything to keep any more.
    fn start(survivors: Survivors, ledgers: PathBuf) -> Result<Keeper, ApiError> {
        let survivors = Arc::new(survivors);
        let (settled, told) = channel();
        let keep = Arc::clone(&survivors);
        let work = inherit(move || {
            for (row, at) in told {
                if let Err(error) = keep.set_settled(row, at) {
                    tracing::warn!(
                        "What the target of a connection is known to have could not be kept: {error}"
                    );
                }
            }
        });
        std::thread::Builder::new()
            .name("keep".to_owned())
            .spawn(work)
            .map_err(|error| ApiError::no_thread(&error))?;
        Ok(Keeper { survivors, settled, ledgers })
    }

    /// From now on what is known of the connection's target is kept.
    fn keeps(&self, settled: &Settled, row: i64) {
        settled.keep(row, self.settled.clone(), self.ledgers.join(format!("{LEDGER}{row}")));
    }

    /// Removes what is kept of connections that are no more.
    fn sweep(&self, rows: &[i64]) {
        let Ok(entries) = std::fs::read_dir(&self.ledgers) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let row = name.to_str().and_then(|name| name.strip_prefix(LEDGER));
            if row.is_some_and(|row| {
                row.parse().is_ok_and(|row: i64| !rows.contains(&row)) || row.ends_with(".new")
            }) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Engine {
    /// For a service: connections are kept from now on, and those of before are there again. Once. An error for a file of
    /// connections that cannot be used; it is left as it is.
    pub fn resume_connections(self: &Arc<Self>) -> Result<(), ApiError> {
        let _entered = self.kept.log.enter();
        let (file, ledgers) = (self.kept.settings.connection_file(), self.kept.settings.data_path());
        let keeper = Keeper::start(Survivors::open(&file)?, ledgers)?;
        let mut waiting = Vec::new();
        let survivors = keeper.survivors.list()?;
        keeper.sweep(&survivors.iter().map(|survivor| survivor.row).collect::<Vec<_>>());
        for survivor in survivors {
            let (row, replicates) = (survivor.row, survivor.replicates);
            match self.take_up(survivor, &keeper) {
                Ok(id) if replicates => waiting.push(id),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!("The connection kept as number {row} cannot be taken up again: {error}");
                }
            }
        }
        self.scheduler.has_all();
        self.watch_schedules();
        // Nobody else can have called.
        let _ = self.survivors.set(keeper);
        self.tasks.take_up(Some(&self.connections()));
        if !waiting.is_empty() {
            let engine = Arc::downgrade(self);
            let work = inherit(move || resume_all(&engine, waiting));
            std::thread::Builder::new()
                .name("resume".to_owned())
                .spawn(work)
                .map_err(|error| ApiError::no_thread(&error))?;
        }
        Ok(())
    }

    /// Makes a connection of before, at rest.
    fn take_up(&self, survivor: Survivor, keeper: &Keeper) -> Result<ConnectionId, ApiError> {
        let Survivor { row, spec, replicates, established_ms, settled, verify } = survivor;
        let spec = spec.ok_or_else(|| {
            ApiError::new(Code::UnknownError, "what is kept of it cannot be read")
                .help("DISCONNECT is not possible: connect anew")
        })?;
        let (target, far) = match &spec.target {
            ConnectTarget::Far { machine, granted } => {
                let far = Far::of(machine, granted, self.machine_key()?)?;
                (machine.clone(), Some(Arc::new(far)))
            }
            ConnectTarget::Machine(name) => (name.clone(), None),
            ConnectTarget::Tdu { .. } => return Err(ApiError::bare(Code::OperationOrCommandIsNotSupported)),
        };
        let transmission = match far {
            Some(_) => self.kept.targets.known(&target)?,
            None => self.kept.targets.here(),
        };
        let repset = self.spelled(&spec.repset)?;
        // Without its rules it can still be disconnected.
        let rules = self.kept.store.rules_in_force(&repset).unwrap_or_else(|error| {
            tracing::error!("{error}");
            Arc::new(RuleSet::new(Vec::new()))
        });
        let handle = self.handle()?;
        let id = self.take_id()?;
        let kept_row = OnceLock::new();
        let _ = kept_row.set(row);
        let address = match &far {
            // Looked for when it is dialled.
            Some(_) => target.clone(),
            None => own_target_address(),
        };
        let info = Info {
            id,
            repset: repset.clone(),
            target,
            target_address: address,
            source: self.source.clone(),
            established_ms,
            log_dir: shown(self.log_dir()),
            map: spec.map.clone(),
            far: far.clone(),
            orphans: spec.orphans == Some(true),
            null: false,
            row: kept_row,
            settled: Arc::new(Settled::of(established_ms, settled)),
            transmission,
            traffic: Traffic::of(self.statistics.connection()),
            verifying: Verifying::of(verify),
            statistics: None,
        };
        keeper.keeps(&info.settled, row);
        let (forbidden, own) = (self.forbidden(), self.own_directories());
        let ground = Ground { data_root: self.home.data_root(), source: &self.source, repset: &repset };
        let around = Circumstances { ground, forbidden: &forbidden, own: &own, to: info.to(), sees: true };
        let route = Arc::new(Route::dormant(rules, &spec.map, around));
        tracing::info!("Connection {id} of {repset} to {} is there again", info.target);
        let connection = Connection::open(info, route, self.means(), &handle);
        if replicates {
            connection.resumes(Some("it begins".to_owned()));
        }
        self.keep(connection)?;
        Ok(id)
    }

    /// Keeps a connection for the next start.
    pub(super) fn keep_for_later(
        &self,
        info: &Info,
        spec: &ConnectSpec,
        replicates: bool,
    ) -> Result<(), ApiError> {
        let Some(keeper) = self.survivors.get().filter(|_| !matches!(info.to(), To::Null)) else {
            return Ok(());
        };
        let row = keeper.survivors.add(spec, replicates, info.established_ms)?;
        // A connection is kept once.
        let _ = info.row.set(row);
        keeper.keeps(&info.settled, row);
        Ok(())
    }

    /// Replication was begun or ended by a person.
    pub(super) fn keeps_replicating(&self, info: &Info, replicates: bool) {
        info.settled.forget_ledger(!replicates);
        self.kept_row(info, |survivors, row| survivors.set_replicates(row, replicates));
    }

    /// When the connection is verified has changed.
    pub(super) fn keep_verify_times(&self, info: &Info, times: Option<&VerifyTimes>) {
        self.kept_row(info, |survivors, row| survivors.set_verify(row, times));
    }

    /// The connection has ended for good.
    pub(super) fn forget_for_later(&self, info: &Info) {
        info.settled.forget_ledger(true);
        self.kept_row(info, Survivors::remove);
    }

    fn kept_row(&self, info: &Info, work: impl FnOnce(&Survivors, i64) -> Result<(), ApiError>) {
        if let (Some(keeper), Some(row)) = (self.survivors.get(), info.row.get())
            && let Err(error) = work(&keeper.survivors, *row)
        {
            tracing::error!("What is kept of connection {} could not be changed: {error}", info.id);
        }
    }

    /// Lets a connection go on as before, unless a person has done so or ended it.
    fn resume(&self, id: ConnectionId, is_first: bool) -> Result<(), ApiError> {
        let Ok(connection) = self.connection(id) else { return Ok(()) };
        if !matches!(connection.view().state.stage, Stage::Off) {
            return Ok(());
        }
        let automatic = (self.automatic())();
        if !automatic.reconnect {
            connection.resumes(None);
            tracing::warn!("Connection {id} does not go on by itself: AutoReconnect is 0");
            return Ok(());
        }
        if is_first {
            event!(AutoReconnectBegun, "Auto-reconnect begins to {}", telling::place(&connection.info));
        }
        let turn = lock(&self.connecting);
        let (mut plan, route) = self.way(&connection)?;
        let then = automatic.remirror.map(|(mirror, checksum_all)| {
            plan.settings.checksum_all = checksum_all;
            // What was removed while nobody saw it is an orphan now.
            let mirror = MirrorSpec { orphans: mirror.orphans || connection.info.orphans, ..mirror };
            Order {
                kind: JobKind::Mirror(mirror),
                plan: plan.clone(),
                route: Arc::clone(&route),
                calculate: false,
                shared: JobShared::new(),
            }
        });
        let begun = connection.replicate(Capture { plan, route, then })?;
        drop(turn);
        if let Begun::Starting(begun) = begun {
            connection.captures(begun, &())?;
        }
        connection.info.traffic.counts.reconnects();
        event!(AutoReconnectDone, "Auto-reconnect has succeeded to {}", telling::place(&connection.info));
        Ok(())
    }
}

/// Tries until each of them goes on.
fn resume_all(engine: &Weak<Engine>, mut waiting: Vec<ConnectionId>) {
    let mut is_first = true;
    while !waiting.is_empty() {
        let Some(engine_now) = engine.upgrade() else { return };
        let mut again = Vec::new();
        for id in waiting {
            if engine_now.is_closed() {
                return;
            }
            let Err(error) = engine_now.resume(id, is_first) else { continue };
            tracing::warn!("Connection {id} cannot go on yet: {error}");
            if let Ok(connection) = engine_now.connection(id) {
                // Each try has its line; administrators hear of the first of a row for the same reason.
                if connection.view().state.resumes.as_ref() != Some(&error.message) {
                    let place = telling::place(&connection.info);
                    event!(AutoReconnectFailed, "Auto-reconnect has failed to {place}: {error}");
                }
                connection.resumes(Some(error.message));
                again.push(id);
            }
        }
        waiting = again;
        is_first = false;
        let retry = engine_now.kept.settings.auto_remirror().retry;
        let until = engine_now.clock.now() + retry;
        drop(engine_now);
        while !waiting.is_empty() {
            let Some(engine) = engine.upgrade().filter(|engine| !engine.is_closed()) else { return };
            if engine.clock.now() >= until {
                break;
            }
            drop(engine);
            std::thread::sleep(LOOK.min(retry));
        }
    }
}
