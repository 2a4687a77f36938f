//! Which variables are assigned on every path to a place, and which places no path leads to.
//!
//! One walk over the clauses: a block's end keeps what all its branches have assigned. What an assignment costs here
//! does not grow with the script.

use std::collections::{HashMap, HashSet};

/// A variable's number.
type Id = u32;

/// The state of one walk.
#[derive(Debug, Default)]
pub(super) struct Flow {
    ids: HashMap<String, Id>,
    /// Assigned on every path that leads here.
    sure: HashSet<Id>,
    /// The same in the order in which they became sure, so that a block's own can be taken back.
    order: Vec<Id>,
    /// Why no path leads here.
    dead: Option<&'static str>,
    /// It was told already.
    told: bool,
}

/// A block's share of a [`Flow`].
#[derive(Debug, Default)]
pub(super) struct Branches {
    /// How many were sure where the block begins.
    start: usize,
    /// No path led to the block.
    dead: Option<&'static str>,
    /// What the branches that reach the end have assigned, all of them; None: none reaches it.
    common: Option<Vec<Id>>,
    /// A loop that only BREAK leaves.
    endless: bool,
    /// A loop that turns at least once.
    taken: bool,
}

impl Flow {
    fn id(&mut self, name: &str) -> Id {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = Id::try_from(self.ids.len()).unwrap_or(Id::MAX);
        self.ids.insert(name.to_owned(), id);
        id
    }

    pub(super) fn assign(&mut self, name: &str) {
        let id = self.id(name);
        self.make_sure(id);
    }

    fn make_sure(&mut self, id: Id) {
        if self.sure.insert(id) {
            self.order.push(id);
        }
    }

    /// Whether every path that leads here has assigned it. Where no path leads, everything is.
    pub(super) fn is_sure(&self, name: &str) -> bool {
        self.dead.is_some() || self.ids.get(name).is_some_and(|id| self.sure.contains(id))
    }

    /// No path goes on behind this word.
    pub(super) fn leave(&mut self, word: &'static str) {
        if self.dead.is_none() {
            self.dead = Some(word);
            self.told = false;
        }
    }

    /// At a statement: the word behind which it is never reached, once for each such place.
    pub(super) fn unreachable(&mut self) -> Option<&'static str> {
        if self.told {
            return None;
        }
        self.told = self.dead.is_some();
        self.dead
    }

    pub(super) fn open(&mut self, endless: bool, taken: bool) -> Branches {
        Branches { start: self.order.len(), dead: self.dead, common: None, endless, taken }
    }

    /// What was made sure since the block began, taken back.
    fn take_back(&mut self, start: usize) -> Vec<Id> {
        let own = self.order.split_off(start.min(self.order.len()));
        for id in &own {
            self.sure.remove(id);
        }
        own
    }

    /// One branch ends, the next begins as the first did.
    pub(super) fn next_branch(&mut self, block: &mut Branches) {
        let own = self.take_back(block.start);
        if self.dead.is_none() {
            block.meet(own);
        }
        self.dead = block.dead;
    }

    /// BREAK out of the loop.
    pub(super) fn break_out(&mut self, block: &mut Branches) {
        if self.dead.is_none() {
            let own = self.order.get(block.start..).unwrap_or_default().to_vec();
            block.meet(own);
        }
    }

    /// CONTINUE, behind which a loop may end.
    pub(super) fn next_turn(&mut self, block: &mut Branches) {
        if block.taken {
            self.break_out(block);
        }
    }

    /// The end of an IF. `all`: one of its branches is always taken.
    pub(super) fn close_branches(&mut self, mut block: Branches, all: bool) {
        let why = self.dead;
        self.next_branch(&mut block);
        if !all {
            block.meet(Vec::new());
        }
        self.go_on(block, why);
    }

    /// The end of a loop.
    pub(super) fn close_loop(&mut self, mut block: Branches) {
        let own = self.take_back(block.start);
        let inside = self.dead;
        self.dead = block.dead;
        if block.taken {
            if inside.is_none() {
                block.meet(own);
            }
        } else if !block.endless {
            block.meet(Vec::new());
        }
        let why = if block.endless { Some("an endless loop") } else { inside };
        self.go_on(block, why);
    }

    /// The end of a block that runs at some later time, or never.
    pub(super) fn close_aside(&mut self, block: &Branches) {
        self.take_back(block.start);
        self.dead = block.dead;
    }

    fn go_on(&mut self, block: Branches, why: Option<&'static str>) {
        match block.common {
            Some(common) => common.into_iter().for_each(|id| self.make_sure(id)),
            None => self.leave(why.unwrap_or("this")),
        }
    }
}

impl Branches {
    fn meet(&mut self, own: Vec<Id>) {
        self.common = Some(match self.common.take() {
            None => own,
            Some(common) if common.is_empty() => common,
            Some(common) => {
                let own: HashSet<Id> = own.into_iter().collect();
                common.into_iter().filter(|id| own.contains(id)).collect()
            }
        });
    }
}
