//! The store of replication sets: saved ones in the database, unsaved changes in memory (RST-08).
//!
//! A set with unsaved changes is a *draft*: a copy of the rules with the generation it was taken from. It is shown and
//! changed instead of the saved set, and is in force only once it is saved. Saving is refused when the saved set has
//! moved on meanwhile (RST-09). Drafts end with the engine.
//!
//! Names compare without case and are kept as they were typed (language.md 2.1): no two sets differ in case alone, and
//! every operation takes any spelling.

mod database;
mod error;
mod grants;
mod membership;
mod schedule;
mod sqlite;
mod surviving;
mod tasks;
mod text;

pub use error::StoreError;
pub use grants::{Grant, GrantedPlace};
pub(super) use membership::judge;
pub use schedule::Schedules;
pub use surviving::{Survivor, Survivors};
pub use tasks::Tasks;

use super::repset::{RuleSet, check_name, describe, normalise_rule_path};
use crate::api::{ApiError, Belongs, ConnectionId, RepsetDetail, RepsetLine, Rule, Saved, SetSize};
use crate::nearest::nearest;
use database::{Database, ToSave};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All sets of one engine. Shared; operations are atomic and wait for one another.
#[derive(Debug)]
pub struct Store {
    sets: Mutex<Sets>,
}

#[derive(Debug)]
struct Sets {
    database: Database,
    drafts: BTreeMap<String, Draft>,
}

/// A set as it stands with its unsaved changes, by name.
#[derive(Clone, Debug)]
struct Draft {
    /// The saved set that it was taken from; none for a set that was never saved.
    base: Option<Base>,
    rules: Vec<Rule>,
    size: Option<SetSize>,
}

