//! QUEUETASK, TASK LIST, TASK STATUS, TASK RUN AS, and which grant may run tasks.

use crate::api::{ApiError, Code, Event, Reply, TaskLimit, TaskPoint, TaskSpec, Watch};
use crate::engine::connection::Connection;
use crate::engine::tasks::words::{self, BadCommand};
use crate::engine::{Engine, lock};
use crate::wire::{COMMAND_MAX, JOB_MAX, SECONDS_MAX, is_plain};
use std::sync::Arc;

impl Engine {
    /// `QUEUETASK` (SET-02, RPL-03): each connection to the target gets the task at its place.
    pub(in crate::engine) fn queue_task(
        &self,
        spec: &TaskSpec,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        refuse_bad(spec)?;
        self.take_up_tasks();
        let connections = self.connections_to(&spec.target)?;
        // Refused before anything is run or queued.
        for connection in &connections {
            connection.refuse_task()?;
            let place = connection.task_place();
            if [&place.repset, &place.source, &place.target].iter().any(|name| !is_plain(name, 255)) {
                return Err(ApiError::new(
                    Code::InvalidParameterWasSupplied,
                    "a name of the connection is too long to be told to a task, or has control characters in it",
                ));
            }
        }
        for (point, _) in spec.commands.iter().filter(|(point, _)| point.is_on_source()) {
            if !self.tasks.power.is_enabled() {
                watch.event(Event::Notice(format!(
                    "{point} will not be run: EnableTaskCmdProcessing is 0 on this machine; \
                     SET EnableTaskCmdProcessing = 1 lets it"
                )));
            }
        }
        let submitted_ms = self.clock.wall_ms();
        let mut numbers = Vec::new();
        for connection in connections {
            let row = connection.info.row.get().copied();
            let place = connection.task_place();
            let task = self.tasks.submit(spec, place, submitted_ms, row)?;
            let cancelled = std::cell::Cell::new(false);
            task.run_here(TaskPoint::Queue, &|| {
                cancelled.set(cancelled.get() || watch.cancelled());
                cancelled.get()
            });
            let queued = match cancelled.get() {
                true => Err(crate::engine::tasks::board::given_up()),
                // It may have been waiting for a mirror.
                false => match connection.queue_task(&task, watch) {
                    Err(_) if watch.cancelled() => Err(crate::engine::tasks::board::given_up()),
                    queued => queued,
                },
            };
            if let Err(error) = queued {
                task.fail(&format!("it was not queued: {}", error.message));
                return Err(error);
            }
            numbers.push(task.number);
        }
        Ok(Reply::Numbers(numbers))
    }

    /// Those that lead to it, by any of its names. -107 if none does.
    fn connections_to(&self, target: &str) -> Result<Vec<Connection>, ApiError> {
        let mut all = self.connections();
        let null = all.iter().any(|connection| connection.is_null());
        // Looked up only if it is none of those that were typed before.
        let typed = |connection: &&Connection| connection.info.target.eq_ignore_ascii_case(target);
        let named = match all.iter().find(typed) {
            Some(connection) => Some(Arc::clone(&connection.info.transmission)),
            None => self.kept.targets.named(target).ok(),
        };
        let leads = |connection: &Connection| {
            let same = |named| Arc::ptr_eq(named, &connection.info.transmission);
            !connection.is_null() && named.as_ref().is_some_and(same)
        };
        all.retain(leads);
        if all.is_empty() {
            let help = if null && target.eq_ignore_ascii_case("TDU") {
                "the null target applies nothing, so nothing can run behind it"
            } else {
                "STATUS lists the connections and their targets; CONNECT <set> TO <target> makes one"
            };
            let message = format!("no connection leads to {target}");
            return Err(ApiError::new(Code::ConnectionDoesNotExist, message).help(help));
        }
        Ok(all)
    }

    /// What an earlier run of this home has left. A service has taken it up with its connections.
    fn take_up_tasks(&self) {
        if self.survivors.get().is_none() {
            self.tasks.take_up(None);
        }
    }

    /// `TASK LIST`.
    pub(in crate::engine) fn task_list(&self) -> Result<Reply, ApiError> {
        self.take_up_tasks();
        Ok(Reply::Tasks(Box::new(self.tasks.tasks(&self.connections())?)))
    }

    /// `TASK STATUS`.
    pub(in crate::engine) fn task_status(&self, job: &str) -> Result<Reply, ApiError> {
        self.take_up_tasks();
        self.tasks.status(job).map(Reply::TaskStatus)
    }

    /// `TASK RUN AS`.
    pub(in crate::engine) fn task_run_as(&self, user: &str) -> Result<Reply, ApiError> {
        self.tasks.set_run_as(user)?;
        tracing::info!("Tasks run as {user} from now on");
        Ok(Reply::Done)
    }

    /// `DTCL grant tasks`.
    pub(in crate::engine) fn grant_tasks(&self, grant: &str, allowed: bool) -> Result<Reply, ApiError> {
        // One at a time, as grants are made.
        let _turn = lock(&self.connecting);
        if !self.kept.store.set_grant_tasks(grant, allowed)? {
            return Err(ApiError::new(Code::ConnectionDoesNotExist, format!("there is no grant {grant}"))
                .help("DTCL grant list shows all"));
        }
        let may = if allowed { "may" } else { "may not" };
        tracing::info!("The source of the grant {grant} {may} run tasks here");
        Ok(Reply::Done)
    }
}

/// -101 for what cannot be sent or run anywhere.
fn refuse_bad(spec: &TaskSpec) -> Result<(), ApiError> {
    let wrong = |message: String| ApiError::new(Code::InvalidParameterWasSupplied, message);
    if spec.job.is_empty() || !is_plain(&spec.job, JOB_MAX) {
        return Err(wrong(format!("{:?} is no name for a task", spec.job))
            .help(format!("1 to {JOB_MAX} bytes, without line breaks and other control characters")));
    }
    if !is_plain(&spec.by, 255) {
        return Err(wrong(format!("{:?} is no name of a user", spec.by)));
    }
    if let TaskLimit::Seconds(seconds) = spec.limit
        && !(1..=SECONDS_MAX).contains(&seconds)
    {
        return Err(wrong(format!("{seconds} seconds are no time-out"))
            .help(format!("1 to {SECONDS_MAX} seconds, 0 (it is not waited for), or FOREVER")));
    }
    let mut points: Vec<TaskPoint> = spec.commands.iter().map(|(point, _)| *point).collect();
    points.sort_unstable();
    points.dedup();
    if points.is_empty() || points.len() < spec.commands.len() {
        return Err(wrong("a task has something to run at one point or more, once at each".to_owned())
            .help("QUEUETASK <job> TO <target> ONEXECUTE = <program>"));
    }
    for (point, command) in &spec.commands {
        if !is_plain(command, COMMAND_MAX) {
            return Err(wrong(format!("{point}: the command is too long, or has control characters in it"))
                .help(format!("at most {COMMAND_MAX} bytes; put longer ones into a file, and name that")));
        }
        words::split(command).map_err(|error| {
            let help = match error {
                BadCommand::Open => format!("{point} = /usr/local/bin/snap \"--label 'a b'\""),
                BadCommand::Empty | BadCommand::Relative => {
                    format!("{point} = /usr/local/bin/snap: there is no shell and no search path")
                }
                BadCommand::Script => format!("{point} = rhai:/etc/DT/hook.rhai"),
            };
            wrong(format!("{point}: {command:?} is no command: {error}")).help(help)
        })?;
    }
    Ok(())
}
