//! `--lock FILE`: one run at a time.
//!
//! An flock, which the kernel gives back however the process ends. The file stays; the process number in it is for the
//! message alone.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Held as long as the run lasts.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
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
        let failed = |error| LockError::Failed { path: path.to_owned(), error };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)
            .map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                // Whatever else is in it was meant for something else: it locks as well.
                if is_ours(&mut file).map_err(failed)? {
                    file.set_len(0).map_err(failed)?;
                    file.rewind().map_err(failed)?;
                    writeln!(file, "{}", std::process::id()).map_err(failed)?;
                }
                Ok(Lock { _file: file })
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                // Without the number the message is still right.
                let _ = (&mut file).take(32).read_to_string(&mut text);
                Err(LockError::Held { path: path.to_owned(), pid: text.trim().parse().ok() })
            }
            Err((_, error)) => Err(failed(error.into())),
        }
    }
}

/// Whether a file is empty or holds a process number and nothing else.
fn is_ours(file: &mut File) -> std::io::Result<bool> {
    let mut bytes = Vec::new();
    file.take(33).read_to_end(&mut bytes)?;
    let number = bytes.trim_ascii();
    Ok(bytes.len() <= 32 && number.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_learns_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err();
        assert!(refused.to_string().ends_with(&format!("held by process {}", std::process::id())));
        drop(first);
        Lock::take(&path).unwrap();
        // Not a file of ours: it stays as it is.
        let other = dir.path().join("x.dtcl");
        std::fs::write(&other, "write 1\n").unwrap();
        let _held = Lock::take(&other).unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "write 1\n");
        assert!(Lock::take(&other).unwrap_err().to_string().ends_with("held by another process"));
        assert!(matches!(Lock::take(&dir.path().join("none/x")), Err(LockError::Failed { .. })));
    }
}
