//! Moving orphans below `MoveOrphansDir` (ORP-08), under the whole path that they had. Within a file system an orphan is renamed; to
//! another it is copied with its metadata and written to the disk before the original goes. What was moved before is never replaced.

use super::file::Aside;
use super::meta::Wanted;
use super::named::make_object;
use super::place::{Place, Root, gives_group};
use crate::sys::{self, Dir, FileKind, Stat};
use crate::wire::NAME_MAX;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Orphans of one name that are kept beside each other.
const SAME_NAME: u32 = 1000;

/// Where orphans go.
pub(super) struct Attic {
    pub path: PathBuf,
    top: Dir,
}

impl Attic {
    /// Makes the directory where it is missing. EINVAL: it, or where the orphans of these roots would come to, shares a place with a
    /// root: what was moved would be an orphan there again, or be written over.
    pub(super) fn open(path: &Path, roots: &mut [Root]) -> io::Result<Attic> {
        sys::make_dirs(path)?;
        let top = Dir::open_root(path)?;
        let real = |dir: &Dir| sys::path_of(dir).map(|path| PathBuf::from(OsStr::from_bytes(&path)));
        let at = real(&top)?;
        let mut places = Vec::new();
        for root in roots.iter_mut() {
            match root.open(false) {
                Ok(dir) => places.push(real(&dir)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => places.push(root.path.clone()),
                Err(error) => return Err(error),
            }
        }
        for root in roots.iter() {
            let to = at.join(root.path.strip_prefix("/").unwrap_or(&root.path));
            let meets =
                |place: &PathBuf| at.starts_with(place) || to.starts_with(place) || place.starts_with(&to);
            if places.iter().any(meets) {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
        }
        Ok(Attic { path: path.to_path_buf(), top })
    }

    /// Moves one entry, an empty directory at most. `way`: the path of the directory that holds it.
    pub(super) fn take(
        &self,
        holder: &Dir,
        name: &CStr,
        stat: &Stat,
        way: &[u8],
        wanted: &Wanted,
    ) -> io::Result<()> {
        let wanted = Wanted { attributes: true, xattrs: true, ..*wanted };
        let to = self.directory(way)?;
        if stat.kind == FileKind::Directory {
            return take_directory((holder, name, stat), &to, &wanted);
        }
        for number in 0..SAME_NAME {
            let free = numbered(name, number)?;
            match holder.move_to(name, &to, &free) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.raw_os_error() == Some(libc::EXDEV) => {
                    if to.stat(&free).is_ok() {
                        continue;
                    }
                    return copy_over((holder, name, stat), to, &free, &wanted);
                }
                other => return other,
            }
        }
        Err(io::Error::from_raw_os_error(libc::EMLINK))
    }

    /// The directory of this path below the top; what is missing of it is made.
    fn directory(&self, way: &[u8]) -> io::Result<Dir> {
        let mut dir = self.top.again()?;
        for part in way.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            dir = enter(&dir, &sys::c_string(part)?)?.dir;
        }
        Ok(dir)
    }
}

/// A directory that orphans go to.
struct Entered {
    dir: Dir,
    name: CString,
    made: bool,
}

