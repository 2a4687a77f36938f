//! What is not where the model has it: displaced, parked, found to be gone, removed.

use super::super::super::capture::Change;
use super::super::model::{Entry, Identity, Model, NONE, NodeId, flag};
use super::super::record::{At, Record};
use super::{CERTAIN, CHASES, Looker, PASSES, Standing, Told};
use crate::engine::replication::Hold;
use crate::engine::target::unfinished_name;
use crate::sys::{self, FileKind};
use std::io;
use std::sync::Arc;

impl Looker {
    /// Gives an entry a name of the engine's own, directly below its root, until it is known where it went.
    pub(super) fn park(&mut self, model: &mut Model, node: NodeId) {
        let (root, path, name) = model.place(node);
        let Some(top) = model.root(root) else { return };
        if self.is_doubtful(model, node) {
            // Whatever the target has there goes along.
            model.set(node, flag::VACATED);
        }
        let aside = unfinished_name();
        if model.has(node, flag::MADE) {
            let directory = model.entry(node).kind == FileKind::Directory;
            self.log_of(
                &Record::Rename {
                    id: model.entry(node).id,
                    at: At { root, path: b"", name: aside.to_bytes() },
                    from: At { root, path: &path, name: &name },
                    directory,
                },
                0,
                &[(node, directory), (model.parent(node), false)],
            );
        }
        let parent = model.parent(node);
        self.touched.insert(parent);
        self.touched.insert(top);
        if self.common.is_mirroring() && self.common.compared().is_none_or(|compared| compared.has(parent)) {
            // The mirror has not, or may not have, compared it.
            model.set(node, flag::DIRTY);
        }
        model.relocate(node, top, aside.to_bytes());
        model.set(node, flag::PARKED);
    }

    /// It is not where the model has it.
    pub(super) fn displace(&mut self, model: &mut Model, node: NodeId) {
        if model.is_root(node) {
            return;
        }
        if !model.has(node, flag::DISPLACED) {
            model.set(node, flag::DISPLACED);
            self.displaced.push((node, model.entry(node).id, self.batch + self.ahead));
            if self.ahead > 0 {
                self.later.insert(node);
            }
        } else if self.ahead == 0 && self.later.remove(&node) {
            // What tells that it left was looked at in this batch.
            let batch = self.batch;
            let known = self.displaced.iter_mut().filter(|(known, ..)| *known == node);
            known.for_each(|(.., missed)| *missed = batch.min(*missed));
        }
    }

    /// Does its name still lead to it?
    pub(super) fn standing(&mut self, model: &Model, node: NodeId) -> Standing {
        if model.has(node, flag::PARKED) {
            return Standing::Gone;
        }
        let parent = model.parent(node);
        if parent == NONE {
            return Standing::There;
        }
        let Ok(handle) = self.open_dir(model, parent) else { return Standing::Unknown };
        let Ok(name) = sys::c_string(model.name(node)) else { return Standing::Gone };
        match handle.stat(&name) {
            Ok(stat) if Identity::of(&stat) == model.entry(node).id => Standing::There,
            Ok(_) => Standing::Gone,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Standing::Gone,
            Err(_) => Standing::Unknown,
        }
    }

    /// Removes what was displaced in a batch up to this one and not found since.
    pub(super) fn flush_displaced(&mut self, model: &mut Model, upto: u64) {
        if self.displaced.is_empty() {
            self.chased.clear();
            self.later.clear();
            return;
        }
        let mut due = Vec::new();
        self.displaced.retain(|(node, id, batch)| {
            if *batch <= upto {
                due.push((*node, *id, *batch));
            }
            *batch > upto
        });
        due.retain(|(node, id, _)| model.is(*node, id) && model.has(*node, flag::DISPLACED));
        // Nothing goes that is there, whatever was concluded before.
        let mut gone = Vec::with_capacity(due.len());
        for (node, id, missed) in due {
            if !model.is(node, &id) {
                continue;
            }
            match self.standing(model, node) {
                Standing::Gone if self.is_on_its_way(model, node) => {
                    if model.is(node, &id) && model.has(node, flag::DISPLACED) {
                        self.displaced.push((node, id, missed));
                    }
                }
                Standing::Gone => gone.push((node, id)),
                Standing::There => {
                    let parent = model.parent(node);
                    let name = model.name(node).to_vec();
                    match self.open_dir(model, parent) {
                        Ok(handle) => {
                            self.settle_name(model, parent, &handle, &name, Change::LISTED, Told::default())
                        }
                        Err(_) => model.clear(node, flag::DISPLACED),
                    }
                }
                Standing::Unknown => {
                    // Its directory comes first.
                    let parent = model.parent(node);
                    self.displaced.push((node, id, missed));
                    self.displace(model, parent);
                }
            }
        }
        let due = gone;
        if due.is_empty() {
            return;
        }
        if let Some(hold) = self.refuse(model, &due) {
            // They stay displaced until somebody decides.
            let batch = self.batch;
            self.displaced.extend(due.into_iter().map(|(node, id)| (node, id, batch)));
            self.common.hold(hold);
            return;
        }
        for (node, id) in due {
            // One may have gone with the directory that it was in.
            if model.is(node, &id) {
                self.remove(model, node);
            }
        }
    }

