//! Orphans: what the target's copy has and the source has not (ORP-01). Found in the target's description beside a walk of the source, at
//! any depth, within the rules (ORP-11) and of the age that the target says (ORP-09); named to the target, which deals with them,
//! within the mass-deletion guard. A preview and a removal name the same ones (ORP-04).

use super::Way;
use super::folder::{Folder, join};
use super::listing::TargetEntry;
use super::walk::Visit;
use crate::api::{ApiError, Code};
use crate::engine::connection::BEAT;
use crate::engine::job::{JobPlan, JobShared, Sink};
use crate::engine::repset::{DirDecision, DirRules};
use crate::sys::FileKind;
use crate::wire::{Answer, Op, OrphanStep, OrphanTerms, Reader};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;

/// The guard lets so few removals pass whatever their share is.
const GUARD_FLOOR: u64 = 10;

/// What is remembered of the target takes so many bytes at most: a target may describe more than it has.
const ROOM: usize = 512 << 20;
/// About what an allocation, or a place in a table, takes beside its content.
const EACH: usize = 48;

/// One thing that only the target has.
pub(super) struct Orphan {
    /// The directory of the source that it is in, or that holds what it is in.
    pub folder: Arc<Folder>,
    /// The directories between that only the target has, joined by `/`.
    pub below: Arc<[u8]>,
    pub name: Box<[u8]>,
    pub kind: FileKind,
    pub mtime: (i64, u32),
    /// It has left the source, and replication could not tell the target.
    pub left: bool,
    /// The source has something else under the name of the uppermost.
    pub replaced: bool,
}

impl Orphan {
    /// The name in the source's directory: as long as the source has nothing there, what is below it is an orphan.
    pub(super) fn top(&self) -> &[u8] {
        self.below.split(|byte| *byte == b'/').next().filter(|top| !top.is_empty()).unwrap_or(&self.name)
    }

    fn place(&self) -> (u16, Vec<u8>) {
        (self.folder.root, join(&join(&self.folder.path, &self.below), &self.name))
    }
}

/// A directory that only the target has: what is in it is looked at one by one.
pub(super) struct Stray {
    folder: Arc<Folder>,
    below: Arc<[u8]>,
    rules: DirRules,
    replaced: bool,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Orphans {
    list: Vec<Orphan>,
    /// Directories that only the target has, by root and path, whose description is still to come.
    strays: HashMap<(u16, Vec<u8>), Arc<Stray>>,
    /// Those of them in which something stays.
    kept: HashSet<(u16, Vec<u8>)>,
    /// The entries of the roots that have something that stays in them, or are it: a CLEAN takes none of them whole.
    staying: HashMap<u16, HashSet<Box<[u8]>>>,
    /// They are looked for.
    pub wanted: bool,
    /// Only entries that were not modified since then, in seconds since 1970 (ORP-09).
    before: Option<i64>,
    /// Removed in earlier passes; and all that the target's copy had at the first.
    removed: u64,
    pub entries: u64,
    /// Bytes that what was found takes, and may take.
    used: usize,
    room: usize,
    /// Those that were named in this job, by their hash, which takes little: one that is named again counts once.
    named: HashSet<u64>,
    hasher: RandomState,
    /// Entries of directories of the source that were described once more, as something in them had changed.
    described_again: HashSet<(u16, Vec<u8>)>,
}

impl Orphans {
    pub(super) fn new(wanted: bool, terms: OrphanTerms) -> Self {
        Self { wanted, before: terms.before, room: ROOM, ..Self::default() }
    }

    /// An entry that only the target has, in a directory that both have. True: it is to go itself, if nothing in it stays.
    /// `replaced`: the source has something else under its name.
    pub(super) fn meet(&mut self, visit: &Visit<'_>, theirs: &TargetEntry, replaced: bool) -> bool {
        let Some(rules) = visit.rules.filter(|_| self.wanted) else { return false };
        let folder = Arc::clone(visit.folder);
        if visit.others.binary_search(&theirs.name).is_ok() {
            self.stays(&folder, b"", &theirs.name);
            return false;
        }
        let here = Stray { folder, below: Arc::default(), rules: rules.clone(), replaced };
        self.consider(&here, theirs)
    }

