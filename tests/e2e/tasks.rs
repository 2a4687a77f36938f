//! Tasks as people meet them: at the prompt, from cron, as a hook that is told what happens (SET-02, RPL-03 to -05).

use crate::migration::Migration;
use crate::replication::Following;
use crate::support::{is_root, q, skip, tree};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

fn following() -> Following {
    let mut f = Following::new();
    f.engine.ok("set EnableTaskCmdProcessing = 1");
    f
}

/// A script of the shell, as an administrator would write one.
fn program(f: &Following, name: &str, text: &str) -> String {
    let path = f.outside(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_task_runs_at_its_place_and_who_queued_it_is_told() {
    let mut f = following();
    let list = program(
        &f,
        "list",
        "ls \"$DT_TARGET_PATHS\" | grep -v kept; echo $1 $2 of $DT_REPSET from $DT_CONID",
    );
    tree::write(&f.source("a"), b"a");
    f.engine.ok(&format!(
        "queuetask snap to localhost onexecute = {} \"one 'two three'\" timeout = 20",
        q(Path::new(&list))
    ));
    tree::write(&f.source("b"), b"b");
    f.barrier();
    let status = f.engine.say("task status SNAP");
    for words in ["succeeded", "at most once", "20 seconds", "exit status 0", "one two three of t from 1"] {
        assert!(status.contains(words), "no {words}: {status}");
    }
    let lines: Vec<&str> = status.lines().map(str::trim).collect();
    assert!(lines.iter().any(|line| *line == "a" || line.ends_with(" a")), "{status}");
    assert!(!lines.iter().any(|line| *line == "b" || line.ends_with(" b")), "{status}");
    let all = f.engine.say("task list");
    for words in ["snap", "succeeded", "submitted 1, queued 0, succeeded 1, failed 0, ignored 0", "yes"] {
        assert!(all.contains(words), "no {words}: {all}");
    }
    let log = f.m.log();
    for words in [
        " 2 4200 In-band task snap submitted from ",
        " 2 4202 Running ONEXECUTE in-band script ",
        " 2 4203 In-band script ",
        "Task snap at ONEXECUTE: one two three of t from 1",
    ] {
        assert!(log.contains(words), "no {words}: {log}");
    }
}

#[test]
fn what_cannot_be_a_task_is_told_at_once_with_what_to_type() {
    let mut f = following();
    let mut error = |command: &str, code: i64, words: &[&str]| {
        assert_eq!(f.engine.code(command), code, "{command}");
        // Not assigned it is told on standard error, with its help.
        f.engine.say(command);
        let said = f.engine.errors();
        for word in words {
            assert!(said.contains(word), "{command}: no {word}: {said}");
        }
    };
    error(
        "queuetask j to localhost onexecute = snap",
        -101,
        &["full path of a program", "there is no shell"],
    );
    error("queuetask j to localhost onexecute = /bin/true \"'a\"", -101, &["a quote is not closed"]);
    error("queuetask j to localhost onexecute = rhai:hook", -101, &["rhai:/etc/DT/hook.rhai"]);
    error("queuetask j to localhost onexecute = /bin/true interact", -161, &["no desktop", "leave it out"]);
    error(
        "queuetask j to 192.0.2.77 onexecute = /bin/true",
        -107,
        &["no connection leads to", "STATUS lists"],
    );
    error("queuetask \"\" to localhost onexecute = /bin/true", -101, &["no name for a task"]);
    error("task status nothing", -123, &["no task \"nothing\"", "TASK LIST"]);
    error(
        "task run as no-such-user-here on localhost",
        -101,
        &["no user no-such-user-here", "getent passwd"],
    );
    f.engine.ok("replication stop 1");
    assert_eq!(f.engine.code("queuetask j to localhost onexecute = /bin/true"), -126);
    assert!(f.engine.say("task list").contains("Tasks run here"));
}

/// SET-02: off is the default, and nothing is run; it is told, and counted as ignored.
#[test]
fn a_machine_on_which_tasks_are_off_runs_none() {
    let mut f = Following::new();
    let ran = f.outside("ran");
    f.engine.ok(&format!("queuetask j to localhost onexecute = /usr/bin/touch {}", q(&ran)));
    f.barrier();
    let status = f.engine.say("task status j");
    assert!(status.contains("ignored") && status.contains("EnableTaskCmdProcessing is 0"), "{status}");
    assert!(!ran.exists());
    assert!(f.m.log().contains(" 1 4207 Scripts are disabled on this server"), "{}", f.m.log());
    assert!(f.engine.say("task list").contains("submitted 1, queued 0, succeeded 0, failed 0, ignored 1"));
    f.engine.ok(&format!("queuetask j to localhost onqueue = /usr/bin/touch {}", q(&ran)));
    assert!(f.engine.errors().contains("ONQUEUE will not be run"), "{}", f.engine.errors());
    assert!(!ran.exists());
}

#[test]
fn a_hook_in_rhai_is_told_where_it_is_and_bounded() {
    let mut f = following();
    let hook = |name: &str, text: &str| {
        let path = f.outside(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = hook(
        "good.rhai",
        "fn task(about) { print(`${about.job} at ${about.point}: ${about.arguments}`); 0 }",
    );
    let bad = hook("bad.rhai", "fn task(about) { throw `not on ${about.point}` }");
    let endless = hook("endless.rhai", "fn task(about) { loop {} }");
    f.engine.ok(&format!("queuetask good to localhost onexecute = \"rhai:{good}\" \"x y\""));
    f.engine.ok(&format!("queuetask bad to localhost onexecute = \"rhai:{bad}\""));
    f.engine.ok(&format!("queuetask endless to localhost onexecute = \"rhai:{endless}\""));
    f.barrier();
    let status = f.engine.say("task status good");
    assert!(status.contains("good at ONEXECUTE: [\"x\", \"y\"]") && status.contains("succeeded"), "{status}");
    let status = f.engine.say("task status bad");
    assert!(status.contains("exit status 1") && status.contains("not on ONEXECUTE"), "{status}");
    let status = f.engine.say("task status endless");
    assert!(status.contains("exit status 1") && status.contains("more than 10000000 steps"), "{status}");
}

/// Of a job of cron: what has failed is an exit status.
#[test]
fn a_script_ends_with_the_status_of_its_task() {
    let m = Migration::new();
    m.write("a", "a");
    let script = |task: &str, then: &str| {
        format!(
            "set EnableTaskCmdProcessing = 1\nconnect t to localhost map {} to {}\nwaitonmirror 1\n\
             queuetask nightly to localhost onexecute = {task}\nbarrier 1 timeout = 60\ntask status nightly\n{then}",
            q(&m.source),
            q(&m.target)
        )
    };
    m.home
        .dtcl()
        .script(script("/bin/true", "write \"well\""))
        .run()
        .ok()
        .prints("well")
        .prints("exit status 0");
    let failed = m.home.dtcl().script(script("/bin/false", "write \"well\"")).run();
    failed.status(1).prints("exit status 1");
    assert!(!failed.out.contains("\nwell\n"), "{}", failed.report());
    // Another run knows of it.
    m.home.dtcl().text("task list").run().ok().prints("nightly").prints("failed");
}

#[test]
fn tasks_run_as_whom_their_machine_says() {
    if !is_root() {
        return skip("tasks_run_as_whom_their_machine_says", "only root can become another user");
    }
    let mut f = following();
    f.engine.ok("task run as nobody on localhost");
    assert!(f.engine.say("task list").contains("nobody"));
    f.engine.ok("queuetask who to localhost onexecute = /usr/bin/id \"-un\"");
    f.barrier();
    let status = f.engine.say("task status who");
    assert!(status.contains("nobody"), "{status}");
    // What it may not read it cannot run, and nobody is told what is in it.
    let hidden = f.m.home.file("hidden.rhai", "a secret { of the target");
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600)).unwrap();
    f.engine.ok(&format!(
        "queuetask spy to localhost onexecute = {}",
        q(Path::new(&format!("rhai:{}", hidden.display())))
    ));
    f.barrier();
    let status = f.engine.say("task status spy");
    assert!(status.contains("failed") && !status.contains("secret"), "{status}");
    drop(f.engine);
    f.m.home.dtcl().text("task list").run().ok().prints("nobody");
}

/// The end of an engine ends what it waits for, and says so; what is not waited for goes on.
#[test]
fn an_engine_that_ends_kills_the_task_that_it_waits_for() {
    let mut f = following();
    let (began, unwaited) = (f.outside("began"), f.outside("unwaited"));
    let hangs = program(&f, "hangs", &format!("echo $$ > {}; sleep 1000", began.display()));
    let goes_on = program(&f, "goes on", &format!("echo $$ > {}; exec sleep 1000", unwaited.display()));
    f.engine
        .ok(&format!("queuetask unwaited to localhost onexecute = {} timeout = 0", q(Path::new(&goes_on))));
    f.engine
        .ok(&format!("queuetask hangs to localhost onexecute = {} timeout = forever", q(Path::new(&hangs))));
    let pid = |path: &Path| std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'));
    until("it begins", || pid(&began).is_some() && pid(&unwaited).is_some());
    // It has begun a moment before it is in the list.
    until("it is told of", || f.engine.say("task list").contains("hangs at ONEXECUTE, from "));
    let all = f.engine.say("task list");
    assert!(all.contains("running ONEXECUTE"), "{all}");
    let alive = |path: &Path| Path::new("/proc").join(pid(path).unwrap().trim()).exists();
    // One that was told to stop drains for no longer than 10 s.
    let engine = nix::unistd::Pid::from_raw(i32::try_from(f.engine.process()).unwrap());
    nix::sys::signal::kill(engine, nix::sys::signal::Signal::SIGTERM).unwrap();
    f.engine.end();
    until("it is killed", || !alive(&began));
    assert!(alive(&unwaited));
    let process: i32 = pid(&unwaited).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL).unwrap();
    let later = f.m.home.dtcl().text("task list").run();
    later.ok().prints("hangs").prints("failed");
}
