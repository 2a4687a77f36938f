//! A target and a source that lies: operations made by hand.

use crate::bed::{Bed, CHECKSUM, FULL};
use crate::support;
use dtcl::engine::job::JobKind;
use dtcl::engine::{link, target};
use dtcl::sys::{FileKind, Meta, Xattrs};
use dtcl::wire::{Answer, FailureKind, FileMode, Op, Patch, Reader, WireError};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread::JoinHandle;

/// A source that sends what it is told to.
struct Liar {
    end: link::SourceEnd,
    server: JoinHandle<Result<(), WireError>>,
}

impl Liar {
    fn new() -> Self {
        Self::with(target::Policy::default())
    }

    fn with(policy: target::Policy) -> Self {
        let (end, target_end) = link::pair(false);
        let server = std::thread::spawn(move || {
            target::serve(target_end, policy).map_err(|broken| match broken {
                target::Broken::Wire(error) => error,
                target::Broken::Queue { why, .. } => panic!("{why}"),
            })
        });
        Self { end, server }
    }

    fn send(&self, ops: &[Op<'_>]) {
        let mut frame = Vec::new();
        ops.iter().for_each(|op| op.encode(&mut frame));
        // A target that has ended is asked for its error.
        let _ = self.end.ops.send(frame);
    }

    /// Waits until all is applied.
    fn barrier(&self) {
        self.send(&[Op::Barrier { barrier: 7 }]);
        for frame in self.end.results.iter() {
            match Answer::decode(&mut Reader::new(&frame)).unwrap() {
                Answer::Reached { .. } => return,
                Answer::Failed { errno, what, .. } => {
                    panic!("{}: {errno}", String::from_utf8_lossy(what));
                }
                _ => {}
            }
        }
        panic!("the target has ended");
    }

    /// Sends, and says what failed until all is applied: kind, errno and name.
    fn failures(&self, ops: &[Op<'_>]) -> Vec<(FailureKind, i32, String)> {
        self.send(ops);
        self.send(&[Op::Barrier { barrier: 8 }]);
        let mut failures = Vec::new();
        for frame in self.end.results.iter() {
            match Answer::decode(&mut Reader::new(&frame)).unwrap() {
                Answer::Reached { .. } => return failures,
                Answer::Failed { kind, errno, name, .. } => {
                    failures.push((kind, errno, String::from_utf8_lossy(name).into_owned()));
                }
                _ => {}
            }
        }
        panic!("the target has ended");
    }

    /// Paths of the directories and entries of the next description.
    fn described(&self) -> Vec<String> {
        let (mut told, mut at) = (Vec::new(), String::new());
        for frame in self.end.listings.iter() {
            let mut reader = Reader::new(&frame);
            while !reader.is_empty() {
                match Answer::decode(&mut reader).unwrap() {
                    Answer::Directory { root, path, .. } => {
                        at = format!("{root}:{}", String::from_utf8_lossy(path));
                        told.push(at.clone());
                    }
                    Answer::Entry(entry) => {
                        told.push(format!("{at} has {}", String::from_utf8_lossy(entry.name)));
                    }
                    Answer::ScanEnd => return told,
                    Answer::Failed { what, .. } => panic!("{}", String::from_utf8_lossy(what)),
                    _ => {}
                }
            }
        }
        panic!("the target has ended");
    }

    fn end(self) -> Result<(), WireError> {
        drop(self.end);
        self.server.join().unwrap()
    }
}

fn begin(root: &Path) -> Op<'_> {
    let root = std::os::unix::ffi::OsStrExt::as_bytes(root.as_os_str());
    Op::Begin { attributes: true, xattrs: false, scan: false, roots: vec![(root, None)] }
}

#[test]
fn a_second_beginning_is_refused() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    liar.send(&[begin(&target), begin(&target)]);
    assert_eq!(liar.end(), Err(WireError::Invalid("second beginning")));
}

#[test]
fn a_root_that_climbs_is_refused() {
    let liar = Liar::new();
    liar.send(&[begin(Path::new("/tmp/../etc"))]);
    assert_eq!(liar.end(), Err(WireError::Invalid("root")));
}

