//! The part of a set that a mirror looks at when it need not look at all of it (architecture.md 4): directories, each alone or
//! with all below it, as a tree that the walk goes down beside its own.

use super::folder::join;
use std::collections::{BTreeMap, HashSet};

/// A place of the set: number of the root, path below it.
pub(super) type Spot = (u16, Vec<u8>);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    roots: BTreeMap<u16, Part>,
}

/// Places that something has left on the source while nobody told the target, and that something else has now: what only the
/// target has there, or below, goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Vacated(HashSet<Spot>);

/// One directory, and those below it that are looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub looks: Looks,
    pub below: BTreeMap<Vec<u8>, Part>,
}

/// What a walk does about a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Looks {
    /// It only leads to one that is looked at.
    #[default]
    Past,
    /// At its own entries.
    Here,
    /// At everything below it, too.
    Below,
}

impl Parts {
    /// Adds a directory, or more of it.
    pub(super) fn add(&mut self, root: u16, path: &[u8], deep: bool) {
        let mut part = self.roots.entry(root).or_default();
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            part = part.below.entry(name.to_vec()).or_default();
        }
        if deep {
            part.looks = Looks::Below;
        } else if part.looks == Looks::Past {
            part.looks = Looks::Here;
        }
    }

    pub(super) fn root(&self, number: u16) -> Option<&Part> {
        self.roots.get(&number)
    }

    /// The directories as a target describes them, in the order of the walk: root, path, whether with all below.
    pub(super) fn list(&self) -> Vec<(u16, Vec<u8>, bool)> {
        let mut list = Vec::new();
        for (root, part) in &self.roots {
            part.list(*root, Vec::new(), &mut list);
        }
        list
    }
}

impl Vacated {
    pub(super) fn new(places: impl IntoIterator<Item = Spot>) -> Self {
        Self(places.into_iter().collect())
    }

    /// Has what stood here, or above, left? `path` of a directory, `name` of an entry in it.
    pub(super) fn has(&self, root: u16, path: &[u8], name: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let whole = join(path, name);
        let ends = whole.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut places = ends.chain([whole.len()]).map(|end| (root, whole[..end].to_vec()));
        places.any(|place| self.0.contains(&place))
    }
}

impl Part {
    fn list(&self, root: u16, path: Vec<u8>, into: &mut Vec<(u16, Vec<u8>, bool)>) {
        if self.looks != Looks::Past {
            into.push((root, path.clone(), self.looks == Looks::Below));
        }
        if self.looks != Looks::Below {
            for (name, part) in &self.below {
                part.list(root, join(&path, name), into);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_walk_and_names_nothing_twice() {
        let mut parts = Parts::default();
        parts.add(1, b"", false);
        for (path, deep) in [(&b"a-b"[..], false), (b"a/z", true), (b"a/z/deep", false), (b"a", false)] {
            parts.add(0, path, deep);
        }
        // Again, and for less.
        parts.add(0, b"a/z", false);
        let list = parts.list();
        let list: Vec<_> = list.iter().map(|(root, path, deep)| (*root, path.as_slice(), *deep)).collect();
        assert_eq!(list, [(0, &b"a"[..], false), (0, b"a/z", true), (0, b"a-b", false), (1, b"", false)]);
        let root = parts.root(0).unwrap();
        assert_eq!((root.looks, root.below[&b"a"[..]].looks), (Looks::Past, Looks::Here));
    }

    #[test]
    fn what_is_below_a_place_that_was_left_is_left_too() {
        assert!(!Vacated::default().has(0, b"", b"a"));
        let vacated = Vacated::new([(0, b"a/b".to_vec())]);
        assert!(vacated.has(0, b"a", b"b") && vacated.has(0, b"a/b/c", b"d"));
        assert!(!vacated.has(0, b"a", b"bc") && !vacated.has(0, b"", b"a") && !vacated.has(1, b"a", b"b"));
    }
}
