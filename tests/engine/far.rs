//! The target is a service on another machine: what holds inside one process holds over a line, and a line that is gone costs no more
//! than what was on its way.

use crate::bed::{Bed, CHECKSUM, DIFFERENT, FULL};
use crate::following::{Followed, at_once, of_several_threads, rounds, seed};
use crate::operations::Operations;
use crate::remirrors::{lost, mend, random_cuts};
use crate::support::random::Random;
use crate::support::tree;
use dtcl::api::{MirrorSpec, VerifySpec};
use dtcl::engine::job::{JobKind, JobShared};
use dtcl::engine::source;
use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

#[test]
fn every_kind_of_file_arrives_and_a_second_mirror_sends_nothing() {
    let bed = Bed::far();
    tree::every_kind(&bed.source(), &bed.dir.path().join("outside"));
    fs::write(bed.source().join("large"), vec![7; 3 << 20]).unwrap();
    bed.mirror(FULL);
    bed.same();
    assert_eq!(bed.mirror(DIFFERENT), 0);
    assert_eq!(bed.mirror(CHECKSUM), 0);
    tree::flip_byte_secretly(&bed.source().join("large"), 2 << 20);
    let report = bed.verify(VerifySpec { checksum: true, ..VerifySpec::default() });
    assert_eq!((report.files_different, report.files_missing), (1, 0), "{:?}", report.differing);
    let (outcome, shared) = bed.run(JobKind::Mirror(CHECKSUM));
    assert!(outcome.complete, "{outcome:?}");
    assert_eq!(shared.counters.bytes_sent.load(Relaxed), 65536);
    bed.same();
}

/// A granted place has one source, so what neither it nor the target has under way is nobody's.
#[test]
fn what_a_killed_source_left_goes_at_once() {
    let bed = Bed::far();
    let own = format!(".dtcl-unfinished-{}-7", dtcl::engine::target::incarnation());
    let other = format!(".dtcl-unfinished-{}-7", dtcl::engine::target::incarnation() ^ 1);
    fs::write(bed.source().join("f"), "content").unwrap();
    for name in [&own, &other] {
        fs::create_dir(bed.target().join(name)).unwrap();
        fs::write(bed.target().join(name).join("f"), "parked").unwrap();
    }
    bed.mirror(DIFFERENT);
    assert!(bed.target().join(&own).exists() && !bed.target().join(other).exists());
    // That it went is no change of the copy.
    fs::rename(bed.target().join(own), bed.dir.path().join("own")).unwrap();
    bed.mirror(DIFFERENT);
    fs::create_dir(bed.target().join(".dtcl-unfinished-1-1")).unwrap();
    tree::restore_times(&bed.target(), &fs::metadata(bed.source()).unwrap());
    bed.mirror(DIFFERENT);
    bed.same();
}

#[test]
fn random_operations_of_several_threads_arrive() {
    of_several_threads(Bed::far());
}

#[test]
fn random_operations_arrive_while_the_line_is_cut() {
    random_cuts(Bed::far(), true);
}

/// What a failed line had not brought is said again: nothing is missed, nothing is compared.
#[test]
fn a_line_that_fails_goes_on_where_it_was() {
    let seed = seed();
    let followed = Followed::with_queue(Bed::far_over_a_cable(), |bed| tree::random(&bed.source(), seed, 60));
    let operations = Operations::new(followed.bed.source(), followed.outside(""));
    let (mut random, mut cuts) = (Random::new(seed), 0);
    for round in 0..rounds(6) {
        std::thread::scope(|scope| {
            let (mut others, operations) = (Random::new(random.next()), &operations);
            let work = scope.spawn(move || at_once(operations, &mut others, 60));
            let mirror = random.one_in(3).then(|| {
                scope.spawn(|| {
                    let (plan, jobs) = (followed.bed.plan(), JobShared::new());
                    source::run(&plan, JobKind::Mirror(FULL), &jobs, Some(&followed.replication))
                })
            });
            while !work.is_finished() {
                operations.one(&mut random);
                if random.one_in(60) {
                    cuts += followed.bed.cable().cut();
                }
            }
            work.join().unwrap();
            if let Some(mirror) = mirror {
                let outcome = mirror.join().unwrap();
                assert!(outcome.complete, "{outcome:?}");
            }
        });
        println!("round {round}: {cuts} cuts");
        // It says that no mirror is required.
        followed.same();
    }
    assert!(cuts > 0);
}

