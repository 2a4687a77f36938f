//! Linux: directory handles, stamps, extended attributes, holes, copies inside the kernel. The only unsafe code.
//!
//! Names are bytes without `/` and NUL, held as `CStr`; nothing here takes a path of several names except
//! [`Dir::open_root`], [`Dir::descend`] (under `RESOLVE_BENEATH`).

mod boot;
mod copy;
mod cpu;
mod dir;
pub mod fanotify;
mod favour;
mod handle;
mod holes;
pub mod inotify;
mod list;
mod lock;
mod memory;
pub mod pam;
mod process;
mod regular;
mod replace;
pub mod signal;
pub mod socket;
pub mod stack;
mod stat;
mod sums;
pub mod terminal;
#[cfg(test)]
pub(crate) mod testing;
mod writeback;
mod writers;
mod xattr;

pub use boot::{BOOT_ID, boot_id};
pub use copy::{
    advise_sequential, copy_range, nobody_writes, punch, read_exact_at, read_into, read_once, segments,
    write_all_at,
};
pub use cpu::{MachineTime, calm, hurry, machine_time, thread_cpu};
pub use dir::{Dir, Object};
pub use favour::Favour;
pub use handle::{
    Handle, file_system_id, handle_and_mount, handle_of, handle_of_entry, link_text_of, mount_of,
    open_by_handle, open_dir_by_handle, path_of, reopen_held,
};
pub use holes::{next_data, next_hole};
pub use list::{Entry, Names, list_dir};
pub use lock::{HeldBy, ProcessLock};
pub use process::{own_memory, starts_apart};
pub use regular::read_regular;
pub use replace::replace_file;
pub use stat::{FileKind, Meta, Stamp, Stat, file_system_magic, set_times};
pub use sums::{SUM_LEN, block_sums};
pub use writeback::{is_tmpfs, stores_move_ctime, write_back};
pub use writers::{MapsBy, NumberDir, SharedMapping, loop_backing, reopen, shared_mappings};
pub use xattr::{
    MOST as XATTRS_MOST, MOST_BYTES as XATTRS_MOST_BYTES, Xattrs, has_default_acl, remove as remove_xattr,
    set as set_xattr, xattrs_of, xattrs_of_entry, xattrs_of_open,
};

use std::ffi::CString;
use std::io;
use std::path::Path;

/// A `CString` of bytes that hold no NUL; else EINVAL.
pub fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// True for a single name of a directory entry: not empty, not `.` or `..`, no `/`, no NUL, at most 255 bytes.
pub fn is_name(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.len() <= 255
        && bytes != b"."
        && bytes != b".."
        && !bytes.contains(&b'/')
        && !bytes.contains(&0)
}

/// Makes a directory and those above it that are missing, mode 0755 less the umask. Links on the way are followed.
pub fn make_dirs(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Permission bits that the kernel takes from what this process makes (`Umask` in proc(5)); all of them where it does not say.
pub fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o777)
}

/// True when the effective user is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// True when what this process makes belongs to the group 0.
pub fn is_own_group_zero() -> bool {
    nix::unistd::getegid().as_raw() == 0
}

/// True when the process may give a file this group without being root.
pub fn is_own_group(gid: u32) -> bool {
    nix::unistd::getegid().as_raw() == gid
        || nix::unistd::getgroups().is_ok_and(|groups| groups.iter().any(|group| group.as_raw() == gid))
}

/// The permission bits that a copy may have: without root its owner, and often its group, is the one who copies, and then a
/// setuid or setgid bit would give away the rights of that user, not of the one who set it.
pub fn attainable_mode(meta: &Meta, root: bool, own_uid: u32, own_group: bool) -> u32 {
    let mut mode = meta.mode;
    if !root && meta.uid != own_uid {
        mode &= !libc::S_ISUID;
    }
    if !root && !own_group {
        mode &= !libc::S_ISGID;
    }
    mode
}

/// The same, for the user who runs this.
pub fn own_mode(meta: &Meta, root: bool) -> u32 {
    if root || meta.mode & (libc::S_ISUID | libc::S_ISGID) == 0 {
        return meta.mode;
    }
    attainable_mode(meta, root, nix::unistd::geteuid().as_raw(), is_own_group(meta.gid))
}

/// Permission bits of an open file or directory.
pub fn set_mode(fd: impl std::os::fd::AsFd, mode: u32) -> io::Result<()> {
    Ok(nix::sys::stat::fchmod(fd, nix::sys::stat::Mode::from_bits_truncate(mode))?)
}

/// Owner and group of a held object (also one held by `O_PATH`, also a link).
pub fn set_owner(fd: impl std::os::fd::AsFd, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let (uid, gid) = (uid.map(nix::unistd::Uid::from_raw), gid.map(nix::unistd::Gid::from_raw));
    Ok(nix::unistd::fchownat(fd, c"", uid, gid, nix::fcntl::AtFlags::AT_EMPTY_PATH)?)
}

/// One line for the system's log (syslog, journal), as a warning of a daemon. No log to be had is no failure.
pub fn system_log(message: &str) {
    use nix::syslog::{Facility, Priority, Severity, syslog};
    let _ = syslog(Priority::new(Severity::LOG_WARNING, Facility::LOG_DAEMON), message);
}

/// Raises the soft limit of open files to the hard one; a walk holds few, many connections hold more.
pub fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// The last error of a raw call.
fn check(result: libc::c_long) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
