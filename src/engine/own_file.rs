//! Small files of an engine that decide whom it trusts: taken only from who may have written them, and replaced whole.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// More than any such file has.
const LONGEST: u64 = 16 << 20;

/// Its bytes; None: there is none. An error for a link, a file of another user than this one and root, and one with any of these
/// permission bits.
pub fn read(path: &Path, refused: u32) -> io::Result<Option<Vec<u8>>> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let status = file.metadata()?;
    if status.uid() != 0 && status.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other(format!("it belongs to user {}", status.uid())));
    }
    if status.mode() & refused != 0 {
        let how = if status.mode() & refused & 0o222 != 0 { "write" } else { "read" };
        return Err(io::Error::other(format!("others may {how} it (chmod 600)")));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts these bytes in its place, for this user alone; a crash leaves the old file or the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_file_is_this_users_alone_or_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(read(&path, 0o077).unwrap(), None);
        for text in ["one", "two"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(read(&path, 0o077).unwrap().as_deref(), Some(text.as_bytes()));
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path, 0o022).unwrap().is_some());
        assert!(read(&path, 0o077).unwrap_err().to_string().contains("others may read it"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660)).unwrap();
        assert!(read(&path, 0o022).unwrap_err().to_string().contains("others may write it"));
        symlink(&path, dir.path().join("link")).unwrap();
        assert!(read(&dir.path().join("link"), 0).is_err());
    }
}
