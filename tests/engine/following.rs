//! Real-time replication between two directories without a command line: what is changed on the source is on the target when
//! a barrier returns.

use crate::bed::{Bed, CHECKSUM, DIFFERENT, FULL};
use crate::operations::Operations;
use crate::support::random::Random;
use crate::support::{self, oracle, tree};
use dtcl::engine::job::{JobKind, JobShared};
use dtcl::engine::replication::{Replication, ReplicationShared};
use dtcl::engine::source;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub struct Followed {
    pub bed: Bed,
    pub replication: Arc<dyn Replication>,
}

impl Followed {
    /// Connects, replicates and mirrors.
    pub fn new(prepare: impl FnOnce(&Bed)) -> Followed {
        Followed::with_queue(Bed::new(), prepare)
    }

    pub fn with_queue(mut bed: Bed, prepare: impl FnOnce(&Bed)) -> Followed {
        bed.settings.queue_dir = bed.dir.path().join("queue");
        bed.settings.orphans.guard_percent = 100;
        Followed::on(bed, prepare)
    }

    pub fn on(bed: Bed, prepare: impl FnOnce(&Bed)) -> Followed {
        prepare(&bed);
        let shared = Arc::new(ReplicationShared::default());
        let replication = source::replicate(&bed.plan(), shared).unwrap();
        let jobs = JobShared::new();
        let outcome = source::run(&bed.plan(), JobKind::Mirror(FULL), &jobs, Some(&replication));
        assert!(outcome.complete, "{outcome:?}");
        Followed { bed, replication }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.bed.source().join(name)
    }

    pub fn outside(&self, name: &str) -> PathBuf {
        self.bed.dir.path().join("outside").join(name)
    }

    pub fn barrier(&self) {
        let reached = self.replication.barrier(Some(Duration::from_secs(20)), &mut ());
        let words = (self.replication.shared().last_error(), self.replication.shared().mirror_required());
        assert!(reached.clone().unwrap_or(false), "{reached:?} {words:?} {:?}", self.replication);
    }

    /// Everything is on the target, and nothing failed on the way.
    pub fn same(&self) {
        self.barrier();
        self.bed.same();
        assert_eq!(self.replication.shared().last_error(), None, "{:?}", self.replication);
        assert_eq!(self.replication.shared().mirror_required(), None);
    }
}

#[test]
fn changes_of_each_kind_arrive() {
    let followed = Followed::new(|bed| {
        fs::create_dir_all(bed.source().join("d/e")).unwrap();
        fs::write(bed.source().join("d/old"), b"old").unwrap();
        fs::write(bed.source().join("d/e/gone"), b"gone").unwrap();
    });
    fs::write(followed.at("new"), b"new").unwrap();
    followed.same();
    fs::write(followed.at("d/old"), b"changed").unwrap();
    fs::set_permissions(followed.at("d"), fs::Permissions::from_mode(0o711)).unwrap();
    fs::remove_file(followed.at("d/e/gone")).unwrap();
    fs::create_dir_all(followed.at("x/y/z")).unwrap();
    fs::write(followed.at("x/y/z/deep"), b"deep").unwrap();
    symlink("d/old", followed.at("link")).unwrap();
    fs::hard_link(followed.at("d/old"), followed.at("x/other")).unwrap();
    followed.same();
    fs::rename(followed.at("x"), followed.at("d/e/moved")).unwrap();
    fs::rename(followed.at("new"), followed.at("d/old")).unwrap();
    followed.same();
    fs::remove_dir_all(followed.at("d")).unwrap();
    followed.same();
    assert_eq!(fs::read_dir(followed.bed.target()).unwrap().count(), 1);
}

#[test]
fn a_renamed_directory_sends_no_content() {
    let followed = Followed::new(|bed| {
        fs::create_dir(bed.source().join("many")).unwrap();
        for number in 0..200 {
            fs::write(bed.source().join(format!("many/{number}")), [7; 5000]).unwrap();
        }
    });
    let sent = || followed.replication.shared().bytes_transmitted.load(Relaxed);
    let before = sent();
    fs::rename(followed.at("many"), followed.at("lots")).unwrap();
    followed.same();
    assert_eq!(sent(), before);
}

