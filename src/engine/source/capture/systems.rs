//! The file systems of a set: which is which, and how each is captured.

use super::mounts::{Device, Mount, MountWatch, Mounts};
use super::reader::Reader;
use super::{Key, Kind};
use crate::engine::log::escape;
use crate::engine::replication::Backend;
use crate::sys::{self, Dir, Handle};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The file systems that were registered.
#[derive(Debug)]
pub(super) struct Systems {
    force: Option<Kind>,
    /// Why there is no fanotify at all.
    without: Option<String>,
    watch: MountWatch,
    mounts: Mounts,
    /// By the number of a mount, which holds until mounts change.
    by_mount: HashMap<u64, u32>,
    /// A file system's number is its place here.
    list: Vec<System>,
}

#[derive(Debug)]
struct System {
    device: Device,
    /// As events name it.
    id: [u8; 8],
    /// Mount point, type.
    point: Vec<u8>,
    kind: String,
    /// Mounts through which it was reached.
    mounts: Vec<u64>,
    /// None: by fanotify; else why not.
    reason: Option<String>,
}

impl Systems {
    pub(super) fn new(force: Option<Kind>, without: Option<String>) -> io::Result<Systems> {
        let watch = MountWatch::new()?;
        let (by_mount, list) = (HashMap::new(), Vec::new());
        Ok(Systems { force, without, watch, mounts: Mounts::read()?, by_mount, list })
    }

    pub(super) fn register(&mut self, dir: &Dir, reader: &Reader) -> io::Result<Key> {
        self.refresh(reader)?;
        let (handle, mount) = match sys::handle_and_mount(dir) {
            Ok((handle, mount)) => (Some(handle), mount),
            Err(_) => (None, sys::mount_of(dir)?),
        };
        let number = match self.by_mount.get(&mount) {
            Some(number) => *number,
            None => {
                let number = self.place(dir, handle.as_ref(), mount, reader)?;
                self.by_mount.insert(mount, number);
                number
            }
        };
        let system = self.list.get(number as usize);
        match (&reader.marks, system, handle) {
            (Some(marks), Some(system @ System { reason: None, .. }), Some(handle)) => {
                if !marks.is_on(number) {
                    marks.mark(Markable::of(dir, &system.kind), number, system.id, system.device)?;
                }
                Ok(Key::new(number, handle))
            }
            _ => reader.watches()?.register(dir, number),
        }
    }

    /// Reads the table of mounts again when it has changed.
    fn refresh(&mut self, reader: &Reader) -> io::Result<()> {
        if self.watch.changed() {
            self.by_mount.clear();
            self.mounts = Mounts::read()?;
            // The thread may not have come to it yet, and a mark that ended must not be taken for one that is there.
            reader.mounts_changed();
        }
        Ok(())
    }

