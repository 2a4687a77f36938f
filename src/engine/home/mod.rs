//! The home of an engine: where its settings, state, queue, logs and lock lie (architecture.md section 1).
//!
//! A `Home` is names only. Nothing is looked at, made or locked before an engine is opened (`create`, `lock`). What an
//! engine keeps here never belongs to a replication set; it is told by device and inode (`forbidden`), so that no name,
//! link or mount leads around that.

mod lock;

pub use lock::HomeLock;

use crate::api::{ApiError, Code};
use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The name of a service's socket in its home's `run`.
pub const SOCKET: &str = "DTCL.sock";

/// The places of one engine, all absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The one directory that holds all; none for the places of the system.
    top: Option<PathBuf>,
    settings_file: PathBuf,
    state: PathBuf,
    queue: PathBuf,
    log: PathBuf,
    run: PathBuf,
    data_root: PathBuf,
    /// The socket of the system's log; none: events stay in the engine's own.
    system_log: Option<PathBuf>,
    /// Of a copy that a rehearsal works on: the home that it was made of.
    original: Option<Box<Home>>,
}

/// Why there is no usable home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error("no home: neither DTCL_HOME nor XDG_STATE_HOME nor HOME names a directory")]
    Nowhere,
    #[error("the home directory {} cannot be made: {error}", path.display())]
    Make { path: PathBuf, error: io::Error },
    #[error("the home directory {} belongs to user {owner}", path.display())]
    Owner { path: PathBuf, owner: u32 },
    #[error("the home directory {} may be written by everybody", path.display())]
    Open { path: PathBuf },
    #[error("{} stands in the way of a home directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error("another engine{} runs on this home, {}", pid.map(|p| format!(" (process {p})")).unwrap_or_default(), run.display())]
    Locked { run: PathBuf, pid: Option<u32> },
    #[error("the lock {} cannot be taken: {error}", path.display())]
    Lock { path: PathBuf, error: io::Error },
}

impl From<HomeError> for ApiError {
    fn from(error: HomeError) -> Self {
        let code = match error {
            HomeError::Locked { .. } => Code::ProductIsRunning,
            _ => Code::UnknownError,
        };
        let help = match &error {
            HomeError::Nowhere => "set DTCL_HOME to a directory of yours",
            HomeError::Make { .. } | HomeError::Lock { .. } => {
                "make the place writable, or set DTCL_HOME to a directory of yours"
            }
            HomeError::Owner { .. } => {
                "set DTCL_HOME to a directory of yours, or change its owner with chown"
            }
            HomeError::Open { .. } => {
                "take the permission away with chmod o-w, or set DTCL_HOME to another directory"
            }
            HomeError::NotADirectory { .. } => "move it away, or set DTCL_HOME to another directory",
            HomeError::Locked { .. } => {
                "wait until it has ended, or set DTCL_HOME to another directory for this run"
            }
        };
        ApiError::new(code, error.to_string()).help(help)
    }
}

impl Home {
    /// The home that this process' environment and user choose.
    pub fn find() -> Result<Self, HomeError> {
        Self::choose(|name| std::env::var_os(name), nix::unistd::geteuid().is_root())
    }

