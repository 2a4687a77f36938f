//! How a mirror begins and ends beside replication, and what it compares.

use super::super::desk::{Desk, Lost};
use super::super::dirty::{Area, Marks, Nodes};
use super::super::gate::{has_moved, is_displaced};
use super::super::ledger::Entry;
use super::super::model::{Identity, Model, NodeId, flag};
use super::super::record::{At, Record};
use super::{Common, follow};
use crate::engine::source::folder::join;
use crate::engine::source::parts::{Parts, Vacated};
use crate::sys::FileKind;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// An answer of the target is waited for so long at a time.
const ANSWER: Duration = Duration::from_secs(1);

/// What the present mirror, or the last one, compares.
#[derive(Debug, Default)]
pub(super) struct Comparing {
    /// To be dirty again if it does not come to its end. None: no mirror is on its way.
    pub(super) marks: Option<Marks>,
    /// Whatever only the target has is to go.
    unseen: bool,
    /// It has come to its end.
    complete: bool,
    /// Mirrors that were required before it began.
    required: u64,
    /// A person has asked it to remove what only the target has.
    removes: bool,
    /// None: everything.
    directories: Option<Arc<Nodes>>,
    /// Directories that were asked for once more though they stood still.
    again: Nodes,
}

/// How a mirror begins.
#[derive(Debug, Default)]
pub(in crate::engine::source) struct Begun {
    /// Names may have left unseen: whatever only the target has has to go.
    pub unseen: bool,
    /// All that is to be compared. None: everything.
    pub parts: Option<Parts>,
    pub vacated: Vacated,
    /// Files whose inode has changed since (nanoseconds since 1970) may have other content on the target than size and time tell.
    pub doubtful: Option<i64>,
}

/// What a mirror compares once more.
#[derive(Debug, Default)]
pub(in crate::engine::source) enum Stirred {
    /// Nothing is left.
    #[default]
    Nothing,
    /// These directories (None: all), and places of the target that something has left unseen.
    Parts(Option<Parts>, Vacated),
    /// What has to be is on its way.
    Later,
    /// The replication is ending, or the target has.
    Gone,
}

impl Common {
    /// Directories that are to be compared in another pass, for which what replication has sent until now counts as passed: it is on its way to
    /// the target before that is asked to describe itself.
    ///
    /// Where the target may have what the source has not (`sweeps`: everywhere; else at places that something has left unseen), those that
    /// could not be compared as they are now. Elsewhere those that stand where they stood, and were not compared: they, or those above
    /// them, were away for the moment in which the walk came by, and no event but that of the way back tells. Once each.
    pub(in super::super) fn stirred(&self, sweeps: bool) -> Stirred {
        if sweeps {
            self.wait_answered();
        }
        let Some(mut model) = self.mirror_turn() else { return Stirred::Gone };
        // What fails, or was missed, may be sent anew to a place where the target has something else.
        let mut away = sweeps && (!self.is_answered() || self.has_debts() || self.has_requests());
        let mut found = Vec::new();
        let (asked, mut again) = self.asked();
        for root in model.roots().to_vec() {
            for node in model.all_below(root) {
                let is_stirred = model.has(node, flag::STIRRED);
                let is_compared = model.has(node, flag::SWEPT) && !is_stirred;
                if model.entry(node).kind != FileKind::Directory || is_compared {
                    continue;
                }
                let was_asked = asked.as_ref().is_none_or(|asked| asked.has(node));
                let (moved, displaced) = (has_moved(&model, node), is_displaced(&model, node));
                if !sweeps && !model.is_under(node, flag::VACATED) {
                    if was_asked && !is_stirred && !moved && !displaced && again.insert(node) {
                        found.push(node);
                    }
                } else if was_asked && !is_stirred && !moved && !again.insert(node) {
                    // It stood still, and could not be compared all the same.
                    model.set(node, flag::SWEPT);
                } else if displaced {
                    model.set(node, flag::STIRRED);
                    away = true;
                } else {
                    found.push(node);
                }
            }
        }
        self.comparing().again = again;
        if found.is_empty() {
            return if away { Stirred::Later } else { Stirred::Nothing };
        }
        self.asks_again(&mut model, found)
    }

