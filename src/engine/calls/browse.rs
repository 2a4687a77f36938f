//! DIR: the source's file system, as a set is built.

use crate::api::{ApiError, Code, DirectoryEntry, Reply};
use crate::engine::connect::mapping::{absolute, shown};
use crate::engine::log::escape;
use std::fs::FileType;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// The entries of a directory, sorted by the bytes of their names. -140 for what cannot be listed.
pub(super) fn directory(path: &str) -> Result<Reply, ApiError> {
    let path = absolute(path, "DIR")?;
    let failed = |error: std::io::Error| {
        ApiError::new(Code::SourcePathIsInvalid, format!("{} cannot be listed: {error}", shown(&path)))
            .help("check the path, or run as a user who may read it")
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // What goes away while it is listed is left out.
        let Ok(stat) = entry.metadata() else { continue };
        entries.push((
            entry.file_name(),
            DirectoryEntry {
                name: escape(entry.file_name().as_bytes()),
                kind: kind(stat.file_type()),
                size: stat.size(),
                modified: stat.mtime(),
            },
        ));
    }
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Reply::Directory(entries.into_iter().map(|(_, entry)| entry).collect()))
}

/// As ls prints it.
fn kind(of: FileType) -> char {
    match of {
        of if of.is_dir() => 'd',
        of if of.is_symlink() => 'l',
        of if of.is_fifo() => 'p',
        of if of.is_socket() => 's',
        of if of.is_block_device() => 'b',
        of if of.is_char_device() => 'c',
        _ => '-',
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
