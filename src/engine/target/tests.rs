//! The applier with obstacles put in its way: whatever is held back and however often it is tried, the tree becomes what it would
//! have become without them.
#![allow(clippy::disallowed_methods)]

use super::apply::Applier;
use super::failure::{Failure, Trouble};
use super::held::{Key, Touches, file_of, name_of};
use super::{Amount, Broken, Policy, Spill, serve};
use crate::engine::link::{self, SourceEnd};
use crate::engine::log::testing::Ear;
use crate::engine::log::{Event, inherit};
use crate::engine::orphans::TargetOrphans;
use crate::engine::queue::Disk;
use crate::engine::settings::{OrphanSettings, QueueSettings};
use crate::sys::{FileKind, Meta, Xattrs};
use crate::wire::{Answer, FailureKind, FileMode, Op, OrphanNamed, OrphanStep, Patch, Reader};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The errno of an operation that fails instead of being tried.
pub(super) type Obstacle = Arc<dyn Fn(&Op<'_>, &Touches) -> Option<i32> + Send + Sync>;

impl Applier {
    pub(super) fn meet_obstacle(&mut self, op: &Op<'_>) -> Result<(), Trouble> {
        let Some(obstacle) = self.obstacle.clone() else { return Ok(()) };
        // What belongs to a file that was given up is passed over.
        if let Some(file) = file_of(op)
            && !matches!(op, Op::FileBegin { .. })
            && self.files.get(&file).is_none_or(|open| open.has_failed())
        {
            return Ok(());
        }
        // A directory that is not there comes before anything in it.
        if let Some(name) = name_of(op) {
            self.at(name)?;
        }
        let touches = self.touches(op);
        if let Some(errno) = obstacle(op, &touches) {
            let (root, path) = self.here.at();
            return Err(Failure::of_errno("pass the obstacle", errno).about(root, path, b""));
        }
        Ok(())
    }
}

/// A run that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(10);

const DIRS: [&str; 6] = ["", "a", "a/b", "c", "c/d", "a/b/c"];
const NAMES: [&str; 6] = ["f", "g", "a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Do {
    Put(u8),
    Begin(u64, bool),
    Write(u64, u16, u8),
    Hole(u64, u16),
    End(u64, u16),
    Drop(u64),
    Symlink(u8),
    Link(usize, usize),
    SetMeta(u16),
    SetDirMeta(u16),
    Remove(bool),
    Rename(usize, usize),
    Nothing,
}

/// One step: the directory that is entered, whether it is made, the name, and what is done.
type Step = (usize, bool, usize, Do);

fn step() -> impl Strategy<Value = Step> {
    let file = 1u64..4;
    let what = prop_oneof![
        4 => any::<u8>().prop_map(Do::Put),
        3 => (file.clone(), any::<bool>()).prop_map(|(file, whole)| Do::Begin(file, whole)),
        3 => (file.clone(), 0u16..500, any::<u8>()).prop_map(|(file, at, byte)| Do::Write(file, at, byte)),
        1 => (file.clone(), 0u16..500).prop_map(|(file, at)| Do::Hole(file, at)),
        3 => (file.clone(), 0u16..600).prop_map(|(file, len)| Do::End(file, len)),
        1 => file.prop_map(Do::Drop),
        1 => any::<u8>().prop_map(Do::Symlink),
        1 => (0..DIRS.len(), 0..2usize).prop_map(|(dir, name)| Do::Link(dir, name)),
        1 => (0u16..0o777).prop_map(Do::SetMeta),
        2 => (0u16..0o777).prop_map(Do::SetDirMeta),
        2 => any::<bool>().prop_map(Do::Remove),
        5 => (0..DIRS.len(), 0..NAMES.len()).prop_map(|(dir, name)| Do::Rename(dir, name)),
        1 => Just(Do::Nothing),
    ];
    (0..DIRS.len(), prop::bool::weighted(0.8), 0..NAMES.len(), what)
}

fn meta(mode: u32, seconds: i64) -> Meta {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    Meta { mode: 0o700 | mode, uid, gid, mtime: (seconds, 0) }
}

/// The directories whose times are set at the end of a run: also those that others were moved to.
fn dated() -> Vec<String> {
    let below = DIRS.iter().flat_map(|dir| NAMES.iter().map(move |name| format!("{dir}/{name}")));
    DIRS.iter()
        .map(ToString::to_string)
        .chain(below)
        .map(|path| path.trim_start_matches('/').to_string())
        .collect()
}

/// The frames of a run; files that were begun are ended, at last each directory gets its metadata.
fn frames(steps: &[Step]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut begun: BTreeMap<u64, u64> = BTreeMap::new();
    let mut next = 100;
    for (number, (dir, make, name, what)) in steps.iter().enumerate() {
        let mut frame = Vec::new();
        let seconds = number as i64 + 1;
        let name = NAMES[*name].as_bytes();
        // A source that does not make a directory takes it to be there; where it is not, nothing but a removal is the same now and later.
        let make = *make || !matches!(what, Do::Remove(_) | Do::SetDirMeta(_) | Do::Nothing);
        Op::Enter { root: 0, path: DIRS[*dir].as_bytes(), make }.encode(&mut frame);
        let content = vec![number as u8; 300];
        let op = match what {
            Do::Put(len) => Op::Put {
                name,
                meta: meta(0o44, seconds),
                xattrs: Xattrs::default(),
                content: &content[..usize::from(*len)],
            },
            Do::Begin(file, whole) if !begun.contains_key(file) => {
                next += 1;
                begun.insert(*file, next);
                let mode = if *whole { FileMode::Whole } else { FileMode::InPlace };
                Op::FileBegin { file: next, name, mode }
            }
            Do::Write(file, at, byte) => match begun.get(file) {
                Some(file) => {
                    let patch = Patch::Bytes(&content[..usize::from(*byte)]);
                    Op::FileWrite { file: *file, offset: u64::from(*at), patch }
                }
                None => continue,
            },
            Do::Hole(file, at) => match begun.get(file) {
                Some(file) => Op::FileWrite { file: *file, offset: u64::from(*at), patch: Patch::Hole(100) },
                None => continue,
            },
            Do::End(file, length) => match begun.remove(file) {
                Some(file) => Op::FileEnd {
                    file,
                    length: u64::from(*length),
                    meta: meta(0, seconds),
                    xattrs: Xattrs::default(),
                },
                None => continue,
            },
            Do::Drop(file) => match begun.remove(file) {
                Some(file) => Op::FileDrop { file },
                None => continue,
            },
            Do::Symlink(to) => Op::Symlink {
                name,
                meta: meta(0, seconds),
                xattrs: Xattrs::default(),
                text: NAMES[usize::from(*to) % NAMES.len()].as_bytes(),
            },
            // A file that is changed by two of its names is in no order; so a second name is only made and removed.
            Do::Link(dir, from) => {
                Op::Link { name: b"h", root: 0, dir: DIRS[*dir].as_bytes(), from: NAMES[*from].as_bytes() }
            }
            Do::SetMeta(mode) => Op::SetMeta {
                name,
                kind: FileKind::File,
                meta: meta(u32::from(*mode), seconds),
                xattrs: Xattrs::default(),
            },
            Do::SetDirMeta(mode) => {
                Op::SetDirMeta { meta: meta(u32::from(*mode), seconds), xattrs: Xattrs::default() }
            }
            Do::Remove(tree) => Op::Remove { name, tree: *tree },
            Do::Rename(dir, from) => {
                Op::Rename { name, root: 0, dir: DIRS[*dir].as_bytes(), from: NAMES[*from].as_bytes() }
            }
            Do::Begin(..) | Do::Nothing => {
                frames.push(frame);
                continue;
            }
        };
        op.encode(&mut frame);
        frames.push(frame);
    }
    let mut last = Vec::new();
    for file in begun.into_values() {
        Op::FileEnd { file, length: 50, meta: meta(0, 5), xattrs: Xattrs::default() }.encode(&mut last);
    }
    for path in dated() {
        Op::Enter { root: 0, path: path.as_bytes(), make: false }.encode(&mut last);
        Op::SetDirMeta { meta: meta(0, 7), xattrs: Xattrs::default() }.encode(&mut last);
    }
    frames.push(last);
    frames
}

/// What a tree is: path to kind, mode, time, content.
fn tree(top: &Path) -> BTreeMap<String, String> {
    fn walk(top: &Path, path: &Path, dated: &[String], found: &mut BTreeMap<String, String>) {
        let stat = std::fs::symlink_metadata(path).unwrap();
        let name = path.strip_prefix(top).unwrap().display().to_string();
        let content = if stat.is_file() {
            format!("{:?}", std::fs::read(path).unwrap())
        } else if stat.is_symlink() {
            std::fs::read_link(path).unwrap().display().to_string()
        } else {
            String::new()
        };
        let time = if stat.is_dir() && !dated.contains(&name) { 0 } else { stat.mtime() };
        let mode = stat.permissions().mode();
        found.insert(name, format!("{mode:o} links {} at {time}: {content}", stat.nlink()));
        if stat.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                walk(top, &entry.unwrap().path(), dated, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(top, top, &dated(), &mut found);
    found
}

fn start(
    policy: Policy,
    obstacle: Option<Obstacle>,
) -> (SourceEnd, std::thread::JoinHandle<Result<(), Broken>>) {
    start_on(link::pair(false), policy, obstacle)
}

fn start_on(
    (end, target_end): (SourceEnd, link::TargetEnd),
    policy: Policy,
    obstacle: Option<Obstacle>,
) -> (SourceEnd, std::thread::JoinHandle<Result<(), Broken>>) {
    let server = std::thread::spawn(inherit(move || {
        let mut applier = Applier::new(target_end, policy);
        applier.obstacle = obstacle;
        applier.serve()
    }));
    (end, server)
}

fn send(end: &SourceEnd, ops: &[Op<'_>]) {
    let mut frame = Vec::new();
    ops.iter().for_each(|op| op.encode(&mut frame));
    end.ops.send(frame).unwrap();
}

fn begin(root: &Path) -> Vec<u8> {
    let root = std::os::unix::ffi::OsStrExt::as_bytes(root.as_os_str());
    let mut frame = Vec::new();
    Op::Begin { attributes: true, xattrs: true, scan: false, roots: vec![(root, None)] }.encode(&mut frame);
    Op::By { who: 1 }.encode(&mut frame);
    frame
}

fn at_once() -> Policy {
    Policy { retry_delay: Duration::ZERO, ..Policy::default() }
}

/// No more than so many operations are held back; what comes then goes to disk below this directory.
fn spilling(journal: &Path, op_limit: u64) -> Policy {
    let queue =
        QueueSettings { memory_max_bytes: 8192, op_limit, free_min_bytes: 0, ..QueueSettings::default() };
    Policy { queue, spill: Some(spill(journal)), ..at_once() }
}

fn spill(journal: &Path) -> Spill {
    Spill { directory: journal.join("target-1"), fs: Arc::new(Disk) }
}

/// The tree after a run, the failures of names, and the number of operations held at last. With an obstacle no more than
/// `most` operations are held back at a time.
fn run(
    steps: &[Step],
    obstacle: Option<Obstacle>,
    most: u64,
) -> (BTreeMap<String, String>, Vec<String>, u32) {
    let (dir, journal) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut policy = spilling(journal.path(), most);
    // With an odd number the disk is soon full.
    policy.queue.space_max = (most % 2 == 1).then_some(3000);
    policy.queue.file_size_bytes = 1000;
    let (end, server) = start(policy, obstacle);
    end.ops.send(begin(dir.path())).unwrap();
    for frame in frames(steps) {
        end.ops.send(frame).unwrap();
    }
    send(&end, &[Op::Barrier { barrier: 1 }, Op::Barrier { barrier: 2 }]);
    let (mut failures, mut last, mut barriers) = (Vec::new(), 0, Vec::new());
    while let Ok(frame) = end.results.recv_timeout(PATIENCE) {
        match Answer::decode(&mut Reader::new(&frame)).unwrap() {
            Answer::Reached { barrier } => barriers.push(barrier),
            Answer::Held { count, .. } => last = count,
            // Failures to enter are told by the entering or by what follows, that depends.
            Answer::Failed { kind: FailureKind::One, errno: libc::ENOENT, .. } => {}
            Answer::Failed { name, kind, errno, path, .. } if !name.is_empty() => {
                let text = String::from_utf8_lossy;
                // What is missing, of another kind, or behind a link is one to a source (`Common::failed`); an operation that
                // waited may find the one for the other.
                let stale = matches!(errno, libc::ENOENT | libc::ENOTDIR | libc::ELOOP)
                    || matches!(kind, FailureKind::Missing | FailureKind::Mismatch);
                let what = if stale { "not as thought".to_owned() } else { format!("{kind:?} {errno}") };
                failures.push(format!("{}/{}: {what}", text(path), text(name)));
            }
            _ => {}
        }
        if barriers.len() == 2 {
            break;
        }
    }
    assert_eq!(barriers, [1, 2], "a barrier is not reached");
    drop(end.ops);
    while let Ok(frame) = end.results.recv() {
        if let Answer::Held { count, .. } = Answer::decode(&mut Reader::new(&frame)).unwrap() {
            last = count;
        }
    }
    server.join().unwrap().unwrap();
    failures.sort();
    (tree(dir.path()), failures, last)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn when_the_obstacles_are_gone_all_is_as_if_they_had_never_been(
        steps in proptest::collection::vec(step(), 1..60),
        obstacles in proptest::collection::vec((0..DIRS.len(), 0..NAMES.len(), 1u32..15), 1..4),
        most in prop_oneof![Just(0u64), 1u64..6],
    ) {
        let (expected, failures, _) = run(&steps, None, 0);
        let budgets: Vec<(Key, AtomicU32)> = obstacles
            .iter()
            .map(|(dir, name, times)| {
                (Key::new(0, DIRS[*dir].as_bytes(), NAMES[*name].as_bytes()), AtomicU32::new(*times))
            })
            .collect();
        let obstacle: Obstacle = Arc::new(move |_, touches| {
            let meets = budgets.iter().any(|(key, left)| {
                touches.iter().any(|(_, touched)| touched == key)
                    && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
            });
            meets.then_some(libc::EACCES)
        });
        let (found, found_failures, held) = run(&steps, Some(obstacle), most);
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(found_failures, failures);
        prop_assert_eq!(held, 0);
    }
}

/// Fails all that touches one of these names in the root until it is opened.
#[derive(Clone, Default)]
struct Gate {
    shut: Arc<Mutex<Vec<&'static str>>>,
    /// Another reason than EACCES.
    errno: Option<i32>,
}

impl Gate {
    fn obstacle(&self) -> Option<Obstacle> {
        let (shut, errno) = (Arc::clone(&self.shut), self.errno.unwrap_or(libc::EACCES));
        Some(Arc::new(move |_, touches| {
            let shut = shut.lock().unwrap();
            let keys: Vec<Key> = shut.iter().map(|name| Key::new(0, name.as_bytes(), b"")).collect();
            touches.iter().any(|(_, key)| keys.contains(key)).then_some(errno)
        }))
    }

    fn shut(&self, names: &[&'static str]) {
        *self.shut.lock().unwrap() = names.to_vec();
    }
}

fn put<'a>(name: &'a str, content: &'a [u8]) -> Op<'a> {
    Op::Put { name: name.as_bytes(), meta: meta(0, 1), xattrs: Xattrs::default(), content }
}

fn enter(path: &str) -> Op<'_> {
    Op::Enter { root: 0, path: path.as_bytes(), make: true }
}

/// Reads answers up to one that `wanted` takes.
fn until<T>(end: &SourceEnd, mut wanted: impl FnMut(&Answer<'_>) -> Option<T>) -> T {
    loop {
        let frame = end.results.recv_timeout(PATIENCE).expect("the target has ended, or does not say it");
        if let Some(found) = wanted(&Answer::decode(&mut Reader::new(&frame)).unwrap()) {
            return found;
        }
    }
}

fn held(wanted: u32) -> impl FnMut(&Answer<'_>) -> Option<(i32, String)> {
    move |answer| match answer {
        Answer::Held { count, errno, name, what, .. } if *count == wanted => {
            Some((*errno, format!("{} {}", String::from_utf8_lossy(name), String::from_utf8_lossy(what))))
        }
        _ => None,
    }
}

fn reached(wanted: u64) -> impl FnMut(&Answer<'_>) -> Option<()> {
    move |answer| (*answer == Answer::Reached { barrier: wanted }).then_some(())
}

#[test]
fn others_go_on_while_one_file_waits_and_the_barrier_waits_with_it() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(at_once(), gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(
        &end,
        &[
            enter(""),
            put("locked", b"one"),
            put("free", b"free"),
            put("locked", b"two"),
            Op::Rename { name: b"moved", root: 0, dir: b"", from: b"locked" },
            Op::Barrier { barrier: 5 },
            Op::By { who: 0 },
            Op::Barrier { barrier: 6 },
        ],
    );
    let (mut early, mut told) = (false, None);
    until(&end, |answer| {
        early |= *answer == Answer::Reached { barrier: 5 };
        told = held(3)(answer).or(told.take());
        reached(6)(answer)
    });
    assert!(!early, "a barrier of replication was answered before what is held");
    assert_eq!(told.unwrap().0, libc::EACCES);
    assert_eq!(std::fs::read(dir.path().join("free")).unwrap(), b"free");
    assert!(!dir.path().join("moved").exists());
    gate.shut(&[]);
    until(&end, reached(5));
    assert_eq!(std::fs::read(dir.path().join("moved")).unwrap(), b"two");
    until(&end, held(0));
    drop(end);
    server.join().unwrap().unwrap();
}

#[test]
fn a_mirror_does_not_overtake_what_is_held_and_is_told_so() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(at_once(), gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(
        &end,
        &[
            enter(""),
            put("locked", b"replicated"),
            Op::By { who: 0 },
            enter(""),
            put("locked", b"mirrored"),
            Op::Question { question: 9, name: b"locked", block: 4096, here: false },
        ],
    );
    let (who, errno) = until(&end, |answer| match answer {
        Answer::Failed { who, errno, name: b"locked", .. } => Some((*who, *errno)),
        _ => None,
    });
    assert_eq!((who, errno), (0, libc::EBUSY));
    let sums = end.sums.recv().unwrap();
    let answer = Answer::decode(&mut Reader::new(&sums)).unwrap();
    assert_eq!(answer, Answer::NoSums { question: 9, errno: libc::EBUSY });
    gate.shut(&[]);
    until(&end, held(0));
    assert_eq!(std::fs::read(dir.path().join("locked")).unwrap(), b"replicated");
    drop(end);
    server.join().unwrap().unwrap();
}

/// The thread that answers may come to a question long after its turn: here it waits for its answers to be read.
#[test]
fn replications_question_is_about_the_file_that_had_the_name_at_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("large"), vec![7; 16 << 20]).unwrap();
    std::fs::write(dir.path().join("f"), b"old").unwrap();
    let (end, server) = start(at_once(), None);
    end.ops.send(begin(dir.path())).unwrap();
    let ask = |question, name| Op::Question { question, name, block: 4096, here: false };
    send(
        &end,
        &[
            enter(""),
            ask(1, b"large"),
            ask(2, b"f"),
            put("f", b"new, and longer"),
            Op::Barrier { barrier: 1 },
        ],
    );
    until(&end, reached(1));
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"new, and longer");
    let length = loop {
        let frame = end.sums.recv().unwrap();
        match Answer::decode(&mut Reader::new(&frame)).unwrap() {
            Answer::Sums { question: 2, last: Some(length), .. } => break length,
            Answer::Sums { question: 1, .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(length, 3);
    drop(end);
    server.join().unwrap().unwrap();
}

#[test]
fn what_fails_too_often_is_given_up_and_the_next_is_tried() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(Policy { retry_limit: 3, ..at_once() }, gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    let file_end = Op::FileEnd { file: 1, length: 1, meta: meta(0, 1), xattrs: Xattrs::default() };
    send(
        &end,
        &[
            enter(""),
            put("locked", b"1"),
            Op::FileBegin { file: 1, name: b"locked", mode: FileMode::Whole },
            Op::FileWrite { file: 1, offset: 0, patch: Patch::Bytes(b"x") },
            file_end,
            Op::Barrier { barrier: 1 },
        ],
    );
    let mut failed = 0;
    let mut applied = 0;
    until(&end, |answer| {
        match answer {
            Answer::Failed { who: 1, errno: libc::EACCES, .. } => failed += 1,
            Answer::Applied { who: 1, bytes, .. } => applied += bytes,
            _ => {}
        }
        (matches!(answer, Answer::Reached { barrier: 1 })).then_some(())
    });
    // The put, and the file's beginning, after which nothing more is said of it.
    assert_eq!(failed, 2);
    assert_eq!(applied, 2, "what was given up is under way no more");
    until(&end, held(0));
    drop(end);
    server.join().unwrap().unwrap();
}

/// statistics.tsv: Retries, OpsDropped, Ops Remaining, Ops Received. What waits behind another is not retried with it.
#[test]
fn what_is_tried_again_and_given_up_is_counted() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let policy = Policy { retry_limit: 3, ..at_once() };
    let counts = Arc::clone(&policy.counts);
    let (end, server) = start(policy, gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    let moved = Op::Rename { name: b"moved", root: 0, dir: b"", from: b"locked" };
    send(&end, &[enter(""), put("locked", b"1"), moved, put("free", b"23"), Op::Barrier { barrier: 1 }]);
    until(&end, reached(1));
    until(&end, held(0));
    assert_eq!(counts.operations.load(Relaxed), 3);
    assert_eq!(counts.mirror_operations.load(Relaxed), 0);
    // The file three times, and its move, which finds the same obstacle, three times after its first.
    assert_eq!((counts.retries.load(Relaxed), counts.dropped.load(Relaxed)), (6, 2));
    drop(end);
    server.join().unwrap().unwrap();
    assert_eq!(counts.now(), Amount::default());
}

/// statistics.tsv: Ops Remaining, Bytes In Target Queue, TargetOpenHandles.
#[test]
fn what_is_in_hand_is_shown() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let policy = Policy { retry_delay: Duration::from_secs(3600), ..Policy::default() };
    let counts = Arc::clone(&policy.counts);
    let (end, server) = start(policy, gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    let open = Op::FileBegin { file: 1, name: b"open", mode: FileMode::Whole };
    send(&end, &[enter(""), put("locked", b"1"), open]);
    until(&end, held(1));
    let asked = [Op::By { who: 0 }, Op::Barrier { barrier: 2 }, Op::By { who: 1 }];
    send(&end, &asked);
    until(&end, reached(2));
    let now = counts.now();
    assert_eq!((now.operations, now.disk, now.handles), (1, 0, 1));
    assert!(now.memory > 1, "{now:?}");
    gate.shut(&[]);
    drop(end);
    server.join().unwrap().unwrap();
    assert_eq!(counts.now(), Amount::default());
}

/// 4110 to 4113 and 4120: of a full disk that fails all at once the first is told, and that it is over.
#[test]
fn administrators_hear_of_a_cause_once_and_of_what_succeeds_after_all() {
    for (errno, event) in [
        (libc::ENOSPC, Event::TargetDiskFull),
        (libc::ETXTBSY, Event::TargetInUse),
        (libc::EACCES, Event::TargetDenied),
        (libc::EIO, Event::TargetTrouble),
    ] {
        let ear = Ear::new();
        let (dir, gate) = (tempfile::tempdir().unwrap(), Gate { errno: Some(errno), ..Gate::default() });
        gate.shut(&["locked", "other"]);
        let (end, server) = start(at_once(), gate.obstacle());
        end.ops.send(begin(dir.path())).unwrap();
        for _ in 0..2 {
            gate.shut(&["locked", "other"]);
            send(&end, &[enter(""), put("locked", b"1"), put("other", b"2"), put("locked", b"3")]);
            until(&end, held(3));
            gate.shut(&[]);
            until(&end, held(0));
            let told = ear.told();
            assert_eq!([told[0].0, told[1].0], [event, Event::TargetRecovered], "{told:?}");
            assert_eq!(told.len(), 2, "{told:?}");
            let path = dir.path().display().to_string();
            assert!(told[0].1.starts_with(&path) && told[0].1.contains("until it succeeds"), "{told:?}");
            assert!(told[1].1.starts_with(&path), "{told:?}");
        }
        drop(end);
        server.join().unwrap().unwrap();
        assert_eq!(ear.events(), []);
    }
}

/// 4150, also of what waits when the source leaves.
#[test]
fn administrators_hear_of_each_operation_that_is_given_up() {
    let ear = Ear::new();
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked", "other"]);
    let (end, server) = start(Policy { retry_limit: 3, ..at_once() }, gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter(""), put("locked", b"1"), put("other", b"1"), Op::Barrier { barrier: 1 }]);
    until(&end, reached(1));
    let told = ear.told();
    let events: Vec<Event> = told.iter().map(|(event, _)| *event).collect();
    assert_eq!(events, [Event::TargetDenied, Event::TargetGaveUp, Event::TargetGaveUp], "{told:?}");
    assert!(told[0].1.contains("tried again 3 times") && told[1].1.contains("after 3 retries"), "{told:?}");
    drop(end);
    server.join().unwrap().unwrap();
    let (end, server) = start(at_once(), gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter(""), put("locked", b"1")]);
    until(&end, held(1));
    drop(end);
    server.join().unwrap().unwrap();
    assert_eq!(ear.events(), [Event::TargetDenied, Event::TargetGaveUp]);
}

/// 4408 and 4409: what is to go and cannot.
#[test]
fn administrators_hear_of_orphans_that_cannot_be_removed() {
    let sweeps = |dir: &Path, directory: Option<&Path>, name: &str, kind: FileKind| {
        let settings = OrphanSettings {
            move_to: directory.map(Path::to_owned),
            directory: directory.map(Path::to_owned),
            min_age_minutes: None,
            log_each: false,
            piece: 100,
            guard_percent: 100,
        };
        let orphans = Arc::new(TargetOrphans::new(move || settings.clone()));
        let (end, server) = start(Policy { orphans, ..at_once() }, None);
        end.ops.send(begin(dir)).unwrap();
        let status = std::fs::symlink_metadata(dir.join(name)).unwrap();
        let mtime = (status.mtime(), u32::try_from(status.mtime_nsec()).unwrap());
        let orphan = OrphanNamed { dir: b"", name: name.as_bytes(), kind, mtime };
        let steps = [OrphanStep::Begin { preview: false }, OrphanStep::End].map(Op::Orphans);
        let [first, last] = steps;
        send(&end, &[Op::By { who: 0 }, enter(""), first, Op::Orphan(orphan), last]);
        until(&end, |answer| matches!(answer, Answer::Orphans(_)).then_some(()));
        drop(end);
        server.join().unwrap().unwrap();
    };
    let ear = Ear::new();
    let dir = tempfile::tempdir().unwrap();
    let (tree, attic) = (dir.path().join("tree"), dir.path().join("attic"));
    std::fs::create_dir_all(tree.join("used")).unwrap();
    std::fs::create_dir(&attic).unwrap();
    std::fs::write(tree.join("orphan"), [1; 100_000]).unwrap();
    // A place that has no room, or is not ours to write; a mount point is in use.
    let mount = |options: &str, at: &Path| {
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "none"]).arg(at);
        command.output().is_ok_and(|output| output.status.success())
    };
    let mode =
        |dir: &Path, mode| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
    let mounted = mount("size=4k", &attic) && mount("size=4k", &tree.join("used"));
    if !mounted && crate::sys::is_root() {
        return eprintln!("skipped: nothing can be mounted here");
    }
    if !mounted {
        mode(&attic, 0o500);
    }
    sweeps(&tree, Some(&attic), "orphan", FileKind::File);
    let moved = ear.told();
    if !mounted {
        mode(&tree, 0o500);
    }
    sweeps(&tree, None, "used", FileKind::Directory);
    let deleted = ear.told();
    for dir in [&attic, &tree] {
        mode(dir, 0o700);
    }
    if mounted {
        std::process::Command::new("umount").args([&attic, &tree.join("used")]).status().unwrap();
    }
    for (told, event) in [(moved, Event::OrphansNotMoved), (deleted, Event::OrphansNotDeleted)] {
        assert_eq!(told.iter().map(|(event, _)| *event).collect::<Vec<_>>(), [event], "{told:?}");
        assert!(told[0].1.contains("1 orphans of"), "{told:?}");
    }
    assert!(tree.join("orphan").exists() && tree.join("used").exists());
}

/// What a source hears of a file that cannot be written, until it is given up.
fn told_to_retry(retry_limit: u32, notify_after: u32) -> Vec<(u32, bool)> {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(Policy { retry_limit, notify_after, ..at_once() }, gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter(""), put("locked", b"1")]);
    let mut told = Vec::new();
    let over = |answer: &Answer<'_>| {
        if let Answer::Held { count, retrying, .. } = answer {
            told.push((*count, *retrying));
        }
        held(0)(answer)
    };
    until(&end, over);
    drop(end);
    server.join().unwrap().unwrap();
    told
}

