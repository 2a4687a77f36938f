//! The tasks of an engine: those that it has submitted as a source, what it runs itself, and what of both is kept.
//!
//! A task that is to be queued again waits here until its connection takes it: one thread tries them in turn, and lives only while
//! there are some.

use super::{Counts, Keeper, KeptTask, Place, Power, Submitted, become_user, new_task};
use crate::api::{
    ApiError, Code, ConnectionId, Event, TaskCounts, TaskLine, TaskList, TaskPoint, TaskSpec, TaskState,
    Watch,
};
use crate::engine::connection::{Connection, interrupted};
use crate::engine::log::inherit;
use crate::engine::settings::Settings;
use crate::engine::store::Tasks;
use crate::engine::{Engine, lock};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

/// Tasks of one connection that may wait.
const WAITING: u64 = 10_000;
/// Tasks that are over and are still listed.
const LISTED: usize = 200;
/// How long one that is queued again may hold the others up, and how long is waited until all are tried once more.
const TURN: Duration = Duration::from_secs(2);

/// See the module.
pub struct Board {
    pub power: Arc<Power>,
    store: Arc<Mutex<Tasks>>,
    shared: Arc<Shared>,
    /// All that is not over, and the newest that are.
    list: Mutex<Vec<Listed>>,
    counts: Mutex<BTreeMap<ConnectionId, Arc<Counts>>>,
}

/// One of this engine's, or what is kept of one of before.
enum Listed {
    Here(Arc<Submitted>),
    Before(Box<KeptTask>),
}

impl Listed {
    fn line(&self) -> TaskLine {
        match self {
            Listed::Here(task) => task.line(),
            Listed::Before(kept) => TaskLine { connection: None, ..kept.line.clone() },
        }
    }
}

/// What the tasks have of it.
struct Shared {
    store: Arc<Mutex<Tasks>>,
    /// Set once the engine is there.
    engine: OnceLock<Weak<Engine>>,
    again: Mutex<Again>,
    leaving: AtomicBool,
}

#[derive(Default)]
struct Again {
    tasks: Vec<Arc<Submitted>>,
    /// Its thread runs.
    runs: bool,
}

impl Board {
    pub(in crate::engine) fn open(path: &Path, settings: Arc<Settings>) -> Result<Board, ApiError> {
        let store = Tasks::open(path)?;
        let list = store.list()?.into_iter().map(|kept| Listed::Before(Box::new(kept))).collect();
        let store = Arc::new(Mutex::new(store));
        let asked = Arc::clone(&store);
        let power = Power::new(move || settings.runs_tasks(), move || lock(&asked).run_as());
        let shared = Shared {
            store: Arc::clone(&store),
            engine: OnceLock::new(),
            again: Mutex::default(),
            leaving: AtomicBool::new(false),
        };
        Ok(Board {
            power: Arc::new(power),
            store,
            shared: Arc::new(shared),
            list: Mutex::new(list),
            counts: Mutex::default(),
        })
    }

    /// Whose it is. Once.
    pub(in crate::engine) fn belongs_to(&self, engine: &Arc<Engine>) {
        let _ = self.shared.engine.set(Arc::downgrade(engine));
    }

    /// The engine ends; `for_later`: its connections are to go on.
    pub(in crate::engine) fn leaves(&self, for_later: bool) {
        self.shared.leaving.store(for_later, Relaxed);
    }

    fn counts_of(&self, connection: ConnectionId) -> Arc<Counts> {
        Arc::clone(lock(&self.counts).entry(connection).or_default())
    }

    /// Those of a connection, for the statistics.
    pub(in crate::engine) fn counts_for(&self, connection: ConnectionId) -> TaskCounts {
        lock(&self.counts).get(&connection).map(|counts| counts.read()).unwrap_or_default()
    }

