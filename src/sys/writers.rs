//! What the kernel shows of other processes' open files and mappings, read without a copy of a name: directories of
//! `/proc`, their magic links, shared writable mappings, the files behind loop devices.
//!
//! A magic link is looked through with `AT_STATX_DONT_SYNC`, so that a file of a network file system whose server is gone
//! does not hold up a look at the others.
#![allow(unsafe_code)]

use super::check;
use super::stat::{FileKind, Stat, file_system_magic, statx};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A directory whose entries are numbers (`/proc`, `/proc/<pid>/fd`) or magic links.
#[derive(Debug)]
pub struct NumberDir {
    fd: OwnedFd,
}

fn open_at(dir: RawFd, path: &CStr, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: `path` is a C string that outlives the call.
    let fd = check(unsafe { libc::openat(dir, path.as_ptr(), flags | libc::O_CLOEXEC) }.into())?;
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl NumberDir {
    pub fn open(path: &CStr) -> io::Result<Self> {
        Ok(Self { fd: open_at(libc::AT_FDCWD, path, libc::O_RDONLY | libc::O_DIRECTORY)? })
    }

    /// A directory below, by a relative path.
    pub fn below(&self, path: &CStr) -> io::Result<Self> {
        Ok(Self { fd: open_at(self.fd.as_raw_fd(), path, libc::O_RDONLY | libc::O_DIRECTORY)? })
    }

    /// A file below, by a relative path, for reading. It may be a magic link.
    pub fn file(&self, path: &CStr) -> io::Result<File> {
        Ok(open_at(self.fd.as_raw_fd(), path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)?.into())
    }

    /// Calls `entry` with each name that is a number, and with the number. `buffer` is scratch space; one call of the kernel
    /// fills it with some 2,000 names.
    pub fn each(&self, buffer: &mut Vec<u8>, entry: &mut dyn FnMut(&CStr, u32)) -> io::Result<()> {
        buffer.resize(64 * 1024, 0);
        let fd = self.fd.as_raw_fd();
        loop {
            // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`.
            let got = unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) };
            let got = check(got)?;
            let mut rest = &buffer[..got];
            // `linux_dirent64`: inode (8), offset (8), record length (2), type (1), name with NUL.
            while let Some(&[a, b]) = rest.get(16..18) {
                let Some(record) = rest.get(..u16::from_ne_bytes([a, b]) as usize) else { break };
                if let Some(Ok(name)) = record.get(19..).map(CStr::from_bytes_until_nul)
                    && let Some(number) = number(name.to_bytes())
                {
                    entry(name, number);
                }
                rest = &rest[record.len()..];
            }
            if got == 0 {
                return Ok(());
            }
        }
    }

    /// The inode at the other end of a magic link: what the kernel has at hand, no server is asked.
    pub fn stat_through(&self, link: &CStr) -> io::Result<Stat> {
        statx(self.fd.as_fd(), link, libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT)
    }

    /// What the magic link of an open file says it is open for: reading, writing.
    pub fn is_open_for(&self, link: &CStr) -> io::Result<(bool, bool)> {
        let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_STATX_DONT_SYNC;
        let mode = statx(self.fd.as_fd(), link, flags)?.meta.mode;
        Ok((mode & libc::S_IRUSR != 0, mode & libc::S_IWUSR != 0))
    }

    /// Links of an entry: of a directory of `/proc`, its subdirectories and two.
    pub fn links(&self, name: &CStr) -> io::Result<u32> {
        Ok(statx(self.fd.as_fd(), name, libc::AT_SYMLINK_NOFOLLOW)?.links)
    }

    /// The `f_type` of the file system behind a magic link. The file is not opened for reading.
    pub fn magic_through(&self, link: &CStr) -> io::Result<i64> {
        file_system_magic(open_at(self.fd.as_raw_fd(), link, libc::O_PATH)?)
    }

    /// The text of a link.
    pub fn text(&self, link: &CStr) -> io::Result<Vec<u8>> {
        let text = nix::fcntl::readlinkat(self.fd.as_fd(), link)?;
        Ok(std::os::unix::ffi::OsStringExt::into_vec(text))
    }

    /// Appends a small file's bytes to `buffer`.
    pub fn read(&self, path: &CStr, buffer: &mut Vec<u8>) -> io::Result<()> {
        let file = self.file(path)?;
        read_whole(&file, buffer)
    }
}