/// `TGWriteFailureBeforeNotification`.
#[test]
fn the_source_is_told_of_retries_after_as_many_as_are_set() {
    let silent = [(1, false), (0, false)];
    assert_eq!(told_to_retry(8, 7), [(1, false), (1, true), (0, false)]);
    assert_eq!(told_to_retry(7, 7), silent, "given up before");
    assert_eq!(told_to_retry(2, 1), [(1, false), (1, true), (0, false)]);
    assert_eq!(told_to_retry(8, 0), silent, "0 is never");
}

/// `QJournalSpaceMax` is 0 (QUE-03).
fn memory_only(memory_max_bytes: u64) -> QueueSettings {
    QueueSettings { memory_max_bytes, space_max: Some(0), ..QueueSettings::default() }
}

#[test]
fn with_too_much_held_nothing_more_is_read_until_something_succeeds() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(Policy { queue: memory_only(10_000), ..at_once() }, gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter(""), put("locked", &[1; 9_000]), put("locked", &[2; 9_000]), put("free", b"x")]);
    until(&end, held(2));
    assert!(!dir.path().join("free").exists());
    gate.shut(&[]);
    send(&end, &[Op::Barrier { barrier: 1 }]);
    until(&end, reached(1));
    assert!(dir.path().join("free").exists());
    drop(end);
    server.join().unwrap().unwrap();
}

