//! The lock of a home: one engine at a time.

use super::HomeError;
use crate::sys::{HeldBy, ProcessLock};
use std::path::Path;

/// Held as long as the engine is open.
#[derive(Debug)]
pub struct HomeLock {
    _held: ProcessLock,
}

impl HomeLock {
    pub(super) fn take(run: &Path) -> Result<Self, HomeError> {
        let path = run.join("DTCL.lock");
        match ProcessLock::take(&path, 0o600) {
            Ok(Ok(held)) => Ok(Self { _held: held }),
            Ok(Err(HeldBy(pid))) => Err(HomeError::Locked { run: run.to_owned(), pid }),
            Err(error) => Err(HomeError::Lock { path, error }),
        }
    }

    /// Does no engine run there? Nothing is made or written.
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
