//! Values, variables, expressions and functions (language.md 3).

use super::{failed, output, run_with};

#[test]
fn write_joins_its_values() {
    assert_eq!(output("write a b, \"c\" 5 (2 + 3)\nwrite noline x\nwrite\nwrite noline"), "abc55\nx\n");
    assert_eq!(output("write (11/30/05) \" \" (9:05)"), "11/30/2005 09:05:00\n");
    assert_eq!(output("write (TRUE) ([1, \"x\", [2]])"), "TRUE[1,\"x\",[2]]\n");
    assert_eq!(output("write 7/2 \" \" (7 / 2) \" \" (-7 / 2) \" \" (-7 % 2)"), "7/2 3 -3 -1\n");
}

#[test]
fn variables_have_no_case() {
    assert_eq!(output("$Count = 1\n$COUNT = $count + 1\nwrite $cOUNT"), "2\n");
}

#[test]
fn reading_what_was_never_assigned_is_an_error() {
    assert_eq!(
        failed("IF FALSE THEN $a = 1 END\nwrite $a"),
        (1, "a.dtcl:2:7: error -101: $a was never assigned".into())
    );
    assert_eq!(
        failed("write $2"),
        (1, "a.dtcl:1:7: error -101: there is no $2: the script has 0 arguments".into())
    );
}

#[test]
fn arguments_are_strings() {
    let ran = run_with("dir/x.dtcl", "write $argc $1 $2 \" \" $script\nwrite (int($2) + 1)", &["a", "41"]);
    assert_eq!((ran.status, ran.output.as_str()), (0, "2a41 dir/x.dtcl\n42\n"));
}

#[test]
fn own_variables_are_read_only() {
    assert_eq!(failed("$result = 1").0, 2);
    assert_eq!(failed("FOR $1 = 1 TO 2 DO END").0, 2);
    assert_eq!(
        output("write ($date >= 1/1/2025) ($time >= 0:00) (len($user) > 0) \"[\" $target \"]\" $machine"),
        "TRUETRUETRUE[]here\n"
    );
}

#[test]
fn and_or_stop_early() {
    assert_eq!(output("IF FALSE AND 1 / 0 = 1 THEN write a ELSE write b END"), "b\n");
    assert_eq!(output("IF TRUE OR 1 / 0 = 1 THEN write a END"), "a\n");
    assert_eq!(
        failed("$x = TRUE AND 1"),
        (1, "a.dtcl:1:11: error -101: a condition is a boolean, not an integer".into())
    );
    assert_eq!(output("$x = 1 = 1 AND NOT 2 = 3 OR FALSE\nwrite $x"), "TRUE\n");
}

#[test]
fn errors_in_expressions_name_their_place() {
    let (status, message) = failed("$r = 5\nIF $r THEN write 1 END");
    assert_eq!(
        (status, message.as_str()),
        (1, "a.dtcl:2:4: error -101: a condition is a boolean, not an integer")
    );
    assert_eq!(failed("$x = 9223372036854775807 + 1").0, 1);
    assert_eq!(failed("$x = 1 + \"a\"").1, "a.dtcl:1:8: error -101: an integer and a string cannot be added");
    assert_eq!(failed("$x = 1\nwrite (1 / ($x - 1))").1, "a.dtcl:2:10: error -101: division by zero");
}

#[test]
fn calls_work_in_expressions_and_as_statements() {
    assert_eq!(output("write (upper(\"a\")) $\"{len(\"abc\")}\"\nlen(\"x\")"), "A3\n");
    assert_eq!(output("write (option(\"NetPort\") + 1)"), "1501\n");
    assert_eq!(failed("write (status(3).id)").1, "a.dtcl:1:8: error -107: Connection does not exist");
    assert_eq!(failed("$x = lenn(1)"), (2, "a.dtcl:1:6: error -102: there is no function lenn".into()));
}
