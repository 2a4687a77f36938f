//! Replication sets: rules and what they decide. The store of sets is `engine::store`.
//!
//! # Which entries a rule names (RST-02, RST-04)
//!
//! * A path without wildcard in its last component names that file or directory. Recursive: and all below it. Not
//!   recursive: and the files directly in it, but none of its subdirectories. ("File" is all that is no directory.)
//! * A path whose last component is a wildcard speaks about names in the directory before it, not about that directory.
//!   Recursive: names at any depth below it; a directory that matches is named with all below it. Not recursive: files
//!   directly in it.
//! * Wildcards in other components stand for one component each and for any depth never.
//!
//! # Which rule decides (RST-10)
//!
//! Of the rules that name an entry the most specific one decides: that with more components; then with more written
//! out before its first wildcard; then with more written-out characters; then the non-recursive one; then the exclude.
//! An entry that no rule names does not belong. So the order is fixed by the rules alone.
//!
//! A non-recursive rule is without effect, and said to be, when the next more general rule that covers its path is
//! recursive and of the same type; likewise a rule that stands twice.

mod compiled;
mod glob;
mod path;
mod pseudo;
mod walk;

pub use compiled::describe;
pub use path::{NAME_ILLEGAL, NAME_LIMIT, RULE_PATH_LIMIT, check_name, normalise_rule_path};
pub use pseudo::{is_pseudo, pseudo_magic};
pub use walk::{DirDecision, DirRules};

use crate::api::Rule;
use compiled::{Compiled, components};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The rules of a saved set, ready to decide (RST-02, RST-10).
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    discarded: Vec<Option<String>>,
    compiled: Arc<Compiled>,
    /// The decision about `/`.
    top: DirDecision,
}

impl RuleSet {
    /// Takes rules whose paths are in normal form (`normalise_rule_path`).
    pub fn new(rules: Vec<Rule>) -> Self {
        let (compiled, discarded) = Compiled::new(&rules);
        let compiled = Arc::new(compiled);
        Self { rules, discarded, top: DirRules::top(compiled.clone()), compiled }
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// For each rule why it is without effect, if so (RST-10).
    pub fn discarded(&self) -> &[Option<String>] {
        &self.discarded
    }

    /// The absolute paths where a scan starts: sorted, none inside another. Each is a directory or a single file, and
    /// may be missing (RST-03).
    pub fn roots(&self) -> Vec<PathBuf> {
        let includes = self.compiled.rules.iter().filter(|rule| rule.include);
        // Sorted by components, a path comes right before all that is below it.
        let bases: BTreeSet<Vec<&[u8]>> = includes.map(|rule| rule.literal_base().collect()).collect();
        let mut roots: Vec<&Vec<&[u8]>> = Vec::new();
        for base in &bases {
            if !roots.last().is_some_and(|root| base.starts_with(root)) {
                roots.push(base);
            }
        }
        roots.into_iter().map(|root| absolute(root)).collect()
    }

    /// The decision about a root itself, as if it were a subdirectory entry (for a root that is a directory).
    pub fn enter(&self, root: &Path) -> DirDecision {
        let mut decision = self.top.clone();
        for name in components(root.as_os_str().as_bytes()) {
            match decision {
                DirDecision::Skip => break,
                DirDecision::Enter { rules, .. } => decision = rules.dir(name),
            }
        }
        decision
    }

    /// The same for a root that is not a directory: does it belong?
    pub fn includes_file(&self, root: &Path) -> bool {
        self.explain(root, false).0
    }

    /// Does this absolute path belong, and which rule decided? None: no rule names it.
    pub fn explain(&self, path: &Path, directory: bool) -> (bool, Option<&Rule>) {
        match self.compiled.deciding(path.as_os_str().as_bytes(), directory) {
            Some(rule) => (rule.include, self.rules.get(rule.origin)),
            None => (false, None),
        }
    }
}

/// Does a text match a pattern with `*` and `?`?
pub fn matches_wildcard(pattern: &str, text: &str) -> bool {
    glob::Glob::new(pattern.as_bytes()).matches(text.as_bytes())
}

fn absolute(components: &[&[u8]]) -> PathBuf {
    let mut path = PathBuf::from("/");
    path.extend(components.iter().map(|name| OsStr::from_bytes(name)));
    path
}

#[cfg(test)]
mod tests;
