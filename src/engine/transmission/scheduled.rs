//! A target's schedule and bandwidth limit as they take effect: sessions begin and end, and the limit in force changes, when the
//! engine looks (TRN-10) or a person says something else.

use super::schedule::{Due, Schedule, Seen, Why, Window};
use super::{Bandwidth, InForce, Kept, Mode, Transmission};
use crate::api::{ApiError, Code};
use crate::engine::log::event;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the engine knows beside what is kept.
#[derive(Debug, Default)]
pub struct Scheduled {
    in_force: InForce,
    /// Since when the present session runs, what of it was before, and what had been sent by then.
    session: Option<Counted>,
    /// Why a session could not begin when it was tried last.
    failed: Option<String>,
    /// When was looked last.
    looked: Option<Timestamp>,
    /// That starts come outside the window was told of since the last session.
    outside_told: bool,
}

/// While this is there nothing leaves: a session is about to end.
struct Ending<'a>(&'a Transmission);

impl<'a> Ending<'a> {
    fn of(transmission: &'a Transmission) -> Ending<'a> {
        transmission.ending.store(true, Relaxed);
        transmission.change(|_| ());
        Ending(transmission)
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ending.store(false, Relaxed);
        self.0.change(|_| ());
    }
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    since: Instant,
    before: Duration,
    /// Sent before this engine counted, and what it had counted then.
    bytes: u64,
    sent: u64,
}

impl Counted {
    /// `sent`: all that was ever sent.
    fn from_now(now: &Moment, sent: u64) -> Counted {
        Counted { since: now.steady, before: Duration::ZERO, bytes: 0, sent }
    }
}

/// What is queued for a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub is_empty: bool,
    pub bytes: u64,
    pub percent: u8,
}

/// A moment: of the clock that people read, and of the one that nobody sets.
#[derive(Clone, Debug)]
pub struct Moment {
    pub wall: Timestamp,
    pub steady: Instant,
    pub zone: TimeZone,
    /// Content bytes that went to the target within this machine by then, where no line counts them.
    pub sent_here: u64,
}

impl Transmission {
    /// The limit in force, and the label of the schedule's entry that says so.
    pub fn in_force(&self) -> InForce {
        self.scheduled().in_force.clone()
    }

    /// LIMIT BANDWIDTH: changes what is kept, if it can be, and what is in force.
    pub fn set_bandwidth(
        &self,
        now: &Moment,
        change: impl FnOnce(&mut Bandwidth) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let mut kept = self.lock();
        let mut bandwidth = kept.bandwidth.clone();
        change(&mut bandwidth)?;
        kept.bandwidth = bandwidth;
        self.bandwidth_of(&kept, now);
        Ok(())
    }

    /// Takes over what is in force now; Some: it is another than before.
    pub fn look_at_bandwidth(&self, now: &Moment) -> Option<InForce> {
        self.bandwidth_of(&self.lock(), now)
    }

    /// The same, of what is locked, so that nobody puts an older one in its place.
    fn bandwidth_of(&self, kept: &Kept, now: &Moment) -> Option<InForce> {
        let in_force = kept.bandwidth.in_force(now.wall, &now.zone);
        let mut scheduled = self.scheduled();
        scheduled.looked = Some(now.wall);
        if scheduled.in_force == in_force {
            return None;
        }
        scheduled.in_force = in_force.clone();
        drop(scheduled);
        // The gate hears of it.
        self.settle(kept);
        self.changed.notify_all();
        Some(in_force)
    }

    /// When was looked last, or now.
    pub(super) fn looked(&self) -> Timestamp {
        self.scheduled().looked.unwrap_or_else(Timestamp::now)
    }