#[test]
fn a_source_that_goes_while_its_target_is_full_leaves_no_thread() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(Policy { queue: memory_only(1), ..at_once() }, gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter(""), put("locked", b"x"), put("free", b"x")]);
    until(&end, held(1));
    drop(end);
    server.join().unwrap().unwrap();
}

#[test]
fn what_is_held_when_the_stream_ends_is_answered_as_failed() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(at_once(), gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter(""), put("locked", b"1"), put("locked", b"2")]);
    until(&end, held(2));
    let SourceEnd { ops, results, .. } = end;
    drop(ops);
    let mut failed = 0;
    for frame in results {
        failed += u32::from(matches!(
            Answer::decode(&mut Reader::new(&frame)).unwrap(),
            Answer::Failed { who: 1, name: b"locked" | b"", .. }
        ));
    }
    assert_eq!(failed, 2);
    server.join().unwrap().unwrap();
}

#[test]
fn a_busy_directory_around_a_locked_file_does_not_fill_the_memory() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["d/locked"]);
    let policy = Policy { retry_delay: Duration::from_secs(3600), ..Policy::default() };
    let (end, server) = start(policy, gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter("d"), put("locked", b"x")]);
    for n in 0..1000 {
        send(&end, &[put("busy", b"x"), Op::SetDirMeta { meta: meta(0, n), xattrs: Xattrs::default() }]);
    }
    send(&end, &[Op::By { who: 0 }, Op::Barrier { barrier: 1 }]);
    let mut most = 0;
    until(&end, |answer| {
        if let Answer::Held { count, .. } = answer {
            most = most.max(*count);
        }
        reached(1)(answer)
    });
    assert_eq!(most, 2, "the file, and the directory's newest metadata");
    drop(end);
    server.join().unwrap().unwrap();
}

