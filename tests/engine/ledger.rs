//! A source that is started again goes on with what it knew of its target (docs/design/ledger.md): what was removed meanwhile is removed, what
//! was moved is moved, what only the target has stays, and no more is compared than may be missing.

use crate::bed::{Bed, CHECKSUM, DIFFERENT};
use crate::following::{Followed, at_once, rounds, seed};
use crate::operations::Operations;
use crate::remirrors::{forget_unfinished, lost, mend, once};
use crate::support::random::Random;
use crate::support::tree;
use dtcl::engine::replication::{Activity, ReplicationShared};
use dtcl::engine::settled::{Kept, Settled};
use dtcl::engine::source;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// What changed before is no doubtful.
const CERTAIN: i64 = i64::MAX / 2;

fn ledger(bed: &Bed) -> PathBuf {
    bed.dir.path().join("ledger-1")
}

/// From now on what the target has is kept. `known`: up to when it is known to have what changed, nanoseconds since 1970.
fn keeps(bed: &mut Bed, known: i64) -> Receiver<Kept> {
    let (keeper, told) = channel();
    bed.settled = Arc::new(Settled::of(1, known));
    bed.settled.keep(1, keeper, ledger(bed));
    told
}

fn kept(prepare: impl FnOnce(&Bed)) -> Followed {
    let mut bed = Bed::new();
    keeps(&mut bed, CERTAIN);
    let followed = Followed::with_queue(bed, prepare);
    settle(&followed);
    followed
}

/// Waits until all that the target has is in the ledger.
fn settle(followed: &Followed) {
    let began = Instant::now();
    loop {
        followed.barrier();
        // The number of `Applied`.
        if fs::read(ledger(&followed.bed)).is_ok_and(|bytes| bytes.last() == Some(&13)) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{:?}", followed.replication);
    }
}

/// The source's engine ends at once, is away while `change` is done, and is started again.
fn restart(followed: &mut Followed, known: i64, change: impl FnOnce(&Followed)) {
    followed.replication.stop(true, PATIENCE);
    change(followed);
    keeps(&mut followed.bed, known);
    let shared = Arc::new(ReplicationShared::default());
    followed.replication = source::replicate(&followed.bed.plan(), shared).unwrap();
}

/// Removes a file without a trace in its directory's time.
fn remove(path: &Path) {
    let above = fs::File::open(path.parent().unwrap()).unwrap();
    let time = above.metadata().unwrap().modified().unwrap();
    fs::remove_file(path).unwrap();
    above.set_modified(time).unwrap();
}

fn twenty(bed: &Bed) {
    for number in 0..20 {
        let dir = bed.source().join(format!("d{number}"));
        fs::create_dir_all(dir.join("below")).unwrap();
        fs::write(dir.join("below/f"), vec![number; 20_000]).unwrap();
        for name in ["a", "b", "c"] {
            fs::write(dir.join(name), format!("{number} {name}")).unwrap();
        }
    }
}

#[test]
fn nothing_is_sent_where_nothing_has_changed() {
    let mut followed = kept(twenty);
    restart(&mut followed, CERTAIN, |_| ());
    let shared = followed.replication.shared();
    assert!(followed.replication.is_resumed());
    let began = Instant::now();
    while shared.activity() != Activity::Ready {
        assert!(began.elapsed() < PATIENCE, "{:?}", followed.replication);
        std::thread::yield_now();
    }
    assert_eq!(shared.ops_generated.load(Relaxed), 0);
    followed.same();
    fs::write(followed.at("d3/new"), "new").unwrap();
    followed.same();
}

#[test]
fn what_changed_meanwhile_follows_without_a_mirror() {
    let mut followed = kept(twenty);
    let only = followed.bed.target().join("d3/the target's own");
    fs::write(&only, "own").unwrap();
    restart(&mut followed, CERTAIN, |followed| {
        fs::write(followed.at("d3/new"), "new").unwrap();
        fs::write(followed.at("d4/a"), "changed").unwrap();
        fs::remove_file(followed.at("d3/b")).unwrap();
        fs::remove_dir_all(followed.at("d5")).unwrap();
        fs::rename(followed.at("d6"), followed.at("d7/moved")).unwrap();
        fs::rename(followed.at("d7"), followed.at("far")).unwrap();
        fs::hard_link(followed.at("d8/a"), followed.at("linked")).unwrap();
        fs::set_permissions(followed.at("d9"), fs::Permissions::from_mode(0o711)).unwrap();
        fs::remove_file(followed.at("d10/a")).unwrap();
        fs::create_dir(followed.at("d10/a")).unwrap();
    });
    assert!(followed.replication.is_resumed());
    followed.barrier();
    assert_eq!(fs::read_to_string(&only).unwrap(), "own");
    remove(&only);
    followed.same();
    let sent = followed.replication.shared().bytes_transmitted.load(Relaxed);
    assert!(sent < 1000, "{sent} bytes: what was moved is not sent");
    // And on it goes.
    fs::write(followed.at("far/moved/new"), "new").unwrap();
    followed.same();
}

