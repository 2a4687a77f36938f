//! How a source sends to one target: whether it does, and what becomes of the sockets (TRN, CNX-03). All connections of this
//! source to that target's address share one (CNX-06).
//!
//! What sends passes here between two operations and waits while nothing is to be sent, with no lock held; so the log behind it
//! grows, and a mirror stands still. Whoever has another reason to end is freed by [`Transmission::nudge`]. A line's socket is
//! closed while transmission is stopped, or its schedule has it wait, and kept while it is paused (TRN-02); the line itself lives on.

mod bandwidth;
mod compression;
mod gate;
mod limit;
pub mod schedule;
mod scheduled;
mod sending;
pub mod targets;
pub mod times;

pub use bandwidth::{Bandwidth, InForce};
pub use compression::{Auto, Compression, Packing, Spent, Traffic, extensions};
pub use gate::{Counted, Throttle};
pub use limit::Limit;
pub use scheduled::{Held, Moment};
pub use sending::Sending;

use crate::api::{ApiError, Code, TransmissionStep};
use crate::engine::log::event;
use jiff::tz::TimeZone;
use schedule::Schedule;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

/// How long a line may take to come to rest: what is being written is brought to its end.
const RESTING: Duration = Duration::from_secs(10);

/// Whether a source sends (availability.md 25.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    #[default]
    Started,
    /// The sockets stay.
    Paused,
    /// There are no sockets.
    Stopped,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Mode::Started => "active",
            Mode::Paused => "paused",
            Mode::Stopped => "stopped",
        }
    }
}

/// A line to the target, as transmission has it rest and go on.
pub trait Called: Send + Sync {
    /// Closes its socket. The error: it could not be brought to that in time, and is broken off.
    fn rest(&self, patience: Duration) -> Result<(), String>;
    /// Dials anew. False: the target has not kept its end of the line, which is over therefore. The error: it cannot be reached.
    fn go_on(&self) -> Result<bool, ApiError>;
}

/// What is kept for the next start of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    pub mode: Mode,
    /// PAUSE TARGET.
    pub target_paused: bool,
    pub compression: Compression,
    pub bandwidth: Bandwidth,
    pub schedule: Schedule,
}

impl Kept {
    /// There are no sockets: it is stopped, or waits for its schedule.
    fn rests(&self) -> bool {
        self.mode == Mode::Stopped || self.schedule.waits()
    }

    /// Why it cannot be what was kept.
    pub fn check(&self) -> Result<(), String> {
        self.bandwidth.check()?;
        self.schedule.check()
    }
}

/// The smallest file that is compressed, and the extensions of those that are not, as the settings say at the time.
pub type Rules = Arc<dyn Fn() -> (u64, HashSet<String>) + Send + Sync>;

/// See the module.
#[derive(Default)]
pub struct Transmission {
    kept: Mutex<Kept>,
    changed: Condvar,
    /// Nothing is to be sent.
    closed: AtomicBool,
    /// Who is about to send, or does.
    senders: AtomicUsize,
    lines: Mutex<Vec<Weak<dyn Called>>>,
    /// What leaves for the target passes it.
    gate: Arc<Throttle>,
    scheduled: Mutex<scheduled::Scheduled>,
    /// Somebody does what is due.
    acting: AtomicBool,
    /// A session is about to end.
    ending: AtomicBool,
    /// None: every file is compressed.
    rules: OnceLock<Rules>,
    /// The level that AUTO has chosen last; 0: none yet.
    auto_level: AtomicU8,
    /// When its lines were dialled anew; milliseconds since 1970, 0 while that never was.
    dialled_ms: AtomicI64,
    /// Held for reading while a line is dialled, for writing while lines come to rest or go on.
    dialling: RwLock<()>,
}

impl std::fmt::Debug for Transmission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transmission({:?})", self.kept())
    }
}

impl Transmission {
    /// As it was kept.
    fn of(kept: Kept, rules: Option<&Rules>) -> Transmission {
        let transmission = Transmission::default();
        if let Some(rules) = rules {
            // It is new.
            let _ = transmission.rules.set(Arc::clone(rules));
        }
        // A session of before goes on with what it may still send.
        let sent = kept.schedule.session.map_or(0, |session| session.bytes);
        *transmission.lock() = kept;
        transmission.settle(&transmission.lock());
        transmission.budget(sent);
        transmission
    }

    /// How it stands.
    pub fn kept(&self) -> Kept {
        self.lock().clone()
    }

    /// Its lines were dialled anew.
    pub fn set_dialled(&self, now_ms: i64) {
        self.dialled_ms.store(now_ms, Relaxed);
    }

    /// Since when a connection that was made then has had a socket; milliseconds since 1970. None: it has none (9.1 row 26).
    pub fn connected_since(&self, established_ms: i64) -> Option<i64> {
        (!self.is_resting()).then(|| self.dialled_ms.load(Relaxed).max(established_ms))
    }

