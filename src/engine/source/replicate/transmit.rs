//! Transmitting: takes the log's records in their order, reads what they speak of as it is now, and sends it.
//!
//! A file is reached by the name that it has by then and taken only if it is the inode that the record means; one that is gone
//! is passed over, as its removal stands later in the log. Its flag in the model is taken back before it is read, so
//! what happens to it from then on is logged anew: no reading has to be repeated.

use super::super::capture::Key;
use super::super::emit::{REPLICATION, TargetGone};
use super::super::walk::source_path;
use super::bulk::Bulk;
use super::common::{ByKey, Common, follow};
use super::line::Line;
use super::model::{Entry, Identity, NodeId, flag, stamps};
use super::record::{At, Record, State};
use super::tasks::TASK;
use crate::engine::log::escape;
use crate::engine::queue::Popped;
use crate::engine::source::mirror::{device, remapped};
use crate::engine::transmission::Sending;
use crate::sys::{self, Dir, FileKind, Stat, Xattrs};
use crate::wire::{CONTENT_MAX, FileMode, Op, Patch};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A log that never ends asks what is applied after so many records, so that what is remembered until then stays little.
const QUESTION: u32 = 4096;

/// The sending side's own state. Used by one thread.
pub(super) struct Transmitter {
    pub(super) common: Arc<Common>,
    pub(super) line: Arc<Line>,
    pub(super) bulk: Arc<Bulk>,
    /// How long what had moved was tried again in its place since the last task.
    pub(super) patience: Duration,
    /// While it is there something is being sent, or was and no question follows it yet.
    pub(super) sending: Option<Sending>,
    as_root: bool,
    /// The directory that was read last; held only while there is something to send.
    last: Option<(Identity, Arc<Dir>)>,
    /// A directory of the target in which a file was replaced, which moved its time: root, path, and the source's.
    moved: Option<(u16, Vec<u8>, Arc<Dir>)>,
    record: Vec<u8>,
    content: Vec<u8>,
    /// The record that was sent last, and how many were since the last question.
    position: u64,
    unasked: u32,
}

/// Where the source has something now.
struct Now {
    root: u16,
    path: Vec<u8>,
    name: Vec<u8>,
    node: NodeId,
    /// It has an inode of its own on the target, whatever other names there are (REP-23).
    separate: bool,
    /// The directory that it is in, or the directory itself.
    dir: Folder,
}

/// A directory of the source.
struct Folder {
    root: u16,
    path: Vec<u8>,
    id: Identity,
    key: Option<Key>,
}

enum Failed {
    Gone,
    /// It is a mirror's at the moment, or will be sent whole.
    Later,
    /// It is no more, as far as its key tells.
    Missing,
    /// The model has it no more: what takes its names from the target stands later in the log.
    Absent,
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

impl Transmitter {
    pub(super) fn new(common: Arc<Common>, line: Arc<Line>, bulk: Arc<Bulk>) -> Self {
        let (record, content) = (Vec::new(), Vec::new());
        let as_root = sys::is_root();
        Self {
            common,
            line,
            bulk,
            patience: Duration::ZERO,
            sending: None,
            as_root,
            last: None,
            moved: None,
            record,
            content,
            position: 0,
            unasked: 0,
        }
    }

    /// Works until the queue is closed or the target has ended.
    pub(super) fn run(mut self) {
        let mut unsent = false;
        loop {
            let mut record = std::mem::take(&mut self.record);
            let wait = if unsent { Some(Duration::ZERO) } else { None };
            let popped = self.common.queue.pop(&mut record, wait);
            self.record = record;
            match popped {
                Ok(Popped::Record { position, .. }) => {
                    let record = std::mem::take(&mut self.record);
                    let sent = self.wait_open(unsent).and_then(|()| self.send_in_place(&record));
                    self.record = record;
                    if sent.is_err() && self.common.is_stopping() {
                        // It ends as it shall.
                        return;
                    }
                    if sent.is_err() {
                        // It may not even have come to telling what leaves.
                        self.common
                            .lose(Record::decode(&self.record).ok().and_then(|record| record.leaves()));
                        self.common.degrade("the target has ended");
                        // It is dirty: a mirror that waits for the log to have gone out does not wait for it.
                        return self.common.queue.done(position);
                    }
                    unsent = true;
                    self.common.queue.done(position);
                    self.position = position;
                    self.unasked += 1;
                    if self.unasked >= QUESTION && self.settle_time().and_then(|()| self.ask()).is_err() {
                        return self.common.degrade("the target has ended");
                    }
                }
                Ok(Popped::Nothing) => {
                    unsent = false;
                    if self.pause().is_err() {
                        return self.common.degrade("the target has ended");
                    }
                    self.sending = None;
                }
                Ok(Popped::Closed) => {
                    // A target that has ended needs no word.
                    let _ = self.settle_time().and_then(|()| self.flush());
                    return;
                }
                Err(damaged) => {
                    self.common.lose_all();
                    self.common.degrade(&damaged.to_string());
                }
            }
        }
    }