/// Sends a frame; fails when the target does not read it.
fn send_soon(end: &SourceEnd, ops: &[Op<'_>]) {
    let mut frame = Vec::new();
    ops.iter().for_each(|op| op.encode(&mut frame));
    let begun = std::time::Instant::now();
    while let Err(std::sync::mpsc::TrySendError::Full(back)) = end.ops.try_send(frame) {
        assert!(begun.elapsed() < PATIENCE, "the target reads nothing");
        frame = back;
        std::thread::yield_now();
    }
}

/// What the target says of its queue, up to what `wanted` takes.
fn queued(end: &SourceEnd, wanted: impl Fn(u64, u64, u64) -> bool) -> (u64, u64, u64) {
    until(end, |answer| match answer {
        Answer::Queue { operations, memory, disk } => {
            wanted(*operations, *memory, *disk).then_some((*operations, *memory, *disk))
        }
        _ => None,
    })
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

/// QUE-07: a target that holds as much back as may be held reads on, and what it reads waits on disk in its order.
#[test]
fn what_comes_when_too_much_is_held_waits_on_disk_and_is_done_in_its_order() {
    let (dir, journal, gate) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(spilling(journal.path(), 2), gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter(""), put("locked", b"1"), put("locked", b"2"), put("locked", b"3")]);
    for n in 0..100 {
        let content = [n; 1000];
        // Each is written over by the next, moved away by every tenth.
        let moved = format!("moved{n}");
        let mut ops = vec![put("file", &content)];
        if n % 10 == 9 {
            ops.push(Op::Rename { name: moved.as_bytes(), root: 0, dir: b"", from: b"file" });
        }
        send_soon(&end, &ops);
    }
    send_soon(&end, &[Op::Barrier { barrier: 1 }, Op::By { who: 0 }, Op::Barrier { barrier: 2 }]);
    let (_, memory, disk) = queued(&end, |operations, _, _| operations == 113);
    assert!(disk > 50_000, "{disk} bytes on disk");
    assert!(memory < 3 * 8192, "{memory} bytes of memory");
    assert_eq!(entries(dir.path()), 0, "nothing overtakes what waits");
    gate.shut(&[]);
    until(&end, reached(1));
    until(&end, reached(2));
    assert_eq!(std::fs::read(dir.path().join("locked")).unwrap(), b"3");
    for n in (9..100).step_by(10) {
        assert_eq!(std::fs::read(dir.path().join(format!("moved{n}"))).unwrap(), [n; 1000]);
    }
    assert_eq!(entries(dir.path()), 11);
    queued(&end, |operations, memory, disk| (operations, memory, disk) == (0, 0, 0));
    drop(end);
    server.join().unwrap().unwrap();
    assert_eq!(entries(journal.path()), 0, "nothing is left on disk");
}

/// QUE-03: at the limit of the disk nothing more is read, and nothing is lost.
#[test]
fn a_target_whose_disk_queue_is_full_reads_on_when_there_is_room() {
    let (dir, journal, gate) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let mut policy = spilling(journal.path(), 1);
    policy.queue.space_max = Some(20_000);
    policy.queue.file_size_bytes = 5_000;
    let (end, server) = start(policy, gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter(""), put("locked", b"1"), put("locked", b"2")]);
    let SourceEnd { ops, results, .. } = end;
    let sender = std::thread::spawn(move || {
        for n in 0..100 {
            let mut frame = Vec::new();
            put(&format!("file{n}"), &[n; 1000]).encode(&mut frame);
            ops.send(frame).unwrap();
        }
        let mut frame = Vec::new();
        Op::Barrier { barrier: 1 }.encode(&mut frame);
        ops.send(frame).unwrap();
    });
    let mut most = 0;
    for frame in results.iter() {
        match Answer::decode(&mut Reader::new(&frame)).unwrap() {
            Answer::Queue { disk, .. } => {
                most = most.max(disk);
                if disk > 15_000 {
                    gate.shut(&[]);
                }
            }
            Answer::Reached { barrier: 1 } => break,
            _ => {}
        }
    }
    assert!((15_000..=20_000).contains(&most), "{most} bytes on disk");
    for n in 0..100 {
        assert_eq!(std::fs::read(dir.path().join(format!("file{n}"))).unwrap(), [n; 1000]);
    }
    sender.join().unwrap();
    drop(results);
    server.join().unwrap().unwrap();
}

