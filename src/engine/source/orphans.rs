//! Orphans: what the target's copy has and the source has not (ORP-01), removed or moved aside after a mirror that was asked
//! to, within the mass-deletion guard.

use super::emit::{Emitter, TargetGone};
use super::folder::Folder;
use super::listing::TargetEntry;
use super::replicate::Gate;
use super::report::{Report, Spot};
use crate::api::{ApiError, Code};
use crate::engine::job::{JobPlan, JobShared};
use crate::engine::log::escape;
use crate::engine::repset::{DirDecision, DirRules};
use crate::sys::FileKind;
use crate::wire::Op;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

/// The guard lets so few removals pass whatever their share is.
const GUARD_FLOOR: u64 = 10;

struct Orphan {
    folder: Arc<Folder>,
    name: Vec<u8>,
    /// It has left the source, and replication could not tell the target.
    left: bool,
    /// The source has something else under its name.
    replaced: bool,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Orphans {
    list: Vec<Orphan>,
    /// Of these, the ones that are known to have left the source: no person needs to say so.
    left: u64,
    /// They are looked for.
    pub wanted: bool,
    /// Only entries that were not modified since then (ORP-09).
    pub before: Option<SystemTime>,
    /// Removed, and below what was, in earlier passes; and all that the target's copy had at the first.
    removed: u64,
    pub entries: u64,
    /// Directories that stay because rules exclude something that may be in them.
    kept: u64,
}

impl Orphans {
    /// For a plan: looks for them or not, of which age.
    pub(super) fn new(plan: &JobPlan, wanted: bool) -> Self {
        let before =
            plan.settings.orphans.min_age_minutes.and_then(|minutes| {
                SystemTime::now().checked_sub(Duration::from_secs(60 * u64::from(minutes)))
            });
        Self { list: Vec::new(), left: 0, wanted, before, removed: 0, entries: 0, kept: 0 }
    }

    /// An entry that only the target has. True: it is an orphan. What a rule excludes is none (ORP-11).
    /// `replaced`: the source has something else under its name.
    pub(super) fn meet(
        &mut self,
        folder: &Arc<Folder>,
        rules: &DirRules,
        theirs: &TargetEntry,
        replaced: bool,
    ) -> bool {
        if !self.wanted || !self.belongs(rules, theirs) || !self.is_old(theirs) {
            return false;
        }
        self.list.push(Orphan {
            folder: Arc::clone(folder),
            name: theirs.name.clone(),
            left: false,
            replaced,
        });
        true
    }

    /// An entry that only the target has, as it has left the source unseen by the target. It goes as replication removes: whether
    /// orphans are looked for or not, and however old it is. True: so it is.
    pub(super) fn left(&mut self, folder: &Arc<Folder>, rules: &DirRules, theirs: &TargetEntry) -> bool {
        let belongs = self.belongs(rules, theirs);
        if belongs {
            self.list.push(Orphan {
                folder: Arc::clone(folder),
                name: theirs.name.clone(),
                left: true,
                replaced: false,
            });
            self.left += 1;
        }
        belongs
    }

    fn belongs(&mut self, rules: &DirRules, theirs: &TargetEntry) -> bool {
        if theirs.kind == FileKind::Directory {
            match rules.dir(&theirs.name) {
                DirDecision::Skip => false,
                DirDecision::Enter { rules, .. } => {
                    if !rules.everything() {
                        self.kept += 1;
                    }
                    rules.everything()
                }
            }
        } else {
            rules.file(&theirs.name)
        }
    }

    fn is_old(&self, theirs: &TargetEntry) -> bool {
        let Some(before) = self.before else { return true };
        let (seconds, nanoseconds) = theirs.meta.mtime;
        match u64::try_from(seconds) {
            Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds) < before,
            Err(_) => true,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.list.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Removes or moves them all. `below`: entries inside orphaned directories; `entries`: all that the target's copy has.
    pub(super) fn remove(
        &mut self,
        plan: &JobPlan,
        shared: &JobShared,
        (emitter, gate): (&Emitter, &Gate),
        report: &Report,
        below: u64,
        entries: u64,
    ) -> Result<(), TargetGone> {
        if self.kept > 0 {
            tracing::info!(
                "{} directories that only the target has are kept, as rules exclude something that may be in them",
                self.kept
            );
        }
        (self.removed, self.entries) =
            (self.removed + self.len() - self.left + below, self.entries.max(entries));
        (self.left, self.kept) = (0, 0);
        if let Some(refusal) = guard(plan, self.removed, self.entries) {
            report.fatal(refusal);
            return Ok(());
        }
        tracing::info!("Delete Orphans Started <{}>", plan.connection);
        let aside = plan.settings.orphans.move_to.is_some();
        let mut folders: Vec<Arc<Folder>> = Vec::new();
        for Orphan { folder, name, left, replaced } in self.list.drain(..) {
            if !shared.go_on() {
                break;
            }
            let aside = aside && !left;
            let op =
                if aside { Op::MoveAside { name: &name } } else { Op::Remove { name: &name, tree: true } };
            // What has come since is none.
            let turn = if replaced { gate.clears(&folder, &name) } else { gate.lacks(&folder, &name) };
            if turn.is_none() {
                // Or the folder has moved, and this with it.
                gate.vanished(&folder, &name);
                continue;
            }
            emitter.send(&folder, &op)?;
            drop(turn);
            shared.counters.orphans.fetch_add(1, Relaxed);
            if plan.settings.orphans.log_each {
                let spot = Spot { root: folder.root, path: folder.path.clone(), name };
                let verb = if aside { "moved" } else { "deleted" };
                tracing::info!("Orphan {verb}: {}", escape(target_path(plan, &spot)));
            }
            if folders.last().is_none_or(|last| !Arc::ptr_eq(last, &folder)) {
                folders.push(folder);
            }
        }
        for folder in folders.iter().filter(|folder| folder.belongs()) {
            if let Some(_turn) = gate.stands(folder) {
                emitter.send_folder_meta(folder)?;
            }
        }
        Ok(())
    }
}

/// The mass-deletion guard (X): more than the set share of the target's copy is not removed without a person.
pub(super) fn guard(plan: &JobPlan, removed: u64, entries: u64) -> Option<ApiError> {
    let percent = u64::from(plan.settings.orphans.guard_percent);
    if removed < GUARD_FLOOR || percent >= 100 || removed * 100 <= entries * percent {
        return None;
    }
    let message = format!(
        "the mass-deletion guard stopped this: {removed} of the {entries} entries of the target's copy would be removed, \
         more than {percent} percent"
    );
    Some(ApiError::new(Code::UnknownError, message).help(
        "look whether the source is complete; if all is as it should be, SET MassDeletionGuard = 100 and mirror again",
    ))
}

fn target_path(plan: &JobPlan, spot: &Spot) -> Vec<u8> {
    let root = plan.paths.get(usize::from(spot.root)).map_or(Path::new("/"), |mapping| &mapping.target);
    let below = super::folder::join(&spot.path, &spot.name);
    root.join(OsStr::from_bytes(&below)).into_os_string().into_encoded_bytes()
}
