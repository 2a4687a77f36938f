//! DIR: the source's file system, as a set is built.

use crate::api::{ApiError, Code, DirectoryEntry, Reply};
use crate::engine::connect::mapping::{absolute, shown};
use crate::engine::log::escape;
use crate::sys::{Dir, FileKind, Names, list_dir};
use std::ffi::CStr;
use std::io;
use std::path::Path;

/// The entries of a directory, sorted by the bytes of their names. -140 for what cannot be listed.
pub(super) fn directory(path: &str) -> Result<Reply, ApiError> {
    let path = absolute(path, "DIR")?;
    let dir = Dir::open_root(&path).map_err(|error| failed(&path, &error))?;
    list(&path, &dir, |_, _| true)
}

/// Those entries of an open directory that `keep` wants.
pub(super) fn list(
    path: &Path,
    dir: &Dir,
    keep: impl Fn(&CStr, FileKind) -> bool,
) -> Result<Reply, ApiError> {
    let mut names = Names::default();
    list_dir(dir, &mut names, &mut Vec::new()).map_err(|error| failed(path, &error))?;
    // What goes away while it is listed is left out.
    let entries = names.iter().filter_map(|(name, _)| {
        let stat = dir.stat(name).ok()?;
        keep(name, stat.kind).then(|| DirectoryEntry {
            name: escape(name.to_bytes()),
            kind: letter(stat.kind),
            size: stat.size,
            modified: stat.meta.mtime.0,
        })
    });
    Ok(Reply::Directory(entries.collect()))
}

/// What to say of a directory that cannot be listed.
pub(super) fn failed(path: &Path, error: &io::Error) -> ApiError {
    ApiError::new(Code::SourcePathIsInvalid, format!("{} cannot be listed: {error}", shown(path)))
        .help("check the path, or run as a user who may read it")
}

/// As ls prints it.
fn letter(kind: FileKind) -> char {
    match kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
        FileKind::Block => 'b',
        FileKind::Character => 'c',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_escaped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        std::fs::write(dir.path().join("a\nx"), "abc").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("c")).unwrap();
        let Reply::Directory(entries) = directory(dir.path().to_str().unwrap()).unwrap() else {
            unreachable!()
        };
        let shown: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
        assert_eq!(shown, [("a\\nx", '-'), ("b", 'd'), ("c", 'l')]);
        assert_eq!(entries[0].size, 3);
    }

    #[test]
    fn what_cannot_be_listed_says_why() {
        assert_eq!(directory("/no/such/place").unwrap_err().code, Code::SourcePathIsInvalid);
        assert_eq!(directory("here").unwrap_err().code, Code::InvalidParameterWasSupplied);
    }
}
