//! The set of places to look at, between the thread that reads events and the one that looks.
//!
//! One lock, held for the adding of one buffer of events or the swap of a batch. Past a limit it degrades: names become
//! their directories, and when these are too many, everything (architecture.md 4).

#[cfg(test)]
use super::Look;
use super::places::{Places, Spot};
use super::{Batch, Change, Gap, Key};
use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most places, some 200 bytes each.
const MOST_LOOKS: usize = 512 * 1024;

/// Most directories that stand for the places that found no room.
const MOST_DIRECTORIES: usize = 128 * 1024;

/// Most objects that are remembered as outside; then all are forgotten.
const MOST_IGNORED: usize = 64 * 1024;

/// The set of places to look at.
#[derive(Debug, Default)]
pub struct Looks {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    places: Places,
    gaps: Vec<Gap>,
    /// Those of `gaps` that are directories.
    directories: HashSet<Key>,
    mounts_changed: bool,
    events: u64,
    ignored: HashSet<Key>,
    /// Somebody waits for something to arrive.
    waiting: bool,
    woken: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.places.len() == 0 && self.gaps.is_empty() && !self.mounts_changed
    }

    fn gap(&mut self, gap: Gap) {
        let new = match &gap {
            Gap::Directory { dir } if self.directories.len() >= MOST_DIRECTORIES => {
                let _ = dir;
                return self.gap(Gap::Everything { why: "too many directories to look at".to_owned() });
            }
            Gap::Directory { dir } => self.directories.insert(dir.clone()),
            Gap::Everything { .. } => !self.gaps.iter().any(|gap| matches!(gap, Gap::Everything { .. })),
            Gap::FileSystem { .. } => !self.gaps.contains(&gap),
        };
        if new {
            self.gaps.push(gap);
        }
    }
}

impl Looks {
    pub fn new() -> Arc<Looks> {
        Arc::default()
    }

    /// Adds one look, as an event would.
    #[cfg(test)]
    pub fn add(&self, look: Look) {
        self.adding().add_from(
            Spot::from(&look.place),
            look.change,
            look.object.as_ref(),
            look.from.as_ref(),
        );
    }

    /// Adds what has to be looked at without events.
    pub fn gap(&self, gap: Gap) {
        self.adding().gap(gap);
    }

    /// Something was mounted or unmounted.
    pub fn mounts_changed(&self) {
        self.adding().state.mounts_changed = true;
    }

    /// Takes all that is there; what was in `into` is dropped, its memory used again. False when there was nothing.
    pub fn take(&self, into: &mut Batch) -> bool {
        let mut state = self.state();
        let something = !state.is_empty();
        state.places.take(&mut into.looks);
        into.gaps.clear();
        into.gaps.append(&mut state.gaps);
        state.directories.clear();
        into.mounts_changed = std::mem::take(&mut state.mounts_changed);
        into.events = std::mem::take(&mut state.events);
        something
    }

    /// The directories and names by which an object is named in what is there.
    pub fn names_of(&self, object: &Key) -> Vec<(Key, Box<[u8]>)> {
        self.state().places.names_of(object)
    }

    /// Waits until something is there or [`Looks::wake`] was called since the last wait; false when the time ran out first.
    /// For one thread.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state();
        loop {
            if std::mem::take(&mut state.woken) || !state.is_empty() {
                return true;
            }
            state.waiting = true;
            state = match deadline {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        state.waiting = false;
                        return false;
                    }
                    self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.waiting = false;
        }
    }

    /// Ends the present wait, or the next one.
    pub fn wake(&self) {
        self.state().woken = true;
        self.arrived.notify_all();
    }

    /// Places that are there.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.state().places.len()
    }

    /// True when there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.state().is_empty()
    }

    /// The directory, or other object, is outside the set: events that name it are dropped where they are read. Not
    /// remembered for good: when these are too many, all are forgotten.
    pub fn ignore(&self, key: &Key) {
        let mut state = self.state();
        if state.ignored.len() >= MOST_IGNORED {
            state.ignored.clear();
        }
        state.ignored.insert(key.clone());
    }

    /// The directory is inside from now on, whatever it was: no event that names it is dropped after this, also none that was
    /// read before and not added yet.
    pub fn follow(&self, key: &Key) {
        self.state().ignored.remove(key);
    }

    /// Holds the lock while events of one buffer are added.
    pub(super) fn adding(&self) -> Adding<'_> {
        Adding { looks: self, state: self.state() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lock of [`Looks`]; when it ends, who waits is woken.
pub(super) struct Adding<'a> {
    looks: &'a Looks,
    state: MutexGuard<'a, State>,
}

