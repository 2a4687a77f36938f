//! The copy of a machine's state that a rehearsal works on: a home of its own in a new directory, removed with it.

use crate::api::{ApiError, Code, SettingRow};
use crate::engine::home::Home;
use crate::engine::settings::Settings;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

/// Options that name places of the engine's own files: the copy has its own.
const PLACES: [&str; 3] = ["DataPath", "LogDir", "QJournalDir"];

/// What copies are called.
const NAME: &str = "dtcl-dry-run-";
/// An older one that nobody has locked was left behind.
const YOUNG: Duration = Duration::from_secs(60);
/// How often it is copied anew where others write meanwhile.
const TRIES: usize = 5;

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
        let files = [settings.repset_database(), settings.schedule_file(), settings.task_file()];
        for _ in 0..TRIES {
            let before = stamps(&files);
            copy_files(&files, copy.home.state_dir())?;
            home.is_free()?;
            // One that has come and gone meanwhile may have written in between.
            if stamps(&files) == before {
                return Ok(copy);
            }
        }
        Err(failed(&settings.data_path(), &ErrorKind::ResourceBusy.into()))
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
        let directory = std::env::temp_dir();
        sweep(&directory);
        let template = directory.join(format!("{NAME}XXXXXX"));
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

/// A database with what of it is not in its main file yet.
fn parts(file: &Path) -> impl Iterator<Item = PathBuf> {
    ["", "-wal", "-journal"].into_iter().map(|end| {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

/// What tells whether they were written to.
fn stamps(files: &[PathBuf]) -> Vec<Option<(u64, u64, i64, i64)>> {
    let stamp = |path: PathBuf| {
        let status = fs::metadata(path).ok()?;
        Some((status.ino(), status.size(), status.mtime(), status.mtime_nsec()))
    };
    files.iter().flat_map(|file| parts(file)).map(stamp).collect()
}

/// Those that are there. Keys and passwords are never among them: the copy makes its own key.
fn copy_files(files: &[PathBuf], to: &Path) -> Result<(), ApiError> {
    for path in files.iter().flat_map(|file| parts(file)) {
        let Some(name) = path.file_name() else { continue };
        match fs::copy(&path, to.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Of an earlier try.
                let _ = fs::remove_file(to.join(name));
            }
            copied => _ = copied.map_err(|error| failed(&path, &error))?,
        }
    }
    Ok(())
}

/// Takes away what killed runs of this user have left.
fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let own = nix::unistd::geteuid().as_raw();
    for entry in entries.flatten().filter(|entry| entry.file_name().as_bytes().starts_with(NAME.as_bytes())) {
        let Ok(status) = entry.metadata() else { continue };
        // One that is just being made has no lock yet.
        let old = |time: io::Result<SystemTime>| {
            time.ok().and_then(|time| time.elapsed().ok()).is_some_and(|age| age > YOUNG)
        };
        if status.is_dir() && status.uid() == own && old(status.modified()) {
            let home = Home::at(entry.path());
            if home.is_free().is_ok() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> ApiError {
    ApiError::new(
        Code::UnknownError,
        format!("the machine's state cannot be copied for a dry run: {}: {error}", path.display()),
    )
    .help("run as a user who may read it, with room in the directory for temporary files (TMPDIR)")
}
