//! The keys of machines that were spoken with: pinned on first use, like SSH. One line a machine: name and port, fingerprint.

use crate::wire::tls::Fingerprint;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// More than any such file has.
const LONGEST: u64 = 16 << 20;

/// The file of one home.
#[derive(Clone, Debug)]
pub(super) struct Known {
    path: PathBuf,
    /// A dry run remembers nothing.
    keeps: bool,
}

impl Known {
    /// `directory`: of the home's state. Made when the first key is remembered.
    pub fn of(directory: &Path) -> Known {
        Known { path: directory.join("known_machines"), keeps: true }
    }

    /// The same file, only read.
    pub fn read_only(directory: &Path) -> Known {
        Known { keeps: false, ..Self::of(directory) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key that this machine had. A line that cannot be read counts as another key: it is not passed over.
    pub fn get(&self, machine: &str) -> io::Result<Option<Result<Fingerprint, ()>>> {
        let mut text = String::new();
        match OpenOptions::new().read(true).open(&self.path) {
            Ok(file) => file.take(LONGEST).read_to_string(&mut text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut of_machine = text.lines().filter_map(|line| line.split_once(' '));
        let last = of_machine.rfind(|(name, _)| name.eq_ignore_ascii_case(machine));
        Ok(last.map(|(_, key)| key.trim().parse()))
    }

    /// Remembers a machine that was not known.
    pub fn remember(&self, machine: &str, key: Fingerprint) -> io::Result<()> {
        if !self.keeps {
            return Ok(());
        }
        if let Some(directory) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(&self.path)?;
        // One write: lines of two programs do not mix.
        file.write_all(format!("{machine} {key}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_by_the_machines_name_and_port() {
        let dir = tempfile::tempdir().unwrap();
        let known = Known::of(&dir.path().join("state"));
        assert_eq!(known.get("beta:1500").unwrap(), None);
        let key: Fingerprint = format!("SHA256:{}", "ab".repeat(32)).parse().unwrap();
        known.remember("beta:1500", key).unwrap();
        assert_eq!(known.get("BETA:1500").unwrap(), Some(Ok(key)));
        assert_eq!(known.get("beta:1501").unwrap(), None);
        std::fs::write(known.path(), "beta:1500 damaged\n").unwrap();
        assert_eq!(known.get("beta:1500").unwrap(), Some(Err(())));
    }
}
