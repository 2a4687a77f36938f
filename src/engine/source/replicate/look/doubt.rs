//! What the target may have otherwise than the model, while a mirror compares what a lost log left.
//!
//! A place is *doubtful* where something had left it, or one above it, while the target could not be told: the target may have there
//! whatever stood there before, of any kind and with anything in it. What is moved from such a place would take that along, and
//! what is made in one would be mixed with it, unseen by the mirror, which may have passed either place. So the target's is
//! removed, and what the source has is sent anew.

use super::super::model::{Model, NodeId, flag};
use super::super::record::{At, Record};
use super::Looker;
use crate::sys::FileKind;

impl Looker {
    /// May the target have something else at this place?
    pub(super) fn is_doubtful(&self, model: &Model, node: NodeId) -> bool {
        // A file that the mirror has come to is what it should be.
        let passed = model.has(node, flag::PASSED) && model.entry(node).kind == FileKind::File;
        self.common.is_mirroring()
            && !passed
            && (self.common.is_unseen() || model.is_under(node, flag::VACATED))
    }

    /// The same of a place below this one.
    pub(super) fn holds_vacated(&self, model: &Model, node: NodeId) -> bool {
        self.common.is_mirroring()
            && model.all_below(node).into_iter().any(|below| model.has(below, flag::VACATED))
    }

    /// A name of a file with several goes. What is sent of the file in this mirror may go, or have gone, to this one alone, and then
    /// the mirror leaves the others to replication, though the target may not have them: those that it has not come to are sent anew.
    pub(super) fn regroup_parted(&self, model: &Model, node: NodeId) {
        if !self.common.is_mirroring() {
            return;
        }
        let compared = self.common.compared();
        let is_left = |name: &NodeId| {
            let is_compared = compared.as_ref().is_none_or(|compared| compared.has(model.parent(*name)));
            *name != node && is_compared && model.has(*name, flag::MADE) && !model.has(*name, flag::PASSED)
        };
        if model.group(node).iter().any(is_left) {
            self.common.ask_regroup(model.entry(node).id);
        }
    }

    /// Something gets a name that nothing has: what the target may have there goes.
    pub(super) fn clear_doubtful(&mut self, model: &Model, dir: NodeId, name: &[u8]) {
        // Where removals are not followed, what the target has there may be kept on purpose.
        if !self.common.ignore_deletes && self.is_doubtful(model, dir) {
            let (root, path) = model.path(dir);
            let at = At { root, path: &path, name };
            self.log_of(&Record::Remove { at, directory: true }, 0, &[(dir, false)]);
        }
    }
}
