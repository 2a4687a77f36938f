//! Places of the target where an operation has failed, and what is sent anew for them.
//!
//! A failure names a place of the target: what had it when the operation was sent is found by the renames that were logged since.

use super::super::common::Common;
use super::super::model::{Identity, Model, NodeId};
use super::super::moves::{Failing, Moves, Place};
use super::MOST;
use crate::engine::source::folder::join;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

/// How often one place is sent anew before that is a failure.
pub(super) const HEALS: u32 = 6;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Places of the target that are not as the model has them: to be sent anew.
    pub(super) heals: Vec<Failing>,
    healed: HashMap<Place, Healed>,
    /// Places of the target where a directory stood in the way of an operation.
    pub(super) blocked: Vec<Failing>,
    /// Files whose content was sent in vain to a place that is gone.
    pub(super) rewrites: Vec<Identity>,
    /// All of these, while a barrier may ask for them.
    told: Vec<Told>,
    /// How many there were.
    pub(super) count: u64,
    /// Of these, what the looker has taken.
    pub(super) taken: u64,
    /// Places that were to be sent anew when the log was lost.
    unhealed: Vec<Failing>,
    moves: Moves,
}

/// A failure, with how many there were up to it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) number: u64,
    pub(super) place: Place,
    /// What may have stood there, and was sent anew: known once the looker has taken it.
    pub(super) ids: Vec<Identity>,
}

#[derive(Debug, Default)]
struct Healed {
    count: u32,
    /// The question that was asked last when it was counted: failures of what was sent before tell nothing new.
    after: u64,
}

/// How far the target is: the question that was asked last, the one that was answered last, and the last record that is applied
/// with all before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reached {
    pub asked: u64,
    pub applied: u64,
    pub upto: u64,
}

impl Failures {
    /// An operation on a place failed. False: it was sent anew often enough.
    pub(super) fn fail(&mut self, place: Place, reached: Reached) -> bool {
        if let Some((_, upto)) = self.heals.iter_mut().find(|(known, _)| *known == place) {
            *upto = reached.upto.min(*upto);
            return true;
        }
        let healed = self.healed.entry(place.clone()).or_default();
        if reached.applied >= healed.after {
            healed.count += 1;
        }
        if healed.count > HEALS {
            return false;
        }
        healed.after = reached.asked + 1;
        self.heals.push((place.clone(), reached.upto));
        self.note(place, Vec::new());
        true
    }

    /// The file's content was sent to a place that is gone.
    pub(super) fn rewrite(&mut self, id: Identity, place: &Place) {
        self.rewrites.push(id);
        self.note(place.clone(), vec![id]);
    }

    /// A directory stood in the way.
    fn block(&mut self, place: Place, upto: u64) {
        if !self.blocked.iter().any(|(known, _)| *known == place) {
            self.blocked.push((place.clone(), upto));
            self.note(place, Vec::new());
        }
    }

    fn note(&mut self, place: Place, ids: Vec<Identity>) {
        self.count += 1;
        self.told.push(Told { number: self.count, place, ids });
    }

    /// What was sent anew for a place that the looker has taken.
    pub(super) fn found(&mut self, place: &Place, ids: &[Identity]) {
        let taken = self.taken;
        let of_place = self.told.iter_mut().filter(|told| told.number <= taken && told.place == *place);
        of_place.for_each(|told| told.ids.extend_from_slice(ids));
    }

    pub(super) fn has_any(&self) -> bool {
        !self.heals.is_empty() || !self.blocked.is_empty() || !self.rewrites.is_empty()
    }

    /// The failures behind so many, in their order.
    pub(super) fn behind(&self, taken: u64) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(move |told| told.number > taken)
    }

    /// The looker takes all. `marks`: what the barriers on their way had taken.
    pub(super) fn take(&mut self, marks: impl Iterator<Item = u64>) {
        self.taken = self.count;
        let oldest = marks.min().unwrap_or(self.taken);
        self.told.retain(|told| told.number > oldest);
    }

    /// All is applied: what fails from now on is new.
    pub(super) fn settle(&mut self) {
        self.healed.clear();
    }

    /// The log is dropped. The places that may hold what is to go.
    pub(super) fn clear(&mut self) -> (Vec<Place>, Vec<Identity>, bool) {
        let (heals, blocked) = (std::mem::take(&mut self.heals), std::mem::take(&mut self.blocked));
        let mut places: Vec<Place> = blocked.iter().flat_map(|place| self.moves.origins(place)).collect();
        places.extend(blocked.into_iter().map(|(place, _)| place));
        self.unhealed.extend(heals);
        (places, std::mem::take(&mut self.rewrites), self.unhealed.len() > MOST)
    }
}

