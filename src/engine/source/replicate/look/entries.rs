//! One name compared with the model, and what follows from the difference.

use super::super::super::capture::{Change, Key, Look, Place};
use super::super::common::follow;
use super::super::model::{Belongs, Entry, Identity, Model, NONE, NodeId, Scope, flag, nanoseconds, stamps};
use super::super::record::{At, Record, State};
use super::{Late, Looker, Standing, TRIES, Told, Unreachable, unnamed_inode};
use crate::engine::target::unfinished_by;
use crate::sys::{self, Dir, FileKind, Stat};
use std::ffi::CStr;
use std::io;
use std::sync::Arc;

impl Looker {
    /// Notes where the inodes of a chunk are now, so that an entry is not taken for gone when it is found a moment later.
    pub(super) fn prepare(&mut self, model: &Model, chunk: &[(Look, Late)]) {
        if chunk.len() < 2 {
            return;
        }
        for (look, _) in chunk {
            let Place::Name { dir, name } = &look.place else { continue };
            if !look.change.has(Change::NAME) {
                continue;
            }
            let Some(node) = model.by_key(dir) else { continue };
            let Ok(handle) = self.open_dir(model, node) else { continue };
            let Ok(c_name) = sys::c_string(name) else { continue };
            if let Ok(stat) = handle.stat(&c_name) {
                let id = Identity::of(&stat);
                let known = model.child(node, name).is_some_and(|ours| model.entry(ours).id == id);
                if !known {
                    self.seen.insert(id, (node, name.clone()));
                }
            }
        }
    }

    /// A name of a directory that is known.
    pub(super) fn name(&mut self, model: &mut Model, dir: NodeId, name: &[u8], look: &Look, late: Late) {
        match self.open_dir(model, dir) {
            Ok(handle) => {
                // What was known of the old name's place when a look comes late is not known any more.
                let from = look.from.as_ref().filter(|_| late.tries == 0);
                let told = Told { object: look.object.as_ref(), from };
                self.settle_name(model, dir, &handle, name, look.change, told);
            }
            Err(Unreachable::Elsewhere) if late.tries < TRIES => {
                if late.tries == 0 {
                    // The directory may have left the set with this name; the file may have others.
                    let told = Told { object: look.object.as_ref(), from: look.from.as_ref() };
                    self.elsewhere(model, model.child(dir, name), look.change, told);
                }
                self.deferred.push((look.clone(), Late { tries: late.tries + 1, ..late }));
            }
            Err(Unreachable::Elsewhere) => {
                // Nothing else has told where it is: look at its own name.
                model.set(dir, flag::UNSEEN);
                self.fall_behind(dir, late.since);
                self.displace(model, dir);
            }
            // It is looked at when the root is back.
            Err(Unreachable::Root) if !self.is_let_go(model, dir) => {
                self.deferred.push((look.clone(), late));
            }
            Err(Unreachable::Root) => {}
            Err(Unreachable::Failed(error)) => self.fail(model, dir, name, &error),
        }
    }

