//! What the threads of a replication ask of each other outside the order of the log: barriers on their way, records to be
//! logged anew, places of the target to be mended, what a mirror left to replication.
//!
//! A barrier is a mark in the log. It may be passed on only when nothing that stood before it is *owed*: a record is owed when
//! its file had moved by the time its turn came, until it has been sent; a place is, when an operation on it failed on the
//! target, until it was sent anew. Only what was owed before the mark's turn first came counts, so that what others do
//! meanwhile does not hold it up.

use super::super::emit::{Emit, REPLICATIONS, TargetGone};
use super::super::folder::{join, split};
use super::common::Common;
use super::model::{Identity, Model, NodeId};
use super::moves::{Failing, Moves, Place};
use super::record::{At, Record};
use crate::wire::Op;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A name of the target: root, directory, name.
pub(super) type Lost = (u16, Vec<u8>, Vec<u8>);

/// A question whose answer says that all before it is applied.
const ASK: u64 = 1 << 62;
/// How often a barrier goes round because of what is owed. Each time something before it has moved again, or failed again.
const ROUNDS: u32 = 12;
/// Of so many files that are owed, or more, those that are gone are forgotten.
const OWED: usize = 4096;
/// Names that left while the log was lost, or places to be sent anew, that are remembered one by one.
const MOST: usize = 65_536;
/// How often one place is sent anew before that is a failure.
const HEALS: u32 = 6;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Barriers that the looker has not taken yet.
    asked: Vec<u64>,
    marks: HashMap<u64, Mark>,
    reached: HashMap<u64, Option<Spent>>,
    /// Marks whose turn has come for the first time.
    passed: u64,
    /// What could not be sent when its turn came, by the marks that had passed by then.
    owed: HashMap<Owed, u64>,
    /// At so many of them, those that are gone are forgotten.
    most: usize,
    /// Of what is owed, what the target has nothing of: what stands under its names there is something else.
    lacking: HashSet<Identity>,
    /// Records whose file had moved when their turn came.
    missed: Vec<Vec<u8>>,
    /// Places of the target that are not as the model has them: to be sent anew.
    heals: Vec<Failing>,
    healed: HashMap<Place, Healed>,
    /// Places of the target where a directory stood in the way of an operation.
    blocked: Vec<Failing>,
    /// Places that were asked to be sent anew, and how many such there were with each.
    failures: Vec<(u64, Place)>,
    failed: u64,
    /// Of these, what the looker has taken.
    taken: u64,
    /// Files that a mirror sends at the moment, and whether they were changed meanwhile.
    busy: HashMap<(u64, u64), bool>,
    /// Barriers that wait for one of these.
    parked: Vec<u64>,
    /// Names that are gone or moved, whose operation is not applied yet, by the question that follows it; None: it was not asked.
    leaving: VecDeque<(Option<u64>, Lost)>,
    /// Files whose content was sent in vain to a place that is gone.
    rewrites: Vec<Identity>,
    /// Files whose content was sent to a place, and is not applied yet, by the question that follows; as above.
    written: VecDeque<(Option<u64>, Place, Identity)>,
    /// Of the names, the ones whose operation was dropped: they may still stand on the target.
    lost: Vec<Lost>,
    /// Which they are is not known.
    lost_all: bool,
    /// Places that were to be sent anew when the log was lost.
    unhealed: Vec<Failing>,
    /// Sent bytes and records at each question, to know what is applied.
    asks: VecDeque<(u64, u64, Option<u64>)>,
    /// The last record that is applied with all before it, and the one that was when the present job began.
    upto: u64,
    began: u64,
    /// The last question that was answered.
    applied: u64,
    /// Files that were to be sent anew with all their names in this job.
    regrouped: HashSet<Identity>,
    requests: Requests,
    moves: Moves,
}

/// A barrier on its way.
#[derive(Debug, Default)]
struct Mark {
    rounds: u32,
    /// Failures that were taken up before it was logged last.
    taken: u64,
    passed: Option<u64>,
    spent: Option<Spent>,
}

/// What a barrier went round for as often as one may: it may not be on the target as it was when the barrier began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    /// It had moved each time its turn came.
    Owed(Identity),
    /// An operation there failed each time.
    Failed(Place),
    /// Something that has moved was still being looked for.
    Sought,
}

