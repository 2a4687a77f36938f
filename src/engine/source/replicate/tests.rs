//! Replication with a capture that the test drives: places in odd orders, gaps, directories that cannot be watched.

use super::super::capture::driven::Driven;
use super::super::capture::{Capture, Change, Gap, Key, Look, Place};
use super::super::walk::open_roots;
use super::start::follow;
use crate::api::{ConnectionId, MirrorKind, MirrorSpec, Rule};
use crate::engine::job::{JobKind, JobPlan, JobShared, Mapping, Sink};
use crate::engine::replication::{Replication, ReplicationShared};
use crate::engine::repset::RuleSet;
use crate::engine::settings::{MirrorSettings, VerifyLogSettings};
use crate::sys::{Dir, Stat};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

struct Bed {
    dir: tempfile::TempDir,
    capture: Arc<Driven>,
    replication: Arc<dyn Replication>,
}

const FULL: MirrorSpec = MirrorSpec {
    kind: MirrorKind::Full,
    newer: false,
    checksum: false,
    calculate: false,
    orphans: false,
    clean: false,
    dry_run: false,
};

impl Bed {
    fn new(prepare: impl FnOnce(&Path, &Driven)) -> Bed {
        Self::with(|_| (), prepare)
    }

    fn with(set: impl FnOnce(&mut MirrorSettings), prepare: impl FnOnce(&Path, &Driven)) -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("source"), dir.path().join("target"));
        fs::create_dir(&source).unwrap();
        let mut settings =
            MirrorSettings { queue_dir: dir.path().join("queue"), ..MirrorSettings::default() };
        settings.orphans.guard_percent = 100;
        set(&mut settings);
        let path = source.to_str().unwrap().to_owned();
        let plan = JobPlan {
            connection: ConnectionId(1),
            repset: "t".to_owned(),
            rules: Arc::new(RuleSet::new(vec![Rule { path, include: true, recursive: true }])),
            paths: vec![Mapping { source: source.clone(), target }],
            settings,
            verify_log: VerifyLogSettings {
                directory: dir.path().to_path_buf(),
                name: "log".to_owned(),
                limit: 0,
                append: false,
            },
            elsewhere: Vec::new(),
            forbidden: Vec::new(),
            sink: Sink::Local,
            source_name: String::new(),
            target_name: String::new(),
            target_address: String::new(),
        };
        let capture = Driven::new();
        prepare(&source, &capture);
        let roots = open_roots(&plan, |_, _, error| panic!("{error}"));
        let shared = Arc::new(ReplicationShared::default());
        let driven: Arc<dyn Capture> = Arc::clone(&capture) as Arc<dyn Capture>;
        let replication = follow(&plan, shared, &roots, driven).unwrap();
        let outcome =
            crate::engine::source::run(&plan, JobKind::Mirror(FULL), &JobShared::new(), Some(&replication));
        assert!(outcome.complete, "{outcome:?}");
        Bed { dir, capture, replication }
    }

    fn source(&self, name: &str) -> PathBuf {
        self.dir.path().join("source").join(name)
    }

    fn target(&self, name: &str) -> PathBuf {
        self.dir.path().join("target").join(name)
    }

    fn key(&self, name: &str) -> Key {
        Driven::key(&Stat::of(Dir::open_root(&self.source(name)).unwrap()).unwrap())
    }

    /// The event of a name of a directory that is there.
    fn name(&self, dir: &str, name: &str, change: Change) {
        self.capture.name(&self.key(dir), name.as_bytes(), change);
    }

    fn barrier(&self) {
        let reached = self.replication.barrier(Some(Duration::from_secs(20)), &mut ());
        assert!(reached.clone().unwrap_or(false), "{reached:?} {:?}", self.replication);
    }

    fn content(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.target(name)).ok()
    }
}

#[test]
fn a_name_that_is_missed_first_and_found_later_is_a_move() {
    let bed = Bed::new(|source, _| {
        fs::create_dir_all(source.join("a/tree")).unwrap();
        fs::create_dir(source.join("b")).unwrap();
        fs::write(source.join("a/tree/f"), "f").unwrap();
    });
    use std::os::unix::fs::MetadataExt;
    let copy = fs::metadata(bed.target("a/tree/f")).unwrap().ino();
    fs::rename(bed.source("a/tree"), bed.source("b/tree")).unwrap();
    // The kernel still holds the half that says where it went.
    let place = Place::Name { dir: bed.key("b"), name: b"tree"[..].into() };
    bed.capture.later(Look { place, change: Change::NAME | Change::MOVED, object: None, from: None });
    bed.name("a", "tree", Change::NAME);
    bed.barrier();
    assert_eq!(fs::metadata(bed.target("b/tree/f")).unwrap().ino(), copy);
    assert!(!bed.target("a/tree").exists());
}

