//! Operations on one name of the directory entered that are over when they return.

use super::apply::Applier;
use super::failure::{Explain, Failure, Trouble};
use super::file::{Aside, copy_local, put, unfinished_name};
use super::meta::{Fresh, Wanted};
use super::place::Place;
use super::{Policy, remove_tree};
use crate::sys::{self, Dir, FileKind, Meta, Stat, Xattrs};
use crate::wire::{Op, WireError};
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;

impl Applier {
    pub(super) fn named(&mut self, op: &Op<'_>) -> Result<(), Trouble> {
        let name = match op {
            Op::Put { name, .. }
            | Op::Symlink { name, .. }
            | Op::Node { name, .. }
            | Op::Link { name, .. }
            | Op::Rename { name, .. }
            | Op::SetMeta { name, .. }
            | Op::Remove { name, .. } => *name,
            _ => return Err(WireError::Invalid("operation").into()),
        };
        let (place, c_name) = self.at(name)?;
        if !self.lately.is_empty() && !matches!(op, Op::SetMeta { .. }) {
            self.lately.forget(place.id, &c_name);
        }
        let result = match op {
            Op::Put { meta, xattrs, content, .. } => {
                put(&place, &self.wanted, &c_name, meta, xattrs, content).or_say("write the file")
            }
            Op::Symlink { meta, xattrs, text, .. } => sys::c_string(text)
                .and_then(|text| {
                    make_object(
                        &place,
                        &self.wanted,
                        &c_name,
                        FileKind::Symlink,
                        meta,
                        xattrs,
                        |dir, name| dir.make_symlink(&text, name),
                    )
                })
                .or_say("make the link"),
            Op::Node { meta, xattrs, kind, rdev, .. } => {
                make_object(&place, &self.wanted, &c_name, *kind, meta, xattrs, |dir, name| {
                    dir.make_node(name, *kind, *rdev)
                })
                .or_say("make the special file")
                .map_err(|failure| {
                    let device = matches!(kind, FileKind::Block | FileKind::Character);
                    // Without root it stays so.
                    if device && !self.wanted.root { failure.lasting() } else { failure }
                })
            }
            Op::Link { root, dir, from, .. } => {
                let root = self.root(*root)?;
                let from_dir = root.open(false).and_then(|top| top.descend(&sys::c_string(dir)?));
                from_dir
                    .and_then(|from_dir| link(&from_dir, &place, &self.wanted, &c_name, from))
                    .or_say("make the hard link")
                    .map_err(Failure::or_missing)
            }
            Op::Rename { root, dir, from, .. } => self.rename(&place, &c_name, *root, dir, from)?,
            Op::SetMeta { kind, meta, xattrs, .. } => {
                set_meta(&place, &self.wanted, &c_name, *kind, meta, xattrs)
                    .or_say("set the attributes")
                    .map_err(Failure::or_missing)
            }
            Op::Remove { tree, .. } => remove(&place.dir, &c_name, *tree, &self.policy).or_say("remove"),
            _ => Ok(()),
        };
        result.map_err(|failure| failure.about(place.root, &place.path, name))
    }
}

/// Makes a link or special file; where the name is taken, aside first.
pub(super) fn make_object(
    place: &Place,
    wanted: &Wanted,
    name: &CStr,
    kind: FileKind,
    meta: &Meta,
    xattrs: &Xattrs,
    make: impl Fn(&Dir, &CStr) -> io::Result<()>,
) -> io::Result<()> {
    let finish = |name: &CStr| {
        let object = place.dir.object(name)?;
        if Stat::of(&object)?.kind != kind {
            return Err(io::Error::from_raw_os_error(libc::ESTALE));
        }
        let fresh = Fresh { made: None, acl: place.default_acl, group: place.set_gid };
        wanted.set_object(&object, kind, meta, xattrs, fresh)
    };
    match make(&place.dir, name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let aside = unfinished_name();
            make(&place.dir, &aside)?;
            finish(&aside).and_then(|()| place.dir.replace(&aside, name)).inspect_err(|_| {
                let _ = place.dir.remove(&aside);
            })
        }
        Err(error) => Err(error),
        Ok(()) => finish(name),
    }
}

fn set_meta(
    place: &Place,
    wanted: &Wanted,
    name: &CStr,
    kind: FileKind,
    meta: &Meta,
    xattrs: &Xattrs,
) -> io::Result<()> {
    let object = place.dir.object(name)?;
    if Stat::of(&object)?.kind != kind {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
    }
    wanted.set_object(&object, kind, meta, xattrs, Fresh::OLD)
}

/// Removes an entry; a directory that is not empty only as a tree.
fn remove(dir: &Dir, name: &CStr, tree: bool, policy: &Policy) -> io::Result<()> {
    let gone = match dir.remove(name) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EISDIR | libc::EPERM)) => {
            if tree {
                // What orphans were moved to stays, too.
                let mut kept = policy.forbidden.clone();
                kept.extend(policy.orphans.own_directory()?);
                remove_tree(dir, name, &kept)
            } else {
                dir.remove_dir(name)
            }
        }
        other => other,
    };
    match gone {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Gives an earlier entry another name; across file systems it becomes a copy (REP-20).
fn link(from_dir: &Dir, place: &Place, wanted: &Wanted, name: &CStr, from: &[u8]) -> io::Result<()> {
    let from = sys::c_string(from)?;
    let linked = match place.dir.link(name, from_dir, &from) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let aside = unfinished_name();
            place.dir.link(&aside, from_dir, &from).and_then(|()| {
                let replaced = place.dir.replace(&aside, name);
                // Where both names were the same file already, rename does nothing and leaves both.
                match place.dir.remove(&aside) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => replaced.and(Err(error)),
                    _ => replaced,
                }
            })
        }
        Err(error) if error.raw_os_error() == Some(libc::EXDEV) => copy(from_dir, &from, place, wanted, name),
        other => other,
    };
    match linked {
        // Said of a directory too; that is no matter of permission, and does not pass.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            let directory = from_dir.stat(&from).is_ok_and(|stat| stat.kind == FileKind::Directory);
            Err(if directory { io::Error::from_raw_os_error(libc::EISDIR) } else { error })
        }
        other => other,
    }
}

/// Copies a regular file with its metadata from one place of the target to another; holes stay holes.
pub(super) fn copy(
    from_dir: &Dir,
    from: &CStr,
    place: &Place,
    wanted: &Wanted,
    name: &CStr,
) -> io::Result<()> {
    let source = from_dir.regular(from).map_err(|error| match error.raw_os_error() {
        Some(libc::EISDIR | libc::ELOOP) => io::Error::from_raw_os_error(libc::EXDEV),
        _ => error,
    })?;
    let stat = Stat::of(&source)?;
    let xattrs = sys::xattrs_of_open(source.as_fd(), wanted.root)?;
    let mut aside = Aside::make(place, wanted.first_mode(&stat.meta))?;
    let fill = || {
        let mut buffer = Vec::new();
        for (offset, len) in sys::segments(&source, stat.size)? {
            copy_local(&source, &aside.file, offset, len, &mut buffer)?;
        }
        aside.file.set_len(stat.size)?;
        aside.set(place, wanted, &stat.meta, &xattrs)
    };
    let done = fill().and_then(|()| aside.publish(place, name));
    if done.is_err() {
        aside.forget(place);
    }
    done
}