/// An inode, and whether its content is owed or its metadata alone.
type Owed = (Identity, bool);

#[derive(Debug, Default)]
struct Healed {
    count: u32,
    /// The question that was asked last when it was counted: failures of what was sent before tell nothing new.
    after: u64,
}

/// What is to be done by the looker before it goes on.
#[derive(Debug, Default)]
pub(super) struct Debts {
    pub missed: Vec<Vec<u8>>,
    pub heals: Vec<Failing>,
    pub blocked: Vec<Failing>,
    pub rewrites: Vec<Identity>,
}

/// What a mirror left to replication, or asks of it.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Directories (device, inode) to list.
    pub rescans: Vec<(u64, u64)>,
    /// Files whose content is to be compared.
    pub contents: Vec<(u64, u64)>,
    /// Files with several names of which a mirror and replication may both have sent some: to be sent whole, with all names.
    pub regroups: Vec<Identity>,
    /// Names under which a job sent a file whole that has others.
    pub links: Vec<(NodeId, Identity)>,
    /// What a mirror sent with metadata that may be older than what replication had sent.
    pub times: Vec<Identity>,
}

impl Requests {
    pub(super) fn is_empty(&self) -> bool {
        let empty = [self.rescans.is_empty(), self.contents.is_empty(), self.regroups.is_empty()];
        !empty.contains(&false) && self.links.is_empty() && self.times.is_empty()
    }
}

impl Desk {
    fn has_debts(&self) -> bool {
        let empty = [self.missed.is_empty(), self.heals.is_empty(), self.blocked.is_empty()];
        empty.contains(&false) || !self.rewrites.is_empty()
    }

    /// `there`: for all that is known it still exists, so that it is owed.
    fn miss(&mut self, bytes: &[u8], there: bool) {
        if let Ok(record) = Record::decode(bytes)
            && let Some(owed) = owed(&record)
        {
            if there {
                self.owed.entry(owed).or_insert(self.passed);
            }
            if record.is_fresh() {
                self.lacking.insert(owed.0);
            }
        }
        self.missed.push(bytes.to_vec());
    }

    fn pay(&mut self, record: &Record<'_>) {
        if self.owed.is_empty() {
            return;
        }
        if let Some((id, content)) = owed(record) {
            self.owed.remove(&(id, false));
            if content {
                self.owed.remove(&(id, true));
            }
            if record.is_fresh() {
                self.lacking.remove(&id);
            }
        }
    }

    /// An operation on a place failed. `asked`: the question that was asked last. False: it was sent anew often enough.
    fn fail(&mut self, place: Place, asked: u64) -> bool {
        if self.heals.iter().any(|(known, _)| *known == place) {
            return true;
        }
        let healed = self.healed.entry(place.clone()).or_default();
        if self.applied >= healed.after {
            healed.count += 1;
        }
        if healed.count > HEALS {
            return false;
        }
        healed.after = asked + 1;
        self.heals.push((place.clone(), self.upto));
        self.note_failure(place);
        true
    }

    fn rewrite(&mut self, place: &Place) {
        let written = self.written.iter().rev().find(|(_, written, _)| written == place);
        if let Some(id) = written.map(|(.., id)| *id) {
            self.rewrites.push(id);
            self.note_failure(place.clone());
        }
    }

    fn note_failure(&mut self, place: Place) {
        self.failed += 1;
        self.failures.push((self.failed, place));
    }

    /// A mark's turn has come. Is something owed from before its first turn?
    fn is_owed_before(&mut self, number: u64) -> bool {
        let Some(mark) = self.marks.get_mut(&number) else { return false };
        let passed = *mark.passed.get_or_insert(self.passed + 1);
        self.passed = self.passed.max(passed);
        self.owed.values().any(|since| *since < passed)
    }

    /// True: the mark goes round once more.
    fn turn(&mut self, number: u64) -> bool {
        let Some(passed) = self.marks.get(&number).and_then(|mark| mark.passed) else { return false };
        let mut owed = self.owed.iter().filter(|(_, since)| **since < passed).map(|((id, _), _)| id);
        if owed.clone().any(|id| self.busy.contains_key(&(id.dev, id.ino))) {
            self.parked.push(number);
            return true;
        }
        let first = owed.next().copied();
        first.is_some_and(|id| self.again(number, || Spent::Owed(id)))
    }

