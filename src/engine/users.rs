//! The credential file of a home: users that log in with a password kept here (argon2id), whatever the host's own users are.
//!
//! One line a user: name, group, hash. The file is replaced as a whole, and read at each login, so that a change counts at once.

use super::home::make_private;
use super::own_file;
use crate::api::{Access, ApiError, Code};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The groups, and what each grants.
pub const GROUPS: [(&str, Access); 2] = [("dtadmin", Access::Full), ("dtmon", Access::Monitor)];

/// Longest name and password (LOG-05), in characters.
const FIELD: usize = 100;

/// The credential file of one home.
#[derive(Clone, Debug)]
pub struct Users {
    directory: PathBuf,
}

/// A user of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub group: String,
    hash: String,
}

impl User {
    pub fn access(&self) -> Access {
        access_of(&self.group).unwrap_or(Access::None)
    }
}

fn access_of(group: &str) -> Option<Access> {
    GROUPS.iter().find(|(name, _)| *name == group).map(|(_, access)| *access)
}

impl Users {
    /// `directory`: of the home's state (`DataPath`). Nothing is made before a user is added.
    pub fn of(directory: impl Into<PathBuf>) -> Users {
        Users { directory: directory.into() }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("users")
    }

    /// All users, in the order of their names.
    pub fn list(&self) -> Result<Vec<User>, ApiError> {
        let read = own_file::read(&self.path(), 0o022).map_err(|error| self.failed("used", &error))?;
        let text = String::from_utf8_lossy(read.as_deref().unwrap_or_default());
        let user = |line: &str| {
            let mut fields = line.split('\t').map(str::to_owned);
            Some(User { name: fields.next()?, group: fields.next()?, hash: fields.next()? })
        };
        Ok(text.lines().filter_map(user).collect())
    }

    /// What the user's password grants; Some(None): it is another. None: there is no such user here, which is told at once.
    pub fn check(&self, name: &str, password: &str) -> Result<Option<Option<Access>>, ApiError> {
        let user = self.list()?.into_iter().find(|user| user.name == name);
        let accepted = |hash: &str| {
            let hash = PasswordHash::new(hash).ok();
            hash.is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        };
        Ok(user.map(|user| accepted(&user.hash).then(|| user.access())))
    }

    /// Adds a user. -101 for a name that is there or cannot be one, an unknown group, an empty password.
    pub fn add(&self, name: &str, group: &str, password: &str) -> Result<(), ApiError> {
        vet(name, password)?;
        if access_of(group).is_none() {
            return Err(
                invalid(format!("there is no group {group}")).help("dtadmin, or dtmon for monitor access")
            );
        }
        let hash = hashed(password)?;
        self.change(|users| {
            if users.iter().any(|user| user.name == name) {
                return Err(invalid(format!("the user {name} exists")).help(format!(
                    "DTCL user passwd {name} changes the password, DTCL user remove {name} takes it away"
                )));
            }
            users.push(User { name: name.to_owned(), group: group.to_owned(), hash });
            Ok(())
        })
    }

    /// Changes a password.
    pub fn set_password(&self, name: &str, password: &str) -> Result<(), ApiError> {
        vet(name, password)?;
        let hash = hashed(password)?;
        self.change(|users| {
            let user = users.iter_mut().find(|user| user.name == name).ok_or_else(|| unknown(name))?;
            user.hash = hash;
            Ok(())
        })
    }

    pub fn remove(&self, name: &str) -> Result<(), ApiError> {
        self.change(|users| {
            let at = users.iter().position(|user| user.name == name).ok_or_else(|| unknown(name))?;
            users.remove(at);
            Ok(())
        })
    }

