//! Extended attributes, ACLs among them (`system.posix_acl_access`, `system.posix_acl_default`).
//!
//! By held descriptor, or by an entry of a held directory: `listxattrat(2)` since Linux 6.13, before that the `l*` calls
//! on `/proc/self/fd/<dir>/<name>`, which pass one magic link to the directory held and then one name, not followed.
#![allow(unsafe_code)]

use super::check;
use super::dir::proc_path;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const SYS_GETXATTRAT: libc::c_long = 464;
const SYS_LISTXATTRAT: libc::c_long = 465;

/// Cleared on the first ENOSYS.
static HAVE_AT_CALLS: AtomicBool = AtomicBool::new(true);

/// Most attributes of one object that are read, and most bytes of names and values: what may travel. More is E2BIG.
pub const MOST: usize = 4096;
pub const MOST_BYTES: usize = 2 << 20;

/// Names and values, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xattrs {
    pub list: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The names that belong to a copy: ACLs, `user.*`, and as root `security.*` and `trusted.*` too. Other `system.*` names are
/// views of something else.
fn belongs(name: &[u8], root: bool) -> bool {
    name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
        || name.starts_with(b"user.")
        || (root && (name.starts_with(b"security.") || name.starts_with(b"trusted.")))
}

/// Of an entry that may be of any kind, never followed. An empty list costs one system call.
pub fn xattrs_of_entry(dir: BorrowedFd<'_>, name: &CStr, root: bool) -> io::Result<Xattrs> {
    read_all(&Place::Entry(dir, name), root)
}

/// Of a held object, also one held by `O_PATH`.
pub fn xattrs_of(fd: BorrowedFd<'_>, root: bool) -> io::Result<Xattrs> {
    read_all(&Place::Held(fd), root)
}

/// Of a file or directory opened for reading or writing: the cheapest way.
pub fn xattrs_of_open(fd: BorrowedFd<'_>, root: bool) -> io::Result<Xattrs> {
    read_all(&Place::Open(fd), root)
}

enum Place<'a> {
    Entry(BorrowedFd<'a>, &'a CStr),
    Held(BorrowedFd<'a>),
    Open(BorrowedFd<'a>),
}

fn read_all(place: &Place<'_>, root: bool) -> io::Result<Xattrs> {
    let mut small = [0u8; 1024];
    let names = match place.list(&mut small) {
        Ok(0) => return Ok(Xattrs::default()),
        Ok(len) => small[..len].to_vec(),
        Err(error) => match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) => return Ok(Xattrs::default()),
            Some(libc::ERANGE) => {
                let mut large = vec![0; 64 * 1024];
                let len = place.list(&mut large)?;
                large.truncate(len);
                large
            }
            _ => return Err(error),
        },
    };
    let (mut list, mut total) = (Vec::new(), 0);
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty() && belongs(name, root)) {
        let c_name = super::c_string(name)?;
        match place.value(&c_name) {
            Ok(value) => {
                total += name.len() + value.len();
                if list.len() == MOST || total > MOST_BYTES {
                    return Err(io::Error::from_raw_os_error(libc::E2BIG));
                }
                list.push((name.to_vec(), value));
            }
            // Gone in between.
            Err(error) if error.raw_os_error() == Some(libc::ENODATA) => {}
            Err(error) => return Err(error),
        }
    }
    list.sort_unstable();
    Ok(Xattrs { list })
}

