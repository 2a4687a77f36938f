//! Do two trees share a place? Decided on what they really are, so that links and bind mounts hide nothing (REP-06,
//! REP-35).
//!
//! Three comparisons, any of which is enough: resolved names, places inside file systems (`mounts`), and the inodes of
//! the existing directories on the way. A path that does not exist yet counts as lying in its deepest existing
//! ancestor.

use super::mounts::{Mounts, Region};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A tree, as far as it exists.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The name with all links resolved in the part that exists.
    pub real: PathBuf,
    regions: Vec<Region>,
    /// The path itself, if it exists, and all directories above it: device and inode with the rest of the path below.
    ancestors: Vec<((u64, u64), PathBuf)>,
    exists: bool,
}

/// How one tree lies to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Below the other one or the same; the path is the other one's name for it.
    Inside(PathBuf),
    /// Above the other one.
    Around,
}

impl Tree {
    /// Looks at a path. An error when a part of it cannot be looked at, or is no directory.
    pub fn look(path: &Path, mounts: &Mounts) -> std::io::Result<Tree> {
        let (real, exists) = resolve(path)?;
        let mut ancestors = Vec::new();
        for directory in real.ancestors() {
            match std::fs::symlink_metadata(directory) {
                Ok(stat) => {
                    let rest = real.strip_prefix(directory).unwrap_or(Path::new("")).to_path_buf();
                    ancestors.push(((stat.dev(), stat.ino()), rest));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Tree { regions: mounts.regions(&real), real, ancestors, exists })
    }

    /// A directory of a machine that cannot be looked at: it is what its name says.
    pub fn unseen(path: &Path) -> Tree {
        Tree { real: path.to_owned(), regions: Vec::new(), ancestors: Vec::new(), exists: true }
    }

    /// All ways in which this tree lies to `other`; empty if they have no place in common.
    pub fn to(&self, other: &Tree) -> Vec<Overlap> {
        let mut found = Vec::new();
        let mut add = |overlap| {
            if !found.contains(&overlap) {
                found.push(overlap);
            }
        };
        if let Ok(rest) = self.real.strip_prefix(&other.real) {
            add(Overlap::Inside(under(&other.real, rest)));
        } else if other.real.starts_with(&self.real) {
            add(Overlap::Around);
        }
        if let Some(identity) = other.identity()
            && let Some((_, rest)) = self.ancestors.iter().find(|(id, _)| *id == identity)
        {
            add(Overlap::Inside(under(&other.real, rest)));
        } else if self
            .identity()
            .is_some_and(|identity| other.ancestors.iter().any(|(id, _)| *id == identity))
        {
            add(Overlap::Around);
        }
        for mine in &self.regions {
            for theirs in other.regions.iter().filter(|theirs| theirs.device == mine.device) {
                if let Ok(rest) = mine.path.strip_prefix(&theirs.path) {
                    add(Overlap::Inside(under(&theirs.seen, rest)));
                } else if theirs.path.starts_with(&mine.path) {
                    add(Overlap::Around);
                }
            }
        }
        found
    }

    /// True if it is or lies in one of these directories.
    pub fn is_in(&self, directories: &[(u64, u64)]) -> bool {
        self.ancestors.iter().any(|(identity, _)| directories.contains(identity))
    }

    pub fn exists(&self) -> bool {
        self.exists
    }

    fn identity(&self) -> Option<(u64, u64)> {
        self.ancestors.first().filter(|(_, rest)| rest.as_os_str().is_empty()).map(|(identity, _)| *identity)
    }
}

/// The path with the links of its existing part resolved, and whether all of it exists.
fn resolve(path: &Path) -> std::io::Result<(PathBuf, bool)> {
    for existing in path.ancestors() {
        match std::fs::canonicalize(existing) {
            Ok(real) => {
                let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
                if !rest.as_os_str().is_empty() && !real.is_dir() {
                    return Err(std::io::Error::from(ErrorKind::NotADirectory));
                }
                return Ok((under(&real, rest), rest.as_os_str().is_empty()));
            }
            // A link to nothing is an entry, but nothing can be made below it.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if std::fs::symlink_metadata(existing).is_ok() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok((path.to_path_buf(), false))
}

fn under(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { base.to_path_buf() } else { base.join(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Trees in a directory of their own, on the machine's real mounts.
    struct Ground {
        dir: tempfile::TempDir,
        mounts: Mounts,
    }

    impl Ground {
        fn new() -> Ground {
            Ground { dir: tempfile::tempdir().unwrap(), mounts: Mounts::read().unwrap() }
        }

        fn make(&self, name: &str) -> PathBuf {
            let path = self.dir.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        }

        fn tree(&self, name: &str) -> Tree {
            Tree::look(&self.dir.path().join(name), &self.mounts).unwrap()
        }
    }

    #[test]
    fn plain_names_are_compared_by_component() {
        let ground = Ground::new();
        ground.make("a/b");
        assert!(matches!(ground.tree("a/b").to(&ground.tree("a"))[..], [Overlap::Inside(_)]));
        assert!(matches!(ground.tree("a").to(&ground.tree("a"))[..], [Overlap::Inside(_)]));
        assert_eq!(ground.tree("a").to(&ground.tree("a/b")), [Overlap::Around]);
        assert_eq!(ground.tree("ab").to(&ground.tree("a")), []);
    }

    #[test]
    fn what_does_not_exist_yet_lies_where_it_would_be_made() {
        let ground = Ground::new();
        ground.make("a");
        let new = ground.tree("a/new/deeper");
        assert!(!new.exists());
        let [Overlap::Inside(seen)] = &new.to(&ground.tree("a"))[..] else { unreachable!() };
        assert!(seen.ends_with("a/new/deeper"));
        assert_eq!(ground.tree("b/new").to(&ground.tree("a")), []);
    }

    #[test]
    fn a_link_does_not_hide_a_place() {
        let ground = Ground::new();
        ground.make("a/b");
        symlink(ground.dir.path().join("a"), ground.dir.path().join("link")).unwrap();
        let [Overlap::Inside(seen)] = &ground.tree("link/new").to(&ground.tree("a"))[..] else {
            unreachable!()
        };
        assert!(seen.ends_with("a/new"));
        assert_eq!(ground.tree("link").to(&ground.tree("a/b")), [Overlap::Around]);
    }

    #[test]
    fn a_link_to_nothing_and_a_file_on_the_way_are_no_places() {
        let ground = Ground::new();
        symlink("nowhere", ground.dir.path().join("dangling")).unwrap();
        std::fs::write(ground.dir.path().join("file"), "").unwrap();
        for name in ["dangling/x", "file/x"] {
            assert!(Tree::look(&ground.dir.path().join(name), &ground.mounts).is_err(), "{name}");
        }
    }

    /// The mount table is replaced, so that a bind mount can be shown without being root: `view` is `a/b` again.
    #[test]
    fn a_bind_mount_does_not_hide_a_place() {
        let ground = Ground::new();
        ground.make("a/b");
        ground.make("view");
        let real = ground.dir.path().canonicalize().unwrap();
        let real = real.display();
        let mounts = Mounts::of(&format!(
            "1 1 8:1 / / rw - ext4 x rw\n2 1 8:1 {real}/a/b {real}/view rw - ext4 x rw\n"
        ));
        let look = |name: &str| Tree::look(&ground.dir.path().join(name), &mounts).unwrap();
        let [Overlap::Inside(seen)] = &look("view/new").to(&look("a"))[..] else { unreachable!() };
        assert!(seen.ends_with("a/b/new"), "{seen:?}");
        assert_eq!(look("view").to(&look("a/b/c")), [Overlap::Around]);
        assert_eq!(look("view/new").to(&look("other")), []);
    }

    #[test]
    fn a_tree_in_a_mount_below_the_other_is_inside() {
        let ground = Ground::new();
        ground.make("a/mnt");
        let real = ground.dir.path().canonicalize().unwrap();
        let real = real.display();
        let mounts = Mounts::of(&format!(
            "1 1 8:1 / / rw - ext4 x rw\n2 1 8:1 {real}/far {real}/a/mnt rw - ext4 x rw\n"
        ));
        let look = |name: &str| Tree::look(&ground.dir.path().join(name), &mounts).unwrap();
        let [Overlap::Inside(seen)] = &look("far/new").to(&look("a"))[..] else { unreachable!() };
        assert!(seen.ends_with("a/mnt/new"), "{seen:?}");
    }

    #[test]
    fn inodes_tell_what_lies_in_a_directory() {
        let ground = Ground::new();
        let stat = std::fs::metadata(ground.make("home")).unwrap();
        let home = [(stat.dev(), stat.ino())];
        assert!(ground.tree("home/data/x").is_in(&home));
        assert!(!ground.tree("other").is_in(&home));
    }
}
