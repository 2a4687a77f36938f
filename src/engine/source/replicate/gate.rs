//! How a mirror or verification sends into a stream that replication uses, too.
//!
//! Each operation that names a place is sent while the model is held and the log is sent out, and only if the model has the
//! place as the job sees it; else replication knows better, and its events bring what the job leaves out. What was sent, or
//! found to be the same, is entered into the model at the same moment. Without replication everything passes.

use super::super::folder::{Folder, split};
use super::common::{Begun, Common, Stirred};
use super::model::{Belongs, Entry, Identity, Model, NodeId, Scope, flag};
use crate::engine::repset::DirRules;
use crate::engine::target::unfinished_by;
use crate::sys::{Dir, FileKind, Stat};
use std::cell::Cell;
use std::ffi::CStr;
use std::sync::{Arc, MutexGuard};

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::engine::source) enum Gate {
    Open,
    Follow(Arc<Common>),
}

/// A turn: nothing else is sent meanwhile.
pub(in crate::engine::source) struct Sending<'a> {
    turn: Option<(&'a Common, MutexGuard<'a, Model>)>,
    folder: NodeId,
    name: &'a [u8],
    /// It becomes, or is, a link to another name that the target has.
    linked: Cell<bool>,
}

/// A place of the target: root, directory, name.
type Place = (u16, Vec<u8>, Vec<u8>);

impl Gate {
    /// A mirror begins: what replication finds from now on is its own.
    /// `removes`: a person has asked it to remove what only the target has.
    pub(in crate::engine::source) fn mirror_begins(&self, removes: bool) -> Begun {
        match self {
            Gate::Open => Begun::default(),
            Gate::Follow(common) => common.mirror_begins(removes),
        }
    }

    /// Entries of the copy, as far as replication knows.
    pub(in crate::engine::source) fn entries(&self) -> u64 {
        match self {
            Gate::Open => 0,
            Gate::Follow(common) => common.model().len() as u64,
        }
    }

    /// What the target has is not what replication knows until a mirror is complete.
    pub(in crate::engine::source) fn distrusts(&self) {
        if let Gate::Follow(common) = self {
            common.distrust();
        }
    }

    /// A verification begins; what it sends again may be what replication has found.
    pub(in crate::engine::source) fn verify_begins(&self, repairs: bool) {
        if let Gate::Follow(common) = self {
            common.job_begins(repairs);
        }
    }

    /// A directory of the job's walk is about to be listed: from now on its events count. False: replication has it, or it is
    /// somewhere else by now.
    pub(in crate::engine::source) fn enters(
        &self,
        (root, path): (u16, &[u8]),
        dir: &Dir,
        stat: &Stat,
        included: bool,
        rules: Option<&DirRules>,
    ) -> bool {
        let Gate::Follow(common) = self else { return true };
        let Some(mut model) = common.mirror_turn() else { return false };
        let id = Identity::of(stat);
        let (above, name) = split(path);
        let node = match model.at(root, path) {
            Some(node) if model.entry(node).id == id => node,
            // Another directory has the name now; its event tells.
            Some(_) => {
                stir_at(&mut model, root, above);
                return false;
            }
            None => {
                let Some(parent) = model.at(root, above) else { return false };
                let holder = model.entry(parent).id;
                if model.names_of(&id).any(|node| model.has(node, flag::DISPLACED)) {
                    // It has come from there: replication moves it, with what the target has of it.
                    common.ask_rescan((holder.dev, holder.ino));
                    model.set(parent, flag::STIRRED);
                    return false;
                }
                if !common.stands_at(&id, root, above, name) {
                    // The event that told so may have been looked at before the model had the name.
                    model.set(parent, flag::STIRRED);
                    return false;
                }
                let known = model.names_of(&id).next();
                if let Some(known) = known {
                    // It is mounted twice, and replication follows one of them; or it was moved.
                    let (old_root, old_path, old_name) = model.place(known);
                    if !common.stands_at(&id, old_root, &old_path, &old_name) {
                        // Where each directory is watched by itself, nothing tells of its new place if that was not watched yet.
                        common.ask_rescan((holder.dev, holder.ino));
                        model.set(parent, flag::STIRRED);
                    }
                    return true;
                }
                model.insert(parent, name, &Entry::of(stat), 0)
            }
        };
        // Of a root that is one file, the one name is all that belongs.
        if let Some(rules) = rules {
            model.set_scope(node, included, Scope::of(rules.clone()));
        }
        if included {
            model.set(node, flag::MADE);
        }
        match common.capture.register(dir) {
            Ok(key) => {
                common.capture.looks().follow(&key);
                if let Some(old) = model.set_key(node, key) {
                    common.capture.forget(&old);
                }
                model.set(node, flag::WALKED);
            }
            Err(error) => {
                let shown = common.shown(root, path, b"");
                tracing::warn!("{shown}: changes in it are not followed: {error}");
                common.shared.fail(&shown, &format!("changes in it are not followed: {error}"));
                common.shared.require_mirror(Some(format!("changes in {shown} are not followed: {error}")));
            }
        }
        true
    }

