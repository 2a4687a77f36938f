//! `editors/tree-sitter-dtcl/queries/highlights.scm`: which word of a tree is which. The grammar beside it knows statements and
//! expressions, no commands; their words are here, in patterns that every editor's engine takes.

use super::{Words, functions};
use std::fmt::Write as _;

/// A pattern of these words in any case. Letters are spelled out, as the engines differ in how case is left aside.
fn any_case<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let spelled: Vec<String> = words.map(spelled).collect();
    format!("^({})$", spelled.join("|"))
}

fn spelled(word: &str) -> String {
    word.chars()
        .map(|c| match c {
            c if c.is_ascii_alphabetic() => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
            c => c.to_string(),
        })
        .collect()
}

/// The queries.
pub fn highlights() -> String {
    let words = Words::of_catalogue();
    let mut text = String::from(HEAD);
    let mut matched = |node: &str, capture: &str, pattern: String| {
        let _ = write!(text, "\n({node} {capture}\n  (#match? {capture} \"{pattern}\"))\n");
    };
    let others = words.others.iter().map(String::as_str);
    matched("argument (word)", "@keyword", any_case(others));
    let first = words.first.iter().map(String::as_str);
    matched("command name: (word)", "@function.builtin", any_case(first));
    // The node has the parenthesis that tells a call.
    let called = any_case(functions()).replace(")$", ")[(]$");
    matched("call function: (function)", "@function.builtin", called);
    text
}

const HEAD: &str = "\
; Generated from the catalogue in src/commands: scripts/generate

(comment) @comment
(string) @string
(interpolated) @string
(hole \"{\" @punctuation.special \"}\" @punctuation.special)
(escape) @string.escape
(variable) @variable
(field) @property
(integer) @number
(date) @number
(time) @number
(boolean) @boolean
(call function: (function) @function)
(keyword) @keyword
(logical) @keyword.operator
(operator) @operator
[\",\" \";\"] @punctuation.delimiter
[\"(\" \")\" \"[\" \"]\"] @punctuation.bracket
";
