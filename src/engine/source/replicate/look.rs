//! Looking: what capture names is compared with the model, and the difference goes to the log.
//!
//! Events are places to look, never operations (architecture.md 3): what counts is what is there after the event was read.
//! An entry that is not where the model has it is *displaced*: it is removed only when every event that was queued before
//! it was missed has been looked at, as it may have moved. A place that is needed before is cleared by *parking* its entry
//! under a name of the engine's own. So any order, folding or repetition of events leads to the same end.

use super::super::capture::{Batch, Change, Gap, Key, Look, Place};
use super::super::walk::source_path;
use super::super::writers::{Found, How, Silent};
use super::common::{Common, follow};
use super::desk::{Debts, Requests};
use super::model::{Belongs, Entry, Identity, Model, NONE, NodeId, Scope, flag};
use super::record::{At, Record, State};
use crate::engine::log::escape;
use crate::engine::replication::Hold;
use crate::engine::repset::pseudo_magic;
use crate::engine::target::{unfinished_by, unfinished_name};
use crate::sys::{self, Dir, FileKind, Names, Stat};
use crate::wire::{NAME_MAX, PATH_MAX};
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Looks that are settled while the model is held: others get their turn in between.
const CHUNK: usize = 256;
/// Directories that are held open at a time.
const OPEN: usize = 64;
/// How often a directory that cannot be found is tried to be listed.
const LISTINGS: u8 = 20;
/// How often a look waits for its directory to be found again.
const TRIES: u8 = 3;

/// The looking side's own state. Used by one thread.
pub(super) struct Looker {
    common: Arc<Common>,
    /// Counts batches.
    batch: u64,
    displaced: Vec<(NodeId, Identity, u64)>,
    deferred: Vec<(Look, u8)>,
    /// Directories whose own times an operation in them has moved on the target.
    touched: HashSet<NodeId>,
    /// Directories to list, last first.
    scans: Vec<(NodeId, Identity)>,
    /// Directories that had moved when they were to be listed, and how often that was so.
    unlisted: Vec<(NodeId, Identity, u8)>,
    /// Records whose file could not be found, as its directory had moved.
    unsent: Vec<Vec<u8>>,
    listed_late: HashMap<NodeId, u8>,
    /// Held only while a batch is looked at: a descriptor would keep a file system from being unmounted.
    open: HashMap<NodeId, (Identity, Arc<Dir>)>,
    /// Where inodes were seen in this chunk.
    seen: HashMap<Identity, (NodeId, Box<[u8]>)>,
    names: Names,
    buffer: Vec<u8>,
    record: Vec<u8>,
    /// The directories above the roots.
    above: HashSet<Key>,
    /// Roots that were renamed or removed, and whose copies were let go.
    let_go: HashSet<u16>,
    /// It was said that some processes cannot be looked at.
    told_hidden: bool,
    /// The directories in which events of this batch, and of the one before it, named an object.
    named: HashMap<Key, HashSet<Key>>,
    named_before: HashMap<Key, HashSet<Key>>,
}

/// What an event told of a name, where it tells objects.
#[derive(Clone, Copy, Debug, Default)]
struct Told<'a> {
    object: Option<&'a Key>,
    from: Option<&'a Key>,
}

/// Whether an entry is where the model has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    There,
    Gone,
    /// Its directory is not where the model has that.
    Unknown,
}

/// Why a directory could not be opened.
enum Unreachable {
    /// It is not where the model has it: its own event will tell.
    Elsewhere,
    /// The root is not the one that was connected.
    Root,
    Failed(io::Error),
}

impl Looker {
    pub(super) fn new(common: Arc<Common>, above: HashSet<Key>) -> Self {
        Self {
            common,
            batch: 0,
            displaced: Vec::new(),
            deferred: Vec::new(),
            touched: HashSet::new(),
            scans: Vec::new(),
            unlisted: Vec::new(),
            unsent: Vec::new(),
            listed_late: HashMap::new(),
            open: HashMap::new(),
            seen: HashMap::new(),
            names: Names::default(),
            buffer: Vec::new(),
            record: Vec::new(),
            above,
            let_go: HashSet::new(),
            told_hidden: false,
            named: HashMap::new(),
            named_before: HashMap::new(),
        }
    }

    /// True while something waits for the events that are still to be read.
    pub(super) fn is_waiting(&self) -> bool {
        let lists = [self.displaced.is_empty(), self.deferred.is_empty(), self.unlisted.is_empty()];
        lists.contains(&false) || !self.unsent.is_empty()
    }

    /// Looks at everything that a batch names. An empty batch: no event came since the last one.
    pub(super) fn look(&mut self, batch: &mut Batch) {
        self.batch += 1;
        let number = self.batch;
        if self.common.is_released() {
            self.release_roots();
        }
        self.grant(self.common.take_requests());
        let mut looks: Vec<(Look, u8)> = batch.looks.drain(..).map(|look| (look, 0)).collect();
        // What waited comes after what was found since, which may bring its directory back.
        looks.append(&mut self.deferred);
        if batch.mounts_changed {
            self.mounts();
        }
        for gap in batch.gaps.drain(..) {
            self.gap(gap);
        }
        self.note_names(&looks);
        self.list_late();
        for chunk in looks.chunks(CHUNK) {
            let common = Arc::clone(&self.common);
            let mut model = common.turn();
            self.prepare(&model, chunk);
            for (look, tries) in chunk {
                self.one(&mut model, look, *tries);
            }
            self.seen.clear();
            drop(model);
            self.scan();
        }
        self.scan();
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        // Whatever was missed before this batch was read would have been found by now.
        self.flush_displaced(&mut model, number - 1);
        self.flush_touched(&mut model);
        drop(model);
        self.open.clear();
    }

    /// Does what a mirror left to replication, or asks of it.
    fn grant(&mut self, requests: Requests) {
        let Requests { rescans, contents, regroups, links, times } = requests;
        for id in rescans {
            let model = self.common.model();
            let found = model.names_of_number(id.0, id.1).next();
            self.scans.extend(found.map(|node| (node, model.entry(node).id)));
        }
        for (dev, ino) in contents {
            self.silent(dev, ino);
        }
        if regroups.is_empty() && times.is_empty() && links.is_empty() {
            return;
        }
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        for (node, id) in links {
            if model.is(node, &id) && !model.has(node, flag::SEPARATE) {
                self.link_names(&mut model, node);
            } else {
                self.send_names(&mut model, &id);
            }
        }
        for id in regroups {
            self.send_names(&mut model, &id);
            follow(&mut model, &id);
        }
        for id in times {
            let Some(node) = model.names_of(&id).next() else { continue };
            if model.entry(node).kind == FileKind::Directory {
                self.touched.insert(node);
            } else {
                self.queue_meta(&mut model, node);
            }
        }
    }

