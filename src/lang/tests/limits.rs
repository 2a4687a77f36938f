//! Sizes, depth and arbitrary input.

use super::{ok, parsed, problem};
use crate::lang::{LINE_LIMIT, check, decode, parse, render};
use proptest::prelude::*;

#[test]
fn lines_up_to_the_limit_and_past_it() {
    let fits = format!("write \"{}\"", "x".repeat(LINE_LIMIT - 8));
    assert_eq!(ok(&fits).len(), 1);
    let long = format!("write \"{}\"\nwrite 1", "x".repeat(LINE_LIMIT));
    assert_eq!(problem(&long).0, "the line is too long");
}

#[test]
fn many_statements_and_operators_on_one_line() {
    let line = "$a=1;".repeat(LINE_LIMIT / 5);
    assert_eq!(ok(&line).len(), LINE_LIMIT / 5);
    let sum = format!("$a = 1{}", "+1".repeat(LINE_LIMIT / 2 - 10));
    assert_eq!(ok(&sum).len(), 1);
    let nots = format!("$a = {}TRUE", "NOT ".repeat(LINE_LIMIT / 4 - 10));
    assert_eq!(ok(&nots).len(), 1);
}

#[test]
fn parentheses_nest_to_the_limit() {
    let nested = |depth: usize| format!("$a = {}1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(ok(&nested(256)).len(), 1);
    assert_eq!(problem(&nested(257)).0, "nesting is deeper than 256");
    assert_eq!(problem(&nested(400_000)).0, "nesting is deeper than 256");
    let holes = format!("write {}1{}", "$\"{".repeat(10_000), "}\"".repeat(10_000));
    assert_eq!(problem(&holes).0, "nesting is deeper than 256");
    let calls = format!("write {}1{}", "$\"{len([".repeat(60), "])}\"".repeat(60));
    assert_eq!(ok(&calls).len(), 1);
}

#[test]
fn the_limit_of_nesting_holds_behind_a_line_that_only_seems_continued() {
    let deep = "(".repeat(100_000);
    for before in ["write e:\\\n", "# \\\n", "// \\\n", "write \"a \\\n", "write 1 \\\n + \\ \r\n"] {
        let (mut messages, text) = (Vec::new(), format!("{before}write {deep}"));
        parse(&text, |part| messages.extend(part.problems.into_iter().map(|problem| problem.message)));
        assert_eq!(messages.last().unwrap(), "nesting is deeper than 256", "{before:?}: {messages:?}");
    }
    let long = format!("write 1 \\\n{}\nwrite 1", "x".repeat(LINE_LIMIT + 1));
    assert_eq!(problem(&long).0, "the line is too long");
}

#[test]
fn brackets_never_closed_cost_no_time() {
    let open = format!("$a = {}", "len([(".repeat(80));
    assert_eq!(problem(&open).0, "this ( is not closed");
}

/// Far less time than one look back over the script for each comment would take.
#[test]
fn comments_cost_the_same_at_a_long_scripts_end() {
    let start = std::time::Instant::now();
    assert_eq!(ok(&"//\\\n".repeat(100_000)).len(), 0);
    assert!(start.elapsed() < std::time::Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn large_texts_come_in_order() {
    let text: String = (0..60_000).map(|n| format!("$a = {n}\n")).collect();
    let clauses = ok(&text);
    assert_eq!(clauses.len(), 60_000);
    assert!(clauses.iter().enumerate().all(|(n, clause)| *clause == format!("$a = {n}")));
}

#[test]
fn ranges_are_not_cut_inside_continued_lines() {
    let text = format!("write {}", "a \\\n".repeat(30_000));
    assert_eq!(ok(&text).len(), 1);
}

struct Anything;

impl crate::lang::Vocabulary for Anything {
    fn check(
        &self,
        _: &[crate::lang::Word],
        _: crate::lang::Span,
    ) -> Result<crate::lang::Known, crate::lang::Diagnostic> {
        Ok(crate::lang::Known::Plain)
    }
}

pub(in crate::lang) fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "IF ",
        "THEN ",
        "END",
        "ELSE ",
        "WHILE ",
        "DO ",
        "FOR ",
        "EACH ",
        "$x",
        "$1",
        " ",
        "=",
        "\"",
        "'",
        "$\"",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "\\",
        "\n",
        "\r\n",
        ";",
        "#",
        "//",
        ",",
        "5",
        "1/2/27",
        "22:30",
        "NOT ",
        "AND ",
        "+",
        "-",
        "<",
        "write ",
        "SCHEDULE ",
        "f(",
        "a::b",
        ".",
        "ü",
        "\t",
        "\0",
        "日",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in pieces()) {
        exercise(&text);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match decode("x", &bytes) {
            Ok(source) => exercise(&source.text),
            Err(refused) => {
                let (source, diagnostic) = *refused;
                prop_assert!(!render(&diagnostic, &source).is_empty());
            }
        }
    }

    #[test]
    fn quoted_text_comes_back(text in "[^\n\0]{0,40}") {
        let script = format!("write {}", crate::lang::quote(&text));
        prop_assert_eq!(ok(&script), vec![format!("write <{text}>")]);
        let script = format!("$x = {}", crate::lang::quote(&text));
        prop_assert_eq!(ok(&script), vec![format!("$x = <{text}>")]);
    }

    #[test]
    fn a_line_in_a_script_parses_as_it_does_alone(lines in prop::collection::vec(pieces(), 1..6)) {
        // Each line by itself, without what reaches over lines.
        let lines: Vec<String> = lines.iter().map(|line| line.replace(['\n', '\r', '\\'], " ")).collect();
        let whole = lines.join("\n");
        let mut clauses = 0;
        let mut findings = 0;
        parse(&whole, |part| { clauses += part.clauses.len(); findings += part.problems.len(); });
        let (mut expected, mut expected_findings) = (0, 0);
        for line in &lines {
            parse(line, |part| { expected += part.clauses.len(); expected_findings += part.problems.len(); });
        }
        prop_assert_eq!((clauses, findings), (expected, expected_findings));
    }
}

fn exercise(text: &str) {
    let source = crate::lang::Source::new("x", text);
    for finding in check(&source, &Anything, crate::lang::Setting::default()).findings {
        assert!(finding.span.start as usize <= text.len(), "{finding:?}");
        assert!(!render(&finding, &source).is_empty());
        let _ = parsed(text);
    }
    let _ = crate::lang::words(text);
}
