//! File handles: what a file system calls an object for good, whatever its names become.
//!
//! A handle holds nothing open. Asking for one works for everybody where the file system has them; opening by one needs
//! CAP_DAC_READ_SEARCH and an open descriptor of the same file system, which keeps that from being unmounted for as long.
#![allow(unsafe_code)]

use super::check;
use super::dir::{Dir, proc_path};
use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Longest handle of any file system, in bytes.
const MOST: usize = libc::MAX_HANDLE_SZ as usize;

/// Handles up to this length need no memory of their own: ext4, xfs, tmpfs (12 at most) and btrfs (20).
const INLINE: usize = 22;

/// A file handle: a type, which only the file system understands, and bytes. Unique within a file system, not beyond.
#[derive(Clone)]
pub struct Handle {
    kind: i32,
    bytes: Bytes,
}

#[derive(Clone)]
enum Bytes {
    Inline(u8, [u8; INLINE]),
    Long(Box<[u8]>),
}

impl Handle {
    /// Of the parts that the kernel reports; longer bytes than any handle has are cut off.
    pub fn new(kind: i32, bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(MOST)];
        let mut inline = [0; INLINE];
        let bytes = match inline.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                Bytes::Inline(bytes.len() as u8, inline)
            }
            None => Bytes::Long(bytes.into()),
        };
        Self { kind, bytes }
    }

    pub fn kind(&self) -> i32 {
        self.kind
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Inline(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
        }
    }

    /// The root directory of a btrfs, which lies above each subvolume, also when only one of these is mounted. Inode 256 of
    /// tree 5, any generation: `struct btrfs_fid` of the kernel (fs/btrfs/export.h).
    pub fn btrfs_top() -> Self {
        const BTRFS_FILEID_WITHOUT_PARENT: i32 = 0x4d;
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&256_u64.to_ne_bytes());
        bytes[8..16].copy_from_slice(&5_u64.to_ne_bytes());
        Self::new(BTRFS_FILEID_WITHOUT_PARENT, &bytes)
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.bytes() == other.bytes()
    }
}

impl Eq for Handle {}

impl Hash for Handle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        self.bytes().hash(state);
    }
}

