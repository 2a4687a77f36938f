use super::*;
use proptest::prelude::*;

/// `"/srv/data inc, rec"`
fn rule(text: &str) -> Rule {
    let (path, flags) = text.split_once(' ').unwrap();
    let (kind, recursion) = flags.split_once(", ").unwrap();
    Rule { path: path.into(), include: kind == "inc", recursive: recursion == "rec" }
}

fn set(rules: &[&str]) -> RuleSet {
    let rules: Vec<Rule> = rules.iter().map(|text| rule(text)).collect();
    for (rule, text) in rules.iter().zip(&rules) {
        assert_eq!(describe(rule), describe(text));
    }
    RuleSet::new(rules)
}

/// Asks by walking from `/`, as a scan does.
fn walked(set: &RuleSet, path: &str, directory: bool) -> bool {
    let path = Path::new(path);
    if directory {
        return matches!(set.enter(path), DirDecision::Enter { included: true, .. });
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
    match set.enter(parent) {
        DirDecision::Skip => false,
        DirDecision::Enter { rules, .. } => rules.file(name.as_bytes()),
    }
}

#[track_caller]
fn assert_belongs(set: &RuleSet, path: &str, expected: bool) {
    // A trailing slash marks a directory.
    let directory = path.ends_with('/');
    let name = if path == "/" { "/" } else { path.trim_end_matches('/') };
    assert_eq!(set.explain(Path::new(name), directory).0, expected, "explain {path}");
    assert_eq!(walked(set, name, directory), expected, "walk {path}");
}

#[track_caller]
fn check(rules: &[&str], inside: &[&str], outside: &[&str]) {
    let set = set(rules);
    for path in inside {
        assert_belongs(&set, path, true);
    }
    for path in outside {
        assert_belongs(&set, path, false);
    }
}

#[test]
fn recursive_path_names_all_below() {
    check(
        &["/srv/data inc, rec"],
        &["/srv/data/", "/srv/data/f", "/srv/data/d/", "/srv/data/d/e/f", "/srv/data"],
        &["/", "/srv/", "/srv/data2", "/srv/data2/f", "/srv/f"],
    );
}

#[test]
fn non_recursive_path_names_the_directory_and_its_files() {
    check(
        &["/srv/data inc, nonrec"],
        &["/srv/data/", "/srv/data/f", "/srv/data"],
        &["/srv/data/d/", "/srv/data/d/f", "/srv/"],
    );
    check(&["/ inc, nonrec"], &["/", "/vmlinuz"], &["/etc/", "/etc/passwd"]);
}

/// RST-04
#[test]
fn recursive_wildcard_names_at_any_depth() {
    check(
        &["/srv/*.db inc, rec"],
        &["/srv/a.db", "/srv/x/y/a.db", "/srv/x.db/", "/srv/x.db/inner"],
        &["/srv/", "/srv/x/", "/srv/a.dbx", "/a.db", "/srv/x.dbs/f"],
    );
    check(
        &["/srv/data/* inc, rec"],
        &["/srv/data/f", "/srv/data/d/", "/srv/data/d/f"],
        &["/srv/data/", "/srv/f"],
    );
}

#[test]
fn non_recursive_wildcard_names_files_directly_there() {
    check(
        &["/srv/*.db inc, nonrec"],
        &["/srv/a.db"],
        &["/srv/", "/srv/x.db/", "/srv/x.db/f", "/srv/x/a.db", "/srv/a"],
    );
}

#[test]
fn wildcards_in_the_middle_stand_for_one_component() {
    check(
        &["/home/*/mail inc, rec"],
        &["/home/anna/mail/", "/home/anna/mail/new/1", "/home/ben/mail"],
        &["/home/anna/", "/home/anna/x/mail/", "/home/mail/"],
    );
    check(&["/home/?/m* inc, rec"], &["/home/a/m1", "/home/a/x/m"], &["/home/ab/m1", "/home/m1"]);
}

/// RST-10, second half: different types both apply.
#[test]
fn the_most_specific_rule_decides() {
    check(
        &["/var/data inc, rec", "/var/data/old exc, rec", "/var/data/old/keep inc, rec"],
        &["/var/data/", "/var/data/f", "/var/data/old/keep/", "/var/data/old/keep/f", "/var/data/older/f"],
        &["/var/data/old/", "/var/data/old/f", "/var/data/old/d/f"],
    );
    check(&["/srv exc, rec", "/srv inc, rec"], &[], &["/srv/", "/srv/f"]);
    check(&["/srv inc, rec", "/srv exc, nonrec"], &["/srv/d/", "/srv/d/f"], &["/srv/", "/srv/f"]);
    check(&["/srv exc, rec", "/srv inc, nonrec"], &["/srv/", "/srv/f"], &["/srv/d/", "/srv/d/f"]);
}

#[test]
fn excluded_names() {
    check(
        &["/srv inc, rec", "/srv/*.tmp exc, rec"],
        &["/srv/", "/srv/f", "/srv/d/f"],
        &["/srv/a.tmp", "/srv/d/e/a.tmp", "/srv/d.tmp/", "/srv/d.tmp/f"],
    );
    check(&["/srv inc, rec", "/srv/*.tmp exc, nonrec"], &["/srv/d/a.tmp", "/srv/d.tmp/"], &["/srv/a.tmp"]);
    check(&["/home/anna inc, rec", "/home/*/cache exc, rec"], &["/home/anna/x"], &["/home/anna/cache/"]);
    check(&["/srv/* exc, rec", "/srv/*.db inc, rec"], &["/srv/a.db", "/srv/d/a.db"], &["/srv/a", "/srv/d/"]);
}

/// RST-10, first half.
#[test]
fn a_lower_non_recursive_rule_of_the_same_type_is_discarded() {
    let rules = set(&["/var/data inc, rec", "/var/data/old inc, nonrec"]);
    assert_eq!(rules.discarded()[0], None);
    let reason = rules.discarded()[1].as_deref().unwrap();
    assert!(reason.contains("`/var/data inc, rec`"), "{reason}");
    assert_belongs(&rules, "/var/data/old/d/f", true);

    let excludes = set(&["/a inc, rec", "/a/b exc, rec", "/a/b/c exc, nonrec"]);
    assert!(excludes.discarded()[2].is_some());
    // It is not discarded where a rule of the other type stands between.
    let between = set(&["/a inc, rec", "/a/b exc, rec", "/a/b/c inc, nonrec"]);
    assert_eq!(between.discarded(), [None, None, None]);
    assert_belongs(&between, "/a/b/c/f", true);
    assert_belongs(&between, "/a/b/c/d/f", false);
    // A recursive one below is kept: it does no harm, and may come to matter when rules are removed.
    assert_eq!(set(&["/a inc, rec", "/a/b inc, rec"]).discarded(), [None, None]);
    // The discarded rule does not decide: what another rule takes away inside stays away.
    check(&["/a inc, rec", "/a/*.tmp exc, rec", "/a/b inc, nonrec"], &["/a/b/f"], &["/a/b/f.tmp"]);
}

#[test]
fn a_rule_that_stands_twice_counts_once() {
    let twice = set(&["/a inc, rec", "/a inc, rec"]);
    assert!(twice.discarded()[0].is_none() && twice.discarded()[1].is_some());
}

#[test]
fn roots_do_not_overlap() {
    let set = set(&[
        "/srv/b inc, rec",
        "/srv/b/c inc, rec",
        "/srv/b-d inc, rec",
        "/home/*/mail inc, rec",
        "/home/anna/doc inc, rec",
        "/etc/passwd inc, nonrec",
        "/opt exc, rec",
    ]);
    assert_eq!(set.roots(), ["/etc/passwd", "/home", "/srv/b", "/srv/b-d"].map(PathBuf::from));
    assert_eq!(self::set(&["/* inc, rec", "/a inc, rec"]).roots(), [PathBuf::from("/")]);
    assert!(self::set(&["/a exc, rec"]).roots().is_empty());
    assert!(set.includes_file(Path::new("/etc/passwd")));
}

#[test]
fn what_cannot_belong_is_not_entered() {
    let set = set(&["/srv inc, rec", "/srv/old exc, rec", "/srv/*.d exc, rec", "/srv/x.d/keep inc, nonrec"]);
    let DirDecision::Enter { included: true, rules } = set.enter(Path::new("/srv")) else {
        panic!("not entered")
    };
    assert!(matches!(rules.dir(b"old"), DirDecision::Skip));
    assert!(matches!(rules.dir(b"y.d"), DirDecision::Skip));
    assert!(matches!(rules.dir(b"x.d"), DirDecision::Enter { included: false, .. }));
    assert!(!rules.everything());
    assert!(matches!(set.enter(Path::new("/etc")), DirDecision::Skip));
}

#[test]
fn everything_below_shares_one_node() {
    let set = set(&["/srv inc, rec", "/srv/a/b exc, rec"]);
    let DirDecision::Enter { rules: srv, .. } = set.enter(Path::new("/srv")) else { panic!("not entered") };
    assert!(!srv.everything(), "/srv/a/b lies below");
    let DirDecision::Enter { included: true, rules: one } = srv.dir(b"one") else { panic!("not entered") };
    let DirDecision::Enter { included: true, rules: two } = srv.dir(b"two") else { panic!("not entered") };
    assert!(one.everything() && two.everything());
    let DirDecision::Enter { rules: a, .. } = srv.dir(b"a") else { panic!("not entered") };
    assert!(!a.everything());
    assert!(matches!(a.dir(b"b"), DirDecision::Skip));
}

#[test]
fn names_of_any_bytes() {
    let set = set(&["/srv/*.db inc, rec"]);
    assert!(set.explain(Path::new(OsStr::from_bytes(b"/srv/\xff\n.db")), false).0);
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let component =
        prop_oneof![4 => "[ab]", 1 => "[ab]\\*", 1 => "\\*[ab]", 1 => Just("*".to_owned()), 1 => "\\?"];
    (prop::collection::vec(component, 0..4), any::<bool>(), any::<bool>()).prop_map(
        |(parts, include, recursive)| Rule { path: format!("/{}", parts.join("/")), include, recursive },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn walking_agrees_with_the_definition(
        rules in prop::collection::vec(any_rule(), 0..6),
        paths in prop::collection::vec((prop::collection::vec("[ab]{1,2}", 0..5), any::<bool>()), 1..40),
    ) {
        let set = RuleSet::new(rules);
        for (parts, directory) in paths {
            if parts.is_empty() && !directory {
                continue;
            }
            let path = format!("/{}", parts.join("/"));
            prop_assert_eq!(
                walked(&set, &path, directory),
                set.explain(Path::new(&path), directory).0,
                "{} of {:?}", path, set.rules().iter().map(describe).collect::<Vec<_>>()
            );
            if set.explain(Path::new(&path), directory).0 {
                let root = set.roots().into_iter().find(|root| Path::new(&path).starts_with(root));
                prop_assert!(root.is_some(), "{} belongs and lies in no root", path);
            }
        }
    }
}
