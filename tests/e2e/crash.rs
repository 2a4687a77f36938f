//! Stopped by a signal, killed, run twice at once: nothing is lost, and the same script goes on.

use crate::migration::Migration;
use crate::needs;
use crate::support::random::Random;
use crate::support::{Home, oracle, tree, wait_for_line};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// Looks until the target holds so many files or the program has ended.
fn watch_target(child: &mut Child, target: &Path, files: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if tree::all(target).len() >= files || child.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::yield_now();
    }
    panic!("nothing arrived in a minute");
}

/// Many small and some large files.
fn fill(m: &Migration, files: usize) {
    let mut random = Random::new(9);
    for n in 0..files {
        let len = if n % 100 == 0 { 400_000 } else { 1 + random.below(3000) };
        m.write(&format!("{:03}/file {n}", n / 200), random.bytes(len));
    }
}

/// A file that carries its name on the target carries its content too, whole.
#[track_caller]
fn assert_whole_or_absent(m: &Migration) {
    for path in tree::all(&m.target) {
        let inside = path.strip_prefix(&m.target).unwrap();
        let from = m.source.join(inside);
        if path.is_file() && from.is_file() {
            assert!(
                std::fs::read(&path).unwrap() == std::fs::read(&from).unwrap(),
                "{inside:?} is not whole"
            );
        }
    }
}

const MIRROR: &str = "mirror start 1 different checksum orphans\nwaitonmirror 1\n";

#[test]
fn killed_in_a_mirror_the_same_script_goes_on() {
    needs!("rsync");
    let m = Migration::new();
    fill(&m, 3000);
    let mut killed = 0;
    for files in [1, 300, 1500] {
        let mut child = m.start(MIRROR).spawn();
        watch_target(&mut child, &m.target, files);
        let _ = child.kill();
        if child.wait().unwrap().code().is_none() {
            killed += 1;
        }
        assert_whole_or_absent(&m);
    }
    assert!(killed > 0, "no mirror was running still when it was killed");
    m.run(MIRROR).ok();
    m.assert_same();
}

/// Killed while the target is overwritten by other content: the next run repairs what was half done.
#[test]
fn killed_while_it_overwrites() {
    needs!("rsync");
    let m = Migration::new();
    fill(&m, 1500);
    m.mirror("full").ok();
    for path in tree::all(&m.source).into_iter().filter(|path| path.is_file()) {
        let len = usize::try_from(path.metadata().unwrap().len()).unwrap();
        std::fs::write(&path, Random::new(77).bytes(len)).unwrap();
    }
    let mut child = m.start("write \"go\"\nmirror start 1 different checksum\nwaitonmirror 1\n").spawn();
    wait_for_line(&mut child, "go");
    let first = m.target.join("000/file 1");
    let old = std::fs::read(&first).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read(&first).unwrap() == old && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "nothing arrived in a minute");
    }
    let _ = child.kill();
    child.wait().unwrap();
    m.run("mirror start 1 different\nwaitonmirror 1\n").ok();
    m.assert_same();
}

fn ends_with_6(sig: Signal) {
    // The mirror is paused, so it is under way for certain when the signal comes.
    for files in [2000, 50_000] {
        let m = Migration::new();
        fill(&m, files);
        let mut child = m
            .start(
                "mirror start 1 full\n$p = mirror pause 1\nIF $p = -121 THEN write \"too late\" ELSE write \"paused\" END\n\
                 waitonmirror 1\n",
            )
            .spawn();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        if line == "too late" {
            child.wait().unwrap();
            continue;
        }
        signal(&child, sig);
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(6), "{err}");
        assert_whole_or_absent(&m);
        // Nothing of the connection is left behind that would keep the next run from working.
        m.run(MIRROR).ok();
        oracle::assert_same(&m.source, &m.target);
        return;
    }
    panic!("no mirror was running still when it was paused");
}

#[test]
fn sigterm_in_a_mirror_is_status_6() {
    needs!("rsync");
    ends_with_6(Signal::SIGTERM);
}

#[test]
fn ctrl_c_in_a_mirror_is_status_6() {
    needs!("rsync");
    ends_with_6(Signal::SIGINT);
}

#[test]
fn sigterm_while_files_are_written() {
    needs!("rsync");
    let m = Migration::new();
    fill(&m, 5000);
    let mut child = m.start(MIRROR).spawn();
    watch_target(&mut child, &m.target, 10);
    let running = child.try_wait().unwrap().is_none();
    signal_if(&child, running);
    let status = child.wait().unwrap().code();
    assert!(status == Some(6) || status == Some(0), "{status:?}");
    assert_whole_or_absent(&m);
    m.run(MIRROR).ok();
    m.assert_same();
}

fn signal_if(child: &Child, running: bool) {
    if running {
        signal(child, Signal::SIGTERM);
    }
}

#[test]
fn a_second_engine_on_the_same_home_is_refused() {
    let m = Migration::new();
    let mut first = m.home.dtcl().script("repset list\nwrite \"ready\"\nsleep 600\n").spawn();
    wait_for_line(&mut first, "ready");
    let second = m.home.dtcl().args(["-c", "repset create u\nrepset save u"]).run();
    assert_ne!(second.status, 0, "{}", second.report());
    second.says(m.home.home().to_str().unwrap());
    // The first holds the home until it ends, however it ends.
    first.kill().unwrap();
    first.wait().unwrap();
    m.home.dtcl().args(["-c", "repset list"]).run().ok().prints("t  ");
}

#[test]
fn what_needs_no_engine_runs_beside_another() {
    let home = Home::new();
    let mut first = home.dtcl().script("repset list\nwrite \"ready\"\nsleep 600\n").spawn();
    wait_for_line(&mut first, "ready");
    home.dtcl().args(["-c", "write (1 + 2)"]).run().ok().prints("3\n");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_damaged_database_is_named_and_kept() {
    let m = Migration::new();
    let database = m.home.home().join("lib/DblTake.db");
    let damage = b"this is no database, and whoever overwrites it loses what may still be saved".repeat(50);
    std::fs::write(&database, &damage).unwrap();
    for script in ["repset list\n", "repset create other\n"] {
        let ran = m.home.script(script);
        assert_ne!(ran.status, 0, "{}", ran.report());
        ran.says("DblTake.db");
    }
    assert!(std::fs::read(&database).unwrap() == damage, "the damaged file was changed");
}
