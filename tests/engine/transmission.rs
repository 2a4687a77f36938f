//! Transmission that is paused, stopped and started (TRN-02): what changes meanwhile waits, and arrives. Compression (TRN-41).

use crate::bed::{Bed, CHECKSUM, DIFFERENT, FULL};
use crate::following::{Followed, at_once, rounds, seed};
use crate::operations::Operations;
use crate::remirrors::{lost, mend};
use crate::support::random::Random;
use crate::support::tree;
use dtcl::api::TransmissionStep::{self, Pause, Resume, Start, Stop};
use dtcl::api::{BandwidthSpec, EndSpec, Event, MirrorSpec, VerifySpec, Watch};
use dtcl::engine::job::{JobKind, JobShared};
use dtcl::engine::source;
use dtcl::engine::transmission::schedule::{Due, End, Schedule, Why};
use dtcl::engine::transmission::{Held, Limit, Mode, Moment};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn step(bed: &Bed, step: TransmissionStep) {
    bed.transmission.step(step, "beta").unwrap();
}

#[track_caller]
fn until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

/// What changes meanwhile is queued, on disk where there is no room in memory.
fn waits_and_arrives(mut bed: Bed, hold: TransmissionStep, goes_on: TransmissionStep) {
    bed.settings.queue.memory_max_bytes = 64 << 10;
    bed.settings.queue.free_min_bytes = 0;
    let followed = Followed::with_queue(bed, |bed| {
        fs::write(bed.source().join("large"), vec![1; 3 << 20]).unwrap();
        fs::write(bed.source().join("gone"), "x").unwrap();
    });
    followed.same();
    let shared = followed.replication.shared();
    step(&followed.bed, hold);
    for number in 0..3000 {
        fs::write(followed.at(&format!("a file with a name of some length {number}")), "content").unwrap();
    }
    fs::write(followed.at("large"), vec![2; 3 << 20]).unwrap();
    fs::remove_file(followed.at("gone")).unwrap();
    until(|| shared.disk_queue.load(Relaxed) > 0 && shared.ops_queued.load(Relaxed) > 3000);
    // Nothing of it went.
    assert!(followed.bed.target().join("gone").exists());
    assert!(!followed.bed.target().join("a file with a name of some length 0").exists());
    assert_eq!(shared.mirror_required(), None);
    step(&followed.bed, goes_on);
    followed.same();
    assert_eq!(shared.ops_queued.load(Relaxed), 0);
}

#[test]
fn what_changes_while_it_is_paused_waits_and_arrives() {
    waits_and_arrives(Bed::new(), Pause, Resume);
}

#[test]
fn what_changes_while_it_is_stopped_waits_and_arrives() {
    waits_and_arrives(Bed::new(), Stop, Start);
}

#[test]
fn what_changes_while_a_line_is_paused_waits_and_arrives() {
    waits_and_arrives(Bed::far(), Pause, Start);
}

#[test]
fn what_changes_while_a_line_is_stopped_waits_and_arrives() {
    waits_and_arrives(Bed::far(), Stop, Resume);
}

/// Once nothing is under way, nothing more arrives: whatever was being sent when the pause came (CNX-03).
fn a_pause_is_a_pause(bed: Bed) {
    let followed = Followed::with_queue(bed, |bed| {
        fs::create_dir(bed.source().join("load")).unwrap();
        fs::write(bed.source().join("large"), vec![1; 8 << 20]).unwrap();
    });
    let (replication, transmission) = (&followed.replication, &followed.bed.transmission);
    let shared = replication.shared();
    let looks = || -> Vec<_> {
        let of = |path: std::path::PathBuf| {
            let stat = fs::symlink_metadata(&path).unwrap();
            (path, stat.ino(), stat.size(), stat.ctime(), stat.ctime_nsec())
        };
        tree::all(&followed.bed.target()).into_iter().map(of).collect()
    };
    let mut random = Random::new(seed());
    let over = AtomicBool::new(false);
    let (load, outside) = (followed.at("load"), followed.outside(""));
    std::thread::scope(|scope| {
        let operations = Operations::new(load, outside);
        let (over, mut others, large) = (&over, Random::new(random.next()), followed.at("large"));
        scope.spawn(move || {
            let file = fs::OpenOptions::new().write(true).open(large).unwrap();
            while !over.load(Relaxed) {
                operations.one(&mut others);
                file.write_all_at(&[others.below(250) as u8; 5000], others.below(8 << 20) as u64).unwrap();
            }
        });
        for round in 0..rounds(30) {
            (0..random.below(2000)).for_each(|_| std::thread::yield_now());
            step(&followed.bed, Pause);
            let rests = || !transmission.is_sending() && replication.is_all_answered();
            until(|| rests() && shared.target_ops.load(Relaxed) == 0);
            let before = looks();
            // Whatever was on its way would have come by then.
            let queued = shared.ops_queued.load(Relaxed);
            until(|| shared.ops_queued.load(Relaxed) > queued);
            (0..200).for_each(|_| std::thread::yield_now());
            if looks() != before {
                over.store(true, Relaxed);
                panic!("round {round}: something came while nothing was under way");
            }
            step(&followed.bed, Resume);
        }
        over.store(true, Relaxed);
    });
    followed.same();
}

