//! Source and target without a command line: what arrives, what travels, what cannot get out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

#[path = "engine/bed.rs"]
mod bed;
#[path = "engine/cable.rs"]
mod cable;
#[path = "engine/changes.rs"]
mod changes;
#[path = "engine/far.rs"]
mod far;
#[path = "engine/following.rs"]
mod following;
#[path = "engine/hostile.rs"]
mod hostile;
#[path = "engine/ledger.rs"]
mod ledger;
#[path = "engine/links.rs"]
mod links;
#[path = "engine/loss.rs"]
mod loss;
#[path = "engine/operations.rs"]
mod operations;
#[path = "engine/orphans.rs"]
mod orphans;
#[path = "engine/receiver.rs"]
mod receiver;
#[path = "engine/remirrors.rs"]
mod remirrors;
#[path = "engine/steering.rs"]
mod steering;
#[path = "engine/tasks.rs"]
mod tasks;
#[path = "engine/transmission.rs"]
mod transmission;

use bed::{Bed, CHECKSUM, DIFFERENT, FULL, run_through};
use dtcl::api::{MirrorSpec, VerifySpec};
use dtcl::engine::job::{JobKind, JobPlan, JobShared, Sink};
use dtcl::engine::{link, source, target};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use support::{oracle, tree};

fn set_time(path: &Path, seconds: i64) {
    tree::set_time(path, seconds, 5);
}

#[test]
fn every_kind_of_file_arrives_and_a_second_mirror_sends_nothing() {
    let bed = Bed::new();
    tree::every_kind(&bed.source(), &bed.dir.path().join("outside"));
    bed.mirror(FULL);
    bed.same();
    assert_eq!(bed.mirror(DIFFERENT), 0);
    assert_eq!(bed.mirror(CHECKSUM), 0);
    bed.same();
    let report = bed.verify(VerifySpec::default());
    assert_eq!((report.files_different, report.files_missing), (0, 0), "{:?}", report.differing);
    bed.mirror(FULL);
    bed.same();
}

#[test]
fn the_recorded_bytes_of_a_mirror_make_the_same_tree_elsewhere() {
    let bed = Bed::new();
    tree::every_kind(&bed.source(), &bed.dir.path().join("outside"));
    std::fs::write(bed.source().join("large"), vec![7; 300_000]).unwrap();
    let replayed = bed.dir.path().join("replayed");
    std::fs::create_dir(&replayed).unwrap();

    let (outcome, recorded) = run_through(&bed, |from_source, ops| {
        let mut recorded = Vec::new();
        for frame in from_source {
            recorded.push(frame.clone());
            ops.send(frame).unwrap();
        }
        recorded
    });
    assert!(outcome.complete, "{outcome:?}");
    bed.same();

    let (replay_source, replay_target) = link::pair(false);
    let policy = target::Policy { base: replayed.clone(), ..target::Policy::default() };
    let server = std::thread::spawn(move || target::serve(replay_target, policy));
    let listings = replay_source.listings;
    let reader = std::thread::spawn(move || listings.into_iter().count());
    for frame in recorded {
        replay_source.ops.send(frame).unwrap();
    }
    drop(replay_source.ops);
    server.join().unwrap().unwrap();
    reader.join().unwrap();
    oracle::assert_same(&bed.source(), &replayed.join(bed.target().strip_prefix("/").unwrap()));
}