    /// A turn to send something about this name, which has this inode. None: replication sees to it.
    pub(in crate::engine::source) fn sends<'a>(
        &'a self,
        folder: &Folder,
        name: &'a CStr,
        stat: &Stat,
    ) -> Option<Sending<'a>> {
        let name = name.to_bytes();
        let Gate::Follow(common) = self else {
            return Some(Sending { turn: None, folder: 0, name, linked: Cell::default() });
        };
        let mut model = common.mirror_turn()?;
        let Some(node) = place_of(&model, folder) else {
            stir(&mut model, folder, name);
            return None;
        };
        let id = Identity::of(stat);
        let ours = model.child(node, name);
        if ours.is_none() {
            if !common.stands_at(&id, folder.root, &folder.path, name) {
                // Its removal may have been looked at already, and would not be again.
                stir(&mut model, folder, name);
                return None;
            }
            // Of a file with several names replication may have brought one that the mirror knows nothing of.
            let follows = |name| model.has(name, flag::FOLLOWED) || has_moved(&model, name);
            let moved = model.names_of(&id).any(|name| stat.links == 1 || follows(name));
            if moved || has_moved(&model, node) {
                // Its event may not have been looked at yet.
                common.ask_rescan(folder.id);
                stir(&mut model, folder, name);
                return None;
            }
        }
        if has_moved(&model, node) {
            // The target's listing may be of what was there before; replication has compared what has moved.
            return None;
        }
        if let Some(ours) = ours {
            let displaced = model.entry(ours).id != id || model.has(ours, flag::DISPLACED);
            if displaced || model.has(ours, flag::FOLLOWED) {
                if !displaced && model.group(ours).len() > 1 {
                    common.ask_regroup(id);
                }
                return None;
            }
            if model.group(ours).iter().any(|name| model.has(*name, flag::FOLLOWED)) {
                // Each would send a part of its names another inode.
                common.ask_regroup(id);
                return None;
            }
        }
        Some(Sending { turn: Some((&**common, model)), folder: node, name, linked: Cell::default() })
    }

    /// The source had this name when the folder was listed, and has it no more: the target may have it, and the model never had.
    /// True: replication sees to what there is instead.
    pub(in crate::engine::source) fn vanished(&self, folder: &Folder, name: &[u8]) -> bool {
        let Gate::Follow(common) = self else { return false };
        stir(&mut common.model(), folder, name);
        !common.has_given_up()
    }

    /// A directory of the folder is not gone into, as it is none of those that are compared. One that is not known yet may have to be.
    pub(in crate::engine::source) fn passes(&self, folder: &Folder, name: &[u8]) {
        let Gate::Follow(common) = self else { return };
        let mut model = common.model();
        for node in model.names_of_number(folder.id.0, folder.id.1).collect::<Vec<_>>() {
            if model.child(node, name).is_none() && !matches!(model.belongs(node, name, true), Belongs::No) {
                model.set(node, flag::STIRRED);
                common.ask_rescan(folder.id);
            }
        }
    }

    /// The folder's names were compared with those that the target told of: in it is nothing that the job does not know, if it has
    /// stood where it is all the while.
    pub(in crate::engine::source) fn compared(&self, folder: &Folder) {
        if let Gate::Follow(common) = self {
            let mut model = common.model();
            if let Some(node) = place_of(&model, folder).filter(|node| !has_moved(&model, *node)) {
                model.set(node, flag::SWEPT);
            }
        }
    }

    /// A directory is not gone into, and was told of: neither it nor what is below it is asked for once more.
    pub(in crate::engine::source) fn passes_over(&self, root: u16, path: &[u8]) {
        let Gate::Follow(common) = self else { return };
        let mut model = common.model();
        let below = model.directory_at(root, path).map(|node| model.all_below(node)).unwrap_or_default();
        below.into_iter().for_each(|node| model.set(node, flag::SWEPT));
    }

    /// A name of a file with several was left out, or what others were linked to is not what it was to be: it is sent anew with all its
    /// names, among them those that its folder has now.
    pub(in crate::engine::source) fn regroup(&self, folder: &Folder, stat: &Stat) {
        if let Gate::Follow(common) = self {
            common.ask_rescan(folder.id);
            common.ask_regroup(Identity::of(stat));
        }
    }

    /// The same of a place that was to be sent anew.
    pub(in crate::engine::source) fn vanished_at(&self, root: u16, path: &[u8]) {
        if let Gate::Follow(common) = self {
            stir_at(&mut common.model(), root, path);
        }
    }

    /// A pass of a mirror is over: what has to be compared once more. `sweeps`: also what only the target may have, wherever it is.
    pub(in crate::engine::source) fn stirred(&self, sweeps: bool) -> Stirred {
        match self {
            Gate::Open => Stirred::default(),
            Gate::Follow(common) => common.stirred(sweeps),
        }
    }

    /// Nothing is looked at until a person decides.
    pub(in crate::engine::source) fn is_held(&self) -> bool {
        matches!(self, Gate::Follow(common) if common.is_held())
    }

    /// Is something that has failed, was missed, or was asked for by a job, still to be seen to by the looker?
    pub(in crate::engine::source) fn owes(&self) -> bool {
        match self {
            Gate::Open => false,
            Gate::Follow(common) => common.has_debts() || common.has_requests(),
        }
    }

    /// For a short pass of a mirror nothing moves, or may move again.
    pub(in crate::engine::source) fn calm(&self, calm: bool) {
        if let Gate::Follow(common) = self {
            common.calm(calm);
        }
    }

    /// A turn to send something about the folder itself, if it is where it was.
    pub(in crate::engine::source) fn stands(&self, folder: &Folder) -> Option<Sending<'_>> {
        let Gate::Follow(common) = self else {
            return Some(Sending { turn: None, folder: 0, name: b"", linked: Cell::default() });
        };
        let model = common.mirror_turn()?;
        let node = place_of(&model, folder)?;
        if model.has(node, flag::TIMED) {
            // What the job knows of it may be older than what replication sent.
            common.ask_time(model.entry(node).id);
        }
        Some(Sending { turn: Some((&**common, model)), folder: node, name: b"", linked: Cell::default() })
    }

    /// A turn to remove something that the source does not have, if that is still so.
    pub(in crate::engine::source) fn lacks<'a>(
        &'a self,
        folder: &Folder,
        name: &'a [u8],
    ) -> Option<Sending<'a>> {
        let sending = self.stands(folder)?;
        if let Some((_, model)) = &sending.turn
            && (model.child(sending.folder, name).is_some() || unfinished_by(name).is_some())
        {
            return None;
        }
        Some(sending)
    }

    /// A turn to remove a directory of the target where the source has something else, if that is still so.
    pub(in crate::engine::source) fn clears<'a>(
        &'a self,
        folder: &Folder,
        name: &'a [u8],
    ) -> Option<Sending<'a>> {
        let mut sending = self.stands(folder)?;
        let Some((common, model)) = &mut sending.turn else { return Some(sending) };
        if has_moved(model, sending.folder) {
            // The target's listing may be of what was there before.
            model.set(sending.folder, flag::STIRRED);
            return None;
        }
        if let Some(node) = model.child(sending.folder, name) {
            if model.entry(node).kind == FileKind::Directory {
                return None;
            }
            if model.has(node, flag::FOLLOWED) {
                // What replication has sent of it found the directory there, or goes with it.
                if !common.ask_heal(folder.root, &folder.path, name) {
                    let id = model.entry(node).id;
                    common.ask_regroup(id);
                }
            }
        }
        Some(sending)
    }

    /// The target has the same under this name.
    pub(in crate::engine::source) fn same(&self, folder: &Folder, name: &CStr, stat: &Stat) {
        if let Gate::Follow(_) = self
            && let Some(sending) = self.sends(folder, name, stat)
        {
            sending.linked.set(true);
            sending.done(stat);
        }
    }

    /// The job reads this file over a longer time.
    pub(in crate::engine::source) fn begins(&self, id: (u64, u64)) {
        if let Gate::Follow(common) = self {
            common.begin_busy(id);
        }
    }

    /// It no longer does.
    pub(in crate::engine::source) fn ends(&self, id: (u64, u64)) {
        if let Gate::Follow(common) = self {
            common.end_busy(id);
        }
    }

    /// What the job sent could not be done, as the target is not as its listing was. True: replication sends it anew.
    pub(in crate::engine::source) fn heals(&self, root: u16, path: &[u8], name: &[u8]) -> bool {
        match self {
            Gate::Open => false,
            Gate::Follow(common) => common.ask_heal_of_job(root, path, name),
        }
    }

    /// The target has not what it had described under this name. True: replication sends what the source has there.
    pub(in crate::engine::source) fn mends(&self, folder: &Folder, name: &CStr) -> bool {
        // One that the model has not is found by listing.
        self.hand_over(folder, name, (0, 0)) && self.heals(folder.root, &folder.path, name.to_bytes())
    }

    /// What the job sent of a file is not all, or not of one time: replication sees to it.
    pub(in crate::engine::source) fn leave_content(&self, id: (u64, u64)) {
        if let Gate::Follow(common) = self {
            common.ask_content(id);
        }
    }

    /// A file that keeps changing is replication's work. False: there is none.
    pub(in crate::engine::source) fn hand_over(&self, folder: &Folder, name: &CStr, id: (u64, u64)) -> bool {
        let Gate::Follow(common) = self else { return false };
        if id != (0, 0) {
            common.ask_content(id);
        }
        // A name that the model does not have yet is found by listing its directory, unless it is gone by then.
        stir(&mut common.model(), folder, name.to_bytes());
        common.ask_rescan(folder.id);
        !common.has_given_up()
    }
}

