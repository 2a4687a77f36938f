//! Capture by the kernel's own events: fanotify and inotify behind one handle, with one thread that reads.

use super::fanotify::Marks;
use super::mounts::Mount;
use super::reader::Reader;
use super::systems::Systems;
use super::{Capture, Key, Kind, Looks, unless_gone};
use crate::engine::replication::Backend;
use crate::sys::{self, Dir, Stat};
use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How often a path is asked for while the object is being moved.
const TRIES: usize = 8;

/// Capture by the kernel's events.
#[derive(Debug)]
pub struct Kernel {
    pub(super) reader: Arc<Reader>,
    systems: Mutex<Systems>,
    /// Roots of mounts that are open until [`Capture::let_go`].
    points: Mutex<HashMap<u32, Arc<Vec<Dir>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Kernel {
    /// Starts the thread. `force`: only this kind is used.
    pub fn start(force: Option<Kind>) -> io::Result<Kernel> {
        let (marks, without) = match force {
            Some(Kind::Inotify) => (None, None),
            _ => match Marks::new() {
                Ok(marks) => (Some(marks), None),
                Err(error) if force.is_some() => return Err(error),
                Err(error) => (None, Some(why_not(&error))),
            },
        };
        let reader = Arc::new(Reader::new(marks)?);
        let systems = Mutex::new(Systems::new(force, without)?);
        let running = Arc::clone(&reader);
        let thread = std::thread::Builder::new().name("capture".to_owned()).spawn(move || {
            // Without it changes are seen later when the machine is busy.
            let _ = crate::sys::hurry();
            running.run();
        })?;
        Ok(Kernel { reader, systems, points: Mutex::default(), thread: Mutex::new(Some(thread)) })
    }

    fn systems(&self) -> MutexGuard<'_, Systems> {
        self.systems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an object is taken for at one of the mounts through which it may be reached.
enum Seen<T> {
    Is(T),
    Gone,
    /// It is there, and another mount may show more of it.
    Elsewhere(T),
}

impl Kernel {
    /// The open mounts of file systems, by their numbers.
    fn points(&self) -> MutexGuard<'_, HashMap<u32, Arc<Vec<Dir>>>> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mounts through which objects of a file system are reached, best first. None: its keys tell nothing.
    fn mounts_of(&self, key: &Key) -> io::Result<Option<Arc<Vec<Dir>>>> {
        if let Some(open) = self.points().get(&key.file_system()) {
            return Ok(Some(Arc::clone(open)));
        }
        let mounts = {
            let mut systems = self.systems();
            if !systems.by_fanotify(key.file_system()) {
                return Ok(None);
            }
            systems.mounts_of(key, &self.reader)?
        };
        let open = Arc::new(mounts.iter().filter_map(open_mount).collect());
        self.points().insert(key.file_system(), Arc::clone(&open));
        Ok(Some(open))
    }

    /// Opens an object by its key, and shows it through one mount after the other.
    fn find<T>(
        &self,
        key: &Key,
        mut see: impl FnMut(&OwnedFd, &Stat) -> io::Result<Seen<T>>,
    ) -> io::Result<Option<(Stat, T)>> {
        // Not gone: nothing is known of it.
        let Some(mounts) = self.mounts_of(key)? else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut there = None;
        for point in mounts.iter() {
            let object = match sys::open_by_handle(point, &key.handle, libc::O_PATH) {
                Ok(object) => object,
                Err(error) if error.raw_os_error() == Some(libc::ESTALE) => return Ok(None),
                Err(error) => return Err(error),
            };
            let stat = Stat::of(&object)?;
            if stat.links == 0 {
                return Ok(None);
            }
            match see(&object, &stat)? {
                Seen::Is(what) => return Ok(Some((stat, what))),
                Seen::Gone => return Ok(None),
                Seen::Elsewhere(what) => there = Some((stat, what)),
            }
        }
        match there {
            Some(there) => Ok(Some(there)),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "its file system is not mounted here")),
        }
    }
}

impl Capture for Kernel {
    fn looks(&self) -> &Arc<Looks> {
        &self.reader.looks
    }

    fn register(&self, dir: &Dir) -> io::Result<Key> {
        self.systems().register(dir, &self.reader)
    }

