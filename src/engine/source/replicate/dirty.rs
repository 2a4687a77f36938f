//! The dirty set: where the target may not be as the source is once the log, or the stream, is lost (architecture.md 4). What a
//! remirror compares (MIR-20, QUE-08, QUE-10).
//!
//! Each record that is logged leaves a bit for the entry that it is about, whatever becomes of the record: sent, dropped or
//! damaged. Bits go in two *generations*: one of records up to a place in the log, one of what came after. When the target has
//! told that it has applied all up to that place, the older one is forgotten and the younger one takes its place. So a bit costs
//! no memory of its own and a set of bits is never larger than the model, and what is remembered is at most what was logged since
//! the answer before the last one.
//!
//! An entry that moves takes its bit with it. One that is removed needs none: its removal was logged in the directory that it
//! was in. A number that is used again for another entry makes the set larger than need be, never smaller.

use super::desk::Lost;
use super::ledger::{Entry, Ledger};
use super::model::{Identity, Model, NONE, NodeId};
use crate::engine::source::parts::Parts;
use crate::sys::FileKind;
use crate::wire::PARTS_MAX;
use std::collections::HashSet;
use std::sync::Arc;

/// Inodes that are remembered one by one; where there are more, everything is dirty.
const INODES: usize = 65_536;
/// Bytes of the paths that a remirror names to the target; one of more compares everything.
const PATHS: usize = 2 << 20;

/// A set of nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    words: Vec<u64>,
}

impl Nodes {
    /// False: it was in the set already.
    pub(super) fn insert(&mut self, node: NodeId) -> bool {
        let (word, bit) = (node as usize / 64, 1 << (node % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let before = self.words[word];
        self.words[word] |= bit;
        before & bit == 0
    }

    pub(super) fn has(&self, node: NodeId) -> bool {
        self.words.get(node as usize / 64).is_some_and(|word| word & (1 << (node % 64)) != 0)
    }

    fn clear(&mut self) {
        self.words.clear();
    }

    fn merge(&mut self, other: &Nodes) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = NodeId> + '_ {
        let set = |(at, word): (usize, &u64)| {
            let (at, word) = (at as NodeId * 64, *word);
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at + bit)
        };
        self.words.iter().enumerate().filter(|(_, word)| **word != 0).flat_map(set)
    }

    pub(super) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// What was marked.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// Directories whose own entries are dirty, and entries that are.
    nodes: Nodes,
    /// Of these, directories with everything below them.
    deep: Nodes,
    /// Inodes, under all names that they have by the time of the mirror.
    inodes: HashSet<Identity>,
    everything: bool,
}

impl Marks {
    pub(super) fn node(&mut self, node: NodeId, deep: bool) {
        self.nodes.insert(node);
        if deep {
            self.deep.insert(node);
        }
    }

    pub(super) fn inode(&mut self, id: Identity) {
        self.inodes.insert(id);
        if self.inodes.len() > INODES {
            self.inodes.clear();
            self.everything = true;
        }
    }

    /// What is dirty cannot be told.
    pub(super) fn everything(&mut self) {
        self.everything = true;
    }

    /// These have moved, or got another name.
    pub(super) fn moved(&mut self, nodes: &[(NodeId, bool)], inode: Option<Identity>) {
        nodes.iter().for_each(|(node, deep)| self.node(*node, *deep));
        inode.into_iter().for_each(|id| self.inode(id));
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.everything && self.inodes.is_empty() && self.nodes.len() == 0
    }

    fn clear(&mut self) {
        self.nodes.clear();
        self.deep.clear();
        self.inodes.clear();
        self.everything = false;
    }

