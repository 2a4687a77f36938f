//! The one stream between source and target of a replicating connection: mirrors, verifications and replication send over it,
//! and each is given its own answers.

use super::super::emit::{Emitter, REPLICATIONS};
use super::super::reach::reach;
use crate::api::{ApiError, Code};
use crate::engine::job::JobPlan;
use crate::engine::link::{Cut, Frame, FramePool, Inlet, SourceEnd};
use crate::engine::log::inherit;
use crate::sys::Favour;
use crate::wire::{Answer, Op, Reader};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Frames of a description that wait for the job.
const LISTINGS: usize = 4;
/// The question at the beginning of a job.
const BEGINS: u64 = 1 << 60;

/// What replication hears from the target.
pub(super) trait Hears: Send + Sync {
    fn answer(&self, answer: &Answer<'_>);
    /// The target has ended, by itself or because it was asked to.
    fn ended(&self, error: Option<String>);
}

/// What a job on the stream gets.
pub(in crate::engine::source) struct JobEnd {
    pub emitter: Arc<Emitter>,
    pub listings: Inlet,
    pub sums: Inlet,
    pub results: Inlet,
    pub frames: FramePool,
}

/// Where the answers of the running job go.
#[derive(Debug, Default)]
struct Routes {
    results: Option<Sender<Frame>>,
    sums: Option<Sender<Frame>>,
    /// Bounded: a description may be as large as the tree.
    listings: Option<SyncSender<Frame>>,
    /// Descriptions that have come to their end, and how many were asked for before the running job: what comes until they have is the
    /// rest of what a job was told that has been stopped.
    described: u64,
    first: u64,
    /// The running job's first question: what is answered before it is of a job that has ended.
    begins: Option<u64>,
    /// The target has ended: a job must not wait for its answers.
    over: bool,
}

impl Routes {
    /// No more answers come.
    fn end(&mut self) {
        *self = Routes { over: true, ..Routes::default() };
    }
}

/// The source's end of the stream.
pub(in crate::engine::source) struct Line {
    pub(super) emitter: Arc<Emitter>,
    frames: FramePool,
    routes: Arc<Mutex<Routes>>,
    /// When it is cut, what is under way is dropped.
    cut: Arc<Cut>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// How many have used it.
    jobs: AtomicU64,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    /// Starts the target and tells it the roots.
    pub(super) fn open(
        plan: &JobPlan,
        roots: &[(PathBuf, Option<Vec<u8>>)],
        hears: Arc<dyn Hears>,
        favour: &Arc<Favour>,
    ) -> Result<Line, ApiError> {
        let cut = Arc::new(Cut::default());
        let (source, serve) = reach(plan, Arc::clone(&cut))?;
        let SourceEnd { ops, listings, sums, results, frames, local: files } = source;
        let emitter = Arc::new(Emitter::new(ops, frames.clone(), files, plan.traffic.counts.stream()));
        let routes = Arc::new(Mutex::new(Routes::default()));
        let mut threads = Vec::new();
        let (heard, favour) = (Arc::clone(&hears), Arc::clone(favour));
        threads.push(spawn_prompt("target", move || {
            let _member = favour.joins();
            heard.ended(serve().err());
        })?);
        let (to, heard) = (Arc::clone(&routes), Arc::clone(&hears));
        let stream = Arc::clone(&emitter.stream);
        threads.push(spawn_prompt("answers", move || {
            for frame in results {
                stream.is_told(&frame);
                let mut routes = match route_result(&frame, &*heard) {
                    Route::Replication => continue,
                    Route::Begins(job) => {
                        let mut routes = lock(&to);
                        routes.begins = routes.begins.filter(|begins| *begins != job);
                        continue;
                    }
                    Route::Job => lock(&to),
                };
                if routes.begins.is_none()
                    && let Some(results) = &mut routes.results
                {
                    // A job that has ended needs no answer.
                    let _ = results.send(frame);
                }
            }
            stream.ends();
            lock(&to).end();
        })?);
        let (to, heard) = (Arc::clone(&routes), hears);
        threads.push(spawn("sums", move || {
            for frame in sums {
                if matches!(route_sums(&frame, &*heard), Route::Job)
                    && let Some(sums) = &lock(&to).sums
                {
                    let _ = sums.send(frame);
                }
            }
            lock(&to).end();
        })?);
        let to = Arc::clone(&routes);
        threads.push(spawn("listings", move || {
            for frame in listings {
                let mut routes = lock(&to);
                let listings = routes.listings.clone().filter(|_| routes.described >= routes.first);
                routes.described += u64::from(is_end(&frame));
                drop(routes);
                if let Some(listings) = listings {
                    let _ = listings.send(frame);
                }
            }
            lock(&to).end();
        })?);
        let op = Op::Begin {
            attributes: plan.settings.attributes,
            xattrs: plan.settings.extended_attributes,
            scan: false,
            roots: roots.iter().map(|(path, only)| (path.as_os_str().as_bytes(), only.as_deref())).collect(),
        };
        let mut emit = emitter.lock();
        let sent = emit.push(&op).and_then(|()| emit.flush());
        drop(emit);
        sent.map_err(|error| ApiError::new(Code::ConnectionFailed, error.to_string()))?;
        Ok(Line { emitter, frames, routes, cut, threads: Mutex::new(threads), jobs: AtomicU64::new(0) })
    }

