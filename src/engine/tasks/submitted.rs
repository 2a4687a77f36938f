//! A task of this source, from QUEUETASK to its end: what is to be run at its points, how each ended, and what became of it.
//!
//! Invariants: it ends once, and is counted once; before an order to run goes out to the target it is kept that it did, so that
//! a task that is to run at most once is never sent again; only one that was never sent, or is to run at least once, is queued again.

use super::power::{Done, Errand, Power};
use crate::api::{
    ApiError, ConnectionId, TaskCounts, TaskEnd, TaskLine, TaskPoint, TaskPointLine, TaskSpec, TaskState,
};
use crate::engine::log::{escape, event};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most bytes of what is said beside how a task ended, but for the first of it.
const NOTES: usize = 2000;

/// The conTask statistics of a connection.
#[derive(Debug, Default)]
pub struct Counts {
    submitted: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    ignored: AtomicU64,
}

impl Counts {
    pub fn read(&self) -> TaskCounts {
        let counts = [&self.submitted, &self.succeeded, &self.failed, &self.ignored];
        let [submitted, succeeded, failed, ignored] = counts.map(|count| count.load(Relaxed));
        let queued = submitted.saturating_sub(succeeded + failed + ignored);
        TaskCounts { submitted, queued, succeeded, failed, ignored }
    }
}

/// Where a task goes.
#[derive(Clone, Debug)]
pub struct Place {
    pub connection: ConnectionId,
    pub repset: String,
    pub source: String,
    pub target: String,
    /// Of the target, for what runs on the source.
    pub paths: Vec<String>,
}

/// What is kept of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTask {
    pub line: TaskLine,
    /// An order to run it has gone out, or was about to.
    pub sent: bool,
    /// The row of its connection; None: that ends with its engine.
    pub row: Option<i64>,
}

/// Who keeps tasks, and queues them again.
pub trait Keeper: Send + Sync {
    /// Keeps how it stands; returns once that would survive the machine's end.
    fn keep(&self, task: &KeptTask) -> Result<(), ApiError>;

    /// It is to be queued again when its connection is whole. False: nobody does that.
    fn again(&self, task: Arc<Submitted>) -> bool;

    /// The engine ends, and what is not over is taken up when it is there again.
    fn keeps_for_later(&self) -> bool;
}

/// Keeps nothing.
#[derive(Debug)]
pub struct NoKeeper;

impl Keeper for NoKeeper {
    fn keep(&self, _: &KeptTask) -> Result<(), ApiError> {
        Ok(())
    }

    fn again(&self, _: Arc<Submitted>) -> bool {
        false
    }

    fn keeps_for_later(&self) -> bool {
        false
    }
}

/// See the module.
pub struct Submitted {
    pub number: u64,
    place: Place,
    power: Arc<Power>,
    counts: Arc<Counts>,
    keeper: Arc<dyn Keeper>,
    kept: Mutex<KeptTask>,
}

impl std::fmt::Debug for Submitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.line())
    }
}

/// A new task, to be kept.
pub fn new_task(spec: &TaskSpec, place: &Place, submitted_ms: i64, row: Option<i64>) -> KeptTask {
    let mut points: Vec<TaskPointLine> = spec
        .commands
        .iter()
        .map(|(point, command)| TaskPointLine {
            point: *point,
            command: command.clone(),
            end: None,
            elapsed_ms: 0,
            output: Vec::new(),
        })
        .collect();
    points.sort_by_key(|line| line.point);
    let line = TaskLine {
        number: 0,
        job: spec.job.clone(),
        connection: Some(place.connection),
        repset: place.repset.clone(),
        target: place.target.clone(),
        submitted_ms,
        by: spec.by.clone(),
        repeat: spec.repeat,
        limit: spec.limit,
        state: TaskState::Queued,
        points,
        note: None,
    };
    KeptTask { line, sent: false, row }
}

/// Behind what is said already, as far as there is room.
fn add_note(line: &mut TaskLine, note: &str) {
    line.note = match line.note.take() {
        Some(old) if old.contains(note) || old.len() + note.len() > NOTES => Some(old),
        Some(old) => Some(format!("{old}; {note}")),
        None => Some(note.to_owned()),
    };
}

impl Submitted {
    /// A task that has its number: a new one, or one of before.
    pub fn new(
        kept: KeptTask,
        place: Place,
        power: Arc<Power>,
        counts: Arc<Counts>,
        keeper: Arc<dyn Keeper>,
    ) -> Arc<Submitted> {
        counts.submitted.fetch_add(1, Relaxed);
        let number = kept.line.number;
        Arc::new(Submitted { number, place, power, counts, keeper, kept: Mutex::new(kept) })
    }