    /// `DTCL_HOME`, else the system's places for root, else `dtcl` below the state directory of the user.
    fn choose(variable: impl Fn(&str) -> Option<OsString>, root: bool) -> Result<Self, HomeError> {
        let named = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let system_log = named("DTCL_SYSLOG");
        let heard = |home: Self| match system_log {
            Some(_) => Self { system_log, ..home },
            None => home,
        };
        if let Some(home) = named("DTCL_HOME") {
            return Ok(heard(Self::at(home)));
        }
        if root {
            return Ok(heard(Self::system()));
        }
        // The XDG specification: a relative path is invalid and counts as not set.
        let state = named("XDG_STATE_HOME").filter(|path| path.is_absolute());
        let state = state.or_else(|| {
            let home = named("HOME").filter(|path| path.is_absolute());
            let entry =
                || nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.dir);
            home.or_else(entry).map(|home| home.join(".local/state"))
        });
        state.map(|state| heard(Self::at(state.join("dtcl")))).ok_or(HomeError::Nowhere)
    }

    /// All places below one directory. A relative path starts at the current directory.
    pub fn at(home: impl AsRef<Path>) -> Self {
        let home = home.as_ref();
        let home = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
        Self {
            settings_file: home.join("etc/DT.conf"),
            state: home.join("lib"),
            queue: home.join("lib/queue"),
            log: home.join("log"),
            run: home.join("run"),
            data_root: home.join("data"),
            top: Some(home),
            system_log: None,
            original: None,
        }
    }

    /// The places that admins know, root's default.
    pub fn system() -> Self {
        Self {
            top: None,
            settings_file: "/etc/DT/DT.conf".into(),
            state: "/var/lib/DT".into(),
            queue: "/var/lib/DT/queue".into(),
            log: "/var/log/DT".into(),
            run: "/run/DT".into(),
            data_root: "/".into(),
            system_log: Some("/dev/log".into()),
            original: None,
        }
    }

    /// Places below a directory for a copy of what this home keeps. What belongs to this one belongs to no set there either, and
    /// replicas would come to lie where they do here.
    pub(in crate::engine) fn rehearsed_at(&self, top: &Path) -> Self {
        Self { data_root: self.data_root.clone(), original: Some(Box::new(self.clone())), ..Self::at(top) }
    }

    /// The directories of the home that this is a copy of.
    pub(in crate::engine) fn original_dirs(&self) -> impl Iterator<Item = &Path> {
        self.original.iter().flat_map(|original| original.own_dirs())
    }

    /// -111 while an engine runs here. Nothing is made or written.
    pub(in crate::engine) fn is_free(&self) -> Result<(), HomeError> {
        HomeLock::is_free(&self.run)
    }

    /// `DT.conf`.
    pub fn settings_file(&self) -> &Path {
        &self.settings_file
    }

    /// Default of `DataPath`: databases and keys.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Default of `QJournalDir`.
    pub fn queue_dir(&self) -> &Path {
        &self.queue
    }

    /// Default of `LogDir`.
    pub fn log_dir(&self) -> &Path {
        &self.log
    }

    /// Socket and lock.
    pub fn run_dir(&self) -> &Path {
        &self.run
    }

    /// Where replicas come to lie when a connection's map does not say (JOB-05).
    pub fn data_root(&self) -> &Path {
        &self.data_root
    }

    /// The socket of the system's log that events go to (`DTCL_SYSLOG`).
    pub fn system_log(&self) -> Option<&Path> {
        self.system_log.as_deref()
    }

    /// With another one.
    pub fn with_system_log(self, socket: impl Into<PathBuf>) -> Self {
        Self { system_log: Some(socket.into()), ..self }
    }

    /// What to call this home in a message.
    pub fn describe(&self) -> String {
        match &self.top {
            Some(top) => top.display().to_string(),
            None => format!("{} and {}", "/etc/DT", self.state.display()),
        }
    }

    fn etc(&self) -> &Path {
        self.settings_file.parent().unwrap_or(Path::new("/"))
    }

    fn own_dirs(&self) -> impl Iterator<Item = &Path> {
        let top = self.top.as_deref();
        top.into_iter().chain([self.etc(), &self.state, &self.queue, &self.log, &self.run])
    }

    /// Makes the directories that are missing, for this user only, and refuses ones that others could change.
    pub fn create(&self) -> Result<(), HomeError> {
        for path in self.own_dirs() {
            make_private(path)?;
        }
        Ok(())
    }

    /// Takes the lock that keeps a second engine away. The directories must exist.
    pub fn lock(&self) -> Result<HomeLock, HomeError> {
        HomeLock::take(&self.run)
    }

    /// Device and inode of each directory that never belongs to a set: the home's own and those `also` named by
    /// settings. Ones that do not exist are left out, so ask after `create`.
    pub fn forbidden<'a>(&'a self, also: impl IntoIterator<Item = &'a Path>) -> Vec<(u64, u64)> {
        // What else the product keeps there belongs to it as well (log-lines.md).
        let cache = self.top.is_none().then_some(Path::new("/var/cache/DT"));
        let mut found: Vec<(u64, u64)> = self
            .own_dirs()
            .chain(cache)
            .chain(self.original_dirs())
            .chain(also)
            .filter_map(|path| fs::metadata(path).ok())
            .filter(fs::Metadata::is_dir)
            .map(|status| (status.dev(), status.ino()))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Makes a directory and its missing parents with mode 0700; an existing one must be the user's or root's.
