//! What is said when words fit no line: what was expected at that place, and the nearest word.

use super::{first_words, is_command_word};
use crate::api::Code;
use crate::commands::matcher::{Expected, Matcher};
use crate::commands::nearest;
use crate::lang::{Diagnostic, Severity, Span, Word, WordKind};

pub(super) fn no_command(first: &Word) -> Diagnostic {
    match &first.kind {
        WordKind::Quoted(text) => {
            let help = match is_command_word(text) {
                true => "write the command's name without quotes",
                false => "HELP lists the commands",
            };
            syntax_error(first.span, "a command begins with a bare word", Some(help.to_owned()))
        }
        _ => nothing(first.span),
    }
}

/// No command at all.
pub(super) fn nothing(place: Span) -> Diagnostic {
    let help = "a command begins with a word of its own; HELP lists them".to_owned();
    syntax_error(place, "a command is expected here", Some(help))
}

pub(super) fn unknown_command(text: &str, span: Span) -> Diagnostic {
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return syntax_error(
            span,
            format!("`{text}` is reserved for a later version"),
            Some("HELP lists the commands of this version".to_owned()),
        );
    }
    let words = first_words();
    let help = match nearest(text, words.iter().map(String::as_str)) {
        Some(word) => format!("did you mean `{}`?", word.to_ascii_lowercase()),
        None => "HELP lists the commands".to_owned(),
    };
    syntax_error(span, format!("`{}` is not a command", shown(text)), Some(help))
}

/// First words whose lines come later (`commands.md`, last line).
const RESERVED: &[&str] = &["ARCHIVE", "RECALL", "JOB"];

pub(super) fn does_not_fit(matcher: &Matcher<'_>, words: &[Word], index: usize) -> Diagnostic {
    let word = &words[index];
    let expected = matcher.expected();
    let text = match &word.kind {
        WordKind::Bare(text) => format!("`{}`", shown(text)),
        WordKind::Quoted(text) => format!("the quoted `{}`", shown(text)),
        WordKind::Value => "a value".to_owned(),
        WordKind::Equals => "`=`".to_owned(),
        WordKind::Comma => "`,`".to_owned(),
    };
    let message = if expected == [Expected::End] {
        format!("the command ends before {text}")
    } else if matches!(&word.kind, WordKind::Bare(text) if matcher.has_taken(text)) {
        format!("{text} stands here a second time")
    } else {
        format!("{text} does not fit here")
    };
    let mut help = String::new();
    if let WordKind::Bare(text) = &word.kind {
        let keywords = expected.iter().filter_map(|expected| match expected {
            Expected::Keyword(keyword) => Some(keyword.full),
            _ => None,
        });
        if let Some(near) = nearest(text, keywords) {
            help = format!("did you mean `{}`? ", near.to_ascii_lowercase());
        }
    }
    if let WordKind::Quoted(text) = &word.kind
        && expected.iter().any(|e| matches!(e, Expected::Keyword(keyword) if keyword.matches(text)))
    {
        help = format!("a quoted word is a value: write {} without quotes. ", text.to_ascii_uppercase());
    }
    help.push_str(&expected_help(matcher, &expected));
    let wrong = syntax_error(word.span, message, Some(help));
    // A day has a number of its own, as a date and a time have.
    let is_day =
        |expected: &Expected| matches!(expected, Expected::Keyword(keyword) if DAYS.contains(&keyword.full));
    match !expected.is_empty() && expected.iter().all(is_day) {
        true => Diagnostic { code: Code::BandwidthLimitDayIsInvalid.number(), ..wrong },
        false => wrong,
    }
}

const DAYS: [&str; 7] = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];

pub(super) fn incomplete(matcher: &Matcher<'_>, words: &[Word], end: Span) -> Diagnostic {
    let expected = matcher.expected();
    syntax_error(behind(words, end), "the command is not complete", Some(expected_help(matcher, &expected)))
}

/// The place where more words would stand.
pub(super) fn behind(words: &[Word], end: Span) -> Span {
    let start = words.last().map_or(end.start, |last| end.start.max(last.span.end));
    Span { start, end: end.end.max(start) }
}

/// `expected TO or <x>; syntax: ...`.
fn expected_help(matcher: &Matcher<'_>, expected: &[Expected]) -> String {
    let commands = matcher.commands();
    let mut help = format!("expected {}", listed(expected));
    if commands.len() <= 2 {
        let lines: Vec<String> = commands.iter().map(|command| command.shown_syntax()).collect();
        help.push_str("; syntax: ");
        help.push_str(&lines.join(" or "));
    }
    help
}

/// What may stand at a place, in words.
fn listed(expected: &[Expected]) -> String {
    let names: Vec<String> = expected.iter().map(spelled).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

pub(crate) fn spelled(expected: &Expected) -> String {
    match expected {
        Expected::Keyword(keyword) => keyword.printed.to_owned(),
        Expected::Slot(slot) => format!("<{slot}>"),
        Expected::Equals => "`=`".to_owned(),
        Expected::Comma => "`,`".to_owned(),
        Expected::End => "the command's end".to_owned(),
    }
}

/// A word for a message: one line of bounded length.
fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push_str("...");
    }
    short.replace("\\\\", "\\").replace("\\'", "'")
}

pub(super) fn syntax_error(span: Span, message: impl Into<String>, help: Option<String>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::CommandNotValidOrItsSyntaxIncorrect.number(),
        message: message.into(),
        span,
        help,
        beside: None,
    }
}
