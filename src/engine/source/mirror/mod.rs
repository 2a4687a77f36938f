//! The mirror: walks the source and the target's description side by side, and sends what table 25.1 says.

mod again;
mod answers;
mod hard_links;
mod orphans;
mod other;
mod run;
mod whole;

pub(super) use other::{device, remapped, target_text};
pub(super) use run::{run, survey};

use super::compare::{Act, Compare, ask};
use super::decide::{Decision, Facts, Policy, decide};
use super::emit::{Emitter, TargetGone};
use super::folder::Folder;
use super::links::Links;
use super::listing::{Listing, TargetEntry};
use super::orphans::Orphans;
use super::parts::{Parts, Vacated};
use super::replicate::{Gate, nanoseconds};
use super::report::{Report, Spot};
use super::walk::{Root, Visit, Visitor};
use crate::api::MirrorReason;
use crate::engine::job::{DryRunSink, JobPlan, JobShared};
use crate::engine::link::Inlet;
use crate::engine::log::escape;
use crate::engine::repset::DirRules;
use crate::engine::settings::Overwrite;
use crate::sys::{self, Dir, FileKind, Meta, Stat, Xattrs};
use crate::wire::{CONTENT_MAX, Op, OrphanCounts, WireError};
use hard_links::Linked;
use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;
use whole::UnderWay;

/// Files of this size are compared side by side where both sides are one process; smaller ones are hashed, ahead of each
/// other.
const BESIDE: u64 = 4 << 20;

/// What a mirror needs while it walks.
pub(super) struct Mirror<'a> {
    pub plan: &'a JobPlan,
    pub shared: &'a JobShared,
    pub policy: Policy,
    pub emitter: &'a Emitter,
    /// Where replication follows the source: nothing is sent past its order.
    pub gate: &'a Gate,
    pub report: &'a Report,
    pub roots: &'a [Root],
    /// All that is compared. None: everything.
    pub parts: Option<Arc<Parts>>,
    pub vacated: Vacated,
    /// Files whose inode has changed since (nanoseconds since 1970) are compared whatever size and time tell.
    pub doubtful: Option<i64>,
    pub listing: Listing,
    pub results: Inlet,
    /// To the comparing thread; none when no checksums are asked for.
    pub compare: Option<SyncSender<Compare>>,
    pub links: Links,
    pub orphans: Orphans,
    /// What the target has told of the last ones.
    pub removed: Option<OrphanCounts>,
    /// Instead of sending, tells what would be sent.
    pub dry: Option<DryRunSink<'a>>,
    pub under_way: HashMap<u64, UnderWay>,
    pub reached: u64,
    /// The target ended or broke a rule: nothing more can be done.
    pub gone: bool,
    pub as_root: bool,
    /// Questions asked.
    pub asked: u64,
    /// Names looked at.
    pub looked: u64,
    /// What a CLEAN would remove: the entries of the target's roots.
    pub top_entries: Vec<(Arc<Folder>, Vec<u8>)>,
    /// What is sent when a directory in its place is gone; that one goes with the orphans, past the guard.
    pub replacing: Vec<Spot>,
    /// Files with several names that were sent again after the walk: the name that was sent, and how many are good now.
    pub resent: HashMap<super::links::Id, (Spot, u32)>,
    /// Scratch.
    pub entry: TargetEntry,
    pub chunk: Vec<u8>,
}

/// Why a step could not be done.
pub(super) enum Failed {
    Gone,
    Io(io::Error),
}

impl From<TargetGone> for Failed {
    fn from(_: TargetGone) -> Self {
        Failed::Gone
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Io(error)
    }
}

impl From<WireError> for Failed {
    fn from(_: WireError) -> Self {
        Failed::Gone
    }
}