    /// COMPRESSION ENABLE, DISABLE and SET.
    pub fn set_compression(&self, change: impl FnOnce(&mut Compression)) {
        self.change(|kept| change(&mut kept.compression));
    }

    /// How the next frame is packed; None: it is not. `auto` has the level where none was chosen.
    pub fn packing(&self, auto: &Auto) -> Option<Packing> {
        let compression = self.lock().compression;
        if !compression.enabled {
            return None;
        }
        let level = compression.level.unwrap_or_else(|| {
            self.auto_level.store(auto.level(), Relaxed);
            auto.level()
        });
        let (smallest, skipped) = self.rules.get().map_or_else(Default::default, |rules| rules());
        Some(Packing { level, smallest, skipped })
    }

    /// The level that AUTO has chosen last.
    pub fn auto_level(&self) -> Option<u8> {
        Some(self.auto_level.load(Relaxed)).filter(|level| *level > 0)
    }

    /// True while operations may be sent.
    pub fn is_open(&self) -> bool {
        !self.closed.load(Relaxed)
    }

    /// There are no sockets, and nothing is told by the target.
    pub fn is_resting(&self) -> bool {
        self.lock().rests()
    }

    /// Not even what was handed to a line goes out: there is no socket, or it is paused and limited.
    pub fn is_mute(&self) -> bool {
        self.is_muted(&self.lock())
    }

    /// Nothing is told to a connection whose traffic this is, by its target, and nothing reaches that.
    pub fn is_silent(&self, traffic: &Traffic) -> bool {
        self.is_mute() || traffic.is_away()
    }

    fn is_muted(&self, kept: &Kept) -> bool {
        kept.rests() || self.ending.load(Relaxed) || kept.mode == Mode::Paused && self.in_force().0.is_some()
    }

    /// Somebody begins to do what is due; false: somebody does already, until [`acted`](Self::acted).
    pub fn acts(&self) -> bool {
        !self.acting.swap(true, Relaxed)
    }

    pub fn acted(&self) {
        self.acting.store(false, Relaxed);
    }

    /// What lines to the target pass.
    pub fn gate(&self) -> Arc<Throttle> {
        Arc::clone(&self.gate)
    }

    /// What those of one connection pass.
    pub fn gate_of(&self, traffic: &Arc<Traffic>) -> Arc<Counted> {
        Arc::new(Counted { gate: self.gate(), traffic: Arc::clone(traffic) })
    }

