//! From a command's words to a [`Binding`], or to a diagnostic that says what was expected.

mod wrong;

pub(crate) use wrong::spelled;

use super::matcher::{Line, Matcher, Step};
use super::{Binding, Command, Handler, Item, Verb, signature, slots};
use crate::api::ApiError;
use crate::lang::{Diagnostic, Severity, Span, Word, WordKind};
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};
use wrong::{behind, does_not_fit, incomplete, no_command, nothing, syntax_error, unknown_command};

/// The commands that share a first word; their lines are compiled when one of them is first used.
struct Entry {
    commands: Vec<&'static Command>,
    lines: OnceLock<Vec<Line>>,
}

/// First words in capitals, abbreviations too, and where their entries are.
struct Index {
    words: HashMap<String, Spelling>,
    entries: Vec<Entry>,
}

struct Spelling {
    entry: usize,
    /// The matcher behind this word: scripts begin many commands with the same one.
    begun: OnceLock<Matcher<'static>>,
}

impl Spelling {
    fn new(entry: usize) -> Self {
        Self { entry, begun: OnceLock::new() }
    }
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { words: HashMap::new(), entries: Vec::new() };
    for command in super::all() {
        let first = command.syntax.split_once(' ').map_or(command.syntax, |(first, _)| first);
        for printed in first.split('|') {
            let full = printed.to_ascii_uppercase();
            let spelling = index.words.entry(full).or_insert_with(|| {
                index.entries.push(Entry { commands: Vec::new(), lines: OnceLock::new() });
                Spelling::new(index.entries.len() - 1)
            });
            let entry = spelling.entry;
            index.entries[entry].commands.push(command);
            let short: String = printed.chars().filter(char::is_ascii_uppercase).collect();
            index.words.entry(short).or_insert_with(|| Spelling::new(entry));
        }
    }
    index
});

/// The lines that begin with this word, compiled.
pub(crate) fn lines(first: &str) -> Option<&'static [Line]> {
    let index = &*INDEX;
    let entry = &index.entries[spelling(index, first)?.entry];
    Some(entry.lines.get_or_init(|| {
        let compile = |command: &&'static Command| Line {
            command,
            program: signature::compile(command.syntax, command.takes_on()),
        };
        entry.commands.iter().map(compile).collect()
    }))
}

/// The matcher behind a first word.
fn begun(first: &Word) -> Result<Matcher<'static>, Diagnostic> {
    let WordKind::Bare(text) = &first.kind else { return Err(no_command(first)) };
    let Some(spelling) = spelling(&INDEX, text) else { return Err(unknown_command(text, first.span)) };
    let begun = spelling.begun.get_or_init(|| {
        let mut matcher = Matcher::new(lines(text).unwrap_or_default());
        matcher.step(&first.kind);
        matcher
    });
    Ok(begun.clone())
}

fn spelling(index: &'static Index, first: &str) -> Option<&'static Spelling> {
    /// Longer than any first word.
    const LONGEST: usize = 32;
    let mut buffer = [0; LONGEST];
    let capitals = buffer.get_mut(..first.len())?;
    capitals.copy_from_slice(first.as_bytes());
    capitals.make_ascii_uppercase();
    index.words.get(std::str::from_utf8(capitals).ok()?)
}

/// Every first word of a command as printed in capitals, in the catalogue's order.
pub fn first_words() -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for command in super::all() {
        let first = command.syntax.split_once(' ').map_or(command.syntax, |(first, _)| first);
        for word in first.split('|') {
            let word = word.to_ascii_uppercase();
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words
}

/// True if a command begins with this word.
pub fn is_command_word(first: &str) -> bool {
    spelling(&INDEX, first).is_some()
}

/// Binds a command's words to its syntax line. `end` is the place just behind the last word.
///
/// Code 102: no such command, or not its form; a script with that runs nothing. Any other code (-101, -114, -115) is a
/// written value that does not fit its place: the command's own failure when it is reached (language.md 4).
pub fn bind(words: &[Word], end: Span) -> Result<Binding, Diagnostic> {
    let binding = bind_form(words, end)?;
    match check_values(&binding, words).into_iter().next() {
        Some(diagnostic) => Err(diagnostic),
        None => Ok(binding),
    }
}

/// As [`bind`], but values are not looked at.
pub fn bind_form(words: &[Word], end: Span) -> Result<Binding, Diagnostic> {
    let Some(first) = words.first() else {
        return Err(nothing(end));
    };
    let mut matcher = begun(first)?;
    for (index, word) in words.iter().enumerate().skip(1) {
        match matcher.step(&word.kind) {
            Step::Fits => {}
            Step::Rest => return bind_rest(&matcher, words, index, end),
            Step::DoesNotFit => return Err(does_not_fit(&matcher, words, index)),
        }
    }
    match matcher.accepted() {
        Some((command, items)) if has_one_of(command, &items) => Ok(Binding { command, items, rest: None }),
        Some((command, _)) => Err(syntax_error(
            behind(words, end),
            "the command is not complete",
            Some(format!(
                "expected one of {}; syntax: {}",
                command.one_of.join(", "),
                command.shown_syntax()
            )),
        )),
        None => Err(incomplete(&matcher, words, end)),
    }
}

fn has_one_of(command: &Command, items: &[Item]) -> bool {
    let given = |item: &Item| matches!(item, Item::Keyword(word) if command.one_of.contains(word));
    command.one_of.is_empty() || items.iter().any(given)
}

/// Written values that do not fit their places.
pub fn check_values(binding: &Binding, words: &[Word]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for item in &binding.items {
        let Item::Value { slot, word: index } = item else { continue };
        let Some(word) = words.get(*index) else { continue };
        let (WordKind::Bare(text) | WordKind::Quoted(text)) = &word.kind else { continue };
        let exit = matches!(binding.command.handler, Handler::Interpreter(Verb::Exit));
        if let Err(error) = slots::check(if exit { "exit_status" } else { slot }, text) {
            found.push(refused(error, word.span));
        }
    }
    found
}

/// A refused value at its place.
pub(crate) fn refused(error: ApiError, span: Span) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: error.code.number(),
        message: error.message,
        span,
        help: error.help,
        beside: None,
    }
}

/// The rest of the statement as it is; a `<command>` in it is checked as one.
fn bind_rest(matcher: &Matcher<'_>, words: &[Word], from: usize, end: Span) -> Result<Binding, Diagnostic> {
    let Some((command, slot)) = matcher.rest_slot() else {
        return Err(does_not_fit(matcher, words, from));
    };
    if slot == "command" {
        bind(&words[from..], end)?;
    }
    let mut items = matcher.items_before_rest();
    for (index, word) in words.iter().enumerate().skip(from) {
        if !matches!(word.kind, WordKind::Equals | WordKind::Comma) {
            items.push(Item::Value { slot, word: index });
        }
    }
    Ok(Binding { command, items, rest: Some(from) })
}

#[cfg(test)]
mod tests;
