//! `--dry-run`: the logic of a script runs, and nothing is changed.

use crate::support::served::Served;
use crate::support::{Home, Ran, q};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// All that a directory holds: kind, mode, owner, time of the last change, content.
fn state(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let meta = path.symlink_metadata().unwrap();
        let content = match meta.is_file() {
            true => format!("{:?}", std::fs::read(&path).unwrap()),
            false => String::new(),
        };
        let told =
            format!("{:o} {} {}.{} {content}", meta.mode(), meta.uid(), meta.mtime(), meta.mtime_nsec());
        found.insert(path.display().to_string(), told);
        if meta.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

/// The names below a directory that another process works in.
fn names_below(root: &Path) -> Vec<String> {
    let below = std::fs::read_dir(root).into_iter().flatten().flatten().flat_map(|entry| {
        let path = entry.path();
        if path.is_dir() { names_below(&path) } else { vec![path.display().to_string()] }
    });
    let mut names = vec![root.display().to_string()];
    names.extend(below);
    names
}

fn dry(home: &Home, script: &str) -> Ran {
    home.dtcl().arg("--dry-run").script(script).run()
}

/// Runs a script twice; everything but the script itself is as it was.
fn changes_nothing(home: &Home, script: &str) -> Ran {
    home.file("script.dtcl", script);
    std::fs::File::open(home.path("script.dtcl")).unwrap();
    let before: Vec<_> = ["home", "data", "copy"].map(|name| state_if(&home.path(name))).into();
    let ran = dry(home, script);
    let after: Vec<_> = ["home", "data", "copy"].map(|name| state_if(&home.path(name))).into();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after, "{}", ran.report());
    }
    ran
}

fn state_if(path: &Path) -> BTreeMap<String, String> {
    if path.exists() { state(path) } else { BTreeMap::new() }
}

/// A home with a saved set `payroll` of `data`, mirrored to `copy`, and files that differ meanwhile.
fn mirrored() -> Home {
    let home = Home::new();
    home.file("data/a", "one");
    home.file("data/sub/b", "two");
    let (data, copy) = (q(&home.path("data")), q(&home.path("copy")));
    home.script(&format!(
        "repset create payroll\nrepset rule add {data} include to payroll\nrepset save\n\
         $c = connect payroll to localhost map base {copy}\nwaitonmirror $c\ndisconnect $c\nset ChecksumAll = 0\n"
    ))
    .ok();
    home.file("data/new", "three");
    home.file("copy/orphan", "four");
    home
}

#[test]
fn a_migration_runs_to_its_end_and_leaves_everything_as_it_was() {
    let home = mirrored();
    let copy = q(&home.path("copy"));
    let ran = changes_nothing(
        &home,
        &format!(
            "$set = \"payroll\"\n$con = connect $set to localhost map base {copy} \\\n  orphans\n\
             write $\"connection {{$con}}\"\nstatus con $con\n\
             while status($con).target_state = \"Mirroring\" do sleep 5 end\n\
             waitonmirror $con\nwaitontarget $con timeout = 1 hour\nbarrier $con\n\
             mirror start $con different orphans\nmirror pause $con\nmirror resume $con\nwaitonmirror $con\n\
             verify $con\nwaitonmirror $con\nverify report $con\n\
             set ChecksumAll = 1\nwrite (option(\"ChecksumAll\"))\nrepset rename payroll to other\n"
        ),
    );
    // RST-13: a connected set is not renamed, and a dry run says so where the run would.
    ran.status(1).says("payroll");
    ran.prints_lines(&[
        &format!("would: $con = connect payroll to localhost map base {copy} orphans"),
        "connection 1",
        "would: mirror start 1 different orphans",
        "would: mirror pause 1",
        "would: mirror resume 1",
        "would: verify 1",
        "would: set ChecksumAll = 1",
        "1",
    ]);
    assert!(!ran.out.contains("would: wait"), "{}", ran.out);
}

#[test]
fn a_home_that_is_not_there_is_not_made() {
    let home = Home::new();
    home.file("data/a", "one");
    let script = format!(
        "repset create x\nrepset rule add {} include to x\nrepset save\n$c = connect x to localhost map base {}\n\
         waitonmirror $c\ndisconnect $c\n$r = status con $c\nwrite $r\nrepset delete x\n",
        q(&home.path("data")),
        q(&home.path("copy"))
    );
    let ran = changes_nothing(&home, &script);
    ran.ok();
    ran.prints_lines(&["would: repset save", "would: disconnect 1", "-107", "would: repset delete x"]);
    assert!(!home.home().exists() && !home.path("copy").exists());
}

