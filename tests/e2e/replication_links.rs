//! Rules for links and for moves across the set's border, each by its number (availability.md, REP-10 to REP-34).

use crate::migration::Migration;
use crate::needs;
use crate::replication::{Following, content, exists, inode};
use crate::support::engine::Engine;
use crate::support::{Home, oracle, q, tree};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Connected with this value of `RemapLink`.
fn remapping(value: u8, fill: impl FnOnce(&Migration)) -> Following {
    Following::with(|m| {
        m.home.script(&format!("set RemapLink = {value}\n")).ok();
        fill(m);
    })
}

fn text(link: &Path) -> PathBuf {
    fs::read_link(link).unwrap_or_else(|error| panic!("{}: {error}", link.display()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) {
    let status = Command::new(program).args(arguments).args(paths).status().unwrap();
    assert!(status.success(), "{program} {arguments:?} {paths:?}");
}

#[test]
fn rep_10_a_soft_link_above_the_entry_point_is_a_directory_on_the_target() {
    let home = Home::new();
    let real = home.dir("real/data");
    fs::write(real.join("file"), "x").unwrap();
    symlink(home.path("real"), home.path("link")).unwrap();
    let (base, entry) = (home.path("base"), home.path("link/data"));
    let rule = format!("repset rule add {} include, recursive to u", q(&entry));
    home.script(&format!("repset create u\n{rule}\nrepset save u\n")).ok();
    let mut engine = Engine::start(&home, &[]);
    let c = engine.ok(&format!("connect u to localhost map base {}", q(&base)));
    engine.ok(&format!("waitonmirror {c}"));
    fs::write(real.join("new"), "y").unwrap();
    engine.barrier(c);
    let copy = base.join(entry.strip_prefix("/").unwrap());
    assert!(fs::symlink_metadata(copy.parent().unwrap()).unwrap().is_dir(), "a link on the target's path");
    assert_eq!((content(&copy.join("file")), content(&copy.join("new"))), (b"x".to_vec(), b"y".to_vec()));
}

#[test]
fn rep_11_a_soft_link_into_the_set_is_remapped() {
    let mut f = remapping(1, |_| ());
    symlink(f.source("kept/1"), f.source("made")).unwrap();
    symlink(f.source("kept"), f.outside("moved")).unwrap();
    fs::rename(f.outside("moved"), f.source("moved")).unwrap();
    f.barrier();
    assert_eq!(text(&f.target("made")), f.target("kept/1"));
    assert_eq!(text(&f.target("moved")), f.target("kept"));
}

#[test]
fn rep_11_a_soft_link_into_the_set_keeps_its_text_with_remap_link_0() {
    let mut f = remapping(0, |_| ());
    symlink(f.source("kept/1"), f.source("made")).unwrap();
    symlink(f.source("kept"), f.outside("moved")).unwrap();
    fs::rename(f.outside("moved"), f.source("moved")).unwrap();
    f.barrier();
    assert_eq!(text(&f.target("made")), f.source("kept/1"));
    assert_eq!(text(&f.target("moved")), f.source("kept"));
}

#[test]
fn rep_12_a_soft_link_out_of_the_set_keeps_its_text() {
    for value in [0, 1] {
        let mut f = remapping(value, |_| ());
        let outside = f.outside("file");
        symlink(&outside, f.source("made")).unwrap();
        symlink(&outside, f.outside("moved")).unwrap();
        fs::rename(f.outside("moved"), f.source("moved")).unwrap();
        f.barrier();
        assert_eq!((text(&f.target("made")), text(&f.target("moved"))), (outside.clone(), outside));
    }
}

#[test]
fn rep_13_a_soft_link_moved_out_or_deleted_is_deleted() {
    let mut f = Following::with(|m| {
        symlink("kept/1", m.source.join("moved")).unwrap();
        symlink("kept/1", m.source.join("deleted")).unwrap();
    });
    assert!(exists(&f.target("moved")) && exists(&f.target("deleted")));
    fs::rename(f.source("moved"), f.outside("moved")).unwrap();
    fs::remove_file(f.source("deleted")).unwrap();
    f.barrier();
    assert!(!exists(&f.target("moved")) && !exists(&f.target("deleted")));
    assert!(exists(&f.target("kept/1")), "what a link leads to stays");
}

#[test]
fn rep_14_a_soft_link_to_a_file_is_copied_as_cp_copies_it() {
    needs!("rsync", "cp");
    let mut f = Following::new();
    fs::write(f.outside("file"), "content").unwrap();
    symlink(f.outside("file"), f.outside("link")).unwrap();
    run("cp", &["-L"], &[&f.outside("link"), &f.source("followed")]);
    run("cp", &["-P"], &[&f.outside("link"), &f.source("not followed")]);
    f.assert_same();
    assert!(fs::symlink_metadata(f.target("followed")).unwrap().is_file());
    assert_eq!(text(&f.target("not followed")), f.outside("file"));
}

#[test]
fn rep_15_a_soft_link_to_a_directory_is_copied_as_cp_copies_it() {
    needs!("rsync", "cp");
    let mut f = Following::new();
    fs::write(f.outside("dir/file"), "content").unwrap();
    symlink(f.outside("dir"), f.outside("link")).unwrap();
    run("cp", &["-rL"], &[&f.outside("link"), &f.source("followed")]);
    run("cp", &["-a"], &[&f.outside("link"), &f.source("not followed")]);
    f.assert_same();
    assert_eq!(content(&f.target("followed/file")), b"content");
    assert!(fs::symlink_metadata(f.target("not followed")).unwrap().is_symlink());
}

#[test]
fn rep_16_chmod_on_a_soft_link_is_one_on_what_it_leads_to() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        m.write("file", "x");
        symlink("file", m.source.join("link")).unwrap();
    });
    let outside = f.outside("link");
    symlink(f.source("file"), &outside).unwrap();
    chmod(&f.source("link"), 0o640);
    f.assert_same();
    assert_eq!(mode(&f.target("file")), 0o640);
    chmod(&outside, 0o604);
    f.assert_same();
    assert_eq!(mode(&f.target("file")), 0o604);
}