    /// Compares one name with the model.
    pub(super) fn settle_name(
        &mut self,
        model: &mut Model,
        dir: NodeId,
        handle: &Arc<Dir>,
        name: &[u8],
        change: Change,
        told: Told<'_>,
    ) {
        if unfinished_by(name).is_some() {
            return;
        }
        let Ok(c_name) = sys::c_string(name) else { return };
        let stat = match handle.stat(&c_name) {
            Ok(stat) => Some(stat),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return self.fail(model, dir, name, &error),
        };
        // The event may have told of another that had the name before, or has it since.
        let another = match &stat {
            Some(stat) if self.note_entry(model, dir, (handle, &c_name), stat, told.object) => None,
            Some(_) => told.object,
            None => None,
        };
        let belongs = stat.as_ref().map(|stat| {
            let is_directory = stat.kind == FileKind::Directory;
            if self.is_sent_elsewhere(model, dir, name, is_directory) {
                return (Belongs::No, stat);
            }
            (model.belongs(dir, name, is_directory), stat)
        });
        if change.has(Change::NAME) {
            // Also when it is as it was: what came and went has moved the directory's time.
            self.touched.insert(dir);
        }
        let ours = model.child(dir, name);
        match (ours, belongs) {
            (Some(ours), None | Some((Belongs::No, _))) => {
                self.elsewhere(model, Some(ours), change, told);
                self.displace(model, ours);
            }
            (None, None | Some((Belongs::No, _))) => {
                self.elsewhere(model, None, change, told);
                if let (None, Some(ino)) = (told.object, unnamed_inode(name)) {
                    // Written by who made it without a name; it may have one by now.
                    let dev = model.entry(dir).id.dev;
                    let found = model.names_of_number(dev, ino).next();
                    if let Some(node) = found {
                        let Entry { id, kind, size, .. } = model.entry(node);
                        if kind == FileKind::File && change.has(Change::CONTENT) {
                            self.queue_content(model, &id, size);
                        } else {
                            self.queue_meta(model, node);
                        }
                    }
                }
            }
            (Some(ours), Some((_, stat))) if model.entry(ours).id == Identity::of(stat) => {
                if let Some(another) = another
                    && (change.has(Change::CONTENT) || change.has(Change::META))
                {
                    // Written by who had opened it by this name; it may have others.
                    self.object(model, another, change);
                }
                self.same(model, ours, stat, change);
            }
            (ours, Some((belongs, stat))) => {
                // What has neither name nor inode here is new, and what was told is of it, if not of another that had the name.
                let known = ours.is_some() || model.names_of(&Identity::of(stat)).next().is_some();
                if known || another.is_some() {
                    self.elsewhere(model, ours, change, told);
                }
                if let Some(ours) = ours {
                    self.make_room(model, ours, stat);
                }
                // What is told of another is not told of this one.
                let told = if another.is_some() { Told::default() } else { told };
                self.appear(model, (dir, handle, name), stat, belongs, change, told);
            }
        }
    }

    /// Notes the key of what has a name: it may have moved on when its turn comes. True: it is the object that an event told of.
    fn note_entry(
        &self,
        model: &Model,
        dir: NodeId,
        (handle, name): (&Dir, &CStr),
        stat: &Stat,
        object: Option<&Key>,
    ) -> bool {
        let told = object.filter(|object| object.is_at(handle, name));
        let key = match (told, model.key(dir)) {
            (Some(object), _) => Some(object.clone()),
            (None, Some(dir)) if stat.kind != FileKind::Directory => {
                self.common.capture.key_of_entry(dir, handle, name)
            }
            _ => None,
        };
        let id = Identity::of(stat);
        // The name may have become another's since it was looked at, whose key would tell that this one is gone when that is.
        if let Some(key) = key
            && handle.stat(name).is_ok_and(|again| Identity::of(&again) == id)
        {
            self.common.note_key(id, &key);
        }
        told.is_some()
    }

    /// The name is not, or no longer, that of what an event may have told of: the file may have another name, or get one.
    pub(super) fn elsewhere(
        &mut self,
        model: &mut Model,
        ours: Option<NodeId>,
        change: Change,
        told: Told<'_>,
    ) {
        if !change.has(Change::CONTENT) && !change.has(Change::META) {
            return;
        }
        if let Some(object) = told.object {
            self.object(model, object, change);
        }
        if let Some(ours) = ours
            && model.entry(ours).kind != FileKind::Directory
        {
            let Entry { id, kind, size, .. } = model.entry(ours);
            if kind == FileKind::File && change.has(Change::CONTENT) {
                self.queue_content(model, &id, size);
            } else {
                self.queue_meta(model, ours);
            }
        }
    }

    /// The entry is where the model has it.
    pub(super) fn same(&mut self, model: &mut Model, node: NodeId, stat: &Stat, change: Change) {
        model.clear(node, flag::DISPLACED);
        let entry = model.entry(node);
        let ctime = nanoseconds(stat.ctime);
        if model.has(node, flag::LACKING) {
            model.clear(node, flag::LACKING | flag::DIRTY);
            self.heal_one(model, node);
            return;
        }
        let dirty = model.has(node, flag::DIRTY);
        model.clear(node, flag::DIRTY);
        match stat.kind {
            FileKind::Directory => {
                if !model.has(node, flag::WALKED) || model.has(node, flag::UNSEEN) {
                    // It moved before it could be listed.
                    self.scans.push((node, entry.id));
                }
                if dirty || change.has(Change::META) || ctime != entry.ctime {
                    self.queue_directory_meta(model, node);
                }
            }
            FileKind::File if dirty => self.queue_content(model, &entry.id, stat.size),
            FileKind::File => {
                let moved = ctime != entry.ctime;
                let compare = moved && (change.has(Change::LISTED) || change.has(Change::NAME));
                if change.has(Change::CONTENT) || stat.size != entry.size || compare {
                    self.queue_content(model, &entry.id, stat.size);
                } else if change.has(Change::META) || moved {
                    self.queue_meta(model, node);
                }
            }
            _ => {
                if dirty || change.has(Change::META) || ctime != entry.ctime {
                    self.queue_meta(model, node);
                }
            }
        }
    }

