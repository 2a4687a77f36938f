//! The roots of a connection on the target, and the directory that operations are about.

use super::Policy;
use crate::api::RootKind;
use crate::sys::{self, Dir};
use crate::wire::NAME_MAX;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One root: opened when it is first needed, made then if an operation may make it.
#[derive(Debug)]
pub(super) struct Root {
    pub path: PathBuf,
    /// The one entry that belongs, of a root that is a single file.
    pub only: Option<Vec<u8>>,
    /// No link is followed on the way to it.
    straight: bool,
    dir: Option<Arc<Dir>>,
}

impl Root {
    /// None: the policy does not let the source have it.
    pub(super) fn new(policy: &Policy, path: &[u8], only: Option<&[u8]>) -> Option<Self> {
        let path = Path::new(OsStr::from_bytes(path));
        let Some(confined) = &policy.confined else {
            let below = path.strip_prefix("/").unwrap_or(path);
            let path = policy.base.join(below);
            return Some(Self { path, only: only.map(<[u8]>::to_vec), straight: false, dir: None });
        };
        let granted = |told: &Path, never: RootKind| {
            let place = confined.iter().find(|place| place.told == told)?;
            (place.kind != never).then_some(&place.real)
        };
        let (path, only) = match only {
            None => (granted(path, RootKind::File)?.clone(), None),
            Some(only) => {
                let real = granted(&path.join(OsStr::from_bytes(only)), RootKind::Directory)?;
                let same = real.file_name()?.as_bytes() == only;
                (real.parent().filter(|_| same)?.to_owned(), Some(only.to_vec()))
            }
        };
        Some(Self { path, only, straight: true, dir: None })
    }

    /// The same, to be opened anew.
    pub(super) fn anew(&self) -> Self {
        Self { path: self.path.clone(), only: self.only.clone(), straight: self.straight, dir: None }
    }

    /// The root's directory; with `make` it is made when it is missing.
    pub(super) fn open(&mut self, make: bool) -> io::Result<Arc<Dir>> {
        if let Some(dir) = &self.dir {
            return Ok(Arc::clone(dir));
        }
        let opened = if self.straight { self.open_straight(make) } else { self.open_any(make) };
        Ok(Arc::clone(self.dir.insert(Arc::new(opened?))))
    }

    fn open_any(&self, make: bool) -> io::Result<Dir> {
        match Dir::open_root(&self.path) {
            Err(error) if make && error.kind() == io::ErrorKind::NotFound => {
                sys::make_dirs(&self.path)?;
                Dir::open_root(&self.path)
            }
            other => other,
        }
    }

    fn open_straight(&self, make: bool) -> io::Result<Dir> {
        let top = Dir::open_root(Path::new("/"))?;
        let below = self.path.strip_prefix("/").unwrap_or(&self.path).as_os_str().as_bytes();
        match top.descend(&sys::c_string(below)?) {
            Err(error) if make && error.kind() == io::ErrorKind::NotFound => {
                make_below(&top, below, &mut Way::Made)
            }
            other => other,
        }
    }
}

/// A directory below a root, with what the applier wants to know of it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub root: u16,
    /// Names joined by `/`.
    pub path: Vec<u8>,
    pub dir: Arc<Dir>,
    /// Device and inode of the directory.
    pub id: (u64, u64),
    /// New entries get an ACL of their own from it.
    pub default_acl: bool,
    /// New entries may get its group instead of the process's (setgid, or a mount with `grpid`).
    pub set_gid: bool,
}

impl Place {
    /// Goes to a directory; what `way` says is done about what is not one on the way.
    pub(super) fn enter(root: &mut Root, number: u16, path: &[u8], way: &mut Way<'_>) -> io::Result<Place> {
        let make = !matches!(way, Way::Found);
        let top = root.open(make)?;
        let c_path = sys::c_string(path)?;
        let dir = match top.descend(&c_path) {
            Ok(dir) => dir,
            Err(error) if way.mends(&error) => make_below(&top, path, way)?,
            Err(error) => return Err(error),
        };
        let stat = sys::Stat::of(&dir)?;
        // An owner who is not root may have taken the write permission from the copy too; it comes back at the end.
        if make && stat.meta.mode & 0o700 != 0o700 && !sys::is_root() {
            let _ = sys::set_mode(&dir, stat.meta.mode | 0o700);
        }
        let default_acl = sys::has_default_acl(&dir);
        Ok(Place {
            root: number,
            path: path.to_vec(),
            dir: Arc::new(dir),
            id: stat.id(),
            default_acl,
            set_gid: gives_group(&stat.meta),
        })
    }
}

/// May what is made in a directory with this metadata get another group than the process's?
pub(super) fn gives_group(meta: &sys::Meta) -> bool {
    meta.mode & 0o2000 != 0 || meta.gid != 0
}

/// What is done on the way to a directory.
pub(super) enum Way<'a> {
    /// Nothing: all of it has to be there.
    Found,
    /// Missing directories are made.
    Made,
    /// The same, and what stands in the place of one and is none goes; told are the path of the directory that holds it, and its name.
    Cleared(&'a mut dyn FnMut(&[u8], &CStr)),
}

impl Way<'_> {
    /// Is this why there is no directory, and is something done about it?
    fn mends(&self, error: &io::Error) -> bool {
        match self {
            Way::Found => false,
            Way::Made => error.kind() == io::ErrorKind::NotFound,
            Way::Cleared(_) => error.kind() == io::ErrorKind::NotFound || is_in_the_way(error),
        }
    }
}

/// Something that is no directory, or a symbolic link to one.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP))
}

/// True when a directory of `forbidden` (device, inode) lies on the way from a root down to a path below it, both ends counted. A
/// path that cannot be followed is an error.
pub(super) fn leads_into(top: &Dir, path: &[u8], forbidden: &[(u64, u64)]) -> io::Result<bool> {
    if forbidden.is_empty() {
        return Ok(false);
    }
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let below = if path.is_empty() { None } else { Some(path.len()) };
    for end in std::iter::once(0).chain(ends).chain(below) {
        let dir = top.descend(&sys::c_string(&path[..end])?)?;
        if forbidden.contains(&sys::Stat::of(&dir)?.id()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes what is missing of a path, one name at a time.
fn make_below(top: &Dir, path: &[u8], way: &mut Way<'_>) -> io::Result<Dir> {
    let mut dir = top.again()?;
    let mut above = 0;
    for name in path.split(|b| *b == b'/') {
        debug_assert!(name.len() <= NAME_MAX);
        let holder = &path[..above];
        above += name.len() + usize::from(above > 0);
        let name: CString = sys::c_string(name)?;
        dir = match dir.dir(&name) {
            Ok(next) => next,
            Err(error) if way.mends(&error) => {
                if let (Way::Cleared(tell), true) = (&mut *way, is_in_the_way(&error)) {
                    // The name itself goes, wherever it leads. A directory that has come meanwhile stays.
                    dir.remove(&name)?;
                    tell(holder, &name);
                }
                match dir.make_dir(&name) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
                dir.dir(&name)?
            }
            Err(error) => return Err(error),
        };
    }
    Ok(dir)
}
