//! What is neither a file nor a directory: links, fifos, sockets, devices.

use super::super::listing::TargetEntry;
use super::super::remap::remap;
use super::super::walk::{Root, Visit, source_path};
use super::Failed;
use super::Mirror;
use crate::api::MirrorReason;
use crate::engine::job::JobPlan;
use crate::engine::settings::Overwrite;
use crate::sys::{FileKind, Stat};
use crate::wire::Op;
use std::ffi::CStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

impl Mirror<'_> {
    /// Links, fifos, sockets, devices.
    pub(super) fn other(
        &mut self,
        visit: &Visit<'_>,
        name: &CStr,
        stat: &Stat,
        theirs: Option<&TargetEntry>,
    ) -> Result<(), Failed> {
        let folder = visit.folder;
        let text = match stat.kind {
            FileKind::Symlink => target_text(self.plan, self.roots, visit, name)?,
            _ => Vec::new(),
        };
        let xattrs = self.xattrs_of_entry(visit.dir, name)?;
        let mut same_object = theirs
            .is_some_and(|t| t.text == text && (stat.kind == FileKind::Symlink || t.rdev == device(stat)));
        if stat.links == 1 {
            // Where the target's has other names, this one needs an object of its own.
            same_object &= theirs.is_some_and(|theirs| theirs.shared.is_none());
        } else {
            let first = self.meet(folder, name, stat)?;
            match (first, theirs) {
                (Some(group), Some(theirs)) if group.target.is_some() && group.target == theirs.shared => {
                    self.gate.same(folder, name, stat);
                    return Ok(());
                }
                (Some(_), Some(_)) if self.policy.overwrite == Overwrite::Never => return Ok(()),
                (Some(group), _) => return self.send_link(folder, name, &group, stat),
                (None, Some(theirs)) => {
                    same_object &= theirs.shared.is_none_or(|shared| self.links.claim(shared, stat.id()));
                    if let (Some(group), true) = (self.links.group(stat.id()), same_object) {
                        group.target = theirs.shared;
                    }
                }
                (None, None) => {}
            }
        }
        let reason = match theirs {
            None => MirrorReason::Missing,
            Some(_) if self.policy.overwrite == Overwrite::Never => return Ok(()),
            Some(_) if !same_object => MirrorReason::Type,
            Some(theirs) => {
                if self.meta_differs(&stat.meta, &theirs.meta, &xattrs, &theirs.xattrs) {
                    self.tell(folder, name.to_bytes(), MirrorReason::Attributes, 0);
                    return self.send_meta(folder, name, stat, xattrs);
                }
                self.gate.same(folder, name, stat);
                return Ok(());
            }
        };
        self.tell(folder, name.to_bytes(), reason, 0);
        if self.dry.is_some() {
            return Ok(());
        }
        folder.touch();
        let Some(sending) = self.gate.sends(folder, name, stat) else { return Ok(()) };
        let (name, meta, kind) = (name.to_bytes(), stat.meta, stat.kind);
        let op = if kind == FileKind::Symlink {
            Op::Symlink { name, meta, xattrs, text: &text }
        } else {
            Op::Node { name, meta, xattrs, kind, rdev: device(stat) }
        };
        self.emitter.send(folder, &op)?;
        sending.done(stat);
        self.shared.counters.files.fetch_add(1, Relaxed);
        self.shared.counters.files_sent.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// The text that a soft link has on the target.
pub(in crate::engine::source) fn target_text(
    plan: &JobPlan,
    roots: &[Root],
    visit: &Visit<'_>,
    name: &CStr,
) -> io::Result<Vec<u8>> {
    let text = visit.dir.link_text(name)?;
    let Some(root) = roots.iter().find(|root| root.number == visit.folder.root) else { return Ok(text) };
    let path = source_path(&root.path, &visit.folder.path, name.to_bytes());
    Ok(remapped(plan, root.number, &path, text))
}

/// The text on the target of a soft link at this source path of a root.
pub(in crate::engine::source) fn remapped(plan: &JobPlan, root: u16, path: &[u8], text: Vec<u8>) -> Vec<u8> {
    if !plan.settings.remap_link {
        return text;
    }
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    remap(&plan.paths, usize::from(root), &plan.rules, path, &text)
}

/// The device number that counts: of device nodes only.
pub(in crate::engine::source) fn device(stat: &Stat) -> u64 {
    if matches!(stat.kind, FileKind::Block | FileKind::Character) { stat.rdev } else { 0 }
}
