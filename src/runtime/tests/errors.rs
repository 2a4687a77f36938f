//! ON ERROR (language.md 4), and scripts that do not run at all.

use super::{output, run, run_with};

#[test]
fn a_script_with_any_syntax_error_runs_nothing() {
    let ran = run("write a\nfrobnicate\nwrite b\nmirror strat 1\nIF TRUE THEN");
    assert_eq!((ran.status, ran.output.as_str()), (2, ""));
    let lines: Vec<&str> = ran.messages.lines().filter(|line| line.starts_with("a.dtcl:")).collect();
    assert_eq!(lines.len(), 3, "{}", ran.messages);
    assert!(lines[0].starts_with("a.dtcl:2:1: error -102:"), "{lines:?}");
}

#[test]
fn binary_files_are_refused() {
    let (mut interpreter, ui) = super::interpreter();
    assert_eq!(interpreter.run_script("a", b"write 1\n\x7fELF\0\0", Vec::new()), 2);
    assert!(
        ui.messages().starts_with("a:2:5: error -102: this is no script: it holds a byte 0\n"),
        "{}",
        ui.messages()
    );
    assert_eq!(ui.output(), "");
}

#[test]
fn on_error_continue_goes_on_and_ends_with_1() {
    let ran = run("ON ERROR CONTINUE\nmirror stop 3\nwrite a\n$x = 1 / 0\nwrite b");
    assert_eq!((ran.status, ran.output.as_str()), (1, "a\nb\n"));
    assert_eq!(ran.messages.matches("error").count(), 2);
    assert_eq!(run("ON ERROR CONTINUE\nmirror stop 3\nEXIT 0").status, 0);
    assert_eq!(run("ON ERROR CONTINUE\nwrite a").status, 0);
}

#[test]
fn a_failing_head_leaves_out_its_block() {
    let ran = run(
        "ON ERROR CONTINUE\nIF 1 / 0 = 1 THEN write a ELSE write b END\nWHILE 5 DO write c END\nFOR $i = 1 TO \"x\" DO write d END\nwrite e",
    );
    assert_eq!((ran.status, ran.output.as_str()), (1, "e\n"));
    let ran =
        run("ON ERROR CONTINUE\nFOR $i = 1 TO 3 DO\nwrite noline $i\n$x = 1 / 0\nwrite noline \"-\"\nEND\n");
    assert_eq!(ran.output, "1-2-3-");
}

#[test]
fn on_error_stop_returns_to_the_default() {
    let ran = run("ON ERROR CONTINUE\nmirror stop 3\nON ERROR STOP\nmirror stop 3\nwrite no");
    assert_eq!((ran.status, ran.output.as_str()), (1, ""));
}

#[test]
fn on_error_do_runs_its_block_and_stops() {
    let ran = run("ON ERROR DO\nwrite \"cleanup \" $error\nEND\nwrite a\nsource nowhere\nwrite b");
    assert_eq!(
        (ran.status, ran.output.as_str()),
        (4, "a\ncleanup Server does not exist or could not be located\n")
    );
    let ran = run("ON ERROR DO write x; EXIT 9 END\nmirror stop 3");
    assert_eq!((ran.status, ran.output.as_str()), (9, "x\n"));
    // A failure in the block stops at once.
    let ran = run("ON ERROR DO write x; mirror stop 4; write y END\nmirror stop 3");
    assert_eq!((ran.status, ran.output.as_str()), (1, "x\n"));
    // An assigned failure and a good end run it not.
    assert_eq!(output("ON ERROR DO write x END\n$r = mirror stop 3\nwrite b"), "b\n");
    let ran = run(
        "FOR $i = 1 TO 3 DO\nON ERROR DO FOR $j = 1 TO 2 DO write noline $i $j \" \" END; RETURN; write no END\nmirror stop 3\nEND",
    );
    assert_eq!((ran.status, ran.output.as_str()), (1, "11 12 "));
}

#[test]
fn a_failure_under_continue_ends_the_statement_only() {
    let ran = run("ON ERROR CONTINUE; $a = [1, 2, 1 / 0, 3]; write (1 + 1); write (len(5)) no\n");
    assert_eq!((ran.status, ran.output.as_str()), (1, "2\n"));
}

