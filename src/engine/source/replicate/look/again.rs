//! What is logged anew: records that came too late or failed, and what a mirror left to replication.

use super::super::super::capture::Batch;
use super::super::super::folder::split;
use super::super::common::follow;
use super::super::desk::{Debts, Requests};
use super::super::model::{Belongs, Entry, Identity, Model, NONE, NodeId, flag};
use super::super::moves::Failing;
use super::super::record::{At, Record, State};
use super::{CERTAIN, Looker, Standing};
use crate::sys::FileKind;
use std::collections::HashSet;
use std::sync::Arc;

impl Looker {
    /// Does what a mirror left to replication, or asks of it.
    pub(super) fn grant(&mut self, requests: Requests) {
        if requests.is_empty() {
            return;
        }
        let Requests { rescans, contents, regroups, links, times, owed } = requests;
        for id in rescans {
            let model = self.common.model();
            let found = model.names_of_number(id.0, id.1);
            self.scans.extend(found.map(|node| (node, model.entry(node).id)));
        }
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        for (node, id) in links {
            // What stands in the log, or went out meanwhile, may have gone to one of the other names, and is lost with it.
            let changed = model.names_of(&id).any(|name| model.has(name, flag::CONTENT | flag::FOLLOWED));
            if model.is(node, &id) && !model.has(node, flag::SEPARATE) && !changed {
                self.link_names(&mut model, node);
            } else {
                self.send_names(&mut model, &id);
            }
        }
        for id in regroups {
            self.send_names(&mut model, &id);
            follow(&mut model, &id);
        }
        for id in times {
            let Some(node) = model.names_of(&id).next() else { continue };
            if model.entry(node).kind == FileKind::Directory {
                self.touched.insert(node);
            } else {
                self.queue_meta(&mut model, node);
            }
        }
        for (id, content) in owed {
            let Some(node) = model.names_of(&id).next() else { continue };
            let Entry { kind, size, .. } = model.entry(node);
            match kind {
                FileKind::Directory => {
                    self.touched.insert(node);
                }
                _ if common.is_lacking(&id) => self.send_names(&mut model, &id),
                FileKind::File if content => self.queue_content(&mut model, &id, size),
                _ if content => self.send_names(&mut model, &id),
                _ => self.queue_meta(&mut model, node),
            }
        }
        drop(model);
        // Behind the links: it goes to the one file that the names are from there on.
        for (dev, ino) in contents {
            self.silent(dev, ino);
        }
    }

    /// Sends anew what was not where it had been when its turn came, or what the target did not have as it should.
    pub(in super::super) fn missed(&mut self, batch: &mut Batch) {
        if !self.common.has_debts() && self.unsent.is_empty() {
            return;
        }
        // The move is known to the kernel by now, and what would be found counts as gone if it is not looked at before.
        self.drain(self.batch + 1);
        self.common.capture.looks().take(batch);
        self.look(batch);
        if !self.has_marks() {
            self.repay(false);
        }
    }

