//! The beginning of a job: roots opened, the stream begun, the comparing thread started.

use super::decide::Policy;
use super::emit::{Emitter, TargetGone};
use super::{Way, broken};
use crate::api::{ApiError, Code, MirrorSpec};
use crate::engine::job::{JobPlan, JobShared, Sink};
use crate::engine::log::escape;
use crate::engine::source::compare::{Compare, Comparer};
use crate::engine::source::listing::Listing;
use crate::engine::source::orphans::Orphans;
use crate::engine::source::parts::Parts;
use crate::engine::source::report::{Reason, Report, Spot};
use crate::engine::source::walk::{Root, open_roots};
use crate::wire::{Op, PATH_MAX, Part};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// Everything a job needs of its beginning.
pub(super) struct Start {
    pub started: Instant,
    pub roots: Vec<Root>,
    pub report: Arc<Report>,
}

/// Opens the roots and the stream. `parts`: all of the target that is to be described; None: everything. The error: no root could be opened.
pub(super) fn begin(
    plan: &JobPlan,
    shared: &JobShared,
    way: &Way,
    parts: Option<&Parts>,
) -> Result<Start, ApiError> {
    let started = Instant::now();
    let mut missing = Vec::new();
    let roots = open_roots(plan, |number, path, error| {
        missing.push((number, path.to_path_buf(), error.kind(), error.to_string()));
    });
    let directory = |number: usize| -> PathBuf {
        let opened = roots.iter().find(|root| usize::from(root.number) == number);
        opened.map_or_else(|| plan.paths[number].source.clone(), |root| root.path.clone())
    };
    let report = Arc::new(Report::new((0..plan.paths.len()).map(directory).collect()));
    if roots.is_empty() {
        let paths: Vec<String> = missing
            .iter()
            .map(|(_, path, _, error)| format!("{} ({error})", escape(path.as_os_str().as_bytes())))
            .collect();
        let fatal = ApiError::new(
            Code::SourcePathIsInvalid,
            format!("none of the set's paths can be read: {}", paths.join(", ")),
        )
        .help("check the rules with REPSET RULE LIST, and that the paths are mounted and readable");
        return Err(fatal);
    }
    for (number, path, kind, error) in missing {
        // A rule may name what is not there (RST-03). What is there and cannot be opened is a failure.
        if kind == std::io::ErrorKind::NotFound {
            tracing::warn!("{}: not mirrored: {error}", escape(path.as_os_str().as_bytes()));
        } else {
            let spot = Spot { root: number, path: Vec::new(), name: Vec::new() };
            report.fail(&shared.counters, &spot, Reason::unread(error));
        }
    }
    let mut paths: Vec<(PathBuf, Option<Vec<u8>>)> =
        plan.paths.iter().map(|mapping| (mapping.target.clone(), None)).collect();
    for root in &roots {
        if let Some(slot) = paths.get_mut(usize::from(root.number)) {
            *slot = (root.target.clone(), root.only.clone());
        }
    }
    if let Some((long, _)) = paths.iter().find(|(path, _)| path.as_os_str().len() > PATH_MAX) {
        let message = format!(
            "the target path {} is longer than {PATH_MAX} bytes",
            escape(long.as_os_str().as_bytes())
        );
        let fatal = ApiError::new(Code::InvalidPath, message).help("MAP to a shorter path");
        return Err(fatal);
    }
    let begin = Op::Begin {
        attributes: plan.settings.attributes,
        xattrs: plan.settings.extended_attributes,
        scan: plan.sink != Sink::Null,
        roots: paths.iter().map(|(path, only)| (path.as_os_str().as_bytes(), only.as_deref())).collect(),
    };
    // Replication has begun the stream already.
    let sent = if way.is_own() { send(&way.emitter, &begin) } else { ask_for(&way.emitter, &roots, parts) };
    sent.map_err(|_| broken("the target has ended"))?;
    Ok(Start { started, roots, report })
}

fn send(emitter: &Emitter, op: &Op<'_>) -> Result<(), TargetGone> {
    let mut emit = emitter.lock();
    emit.push(op)?;
    emit.flush()
}

/// Asks the target to describe itself. `parts`: all that is wanted; None: everything.
pub(super) fn ask_for(emitter: &Emitter, roots: &[Root], parts: Option<&Parts>) -> Result<(), TargetGone> {
    let mut parts = parts.map(Parts::list);
    if let (Some(parts), Some(root)) = (&mut parts, roots.first())
        && parts.is_empty()
    {
        // No part at all would mean everything.
        parts.push((root.number, Vec::new(), false));
    }
    let parts = parts.unwrap_or_default();
    ask_for_parts(emitter, parts.iter().map(|(root, path, deep)| (*root, path.as_slice(), *deep)).collect())
}

/// The same of these parts.
pub(super) fn ask_for_parts(emitter: &Emitter, parts: Vec<Part<'_>>) -> Result<(), TargetGone> {
    emitter.descriptions.fetch_add(1, Relaxed);
    send(emitter, &Op::Scan { parts })
}

pub(super) fn policy(plan: &JobPlan, spec: MirrorSpec) -> Policy {
    Policy {
        kind: spec.kind,
        newer: spec.newer,
        checksum: spec.checksum,
        checksum_all: plan.settings.checksum_all,
        overwrite: plan.settings.overwrite,
        zero_k_files: plan.settings.zero_k_files,
    }
}

pub(super) fn spawn_comparer<'scope, 'env>(
    scope: &'scope std::thread::Scope<'scope, 'env>,
    comparer: Comparer<'scope>,
    queue: Receiver<Compare>,
) -> Result<std::thread::ScopedJoinHandle<'scope, bool>, ApiError> {
    std::thread::Builder::new()
        .name("compare".to_string())
        .spawn_scoped(scope, move || comparer.run(&queue))
        .map_err(|error| broken(&format!("no thread to compare: {error}")))
}

/// A root that is not there: a failure when it is on the target.
pub(super) fn root_is_gone(
    (listing, orphans): (&mut Listing, &mut Orphans),
    report: &Report,
    shared: &JobShared,
    number: u16,
) {
    if matches!(listing.enter(number, b"", orphans), Ok(Some(_))) {
        let spot = Spot { root: number, path: Vec::new(), name: Vec::new() };
        let reason = "it is not on the source any more, but its copy is on the target and is kept: \
                      mount or restore it, or take its rule out of the set";
        report.fail(&shared.counters, &spot, reason.to_string());
    }
}
