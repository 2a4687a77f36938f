//! The remirror after a lost log or stream compares what is dirty and nothing else, and leaves both sides the same (MIR-20,
//! CNX-08, QUE-08, QUE-10).

use crate::bed::{Bed, CHECKSUM, DIFFERENT, FULL};
use crate::following::{Followed, at_once, rounds, seed};
use crate::operations::Operations;
use crate::support::random::Random;
use crate::support::tree;
use dtcl::api::MirrorSpec;
use dtcl::engine::job::{JobKind, JobShared};
use dtcl::engine::source;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the log is lost.
pub fn lost(followed: &Followed) {
    let began = Instant::now();
    while followed.replication.shared().mirror_required().is_none() {
        assert!(began.elapsed() < PATIENCE, "{:?}", followed.replication);
        std::thread::yield_now();
    }
}

/// One mirror as a connection begins it by itself. True: it came to its end.
pub fn once(followed: &Followed, spec: MirrorSpec) -> (bool, Arc<JobShared>) {
    let shared = followed.replication.shared();
    shared.begin_mirror(true);
    let jobs = JobShared::new();
    let outcome =
        source::run(&followed.bed.plan(), JobKind::Mirror(spec), &jobs, Some(&followed.replication));
    if !outcome.complete {
        println!("{outcome:?}");
    }
    if !outcome.complete && shared.mirror_required().is_none() {
        shared.require_remirror("the mirror did not come to its end".to_owned());
    }
    (outcome.complete, jobs)
}

/// Mirrors until nothing is missed any more; what the last mirror looked at and sent.
fn remirror(followed: &Followed, spec: MirrorSpec) -> Looked {
    let began = Instant::now();
    loop {
        let (_, jobs) = once(followed, spec);
        if followed.replication.shared().mirror_required().is_none() {
            let counters = &jobs.counters;
            return Looked {
                directories: counters.directories.load(Relaxed),
                files: counters.files_sent.load(Relaxed),
            };
        }
        assert!(began.elapsed() < PATIENCE, "{:?}", followed.replication);
    }
}

/// Mirrors until a barrier is reached, and compares.
pub fn mend(followed: &Followed, spec: MirrorSpec) {
    let required = || followed.replication.shared().mirror_required().is_some();
    while required() || followed.replication.barrier(Some(PATIENCE), &mut ()).is_err() {
        // The cut may be told only now.
        lost(followed);
        remirror(followed, spec);
    }
    followed.bed.same();
}

#[derive(Debug, PartialEq, Eq)]
struct Looked {
    directories: u64,
    files: u64,
}

/// Twenty directories `d0` to `d19` with three files and a directory with one each.
fn twenty(bed: &Bed) {
    for number in 0..20 {
        let dir = bed.source().join(format!("d{number}"));
        fs::create_dir_all(dir.join("below")).unwrap();
        fs::write(dir.join("below/f"), format!("{number} below")).unwrap();
        for name in ["a", "b", "c"] {
            fs::write(dir.join(name), format!("{number} {name}")).unwrap();
        }
    }
}

/// After a cut: changes are made, and looked at, while the log is lost.
fn cut_and_change(followed: &Followed, change: impl FnOnce()) {
    followed.same();
    followed.replication.cut();
    lost(followed);
    change();
    // Nobody can wait for it, but it waits its turn.
    followed.replication.barrier(Some(Duration::from_secs(1)), &mut ()).unwrap_err();
}

#[test]
fn only_directories_in_which_something_was_missed_are_compared() {
    let followed = Followed::new(twenty);
    cut_and_change(&followed, || {
        fs::write(followed.at("d3/new"), "new").unwrap();
        fs::write(followed.at("d5/a"), "changed").unwrap();
        fs::remove_file(followed.at("d7/b")).unwrap();
    });
    let looked = remirror(&followed, CHECKSUM);
    followed.same();
    assert!(looked.directories <= 3, "{looked:?}");
    assert!(looked.files <= 2, "{looked:?}");
}