    /// What could not be listed, as it or a directory above it had moved, is listed once those are found.
    fn list_late(&mut self) {
        self.listed_late.clear();
        for (node, id, tries) in std::mem::take(&mut self.unlisted) {
            self.listed_late.insert(node, tries);
            self.scans.push((node, id));
        }
    }

    /// Removes everything displaced: capture was read empty, and nothing came.
    pub(super) fn settle(&mut self) {
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        let deferred = std::mem::take(&mut self.deferred);
        for (look, _) in deferred {
            self.one(&mut model, &look, TRIES);
        }
        self.list_late();
        let all = self.batch;
        self.flush_displaced(&mut model, all);
        drop(model);
        self.scan();
        self.flush_touched(&mut common.turn());
        self.open.clear();
    }

    /// Notes where events named objects, for [`Self::comes_from_outside`].
    fn note_names(&mut self, looks: &[(Look, u8)]) {
        self.named_before = std::mem::take(&mut self.named);
        for (look, _) in looks {
            if let (Place::Name { dir, .. }, Some(object)) = (&look.place, &look.object) {
                let dirs = self.named.entry(object.clone()).or_default();
                dirs.insert(dir.clone());
                dirs.extend(look.from.clone());
            }
        }
    }

    /// A name that came by a rename from inside the set is a move, from wherever it is looked at (REP-24); one whose old name
    /// was in a directory that is known to be outside has come from there (REP-23). An object that other directories of late
    /// had names of may have come by several steps: it counts as inside. Then the target's names are one file as the source's
    /// are.
    fn comes_from_outside(&self, model: &Model, dir: NodeId, told: Told<'_>) -> bool {
        let (Some(object), Some(from)) = (told.object, told.from) else { return false };
        let here = model.key(dir);
        let known = [&self.named, &self.named_before];
        // The directory that it came from may have been moved out only since.
        let moved = known.iter().any(|named| named.contains_key(from));
        let mut places = known.into_iter().filter_map(|named| named.get(object)).flatten();
        !moved && places.all(|dir| dir == from || Some(dir) == here) && self.is_outside(model, from)
    }

    /// Is the directory below none of the roots? One that is gone may have been.
    fn is_outside(&self, model: &Model, key: &Key) -> bool {
        if model.by_key(key).is_some() {
            return false;
        }
        let Ok(Some((_, path))) = self.common.capture.resolve(key) else { return false };
        let path = Path::new(std::ffi::OsStr::from_bytes(&path));
        !path.as_os_str().is_empty() && !self.common.roots.values().any(|root| path.starts_with(&root.path))
    }

    /// Notes where the inodes of a chunk are now, so that an entry is not taken for gone when it is found a moment later.
    fn prepare(&mut self, model: &Model, chunk: &[(Look, u8)]) {
        if chunk.len() < 2 {
            return;
        }
        for (look, _) in chunk {
            let Place::Name { dir, name } = &look.place else { continue };
            if !look.change.has(Change::NAME) {
                continue;
            }
            let Some(node) = model.by_key(dir) else { continue };
            let Ok(handle) = self.open_dir(model, node) else { continue };
            let Ok(c_name) = sys::c_string(name) else { continue };
            if let Ok(stat) = handle.stat(&c_name) {
                let id = Identity::of(&stat);
                let known = model.child(node, name).is_some_and(|ours| model.entry(ours).id == id);
                if !known {
                    self.seen.insert(id, (node, name.clone()));
                }
            }
        }
    }

    /// One place.
    fn one(&mut self, model: &mut Model, look: &Look, tries: u8) {
        match &look.place {
            Place::Name { dir, .. } if self.above.contains(dir) && model.by_key(dir).is_none() => {
                if look.change.has(Change::NAME) {
                    self.check_roots(model);
                }
            }
            Place::Name { dir, name } => {
                if let Some(node) = self.directory_of(model, dir) {
                    self.name(model, node, name, look, tries);
                }
            }
            Place::Directory { dir } => {
                if let Some(node) = self.directory_of(model, dir) {
                    self.queue_directory_meta(model, node);
                }
            }
            Place::Object { key } => self.object(model, key, look.change),
        }
    }

    /// The directory that events name so; None when it lies outside, or is gone, or the mirror has not come to it yet.
    fn directory_of(&mut self, model: &mut Model, key: &Key) -> Option<NodeId> {
        if let Some(node) = model.by_key(key) {
            return model.has(node, flag::WALKED).then_some(node);
        }
        let capture = Arc::clone(&self.common.capture);
        let (stat, path) = match capture.resolve(key) {
            Ok(Some(found)) => found,
            // Gone before its events were read: its nearest living parent's event removes it.
            Ok(None) | Err(_) => return None,
        };
        let id = Identity::of(&stat);
        let known = model.names_of(&id).find(|node| model.entry(*node).kind == FileKind::Directory);
        if let Some(node) = known {
            if !model.has(node, flag::WALKED) {
                return None;
            }
            model.set_key(node, key.clone());
            return Some(node);
        }
        // Somewhere above it may be a directory that is known: what lies between is new.
        let known_as = path.clone();
        let path = Path::new(std::ffi::OsStr::from_bytes(&path));
        for above in path.ancestors().skip(1) {
            let Ok(dir) = Dir::open_root(above) else { continue };
            let Ok(stat) = Stat::of(&dir) else { continue };
            let id = Identity::of(&stat);
            let Some(node) = model.names_of(&id).find(|node| model.key(*node).is_some()) else { continue };
            drop(dir);
            let below = path.strip_prefix(above).ok()?.components().next()?;
            let name = below.as_os_str().as_bytes().to_vec();
            if model.has(node, flag::WALKED) {
                let look = Look {
                    place: Place::Directory { dir: key.clone() },
                    change: Change::NAME,
                    object: None,
                    from: None,
                };
                self.name(model, node, &name, &look, TRIES);
            }
            // A subtree that was found so is listed whole; what a rule leaves out is as good as outside.
            return None;
        }
        // A path that has changed meanwhile proves nothing.
        if capture.resolve(key).is_ok_and(|again| again.is_some_and(|(_, again)| again == known_as)) {
            capture.looks().ignore(key);
        }
        None
    }