    /// A new task, kept and not queued yet.
    pub(in crate::engine) fn submit(
        &self,
        spec: &TaskSpec,
        place: Place,
        submitted_ms: i64,
        row: Option<i64>,
    ) -> Result<Arc<Submitted>, ApiError> {
        let id = place.connection;
        let counts = self.counts_of(id);
        if counts.read().queued >= WAITING {
            return Err(ApiError::new(
                Code::DataOverload,
                format!("connection {id} has {WAITING} tasks that wait already"),
            )
            .help("TASK LIST shows them; RESUME TARGET or TRANSMISSION START lets them go on if sending is held"));
        }
        let mut kept = new_task(spec, &place, submitted_ms, row);
        kept.line.number = lock(&self.store).add(&kept)?;
        Ok(self.list(kept, place, counts))
    }

    fn list(&self, kept: KeptTask, place: Place, counts: Arc<Counts>) -> Arc<Submitted> {
        let keeper = Arc::clone(&self.shared) as Arc<dyn Keeper>;
        let task = Submitted::new(kept, place, Arc::clone(&self.power), counts, keeper);
        let mut list = lock(&self.list);
        list.push(Listed::Here(Arc::clone(&task)));
        let over = |listed: &Listed| match listed {
            Listed::Here(task) => task.is_over(),
            Listed::Before(kept) => kept.line.state.is_over(),
        };
        if list.len() > 2 * LISTED {
            let mut too_many = list.iter().filter(|listed| over(listed)).count().saturating_sub(LISTED);
            list.retain(|listed| {
                let goes = too_many > 0 && over(listed);
                too_many -= usize::from(goes);
                !goes
            });
        }
        task
    }

    /// What a service finds of before: its connections, by the rows that they are kept in. What was not over is queued again, or
    /// ends here. None: connections end with their program, so all of it ends.
    pub(in crate::engine) fn take_up(&self, connections: Option<&[Connection]>) {
        let before = {
            let mut list = lock(&self.list);
            let is_open =
                |listed: &mut Listed| matches!(listed, Listed::Before(kept) if !kept.line.state.is_over());
            list.extract_if(.., is_open).collect::<Vec<_>>()
        };
        for listed in before {
            let Listed::Before(kept) = listed else { continue };
            let (sent, row) = (kept.sent, kept.row);
            let found = connections
                .unwrap_or_default()
                .iter()
                .find(|connection| row.is_some() && connection.info.row.get().copied() == row);
            let place = found.map_or_else(
                || Place {
                    connection: kept.line.connection.unwrap_or(ConnectionId(0)),
                    repset: kept.line.repset.clone(),
                    source: String::new(),
                    target: kept.line.target.clone(),
                    paths: Vec::new(),
                },
                |connection| connection.task_place(),
            );
            let mut kept = *kept;
            kept.line.connection = found.map(|connection| connection.info.id);
            let point = kept.line.points.iter().rfind(|line| !line.point.is_on_source());
            let point = point.map(|line| line.point);
            let began = match kept.line.state {
                TaskState::Running(point) if point.is_on_source() => Some(point),
                _ => None,
            };
            let once = !kept.line.repeat;
            // One that nobody can ask for any more counts nowhere.
            let counts = found.map_or_else(Arc::default, |connection| self.counts_of(connection.info.id));
            let task = self.list(kept, place, counts);
            match (found, point) {
                (None, _) => task.discard("its connection has ended with its program"),
                // Who has given it was not told that it was queued, or it has begun and may run but once.
                (Some(_), _) if began == Some(TaskPoint::Queue) || began.is_some() && once => {
                    task.ended_unheard(began);
                }
                (Some(_), Some(point)) if sent => task.is_unknown(point, "the source was ended"),
                (Some(_), _) => {
                    task.note(
                        "the source was started again: it is queued again behind the mirror that follows",
                    );
                    self.shared.again(task);
                }
            }
        }
    }

    /// TASK LIST.
    pub(in crate::engine) fn tasks(&self, connections: &[Connection]) -> Result<TaskList, ApiError> {
        let mut tasks: Vec<TaskLine> = lock(&self.list).iter().map(Listed::line).collect();
        // That is TASK STATUS's: an answer has its bounds.
        tasks.iter_mut().flat_map(|task| &mut task.points).for_each(|point| point.output.clear());
        tasks.sort_by_key(|task| task.number);
        let counts = lock(&self.counts);
        let counts = counts
            .iter()
            .filter(|(id, _)| connections.iter().any(|connection| connection.info.id == **id))
            .map(|(id, counts)| (*id, counts.read()))
            .collect();
        Ok(TaskList {
            tasks,
            counts,
            enabled: self.power.is_enabled(),
            run_as: lock(&self.store).run_as()?,
            running: self.power.running(),
            target: self.power.counts(),
        })
    }

