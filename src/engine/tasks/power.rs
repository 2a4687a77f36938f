//! What runs tasks on a machine: whether it may, as whom, what it says about it, what was run.
//!
//! Invariants: `EnableTaskCmdProcessing`, the grant and TASK RUN AS are asked at the moment of running; nothing in an order names a
//! user; once the engine has ended nothing runs that it would have waited for.

use super::process::{Program, Ran, Running, RunsAs};
use super::words;
use crate::api::{ApiError, Code, TaskCounts, TaskEnd, TaskLimit, TaskPoint, TaskRunning};
use crate::engine::log::{escape, event, inherit};
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of a task's output that go to the log, and bytes of one.
const LINES: usize = 200;
const LINE: usize = 1024;
/// How often the log is told at most that one was refused.
const TOLD: Duration = Duration::from_secs(1);
/// Tasks that may run without being waited for.
const UNWAITED: usize = 64;
/// This program, as a child finds it whatever has become of its file.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// The form of the command line that runs a hook in Rhai.
pub const HOOK: &str = "task-hook";

/// What of one point of a task is to be run.
#[derive(Clone, Debug)]
pub struct Errand {
    pub job: String,
    pub point: TaskPoint,
    pub command: String,
    pub limit: TaskLimit,
    pub repset: String,
    /// The source's number of the connection.
    pub connection: u32,
    pub source: String,
    pub target: String,
    /// Of the target.
    pub paths: Vec<String>,
    pub submitted_ms: i64,
    pub by: String,
}

/// How it ended, and the last of what it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub end: TaskEnd,
    pub elapsed_ms: u64,
    pub output: Vec<u8>,
}

impl Done {
    pub(super) fn not_run(end: TaskEnd) -> Done {
        Done { end, elapsed_ms: 0, output: Vec::new() }
    }
}

type Asked<T> = Box<dyn Fn() -> T + Send + Sync>;

/// See the module.
pub struct Power {
    enabled: Asked<bool>,
    run_as: Asked<Result<Option<String>, ApiError>>,
    stopping: AtomicBool,
    /// Each counts as run, and none is.
    rehearses: AtomicBool,
    running: Mutex<Vec<(u64, TaskRunning)>>,
    unwaited: AtomicU64,
    next: AtomicU64,
    /// Of tasks that came from sources.
    succeeded: AtomicU64,
    failed: AtomicU64,
    ignored: AtomicU64,
    /// When the log was told last that one was refused: a source that has no right to any may send as many as it likes.
    told: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Power {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Power")
    }
}