    /// SCHEDULE: changes what is kept, if it can be, and begins or ends a session as it says.
    pub fn set_schedule(
        &self,
        now: &Moment,
        change: impl Fn(&mut Schedule) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let _turn = self.dialling.write().unwrap_or_else(PoisonError::into_inner);
        let before = self.kept().schedule;
        let mut tried = before.clone();
        change(&mut tried)?;
        let began = |schedule: &Schedule| schedule.session.map(|session| session.began_ms);
        let anew = began(&tried) != began(&before);
        let (sent, already) = (self.sent(now), if anew { 0 } else { self.sent_in_session(now) });
        // Before anything may leave by it.
        self.gate.allow(tried.session.and(tried.end.bytes).map(|bytes| bytes.saturating_sub(already)));
        let set = self.turn(|kept| {
            let counted = kept.schedule.session.filter(|_| !anew);
            kept.schedule.clone_from(&tried);
            // What was counted meanwhile counts.
            if let (Some(session), Some(counted)) = (&mut kept.schedule.session, counted) {
                session.bytes = counted.bytes;
            }
        });
        if let Err(error) = set {
            self.budget(self.sent_in_session(now));
            return Err(error);
        }
        if anew {
            self.scheduled().session = tried.session.map(|_| Counted::from_now(now, sent));
        }
        Ok(())
    }

    /// What is due, of what is queued.
    pub fn due(&self, now: &Moment, held: Held) -> Due {
        let kept = self.kept();
        // A person holds it: a session's window and time go on all the same.
        if (kept.mode != Mode::Started || kept.target_paused) && kept.schedule.session.is_none() {
            return Due::Nothing;
        }
        let seen = self.seen(&kept, now, held);
        kept.schedule.due(&seen, &now.zone)
    }

    fn seen(&self, kept: &Kept, now: &Moment, held: Held) -> Seen {
        let mut scheduled = self.scheduled();
        let sent = self.sent(now);
        let counted = kept.schedule.session.map(|session| {
            *scheduled.session.get_or_insert_with(|| Counted {
                // It began before this engine did.
                before: Duration::from_millis(
                    now.wall.as_millisecond().saturating_sub(session.began_ms).try_into().unwrap_or(0),
                ),
                since: now.steady,
                bytes: session.bytes,
                sent,
            })
        });
        let used_up = counted.is_some() && self.gate.is_used_up();
        Seen {
            now: now.wall,
            is_empty: held.is_empty,
            queued_bytes: held.bytes,
            queued_percent: held.percent,
            elapsed: counted.map_or(Duration::ZERO, |counted| {
                counted.before + now.steady.saturating_duration_since(counted.since)
            }),
            sent: match counted {
                Some(_) if used_up => u64::MAX,
                Some(counted) => counted.bytes.saturating_add(sent.saturating_sub(counted.sent)),
                None => 0,
            },
        }
    }

    /// Does what is due. True: something is to be kept. A target that cannot be reached is told of once, and tried again. `anew`: how it
    /// stands by then, as what is due may have waited for a line to be dialled.
    pub fn take_up(&self, due: Due, now: &Moment, target: &str, anew: &dyn Fn() -> (Moment, Held)) -> bool {
        match due {
            Due::Nothing => self.note_sent(now),
            Due::Begin(_) => {
                let _turn = self.dialling.write().unwrap_or_else(PoisonError::into_inner);
                let (now, held) = anew();
                let Due::Begin(why) = self.due(&now, held) else { return false };
                let Err(error) = self.begin(&now, why, target, &|| anew().0) else { return true };
                let failed = Some(error.message.clone());
                if std::mem::replace(&mut self.scheduled().failed, failed.clone()) != failed {
                    tracing::warn!("Transmission to {target} cannot start by its schedule ({why}): {error}");
                }
                false
            }
            Due::End(_) => {
                // Whatever it has to wait for: nothing more leaves.
                let _ending = Ending::of(self);
                let _turn = self.dialling.write().unwrap_or_else(PoisonError::into_inner);
                let (now, held) = anew();
                let Due::End(why) = self.due(&now, held) else { return false };
                // A rest needs nobody to be reached.
                let _ = self.turn(|kept| kept.schedule.end(now.wall));
                self.scheduled().session = None;
                self.budget(0);
                event!(TransmissionStopped, "Transmission to {target} ends by its schedule: {why}");
                true
            }
            Due::Outside => {
                self.change(|kept| kept.schedule.recount(now.wall));
                let told = std::mem::replace(&mut self.scheduled().outside_told, true);
                if !told {
                    tracing::info!(
                        "Transmission to {target} was to start by its schedule outside its window: it does not"
                    );
                }
                !told
            }
            Due::Void | Due::Recount => {
                self.change(|kept| kept.schedule.recount(now.wall));
                match due {
                    Due::Void => tracing::info!(
                        "Transmission to {target} was to start by its schedule, and nothing is queued"
                    ),
                    _ => {
                        tracing::warn!("The clock was set back: the schedule of {target} counts from now on")
                    }
                }
                true
            }
        }
    }

