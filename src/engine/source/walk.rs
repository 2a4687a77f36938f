//! The walk over a set's roots: each directory before its subdirectories, names in byte order, rules applied.
//!
//! Below a root nothing is followed and nothing is reached by more than names below the root's handle. What never
//! belongs is left out here: pseudo file systems (REP-01), stacked ones (REP-38), the engine's own home, a directory inside
//! itself (REP-03), paths over the limit (REP-37).

use super::folder::{Folder, OwnMeta, join};
use super::parts::{Looks, Part};
use crate::api::ConnectionId;
use crate::engine::job::{JobPlan, JobShared};
use crate::engine::log::escape;
use crate::engine::repset::{DirDecision, DirRules, pseudo_magic};
use crate::engine::target::unfinished_by;
use crate::sys::{self, Dir, FileKind, Names, Stat, Xattrs};
use crate::wire::{NAME_MAX, PATH_MAX};
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A root, opened.
pub(super) struct Root {
    pub number: u16,
    /// Source path of the directory that is held: the root, or the parent of a root that is one file.
    pub path: PathBuf,
    pub dir: Dir,
    /// The one name that belongs.
    pub only: Option<Vec<u8>>,
    /// Target path of the directory.
    pub target: PathBuf,
    /// None: the one name is all that belongs.
    pub rules: Option<DirRules>,
    pub included: bool,
}

/// The directory that a visitor is shown.
pub(super) struct Visit<'a> {
    pub folder: &'a Arc<Folder>,
    pub dir: &'a Arc<Dir>,
    /// The names that belong, in byte order; directories only when something in them may.
    pub names: &'a Names,
    /// None: the directory only holds a root that is a single file.
    pub rules: Option<&'a DirRules>,
    /// In byte order, names that the source has and that are none of this connection's: another one sends them, or no path may be so long.
    pub others: &'a [Vec<u8>],
}

