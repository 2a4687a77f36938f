//! Binds words to syntax lines: all lines that share a first word are followed at once, word by word.
//!
//! The rule of `commands.md`, "Binding": a bare word is a keyword if any line that still fits has that keyword there,
//! else a value; a quoted word or expression is always exactly one value. No step is ever taken back, so the time is
//! linear in the number of words.

use super::signature::{Keyword, Op, Program};
use super::{Command, Item};
use crate::lang::WordKind;

/// A line that may match.
pub(crate) struct Line {
    pub command: &'static Command,
    pub program: Program,
}

/// One way in which the words so far fit a line.
#[derive(Clone, Copy)]
struct Thread {
    line: usize,
    pc: usize,
    /// Groups taken of the `Any`s around.
    mask: u64,
    /// The last bound item.
    trail: Option<usize>,
}

/// What could stand at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Keyword(Keyword),
    Slot(&'static str),
    Equals,
    Comma,
    End,
}

/// The state after some words. A clone is cheap: scripts have a million commands, and most have the same first word.
#[derive(Clone)]
pub(crate) struct Matcher<'a> {
    lines: &'a [Line],
    threads: Vec<Thread>,
    /// Bound items, each with the one before it.
    trails: Vec<(Option<usize>, Item)>,
    words: usize,
    /// Kept for its room.
    next: Closure<'a>,
}

/// How one word went.
pub(crate) enum Step {
    Fits,
    /// This word and all that follows belong to a `<words>` or `<command>` slot.
    Rest,
    DoesNotFit,
}

impl<'a> Matcher<'a> {
    pub fn new(lines: &'a [Line]) -> Self {
        let mut next = Closure { lines, threads: Vec::new(), seen: Vec::new() };
        for line in 0..lines.len() {
            next.add(Thread { line, pc: 0, mask: 0, trail: None });
        }
        let threads = std::mem::take(&mut next.threads);
        next.seen.clear();
        Self { lines, threads, trails: Vec::new(), words: 0, next }
    }

    /// Takes one word. A word that does not fit changes nothing.
    pub fn step(&mut self, word: &WordKind) -> Step {
        if !matches!(word, WordKind::Equals | WordKind::Comma) && self.rest_slot().is_some() {
            return Step::Rest;
        }
        match word {
            WordKind::Equals => self.advance(|op| matches!(op, Op::Equals).then_some(None)),
            WordKind::Comma => self.advance(|op| matches!(op, Op::Comma).then_some(None)),
            WordKind::Bare(text) => {
                self.advance(|op| match op {
                    Op::Keyword(keyword) if keyword.matches(text) => Some(Some(Item::Keyword(keyword.full))),
                    _ => None,
                });
                if self.next.threads.is_empty() {
                    self.value();
                }
            }
            WordKind::Quoted(_) | WordKind::Value => self.value(),
        }
        if self.next.threads.is_empty() {
            return Step::DoesNotFit;
        }
        std::mem::swap(&mut self.threads, &mut self.next.threads);
        self.next.threads.clear();
        self.next.seen.clear();
        self.words += 1;
        Step::Fits
    }

    fn value(&mut self) {
        let word = self.words;
        self.advance(|op| match op {
            Op::Slot(slot) => Some(Some(Item::Value { slot, word })),
            _ => None,
        });
    }

    fn advance(&mut self, accepts: impl Fn(&Op) -> Option<Option<Item>>) {
        for thread in &self.threads {
            let Some(op) = self.lines[thread.line].program.ops.get(thread.pc) else { continue };
            let Some(item) = accepts(op) else { continue };
            let trail = match item {
                Some(item) => {
                    self.trails.push((thread.trail, item));
                    Some(self.trails.len() - 1)
                }
                None => thread.trail,
            };
            self.next.add(Thread { pc: thread.pc + 1, trail, ..*thread });
        }
    }

    /// The slot that would take all that follows, if the words are at one.
    pub fn rest_slot(&self) -> Option<(&'static Command, &'static str)> {
        self.threads.iter().find_map(|thread| match self.lines[thread.line].program.ops.get(thread.pc) {
            Some(Op::Rest(slot)) => Some((self.lines[thread.line].command, *slot)),
            _ => None,
        })
    }

    /// The command whose line is complete here.
    pub fn accepted(&self) -> Option<(&'static Command, Vec<Item>)> {
        let thread = self
            .threads
            .iter()
            .find(|thread| matches!(self.lines[thread.line].program.ops.get(thread.pc), Some(Op::Accept)))?;
        Some((self.lines[thread.line].command, self.items(thread.trail)))
    }

    /// The items bound so far on the way to the rest slot.
    pub fn items_before_rest(&self) -> Vec<Item> {
        let trail = self
            .threads
            .iter()
            .find(|thread| matches!(self.lines[thread.line].program.ops.get(thread.pc), Some(Op::Rest(_))))
            .and_then(|thread| thread.trail);
        self.items(trail)
    }

    /// True if this word was taken as a keyword before.
    pub fn has_taken(&self, word: &str) -> bool {
        let trail = self.threads.first().and_then(|thread| thread.trail);
        self.items(trail)
            .iter()
            .any(|item| matches!(item, Item::Keyword(full) if full.eq_ignore_ascii_case(word)))
    }

