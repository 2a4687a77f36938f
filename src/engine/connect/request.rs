//! CONNECT from the first check to the connection's ID. Nothing is changed before all checks have passed.

use super::address::{self, Address};
use super::mapping::{Ground, shown};
use super::route::{Circumstances, Other, Route};
use super::tdu::StatisticsFile;
use crate::api::{
    ApiError, Code, ConnectSpec, ConnectTarget, ConnectionId, Event, MapSpec, MirrorSpec, Reply, Watch,
};
use crate::engine::connection::{Connection, Info, Means, Order};
use crate::engine::job::{JobKind, JobPlan, JobShared, Sink};
use crate::engine::repset::RuleSet;
use crate::engine::{Engine, lock};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The null target's name in place of a machine's and an address.
const TDU: &str = "TDU";

impl Engine {
    /// `CONNECT`.
    pub(in crate::engine) fn connect(
        &self,
        spec: &ConnectSpec,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        self.refuse_what_is_not_there_yet(spec)?;
        let rules = self.saved_rules(&spec.repset)?;
        let repset = self.spelled(&spec.repset)?;
        let (target, null) = match &spec.target {
            ConnectTarget::Machine(name) => {
                address::reach(name)?;
                (name.clone(), false)
            }
            ConnectTarget::Tdu { .. } => (TDU.to_owned(), true),
        };
        if let Some(route) = &spec.route {
            self.check_route(route, null)?;
        }
        let mirror = spec.mirror.map(|mirror| MirrorSpec {
            calculate: mirror.calculate
                || spec.calculate.unwrap_or_else(|| self.kept.settings.calculate_on_connect()),
            orphans: mirror.orphans || spec.orphans.unwrap_or_else(|| self.orphans.load(Relaxed)),
            dry_run: mirror.dry_run || spec.dry_run,
            ..mirror
        });
        if let Some(mirror) = &mirror {
            self.check_mirror(mirror)?;
        }

        // One at a time, so that two cannot take the same place.
        let turn = lock(&self.connecting);
        let route = Arc::new(self.route(&repset, rules, &spec.map, null, None)?);
        for notice in &route.notices {
            watch.event(Event::Notice(notice.clone()));
        }
        if spec.dry_run {
            drop(turn);
            // The number that the connection would get is only for the log.
            let plan = self.plan(self.next_id(), &repset, &target, &route, null);
            return match mirror {
                Some(mirror) => self.dry_run(&plan, mirror, watch),
                None => Ok(Reply::DryRun { files: 0, bytes: 0 }),
            };
        }
        let statistics = match &spec.target {
            ConnectTarget::Tdu { file } => Some(self.statistics_file(file.as_deref())?),
            ConnectTarget::Machine(_) => None,
        };

        let handle = self.handle()?;
        let id = self.take_id()?;
        let info = Info {
            id,
            repset: repset.clone(),
            target: target.clone(),
            target_address: self.target_address(null),
            source: self.source.clone(),
            established_ms: self.clock.wall_ms(),
            log_dir: shown(self.log_dir()),
            map: spec.map.clone(),
            statistics,
        };
        log_connect(&info, &route, null);
        let means = Means {
            runner: Arc::clone(&self.runner),
            clock: Arc::clone(&self.clock),
            counted: self.size_keeper(),
        };
        let connection = Connection::open(info, Arc::clone(&route), means, &handle);
        if let Some(orphans) = spec.orphans {
            self.orphans.store(orphans, Relaxed);
        }
        if let Some(mirror) = mirror {
            let order = Order {
                kind: JobKind::Mirror(mirror),
                plan: self.plan(id, &repset, &target, &route, null),
                route,
                calculate: mirror.calculate,
                shared: JobShared::new(),
            };
            if let Err(error) = connection.start(order) {
                // The place is not taken: nobody has seen the connection yet.
                let _ = connection.close(true, &());
                return Err(error);
            }
        }
        self.keep(connection)?;
        drop(turn);
        Ok(Reply::Connected(id))
    }

    fn refuse_what_is_not_there_yet(&self, spec: &ConnectSpec) -> Result<(), ApiError> {
        let later = |what: &str, help: &str| {
            Err(ApiError::new(
                Code::OperationOrCommandIsNotSupported,
                format!("{what} is not yet available in this version"),
            )
            .help(help))
        };
        if spec.replicate == Some(true) {
            return later(
                "REPLICATE",
                "leave it out: NOREPLICATE is the default until real-time replication exists",
            );
        }
        if spec.compress.is_some() {
            return later(
                "COMPRESS",
                "leave it out: what stays on this machine is not transmitted compressed",
            );
        }
        Ok(())
    }

    /// ROUTE to this machine is accepted: it is where the target is.
    fn check_route(&self, text: &str, null: bool) -> Result<(), ApiError> {
        let wrong = |why: String| {
            ApiError::new(Code::InvalidParameterWasSupplied, format!("ROUTE {text}: {why}"))
                .help("leave ROUTE out: the target is on this machine")
        };
        if null {
            return Err(wrong("no route leads to the null target".into()));
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
        null: bool,
        but: Option<ConnectionId>,
    ) -> Result<Route, ApiError> {
        let forbidden = self.forbidden();
        let own = self.own_directories();
        let ground = Ground { data_root: self.home.data_root(), source: &self.source, repset };
        let mut route =
            Route::find(rules, map, Circumstances { ground, forbidden: &forbidden, own: &own, null })?;
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
        let shared: Vec<String> = others()
            .filter(|other| !other.repset.eq_ignore_ascii_case(repset))
            .filter_map(|o| route.shared_data(&o))
            .collect();
        route.notices.extend(shared);
        Ok(route)
    }

    /// What a job gets.
    pub(in crate::engine) fn plan(
        &self,
        connection: ConnectionId,
        repset: &str,
        target: &str,
        route: &Route,
        null: bool,
    ) -> JobPlan {
        JobPlan {
            connection,
            repset: repset.to_owned(),
            rules: Arc::clone(&route.rules),
            paths: route.paths.clone(),
            settings: self.mirror_settings(),
            verify_log: self.kept.settings.verify_log(),
            forbidden: self.forbidden(),
            sink: if null { Sink::Null } else { Sink::Local },
            source_name: self.source.clone(),
            target_name: target.to_owned(),
            target_address: crate::engine::connection::ip_words(&self.target_address(null)),
        }
    }

    /// `<ip>:<port>`, or `TDU`.
    fn target_address(&self, null: bool) -> String {
        if null { TDU.to_owned() } else { format!("{}:{}", address::own_address(), address::DEFAULT_PORT) }
    }

    fn statistics_file(&self, name: Option<&str>) -> Result<StatisticsFile, ApiError> {
        let (default, keep) = self.kept.settings.statistics_file();
        StatisticsFile::prepare(name.unwrap_or(&default), &self.log_dir(), keep)
    }
}

/// The lines of log-lines.md that hold for a connection inside one process.
fn log_connect(info: &Info, route: &Route, null: bool) {
    let id = info.id;
    for rule in route.rules.rules() {
        let kind = if rule.include { "Inc" } else { "Exc" };
        let depth = if rule.recursive { "Rec" } else { "NonRec" };
        tracing::info!("{} --> {kind}, {depth} ({id})", shown(&rule.path));
    }
    for notice in &route.notices {
        tracing::warn!("{notice} ({id})");
    }
    if null {
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
