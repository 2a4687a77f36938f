//! Stop, pause, and files that change: what a job must not do, however it is steered.

use crate::bed::{Bed, CHECKSUM, FULL};
use dtcl::api::VerifySpec;
use dtcl::engine::job::{JobKind, JobPlan, JobShared, Sink};
use dtcl::engine::{source, target};
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[test]
fn a_verify_of_the_null_target_ends() {
    let bed = Bed::new();
    fs::write(bed.source().join("f"), "x").unwrap();
    let plan = JobPlan { sink: Sink::Null, ..bed.plan() };
    let outcome = source::run(&plan, JobKind::Verify(VerifySpec::default()), &JobShared::new(), None);
    assert_eq!(outcome.verify.unwrap().files_missing, 1);
}

#[test]
fn a_plain_verify_never_writes_on_the_target() {
    let bed = Bed::new();
    let changing = bed.source().join("changing");
    fs::write(&changing, vec![0; 32 << 20]).unwrap();
    bed.mirror(FULL);
    let before = fs::metadata(bed.target().join("changing")).unwrap();
    let (shared, plan) = (JobShared::new(), bed.plan());
    let outcome = std::thread::scope(|scope| {
        let job = scope.spawn(|| source::run(&plan, JobKind::Verify(VerifySpec::default()), &shared, None));
        while shared.counters.bytes_compared.load(Relaxed) == 0 && !job.is_finished() {
            std::thread::yield_now();
        }
        fs::OpenOptions::new().write(true).open(&changing).unwrap().write_all_at(b"x", 5).unwrap();
        job.join().unwrap()
    });
    use std::os::unix::fs::MetadataExt;
    let after = fs::metadata(bed.target().join("changing")).unwrap();
    assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()), "{outcome:?}");
}

#[test]
fn a_stop_ends_a_comparison_in_the_middle_of_a_file() {
    let bed = Bed::new();
    // Holes take no space, and are read as any other bytes.
    let size = 4_u64 << 30;
    for dir in [bed.source(), bed.target()] {
        fs::File::create(dir.join("large")).unwrap().set_len(size).unwrap();
    }
    let (shared, plan) = (JobShared::new(), bed.plan());
    let outcome = std::thread::scope(|scope| {
        let job = scope.spawn(|| source::run(&plan, JobKind::Mirror(CHECKSUM), &shared, None));
        while shared.counters.bytes_compared.load(Relaxed) == 0 {
            std::thread::yield_now();
        }
        shared.pause();
        shared.stop();
        job.join().unwrap()
    });
    assert!(outcome.stopped && !outcome.complete);
    assert!(shared.counters.bytes_compared.load(Relaxed) < size);
}

#[test]
fn verify_takes_orphans_away_when_it_is_told_to() {
    let bed = Bed::new();
    for n in 0..20 {
        fs::write(bed.source().join(format!("f{n}")), "x").unwrap();
    }
    bed.mirror(FULL);
    fs::write(bed.target().join("orphan"), "x").unwrap();
    bed.verify(VerifySpec::default());
    assert!(bed.target().join("orphan").exists());
    bed.verify(VerifySpec { remirror: true, orphans: true, ..VerifySpec::default() });
    bed.same();
}

#[test]
fn a_file_read_in_the_middle_of_one_write_is_not_called_done() {
    let bed = Bed::new();
    let size = 24 << 20;
    let path = bed.source().join("big");
    fs::write(&path, vec![0; size]).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (stop, path) = (Arc::clone(&stop), path.clone());
        move || {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            let mut n = 0u8;
            while !stop.load(Relaxed) {
                n = n.wrapping_add(1);
                // One system call: ctime moves at its beginning only.
                assert_eq!(file.write_at(&vec![n; size], 0).unwrap(), size);
            }
        }
    });
    for _ in 0..6 {
        let (outcome, _) = bed.run(JobKind::Mirror(FULL));
        if outcome.complete {
            let got = fs::read(bed.target().join("big")).unwrap();
            assert!(got.iter().all(|byte| *byte == got[0]), "half of one write, half of another");
        }
    }
    stop.store(true, Relaxed);
    writer.join().unwrap();
}

#[test]
fn a_large_file_that_somebody_holds_open_and_that_rests_arrives() {
    use std::io::Write;
    let bed = Bed::new();
    // As a log: written just now, and its writer lives on.
    let mut log = fs::File::create(bed.source().join("log")).unwrap();
    log.write_all(&vec![b'x'; 300_000]).unwrap();
    bed.mirror(FULL);
    bed.same();
    log.write_all(b"a line").unwrap();
    bed.mirror(CHECKSUM);
    bed.same();
    drop(log);
}

#[test]
fn what_a_killed_mirror_left_is_not_sent_on_and_goes_only_when_nobody_works_on_it() {
    let bed = Bed::new();
    let own = format!(".dtcl-unfinished-{}-7", target::incarnation());
    fs::write(bed.source().join(".dtcl-unfinished-1-7"), "half").unwrap();
    fs::write(bed.source().join(".dtcl-unfinished-notes"), "a name of the user's").unwrap();
    fs::write(bed.target().join(&own), "under way").unwrap();
    bed.mirror(FULL);
    let names = || {
        let mut names: Vec<String> = fs::read_dir(bed.target())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(), [own, ".dtcl-unfinished-notes".to_string()]);
    assert_eq!(bed.mirror(dtcl::api::MirrorSpec { kind: dtcl::api::MirrorKind::Different, ..FULL }), 0);
}
