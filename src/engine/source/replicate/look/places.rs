//! Where events point to: directories by their keys, roots, and what lies outside.

use super::super::super::capture::{Change, Key, Look, Place};
use super::super::super::walk::source_path;
use super::super::common::RootPlace;
use super::super::model::{Belongs, Identity, Model, NONE, NodeId, flag};
use super::{Late, Looker, OPEN, TRIES, Told, Unreachable};
use crate::engine::log::escape;
use crate::engine::replication::Hold;
use crate::engine::repset::pseudo_magic;
use crate::sys::{self, Dir, FileKind, Stat};
use crate::wire::{NAME_MAX, PATH_MAX};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::Hasher;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Where a directory lies that is not known.
enum Nearest {
    /// Below this name of a directory that is.
    Name(NodeId, Vec<u8>),
    Outside,
    Unknown,
}

/// A directory in which an event named an object, and the name's number.
pub(super) type Named = (Key, u64);

/// The number of a name that an event did not tell.
const UNTOLD: u64 = 0;

/// Tells names apart without keeping them: two of one number are taken for one.
fn name_number(name: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(name);
    hasher.finish()
}

/// Most directories that are known to have left the set.
const MOST_LEFT: usize = 64 * 1024;

/// Directories that are followed upwards by what events of late told of them.
const ABOVE: u32 = 16;

/// Directories that have left the set, or were removed, and of which events may still tell what had happened in them before.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The batch in which the last of those events is looked at, once it is read.
    until: HashMap<Key, Option<u64>>,
    /// Those without one.
    fresh: Vec<Key>,
    /// More have left than are kept: any may have.
    more: Option<Option<u64>>,
}

impl Left {
    pub(super) fn add(&mut self, key: Key) {
        if self.until.len() >= MOST_LEFT {
            self.more = Some(None);
        } else if self.until.insert(key.clone(), None) != Some(None) {
            self.fresh.push(key);
        }
    }

    /// Everything was read up to now, and is looked at with this batch at the latest.
    pub(super) fn read(&mut self, batch: u64) {
        for key in self.fresh.drain(..) {
            self.until.insert(key, Some(batch));
        }
        self.more = self.more.map(|until| until.or(Some(batch)));
    }

    /// The same, whatever was known before.
    pub(super) fn all_read(&mut self, batch: u64) {
        self.read(batch);
        let sooner = |until: &mut Option<u64>| *until = until.map(|until| until.min(batch));
        self.until.values_mut().for_each(sooner);
        self.more.iter_mut().for_each(sooner);
    }

    /// This batch was looked at.
    pub(super) fn looked(&mut self, batch: u64) {
        let over = |until: Option<u64>| until.is_some_and(|until| until <= batch);
        self.until.retain(|_, until| !over(*until));
        self.more = self.more.filter(|until| !over(*until));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.until.is_empty() && self.more.is_none()
    }

    fn may_hold(&self, key: &Key) -> bool {
        self.more.is_some() || self.until.contains_key(key)
    }
}

/// The directory that an event names.
pub(super) enum Whereabouts {
    Directory(NodeId),
    /// It is below none of the roots, or a rule leaves it out.
    Outside,
    /// It is gone, was not listed yet, or is to be found in the set.
    Unknown,
}

impl Looker {
    /// Notes where events named objects, for [`Self::comes_from_outside`].
    pub(super) fn note_names(&mut self, looks: &[(Look, Late)]) {
        for (look, _) in looks {
            if let (Place::Name { dir, name }, Some(object)) = (&look.place, &look.object) {
                let places = self.named.entry(object.clone()).or_default();
                places.insert((dir.clone(), name_number(name)));
                places.extend(look.from.clone().map(|from| (from, UNTOLD)));
            }
        }
    }