/// Each of these may keep a descriptor of the source.
#[test]
fn operations_of_only_so_many_begun_files_are_held_back() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(Policy { queue: memory_only(1 << 30), ..at_once() }, gate.obstacle());
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter("")]);
    for file in 0..256 {
        let begin = Op::FileBegin { file, name: b"locked", mode: FileMode::Whole };
        let end_of = Op::FileEnd { file, length: 1, meta: meta(0, 1), xattrs: Xattrs::default() };
        send(&end, &[begin, end_of]);
    }
    send(&end, &[put("free", b"x"), Op::Barrier { barrier: 1 }]);
    // The last file's end is not looked at any more.
    until(&end, held(2 * 255 + 1));
    assert!(!dir.path().join("free").exists());
    gate.shut(&[]);
    until(&end, reached(1));
    assert!(dir.path().join("free").exists());
    drop(end);
    server.join().unwrap().unwrap();
}

/// A hundred files wait on disk behind one that is locked.
fn let_much_wait(end: &SourceEnd, root: &Path) {
    end.ops.send(begin(root)).unwrap();
    send(end, &[enter(""), put("locked", b"1")]);
    for _ in 0..100 {
        send_soon(end, &[put("file", &[7; 1000])]);
    }
    queued(end, |_, _, disk| disk > 50_000);
}