    /// What was missed in this batch need not wait for events where its key tells what has become of it. Whatever left its place
    /// before this is missed by now: all that told of it was looked at. What is missed from here on left later, and counts with
    /// a later batch; else there would be no end to it while names move.
    /// `upto`: what was missed up to this batch goes, too, as all events that may tell of it were looked at.
    pub(super) fn look_for_displaced(&mut self, model: &mut Model, upto: u64) {
        self.ahead = 2;
        for _ in 0..PASSES {
            for at in 0..self.displaced.len() {
                let (node, id, missed) = self.displaced[at];
                if self.is_sought(missed) && self.is_gone(model, node, &id) {
                    self.displaced[at].2 = CERTAIN;
                }
            }
            self.flush_displaced(model, upto);
            self.displaced.retain(|(node, id, _)| model.is(*node, id) && model.has(*node, flag::DISPLACED));
            // Directories are left that held what has gone only now.
            if !self.displaced.iter().any(|(.., missed)| self.is_sought(*missed)) {
                break;
            }
        }
        self.ahead = 0;
    }

    fn is_sought(&self, missed: u64) -> bool {
        missed == self.batch || missed == self.batch + 1
    }

    /// Looks for what is displaced where its key says that it is. True: it is no more, or has left the set.
    fn is_gone(&mut self, model: &mut Model, node: NodeId, id: &Identity) -> bool {
        let capture = Arc::clone(&self.common.capture);
        for _ in 0..CHASES {
            if !model.is(node, id) || !model.has(node, flag::DISPLACED) {
                return false;
            }
            let Some(key) = self.key(model, node) else { return false };
            match capture.resolve(&key) {
                // One that may have held what has moved goes when that was looked at.
                Ok(None) => return model.children(node).next().is_none(),
                Ok(Some((stat, path))) if Identity::of(&stat) == *id && !path.is_empty() => {
                    // Another of its names has the content: where this one is now, if anywhere, is told by its own event.
                    if self.has_another_name(model, node) {
                        return true;
                    }
                    if !self.look_where_it_is(model, &key, &path) {
                        return stat.kind == FileKind::Directory || stat.links == 1;
                    }
                }
                _ => return false,
            }
        }
        false
    }

    /// Does it stand under another name in the model, with the same inode on the target?
    fn has_another_name(&self, model: &Model, node: NodeId) -> bool {
        let stands = |name: &NodeId| {
            *name != node && model.has(*name, flag::MADE) && !model.has(*name, flag::DISPLACED)
        };
        model.group(node).iter().any(stands)
    }

    /// A directory that moves again and again is not gone because it was missed wherever it was looked for: the kernel knows
    /// where it is, and if that is in the set, it is looked for there. False when it is gone, or cannot be found so.
    fn is_on_its_way(&mut self, model: &mut Model, node: NodeId) -> bool {
        let (id, key) = (model.entry(node).id, model.key(node).cloned());
        let tries =
            self.chased.get(&node).copied().filter(|(chased, _)| *chased == id).map_or(0, |(_, tries)| tries);
        let Some(key) = key.filter(|_| tries < CHASES) else { return false };
        let Ok(Some((stat, path))) = self.common.capture.resolve(&key) else { return false };
        if Identity::of(&stat) != id || !self.look_where_it_is(model, &key, &path) {
            return false;
        }
        self.chased.insert(node, (id, tries + 1));
        true
    }

    /// Something that no event stream should do without a person.
    pub(super) fn refuse(&self, model: &Model, due: &[(NodeId, Identity)]) -> Option<Hold> {
        if self.common.is_released() {
            return None;
        }
        for (node, id) in due {
            let parent = model.parent(*node);
            if parent == NONE {
                let path = self.shown_node(model, *node);
                return Some(Hold::RootRenamed { path });
            }
            if !model.has(*node, flag::PARKED) && id.dev != model.entry(parent).id.dev {
                return Some(Hold::RootGone { path: self.shown_node(model, *node) });
            }
        }
        let total = model.len() as u64;
        let count: u64 = due.iter().map(|(node, _)| model.count(*node, total)).sum();
        self.common.guard(count, total)
    }

    pub(super) fn remove(&mut self, model: &mut Model, node: NodeId) {
        let entry = model.entry(node);
        let (root, path, name) = model.place(node);
        let parent = model.parent(node);
        let parked = model.has(node, flag::PARKED);
        let capture = Arc::clone(&self.common.capture);
        if model.has(node, flag::MADE) {
            if self.common.ignore_deletes && !parked {
                tracing::info!(
                    "Kept on the target, as IgnoreDeleteOps is 1: {}",
                    self.shown_node(model, node)
                );
                // It is the target's own from now on.
                for below in model.all_below(node) {
                    model.clear(below, flag::MADE);
                }
            } else {
                // What the target had in its place was parked, which need not have been a file.
                let directory = entry.kind == FileKind::Directory || parked || self.is_doubtful(model, node);
                let at = At { root, path: &path, name: &name };
                self.log_of(&Record::Remove { at, directory }, 0, &[(parent, false)]);
            }
        }
        let owed = self.owed_with(model, node);
        model.remove(node, &mut |model, node| {
            self.part(model, node);
            if let Some(key) = model.key(node) {
                capture.forget(key);
            }
            if model.entry(node).kind == FileKind::Directory
                && let Some(key) = self.key(model, node)
            {
                self.left.add(key);
            }
        });
        self.open.remove(&node);
        self.touched.insert(parent);
        self.hand_on(model, owed);
    }

    /// What is to be sent with this name, if the file has another: whether all of it is.
    pub(super) fn owed_with(&self, model: &Model, node: NodeId) -> Option<(Entry, bool)> {
        let owed = model.has(node, flag::LACKING | flag::DIRTY) && self.has_another_name(model, node);
        owed.then(|| (model.entry(node), model.has(node, flag::LACKING)))
    }

    /// What was to be sent with a name that went is sent with another.
    pub(super) fn hand_on(&mut self, model: &mut Model, owed: Option<(Entry, bool)>) {
        match owed {
            None => {}
            Some((Entry { id, kind: FileKind::File, size, .. }, false)) => {
                self.queue_content(model, &id, size)
            }
            Some((Entry { id, .. }, _)) => self.send_names(model, &id),
        }
    }
}