/// While nothing leads to the target changes are queued, and who ends replication does not wait for it.
#[test]
fn a_line_that_is_away_is_said_and_waited_for_as_long_as_somebody_wants_it() {
    let followed = Followed::with_queue(Bed::far_over_a_cable(), |bed| {
        fs::write(bed.source().join("f"), "before").unwrap();
    });
    let (bed, replication) = (&followed.bed, &followed.replication);
    let wait = |away| {
        let began = Instant::now();
        while bed.traffic.is_away() != away {
            assert!(began.elapsed() < Duration::from_secs(20), "{replication:?}");
            std::thread::yield_now();
        }
    };
    bed.cable().pull_out(true);
    wait(true);
    assert!(bed.traffic.away_words("beta").unwrap().contains("the line to beta has failed"));
    fs::write(followed.at("f"), "meanwhile").unwrap();
    let reached = replication.barrier(Some(Duration::from_millis(100)), &mut ()).unwrap();
    assert!(!reached && replication.shared().mirror_required().is_none());
    assert_eq!(fs::read_to_string(bed.target().join("f")).unwrap(), "before");
    bed.cable().pull_out(false);
    wait(false);
    followed.same();
    bed.cable().pull_out(true);
    wait(true);
    fs::write(followed.at("f"), "never there").unwrap();
    let began = Instant::now();
    assert!(replication.stop(false, Duration::from_secs(60)));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// Without AutoReconnect a failure is the end of the line, as it was always.
#[test]
fn a_line_that_is_not_to_be_dialled_anew_ends_when_it_fails() {
    let mut bed = Bed::far_over_a_cable();
    bed.settings.reconnects = false;
    let followed = Followed::with_queue(bed, |bed| fs::write(bed.source().join("f"), "before").unwrap());
    followed.bed.cable().cut();
    lost(&followed);
    assert!(!followed.bed.traffic.is_away());
    fs::write(followed.at("f"), "after").unwrap();
    mend(&followed, CHECKSUM);
}

/// What is not read of a long description is not waited for, and a target that has enough of the source says so.
#[test]
fn a_mirror_that_is_stopped_leaves_a_line_that_ends() {
    let bed = Bed::far();
    // More than a window of descriptions.
    let long = "l".repeat(4000);
    for number in 0..3000 {
        std::os::unix::fs::symlink(&long, bed.target().join(format!("a long link {number}"))).unwrap();
    }
    // What comes before them in the order of names.
    for number in 0..3000 {
        fs::write(bed.source().join(format!("a file {number}")), b"x").unwrap();
    }
    let shared = JobShared::new();
    let plan = bed.plan();
    std::thread::scope(|scope| {
        let job = scope.spawn(|| source::run(&plan, JobKind::Mirror(DIFFERENT), &shared, None));
        while shared.counters.files.load(Relaxed) == 0 {
            std::thread::yield_now();
        }
        shared.stop();
        let outcome = job.join().unwrap();
        assert!(outcome.stopped && !outcome.complete, "{outcome:?}");
    });
    // The same again, and nobody is left who has the place.
    bed.mirror(DIFFERENT);
    bed.same_names_at_least(&["a file 7"]);
}

/// The target's service is stopped and started again while the source changes, and in the midst of a mirror.
#[test]
fn random_operations_arrive_though_the_target_is_started_anew() {
    let seed = seed();
    let followed = Followed::with_queue(Bed::far(), |bed| tree::random(&bed.source(), seed, 60));
    let operations = Operations::new(followed.bed.source(), followed.outside(""));
    let mut random = Random::new(seed);
    for round in 0..rounds(6) {
        std::thread::scope(|scope| {
            let (mut others, operations) = (Random::new(random.next()), &operations);
            let work = scope.spawn(move || at_once(operations, &mut others, 40));
            let mirror = random.one_in(2).then(|| {
                scope.spawn(|| {
                    let plan = followed.bed.plan();
                    let jobs = JobShared::new();
                    source::run(&plan, JobKind::Mirror(FULL), &jobs, Some(&followed.replication))
                })
            });
            for _ in 0..random.below(10) {
                operations.one(&mut random);
            }
            followed.bed.stop_target();
            if let Some(mirror) = mirror {
                // It may have come to its end before; a line that is gone ends it, too.
                mirror.join().unwrap();
            }
            work.join().unwrap();
        });
        lost(&followed);
        followed.bed.start_target();
        println!("round {round}");
        mend(&followed, MirrorSpec { orphans: true, ..CHECKSUM });
    }
}
