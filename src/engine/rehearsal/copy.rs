//! The copy of a machine's state that a rehearsal works on: a home of its own in a new directory, removed with it.

use crate::api::{ApiError, Code, SettingRow};
use crate::engine::home::Home;
use crate::engine::settings::Settings;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Options that name places of the engine's own files: the copy has its own.
const PLACES: [&str; 3] = ["DataPath", "LogDir", "QJournalDir"];

/// See the module.
pub(super) struct Copy {
    top: PathBuf,
    home: Home,
}

impl Copy {
    /// The settings and databases that a home keeps. -111 while another engine runs on it.
    pub(super) fn of_home(home: &Home) -> Result<Copy, ApiError> {
        home.is_free()?;
        let copy = Self::make(Some(home))?;
        let settings = home.settings_file();
        let conf = match fs::read(settings) {
            Ok(conf) => conf,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(settings, &error)),
        };
        let kept = conf.split(|&byte| byte == b'\n').filter(|line| !is_place(line));
        copy.write_settings(&kept.collect::<Vec<_>>().join(&b'\n'))?;
        let (settings, _) = Settings::load(home)?;
        copy_files(&settings.data_path(), copy.home.state_dir())?;
        Ok(copy)
    }

    /// What a service's options say.
    pub(super) fn of_options(rows: &[SettingRow], here: Option<&Home>) -> Result<Copy, ApiError> {
        let copy = Self::make(here)?;
        let own = |row: &&SettingRow| row.value != row.default && !PLACES.contains(&row.name.as_str());
        let lines = rows.iter().filter(own).map(|row| format!("{}={}\n", row.name, row.value));
        copy.write_settings(lines.collect::<String>().as_bytes())?;
        Ok(copy)
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    fn make(original: Option<&Home>) -> Result<Copy, ApiError> {
        let template = std::env::temp_dir().join("dtcl-dry-run-XXXXXX");
        let top = nix::unistd::mkdtemp(&template).map_err(|error| failed(&template, &error.into()))?;
        let home = match original {
            Some(original) => original.rehearsed_at(&top),
            None => Home::at(&top),
        };
        Ok(Copy { top, home })
    }

    fn write_settings(&self, conf: &[u8]) -> Result<(), ApiError> {
        self.home.create()?;
        fs::write(self.home.settings_file(), conf).map_err(|error| failed(self.home.settings_file(), &error))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What is left is a directory in the place for such.
        let _ = fs::remove_dir_all(&self.top);
    }
}

/// A line of `DT.conf` for one of [`PLACES`].
fn is_place(line: &[u8]) -> bool {
    let name = line.split(|&byte| byte == b'=').next().unwrap_or_default().trim_ascii();
    PLACES.iter().any(|place| place.as_bytes().eq_ignore_ascii_case(name))
}

/// The files of a directory, not those of its subdirectories.
fn copy_files(from: &Path, to: &Path) -> Result<(), ApiError> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(from, &error)),
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(|error| failed(to, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| failed(from, &error))?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let path = entry.path();
            fs::copy(&path, to.join(entry.file_name())).map_err(|error| failed(&path, &error))?;
        }
    }
    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> ApiError {
    ApiError::new(
        Code::UnknownError,
        format!("the machine's state cannot be copied for a dry run: {}: {error}", path.display()),
    )
    .help("run as a user who may read it, with room in the directory for temporary files (TMPDIR)")
}
