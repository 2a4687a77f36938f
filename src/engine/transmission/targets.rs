//! The targets that this source sends to, or was told something about: one [`Transmission`] for each address, kept in
//! `schedule.sts` (TRN-11).
//!
//! A target is known by all names that were typed for it, and by the address that one of them led to: a port is part of it, as
//! another port is another machine's. Names decide where they can, so nothing is looked up that was met before.

use super::{Kept, Rules, Transmission};
use crate::api::ApiError;
use crate::engine::connect::address::{Address, DEFAULT_PORT, is_here, is_own_address};
use crate::engine::store::Schedules;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names of this machine are one target.
const HERE: &str = "localhost";

/// See the module.
pub struct Targets {
    file: PathBuf,
    rules: Rules,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// None: nothing is kept yet.
    store: Option<Schedules>,
    all: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    row: Option<i64>,
    /// As they were typed, with their port.
    names: Vec<String>,
    address: Option<SocketAddr>,
    transmission: Arc<Transmission>,
}

impl std::fmt::Debug for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Targets({:?})", self.lock().all)
    }
}

impl Targets {
    /// What is kept; a file that is not there yet is made when there is something to keep. An error for one that cannot be used.
    pub fn open(file: PathBuf, rules: Rules) -> Result<Targets, ApiError> {
        let mut open = Open::default();
        if file.exists() {
            let store = Schedules::open(&file)?;
            for (row, names, address, kept) in store.list()? {
                let transmission = Arc::new(Transmission::of(kept, Some(&rules)));
                open.all.push(Target { row: Some(row), names, address, transmission });
            }
            open.store = Some(store);
        }
        Ok(Targets { file, rules, open: Mutex::new(open) })
    }

    /// How this machine is sent to.
    pub fn here(&self) -> Arc<Transmission> {
        let mut open = self.lock();
        let at = open.at(HERE, None, &self.rules);
        Arc::clone(&open.all[at].transmission)
    }

    /// How the target of that name is sent to. -109 for a name that was never met and leads nowhere. May look it up.
    pub fn named(&self, name: &str) -> Result<Arc<Transmission>, ApiError> {
        if is_here(name) {
            return Ok(self.here());
        }
        let address = Address::parse(name)?;
        let key = key_of(&address);
        if let Some(target) = self.lock().all.iter().find(|target| target.names.contains(&key)) {
            return Ok(Arc::clone(&target.transmission));
        }
        let addresses = address.look_up()?;
        if address.port.is_none() && addresses.iter().all(|address| is_own_address(address.ip())) {
            return Ok(self.here());
        }
        let found = addresses.first().copied();
        let mut open = self.lock();
        let at = open.at(&key, found, &self.rules);
        let target = &open.all[at];
        let transmission = Arc::clone(&target.transmission);
        let is_kept = target.row.is_some();
        drop(open);
        if is_kept {
            // After a restart it is this name that decides, as nothing is looked up then.
            self.keep(&transmission)?;
        }
        Ok(transmission)
    }

    /// As [`named`](Self::named), for a connection of before: it is not looked up.
    pub fn known(&self, name: &str) -> Result<Arc<Transmission>, ApiError> {
        let address = Address::parse(name)?;
        // One that is written as an address needs no look-up.
        let ip = address.host.parse::<IpAddr>().ok();
        let found = ip.map(|ip| SocketAddr::new(ip, address.port.unwrap_or(DEFAULT_PORT)));
        let mut open = self.lock();
        let at = open.at(&key_of(&address), found, &self.rules);
        Ok(Arc::clone(&open.all[at].transmission))
    }

    /// All that were met: a name of each, and how it is sent to. In the order in which they were.
    pub fn list(&self) -> Vec<(String, Arc<Transmission>)> {
        let name = |target: &Target| {
            let name = target.names.first().cloned().unwrap_or_default();
            let usual = format!(":{DEFAULT_PORT}");
            (name.strip_suffix(&usual).map_or(name.clone(), str::to_owned), Arc::clone(&target.transmission))
        };
        self.lock().all.iter().map(name).collect()
    }

