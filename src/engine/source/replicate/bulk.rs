//! Large files: only what has changed travels (architecture.md 3).
//!
//! What a file has grown by is sent first, exactly and unhashed. The rest is hashed against the index of what the target has, at
//! a bounded share of the processor, until a whole pass has begun after the file's last event. Where both sides are one
//! process the target's file is read instead, but for blocks that were sent since it was asked for: these may still be on
//! their way, and the index knows them. The target's file was opened when the record's turn came and is named by number
//! from then on, so moves in the log do not disturb it.

use super::super::emit::{REPLICATION, TargetGone};
use super::super::index::{FileIndex, Index};
use super::common::Common;
use super::line::Line;
use super::model::{Identity, NodeId, stamps};
use super::record::{At, State as Held};
use crate::engine::log::escape;
use crate::sys::{self, FileKind, Stat, Xattrs};
use crate::wire::{CONTENT_MAX, FileMode, Op, Patch, SUM_LEN};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are compared at a time, and sent at a time when a file has grown.
const CHUNK: u64 = 1 << 20;
/// Bytes that are copied at a time inside the kernel, where both sides are one process.
const PIECE: u64 = 4 << 20;
/// Files that grew by less are read, so that their index stays whole.
const READ: u64 = 4 << 20;
/// Part of the time that comparing may take in the long run while nobody waits for it: one in so many.
const SHARE: u32 = 3;
/// Time that it may take at once before that counts.
const BURST: Duration = Duration::from_secs(1);
/// Files that may be under way at a time; the target opens no more than 256.
const OPEN: usize = 128;

/// A file, or one of its names that has an inode of its own on the target.
type JobKey = (Identity, Option<NodeId>);

/// One large file that is being brought up to date.
struct Job {
    key: JobKey,
    number: u64,
    file: Arc<File>,
    /// For messages.
    place: (u16, Vec<u8>, Vec<u8>),
    index: FileIndex,
    /// Bytes that the target's file has.
    length: u64,
    /// The target was asked for its sums, or its file. None: all that will come has come.
    asked: Option<Asked>,
    /// The target's file, where both sides are one process.
    theirs: Option<Arc<File>>,
    /// No block before this was cut since it was asked for: further on it may hold what a truncation under way takes.
    held: u64,
    /// A pass has to begin.
    due: bool,
    pass: Option<Pass>,
    /// Barriers that wait for a pass that begins from now on.
    marks: Vec<u64>,
    /// Its bytes are copied by the target.
    offered: bool,
    failed: bool,
    /// It is no longer among those under way.
    finished: bool,
}

/// A question for the sums of the target's blocks.
#[derive(Clone, Copy)]
struct Asked {
    question: u64,
    /// Blocks that it has answered.
    answered: usize,
    /// Whole blocks that the target's file had when it was asked: later ones may be summed before or after they are written.
    limit: usize,
}

struct Pass {
    at: u64,
    end: u64,
    /// From before the first byte was read.
    stat: Stat,
    marks: Vec<u64>,
    sparse: bool,
    /// It goes over the whole file, and what changes meanwhile may follow it.
    whole: bool,
    /// An event came meanwhile: once this pass is over, only what it had passed by then is to be passed over again.
    again: Option<Box<Pass>>,
}

impl Pass {
    /// The barriers that wait for it, and for what follows it.
    fn into_marks(self) -> Vec<u64> {
        let mut marks = self.marks;
        marks.extend(self.again.into_iter().flat_map(|again| again.marks));
        marks
    }
}

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

struct State {
    jobs: HashMap<JobKey, Arc<Mutex<Job>>>,
    questions: HashMap<u64, JobKey>,
    /// Barriers, oldest first, with the number of files that they still wait for.
    marks: Vec<(u64, usize)>,
    index: Index,
    /// Counts whatever gives the thread something to do.
    news: u64,
    closed: bool,
}

/// See the module.
pub(super) struct Bulk {
    common: Arc<Common>,
    line: Arc<Line>,
    state: Mutex<State>,
    changed: Condvar,
    as_root: bool,
    budget: usize,
}