#[test]
fn a_difference_mirror_sends_what_differs_and_follows_changes_of_every_kind() {
    let bed = Bed::new();
    let (source, target) = (bed.source(), bed.target());
    tree::every_kind(&source, &bed.dir.path().join("outside"));
    for n in 0..20 {
        std::fs::write(source.join(format!("plain{n}")), format!("content {n}")).unwrap();
    }
    bed.mirror(FULL);
    std::fs::write(source.join("plain3"), "other content").unwrap();
    std::fs::write(source.join("new"), "new").unwrap();
    assert_eq!(bed.mirror(DIFFERENT), 2);
    bed.same();

    // A file becomes a directory, a directory a link, a link a file.
    std::fs::remove_file(source.join("plain4")).unwrap();
    std::fs::create_dir(source.join("plain4")).unwrap();
    std::fs::write(source.join("plain4/inside"), "x").unwrap();
    std::fs::remove_file(source.join("plain5")).unwrap();
    std::os::unix::fs::symlink("plain6", source.join("plain5")).unwrap();
    std::fs::hard_link(source.join("plain7"), source.join("plain7-again")).unwrap();
    bed.mirror(DIFFERENT);
    bed.same();
    std::fs::remove_file(source.join("plain5")).unwrap();
    std::fs::write(source.join("plain5"), "a file").unwrap();
    // Two names of one file become two files of the same content and time.
    std::fs::remove_file(source.join("plain7-again")).unwrap();
    std::fs::copy(source.join("plain7"), source.join("plain7-again")).unwrap();
    tree::restore_times(&source.join("plain7-again"), &std::fs::metadata(source.join("plain7")).unwrap());
    bed.mirror(DIFFERENT);
    bed.same();
    use std::os::unix::fs::MetadataExt;
    let inode = |name: &str| std::fs::metadata(target.join(name)).unwrap().ino();
    assert_ne!(inode("plain7"), inode("plain7-again"));
}

#[test]
fn blocks_are_changed_in_place_and_the_inode_stays() {
    use std::os::unix::fs::MetadataExt;
    let bed = Bed::new();
    let (source, target) = (bed.source().join("big"), bed.target().join("big"));
    std::fs::write(&source, vec![1; 1_000_000]).unwrap();
    bed.mirror(FULL);
    let inode = std::fs::metadata(&target).unwrap().ino();
    tree::flip_byte_secretly(&source, 500_000);
    // By size and time nothing differs.
    bed.mirror(DIFFERENT);
    assert_ne!(std::fs::read(&source).unwrap(), std::fs::read(&target).unwrap());
    let (outcome, shared) = bed.run(JobKind::Mirror(CHECKSUM));
    assert!(outcome.complete);
    assert_eq!(shared.counters.bytes_sent.load(Relaxed), 65536);
    bed.same();
    for size in [1_200_000, 700_000, 0, 65536, 65537] {
        std::fs::write(&source, vec![2; size]).unwrap();
        bed.mirror(CHECKSUM);
        bed.same();
    }
    assert_eq!(std::fs::metadata(&target).unwrap().ino(), inode);
}

#[test]
fn verify_finds_one_changed_byte_on_either_side_and_repairs_it() {
    let bed = Bed::new();
    for name in ["a", "b", "c"] {
        std::fs::write(bed.source().join(name), vec![b'x'; 200_000]).unwrap();
    }
    bed.mirror(FULL);
    for side in [bed.source(), bed.target()] {
        tree::flip_byte_secretly(&side.join("b"), 77);
        let report = bed.verify(VerifySpec::default());
        assert_eq!((report.files_compared, report.files_different, report.bytes_different), (3, 1, 65536));
        assert!(report.differing[0].0.ends_with("/b"));
        let report = bed.verify(VerifySpec { remirror: true, checksum: true, ..VerifySpec::default() });
        assert_eq!((report.files_different, report.files_remirrored, report.bytes_remirrored), (1, 1, 65536));
        bed.same();
    }
    tree::flip_byte_secretly(&bed.target().join("c"), 1);
    std::fs::remove_file(bed.target().join("a")).unwrap();
    let report = bed.verify(VerifySpec { remirror: true, ..VerifySpec::default() });
    assert_eq!((report.files_different, report.files_missing, report.files_remirrored), (1, 1, 2));
    bed.same();
    let log = std::fs::read_to_string(bed.dir.path().join("log/payroll DTVerify.log")).unwrap();
    assert!(
        log.starts_with("--- VERIFICATION OF CONNECTION 1, CHECKSUM ENABLED (payroll for alpha --> "),
        "{log}"
    );
    assert!(log.contains("/source/b DIFFERENT ON TARGET\n     Source Attributes: Timestamp = "), "{log}");
    assert!(log.contains("      65536 BYTES OUT OF SYNC\n"), "{log}");
    assert!(log.ends_with("--- END OF VERIFICATION ---\n"), "{log}");
}

