//! Metadata, in the order of architecture.md 5: (content,) owner, ACL, mode, other attributes, times. Changing the owner
//! clears setuid bits and capabilities, an ACL changes the mode, so each stands before what it would spoil.

use crate::sys::{self, FileKind, Meta, Object, Stat, Xattrs};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What belongs to the copy, and what this process may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub attributes: bool,
    pub xattrs: bool,
    pub root: bool,
    /// See [`sys::umask`].
    pub umask: u32,
}

/// What is known of an object before its metadata is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    /// It was made by this process just now, with these permission bits.
    pub made: Option<u32>,
    /// Its directory gave it an ACL.
    pub acl: bool,
    /// Its directory gave it a group.
    pub group: bool,
}

impl Fresh {
    pub(super) const OLD: Fresh = Fresh { made: None, acl: true, group: true };
}

/// The mode of what nobody else is to open yet.
pub(super) const PRIVATE: u32 = 0o600;

const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// Will a directory with these attributes give an ACL to what is made in it?
pub(super) fn has_default_acl(xattrs: &Xattrs) -> bool {
    xattrs.list.iter().any(|(name, _)| name == DEFAULT_ACL)
}

fn is_acl(name: &[u8]) -> bool {
    name == ACCESS_ACL || name == DEFAULT_ACL
}

impl Wanted {
    /// The mode that a file without a name is made with, so that it need not be set: its own where that is all that the kernel looks
    /// at. Nobody else can open it before it has its name, its owner and its ACL.
    pub(super) fn first_mode(&self, meta: &Meta) -> u32 {
        let mode = if self.attributes { sys::own_mode(meta, self.root) } else { 0o644 };
        if mode & (0o7000 | self.umask) == 0 { mode } else { PRIVATE }
    }

    /// Metadata of an open file.
    pub(super) fn set_file(&self, file: &File, meta: &Meta, xattrs: &Xattrs, fresh: Fresh) -> io::Result<()> {
        self.set(file.as_fd(), Some(&|mode| sys::set_mode(file, mode)), meta, xattrs, fresh)
    }

    /// Metadata of an open file that was changed in place: what is as it should be already is not set again. `stat`: what it said
    /// after its content was written.
    pub(super) fn set_changed(
        &self,
        file: &File,
        stat: &Stat,
        meta: &Meta,
        xattrs: &Xattrs,
    ) -> io::Result<()> {
        let fd = file.as_fd();
        let mut same_mode = stat.meta.mode == sys::own_mode(meta, self.root);
        if self.attributes && (stat.meta.uid, stat.meta.gid) != (meta.uid, meta.gid) {
            self.set_owner(fd, meta, Fresh::OLD)?;
            // It may have taken setuid bits away.
            same_mode = false;
        }
        // Read behind the change of owner, which may have cleared some.
        let known = if self.xattrs { sys::xattrs_of_open(fd, self.root)? } else { Xattrs::default() };
        let same_xattrs = !self.xattrs || known == *xattrs;
        if !same_xattrs {
            self.sync_xattrs(fd, &known, xattrs, is_acl)?;
            // An ACL changes the mode.
            same_mode = false;
        }
        if self.attributes && !same_mode {
            sys::set_mode(file, sys::own_mode(meta, self.root))?;
        }
        if !same_xattrs {
            self.sync_xattrs(fd, &known, xattrs, |name| !is_acl(name))?;
        }
        sys::set_times(fd, meta.mtime)
    }

    /// Metadata of an open directory.
    pub(super) fn set_dir(&self, dir: &sys::Dir, meta: &Meta, xattrs: &Xattrs) -> io::Result<()> {
        self.set(dir.as_fd(), Some(&|mode| sys::set_mode(dir, mode)), meta, xattrs, Fresh::OLD)
    }

    /// Metadata of any held object; a symbolic link has no mode.
    pub(super) fn set_object(
        &self,
        object: &Object,
        kind: FileKind,
        meta: &Meta,
        xattrs: &Xattrs,
        fresh: Fresh,
    ) -> io::Result<()> {
        let set_mode = |mode| object.set_mode(mode);
        let set_mode: Option<&dyn Fn(u32) -> io::Result<()>> =
            if kind == FileKind::Symlink { None } else { Some(&set_mode) };
        self.set(object.as_fd(), set_mode, meta, xattrs, fresh)
    }

    fn set(
        &self,
        fd: BorrowedFd<'_>,
        set_mode: Option<&dyn Fn(u32) -> io::Result<()>>,
        meta: &Meta,
        xattrs: &Xattrs,
        fresh: Fresh,
    ) -> io::Result<()> {
        if self.attributes {
            self.set_owner(fd, meta, fresh)?;
        }
        let known = if self.xattrs && (fresh.made.is_none() || fresh.acl) {
            sys::xattrs_of(fd, self.root)?
        } else {
            Xattrs::default()
        };
        if self.xattrs {
            self.sync_xattrs(fd, &known, xattrs, is_acl)?;
        }
        if let Some(set_mode) = set_mode {
            let mode = match fresh.made {
                _ if self.attributes => Some(sys::own_mode(meta, self.root)),
                made => made.and(Some(0o644)),
            };
            // An ACL changes the mode.
            let acl = fresh.acl || self.xattrs && xattrs.list.iter().any(|(name, _)| is_acl(name));
            if let Some(mode) = mode
                && (acl || fresh.made != Some(mode))
            {
                set_mode(mode)?;
            }
        }
        if self.xattrs {
            self.sync_xattrs(fd, &known, xattrs, |name| !is_acl(name))?;
        }
        sys::set_times(fd, meta.mtime)
    }

    /// Owner and group. Without root only a group of one's own can be given; that the owner stays is no failure then
    /// (the user guide says so), as with every copying tool.
    fn set_owner(&self, fd: BorrowedFd<'_>, meta: &Meta, fresh: Fresh) -> io::Result<()> {
        if self.root {
            if fresh.made.is_some()
                && !fresh.group
                && meta.uid == 0
                && meta.gid == 0
                && sys::is_own_group_zero()
            {
                return Ok(());
            }
            return sys::set_owner(fd, Some(meta.uid), Some(meta.gid));
        }
        if sys::is_own_group(meta.gid) { sys::set_owner(fd, None, Some(meta.gid)) } else { Ok(()) }
    }

    /// Makes the attributes that `which` chooses equal to the wanted ones.
    fn sync_xattrs(
        &self,
        fd: BorrowedFd<'_>,
        known: &Xattrs,
        wanted: &Xattrs,
        which: impl Fn(&[u8]) -> bool,
    ) -> io::Result<()> {
        for (name, _) in known.list.iter().filter(|(name, _)| which(name)) {
            if !wanted.list.iter().any(|(other, _)| other == name) {
                sys::remove_xattr(fd, &sys::c_string(name)?)?;
            }
        }
        for (name, value) in wanted.list.iter().filter(|(name, _)| which(name)) {
            if !self.root && (name.starts_with(b"security.") || name.starts_with(b"trusted.")) {
                continue;
            }
            // Written even when it is there already: the change of owner may just have cleared it.
            sys::set_xattr(fd, &sys::c_string(name)?, value)?;
        }
        Ok(())
    }
}