    /// Nothing more is sent for now: what there is goes out, and no directory stays open.
    fn pause(&mut self) -> Result<(), TargetGone> {
        self.settle_time()?;
        self.last = None;
        self.common.rest();
        self.flush()
    }

    /// Waits while nothing is to be sent; what was sent comes to its end meanwhile.
    pub(super) fn wait_open(&mut self, unsent: bool) -> Result<(), TargetGone> {
        let transmission = Arc::clone(&self.common.plan.transmission);
        if self.sending.is_some() && transmission.is_open() {
            return Ok(());
        }
        let mut unsent = unsent;
        loop {
            if let Some(sending) = transmission.sends() {
                self.sending = Some(sending);
                return Ok(());
            }
            if std::mem::take(&mut unsent) {
                self.pause()?;
            }
            // A question follows all that was sent.
            self.sending = None;
            transmission.wait(|| self.is_over());
            if self.is_over() {
                return Err(TargetGone);
            }
        }
    }

    /// There is nothing to wait for any more.
    pub(super) fn is_over(&self) -> bool {
        self.common.is_stopping() || !self.common.is_line_alive()
    }

    /// Sends what there is, with a question for when it is applied.
    fn flush(&mut self) -> Result<(), TargetGone> {
        self.ask()?;
        self.line.emitter.lock_as(REPLICATION).flush()
    }

    /// Asks when all that was sent is applied; no directory's time is still to be set.
    fn ask(&mut self) -> Result<(), TargetGone> {
        self.unasked = 0;
        let mut emit = self.line.emitter.lock_as(REPLICATION);
        self.common.ask_applied(&mut emit, Some(self.position))
    }

