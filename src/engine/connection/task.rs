//! The task of one connection: the only place where its state changes.
//!
//! Jobs run on plain threads and report their end into the inbox, so a transition never races with another. The task
//! ends when it was closed and no job runs.

use super::{Info, Means, Order, State, Step, View, Work};
use crate::api::{ApiError, Code};
use crate::engine::job::{JobOutcome, JobPlan, JobShared};
use crate::engine::log::inherit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

type Answer = oneshot::Sender<Result<(), ApiError>>;

pub(super) enum Message {
    Start { order: Box<Order>, answer: Answer },
    Steer { work: Work, step: Step, answer: Answer },
    Close { discard: bool, answer: oneshot::Sender<()> },
    Ended(Box<JobOutcome>),
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
    closes: Vec<oneshot::Sender<()>>,
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
        Task { info, view, publish, messages, inbox, means, stops: Vec::new(), closes: Vec::new() }
    }

    pub(super) async fn run(mut self) {
        while let Some(message) = self.messages.recv().await {
            let mut answered = None;
            match message {
                Message::Start { order, answer } => answered = Some((answer, self.start(*order))),
                Message::Steer { work, step, answer } => {
                    let result = self.state().steer(work, step);
                    if step == Step::Stop && result.is_ok() {
                        self.stops.push(answer);
                    } else {
                        answered = Some((answer, result));
                    }
                }
                Message::Close { discard, answer } => {
                    if let Some(running) = &self.state().running {
                        if discard {
                            running.shared.discard();
                        }
                        running.shared.stop();
                    }
                    self.closes.push(answer);
                }
                Message::Ended(outcome) => self.ended(*outcome),
            }
            // A snapshot before the answers: who was answered sees what was answered.
            self.publish.send_replace(self.view.clone());
            if let Some((answer, result)) = answered {
                reply(answer, result);
            }
            if self.state().running.is_none() {
                for answer in self.stops.drain(..) {
                    reply(answer, Ok(()));
                }
                if !self.closes.is_empty() {
                    break;
                }
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

    fn state(&self) -> &State {
        &self.view.state
    }

    fn start(&mut self, order: Order) -> Result<(), ApiError> {
        if !self.closes.is_empty() {
            return Err(super::no_connection(self.info.id));
        }
        let Order { kind, plan, route, calculate, shared } = order;
        let mut next = self.view.state.clone();
        next.start(kind, Arc::clone(&shared))?;
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
                runner.run(&plan, kind, &shared)
            };
            let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| JobOutcome {
                fatal: Some(
                    ApiError::new(Code::UnknownError, "an internal error stopped it")
                        .help("standard error has the details; please report them"),
                ),
                ..JobOutcome::default()
            });
            // The task outlives its jobs, except when the whole engine is dropped.
            let _ = inbox.send(Message::Ended(Box::new(outcome)));
        };
        let name = format!("connection {}", self.info.id);
        if let Err(error) = std::thread::Builder::new().name(name).spawn(inherit(work)) {
            return Err(ApiError::new(Code::MemoryIsLow, format!("no thread could be started: {error}"))
                .help("end other work on this machine and try again"));
        }
        self.move_to(next);
        self.view.route = route;
        Ok(())
    }

    fn ended(&mut self, outcome: JobOutcome) {
        let mut next = self.view.state.clone();
        next.ended(outcome, &self.info.log_dir);
        self.move_to(next);
        self.write_statistics();
    }

    /// Takes the next state, and logs when the target's data state changed.
    fn move_to(&mut self, next: State) {
        let (from, to) = (self.state().data, next.data);
        if from != to {
            let Info { id, source, target_address, .. } = &*self.info;
            let address = ip_words(target_address);
            tracing::info!(
                "Target data state for connection {id} from {source} {address} has changed from {from} to {to}"
            );
        }
        self.view.state = next;
    }

    fn write_statistics(&self) {
        if let Some(file) = &self.info.statistics
            && let Err(error) = file.write(&self.info, &self.view, self.means.clock.wall_ms())
        {
            tracing::warn!("The statistics of connection {} could not be written: {error}", self.info.id);
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

fn reply(answer: Answer, result: Result<(), ApiError>) {
    // The caller may have given up waiting.
    let _ = answer.send(result);
}
