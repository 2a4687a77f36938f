//! What was renamed of late: an operation that failed on the target names the place that its entry had when it was sent, and
//! that may be elsewhere by the time the failure is told.

use super::model::Identity;
use std::collections::VecDeque;

/// Renames that are remembered: more than a log holds that is being sent.
const MOST: usize = 16 * 1024;
/// Places that one is followed to.
const PLACES: usize = 16;

/// A place of the target: number of the root, path below it.
pub(super) type Place = (u16, Vec<u8>);

/// A place as it was when an operation was sent that has failed since, and a position in the log: what stood there up to that
/// was applied before.
pub(super) type Failing = (Place, u64);

/// The last renames that were logged, oldest first.
#[derive(Debug, Default)]
pub(super) struct Moves {
    renames: VecDeque<(u64, Identity, Place, Place)>,
    last: u64,
}

impl Moves {
    /// A rename was logged, at this position. None: the log is lost.
    pub(super) fn note(&mut self, position: Option<u64>, id: Identity, from: Place, to: Place) {
        if self.renames.len() >= MOST {
            self.renames.pop_front();
        }
        // One that was lost came behind all that was logged before it, and is as new as that.
        self.last = position.unwrap_or(self.last.saturating_add(1)).max(self.last);
        self.renames.push_back((self.last, id, from, to));
    }

    fn behind(&self, position: u64) -> impl Iterator<Item = (&Identity, &Place, &Place)> {
        let behind = self.renames.partition_point(|(at, ..)| *at <= position);
        self.renames.range(behind..).map(|(_, id, from, to)| (id, from, to))
    }

    /// The place itself, and all to which what stood there may have been moved by a rename that is remembered and was not applied
    /// before. Which of these renames came before it stood there is not known.
    pub(super) fn since(&self, (place, applied): &Failing) -> Vec<Place> {
        let mut places = vec![place.clone()];
        for (_, from, to) in self.behind(*applied) {
            for at in 0..places.len() {
                if places.len() >= PLACES {
                    return places;
                }
                if let Some(moved) = moved(&places[at], from, to)
                    && !places.contains(&moved)
                {
                    places.push(moved);
                }
            }
        }
        places
    }
}

impl Moves {
    /// From where what is at a place now was moved to it, by the renames that are remembered and were not applied before: each place,
    /// and those to which it may have been moved since with what it is in.
    pub(super) fn origins(&self, (place, applied): &Failing) -> Vec<Place> {
        let behind = self.renames.partition_point(|(at, ..)| at <= applied);
        let renames = self.renames.range(behind..).filter(|(.., to)| to == place);
        renames.flat_map(|(at, _, from, _)| self.since(&(from.clone(), *at))).collect()
    }

    /// What these renames were to bring there.
    pub(super) fn moved_to(&self, (place, applied): &Failing) -> Vec<Identity> {
        self.behind(*applied).filter(|(.., to)| *to == place).map(|(id, ..)| *id).collect()
    }

    /// What was moved, from below a place to which something was to be moved, to where it is now: if that has failed, it was something else.
    pub(super) fn moved_out(&self, failing: &Failing) -> Vec<Identity> {
        let places = self.since(failing);
        let below =
            |from: &Place| places.iter().any(|place| from != place && moved(from, place, place).is_some());
        self.behind(failing.1).filter(|(_, from, _)| below(from)).map(|(id, ..)| *id).collect()
    }
}