    /// A name that came by a rename from inside the set is a move, from wherever it is looked at (REP-24); one whose old name
    /// was in a directory that is known to be outside has come from there (REP-23). An object that other directories of late
    /// had names of, or that had other names here, may have come by several steps, or was linked since: it counts as inside.
    /// Then the target's names are one file as the source's are.
    pub(super) fn comes_from_outside(&self, model: &Model, dir: NodeId, name: &[u8], told: Told<'_>) -> bool {
        let (Some(object), Some(from)) = (told.object, told.from) else { return false };
        let here = model.key(dir);
        let known = [&self.named, &self.named_before];
        // The directory that it came from may have been moved out only since.
        let moved = self.was_inside(model, from) || known.iter().any(|named| named.contains_key(from));
        let mut places = known.into_iter().filter_map(|named| named.get(object)).flatten();
        let own = name_number(name);
        let elsewhere = |dir: &Key, name: u64| dir != from && (Some(dir) != here || name != own);
        if moved || places.any(|(dir, name)| elsewhere(dir, *name)) || !self.is_outside(model, from) {
            return false;
        }
        // A name that was found by listing may be told of only now.
        self.common.capture.drain();
        let told = self.common.capture.looks().names_of(object);
        !told.iter().any(|(dir, name)| elsewhere(dir, name_number(name)))
    }

    /// Was it in the set when what is looked at now happened, as far as its own events and those of what it was in tell? It may
    /// have left since.
    pub(super) fn was_inside(&self, model: &Model, dir: &Key) -> bool {
        self.was_below(model, dir, ABOVE)
    }

    fn was_below(&self, model: &Model, dir: &Key, depth: u32) -> bool {
        if self.left.may_hold(dir) {
            return true;
        }
        let known = |above: &Key| {
            model.by_key(above).is_some()
                || depth > 0 && above != dir && self.was_below(model, above, depth - 1)
        };
        let named = [&self.named, &self.named_before].into_iter().filter_map(|named| named.get(dir));
        named.flatten().any(|(above, _)| known(above))
    }

    /// Has a person said that the copy of the root of this directory shall go?
    pub(super) fn is_let_go(&self, model: &Model, dir: NodeId) -> bool {
        self.let_go.contains(&model.path(dir).0)
    }

    /// Is the directory below none of the roots? One that is gone may have been.
    pub(super) fn is_outside(&self, model: &Model, key: &Key) -> bool {
        if model.by_key(key).is_some() {
            return false;
        }
        let Ok(Some((_, path))) = self.common.capture.resolve(key) else { return false };
        let path = Path::new(OsStr::from_bytes(&path));
        let is_below = |place: &RootPlace| {
            path.starts_with(&place.path) || path.starts_with(OsStr::from_bytes(&place.real))
        };
        !path.as_os_str().is_empty() && !self.common.roots.values().any(is_below)
    }

    /// The directory that events name so.
    pub(super) fn directory_of(&mut self, model: &mut Model, key: &Key) -> Whereabouts {
        let walked = |model: &Model, node| {
            if model.has(node, flag::WALKED) { Whereabouts::Directory(node) } else { Whereabouts::Unknown }
        };
        if let Some(node) = model.by_key(key) {
            return walked(model, node);
        }
        if let Some(outside) = self.unknown.get(key) {
            return if *outside { Whereabouts::Outside } else { Whereabouts::Unknown };
        }
        let capture = Arc::clone(&self.common.capture);
        let (stat, path) = match capture.resolve(key) {
            Ok(Some(found)) => found,
            // Gone before its events were read: its nearest living parent's event removes it.
            Ok(None) | Err(_) => return Whereabouts::Unknown,
        };
        let id = Identity::of(&stat);
        let known = model.names_of(&id).find(|node| model.entry(*node).kind == FileKind::Directory);
        if let Some(node) = known {
            let found = walked(model, node);
            if let Whereabouts::Directory(node) = found {
                model.set_key(node, key.clone());
            }
            return found;
        }
        self.unknown.insert(key.clone(), false);
        if self.look_at_path(model, key, &path) {
            return Whereabouts::Unknown;
        }
        self.unknown.insert(key.clone(), true);
        if !self.was_inside(model, key) {
            // What moves in from now on is listed, and followed from before that.
            capture.looks().ignore(key);
        }
        Whereabouts::Outside
    }

