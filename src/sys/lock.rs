//! A file that one process at a time holds.
//!
//! An flock, which the kernel gives back however the process ends. The file stays; the process number in it is for a message alone, and decides
//! nothing.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Longest text that can be a process number.
const NUMBER: u64 = 32;

/// Held until it is dropped.
#[derive(Debug)]
pub struct ProcessLock {
    _file: Flock<File>,
}

/// Another process holds it: its number, where it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBy(pub Option<u32>);

impl ProcessLock {
    /// Takes the lock of a file, which is made with these permission bits if it is not there; no link is followed. A file with anything else in it than a
    /// process number is locked and stays as it is.
    pub fn take(path: &Path, mode: u32) -> io::Result<Result<ProcessLock, HeldBy>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                if is_ours(&mut file)? {
                    file.set_len(0)?;
                    file.rewind()?;
                    writeln!(file, "{}", std::process::id())?;
                }
                Ok(Ok(ProcessLock { _file: file }))
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                // Without the number the message is still right.
                let _ = (&mut file).take(NUMBER).read_to_string(&mut text);
                Ok(Err(HeldBy(text.trim().parse().ok())))
            }
            Err((_, error)) => Err(error.into()),
        }
    }
}

impl ProcessLock {
    /// Who holds a file's lock now; None if nobody does, or there is no such file. The file is only read.
    pub fn held_by(path: &Path) -> io::Result<Option<HeldBy>> {
        let mut options = OpenOptions::new();
        let file = match options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_) => Ok(None),
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                let _ = (&mut file).take(NUMBER).read_to_string(&mut text);
                Ok(Some(HeldBy(text.trim().parse().ok())))
            }
            Err((_, error)) => Err(error.into()),
        }
    }
}

/// Whether a file is empty or holds a process number and nothing else.
fn is_ours(file: &mut File) -> io::Result<bool> {
    let mut bytes = Vec::new();
    file.take(NUMBER + 1).read_to_end(&mut bytes)?;
    let number = bytes.trim_ascii();
    Ok(bytes.len() as u64 <= NUMBER && number.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_learns_who_holds_it_and_a_file_of_something_else_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = ProcessLock::take(&path, 0o600).unwrap().unwrap();
        assert_eq!(ProcessLock::take(&path, 0o600).unwrap().unwrap_err(), HeldBy(Some(std::process::id())));
        drop(first);
        ProcessLock::take(&path, 0o600).unwrap().unwrap();
        let other = dir.path().join("x.dtcl");
        std::fs::write(&other, "write 1\n").unwrap();
        let _held = ProcessLock::take(&other, 0o600).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "write 1\n");
        assert_eq!(ProcessLock::take(&other, 0o600).unwrap().unwrap_err(), HeldBy(None));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(ProcessLock::take(&link, 0o600).is_err());
        assert!(ProcessLock::take(&dir.path().join("none/x"), 0o600).is_err());
    }
}
