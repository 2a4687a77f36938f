//! The size of a set at a moment (RST-14).

use super::folder::Folder;
use super::walk::{Visit, Visitor, open_roots, walk};
use crate::api::{Phase, SetSize};
use crate::engine::job::{JobPlan, JobShared};
use crate::sys::FileKind;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Instant, SystemTime};

/// Counts what belongs. A file with several names in the set counts its bytes once.
pub fn calculate(plan: &JobPlan, shared: &JobShared) -> SetSize {
    let started = Instant::now();
    shared.set_phase(Phase::Calculating);
    tracing::info!("Calculating repset size... ConID: {}", plan.connection);
    tracing::info!(
        "The following ({}) non-overlapping paths will be considered for mirroring",
        plan.paths.len()
    );
    for mapping in &plan.paths {
        tracing::info!("{}", crate::engine::log::escape(mapping.source.as_os_str().as_encoded_bytes()));
    }
    let mut count = Count { size: SetSize::default(), seen: HashSet::new(), shared };
    let roots = open_roots(plan, |_, _, _| {});
    let mut whole = true;
    for root in &roots {
        whole &= walk(plan, root, None, shared, &mut count);
    }
    let mut size = count.size;
    size.calculated = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    shared.counters.calculated.store(whole, Relaxed);
    tracing::info!(
        "---RepSet size calc done !!! Size: {} Time spent: {}ms RepSet: {}",
        size.bytes,
        started.elapsed().as_millis(),
        plan.repset
    );
    size
}

struct Count<'a> {
    size: SetSize,
    /// Files with several names that were counted.
    seen: HashSet<(u64, u64)>,
    shared: &'a JobShared,
}

impl Visitor for Count<'_> {
    fn directory(&mut self, visit: &Visit<'_>) -> bool {
        if visit.folder.belongs() {
            self.size.directories += 1;
        }
        for (name, kind) in visit.names.iter() {
            if kind == Some(FileKind::Directory) {
                continue;
            }
            match visit.dir.stat(name) {
                Ok(stat) if stat.kind == FileKind::Directory => {}
                Ok(stat) => {
                    self.size.files += 1;
                    let first = stat.links < 2 || self.seen.insert(stat.id());
                    if stat.kind == FileKind::File && first {
                        self.size.bytes += stat.size;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => self.size.errors += 1,
            }
        }
        let counters = &self.shared.counters;
        counters.files_total.store(self.size.files, Relaxed);
        counters.bytes_total.store(self.size.bytes, Relaxed);
        true
    }

    fn leave(&mut self, _: &Arc<Folder>) -> bool {
        true
    }

    fn unreadable(&mut self, _: u16, _: &[u8], _: &io::Error, _: &str) {
        self.size.errors += 1;
    }
}
