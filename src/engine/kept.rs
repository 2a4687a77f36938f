//! What the engine keeps: settings and replication sets, as its other files ask for them.

use super::Engine;
use super::connection::{Connection, Counted};
use super::home::Home;
use super::repset::RuleSet;
use super::settings::{MirrorSettings, Settings};
use crate::api::{ApiError, Code, Rule, SetSize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

#[derive(Default, Clone)]
pub(super) struct Set {
    pub name: String,
    pub rules: Vec<Rule>,
    pub saved: Option<Vec<Rule>>,
    pub generation: u64,
    pub size: Option<SetSize>,
}

/// Settings and sets.
pub(super) struct Kept {
    pub settings: Settings,
    pub sets: Arc<Mutex<BTreeMap<String, Set>>>,
}

impl Kept {
    pub(super) fn open(home: &Home) -> Result<Kept, ApiError> {
        let (settings, problems) = Settings::load(home)?;
        for problem in problems {
            tracing::warn!("{problem}");
        }
        Ok(Kept { settings, sets: Arc::default() })
    }

    pub(super) fn close(&self) {}

    pub(super) fn unknown(&self, name: &str) -> ApiError {
        let sets = super::lock(&self.sets);
        let error = ApiError::new(Code::JobDoesNotExist, format!("there is no replication set {name}"));
        match crate::nearest::nearest(name, sets.values().map(|set| set.name.as_str())) {
            Some(near) => error.help(format!("did you mean {near}?")),
            None => error.help("REPSET LIST lists the sets"),
        }
    }

    pub(super) fn set(&self, name: &str) -> Result<Set, ApiError> {
        let set = super::lock(&self.sets).get(&name.to_lowercase()).cloned();
        set.ok_or_else(|| self.unknown(name))
    }
}

impl Engine {
    pub(super) fn saved_rules(&self, name: &str) -> Result<Arc<RuleSet>, ApiError> {
        let set = self.kept.set(name)?;
        match set.saved {
            Some(rules) => Ok(Arc::new(RuleSet::new(rules))),
            None => {
                Err(ApiError::new(Code::JobNotSaved, format!("the set {name} is not saved"))
                    .help("REPSET SAVE"))
            }
        }
    }
    pub(super) fn spelled(&self, name: &str) -> Result<String, ApiError> {
        Ok(self.kept.set(name)?.name)
    }
    pub(super) fn mirror_settings(&self) -> MirrorSettings {
        self.kept.settings.mirror()
    }
    pub(super) fn log_dir(&self) -> PathBuf {
        self.kept.settings.log().directory
    }
    pub(super) fn forbidden(&self) -> Vec<(u64, u64)> {
        let (log, data) = (self.log_dir(), self.kept.settings.data_path());
        self.home.forbidden([log.as_path(), data.as_path()])
    }
    pub(super) fn own_directories(&self) -> Vec<PathBuf> {
        let home = &self.home;
        let etc = home.settings_file().parent().map(PathBuf::from);
        let own = [home.state_dir(), home.queue_dir(), home.log_dir(), home.run_dir()];
        own.into_iter()
            .map(PathBuf::from)
            .chain(etc)
            .chain([self.log_dir(), self.kept.settings.data_path()])
            .collect()
    }
    pub(super) fn size_keeper(&self) -> Counted {
        let sets = Arc::clone(&self.kept.sets);
        Arc::new(move |name, size| {
            if let Some(set) = super::lock(&sets).get_mut(&name.to_lowercase()) {
                set.size = Some(size.clone());
            }
        })
    }
    pub(super) fn set_count(&self) -> usize {
        super::lock(&self.kept.sets).len()
    }
    pub(super) fn sets_not_connected(
        &self,
        connections: &[Connection],
    ) -> Result<Vec<(String, Arc<RuleSet>)>, ApiError> {
        let sets = super::lock(&self.kept.sets).clone();
        Ok(sets
            .into_values()
            .filter(|set| !connections.iter().any(|c| c.info.repset.eq_ignore_ascii_case(&set.name)))
            .filter_map(|set| Some((set.name.clone(), Arc::new(RuleSet::new(set.saved?)))))
            .collect())
    }
}