    /// The directory that comes next in the description, if only the target has it and it is looked at.
    pub(super) fn stray(&mut self, root: u16, path: &[u8]) -> Option<Arc<Stray>> {
        if self.strays.is_empty() {
            return None;
        }
        self.strays.remove(&(root, path.to_vec()))
    }

    /// Those that were met and not described: a mirror that looks at a part again has single directories described.
    pub(super) fn undescribed(&self) -> Vec<(u16, Vec<u8>)> {
        self.strays.keys().cloned().collect()
    }

    /// An entry of such a directory.
    pub(super) fn meet_in(&mut self, stray: &Stray, theirs: &TargetEntry) {
        if !self.consider(stray, theirs) {
            self.keep(stray);
        }
    }

    /// More is remembered: that much. False: there is no room for it.
    fn takes(&mut self, bytes: usize) -> bool {
        self.used = self.used.saturating_add(bytes);
        !self.is_full()
    }

    /// More was found than may be remembered. Nothing is to be removed then.
    pub(super) fn is_full(&self) -> bool {
        self.used > self.room
    }

    /// What is said then.
    pub(super) fn overflow(&self) -> Option<ApiError> {
        let message = || {
            format!(
                "the target's copy has more that the source has not than is looked at in one run ({} MiB of names): nothing was removed",
                self.room >> 20
            )
        };
        let help = "look whether the source is complete, and the target what it should be; if both are, remove some of it on the target \
                    by hand, or divide the set among connections";
        self.is_full().then(|| ApiError::new(Code::UnknownError, message()).help(help))
    }

    fn consider(&mut self, at: &Stray, theirs: &TargetEntry) -> bool {
        if !self.takes(size_of::<Orphan>() + theirs.name.len() + EACH) {
            return false;
        }
        let goes = if theirs.kind == FileKind::Directory {
            match at.rules.dir(&theirs.name) {
                DirDecision::Skip => false,
                DirDecision::Enter { included, rules } => {
                    let goes = at.rules.is_orphan_dir(included, &rules);
                    let below: Arc<[u8]> = join(&at.below, &theirs.name).into();
                    let place = (at.folder.root, join(&at.folder.path, &below));
                    // It is remembered by its path here and where something in it stays, and by what is below it.
                    self.takes(size_of::<Stray>() + 2 * place.1.len() + below.len() + 4 * EACH);
                    let folder = Arc::clone(&at.folder);
                    self.strays
                        .insert(place, Arc::new(Stray { folder, below, rules, replaced: at.replaced }));
                    goes
                }
            }
        } else {
            at.rules.is_orphan(&theirs.name)
        };
        if !goes || !self.is_old(theirs) {
            self.stays(&at.folder, &at.below, &theirs.name);
            return false;
        }
        self.list.push(Orphan {
            folder: Arc::clone(&at.folder),
            below: Arc::clone(&at.below),
            name: theirs.name.as_slice().into(),
            kind: theirs.kind,
            mtime: theirs.meta.mtime,
            left: false,
            replaced: at.replaced,
        });
        true
    }

    /// Something in that directory stays, so it does, and those that hold it.
    fn keep(&mut self, stray: &Stray) {
        let mut below = &stray.below[..];
        while !below.is_empty() && self.kept.insert((stray.folder.root, join(&stray.folder.path, below))) {
            below = super::folder::split(below).0;
        }
    }

    /// This is on the target, and is to stay there.
    fn stays(&mut self, folder: &Folder, below: &[u8], name: &[u8]) {
        let first = |path: &[u8]| path.split(|byte| *byte == b'/').next().map(<[u8]>::to_vec);
        let parts = [&folder.path[..], below, name];
        let Some(top) = parts.into_iter().find(|part| !part.is_empty()).and_then(first) else { return };
        let tops = self.staying.entry(folder.root).or_default();
        if !tops.contains(&top[..]) {
            tops.insert(top.into());
        }
    }