    /// Something has a name that it did not have.
    pub(super) fn appear(
        &mut self,
        model: &mut Model,
        (dir, handle, name): (NodeId, &Arc<Dir>, &[u8]),
        stat: &Stat,
        belongs: Belongs,
        change: Change,
        told: Told<'_>,
    ) {
        if self.is_too_long(model, dir, name) {
            return;
        }
        let id = Identity::of(stat);
        let known: Vec<NodeId> = model.names_of(&id).collect();
        // Another name at which it no longer is: it was moved.
        let mut linked = None;
        // A name that shares its inode has moved rather than one that does not.
        let (separate, mut known): (Vec<NodeId>, Vec<NodeId>) =
            known.into_iter().partition(|node| model.has(*node, flag::SEPARATE));
        known.extend(separate);
        for old in known {
            if linked.is_some() && model.has(old, flag::SEPARATE) {
                continue;
            }
            let directory = stat.kind == FileKind::Directory;
            let moved = match self.standing(model, old) {
                _ if !directory && stat.links == 1 => true,
                Standing::There => false,
                Standing::Gone => true,
                // A directory has one name; of a file with several, this one is about to be found elsewhere.
                Standing::Unknown => directory,
            };
            if moved {
                self.relocate(model, old, dir, name, belongs);
                let mut change = change.without(Change::NAME);
                // It was written under its old name: that may be another's by the time its event is looked at. A move alone
                // leaves mtime.
                if stat.kind == FileKind::File && stamps(stat).1 != model.entry(old).mtime {
                    change |= Change::CONTENT;
                }
                return self.same(model, old, stat, change);
            }
            if stat.kind == FileKind::Directory {
                if !self.is_mount_point(model, dir, name) && !self.is_mount_point_of(model, old) {
                    // It moved between the two looks: an event of that is still to come.
                    return;
                }
                tracing::warn!(
                    "{}: it is the same directory as {}, mounted a second time; changes are followed in one of them",
                    self.shown(model, dir, name),
                    self.shown_node(model, old)
                );
            } else if !model.has(old, flag::SEPARATE) && model.has(old, flag::MADE) && linked.is_none() {
                linked = Some(old);
            }
        }
        self.ensure_made(model, dir);
        self.clear_doubtful(model, dir, name);
        let entry = Entry { ctime: 0, ..Entry::of(stat) };
        let flags = flag::MADE | flag::FOLLOWED;
        match belongs {
            Belongs::No => return,
            Belongs::Directory(included, scope) => {
                if let Some(why) = self.reason_to_leave_out(model, dir, handle, name, stat) {
                    tracing::info!("Disabling replication on {}: {why}", self.shown(model, dir, name));
                    return;
                }
                let node = model.insert(dir, name, &Entry::of(stat), 0);
                model.set_scope(node, included, scope);
                if included {
                    model.set(node, flags);
                    let (root, path, name) = model.place(node);
                    self.log(&Record::Directory { node, id, at: At { root, path: &path, name: &name } }, 0);
                }
                self.open_found(model, node, handle, name);
                self.scans.push((node, id));
            }
            Belongs::File => {
                // A name that was moved in from outside is a file of its own (REP-23), one that was made is a link (REP-22).
                let apart = linked.is_some()
                    && change.has(Change::MOVED)
                    && self.comes_from_outside(model, dir, name, told);
                if let (Some(first), false) = (linked, apart) {
                    let (root, path, from) = model.place(first);
                    let first = model.entry(first);
                    let node = model.insert(dir, name, &first, flags);
                    let (to_root, to_path) = model.path(dir);
                    self.log_of(
                        &Record::Link {
                            id,
                            at: At { root: to_root, path: &to_path, name },
                            from: At { root, path: &path, name: &from },
                        },
                        0,
                        &[(node, false)],
                    );
                    self.touched.insert(dir);
                    // Links have a size, too, but no content.
                    let written = change.has(Change::CONTENT)
                        || first.size != stat.size
                        || first.mtime != stamps(stat).1;
                    if written && stat.kind == FileKind::File {
                        self.queue_content(model, &id, stat.size);
                    } else {
                        self.queue_meta(model, node);
                    }
                    return;
                }
                let node = model.insert(dir, name, &entry, flags);
                if apart {
                    model.set(node, flag::SEPARATE);
                }
                let (root, path) = model.path(dir);
                let at = At { root, path: &path, name };
                if stat.kind == FileKind::File {
                    model.set(node, flag::CONTENT);
                    self.log(&Record::Content { node, id, at, state: State::Nothing }, stat.size);
                } else {
                    self.log(&Record::Other { node, id, at }, 0);
                }
            }
        }
        self.touched.insert(dir);
    }

