//! A target's schedule and bandwidth limit as they take effect: sessions begin and end, and the limit in force changes, when the
//! engine looks (TRN-10) or a person says something else.

use super::schedule::{Due, Schedule, Seen, Why};
use super::{Bandwidth, InForce, Kept, Mode, Transmission};
use crate::api::{ApiError, Code};
use jiff::Timestamp;
use jiff::tz::TimeZone;
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
        let mut bandwidth = self.kept().bandwidth;
        change(&mut bandwidth)?;
        self.change(|kept| kept.bandwidth = bandwidth);
        self.look_at_bandwidth(now);
        Ok(())
    }

    /// Takes over what is in force now; Some: it is another than before.
    pub fn look_at_bandwidth(&self, now: &Moment) -> Option<InForce> {
        let in_force = self.kept().bandwidth.in_force(now.wall, &now.zone);
        if self.in_force() == in_force {
            return None;
        }
        self.scheduled().in_force = in_force.clone();
        // The gate hears of it.
        self.change(|_| ());
        Some(in_force)
    }

    /// SCHEDULE: changes what is kept, if it can be, and begins or ends a session as it says.
    pub fn set_schedule(
        &self,
        now: &Moment,
        change: impl Fn(&mut Schedule) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let _turn = self.dialling.write().unwrap_or_else(PoisonError::into_inner);
        let mut tried = self.kept().schedule;
        change(&mut tried)?;
        let anew = tried.session != self.kept().schedule.session;
        let (sent, already) = (self.sent(now), if anew { 0 } else { self.sent_in_session(now) });
        // Before anything may leave by it.
        self.gate.allow(tried.session.and(tried.end.bytes).map(|bytes| bytes.saturating_sub(already)));
        if let Err(error) = self.turn(|kept| kept.schedule.clone_from(&tried)) {
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
                Some(counted) => counted.bytes + sent.saturating_sub(counted.sent),
                None => 0,
            },
        }
    }

    /// Does what is due. True: something is to be kept. A target that cannot be reached is told of once, and tried again.
    pub fn take_up(&self, due: Due, now: &Moment, target: &str) -> bool {
        match due {
            Due::Nothing => self.note_sent(now),
            Due::Begin(why) => match self.begin(now, why, target) {
                Ok(()) => true,
                Err(error) => {
                    let failed = Some(error.message.clone());
                    if std::mem::replace(&mut self.scheduled().failed, failed.clone()) != failed {
                        tracing::warn!(
                            "Transmission to {target} cannot start by its schedule ({why}): {error}"
                        );
                    }
                    false
                }
            },
            Due::End(why) => {
                let _turn = self.dialling.write().unwrap_or_else(PoisonError::into_inner);
                // A rest needs nobody to be reached.
                let _ = self.turn(|kept| kept.schedule.end(now.wall));
                self.scheduled().session = None;
                self.budget(0);
                tracing::info!("Transmission to {target} ends by its schedule: {why}");
                true
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

    /// A session begins: at its time, or by hand.
    fn begin(&self, now: &Moment, why: Why, target: &str) -> Result<(), ApiError> {
        let _turn = self.dialling.write().unwrap_or_else(PoisonError::into_inner);
        let sent = self.sent(now);
        // Before anything may leave by it.
        self.gate.allow(self.kept().schedule.end.bytes);
        let began = self.turn(|kept| {
            kept.schedule.begin(now.wall);
            if why == Why::ByHand {
                kept.mode = Mode::Started;
            }
        });
        began.inspect_err(|_| self.gate.allow(None))?;
        self.set_dialled(now.wall.as_millisecond());
        let mut scheduled = self.scheduled();
        scheduled.failed = None;
        scheduled.session = Some(Counted::from_now(now, sent));
        drop(scheduled);
        tracing::info!("Transmission to {target} starts by its schedule: {why}");
        Ok(())
    }

    /// TRANSMISSION START or RESUME while the schedule has it wait (TRN-21): a session begins. False: it does not wait. -153 outside the
    /// window, which bounds everything.
    pub fn start_by_hand(&self, now: &Moment, target: &str) -> Result<bool, ApiError> {
        let Kept { mode, schedule, .. } = self.kept();
        if !schedule.waits() {
            return Ok(false);
        }
        if let Some(window) = schedule.window.filter(|window| !window.is_open(now.wall, &now.zone)) {
            if mode != Mode::Started {
                return Ok(false);
            }
            return Err(ApiError::new(
                Code::TransmissionIsPaused,
                format!("nothing is sent to {target} outside its window, {} to {}", window.open, window.close),
            )
            .help(format!("SCHEDULE {target} WINDOW CLEAR takes the window away, SCHEDULE {target} DISABLE all of the schedule")));
        }
        self.begin(now, Why::ByHand, target).map(|()| true)
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
        let Schedule { end, session, .. } = self.kept().schedule;
        self.gate.allow(session.and(end.bytes).map(|bytes| bytes.saturating_sub(sent)));
    }

    /// What the session has sent.
    fn sent_in_session(&self, now: &Moment) -> u64 {
        let sent = self.sent(now);
        let session = self.kept().schedule.session;
        match (self.scheduled().session, session) {
            (Some(counted), _) => counted.bytes + sent.saturating_sub(counted.sent),
            (None, Some(session)) => session.bytes,
            (None, None) => 0,
        }
    }

    fn scheduled(&self) -> MutexGuard<'_, Scheduled> {
        self.scheduled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
