//! How many strangers may stand at the door: callers over the network that have not logged in yet. They cannot take the room of those
//! who have.

use super::login::Origin;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most strangers at a time, and most from one origin.
const STRANGERS: usize = 64;
const OF_ONE: usize = 16;

/// The door.
#[derive(Debug, Default)]
pub(super) struct Door {
    inside: Mutex<HashMap<Origin, usize>>,
}

/// A stranger's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    door: Arc<Door>,
    origin: Origin,
}

impl Door {
    /// None: there are too many.
    pub fn enter(self: &Arc<Self>, origin: Origin) -> Option<Guest> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.values().sum::<usize>() >= STRANGERS || inside.get(&origin).is_some_and(|n| *n >= OF_ONE) {
            return None;
        }
        *inside.entry(origin).or_default() += 1;
        Some(Guest { door: Arc::clone(self), origin })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.door.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inside.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_origin_leaves_room_for_others_and_all_leave_it_empty() {
        let door = Arc::new(Door::default());
        let mut guests: Vec<Guest> = (0..2 * OF_ONE).filter_map(|_| door.enter(Origin::User(1))).collect();
        assert_eq!(guests.len(), OF_ONE);
        guests
            .extend((0..u32::try_from(STRANGERS).unwrap()).filter_map(|n| door.enter(Origin::User(10 + n))));
        assert_eq!(guests.len(), STRANGERS);
        assert!(door.enter(Origin::User(1000)).is_none());
        drop(guests);
        assert!(door.inside.lock().unwrap().is_empty());
        assert!(door.enter(Origin::User(1)).is_some());
    }
}
