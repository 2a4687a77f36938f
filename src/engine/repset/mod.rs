//! Replication sets: rules and what they decide. The store of sets is `engine::store`.

use crate::api::Rule;
use std::path::{Path, PathBuf};

/// The rules of a saved set, ready to decide (RST-02, RST-10).
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
}

/// What is decided about the entries of one directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DirRules {}

/// What happens with a subdirectory.
#[derive(Clone, Debug)]
pub enum DirDecision {
    /// Neither it nor anything below it belongs.
    Skip,
    /// `included`: the directory itself belongs (its metadata is mirrored, it is made even when empty). Otherwise it
    /// is only on the way to something that may belong, and is made on the target when something below it is sent.
    Enter { included: bool, rules: DirRules },
}

impl RuleSet {
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The absolute paths where a scan starts: sorted, none inside another. Each is a directory or a single file.
    pub fn roots(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// The decision about a root itself, as if it were a subdirectory entry (for a root that is a directory).
    pub fn enter(&self, _root: &Path) -> DirDecision {
        DirDecision::Skip
    }
}

impl DirRules {
    /// Does an entry of this name that is not a directory belong? Names are any bytes without `/` and NUL.
    pub fn file(&self, _name: &[u8]) -> bool {
        false
    }

    /// What of a subdirectory of this name?
    pub fn dir(&self, _name: &[u8]) -> DirDecision {
        DirDecision::Skip
    }

    /// True when everything below belongs, so that no name need be asked about.
    pub fn everything(&self) -> bool {
        false
    }
}
