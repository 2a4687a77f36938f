//! Capture that tests drive by hand.

use super::{Capture, Change, Gap, Key, Look, Looks, Place};
use crate::engine::replication::Backend;
use crate::sys::{self, Dir, Handle, Stat};
use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Capture without a kernel: keys are made of device and inode, looks and gaps come from the test.
#[derive(Debug, Default)]
pub(in crate::engine) struct Driven {
    looks: Arc<Looks>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Looks that only a drain finds, and how many drains before that do not.
    unread: Vec<(u32, Look)>,
    paths: HashMap<Key, Option<Vec<u8>>>,
    forgotten: Vec<Key>,
    refusal: Option<io::ErrorKind>,
    ended: Option<String>,
}

impl Driven {
    pub(in crate::engine) fn new() -> Arc<Driven> {
        Arc::default()
    }

    /// The key of a directory or other object.
    pub(in crate::engine) fn key(stat: &Stat) -> Key {
        let bytes = [stat.dev.to_ne_bytes(), stat.ino.to_ne_bytes()].concat();
        Key::new(0, Handle::new(0, &bytes))
    }

    /// As if the reading thread had read this.
    pub(in crate::engine) fn push(&self, look: Look) {
        self.looks.add(look);
    }

    /// A change at a name of a directory.
    pub(in crate::engine) fn name(&self, dir: &Key, name: &[u8], change: Change) {
        let place = Place::Name { dir: dir.clone(), name: name.into() };
        self.push(Look { place, change, object: None, from: None });
    }

    /// As if nothing could be read any more.
    pub(in crate::engine) fn end(&self, why: &str) {
        self.state().ended = Some(why.to_owned());
    }

    pub(in crate::engine) fn gap(&self, gap: Gap) {
        self.looks.gap(gap);
    }

    /// As if the kernel held this and nobody had read it: the next drain finds it.
    pub(in crate::engine) fn later(&self, look: Look) {
        self.state().unread.push((0, look));
    }

    /// As if it came into the kernel's queue only after so many drains: the next one finds it.
    pub(in crate::engine) fn after_drains(&self, drains: u32, look: Look) {
        self.state().unread.push((drains, look));
    }

    /// The same after one.
    pub(in crate::engine) fn after_next_drain(&self, look: Look) {
        self.after_drains(1, look);
    }

    /// What [`Capture::resolve`] says of a key from now on, instead of the path it was registered by.
    pub(in crate::engine) fn resolves_to(&self, key: &Key, path: Option<&[u8]>) {
        self.state().paths.insert(key.clone(), path.map(Into::into));
    }

    /// Registering fails with this from now on.
    pub(in crate::engine) fn refuse(&self, error: Option<io::ErrorKind>) {
        self.state().refusal = error;
    }

    pub(in crate::engine) fn forgotten(&self) -> Vec<Key> {
        self.state().forgotten.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capture for Driven {
    fn looks(&self) -> &Arc<Looks> {
        &self.looks
    }

    fn register(&self, dir: &Dir) -> io::Result<Key> {
        let mut state = self.state();
        if let Some(kind) = state.refusal {
            return Err(kind.into());
        }
        let key = Driven::key(&Stat::of(dir)?);
        state.paths.insert(key.clone(), Some(sys::path_of(dir)?));
        Ok(key)
    }

    fn forget(&self, key: &Key) {
        self.state().forgotten.push(key.clone());
    }

    fn drain(&self) {
        let unread = std::mem::take(&mut self.state().unread);
        for (drains, look) in unread {
            match drains.checked_sub(1) {
                None => self.looks.add(look),
                Some(drains) => self.state().unread.push((drains, look)),
            }
        }
    }

    fn resolve(&self, key: &Key) -> io::Result<Option<(Stat, Vec<u8>)>> {
        use std::os::unix::ffi::OsStrExt;
        let Some(Some(path)) = self.state().paths.get(key).cloned() else { return Ok(None) };
        let there = std::path::Path::new(std::ffi::OsStr::from_bytes(&path));
        let Ok(stat) = std::fs::File::open(there).and_then(Stat::of) else { return Ok(None) };
        Ok((Driven::key(&stat) == *key).then_some((stat, path)))
    }

    fn stat(&self, key: &Key) -> io::Result<Option<Stat>> {
        Ok(self.resolve(key)?.map(|(stat, _)| stat))
    }

    fn open_dir(&self, _key: &Key) -> io::Result<Option<Dir>> {
        Ok(None)
    }

    fn hold(&self, _key: &Key) -> io::Result<Option<OwnedFd>> {
        Ok(None)
    }

    fn key_of_entry(&self, _key: &Key, _dir: &Dir, _name: &CStr) -> Option<Key> {
        None
    }

    fn let_go(&self) {}

    fn backends(&self) -> Vec<Backend> {
        vec![Backend { place: "/".to_owned(), name: "driven", reason: Some("a test".to_owned()) }]
    }

    fn ended(&self) -> Option<String> {
        self.state().ended.clone()
    }

    fn stop(&self) {}
}

#[cfg(test)]
mod tests {
    use super::super::Batch;
    use super::*;

    #[test]
    fn what_the_kernel_still_holds_is_found_by_a_drain() {
        let dir = tempfile::tempdir().unwrap();
        let capture = Driven::new();
        let key = capture.register(&Dir::open_root(dir.path()).unwrap()).unwrap();
        let look = Look {
            place: Place::Directory { dir: key.clone() },
            change: Change::META,
            object: None,
            from: None,
        };
        capture.later(look.clone());
        assert!(capture.looks().is_empty());
        capture.drain();
        let mut batch = Batch::default();
        capture.looks().take(&mut batch);
        assert_eq!(batch.looks, [look]);
        let found = capture.resolve(&key).unwrap().unwrap();
        assert_eq!(found.1, dir.path().as_os_str().as_encoded_bytes());
        capture.resolves_to(&key, None);
        assert!(capture.resolve(&key).unwrap().is_none());
    }
}
