//! Files that were changed in place lately and stay open for a while (`TGCloseDelay`), so that a thousand appends to one file
//! are not a thousand times opened and closed.
//!
//! Invariants: never more than [`MOST`]; one is used again only while its name still leads to it, which its inode, as it is held,
//! cannot be mistaken for.

use crate::sys::{Dir, FileKind, Stat};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::time::Instant;

/// Files that stay open.
pub(super) const MOST: usize = 64;

/// Device and inode.
type Id = (u64, u64);

struct Open {
    dir: Id,
    name: CString,
    id: Id,
    file: File,
    until: Instant,
}

/// The files, the one used last at the end.
#[derive(Default)]
pub(super) struct Lately {
    list: Vec<Open>,
}

impl Lately {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The file of this name, if it is open and still has the name, with what it says of itself.
    pub(super) fn take(&mut self, dir_id: Id, dir: &Dir, name: &CStr) -> Option<(File, Stat)> {
        let at = self.list.iter().position(|open| open.dir == dir_id && open.name.as_c_str() == name)?;
        let open = self.list.remove(at);
        let stat = dir.stat(name).ok()?;
        (stat.id() == open.id && stat.kind == FileKind::File).then_some((open.file, stat))
    }

    /// Keeps a file open until then, instead of the one that has been unused for longest when there are too many.
    pub(super) fn keep(&mut self, dir: Id, name: CString, id: Id, file: File, until: Instant) {
        self.forget(dir, &name);
        if self.list.len() >= MOST {
            self.list.remove(0);
        }
        self.list.push(Open { dir, name, id, file, until });
    }

    /// Closes the file of this name: the name becomes another's.
    pub(super) fn forget(&mut self, dir: Id, name: &CStr) {
        self.list.retain(|open| open.dir != dir || open.name.as_c_str() != name);
    }

    /// Closes this file, whatever its name.
    pub(super) fn forget_inode(&mut self, id: Id) {
        self.list.retain(|open| open.id != id);
    }

    /// Closes those whose time is over.
    pub(super) fn close(&mut self, now: Instant) {
        self.list.retain(|open| open.until > now);
    }

    /// When the next one is to be closed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.list.iter().map(|open| open.until).min()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_file_is_taken_again_only_under_the_name_that_leads_to_it() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temporary.path()).unwrap();
        let id = Stat::of(&dir).unwrap().id();
        let until = Instant::now() + Duration::from_secs(60);
        let mut lately = Lately::default();
        let keep = |lately: &mut Lately| {
            let file = dir.update(c"f").unwrap();
            let own = Stat::of(&file).unwrap().id();
            lately.keep(id, c"f".to_owned(), own, file, until);
        };
        std::fs::write(temporary.path().join("f"), "x").unwrap();
        keep(&mut lately);
        assert!(lately.take(id, &dir, c"g").is_none());
        assert!(lately.take(id, &dir, c"f").is_some());
        assert!(lately.take(id, &dir, c"f").is_none(), "it was taken");
        keep(&mut lately);
        std::fs::rename(temporary.path().join("f"), temporary.path().join("g")).unwrap();
        std::fs::write(temporary.path().join("f"), "another").unwrap();
        assert!(lately.take(id, &dir, c"f").is_none());
    }

    #[test]
    fn they_are_few_and_closed_in_time() {
        let temporary = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut lately = Lately::default();
        for n in 0..MOST + 9 {
            let name = CString::new(n.to_string()).unwrap();
            let file = std::fs::File::create(temporary.path().join(n.to_string())).unwrap();
            lately.keep((1, 1), name, (2, n as u64), file, now + Duration::from_millis(n as u64));
        }
        assert_eq!(lately.list.len(), MOST);
        assert_eq!(lately.due(), Some(now + Duration::from_millis(9)));
        lately.close(now + Duration::from_millis(9));
        assert_eq!(lately.list.len(), MOST - 1);
        lately.close(now + Duration::from_secs(9));
        assert_eq!(lately.due(), None);
    }
}
