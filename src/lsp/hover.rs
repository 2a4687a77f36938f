//! What HELP says about the word under the cursor.

use super::definition::Functions;
use super::document::Document;
use super::place::{self, There};
use crate::commands;
use crate::lang::{Function, Span, WordKind};
use serde_json::{Value, json};

/// The answer to `textDocument/hover`; null where nothing is known.
pub fn hover(document: &Document, offset: usize, functions: &Functions<'_>) -> Value {
    let text = document.text();
    let told = match place::there(text, offset) {
        Some(There::Command { words, end, .. }) => {
            let whole = words.first().map(|first| first.span.join(end)).unwrap_or_default();
            command(&words, end).map(|told| (told, whole))
        }
        Some(There::Call { name, arguments, span }) => {
            let own = Function::named(&name).map(|function| code(function.form()));
            own.or_else(|| functions.find(&name, arguments).map(|found| found.told()))
                .map(|told| (told, span))
        }
        Some(There::Word(span)) => topic(span.of(text)).map(|told| (told, span)),
        None => None,
    };
    match told {
        Some((told, span)) => json!({
            "contents": { "kind": "markdown", "value": told },
            "range": document.range(span),
        }),
        None => Value::Null,
    }
}

/// The command that these words are, else the page of those that begin so.
fn command(words: &[crate::lang::Word], end: Span) -> Option<String> {
    if let Ok(binding) = commands::bind_form(words, end) {
        let command = binding.command;
        let mut told = format!("{}\n{}", code(&command.shown_syntax()), escaped(command.summary));
        if !command.is_available() {
            told.push_str(" **Not yet available in this version.**");
        }
        if !command.details.is_empty() {
            told.push_str(&format!("\n\n{}", escaped(command.details)));
        }
        return Some(told);
    }
    let bare = |word: &crate::lang::Word| match &word.kind {
        WordKind::Bare(text) => Some(text.to_string()),
        _ => None,
    };
    // As many of them as HELP knows.
    let bare: Vec<String> = words.iter().map_while(bare).collect();
    (1..=bare.len()).rev().find_map(|many| topic(&bare[..many].join(" ")))
}

fn topic(name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    commands::help(name).ok().map(|page| code(&page))
}

fn code(text: &str) -> String {
    format!("```dtcl\n{}\n```\n", text.trim_end())
}

/// Markdown takes `<x>` outside code for HTML, and `*` for emphasis.
fn escaped(text: &str) -> String {
    commands::escaped(text)
}