    /// A mark's answer has come: it is reached, or (true) goes round once more, as something before it has failed. One that
    /// nobody waits for, or that was dropped with the log, is none.
    fn answer(&mut self, number: u64) -> bool {
        let Some(mark) = self.marks.get_mut(&number) else { return false };
        // What was sent anew may have failed again, there or below, so each answer counts and not only the first.
        let taken = mark.taken;
        let failed = self.failures.iter().find(|(failure, _)| *failure > taken);
        let failed = failed.map(|(_, place)| place.clone());
        if failed.is_some_and(|place| self.again(number, || Spent::Failed(place))) {
            return true;
        }
        let spent = self.marks.remove(&number).and_then(|mark| mark.spent);
        self.reached.insert(number, spent);
        false
    }

    /// Names that may still stand on the target.
    fn lose(&mut self, names: impl IntoIterator<Item = Lost>) {
        self.lost.extend(names);
        if self.lost.len() > MOST {
            self.lost = Vec::new();
            self.lost_all = true;
        }
    }

    /// Sends a mark round once more, if it was not too often. True: so it is.
    fn again(&mut self, number: u64, why: impl FnOnce() -> Spent) -> bool {
        let Some(mark) = self.marks.get_mut(&number) else { return false };
        mark.rounds += 1;
        let again = mark.rounds <= ROUNDS;
        if again {
            self.asked.push(number);
        } else {
            mark.spent = Some(why());
        }
        again
    }
}

fn lost_at((root, path): Place) -> Lost {
    let (directory, name) = split(&path);
    (root, directory.to_vec(), name.to_vec())
}

fn owed(record: &Record<'_>) -> Option<Owed> {
    // A directory is made before it is read: what is owed of it is its metadata.
    let content = matches!(record, Record::Content { .. } | Record::Other { .. });
    record.subject().map(|(_, id)| (id, content))
}

/// What mirrors and verifications ask for.
impl Common {
    fn ask(&self, what: impl FnOnce(&mut Desk)) {
        what(&mut self.desk());
        self.capture.looks().wake();
    }

    /// Asks for a file to be sent anew with all its names, once in a job.
    pub(super) fn ask_regroup(&self, id: Identity) {
        self.ask(|desk| {
            if desk.regrouped.insert(id) {
                desk.requests.regroups.push(id);
            }
        });
    }

    /// A job has sent a file whole under this name: asks for its other names to be linked to it.
    pub(super) fn ask_links(&self, node: NodeId, id: Identity) {
        self.ask(|desk| desk.requests.links.push((node, id)));
    }

    /// Asks for metadata to be sent anew.
    pub(super) fn ask_time(&self, id: Identity) {
        self.ask(|desk| {
            if desk.requests.times.last() != Some(&id) {
                desk.requests.times.push(id);
            }
        });
    }

    /// Asks for a directory to be listed again.
    pub(super) fn ask_rescan(&self, id: (u64, u64)) {
        self.ask(|desk| {
            if !desk.requests.rescans.contains(&id) {
                desk.requests.rescans.push(id);
            }
        });
    }

    /// Asks for a file's content to be compared.
    pub(super) fn ask_content(&self, id: (u64, u64)) {
        self.ask(|desk| desk.requests.contents.push(id));
    }

    pub(super) fn take_requests(&self) -> Requests {
        std::mem::take(&mut self.desk().requests)
    }

    pub(super) fn has_requests(&self) -> bool {
        !self.desk().requests.is_empty()
    }

    /// A job begins: what earlier ones asked for once may be asked for again.
    pub(super) fn clear_requests(&self) {
        let mut desk = self.desk();
        desk.regrouped.clear();
        desk.requests.times.clear();
        desk.began = desk.upto;
    }

    /// A mirror sends this file from now on; replication leaves it alone until [`Common::end_busy`].
    pub(super) fn begin_busy(&self, id: (u64, u64)) {
        self.desk().busy.insert(id, false);
    }

    /// The mirror has sent it. What came meanwhile is looked at.
    pub(super) fn end_busy(&self, id: (u64, u64)) {
        let mut desk = self.desk();
        if desk.busy.remove(&id) == Some(true) {
            desk.requests.contents.push(id);
        }
        let mut parked = std::mem::take(&mut desk.parked);
        desk.asked.append(&mut parked);
        drop(desk);
        self.capture.looks().wake();
    }