    /// What has moved comes back when the looker has found it. `patient`: not while a task is in the log; then nothing has been done
    /// about it (false).
    pub(super) fn send(&mut self, bytes: &[u8], patient: bool) -> Result<bool, TargetGone> {
        let record = match Record::decode(bytes) {
            Ok(record) => record,
            Err(error) => {
                self.common.degrade(&format!("the queue holds something that is no record: {error}"));
                return Ok(true);
            }
        };
        if self.moved.as_ref().is_some_and(|(root, path, _)| !record.is_in(*root, path)) {
            self.settle_time()?;
        }
        if let Some(lost) = record.leaves() {
            self.common.leaves(lost);
        }
        // Content says itself when it is sent, and an attribute is no file's touch.
        let moves = matches!(record, Record::Link { .. } | Record::Rename { .. } | Record::Remove { .. });
        let (result, at) = match record {
            Record::Directory { node, id, at } => (self.directory(node, &id, &at, true), at),
            Record::DirectoryMeta { node, id, at } => (self.directory(node, &id, &at, false), at),
            Record::Content { node, id, at, state } => (self.content(node, &id, &at, state), at),
            Record::Meta { node, id, at } => (self.meta(node, &id, &at), at),
            Record::Other { node, id, at } => (self.other(node, &id, &at), at),
            // It is sent whole with all its names; what stands under them on the target is something else.
            Record::Link { id, at, .. } if self.common.waits_for_whole(&id) => (Err(Failed::Later), at),
            Record::Rename { id, at, from, .. } if self.common.is_lacking(&id) => {
                (self.push(&from, &Op::Remove { name: from.name, tree: false }), at)
            }
            Record::Link { id, at, from } => {
                let op = Op::Link { name: at.name, root: from.root, dir: from.path, from: from.name };
                let sent = self.push(&at, &op);
                self.common.is_sure_now(&id, &at, Some(&from));
                (sent, at)
            }
            Record::Rename { at, from, directory, .. } => {
                let op = Op::Rename { name: at.name, root: from.root, dir: from.path, from: from.name };
                let sent = self.push(&at, &op);
                if directory {
                    self.line.emitter.lock_as(REPLICATION).lose_place();
                    self.last = None;
                }
                (sent, at)
            }
            Record::Remove { at, directory } => {
                let sent = self.push(&at, &Op::Remove { name: at.name, tree: directory });
                if directory {
                    self.line.emitter.lock_as(REPLICATION).lose_place();
                    self.last = None;
                }
                (sent, at)
            }
            Record::Mark { number } if number & TASK != 0 => return self.task(number).map(|()| true),
            Record::Mark { number } if self.common.return_mark(number) => return Ok(true),
            Record::Mark { number } => return self.bulk.mark(number).map(|()| true),
        };
        if moves && result.is_ok() {
            self.common.touches(at.root, at.path, at.name);
        }
        match result {
            Ok(()) => {
                self.common.pay(&record);
                Ok(true)
            }
            Err(Failed::Gone) => Err(TargetGone),
            Err(Failed::Later) => Ok(true),
            Err(Failed::Absent) => {
                self.common.pay(&record);
                if let (true, Some((_, id))) = (record.is_fresh(), record.subject()) {
                    self.common.lacks(id);
                }
                Ok(true)
            }
            Err(Failed::Missing) => Ok(self.common.miss(bytes, false, patient)),
            // It has moved or gone since it was looked up: its event tells, and then it is its turn again.
            Err(Failed::Io(error)) if is_missed(&error) => {
                self.last = None;
                Ok(self.common.miss(bytes, true, patient))
            }
            Err(Failed::Io(error)) => {
                let shown = self.shown(&at);
                tracing::warn!("{shown}: it cannot be read on the source: {error}");
                self.common.shared.fail(&shown, &format!("it cannot be read on the source: {error}"));
                self.common.plan.traffic.counts.cannot_replicate();
                self.common.gives_up(&record);
                Ok(true)
            }
        }
    }

    /// Sets the time of a directory in which a file was replaced to what the source's is.
    pub(super) fn settle_time(&mut self) -> Result<(), TargetGone> {
        let Some((root, path, dir)) = self.moved.take() else { return Ok(()) };
        let Ok(stat) = Stat::of(&*dir) else { return Ok(()) };
        let included = {
            let model = self.common.model();
            let node = model.names_of(&Identity::of(&stat)).next();
            node.is_some_and(|node| model.included(node))
        };
        let Ok(xattrs) = self.xattrs(&*dir) else { return Ok(()) };
        if included {
            let mut emit = self.line.emitter.lock_as(REPLICATION);
            emit.go(root, &path, false);
            emit.push(&Op::SetDirMeta { meta: stat.meta, xattrs })?;
        }
        Ok(())
    }

    fn shown(&self, at: &At<'_>) -> String {
        let top = self.common.roots.get(&at.root).map(|place| place.path.clone()).unwrap_or_default();
        escape(source_path(&top, at.path, at.name))
    }

    fn push(&self, at: &At<'_>, op: &Op<'_>) -> Result<(), Failed> {
        let mut emit = self.line.emitter.lock_as(REPLICATION);
        emit.go(at.root, at.path, true);
        Ok(emit.push(op)?)
    }

    /// Where a node is now; its flags are taken back. None: it is no more.
    fn now(&self, node: NodeId, id: &Identity, flags: u16) -> Option<Now> {
        let mut model = self.common.model();
        let node = if model.is(node, id) {
            node
        } else {
            // Another of its names is as good.
            model.names_of(id).next()?
        };
        model.clear(node, flags);
        let separate = model.has(node, flag::SEPARATE);
        let (root, path, name) = model.place(node);
        let itself = model.is_root(node) || model.entry(node).kind == FileKind::Directory;
        let at = if itself { node } else { model.parent(node) };
        let (_, below) = model.path(at);
        let dir = Folder { root, path: below, id: model.entry(at).id, key: model.key(at).cloned() };
        Some(Now { root, path, name, node, separate, dir })
    }