    /// A directory that only leads to what belongs is made when something in it is.
    pub(super) fn ensure_made(&mut self, model: &mut Model, dir: NodeId) {
        let mut missing = Vec::new();
        let mut at = dir;
        while at != NONE && !model.has(at, flag::MADE) {
            missing.push(at);
            at = model.parent(at);
        }
        for node in missing.into_iter().rev() {
            model.set(node, flag::MADE);
            if model.parent(node) != NONE {
                self.touched.insert(model.parent(node));
            }
            let id = model.entry(node).id;
            let (root, path, name) = model.place(node);
            self.log(&Record::Directory { node, id, at: At { root, path: &path, name: &name } }, 0);
        }
    }

    /// The name's place is needed by something else.
    pub(super) fn make_room(&mut self, model: &mut Model, ours: NodeId, stat: &Stat) {
        let entry = model.entry(ours);
        let elsewhere = self.seen.contains_key(&entry.id);
        if entry.kind == FileKind::Directory || elsewhere {
            self.displace(model, ours);
            return self.park(model, ours);
        }
        // A file whose place another takes: the operation that brings the other one replaces it.
        let vacated = self.is_doubtful(model, ours);
        if (stat.kind == FileKind::Directory || vacated) && model.has(ours, flag::MADE) {
            let (root, path, name) = model.place(ours);
            let at = At { root, path: &path, name: &name };
            self.log_of(&Record::Remove { at, directory: vacated }, 0, &[(model.parent(ours), false)]);
        }
        self.part(model, ours);
        let owed = self.owed_with(model, ours);
        model.remove(ours, &mut |_, _| {});
        self.hand_on(model, owed);
    }

    /// Follows an entry to where it was found.
    pub(super) fn relocate(
        &mut self,
        model: &mut Model,
        node: NodeId,
        dir: NodeId,
        name: &[u8],
        belongs: Belongs,
    ) {
        if model.is_below(dir, node) {
            // The directory that it is in now was below it: that one has moved first.
            self.park(model, dir);
            self.displace(model, dir);
        }
        let directory = model.entry(node).kind == FileKind::Directory;
        let old_parent = model.parent(node);
        self.ensure_made(model, dir);
        self.clear_doubtful(model, dir, name);
        let (from_root, from_path, from_name) = model.place(node);
        let doubtful = self.is_doubtful(model, node);
        // Also where no mirror is on its way: none compares what stands under the engine's own name.
        let parked = model.has(node, flag::PARKED) && model.has(node, flag::VACATED);
        let vacated = model.has(node, flag::MADE) && (doubtful || parked || self.holds_vacated(model, node));
        if model.has(node, flag::MADE) && model.has(node, flag::LACKING) {
            // The target has nothing of it: what stands there is what it had replaced.
            let at = At { root: from_root, path: &from_path, name: &from_name };
            self.log_of(&Record::Remove { at, directory: doubtful }, 0, &[(old_parent, false)]);
        } else if vacated {
            // What the target has there may be another's: it goes, and this is sent anew.
            let at = At { root: from_root, path: &from_path, name: &from_name };
            self.log_of(
                &Record::Remove { at, directory: true },
                0,
                &[(node, directory), (old_parent, false)],
            );
        } else if model.has(node, flag::MADE) {
            let (root, path) = model.path(dir);
            self.log_of(
                &Record::Rename {
                    id: model.entry(node).id,
                    at: At { root, path: &path, name },
                    from: At { root: from_root, path: &from_path, name: &from_name },
                    directory,
                },
                0,
                &[(node, directory), (old_parent, false)],
            );
        }
        model.relocate(node, dir, name);
        model.clear(node, flag::DISPLACED | flag::PARKED);
        // What a mirror knows of either name may be from before.
        model.set(node, flag::FOLLOWED);
        self.touched.insert(old_parent);
        self.touched.insert(dir);
        if vacated {
            for below in model.all_below(node) {
                model.clear(below, flag::VACATED);
            }
            self.heal(model, node);
        }
        if self.common.is_mirroring() {
            self.compare_below(model, node, old_parent);
        }
        if let Belongs::Directory(included, scope) = belongs {
            let all = matches!((model.scope(node), &scope), (Some(Scope::Everything), Scope::Everything));
            if !all {
                // Other rules hold here: what they leave out goes, what they let in comes.
                model.set_scope(node, included, scope);
                self.rescope(model, node);
            }
        }
    }