    /// The directories that the present pass compares (None: all), and those that were asked for once more.
    fn asked(&self) -> (Option<Arc<Nodes>>, Nodes) {
        let mut comparing = self.comparing();
        (comparing.directories.clone(), std::mem::take(&mut comparing.again))
    }

    /// These directories are compared in another pass.
    fn asks_again(&self, model: &mut Model, found: Vec<NodeId>) -> Stirred {
        let mut marks = Marks::default();
        found.iter().for_each(|node| marks.node(*node, false));
        // One that cannot be opened is not asked for for ever; one that moves before it is compared is asked for again.
        found.into_iter().for_each(|node| model.clear(node, flag::STIRRED | flag::SWEPT));
        let area = marks.area(model, &[], &[]);
        self.begin_job(model);
        let vacated = Vacated::new(model.flagged(flag::VACATED).into_iter().map(|node| model.path(node)));
        let (directories, parts) =
            area.map_or((None, None), |area| (Some(Arc::new(area.directories)), Some(area.parts)));
        self.comparing().directories = directories;
        Stirred::Parts(parts, vacated)
    }

    /// Waits until all that was logged until now is answered, a while at most.
    fn wait_answered(&self) {
        let logged = self.dirty().logged_upto();
        let desk = self.desk();
        let waits = |desk: &mut Desk| {
            !desk.has_applied(logged) && self.is_line_alive() && !self.is_stopping() && !self.is_degraded()
        };
        drop(self.told.wait_timeout_while(desk, ANSWER, waits).unwrap_or_else(PoisonError::into_inner));
    }

    /// Is all that was logged answered? For who holds the model.
    fn is_answered(&self) -> bool {
        let logged = self.dirty().logged_upto();
        self.desk().has_applied(logged)
    }

    /// A job has ended. What a mirror that did not come to its end was to compare is dirty still.
    pub(in super::super) fn job_ends(&self, complete: bool) {
        self.job_runs(false);
        let model = self.model();
        let mut comparing = self.comparing();
        comparing.complete = complete && comparing.marks.is_some();
        if comparing.complete {
            self.covered.store(comparing.required, Relaxed);
            self.dirty().is_mirrored();
        }
        let mut unseen = false;
        if let Some(mut marks) = comparing.marks.take_if(|_| !complete) {
            // What only the target has there may not be removed yet.
            model.flagged(flag::STIRRED).into_iter().for_each(|node| marks.node(node, false));
            self.dirty().keep(&marks);
            unseen = comparing.unseen;
        }
        drop(comparing);
        drop(model);
        if unseen {
            self.lose_all();
        }
        self.end_all_busy();
        self.whole.store(true, Relaxed);
        self.mirrored.store(self.is_mirroring(), Relaxed);
        self.capture.looks().wake();
    }

    /// Entries have moved, or a file got another name, while a mirror is on its way or after one that did not come to its end: it may have sent a
    /// part of them, or nothing. The next one compares them where they are then, whatever replication has been told of its own record.
    pub(in super::super) fn moves_in_mirror(&self, record: &Record<'_>, nodes: &[(NodeId, bool)]) {
        let inode = match record {
            Record::Link { id, .. } | Record::Rename { id, directory: false, .. } => Some(*id),
            _ => None,
        };
        // Locked while a mirror's marks go from one place to the other.
        let mut comparing = self.comparing();
        match &mut comparing.marks {
            Some(marks) => marks.moved(nodes, inode),
            None => self.dirty().moves(nodes, inode),
        }
    }

    /// The mirror has ended; what it did not find in its place is compared when it is found, which may be only now.
    pub(in super::super) fn is_mirror_ending(&self) -> bool {
        self.mirrored.load(Relaxed)
    }

    /// Everything that was changed before the mirror ended was looked at.
    pub(in super::super) fn end_mirroring(&self) {
        // Under the locks, as the next one may be beginning.
        let mut model = self.model();
        let mut comparing = self.comparing();
        if self.mirrored.swap(false, Relaxed) {
            self.mirroring.store(false, Relaxed);
            comparing.marks = None;
            if comparing.complete {
                let parked = model.flagged(flag::PARKED);
                let doubtful: Vec<_> =
                    parked.into_iter().filter(|node| model.has(*node, flag::VACATED)).collect();
                model.clear_all(flag::VACATED);
                // No mirror compares what stands under the engine's own names.
                doubtful.into_iter().for_each(|node| model.set(node, flag::VACATED));
            }
        }
    }