#[test]
fn rep_17_a_write_through_a_soft_link_is_one_to_what_it_leads_to() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        m.write("file", "x");
        symlink("file", m.source.join("link")).unwrap();
    });
    fs::write(f.source("link"), "written through a link inside").unwrap();
    f.assert_same();
    let outside = f.outside("link");
    symlink(f.source("file"), &outside).unwrap();
    fs::write(&outside, "written through a link outside").unwrap();
    f.assert_same();
    assert_eq!(content(&f.target("file")), b"written through a link outside");
}

/// Two names inside, one outside, of one file.
fn crossing() -> Following {
    Following::with(|m| {
        m.write("one", "shared\n");
        fs::hard_link(m.source.join("one"), m.source.join("two")).unwrap();
        fs::create_dir_all(m.home.path("outside")).unwrap();
        fs::hard_link(m.source.join("one"), m.home.path("outside/three")).unwrap();
    })
}

#[test]
fn rep_20_hard_links_inside_are_linked_on_the_target() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        m.write("one", "shared\n");
        fs::hard_link(m.source.join("one"), m.source.join("kept/two")).unwrap();
    });
    f.assert_same();
    assert_eq!(inode(&f.target("one")), inode(&f.target("kept/two")));
    tree::write(&f.source("new"), b"made while it runs");
    fs::hard_link(f.source("new"), f.source("kept/new")).unwrap();
    f.assert_same();
    assert_eq!(inode(&f.target("new")), inode(&f.target("kept/new")));
}

#[test]
fn rep_21_of_a_hard_link_across_the_border_only_inside_names_are_mirrored() {
    let mut f = crossing();
    f.barrier();
    assert_eq!(inode(&f.target("one")), inode(&f.target("two")));
    assert_eq!(fs::metadata(f.target("one")).unwrap().nlink(), 2);
}

#[test]
fn rep_22_a_hard_link_made_inside_to_an_outside_file_is_created_and_linked() {
    let mut f = Following::new();
    fs::write(f.outside("file"), "from outside").unwrap();
    fs::hard_link(f.outside("file"), f.source("first")).unwrap();
    f.barrier();
    assert_eq!(content(&f.target("first")), b"from outside");
    fs::hard_link(f.outside("file"), f.source("kept/second")).unwrap();
    f.barrier();
    assert_eq!(inode(&f.target("first")), inode(&f.target("kept/second")));
}

#[test]
fn rep_23_a_hard_link_moved_in_is_a_file_of_its_own() {
    let mut f = crossing();
    fs::rename(f.outside("three"), f.source("three")).unwrap();
    f.barrier();
    assert_eq!(content(&f.target("three")), b"shared\n");
    assert_ne!(inode(&f.target("three")), inode(&f.target("one")));
    assert_eq!(inode(&f.target("one")), inode(&f.target("two")));
}

