//! Describes the target's trees to the source: each directory before its subdirectories, names in byte order. The source
//! walks its own trees in the same order at the same time.

use super::place::Root;
use super::{Policy, unfinished_by};
use crate::engine::link::{Frame, FramePool};
use crate::sys::{self, Dir, FileKind, Names, Stat};
use crate::wire::{Answer, Described, FRAME_FULL, FailureKind, PATH_MAX};
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, SystemTime};

/// A left-over of a killed process is removed when it is at least so old; a younger one may be another's work.
const STALE: Duration = Duration::from_secs(60);

/// What a description holds beyond `statx`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detail {
    pub xattrs: bool,
    pub root: bool,
}

/// Walks all roots. Ends early when the source has gone.
pub(super) fn describe(
    roots: Vec<Root>,
    policy: &Policy,
    detail: Detail,
    listings: &SyncSender<Frame>,
    frames: &FramePool,
) {
    let mut scan = Scan {
        policy,
        detail,
        listings,
        frames,
        frame: frames.take(),
        names: Names::default(),
        buffer: Vec::new(),
        open: true,
    };
    for (number, mut root) in roots.into_iter().enumerate() {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        match root.open(false) {
            Ok(dir) => scan.root(number, &dir, root.only.as_deref()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => scan.failed(number, b"", FailureKind::Root, &error, "open the target path"),
        }
    }
    scan.tell(&Answer::ScanEnd);
    scan.flush();
}

struct Scan<'a> {
    policy: &'a Policy,
    detail: Detail,
    listings: &'a SyncSender<Frame>,
    frames: &'a FramePool,
    frame: Frame,
    names: Names,
    buffer: Vec<u8>,
    /// The source still listens.
    open: bool,
}

/// A subdirectory waiting to be described.
type Pending = Vec<u8>;

impl Scan<'_> {
    fn root(&mut self, number: u16, root: &Dir, only: Option<&[u8]>) {
        let mut path = Vec::new();
        let mut pending: Vec<Vec<Pending>> = vec![self.directory(number, root, &path, only)];
        if only.is_some() {
            return;
        }
        // Depth first: the last list's next name, then below it.
        let mut lengths = vec![0];
        while let Some(level) = pending.last_mut() {
            if !self.open {
                return;
            }
            let Some(name) = level.pop() else {
                pending.pop();
                lengths.pop();
                continue;
            };
            path.truncate(lengths.last().copied().unwrap_or(0));
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            if path.len() > PATH_MAX {
                continue;
            }
            match sys::c_string(&path).and_then(|c_path| root.descend(&c_path)) {
                Ok(dir) => {
                    let below = self.directory(number, &dir, &path, None);
                    lengths.push(path.len());
                    pending.push(below);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.failed(number, &path, FailureKind::One, &error, "open a directory of the target")
                }
            }
        }
    }

    /// Tells of one directory; its subdirectories, last first.
    fn directory(&mut self, root: u16, dir: &Dir, path: &[u8], only: Option<&[u8]>) -> Vec<Pending> {
        let told = (|| {
            let stat = Stat::of(dir)?;
            if self.policy.forbidden.contains(&stat.id()) {
                return Ok(None);
            }
            let xattrs = if self.detail.xattrs {
                sys::xattrs_of_open(dir.as_fd(), self.detail.root)?.digest()
            } else {
                [0; 16]
            };
            let mut names = std::mem::take(&mut self.names);
            sys::list_dir(dir, &mut names, &mut self.buffer)?;
            Ok(Some((stat, xattrs, names)))
        })();
        let (stat, xattrs, names) = match told {
            Ok(Some(told)) => told,
            Ok(None) => return Vec::new(),
            Err(error) => {
                self.failed(root, path, FailureKind::One, &error, "read a directory of the target");
                return Vec::new();
            }
        };
        self.tell(&Answer::Directory { root, path, meta: stat.meta, xattrs });
        let mut below = Vec::new();
        for (name, _) in names.iter() {
            if !self.open {
                break;
            }
            if only.is_some_and(|only| only != name.to_bytes()) || self.is_left_over(dir, name) {
                continue;
            }
            match self.entry(dir, name) {
                Ok(Some(FileKind::Directory)) => below.push(name.to_bytes().to_vec()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let path = [path, b"/", name.to_bytes()].concat();
                    let path = path.strip_prefix(b"/").unwrap_or(&path);
                    self.failed(root, path, FailureKind::One, &error, "look at an entry of the target");
                }
            }
        }
        self.tell(&Answer::DirectoryEnd);
        self.names = names;
        below.reverse();
        below
    }

    /// Describes one entry; None for one that is not spoken of.
    fn entry(&mut self, dir: &Dir, name: &CStr) -> io::Result<Option<FileKind>> {
        let stat = dir.stat(name)?;
        if self.policy.forbidden.contains(&stat.id()) {
            return Ok(None);
        }
        let xattrs = if self.detail.xattrs {
            sys::xattrs_of_entry(dir.as_fd(), name, self.detail.root)?.digest()
        } else {
            [0; 16]
        };
        let text = if stat.kind == FileKind::Symlink { dir.link_text(name)? } else { Vec::new() };
        let shared = (stat.links > 1 && stat.kind != FileKind::Directory).then_some(stat.id());
        self.tell(&Answer::Entry(Described {
            name: name.to_bytes(),
            kind: stat.kind,
            meta: stat.meta,
            size: if stat.kind == FileKind::File { stat.size } else { 0 },
            shared,
            rdev: if matches!(stat.kind, FileKind::Block | FileKind::Character) { stat.rdev } else { 0 },
            xattrs,
            text: &text,
        }));
        Ok(Some(stat.kind))
    }

    /// True for a name of ours that is no entry of the copy; an old one is removed.
    fn is_left_over(&self, dir: &Dir, name: &CStr) -> bool {
        let Some(process) = unfinished_by(name.to_bytes()) else { return false };
        // One of this process's own may belong to a mirror that pauses.
        let old = process != std::process::id()
            && dir.stat(name).is_ok_and(|stat| {
                let changed =
                    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.ctime.0).unwrap_or(0));
                changed.elapsed().is_ok_and(|age| age >= STALE)
            });
        if old {
            let _ = dir.remove(name);
        }
        true
    }

    fn failed(&mut self, root: u16, path: &[u8], kind: FailureKind, error: &io::Error, what: &str) {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let path = if path.len() > PATH_MAX { &path[..0] } else { path };
        self.tell(&Answer::Failed { kind, errno, root, path, name: b"", what: what.as_bytes() });
    }

    fn tell(&mut self, answer: &Answer<'_>) {
        answer.encode(&mut self.frame);
        if self.frame.len() >= FRAME_FULL / 4 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let frame = std::mem::replace(&mut self.frame, self.frames.take());
        self.open &= self.listings.send(frame).is_ok();
    }
}
