//! `--check` beyond the grammar.

use crate::lang::{Checked, Diagnostic, Known, Source, Span, Vocabulary, Word, WordKind, check};

/// A small set of commands.
struct Few;

impl Vocabulary for Few {
    fn check(&self, words: &[Word], _: Span) -> Result<Known, Diagnostic> {
        let WordKind::Bare(first) = &words[0].kind else { panic!("{words:?}") };
        match first.to_ascii_lowercase().as_str() {
            "write" => Ok(Known::Write { from: 1 }),
            "run" => Ok(Known::Script { file: 1, include: false }),
            "include" => Ok(Known::Script { file: 1, include: true }),
            "use" => Ok(Known::Module),
            "mirror" | "set" => Ok(Known::Plain),
            _ => Err(Diagnostic::error(102, format!("there is no command {first}"), words[0].span)),
        }
    }
}

fn checked(text: &str) -> Checked {
    check(&Source::new("x", text), &Few)
}

fn messages(text: &str) -> Vec<String> {
    checked(text).findings.into_iter().map(|finding| finding.message).collect()
}

#[test]
fn good_scripts_have_no_findings() {
    let text = "$a = 1\nIF $a > 0 THEN write $A ELSE $b = 2 END\nwrite $b $argc $1 $DATE\nFOR $i = 1 TO 3 DO write $i END\n";
    assert_eq!(messages(text), [] as [&str; 0]);
}

#[test]
fn variables_read_before_any_assignment() {
    assert_eq!(messages("write $a\n$a = 1"), ["$a is read before any assignment"]);
    assert_eq!(messages("$n = $n + 1"), ["$n is read before any assignment"]);
    // A loop's later assignment counts on its next turn.
    assert_eq!(messages("WHILE TRUE DO IF FALSE THEN write $b END; $b = 1 END"), [] as [&str; 0]);
    assert_eq!(messages("WHILE TRUE DO write $b END\n$b = 1"), ["$b is read before any assignment"]);
    // An included file may assign anything.
    assert_eq!(messages("include x\nwrite $b"), [] as [&str; 0]);
    assert_eq!(checked("$count = 1\nwrite $cuont").findings[0].help.as_deref(), Some("did you mean $count?"));
}

#[test]
fn read_only_variables() {
    assert_eq!(messages("$result = 5"), ["$result is set by the interpreter and cannot be assigned"]);
    assert_eq!(messages("FOR $1 = 1 TO 2 DO END"), ["$1 is set by the interpreter and cannot be assigned"]);
}

#[test]
fn unknown_commands_and_functions() {
    assert_eq!(
        messages("frobnicate\n$x = lenn(1)\n$y = len()\nmirror start"),
        ["there is no command frobnicate", "there is no function lenn", "len takes 1 argument, not 0"]
    );
    assert_eq!(messages("use \"m.rhai\"\n$x = backoff(1)"), [] as [&str; 0]);
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
