//! Tasks in the stream (SET-02, RPL-03 to -05): what QUEUETASK asks for, and what TASK LIST and TASK STATUS tell.

use super::ConnectionId;
use serde::{Deserialize, Serialize};

/// Where in the stream a task runs, in the order in which it comes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskPoint {
    /// On the source, before it is queued.
    Queue,
    /// On the source, when its turn to be sent has come.
    Transmit,
    /// On the target, when it arrives.
    Receive,
    /// On the target, when all before it is applied.
    Execute,
}

impl TaskPoint {
    pub const ALL: [TaskPoint; 4] =
        [TaskPoint::Queue, TaskPoint::Transmit, TaskPoint::Receive, TaskPoint::Execute];

    /// The word of the command.
    pub fn word(self) -> &'static str {
        match self {
            TaskPoint::Queue => "ONQUEUE",
            TaskPoint::Transmit => "ONTRANSMIT",
            TaskPoint::Receive => "ONRECEIVE",
            TaskPoint::Execute => "ONEXECUTE",
        }
    }

    /// Runs there, not on the target.
    pub fn is_on_source(self) -> bool {
        self < TaskPoint::Receive
    }
}

impl std::fmt::Display for TaskPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// How long each point of a task may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskLimit {
    /// It is started and not waited for; nothing ends it (TIMEOUT 0).
    NotWaitedFor,
    /// Seconds, from 1.
    Seconds(u64),
    Forever,
}

/// QUEUETASK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub job: String,
    /// As typed: all connections to it get the task.
    pub target: String,
    /// The command line of each point, each point once.
    pub commands: Vec<(TaskPoint, String)>,
    pub limit: TaskLimit,
    /// At least once instead of at most once.
    pub repeat: bool,
    /// Who submits it, as the client says; for the log.
    pub by: String,
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    Queued,
    Running(TaskPoint),
    Succeeded,
    Failed,
    /// It was discarded, or all its points were refused where they were to run.
    Ignored,
}

impl TaskState {
    pub fn is_over(self) -> bool {
        matches!(self, TaskState::Succeeded | TaskState::Failed | TaskState::Ignored)
    }
}

impl std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TaskState::Queued => f.write_str("queued"),
            TaskState::Running(point) => write!(f, "running {point}"),
            TaskState::Succeeded => f.write_str("succeeded"),
            TaskState::Failed => f.write_str("failed"),
            TaskState::Ignored => f.write_str("ignored"),
        }
    }
}

/// How one point of a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskEnd {
    /// It ended by itself with this exit status.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
    /// It took too long, and its process group was killed.
    TimedOut,
    /// It was started and is not waited for.
    Started,
    /// It could not be started.
    NotStarted(String),
    /// EnableTaskCmdProcessing is 0 there.
    Disabled,
    /// The target's grant does not let this source run tasks.
    Refused,
    /// It was killed as its engine or connection ended.
    Killed,
    /// Its end was not heard.
    Unknown,
}

impl TaskEnd {
    /// Some: it counts as run, well or not. None: it was left out.
    pub fn succeeded(&self) -> Option<bool> {
        match self {
            TaskEnd::Exited(0) | TaskEnd::Started => Some(true),
            TaskEnd::Disabled | TaskEnd::Refused => None,
            _ => Some(false),
        }
    }
}

impl std::fmt::Display for TaskEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TaskEnd::Exited(code) => write!(f, "exit status {code}"),
            TaskEnd::Signalled(signal) => write!(f, "ended by signal {signal}"),
            TaskEnd::TimedOut => f.write_str("took too long, killed"),
            TaskEnd::Started => f.write_str("started, not waited for"),
            TaskEnd::NotStarted(why) => write!(f, "not started: {why}"),
            TaskEnd::Disabled => f.write_str("not run: EnableTaskCmdProcessing is 0 there"),
            TaskEnd::Refused => f.write_str("not run: the target's grant does not allow tasks"),
            TaskEnd::Killed => f.write_str("killed, as what it ran in has ended"),
            TaskEnd::Unknown => f.write_str("its end is not known"),
        }
    }
}

/// One point of a task, for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskPointLine {
    pub point: TaskPoint,
    pub command: String,
    /// None: it has not come there yet, or never will.
    pub end: Option<TaskEnd>,
    pub elapsed_ms: u64,
    /// The end of its output, escaped, a line each.
    pub output: Vec<String>,
}

/// One task of one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLine {
    pub number: u64,
    pub job: String,
    /// None: the connection is no more.
    pub connection: Option<ConnectionId>,
    pub repset: String,
    pub target: String,
    /// Milliseconds since 1970.
    pub submitted_ms: i64,
    pub by: String,
    pub repeat: bool,
    pub limit: TaskLimit,
    pub state: TaskState,
    pub points: Vec<TaskPointLine>,
    /// What else a person should know: why it was discarded, that later changes may have been there.
    pub note: Option<String>,
}

/// The conTask statistics of one connection (statistics.tsv), or the target's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    pub submitted: u64,
    pub queued: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub ignored: u64,
}

/// What runs on this machine now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRunning {
    pub job: String,
    pub point: TaskPoint,
    pub process: u32,
    pub source: String,
    /// Milliseconds since 1970.
    pub since_ms: i64,
}

/// TASK LIST.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskList {
    /// As a source: the newest last.
    pub tasks: Vec<TaskLine>,
    pub counts: Vec<(ConnectionId, TaskCounts)>,
    /// As the machine where tasks run.
    pub enabled: bool,
    /// None: the user that the engine runs as.
    pub run_as: Option<String>,
    pub running: Vec<TaskRunning>,
    /// As a target.
    pub target: TaskCounts,
}
