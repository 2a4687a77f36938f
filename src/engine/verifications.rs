//! Verifications at set times: kept with their connection, begun when they are due, watched to their end (VER-10 to -13).

use super::Engine;
use super::connection::verifying::VerifyTimes;
use super::connection::{Connection, Ended, Info, Stage};
use super::job::{JobKind, JobShared};
use super::log::inherit;
use crate::api::{ApiError, Code};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A connection's part: its times, and the run that they began.
#[derive(Debug, Default)]
pub struct Verifying {
    times: Mutex<Option<VerifyTimes>>,
    running: Mutex<Option<Arc<JobShared>>>,
    /// A run is about to begin.
    begins: AtomicBool,
    /// It was told that one waits.
    told: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Verifying {
    pub fn of(times: Option<VerifyTimes>) -> Verifying {
        Verifying { times: Mutex::new(times), ..Verifying::default() }
    }

    pub fn is_set(&self) -> bool {
        lock(&self.times).is_some()
    }

    pub fn times(&self) -> Option<VerifyTimes> {
        lock(&self.times).clone()
    }

    /// For people.
    pub fn words(&self, now: Timestamp, zone: &TimeZone) -> Option<String> {
        let words = lock(&self.times).as_ref()?.words(now, zone);
        let runs = lock(&self.running).is_some();
        Some(if runs { format!("{words}; one runs") } else { words })
    }

    pub(super) fn set(&self, times: Option<VerifyTimes>) {
        *lock(&self.times) = times;
        *lock(&self.running) = None;
        self.told.store(false, Relaxed);
    }

    fn change<T>(&self, change: impl FnOnce(&mut VerifyTimes) -> T) -> Option<T> {
        lock(&self.times).as_mut().map(change)
    }
}

/// Why a run that is due cannot begin yet.
fn obstacle(connection: &Connection) -> Option<String> {
    let state = connection.view().state;
    if let Some(running) = &state.running {
        return Some(format!("a {} runs", super::connection::Work::of(&running.kind).noun()));
    }
    if state.resumes.is_some() || matches!(state.stage, Stage::Starting | Stage::Stopping(_)) {
        return Some("replication begins or ends".to_owned());
    }
    connection.info.transmission.held(&connection.info.target)
}

impl Engine {
    pub(super) fn wall(&self) -> Timestamp {
        Timestamp::from_millisecond(self.clock.wall_ms()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// One look at all connections that are verified at set times. What takes its time is done on threads.
    pub(super) fn look_at_verifications(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let mut beginning = Vec::new();
        for connection in self.connections() {
            let verifying = &connection.info.verifying;
            if !verifying.is_set() || connection.is_gone() {
                continue;
            }
            let (now, zone) = (self.wall(), TimeZone::system());
            if verifying.change(|times| times.recounts(now)) == Some(true) {
                self.keep_verifying(&connection.info);
            }
            self.look_at_run(&connection);
            if verifying.change(|times| times.is_due(now, &zone)) != Some(true)
                || lock(&verifying.running).is_some()
                || verifying.begins.load(Relaxed)
            {
                continue;
            }
            if let Some(why) = obstacle(&connection) {
                if !verifying.told.swap(true, Relaxed) {
                    tracing::info!(
                        "The verification of connection {} that is due waits: {why}",
                        connection.info.id
                    );
                }
                continue;
            }
            verifying.begins.store(true, Relaxed);
            let engine = Arc::clone(self);
            let begin = move || {
                engine.begin_verification(&connection);
                connection.info.verifying.begins.store(false, Relaxed);
            };
            match std::thread::Builder::new().name("verify".to_owned()).spawn(inherit(begin)) {
                Ok(thread) => beginning.push(thread),
                Err(error) => tracing::error!("No thread could be started for a verification: {error}"),
            }
        }
        beginning
    }

    /// Has the run that was begun come to its end?
    fn look_at_run(&self, connection: &Connection) {
        let verifying = &connection.info.verifying;
        // The end of the engine stops it: it begins anew.
        let Some(shared) = lock(&verifying.running).clone().filter(|_| !self.is_closed()) else { return };
        let state = connection.view().state;
        if state.running.as_ref().is_some_and(|running| Arc::ptr_eq(&running.shared, &shared)) {
            return;
        }
        // What a later job has written over says nothing any more.
        let failed = matches!(&state.last, Some((_, Ended::Failed(_), last)) if Arc::ptr_eq(last, &shared));
        self.verification_ended(connection, failed);
    }

    fn verification_ended(&self, connection: &Connection, failed: bool) {
        let (info, now) = (&connection.info, self.wall());
        let retry @ (interval, _) = self.kept.settings.verify_retry();
        *lock(&info.verifying.running) = None;
        if info.verifying.change(|times| times.ended(failed, now, retry)) == Some(true) {
            let minutes = interval.as_secs() / 60;
            tracing::warn!(
                "The verification of connection {} failed and is tried again in {minutes} minutes (VerifyRetryInterval)",
                info.id
            );
        } else if failed {
            tracing::warn!(
                "The verification of connection {} failed and is not tried again before its next time",
                info.id
            );
        }
        self.keep_verifying(info);
    }

    fn begin_verification(&self, connection: &Connection) {
        let info = &connection.info;
        let Some(spec) = info.verifying.times().map(|times| times.verify) else { return };
        let begun = self.begin_watched(connection, JobKind::Verify(spec), false);
        // Another job was there first: it is due still.
        if begun.as_ref().is_err_and(|error: &ApiError| error.code == Code::MirrorCurrentlyActive) {
            return;
        }
        let (now, zone) = (self.wall(), TimeZone::system());
        info.verifying.told.store(false, Relaxed);
        info.verifying.change(|times| times.begins(now, &zone));
        match begun {
            Ok(shared) => {
                tracing::info!("The verification of connection {} begins, as its time has come", info.id);
                *lock(&info.verifying.running) = Some(shared);
                self.keep_verifying(info);
            }
            Err(error) => {
                tracing::warn!("The verification of connection {} could not begin: {error}", info.id);
                self.verification_ended(connection, true);
            }
        }
    }

    /// Keeps what is known of it, and forgets one that has been for the last time.
    pub(super) fn keep_verifying(&self, info: &Info) {
        let (now, zone) = (self.wall(), TimeZone::system());
        if info.verifying.times().is_some_and(|times| times.next(now, &zone).is_none()) {
            info.verifying.set(None);
        }
        self.keep_verify_times(info, info.verifying.times().as_ref());
    }
}