    /// The mirror has ended, wherever it was.
    pub(super) fn end_all_busy(&self) {
        let busy: Vec<(u64, u64)> = self.desk().busy.keys().copied().collect();
        busy.into_iter().for_each(|id| self.end_busy(id));
    }

    /// Does a mirror send it? Then it is looked at again when that is over, and is owed until then.
    pub(super) fn is_busy(&self, id: &Identity) -> bool {
        let mut desk = self.desk();
        let passed = desk.passed;
        let Some(again) = desk.busy.get_mut(&(id.dev, id.ino)) else { return false };
        *again = true;
        desk.owed.entry((*id, true)).or_insert(passed);
        true
    }
}

/// What is owed.
impl Common {
    /// A record whose file was not where it had been a moment before.
    pub(super) fn miss(&self, bytes: &[u8]) {
        let (owed, most) = {
            let desk = self.desk();
            (desk.owed.len(), desk.most)
        };
        if owed >= OWED.max(most) {
            self.forgive();
            let mut desk = self.desk();
            // Twice what is left, so that it costs little for each.
            desk.most = 2 * desk.owed.len();
        }
        self.ask(|desk| desk.miss(bytes, true));
    }

    /// A record whose file is gone: nothing waits for it, but what there is under its names is looked at.
    pub(super) fn miss_gone(&self, bytes: &[u8]) {
        self.ask(|desk| desk.miss(bytes, false));
    }

    /// A record was sent.
    pub(super) fn pay(&self, record: &Record<'_>) {
        self.desk().pay(record);
    }

    /// What is no more is owed no more, nor is what a root has of its own that is not there: its copy was let go, or it is held.
    /// The model must not be held.
    pub(super) fn forgive(&self) {
        let mut owing: HashSet<Identity> = {
            let desk = self.desk();
            desk.owed.keys().map(|(id, _)| *id).chain(desk.lacking.iter().copied()).collect()
        };
        if owing.is_empty() {
            return;
        }
        let model = self.model();
        owing
            .retain(|id| !model.names_of(id).any(|node| !model.is_root(node) || self.has_root(&model, node)));
        drop(model);
        let mut desk = self.desk();
        desk.owed.retain(|(id, _), _| !owing.contains(id));
        desk.lacking.retain(|id| !owing.contains(id));
    }

    fn has_root(&self, model: &Model, root: NodeId) -> bool {
        let (number, _) = model.path(root);
        let place = self.roots.get(&number);
        place.is_some_and(|place| std::fs::symlink_metadata(&place.path).is_ok())
    }

    /// Has the target nothing of it, though it was to be sent before? It will be sent whole.
    pub(super) fn is_lacking(&self, id: &Identity) -> bool {
        self.desk().lacking.contains(id)
    }

    /// Asks for a place of the target to be sent anew. False: it was, often enough.
    pub(super) fn ask_heal(&self, root: u16, path: &[u8], name: &[u8]) -> bool {
        let place = (root, join(path, name));
        let asked = self.asked.load(Relaxed);
        let again = self.desk().fail(place, asked);
        self.capture.looks().wake();
        again
    }

    /// The same of an operation of a job, which hears of it only when it comes to its answers: what was told as applied by then may
    /// have come after it.
    pub(super) fn ask_heal_of_job(&self, root: u16, path: &[u8], name: &[u8]) -> bool {
        let place = (root, join(path, name));
        let asked = self.asked.load(Relaxed);
        let mut desk = self.desk();
        let again = desk.fail(place.clone(), asked);
        let began = desk.began;
        for (_, applied) in desk.heals.iter_mut().filter(|(known, _)| *known == place) {
            *applied = began.min(*applied);
        }
        drop(desk);
        self.capture.looks().wake();
        again
    }

    /// A directory stands at a place of the target where an operation has failed.
    pub(super) fn ask_room(&self, place: Place) {
        self.ask(|desk| {
            if !desk.blocked.iter().any(|(known, _)| *known == place) {
                desk.blocked.push((place.clone(), desk.upto));
                desk.note_failure(place);
            }
        });
    }

    /// From where what is at a place was moved to it.
    pub(super) fn origins(&self, place: &Failing) -> Vec<Place> {
        self.desk().moves.origins(place)
    }

