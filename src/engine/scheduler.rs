//! Looks at the schedules of all targets, once every `ScheduleInterval` (TRN-10), while one of them has any: which bandwidth limit
//! is in force, and whether a session begins or ends.

use super::connection::{Connection, Stage, status};
use super::log::{event, inherit};
use super::transmission::schedule::Due;
use super::transmission::{Held, InForce, Moment, Transmission};
use super::{Engine, lock};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often who sleeps for longer looks whether the engine is still there.
const LOOK: Duration = Duration::from_secs(1);

/// What looks.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    engine: OnceLock<Weak<Engine>>,
    /// Its thread runs.
    runs: Mutex<bool>,
    /// Connections of before are still to be taken up: what waits is not known.
    lacks: AtomicBool,
}

impl Scheduler {
    pub(super) fn new(lacks: bool) -> Scheduler {
        Scheduler { lacks: AtomicBool::new(lacks), ..Scheduler::default() }
    }

    /// All connections of before are there.
    pub(super) fn has_all(&self) {
        self.lacks.store(false, Relaxed);
    }
}

/// Who does what is due for a target, until this is dropped.
struct Acting(Arc<Transmission>);

impl Drop for Acting {
    fn drop(&mut self) {
        self.0.acted();
    }
}

impl Engine {
    /// What was kept is in force from now on.
    pub(super) fn begin_schedules(self: &Arc<Self>) {
        let _entered = self.kept.log.enter();
        let _ = self.scheduler.engine.set(Arc::downgrade(self));
        for (_, transmission) in self.kept.targets.list() {
            transmission.look_at_bandwidth(&self.moment(&transmission));
        }
        self.watch_schedules();
    }

    /// This engine, for what outlives a call.
    pub(super) fn me(&self) -> Weak<Engine> {
        self.scheduler.engine.get().cloned().unwrap_or_default()
    }

    /// Looks from now on, if there is something to look at.
    pub(super) fn watch_schedules(&self) {
        let mut runs = lock(&self.scheduler.runs);
        let Some(engine) = self.scheduler.engine.get().filter(|_| !*runs && self.has_schedules()) else {
            return;
        };
        let (engine, interval) = (engine.clone(), self.kept.settings.schedule_interval());
        let watch = inherit(move || watch(&engine, interval));
        match std::thread::Builder::new().name("schedules".to_owned()).spawn(watch) {
            Ok(_) => *runs = true,
            // The next change tries again.
            Err(error) => {
                tracing::error!("Schedules are not looked at, as no thread could be started: {error}")
            }
        }
    }

    fn has_schedules(&self) -> bool {
        let has = |transmission: &Transmission| {
            let kept = transmission.kept();
            kept.schedule.governs() || kept.bandwidth.is_scheduled()
        };
        self.kept.targets.list().iter().any(|(_, transmission)| has(transmission))
            || self.connections().iter().any(|connection| connection.info.verifying.is_set())
    }

    /// One look at all of them. What takes its time is done on threads, one for each target.
    pub(super) fn look_at_schedules(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let _entered = self.kept.log.enter();
        let mut acting = Vec::new();
        for (target, transmission) in self.kept.targets.list() {
            let now = self.moment(&transmission);
            if let Some((limit, entry)) = transmission.look_at_bandwidth(&now) {
                log_limit(&target, &(limit, entry));
            }
            if !transmission.kept().schedule.governs() || !transmission.acts() {
                continue;
            }
            let acting_for = Acting(Arc::clone(&transmission));
            let held = self.held(&transmission);
            let due = transmission.due(&now, held);
            let engine = Arc::clone(self);
            let act = move || {
                let acts = &acting_for.0;
                let anew = || (engine.moment(acts), engine.held(acts));
                if acts.take_up(due, &now, &target, &anew)
                    && let Err(error) = engine.kept.targets.keep(acts)
                {
                    tracing::error!("How {target} is sent to could not be kept: {error}");
                }
            };
            if matches!(due, Due::Begin(_) | Due::End(_)) {
                match std::thread::Builder::new().name("schedule".to_owned()).spawn(inherit(act)) {
                    Ok(thread) => acting.push(thread),
                    Err(error) => tracing::error!("No thread could be started for a schedule: {error}"),
                }
            } else {
                act();
            }
        }
        acting.extend(self.look_at_verifications());
        acting
    }

