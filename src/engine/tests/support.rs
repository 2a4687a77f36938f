//! An engine on a home of its own, a tree to mirror, a runner and a clock in the test's hand.

use crate::api::{
    ApiError, Code, ConnectSpec, ConnectTarget, ConnectionId, ConnectionStatus, Event, MapSpec, MirrorReason,
    MirrorSpec, Phase, Reply, Request, Rule, SetSize, Until, Watch,
};
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::connection::runner::JobRunner;
use crate::engine::home::Home;
use crate::engine::job::{DryRunSink, JobKind, JobOutcome, JobPlan, JobShared};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Runs no job by itself: a job lasts until the test ends it, or it is stopped.
#[derive(Default)]
pub struct Steered {
    ends: Mutex<Vec<JobOutcome>>,
    changed: Condvar,
    pub plans: Mutex<Vec<(JobPlan, JobKind)>>,
    /// A job that hangs: it hears no stop.
    pub deaf: AtomicBool,
}

impl Steered {
    /// The running job, or the next one, ends like this.
    pub fn end(&self, outcome: JobOutcome) {
        self.ends.lock().unwrap().push(outcome);
        self.changed.notify_all();
    }

    pub fn complete(&self) {
        self.end(JobOutcome { complete: true, ..JobOutcome::default() });
    }
}

impl JobRunner for Steered {
    fn run(&self, plan: &JobPlan, kind: JobKind, shared: &JobShared) -> JobOutcome {
        self.plans.lock().unwrap().push((plan.clone(), kind));
        shared.set_phase(if matches!(kind, JobKind::Verify(_)) {
            Phase::Verifying
        } else {
            Phase::Mirroring
        });
        loop {
            if !self.deaf.load(Relaxed) && !shared.go_on() {
                return JobOutcome { stopped: true, ..JobOutcome::default() };
            }
            let mut ends = self.ends.lock().unwrap();
            if let Some(outcome) = ends.pop() {
                return outcome;
            }
            // A stop does not notify this runner, so it looks now and then.
            drop(self.changed.wait_timeout(ends, Duration::from_millis(2)).unwrap());
        }
    }

    fn dry_run(&self, _: &JobPlan, _: JobKind, _: &JobShared, tell: DryRunSink<'_>) -> JobOutcome {
        tell(b"/a\nb", MirrorReason::Missing, 7);
        tell(b"/old", MirrorReason::Orphan, 0);
        JobOutcome { complete: true, ..JobOutcome::default() }
    }

    fn calculate(&self, _: &JobPlan, shared: &JobShared) -> SetSize {
        shared.counters.files_total.store(4, Relaxed);
        shared.counters.bytes_total.store(200, Relaxed);
        shared.counters.calculated.store(true, Relaxed);
        SetSize { files: 4, directories: 1, bytes: 200, ..SetSize::default() }
    }
}

/// Stands still until it is moved.
pub struct TestClock {
    start: Instant,
    ahead: Mutex<Duration>,
}

impl TestClock {
    pub fn forward(&self, by: Duration) {
        *self.ahead.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.start + *self.ahead.lock().unwrap()
    }

    fn wall_ms(&self) -> i64 {
        1_439_819_947_473
    }
}

/// Does something at each event, and may give up.
pub struct Watcher<'a> {
    pub events: Vec<Event>,
    pub on_event: Box<dyn FnMut() + 'a>,
    pub cancelled: bool,
}

impl<'a> Watcher<'a> {
    pub fn new(on_event: impl FnMut() + 'a) -> Watcher<'a> {
        Watcher { events: Vec::new(), on_event: Box::new(on_event), cancelled: false }
    }
}

impl Watch for Watcher<'_> {
    fn event(&mut self, event: Event) {
        self.events.push(event);
        (self.on_event)();
    }

    fn cancelled(&self) -> bool {
        self.cancelled
    }
}

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub engine: Arc<Engine>,
    pub runner: Arc<Steered>,
    pub clock: Arc<TestClock>,
}

