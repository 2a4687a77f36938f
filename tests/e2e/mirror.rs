//! What arrives is the same tree, and a second run sends nothing.

use crate::migration::{Migration, sent};
use crate::needs;
use crate::support::{Home, oracle, q, tree};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

fn with_every_kind() -> Migration {
    let home = Home::new();
    let (source, target) = (home.path("source"), home.path("target"));
    tree::every_kind(&source, &home.path("outside"));
    Migration::between(home, source, target)
}

#[test]
fn every_kind_of_file_arrives() {
    needs!("rsync");
    let m = with_every_kind();
    m.mirror("full").ok();
    m.assert_same();
    // The target's files are its own: no name of it is a link to the source's.
    let inode = |path: PathBuf| std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino())).unwrap();
    assert_ne!(inode(m.source.join("small.txt")), inode(m.target.join("small.txt")));
}

#[test]
fn a_second_run_sends_nothing() {
    needs!("rsync");
    let m = with_every_kind();
    m.mirror("full").ok();
    assert_eq!(sent(&m.mirror("different")), 0);
    assert_eq!(sent(&m.mirror("different checksum")), 0);
    let dry = m.run("mirror start 1 different dryrun\n");
    assert!(!dry.ok().out.contains(m.source.to_str().unwrap()), "a dry run names nothing\n{}", dry.report());
    m.assert_same();
}

#[test]
fn a_full_mirror_over_a_finished_one_changes_nothing() {
    needs!("rsync");
    let m = with_every_kind();
    m.mirror("full").ok();
    assert!(sent(&m.mirror("full")) > 1_000_000, "a full mirror sends every file");
    m.assert_same();
}

#[test]
fn holes_stay_holes() {
    let m = Migration::new();
    tree::sparse(&m.source.join("middle"), 64 << 20, &[(0, 4096), (32 << 20, 4096)]);
    tree::sparse(&m.source.join("end"), 64 << 20, &[(0, 4096)]);
    m.mirror("full").ok();
    for name in ["middle", "end"] {
        let (from, to) = (m.source.join(name).metadata().unwrap(), m.target.join(name).metadata().unwrap());
        assert_eq!(from.len(), to.len());
        assert!(
            to.blocks() <= from.blocks() + 256,
            "{name}: {} blocks became {}",
            from.blocks(),
            to.blocks()
        );
    }
}

#[test]
fn hard_links_are_linked_again() {
    let m = with_every_kind();
    m.mirror("full").ok();
    let inode = |name: &str| m.target.join(name).metadata().unwrap().ino();
    assert_eq!(inode("links/first"), inode("links/second"));
    assert_eq!(inode("links/first"), inode("links/deeper/third"));
    assert_eq!(inode("links/crossing-a"), inode("links/crossing-b"));
    assert_eq!(m.target.join("links/crossing").metadata().unwrap().nlink(), 1);
}

#[test]
fn remapped_links_are_the_only_difference() {
    needs!("rsync");
    let m = with_every_kind();
    m.home.script("set RemapLink = 1\n").ok();
    m.mirror("full").ok();
    let remapped = ["soft/absolute inside", "soft/the root"];
    let link = |name: &str| std::fs::read_link(m.target.join(name)).unwrap();
    assert_eq!(link(remapped[0]), m.target.join("small.txt"));
    assert_eq!(link(remapped[1]), m.target);
    assert_eq!(link("soft/relative"), Path::new("../small.txt"));
    assert_eq!(link("soft/absolute outside"), m.home.path("outside/shared-1"));
    for line in oracle::differences(&m.source, &m.target) {
        assert!(
            line.starts_with("cL") && remapped.iter().any(|name| line.contains(name)),
            "also differs: {line}"
        );
    }
    assert_eq!(sent(&m.mirror("different")), 0, "a remapped link is no difference");
}

#[test]
fn a_changed_tree_follows() {
    needs!("rsync");
    let m = with_every_kind();
    m.mirror("full").ok();
    m.write("small.txt", "another content\n");
    m.write("new/one", "new\n");
    std::fs::remove_file(m.source.join("soft/relative")).unwrap();
    std::os::unix::fs::symlink("../data", m.source.join("soft/relative")).unwrap();
    std::fs::remove_file(m.source.join("links/second")).unwrap();
    m.write("links/second", "not linked any more\n");
    std::fs::remove_dir_all(m.source.join("times")).unwrap();
    m.write("times", "a file where a directory was\n");
    std::fs::rename(m.source.join("data"), m.source.join("data moved")).unwrap();
    let ran = m.mirror("different orphans");
    ran.ok();
    m.assert_same();
}

#[test]
fn orphans_stay_unless_they_are_to_go() {
    needs!("rsync");
    let m = Migration::new();
    for n in 0..20 {
        m.write(&format!("file {n}"), "content\n");
    }
    m.mirror("full").ok();
    tree::write(&m.target.join("orphan"), b"on the target only\n");
    tree::write(&m.target.join("orphans/inner"), b"on the target only\n");
    m.mirror("full").ok();
    m.mirror("different").ok();
    assert!(m.target.join("orphan").exists() && m.target.join("orphans/inner").exists());
    m.mirror("different orphans").ok();
    m.assert_same();
}

