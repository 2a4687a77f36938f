//! What editors need to colour scripts: a TextMate grammar, and the queries of the tree-sitter grammar, both in `editors/`. The words of
//! commands come from their syntax lines. A test compares the committed files with what is made here.

mod textmate;
mod tree_sitter;

pub use textmate::textmate;
pub use tree_sitter::highlights;

use super::all;
use super::signature::{self, Node};
use crate::lang::Function;
use std::collections::BTreeSet;

/// Words of statements that are no commands (language.md 5).
const CONTROL: &[&str] = &[
    "BREAK", "CONTINUE", "DO", "EACH", "ELSE", "ELSEIF", "END", "ENDFOR", "ENDIF", "ENDWHILE", "ERROR",
    "FOR", "IF", "IN", "ON", "RETURN", "STEP", "STOP", "THEN", "TO", "WHILE",
];
/// Words of expressions.
const OPERATORS: &[&str] = &["AND", "NOT", "OR"];
const CONSTANTS: &[&str] = &["FALSE", "TRUE"];

/// The words of the catalogue in capitals, abbreviations too.
struct Words {
    /// What commands begin with.
    first: BTreeSet<String>,
    /// All other keywords.
    others: BTreeSet<String>,
}

impl Words {
    fn of_catalogue() -> Words {
        let (mut first, mut others) = (BTreeSet::new(), BTreeSet::new());
        for command in all() {
            let begin = command.syntax.split(' ').next().unwrap_or_default();
            for printed in begin.split('|') {
                first.insert(printed.to_ascii_uppercase());
                first.insert(printed.chars().filter(char::is_ascii_uppercase).collect());
            }
            if let Some(line) = signature::tree(command.syntax, command.takes_on()) {
                keywords(&line, &mut others);
            }
        }
        others.retain(|word| !first.contains(word));
        Words { first, others }
    }
}

fn keywords(node: &Node, found: &mut BTreeSet<String>) {
    match node {
        Node::Keyword(keyword) => {
            found.extend([Some(keyword.full), keyword.short].into_iter().flatten().map(str::to_owned));
            found.remove("*");
        }
        Node::Sequence(nodes) | Node::Choice(nodes) | Node::Any { groups: nodes, .. } => {
            nodes.iter().for_each(|node| keywords(node, found));
        }
        Node::Optional(node) | Node::Repeat(node) => keywords(node, found),
        Node::Slot(_) | Node::Rest(_) | Node::Equals | Node::Comma => {}
    }
}

fn functions() -> impl Iterator<Item = &'static str> {
    Function::ALL.iter().map(|function| function.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The grammar's own words, in both directions.
    #[test]
    fn the_words_of_statements_are_those_of_the_grammar() {
        let grammar = include_str!("../../../grammar/dtcl.pest");
        let written: BTreeSet<&str> = grammar
            .split("^\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            // The letter that words of its kind begin with, and a command.
            .filter(|word| !matches!(*word, "E" | "SCHEDULE"))
            .collect();
        let listed: BTreeSet<&str> = [CONTROL, OPERATORS, CONSTANTS].concat().into_iter().collect();
        assert_eq!(listed, written);
    }

    #[test]
    fn the_catalogues_words_come_with_their_abbreviations() {
        let words = Words::of_catalogue();
        for word in ["CONNECT", "QUEUETASK", "QTASK", "LOGON"] {
            assert!(words.first.contains(word), "{word}");
        }
        for word in ["EXACT", "CON", "CONNECTION", "HOUR", "HOURS", "KBIT"] {
            assert!(words.others.contains(word), "{word}");
        }
    }
}