#[test]
fn check_finds_all_and_runs_nothing() {
    let (mut interpreter, ui) = super::interpreter();
    assert!(interpreter.check("a", b"$a = 1\nwrite $a\nmirror start $a"));
    assert_eq!(ui.messages(), "");
    assert!(!interpreter.check("a", b"write $nope\nmirror start abc\nmirorr start 1\nwrite ok"));
    let messages = ui.take_messages();
    for place in ["a:1:7: error -101", "a:2:14: error -101", "a:3:1: error -102"] {
        assert!(messages.contains(place), "{place}: {messages}");
    }
    assert!(interpreter.check("a", b"write a b"), "a warning is no error");
    assert!(ui.take_messages().starts_with("a:1:7: warning: WRITE puts nothing between its values\n"));
    assert_eq!(ui.output(), "");
    assert_eq!(run_with("a", "write $nope", &[]).status, 1, "that is known only when it runs");
}

mod arbitrary {
    use super::super::interpreter;
    use proptest::prelude::*;

    fn statements() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "IF $a = 1 THEN ",
            "ELSE ",
            "ELSEIF TRUE THEN ",
            "END\n",
            "WHILE $a < 3 DO ",
            "FOR $i = 1 TO 3 DO ",
            "FOR EACH $x IN [1, \"b\"] DO ",
            "ON ERROR DO ",
            "ON ERROR CONTINUE\n",
            "ON ERROR STOP\n",
            "BREAK\n",
            "CONTINUE\n",
            "RETURN\n",
            "EXIT 3\n",
            "$a = 1\n",
            "$a = $a + 1\n",
            "$a = $a / 0\n",
            "write $a\n",
            "write noline (1 + \"x\")\n",
            "$r = mirror stop 3\n",
            "mirror stop 3\n",
            "$b = len($a)\n",
            "upper(\"x\")\n",
            "$c = $\"{$a}{$r}\"\n",
            "sleep 0\n",
            "watch 1 ping localhost\n",
            "$a = status(1).x\n",
            "; ",
            "$a[0]\n",
            "(",
        ]);
        prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_script_makes_the_interpreter_panic(script in statements()) {
            let (mut interpreter, ui) = interpreter();
            // Endless loops end.
            ui.cancel(true);
            let status = interpreter.run_script("x", script.as_bytes(), Vec::new());
            prop_assert!((0..=255).contains(&status));
            interpreter.check("x", script.as_bytes());
            interpreter.feed(&script);
        }

        #[test]
        fn what_check_accepts_compiles(script in statements()) {
            let (mut interpreter, ui) = interpreter();
            ui.cancel(true);
            if interpreter.check("x", script.as_bytes()) {
                let status = interpreter.run_script("x", script.as_bytes(), Vec::new());
                prop_assert!(status != 2, "{}", ui.messages());
            }
        }

        #[test]
        fn conditions_follow_a_model(a in any::<bool>(), b in any::<bool>(), c in any::<bool>()) {
            let shown = |value: bool| if value { "TRUE" } else { "FALSE" };
            let script = format!(
                "IF NOT {} AND {} OR {} = {} THEN write yes ELSE write no END",
                shown(a), shown(b), shown(c), shown(a)
            );
            let expected = if (!a && b) || c == a { "yes\n" } else { "no\n" };
            prop_assert_eq!(super::output(&script), expected);
        }
    }
}

#[test]
fn many_errors_take_linear_time() {
    let script = "write (\n".repeat(50_000);
    let started = std::time::Instant::now();
    let ran = run(&script);
    assert_eq!((ran.status, ran.messages.matches("is not closed").count()), (2, 50_000));
    let line = run(&"write (;".repeat(100_000));
    assert_eq!((line.status, line.messages.matches("is not closed").count()), (2, 20));
    let (mut interpreter, ui) = super::interpreter();
    let reads = "WHILE $nope DO write $nope $never END\n".repeat(20_000);
    assert!(!interpreter.check("x", reads.as_bytes()));
    assert_eq!(ui.messages().matches("before any").count(), 2);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn a_bare_right_side_hints_at_quotes() {
    let ran = run("$x = beta");
    assert!(
        ran.messages.contains("a bare word after = is a command; text is quoted: \"beta\""),
        "{}",
        ran.messages
    );
}