    /// What is to be logged anew; it has to be before any mark that is taken before this call.
    pub(super) fn take_debts(&self) -> Debts {
        let mut desk = self.desk();
        desk.taken = desk.failed;
        if desk.asked.is_empty() && desk.marks.is_empty() {
            desk.failures.clear();
        }
        let (missed, heals) = (std::mem::take(&mut desk.missed), std::mem::take(&mut desk.heals));
        let (blocked, rewrites) = (std::mem::take(&mut desk.blocked), std::mem::take(&mut desk.rewrites));
        Debts { missed, heals, blocked, rewrites }
    }

    pub(super) fn has_debts(&self) -> bool {
        self.desk().has_debts()
    }

    /// Is something to be sent that could not be when its turn came?
    pub(super) fn is_owing(&self) -> bool {
        let desk = self.desk();
        !desk.owed.is_empty() || desk.has_debts()
    }

    /// A rename was logged, at this position.
    pub(super) fn note_move(&self, position: Option<u64>, from: Place, to: Place) {
        self.desk().moves.note(position, from, to);
    }

    /// The place of an operation that has just failed.
    pub(super) fn failing(&self, place: Place) -> Failing {
        (place, self.desk().upto)
    }

    /// The entries that may be what stood at a place when an operation that has failed since was sent, and whether they stand
    /// there still.
    pub(super) fn now_at(&self, place: &Failing) -> Vec<(NodeId, bool)> {
        let model = self.model();
        self.at_places(&model, place)
    }

    /// The same for who holds the model.
    pub(super) fn at_places(&self, model: &Model, place: &Failing) -> Vec<(NodeId, bool)> {
        let places = self.desk().moves.since(place);
        let found = |(at, (root, path)): (usize, &Place)| Some((model.at(*root, path)?, at == 0));
        places.iter().enumerate().filter_map(found).collect()
    }

    /// The log was dropped: `lost` are the names that it would have removed. What is owed is dirty from now on.
    pub(super) fn drop_debts(&self, lost: Vec<Lost>) {
        let mut desk = self.desk();
        let leaving = std::mem::take(&mut desk.leaving);
        desk.lose(leaving.into_iter().map(|(_, lost)| lost));
        desk.lose(lost);
        desk.asks.clear();
        desk.written.clear();
        desk.missed.clear();
        let (heals, blocked) = (std::mem::take(&mut desk.heals), std::mem::take(&mut desk.blocked));
        let origins: Vec<Place> = blocked.iter().flat_map(|place| desk.moves.origins(place)).collect();
        desk.lose(origins.into_iter().chain(blocked.into_iter().map(|(place, _)| place)).map(lost_at));
        desk.unhealed.extend(heals);
        let too_many = desk.unhealed.len() > MOST;
        let (owed, rewrites) = (std::mem::take(&mut desk.owed), std::mem::take(&mut desk.rewrites));
        desk.lacking.clear();
        desk.marks.clear();
        desk.parked.clear();
        drop(desk);
        let mut dirty = self.dirty();
        owed.into_keys().map(|(id, _)| id).chain(rewrites).for_each(|id| dirty.inode(id));
        if too_many {
            dirty.everything();
        }
    }

    /// Names left the target's copy with nobody telling the target.
    pub(super) fn lose(&self, names: impl IntoIterator<Item = Lost>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            self.desk().lose(names);
        }
    }

    /// The places that were to be sent anew when the log was lost.
    pub(super) fn take_unhealed(&self) -> Vec<Failing> {
        std::mem::take(&mut self.desk().unhealed)
    }

    /// Records were damaged: which names they were about is not known.
    pub(super) fn lose_all(&self) {
        self.desk().lost_all = true;
    }

    /// The names that may stand on the target though they are gone; true: there may be others.
    pub(super) fn take_lost(&self) -> (Vec<Lost>, bool) {
        let mut desk = self.desk();
        (std::mem::take(&mut desk.lost), std::mem::take(&mut desk.lost_all))
    }

    /// The content of a file is sent to a place.
    pub(super) fn writes(&self, at: &At<'_>, id: Identity) {
        self.desk().written.push_back((None, (at.root, join(at.path, at.name)), id));
    }

    /// Nothing is any more where content was sent to in vain: its file may have other names, and is compared.
    pub(super) fn ask_rewrite(&self, place: &Place) {
        self.ask(|desk| desk.rewrite(place));
    }

    /// A name is leaving the target: the operation is sent, and not yet applied.
    pub(super) fn leaves(&self, lost: Lost) {
        self.desk().leaving.push_back((None, lost));
    }
}