    /// May the target have another file under one of the names of this one? While a mirror is on its way it may under those that it compares
    /// and has not come to. What is written there, or set, could go to a file of which the mirror has passed other names already.
    pub(in super::super) fn is_uncertain(&self, model: &Model, node: NodeId) -> bool {
        if !self.is_mirroring() {
            return false;
        }
        let is_sure = |name: NodeId| !self.is_uncertain_name(model, name);
        if model.has(node, flag::SEPARATE) {
            return !is_sure(node);
        }
        let id = model.entry(node).id;
        !model.names_of(&id).filter(|name| !model.has(*name, flag::SEPARATE)).all(is_sure)
    }

    /// The same, of what is not locked: its kind, and whether it has an inode of its own. None: it is certain.
    pub(in super::super) fn uncertain(&self, node: NodeId) -> Option<(FileKind, bool)> {
        if !self.is_mirroring() {
            return None;
        }
        let model = self.model();
        let single = || model.has(node, flag::SEPARATE) || model.group(node).len() == 1;
        self.is_uncertain(&model, node).then(|| (model.entry(node).kind, single()))
    }

    /// Replication has made this name, whole or as a link to that one: what the target has there is known from now on.
    pub(in super::super) fn is_sure_now(&self, id: &Identity, at: &At<'_>, from: Option<&At<'_>>) {
        if !self.is_mirroring() {
            return;
        }
        let mut model = self.model();
        let find = |model: &Model, at: &At<'_>| {
            model.at(at.root, &join(at.path, at.name)).filter(|node| model.is(*node, id))
        };
        let Some(node) = find(&model, at) else { return };
        if from
            .is_none_or(|from| find(&model, from).is_some_and(|from| !self.is_uncertain_name(&model, from)))
        {
            model.set(node, flag::SURE);
        }
    }

    fn is_uncertain_name(&self, model: &Model, node: NodeId) -> bool {
        let compared = self.compared();
        let is_compared = compared.as_ref().is_none_or(|compared| compared.has(model.parent(node)));
        is_compared && !model.has(node, flag::PASSED | flag::SURE)
    }

    /// The directories that the present mirror compares. None: all.
    pub(in super::super) fn compared(&self) -> Option<Arc<Nodes>> {
        self.comparing().directories.clone()
    }

    /// Was the present mirror, or the last one, to remove what only the target has?
    pub(in super::super) fn sweeps(&self) -> bool {
        self.comparing().removes
    }

    /// A mirror is on its way: what the target has may not be what the model says.
    pub(in super::super) fn is_mirroring(&self) -> bool {
        self.mirroring.load(Relaxed)
    }

    /// Names may have left unseen before the present mirror: the target may have anything.
    pub(in super::super) fn is_unseen(&self) -> bool {
        self.comparing().unseen
    }

    /// A mirror begins: it compares everything, or what is dirty, so what was dropped is made good by it. Names that left the
    /// source while the log was lost are removed first.
    pub(in super::super) fn mirror_begins(&self, removes: bool) -> Begun {
        self.wait_listed();
        self.active.store(true, Relaxed);
        {
            let mut comparing = self.comparing();
            // What the last one left to be found is not found yet.
            if let Some(marks) = std::mem::take(&mut *comparing).marks {
                self.dirty().keep(&marks);
            }
            self.mirrored.store(false, Relaxed);
            self.mirroring.store(true, Relaxed);
        }
        if self.is_degraded() {
            self.drop_log();
        }
        // Held until the names that have left are in the log: what comes behind them may need their places. What was logged before has gone
        // out: the target's description is not older than what counts as sent by replication from here on.
        let Some(mut model) = self.mirror_turn() else { return Begun::default() };
        model.clear_all(flag::STIRRED | flag::SWEPT);
        let required = self.shared.required();
        let is_doubtful = self.dirty().is_doubtful() || required != self.covered.load(Relaxed);
        let doubtful = self.plan.settled.doubtful_since().filter(|_| is_doubtful);
        let mut marks = self.begin_log(&mut model);
        self.begin_job(&mut model);
        let (left, unseen) = self.take_lost();
        for (root, path, name) in &left {
            if let Some(node) = model.at(*root, &join(path, name)) {
                model.set(node, flag::VACATED);
            }
        }
        let mut vacated = model.flagged(flag::VACATED);
        vacated.retain(|node| !model.has(*node, flag::PARKED));
        let area = if self.shared.mirrors_dirty_only() && !self.has_given_up() {
            marks.area(&model, &left, &vacated)
        } else {
            None
        };
        self.tell_area(&model, area.as_ref());
        if area.is_none() {
            self.ledger.note(&Entry::Everything);
            marks.everything();
        }
        if let Some(area) = &area {
            // If it does not come to its end, the next one compares no less.
            area.directories.iter().for_each(|node| marks.node(node, false));
            // What is not compared is as it should be.
            for root in model.roots().to_vec() {
                for node in model.all_below(root).into_iter().filter(|node| !area.directories.has(*node)) {
                    model.set(node, flag::SWEPT);
                }
            }
        }
        let (sweeps, removes) = (removes, !left.is_empty());
        self.remove_left(&model, &left);
        let (directories, parts) =
            area.map_or((None, None), |area| (Some(Arc::new(area.directories)), Some(area.parts)));
        let vacated = Vacated::new(vacated.into_iter().map(|node| model.path(node)));
        *self.comparing() = Comparing {
            marks: Some(marks),
            unseen,
            directories,
            required,
            removes: sweeps,
            ..Comparing::default()
        };
        drop(model);
        if removes {
            // The target describes itself without them.
            drop(self.mirror_turn());
        }
        Begun { unseen, parts, vacated, doubtful }
    }

    /// The target is not known to have what the model has: all is compared by the next mirror, also after a restart of the service.
    pub(in super::super) fn distrust(&self) {
        let mut marks = Marks::default();
        marks.everything();
        self.dirty().keep(&marks);
    }

    /// From now on records are logged. What has to be compared.
    fn begin_log(&self, model: &mut Model) -> Marks {
        if self.is_degraded() {
            // What was being logged when the log was lost.
            self.drop_log();
        }
        let degraded = self.degraded.swap(self.has_given_up(), Relaxed);
        if degraded {
            model.clear_all(flag::CONTENT | flag::META);
            // Under the engine's own name the target may have it not at all, or what was sent there meanwhile: the move to that name may have
            // gone with the log.
            model.flagged(flag::PARKED).into_iter().for_each(|node| model.set(node, flag::VACATED));
            self.waiting().clear();
        }
        let mut marks = self.dirty().take();
        for place in self.take_unhealed() {
            self.at_places(model, &place).into_iter().for_each(|(node, _)| marks.node(node, true));
        }
        marks
    }

    /// Removes the names that nothing has taken since.
    fn remove_left(&self, model: &Model, left: &[Lost]) {
        let mut record = Vec::new();
        for (root, path, name) in left {
            // One whose directory has left, too, goes with that; to remove it by itself would make the directory, also where
            // the source has something else by now.
            let Some(directory) = model.directory_at(*root, path) else { continue };
            if model.child(directory, name).is_none() {
                record.clear();
                let at = At { root: *root, path, name };
                Record::Remove { at, directory: true }.encode(&mut record);
                self.log(&record, 0, &[(directory, false)]);
            }
        }
    }

    fn tell_area(&self, model: &Model, area: Option<&Area>) {
        if let Some(area) = area {
            let (compared, all) = (area.directories.len(), model.directories());
            let id = self.plan.connection;
            tracing::info!("Remirror of connection {id}: {compared} of {all} directories are compared");
        }
    }

    /// A verification begins: what replication sends from now on it leaves alone. `repairs`: it sends what differs.
    pub(in super::super) fn job_begins(&self, repairs: bool) {
        if repairs {
            self.ledger.note(&Entry::Everything);
        }
        self.wait_listed();
        if let Some(mut model) = self.mirror_turn() {
            self.begin_job(&mut model);
        }
    }

    fn begin_job(&self, model: &mut Model) {
        model.clear_all(flag::FOLLOWED | flag::TIMED | flag::PASSED);
        model.clear_files(flag::SURE);
        self.clear_requests();
        let Some(bulk) = self.bulk() else { return };
        // What is under way goes on, into the file that the target has now. One that ends meanwhile leaves sums, which are of
        // no use once the job has sent the file.
        for id in bulk.under_way() {
            follow(model, &id);
        }
        bulk.forget_all();
    }
}