#[test]
fn only_what_may_be_missing_is_compared() {
    let mut followed = kept(twenty);
    followed.replication.cut();
    lost(&followed);
    // Looked at, and not brought.
    fs::remove_file(followed.at("d3/b")).unwrap();
    fs::rename(followed.at("d4/a"), followed.at("d5/moved")).unwrap();
    followed.replication.barrier(Some(Duration::from_secs(1)), &mut ()).unwrap_err();
    let only = followed.bed.target().join("d3/the target's own");
    fs::write(&only, "own").unwrap();
    restart(&mut followed, CERTAIN, |followed| {
        fs::remove_file(followed.at("d6/a")).unwrap();
        fs::write(followed.at("d7/a"), "changed").unwrap();
    });
    assert!(followed.replication.is_resumed());
    lost(&followed);
    let (complete, jobs) = once(&followed, DIFFERENT);
    assert!(complete);
    followed.barrier();
    assert_eq!(fs::read_to_string(&only).unwrap(), "own");
    remove(&only);
    followed.same();
    let looked = jobs.counters.directories.load(Relaxed);
    assert!(looked <= 6, "{looked} directories");
}

/// Two writes within one tick of the clock leave the same stamps; the second one came after the engine had read.
#[test]
fn what_changed_just_before_the_end_is_compared_though_its_stamps_are_the_same() {
    let mut followed = kept(twenty);
    let target = followed.bed.target().join("d3/a");
    let times = fs::metadata(&target).unwrap().modified().unwrap();
    // As if the source had been so when it was read.
    fs::write(&target, "3 A").unwrap();
    fs::File::options().write(true).open(&target).unwrap().set_modified(times).unwrap();
    restart(&mut followed, 0, |_| ());
    followed.same();
}

/// The file system of the source is not mounted, or another is.
#[test]
fn another_directory_in_the_roots_place_takes_nothing_from_the_target() {
    let mut followed = kept(twenty);
    let away = followed.outside("away");
    restart(&mut followed, CERTAIN, |followed| {
        fs::rename(followed.bed.source(), &away).unwrap();
        fs::create_dir(followed.bed.source()).unwrap();
    });
    assert!(!followed.replication.is_resumed());
    once(&followed, DIFFERENT);
    assert!(followed.bed.target().join("d3/a").exists());
}

/// More has gone meanwhile than the guard lets pass.
#[test]
fn a_mass_deletion_is_held() {
    let mut bed = Bed::new();
    keeps(&mut bed, CERTAIN);
    bed.settings.queue_dir = bed.dir.path().join("queue");
    bed.settings.orphans.guard_percent = 50;
    let mut followed = Followed::on(bed, twenty);
    settle(&followed);
    restart(&mut followed, CERTAIN, |followed| {
        for number in 0..15 {
            fs::remove_dir_all(followed.at(&format!("d{number}"))).unwrap();
        }
    });
    let began = Instant::now();
    while followed.replication.shared().hold().is_none() {
        assert!(began.elapsed() < PATIENCE, "{:?}", followed.replication);
        std::thread::yield_now();
    }
    assert!(followed.bed.target().join("d3/a").exists());
    assert!(followed.replication.release());
    followed.same();
}

#[test]
fn random_operations_arrive_at_a_source_that_is_started_again() {
    let seed = seed();
    let mut bed = Bed::new();
    let mut told = keeps(&mut bed, 0);
    let mut followed = Followed::with_queue(bed, |bed| tree::random(&bed.source(), seed, 60));
    settle(&followed);
    let operations = Operations::new(followed.bed.source(), followed.outside(""));
    let mut random = Random::new(seed);
    let mut known = 0;
    for round in 0..rounds(12) {
        println!("round {round}");
        at_once(&operations, &mut random, 30);
        if random.one_in(3) {
            settle(&followed);
        }
        if random.one_in(4) {
            followed.replication.cut();
            at_once(&operations, &mut random, 10);
        }
        known = told.try_iter().map(|(_, at)| at).last().unwrap_or(known);
        followed.replication.stop(random.one_in(2), PATIENCE);
        forget_unfinished(&followed.bed);
        known = told.try_iter().map(|(_, at)| at).last().unwrap_or(known);
        at_once(&operations, &mut random, 30);
        told = keeps(&mut followed.bed, known);
        let busy = random.one_in(2);
        std::thread::scope(|scope| {
            let mut others = Random::new(random.next());
            let operations = &operations;
            if busy {
                scope.spawn(move || at_once(operations, &mut others, 30));
            }
            let shared = Arc::new(ReplicationShared::default());
            followed.replication = source::replicate(&followed.bed.plan(), shared).unwrap();
            assert!(followed.replication.is_resumed());
            if followed.replication.shared().mirror_required().is_some() && random.one_in(2) {
                once(&followed, CHECKSUM);
            }
        });
        mend(&followed, CHECKSUM);
    }
}
