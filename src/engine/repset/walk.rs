//! Deciding while a tree is walked: what is known in a directory, so that a name costs one look at most.
//!
//! A node holds only the rules that can still change something below its directory: those more specific than the
//! recursive rule that covers all of it. Directories about which no rule says anything new share their parent's node,
//! so a deep tree costs no memory here.

use super::compiled::{Compiled, Component};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// A place in `Compiled::rules`; the smaller one decides.
type Rank = u32;

/// What is decided about the entries of one directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DirRules(Arc<Node>);

/// What happens with a subdirectory.
#[derive(Clone, Debug)]
pub enum DirDecision {
    /// Neither it nor anything below it belongs.
    Skip,
    /// `included`: the directory itself belongs (its metadata is mirrored, it is made even when empty). Otherwise it
    /// is only on the way to something that may belong, and is made on the target when something below it is sent.
    Enter { included: bool, rules: DirRules },
}

#[derive(Debug)]
struct Node {
    rules: Arc<Compiled>,
    state: State,
    everything: bool,
    /// The node of a subdirectory that no rule names; None in it: it is this one.
    rest: OnceLock<Option<DirRules>>,
}

/// The rules that are alive in a directory.
#[derive(Clone, Debug, Default)]
struct State {
    /// The best recursive rule that covers everything below.
    covered: Option<Rank>,
    /// The best rule for files directly here that are not named otherwise: `covered` or a non-recursive rule.
    files: Option<Rank>,
    /// Recursive rules about names at any depth below, by rank.
    anywhere: Vec<Rank>,
    /// Non-recursive rules about names directly here, by rank.
    here: Vec<Rank>,
    /// Rules whose next component is written out: the rule, and whether it ends there.
    literal: HashMap<Box<[u8]>, Vec<Step>>,
    /// Rules whose next component is a wildcard and not the last.
    wild: Vec<Step>,
}

/// A rule whose components before `next` match the directory's path.
#[derive(Clone, Copy, Debug)]
struct Step {
    rank: Rank,
    next: usize,
}

fn better(best: &mut Option<Rank>, rank: Rank) {
    *best = Some(best.map_or(rank, |b| b.min(rank)));
}

impl State {
    /// Notes that a rule's components before `next` match this directory.
    fn arrive(&mut self, rules: &Compiled, step: Step) {
        let rule = &rules.rules[step.rank as usize];
        let Some(component) = rule.components.get(step.next) else {
            // The rule names this very directory.
            better(if rule.recursive { &mut self.covered } else { &mut self.files }, step.rank);
            return;
        };
        match component {
            Component::Literal(text) => self.literal.entry(text.clone()).or_default().push(step),
            Component::Wild(_) if step.next + 1 < rule.components.len() => self.wild.push(step),
            Component::Wild(_) if rule.recursive => self.anywhere.push(step.rank),
            Component::Wild(_) => self.here.push(step.rank),
        }
    }

    /// Drops what can no longer decide anything, and sorts.
    fn settle(mut self) -> Self {
        if let Some(covered) = self.covered {
            better(&mut self.files, covered);
            self.anywhere.retain(|&r| r < covered);
            self.wild.retain(|s| s.rank < covered);
            self.literal.retain(|_, steps| {
                steps.retain(|s| s.rank < covered);
                !steps.is_empty()
            });
        }
        if let Some(files) = self.files {
            self.here.retain(|&r| r < files);
        }
        self.anywhere.sort_unstable();
        self.here.sort_unstable();
        self
    }

    /// Every rule that may still decide about something below.
    fn alive(&self) -> impl Iterator<Item = Rank> {
        let steps = self.literal.values().flatten().chain(&self.wild).map(|s| s.rank);
        let names = self.anywhere.iter().chain(&self.here).copied();
        self.covered.into_iter().chain(self.files).chain(names).chain(steps)
    }

    /// True if a subdirectory that no rule names is like this one.
    fn repeats(&self) -> bool {
        self.files == self.covered && self.here.is_empty() && self.literal.is_empty() && self.wild.is_empty()
    }
}

impl DirRules {
    /// The state of `/`.
    pub(super) fn top(rules: Arc<Compiled>) -> DirDecision {
        let mut state = State::default();
        for rank in 0..rules.rules.len() {
            // Far fewer rules than 2^32 fit into memory.
            state.arrive(&rules, Step { rank: rank as Rank, next: 0 });
        }
        let own = [state.covered, state.files].into_iter().flatten().min();
        Self::decide(rules, own, state.settle())
    }

