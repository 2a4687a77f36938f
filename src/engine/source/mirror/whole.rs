//! Sending entire files: small ones in the operation, large ones in ranges or copied inside the kernel.

use super::super::content::{Before, Settled, settle};
use super::super::decide::Facts;
use super::super::folder::Folder;
use super::Failed;
use super::{Mirror, is_replaced};
use crate::engine::job::JobShared;
use crate::sys::{self, Dir, FileKind, Xattrs};
use crate::wire::{CONTENT_MAX, FileMode, Op, Patch};
use sha1::{Digest, Sha1};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Large files that may be under way at a time.
const UNDER_WAY: usize = 16;
/// Bytes of a large file that one operation copies inside the kernel: how often a stop or pause is looked at.
const PIECE: u64 = 16 << 20;
/// How often a file that changes under the reader is read before it waits for the end of the mirror.
pub(super) const TRIES: u32 = 3;

/// A large file whose bytes the target is copying.
pub(in crate::engine::source) struct UnderWay {
    folder: Arc<Folder>,
    dir: Arc<Dir>,
    name: CString,
    file: Arc<File>,
    pub(super) before: Before,
    xattrs: Xattrs,
    tries: u32,
    /// Of its bytes before they were sent, when only a second read can settle it.
    sum: Option<[u8; 20]>,
}

impl Mirror<'_> {
    /// Sends an entire file. `met`: it is one that both sides have, whose hard links were seen to.
    pub(super) fn whole(
        &mut self,
        folder: &Arc<Folder>,
        dir: &Arc<Dir>,
        name: &CStr,
        met: Option<super::super::links::Id>,
        tries: u32,
    ) -> Result<(), Failed> {
        let mut id = met;
        let result = self.whole_file(folder, dir, name, &mut id, tries);
        if let (Err(Failed::Io(_)), Some(id)) = (&result, id) {
            self.lose(id);
        }
        result
    }

    pub(super) fn whole_file(
        &mut self,
        folder: &Arc<Folder>,
        dir: &Arc<Dir>,
        name: &CStr,
        met: &mut Option<super::super::links::Id>,
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
                    return self.send_link(folder, name, &group, &before);
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
    pub(super) fn put(
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
            let Some(sending) = self.gate.sends(folder, name, &before) else { return Ok(()) };
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
                emit.end_put(undo, start);
                emit.full()?;
                drop(emit);
                sending.done(&before);
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
            drop(sending);
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
    pub(super) fn large(
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
            let Some(sending) = self.gate.sends(folder, name, &before) else { return Ok(()) };
            sending.begin(before.id());
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
                self.send_local(number, offset, len)
            } else {
                self.send_bytes(number, &file, offset, len)
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
        emit.push(&Op::FileAsk { file: number })?;
        emit.flush()?;
        drop(emit);
        self.drain()
    }

    /// False: stop.
    pub(super) fn send_local(&mut self, number: u64, offset: u64, len: u64) -> Result<bool, Failed> {
        let end = offset + len;
        let mut at = offset;
        while at < end {
            if !self.go_on()? || self.report.is_fatal() {
                return Ok(false);
            }
            let part = PIECE.min(end - at);
            let mut emit = self.emitter.lock();
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
    pub(super) fn send_bytes(
        &mut self,
        number: u64,
        file: &File,
        offset: u64,
        len: u64,
    ) -> Result<bool, Failed> {
        let end = offset + len;
        let mut at = offset;
        let size = self.plan.settings.chunk_size.clamp(4096, CONTENT_MAX);
        while at < end {
            if !self.go_on()? || self.report.is_fatal() {
                return Ok(false);
            }
            let part = usize::try_from(end - at).unwrap_or(usize::MAX).min(size);
            self.chunk.clear();
            let got = sys::read_into(file, at, part, &mut self.chunk)?;
            if got == 0 {
                // Shorter than it was: the stamps will say so.
                return Ok(true);
            }
            let patch = Patch::Bytes(&self.chunk);
            self.emitter.send_numbered(&Op::FileWrite { file: number, offset: at, patch })?;
            self.count_sent(got as u64);
            at += got as u64;
            self.drain()?;
        }
        Ok(true)
    }

    pub(super) fn count_sent(&self, bytes: u64) {
        self.shared.counters.bytes_sent.fetch_add(bytes, Relaxed);
        self.shared.counters.bytes_queued.fetch_add(bytes, Relaxed);
    }

    /// Forgets a large file that cannot be finished.
    pub(super) fn drop_large(&mut self, number: u64) -> Result<(), Failed> {
        if let Some(local) = &self.emitter.local {
            local.withdraw(number);
        }
        if let Some(under_way) = self.under_way.remove(&number) {
            self.gate.ends(under_way.before.id());
            self.lose(under_way.before.id());
            self.emitter.send_numbered(&Op::FileDrop { file: number })?;
            if under_way.folder.end_file() {
                self.send_folder_meta(&under_way.folder)?;
            }
        }
        Ok(())
    }

    /// The target has all bytes of a large file.
    pub(super) fn written(&mut self, number: u64) -> Result<(), Failed> {
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
                match self.gate.sends(&done.folder, &done.name, &done.before) {
                    Some(sending) => {
                        let op = Op::FileEnd { file: number, length: done.before.size, meta, xattrs };
                        self.emitter.send_numbered(&op)?;
                        sending.done(&done.before);
                    }
                    // It has moved or changed: replication knows of it.
                    None => self.emitter.send_numbered(&Op::FileDrop { file: number })?,
                }
                let counters = &self.shared.counters;
                counters.files.fetch_add(1, Relaxed);
                counters.files_sent.fetch_add(1, Relaxed);
                false
            }
            Ok(Settled::No) | Err(_) => {
                self.emitter.send_numbered(&Op::FileDrop { file: number })?;
                true
            }
        };
        self.gate.ends(done.before.id());
        if again {
            if done.tries < TRIES && !self.shared.stopped() {
                let (folder, dir, name) =
                    (Arc::clone(&done.folder), Arc::clone(&done.dir), done.name.clone());
                let id = done.before.id();
                match self.whole(&folder, &dir, &name, Some(id), done.tries + 1) {
                    Err(Failed::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                        self.gate.vanished(&folder, name.to_bytes());
                    }
                    Err(Failed::Io(error))
                        if is_replaced(&error) && self.gate.hand_over(&folder, &name, (0, 0)) => {}
                    Err(Failed::Io(error)) => self.failed(&folder, &name, &error),
                    other => other?,
                }
            } else {
                self.unsettled(&done.folder, &done.name, done.before.id());
            }
        }
        if done.folder.end_file() {
            self.send_folder_meta(&done.folder)?;
        }
        Ok(())
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
        // Only read: an answer that tells of it may be taken while the job is held.
        if shared.stopped() {
            return Ok(None);
        }
        sum.update(&buffer);
        at += got as u64;
    }
}
