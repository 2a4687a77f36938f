//! Large files: only what has changed travels (architecture.md 3).
//!
//! What a file has grown by is sent first, exactly and unhashed. The rest is hashed against the index of what the target has, at
//! a bounded share of the processor, until a whole pass has begun after the file's last event. Where both sides are one
//! process the target's file is read instead, but for blocks that were sent since it was asked for: these may still be on
//! their way, and the index knows them. The target's file was opened when the record's turn came and is named by number
//! from then on, so moves in the log do not disturb it.

mod pace;
mod work;

use super::super::emit::{REPLICATION, TargetGone};
use super::super::index::{FileIndex, Index};
use super::common::Common;
use super::line::Line;
use super::model::{Identity, NodeId};
use super::record::{At, State as Held};
use crate::sys::{self, Stat, Xattrs};
use crate::wire::{FileMode, Op, SUM_LEN};
use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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
    /// Bytes that the file has grown by and that are not sent.
    left: u64,
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
    /// Bytes that files have grown by and that are not sent.
    left: AtomicU64,
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
            left: AtomicU64::new(0),
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

    /// Does a question follow all that replication has sent over this stream? Without waiting: false while somebody sends.
    pub(super) fn is_asked(&self) -> bool {
        self.line.emitter.is_asked()
    }

    /// Bytes that files under way have grown by and that are not sent, as far as they were looked at.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Relaxed)
    }

    fn set_left(&self, job: &mut Job, left: u64) {
        self.left.fetch_add(left.wrapping_sub(job.left), Relaxed);
        job.left = left;
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
                self.set_left(&mut job, 0);
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
        let mut job = Job {
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
            left: 0,
            finished: false,
        };
        self.set_left(&mut job, stat.size.saturating_sub(length));
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
            emit.push_harmless(&Op::Barrier { barrier: number | super::super::emit::REPLICATIONS })?;
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
        self.common.plan.transmission.nudge();
    }
}
