//! fanotify with marks of whole file systems and records that name a directory by its handle and an entry in it.
//!
//! A group is a queue of events in the kernel without a limit; reading never waits. A mark holds nothing open: it ends
//! without an event when its file system is unmounted. Records are parsed from bytes with each length checked.
#![allow(unsafe_code)]

use super::check;
use super::handle::Handle;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Names made, removed and renamed; content; metadata; of directories, too. What becomes of a directory itself is told by
/// its parent, as that is on the same file system and so marked, too.
pub const MASK: u64 = libc::FAN_CREATE
    | libc::FAN_DELETE
    | libc::FAN_RENAME
    | libc::FAN_MODIFY
    | libc::FAN_CLOSE_WRITE
    | libc::FAN_ATTRIB
    | libc::FAN_ONDIR;

/// Length of `struct fanotify_event_metadata`.
const METADATA: usize = 24;

/// A queue of events.
#[derive(Debug)]
pub struct Group {
    fd: OwnedFd,
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Group {
    /// EPERM without CAP_SYS_ADMIN in the first user namespace, EINVAL before Linux 5.17, EMFILE when there are
    /// `fs.fanotify.max_user_groups` of them.
    pub fn new() -> io::Result<Group> {
        let flags = libc::FAN_CLASS_NOTIF
            | libc::FAN_REPORT_DFID_NAME_TARGET
            | libc::FAN_UNLIMITED_QUEUE
            | libc::FAN_UNLIMITED_MARKS
            | libc::FAN_CLOEXEC
            | libc::FAN_NONBLOCK;
        // SAFETY: the call takes numbers only.
        let fd = unsafe { libc::fanotify_init(flags, (libc::O_RDONLY | libc::O_LARGEFILE) as u32) };
        check(fd.into())?;
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
        Ok(Group { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Marks the whole file system of an open object (not one held by `O_PATH`); a second time changes nothing. EXDEV:
    /// a btrfs subvolume, EOPNOTSUPP: a file system without handles, ENODEV: one without a number.
    pub fn mark_file_system(&self, of: impl AsFd) -> io::Result<()> {
        self.mark(libc::FAN_MARK_ADD, of)
    }

    /// Takes the mark away.
    pub fn unmark_file_system(&self, of: impl AsFd) -> io::Result<()> {
        self.mark(libc::FAN_MARK_REMOVE, of)
    }

    fn mark(&self, action: u32, of: impl AsFd) -> io::Result<()> {
        let flags = action | libc::FAN_MARK_FILESYSTEM;
        let (group, of) = (self.fd.as_raw_fd(), of.as_fd().as_raw_fd());
        // SAFETY: both descriptors are open; no path means the object of the second.
        check(unsafe { libc::fanotify_mark(group, flags, MASK, of, std::ptr::null()) }.into()).map(drop)
    }

    /// Reads whole events; `Ok(0)` when there are none.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        super::inotify::read_events(self.fd.as_fd(), buffer)
    }

    /// Events that wait now; never too few. The kernel tells bytes, and counts the fixed part of each event only.
    pub fn waiting(&self) -> io::Result<usize> {
        super::inotify::bytes_waiting(self.fd.as_fd()).map(|bytes| bytes.div_ceil(METADATA))
    }

    /// Device numbers of the file systems that are marked now, as (major, minor).
    pub fn marked(&self) -> io::Result<Vec<(u32, u32)>> {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd()))?;
        Ok(text.lines().filter_map(marked_device).collect())
    }
}

/// `fanotify sdev:800013 mflags:0 mask:... ignored_mask:0`; the number is the kernel's own, 20 bits of minor.
fn marked_device(line: &str) -> Option<(u32, u32)> {
    let rest = line.strip_prefix("fanotify sdev:")?;
    let number = u32::from_str_radix(rest.split(' ').next()?, 16).ok()?;
    Some((number >> 20, number & 0xf_ffff))
}

/// An object as an event names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fid<'a> {
    /// The file system's number, as `statfs` tells of the object that was marked.
    pub file_system: [u8; 8],
    pub kind: i32,
    pub bytes: &'a [u8],
}

impl Fid<'_> {
    pub fn handle(&self) -> Handle {
        Handle::new(self.kind, self.bytes)
    }
}

/// An entry of a directory; the name `.` is the directory itself.
pub type Named<'a> = (Fid<'a>, &'a [u8]);

/// One event: its mask and what it tells of. All parts may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    pub mask: u64,
    /// The process that caused it: the kernel folds only events of one process together.
    pub process: u32,
    /// The object that was changed, made, removed or renamed.
    pub object: Option<Fid<'a>>,
    pub entry: Option<Named<'a>>,
    /// Of a rename.
    pub old: Option<Named<'a>>,
    pub new: Option<Named<'a>>,
}

impl Event<'_> {
    /// The kernel lost events for want of memory.
    pub fn is_overflow(&self) -> bool {
        self.mask & libc::FAN_Q_OVERFLOW != 0
    }
}

/// The events of a filled buffer. What does not hold together is one `Err` and the end.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    rest: &'a [u8],
}

/// Bytes that are no events of this kernel's documented form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl<'a> Events<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((event, rest)) = event(self.rest) else {
            self.rest = &[];
            return Some(Err(Malformed));
        };
        self.rest = rest;
        Some(Ok(event))
    }
}