    /// Now, for that target.
    pub(super) fn moment(&self, transmission: &Arc<Transmission>) -> Moment {
        let far = |connection: &Connection| connection.info.far.is_some();
        let sent = |connection: Connection| {
            let status = status::status(&connection.info, &connection.view());
            status.mirror_bytes_transferred + status.replication_bytes_transferred
        };
        Moment {
            wall: Timestamp::from_millisecond(self.clock.wall_ms()).unwrap_or(Timestamp::UNIX_EPOCH),
            steady: self.clock.now(),
            zone: TimeZone::system(),
            sent_here: self.sent_to(transmission).filter(|connection| !far(connection)).map(sent).sum(),
        }
    }

    /// What waits to be sent to that target: by replication, and by jobs that a person has not paused.
    pub(super) fn held(&self, transmission: &Arc<Transmission>) -> Held {
        let mut held = Held { is_empty: !self.scheduler.lacks.load(Relaxed), ..Held::default() };
        for connection in self.sent_to(transmission) {
            let state = connection.view().state;
            let job = state.running.as_ref().is_some_and(|running| !running.shared.is_paused());
            let mut waits = job || state.resumes.is_some();
            if let Some(running) = &state.running {
                held.bytes += running.shared.counters.bytes_queued.load(Relaxed);
            }
            if let Some(shared) = state.stage.shared() {
                waits |= shared.ops_queued.load(Relaxed) > 0 || shared.auto_remirror_due();
                held.bytes += shared.bytes_queued.load(Relaxed);
                held.percent =
                    held.percent.max(u8::try_from(shared.queue_percent.load(Relaxed)).unwrap_or(100));
            }
            // What it captures from its first moment on is not counted yet.
            waits |= matches!(state.stage, Stage::Starting);
            if let Stage::On(replication) | Stage::Stopping(replication) = &state.stage {
                waits |= !replication.is_all_applied();
            }
            held.is_empty &= !waits;
        }
        held
    }
}

/// Events 4063 and 4064.
pub(super) fn log_limit(target: &str, (limit, entry): &InForce) {
    match (limit, entry) {
        (None, None) => event!(BandwidthLimit, "No bandwidth limit set."),
        (Some(limit), None) => event!(BandwidthLimit, "Bandwidth limit to {target} is now {limit}"),
        (limit, Some(entry)) => {
            let limit = limit.map_or_else(|| "Unlimited".to_owned(), |limit| limit.to_string());
            event!(BandwidthPeriod, "Bandwidth limit to {target} entered period {entry} at {limit}");
        }
    }
}

/// Looks while there is something to look at.
fn watch(engine: &Weak<Engine>, interval: Duration) {
    loop {
        let Some(now) = engine.upgrade().filter(|engine| !engine.is_closed()) else { return };
        {
            let mut runs = lock(&now.scheduler.runs);
            if !now.has_schedules() {
                *runs = false;
                return;
            }
        }
        // What ends one look does not end those that follow.
        if catch_unwind(AssertUnwindSafe(|| drop(now.look_at_schedules()))).is_err() {
            tracing::error!("A look at the schedules failed; the next one is made all the same");
        }
        drop(now);
        let mut left = interval;
        while !left.is_zero() {
            std::thread::sleep(left.min(LOOK));
            left = left.saturating_sub(LOOK);
            if engine.upgrade().is_none_or(|engine| engine.is_closed()) {
                return;
            }
        }
    }
}