    /// Reads, changes and replaces the file, one at a time.
    fn change(&self, change: impl FnOnce(&mut Vec<User>) -> Result<(), ApiError>) -> Result<(), ApiError> {
        make_private(&self.directory)?;
        let failed = |error: std::io::Error| self.failed("written", &error);
        let lock = private(&self.directory.join("users.lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut users = self.list()?;
        change(&mut users)?;
        users.sort_by(|a, b| a.name.cmp(&b.name));
        let text: String =
            users.iter().map(|user| format!("{}\t{}\t{}\n", user.name, user.group, user.hash)).collect();
        own_file::replace(&self.path(), text.as_bytes()).map_err(failed)
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> ApiError {
        let path = self.path();
        ApiError::new(Code::UnknownError, format!("{} cannot be {what}: {error}", path.display()))
            .help("run it as the user who owns the home")
    }
}

/// A file for this user only.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(libc::O_NOFOLLOW).open(path)
}

fn vet(name: &str, password: &str) -> Result<(), ApiError> {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != ':';
    if name.is_empty() || name.chars().count() > FIELD || !name.chars().all(plain) {
        return Err(invalid(format!("{name:?} cannot be a user's name"))
            .help("1 to 100 characters, none of them a blank, a colon or a control character"));
    }
    if password.is_empty() || password.chars().count() > FIELD {
        return Err(invalid("a password has 1 to 100 characters".to_owned())
            .help("write it on standard input, on one line"));
    }
    Ok(())
}

/// A hash that takes as long as that of a user, for one that does not exist.
pub fn pretend() {
    let _ = hashed("nobody");
}

fn hashed(password: &str) -> Result<String, ApiError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string())
        .map_err(|error| ApiError::new(Code::UnknownError, format!("the password cannot be hashed: {error}")))
}

fn unknown(name: &str) -> ApiError {
    invalid(format!("there is no user {name} in this home")).help("DTCL user list shows them")
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterWasSupplied, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn users() -> (tempfile::TempDir, Users) {
        let dir = tempfile::tempdir().unwrap();
        let users = Users::of(dir.path().join("state"));
        (dir, users)
    }

    #[test]
    fn a_password_is_checked_and_not_kept() {
        let (_dir, users) = users();
        assert_eq!(users.check("anna", "secret"), Ok(None));
        users.add("anna", "dtadmin", "secret").unwrap();
        users.add("ben", "dtmon", "other").unwrap();
        assert_eq!(users.check("anna", "secret"), Ok(Some(Some(Access::Full))));
        assert_eq!(users.check("ben", "other"), Ok(Some(Some(Access::Monitor))));
        assert_eq!(users.check("anna", "other"), Ok(Some(None)));
        assert_eq!(users.check("carl", "secret"), Ok(None));
        users.set_password("anna", "newer").unwrap();
        assert_eq!(users.check("anna", "secret"), Ok(Some(None)));
        assert_eq!(users.check("anna", "newer"), Ok(Some(Some(Access::Full))));
        let text = std::fs::read_to_string(users.path()).unwrap();
        assert!(text.contains("$argon2id$") && !text.contains("newer"), "{text}");
        assert_eq!(std::fs::metadata(users.path()).unwrap().permissions().mode() & 0o777, 0o600);
        users.remove("anna").unwrap();
        assert_eq!(users.check("anna", "newer"), Ok(None));
        let names: Vec<String> = users.list().unwrap().into_iter().map(|user| user.name).collect();
        assert_eq!(names, ["ben"]);
    }

    #[test]
    fn what_cannot_be_a_user_is_refused_and_nothing_changes() {
        let (_dir, users) = users();
        users.add("anna", "dtadmin", "secret").unwrap();
        let before = std::fs::read(users.path()).unwrap();
        let long = "x".repeat(101);
        for (name, group, password) in [
            ("anna", "dtmon", "again"),
            ("ben", "wheel", "secret"),
            ("ben", "dtmon", ""),
            ("b\tn", "dtmon", "secret"),
            ("b\nroot\tdtadmin\t", "dtmon", "secret"),
            ("", "dtmon", "secret"),
            (&long, "dtmon", "secret"),
            ("ben", "dtmon", &long),
        ] {
            let error = users.add(name, group, password).unwrap_err();
            assert_eq!(error.code, Code::InvalidParameterWasSupplied, "{name:?}");
        }
        assert!(users.remove("ben").is_err() && users.set_password("ben", "x").is_err());
        assert_eq!(std::fs::read(users.path()).unwrap(), before);
    }

    #[test]
    fn many_at_once_lose_nobody() {
        let (_dir, users) = users();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let users = &users;
                scope.spawn(move || users.add(&format!("user{n}"), "dtmon", "secret").unwrap());
            }
        });
        assert_eq!(users.list().unwrap().len(), 4);
    }
}
