//! `--lock FILE`: one run at a time.

use crate::sys::{HeldBy, ProcessLock};
use std::path::{Path, PathBuf};

/// Held as long as the run lasts.
#[derive(Debug)]
pub struct Lock {
    _held: ProcessLock,
}

/// A lock that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{} is held by {}", .path.display(), match .pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    })]
    Held { path: PathBuf, pid: Option<u32> },
    #[error("lock {}: {}", .path.display(), super::help::reason(.error))]
    Failed { path: PathBuf, error: std::io::Error },
}

impl LockError {
    /// What would be right.
    pub fn help(&self) -> &'static str {
        match self {
            LockError::Held { .. } => "another run is under way; this one did nothing",
            LockError::Failed { .. } => "--lock takes the path of a file in a directory that exists",
        }
    }
}

impl Lock {
    pub fn take(path: &Path) -> Result<Lock, LockError> {
        match ProcessLock::take(path, 0o644) {
            Ok(Ok(held)) => Ok(Lock { _held: held }),
            Ok(Err(HeldBy(pid))) => Err(LockError::Held { path: path.to_owned(), pid }),
            Err(error) => Err(LockError::Failed { path: path.to_owned(), error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_learns_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _first = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err();
        assert!(refused.to_string().ends_with(&format!("held by process {}", std::process::id())));
        assert!(matches!(Lock::take(&dir.path().join("none/x")), Err(LockError::Failed { .. })));
    }
}
