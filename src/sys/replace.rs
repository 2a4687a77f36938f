//! A file of the user's, replaced whole.

use super::{is_root, set_mode, set_owner, set_xattr, xattrs_of_open};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

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
    let fresh = directory.join(format!(".dtcl-{}.new", std::process::id()));
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let done = fill(&old, &status, &mut new, bytes).and_then(|()| std::fs::rename(&fresh, &path));
    if done.is_err() {
        // The reason is the one to be told.
        let _ = std::fs::remove_file(&fresh);
    }
    done?;
    File::open(directory)?.sync_all()
}

fn fill(old: &File, status: &Metadata, new: &mut File, bytes: &[u8]) -> io::Result<()> {
    new.write_all(bytes)?;
    let made = new.metadata()?;
    if (made.uid(), made.gid()) != (status.uid(), status.gid()) {
        set_owner(&*new, Some(status.uid()), Some(status.gid()))?;
    }
    for (name, value) in xattrs_of_open(old.as_fd(), is_root())?.list {
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
    fn what_is_no_file_or_cannot_be_replaced_stays() {
        let dir = tempfile::tempdir().unwrap();
        assert!(replace_file(dir.path(), b"x").is_err());
        assert!(replace_file(&dir.path().join("none"), b"x").is_err());
        assert!(replace_file(Path::new("/dev/null"), b"x").unwrap_err().to_string().contains("regular"));
        assert_eq!(names(dir.path()), [] as [&str; 0]);
    }
}
