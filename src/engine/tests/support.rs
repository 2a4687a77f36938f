//! An engine on a home of its own, a tree to mirror, a runner and a clock in the test's hand.

use crate::api::{
    ApiError, Code, ConnectSpec, ConnectTarget, ConnectionId, ConnectionStatus, Event, MapSpec, MirrorReason,
    MirrorSpec, Phase, Reply, Request, Rule, SetSize, Until, Watch,
};
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::connection::Stage;
use crate::engine::connection::runner::{JobRunner, Stream};
use crate::engine::home::Home;
use crate::engine::job::{DryRunSink, JobKind, JobOutcome, JobPlan, JobShared};
use crate::engine::log::testing::Daemon;
use crate::engine::replication::{Activity, Replication, ReplicationShared};
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
    /// Which of the jobs went over a replication's stream, as many as there are plans.
    pub over_stream: Mutex<Vec<bool>>,
    /// A job that hangs: it hears no stop.
    pub deaf: AtomicBool,
    /// Each replication that was begun, the newest last.
    pub followers: Mutex<Vec<Arc<Follower>>>,
    /// The next replication is refused with this.
    pub refusal: Mutex<Option<ApiError>>,
    /// Setting up capture waits until the test lets it go on.
    slow: AtomicBool,
}

/// Capture is not set up before this is dropped, also by a test that fails.
pub struct Slow<'a>(&'a Steered);

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        self.0.slow.store(false, Relaxed);
    }
}

/// A replication in the test's hand: it does nothing but answer.
#[derive(Debug)]
pub struct Follower {
    pub shared: Arc<ReplicationShared>,
    /// Answers to barriers, the next one last; without one they pass.
    pub barriers: Mutex<Vec<Result<bool, ApiError>>>,
    /// Each end that was asked for: is what is queued dropped?
    pub stops: Mutex<Vec<bool>>,
    /// What is queued cannot be sent.
    pub clogged: AtomicBool,
    /// Its target has ended.
    pub lost: AtomicBool,
    pub plan: JobPlan,
}

impl Follower {
    pub fn queue(&self, operations: u64) {
        self.shared.ops_queued.store(operations, Relaxed);
    }
}

impl Replication for Follower {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn shared(&self) -> &ReplicationShared {
        &self.shared
    }

    fn barrier(&self, _: Option<Duration>, _: &mut dyn Watch) -> Result<bool, ApiError> {
        self.barriers.lock().unwrap().pop().unwrap_or(Ok(true))
    }

    fn is_connected(&self) -> bool {
        !self.lost.load(Relaxed)
    }

    fn release(&self) -> bool {
        let held = self.shared.hold().is_some();
        self.shared.set_hold(None);
        held
    }

    fn stop(&self, discard: bool, _: Duration) -> bool {
        self.stops.lock().unwrap().push(discard);
        let sends = !discard && !self.clogged.load(Relaxed);
        if sends {
            self.queue(0);
        }
        sends || discard
    }
}

impl Steered {
    /// The running job, or the next one, ends like this.
    pub fn end(&self, outcome: JobOutcome) {
        self.ends.lock().unwrap().push(outcome);
        self.changed.notify_all();
    }

    pub fn slow(&self) -> Slow<'_> {
        self.slow.store(true, Relaxed);
        Slow(self)
    }

    pub fn complete(&self) {
        self.end(JobOutcome { complete: true, ..JobOutcome::default() });
    }
}

impl JobRunner for Steered {
    fn replicate(
        &self,
        plan: &JobPlan,
        shared: Arc<ReplicationShared>,
    ) -> Result<Arc<dyn Replication>, ApiError> {
        while self.slow.load(Relaxed) {
            std::thread::yield_now();
        }
        if let Some(refusal) = self.refusal.lock().unwrap().take() {
            return Err(refusal);
        }
        shared.set_activity(Activity::Ready);
        let follower = Arc::new(Follower {
            shared,
            barriers: Mutex::default(),
            stops: Mutex::default(),
            clogged: AtomicBool::default(),
            lost: AtomicBool::default(),
            plan: plan.clone(),
        });
        self.followers.lock().unwrap().push(Arc::clone(&follower));
        Ok(follower)
    }

