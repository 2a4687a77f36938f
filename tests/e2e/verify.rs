//! A verification reads both sides from disk: one changed byte is found, wherever it is and however it hides.

use crate::migration::Migration;
use crate::support::tree;

/// Two files of 300,000 bytes, mirrored.
fn mirrored() -> Migration {
    let m = Migration::new();
    for name in ["first", "sub/second"] {
        m.write(name, crate::support::random::Random::new(5).bytes(300_000));
    }
    m.mirror("full").ok();
    m
}

const VERIFY: &str = "verify 1 checksum\n$r = waitonmirror 1\nverify report 1\n";

#[test]
fn two_equal_trees_have_no_difference() {
    let m = mirrored();
    m.run("verify 1 checksum\nwaitonmirror 1\n").ok();
    let log = m.verify_log();
    assert!(!log.contains("DIFFERENT ON TARGET") && !log.contains("MISSING"), "{log}");
    assert!(log.contains("--- VERIFICATION OF CONNECTION 1, CHECKSUM ENABLED (t for "), "{log}");
    assert!(log.contains("Start Time: ") && log.contains("Completion Time: "), "{log}");
    assert!(log.contains("--- END OF VERIFICATION ---"), "{log}");
}

#[test]
fn one_byte_changed_on_the_source_is_found() {
    let m = mirrored();
    tree::flip_byte_secretly(&m.source.join("sub/second"), 299_999);
    let ran = m.run(VERIFY);
    assert!(
        m.verify_log().contains("sub/second DIFFERENT ON TARGET"),
        "{}\n{}",
        m.verify_log(),
        ran.report()
    );
    assert!(!m.verify_log().contains("first DIFFERENT"), "{}", m.verify_log());
    assert!(m.verify_log().contains("BYTES OUT OF SYNC"), "{}", m.verify_log());
    ran.prints("sub/second");
}

#[test]
fn one_byte_changed_on_the_target_is_found() {
    let m = mirrored();
    tree::flip_byte_secretly(&m.target.join("first"), 0);
    m.run(VERIFY).prints("first");
    assert!(m.verify_log().contains("first DIFFERENT ON TARGET"), "{}", m.verify_log());
}

#[test]
fn what_is_missing_is_named() {
    let m = mirrored();
    std::fs::remove_file(m.target.join("first")).unwrap();
    m.run(VERIFY).prints("first");
    assert!(m.verify_log().contains("first MISSING ON TARGET"), "{}", m.verify_log());
}

#[test]
fn a_verification_alone_changes_nothing() {
    let m = mirrored();
    tree::flip_byte_secretly(&m.target.join("first"), 0);
    let before = std::fs::read(m.target.join("first")).unwrap();
    m.run(VERIFY);
    assert_eq!(std::fs::read(m.target.join("first")).unwrap(), before);
}

#[test]
fn remirror_puts_it_right_and_logs_the_state_before() {
    let m = mirrored();
    tree::flip_byte_secretly(&m.target.join("first"), 100_000);
    std::fs::remove_file(m.target.join("sub/second")).unwrap();
    m.run("verify 1 remirror checksum\n$r = waitonmirror 1\n");
    assert!(m.verify_log().contains("first DIFFERENT ON TARGET"), "{}", m.verify_log());
    for name in ["first", "sub/second"] {
        assert_eq!(std::fs::read(m.source.join(name)).unwrap(), std::fs::read(m.target.join(name)).unwrap());
    }
    m.run("verify 1 checksum\nwaitonmirror 1\n").ok();
}

#[test]
fn remirror_newer_leaves_what_is_newer_on_the_target() {
    let m = mirrored();
    for (name, time) in [("first", 2_000_000_000), ("sub/second", 1_000_000_000)] {
        tree::flip_byte_secretly(&m.target.join(name), 7);
        tree::set_time(&m.target.join(name), time, 0);
    }
    m.run("verify 1 remirror newer checksum\n$r = waitonmirror 1\n");
    let same = |name: &str| {
        std::fs::read(m.source.join(name)).unwrap() == std::fs::read(m.target.join(name)).unwrap()
    };
    assert!(!same("first"), "newer on the target, and yet replaced");
    assert!(same("sub/second"), "older on the target, and yet kept");
}

#[test]
fn the_log_is_appended_to_or_begun_anew_and_stays_within_its_limit() {
    let m = mirrored();
    let starts = |m: &Migration| m.verify_log().matches("Start Time: ").count();
    m.run(VERIFY);
    m.run(VERIFY);
    assert_eq!(starts(&m), 2, "VerifyLogAppend is 1 by default");
    m.home.script("set VerifyLogAppend = 0\n").ok();
    m.run(VERIFY);
    assert_eq!(starts(&m), 1);

    m.home.script("set VerifyLogLimit = 2000\n").ok();
    for n in 0..100 {
        m.write(&format!("not on the target {n}"), "x");
    }
    m.run(VERIFY);
    assert!(m.verify_log().len() <= 2000, "{} bytes", m.verify_log().len());
}

#[test]
fn not_while_a_mirror_runs() {
    for files in [2000, 50_000] {
        let m = Migration::new();
        for n in 0..files {
            m.write(&format!("{:03}/{n}", n / 500), "x");
        }
        let ran = m.run(
            "mirror start 1 full\n$p = mirror pause 1\nIF $p = -121 THEN EXIT 99 END\n\
             $v = verify 1\nwrite \"verify \" $v\nmirror stop 1\n",
        );
        if ran.status != 99 {
            ran.ok().prints("verify -108");
            return;
        }
    }
    panic!("a mirror of 50,000 files ended before it could be paused");
}
