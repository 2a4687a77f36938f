//! The applier: reads operations, carries them out in order, answers failures.

use super::failure::{Explain, Failed, Failure, Trouble};
use super::file::OpenFile;
use super::held::{self, EntrySpot, Held, Key, Spot, Touches, touches};
use super::lately::Lately;
use super::meta::{Wanted, has_default_acl};
use super::outcry::Causes;
use super::place::{Place, Root, Way, gives_group};
use super::queue::{Backlog, Queued};
use super::sums::{Asked, Question, answer_all, open};
use super::{Amount, Broken, Policy, orphans, scan};
use crate::engine::link::{Frame, TargetEnd};
use crate::engine::stats::Standing;
use crate::sys;
use crate::wire::{Answer, FailureKind, Load, OWNERS, Op, Part, Patch, Reader, WireError};
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Files that may be begun and not ended at a time.
const OPEN_FILES_MAX: usize = 256;
/// Questions that wait.
const QUESTIONS: usize = 1024;
/// Descriptions that wait for the one under way.
const REQUESTS: usize = 16;

/// How often a target that does not wait for its source looks whether that is still there.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// The owner whose operations are held back and tried again when they fail.
pub(super) const REPLICATION: u8 = 1;

/// Serves one source until it closes its end.
pub fn serve(end: TargetEnd, policy: Policy) -> Result<(), Broken> {
    Applier::new(end, policy).serve()
}

pub(super) struct Applier {
    pub(super) wanted: Wanted,
    pub(super) end: TargetEnd,
    pub(super) policy: Policy,
    /// It was told what it is about.
    begun: bool,
    /// A root is one name of a directory, and the source may have no other.
    one_name: bool,
    /// The source was found to have gone while operations were waiting.
    pub(super) gone: bool,
    /// Whose the present operations are.
    pub(super) who: u8,
    pub(super) roots: Vec<Root>,
    pub(super) here: Here,
    pub(super) files: HashMap<u64, OpenFile>,
    pub(super) lately: Lately,
    pub(super) held: Held,
    /// Frames that wait as too much is held.
    pub(super) backlog: Backlog,
    /// Operations of the present frame that wait with them.
    pub(super) in_hand: u64,
    /// The source sends nothing more.
    pub(super) ended: bool,
    /// When the held operations that failed are tried again.
    pub(super) next_try: Instant,
    /// The number of held operations that was told last, and whether they are tried again for long.
    pub(super) told: (u32, bool),
    /// What was told last of the queue, and when.
    pub(super) told_queue: (Queued, Instant),
    /// The run over orphans that has begun.
    pub(super) run: Option<orphans::Run>,
    /// Tasks that were run when they came, before their turn.
    pub(super) received: HashSet<u64>,
    /// The file to copy a range from, of an operation that was held back.
    pub(super) local: Option<Arc<File>>,
    /// Causes of held operations that administrators were told.
    pub(super) causes: Causes,
    /// Bytes of content that were dealt with and not answered yet, by owner.
    pub(super) bytes: [u64; OWNERS],
    /// The same of operations, and of their bytes as they came.
    pub(super) loads: [Load; OWNERS],
    /// What of the present frame was taken up and is not in the statistics yet.
    taken: [Load; OWNERS],
    /// The present frame did not wait, and so is not counted yet.
    is_new: bool,
    /// Whose the first operations of the next frame are that is put aside.
    pub(super) receiving: u8,
    /// What it has in hand, for the statistics.
    pub(super) standing: Arc<Standing>,
    questions: Option<SyncSender<Question>>,
    requests: Option<SyncSender<scan::Request>>,
    threads: Vec<JoinHandle<()>>,
    #[cfg(test)]
    pub(super) obstacle: Option<super::tests::Obstacle>,
}

/// What has become of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It is dealt with, well or not.
    Out,
    /// It is held back.
    Later,
}

/// The directory that operations are about.
pub(super) enum Here {
    In {
        place: Arc<Place>,
        make: bool,
    },
    /// It could not be entered: an errno. `later`: it is tried again by each operation about it.
    Out {
        spot: Spot,
        errno: i32,
        later: bool,
    },
}

