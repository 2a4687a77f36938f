//! `--check` beyond the grammar.

use crate::lang::{Checked, Diagnostic, Known, Setting, Source, Span, Vocabulary, Word, WordKind, check};

/// A small set of commands.
struct Few;

impl Vocabulary for Few {
    fn check(&self, words: &[Word], _: Span) -> Result<Known, Diagnostic> {
        let WordKind::Bare(first) = &words[0].kind else { panic!("{words:?}") };
        match first.to_ascii_lowercase().as_str() {
            "write" => Ok(Known::Write { from: 1 }),
            "run" => Ok(Known::Script { file: 1, include: false }),
            "include" => Ok(Known::Script { file: 1, include: true }),
            "use" => Ok(Known::Module { file: 1, name: None }),
            "exit" => Ok(Known::Exit),
            "mirror" | "set" => Ok(Known::Plain),
            _ => Err(Diagnostic::error(102, format!("there is no command {first}"), words[0].span)),
        }
    }
}

fn checked(text: &str) -> Checked {
    check(&Source::new("x", text), &Few, Setting::default())
}

fn messages(text: &str) -> Vec<String> {
    checked(text).findings.into_iter().map(|finding| finding.message).collect()
}

#[test]
fn good_scripts_have_no_findings() {
    let text = "$a = 1\n$b = 0\nIF $a > 0 THEN write $A ELSE $b = 2 END\nwrite $b $argc $1 $DATE\nFOR $i = 1 TO 3 DO write $i END\n";
    assert_eq!(messages(text), [] as [&str; 0]);
}

#[test]
fn variables_read_before_any_assignment() {
    assert_eq!(messages("write $a\n$a = 1"), ["$a is read before any assignment"]);
    assert_eq!(messages("$n = $n + 1"), ["$n is read before any assignment"]);
    // A loop's later assignment counts on its next turn.
    assert_eq!(messages("WHILE TRUE DO IF FALSE THEN write $b END; $b = 1 END"), [] as [&str; 0]);
    assert_eq!(messages("WHILE $argc > 0 DO write $b END\n$b = 1"), ["$b is read before any assignment"]);
    // A block of ON ERROR runs later.
    assert_eq!(messages("ON ERROR DO write $b END\n$b = 1"), [] as [&str; 0]);
    assert_eq!(messages("ON ERROR DO write $b END"), ["$b is read before any assignment"]);
    // An included file may assign anything.
    assert_eq!(messages("include x\nwrite $b"), [] as [&str; 0]);
    assert_eq!(checked("$count = 1\nwrite $cuont").findings[0].help.as_deref(), Some("did you mean $count?"));
}

#[test]
fn variables_that_some_path_leaves_unassigned() {
    let doubt = ["$a may be read before it is assigned"];
    let none = [] as [&str; 0];
    for (text, found) in [
        ("IF $argc > 0 THEN $a = 1 END\nwrite $a", &doubt[..]),
        ("IF $argc > 0 THEN $a = 1 ELSE write 0 END\nwrite $a", &doubt),
        ("IF $argc > 0 THEN $a = 1 ELSE $a = 2 END\nwrite $a", &none),
        ("IF $argc > 0 THEN $a = 1 ELSEIF $argc = 0 THEN $a = 2 ELSE $a = 3 END\nwrite $a", &none),
        ("IF $argc > 0 THEN $a = 1 ELSEIF $argc = 0 THEN $a = 2 END\nwrite $a", &doubt),
        // The path that leaves it unassigned does not lead here.
        ("IF $argc > 0 THEN $a = 1 ELSE EXIT 1 END\nwrite $a", &none),
        ("IF $argc = 0 THEN RETURN END\n$a = 1\nwrite $a", &none),
        ("WHILE $argc > 0 DO $a = 1 END\nwrite $a", &doubt),
        ("FOR $a = 1 TO $argc DO write $a END\nwrite $a", &doubt),
        ("FOR $i = 1 TO 3 DO $a = $i END\nwrite $a $i", &none),
        ("FOR $i = 3 TO 1 DO $a = $i END\nwrite $a", &doubt),
        ("FOR $i = 1 TO 3 DO IF $argc > 0 THEN BREAK END; $a = $i END\nwrite $a", &doubt),
        ("FOR $i = 1 TO 3 DO IF $argc > 0 THEN CONTINUE END; $a = $i END\nwrite $a", &doubt),
        ("FOR EACH $a IN [1] DO write $a END", &none),
        // Only BREAK leads out, and each BREAK has it.
        ("WHILE TRUE DO $a = 1; IF $argc > 0 THEN BREAK END END\nwrite $a", &none),
        ("WHILE TRUE DO IF $argc > 0 THEN BREAK END; $a = 1 END\nwrite $a", &doubt),
        ("ON ERROR DO $a = 1; EXIT 1 END\nwrite $a", &doubt),
        // One warning is enough.
        ("IF $argc > 0 THEN $a = 1 END\nwrite $a\nwrite $a", &doubt),
        ("IF $argc > 0 THEN $a = 1 END\ninclude x\nwrite $a", &none),
    ] {
        assert_eq!(messages(text), found, "{text}");
    }
    assert!(!checked("IF $argc > 0 THEN $a = 1 END\nwrite $a").failed());
}