    /// Opens a directory of the source.
    fn open_dir(&mut self, dir: &Folder) -> io::Result<Arc<Dir>> {
        if let Some((known, open)) = &self.last
            && *known == dir.id
        {
            return Ok(Arc::clone(open));
        }
        let by_key = dir.key.as_ref().and_then(|key| self.common.open_by_key(dir.root, key, &dir.id));
        let open = match by_key {
            Some(open) => open,
            None => {
                let place = self.common.roots.get(&dir.root).ok_or_else(elsewhere)?;
                let top = Dir::open_root(&place.path)?;
                let open = if dir.path.is_empty() { top } else { top.descend(&sys::c_string(&dir.path)?)? };
                if Identity::of(&Stat::of(&open)?) != dir.id {
                    return Err(elsewhere());
                }
                open
            }
        };
        let open = Arc::new(open);
        self.last = Some((dir.id, Arc::clone(&open)));
        Ok(open)
    }

    fn xattrs(&self, fd: impl AsFd) -> io::Result<Xattrs> {
        if !self.common.plan.settings.extended_attributes {
            return Ok(Xattrs::default());
        }
        sys::xattrs_of_open(fd.as_fd(), self.as_root)
    }

    /// Makes a directory, or only brings its metadata.
    fn directory(&mut self, node: NodeId, id: &Identity, at: &At<'_>, make: bool) -> Result<(), Failed> {
        let path = super::super::folder::join(at.path, at.name);
        if make {
            let mut emit = self.line.emitter.lock_as(REPLICATION);
            emit.go(at.root, &path, true);
            emit.full()?;
        }
        let Some(now) = self.now(node, id, flag::META) else { return Ok(()) };
        let dir = self.open_dir(&now.dir)?;
        let stat = Stat::of(&*dir)?;
        if Identity::of(&stat) != *id {
            return Err(elsewhere().into());
        }
        let xattrs = self.xattrs(&*dir)?;
        {
            let mut model = self.common.model();
            if model.is(now.node, id) {
                model.set_stamps(now.node, 0, stamps(&stat));
            }
        }
        let mut emit = self.line.emitter.lock_as(REPLICATION);
        emit.go(at.root, &path, make);
        Ok(emit.push(&Op::SetDirMeta { meta: stat.meta, xattrs })?)
    }

    /// Opens a file and makes sure that it is the one that is meant.
    fn open_file(&mut self, now: &Now, id: &Identity) -> Result<(File, Stat), Failed> {
        match self.open_named(now, id) {
            Err(error) if is_missed(&error) => by_key(self.common.open_file_by_key(now.root, id), error),
            named => Ok(named?),
        }
    }

    fn open_named(&mut self, now: &Now, id: &Identity) -> io::Result<(File, Stat)> {
        let dir = self.open_dir(&now.dir)?;
        let file = dir.read(&sys::c_string(&now.name)?)?;
        let stat = Stat::of(&file)?;
        if Identity::of(&stat) != *id || stat.kind != FileKind::File {
            return Err(elsewhere());
        }
        Ok((file, stat))
    }