    pub(super) fn merge(&mut self, other: &Marks) {
        self.nodes.merge(&other.nodes);
        self.deep.merge(&other.deep);
        other.inodes.iter().for_each(|id| self.inode(*id));
        self.everything |= other.everything;
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// Of mirrors that did not come to their end.
    kept: Marks,
    /// Of the records up to `upto`, and of later ones.
    older: Marks,
    younger: Marks,
    upto: u64,
    /// The last record that left a mark, and the last that went with a log that was lost.
    last: u64,
    dropped: u64,
    /// The question whose answer says that all records up to `upto` are applied, once it was asked.
    question: Option<u64>,
    /// The log is lost: nothing is forgotten until a mirror begins.
    lost: bool,
    /// A mirror has come to its end.
    mirrored: bool,
    /// All that changed before these times (nanoseconds since 1970) is of an older generation, or of the older or younger one.
    looked: i64,
    /// Where marks are noted.
    ledger: Option<Arc<Ledger>>,
}

impl Dirty {
    /// Notes marks from now on.
    pub(super) fn set_ledger(&mut self, ledger: Arc<Ledger>) {
        self.ledger = Some(ledger);
    }

    fn note(&self, entry: &Entry<'_>) {
        if let Some(ledger) = &self.ledger {
            ledger.note(entry);
        }
    }

    /// A record was put into the log at this position. Called behind that, so that what is forgotten never holds a mark of a
    /// record that is still to be sent.
    pub(super) fn logged(&mut self, position: u64) {
        self.last = self.last.max(position);
    }

    /// The last record in the log. None: all that was logged was lost.
    pub(super) fn logged_upto(&self) -> Option<u64> {
        (self.last > self.dropped).then_some(self.last)
    }

    /// Something is logged, dropped or about to be sent of this entry, and that is noted in the ledger; `deep`: and of all below it.
    pub(super) fn node(&mut self, node: NodeId, deep: bool) {
        self.younger.node(node, deep);
    }

    /// The same of an inode under all its names.
    pub(super) fn inode(&mut self, id: Identity) {
        self.note(&Entry::Inode { id });
        self.younger.inode(id);
    }

    /// What is dirty cannot be told.
    pub(super) fn everything(&mut self) {
        self.note(&Entry::Everything);
        self.younger.everything();
    }

    /// A question goes into the stream, behind all of what the records up to `sent` have brought.
    pub(super) fn asks(&mut self, question: u64, sent: u64) {
        if self.question.is_none() && sent >= self.upto {
            self.question = Some(question);
        }
    }

    /// The target has applied everything before this question. `looked`: what changed before that time (nanoseconds since 1970) is
    /// logged. Some: the target has all that changed before this time.
    pub(super) fn applied(&mut self, question: u64, looked: i64) -> Option<i64> {
        if self.lost || self.question.is_none_or(|asked| asked > question) {
            return None;
        }
        self.older.clear();
        std::mem::swap(&mut self.older, &mut self.younger);
        (self.upto, self.question) = (self.last, None);
        let settled = std::mem::replace(&mut self.looked, looked);
        (self.mirrored && self.kept.is_empty()).then_some(settled)
    }

    /// A mirror has compared all that it was to compare.
    pub(super) fn is_mirrored(&mut self) {
        self.mirrored = true;
    }

    /// May the target have something else than what it was sent, as no mirror has compared it since the start, or since the log was
    /// lost?
    pub(super) fn is_doubtful(&self) -> bool {
        self.lost || !self.mirrored || !self.kept.is_empty()
    }

    /// The log is lost.
    pub(super) fn lose(&mut self) {
        self.lost = true;
    }

    /// A mirror begins, which compares what is dirty. What stands in a log that is not lost is brought by that.
    pub(super) fn take(&mut self) -> Marks {
        let mut marks = std::mem::take(&mut self.kept);
        if std::mem::take(&mut self.lost) {
            marks.merge(&self.older);
            marks.merge(&self.younger);
            self.older.clear();
            self.younger.clear();
            (self.upto, self.question, self.dropped) = (self.last, None, self.last);
        }
        marks
    }