#[test]
fn what_a_run_would_refuse_is_refused() {
    let home = mirrored();
    changes_nothing(&home, "connect nowhere to localhost\n").status(1).says("error -123");
    changes_nothing(&home, "set ChecksumAll = 7\n").status(1).says("error -101");
    changes_nothing(&home, "repset create y\nconnect y to localhost\n").status(1).says("error -144");
    changes_nothing(&home, "mirror start 1\n").status(1).says("error -107");
    changes_nothing(&home, "frobnicate\n").status(2);
    // The copy would come to lie in the home itself.
    let inside = q(&home.home().join("lib/x"));
    changes_nothing(&home, &format!("connect payroll to localhost map base {inside}\n")).status(1);
}

#[test]
fn no_loop_waits_for_what_cannot_come() {
    let home = mirrored();
    let copy = q(&home.path("copy"));
    let connect = format!("$c = connect payroll to localhost map base {copy}\n");
    let file = q(&home.path("copy/new"));
    let began = std::time::Instant::now();
    changes_nothing(&home, &format!("{connect}while not exists({file}) do sleep 60 end\n"))
        .status(1)
        .says("in a dry run this goes on for ever");
    changes_nothing(&home, &format!("{connect}while not exists({file}) do end\n")).status(1);
    changes_nothing(&home, "while len(connections()) = 0 do end\n").status(1);
    changes_nothing(&home, "$end = now() + 7200\nwhile now() < $end do sleep 60 end\nwrite \"over\"\n")
        .ok()
        .prints("over\n");
    changes_nothing(&home, "watch 5 repset list\n").ok();
    changes_nothing(&home, "while 1 = 1 do\n$r = repset create x\nsleep 1\nend\n")
        .status(1)
        .says("nothing ends these pauses");
    let ran = changes_nothing(
        &home,
        &format!("{connect}mirror pause $c\n$r = waitonmirror $c timeout = 9\nwrite $r\nwaitonmirror $c\n"),
    );
    ran.status(1).says("this wait would not end: connection 1 is paused");
    ran.prints_lines(&["0"]);
    assert!(began.elapsed().as_secs() < 60, "pauses take no time");
}

#[test]
fn files_of_the_client_are_not_written() {
    let home = mirrored();
    home.file("hook.sh", "#!/bin/sh\ntouch ran\n");
    let ran = changes_nothing(
        &home,
        "spool \"spooled\"\nrepset export payroll to \"set.txt\"\nrepset import \"set.txt\" as again\nrepset list\n",
    );
    ran.ok();
    ran.prints_lines(&["would: spool \"spooled\"", "would: repset export payroll to \"set.txt\""]);
    assert!(ran.out.contains("again"), "{}", ran.out);
    let copy = q(&home.path("copy"));
    let ran = changes_nothing(
        &home,
        &format!(
            "set EnableTaskCmdProcessing = 1\nconnect payroll to localhost map base {copy}\n\
             queuetask t to localhost onqueue = \"/bin/touch {0}\" onexecute = \"/bin/touch {0}\"\n\
             task status t\n\
             connect payroll to tdu \"counted.sts\" \n",
            home.path("ran").display()
        ),
    );
    ran.ok();
    assert!(ran.out.contains("succeeded") && !ran.out.contains("failed"), "{}", ran.out);
    for name in ["spooled", "set.txt", "ran", "counted.sts"] {
        assert!(!home.path(name).exists(), "{name}: {}", ran.report());
    }
}

/// A service with a connection that follows.
fn connected() -> (Home, Served) {
    let home = mirrored();
    let served = Served::start(&home);
    let copy = q(&home.path("copy"));
    home.script(&format!("$c = connect payroll to localhost map base {copy}\nwaitonmirror $c\nbarrier $c\n"))
        .ok();
    (home, served)
}