/// Reads to the end by plain reads: the position of a file of `/proc` is the kernel's to count.
fn read_whole(file: &File, buffer: &mut Vec<u8>) -> io::Result<()> {
    loop {
        buffer.reserve(64 * 1024);
        let spare = buffer.spare_capacity_mut();
        // SAFETY: the kernel writes at most `spare.len()` bytes into memory that `buffer` owns.
        let got = unsafe { libc::read(file.as_raw_fd(), spare.as_mut_ptr().cast(), spare.len()) };
        match check(got as libc::c_long) {
            Ok(0) => return Ok(()),
            // SAFETY: read filled `got` bytes behind the present length, inside the capacity.
            Ok(got) => unsafe { buffer.set_len(buffer.len() + got) },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Digits only; anything else (`self`, `.`) is none.
fn number(name: &[u8]) -> Option<u32> {
    if name.is_empty() || name.len() > 9 {
        return None;
    }
    name.iter()
        .try_fold(0u32, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
}

/// A shared mapping that may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedMapping {
    pub start: u64,
    pub end: u64,
    /// Of the inode's superblock: on btrfs and overlayfs not what `stat` says.
    pub dev: u64,
    pub ino: u64,
}

/// How mappings are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapsBy {
    /// `PROCMAP_QUERY` (Linux 6.11): the kernel passes over what is not wanted.
    Query,
    /// The text of `maps`.
    Text,
}

/// Calls `found` with the shared writable file mappings of an open `/proc/<pid>/maps`, and the path that is shown for each.
/// False: there is no memory (a kernel thread, a dead process). `by` becomes `Text` when the kernel cannot be asked; `buffer`
/// is scratch space for the text.
pub fn shared_mappings(
    maps: &File,
    by: &mut MapsBy,
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&SharedMapping, &[u8]),
) -> io::Result<bool> {
    if *by == MapsBy::Query {
        match query(maps, found) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL)) => {
                *by = MapsBy::Text
            }
            other => return other,
        }
    }
    buffer.clear();
    read_whole(maps, buffer)?;
    for line in buffer.split(|byte| *byte == b'\n') {
        if let Some((mapping, path)) = parse_line(line) {
            found(&mapping, path);
        }
    }
    Ok(!buffer.is_empty())
}

/// `struct procmap_query` of `linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct ProcmapQuery {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::c_ulong =
    (3 << 30) | ((size_of::<ProcmapQuery>() as libc::c_ulong) << 16) | ((b'f' as libc::c_ulong) << 8) | 17;
/// Writable, shared, at or after the address, of a file.
const WANTED: u64 = 0x02 | 0x08 | 0x10 | 0x20;

fn query(maps: &File, found: &mut dyn FnMut(&SharedMapping, &[u8])) -> io::Result<bool> {
    let mut from = 0;
    let mut name = [0u8; libc::PATH_MAX as usize];
    loop {
        let mut query = ProcmapQuery {
            size: size_of::<ProcmapQuery>() as u64,
            query_flags: WANTED,
            query_addr: from,
            vma_name_size: name.len() as u32,
            vma_name_addr: name.as_mut_ptr() as u64,
            ..ProcmapQuery::default()
        };
        // SAFETY: `query` is the structure that this call reads and writes, its own size in its first field; the name's
        // address and size are those of `name`. Both outlive the call.
        match check(unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY, &raw mut query) }.into()) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(false),
            // A path longer than PATH_MAX: asked again without it.
            Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => {
                query.vma_name_size = 0;
                query.vma_name_addr = 0;
                // SAFETY: as above, without the name.
                check(unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY, &raw mut query) }.into())?;
            }
            Err(error) => return Err(error),
        }
        let mapping = SharedMapping {
            start: query.vma_start,
            end: query.vma_end,
            dev: libc::makedev(query.dev_major, query.dev_minor),
            ino: query.inode,
        };
        let length = (query.vma_name_size as usize).min(name.len()).saturating_sub(1);
        found(&mapping, &name[..length]);
        if query.vma_end <= from {
            return Ok(true);
        }
        from = query.vma_end;
    }
}