#[test]
fn code_that_is_never_reached() {
    let never = |word: &str| vec![format!("this is never reached: {word} stands before it")];
    for (text, found) in [
        ("EXIT 1\nwrite 1\nwrite 2", never("EXIT")),
        ("RETURN; write 1", never("RETURN")),
        ("WHILE $argc > 0 DO BREAK; write 1 END\nwrite 2", never("BREAK")),
        ("WHILE $argc > 0 DO CONTINUE; write 1 END", never("CONTINUE")),
        ("WHILE TRUE DO write 1 END\nwrite 2", never("an endless loop")),
        ("FOR $i = 1 TO 2 DO RETURN END\nwrite 2", never("RETURN")),
        ("FOR $i = 1 TO $argc DO RETURN END\nwrite 2", vec![]),
        ("IF $argc = 0 THEN EXIT 1 ELSE EXIT 2 END\nwrite 1", never("EXIT")),
        ("EXIT 1\nIF TRUE THEN write 1 ELSE write 2 END", never("EXIT")),
        ("WHILE TRUE DO IF $argc = 0 THEN BREAK END END\nwrite 2", vec![]),
        ("IF $argc = 0 THEN EXIT 1 END\nwrite 1", vec![]),
        ("IF $argc = 0 THEN EXIT 1 ELSE write 2 END\nwrite 1", vec![]),
        ("ON ERROR DO EXIT 1 END\nwrite 1", vec![]),
        ("WHILE $argc > 0 DO IF $argc = 1 THEN CONTINUE END; write 1 END", vec![]),
        // An EXIT whose number does not fit gives a value.
        ("$r = EXIT 999\nwrite $r", vec![]),
    ] {
        assert_eq!(messages(text), found, "{text}");
    }
}

#[test]
fn variables_that_are_there_before_the_script() {
    let preset = [("Set".to_owned(), "payroll".to_owned())];
    let setting = Setting { preset: &preset, ..Setting::default() };
    assert!(check(&Source::new("x", "write $set"), &Few, setting).findings.is_empty());
    let setting = Setting { included: true, ..Setting::default() };
    assert!(check(&Source::new("x", "write $set"), &Few, setting).findings.is_empty());
}

#[test]
fn read_only_variables() {
    assert_eq!(messages("$result = 5"), ["$result is set by the interpreter and cannot be assigned"]);
    assert_eq!(messages("FOR $1 = 1 TO 2 DO END"), ["$1 is set by the interpreter and cannot be assigned"]);
}

#[test]
fn unknown_commands_and_functions() {
    assert_eq!(
        messages("frobnicate\n$y = len()\nmirror start"),
        ["there is no command frobnicate", "len takes 1 argument, not 0"]
    );
    // Whoever can read modules tells which of these are unknown.
    let found = checked("$x = lenn(1)\nuse \"m.rhai\"\n$y = m::backoff(1, 2)");
    let calls: Vec<(&str, u32)> =
        found.calls.iter().map(|call| (call.name.as_str(), call.arguments)).collect();
    assert_eq!(calls, [("lenn", 1), ("m::backoff", 2)]);
    assert_eq!(found.calls[0].unknown.message, "there is no function lenn");
    assert_eq!(found.used[0].file.as_deref(), Some("m.rhai"));
    assert!(found.findings.is_empty());
}

#[test]
fn blocks_must_match() {
    assert_eq!(messages("IF TRUE THEN\nwrite 1"), ["this IF is not closed"]);
    assert_eq!(messages("write 1 END"), ["this END closes nothing"]);
    assert_eq!(messages("WHILE TRUE DO write 1 ENDIF"), ["ENDIF cannot close WHILE"]);
    assert_eq!(messages("ELSE"), ["ELSE without IF"]);
    assert_eq!(messages("IF TRUE THEN ELSE write 1 ELSE write 2 END"), ["ELSE without IF"]);
    assert_eq!(messages("BREAK\nWHILE TRUE DO CONTINUE END"), ["BREAK stands in no loop"]);
    // One error in a head gives one error.
    assert_eq!(messages("IF $x = beta THEN\nwrite 1\nELSE\nwrite 2\nEND\nwrite 3").len(), 1);
}

#[test]
fn ten_thousand_nested_blocks_are_one_error() {
    let text = format!("{}{}", "IF TRUE THEN\n".repeat(10_000), "END\n".repeat(10_000));
    assert_eq!(messages(&text), ["nesting is deeper than 256"]);
    let text = format!("{}{}", "IF TRUE THEN\n".repeat(256), "END\n".repeat(256));
    assert_eq!(messages(&text), [] as [&str; 0]);
}

#[test]
fn warnings_do_not_fail() {
    let found = checked("$name = 1\nwrite /srv/$name");
    assert_eq!(found.findings[0].message, "$name is not expanded inside a word");
    assert_eq!(
        found.findings[0].help.as_deref(),
        Some("to expand it: $\"/srv/{$name}\"; to keep it as it is: \"/srv/$name\"")
    );
    assert!(!found.failed());
    assert_eq!(messages("write hello world"), ["WRITE puts nothing between its values"]);
    assert_eq!(messages("write \"hello \" world /srv/c$"), ["WRITE puts nothing between its values"]);
    assert_eq!(messages("write \"hello \" world"), [] as [&str; 0]);
}

#[test]
fn scripts_named_by_run_and_include_are_told() {
    let named = checked("run \"a.dtcl\" 1\ninclude b.dtcl\n$f = \"c\"\nrun $f").named;
    let names: Vec<(&str, bool)> = named.iter().map(|n| (n.file.as_str(), n.include)).collect();
    assert_eq!(names, [("a.dtcl", false), ("b.dtcl", true)]);
}
