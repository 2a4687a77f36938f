//! Files of the client: exported sets, passwords. Their errors name the file and the remedy.

use crate::api::{ApiError, Code};
use std::io::{Read as _, Write as _};
use std::path::Path;

/// More than any exported set or password has.
const LONGEST: u64 = 16 << 20;

/// Writes a new file, whole or not at all; one that exists stays as it is.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<(), ApiError> {
    let failed = |error: &dyn std::fmt::Display| failed(path, error);
    let mut beside = std::ffi::OsString::from(".");
    beside.push(vet_new(path)?);
    beside.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = (|| {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        // A link, because it never replaces what came to be in the meantime.
        std::fs::hard_link(&beside, path)
    })();
    let _ = std::fs::remove_file(&beside);
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists(path)),
        Err(error) => Err(failed(&error)),
    }
}

/// The name of a file that is not there yet, in a directory that is.
pub(crate) fn vet_new(path: &Path) -> Result<&std::ffi::OsStr, ApiError> {
    if path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    parent.metadata().map_err(|error| failed(path, &error))?;
    path.file_name().ok_or_else(|| failed(path, &"this is not the name of a file"))
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(Code::InvalidPath, format!("{}: {error}", path.display()))
}

fn exists(path: &Path) -> ApiError {
    ApiError::new(Code::InvalidPath, format!("{} exists already", path.display()))
        .help("name another file, or remove that one first")
}

/// A text file of bounded size.
pub(crate) fn read_text(path: &Path) -> Result<String, ApiError> {
    let failed = |error: &dyn std::fmt::Display| {
        ApiError::new(Code::InvalidPath, format!("{}: {error}", path.display()))
    };
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let mut content = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut content).map_err(|error| failed(&error))?;
    if content.len() as u64 > LONGEST {
        return Err(failed(&"the file is too large"));
    }
    String::from_utf8(content).map_err(|_| failed(&"the file is no UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_new_files_only_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a set.txt");
        write_new(&file, b"one").unwrap();
        assert_eq!(read_text(&file).unwrap(), "one");
        let error = write_new(&file, b"two").unwrap_err();
        assert!(error.message.ends_with("exists already"), "{}", error.message);
        assert_eq!(read_text(&file).unwrap(), "one");
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
        assert_eq!(write_new(&dir.path().join("none/x"), b"").unwrap_err().code, Code::InvalidPath);
    }

    #[test]
    fn reads_text_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        std::fs::write(&file, b"\xff").unwrap();
        assert!(read_text(&file).unwrap_err().message.ends_with("no UTF-8 text"));
        assert!(read_text(&dir.path().join("missing")).is_err());
    }
}
