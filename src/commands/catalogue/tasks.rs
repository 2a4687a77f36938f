//! Tasks and scripts in the stream (SET-02, RPL-03 to RPL-05).

use super::{ADMIN, Command, MONITOR, command};
use crate::commands::Family::Tasks;

pub(super) const COMMANDS: &[Command] = &[
    command(
        Tasks,
        "QueueTASK <job_name> TO <target> {ONQueue|ONTRANSmit|ONRECeive|ONEXECute = <task> [<args>]}... [TIMEOUT = <duration>|FOREVER] [INTERACT | NOINTERACT]",
        ADMIN,
        "D",
        "Queues a task in line with the data.",
    )
    .details(
        "Any combination of the four points, each once. TIMEOUT 0 does not wait. NOINTERACT is the default. The option \
         EnableTaskCmdProcessing decides where tasks run. A task is an executable (no shell) or `rhai:<file>`; its \
         arguments are one value, split on blanks, quotes respected.",
    )
    .examples(&[
        "qtask backup to beta onexec = \"/usr/local/bin/snap\" \"--now\" timeout = 5 minutes",
        "queuetask mark to beta onqueue = /bin/true ontrans = /bin/true timeout=forever nointeract",
    ]),
    command(Tasks, "TASK RUN AS <user>", ADMIN, "X", "Names the user that tasks and scripts run as.")
        .details("On the current target; a source cannot choose it.")
        .examples(&["task run as nobody"]),
    command(Tasks, "TASK LIST", MONITOR, "X", "Lists the tasks and their states.").examples(&["task list"]),
    command(Tasks, "TASK STATUS <job_name>", MONITOR, "X", "Shows one task: state, exit status, output.")
        .examples(&["task status backup"]),
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