#[test]
fn places_that_never_were_and_names_that_are_as_they_were_send_nothing() {
    let bed = Bed::new(|source, _| fs::write(source.join("f"), "f").unwrap());
    for _ in 0..3 {
        bed.name("", "never", Change::NAME | Change::CONTENT | Change::META);
        bed.name("", "f", Change::META);
        bed.barrier();
    }
    assert_eq!(bed.replication.shared().bytes_transmitted.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(bed.content("f").as_deref(), Some("f"));
    assert_eq!(bed.replication.shared().last_error(), None);
}

#[test]
fn a_gap_is_made_good_by_comparing_what_it_touches() {
    let bed = Bed::new(|source, _| {
        fs::create_dir_all(source.join("d/e")).unwrap();
        fs::write(source.join("d/old"), "old").unwrap();
        fs::write(source.join("d/gone"), "gone").unwrap();
        fs::write(source.join("other"), "other").unwrap();
    });
    // None of these has an event.
    fs::write(bed.source("d/old"), "changed").unwrap();
    fs::remove_file(bed.source("d/gone")).unwrap();
    fs::write(bed.source("d/e/new"), "new").unwrap();
    fs::write(bed.source("other"), "unseen").unwrap();
    bed.capture.gap(Gap::Directory { dir: bed.key("d") });
    bed.barrier();
    assert_eq!((bed.content("d/old").as_deref(), bed.content("d/gone")), (Some("changed"), None));
    assert_eq!((bed.content("d/e/new"), bed.content("other").as_deref()), (None, Some("other")));
    bed.capture.gap(Gap::Everything { why: "a test".to_owned() });
    bed.barrier();
    assert_eq!(
        (bed.content("d/e/new").as_deref(), bed.content("other").as_deref()),
        (Some("new"), Some("unseen"))
    );
}

#[test]
fn a_directory_that_cannot_be_watched_is_said() {
    let bed = Bed::new(|source, _| fs::create_dir(source.join("d")).unwrap());
    bed.capture.refuse(Some(std::io::ErrorKind::StorageFull));
    fs::create_dir(bed.source("d/new")).unwrap();
    bed.name("d", "new", Change::NAME);
    bed.barrier();
    assert!(bed.target("d/new").is_dir());
    let why = bed.replication.shared().mirror_required().unwrap();
    assert!(why.contains("d/new are not followed"), "{why}");
}

#[test]
fn the_watch_of_a_directory_that_left_is_given_back() {
    let bed = Bed::new(|source, _| fs::create_dir_all(source.join("d/e")).unwrap());
    let keys = [bed.key("d"), bed.key("d/e")];
    fs::remove_dir_all(bed.source("d")).unwrap();
    bed.name("", "d", Change::NAME);
    bed.barrier();
    assert!(!bed.target("d").exists());
    let forgotten = bed.capture.forgotten();
    assert!(keys.iter().all(|key| forgotten.contains(key)), "{forgotten:?}");
}

/// A program that runs, so that nobody can write to its file.
struct Runs(std::process::Child);

impl Drop for Runs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stop_that_waits_for_a_target_that_reads_nothing_more_gives_way_to_one_that_discards() {
    let settings = |settings: &mut MirrorSettings| {
        settings.queue.memory_max_bytes = 10_000;
        settings.queue.space_max = Some(0);
    };
    let bed = Bed::with(settings, |source, _| {
        fs::copy("/bin/sleep", source.join("sleep")).unwrap();
        // One with two names is changed in place.
        fs::hard_link(source.join("sleep"), source.join("other name")).unwrap();
    });
    let _runs = Runs(std::process::Command::new(bed.target("sleep")).arg("1000").spawn().unwrap());
    fs::write(bed.source("sleep"), [1; 30_000]).unwrap();
    bed.name("", "sleep", Change::CONTENT);
    let told = || bed.replication.shared().last_error().is_some_and(|error| error.contains("tried again"));
    wait_until(told);
    for n in 0..40 {
        fs::write(bed.source(&format!("new{n}")), vec![n; 60_000]).unwrap();
        bed.name("", &format!("new{n}"), Change::NAME);
    }
    let stop = |discard: bool| {
        let (replication, (sender, ended)) = (Arc::clone(&bed.replication), std::sync::mpsc::channel());
        std::thread::spawn(move || sender.send(replication.stop(discard, Duration::ZERO)));
        ended
    };
    let waits = stop(false);
    let ended = |error: crate::api::ApiError| error.message.contains("replication of connection 1 has ended");
    wait_until(|| bed.replication.barrier(Some(Duration::ZERO), &mut ()).is_err_and(ended));
    assert_eq!(stop(true).recv_timeout(PATIENCE), Ok(true), "the target is cut off");
    assert_eq!(waits.recv_timeout(PATIENCE), Ok(true), "both calls return");
}

const PATIENCE: Duration = Duration::from_secs(8);

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < end, "it never became so");
        std::thread::yield_now();
    }
}