#[test]
fn the_verify_log_stops_at_its_limit_and_keeps_room_for_its_end() {
    let bed = Bed::new();
    for n in 0..200 {
        std::fs::write(bed.source().join(format!("file{n}")), "x").unwrap();
    }
    let mut plan = bed.plan();
    plan.verify_log.limit = 8000;
    let outcome = source::run(&plan, JobKind::Verify(VerifySpec::default()), &JobShared::new(), None);
    assert_eq!(outcome.verify.unwrap().files_missing, 200);
    let path = plan.verify_log.file("payroll");
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(log.len() <= 8000 && log.len() > 6000, "{}", log.len());
    assert!(log.ends_with("--- END OF VERIFICATION ---\n"));
    source::run(&plan, JobKind::Verify(VerifySpec::default()), &JobShared::new(), None);
    assert!(std::fs::metadata(&path).unwrap().len() <= 8000);
    plan.verify_log.append = false;
    plan.verify_log.limit = 1 << 20;
    source::run(&plan, JobKind::Verify(VerifySpec::default()), &JobShared::new(), None);
    assert_eq!(std::fs::read_to_string(&path).unwrap().matches("--- VERIFICATION OF").count(), 1);
}

#[test]
fn orphans_go_only_when_asked_and_never_past_the_guard() {
    let bed = Bed::new();
    for n in 0..40 {
        std::fs::write(bed.source().join(format!("keep{n}")), "x").unwrap();
    }
    std::fs::create_dir_all(bed.target().join("old/deep")).unwrap();
    std::fs::write(bed.target().join("old/deep/file"), "x").unwrap();
    bed.mirror(FULL);
    assert!(bed.target().join("old/deep/file").exists());
    bed.mirror(MirrorSpec { orphans: true, ..DIFFERENT });
    bed.same();
    std::fs::write(bed.target().join("orphan"), "x").unwrap();
    bed.verify(VerifySpec::default());
    assert!(bed.target().join("orphan").exists());
    bed.verify(VerifySpec { orphans: true, ..VerifySpec::default() });
    bed.same();
    for n in 10..40 {
        std::fs::remove_file(bed.source().join(format!("keep{n}"))).unwrap();
    }
    let (outcome, _) = bed.run(JobKind::Mirror(MirrorSpec { orphans: true, ..DIFFERENT }));
    assert!(!outcome.complete);
    assert!(outcome.fatal.unwrap().message.contains("mass-deletion guard"));
    assert!(bed.target().join("keep39").exists());
}

#[test]
fn orphans_are_moved_aside_below_the_path_they_had() {
    let mut bed = Bed::new();
    let aside = bed.dir.path().join("aside");
    bed.settings.orphans.move_to = Some(aside.clone());
    std::fs::create_dir(bed.source().join("d")).unwrap();
    std::fs::create_dir(bed.target().join("d")).unwrap();
    std::fs::write(bed.target().join("d/orphan"), "first").unwrap();
    bed.mirror(MirrorSpec { orphans: true, ..DIFFERENT });
    bed.same();
    let moved = aside.join(bed.target().strip_prefix("/").unwrap()).join("d");
    assert_eq!(std::fs::read_to_string(moved.join("orphan")).unwrap(), "first");
    std::fs::write(bed.target().join("d/orphan"), "second").unwrap();
    bed.mirror(MirrorSpec { orphans: true, ..DIFFERENT });
    assert_eq!(std::fs::read_to_string(moved.join("orphan.1")).unwrap(), "second");
}

