//! Requests about one connection: mirror, verify, status, disconnect.

use crate::api::{ApiError, Code, ConnectionId, MirrorSpec, OrphanSpec, Reply, VerifySpec, Watch};
use crate::engine::connect::address;
use crate::engine::connect::route::{Route, To};
use crate::engine::connection::{
    Connection, DRAIN, Order, Stage, Step, Work, no_connection, status, telling,
};
use crate::engine::job::{JobKind, JobPlan, JobShared};
use crate::engine::{Engine, lock};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Engine {
    /// -107 if there is none.
    pub(in crate::engine) fn connection(&self, id: ConnectionId) -> Result<Connection, ApiError> {
        self.connections()
            .into_iter()
            .find(|connection| connection.info.id == id)
            .ok_or_else(|| no_connection(id))
    }

    /// `MIRROR START`.
    pub(in crate::engine) fn mirror_start(
        &self,
        id: ConnectionId,
        mirror: MirrorSpec,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let connection = self.connection(id)?;
        self.check_mirror(&mirror)?;
        let kind = JobKind::Mirror(mirror);
        if mirror.dry_run {
            let order = self.order(&connection, kind, false)?;
            let stage = connection.view().state.stage;
            let replication = match &stage {
                Stage::On(replication) => Some(replication),
                _ => None,
            };
            return self.dry_run(&order.plan, mirror, replication, watch);
        }
        let reply = self.begin(&connection, kind, mirror.calculate)?;
        self.switch_orphans(&connection, mirror.orphans);
        Ok(reply)
    }

    /// `VERIFY`.
    pub(in crate::engine) fn verify(&self, id: ConnectionId, verify: VerifySpec) -> Result<Reply, ApiError> {
        let connection = self.connection(id)?;
        if connection.is_null() {
            return Err(ApiError::new(
                Code::OperationOrCommandIsNotSupported,
                format!("connection {id} leads to the null target, where there is nothing to verify"),
            ));
        }
        let reply = self.begin(&connection, JobKind::Verify(verify), false)?;
        self.switch_orphans(&connection, verify.orphans);
        Ok(reply)
    }

    /// `ORPHANS START` and `PREVIEW`.
    pub(in crate::engine) fn sweep(&self, id: ConnectionId, orphans: OrphanSpec) -> Result<Reply, ApiError> {
        let connection = self.connection(id)?;
        if connection.is_null() {
            return Err(ApiError::new(
                Code::OperationOrCommandIsNotSupported,
                format!("connection {id} leads to the null target, where there are no orphans"),
            ));
        }
        self.begin(&connection, JobKind::Orphans(orphans), false)
    }

    /// A person has asked a target on this machine to remove orphans: from now on it does (ORP-03). One on another is told by the job.
    fn switch_orphans(&self, connection: &Connection, asked: bool) {
        if asked && matches!(connection.info.to(), To::Here) {
            self.orphans.switch(true);
        }
    }

    /// Begins a job; what is shared with it.
    pub(in crate::engine) fn begin_watched(
        &self,
        connection: &Connection,
        kind: JobKind,
        calculate: bool,
    ) -> Result<Arc<JobShared>, ApiError> {
        // Until the job has taken its way, nobody else takes a place on it.
        let _turn = lock(&self.connecting);
        let order = self.order(connection, kind, calculate)?;
        let shared = Arc::clone(&order.shared);
        connection.start(order).map(|()| shared)
    }

    fn begin(&self, connection: &Connection, kind: JobKind, calculate: bool) -> Result<Reply, ApiError> {
        self.begin_watched(connection, kind, calculate).map(|_| Reply::Done)
    }

    /// A job with the rules and settings as they are now: what was saved since the connection was made counts (RST-12).
    fn order(&self, connection: &Connection, kind: JobKind, calculate: bool) -> Result<Order, ApiError> {
        // Said here as well, so that a dry run gets the same answer; the task decides.
        connection.view().state.start(kind, JobShared::new(), false)?;
        let (plan, route) = self.way(connection)?;
        Ok(Order { kind, plan, route, calculate, shared: JobShared::new() })
    }

    /// What a job or a replication gets, by the rules and settings as they are now.
    pub(in crate::engine) fn way(&self, connection: &Connection) -> Result<(JobPlan, Arc<Route>), ApiError> {
        let info = &connection.info;
        let rules = self.kept.store.rules_in_force(&info.repset)?;
        let route = Arc::new(self.route(&info.repset, rules, &info.map, info.to(), Some(info.id))?);
        let plan = self.plan(info, &route);
        Ok((plan, route))
    }

    /// `CLEAN` only where the setting `Cleaner` allows it.
    pub(in crate::engine) fn check_mirror(&self, mirror: &MirrorSpec) -> Result<(), ApiError> {
        if mirror.clean && !self.kept.settings.cleaner() {
            return Err(ApiError::new(
                Code::CleanerOptionIsNotEnabled,
                "CLEAN would empty the target paths first, and the option Cleaner is 0",
            )
            .help("SET Cleaner = 1 allows it, MIRROR START without CLEAN overwrites in place"));
        }
        Ok(())
    }

    /// Stops, pauses or resumes.
    pub(in crate::engine) fn steer(
        &self,
        id: ConnectionId,
        work: Work,
        step: Step,
        watch: &dyn Watch,
    ) -> Result<Reply, ApiError> {
        self.connection(id)?.steer(work, step, watch).map(|()| Reply::Done)
    }

    /// `VERIFY REPORT`.
    pub(in crate::engine) fn verify_report(&self, id: ConnectionId) -> Result<Reply, ApiError> {
        match self.connection(id)?.view().state.report {
            Some(report) => Ok(Reply::Verify(Box::new((*report).clone()))),
            None => Err(ApiError::new(
                Code::InvalidParameterWasSupplied,
                format!("no verification of connection {id} has ended yet"),
            )
            .help(format!("VERIFY {id} starts one, WAITONMIRROR {id} waits for its end"))),
        }
    }

    /// `DISCONNECT`.
    pub(in crate::engine) fn disconnect(
        &self,
        id: ConnectionId,
        discard: bool,
        watch: &dyn Watch,
    ) -> Result<Reply, ApiError> {
        let connection = self.connection(id)?;
        if !discard {
            refuse_held(&connection, "DISCONNECT")?;
        }
        connection.close(discard, DRAIN, watch)?;
        self.forget(id);
        let info = &connection.info;
        self.forget_for_later(info);
        info.give_grant_back();
        tracing::info!(
            "Service has disconnected from {} ({}) for Replication Set {}",
            info.target,
            info.target_address,
            info.repset
        );
        telling::disconnected(info, true);
        Ok(Reply::Done)
    }

    /// `CONID`.
    pub(in crate::engine) fn id_of(&self, repset: &str, target: Option<&str>) -> Result<Reply, ApiError> {
        let fits = |connection: &Connection| {
            let info = &connection.info;
            let same = |name: &str| {
                name.eq_ignore_ascii_case(&info.target)
                    // Two names of this machine are one target.
                    || (matches!(info.to(), To::Here) && address::is_here(name))
            };
            info.repset.eq_ignore_ascii_case(repset) && target.is_none_or(same)
        };
        let mut found = self.connections().into_iter().filter(fits);
        let to = target.map(|target| format!(" to {target}")).unwrap_or_default();
        match (found.next(), found.next()) {
            (Some(connection), None) => Ok(Reply::Connected(connection.info.id)),
            (None, _) => Err(ApiError::new(
                Code::ConnectionDoesNotExist,
                format!("the set {repset} is not connected{to}"),
            )
            .help("STATUS lists the connections")),
            (Some(_), Some(_)) => Err(ApiError::new(
                Code::InvalidParameterWasSupplied,
                format!("the set {repset} is connected{to} several times"),
            )
            .help("STATUS lists the connections with their IDs")),
        }
    }

    /// `STATUS`.
    pub(in crate::engine) fn status_all(&self) -> Reply {
        Reply::Connections(self.connections().iter().map(|c| status::status(&c.info, &c.view())).collect())
    }
}

/// -153 while something is to be sent first and nothing is to be sent.
pub(super) fn refuse_held(connection: &Connection, command: &str) -> Result<(), ApiError> {
    let (info, state) = (&connection.info, connection.view().state);
    let Some(why) = info.transmission.held(&info.target) else { return Ok(()) };
    let queued = state.stage.shared().is_some_and(|shared| shared.ops_queued.load(Relaxed) > 0);
    if !queued && state.running.is_none() && connection.is_all_applied() {
        return Ok(());
    }
    let id = info.id;
    Err(ApiError::new(
        Code::TransmissionIsPaused,
        format!("{command} would send first what is queued on connection {id}: {why}"),
    )
    .help(format!("go on first, or DISCONNECT {id} DISCARD drops what is queued")))
}
