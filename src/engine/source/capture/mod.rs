//! Capture: where the kernel says that something was changed, as a set of places to look.
//!
//! Invariants: an event is a place to look at, never an operation (architecture.md 3). The thread that reads events does
//! nothing else and waits for nothing else. What was lost is said as a [`Gap`]. Nothing here keeps a descriptor open on a
//! source's file system beyond [`Capture::let_go`].
//!
//! [`Kernel`] chooses for each file system: fanotify where the whole of it can be marked, else inotify. A file system is
//! known by its super block's device number and its own number (`f_fsid`), so bind mounts and a second mount of it give the
//! same keys. Btrfs is the exception that needed a rule: each subvolume has another `f_fsid`, but events carry that of the
//! object that was marked, and only the top level can be marked (EXDEV). It is opened by handle, mounted or not, and stands
//! for all its subvolumes; their numbers are part of btrfs handles, so keys stay unique.

mod fanotify;
mod inotify;
mod kernel;
mod looks;
mod mounts;
mod places;
mod reader;
mod systems;

#[cfg(test)]
pub(in crate::engine) mod driven;
#[cfg(test)]
mod tests;

pub use kernel::Kernel;
pub use looks::Looks;

use crate::engine::replication::Backend;
use crate::sys::{self, Handle};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A directory, or any object, as events name it. Equal keys are the same object for as long as it lives. Keys of inotify
/// name a watch: they end with [`Capture::forget`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    file_system: u32,
    handle: Handle,
}

impl Key {
    pub(super) fn new(file_system: u32, handle: Handle) -> Self {
        Self { file_system, handle }
    }

    /// Is it the key of what has this name in a directory of the same file system?
    pub fn is_at(&self, dir: &sys::Dir, name: &CStr) -> bool {
        sys::handle_of_entry(dir, name).is_ok_and(|handle| handle == self.handle)
    }

    /// The number that its capture has given the object's file system: what [`Gap::FileSystem`] names.
    pub fn file_system(&self) -> u32 {
        self.file_system
    }
}

/// None: it is no more, or another.
fn unless_gone<T>(opened: io::Result<T>) -> io::Result<Option<T>> {
    match opened {
        Err(error) if error.raw_os_error() == Some(libc::ESTALE) => Ok(None),
        opened => opened.map(Some),
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:?}", self.file_system, self.handle)
    }
}

/// What may have changed at a place; several at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change(u8);

impl Change {
    /// An entry was made, removed or renamed. Of [`Place::Directory`]: the directory itself was moved or removed.
    pub const NAME: Change = Change(1);
    /// Written to, truncated, or closed by a writer.
    pub const CONTENT: Change = Change(2);
    /// Attributes.
    pub const META: Change = Change(4);
    /// With `NAME`: the name came by a rename.
    pub const MOVED: Change = Change(8);
    /// No event: found by listing its directory, so only stamps can tell.
    pub const LISTED: Change = Change(16);

    /// True when all of `other` is in it.
    pub fn has(self, other: Change) -> bool {
        self.0 & other.0 == other.0
    }

    /// The same but for `other`.
    pub fn without(self, other: Change) -> Change {
        Change(self.0 & !other.0)
    }

