//! Logins by password (LOG-01 to -06): the home's credential file, else the host's PAM. A failure is told after the same time whatever it
//! was, and who fails often has to wait.

use super::caller;
use crate::api::{Access, ApiError, Code};
use crate::engine::users::{Users, pretend};
use crate::sys::pam::Pam;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A failed login is told so long after it was asked for; PAM's own delay is mostly shorter.
const DELAY: Duration = Duration::from_secs(3);
/// So many failures are free; after that one more for each `PERIOD`.
const FREE: u32 = 5;
const PERIOD: Duration = Duration::from_secs(10);
/// Origins whose failures are remembered; then those of the longest ago are forgotten.
const ORIGINS: usize = 4096;
/// Passwords that are checked at a time, of users of the home and of the host: each takes a core and 19 MiB for a while.
const AT_ONCE: usize = 2;
/// The name of the rules in `/etc/pam.d`.
const RULES: &std::ffi::CStr = c"dtcl";

/// Where a login comes from: a user of this host, or an address (an IPv6 address counts by its /64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    User(u32),
    Address(IpAddr),
}

impl Origin {
    pub fn of(address: IpAddr) -> Origin {
        match address {
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => Origin::Address(IpAddr::V4(v4)),
                None => Origin::Address(IpAddr::V6((u128::from(v6) >> 64 << 64).into())),
            },
            v4 => Origin::Address(v4),
        }
    }
}

/// Checks passwords.
pub(super) struct Logins {
    users: Users,
    delay: Duration,
    room: Semaphore,
    host: Semaphore,
    failures: Mutex<HashMap<Origin, Failures>>,
}

/// Failures of one origin that count.
#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// When `count` was right; one is forgotten for each period since.
    at: Instant,
}

impl Failures {
    fn now(self, now: Instant) -> u32 {
        let forgotten = now.saturating_duration_since(self.at).as_secs() / PERIOD.as_secs();
        self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

impl Logins {
    pub fn new(users: Users) -> Logins {
        Self::with_delay(users, DELAY)
    }

    pub(super) fn with_delay(users: Users, delay: Duration) -> Logins {
        let (room, host) = (Semaphore::new(AT_ONCE), Semaphore::new(AT_ONCE));
        Logins { users, delay, room, host, failures: Mutex::default() }
    }

    /// What the user's password grants. -138 if it is not his, or there is no such user: which of them is not told.
    pub async fn check(
        self: Arc<Self>,
        user: String,
        password: String,
        origin: Origin,
    ) -> Result<Result<Access, ApiError>, ApiError> {
        let asked = Instant::now();
        if self.is_throttled(origin, asked) {
            self.wait(asked).await;
            return Err(ApiError::new(
                Code::InsufficientSecurityAccess,
                "too many logins have failed from there of late",
            )
            .help(format!("wait {} seconds before the next one", PERIOD.as_secs())));
        }
        // Counted before it is known, so that many at once are not free.
        self.count(origin, asked);
        let checked = self.verify(user.clone(), password, origin).await?;
        if let Some(access) = checked {
            self.take_back(origin);
            return Ok(Ok(access));
        }
        self.wait(asked).await;
        Ok(Err(refused(&user)))
    }

    async fn wait(&self, asked: Instant) {
        tokio::time::sleep((asked + self.delay).saturating_duration_since(Instant::now())).await;
    }

    /// None: it is not the password, or there is no such user. A user of the host has room of his own, so that modules that hang hold up
    /// no other.
    async fn verify(
        self: &Arc<Self>,
        user: String,
        password: String,
        origin: Origin,
    ) -> Result<Option<Access>, ApiError> {
        if password.is_empty() {
            return Ok(None);
        }
        let busy = |_| ApiError::new(Code::ServerIsNotResponding, "the service is ending");
        let room = self.room.acquire().await.map_err(busy)?;
        let (logins, name, secret) = (Arc::clone(self), user.clone(), password.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let checked = logins.users.check(&name, &secret);
            if matches!(checked, Ok(None)) {
                // As long as for one that is there.
                pretend();
            }
            checked
        });
        let checked = checked.await;
        drop(room);
        match checked {
            Ok(Ok(Some(checked))) => return Ok(checked),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(None),
        }
        let Some(pam) = pam() else { return Ok(None) };
        let _room = self.host.acquire().await.map_err(busy)?;
        let accepted = tokio::task::spawn_blocking(move || {
            let from = match origin {
                Origin::User(_) => None,
                Origin::Address(address) => Some(address.to_string()),
            };
            pam.accepts(RULES, &user, &password, from.as_deref()).then(|| caller::access_of_user(&user))
        });
        Ok(accepted.await.unwrap_or(None))
    }

    fn is_throttled(&self, origin: Origin, now: Instant) -> bool {
        let failures = self.failures();
        failures.get(&origin).is_some_and(|failures| failures.now(now) >= FREE)
    }

    fn count(&self, origin: Origin, now: Instant) {
        let mut failures = self.failures();
        if failures.len() >= ORIGINS {
            failures.retain(|_, failures| failures.now(now) > 0);
            if failures.len() >= ORIGINS {
                let oldest =
                    failures.iter().min_by_key(|(_, failures)| failures.at).map(|(origin, _)| *origin);
                oldest.map(|oldest| failures.remove(&oldest));
            }
        }
        let known = failures.entry(origin).or_insert(Failures { count: 0, at: now });
        *known = Failures { count: known.now(now) + 1, at: now };
    }

    /// One that succeeded is no failure; those before it are.
    fn take_back(&self, origin: Origin) {
        if let Some(failures) = self.failures().get_mut(&origin) {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<Origin, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host's PAM, where it has rules for this program: those that hold for any other are not meant for it.
fn pam() -> Option<Pam> {
    static PAM: OnceLock<Option<Pam>> = OnceLock::new();
    let ruled = ["/etc/pam.d/dtcl", "/usr/lib/pam.d/dtcl"].iter().any(|rules| Path::new(rules).exists());
    if ruled { *PAM.get_or_init(Pam::load) } else { None }
}

fn refused(user: &str) -> ApiError {
    ApiError::new(Code::InsufficientSecurityAccess, format!("{user} cannot log in with this password"))
        .help("check the user name and the password; DTCL user list shows the users of a home")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn logins(delay: Duration) -> (tempfile::TempDir, Arc<Logins>) {
        let dir = tempfile::tempdir().unwrap();
        let users = Users::of(dir.path());
        users.add("anna", "dtadmin", "secret").unwrap();
        users.add("ben", "dtmon", "secret").unwrap();
        (dir, Arc::new(Logins::with_delay(users, delay)))
    }

    fn check(logins: &Arc<Logins>, user: &str, password: &str, origin: Origin) -> Result<Access, ApiError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Arc::clone(logins).check(user.to_owned(), password.to_owned(), origin)).flatten()
    }

    const HERE: Origin = Origin::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));

