//! The beginning of a replication: roots, capture, queue, stream, threads. No file of the source is read.

use super::super::capture::{self, Key, Kind};
use super::super::walk::{Root, open_roots};
use super::common::{Common, RootPlace};
use super::ledger::{Ledger, Loaded, Signature};
use super::model::{Identity, Model, Scope};
use super::run::Follow;
use crate::api::{ApiError, Code};
use crate::engine::job::JobPlan;
use crate::engine::log::escape;
use crate::engine::queue::{Disk, Queue};
use crate::engine::replication::{Replication, ReplicationShared};
use crate::sys::{Dir, FileKind, Stat};
use sha1::Digest;
use std::collections::{BTreeMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The environment variable that forces a way of capturing, for tests.
const FORCE: &str = "DTCL_CAPTURE";

/// Starts replication: from its return on, no change is missed. What the target has is not known before a mirror.
pub fn replicate(plan: &JobPlan, shared: Arc<ReplicationShared>) -> Result<Arc<dyn Replication>, ApiError> {
    let mut missing = Vec::new();
    let roots = open_roots(plan, |_, path, error| missing.push((path.to_path_buf(), error.to_string())));
    for (path, error) in &missing {
        tracing::warn!("{}: not replicated: {error}", escape(path.as_os_str().as_bytes()));
    }
    if roots.is_empty() {
        let paths: Vec<String> = missing
            .iter()
            .map(|(path, error)| format!("{} ({error})", escape(path.as_os_str().as_bytes())))
            .collect();
        return Err(ApiError::new(
            Code::SourcePathIsInvalid,
            format!("none of the set's paths can be read: {}", paths.join(", ")),
        )
        .help("check the rules with REPSET RULE LIST, and that the paths are mounted and readable"));
    }
    follow(plan, shared, &roots, start_capture(&roots)?)
}

fn start_capture(roots: &[Root]) -> Result<Arc<dyn capture::Capture>, ApiError> {
    let force = std::env::var(FORCE).ok().and_then(|name| Kind::of(&name));
    let dirs: Vec<&Dir> = roots.iter().map(|root| &root.dir).collect();
    capture::start(&dirs, force).map_err(|error| {
        ApiError::new(Code::ConnectionFailed, format!("changes cannot be captured: {error}"))
            .help("NOREPLICATE connects without replication")
    })
}

/// The same with a capture that runs already.
pub(super) fn follow(
    plan: &JobPlan,
    shared: Arc<ReplicationShared>,
    roots: &[Root],
    capture: Arc<dyn capture::Capture>,
) -> Result<Arc<dyn Replication>, ApiError> {
    shared.set_backends(capture.backends());
    let mut model = Model::default();
    let ledger = Arc::new(Ledger::new(Arc::clone(&plan.settled), signature(plan)));
    let mut loaded = ledger.load().filter(|loaded| {
        let stands = stand_as_before(roots, loaded);
        if !stands {
            tracing::warn!(
                "A root of connection {} is not the directory that it was: all is compared",
                plan.connection
            );
            ledger.give_up();
        }
        stands
    });
    let (mut places, mut tops) = (BTreeMap::new(), Vec::new());
    let mut above = HashSet::new();
    for root in roots {
        let stat = Stat::of(&root.dir).map_err(|error| unreadable(&root.path, &error))?;
        let scope = match (&root.rules, &root.only) {
            (Some(rules), _) => Scope::of(rules.clone()),
            (None, only) => Scope::Only(only.clone().unwrap_or_default().into()),
        };
        let before = loaded.as_ref().and_then(|loaded| loaded.root(root.number));
        let number = before.map(|(node, _)| node);
        let node = model.place_root(number, root.number, &stat, scope.clone(), root.included);
        tops.push((root, stat, scope));
        if let Some((_, inode)) = before {
            // What the target has.
            model.set_stamps(node, inode.size, (inode.ctime, inode.mtime));
        }
        let real = crate::sys::path_of(&root.dir).map_err(|error| unreadable(&root.path, &error))?;
        let mut place = RootPlace { path: root.path.clone(), real, above: None };
        if let Some(parent) = root.path.parent()
            && let Ok(dir) = Dir::open_root(parent)
            && Stat::of(&dir).is_ok_and(|parent| parent.dev == stat.dev)
        {
            place.above = Some(stat.dev);
        }
        watch_above(&root.path, stat.dev, &*capture, &mut above);
        places.insert(root.number, place);
    }
    let queue = Queue::open(
        &plan.settings.queue,
        plan.settings.queue_dir.join(format!("connection-{}", plan.connection)),
        Arc::new(Disk),
    );
    let targets = target_roots(plan, roots);
    if let Some(before) = &mut loaded {
        before.fill(&mut model, plan.settled.doubtful_since());
        if let Some(point) = changed_mount(&model, roots) {
            tracing::warn!("{}: another file system is there than before: all is compared", escape(point));
            ledger.give_up();
            (loaded, model) = (None, Model::default());
            for (root, stat, scope) in tops {
                model.place_root(None, root.number, &stat, scope, root.included);
            }
        }
    }
    let common = Arc::new(Common::new(plan.clone(), places, model, queue, capture, shared, ledger));
    if let Some(loaded) = loaded {
        common.resume(loaded);
    }
    let ledger = Arc::clone(&common.ledger);
    // It is tried again, and what is kept counts then.
    Ok(Arc::new(Follow::start(common, targets, above).inspect_err(|_| ledger.close())?))
}

/// What a ledger is of: of another connection, set, path or rule it counts for nothing.
fn signature(plan: &JobPlan) -> Signature {
    let mut sum = sha1::Sha1::new();
    let established = plan.settled.established_ms();
    let (rules, paths) = (plan.rules.rules(), &plan.paths);
    let settings =
        (plan.settings.attributes, plan.settings.extended_attributes, plan.settings.ignore_deletes);
    let others: Vec<_> = plan.elsewhere.iter().map(|(_, rules)| rules.rules()).collect();
    let of = format!(
        "{established} {} {:?} {rules:?} {paths:?} {settings:?} {others:?}",
        plan.repset, plan.target_name
    );
    sum.update(of);
    sum.finalize().into()
}

/// Are these the directories that the ledger has as roots, and no others?
fn stand_as_before(roots: &[Root], loaded: &Loaded) -> bool {
    let same = |root: &Root| {
        let inode = loaded.root(root.number).map(|(_, inode)| inode.id);
        inode.is_some() && Stat::of(&root.dir).ok().map(|stat| Identity::of(&stat)) == inode
    };
    roots.len() == loaded.roots() && roots.iter().all(same)
}

/// A directory of the model that lies on another file system than the one above it, and that is another by now: not mounted yet, or something else is.
fn changed_mount(model: &Model, roots: &[Root]) -> Option<Vec<u8>> {
    for top in model.roots() {
        for node in model.all_below(*top).into_iter().skip(1) {
            let (entry, above) = (model.entry(node), model.entry(model.parent(node)));
            if entry.kind != FileKind::Directory || entry.id.dev == above.id.dev {
                continue;
            }
            let (number, path) = model.path(node);
            let root = roots.iter().find(|root| root.number == number)?;
            let c_path = crate::sys::c_string(&path).ok()?;
            let now = root.dir.descend(&c_path).and_then(|dir| Stat::of(&dir));
            if now.map(|stat| Identity::of(&stat)).ok() != Some(entry.id) {
                return Some(path);
            }
        }
    }
    None
}

fn unreadable(path: &Path, error: &std::io::Error) -> ApiError {
    let path = escape(path.as_os_str().as_bytes());
    ApiError::new(Code::SourcePathIsInvalid, format!("{path} cannot be looked at: {error}"))
}

/// The target's directory of each root, and the one name that belongs, by the root's number.
fn target_roots(plan: &JobPlan, roots: &[Root]) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut targets: Vec<_> = plan.paths.iter().map(|mapping| (mapping.target.clone(), None)).collect();
    for root in roots {
        if let Some(slot) = targets.get_mut(usize::from(root.number)) {
            *slot = (root.target.clone(), root.only.clone());
        }
    }
    targets
}

/// The directories above a root are known, so that a rename of the root, or of one of them, is noticed (REP-31). Only those of
/// its own file system: to watch another one would bring all of that one's events.
fn watch_above(root: &Path, dev: u64, capture: &dyn capture::Capture, above: &mut HashSet<Key>) {
    let real = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
    for path in real.ancestors().skip(1) {
        let Ok(dir) = Dir::open_root(path) else { break };
        if Stat::of(&dir).is_ok_and(|stat| stat.dev != dev) {
            break;
        }
        if let Ok(key) = capture.register(&dir) {
            above.insert(key);
        }
    }
}
