//! Where each root of a set comes to lie on the target (JOB-05 to JOB-07).
//!
//! Every root gets exactly one target path, and no pair that a person typed is without effect.

use crate::api::{ApiError, Code, MapSpec};
use crate::engine::job::Mapping;
use crate::engine::log::escape;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The longest path that is handled, in bytes (REP-37).
pub const LONGEST_PATH: usize = 4094;

/// What the map forms without paths of their own stand on.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The target's data root.
    pub data_root: &'a Path,
    /// The source machine's name.
    pub source: &'a str,
    pub repset: &'a str,
}

/// Maps every root. -101 for a path that is no place for data, a root that no pair covers, a pair that covers
/// nothing, or two roots in one place.
pub fn map(spec: &MapSpec, roots: &[PathBuf], ground: Ground<'_>) -> Result<Vec<Mapping>, ApiError> {
    let mapped = match spec {
        MapSpec::Default => below(&ground.data_root.join(ground.source).join(ground.repset), roots),
        MapSpec::Exact => below(ground.data_root, roots),
        MapSpec::Base(base) => below(&place(base, "MAP BASE")?, roots),
        MapSpec::Pairs(pairs) => by_pairs(pairs, roots)?,
    };
    for mapping in &mapped {
        if mapping.target.as_os_str().len() > LONGEST_PATH {
            return Err(invalid(format!(
                "the target path of {} is over {LONGEST_PATH} bytes",
                shown(&mapping.source)
            ))
            .help("map it to a shorter path"));
        }
    }
    for (i, a) in mapped.iter().enumerate() {
        for b in &mapped[i + 1..] {
            if a.target.starts_with(&b.target) || b.target.starts_with(&a.target) {
                return Err(invalid(format!(
                    "{} and {} would come to lie in one place: {} and {}",
                    shown(&a.source),
                    shown(&b.source),
                    shown(&a.target),
                    shown(&b.target)
                ))
                .help("give each of them a target path outside the other's"));
            }
        }
    }
    Ok(mapped)
}

/// The roots keep their whole paths below `base`.
fn below(base: &Path, roots: &[PathBuf]) -> Vec<Mapping> {
    roots
        .iter()
        .map(|root| Mapping { source: root.clone(), target: moved(root, Path::new("/"), base) })
        .collect()
}

/// `path` as it is below `from`, put below `to`.
fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        // Joining nothing would leave a slash at the end.
        Ok(rest) if rest.as_os_str().is_empty() => to.to_path_buf(),
        Ok(rest) => to.join(rest),
        Err(_) => to.to_path_buf(),
    }
}

fn by_pairs(pairs: &[(String, String)], roots: &[PathBuf]) -> Result<Vec<Mapping>, ApiError> {
    let pairs = pairs
        .iter()
        .map(|(from, to)| Ok((absolute(from, "MAP")?, place(to, "MAP")?)))
        .collect::<Result<Vec<_>, ApiError>>()?;
    for (i, (from, _)) in pairs.iter().enumerate() {
        if pairs[..i].iter().any(|(other, _)| other == from) {
            return Err(
                invalid(format!("{} is mapped twice", shown(from))).help("leave one of the pairs out")
            );
        }
    }
    let mut used = vec![false; pairs.len()];
    let mut mapped = Vec::new();
    for root in roots {
        // The pair nearest to the root decides.
        let best = (0..pairs.len())
            .filter(|&i| root.starts_with(&pairs[i].0))
            .max_by_key(|&i| pairs[i].0.components().count());
        let Some(best) = best else {
            let inside = pairs.iter().find(|(from, _)| from.starts_with(root));
            let help = match inside {
                Some((from, _)) => format!(
                    "{} is only a part of it: map {} as a whole, or narrow the set's rules",
                    shown(from),
                    shown(root)
                ),
                None => format!("add {} TO <path>, or use MAP BASE <path>", shown(root)),
            };
            return Err(
                invalid(format!("no MAP pair covers {}, which the set holds", shown(root))).help(help)
            );
        };
        used[best] = true;
        mapped.push(Mapping { source: root.clone(), target: moved(root, &pairs[best].0, &pairs[best].1) });
    }
    if let Some(idle) = used.iter().position(|used| !used) {
        let from = &pairs[idle].0;
        return Err(match roots.iter().find(|root| from.starts_with(root)) {
            Some(root) => {
                invalid(format!("{} lies inside {}, which is mapped already", shown(from), shown(root)))
                    .help("a root goes to one place; put the part into a set of its own")
            }
            None => invalid(format!("nothing of the set lies in {}", shown(from)))
                .help("leave the pair out, or add a rule for it"),
        });
    }
    Ok(mapped)
}

/// An absolute path as typed, without `.`, doubled and trailing slashes. -101 for others.
pub fn absolute(text: &str, what: &str) -> Result<PathBuf, ApiError> {
    if !text.starts_with('/') {
        return Err(
            invalid(format!("{what}: {text:?} is not an absolute path")).help("begin the path with a slash")
        );
    }
    if text.contains('\0') {
        return Err(invalid(format!("{what}: {text:?} holds a NUL byte")));
    }
    if text.len() > LONGEST_PATH {
        return Err(invalid(format!("{what}: the path is over {LONGEST_PATH} bytes")));
    }
    let mut path = PathBuf::from("/");
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                return Err(
                    invalid(format!("{what}: {text:?} holds \"..\"")).help("write the path without \"..\"")
                );
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(path)
}

