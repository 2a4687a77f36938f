//! Block by block against the target: reads and hashes the source's side while the target hashes its own, and sends what
//! differs. One thread per job; its questions were sent ahead, so no file waits for a round trip.

use super::beside::differing_blocks;
use super::content::{Before, Settled, settle};
use super::emit::{Emitter, TargetGone};
use super::folder::Folder;
use super::mirror::is_replaced;
use super::replicate::Gate;
use super::report::{Report, Spot};
use super::sums::{Piece, Sums};
use crate::engine::blocks_together;
use crate::engine::job::JobShared;
use crate::sys::{self, Dir, FileKind, Stat, Xattrs};
use crate::wire::{FileMode, Op, Patch, SUM_LEN};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};

/// What happens with blocks that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// They are sent.
    Send,
    /// They are counted only.
    Count,
}

/// A file to compare; its question is on the way.
pub(super) struct Compare {
    pub question: u64,
    pub folder: Arc<Folder>,
    pub dir: Arc<Dir>,
    pub name: CString,
    pub xattrs: Xattrs,
    /// Bytes of a block on both sides.
    pub block: usize,
    pub act: Act,
    /// Owner, mode, times or extended attributes differ, or may.
    pub meta_differs: bool,
    /// As it was met, if it has several names: others may have been linked to this one since.
    pub linked: Option<Box<Stat>>,
    /// What a verification says of it afterwards.
    pub finding: Option<Box<super::verify::Finding>>,
}

/// Asks the target for checksums of a file of `size` bytes and hands it to the comparing thread, with the question's number.
/// `asked` counts the questions of the job; `here`: the target may answer that both can read the file.
pub(super) fn ask(
    compare: Option<&SyncSender<Compare>>,
    (emitter, gate): (&Emitter, &Gate),
    asked: &mut u64,
    mut item: Compare,
    size: u64,
    here: bool,
) -> Result<(), TargetGone> {
    let Some(turn) = gate.stands(&item.folder) else { return Ok(()) };
    let mut emit = emitter.lock();
    item.question = emit.number();
    emit.look(&item.folder);
    let block = u32::try_from(item.block).unwrap_or(u32::MAX);
    emit.push(&Op::Question { question: item.question, name: item.name.to_bytes(), block, here })?;
    // A large file begins at once; small ones share a frame.
    *asked += 1;
    if size >= 1 << 20 || asked.is_multiple_of(32) {
        emit.flush()?;
    }
    drop(emit);
    drop(turn);
    item.folder.begin_file();
    queue(compare, emitter, item)
}

/// Hands a file to the comparing thread. It must never wait for a question that is not on its way: when its queue is full,
/// all questions are sent first.
fn queue(compare: Option<&SyncSender<Compare>>, emitter: &Emitter, item: Compare) -> Result<(), TargetGone> {
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

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// Bytes of the source that were compared.
    pub compared: u64,
    /// Bytes in blocks that differ or that only one side has.
    pub differing: u64,
    /// Bytes that were sent.
    pub sent: u64,
}

/// The comparing thread's tools.
pub(super) struct Comparer<'a> {
    pub emitter: &'a Emitter,
    pub gate: &'a Gate,
    pub report: &'a Report,
    pub shared: &'a JobShared,
    pub sums: &'a mut Sums,
    pub verify: Option<&'a super::verify::Findings>,
}

enum Failed {
    /// The target has ended, or a stop was asked for; so does this thread.
    Gone,
    /// It could not be read on the source.
    Source(io::Error),
    /// It could not be read on the target.
    Target(i32),
    /// It changed while it was read.
    Changed,
}

impl From<TargetGone> for Failed {
    fn from(_: TargetGone) -> Self {
        Failed::Gone
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Source(error)
    }
}

/// The target has something else, or nothing, under the name.
fn is_another(errno: i32) -> bool {
    [libc::ENOENT, libc::ENOTDIR, libc::EISDIR, libc::ELOOP, libc::ESTALE].contains(&errno)
}