#[test]
fn a_file_that_is_changed_in_place_is_not_setuid_meanwhile() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    let file = target.join("f");
    fs::write(&file, "of the owner").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o6755)).unwrap();
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
    liar.send(&[
        begin(&target),
        Op::Enter { root: 0, path: b"", make: false },
        Op::FileBegin { file: 1, name: b"f", mode: FileMode::InPlace },
        Op::FileWrite { file: 1, offset: 0, patch: Patch::Bytes(b"of another") },
    ]);
    liar.barrier();
    assert_eq!(mode(), 0o755);
    let meta = Meta { mode: 0o6755, uid: 0, gid: 0, mtime: (5, 0) };
    liar.send(&[Op::FileEnd { file: 1, length: 12, meta, xattrs: Xattrs::default() }]);
    liar.barrier();
    if support::is_root() {
        assert_eq!(mode(), 0o6755);
    }
    liar.end().unwrap();
}

#[test]
fn a_file_left_half_changed_counts_as_old() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    fs::write(target.join("f"), "before").unwrap();
    liar.send(&[
        begin(&target),
        Op::Enter { root: 0, path: b"", make: false },
        Op::FileBegin { file: 1, name: b"f", mode: FileMode::InPlace },
        Op::FileWrite { file: 1, offset: 0, patch: Patch::Bytes(b"half") },
        Op::FileDrop { file: 1 },
    ]);
    liar.barrier();
    liar.end().unwrap();
    let modified = fs::metadata(target.join("f")).unwrap().modified().unwrap();
    assert!(modified < std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1));
}

#[test]
fn a_file_with_more_attributes_than_travel_fails_alone() {
    let bed = Bed::new();
    let shm = Path::new("/dev/shm");
    let Ok(dir) = tempfile::tempdir_in(shm) else {
        return support::skip("many attributes", "no /dev/shm here");
    };
    let mut bed = bed;
    bed.from = Some(dir.path().to_path_buf());
    fs::write(dir.path().join("many"), "x").unwrap();
    fs::write(dir.path().join("other"), "x").unwrap();
    let held = dtcl::sys::Dir::open_root(dir.path()).unwrap().object(c"many").unwrap();
    for n in 0..40 {
        let name = std::ffi::CString::new(format!("user.n{n}")).unwrap();
        if let Err(error) = dtcl::sys::set_xattr(&held, &name, &[b'v'; 60_000]) {
            return support::skip("many attributes", &format!("no room for them: {error}"));
        }
    }
    let (outcome, _) = bed.run(JobKind::Mirror(FULL));
    assert!(outcome.fatal.is_none(), "{outcome:?}");
    assert_eq!(outcome.failures.len(), 1, "{outcome:?}");
    assert!(bed.target().join("other").exists());
}

#[test]
fn many_directories_are_compared_with_few_descriptors() {
    let bed = Bed::new();
    for n in 0..1500 {
        let dir = bed.source().join(format!("d{n}"));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("f"), vec![b'x'; 100]).unwrap();
    }
    // A large file first: the questions about the others pile up behind it.
    fs::write(bed.source().join("a"), vec![1; 60 << 20]).unwrap();
    bed.mirror(FULL);
    let most = std::sync::atomic::AtomicUsize::new(0);
    let shared = dtcl::engine::job::JobShared::new();
    let plan = bed.plan();
    std::thread::scope(|scope| {
        let job = scope.spawn(|| dtcl::engine::source::run(&plan, JobKind::Mirror(CHECKSUM), &shared, None));
        while !job.is_finished() {
            let open = fs::read_dir("/proc/self/fd").unwrap().count();
            most.fetch_max(open, std::sync::atomic::Ordering::Relaxed);
        }
        assert!(job.join().unwrap().complete);
    });
    let most = most.into_inner();
    assert!(most < 800, "{most} descriptors; a common limit is 1024");
}

#[test]
fn without_root_a_foreign_setuid_bit_does_not_become_ones_own() {
    if !support::is_root() {
        return support::skip("a foreign setuid file", "needs root to make one");
    }
    // The mask itself; a run as another user is in the suite run as a plain user.
    let foreign = Meta { mode: 0o6755, uid: 12345, gid: 12345, mtime: (0, 0) };
    assert_eq!(dtcl::sys::attainable_mode(&foreign, true, 1000, false), 0o6755);
    assert_eq!(dtcl::sys::attainable_mode(&foreign, false, 1000, false), 0o755);
    assert_eq!(dtcl::sys::attainable_mode(&foreign, false, 12345, true), 0o6755);
}

const HERE: Op<'static> = Op::Enter { root: 0, path: b"", make: true };

fn meta() -> Meta {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    Meta { mode: 0o644, uid, gid, mtime: (5, 0) }
}

