//! Sets with excludes, wildcards and several roots: what the rules leave out never arrives, whatever moves where.

use crate::needs;
use crate::replication::{content, exists};
use crate::support::engine::Engine;
use crate::support::{Home, oracle, q, tree};
use std::fs;
use std::path::PathBuf;

/// Connects the rules (lines behind `repset rule add`) and mirrors.
fn connect(home: &Home, rules: &[String], map: &str) -> (Engine, i64) {
    let mut script = String::from("set RemapLink = 0\nrepset create t\n");
    for rule in rules {
        script.push_str(&format!("repset rule add {rule} to t\n"));
    }
    home.script(&(script + "repset save t\n")).ok();
    let mut engine = Engine::start(home, &[]);
    let connection = engine.ok(&format!("connect t to localhost map {map}"));
    engine.ok(&format!("waitonmirror {connection}"));
    (engine, connection)
}

fn write_all(root: &std::path::Path, names: &[&str]) {
    for name in names {
        tree::write(&root.join(name), name.as_bytes());
    }
}

#[test]
fn what_is_excluded_is_not_followed() {
    let home = Home::new();
    let (source, target) = (home.dir("source"), home.path("target"));
    write_all(&source, &["in/file", "in/skip/file", "in/a.tmp", "kept/1", "kept/2", "kept/3", "kept/4"]);
    let rules = [
        format!("{} include, recursive", q(&source)),
        format!("{} exclude, recursive", q(&source.join("in/skip"))),
        format!("{} exclude, recursive", q(&source.join("*.tmp"))),
    ];
    let (mut engine, c) = connect(&home, &rules, &format!("{} to {}", q(&source), q(&target)));
    write_all(&source, &["in/new", "in/skip/new", "in/skip/deep/new", "in/new.tmp"]);
    engine.barrier(c);
    assert_eq!(content(&target.join("in/new")), b"in/new");
    for name in ["in/skip", "in/a.tmp", "in/new.tmp"] {
        assert!(!exists(&target.join(name)), "{name} is excluded");
    }
    // From an excluded place to an included one, and back.
    fs::rename(source.join("in/skip/deep"), source.join("in/deep")).unwrap();
    fs::rename(source.join("in/a.tmp"), source.join("in/a.txt")).unwrap();
    engine.barrier(c);
    assert_eq!(content(&target.join("in/deep/new")), b"in/skip/deep/new");
    assert_eq!(content(&target.join("in/a.txt")), b"in/a.tmp");
    fs::rename(source.join("in/deep"), source.join("in/skip/again")).unwrap();
    fs::rename(source.join("in/a.txt"), source.join("in/b.tmp")).unwrap();
    engine.barrier(c);
    for name in ["in/deep", "in/a.txt", "in/b.tmp", "in/skip"] {
        assert!(!exists(&target.join(name)), "{name} is excluded now");
    }
}

/// Editors write so: to an excluded name, then over the included one.
#[test]
fn a_rename_from_an_excluded_name() {
    let home = Home::new();
    let (source, target) = (home.dir("source"), home.path("target"));
    write_all(&source, &["document", "kept/1", "kept/2", "kept/3"]);
    let rules = [
        format!("{} include, recursive", q(&source)),
        format!("{} exclude, recursive", q(&source.join("*.tmp"))),
    ];
    let (mut engine, c) = connect(&home, &rules, &format!("{} to {}", q(&source), q(&target)));
    for n in 0..20 {
        fs::write(source.join("document.tmp"), format!("version {n}")).unwrap();
        fs::rename(source.join("document.tmp"), source.join("document")).unwrap();
    }
    engine.barrier(c);
    assert_eq!(content(&target.join("document")), b"version 19");
    assert!(!exists(&target.join("document.tmp")));
}

#[test]
fn a_directory_without_what_is_below_it() {
    let home = Home::new();
    let (source, target) = (home.dir("source"), home.path("target"));
    write_all(&source, &["top", "top2", "top3", "sub/below"]);
    let rules = [format!("{} include, nonrecursive", q(&source))];
    let (mut engine, c) = connect(&home, &rules, &format!("{} to {}", q(&source), q(&target)));
    write_all(&source, &["new", "sub/new", "other/new"]);
    engine.barrier(c);
    assert_eq!(content(&target.join("new")), b"new");
    assert!(!exists(&target.join("sub/new")) && !exists(&target.join("other/new")));
}

#[test]
fn several_roots_to_one_base() {
    needs!("rsync");
    let home = Home::new();
    let roots: Vec<PathBuf> = ["one", "two/deeper", "three"].map(|name| home.dir(name)).to_vec();
    let base = home.path("base");
    for root in &roots {
        write_all(root, &["file", "sub/1", "sub/2", "sub/3", "sub/4"]);
    }
    let rules: Vec<String> = roots.iter().map(|root| format!("{} include, recursive", q(root))).collect();
    let (mut engine, c) = connect(&home, &rules, &format!("base {}", q(&base)));
    let copy = |root: &PathBuf| base.join(root.strip_prefix("/").unwrap());
    write_all(&roots[0], &["new/first"]);
    write_all(&roots[1], &["new/second"]);
    // Between two roots: both are inside.
    fs::rename(roots[0].join("sub"), roots[1].join("sub of one")).unwrap();
    fs::rename(roots[1].join("file"), roots[2].join("file of two")).unwrap();
    fs::hard_link(roots[2].join("file"), roots[0].join("linked across")).unwrap();
    engine.barrier(c);
    for root in &roots {
        oracle::assert_same(root, &copy(root));
    }
}

#[test]
fn several_roots_to_places_of_their_own() {
    needs!("rsync");
    let home = Home::new();
    let roots = [home.dir("one"), home.dir("two")];
    let copies = [home.path("copies/eins"), home.path("copies/zwei")];
    for root in &roots {
        write_all(root, &["file", "sub/1", "sub/2", "sub/3", "sub/4"]);
    }
    let rules: Vec<String> = roots.iter().map(|root| format!("{} include, recursive", q(root))).collect();
    let map = format!("{} to {}, {} to {}", q(&roots[0]), q(&copies[0]), q(&roots[1]), q(&copies[1]));
    let (mut engine, c) = connect(&home, &rules, &map);
    fs::rename(roots[0].join("sub"), roots[1].join("sub of one")).unwrap();
    write_all(&roots[1], &["sub of one/new"]);
    fs::remove_file(roots[1].join("file")).unwrap();
    engine.barrier(c);
    for (root, copy) in roots.iter().zip(&copies) {
        oracle::assert_same(root, copy);
    }
}

/// The home is never part of a set: its own log lines are no changes.
#[test]
fn a_home_inside_the_set_is_left_out() {
    let home = Home::new();
    tree::write(&home.path("files/file"), b"x");
    let target = Home::new();
    let rules = [format!("{} include, recursive", q(home.root()))];
    let (mut engine, c) =
        connect(&home, &rules, &format!("{} to {}", q(home.root()), q(&target.path("copy"))));
    tree::write(&home.path("files/new"), b"y");
    engine.barrier(c);
    assert_eq!(content(&target.path("copy/files/new")), b"y");
    assert!(!exists(&target.path("copy/home")));
    engine.wait_for_status(c, "replication", "Ready");
}
