//! The test support itself: the program starts and its status arrives; the trees hold what they promise; the oracle
//! sees what was changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use support::random::Random;
use support::{Home, oracle, tree};

#[test]
fn wrong_usage_is_status_2() {
    let home = Home::new();
    home.dtcl().arg("--no-such-option").run().status(2);
}

#[test]
fn the_tree_holds_every_kind() {
    let home = Home::new();
    let root = home.path("tree");
    tree::every_kind(&root, &home.path("outside"));
    let meta = |name: &str| std::fs::symlink_metadata(root.join(name)).unwrap();
    assert!(meta("sparse/middle").blocks() * 512 < meta("sparse/middle").len() / 4, "holes are holes");
    assert_eq!(meta("links/first").nlink(), 3);
    assert_eq!(meta("links/crossing-a").ino(), meta("links/crossing-b").ino());
    assert_eq!(meta("times/before 1970").mtime_nsec(), 999_999_999);
    assert!(tree::all(&root).len() > 400);
}

#[test]
fn the_oracle_sees_random_changes_and_nothing_else() {
    needs!("rsync");
    let home = Home::new();
    let (root, copy) = (home.path("tree"), home.path("copy"));
    for seed in 0..3 {
        tree::random(&root, seed, 80);
        let from = format!("{}/", root.display());
        let copied = Command::new("rsync").args(["-aHAX", "--delete", &from]).arg(&copy).status().unwrap();
        assert!(copied.success());
        assert_eq!(oracle::differences_with(&root, &copy, &["-aHAX"]), Vec::<String>::new());
        tree::change(&root, &mut Random::new(seed), 30);
        assert_ne!(oracle::differences(&root, &copy), Vec::<String>::new());
    }
}
