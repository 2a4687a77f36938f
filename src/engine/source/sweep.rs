//! Orphans looked for by hand (ORP-02, ORP-05): both trees walked side by side, by their names alone; then what only the target has is
//! removed, or only named (ORP-04).

use super::folder::Folder;
use super::listing::{Listing, TargetEntry};
use super::mirror::Mirror;
use super::orphans::{Orphans, terms};
use super::report::Report;
use super::start::{Start, begin, policy, root_is_gone};
use super::walk::{Visit, Visitor, walk};
use super::{Way, broken_off, refused};
use crate::api::{MirrorSpec, OrphanSpec, Phase};
use crate::engine::job::{JobOutcome, JobPlan, JobShared};
use crate::wire::WireError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The walking side.
struct Sweep<'a> {
    shared: &'a JobShared,
    report: &'a Report,
    listing: Listing,
    orphans: Orphans,
    entry: TargetEntry,
    gone: bool,
}

impl Visitor for Sweep<'_> {
    fn directory(&mut self, visit: &Visit<'_>) -> bool {
        self.shared.counters.directories.fetch_add(1, Relaxed);
        self.gone |= self.merge(visit).is_err();
        !self.gone
    }

    fn leave(&mut self, folder: &Arc<Folder>) -> bool {
        let _ = folder.leave();
        true
    }

    fn unreadable(&mut self, root: u16, path: &[u8], error: &io::Error, what: &str) {
        self.report.unreadable(&self.shared.counters, (root, path), error, what);
    }
}

impl Sweep<'_> {
    fn merge(&mut self, visit: &Visit<'_>) -> Result<(), WireError> {
        let folder = visit.folder;
        if self.listing.enter(folder.root, &folder.path, &mut self.orphans)?.is_none() {
            return Ok(());
        }
        folder.found();
        let mut theirs = std::mem::replace(&mut self.entry, TargetEntry::empty());
        let mut names = visit.names.iter().map(|(name, _)| name.to_bytes()).peekable();
        while self.listing.next_into(&mut theirs)? {
            while names.next_if(|name| *name < theirs.name.as_slice()).is_some() {}
            if names.peek().is_none_or(|name| *name != theirs.name.as_slice()) {
                self.orphans.meet(visit, &theirs, false);
                if self.orphans.is_full() {
                    return Err(WireError::Invalid("description: it is too long"));
                }
            }
        }
        self.entry = theirs;
        Ok(())
    }
}

pub(super) fn run(plan: &JobPlan, spec: OrphanSpec, shared: &JobShared, way: Way) -> JobOutcome {
    shared.set_phase(if spec.preview { Phase::Calculating } else { Phase::RemovingOrphans });
    let Some(terms) = terms(plan, shared, &way, false) else { return broken_off(shared) };
    way.gate.verify_begins(false);
    let Start { started, roots, report } = match begin(plan, shared, &way, None) {
        Ok(start) => start,
        Err(error) => return refused(error),
    };
    let own = way.is_own();
    let Way { emitter, gate, listings, results, frames, .. } = way;
    let emitter = &*emitter;
    let mut sweep = Sweep {
        shared,
        report: &report,
        listing: Listing::new(Some(listings), frames),
        orphans: Orphans::new(true, terms),
        entry: TargetEntry::empty(),
        gone: false,
    };
    let mut walked = true;
    for number in 0..plan.paths.len() {
        match roots.iter().find(|root| usize::from(root.number) == number) {
            Some(root) => walked = walked && walk(plan, root, None, shared, &mut sweep),
            None => {
                let number = u16::try_from(number).unwrap_or(u16::MAX);
                root_is_gone((&mut sweep.listing, &mut sweep.orphans), &report, shared, number);
            }
        }
    }
    walked &= !sweep.gone;
    let Sweep { listing, orphans, .. } = sweep;
    let job = (plan, shared, policy(plan, MirrorSpec::default()));
    let mut mirror = Mirror::new(job, (emitter, &gate, results), (&report, &roots), listing, orphans);
    walked &= mirror.finish_listing();
    // Of a description that is not whole nothing may be concluded.
    if walked && !shared.stopped() && !report.is_fatal() {
        walked = mirror.sweep(spec.preview);
        mirror.fail_retries();
    }
    drop(mirror);
    if own {
        emitter.lock().close();
    }
    let (failures, fatal) = report.finish();
    let stopped = shared.stopped();
    let complete = walked && fatal.is_none() && !stopped && shared.counters.errors.load(Relaxed) == 0;
    JobOutcome { complete, stopped, failures, fatal, elapsed: started.elapsed(), verify: None }
}