#[test]
fn nothing_comes_once_nothing_is_under_way() {
    a_pause_is_a_pause(Bed::new());
}

#[test]
fn nothing_comes_over_a_line_once_nothing_is_under_way() {
    a_pause_is_a_pause(Bed::far());
}

/// CNX-02: linked, with no network connection; a pause keeps it.
#[test]
fn a_stop_closes_the_socket_and_a_pause_keeps_it() {
    let followed = Followed::with_queue(Bed::far(), |_| ());
    assert_eq!(followed.bed.sockets(), 1);
    step(&followed.bed, Pause);
    assert_eq!(followed.bed.sockets(), 1);
    step(&followed.bed, Stop);
    assert_eq!(followed.bed.sockets(), 0);
    // What connects meanwhile dials no more than the others.
    let plan = followed.bed.plan();
    let shared = JobShared::new();
    std::thread::scope(|scope| {
        let verify = scope.spawn(|| source::run(&plan, JobKind::Mirror(DIFFERENT), &shared, None));
        fs::write(followed.at("f"), "x").unwrap();
        until(|| followed.replication.shared().ops_queued.load(Relaxed) > 0);
        assert_eq!(followed.bed.sockets(), 0);
        step(&followed.bed, Start);
        assert!(followed.bed.sockets() >= 1);
        assert!(verify.join().unwrap().complete);
    });
    followed.same();
}

/// A barrier says why it waits, and passes when it goes on.
#[test]
fn a_barrier_says_that_transmission_holds_it_up() {
    struct Told<'a>(&'a dyn Fn(), Vec<String>);
    impl Watch for Told<'_> {
        fn event(&mut self, event: Event) {
            if let Event::Notice(text) = event {
                self.1.push(text);
                self.0();
            }
        }
        fn cancelled(&self) -> bool {
            false
        }
    }
    let followed = Followed::new(|_| ());
    step(&followed.bed, Pause);
    fs::write(followed.at("f"), "x").unwrap();
    let goes_on = || step(&followed.bed, Resume);
    let mut told = Told(&goes_on, Vec::new());
    assert_eq!(followed.replication.barrier(Some(PATIENCE), &mut told), Ok(true));
    assert!(matches!(&told.1[..], [one] if one.contains("TRANSMISSION RESUME alpha")), "{:?}", told.1);
    followed.same();
}

/// Held within one directory, it stands still; then it goes on with what it has not done.
fn a_job_waits(bed: Bed, kind: JobKind, hold: TransmissionStep) {
    const FILES: u64 = 8000;
    for number in 0..FILES {
        fs::write(bed.source().join(number.to_string()), "x").unwrap();
    }
    if matches!(kind, JobKind::Verify(_)) {
        let outcome = source::run(&bed.plan(), JobKind::Mirror(FULL), &JobShared::new(), None);
        assert!(outcome.complete, "{outcome:?}");
    }
    let shared = JobShared::new();
    let plan = bed.plan();
    std::thread::scope(|scope| {
        let job = scope.spawn(|| source::run(&plan, kind, &shared, None));
        let looked = || shared.counters.files.load(Relaxed);
        until(|| looked() > 0);
        step(&bed, hold);
        // What it was at when it was held.
        std::thread::sleep(Duration::from_millis(200));
        let before = looked();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(looked(), before);
        if hold == Pause {
            // Pause Pending comes to its end.
            until(|| shared.counters.bytes_queued.load(Relaxed) == 0);
        }
        assert!((1..FILES).contains(&before), "{before}");
        // A pause of its own that ends does not end this.
        if shared.pause() {
            std::thread::sleep(Duration::from_millis(20));
            shared.resume();
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(looked(), before);
        }
        step(&bed, Start);
        let outcome = job.join().unwrap();
        assert!(outcome.complete, "{outcome:?}");
        assert_eq!(looked(), FILES);
    });
    bed.same();
}

