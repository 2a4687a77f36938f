//! Looking: what capture names is compared with the model, and the difference goes to the log.
//!
//! Events are places to look, never operations (architecture.md 3): what counts is what is there after the event was read.
//! An entry that is not where the model has it is *displaced*: it is removed only when every event that was queued before
//! it was missed has been looked at, as it may have moved. A place that is needed before is cleared by *parking* its entry
//! under a name of the engine's own. So any order, folding or repetition of events leads to the same end.

mod again;
mod barriers;
mod changed;
mod doubt;
mod entries;
mod listing;
mod missing;
mod places;

use super::super::capture::{Batch, Change, Key, Look, Place};
use super::super::folder::join;
use super::super::walk::source_path;
use super::super::writers::Silent;
use super::common::{Accounts, Common};
use super::model::{Identity, Model, NONE, NodeId};
use super::record::{At, Record, State};
use crate::engine::log::escape;
use crate::sys::{Dir, FileKind, Names};
use barriers::Waiting;
use places::{Left, Named, Whereabouts};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Looks that are settled while the model is held: others get their turn in between.
const CHUNK: usize = 256;
/// Directories that are held open at a time.
const OPEN: usize = 2048;
/// How often a directory that cannot be found is tried to be listed.
const LISTINGS: u8 = 20;
/// How often a directory that has moved again is looked for where the kernel knows it.
const CHASES: u8 = 20;
/// How often what was missed is looked for by its key before it waits for events.
const PASSES: usize = 4;
/// The batch of what is known to be gone: no event has anything to add.
const CERTAIN: u64 = 0;
/// How often a look waits for its directory to be found again.
const TRIES: u8 = 3;

/// How often something was looked at in vain, and the first batch in which it was.
#[derive(Clone, Copy, Debug)]
struct Late {
    tries: u8,
    since: u64,
}

/// Roots and their paths.
type Tops = Vec<(NodeId, Vec<u8>)>;

/// The looking side's own state. Used by one thread.
pub(super) struct Looker {
    common: Arc<Common>,
    /// Counts batches.
    batch: u64,
    displaced: Vec<(NodeId, Identity, u64)>,
    deferred: Vec<(Look, Late)>,
    /// Directories whose own times an operation in them has moved on the target.
    touched: HashSet<NodeId>,
    /// Directories to list, last first.
    scans: Vec<(NodeId, Identity)>,
    /// Directories that had moved when they were to be listed, and how often that was so.
    unlisted: Vec<(NodeId, Identity, u8)>,
    /// Of the directories that are displaced or unlisted: since which batch something is to be looked at in them.
    behind: HashMap<NodeId, u64>,
    /// Records whose file could not be found, as its directory had moved.
    unsent: Vec<Vec<u8>>,
    listed_late: HashMap<NodeId, u8>,
    /// Displaced directories that were elsewhere in the set when they were looked for, and how often.
    chased: HashMap<NodeId, (Identity, u8)>,
    /// Held only while a batch is looked at: a descriptor would keep a file system from being unmounted.
    open: HashMap<NodeId, (Identity, Arc<Dir>)>,
    /// Directories of this batch that were not where the model has them, and how many moves the model had seen by then.
    astray: HashMap<NodeId, (Identity, u64)>,
    /// Where inodes were seen in this chunk.
    seen: HashMap<Identity, (NodeId, Box<[u8]>)>,
    names: Names,
    buffer: Vec<u8>,
    record: Vec<u8>,
    /// The directories above the roots.
    above: HashSet<Key>,
    /// Roots that were renamed or removed, and whose copies were let go.
    let_go: HashSet<u16>,
    /// What is missed now counts with the batch that comes so many behind this one.
    ahead: u64,
    /// The displaced entries that count with a later batch.
    later: HashSet<NodeId>,
    /// Barriers that have no place in the log yet.
    marks: Vec<Waiting>,
    silent: Silent,
    /// It was said that some processes cannot be looked at.
    told_hidden: bool,
    /// Directories that events of this batch named and that the model does not have, though they were looked for; true: they are
    /// outside.
    unknown: HashMap<Key, bool>,
    /// Inodes that have lost a name by what the next record does.
    parted: Vec<Identity>,
    /// The roots' paths as capture resolves them, once one was asked for in this batch; None where one cannot be told.
    tops: Option<Option<Tops>>,
    /// Where events of this batch, and of the one before it, named an object.
    named: HashMap<Key, HashSet<Named>>,
    named_before: HashMap<Key, HashSet<Named>>,
    left: Left,
    accounts: Accounts,
    /// Everything is listed, as the model is one of before: what is as it was needs nothing.
    lists_all: bool,
}

/// What an event told of a name, where it tells objects.
#[derive(Clone, Copy, Debug, Default)]
struct Told<'a> {
    object: Option<&'a Key>,
    from: Option<&'a Key>,
}

