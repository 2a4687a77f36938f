//! Replication with a capture that the test drives: places in odd orders, gaps, directories that cannot be watched.

use super::super::capture::driven::Driven;
use super::super::capture::{Capture, Change, Gap, Key, Look, Place};
use super::super::walk::open_roots;
use super::common::Stirred;
use super::model::{Identity, flag};
use super::record::{At, Record, State};
use super::run::Follow;
use super::start::follow;
use crate::api::{ConnectionId, MirrorKind, MirrorSpec, Rule};
use crate::engine::job::{JobKind, JobPlan, JobShared, Mapping, Sink};
use crate::engine::log::Event;
use crate::engine::log::testing::Ear;
use crate::engine::replication::{Activity, Replication, ReplicationShared};
use crate::engine::repset::RuleSet;
use crate::engine::settings::{MirrorSettings, VerifyLogSettings};
use crate::sys::{Dir, Stat};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

struct Bed {
    dir: tempfile::TempDir,
    plan: JobPlan,
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
            settled: Arc::default(),
            transmission: Arc::default(),
            traffic: Arc::default(),
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
        Bed { dir, plan, capture, replication }
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

    /// Loses the stream while a directory `d` with a directory `e` in it, which has a file `old`, goes to `far` on the source and
    /// `change` makes another `d`.
    fn lose(&self, change: impl FnOnce(&Path)) {
        self.replication.cut();
        wait_until(|| self.replication.shared().mirror_required().is_some());
        fs::rename(self.source("d"), self.source("far")).unwrap();
        fs::create_dir(self.source("d")).unwrap();
        change(&self.source("d"));
        self.name("", "d", Change::NAME);
        self.name("", "far", Change::NAME);
        // Nobody can wait for it, but it waits its turn.
        self.replication.barrier(Some(Duration::from_secs(1)), &mut ()).unwrap_err();
    }

    /// An event that is read only when the mirror that comes has ended.
    fn late(&self, dir: &str, name: &str) {
        let place = Place::Name { dir: self.key(dir), name: name.as_bytes().into() };
        self.capture.later(Look { place, change: Change::NAME | Change::MOVED, object: None, from: None });
    }

    fn remirror(&self) {
        self.replication.shared().begin_mirror(true);
        self.mirror(MirrorSpec { kind: MirrorKind::Different, ..FULL });
    }

    /// A mirror, and a barrier behind it.
    fn mirror(&self, spec: MirrorSpec) {
        let job = JobKind::Mirror(spec);
        let outcome = crate::engine::source::run(&self.plan, job, &JobShared::new(), Some(&self.replication));
        assert!(outcome.complete, "{outcome:?}");
        self.barrier();
    }

    fn number(&self, name: &str) -> u64 {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(self.target(name)).unwrap())
    }

    /// A file is moved in from outside under this name: the keys of it and of where it was.
    fn moved_in(&self, name: &str) -> (Key, Key) {
        let outside = self.dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("f"), "f").unwrap();
        let key = |path: &Path| Driven::key(&Stat::of(fs::File::open(path).unwrap()).unwrap());
        let (object, from) = (key(&outside.join("f")), key(&outside));
        self.capture.resolves_to(&from, Some(outside.as_os_str().as_encoded_bytes()));
        fs::rename(outside.join("f"), self.source(name)).unwrap();
        (object, from)
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

/// A file `f` is written under another name, of which the event tells: a name of this directory.
fn writing_as(bed: &Bed, dir: Key, name: &str) -> Look {
    let object = Driven::key(&Stat::of(fs::File::open(bed.source("f")).unwrap()).unwrap());
    bed.capture.resolves_to(&object, Some(bed.source("f").as_os_str().as_encoded_bytes()));
    fs::write(bed.source("f"), "written").unwrap();
    let place = Place::Name { dir, name: name.as_bytes().into() };
    Look { place, change: Change::CONTENT, object: Some(object), from: None }
}

fn written_as(bed: &Bed, dir: Key, name: &str) {
    bed.capture.push(writing_as(bed, dir, name));
}