/// A target location: absolute, and without the characters that RST-06 forbids in each component. The dot, which the
/// guide lists too, is an ordinary character of Linux names and is allowed.
fn place(text: &str, what: &str) -> Result<PathBuf, ApiError> {
    const ILLEGAL: &[u8] = b"?<>:\"\\*|";
    let path = absolute(text, what)?;
    match path.as_os_str().as_bytes().iter().find(|byte| ILLEGAL.contains(byte)) {
        Some(&byte) => Err(invalid(format!("{what}: {text:?} holds {:?}", char::from(byte)))
            .help("a target location cannot hold any of ? < > : \" \\ * |")),
        None => Ok(path),
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterWasSupplied, message)
}

/// A path for a message.
pub fn shown(path: impl AsRef<OsStr>) -> String {
    escape(path.as_ref().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(spec: MapSpec, roots: &[&str]) -> Result<Vec<(String, String)>, ApiError> {
        let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
        let ground = Ground { data_root: Path::new("/home/data"), source: "alpha", repset: "payroll" };
        map(&spec, &roots, ground)
            .map(|all| all.iter().map(|m| (shown(&m.source), shown(&m.target))).collect())
    }

    fn pairs(list: &[(&str, &str)]) -> MapSpec {
        MapSpec::Pairs(list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
    }

    fn targets(spec: MapSpec, roots: &[&str]) -> Vec<String> {
        run(spec, roots).unwrap().into_iter().map(|(_, target)| target).collect()
    }

    fn refused(spec: MapSpec, roots: &[&str]) -> String {
        let error = run(spec, roots).unwrap_err();
        assert_eq!(error.code, Code::InvalidParameterWasSupplied);
        format!("{} ({})", error.message, error.help.unwrap_or_default())
    }

    #[test]
    fn without_a_map_data_lies_below_source_and_set() {
        assert_eq!(
            targets(MapSpec::Default, &["/srv/a", "/var/b"]),
            ["/home/data/alpha/payroll/srv/a", "/home/data/alpha/payroll/var/b"]
        );
        assert_eq!(targets(MapSpec::Default, &["/"]), ["/home/data/alpha/payroll"]);
    }

    #[test]
    fn exact_keeps_the_paths_below_the_data_root() {
        assert_eq!(targets(MapSpec::Exact, &["/var/data"]), ["/home/data/var/data"]);
    }

    #[test]
    fn a_base_takes_all_roots_with_their_paths() {
        assert_eq!(targets(MapSpec::Base("/x//y/./".into()), &["/srv/a", "/b"]), ["/x/y/srv/a", "/x/y/b"]);
    }

    #[test]
    fn a_pair_may_stand_at_or_above_a_root() {
        assert_eq!(targets(pairs(&[("/srv", "/t"), ("/b", "/u")]), &["/srv/a", "/b"]), ["/t/a", "/u"]);
        assert_eq!(
            targets(pairs(&[("/srv", "/t"), ("/srv/b", "/u")]), &["/srv/a", "/srv/b"]),
            ["/t/a", "/u"]
        );
        assert_eq!(targets(pairs(&[("/", "/t")]), &["/srv/a"]), ["/t/srv/a"]);
    }

    #[test]
    fn a_root_without_a_pair_is_named() {
        assert!(refused(pairs(&[("/srv", "/t")]), &["/srv", "/home/b"]).contains("covers /home/b"));
        assert!(refused(pairs(&[("/srv/a", "/t")]), &["/srv"]).contains("/srv/a is only a part"));
    }

    #[test]
    fn no_pair_is_silently_without_effect() {
        assert!(
            refused(pairs(&[("/srv", "/t"), ("/x", "/u")]), &["/srv"])
                .contains("nothing of the set lies in /x")
        );
        assert!(refused(pairs(&[("/srv", "/t"), ("/srv/a", "/u")]), &["/srv"]).contains("lies inside /srv"));
        assert!(refused(pairs(&[("/srv", "/t"), ("/srv/", "/u")]), &["/srv"]).contains("mapped twice"));
    }

    #[test]
    fn two_roots_never_share_a_place() {
        assert!(refused(pairs(&[("/a", "/t"), ("/b", "/t/c")]), &["/a", "/b"]).contains("in one place"));
    }

    #[test]
    fn a_target_location_is_absolute_and_plain() {
        for bad in ["t", "", "./t", "/t/../u", "/t*", "/a?b", "/a|b", "/a:b", "/a\"b", "/a\0b"] {
            refused(MapSpec::Base(bad.into()), &["/srv"]);
            refused(pairs(&[("/srv", bad)]), &["/srv"]);
        }
        refused(pairs(&[("srv", "/t")]), &["/srv"]);
        refused(MapSpec::Base(format!("/{}", "x/".repeat(2046))), &["/srv"]);
    }

    proptest! {
        #[test]
        fn a_map_never_panics_and_covers_every_root(
            roots in proptest::collection::vec("/[ab]{1,2}(/[ab]{1,2}){0,2}", 1..4),
            list in proptest::collection::vec(("(/[ab]{0,2}){1,3}", "(/[xy.]{0,2}){1,3}"), 1..4),
        ) {
            let refs: Vec<&str> = roots.iter().map(String::as_str).collect();
            if let Ok(all) = run(MapSpec::Pairs(list), &refs) {
                prop_assert_eq!(all.len(), roots.len());
                prop_assert!(all.iter().all(|(_, target)| target.starts_with('/')));
            }
        }
    }
}