/// Whether an entry is where the model has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    There,
    Gone,
    /// Its directory is not where the model has that.
    Unknown,
}

/// Why a directory could not be opened.
enum Unreachable {
    /// It is not where the model has it: its own event will tell.
    Elsewhere,
    /// The root is not the one that was connected.
    Root,
    Failed(io::Error),
}

impl Looker {
    pub(super) fn new(common: Arc<Common>, above: HashSet<Key>) -> Self {
        Self {
            common,
            batch: 0,
            displaced: Vec::new(),
            deferred: Vec::new(),
            touched: HashSet::new(),
            scans: Vec::new(),
            unlisted: Vec::new(),
            behind: HashMap::new(),
            unsent: Vec::new(),
            listed_late: HashMap::new(),
            chased: HashMap::new(),
            open: HashMap::new(),
            astray: HashMap::new(),
            seen: HashMap::new(),
            names: Names::default(),
            buffer: Vec::new(),
            record: Vec::new(),
            above,
            let_go: HashSet::new(),
            ahead: 0,
            later: HashSet::new(),
            marks: Vec::new(),
            silent: Silent::new(Path::new("/proc")),
            told_hidden: false,
            unknown: HashMap::new(),
            parted: Vec::new(),
            tops: None,
            named: HashMap::new(),
            named_before: HashMap::new(),
            left: Left::default(),
            accounts: Accounts::default(),
            lists_all: false,
        }
    }

    /// True while something waits for the events that are still to be read.
    pub(super) fn is_waiting(&self) -> bool {
        let lists = [self.displaced.is_empty(), self.deferred.is_empty(), self.unlisted.is_empty()];
        lists.contains(&false) || !self.unsent.is_empty() || !self.scans.is_empty()
    }

    /// Reads what the kernel holds; it is looked at with this batch at the latest.
    pub(super) fn drain(&mut self, batch: u64) {
        self.common.capture.drain();
        self.left.read(batch);
    }

    /// Nothing is to be looked at: what left the set is known to have left it as soon as no event of before can come any more.
    pub(super) fn forget_left(&mut self) {
        if self.left.is_empty() {
            return;
        }
        self.common.capture.drain();
        let last = self.common.capture.looks().is_empty();
        self.left.all_read(self.batch + u64::from(!last));
    }

    /// All that is known of is logged: the ledger may go on.
    pub(super) fn account(&mut self) {
        self.common.account(&mut self.accounts, self.silent.held());
    }

    /// Batches that were looked at.
    pub(super) fn batch(&self) -> u64 {
        self.batch
    }

    /// What is to be looked at in a directory has to wait until that is found.
    fn fall_behind(&mut self, node: NodeId, since: u64) {
        let known = self.behind.entry(node).or_insert(since);
        *known = since.min(*known);
    }

    /// Forgets those that were found, or are gone.
    fn catch_up(&mut self) {
        if !self.behind.is_empty() {
            let late = self
                .displaced
                .iter()
                .map(|(node, ..)| *node)
                .chain(self.unlisted.iter().map(|(node, ..)| *node));
            let late: HashSet<NodeId> = late.collect();
            self.behind.retain(|node, _| late.contains(node));
        }
    }

    /// Looks at everything that a batch names. An empty batch: no event came since the last one.
    pub(super) fn look(&mut self, batch: &mut Batch) {
        self.batch += 1;
        let number = self.batch;
        if self.common.is_released() {
            self.release_roots();
        }
        self.grant(self.common.take_requests());
        let mut late = std::mem::take(&mut self.deferred);
        if !batch.looks.is_empty() {
            self.named_before = std::mem::take(&mut self.named);
            self.note_names(&late);
        }
        let mut looks = self.take_in(batch);
        // What waited comes after what was found since, which may bring its directory back.
        looks.append(&mut late);
        self.list_late();
        let (mut hurry, mut extended, mut at) = (self.has_marks(), false, 0);
        loop {
            if !extended && self.common.has_new_marks() && self.take_marks(number) {
                self.common.capture.looks().take(batch);
                let more = self.take_in(batch);
                looks = fold(looks.split_off(at), more);
                (at, hurry, extended) = (0, true, true);
            }
            let chunk = &looks[at..looks.len().min(at + CHUNK)];
            if chunk.is_empty() {
                break;
            }
            at += chunk.len();
            let common = Arc::clone(&self.common);
            common.wait_for_room();
            self.send_back();
            let mut model = common.turn();
            self.prepare(&model, chunk);
            for (look, late) in chunk {
                self.one(&mut model, look, *late);
            }
            self.seen.clear();
            drop(model);
            self.scan();
        }
        self.scan();
        if hurry {
            self.hasten();
        }
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        // Whatever was missed before this batch was read would have been found by now.
        self.flush_displaced(&mut model, number - 1);
        drop(model);
        self.scan();
        self.flush_touched(&mut common.turn());
        self.end_batch();
    }