#[test]
fn clean_empties_the_target_unless_too_much_would_be_lost() {
    let bed = Bed::new();
    for n in 0..20 {
        std::fs::write(bed.source().join(format!("f{n}")), "x").unwrap();
        std::fs::write(bed.target().join(format!("f{n}")), "other").unwrap();
    }
    std::fs::write(bed.target().join("orphan"), "x").unwrap();
    let clean = MirrorSpec { clean: true, ..FULL };
    bed.mirror(clean);
    bed.same();
    for n in 0..100 {
        std::fs::write(bed.target().join(format!("only-here{n}")), "x").unwrap();
    }
    let (outcome, _) = bed.run(JobKind::Mirror(clean));
    assert!(outcome.fatal.unwrap().message.contains("mass-deletion guard"));
    assert!(bed.target().join("only-here99").exists());
    assert!(bed.target().join("f3").exists());
}

#[test]
fn the_null_target_counts_everything_and_keeps_nothing() {
    let bed = Bed::new();
    std::fs::write(bed.source().join("small"), vec![0; 100]).unwrap();
    std::fs::write(bed.source().join("large"), vec![1; 200_000]).unwrap();
    let plan = JobPlan { sink: Sink::Null, ..bed.plan() };
    let shared = JobShared::new();
    let outcome = source::run(&plan, JobKind::Mirror(FULL), &shared, None);
    assert!(outcome.complete, "{outcome:?}");
    assert_eq!(shared.counters.bytes_sent.load(Relaxed), 200_100);
    assert_eq!(std::fs::read_dir(bed.target()).unwrap().count(), 0);
}

#[test]
fn the_forbidden_directory_is_neither_sent_nor_removed() {
    use std::os::unix::fs::MetadataExt;
    let bed = Bed::new();
    for side in [bed.source(), bed.target()] {
        std::fs::create_dir(side.join("home")).unwrap();
        std::fs::write(side.join("home/state"), side.to_str().unwrap()).unwrap();
    }
    std::fs::write(bed.source().join("data"), "x").unwrap();
    let id = |path: PathBuf| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).unwrap();
    let plan = JobPlan {
        forbidden: vec![id(bed.source().join("home")), id(bed.target().join("home"))],
        ..bed.plan()
    };
    let orphans = MirrorSpec { orphans: true, ..FULL };
    let outcome = source::run(&plan, JobKind::Mirror(orphans), &JobShared::new(), None);
    assert!(outcome.complete, "{outcome:?}");
    let state = std::fs::read_to_string(bed.target().join("home/state")).unwrap();
    assert_eq!(state, bed.target().to_str().unwrap());
    assert!(bed.target().join("data").exists());
}

#[test]
fn a_file_that_keeps_changing_is_named_and_the_others_arrive() {
    use std::os::unix::fs::FileExt;
    let bed = Bed::new();
    let changing = bed.source().join("changing");
    std::fs::write(&changing, vec![0; 8 << 20]).unwrap();
    std::fs::write(bed.source().join("quiet"), "x").unwrap();
    // Between source and target stands one who writes into the file with each frame that passes: a frame holds far less
    // than the file, so every reading of it sees a write between its first byte and its last.
    let (outcome, ()) = run_through(&bed, |from_source, ops| {
        let file = std::fs::OpenOptions::new().write(true).open(&changing).unwrap();
        for (n, frame) in (0u64..).zip(from_source) {
            file.write_all_at(&n.to_le_bytes(), 0).unwrap();
            ops.send(frame).unwrap();
        }
    });
    assert!(!outcome.complete);
    assert_eq!(outcome.failures.len(), 1, "{outcome:?}");
    assert!(outcome.failures[0].path.ends_with(b"/changing"));
    assert!(bed.target().join("quiet").exists());
    assert!(!bed.target().join("changing").exists(), "a file appears whole or not at all");
    bed.mirror(DIFFERENT);
    bed.same();
}