    /// The number of the file system of a directory that was reached through this mount.
    fn place(&mut self, dir: &Dir, handle: Option<&Handle>, mount: u64, reader: &Reader) -> io::Result<u32> {
        let found = self.mounts.of(mount).cloned();
        // A mount that the table does not show (of another root directory) still has a device.
        let found = match found {
            Some(found) => found,
            None => {
                let dev = sys::Stat::of(dir)?.dev;
                let device = (libc::major(dev), libc::minor(dev));
                Mount { number: mount, device, whole: false, point: "?".into(), kind: String::new() }
            }
        };
        let markable = Markable::of(dir, &found.kind);
        let id = sys::file_system_id(&markable)?;
        let known = self.list.iter().position(|system| system.id == id && system.device == found.device);
        if let Some(number) = known
            && self.is_on(number, reader)
            && let Some(system) = self.list.get_mut(number)
        {
            if !system.mounts.contains(&mount) {
                system.mounts.push(mount);
            }
            return Ok(number as u32);
        }
        // One that was unmounted keeps its number, on whatever device it comes back.
        let back = |number: &usize| {
            self.list.get(*number).is_some_and(|system| system.id == id && id != [0; 8])
                && !self.is_on(*number, reader)
        };
        let number = known.or_else(|| (0..self.list.len()).find(back)).unwrap_or(self.list.len());
        let reason = match self.force {
            Some(Kind::Inotify) => Some("asked for".to_owned()),
            _ => self.try_mark(dir, handle, &markable, number as u32, id, &found, reader)?,
        };
        if let (Some(Kind::Fanotify), Some(reason)) = (self.force, &reason) {
            let text =
                format!("no fanotify on {}: {reason}", escape(found.point.as_os_str().as_encoded_bytes()));
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let point = found.point.into_os_string().into_encoded_bytes();
        let mounts = vec![mount];
        let system = System { device: found.device, id, point, kind: found.kind, mounts, reason };
        match self.list.get_mut(number) {
            Some(known) => *known = system,
            None => self.list.push(system),
        }
        Ok(number as u32)
    }

    /// True while its changes are captured.
    fn is_on(&self, number: usize, reader: &Reader) -> bool {
        match self.list.get(number) {
            Some(System { reason: None, .. }) => {
                reader.marks.as_ref().is_some_and(|marks| marks.is_on(number as u32))
            }
            Some(_) => reader.made_watches().is_some_and(|watches| watches.is_on(number as u32)),
            None => false,
        }
    }

    /// Marks a file system; says why that is of no use.
    #[allow(clippy::too_many_arguments)]
    fn try_mark(
        &self,
        dir: &Dir,
        handle: Option<&Handle>,
        markable: &Markable<'_>,
        number: u32,
        id: [u8; 8],
        mount: &Mount,
        reader: &Reader,
    ) -> io::Result<Option<String>> {
        let Some(marks) = &reader.marks else {
            return Ok(self.without.clone().or_else(|| Some("no fanotify".to_owned())));
        };
        let Some(handle) = handle else {
            return Ok(Some(refusal(&mount.kind, &io::Error::from_raw_os_error(libc::EOPNOTSUPP))));
        };
        // Copies of a file system have its number, and events could not be told apart.
        let twin = self.list.iter().enumerate().find(|(number, system)| {
            system.id == id && system.device != mount.device && marks.is_on(*number as u32)
        });
        if let Some((_, twin)) = twin {
            return Ok(Some(format!(
                "the file system at {} has the same number (fsid)",
                escape(&twin.point)
            )));
        }
        if let Err(error) = marks.mark(markable, number, id, mount.device) {
            marks.unmark(markable, number);
            return match error.raw_os_error() {
                Some(libc::ENOMEM) => Err(error),
                _ => Ok(Some(refusal(&mount.kind, &error))),
            };
        }
        // Keys are of use only if objects can be found by them.
        if let Err(error) = sys::open_by_handle(dir, handle, libc::O_PATH) {
            marks.unmark(markable, number);
            return Ok(Some(match error.raw_os_error() {
                Some(libc::EPERM) => {
                    "the right to open by handle is missing (CAP_DAC_READ_SEARCH)".to_owned()
                }
                _ => format!("objects cannot be opened by handle ({error})"),
            }));
        }
        Ok(None)
    }

    /// The mounts through which an object may be found, best first.
    pub(super) fn mounts_of(&mut self, key: &Key, reader: &Reader) -> io::Result<Vec<Mount>> {
        self.refresh(reader)?;
        let Some(system) = self.list.get(key.file_system() as usize) else { return Ok(Vec::new()) };
        Ok(self.mounts.of_device(system.device, &system.mounts))
    }

    pub(super) fn by_fanotify(&self, number: u32) -> bool {
        self.list.get(number as usize).is_some_and(|system| system.reason.is_none())
    }

    /// How each file system is captured that is captured now.
    pub(super) fn backends(&self, reader: &Reader) -> Vec<Backend> {
        let all = self.list.iter().enumerate();
        all.filter(|(number, _)| self.is_on(*number, reader))
            .map(|(_, system)| Backend {
                place: escape(&system.point),
                name: if system.reason.is_none() { Kind::Fanotify } else { Kind::Inotify }.name(),
                reason: system.reason.clone(),
            })
            .collect()
    }
}

/// The object that a mark of a directory's file system is put on.
#[derive(Debug)]
enum Markable<'a> {
    Itself(&'a Dir),
    /// The top level of a btrfs.
    Top(OwnedFd),
}

impl Markable<'_> {
    fn of<'a>(dir: &'a Dir, kind: &str) -> Markable<'a> {
        if kind == "btrfs"
            && let Ok(top) =
                sys::open_by_handle(dir, &Handle::btrfs_top(), libc::O_RDONLY | libc::O_DIRECTORY)
        {
            return Markable::Top(top);
        }
        Markable::Itself(dir)
    }
}

impl AsFd for Markable<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Markable::Itself(dir) => dir.as_fd(),
            Markable::Top(top) => top.as_fd(),
        }
    }
}

/// Why a file system of this type cannot be marked, in words for STATUS.
fn refusal(kind: &str, error: &io::Error) -> String {
    match (error.raw_os_error(), kind) {
        (Some(libc::EOPNOTSUPP | libc::ENODEV), "overlay") => {
            "overlayfs mounted without nfs_export=on".to_owned()
        }
        (Some(libc::EXDEV), _) => "a btrfs subvolume whose top level could not be opened (EXDEV)".to_owned(),
        (Some(libc::ENODEV), kind) => format!("{kind} has no file system number (ENODEV)"),
        (Some(libc::EOPNOTSUPP), kind) => format!("{kind} has no file handles (EOPNOTSUPP)"),
        (_, kind) => format!("{kind} refused a mark: {error}"),
    }
}
