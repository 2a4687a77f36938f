//! The mirror: walks the source and the target's description side by side, and sends what table 25.1 says.

use super::compare::{Act, Compare};
use super::content::{Before, Settled, settle};
use super::decide::{Decision, Facts, Policy, decide};
use super::emit::{Emitter, TargetGone};
use super::folder::Folder;
use super::links::Links;
use super::listing::{Listing, TargetEntry};
use super::orphans::Orphans;
use super::remap::remap;
use super::report::{Report, Spot};
use super::walk::{Root, Visit, Visitor, source_path};
use crate::api::MirrorReason;
use crate::engine::job::{DryRunSink, JobPlan, JobShared};
use crate::engine::link::Frame;
use crate::engine::log::escape;
use crate::engine::settings::Overwrite;
use crate::sys::{self, Dir, FileKind, Meta, Stat, Xattrs};
use crate::wire::{Answer, CONTENT_MAX, FailureKind, FileMode, Op, Patch, Reader, WireError};
use sha1::{Digest, Sha1};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

/// Large files that may be under way at a time.
const UNDER_WAY: usize = 16;
/// Bytes of a large file that one operation copies inside the kernel: how often a stop or pause is looked at.
const PIECE: u64 = 16 << 20;
/// How often a file that changes under the reader is read before it waits for the end of the mirror.
const TRIES: u32 = 3;

/// What a mirror needs while it walks.
pub(super) struct Mirror<'a> {
    pub plan: &'a JobPlan,
    pub shared: &'a JobShared,
    pub policy: Policy,
    pub emitter: &'a Emitter,
    pub report: &'a Report,
    pub roots: &'a [Root],
    pub listing: Listing,
    pub results: Receiver<Frame>,
    /// To the comparing thread; none when no checksums are asked for.
    pub compare: Option<SyncSender<Compare>>,
    pub links: Links,
    pub orphans: Orphans,
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

/// A large file whose bytes the target is copying.
pub(super) struct UnderWay {
    folder: Arc<Folder>,
    dir: Arc<Dir>,
    name: CString,
    file: Arc<File>,
    before: Before,
    xattrs: Xattrs,
    tries: u32,
    /// Of its bytes before they were sent, when only a second read can settle it.
    sum: Option<[u8; 20]>,
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
        !folder.leave() || self.dry.is_some() || self.emitter.send_folder_meta(folder).is_ok()
    }

    fn unreadable(&mut self, root: u16, path: &[u8], error: &io::Error, what: &str) {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let spot = Spot { root, path: path.to_vec(), name: Vec::new() };
        self.report.errno(&self.shared.counters, spot, errno, what, false);
    }

    fn left_out(&mut self, root: u16, path: &[u8], why: &str) {
        let spot = Spot { root, path: path.to_vec(), name: Vec::new() };
        tracing::info!("Disabling replication on {}: {why}", escape(self.report.path(&spot)));
    }
}