    /// Something has moved while a mirror is on its way, which comes to it no more: what it has not passed yet is compared here,
    /// and what it has not come to is found here. Only what it was to compare: what was in directories that are the same is.
    fn compare_below(&mut self, model: &mut Model, node: NodeId, old_parent: NodeId) {
        let compared = self.common.compared();
        let is_compared = |node| compared.as_ref().is_none_or(|compared| compared.has(node));
        let mut parted = Vec::new();
        for below in model.all_below(node) {
            let Entry { id, kind, size, .. } = model.entry(below);
            let parent = if below == node { old_parent } else { model.parent(below) };
            if !is_compared(if kind == FileKind::Directory { below } else { parent }) {
                continue;
            }
            match kind {
                FileKind::Directory => {
                    self.queue_directory_meta(model, below);
                    self.scans.push((below, id));
                }
                _ if model.has(below, flag::PASSED) || below != node && model.has(below, flag::FOLLOWED) => {}
                // Whether the target's names are one file is not known, and one of them alone would be sent.
                _ if model.group(below).len() > 1 => parted.push(id),
                FileKind::File => self.queue_content(model, &id, size),
                _ => self.queue_meta(model, below),
            }
        }
        parted.sort_unstable_by_key(|id| (id.dev, id.ino, id.born));
        parted.dedup();
        for id in parted {
            self.send_names(model, &id);
            follow(model, &id);
        }
    }

    /// Works out anew what belongs below a directory that has moved, and looks at all of it.
    pub(super) fn rescope(&mut self, model: &mut Model, node: NodeId) {
        let all = model.all_below(node);
        for below in &all {
            if model.entry(*below).kind == FileKind::Directory {
                if *below != node {
                    let name = model.name(*below).to_vec();
                    if let Belongs::Directory(included, scope) =
                        model.belongs(model.parent(*below), &name, true)
                    {
                        model.set_scope(*below, included, scope);
                    }
                }
                self.scans.push((*below, model.entry(*below).id));
            }
        }
    }

    /// An object that was reached without a name, or by one that is no more.
    pub(super) fn object(&mut self, model: &mut Model, key: &Key, change: Change) {
        let stat = match self.common.capture.stat(key) {
            Ok(Some(stat)) => stat,
            Ok(None) => return,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                // What it was is not known, so neither is what is missing now.
                let why = format!("something that was changed cannot be looked at on the source: {error}");
                tracing::warn!("{why}");
                return self.common.shared.require_mirror(Some(why));
            }
            // Gone: some file systems say ENOMEM of a handle whose inode is being removed.
            Err(_) => return,
        };
        let id = Identity::of(&stat);
        let Some(node) = model.names_of(&id).next() else { return };
        match stat.kind {
            FileKind::File if change.has(Change::CONTENT) || stat.size != model.entry(node).size => {
                self.queue_content(model, &id, stat.size);
            }
            FileKind::Directory => self.queue_directory_meta(model, node),
            _ => self.queue_meta(model, node),
        }
    }
}
