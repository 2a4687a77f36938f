//! The lock of a home: one engine at a time.
//!
//! An flock, so that the kernel gives it back however the process ends. The file stays; the process number in it is for
//! the message only and decides nothing.

use super::HomeError;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Held as long as the engine is open.
#[derive(Debug)]
pub struct HomeLock {
    _file: Flock<File>,
}

impl HomeLock {
    pub(super) fn take(run: &Path) -> Result<Self, HomeError> {
        let path = run.join("DTCL.lock");
        let failed = |error| HomeError::Lock { path: path.clone(), error };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                file.set_len(0).map_err(failed)?;
                writeln!(file, "{}", std::process::id()).map_err(failed)?;
                Ok(Self { _file: file })
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                // Without the number the message is still right.
                let _ = (&mut file).take(32).read_to_string(&mut text);
                Err(HomeError::Locked { run: run.to_owned(), pid: text.trim().parse().ok() })
            }
            Err((_, error)) => Err(failed(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
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
        drop(first);
        home.lock().unwrap();
    }
}