#[test]
fn rep_24_a_hard_link_moved_within_keeps_its_link() {
    let mut f = crossing();
    fs::rename(f.source("two"), f.source("kept/zwei")).unwrap();
    f.barrier();
    assert!(!exists(&f.target("two")));
    assert_eq!(inode(&f.target("one")), inode(&f.target("kept/zwei")));
}

#[test]
fn rep_25_a_hard_link_moved_out_is_deleted() {
    let mut f = crossing();
    fs::rename(f.source("two"), f.outside("two")).unwrap();
    f.barrier();
    assert!(!exists(&f.target("two")));
    assert_eq!(content(&f.target("one")), b"shared\n");
}

#[test]
fn rep_26_a_hard_linked_file_copied_in_is_a_file() {
    needs!("cp");
    let mut f = crossing();
    run("cp", &[], &[&f.source("one"), &f.source("copy from inside")]);
    run("cp", &[], &[&f.outside("three"), &f.source("copy from outside")]);
    f.barrier();
    for name in ["copy from inside", "copy from outside"] {
        assert_eq!(content(&f.target(name)), b"shared\n");
        assert_eq!(fs::metadata(f.target(name)).unwrap().nlink(), 1);
    }
}

#[test]
fn rep_27_chmod_is_replicated_by_an_inside_name_only() {
    let mut f = crossing();
    let before = mode(&f.target("one"));
    chmod(&f.outside("three"), 0o600);
    f.barrier();
    assert_eq!(mode(&f.target("one")), before, "replicated by an outside name");
    chmod(&f.source("two"), 0o640);
    f.barrier();
    assert_eq!((mode(&f.target("one")), mode(&f.target("two"))), (0o640, 0o640));
}

#[test]
fn rep_28_a_write_is_replicated_by_an_inside_name_only() {
    let mut f = crossing();
    fs::write(f.outside("three"), "through the outside name").unwrap();
    f.barrier();
    assert_eq!(content(&f.target("one")), b"shared\n", "replicated by an outside name");
    fs::write(f.source("two"), "through an inside name").unwrap();
    f.barrier();
    assert_eq!(content(&f.target("one")), b"through an inside name");
    assert_eq!(inode(&f.target("one")), inode(&f.target("two")));
}

#[test]
fn rep_29_a_hard_link_deleted_inside_is_deleted() {
    let mut f = crossing();
    fs::remove_file(f.source("one")).unwrap();
    f.barrier();
    assert!(!exists(&f.target("one")));
    assert_eq!(content(&f.target("two")), b"shared\n");
    fs::remove_file(f.source("two")).unwrap();
    f.barrier();
    assert!(!exists(&f.target("two")));
}

/// Ours pauses first; told to go on, it deletes exactly that.
#[test]
fn rep_31_a_renamed_root_waits_and_then_goes_away() {
    let mut f = Following::new();
    let copies = tree::all(&f.m.target).len();
    fs::rename(&f.m.source, f.m.home.path("renamed")).unwrap();
    f.engine.wait_for_status(f.connection, "replication", "Pending");
    assert_eq!(tree::all(&f.m.target).len(), copies, "deleted before anybody was asked");
    let said = f.engine.say(&format!("status con {}", f.connection)) + &f.m.log();
    assert!(said.to_lowercase().contains("replication start"), "nothing says how to go on: {said}");
    f.engine.ok(&format!("replication start {}", f.connection));
    f.barrier();
    assert_eq!(tree::all(&f.m.target), Vec::<PathBuf>::new());
}

#[test]
fn rep_31_a_root_renamed_without_a_connection_deletes_nothing() {
    let mut f = Following::new();
    f.engine.ok(&format!("disconnect {}", f.connection));
    let copies = tree::all(&f.m.target).len();
    fs::rename(&f.m.source, f.m.home.path("renamed")).unwrap();
    f.engine.say("status");
    assert_eq!(tree::all(&f.m.target).len(), copies);
}

/// The directory above a root is renamed: the root is not where it was, too.
#[test]
fn rep_31_a_renamed_directory_above_the_root_waits() {
    let home = Home::new();
    let source = home.dir("above/source");
    let target = home.path("target");
    let m = Migration::between(home, source, target);
    for n in 0..40 {
        m.write(&format!("kept/{n}"), "x");
    }
    let mut f = Following::of(m, &[]);
    fs::rename(f.m.home.path("above"), f.m.home.path("elsewhere")).unwrap();
    f.engine.wait_for_status(f.connection, "replication", "Pending");
    assert!(exists(&f.target("kept/1")));
    // Put back, it goes on as if nothing had been.
    fs::rename(f.m.home.path("elsewhere"), f.m.home.path("above")).unwrap();
    f.engine.say(&format!("replication start {}", f.connection));
    tree::write(&f.source("kept/new"), b"y");
    f.barrier();
    assert_eq!(content(&f.target("kept/new")), b"y");
    assert!(exists(&f.target("kept/1")));
}

