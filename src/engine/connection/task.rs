//! The task of one connection: the only place where its state changes.
//!
//! Jobs run on plain threads and report their end into the inbox, as do the beginning and the end of replication, so a
//! transition never races with another, and none waits. Nothing is polled: replication's listener writes into the inbox,
//! too. The task ends when it was closed, no job runs, and replication has ended.

mod replication;

use super::replicate::{Begun, Capture};
use super::telling::Reconnecting;
use super::{Ended, Info, Means, Order, Stage, State, Step, View, Work, telling};
use crate::api::{ApiError, Code};
use crate::engine::job::{JobKind, JobOutcome, JobPlan, JobShared};
use crate::engine::log::inherit;
use crate::engine::replication::{Replication, ReplicationShared};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// How long what is queued may take to be sent when a person ends replication or a connection. Whoever waits can give up,
/// or DISCARD.
pub(in crate::engine) const DRAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the threads of a replication may take to notice that they shall end.
const STOPPING: Duration = Duration::from_secs(10);
/// How often is looked whether what is to end waits for a target that is away.
const LOOKS: Duration = Duration::from_millis(500);

type Answer = oneshot::Sender<Result<(), ApiError>>;

pub(super) enum Message {
    Start {
        order: Box<Order>,
        answer: Answer,
    },
    Steer {
        work: Work,
        step: Step,
        answer: Answer,
    },
    Replicate {
        capture: Box<Capture>,
        answer: oneshot::Sender<Result<Begun, ApiError>>,
    },
    Unreplicate {
        answer: oneshot::Sender<Result<u64, ApiError>>,
    },
    Close {
        discard: bool,
        drain: Duration,
        answer: oneshot::Sender<()>,
    },
    Ended(Box<JobOutcome>),
    /// Capture was set up, or could not be.
    Captures(Result<Arc<dyn Replication>, ApiError>),
    /// Replication has ended; false: something of it hangs.
    Unreplicated(bool),
    /// See [`super::Connection::resumes`].
    Resumes(Option<String>),
    /// Look at what replication says, and at the clock.
    Noticed,
}

pub(super) struct Task {
    info: Arc<Info>,
    view: View,
    publish: watch::Sender<View>,
    messages: mpsc::UnboundedReceiver<Message>,
    inbox: mpsc::UnboundedSender<Message>,
    means: Means,
    /// Answered when the running job has ended.
    stops: Vec<Answer>,
    /// Answered when replication has ended.
    unreplicates: Vec<oneshot::Sender<Result<u64, ApiError>>>,
    /// Replication that begins.
    starting: Option<Starting>,
    closes: Vec<oneshot::Sender<()>>,
    /// How the connection closes: whether what is queued is dropped, and how long it may take to be sent.
    closing: Option<(bool, Duration)>,
    /// What the last job or replication was made of; a mirror that begins by itself is made of it, too.
    plan: Option<JobPlan>,
    /// When a mirror that could not begin by itself is tried again (AutoRemirrorRetry).
    retry: Option<Instant>,
    /// What was told of the present row of tries to reconnect.
    reconnecting: Reconnecting,
}

/// Replication that begins: who waits for it, and the mirror that follows.
struct Starting {
    answer: Answer,
    then: Option<Order>,
}

impl Task {
    pub(super) fn new(
        info: Arc<Info>,
        view: View,
        publish: watch::Sender<View>,
        messages: mpsc::UnboundedReceiver<Message>,
        inbox: mpsc::UnboundedSender<Message>,
        means: Means,
    ) -> Task {
        Task {
            info,
            view,
            publish,
            messages,
            inbox,
            means,
            stops: Vec::new(),
            unreplicates: Vec::new(),
            starting: None,
            closes: Vec::new(),
            closing: None,
            plan: None,
            retry: None,
            reconnecting: Reconnecting::default(),
        }
    }

    pub(super) async fn run(mut self) {
        while let Some(message) = self.next().await {
            // A snapshot before the answers: who was answered sees what was answered.
            let answer = self.take_up(message);
            self.remirror();
            self.publish.send_replace(self.view.clone());
            if let Some(answer) = answer {
                answer();
            }
            if self.state().running.is_none() {
                for answer in self.stops.drain(..) {
                    reply(answer, Ok(()));
                }
            }
            if matches!(self.state().stage, Stage::Off) {
                let left = self.state().left;
                for answer in self.unreplicates.drain(..) {
                    reply(answer, Ok(left));
                }
            }
            if self.closing.is_some() && self.has_come_to_rest() {
                break;
            }
        }
        self.write_statistics();
        // Waits see the connection gone before the one who closed it is answered.
        drop(self.publish);
        for answer in self.closes {
            // Nobody may be waiting any more.
            let _ = answer.send(());
        }
    }