fn a_mirror_waits(bed: Bed, hold: TransmissionStep) {
    a_job_waits(bed, JobKind::Mirror(FULL), hold);
}

/// One that shall end does so, whatever is held.
fn a_mirror_ends(bed: Bed, hold: TransmissionStep) {
    tree::random(&bed.source(), 3, 150);
    let plan = bed.plan();
    step(&bed, hold);
    let shared = JobShared::new();
    std::thread::scope(|scope| {
        let mirror = scope.spawn(|| source::run(&plan, JobKind::Mirror(FULL), &shared, None));
        if hold == Stop {
            shared.discard();
        }
        shared.stop();
        let outcome = mirror.join().unwrap();
        assert!(outcome.stopped || outcome.fatal.is_some(), "{outcome:?}");
    });
}

#[test]
fn a_mirror_ends_while_it_is_held() {
    for (bed, hold) in [(Bed::new(), Pause), (Bed::far(), Pause), (Bed::far(), Stop)] {
        a_mirror_ends(bed, hold);
    }
}

#[test]
fn a_verification_waits_while_it_is_paused() {
    a_job_waits(Bed::new(), JobKind::Verify(VerifySpec::default()), Pause);
}

#[test]
fn a_mirror_waits_while_it_is_paused() {
    a_mirror_waits(Bed::new(), Pause);
}

#[test]
fn a_mirror_over_a_line_waits_while_it_is_paused() {
    a_mirror_waits(Bed::far(), Pause);
}

#[test]
fn a_mirror_over_a_line_waits_while_it_is_stopped() {
    a_mirror_waits(Bed::far(), Stop);
}

/// MIRROR STOP while nothing is sent: the mirror over replication's stream ends, with changes in the log behind which it waited.
#[test]
fn a_mirror_over_the_stream_can_be_stopped_while_it_is_held() {
    for (bed, hold) in [(Bed::new(), Pause), (Bed::far(), Pause), (Bed::far(), Stop)] {
        let followed = Followed::with_queue(bed, |bed| tree::random(&bed.source(), 5, 100));
        step(&followed.bed, hold);
        fs::write(followed.at("f"), "x").unwrap();
        until(|| followed.replication.shared().ops_queued.load(Relaxed) > 0);
        let shared = JobShared::new();
        let plan = followed.bed.plan();
        std::thread::scope(|scope| {
            let mirror = scope
                .spawn(|| source::run(&plan, JobKind::Mirror(FULL), &shared, Some(&followed.replication)));
            std::thread::yield_now();
            shared.stop();
            if hold == Stop {
                // What it has sent is not answered now.
                followed.replication.let_job_go();
            }
            let outcome = mirror.join().unwrap();
            assert!(outcome.stopped, "{outcome:?}");
        });
        step(&followed.bed, Start);
        let (complete, _) = crate::remirrors::once(&followed, CHECKSUM);
        assert!(complete);
        followed.same();
    }
}

