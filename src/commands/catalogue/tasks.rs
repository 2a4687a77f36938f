//! Tasks and scripts in the stream (SET-02, RPL-03 to RPL-05).

use super::{ADMIN, Command, MONITOR, command};
use crate::api::{ApiError, Code, Reply, Request, TaskLimit, TaskPoint, TaskSpec, TaskState};
use crate::commands::Family::Tasks;
use crate::commands::args::as_typed;
use crate::commands::session::{own_user, unexpected};
use crate::commands::{Arg, Args, Outcome, Output, Session, show};

/// How long each point of a task may take that was given no TIMEOUT.
const TIMEOUT: u64 = 60;

pub(super) const COMMANDS: &[Command] = &[
    command(
        Tasks,
        "QueueTASK <job_name> TO <target> {ONQueue|ONTRANSmit|ONRECeive|ONEXECute = <task> [<args>]}... [TIMEOUT = <duration>|FOREVER] [ONCE | REPEAT] [INTERACT | NOINTERACT]",
        ADMIN,
        "D (ONCE and REPEAT X)",
        "Queues a task in line with the data.",
    )
    .details(
        "Any combination of the four points, each once: ONQUEUE runs on the source now, ONTRANSMIT there when its turn to \
         be sent has come, ONRECEIVE on the target when it arrives, ONEXECUTE when all before it is applied. A task at \
         ONEXECUTE sees all that was changed before the command, and no file that was first changed after it returned; the \
         target stands still meanwhile. The command waits for a mirror that runs, not for the target: BARRIER or \
         WAITONTARGET waits until the task has ended, TASK STATUS tells how. Each connection to the target gets it. A \
         task is the full path of a program (no shell), or `rhai:<file>`; its arguments are one value, split on blanks, \
         quotes respected. TIMEOUT is the time of each point, 60 seconds if it is left out; then its process group is \
         killed. TIMEOUT 0 starts it and neither waits nor kills. ONCE, the default, never runs it twice, so it may not \
         run at all if a machine or the line dies; REPEAT runs it until its end was heard, perhaps twice. It runs on a \
         machine only where EnableTaskCmdProcessing is 1, and on another target only where DTCL grant tasks allows it. \
         NOINTERACT is the default; INTERACT is refused, as there is no desktop.",
    )
    .examples(&[
        "qtask backup to beta onexec = \"/usr/local/bin/snap\" \"--now\" timeout = 5 minutes",
        "queuetask mark to beta onqueue = /bin/true ontrans = /bin/true timeout=forever nointeract",
        "queuetask check to beta onexecute = rhai:/etc/DT/check.rhai repeat",
    ])
    .run(queue_task),
    command(Tasks, "TASK RUN AS <user>", ADMIN, "X", "Names the user that tasks and scripts run as.")
        .details(
            "On the current target; a source cannot choose it. Until it is said they run as the user that the engine runs \
             as. Only an engine that runs as root can become another user.",
        )
        .examples(&["task run as nobody on localhost"])
        .run(task_run_as),
    command(Tasks, "TASK LIST", MONITOR, "X", "Lists the tasks and their states.")
        .details(
            "Those that the current source has queued, the newest last, and the conTask statistics of its connections: \
             submitted, queued, succeeded, failed, ignored. Below, what is run on this machine: whether, as whom, what \
             runs now, and how the tasks of its sources have ended.",
        )
        .examples(&["task list"])
        .run(task_list),
    command(Tasks, "TASK STATUS <job_name>", MONITOR, "X", "Shows one task: state, exit status, output.")
        .details(
            "The newest task of that name, for each connection that got it. Returns 0 (a failure) if it has failed or was \
             ignored. -123 if no task of that name was queued here.",
        )
        .examples(&["task status backup"])
        .run(task_status),
    command(
        Tasks,
        "SCRIPT ADD <con_id> [<source>] ON <target> <mirror_point> = <path> [ARGS = <arguments>] [DELAY | NODELAY] [INTERACT | NOINTERACT]",
        ADMIN,
        "D",
        "Runs a script on the target at a point of the mirror.",
    )
    .details("Here ON is the target.")
    .examples(&["script add 1 on beta mirrorcomplete = /usr/local/bin/done args = \"a b\" nodelay"]),
    command(
        Tasks,
        "SCRIPT LIST|REMOVE|ENABLE|DISABLE <con_id> [<mirror_point>]",
        ADMIN,
        "R",
        "Lists, removes, enables or disables mirror scripts.",
    )
    .examples(&["script list 1", "script disable 1 mirrorstart"]),
];