#[test]
fn what_was_written_in_a_directory_that_came_and_went_unseen_is_found_under_the_files_other_name() {
    let bed = Bed::new(|source, _| fs::write(source.join("f"), "f").unwrap());
    fs::create_dir(bed.source("d")).unwrap();
    let key = bed.key("d");
    fs::remove_dir(bed.source("d")).unwrap();
    written_as(&bed, key, "link to f");
    bed.barrier();
    assert_eq!(bed.content("f").as_deref(), Some("written"));
}

#[test]
fn what_was_written_in_a_directory_that_has_moved_out_since_is_found_under_the_files_other_name() {
    let bed = Bed::new(|source, _| {
        fs::create_dir(source.join("d")).unwrap();
        fs::write(source.join("f"), "f").unwrap();
    });
    let (key, top, outside) = (bed.key("d"), bed.key(""), bed.dir.path().join("outside"));
    fs::rename(bed.source("d"), &outside).unwrap();
    bed.capture.resolves_to(&key, Some(outside.as_os_str().as_encoded_bytes()));
    let place = Place::Name { dir: top, name: b"d"[..].into() };
    bed.capture.push(Look { place, change: Change::NAME, object: Some(key.clone()), from: None });
    wait_until(|| !bed.target("d").exists());
    written_as(&bed, key.clone(), "link to f");
    bed.barrier();
    assert_eq!(bed.content("f").as_deref(), Some("written"));
    // By now it is known to be outside (REP-27).
    bed.barrier();
    fs::write(bed.source("f"), "once more").unwrap();
    let place = Place::Name { dir: key, name: b"link to f"[..].into() };
    let object = Driven::key(&Stat::of(fs::File::open(bed.source("f")).unwrap()).unwrap());
    bed.capture.push(Look { place, change: Change::CONTENT, object: Some(object), from: None });
    bed.barrier();
    assert_eq!(bed.content("f").as_deref(), Some("written"));
}

#[test]
fn what_was_written_in_a_directory_that_left_with_the_one_above_it_is_found_under_the_files_other_name() {
    let bed = Bed::new(|source, _| {
        fs::create_dir_all(source.join("above/d")).unwrap();
        fs::write(source.join("f"), "f").unwrap();
    });
    let (key, above, outside) = (bed.key("above/d"), bed.key("above"), bed.dir.path().join("outside"));
    fs::rename(bed.source("above"), &outside).unwrap();
    bed.capture.resolves_to(&above, Some(outside.as_os_str().as_encoded_bytes()));
    bed.capture.resolves_to(&key, Some(outside.join("d").as_os_str().as_encoded_bytes()));
    let place = Place::Name { dir: bed.key(""), name: b"above"[..].into() };
    // The event of before is read only when it is known to be gone.
    bed.capture.after_next_drain(writing_as(&bed, key, "link to f"));
    bed.capture.push(Look { place, change: Change::NAME, object: Some(above), from: None });
    wait_until(|| !bed.target("above").exists());
    bed.barrier();
    assert_eq!(bed.content("f").as_deref(), Some("written"));
}

#[test]
fn what_was_written_under_a_name_that_a_new_file_has_now_is_found_under_the_files_other_name() {
    let bed = Bed::new(|source, _| fs::write(source.join("f"), "f").unwrap());
    fs::write(bed.source("new"), "new").unwrap();
    written_as(&bed, bed.key(""), "new");
    bed.barrier();
    assert_eq!((bed.content("f").as_deref(), bed.content("new").as_deref()), (Some("written"), Some("new")));
}

#[test]
fn what_was_moved_in_and_then_linked_in_the_same_directory_is_one_file() {
    let bed = Bed::new(|_, _| ());
    let (object, from) = bed.moved_in("moved");
    fs::hard_link(bed.source("moved"), bed.source("link")).unwrap();
    for (name, change, from) in
        [("link", Change::NAME, None), ("moved", Change::NAME | Change::MOVED, Some(from))]
    {
        let place = Place::Name { dir: bed.key(""), name: name.as_bytes().into() };
        bed.capture.push(Look { place, change, object: Some(object.clone()), from });
    }
    bed.barrier();
    assert_eq!(bed.number("moved"), bed.number("link"));
}