/// A saved set as it was when a draft was begun.
#[derive(Clone, Debug)]
struct Base {
    id: i64,
    generation: u64,
    rules: Vec<Rule>,
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

impl Store {
    /// Opens or makes the database; its directory must exist. A damaged, foreign or newer file is left untouched.
    pub fn open(path: &Path) -> Result<Self, ApiError> {
        let database = Database::open(path)?;
        Ok(Self { sets: Mutex::new(Sets { database, drafts: BTreeMap::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name as it is kept, by any spelling; -123 if there is no such set.
    pub fn spelled(&self, name: &str) -> Result<String, ApiError> {
        Ok(self.lock().spelled(name)?)
    }

    /// REPSET CREATE: -101 for an illegal name (RST-06), -122 if there is one.
    pub fn create(&self, name: &str) -> Result<(), ApiError> {
        Ok(self.lock().insert(name, Vec::new())?)
    }

    /// REPSET RULE ADD: -140 for a bad path. A rule of the same path and type is replaced.
    pub fn add_rule(&self, repset: &str, rule: &Rule) -> Result<(), ApiError> {
        let path = normalise_rule_path(&rule.path)?;
        let rule = Rule { path, ..rule.clone() };
        Ok(self.lock().change(repset, |rules| {
            match rules.iter_mut().find(|old| old.path == rule.path && old.include == rule.include) {
                Some(old) => Ok(std::mem::replace(&mut old.recursive, rule.recursive) != rule.recursive),
                None => {
                    rules.push(rule);
                    Ok(true)
                }
            }
        })?)
    }

    /// REPSET RULE REMOVE: all rules of this path; -136 if there is none.
    pub fn remove_rule(&self, repset: &str, path: &str) -> Result<(), ApiError> {
        let path = normalise_rule_path(path).unwrap_or_else(|_| path.to_owned());
        Ok(self.lock().change(repset, |rules| {
            let before = rules.len();
            rules.retain(|rule| rule.path != path);
            if rules.len() < before {
                return Ok(true);
            }
            let nearest = nearest(&path, rules.iter().map(|rule| rule.path.as_str())).map(str::to_owned);
            Err(StoreError::NoSuchRule { name: repset.into(), path: path.clone(), nearest })
        })?)
    }

    /// The rules as they stand, with unsaved changes.
    pub fn rules(&self, repset: &str) -> Result<Vec<Rule>, ApiError> {
        Ok(self.lock().current(repset)?.1.rules)
    }

    /// The same, ready to decide: what REPSET CALCULATE counts.
    pub fn rule_set(&self, repset: &str) -> Result<Arc<RuleSet>, ApiError> {
        Ok(Arc::new(RuleSet::new(self.rules(repset)?)))
    }

    /// What a connection uses, and its generation: -144 when there are unsaved changes.
    pub fn saved_rule_set(&self, repset: &str) -> Result<(Arc<RuleSet>, u64), ApiError> {
        let sets = self.lock();
        let (repset, set) = sets.current(repset)?;
        if sets.drafts.contains_key(&repset) {
            return Err(StoreError::Unsaved { name: repset, new: set.base.is_none() }.into());
        }
        let generation = set.generation();
        Ok((Arc::new(RuleSet::new(set.rules)), generation))
    }

    /// The saved rules, whatever unsaved changes there are: what a connection goes on with.
    pub fn rules_in_force(&self, repset: &str) -> Result<Arc<RuleSet>, ApiError> {
        let sets = self.lock();
        let repset = sets.spelled(repset)?;
        match sets.database.load(&repset)? {
            Some(set) => Ok(Arc::new(RuleSet::new(set.rules))),
            None => Err(StoreError::Unsaved { name: repset, new: true }.into()),
        }
    }

    /// REPSET SAVE: one set, or all of them or none. -129 naming both generations when somebody else saved meanwhile.
    /// What is saved already is no error.
    pub fn save(&self, repset: Option<&str>, connected: impl Fn(&str) -> bool) -> Result<Saved, ApiError> {
        let mut sets = self.lock();
        let names: Vec<String> = match repset {
            None => sets.drafts.keys().cloned().collect(),
            Some(name) => {
                let name = sets.spelled(name)?;
                sets.drafts.contains_key(&name).then_some(name).into_iter().collect()
            }
        };
        let Sets { database, drafts } = &mut *sets;
        let mut warnings = Vec::new();
        let mut to_save = Vec::new();
        for (name, draft) in drafts.iter().filter(|(name, _)| names.contains(name)) {
            warnings.extend(warnings_of(name, &draft.rules));
            to_save.push(ToSave {
                name,
                base: draft.base.as_ref().map(|base| (base.id, base.generation)),
                rules: &draft.rules,
                size: draft.size.as_ref(),
            });
        }
        database.save(&to_save)?;
        drafts.retain(|name, _| !names.contains(name));
        drop(sets);
        let connected = names.iter().filter(|name| connected(name)).cloned().collect();
        Ok(Saved { saved: names, connected, warnings })
    }

    /// REPSET LIST, by name.
    pub fn list(&self, connected: impl Fn(&str) -> bool) -> Result<Vec<RepsetLine>, ApiError> {
        let sets = self.lock();
        let lines: Vec<(String, bool)> =
            sets.names()?.into_iter().map(|name| (name.clone(), !sets.drafts.contains_key(&name))).collect();
        // The caller's answer may wait for something that waits for the store.
        drop(sets);
        let line = |(name, saved): (String, bool)| RepsetLine { connected: connected(&name), name, saved };
        Ok(lines.into_iter().map(line).collect())
    }

    /// Is there a set of this name, saved or not?
    pub fn exists(&self, repset: &str) -> Result<bool, ApiError> {
        Ok(self.lock().kept(repset)?.is_some())
    }

    /// Sets with changes that would be lost if the engine ended now.
    pub fn unsaved(&self) -> Vec<String> {
        self.lock().drafts.keys().cloned().collect()
    }

    /// REPSET DISPLAY.
    pub fn display(&self, repset: &str, connections: Vec<ConnectionId>) -> Result<RepsetDetail, ApiError> {
        let sets = self.lock();
        let (name, set) = sets.current(repset)?;
        let generation = set.generation();
        Ok(RepsetDetail {
            saved: !sets.drafts.contains_key(&name),
            name,
            discarded: RuleSet::new(set.rules.clone()).discarded().to_vec(),
            rules: set.rules,
            generation,
            size: set.size,
            connections,
        })
    }

    /// REPSET RENAME, at once: -130 when connected, -122 when the new name is taken.
    pub fn rename(&self, repset: &str, name: &str, connected: bool) -> Result<(), ApiError> {
        let mut sets = self.lock();
        let (repset, set) = sets.current(repset)?;
        check_name(name)?;
        if connected {
            return Err(StoreError::Connected { name: repset }.into());
        }
        // The case of a set's own name may change.
        if let Some(name) = sets.kept(name)?.filter(|kept| *kept != repset || kept == name) {
            return Err(StoreError::SetExists { name }.into());
        }
        if let Some(base) = set.base {
            sets.database.rename(base.id, name)?;
        }
        if let Some(draft) = sets.drafts.remove(&repset) {
            sets.drafts.insert(name.to_owned(), draft);
        }
        Ok(())
    }

    /// REPSET COPY: the rules as they stand; the copy is not saved.
    pub fn copy(&self, repset: &str, name: &str) -> Result<(), ApiError> {
        let mut sets = self.lock();
        let rules = sets.current(repset)?.1.rules;
        Ok(sets.insert(name, rules)?)
    }

    /// REPSET DELETE, at once: -130 when connected.
    pub fn delete(&self, repset: &str, connected: bool) -> Result<(), ApiError> {
        let mut sets = self.lock();
        let (repset, set) = sets.current(repset)?;
        if connected {
            return Err(StoreError::Connected { name: repset }.into());
        }
        if let Some(base) = set.base {
            sets.database.delete(base.id)?;
        }
        sets.drafts.remove(&repset);
        Ok(())
    }

    /// REPSET RESYNC: back to the saved rules; -144 for a set that was never saved.
    pub fn resync(&self, repset: &str) -> Result<(), ApiError> {
        let mut sets = self.lock();
        let (repset, set) = sets.current(repset)?;
        if set.base.is_none() {
            return Err(StoreError::NeverSaved { name: repset }.into());
        }
        sets.drafts.remove(&repset);
        Ok(())
    }

    /// REPSET EXPORT: the rules as they stand, as text.
    pub fn export(&self, repset: &str) -> Result<String, ApiError> {
        let (repset, set) = self.lock().current(repset)?;
        Ok(text::write(&repset, &set.rules))
    }

    /// REPSET IMPORT: arrives unsaved (RST-15). The name that it got.
    pub fn import(&self, exported: &str, name: Option<&str>) -> Result<String, ApiError> {
        let (written, rules) = text::read(exported)?;
        let name = name.unwrap_or(&written);
        self.lock().insert(name, rules)?;
        Ok(name.to_owned())
    }

    /// REPSET TEST, by the rules as they stand. `forbidden` is `Home::forbidden`.
    pub fn test(&self, path: &str, repset: &str, forbidden: &[(u64, u64)]) -> Result<Belongs, ApiError> {
        membership::test(path, &*self.rule_set(repset)?, forbidden)
    }

    /// Notes the result of a calculation (RST-14).
    pub fn set_size(&self, repset: &str, size: &SetSize) -> Result<(), ApiError> {
        let mut sets = self.lock();
        let (repset, set) = sets.current(repset)?;
        match (sets.drafts.get_mut(&repset), set.base) {
            (Some(draft), _) => draft.size = Some(size.clone()),
            (None, Some(base)) => sets.database.set_size(base.id, size)?,
            (None, None) => {}
        }
        Ok(())
    }
}

impl Draft {
    fn generation(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.generation)
    }
}

impl Sets {
    /// Every name, saved or not.
    fn names(&self) -> Result<BTreeSet<String>> {
        Ok(self.database.names()?.into_iter().chain(self.drafts.keys().cloned()).collect())
    }

    /// The name that is kept and equals this one but for case.
    fn kept(&self, name: &str) -> Result<Option<String>> {
        let wanted = name.to_lowercase();
        Ok(self.names()?.into_iter().find(|kept| kept.to_lowercase() == wanted))
    }

    fn spelled(&self, name: &str) -> Result<String> {
        if let Some(kept) = self.kept(name)? {
            return Ok(kept);
        }
        let nearest = nearest(name, self.names()?.iter().map(String::as_str)).map(str::to_owned);
        Err(StoreError::NoSuchSet { name: name.into(), nearest })
    }

    /// The set as it stands, by the name that is kept: its draft, else what is saved.
    fn find(&self, name: &str) -> Result<Option<Draft>> {
        if let Some(draft) = self.drafts.get(name) {
            return Ok(Some(draft.clone()));
        }
        let saved = self.database.load(name)?;
        Ok(saved.map(|set| {
            let base = Base { id: set.id, generation: set.generation, rules: set.rules.clone() };
            Draft { base: Some(base), rules: set.rules, size: set.size }
        }))
    }

    /// The set by any spelling of its name, and the name as it is kept.
    fn current(&self, name: &str) -> Result<(String, Draft)> {
        let kept = self.spelled(name)?;
        match self.find(&kept)? {
            Some(set) => Ok((kept, set)),
            // Another program deleted it since its name was looked up.
            None => Err(StoreError::NoSuchSet { name: name.into(), nearest: None }),
        }
    }

    fn insert(&mut self, name: &str, rules: Vec<Rule>) -> Result<()> {
        check_name(name)?;
        if let Some(name) = self.kept(name)? {
            return Err(StoreError::SetExists { name });
        }
        self.drafts.insert(name.to_owned(), Draft { base: None, rules, size: None });
        Ok(())
    }

    /// Changes the rules in a draft; `change` says whether it did, and leaves them alone when it fails. A draft that is
    /// as its saved set again is none.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Vec<Rule>) -> Result<bool>) -> Result<()> {
        let (name, set) = match self.kept(name)?.filter(|kept| self.drafts.contains_key(kept)) {
            // Long lists are built rule by rule: the draft is not copied each time.
            Some(kept) => (kept, None),
            None => self.current(name).map(|(kept, set)| (kept, Some(set)))?,
        };
        if let Some(set) = set {
            self.drafts.insert(name.clone(), set);
        }
        let Some(draft) = self.drafts.get_mut(&name) else { return Ok(()) };
        let changed = change(&mut draft.rules);
        if matches!(changed, Ok(true)) {
            // The size was of other rules.
            draft.size = None;
        }
        if draft.base.as_ref().is_some_and(|base| base.rules == draft.rules) {
            self.drafts.remove(&name);
        }
        changed.map(drop)
    }
}

/// What a person should know who saves these rules.
fn warnings_of(name: &str, rules: &[Rule]) -> Vec<String> {
    let discarded = RuleSet::new(rules.to_vec()).discarded().to_vec();
    let mut warnings: Vec<String> = rules
        .iter()
        .zip(discarded)
        .filter_map(|(rule, reason)| Some((rule, reason?)))
        .map(|(rule, reason)| {
            format!("replication set \"{name}\": the rule `{}` is without effect: {reason}", describe(rule))
        })
        .collect();
    if !rules.iter().any(|rule| rule.include) {
        warnings
            .push(format!("replication set \"{name}\": no rule includes anything, so nothing belongs to it"));
    }
    warnings
}

#[cfg(test)]
mod tests;
