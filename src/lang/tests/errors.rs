//! What does not fit, and what a person is told (language.md 7).

use super::{parsed, problem, problems};

#[test]
fn two_values_need_something_between_them() {
    let (message, help, place) = problem("write \"a\"$b");
    assert_eq!(message, "between two values stands a blank, a comma or =");
    assert_eq!(place, "$");
    assert!(help.contains("blank"), "{help}");
    let (message, help, place) = problem("write \"a\"b");
    assert_eq!((message.as_str(), place.as_str()), ("between two values stands a blank, a comma or =", "b"));
    assert!(help.contains("blank"), "{help}");
    let (message, help, _) = problem("write it's");
    assert_eq!(
        (message.as_str(), help.as_str()),
        ("between two values stands a blank, a comma or =", "if it is one text, quote it: \"it's\"")
    );
}

#[test]
fn a_variable_ends_its_word() {
    let (message, help, place) = problem("chdir $dir/sub");
    assert_eq!(message, "a variable ends its word: \"/sub\" cannot follow $dir");
    assert_eq!((help.as_str(), place.as_str()), ("join them in one text: $\"{$dir}/sub\"", "/sub"));
}

#[test]
fn open_quotes_and_parentheses_are_named_where_they_open() {
    let (message, _, place) = problem("write 1; write \"abc; x");
    assert_eq!((message.as_str(), place.as_str()), ("this quote is not closed", "\"abc; x"));
    let (message, _, place) = problem("write (1 + 2");
    assert_eq!((message.as_str(), place.as_str()), ("this ( is not closed", "("));
    let (message, _, place) = problem("write 1)");
    assert_eq!((message.as_str(), place.as_str()), ("this ) closes nothing", ")"));
    let (message, _, _) = problem("write $\"a{$b\"");
    assert_eq!(message, "this quote is not closed");
}

#[test]
fn text_in_expressions_is_quoted() {
    let (message, _, place) = problem("IF $a = beta THEN\n");
    assert_eq!((message.as_str(), place.as_str()), ("text is quoted in an expression: \"beta\"", "beta"));
}

#[test]
fn missing_words_are_named() {
    for (text, help) in [
        ("IF $a = 1", "expected an operator or THEN"),
        ("WHILE TRUE write 1", "expected an operator or DO"),
        ("FOR $i = 1 DO", "expected an operator or TO"),
        ("FOR $i IN $l DO", "expected ="),
        ("$x = ", "expected a value"),
        ("ON ERROR continu", "expected CONTINUE, STOP or DO"),
    ] {
        let found = problems(text).remove(0);
        let shown = found.help.clone().unwrap_or_default();
        let same = |s: &str| {
            let mut words: Vec<String> = s
                .replace("expected ", "")
                .replace(',', " or")
                .split(" or ")
                .map(str::trim)
                .map(String::from)
                .collect();
            words.sort();
            words
        };
        assert_eq!(same(&shown), same(help), "{text}: {found:?}");
    }
}

#[test]
fn heads_cut_short_show_their_form() {
    let (message, help, place) = problem("ON ERROR");
    assert_eq!((message.as_str(), place.as_str()), ("this ON is not complete", "ON"));
    assert_eq!(help, "expected ON ERROR CONTINUE, ON ERROR STOP or ON ERROR DO ... END");
}

#[test]
fn impossible_literals() {
    for (text, code) in [
        ("$d = 13/1/2027", 114),
        ("$d = 2/29/27", 114),
        ("$d = 25:00", 115),
        ("$d = 9223372036854775808", 101),
    ] {
        assert_eq!(problems(text)[0].code, code, "{text}");
    }
}

#[test]
fn comparisons_do_not_chain() {
    assert_eq!(problem("IF 1 < 2 < 3 THEN").0, "comparisons cannot be chained");
    assert_eq!(problem("$x = 1 + NOT TRUE").0, "NOT cannot stand here without parentheses");
}

#[test]
fn a_call_and_a_command_differ_by_a_blank() {
    // Known only when functions are looked up, so it parses.
    assert!(parsed("write(\"x\")").is_ok());
    let (message, help, _) = problem("write a(\"x\")");
    assert_eq!(message, "between two values stands a blank, a comma or =");
    assert_eq!(help, "a call among a command's words stands in parentheses: (a(...))");
}

#[test]
fn after_end_comes_a_line_end() {
    let (message, _, place) = problem("IF TRUE THEN write 1 END write 2");
    assert_eq!((message.as_str(), place.as_str()), ("\"write\" does not fit here", "write"));
}

#[test]
fn all_independent_errors_are_reported() {
    let text = "write \"a\nwrite ok\n$x = = 5; write b); write c\nIF $x THEN write (\nEND\nwrite 'y\n";
    let lines: Vec<usize> = problems(text)
        .iter()
        .map(|found| text[..found.span.start as usize].matches('\n').count() + 1)
        .collect();
    assert_eq!(lines, [1, 3, 3, 4, 6]);
}

#[test]
fn pest_stays_inside() {
    for text in [
        "=",
        "(",
        "write <",
        "$",
        "FOR",
        "$a",
        "$a[",
        "write a=",
        "\u{7f}",
        "ON",
        "a$\"{\"",
        "$x = a::b",
        "'",
        ")",
        "IF",
        "$x == 1",
    ] {
        if let Err(found) = parsed(text) {
            for found in found {
                let all = format!("{} {}", found.message, found.help.unwrap_or_default());
                assert!(
                    !all.contains("_word") && !all.contains("EOI") && !all.contains("value_start"),
                    "{text}: {all}"
                );
            }
        }
    }
}

#[test]
fn a_comment_begins_at_the_start_of_a_word() {
    for text in ["write $x#c", "write $x[1]#c \\\n # d", "write $x.y#c", "$a = 5#c", "$a = [1]#c", "$a = $x#"]
    {
        let (message, _, place) = problem(text);
        assert_eq!(
            (message.as_str(), place.as_str()),
            ("a # directly behind a value begins no comment", "#")
        );
    }
    for text in
        ["write ($x)#c", "write $\"x\"#c \\\n # d", "$a = \"x\"#c", "write a#c", "write 5#c", "$a = f(1)#c"]
    {
        assert_eq!(super::ok(text).len(), 1, "{text}");
    }
}