    /// A barrier waits: what was missed is looked for, and then what waited for that.
    fn hasten(&mut self) {
        let common = Arc::clone(&self.common);
        let before = self.batch - 1;
        self.look_for_displaced(&mut common.turn(), before);
        let late = std::mem::take(&mut self.deferred);
        if late.is_empty() && self.unlisted.is_empty() {
            return;
        }
        let mut model = common.turn();
        for (look, late) in late {
            self.one(&mut model, &look, late);
        }
        drop(model);
        self.list_late();
        self.scan();
        self.look_for_displaced(&mut common.turn(), before);
        self.catch_up();
    }

    /// The places that were read for this batch; gaps and mounts are seen to at once.
    fn take_in(&mut self, batch: &mut Batch) -> Vec<(Look, Late)> {
        if std::mem::take(&mut batch.mounts_changed) {
            self.mounts();
        }
        for gap in batch.gaps.drain(..) {
            self.gap(gap);
        }
        let fresh = Late { tries: 0, since: self.batch };
        let looks: Vec<(Look, Late)> = batch.looks.drain(..).map(|look| (look, fresh)).collect();
        self.note_names(&looks);
        looks
    }

    /// Forgets what holds for a batch alone, and closes what it has opened.
    pub(super) fn end_batch(&mut self) {
        self.left.looked(self.batch);
        self.catch_up();
        self.open.clear();
        self.astray.clear();
        self.unknown.clear();
        self.tops = None;
        self.common.capture.let_go();
    }

    /// Removes everything displaced: capture was read empty, and nothing came.
    pub(super) fn settle(&mut self) {
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        let deferred = std::mem::take(&mut self.deferred);
        for (look, late) in deferred {
            self.one(&mut model, &look, Late { tries: TRIES, ..late });
        }
        self.list_late();
        self.flush_displaced(&mut model, u64::MAX);
        drop(model);
        self.scan();
        self.flush_touched(&mut common.turn());
        self.end_batch();
    }

    /// One place.
    fn one(&mut self, model: &mut Model, look: &Look, late: Late) {
        match &look.place {
            Place::Name { dir, .. } if self.above.contains(dir) && model.by_key(dir).is_none() => {
                if look.change.has(Change::NAME) {
                    self.check_roots(model);
                }
            }
            Place::Name { dir, name } => match self.directory_of(model, dir) {
                Whereabouts::Directory(node) => self.name(model, node, name, look, late),
                // A write through an outside name starts no operation (REP-27).
                Whereabouts::Outside if !self.was_inside(model, dir) => {}
                Whereabouts::Outside | Whereabouts::Unknown => {
                    // It may have left before it was seen, and the name with it; the file may have others.
                    let told = Told { object: look.object.as_ref(), from: None };
                    self.elsewhere(model, None, look.change, told);
                }
            },
            Place::Directory { dir } => {
                if let Whereabouts::Directory(node) = self.directory_of(model, dir) {
                    self.queue_directory_meta(model, node);
                }
            }
            Place::Object { key } => self.object(model, key, look.change),
        }
    }

    fn fail(&self, model: &Model, dir: NodeId, name: &[u8], error: &io::Error) {
        let shown = self.shown(model, dir, name);
        tracing::warn!("{shown}: it cannot be looked at on the source: {error}");
        self.common.plan.traffic.counts.cannot_replicate();
        self.common.shared.fail(&shown, &format!("it cannot be looked at on the source: {error}"));
        if self.lists_all {
            // What has changed there since the target was known to have it is not told by any event.
            let why = format!("{shown} cannot be looked at on the source: {error}");
            self.common.shared.require_mirror(Some(why));
        }
    }

    fn shown(&self, model: &Model, dir: NodeId, name: &[u8]) -> String {
        let (root, path) = model.path(dir);
        let top = self.common.roots.get(&root).map(|place| place.path.clone()).unwrap_or_default();
        escape(source_path(&top, &path, name))
    }

    fn shown_node(&self, model: &Model, node: NodeId) -> String {
        if model.parent(node) == NONE {
            return self.shown(model, node, b"");
        }
        self.shown(model, model.parent(node), model.name(node))
    }

    /// Puts a record about one entry into the queue.
    fn log(&mut self, record: &Record<'_>, bytes: u64) {
        let made = matches!(record, Record::Directory { .. });
        let node = record.subject().map(|(node, _)| (node, made));
        self.log_of(record, bytes, node.as_slice());
    }

