//! The rules in the order in which they decide: the first one that matches a path has the word.
//!
//! The order is a property of the rules alone, never of the path asked about (see the parent module).

use super::glob::{Glob, is_wild};
use crate::api::Rule;
use std::cmp::Reverse;
use std::collections::HashMap;

/// All rules that have an effect, most specific first.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) rules: Vec<CompiledRule>,
}

/// A rule cut at its slashes.
#[derive(Clone, Debug)]
pub(super) struct CompiledRule {
    /// Its place in the list it came from.
    pub(super) origin: usize,
    pub(super) include: bool,
    pub(super) recursive: bool,
    pub(super) components: Vec<Component>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Component {
    Literal(Box<[u8]>),
    Wild(Glob),
}

impl Component {
    fn new(text: &[u8]) -> Self {
        if is_wild(text) { Component::Wild(Glob::new(text)) } else { Component::Literal(text.into()) }
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Component::Literal(text) => **text == *name,
            Component::Wild(glob) => glob.matches(name),
        }
    }

    fn covers(&self, other: &Component) -> bool {
        match (self, other) {
            (mine, Component::Literal(text)) => mine.matches(text),
            (Component::Wild(mine), Component::Wild(theirs)) => mine.covers(theirs),
            (Component::Literal(_), Component::Wild(_)) => false,
        }
    }
}

/// The components of a path; empty ones and `.` are left out.
pub(super) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".")
}

impl CompiledRule {
    fn new(origin: usize, rule: &Rule) -> Self {
        Self {
            origin,
            include: rule.include,
            recursive: rule.recursive,
            components: components(rule.path.as_bytes()).map(Component::new).collect(),
        }
    }

    /// True if the last component is a wildcard: such a rule is about names in a directory.
    pub(super) fn wild_tail(&self) -> bool {
        matches!(self.components.last(), Some(Component::Wild(_)))
    }

    /// The directory or file where a search for this rule's entries starts.
    pub(super) fn literal_base(&self) -> impl Iterator<Item = &[u8]> {
        self.components.iter().map_while(|c| match c {
            Component::Literal(text) => Some(&**text),
            Component::Wild(_) => None,
        })
    }

    /// Sorts the more specific rule first; rules of equal rank are the same path, type and recursion.
    fn rank(&self) -> impl Ord + use<> {
        let literal: usize = self
            .components
            .iter()
            .map(|c| match c {
                Component::Literal(text) => text.len(),
                Component::Wild(glob) => glob.literal_bytes(),
            })
            .sum();
        (
            Reverse(self.components.len()),
            Reverse(self.literal_base().count()),
            Reverse(literal),
            self.recursive,
            self.include,
        )
    }

    /// The definition: does the rule speak about this path? The walk must agree with it (tested).
    pub(super) fn matches(&self, path: &[&[u8]], directory: bool) -> bool {
        let depth = self.components.len();
        let Some(last) = self.components.last() else {
            return self.recursive || path.is_empty() || (path.len() == 1 && !directory);
        };
        let fits = |n: usize| self.components[..n].iter().zip(path).all(|(c, name)| c.matches(name));
        if self.wild_tail() {
            if path.len() < depth || !fits(depth - 1) {
                return false;
            }
            let below = &path[depth - 1..];
            if self.recursive {
                below.iter().any(|name| last.matches(name))
            } else {
                !directory && below.len() == 1 && last.matches(below[0])
            }
        } else {
            path.len() >= depth
                && fits(depth)
                && (self.recursive || path.len() == depth || (path.len() == depth + 1 && !directory))
        }
    }

    /// True if all that `other` names surely lies at or below what this recursive rule names.
    fn covers(&self, other: &CompiledRule) -> bool {
        let depth = self.components.len();
        let fits = |n: usize| {
            self.components[..n].iter().zip(&other.components).all(|(mine, theirs)| mine.covers(theirs))
        };
        if !self.recursive || other.components.len() < depth {
            return false;
        }
        match self.components.last() {
            Some(last) if self.wild_tail() => {
                fits(depth - 1) && other.components[depth - 1..].iter().any(|theirs| last.covers(theirs))
            }
            _ => fits(depth),
        }
    }
}

impl Compiled {
    /// Sorts the rules, and sets aside those without effect: for each rule of the list why, if so (RST-10).
    pub(super) fn new(rules: &[Rule]) -> (Self, Vec<Option<String>>) {
        let mut sorted: Vec<CompiledRule> =
            rules.iter().enumerate().map(|(origin, rule)| CompiledRule::new(origin, rule)).collect();
        sorted.sort_by_cached_key(|rule| (rule.rank(), rule.origin));

        let mut discarded = vec![None; rules.len()];
        let mut seen = HashMap::new();
        for place in 0..sorted.len() {
            let rule = &sorted[place];
            let key = (rules[rule.origin].path.as_str(), rule.include, rule.recursive);
            if let Some(&twin) = seen.get(&key) {
                discarded[rule.origin] = Some(format!("it repeats the rule `{}`", describe(&rules[twin])));
            } else if let Some(higher) = Self::winner(&sorted, place) {
                discarded[rule.origin] =
                    Some(format!("the recursive rule `{}` covers it", describe(&rules[higher.origin])));
            } else {
                seen.insert(key, rule.origin);
            }
        }
        sorted.retain(|rule| discarded[rule.origin].is_none());
        (Self { rules: sorted }, discarded)
    }

    /// The recursive rule of the same type that takes the place of the non-recursive one at `place`: the next rule
    /// that speaks about the same entries, unless it is of the other type.
    fn winner(sorted: &[CompiledRule], place: usize) -> Option<&CompiledRule> {
        let rule = &sorted[place];
        if rule.recursive {
            return None;
        }
        let next = sorted[place + 1..].iter().find(|other| other.covers(rule))?;
        (next.include == rule.include).then_some(next)
    }

    /// The rule that decides about a path.
    pub(super) fn deciding(&self, path: &[u8], directory: bool) -> Option<&CompiledRule> {
        let path: Vec<&[u8]> = components(path).collect();
        self.rules.iter().find(|rule| rule.matches(&path, directory))
    }
}

/// As a console shows a rule: `/srv/data inc, rec` (RST-02).
pub fn describe(rule: &Rule) -> String {
    format!(
        "{} {}, {}",
        rule.path,
        if rule.include { "inc" } else { "exc" },
        if rule.recursive { "rec" } else { "nonrec" }
    )
}