#[test]
fn a_link_that_a_listing_found_before_its_event_was_read_is_a_link_of_what_was_moved_in() {
    let bed = Bed::new(|source, _| fs::create_dir(source.join("d")).unwrap());
    let (object, from) = bed.moved_in("f");
    fs::hard_link(bed.source("f"), bed.source("d/link")).unwrap();
    let look = |dir: Key, name: &str, change, from| Look {
        place: Place::Name { dir, name: name.as_bytes().into() },
        change,
        object: Some(object.clone()),
        from,
    };
    bed.capture.gap(Gap::Directory { dir: bed.key("d") });
    wait_until(|| bed.target("d/link").exists());
    bed.capture.later(look(bed.key("d"), "link", Change::NAME, None));
    bed.capture.push(look(bed.key(""), "f", Change::NAME | Change::MOVED, Some(from)));
    bed.barrier();
    assert_eq!(bed.number("f"), bed.number("d/link"));
}

#[test]
fn what_was_moved_in_and_replaced_by_a_link_before_it_was_looked_at_does_not_take_the_link_apart() {
    let bed = Bed::new(|source, _| fs::write(source.join("first"), "f").unwrap());
    let (object, from) = bed.moved_in("f");
    fs::remove_file(bed.source("f")).unwrap();
    fs::hard_link(bed.source("first"), bed.source("f")).unwrap();
    let place = Place::Name { dir: bed.key(""), name: b"f"[..].into() };
    let change = Change::NAME | Change::MOVED;
    bed.capture.push(Look { place, change, object: Some(object), from: Some(from) });
    bed.barrier();
    assert_eq!(bed.number("first"), bed.number("f"));
}

#[test]
fn what_was_written_in_a_new_directory_that_left_with_the_one_above_it_is_found_under_the_files_other_name() {
    let bed = Bed::new(|source, _| {
        fs::create_dir(source.join("above")).unwrap();
        fs::write(source.join("f"), "f").unwrap();
    });
    fs::create_dir(bed.source("above/new")).unwrap();
    let (above, new, outside) = (bed.key("above"), bed.key("above/new"), bed.dir.path().join("outside"));
    fs::rename(bed.source("above"), &outside).unwrap();
    bed.capture.resolves_to(&above, Some(outside.as_os_str().as_encoded_bytes()));
    bed.capture.resolves_to(&new, Some(outside.join("new").as_os_str().as_encoded_bytes()));
    let look = |dir: &Key, name: &str, object: &Key| Look {
        place: Place::Name { dir: dir.clone(), name: name.as_bytes().into() },
        change: Change::NAME,
        object: Some(object.clone()),
        from: None,
    };
    bed.capture.after_next_drain(look(&above, "new", &new));
    bed.capture.after_next_drain(writing_as(&bed, new.clone(), "link to f"));
    bed.capture.push(look(&bed.key(""), "above", &above));
    wait_until(|| !bed.target("above").exists());
    bed.barrier();
    assert_eq!(bed.content("f").as_deref(), Some("written"));
}

#[test]
fn what_was_to_be_looked_at_when_its_root_was_gone_is_looked_at_when_that_is_back() {
    let bed = Bed::new(|source, _| fs::write(source.join("f"), "f").unwrap());
    fs::write(bed.source("f"), "written").unwrap();
    let (source, away) = (bed.dir.path().join("source"), bed.dir.path().join("away"));
    let dir = bed.key("");
    fs::rename(&source, &away).unwrap();
    bed.capture.name(&dir, b"f", Change::CONTENT);
    wait_until(|| bed.replication.shared().hold().is_some());
    fs::rename(&away, &source).unwrap();
    assert!(bed.replication.release());
    bed.barrier();
    assert_eq!(bed.content("f").as_deref(), Some("written"));
}

