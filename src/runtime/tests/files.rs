//! RUN and INCLUDE.

use super::{Ran, interpreter};
use std::path::Path;

/// Files in a directory of their own; runs the first.
fn run(files: &[(&str, &str)]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    run_in(directory.path(), files[0].0)
}

fn run_in(directory: &Path, name: &str) -> Ran {
    let (mut interpreter, ui) = interpreter();
    let path = directory.join(name);
    let text = std::fs::read(&path).unwrap();
    let status = interpreter.run_script(&path.to_string_lossy(), &text, vec!["outer".into()]);
    let here = format!("{}/", directory.display());
    Ran { status, output: ui.output().replace(&here, ""), messages: ui.messages().replace(&here, "") }
}

fn ok(files: &[(&str, &str)]) -> String {
    let ran = run(files);
    assert_eq!((ran.status, ran.messages.as_str()), (0, ""), "{ran:?}");
    ran.output
}

#[test]
fn run_has_a_scope_of_its_own() {
    let main = "$a = 1\n$r = run \"b\" x 5\nwrite $a $r $1 $script";
    let inner = "write $argc $1 $2 $script\n$a = 2\n$1x = 3";
    let inner = inner.replace("\n$1x = 3", "");
    assert_eq!(ok(&[("a", main), ("b", &inner)]), "2x5b\n11outera\n");
}

#[test]
fn run_returns_the_status_with_a_minus_sign() {
    assert_eq!(ok(&[("a", "$r = run b\nwrite $r \" \" $result"), ("b", "EXIT 7")]), "-7 -7\n");
    let ran = run(&[("a", "write 1\nrun b\nwrite 2"), ("b", "EXIT 7")]);
    assert_eq!((ran.status, ran.output.as_str()), (7, "1\n"));
    assert!(ran.messages.starts_with("a:2:1: error: the script ended with status 7\n"), "{}", ran.messages);
    let ran = run(&[("a", "$r = run b\nwrite $r"), ("b", "mirror stop 3")]);
    assert_eq!((ran.status, ran.output.as_str()), (0, "-1\n"));
    assert!(ran.messages.starts_with("b:1:1: error -107"), "{}", ran.messages);
}

#[test]
fn run_starts_with_the_default_for_errors() {
    let ran = run(&[("a", "ON ERROR CONTINUE\nrun b\nwrite on"), ("b", "mirror stop 3\nwrite no")]);
    assert_eq!((ran.status, ran.output.as_str()), (1, "on\n"));
}

#[test]
fn include_shares_scope_and_on_error() {
    let files = [
        ("a", "$a = 1\nFOR $i = 1 TO 2 DO include b END\nwrite $a $new"),
        ("b", "$a = $a + $i\n$new = $1\nRETURN\nwrite no"),
    ];
    assert_eq!(ok(&files), "4outer\n");
    let ran = run(&[("a", "ON ERROR CONTINUE\ninclude b\nwrite c"), ("b", "mirror stop 3\nwrite b")]);
    assert_eq!((ran.status, ran.output.as_str()), (1, "b\nc\n"));
    // What the included file says about errors ends with it.
    let ran = run(&[("a", "include b\nmirror stop 3\nwrite no"), ("b", "ON ERROR CONTINUE")]);
    assert_eq!((ran.status, ran.output.as_str()), (1, ""));
    let ran =
        run(&[("a", "ON ERROR DO write handler END\ninclude b\nwrite no"), ("b", "mirror stop 3\nwrite no")]);
    assert_eq!((ran.status, ran.output.as_str()), (1, "handler\n"));
    let ran = run(&[("a", "include b\nwrite no"), ("b", "EXIT 3")]);
    assert_eq!((ran.status, ran.output.as_str()), (3, ""));
    assert_eq!(ok(&[("a", "$r = include b\nwrite $r"), ("b", "write b")]), "b\n1\n");
    // It ended well, whatever failed in it.
    assert_eq!(ok(&[("a", "include b\nwrite $result (len($error))"), ("b", "$r = mirror stop 3")]), "10\n");
}

#[test]
fn a_named_file_is_read_when_it_is_reached() {
    let ran = run(&[
        ("a", "write 1\nIF FALSE THEN run b END\n$r = run b\nwrite $r\ninclude b\nwrite no"),
        ("b", "write b\nfrobnicate"),
    ]);
    assert_eq!((ran.status, ran.output.as_str()), (2, "1\n-2\n"));
    assert!(ran.messages.contains("b:2:1: error -102"), "{}", ran.messages);
    let ran = run(&[("a", "$r = run nowhere\nwrite $r\ninclude nowhere")]);
    assert_eq!((ran.status, ran.output.as_str()), (1, "-101\n"));
    assert!(ran.messages.contains("cannot read nowhere"), "{}", ran.messages);
}

#[test]
fn scripts_that_call_themselves_end_in_an_error() {
    let ran = run(&[("a", "include a")]);
    assert_eq!(ran.status, 1);
    assert!(ran.messages.contains("more than 64 deep"), "{}", ran.messages);
    let ran = run(&[("a", "run a")]);
    assert_eq!(ran.status, 1);
}

#[test]
fn check_follows_names_that_are_written_out() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a", "run b\ninclude \"b\"\n$f = \"c\"\nrun $f\nrun missing"),
        ("b", "include a\nfrobnicate"),
        ("c", "frobnicate"),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let (mut interpreter, ui) = interpreter();
    let path = directory.path().join("a");
    assert!(!interpreter.check(&path.to_string_lossy(), &std::fs::read(&path).unwrap()));
    let messages = ui.messages().replace(&format!("{}/", directory.path().display()), "");
    assert_eq!(messages.matches("b:2:1: error -102").count(), 1, "{messages}");
    assert!(!messages.contains("c:1:1"), "{messages}");
    assert!(messages.contains("a:5:5: warning: cannot read missing"), "{messages}");
}

#[test]
fn check_comes_to_an_end_when_scripts_name_each_other_by_way_of_their_directories() {
    let directory = tempfile::tempdir().unwrap();
    for side in ["main", "lib"] {
        std::fs::create_dir(directory.path().join(side)).unwrap();
        let names: Vec<String> = (0..8)
            .flat_map(|n| ["main", "lib"].map(|other| format!("include \"../{side}/../{other}/{n}\"\n")))
            .collect();
        for n in 0..8 {
            std::fs::write(directory.path().join(side).join(n.to_string()), names.concat()).unwrap();
        }
    }
    let path = directory.path().join("main/0");
    let read = std::cell::Cell::new(0);
    let (interpreter, _) = interpreter();
    let files = crate::runtime::check_files(
        &interpreter.session(),
        &[],
        &path.to_string_lossy(),
        &std::fs::read(&path).unwrap(),
        &|path| {
            read.set(read.get() + 1);
            if read.get() > 1000 { Err(std::io::Error::other("too many")) } else { std::fs::read(path) }
        },
    );
    assert_eq!(files.len(), 16);
}
