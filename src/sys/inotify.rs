//! inotify: one watch for each directory, events that name the watch and an entry's name.
//!
//! Works for everybody, within `fs.inotify.max_user_watches`. The kernel's queue holds `max_queued_events`, and says so when
//! it was too short. Records are parsed from bytes with each length checked.
#![allow(unsafe_code)]

use super::check;
use super::dir::{Dir, proc_path};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The same changes as [`fanotify::MASK`](super::fanotify::MASK), and what becomes of the directory itself.
const MASK: u32 = libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_MODIFY
    | libc::IN_CLOSE_WRITE
    | libc::IN_ATTRIB
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE_SELF
    | libc::IN_ONLYDIR;

/// A queue of events and the watches that fill it.
#[derive(Debug)]
pub struct Inotify {
    fd: OwnedFd,
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Inotify {
    /// EMFILE when the user has `fs.inotify.max_user_instances` of them.
    pub fn new() -> io::Result<Inotify> {
        // SAFETY: the call takes numbers only.
        let fd = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        check(fd.into())?;
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
        Ok(Inotify { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Watches a held directory; the same directory again has the same number. ENOSPC: the limit of watches.
    pub fn watch(&self, dir: &Dir) -> io::Result<i32> {
        let path = proc_path(dir.as_fd());
        // SAFETY: `path` is a C string that outlives the call.
        let watch = unsafe { libc::inotify_add_watch(self.fd.as_raw_fd(), path.as_ptr(), MASK) };
        check(watch.into())?;
        Ok(watch)
    }

    /// Ends a watch; its last event is `IN_IGNORED`. EINVAL: it has ended already.
    pub fn unwatch(&self, watch: i32) -> io::Result<()> {
        // SAFETY: the call takes numbers only.
        check(unsafe { libc::inotify_rm_watch(self.fd.as_raw_fd(), watch) }.into()).map(drop)
    }

    /// Reads whole events; `Ok(0)` when there are none.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        read_events(self.fd.as_fd(), buffer)
    }

    /// Bytes of all events that wait now.
    pub fn waiting(&self) -> io::Result<usize> {
        bytes_waiting(self.fd.as_fd())
    }
}

/// Reads from a queue of events that does not block; 0 when it is empty.
pub(super) fn read_events(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match nix::unistd::read(fd, buffer) {
            Ok(got) => return Ok(got),
            Err(nix::errno::Errno::EAGAIN) => return Ok(0),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn bytes_waiting(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD stores an int; `bytes` is one and outlives the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut bytes) }.into())?;
    // The kernel counts in an int; a queue longer than that comes out negative.
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// One event. An empty name is the watched directory itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// -1 of an overflow.
    pub watch: i32,
    pub mask: u32,
    /// The same for the two halves of a rename.
    pub cookie: u32,
    pub name: &'a [u8],
}

/// The events of a filled buffer. Bytes that do not hold together end it.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    rest: &'a [u8],
}

impl<'a> Events<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// `struct inotify_event`: wd i32, mask u32, cookie u32, len u32, then the name, filled up with NULs.
    fn event(&self) -> Option<(Event<'a>, &'a [u8])> {
        let word = |at: usize| self.rest.get(at..)?.first_chunk::<4>().copied();
        let watch = i32::from_ne_bytes(word(0)?);
        let (mask, cookie) = (u32::from_ne_bytes(word(4)?), u32::from_ne_bytes(word(8)?));
        let len = u32::from_ne_bytes(word(12)?) as usize;
        let (name, rest) = self.rest.get(16..)?.split_at_checked(len)?;
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(len);
        Some((Event { watch, mask, cookie, name: name.get(..end)? }, rest))
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let (event, rest) = self.event()?;
        self.rest = rest;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bed() -> (tempfile::TempDir, Dir, Inotify) {
        let dir = tempfile::tempdir().unwrap();
        let root = Dir::open_root(dir.path()).unwrap();
        (dir, root, Inotify::new().unwrap())
    }

    #[test]
    fn a_made_name_is_told_and_then_the_queue_is_empty() {
        let (dir, root, queue) = bed();
        let watch = queue.watch(&root).unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        assert!(queue.waiting().unwrap() > 0);
        let mut buffer = [0; 4096];
        let got = queue.read(&mut buffer).unwrap();
        let events: Vec<_> = Events::new(&buffer[..got]).collect();
        let mask = libc::IN_CREATE | libc::IN_ISDIR;
        assert_eq!(events, [Event { watch, mask, cookie: 0, name: b"a" }]);
        assert_eq!(queue.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_directory_has_one_watch_that_ends_once() {
        let (_dir, root, queue) = bed();
        let watch = queue.watch(&root).unwrap();
        assert_eq!(queue.watch(&root.again().unwrap()).unwrap(), watch);
        queue.unwatch(watch).unwrap();
        assert!(queue.unwatch(watch).is_err());
    }

    #[test]
    fn bytes_that_end_early_are_no_events() {
        let mut bytes = 1_i32.to_ne_bytes().to_vec();
        bytes.extend([0; 8]);
        bytes.extend(8_u32.to_ne_bytes());
        bytes.extend(b"name\0\0\0\0");
        assert_eq!(Events::new(&bytes).next().map(|event| event.name), Some(&b"name"[..]));
        for end in 0..bytes.len() {
            assert_eq!(Events::new(&bytes[..end]).count(), 0);
        }
    }
}
