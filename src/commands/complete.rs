//! Completion and hints, from the same lines as everything else.

use super::bind;
use super::matcher::{Expected, Matcher, Step};
use crate::lang::Word;

/// Something that could stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// A keyword in lower case, or `<slot>`.
    pub text: String,
    pub kind: CandidateKind,
    /// What it does, where that is known: the summary of the command that it decides.
    pub note: Option<String>,
}

/// A word to insert, or a value that the shell may know names for (sets, connections, options, machines, paths).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateKind {
    Keyword,
    Slot(&'static str),
}

/// What could stand behind these words: keywords that begin with `partial`, and all slots.
pub fn complete(words: &[Word], partial: &str) -> Vec<Candidate> {
    let Some(first) = words.first() else { return first_words(partial) };
    let crate::lang::WordKind::Bare(text) = &first.kind else { return Vec::new() };
    let Some(lines) = bind::lines(text) else { return Vec::new() };
    let mut matcher = Matcher::new(lines);
    for (index, word) in words.iter().enumerate() {
        match matcher.step(&word.kind) {
            Step::Fits => {}
            Step::Rest => return complete_rest(&matcher, words, index, partial),
            Step::DoesNotFit => return Vec::new(),
        }
    }
    let mut candidates = Vec::new();
    for expected in matcher.expected() {
        match expected {
            Expected::Keyword(keyword) if starts(keyword.full, partial) => candidates.push(Candidate {
                text: keyword.full.to_ascii_lowercase(),
                kind: CandidateKind::Keyword,
                note: note(&matcher, keyword.full),
            }),
            Expected::Slot("command") => candidates.extend(first_words(partial)),
            Expected::Slot("words") => {
                candidates.extend(first_words(partial));
                candidates.push(slot("words"));
            }
            Expected::Slot(name) => candidates.push(slot(name)),
            _ => {}
        }
    }
    candidates
}

/// The rest of the syntax that is still missing, e.g. `<repset> TO <target> ...`; None when nothing fits.
pub fn hint(words: &[Word]) -> Option<String> {
    let first = words.first()?;
    let crate::lang::WordKind::Bare(text) = &first.kind else { return None };
    let mut matcher = Matcher::new(bind::lines(text)?);
    for word in words {
        match matcher.step(&word.kind) {
            Step::Fits => {}
            Step::Rest | Step::DoesNotFit => return None,
        }
    }
    let expected: Vec<String> = matcher
        .expected()
        .iter()
        .filter(|expected| !matches!(expected, Expected::End | Expected::Comma))
        .map(bind::spelled)
        .collect();
    if expected.is_empty() {
        return None;
    }
    let optional = matcher.accepted().is_some();
    let alternatives = expected.join("|");
    let ahead = matcher.rest_of_line();
    Some(match (optional, ahead) {
        (false, Some(rest)) => rest,
        (true, _) => format!("[{alternatives}]"),
        (false, None) => alternatives,
    })
}

fn complete_rest(matcher: &Matcher<'_>, words: &[Word], from: usize, partial: &str) -> Vec<Candidate> {
    match matcher.rest_slot() {
        Some((_, "command" | "words")) => complete(&words[from..], partial),
        _ => Vec::new(),
    }
}

fn first_words(partial: &str) -> Vec<Candidate> {
    bind::first_words()
        .into_iter()
        .filter(|word| starts(word, partial))
        .map(|word| Candidate {
            note: bind::lines(&word).and_then(|lines| match lines {
                [only] => Some(only.command.summary.to_owned()),
                _ => None,
            }),
            text: word.to_ascii_lowercase(),
            kind: CandidateKind::Keyword,
        })
        .collect()
}

fn slot(name: &'static str) -> Candidate {
    Candidate { text: format!("<{name}>"), kind: CandidateKind::Slot(name), note: None }
}

/// The summary of the only command that this keyword leaves.
fn note(matcher: &Matcher<'_>, keyword: &str) -> Option<String> {
    match matcher.commands_with(keyword).as_slice() {
        [only] if matcher.commands().len() > 1 => Some(only.summary.to_owned()),
        _ => None,
    }
}

fn starts(word: &str, partial: &str) -> bool {
    word.get(..partial.len()).is_some_and(|start| start.eq_ignore_ascii_case(partial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::words;

    fn texts(text: &str, partial: &str) -> Vec<String> {
        complete(&words(text), partial).into_iter().map(|candidate| candidate.text).collect()
    }

    #[test]
    fn completes_keywords_and_names_slots() {
        assert_eq!(texts("", "mir"), ["mirror"]);
        assert_eq!(texts("mirror", ""), ["start", "stop", "pause", "resume"]);
        assert_eq!(texts("mirror", "ST"), ["start", "stop"]);
        assert_eq!(texts("repset display", ""), ["<repset>"]);
        assert_eq!(texts("connect a to b map", ""), ["exact", "base", "<path>"]);
        assert_eq!(texts("watch 2 status", "con"), ["connection"]);
        assert_eq!(texts("help repset", "cr"), ["create"]);
        assert!(texts("mirror banana", "").is_empty());
        assert!(texts("banana", "").is_empty());
    }

    #[test]
    fn a_group_that_was_taken_is_not_offered_again() {
        let left = texts("mirror start 1 dryrun newer", "");
        assert!(left.contains(&"checksum".to_owned()) && !left.contains(&"dryrun".to_owned()), "{left:?}");
    }

    #[test]
    fn hints_show_what_is_still_missing() {
        let of = |text: &str| hint(&words(text));
        assert_eq!(of("repset create").as_deref(), Some("<repset>"));
        assert_eq!(of("repset rename a").as_deref(), Some("TO <name>"));
        assert_eq!(of("mirror").as_deref(), Some("START|STOP|PAUSE|RESUME"));
        assert_eq!(of("repset delete a").as_deref(), Some("[ON]"));
        assert_eq!(of("pwd"), None);
        assert_eq!(of("banana"), None);
    }
}