    /// The same, of what can be found at once. `hurry`: events that may tell of it are still to be looked at, but a barrier waits, so
    /// that it is looked for by its key.
    pub(in super::super) fn repay(&mut self, hurry: bool) {
        let Debts { mut missed, heals, blocked, rewrites } = self.common.take_debts();
        missed.append(&mut self.unsent);
        if missed.is_empty() && heals.is_empty() && blocked.is_empty() && rewrites.is_empty() {
            return;
        }
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        for id in rewrites {
            // Whole: what is still being sent of it may go where it is passed over.
            self.send_names(&mut model, &id);
        }
        // Events that tell of it are not in this batch, and may not be in the next.
        self.ahead = u64::from(hurry);
        for bytes in missed {
            let Ok(record) = Record::decode(&bytes) else { continue };
            let Some((own, id)) = record.subject() else { continue };
            let fresh = record.is_fresh();
            // A name that is no more, and that no event told of, must not come round again and again.
            let names: Vec<NodeId> =
                model.names_of(&id).filter(|node| model.has(*node, flag::MADE)).collect();
            let (mut there, mut unknown) = (None, false);
            for node in names {
                match self.standing(&model, node) {
                    Standing::There if there == Some(own) => {}
                    Standing::There => there = Some(node),
                    Standing::Gone => {
                        self.displace(&mut model, node);
                        model.set(node, if fresh { flag::LACKING } else { flag::DIRTY });
                    }
                    Standing::Unknown => {
                        let parent = model.parent(node);
                        self.displace(&mut model, parent);
                        unknown = true;
                    }
                }
            }
            if unknown && there.is_none() {
                // Once its directory is found, or is known to be gone.
                self.unsent.push(bytes);
                continue;
            }
            let Some(node) = there else { continue };
            let fresh = fresh || model.has(node, flag::LACKING) || common.is_lacking(&id);
            model.clear(node, flag::LACKING | flag::DIRTY);
            if fresh {
                // Links to it that were logged since have found nothing.
                self.heal_one(&mut model, node);
                continue;
            }
            let (root, path, name) = model.place(node);
            let at = At { root, path: &path, name: &name };
            // What it is now counts: an inode that is made within a tick of the clock that another of its number was made in
            // cannot be told from that.
            let again = match (model.entry(node).kind, record) {
                (FileKind::Directory, Record::Directory { .. }) => Record::Directory { node, id, at },
                (FileKind::Directory, _) => Record::DirectoryMeta { node, id, at },
                (FileKind::File, Record::Content { .. }) => {
                    Record::Content { node, id, at, state: State::of(&model, node) }
                }
                _ => Record::Meta { node, id, at },
            };
            self.log(&again, 0);
            if !model.is_root(node) {
                self.touched.insert(model.parent(node));
            }
        }
        self.ahead = 0;
        if hurry {
            // In the middle of a batch events that tell of what was missed before may not be looked at yet.
            self.look_for_displaced(&mut model, CERTAIN);
        }
        drop(model);
        for place in blocked {
            self.make_room_at(&place);
        }
        let mut done = HashSet::new();
        for place in heals {
            let found = common.now_at(&place);
            let moved = common.moved_to(&place);
            let mut model = common.turn();
            // Each with whether all below it goes, too.
            let mut nodes: Vec<(NodeId, bool)> =
                found.into_iter().filter(|(node, _)| model.is_used(*node)).collect();
            // Of a directory that was to be moved there the target may have a stub elsewhere by now, and nothing that is in it.
            let directories = moved.iter().flat_map(|id| model.names_of(id));
            let directories: Vec<NodeId> =
                directories.filter(|node| model.entry(*node).kind == FileKind::Directory).collect();
            if !moved.is_empty() {
                // What was moved on from there was what the target had in its place.
                let left = common.moved_out(&place);
                let left = left.iter().flat_map(|id| model.names_of(id));
                nodes.extend(left.map(|node| (node, model.entry(node).kind == FileKind::Directory)));
            }
            nodes.extend(directories.into_iter().map(|node| (node, true)));
            if common.has_barriers() {
                let all = nodes
                    .iter()
                    .flat_map(|(node, deep)| if *deep { model.all_below(*node) } else { vec![*node] });
                let ids: Vec<Identity> = all.map(|node| model.entry(node).id).collect();
                common.found_failing(&place.0, &ids);
            }
            for (node, deep) in nodes {
                if !model.is_used(node) || !done.insert((node, deep)) {
                    continue;
                }
                if deep {
                    self.heal(&mut model, node);
                } else if model.has(node, flag::MADE) && model.parent(node) != NONE {
                    // It may be another that was there at another time: what is below it fails by itself, if it is missing.
                    self.heal_one(&mut model, node);
                }
            }
        }
        self.flush_touched(&mut common.turn());
    }