impl Common {
    /// Asks for a place of the target to be sent anew. False: it was, often enough.
    pub(in super::super) fn ask_heal(&self, root: u16, path: &[u8], name: &[u8]) -> bool {
        self.heal_from(root, path, name, |desk| desk.sent.upto)
    }

    /// The same of an operation of a job, which hears of it only when it comes to its answers: what was told as applied by then may
    /// have come after it.
    pub(in super::super) fn ask_heal_of_job(&self, root: u16, path: &[u8], name: &[u8]) -> bool {
        self.heal_from(root, path, name, |desk| desk.sent.began)
    }

    fn heal_from(&self, root: u16, path: &[u8], name: &[u8], upto: impl Fn(&super::Desk) -> u64) -> bool {
        let place = (root, join(path, name));
        let asked = self.asked.load(Relaxed);
        let mut desk = self.desk();
        let upto = upto(&desk);
        let reached = Reached { asked, applied: desk.sent.applied, upto };
        let again = desk.failures.fail(place, reached);
        drop(desk);
        self.capture.looks().wake();
        again
    }

    /// A directory stands at a place of the target where an operation has failed.
    pub(in super::super) fn ask_room(&self, place: Place) {
        self.ask(|desk| desk.failures.block(place, desk.sent.upto));
    }

    /// The file whose content was sent in vain to a place is not among what may be `there` now: it may have other names, and is
    /// compared.
    pub(in super::super) fn ask_rewrite(&self, place: &Place, there: &[(NodeId, bool)]) {
        let Some(id) = self.desk().sent.written_to(place) else { return };
        let model = self.model();
        let found = there.iter().any(|(node, _)| model.is(*node, &id));
        drop(model);
        if !found {
            self.ask(|desk| desk.failures.rewrite(id, place));
        }
    }

    /// The place of an operation that has just failed.
    pub(in super::super) fn failing(&self, place: Place) -> Failing {
        (place, self.desk().sent.upto)
    }

    /// May a barrier ask what was sent anew for a failure?
    pub(in super::super) fn has_barriers(&self) -> bool {
        !self.desk().barriers.marks.is_empty()
    }

    /// What may have stood at a place where an operation has failed was sent anew.
    pub(in super::super) fn found_failing(&self, place: &Place, ids: &[Identity]) {
        self.desk().failures.found(place, ids);
    }

    /// The places that were to be sent anew when the log was lost.
    pub(in super::super) fn take_unhealed(&self) -> Vec<Failing> {
        std::mem::take(&mut self.desk().failures.unhealed)
    }

    /// A rename was logged, at this position.
    pub(in super::super) fn note_move(&self, position: Option<u64>, id: Identity, from: Place, to: Place) {
        self.desk().failures.moves.note(position, id, from, to);
    }

    /// What was to be moved to a place where an operation has failed.
    pub(in super::super) fn moved_to(&self, place: &Failing) -> Vec<Identity> {
        self.desk().failures.moves.moved_to(place)
    }

    /// What has left a place since something was to be moved to it.
    pub(in super::super) fn moved_out(&self, place: &Failing) -> Vec<Identity> {
        self.desk().failures.moves.moved_out(place)
    }

    /// From where what is at a place was moved to it.
    pub(in super::super) fn moved_since(&self, place: &Failing) -> Vec<Place> {
        self.desk().failures.moves.since(place)
    }

    pub(in super::super) fn origins(&self, place: &Failing) -> Vec<Place> {
        self.desk().failures.moves.origins(place)
    }

    /// The entries that may be what stood at a place when an operation that has failed since was sent, and whether they stand
    /// there still.
    pub(in super::super) fn now_at(&self, place: &Failing) -> Vec<(NodeId, bool)> {
        let model = self.model();
        self.at_places(&model, place)
    }

    /// The same for who holds the model.
    pub(in super::super) fn at_places(&self, model: &Model, place: &Failing) -> Vec<(NodeId, bool)> {
        let places = self.desk().failures.moves.since(place);
        let found = |(at, (root, path)): (usize, &Place)| Some((model.at(*root, path)?, at == 0));
        places.iter().enumerate().filter_map(found).collect()
    }
}