    #[test]
    fn a_password_grants_what_its_users_group_does() {
        let (_dir, logins) = logins(Duration::ZERO);
        assert_eq!(check(&logins, "anna", "secret", HERE), Ok(Access::Full));
        assert_eq!(check(&logins, "ben", "secret", HERE), Ok(Access::Monitor));
    }

    #[test]
    fn a_wrong_password_and_an_unknown_user_are_told_alike_and_as_late() {
        let (_dir, logins) = logins(Duration::from_millis(400));
        let mut told = Vec::new();
        for user in ["anna", "nobody-of-this-name"] {
            let begin = Instant::now();
            let error = check(&logins, user, "wrong", HERE).unwrap_err();
            assert!(begin.elapsed() >= Duration::from_millis(400));
            told.push((error.code, error.message.replace(user, "<user>"), error.help));
        }
        assert_eq!(told[0], told[1]);
    }

    #[test]
    fn who_fails_often_waits_and_others_do_not() {
        let (_dir, logins) = logins(Duration::ZERO);
        for _ in 0..FREE {
            check(&logins, "anna", "", HERE).unwrap_err();
        }
        let error = check(&logins, "anna", "secret", HERE).unwrap_err();
        assert!(error.message.contains("too many logins"), "{error}");
        assert_eq!(check(&logins, "anna", "secret", Origin::User(7)), Ok(Access::Full));
        let later = Instant::now() + PERIOD;
        assert!(!logins.is_throttled(HERE, later), "one more after each period");
    }

    #[test]
    fn a_login_that_succeeds_does_not_make_failures_free() {
        let (_dir, logins) = logins(Duration::ZERO);
        for _ in 0..FREE {
            check(&logins, "ben", "secret", HERE).unwrap();
            check(&logins, "anna", "", HERE).unwrap_err();
        }
        assert!(check(&logins, "ben", "secret", HERE).unwrap_err().message.contains("too many logins"));
    }

    #[test]
    fn origins_are_bounded_and_an_address_counts_by_its_network() {
        let (_dir, logins) = logins(Duration::ZERO);
        for n in 0..2 * u32::try_from(ORIGINS).unwrap() {
            logins.count(Origin::User(n), Instant::now());
        }
        assert!(logins.failures().len() <= ORIGINS);
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
    }
}