/// Each point with its command line.
fn commands(args: &Args) -> Result<Vec<(TaskPoint, String)>, ApiError> {
    let mut commands: Vec<(TaskPoint, String)> = Vec::new();
    let mut point = None;
    for item in &args.items {
        match item {
            Arg::Keyword(word) => {
                point = TaskPoint::ALL.into_iter().find(|point| point.word() == *word).or(point)
            }
            Arg::Value { slot: "task", value, .. } => {
                if let Some(point) = point {
                    commands.push((point, quoted(&as_typed(value, "task")?)));
                }
            }
            Arg::Value { slot: "args", value, .. } => {
                if let Some((_, command)) = commands.last_mut() {
                    *command = format!("{command} {}", as_typed(value, "args")?);
                }
            }
            Arg::Value { .. } => {}
        }
    }
    Ok(commands)
}

/// A program's name as one word of its command line.
fn quoted(task: &str) -> String {
    let plain = !task.is_empty() && !task.contains([' ', '\t', '"', '\'', '\\']);
    if plain { task.to_owned() } else { format!("\"{}\"", task.replace('\\', "\\\\").replace('"', "\\\"")) }
}

fn queue_task(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    if args.has("INTERACT") {
        return Err(ApiError::new(
            Code::OperationOrCommandIsNotSupported,
            "INTERACT: a service has no desktop that a task could use",
        )
        .help("leave it out"));
    }
    let limit = match args.duration()? {
        _ if args.has("FOREVER") => TaskLimit::Forever,
        None => TaskLimit::Seconds(TIMEOUT),
        Some(time) if time.is_zero() => TaskLimit::NotWaitedFor,
        Some(time) => TaskLimit::Seconds(time.as_secs()),
    };
    let spec = TaskSpec {
        job: args.text("job_name")?,
        target: args.text("target")?,
        commands: commands(args)?,
        limit,
        repeat: args.has("REPEAT"),
        by: own_user(),
    };
    let machine = session.machine(args)?;
    match session.ask(&machine, Request::QueueTask(Box::new(spec)))? {
        Reply::Numbers(_) => Ok(Outcome::done()),
        _ => Err(unexpected()),
    }
}

fn task_run_as(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = match args.text_after("ON")? {
        Some(name) => session.open(&name)?,
        None => session.target_machine()?,
    };
    session.order(&machine, Request::TaskRunAs { user: args.text("user")? })
}

fn task_list(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    match session.ask(&machine, Request::TaskList)? {
        Reply::Tasks(list) => Ok(Outcome::show(show::tasks(&list))),
        _ => Err(unexpected()),
    }
}

fn task_status(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    match session.ask(&machine, Request::TaskStatus { job: args.text("job_name")? })? {
        Reply::TaskStatus(tasks) => {
            let bad = tasks.iter().any(|task| matches!(task.state, TaskState::Failed | TaskState::Ignored));
            let records = tasks.iter().map(show::task).collect();
            Ok(Outcome { value: i64::from(!bad), output: Output::Records(records) })
        }
        _ => Err(unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::{Span, Value};

    fn args(items: Vec<(&'static str, Option<&str>)>) -> Args {
        let item = |(word, value): (&'static str, Option<&str>)| match value {
            None => Arg::Keyword(word),
            Some(text) => Arg::Value { slot: word, value: Value::String(text.into()), span: Span::default() },
        };
        Args { items: items.into_iter().map(item).collect() }
    }

    #[test]
    fn each_point_has_its_program_and_its_arguments() {
        let given = args(vec![
            ("QUEUETASK", None),
            ("job_name", Some("j")),
            ("ONEXECUTE", None),
            ("task", Some("/opt/my programs/snap")),
            ("args", Some("--now 'a b'")),
            ("ONQUEUE", None),
            ("task", Some("/bin/true")),
            ("FOREVER", None),
        ]);
        let expected = [
            (TaskPoint::Execute, "\"/opt/my programs/snap\" --now 'a b'".to_owned()),
            (TaskPoint::Queue, "/bin/true".to_owned()),
        ];
        assert_eq!(commands(&given).unwrap(), expected);
        assert_eq!(quoted(r#"/a"b\c"#), r#""/a\"b\\c""#);
    }
}