/// Barriers.
impl Common {
    /// A barrier begins: the looker takes it when it has looked at everything that was changed before.
    pub(super) fn ask_mark(&self, number: u64) {
        self.ask(|desk| {
            desk.marks.insert(number, Mark::default());
            desk.asked.push(number);
        });
    }

    pub(super) fn take_marks(&self) -> Vec<u64> {
        std::mem::take(&mut self.desk().asked)
    }

    /// Those that go round once more.
    pub(super) fn take_returned(&self) -> Vec<u64> {
        let mut desk = self.desk();
        let Desk { asked, marks, .. } = &mut *desk;
        let returned = |number: &mut u64| marks.get(number).is_some_and(|mark| mark.rounds > 0);
        asked.extract_if(.., returned).collect()
    }

    pub(super) fn has_new_marks(&self) -> bool {
        !self.desk().asked.is_empty()
    }

    /// Something that the barrier has to wait for is still being looked for, and it waits no longer.
    pub(super) fn mark_unsettled(&self, number: u64) {
        if let Some(mark) = self.desk().marks.get_mut(&number) {
            mark.spent = Some(Spent::Sought);
        }
    }

    /// The barrier's place in the log.
    pub(super) fn log_mark(&self, number: u64) {
        let mut desk = self.desk();
        let taken = desk.taken;
        if let Some(mark) = desk.marks.get_mut(&number) {
            mark.taken = taken;
        }
        drop(desk);
        let mut record = Vec::new();
        Record::Mark { number }.encode(&mut record);
        self.log(&record, 0, &[]);
    }

    /// Its turn has come. True: something before it is still owed, and it goes round once more.
    pub(super) fn return_mark(&self, number: u64) -> bool {
        if !self.desk().is_owed_before(number) {
            return false;
        }
        self.forgive();
        let again = self.desk().turn(number);
        self.capture.looks().wake();
        again
    }

    /// Waits a while. Some: what was before the barrier is applied, all of it or all but this.
    pub(super) fn wait_mark(&self, number: u64, time: Duration) -> Option<Option<Spent>> {
        let desk = self.desk();
        let waits = |desk: &mut Desk| !desk.reached.contains_key(&number) && !self.is_stopping();
        let (mut desk, _) =
            self.told.wait_timeout_while(desk, time, waits).unwrap_or_else(PoisonError::into_inner);
        desk.reached.remove(&number)
    }

    /// For a person.
    pub(super) fn spent_words(&self, spent: &Spent) -> String {
        match spent {
            Spent::Owed(id) => {
                let model = self.model();
                let place = model.names_of(id).next().map(|node| model.place(node));
                drop(model);
                let shown = place.map_or_else(
                    || format!("inode {}", id.ino),
                    |(root, path, name)| self.shown(root, &path, &name),
                );
                format!("{shown} was somewhere else each time it was to be read")
            }
            Spent::Failed((root, path)) => {
                let (directory, name) = split(path);
                let shown = self.shown(*root, directory, name);
                format!("what was sent to {shown} did not fit what the target has there, each time")
            }
            Spent::Sought => "something that was moved was not found in its new place".to_owned(),
        }
    }

    /// False: it was dropped with the log.
    pub(super) fn has_mark(&self, number: u64) -> bool {
        let desk = self.desk();
        desk.marks.contains_key(&number) || desk.reached.contains_key(&number)
    }

    /// Nobody waits for the barrier any more.
    pub(super) fn forget_mark(&self, number: u64) {
        let mut desk = self.desk();
        desk.marks.remove(&number);
        desk.reached.remove(&number);
        desk.asked.retain(|asked| *asked != number);
    }

    pub(super) fn wake_barriers(&self) {
        self.told.notify_all();
    }

