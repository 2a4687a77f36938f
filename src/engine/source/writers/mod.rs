//! Who has a writer: files that may be changed without an event before their last close or unmap.
//!
//! Stores to shared mappings, libaio and loop devices tell nobody (docs/design/silent-writes.md). So the files that are mapped
//! shared and writable, behind a writable loop device, or open for writing are found by a pass over `/proc`, at each tick and
//! at a barrier; [`Silent`] says which of them are to be looked at.
//!
//! A pass opens nothing of the file systems it is asked about, and allocates nothing for each file.

mod silent;

pub use silent::{Found, How, Silent};

use crate::sys::{self, FileKind, MapsBy, NumberDir, Stat};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file that somebody may write without an event. A pass may tell of one file several times.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    pub dev: u64,
    pub ino: u64,
    pub hold: Hold,
    /// Size, mtime and ctime, where they could be seen.
    pub stat: Option<Stat>,
    pub place: Place,
}

/// Whose open files a pass looks at. Mappings and loop devices are always looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Of processes that can write by libaio now: they have a ring mapped for it. All others' writes give an event.
    Silent,
    /// Of all processes: also what was mapped, or written by libaio, a moment ago is among them.
    All,
}

/// What a writer can do, the most last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// Write by system calls.
    Open,
    /// The same, and map the file at any time: open for reading, too.
    Mappable,
    /// A shared writable mapping exists.
    Mapped,
}

/// By what a file's writer holds it. Only as good as the moment: the writer may close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Descriptor {
        process: u32,
        number: u32,
    },
    Mapping {
        process: u32,
        start: u64,
        end: u64,
    },
    /// The file behind a loop device of this number.
    Loop(u32),
}

/// What a pass has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Processes that were looked at.
    pub processes: u32,
    /// Processes that may not be looked at: without root those of other users, which may write unseen.
    pub hidden: u32,
    /// Loop devices whose file could not be found out.
    pub hidden_loops: u32,
}

/// Finds writers. Buffers are kept between passes.
#[derive(Debug)]
pub struct Writers {
    proc: PathBuf,
    blocks: PathBuf,
    devices: PathBuf,
    processes: Vec<u32>,
    names: Vec<u8>,
    text: Vec<u8>,
    maps: MapsBy,
    /// Attachments of loop devices: their sequence number and the file, so that a device is opened once for each.
    loops: HashMap<u32, (u64, (u64, u64))>,
}

/// Whether a process can write by libaio.
struct Aio(bool);

/// What `maps` calls the ring of an AIO context, which exists from `io_setup` to `io_destroy`.
const AIO_RING: &[u8] = b"/[aio]";

/// A path made of numbers, without allocation.
struct Name([u8; 64]);

impl Name {
    fn new(text: std::fmt::Arguments<'_>) -> Self {
        let mut name = [0; 64];
        // The last byte stays NUL.
        let _ = (&mut name[..63]).write_fmt(text);
        Self(name)
    }