    /// A session begins: at its time, or by hand; at the caller's turn. -153 if the window closes while the target is dialled.
    fn begin(
        &self,
        now: &Moment,
        why: Why,
        target: &str,
        later: &dyn Fn() -> Moment,
    ) -> Result<(), ApiError> {
        let sent = self.sent(now);
        let Schedule { end, window, .. } = self.kept().schedule;
        // Before anything may leave by it.
        self.gate.allow(end.bytes);
        let is_still_open = || {
            let now = later();
            match window.filter(|window| !window.is_open(now.wall, &now.zone)) {
                Some(window) => Err(outside(target, window)),
                None => Ok(()),
            }
        };
        let change = |kept: &mut Kept| {
            kept.schedule.begin(now.wall);
            if why == Why::ByHand {
                kept.mode = Mode::Started;
            }
        };
        let began = self.turn_if(change, is_still_open);
        began.inspect_err(|_| self.gate.allow(None))?;
        self.set_dialled(now.wall.as_millisecond());
        let mut scheduled = self.scheduled();
        scheduled.failed = None;
        scheduled.outside_told = false;
        scheduled.session = Some(Counted::from_now(now, sent));
        drop(scheduled);
        event!(TransmissionStarted, "Transmission to {target} starts by its schedule: {why}");
        Ok(())
    }

    /// TRANSMISSION START or RESUME while the schedule has it wait (TRN-21): a session begins. False: it does not wait. -153 outside the
    /// window, which bounds everything. `now`: by then, as a line that is being dialled is waited for.
    pub fn start_by_hand(&self, target: &str, now: &dyn Fn() -> Moment) -> Result<bool, ApiError> {
        let _turn = self.dialling.write().unwrap_or_else(PoisonError::into_inner);
        let at = now();
        let Kept { mode, schedule, .. } = self.kept();
        if !schedule.waits() {
            return Ok(false);
        }
        if let Some(window) = schedule.window.filter(|window| !window.is_open(at.wall, &at.zone)) {
            if mode != Mode::Started {
                return Ok(false);
            }
            return Err(outside(target, window));
        }
        self.begin(&at, Why::ByHand, target, now).map(|()| true)
    }

    /// What a session has sent is kept now and then, so that a death of the engine does not double it.
    fn note_sent(&self, now: &Moment) -> bool {
        let Schedule { session, end, .. } = self.kept().schedule;
        let Some(session) = session.filter(|_| end.bytes.is_some()) else { return false };
        let sent = self.sent_in_session(now);
        if sent == session.bytes {
            return false;
        }
        self.change(|kept| {
            if let Some(session) = &mut kept.schedule.session {
                session.bytes = sent;
            }
        });
        true
    }

    /// All that was ever sent.
    fn sent(&self, now: &Moment) -> u64 {
        self.gate.sent() + now.sent_here
    }

    /// How much may still leave in the session (TRN-21), kept to where it leaves. `sent`: what it has sent.
    pub(super) fn budget(&self, sent: u64) {
        let schedule = self.kept().schedule;
        let Schedule { end, session, .. } = schedule;
        self.gate.allow(
            session.filter(|_| schedule.governs()).and(end.bytes).map(|bytes| bytes.saturating_sub(sent)),
        );
    }

    /// What the session has sent.
    fn sent_in_session(&self, now: &Moment) -> u64 {
        let sent = self.sent(now);
        let session = self.kept().schedule.session;
        match (self.scheduled().session, session) {
            (Some(counted), _) => counted.bytes.saturating_add(sent.saturating_sub(counted.sent)),
            (None, Some(session)) => session.bytes,
            (None, None) => 0,
        }
    }

    fn scheduled(&self) -> MutexGuard<'_, Scheduled> {
        self.scheduled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn outside(target: &str, window: Window) -> ApiError {
    ApiError::new(
        Code::TransmissionIsPaused,
        format!("nothing is sent to {target} outside its window, {} to {}", window.open, window.close),
    )
    .help(format!(
        "SCHEDULE {target} WINDOW CLEAR takes the window away, SCHEDULE {target} DISABLE all of the schedule"
    ))
}
