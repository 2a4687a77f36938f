//! The catalogue as a whole: every line parses, its examples bind to it, and no two lines can be confused.

use crate::commands::matcher::{Expected, Matcher, Step};
use crate::commands::{all, bind, signature, testing};
use crate::lang::WordKind;
use std::collections::{BTreeSet, HashSet, VecDeque};

#[test]
fn every_line_is_in_the_notation() {
    for command in all() {
        assert!(signature::parse(command.syntax).is_some(), "{}", command.syntax);
    }
    for (piece, text) in signature::PIECES {
        assert!(signature::parse(text).is_some(), "{piece}");
    }
}

#[test]
fn every_line_has_examples_and_they_bind_to_it() {
    for command in all() {
        assert!(!command.examples.is_empty(), "{} has no example", command.syntax);
        for example in command.examples {
            let text = example
                .split_once("= ")
                .filter(|(name, _)| name.starts_with('$'))
                .map_or(*example, |(_, c)| c);
            match testing::bind(text) {
                Ok(binding) => assert!(
                    std::ptr::eq(binding.command, command),
                    "`{example}` of {} binds to {}",
                    command.syntax,
                    binding.command.syntax
                ),
                Err(error) => panic!("`{example}` of {}: {} {:?}", command.syntax, error.message, error.help),
            }
        }
    }
}

#[test]
fn sentences_are_sentences() {
    for command in all() {
        for text in [command.summary, command.details].into_iter().filter(|text| !text.is_empty()) {
            assert!(text.ends_with('.'), "{}: {text}", command.syntax);
            assert!(!text.contains("  "), "{}: {text}", command.syntax);
        }
    }
}

#[test]
fn a_line_has_no_more_groups_than_the_matcher_counts() {
    for command in all() {
        let program = signature::compile(command.syntax, command.takes_on());
        let groups: usize = program
            .ops
            .iter()
            .map(|op| match op {
                signature::Op::Any { groups, .. } => groups.len(),
                _ => 0,
            })
            .sum();
        assert!(groups < 64, "{}", command.syntax);
    }
}

/// Follows every first word's lines through every kind of word. Where a command may end, one line only may accept it;
/// where a value is taken, no two ways may take it to the same place.
#[test]
fn no_two_lines_differ_only_in_what_kind_of_value_stands_somewhere() {
    let mut first_seen = HashSet::new();
    for first in bind::first_words() {
        let lines = bind::lines(&first).expect("a first word has lines");
        if !first_seen.insert(lines.as_ptr()) {
            continue;
        }
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::from([Vec::<WordKind>::new()]);
        while let Some(path) = queue.pop_front() {
            let mut matcher = Matcher::new(lines);
            for word in &path {
                assert!(matches!(matcher.step(word), Step::Fits), "{path:?}");
            }
            if !seen.insert(matcher.state()) {
                continue;
            }
            assert!(matcher.accepting() <= 1, "{path:?} fits several lines");
            assert!(matcher.unambiguous_value(), "after {path:?} a value can be taken in two ways");
            for expected in matcher.expected() {
                let word = match expected {
                    Expected::Keyword(keyword) => WordKind::Bare(keyword.full.into()),
                    Expected::Slot(_) if matcher.rest_slot().is_some() => continue,
                    Expected::Slot(_) => WordKind::Value,
                    Expected::Equals => WordKind::Equals,
                    Expected::Comma => WordKind::Comma,
                    Expected::End => continue,
                };
                let mut next = path.clone();
                next.push(word);
                queue.push_back(next);
            }
        }
    }
}