pub(in crate::engine) fn make_private(path: &Path) -> Result<(), HomeError> {
    let make = |error| HomeError::Make { path: path.to_owned(), error };
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(HomeError::NotADirectory { path: path.to_owned() });
        }
        Err(error) => return Err(make(error)),
    }
    let status = fs::metadata(path).map_err(make)?;
    if status.uid() != 0 && status.uid() != nix::unistd::geteuid().as_raw() {
        return Err(HomeError::Owner { path: path.to_owned(), owner: status.uid() });
    }
    // With the sticky bit nobody can replace what is the user's own.
    if status.mode() & 0o1002 == 0o0002 {
        return Err(HomeError::Open { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn choose(variables: &[(&str, &str)], root: bool) -> Home {
        let look = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Home::choose(look, root).unwrap()
    }

    #[test]
    fn one_variable_moves_all_places() {
        let home = choose(&[("DTCL_HOME", "/x/h"), ("HOME", "/home/anna")], true);
        assert_eq!(home, Home::at("/x/h"));
        assert_eq!(home.settings_file(), Path::new("/x/h/etc/DT.conf"));
        assert_eq!(home.state_dir(), Path::new("/x/h/lib"));
        assert_eq!(home.queue_dir(), Path::new("/x/h/lib/queue"));
        assert_eq!(home.log_dir(), Path::new("/x/h/log"));
        assert_eq!(home.run_dir(), Path::new("/x/h/run"));
        assert_eq!(home.data_root(), Path::new("/x/h/data"));
    }

    #[test]
    fn defaults_of_root_and_of_users() {
        assert_eq!(choose(&[("DTCL_HOME", ""), ("HOME", "/root")], true), Home::system());
        assert_eq!(Home::system().data_root(), Path::new("/"));
        let users = [("HOME", "/home/anna")];
        assert_eq!(choose(&users, false), Home::at("/home/anna/.local/state/dtcl"));
        assert_eq!(choose(&[users[0], ("XDG_STATE_HOME", "/st")], false), Home::at("/st/dtcl"));
        assert_eq!(
            choose(&[users[0], ("XDG_STATE_HOME", "st")], false),
            Home::at("/home/anna/.local/state/dtcl"),
            "a relative path is not valid there"
        );
    }

    #[test]
    fn directories_are_private_and_known_by_inode() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("deep/home"));
        assert!(home.forbidden([]).is_empty(), "looking makes nothing");
        assert!(!dir.path().join("deep").exists());
        home.create().unwrap();
        home.create().unwrap();
        for path in home.own_dirs() {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700, "{path:?}");
        }
        assert!(!home.data_root().exists(), "made when a replica needs it");
        assert_eq!(home.forbidden([]).len(), 6);
        let status = fs::metadata(home.log_dir()).unwrap();
        assert!(home.forbidden([]).contains(&(status.dev(), status.ino())));
        assert_eq!(home.forbidden([dir.path()]).len(), 7);
    }

    #[test]
    fn a_home_that_others_can_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("h"));
        home.create().unwrap();
        fs::set_permissions(home.state_dir(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = home.create().unwrap_err();
        assert!(matches!(&error, HomeError::Open { path } if path == home.state_dir()), "{error}");
        assert!(ApiError::from(error).help.unwrap().contains("chmod"));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lib"), "").unwrap();
        let error = Home::at(dir.path()).create().unwrap_err();
        assert!(matches!(&error, HomeError::NotADirectory { path } if path.ends_with("lib")), "{error}");
    }
}