    /// Puts a record into the queue that is about these entries, each alone or with all below it.
    fn log_of(&mut self, record: &Record<'_>, bytes: u64, nodes: &[(NodeId, bool)]) {
        self.record.clear();
        record.encode(&mut self.record);
        if matches!(record, Record::Rename { .. } | Record::Link { .. }) {
            self.common.moves_in_mirror(record, nodes);
        }
        if let Record::Content { node, id, state, .. } = record {
            // The model has a new one as it is.
            let more = if *state == State::Nothing { 0 } else { bytes };
            self.common.waiting().logs(*node, *id, more);
        }
        let position = self.common.log(&self.record, bytes, nodes);
        if let (Record::Content { node, id, .. }, None) = (record, position) {
            self.common.waiting().taken(*node, id);
        }
        if let Record::Rename { id, at, from, .. } = record {
            let place = |at: &At<'_>| (at.root, join(at.path, at.name));
            self.common.note_move(position, *id, place(from), place(at));
        }
        if !self.parted.is_empty() {
            let mut dirty = self.common.dirty();
            self.parted.drain(..).for_each(|id| dirty.inode(id));
        }
    }

    /// This name goes: the target's file may have others, which are to be compared where that is lost.
    fn part(&mut self, model: &Model, node: NodeId) {
        let id = model.entry(node).id;
        if model.entry(node).kind != FileKind::Directory && model.names_of(&id).nth(1).is_some() {
            self.common.dirty().inode(id);
            self.parted.push(id);
            self.regroup_parted(model, node);
        }
    }
}

/// What is to be looked at in both is looked at once, with the later ones.
fn fold(mut earlier: Vec<(Look, Late)>, mut later: Vec<(Look, Late)>) -> Vec<(Look, Late)> {
    let mut again: HashMap<&Place, usize> = HashMap::with_capacity(later.len());
    again.extend(later.iter().enumerate().map(|(at, (look, _))| (&look.place, at)));
    let same: Vec<Option<usize>> = earlier.iter().map(|(look, _)| again.get(&look.place).copied()).collect();
    let mut same = same.into_iter();
    earlier.retain(|(look, late)| {
        let Some((other, _)) = same.next().flatten().and_then(|at| later.get_mut(at)) else { return true };
        // What was told of another object stays for itself, as does what waits for its directory.
        if late.tries > 0 || look.object != other.object {
            return true;
        }
        if other.change.has(Change::NAME) && !other.change.has(Change::MOVED) {
            // What has the name now was not moved there.
            other.change |= look.change.without(Change::MOVED);
            return false;
        }
        other.change |= look.change;
        if other.from.is_none() {
            other.from.clone_from(&look.from);
        }
        false
    });
    earlier.append(&mut later);
    earlier
}

/// The inode of a file without a name (`O_TMPFILE`), as the kernel names it in events.
fn unnamed_inode(name: &[u8]) -> Option<u64> {
    std::str::from_utf8(name.strip_prefix(b"#")?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Handle;

    fn key(number: u8) -> Key {
        Key::new(0, Handle::new(1, &[number]))
    }

    fn look(name: &str, change: Change, object: Option<u8>, tries: u8) -> (Look, Late) {
        let place = Place::Name { dir: key(0), name: name.as_bytes().into() };
        (Look { place, change, object: object.map(key), from: None }, Late { tries, since: 1 })
    }

    #[test]
    fn a_place_that_is_named_again_is_looked_at_once_and_with_the_later_ones() {
        let earlier = vec![
            look("a", Change::CONTENT, Some(1), 0),
            look("b", Change::CONTENT, Some(2), 0),
            look("c", Change::META, Some(3), 0),
            look("d", Change::META, Some(4), 2),
            look("f", Change::NAME | Change::MOVED, Some(6), 0),
            look("g", Change::NAME | Change::MOVED, Some(7), 0),
        ];
        let later = vec![
            look("e", Change::NAME, Some(5), 0),
            look("c", Change::NAME, Some(3), 0),
            look("b", Change::NAME, Some(9), 0),
            look("d", Change::META, Some(4), 0),
            look("f", Change::NAME, Some(6), 0),
            look("g", Change::CONTENT, Some(7), 0),
        ];
        let names = |looks: &[(Look, Late)]| -> Vec<(String, Change)> {
            let name = |look: &Look| match &look.place {
                Place::Name { name, .. } => String::from_utf8_lossy(name).into_owned(),
                _ => String::new(),
            };
            looks.iter().map(|(look, _)| (name(look), look.change)).collect()
        };
        let folded = names(&fold(earlier, later));
        let expected = [
            ("a", Change::CONTENT),
            ("b", Change::CONTENT),
            ("d", Change::META),
            ("e", Change::NAME),
            ("c", Change::NAME | Change::META),
            ("b", Change::NAME),
            ("d", Change::META),
            ("f", Change::NAME),
            ("g", Change::NAME | Change::MOVED | Change::CONTENT),
        ];
        assert_eq!(folded, expected.map(|(name, change)| (name.to_owned(), change)));
    }
}
