//! `--check` with the catalogue and with modules.

use super::interpreter;
use std::path::Path;

/// The messages of a check, the first line of each finding without its file.
fn check_in(directory: &Path, script: &str) -> Vec<String> {
    let (mut interpreter, ui) = interpreter();
    let file = directory.join("a.dtcl");
    std::fs::write(&file, script).unwrap();
    interpreter.check(&file.to_string_lossy(), script.as_bytes());
    let here = format!("{}/", directory.display());
    let messages = ui.messages().replace(&here, "");
    messages.lines().filter_map(|line| line.strip_prefix("a.dtcl:")).map(str::to_owned).collect()
}

fn check(script: &str) -> Vec<String> {
    check_in(tempfile::tempdir().unwrap().path(), script)
}

const NONE: [&str; 0] = [];

#[test]
fn a_set_that_was_changed_is_saved_before_it_is_connected() {
    let made = "repset create payroll\nrepset rule add \"/srv\" include to payroll\n";
    let connect = "$con = connect Payroll to localhost map exact\n";
    assert_eq!(
        check(&format!("{made}{connect}")),
        ["3:16: warning: Payroll was changed in this script and is not saved"]
    );
    for saved in [
        "repset save payroll\n",
        "repset save\n",
        "$s = \"payroll\"\nrepset save $s\n",
        "repset resync payroll\n",
    ] {
        assert_eq!(check(&format!("{made}{saved}{connect}")), NONE, "{saved}");
    }
    assert_eq!(check(connect), NONE);
    // A command that names it and saves nothing.
    let shown = check(&format!("{made}repset rule list payroll\n{connect}"));
    assert_eq!(shown.len(), 1, "{shown:?}");
    // Another branch, another machine.
    let branches = format!("IF $argc = 0 THEN\n{made}ELSE\n{connect}END\n");
    assert_eq!(check(&branches), NONE);
    assert_eq!(check(&format!("{made}source localhost\n{connect}")), NONE);
    assert_eq!(check(&format!("repset create other\n{connect}")), NONE);
}

#[test]
fn of_two_modules_a_run_may_load_one() {
    let place = tempfile::tempdir().unwrap();
    for name in ["m.rhai", "n.rhai"] {
        std::fs::write(place.path().join(name), "fn f() { 1 }").unwrap();
    }
    let script = "IF $argc > 0 THEN use \"m.rhai\" ELSE use \"n.rhai\" END\n";
    assert_eq!(check_in(place.path(), &format!("{script}write (f())")), NONE);
    assert_eq!(check_in(place.path(), &format!("{script}write (f(1))")).len(), 1);
}

#[test]
fn variables_given_from_outside_belong_to_the_first_script() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("b.dtcl"), "write $v").unwrap();
    for (word, clean) in [("include", true), ("run", false)] {
        let (mut interpreter, ui) = interpreter();
        interpreter.preset(vec![("v".to_owned(), "1".to_owned())]);
        let script = format!("write $v\n{word} \"b.dtcl\"\n");
        let name = place.path().join("a.dtcl");
        std::fs::write(&name, &script).unwrap();
        let checked = interpreter.check(&name.to_string_lossy(), script.as_bytes());
        assert_eq!(checked, clean, "{word}: {}", ui.messages());
    }
}

#[test]
fn connections_are_kept_in_variables() {
    assert_eq!(
        check("connect payroll to localhost map exact\nmirror start 1"),
        ["2:14: warning: connection 1 is written out"]
    );
    assert_eq!(check("$con = connect payroll to localhost map exact\nmirror start $con\nstatus"), NONE);
    assert_eq!(check("mirror start 1"), NONE);
    assert_eq!(check("$c = connect payroll to localhost map exact\nmirror stop *"), NONE);
}

#[test]
fn a_wait_without_a_time_is_hinted_at() {
    assert_eq!(check("waitonmirror 1"), ["1:1: hint: WAITONMIRROR may wait for ever"]);
    assert_eq!(check("waitonmirror 1 timeout = 5 hours\nbarrier 1"), NONE);
    let (mut interpreter, _) = interpreter();
    assert!(interpreter.check("x", b"waitonmirror 1"), "a hint is no error");
}

#[test]
fn functions_of_modules_are_known() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("m.rhai"), "fn backoff(n) { n }\nprivate fn inner() { 1 }").unwrap();
    let check = |script: &str| check_in(dir.path(), script);
    assert_eq!(check("use \"m.rhai\"\n$x = backoff(1) + m::backoff(2)\nwrite $x"), NONE);
    assert_eq!(
        check("use \"m.rhai\" as r\n$x = bakoff(1)\n$y = r::backoff()\n$z = r::inner()\n$w = m::backoff(1)"),
        [
            "2:6: error -102: there is no function bakoff",
            "3:6: error -102: r::backoff does not take 0 arguments",
            "4:6: error -102: there is no function r::inner",
            "5:6: error -102: there is no function m::backoff",
        ]
    );
    // What is not there now may be there when it runs, with any function.
    assert_eq!(
        check("use \"n.rhai\"\n$x = other(1)"),
        ["1:5: warning: cannot read n.rhai: No such file or directory (os error 2)"]
    );
    assert_eq!(check("$x = other(1)"), ["1:6: error -102: there is no function other"]);
    assert_eq!(check("use \"m.txt\""), ["1:5: error -101: m.txt is no .rhai file"]);
    assert_eq!(check("use \"m.rhai\" as \"1\""), ["1:5: error -101: 1 is no name for a module"]);
}

#[test]
fn an_error_of_a_module_shows_both_places() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("m.rhai"), "fn f() {\n  let x = ;\n}").unwrap();
    let (mut interpreter, ui) = interpreter();
    let file = dir.path().join("a.dtcl");
    std::fs::write(&file, "").unwrap();
    assert!(!interpreter.check(&file.to_string_lossy(), b"use \"m.rhai\"\nfrobnicate"));
    let messages = ui.messages();
    assert!(
        messages.contains("a.dtcl:1:5: error -102: ") && messages.contains("m.rhai:2:11: here"),
        "{messages}"
    );
    assert!(messages.contains("2 |   let x = ;"), "{messages}");
    assert!(messages.contains("a.dtcl:2:1: error -102"), "the other errors are there too: {messages}");
}

#[test]
fn functions_of_an_including_script_are_not_unknown() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("m.rhai"), "fn f() { 1 }").unwrap();
    std::fs::write(dir.path().join("inc.dtcl"), "write (f()) $x").unwrap();
    assert_eq!(check_in(dir.path(), "use \"m.rhai\"\n$x = 1\ninclude \"inc.dtcl\""), NONE);
}