    /// Keeps how it stands.
    pub fn keep(&self, transmission: &Arc<Transmission>) -> Result<(), ApiError> {
        let mut open = self.lock();
        if open.store.is_none() {
            open.store = Some(Schedules::open(&self.file)?);
        }
        let Open { store, all } = &mut *open;
        let target = all.iter_mut().find(|target| Arc::ptr_eq(&target.transmission, transmission));
        if let (Some(store), Some(target)) = (store, target) {
            target.row = Some(store.set(target.row, &target.names, target.address, &transmission.kept())?);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Where the target is, made if need be; a name or an address that was not known of it is from now on.
    fn at(&mut self, key: &str, address: Option<SocketAddr>, rules: &Rules) -> usize {
        let same = |target: &Target| {
            target.names.iter().any(|name| name == key) || (address.is_some() && target.address == address)
        };
        let at = self.all.iter().position(same).unwrap_or_else(|| {
            let transmission = Arc::new(Transmission::of(Kept::default(), Some(rules)));
            self.all.push(Target { row: None, names: Vec::new(), address: None, transmission });
            self.all.len() - 1
        });
        let target = &mut self.all[at];
        if !target.names.iter().any(|name| name == key) {
            target.names.push(key.to_owned());
        }
        target.address = target.address.or(address);
        at
    }
}

/// Names compare without case, and none without a port.
fn key_of(address: &Address) -> String {
    let port = address.port.or(Some(DEFAULT_PORT));
    Address { host: address.host.to_lowercase(), port }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TransmissionStep::{Pause, Start, Stop};
    use crate::engine::transmission::Mode;

    fn rules() -> Rules {
        Arc::new(Default::default)
    }

    #[test]
    fn names_of_one_address_are_one_target_and_another_port_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let targets = Targets::open(dir.path().join("schedule.sts"), rules()).unwrap();
        let same = |one: &str, other: &str| {
            Arc::ptr_eq(&targets.named(one).unwrap(), &targets.named(other).unwrap())
        };
        assert!(same("192.0.2.7", "192.0.2.7:1500") && same("[2001:db8::7]", "2001:db8::7"));
        assert!(!same("192.0.2.7", "192.0.2.7:1501") && !same("192.0.2.7", "192.0.2.8"));
        // A connection of before that was made by a number.
        let known = targets.known("192.0.2.9").unwrap();
        assert_eq!(targets.lock().all.last().unwrap().address, "192.0.2.9:1500".parse().ok());
        assert!(Arc::ptr_eq(&known, &targets.named("192.0.2.9:1500").unwrap()));
        assert!(same("localhost", "LOCALHOST") && same("127.0.0.1", "localhost"));
        assert!(!same("localhost:1501", "localhost"), "a name with a port is dialled");
        assert!(same("localhost:1501", "127.0.0.1:1501") || same("localhost:1501", "[::1]:1501"));
        assert_eq!(targets.named("no name").unwrap_err().code.number(), 101);
        assert!(!dir.path().join("schedule.sts").exists());
    }

    /// TRN-02: until it is started again by hand.
    #[test]
    fn how_a_target_is_sent_to_is_kept_with_all_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("schedule.sts");
        let targets = Targets::open(file.clone(), rules()).unwrap();
        let beta = targets.named("192.0.2.7").unwrap();
        beta.step(Stop, "beta").unwrap();
        targets.keep(&beta).unwrap();
        let here = targets.here();
        here.step(Pause, "here").unwrap();
        here.pause_target(true, "here").unwrap();
        targets.keep(&here).unwrap();
        here.step(Start, "here").unwrap();
        targets.keep(&here).unwrap();
        let targets = Targets::open(file, rules()).unwrap();
        assert_eq!(targets.known("192.0.2.7:1500").unwrap().kept().mode, Mode::Stopped);
        assert!(!targets.known("192.0.2.7").unwrap().is_open());
        assert_eq!(targets.here().kept(), Kept { target_paused: true, ..Kept::default() });
        assert!(targets.known("192.0.2.9").unwrap().is_open());
    }
}