    fn content(&mut self, node: NodeId, id: &Identity, at: &At<'_>, state: State) -> Result<(), Failed> {
        self.common.waiting().taken(node, id);
        // Its flag goes first: when the mirror is through with it, it is logged anew only if it stands in the log no more.
        let Some(now) = self.now(node, id, flag::CONTENT | flag::META) else { return Err(Failed::Absent) };
        if self.common.is_busy(id) && state != State::Nothing {
            // A mirror sends it at this moment; it is looked at again when that is over. What the target has nothing of is
            // sent all the same: records that follow may be about its name.
            return Err(Failed::Later);
        }
        if state != State::Nothing && self.common.waits_for_whole(id) {
            return Err(Failed::Later);
        }
        {
            let mut model = self.common.model();
            if state == State::Shared && self.common.is_uncertain(&model, now.node) {
                drop(model);
                self.common.ask_whole(*id);
                return Err(Failed::Later);
            }
            follow(&mut model, id);
        }
        let (file, stat) = self.open_file(&now, id)?;
        let xattrs = self.xattrs(&file)?;
        let settings = &self.common.plan.settings;
        self.common.writes(at, *id);
        let small = stat.size <= settings.small_file_threshold.min(CONTENT_MAX as u64) && !stat.is_sparse();
        if !small || self.bulk.has(id) {
            self.bulk.take(at, id, now.node, now.separate, file, &stat, xattrs, state)?;
            if state != State::Shared {
                self.common.is_sure_now(id, at, None);
            }
            return Ok(());
        }
        self.bulk.forget(id);
        let size = usize::try_from(stat.size).unwrap_or(usize::MAX);
        // What the file has by the time it is read; a change since then is told by an event.
        let length;
        if state != State::Shared {
            let mut emit = self.line.emitter.lock_as(REPLICATION);
            emit.go(at.root, at.path, true);
            let undo = emit.frame.len();
            let start = Op::begin_put(&mut emit.frame, at.name, &stat.meta, &xattrs);
            match sys::read_into(&file, 0, size, &mut emit.frame) {
                Ok(_) => {}
                Err(error) => {
                    emit.frame.truncate(undo);
                    return Err(error.into());
                }
            }
            let sent = emit.frame.len() - start;
            length = sent as u64;
            emit.end_put(undo, start);
            self.common.sent(sent as u64);
            emit.full()?;
            drop(emit);
            self.common.is_sure_now(id, at, None);
            if state != State::Nothing
                && let Some((_, dir)) = &self.last
            {
                // Where the file has moved since, its move sets the time of this directory later in the log.
                self.moved = Some((at.root, at.path.to_vec(), Arc::clone(dir)));
            }
        } else {
            self.content.clear();
            sys::read_into(&file, 0, size, &mut self.content)?;
            let mut emit = self.line.emitter.lock_as(REPLICATION);
            let number = emit.number();
            emit.go(at.root, at.path, true);
            emit.push(&Op::FileBegin { file: number, name: at.name, mode: FileMode::InPlace })?;
            let mut offset = 0;
            for piece in self.content.chunks(settings.write_chunk.clamp(1, CONTENT_MAX)) {
                emit.push(&Op::FileWrite { file: number, offset, patch: Patch::Bytes(piece) })?;
                offset += piece.len() as u64;
            }
            emit.push(&Op::FileEnd { file: number, length: offset, meta: stat.meta, xattrs })?;
            self.common.sent(offset);
            length = offset;
        }
        self.common.touches(now.root, &now.path, &now.name);
        self.common.set_stamps(id, now.separate.then_some(now.node), length, stamps(&stat));
        Ok(())
    }

    /// An entry that is not opened: its directory and name, what it is, its attributes. An error when it is another by now.
    fn entry(&mut self, now: &Now, id: &Identity) -> io::Result<(Arc<Dir>, CString, Stat, Xattrs)> {
        let dir = self.open_dir(&now.dir)?;
        let name = sys::c_string(&now.name)?;
        let stat = dir.stat(&name)?;
        if Identity::of(&stat) != *id {
            return Err(elsewhere());
        }
        let xattrs = self.xattrs_of_entry(&dir, &name)?;
        Ok((dir, name, stat, xattrs))
    }

    /// Metadata of a file, link or special file.
    fn meta(&mut self, node: NodeId, id: &Identity, at: &At<'_>) -> Result<(), Failed> {
        let Some(now) = self.now(node, id, flag::META) else { return Ok(()) };
        if self.common.waits_for_whole(id) {
            return Err(Failed::Later);
        }
        // What it is set on could be another's: it gets an inode of its own.
        match self.common.uncertain(now.node) {
            None => {}
            Some((_, false)) => {
                self.common.ask_whole(*id);
                return Err(Failed::Later);
            }
            Some((FileKind::File, true)) => return self.content(node, id, at, State::Single),
            Some((_, true)) => return self.other(node, id, at),
        }
        let (stat, xattrs) = match self.entry(&now, id) {
            Err(error) if is_missed(&error) => {
                let (object, stat) = by_key(self.common.hold_by_key(now.root, id), error)?;
                (stat, self.xattrs_of_held(&object)?)
            }
            entry => entry.map(|(_, _, stat, xattrs)| (stat, xattrs))?,
        };
        let op = Op::SetMeta { name: at.name, kind: stat.kind, meta: stat.meta, xattrs };
        self.push(at, &op)?;
        let mut model = self.common.model();
        for name in model.names_of(id).collect::<Vec<_>>() {
            model.set(name, flag::TIMED);
        }
        if model.is(now.node, id) {
            let Entry { size, mtime, .. } = model.entry(now.node);
            // A later mtime may be that of bytes that were not read yet.
            model.set_stamps(now.node, size, (stamps(&stat).0, mtime));
        }
        Ok(())
    }

