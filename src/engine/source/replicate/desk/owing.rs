//! What could not be sent when its turn came, as its file had moved by then.

use super::super::common::Common;
use super::super::model::{Identity, Model, NodeId, flag};
use super::super::record::Record;
use std::collections::{HashMap, HashSet};

/// Of so many files that are owed, or more, those that are gone are forgotten.
const MOST: usize = 4096;

/// An inode, and whether its content is owed or its metadata alone.
pub(super) type Owed = (Identity, bool);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Owing {
    /// By the barriers that had passed when it was missed first.
    owed: HashMap<Owed, u64>,
    /// At so many of them, those that are gone are forgotten.
    most: usize,
    /// Of what is owed, what the target has nothing of: what stands under its names there is something else.
    pub(super) lacking: HashSet<Identity>,
    /// Records whose file had moved when their turn came.
    pub(super) missed: Vec<Vec<u8>>,
}

impl Owing {
    /// `there`: for all that is known it still exists, so that it is owed.
    pub(super) fn miss(&mut self, bytes: &[u8], there: bool, passed: u64) {
        if let Ok(record) = Record::decode(bytes)
            && let Some(owed) = owed(&record)
        {
            if there {
                self.owed.entry(owed).or_insert(passed);
            }
            if record.is_fresh() {
                self.lacking.insert(owed.0);
            }
        }
        self.missed.push(bytes.to_vec());
    }

    /// Its content is sent later.
    pub(super) fn owe(&mut self, id: Identity, passed: u64) {
        self.owed.entry((id, true)).or_insert(passed);
    }

    pub(super) fn pay(&mut self, record: &Record<'_>) {
        if self.owed.is_empty() && self.lacking.is_empty() {
            return;
        }
        if let Some((id, content)) = owed(record) {
            self.owed.remove(&(id, false));
            let directory = matches!(record, Record::Directory { .. } | Record::DirectoryMeta { .. });
            // A directory has no content; what had its number may have had some.
            if content || directory {
                self.owed.remove(&(id, true));
            }
            if record.is_fresh() || directory {
                self.lacking.remove(&id);
            }
        }
    }

    /// It cannot be read: nothing is owed, though the target may have nothing of it.
    fn give_up(&mut self, id: &Identity) {
        for content in [false, true] {
            self.owed.remove(&(*id, content));
        }
    }

    /// What is owed, as far as `wanted` says so of an inode and the barriers that had passed when it was missed first.
    pub(super) fn of(&self, wanted: impl Fn(&Identity, u64) -> bool) -> impl Iterator<Item = Owed> {
        self.owed.iter().filter(move |((id, _), since)| wanted(id, **since)).map(|(owed, _)| *owed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Nothing is owed, and nothing has to be sent anew.
    pub(super) fn is_paid(&self) -> bool {
        self.owed.is_empty() && self.lacking.is_empty() && self.missed.is_empty()
    }

    fn is_full(&self) -> bool {
        self.owed.len().max(self.lacking.len()) >= MOST.max(self.most)
    }

    /// Twice what is left may be owed, so that forgetting costs little for each.
    fn make_room(&mut self) {
        self.most = 2 * self.owed.len().max(self.lacking.len());
    }

    fn all(&self) -> HashSet<Identity> {
        self.owed.keys().map(|(id, _)| *id).chain(self.lacking.iter().copied()).collect()
    }

    fn forget(&mut self, gone: &HashSet<Identity>) {
        self.owed.retain(|(id, _), _| !gone.contains(id));
    }

    /// Those that are gone may come back before all records about them are sent; past a number they are forgotten all the same.
    fn forget_all(&mut self, gone: &HashSet<Identity>) {
        self.forget(gone);
        self.lacking.retain(|id| !gone.contains(id));
        self.make_room();
    }

    /// The log is dropped. What was owed.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Identity> {
        self.missed.clear();
        self.lacking.clear();
        std::mem::take(&mut self.owed).into_keys().map(|(id, _)| id)
    }
}

fn owed(record: &Record<'_>) -> Option<Owed> {
    // A directory is made before it is read: what is owed of it is its metadata.
    let content = matches!(record, Record::Content { .. } | Record::Other { .. });
    record.subject().map(|(_, id)| (id, content))
}

impl Common {
    /// A record whose file was not where it had been a moment before. `there`: else it is gone, and nothing waits for it, but
    /// what there is under its names is looked at.
    /// `patient`: not while a task is in the log, behind which it would come. False: nothing has been done about it.
    pub(in super::super) fn miss(&self, bytes: &[u8], there: bool, patient: bool) -> bool {
        if self.desk().owing.is_full() {
            self.make_owing_room();
        }
        let mut missed = false;
        self.ask(|desk| {
            missed = !(patient && desk.tasks.has_placed());
            if missed {
                desk.owing.miss(bytes, there, desk.barriers.passed);
            }
        });
        missed
    }