impl Bulk {
    pub(super) fn new(common: Arc<Common>, line: Arc<Line>, budget: usize) -> Self {
        let state = State {
            jobs: HashMap::new(),
            questions: HashMap::new(),
            marks: Vec::new(),
            index: Index::new(budget),
            news: 0,
            closed: false,
        };
        Self {
            common,
            line,
            state: Mutex::new(state),
            changed: Condvar::new(),
            as_root: sys::is_root(),
            budget,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True while the file is under way.
    pub(super) fn has(&self, id: &Identity) -> bool {
        self.lock().jobs.keys().any(|(known, _)| known == id)
    }

    /// What is under way, for whoever looks for a fault.
    pub(super) fn describe(&self) -> String {
        let state = self.lock();
        format!("files {}, barriers {:?}, questions {}", state.jobs.len(), state.marks, state.questions.len())
    }

    /// The files under way.
    pub(super) fn under_way(&self) -> Vec<Identity> {
        self.lock().jobs.keys().map(|(id, _)| *id).collect()
    }

    /// The number of files under way.
    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Takes a file over, at its turn in the log: the target opens it now.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn take(
        &self,
        at: &At<'_>,
        id: &Identity,
        node: NodeId,
        separate: bool,
        file: File,
        stat: &Stat,
        xattrs: Xattrs,
        state: Held,
    ) -> Result<(), TargetGone> {
        let fresh = state == Held::Nothing;
        // Where the target has another file by this name, that one's other names keep what they have.
        let mode = if state == Held::Shared { FileMode::InPlace } else { FileMode::Alone };
        let key = (*id, separate.then_some(node));
        // Barriers that wait for a job that ends here.
        let mut left = Vec::new();
        let mut state = self.lock();
        loop {
            let Some(job) = state.jobs.get(&key).cloned() else { break };
            state.news += 1;
            drop(state);
            let mut job = job.lock().unwrap_or_else(PoisonError::into_inner);
            if job.finished {
                drop(job);
                state = self.lock();
                continue;
            }
            if fresh {
                // The target lost the file that it had opened: what is sent from now on goes to another.
                job.finished = true;
                left.append(&mut job.marks);
                left.extend(job.pass.take().into_iter().flat_map(Pass::into_marks));
                {
                    let mut emit = self.line.emitter.lock_as(REPLICATION);
                    emit.push(&Op::FileDrop { file: job.number })?;
                    if job.offered {
                        emit.push(&Op::FileAsk { file: job.number })?;
                    }
                }
                state = self.lock();
                if let Some(asked) = job.asked {
                    state.questions.remove(&asked.question);
                }
                state.jobs.remove(&key);
                continue;
            }
            job.due = true;
            self.ask(&mut job, at)?;
            drop(job);
            self.changed.notify_all();
            return Ok(());
        }
        while !state.jobs.contains_key(&key) && state.jobs.len() >= OPEN && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // The model is never locked under the list.
        drop(state);
        let length = if fresh { 0 } else { self.common.model_size(node, id) };
        let mut state = self.lock();
        // It is of the inode that the names share.
        let known = if separate { None } else { state.index.take(id) };
        let index = known.filter(|index| !fresh && index.length() == length);
        let index = index.unwrap_or_else(|| FileIndex::unknown(stat.size.max(length), length));
        drop(state);
        let number = {
            let mut emit = self.line.emitter.lock_as(REPLICATION);
            emit.go(at.root, at.path, true);
            let (name, meta) = (at.name, stat.meta);
            if fresh {
                emit.push(&Op::Put { name, meta, xattrs, content: &[] })?;
            }
            let number = emit.number();
            emit.push(&Op::FileBegin { file: number, name, mode })?;
            number
        };
        let job = Job {
            key,
            number,
            file: Arc::new(file),
            place: (at.root, at.path.to_vec(), at.name.to_vec()),
            index,
            length,
            asked: None,
            theirs: None,
            held: 0,
            due: !fresh,
            pass: None,
            marks: left,
            offered: false,
            failed: false,
            finished: false,
        };
        let job = Arc::new(Mutex::new(job));
        let mut held = job.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        state.jobs.insert(key, Arc::clone(&job));
        state.news += 1;
        drop(state);
        self.ask(&mut held, at)?;
        drop(held);
        self.changed.notify_all();
        Ok(())
    }

    /// The target's file was written otherwise: nothing is known of it any more.
    pub(super) fn forget(&self, id: &Identity) {
        self.lock().index.take(id);
    }

    /// The same of all files: a mirror writes past this.
    pub(super) fn forget_all(&self) {
        self.lock().index = Index::new(self.budget);
    }

    /// Asks the target for its file, or for the sums of its blocks, if nothing is known of them.
    fn ask(&self, job: &mut Job, at: &At<'_>) -> Result<(), TargetGone> {
        let here = self.line.emitter.local.is_some();
        let known = if here { job.held >= job.length } else { !job.index.is_unknown() || job.offered };
        if known || job.asked.is_some() || job.length == 0 {
            return Ok(());
        }
        let mut emit = self.line.emitter.lock_as(REPLICATION);
        emit.go(at.root, at.path, false);
        let question = emit.number();
        let block = u32::try_from(job.index.block()).unwrap_or(u32::MAX);
        let limit = usize::try_from(job.length / u64::from(block.max(1))).unwrap_or(usize::MAX);
        job.asked = Some(Asked { question, answered: 0, limit });
        (job.theirs, job.held) = (None, u64::MAX);
        self.lock().questions.insert(question, job.key);
        emit.push(&Op::Question { question, name: at.name, block, here })?;
        emit.flush()?;
        drop(emit);
        Ok(())
    }

    /// The target's sums of a file's blocks, in order; `last`: there are no more.
    pub(super) fn sums(&self, question: u64, sums: &[u8], last: bool) {
        let job = {
            let state = self.lock();
            state.questions.get(&question).and_then(|key| state.jobs.get(key)).cloned()
        };
        if let Some(job) = job {
            let mut job = job.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(asked) = job.asked.filter(|asked| asked.question == question) {
                let (sums, _) = sums.as_chunks::<SUM_LEN>();
                let known = sums.len().min(asked.limit.saturating_sub(asked.answered));
                job.index.learn(asked.answered, &sums[..known]);
                let answered = asked.answered + sums.len();
                job.asked = (!last).then_some(Asked { answered, ..asked });
            }
        }
        let mut state = self.lock();
        if last {
            state.questions.remove(&question);
        }
        state.news += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// The target's file can be read here.
    pub(super) fn here(&self, question: u64) {
        let Some(local) = &self.line.emitter.local else { return };
        let file = local.get(question);
        local.withdraw(question);
        let job = {
            let state = self.lock();
            state.questions.get(&question).and_then(|key| state.jobs.get(key)).cloned()
        };
        if let Some(job) = job {
            let mut job = job.lock().unwrap_or_else(PoisonError::into_inner);
            if job.asked.is_some_and(|asked| asked.question == question) {
                job.theirs = file;
            }
        }
        self.sums(question, &[], true);
    }

    /// The target has copied what was offered to it.
    pub(super) fn written(&self, number: u64) {
        if let Some(local) = &self.line.emitter.local {
            local.withdraw(number);
        }
    }

    /// A barrier's turn in the log: it goes on when the files under way have been passed over once more.
    pub(super) fn mark(&self, number: u64) -> Result<(), TargetGone> {
        let mut state = self.lock();
        let jobs: Vec<Arc<Mutex<Job>>> = state.jobs.values().cloned().collect();
        state.marks.push((number, jobs.len()));
        state.news += 1;
        drop(state);
        for job in &jobs {
            let mut job = job.lock().unwrap_or_else(PoisonError::into_inner);
            if job.finished {
                drop(job);
                self.count_down(&[number]);
                continue;
            }
            job.due = true;
            job.marks.push(number);
        }
        self.changed.notify_all();
        self.emit_marks()
    }

    /// Sends the barriers that wait for nothing any more, in their order.
    fn emit_marks(&self) -> Result<(), TargetGone> {
        loop {
            let mut emit = self.line.emitter.lock_as(REPLICATION);
            let mut state = self.lock();
            let Some((number, 0)) = state.marks.first().copied() else { return Ok(()) };
            state.marks.remove(0);
            drop(state);
            emit.push(&Op::Barrier { barrier: number | super::super::emit::REPLICATIONS })?;
            emit.flush()?;
        }
    }

    fn release(&self, marks: &[u64]) -> Result<(), TargetGone> {
        if marks.is_empty() {
            return Ok(());
        }
        self.count_down(marks);
        self.emit_marks()
    }

    fn count_down(&self, marks: &[u64]) {
        for (number, files) in &mut self.lock().marks {
            if marks.contains(number) {
                *files = files.saturating_sub(1);
            }
        }
    }

    /// No more files are taken, and what is under way ends where it is.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Works until it is closed or the target has ended.
    pub(super) fn run(&self) {
        let mut buffers = Buffers::default();
        let mut seen = 0;
        let mut pace = Pace::new(Instant::now());
        loop {
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
            let mut more = false;
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

    /// The next bit of work on one file.
    fn step(&self, job: &mut Job, buffers: &mut Buffers) -> Result<Step, TargetGone> {
        match self.try_step(job, buffers) {
            Ok(step) => Ok(step),
            Err(StepError::Gone) => Err(TargetGone),
            Err(StepError::Io(error)) => {
                let (root, path, name) = &job.place;
                let top = self.common.roots.get(root).map(|place| place.path.clone()).unwrap_or_default();
                let shown = escape(super::super::walk::source_path(&top, path, name));
                tracing::warn!("{shown}: it cannot be read on the source: {error}");
                self.common.shared.fail(&shown, &format!("it cannot be read on the source: {error}"));
                job.failed = true;
                Ok(Step::Finished)
            }
        }
    }

    fn try_step(&self, job: &mut Job, buffers: &mut Buffers) -> Result<Step, StepError> {
        let stat = Stat::of(&*job.file)?;
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
        // It is under way no more, and its end may be lost with the stream.
        self.common.dirty().inode(key.0);
        let mut marks = std::mem::take(&mut job.marks);
        // One that failed has a pass that will not end.
        marks.extend(job.pass.take().into_iter().flat_map(Pass::into_marks));
        if let Some(asked) = job.asked {
            state.questions.remove(&asked.question);
        }
        let length = job.length;
        let offered = job.offered;
        // Where the target's file can be read it is known better than from here.
        let here = self.line.emitter.local.is_some();
        let whole = !job.failed && !job.index.is_unknown() && key.1.is_none() && !here;
        let index = std::mem::replace(&mut job.index, FileIndex::unknown(0, 0));
        if whole {
            state.index.put(key.0, index);
        }
        drop(job);
        drop(state);
        match (stat, xattrs) {
            (Ok(stat), Ok(xattrs)) if stat.kind == FileKind::File => {
                emit.push(&Op::FileEnd { file: number, length, meta: stat.meta, xattrs })?;
            }
            _ => emit.push(&Op::FileDrop { file: number })?,
        }
        if offered {
            emit.push(&Op::FileAsk { file: number })?;
        }
        self.common.ask_applied(&mut emit, None)?;
        emit.flush()?;
        drop(emit);
        self.changed.notify_all();
        self.release(&marks)
    }
}

/// Keeps comparing to its share of the time.
struct Pace {
    /// Time taken beyond the share.
    over: Duration,
    /// When that was so.
    at: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { over: Duration::ZERO, at: now }
    }

    /// Work has gone on from `began` until `now`. How long to rest before the next.
    fn rest(&mut self, began: Instant, now: Instant) -> Duration {
        let took = now.duration_since(began);
        self.over = (self.over + took).saturating_sub(now.duration_since(self.at) / SHARE);
        self.at = now;
        if self.over > BURST { took * (SHARE - 1) } else { Duration::ZERO }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Works whenever it may, a millisecond at a time, until `end`; how long it worked.
    fn work(pace: &mut Pace, now: &mut Instant, end: Instant) -> Duration {
        let step = Duration::from_millis(1);
        let mut worked = Duration::ZERO;
        while *now < end {
            let began = *now;
            *now += step;
            worked += step;
            *now += pace.rest(began, *now);
        }
        worked
    }

    #[test]
    fn comparing_may_hurry_for_a_moment_and_keeps_to_its_share_in_the_long_run() {
        let start = Instant::now();
        let mut now = start;
        let mut pace = Pace::new(start);
        let second = Duration::from_secs(1);
        assert_eq!(work(&mut pace, &mut now, start + second), second);
        let long = work(&mut pace, &mut now, start + 100 * second);
        assert!(long < 99 * second / SHARE + 2 * BURST, "{long:?}");
        // After a pause it may hurry once more.
        let later = now + 100 * second;
        now = later;
        assert_eq!(work(&mut pace, &mut now, later + second), second);
    }
}