    fn forget(&self, key: &Key) {
        if !self.systems().by_fanotify(key.file_system())
            && let Some(watches) = self.reader.made_watches()
        {
            watches.forget(key);
        }
    }

    fn drain(&self) {
        self.reader.drain();
    }

    fn resolve(&self, key: &Key) -> io::Result<Option<(Stat, Vec<u8>)>> {
        self.find(key, |object, stat| {
            Ok(match path_to(object, stat)? {
                Found::At(path) => Seen::Is(path),
                Found::Removed => Seen::Gone,
                Found::Elsewhere => Seen::Elsewhere(Vec::new()),
            })
        })
    }

    fn stat(&self, key: &Key) -> io::Result<Option<Stat>> {
        let found = self.find(key, |_, _| Ok(Seen::Is(())))?;
        Ok(found.map(|(stat, ())| stat))
    }

    fn open_dir(&self, key: &Key) -> io::Result<Option<Dir>> {
        let Some(mounts) = self.mounts_of(key)? else { return Ok(None) };
        let Some(point) = mounts.first() else { return Ok(None) };
        unless_gone(sys::open_dir_by_handle(point, &key.handle))
    }

    fn hold(&self, key: &Key) -> io::Result<Option<OwnedFd>> {
        let Some(mounts) = self.mounts_of(key)? else { return Ok(None) };
        let Some(point) = mounts.first() else { return Ok(None) };
        let object = unless_gone(sys::open_by_handle(point, &key.handle, libc::O_PATH))?;
        let Some(object) = object else { return Ok(None) };
        // Who holds it keeps it there when its last name is gone.
        Ok((Stat::of(&object)?.links > 0).then_some(object))
    }

    fn key_of_entry(&self, key: &Key, dir: &Dir, name: &CStr) -> Option<Key> {
        if !self.systems().by_fanotify(key.file_system()) {
            return None;
        }
        let handle = sys::handle_of_entry(dir, name).ok()?;
        Some(Key::new(key.file_system(), handle))
    }

    fn let_go(&self) {
        self.points().clear();
    }

    fn backends(&self) -> Vec<Backend> {
        self.systems().backends(&self.reader)
    }

    fn ended(&self) -> Option<String> {
        self.reader.ended()
    }

    fn stop(&self) {
        self.reader.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A mount's root directory; None when something else is mounted over it, or it is no directory.
fn open_mount(mount: &Mount) -> Option<Dir> {
    let dir = Dir::open_root(&mount.point).ok()?;
    (sys::mount_of(&dir).ok()? == mount.number).then_some(dir)
}

enum Found {
    At(Vec<u8>),
    /// It has no name any more.
    Removed,
    /// The kernel knows no path of it, or none through this mount.
    Elsewhere,
}

/// The path of a held object, if it leads there.
fn path_to(object: &OwnedFd, stat: &Stat) -> io::Result<Found> {
    let mut before = None;
    for _ in 0..TRIES {
        let path = sys::path_of(object)?;
        if leads_to(&path, stat) {
            return Ok(Found::At(path));
        }
        // The same answer twice is not a rename under way.
        if before.as_ref() == Some(&path) {
            let removed = stat.kind == sys::FileKind::Directory && path.ends_with(b" (deleted)");
            return Ok(if removed { Found::Removed } else { Found::Elsewhere });
        }
        before = Some(path);
    }
    Ok(Found::Elsewhere)
}

fn leads_to(path: &[u8], stat: &Stat) -> bool {
    nix::sys::stat::lstat(path).is_ok_and(|found| (found.st_dev, found.st_ino) == stat.id())
}

/// Why there is no fanotify, in words for STATUS.
fn why_not(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) if !sys::is_root() => "not root".to_owned(),
        Some(libc::EPERM) => "root without the right to mark file systems (CAP_SYS_ADMIN)".to_owned(),
        Some(libc::EINVAL | libc::ENOSYS) => "the kernel is older than 5.17 or has no fanotify".to_owned(),
        Some(libc::EMFILE) => "all groups of fs.fanotify.max_user_groups are in use".to_owned(),
        _ => error.to_string(),
    }
}