    /// TASK STATUS: those of the newest command of that name. -123 if there is none.
    pub(in crate::engine) fn status(&self, job: &str) -> Result<Vec<TaskLine>, ApiError> {
        let mut tasks: Vec<TaskLine> = lock(&self.list)
            .iter()
            .map(Listed::line)
            .filter(|task| task.job.eq_ignore_ascii_case(job))
            .collect();
        tasks.sort_by_key(|task| task.number);
        let newest = tasks.last().map(|task| task.submitted_ms);
        tasks.retain(|task| Some(task.submitted_ms) == newest);
        if tasks.is_empty() {
            return Err(ApiError::new(Code::JobDoesNotExist, format!("no task {job:?} was queued here"))
                .help("TASK LIST shows the tasks of a source"));
        }
        Ok(tasks)
    }

    /// TASK RUN AS.
    pub(in crate::engine) fn set_run_as(&self, user: &str) -> Result<(), ApiError> {
        become_user(user)?;
        lock(&self.store).set_run_as(user)
    }
}

impl Keeper for Shared {
    fn keep(&self, task: &KeptTask) -> Result<(), ApiError> {
        lock(&self.store).set(task)
    }

    fn again(&self, task: Arc<Submitted>) -> bool {
        let Some(engine) = self.engine.get().cloned() else { return false };
        let mut again = lock(&self.again);
        again.tasks.push(task);
        if !again.runs {
            let work = inherit(move || queue_again(&engine));
            again.runs = std::thread::Builder::new().name("tasks".to_owned()).spawn(work).is_ok();
        }
        again.runs
    }

    fn keeps_for_later(&self) -> bool {
        self.leaving.load(Relaxed)
    }
}

/// Queues tasks again until there are none.
fn queue_again(engine: &Weak<Engine>) {
    loop {
        let Some(now) = engine.upgrade().filter(|engine| !engine.is_closed()) else { return };
        let shared = Arc::clone(&now.tasks.shared);
        let mut tasks = std::mem::take(&mut lock(&shared.again).tasks);
        tasks.sort_by_key(|task| task.number);
        let mut held = Vec::new();
        for task in tasks {
            let id = task.connection();
            // One behind another of its connection stays behind it.
            if held.contains(&id) {
                lock(&shared.again).tasks.push(task);
                continue;
            }
            let Ok(connection) = now.connection(id) else {
                task.discard("its connection was disconnected before it could be queued again");
                continue;
            };
            if let Err(error) = connection.queue_task(&task, &mut Turn(Instant::now() + TURN)) {
                tracing::debug!("Task {} of connection {id} waits to be queued again: {error}", task.number);
                held.push(id);
                lock(&shared.again).tasks.push(task);
            }
        }
        drop(now);
        let mut again = lock(&shared.again);
        if again.tasks.is_empty() {
            again.runs = false;
            return;
        }
        drop(again);
        if !held.is_empty() {
            std::thread::sleep(TURN / 4);
        }
    }
}

/// Gives up at a moment.
struct Turn(Instant);

impl Watch for Turn {
    fn event(&mut self, _: Event) {}

    fn cancelled(&self) -> bool {
        Instant::now() >= self.0
    }
}

impl Connection {
    /// Where its tasks go.
    pub(in crate::engine) fn task_place(&self) -> Place {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let route = self.view().route;
        Place {
            connection: self.info.id,
            repset: self.info.repset.clone(),
            source: self.info.source.clone(),
            target: self.info.target.clone(),
            paths: route.paths.iter().map(|mapping| text(&mapping.target)).collect(),
        }
    }
}

/// The caller has given up before the task was queued.
pub(in crate::engine) fn given_up() -> ApiError {
    ApiError::new(interrupted().code, "interrupted; the task was not queued")
}