fn put<'a>(name: &'a str, content: &'a [u8]) -> Op<'a> {
    Op::Put { name: name.as_bytes(), meta: meta(), xattrs: Xattrs::default(), content }
}

fn rename<'a>(name: &'a str, root: u16, dir: &'a str, from: &'a str) -> Op<'a> {
    Op::Rename { name: name.as_bytes(), root, dir: dir.as_bytes(), from: from.as_bytes() }
}

#[test]
fn parts_are_described_when_and_as_they_are_asked_for() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    fs::create_dir_all(target.join("a/b/c")).unwrap();
    fs::create_dir_all(target.join("z")).unwrap();
    for file in ["f", "a/f", "a/b/f", "a/b/c/f", "z/f"] {
        fs::write(target.join(file), "x").unwrap();
    }
    liar.send(&[
        begin(&target),
        Op::Scan { parts: vec![(0, b"a/b", true), (0, b"gone", true), (0, b"f", true), (0, b"z", false)] },
        Op::Scan { parts: vec![(0, b"a", false)] },
        Op::Scan { parts: vec![] },
    ]);
    let parts = ["0:a/b", "0:a/b has c", "0:a/b has f", "0:a/b/c", "0:a/b/c has f", "0:z", "0:z has f"];
    assert_eq!(liar.described(), parts);
    assert_eq!(liar.described(), ["0:a", "0:a has b", "0:a has f"]);
    let all = liar.described();
    assert_eq!((all.len(), all[0].as_str()), (14, "0:"));
    // Operations may stand in between.
    liar.send(&[HERE, put("new", b"x")]);
    liar.barrier();
    liar.send(&[Op::Scan { parts: vec![(0, b"", false)] }]);
    assert!(liar.described().contains(&"0: has new".to_string()));
    liar.send(&[Op::Scan { parts: vec![(7, b"", false)] }]);
    assert_eq!(liar.end(), Err(WireError::Invalid("root's number")));
}

#[test]
fn too_many_descriptions_at_a_time_is_refused() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    liar.send(&[begin(&target)]);
    // Nobody reads them.
    for _ in 0..100 {
        liar.send(&[Op::Scan { parts: vec![] }]);
    }
    let Liar { end, server } = liar;
    drop(end);
    assert_eq!(server.join().unwrap(), Err(WireError::Invalid("number of descriptions at a time")));
}

#[test]
fn the_engines_own_directory_is_not_described_nor_moved_nor_moved_into() {
    let bed = Bed::new();
    let target = bed.target();
    for dir in ["home/lib", "d"] {
        fs::create_dir_all(target.join(dir)).unwrap();
    }
    fs::write(target.join("home/lib/key"), "x").unwrap();
    fs::write(target.join("d/f"), "x").unwrap();
    let stat = fs::metadata(target.join("home")).unwrap();
    let liar =
        Liar::with(target::Policy { forbidden: vec![(stat.dev(), stat.ino())], ..target::Policy::default() });
    liar.send(&[begin(&target), Op::By { who: 1 }, Op::Scan { parts: vec![(0, b"home/lib", true)] }]);
    assert!(liar.described().is_empty());
    let failures = liar.failures(&[
        HERE,
        rename("stolen", 0, "home/lib", "key"),
        rename("elsewhere", 0, "", "home"),
        Op::Enter { root: 0, path: b"home/lib", make: false },
        rename("planted", 0, "d", "f"),
        // Not tried for ever, whoever asks.
        Op::Enter { root: 0, path: b"", make: false },
        Op::Remove { name: b"home", tree: true },
    ]);
    assert_eq!(failures.len(), 4, "{failures:?}");
    assert!(failures.iter().all(|(kind, errno, _)| (*kind, *errno) == (FailureKind::One, nix::libc::EPERM)));
    assert!(target.join("home/lib/key").exists() && target.join("d/f").exists());
    liar.end().unwrap();
}

