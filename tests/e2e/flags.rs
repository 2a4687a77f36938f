//! Each mirror flag: table 25.1, and the settings that steer a mirror.

use crate::migration::{Migration, sent};
use crate::support::tree;
use std::os::unix::fs::MetadataExt as _;

const OLD: i64 = 1_000_000_000;
const MIDDLE: i64 = 1_200_000_000;
const NEW: i64 = 1_500_000_000;

/// A mirrored set in which then everything differed in one way or none. `b` stands for the source's new content.
///
/// `same`: nothing; `size`: size only; `newer`, `older`: content, and the source's time is newer, older; `secret`:
/// content, with size and time as they were; `missing`: not on the target.
fn prepared() -> Migration {
    let m = Migration::new();
    for name in ["same", "size", "newer", "older", "secret"] {
        tree::set_time(&m.write(name, "aaaa"), MIDDLE, 0);
    }
    m.mirror("full").ok();
    for (name, content, time) in [
        ("size", "bbbbbb", MIDDLE),
        ("newer", "bbbb", NEW),
        ("older", "bbbb", OLD),
        ("secret", "bbbb", MIDDLE),
        ("missing", "bbbb", OLD),
    ] {
        tree::set_time(&m.write(name, content), time, 0);
    }
    m
}

/// The files whose new content arrived.
fn arrived(m: &Migration) -> Vec<&'static str> {
    ["size", "newer", "older", "secret", "missing"]
        .into_iter()
        .filter(|name| std::fs::read(m.target.join(name)).is_ok_and(|content| content.starts_with(b"bbbb")))
        .collect()
}

#[track_caller]
fn expect(flags: &str, settings: &str, names: &[&str]) {
    let m = prepared();
    m.home.script(settings).ok();
    m.mirror(flags).ok();
    assert_eq!(arrived(&m), names, "with {flags} {settings}");
    assert_eq!(std::fs::read(m.target.join("same")).unwrap(), b"aaaa");
}

#[test]
fn full_sends_every_file() {
    expect("full", "", &["size", "newer", "older", "secret", "missing"]);
}

#[test]
fn without_a_flag_it_is_full() {
    expect("", "", &["size", "newer", "older", "secret", "missing"]);
}

#[test]
fn different_sends_what_differs_by_size_or_time() {
    expect("different", "", &["size", "newer", "older", "missing"]);
}

#[test]
fn different_newer_sends_what_is_newer() {
    expect("different newer", "", &["newer", "missing"]);
}

#[test]
fn newer_alone_is_different_newer() {
    expect("newer", "", &["newer", "missing"]);
}

#[test]
fn checksum_of_flagged_files_without_checksum_all() {
    expect("different checksum", "set ChecksumAll = 0\n", &["size", "newer", "older", "missing"]);
}

#[test]
fn checksum_of_all_files_with_checksum_all() {
    expect("different checksum", "set ChecksumAll = 1\n", &["size", "newer", "older", "secret", "missing"]);
}

#[test]
fn newer_and_checksum_flags_by_date() {
    expect("different newer checksum", "set ChecksumAll = 1\n", &["newer", "missing"]);
}

#[test]
fn overwrite_never_sends_only_what_is_missing() {
    expect("full", "set MirrorOverwrite = 0\n", &["missing"]);
}

#[test]
fn overwrite_older_replaces_only_older_files() {
    expect("full", "set MirrorOverwrite = 2\n", &["newer", "missing"]);
}

#[test]
fn empty_files_stay_behind_without_mirror_zero_k_files() {
    for (setting, expected) in [(0, false), (1, true)] {
        let m = Migration::new();
        m.write("empty", "");
        m.write("full", "x");
        m.home.script(&format!("set MirrorZeroKFiles = {setting}\n")).ok();
        m.mirror("full").ok();
        assert_eq!(m.target.join("empty").exists(), expected, "MirrorZeroKFiles {setting}");
        assert!(m.target.join("full").exists());
    }
}

/// Only differing blocks travel, and the file keeps its inode.
#[test]
fn checksum_sends_only_differing_blocks() {
    let m = Migration::new();
    let file = m.write("large", crate::support::random::Random::new(1).bytes(8 << 20));
    m.mirror("full").ok();
    let inode = m.target.join("large").metadata().unwrap().ino();
    tree::flip_byte_secretly(&file, 5_000_000);
    let bytes = sent(&m.mirror("different checksum"));
    assert!(bytes > 0 && bytes <= 1 << 20, "one byte changed, {bytes} were sent");
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(m.target.join("large")).unwrap());
    assert_eq!(m.target.join("large").metadata().unwrap().ino(), inode, "changed in place");
}

#[test]
fn different_without_checksum_sends_the_whole_file() {
    let m = Migration::new();
    let file = m.write("large", vec![7; 3 << 20]);
    m.mirror("full").ok();
    tree::flip_byte_secretly(&file, 1_000_000);
    tree::set_time(&file, NEW, 0);
    assert!(sent(&m.mirror("different")) >= 3 << 20);
}

#[test]
fn attributes_of_the_same_data_are_sent_without_data() {
    let m = Migration::new();
    let file = m.write("file", vec![7; 100_000]);
    m.mirror("full").ok();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert_eq!(sent(&m.mirror("different")), 0);
    assert_eq!(m.target.join("file").metadata().unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn clean_empties_the_target_only_where_it_is_allowed() {
    let m = Migration::new();
    for n in 0..10 {
        m.write(&format!("file {n}"), "content\n");
    }
    m.mirror("full").ok();
    tree::write(&m.target.join("orphan"), b"on the target only\n");
    m.run("mirror start 1 full clean\n").status(1).says("Cleaner");
    assert!(m.target.join("orphan").exists());
    m.home.script("set Cleaner = 1\n").ok();
    m.mirror("full clean").ok();
    assert!(!m.target.join("orphan").exists());
    assert!(m.target.join("file 9").exists());
}

#[test]
fn a_mirror_can_be_paused_resumed_and_stopped() {
    // The mirror has to be running still when the next command comes: a larger tree, if it was not.
    for files in [2000, 20_000, 100_000] {
        let m = Migration::new();
        for n in 0..files {
            m.write(&format!("{:03}/{n}", n / 500), "x");
        }
        let ran = m.run(
            "mirror start 1 full\n$p = mirror pause 1\nIF $p = -121 THEN EXIT 99 END\n\
             $again = mirror start 1\nwrite \"again \" $again\n\
             $waited = waitonmirror 1 timeout = 0\nwrite \"waited \" $waited\n\
             mirror resume 1\nwaitonmirror 1\n\
             mirror start 1 full\nmirror stop 1\nwrite \"state \" (status(1).target_state)\n",
        );
        if ran.status == 99 {
            continue;
        }
        ran.ok().prints("again -113").prints("waited 0").prints("state Mirror Required");
        assert_eq!(tree::all(&m.source).len(), tree::all(&m.target).len());
        return;
    }
    panic!("a mirror of 100,000 files ended before it could be paused");
}
