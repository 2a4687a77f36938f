//! The oracle: rsync says what differs between two trees. It sends nanoseconds of regular files only, so those of the
//! others are compared here.

use super::tree;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything that differs, content and nanoseconds included; one line each.
pub fn differences(source: &Path, target: &Path) -> Vec<String> {
    let mut found = differences_with(source, target, &["-aHAX"]);
    found.extend(time_differences(source, target));
    found
}

/// Entries on both sides whose modification times differ.
fn time_differences(source: &Path, target: &Path) -> Vec<String> {
    let stamp = |path: &Path| std::fs::symlink_metadata(path).map(|meta| (meta.mtime(), meta.mtime_nsec()));
    let mut found = Vec::new();
    for path in tree::all(source).iter().map(PathBuf::as_path).chain([source]) {
        let inside = path.strip_prefix(source).unwrap();
        let copy = if inside.as_os_str().is_empty() { target.to_path_buf() } else { target.join(inside) };
        if let (Ok(source), Ok(target)) = (stamp(path), stamp(&copy))
            && source != target
        {
            found.push(format!("time of {inside:?}: {source:?} on the source, {target:?} on the target"));
        }
    }
    found
}

/// With other flags than `-aHAX`.
pub fn differences_with(source: &Path, target: &Path, flags: &[&str]) -> Vec<String> {
    let slash = |path: &Path| {
        let mut path = PathBuf::from(path).into_os_string();
        path.push("/");
        path
    };
    let output = Command::new("rsync")
        .args(["-n", "--delete", "--itemize-changes", "--checksum", "--numeric-ids"])
        .args(flags)
        .arg(slash(source))
        .arg(slash(target))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "rsync cannot compare {} with {}: {}",
        source.display(),
        target.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect()
}

/// Fails the test with the first differences.
#[track_caller]
pub fn assert_same(source: &Path, target: &Path) {
    let found = differences(source, target);
    let shown = found.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(found.is_empty(), "{} differences between source and target:\n{shown}", found.len());
}