#[test]
fn an_entry_is_moved_over_another_as_the_system_call_does() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    for dir in ["d/full", "d/empty", "e"] {
        fs::create_dir_all(target.join(dir)).unwrap();
    }
    for file in ["old", "d/full/f", "d/f", "e/inner", "same"] {
        fs::write(target.join(file), file).unwrap();
    }
    fs::hard_link(target.join("same"), target.join("same too")).unwrap();
    let failures = liar.failures(&[
        begin(&target),
        Op::By { who: 1 },
        HERE,
        rename("old", 0, "d", "f"),
        rename("same too", 0, "", "same"),
        rename("old", 0, "", "old"),
        rename("old", 0, "", "gone"),
        rename("old", 0, "gone", "f"),
        rename("old", 0, "", "e"),
        Op::Enter { root: 0, path: b"d", make: false },
        rename("full", 0, "", "e"),
        rename("full", 0, "", "old"),
        rename("empty", 0, "", "e"),
    ]);
    let found: Vec<(FailureKind, &str)> =
        failures.iter().map(|(kind, _, name)| (*kind, name.as_str())).collect();
    use FailureKind::{Mismatch, Missing};
    assert_eq!(
        found,
        [(Missing, "old"), (Missing, "old"), (Mismatch, "old"), (Mismatch, "full"), (Mismatch, "full")]
    );
    assert_eq!(fs::read_to_string(target.join("old")).unwrap(), "d/f");
    assert!(!target.join("d/f").exists() && !target.join("same").exists());
    assert_eq!(fs::read_to_string(target.join("same too")).unwrap(), "same");
    assert_eq!(fs::read_to_string(target.join("d/empty/inner")).unwrap(), "e/inner");
    liar.end().unwrap();
}

#[test]
fn between_file_systems_a_move_is_a_copy_and_a_removal() {
    let bed = Bed::new();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        return support::skip("a move between file systems", "no /dev/shm here");
    };
    let (liar, target) = (Liar::new(), bed.target());
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(&target) == device(other.path()) {
        return support::skip("a move between file systems", "there is but one");
    }
    fs::create_dir(other.path().join("dir")).unwrap();
    let file = fs::File::create(other.path().join("file")).unwrap();
    file.set_len(1 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 500_000).unwrap();
    drop(file);
    fs::set_permissions(other.path().join("file"), fs::Permissions::from_mode(0o750)).unwrap();
    let before = fs::metadata(other.path().join("file")).unwrap();
    let content = fs::read(other.path().join("file")).unwrap();
    std::os::unix::fs::symlink("to nowhere", other.path().join("link")).unwrap();
    nix::unistd::mkfifo(&other.path().join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o640)).unwrap();
    fs::write(target.join("file"), "in the way").unwrap();
    let bytes = |path| std::os::unix::ffi::OsStrExt::as_bytes(Path::as_os_str(path));
    let roots = vec![(bytes(&target), None), (bytes(other.path()), None)];
    let failures = liar.failures(&[
        Op::Begin { attributes: true, xattrs: true, scan: false, roots },
        Op::By { who: 1 },
        HERE,
        rename("file", 1, "", "file"),
        rename("link", 1, "", "link"),
        rename("pipe", 1, "", "pipe"),
        rename("dir", 1, "", "dir"),
    ]);
    assert_eq!(failures, [(FailureKind::One, nix::libc::EXDEV, "dir".to_string())]);
    let after = fs::metadata(target.join("file")).unwrap();
    assert_eq!(fs::read(target.join("file")).unwrap(), content);
    assert_eq!((after.mode(), after.mtime_nsec()), (before.mode(), before.mtime_nsec()));
    assert!(after.blocks() * 512 < 1 << 20, "its holes were filled");
    assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("to nowhere"));
    let pipe = fs::metadata(target.join("pipe")).unwrap();
    assert_eq!(pipe.mode(), nix::libc::S_IFIFO | 0o640);
    let left: Vec<_> = fs::read_dir(other.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["dir"]);
    liar.end().unwrap();
}

#[test]
fn what_is_not_there_to_be_changed_is_missing() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    for who in [0, 1] {
        let ops = [
            Op::By { who },
            HERE,
            Op::SetMeta { name: b"a", kind: FileKind::File, meta: meta(), xattrs: Xattrs::default() },
            Op::FileBegin { file: 1 + u64::from(who), name: b"b", mode: FileMode::InPlace },
            Op::FileDrop { file: 1 + u64::from(who) },
            Op::Link { name: b"c", root: 0, dir: b"", from: b"gone" },
            rename("d", 0, "", "gone"),
            // Nobody may link a directory; that is not tried again for ever.
            Op::Enter { root: 0, path: b"dir", make: true },
            HERE,
            Op::Link { name: b"e", root: 0, dir: b"", from: b"dir" },
            put("e", b"x"),
            Op::Link { name: b"e", root: 0, dir: b"", from: b"dir" },
            Op::Remove { name: b"gone", tree: true },
        ];
        if who == 0 {
            liar.send(&[begin(&target)]);
        }
        let failures = liar.failures(&ops);
        let missing = |name: &str| (FailureKind::Missing, nix::libc::ENOENT, name.to_string());
        let directory = || (FailureKind::Mismatch, nix::libc::EISDIR, "e".to_string());
        let expected = [missing("a"), missing("b"), missing("c"), missing("d"), directory(), directory()];
        assert_eq!(failures, expected);
    }
    liar.end().unwrap();
}