impl Adding<'_> {
    /// Counts an event of the kernel.
    pub(super) fn count(&mut self) {
        self.state.events += 1;
    }

    /// An entry of a directory; the name `.` and none are the directory itself.
    pub(super) fn entry(&mut self, dir: &Key, name: &[u8], change: Change, object: Option<&Key>) {
        let spot = if name.is_empty() || name == b"." { Spot::Directory(dir) } else { Spot::Name(dir, name) };
        self.add(spot, change, object);
    }

    /// The new name of a rename out of the directory `from`.
    pub(super) fn moved(
        &mut self,
        dir: &Key,
        name: &[u8],
        change: Change,
        object: Option<&Key>,
        from: Option<&Key>,
    ) {
        self.add_from(Spot::Name(dir, name), change | Change::MOVED, object, from);
    }

    pub(super) fn add(&mut self, spot: Spot<'_>, change: Change, object: Option<&Key>) {
        self.add_from(spot, change, object, None);
    }

    fn add_from(&mut self, spot: Spot<'_>, change: Change, object: Option<&Key>, from: Option<&Key>) {
        let (Spot::Name(key, _) | Spot::Directory(key) | Spot::Object(key)) = spot;
        let state = &mut *self.state;
        if !state.ignored.is_empty() && state.ignored.contains(key) {
            return;
        }
        let added = state.places.add((spot, change), object, from, state.places.len() < MOST_LOOKS);
        // What was written to another object under this name is to be looked at under whatever name that has by now.
        if let Some((other, change)) = state.places.take_other() {
            let room = state.places.len() < MOST_LOOKS;
            if !state.places.add((Spot::Object(&other), change), None, None, room) {
                state.gap(Gap::Everything { why: "too many places to look at".to_owned() });
            }
        }
        if added {
            return;
        }
        state.gap(match spot {
            Spot::Name(dir, _) | Spot::Directory(dir) => Gap::Directory { dir: dir.clone() },
            Spot::Object(_) => Gap::Everything { why: "too many places to look at".to_owned() },
        });
    }

    pub(super) fn gap(&mut self, gap: Gap) {
        self.state.gap(gap);
    }
}

impl Drop for Adding<'_> {
    fn drop(&mut self) {
        if self.state.waiting && !self.state.is_empty() {
            self.state.waiting = false;
            self.looks.arrived.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;
    use crate::sys::Handle;

    fn key(number: u32) -> Key {
        Key::new(0, Handle::new(1, &number.to_ne_bytes()))
    }

    fn name(dir: u32, name: &str, change: Change, object: Option<u32>) -> Look {
        let place = Place::Name { dir: key(dir), name: name.as_bytes().into() };
        Look { place, change, object: object.map(key), from: None }
    }

    fn taken(looks: &Looks) -> Batch {
        let mut batch = Batch::default();
        looks.take(&mut batch);
        batch
    }

    #[test]
    fn a_place_is_looked_at_once_with_all_its_changes_and_its_newest_object() {
        let looks = Looks::new();
        looks.add(name(1, "a", Change::NAME, Some(7)));
        looks.add(name(1, "b", Change::NAME, None));
        looks.add(name(1, "a", Change::CONTENT, Some(8)));
        looks.add(name(1, "a", Change::META, None));
        let all = Change::NAME | Change::CONTENT | Change::META;
        assert_eq!(taken(&looks).looks, [name(1, "a", all, Some(8)), name(1, "b", Change::NAME, None)]);
        assert!(!looks.take(&mut Batch::default()));
    }

    #[test]
    fn what_was_written_to_an_object_is_not_taken_for_the_next_one_of_its_name() {
        let looks = Looks::new();
        looks.add(name(1, "a", Change::CONTENT, Some(7)));
        looks.add(name(1, "a", Change::NAME, Some(8)));
        let object =
            Look { place: Place::Object { key: key(7) }, change: Change::CONTENT, object: None, from: None };
        assert_eq!(taken(&looks).looks, [name(1, "a", Change::NAME, Some(8)), object]);
    }

    #[test]
    fn what_is_outside_is_dropped_until_it_is_forgotten() {
        let looks = Looks::new();
        looks.ignore(&key(1));
        looks.add(name(1, "a", Change::NAME, None));
        looks.add(name(2, "a", Change::NAME, None));
        assert_eq!(taken(&looks).looks, [name(2, "a", Change::NAME, None)]);
        looks.follow(&key(1));
        looks.add(name(1, "a", Change::NAME, None));
        assert_eq!(looks.len(), 1);
    }

    #[test]
    fn what_is_outside_is_bounded() {
        let looks = Looks::new();
        for number in 0..MOST_IGNORED as u32 + 1 {
            looks.ignore(&key(number));
        }
        assert_eq!(looks.state().ignored.len(), 1);
    }

    #[test]
    fn past_the_limit_names_become_their_directories() {
        let looks = Looks::new();
        {
            let mut adding = looks.adding();
            for number in 0..MOST_LOOKS as u32 {
                adding.entry(&key(1), &number.to_ne_bytes(), Change::NAME, None);
            }
            for number in 0..1000_u32 {
                adding.entry(&key(2), &number.to_ne_bytes(), Change::NAME, None);
            }
            adding.entry(&key(1), &0_u32.to_ne_bytes(), Change::META, None);
        }
        let batch = taken(&looks);
        assert_eq!(batch.looks.len(), MOST_LOOKS);
        assert_eq!(batch.gaps, [Gap::Directory { dir: key(2) }]);
        assert_eq!(batch.looks[0].change, Change::NAME | Change::META);
    }

    #[test]
    fn too_many_directories_are_everything() {
        let looks = Looks::new();
        for number in 0..MOST_DIRECTORIES as u32 + 10 {
            looks.gap(Gap::Directory { dir: key(number) });
        }
        let gaps = taken(&looks).gaps;
        assert_eq!(gaps.len(), MOST_DIRECTORIES + 1);
        assert!(matches!(gaps.last(), Some(Gap::Everything { .. })));
    }

    #[test]
    fn a_wait_ends_by_a_look_a_wake_or_the_time() {
        let looks = Looks::new();
        assert!(!looks.wait(Some(Duration::from_millis(1))));
        looks.wake();
        assert!(looks.wait(None));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| looks.wait(None));
            looks.add(name(1, "a", Change::NAME, None));
            assert!(waiter.join().unwrap());
            taken(&looks);
            let waiter = scope.spawn(|| looks.wait(None));
            looks.wake();
            assert!(waiter.join().unwrap());
        });
        assert!(!looks.wait(Some(Duration::ZERO)));
    }
}