#[test]
fn a_name_that_came_from_a_directory_which_left_the_set_with_the_one_above_it_is_a_move() {
    let bed = Bed::new(|source, _| {
        fs::create_dir_all(source.join("above/d")).unwrap();
        fs::create_dir(source.join("e")).unwrap();
        fs::write(source.join("e/first"), "f").unwrap();
        fs::hard_link(source.join("e/first"), source.join("above/d/f")).unwrap();
    });
    let (above, from) = (bed.key("above"), bed.key("above/d"));
    let object = Driven::key(&Stat::of(fs::File::open(bed.source("e/first")).unwrap()).unwrap());
    fs::rename(bed.source("above/d/f"), bed.source("e/moved")).unwrap();
    let outside = bed.dir.path().join("outside");
    fs::rename(bed.source("above"), &outside).unwrap();
    for (key, path) in [(&above, outside.clone()), (&from, outside.join("d"))] {
        bed.capture.resolves_to(key, Some(path.as_os_str().as_encoded_bytes()));
    }
    // That it is missed is known before the events of what had happened before are read.
    let look = |dir: Key, name: &str, change, object: &Key, from| Look {
        place: Place::Name { dir, name: name.as_bytes().into() },
        change,
        object: Some(object.clone()),
        from,
    };
    let moved = look(bed.key("e"), "moved", Change::NAME | Change::MOVED, &object, Some(from));
    bed.capture.after_next_drain(moved);
    bed.capture.push(look(bed.key(""), "above", Change::NAME, &above, None));
    wait_until(|| !bed.target("above").exists());
    bed.barrier();
    assert_eq!(bed.number("e/first"), bed.number("e/moved"));
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
fn until_what_was_lost_for_want_of_room_is_found_the_status_says_so() {
    let bed = Bed::new(|source, _| {
        fs::copy("/bin/sleep", source.join("sleep")).unwrap();
        // One with two names is changed in place.
        fs::hard_link(source.join("sleep"), source.join("other name")).unwrap();
    });
    let runs = Runs(std::process::Command::new(bed.target("sleep")).arg("1000").spawn().unwrap());
    // Without an event.
    fs::write(bed.source("sleep"), [1; 30_000]).unwrap();
    bed.capture.gap(Gap::Everything { why: "a test".to_owned() });
    wait_until(|| bed.replication.shared().last_error().is_some_and(|error| error.contains("tried again")));
    assert_eq!(bed.replication.shared().activity(), Activity::OutOfMemory);
    drop(runs);
    wait_until(|| bed.replication.shared().activity() == Activity::Ready);
    assert_eq!(fs::read(bed.target("other name")).unwrap(), [1; 30_000]);
}

/// A directory `d` with `e/old`, and another directory `z`.
fn with_old(source: &Path, _: &Driven) {
    fs::create_dir_all(source.join("d/e")).unwrap();
    fs::write(source.join("d/e/old"), "old").unwrap();
    fs::create_dir(source.join("z")).unwrap();
    fs::write(source.join("z/new"), "new").unwrap();
}

/// The names in a directory of the target.
fn names(dir: PathBuf) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_that_is_removed_takes_what_the_target_had_there_before_with_it() {
    let bed = Bed::new(with_old);
    bed.lose(|d| fs::write(d.join("e"), "a file").unwrap());
    fs::remove_file(bed.source("d/e")).unwrap();
    bed.late("d", "e");
    bed.remirror();
    assert!(names(bed.target("d")).is_empty());
    assert_eq!(bed.content("far/e/old").as_deref(), Some("old"));
}

/// A record to make a file whole came to nothing, as its name had gone by then, and it was found again under another.
#[test]
fn what_changes_in_a_file_that_was_not_made_arrives() {
    let bed = Bed::new(with_old);
    let follow = bed.replication.as_any().downcast_ref::<super::run::Follow>().unwrap();
    let id = Identity::of(&Dir::open_root(&bed.source("z")).unwrap().stat(c"new").unwrap());
    let change = |content: &str| {
        fs::write(bed.source("z/new"), content).unwrap();
        bed.name("z", "new", Change::CONTENT);
        bed.barrier();
        assert_eq!(fs::read_to_string(bed.target("z/new")).unwrap(), content);
    };
    follow.common().lacks(id);
    change("replication has sent it whole");
    assert!(!follow.common().is_lacking(&id));
    follow.common().lacks(id);
    bed.mirror(FULL);
    assert!(!follow.common().is_lacking(&id), "the mirror has sent it whole");
    change("changed");
}

#[test]
fn a_directory_that_moves_leaves_what_the_target_had_there_before_behind() {
    let bed = Bed::new(with_old);
    bed.lose(|d| {
        fs::create_dir(d.join("e")).unwrap();
        fs::write(d.join("e/new"), "new").unwrap();
    });
    fs::rename(bed.source("d/e"), bed.source("y")).unwrap();
    bed.late("d", "e");
    bed.late("", "y");
    bed.remirror();
    assert_eq!(names(bed.target("y")), ["new"]);
    assert!(names(bed.target("d")).is_empty());
}

#[test]
fn a_directory_that_moves_to_a_place_is_not_mixed_with_what_the_target_had_there_before() {
    let bed = Bed::new(with_old);
    bed.lose(|_| ());
    fs::rename(bed.source("z"), bed.source("d/e")).unwrap();
    bed.late("", "z");
    bed.late("d", "e");
    bed.remirror();
    assert_eq!(names(bed.target("d/e")), ["new"]);
    assert!(!bed.target("z").exists());
}

#[test]
fn a_directory_that_moved_to_where_nothing_was_watched_yet_is_found_by_the_mirror() {
    let bed = Bed::new(with_old);
    fs::create_dir(bed.source("fresh")).unwrap();
    fs::rename(bed.source("d"), bed.source("fresh/d")).unwrap();
    // Of its new place there is no event.
    bed.late("", "d");
    bed.replication.shared().begin_mirror(false);
    bed.mirror(FULL);
    assert_eq!(bed.content("fresh/d/e/old").as_deref(), Some("old"));
    assert!(!bed.target("d").exists());
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

/// A directory that was to be compared, and was not though it stands where it stood, is asked for once more: it may have been away for the
/// moment in which the walk came by.
#[test]
fn what_a_walk_has_missed_is_asked_for_once_more() {
    let bed = Bed::new(|source, _| fs::create_dir_all(source.join("d/e")).unwrap());
    let common = bed.replication.as_any().downcast_ref::<Follow>().unwrap().common();
    common.mirror_begins(false);
    {
        let mut model = common.model();
        let swept = model.at(0, b"d").unwrap();
        model.set(swept, flag::SWEPT);
    }
    let Stirred::Parts(Some(parts), _) = common.stirred(false) else { panic!() };
    let paths: Vec<_> = parts.list().into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths, [b"".to_vec(), b"d/e".to_vec()]);
    assert!(matches!(common.stirred(false), Stirred::Nothing));
    common.job_ends(true);
}

/// Where something has left unseen, what the target has left in a directory that was on its way at that moment is looked for once more, also
/// by a mirror that removes nothing else.
#[test]
fn what_could_not_be_removed_where_something_has_left_is_looked_for_once_more() {
    let bed = Bed::new(|source, _| fs::create_dir_all(source.join("d/e")).unwrap());
    let common = bed.replication.as_any().downcast_ref::<Follow>().unwrap().common();
    common.mirror_begins(false);
    let (d, e) = {
        let mut model = common.model();
        let nodes = [b"".as_slice(), b"d", b"d/e"].map(|path| model.at(0, path).unwrap());
        nodes.into_iter().for_each(|node| model.set(node, flag::SWEPT));
        (nodes[1], nodes[2])
    };
    common.model().set(e, flag::STIRRED);
    assert!(matches!(common.stirred(false), Stirred::Nothing), "nothing has left there");
    common.model().set(d, flag::VACATED);
    let Stirred::Parts(Some(parts), vacated) = common.stirred(false) else { panic!() };
    let paths: Vec<_> = parts.list().into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths, [b"d/e".to_vec()]);
    assert!(vacated.has(0, b"d/e", b"left"));
    // It is not where it stood.
    common.model().set(e, flag::DISPLACED);
    assert!(matches!(common.stirred(false), Stirred::Later));
    common.model().clear(e, flag::DISPLACED);
    assert!(matches!(common.stirred(false), Stirred::Parts(..)));
    common.job_ends(true);
}

