//! Sets, paths and names that cannot work: one clear sentence each, and nothing is lost.

use crate::migration::{Migration, sent};
use crate::support::{Home, q, tree};
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn an_unknown_set() {
    let home = Home::new();
    home.script("repset create payroll\nrepset save payroll\nconnect payrol to localhost map exact\n")
        .status(1)
        .says("payrol")
        .says("script.dtcl:3:");
    home.script("repset display nothing\n").status(1).says("nothing");
}

#[test]
fn an_unknown_connection() {
    let home = Home::new();
    home.script("mirror start 7\n").status(1).says("7").says("-107");
    home.script("$r = status con 7\nwrite $r\n").ok().prints("-107\n");
}

#[test]
fn an_unsaved_set_cannot_be_connected() {
    let home = Home::new();
    let data = home.dir("data");
    home.script(&format!(
        "repset create t\nrepset rule add {} include to t\nconnect t to localhost map exact\n",
        q(&data)
    ))
    .status(1)
    .says("-144")
    .says("repset save");
}

#[test]
fn a_set_whose_rule_names_nothing() {
    let home = Home::new();
    let missing = home.path("not there");
    let ran = home.script(&format!(
        "repset create t\nrepset rule add {} include to t\nrepset save t\n\
         connect t to localhost map {} to {} mirror full\nwaitonmirror 1\n",
        q(&missing),
        q(&missing),
        q(&home.path("target"))
    ));
    ran.status(1).says("not there");
}

/// A root that vanished must never empty its copy.
#[test]
fn a_source_root_that_vanished_never_empties_the_target() {
    let m = Migration::new();
    for n in 0..10 {
        m.write(&format!("file {n}"), "content\n");
    }
    m.mirror("full").ok();
    std::fs::remove_dir_all(&m.source).unwrap();
    let ran = m.mirror("different orphans");
    assert_ne!(ran.status, 0, "{}", ran.report());
    assert_eq!(tree::all(&m.target).len(), 10);
}

#[test]
fn a_target_inside_the_sets_own_data() {
    let m = Migration::new();
    m.write("file", "content\n");
    std::fs::create_dir(m.source.join("sub")).unwrap();
    // By another name of the same directory too.
    std::os::unix::fs::symlink(&m.source, m.home.path("alias")).unwrap();
    for target in
        [m.source.clone(), m.source.join("copy"), m.source.join("sub/copy"), m.home.path("alias/copy")]
    {
        m.home
            .script(&format!("connect t to localhost map {} to {} mirror\n", q(&m.source), q(&target)))
            .status(1)
            .says("the set's own data");
    }
    assert_eq!(tree::all(&m.source).len(), 2, "nothing was made");
}

#[test]
fn two_sets_to_one_place() {
    let m = Migration::new();
    let other = m.home.dir("other");
    let ran = m.run(&format!(
        "repset create u\nrepset rule add {other} include to u\nrepset save u\n\
         connect u to localhost map {other} to {target} mirror\n",
        other = q(&other),
        target = q(&m.target)
    ));
    ran.status(1).says(m.target.to_str().unwrap());
}

#[test]
fn a_pseudo_file_system_in_a_rule() {
    let m = Migration::new();
    m.write("file", "content\n");
    let ran = m.home.script(&format!(
        "repset rule add \"/proc\" include to t\nrepset save t\n\
         connect t to localhost map {} to {}, \"/proc\" to {} mirror full\n$r = waitonmirror 1\n",
        q(&m.source),
        q(&m.target),
        q(&m.home.path("proc copy"))
    ));
    ran.ok();
    assert!(m.target.join("file").exists(), "the rest is mirrored\n{}", ran.report());
    assert!(tree::all(&m.home.path("proc copy")).is_empty(), "/proc was copied");
    assert!(m.log().contains("/proc"), "the log names it\n{}", m.log());
}

#[test]
fn illegal_names_and_long_rules() {
    let home = Home::new();
    for name in ["a.b", "a?b", "a<b", "a>b", "a:b", "a\"\"b", "a\\b", "a/b", "a*b", "a|b"] {
        home.script(&format!("repset create \"{name}\"\n")).status(1);
    }
    let path = |len: usize| format!("/{}", "x".repeat(len - 1));
    home.script(&format!("repset create t\nrepset rule add \"{}\" include to t\n", path(259))).ok();
    home.script(&format!("repset create u\nrepset rule add \"{}\" include to u\n", path(260)))
        .status(1)
        .says("259");
    home.script("repset create v\nrepset rule add \"relative/path\" include to v\n")
        .status(1)
        .says("relative/path");
}

#[test]
fn names_of_any_bytes_arrive_and_are_logged_escaped() {
    let m = Migration::new();
    for name in tree::odd_names() {
        tree::write(&m.source.join(&name), b"content\n");
    }
    // Not readable for a plain user; root reads it, so the log is only looked at when it failed.
    m.mirror("full").ok();
    assert_eq!(tree::all(&m.source).len(), tree::all(&m.target).len());
    assert_eq!(sent(&m.mirror("different")), 0);
    let dry = m.run("mirror start 1 full dryrun\n");
    dry.ok();
    assert!(!dry.out.contains('\u{1b}'), "control bytes reach the terminal as they are");
    assert_eq!(dry.out.matches("new\nline").count(), 0, "a name breaks the line\n{}", dry.report());
    assert!(!m.log().contains('\u{1b}'));
}

/// A path over 4094 bytes is skipped and logged (REP-37), all else is mirrored.
#[test]
fn a_path_over_4094() {
    let m = Migration::new();
    m.write("near", "content\n");
    let name = "d".repeat(200);
    let mut dir = open(&m.source, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..25 {
        mkdirat(&dir, name.as_str(), Mode::from_bits_truncate(0o755)).unwrap();
        dir = openat(&dir, name.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    let ran = m.mirror("full");
    assert!(m.target.join("near").exists(), "{}", ran.report());
    assert!(m.log().contains("4094"), "the log says why\n{}", m.log());
    // What the limit allows is there.
    let allowed: std::path::PathBuf = (0..15).map(|_| name.as_str()).collect();
    assert!(m.target.join(allowed).is_dir());
}

#[test]
fn the_null_target_does_not_replicate() {
    let m = Migration::new();
    m.home.script("connect t to tdu replicate\n").status(1).says("-161").says("null target");
}

#[test]
fn settings_out_of_range_change_nothing() {
    let home = Home::new();
    for bad in
        ["MirrorChunkSize = 0", "MirrorChunkSize = 1048577", "MirrorChunkSize = many", "MirrorOverwrite = 3"]
    {
        let ran = home.script(&format!("set {bad}\n"));
        assert!(ran.status == 1 || ran.status == 2, "set {bad}\n{}", ran.report());
    }
    home.script("get MirrorChunkSize\nget MirrorOverwrite\n")
        .ok()
        .prints("MirrorChunkSize = 65536\n")
        .prints("MirrorOverwrite = 1\n");
    let ran = home.script("get MirrorChunkSiz\n");
    assert_ne!(ran.status, 0);
    ran.says("MirrorChunkSize");
}

/// A home that cannot be made is said with its path.
#[test]
fn a_home_that_cannot_be_made() {
    let home = Home::new();
    home.file("home", "a file is in the way\n");
    let ran = home.script("repset list\n");
    assert_ne!(ran.status, 0);
    ran.says(home.home().to_str().unwrap());
    assert_eq!(std::fs::read(home.home()).unwrap(), b"a file is in the way\n");
    assert!(home.home().metadata().unwrap().permissions().mode() & 0o400 != 0);
}
