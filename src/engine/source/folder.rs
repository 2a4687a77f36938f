//! A directory of the source, as operations about it need it: it stays when its handle is closed.

use crate::sys::{Meta, Stat, Xattrs};
use std::sync::{Arc, Mutex, PoisonError};

/// One directory of a root.
#[derive(Debug)]
pub(super) struct Folder {
    pub root: u16,
    /// Names joined by `/`; empty for the root.
    pub path: Vec<u8>,
    /// Device and inode.
    pub id: (u64, u64),
    pub meta: Meta,
    pub xattrs: Xattrs,
    pub parent: Option<Arc<Folder>>,
    own: OwnMeta,
    state: Mutex<State>,
}

/// When a directory's own metadata is part of the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnMeta {
    /// It belongs to the set.
    Always,
    /// It only leads to something that belongs: when it has to be made.
    WhenMade,
    /// It holds a root that is a single file.
    Never,
}

/// Files of it may still be under way when the walk has left it; its own times go last (architecture.md 3).
#[derive(Debug, Default)]
struct State {
    /// Files begun and not ended.
    pending: u32,
    /// The walk has left it.
    left: bool,
    /// Something was made or removed in it, or its metadata differs.
    touched: bool,
    /// The target has it, as far as is known.
    on_target: bool,
}

impl Folder {
    pub(super) fn new(
        root: u16,
        path: Vec<u8>,
        stat: &Stat,
        xattrs: Xattrs,
        parent: Option<Arc<Folder>>,
        own: OwnMeta,
    ) -> Arc<Self> {
        let (id, meta) = (stat.id(), stat.meta);
        Arc::new(Self { root, path, id, meta, xattrs, parent, own, state: Mutex::default() })
    }

    /// It belongs to the set itself.
    pub(super) fn belongs(&self) -> bool {
        self.own == OwnMeta::Always
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The target has it.
    pub(super) fn found(&self) {
        self.state().on_target = true;
    }

    /// Its metadata has to be sent at the end.
    pub(super) fn touch(&self) {
        if self.belongs() {
            self.state().touched = true;
        }
    }

    /// An operation is about to be sent for it: when the target lacks it, it is made, and those above it with it.
    pub(super) fn make(&self) {
        let mut state = self.state();
        if state.on_target {
            return;
        }
        state.on_target = true;
        state.touched = self.own != OwnMeta::Never;
        drop(state);
        if let Some(parent) = &self.parent {
            parent.make();
            parent.touch();
        }
    }

    pub(super) fn begin_file(&self) {
        self.state().pending += 1;
    }

    /// True: the last file after the walk left; metadata is due.
    pub(super) fn end_file(&self) -> bool {
        let mut state = self.state();
        state.pending = state.pending.saturating_sub(1);
        state.pending == 0 && state.left && state.touched
    }

    /// The walk leaves. True: metadata is due now.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.state();
        state.left = true;
        state.pending == 0 && state.touched
    }

    /// The path with a name below it.
    pub(super) fn join(&self, name: &[u8]) -> Vec<u8> {
        join(&self.path, name)
    }
}

/// A path's directory and its last name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&path[..0], path),
    }
}

/// Two paths joined; either may be empty.
pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    match (path.is_empty(), name.is_empty()) {
        (true, _) => name.to_vec(),
        (_, true) => path.to_vec(),
        _ => [path, b"/", name].concat(),
    }
}