impl Power {
    /// `enabled`: is `EnableTaskCmdProcessing` on; `run_as`: the user that TASK RUN AS has named.
    pub fn new(
        enabled: impl Fn() -> bool + Send + Sync + 'static,
        run_as: impl Fn() -> Result<Option<String>, ApiError> + Send + Sync + 'static,
    ) -> Power {
        Power {
            enabled: Box::new(enabled),
            run_as: Box::new(run_as),
            stopping: AtomicBool::new(false),
            rehearses: AtomicBool::new(false),
            running: Mutex::default(),
            unwaited: AtomicU64::new(0),
            next: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    pub fn is_enabled(&self) -> bool {
        (self.enabled)()
    }

    /// The engine ends: what runs and is waited for is killed, and nothing more begins.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// From now on no program is run, and each is said to have ended well.
    pub fn rehearse(&self) {
        self.rehearses.store(true, Relaxed);
    }

    pub fn running(&self) -> Vec<TaskRunning> {
        self.lock().iter().map(|(_, running)| running.clone()).collect()
    }

    /// As a target (statistics.tsv: TasksSucceeded and its siblings).
    pub fn counts(&self) -> TaskCounts {
        let (succeeded, failed, ignored) = (&self.succeeded, &self.failed, &self.ignored);
        let [succeeded, failed, ignored] = [succeeded, failed, ignored].map(|count| count.load(Relaxed));
        TaskCounts { submitted: succeeded + failed + ignored, queued: 0, succeeded, failed, ignored }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, TaskRunning)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for a source: counted as the target's. `allowed`: does its grant let it run tasks.
    pub fn serve(self: &Arc<Self>, errand: &Errand, allowed: bool, stop: &dyn Fn() -> bool) -> Done {
        let done = if allowed {
            self.run(errand, stop)
        } else {
            let Errand { job, source, point, .. } = errand;
            let now = Instant::now();
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_none_or(|told| now.duration_since(told) >= TOLD) {
                *told = Some(now);
                event!(
                    TasksDisabled,
                    "Task {} at {point} is not run: the grant of {} does not allow tasks",
                    escape(job),
                    escape(source)
                );
            }
            Done::not_run(TaskEnd::Refused)
        };
        let count = match done.end.succeeded() {
            Some(true) => &self.succeeded,
            Some(false) => &self.failed,
            None => &self.ignored,
        };
        count.fetch_add(1, Relaxed);
        done
    }

    /// Runs it to its end, if it is waited for; blocks. `stop`: it is to be killed.
    pub fn run(self: &Arc<Self>, errand: &Errand, stop: &dyn Fn() -> bool) -> Done {
        let Errand { job, point, command, limit, .. } = errand;
        let (job, shown) = (escape(job), escape(command));
        if !self.is_enabled() {
            event!(
                TasksDisabled,
                "Scripts are disabled on this server (EnableTaskCmdProcessing), {shown} of task {job} is not attempted"
            );
            return Done::not_run(TaskEnd::Disabled);
        }
        if self.rehearses.load(Relaxed) {
            return Done::not_run(TaskEnd::Exited(0));
        }
        let not_started = |why: String| {
            event!(TaskFailed, "In-band script {shown} of task {job} failed to run: {why}");
            Done::not_run(TaskEnd::NotStarted(why))
        };
        if self.stopping.load(Relaxed) {
            return not_started("the engine is ending".to_owned());
        }
        let waits = *limit != TaskLimit::NotWaitedFor;
        if !waits && self.unwaited.load(Relaxed) >= UNWAITED as u64 {
            return not_started(format!("{UNWAITED} tasks that are not waited for run already"));
        }
        let started = self.program(errand).and_then(|program| {
            event!(
                TaskRuns,
                "Running {point} in-band script {shown} (task {job} from {} by {} at {})",
                escape(&errand.source),
                escape(&errand.by),
                errand.time()
            );
            program.start().map_err(|error| error.to_string())
        });
        let running = match started {
            Ok(running) => running,
            Err(why) => return not_started(why),
        };
        let number = self.next.fetch_add(1, Relaxed);
        self.lock().push((number, errand.running(running.process())));
        if waits {
            let ran = running.wait(&|| stop() || self.stopping.load(Relaxed));
            self.has_ended(number);
            return self.tell(errand, ran);
        }
        event!(TaskNotWaitedFor, "Time-out is disabled (0) for {shown} of task {job}: it is not waited for");
        self.unwaited.fetch_add(1, Relaxed);
        self.leave(number, running, errand.clone())
    }

    /// Lets it run by itself; its end is told to the log.
    fn leave(self: &Arc<Self>, number: u64, running: Running, errand: Errand) -> Done {
        let (power, shown) = (Arc::clone(self), escape(&errand.command));
        let work = inherit(move || {
            // Also when the engine ends it goes on.
            let ran = running.wait(&|| false);
            power.unwaited.fetch_sub(1, Relaxed);
            power.has_ended(number);
            power.tell(&errand, ran);
        });
        if std::thread::Builder::new().name("task".to_owned()).spawn(work).is_err() {
            self.unwaited.fetch_sub(1, Relaxed);
            self.has_ended(number);
            tracing::warn!("No thread is left to hear how {shown} ends");
        }
        Done::not_run(TaskEnd::Started)
    }

    fn has_ended(&self, number: u64) {
        self.lock().retain(|(other, _)| *other != number);
    }

    /// The program of an errand. The error: why there is none.
    fn program(&self, errand: &Errand) -> Result<Program, String> {
        let words = words::split(&errand.command).map_err(|error| error.to_string())?;
        let user = (self.run_as)().map_err(|error| error.to_string())?;
        let user = user.map(|name| become_user(&name)).transpose().map_err(|error| error.message)?.flatten();
        let words = match words::script(&words[0]) {
            Some(file) => [OWN_PROGRAM, HOOK, file]
                .into_iter()
                .map(str::to_owned)
                .chain(words[1..].iter().cloned())
                .collect(),
            None => words,
        };
        let limit = match errand.limit {
            TaskLimit::Seconds(seconds) => Some(Duration::from_secs(seconds)),
            TaskLimit::Forever | TaskLimit::NotWaitedFor => None,
        };
        Ok(Program {
            words: words.into_iter().map(OsString::from).collect(),
            variables: errand.variables(),
            user,
            limit,
        })
    }

    /// Says how it ended.
    fn tell(&self, errand: &Errand, ran: Ran) -> Done {
        let (job, shown) = (escape(&errand.job), escape(&errand.command));
        let Ran { end, output, took } = ran;
        for line in output.head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(LINES) {
            let cut = if line.len() > LINE { "..." } else { "" };
            tracing::info!("Task {job} at {}: {}{cut}", errand.point, escape(&line[..line.len().min(LINE)]));
        }
        let told = output.head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        if output.bytes > output.head.len() as u64 || told > LINES {
            tracing::info!(
                "Task {job} at {}: of {} bytes of output the rest is left out",
                errand.point,
                output.bytes
            );
        }
        match &end {
            TaskEnd::Exited(code) => {
                event!(TaskEnded, "In-band script {shown} of task {job} ended, exit code {code}");
            }
            TaskEnd::TimedOut => {
                let seconds = if let TaskLimit::Seconds(seconds) = errand.limit { seconds } else { 0 };
                event!(
                    TaskTimedOut,
                    "Time-out of {seconds} s running {shown} of task {job}: its process group was killed"
                );
            }
            end => event!(TaskFailed, "In-band script {shown} of task {job} failed: {end}"),
        }
        let elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Done { end, elapsed_ms, output: output.end().to_vec() }
    }
}

impl Errand {
    /// When it was submitted, for a log and for `DT_TIME`.
    pub fn time(&self) -> String {
        let moment = jiff::Timestamp::from_millisecond(self.submitted_ms);
        moment.map_or_else(|_| String::new(), |moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DT_JOB", self.job.clone()),
            ("DT_POINT", self.point.word().to_owned()),
            ("DT_REPSET", self.repset.clone()),
            ("DT_CONID", self.connection.to_string()),
            ("DT_SOURCE", self.source.clone()),
            ("DT_TARGET", self.target.clone()),
            // No target path has a colon (RST-06).
            ("DT_TARGET_PATHS", self.paths.join(":")),
            ("DT_TIME", self.time()),
        ]
    }

    fn running(&self, process: u32) -> TaskRunning {
        let since_ms = jiff::Timestamp::now().as_millisecond();
        let Errand { job, point, source, .. } = self;
        TaskRunning { job: escape(job), point: *point, process, source: escape(source), since_ms }
    }
}

/// The user of this name. None: it is the engine's own. -101: there is none, or only root could become it.
pub(in crate::engine) fn become_user(name: &str) -> Result<Option<RunsAs>, ApiError> {
    let wrong = |message: String| ApiError::new(Code::InvalidParameterWasSupplied, message);
    let found = nix::unistd::User::from_name(name)
        .map_err(|error| wrong(format!("the user {name} cannot be looked up: {error}")))?;
    let user = found.ok_or_else(|| {
        wrong(format!("this machine has no user {name}")).help("getent passwd lists the users of a machine")
    })?;
    let own = nix::unistd::geteuid();
    if user.uid == own {
        return Ok(None);
    }
    if !own.is_root() {
        return Err(wrong(format!("the engine does not run as root, so it cannot become {name}"))
            .help("name the user that it runs as, or let the service run as root"));
    }
    let home = user.dir.to_string_lossy().into_owned();
    Ok(Some(RunsAs { uid: user.uid.as_raw(), gid: user.gid.as_raw(), home }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::log::Event;
    use crate::engine::log::testing::Ear;

    pub(super) fn errand(command: &str) -> Errand {
        Errand {
            job: "snap".into(),
            point: TaskPoint::Execute,
            command: command.into(),
            limit: TaskLimit::Seconds(20),
            repset: "pay roll".into(),
            connection: 3,
            source: "alpha".into(),
            target: "beta".into(),
            paths: vec!["/a".into(), "/b c".into()],
            submitted_ms: 1_439_819_947_473,
            by: "anna".into(),
        }
    }

    fn power(enabled: bool) -> Arc<Power> {
        Arc::new(Power::new(move || enabled, || Ok(None)))
    }

    fn never() -> bool {
        false
    }

    #[test]
    fn a_task_is_told_where_it_is_and_when_it_was_given() {
        let done = power(true).run(&errand("/bin/sh -c \"env | grep ^DT_ | sort\""), &never);
        let expected = "DT_CONID=3\nDT_JOB=snap\nDT_POINT=ONEXECUTE\nDT_REPSET=pay roll\nDT_SOURCE=alpha\n\
                        DT_TARGET=beta\nDT_TARGET_PATHS=/a:/b c\nDT_TIME=2015-08-17T13:59:07Z\n";
        assert_eq!(
            (done.end, String::from_utf8(done.output).unwrap().as_str()),
            (TaskEnd::Exited(0), expected)
        );
    }

    #[test]
    fn one_machine_runs_what_it_is_told_only_if_it_may() {
        let marked = tempfile::tempdir().unwrap();
        let touch = errand(&format!("/usr/bin/touch {}/ran", marked.path().display()));
        let ear = Ear::new();
        let off = power(false);
        assert_eq!(off.run(&touch, &never).end, TaskEnd::Disabled);
        let on = power(true);
        assert_eq!(on.serve(&touch, false, &never).end, TaskEnd::Refused);
        assert!(!marked.path().join("ran").exists());
        assert_eq!(ear.events(), [Event::TasksDisabled, Event::TasksDisabled]);
        assert_eq!(on.serve(&touch, true, &never).end, TaskEnd::Exited(0));
        assert_eq!(ear.events(), [Event::TaskRuns, Event::TaskEnded]);
        on.run(&errand("/bin/sh -c \"kill -TERM $$\""), &never);
        on.run(&errand("/no/such/program"), &never);
        on.run(&Errand { limit: TaskLimit::Seconds(0), ..errand("/bin/sleep 60") }, &never);
        let expected =
            [Event::TaskFailed, Event::TaskRuns, Event::TaskFailed, Event::TaskRuns, Event::TaskTimedOut];
        assert_eq!(ear.events()[1..], expected);
        assert!(marked.path().join("ran").exists());
        on.serve(&errand("/bin/false"), true, &never);
        assert_eq!(on.serve(&errand("/bin/true"), true, &never).end, TaskEnd::Exited(0));
        let counts = TaskCounts { submitted: 4, queued: 0, succeeded: 2, failed: 1, ignored: 1 };
        assert_eq!(on.counts(), counts);
        on.stop();
        assert!(matches!(on.run(&touch, &never).end, TaskEnd::NotStarted(_)));
    }

    #[test]
    fn a_user_that_cannot_be_become_is_an_error_and_no_reason_to_run_as_another() {
        let power = Arc::new(Power::new(|| true, || Ok(Some("no-such-user-here".into()))));
        let end = power.run(&errand("/bin/true"), &never).end;
        assert!(
            matches!(&end, TaskEnd::NotStarted(why) if why.contains("no user no-such-user-here")),
            "{end}"
        );
        let power = Arc::new(Power::new(|| true, || Err(ApiError::new(Code::UnknownError, "it is damaged"))));
        assert!(matches!(power.run(&errand("/bin/true"), &never).end, TaskEnd::NotStarted(_)));
    }

    #[test]
    fn what_is_not_waited_for_goes_on_by_itself() {
        let marked = tempfile::tempdir().unwrap();
        let power = power(true);
        let fifo = marked.path().join("go");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let line = format!("/bin/sh -c \"cat {} > {}/ran\"", fifo.display(), marked.path().display());
        let ear = Ear::new();
        let unwaited = Errand { limit: TaskLimit::NotWaitedFor, ..errand(&line) };
        assert_eq!(power.run(&unwaited, &never).end, TaskEnd::Started);
        assert_eq!(power.running().len(), 1);
        assert_eq!(ear.events(), [Event::TaskRuns, Event::TaskNotWaitedFor]);
        power.stop();
        // It waits for this, and would not if it were gone.
        std::fs::write(&fifo, b"x").unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while !power.running().is_empty() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(std::fs::read(marked.path().join("ran")).unwrap(), b"x");
        assert_eq!(power.running(), []);
    }
}
