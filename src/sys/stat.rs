//! What an inode says of itself: `statx`, and setting times on a held descriptor.
#![allow(unsafe_code)]

use super::check;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The type of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileKind {
    File = 1,
    Directory = 2,
    Symlink = 3,
    Fifo = 4,
    Socket = 5,
    Block = 6,
    Character = 7,
}

impl FileKind {
    /// Of `st_mode`.
    pub fn of_mode(mode: u32) -> Option<Self> {
        Some(match mode & libc::S_IFMT {
            libc::S_IFREG => Self::File,
            libc::S_IFDIR => Self::Directory,
            libc::S_IFLNK => Self::Symlink,
            libc::S_IFIFO => Self::Fifo,
            libc::S_IFSOCK => Self::Socket,
            libc::S_IFBLK => Self::Block,
            libc::S_IFCHR => Self::Character,
            _ => return None,
        })
    }

    /// From its number on the wire.
    pub fn from_number(number: u8) -> Option<Self> {
        use FileKind::*;
        [File, Directory, Symlink, Fifo, Socket, Block, Character].into_iter().find(|k| *k as u8 == number)
    }

    /// The letter that `ls -l` begins a line with.
    pub fn letter(self) -> char {
        match self {
            Self::File => '-',
            Self::Directory => 'd',
            Self::Symlink => 'l',
            Self::Fifo => 'p',
            Self::Socket => 's',
            Self::Block => 'b',
            Self::Character => 'c',
        }
    }
}

/// Owner, group, permission bits and modification time: what a target is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The twelve permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
}

/// Size, mtime, ctime and identity: equal stamps before and after mean that nothing was written in between, as far as
/// the clock's tick can tell (architecture.md 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub dev: u64,
    pub ino: u64,
    pub size: u64,
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
}

/// An inode's `statx`.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    pub kind: FileKind,
    pub meta: Meta,
    pub size: u64,
    /// In units of 512 bytes.
    pub blocks: u64,
    pub links: u32,
    pub dev: u64,
    pub ino: u64,
    /// Device number of a device node, as `makedev` packs it.
    pub rdev: u64,
    pub ctime: (i64, u32),
    /// When the inode was made, in nanoseconds since 1970: tells it from a later one of the same number. 0 where the file
    /// system does not know.
    pub born: i64,
}

impl Stat {
    /// The entry of this name, never followed; no automount is triggered.
    pub fn of_entry(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Stat> {
        statx(dir, name, libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT)
    }

    /// The object that is held.
    pub fn of(fd: impl AsFd) -> io::Result<Stat> {
        statx(fd.as_fd(), c"", libc::AT_EMPTY_PATH)
    }

    /// Device and inode.
    pub fn id(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    pub fn stamp(&self) -> Stamp {
        Stamp { dev: self.dev, ino: self.ino, size: self.size, mtime: self.meta.mtime, ctime: self.ctime }
    }

    /// True when it occupies fewer blocks than its size needs.
    pub fn is_sparse(&self) -> bool {
        self.kind == FileKind::File && self.blocks.saturating_mul(512) < self.size
    }
}

pub(super) fn statx(fd: BorrowedFd<'_>, name: &CStr, flags: i32) -> io::Result<Stat> {
    let mut buffer = std::mem::MaybeUninit::<libc::statx>::uninit();
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
    // SAFETY: `name` is a C string and `buffer` has room for one statx; both outlive the call.
    let result = unsafe { libc::statx(fd.as_raw_fd(), name.as_ptr(), flags, mask, buffer.as_mut_ptr()) };
    check(result.into())?;
    // SAFETY: statx succeeded, so it filled the whole structure.
    let s = unsafe { buffer.assume_init() };
    let born = if s.stx_mask & libc::STATX_BTIME != 0 {
        s.stx_btime.tv_sec.wrapping_mul(1_000_000_000).wrapping_add(i64::from(s.stx_btime.tv_nsec))
    } else {
        0
    };
    let kind =
        FileKind::of_mode(u32::from(s.stx_mode)).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    Ok(Stat {
        kind,
        meta: Meta {
            mode: u32::from(s.stx_mode) & 0o7777,
            uid: s.stx_uid,
            gid: s.stx_gid,
            mtime: (s.stx_mtime.tv_sec, s.stx_mtime.tv_nsec),
        },
        size: s.stx_size,
        blocks: s.stx_blocks,
        links: s.stx_nlink,
        dev: libc::makedev(s.stx_dev_major, s.stx_dev_minor),
        ino: s.stx_ino,
        rdev: libc::makedev(s.stx_rdev_major, s.stx_rdev_minor),
        ctime: (s.stx_ctime.tv_sec, s.stx_ctime.tv_nsec),
        born,
    })
}

/// Sets the modification time of the object that is held (also one held by `O_PATH`); the access time stays.
pub fn set_times(fd: impl AsFd, mtime: (i64, u32)) -> io::Result<()> {
    let times = [
        libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
        libc::timespec { tv_sec: mtime.0, tv_nsec: i64::from(mtime.1) },
    ];
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the path is an empty C string and `times` holds two timespecs for the length of the call.
    let result = unsafe { libc::utimensat(fd, c"".as_ptr(), times.as_ptr(), libc::AT_EMPTY_PATH) };
    check(result.into()).map(drop)
}

/// The `f_type` of the file system that holds the object.
pub fn file_system_magic(fd: impl AsFd) -> io::Result<i64> {
    Ok(statfs(fd)?.f_type)
}

fn statfs(fd: impl AsFd) -> io::Result<libc::statfs> {
    let mut buffer = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `buffer` has room for one statfs and outlives the call.
    check(unsafe { libc::fstatfs(fd.as_fd().as_raw_fd(), buffer.as_mut_ptr()) }.into())?;
    // SAFETY: fstatfs succeeded, so it filled the structure.
    Ok(unsafe { buffer.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_with_nanoseconds_are_kept_on_files_and_links() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), b"x").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("l")).unwrap();
        let root = super::super::Dir::open_root(dir.path()).unwrap();
        for name in [c"f", c"l"] {
            let object = root.object(name).unwrap();
            set_times(&object, (-5, 123_456_789)).unwrap();
            let stat = Stat::of_entry(root.as_fd(), name).unwrap();
            assert_eq!(stat.meta.mtime, (-5, 123_456_789));
        }
        assert_eq!(Stat::of_entry(root.as_fd(), c"l").unwrap().kind, FileKind::Symlink);
    }
}
