//! The work on the files under way, a step at a time: growth first, then passes, then the end.

use super::super::ledger::Entry;
use super::pace::Pace;
use super::{Asked, Bulk, Job, Pass, State};
use crate::engine::log::escape;
use crate::engine::source::emit::{REPLICATION, TargetGone};
use crate::engine::source::index::FileIndex;
use crate::engine::source::replicate::model::stamps;
use crate::engine::source::walk::source_path;
use crate::sys::{self, FileKind, Stat, Xattrs};
use crate::wire::{CONTENT_MAX, Op, Patch};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are compared at a time, and sent at a time when a file has grown.
const CHUNK: u64 = 1 << 20;
/// Bytes that are copied at a time inside the kernel, where both sides are one process.
const PIECE: u64 = 4 << 20;
/// Files that grew by less are read, so that their index stays whole.
const READ: u64 = 4 << 20;

/// Memory for a piece of a file, and for the target's bytes of it.
#[derive(Default)]
struct Buffers {
    ours: Vec<u8>,
    theirs: Vec<u8>,
}

/// What a step came to.
#[derive(PartialEq, Eq)]
enum Step {
    /// There may be more to do.
    Went,
    /// A piece was compared.
    Compared,
    /// The target's sums, or its file, have not come yet.
    Waits,
    Finished,
}