/// The directory of this name, which is made if it is missing. Where something else has the name it is the next one: what was moved before
/// stays.
fn enter(holder: &Dir, name: &CStr) -> io::Result<Entered> {
    for number in 0..SAME_NAME {
        let name = numbered(name, number)?;
        let (opened, made) = match holder.dir(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match holder.make_dir(&name) {
                Ok(()) => (holder.dir(&name), true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (holder.dir(&name), false),
                Err(error) => return Err(error),
            },
            opened => (opened, false),
        };
        match opened {
            Ok(dir) => return Ok(Entered { dir, name, made }),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EMLINK))
}

/// `name`, then `name.1` and so on; what would be too long is cut before the number.
fn numbered(name: &CStr, number: u32) -> io::Result<CString> {
    if number == 0 {
        return Ok(name.to_owned());
    }
    let (name, number) = (name.to_bytes(), format!(".{number}"));
    let most = name.len().min(NAME_MAX - number.len());
    sys::c_string(&[&name[..most], number.as_bytes()].concat())
}

/// A directory in which nothing is left: what was in it stands in the one that was made for it, which gets its metadata.
fn take_directory((holder, name, stat): (&Dir, &CStr, &Stat), to: &Dir, wanted: &Wanted) -> io::Result<()> {
    let from = holder.dir_here(name)?;
    let xattrs = sys::xattrs_of_open(from.as_fd(), wanted.root)?;
    let copy = enter(to, name)?;
    let moved = wanted
        .set_dir(&copy.dir, &stat.meta, &xattrs)
        .and_then(|()| sync(to))
        .and_then(|()| holder.remove_dir(name));
    if moved.is_err() && copy.made {
        let _ = to.remove_dir(&copy.name);
    }
    moved
}

/// Copies what is no directory to another file system, and removes the original if that has stayed as it was.
fn copy_over(
    (holder, name, stat): (&Dir, &CStr, &Stat),
    to: Dir,
    free: &CStr,
    wanted: &Wanted,
) -> io::Result<()> {
    let place = place_of(to)?;
    if stat.kind == FileKind::File {
        copy_file((holder, name, stat), &place, free, wanted)?;
    } else {
        let xattrs = sys::xattrs_of_entry(holder.as_fd(), name, wanted.root)?;
        let text = if stat.kind == FileKind::Symlink { holder.link_text(name)? } else { Vec::new() };
        let text = sys::c_string(&text)?;
        make_object(&place, wanted, free, stat.kind, &stat.meta, &xattrs, |dir, name| match stat.kind {
            FileKind::Symlink => dir.make_symlink(&text, name),
            kind => dir.make_node(name, kind, stat.rdev),
        })?;
    }
    let removed =
        sync(&place.dir).and_then(|()| same(&holder.stat(name)?, stat)).and_then(|()| holder.remove(name));
    if removed.is_err() {
        let _ = place.dir.remove(free);
    }
    removed
}

fn copy_file(
    (holder, name, stat): (&Dir, &CStr, &Stat),
    place: &Place,
    free: &CStr,
    wanted: &Wanted,
) -> io::Result<()> {
    let from = holder.regular(name)?;
    same(&Stat::of(&from)?, stat)?;
    let xattrs = sys::xattrs_of_open(from.as_fd(), wanted.root)?;
    let mut aside = Aside::make(place, wanted.first_mode(&stat.meta))?;
    let mut buffer = Vec::new();
    let filled = sys::segments(&from, stat.size).and_then(|segments| {
        for (offset, len) in segments {
            super::file::copy_local(&from, &aside.file, offset, len, &mut buffer)?;
        }
        aside.file.set_len(stat.size)?;
        aside.set(place, wanted, &stat.meta, &xattrs)?;
        aside.file.sync_all()
    });
    let published = filled.and_then(|()| aside.publish(place, free));
    if published.is_err() {
        aside.forget(place);
    }
    published
}

/// EBUSY where it was changed meanwhile: then it stays.
fn same(now: &Stat, then: &Stat) -> io::Result<()> {
    let is_same = (now.id(), now.size, now.meta.mtime, now.ctime)
        == (then.id(), then.size, then.meta.mtime, then.ctime);
    if is_same { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EBUSY)) }
}

fn sync(dir: &Dir) -> io::Result<()> {
    File::from(dir.as_fd().try_clone_to_owned()?).sync_all()
}

/// The directory as what files are made in.
fn place_of(dir: Dir) -> io::Result<Place> {
    let stat = Stat::of(&dir)?;
    let default_acl = sys::has_default_acl(&dir);
    let set_gid = gives_group(&stat.meta);
    Ok(Place { root: 0, path: Vec::new(), dir: Arc::new(dir), id: stat.id(), default_acl, set_gid })
}