    /// Nothing at or below this entry of a root is to stay: it may go whole.
    pub(super) fn goes_whole(&self, root: u16, top: &[u8]) -> bool {
        self.staying.get(&root).is_none_or(|tops| !tops.contains(top))
    }

    /// An entry that only the target has, as it has left the source unseen by the target. It goes as replication removes: whether
    /// orphans are looked for or not, and however old it is. True: so it is.
    pub(super) fn left(&mut self, folder: &Arc<Folder>, rules: &DirRules, theirs: &TargetEntry) -> bool {
        let belongs = if theirs.kind == FileKind::Directory {
            matches!(rules.dir(&theirs.name), DirDecision::Enter { rules, .. } if rules.everything())
        } else {
            rules.file(&theirs.name)
        };
        if belongs {
            self.list.push(Orphan {
                folder: Arc::clone(folder),
                below: Arc::default(),
                name: theirs.name.as_slice().into(),
                kind: theirs.kind,
                mtime: theirs.meta.mtime,
                left: true,
                replaced: false,
            });
        }
        belongs
    }

    fn is_old(&self, theirs: &TargetEntry) -> bool {
        self.before.is_none_or(|before| theirs.meta.mtime.0 < before)
    }

    /// Forgets what directories it has met: another description follows.
    pub(super) fn again(&mut self) {
        self.strays.clear();
        self.kept.clear();
        self.staying.clear();
    }

    /// May this entry of a directory of the source be described once more? It may once.
    pub(super) fn describes_again(&mut self, folder: &Folder, top: &[u8]) -> bool {
        self.described_again.insert((folder.root, join(&folder.path, top)))
    }

    pub(super) fn len(&self) -> u64 {
        self.list.len() as u64
    }

    /// Nothing was found, and nothing is still to be described.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.strays.is_empty()
    }

    /// Takes out all that were found, what is in a directory before it. The error: more than the guard lets pass.
    pub(super) fn take(&mut self, plan: &JobPlan, entries: u64) -> (Vec<Orphan>, Option<ApiError>) {
        let list = self.taken();
        self.entries = self.entries.max(entries);
        (list, guard(plan, self.removed, self.entries))
    }

    fn taken(&mut self) -> Vec<Orphan> {
        let mut list = std::mem::take(&mut self.list);
        self.used = 0;
        list.retain(|orphan| orphan.kind != FileKind::Directory || !self.kept.contains(&orphan.place()));
        // A directory was met before what is in it.
        list.reverse();
        for orphan in list.iter().filter(|orphan| !orphan.left) {
            self.removed += u64::from(self.named.insert(self.hasher.hash_one(orphan.place())));
        }
        self.again();
        list
    }
}

/// The mass-deletion guard (X): more than the set share of the target's copy is not removed without a person.
pub(super) fn guard(plan: &JobPlan, removed: u64, entries: u64) -> Option<ApiError> {
    let percent = u64::from(plan.settings.orphans.guard_percent);
    let passes = match percent {
        // Everything waits for a person.
        0 => removed == 0,
        1..100 => removed < GUARD_FLOOR || removed * 100 <= entries * percent,
        _ => true,
    };
    if passes {
        return None;
    }
    let message = format!(
        "the mass-deletion guard stopped this: {removed} of the {entries} entries of the target's copy would be removed, \
         more than {percent} percent"
    );
    Some(ApiError::new(Code::UnknownError, message).help(
        "look whether the source is complete; if all is as it should be, SET MassDeletionGuard = 100 and do it again",
    ))
}