    /// An entry that is no file or directory, with its text if it is a symbolic link.
    fn link_or_special(&mut self, now: &Now, id: &Identity) -> io::Result<(Stat, Xattrs, Vec<u8>)> {
        let (dir, name, stat, xattrs) = self.entry(now, id)?;
        let text = if stat.kind == FileKind::Symlink { dir.link_text(&name)? } else { Vec::new() };
        Ok((stat, xattrs, text))
    }

    fn xattrs_of_held(&self, object: &File) -> io::Result<Xattrs> {
        if !self.common.plan.settings.extended_attributes {
            return Ok(Xattrs::default());
        }
        sys::xattrs_of(object.as_fd(), self.as_root)
    }

    fn xattrs_of_entry(&self, dir: &Dir, name: &std::ffi::CStr) -> io::Result<Xattrs> {
        if !self.common.plan.settings.extended_attributes {
            return Ok(Xattrs::default());
        }
        sys::xattrs_of_entry(dir.as_fd(), name, self.as_root)
    }

    /// A link or special file.
    fn other(&mut self, node: NodeId, id: &Identity, at: &At<'_>) -> Result<(), Failed> {
        let Some(now) = self.now(node, id, flag::META) else { return Err(Failed::Absent) };
        let (stat, xattrs, text) = match self.link_or_special(&now, id) {
            Err(error) if is_missed(&error) => {
                let (object, stat) = by_key(self.common.hold_by_key(now.root, id), error)?;
                let text =
                    if stat.kind == FileKind::Symlink { sys::link_text_of(&object)? } else { Vec::new() };
                (stat, self.xattrs_of_held(&object)?, text)
            }
            found => found?,
        };
        let text = if stat.kind == FileKind::Symlink {
            let top = self.common.roots.get(&now.root).map(|place| place.path.clone()).unwrap_or_default();
            let path = source_path(&top, &now.path, &now.name);
            remapped(&self.common.plan, now.root, &path, text)
        } else {
            text
        };
        let op = if stat.kind == FileKind::Symlink {
            Op::Symlink { name: at.name, meta: stat.meta, xattrs, text: &text }
        } else {
            Op::Node { name: at.name, meta: stat.meta, xattrs, kind: stat.kind, rdev: device(&stat) }
        };
        self.push(at, &op)?;
        self.common.is_sure_now(id, at, None);
        let mut model = self.common.model();
        if model.is(now.node, id) {
            model.set_stamps(now.node, 0, stamps(&stat));
        }
        Ok(())
    }
}

/// What was found by its key; `error`: why it was not found by its name.
fn by_key(found: ByKey, error: io::Error) -> Result<(File, Stat), Failed> {
    match found {
        ByKey::Open(file, stat) => Ok((file, stat)),
        ByKey::Gone => Err(Failed::Missing),
        ByKey::Unknown => Err(Failed::Io(error)),
    }
}

/// It is not where it had been a moment before.
fn is_missed(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ELOOP))
}

/// What has the name is not what the record means.
fn elsewhere() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

impl Common {
    /// Replication has sent this entry (lastFileTouched).
    pub(super) fn touches(&self, root: u16, path: &[u8], name: &[u8]) {
        let shown = self.shown(root, path, name);
        self.plan.traffic.counts.touches(&shown);
        self.shared.set_last_file(shown);
    }

    /// Counts content that was put into the stream.
    pub(super) fn sent(&self, bytes: u64) {
        self.shared.bytes_transmitted.fetch_add(bytes, Relaxed);
    }
}
