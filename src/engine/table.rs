//! The connections of an engine, their numbers, the runtime they live on, and their end.

use super::connection::{BEAT, Connection, DataState, Ended, Stage, telling};
use super::replication::{Progress, ReplicationShared};
use super::{Engine, lock};
use crate::api::{ApiError, Code, ConnectionId, Event, Watch};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle, Runtime};

/// How long a closed connection's job may take to notice that it shall stop.
const STOPPING: Duration = Duration::from_secs(10);

/// What is open.
#[derive(Default)]
pub(super) struct Table {
    /// The last number given (CNX-01).
    last: u32,
    open: BTreeMap<ConnectionId, Connection>,
    /// From the first connection on.
    runtime: Option<Runtime>,
    closed: bool,
}

impl Table {
    /// The next connection gets the number behind this one.
    pub(super) fn number_from(&mut self, last: ConnectionId) {
        self.last = self.last.max(last.0);
    }
}

impl Engine {
    /// All connections by their numbers.
    pub(super) fn connections(&self) -> Vec<Connection> {
        let mut table = lock(&self.table);
        table.open.retain(|_, connection| !connection.is_gone());
        table.open.values().cloned().collect()
    }

    /// What the connections that replicate have done, for the service's watchdog.
    pub fn progress(&self) -> Vec<(ConnectionId, Progress)> {
        let progress = |connection: &Connection| {
            let view = connection.view();
            let open = connection.info.transmission.is_open() && !connection.info.traffic.is_away();
            let sent = connection.info.traffic.left.load(Relaxed);
            // While nothing is sent the target may not even be able to tell what it has done.
            let progress = |shared: &ReplicationShared| {
                let mut progress = shared.progress();
                // By a small limit one frame may take an hour, and is no standstill; what goes for another connection is no progress.
                progress.counts[0] = progress.counts[0].wrapping_add(sent);
                Progress { has_work: progress.has_work && open, ..progress }
            };
            view.state.stage.shared().map(|shared| (connection.info.id, progress(shared)))
        };
        self.connections().iter().filter_map(progress).collect()
    }

    /// The runtime, started if need be.
    pub(super) fn handle(&self) -> Result<Handle, ApiError> {
        let mut table = lock(&self.table);
        refuse_closed(&table)?;
        if let Some(runtime) = &table.runtime {
            return Ok(runtime.handle().clone());
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .thread_name("connections")
            .enable_time()
            .build()
            .map_err(|error| ApiError::no_thread(&error))?;
        let handle = runtime.handle().clone();
        table.runtime = Some(runtime);
        Ok(handle)
    }

    /// The number that comes next.
    pub(super) fn next_id(&self) -> ConnectionId {
        ConnectionId(lock(&self.table).last.saturating_add(1))
    }

    /// Takes the next number; none is given twice.
    pub(super) fn take_id(&self) -> Result<ConnectionId, ApiError> {
        let mut table = lock(&self.table);
        refuse_closed(&table)?;
        table.last = table.last.checked_add(1).ok_or_else(|| {
            ApiError::new(Code::UnknownError, "all connection numbers are used up")
                .help("start the engine anew")
        })?;
        Ok(ConnectionId(table.last))
    }

    /// From now on others see the connection.
    pub(super) fn keep(&self, connection: Connection) -> Result<(), ApiError> {
        let refused = {
            let mut table = lock(&self.table);
            match refuse_closed(&table) {
                Ok(()) => {
                    table.open.insert(connection.info.id, connection);
                    return Ok(());
                }
                Err(refused) => refused,
            }
        };
        // The engine was closed meanwhile; its answer is the refusal, whatever this one is.
        let bound = Deadline(self.clock.now() + STOPPING, Arc::clone(&self.clock));
        let _ = connection.close(true, Duration::ZERO, &bound);
        Err(refused)
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.table).closed
    }

    pub(super) fn forget(&self, id: ConnectionId) {
        lock(&self.table).open.remove(&id);
    }

