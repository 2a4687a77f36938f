//! Random changes between barriers, on each back-end: the oracle never finds anything.
//!
//! `DTCL_PROPERTY_SEEDS=from..to` runs other seeds than the usual few.

use crate::migration::Migration;
use crate::needs;
use crate::replication::{Following, content};
use crate::support::random::Random;
use crate::support::{is_root, oracle, skip, tree};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let given = std::env::var("DTCL_PROPERTY_SEEDS").ok();
    let range = given.as_deref().and_then(|text| text.split_once(".."));
    range.map_or(0..usual, |(from, to)| from.parse().unwrap()..to.parse().unwrap())
}

/// The change of [`tree::change`] does not make these: whole trees come from outside and go there.
fn across_the_border(f: &Following, random: &mut Random, round: usize) {
    let fresh = f.outside(&format!("fresh {round}"));
    tree::random(&fresh, random.next(), 15);
    fs::rename(&fresh, f.source(&format!("moved in {round}"))).unwrap();
    if round > 0 && random.one_in(2) {
        let gone = f.source(&format!("moved in {}", round - 1));
        if gone.is_dir() {
            fs::rename(gone, f.outside(&format!("gone {round}"))).unwrap();
        }
    }
}

fn follows_random_changes(backend: &str, usual: u64) {
    for seed in seeds(usual) {
        let m = Migration::new();
        m.home.script("set MassDeletionGuard = 100\n").ok();
        tree::random(&m.source, seed, 120);
        let mut f = Following::of(m, &[("DTCL_CAPTURE", backend)]);
        let mut random = Random::new(seed ^ 0xFEED);
        for round in 0..6 {
            eprintln!("{backend}, seed {seed}, round {round}");
            for _ in 0..1 + random.below(3) {
                tree::change(&f.m.source, &mut random, 25);
            }
            across_the_border(&f, &mut random, round);
            f.assert_same();
        }
    }
}

#[test]
fn follows_random_changes_by_fanotify() {
    needs!(root, "rsync");
    follows_random_changes("fanotify", 4);
}

#[test]
fn follows_random_changes_by_inotify() {
    needs!("rsync");
    follows_random_changes("inotify", 4);
}

#[test]
#[ignore = "slow: many seeds on both back-ends"]
fn follows_random_changes_of_many_seeds() {
    needs!("rsync");
    if is_root() {
        follows_random_changes("fanotify", 60);
    } else {
        skip("follows_random_changes_of_many_seeds", "fanotify needs root");
    }
    follows_random_changes("inotify", 60);
}

/// Writers that never stop, each in a directory of its own, until told to.
fn writing<T>(root: &Path, seed: u64, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (dir, stop): (PathBuf, _) = (root.join(format!("writer {n}")), &stop);
            scope.spawn(move || {
                let mut random = Random::new(seed + n);
                tree::random(&dir, seed + n, 20);
                while !stop.load(Ordering::Relaxed) {
                    tree::change(&dir, &mut random, 10);
                }
            });
        }
        // Also when the work panics: else the scope would wait for ever.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        work()
    })
}

/// A barrier ends while writers go on for ever, and what it promises is true.
#[test]
fn a_barrier_under_load_keeps_its_promise() {
    needs!("rsync");
    for backend in ["fanotify", "inotify"] {
        if backend == "fanotify" && !is_root() {
            skip("a_barrier_under_load_keeps_its_promise", "fanotify needs root");
            continue;
        }
        let m = Migration::new();
        m.home.script("set MassDeletionGuard = 100\n").ok();
        m.write("kept/1", "x");
        let mut f = Following::of(m, &[("DTCL_CAPTURE", backend)]);
        let root = f.m.source.clone();
        writing(&root, 100, || {
            for n in 0..40 {
                let name = format!("proof/{}/{n}", n % 3);
                tree::write(&f.source(&name), format!("written before barrier {n}").as_bytes());
                fs::write(f.source("kept/1"), format!("{n}")).unwrap();
                f.barrier();
                assert_eq!(content(&f.target(&name)), content(&f.source(&name)), "{backend}, barrier {n}");
                assert_eq!(content(&f.target("kept/1")), format!("{n}").as_bytes(), "{backend}, barrier {n}");
            }
        });
        f.assert_same();
    }
}

