//! Variables: names to slots, slots to values. RUN has a scope of its own, INCLUDE shares its includer's.

use super::extend::Modules;
use crate::lang::Value;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// The names of a scope. Names are kept in lower case: variables have no case (language.md 3).
#[derive(Debug, Default)]
pub struct Names {
    slots: HashMap<Box<str>, u32, BuildHasherDefault<Fnv>>,
}

impl Names {
    /// The slot of a name (without `$`), a new one for a new name.
    pub fn slot(&mut self, name: &str) -> u32 {
        let folded;
        let name = if name.bytes().any(|b| b.is_ascii_uppercase() || b >= 0x80) {
            folded = name.to_lowercase();
            folded.as_str()
        } else {
            name
        };
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.insert(name.into(), slot);
        slot
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// All names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.slots.iter().map(|(name, slot)| (&**name, *slot))
    }
}

/// The variables of a script that runs.
#[derive(Debug, Default)]
pub struct Scope {
    pub names: Names,
    /// By slot; none: never assigned.
    pub values: Vec<Option<Value>>,
    /// `$1`, `$2` ...
    pub arguments: Vec<Arc<str>>,
    /// `$script`
    pub script: Arc<str>,
    /// A failure was passed over: without EXIT the script's status is 1.
    pub went_on: bool,
    /// What USE loaded.
    pub modules: Modules,
}

/// A hash for short names (FNV-1a): variables are looked up for each mention in a script.
#[derive(Default)]
pub struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case() {
        let mut names = Names::default();
        let slot = names.slot("Größe");
        assert_eq!(names.slot("GRÖSSE"), 1, "ß and SS are different letters");
        assert_eq!(names.slot("gRÖßE"), slot);
        assert_eq!(names.slot("b"), 2);
    }
}
