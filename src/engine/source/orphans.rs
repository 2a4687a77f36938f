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
    /// Those that were named in this job, by their hash, which takes little: one that is named again counts once.
    named: HashSet<u64>,
    hasher: RandomState,
    /// Entries of directories of the source that were described once more, as something in them had changed.
    described_again: HashSet<(u16, Vec<u8>)>,
}

impl Orphans {
    pub(super) fn new(wanted: bool, terms: OrphanTerms) -> Self {
        Self { wanted, before: terms.before, ..Self::default() }
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

    fn consider(&mut self, at: &Stray, theirs: &TargetEntry) -> bool {
        let goes = if theirs.kind == FileKind::Directory {
            match at.rules.dir(&theirs.name) {
                DirDecision::Skip => false,
                DirDecision::Enter { included, rules } => {
                    let goes = at.rules.is_orphan_dir(included, &rules);
                    let below: Arc<[u8]> = join(&at.below, &theirs.name).into();
                    let place = (at.folder.root, join(&at.folder.path, &below));
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
        let mut list = std::mem::take(&mut self.list);
        list.retain(|orphan| orphan.kind != FileKind::Directory || !self.kept.contains(&orphan.place()));
        // A directory was met before what is in it.
        list.reverse();
        for orphan in list.iter().filter(|orphan| !orphan.left) {
            self.removed += u64::from(self.named.insert(self.hasher.hash_one(orphan.place())));
        }
        self.entries = self.entries.max(entries);
        self.again();
        (list, guard(plan, self.removed, self.entries))
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
