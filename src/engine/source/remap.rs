//! Soft links that point inside the set: `RemapLink` (REP-11, REP-12).

use crate::engine::job::Mapping;
use crate::engine::repset::RuleSet;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// The text a link gets on the target: the target path of what it points to when that belongs to the set, else the text
/// it has. `link` is the link's source path, `at` the index of its root's mapping.
///
/// A relative link that stays below its root points to the right place on the target as it is.
pub(super) fn remap(paths: &[Mapping], at: usize, rules: &RuleSet, link: &Path, text: &[u8]) -> Vec<u8> {
    let as_it_is = || text.to_vec();
    let text_path = Path::new(std::ffi::OsStr::from_bytes(text));
    let Some(parent) = link.parent() else { return as_it_is() };
    let points_to = normalise(&parent.join(text_path));
    let Some((index, mapping)) =
        paths.iter().enumerate().find(|(_, mapping)| points_to.starts_with(&mapping.source))
    else {
        return as_it_is();
    };
    if !rules.explain(&points_to, false).0 && !rules.explain(&points_to, true).0 {
        return as_it_is();
    }
    let Some(target) = mapped(mapping, &points_to) else { return as_it_is() };
    if text_path.is_absolute() {
        return target.into_os_string().into_vec();
    }
    if index == at {
        return as_it_is();
    }
    let Some(link_target) = paths.get(at).and_then(|own| mapped(own, link)) else { return as_it_is() };
    let Some(from) = link_target.parent() else { return as_it_is() };
    relative(from, &target).into_os_string().into_vec()
}

fn mapped(mapping: &Mapping, path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(&mapping.source).ok()?;
    Some(if below.as_os_str().is_empty() { mapping.target.clone() } else { mapping.target.join(below) })
}

/// `.` and `..` worked out by name.
fn normalise(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// The way from a directory to a path, both absolute.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(Component::ParentDir, from.len() - common);
    up.chain(to[common..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Rule;

    fn text(link: &str, text: &str) -> String {
        let rule = |path: &str, include| Rule { path: path.into(), include, recursive: true };
        let rules = RuleSet::new(vec![rule("/srv/a", true), rule("/srv/b", true), rule("/srv/a/tmp", false)]);
        let map = |s: &str, t: &str| Mapping { source: s.into(), target: t.into() };
        let paths = [map("/srv/a", "/copy/a"), map("/srv/b", "/other/deep/b")];
        let at = usize::from(link.starts_with("/srv/b"));
        String::from_utf8(remap(&paths, at, &rules, Path::new(link), text.as_bytes())).unwrap()
    }

    #[test]
    fn a_link_into_the_set_gets_the_target_path() {
        assert_eq!(text("/srv/a/l", "/srv/a/x/y"), "/copy/a/x/y");
        assert_eq!(text("/srv/a/l", "/srv/b"), "/other/deep/b");
        assert_eq!(text("/srv/a/l", "/srv/a/x/../y"), "/copy/a/y");
    }

    #[test]
    fn a_link_out_of_the_set_keeps_its_text() {
        for text_ in ["/etc/passwd", "/srv/abc", "/srv/a/tmp/x", "../../etc", "nowhere"] {
            assert_eq!(text("/srv/a/l", text_), text_);
        }
    }

    #[test]
    fn a_relative_link_changes_only_when_it_leads_to_another_root() {
        assert_eq!(text("/srv/a/d/l", "../x"), "../x");
        assert_eq!(text("/srv/a/d/l", "../../b/x"), "../../../other/deep/b/x");
    }
}
