//! Control flow (language.md 5).

use super::{failed, output, run};

#[test]
fn branches() {
    let script = |n: i32| {
        format!(
            "$n = {n}\nIF $n = 1 THEN write one ELSEIF $n = 2 THEN write two\nELSEIF $n = 3 THEN write three ELSE write more END"
        )
    };
    let all: String = (1..5).map(|n| output(&script(n))).collect();
    assert_eq!(all, "one\ntwo\nthree\nmore\n");
}

#[test]
fn loops() {
    assert_eq!(output("$i = 0\nWHILE $i < 3 DO $i = $i + 1; write noline $i ENDWHILE; write"), "123\n");
    assert_eq!(
        output("FOR $i = 1 TO 3 DO write noline $i END; FOR $i = 3 TO 1 DO write never END; write $i"),
        "1233\n"
    );
    assert_eq!(output("FOR $i = 10 TO 1 STEP -4 DO write noline $i \" \" ENDFOR"), "10 6 2 ");
    assert_eq!(output("FOR EACH $x IN [\"a\", 2, 1/1/27] DO write noline $x END"), "a201/01/2027");
    assert_eq!(
        output("FOR $i = 9223372036854775806 TO 9223372036854775807 DO write noline $i \" \" END"),
        "9223372036854775806 9223372036854775807 "
    );
}

#[test]
fn for_evaluates_its_bounds_once() {
    assert_eq!(output("$n = 2\nFOR $i = 1 TO $n DO $n = 9; $i = 7; write noline $i END"), "77");
}

#[test]
fn break_and_continue_mean_the_innermost_loop() {
    let script = "FOR $i = 1 TO 5 DO\n IF $i = 2 THEN CONTINUE END\n IF $i = 4 THEN BREAK END\n $j = 0\n WHILE TRUE DO\n $j = $j + 1\n IF $j = 2 THEN CONTINUE END\n IF $j > 3 THEN BREAK END\n write noline $i $j \" \"\n END\nEND";
    assert_eq!(output(script), "11 13 31 33 ");
    assert_eq!(failed("BREAK").0, 2);
    assert_eq!(failed("FOR $i = 1 TO 2 DO ON ERROR DO BREAK END END").0, 2);
}

#[test]
fn bounds_that_do_not_count() {
    assert_eq!(failed("FOR $i = 1 TO 5 STEP 0 DO END").1, "a.dtcl:1:1: error -101: STEP 0 would never end");
    assert_eq!(
        failed("FOR $i = \"a\" TO 5 DO END").1,
        "a.dtcl:1:1: error -101: FOR counts with integers, not with a string"
    );
    assert_eq!(failed("FOR EACH $i IN 5 DO END").0, 1);
}

#[test]
fn exit_and_return() {
    let ran = run("write a\nFOR $i = 1 TO 3 DO EXIT 42 END\nwrite b");
    assert_eq!((ran.status, ran.output.as_str()), (42, "a\n"));
    assert_eq!(run("EXIT").status, 0);
    assert_eq!(run("write a; RETURN; write b").output, "a\n");
    assert_eq!(failed("$n = 256\nEXIT $n"), (1, "a.dtcl:2:1: error -101: 256 is no exit status".into()));
}

#[test]
fn blocks_nest_to_the_limit_and_no_deeper() {
    let nested =
        |depth: usize| format!("{}write deep\n{}", "IF TRUE THEN\n".repeat(depth), "END\n".repeat(depth));
    assert_eq!(output(&nested(256)), "deep\n");
    let ran = run(&nested(10_000));
    assert_eq!(ran.status, 2);
    assert!(
        ran.messages.starts_with("a.dtcl:257:1: error -102: nesting is deeper than 256\n"),
        "{}",
        ran.messages
    );
    assert_eq!(ran.messages.matches("error").count(), 1);
    let loops = format!("{}write deep\n{}", "FOR $i = 1 TO 1 DO ".repeat(256), "END ".repeat(256));
    assert_eq!(output(&loops), "deep\n");
}

#[test]
fn long_expressions_run() {
    let sum = format!("$a = 0{}\nwrite $a", "+1".repeat(100_000));
    assert_eq!(output(&sum), "100000\n");
    let logic = format!("IF TRUE{} THEN write yes END", " AND TRUE".repeat(50_000));
    assert_eq!(output(&logic), "yes\n");
}
