//! Requests about replication sets. What a set may hold is decided by `repset`, what is kept by the store; here stands
//! what needs the engine: connections in use, calculation, and what belongs.

use crate::api::{
    ApiError, Belongs, Code, ConnectionId, Reply, RepsetDetail, RepsetLine, Request, Saved, Watch,
};
use crate::engine::Engine;
use crate::engine::connect::mapping::absolute;
use crate::engine::job::{JobPlan, Mapping, Sink};
use crate::engine::kept::Set;
use crate::engine::repset::RuleSet;
use std::sync::Arc;

impl Engine {
    pub(in crate::engine) fn sets(&self, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        match request {
            Request::RepsetCreate { repset } => {
                super::super::lock(&self.kept.sets)
                    .insert(repset.to_lowercase(), Set { name: repset, ..Set::default() });
                Ok(Reply::Done)
            }
            Request::RuleAdd { repset, rule } => {
                if let Some(set) = super::super::lock(&self.kept.sets).get_mut(&repset.to_lowercase()) {
                    set.rules.push(rule);
                }
                Ok(Reply::Done)
            }
            Request::RepsetSave { .. } => {
                let mut saved = Saved { saved: vec![], connected: vec![], warnings: vec![] };
                for set in super::super::lock(&self.kept.sets).values_mut() {
                    if set.saved.as_ref() != Some(&set.rules) {
                        set.saved = Some(set.rules.clone());
                        saved.saved.push(set.name.clone());
                    }
                }
                saved.connected =
                    saved.saved.iter().filter(|n| !self.connected(n).is_empty()).cloned().collect();
                Ok(Reply::Saved(saved))
            }
            Request::RepsetList => Ok(Reply::Repsets(
                super::super::lock(&self.kept.sets)
                    .values()
                    .map(|set| RepsetLine {
                        name: set.name.clone(),
                        connected: !self.connected(&set.name).is_empty(),
                        saved: set.saved.is_some(),
                    })
                    .collect(),
            )),
            Request::RepsetDelete { repset } => {
                if !self.connected(&repset).is_empty() {
                    return Err(ApiError::bare(Code::JobIsInUse));
                }
                Ok(Reply::Done)
            }
            Request::RepsetDisplay { repset } => {
                let set = self.kept.set(&repset)?;
                Ok(Reply::Repset(Box::new(RepsetDetail {
                    connections: self.connected(&set.name),
                    name: set.name,
                    discarded: vec![None; set.rules.len()],
                    rules: set.rules,
                    generation: 0,
                    saved: set.saved.is_some(),
                    size: set.size,
                })))
            }
            Request::RepsetCalculate { repset } => {
                let set = self.kept.set(&repset)?;
                let size =
                    self.calculate(&self.counting_plan(&set.name, Arc::new(RuleSet::new(set.rules))), watch)?;
                self.size_keeper()(&set.name, &size);
                Ok(Reply::Size(size))
            }
            Request::RepsetTest { path, repset } => {
                let set = self.kept.set(&repset)?;
                self.test(&path, &RuleSet::new(set.rules))
            }
            _ => Err(ApiError::bare(Code::OperationOrCommandIsNotSupported)),
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
            forbidden: self.forbidden(),
            sink: Sink::Null,
            source_name: self.source.clone(),
            target_name: String::new(),
            target_address: String::new(),
        }
    }

    /// `REPSET TEST`.
    fn test(&self, path: &str, rules: &RuleSet) -> Result<Reply, ApiError> {
        let path = absolute(path, "REPSET TEST")?;
        let directory = std::fs::symlink_metadata(&path).is_ok_and(|stat| stat.is_dir());
        let (belongs, rule) = rules.explain(&path, directory);
        let reason = self.left_out(&path);
        Ok(Reply::Belongs(Belongs { belongs: belongs && reason.is_none(), rule: rule.cloned(), reason }))
    }

    /// The connections of a set.
    fn connected(&self, repset: &str) -> Vec<ConnectionId> {
        let connections = self.connections();
        let of_set =
            connections.iter().filter(|connection| connection.info.repset.eq_ignore_ascii_case(repset));
        of_set.map(|connection| connection.info.id).collect()
    }
}