    /// Looks for what has this path now in the directory that it is in, wherever the model has that. False: it is outside.
    pub(super) fn look_where_it_is(&mut self, model: &mut Model, key: &Key, path: &[u8]) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        let parent = path.parent().and_then(|parent| Dir::open_root(parent).ok());
        let id = parent.and_then(|parent| Stat::of(&parent).ok()).map(|stat| Identity::of(&stat));
        let node = id.and_then(|id| model.names_of(&id).next()).filter(|node| model.has(*node, flag::WALKED));
        match (node, path.file_name()) {
            (Some(node), Some(name)) => {
                self.look_between(model, key, node, name.as_bytes());
                true
            }
            _ => self.look_at_path(model, key, path.as_os_str().as_bytes()),
        }
    }

    /// Looks where a directory of this path must be in the set. False: it is outside, or a rule leaves it out.
    pub(super) fn look_at_path(&mut self, model: &mut Model, key: &Key, path: &[u8]) -> bool {
        match self.nearest(model, path) {
            Nearest::Unknown => self.look_above(model, key, path),
            Nearest::Outside => false,
            Nearest::Name(node, name) if matches!(model.belongs(node, &name, true), Belongs::No) => false,
            Nearest::Name(node, name) => {
                self.look_between(model, key, node, &name);
                true
            }
        }
    }

    /// A directory that is not known lies somewhere below this name of one that is: it is found by listing what is there.
    fn look_between(&mut self, model: &mut Model, key: &Key, node: NodeId, name: &[u8]) {
        if model.has(node, flag::WALKED) {
            let place = Place::Directory { dir: key.clone() };
            let look = Look { place, change: Change::NAME, object: None, from: None };
            self.name(model, node, name, &look, Late { tries: TRIES, since: self.batch });
        }
    }

    /// Looks for a directory above it that is known, by opening them: a set on several file systems may be mounted in places
    /// that paths do not tell. False: there is none for certain.
    fn look_above(&mut self, model: &mut Model, key: &Key, known_as: &[u8]) -> bool {
        let path = Path::new(OsStr::from_bytes(known_as));
        for above in path.ancestors().skip(1) {
            let Ok(dir) = Dir::open_root(above) else { continue };
            let Ok(stat) = Stat::of(&dir) else { continue };
            let id = Identity::of(&stat);
            let Some(node) = model.names_of(&id).find(|node| model.key(*node).is_some()) else { continue };
            drop(dir);
            let Some(below) = path.strip_prefix(above).ok().and_then(|below| below.components().next())
            else {
                return true;
            };
            let name = below.as_os_str().as_bytes().to_vec();
            if matches!(model.belongs(node, &name, true), Belongs::No) {
                break;
            }
            self.look_between(model, key, node, &name);
            return true;
        }
        // It is outside, or a rule leaves it out. A path that has changed meanwhile proves nothing.
        let again = self.common.capture.resolve(key);
        !again.is_ok_and(|again| again.is_some_and(|(_, again)| again == known_as))
    }

    /// Where a directory of this path, as capture resolves them, lies. Told by the path alone where all of the set is on one
    /// file system, as then the roots' paths are told in the same way.
    fn nearest(&mut self, model: &Model, path: &[u8]) -> Nearest {
        if model.devices().len() != 1 {
            return Nearest::Unknown;
        }
        let capture = &self.common.capture;
        let tops = self.tops.get_or_insert_with(|| {
            let top = |root: &NodeId| Some((*root, capture.resolve(model.key(*root)?).ok()??.1));
            model.roots().iter().map(top).collect()
        });
        let Some(tops) = tops else { return Nearest::Unknown };
        let path = Path::new(OsStr::from_bytes(path));
        for (top, at) in tops {
            let Ok(below) = path.strip_prefix(OsStr::from_bytes(at)) else { continue };
            let (mut node, mut names) =
                (*top, below.components().map(|name| name.as_os_str().as_bytes()).peekable());
            while let Some(name) = names.next() {
                match model.child(node, name) {
                    // The last one has the name and is another: the name is to be looked at.
                    Some(child) if names.peek().is_some() => node = child,
                    _ => return Nearest::Name(node, name.to_vec()),
                }
            }
        }
        Nearest::Outside
    }

    /// Opens a directory that the model has, and makes sure that it is the one. Where it can be opened by its key it may be
    /// elsewhere in the set by now: then its own event is still to be looked at, and what is in it goes where the model has it.
    pub(super) fn open_dir(&mut self, model: &Model, node: NodeId) -> Result<Arc<Dir>, Unreachable> {
        if let Some(dir) = self.held_open(model, node) {
            return Ok(dir);
        }
        let id = model.entry(node).id;
        if self.astray.get(&node) == Some(&(id, model.moves())) {
            return Err(Unreachable::Elsewhere);
        }
        let (root, path) = model.path(node);
        let Some(top) = model.root(root) else { return Err(Unreachable::Elsewhere) };
        let top_dir = match self.held_open(model, top) {
            Some(dir) => dir,
            None => {
                let found = self.open_top(model, root, top)?;
                self.open.insert(top, (model.entry(top).id, Arc::clone(&found)));
                found
            }
        };
        if top == node {
            return Ok(top_dir);
        }
        let dir = match self.key(model, node).and_then(|key| self.common.open_by_key(root, &key, &id)) {
            Some(dir) => Ok(dir),
            None => sys::c_string(&path).and_then(|path| top_dir.descend(&path)),
        };
        let dir = match dir.and_then(|dir| Ok((Identity::of(&Stat::of(&dir)?), dir))) {
            Ok((found, dir)) if found == id => Arc::new(dir),
            Err(error) if !is_elsewhere(&error) => return Err(Unreachable::Failed(error)),
            Ok(_) | Err(_) => {
                // What would bring it back where it was is told by an event of its own.
                self.astray.insert(node, (id, model.moves()));
                return Err(Unreachable::Elsewhere);
            }
        };
        self.hold_open(model, node, Arc::clone(&dir));
        Ok(dir)
    }

    /// The key that an entry is found by, if there is one.
    pub(super) fn key(&self, model: &Model, node: NodeId) -> Option<Key> {
        model.key(node).cloned().or_else(|| self.common.key_of(&model.entry(node).id))
    }

    fn hold_open(&mut self, model: &Model, node: NodeId, dir: Arc<Dir>) {
        if self.open.len() >= OPEN {
            self.open.retain(|node, _| model.is_used(*node) && model.is_root(*node));
        }
        self.open.insert(node, (model.entry(node).id, dir));
    }

    /// Opens a directory that was found under this name a moment ago: it may have moved before it is listed.
    pub(super) fn open_found(&mut self, model: &Model, node: NodeId, parent: &Dir, name: &[u8]) {
        let opened = sys::c_string(name).and_then(|name| parent.dir(&name));
        if let Ok(dir) = opened
            && Stat::of(&dir).is_ok_and(|stat| Identity::of(&stat) == model.entry(node).id)
        {
            self.hold_open(model, node, Arc::new(dir));
        }
    }

    /// The directory, if it is open. The number may have been another's, which is gone.
    pub(super) fn held_open(&self, model: &Model, node: NodeId) -> Option<Arc<Dir>> {
        let (id, dir) = self.open.get(&node)?;
        (*id == model.entry(node).id).then(|| Arc::clone(dir))
    }

    /// Opens a root. Another directory in its place, or none, holds everything up.
    pub(super) fn open_top(
        &mut self,
        model: &Model,
        root: u16,
        top: NodeId,
    ) -> Result<Arc<Dir>, Unreachable> {
        let Some(path) = self.common.roots.get(&root).map(|place| place.path.clone()) else {
            return Err(Unreachable::Root);
        };
        match Dir::open_root(&path).and_then(|dir| Ok((Identity::of(&Stat::of(&dir)?), dir))) {
            Ok((id, dir)) if id == model.entry(top).id => Ok(Arc::new(dir)),
            // A person knows already.
            Ok(_) | Err(_) if self.let_go.contains(&root) => Err(Unreachable::Root),
            Ok(_) | Err(_) => {
                self.root_gone(&path);
                Err(Unreachable::Root)
            }
        }
    }

    pub(super) fn root_gone(&self, path: &Path) {
        self.common.hold(Hold::RootGone { path: escape(path.as_os_str().as_bytes()) });
    }

    /// Each root must still be what was connected.
    pub(super) fn check_roots(&mut self, model: &Model) -> bool {
        for root in model.roots() {
            let (number, _) = model.path(*root);
            if self.open_top(model, number, *root).is_err() {
                return false;
            }
        }
        true
    }

    /// A person has said that the copy of a root that was renamed or removed shall go: exactly that is removed.
    pub(super) fn release_roots(&mut self) {
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        for root in model.roots().to_vec() {
            let (number, _) = model.path(root);
            let Some(place) = common.roots.get(&number) else { continue };
            let missing = std::fs::symlink_metadata(&place.path)
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            if missing && place.above.is_some() {
                self.let_go.insert(number);
                for child in model.children(root).collect::<Vec<_>>() {
                    self.remove(&mut model, child);
                }
            }
        }
    }

    /// Another set's connection sends it already (REP-34).
    pub(super) fn is_sent_elsewhere(&self, model: &Model, dir: NodeId, name: &[u8], directory: bool) -> bool {
        if self.common.plan.elsewhere.is_empty() {
            return false;
        }
        let (root, path) = model.path(dir);
        let Some(place) = self.common.roots.get(&root) else { return false };
        let path = source_path(&place.path, &path, name);
        self.common.plan.sent_by(Path::new(OsStr::from_bytes(&path)), directory).is_some()
    }

    /// Is something mounted there? A directory that shows at two places is, at one of them.
    pub(super) fn is_mount_point(&self, model: &Model, dir: NodeId, name: &[u8]) -> bool {
        let (root, path) = model.path(dir);
        let Some(place) = self.common.roots.get(&root) else { return false };
        let path = source_path(&place.path, &path, name);
        let path = Path::new(OsStr::from_bytes(&path));
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        self.common.mount_points().contains(&real)
    }

    pub(super) fn is_mount_point_of(&self, model: &Model, node: NodeId) -> bool {
        let parent = model.parent(node);
        parent != NONE && self.is_mount_point(model, parent, model.name(node))
    }

    pub(super) fn reason_to_leave_out(
        &self,
        model: &Model,
        dir: NodeId,
        handle: &Dir,
        name: &[u8],
        stat: &Stat,
    ) -> Option<String> {
        if self.common.plan.forbidden.contains(&stat.id()) {
            return Some("it is the engine's own directory".to_string());
        }
        if stat.dev == model.entry(dir).id.dev {
            return None;
        }
        let mut at = dir;
        while at != NONE {
            let id = model.entry(at).id;
            if (id.dev, id.ino) == stat.id() {
                return Some("it is mounted inside itself (REP-03)".to_string());
            }
            at = model.parent(at);
        }
        let magic = sys::c_string(name).and_then(|name| handle.dir(&name)).and_then(sys::file_system_magic);
        magic.ok().and_then(pseudo_magic).map(|name| format!("it is a pseudo or stacked file system, {name}"))
    }

    /// REP-37.
    pub(super) fn is_too_long(&self, model: &Model, dir: NodeId, name: &[u8]) -> bool {
        let (root, path) = model.path_with(dir, name);
        let top = self.common.roots.get(&root).map_or(0, |place| place.path.as_os_str().len());
        let long = name.len() > NAME_MAX || top + 1 + path.len() > PATH_MAX;
        if long {
            let shown = self.shown(model, dir, name);
            sys::system_log(&format!("DTCL: path longer than {PATH_MAX} bytes is not replicated: {shown}"));
            self.common.shared.fail(&shown, "its path is longer than 4094 bytes (REP-37)");
        }
        long
    }
}

/// The path leads somewhere else, or nowhere, by now.
fn is_elsewhere(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ESTALE))
}
