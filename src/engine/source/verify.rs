//! The verification: both trees walked side by side, every file read and hashed on both sides (VER-01 to -06).
//!
//! The log shows the state before a remirror (VER-25). With CHECKSUM a remirror sends the blocks that differ; without it the
//! file, whole.

use super::compare::{Act, Compare, Found, ask};
use super::emit::{Emitter, TargetGone};
use super::folder::Folder;
use super::listing::{Listing, TargetEntry};
use super::mirror::{attributes_differ, spot};
use super::orphans::Orphans;
use super::replicate::Gate;
use super::report::{Report, Spot};
use super::verify_log::{VerifyLog, attributes};
use super::walk::{Root, Visit, Visitor};
use crate::api::{VerifyReport, VerifySpec};
use crate::engine::job::{Counters, JobPlan, JobShared};
use crate::engine::log::escape;
use crate::sys::{self, FileKind, Meta, Stat, Xattrs};
use crate::wire::{CONTENT_MAX, WireError};
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Differing files that a report keeps.
const KEPT: usize = 1000;

/// What is known of a file before its content was compared.
pub(super) struct Finding {
    pub source: (Meta, u64),
    pub target: (Meta, u64),
    /// Size or time differ.
    pub flagged: bool,
    pub attributes_differ: bool,
    pub newer: bool,
}

/// What a verification found, from both of its threads.
pub(super) struct Findings {
    spec: VerifySpec,
    inner: Mutex<Inner>,
    paths: Arc<Report>,
}

struct Inner {
    report: VerifyReport,
    log: VerifyLog,
    /// To be sent afterwards.
    remirror: Vec<Spot>,
}

impl Findings {
    pub(super) fn new(plan: &JobPlan, spec: VerifySpec, log: VerifyLog, paths: Arc<Report>) -> Self {
        let report = VerifyReport {
            repset: plan.repset.clone(),
            started_ms: jiff::Timestamp::now().as_millisecond(),
            log: log.path.display().to_string(),
            ..VerifyReport::default()
        };
        Self { spec, inner: Mutex::new(Inner { report, log, remirror: Vec::new() }), paths }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file's content was compared.
    pub(super) fn compared(&self, finding: Finding, found: &Found, spot: &Spot) {
        let mut inner = self.lock();
        inner.report.files_compared += 1;
        inner.report.bytes_compared += found.compared;
        if found.differing == 0 && !finding.attributes_differ && !finding.flagged {
            return;
        }
        let path = self.paths.path(spot);
        let mut lines = vec![
            attributes("Source", &finding.source.0, finding.source.1),
            attributes("Target", &finding.target.0, finding.target.1),
        ];
        if finding.attributes_differ {
            lines.push("[Owner, mode or extended attributes are different.]".to_string());
        }
        lines.push(format!("      {} BYTES OUT OF SYNC", found.differing));
        inner.report.bytes_different += found.differing;
        inner.report.bytes_remirrored += found.sent;
        inner.different("File", &path, "DIFFERENT ON TARGET", &lines);
        if self.spec.remirror && (finding.newer || !self.spec.newer) {
            inner.report.files_remirrored += 1;
            if !self.spec.checksum {
                inner.remirror.push(spot.clone());
                inner.report.bytes_remirrored += finding.source.1;
            }
        }
    }

    /// A file whose content was taken for the same, as ChecksumAll is 0 and CHECKSUM was not asked for, or it is not flagged.
    fn looked_at(&self, finding: &Finding, spot: &Spot) {
        let mut inner = self.lock();
        inner.report.files_compared += 1;
        inner.report.bytes_skipped += finding.source.1;
        if !finding.flagged && !finding.attributes_differ {
            return;
        }
        let lines = [
            attributes("Source", &finding.source.0, finding.source.1),
            attributes("Target", &finding.target.0, finding.target.1),
        ];
        let path = self.paths.path(spot);
        inner.different("File", &path, "DIFFERENT ON TARGET", &lines);
        if self.spec.remirror && (finding.newer || !self.spec.newer) {
            inner.report.files_remirrored += 1;
            inner.report.bytes_remirrored += finding.source.1;
            inner.remirror.push(spot.clone());
        }
    }

    /// What is to be sent after the walk.
    pub(super) fn take_remirror(&self) -> Vec<Spot> {
        std::mem::take(&mut self.lock().remirror)
    }

    /// Closes the log; the report.
    pub(super) fn end(&self, stopped: bool, elapsed_ms: u64, counters: &Counters) -> VerifyReport {
        let mut inner = self.lock();
        inner.report.completed_ms = Some(jiff::Timestamp::now().as_millisecond());
        inner.report.elapsed_ms = elapsed_ms;
        inner.report.stopped = stopped;
        inner.report.errors = counters.errors.load(Relaxed);
        let report = inner.report.clone();
        inner.log.end(&report);
        report
    }
}

impl Inner {
    fn different(&mut self, kind: &str, path: &[u8], state: &str, lines: &[String]) {
        if kind == "File" && state.starts_with("DIFFERENT") {
            self.report.files_different += 1;
        }
        if self.report.differing.len() < KEPT {
            self.report.differing.push((escape(path), state.to_string()));
        }
        self.log.entry(kind, path, state, lines);
    }
}

/// The walking side.
pub(super) struct Verify<'a> {
    pub plan: &'a JobPlan,
    pub spec: VerifySpec,
    pub shared: &'a JobShared,
    pub emitter: &'a Emitter,
    pub gate: &'a Gate,
    pub report: &'a Report,
    pub findings: &'a Findings,
    pub listing: Listing,
    pub compare: SyncSender<Compare>,
    pub orphans: Orphans,
    pub as_root: bool,
    pub asked: u64,
    pub gone: bool,
    pub entry: TargetEntry,
    pub roots: &'a [Root],
}