    fn items(&self, mut trail: Option<usize>) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some((before, item)) = trail.and_then(|at| self.trails.get(at)) {
            items.push(item.clone());
            trail = *before;
        }
        items.reverse();
        items
    }

    /// The lines that still fit.
    pub fn commands(&self) -> Vec<&'static Command> {
        let mut commands: Vec<&'static Command> = Vec::new();
        for thread in &self.threads {
            let command = self.lines[thread.line].command;
            if !commands.iter().any(|known| std::ptr::eq(*known, command)) {
                commands.push(command);
            }
        }
        commands
    }

    /// The lines that still fit and have this keyword next.
    pub fn commands_with(&self, full: &str) -> Vec<&'static Command> {
        let next = |thread: &&Thread| match self.lines[thread.line].program.ops.get(thread.pc) {
            Some(Op::Keyword(keyword)) => keyword.full == full,
            _ => false,
        };
        self.threads.iter().filter(next).map(|thread| self.lines[thread.line].command).collect()
    }

    /// What must follow, as far as there is one way only.
    pub fn rest_of_line(&self) -> Option<String> {
        let [thread] = self.threads.as_slice() else { return None };
        let ops = &self.lines[thread.line].program.ops;
        let mut words: Vec<String> = Vec::new();
        let mut pc = thread.pc;
        while let Some(op) = ops.get(pc) {
            pc += 1;
            match op {
                Op::Keyword(keyword) => words.push(keyword.printed.to_owned()),
                Op::Slot(slot) | Op::Rest(slot) => words.push(format!("<{slot}>")),
                Op::Equals => words.push("=".to_owned()),
                Op::Comma => words.push(",".to_owned()),
                Op::Jump(to) => pc = *to,
                Op::Clear(_) => {}
                Op::Split(..) | Op::Any { .. } | Op::Accept => break,
            }
        }
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// All that could stand at this place: keywords first, in the order of the lines.
    pub fn expected(&self) -> Vec<Expected> {
        let mut keywords = Vec::new();
        let mut others = Vec::new();
        for thread in &self.threads {
            let (list, expected) = match self.lines[thread.line].program.ops.get(thread.pc) {
                Some(Op::Keyword(keyword)) => (&mut keywords, Expected::Keyword(*keyword)),
                Some(Op::Slot(slot) | Op::Rest(slot)) => (&mut others, Expected::Slot(slot)),
                Some(Op::Equals) => (&mut others, Expected::Equals),
                Some(Op::Comma) => (&mut others, Expected::Comma),
                Some(Op::Accept) => (&mut others, Expected::End),
                _ => continue,
            };
            if !list.contains(&expected) {
                list.push(expected);
            }
        }
        keywords.extend(others);
        keywords
    }
}

#[cfg(test)]
impl Matcher<'_> {
    /// The state as a set, to compare and explore it.
    pub(crate) fn state(&self) -> Vec<(usize, usize, u64)> {
        let mut state: Vec<_> = self.threads.iter().map(|t| (t.line, t.pc, t.mask)).collect();
        state.sort_unstable();
        state
    }

    /// How many lines may end here.
    pub(crate) fn accepting(&self) -> usize {
        let accepts = |t: &&Thread| matches!(self.lines[t.line].program.ops.get(t.pc), Some(Op::Accept));
        self.threads.iter().filter(accepts).count()
    }

    /// True if within each line a value can be taken in one way only.
    pub(crate) fn unambiguous_value(&self) -> bool {
        let takes =
            |t: &&Thread| matches!(self.lines[t.line].program.ops.get(t.pc), Some(Op::Slot(_) | Op::Rest(_)));
        let lines: Vec<usize> = self.threads.iter().filter(takes).map(|t| t.line).collect();
        let mut once = lines.clone();
        once.dedup();
        lines == once
    }
}

/// Follows all steps that take no word.
#[derive(Clone)]
struct Closure<'a> {
    lines: &'a [Line],
    threads: Vec<Thread>,
    seen: Vec<(usize, usize, u64)>,
}

impl Closure<'_> {
    fn add(&mut self, thread: Thread) {
        let key = (thread.line, thread.pc, thread.mask);
        if self.seen.contains(&key) {
            return;
        }
        self.seen.push(key);
        let lines = self.lines;
        match lines[thread.line].program.ops.get(thread.pc) {
            None => {}
            Some(Op::Jump(to)) => self.add(Thread { pc: *to, ..thread }),
            Some(Op::Split(first, second)) => {
                self.add(Thread { pc: *first, ..thread });
                self.add(Thread { pc: *second, ..thread });
            }
            Some(Op::Clear(bits)) => {
                self.add(Thread { pc: thread.pc + 1, mask: thread.mask & !bits, ..thread });
            }
            Some(Op::Any { groups, exit, required }) => {
                let taken = groups.iter().any(|(bit, _)| thread.mask & bit != 0);
                for &(bit, place) in groups {
                    if thread.mask & bit == 0 {
                        self.add(Thread { pc: place, mask: thread.mask | bit, ..thread });
                    }
                }
                if taken || !required {
                    self.add(Thread { pc: *exit, ..thread });
                }
            }
            Some(_) => self.threads.push(thread),
        }
    }
}
