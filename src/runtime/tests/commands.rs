//! Commands as values (language.md 4).

use super::{failed, interpreter, output, run};
use crate::commands::Mode;

#[test]
fn a_command_gives_its_value() {
    assert_eq!(output("$con = connect payroll to localhost\nwrite $con $result"), "77\n");
    assert_eq!(output("$r = ping localhost\nwrite $r"), "1\n");
}

#[test]
fn an_assigned_failure_goes_on() {
    assert_eq!(
        output(
            "$r = mirror stop 3\nwrite $r \" \" $result \" \" $error\nping localhost\nwrite \"[\" $error \"]\""
        ),
        "-107 -107 Connection does not exist\n[]\n"
    );
}

#[test]
fn an_unassigned_failure_stops_with_place_and_status() {
    let ran = run("write a\n  mirror stop 3\nwrite b");
    assert_eq!((ran.status, ran.output.as_str()), (1, "a\n"));
    assert_eq!(
        ran.messages,
        "a.dtcl:2:3: error -107: Connection does not exist\n2 |   mirror stop 3\n  |   ^^^^^^^^^^^^^\n"
    );
}

#[test]
fn write_is_a_command_and_leaves_its_own_result() {
    assert_eq!(output("$r = mirror stop 3\nwrite $result\nwrite \"[\" $result $error \"]\""), "-107\n[1]\n");
}

#[test]
fn the_value_of_a_watch_is_that_of_the_command_that_failed() {
    assert_eq!(output("$r = watch 0.1 mirror stop 3\nwrite $r"), "-107\n");
    assert_eq!(
        output("$r = watch 0.1 mirror stop 3\nwrite ($r + 1)\n$s = watch 1 mirror stop 3\nwrite $s"),
        "-106\n-107\n"
    );
}

#[test]
fn statuses_by_kind() {
    assert_eq!(failed("login localhost nobody secret").0, 3);
    assert_eq!(failed("source nowhere").0, 4);
    assert_eq!(failed("source mute").0, 4);
    let (status, message) = failed("waitonmirror 3 timeout = 1");
    assert_eq!((status, message.as_str()), (5, "a.dtcl:1:1: error: WAITONMIRROR: the time ran out"));
    assert_eq!(failed("frobnicate 3").0, 2);
}

#[test]
fn zero_can_be_tested() {
    assert_eq!(output("$r = waitonmirror 3 timeout = 1\nwrite $r\n$r = source mute\nwrite $r"), "0\n-110\n");
    assert!(output("$r = login localhost nobody secret\nwrite $r").ends_with("\n0\n"));
}

#[test]
fn a_value_that_does_not_fit_is_the_commands_own_failure() {
    assert_eq!(output("$n = \"x\"\n$r = mirror stop $n\nwrite $r"), "-101\n");
    assert_eq!(output("$r = mirror stop abc\nwrite $r"), "-101\n");
    assert_eq!(output("$r = sleep \"x\"\nwrite $r\n$r = exit 999\nwrite $r"), "-101\n-101\n");
}

#[test]
fn what_is_not_there_yet_says_so() {
    let (status, message) = failed("load source");
    assert_eq!(status, 1);
    assert!(message.contains("error -161: "), "{message}");
}

#[test]
fn in_json_everything_is_a_document() {
    let (mut interpreter, ui) = interpreter();
    interpreter.session_mut().set_mode(Mode::Json);
    let status =
        interpreter.run_script("a.dtcl", b"write \"x\" 1\nping localhost\nmirror stop 3", Vec::new());
    assert_eq!(status, 1);
    for line in ui.output().lines().chain(ui.messages().lines()) {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let first: serde_json::Value = serde_json::from_str(ui.output().lines().next().unwrap()).unwrap();
    assert_eq!(first["text"], "x1");
    let error: serde_json::Value = serde_json::from_str(ui.messages().lines().next().unwrap()).unwrap();
    assert_eq!(
        (error["code"].as_i64(), error["line"].as_i64(), error["column"].as_i64()),
        (Some(-107), Some(3), Some(1))
    );
}

#[test]
fn a_wish_to_stop_ends_loops_sleeps_and_watches() {
    for script in [
        "WHILE TRUE DO END",
        "sleep 1 hour",
        "watch 1 ping localhost",
        "ON ERROR CONTINUE\nsleep 60\nwrite on",
    ] {
        let (mut interpreter, ui) = interpreter();
        ui.cancel(true);
        assert_eq!(interpreter.run_script("a", script.as_bytes(), Vec::new()), 6, "{script}");
        assert_eq!(ui.output(), "");
    }
}

#[test]
fn watch_runs_its_command_again_and_again() {
    let (mut interpreter, ui) = interpreter();
    let stop = ui.clone();
    // Stops once the third line is there.
    let watcher = std::thread::spawn(move || {
        while stop.output().lines().count() < 3 {
            std::thread::yield_now();
        }
        stop.cancel(true);
    });
    let status = interpreter.run_script("a", b"$x = 5\nwatch 0.1 write $x (1 + 1)", Vec::new());
    watcher.join().unwrap();
    assert_eq!(status, 6);
    assert!(ui.output().starts_with("52\n52\n52\n"), "{}", ui.output());
}

#[test]
fn words_of_the_command_line() {
    let (mut interpreter, ui) = interpreter();
    let run = |interpreter: &mut super::Interpreter, words: &[&str]| {
        interpreter.run_words(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(run(&mut interpreter, &["write", "a b", "it's", "$x", "end", "#", "a;b"]), 2);
    assert_eq!(run(&mut interpreter, &["write", "a b", "it's", "$x/y", "#", "a;b", "\"q\"", ""]), 0);
    assert_eq!(ui.output(), "a bit's$x/y#a;b\"q\"\n");
    assert_eq!(run(&mut interpreter, &["write", "$machine"]), 0);
    assert!(ui.output().ends_with("\nhere\n"));
    assert_eq!(run(&mut interpreter, &["mirror", "stop", "3"]), 1);
    assert!(ui.take_messages().contains("command line:1:1: error -107"), "{}", ui.messages());
}