#[test]
fn a_directory_that_moved_is_compared_with_all_below_it_and_its_neighbours_are_not() {
    let followed = Followed::new(twenty);
    cut_and_change(&followed, || {
        fs::rename(followed.at("d3"), followed.at("d4/moved")).unwrap();
        fs::write(followed.at("d4/moved/below/f"), "changed").unwrap();
        fs::rename(followed.at("d4"), followed.at("far")).unwrap();
    });
    let looked = remirror(&followed, CHECKSUM);
    followed.same();
    // The root, `far` with what it had, and `moved` with what that had.
    assert!(looked.directories <= 5, "{looked:?}");
    assert!(!followed.bed.target().join("d3").exists() && !followed.bed.target().join("d4").exists());
}

/// Two writes within one tick of the clock leave the same time; which of them the target has is not told by that.
#[test]
fn content_that_was_missed_is_compared_though_size_and_time_are_the_same() {
    let followed = Followed::new(twenty);
    for spec in [DIFFERENT, CHECKSUM] {
        cut_and_change(&followed, || {
            for (name, content) in [("d3/a", "3 A"), ("d5/below/f", "5 BELOW")] {
                let file = fs::File::options().write(true).open(followed.at(name)).unwrap();
                let before = file.metadata().unwrap().modified().unwrap();
                let content = if spec == DIFFERENT { content.to_owned() } else { content.to_lowercase() };
                file.write_all_at(content.as_bytes(), 0).unwrap();
                file.set_modified(before).unwrap();
            }
        });
        let looked = remirror(&followed, spec);
        followed.same();
        assert!(looked.directories <= 2, "{looked:?}");
    }
    assert_eq!(fs::read(followed.bed.target().join("d3/a")).unwrap(), b"3 a");
}

/// Names that the mirror has not come to are no names to link to: the target has there what was before.
#[test]
fn names_that_became_links_of_one_file_are_linked_to_what_the_mirror_has_passed() {
    let names: Vec<String> = (0..10).map(|number| format!("d{number}/linked")).collect();
    let followed = Followed::new(|bed| {
        twenty(bed);
        names[1..].iter().for_each(|name| fs::write(bed.source().join(name), name).unwrap());
        std::os::unix::fs::symlink("somewhere", bed.source().join(&names[0])).unwrap();
    });
    cut_and_change(&followed, || {
        // Its own name is the last that the mirror comes to; the first is on the target as it was.
        let [first, others @ .., last] = names.as_slice() else { unreachable!() };
        fs::rename(followed.at(first), followed.at(last)).unwrap();
        followed.replication.barrier(Some(Duration::from_secs(1)), &mut ()).unwrap_err();
        fs::hard_link(followed.at(last), followed.at(first)).unwrap();
        for name in others {
            fs::remove_file(followed.at(name)).unwrap();
            fs::hard_link(followed.at(last), followed.at(name)).unwrap();
        }
    });
    remirror(&followed, CHECKSUM);
    followed.same();
}

#[test]
fn what_was_sent_and_not_applied_is_compared() {
    let followed = Followed::new(twenty);
    for round in 0..rounds(20) {
        followed.same();
        let name = format!("d{}/f{round}", round % 20);
        fs::write(followed.at(&name), "x").unwrap();
        // The sooner or later.
        for _ in 0..round {
            let _ = fs::metadata(followed.at(&name));
        }
        followed.replication.cut();
        lost(&followed);
        remirror(&followed, DIFFERENT);
    }
    followed.same();
}