impl Visitor for Mirror<'_> {
    fn enters(
        &mut self,
        at: (u16, &[u8]),
        dir: &Dir,
        stat: &Stat,
        included: bool,
        rules: Option<&DirRules>,
    ) -> bool {
        self.dry.is_some() || self.gate.enters(at, dir, stat, included, rules)
    }

    fn directory(&mut self, visit: &Visit<'_>) -> bool {
        if self.report.is_fatal() || self.gone {
            return false;
        }
        if visit.folder.belongs() {
            self.shared.counters.directories.fetch_add(1, Relaxed);
        }
        self.show_path(visit.folder, b"");
        match self.merge(visit) {
            Ok(()) => self.drain().is_ok(),
            Err(_) => {
                self.gone = true;
                false
            }
        }
    }

    fn leave(&mut self, folder: &Arc<Folder>) -> bool {
        !folder.leave() || self.dry.is_some() || self.send_folder_meta(folder).is_ok()
    }

    fn passes(&mut self, folder: &Folder, name: &[u8]) {
        self.gate.passes(folder, name);
    }

    fn vanished(&mut self, folder: &Folder, name: &[u8]) -> bool {
        self.gate.vanished(folder, name)
    }

    fn unreadable(&mut self, root: u16, path: &[u8], error: &io::Error, what: &str) {
        self.report.unreadable(&self.shared.counters, (root, path), error, what);
        self.gate.passes_over(root, path);
    }

    fn left_out(&mut self, root: u16, path: &[u8], why: &str) {
        self.gate.passes_over(root, path);
        let spot = Spot { root, path: path.to_vec(), name: Vec::new() };
        tracing::info!("Disabling replication on {}: {why}", escape(self.report.path(&spot)));
    }
}

/// The name is there, and what was to be opened is not what has it.
pub(super) fn is_replaced(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ELOOP | libc::ESTALE | libc::ENXIO | libc::ENOTDIR | libc::EISDIR)
    )
}

impl<'a> Mirror<'a> {
    /// One of everything that has sent nothing yet.
    pub(super) fn new(
        (plan, shared, policy): (&'a JobPlan, &'a JobShared, Policy),
        (emitter, gate, results): (&'a Emitter, &'a Gate, Inlet),
        (report, roots): (&'a Report, &'a [Root]),
        listing: Listing,
        orphans: Orphans,
    ) -> Self {
        Self {
            plan,
            shared,
            policy,
            emitter,
            gate,
            report,
            roots,
            parts: None,
            vacated: Vacated::default(),
            doubtful: None,
            listing,
            results,
            compare: None,
            links: Links::default(),
            orphans,
            removed: None,
            dry: None,
            under_way: HashMap::new(),
            reached: 0,
            gone: false,
            as_root: sys::is_root(),
            asked: 0,
            looked: 0,
            top_entries: Vec::new(),
            replacing: Vec::new(),
            resent: HashMap::new(),
            entry: TargetEntry::empty(),
            chunk: Vec::new(),
        }
    }
}