#[test]
fn replication_makes_its_directory_where_something_else_stands_and_says_what_it_was() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    let outside = bed.dir.path().join("outside");
    fs::write(outside.join("f"), "outside").unwrap();
    fs::create_dir(target.join("d")).unwrap();
    fs::write(target.join("d/file"), "a file").unwrap();
    std::os::unix::fs::symlink(&outside, target.join("link")).unwrap();
    let enter = |path: &'static str, make| Op::Enter { root: 0, path: path.as_bytes(), make };
    // Who only looks, and a mirror, which has looked before, leave it.
    let ops = [begin(&target), enter("d/file/x", true), Op::By { who: 1 }, enter("link", false)];
    let names: Vec<String> = liar.failures(&ops).into_iter().map(|(.., name)| name).collect();
    assert_eq!(names, ["", ""]);
    assert!(target.join("d/file").is_file() && target.join("link").is_symlink());
    let ops = [enter("d/file/x", true), put("f", b"f"), enter("link", true), put("f", b"f")];
    let found: Vec<_> = liar.failures(&ops);
    let told = |name: &str| (FailureKind::Mismatch, libc::ENOTDIR, name.to_owned());
    assert_eq!(found, [told("file"), told("link")]);
    assert_eq!(fs::read(target.join("d/file/x/f")).unwrap(), b"f");
    assert!(!target.join("link").is_symlink() && target.join("link/f").is_file());
    assert_eq!(fs::read(outside.join("f")).unwrap(), b"outside");
    liar.end().unwrap();
}

#[test]
fn a_file_that_is_to_have_no_other_name_is_not_changed_where_it_has_one() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    fs::write(target.join("f"), "before").unwrap();
    fs::hard_link(target.join("f"), target.join("g")).unwrap();
    let before = fs::metadata(target.join("g")).unwrap().modified().unwrap();
    let change = |file| {
        [
            Op::FileBegin { file, name: b"f", mode: FileMode::Alone },
            Op::FileWrite { file, offset: 0, patch: Patch::Bytes(b"after ") },
            Op::FileDrop { file },
        ]
    };
    liar.send(&[begin(&target), Op::By { who: 1 }, Op::Enter { root: 0, path: b"", make: true }]);
    assert_eq!(liar.failures(&change(1)), [(FailureKind::One, libc::ESTALE, "f".to_owned())]);
    assert_eq!(fs::read(target.join("g")).unwrap(), b"before");
    assert_eq!(fs::metadata(target.join("g")).unwrap().modified().unwrap(), before);
    fs::remove_file(target.join("g")).unwrap();
    assert!(liar.failures(&change(2)).is_empty());
    assert_eq!(fs::read(target.join("f")).unwrap(), b"after ");
    liar.end().unwrap();
}

#[test]
fn bytes_are_counted_for_their_owner() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    liar.send(&[
        begin(&target),
        HERE,
        put("a", b"12345"),
        Op::By { who: 1 },
        put("b", b"123"),
        Op::By { who: 0 },
        put("c", b"1"),
    ]);
    let Liar { end, server } = liar;
    drop(end.ops);
    let applied: Vec<(u8, u64)> = end
        .results
        .iter()
        .map(|frame| match Answer::decode(&mut Reader::new(&frame)).unwrap() {
            Answer::Applied { who, bytes, .. } => (who, bytes),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(applied, [(0, 6), (1, 3)]);
    server.join().unwrap().unwrap();
}

#[test]
fn what_replication_parks_outlives_a_mirror() {
    let bed = Bed::new();
    fs::write(bed.source().join("f"), "x").unwrap();
    bed.mirror(FULL);
    let (liar, target) = (Liar::new(), bed.target());
    fs::create_dir(target.join("dir")).unwrap();
    fs::write(target.join("dir/inner"), "x").unwrap();
    let parked = target::unfinished_name();
    let parked = parked.to_str().unwrap();
    liar.send(&[begin(&target), Op::By { who: 1 }, HERE, rename(parked, 0, "", "dir")]);
    liar.barrier();
    bed.mirror(dtcl::api::MirrorSpec { orphans: true, kind: dtcl::api::MirrorKind::Different, ..FULL });
    liar.send(&[rename("back", 0, "", parked)]);
    liar.barrier();
    assert!(target.join("back/inner").exists());
    // Another process's, which is gone for long, is taken away with all that is in it.
    let old = target.join(".dtcl-unfinished-1-1");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("inner"), "x").unwrap();
    liar.send(&[Op::Scan { parts: vec![] }]);
    assert!(!liar.described().iter().any(|told| told.contains("unfinished")));
    assert!(old.exists(), "it is younger than a minute");
    liar.end().unwrap();
}