#[test]
fn a_place_that_another_directory_has_taken_keeps_nothing_of_the_first() {
    let followed = Followed::new(twenty);
    cut_and_change(&followed, || {
        fs::write(followed.bed.target().join("d1/mine"), "only here").unwrap();
        fs::write(followed.bed.target().join("d2/mine"), "only here").unwrap();
        fs::rename(followed.at("d1"), followed.at("old")).unwrap();
        fs::create_dir(followed.at("d1")).unwrap();
        fs::write(followed.at("d1/a"), "another").unwrap();
        // A file where a directory with something in it was, and a directory where a file was.
        fs::remove_dir_all(followed.at("d6")).unwrap();
        fs::write(followed.at("d6"), "a file").unwrap();
        fs::remove_file(followed.at("d7/a")).unwrap();
        fs::create_dir(followed.at("d7/a")).unwrap();
        fs::write(followed.at("d7/a/f"), "f").unwrap();
        fs::write(followed.at("d2/a"), "changed").unwrap();
    });
    remirror(&followed, CHECKSUM);
    followed.barrier();
    // What only the target has stays where nothing has left.
    fs::remove_file(followed.bed.target().join("d2/mine")).unwrap();
    let source = fs::metadata(followed.at("d2")).unwrap();
    tree::restore_times(&followed.bed.target().join("d2"), &source);
    followed.same();
}

#[test]
fn names_of_one_file_in_clean_and_dirty_directories_stay_one() {
    let followed = Followed::new(|bed| {
        twenty(bed);
        for number in [2, 3] {
            fs::hard_link(bed.source().join("d1/a"), bed.source().join(format!("d{number}/one"))).unwrap();
        }
        fs::write(bed.source().join("d4/two"), "2 a").unwrap();
        fs::hard_link(bed.source().join("d2/c"), bed.source().join("d9/three")).unwrap();
    });
    cut_and_change(&followed, || {
        // Another file under one of the names, with a second name of its own.
        fs::remove_file(followed.at("d3/one")).unwrap();
        fs::write(followed.at("d3/one"), "another").unwrap();
        fs::hard_link(followed.at("d3/one"), followed.at("d8/one")).unwrap();
        // A name of a file elsewhere.
        fs::remove_file(followed.at("d4/two")).unwrap();
        fs::hard_link(followed.at("d5/b"), followed.at("d4/two")).unwrap();
        fs::remove_file(followed.at("d9/three")).unwrap();
    });
    let looked = remirror(&followed, CHECKSUM);
    followed.same();
    assert!(looked.directories <= 8, "{looked:?}");
    let inode = |name: &str| fs::metadata(followed.bed.target().join(name)).unwrap().ino();
    assert_eq!(inode("d1/a"), inode("d2/one"));
    assert_ne!(inode("d1/a"), inode("d3/one"));
}

/// QUE-03, QUE-08: no disk queue, and memory for a few hundred records.
#[test]
fn a_full_log_ends_in_a_remirror_of_what_is_dirty() {
    let mut bed = Bed::new();
    bed.settings.queue_dir = bed.dir.path().join("queue");
    bed.settings.queue.memory_max_bytes = 16 << 10;
    bed.settings.queue.space_max = Some(0);
    let followed = Followed::on(bed, twenty);
    let mut number = 0;
    while followed.replication.shared().mirror_required().is_none() {
        make_and_move(&followed, number);
        number += 1;
        assert!(number < 200_000, "the log is never full");
    }
    let why = followed.replication.shared().mirror_required().unwrap();
    let looked = remirror(&followed, DIFFERENT);
    followed.same();
    assert!(looked.directories <= 2, "{looked:?} {why}");
}

/// A file in each of two directories gets another name.
fn make_and_move(followed: &Followed, number: usize) {
    for name in ["d3", "d4"] {
        let (new, moved) = (format!("{name}/{number}"), format!("{name}/x{number}"));
        fs::write(followed.at(&new), [7; 3000]).unwrap();
        fs::rename(followed.at(&new), followed.at(&moved)).unwrap();
    }
}