impl Mirror<'_> {
    /// Sends the folder's own metadata, if it is still where it was.
    fn send_folder_meta(&self, folder: &Arc<Folder>) -> Result<(), TargetGone> {
        match self.gate.stands(folder) {
            Some(_turn) => self.emitter.send_folder_meta(folder),
            None => Ok(()),
        }
    }

    /// One directory of the source beside the target's.
    fn merge(&mut self, visit: &Visit<'_>) -> Result<(), Failed> {
        let folder = visit.folder;
        match self.listing.enter(folder.root, &folder.path, &mut self.orphans)? {
            Some(theirs) => {
                folder.found();
                if folder.belongs()
                    && self.meta_differs(&folder.meta, &theirs.meta, &folder.xattrs, &theirs.xattrs)
                {
                    folder.touch();
                    self.tell(folder, b"", MirrorReason::Attributes, 0);
                }
            }
            None if folder.belongs() => {
                if self.dry.is_none()
                    && let Some(_turn) = self.gate.stands(folder)
                {
                    self.emitter.lock().enter(folder);
                }
                self.tell(folder, b"", MirrorReason::Missing, 0);
            }
            None => {}
        }
        let mut theirs = std::mem::replace(&mut self.entry, TargetEntry::empty());
        let mut have = self.listing.next_into(&mut theirs)?;
        for (name, kind) in visit.names.iter() {
            while have && theirs.name.as_slice() < name.to_bytes() {
                self.target_only(visit, &theirs)?;
                have = self.listing.next_into(&mut theirs)?;
            }
            let both = have && theirs.name.as_slice() == name.to_bytes();
            if both {
                self.note_top(folder, &theirs);
            }
            self.step(visit, name, kind, both.then_some(&theirs))?;
            if both {
                have = self.listing.next_into(&mut theirs)?;
            }
            self.looked += 1;
            if self.looked.is_multiple_of(256) {
                self.drain()?;
            }
            // The place is kept here.
            if !self.go_on()? {
                return Ok(());
            }
        }
        while have {
            self.target_only(visit, &theirs)?;
            have = self.listing.next_into(&mut theirs)?;
        }
        self.entry = theirs;
        if self.dry.is_none() {
            self.gate.compared(folder);
        }
        Ok(())
    }

    /// One name of the source.
    fn step(
        &mut self,
        visit: &Visit<'_>,
        name: &CStr,
        kind: Option<FileKind>,
        theirs: Option<&TargetEntry>,
    ) -> Result<(), Failed> {
        let result = match (kind, theirs) {
            (Some(FileKind::Directory), None) => Ok(()),
            (Some(FileKind::Directory), Some(theirs)) if theirs.kind == FileKind::Directory => Ok(()),
            (Some(FileKind::File), None) if self.dry.is_none() => {
                self.whole(visit.folder, visit.dir, name, None, 1)
            }
            _ => self.look(visit, (name, kind), theirs),
        };
        match result {
            Err(Failed::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                if theirs.is_some() {
                    self.gate.vanished(visit.folder, name.to_bytes());
                }
                Ok(())
            }
            // Something else has its name by now, and replication sends that.
            Err(Failed::Io(error))
                if is_replaced(&error) && self.gate.hand_over(visit.folder, name, (0, 0)) =>
            {
                Ok(())
            }
            Err(Failed::Io(error)) => {
                self.failed(visit.folder, name, &error);
                Ok(())
            }
            other => other,
        }
    }

    /// A name that needs a look before it is known what to do.
    fn look(
        &mut self,
        visit: &Visit<'_>,
        (name, listed): (&CStr, Option<FileKind>),
        theirs: Option<&TargetEntry>,
    ) -> Result<(), Failed> {
        let stat = visit.dir.stat(name)?;
        let Some(theirs) = theirs else {
            return match stat.kind {
                FileKind::Directory => Ok(()),
                FileKind::File => self.new_file(visit, name, &stat),
                _ => self.other(visit, name, &stat, None),
            };
        };
        if stat.kind != theirs.kind {
            return self.replace_type(visit, name, &stat, theirs);
        }
        match stat.kind {
            FileKind::Directory => {
                if listed.is_some() {
                    // It was something else when its folder was listed, and is not gone into.
                    self.gate.passes(visit.folder, name.to_bytes());
                }
                Ok(())
            }
            FileKind::File => self.both_files(visit, name, &stat, theirs),
            _ => self.other(visit, name, &stat, Some(theirs)),
        }
    }

    /// A file that the target lacks (here only for a dry run; else [`Mirror::whole`] looks for itself).
    fn new_file(&mut self, visit: &Visit<'_>, name: &CStr, stat: &Stat) -> Result<(), Failed> {
        if self.dry.is_none() {
            return self.whole(visit.folder, visit.dir, name, None, 1);
        }
        if self.is_left(stat, &Facts { empty: stat.size == 0, ..Facts::default() }) {
            return Ok(());
        }
        let folder = visit.folder;
        if stat.links > 1
            && self.links.meet(stat.id(), stat.links, folder.root, &folder.path, name.to_bytes()).is_some()
        {
            self.tell(folder, name.to_bytes(), MirrorReason::Links, 0);
            return Ok(());
        }
        self.tell(folder, name.to_bytes(), MirrorReason::Missing, stat.size);
        Ok(())
    }

    /// The settings leave this file out.
    fn is_left(&self, stat: &Stat, facts: &Facts) -> bool {
        (!self.plan.settings.sparse_files && stat.is_sparse())
            || (!facts.on_target && decide(&self.policy, facts) == Decision::Nothing)
    }

    /// Another kind of thing is on the target under this name.
    fn replace_type(
        &mut self,
        visit: &Visit<'_>,
        name: &CStr,
        stat: &Stat,
        theirs: &TargetEntry,
    ) -> Result<(), Failed> {
        if self.policy.overwrite == Overwrite::Never {
            return Ok(());
        }
        if self.dry.is_some() {
            let bytes = if stat.kind == FileKind::File { stat.size } else { 0 };
            if theirs.kind == FileKind::Directory {
                // What a CLEAN would lose counts.
                self.orphan(visit, theirs, true);
            }
            self.tell(visit.folder, name.to_bytes(), MirrorReason::Type, bytes);
            return Ok(());
        }
        // A directory with something in it goes only where orphans may go, and as they go: what is in it is on the target
        // only.
        let directory = theirs.kind == FileKind::Directory;
        let left = directory && self.has_left(visit.folder, theirs);
        if directory && !left && self.orphan(visit, theirs, true) {
            self.replacing.push(spot(visit.folder, name));
            return Ok(());
        }
        if left {
            let Some(_turn) = self.gate.clears(visit.folder, name.to_bytes()) else { return Ok(()) };
            self.emitter.send(visit.folder, &Op::Remove { name: name.to_bytes(), tree: true })?;
        } else {
            let Some(_turn) = self.gate.sends(visit.folder, name, stat) else { return Ok(()) };
            self.emitter.send(visit.folder, &Op::Remove { name: name.to_bytes(), tree: false })?;
        }
        visit.folder.touch();
        match stat.kind {
            FileKind::Directory => Ok(()),
            FileKind::File => self.whole(visit.folder, visit.dir, name, None, 1),
            _ => self.other(visit, name, stat, None),
        }
    }

    /// A file that both have.
    fn both_files(
        &mut self,
        visit: &Visit<'_>,
        name: &CStr,
        stat: &Stat,
        theirs: &TargetEntry,
    ) -> Result<(), Failed> {
        let folder = visit.folder;
        let xattrs = self.xattrs_of_entry(visit.dir, name)?;
        let facts = Facts {
            empty: stat.size == 0,
            on_target: true,
            size_differs: stat.size != theirs.size,
            time_differs: stat.meta.mtime != theirs.meta.mtime,
            newer: stat.meta.mtime > theirs.meta.mtime,
            target_older: theirs.meta.mtime < stat.meta.mtime,
            doubtful: self.doubtful.is_some_and(|since| nanoseconds(stat.ctime) >= since)
                || self.vacated.has(folder.root, &folder.path, name.to_bytes()),
            attributes_differ: self.attributes_differ(&stat.meta, &theirs.meta, &xattrs, &theirs.xattrs),
        };
        if self.is_left(stat, &facts) {
            return Ok(());
        }
        let mut decision = decide(&self.policy, &facts);
        if matches!(decision, Decision::Blocks(_)) && stat.size == 0 && theirs.size == 0 {
            // No block to ask about.
            let differs = facts.attributes_differ || facts.time_differs;
            decision = if differs { Decision::Attributes } else { Decision::Nothing };
        }
        if stat.links > 1 || theirs.shared.is_some() {
            let leave = decision == Decision::Nothing && (facts.size_differs || facts.time_differs);
            match self.linked(folder, name, stat, theirs, leave)? {
                Linked::Done => return Ok(()),
                Linked::NeedsOwnFile if self.policy.overwrite != Overwrite::Never => {
                    decision = Decision::Whole(MirrorReason::Links);
                }
                Linked::NeedsOwnFile | Linked::AsAlone => {}
            }
        }
        let counters = &self.shared.counters;
        match decision {
            Decision::Nothing | Decision::Attributes => {
                counters.files.fetch_add(1, Relaxed);
                counters.bytes_skipped.fetch_add(stat.size, Relaxed);
                if decision == Decision::Attributes {
                    self.tell(folder, name.to_bytes(), MirrorReason::Attributes, 0);
                    self.send_meta(folder, name, stat, xattrs)?;
                } else if self.dry.is_none() {
                    self.gate.same(folder, name, stat);
                }
                Ok(())
            }
            Decision::Whole(reason) => {
                if self.dry.is_some() {
                    self.tell(folder, name.to_bytes(), reason, stat.size);
                    return Ok(());
                }
                if stat.links > 1
                    && let Some(group) = self.links.group(stat.id())
                {
                    group.target = None;
                }
                self.whole(folder, visit.dir, name, Some(stat.id()), 1)
            }
            Decision::Blocks(reason) => {
                if self.dry.is_some() {
                    self.tell(folder, name.to_bytes(), reason, stat.size);
                    return Ok(());
                }
                let meta_differs = facts.attributes_differ || facts.time_differs;
                self.ask(folder, visit.dir, name, xattrs, meta_differs, stat)
            }
        }
    }

    fn send_meta(
        &mut self,
        folder: &Arc<Folder>,
        name: &CStr,
        stat: &Stat,
        xattrs: Xattrs,
    ) -> Result<(), Failed> {
        if self.dry.is_some() {
            return Ok(());
        }
        let Some(sending) = self.gate.sends(folder, name, stat) else { return Ok(()) };
        let op = Op::SetMeta { name: name.to_bytes(), kind: stat.kind, meta: stat.meta, xattrs };
        self.emitter.send_looking(folder, &op)?;
        sending.done(stat);
        Ok(())
    }

    /// Asks the target for checksums and queues the comparison.
    fn ask(
        &mut self,
        folder: &Arc<Folder>,
        dir: &Arc<Dir>,
        name: &CStr,
        xattrs: Xattrs,
        meta_differs: bool,
        stat: &Stat,
    ) -> Result<(), Failed> {
        let item = Compare {
            question: 0,
            folder: Arc::clone(folder),
            dir: Arc::clone(dir),
            name: name.to_owned(),
            xattrs,
            block: self.plan.settings.chunk_size.clamp(4096, CONTENT_MAX),
            act: Act::Send,
            meta_differs,
            linked: (stat.links > 1).then(|| Box::new(*stat)),
            finding: None,
        };
        let here = self.emitter.local.is_some() && stat.size >= BESIDE;
        ask(self.compare.as_ref(), (self.emitter, self.gate), &mut self.asked, item, stat.size, here)
            .map_err(Failed::from)
    }

    /// Something that only the target has.
    fn target_only(&mut self, visit: &Visit<'_>, theirs: &TargetEntry) -> Result<(), Failed> {
        if self.orphan(visit, theirs, false) {
            self.tell(visit.folder, &theirs.name, MirrorReason::Orphan, 0);
            self.note_top(visit.folder, theirs);
        }
        // The walk ends, and says why when it has.
        if self.orphans.is_full() { Err(Failed::Gone) } else { Ok(()) }
    }

    /// Is it what has left the source while the target could not be told?
    fn has_left(&self, folder: &Folder, theirs: &TargetEntry) -> bool {
        !self.plan.settings.ignore_deletes && self.vacated.has(folder.root, &folder.path, &theirs.name)
    }

    /// True: it is to go with the orphans. `replaced`: the source has something else under its name.
    fn orphan(&mut self, visit: &Visit<'_>, theirs: &TargetEntry, replaced: bool) -> bool {
        let Some(rules) = visit.rules else { return false };
        let folder = visit.folder;
        if self.has_left(folder, theirs) && visit.others.binary_search(&theirs.name).is_err() {
            return self.orphans.left(folder, rules, theirs);
        }
        self.orphans.meet(visit, theirs, replaced)
    }

    /// Remembers an entry of a root, for a CLEAN.
    fn note_top(&mut self, folder: &Arc<Folder>, theirs: &TargetEntry) {
        if self.dry.is_some() && folder.path.is_empty() && self.orphans.wanted {
            self.top_entries.push((Arc::clone(folder), theirs.name.clone()));
        }
    }

    fn tell(&mut self, folder: &Arc<Folder>, name: &[u8], reason: MirrorReason, bytes: u64) {
        if let Some(dry) = &mut self.dry {
            let spot = Spot { root: folder.root, path: folder.path.clone(), name: name.to_vec() };
            dry(&self.report.path(&spot), reason, bytes);
        }
    }

    fn failed(&self, folder: &Arc<Folder>, name: &CStr, error: &io::Error) {
        let spot = spot(folder, name);
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        self.report.errno(&self.shared.counters, spot, errno, "read", false);
    }

    fn unsettled(&mut self, folder: &Arc<Folder>, name: &CStr, id: super::links::Id) {
        self.lose(id);
        if self.gate.hand_over(folder, name, id) {
            return;
        }
        let spot = spot(folder, name);
        let reason = "it kept changing while it was read, so the target has no whole copy of it".to_string();
        self.report.retry(&self.shared.counters, spot, reason);
    }

    fn show_path(&self, folder: &Folder, name: &[u8]) {
        if let Ok(mut path) = self.shared.counters.path.try_lock() {
            let spot = Spot { root: folder.root, path: folder.path.clone(), name: name.to_vec() };
            *path = escape(self.report.path(&spot));
        }
    }

    fn xattrs_of_entry(&self, dir: &Dir, name: &CStr) -> io::Result<Xattrs> {
        if !self.plan.settings.extended_attributes {
            return Ok(Xattrs::default());
        }
        sys::xattrs_of_entry(dir.as_fd(), name, self.as_root)
    }

    /// Anything of the metadata differs.
    fn meta_differs(&self, ours: &Meta, theirs: &Meta, xattrs: &Xattrs, digest: &[u8; 16]) -> bool {
        ours.mtime != theirs.mtime || self.attributes_differ(ours, theirs, xattrs, digest)
    }

    /// Owner, group, mode or extended attributes differ, of those that this process could make equal.
    fn attributes_differ(&self, ours: &Meta, theirs: &Meta, xattrs: &Xattrs, digest: &[u8; 16]) -> bool {
        attributes_differ(self.plan, self.as_root, ours, theirs, xattrs, digest)
    }
}

/// Owner, group, mode or extended attributes differ, of those that this process could make equal.
pub(super) fn attributes_differ(
    plan: &JobPlan,
    as_root: bool,
    ours: &Meta,
    theirs: &Meta,
    xattrs: &Xattrs,
    digest: &[u8; 16],
) -> bool {
    let owner = || {
        (as_root && ours.uid != theirs.uid)
            || (ours.gid != theirs.gid && (as_root || sys::is_own_group(ours.gid)))
    };
    (plan.settings.attributes && (sys::own_mode(ours, as_root) != theirs.mode || owner()))
        || (plan.settings.extended_attributes && xattrs.digest() != *digest)
}

pub(super) fn spot(folder: &Folder, name: &CStr) -> Spot {
    Spot { root: folder.root, path: folder.path.clone(), name: name.to_bytes().to_vec() }
}