/// What a walk reports to.
pub(super) trait Visitor {
    /// A directory (root and path) is about to be listed. False: it is passed over.
    fn enters(
        &mut self,
        _at: (u16, &[u8]),
        _dir: &Dir,
        _stat: &Stat,
        _included: bool,
        _rules: Option<&DirRules>,
    ) -> bool {
        true
    }
    /// A directory. False ends the walk.
    fn directory(&mut self, visit: &Visit<'_>) -> bool;
    /// All below the directory was visited. False ends the walk.
    fn leave(&mut self, folder: &Arc<Folder>) -> bool;
    /// A directory of the folder is passed over, as it is not in the part that is walked.
    fn passes(&mut self, _folder: &Folder, _name: &[u8]) {}
    /// A directory that its folder had when that was listed is gone.
    /// True: what is there instead is seen to by replication.
    fn vanished(&mut self, _folder: &Folder, _name: &[u8]) -> bool {
        false
    }
    /// Something that belongs could not be read.
    fn unreadable(&mut self, root: u16, path: &[u8], error: &io::Error, what: &str);
    /// Something is left out on purpose; a sentence for the log.
    fn left_out(&mut self, _root: u16, _path: &[u8], _why: &str) {}
}

/// Opens the roots of a plan. Those that cannot be opened are given to `missing` with their number and error.
pub(super) fn open_roots(plan: &JobPlan, mut missing: impl FnMut(u16, &Path, &io::Error)) -> Vec<Root> {
    let mut roots = Vec::new();
    for (number, mapping) in plan.paths.iter().enumerate() {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        match open_root(plan, number, &mapping.source, &mapping.target) {
            Ok(root) => roots.push(root),
            Err(error) => missing(number, &mapping.source, &error),
        }
    }
    roots
}

fn open_root(plan: &JobPlan, number: u16, source: &Path, target: &Path) -> io::Result<Root> {
    match Dir::open_root(source) {
        Ok(dir) => {
            let (included, rules) = match plan.rules.enter(source) {
                DirDecision::Enter { included, rules } => (included, rules),
                DirDecision::Skip => {
                    return Err(io::Error::new(io::ErrorKind::NotFound, "its rules leave it out"));
                }
            };
            let (path, target) = (source.to_path_buf(), target.to_path_buf());
            Ok(Root { number, path, dir, only: None, target, rules: Some(rules), included })
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => {
            let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
            let name = source.file_name().ok_or_else(invalid)?.as_bytes().to_vec();
            let parent = source.parent().ok_or_else(invalid)?;
            let dir = Dir::open_root(parent)?;
            if !plan.rules.includes_file(source) {
                return Err(io::Error::new(io::ErrorKind::NotFound, "its rules leave it out"));
            }
            // ENOTDIR also comes from a file in the middle of the path.
            dir.stat(&sys::c_string(&name)?)?;
            if target.file_name() != source.file_name() {
                return Err(io::Error::other(
                    "a single file keeps its name on the target: map its directory instead",
                ));
            }
            let target = target.parent().ok_or_else(invalid)?.to_path_buf();
            let path = parent.to_path_buf();
            Ok(Root { number, path, dir, only: Some(name), target, rules: None, included: false })
        }
        Err(error) => Err(error),
    }
}

impl Root {
    /// The directory of a place below the root, and whether it belongs to the set or only leads to what does. None: the place, which
    /// is that of a name in it if there is one, is nothing that a walk would meet. Links are not followed.
    pub(super) fn reach(&self, plan: &JobPlan, path: &[u8], name: &[u8]) -> io::Result<Option<(Dir, bool)>> {
        let mut dir = self.dir.again()?;
        if let Some(only) = &self.only {
            let own = path.is_empty() && (name.is_empty() || name == only.as_slice());
            return Ok(own.then_some((dir, false)));
        }
        let (mut rules, mut included) = (self.rules.clone(), self.included);
        let mut above = None;
        let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        for part in std::iter::once(None).chain(parts.map(Some)) {
            if let Some(part) = part {
                match rules.as_ref().map(|rules| rules.dir(part)) {
                    Some(DirDecision::Enter { included: own, rules: below }) => {
                        (rules, included) = (Some(below), own);
                    }
                    _ => return Ok(None),
                }
                dir = dir.dir(&sys::c_string(part)?)?;
            }
            let stat = Stat::of(&dir)?;
            if plan.forbidden.contains(&stat.id()) || (above != Some(stat.dev) && is_pseudo(&dir)) {
                return Ok(None);
            }
            above = Some(stat.dev);
        }
        let of_others = |path: &[u8], directory| {
            let path = source_path(&self.path, path, b"");
            plan.sent_by(Path::new(OsStr::from_bytes(&path)), directory).is_some()
        };
        let belongs = match name {
            [] => true,
            name => {
                rules.is_some_and(|rules| rules.file(name))
                    && unfinished_by(name).is_none()
                    && !of_others(&join(path, name), false)
            }
        };
        Ok((belongs && !of_others(path, true)).then_some((dir, included)))
    }
}

fn is_pseudo(dir: &Dir) -> bool {
    sys::file_system_magic(dir).is_ok_and(|magic| pseudo_magic(magic).is_some())
}

/// A directory that is being walked.
struct Level<'p> {
    folder: Arc<Folder>,
    id: (u64, u64),
    /// Subdirectories to come, last first.
    below: Vec<Below<'p>>,
}

/// A subdirectory to walk.
struct Below<'p> {
    name: Vec<u8>,
    /// It belongs itself.
    included: bool,
    rules: Option<DirRules>,
    /// What of it is looked at. None: everything.
    part: Option<&'p Part>,
}

/// Walks one root, or the part of it that is given. False: the visitor ended it, or a stop was asked for.
pub(super) fn walk(
    plan: &JobPlan,
    root: &Root,
    part: Option<&Part>,
    shared: &JobShared,
    visitor: &mut dyn Visitor,
) -> bool {
    let mut walk = Walk { plan, root, names: Names::default(), buffer: Vec::new() };
    let mut stack: Vec<Level<'_>> = Vec::new();
    let top = Below { name: Vec::new(), included: root.included, rules: root.rules.clone(), part };
    match walk.directory(&stack, top, visitor) {
        Step::Down(level) => stack.push(level),
        Step::Over => {}
        Step::End => return false,
    }
    while let Some(level) = stack.last_mut() {
        if !shared.go_on() {
            return false;
        }
        if let Some(next) = level.below.pop() {
            match walk.directory(&stack, next, visitor) {
                Step::Down(level) => stack.push(level),
                Step::Over => {}
                Step::End => return false,
            }
        } else if let Some(level) = stack.pop()
            && !visitor.leave(&level.folder)
        {
            return false;
        }
    }
    true
}

struct Walk<'a> {
    plan: &'a JobPlan,
    root: &'a Root,
    names: Names,
    buffer: Vec<u8>,
}

enum Step<'p> {
    Down(Level<'p>),
    Over,
    End,
}