impl PartialOrd for Handle {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Handle {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.kind, self.bytes()).cmp(&(other.kind, other.bytes()))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:", self.kind)?;
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// `struct file_handle` with room for any handle.
#[repr(C)]
struct Raw {
    len: u32,
    kind: i32,
    bytes: [u8; MOST],
}

/// A held directory's handle. EOPNOTSUPP where the file system has none.
pub fn handle_of(dir: &Dir) -> io::Result<Handle> {
    handle_and_mount(dir).map(|(handle, _)| handle)
}

/// The handle of a held object, and the number that `/proc/self/mountinfo` gives the mount it was reached through.
pub fn handle_and_mount(fd: impl AsFd) -> io::Result<(Handle, u64)> {
    name_to_handle(fd.as_fd(), c"", libc::AT_EMPTY_PATH)
}

/// The handle of an entry, never followed.
pub fn handle_of_entry(dir: &Dir, name: &CStr) -> io::Result<Handle> {
    name_to_handle(dir.as_fd(), name, 0).map(|(handle, _)| handle)
}

fn name_to_handle(at: BorrowedFd<'_>, name: &CStr, flags: i32) -> io::Result<(Handle, u64)> {
    let mut raw = Raw { len: MOST as u32, kind: 0, bytes: [0; MOST] };
    let mut mount = 0;
    // SAFETY: `name` is a C string; `raw` is laid out as `struct file_handle` and says how many bytes it has room for; `mount`
    // is an int. All outlive the call.
    let result = unsafe {
        libc::name_to_handle_at(at.as_raw_fd(), name.as_ptr(), (&raw mut raw).cast(), &raw mut mount, flags)
    };
    check(result.into())?;
    let bytes =
        raw.bytes.get(..raw.len as usize).ok_or_else(|| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    Ok((Handle::new(raw.kind, bytes), u64::from(mount.unsigned_abs())))
}

/// The number that `/proc/self/mountinfo` gives the mount through which an object was reached, also where there are no
/// handles.
pub fn mount_of(fd: impl AsFd) -> io::Result<u64> {
    let mut buffer = std::mem::MaybeUninit::<libc::statx>::uninit();
    let (flags, mask) = (libc::AT_EMPTY_PATH, libc::STATX_MNT_ID);
    // SAFETY: the path is an empty C string and `buffer` has room for one statx; both outlive the call.
    let result =
        unsafe { libc::statx(fd.as_fd().as_raw_fd(), c"".as_ptr(), flags, mask, buffer.as_mut_ptr()) };
    if result == 0 {
        // SAFETY: statx succeeded, so it filled the whole structure.
        let found = unsafe { buffer.assume_init() };
        if found.stx_mask & libc::STATX_MNT_ID != 0 {
            return Ok(found.stx_mnt_id);
        }
    }
    // Before Linux 5.8.
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))?;
    let number = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    number.ok_or_else(|| io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}

/// Opens the object of a handle; `mount` is any open object of its file system, not one held by `O_PATH`. ESTALE: it is
/// gone. EPERM without CAP_DAC_READ_SEARCH.
pub fn open_by_handle(mount: impl AsFd, handle: &Handle, flags: i32) -> io::Result<OwnedFd> {
    let bytes = handle.bytes();
    let mut raw = Raw { len: bytes.len() as u32, kind: handle.kind, bytes: [0; MOST] };
    raw.bytes[..bytes.len()].copy_from_slice(bytes);
    let mount = mount.as_fd().as_raw_fd();
    // SAFETY: `raw` is laid out as `struct file_handle`, holds the bytes it says, and outlives the call.
    let fd = unsafe { libc::open_by_handle_at(mount, (&raw mut raw).cast(), flags | libc::O_CLOEXEC) };
    check(fd.into())?;
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens the directory of a handle, to be listed and descended from.
pub fn open_dir_by_handle(mount: impl AsFd, handle: &Handle) -> io::Result<Dir> {
    open_by_handle(mount, handle, libc::O_RDONLY | libc::O_DIRECTORY).map(Dir::from)
}

/// Opens a held object for reading; what is no regular file, or not the one of this device and inode, is ESTALE.
pub fn reopen_held(object: impl AsFd, id: (u64, u64)) -> io::Result<File> {
    super::writers::reopen(&proc_path(object.as_fd()), id)
}

/// The number that events name a held object's file system by (`f_fsid`). Zero where it has none; a btrfs gives each
/// subvolume another.
pub fn file_system_id(fd: impl AsFd) -> io::Result<[u8; 8]> {
    let mut buffer = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `buffer` has room for one statfs and outlives the call.
    check(unsafe { libc::fstatfs(fd.as_fd().as_raw_fd(), buffer.as_mut_ptr()) }.into())?;
    // SAFETY: fstatfs succeeded, so it filled the structure; a fsid is two ints, eight bytes without padding.
    Ok(unsafe { std::mem::transmute::<libc::fsid_t, [u8; 8]>(buffer.assume_init().f_fsid) })
}

/// Where the kernel says a held object is, as seen through the mount it was opened by. Of a removed name it ends in
/// ` (deleted)`; of an object that this mount does not show it is no path at all: ask what is there before trusting it.
pub fn path_of(fd: impl AsFd) -> io::Result<Vec<u8>> {
    let path = nix::fcntl::readlink(proc_path(fd.as_fd()).as_c_str())?;
    Ok(std::os::unix::ffi::OsStringExt::into_vec(path))
}

/// The text of a symbolic link that is held by `O_PATH`.
pub fn link_text_of(fd: impl AsFd) -> io::Result<Vec<u8>> {
    let text = nix::fcntl::readlinkat(fd.as_fd(), c"")?;
    Ok(std::os::unix::ffi::OsStringExt::into_vec(text))
}

#[cfg(test)]
mod tests {
    use super::super::Stat;
    use super::*;

    #[test]
    fn a_directory_has_one_handle_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::create_dir(dir.path().join("other")).unwrap();
        let root = Dir::open_root(dir.path()).unwrap();
        let before = handle_of(&root.dir(c"a").unwrap()).unwrap();
        root.replace(c"a", c"b").unwrap();
        assert_eq!(before, handle_of(&root.dir(c"b").unwrap()).unwrap());
        assert_ne!(before, handle_of(&root.dir(c"other").unwrap()).unwrap());
    }

    #[test]
    fn both_ways_to_a_mount_number_agree_with_the_table() {
        let dir = tempfile::tempdir().unwrap();
        let root = Dir::open_root(dir.path()).unwrap();
        let number = mount_of(&root).unwrap();
        assert_eq!(handle_and_mount(&root).unwrap().1, number);
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(table.lines().any(|line| line.split(' ').next() == Some(&number.to_string())), "{table}");
    }

    #[test]
    fn an_object_is_opened_by_its_handle_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let root = Dir::open_root(dir.path()).unwrap();
        root.make_dir(c"a").unwrap();
        let (handle, stat) = {
            let held = root.dir(c"a").unwrap();
            (handle_of(&held).unwrap(), Stat::of(&held).unwrap())
        };
        let found = match open_by_handle(&root, &handle, libc::O_PATH) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                return eprintln!("skipped: opening by handle needs root");
            }
            found => found.unwrap(),
        };
        assert_eq!(Stat::of(&found).unwrap().id(), stat.id());
        assert_eq!(path_of(&found).unwrap(), dir.path().join("a").into_os_string().into_encoded_bytes());
        drop(found);
        root.remove_dir(c"a").unwrap();
        let gone = open_by_handle(&root, &handle, libc::O_PATH).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ESTALE));
    }

    #[test]
    fn a_handle_of_any_length_keeps_its_bytes() {
        for len in [0, 8, 12, 20, 22, 23, 128] {
            let bytes: Vec<u8> = (0..len).collect();
            let handle = Handle::new(7, &bytes);
            assert_eq!(handle.bytes(), bytes);
            assert_eq!(handle, handle.clone());
            assert_ne!(handle, Handle::new(8, &bytes));
        }
        assert_eq!(Handle::new(1, &[0; 200]).bytes().len(), MOST);
        assert_eq!(size_of::<Handle>(), 32);
    }
}
