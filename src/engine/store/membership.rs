//! REPSET TEST: does a path belong to a set, and if not, is it the rules or something else?

use crate::api::{ApiError, Belongs};
use crate::engine::log::escape;
use crate::engine::repset::{RuleSet, is_pseudo, normalise_rule_path};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest path that is mirrored, in bytes (REP-37).
const PATH_LIMIT: usize = 4094;

/// A path that does not exist is judged as a file, or as a directory if it is written with a slash at its end.
pub(super) fn test(path: &str, rules: &RuleSet, forbidden: &[(u64, u64)]) -> Result<Belongs, ApiError> {
    let slash = path.len() > 1 && path.ends_with('/');
    let path = absolute(path)?;
    let directory = fs::symlink_metadata(&path).map_or(slash, |status| status.is_dir());
    Ok(judge(&path, directory, rules, forbidden))
}

/// The same for a path that is absolute and in normal form.
pub(in crate::engine) fn judge(
    path: &Path,
    directory: bool,
    rules: &RuleSet,
    forbidden: &[(u64, u64)],
) -> Belongs {
    let (included, rule) = rules.explain(path, directory);
    let reason = included.then(|| other_reason(path, rules, forbidden)).flatten();
    Belongs { belongs: included && reason.is_none(), rule: rule.cloned(), reason }
}

/// The same form as a rule's path, without its limit.
fn absolute(path: &str) -> Result<PathBuf, ApiError> {
    if path.chars().count() <= crate::engine::repset::RULE_PATH_LIMIT {
        return Ok(normalise_rule_path(path)?.into());
    }
    Ok(path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .fold(PathBuf::from("/"), |p, part| p.join(part)))
}

fn other_reason(path: &Path, rules: &RuleSet, forbidden: &[(u64, u64)]) -> Option<String> {
    let length = path.as_os_str().len();
    if length > PATH_LIMIT {
        return Some(format!("the path has {length} bytes; longer ones than {PATH_LIMIT} are skipped"));
    }
    let roots = rules.roots();
    for above in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
        let show = || escape(above.as_os_str().as_bytes());
        let Ok(status) = fs::symlink_metadata(above) else { break };
        // Above a root links are followed; below, a link is an entry of its own.
        let inside = roots.iter().any(|root| above.starts_with(root) && above != root);
        if inside && status.is_symlink() && above != path {
            return Some(format!("{} is a symbolic link: what is behind it has another path", show()));
        }
        let status = if inside { status } else { fs::metadata(above).unwrap_or(status) };
        if forbidden.contains(&(status.dev(), status.ino())) {
            return Some(format!("{} belongs to the engine's own home", show()));
        }
        if status.is_dir()
            && let Some(kind) = is_pseudo(above)
        {
            return Some(format!(
                "{} lies in a file system of type {kind}, which is never replicated",
                show()
            ));
        }
    }
    None
}