#[test]
fn a_service_and_its_connections_stay_as_they_are() {
    let (home, _served) = connected();
    let ran = dry(
        &home,
        &format!(
            "repset list\nstatus con 1\nwrite (option(\"ChecksumAll\"))\n\
             $new = connect payroll to localhost map base {}\nwrite $\"new {{$new}}\"\n\
             waitonmirror $new\nwrite (len(connections()))\nmirror start 1\nwaitonmirror 1\ndisconnect *\n\
             write (len(connections()))\nset ChecksumAll = 1\nwrite (option(\"ChecksumAll\"))\nshutdown\n",
            q(&home.path("second"))
        ),
    );
    ran.ok();
    ran.prints_lines(&[
        "0",
        "new 2",
        "2",
        "would: mirror start 1",
        "would: disconnect *",
        "0",
        "1",
        "would: shutdown",
    ]);
    assert!(!home.path("second").exists());
    let after = home.script("write (len(connections())) \" \" (option(\"ChecksumAll\"))\nstatus con 1\n");
    after.ok();
    assert!(after.out.starts_with("1 0\n"), "{}", after.out);
}

#[test]
fn a_services_connections_count_for_what_names_their_target_or_set() {
    let (home, _served) = connected();
    let ran = dry(
        &home,
        &format!(
            "pause target localhost\nresume target localhost\ntransmission stop localhost\n\
             transmission start localhost\nqueuetask t to localhost onqueue = \"/bin/touch {}\"\n\
             $r = repset rename payroll to other\nwrite $r\n$r = repset delete payroll\nwrite $r\n\
             $r = repset calculate payroll\nwrite $r\ndisconnect 1\n$r = pause target localhost\n\
             $r = queuetask t to localhost onqueue = \"/bin/true\"\nwrite $r\nrepset delete payroll\n",
            home.path("ran").display()
        ),
    );
    ran.ok();
    ran.prints_lines(&[
        "would: pause target localhost",
        "would: resume target localhost",
        "would: transmission stop localhost",
        "would: transmission start localhost",
        "-130",
        "-130",
        "would: disconnect 1",
        "-107",
        "would: repset delete payroll",
    ]);
    assert!(!home.path("ran").exists());
    let after = home.script("write (len(connections()))\nwrite (len(repsets()))\n");
    assert!(after.out.starts_with("1\n1\n"), "{}", after.report());
}

#[test]
fn what_is_not_sent_is_not_waited_for() {
    let home = mirrored();
    let copy = q(&home.path("copy"));
    let connect = format!("$c = connect payroll to localhost map base {copy}\nwaitonmirror $c\n");
    for held in ["transmission stop localhost", "pause target localhost"] {
        let script = format!("{connect}{held}\n$r = barrier $c timeout = 5\nwrite $r\nbarrier $c\n");
        let ran = home.dtcl().args(["--dry-run", "--timeout", "60"]).script(&script).run();
        ran.status(1).says("this wait would not end");
        ran.prints_lines(&["0"]);
    }
}

#[test]
fn the_copy_holds_no_secrets_and_goes_with_the_run() {
    let home = mirrored();
    let lib = home.home().join("lib");
    std::fs::write(lib.join("machine.key"), "secret").unwrap();
    let place = home.path("tmp");
    let kept = |place: &Path| -> Vec<String> {
        let top = place.display().to_string();
        names_below(place).into_iter().map(|path| path.replace(&top, "")).collect()
    };
    std::fs::create_dir(&place).unwrap();
    home.dtcl().arg("--dry-run").script("repset list\n").env("TMPDIR", &place).run().ok();
    assert_eq!(kept(&place), [""]);
    // What a killed run has left goes with the next one that comes a while later.
    let left = place.join("dtcl-dry-run-abcdef");
    std::fs::create_dir_all(left.join("lib")).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::open(&left).unwrap().set_modified(old).unwrap();
    let script = "repset list\nwhile 1 = 1 do end\n";
    let mut child = home.dtcl().arg("--dry-run").text(script).env("TMPDIR", &place).spawn();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !kept(&place).iter().any(|name| name.ends_with("DblTake.db")) {
        assert!(std::time::Instant::now() < deadline, "{:?}", kept(&place));
        std::thread::yield_now();
    }
    let names = kept(&place);
    assert!(!names.iter().any(|name| name.contains("machine.key") || name.contains("abcdef")), "{names:?}");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().try_into().unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    child.wait().unwrap();
    assert_eq!(kept(&place), [""]);
}

#[test]
fn what_would_be_done_is_a_document_in_json() {
    let home = mirrored();
    let ran = home.dtcl().args(["--dry-run", "--json"]).script("$n = \"a b\"\nrepset create $n\n").run();
    ran.ok();
    assert!(
        ran.out.contains(r#"{"command":"would""#) && ran.out.contains(r#"repset create \"a b\""#),
        "{}",
        ran.out
    );
}