    /// These have moved, or got another name: with them what a mirror that did not come to its end was to compare.
    pub(super) fn moves(&mut self, nodes: &[(NodeId, bool)], inode: Option<Identity>) {
        if !self.kept.is_empty() {
            self.kept.moved(nodes, inode);
        }
    }

    /// The mirror did not come to its end.
    pub(super) fn keep(&mut self, marks: &Marks) {
        if marks.everything {
            self.note(&Entry::Everything);
        }
        self.kept.merge(marks);
    }
}

/// Which directories a remirror compares.
#[derive(Debug, Default)]
pub(super) struct Area {
    pub directories: Nodes,
    pub parts: Parts,
}

impl Marks {
    /// The directories to compare. None: all of them. `left`: places of the target whose entry was moved or removed; `vacated`:
    /// entries that stand in such places now.
    ///
    /// A file with several names is compared under all of them: only then it shows whether the target has them as one.
    pub(super) fn area(&self, model: &Model, left: &[Lost], vacated: &[NodeId]) -> Option<Area> {
        if self.everything {
            return None;
        }
        let mut find = Find { model, found: Nodes::default(), deep: Nodes::default(), todo: Vec::new() };
        for node in self.nodes.iter().filter(|node| model.is_used(*node)) {
            find.entry(node, self.deep.has(node));
        }
        for id in &self.inodes {
            model.names_of(id).for_each(|node| find.entry(node, true));
        }
        left.iter().filter_map(|(root, path, _)| model.at(*root, path)).for_each(|node| find.directory(node));
        // The target may have another directory there, with what was in that.
        vacated.iter().for_each(|node| find.entry(*node, true));
        find.names();
        let parts = find.parts()?;
        Some(Area { directories: find.found, parts })
    }
}

/// Looks for directories to compare.
struct Find<'a> {
    model: &'a Model,
    found: Nodes,
    /// Of these, the ones with everything below.
    deep: Nodes,
    /// Found, and their entries not looked at yet.
    todo: Vec<NodeId>,
}