impl Comparer<'_> {
    /// Works until the queue ends, a stop is asked for, or the target ends. False: it has ended.
    pub(super) fn run(mut self, queue: &Receiver<Compare>) -> bool {
        let mut buffer = Vec::new();
        for mut item in queue {
            if !self.shared.go_on() {
                return true;
            }
            let result = self.compare(&mut item, &mut buffer);
            if let Some(local) = &self.emitter.local {
                local.withdraw(item.question);
            }
            let counters = &self.shared.counters;
            let spot = || Spot {
                root: item.folder.root,
                path: item.folder.path.clone(),
                name: item.name.to_bytes().to_vec(),
            };
            if let (Err(_), Some(stat)) = (&result, &item.linked) {
                self.gate.regroup(&item.folder, stat);
            }
            match result {
                Ok(found) => {
                    counters.files.fetch_add(1, Relaxed);
                    counters.files_checksummed.fetch_add(1, Relaxed);
                    counters
                        .bytes_skipped
                        .fetch_add(found.compared - found.differing.min(found.compared), Relaxed);
                    if found.sent > 0 {
                        counters.files_sent.fetch_add(1, Relaxed);
                    }
                    if let (Some(findings), Some(finding)) = (self.verify, item.finding.take()) {
                        findings.compared(*finding, &found, &spot());
                    }
                }
                Err(Failed::Gone) => return !self.shared.go_on(),
                Err(Failed::Source(error)) if error.kind() == io::ErrorKind::NotFound => {
                    self.gate.vanished(&item.folder, item.name.to_bytes());
                }
                // Something else has its name by now, and replication sends that.
                Err(Failed::Source(error))
                    if is_replaced(&error) && self.gate.hand_over(&item.folder, &item.name, (0, 0)) => {}
                Err(Failed::Source(error)) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    self.report.errno(counters, spot(), errno, "read the file", false);
                }
                // Replication has moved or removed what the target had there since it described itself.
                Err(Failed::Target(errno))
                    if item.act == Act::Send
                        && is_another(errno)
                        && self.gate.mends(&item.folder, &item.name) => {}
                Err(Failed::Target(errno)) => {
                    self.report.errno(counters, spot(), errno, "read the file", true);
                }
                Err(Failed::Changed) if self.gate.hand_over(&item.folder, &item.name, (0, 0)) => {}
                Err(Failed::Changed) => {
                    self.report.retry(counters, spot(), "it changed while it was read".to_string());
                }
            }
            if item.folder.end_file()
                && let Some(_turn) = self.gate.stands(&item.folder)
                && self.emitter.send_folder_meta(&item.folder).is_err()
            {
                return false;
            }
        }
        true
    }

    fn compare(&mut self, item: &mut Compare, buffer: &mut Vec<u8>) -> Result<Found, Failed> {
        let opened = item.dir.read(&item.name).and_then(|file| Ok((Before::look(&file)?, file)));
        let (before, file) = match opened {
            Ok((stat, file)) if stat.kind == FileKind::File => (stat, file),
            Ok(_) => return Err(Failed::Changed),
            Err(error) => return Err(error.into()),
        };
        sys::advise_sequential(&file);
        let mut patch = InPlace { item, number: None, gate: self.gate, id: before.id() };
        self.gate.begins(before.id());
        let result = if self.sums.is_here(patch.item.question) {
            self.compare_beside(&mut patch, &file, &before)
        } else {
            self.compare_sums(&mut patch, &file, &before, buffer)
        };
        if result.is_err() {
            patch.drop_file(self.emitter);
        }
        self.gate.ends(before.id());
        result
    }

    fn compare_sums(
        &mut self,
        patch: &mut InPlace<'_>,
        file: &File,
        before: &Before,
        buffer: &mut Vec<u8>,
    ) -> Result<Found, Failed> {
        let mut found = Found::default();
        let mut target_ended = None;
        let block = patch.item.block;
        let span = block * blocks_together(block);
        buffer.resize(span.max(buffer.len()), 0);
        let mut sums = Vec::new();
        let mut at = 0;
        loop {
            let got = sys::read_exact_at(file, &mut buffer[..span], at)?;
            sums.clear();
            sys::block_sums(&buffer[..got], block, &mut sums);
            found.compared += got as u64;
            self.shared.counters.bytes_compared.fetch_add(got as u64, Relaxed);
            for (bytes, ours) in buffer[..got].chunks(block).zip(&sums) {
                let theirs = self.their_sum(patch, &mut target_ended)?;
                if theirs.as_ref() != Some(ours) {
                    found.differing += bytes.len() as u64;
                    if patch.item.act == Act::Send {
                        found.sent += self.send_block(patch, before, at, bytes)?;
                    }
                }
                at += bytes.len() as u64;
            }
            if got < span {
                break;
            }
            if !self.shared.go_on() {
                return Err(Failed::Gone);
            }
        }
        let their_size = match target_ended {
            Some(size) => size,
            None => self.their_end(patch.item.question)?,
        };
        self.conclude(patch, file, before, found, (at, their_size))
    }

    /// The same without checksums, for a file of the target that this process may read.
    fn compare_beside(&self, patch: &mut InPlace<'_>, file: &File, before: &Before) -> Result<Found, Failed> {
        let local = self.emitter.local.as_ref();
        let theirs = local.and_then(|local| local.get(patch.item.question)).ok_or(Failed::Gone)?;
        let their_size = Stat::of(&*theirs)?.size;
        let block = patch.item.block;
        let blocks = differing_blocks(file, &theirs, before.size, block, self.shared)?.ok_or(Failed::Gone)?;
        let mut found = Found { compared: before.size, ..Found::default() };
        let mut bytes = vec![0; block];
        for at in blocks {
            let got = sys::read_exact_at(file, &mut bytes, at)?;
            found.differing += got as u64;
            if patch.item.act == Act::Send && got > 0 {
                found.sent += self.send_block(patch, before, at, &bytes[..got])?;
            }
        }
        self.conclude(patch, file, before, found, (before.size, their_size))
    }

    /// What follows when all blocks were compared: `sizes` are the bytes read here and there.
    fn conclude(
        &self,
        patch: &mut InPlace<'_>,
        file: &File,
        before: &Before,
        mut found: Found,
        (at, their_size): (u64, u64),
    ) -> Result<Found, Failed> {
        if their_size > at {
            found.differing += their_size - at;
        }
        // What only a second read could settle is compared anew at the mirror's end.
        let settled = settle(file, before, || Ok(false))?;
        if settled == Settled::No || at != before.size {
            return Err(Failed::Changed);
        }
        if patch.item.act == Act::Send {
            patch.finish(self.emitter, before, their_size != at)?;
        }
        Ok(found)
    }

    /// Sends one block that differs; bytes that travel.
    fn send_block(
        &self,
        patch: &mut InPlace<'_>,
        before: &Stat,
        at: u64,
        bytes: &[u8],
    ) -> Result<u64, Failed> {
        let file = patch.begin(self.emitter, before)?;
        let hole = before.is_sparse() && bytes.iter().all(|b| *b == 0);
        let len = bytes.len() as u64;
        let piece = if hole { Patch::Hole(len) } else { Patch::Bytes(bytes) };
        self.emitter.send_numbered(&Op::FileWrite { file, offset: at, patch: piece })?;
        if hole {
            return Ok(0);
        }
        self.shared.counters.bytes_sent.fetch_add(len, Relaxed);
        self.shared.counters.bytes_queued.fetch_add(len, Relaxed);
        Ok(len)
    }

    /// The target's sum of the next block; None when it has no more, and then its size is known.
    fn their_sum(
        &mut self,
        patch: &InPlace<'_>,
        ended: &mut Option<u64>,
    ) -> Result<Option<[u8; SUM_LEN]>, Failed> {
        if ended.is_some() {
            return Ok(None);
        }
        match self.sums.next(patch.item.question) {
            Piece::Sum(sum) => Ok(Some(sum)),
            Piece::End(size) => {
                *ended = Some(size);
                Ok(None)
            }
            Piece::Unreadable(errno) => Err(Failed::Target(errno)),
            Piece::Here | Piece::Gone => Err(Failed::Gone),
        }
    }

    /// The bytes that the target has in all.
    fn their_end(&mut self, question: u64) -> Result<u64, Failed> {
        loop {
            match self.sums.next(question) {
                Piece::Sum(_) => {}
                Piece::End(size) => return Ok(size),
                Piece::Unreadable(errno) => return Err(Failed::Target(errno)),
                Piece::Here | Piece::Gone => return Err(Failed::Gone),
            }
        }
    }
}