#[test]
fn real_data_arrives() {
    needs!("rsync");
    // As root what a system really holds; else what everybody may read.
    for tree in ["/usr/share/doc", "/usr/share/man", "/etc"] {
        let tree = Path::new(tree);
        if !tree.is_dir() || (tree == Path::new("/etc") && !crate::support::is_root()) {
            continue;
        }
        let home = Home::new();
        let target = home.path("target");
        let m = Migration::between(home, tree.to_path_buf(), target);
        m.mirror("full").ok();
        m.assert_same();
        assert_eq!(sent(&m.mirror("different")), 0, "{}", tree.display());
    }
}

/// The home lies in the tree that is mirrored: it is left out, and the log says so.
#[test]
fn the_running_engines_home_is_left_out() {
    needs!("rsync");
    let home = Home::new();
    let elsewhere = tempfile::tempdir().unwrap();
    home.file("data/file", "content\n");
    let (source, target) = (home.root().to_path_buf(), elsewhere.path().join("target"));
    let m = Migration::between(home, source, target);
    m.mirror("full").ok();
    assert!(m.target.join("data/file").exists());
    assert!(!m.target.join("home").exists(), "the home was copied");
    assert!(
        m.log().contains(m.home.home().to_str().unwrap()),
        "the log names what was left out\n{}",
        m.log()
    );
    for line in oracle::differences(&m.source, &m.target) {
        let only_home = line.contains(" home/") || line.contains("script.dtcl") || line.contains(" ./");
        assert!(only_home || line.contains("time of"), "also differs: {line}");
    }
}

#[test]
fn a_set_may_hold_one_file_and_wildcards() {
    let home = Home::new();
    let source = home.dir("source");
    for name in ["a.db", "b.db", "b.log", "sub/c.db", "sub/c.log", "secret/d.db"] {
        home.file(&format!("source/{name}"), name);
    }
    home.file("single", "one file\n");
    let target = home.path("target");
    let single = home.path("single");
    home.script(&format!(
        "repset create t\nrepset rule add {} include to t\nrepset rule add {} exclude to t\n\
         repset rule add {} include to t\nrepset save t\n\
         connect t to localhost map {} to {}, {} to {} mirror full\nwaitonmirror 1\n",
        q(&source.join("*.db")),
        q(&source.join("secret")),
        q(&single),
        q(&source),
        q(&target),
        q(&single),
        q(&home.path("elsewhere/single")),
    ))
    .ok();
    let mut found: Vec<PathBuf> = tree::all(&target).into_iter().filter(|path| path.is_file()).collect();
    found.sort();
    assert_eq!(found, ["a.db", "b.db", "sub/c.db"].map(|name| target.join(name)));
    assert_eq!(std::fs::read(home.path("elsewhere/single")).unwrap(), b"one file\n");
}

/// What cannot be copied as it was asked for is a failure, never silence.
#[test]
fn a_single_file_under_another_name_is_copied_or_refused() {
    let home = Home::new();
    let (single, copy) = (home.file("single", "one file\n"), home.path("another name"));
    home.file("dir/other", "x");
    let ran = home.script(&format!(
        "repset create t\nrepset rule add {single} include to t\nrepset rule add {dir} include to t\nrepset save t\n\
         connect t to localhost map {single} to {copy}, {dir} to {to} mirror full\nwaitonmirror 1\n",
        single = q(&single),
        copy = q(&copy),
        dir = q(&home.path("dir")),
        to = q(&home.path("to")),
    ));
    let copied = std::fs::read(&copy).is_ok_and(|content| content == b"one file\n");
    assert!(copied || (ran.status == 1 && ran.err.contains("single")), "{}", ran.report());
}

/// The mass-deletion guard: a mirror that would remove more than its share of the copy removes nothing.
#[test]
fn the_mass_deletion_guard_keeps_the_copy() {
    let m = Migration::new();
    for n in 0..100 {
        m.write(&format!("{}/file {n}", n % 10), "content\n");
    }
    m.mirror("full").ok();
    for n in 0..8 {
        std::fs::remove_dir_all(m.source.join(n.to_string())).unwrap();
    }
    m.mirror("different orphans").status(1).says("mass-deletion guard");
    assert_eq!(tree::all(&m.target).len(), 110);
    m.home.script("set MassDeletionGuard = 100\n").ok();
    m.mirror("different orphans").ok();
    assert_eq!(tree::all(&m.target).len(), 22);
}

#[test]
fn a_dry_run_names_each_file_and_changes_nothing() {
    let m = Migration::new();
    m.write("first", "1");
    m.write("sub/second", "22");
    let dry = m.run("mirror start 1 full dryrun\n");
    dry.ok();
    for name in ["first", "sub/second"] {
        let line =
            dry.out.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{}", dry.report()));
        assert!(
            line.contains("full mirror") || line.contains("missing"),
            "the reason stands beside it: {line}"
        );
    }
    assert!(tree::all(&m.target).is_empty(), "a dry run wrote to the target");
}

#[test]
fn the_log_holds_the_mirror_summary() {
    let m = Migration::new();
    m.write("first", "12345");
    m.mirror("full").ok();
    let log = m.log();
    for text in
        ["Mirror Started", "Mirror Ended <1>", "Files Mirrored: 1", "Bytes Mirrored: 5", "Elapsed Time: "]
    {
        assert!(log.contains(text), "the log does not hold {text:?}\n{log}");
    }
}

#[test]
fn the_null_target_counts_and_keeps_nothing() {
    let m = Migration::new();
    m.write("first", "12345");
    let ran = m.home.script(
        "connect t to tdu mirror full\nwaitonmirror 1\nwrite \"sent \" (status(1).mirror_bytes_transmitted)\n",
    );
    assert_eq!(sent(&ran), 5);
    assert!(!m.target.exists());
}