    fn decide(rules: Arc<Compiled>, own: Option<Rank>, state: State) -> DirDecision {
        let include = |rank: Rank| rules.rules[rank as usize].include;
        let included = own.is_some_and(include);
        if !included && !state.alive().any(include) {
            return DirDecision::Skip;
        }
        let everything = state.covered.is_some() && state.alive().all(include);
        let node = Node { rules, state, everything, rest: OnceLock::new() };
        DirDecision::Enter { included, rules: DirRules(Arc::new(node)) }
    }

    fn include(&self, rank: Rank) -> bool {
        self.0.rules.rules[rank as usize].include
    }

    /// The best of `best` and the sorted rules about names.
    fn named(&self, ranks: &[Rank], name: &[u8], mut best: Option<Rank>) -> Option<Rank> {
        for &rank in ranks {
            if best.is_some_and(|b| b <= rank) {
                break;
            }
            if self.0.rules.rules[rank as usize].components.last().is_some_and(|c| c.matches(name)) {
                best = Some(rank);
                break;
            }
        }
        best
    }

    /// Does an entry of this name that is not a directory belong? Names are any bytes without `/` and NUL.
    pub fn file(&self, name: &[u8]) -> bool {
        self.0.everything || self.deciding(name).is_some_and(|rank| self.include(rank))
    }

    /// Is a file of this name that only the target has an orphan (ORP-11)? One that belongs is, and one that a rule excludes is not. One
    /// that no rule names is where an included wildcard speaks about names: only what matches that belongs there.
    pub fn is_orphan(&self, name: &[u8]) -> bool {
        if self.0.everything {
            return true;
        }
        match self.deciding(name) {
            Some(rank) => self.include(rank),
            None => self.0.state.anywhere.iter().chain(&self.0.state.here).any(|rank| self.include(*rank)),
        }
    }

    /// The same of a directory, which [`DirRules::dir`] gave these rules: is it one, once nothing is left in it? One that only leads to what
    /// may belong is none.
    pub fn is_orphan_dir(&self, included: bool, below: &DirRules) -> bool {
        let by_wildcard = || {
            below.0.state.covered.is_none() && self.0.state.anywhere.iter().any(|rank| self.include(*rank))
        };
        included || by_wildcard()
    }

    /// The rule that decides about a file of this name.
    fn deciding(&self, name: &[u8]) -> Option<Rank> {
        let node = &*self.0;
        let mut best = self.named(&node.state.anywhere, name, node.state.files);
        best = self.named(&node.state.here, name, best);
        if !node.state.literal.is_empty()
            && let Some(steps) = node.state.literal.get(name)
        {
            for step in steps.iter().filter(|s| self.ends(s)) {
                better(&mut best, step.rank);
            }
        }
        best
    }

    fn ends(&self, step: &Step) -> bool {
        step.next + 1 == self.0.rules.rules[step.rank as usize].components.len()
    }

    /// What of a subdirectory of this name?
    pub fn dir(&self, name: &[u8]) -> DirDecision {
        let node = &*self.0;
        if node.everything {
            return DirDecision::Enter { included: true, rules: self.clone() };
        }
        let pattern = self.named(&node.state.anywhere, name, node.state.covered);
        let literal = node.state.literal.get(name).map_or(&[][..], Vec::as_slice);
        let wild = |step: &&Step| {
            self.0.rules.rules[step.rank as usize].components.get(step.next).is_some_and(|c| c.matches(name))
        };
        if pattern == node.state.covered && literal.is_empty() && !node.state.wild.iter().any(|s| wild(&s)) {
            return self.unnamed();
        }
        let mut state = State { covered: pattern, anywhere: node.state.anywhere.clone(), ..State::default() };
        for step in literal.iter().chain(node.state.wild.iter().filter(wild)) {
            state.arrive(&node.rules, Step { rank: step.rank, next: step.next + 1 });
        }
        let own = [state.covered, state.files].into_iter().flatten().min();
        Self::decide(node.rules.clone(), own, state.settle())
    }

    /// A subdirectory about which no rule says anything new.
    fn unnamed(&self) -> DirDecision {
        let node = &*self.0;
        let included = node.state.covered.is_some_and(|rank| self.include(rank));
        if node.state.repeats() {
            return DirDecision::Enter { included, rules: self.clone() };
        }
        let rest = node.rest.get_or_init(|| {
            let state = State {
                covered: node.state.covered,
                anywhere: node.state.anywhere.clone(),
                ..State::default()
            };
            match Self::decide(node.rules.clone(), node.state.covered, state.settle()) {
                DirDecision::Skip => None,
                DirDecision::Enter { rules, .. } => Some(rules),
            }
        });
        match rest {
            None => DirDecision::Skip,
            Some(rules) => DirDecision::Enter { included, rules: rules.clone() },
        }
    }

    /// True when everything below belongs, so that no name need be asked about.
    pub fn everything(&self) -> bool {
        self.0.everything
    }
}
