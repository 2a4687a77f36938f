//! Reading a file so that what is sent is what it was at one moment, or is not called done.
//!
//! Stamps (size, mtime, ctime) are taken before the bytes are read and compared afterwards (architecture.md 3). Where the
//! clock's tick could hide a write (ctime younger than a tick, and no fine-grained timestamps), a read lease or a second read
//! settles it.

use crate::sys::{self, Stat};
use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// Longer than the coarsest tick of a kernel's clock (100 Hz), twice.
const TICK: Duration = Duration::from_millis(20);

/// What became of a file while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nobody wrote.
    Yes,
    /// It was changed, or that cannot be excluded: to be read again.
    No,
}

/// Called after the bytes were read: `before` is its `statx` from before. `read_again` says whether the bytes are the same
/// when they are read once more.
pub(super) fn settle(
    file: &File,
    before: &Stat,
    read_again: impl FnOnce() -> io::Result<bool>,
) -> io::Result<Settled> {
    if Stat::of(file)?.stamp() != before.stamp() {
        return Ok(Settled::No);
    }
    if has_fine_stamps() || !is_fresh(before) {
        return Ok(Settled::Yes);
    }
    if sys::read_lease(file) {
        // Nobody has it open for writing now; one who had it and closed it has moved ctime if he wrote a tick ago.
        std::thread::sleep(TICK);
    }
    let same = read_again()?;
    Ok(if same && Stat::of(file)?.stamp() == before.stamp() { Settled::Yes } else { Settled::No })
}

/// True when ctime is so young that a later write may have left it as it is.
fn is_fresh(stat: &Stat) -> bool {
    let Ok(seconds) = u64::try_from(stat.ctime.0) else { return false };
    let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, stat.ctime.1);
    // A ctime in the future (the clock was set back) settles nothing.
    changed.elapsed().map_or(true, |age| age < TICK)
}

/// Since Linux 6.13 a timestamp that was looked at is never given to a later change (multigrain timestamps; ext4, xfs, btrfs
/// and tmpfs, which are what a set lies on in all but odd cases).
fn has_fine_stamps() -> bool {
    static FINE: OnceLock<bool> = OnceLock::new();
    *FINE.get_or_init(|| {
        let Ok(name) = nix::sys::utsname::uname() else { return false };
        let release = name.release().to_string_lossy().into_owned();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 13)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_between_stamps_and_end_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"before").unwrap();
        let file = File::open(&path).unwrap();
        let before = Stat::of(&file).unwrap();
        assert_eq!(settle(&file, &before, || Ok(true)).unwrap(), Settled::Yes);
        std::fs::write(&path, b"beyond").unwrap();
        // Same size; on kernels with coarse clocks the stamps may be equal, then the second read tells.
        assert_eq!(settle(&file, &before, || Ok(false)).unwrap(), Settled::No);
    }
}