/// The folder's node, if the folder is where the job has it and events in it count.
fn place_of(model: &Model, folder: &Folder) -> Option<NodeId> {
    let node = model.at(folder.root, &folder.path)?;
    let id = model.entry(node).id;
    ((id.dev, id.ino) == folder.id && !model.has(node, flag::DISPLACED)).then_some(node)
}

/// A name of the folder, wherever that is by now, may be on the target alone.
fn stir(model: &mut Model, folder: &Folder, name: &[u8]) {
    for node in model.names_of_number(folder.id.0, folder.id.1).collect::<Vec<_>>() {
        if model.child(node, name).is_none() {
            model.set(node, flag::STIRRED);
        }
    }
}

fn stir_at(model: &mut Model, root: u16, path: &[u8]) {
    if let Some(node) = model.at(root, path) {
        model.set(node, flag::STIRRED);
    }
}

/// Is it, or one above it, about to be found elsewhere, or gone?
pub(super) fn is_displaced(model: &Model, node: NodeId) -> bool {
    model.is_under(node, flag::DISPLACED | flag::PARKED)
}

/// Was the directory, or one above it, made or moved by replication since the job began?
pub(super) fn has_moved(model: &Model, node: NodeId) -> bool {
    model.is_under(node, flag::FOLLOWED)
}