/// However often it is missed where it was a moment before, it is there all the time.
#[test]
fn a_directory_that_keeps_moving_is_never_taken_for_gone() {
    let followed = Followed::new(|bed| {
        for number in 0..200 {
            let dir = bed.source().join(format!("many/{}", number % 10));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(number.to_string()), [7; 5000]).unwrap();
        }
        fs::create_dir_all(bed.source().join("x/y")).unwrap();
    });
    if followed.replication.shared().backends().iter().any(|backend| backend.name != "fanotify") {
        return eprintln!("skipped: only fanotify tells where it is");
    }
    let sent = || followed.replication.shared().bytes_transmitted.load(Relaxed);
    let before = sent();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let places = ["many", "lots", "x/few", "x/y/none", "x/some"].map(|name| followed.at(name));
            for step in 0.. {
                let (from, to) = (&places[step % 5], &places[(step + 1) % 5]);
                fs::rename(from, to).unwrap();
                if over.load(Relaxed) {
                    return fs::rename(to, followed.at("many"))
                        .unwrap_or_else(|_| assert_eq!(to, &places[0]));
                }
            }
        });
        for _ in 0..20 {
            followed.barrier();
        }
        over.store(true, Relaxed);
    });
    followed.same();
    assert_eq!(sent(), before);
}

#[test]
fn an_exchange_and_a_circle_arrive() {
    let followed = Followed::new(|bed| {
        for name in ["a", "b", "c"] {
            fs::create_dir(bed.source().join(name)).unwrap();
            fs::write(bed.source().join(name).join("in"), name).unwrap();
        }
    });
    let swap = |a: &str, b: &str| {
        nix::fcntl::renameat2(
            nix::fcntl::AT_FDCWD,
            &followed.at(a),
            nix::fcntl::AT_FDCWD,
            &followed.at(b),
            nix::fcntl::RenameFlags::RENAME_EXCHANGE,
        )
        .unwrap();
    };
    swap("a", "b");
    followed.same();
    fs::rename(followed.at("a"), followed.at("t")).unwrap();
    fs::rename(followed.at("b"), followed.at("a")).unwrap();
    fs::rename(followed.at("c"), followed.at("b")).unwrap();
    fs::rename(followed.at("t"), followed.at("c")).unwrap();
    followed.same();
    // Parent and child change places.
    fs::create_dir(followed.at("a/child")).unwrap();
    followed.same();
    fs::rename(followed.at("a/child"), followed.at("child")).unwrap();
    fs::rename(followed.at("a"), followed.at("child/a")).unwrap();
    followed.same();
    let sent = followed.replication.shared().bytes_transmitted.load(Relaxed);
    assert_eq!(sent, 0);
}

/// The event names the place by which the file was opened, and that is another file's by then.
#[test]
fn what_is_written_to_a_file_whose_name_another_has_taken_arrives_under_its_other_name() {
    if !support::is_root() {
        return support::skip(
            "a file without the name that it was opened by",
            "only fanotify tells which file it is",
        );
    }
    let followed = Followed::new(|bed| {
        fs::write(bed.source().join("b"), "before").unwrap();
        fs::hard_link(bed.source().join("b"), bed.source().join("f")).unwrap();
    });
    let file = fs::OpenOptions::new().write(true).open(followed.at("b")).unwrap();
    fs::write(followed.at("aside"), "another").unwrap();
    fs::rename(followed.at("aside"), followed.at("b")).unwrap();
    // A barrier would note the file as one that is open for writing.
    let began = std::time::Instant::now();
    while fs::read(followed.bed.target().join("b")).unwrap() != b"another" {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", followed.replication);
        std::thread::yield_now();
    }
    file.write_all_at(b"after ", 0).unwrap();
    drop(file);
    followed.same();
}

#[test]
fn large_files_send_what_has_changed() {
    use std::os::unix::fs::FileExt;
    let followed = Followed::new(|bed| {
        let bytes: Vec<u8> = (0..8u32 << 20).map(|n| (n / 4096) as u8 ^ n as u8).collect();
        fs::write(bed.source().join("big"), bytes).unwrap();
    });
    let sent = || followed.replication.shared().bytes_transmitted.load(Relaxed);
    let file = fs::OpenOptions::new().write(true).open(followed.at("big")).unwrap();
    file.write_all_at(b"here", 5_000_000).unwrap();
    followed.same();
    assert!(sent() <= 64 << 10, "{}", sent());
    let before = sent();
    for number in 0..100u64 {
        file.write_all_at(&[number as u8; 100], (8 << 20) + number * 100).unwrap();
    }
    followed.same();
    assert!(sent() - before <= 3 * 10_000, "{}", sent() - before);
    file.set_len(1_000_000).unwrap();
    followed.same();
    file.set_len(9_000_000).unwrap();
    followed.same();
    fs::rename(followed.at("big"), followed.at("large")).unwrap();
    file.write_all_at(b"there", 7_000_000).unwrap();
    followed.same();
    fs::write(followed.at("fresh"), vec![5; 3 << 20]).unwrap();
    followed.same();
}

