//! Hard links of a mirror: the first name met sends the file, later ones a link (REP-20, REP-21).

use super::super::folder::Folder;
use super::super::listing::TargetEntry;
use super::Failed;
use super::Mirror;
use crate::api::MirrorReason;
use crate::engine::settings::Overwrite;
use crate::sys::Stat;
use crate::wire::Op;
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What is to be done about a file with several names on either side.
pub(super) enum Linked {
    /// It has been seen to.
    Done,
    /// As any file.
    AsAlone,
    /// The target's file of this name is also something else.
    NeedsOwnFile,
}

impl Mirror<'_> {
    /// Hard links of a file that both sides have. `leave`: a setting or flag leaves the target's file although it is another.
    pub(super) fn linked(
        &mut self,
        folder: &Arc<Folder>,
        name: &CStr,
        stat: &Stat,
        theirs: &TargetEntry,
        leave: bool,
    ) -> Result<Linked, Failed> {
        if stat.links == 1 {
            // The target's file has other names, perhaps outside the copy: it is not to be changed through this one.
            return Ok(if leave { Linked::AsAlone } else { Linked::NeedsOwnFile });
        }
        let first = self.meet(folder, name, stat)?;
        let Some(group) = first else {
            if leave {
                self.links.lose(stat.id());
                return Ok(Linked::AsAlone);
            }
            let Some(shared) = theirs.shared else { return Ok(Linked::AsAlone) };
            if !self.links.claim(shared, stat.id()) {
                return Ok(Linked::NeedsOwnFile);
            }
            if let Some(group) = self.links.group(stat.id()) {
                group.target = Some(shared);
            }
            return Ok(Linked::AsAlone);
        };
        if group.skipped {
            return Ok(Linked::Done);
        }
        let counters = &self.shared.counters;
        counters.files.fetch_add(1, Relaxed);
        if group.target.is_some() && group.target == theirs.shared {
            self.gate.same(folder, name, stat);
            return Ok(Linked::Done);
        }
        if leave || self.policy.overwrite == Overwrite::Never {
            return Ok(Linked::Done);
        }
        self.send_link(folder, name, &group, stat)?;
        Ok(Linked::Done)
    }

    /// A name of a file with several. Some: an earlier one stands for it. Waits for an earlier one that is under way, as it may
    /// not arrive.
    pub(super) fn meet(
        &mut self,
        folder: &Folder,
        name: &CStr,
        stat: &Stat,
    ) -> Result<Option<super::super::links::Group>, Failed> {
        self.wait_for(stat.id())?;
        Ok(self.links.meet(stat.id(), stat.links, folder.root, &folder.path, name.to_bytes()))
    }

    pub(super) fn wait_for(&mut self, id: super::super::links::Id) -> Result<(), Failed> {
        while self.under_way.values().any(|under_way| under_way.before.id() == id) {
            self.flush()?;
            self.wait()?;
        }
        Ok(())
    }

    /// A file could not be sent: its other names must not become links to what the target has under this one.
    pub(super) fn lose(&mut self, id: super::super::links::Id) {
        self.links.lose(id);
        self.resent.remove(&id);
    }

    pub(super) fn send_link(
        &mut self,
        folder: &Arc<Folder>,
        name: &CStr,
        group: &super::super::links::Group,
        stat: &Stat,
    ) -> Result<(), Failed> {
        self.tell(folder, name.to_bytes(), MirrorReason::Links, 0);
        if self.dry.is_some() {
            return Ok(());
        }
        folder.touch();
        let Some(sending) = self.gate.sends(folder, name, stat) else { return Ok(()) };
        // Its first name may have moved since it was met.
        let Some((root, dir, from)) = sending.name_of(stat, (group.root, &group.path, &group.name)) else {
            drop(sending);
            self.gate.regroup(folder, stat);
            return Ok(());
        };
        self.emitter.send(folder, &Op::Link { name: name.to_bytes(), root, dir: &dir, from: &from })?;
        sending.done(stat);
        Ok(())
    }
}