enum Failed {
    Gone,
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Io(error)
    }
}

impl From<WireError> for Failed {
    fn from(_: WireError) -> Self {
        Failed::Gone
    }
}

impl From<TargetGone> for Failed {
    fn from(_: TargetGone) -> Self {
        Failed::Gone
    }
}

impl Visitor for Verify<'_> {
    fn directory(&mut self, visit: &Visit<'_>) -> bool {
        if self.gone || self.report.is_fatal() {
            return false;
        }
        let merged = self.merge(visit);
        self.gone |= merged.is_err();
        !self.gone
    }

    fn leave(&mut self, folder: &Arc<Folder>) -> bool {
        // Blocks sent in place do not change a directory; nothing is due.
        let _ = folder.leave();
        true
    }

    fn unreadable(&mut self, root: u16, path: &[u8], error: &io::Error, what: &str) {
        self.report.unreadable(&self.shared.counters, (root, path), error, what);
    }
}

impl Verify<'_> {
    fn merge(&mut self, visit: &Visit<'_>) -> Result<(), Failed> {
        let folder = visit.folder;
        let there = self.listing.enter(folder.root, &folder.path, &mut self.orphans)?;
        if there.is_some() {
            folder.found();
        }
        if folder.belongs() {
            self.folder(folder, there.as_ref().map(|theirs| (theirs.meta, theirs.xattrs)));
        }
        let mut theirs = std::mem::replace(&mut self.entry, TargetEntry::empty());
        let mut have = there.is_some() && self.listing.next_into(&mut theirs)?;
        for (name, _) in visit.names.iter() {
            while have && theirs.name.as_slice() < name.to_bytes() {
                self.target_only(visit, &theirs)?;
                have = self.listing.next_into(&mut theirs)?;
            }
            let both = have && theirs.name.as_slice() == name.to_bytes();
            match self.step(visit, name, both.then_some(&theirs)) {
                Err(Failed::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(Failed::Io(error)) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    self.report.errno(&self.shared.counters, spot(folder, name), errno, "read", false);
                }
                other => other?,
            }
            if both {
                have = self.listing.next_into(&mut theirs)?;
            }
            if self.shared.is_held() || self.shared.stopped() {
                self.emitter.lock().flush()?;
                if !self.shared.go_on() {
                    return Ok(());
                }
            }
        }
        while have {
            self.target_only(visit, &theirs)?;
            have = self.listing.next_into(&mut theirs)?;
        }
        self.entry = theirs;
        Ok(())
    }

    /// Something that only the target has (ORP-02: a verification may see to orphans too).
    fn target_only(&mut self, visit: &Visit<'_>, theirs: &TargetEntry) -> Result<(), Failed> {
        self.orphans.meet(visit, theirs, false);
        // The walk ends, and says why when it has.
        if self.orphans.is_full() { Err(Failed::Gone) } else { Ok(()) }
    }

    fn folder(&mut self, folder: &Folder, theirs: Option<(Meta, [u8; 16])>) {
        self.shared.counters.directories.fetch_add(1, Relaxed);
        let spot = Spot { root: folder.root, path: folder.path.clone(), name: Vec::new() };
        let path = self.report.path(&spot);
        let mut inner = self.findings.lock();
        inner.report.directories_compared += 1;
        match theirs {
            None => {
                inner.report.directories_missing += 1;
                inner.different("Directory", &path, "MISSING ON TARGET", &[]);
            }
            Some((meta, digest)) => {
                let differs = folder.meta.mtime != meta.mtime
                    || attributes_differ(
                        self.plan,
                        self.as_root,
                        &folder.meta,
                        &meta,
                        &folder.xattrs,
                        &digest,
                    );
                if !differs {
                    return;
                }
                let lines = [attributes("Source", &folder.meta, 0), attributes("Target", &meta, 0)];
                inner.different("Directory", &path, "DIFFERENT ON TARGET", &lines);
            }
        }
        if self.spec.remirror {
            inner.report.directories_remirrored += 1;
            inner.remirror.push(spot);
        }
    }

    fn step(&mut self, visit: &Visit<'_>, name: &CStr, theirs: Option<&TargetEntry>) -> Result<(), Failed> {
        let stat = visit.dir.stat(name)?;
        if stat.kind == FileKind::Directory {
            return Ok(());
        }
        let settings = &self.plan.settings;
        if stat.kind == FileKind::File
            && ((stat.size == 0 && !settings.zero_k_files) || (stat.is_sparse() && !settings.sparse_files))
        {
            return Ok(());
        }
        let Some(theirs) = theirs.filter(|theirs| theirs.kind == stat.kind) else {
            self.missing(visit.folder, name, &stat, theirs.is_some());
            return Ok(());
        };
        let xattrs = if settings.extended_attributes {
            sys::xattrs_of_entry(visit.dir.as_fd(), name, self.as_root)?
        } else {
            Xattrs::default()
        };
        let finding = Finding {
            source: (stat.meta, stat.size),
            target: (theirs.meta, theirs.size),
            flagged: stat.meta.mtime != theirs.meta.mtime
                || (stat.kind == FileKind::File && stat.size != theirs.size),
            attributes_differ: attributes_differ(
                self.plan,
                self.as_root,
                &stat.meta,
                &theirs.meta,
                &xattrs,
                &theirs.xattrs,
            ),
            newer: stat.meta.mtime > theirs.meta.mtime,
        };
        if stat.kind != FileKind::File {
            self.other(visit, name, &stat, theirs, finding)?;
            return Ok(());
        }
        if settings.checksum_all || (self.spec.checksum && finding.flagged) {
            return self.ask(visit, name, xattrs, finding, stat.size);
        }
        self.shared.counters.files.fetch_add(1, Relaxed);
        self.shared.counters.bytes_skipped.fetch_add(stat.size, Relaxed);
        self.findings.looked_at(&finding, &spot(visit.folder, name));
        Ok(())
    }

    fn missing(&mut self, folder: &Arc<Folder>, name: &CStr, stat: &Stat, other_kind: bool) {
        let spot = spot(folder, name);
        let path = self.report.path(&spot);
        let mut inner = self.findings.lock();
        let bytes = if stat.kind == FileKind::File { stat.size } else { 0 };
        inner.report.files_compared += 1;
        inner.report.files_missing += 1;
        inner.report.bytes_missing += bytes;
        let state = if other_kind { "OF ANOTHER TYPE ON TARGET" } else { "MISSING ON TARGET" };
        inner.different("File", &path, state, &[attributes("Source", &stat.meta, bytes)]);
        // What is missing on the target is newer than nothing.
        if self.spec.remirror {
            inner.report.files_remirrored += 1;
            inner.report.bytes_remirrored += bytes;
            inner.remirror.push(spot);
        }
        drop(inner);
        self.shared.counters.files.fetch_add(1, Relaxed);
    }

    fn other(
        &mut self,
        visit: &Visit<'_>,
        name: &CStr,
        stat: &Stat,
        theirs: &TargetEntry,
        mut finding: Finding,
    ) -> Result<(), Failed> {
        let same = match stat.kind {
            FileKind::Symlink => {
                let text = super::mirror::target_text(self.plan, self.roots, visit, name)?;
                text == theirs.text
            }
            FileKind::Block | FileKind::Character => stat.rdev == theirs.rdev,
            _ => true,
        };
        finding.flagged |= !same;
        finding.source.1 = 0;
        self.shared.counters.files.fetch_add(1, Relaxed);
        self.findings.looked_at(&finding, &spot(visit.folder, name));
        Ok(())
    }

    fn ask(
        &mut self,
        visit: &Visit<'_>,
        name: &CStr,
        xattrs: Xattrs,
        finding: Finding,
        size_on_disk: u64,
    ) -> Result<(), Failed> {
        let send = self.spec.remirror && self.spec.checksum && (finding.newer || !self.spec.newer);
        let item = Compare {
            question: 0,
            folder: Arc::clone(visit.folder),
            dir: Arc::clone(visit.dir),
            name: name.to_owned(),
            xattrs,
            block: self.plan.settings.chunk_size.clamp(4096, CONTENT_MAX),
            act: if send { Act::Send } else { Act::Count },
            meta_differs: finding.attributes_differ || finding.flagged,
            linked: None,
            finding: Some(Box::new(finding)),
        };
        // A verification compares sums, whatever else would be possible here.
        Ok(ask(Some(&self.compare), (self.emitter, self.gate), &mut self.asked, item, size_on_disk, false)?)
    }
}
