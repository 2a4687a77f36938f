//! The ORPHANS commands as people use them, and what the target's log says (ORP-04 to -10).

use crate::migration::Migration;
use crate::support::{q, tree};

/// A mirrored tree, and orphans beside it: three files of eleven bytes in two places, one directory.
fn with_orphans() -> Migration {
    let m = Migration::new();
    for n in 0..20 {
        m.write(&format!("file {n}"), "content\n");
    }
    m.mirror("full").ok();
    tree::write(&m.target.join("alone"), b"hello");
    tree::write(&m.target.join("old/one"), b"abc");
    tree::write(&m.target.join("old/two"), b"def");
    m
}

#[test]
fn a_preview_lists_them_in_the_log_and_a_start_removes_the_same() {
    let m = with_orphans();
    m.run("orphans preview 1\nwaitonmirror 1\n").ok();
    let log = m.log();
    for name in ["alone", "old", "old/one", "old/two"] {
        let line = format!("Orphan: {}", m.target.join(name).display());
        assert!(log.lines().any(|logged| logged.ends_with(&line)), "{line}:\n{log}");
        assert!(m.target.join(name).exists());
    }
    let counted = format!("Orphans in {}: 3 files, 1 directories, 11 bytes", m.target.display());
    assert!(log.contains(&counted), "{log}");
    m.run("orphans start 1\nwaitonmirror 1\nstatus target localhost\n")
        .ok()
        .prints("Orphan Files Removed:")
        .prints("11");
    let log = m.log();
    assert!(log.contains("Delete Orphans Started <1>"), "{log}");
    let counted = format!("Orphans deleted from {}: 3 files, 1 directories, 11 bytes", m.target.display());
    assert!(log.contains(&counted), "{log}");
    // ORP-06: names only where they are wanted.
    assert!(!log.contains("Orphan deleted:"), "{log}");
    m.assert_same();
}

#[test]
fn moved_orphans_are_named_where_that_is_wanted() {
    let m = with_orphans();
    let aside = m.home.path("aside");
    m.home
        .script(&format!(
            "set MoveOrphanedFiles = 1\nset MoveOrphansDir = {}\nset LogAllOrphans = 1\n",
            q(&aside)
        ))
        .ok();
    m.run("orphans start 1\nwaitonmirror 1\n").ok();
    let moved = aside.join(m.target.strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(moved.join("old/two")).unwrap(), "def");
    let log = m.log();
    assert!(log.contains(&format!("Orphan moved: {}", m.target.join("old/two").display())), "{log}");
    assert!(log.contains(&format!("to {}: 3 files, 1 directories, 11 bytes", aside.display())), "{log}");
    m.assert_same();
}

#[test]
fn what_cannot_be_done_is_said() {
    let m = with_orphans();
    m.run("orphans stop 1\n").status(1).says("-121").says("no search for orphans runs on connection 1");
    m.run("orphans resume 1\n").status(1).says("-117");
    m.home.script("connect t to tdu\norphans start 1\n").status(1).says("null target");
    for n in 0..60 {
        tree::write(&m.target.join(format!("many/{n}")), b"x");
    }
    m.run("orphans start 1\nwaitonmirror 1\n").status(1).says("mass-deletion guard");
    assert!(m.target.join("many/59").exists() && m.target.join("alone").exists());
}