/// A stop in the midst of a large file: who follows the source is not held up, and the job and the replication end when they shall.
#[test]
fn a_stop_in_the_midst_of_a_mirror_holds_up_nobody_else() {
    for abandons in [false, true] {
        let followed = Followed::with_queue(Bed::far(), |bed| {
            let mut random = Random::new(7);
            let content: Vec<u8> = (0..1 << 20).flat_map(|_| random.next().to_le_bytes()).collect();
            for number in 0..30 {
                fs::write(bed.source().join(format!("large {number}")), &content).unwrap();
            }
        });
        let queued = || followed.replication.shared().ops_queued.load(Relaxed);
        let shared = JobShared::new();
        let plan = followed.bed.plan();
        std::thread::scope(|scope| {
            let mirror = scope
                .spawn(|| source::run(&plan, JobKind::Mirror(FULL), &shared, Some(&followed.replication)));
            until(|| shared.counters.bytes_sent.load(Relaxed) > 20 << 20);
            step(&followed.bed, Stop);
            fs::write(followed.at("f"), "x").unwrap();
            until(|| queued() > 0 || mirror.is_finished());
            assert!(!mirror.is_finished());
            shared.stop();
            if abandons {
                followed.replication.abandon();
            } else {
                followed.replication.let_job_go();
            }
            until(|| mirror.is_finished());
            assert!(mirror.join().unwrap().stopped);
        });
        assert!(followed.replication.stop(true, Duration::from_secs(5)));
    }
}

/// DISCONNECT DISCARD, or the end of the service, while nothing is sent.
#[test]
fn a_replication_ends_whatever_is_held() {
    for (bed, hold) in [(Bed::new(), Pause), (Bed::far(), Pause), (Bed::far(), Stop)] {
        let followed = Followed::with_queue(bed, |_| ());
        step(&followed.bed, hold);
        fs::write(followed.at("f"), "x").unwrap();
        until(|| followed.replication.shared().ops_queued.load(Relaxed) > 0);
        assert!(followed.replication.stop(true, Duration::from_secs(5)));
        assert!(!followed.bed.target().join("f").exists());
    }
}

/// Whatever is held when, nothing is lost and no mirror is required.
fn random_steps(bed: Bed, compress: bool) {
    let seed = seed();
    let followed = Followed::with_queue(bed, |bed| tree::random(&bed.source(), seed, 60));
    let operations = Operations::new(followed.bed.source(), followed.outside(""));
    let mut random = Random::new(seed);
    for round in 0..rounds(6) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (mut others, mut holds) = (Random::new(random.next()), Random::new(random.next()));
            let (followed, over, operations) = (&followed, &over, &operations);
            let steps = scope.spawn(move || {
                let transmission = &followed.bed.transmission;
                while !over.load(Relaxed) {
                    let next = [Start, Stop, Pause, Resume][holds.below(4)];
                    // Some are where it is already.
                    let _ = transmission.step(next, "beta");
                    if compress {
                        let (enabled, level) = (!holds.one_in(4), 1 + holds.below(5) as u8);
                        transmission.set_compression(|c| (c.enabled, c.level) = (enabled, Some(level)));
                    }
                }
                if transmission.kept().mode != Mode::Started {
                    transmission.step(Start, "beta").unwrap();
                }
            });
            let mirror = random.one_in(2).then(|| {
                scope.spawn(move || {
                    let plan = followed.bed.plan();
                    let jobs = JobShared::new();
                    source::run(&plan, JobKind::Mirror(DIFFERENT), &jobs, Some(&followed.replication))
                })
            });
            at_once(operations, &mut others, 40);
            over.store(true, Relaxed);
            steps.join().unwrap();
            if let Some(mirror) = mirror {
                let outcome = mirror.join().unwrap();
                assert!(outcome.fatal.is_none(), "{outcome:?}");
            }
        });
        followed.same();
        println!("round {round}");
    }
}

#[test]
fn random_operations_arrive_while_it_is_held_and_goes_on() {
    random_steps(Bed::new(), false);
}

#[test]
fn random_operations_arrive_while_a_line_rests_and_goes_on() {
    random_steps(Bed::far(), false);
}

#[test]
fn random_operations_arrive_compressed_while_a_line_rests_and_goes_on() {
    random_steps(Bed::far(), true);
}

/// The target dies while it is stopped: it has not kept its end of the line, and only what changed since is compared.
#[test]
fn a_target_that_was_started_anew_meanwhile_gets_what_it_lacks() {
    let followed = Followed::with_queue(Bed::far(), |bed| tree::random(&bed.source(), 9, 60));
    followed.same();
    step(&followed.bed, Stop);
    fs::write(followed.at("while it was stopped"), "x").unwrap();
    followed.bed.stop_target();
    let refused = followed.bed.transmission.step(Start, "beta").unwrap_err();
    assert_eq!(refused.code.number(), 110, "{refused:?}");
    assert_eq!(followed.bed.transmission.kept().mode, Mode::Stopped);
    assert_eq!(followed.replication.shared().mirror_required(), None, "nothing is lost yet");
    followed.bed.start_target();
    step(&followed.bed, Start);
    lost(&followed);
    mend(&followed, MirrorSpec { orphans: true, ..CHECKSUM });
}

