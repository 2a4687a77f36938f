//! Hard links: which names of the set are one file (REP-20, REP-21), and what the target made of them.

use std::collections::HashMap;

/// Device and inode.
pub(super) type Id = (u64, u64);

/// A file with several names, from the first name met to the last.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub root: u16,
    /// Directory and name of the first one.
    pub path: Vec<u8>,
    pub name: Vec<u8>,
    /// What the target has under the first name, when that has several names too and was kept.
    pub target: Option<Id>,
    /// The first one was left out by a setting: the others are, too.
    pub skipped: bool,
    /// What the target has under the first name is not this file, as it could not be sent or a setting left it: the next name
    /// that is met takes its place.
    lost: bool,
    /// Names not met yet. Some may lie outside the set.
    left: u32,
}

/// The files with several names that a walk has met. Memory grows only with those whose names were not all met.
#[derive(Debug, Default)]
pub(super) struct Links {
    groups: HashMap<Id, Group>,
    /// The target's files with several names, by the source file that has a claim on them.
    claims: HashMap<Id, Id>,
    /// How many names were met, of files with more than one.
    met: HashMap<Id, u32>,
}

impl Links {
    /// A name of a file with `links` names. Some: it is not the first.
    pub(super) fn meet(&mut self, id: Id, links: u32, root: u16, path: &[u8], name: &[u8]) -> Option<Group> {
        if let Some(group) = self.groups.get_mut(&id) {
            group.left = group.left.saturating_sub(1);
            *self.met.entry(id).or_insert(1) += 1;
            if group.lost {
                let (path, name) = (path.to_vec(), name.to_vec());
                *group = Group { root, path, name, target: None, lost: false, ..group.clone() };
                return None;
            }
            let found = group.clone();
            if group.left == 0 {
                self.groups.remove(&id);
            }
            return Some(found);
        }
        let (path, name) = (path.to_vec(), name.to_vec());
        let group = Group {
            root,
            path,
            name,
            target: None,
            skipped: false,
            lost: false,
            left: links.saturating_sub(1),
        };
        self.groups.insert(id, group);
        None
    }

    /// The group of a file, to say more about its first name.
    pub(super) fn group(&mut self, id: Id) -> Option<&mut Group> {
        self.groups.get_mut(&id)
    }

    /// The first name cannot stand for the others.
    pub(super) fn lose(&mut self, id: Id) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.lost = true;
        }
    }

    /// A name that stands for the others, when there is one.
    pub(super) fn first(&self, id: Id) -> Option<&Group> {
        self.groups.get(&id).filter(|group| !group.lost && !group.skipped)
    }

    /// Names met of a file.
    pub(super) fn met(&self, id: Id) -> u32 {
        self.met.get(&id).copied().unwrap_or(1)
    }

    /// The source file `id` is to be kept as the target's file `target`, which has several names. False: another source file
    /// is that one already, so this one needs a file of its own.
    pub(super) fn claim(&mut self, target: Id, id: Id) -> bool {
        *self.claims.entry(target).or_insert(id) == id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_name_knows_the_first_and_the_last_forgets() {
        let mut links = Links::default();
        assert!(links.meet((1, 7), 3, 0, b"a", b"x").is_none());
        let group = links.meet((1, 7), 3, 0, b"b", b"y").unwrap();
        assert_eq!((group.path.as_slice(), group.name.as_slice()), (&b"a"[..], &b"x"[..]));
        assert!(links.meet((1, 7), 3, 0, b"b", b"z").is_some());
        assert!(links.group((1, 7)).is_none());
    }

    #[test]
    fn a_lost_first_name_is_followed_by_the_next() {
        let mut links = Links::default();
        assert!(links.meet((1, 7), 4, 0, b"", b"x").is_none());
        links.lose((1, 7));
        assert!(links.first((1, 7)).is_none());
        assert!(links.meet((1, 7), 4, 0, b"", b"y").is_none());
        assert_eq!(links.meet((1, 7), 4, 0, b"", b"z").unwrap().name, b"y");
        assert_eq!(links.met((1, 7)), 3);
    }

    #[test]
    fn one_file_of_the_target_is_claimed_once() {
        let mut links = Links::default();
        assert!(links.claim((2, 1), (1, 7)));
        assert!(links.claim((2, 1), (1, 7)));
        assert!(!links.claim((2, 1), (1, 8)));
    }
}