    /// Something stood in the way of an operation on the target. A directory goes where the source has something else; what was to
    /// be moved there, and is nowhere on the source any more, goes, too.
    fn make_room_at(&mut self, failing: &Failing) {
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        let mut removes = common.origins(failing);
        if common.sweeps() {
            // What was removed on the source was a file; of what the target has there a person has said that it is to go.
            removes.extend(common.moved_since(failing));
        }
        let (place, _) = failing;
        let concerned = removes.iter().chain([place]).filter_map(|(root, path)| model.at(*root, path));
        let ids: Vec<Identity> = concerned.map(|node| model.entry(node).id).collect();
        common.found_failing(place, &ids);
        removes.retain(|(root, path)| model.at(*root, path).is_none());
        let is_other = |node: &NodeId| model.entry(*node).kind != FileKind::Directory;
        let other = model.at(place.0, &place.1).filter(is_other);
        if other.is_some() {
            removes.push(place.clone());
        }
        for (root, path) in removes {
            let (above, name) = split(&path);
            // Where no directory is any more there is nothing in it, and a removal would make it.
            let Some(parent) = model.directory_at(root, above) else { continue };
            let belongs = |directory| !matches!(model.belongs(parent, name, directory), Belongs::No);
            if !belongs(true) && !belongs(false) {
                continue;
            }
            self.touched.insert(parent);
            let at = At { root, path: above, name };
            self.log_of(&Record::Remove { at, directory: true }, 0, &[(parent, false)]);
        }
        // It may be there by now, and went with what stood in its way.
        if let Some(other) = other.filter(|node| model.has(*node, flag::MADE)) {
            self.heal_one(&mut model, other);
        }
    }

    /// Sends an entry, and all below it, as if the target had nothing of it.
    pub(super) fn heal(&mut self, model: &mut Model, node: NodeId) {
        for node in model.all_below(node) {
            if model.has(node, flag::MADE) && model.parent(node) != NONE {
                self.heal_one(model, node);
            }
        }
    }

    /// Sends one entry as if the target had nothing of it.
    pub(super) fn heal_one(&mut self, model: &mut Model, node: NodeId) {
        let entry = model.entry(node);
        let id = entry.id;
        let (root, path, name) = model.place(node);
        let at = At { root, path: &path, name: &name };
        match entry.kind {
            FileKind::Directory => {
                if self.common.is_mirroring() {
                    // It may be made where the target has another, with all that is in that.
                    model.set(node, flag::STIRRED);
                }
                self.log(&Record::Directory { node, id, at }, 0);
            }
            _ => self.send_names(model, &id),
        }
        self.touched.insert(model.parent(node));
    }

    /// Sends a file, link or special file as if the target had nothing of it, and links its other names to it.
    pub(super) fn send_names(&mut self, model: &mut Model, id: &Identity) {
        let names: Vec<NodeId> = model.names_of(id).filter(|node| model.has(*node, flag::MADE)).collect();
        let mut first: Option<(u16, Vec<u8>, Vec<u8>)> = None;
        for node in names {
            let (root, path, name) = model.place(node);
            let at = At { root, path: &path, name: &name };
            self.touched.insert(model.parent(node));
            let separate = model.has(node, flag::SEPARATE);
            match &first {
                Some((root, path, name)) if !separate => {
                    let from = At { root: *root, path, name };
                    self.log_of(&Record::Link { id: *id, at, from }, 0, &[(node, false)]);
                }
                _ => {
                    let Entry { kind, size, .. } = model.entry(node);
                    if kind == FileKind::File {
                        model.set(node, flag::CONTENT);
                        self.log(&Record::Content { node, id: *id, at, state: State::Nothing }, size);
                    } else {
                        self.log(&Record::Other { node, id: *id, at }, 0);
                    }
                    if !separate {
                        first = Some((root, path, name));
                    }
                }
            }
        }
    }

    /// Links the other names of a file to this one.
    pub(super) fn link_names(&mut self, model: &mut Model, node: NodeId) {
        let id = model.entry(node).id;
        let (root, path, name) = model.place(node);
        let from = At { root, path: &path, name: &name };
        for other in model.group(node).into_iter().filter(|other| *other != node) {
            if model.has(other, flag::MADE) {
                let (root, path, name) = model.place(other);
                let at = At { root, path: &path, name: &name };
                self.log_of(&Record::Link { id, at, from }, 0, &[(other, false)]);
                self.touched.insert(model.parent(other));
            }
        }
    }
}
