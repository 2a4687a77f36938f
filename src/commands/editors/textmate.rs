//! `editors/dtcl.tmLanguage.json`, for editors that colour by TextMate grammars.

use super::{CONSTANTS, CONTROL, OPERATORS, Words, functions};
use serde_json::{Value, json};

/// What ends a word (language.md 2.4), inside a character class.
const DELIMITERS: &str = "\\s\"',;=()<>";

/// A whole word of a list, in any case.
fn word<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    format!("(?<![^{DELIMITERS}])(?i:{})(?![^{DELIMITERS}])", words.join("|"))
}

fn rule(name: &str, pattern: &str) -> Value {
    json!({ "name": format!("{name}.dtcl"), "match": pattern })
}

fn quoted(name: &str, begin: &str, quote: &str, inside: Value) -> Value {
    json!({
        "name": format!("{name}.dtcl"),
        // A quote that is not closed ends with its line.
        "begin": begin,
        "end": format!("{quote}(?!{quote})|(?=$)"),
        "patterns": inside,
    })
}

/// The grammar.
pub fn textmate() -> String {
    let words = Words::of_catalogue();
    let doubled = |quote: &str| json!([rule("constant.character.escape", &format!("{quote}{quote}"))]);
    let first = words.first.iter().map(String::as_str);
    let others = words.others.iter().map(String::as_str);
    let grammar = json!({
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "comment": "Generated from the catalogue in src/commands: scripts/generate",
        "name": "DTCL",
        "scopeName": "source.dtcl",
        "fileTypes": ["dtcl"],
        "firstLineMatch": "^#!.*\\b(?:DTCL|dtcl)\\b",
        "patterns": [
            { "include": "#comment" },
            { "include": "#command" },
            { "include": "#expression" },
            rule("keyword.other", &word(others)),
        ],
        "repository": {
            "comment": { "patterns": [
                rule("comment.line.number-sign", &format!("(?<![^{DELIMITERS}])#.*$")),
                rule("comment.line.double-slash", "^\\s*//.*$"),
            ]},
            "command": { "patterns": [
                rule("keyword.control", &word(CONTROL.iter().copied())),
                rule("support.function", &word(first)),
            ]},
            "expression": { "patterns": [
                quoted("string.interpolated", "(?<![^\\s\"',;=()<>{\\[])\\$\"", "\"", json!([
                    rule("constant.character.escape", "\"\"|\\{\\{|\\}\\}"),
                    { "begin": "\\{", "end": "\\}|(?=$)", "name": "meta.embedded.dtcl",
                      "patterns": [{ "include": "#expression" }] },
                ])),
                quoted("string.quoted.double", "\"", "\"", doubled("\"")),
                quoted("string.quoted.single", "'", "'", doubled("'")),
                rule("variable.other", "\\$[\\w]+"),
                rule("keyword.operator.logical", &word(OPERATORS.iter().copied())),
                rule("constant.language", &format!("(?<![^{DELIMITERS}\\[{{])(?i:{})(?![^{DELIMITERS}\\]}}])", CONSTANTS.join("|"))),
                rule("support.function.builtin", &format!("(?i:\\b(?:{}))(?=\\()", functions().collect::<Vec<_>>().join("|"))),
                rule("entity.name.function", "\\b[^\\W\\d]\\w*(?:::[^\\W\\d]\\w*)?(?=\\()"),
                rule("constant.numeric.date", "(?<![^\\s\"',;=()<>\\[])\\d{1,2}/\\d{1,2}/(?:\\d{4}|\\d{2})(?!\\w)"),
                rule("constant.numeric.time", "(?<![^\\s\"',;=()<>\\[])\\d{1,2}:\\d{2}(?::\\d{2})?(?!\\w)"),
                rule("constant.numeric.integer", &format!("(?<![^{DELIMITERS}\\[+*/%-])\\d+(?![^{DELIMITERS}\\]+*/%-])")),
                rule("keyword.operator", "<=|>=|<>|!=|==|[=<>]"),
                rule("punctuation.separator", "[,;]|\\s\\\\\\s*$"),
            ]},
        },
    });
    let mut text = serde_json::to_string_pretty(&grammar).unwrap_or_default();
    text.push('\n');
    text
}