    fn run(&self, plan: &JobPlan, kind: JobKind, shared: &JobShared, stream: Stream<'_>) -> JobOutcome {
        self.over_stream.lock().unwrap().push(stream.is_some());
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

    fn dry_run(
        &self,
        _: &JobPlan,
        _: JobKind,
        _: &JobShared,
        _: Stream<'_>,
        tell: DryRunSink<'_>,
    ) -> JobOutcome {
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
    /// Milliseconds that people's clock was moved by.
    wall: Mutex<i64>,
}

impl TestClock {
    /// Both clocks.
    pub fn pass(&self, by: Duration) {
        self.forward(by);
        *self.wall.lock().unwrap() += i64::try_from(by.as_millis()).unwrap();
    }

    pub fn forward(&self, by: Duration) {
        *self.ahead.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.start + *self.ahead.lock().unwrap()
    }

    fn wall_ms(&self) -> i64 {
        1_439_819_947_473 + *self.wall.lock().unwrap()
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
        Self::of(tempfile::tempdir().unwrap(), |home| home)
    }

    /// The same, and a daemon that hears its events.
    pub fn heard() -> (Bench, Daemon) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("log socket");
        let daemon = Daemon::at(&socket);
        (Self::of(dir, |home| home.with_system_log(socket)), daemon)
    }

    fn of(dir: tempfile::TempDir, with: impl FnOnce(Home) -> Home) -> Bench {
        let runner = Arc::new(Steered::default());
        let clock =
            Arc::new(TestClock { start: Instant::now(), ahead: Mutex::default(), wall: Mutex::default() });
        let home = with(Home::at(dir.path().join("home")));
        let engine = Engine::open_with(home, runner.clone(), clock.clone()).unwrap();
        let bench = Bench { dir, engine, runner, clock };
        bench.make("data");
        std::fs::write(bench.path("data/file"), "content").unwrap();
        bench.set("payroll", &bench.path("data"));
        bench
    }

    /// The same home after its engine was closed and opened anew.
    pub fn again(self) -> Bench {
        self.engine.close(Duration::ZERO);
        let engine = Engine::open_with(Home::at(self.path("home")), self.runner.clone(), self.clock.clone());
        Bench { engine: engine.unwrap(), ..self }
    }

    /// The whole log.
    pub fn log(&self) -> String {
        let files = std::fs::read_dir(self.path("home/log")).unwrap();
        files
            .map(|entry| String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned())
            .collect()
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

    /// Number, message and remedy of what is refused.
    pub fn refusal(&self, request: Request) -> String {
        let error = self.ask(request).unwrap_err();
        format!("{} {} | {}", error.code, error.message, error.help.unwrap_or_default())
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

    /// `CONNECT payroll TO localhost MAP BASE <dir>/copy NOMIRROR NOREPLICATE NOCALCULATE`, to be changed.
    pub fn spec(&self) -> ConnectSpec {
        ConnectSpec {
            repset: "payroll".into(),
            target: ConnectTarget::Machine("localhost".into()),
            map: MapSpec::Base(self.text("copy")),
            mirror: None,
            replicate: Some(false),
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

    /// Connects as CONNECT does by itself: with replication and a full mirror, which runs until the test ends it.
    pub fn replicating(&self) -> Arc<Follower> {
        let spec = ConnectSpec { mirror: Some(MirrorSpec::default()), replicate: None, ..self.spec() };
        assert_eq!(self.connect(spec), ONE);
        self.until_jobs(1);
        self.follower()
    }

    /// As `replicating`, with the mirror complete.
    pub fn following(&self) -> Arc<Follower> {
        let follower = self.replicating();
        self.runner.complete();
        self.wait(Until::Mirror).unwrap();
        follower
    }

    /// The newest replication.
    pub fn follower(&self) -> Arc<Follower> {
        Arc::clone(self.runner.followers.lock().unwrap().last().unwrap())
    }

    /// Blocks until the connection's snapshot is so.
    pub fn until(&self, id: ConnectionId, so: impl Fn(&ConnectionStatus) -> bool) -> ConnectionStatus {
        loop {
            let status = self.status(id);
            if so(&status) {
                return status;
            }
            std::thread::yield_now();
        }
    }

    /// Target data state and replication status.
    pub fn replication(&self, id: ConnectionId) -> (String, String) {
        let status = self.status(id);
        (status.target_data_state, status.replication)
    }

    pub fn stage(&self, id: ConnectionId) -> Stage {
        self.engine.connection(id).unwrap().view().state.stage
    }

    pub fn set_option(&self, option: &str, value: &str) {
        self.ask(Request::Set { option: option.into(), value: value.into() }).unwrap();
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