/// A directory that stood under the engine's own name when the log was lost is not there on the target. What is moved into it until it is found
/// makes one there that has nothing but that.
#[test]
fn what_stood_under_the_engines_own_name_when_the_log_was_lost_arrives_whole() {
    let bed = Bed::new(|source, _| {
        fs::create_dir(source.join("d")).unwrap();
        fs::write(source.join("d/in"), "in").unwrap();
    });
    bed.replication.cut();
    wait_until(|| bed.replication.shared().mirror_required().is_some());
    fs::rename(bed.source("d"), bed.source("far")).unwrap();
    let follow = bed.replication.as_any().downcast_ref::<Follow>().unwrap();
    let common = follow.common();
    let aside = ".dtcl-unfinished-1";
    let node = {
        let mut model = common.model();
        let (node, root) = (model.at(0, b"d").unwrap(), model.at(0, b"").unwrap());
        model.relocate(node, root, aside.as_bytes());
        model.set(node, flag::PARKED);
        node
    };
    // What is not dirty is not compared.
    bed.replication.shared().begin_mirror(true);
    let (_, _end) = follow.job(&JobShared::new()).unwrap();
    common.mirror_begins(false);
    fs::create_dir(bed.target(aside)).unwrap();
    bed.name("", "far", Change::NAME);
    wait_until(|| !common.model().has(node, flag::PARKED));
    follow.end_job(true);
    wait_until(|| bed.content("far/in").is_some());
    assert!(!bed.target(aside).exists());
}

