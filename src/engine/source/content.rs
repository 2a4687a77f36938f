//! Reading a file so that what is sent is what it was at one moment, or is not called done.
//!
//! Stamps (size, mtime, ctime) are taken before the bytes are read and compared afterwards (architecture.md 3). They move when
//! a write begins: one that had begun before they were taken may go on while the bytes are read. So a read lease, tried
//! directly after the stamps, says whether anybody had the file open for writing then; if so, and if the file is young, only
//! a second read settles it. The same holds where the clock's tick could hide a write (ctime younger than a tick, and no
//! fine-grained timestamps).

use crate::sys::{self, Stat};
use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// Longer than the coarsest tick of a kernel's clock (100 Hz), twice.
const TICK: Duration = Duration::from_millis(20);

/// Longer than one call of write lasts: a file that has not begun to change for so long is not being written now, even when
/// somebody has it open (a log, a database at rest).
const WRITE: Duration = Duration::from_secs(5);

/// A file's stamps from before its bytes are read, and whether a write may have been under way then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    stat: Stat,
    quiet: bool,
}

impl Before {
    /// To be called before the first byte is read.
    pub(super) fn look(file: &File) -> io::Result<Before> {
        let stat = Stat::of(file)?;
        Ok(Before { stat, quiet: !is_younger(&stat, WRITE) || sys::nobody_writes(file) })
    }
}

impl Before {
    /// Nobody wrote when the stamps were taken.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

impl std::ops::Deref for Before {
    type Target = Stat;

    fn deref(&self) -> &Stat {
        &self.stat
    }
}

/// What became of a file while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nobody wrote.
    Yes,
    /// It was changed, or that cannot be excluded: to be read again.
    No,
}

/// Called after the bytes were read. `read_again` says whether the bytes are the same when they are read once more.
pub(super) fn settle(
    file: &File,
    before: &Before,
    read_again: impl FnOnce() -> io::Result<bool>,
) -> io::Result<Settled> {
    if Stat::of(file)?.stamp() != before.stamp() {
        return Ok(Settled::No);
    }
    if before.quiet && (has_fine_stamps() || !is_younger(before, TICK)) {
        return Ok(Settled::Yes);
    }
    if sys::nobody_writes(file) {
        // Nobody has it open for writing now; one who had it and closed it has moved ctime if he wrote a tick ago.
        std::thread::sleep(TICK);
    }
    let same = read_again()?;
    Ok(if same && Stat::of(file)?.stamp() == before.stamp() { Settled::Yes } else { Settled::No })
}

/// True when ctime is younger than this.
fn is_younger(stat: &Stat, limit: Duration) -> bool {
    let Ok(seconds) = u64::try_from(stat.ctime.0) else { return false };
    let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, stat.ctime.1);
    // A ctime in the future (the clock was set back) settles nothing.
    changed.elapsed().map_or(true, |age| age < limit)
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
        let before = Before::look(&file).unwrap();
        assert_eq!(settle(&file, &before, || Ok(true)).unwrap(), Settled::Yes);
        std::fs::write(&path, b"beyond").unwrap();
        // Same size; on kernels with coarse clocks the stamps may be equal, then the second read tells.
        assert_eq!(settle(&file, &before, || Ok(false)).unwrap(), Settled::No);
    }

    /// A write that had begun before the stamps were taken moves none of them: only who has the file open tells.
    #[test]
    fn a_young_file_that_somebody_writes_needs_a_second_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let _writer = File::create(&path).unwrap();
        let file = File::open(&path).unwrap();
        let before = Before::look(&file).unwrap();
        assert_eq!(settle(&file, &before, || Ok(false)).unwrap(), Settled::No);
        assert_eq!(settle(&file, &before, || Ok(true)).unwrap(), Settled::Yes);
    }
}
