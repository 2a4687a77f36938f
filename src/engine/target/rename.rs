//! Moving an entry from one place of the target to another.

use super::apply::Applier;
use super::failure::{Explain, Failure, Trouble, forbidden};
use super::meta::Wanted;
use super::named::{copy, make_object};
use super::place::{Place, leads_into};
use crate::sys::{self, Dir, FileKind, Stat};
use crate::wire::FailureKind;
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

impl Applier {
    /// Moves the entry `from` of a root's directory to `name`, replacing what has the name.
    pub(super) fn rename(
        &mut self,
        place: &Place,
        name: &CStr,
        root: u16,
        dir: &[u8],
        from: &[u8],
    ) -> Result<Result<(), Failure>, Trouble> {
        let top = self.root(root)?.open(false);
        let own_top = self.root(place.root)?.open(false);
        let moved = (|| {
            let (top, own_top) =
                (top.or_say("open the target path")?, own_top.or_say("open the target path")?);
            let from_dir = sys::c_string(dir)
                .and_then(|dir| top.descend(&dir))
                .or_say("reach the directory that it is moved from")
                .map_err(Failure::or_missing)?;
            let c_from = sys::c_string(from).or_say("move")?;
            let stat =
                from_dir.stat(&c_from).or_say("find what is to be moved").map_err(Failure::or_missing)?;
            let kept = &self.policy.forbidden;
            let keeps_out = kept.contains(&stat.id())
                || leads_into(&top, dir, kept).or_say("look at its directories")?
                || leads_into(&own_top, &place.path, kept).or_say("look at its directories")?;
            if keeps_out {
                return Err(Failure::new("move", &forbidden()));
            }
            if !self.lately.is_empty() {
                self.lately.forget_inode(stat.id());
            }
            move_entry(&from_dir, &c_from, &stat, place, &self.wanted, name).map_err(|error| {
                let mut failure = Failure::new("move", &error).or_missing();
                if failure.errno == libc::EEXIST {
                    // What some file systems say of a full directory.
                    failure.kind = FailureKind::Mismatch;
                }
                failure
            })?;
            Ok(stat.kind)
        })();
        Ok(moved.map(|kind| {
            if kind == FileKind::Directory {
                self.moved((root, dir, from), place, name.to_bytes());
            }
        }))
    }

    /// What is open below a directory that was moved has another path now.
    fn moved(&mut self, (root, dir, from): (u16, &[u8], &[u8]), place: &Place, name: &[u8]) {
        let (old, new) = (join(dir, from), join(&place.path, name));
        let anew = |number: u16, path: &[u8]| {
            let rest = if number == root { path.strip_prefix(old.as_slice())? } else { return None };
            (rest.is_empty() || rest[0] == b'/').then(|| [new.as_slice(), rest].concat())
        };
        for open in self.files.values_mut() {
            if let Some(path) = anew(open.place.root, &open.place.path) {
                open.place = Arc::new(Place { root: place.root, path, ..Place::clone(&open.place) });
            }
        }
        for spot in self.held.files.values_mut() {
            if let Some(path) = anew(spot.root, &spot.path) {
                (spot.root, spot.path) = (place.root, path);
            }
        }
        self.here.moved(place.root, anew);
    }
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// `stat`: what the entry says of itself.
fn move_entry(
    from_dir: &Dir,
    from: &CStr,
    stat: &Stat,
    place: &Place,
    wanted: &Wanted,
    name: &CStr,
) -> io::Result<()> {
    match rename_entry(from_dir, from, &place.dir, name) {
        Ok(()) => {
            // Where both names were the same file already, rename does nothing and leaves both.
            let same_name = || Ok::<_, io::Error>(Stat::of(from_dir)?.id() == place.id && from == name);
            if stat.links > 1
                && stat.kind != FileKind::Directory
                && from_dir.stat(from).is_ok_and(|left| left.id() == stat.id())
                && !same_name()?
            {
                from_dir.remove(from)?;
            }
            Ok(())
        }
        Err(error) if error.raw_os_error() == Some(libc::EXDEV) => {
            if stat.kind == FileKind::Directory {
                return Err(error);
            }
            copy_entry(from_dir, from, stat, place, wanted, name)?;
            from_dir.remove(from)
        }
        other => other,
    }
}

/// One system call: never neither of the names.
fn rename_entry(from_dir: &Dir, from: &CStr, dir: &Dir, name: &CStr) -> io::Result<()> {
    Ok(nix::fcntl::renameat(from_dir.as_fd(), from, dir.as_fd(), name)?)
}

/// Makes the same again in another file system.
fn copy_entry(
    from_dir: &Dir,
    from: &CStr,
    stat: &Stat,
    place: &Place,
    wanted: &Wanted,
    name: &CStr,
) -> io::Result<()> {
    if stat.kind == FileKind::File {
        return copy(from_dir, from, place, wanted, name);
    }
    let xattrs = sys::xattrs_of_entry(from_dir.as_fd(), from, wanted.root)?;
    let text = if stat.kind == FileKind::Symlink { from_dir.link_text(from)? } else { Vec::new() };
    let text = sys::c_string(&text)?;
    make_object(place, wanted, name, stat.kind, &stat.meta, &xattrs, |dir, name| match stat.kind {
        FileKind::Symlink => dir.make_symlink(&text, name),
        kind => dir.make_node(name, kind, stat.rdev),
    })
}