impl Here {
    pub(super) fn at(&self) -> (u16, &[u8]) {
        match self {
            Here::In { place, .. } => (place.root, &place.path),
            Here::Out { spot, .. } => (spot.root, &spot.path),
        }
    }

    pub(super) fn spot(&self) -> Spot {
        match self {
            Here::In { place, make } => Spot { root: place.root, path: place.path.clone(), make: *make },
            Here::Out { spot, .. } => spot.clone(),
        }
    }

    /// A directory was moved to another root: `anew` gives the path of what was in it.
    pub(super) fn moved(&mut self, root: u16, anew: impl Fn(u16, &[u8]) -> Option<Vec<u8>>) {
        let (old_root, path) = self.at();
        if let Some(path) = anew(old_root, path) {
            match self {
                Here::In { place, .. } => *place = Arc::new(Place { root, path, ..Place::clone(place) }),
                Here::Out { spot, .. } => (spot.root, spot.path) = (root, path),
            }
        }
    }
}

impl Applier {
    pub(super) fn new(end: TargetEnd, policy: Policy) -> Self {
        let standing = policy.counts.begins();
        Applier {
            wanted: Wanted { attributes: true, xattrs: true, root: sys::is_root(), umask: sys::umask() },
            backlog: Backlog::new(&policy, end.frames.clone()),
            end,
            policy,
            begun: false,
            one_name: false,
            gone: false,
            who: 0,
            roots: Vec::new(),
            here: Here::Out {
                spot: Spot { root: 0, path: Vec::new(), make: false },
                errno: libc::ENOENT,
                later: false,
            },
            files: HashMap::new(),
            lately: Lately::default(),
            held: Held::default(),
            in_hand: 0,
            ended: false,
            next_try: Instant::now(),
            told: (0, false),
            told_queue: (Queued::default(), Instant::now()),
            run: None,
            causes: Causes::default(),
            received: HashSet::new(),
            local: None,
            bytes: [0; OWNERS],
            loads: [Load::default(); OWNERS],
            taken: [Load::default(); OWNERS],
            is_new: false,
            receiving: 0,
            standing,
            questions: None,
            requests: None,
            threads: Vec::new(),
            #[cfg(test)]
            obstacle: None,
        }
    }

    pub(super) fn serve(mut self) -> Result<(), Broken> {
        let served = self.run_all();
        self.show_taken();
        self.end_orphans();
        // The helpers end when their channels do.
        (self.questions, self.requests) = (None, None);
        let Applier { end, threads, .. } = self;
        drop(end);
        for thread in threads {
            // A panic there has been reported by the runtime, and the source misses its answers.
            let _ = thread.join();
        }
        served
    }

    fn run_all(&mut self) -> Result<(), Broken> {
        while let Some(frame) = self.next_frame()? {
            let mut reader = Reader::new(&frame);
            while !reader.is_empty() {
                if self.is_cut() {
                    return Ok(());
                }
                let at = frame.len() - reader.remaining();
                let op = Op::decode(&mut reader)?;
                if !self.held.is_empty() {
                    self.before_next(&frame[at..])?;
                }
                self.backlog.passes(&op);
                let load = Load::of(&op, frame.len() - at - reader.remaining());
                if let Op::Task(_) = op {
                    // While it runs, frames are put aside.
                    self.foresee(&frame[frame.len() - reader.remaining()..]);
                }
                let carried = self.step(&op)?;
                let who = usize::from(self.who);
                if self.is_new {
                    self.taken[who] += load;
                }
                if carried == Carried::Out {
                    self.loads[who] += load;
                }
            }
            self.end.frames.give(frame);
            self.answer_bytes();
            self.settle_held();
            if !self.lately.is_empty() {
                self.lately.close(Instant::now());
            }
        }
        if !self.is_cut() {
            self.last_try()?;
        }
        Ok(())
    }

    pub(super) fn is_cut(&self) -> bool {
        self.gone || self.end.cut.is_cut()
    }