impl Sending<'_> {
    /// It was sent so: the model has it from now on.
    pub(in crate::engine::source) fn done(mut self, stat: &Stat) {
        let folder = self.folder;
        let Some((common, model)) = &mut self.turn else { return };
        let entry = Entry::of(stat);
        common.lacks_no_more(&entry.id);
        if model.names_of(&entry.id).any(|name| model.has(name, flag::TIMED)) {
            common.ask_time(entry.id);
        }
        let sent = match model.child(folder, self.name) {
            Some(node) => {
                model.set_stamps(node, entry.size, (entry.ctime, entry.mtime));
                model.set(node, flag::PASSED);
                node
            }
            None => {
                if stat.kind == FileKind::Directory
                    || matches!(model.belongs(folder, self.name, false), Belongs::No)
                {
                    return;
                }
                model.insert(folder, self.name, &entry, flag::MADE | flag::PASSED)
            }
        };
        if entry.kind != FileKind::Directory && model.group(sent).len() > 1 && !self.linked.get() {
            // It has an inode of its own now; other names may be where the job does not come any more.
            common.ask_links(sent, entry.id);
        }
        let mut at = folder;
        while at != super::model::NONE && !model.has(at, flag::MADE) {
            model.set(at, flag::MADE);
            at = model.parent(at);
        }
    }

    /// The file is read over a longer time from now on.
    pub(in crate::engine::source) fn begin(&self, id: (u64, u64)) {
        if let Some((common, _)) = &self.turn {
            common.begin_busy(id);
        }
    }

    /// A name under which the target has this inode, as the job has passed it or replication has sent it since the job began: what it
    /// has under others may be from before. `known`: the first that the job has met. None: there is none any more.
    pub(in crate::engine::source) fn name_of(
        &self,
        stat: &Stat,
        known: (u16, &[u8], &[u8]),
    ) -> Option<Place> {
        let Some((common, model)) = &self.turn else {
            return Some((known.0, known.1.to_vec(), known.2.to_vec()));
        };
        let id = Identity::of(stat);
        let first = model.at(known.0, &super::super::folder::join(known.1, known.2));
        if first.is_none() && common.stands_at(&id, known.0, known.1, known.2) {
            // One that is being compared is entered when that is done; another has left, and what the target has there is from before.
            return Some((known.0, known.1.to_vec(), known.2.to_vec()));
        }
        let is_good = |node: &NodeId| {
            let own = model.parent(*node) == self.folder && model.name(*node) == self.name;
            let sent = Some(*node) == first || model.has(*node, flag::PASSED | flag::FOLLOWED);
            !own && sent && model.has(*node, flag::MADE) && !model.has(*node, flag::SEPARATE)
        };
        let names: Vec<NodeId> = model.names_of(&id).filter(is_good).collect();
        let found = names.iter().find(|node| Some(**node) == first).or(names.first());
        self.linked.set(found.is_some());
        found.map(|node| model.place(*node))
    }
}
