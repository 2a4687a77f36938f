//! What a caller with monitor access is shown of the file system: what belongs to a replication set, and no more. The
//! engine may read everything; whoever only watches it must not do so through it.

use super::browse;
use crate::api::{Access, ApiError, Code, Reply, Request, Watch};
use crate::engine::Engine;
use crate::engine::connect::mapping::{absolute, shown};
use crate::engine::repset::{DirDecision, DirRules, RuleSet, is_pseudo};
use crate::sys::{Dir, FileKind, c_string};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

impl Engine {
    /// Answers a request as [`Engine::call`] does, for a caller of this access. -138 for what needs more.
    pub fn call_as(
        &self,
        access: Access,
        request: Request,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        if access < request.needs() {
            return Err(ApiError::new(
                Code::InsufficientSecurityAccess,
                format!("this needs {}, you have {}", request.needs().label(), access.label()),
            )
            .help("log in with LOGIN <machine> <user>"));
        }
        if access < Access::Full {
            match &request {
                Request::Directory { path } => return self.directory_of_sets(path),
                Request::Explain { path, .. } => self.refuse_outside(path)?,
                Request::RepsetTest { path, .. } => self.refuse_outside(path)?,
                _ => {}
            }
        }
        self.call(request, watch)
    }

    /// `DIR`: the entries that belong to a set, or lead to what does.
    fn directory_of_sets(&self, path: &str) -> Result<Reply, ApiError> {
        let path = absolute(path, "DIR")?;
        let rules: Vec<DirRules> = self.all_rules()?.iter().filter_map(|set| entered(set, &path)).collect();
        if rules.is_empty() {
            return Err(outside(&path));
        }
        self.refuse_never(&path)?;
        let dir = open(&path).map_err(|error| browse::failed(&path, &error))?;
        browse::list(&path, &dir, |name, kind| {
            let name = name.to_bytes();
            rules.iter().any(|rules| match kind {
                FileKind::Directory => !matches!(rules.dir(name), DirDecision::Skip),
                _ => rules.file(name),
            })
        })
    }

    /// -138 for a path that no set names, or that a link on the way leads elsewhere.
    fn refuse_outside(&self, path: &str) -> Result<(), ApiError> {
        let path = absolute(path, "EXPLAIN")?;
        let sets = self.all_rules()?;
        let directory = std::fs::symlink_metadata(&path).is_ok_and(|status| status.is_dir());
        let shown = |set: &Arc<RuleSet>| {
            if directory { entered(set, &path).is_some() } else { set.includes_file(&path) }
        };
        let belongs = sets.iter().any(shown);
        if !belongs || path.parent().is_some_and(|parent| !is_straight(parent)) {
            return Err(outside(&path));
        }
        self.refuse_never(&path)
    }

    /// -138 for what is never part of a set, whatever its rules name: the engine's own home, pseudo file systems.
    fn refuse_never(&self, path: &Path) -> Result<(), ApiError> {
        let forbidden = self.forbidden();
        for above in path.ancestors() {
            let Ok(status) = std::fs::symlink_metadata(above) else { continue };
            if forbidden.contains(&(status.dev(), status.ino())) || is_pseudo(above).is_some() {
                return Err(outside(path));
            }
        }
        Ok(())
    }

    /// Of all sets, saved or not.
    fn all_rules(&self) -> Result<Vec<Arc<RuleSet>>, ApiError> {
        let store = &self.kept.store;
        store.list(|_| false)?.iter().map(|line| store.rule_set(&line.name)).collect()
    }
}

/// The rules of a directory that belongs to the set, or leads to what does.
fn entered(set: &RuleSet, path: &Path) -> Option<DirRules> {
    match set.enter(path) {
        DirDecision::Enter { rules, .. } => Some(rules),
        DirDecision::Skip => None,
    }
}

/// A directory by its absolute path; a link anywhere in it is refused.
fn open(path: &Path) -> std::io::Result<Dir> {
    let below = path.strip_prefix("/").unwrap_or(path).as_os_str();
    Dir::open_root(Path::new("/"))?.descend(&c_string(OsStr::as_bytes(below))?)
}

/// Does no link on the way lead elsewhere? Of what does not exist, the way to where it would be.
fn is_straight(path: &Path) -> bool {
    for above in path.ancestors() {
        match open(above) {
            Ok(_) => return true,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {}
            Err(_) => return false,
        }
    }
    false
}

fn outside(path: &Path) -> ApiError {
    ApiError::new(
        Code::InsufficientSecurityAccess,
        format!("monitor access shows nothing outside replication sets, and {} is", shown(path)),
    )
    .help("REPSET DISPLAY shows a set's rules; administrator access shows all")
}
