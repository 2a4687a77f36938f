//! This machine's key: by it clients and other machines know a service, and targets know a source.

use super::{Engine, own_file};
use crate::api::{ApiError, Code};
use crate::wire::tls::MachineKey;
use std::path::Path;
use std::sync::Arc;

impl Engine {
    /// The key of the home, made when it is first needed. -171 when there is one that cannot be trusted, or used.
    pub fn machine_key(&self) -> Result<Arc<MachineKey>, ApiError> {
        if let Some(key) = self.key.get() {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(machine_key(&self.kept.settings.data_path().join("machine.key"))?);
        Ok(Arc::clone(self.key.get_or_init(|| key)))
    }
}

fn machine_key(path: &Path) -> Result<MachineKey, ApiError> {
    let failed = |error: &dyn std::fmt::Display| {
        ApiError::new(
            Code::TheServiceFailedToStart,
            format!("the machine's key {} cannot be used: {error}", path.display()),
        )
        .help("put it back from a copy, or remove it: then a new one is made, and who knew the old one has to forget it")
    };
    let bytes = match own_file::read(path, 0o077).map_err(|error| failed(&error))? {
        Some(bytes) => bytes,
        None => {
            let bytes = MachineKey::generate().map_err(|error| failed(&error))?;
            own_file::replace(path, &bytes).map_err(|error| failed(&error))?;
            bytes
        }
    };
    MachineKey::read(&bytes).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_one_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine.key");
        let made = machine_key(&path).unwrap().fingerprint();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(machine_key(&path).unwrap().fingerprint(), made);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = machine_key(&path).unwrap_err();
        assert!(error.message.contains("chmod 600"), "{error}");
        own_file::replace(&dir.path().join("other"), b"no key").unwrap();
        assert!(machine_key(&dir.path().join("other")).is_err());
    }
}
