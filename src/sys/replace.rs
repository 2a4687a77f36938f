//! A file of the user's, replaced whole.

use super::{is_root, remove_xattr, set_mode, set_owner, set_xattr, xattrs_of_open};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// So many names are tried for the new file.
const NAMES: u32 = 1000;
const ACCESS_ACL: &std::ffi::CStr = c"system.posix_acl_access";

/// Puts these bytes in the place of a regular file's. Mode, owner, ACL and attributes stay, and links to it are followed; another
/// hard link keeps the old bytes. A crash leaves the old file or the new one.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = std::fs::canonicalize(path)?;
    // Who may not write it does not replace it either.
    let old = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path)?;
    let status = old.metadata()?;
    if !status.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let (fresh, mut new) = create(directory)?;
    let done = fill(&old, &status, &mut new, bytes).and_then(|()| std::fs::rename(&fresh, &path));
    if done.is_err() {
        // The reason is the one to be told.
        let _ = std::fs::remove_file(&fresh);
    }
    done?;
    File::open(directory)?.sync_all()
}

/// A new file beside the old one. One that a killed program left there under the same number stays as it is.
fn create(directory: &Path) -> io::Result<(PathBuf, File)> {
    let mut number = 0;
    loop {
        let path = directory.join(format!(".dtcl-{}-{number}.new", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES => number += 1,
            done => return done.map(|file| (path, file)),
        }
    }
}

fn fill(old: &File, status: &Metadata, new: &mut File, bytes: &[u8]) -> io::Result<()> {
    new.write_all(bytes)?;
    let made = new.metadata()?;
    if (made.uid(), made.gid()) != (status.uid(), status.gid()) {
        set_owner(&*new, Some(status.uid()), Some(status.gid()))?;
    }
    let xattrs = xattrs_of_open(old.as_fd(), is_root())?.list;
    if !xattrs.iter().any(|(name, _)| name == ACCESS_ACL.to_bytes()) {
        // The directory's default ACL gave it one.
        remove_xattr(new.as_fd(), ACCESS_ACL)?;
    }
    for (name, value) in xattrs {
        set_xattr(new.as_fd(), &super::c_string(&name)?, &value)?;
    }
    set_mode(&*new, status.mode() & 0o7777)?;
    new.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn bytes_are_new_and_all_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o754)).unwrap();
        if is_root() {
            nix::unistd::chown(&path, Some(7.into()), Some(8.into())).unwrap();
        }
        let before = fs::metadata(&path).unwrap();
        symlink("f", dir.path().join("link")).unwrap();
        replace_file(&dir.path().join("link"), b"new").unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
        assert_ne!(after.ino(), before.ino());
        assert_eq!(names(dir.path()), ["f", "link"]);
    }

    #[test]
    fn what_a_killed_program_left_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "old").unwrap();
        let left = format!(".dtcl-{}-0.new", std::process::id());
        fs::write(dir.path().join(&left), "left").unwrap();
        replace_file(&path, b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(dir.path()), [left.as_str(), "f"]);
    }

    #[test]
    fn the_directorys_default_acl_opens_nothing() {
        let dir = tempfile::tempdir_in(".").unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // Version 2; owner and user 1 rwx, group r-x, mask rwx, others nothing (acl(5), linux/posix_acl_xattr.h).
        let mut acl = 2u32.to_le_bytes().to_vec();
        for (tag, bits, id) in
            [(1u16, 7u16, u32::MAX), (2, 7, 1), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)]
        {
            acl.extend(tag.to_le_bytes().into_iter().chain(bits.to_le_bytes()).chain(id.to_le_bytes()));
        }
        let open = File::open(dir.path()).unwrap();
        if set_xattr(&open, c"system.posix_acl_default", &acl).is_err() {
            eprintln!("skipped: this file system has no ACLs");
            return;
        }
        replace_file(&path, b"new").unwrap();
        let new = File::open(&path).unwrap();
        assert!(xattrs_of_open(new.as_fd(), is_root()).unwrap().list.is_empty());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    }

    #[test]
    fn what_is_no_file_or_cannot_be_replaced_stays() {
        let dir = tempfile::tempdir().unwrap();
        assert!(replace_file(dir.path(), b"x").is_err());
        assert!(replace_file(&dir.path().join("none"), b"x").is_err());
        assert!(replace_file(Path::new("/dev/null"), b"x").unwrap_err().to_string().contains("regular"));
        assert_eq!(names(dir.path()), [] as [&str; 0]);
    }
}