/// `struct fanotify_event_metadata`: event_len u32, version u8, reserved u8, metadata_len u16, mask u64, fd i32, pid i32.
fn event(bytes: &[u8]) -> Option<(Event<'_>, &[u8])> {
    let (len, version) = (number(bytes, 0)? as usize, *bytes.get(4)?);
    if version != libc::FANOTIFY_METADATA_VERSION {
        return None;
    }
    let metadata_len = usize::from(u16::from_ne_bytes(array(bytes, 6)?));
    let mask = u64::from_ne_bytes(array(bytes, 8)?);
    if metadata_len < METADATA || len < metadata_len {
        return None;
    }
    let (own, rest) = bytes.split_at_checked(len)?;
    let mut event = Event { mask, process: number(bytes, 20)?, ..Event::default() };
    let mut records = own.get(metadata_len..)?;
    while !records.is_empty() {
        records = record(records, &mut event)?;
    }
    Some((event, rest))
}

/// `struct fanotify_event_info_header`: type u8, pad u8, len u16; what follows depends on the type. Unknown types are
/// skipped.
fn record<'a>(bytes: &'a [u8], event: &mut Event<'a>) -> Option<&'a [u8]> {
    let len = usize::from(u16::from_ne_bytes(array(bytes, 2)?));
    if len < 4 {
        return None;
    }
    let (own, rest) = bytes.split_at_checked(len)?;
    match *own.first()? {
        libc::FAN_EVENT_INFO_TYPE_FID => event.object = Some(fid(own)?.0),
        libc::FAN_EVENT_INFO_TYPE_DFID => event.entry = Some((fid(own)?.0, b".")),
        libc::FAN_EVENT_INFO_TYPE_DFID_NAME => event.entry = Some(named(own)?),
        libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME => event.old = Some(named(own)?),
        libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME => event.new = Some(named(own)?),
        _ => {}
    }
    Some(rest)
}

/// `struct fanotify_event_info_fid` behind the header: fsid, then `struct file_handle`.
fn fid(record: &[u8]) -> Option<(Fid<'_>, &[u8])> {
    let file_system = array(record, 4)?;
    let (len, kind) = (number(record, 12)? as usize, i32::from_ne_bytes(array(record, 16)?));
    let (bytes, rest) = record.get(20..)?.split_at_checked(len)?;
    Some((Fid { file_system, kind, bytes }, rest))
}

fn named(record: &[u8]) -> Option<Named<'_>> {
    let (fid, rest) = fid(record)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    Some((fid, rest.get(..end)?))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of this type with a handle of two bytes; a name ends in NUL and is filled up to four bytes.
    fn record(kind: u8, name: Option<&[u8]>) -> Vec<u8> {
        let mut body = b"fsystem!".to_vec();
        body.extend(2_u32.to_ne_bytes());
        body.extend(1_i32.to_ne_bytes());
        body.extend([7, 9]);
        if let Some(name) = name {
            body.extend(name);
            body.push(0);
        }
        body.resize(body.len().next_multiple_of(4), 0);
        let mut record = vec![kind, 0];
        record.extend((body.len() as u16 + 4).to_ne_bytes());
        record.extend(body);
        record
    }

    fn event(mask: u64, records: &[Vec<u8>]) -> Vec<u8> {
        let len = 24 + records.iter().map(Vec::len).sum::<usize>();
        let mut bytes = (len as u32).to_ne_bytes().to_vec();
        bytes.extend([libc::FANOTIFY_METADATA_VERSION, 0, 24, 0]);
        bytes.extend(mask.to_ne_bytes());
        bytes.extend((-1_i32).to_ne_bytes());
        bytes.extend(1_i32.to_ne_bytes());
        bytes.extend(records.concat());
        bytes
    }

    const FID: Fid<'_> = Fid { file_system: *b"fsystem!", kind: 1, bytes: &[7, 9] };

    #[test]
    fn records_become_events() {
        let bytes = [
            event(libc::FAN_CREATE, &[record(2, Some(b"name")), record(1, None)]),
            event(libc::FAN_RENAME, &[record(10, Some(b"old")), record(12, Some(b"new"))]),
            event(libc::FAN_Q_OVERFLOW, &[]),
        ]
        .concat();
        let events: Vec<_> = Events::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(events.len(), 3);
        assert_eq!((events[0].object, events[0].entry), (Some(FID), Some((FID, &b"name"[..]))));
        assert_eq!((events[1].old, events[1].new), (Some((FID, &b"old"[..])), Some((FID, &b"new"[..]))));
        assert!(events[2].is_overflow());
    }

    #[test]
    fn a_record_of_another_type_is_skipped() {
        let bytes = event(libc::FAN_MODIFY, &[record(99, None), record(1, None)]);
        assert_eq!(Events::new(&bytes).next().unwrap().unwrap().object, Some(FID));
    }

    #[test]
    fn bytes_that_end_early_are_malformed_and_no_panic() {
        let bytes = event(libc::FAN_CREATE, &[record(2, Some(b"name")), record(1, None)]);
        for end in 1..bytes.len() {
            assert_eq!(Events::new(&bytes[..end]).collect::<Vec<_>>(), [Err(Malformed)], "{end}");
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] = !bytes[at];
            let _ = Events::new(&bytes).count();
        }
    }

    #[test]
    fn the_devices_of_marks_are_read_from_the_kernels_text() {
        assert_eq!(marked_device("fanotify sdev:800013 mflags:0 mask:3c9 ignored_mask:0"), Some((8, 0x13)));
        assert_eq!(marked_device("fanotify flags:10 event-flags:0"), None);
    }
}