/// TRN-41: as it was, and as it was compressed; what is listed or cannot be compressed goes as it is.
#[test]
fn what_goes_over_a_line_is_compressed_and_arrives_as_it_was() {
    let text = "some words and a number 1234567890, and again some words\n".repeat(20_000);
    let prepare = |bed: &Bed| {
        fs::write(bed.source().join("text"), &text).unwrap();
        fs::write(bed.source().join("small text"), &text[..30_000]).unwrap();
        let noise: Vec<u8> = {
            let mut random = Random::new(7);
            (0..100_000).flat_map(|_| random.next().to_le_bytes()).collect()
        };
        fs::write(bed.source().join("noise"), noise).unwrap();
    };
    let bed = Bed::far();
    bed.transmission
        .set_compression(|compression| (compression.enabled, compression.level) = (true, Some(3)));
    let followed = Followed::with_queue(bed, prepare);
    followed.same();
    let spared = |owner: usize| followed.bed.traffic.spared[owner].load(Relaxed);
    let plain = text.len() as u64 + 30_000;
    assert!((plain * 9 / 10..plain).contains(&spared(0)), "{} of {plain}", spared(0));
    fs::write(followed.at("later"), &text[..60_000]).unwrap();
    followed.same();
    // One that changed again while it was sent is sent twice.
    let sent = || followed.replication.shared().bytes_transmitted.load(Relaxed);
    assert!((sent() * 9 / 10..sent()).contains(&spared(1)), "{} of {}", spared(1), sent());
    let before = spared(1);
    // Off again: in the midst of the line.
    followed.bed.transmission.set_compression(|compression| compression.enabled = false);
    fs::write(followed.at("last"), &text[..60_000]).unwrap();
    followed.same();
    assert_eq!(spared(1), before);
}

fn moment() -> Moment {
    Moment { wall: Timestamp::now(), steady: Instant::now(), zone: TimeZone::system(), sent_here: 0 }
}

fn limits(bed: &Bed, spec: Option<BandwidthSpec>) {
    let limit = spec.map(|spec| Limit::try_from(spec).unwrap());
    bed.transmission
        .set_bandwidth(&moment(), |bandwidth| {
            bandwidth.limit = limit;
            Ok(())
        })
        .unwrap();
}

/// Bytes that no compressor makes smaller.
fn noise(len: usize) -> Vec<u8> {
    Random::new(len as u64).bytes(len)
}