/// True when this process has the file open.
fn is_open(path: &Path) -> bool {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    links.into_iter().any(|link| link == path)
}

fn append(number: u64, at: u64) -> [Op<'static>; 3] {
    [
        Op::FileBegin { file: number, name: b"log", mode: FileMode::InPlace },
        Op::FileWrite { file: number, offset: at, patch: Patch::Bytes(b"line\n") },
        Op::FileEnd { file: number, length: at + 5, meta: meta(), xattrs: Xattrs::default() },
    ]
}

#[test]
fn a_file_that_is_appended_to_stays_open_until_its_name_is_anothers() {
    let bed = Bed::new();
    let target = bed.target();
    let (log, elsewhere) = (target.join("log"), target.join("elsewhere"));
    let hour = std::time::Duration::from_secs(3600);
    let liar = Liar::with(target::Policy { close_delay: hour, ..target::Policy::default() });
    liar.send(&[begin(&target), Op::By { who: 1 }, HERE, put("log", b"")]);
    for n in 0..100 {
        liar.send(&append(n, n * 5));
    }
    liar.barrier();
    assert_eq!(fs::read(&log).unwrap(), b"line\n".repeat(100));
    assert_eq!(fs::metadata(&log).unwrap().mtime(), 5);
    assert!(is_open(&log));
    // Somebody else puts another file there: that one is changed.
    fs::rename(&log, &elsewhere).unwrap();
    fs::write(&log, "other").unwrap();
    liar.send(&append(200, 5));
    liar.barrier();
    assert_eq!(fs::read(&log).unwrap(), b"otherline\n");
    assert_eq!(fs::read(&elsewhere).unwrap().len(), 500);
    assert!(!is_open(&elsewhere) && is_open(&log));
    // Its mode and its extended attributes are looked at each time.
    fs::set_permissions(&log, fs::Permissions::from_mode(0o6777)).unwrap();
    liar.send(&append(201, 10));
    liar.barrier();
    assert_eq!(fs::metadata(&log).unwrap().mode() & 0o7777, 0o644);
    for op in [
        rename("moved", 0, "", "log"),
        Op::Remove { name: b"log", tree: false },
        put("log", b"new"),
        Op::Symlink { name: b"log", meta: meta(), xattrs: Xattrs::default(), text: b"x" },
    ] {
        liar.send(&[Op::Remove { name: b"log", tree: false }, put("log", b"")]);
        liar.send(&append(300, 0));
        liar.barrier();
        assert!(is_open(&log));
        liar.send(std::slice::from_ref(&op));
        liar.barrier();
        let deleted = target.join("log (deleted)");
        assert!(!is_open(&log) && !is_open(&target.join("moved")) && !is_open(&deleted), "after {op:?}");
    }
    liar.end().unwrap();
    assert!(!is_open(&log));
}

#[test]
fn a_file_is_closed_when_its_time_is_over_or_at_once() {
    let bed = Bed::new();
    let target = bed.target();
    let log = target.join("log");
    for milliseconds in [0, 1] {
        let close_delay = std::time::Duration::from_millis(milliseconds);
        let liar = Liar::with(target::Policy { close_delay, ..target::Policy::default() });
        liar.send(&[begin(&target), Op::By { who: 1 }, HERE, put("log", b"")]);
        liar.send(&append(1, 0));
        liar.barrier();
        if milliseconds == 0 {
            assert!(!is_open(&log));
        }
        // Nothing more is sent: it closes by itself.
        let begun = std::time::Instant::now();
        while is_open(&log) {
            assert!(begun.elapsed().as_secs() < 30, "it is not closed");
            std::thread::yield_now();
        }
        liar.end().unwrap();
    }
}