/// QUE-10.
#[test]
fn what_waits_on_disk_and_is_damaged_ends_the_stream_and_says_so() {
    let (dir, journal, gate) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(spilling(journal.path(), 1), gate.obstacle());
    let_much_wait(&end, dir.path());
    std::fs::remove_file(journal.path().join("target-1/00000001.dtq")).unwrap();
    gate.shut(&[]);
    let SourceEnd { ops, results: _results, .. } = end;
    drop(ops);
    let Err(Broken::Queue { operations, why }) = server.join().unwrap() else { panic!("it went on") };
    assert!(operations > 50 && why.contains("00000001.dtq"), "{operations}: {why}");
    assert_eq!(entries(journal.path()), 0, "nothing is left on disk");
}

#[test]
fn a_range_that_is_copied_from_the_sources_file_is_still_copied_after_it_waited() {
    let (dir, journal, gate) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start_on(link::pair(true), spilling(journal.path(), 1), gate.obstacle());
    let source = dir.path().join("source");
    std::fs::write(&source, [5; 5000]).unwrap();
    end.local.as_ref().unwrap().offer(3, Arc::new(std::fs::File::open(&source).unwrap()));
    let root = dir.path().join("root");
    end.ops.send(begin(&root)).unwrap();
    send(&end, &[enter(""), put("locked", b"1"), put("locked", b"2")]);
    send_soon(
        &end,
        &[
            Op::FileBegin { file: 3, name: b"large", mode: FileMode::Whole },
            Op::FileWrite { file: 3, offset: 0, patch: Patch::Local(5000) },
            Op::FileEnd { file: 3, length: 5000, meta: meta(0, 1), xattrs: Xattrs::default() },
            Op::FileAsk { file: 3 },
        ],
    );
    queued(&end, |operations, _, _| operations == 5);
    gate.shut(&[]);
    until(&end, |answer| (*answer == Answer::Written { file: 3 }).then_some(()));
    assert_eq!(std::fs::read(root.join("large")).unwrap(), [5; 5000]);
    drop(end);
    server.join().unwrap().unwrap();
}

