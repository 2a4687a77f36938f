//! Requests about replication sets. What a set may hold is decided by `repset`, what is kept by `store`; here stands
//! what needs the engine: which sets are connected, calculation, and the engine's own directories.

use crate::api::{ApiError, ConnectionId, Reply, Request, Watch};
use crate::engine::Engine;
use crate::engine::job::{JobPlan, Mapping, Sink};
use crate::engine::repset::RuleSet;
use std::sync::Arc;

impl Engine {
    /// `REPSET ...`
    pub(in crate::engine) fn sets(&self, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        let store = &self.kept.store;
        let connected = |name: &str| !self.connected(name).is_empty();
        match request {
            Request::RepsetCreate { repset } => store.create(&self.spelled(&repset)?).map(|()| Reply::Done),
            Request::RuleAdd { repset, rule } => {
                store.add_rule(&self.spelled(&repset)?, &rule).map(|()| Reply::Done)
            }
            Request::RuleRemove { repset, path } => {
                store.remove_rule(&self.spelled(&repset)?, &path).map(|()| Reply::Done)
            }
            Request::RuleList { repset } => store.rules(&self.spelled(&repset)?).map(Reply::Rules),
            Request::RepsetSave { repset } => {
                let repset = repset.map(|name| self.spelled(&name)).transpose()?;
                store.save(repset.as_deref(), connected).map(Reply::Saved)
            }
            Request::RepsetList => store.list(connected).map(Reply::Repsets),
            Request::RepsetDisplay { repset } => {
                let repset = self.spelled(&repset)?;
                let detail = store.display(&repset, self.connected(&repset))?;
                Ok(Reply::Repset(Box::new(detail)))
            }
            Request::RepsetCalculate { repset } => {
                let repset = self.spelled(&repset)?;
                let size = self.calculate(&self.counting_plan(&repset, store.rule_set(&repset)?), watch)?;
                store.set_size(&repset, &size)?;
                Ok(Reply::Size(size))
            }
            Request::RepsetRename { repset, name } => {
                let repset = self.spelled(&repset)?;
                // Only the case of a name may change without a second set of that name being in the way.
                let name =
                    if repset.to_lowercase() == name.to_lowercase() { name } else { self.spelled(&name)? };
                store.rename(&repset, &name, connected(&repset)).map(|()| Reply::Done)
            }
            Request::RepsetCopy { repset, name } => {
                store.copy(&self.spelled(&repset)?, &self.spelled(&name)?).map(|()| Reply::Done)
            }
            Request::RepsetDelete { repset } => {
                let repset = self.spelled(&repset)?;
                store.delete(&repset, connected(&repset)).map(|()| Reply::Done)
            }
            Request::RepsetResync { repset } => store.resync(&self.spelled(&repset)?).map(|()| Reply::Done),
            Request::RepsetExport { repset } => store.export(&self.spelled(&repset)?).map(Reply::Text),
            Request::RepsetImport { text, name } => {
                let name = name.map(|name| self.spelled(&name)).transpose()?;
                store.import(&text, name.as_deref()).map(Reply::Name)
            }
            Request::RepsetTest { path, repset } => {
                store.test(&path, &self.spelled(&repset)?, &self.forbidden()).map(Reply::Belongs)
            }
            _ => Err(ApiError::bare(crate::api::Code::OperationOrCommandIsNotSupported)),
        }
    }

    /// A plan that is only counted.
    fn counting_plan(&self, repset: &str, rules: Arc<RuleSet>) -> JobPlan {
        JobPlan {
            connection: ConnectionId(0),
            repset: repset.to_owned(),
            paths: rules
                .roots()
                .into_iter()
                .map(|root| Mapping { target: root.clone(), source: root })
                .collect(),
            rules,
            settings: self.mirror_settings(),
            verify_log: self.kept.settings.verify_log(),
            elsewhere: Vec::new(),
            forbidden: self.forbidden(),
            sink: Sink::Null,
            source_name: self.source.clone(),
            target_name: String::new(),
            target_address: String::new(),
            settled: Arc::default(),
            transmission: Arc::default(),
            traffic: Arc::default(),
        }
    }

    /// The connections of a set.
    fn connected(&self, repset: &str) -> Vec<ConnectionId> {
        let connections = self.connections();
        let of_set = connections.iter().filter(|connection| connection.info.repset == repset);
        of_set.map(|connection| connection.info.id).collect()
    }
}