    /// The stream as a mirror or verification uses it; one at a time.
    pub(in crate::engine::source) fn job(&self) -> JobEnd {
        let ((results_in, results), (sums_in, sums), (listings_in, listings)) =
            (channel(), channel(), sync_channel(LISTINGS));
        let mut routes = lock(&self.routes);
        if !routes.over {
            (routes.results, routes.sums) = (Some(results_in), Some(sums_in));
            routes.listings = Some(listings_in);
            routes.first = self.emitter.descriptions.load(Relaxed);
            let job = self.jobs.fetch_add(1, Relaxed) + 1;
            routes.begins = Some(job);
            drop(routes);
            // A stream that has ended is met by the job itself.
            let _ = self.emitter.lock().push(&Op::Barrier { barrier: job | BEGINS });
        }
        JobEnd {
            emitter: Arc::clone(&self.emitter),
            listings: listings.into(),
            sums: sums.into(),
            results: results.into(),
            frames: self.frames.clone(),
        }
    }

    /// The job has ended.
    pub(in crate::engine::source) fn end_job(&self) {
        let mut routes = lock(&self.routes);
        (routes.results, routes.sums, routes.listings) = (None, None, None);
    }

    /// Ends the stream: the target applies what was sent, unless it is cut.
    pub(super) fn close(&self, cut: bool) {
        if cut {
            self.cut.cut();
        }
        self.emitter.lock().close();
    }

    /// The same without waiting for a target that reads nothing; false: to be called again.
    pub(super) fn try_close(&self, cut: bool) -> bool {
        if cut {
            self.cut.cut();
        }
        self.emitter.try_close()
    }

    /// The target drops what it has not taken up, and ends. Without waiting for who sends.
    pub(super) fn abandon(&self) {
        self.cut.cut();
    }

    /// Ends the stream in the midst of what is under way.
    pub(super) fn cut(&self) {
        self.cut.cut();
        self.emitter.lock().drop_all();
    }

    /// True when all its threads have ended.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.threads).iter().all(JoinHandle::is_finished)
    }

    pub(super) fn join(&self) {
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // A panic there has been reported by the runtime.
            let _ = thread.join();
        }
        // Before the next stream begins, whoever still holds this one.
        self.emitter.stream.ends();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread that writes to this engine's log.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ApiError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(inherit(work));
    spawned.map_err(|error| ApiError::no_thread(&error))
}

/// The same for one that a change passes through on its way to the target.
pub(super) fn spawn_prompt(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, ApiError> {
    spawn(name, move || {
        // Without it changes arrive later when the machine is busy.
        let _ = crate::sys::hurry();
        work();
    })
}

enum Route {
    Job,
    Replication,
    /// All that comes from here on is of the job of this number, or of a later one.
    Begins(u64),
}

/// The end of a description, which has a frame of its own.
fn is_end(frame: &[u8]) -> bool {
    frame.len() == 1 && matches!(Answer::decode(&mut Reader::new(frame)), Ok(Answer::ScanEnd))
}

/// Whose answer it is; replication's are told at once.
fn route_result(frame: &[u8], hears: &dyn Hears) -> Route {
    let mut reader = Reader::new(frame);
    let Ok(answer) = Answer::decode(&mut reader) else { return Route::Job };
    if let Answer::Reached { barrier } = answer
        && barrier & REPLICATIONS == 0
        && barrier & BEGINS != 0
    {
        return Route::Begins(barrier & !BEGINS);
    }
    let replications = match &answer {
        Answer::Failed { who, .. } | Answer::Applied { who, .. } => *who != super::super::emit::JOB,
        Answer::Written { file } => file & REPLICATIONS != 0,
        Answer::Reached { barrier } => barrier & REPLICATIONS != 0,
        Answer::Held { .. } | Answer::Queue { .. } | Answer::Task(_) => true,
        _ => false,
    };
    if !replications {
        return Route::Job;
    }
    hears.answer(&answer);
    Route::Replication
}

fn route_sums(frame: &[u8], hears: &dyn Hears) -> Route {
    let Ok(answer) = Answer::decode(&mut Reader::new(frame)) else { return Route::Job };
    let question = match &answer {
        Answer::Sums { question, .. } | Answer::NoSums { question, .. } | Answer::Here { question } => {
            *question
        }
        _ => return Route::Job,
    };
    if question & REPLICATIONS == 0 {
        return Route::Job;
    }
    hears.answer(&answer);
    Route::Replication
}
