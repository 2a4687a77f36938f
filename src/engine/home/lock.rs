//! The lock of a home: one engine at a time.

use super::HomeError;
use crate::sys::{HeldBy, ProcessLock};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longer than who only [looks](HomeLock::is_free) holds it.
const LOOK: Duration = Duration::from_millis(50);
const BEAT: Duration = Duration::from_millis(5);

/// Held as long as the engine is open.
#[derive(Debug)]
pub struct HomeLock {
    _held: ProcessLock,
}

impl HomeLock {
    pub(super) fn take(run: &Path) -> Result<Self, HomeError> {
        let path = run.join("DTCL.lock");
        let patience = Instant::now() + LOOK;
        loop {
            return match ProcessLock::take(&path, 0o600) {
                Ok(Ok(held)) => Ok(Self { _held: held }),
                Ok(Err(_)) if Instant::now() < patience => {
                    std::thread::sleep(BEAT);
                    continue;
                }
                Ok(Err(HeldBy(pid))) => Err(HomeError::Locked { run: run.to_owned(), pid }),
                Err(error) => Err(HomeError::Lock { path, error }),
            };
        }
    }

    /// Does no engine run there? Nothing is made or written; the lock is held for a moment.
    pub(super) fn is_free(run: &Path) -> Result<(), HomeError> {
        let path = run.join("DTCL.lock");
        match ProcessLock::held_by(&path) {
            Ok(None) => Ok(()),
            Ok(Some(HeldBy(pid))) => Err(HomeError::Locked { run: run.to_owned(), pid }),
            Err(error) => Err(HomeError::Lock { path, error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HomeError;
    use crate::api::{ApiError, Code};
    use crate::engine::home::Home;

    #[test]
    fn who_only_looks_keeps_no_engine_away() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.create().unwrap();
        drop(home.lock().unwrap());
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = home.is_free();
                }
            });
            let refused = (0..200).filter(|_| home.lock().is_err()).count();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(refused, 0);
        });
    }

    #[test]
    fn a_second_engine_is_refused_and_told_who_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.create().unwrap();
        let first = home.lock().unwrap();
        let error = ApiError::from(home.lock().unwrap_err());
        assert_eq!(error.code, Code::ProductIsRunning);
        assert!(error.message.contains(&format!("process {}", std::process::id())), "{}", error.message);
        assert!(error.help.unwrap().contains("DTCL_HOME"));
        assert!(matches!(home.is_free(), Err(HomeError::Locked { pid: Some(_), .. })));
        drop(first);
        home.is_free().unwrap();
        home.lock().unwrap();
    }
}
