//! `ExtendedAttributes`: 0 leaves extended attributes and ACLs out of mirror and verify alike, 1 takes them.

use crate::migration::Migration;
use crate::needs;
use crate::support::{oracle, tree};
use std::path::Path;
use std::process::Command;

fn migration(setting: u8) -> Migration {
    let m = Migration::new();
    let file = m.write("file", "content\n");
    let dir = m.source.join("dir");
    std::fs::create_dir(&dir).unwrap();
    tree::set_xattr(&file, "user.comment", "\"text\"");
    tree::set_acl(&file, "u:1234:rw");
    tree::set_acl(&dir, "u:1234:rwx,d:u:1234:rwx");
    m.home.script(&format!("set ExtendedAttributes = {setting}\n")).ok();
    m
}

fn dump(path: &Path) -> String {
    let output =
        Command::new("getfattr").args(["-d", "-m", "-", "--absolute-names"]).arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Can the temporary directory hold what the test is about?
fn supported(m: &Migration) -> bool {
    let dump = dump(&m.source.join("file"));
    dump.contains("user.comment") && dump.contains("posix_acl")
}

#[test]
fn taken_with_1() {
    needs!("rsync", "getfattr", "setfacl");
    let m = migration(1);
    if !supported(&m) {
        return crate::support::skip("attributes::taken_with_1", "no ACLs in the temporary directory");
    }
    m.mirror("full").ok();
    m.assert_same();
    // A difference in attributes alone is one for the mirror and for the verification.
    tree::set_xattr(&m.source.join("file"), "user.comment", "\"other\"");
    assert_ne!(oracle::differences(&m.source, &m.target), Vec::<String>::new());
    m.run("verify 1 checksum\n$r = waitonmirror 1\nverify report 1\n");
    assert!(m.verify_log().contains("file DIFFERENT ON TARGET"), "{}", m.verify_log());
    m.mirror("different").ok();
    m.assert_same();
    // So is an attribute that is on the target only.
    tree::set_xattr(&m.target.join("file"), "user.more", "\"x\"");
    tree::set_acl(&m.target.join("dir"), "u:999:r");
    m.mirror("different").ok();
    m.assert_same();
}

#[test]
fn left_out_with_0() {
    needs!("rsync", "getfattr", "setfacl");
    let m = migration(0);
    if !supported(&m) {
        return crate::support::skip("attributes::left_out_with_0", "no ACLs in the temporary directory");
    }
    m.mirror("full").ok();
    assert_eq!(dump(&m.target.join("file")), "");
    assert_eq!(dump(&m.target.join("dir")), "");
    assert_eq!(std::fs::read(m.target.join("file")).unwrap(), b"content\n");
    m.run("verify 1 checksum\nwaitonmirror 1\n").ok();
    assert!(!m.verify_log().contains("DIFFERENT ON TARGET"), "{}", m.verify_log());
    // What the target has of its own stays.
    tree::set_xattr(&m.target.join("file"), "user.own", "\"x\"");
    m.mirror("different").ok();
    assert!(dump(&m.target.join("file")).contains("user.own"));
}
