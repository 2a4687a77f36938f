//! Directory handles. Everything below a root is reached from a held directory by one name at a time, or by several
//! under `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS` (architecture.md 5).
#![allow(unsafe_code)]

use super::check;
use super::stat::{FileKind, Stat};
use nix::fcntl::{OFlag, OpenHow, RenameFlags, ResolveFlag};
use nix::sys::stat::Mode;
use nix::unistd::{LinkatFlags, UnlinkatFlags};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A held directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

/// A held object of any kind, opened with `O_PATH | O_NOFOLLOW`: it can be asked and given metadata, not read.
#[derive(Debug)]
pub struct Object {
    fd: OwnedFd,
}

impl From<OwnedFd> for Dir {
    /// Of a descriptor of a directory.
    fn from(fd: OwnedFd) -> Self {
        Dir { fd }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const BENEATH: ResolveFlag = ResolveFlag::RESOLVE_BENEATH
    .union(ResolveFlag::RESOLVE_NO_SYMLINKS)
    .union(ResolveFlag::RESOLVE_NO_MAGICLINKS);

fn how(flags: OFlag, mode: u32) -> OpenHow {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(BENEATH);
    if mode == 0 { how } else { how.mode(Mode::from_bits_truncate(mode)) }
}

impl Dir {
    /// A directory by its path; symbolic links on the way are followed (a root is the admin's word).
    pub fn open_root(path: &Path) -> io::Result<Dir> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(Dir { fd: nix::fcntl::open(path, flags, Mode::empty())? })
    }

    /// What moved out of the directory, or about in it, while the path was followed is ESTALE.
    fn open2(&self, path: &CStr, flags: OFlag, mode: u32) -> io::Result<OwnedFd> {
        Ok(nix::fcntl::openat2(self.as_fd(), path, how(flags, mode)).map_err(|errno| match errno {
            nix::Error::EXDEV | nix::Error::EAGAIN => nix::Error::ESTALE,
            other => other,
        })?)
    }

    /// The subdirectory of this name.
    pub fn dir(&self, name: &CStr) -> io::Result<Dir> {
        let fd = self.open2(name, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY, 0)?;
        Ok(Dir { fd })
    }

    /// The subdirectory of this name, if it is none that something is mounted on (EXDEV).
    pub fn dir_here(&self, name: &CStr) -> io::Result<Dir> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY;
        let how = how(flags, 0).resolve(BENEATH | ResolveFlag::RESOLVE_NO_XDEV);
        Ok(Dir { fd: nix::fcntl::openat2(self.as_fd(), name, how)? })
    }

    /// The directory at a relative path of several names; an empty path is the directory itself.
    pub fn descend(&self, path: &CStr) -> io::Result<Dir> {
        let path = if path.is_empty() { c"." } else { path };
        let fd = self.open2(path, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY, 0)?;
        Ok(Dir { fd })
    }

    /// The same directory once more.
    pub fn again(&self) -> io::Result<Dir> {
        Ok(Dir { fd: self.fd.try_clone()? })
    }

