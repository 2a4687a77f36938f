//! For tests: writers that give no event (shared mappings, libaio) and file systems in images.
#![allow(unsafe_code)]

use super::check;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A shared writable mapping of a file's beginning.
pub struct Mapping {
    start: *mut u8,
    len: usize,
}

impl Mapping {
    pub fn new(file: &File, len: usize) -> io::Result<Self> {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len, rights, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), len })
    }

    pub fn load(&self, at: usize) -> u8 {
        assert!(at < self.len);
        // SAFETY: as for `store`.
        unsafe { self.start.add(at).read_volatile() }
    }

    pub fn store(&mut self, at: usize, byte: u8) {
        assert!(at < self.len);
        // SAFETY: inside the mapping, which lives as long as `self`; the file is not shortened meanwhile.
        unsafe { self.start.add(at).write_volatile(byte) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing points into it.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// Page-aligned memory, as `O_DIRECT` wants it.
#[repr(align(4096))]
pub struct Page(pub [u8; 4096]);

/// A libaio context.
pub struct Aio(libc::c_ulong);

/// `struct iocb` of `linux/aio_abi.h`, little endian.
#[repr(C)]
#[derive(Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: i32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    result_fd: u32,
}

impl Aio {
    pub fn new() -> io::Result<Self> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: `context` is a zero word that the kernel fills.
        check(unsafe { libc::syscall(libc::SYS_io_setup, 4, &raw mut context) })?;
        Ok(Self(context))
    }

    /// Writes a page and calls `submitted` before it waits for the end.
    pub fn write(&self, file: &File, page: &Page, offset: i64, submitted: impl FnOnce()) -> io::Result<()> {
        let mut block = Iocb {
            opcode: 1,
            fd: file.as_raw_fd().cast_unsigned(),
            buffer: page.0.as_ptr() as u64,
            bytes: page.0.len() as u64,
            offset,
            ..Iocb::default()
        };
        let mut list = [&raw mut block];
        // SAFETY: one control block, whose page outlives the wait below.
        check(unsafe { libc::syscall(libc::SYS_io_submit, self.0, 1, list.as_mut_ptr()) })?;
        submitted();
        let mut event = [0u64; 4];
        let no_limit = std::ptr::null_mut::<libc::timespec>();
        // SAFETY: room for the one event that is asked for.
        check(unsafe { libc::syscall(libc::SYS_io_getevents, self.0, 1, 1, event.as_mut_ptr(), no_limit) })?;
        assert_eq!(event[2], page.0.len() as u64, "bytes written");
        Ok(())
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // SAFETY: the context is ours.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.0) };
    }
}

/// A file system of its own, gone with the value.
pub struct Mounted {
    _dir: tempfile::TempDir,
    pub path: PathBuf,
}

impl Mounted {
    /// `tmpfs`, or one for which there is an `mkfs.<kind>`. None, with the reason on standard error, where that cannot be.
    pub fn new(kind: &str) -> Option<Self> {
        if !super::is_root() {
            eprintln!("skipped: mounting {kind} needs root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (path, image) = (dir.path().join("mount"), dir.path().join("image"));
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        if kind == "tmpfs" {
            mount.args(["-t", "tmpfs", "-o", "size=64m", "none"]);
        } else {
            File::create(&image).unwrap().set_len(400 << 20).unwrap();
            let force = if kind == "ext4" { "-F" } else { "-f" };
            if !runs(Command::new(format!("mkfs.{kind}")).args(["-q", force]).arg(&image)) {
                eprintln!("skipped: no mkfs.{kind}");
                return None;
            }
            mount.args(["-o", "loop", "-t", kind]).arg(&image);
        }
        if !runs(mount.arg(&path)) {
            eprintln!("skipped: {kind} cannot be mounted");
            return None;
        }
        Some(Self { _dir: dir, path })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        runs(Command::new("umount").arg("-l").arg(&self.path));
    }
}

/// True when the program is there and succeeds; what it says is dropped.
pub fn runs(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// ctime of a path.
pub fn ctime(path: &Path) -> (i64, i64) {
    let meta = std::fs::metadata(path).unwrap();
    (meta.ctime(), meta.ctime_nsec())
}

/// Returns when a change of a file beside `path` gets a later ctime than `path` has: from then on a change shows, also on
/// kernels whose clock is coarse.
pub fn until_changes_show(path: &Path) {
    let probe = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    let before = ctime(path);
    loop {
        probe.as_file().set_permissions(probe.as_file().metadata().unwrap().permissions()).unwrap();
        if ctime(probe.path()) > before {
            return;
        }
        std::thread::yield_now();
    }
}