#[test]
fn a_directory_flipped_into_a_link_leads_nowhere() {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    use std::sync::atomic::AtomicBool;
    let bed = Bed::new();
    let outside = bed.dir.path().join("outside");
    std::fs::write(outside.join("precious"), "untouched").unwrap();
    for n in 0..300 {
        std::fs::create_dir_all(bed.source().join(format!("d/{n}"))).unwrap();
        std::fs::write(bed.source().join(format!("d/{n}/precious")), "from the source").unwrap();
        std::fs::write(bed.source().join(format!("d/file{n}")), "x").unwrap();
    }
    std::fs::create_dir(bed.target().join("d")).unwrap();
    std::os::unix::fs::symlink(&outside, bed.dir.path().join("trap")).unwrap();
    let (dir, trap) = (bed.target().join("d"), bed.dir.path().join("trap"));
    let stop = Arc::new(AtomicBool::new(false));
    let flipper = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut flips = 0u64;
            while !stop.load(Relaxed) {
                // The mirror may just be replacing the link by a directory: then there is nothing to exchange.
                let flipped = renameat2(AT_FDCWD, &dir, AT_FDCWD, &trap, RenameFlags::RENAME_EXCHANGE);
                flips += u64::from(flipped.is_ok());
            }
            flips
        }
    });
    for spec in [FULL, DIFFERENT, CHECKSUM, MirrorSpec { orphans: true, ..FULL }] {
        // It may fail in any way; it must not get out.
        let _ = bed.run(JobKind::Mirror(spec));
    }
    stop.store(true, Relaxed);
    assert!(flipper.join().unwrap() > 0);
    let names: Vec<_> =
        std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["precious"]);
    assert_eq!(std::fs::read_to_string(outside.join("precious")).unwrap(), "untouched");
}

#[test]
fn newer_and_overwrite_leave_what_is_not_older() {
    let mut bed = Bed::new();
    let (source, target) = (bed.source().join("f"), bed.target().join("f"));
    std::fs::write(&source, "source").unwrap();
    std::fs::write(&target, "target").unwrap();
    set_time(&source, 1_000_000);
    set_time(&target, 2_000_000);
    assert_eq!(bed.mirror(MirrorSpec { newer: true, ..DIFFERENT }), 0);
    bed.settings.overwrite = dtcl::engine::settings::Overwrite::Older;
    assert_eq!(bed.mirror(FULL), 0);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "target");
    set_time(&source, 3_000_000);
    assert_eq!(bed.mirror(FULL), 1);
    bed.same();
}

#[test]
fn extended_attributes_go_or_stay_as_the_setting_says() {
    if !support::have("setfattr") {
        return support::skip("extended attributes", "no setfattr here");
    }
    let mut bed = Bed::new();
    let file = bed.source().join("f");
    std::fs::write(&file, "x").unwrap();
    tree::set_xattr(&file, "user.color", "red");
    bed.settings.extended_attributes = false;
    bed.mirror(FULL);
    let report = bed.verify(VerifySpec::default());
    assert_eq!(report.files_different, 0, "left out of verify too");
    assert!(!oracle::differences(&bed.source(), &bed.target()).is_empty());
    bed.settings.extended_attributes = true;
    assert_eq!(bed.verify(VerifySpec::default()).files_different, 1);
    bed.mirror(DIFFERENT);
    bed.same();
}

#[test]
fn a_large_file_is_compared_side_by_side_and_changed_in_place() {
    use std::os::unix::fs::MetadataExt;
    let bed = Bed::new();
    let (source, target) = (bed.source().join("big"), bed.target().join("big"));
    std::fs::write(&source, (0..9_000_000u32).map(|n| (n % 253) as u8).collect::<Vec<_>>()).unwrap();
    bed.mirror(FULL);
    let inode = std::fs::metadata(&target).unwrap().ino();
    for at in [0, 4_500_000, 8_999_999] {
        tree::flip_byte_secretly(&source, at);
        let (outcome, shared) = bed.run(JobKind::Mirror(CHECKSUM));
        assert!(outcome.complete, "{outcome:?}");
        assert!((1..=65536).contains(&shared.counters.bytes_sent.load(Relaxed)), "at {at}");
        bed.same();
    }
    for size in [12_000_000, 5_000_000, 4_194_304, 100] {
        let file = std::fs::OpenOptions::new().write(true).open(&source).unwrap();
        file.set_len(size).unwrap();
        // A young file that somebody holds open for writing would be sent whole at the end.
        drop(file);
        bed.mirror(CHECKSUM);
        bed.same();
    }
    assert_eq!(std::fs::metadata(&target).unwrap().ino(), inode);
}
