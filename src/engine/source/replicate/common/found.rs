//! Where entries of the source are: by the keys that events and listings told, or by their names.

use super::super::model::Identity;
use super::{Common, RootPlace};
use crate::engine::connect::mounts::Mounts;
use crate::engine::source::capture::Key;
use crate::sys::{self, Dir, Stat};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

/// Entries whose keys are remembered while there is something to send, some 80 bytes each; then all are forgotten.
const RECENT: usize = 256 * 1024;

/// What its key says of a file.
pub(in super::super) enum ByKey {
    Open(File, Stat),
    /// It is no more; what is left of it goes with the events that say so.
    Gone,
    /// It has no key, or is not to be reached by it.
    Unknown,
}

impl Common {
    /// Opens a directory by its key, if that shows it below its root: then it does not matter where it has moved meanwhile.
    /// None: its path has to tell.
    pub(in super::super) fn open_by_key(&self, root: u16, key: &Key, id: &Identity) -> Option<Dir> {
        let dir = self.capture.open_dir(key).ok()??;
        self.is_within(root, &dir, &Stat::of(&dir).ok()?, id).then_some(dir)
    }

    /// The same for an entry of any kind whose key was noted lately, by `O_PATH`.
    pub(in super::super) fn hold_by_key(&self, root: u16, id: &Identity) -> ByKey {
        self.found_by_key(root, id, |key| Ok(self.capture.hold(key)?.map(File::from)))
    }

    /// The same for a file, to be read.
    pub(in super::super) fn open_file_by_key(&self, root: u16, id: &Identity) -> ByKey {
        self.found_by_key(root, id, |key| self.capture.open_file(key, (id.dev, id.ino)))
    }

    fn found_by_key(
        &self,
        root: u16,
        id: &Identity,
        open: impl FnOnce(&Key) -> io::Result<Option<File>>,
    ) -> ByKey {
        let file = match self.key_of(id).map(|key| open(&key)) {
            Some(Ok(Some(file))) => file,
            Some(Ok(None)) => return ByKey::Gone,
            Some(Err(_)) | None => return ByKey::Unknown,
        };
        match Stat::of(&file) {
            Ok(stat) if stat.links == 0 => ByKey::Gone,
            Ok(stat) if self.is_within(root, &file, &stat, id) => ByKey::Open(file, stat),
            _ => ByKey::Unknown,
        }
    }

    pub(in super::super) fn key_of(&self, id: &Identity) -> Option<Key> {
        self.recent().get(id).cloned()
    }

    /// Is it this object, with a name below its root?
    fn is_within(&self, root: u16, fd: impl AsFd, stat: &Stat, id: &Identity) -> bool {
        let Some(RootPlace { real, .. }) = self.roots.get(&root) else { return false };
        let Ok(path) = sys::path_of(fd) else { return false };
        let is_below = Path::new(OsStr::from_bytes(&path)).starts_with(OsStr::from_bytes(real));
        stat.links > 0 && Identity::of(stat) == *id && is_below
    }

    /// The keys by which events told of entries lately.
    fn recent(&self) -> MutexGuard<'_, HashMap<Identity, Key>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event told of an entry by this key.
    pub(in super::super) fn note_key(&self, id: Identity, key: &Key) {
        let mut recent = self.recent();
        if recent.len() >= RECENT {
            recent.clear();
        }
        recent.insert(id, key.clone());
    }

    /// Nothing is left to be sent: nothing is kept open for it, and what is not owed is not remembered either.
    pub(in super::super) fn rest(&self) {
        if !self.is_owing() {
            self.recent().clear();
        }
        self.capture.let_go();
    }

    /// Does the name lead to this inode at the moment? The model is held meanwhile: what changes later is looked at later.
    pub(in super::super) fn stands_at(&self, id: &Identity, root: u16, path: &[u8], name: &[u8]) -> bool {
        let Some(place) = self.roots.get(&root) else { return false };
        let found = Dir::open_root(&place.path).and_then(|top| {
            let dir = if path.is_empty() { top } else { top.descend(&sys::c_string(path)?)? };
            dir.stat(&sys::c_string(name)?)
        });
        found.is_ok_and(|stat| Identity::of(&stat) == *id)
    }

    /// The places where something is mounted now.
    pub(in super::super) fn mount_points(&self) -> Vec<PathBuf> {
        // Without the table the events of the mounts themselves are all there is.
        Mounts::read().map(|mounts| mounts.points().map(PathBuf::from).collect()).unwrap_or_default()
    }
}
