//! The looks of a batch in the order of their first events, found by place without taking memory.
//!
//! Nothing is removed one by one, so the table is a plain open one: slots hold an index into the looks.

use super::{Change, Key, Look, Place};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// Slots to begin with, and what an empty table keeps.
const FEWEST: usize = 1024;

/// A batch larger than this gives its memory back.
const KEPT: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Places {
    looks: Vec<Look>,
    hashes: Vec<u64>,
    /// Index of a look plus one; 0 is free. A power of two of them, at least half of them free.
    slots: Vec<u32>,
    hasher: RandomState,
    other: Option<(Key, Change)>,
}

/// A place that is not held yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot<'a> {
    Name(&'a Key, &'a [u8]),
    Directory(&'a Key),
    Object(&'a Key),
}

impl Spot<'_> {
    fn is(self, place: &Place) -> bool {
        match (self, place) {
            (Spot::Name(dir, name), Place::Name { dir: held, name: held_name }) => {
                dir == held && name == &**held_name
            }
            (Spot::Directory(dir), Place::Directory { dir: held }) => dir == held,
            (Spot::Object(key), Place::Object { key: held }) => key == held,
            _ => false,
        }
    }

    fn place(self) -> Place {
        match self {
            Spot::Name(dir, name) => Place::Name { dir: dir.clone(), name: name.into() },
            Spot::Directory(dir) => Place::Directory { dir: dir.clone() },
            Spot::Object(key) => Place::Object { key: key.clone() },
        }
    }
}

impl<'a> From<&'a Place> for Spot<'a> {
    fn from(place: &'a Place) -> Self {
        match place {
            Place::Name { dir, name } => Spot::Name(dir, name),
            Place::Directory { dir } => Spot::Directory(dir),
            Place::Object { key } => Spot::Object(key),
        }
    }
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.looks.len()
    }

    /// The names of an object, with their directories.
    pub(super) fn names_of(&self, object: &Key) -> Vec<(Key, Box<[u8]>)> {
        let named = |look: &Look| match &look.place {
            Place::Name { dir, name } if look.object.as_ref() == Some(object) => {
                Some((dir.clone(), name.clone()))
            }
            _ => None,
        };
        self.looks.iter().filter_map(named).collect()
    }

    /// Adds to the look of this place, or makes one if `room`; false when there was neither.
    pub(super) fn add(
        &mut self,
        (spot, change): (Spot<'_>, Change),
        object: Option<&Key>,
        from: Option<&Key>,
        room: bool,
    ) -> bool {
        if self.slots.len() < 2 * (self.looks.len() + 1) {
            self.grow();
        }
        let hash = self.hash(spot);
        let mut at = self.slot(hash);
        while let Some(index) = self.taken(at) {
            if self.hashes.get(index) == Some(&hash)
                && let Some(look) = self.looks.get_mut(index)
                && spot.is(&look.place)
            {
                if let Some(object) = object
                    && look.object.as_ref() != Some(object)
                {
                    let of_other = look.change.only(Change::CONTENT | Change::META);
                    let other = look.object.replace(object.clone());
                    if let (Some(other), false) = (other, of_other.is_none()) {
                        look.change = look.change.without(of_other);
                        self.other = Some((other, of_other));
                    }
                }
                if change.has(Change::NAME) && !change.has(Change::MOVED) {
                    // What has the name now was not moved there.
                    (look.change, look.from) = (look.change.without(Change::MOVED), None);
                }
                look.change |= change;
                if let Some(from) = from {
                    look.from = Some(from.clone());
                }
                return true;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        if !room {
            return false;
        }
        self.looks.push(Look { place: spot.place(), change, object: object.cloned(), from: from.cloned() });
        self.hashes.push(hash);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = self.looks.len() as u32;
        }
        true
    }

    /// What the last [`Places::add`] found told of the content and attributes of another object that had the name before.
    pub(super) fn take_other(&mut self) -> Option<(Key, Change)> {
        self.other.take()
    }

    /// Swaps all looks into an empty list.
    pub(super) fn take(&mut self, into: &mut Vec<Look>) {
        let large = self.looks.len() > KEPT;
        into.clear();
        if into.capacity() > KEPT {
            into.shrink_to(KEPT);
        }
        std::mem::swap(&mut self.looks, into);
        self.hashes.clear();
        if large {
            self.hashes = Vec::new();
            self.slots = Vec::new();
        } else {
            self.slots.fill(0);
        }
    }

    fn hash(&self, spot: Spot<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        match spot {
            Spot::Name(dir, name) => {
                dir.hash(&mut hasher);
                hasher.write(name);
            }
            Spot::Directory(dir) => {
                dir.hash(&mut hasher);
                hasher.write_u8(b'/');
            }
            Spot::Object(key) => {
                key.hash(&mut hasher);
                hasher.write_u8(0);
            }
        }
        hasher.finish()
    }

    /// Where the search for a hash begins.
    fn slot(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    /// The index of the look in a slot.
    fn taken(&self, at: usize) -> Option<usize> {
        self.slots.get(at).and_then(|slot| (*slot as usize).checked_sub(1))
    }

    fn grow(&mut self) {
        let len = (4 * (self.looks.len() + 1)).next_power_of_two().max(FEWEST);
        self.slots.clear();
        self.slots.resize(len, 0);
        for (index, hash) in self.hashes.iter().enumerate() {
            let mut at = *hash as usize & (len - 1);
            while self.slots.get(at).is_some_and(|slot| *slot != 0) {
                at = (at + 1) & (len - 1);
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = index as u32 + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Handle;

    fn key(number: u32) -> Key {
        Key::new(0, Handle::new(1, &number.to_ne_bytes()))
    }

    #[test]
    fn many_places_are_each_held_once_in_their_first_order() {
        let mut places = Places::default();
        for _ in 0..3 {
            for number in 0..10_000_u32 {
                let name = number.to_string();
                places.add((Spot::Name(&key(number / 10), name.as_bytes()), Change::NAME), None, None, true);
            }
        }
        let mut looks = Vec::new();
        places.take(&mut looks);
        assert_eq!(looks.len(), 10_000);
        for (number, look) in looks.iter().enumerate() {
            let name = number.to_string().into_bytes().into();
            assert_eq!(look.place, Place::Name { dir: key(number as u32 / 10), name });
        }
        assert_eq!(places.len(), 0);
    }

    #[test]
    fn a_place_of_each_form_is_another_one() {
        let mut places = Places::default();
        let dir = key(1);
        for spot in [Spot::Directory(&dir), Spot::Object(&dir), Spot::Name(&dir, b"/")] {
            assert!(places.add((spot, Change::META), None, None, true));
        }
        assert_eq!(places.len(), 3);
    }

    #[test]
    fn without_room_only_what_is_held_is_added_to() {
        let mut places = Places::default();
        let dir = key(1);
        places.add((Spot::Name(&dir, b"a"), Change::NAME), None, None, true);
        assert!(places.add((Spot::Name(&dir, b"a"), Change::CONTENT), Some(&key(7)), None, false));
        assert!(!places.add((Spot::Name(&dir, b"b"), Change::NAME), None, None, false));
        let mut looks = Vec::new();
        places.take(&mut looks);
        assert_eq!(looks.len(), 1);
        assert_eq!(looks[0].change, Change::NAME | Change::CONTENT);
        assert_eq!(looks[0].object, Some(key(7)));
    }
}
