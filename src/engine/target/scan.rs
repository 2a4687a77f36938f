//! Describes the target's trees to the source: each directory before its subdirectories, names in byte order. The source
//! walks its own trees in the same order at the same time.

use super::place::{Root, leads_into};
use super::{Policy, incarnation, remove_tree, unfinished_by};
use crate::engine::link::{Frame, FramePool};
use crate::sys::{self, Dir, FileKind, Names, Stat};
use crate::wire::{Answer, Described, FRAME_FULL, FailureKind, PATH_MAX};
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, SystemTime};

/// A left-over of a killed process is removed when it is at least so old, where a younger one may be another's work.
const STALE: Duration = Duration::from_secs(60);

/// What a description holds beyond `statx`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detail {
    pub xattrs: bool,
    pub root: bool,
}

/// One description that was asked for.
pub(super) struct Request {
    pub roots: Vec<Root>,
    /// Root, path, and whether what is below is described too; empty for all roots with all below.
    pub parts: Vec<(u16, Vec<u8>, bool)>,
    pub detail: Detail,
    /// Whose it is.
    pub who: u8,
}

/// Answers in the order of the requests until they end.
pub(super) fn describe_all(
    requests: &Receiver<Request>,
    policy: &Policy,
    listings: &SyncSender<Frame>,
    frames: &FramePool,
) {
    for request in requests {
        describe(request, policy, listings, frames);
    }
}

/// Walks all that is asked for. Ends early when the source has gone.
fn describe(request: Request, policy: &Policy, listings: &SyncSender<Frame>, frames: &FramePool) {
    let Request { mut roots, parts, detail, who } = request;
    // One that cannot be looked at is spoken of; while that is so no orphan goes.
    let attic = policy.orphans.own_directory().unwrap_or_default();
    let mut scan = Scan {
        policy,
        forbidden: policy.forbidden.clone(),
        detail,
        who,
        listings,
        frames,
        frame: frames.take(),
        names: Names::default(),
        buffer: Vec::new(),
        open: true,
    };
    let all = if parts.is_empty() { 0..roots.len() } else { 0..0 };
    let all = all.map(|number| (u16::try_from(number).unwrap_or(u16::MAX), Vec::new(), true));
    for (number, path, deep) in all.chain(parts) {
        let Some(root) = roots.get_mut(usize::from(number)) else { continue };
        match root.open(false) {
            Ok(dir) => {
                scan.forbidden.clone_from(&policy.forbidden);
                // A root that is that directory itself is another connection's.
                let own = Stat::of(&dir).map(|stat| stat.id()).ok();
                scan.forbidden.extend(attic.filter(|attic| Some(*attic) != own));
                scan.part(number, &dir, path, root.only.as_deref(), deep);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => scan.failed(number, b"", FailureKind::Root, &error, "open the target path"),
        }
    }
    // In a frame of its own: the source's line knows it without reading the others.
    scan.flush();
    scan.tell(&Answer::ScanEnd);
    scan.flush();
}

struct Scan<'a> {
    policy: &'a Policy,
    /// What is not spoken of: the engine's own directories, and the one that orphans are moved to.
    forbidden: Vec<(u64, u64)>,
    detail: Detail,
    who: u8,
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
    /// A directory at a path below a root, and what is below it when it is asked for.
    fn part(&mut self, number: u16, root: &Dir, mut path: Vec<u8>, only: Option<&[u8]>, deep: bool) {
        let first = if path.is_empty() {
            self.directory(number, root, &path, only)
        } else if only.is_some() {
            return;
        } else {
            let below = leads_into(root, &path, &self.forbidden)
                .and_then(|into| if into { Ok(None) } else { sys::c_string(&path).map(Some) })
                .and_then(|c_path| c_path.map(|c_path| root.descend(&c_path)).transpose());
            match below {
                Ok(Some(dir)) => self.directory(number, &dir, &path, None),
                Ok(None) => return,
                // No directory there.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) =>
                {
                    return;
                }
                Err(error) => {
                    let what = "open a directory of the target";
                    return self.failed(number, &path, FailureKind::One, &error, what);
                }
            }
        };
        if only.is_some() || !deep {
            return;
        }
        let mut pending: Vec<Vec<Pending>> = vec![first];
        // Depth first: the last list's next name, then below it.
        let mut lengths = vec![path.len()];
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
                // Gone, or something else has its name by now.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {}
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
        if self.forbidden.contains(&stat.id()) {
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
        let is_old = || {
            dir.stat(name).is_ok_and(|stat| {
                let changed =
                    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.ctime.0).unwrap_or(0));
                changed.elapsed().is_ok_and(|age| age >= STALE)
            })
        };
        // One of this process's own may belong to a mirror that pauses.
        let dead = process != incarnation()
            && match self.policy.source {
                Some(source) => process != source,
                None => is_old(),
            };
        if dead {
            // A directory was parked by replication; its source has what belongs in it. That something of ours was in it is no change
            // of the copy.
            let before = Stat::of(dir);
            let _ = remove_tree(dir, name, &self.policy.forbidden);
            if let Ok(before) = before {
                let _ = sys::set_times(dir, before.meta.mtime);
            }
        }
        true
    }

    fn failed(&mut self, root: u16, path: &[u8], kind: FailureKind, error: &io::Error, what: &str) {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let path = if path.len() > PATH_MAX { &path[..0] } else { path };
        self.tell(&Answer::Failed {
            who: self.who,
            kind,
            errno,
            root,
            path,
            name: b"",
            what: what.as_bytes(),
        });
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