/// Where a rename brings a place at or below `from`.
fn moved(place: &Place, from: &Place, to: &Place) -> Option<Place> {
    if place.0 != from.0 {
        return None;
    }
    let rest = place.1.strip_prefix(from.1.as_slice())?;
    let below = rest.is_empty() || rest.starts_with(b"/");
    below.then(|| (to.0, [&to.1, rest].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Identity = Identity { dev: 1, ino: 1, born: 0 };
    const OTHER: Identity = Identity { dev: 1, ino: 2, born: 0 };

    fn place(path: &str) -> Place {
        (0, path.as_bytes().to_vec())
    }

    #[test]
    fn a_place_is_followed_through_renames_of_it_and_of_what_it_is_in() {
        let mut moves = Moves::default();
        moves.note(None, ID, place("a"), place("b"));
        moves.note(None, ID, place("b/f"), place("g"));
        moves.note(None, ID, place("x"), place("y"));
        assert_eq!(moves.since(&(place("a/f"), 0)), [place("a/f"), place("b/f"), place("g")]);
        assert_eq!(moves.since(&(place("ab"), 0)), [place("ab")]);
        assert_eq!(moves.since(&((1, b"a".to_vec()), 0)), [(1, b"a".to_vec())]);
    }

    #[test]
    fn a_place_knows_what_was_moved_to_it() {
        let mut moves = Moves::default();
        moves.note(None, ID, place("a"), place("b"));
        moves.note(None, ID, place("b"), place("c"));
        moves.note(None, ID, place("x"), place("c"));
        assert_eq!(moves.origins(&(place("c"), 0)), [place("b"), place("x")]);
        assert!(moves.origins(&(place("a"), 0)).is_empty());
    }

    #[test]
    fn where_it_was_moved_from_may_have_moved_itself() {
        let mut moves = Moves::default();
        moves.note(Some(1), ID, place("d/a"), place("b"));
        moves.note(Some(2), OTHER, place("d"), place("e"));
        assert_eq!(moves.origins(&(place("b"), 0)), [place("d/a"), place("e/a")]);
    }

    #[test]
    fn what_has_left_a_place_since_something_was_to_be_moved_there_is_known() {
        let mut moves = Moves::default();
        moves.note(Some(1), OTHER, place("b/e"), place("h"));
        moves.note(Some(2), ID, place("a"), place("b"));
        moves.note(Some(3), OTHER, place("b/f"), place("g"));
        moves.note(Some(4), OTHER, place("bb/f"), place("i"));
        assert_eq!(moves.moved_out(&(place("b"), 1)), [OTHER]);
        assert!(moves.moved_out(&(place("b"), 3)).is_empty());
        moves.note(Some(5), OTHER, place("b"), place("c"));
        moves.note(Some(6), ID, place("c/f"), place("k"));
        assert_eq!(moves.moved_out(&(place("b"), 1)), [OTHER, ID]);
    }

    #[test]
    fn a_circle_of_renames_ends() {
        let mut moves = Moves::default();
        for _ in 0..10 {
            moves.note(None, ID, place("a"), place("b"));
            moves.note(None, ID, place("b"), place("a"));
        }
        assert_eq!(moves.since(&(place("a"), 0)), [place("a"), place("b")]);
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_places_are_few() {
        let mut moves = Moves::default();
        for n in 0..2 * MOST {
            moves.note(None, ID, place(&n.to_string()), place(&(n + 1).to_string()));
        }
        assert_eq!(moves.since(&(place("5"), 0)), [place("5")]);
        assert_eq!(moves.since(&(place(&MOST.to_string()), 0)).len(), PLACES);
    }

    #[test]
    fn what_was_applied_before_moved_nothing_of_it() {
        let mut moves = Moves::default();
        moves.note(Some(3), ID, place("a"), place("b"));
        moves.note(Some(5), ID, place("c"), place("d"));
        moves.note(Some(6), OTHER, place("a"), place("d"));
        // The log was lost.
        moves.note(None, ID, place("d"), place("e"));
        assert_eq!(moves.since(&(place("a"), 3)), [place("a"), place("d"), place("e")]);
        assert_eq!(moves.origins(&(place("d"), 5)), [place("a")]);
        assert_eq!(moves.moved_to(&(place("d"), 5)), [OTHER]);
        assert_eq!(moves.moved_to(&(place("d"), 3)), [ID, OTHER]);
        assert_eq!(moves.since(&(place("d"), 6)), [place("d"), place("e")]);
    }
}