    pub fn connection(&self) -> ConnectionId {
        self.place.connection
    }

    pub fn line(&self) -> TaskLine {
        self.lock().line.clone()
    }

    pub fn is_over(&self) -> bool {
        self.lock().line.state.is_over()
    }

    fn lock(&self) -> MutexGuard<'_, KeptTask> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps how it stands. That it could not be kept is no reason to stop what runs.
    fn keep(&self, kept: &KeptTask) {
        if let Err(error) = self.keeper.keep(kept) {
            tracing::error!("How task {} stands could not be kept: {error}", escape(&kept.line.job));
        }
    }

    /// Has it something to run at this point that has not run?
    pub fn is_due(&self, point: TaskPoint) -> bool {
        self.lock().line.points.iter().any(|line| line.point == point && line.end.is_none())
    }

    /// What is to be run there.
    pub fn errand(&self, point: TaskPoint) -> Option<Errand> {
        let kept = self.lock();
        let line = kept.line.points.iter().find(|line| line.point == point)?;
        let Place { connection, repset, source, target, paths } = self.place.clone();
        Some(Errand {
            job: kept.line.job.clone(),
            point,
            command: line.command.clone(),
            limit: kept.line.limit,
            repset,
            connection: connection.0,
            source,
            target,
            paths,
            submitted_ms: kept.line.submitted_ms,
            by: kept.line.by.clone(),
        })
    }

    /// Runs a point that is the source's, if it is due; blocks. `stop`: it is to be killed.
    pub fn run_here(&self, point: TaskPoint, stop: &dyn Fn() -> bool) {
        if !self.is_due(point) {
            return;
        }
        let Some(errand) = self.errand(point) else { return };
        self.begins(point);
        let done = self.power.run(&errand, stop);
        self.ended(point, done);
    }

    /// It runs there from now on.
    pub fn begins(&self, point: TaskPoint) {
        let mut kept = self.lock();
        kept.line.state = TaskState::Running(point);
        if point.is_on_source() {
            // What it began is known after the death of the process.
            self.keep(&kept);
        }
    }

    /// So it ended there.
    pub fn ended(&self, point: TaskPoint, done: Done) {
        let mut kept = self.lock();
        if kept.line.state.is_over() {
            return;
        }
        kept.line.state = TaskState::Queued;
        if let Some(line) = kept.line.points.iter_mut().find(|line| line.point == point) {
            line.end = Some(done.end);
            line.elapsed_ms = done.elapsed_ms;
            line.output = done
                .output
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(escape)
                .collect();
        }
        self.keep(&kept);
    }

    /// An order to run it is about to go out. An error: that cannot be kept, so it is not to be sent.
    pub fn sends(&self) -> Result<(), ApiError> {
        let mut kept = self.lock();
        if !kept.sent {
            kept.sent = true;
            self.keeper.keep(&kept).inspect_err(|_| kept.sent = false)?;
        }
        Ok(())
    }

    /// It has its place in the log.
    pub fn is_queued(&self) {
        let kept = self.lock();
        let TaskLine { job, by, target, .. } = &kept.line;
        let time = self.errand_time(kept.line.submitted_ms);
        event!(
            TaskSubmitted,
            "In-band task {} submitted from {} by {} at {time}, for {} (connection {})",
            escape(job),
            escape(&self.place.source),
            escape(by),
            escape(target),
            self.place.connection
        );
    }

