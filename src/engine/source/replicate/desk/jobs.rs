//! What a mirror or verification leaves to replication, or asks of it.

use super::super::common::Common;
use super::super::model::{Identity, NodeId};
use std::collections::{HashMap, HashSet};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// Files that a mirror sends at the moment, and whether they were changed meanwhile.
    pub(super) busy: HashMap<(u64, u64), bool>,
    /// Files that were to be sent anew with all their names in this job.
    regrouped: HashSet<Identity>,
    pub(super) requests: Requests,
}

#[derive(Debug, Default)]
pub(in super::super) struct Requests {
    /// Directories (device, inode) to list.
    pub rescans: Vec<(u64, u64)>,
    /// Files whose content is to be compared.
    pub contents: Vec<(u64, u64)>,
    /// Files with several names of which a mirror and replication may both have sent some: to be sent whole, with all names.
    pub regroups: Vec<Identity>,
    /// Names under which a job sent a file whole that has others.
    pub links: Vec<(NodeId, Identity)>,
    /// What a mirror sent with metadata that may be older than what replication had sent.
    pub times: Vec<Identity>,
    /// What a barrier has waited for several times: an inode, and whether its content is owed or its metadata alone.
    pub owed: Vec<(Identity, bool)>,
}

impl Requests {
    pub(in super::super) fn is_empty(&self) -> bool {
        let empty = [self.rescans.is_empty(), self.contents.is_empty(), self.regroups.is_empty()];
        !empty.contains(&false) && self.links.is_empty() && self.times.is_empty() && self.owed.is_empty()
    }
}

impl Jobs {
    pub(super) fn is_busy(&self, id: &Identity) -> bool {
        self.busy.contains_key(&(id.dev, id.ino))
    }
}

impl Common {
    /// Asks for a file to be sent anew with all its names, once in a job.
    pub(in super::super) fn ask_regroup(&self, id: Identity) {
        self.ask(|desk| {
            if desk.jobs.regrouped.insert(id) {
                desk.jobs.requests.regroups.push(id);
            }
        });
    }

    /// The same, each time, and it is owed until then.
    pub(in super::super) fn ask_whole(&self, id: Identity) {
        self.ask(|desk| {
            desk.jobs.regrouped.insert(id);
            if !desk.jobs.requests.regroups.contains(&id) {
                desk.jobs.requests.regroups.push(id);
            }
            let passed = desk.barriers.passed;
            desk.owing.owe(id, passed);
        });
    }

    /// A job has sent a file whole under this name: asks for its other names to be linked to it.
    pub(in super::super) fn ask_links(&self, node: NodeId, id: Identity) {
        self.ask(|desk| desk.jobs.requests.links.push((node, id)));
    }

    /// Asks for metadata to be sent anew.
    pub(in super::super) fn ask_time(&self, id: Identity) {
        self.ask(|desk| {
            let times = &mut desk.jobs.requests.times;
            if times.last() != Some(&id) {
                times.push(id);
            }
        });
    }

    /// Asks for a directory to be listed again.
    pub(in super::super) fn ask_rescan(&self, id: (u64, u64)) {
        self.ask(|desk| {
            let rescans = &mut desk.jobs.requests.rescans;
            if !rescans.contains(&id) {
                rescans.push(id);
            }
        });
    }

    /// Asks for a file's content to be compared.
    pub(in super::super) fn ask_content(&self, id: (u64, u64)) {
        self.ask(|desk| desk.jobs.requests.contents.push(id));
    }

    pub(in super::super) fn take_requests(&self) -> Requests {
        std::mem::take(&mut self.desk().jobs.requests)
    }

    pub(in super::super) fn has_requests(&self) -> bool {
        !self.desk().jobs.requests.is_empty()
    }

    /// A job begins: what earlier ones asked for once may be asked for again.
    pub(in super::super) fn clear_requests(&self) {
        let mut desk = self.desk();
        desk.jobs.regrouped.clear();
        // Whether replication has sent something of them since is forgotten now.
        let links = std::mem::take(&mut desk.jobs.requests.links);
        desk.jobs.requests.regroups.extend(links.into_iter().map(|(_, id)| id));
        desk.sent.began = desk.sent.upto;
    }

    /// A mirror sends this file from now on; replication leaves it alone until [`Common::end_busy`].
    pub(in super::super) fn begin_busy(&self, id: (u64, u64)) {
        self.desk().jobs.busy.insert(id, false);
    }

    /// The mirror has sent it. What came meanwhile is looked at.
    pub(in super::super) fn end_busy(&self, id: (u64, u64)) {
        self.ask(|desk| {
            if desk.jobs.busy.remove(&id) == Some(true) {
                desk.jobs.requests.contents.push(id);
            }
            desk.barriers.unpark();
        });
    }

    /// Is something to be sent anew, or sent by a job at the moment?
    pub(in super::super) fn owes(&self) -> bool {
        let desk = self.desk();
        !desk.owing.is_paid() || !desk.jobs.busy.is_empty() || !desk.jobs.requests.is_empty()
    }

    /// The mirror has ended, wherever it was.
    pub(in super::super) fn end_all_busy(&self) {
        let busy: Vec<(u64, u64)> = self.desk().jobs.busy.keys().copied().collect();
        busy.into_iter().for_each(|id| self.end_busy(id));
    }

    /// Does a mirror send it? Then it is looked at again when that is over, and is owed until then.
    pub(in super::super) fn is_busy(&self, id: &Identity) -> bool {
        let mut desk = self.desk();
        let Some(again) = desk.jobs.busy.get_mut(&(id.dev, id.ino)) else { return false };
        *again = true;
        let passed = desk.barriers.passed;
        desk.owing.owe(*id, passed);
        true
    }
}