/// Asks the target how it deals with orphans at the moment. `switch_on`: a person wants them to be removed. None: a stop was asked for, or
/// the target has ended.
pub(super) fn terms(plan: &JobPlan, shared: &JobShared, way: &Way, switch_on: bool) -> Option<OrphanTerms> {
    if plan.sink == Sink::Null {
        return Some(OrphanTerms::default());
    }
    {
        let mut emit = way.emitter.lock();
        emit.push(&Op::Orphans(OrphanStep::Ask { switch_on })).and_then(|()| emit.flush()).ok()?;
    }
    loop {
        match way.results.recv_timeout(BEAT) {
            Ok(frame) => {
                if let Ok(Answer::OrphanTerms(terms)) = Answer::decode(&mut Reader::new(&frame)) {
                    return Some(terms);
                }
                // What is left of an earlier job says nothing to this one.
            }
            Err(RecvTimeoutError::Timeout) if shared.stopped() => return None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::listing::Listing;
    use super::*;
    use crate::engine::link::{Frame, FramePool};
    use crate::engine::source::folder::OwnMeta;
    use crate::sys::{Meta, Stat, Xattrs};
    use crate::wire::Described;
    use std::sync::mpsc::sync_channel;

    const META: Meta = Meta { mode: 0o755, uid: 0, gid: 0, mtime: (1, 0) };

    fn folder() -> Arc<Folder> {
        let here = crate::sys::Dir::open_root(std::path::Path::new("/")).unwrap();
        Folder::new(0, Vec::new(), &Stat::of(&here).unwrap(), Xattrs::default(), None, OwnMeta::Always)
    }

    fn here() -> Stray {
        let root = crate::api::Rule { path: "/set".to_owned(), include: true, recursive: true };
        let rules = crate::engine::repset::RuleSet::new(vec![root]);
        let DirDecision::Enter { rules, .. } = rules.enter(std::path::Path::new("/set")) else { panic!() };
        Stray { folder: folder(), below: Arc::default(), rules, replaced: false }
    }

    fn entry(name: &str, kind: FileKind) -> TargetEntry {
        TargetEntry { name: name.into(), kind, meta: META, ..TargetEntry::empty() }
    }

    fn orphans(room: usize) -> Orphans {
        Orphans { room, ..Orphans::new(true, OrphanTerms::default()) }
    }

    /// A target can describe entries without end.
    #[test]
    fn a_description_without_end_ends_the_run_and_not_the_memory() {
        let mut orphans = orphans(1 << 20);
        assert!(orphans.consider(&here(), &entry("endless", FileKind::Directory)));
        let (frames, frames_in) = sync_channel(1);
        let mut frame = Frame::new();
        Answer::Directory { root: 0, path: b"endless", meta: META, xattrs: [0; 16] }.encode(&mut frame);
        let told = std::thread::spawn(move || {
            let mut sent = 0;
            while frames.send(std::mem::take(&mut frame)).is_ok() {
                sent += 1;
                assert!(sent < 1000, "it is never enough");
                for number in 0..100 {
                    Answer::Entry(Described {
                        name: format!("{sent}-{number}").as_bytes(),
                        kind: FileKind::File,
                        meta: META,
                        size: 0,
                        shared: None,
                        rdev: 0,
                        xattrs: [0; 16],
                        text: b"",
                    })
                    .encode(&mut frame);
                }
            }
        });
        let mut listing = Listing::new(Some(frames_in.into()), FramePool::default());
        assert!(listing.finish(&mut orphans).is_err());
        drop(listing);
        told.join().unwrap();
        assert!(orphans.len() < (1 << 20) / 64);
        assert!(orphans.overflow().is_some_and(|refusal| refusal.message.contains("nothing was removed")));
    }

    /// What a pass could not remove the next one names again.
    #[test]
    fn what_is_named_again_counts_once_and_is_described_again_once() {
        let mut orphans = orphans(ROOM);
        for pass in 0..3 {
            assert!(orphans.consider(&here(), &entry("orphan", FileKind::File)));
            assert_eq!(orphans.taken().len(), 1);
            assert_eq!(orphans.removed, 1);
            assert_eq!(orphans.describes_again(&folder(), b"orphan"), pass == 0);
        }
    }
}