    /// Waits while nothing is to be sent; `over`: there is no reason to wait any more, which has to be told by [`nudge`](Self::nudge).
    pub fn wait(&self, over: impl Fn() -> bool) {
        if self.is_open() {
            return;
        }
        let mut kept = self.lock();
        while !self.is_open() && !over() {
            kept = self.changed.wait(kept).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Somebody's reason to wait may be gone.
    pub fn nudge(&self) {
        // Under the lock, so that nobody who is about to wait misses it.
        let kept = self.lock();
        self.changed.notify_all();
        drop(kept);
    }

    /// Why nothing is sent, and the command to go on; None: it is sent. `target`: the target as it was typed.
    pub fn held(&self, target: &str) -> Option<String> {
        let Kept { mode, target_paused, schedule, .. } = self.kept();
        match mode {
            Mode::Started if target_paused => {
                Some(format!("target {target} is paused; RESUME TARGET {target} goes on"))
            }
            Mode::Started if schedule.waits() => Some(format!(
                "transmission to {target} waits for its schedule ({}); TRANSMISSION START {target} sends now{}",
                schedule.words(self.looked(), &TimeZone::system()),
                if schedule.window.is_some() { ", inside the window" } else { "" }
            )),
            Mode::Started => None,
            Mode::Paused => {
                Some(format!("transmission to {target} is paused; TRANSMISSION RESUME {target} goes on"))
            }
            Mode::Stopped => {
                Some(format!("transmission to {target} is stopped; TRANSMISSION START {target} goes on"))
            }
        }
    }

    /// The same of a connection whose traffic this is, or that its target cannot be reached at the moment.
    pub fn hindered(&self, target: &str, traffic: &Traffic) -> Option<String> {
        self.held(target).or_else(|| traffic.away_words(target))
    }

    /// Has a line dialled and knows of it from then on. `dial` is told whether it gets a socket.
    pub fn dials<T, L: Called + 'static>(
        &self,
        dial: impl FnOnce(bool) -> Result<(T, Arc<L>), ApiError>,
    ) -> Result<T, ApiError> {
        let _steps_wait = self.dialling.read().unwrap_or_else(PoisonError::into_inner);
        let (dialled, line) = dial(!self.is_resting())?;
        let line: Arc<dyn Called> = line;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&line));
        drop(lines);
        Ok(dialled)
    }

    /// Dials a line that has failed, unless it is to rest: then it is dialled when it goes on.
    pub fn redials<T>(&self, dial: impl FnOnce() -> T) -> Option<T> {
        let _steps_wait = self.dialling.read().unwrap_or_else(PoisonError::into_inner);
        (!self.is_resting()).then(dial)
    }

    /// TRANSMISSION START, STOP, PAUSE or RESUME. -153 or -154 when there is nothing to do, -110 when the target is to be dialled and
    /// cannot be reached: then all stays as it was. Blocks until sockets are closed, or there.
    pub fn step(&self, step: TransmissionStep, target: &str) -> Result<(), ApiError> {
        let _turn = self.dialling.write().unwrap_or_else(PoisonError::into_inner);
        let mode = self.kept().mode;
        let next = match (step, mode) {
            (TransmissionStep::Start | TransmissionStep::Resume, Mode::Paused | Mode::Stopped) => {
                Mode::Started
            }
            (TransmissionStep::Pause, Mode::Started) => Mode::Paused,
            (TransmissionStep::Stop, Mode::Started | Mode::Paused) => Mode::Stopped,
            (_, mode) => {
                let code = match mode {
                    Mode::Started => Code::TransmissionIsActive,
                    Mode::Paused | Mode::Stopped => Code::TransmissionIsPaused,
                };
                let message = format!("transmission to {target} is {} already", mode.word());
                return Err(ApiError::new(code, message).help(match mode {
                    Mode::Started => format!("TRANSMISSION PAUSE {target} or STOP holds it up"),
                    Mode::Paused | Mode::Stopped => format!("TRANSMISSION START {target} goes on"),
                }));
            }
        };
        self.turn(|kept| kept.mode = next)?;
        match next {
            Mode::Started => event!(TransmissionStarted, "Transmission to {target} is active"),
            Mode::Paused | Mode::Stopped => {
                event!(TransmissionStopped, "Transmission to {target} is {}", next.word());
            }
        }
        match (mode, next) {
            (_, Mode::Paused) => event!(ProtectionPaused, "Protection by {target} is paused"),
            (Mode::Paused, Mode::Started) => event!(ProtectionStarted, "Protection by {target} goes on"),
            _ => {}
        }
        Ok(())
    }

    /// PAUSE TARGET and RESUME TARGET. -162 or -164 when there is nothing to do.
    pub fn pause_target(&self, paused: bool, target: &str) -> Result<(), ApiError> {
        let _turn = self.dialling.write().unwrap_or_else(PoisonError::into_inner);
        if self.kept().target_paused == paused {
            return Err(match paused {
                true => ApiError::new(Code::TargetIsPaused, format!("target {target} is paused already"))
                    .help(format!("RESUME TARGET {target} goes on")),
                false => ApiError::new(Code::TargetIsActive, format!("target {target} is not paused"))
                    .help(format!("TRANSMISSION START {target}, if that is what was stopped or paused")),
            });
        }
        self.change(|kept| kept.target_paused = paused);
        match paused {
            true => event!(TargetPaused, "Target {target} is paused"),
            false => event!(TargetResumed, "Target {target} is resumed"),
        }
        Ok(())
    }

    /// Makes a change, at the caller's turn, and has lines rest or go on as it says; -110 if the target is to be dialled and cannot be
    /// reached: then all stays as it was.
    fn turn(&self, change: impl Fn(&mut Kept)) -> Result<(), ApiError> {
        self.turn_if(change, || Ok(()))
    }

    /// The same, unless it is too late for it once the lines are there.
    fn turn_if(
        &self,
        change: impl Fn(&mut Kept),
        still: impl FnOnce() -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let before = self.kept();
        let mut after = before.clone();
        change(&mut after);
        if before.rests() && !after.rests() {
            self.call_all()?;
            still().inspect_err(|_| self.rest_all())?;
        }
        self.change(change);
        if !before.rests() && after.rests() {
            self.rest_all();
        }
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) {
        let mut kept = self.lock();
        change(&mut kept);
        self.settle(&kept);
        self.changed.notify_all();
    }

    fn settle(&self, kept: &Kept) {
        let waits = kept.schedule.waits() || self.ending.load(Relaxed);
        let closed = kept.target_paused || kept.mode != Mode::Started || waits;
        self.closed.store(closed, SeqCst);
        self.gate.limit(self.in_force().0);
        self.gate.shut(self.is_muted(kept));
    }

    fn called(&self) -> Vec<Arc<dyn Called>> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter_map(Weak::upgrade).collect()
    }

    fn rest_all(&self) {
        for line in self.called() {
            if let Err(why) = line.rest(RESTING) {
                tracing::warn!("A line was broken off as transmission was stopped: {why}");
            }
        }
    }

    /// All go on, or none.
    fn call_all(&self) -> Result<(), ApiError> {
        let lines = self.called();
        for line in &lines {
            match line.go_on() {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!("The target has not kept a line of before transmission was stopped")
                }
                Err(error) => {
                    self.rest_all();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