/// QUE-10: somebody removes the segments.
#[test]
fn a_removed_segment_is_noticed_and_ends_in_a_remirror_of_what_is_dirty() {
    let mut bed = Bed::new();
    let queue = bed.dir.path().join("queue");
    bed.settings.queue_dir.clone_from(&queue);
    bed.settings.queue.memory_max_bytes = 16 << 10;
    let followed = Followed::on(bed, twenty);
    let began = Instant::now();
    let mut number = 0;
    while followed.replication.shared().mirror_required().is_none() {
        make_and_move(&followed, number);
        number += 1;
        let inside = fs::read_dir(queue.join("connection-1")).into_iter().flatten().flatten();
        let segments = inside.map(|entry| entry.path()).filter(|path| path.extension().is_some());
        segments
            .filter(|path| path.extension().unwrap() == "dtq")
            .for_each(|path| drop(fs::remove_file(path)));
        assert!(began.elapsed() < PATIENCE, "nothing was written to disk, or nobody missed it");
    }
    let why = followed.replication.shared().mirror_required().unwrap();
    let looked = remirror(&followed, DIFFERENT);
    followed.same();
    assert!(looked.directories <= 2, "{looked:?} {why}");
}

#[test]
fn a_remirror_that_is_cut_is_made_good_by_the_next_one() {
    let followed = Followed::new(twenty);
    for round in 0..rounds(10) {
        cut_and_change(&followed, || {
            for number in 0..10 {
                fs::write(followed.at(&format!("d{number}/a")), vec![round as u8; 20_000]).unwrap();
            }
            fs::rename(followed.at("d19"), followed.at("d18/t")).unwrap();
            fs::rename(followed.at("d18/t"), followed.at("d19")).unwrap();
        });
        std::thread::scope(|scope| {
            let mirror = scope.spawn(|| once(&followed, CHECKSUM).0);
            (0..round * 20).for_each(|_| std::thread::yield_now());
            followed.replication.cut();
            let complete = mirror.join().unwrap();
            println!("round {round}: {complete}");
        });
        mend(&followed, CHECKSUM);
    }
}

/// One that is cut is made again for its part, and what the target alone has stays: nobody has asked for its removal.
#[test]
fn a_remirror_that_is_cut_is_made_again_for_its_part_and_leaves_what_the_target_has_of_its_own() {
    let followed = Followed::new(twenty);
    let own = ["own", "d1/own", "d19/below/own"].map(|name| followed.bed.target().join(name));
    for own in &own {
        fs::write(own, "own").unwrap();
    }
    let mut cut = 0;
    for round in 0..40 {
        let change = || {
            for number in 0..2 {
                fs::write(followed.at(&format!("d{number}/a")), vec![round; 3 << 20]).unwrap();
            }
        };
        followed.barrier();
        followed.replication.cut();
        lost(&followed);
        change();
        followed.replication.barrier(Some(Duration::from_secs(1)), &mut ()).unwrap_err();
        let complete = std::thread::scope(|scope| {
            let mirror = scope.spawn(|| once(&followed, CHECKSUM).0);
            let begun = || followed.replication.shared().mirror_required().is_none();
            until_so(begun);
            (0..round as usize * 5).for_each(|_| std::thread::yield_now());
            followed.replication.cut();
            mirror.join().unwrap()
        });
        if !complete {
            lost(&followed);
            let looked = remirror(&followed, CHECKSUM);
            // The root, and two directories with one below each.
            assert!(looked.directories <= 5, "round {round}: {looked:?}");
            cut += 1;
        }
        let required = || followed.replication.shared().mirror_required().is_some();
        while required() || followed.replication.barrier(Some(PATIENCE), &mut ()).is_err() {
            // The cut may be told only now.
            lost(&followed);
            remirror(&followed, CHECKSUM);
        }
        for number in 0..2 {
            let there = fs::read(followed.bed.target().join(format!("d{number}/a"))).unwrap();
            assert!(there == vec![round; 3 << 20], "round {round}");
        }
        assert!(own.iter().all(|own| own.exists()), "round {round}");
        if cut == 3 {
            break;
        }
    }
    assert!(cut > 0, "none was cut");
    own.iter().for_each(|own| fs::remove_file(own).unwrap());
    mend_times(&followed);
}

/// What was removed by hand has moved the times of directories.
fn mend_times(followed: &Followed) {
    followed.bed.mirror(CHECKSUM);
    followed.bed.same();
}

