//! The file system as the queue sees it, and the real one.
//!
//! A queue's directory is for this user only and held by a lock file, so that others can tell what a dead process left behind.
//! Everything in it is reached from the held directory by one name; links are never followed, existing names never taken.

use crate::engine::home::make_private;
use crate::sys::{self, Dir, FileKind, Names, Stat};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::Mode;
use std::ffi::{CStr, CString, OsString};
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Where queues have their directories.
pub trait SegmentFs: Debug + Send + Sync {
    /// Removes the directories that ended processes left beside `directory`; returns how many. What cannot be told or
    /// removed stays.
    fn sweep(&self, directory: &Path) -> usize;

    /// A new directory there, or under a name beside it when that is taken.
    fn make(&self, directory: &Path) -> io::Result<Arc<dyn SegmentDir>>;
}

/// The directory of one queue. Removed when it is dropped, if it is empty.
pub trait SegmentDir: Debug + Send + Sync {
    /// A new file; an existing name is EEXIST. `write_through`: each write waits for the disk.
    fn create(&self, name: &CStr, write_through: bool) -> io::Result<Box<dyn SegmentFile>>;

    /// A file for reading.
    fn open(&self, name: &CStr) -> io::Result<Box<dyn SegmentFile>>;

    fn remove(&self, name: &CStr) -> io::Result<()>;

    /// Bytes that this user can still write on the volume.
    fn free(&self) -> io::Result<u64>;
}

/// A segment's file.
pub trait SegmentFile: Debug + Send + Sync {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Appends up to `len` bytes to `into`; fewer only at the file's end.
    fn read(&self, offset: u64, len: usize, into: &mut Vec<u8>) -> io::Result<()>;

    /// Shortens the file.
    fn cut(&self, len: u64) -> io::Result<()>;
}

/// The name of a segment.
pub(super) fn segment_name(number: u64) -> CString {
    // Digits hold no NUL.
    CString::new(format!("{number:08}{SUFFIX}")).unwrap_or_default()
}

const SUFFIX: &str = ".dtq";
const LOCK: &CStr = c"queue.lock";
/// Names that are tried for a directory.
const TRIES: usize = 100;

/// Segments, the lock: nothing else is ever removed.
fn is_ours(name: &CStr) -> bool {
    let name = name.to_bytes();
    name.strip_suffix(SUFFIX.as_bytes()).is_some_and(|n| n.len() >= 8 && n.iter().all(u8::is_ascii_digit))
}

/// The machine's own file system.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl SegmentFs for Disk {
    fn sweep(&self, directory: &Path) -> usize {
        let Some(journal) = directory.parent() else { return 0 };
        let Ok(journal) = Dir::open_root(journal) else { return 0 };
        let mut names = Names::default();
        if sys::list_dir(&journal, &mut names, &mut Vec::new()).is_err() {
            return 0;
        }
        let dirs = names.iter().filter(|(_, kind)| matches!(kind, None | Some(FileKind::Directory)));
        dirs.filter(|(name, _)| remove_left_over(&journal, name).is_ok_and(|removed| removed)).count()
    }

    fn make(&self, directory: &Path) -> io::Result<Arc<dyn SegmentDir>> {
        let (Some(journal), Some(name)) = (directory.parent(), directory.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        make_private(journal).map_err(io::Error::other)?;
        let journal = Dir::open_root(journal)?;
        for n in 1..=TRIES {
            let mut name = OsString::from(name);
            if n > 1 {
                name.push(format!("-{n}"));
            }
            let name = sys::c_string(name.as_bytes())?;
            if let Some((dir, lock)) = take(&journal, &name)? {
                return Ok(Arc::new(DiskDir { journal, name, dir, _lock: lock }));
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Makes and locks a directory; None when the name is taken.
fn take(journal: &Dir, name: &CStr) -> io::Result<Option<(Dir, Flock<File>)>> {
    let taken = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match journal.make_dir(name) {
        Ok(()) => {}
        // Empty: its maker ended before the lock. A maker that is still at it finds it gone and takes another.
        Err(error) if taken(&error) => match journal.remove_dir(name).and_then(|()| journal.make_dir(name)) {
            Ok(()) => {}
            Err(_) => return Ok(None),
        },
        Err(error) => return Err(error),
    }
    let made = journal.dir(name).and_then(|dir| dir.create(LOCK).map(|lock| (dir, lock)));
    let (dir, lock) = match made {
        Ok(made) => made,
        Err(error) if gone(&error) || taken(&error) => return Ok(None),
        Err(error) => {
            let _ = journal.remove_dir(name);
            return Err(error);
        }
    };
    let Ok(lock) = Flock::lock(lock, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
    // A sweep may have come between the file and its lock.
    let same = dir.stat(LOCK).is_ok_and(|there| Stat::of(&*lock).is_ok_and(|held| held.id() == there.id()));
    Ok(same.then_some((dir, lock)))
}

/// Removes a queue's directory that nobody holds. False: it is none, or somebody does.
fn remove_left_over(journal: &Dir, name: &CStr) -> io::Result<bool> {
    let dir = journal.dir(name)?;
    let Ok(_lock) = Flock::lock(dir.update(LOCK)?, FlockArg::LockExclusiveNonblock) else { return Ok(false) };
    let mut names = Names::default();
    sys::list_dir(&dir, &mut names, &mut Vec::new())?;
    for (name, _) in names.iter().filter(|(name, _)| is_ours(name)) {
        dir.remove(name)?;
    }
    dir.remove(LOCK)?;
    journal.remove_dir(name)?;
    Ok(true)
}

#[derive(Debug)]
struct DiskDir {
    journal: Dir,
    name: CString,
    dir: Dir,
    _lock: Flock<File>,
}

impl SegmentDir for DiskDir {
    fn create(&self, name: &CStr, write_through: bool) -> io::Result<Box<dyn SegmentFile>> {
        let mut flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        if write_through {
            flags |= OFlag::O_DSYNC;
        }
        let file = nix::fcntl::openat(&self.dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(Box::new(DiskFile(file.into())))
    }

    fn open(&self, name: &CStr) -> io::Result<Box<dyn SegmentFile>> {
        let file = self.dir.read(name)?;
        sys::advise_sequential(&file);
        Ok(Box::new(DiskFile(file)))
    }

    fn remove(&self, name: &CStr) -> io::Result<()> {
        self.dir.remove(name)
    }

    fn free(&self) -> io::Result<u64> {
        let volume = nix::sys::statvfs::fstatvfs(&self.dir)?;
        Ok(volume.blocks_available().saturating_mul(volume.fragment_size()))
    }
}

impl Drop for DiskDir {
    fn drop(&mut self) {
        let _ = self.dir.remove(LOCK);
        let _ = self.journal.remove_dir(&self.name);
    }
}

#[derive(Debug)]
struct DiskFile(File);

impl SegmentFile for DiskFile {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        sys::write_all_at(&self.0, bytes, offset)
    }

    fn read(&self, offset: u64, len: usize, into: &mut Vec<u8>) -> io::Result<()> {
        sys::read_into(&self.0, offset, len, into).map(drop)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

/// Is it only for want of something that others give back soon?
pub(super) fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EAGAIN, Errno::EINTR];
    error.raw_os_error().is_some_and(|number| passing.contains(&Errno::from_raw(number)))
}