    /// A name of a directory that is known.
    fn name(&mut self, model: &mut Model, dir: NodeId, name: &[u8], look: &Look, tries: u8) {
        match self.open_dir(model, dir) {
            Ok(handle) => {
                let told = Told { object: look.object.as_ref(), from: look.from.as_ref() };
                self.settle_name(model, dir, &handle, name, look.change, told);
            }
            Err(Unreachable::Elsewhere) if tries < TRIES => self.deferred.push((look.clone(), tries + 1)),
            Err(Unreachable::Elsewhere) => {
                // Nothing else has told where it is: look at its own name.
                model.set(dir, flag::UNSEEN);
                self.displace(model, dir);
            }
            Err(Unreachable::Root) => {}
            Err(Unreachable::Failed(error)) => self.fail(model, dir, name, &error),
        }
    }

    /// Opens a directory that the model has, and makes sure that it is the one.
    fn open_dir(&mut self, model: &Model, node: NodeId) -> Result<Arc<Dir>, Unreachable> {
        if let Some(dir) = self.held_open(model, node) {
            return Ok(dir);
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
        let dir = sys::c_string(&path).and_then(|path| top_dir.descend(&path));
        let dir = match dir.and_then(|dir| Ok((Identity::of(&Stat::of(&dir)?), dir))) {
            Ok((id, dir)) if id == model.entry(node).id => Arc::new(dir),
            Ok(_) => return Err(Unreachable::Elsewhere),
            Err(error) => {
                return Err(match error.raw_os_error() {
                    Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => Unreachable::Elsewhere,
                    _ => Unreachable::Failed(error),
                });
            }
        };
        if self.open.len() >= OPEN {
            self.open.retain(|node, _| model.is_used(*node) && model.is_root(*node));
        }
        self.open.insert(node, (model.entry(node).id, Arc::clone(&dir)));
        Ok(dir)
    }

    /// The directory, if it is open. The number may have been another's, which is gone.
    fn held_open(&self, model: &Model, node: NodeId) -> Option<Arc<Dir>> {
        let (id, dir) = self.open.get(&node)?;
        (*id == model.entry(node).id).then(|| Arc::clone(dir))
    }

    /// Opens a root. Another directory in its place, or none, holds everything up.
    fn open_top(&mut self, model: &Model, root: u16, top: NodeId) -> Result<Arc<Dir>, Unreachable> {
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

    fn root_gone(&self, path: &Path) {
        self.common.hold(Hold::RootGone { path: escape(path.as_os_str().as_bytes()) });
    }

    /// Each root must still be what was connected.
    fn check_roots(&mut self, model: &Model) -> bool {
        for root in model.roots() {
            let (number, _) = model.path(*root);
            if self.open_top(model, number, *root).is_err() {
                return false;
            }
        }
        true
    }

    /// A person has said that the copy of a root that was renamed or removed shall go: exactly that is removed.
    fn release_roots(&mut self) {
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

    /// Sends anew what was not where it had been when its turn came, or what the target did not have as it should.
    pub(super) fn missed(&mut self, batch: &mut Batch) {
        let Debts { mut missed, heals } = self.common.take_debts();
        missed.append(&mut self.unsent);
        if missed.is_empty() && heals.is_empty() {
            return;
        }
        // What was taken before comes first, else what it would find counts as gone. The move is known to the kernel by now.
        self.look(batch);
        self.common.capture.drain();
        self.common.capture.looks().take(batch);
        self.look(batch);
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        for bytes in missed {
            let Ok(record) = Record::decode(&bytes) else { continue };
            let Some((own, id)) = record.subject() else { continue };
            let fresh =
                matches!(record, Record::Content { state: State::Nothing, .. } | Record::Other { .. });
            // A name that is no more, and that no event told of, must not come round again and again.
            let names: Vec<NodeId> =
                model.names_of(&id).filter(|node| model.has(*node, flag::MADE)).collect();
            let (mut there, mut unknown) = (None, false);
            for node in names {
                match self.standing(&model, node) {
                    Standing::There if there == Some(own) => {}
                    Standing::There => there = Some(node),
                    Standing::Gone => {
                        self.displace(&mut model, node);
                        model.set(node, if fresh { flag::LACKING } else { flag::DIRTY });
                    }
                    Standing::Unknown => {
                        let parent = model.parent(node);
                        self.displace(&mut model, parent);
                        unknown = true;
                    }
                }
            }
            if unknown && there.is_none() {
                // Once its directory is found, or is known to be gone.
                self.unsent.push(bytes);
                continue;
            }
            let Some(node) = there else { continue };
            model.clear(node, flag::LACKING | flag::DIRTY);
            let (root, path, name) = model.place(node);
            let at = At { root, path: &path, name: &name };
            if fresh {
                // Links to it that were logged since have found nothing.
                self.send_names(&mut model, &id);
                continue;
            }
            let again = match record {
                Record::Directory { .. } => Record::Directory { node, id, at },
                Record::DirectoryMeta { .. } => Record::DirectoryMeta { node, id, at },
                Record::Content { .. } => Record::Content { node, id, at, state: State::of(&model, node) },
                _ => Record::Meta { node, id, at },
            };
            self.log(&again, 0);
            if !model.is_root(node) {
                self.touched.insert(model.parent(node));
            }
        }
        drop(model);
        for place in heals {
            let nodes = common.now_at(place);
            let mut model = common.turn();
            for node in nodes.into_iter().filter(|node| model.is_used(*node)).collect::<Vec<_>>() {
                self.heal(&mut model, node);
            }
        }
        self.flush_touched(&mut common.turn());
    }

    /// Sends an entry, and all below it, as if the target had nothing of it.
    fn heal(&mut self, model: &mut Model, node: NodeId) {
        for node in model.all_below(node) {
            if model.has(node, flag::MADE) && model.parent(node) != NONE {
                self.heal_one(model, node);
            }
        }
    }

    /// Sends one entry as if the target had nothing of it.
    fn heal_one(&mut self, model: &mut Model, node: NodeId) {
        let entry = model.entry(node);
        let id = entry.id;
        let (root, path, name) = model.place(node);
        let at = At { root, path: &path, name: &name };
        match entry.kind {
            FileKind::Directory => self.log(&Record::Directory { node, id, at }, 0),
            _ => self.send_names(model, &id),
        }
        self.touched.insert(model.parent(node));
    }

    /// Sends a file, link or special file as if the target had nothing of it, and links its other names to it.
    fn send_names(&mut self, model: &mut Model, id: &Identity) {
        let names: Vec<NodeId> = model.names_of(id).filter(|node| model.has(*node, flag::MADE)).collect();
        let mut first: Option<(u16, Vec<u8>, Vec<u8>)> = None;
        for node in names {
            let (root, path, name) = model.place(node);
            let at = At { root, path: &path, name: &name };
            self.touched.insert(model.parent(node));
            let separate = model.has(node, flag::SEPARATE);
            match &first {
                Some((root, path, name)) if !separate => {
                    let from = At { root: *root, path, name };
                    self.log(&Record::Link { at, from }, 0);
                }
                _ => {
                    let Entry { kind, size, .. } = model.entry(node);
                    if kind == FileKind::File {
                        model.set(node, flag::CONTENT);
                        self.log(&Record::Content { node, id: *id, at, state: State::Nothing }, size);
                    } else {
                        self.log(&Record::Other { node, id: *id, at }, 0);
                    }
                    if !separate {
                        first = Some((root, path, name));
                    }
                }
            }
        }
    }

    /// Links the other names of a file to this one.
    fn link_names(&mut self, model: &mut Model, node: NodeId) {
        let (root, path, name) = model.place(node);
        let from = At { root, path: &path, name: &name };
        for other in model.group(node).into_iter().filter(|other| *other != node) {
            if model.has(other, flag::MADE) {
                let (root, path, name) = model.place(other);
                self.log(&Record::Link { at: At { root, path: &path, name: &name }, from }, 0);
                self.touched.insert(model.parent(other));
            }
        }
    }

    /// Looks for files that are written without events.
    pub(super) fn look_for_silent(&mut self, silent: &mut Silent, barrier: bool) {
        let devices = self.common.model().devices().to_vec();
        let mut found = Vec::new();
        let common = Arc::clone(&self.common);
        let mut in_set = |dev, ino| {
            let model = common.model();
            model.names_of_number(dev, ino).any(|node| model.has(node, flag::MADE))
        };
        let mut note = |file: &Found| found.push(*file);
        let now = std::time::Instant::now();
        let looked = if barrier {
            silent.barrier(now, &devices, &mut in_set, &mut note)
        } else {
            silent.tick(now, &devices, &mut in_set, &mut note)
        };
        if let Err(error) = looked {
            tracing::warn!("Files that are written without events cannot be looked for: {error}");
        }
        for file in found {
            self.silent_file(&file);
        }
        let hidden = silent.coverage().hidden;
        if hidden > 0 && !std::mem::replace(&mut self.told_hidden, true) {
            tracing::info!(
                "{hidden} processes cannot be looked at: what they write without events is seen when they close"
            );
        }
    }

    /// A file with a writer. Stamps that are those of what was sent settle it, unless stores move none.
    fn silent_file(&mut self, file: &Found) {
        let common = Arc::clone(&self.common);
        let model = common.model();
        let Some(node) = model.names_of_number(file.dev, file.ino).next() else { return };
        let entry = model.entry(node);
        let parent = model.parent(node);
        if parent == NONE || entry.kind != FileKind::File {
            return;
        }
        let opened = self.open_dir(&model, parent).ok().and_then(|dir| {
            let file = dir.read(&sys::c_string(model.name(node)).ok()?).ok()?;
            Some((Stat::of(&file).ok()?, file))
        });
        drop(model);
        self.open.clear();
        if let Some((stat, open)) = opened {
            let known = stat.size == entry.size && super::model::nanoseconds(stat.ctime) == entry.ctime;
            if known
                && matches!(file.how, How::Moved | How::Mapped)
                && !(file.mapped && file.how == How::Moved)
            {
                return;
            }
            if file.mapped
                && let Err(error) = sys::write_back(&open)
            {
                tracing::debug!("a mapped file could not be written back: {error}");
            }
        }
        self.silent(file.dev, file.ino);
    }

    /// Compares one name with the model.
    fn settle_name(
        &mut self,
        model: &mut Model,
        dir: NodeId,
        handle: &Arc<Dir>,
        name: &[u8],
        change: Change,
        told: Told<'_>,
    ) {
        if unfinished_by(name).is_some() {
            return;
        }
        let Ok(c_name) = sys::c_string(name) else { return };
        let stat = match handle.stat(&c_name) {
            Ok(stat) => Some(stat),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return self.fail(model, dir, name, &error),
        };
        let belongs = stat.as_ref().map(|stat| {
            let is_directory = stat.kind == FileKind::Directory;
            if self.is_sent_elsewhere(model, dir, name, is_directory) {
                return (Belongs::No, stat);
            }
            (model.belongs(dir, name, is_directory), stat)
        });
        if change.has(Change::NAME) {
            // Also when it is as it was: what came and went has moved the directory's time.
            self.touched.insert(dir);
        }
        let ours = model.child(dir, name);
        match (ours, belongs) {
            (Some(ours), None | Some((Belongs::No, _))) => {
                self.elsewhere(model, Some(ours), change, told);
                self.displace(model, ours);
            }
            (None, None | Some((Belongs::No, _))) => {
                self.elsewhere(model, None, change, told);
                if let (None, Some(ino)) = (told.object, unnamed_inode(name)) {
                    // Written by who made it without a name; it may have one by now.
                    let dev = model.entry(dir).id.dev;
                    let found = model.names_of_number(dev, ino).next();
                    if let Some(node) = found {
                        let Entry { id, kind, size, .. } = model.entry(node);
                        if kind == FileKind::File && change.has(Change::CONTENT) {
                            self.queue_content(model, &id, size);
                        } else {
                            self.queue_meta(model, node);
                        }
                    }
                }
            }
            (Some(ours), Some((_, stat))) if model.entry(ours).id == Identity::of(stat) => {
                self.same(model, ours, stat, change);
            }
            (ours, Some((belongs, stat))) => {
                // What has neither name nor inode here is new, and what was told is of it.
                if ours.is_some() || model.names_of(&Identity::of(stat)).next().is_some() {
                    self.elsewhere(model, ours, change, told);
                }
                if let Some(ours) = ours {
                    self.make_room(model, ours, stat);
                }
                self.appear(model, (dir, handle, name), stat, belongs, change, told);
            }
        }
    }

    /// The name is not, or no longer, that of what an event may have told of: the file may have another name, or get one.
    fn elsewhere(&mut self, model: &mut Model, ours: Option<NodeId>, change: Change, told: Told<'_>) {
        if !change.has(Change::CONTENT) && !change.has(Change::META) {
            return;
        }
        if let Some(object) = told.object {
            self.object(model, object, change);
        }
        if let Some(ours) = ours
            && model.entry(ours).kind != FileKind::Directory
        {
            let Entry { id, kind, size, .. } = model.entry(ours);
            if kind == FileKind::File && change.has(Change::CONTENT) {
                self.queue_content(model, &id, size);
            } else {
                self.queue_meta(model, ours);
            }
        }
    }

    /// Another set's connection sends it already (REP-34).
    fn is_sent_elsewhere(&self, model: &Model, dir: NodeId, name: &[u8], directory: bool) -> bool {
        if self.common.plan.elsewhere.is_empty() {
            return false;
        }
        let (root, path) = model.path(dir);
        let Some(place) = self.common.roots.get(&root) else { return false };
        let path = source_path(&place.path, &path, name);
        self.common.plan.sent_by(Path::new(std::ffi::OsStr::from_bytes(&path)), directory).is_some()
    }

    /// The entry is where the model has it.
    fn same(&mut self, model: &mut Model, node: NodeId, stat: &Stat, change: Change) {
        model.clear(node, flag::DISPLACED);
        let entry = model.entry(node);
        let ctime = super::model::nanoseconds(stat.ctime);
        if model.has(node, flag::LACKING) {
            model.clear(node, flag::LACKING | flag::DIRTY);
            self.heal_one(model, node);
            return;
        }
        let dirty = model.has(node, flag::DIRTY);
        model.clear(node, flag::DIRTY);
        match stat.kind {
            FileKind::Directory => {
                if !model.has(node, flag::WALKED) || model.has(node, flag::UNSEEN) {
                    // It moved before it could be listed.
                    self.scans.push((node, entry.id));
                }
                if dirty || change.has(Change::META) || ctime != entry.ctime {
                    self.queue_directory_meta(model, node);
                }
            }
            FileKind::File if dirty => self.queue_content(model, &entry.id, stat.size),
            FileKind::File => {
                let moved = ctime != entry.ctime;
                let compare = moved && (change.has(Change::LISTED) || change.has(Change::NAME));
                if change.has(Change::CONTENT) || stat.size != entry.size || compare {
                    self.queue_content(model, &entry.id, stat.size);
                } else if change.has(Change::META) || moved {
                    self.queue_meta(model, node);
                }
            }
            _ => {
                if dirty || change.has(Change::META) || ctime != entry.ctime {
                    self.queue_meta(model, node);
                }
            }
        }
    }

    /// Something has a name that it did not have.
    fn appear(
        &mut self,
        model: &mut Model,
        (dir, handle, name): (NodeId, &Arc<Dir>, &[u8]),
        stat: &Stat,
        belongs: Belongs,
        change: Change,
        told: Told<'_>,
    ) {
        if self.is_too_long(model, dir, name) {
            return;
        }
        let id = Identity::of(stat);
        let known: Vec<NodeId> = model.names_of(&id).collect();
        // Another name at which it no longer is: it was moved.
        let mut linked = None;
        // A name that shares its inode has moved rather than one that does not.
        let (separate, mut known): (Vec<NodeId>, Vec<NodeId>) =
            known.into_iter().partition(|node| model.has(*node, flag::SEPARATE));
        known.extend(separate);
        for old in known {
            if linked.is_some() && model.has(old, flag::SEPARATE) {
                continue;
            }
            let directory = stat.kind == FileKind::Directory;
            let moved = match self.standing(model, old) {
                _ if !directory && stat.links == 1 => true,
                Standing::There => false,
                Standing::Gone => true,
                // A directory has one name; of a file with several, this one is about to be found elsewhere.
                Standing::Unknown => directory,
            };
            if moved {
                self.relocate(model, old, dir, name, belongs);
                let mut change = change.without(Change::NAME);
                // It was written under its old name: that may be another's by the time its event is looked at. A move alone
                // leaves mtime.
                if stat.kind == FileKind::File && super::model::stamps(stat).1 != model.entry(old).mtime {
                    change |= Change::CONTENT;
                }
                return self.same(model, old, stat, change);
            }
            if stat.kind == FileKind::Directory {
                if !self.is_mount_point(model, dir, name) && !self.is_mount_point_of(model, old) {
                    // It moved between the two looks: an event of that is still to come.
                    return;
                }
                tracing::warn!(
                    "{}: it is the same directory as {}, mounted a second time; changes are followed in one of them",
                    self.shown(model, dir, name),
                    self.shown_node(model, old)
                );
            } else if !model.has(old, flag::SEPARATE) && model.has(old, flag::MADE) && linked.is_none() {
                linked = Some(old);
            }
        }
        self.ensure_made(model, dir);
        let entry = Entry { ctime: 0, ..Entry::of(stat) };
        let flags = flag::MADE | flag::FOLLOWED;
        match belongs {
            Belongs::No => return,
            Belongs::Directory(included, scope) => {
                if let Some(why) = self.reason_to_leave_out(model, dir, handle, name, stat) {
                    tracing::info!("Disabling replication on {}: {why}", self.shown(model, dir, name));
                    return;
                }
                // What was outside may now be inside.
                self.common.capture.looks().forget_ignored();
                let node = model.insert(dir, name, &Entry::of(stat), 0);
                model.set_scope(node, included, scope);
                if included {
                    model.set(node, flags);
                    let (root, path, name) = model.place(node);
                    self.log(&Record::Directory { node, id, at: At { root, path: &path, name: &name } }, 0);
                }
                self.scans.push((node, id));
            }
            Belongs::File => {
                // A name that was moved in from outside is a file of its own (REP-23), one that was made is a link (REP-22).
                let apart =
                    linked.is_some() && change.has(Change::MOVED) && self.comes_from_outside(model, dir, told);
                if let (Some(first), false) = (linked, apart) {
                    let (root, path, from) = model.place(first);
                    let first = model.entry(first);
                    let node = model.insert(dir, name, &first, flags);
                    let (to_root, to_path) = model.path(dir);
                    self.log(
                        &Record::Link {
                            at: At { root: to_root, path: &to_path, name },
                            from: At { root, path: &path, name: &from },
                        },
                        0,
                    );
                    self.touched.insert(dir);
                    // Links have a size, too, but no content.
                    let written = change.has(Change::CONTENT)
                        || first.size != stat.size
                        || first.mtime != super::model::stamps(stat).1;
                    if written && stat.kind == FileKind::File {
                        self.queue_content(model, &id, stat.size);
                    } else {
                        self.queue_meta(model, node);
                    }
                    return;
                }
                let node = model.insert(dir, name, &entry, flags);
                if apart {
                    model.set(node, flag::SEPARATE);
                }
                let (root, path) = model.path(dir);
                let at = At { root, path: &path, name };
                if stat.kind == FileKind::File {
                    model.set(node, flag::CONTENT);
                    self.log(&Record::Content { node, id, at, state: State::Nothing }, stat.size);
                } else {
                    self.log(&Record::Other { node, id, at }, 0);
                }
            }
        }
        self.touched.insert(dir);
    }

    /// A directory that only leads to what belongs is made when something in it is.
    fn ensure_made(&mut self, model: &mut Model, dir: NodeId) {
        let mut missing = Vec::new();
        let mut at = dir;
        while at != NONE && !model.has(at, flag::MADE) {
            missing.push(at);
            at = model.parent(at);
        }
        for node in missing.into_iter().rev() {
            model.set(node, flag::MADE);
            if model.parent(node) != NONE {
                self.touched.insert(model.parent(node));
            }
            let id = model.entry(node).id;
            let (root, path, name) = model.place(node);
            self.log(&Record::Directory { node, id, at: At { root, path: &path, name: &name } }, 0);
        }
    }

    /// The name's place is needed by something else.
    fn make_room(&mut self, model: &mut Model, ours: NodeId, stat: &Stat) {
        let entry = model.entry(ours);
        let elsewhere = self.seen.contains_key(&entry.id);
        if entry.kind == FileKind::Directory || elsewhere {
            self.displace(model, ours);
            return self.park(model, ours);
        }
        // A file whose place another takes: the operation that brings the other one replaces it.
        if stat.kind == FileKind::Directory && model.has(ours, flag::MADE) {
            let (root, path, name) = model.place(ours);
            self.log(&Record::Remove { at: At { root, path: &path, name: &name }, directory: false }, 0);
        }
        model.remove(ours, &mut |_, _| {});
    }

    /// Is something mounted there? A directory that shows at two places is, at one of them.
    fn is_mount_point(&self, model: &Model, dir: NodeId, name: &[u8]) -> bool {
        let (root, path) = model.path(dir);
        let Some(place) = self.common.roots.get(&root) else { return false };
        let path = source_path(&place.path, &path, name);
        let path = Path::new(std::ffi::OsStr::from_bytes(&path));
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        self.common.mount_points().contains(&real)
    }

    fn is_mount_point_of(&self, model: &Model, node: NodeId) -> bool {
        let parent = model.parent(node);
        parent != NONE && self.is_mount_point(model, parent, model.name(node))
    }

    /// Gives an entry a name of the engine's own, directly below its root, until it is known where it went.
    fn park(&mut self, model: &mut Model, node: NodeId) {
        let (root, path, name) = model.place(node);
        let Some(top) = model.root(root) else { return };
        let aside = unfinished_name();
        if model.has(node, flag::MADE) {
            let directory = model.entry(node).kind == FileKind::Directory;
            self.log(
                &Record::Rename {
                    at: At { root, path: b"", name: aside.to_bytes() },
                    from: At { root, path: &path, name: &name },
                    directory,
                },
                0,
            );
        }
        self.touched.insert(model.parent(node));
        self.touched.insert(top);
        model.relocate(node, top, aside.to_bytes());
        model.set(node, flag::PARKED);
    }

    /// Follows an entry to where it was found.
    fn relocate(&mut self, model: &mut Model, node: NodeId, dir: NodeId, name: &[u8], belongs: Belongs) {
        if model.is_below(dir, node) {
            // The directory that it is in now was below it: that one has moved first.
            self.park(model, dir);
            self.displace(model, dir);
        }
        let directory = model.entry(node).kind == FileKind::Directory;
        let old_parent = model.parent(node);
        self.ensure_made(model, dir);
        let (from_root, from_path, from_name) = model.place(node);
        if model.has(node, flag::MADE) && model.has(node, flag::LACKING) {
            // The target has nothing of it: what stands there is what it had replaced.
            let at = At { root: from_root, path: &from_path, name: &from_name };
            self.log(&Record::Remove { at, directory: false }, 0);
        } else if model.has(node, flag::MADE) {
            let (root, path) = model.path(dir);
            self.log(
                &Record::Rename {
                    at: At { root, path: &path, name },
                    from: At { root: from_root, path: &from_path, name: &from_name },
                    directory,
                },
                0,
            );
        }
        model.relocate(node, dir, name);
        model.clear(node, flag::DISPLACED | flag::PARKED);
        // What a mirror knows of either name may be from before.
        model.set(node, flag::FOLLOWED);
        self.touched.insert(old_parent);
        self.touched.insert(dir);
        if self.common.is_mirroring() {
            self.compare_below(model, node);
        }
        if let Belongs::Directory(included, scope) = belongs {
            let all = matches!((model.scope(node), &scope), (Some(Scope::Everything), Scope::Everything));
            if !all {
                // Other rules hold here: what they leave out goes, what they let in comes.
                model.set_scope(node, included, scope);
                self.rescope(model, node);
            }
        }
    }

    /// Something has moved while a mirror is on its way, which may not come to where it is now: what it has not passed yet is
    /// compared here.
    fn compare_below(&mut self, model: &mut Model, node: NodeId) {
        for below in model.all_below(node) {
            let Entry { id, kind, size, .. } = model.entry(below);
            if model.has(below, flag::PASSED) || below != node && model.has(below, flag::FOLLOWED) {
                continue;
            }
            match kind {
                FileKind::Directory => self.queue_directory_meta(model, below),
                FileKind::File => self.queue_content(model, &id, size),
                _ => self.queue_meta(model, below),
            }
        }
    }

    /// Works out anew what belongs below a directory that has moved, and looks at all of it.
    fn rescope(&mut self, model: &mut Model, node: NodeId) {
        let all = model.all_below(node);
        for below in &all {
            if model.entry(*below).kind == FileKind::Directory {
                if *below != node {
                    let name = model.name(*below).to_vec();
                    if let Belongs::Directory(included, scope) =
                        model.belongs(model.parent(*below), &name, true)
                    {
                        model.set_scope(*below, included, scope);
                    }
                }
                self.scans.push((*below, model.entry(*below).id));
            }
        }
    }

    /// It is not where the model has it.
    fn displace(&mut self, model: &mut Model, node: NodeId) {
        if !model.is_root(node) && !model.has(node, flag::DISPLACED) {
            model.set(node, flag::DISPLACED);
            self.displaced.push((node, model.entry(node).id, self.batch));
        }
    }

    /// Does its name still lead to it?
    fn standing(&mut self, model: &Model, node: NodeId) -> Standing {
        if model.has(node, flag::PARKED) {
            return Standing::Gone;
        }
        let parent = model.parent(node);
        if parent == NONE {
            return Standing::There;
        }
        let Ok(handle) = self.open_dir(model, parent) else { return Standing::Unknown };
        let Ok(name) = sys::c_string(model.name(node)) else { return Standing::Gone };
        match handle.stat(&name) {
            Ok(stat) if Identity::of(&stat) == model.entry(node).id => Standing::There,
            Ok(_) => Standing::Gone,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Standing::Gone,
            Err(_) => Standing::Unknown,
        }
    }

    /// An object that was reached without a name, or by one that is no more.
    fn object(&mut self, model: &mut Model, key: &Key, change: Change) {
        let Ok(Some((stat, _))) = self.common.capture.resolve(key) else { return };
        let id = Identity::of(&stat);
        let Some(node) = model.names_of(&id).next() else { return };
        match stat.kind {
            FileKind::File if change.has(Change::CONTENT) || stat.size != model.entry(node).size => {
                self.queue_content(model, &id, stat.size);
            }
            FileKind::Directory => self.queue_directory_meta(model, node),
            _ => self.queue_meta(model, node),
        }
    }

    /// A file may have been changed without an event.
    pub(super) fn silent(&mut self, dev: u64, ino: u64) {
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        let Some(node) = model.names_of_number(dev, ino).next() else { return };
        let entry = model.entry(node);
        if entry.kind == FileKind::File {
            self.queue_content(&mut model, &entry.id, entry.size);
        }
    }

    /// Content of a file: once for the names that share an inode on the target, once for each that has its own.
    fn queue_content(&mut self, model: &mut Model, id: &Identity, size: u64) {
        let mut shared = false;
        let names: Vec<NodeId> = model.names_of(id).collect();
        for node in names {
            if !model.has(node, flag::SEPARATE) && std::mem::replace(&mut shared, true) {
                continue;
            }
            if model.has(node, flag::CONTENT) || !model.has(node, flag::MADE) {
                continue;
            }
            model.set(node, flag::CONTENT);
            let grown = size.saturating_sub(model.entry(node).size);
            let (root, path, name) = model.place(node);
            let at = At { root, path: &path, name: &name };
            self.log(&Record::Content { node, id: *id, at, state: State::of(model, node) }, grown.max(1));
        }
    }

    fn queue_meta(&mut self, model: &mut Model, node: NodeId) {
        let id = model.entry(node).id;
        let names: Vec<NodeId> = model.names_of(&id).collect();
        let mut shared = false;
        for node in names {
            if !model.has(node, flag::SEPARATE) && std::mem::replace(&mut shared, true) {
                continue;
            }
            if model.has(node, flag::CONTENT | flag::META) || !model.has(node, flag::MADE) {
                continue;
            }
            model.set(node, flag::META);
            let (root, path, name) = model.place(node);
            self.log(&Record::Meta { node, id, at: At { root, path: &path, name: &name } }, 0);
        }
    }

    fn queue_directory_meta(&mut self, model: &mut Model, node: NodeId) {
        // Logged each time: what is made in it after an earlier record moves its time.
        if !model.included(node) || !model.has(node, flag::MADE) {
            return;
        }
        model.set(node, flag::TIMED);
        let id = model.entry(node).id;
        let (root, path, name) = model.place(node);
        self.log(&Record::DirectoryMeta { node, id, at: At { root, path: &path, name: &name } }, 0);
    }

    /// The times of the directories in which something was made, moved or removed go last.
    fn flush_touched(&mut self, model: &mut Model) {
        let mut touched: Vec<NodeId> = self.touched.drain().filter(|node| model.is_used(*node)).collect();
        touched.retain(|node| model.entry(*node).kind == FileKind::Directory);
        for node in touched {
            self.queue_directory_meta(model, node);
        }
    }

    /// Removes what was displaced in a batch up to this one and not found since.
    fn flush_displaced(&mut self, model: &mut Model, upto: u64) {
        let mut due = Vec::new();
        self.displaced.retain(|(node, id, batch)| {
            if *batch <= upto {
                due.push((*node, *id));
            }
            *batch > upto
        });
        due.retain(|(node, id)| model.is(*node, id) && model.has(*node, flag::DISPLACED));
        // Nothing goes that is there, whatever was concluded before.
        let mut gone = Vec::with_capacity(due.len());
        for (node, id) in due {
            if !model.is(node, &id) {
                continue;
            }
            match self.standing(model, node) {
                Standing::Gone => gone.push((node, id)),
                Standing::There => {
                    let parent = model.parent(node);
                    let name = model.name(node).to_vec();
                    match self.open_dir(model, parent) {
                        Ok(handle) => {
                            self.settle_name(model, parent, &handle, &name, Change::LISTED, Told::default())
                        }
                        Err(_) => model.clear(node, flag::DISPLACED),
                    }
                }
                Standing::Unknown => {
                    // Its directory comes first.
                    let parent = model.parent(node);
                    self.displaced.push((node, id, self.batch));
                    self.displace(model, parent);
                }
            }
        }
        let due = gone;
        if due.is_empty() {
            return;
        }
        if let Some(hold) = self.refuse(model, &due) {
            // They stay displaced until somebody decides.
            let batch = self.batch;
            self.displaced.extend(due.into_iter().map(|(node, id)| (node, id, batch)));
            self.common.hold(hold);
            return;
        }
        for (node, id) in due {
            // One may have gone with the directory that it was in.
            if model.is(node, &id) {
                self.remove(model, node);
            }
        }
    }

    /// Something that no event stream should do without a person.
    fn refuse(&self, model: &Model, due: &[(NodeId, Identity)]) -> Option<Hold> {
        if self.common.is_released() {
            return None;
        }
        for (node, id) in due {
            let parent = model.parent(*node);
            if parent == NONE {
                let path = self.shown_node(model, *node);
                return Some(Hold::RootRenamed { path });
            }
            if !model.has(*node, flag::PARKED) && id.dev != model.entry(parent).id.dev {
                return Some(Hold::RootGone { path: self.shown_node(model, *node) });
            }
        }
        let total = model.len() as u64;
        let count: u64 = due.iter().map(|(node, _)| model.count(*node, total)).sum();
        self.common.guard(count, total)
    }

    fn remove(&mut self, model: &mut Model, node: NodeId) {
        let entry = model.entry(node);
        let (root, path, name) = model.place(node);
        let parent = model.parent(node);
        let parked = model.has(node, flag::PARKED);
        let capture = Arc::clone(&self.common.capture);
        if model.has(node, flag::MADE) {
            if self.common.ignore_deletes && !parked {
                tracing::info!(
                    "Kept on the target, as IgnoreDeleteOps is 1: {}",
                    self.shown_node(model, node)
                );
            } else {
                let directory = entry.kind == FileKind::Directory;
                self.log(&Record::Remove { at: At { root, path: &path, name: &name }, directory }, 0);
            }
        }
        model.remove(node, &mut |model, node| {
            if let Some(key) = model.key(node) {
                capture.forget(key);
            }
        });
        self.open.remove(&node);
        self.touched.insert(parent);
    }

    /// Lists the directories that are due, and those that are found in them.
    fn scan(&mut self) {
        while let Some((node, id)) = self.scans.pop() {
            let common = Arc::clone(&self.common);
            if common.is_stopping() {
                return;
            }
            let mut model = common.turn();
            if model.is(node, &id) && model.entry(node).kind == FileKind::Directory {
                self.scan_one(&mut model, node);
            }
        }
    }

    /// Compares one directory with the model, name by name. Events in it count from before it is listed.
    fn scan_one(&mut self, model: &mut Model, node: NodeId) {
        let handle = match self.open_dir(model, node) {
            Ok(handle) => handle,
            Err(Unreachable::Failed(error)) => return self.fail(model, node, b"", &error),
            Err(_) => {
                let tries = self.listed_late.get(&node).copied().unwrap_or(0);
                if tries < LISTINGS {
                    self.unlisted.push((node, model.entry(node).id, tries + 1));
                } else {
                    model.set(node, flag::UNSEEN);
                    self.displace(model, node);
                }
                return;
            }
        };
        match self.common.capture.register(&handle) {
            Ok(key) => {
                if let Some(old) = model.set_key(node, key) {
                    self.common.capture.forget(&old);
                }
            }
            Err(error) => return self.cannot_watch(model, node, &error),
        }
        // It may have been taken for one outside while it was on its way here.
        self.common.capture.looks().forget_ignored();
        model.set(node, flag::WALKED);
        model.clear(node, flag::UNSEEN);
        self.touched.insert(node);
        let (mut names, mut buffer) = (std::mem::take(&mut self.names), std::mem::take(&mut self.buffer));
        match sys::list_dir(&handle, &mut names, &mut buffer) {
            Ok(()) => {
                let ours: Vec<NodeId> = model.children(node).collect();
                if !ours.is_empty() {
                    let listed: HashSet<&[u8]> = names.iter().map(|(name, _)| name.to_bytes()).collect();
                    for child in ours {
                        if !listed.contains(model.name(child)) && !model.has(child, flag::PARKED) {
                            self.displace(model, child);
                        }
                    }
                }
                for (name, _) in names.iter() {
                    self.settle_name(model, node, &handle, name.to_bytes(), Change::LISTED, Told::default());
                }
            }
            // Removed since it was opened.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.fail(model, node, b"", &error),
        }
        (self.names, self.buffer) = (names, buffer);
    }

    /// Capture lost events: what they touched is looked at again.
    fn gap(&mut self, gap: Gap) {
        let common = Arc::clone(&self.common);
        let model = common.turn();
        match gap {
            Gap::Everything { why } => {
                tracing::warn!("Changes were missed ({why}): the source is compared with what was sent");
                for root in model.roots().to_vec() {
                    for node in model.all_below(root) {
                        if model.entry(node).kind == FileKind::Directory && model.has(node, flag::WALKED) {
                            self.scans.push((node, model.entry(node).id));
                        }
                    }
                }
            }
            Gap::FileSystem { number } => {
                for root in model.roots().to_vec() {
                    for node in model.all_below(root) {
                        if model.key(node).is_some_and(|key| key.file_system() == number) {
                            self.scans.push((node, model.entry(node).id));
                        }
                    }
                }
            }
            Gap::Directory { dir } => {
                if let Some(node) = model.by_key(&dir) {
                    self.scans.push((node, model.entry(node).id));
                }
            }
        }
    }

    /// A file system was mounted or unmounted somewhere: each root must still be the one that was connected, and what is
    /// mounted below one is looked at.
    fn mounts(&mut self) {
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        for root in model.roots().to_vec() {
            let (number, _) = model.path(root);
            if self.open_top(&model, number, root).is_err() {
                return;
            }
        }
        for point in self.common.mount_points() {
            for (number, place) in self.common.roots.clone() {
                let Ok(below) = point.strip_prefix(&place.path) else { continue };
                let Some(name) = below.file_name().map(|name| name.as_bytes().to_vec()) else { continue };
                let parent =
                    below.parent().map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default();
                if let Some(node) = model.at(number, &parent)
                    && model.has(node, flag::WALKED)
                    && let Ok(handle) = self.open_dir(&model, node)
                {
                    self.settle_name(&mut model, node, &handle, &name, Change::NAME, Told::default());
                }
            }
        }
        // A mount that ended leaves a directory whose device is no longer what it was.
        for root in model.roots().to_vec() {
            for node in model.all_below(root) {
                let parent = model.parent(node);
                if parent != NONE
                    && !model.has(node, flag::PARKED)
                    && model.entry(node).id.dev != model.entry(parent).id.dev
                    && let Ok(handle) = self.open_dir(&model, parent)
                {
                    let name = model.name(node).to_vec();
                    self.settle_name(&mut model, parent, &handle, &name, Change::NAME, Told::default());
                }
            }
        }
    }

    fn reason_to_leave_out(
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
    fn is_too_long(&self, model: &Model, dir: NodeId, name: &[u8]) -> bool {
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

    fn cannot_watch(&self, model: &Model, node: NodeId, error: &io::Error) {
        let shown = self.shown_node(model, node);
        tracing::warn!("{shown}: changes in it are not followed: {error}");
        self.common.shared.fail(&shown, &format!("changes in it are not followed: {error}"));
        self.common.shared.require_mirror(Some(format!("changes in {shown} are not followed: {error}")));
    }

    fn fail(&self, model: &Model, dir: NodeId, name: &[u8], error: &io::Error) {
        let shown = self.shown(model, dir, name);
        tracing::warn!("{shown}: it cannot be looked at on the source: {error}");
        self.common.shared.fail(&shown, &format!("it cannot be looked at on the source: {error}"));
    }

    fn shown(&self, model: &Model, dir: NodeId, name: &[u8]) -> String {
        let (root, path) = model.path(dir);
        let top = self.common.roots.get(&root).map(|place| place.path.clone()).unwrap_or_default();
        escape(source_path(&top, &path, name))
    }

    fn shown_node(&self, model: &Model, node: NodeId) -> String {
        if model.parent(node) == NONE {
            return self.shown(model, node, b"");
        }
        self.shown(model, model.parent(node), model.name(node))
    }

    /// Puts a record into the queue.
    fn log(&mut self, record: &Record<'_>, bytes: u64) {
        if let Record::Rename { at, from, .. } = record {
            let place = |at: &At<'_>| (at.root, super::super::folder::join(at.path, at.name));
            self.common.note_move(place(from), place(at));
        }
        self.record.clear();
        record.encode(&mut self.record);
        self.common.log(&self.record, bytes);
    }
}

/// The inode of a file without a name (`O_TMPFILE`), as the kernel names it in events.
fn unnamed_inode(name: &[u8]) -> Option<u64> {
    std::str::from_utf8(name.strip_prefix(b"#")?).ok()?.parse().ok()
}
