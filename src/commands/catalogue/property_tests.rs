//! Random commands, made from the lines themselves: each must bind back to its line and its items, however its keywords
//! are spelled and whatever order its groups come in.

use crate::commands::signature::{self, Keyword, Node};
use crate::commands::{Item, all, bind_form};
use crate::lang::{Span, Word, WordKind};
use proptest::prelude::*;
use proptest::test_runner::TestRng;

/// A command as words, and what they are.
#[derive(Default)]
struct Instance {
    words: Vec<Word>,
    items: Vec<Item>,
}

impl Instance {
    fn push(&mut self, kind: WordKind) {
        let at = self.words.len() * 2;
        self.words.push(Word { span: Span::new(at, at + 1), kind });
    }

    fn keyword(&mut self, keyword: &Keyword, rng: &mut TestRng) {
        let spelled = match keyword.short {
            Some(short) if rng.coin() => short,
            _ => keyword.full,
        };
        let text: String =
            spelled.chars().map(|c| if rng.coin() { c.to_ascii_lowercase() } else { c }).collect();
        self.push(WordKind::Bare(text.into()));
        self.items.push(Item::Keyword(keyword.full));
    }

    fn value(&mut self, slot: &'static str, rng: &mut TestRng) {
        // A quoted word and an expression are values even where a keyword could stand, and `zz9` is no keyword at all.
        let kind = match rng.below(4) {
            0 => WordKind::Value,
            1 => WordKind::Quoted("to".into()),
            2 => WordKind::Quoted("".into()),
            _ => WordKind::Bare("zz9".into()),
        };
        self.items.push(Item::Value { slot, word: self.words.len() });
        self.push(kind);
    }

    fn node(&mut self, node: &Node, rng: &mut TestRng) {
        match node {
            Node::Keyword(keyword) => self.keyword(keyword, rng),
            Node::Slot(slot) => self.value(slot, rng),
            Node::Rest(slot) => (0..1 + rng.below(3)).for_each(|_| self.value(slot, rng)),
            Node::Equals => self.push(WordKind::Equals),
            Node::Comma => self.push(WordKind::Comma),
            Node::Sequence(parts) => parts.iter().for_each(|part| self.node(part, rng)),
            Node::Choice(parts) => self.node(&parts[rng.below(parts.len())], rng),
            Node::Optional(body) => {
                if rng.coin() {
                    self.node(body, rng);
                }
            }
            Node::Repeat(body) => (0..1 + rng.below(3)).for_each(|_| self.node(body, rng)),
            Node::Any { groups, required } => {
                let mut left: Vec<&Node> = groups.iter().collect();
                let mut needed = *required;
                while !left.is_empty() && (needed || rng.coin()) {
                    self.node(left.remove(rng.below(left.len())), rng);
                    needed = false;
                }
            }
        }
    }
}

trait Random {
    fn below(&mut self, limit: usize) -> usize;
    fn coin(&mut self) -> bool {
        self.below(2) == 1
    }
}

impl Random for TestRng {
    fn below(&mut self, limit: usize) -> usize {
        self.next_u32() as usize % limit
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_instance_of_a_line_binds_to_it(seed in any::<[u8; 32]>()) {
        let mut rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
        for command in all() {
            // WATCH's rest has to be a command; its own test binds one.
            if command.syntax.contains("<command>") {
                continue;
            }
            let tree = signature::tree(command.syntax, command.takes_on()).unwrap();
            let mut instance = Instance::default();
            instance.node(&tree, &mut rng);
            let given = |item: &Item| matches!(item, Item::Keyword(word) if command.one_of.contains(word));
            if !command.one_of.is_empty() && !instance.items.iter().any(given) {
                continue;
            }
            let bound = bind_form(&instance.words, Span::default());
            let bound = bound.map_err(|e| TestCaseError::fail(format!("{}: {:?}: {e:?}", command.syntax, instance.words)))?;
            prop_assert_eq!(bound.command.syntax, command.syntax, "{:?}", instance.words);
            prop_assert_eq!(bound.items, instance.items);
        }
    }

    /// Words in any order are bound or refused in bounded time, and an error's place is one of the words or the end.
    #[test]
    fn no_words_break_the_matcher(first in 0..200_usize, picks in prop::collection::vec((any::<u8>(), any::<u16>()), 0..40)) {
        let firsts = crate::commands::first_words();
        let vocabulary: Vec<&str> = all().iter().flat_map(|c| c.syntax.split(|c: char| !c.is_ascii_alphabetic())).filter(|w| !w.is_empty()).collect();
        let mut instance = Instance::default();
        instance.push(WordKind::Bare(firsts[first % firsts.len()].as_str().into()));
        for (kind, word) in picks {
            instance.push(match kind % 8 {
                0 => WordKind::Equals,
                1 => WordKind::Comma,
                2 => WordKind::Value,
                3 => WordKind::Quoted("x".into()),
                4 => WordKind::Bare("1".into()),
                _ => WordKind::Bare(vocabulary[usize::from(word) % vocabulary.len()].into()),
            });
        }
        let end = Span::new(instance.words.len() * 2, instance.words.len() * 2);
        if let Err(error) = crate::commands::bind(&instance.words, end) {
            prop_assert!(error.span == end || instance.words.iter().any(|word| word.span == error.span));
            prop_assert!(!error.message.is_empty() && error.help.is_some());
        }
    }
}