    /// The next message. A mirror that is to be tried again makes one when its time has come.
    async fn next(&mut self) -> Option<Message> {
        // Who is to end may come to wait for a target that is away.
        let ends = !self.stops.is_empty() || self.closing.is_some();
        let beat = (ends && self.state().running.is_some()).then_some(LOOKS);
        let retry = self.retry.map(|at| at.saturating_duration_since(self.means.clock.now()));
        let Some(left) = [beat, retry].into_iter().flatten().min() else {
            return self.messages.recv().await;
        };
        tokio::time::timeout(left, self.messages.recv()).await.unwrap_or(Some(Message::Noticed))
    }

    /// Does what a message says; gives back the answer that is to follow the snapshot.
    fn take_up(&mut self, message: Message) -> Option<Box<dyn FnOnce() + Send>> {
        match message {
            Message::Start { order, answer } => {
                let result = self.start(*order, false);
                return Some(Box::new(move || reply(answer, result)));
            }
            Message::Steer { work, step, answer } => {
                let result = self.state().steer(work, step);
                if result.is_ok() {
                    telling::steered(&self.info, work, step);
                }
                if step == Step::Stop && result.is_ok() {
                    self.let_go();
                    self.stops.push(answer);
                } else {
                    return Some(Box::new(move || reply(answer, result)));
                }
            }
            Message::Replicate { capture, answer } => {
                let result = self.replicate(*capture);
                return Some(Box::new(move || reply(answer, result)));
            }
            Message::Unreplicate { answer } => {
                let mut next = self.view.state.clone();
                match next.unreplicate() {
                    Ok(replication) => {
                        self.move_to(next);
                        self.unreplicates.push(answer);
                        self.end_replication(replication, false, DRAIN);
                    }
                    Err(error) => return Some(Box::new(move || reply(answer, Err(error)))),
                }
            }
            Message::Close { discard, drain, answer } => self.close(discard, drain, answer),
            Message::Ended(outcome) => self.ended(*outcome),
            Message::Captures(result) => {
                let answer = self.captures(result);
                return answer.map(|(answer, result)| -> Box<dyn FnOnce() + Send> {
                    Box::new(move || reply(answer, result))
                });
            }
            Message::Resumes(why) => self.view.state.resumes = why,
            Message::Unreplicated(whole) => self.unreplicated(whole),
            Message::Noticed => {
                let mut next = self.view.state.clone();
                next.notice();
                self.move_to(next);
                if !self.stops.is_empty() || self.closing.is_some() {
                    self.let_go();
                }
            }
        }
        None
    }

    fn state(&self) -> &State {
        &self.view.state
    }

    /// Begins a job. `automatic`: by itself, of what replication missed.
    fn start(&mut self, order: Order, automatic: bool) -> Result<(), ApiError> {
        if self.closing.is_some() {
            return Err(super::no_connection(self.info.id));
        }
        let Order { kind, plan, route, calculate, shared } = order;
        let mut next = self.view.state.clone();
        next.start(kind, Arc::clone(&shared), automatic)?;
        let replication = match &next.stage {
            Stage::On(replication) => Some(Arc::clone(replication)),
            _ => None,
        };
        let dirty_only = next.running.as_ref().is_some_and(|running| running.dirty_only);
        let takes_over = if next.takes_over() { replication.clone() } else { None };
        let missed = takes_over.as_ref().map(|replication| {
            let shared = replication.shared();
            let missed = (shared.mirror_required(), shared.auto_remirror_due());
            shared.begin_mirror(dirty_only);
            missed
        });
        let kept = plan.clone();
        let inbox = self.inbox.clone();
        let runner = Arc::clone(&self.means.runner);
        let counted = Arc::clone(&self.means.counted);
        let work = move || {
            let run = || {
                if calculate {
                    count(&*runner, &plan, &shared, &counted);
                    if !shared.go_on() {
                        return JobOutcome { stopped: true, ..JobOutcome::default() };
                    }
                }
                runner.run(&plan, kind, &shared, replication.as_ref())
            };
            let outcome = catch_unwind(AssertUnwindSafe(run))
                .unwrap_or_else(|_| JobOutcome { fatal: Some(internal_error()), ..JobOutcome::default() });
            // The task outlives its jobs, except when the whole engine is dropped.
            let _ = inbox.send(Message::Ended(Box::new(outcome)));
        };
        self.info.traffic.counts.job_begins(automatic);
        if let JobKind::Mirror(_) = kind {
            // Before it sends anything.
            self.info.traffic.counts.mirror_begins(self.means.clock.wall_ms());
        }
        if let Err(error) = self.spawn("connection", work) {
            if let (Some(replication), Some((Some(why), due))) = (takes_over, missed) {
                give_back(replication.shared(), why, due);
            }
            return Err(error);
        }
        self.move_to(next);
        self.view.route = route;
        self.plan = Some(kept);
        self.write_statistics();
        Ok(())
    }