/// The engine dies at a random moment under load; a difference mirror and the replication behind it put all right.
#[test]
fn killed_under_load_and_started_again() {
    needs!("rsync");
    for seed in seeds(3) {
        let m = Migration::new();
        m.home.script("set MassDeletionGuard = 100\n").ok();
        tree::random(&m.source, seed, 120);
        let mut f = Following::of(m, &[]);
        let root = f.m.source.clone();
        writing(&root, seed, || {
            for _ in 0..2 + seed {
                f.barrier();
            }
            f.engine.kill();
        });
        let Following { m, .. } = f;
        let mut killed = BTreeSet::new();
        unfinished(&m.target, &mut killed);
        let mut engine = crate::support::engine::Engine::start(&m.home, &[]);
        let c = engine.ok(&format!(
            "connect t to localhost map {} to {} mirror different checksum orphans",
            crate::support::q(&m.source),
            crate::support::q(&m.target)
        ));
        engine.ok(&format!("waitonmirror {c}"));
        let mut f = Following { m, engine, connection: c };
        tree::change(&f.m.source, &mut Random::new(seed), 25);
        forget_unfinished(&f.m.target, &killed);
        f.assert_same();
    }
}

/// The processes whose unfinished work lies there, as their names have it.
fn unfinished(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        match name.to_str().and_then(|name| name.strip_prefix(".dtcl-unfinished-")?.split_once('-')) {
            Some((process, _)) => drop(found.insert(process.to_owned())),
            None if entry.file_type().unwrap().is_dir() => unfinished(&entry.path(), found),
            None => {}
        }
    }
}

/// Removes what killed engines had under way; a mirror does so only when nobody has touched it for a minute.
fn forget_unfinished(dir: &Path, processes: &BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let directory = entry.file_type().unwrap().is_dir();
        match name.to_str().and_then(|name| name.strip_prefix(".dtcl-unfinished-")?.split_once('-')) {
            Some((process, _)) if processes.contains(process) => {
                if directory { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
            }
            None if directory => forget_unfinished(&path, processes),
            _ => {}
        }
    }
}

/// Two writers rename directories over each other: what is compared is the end.
#[test]
fn directories_renamed_over_each_other() {
    needs!("rsync");
    for seed in seeds(3) {
        let m = Migration::new();
        for n in 0..60 {
            m.write(&format!("kept/{n}"), "x");
            m.write(&format!("d{}/d{}/f{n}", n % 4, n % 3), "x");
        }
        m.home.script("set MassDeletionGuard = 100\n").ok();
        let mut f = Following::of(m, &[]);
        for round in 0..5_u64 {
            std::thread::scope(|scope| {
                for writer in 0..2_u64 {
                    let root = &f.m.source;
                    scope.spawn(move || {
                        let mut random = Random::new(seed * 1000 + round * 10 + writer);
                        let mut place = || match random.below(3) {
                            0 => format!("d{}", random.below(4)),
                            1 => format!("d{}/d{}", random.below(4), random.below(4)),
                            _ => format!("d{}/d{}/d{}", random.below(4), random.below(4), random.below(4)),
                        };
                        // Most fail, as they must: a directory into itself, over a full one, from nothing.
                        for n in 0..400 {
                            let _ = fs::rename(root.join(place()), root.join(place()));
                            if n % 5 == 0 {
                                let _ = fs::create_dir(root.join(place()));
                                let _ = fs::write(root.join(place()).join("new"), format!("{n}"));
                            }
                        }
                    });
                }
            });
            f.barrier();
            let found = oracle::differences(&f.m.source, &f.m.target);
            assert!(found.is_empty(), "seed {seed}, round {round}:\n{}", found.join("\n"));
        }
    }
}