    /// The target was to get something that the model has no more. It may come back: until it is sent whole, what stands under its
    /// names there is something else, perhaps another name of a file that is to stay as it is.
    pub(in super::super) fn lacks(&self, id: Identity) {
        if self.desk().owing.is_full() {
            self.make_owing_room();
        }
        self.desk().owing.lacking.insert(id);
    }

    /// A record was sent.
    pub(in super::super) fn pay(&self, record: &Record<'_>) {
        self.desk().owing.pay(record);
    }

    /// A record was read in vain: that is a failure, and no barrier waits for it. What the target has nothing of is sent whole when it
    /// is looked at next.
    pub(in super::super) fn gives_up(&self, record: &Record<'_>) {
        let Some((_, id)) = record.subject() else { return };
        let mut model = self.model();
        let mut desk = self.desk();
        desk.owing.give_up(&id);
        let lacking = record.is_fresh() || desk.owing.lacking.contains(&id);
        drop(desk);
        if lacking {
            for node in model.names_of(&id).collect::<Vec<_>>() {
                if model.has(node, flag::MADE) {
                    model.set(node, flag::LACKING);
                    // After a restart, too.
                    let size = model.entry(node).size;
                    model.set_stamps(node, size, (0, 0));
                }
            }
        }
    }

    /// All that was logged is applied: what is lacking and has no name any more is new when it comes back.
    pub(in super::super) fn forget_lacking(&self) {
        let mut lacking: Vec<Identity> = self.desk().owing.lacking.iter().copied().collect();
        if lacking.is_empty() {
            return;
        }
        let model = self.model();
        lacking.retain(|id| model.names_of(id).next().is_none());
        let mut desk = self.desk();
        lacking.iter().for_each(|id| _ = desk.owing.lacking.remove(id));
    }

    /// What is no more is owed no more, nor is what a root has of its own that is not there: its copy was let go, or it is held.
    /// The model must not be held.
    pub(super) fn forgive(&self) {
        let gone = self.gone();
        self.desk().owing.forget(&gone);
    }

    fn make_owing_room(&self) {
        let gone = self.gone();
        self.desk().owing.forget_all(&gone);
    }

    fn gone(&self) -> HashSet<Identity> {
        let mut owing = self.desk().owing.all();
        if !owing.is_empty() {
            let model = self.model();
            let stands = |node| !model.is_root(node) || self.has_root(&model, node);
            owing.retain(|id| !model.names_of(id).any(stands));
        }
        owing
    }

    fn has_root(&self, model: &Model, root: NodeId) -> bool {
        let (number, _) = model.path(root);
        let place = self.roots.get(&number);
        place.is_some_and(|place| std::fs::symlink_metadata(&place.path).is_ok())
    }

    /// Has the target nothing of it, though it was to be sent before? It will be sent whole.
    pub(in super::super) fn is_lacking(&self, id: &Identity) -> bool {
        self.desk().owing.lacking.contains(id)
    }

    /// The same, and a record of it comes to nothing for that reason: it is owed until it is sent whole. Not where a record of its content
    /// stands further back in the log: that sends it, or comes to nothing itself. What was there before it has come back was gone.
    pub(in super::super) fn waits_for_whole(&self, id: &Identity) -> bool {
        if !self.is_lacking(id) {
            return false;
        }
        let model = self.model();
        let comes = model.names_of(id).any(|node| model.has(node, flag::CONTENT));
        let mut desk = self.desk();
        let lacking = desk.owing.lacking.contains(id);
        if lacking && !comes {
            let passed = desk.barriers.passed;
            desk.owing.owe(*id, passed);
        }
        lacking
    }

    /// A job has sent it whole, or the target has the same. What changed in it since the job has read it may have come to nothing: its
    /// content is compared.
    pub(in super::super) fn lacks_no_more(&self, id: &Identity) {
        let mut desk = self.desk();
        let owed = desk.owing.lacking.remove(id) && desk.owing.owed.contains_key(&(*id, true));
        if owed {
            desk.jobs.requests.owed.push((*id, true));
            drop(desk);
            self.capture.looks().wake();
        }
    }
}