impl Place<'_> {
    fn list(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Place::Entry(dir, name) = self
            && HAVE_AT_CALLS.load(Relaxed)
        {
            // SAFETY: `name` is a C string; the kernel writes at most `buffer.len()` bytes into `buffer`.
            let got = unsafe {
                libc::syscall(
                    SYS_LISTXATTRAT,
                    dir.as_raw_fd(),
                    name.as_ptr(),
                    libc::AT_SYMLINK_NOFOLLOW,
                    buffer.as_mut_ptr(),
                    buffer.len(),
                )
            };
            match check(got) {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                    HAVE_AT_CALLS.store(false, Relaxed)
                }
                other => return other,
            }
        }
        let path = self.path();
        // SAFETY: `path` is a C string; the kernel writes at most `buffer.len()` bytes into `buffer`.
        let got = unsafe {
            let (data, len) = (buffer.as_mut_ptr().cast(), buffer.len());
            match self {
                Place::Entry(..) => libc::llistxattr(path.as_ptr(), data, len),
                Place::Held(_) => libc::listxattr(path.as_ptr(), data, len),
                Place::Open(fd) => libc::flistxattr(fd.as_raw_fd(), data, len),
            }
        };
        check(got as libc::c_long)
    }

    fn value(&self, attribute: &CStr) -> io::Result<Vec<u8>> {
        // 64 KiB is the kernel's limit for a value.
        let mut buffer = vec![0u8; 64 * 1024];
        let len = self.value_into(attribute, &mut buffer)?;
        buffer.truncate(len);
        buffer.shrink_to_fit();
        Ok(buffer)
    }

    fn value_into(&self, attribute: &CStr, buffer: &mut [u8]) -> io::Result<usize> {
        #[repr(C, align(8))]
        struct XattrArgs {
            value: u64,
            size: u32,
            flags: u32,
        }
        if let Place::Entry(dir, name) = self
            && HAVE_AT_CALLS.load(Relaxed)
        {
            let mut args = XattrArgs {
                value: buffer.as_mut_ptr() as u64,
                size: u32::try_from(buffer.len()).unwrap_or(0),
                flags: 0,
            };
            // SAFETY: both names are C strings; `args` describes `buffer`, which outlives the call.
            let got = unsafe {
                libc::syscall(
                    SYS_GETXATTRAT,
                    dir.as_raw_fd(),
                    name.as_ptr(),
                    libc::AT_SYMLINK_NOFOLLOW,
                    attribute.as_ptr(),
                    &raw mut args,
                    size_of::<XattrArgs>(),
                )
            };
            match check(got) {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                    HAVE_AT_CALLS.store(false, Relaxed)
                }
                other => return other,
            }
        }
        let path = self.path();
        // SAFETY: both are C strings; the kernel writes at most `buffer.len()` bytes into `buffer`.
        let got = unsafe {
            let (data, len) = (buffer.as_mut_ptr().cast(), buffer.len());
            match self {
                Place::Entry(..) => libc::lgetxattr(path.as_ptr(), attribute.as_ptr(), data, len),
                Place::Held(_) => libc::getxattr(path.as_ptr(), attribute.as_ptr(), data, len),
                Place::Open(fd) => libc::fgetxattr(fd.as_raw_fd(), attribute.as_ptr(), data, len),
            }
        };
        check(got as libc::c_long)
    }

    fn path(&self) -> CString {
        match self {
            Place::Held(fd) => proc_path(*fd),
            Place::Open(_) => CString::default(),
            Place::Entry(dir, name) => {
                let mut path = proc_path(*dir).into_bytes();
                path.push(b'/');
                path.extend_from_slice(name.to_bytes());
                CString::new(path).unwrap_or_default()
            }
        }
    }
}

impl Xattrs {
    /// The beginning of a SHA-1 over names and values; zeros when there are none. Equal sets have equal digests.
    pub fn digest(&self) -> [u8; 16] {
        use sha1::{Digest, Sha1};
        let mut short = [0; 16];
        if !self.list.is_empty() {
            let mut hash = Sha1::new();
            for (name, value) in &self.list {
                hash.update((name.len() as u64).to_le_bytes());
                hash.update(name);
                hash.update((value.len() as u64).to_le_bytes());
                hash.update(value);
            }
            short.copy_from_slice(&hash.finalize()[..16]);
        }
        short
    }
}

/// True when new entries of an open directory get an ACL from it.
pub fn has_default_acl(dir: impl AsFd) -> bool {
    let place = Place::Open(dir.as_fd());
    // ERANGE: there is one, longer than nothing.
    match place.value_into(c"system.posix_acl_default", &mut [0; 1]) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() == Some(libc::ERANGE),
    }
}

/// Gives a held object (any kind) one attribute.
pub fn set(fd: impl AsFd, name: &CStr, value: &[u8]) -> io::Result<()> {
    let path = proc_path(fd.as_fd());
    // SAFETY: both are C strings, `value` is read for its length only; all outlive the call.
    let result =
        unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    check(result.into()).map(drop)
}

/// Takes one attribute away; one that is not there is fine.
pub fn remove(fd: impl AsFd, name: &CStr) -> io::Result<()> {
    let path = proc_path(fd.as_fd());
    // SAFETY: both are C strings that outlive the call.
    let result = unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) };
    match check(result.into()) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dir;
    use super::*;

    #[test]
    fn attributes_are_the_same_by_entry_by_handle_and_without_the_new_calls() {
        let dir = tempfile::tempdir_in(".").unwrap();
        std::fs::write(dir.path().join("f"), b"").unwrap();
        let root = Dir::open_root(dir.path()).unwrap();
        let object = root.object(c"f").unwrap();
        if let Err(error) = set(&object, c"user.b", b"two") {
            return eprintln!("skipped: no user attributes here: {error}");
        }
        set(&object, c"user.a", b"").unwrap();
        let wanted = vec![(b"user.a".to_vec(), vec![]), (b"user.b".to_vec(), b"two".to_vec())];
        assert_eq!(xattrs_of_entry(root.as_fd(), c"f", false).unwrap().list, wanted);
        assert_eq!(xattrs_of(object.as_fd(), false).unwrap().list, wanted);
        HAVE_AT_CALLS.store(false, Relaxed);
        assert_eq!(xattrs_of_entry(root.as_fd(), c"f", false).unwrap().list, wanted);
        HAVE_AT_CALLS.store(true, Relaxed);
        remove(&object, c"user.a").unwrap();
        remove(&object, c"user.a").unwrap();
        assert_eq!(xattrs_of(object.as_fd(), false).unwrap().list.len(), 1);
    }
}