impl Mirror<'_> {
    /// One directory of the source beside the target's.
    fn merge(&mut self, visit: &Visit<'_>) -> Result<(), Failed> {
        let folder = visit.folder;
        match self.listing.enter(folder.root, &folder.path)? {
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
                if self.dry.is_none() {
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
                self.target_only(visit, &theirs);
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
            if self.shared.is_paused() || self.shared.stopped() {
                // What was found so far goes on its way; the place is kept here.
                self.flush()?;
                if !self.shared.go_on() {
                    return Ok(());
                }
            }
        }
        while have {
            self.target_only(visit, &theirs);
            have = self.listing.next_into(&mut theirs)?;
        }
        self.entry = theirs;
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
            _ => self.look(visit, name, theirs),
        };
        match result {
            Err(Failed::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(Failed::Io(error)) => {
                self.failed(visit.folder, name, &error);
                Ok(())
            }
            other => other,
        }
    }

    /// A name that needs a look before it is known what to do.
    fn look(&mut self, visit: &Visit<'_>, name: &CStr, theirs: Option<&TargetEntry>) -> Result<(), Failed> {
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
            FileKind::Directory => Ok(()),
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
                self.orphan(visit, theirs);
            }
            self.tell(visit.folder, name.to_bytes(), MirrorReason::Type, bytes);
            return Ok(());
        }
        // A directory with something in it goes only where orphans may go, and as they go: what is in it is on the target
        // only.
        if theirs.kind == FileKind::Directory && self.orphan(visit, theirs) {
            self.replacing.push(spot(visit.folder, name));
            return Ok(());
        }
        self.emitter.send(visit.folder, &Op::Remove { name: name.to_bytes(), tree: false })?;
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
                self.ask(folder, visit.dir, name, xattrs, meta_differs, stat.size)
            }
        }
    }

    /// Hard links of a file that both sides have. `leave`: a setting or flag leaves the target's file although it is another.
    fn linked(
        &mut self,
        folder: &Arc<Folder>,
        name: &CStr,
        stat: &Stat,
        theirs: &TargetEntry,
        leave: bool,
    ) -> Result<Linked, Failed> {
        if stat.links == 1 {
            // The target's file has other names, perhaps outside the copy: it is not to be changed through this one.
            return Ok(if leave { Linked::AsAlone } else { Linked::NeedsOwnFile });
        }
        let first = self.meet(folder, name, stat)?;
        let Some(group) = first else {
            if leave {
                self.links.lose(stat.id());
                return Ok(Linked::AsAlone);
            }
            let Some(shared) = theirs.shared else { return Ok(Linked::AsAlone) };
            if !self.links.claim(shared, stat.id()) {
                return Ok(Linked::NeedsOwnFile);
            }
            if let Some(group) = self.links.group(stat.id()) {
                group.target = Some(shared);
            }
            return Ok(Linked::AsAlone);
        };
        if group.skipped {
            return Ok(Linked::Done);
        }
        let counters = &self.shared.counters;
        counters.files.fetch_add(1, Relaxed);
        if group.target.is_some() && group.target == theirs.shared {
            return Ok(Linked::Done);
        }
        if leave || self.policy.overwrite == Overwrite::Never {
            return Ok(Linked::Done);
        }
        self.send_link(folder, name, &group)?;
        Ok(Linked::Done)
    }

    /// A name of a file with several. Some: an earlier one stands for it. Waits for an earlier one that is under way, as it may
    /// not arrive.
    fn meet(
        &mut self,
        folder: &Folder,
        name: &CStr,
        stat: &Stat,
    ) -> Result<Option<super::links::Group>, Failed> {
        self.wait_for(stat.id())?;
        Ok(self.links.meet(stat.id(), stat.links, folder.root, &folder.path, name.to_bytes()))
    }

    fn wait_for(&mut self, id: super::links::Id) -> Result<(), Failed> {
        while self.under_way.values().any(|under_way| under_way.before.id() == id) {
            self.flush()?;
            self.wait()?;
        }
        Ok(())
    }

    /// A file could not be sent: its other names must not become links to what the target has under this one.
    fn lose(&mut self, id: super::links::Id) {
        self.links.lose(id);
        self.resent.remove(&id);
    }

    fn send_link(
        &mut self,
        folder: &Arc<Folder>,
        name: &CStr,
        group: &super::links::Group,
    ) -> Result<(), Failed> {
        self.tell(folder, name.to_bytes(), MirrorReason::Links, 0);
        if self.dry.is_some() {
            return Ok(());
        }
        folder.touch();
        let op = Op::Link { name: name.to_bytes(), root: group.root, dir: &group.path, from: &group.name };
        Ok(self.emitter.send(folder, &op)?)
    }

    /// Sends an entire file. `met`: it is one that both sides have, whose hard links were seen to.
    fn whole(
        &mut self,
        folder: &Arc<Folder>,
        dir: &Arc<Dir>,
        name: &CStr,
        met: Option<super::links::Id>,
        tries: u32,
    ) -> Result<(), Failed> {
        let mut id = met;
        let result = self.whole_file(folder, dir, name, &mut id, tries);
        if let (Err(Failed::Io(_)), Some(id)) = (&result, id) {
            self.lose(id);
        }
        result
    }

    fn whole_file(
        &mut self,
        folder: &Arc<Folder>,
        dir: &Arc<Dir>,
        name: &CStr,
        met: &mut Option<super::links::Id>,
        tries: u32,
    ) -> Result<(), Failed> {
        let file = dir.read(name)?;
        let before = Before::look(&file)?;
        if before.kind != FileKind::File {
            return Err(io::Error::from_raw_os_error(libc::ESTALE).into());
        }
        let left = self.is_left(&before, &Facts { empty: before.size == 0, ..Facts::default() });
        if before.links > 1 && met.is_none() && tries == 1 {
            let group = self.meet(folder, name, &before)?;
            *met = Some(before.id());
            match group {
                Some(group) if group.skipped => return Ok(()),
                Some(group) => {
                    self.shared.counters.files.fetch_add(1, Relaxed);
                    return self.send_link(folder, name, &group);
                }
                None => {
                    if left && let Some(group) = self.links.group(before.id()) {
                        group.skipped = true;
                    }
                }
            }
        }
        if left {
            return Ok(());
        }
        let xattrs = if self.plan.settings.extended_attributes {
            sys::xattrs_of_open(file.as_fd(), self.as_root)?
        } else {
            Xattrs::default()
        };
        let small = before.size <= self.plan.settings.small_file_threshold.min(CONTENT_MAX as u64);
        if small && !before.is_sparse() {
            self.put(folder, name, &file, &before, &xattrs, tries)
        } else {
            self.large(folder, dir, name, file, before, xattrs, tries)
        }
    }

    /// A small file: read straight into the frame, taken back out of it when it changed meanwhile.
    fn put(
        &mut self,
        folder: &Arc<Folder>,
        name: &CStr,
        file: &File,
        before: &Before,
        xattrs: &Xattrs,
        tries: u32,
    ) -> Result<(), Failed> {
        let size = usize::try_from(before.size).unwrap_or(usize::MAX);
        let mut tries = tries;
        let mut before = *before;
        loop {
            let mut emit = self.emitter.lock();
            emit.enter(folder);
            let undo = emit.frame.len();
            let start = Op::begin_put(&mut emit.frame, name.to_bytes(), &before.meta, xattrs);
            // One byte more than it should have shows that it grew.
            let got = match sys::read_once(file, 0, size + 1, &mut emit.frame) {
                Ok(got) => got,
                Err(error) => {
                    emit.frame.truncate(undo);
                    return Err(error.into());
                }
            };
            let settled = got == size
                && settle(file, &before, || {
                    let mut again = Vec::new();
                    sys::read_into(file, 0, size + 1, &mut again)?;
                    Ok(again == emit.frame[start..])
                })? == Settled::Yes;
            if settled {
                Op::end_put(&mut emit.frame, start);
                emit.full()?;
                drop(emit);
                folder.touch();
                let counters = &self.shared.counters;
                counters.files.fetch_add(1, Relaxed);
                counters.files_sent.fetch_add(1, Relaxed);
                counters.bytes_sent.fetch_add(before.size, Relaxed);
                counters.bytes_queued.fetch_add(before.size, Relaxed);
                return Ok(());
            }
            emit.frame.truncate(undo);
            drop(emit);
            before = Before::look(file)?;
            if tries >= TRIES || before.size != size as u64 {
                self.unsettled(folder, name, before.id());
                return Ok(());
            }
            tries += 1;
        }
    }

    /// A large file: its bytes are copied by the target where both are one process, else they travel in ranges. It is ended
    /// when they have arrived and its stamps are what they were.
    #[allow(clippy::too_many_arguments)]
    fn large(
        &mut self,
        folder: &Arc<Folder>,
        dir: &Arc<Dir>,
        name: &CStr,
        file: File,
        before: Before,
        xattrs: Xattrs,
        tries: u32,
    ) -> Result<(), Failed> {
        self.show_path(folder, name.to_bytes());
        while self.under_way.len() >= UNDER_WAY {
            self.flush()?;
            self.wait()?;
        }
        let segments =
            if before.is_sparse() { sys::segments(&file, before.size)? } else { vec![(0, before.size)] };
        // The last try of a file that somebody may be writing: it is read before and after, which costs less than never to
        // bring over a log whose writer lives on.
        let sum = match tries >= TRIES && !before.is_quiet() {
            true => sum_of(&file, self.shared)?,
            false => None,
        };
        let file = Arc::new(file);
        let number = {
            let mut emit = self.emitter.lock();
            let number = emit.number();
            emit.enter(folder);
            emit.push(&Op::FileBegin { file: number, name: name.to_bytes(), mode: FileMode::Whole })?;
            number
        };
        let local = self.emitter.local.clone();
        if let Some(local) = &local {
            local.offer(number, Arc::clone(&file));
        } else {
            sys::advise_sequential(&file);
        }
        folder.begin_file();
        folder.touch();
        let under_way = UnderWay {
            folder: Arc::clone(folder),
            dir: Arc::clone(dir),
            name: name.to_owned(),
            file,
            before,
            xattrs,
            tries,
            sum,
        };
        let file = Arc::clone(&under_way.file);
        self.under_way.insert(number, under_way);
        for (offset, len) in segments {
            let sent = if local.is_some() {
                self.send_local(number, folder, offset, len)
            } else {
                self.send_bytes(number, folder, &file, offset, len)
            };
            match sent {
                Ok(true) => {}
                Ok(false) => return self.drop_large(number),
                Err(Failed::Io(error)) => {
                    self.drop_large(number)?;
                    return Err(error.into());
                }
                Err(gone) => return Err(gone),
            }
        }
        let mut emit = self.emitter.lock();
        emit.enter(folder);
        emit.push(&Op::FileAsk { file: number })?;
        emit.flush()?;
        drop(emit);
        self.drain()
    }

    /// False: stop.
    fn send_local(
        &mut self,
        number: u64,
        folder: &Arc<Folder>,
        offset: u64,
        len: u64,
    ) -> Result<bool, Failed> {
        let end = offset + len;
        let mut at = offset;
        while at < end {
            if !self.shared.go_on() || self.report.is_fatal() {
                return Ok(false);
            }
            let part = PIECE.min(end - at);
            let mut emit = self.emitter.lock();
            emit.enter(folder);
            emit.push(&Op::FileWrite { file: number, offset: at, patch: Patch::Local(part) })?;
            emit.flush()?;
            drop(emit);
            self.count_sent(part);
            at += part;
            self.drain()?;
        }
        Ok(true)
    }

    /// False: stop, or the file has become shorter.
    fn send_bytes(
        &mut self,
        number: u64,
        folder: &Arc<Folder>,
        file: &File,
        offset: u64,
        len: u64,
    ) -> Result<bool, Failed> {
        let end = offset + len;
        let mut at = offset;
        let size = self.plan.settings.chunk_size.clamp(4096, CONTENT_MAX);
        while at < end {
            if !self.shared.go_on() || self.report.is_fatal() {
                return Ok(false);
            }
            let part = usize::try_from(end - at).unwrap_or(usize::MAX).min(size);
            self.chunk.clear();
            let got = sys::read_into(file, at, part, &mut self.chunk)?;
            if got == 0 {
                // Shorter than it was: the stamps will say so.
                return Ok(true);
            }
            self.emitter.send(
                folder,
                &Op::FileWrite { file: number, offset: at, patch: Patch::Bytes(&self.chunk) },
            )?;
            self.count_sent(got as u64);
            at += got as u64;
            self.drain()?;
        }
        Ok(true)
    }

    fn count_sent(&self, bytes: u64) {
        self.shared.counters.bytes_sent.fetch_add(bytes, Relaxed);
        self.shared.counters.bytes_queued.fetch_add(bytes, Relaxed);
    }

    /// Forgets a large file that cannot be finished.
    fn drop_large(&mut self, number: u64) -> Result<(), Failed> {
        if let Some(local) = &self.emitter.local {
            local.withdraw(number);
        }
        if let Some(under_way) = self.under_way.remove(&number) {
            self.lose(under_way.before.id());
            self.emitter.send(&under_way.folder, &Op::FileDrop { file: number })?;
            if under_way.folder.end_file() {
                self.emitter.send_folder_meta(&under_way.folder)?;
            }
        }
        Ok(())
    }

    /// The target has all bytes of a large file.
    fn written(&mut self, number: u64) -> Result<(), Failed> {
        if let Some(local) = &self.emitter.local {
            local.withdraw(number);
        }
        let Some(done) = self.under_way.remove(&number) else { return Ok(()) };
        let settled = settle(&done.file, &done.before, || {
            Ok(done.sum.is_some() && sum_of(&done.file, self.shared)? == done.sum)
        });
        let again = match settled {
            Ok(Settled::Yes) => {
                let (meta, xattrs) = (done.before.meta, done.xattrs);
                let op = Op::FileEnd { file: number, length: done.before.size, meta, xattrs };
                self.emitter.send(&done.folder, &op)?;
                let counters = &self.shared.counters;
                counters.files.fetch_add(1, Relaxed);
                counters.files_sent.fetch_add(1, Relaxed);
                false
            }
            Ok(Settled::No) | Err(_) => {
                self.emitter.send(&done.folder, &Op::FileDrop { file: number })?;
                true
            }
        };
        if again {
            if done.tries < TRIES && self.shared.go_on() {
                let (folder, dir, name) =
                    (Arc::clone(&done.folder), Arc::clone(&done.dir), done.name.clone());
                let id = done.before.id();
                match self.whole(&folder, &dir, &name, Some(id), done.tries + 1) {
                    Err(Failed::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(Failed::Io(error)) => self.failed(&folder, &name, &error),
                    other => other?,
                }
            } else {
                self.unsettled(&done.folder, &done.name, done.before.id());
            }
        }
        if done.folder.end_file() {
            self.emitter.send_folder_meta(&done.folder)?;
        }
        Ok(())
    }

    /// Links, fifos, sockets, devices.
    fn other(
        &mut self,
        visit: &Visit<'_>,
        name: &CStr,
        stat: &Stat,
        theirs: Option<&TargetEntry>,
    ) -> Result<(), Failed> {
        let folder = visit.folder;
        let text = match stat.kind {
            FileKind::Symlink => target_text(self.plan, self.roots, visit, name)?,
            _ => Vec::new(),
        };
        let xattrs = self.xattrs_of_entry(visit.dir, name)?;
        let mut same_object = theirs
            .is_some_and(|t| t.text == text && (stat.kind == FileKind::Symlink || t.rdev == device(stat)));
        if stat.links == 1 {
            // Where the target's has other names, this one needs an object of its own.
            same_object &= theirs.is_some_and(|theirs| theirs.shared.is_none());
        } else {
            let first = self.meet(folder, name, stat)?;
            match (first, theirs) {
                (Some(group), Some(theirs)) if group.target.is_some() && group.target == theirs.shared => {
                    return Ok(());
                }
                (Some(_), Some(_)) if self.policy.overwrite == Overwrite::Never => return Ok(()),
                (Some(group), _) => return self.send_link(folder, name, &group),
                (None, Some(theirs)) => {
                    same_object &= theirs.shared.is_none_or(|shared| self.links.claim(shared, stat.id()));
                    if let (Some(group), true) = (self.links.group(stat.id()), same_object) {
                        group.target = theirs.shared;
                    }
                }
                (None, None) => {}
            }
        }
        let reason = match theirs {
            None => MirrorReason::Missing,
            Some(_) if self.policy.overwrite == Overwrite::Never => return Ok(()),
            Some(_) if !same_object => MirrorReason::Type,
            Some(theirs) => {
                if self.meta_differs(&stat.meta, &theirs.meta, &xattrs, &theirs.xattrs) {
                    self.tell(folder, name.to_bytes(), MirrorReason::Attributes, 0);
                    return self.send_meta(folder, name, stat, xattrs);
                }
                return Ok(());
            }
        };
        self.tell(folder, name.to_bytes(), reason, 0);
        if self.dry.is_some() {
            return Ok(());
        }
        folder.touch();
        let (name, meta, kind) = (name.to_bytes(), stat.meta, stat.kind);
        let op = if kind == FileKind::Symlink {
            Op::Symlink { name, meta, xattrs, text: &text }
        } else {
            Op::Node { name, meta, xattrs, kind, rdev: device(stat) }
        };
        self.emitter.send(folder, &op)?;
        self.shared.counters.files.fetch_add(1, Relaxed);
        self.shared.counters.files_sent.fetch_add(1, Relaxed);
        Ok(())
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
        let op = Op::SetMeta { name: name.to_bytes(), kind: stat.kind, meta: stat.meta, xattrs };
        Ok(self.emitter.send_looking(folder, &op)?)
    }

    /// Asks the target for checksums and queues the comparison.
    fn ask(
        &mut self,
        folder: &Arc<Folder>,
        dir: &Arc<Dir>,
        name: &CStr,
        xattrs: Xattrs,
        meta_differs: bool,
        size_on_disk: u64,
    ) -> Result<(), Failed> {
        let block = self.plan.settings.chunk_size.clamp(4096, CONTENT_MAX);
        let mut emit = self.emitter.lock();
        let question = emit.number();
        emit.look(folder);
        let size = u32::try_from(block).unwrap_or(u32::MAX);
        emit.push(&Op::Question { question, name: name.to_bytes(), block: size })?;
        // A large file begins at once; small ones share a frame.
        self.asked += 1;
        if size_on_disk >= 1 << 20 || self.asked.is_multiple_of(32) {
            emit.flush()?;
        }
        drop(emit);
        folder.begin_file();
        let item = Compare {
            question,
            folder: Arc::clone(folder),
            dir: Arc::clone(dir),
            name: name.to_owned(),
            xattrs,
            block,
            act: Act::Send,
            meta_differs,
            finding: None,
        };
        queue(self.compare.as_ref(), self.emitter, item).map_err(Failed::from)
    }

    /// Something that only the target has.
    fn target_only(&mut self, visit: &Visit<'_>, theirs: &TargetEntry) {
        if self.orphan(visit, theirs) {
            self.tell(visit.folder, &theirs.name, MirrorReason::Orphan, 0);
            self.note_top(visit.folder, theirs);
        }
    }

    /// True: it is to go with the orphans.
    fn orphan(&mut self, visit: &Visit<'_>, theirs: &TargetEntry) -> bool {
        let Some(rules) = visit.rules else { return false };
        let goes = self.orphans.meet(visit.folder, rules, theirs);
        if goes && theirs.kind == FileKind::Directory {
            self.listing.orphan(visit.folder.root, visit.folder.join(&theirs.name));
        }
        goes
    }

    /// Remembers an entry of a root, for a CLEAN.
    fn note_top(&mut self, folder: &Arc<Folder>, theirs: &TargetEntry) {
        if self.dry.is_some() && folder.path.is_empty() && self.orphans.wanted {
            self.top_entries.push((Arc::clone(folder), theirs.name.clone()));
        }
    }

    /// Sends what a verification found to differ, whole. False: the target has ended.
    pub(super) fn remirror(&mut self, spots: Vec<Spot>) -> bool {
        // Names before the directories that hold them, whose times go last.
        let (files, mut folders): (Vec<Spot>, Vec<Spot>) =
            spots.into_iter().partition(|spot| !spot.name.is_empty());
        folders.sort_by_key(|spot| std::cmp::Reverse(spot.path.len()));
        for spot in files.into_iter().chain(folders) {
            if !self.shared.go_on() || self.report.is_fatal() {
                return true;
            }
            match self.resend(&spot) {
                Err(Failed::Gone) => {
                    self.gone = true;
                    return false;
                }
                Err(Failed::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(Failed::Io(error)) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    self.report.errno(&self.shared.counters, spot, errno, "read", false);
                }
                Ok(()) => {}
            }
        }
        true
    }

    /// Reads what the target has answered, without waiting.
    pub(super) fn drain(&mut self) -> Result<(), Failed> {
        while let Ok(frame) = self.results.try_recv() {
            self.answer(&frame)?;
        }
        Ok(())
    }

    /// Waits for one answer.
    fn wait(&mut self) -> Result<(), Failed> {
        let frame = self.results.recv().map_err(|_| Failed::Gone)?;
        self.answer(&frame)
    }

    fn answer(&mut self, frame: &[u8]) -> Result<(), Failed> {
        let counters = &self.shared.counters;
        match Answer::decode(&mut Reader::new(frame))? {
            Answer::Applied { bytes } => {
                let _ = counters
                    .bytes_queued
                    .fetch_update(Relaxed, Relaxed, |queued| Some(queued.saturating_sub(bytes)));
            }
            Answer::Written { file } => self.written(file)?,
            Answer::Reached { barrier } => self.reached = barrier,
            Answer::Failed { kind, errno, root, path, name, what } => {
                let spot = Spot { root, path: path.to_vec(), name: name.to_vec() };
                let what = String::from_utf8_lossy(what);
                self.report.answered(counters, kind, spot, errno, &what);
                if kind == FailureKind::Root {
                    self.gone = true;
                }
            }
            _ => return Err(WireError::Invalid("answer").into()),
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Failed> {
        Ok(self.emitter.lock().flush()?)
    }

    /// Waits until the target has applied all that was sent. False: it has ended.
    pub(super) fn settle_all(&mut self) -> bool {
        let mut step = || -> Result<(), Failed> {
            self.flush()?;
            while !self.under_way.is_empty() {
                self.wait()?;
                self.flush()?;
            }
            let barrier = {
                let mut emit = self.emitter.lock();
                let barrier = emit.number();
                emit.push(&Op::Barrier { barrier })?;
                emit.flush()?;
                barrier
            };
            while self.reached != barrier {
                self.wait()?;
            }
            Ok(())
        };
        if step().is_err() {
            self.gone = true;
        }
        !self.gone
    }

    /// Tries again what failed and may succeed now. False: the target has ended.
    pub(super) fn retry(&mut self) -> bool {
        let limit = match self.plan.settings.retry_limit {
            0 => 3,
            limit => limit,
        };
        let delay = Duration::from_secs(u64::from(self.plan.settings.retry_delay_s));
        for round in 1..=limit {
            let retries = self.report.take_retries();
            if retries.is_empty() || self.gone {
                return !self.gone;
            }
            tracing::info!("Trying {} failed operations again, round {round} of {limit}", retries.len());
            if !self.shared.sleep(delay) {
                for (spot, reason) in retries {
                    self.report.fail(&self.shared.counters, &spot, reason);
                }
                return true;
            }
            for (spot, reason) in retries {
                if let Err(error) = self.resend(&spot) {
                    match error {
                        Failed::Gone => {
                            self.gone = true;
                            return false;
                        }
                        Failed::Io(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Failed::Io(_) => self.report.retry(&self.shared.counters, spot, reason),
                    }
                }
            }
            if !self.settle_all() {
                return false;
            }
        }
        self.fail_retries();
        true
    }

    /// What would be tried again is not.
    pub(super) fn fail_retries(&mut self) {
        self.name_parted();
        for (spot, reason) in self.report.take_retries() {
            self.report.fail(&self.shared.counters, &spot, reason);
        }
    }

    /// Sends one thing whole, outside the walk.
    fn resend(&mut self, spot: &Spot) -> Result<(), Failed> {
        let Some(root) = self.roots.iter().find(|root| root.number == spot.root) else { return Ok(()) };
        let dir = Arc::new(root.dir.descend(&sys::c_string(&spot.path)?)?);
        let stat = Stat::of(&*dir)?;
        let xattrs = if self.plan.settings.extended_attributes {
            sys::xattrs_of_open(dir.as_fd(), self.as_root)?
        } else {
            Xattrs::default()
        };
        let own =
            if root.only.is_some() { super::folder::OwnMeta::Never } else { super::folder::OwnMeta::Always };
        let folder = Folder::new(spot.root, spot.path.clone(), stat.meta, xattrs, None, own);
        folder.found();
        folder.touch();
        if !spot.name.is_empty() {
            let name = sys::c_string(&spot.name)?;
            let stat = dir.stat(&name)?;
            match stat.kind {
                FileKind::File => self.resend_file(&folder, &dir, &name, &stat, spot)?,
                FileKind::Directory => return Err(io::Error::from_raw_os_error(libc::EISDIR).into()),
                _ => {
                    let names = sys::Names::default();
                    let visit = Visit { folder: &folder, dir: &dir, names: &names, rules: None };
                    self.other(&visit, &name, &stat, None)?;
                }
            }
        }
        if folder.leave() {
            self.emitter.send_folder_meta(&folder)?;
        }
        Ok(())
    }

    /// Sends a file whole, or as a link to another name of it that is good already.
    fn resend_file(
        &mut self,
        folder: &Arc<Folder>,
        dir: &Arc<Dir>,
        name: &CStr,
        stat: &Stat,
        spot: &Spot,
    ) -> Result<(), Failed> {
        let id = stat.id();
        if stat.links == 1 {
            return self.whole(folder, dir, name, Some(id), TRIES);
        }
        self.wait_for(id)?;
        let same = |root, path: &[u8], name: &[u8]| (root, path, name) == (spot.root, &spot.path, &spot.name);
        let good = match (self.resent.get_mut(&id), self.links.first(id)) {
            (Some((first, count)), _) if first != spot => {
                *count += 1;
                Some((first.root, first.path.clone(), first.name.clone()))
            }
            (None, Some(first)) if !same(first.root, &first.path, &first.name) => {
                Some((first.root, first.path.clone(), first.name.clone()))
            }
            _ => None,
        };
        if let Some((root, dir, from)) = good {
            folder.touch();
            let op = Op::Link { name: name.to_bytes(), root, dir: &dir, from: &from };
            return Ok(self.emitter.send(folder, &op)?);
        }
        self.resent.entry(id).or_insert_with(|| (spot.clone(), 1));
        self.whole(folder, dir, name, Some(id), TRIES)
    }

    /// A file that had to be sent again is another one now than what its other names show: that is said, and the next mirror
    /// brings them together.
    fn name_parted(&mut self) {
        for (id, (spot, good)) in std::mem::take(&mut self.resent) {
            if good < self.links.met(id) {
                let reason = "it had to be sent again, and its other names on the target still show what it was:                               mirror again"
                    .to_string();
                self.report.fail(&self.shared.counters, &spot, reason);
            }
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

/// The SHA-1 of a file's bytes; None after a stop.
fn sum_of(file: &File, shared: &JobShared) -> io::Result<Option<[u8; 20]>> {
    let (mut sum, mut buffer, mut at) = (Sha1::new(), Vec::new(), 0);
    loop {
        buffer.clear();
        let got = sys::read_into(file, at, 1 << 20, &mut buffer)?;
        if got == 0 {
            return Ok(Some(sum.finalize().into()));
        }
        if !shared.go_on() {
            return Ok(None);
        }
        sum.update(&buffer);
        at += got as u64;
    }
}

/// The text that a soft link has on the target.
pub(super) fn target_text(
    plan: &JobPlan,
    roots: &[Root],
    visit: &Visit<'_>,
    name: &CStr,
) -> io::Result<Vec<u8>> {
    let text = visit.dir.link_text(name)?;
    let at = usize::from(visit.folder.root);
    let root = roots.iter().find(|root| usize::from(root.number) == at);
    let Some(root) = root.filter(|_| plan.settings.remap_link) else { return Ok(text) };
    let path = source_path(&root.path, &visit.folder.path, name.to_bytes());
    Ok(remap(&plan.paths, at, &plan.rules, Path::new(std::ffi::OsStr::from_bytes(&path)), &text))
}

/// Hands a file to the comparing thread. It must never wait for a question that is not on its way: when its queue is full,
/// all questions are sent first.
pub(super) fn queue(
    compare: Option<&SyncSender<Compare>>,
    emitter: &Emitter,
    item: Compare,
) -> Result<(), TargetGone> {
    let compare = compare.ok_or(TargetGone)?;
    match compare.try_send(item) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(item)) => {
            emitter.lock().flush()?;
            compare.send(item).map_err(|_| TargetGone)
        }
        Err(TrySendError::Disconnected(_)) => Err(TargetGone),
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

/// What is to be done about a file with several names on either side.
enum Linked {
    /// It has been seen to.
    Done,
    /// As any file.
    AsAlone,
    /// The target's file of this name is also something else.
    NeedsOwnFile,
}

fn spot(folder: &Folder, name: &CStr) -> Spot {
    Spot { root: folder.root, path: folder.path.clone(), name: name.to_bytes().to_vec() }
}

/// The device number that counts: of device nodes only.
fn device(stat: &Stat) -> u64 {
    if matches!(stat.kind, FileKind::Block | FileKind::Character) { stat.rdev } else { 0 }
}
