//! Naming orphans to the target, in pieces.

use super::{Failed, Mirror};
use crate::api::Phase;
use crate::engine::source::folder::Folder;
use crate::engine::source::orphans::Orphan;
use crate::engine::source::start::ask_for_parts;
use crate::wire::{Op, OrphanNamed, OrphanStep};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Directories that are described at a time.
const PARTS: usize = 1000;

impl Mirror<'_> {
    /// Removes, or names, what a sweep has found; a person has asked for it, so that it is told also if there is nothing. False: the
    /// target has ended.
    pub(in crate::engine::source) fn sweep(&mut self, preview: bool) -> bool {
        let entries = self.listing.entries;
        let (list, refusal) = self.orphans.take(self.plan, entries);
        match refusal {
            Some(refusal) if preview => tracing::warn!("ORPHANS START would do nothing: {}", refusal.message),
            Some(refusal) => {
                self.report.fatal(refusal);
                return true;
            }
            None => {}
        }
        self.name_all(list, preview, true)
    }

    /// Names them to the target one by one, unless the source has come to have them; never more at a time than MaxRemoveOrphansOpSize, so
    /// that a stop or a pause is heard soon. `asked`: also an empty list is told of. False: the target has ended.
    fn name_all(&mut self, list: Vec<Orphan>, preview: bool, asked: bool) -> bool {
        let what = if preview { "Orphan preview started" } else { "Delete Orphans Started" };
        tracing::info!("{what} <{}>", self.plan.connection);
        self.removed = None;
        let is_run = asked || list.iter().any(|orphan| !orphan.left);
        let named = self.try_name_all(list, preview, is_run);
        if named.is_err() {
            self.gone = true;
        }
        if let Some(counts) = self.removed {
            tracing::info!(
                "Orphans of connection {} {}: {} files, {} directories, {} bytes",
                self.plan.connection,
                if preview { "found" } else { "removed" },
                counts.files,
                counts.directories,
                counts.bytes
            );
        }
        !self.gone
    }

    fn try_name_all(&mut self, list: Vec<Orphan>, preview: bool, is_run: bool) -> Result<(), Failed> {
        let (emitter, gate) = (self.emitter, self.gate);
        let piece = self.plan.settings.orphans.piece.max(1);
        let mut folders: Vec<Arc<Folder>> = Vec::new();
        let mut tops: Vec<(Arc<Folder>, Vec<u8>)> = Vec::new();
        let mut sent = 0;
        let errors = self.shared.counters.errors.load(Relaxed);
        if is_run {
            emitter.send_numbered(&Op::Orphans(OrphanStep::Begin { preview }))?;
        }
        for orphan in list {
            if sent == piece {
                if !self.settle_all() {
                    return Err(Failed::Gone);
                }
                sent = 0;
            }
            if !self.go_on()? || self.report.is_fatal() {
                break;
            }
            let (folder, top) = (&orphan.folder, orphan.top());
            // What has come since is none.
            let turn = if orphan.replaced { gate.clears(folder, top) } else { gate.lacks(folder, top) };
            if turn.is_none() {
                // Or the folder has moved, and this with it.
                if !preview {
                    gate.vanished(folder, top);
                }
                continue;
            }
            let Orphan { below, name, kind, mtime, .. } = &orphan;
            let named = Op::Orphan(OrphanNamed { dir: below, name, kind: *kind, mtime: *mtime });
            match (preview, orphan.left) {
                (true, _) => emitter.send_looking(folder, &named)?,
                (false, true) => emitter.send(folder, &Op::Remove { name, tree: true })?,
                (false, false) => emitter.send(folder, &named)?,
            }
            drop(turn);
            sent += 1;
            if tops.last().is_none_or(|(last, name)| !Arc::ptr_eq(last, folder) || name != top) {
                tops.push((Arc::clone(folder), top.to_vec()));
            }
            if !preview && folders.last().is_none_or(|last| !Arc::ptr_eq(last, folder)) {
                folders.push(Arc::clone(folder));
            }
        }
        if is_run {
            emitter.send_numbered(&Op::Orphans(OrphanStep::End))?;
        }
        for folder in folders.iter().filter(|folder| folder.belongs()) {
            if let Some(_turn) = gate.stands(folder) {
                emitter.send_folder_meta(folder)?;
            }
        }
        if !self.settle_all() {
            return Err(Failed::Gone);
        }
        let left = self.removed.map_or(0, |counts| counts.left);
        if left > 0 && !preview && errors == self.shared.counters.errors.load(Relaxed) {
            // What was described had moved by then: those directories are to be described once more.
            tops.retain(|(folder, top)| self.orphans.describes_again(folder, top));
            tops.iter().for_each(|(folder, top)| _ = gate.vanished(folder, top));
        }
        Ok(())
    }

    /// Has the target describe the directories that only it has, where they were met in a part that was described without what is below.
    /// False: they are not known, so nothing is removed.
    fn describe_strays(&mut self) -> bool {
        let undescribed = self.orphans.undescribed();
        for some in undescribed.chunks(PARTS) {
            let parts = some.iter().map(|(root, path)| (*root, path.as_slice(), true)).collect();
            self.listing.goes_on();
            if ask_for_parts(self.emitter, parts).is_err() {
                self.gone = true;
                return false;
            }
            if !self.finish_listing() || self.shared.stopped() || self.report.is_fatal() {
                return false;
            }
        }
        true
    }

    /// The same after a mirror or a verification: within the guard, then what had to wait for a directory in its place is sent. False: the
    /// target has ended.
    pub(in crate::engine::source) fn remove_orphans(&mut self) -> bool {
        if self.dry.is_some() {
            return true;
        }
        self.shared.set_phase(Phase::RemovingOrphans);
        if !self.describe_strays() {
            return !self.gone;
        }
        let entries = self.entries();
        let (list, refusal) = self.orphans.take(self.plan, entries);
        let removed = match refusal {
            Some(refusal) => {
                self.report.fatal(refusal);
                self.settle_all()
            }
            None => self.name_all(list, false, false),
        };
        if !removed {
            return false;
        }
        // What could not be removed is not there on the source to be sent again.
        self.fail_retries();
        let replacing = std::mem::take(&mut self.replacing);
        self.remirror(replacing) && self.settle_all() && self.retry()
    }
}