    /// Appends a question for when all before it is applied; `sent`: all that the records up to this position bring is before it.
    pub(super) fn ask_applied(&self, emit: &mut Emit, sent: Option<u64>) -> Result<(), TargetGone> {
        let number = self.asked.fetch_add(1, Relaxed) + 1;
        if let Some(position) = sent {
            self.dirty().asks(number, position);
        }
        let bytes = self.shared.bytes_transmitted.load(Relaxed);
        let mut desk = self.desk();
        desk.asks.push_back((number, bytes, sent));
        if sent.is_some() {
            let fresh = desk.leaving.iter_mut().rev().take_while(|(asked, _)| asked.is_none());
            fresh.for_each(|(asked, _)| *asked = Some(number));
            let fresh = desk.written.iter_mut().rev().take_while(|(asked, ..)| asked.is_none());
            fresh.for_each(|(asked, ..)| *asked = Some(number));
        }
        drop(desk);
        emit.push(&Op::Barrier { barrier: number | ASK | REPLICATIONS })
    }

    /// The target has applied everything before a barrier or question. `idle`: no large file is under way.
    pub(super) fn reached(&self, number: u64, idle: bool) {
        if number & ASK == 0 {
            return self.mark_reached(number);
        }
        let number = number & !ASK;
        self.dirty().applied(number);
        let mut desk = self.desk();
        desk.applied = number;
        while let Some((asked, sent, upto)) = desk.asks.front().copied()
            && asked <= number
        {
            self.shared.bytes_applied.store(sent, Relaxed);
            desk.upto = desk.upto.max(upto.unwrap_or(0));
            desk.asks.pop_front();
        }
        while desk.leaving.front().is_some_and(|(asked, _)| asked.is_some_and(|asked| asked <= number)) {
            desk.leaving.pop_front();
        }
        while desk.written.front().is_some_and(|(asked, ..)| asked.is_some_and(|asked| asked <= number)) {
            desk.written.pop_front();
        }
        let all = desk.asks.is_empty();
        if all {
            desk.healed.clear();
        }
        drop(desk);
        self.is_applied(all && idle);
    }

    /// All before a barrier is applied, but for what has failed.
    fn mark_reached(&self, number: u64) {
        if self.desk().answer(number) {
            self.capture.looks().wake();
        } else {
            self.told.notify_all();
        }
    }

    /// Is nothing asked that was not answered yet?
    pub(super) fn is_all_applied(&self) -> bool {
        self.desk().asks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::State;
    use super::*;

    const AT: At<'static> = At { root: 0, path: b"", name: b"f" };

    fn content(ino: u64, state: State) -> Record<'static> {
        let id = Identity { dev: 1, ino, born: 0 };
        Record::Content { node: 0, id, at: AT, state }
    }

    fn bytes(record: &Record<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        bytes
    }

    /// A desk with barriers on their way.
    fn desk(marks: &[u64]) -> Desk {
        let mut desk = Desk::default();
        desk.marks.extend(marks.iter().map(|number| (*number, Mark::default())));
        desk
    }

    fn turn(desk: &mut Desk, number: u64) -> bool {
        desk.is_owed_before(number) && desk.turn(number)
    }

    #[test]
    fn a_mark_waits_for_what_was_missed_before_it_and_for_nothing_else() {
        let mut desk = desk(&[1, 2]);
        desk.miss(&bytes(&content(7, State::Single)), true);
        assert!(turn(&mut desk, 1));
        desk.miss(&bytes(&content(8, State::Single)), true);
        // Metadata alone does not bring the content.
        let Record::Content { node, id, at, .. } = content(7, State::Single) else { unreachable!() };
        desk.pay(&Record::Meta { node, id, at });
        assert!(turn(&mut desk, 1));
        desk.pay(&content(7, State::Single));
        assert!(!turn(&mut desk, 1));
        assert!(turn(&mut desk, 2), "8 was missed before its turn");
        assert_eq!(desk.asked, [1, 1, 2]);
    }

    #[test]
    fn what_is_missed_again_is_as_old_as_at_first() {
        let mut desk = desk(&[1]);
        desk.miss(&bytes(&content(7, State::Nothing)), true);
        assert!(turn(&mut desk, 1));
        desk.miss(&bytes(&content(7, State::Single)), true);
        assert!(turn(&mut desk, 1));
        assert!(desk.lacking.contains(&Identity { dev: 1, ino: 7, born: 0 }));
        desk.pay(&content(7, State::Nothing));
        assert!(!turn(&mut desk, 1) && desk.lacking.is_empty());
    }