fn until_so(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

/// Random operations while the stream is cut; the remirror begins when they are over, with what of them was not looked at yet.
#[test]
fn random_operations_arrive_over_a_stream_that_is_cut() {
    random_cuts(Bed::new(), false);
}

/// The same with remirrors, and cuts of these, while the operations go on.
#[test]
fn random_operations_arrive_while_remirrors_are_cut() {
    random_cuts(Bed::new(), true);
}

pub fn random_cuts(bed: Bed, meanwhile: bool) {
    let seed = seed();
    let followed = Followed::with_queue(bed, |bed| tree::random(&bed.source(), seed, 60));
    let operations = Operations::new(followed.bed.source(), followed.outside(""));
    let mut random = Random::new(seed);
    for round in 0..rounds(12) {
        let spec = [CHECKSUM, FULL][usize::from(random.one_in(3))];
        std::thread::scope(|scope| {
            let mut others = Random::new(random.next());
            let operations = &operations;
            let work = scope.spawn(move || at_once(operations, &mut others, 40));
            for _ in 0..random.below(3) {
                for _ in 0..random.below(10) {
                    operations.one(&mut random);
                }
                followed.replication.cut();
                if meanwhile && random.one_in(2) {
                    once(&followed, spec);
                } else {
                    lost(&followed);
                }
            }
            work.join().unwrap();
        });
        println!("round {round}");
        mend(&followed, spec);
    }
}

/// The source's engine is new, and the target is not what it takes it for. The mirror, which removes what only the target has, is
/// held up below `b`, with `a` compared; then the source changes, and replication follows.
fn change_in_a_mirror(prepare: impl FnOnce(&Bed), change: impl FnOnce(&Followed)) {
    let mut bed = Bed::new();
    bed.settings.orphans.guard_percent = 100;
    bed.settings.queue_dir = bed.dir.path().join("queue");
    for number in 0..400 {
        fs::create_dir_all(bed.source().join(format!("b/{number}/below"))).unwrap();
    }
    prepare(&bed);
    let replication =
        source::replicate(&bed.plan(), Arc::new(dtcl::engine::replication::ReplicationShared::default()));
    let followed = Followed { bed, replication: replication.unwrap() };
    let jobs = JobShared::new();
    std::thread::scope(|scope| {
        let mirror = scope.spawn(|| {
            let spec = JobKind::Mirror(MirrorSpec { orphans: true, ..DIFFERENT });
            source::run(&followed.bed.plan(), spec, &jobs, Some(&followed.replication))
        });
        while jobs.counters.directories.load(Relaxed) < 4 && !mirror.is_finished() {
            std::thread::yield_now();
        }
        jobs.pause();
        change(&followed);
        followed.barrier();
        jobs.resume();
        let outcome = mirror.join().unwrap();
        assert!(outcome.complete, "{outcome:?}");
    });
    followed.same();
}

/// Names were another file's when the line was lost. What replication writes there, or sets, before the mirror has come to them must not go to that
/// file, of which the mirror has passed a name.
#[test]
fn what_changes_before_the_mirror_comes_to_it_is_not_written_to_what_had_its_name() {
    let followed = Followed::new(|bed| {
        for number in 0..300 {
            fs::create_dir_all(bed.source().join(format!("b/{number}"))).unwrap();
        }
        fs::create_dir(bed.source().join("a")).unwrap();
        fs::create_dir(bed.source().join("z")).unwrap();
        fs::write(bed.source().join("a/f"), "f").unwrap();
        for name in ["a/g", "z/m", "z/n", "z/k"] {
            fs::hard_link(bed.source().join("a/f"), bed.source().join(name)).unwrap();
        }
    });
    cut_and_change(&followed, || {
        for number in 0..300 {
            fs::write(followed.at(&format!("b/{number}/new")), "new").unwrap();
        }
        for name in ["m", "n", "k"] {
            fs::remove_file(followed.at(&format!("z/{name}"))).unwrap();
        }
        fs::write(followed.at("z/m"), "two").unwrap();
        fs::hard_link(followed.at("z/m"), followed.at("z/n")).unwrap();
        fs::write(followed.at("z/k"), "one").unwrap();
    });
    let shared = followed.replication.shared();
    shared.begin_mirror(true);
    let jobs = JobShared::new();
    std::thread::scope(|scope| {
        let mirror = scope.spawn(|| {
            source::run(&followed.bed.plan(), JobKind::Mirror(CHECKSUM), &jobs, Some(&followed.replication))
        });
        while jobs.counters.directories.load(Relaxed) < 4 && !mirror.is_finished() {
            std::thread::yield_now();
        }
        jobs.pause();
        let file = fs::OpenOptions::new().write(true).open(followed.at("z/m")).unwrap();
        file.write_all_at(b"TWO of them", 0).unwrap();
        fs::set_permissions(followed.at("z/k"), fs::Permissions::from_mode(0o604)).unwrap();
        followed.barrier();
        jobs.resume();
        let outcome = mirror.join().unwrap();
        assert!(outcome.complete, "{outcome:?}");
    });
    followed.same();
    assert_eq!(fs::read_to_string(followed.bed.target().join("a/f")).unwrap(), "f");
}

#[test]
fn a_directory_moved_to_where_the_target_has_another_leaves_nothing_of_that() {
    let prepare = |bed: &Bed| {
        fs::create_dir_all(bed.source().join("a/d")).unwrap();
        fs::write(bed.source().join("a/d/f"), "f").unwrap();
        fs::create_dir_all(bed.target().join("c/only")).unwrap();
        fs::write(bed.target().join("c/only/there"), "there").unwrap();
    };
    change_in_a_mirror(prepare, |followed| fs::rename(followed.at("a"), followed.at("c")).unwrap());
}

#[test]
fn what_leaves_a_directory_that_could_not_be_moved_there_is_not_what_the_target_had_in_its_place() {
    let prepare = |bed: &Bed| {
        fs::create_dir_all(bed.source().join("a/d")).unwrap();
        fs::write(bed.source().join("a/d/f"), "f").unwrap();
        fs::write(bed.source().join("a/name"), "a file").unwrap();
        fs::create_dir_all(bed.target().join("c/d")).unwrap();
        fs::write(bed.target().join("c/d/only"), "there").unwrap();
        fs::write(bed.target().join("c/name"), "what the target had").unwrap();
    };
    change_in_a_mirror(prepare, |followed| {
        fs::rename(followed.at("a"), followed.at("c")).unwrap();
        fs::rename(followed.at("c/name"), followed.at("name")).unwrap();
        fs::rename(followed.at("c/d"), followed.at("d")).unwrap();
    });
}

/// The same where the directory is gone by the time the target says that it could not be moved.
#[test]
fn what_has_left_a_directory_that_is_gone_is_not_what_the_target_had_in_its_place() {
    let prepare = |bed: &Bed| {
        fs::create_dir_all(bed.source().join("a/d")).unwrap();
        fs::write(bed.source().join("a/d/f"), "f").unwrap();
        fs::write(bed.source().join("a/name"), "a file").unwrap();
        fs::create_dir_all(bed.target().join("c/d")).unwrap();
        fs::write(bed.target().join("c/d/only"), "there").unwrap();
        fs::write(bed.target().join("c/name"), "what the target had").unwrap();
    };
    change_in_a_mirror(prepare, |followed| {
        fs::rename(followed.at("a"), followed.at("c")).unwrap();
        fs::rename(followed.at("c/name"), followed.at("name")).unwrap();
        fs::rename(followed.at("c/d"), followed.at("d")).unwrap();
        fs::remove_dir(followed.at("c")).unwrap();
    });
}

/// The target has described the place before the directory came there.
#[test]
fn what_has_moved_is_not_taken_for_what_the_target_had_in_its_place() {
    let prepare = |bed: &Bed| {
        fs::create_dir_all(bed.source().join("a")).unwrap();
        fs::write(bed.source().join("a/name"), "a file").unwrap();
        fs::create_dir_all(bed.source().join("c")).unwrap();
        fs::create_dir_all(bed.target().join("c/name")).unwrap();
        fs::write(bed.target().join("c/name/there"), "there").unwrap();
    };
    change_in_a_mirror(prepare, |followed| {
        let exchange = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
        let at = nix::fcntl::AT_FDCWD;
        nix::fcntl::renameat2(at, &followed.at("a"), at, &followed.at("c"), exchange).unwrap();
    });
}

/// What the target tells of itself to a mirror that is stopped is not told to the next one.
#[test]
fn a_mirror_is_not_told_what_a_stopped_one_had_asked_for() {
    let followed = Followed::new(|bed| {
        for number in 0..9_000 {
            let dir = bed.source().join((number % 12).to_string());
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(format!("{}{number}", "n".repeat(220))), "").unwrap();
        }
    });
    let only = followed.bed.target().join("0/only there");
    fs::write(&only, "").unwrap();
    let run = |spec: MirrorSpec, jobs: &JobShared| {
        // A person's: of everything.
        followed.replication.shared().begin_mirror(false);
        source::run(&followed.bed.plan(), JobKind::Mirror(spec), jobs, Some(&followed.replication))
    };
    let mut stopped = 0;
    for round in 0..3 {
        println!("round {round}");
        let jobs = JobShared::new();
        std::thread::scope(|scope| {
            let mirror = scope.spawn(|| run(DIFFERENT, &jobs));
            // It has asked, and was told something.
            while jobs.counters.directories.load(Relaxed) < 1 && !mirror.is_finished() {
                std::thread::yield_now();
            }
            jobs.stop();
            stopped += u32::from(mirror.join().unwrap().stopped);
        });
        assert!(run(MirrorSpec { orphans: true, ..DIFFERENT }, &JobShared::new()).complete);
        assert!(!only.exists(), "round {round}");
        fs::write(&only, "").unwrap();
    }
    assert!(stopped > 0, "each was through before it could be stopped");
}