#[test]
fn a_source_that_goes_while_much_waits_leaves_neither_thread_nor_file() {
    let (dir, journal, gate) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Gate::default());
    gate.shut(&["locked"]);
    let (end, server) = start(spilling(journal.path(), 1), gate.obstacle());
    let_much_wait(&end, dir.path());
    drop(end);
    server.join().unwrap().unwrap();
    assert_eq!(entries(journal.path()), 0);
}

#[test]
fn an_ordinary_serve_has_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let (end, target_end) = link::pair(false);
    let server = std::thread::spawn(move || serve(target_end, Policy::default()));
    end.ops.send(begin(dir.path())).unwrap();
    send(&end, &[enter(""), put("f", b"x"), Op::Barrier { barrier: 1 }]);
    until(&end, reached(1));
    drop(end);
    server.join().unwrap().unwrap();
}

#[test]
fn a_file_gets_its_mode_whatever_the_umask_and_a_default_acl_would_take_from_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("acl")).unwrap();
    // Version 2; owner rwx, group r-x, others nothing (acl(5), linux/posix_acl_xattr.h).
    let acl: Vec<u8> = [2_u32.to_le_bytes()]
        .into_iter()
        .flatten()
        .chain([(1_u16, 7_u16), (4, 5), (0x20, 0)].into_iter().flat_map(|(tag, may)| {
            [&tag.to_le_bytes()[..], &may.to_le_bytes(), &u32::MAX.to_le_bytes()].concat()
        }))
        .collect();
    let with_acl = std::fs::File::open(dir.path().join("acl")).unwrap();
    let dirs = match crate::sys::set_xattr(&with_acl, c"system.posix_acl_default", &acl) {
        Ok(()) => vec!["", "acl"],
        Err(error) => {
            eprintln!("skipped: no ACLs here: {error}");
            vec![""]
        }
    };
    let (end, server) = start(at_once(), None);
    end.ops.send(begin(dir.path())).unwrap();
    // One gets its ACL only after it was entered.
    let mut dirs = dirs;
    if dirs.len() > 1 {
        dirs.push("later");
    }
    let xattrs = Xattrs { list: vec![(b"system.posix_acl_default".to_vec(), acl.clone())] };
    let modes = [0, 0o400, 0o600, 0o640, 0o644, 0o666, 0o755, 0o777, 0o1644, 0o4755];
    let names = modes.map(|mode| format!("{mode:o}"));
    for dir in &dirs {
        send(&end, &[enter(dir)]);
        if *dir == "later" {
            send(&end, &[Op::SetDirMeta { meta: meta(0, 1), xattrs: xattrs.clone() }]);
        }
        for (mode, name) in modes.iter().zip(&names) {
            let meta = Meta { mode: *mode, ..meta(0, 1) };
            let op = Op::Put { name: name.as_bytes(), meta, xattrs: Xattrs::default(), content: b"x" };
            // What is there is replaced the second time.
            send(&end, &[op.clone(), op]);
        }
    }
    send(&end, &[Op::Barrier { barrier: 1 }]);
    until(&end, reached(1));
    drop(end);
    server.join().unwrap().unwrap();
    for (dir, path) in dirs.iter().map(|name| (name, dir.path().join(name))) {
        for (mode, name) in modes.iter().zip(&names) {
            let found = std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, *mode, "{name} in {dir:?}");
        }
    }
}