/// When the first change arrives, the pass that found it is on its way through the second half of the file: what is then written
/// before that, or to what the file grows by meanwhile, is for what follows.
#[test]
fn what_is_written_behind_a_pass_arrives_without_a_further_event() {
    use std::os::unix::fs::FileExt as _;
    let half = 32 << 20;
    let followed = Followed::new(|bed| fs::write(bed.source().join("large"), vec![7; 2 * half]).unwrap());
    let file = fs::OpenOptions::new().write(true).open(followed.at("large")).unwrap();
    let target = fs::File::open(followed.bed.target().join("large")).unwrap();
    let arrives = |round: u8, at: usize| {
        let began = std::time::Instant::now();
        let mut found = [0; 700];
        while target.read_exact_at(&mut found, at as u64).is_err() || found != [round; 700] {
            assert!(began.elapsed() < Duration::from_secs(20), "round {round}: not at {at}");
            std::thread::yield_now();
        }
    };
    let mut size = 2 * half;
    for round in 10..16 {
        file.write_all_at(&[round; 700], half as u64).unwrap();
        arrives(round, half);
        file.write_all_at(&[round; 700], 0).unwrap();
        file.write_all_at(&[0; 9_000], size as u64).unwrap();
        file.write_all_at(&[round; 700], size as u64 + 4_000).unwrap();
        arrives(round, 0);
        arrives(round, size + 4_000);
        size += 9_000;
    }
    followed.same();
}

#[test]
fn what_crosses_the_border_comes_and_goes() {
    let followed = Followed::new(|bed| fs::write(bed.source().join("a"), b"a").unwrap());
    fs::create_dir_all(followed.outside("tree/below")).unwrap();
    fs::write(followed.outside("tree/below/f"), b"f").unwrap();
    fs::rename(followed.outside("tree"), followed.at("tree")).unwrap();
    followed.same();
    fs::write(followed.at("tree/below/f"), b"more").unwrap();
    followed.same();
    fs::rename(followed.at("tree"), followed.outside("back")).unwrap();
    fs::rename(followed.at("a"), followed.outside("a")).unwrap();
    followed.same();
    fs::write(followed.outside("back/below/f"), b"out of sight").unwrap();
    followed.same();
}

#[test]
fn ten_thousand_files_arrive() {
    let followed = Followed::new(|_| {});
    for number in 0..10_000 {
        fs::write(followed.at(&format!("{number}")), number.to_string()).unwrap();
    }
    followed.same();
    fs::create_dir(followed.at("d")).unwrap();
    for number in 0..10_000 {
        fs::rename(followed.at(&format!("{number}")), followed.at(&format!("d/{number}"))).unwrap();
    }
    followed.same();
    fs::remove_dir_all(followed.at("d")).unwrap();
    followed.same();
    oracle::assert_same(&followed.bed.source(), &followed.bed.target());
}

/// Random operations by this process, a barrier now and then, and everything compared.
#[test]
fn random_operations_arrive() {
    let (followed, operations, mut random) = random_tree(Bed::new());
    for round in 0..rounds(30) {
        for _ in 0..if round % 10 == 9 { 300 } else { 30 } {
            operations.one(&mut random);
        }
        followed.same();
    }
}

/// The same by several threads at once, which all stop for the barrier.
#[test]
fn random_operations_of_several_threads_arrive() {
    of_several_threads(Bed::new());
}

pub fn of_several_threads(bed: Bed) {
    let (followed, operations, mut random) = random_tree(bed);
    for _ in 0..rounds(12) {
        at_once(&operations, &mut random, 40);
        followed.same();
    }
}

/// A mirror runs meanwhile, which shares the log.
#[test]
fn random_operations_during_a_mirror_arrive() {
    let (followed, operations, mut random) = random_tree(Bed::new());
    for round in 0..rounds(8) {
        let spec = [FULL, DIFFERENT, CHECKSUM][round % 3];
        std::thread::scope(|scope| {
            let mirror = scope.spawn(|| {
                let jobs = JobShared::new();
                source::run(&followed.bed.plan(), JobKind::Mirror(spec), &jobs, Some(&followed.replication))
            });
            at_once(&operations, &mut random, 40);
            let outcome = mirror.join().unwrap();
            assert!(outcome.fatal.is_none(), "{outcome:?}");
        });
        followed.same();
    }
}

/// `ROUNDS` in the environment asks for more.
pub fn rounds(usual: usize) -> usize {
    std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

/// `SEED` in the environment repeats the operations, though not their timing.
fn random_tree(bed: Bed) -> (Followed, Operations, Random) {
    let seed = seed();
    let followed = Followed::with_queue(bed, |bed| tree::random(&bed.source(), seed, 60));
    let operations = Operations::new(followed.bed.source(), followed.outside(""));
    (followed, operations, Random::new(seed))
}

pub fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into()
    });
    println!("SEED={seed}");
    seed
}

/// Operations of four threads.
pub fn at_once(operations: &Operations, random: &mut Random, each: usize) {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut random = Random::new(random.next());
            scope.spawn(move || (0..each).for_each(|_| operations.one(&mut random)));
        }
    });
}