    /// Ends the engine. What runs gets `drain` in all to come to its end, unless it is paused; then it is stopped. The
    /// answer names each connection and how it ended.
    pub fn close(&self, drain: Duration) -> Vec<String> {
        let _entered = self.kept.log.enter();
        self.statlog_stop();
        // Before connections go: what waits for one is kept for the next start.
        self.tasks.leaves(self.survivors.get().is_some());
        let (connections, runtime) = {
            let mut table = lock(&self.table);
            table.closed = true;
            (std::mem::take(&mut table.open), table.runtime.take())
        };
        let now = self.clock.now();
        let deadline = now.checked_add(drain).unwrap_or(now);
        let mut named = Vec::new();
        for connection in connections.into_values().filter(|connection| !connection.is_gone()) {
            named.push(self.end(&connection, deadline));
        }
        // What sources have it run, and what does not hear its own end.
        self.tasks.power.stop();
        self.lines.close();
        if let Some(runtime) = runtime {
            // A job that hangs in the kernel must not hold the process.
            runtime.shutdown_background();
        }
        self.tell_stopped();
        self.kept.log.flush();
        lock(&self.lock).take();
        named
    }

    /// Drains and closes one connection.
    fn end(&self, connection: &Connection, deadline: Instant) -> String {
        let info = &connection.info;
        connection.settle(deadline, &*self.clock);
        let before = connection.view().state;
        let ran = before.running.is_some();
        let replicated = !matches!(before.stage, Stage::Off);
        let now = self.clock.now();
        let left = deadline.saturating_duration_since(now);
        // After the drain, and a replication's own end, which is bounded too.
        let bound = if replicated { left + 3 * STOPPING } else { STOPPING };
        let bound = Deadline(now + bound, Arc::clone(&self.clock));
        let hangs = connection.close(false, left, &bound).is_err();
        let state = connection.view().state;
        tracing::info!(
            "Service has disconnected from {} ({}) for Replication Set {}",
            info.target,
            info.target_address,
            info.repset
        );
        telling::disconnected(info, info.row.get().is_none());
        let how = match (&state.last, state.data) {
            _ if hangs => "what it was doing did not stop in time",
            (Some((_, Ended::Stopped, _)), _) if ran => "stopped before it was complete",
            (None, _) => "nothing was mirrored",
            (Some(_), DataState::Ok) => "the mirror is complete",
            (Some(_), _) => "a mirror is required",
        };
        let changes = match state.left {
            _ if !replicated || hangs => String::new(),
            0 if state.data == DataState::Ok => ", all changes were sent".to_owned(),
            0 => String::new(),
            1 => ", 1 change was not sent".to_owned(),
            left => format!(", {left} changes were not sent"),
        };
        let later = match info.row.get() {
            // A service that goes on with it later keeps its place on the target.
            Some(_) => ", to be resumed",
            None => {
                info.give_grant_back();
                ""
            }
        };
        format!("connection {} of {} to {}: {how}{changes}{later}", info.id, info.repset, info.target)
    }
}

impl Connection {
    /// Waits until no job runs, or it is paused, or the deadline has passed.
    fn settle(&self, deadline: Instant, clock: &dyn super::clock::Clock) {
        let mut snapshots = self.view.clone();
        loop {
            let running = snapshots.borrow_and_update().state.running.clone();
            let left = deadline.saturating_duration_since(clock.now());
            let Some(running) = running else { return };
            if running.shared.is_paused() || !self.info.transmission.is_open() || left.is_zero() {
                return;
            }
            let beat = left.min(BEAT);
            let changed =
                self.handle.block_on(async { tokio::time::timeout(beat, snapshots.changed()).await });
            if let Ok(Err(_)) = changed {
                return;
            }
        }
    }
}

/// Gives up at a moment.
struct Deadline(Instant, Arc<dyn super::clock::Clock>);

impl Watch for Deadline {
    fn event(&mut self, _: Event) {}

    fn cancelled(&self) -> bool {
        self.1.now() >= self.0
    }
}

fn refuse_closed(table: &Table) -> Result<(), ApiError> {
    if table.closed {
        return Err(ApiError::new(Code::ServerIsNotResponding, "the engine was closed").help("open it anew"));
    }
    Ok(())
}