impl Bulk {
    /// Works until it is closed or the target has ended.
    pub(in super::super) fn run(&self) {
        let mut buffers = Buffers::default();
        let mut seen = 0;
        let mut pace = Pace::new(Instant::now());
        let mut sending = None;
        let mut more = false;
        loop {
            if !more {
                // It may be long until there is something to do again.
                if sending.take().is_some() && self.ask_rest().is_err() {
                    return;
                }
                self.common.show_queue();
            }
            let (jobs, hurry) = {
                let mut state = self.lock();
                while state.news == seen && !state.closed {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.closed {
                    return;
                }
                seen = state.news;
                (state.jobs.values().cloned().collect::<Vec<_>>(), !state.marks.is_empty())
            };
            let transmission = &self.common.plan.transmission;
            if !transmission.is_open() {
                // What was sent comes to its end meanwhile, and it is told when.
                if self.ask_rest().is_err() {
                    return;
                }
                sending = None;
                self.common.show_queue();
            }
            while sending.is_none() {
                transmission.wait(|| self.lock().closed);
                if self.lock().closed {
                    return;
                }
                sending = transmission.sends();
            }
            more = false;
            let began = Instant::now();
            let mut compared = false;
            for job in jobs {
                let mut job = job.lock().unwrap_or_else(PoisonError::into_inner);
                if job.finished {
                    continue;
                }
                let step = match self.step(&mut job, &mut buffers) {
                    Ok(step) => step,
                    Err(TargetGone) => return,
                };
                match step {
                    Step::Went => more = true,
                    Step::Compared => (more, compared) = (true, true),
                    Step::Waits => {}
                    Step::Finished => {
                        if self.finish(job).is_err() {
                            return;
                        }
                    }
                }
            }
            if buffers.ours.capacity() > 2 * CHUNK as usize || !more {
                buffers = Buffers::default();
            }
            if more {
                // This thread's own news: there is more to do.
                let rest = if compared { pace.rest(began, Instant::now()) } else { Duration::ZERO };
                let mut state = self.lock();
                if !rest.is_zero() && !hurry {
                    let quiet = |state: &mut State| state.news == seen && !state.closed;
                    state = self
                        .changed
                        .wait_timeout_while(state, rest.min(Duration::from_millis(100)), quiet)
                        .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
                }
                state.news += 1;
            }
        }
    }

    /// Asks when all is applied that nobody has asked for, and sends what there is.
    fn ask_rest(&self) -> Result<(), TargetGone> {
        let mut emit = self.line.emitter.lock_as(REPLICATION);
        if !emit.is_asked() {
            self.common.ask_applied(&mut emit, None)?;
        }
        emit.flush()
    }

    /// The next bit of work on one file.
    fn step(&self, job: &mut Job, buffers: &mut Buffers) -> Result<Step, TargetGone> {
        match self.try_step(job, buffers) {
            Ok(step) => Ok(step),
            Err(StepError::Gone) => Err(TargetGone),
            Err(StepError::Io(error)) => {
                let (root, path, name) = &job.place;
                let top = self.common.roots.get(root).map(|place| place.path.clone()).unwrap_or_default();
                let shown = escape(source_path(&top, path, name));
                tracing::warn!("{shown}: it cannot be read on the source: {error}");
                self.common.shared.fail(&shown, &format!("it cannot be read on the source: {error}"));
                self.common.plan.traffic.counts.cannot_replicate();
                job.failed = true;
                Ok(Step::Finished)
            }
        }
    }

    fn try_step(&self, job: &mut Job, buffers: &mut Buffers) -> Result<Step, StepError> {
        let stat = Stat::of(&*job.file)?;
        self.set_left(job, stat.size.saturating_sub(job.length));
        if stat.size < job.length {
            job.length = stat.size;
            job.index.truncated(stat.size);
            // What it answers from now on may be of before or after; in its file only the blocks from here on may. The one that
            // is cut may have been sent just now.
            let block = job.index.block() as u64;
            job.held = job.held.min(stat.size / block * block);
            if self.line.emitter.local.is_none()
                && let Some(asked) = job.asked.take()
            {
                self.lock().questions.remove(&asked.question);
            }
            job.due = true;
            self.set(job, &stat)?;
            if let Some(pass) = &mut job.pass {
                pass.end = pass.end.min(stat.size);
            }
            return Ok(Step::Went);
        }
        if stat.size > job.length {
            self.grow(job, &stat, &mut buffers.ours)?;
            return Ok(Step::Went);
        }
        if job.due {
            match &job.pass {
                None => {
                    let pass = Self::begin(job)?;
                    job.pass = Some(pass);
                }
                Some(Pass { whole: true, again: None, at, .. }) => {
                    let passed = *at;
                    let begun = Self::begin(job)?;
                    if let Some(pass) = &mut job.pass {
                        // What it has grown by was sent, and may have changed since.
                        pass.end = pass.end.max(begun.end);
                        pass.again = Some(Box::new(Pass { end: passed, whole: false, ..begun }));
                    }
                }
                Some(_) => {}
            }
        }
        let Some(pass) = &job.pass else { return Ok(Step::Finished) };
        if pass.at < pass.end.min(job.length) {
            return self.pass(job, buffers);
        }
        let Some(mut pass) = job.pass.take() else { return Ok(Step::Finished) };
        self.common.set_stamps(&job.key.0, job.key.1, job.length, stamps(&pass.stat));
        job.pass = pass.again.take().map(|again| *again);
        if job.pass.is_some() || job.due || Stat::of(&*job.file)?.size != job.length {
            self.set(job, &stat)?;
            self.flush()?;
            self.release(&pass.marks)?;
            return Ok(Step::Went);
        }
        // The end is told by `finish`, with the marks of this pass.
        job.marks.extend(pass.marks);
        Ok(Step::Finished)
    }

    /// A pass over the whole file as it is now.
    fn begin(job: &mut Job) -> io::Result<Pass> {
        job.due = false;
        // Stores to pages that are dirty already move no stamp: they do so again once the pages are written back.
        sys::write_back(&job.file)?;
        let stat = Stat::of(&*job.file)?;
        let marks = std::mem::take(&mut job.marks);
        let (end, sparse) = (stat.size.min(job.length), stat.is_sparse());
        Ok(Pass { at: 0, end, stat, marks, sparse, whole: true, again: None })
    }

    fn flush(&self) -> Result<(), TargetGone> {
        self.line.emitter.lock_as(REPLICATION).flush()
    }

    fn xattrs(&self, file: &File) -> io::Result<Xattrs> {
        if !self.common.plan.settings.extended_attributes {
            return Ok(Xattrs::default());
        }
        sys::xattrs_of_open(file.as_fd(), self.as_root)
    }

    /// Length and metadata as they are now.
    fn set(&self, job: &Job, stat: &Stat) -> Result<(), StepError> {
        let xattrs = self.xattrs(&job.file)?;
        let op = Op::FileSet { file: job.number, length: job.length, meta: stat.meta, xattrs };
        Ok(self.line.emitter.lock_as(REPLICATION).push(&op)?)
    }

    /// Sends what the file has grown by, as far as one step goes.
    fn grow(&self, job: &mut Job, stat: &Stat, buffer: &mut Vec<u8>) -> Result<(), StepError> {
        let grown = stat.size - job.length;
        if let (Some(local), true) = (&self.line.emitter.local, grown > READ || job.offered) {
            if !job.offered {
                local.offer(job.number, Arc::clone(&job.file));
                job.offered = true;
            }
            let (mut at, mut left) = (job.length, PIECE.min(grown));
            // A hole is made by the length.
            if stat.is_sparse() {
                match data_after(&job.file, at, stat.size)? {
                    Some((data, len)) => {
                        at = data;
                        left = len.min(PIECE);
                    }
                    None => {
                        at = stat.size;
                        left = 0;
                    }
                }
            }
            let mut emit = self.line.emitter.lock_as(REPLICATION);
            if left > 0 {
                emit.push(&Op::FileWrite { file: job.number, offset: at, patch: Patch::Local(left) })?;
            }
            self.common.sent(left);
            drop(emit);
            job.length = at + left;
            job.index.grown_unknown(job.length);
            if job.length >= stat.size {
                self.set(job, stat)?;
            }
            return Ok(self.flush()?);
        }
        let (mut at, mut part) = (job.length, CHUNK.min(grown));
        if stat.is_sparse() {
            let Some((data, len)) = data_after(&job.file, at, stat.size)? else {
                // A hole is made by the length.
                job.length = stat.size;
                job.index.grown_unknown(job.length);
                return self.set(job, stat);
            };
            if data > at {
                job.index.grown_unknown(data);
            }
            at = data;
            part = len.min(CHUNK);
        }
        buffer.clear();
        let got = sys::read_into(&job.file, at, usize::try_from(part).unwrap_or(usize::MAX), buffer)? as u64;
        let mut emit = self.line.emitter.lock_as(REPLICATION);
        let mut offset = at;
        for piece in buffer.chunks(self.common.plan.settings.write_chunk.clamp(1, CONTENT_MAX)) {
            emit.push(&Op::FileWrite { file: job.number, offset, patch: Patch::Bytes(piece) })?;
            offset += piece.len() as u64;
        }
        self.common.sent(got);
        drop(emit);
        job.index.appended(buffer);
        job.length = at + got;
        if got == 0 && stat.size > at {
            // It has become shorter meanwhile.
            return Ok(());
        }
        if job.length >= stat.size {
            // Set exactly when the pass ends; a reader of the target sees the bytes at once.
            self.flush()?;
        }
        Ok(())
    }

    /// Compares the next piece of a pass, and sends what differs.
    fn pass(&self, job: &mut Job, buffers: &mut Buffers) -> Result<Step, StepError> {
        let block = job.index.block() as u64;
        let Some(pass) = &mut job.pass else { return Ok(Step::Went) };
        // Where the file has grown since the pass began, its last block is taken whole, as far as the target has it.
        let (at, end) = (pass.at, pass.end.next_multiple_of(block).min(job.length));
        let piece = (CHUNK / block).max(1) * block;
        let part = piece.min(end - at);
        if let Some(Asked { answered, .. }) = job.asked
            && (answered as u64) * block < at + part
            && !job.index.knows(at, part)
        {
            return Ok(Step::Waits);
        }
        let bytes = &mut buffers.ours;
        bytes.clear();
        let got = sys::read_into(&job.file, at, usize::try_from(part).unwrap_or(usize::MAX), bytes)?;
        if got == 0 {
            pass.at = pass.end;
            return Ok(Step::Went);
        }
        pass.at = (pass.at + got as u64).max(if at + got as u64 >= end { pass.end } else { 0 });
        let sparse = pass.sparse;
        let first = usize::try_from(at / block).unwrap_or(usize::MAX);
        let differing = match &job.theirs {
            Some(theirs) => {
                buffers.theirs.clear();
                let held = usize::try_from(job.held.saturating_sub(at)).unwrap_or(usize::MAX).min(got);
                // What cannot be read differs.
                let _ = sys::read_into(theirs, at, held, &mut buffers.theirs);
                job.index.compare(first, bytes, &buffers.theirs)
            }
            None => {
                let mut sums = Vec::new();
                sys::block_sums(bytes, block as usize, &mut sums);
                let differing = job.index.differing(first, &sums, bytes);
                job.index.set(first, &sums, bytes);
                differing
            }
        };
        if !differing.is_empty() {
            let chunk = self.common.plan.settings.write_chunk.clamp(1, CONTENT_MAX);
            let mut emit = self.line.emitter.lock_as(REPLICATION);
            for number in differing {
                let start = (number - first) * block as usize;
                let bytes = &bytes[start..(start + block as usize).min(bytes.len())];
                let mut offset = at + start as u64;
                if sparse && bytes.iter().all(|byte| *byte == 0) {
                    let patch = Patch::Hole(bytes.len() as u64);
                    emit.push(&Op::FileWrite { file: job.number, offset, patch })?;
                    continue;
                }
                for piece in bytes.chunks(chunk) {
                    emit.push(&Op::FileWrite { file: job.number, offset, patch: Patch::Bytes(piece) })?;
                    offset += piece.len() as u64;
                }
                self.common.sent(bytes.len() as u64);
            }
            emit.flush()?;
        }
        Ok(Step::Compared)
    }

    /// Ends a file whose pass is over, if nothing has come since.
    fn finish(&self, job: MutexGuard<'_, Job>) -> Result<(), TargetGone> {
        let key = job.key;
        let again =
            !job.failed && (job.due || Stat::of(&*job.file).is_ok_and(|stat| stat.size != job.length));
        if again {
            self.lock().news += 1;
            return Ok(());
        }
        let (file, number) = (Arc::clone(&job.file), job.number);
        // What it has grown by since it began was no pass's.
        self.common.set_size(&key.0, key.1, job.length);
        drop(job);
        // From the last look to the end that is sent nobody may take the file up, or pass it over for a barrier: the next to
        // write to it, and the barrier, come behind that end.
        let mut emit = self.line.emitter.lock_as(REPLICATION);
        // Not older than metadata that was sent before.
        let (stat, xattrs) = (Stat::of(&*file), self.xattrs(&file));
        let mut state = self.lock();
        let Some(entry) = state.jobs.get(&key).cloned() else { return Ok(()) };
        let Ok(mut job) = entry.try_lock() else {
            state.news += 1;
            return Ok(());
        };
        // Another may have taken its place meanwhile, of which nothing is sent yet.
        if job.number != number || job.due && !job.failed {
            state.news += 1;
            return Ok(());
        }
        state.jobs.remove(&key);
        job.finished = true;
        self.set_left(&mut job, 0);
        // It is under way no more, and its end may be lost with the stream.
        self.common.dirty().inode(key.0);
        let mut marks = std::mem::take(&mut job.marks);
        // One that failed has a pass that will not end.
        marks.extend(job.pass.take().into_iter().flat_map(Pass::into_marks));
        if let Some(asked) = job.asked {
            state.questions.remove(&asked.question);
        }
        let (length, offered) = (job.length, job.offered);
        // Where the target's file can be read it is known better than from here.
        let here = self.line.emitter.local.is_some();
        let whole = !job.failed && !job.index.is_unknown() && key.1.is_none() && !here;
        let index = std::mem::replace(&mut job.index, FileIndex::unknown(0, 0));
        if whole {
            state.index.put(key.0, index);
        }
        let place = job.place.clone();
        drop(job);
        drop(state);
        match (stat, xattrs) {
            (Ok(stat), Ok(xattrs)) if stat.kind == FileKind::File => {
                emit.push(&Op::FileEnd { file: number, length, meta: stat.meta, xattrs })?;
                self.common.touches(place.0, &place.1, &place.2);
            }
            _ => emit.push(&Op::FileDrop { file: number })?,
        }
        if offered {
            emit.push(&Op::FileAsk { file: number })?;
        }
        self.common.ask_applied(&mut emit, None)?;
        // Behind the question: a generation of the ledger that ends from here on has it in the next.
        self.common.ledger.note(&Entry::Inode { id: key.0 });
        emit.flush()?;
        drop(emit);
        self.changed.notify_all();
        self.release(&marks)
    }
}

/// The next piece of data: where it begins and how long it is.
fn data_after(file: &File, at: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
    let Some(data) = sys::next_data(file, at)?.filter(|data| *data < end) else { return Ok(None) };
    let hole = sys::next_hole(file, data)?.min(end);
    Ok((hole > data).then_some((data, hole - data)))
}

enum StepError {
    Gone,
    Io(io::Error),
}

impl From<TargetGone> for StepError {
    fn from(_: TargetGone) -> Self {
        StepError::Gone
    }
}

impl From<io::Error> for StepError {
    fn from(error: io::Error) -> Self {
        StepError::Io(error)
    }
}
