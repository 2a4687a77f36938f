//! The task's part of replication: its beginning and end on threads of their own, and the mirror that begins by itself
//! when changes were missed (MIR-20, MIR-21).

use super::{Answer, Message, STOPPING, Starting, Task, internal_error};
use crate::api::{ApiError, MirrorSpec};
use crate::engine::connect::mapping::shown;
use crate::engine::connection::replicate::{Begun, Capture};
use crate::engine::connection::state::Remirror;
use crate::engine::connection::telling::Reconnecting;
use crate::engine::connection::{Info, Order, Stage, no_connection};
use crate::engine::job::{JobKind, JobShared};
use crate::engine::log::event;
use crate::engine::replication::{Replication, ReplicationShared};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

impl Task {
    /// Begins to replicate, or releases what is held.
    pub(super) fn replicate(&mut self, capture: Capture) -> Result<Begun, ApiError> {
        if self.closing.is_some() {
            return Err(no_connection(self.info.id));
        }
        if let Stage::On(replication) = &self.state().stage
            && let Some(hold) = replication.shared().hold()
            && replication.release()
        {
            tracing::info!("Replication of connection {} was told to go on: {hold:?}", self.info.id);
            return Ok(Begun::Released(hold));
        }
        let Capture { plan, route, then } = capture;
        let mut next = self.view.state.clone();
        next.replicate()?;
        let shared = Arc::new(ReplicationShared::default());
        let inbox = self.inbox.clone();
        shared.set_listener(Box::new(move || drop(inbox.send(Message::Noticed))));
        let (runner, inbox, kept) = (Arc::clone(&self.means.runner), self.inbox.clone(), plan.clone());
        let work = move || {
            let begin = || runner.replicate(&plan, shared);
            let result = catch_unwind(AssertUnwindSafe(begin)).unwrap_or_else(|_| Err(internal_error()));
            // If nobody is there any more, the handle is dropped, which ends it.
            let _ = inbox.send(Message::Captures(result));
        };
        self.spawn("capture", work)?;
        tracing::info!("Starting replication of set {}", self.info.repset);
        for mapping in &route.paths {
            tracing::info!("Activating replication on {}", shown(&mapping.source));
        }
        self.move_to(next);
        self.view.route = route;
        self.plan = Some(kept);
        let (answer, begun) = oneshot::channel();
        self.starting = Some(Starting { answer, then });
        Ok(Begun::Starting(begun))
    }

    /// Changes are captured, or it did not come to that: the answer for who waits.
    pub(super) fn captures(
        &mut self,
        result: Result<Arc<dyn Replication>, ApiError>,
    ) -> Option<(Answer, Result<(), ApiError>)> {
        let resumed = matches!(&result, Ok(replication) if replication.is_resumed());
        let mut next = self.view.state.clone();
        let (replication, failed) = match result {
            Ok(replication) => (Some(replication), None),
            Err(error) => (None, Some(error)),
        };
        next.replicates(replication);
        // It may have missed something already.
        next.notice();
        self.move_to(next);
        let Starting { answer, then } = self.starting.take()?;
        let result = match (failed, then) {
            (Some(error), _) => {
                event!(GeneralError, "Replication of set {} could not be started: {error}", self.info.repset);
                Err(error)
            }
            // The mirror of what is dirty begins by itself, where it is to.
            (None, Some(_)) if resumed => Ok(()),
            (None, Some(order)) if self.closing.is_none() => self.start(order, false),
            (None, _) => Ok(()),
        };
        self.go_on_closing();
        Some((answer, result))
    }