    /// The next operations: those that waited, then those of the source. While nothing is held back and no file is open from
    /// before, they are waited for without ever waking up.
    fn next_frame(&mut self) -> Result<Option<Frame>, Broken> {
        while !self.backlog.is_empty() && !self.is_cut() {
            if let Some(frame) = self.backlog.pop(LOOK)? {
                self.is_new = false;
                return Ok(Some(frame));
            }
            if !self.held.is_empty() && Instant::now() >= self.next_try {
                self.try_again()?;
            }
        }
        if self.ended || self.gone {
            return Ok(None);
        }
        self.is_new = true;
        loop {
            let try_at = (!self.held.is_empty()).then_some(self.next_try);
            let Some(due) = [try_at, self.lately.due()].into_iter().flatten().min() else {
                self.show();
                return Ok(self.end.ops.recv().ok());
            };
            match self.end.ops.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(frame) => return Ok(Some(frame)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    if self.is_cut() {
                        return Ok(None);
                    }
                    let now = Instant::now();
                    self.lately.close(now);
                    self.show();
                    if !self.held.is_empty() && now >= self.next_try {
                        self.try_again()?;
                    }
                }
            }
        }
    }

    /// A frame that is put aside is counted when it comes.
    pub(super) fn count_received(&mut self, frame: &[u8]) -> Result<(), WireError> {
        self.policy.counts.takes(Load::of_frame(frame, &mut self.receiving)?);
        Ok(())
    }

    /// Frames may be put aside now. `rest`: the operations of the present one that are still to come; whose the last of them is,
    /// the next frame begins with.
    pub(super) fn foresee(&mut self, rest: &[u8]) {
        if self.backlog.is_empty() {
            self.receiving = self.who;
            // What cannot be read is met when its turn comes.
            let _ = Load::of_frame(rest, &mut self.receiving);
        }
    }

    /// For the statistics: what is in hand now.
    pub(super) fn show(&self) {
        let Queued { operations, memory, disk } = self.queued();
        let handles = (self.files.len() + self.lately.len()) as u64;
        self.standing.set(Amount { operations, memory, disk, handles });
    }

    /// Carries one operation out, or holds it back.
    fn step(&mut self, op: &Op<'_>) -> Result<Carried, WireError> {
        if self.one_name {
            self.refuse_other_names(op)?;
        }
        let content = match op {
            Op::By { who } => {
                self.who = *who;
                return Ok(Carried::Out);
            }
            Op::Begin { attributes, xattrs, scan, roots } => {
                return self.begin(*attributes, *xattrs, *scan, roots).map(|()| Carried::Out);
            }
            Op::Scan { parts } => return self.scan(parts).map(|()| Carried::Out),
            Op::Task(order) => return self.task(order).map(|()| Carried::Out),
            Op::Orphans(step) => {
                self.orphans(*step);
                return Ok(Carried::Out);
            }
            Op::Question { question, name, block, here } => {
                let touched = if self.held.is_empty() { Touches::new() } else { self.touches(op) };
                let waits = self.held.blocker(&touched, u64::MAX).is_some();
                return self.question(*question, name, *block, *here, waits).map(|()| Carried::Out);
            }
            Op::Barrier { barrier } => {
                // Who hears of a barrier has heard of all before it.
                self.answer_bytes();
                self.release_barriers();
                if self.who != REPLICATION || !self.held.hold_barrier(*barrier) {
                    self.answer(&Answer::Reached { barrier: *barrier });
                }
                return Ok(Carried::Out);
            }
            Op::FileBegin { file, .. } => {
                let known = self.files.contains_key(file) || self.held.files.contains_key(file);
                // One that is held back may be ended already, as its source sees it.
                let most = OPEN_FILES_MAX + if self.held.is_empty() { 0 } else { held::OPEN_MAX };
                if self.files.len() >= most || known {
                    return Err(WireError::Invalid("file's number"));
                }
                0
            }
            Op::Put { content, .. } => content.len() as u64,
            Op::FileWrite { patch: Patch::Bytes(bytes), .. } => bytes.len() as u64,
            Op::FileWrite { patch: Patch::Local(len), .. } => *len,
            _ => 0,
        };
        if !self.held.is_empty() {
            if let Op::SetDirMeta { .. } = op
                && self.who == REPLICATION
            {
                let (root, path) = self.here.at();
                self.held.supersede(&Key::new(root, path, b""));
            }
            let touched = self.touches(op);
            // In a directory that was not there it fails, even if that should be made while it waited.
            let fails = held::is_here(op) && matches!(self.here, Here::Out { later: false, .. });
            if !fails && let Some(blocker) = self.held.blocker(&touched, u64::MAX) {
                if self.who == REPLICATION {
                    return Ok(self.hold(op, touched, content, Some(blocker), None));
                }
                // What only asks or gives up needs no order.
                if !matches!(op, Op::FileAsk { .. } | Op::FileDrop { .. }) {
                    self.refuse_for_held(op);
                    self.bytes[usize::from(self.who)] += content;
                    return Ok(Carried::Out);
                }
            }
        }
        match self.apply(op) {
            Ok(()) => {}
            Err(Trouble::Wire(error)) => return Err(error),
            Err(Trouble::Failed(failed)) => {
                if self.who == REPLICATION && failed.failure.may_pass() {
                    let touched = self.touches(op);
                    return Ok(self.hold(op, touched, content, None, Some(failed)));
                }
                self.give_up(op, &failed);
            }
        }
        self.bytes[usize::from(self.who)] += content;
        Ok(Carried::Out)
    }

    /// A source on another machine that was granted one name of a directory has no other there, nor the directory itself.
    fn refuse_other_names(&self, op: &Op<'_>) -> Result<(), WireError> {
        let outside = |root: u16, path: &[u8], name: &[u8]| {
            let only = self.roots.get(usize::from(root)).and_then(|root| root.only.as_deref());
            let first = path.split(|byte| *byte == b'/').next().filter(|first| !first.is_empty());
            only.is_some_and(|only| first.unwrap_or(name) != only)
        };
        let (root, path) = self.here.at();
        let refused = match op {
            Op::Enter { root, path, .. } => !path.is_empty() && outside(*root, path, b""),
            Op::Put { name, .. }
            | Op::FileBegin { name, .. }
            | Op::Symlink { name, .. }
            | Op::Node { name, .. }
            | Op::SetMeta { name, .. }
            | Op::Remove { name, .. }
            | Op::Question { name, .. } => outside(root, path, name),
            Op::Link { name, root: from_root, dir, from }
            | Op::Rename { name, root: from_root, dir, from } => {
                outside(root, path, name) || outside(*from_root, dir, from)
            }
            Op::Orphan(orphan) => outside(root, &orphans::join(path, orphan.dir), orphan.name),
            Op::SetDirMeta { .. } => outside(root, path, b""),
            // A file that was begun has passed here; the others name nothing below a root, or describe only what belongs.
            Op::FileWrite { .. }
            | Op::FileAsk { .. }
            | Op::FileEnd { .. }
            | Op::FileSet { .. }
            | Op::FileDrop { .. }
            | Op::Begin { .. }
            | Op::By { .. }
            | Op::Scan { .. }
            | Op::Task(_)
            | Op::Orphans(_)
            | Op::Barrier { .. } => false,
        };
        if refused { Err(WireError::Invalid("name: it was not granted")) } else { Ok(()) }
    }

    /// Which entry a begun file is.
    pub(super) fn file_spot(&self, file: u64) -> Option<EntrySpot> {
        if let Some(spot) = self.held.files.get(&file) {
            return Some(spot.clone());
        }
        let open = self.files.get(&file)?;
        let (root, path) = (open.place.root, open.place.path.clone());
        Some(EntrySpot { root, path, name: open.name.to_bytes().to_vec() })
    }

    pub(super) fn touches(&self, op: &Op<'_>) -> Touches {
        let file = |file| self.file_spot(file).map(|spot| Key::new(spot.root, &spot.path, &spot.name));
        touches(op, self.here.at(), file)
    }

    /// Carries out an operation that failed before or is new. Nothing is answered here but `Written`.
    pub(super) fn apply(&mut self, op: &Op<'_>) -> Result<(), Trouble> {
        #[cfg(test)]
        self.meet_obstacle(op)?;
        match op {
            Op::Enter { root, path, make } => self.enter(*root, path, *make),
            Op::FileBegin { file, name, mode } => {
                let (place, c_name) = self.at(name)?;
                let open = if self.lately.is_empty() {
                    None
                } else {
                    self.lately.take(place.id, &place.dir, &c_name)
                };
                match OpenFile::begin(Arc::clone(&place), c_name, *mode, open) {
                    Ok(open) => {
                        self.files.insert(*file, open);
                        Ok(())
                    }
                    Err(error) => {
                        let mut failure = Failure::new("create the file", &error);
                        if *mode != crate::wire::FileMode::Whole {
                            failure = failure.or_missing();
                        }
                        Err(failure.about(place.root, &place.path, name))
                    }
                }
            }
            Op::FileWrite { file, offset, patch } => {
                let local = self.local.take();
                let local = local.or_else(|| self.end.local.as_ref().and_then(|local| local.get(*file)));
                let Some(open) = self.files.get_mut(file) else { return Ok(()) };
                open.write(*offset, *patch, local.as_deref())
                    .or_say("write the file")
                    .map_err(|failure| failure.about(open.place.root, &open.place.path, open.name.to_bytes()))
            }
            Op::FileAsk { file } => {
                self.answer(&Answer::Written { file: *file });
                Ok(())
            }
            Op::FileEnd { file, length, meta, xattrs } => {
                let Some(open) = self.files.get_mut(file) else {
                    self.held.forget_file(*file);
                    return Ok(());
                };
                let ended = open.end(&self.wanted, *length, meta, xattrs).or_say("finish the file");
                let changed = ended.map_err(|failure| {
                    failure.about(open.place.root, &open.place.path, open.name.to_bytes())
                })?;
                self.close_file(*file, changed);
                Ok(())
            }
            Op::FileSet { file, length, meta, xattrs } => {
                let Some(open) = self.files.get_mut(file) else { return Ok(()) };
                let set = open
                    .set(&self.wanted, *length, meta, xattrs)
                    .or_say("set the file's length and attributes");
                set.map_err(|failure| {
                    failure.about(open.place.root, &open.place.path, open.name.to_bytes())
                })?;
                Ok(())
            }
            Op::FileDrop { file } => {
                self.close_file(*file, None);
                Ok(())
            }
            Op::SetDirMeta { meta, xattrs } => {
                let place = match self.at(b".") {
                    Ok((place, _)) => place,
                    // That it could not be entered was answered then.
                    Err(_) if matches!(self.here, Here::Out { later: false, .. }) => return Ok(()),
                    Err(Trouble::Failed(mut failed)) => {
                        failed.name.clear();
                        return Err(Trouble::Failed(failed));
                    }
                    Err(error) => return Err(error),
                };
                self.wanted
                    .set_dir(&place.dir, meta, xattrs)
                    .or_say("set the attributes")
                    .map_err(|failure| failure.about(place.root, &place.path, b""))?;
                if let Here::In { place, .. } = &mut self.here {
                    // What is made in it from now on may find what it did not have when it was entered.
                    let default_acl = place.default_acl || has_default_acl(xattrs);
                    let set_gid = place.set_gid || gives_group(meta);
                    if (default_acl, set_gid) != (place.default_acl, place.set_gid) {
                        *place = Arc::new(Place { default_acl, set_gid, ..Place::clone(place) });
                    }
                }
                Ok(())
            }
            Op::Orphan(orphan) => self.orphan(orphan),
            named => self.named(named),
        }
    }

    fn enter(&mut self, root: u16, path: &[u8], make: bool) -> Result<(), Trouble> {
        let Some(top) = self.roots.get_mut(usize::from(root)) else {
            return Err(WireError::Invalid("root's number").into());
        };
        let mut cleared = None;
        let mut tell = |holder: &[u8], name: &CStr| cleared = Some((holder.to_vec(), name.to_owned()));
        let mut way = match make {
            false => Way::Found,
            // A mirror clears what it has seen in the way; replication knows that the source has a directory there.
            true if self.who == REPLICATION => Way::Cleared(&mut tell),
            true => Way::Made,
        };
        let entered = Place::enter(top, root, path, &mut way);
        if let Some((holder, name)) = cleared {
            // The source took the directory for one that is there, with all that it has in it.
            let failure = Failure::of_errno("find the directory", libc::ENOTDIR);
            let name = name.to_bytes().to_vec();
            self.answer_failed(&Failed { failure, root, path: holder, name });
        }
        match entered {
            Ok(place) => {
                self.here = Here::In { place: Arc::new(place), make };
                Ok(())
            }
            Err(error) => {
                let mut failure = Failure::new("open or make the directory", &error);
                if path.is_empty() && matches!(failure.kind, FailureKind::One | FailureKind::Mismatch) {
                    failure.kind = FailureKind::Root;
                }
                let spot = Spot { root, path: path.to_vec(), make };
                self.here = Here::Out { spot, errno: libc::ENOENT, later: false };
                Err(failure.about(root, path, b""))
            }
        }
    }

    /// The file is no longer under way. `changed`: one that replication changed in place, to stay open for a while.
    fn close_file(&mut self, file: u64, changed: Option<File>) {
        self.held.forget_file(file);
        let Some(open) = self.files.remove(&file) else { return };
        match changed {
            Some(changed) if self.who == REPLICATION && !self.policy.close_delay.is_zero() => {
                if let Ok(stat) = sys::Stat::of(&changed) {
                    let until = Instant::now() + self.policy.close_delay;
                    self.lately.keep(open.place.id, open.name.clone(), stat.id(), changed, until);
                }
            }
            Some(_) => {}
            None if !self.lately.is_empty() => self.lately.forget(open.place.id, &open.name),
            None => {}
        }
    }

    /// Answers that an operation failed for good, and forgets what it leaves behind.
    pub(super) fn give_up(&mut self, op: &Op<'_>, failed: &Failed) {
        self.policy.counts.dropped.fetch_add(1, Relaxed);
        self.answer_failed(failed);
        match op {
            Op::FileBegin { file, name, .. } => {
                if let (Here::In { place, .. }, Ok(name)) = (&self.here, sys::c_string(name)) {
                    self.files.insert(*file, OpenFile::failed(Arc::clone(place), name));
                }
            }
            Op::FileWrite { file, .. } => {
                if let Some(open) = self.files.get_mut(file) {
                    open.fail();
                }
            }
            Op::FileEnd { file, .. } => self.close_file(*file, None),
            _ => {}
        }
    }

    fn begin(
        &mut self,
        attributes: bool,
        xattrs: bool,
        scan: bool,
        roots: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), WireError> {
        if std::mem::replace(&mut self.begun, true) {
            return Err(WireError::Invalid("second beginning"));
        }
        self.wanted.attributes = attributes;
        self.wanted.xattrs = xattrs;
        let most = self.policy.confined.as_ref().map_or(usize::MAX, Vec::len);
        if roots.len() > most {
            return Err(WireError::Invalid("number of roots: so many were not granted"));
        }
        let opened = roots.iter().map(|(path, only)| Root::new(&self.policy, path, *only));
        self.roots = opened.collect::<Option<_>>().ok_or(WireError::Invalid("root: it was not granted"))?;
        self.one_name = self.policy.confined.is_some() && self.roots.iter().any(|root| root.only.is_some());
        if scan { self.scan(&[]) } else { Ok(()) }
    }

    /// Has directories described; none means all roots.
    fn scan(&mut self, parts: &[Part<'_>]) -> Result<(), WireError> {
        if parts.iter().any(|(root, ..)| usize::from(*root) >= self.roots.len()) {
            return Err(WireError::Invalid("root's number"));
        }
        let request = scan::Request {
            roots: self.roots.iter().map(Root::anew).collect(),
            parts: parts.iter().map(|(root, path, deep)| (*root, path.to_vec(), *deep)).collect(),
            who: self.who,
            detail: scan::Detail { xattrs: self.wanted.xattrs, root: self.wanted.root },
        };
        if self.requests.is_none() {
            let (sender, receiver) = sync_channel(REQUESTS);
            let (policy, listings, frames) =
                (self.policy.clone(), self.end.listings.clone(), self.end.frames.clone());
            self.threads.push(std::thread::spawn(move || {
                scan::describe_all(&receiver, &policy, &listings, &frames);
            }));
            self.requests = Some(sender);
        }
        match &self.requests {
            // Never waited for: who reads descriptions may be waiting for this applier.
            Some(requests) => {
                requests.try_send(request).map_err(|_| WireError::Invalid("number of descriptions at a time"))
            }
            None => Ok(()),
        }
    }

    pub(super) fn root(&mut self, number: u16) -> Result<&mut Root, WireError> {
        self.roots.get_mut(usize::from(number)).ok_or(WireError::Invalid("root's number"))
    }

    /// The present directory and the name as a C string.
    pub(super) fn at(&mut self, name: &[u8]) -> Result<(Arc<Place>, CString), Trouble> {
        if let Here::Out { spot, later: true, .. } = &self.here {
            let spot = spot.clone();
            let entered = self.enter(spot.root, &spot.path, spot.make);
            if let Err(Trouble::Failed(failed)) = entered {
                let Failure { errno, .. } = failed.failure;
                let errno = if failed.failure.may_pass() { errno } else { libc::ENOENT };
                self.here = Here::Out { spot, errno, later: true };
            }
        }
        match &self.here {
            Here::In { place, .. } => {
                let c_name = sys::c_string(name).map_err(|_| WireError::Invalid("name"))?;
                Ok((Arc::clone(place), c_name))
            }
            Here::Out { spot, errno, .. } => {
                Err(Failure::of_errno("reach its directory", *errno).about(spot.root, &spot.path, name))
            }
        }
    }

    fn question(
        &mut self,
        question: u64,
        name: &[u8],
        block: u32,
        here: bool,
        waits: bool,
    ) -> Result<(), WireError> {
        let at = match self.at(name) {
            Ok(_) if waits => Err(libc::EBUSY),
            // A mirror's many questions need no descriptors while they wait; what replication moves meanwhile is its own.
            Ok((place, name)) if self.who != REPLICATION => Ok(Asked::Named(place, name)),
            Ok((place, name)) => match open(&place, &name) {
                Ok(file) => Ok(Asked::Open(file)),
                Err(error) => Err(error.raw_os_error().unwrap_or(libc::EIO)),
            },
            Err(Trouble::Wire(error)) => return Err(error),
            // A directory that could not be entered: its answer still keeps its turn.
            Err(Trouble::Failed(failed)) => Err(failed.failure.errno),
        };
        let local = if here { self.end.local.clone() } else { None };
        let asked = Question { question, at, block: block as usize, local };
        if self.questions.is_none() {
            let (sender, receiver) = sync_channel(QUESTIONS);
            let (sums, frames) = (self.end.sums.clone(), self.end.frames.clone());
            self.threads.push(std::thread::spawn(move || answer_all(&receiver, &sums, &frames)));
            self.questions = Some(sender);
        }
        if let Some(questions) = &self.questions {
            // It only ends when the source no longer listens.
            let _ = questions.send(asked);
        }
        Ok(())
    }

    pub(super) fn answer_failed(&self, failed: &Failed) {
        let Failed { failure, root, path, name } = failed;
        let Failure { what, kind, errno, .. } = *failure;
        let (who, root) = (self.who, *root);
        self.answer(&Answer::Failed { who, kind, errno, root, path, name, what: what.as_bytes() });
    }

    /// Answers the bytes that were dealt with since the last time.
    pub(super) fn answer_bytes(&mut self) {
        // First: what is acknowledged was received.
        self.show_taken();
        let done = std::mem::take(&mut self.bytes).into_iter().zip(std::mem::take(&mut self.loads));
        for (who, (bytes, load)) in (0..).zip(done).filter(|(_, (_, load))| *load != Load::default()) {
            self.answer(&Answer::Applied { who, bytes, load });
        }
    }

    fn show_taken(&mut self) {
        self.policy.counts.takes(std::mem::take(&mut self.taken));
    }

    /// False when the source has gone, and needs no answer.
    pub(super) fn answer(&self, answer: &Answer<'_>) -> bool {
        let mut frame = Vec::with_capacity(32);
        answer.encode(&mut frame);
        self.end.results.send(frame).is_ok()
    }
}