impl Walk<'_> {
    fn directory<'p>(
        &mut self,
        stack: &[Level<'p>],
        Below { name, included, rules, part }: Below<'p>,
        visitor: &mut dyn Visitor,
    ) -> Step<'p> {
        let number = self.root.number;
        let parent = stack.last().map(|level| &level.folder);
        let path = parent.map_or_else(Vec::new, |parent| parent.join(&name));
        if path.len() > PATH_MAX || self.root.path.as_os_str().len() + 1 + path.len() > PATH_MAX {
            self.too_long(&path, visitor);
            return Step::Over;
        }
        let opened = sys::c_string(&path)
            .and_then(|c_path| self.root.dir.descend(&c_path))
            .and_then(|dir| Ok((Stat::of(&dir)?, dir)));
        let (stat, dir) = match opened {
            Ok(opened) => opened,
            // Gone since its parent was read: nothing to mirror, and no failure.
            Err(error) if error.kind() == io::ErrorKind::NotFound && parent.is_some() => {
                parent.iter().for_each(|parent| _ = visitor.vanished(parent, &name));
                return Step::Over;
            }
            // Something else has taken its place, and replication sends that.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP))
                    && parent.is_some_and(|parent| visitor.vanished(parent, &name)) =>
            {
                return Step::Over;
            }
            Err(error) => {
                visitor.unreadable(number, &path, &error, "open the directory");
                return Step::Over;
            }
        };
        if let Some(other) = self.sent_by(&path, true) {
            visitor.left_out(number, &path, &format!("its data is sent by connection {other} (REP-34)"));
            return Step::Over;
        }
        if let Some(why) = self.reason_to_leave_out(stack, &stat, &dir) {
            visitor.left_out(number, &path, &why);
            return Step::Over;
        }
        // None: it was told why.
        let look = |visitor: &mut dyn Visitor| match Stat::of(&dir)
            .and_then(|stat| Ok((stat, self.xattrs(&dir)?)))
        {
            Ok(looked) => Some(looked),
            Err(error) => {
                visitor.unreadable(number, &path, &error, "read the directory's attributes");
                None
            }
        };
        let own = match (included, self.root.only.is_some()) {
            (true, _) => OwnMeta::Always,
            (false, false) => OwnMeta::WhenMade,
            (false, true) => OwnMeta::Never,
        };
        if let Some(part) = part.filter(|part| part.looks == Looks::Past) {
            let Some((stat, xattrs)) = look(visitor) else { return Step::Over };
            let folder = Folder::new(number, path, &stat, xattrs, parent.cloned(), own);
            // Nobody is asked: had it not been made, it would be looked at.
            folder.found();
            return Step::Down(Level { folder, id: stat.id(), below: ways(part, rules.as_ref()) });
        }
        if !visitor.enters((number, &path), &dir, &stat, included, rules.as_ref()) {
            return Step::Over;
        }
        // From here on its events count: what it was before is not enough.
        let Some((stat, xattrs)) = look(visitor) else { return Step::Over };
        if let Err(error) = sys::list_dir(&dir, &mut self.names, &mut self.buffer) {
            visitor.unreadable(number, &path, &error, "read the directory");
            return Step::Over;
        }
        let folder = Folder::new(number, path, &stat, xattrs, parent.cloned(), own);
        let mut names = std::mem::take(&mut self.names);
        let mut below = match (&rules, &self.root.only) {
            (Some(rules), _) => select(&mut names, &dir, rules),
            (None, only) => {
                names.retain(|name, _| only.as_deref() == Some(name.to_bytes()));
                Vec::new()
            }
        };
        if let Some(part) = part.filter(|part| part.looks == Looks::Here) {
            below.retain_mut(|next| {
                next.part = part.below.get(&next.name);
                if next.part.is_none() {
                    visitor.passes(&folder, &next.name);
                }
                next.part.is_some()
            });
        }
        let mut others = Vec::new();
        if !self.plan.elsewhere.is_empty() {
            names.retain(|name, kind| {
                // Directories are met once more, when they are walked.
                let is_own = kind == Some(FileKind::Directory)
                    || self.sent_by(&folder.join(name.to_bytes()), false).is_none();
                if !is_own {
                    others.push(name.to_bytes().to_vec());
                }
                is_own
            });
        }
        self.drop_too_long(&folder, &mut names, &mut others, visitor);
        others.sort_unstable();
        let dir = Arc::new(dir);
        let (rules, others) = (rules.as_ref(), &others[..]);
        let go_on = visitor.directory(&Visit { folder: &folder, dir: &dir, names: &names, rules, others });
        self.names = names;
        if go_on { Step::Down(Level { folder, id: stat.id(), below }) } else { Step::End }
    }

    /// The connection of another set that sends this place already.
    fn sent_by(&self, path: &[u8], directory: bool) -> Option<ConnectionId> {
        if self.plan.elsewhere.is_empty() {
            return None;
        }
        let path = source_path(&self.root.path, path, b"");
        self.plan.sent_by(Path::new(OsStr::from_bytes(&path)), directory)
    }

    /// A path over the limit is skipped, logged here and in the system's log, and no mirror without it is complete (REP-37).
    fn too_long(&self, path: &[u8], visitor: &mut dyn Visitor) {
        visitor.left_out(self.root.number, path, "its path is longer than 4094 bytes (REP-37)");
        let whole = escape(source_path(&self.root.path, path, b""));
        sys::system_log(&format!("DTCL: path longer than {PATH_MAX} bytes is not mirrored: {whole}"));
        let error = io::Error::from_raw_os_error(libc::ENAMETOOLONG);
        visitor.unreadable(self.root.number, path, &error, "walk to it");
    }

    /// Leaves out the names with which a path would be over the limit.
    fn drop_too_long(
        &self,
        folder: &Folder,
        names: &mut Names,
        others: &mut Vec<Vec<u8>>,
        visitor: &mut dyn Visitor,
    ) {
        let start =
            self.root.path.as_os_str().len() + 1 + folder.path.len() + usize::from(!folder.path.is_empty());
        if start + NAME_MAX <= PATH_MAX {
            return;
        }
        names.retain(|name, kind| {
            let fits = start + name.to_bytes().len() <= PATH_MAX;
            // Directories are met once more, when they are walked.
            if !fits && kind != Some(FileKind::Directory) {
                self.too_long(&folder.join(name.to_bytes()), visitor);
            }
            if !fits {
                others.push(name.to_bytes().to_vec());
            }
            fits
        });
    }

    fn xattrs(&self, dir: &Dir) -> io::Result<Xattrs> {
        if !self.plan.settings.extended_attributes {
            return Ok(Xattrs::default());
        }
        sys::xattrs_of_open(dir.as_fd(), sys::is_root())
    }

    fn reason_to_leave_out(&self, stack: &[Level<'_>], stat: &Stat, dir: &Dir) -> Option<String> {
        if self.plan.forbidden.contains(&stat.id()) {
            return Some("it is the engine's own directory".to_string());
        }
        if stack.iter().any(|level| level.id == stat.id()) {
            return Some("it is mounted inside itself (REP-03)".to_string());
        }
        let other_device = stack.last().is_none_or(|level| level.id.0 != stat.dev);
        if other_device {
            return match sys::file_system_magic(dir) {
                Ok(magic) => {
                    pseudo_magic(magic).map(|name| format!("it is a pseudo or stacked file system, {name}"))
                }
                Err(_) => None,
            };
        }
        None
    }
}