/// TRN-30: what goes over the wire, of mirror and replication together.
#[test]
fn a_limit_holds_in_each_second_and_is_used() {
    let bed = Bed::far();
    limits(&bed, Some(BandwidthSpec::Kbit(8000)));
    fs::write(bed.source().join("large"), noise(3_000_000)).unwrap();
    let plan = bed.plan();
    let began = Instant::now();
    let gate = bed.transmission.gate();
    let mut seen = vec![(began, gate.sent())];
    std::thread::scope(|scope| {
        let mirror = scope.spawn(|| source::run(&plan, JobKind::Mirror(FULL), &JobShared::new(), None));
        while !mirror.is_finished() {
            // The count from before the moment: what is seen in a span went in it, or earlier.
            let sent = gate.sent();
            seen.push((Instant::now(), sent));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(mirror.join().unwrap().complete);
    });
    let took = began.elapsed();
    assert!(took > Duration::from_millis(2900) && took < Duration::from_secs(10), "{took:?}");
    for (at, (from, before)) in seen.iter().enumerate() {
        let within =
            seen[at..].iter().take_while(|(to, _)| to.duration_since(*from) < Duration::from_millis(995));
        let most = within.last().unwrap().1 - before;
        assert!(most <= 1_000_000, "{most} bytes in a second");
    }
    bed.same();
}

/// Another limit, a pause and a stop take effect at once, in the midst of a frame that would take minutes; answers, barriers and what
/// is short pass, and the line stands.
#[test]
fn a_small_limit_holds_up_nothing_but_what_it_limits() {
    let followed = Followed::with_queue(Bed::far(), |_| ());
    let bed = &followed.bed;
    let gate = bed.transmission.gate();
    limits(bed, Some(BandwidthSpec::Kbit(80)));
    fs::write(followed.at("small"), "x").unwrap();
    followed.same();
    // A hundred seconds' worth.
    fs::write(followed.at("large"), noise(1_000_000)).unwrap();
    let sent = gate.sent();
    until(|| gate.sent() > sent + 3000);
    let began = Instant::now();
    step(bed, Pause);
    let sent = gate.sent();
    std::thread::sleep(Duration::from_millis(500));
    assert!(gate.sent() <= sent + 1000, "{} after {sent}", gate.sent());
    assert_eq!(bed.sockets(), 1);
    step(bed, Resume);
    until(|| gate.sent() > sent + 2000);
    step(bed, Stop);
    assert_eq!(bed.sockets(), 0);
    let sent = gate.sent();
    step(bed, Start);
    until(|| gate.sent() > sent + 3000);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    limits(bed, None);
    followed.same();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(followed.replication.shared().mirror_required(), None, "the line was never lost");
}

/// TRN-21, -23: a session ends in the midst of a file, its socket closes, and no more than its bytes went; the next one goes on.
#[test]
fn a_session_sends_its_bytes_and_closes_its_socket() {
    let followed = Followed::with_queue(Bed::far(), |_| ());
    let bed = &followed.bed;
    let (gate, transmission) = (bed.transmission.gate(), &bed.transmission);
    let bytes = 300_000;
    let set = |schedule: &mut Schedule| {
        schedule.set_end(End::of(EndSpec { seconds: None, bytes: Some(bytes) })?, Timestamp::now());
        Ok(())
    };
    let mut began = gate.sent();
    transmission.set_schedule(&moment(), set).unwrap();
    let content = noise(1_000_000);
    fs::write(followed.at("large"), &content).unwrap();
    let mut sessions = 0;
    loop {
        let is_there = || fs::read(bed.target().join("large")).is_ok_and(|there| there == content);
        until(|| gate.is_used_up() || is_there());
        let used_up = gate.is_used_up();
        let held = Held { is_empty: !used_up, ..Held::default() };
        let due = transmission.due(&moment(), held);
        if !used_up {
            assert_eq!(due, Due::Nothing, "with an end alone an empty queue ends nothing");
            break;
        }
        assert_eq!(due, Due::End(Why::BytesUsedUp));
        transmission.take_up(due, &moment(), "beta", &|| (moment(), held));
        // The word that the line rests goes beside it.
        let sent = gate.sent() - began;
        assert!((bytes - 200..bytes + 200).contains(&sent), "{sent}");
        assert!(!transmission.is_open());
        // The ear closes it.
        until(|| bed.sockets() == 0);
        sessions += 1;
        began = gate.sent();
        assert!(transmission.start_by_hand("beta", &moment).unwrap());
    }
    assert!(sessions >= 3, "{sessions}");
    limits(bed, None);
    followed.same();
}

/// A frame that stands still in its midst holds up nobody who shall end.
#[test]
fn a_mirror_ends_while_a_limited_line_is_paused() {
    let bed = Bed::far();
    fs::write(bed.source().join("large"), noise(1_000_000)).unwrap();
    let plan = bed.plan();
    limits(&bed, Some(BandwidthSpec::Kbit(80)));
    let gate = bed.transmission.gate();
    let sent = gate.sent();
    let shared = JobShared::new();
    std::thread::scope(|scope| {
        let mirror = scope.spawn(|| source::run(&plan, JobKind::Mirror(FULL), &shared, None));
        until(|| gate.sent() > sent + 5000);
        step(&bed, Pause);
        assert!(bed.transmission.is_mute());
        // As a connection does for a job that shall end while nothing leaves.
        shared.stop();
        shared.discard();
        until(|| mirror.is_finished());
        let outcome = mirror.join().unwrap();
        assert!(outcome.stopped || outcome.fatal.is_some(), "{outcome:?}");
    });
}