    /// A file for reading. Never blocks on a fifo, never becomes a controlling terminal, does not touch its atime where
    /// that is allowed.
    pub fn read(&self, name: &CStr) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        match self.open2(name, flags | OFlag::O_NOATIME, 0) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(self.open2(name, flags, 0)?.into()),
            other => Ok(other?.into()),
        }
    }

    /// An existing file for reading and writing in place.
    pub fn update(&self, name: &CStr) -> io::Result<File> {
        self.open_regular(name, OFlag::O_RDWR)
    }

    /// An existing regular file for reading, on a side that does not know what it has.
    pub fn regular(&self, name: &CStr) -> io::Result<File> {
        self.open_regular(name, OFlag::O_RDONLY)
    }

    /// What is no regular file is not even opened: a device may do something when it is. EISDIR, or ELOOP for a link.
    fn open_regular(&self, name: &CStr, how: OFlag) -> io::Result<File> {
        let held = self.open2(name, OFlag::O_PATH | OFlag::O_NOFOLLOW, 0)?;
        match Stat::of(&held)?.kind {
            FileKind::File => {}
            FileKind::Symlink => return Err(nix::Error::ELOOP.into()),
            _ => return Err(nix::Error::EISDIR.into()),
        }
        let flags = how | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        Ok(nix::fcntl::open(proc_path(held.as_fd()).as_c_str(), flags, Mode::empty())?.into())
    }

    /// A file without a name in this directory's file system, with this mode less the umask; EOPNOTSUPP, EISDIR or ENOENT where
    /// there is no such thing.
    pub fn unnamed(&self, mode: u32) -> io::Result<File> {
        Ok(self.open2(c".", OFlag::O_TMPFILE | OFlag::O_RDWR, mode)?.into())
    }

    /// A new file; an existing name is EEXIST.
    pub fn create(&self, name: &CStr) -> io::Result<File> {
        Ok(self
            .open2(name, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_NOFOLLOW, 0o600)?
            .into())
    }

    /// Gives an unnamed file a name; an existing name is EEXIST.
    pub fn link_unnamed(&self, file: &File, name: &CStr) -> io::Result<()> {
        // With AT_EMPTY_PATH the kernel wants CAP_DAC_READ_SEARCH or (6.10 on) the opener's own credentials;
        // the way through /proc works for everyone.
        match nix::unistd::linkat(file, c"", self.as_fd(), name, LinkatFlags::AT_EMPTY_PATH) {
            Ok(()) => Ok(()),
            Err(nix::errno::Errno::EEXIST) => Err(io::Error::from_raw_os_error(libc::EEXIST)),
            Err(_) => {
                let path = proc_path(file.as_fd());
                let here = nix::fcntl::AT_FDCWD;
                Ok(nix::unistd::linkat(
                    here,
                    path.as_c_str(),
                    self.as_fd(),
                    name,
                    LinkatFlags::AT_SYMLINK_FOLLOW,
                )?)
            }
        }
    }

    /// Another name for an object of the same file system; an existing name is EEXIST. The object is the entry `from` of
    /// `from_dir`, never followed.
    pub fn link(&self, name: &CStr, from_dir: &Dir, from: &CStr) -> io::Result<()> {
        Ok(nix::unistd::linkat(from_dir.as_fd(), from, self.as_fd(), name, LinkatFlags::empty())?)
    }

    /// Any object by name, never followed.
    pub fn object(&self, name: &CStr) -> io::Result<Object> {
        Ok(Object { fd: self.open2(name, OFlag::O_PATH | OFlag::O_NOFOLLOW, 0)? })
    }

    /// A new directory with mode 0700.
    pub fn make_dir(&self, name: &CStr) -> io::Result<()> {
        Ok(nix::sys::stat::mkdirat(self.as_fd(), name, Mode::S_IRWXU)?)
    }

    /// A new symbolic link.
    pub fn make_symlink(&self, text: &CStr, name: &CStr) -> io::Result<()> {
        Ok(nix::unistd::symlinkat(text, self.as_fd(), name)?)
    }

    /// A new fifo, socket or device node with mode 0600.
    pub fn make_node(&self, name: &CStr, kind: FileKind, rdev: u64) -> io::Result<()> {
        let format = match kind {
            FileKind::Fifo => libc::S_IFIFO,
            FileKind::Socket => libc::S_IFSOCK,
            FileKind::Block => libc::S_IFBLK,
            FileKind::Character => libc::S_IFCHR,
            FileKind::File | FileKind::Directory | FileKind::Symlink => {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
        };
        // SAFETY: `name` is a C string that outlives the call.
        check(unsafe { libc::mknodat(self.fd.as_raw_fd(), name.as_ptr(), format | 0o600, rdev) }.into())
            .map(drop)
    }

    /// The text of the symbolic link of this name. What is none, or no longer one, is ENOENT.
    pub fn link_text(&self, name: &CStr) -> io::Result<Vec<u8>> {
        let text = nix::fcntl::readlinkat(self.as_fd(), name).map_err(|errno| match errno {
            nix::Error::EINVAL => nix::Error::ENOENT,
            other => other,
        })?;
        Ok(std::os::unix::ffi::OsStringExt::into_vec(text))
    }

    /// Renames within this directory, replacing what has the new name (one system call: never neither).
    pub fn replace(&self, from: &CStr, to: &CStr) -> io::Result<()> {
        Ok(nix::fcntl::renameat(self.as_fd(), from, self.as_fd(), to)?)
    }

    /// Moves an entry into another directory of the same file system; an existing name is EEXIST.
    pub fn move_to(&self, from: &CStr, dir: &Dir, to: &CStr) -> io::Result<()> {
        Ok(nix::fcntl::renameat2(self.as_fd(), from, dir.as_fd(), to, RenameFlags::RENAME_NOREPLACE)?)
    }

    /// Removes an entry that is not a directory.
    pub fn remove(&self, name: &CStr) -> io::Result<()> {
        Ok(nix::unistd::unlinkat(self.as_fd(), name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: &CStr) -> io::Result<()> {
        Ok(nix::unistd::unlinkat(self.as_fd(), name, UnlinkatFlags::RemoveDir)?)
    }

    /// The entry's `statx`, never followed.
    pub fn stat(&self, name: &CStr) -> io::Result<Stat> {
        Stat::of_entry(self.as_fd(), name)
    }
}

impl Object {
    /// Permission bits, by way of `/proc/self/fd`: no call sets them on a descriptor of this kind. Not for links.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        let path = proc_path(self.as_fd());
        // SAFETY: `path` is a C string that outlives the call.
        check(unsafe { libc::chmod(path.as_ptr(), mode) }.into()).map(drop)
    }
}

/// `/proc/self/fd/<n>`: a name for a held object.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> CString {
    let mut text = b"/proc/self/fd/".to_vec();
    text.extend_from_slice(fd.as_raw_fd().to_string().as_bytes());
    // A number holds no NUL.
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_a_held_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::fs::write(dir.path().join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink("..", dir.path().join("in/up")).unwrap();
        std::os::unix::fs::symlink("../secret", dir.path().join("in/leak")).unwrap();
        let root = Dir::open_root(&dir.path().join("in")).unwrap();
        assert!(root.dir(c"up").is_err());
        assert!(root.dir(c"..").is_err());
        assert!(root.descend(c"up/in").is_err());
        assert!(root.read(c"leak").is_err());
        assert!(root.read(c"../secret").is_err());
        assert!(root.update(c"leak").is_err());
        assert!(root.create(c"leak").is_err());
        assert_eq!(root.object(c"leak").map(|o| Stat::of(&o).unwrap().kind).unwrap(), FileKind::Symlink);
    }

    #[test]
    fn an_unnamed_file_gets_its_name_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = Dir::open_root(dir.path()).unwrap();
        let Ok(file) = root.unnamed(0o600) else { return eprintln!("skipped: no O_TMPFILE here") };
        root.link_unnamed(&file, c"name").unwrap();
        let again = root.link_unnamed(&file, c"name").unwrap_err();
        assert_eq!(again.raw_os_error(), Some(libc::EEXIST));
    }
}
