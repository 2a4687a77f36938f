//! CONNECT from the first check to the connection's ID. Nothing is changed before all checks have passed.

use super::address::{self, Address};
use super::far::Far;
use super::mapping::{Ground, shown};
use super::route::{Circumstances, Other, Route, To};
use super::tdu::Throughput;
use crate::api::{
    ApiError, Code, ConnectSpec, ConnectTarget, ConnectionId, Event, MapSpec, MirrorKind, MirrorSpec, Reply,
    Watch,
};
use crate::engine::calls::transmission::level;
use crate::engine::connection::{Automatic, Begun, Capture, Connection, Info, Means, Order, telling};
use crate::engine::job::{JobKind, JobPlan, JobShared, Sink};
use crate::engine::repset::RuleSet;
use crate::engine::settings::{MirrorSettings, RemirrorKind};
use crate::engine::settled::Settled;
use crate::engine::transmission::Traffic;
use crate::engine::verifications::Verifying;
use crate::engine::{Engine, lock};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The null target's name in place of a machine's and an address.
const TDU: &str = "TDU";

impl Engine {
    /// `CONNECT`.
    pub(in crate::engine) fn connect(
        &self,
        spec: &ConnectSpec,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        self.refuse_what_does_not_exist(spec)?;
        let compress = spec.compress.as_deref().map(level).transpose()?;
        let rules = self.saved_rules(&spec.repset)?;
        let repset = self.spelled(&spec.repset)?;
        let (target, far) = match &spec.target {
            ConnectTarget::Machine(name) => {
                address::reach(name)?;
                (name.clone(), None)
            }
            ConnectTarget::Far { machine, granted } => {
                let far = Far::of(machine, granted, self.machine_key()?)?;
                let far = if self.runner.rehearses() { far.rehearsed() } else { far };
                (machine.clone(), Some(Arc::new(far)))
            }
            ConnectTarget::Tdu { .. } => (TDU.to_owned(), None),
        };
        let to = match (&far, &spec.target) {
            (Some(far), _) => To::Far(far),
            (None, ConnectTarget::Tdu { .. }) => To::Null,
            (None, _) => To::Here,
        };
        if let Some(route) = &spec.route {
            self.check_route(route, to)?;
        }
        let mirror = spec.mirror.map(|mirror| MirrorSpec {
            calculate: mirror.calculate
                || spec.calculate.unwrap_or_else(|| self.kept.settings.calculate_on_connect()),
            orphans: mirror.orphans || spec.orphans == Some(true),
            dry_run: mirror.dry_run || spec.dry_run,
            ..mirror
        });
        if let Some(mirror) = &mirror {
            self.check_mirror(mirror)?;
        }

        // One at a time, so that two cannot take the same place.
        let turn = lock(&self.connecting);
        let route = Arc::new(self.route(&repset, rules, &spec.map, to, None)?);
        for notice in &route.notices {
            watch.event(Event::Notice(notice.clone()));
        }
        let statistics = match &spec.target {
            ConnectTarget::Tdu { file } if !spec.dry_run => Some(self.throughput(file.as_deref())?),
            _ => None,
        };
        let established_ms = self.clock.wall_ms();
        let info = Info {
            // Taken when nothing else can be refused; the log of a dry run shows the number that comes next.
            id: self.next_id(),
            repset: repset.clone(),
            target: target.clone(),
            target_address: target_address(to)?,
            source: self.source.clone(),
            established_ms,
            log_dir: shown(self.log_dir()),
            map: spec.map.clone(),
            far: far.clone(),
            orphans: spec.orphans == Some(true),
            null: matches!(to, To::Null),
            row: OnceLock::new(),
            settled: Arc::new(Settled::of(established_ms, 0)),
            transmission: self.transmission_to(to, &target)?,
            traffic: Traffic::of(self.statistics.connection()),
            verifying: Verifying::default(),
            statistics,
        };
        if spec.dry_run {
            drop(turn);
            let plan = self.plan(&info, &route);
            return match mirror {
                Some(mirror) => self.dry_run(&plan, mirror, None, watch),
                None => Ok(Reply::DryRun { files: 0, bytes: 0 }),
            };
        }

        let handle = self.handle()?;
        let id = self.take_id()?;
        let info = Info { id, ..info };
        log_connect(&info, &route);
        telling::connected(&info);
        let plan = self.plan(&info, &route);
        // What can fail comes before there is something to be taken back.
        if let Some(level) = compress {
            self.compress(&info.transmission, &target, level, watch)
                .inspect_err(|_| info.give_grant_back())?;
        }
        let connection = Connection::open(info, Arc::clone(&route), self.means(), &handle);
        if let (Some(orphans), None) = (spec.orphans, &far) {
            self.orphans.switch(orphans);
        }
        let order = mirror.map(|mirror| Order {
            kind: JobKind::Mirror(mirror),
            plan: plan.clone(),
            route: Arc::clone(&route),
            calculate: mirror.calculate,
            shared: JobShared::new(),
        });
        // The null target is counted by mirrors alone.
        let replicates = spec.replicate.unwrap_or(!matches!(to, To::Null));
        let begun = if replicates {
            connection.replicate(Capture { plan, route, then: order }).map(Some)
        } else {
            order.map_or(Ok(()), |order| connection.start(order)).map(|()| None)
        };
        // Setting up capture may take a while: the place is taken meanwhile, and others can take theirs.
        let kept = self.keep(connection.clone());
        drop(turn);
        kept?;
        let result = match begun {
            Ok(Some(Begun::Starting(begun))) => connection.captures(begun, watch),
            Ok(Some(Begun::Released(_)) | None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            // What was asked for did not begin, so nothing of it stays.
            let _ = connection.close(true, Duration::ZERO, &());
            self.forget(id);
            telling::disconnected(&connection.info, true);
            connection.info.give_grant_back();
            return Err(error);
        }
        if let Some(why) = connection.info.transmission.held(&connection.info.target) {
            watch.event(Event::Notice(format!("{why}; until then nothing of connection {id} is sent")));
        }
        if let Err(error) = self.keep_for_later(&connection.info, spec, replicates) {
            watch.event(Event::Notice(format!(
                "connection {id} will not be resumed when the service is started again: {error}"
            )));
        }
        Ok(Reply::Connected(id))
    }

    /// What a connection's task works with.
    pub(in crate::engine) fn means(&self) -> Means {
        Means {
            runner: Arc::clone(&self.runner),
            clock: Arc::clone(&self.clock),
            counted: self.size_keeper(),
            automatic: self.automatic(),
        }
    }

    /// What a connection does by itself, as the settings say at the time.
    pub(in crate::engine) fn automatic(&self) -> Arc<dyn Fn() -> Automatic + Send + Sync> {
        let settings = Arc::clone(&self.kept.settings);
        Arc::new(move || {
            let automatic = settings.auto_remirror();
            let remirror = automatic.kind.map(|kind| {
                let (kind, checksum, all) = match kind {
                    RemirrorKind::Full => (MirrorKind::Full, false, false),
                    RemirrorKind::Different => (MirrorKind::Different, false, false),
                    RemirrorKind::Checksum { all } => (MirrorKind::Different, true, all),
                };
                (MirrorSpec { kind, checksum, ..MirrorSpec::default() }, all)
            });
            Automatic { reconnect: automatic.reconnect, remirror, retry: automatic.retry }
        })
    }

    fn refuse_what_does_not_exist(&self, spec: &ConnectSpec) -> Result<(), ApiError> {
        let refused = |message: &str, help: &str| {
            Err(ApiError::new(Code::OperationOrCommandIsNotSupported, message).help(help))
        };
        if spec.compress.is_some() && matches!(spec.target, ConnectTarget::Tdu { .. }) {
            return refused("COMPRESS: nothing is sent to the null target", "leave it out");
        }
        if spec.replicate == Some(true) && matches!(spec.target, ConnectTarget::Tdu { .. }) {
            return refused(
                "REPLICATE: the null target keeps nothing, so there is nothing that changes could be applied to",
                "leave it out: a mirror to the null target counts all that is there",
            );
        }
        Ok(())
    }

    /// ROUTE to this machine is accepted: it is where the target is.
    fn check_route(&self, text: &str, to: To<'_>) -> Result<(), ApiError> {
        let wrong = |why: String| {
            ApiError::new(Code::InvalidParameterWasSupplied, format!("ROUTE {text}: {why}"))
                .help("leave ROUTE out: the target is on this machine")
        };
        match to {
            To::Here => {}
            To::Null => return Err(wrong("no route leads to the null target".into())),
            To::Far(_) => {
                return Err(ApiError::new(
                    Code::OperationOrCommandIsNotSupported,
                    "ROUTE to another machine is not yet available in this version",
                )
                .help("leave it out, and name the target by the address of the route"));
            }
        }
        let address = Address::parse(text)?;
        let here = match address.host.parse::<IpAddr>() {
            Ok(ip) => address::is_own_address(ip),
            Err(_) => address::reach(&address.host).is_ok(),
        };
        if !here {
            return Err(wrong("it leads to another machine than the target".into()));
        }
        let port = address::DEFAULT_PORT;
        match address.port {
            Some(other) if other != port => Err(wrong(format!("the target's port is {port} (NetPort)"))),
            _ => Ok(()),
        }
    }

    /// The way of a set, and that no other connection than `but` is in the way.
    pub(in crate::engine) fn route(
        &self,
        repset: &str,
        rules: Arc<RuleSet>,
        map: &MapSpec,
        to: To<'_>,
        but: Option<ConnectionId>,
    ) -> Result<Route, ApiError> {
        let forbidden = self.forbidden();
        let own = self.own_directories();
        let ground = Ground { data_root: self.home.data_root(), source: &self.source, repset };
        let sees = self.runner.sees_files();
        let mut route =
            Route::find(rules, map, Circumstances { ground, forbidden: &forbidden, own: &own, to, sees })?;
        let connections = self.connections();
        let views: Vec<_> = connections
            .iter()
            .filter(|connection| Some(connection.info.id) != but)
            .map(|connection| (connection, connection.view()))
            .collect();
        let others = || {
            views.iter().map(|(connection, view)| Other {
                id: connection.info.id,
                repset: &connection.info.repset,
                route: &view.route,
            })
        };
        route.refuse_shared_places(others())?;
        self.refuse_granted(&route.places().collect::<Vec<_>>())?;
        let shared: Vec<String> = others()
            .filter(|other| !other.repset.eq_ignore_ascii_case(repset))
            .filter_map(|o| route.shared_data(&o))
            .collect();
        route.notices.extend(shared);
        Ok(route)
    }

    /// What a job gets.
    pub(in crate::engine) fn plan(&self, info: &Info, route: &Route) -> JobPlan {
        let sink = match info.to() {
            To::Here => Sink::Local,
            To::Null => Sink::Null,
            To::Far(far) => Sink::Far(Arc::clone(far)),
        };
        JobPlan {
            connection: info.id,
            repset: info.repset.clone(),
            rules: Arc::clone(&route.rules),
            paths: route.paths.clone(),
            settings: MirrorSettings {
                // Here this machine is the target, too.
                received: matches!(sink, Sink::Local).then(|| {
                    let own = address::own_address();
                    self.statistics.target(own, own)
                }),
                ..self.mirror_settings()
            },
            verify_log: self.kept.settings.verify_log(),
            elsewhere: if info.null { Vec::new() } else { self.elsewhere(info.id, &info.repset) },
            forbidden: self.forbidden(),
            sink,
            source_name: self.source.clone(),
            target_name: info.target.clone(),
            target_address: crate::engine::connection::ip_words(&info.target_address),
            settled: Arc::clone(&info.settled),
            transmission: Arc::clone(&info.transmission),
            traffic: Arc::clone(&info.traffic),
        }
    }

    /// The connections of other sets that were made before this one: what they send, this one leaves to them (REP-34).
    pub(in crate::engine) fn elsewhere(
        &self,
        id: ConnectionId,
        repset: &str,
    ) -> Vec<(ConnectionId, Arc<RuleSet>)> {
        self.connections()
            .iter()
            .filter(|other| !other.is_null() && other.info.id < id && other.info.repset != repset)
            .map(|other| (other.info.id, Arc::clone(&other.view().route.rules)))
            .collect()
    }

    fn throughput(&self, name: Option<&str>) -> Result<Throughput, ApiError> {
        let settings = self.kept.settings.statistics();
        let recorder = self.statistics_file(name.unwrap_or(&settings.file), &settings)?;
        Ok(Throughput::new(recorder, self.me()))
    }
}

/// Where this machine is a target.
pub(in crate::engine) fn own_target_address() -> String {
    format!("{}:{}", address::own_address(), address::DEFAULT_PORT)
}

/// `<ip>:<port>`, or `TDU`. -109 when the name of another machine is not known.
fn target_address(to: To<'_>) -> Result<String, ApiError> {
    Ok(match to {
        To::Here => own_target_address(),
        To::Null => TDU.to_owned(),
        To::Far(far) => far.addresses()?.first().map(ToString::to_string).unwrap_or_default(),
    })
}

/// The lines of log-lines.md about a new connection.
fn log_connect(info: &Info, route: &Route) {
    let id = info.id;
    for rule in route.rules.rules() {
        let kind = if rule.include { "Inc" } else { "Exc" };
        let depth = if rule.recursive { "Rec" } else { "NonRec" };
        tracing::info!("{} --> {kind}, {depth} ({id})", shown(&rule.path));
    }
    for notice in &route.notices {
        tracing::warn!("{notice} ({id})");
    }
    if let To::Null = info.to() {
        tracing::info!(
            "Connected to the Throughput Diagnostics Utility (TDU) for Replication Set {}",
            info.repset
        );
    } else {
        let address = crate::engine::connection::ip_words(&info.target_address);
        tracing::info!("Connected to {} IP address {address}", info.target);
        tracing::info!(
            "Service has established a connection to ({}) for Replication Set {}",
            info.target_address,
            info.repset
        );
        tracing::info!(
            "Starting target for source {} {address}, target {} {address}",
            info.source,
            info.target
        );
    }
    for mapping in &route.paths {
        tracing::info!("{} is mapped to {} ({id})", shown(&mapping.source), shown(&mapping.target));
    }
}
