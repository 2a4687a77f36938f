//! Directories that are listed: new ones, those that capture lost events of, and file systems that come and go.

use super::super::super::capture::{Batch, Change, Gap};
use super::super::model::{Entry, Model, NONE, NodeId, flag, nanoseconds};
use super::{LISTINGS, Looker, Told, Unreachable};
use crate::sys::{self, FileKind, Stat};
use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

impl Looker {
    /// What could not be listed, as it or a directory above it had moved, is listed once those are found.
    pub(super) fn list_late(&mut self) {
        self.listed_late.clear();
        for (node, id, tries) in std::mem::take(&mut self.unlisted) {
            self.listed_late.insert(node, tries);
            self.scans.push((node, id));
        }
    }

    /// Lists everything, as the model is one of before: what is where it was is gone into from its directory, what was moved when it is found.
    pub(in super::super) fn list_all(&mut self) {
        let common = Arc::clone(&self.common);
        let model = common.model();
        self.scans.extend(model.roots().iter().map(|root| (*root, model.entry(*root).id)));
        drop(model);
        common.set_busy_looking(true);
        self.lists_all = true;
        self.look(&mut Batch::default());
        self.lists_all = false;
        let mut model = common.turn();
        for node in common.take_doubtful().unwrap_or_default() {
            if model.is_used(node) && model.entry(node).kind == FileKind::File {
                let Entry { id, size, .. } = model.entry(node);
                self.queue_content(&mut model, &id, size);
            }
        }
    }

    /// Lists the directories that are due, and those that are found in them.
    pub(super) fn scan(&mut self) {
        while let Some((node, id)) = self.scans.pop() {
            let common = Arc::clone(&self.common);
            if common.is_stopping() {
                return;
            }
            common.wait_for_room();
            let mut model = common.turn();
            if model.is(node, &id) && model.entry(node).kind == FileKind::Directory {
                self.scan_one(&mut model, node);
            }
        }
    }

    /// Compares one directory with the model, name by name. Events in it count from before it is listed.
    pub(super) fn scan_one(&mut self, model: &mut Model, node: NodeId) {
        let handle = match self.open_dir(model, node) {
            Ok(handle) => handle,
            Err(Unreachable::Failed(error)) => return self.fail(model, node, b"", &error),
            Err(_) => {
                let tries = self.listed_late.get(&node).copied().unwrap_or(0);
                self.fall_behind(node, self.batch);
                if tries < LISTINGS {
                    self.unlisted.push((node, model.entry(node).id, tries + 1));
                } else {
                    model.set(node, flag::UNSEEN);
                    self.displace(model, node);
                }
                return;
            }
        };
        match self.common.capture.register(&handle) {
            Ok(key) => {
                // It may have been taken for one outside while it was on its way here.
                self.common.capture.looks().follow(&key);
                if let Some(old) = model.set_key(node, key) {
                    self.common.capture.forget(&old);
                }
            }
            Err(error) => return self.cannot_watch(model, node, &error),
        }
        model.set(node, flag::WALKED);
        model.clear(node, flag::UNSEEN);
        let is_same = |stat: Stat| nanoseconds(stat.ctime) == model.entry(node).ctime;
        if !self.lists_all || !Stat::of(&*handle).is_ok_and(is_same) {
            self.touched.insert(node);
        }
        let (mut names, mut buffer) = (std::mem::take(&mut self.names), std::mem::take(&mut self.buffer));
        match sys::list_dir(&handle, &mut names, &mut buffer) {
            Ok(()) => {
                let ours: Vec<NodeId> = model.children(node).collect();
                if !ours.is_empty() {
                    let listed: HashSet<&[u8]> = names.iter().map(|(name, _)| name.to_bytes()).collect();
                    for child in ours {
                        if !listed.contains(model.name(child)) && !model.has(child, flag::PARKED) {
                            self.displace(model, child);
                        }
                    }
                }
                for (name, _) in names.iter() {
                    self.settle_name(model, node, &handle, name.to_bytes(), Change::LISTED, Told::default());
                }
            }
            // Removed since it was opened.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.fail(model, node, b"", &error),
        }
        (self.names, self.buffer) = (names, buffer);
    }

    /// Capture lost events: what they touched is looked at again.
    pub(super) fn gap(&mut self, gap: Gap) {
        let common = Arc::clone(&self.common);
        let model = common.turn();
        match gap {
            Gap::Everything { why } => {
                tracing::warn!("Changes were missed ({why}): the source is compared with what was sent");
                common.loses_events();
                for root in model.roots().to_vec() {
                    for node in model.all_below(root) {
                        if model.entry(node).kind == FileKind::Directory && model.has(node, flag::WALKED) {
                            self.scans.push((node, model.entry(node).id));
                        }
                    }
                }
            }
            Gap::FileSystem { number } => {
                for root in model.roots().to_vec() {
                    for node in model.all_below(root) {
                        if model.key(node).is_some_and(|key| key.file_system() == number) {
                            self.scans.push((node, model.entry(node).id));
                        }
                    }
                }
            }
            Gap::Directory { dir } => {
                if let Some(node) = model.by_key(&dir) {
                    self.scans.push((node, model.entry(node).id));
                }
            }
        }
    }

    /// A file system was mounted or unmounted somewhere: each root must still be the one that was connected, and what is
    /// mounted below one is looked at.
    pub(super) fn mounts(&mut self) {
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        for root in model.roots().to_vec() {
            let (number, _) = model.path(root);
            if self.open_top(&model, number, root).is_err() {
                return;
            }
        }
        for point in self.common.mount_points() {
            for (number, place) in self.common.roots.clone() {
                let Ok(below) = point.strip_prefix(&place.path) else { continue };
                let Some(name) = below.file_name().map(|name| name.as_bytes().to_vec()) else { continue };
                let parent =
                    below.parent().map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default();
                if let Some(node) = model.at(number, &parent)
                    && model.has(node, flag::WALKED)
                    && let Ok(handle) = self.open_dir(&model, node)
                {
                    self.settle_name(&mut model, node, &handle, &name, Change::NAME, Told::default());
                }
            }
        }
        // A mount that ended leaves a directory whose device is no longer what it was.
        for root in model.roots().to_vec() {
            for node in model.all_below(root) {
                let parent = model.parent(node);
                if parent != NONE
                    && !model.has(node, flag::PARKED)
                    && model.entry(node).id.dev != model.entry(parent).id.dev
                    && let Ok(handle) = self.open_dir(&model, parent)
                {
                    let name = model.name(node).to_vec();
                    self.settle_name(&mut model, parent, &handle, &name, Change::NAME, Told::default());
                }
            }
        }
    }

    pub(super) fn cannot_watch(&self, model: &Model, node: NodeId, error: &io::Error) {
        let shown = self.shown_node(model, node);
        tracing::warn!("{shown}: changes in it are not followed: {error}");
        self.common.shared.fail(&shown, &format!("changes in it are not followed: {error}"));
        self.common.shared.require_mirror(Some(format!("changes in {shown} are not followed: {error}")));
    }
}