    fn get(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

impl Writers {
    /// `proc` is `/proc`.
    pub fn new(proc: &Path) -> Self {
        Self {
            proc: proc.to_path_buf(),
            blocks: "/sys/block".into(),
            devices: "/dev".into(),
            processes: Vec::new(),
            names: Vec::new(),
            text: Vec::new(),
            maps: MapsBy::Query,
            loops: HashMap::new(),
        }
    }

    /// Tells of all regular files on these devices (`st_dev`) that have a writer of this depth. Only what is visible to this
    /// user: see [`Coverage`]. Not seen: what a thread has open in a table of its own (`unshare(CLONE_FILES)`) while its
    /// process lives; what only the kernel holds, other than loop devices.
    pub fn scan(
        &mut self,
        depth: Depth,
        devices: &[u64],
        sink: &mut dyn FnMut(&Writer),
    ) -> io::Result<Coverage> {
        let mut coverage = Coverage::default();
        let proc = NumberDir::open(&path_of(&self.proc)?)?;
        let mut processes = std::mem::take(&mut self.processes);
        processes.clear();
        proc.each(&mut self.names, &mut |_, process| processes.push(process))?;
        for process in &processes {
            match self.look_at(&proc, *process, depth, devices, sink) {
                Ok(_) => coverage.processes += 1,
                Err(error) if is_gone(&error) => {}
                Err(_) => coverage.hidden += 1,
            }
        }
        self.processes = processes;
        self.look_at_loops(devices, sink, &mut coverage);
        Ok(coverage)
    }

    /// One process, or one thread that stands for it.
    fn look_at(
        &mut self,
        proc: &NumberDir,
        process: u32,
        depth: Depth,
        devices: &[u64],
        sink: &mut dyn FnMut(&Writer),
    ) -> io::Result<()> {
        match self.mappings(proc, process, devices, sink) {
            Ok(None) => self.other_threads(proc, process, depth, devices, sink),
            Ok(Some(Aio(true))) => self.descriptors(proc, process, devices, sink),
            Ok(Some(Aio(false))) if depth == Depth::Silent => Ok(()),
            Ok(Some(Aio(false))) => self.descriptors(proc, process, devices, sink),
            // What is open may be visible all the same.
            Err(error) if !is_gone(&error) => {
                self.descriptors(proc, process, devices, sink)?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// A process whose first thread has ended shows neither memory nor descriptors; the others show what they share.
    fn other_threads(
        &mut self,
        proc: &NumberDir,
        process: u32,
        depth: Depth,
        devices: &[u64],
        sink: &mut dyn FnMut(&Writer),
    ) -> io::Result<()> {
        // Kernel threads and the dead have one thread: `.`, `..` and it.
        if proc.links(Name::new(format_args!("{process}/task")).get())? <= 3 {
            return Ok(());
        }
        let mut threads = Vec::new();
        proc.below(Name::new(format_args!("{process}/task")).get())?
            .each(&mut self.names, &mut |_, thread| threads.push(thread))?;
        for thread in threads.into_iter().filter(|thread| *thread != process) {
            match self.mappings(proc, thread, devices, sink) {
                Ok(Some(Aio(false))) if depth == Depth::Silent => return Ok(()),
                Ok(Some(_)) => return self.descriptors(proc, thread, devices, sink),
                Ok(None) => {}
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn descriptors(
        &mut self,
        proc: &NumberDir,
        process: u32,
        devices: &[u64],
        sink: &mut dyn FnMut(&Writer),
    ) -> io::Result<()> {
        let dir = proc.below(Name::new(format_args!("{process}/fd")).get())?;
        dir.each(&mut self.names, &mut |name, number| {
            // Most descriptors are sockets, pipes and files elsewhere: one call tells. The right to write is the second.
            let Ok(stat) = dir.stat_through(name) else { return };
            if stat.kind != FileKind::File || !devices.contains(&stat.dev) {
                return;
            }
            let hold = match dir.is_open_for(name) {
                Ok((true, true)) => Hold::Mappable,
                Ok((false, true)) => Hold::Open,
                Ok((_, false)) | Err(_) => return,
            };
            let place = Place::Descriptor { process, number };
            sink(&Writer { dev: stat.dev, ino: stat.ino, hold, stat: Some(stat), place });
        })
    }

    /// None: it has no memory.
    fn mappings(
        &mut self,
        proc: &NumberDir,
        process: u32,
        devices: &[u64],
        sink: &mut dyn FnMut(&Writer),
    ) -> io::Result<Option<Aio>> {
        let maps = match proc.file(Name::new(format_args!("{process}/maps")).get()) {
            // How newer kernels say that there is no memory; a process that is gone is found to be so by its threads.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            other => other?,
        };
        let mut aio = false;
        let lives = sys::shared_mappings(&maps, &mut self.maps, &mut self.text, &mut |mapping, path| {
            if path.starts_with(AIO_RING) {
                aio = true;
                return;
            }
            let place = Place::Mapping { process, start: mapping.start, end: mapping.end };
            let link = place.link();
            let stat = match proc.stat_through(link.get()) {
                // Only root may look through these links: the columns are right on most file systems, and where they show
                // another device the path may still lead to it.
                Err(error) if !is_gone(&error) => by_path(path, mapping.ino),
                Err(_) => return,
                Ok(stat) => Some(stat),
            };
            let (dev, ino) = match stat {
                Some(stat) if stat.kind == FileKind::File => stat.id(),
                Some(_) => return,
                None => (mapping.dev, mapping.ino),
            };
            if devices.contains(&dev) {
                sink(&Writer { dev, ino, hold: Hold::Mapped, stat, place });
            }
        })?;
        Ok(lives.then_some(Aio(aio)))
    }

    fn look_at_loops(&mut self, devices: &[u64], sink: &mut dyn FnMut(&Writer), coverage: &mut Coverage) {
        let Ok(names) = std::fs::read_dir(&self.blocks) else { return };
        for name in names.flatten() {
            let name = name.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("loop")?.parse().ok());
            let Some(number) = number else { continue };
            let Ok(attributes) = path_of(&self.blocks.join(&name)).and_then(|path| NumberDir::open(&path))
            else {
                continue;
            };
            self.text.clear();
            // There is such a file only while the device has one.
            if attributes.read(c"loop/backing_file", &mut self.text).is_err() {
                self.loops.remove(&number);
                continue;
            }
            let stat = by_path(self.text.trim_ascii_end(), 0);
            self.text.clear();
            if attributes.read(c"ro", &mut self.text).is_ok() && self.text.trim_ascii_end() == b"1" {
                continue;
            }
            self.text.clear();
            let _ = attributes.read(c"diskseq", &mut self.text);
            let sequence = std::str::from_utf8(self.text.trim_ascii_end()).ok().and_then(|n| n.parse().ok());
            let kept = self.loops.get(&number).filter(|kept| Some(kept.0) == sequence).map(|kept| kept.1);
            // The device knows the file itself; its path may be another's by now, or of another mount namespace.
            let asked = kept.or_else(|| {
                let device = File::open(self.devices.join(&name)).ok()?;
                sys::loop_backing(&device).ok()
            });
            if let (Some(sequence), Some(id)) = (sequence, asked) {
                self.loops.insert(number, (sequence, id));
            }
            let seen = asked.or(stat.map(|stat| stat.id()));
            let Some((dev, ino)) = seen else {
                coverage.hidden_loops += 1;
                continue;
            };
            if devices.contains(&dev) {
                let stat = stat.filter(|stat| stat.id() == (dev, ino));
                sink(&Writer { dev, ino, hold: Hold::Open, stat, place: Place::Loop(number) });
            }
        }
    }

    /// Opens a writer's file for reading; ESTALE when another file is there by now.
    #[cfg(test)]
    pub fn open(&self, writer: &Writer) -> io::Result<File> {
        sys::reopen(&path_of(&self.path_to(&writer.place)?)?, (writer.dev, writer.ino))
    }

    /// The file's path as the kernel shows it, for a log: it may be of another mount namespace, or of a removed file.
    #[cfg(test)]
    pub fn shown_path(&self, place: &Place) -> io::Result<Vec<u8>> {
        match place {
            Place::Loop(_) => Ok(self.path_to(place)?.into_os_string().into_encoded_bytes()),
            _ => Ok(std::fs::read_link(self.path_to(place)?)?.into_os_string().into_encoded_bytes()),
        }
    }

    fn path_to(&self, place: &Place) -> io::Result<PathBuf> {
        let Place::Loop(number) = place else {
            let link = place.link();
            return Ok(self.proc.join(std::ffi::OsStr::from_bytes(link.get().to_bytes())));
        };
        let text = std::fs::read(self.blocks.join(format!("loop{number}/loop/backing_file")))?;
        Ok(PathBuf::from(std::ffi::OsStr::from_bytes(text.trim_ascii_end())))
    }

    /// True when the file system of this writer's file shows stores to mappings in ctime; false when that is not known.
    fn stores_move_ctime(&self, place: &Place) -> bool {
        let magic = self.path_to(place).and_then(|path| {
            let proc = NumberDir::open(c"/")?;
            proc.magic_through(&path_of(&path)?)
        });
        magic.is_ok_and(sys::stores_move_ctime)
    }
}

impl Place {
    /// The magic link below `/proc`; of a loop device there is none.
    fn link(&self) -> Name {
        match self {
            Self::Descriptor { process, number } => Name::new(format_args!("{process}/fd/{number}")),
            Self::Mapping { process, start, end } => {
                Name::new(format_args!("{process}/map_files/{start:x}-{end:x}"))
            }
            Self::Loop(_) => Name([0; 64]),
        }
    }
}

fn path_of(path: &Path) -> io::Result<CString> {
    sys::c_string(path.as_os_str().as_bytes())
}

/// What is at an absolute path, if it has this inode number (0: any).
fn by_path(path: &[u8], ino: u64) -> Option<Stat> {
    if !path.starts_with(b"/") {
        return None;
    }
    let root = NumberDir::open(c"/").ok()?;
    let stat = root.stat_through(&sys::c_string(path).ok()?).ok()?;
    (ino == 0 || stat.ino == ino).then_some(stat)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

#[cfg(test)]
mod tests;