#[test]
fn rep_32_moves_across_the_border_and_within() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        m.write("file", "x");
        for n in 0..10 {
            m.write(&format!("tree/deep/{n}"), "x");
        }
    });
    fs::write(f.outside("new file"), "from outside").unwrap();
    tree::write(&f.outside("new tree/deep/er/file"), b"from outside");
    // In, a file and a tree: created.
    fs::rename(f.outside("new file"), f.source("new file")).unwrap();
    fs::rename(f.outside("new tree"), f.source("new tree")).unwrap();
    f.assert_same();
    // What is changed in a tree that moved in is seen.
    tree::write(&f.source("new tree/deep/er/file"), b"changed inside");
    tree::write(&f.source("new tree/deep/another"), b"y");
    f.assert_same();
    // Within: moved.
    let before = inode(&f.target("tree/deep/3"));
    fs::rename(f.source("tree"), f.source("new tree/deep/tree")).unwrap();
    f.assert_same();
    assert_eq!(inode(&f.target("new tree/deep/tree/deep/3")), before);
    // Out: deleted; what is changed there afterwards is nobody's business.
    fs::rename(f.source("new tree/deep"), f.outside("gone")).unwrap();
    fs::rename(f.source("file"), f.outside("gone file")).unwrap();
    tree::write(&f.outside("gone/tree/deep/3"), b"changed outside");
    f.assert_same();
    // And in again, under another name.
    fs::rename(f.outside("gone"), f.source("back")).unwrap();
    f.assert_same();
    tree::write(&f.source("back/tree/deep/4"), b"changed inside again");
    f.assert_same();
}

#[test]
fn rep_33_deletes_are_left_out_with_ignore_delete_ops() {
    let mut f = Following::with(|m| {
        m.write("file", "x");
        m.write("tree/file", "x");
        m.home.script("set IgnoreDeleteOps = 1\n").ok();
    });
    fs::remove_file(f.source("file")).unwrap();
    fs::remove_dir_all(f.source("tree")).unwrap();
    tree::write(&f.source("new"), b"y");
    f.barrier();
    assert!(exists(&f.target("file")) && exists(&f.target("tree/file")));
    assert_eq!(content(&f.target("new")), b"y");
}

#[test]
fn rep_34_data_of_two_sets_is_sent_by_one() {
    let f = Following::new();
    let other = f.m.home.path("other target");
    let mut engine = f.engine;
    engine.say("repset create u");
    engine.say(&format!("repset rule add {} include, recursive to u", q(&f.m.source)));
    engine.say("repset save u");
    let second = engine.ok(&format!("connect u to localhost map {} to {}", q(&f.m.source), q(&other)));
    engine.ok(&format!("waitonmirror {second}"));
    fs::write(f.m.source.join("new"), "x").unwrap();
    engine.barrier(f.connection);
    engine.barrier(second);
    let both = [f.m.target.join("new"), other.join("new")];
    assert_eq!(both.iter().filter(|path| exists(path)).count(), 1, "sent by none or by both");
    assert!(exists(&both[0]), "the first connected does not send it any more");
    // The set that sends it is named where somebody would look why the other does not.
    let told = engine.say(&format!("explain {} con {second}", q(&f.m.source.join("new"))));
    let other = format!("connection {}", f.connection);
    assert!(told.to_lowercase().contains(&other), "EXPLAIN does not name {other}: {told}");
    assert!(f.m.log().to_lowercase().contains(&other), "the log does not name {other}");
}

/// `rename` of a file in the set over one in the set that has a second name outside.
#[test]
fn a_rename_over_a_crossing_name_leaves_the_other_name_alone() {
    needs!("rsync");
    let mut f = crossing();
    tree::write(&f.source("new"), b"replaces");
    fs::rename(f.source("new"), f.source("one")).unwrap();
    f.barrier();
    assert_eq!(content(&f.target("one")), b"replaces");
    assert_eq!(content(&f.target("two")), b"shared\n");
    assert_eq!(oracle::differences_with(&f.m.source, &f.m.target, &["-aAX"]), Vec::<String>::new());
}