    fn ended(&mut self, outcome: JobOutcome) {
        let automatic = self.state().running.as_ref().is_some_and(|running| running.automatic);
        let stopped = outcome.stopped;
        if let Some(running) = &self.state().running {
            let counts = &self.info.traffic.counts;
            counts.could_not_mirror(running.shared.counters.unread.load(Relaxed));
            if let JobKind::Mirror(_) = running.kind {
                counts.mirror_ends(self.means.clock.wall_ms());
            }
        }
        let mut next = self.view.state.clone();
        next.ended(outcome, &self.info.log_dir);
        if let Some(why) = next.required()
            && let Stage::On(replication) = &next.stage
            && replication.shared().mirror_required().is_none()
        {
            // What it was to bring it did not bring, or not all of it. One that began by itself does so again.
            give_back(replication.shared(), why.to_owned(), automatic && !stopped);
        }
        if let (Stage::On(replication), false) = (&next.stage, next.is_whole()) {
            replication.distrust();
        }
        if automatic && !stopped && next.required().is_some() {
            self.retry_later();
            if matches!(&next.stage, Stage::On(replication) if !replication.is_connected()) {
                let why = match &next.last {
                    Some((_, Ended::Failed(error), _)) => error.message.as_str(),
                    _ => "the mirror did not bring what was missed",
                };
                self.reconnecting.failed(&self.info, why);
            }
        }
        self.move_to(next);
        self.write_statistics();
        self.go_on_closing();
    }

    /// Ends the job, then replication, then the task. A second call may be in more of a hurry.
    fn close(&mut self, discard: bool, drain: Duration, answer: oneshot::Sender<()>) {
        if let Some(running) = &self.state().running {
            if discard {
                running.shared.discard();
                if let (Stage::On(replication), true) = (&self.state().stage, running.over_stream) {
                    replication.abandon();
                }
            }
            running.shared.stop();
            self.let_go();
        }
        self.closes.push(answer);
        self.closing = Some((discard, drain));
        match self.state().stage.clone() {
            Stage::Stopping(replication) if discard => self.end_replication(replication, true, STOPPING),
            _ => self.go_on_closing(),
        }
    }

    /// A job that shall end does not wait for a line that nothing leaves over.
    fn let_go(&self) {
        let away = self.info.traffic.is_away();
        let resting = self.info.transmission.is_silent(&self.info.traffic);
        match (&self.state().running, &self.state().stage) {
            // Who sends is in the midst of it, and nobody knows for how long.
            (Some(running), Stage::On(replication)) if away && running.over_stream => replication.cut(),
            (Some(running), Stage::On(replication)) if resting && running.over_stream => {
                replication.let_job_go();
            }
            (Some(running), _) if resting => running.shared.discard(),
            _ => {}
        }
    }

    /// Replication ends once no job uses its stream.
    fn go_on_closing(&mut self) {
        let Some((discard, drain)) = self.closing else { return };
        let mut next = self.view.state.clone();
        if next.running.is_none()
            && let Ok(replication) = next.unreplicate()
        {
            self.end_replication(replication, discard, drain);
            self.move_to(next);
        }
    }

    fn has_come_to_rest(&self) -> bool {
        self.state().running.is_none() && matches!(self.state().stage, Stage::Off)
    }

    fn spawn(&self, what: &str, work: impl FnOnce() + Send + 'static) -> Result<(), ApiError> {
        let thread = std::thread::Builder::new().name(format!("{what} {}", self.info.id));
        thread.spawn(inherit(work)).map(drop).map_err(|error| ApiError::no_thread(&error))
    }

    /// Takes the next state, and tells what has changed.
    fn move_to(&mut self, next: State) {
        telling::changed(&self.info, self.state(), &next);
        self.view.state = next;
    }

    fn write_statistics(&self) {
        if let Some(statistics) = &self.info.statistics {
            statistics.write(&self.info, &self.view);
        }
    }
}

/// `ip://<ip> : <port>` as log lines print an address.
pub(in crate::engine) fn ip_words(address: &str) -> String {
    match address.rsplit_once(':') {
        Some((ip, port)) => format!("ip://{} : {port}", ip.trim_matches(['[', ']'])),
        None => address.to_owned(),
    }
}

/// The calculation before a mirror (MIR-09): percentages are known afterwards.
fn count(
    runner: &dyn super::runner::JobRunner,
    plan: &JobPlan,
    shared: &JobShared,
    counted: &super::Counted,
) {
    // The source says itself in the counters and the log what it found.
    let size = runner.calculate(plan, shared);
    if shared.stopped() {
        return;
    }
    counted(&plan.repset, &size);
}

fn internal_error() -> ApiError {
    ApiError::new(Code::UnknownError, "an internal error stopped it")
        .help("standard error has the details; please report them")
}

/// What was missed is still missed.
fn give_back(shared: &ReplicationShared, why: String, due: bool) {
    if due {
        shared.require_remirror(why);
    } else {
        shared.require_mirror(Some(why));
    }
}

fn reply<T>(answer: oneshot::Sender<T>, result: T) {
    // The caller may have given up waiting.
    let _ = answer.send(result);
}
