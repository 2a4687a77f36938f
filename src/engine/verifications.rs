//! Verifications at set times: kept with their connection, begun when they are due, watched to their end (VER-10 to -13).

use super::Engine;
use super::connection::verifying::VerifyTimes;
use super::connection::{Connection, Ended, Info, Stage};
use super::job::{JobKind, JobShared};
use super::log::inherit;
use crate::api::{ApiError, Code};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A connection's part: its times, and the run that they began.
#[derive(Debug, Default)]
pub struct Verifying {
    times: Mutex<Option<VerifyTimes>>,
    running: Mutex<Option<Arc<JobShared>>>,
    /// A run is about to begin.
    begins: Arc<AtomicBool>,
    /// How often times were set: what was begun by others says nothing of these.
    version: AtomicU64,
    /// Who changes them holds it until they are kept, so that an older one is never kept behind a newer one.
    turn: Mutex<()>,
    /// It was told that one waits.
    told: AtomicBool,
}

/// A run that is about to begin: however that ends, another one may begin afterwards.
struct Beginning(Arc<AtomicBool>);

impl Drop for Beginning {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
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

    /// None: one is about to begin already.
    fn beginning(&self) -> Option<Beginning> {
        let is_first = !self.begins.swap(true, Relaxed);
        is_first.then(|| Beginning(Arc::clone(&self.begins)))
    }

    pub(super) fn set(&self, times: Option<VerifyTimes>) {
        self.version.fetch_add(1, Relaxed);
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
                self.keep_verifying(&connection.info, |_| ());
            }
            self.look_at_run(&connection);
            if verifying.change(|times| times.is_due(now, &zone)) != Some(true)
                || lock(&verifying.running).is_some()
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
            let Some(beginning_one) = verifying.beginning() else { continue };
            let engine = Arc::clone(self);
            let begin = move || {
                let _until_then = beginning_one;
                engine.begin_verification(&connection);
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
        let (version, running) = {
            let _turn = lock(&verifying.turn);
            (verifying.version.load(Relaxed), lock(&verifying.running).clone())
        };
        // The end of the engine stops it: it begins anew.
        let Some(shared) = running.filter(|_| !self.is_closed()) else { return };
        let state = connection.view().state;
        if state.running.as_ref().is_some_and(|running| Arc::ptr_eq(&running.shared, &shared)) {
            return;
        }
        // What a later job has written over says nothing any more.
        let failed = matches!(&state.last, Some((_, Ended::Failed(_), last)) if Arc::ptr_eq(last, &shared));
        self.verification_ended(connection, failed, version);
    }

    fn verification_ended(&self, connection: &Connection, failed: bool, version: u64) {
        let (info, now) = (&connection.info, self.wall());
        let retry @ (interval, _) = self.kept.settings.verify_retry();
        let again = self.keep_verifying(info, |verifying| {
            if verifying.version.load(Relaxed) != version {
                return None;
            }
            *lock(&verifying.running) = None;
            verifying.change(|times| times.ended(failed, now, retry))
        });
        match again {
            Some(true) => {
                let minutes = interval.as_secs() / 60;
                tracing::warn!(
                    "The verification of connection {} failed and is tried again in {minutes} minutes (VerifyRetryInterval)",
                    info.id
                );
            }
            _ if failed => tracing::warn!(
                "The verification of connection {} failed and is not tried again before its next time",
                info.id
            ),
            _ => {}
        }
    }

    fn begin_verification(&self, connection: &Connection) {
        let info = &connection.info;
        let (version, times) = {
            let _turn = lock(&info.verifying.turn);
            (info.verifying.version.load(Relaxed), info.verifying.times())
        };
        let Some(spec) = times.map(|times| times.verify) else { return };
        let begun = self.begin_watched(connection, JobKind::Verify(spec), false);
        // Another job was there first: it is due still.
        if begun.as_ref().is_err_and(|error: &ApiError| error.code == Code::MirrorCurrentlyActive) {
            return;
        }
        let (now, zone) = (self.wall(), TimeZone::system());
        let (shared, error) = match begun {
            Ok(shared) => (Some(shared), None),
            Err(error) => (None, Some(error)),
        };
        if error.is_none() {
            tracing::info!("The verification of connection {} begins, as its time has come", info.id);
        }
        self.keep_verifying(info, |verifying| {
            // Other times were set meanwhile: the run is none of theirs.
            if verifying.version.load(Relaxed) == version {
                verifying.told.store(false, Relaxed);
                verifying.change(|times| times.begins(now, &zone));
                *lock(&verifying.running) = shared;
            }
        });
        if let Some(error) = error {
            tracing::warn!("The verification of connection {} could not begin: {error}", info.id);
            self.verification_ended(connection, true, version);
        }
    }

    /// Changes what is known of it and keeps that; one that has been for the last time is forgotten.
    pub(super) fn keep_verifying<T>(&self, info: &Info, change: impl FnOnce(&Verifying) -> T) -> T {
        let _turn = lock(&info.verifying.turn);
        let changed = change(&info.verifying);
        let (now, zone) = (self.wall(), TimeZone::system());
        if info.verifying.times().is_some_and(|times| times.next(now, &zone).is_none()) {
            info.verifying.set(None);
        }
        self.keep_verify_times(info, info.verifying.times().as_ref());
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_could_not_begin_keeps_no_later_one_from_beginning() {
        let verifying = Verifying::default();
        let beginning = verifying.beginning().unwrap();
        assert!(verifying.beginning().is_none());
        let panics = std::thread::spawn(move || {
            let _until_then = beginning;
            panic!("as a thread may");
        });
        assert!(panics.join().is_err());
        assert!(verifying.beginning().is_some());
    }
}
