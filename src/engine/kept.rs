//! What the engine keeps: settings, log and replication sets, as its other files ask for them.
//!
//! Names of sets compare without case and are kept as they were first typed (language.md 2.1): every name from a request
//! goes through [`Engine::spelled`] before the store is asked.

use super::Engine;
use super::connection::{Connection, Counted};
use super::home::{Home, make_private};
use super::log::{EngineLog, event};
use super::repset::RuleSet;
use super::settings::{MirrorSettings, Problem, Settings};
use super::store::Store;
use super::transmission::targets::Targets;
use crate::api::ApiError;
use std::path::PathBuf;
use std::sync::Arc;

/// Settings, log and sets.
pub(super) struct Kept {
    pub settings: Arc<Settings>,
    pub log: EngineLog,
    pub store: Arc<Store>,
    /// How targets are sent to.
    pub targets: Targets,
}

impl Kept {
    pub(super) fn open(home: &Home) -> Result<Kept, ApiError> {
        let (settings, problems) = Settings::load(home)?;
        let log = EngineLog::open(&settings.log())?;
        if let Some(socket) = home.system_log() {
            log.send_to(socket);
        }
        let _entered = log.enter();
        tell_problems(problems);
        make_private(&settings.data_path())?;
        let store = Arc::new(Store::open(&settings.repset_database())?);
        let settings = Arc::new(settings);
        let asked = Arc::clone(&settings);
        let targets = Targets::open(settings.schedule_file(), Arc::new(move || asked.compression()))?;
        Ok(Kept { settings, log, store, targets })
    }
}

/// What of `DT.conf` could not be taken.
pub(super) fn tell_problems(problems: Vec<Problem>) {
    for Problem { text, is_port } in problems {
        if is_port {
            event!(PortSetting, "{text}");
        } else {
            tracing::warn!("{text}");
        }
    }
}

impl Engine {
    /// The set's name as it is kept; the given one if there is none like it.
    pub(super) fn spelled(&self, name: &str) -> Result<String, ApiError> {
        let store = &self.kept.store;
        if store.exists(name)? { store.spelled(name) } else { Ok(name.to_owned()) }
    }

    /// The rules that a new connection takes. -123 if there is no such set, -144 if it has unsaved changes.
    pub(super) fn saved_rules(&self, name: &str) -> Result<Arc<RuleSet>, ApiError> {
        Ok(self.kept.store.saved_rule_set(&self.spelled(name)?)?.0)
    }

    pub(super) fn mirror_settings(&self) -> MirrorSettings {
        MirrorSettings {
            power: Some(Arc::clone(&self.tasks.power)),
            target_orphans: Some(Arc::clone(&self.orphans)),
            ..self.kept.settings.mirror()
        }
    }

    pub(super) fn log_dir(&self) -> PathBuf {
        self.kept.settings.log().directory
    }

    /// Device and inode of each directory that never belongs to a set.
    pub(super) fn forbidden(&self) -> Vec<(u64, u64)> {
        let settings = &self.kept.settings;
        let (log, data, queue) = (self.log_dir(), settings.data_path(), settings.queue_directory());
        self.home.forbidden([log.as_path(), data.as_path(), queue.as_path()])
    }

    /// Where the engine keeps its own files: no place for a replica, though the data root may lie beside them.
    pub(super) fn own_directories(&self) -> Vec<PathBuf> {
        let home = &self.home;
        let etc = home.settings_file().parent();
        let places =
            [home.state_dir(), home.queue_dir(), home.log_dir(), home.run_dir()].into_iter().chain(etc);
        let settings = &self.kept.settings;
        let own = [self.log_dir(), settings.data_path(), settings.queue_directory()];
        places.chain(home.original_dirs()).map(PathBuf::from).chain(own).collect()
    }

    /// Keeps what a calculation found (RST-14). That it could not be kept is no reason to stop a mirror.
    pub(super) fn size_keeper(&self) -> Counted {
        let store = Arc::clone(&self.kept.store);
        Arc::new(move |name, size| {
            if let Err(error) = store.set_size(name, size) {
                tracing::warn!("The size of the replication set {name} could not be kept: {error}");
            }
        })
    }

    pub(super) fn set_count(&self) -> Result<usize, ApiError> {
        Ok(self.kept.store.list(|_| false)?.len())
    }

    /// The sets that no connection uses, with their rules as they stand.
    pub(super) fn sets_not_connected(
        &self,
        connections: &[Connection],
    ) -> Result<Vec<(String, Arc<RuleSet>)>, ApiError> {
        let mut sets = Vec::new();
        for line in self.kept.store.list(|name| connections.iter().any(|c| c.info.repset == name))? {
            if !line.connected {
                let rules = self.kept.store.rule_set(&line.name)?;
                sets.push((line.name, rules));
            }
        }
        Ok(sets)
    }
}