/// Sets or takes the flag that lets nobody, not even root, change a file. False where there is no such thing.
fn immutable(path: &Path, on: bool) -> bool {
    let flag = if on { "+i" } else { "-i" };
    let output = std::process::Command::new("chattr").arg(flag).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn when_a_file_can_be_written_again_all_that_waited_for_it_is_done() {
    let bed = Bed::new();
    fs::write(bed.target().join("probe"), "x").unwrap();
    if !immutable(&bed.target().join("probe"), true) {
        return support::skip("files that cannot be written", "chattr +i does not work here");
    }
    assert!(immutable(&bed.target().join("probe"), false));
    fs::remove_file(bed.target().join("probe")).unwrap();
    let mut random = support::random::Random::new(7);
    for _ in 0..20 {
        let names = ["a", "b", "c", "d", "dir"];
        let mut ops = Vec::new();
        for n in 0..40 {
            ops.push(Op::Enter { root: 0, path: ["", "dir"][random.below(2)].as_bytes(), make: true });
            let name = *random.pick(&names[..4]);
            match n % 5 {
                0 => ops.push(put(name, ["one", "two", "three"][random.below(3)].as_bytes())),
                1 => ops.extend([
                    Op::FileBegin { file: n, name: name.as_bytes(), mode: FileMode::InPlace },
                    Op::FileWrite { file: n, offset: 2, patch: Patch::Bytes(b"changed") },
                    Op::FileEnd { file: n, length: 7, meta: meta(), xattrs: Xattrs::default() },
                ]),
                2 => ops.extend([
                    Op::FileBegin { file: n, name: name.as_bytes(), mode: FileMode::Whole },
                    Op::FileWrite { file: n, offset: 2, patch: Patch::Bytes(b"whole") },
                    Op::FileEnd { file: n, length: 9, meta: meta(), xattrs: Xattrs::default() },
                ]),
                3 => {
                    let (to, dir) = (names[random.below(5)], ["", "dir"][random.below(2)]);
                    ops.push(rename(to, 0, dir, names[random.below(5)]));
                }
                _ => ops.push(Op::Remove { name: names[random.below(5)].as_bytes(), tree: true }),
            }
        }
        let run = |name: &str, obstacle: Option<&str>| {
            let target = bed.target().join(name);
            for dir in ["", "dir"] {
                fs::create_dir(target.join(dir)).unwrap();
                for file in &names[..4] {
                    fs::write(target.join(dir).join(file), [dir, file].concat()).unwrap();
                    // The two runs may lie in two seconds.
                    support::tree::set_time(&target.join(dir).join(file), 7, 0);
                }
            }
            let zero = std::time::Duration::ZERO;
            let liar = Liar::with(target::Policy { retry_delay: zero, ..target::Policy::default() });
            let obstacle = obstacle.map(|path| target.join(path));
            if let Some(path) = &obstacle {
                assert!(immutable(path, true));
            }
            liar.send(&[begin(&target), Op::By { who: 1 }]);
            for part in ops.chunks(7) {
                liar.send(part);
            }
            liar.send(&[Op::By { who: 0 }, Op::Barrier { barrier: 1 }]);
            let mut was_held = false;
            for frame in liar.end.results.iter() {
                match Answer::decode(&mut Reader::new(&frame)).unwrap() {
                    Answer::Held { count, .. } => was_held |= count > 0,
                    Answer::Reached { .. } => break,
                    _ => {}
                }
            }
            if let Some(path) = &obstacle {
                assert!(path.exists(), "nobody could remove it");
                assert!(immutable(path, false));
            }
            liar.failures(&[Op::By { who: 1 }]);
            liar.end().unwrap();
            was_held
        };
        let obstacle = *random.pick(&["a", "b", "dir/c", "dir/d", "dir"]);
        run("with", Some(obstacle));
        run("without", None);
        let (with, without) = (bed.target().join("with"), bed.target().join("without"));
        // Times of directories are nobody's here.
        let found = support::oracle::differences_with(&without, &with, &["-aHAX", "--omit-dir-times"]);
        assert!(found.is_empty(), "obstacle {obstacle}: {found:?}\n{ops:?}");
        for name in ["with", "without"] {
            fs::remove_dir_all(bed.target().join(name)).unwrap();
        }
    }
}