    /// Ends replication on a thread of its own; the inbox hears of it. What can not be sent now is not waited for.
    pub(super) fn end_replication(
        &mut self,
        replication: Arc<dyn Replication>,
        discard: bool,
        limit: Duration,
    ) {
        let open = self.info.transmission.is_open();
        let discard = discard || !open || limit.is_zero() || self.state().replication_word() == "Pending";
        let inbox = self.inbox.clone();
        let work = move || {
            let ends = || {
                replication.stop(discard, limit.max(STOPPING))
                    || (!discard && replication.stop(true, STOPPING))
            };
            let whole = catch_unwind(AssertUnwindSafe(ends)).unwrap_or(false);
            let _ = inbox.send(Message::Unreplicated(whole));
        };
        if self.spawn("replication end", work).is_err() {
            // The handle is dropped with the closure and the state, which ends it, too.
            let _ = self.inbox.send(Message::Unreplicated(false));
        }
    }

    pub(super) fn unreplicated(&mut self, whole: bool) {
        if !matches!(self.state().stage, Stage::Stopping(_)) {
            return;
        }
        let Info { id, target, target_address, repset, .. } = &*self.info;
        if !whole {
            tracing::warn!("Replication of connection {id} did not end in time");
        }
        tracing::info!(
            "Service has stopped Replication to {target} ({target_address}) for Replication Set {repset}"
        );
        let mut next = self.view.state.clone();
        next.unreplicated(self.closing.is_some());
        if next.left > 0 {
            tracing::warn!("{} changes of connection {id} were in the queue and were not sent", next.left);
        }
        self.move_to(next);
        self.write_statistics();
        self.go_on_closing();
    }

    /// Begins the mirror that replication needs, if nobody else shall (MIR-20).
    pub(super) fn remirror(&mut self) {
        let due = match &self.state().stage {
            Stage::On(replication) => {
                let shared = replication.shared();
                shared.auto_remirror_due() && shared.hold().is_none() && self.closing.is_none()
            }
            _ => false,
        };
        if !due || self.state().running.is_some() {
            self.view.state.remirror = Remirror::ByHand;
            if !due {
                self.retry = None;
            }
            if !due && self.state().running.is_none() {
                self.reconnecting = Reconnecting::default();
            }
            return;
        }
        let automatic = (self.means.automatic)();
        let before = self.state().remirror;
        let id = self.info.id;
        let why = self.state().required().unwrap_or("changes were missed").to_owned();
        let (Some((mirror, checksum_all)), Some(plan)) =
            (automatic.remirror.filter(|_| automatic.reconnect), self.plan.clone())
        else {
            let next = if automatic.reconnect { Remirror::ByHand } else { Remirror::Disconnected };
            self.view.state.remirror = next;
            if next != before {
                tracing::warn!(
                    "Auto-disconnect of connection {id}: {why}; it stays so until a mirror is started"
                );
            }
            return;
        };
        if self.retry.is_some_and(|at| self.means.clock.now() < at) {
            self.view.state.remirror = Remirror::ByItself;
            return;
        }
        tracing::info!("Auto-remirror of connection {id} begins: {why}");
        // Of one that has lost its target the job connects anew, and says so.
        let connected = matches!(&self.state().stage, Stage::On(replication) if replication.is_connected());
        self.reconnecting.begins(&self.info, &why);
        let mut plan = plan;
        plan.settings.checksum_all = checksum_all;
        // One that was cut by the death of its service is made again as it was asked for.
        let resumed = matches!(&self.state().stage, Stage::On(replication) if replication.is_resumed());
        let mirror = MirrorSpec { orphans: mirror.orphans || resumed && self.info.orphans, ..mirror };
        let order = Order {
            kind: JobKind::Mirror(mirror),
            plan,
            route: Arc::clone(&self.view.route),
            calculate: false,
            shared: JobShared::new(),
        };
        match self.start(order, true) {
            Ok(()) => {
                if connected {
                    self.reconnecting.succeeds(&self.info);
                }
                self.retry = None;
                self.view.state.remirror = Remirror::ByHand;
            }
            Err(error) => {
                self.reconnecting.failed(&self.info, &error.message);
                self.view.state.remirror = Remirror::ByItself;
                self.retry_later();
            }
        }
    }

    /// Tries again after AutoRemirrorRetry.
    pub(super) fn retry_later(&mut self) {
        let now = self.means.clock.now();
        self.retry = now.checked_add((self.means.automatic)().retry);
    }
}