/// A file that is being changed in place, begun when its first differing block is met.
struct InPlace<'a> {
    item: &'a Compare,
    number: Option<u64>,
    gate: &'a Gate,
    id: (u64, u64),
}

impl InPlace<'_> {
    fn begin(&mut self, emitter: &Emitter, before: &Stat) -> Result<u64, Failed> {
        if let Some(number) = self.number {
            return Ok(number);
        }
        // Where it has moved, replication knows of it.
        let _turn = self.gate.sends(&self.item.folder, &self.item.name, before).ok_or(Failed::Changed)?;
        let mut emit = emitter.lock();
        let number = emit.number();
        emit.look(&self.item.folder);
        emit.push(&Op::FileBegin { file: number, name: self.item.name.to_bytes(), mode: FileMode::InPlace })?;
        self.number = Some(number);
        Ok(number)
    }

    /// Sets length and metadata, where anything differs.
    fn finish(&mut self, emitter: &Emitter, before: &Stat, length_differs: bool) -> Result<(), Failed> {
        let (meta, xattrs) = (before.meta, self.item.xattrs.clone());
        if length_differs {
            self.begin(emitter, before)?;
        }
        let sending = self.gate.sends(&self.item.folder, &self.item.name, before);
        match self.number {
            Some(file) => {
                emitter.send_numbered(&Op::FileEnd { file, length: before.size, meta, xattrs })?;
            }
            None if self.item.meta_differs && sending.is_some() => {
                let name = self.item.name.to_bytes();
                let op = Op::SetMeta { name, kind: FileKind::File, meta, xattrs };
                emitter.send_looking(&self.item.folder, &op)?;
            }
            None => {}
        }
        match sending {
            Some(sending) => sending.done(before),
            None => self.mixed(),
        }
        Ok(())
    }

    /// Leaves the file as it is; what was written stands.
    fn drop_file(&mut self, emitter: &Emitter) {
        if let Some(file) = self.number {
            // A target that has ended needs no word.
            let _ = emitter.send_numbered(&Op::FileDrop { file });
            self.mixed();
        }
    }

    /// Some of its blocks were sent, and may be of another time than the rest.
    fn mixed(&self) {
        if self.number.is_some() {
            self.gate.leave_content(self.id);
        }
    }
}