impl Find<'_> {
    fn directory(&mut self, node: NodeId) {
        if self.model.entry(node).kind == FileKind::Directory && self.found.insert(node) {
            self.todo.push(node);
        }
    }

    /// A directory itself, and with `deep` its name and all below; else the directory that the entry is in.
    fn entry(&mut self, node: NodeId, deep: bool) {
        let is_directory = self.model.entry(node).kind == FileKind::Directory;
        if (deep || !is_directory) && self.model.parent(node) != NONE {
            self.directory(self.model.parent(node));
        }
        self.directory(node);
        if is_directory && deep && self.deep.insert(node) {
            for below in self.model.all_below(node) {
                self.directory(below);
            }
        }
    }

    /// Adds the directories of the other names of files that are in those that were found.
    fn names(&mut self) {
        while let Some(directory) = self.todo.pop() {
            for node in self.model.children(directory) {
                if self.model.entry(node).kind != FileKind::Directory {
                    for name in self.model.names_of(&self.model.entry(node).id) {
                        self.directory(self.model.parent(name));
                    }
                }
            }
        }
    }

    /// None: they are too many to be named.
    fn parts(&self) -> Option<Parts> {
        let mut parts = Parts::default();
        let (mut count, mut bytes) = (0, 0);
        for node in self.found.iter() {
            if self.is_below_deep(node) {
                continue;
            }
            let (root, path) = self.model.path(node);
            (count, bytes) = (count + 1, bytes + path.len());
            if count > PARTS_MAX || bytes > PATHS {
                return None;
            }
            parts.add(root, &path, self.deep.has(node));
        }
        Some(parts)
    }

    fn is_below_deep(&self, node: NodeId) -> bool {
        let mut at = self.model.parent(node);
        while at != NONE {
            if self.deep.has(at) {
                return true;
            }
            at = self.model.parent(at);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(marks: &Marks) -> Vec<NodeId> {
        marks.nodes.iter().collect()
    }

    #[test]
    fn what_is_applied_is_forgotten_and_what_came_later_is_not() {
        let mut dirty = Dirty::default();
        let log = |dirty: &mut Dirty, position, node| {
            dirty.logged(position);
            dirty.node(node, false);
        };
        log(&mut dirty, 1, 70);
        dirty.asks(1, 1);
        dirty.applied(1, 0);
        log(&mut dirty, 2, 3);
        // Not all of the older generation is sent.
        dirty.asks(2, 0);
        dirty.applied(2, 0);
        dirty.asks(3, 1);
        log(&mut dirty, 3, 4);
        dirty.applied(3, 0);
        dirty.lose();
        assert_eq!(ids(&dirty.take()), [3, 4]);
        assert!(ids(&dirty.take()).is_empty());
    }

    #[test]
    fn the_target_has_what_changed_before_the_generation_of_which_it_has_applied_all_that_is_older() {
        let mut dirty = Dirty::default();
        let apply = |dirty: &mut Dirty, number, looked| {
            dirty.logged(number);
            dirty.asks(number, number);
            dirty.applied(number, looked)
        };
        assert_eq!(apply(&mut dirty, 1, 100), None, "no mirror has compared what was there before");
        assert!(dirty.is_doubtful());
        dirty.is_mirrored();
        assert!(!dirty.is_doubtful());
        assert_eq!(apply(&mut dirty, 2, 200), Some(100));
        assert_eq!(apply(&mut dirty, 3, 300), Some(200));
        let mut marks = Marks::default();
        marks.node(1, false);
        dirty.keep(&marks);
        assert_eq!((apply(&mut dirty, 4, 400), dirty.is_doubtful()), (None, true));
        dirty.take();
        assert_eq!(apply(&mut dirty, 5, 500), Some(400));
        dirty.lose();
        assert_eq!((apply(&mut dirty, 6, 600), dirty.is_doubtful()), (None, true));
    }

    #[test]
    fn nothing_is_forgotten_once_the_log_is_lost() {
        let mut dirty = Dirty::default();
        dirty.logged(1);
        dirty.node(1, true);
        dirty.asks(1, 1);
        dirty.lose();
        dirty.applied(1, 0);
        dirty.asks(2, 1);
        dirty.applied(2, 0);
        let marks = dirty.take();
        assert_eq!(ids(&marks), [1]);
        // The mirror was cut.
        dirty.keep(&marks);
        assert!(dirty.take().deep.has(1));
    }

    /// What moves between two mirrors takes along what the first one did not bring.
    #[test]
    fn what_moves_after_a_mirror_that_was_cut_is_compared_by_the_next_one() {
        let mut dirty = Dirty::default();
        dirty.moves(&[(1, false)], None);
        assert!(dirty.take().is_empty(), "nothing is wrong");
        let mut marks = Marks::default();
        marks.node(7, true);
        dirty.keep(&marks);
        let id = Identity { dev: 1, ino: 2, born: 3 };
        dirty.moves(&[(8, true), (9, false)], Some(id));
        let marks = dirty.take();
        assert_eq!(ids(&marks), [7, 8, 9]);
        assert!(marks.deep.has(8) && !marks.deep.has(9) && marks.inodes.contains(&id));
    }

    #[test]
    fn what_stands_in_a_log_that_goes_on_is_not_taken() {
        let mut dirty = Dirty::default();
        dirty.logged(1);
        dirty.node(1, false);
        assert!(ids(&dirty.take()).is_empty());
        dirty.lose();
        assert_eq!(ids(&dirty.take()), [1]);
    }

    #[test]
    fn too_many_inodes_are_everything() {
        let mut dirty = Dirty::default();
        for ino in 0..=INODES as u64 {
            dirty.inode(Identity { dev: 1, ino, born: 0 });
        }
        dirty.lose();
        assert!(dirty.take().area(&Model::default(), &[], &[]).is_none());
    }
}