    #[test]
    fn a_mark_does_not_wait_for_what_is_gone_and_its_names_are_not_trusted_all_the_same() {
        let mut desk = desk(&[1]);
        desk.miss(&bytes(&content(7, State::Nothing)), false);
        assert!(!turn(&mut desk, 1));
        assert!(desk.lacking.contains(&Identity { dev: 1, ino: 7, born: 0 }));
        assert_eq!(desk.missed.len(), 1);
    }

    #[test]
    fn a_mark_goes_round_no_more_than_so_often() {
        let mut desk = desk(&[1]);
        desk.miss(&bytes(&content(7, State::Single)), true);
        let rounds = (0..).take_while(|_| turn(&mut desk, 1)).count();
        assert_eq!(rounds, ROUNDS as usize);
        assert!(!desk.answer(1));
        let id = Identity { dev: 1, ino: 7, born: 0 };
        assert_eq!(
            desk.reached[&1],
            Some(Spent::Owed(id)),
            "it is not passed off as one that kept its promise"
        );
    }

    #[test]
    fn a_mark_whose_last_round_had_no_reason_to_go_round_keeps_its_promise() {
        let mut desk = desk(&[1]);
        desk.miss(&bytes(&content(7, State::Single)), true);
        (0..ROUNDS).for_each(|_| assert!(turn(&mut desk, 1)));
        desk.pay(&content(7, State::Single));
        assert!(!turn(&mut desk, 1) && !desk.answer(1));
        assert_eq!(desk.reached[&1], None);
    }

    #[test]
    fn a_mark_that_failed_each_time_says_where() {
        let mut desk = desk(&[1]);
        let place = || (0, b"a".to_vec());
        for round in 0.. {
            desk.heals.clear();
            desk.healed.clear();
            assert!(desk.fail(place(), 0));
            if !desk.answer(1) {
                assert_eq!(round, ROUNDS);
                break;
            }
            desk.taken = desk.failed;
            desk.marks.get_mut(&1).unwrap().taken = desk.taken;
        }
        assert_eq!(desk.reached[&1], Some(Spent::Failed(place())));
    }

    #[test]
    fn a_mark_waits_until_a_mirror_is_through_with_a_file() {
        let mut desk = desk(&[1]);
        desk.busy.insert((1, 7), true);
        desk.miss(&bytes(&content(7, State::Single)), true);
        for _ in 0..2 * ROUNDS {
            assert!(turn(&mut desk, 1));
        }
        assert!(desk.asked.is_empty() && desk.parked.contains(&1));
    }

    #[test]
    fn a_mark_goes_round_until_what_was_sent_anew_has_not_failed() {
        let mut desk = desk(&[1]);
        let log = |desk: &mut Desk| {
            desk.heals.clear();
            desk.taken = desk.failed;
            desk.marks.get_mut(&1).unwrap().taken = desk.taken;
        };
        assert!(desk.fail((0, b"a".to_vec()), 0));
        assert!(desk.answer(1));
        log(&mut desk);
        // Below it, when it was sent anew.
        assert!(desk.fail((0, b"a/b".to_vec()), 0));
        assert!(desk.answer(1));
        log(&mut desk);
        assert!(!desk.answer(1));
        assert!(desk.reached.contains_key(&1) && desk.marks.is_empty());
        assert!(!desk.answer(2), "an answer that nobody waits for");
        assert!(!desk.reached.contains_key(&2));
    }

    #[test]
    fn a_mark_waits_for_content_that_was_sent_in_vain_to_a_place_that_is_gone() {
        let mut desk = desk(&[1]);
        let (place, id) = ((0, b"a/f".to_vec()), Identity { dev: 1, ino: 7, born: 0 });
        desk.rewrite(&place);
        assert!(desk.rewrites.is_empty(), "nothing was sent there");
        desk.written.push_back((None, place.clone(), id));
        desk.rewrite(&place);
        assert!(desk.has_debts() && desk.rewrites == [id]);
        assert!(desk.answer(1), "it goes round");
    }

    #[test]
    fn a_place_that_fails_ever_again_is_given_up() {
        let mut desk = desk(&[]);
        let place = || (0, b"a".to_vec());
        let mut sent = 0;
        while desk.fail(place(), desk.applied) {
            sent += 1;
            desk.heals.clear();
            // Of what was sent before it was sent anew: counts once.
            assert!(desk.fail(place(), desk.applied));
            desk.heals.clear();
            desk.applied += 1;
        }
        assert_eq!(sent, HEALS);
    }
}