pub const ONE: ConnectionId = ConnectionId(1);

impl Bench {
    /// A home, and a set `payroll` of the directory `data` with one file.
    pub fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let runner = Arc::new(Steered::default());
        let clock = Arc::new(TestClock { start: Instant::now(), ahead: Mutex::default() });
        let home = Home::at(dir.path().join("home"));
        let engine = Engine::open_with(home, runner.clone(), clock.clone()).unwrap();
        let bench = Bench { dir, engine, runner, clock };
        bench.make("data");
        std::fs::write(bench.path("data/file"), "content").unwrap();
        bench.set("payroll", &bench.path("data"));
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn make(&self, name: &str) {
        std::fs::create_dir_all(self.path(name)).unwrap();
    }

    pub fn ask(&self, request: Request) -> Result<Reply, ApiError> {
        self.engine.call(request, &mut ())
    }

    pub fn code(&self, request: Request) -> Code {
        match self.ask(request) {
            Ok(reply) => panic!("it succeeded: {reply:?}"),
            Err(error) => error.code,
        }
    }

    /// A saved set that includes one path.
    pub fn set(&self, name: &str, path: &Path) {
        self.ask(Request::RepsetCreate { repset: name.into() }).unwrap();
        self.rule(name, path, true);
        self.ask(Request::RepsetSave { repset: Some(name.into()) }).unwrap();
    }

    pub fn rule(&self, name: &str, path: &Path, include: bool) {
        let rule = Rule { path: path.display().to_string(), include, recursive: true };
        self.ask(Request::RuleAdd { repset: name.into(), rule }).unwrap();
    }

    /// `CONNECT payroll TO localhost MAP BASE <dir>/copy NOMIRROR NOCALCULATE`, to be changed.
    pub fn spec(&self) -> ConnectSpec {
        ConnectSpec {
            repset: "payroll".into(),
            target: ConnectTarget::Machine("localhost".into()),
            map: MapSpec::Base(self.text("copy")),
            mirror: None,
            replicate: None,
            calculate: Some(false),
            orphans: None,
            route: None,
            compress: None,
            dry_run: false,
        }
    }

    pub fn connect(&self, spec: ConnectSpec) -> ConnectionId {
        match self.ask(Request::Connect(spec)).unwrap() {
            Reply::Connected(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// Connects and begins a full mirror, which runs until the test ends it.
    pub fn mirroring(&self) -> ConnectionId {
        self.connect(ConnectSpec { mirror: Some(MirrorSpec::default()), ..self.spec() })
    }

    pub fn status(&self, id: ConnectionId) -> ConnectionStatus {
        match self.ask(Request::Status { connection: id }).unwrap() {
            Reply::Connection(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// Target data state and mirror status.
    pub fn words(&self, id: ConnectionId) -> (String, String) {
        let status = self.status(id);
        (status.target_data_state, status.mirror)
    }

    pub fn wait(&self, until: Until) -> Result<Reply, ApiError> {
        self.ask(Request::Wait { connection: ONE, until, timeout_ms: None })
    }

    /// Blocks until the runner has got so many jobs.
    pub fn until_jobs(&self, count: usize) {
        while self.runner.plans.lock().unwrap().len() < count {
            std::thread::yield_now();
        }
    }

    pub fn shared(&self, id: ConnectionId) -> Arc<JobShared> {
        self.engine.connection(id).unwrap().view().state.running.unwrap().shared
    }
}

pub fn set_counters(shared: &JobShared, sent: u64, skipped: u64, queued: u64) {
    shared.counters.bytes_sent.store(sent, Relaxed);
    shared.counters.bytes_skipped.store(skipped, Relaxed);
    shared.counters.bytes_queued.store(queued, Relaxed);
}

pub fn words(data: &str, mirror: &str) -> (String, String) {
    (data.to_owned(), mirror.to_owned())
}
