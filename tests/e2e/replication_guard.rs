//! What must never happen by itself: a copy that goes away because the source did.

use crate::migration::Migration;
use crate::needs;
use crate::replication::{Following, content, exists};
use crate::support::{Home, tree};
use std::fs;
use std::path::Path;
use std::process::Command;

/// More than `MassDeletionGuard` percent of the copy would go: a person is asked first.
#[test]
fn a_mass_deletion_waits_for_a_person() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        for n in 0..400 {
            m.write(&format!("data/{}/{n}", n % 9), "x");
        }
    });
    fs::remove_dir_all(f.source("data")).unwrap();
    f.engine.wait_for_status(f.connection, "replication", "Pending");
    assert!(exists(&f.target("data/1/1")), "removed before anybody was asked");
    let said = f.engine.say(&format!("status con {}", f.connection)) + &f.m.log();
    assert!(said.to_lowercase().contains("replication start"), "nothing says how to go on: {said}");
    f.engine.ok(&format!("replication start {}", f.connection));
    f.assert_same();
    assert!(!exists(&f.target("data")));
}

/// The same, file by file and slowly: the share counts, not the single operation.
#[test]
fn many_small_removals_are_a_mass_deletion_too() {
    let mut f = Following::with(|m| {
        for n in 0..400 {
            m.write(&format!("data/{}/{n}", n % 9), "x");
        }
    });
    for path in tree::all(&f.source("data")).into_iter().filter(|path| path.is_file()) {
        fs::remove_file(path).unwrap();
    }
    f.engine.wait_for_status(f.connection, "replication", "Pending");
    let left = tree::all(&f.target("data")).into_iter().filter(|path| path.is_file()).count();
    assert!(left >= 150, "only {left} of 400 files are left");
}

#[test]
fn a_mass_deletion_is_done_without_a_guard() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        m.home.script("set MassDeletionGuard = 100\n").ok();
        for n in 0..400 {
            m.write(&format!("data/{n}"), "x");
        }
    });
    fs::remove_dir_all(f.source("data")).unwrap();
    f.assert_same();
}

/// A file system of its own, in an image file.
struct Mounted {
    place: std::path::PathBuf,
}

impl Mounted {
    /// None where it cannot be: no loop devices in this container.
    fn new(home: &Home, name: &str) -> Option<Mounted> {
        let image = home.path(&format!("{name}.img"));
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let place = home.dir(name);
        let made =
            run("mkfs.ext4", &["-q", "-F"], &[&image]) && run("mount", &["-o", "loop"], &[&image, &place]);
        made.then_some(Mounted { place })
    }

    fn unmount(&self) -> bool {
        run("umount", &[], &[&self.place])
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !self.unmount() {
            run("umount", &["-l"], &[&self.place]);
        }
    }
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> bool {
    Command::new(program).args(arguments).args(paths).output().unwrap().status.success()
}

#[test]
fn an_unmounted_source_deletes_nothing() {
    needs!(root, "mkfs.ext4", "mount", "umount", "rsync");
    let home = Home::new();
    let Some(mounted) = Mounted::new(&home, "source") else {
        return crate::support::skip("an_unmounted_source_deletes_nothing", "no loop devices here");
    };
    let (source, target) = (mounted.place.clone(), home.path("target"));
    let m = Migration::between(home, source, target);
    for n in 0..40 {
        m.write(&format!("kept/{n}"), "x");
    }
    let mut f = Following::of(m, &[]);
    tree::write(&f.source("kept/new"), b"y");
    f.barrier();
    // Nothing of the engine keeps it busy, once it has nothing to read.
    assert!(mounted.unmount(), "umount failed: the engine holds the file system");
    f.engine.wait_for_status(f.connection, "replication", "Pending");
    assert!(exists(&f.target("kept/1")) && exists(&f.target("kept/new")));
    // Its place is an empty directory now; a file there is none of the set's.
    assert!(run("mount", &["-o", "loop"], &[&f.m.home.path("source.img"), &mounted.place]));
    f.engine.say(&format!("replication start {}", f.connection));
    tree::write(&f.source("kept/later"), b"z");
    f.assert_same();
    assert_eq!(content(&f.target("kept/later")), b"z");
}

#[test]
fn a_replaced_root_deletes_nothing() {
    let mut f = Following::new();
    fs::rename(&f.m.source, f.m.home.path("old source")).unwrap();
    fs::create_dir(&f.m.source).unwrap();
    tree::write(&f.source("of another"), b"x");
    f.engine.wait_for_status(f.connection, "replication", "Pending");
    assert!(exists(&f.target("kept/1")));
    assert!(!exists(&f.target("of another")));
}
