//! Removing entries and trees, from held directories only.

use crate::sys::{self, Dir, FileKind, Names, Stat};
use std::ffi::{CStr, CString};
use std::io;

/// Removes the entry of this name with all below it. Directories in `forbidden` (device, inode) are kept and make it fail
/// with EPERM, what is mounted in it with EXDEV. What failed stays, what else could go is gone.
pub fn remove_tree(dir: &Dir, name: &CStr, forbidden: &[(u64, u64)]) -> io::Result<()> {
    match dir.remove(name) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EISDIR | libc::EPERM)) => {}
        other => return other,
    }
    if dir.stat(name)?.kind != FileKind::Directory {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    let mut first_error = None;
    let mut stack = vec![Level::open(dir.dir_here(name)?, name.to_owned(), forbidden)?];
    while let Some(level) = stack.last_mut() {
        if let Some((entry, kind)) = level.next() {
            let step = if kind == Some(FileKind::Directory) {
                level.dir.dir_here(&entry).and_then(|below| Level::open(below, entry, forbidden)).map(Some)
            } else {
                match level.dir.remove(&entry) {
                    // Its directory did not tell its type.
                    Err(error) if error.raw_os_error() == Some(libc::EISDIR) => level
                        .dir
                        .dir_here(&entry)
                        .and_then(|below| Level::open(below, entry, forbidden))
                        .map(Some),
                    other => other.map(|()| None),
                }
            };
            match step {
                Ok(Some(below)) => stack.push(below),
                Ok(None) => {}
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        } else if let Some(done) = stack.pop() {
            let parent = stack.last().map_or(dir, |level| &level.dir);
            if let Err(error) = parent.remove_dir(&done.name) {
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// A directory that is being emptied.
struct Level {
    dir: Dir,
    name: CString,
    names: Names,
    next: usize,
}

impl Level {
    fn open(dir: Dir, name: CString, forbidden: &[(u64, u64)]) -> io::Result<Level> {
        if forbidden.contains(&Stat::of(&dir)?.id()) {
            return Err(super::failure::forbidden());
        }
        let mut names = Names::default();
        sys::list_dir(&dir, &mut names, &mut Vec::new())?;
        Ok(Level { dir, name, names, next: 0 })
    }

    fn next(&mut self) -> Option<(CString, Option<FileKind>)> {
        let (name, kind) = self.names.get(self.next)?;
        let found = (name.to_owned(), kind);
        self.next += 1;
        Some(found)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_goes_but_links_are_not_followed_and_the_forbidden_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        std::fs::create_dir_all(path.join("t/a/b/c")).unwrap();
        std::fs::create_dir_all(path.join("t/home/keep")).unwrap();
        std::fs::create_dir(path.join("outside")).unwrap();
        std::fs::write(path.join("outside/precious"), b"x").unwrap();
        std::fs::write(path.join("t/a/b/file"), b"x").unwrap();
        std::os::unix::fs::symlink("../outside", path.join("t/link")).unwrap();
        let root = Dir::open_root(path).unwrap();
        let home = Stat::of(Dir::open_root(&path.join("t/home")).unwrap()).unwrap().id();
        assert!(remove_tree(&root, c"t", &[home]).is_err());
        assert!(!path.join("t/a").exists());
        assert!(path.join("t/home/keep").exists());
        assert!(path.join("outside/precious").exists());
        remove_tree(&root, c"t", &[]).unwrap();
        assert!(!path.join("t").exists());
    }
}