/// `start-end perms offset major:minor inode   path`, numbers in hex but the inode.
fn parse_line(line: &[u8]) -> Option<(SharedMapping, &[u8])> {
    // Most lines end here: addresses, then the permissions.
    let space = line.iter().position(|byte| *byte == b' ')?;
    let perms = line.get(space + 1..space + 5)?;
    if perms[1] != b'w' || perms[3] != b's' {
        return None;
    }
    let mut range = line[..space].splitn(2, |byte| *byte == b'-');
    let (start, end) = (hex(range.next()?)?, hex(range.next()?)?);
    let mut fields = line.get(space + 6..)?.splitn(4, |byte| *byte == b' ');
    let (_offset, dev, ino) = (fields.next()?, fields.next()?, fields.next()?);
    let path = fields.next().unwrap_or_default();
    let mut dev = dev.splitn(2, |byte| *byte == b':');
    let (major, minor) = (hex(dev.next()?)?, hex(dev.next()?)?);
    let dev = libc::makedev(u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
    let ino = std::str::from_utf8(ino).ok()?.parse().ok()?;
    Some((SharedMapping { start, end, dev, ino }, path.trim_ascii_start()))
}

fn hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// `struct loop_info64` of `linux/loop.h`, as far as it is read.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rest: [u8; 216],
}

const LOOP_GET_STATUS64: libc::c_ulong = 0x4C05;

/// Device and inode of the file behind an open loop device, whatever its name is by now.
pub fn loop_backing(device: &File) -> io::Result<(u64, u64)> {
    let mut info = LoopInfo { device: 0, inode: 0, rest: [0; 216] };
    // SAFETY: `info` has the size of a `loop_info64`, which this call fills, and outlives it.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) }.into())?;
    Ok((info.device, info.inode))
}

/// Opens through a magic link for reading, and says so if it is another file by now (ESTALE).
pub fn reopen(link: &CStr, id: (u64, u64)) -> io::Result<File> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    // What is no regular file is not opened at all: to open a device can do something.
    let seen = Stat::of(open_at(libc::AT_FDCWD, link, libc::O_PATH)?)?;
    if seen.id() != id || seen.kind != FileKind::File {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
    }
    let file = match open_at(libc::AT_FDCWD, link, flags | libc::O_NOATIME) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => open_at(libc::AT_FDCWD, link, flags)?,
        other => other?,
    };
    if Stat::of(&file)?.id() != id {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
    }
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shared_writable_lines_are_read() {
        let line = b"7f1c00000000-7f1c00001000 rw-s 00002000 fd:01 1234567            /srv/a b\nc";
        let line = line.split(|byte| *byte == b'\n').next().unwrap();
        let (mapping, path) = parse_line(line).unwrap();
        assert_eq!((mapping.start, mapping.end), (0x7f1c_0000_0000, 0x7f1c_0000_1000));
        assert_eq!((mapping.dev, mapping.ino, path), (libc::makedev(0xfd, 1), 1_234_567, &b"/srv/a b"[..]));
        assert_eq!(parse_line(b"0-1000 -w-s 0 00:1 9 /x").unwrap().0.ino, 9);
        for other in [
            &b"7f1c00000000-7f1c00001000 rw-p 00002000 fd:01 12 /srv/private"[..],
            b"7f1c00000000-7f1c00001000 r--s 00002000 fd:01 12 /srv/read",
            b"garbage",
            b"",
            b"0-1 rw-s",
            b"0-1 rw-s 0 zz:1 1 x",
        ] {
            assert_eq!(parse_line(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number(b"120"), Some(120));
        for name in [&b""[..], b"self", b"1a", b".", b"99999999999"] {
            assert_eq!(number(name), None);
        }
    }
}