/// Leaves only the names that belong; the subdirectories to walk, last first.
fn select<'p>(names: &mut Names, dir: &Dir, rules: &DirRules) -> Vec<Below<'p>> {
    let mut below = Vec::new();
    names.retain(|name, kind| {
        if unfinished_by(name.to_bytes()).is_some() {
            // Left by a mirror to this place that was killed; no target would own to having it.
            tracing::info!("Left out: {}, which a mirror did not finish", escape(name.to_bytes()));
            return false;
        }
        let is_dir = match kind {
            Some(kind) => kind == FileKind::Directory,
            // Its file system does not tell; what cannot be looked at is decided as a file and fails there.
            None => is_directory(dir, name),
        };
        if !is_dir {
            return rules.file(name.to_bytes());
        }
        match rules.dir(name.to_bytes()) {
            DirDecision::Skip => false,
            DirDecision::Enter { included, rules } => {
                let name = name.to_bytes().to_vec();
                below.push(Below { name, included, rules: Some(rules), part: None });
                true
            }
        }
    });
    below.reverse();
    below
}

/// The subdirectories that lead to what is looked at, last first.
fn ways<'p>(part: &'p Part, rules: Option<&DirRules>) -> Vec<Below<'p>> {
    let Some(rules) = rules else { return Vec::new() };
    let way = |(name, part): (&Vec<u8>, &'p Part)| match rules.dir(name) {
        DirDecision::Skip => None,
        DirDecision::Enter { included, rules } => {
            Some(Below { name: name.clone(), included, rules: Some(rules), part: Some(part) })
        }
    };
    part.below.iter().rev().filter_map(way).collect()
}

fn is_directory(dir: &Dir, name: &CStr) -> bool {
    dir.stat(name).is_ok_and(|stat| stat.kind == FileKind::Directory)
}

/// The source path of a place below a root.
pub(super) fn source_path(root: &Path, path: &[u8], name: &[u8]) -> Vec<u8> {
    let below = join(path, name);
    if below.is_empty() {
        return root.as_os_str().as_bytes().to_vec();
    }
    root.join(OsStr::from_bytes(&below)).into_os_string().into_encoded_bytes()
}
