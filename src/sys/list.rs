//! Reading a directory: names in one arena, sorted by bytes, so that a million names cost a million names.
#![allow(unsafe_code)]

use super::check;
use super::dir::Dir;
use super::stat::FileKind;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// The names of one directory, sorted by their bytes, without `.` and `..`.
#[derive(Debug, Default)]
pub struct Names {
    /// Names, each with its NUL.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// One name's place in the arena, and the type that the directory told (None: it did not say).
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    start: u32,
    /// Without the NUL.
    len: u16,
    pub kind: Option<FileKind>,
}

impl Names {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&CStr, Option<FileKind>)> {
        self.entries.iter().map(|entry| (self.c_str(entry), entry.kind))
    }

    /// Name and kind at a place.
    pub fn get(&self, index: usize) -> Option<(&CStr, Option<FileKind>)> {
        self.entries.get(index).map(|entry| (self.c_str(entry), entry.kind))
    }

    fn c_str(&self, entry: &Entry) -> &CStr {
        let start = entry.start as usize;
        let bytes = &self.bytes[start..=start + entry.len as usize];
        // Written by `push` with one NUL at its end.
        CStr::from_bytes_with_nul(bytes).unwrap_or_default()
    }

    /// Keeps only the names that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&CStr, Option<FileKind>) -> bool) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| keep(self.c_str(entry), entry.kind));
        self.entries = entries;
    }

    /// Adds a name; call [`Names::sort`] after the last.
    pub fn push(&mut self, name: &[u8], kind: Option<FileKind>) -> io::Result<()> {
        let too_many = || io::Error::from_raw_os_error(libc::EFBIG);
        let start = u32::try_from(self.bytes.len()).map_err(|_| too_many())?;
        let len = u16::try_from(name.len()).map_err(|_| too_many())?;
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.entries.push(Entry { start, len, kind });
        Ok(())
    }

    pub fn sort(&mut self) {
        let bytes = &self.bytes;
        let name = |e: &Entry| &bytes[e.start as usize..e.start as usize + e.len as usize];
        self.entries.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// Reads the whole directory into `names`, sorted. `buffer` is scratch space that is kept for the next call.
pub fn list_dir(dir: &Dir, names: &mut Names, buffer: &mut Vec<u8>) -> io::Result<()> {
    names.clear();
    buffer.resize(64 * 1024, 0);
    // The position is the descriptor's own; start at the beginning whatever was read before.
    // SAFETY: lseek on a held descriptor touches no memory.
    check(unsafe { libc::lseek(dir.as_fd().as_raw_fd(), 0, libc::SEEK_SET) })?;
    loop {
        let fd = dir.as_fd().as_raw_fd();
        // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`.
        let got = unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) };
        let got = check(got)?;
        if got == 0 {
            break;
        }
        let mut rest = &buffer[..got];
        while let Some(record) = Record::parse(rest) {
            if record.name != b"." && record.name != b".." {
                names.push(record.name, record.kind)?;
            }
            rest = &rest[record.len..];
        }
    }
    names.sort();
    Ok(())
}

/// One `linux_dirent64`: inode (8), offset (8), record length (2), type (1), name with NUL.
struct Record<'a> {
    name: &'a [u8],
    kind: Option<FileKind>,
    len: usize,
}

impl<'a> Record<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let len = u16::from_ne_bytes([*bytes.get(16)?, *bytes.get(17)?]) as usize;
        let record = bytes.get(..len)?;
        let kind = match *record.get(18)? {
            libc::DT_REG => Some(FileKind::File),
            libc::DT_DIR => Some(FileKind::Directory),
            libc::DT_LNK => Some(FileKind::Symlink),
            libc::DT_FIFO => Some(FileKind::Fifo),
            libc::DT_SOCK => Some(FileKind::Socket),
            libc::DT_BLK => Some(FileKind::Block),
            libc::DT_CHR => Some(FileKind::Character),
            _ => None,
        };
        let name = record.get(19..)?;
        let name = &name[..name.iter().position(|b| *b == 0)?];
        Some(Record { name, kind, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_bytes_come_sorted() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let wanted: [&[u8]; 5] = [b"a", b"a\nb", b"b b", b"quote\"'", b"\xff\xfe"];
        for name in wanted.iter().rev() {
            std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(name)), b"").unwrap();
        }
        let mut names = Names::default();
        list_dir(&Dir::open_root(dir.path()).unwrap(), &mut names, &mut Vec::new()).unwrap();
        let got: Vec<&[u8]> = names.iter().map(|(name, _)| name.to_bytes()).collect();
        assert_eq!(got, wanted);
    }

    #[test]
    fn a_directory_can_be_read_twice() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..3000 {
            std::fs::write(dir.path().join(format!("file-with-a-longer-name-{n}")), b"").unwrap();
        }
        let handle = Dir::open_root(dir.path()).unwrap();
        let (mut names, mut buffer) = (Names::default(), Vec::new());
        for _ in 0..2 {
            list_dir(&handle, &mut names, &mut buffer).unwrap();
            assert_eq!(names.len(), 3000);
        }
    }
}