    /// What is in both.
    pub fn only(self, other: Change) -> Change {
        Change(self.0 & other.0)
    }

    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for Change {
    type Output = Change;

    fn bitor(self, other: Change) -> Change {
        Change(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Change {
    fn bitor_assign(&mut self, other: Change) {
        self.0 |= other.0;
    }
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// This name of this directory. It may never have been there to see: an unnamed file's writes come under a name that
    /// does not exist, those of a removed one under the name it had, also when the file has other names: then only
    /// [`Look::object`] tells which file it is.
    Name { dir: Key, name: Box<[u8]> },
    /// The directory itself.
    Directory { dir: Key },
    /// An object that was reached without a name (a write by handle, as an NFS server does).
    Object { key: Key },
}

/// A place and all that was told of it since it was taken last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub place: Place,
    pub change: Change,
    /// The object that the newest event about this name told of: made, changed, removed, or moved away. fanotify only.
    pub object: Option<Key>,
    /// With [`Change::MOVED`]: the directory that the newest rename brought it from. fanotify only.
    pub from: Option<Key>,
}

/// What has to be looked at without an event for each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Events were lost: anything may have changed.
    Everything { why: String },
    /// The entries of this directory, not what is below them.
    Directory { dir: Key },
    /// A file system was unmounted, and perhaps mounted again, so events of it ended. Registering its directories again
    /// begins anew.
    FileSystem { number: u32 },
}

/// What is to be looked at, taken from [`Looks`] at once.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order of the first event of each place. Of a rename the new name comes before the old one, if both are new
    /// in the batch.
    pub looks: Vec<Look>,
    pub gaps: Vec<Gap>,
    /// Something was mounted or unmounted.
    pub mounts_changed: bool,
    /// How many events of the kernel that were.
    pub events: u64,
}

/// How changes are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fanotify,
    Inotify,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fanotify => "fanotify",
            Self::Inotify => "inotify",
        }
    }

    /// From its name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Fanotify, Self::Inotify].into_iter().find(|kind| kind.name() == name)
    }
}

/// Reads the kernel's events of a set's file systems or directories. Dropping it stops it.
pub trait Capture: Send + Sync + std::fmt::Debug {
    fn looks(&self) -> &Arc<Looks>;

    /// From now on changes in this directory are told of; to be called before it is listed. A directory has one key however
    /// often it is registered. The error names the limit of watches and the command that raises it.
    fn register(&self, dir: &sys::Dir) -> io::Result<Key>;

    /// The directory has left the set: an inotify watch ends. Marks of whole file systems stay; see [`Looks::ignore`].
    fn forget(&self, key: &Key);

    /// Reads what the kernel holds now: on return every event whose system call had returned before is in `looks`. Bounded,
    /// however much is being changed meanwhile.
    fn drain(&self);

    /// An object by its key: what it is, and its path as the kernel knows it. None: it is gone, or has no name left. Keys of
    /// inotify are an error, as nothing is known of them. An empty path: it is there, but the kernel does not say where (an
    /// object that is no directory, and was not reached by name for a while), or no mount here shows it.
    fn resolve(&self, key: &Key) -> io::Result<Option<(sys::Stat, Vec<u8>)>>;

    /// What an object is, wherever. None and errors as of [`Self::resolve`].
    fn stat(&self, key: &Key) -> io::Result<Option<sys::Stat>>;

    /// Opens a directory wherever it is. None: it is gone; always None for keys of inotify.
    fn open_dir(&self, key: &Key) -> io::Result<Option<sys::Dir>>;

    /// Holds an object wherever it is, by `O_PATH`. None: it is gone, or has no name left; always None for keys of inotify.
    fn hold(&self, key: &Key) -> io::Result<Option<OwnedFd>>;

    /// Opens a file for reading wherever it is; `id`: its device and inode. None: it is gone, or another; always None for keys
    /// of inotify.
    fn open_file(&self, key: &Key, id: (u64, u64)) -> io::Result<Option<File>> {
        let Some(object) = self.hold(key)? else { return Ok(None) };
        unless_gone(sys::reopen_held(object, id))
    }

    /// The key of an entry of an open directory that has this key. None: there is none, or it would not lead to the entry.
    fn key_of_entry(&self, key: &Key, dir: &sys::Dir, name: &CStr) -> Option<Key>;

    /// Closes what finding objects by their keys keeps open, as it would be in the way of an unmount.
    fn let_go(&self);

    /// How the changes of each file system are captured.
    fn backends(&self) -> Vec<Backend>;

    /// Why no more events come, when reading them failed.
    fn ended(&self) -> Option<String>;

    /// Ends the thread that reads.
    fn stop(&self);
}

/// Starts to capture and registers the roots. `force`: by this kind only; a file system that it cannot do is an error
/// then. Without it, each file system has the best that it can do.
pub fn start(roots: &[&sys::Dir], force: Option<Kind>) -> io::Result<Arc<dyn Capture>> {
    let kernel = Kernel::start(force)?;
    for root in roots {
        kernel.register(root)?;
    }
    Ok(Arc::new(kernel))
}