/// A file that cannot be read is a failure, and no barrier waits for it.
#[test]
fn what_cannot_be_read_is_owed_no_more() {
    let bed = Bed::new(|source, _| fs::write(source.join("f"), "f").unwrap());
    let common = bed.replication.as_any().downcast_ref::<Follow>().unwrap().common();
    let (node, id) = {
        let model = common.model();
        let node = model.at(0, b"f").unwrap();
        (node, model.entry(node).id)
    };
    common.lacks(id);
    common.model().set(node, flag::CONTENT);
    assert!(common.waits_for_whole(&id) && !common.is_owing(), "a record further back sends it");
    common.model().clear(node, flag::CONTENT);
    assert!(common.waits_for_whole(&id) && common.is_owing());
    let at = At { root: 0, path: b"", name: b"f" };
    common.gives_up(&Record::Content { node, id, at, state: State::Single });
    assert!(!common.is_owing());
    assert!(common.is_lacking(&id) && common.model().has(node, flag::LACKING));
    common.forget_lacking();
    assert!(common.is_lacking(&id), "it is there");
}

#[test]
fn what_is_gone_lacks_nothing_once_all_is_applied() {
    let bed = Bed::new(|source, _| fs::write(source.join("f"), "f").unwrap());
    let common = bed.replication.as_any().downcast_ref::<Follow>().unwrap().common();
    let id = Identity { dev: 1, ino: 2, born: 3 };
    common.lacks(id);
    assert!(common.owes());
    common.forget_lacking();
    assert!(!common.owes());
}

/// 4007 and 4008, with the reason; then 4044.
#[test]
fn administrators_hear_of_an_auto_disconnect_and_of_a_capture_that_has_ended() {
    let ear = Ear::new();
    let bed = Bed::new(|_, _| {});
    bed.replication.cut();
    wait_until(|| bed.replication.shared().mirror_required().is_some());
    let told = ear.told();
    let events: Vec<Event> = told.iter().map(|(event, _)| *event).collect();
    assert_eq!(events, [Event::AutoDisconnectBegun, Event::AutoDisconnectDone]);
    assert!(told[0].1.contains("replication set t, connection 1: "), "{told:?}");
    bed.capture.end("the kernel closed it");
    wait_until(|| {
        ear.told()
            .iter()
            .any(|(event, text)| *event == Event::ReplicationGivenUp && text.contains("the kernel closed it"))
    });
}