/// The source's engine was killed: what it knew is gone, the source has changed meanwhile, and changes while the mirror runs that removes
/// what only the target has.
#[test]
fn random_operations_arrive_at_a_new_engine_that_removes_orphans() {
    after_a_death(Bed::new());
}

pub fn after_a_death(mut bed: Bed) {
    bed.settings.orphans.guard_percent = 100;
    let seed = seed();
    let mut followed = Followed::with_queue(bed, |bed| tree::random(&bed.source(), seed, 60));
    let operations = Operations::new(followed.bed.source(), followed.outside(""));
    let mut random = Random::new(seed);
    for round in 0..rounds(6) {
        println!("round {round}");
        at_once(&operations, &mut random, 20);
        followed.replication.stop(true, PATIENCE);
        forget_unfinished(&followed.bed);
        at_once(&operations, &mut random, 20);
        let shared = Arc::new(dtcl::engine::replication::ReplicationShared::default());
        std::thread::scope(|scope| {
            let mut others = Random::new(random.next());
            let operations = &operations;
            scope.spawn(move || at_once(operations, &mut others, 40));
            followed.replication = source::replicate(&followed.bed.plan(), shared).unwrap();
            let jobs = JobShared::new();
            let spec = MirrorSpec { orphans: true, ..CHECKSUM };
            let outcome =
                source::run(&followed.bed.plan(), JobKind::Mirror(spec), &jobs, Some(&followed.replication));
            assert!(outcome.fatal.is_none(), "{outcome:?}");
        });
        followed.barrier();
        followed.bed.same();
    }
}

/// What a killed engine leaves unfinished goes with the first description, if its process was another.
pub fn forget_unfinished(bed: &Bed) {
    let mut directories = vec![bed.target()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let is_directory = entry.file_type().unwrap().is_dir();
            match (entry.file_name().as_encoded_bytes().starts_with(b".dtcl-unfinished"), is_directory) {
                (true, true) => fs::remove_dir_all(entry.path()).unwrap(),
                (true, false) => fs::remove_file(entry.path()).unwrap(),
                (false, true) => directories.push(entry.path()),
                (false, false) => {}
            }
        }
    }
}