    fn errand_time(&self, submitted_ms: i64) -> String {
        let moment = jiff::Timestamp::from_millisecond(submitted_ms);
        moment.map_or_else(|_| String::new(), |moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    /// What a person should know beside how it ends.
    pub fn note(&self, note: &str) {
        let mut kept = self.lock();
        add_note(&mut kept.line, note);
        tracing::warn!("Task {} of connection {}: {note}", escape(&kept.line.job), self.place.connection);
    }

    /// All that it was to run has ended.
    pub fn finish(&self) {
        let mut kept = self.lock();
        let ends = || kept.line.points.iter().filter_map(|line| line.end.as_ref()?.succeeded());
        let state = match (ends().all(|good| good), ends().next()) {
            (false, _) => TaskState::Failed,
            (true, Some(_)) => TaskState::Succeeded,
            (true, None) => TaskState::Ignored,
        };
        self.end(&mut kept, state, None);
    }

    /// It cannot run any more as it was promised.
    pub fn fail(&self, why: &str) {
        let mut kept = self.lock();
        if !kept.line.state.is_over() {
            event!(TaskFailed, "In-band task {} failed to run: {why}", escape(&kept.line.job));
            self.end(&mut kept, TaskState::Failed, Some(why));
        }
    }

    /// Its connection or its replication was ended before it could be sent.
    pub fn discard(&self, why: &str) {
        let mut kept = self.lock();
        if kept.line.state.is_over() || self.keeper.keeps_for_later() {
            return;
        }
        if kept.sent {
            drop(kept);
            return self.fail(&format!("{why}; what was sent of it may have run, and is not repeated"));
        }
        let TaskLine { job, by, submitted_ms, .. } = &kept.line;
        let time = self.errand_time(*submitted_ms);
        event!(
            TaskDropped,
            "In-band task {} dropped (from {} by {} at {time}): {why}",
            escape(job),
            escape(&self.place.source),
            escape(by)
        );
        self.end(&mut kept, TaskState::Ignored, Some(why));
    }

    /// The log that it stood in is lost (an auto-disconnect).
    pub fn is_lost(self: &Arc<Self>, why: &str) {
        let repeat = self.lock().line.repeat;
        if !(repeat && self.comes_again(&format!("{why}; it is queued again"))) {
            self.discard(&format!("auto-disconnect: {why}"));
        }
    }

    /// An order to run it has gone out, and its end was not heard.
    pub fn is_unknown(self: &Arc<Self>, point: TaskPoint, why: &str) {
        if self.keeper.keeps_for_later() {
            return;
        }
        let repeat = self.lock().line.repeat;
        if repeat && self.comes_again(&format!("{why} while it ran; it runs once more")) {
            return;
        }
        self.ended(point, Done::not_run(TaskEnd::Unknown));
        self.fail(&format!("{why} before its end was told: it may have run, and is not repeated"));
    }

    /// Its source was ended while it ran a point there.
    pub fn ended_unheard(&self, point: Option<TaskPoint>) {
        if let Some(point) = point {
            self.ended(point, Done::not_run(TaskEnd::Unknown));
        }
        self.fail("the source was ended while it ran there: it may have run, and is not repeated");
    }

    /// False: nobody queues it again.
    fn comes_again(self: &Arc<Self>, note: &str) -> bool {
        if self.is_over() {
            return true;
        }
        if !self.keeper.again(Arc::clone(self)) {
            return false;
        }
        let mut kept = self.lock();
        kept.line.state = TaskState::Queued;
        kept.line
            .points
            .iter_mut()
            .filter(|line| !line.point.is_on_source())
            .for_each(|line| line.end = None);
        add_note(&mut kept.line, note);
        tracing::warn!("Task {} of connection {}: {note}", escape(&kept.line.job), self.place.connection);
        self.keep(&kept);
        true
    }

    fn end(&self, kept: &mut KeptTask, state: TaskState, note: Option<&str>) {
        if kept.line.state.is_over() {
            return;
        }
        kept.line.state = state;
        if let Some(note) = note {
            add_note(&mut kept.line, note);
        }
        let count = match state {
            TaskState::Succeeded => &self.counts.succeeded,
            TaskState::Ignored => &self.counts.ignored,
            _ => &self.counts.failed,
        };
        count.fetch_add(1, Relaxed);
        self.keep(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TaskLimit;
    use crate::engine::log::Event;
    use crate::engine::log::testing::Ear;

    #[derive(Default)]
    struct Remembers {
        kept: Mutex<Vec<KeptTask>>,
        again: Mutex<Vec<Arc<Submitted>>>,
        full: bool,
    }

    impl Keeper for Remembers {
        fn keep(&self, task: &KeptTask) -> Result<(), ApiError> {
            if self.full {
                return Err(ApiError::new(crate::api::Code::UnknownError, "no space"));
            }
            self.kept.lock().unwrap().push(task.clone());
            Ok(())
        }

        fn again(&self, task: Arc<Submitted>) -> bool {
            self.again.lock().unwrap().push(task);
            true
        }

        fn keeps_for_later(&self) -> bool {
            false
        }
    }

    fn task(keeper: &Arc<Remembers>, repeat: bool) -> (Arc<Submitted>, Arc<Counts>) {
        let spec = TaskSpec {
            job: "snap".into(),
            target: "beta".into(),
            commands: vec![
                (TaskPoint::Execute, "/bin/true".into()),
                (TaskPoint::Queue, "/bin/sh -c \"echo one; exit 3\"".into()),
            ],
            limit: TaskLimit::Seconds(20),
            repeat,
            by: "anna".into(),
        };
        let place = Place {
            connection: ConnectionId(4),
            repset: "s".into(),
            source: "alpha".into(),
            target: "beta".into(),
            paths: vec![],
        };
        let power = Arc::new(Power::new(|| true, || Ok(None)));
        let counts = Arc::new(Counts::default());
        let keeper = Arc::clone(keeper) as Arc<dyn Keeper>;
        let kept = new_task(&spec, &place, 7, None);
        (Submitted::new(kept, place, power, Arc::clone(&counts), keeper), counts)
    }

    fn done(end: TaskEnd) -> Done {
        Done { end, elapsed_ms: 1, output: b"x\n".to_vec() }
    }

    #[test]
    fn a_task_fails_if_one_of_its_points_does_and_goes_on_all_the_same() {
        let keeper = Arc::<Remembers>::default();
        let (task, counts) = task(&keeper, false);
        assert_eq!(counts.read(), TaskCounts { submitted: 1, queued: 1, ..TaskCounts::default() });
        task.run_here(TaskPoint::Queue, &|| false);
        assert!(!task.is_due(TaskPoint::Queue) && task.is_due(TaskPoint::Execute));
        assert_eq!(task.line().points[0].end, Some(TaskEnd::Exited(3)));
        assert_eq!(task.line().points[0].output, ["one"]);
        task.sends().unwrap();
        task.ended(TaskPoint::Execute, done(TaskEnd::Exited(0)));
        task.finish();
        assert_eq!(task.line().state, TaskState::Failed);
        task.discard("it is over already");
        let read = counts.read();
        assert_eq!((read.queued, read.failed, read.ignored), (0, 1, 0), "it ends once");
        assert!(keeper.kept.lock().unwrap().last().unwrap().sent);
    }

    #[test]
    fn one_that_is_nowhere_allowed_is_ignored() {
        let keeper = Arc::<Remembers>::default();
        let (task, counts) = task(&keeper, false);
        task.ended(TaskPoint::Queue, done(TaskEnd::Disabled));
        task.ended(TaskPoint::Execute, done(TaskEnd::Refused));
        task.finish();
        assert_eq!((task.line().state, counts.read().ignored), (TaskState::Ignored, 1));
    }

    #[test]
    fn at_most_once_is_never_queued_again_once_it_may_have_run() {
        let keeper = Arc::<Remembers>::default();
        let (task, counts) = task(&keeper, false);
        task.sends().unwrap();
        task.is_unknown(TaskPoint::Execute, "the line was lost");
        assert_eq!((task.line().state, counts.read().failed), (TaskState::Failed, 1));
        assert!(keeper.again.lock().unwrap().is_empty());
        assert!(task.line().note.unwrap().contains("it may have run"));
    }

    #[test]
    fn at_least_once_comes_again_until_its_end_is_heard() {
        let keeper = Arc::<Remembers>::default();
        let (task, counts) = task(&keeper, true);
        task.is_lost("the log is full");
        task.sends().unwrap();
        task.is_unknown(TaskPoint::Execute, "the line was lost");
        let note = task.line().note.unwrap();
        assert!(
            note.contains("the log is full; it is queued again") && note.contains("the line was lost"),
            "{note}"
        );
        assert_eq!(keeper.again.lock().unwrap().len(), 2);
        assert_eq!((task.line().state, counts.read().queued), (TaskState::Queued, 1));
        task.ended(TaskPoint::Execute, done(TaskEnd::Exited(0)));
        task.finish();
        assert_eq!(counts.read().succeeded, 1);
    }

    #[test]
    fn the_log_that_is_lost_takes_a_task_with_it_that_is_to_run_at_most_once() {
        let keeper = Arc::<Remembers>::default();
        let (task, counts) = task(&keeper, false);
        let ear = Ear::new();
        task.is_queued();
        task.is_lost("the log is full");
        let told = ear.told();
        assert_eq!([told[0].0, told[1].0], [Event::TaskSubmitted, Event::TaskDropped]);
        assert!(told[1].1.contains("task snap dropped (from alpha by anna"), "{told:?}");
        assert!(told[1].1.ends_with("auto-disconnect: the log is full"), "{told:?}");
        assert_eq!((task.line().state, counts.read().ignored), (TaskState::Ignored, 1));
    }

    #[test]
    fn what_cannot_be_kept_is_not_sent() {
        let keeper = Arc::new(Remembers { full: true, ..Remembers::default() });
        let (task, _) = task(&keeper, false);
        task.sends().unwrap_err();
        task.sends().unwrap_err();
    }
}
