//! Peers that lie, over a real line: nothing outside a grant changes, a line that breaks a rule ends, others are served.
//!
//! The classes of the rsync advisories of 2024 and 2025 stand beside the tests that meet them.

use crate::bed::{Bed, FULL, Granting};
use dtcl::api::{Code, MapSpec, RootKind};
use dtcl::engine::connect::far::Far;
use dtcl::engine::job::{JobKind, JobShared};
use dtcl::engine::link::far;
use dtcl::engine::link::{Frame, SourceEnd};
use dtcl::engine::source;
use dtcl::sys::{Meta, Xattrs};
use dtcl::wire::data::{Channel, Ear, Heard, Line};
use dtcl::wire::tls::MachineKey;
use dtcl::wire::{Answer, Op, Reader};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A source that says what it likes.
struct Liar {
    end: SourceEnd,
    carried: JoinHandle<Result<(), String>>,
}

impl Liar {
    fn at(far: &Arc<Far>) -> Liar {
        let (line, standing) = far.dial(Arc::default()).unwrap();
        let (end, carrier) = far::source(line);
        let carried = std::thread::spawn(move || {
            let carried = far::carry(carrier);
            drop(standing);
            carried
        });
        Liar { end, carried }
    }

    fn says(&self, ops: &[Op<'_>]) {
        let mut frame = Frame::new();
        ops.iter().for_each(|op| op.encode(&mut frame));
        // A target that has ended already has said why.
        let _ = self.end.ops.send(frame);
    }

    /// The words with which the target ends the line; None: it does what it is told.
    fn ended(self) -> Option<String> {
        drop(self.end.ops);
        self.carried.join().unwrap().err()
    }
}

fn begin<'a>(root: &'a Path, only: Option<&'a [u8]>) -> Op<'a> {
    let roots = vec![(root.as_os_str().as_bytes(), only)];
    Op::Begin { attributes: true, xattrs: true, scan: false, roots }
}

fn enter(path: &str) -> Op<'_> {
    Op::Enter { root: 0, path: path.as_bytes(), make: true }
}

fn put(name: &str) -> Op<'_> {
    let meta = Meta { mode: 0o600, uid: 0, gid: 0, mtime: (1, 0) };
    Op::Put { name: name.as_bytes(), meta, xattrs: Xattrs::default(), content: b"of a liar" }
}

/// A target, its directory `granted`, and what lies beside it.
struct Ground {
    bed: Bed,
    key: Arc<MachineKey>,
    far: Arc<Far>,
}

impl Ground {
    fn new() -> Ground {
        Ground::of("granted", RootKind::Directory)
    }

    fn of(name: &str, kind: RootKind) -> Ground {
        let bed = Bed::far();
        let key = Arc::new(MachineKey::passing().unwrap());
        fs::write(bed.target().join("beside"), "beside").unwrap();
        let far = granting(&bed, &key, name, kind).unwrap();
        Ground { bed, key, far }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.bed.target().join(name)
    }

    /// Nothing but what belongs there is there.
    fn beside_is_whole(&self, names: &[&str]) {
        let mut found: Vec<String> = fs::read_dir(self.bed.target())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, names);
        assert_eq!(fs::read_to_string(self.at("beside")).unwrap(), "beside");
    }
}

/// `name` of the source may come to the same name of the target.
fn granting(bed: &Bed, key: &Arc<MachineKey>, name: &str, kind: RootKind) -> Result<Arc<Far>, Code> {
    let (from, to) = (bed.source().join(name), bed.target().join(name));
    bed.grants(Granting { key, root: &from, kind, map: MapSpec::Pairs(vec![(text(&from), text(&to))]) })
        .map_err(|error| error.code)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_grant_opens_with_its_key_alone_and_until_it_is_taken_back() {
    let ground = Ground::new();
    drop(Liar::at(&ground.far));
    let thief = Arc::new(MachineKey::passing().unwrap());
    let stolen = ground.bed.same_grant(&ground.far, &thief);
    let refused = stolen.dial(Arc::default()).err().unwrap();
    assert_eq!(refused.code, Code::InsufficientSecurityAccess, "{refused}");
    // One that never was is told the same.
    let made_up = ground.bed.grant_of_name("0123456789abcdef", &thief);
    assert_eq!(made_up.dial(Arc::default()).err().unwrap(), refused);
    stolen.withdraw().unwrap_err();
    drop(Liar::at(&ground.far));
    ground.far.withdraw().unwrap();
    assert_eq!(ground.far.dial(Arc::default()).err().unwrap(), refused, "it is not taken twice");
    ground.beside_is_whole(&["beside"]);
}

/// CVE-2024-12087 and CVE-2024-12747: paths and links that lead out of the tree.
#[test]
fn a_source_reaches_nothing_that_it_was_not_granted() {
    let ground = Ground::new();
    let target = ground.bed.target();
    for (root, only) in [
        (target.clone(), None),
        (target.join("beside"), None),
        (target.join("granted/../x"), None),
        (target.join("granted/below"), None),
        (PathBuf::from("/"), None),
        (PathBuf::from("granted"), None),
        (target.clone(), Some("beside".as_bytes())),
        (target.join("granted"), Some(b"f".as_slice())),
    ] {
        let liar = Liar::at(&ground.far);
        liar.says(&[begin(&root, only), enter(""), put("f")]);
        let why = liar.ended().unwrap_or_default();
        assert!(why.contains("not granted") || why.contains("not a valid one"), "{root:?} {only:?}: {why}");
    }
    ground.beside_is_whole(&["beside"]);

    // A link of its own leads nowhere, neither as a directory on the way nor as the name of a file.
    let liar = Liar::at(&ground.far);
    let link = |name: &'static [u8], text: &'static [u8]| {
        let meta = Meta { mode: 0o777, uid: 0, gid: 0, mtime: (1, 0) };
        Op::Symlink { name, meta, xattrs: Xattrs::default(), text }
    };
    liar.says(&[
        begin(&ground.at("granted"), None),
        enter(""),
        link(b"out", b".."),
        link(b"file", b"../beside"),
        enter("out"),
        put("beside"),
        Op::Remove { name: b"beside", tree: true },
        enter(""),
        put("file"),
    ]);
    assert_eq!(liar.ended(), None, "what fails is told, and the line goes on");
    ground.beside_is_whole(&["beside", "granted"]);
}

/// The way to a granted place is the one that it had: a link that comes into it later leads nowhere.
#[test]
fn a_link_in_the_way_to_a_granted_place_is_not_followed() {
    let ground = Ground::of("way/granted", RootKind::Directory);
    let outside = ground.bed.dir.path().join("outside");
    symlink(&outside, ground.at("way")).unwrap();
    let liar = Liar::at(&ground.far);
    liar.says(&[begin(&ground.at("way/granted"), None), enter(""), put("f")]);
    assert_eq!(liar.ended(), None);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_source_with_one_name_has_no_other_in_that_directory() {
    let ground = Ground::of("one", RootKind::File);
    let root = ground.bed.target();
    let link = |name: &'static [u8], from: &'static [u8]| Op::Link { name, root: 0, dir: b"", from };
    let rename = |name: &'static [u8], from: &'static [u8]| Op::Rename { name, root: 0, dir: b"", from };
    for op in [
        put("beside"),
        put("other"),
        Op::Remove { name: b"beside", tree: true },
        Op::MoveAside { name: b"beside" },
        Op::Question { question: 1, name: b"beside", block: 4096, here: false },
        link(b"one", b"beside"),
        link(b"other", b"one"),
        rename(b"one", b"beside"),
        rename(b"other", b"one"),
        enter("other"),
        Op::SetDirMeta { meta: Meta { mode: 0, uid: 0, gid: 0, mtime: (1, 0) }, xattrs: Xattrs::default() },
    ] {
        let liar = Liar::at(&ground.far);
        liar.says(&[begin(&root, Some(b"one")), enter(""), put("one"), op.clone()]);
        assert!(liar.ended().is_some_and(|why| why.contains("not granted")), "{op:?}");
    }
    ground.beside_is_whole(&["beside", "one"]);
    // Nor can a link in its place be made a way out.
    fs::remove_file(ground.at("one")).unwrap();
    symlink(ground.bed.dir.path().join("outside"), ground.at("one")).unwrap();
    let liar = Liar::at(&ground.far);
    liar.says(&[begin(&ground.at("one"), None), enter(""), put("f")]);
    assert_eq!(liar.ended(), None);
    assert_eq!(fs::read_dir(ground.bed.dir.path().join("outside")).unwrap().count(), 0);
}

#[test]
fn a_place_has_one_source_and_the_engines_own_has_none() {
    let ground = Ground::new();
    let liar = Liar::at(&ground.far);
    liar.says(&[begin(&ground.at("granted"), None)]);
    let other = Arc::new(MachineKey::passing().unwrap());
    let asks = |name| granting(&ground.bed, &other, name, RootKind::Directory).map(|_| ());
    for name in ["granted", "granted/below", ""] {
        assert_eq!(asks(name), Err(Code::ConnectionAlreadyEstablished), "{name:?}");
    }
    // Who has a line of its own is asked first; who has none loses its place.
    drop(liar.ended());
    until(|| asks("granted").is_ok());
    assert!(ground.far.dial(Arc::default()).is_err(), "{:?}", ground.key);
    assert_eq!(asks("../home of the target/lib"), Err(Code::InvalidParameterWasSupplied));
    let home = ground.bed.dir.path();
    let root = home.join("source");
    let map = MapSpec::Pairs(vec![(text(&root), text(home))]);
    let around = Granting { key: &other, root: &root, kind: RootKind::Directory, map };
    assert_eq!(ground.bed.grants(around).err().map(|e| e.code), Some(Code::InvalidParameterWasSupplied));
}

/// The target has noticed that the line has ended a moment later.
fn until(so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !so() {
        assert!(began.elapsed() < std::time::Duration::from_secs(20));
        std::thread::yield_now();
    }
}

#[test]
fn a_source_has_few_lines_and_the_dead_among_them_are_ended() {
    let ground = Ground::new();
    let lines: Vec<Liar> = (0..8).map(|_| Liar::at(&ground.far)).collect();
    assert_eq!(ground.far.dial(Arc::default()).err().unwrap().code, Code::ServerIsNotResponding);
    // A source that was killed knows of no line; what is left of its former ones has ended when it is let in.
    let anew = ground.bed.same_grant(&ground.far, &ground.key);
    drop(Liar::at(&anew));
    for line in lines {
        line.says(&[begin(&ground.at("granted"), None), enter(""), put("f")]);
        drop(line.ended());
    }
    ground.beside_is_whole(&["beside"]);
}

/// CVE-2024-12084, CVE-2024-12085 and CVE-2025-10158: lengths, counts and numbers that lie.
#[test]
fn what_is_no_operation_ends_the_line_and_nobody_elses() {
    let ground = Ground::new();
    let whole = Liar::at(&ground.far);
    whole.says(&[begin(&ground.at("granted"), None), enter("")]);
    let mut frames: Vec<Frame> = vec![vec![0], vec![255; 64], vec![2, 255, 255, 1, 255, 255]];
    for number in [1, u16::MAX] {
        let mut frame = Frame::new();
        begin(&ground.at("granted"), None).encode(&mut frame);
        Op::Enter { root: number, path: b"", make: true }.encode(&mut frame);
        frames.push(frame);
    }
    for frame in frames {
        let liar = Liar::at(&ground.far);
        let _ = liar.end.ops.send(frame.clone());
        assert!(liar.ended().is_some(), "{frame:?}");
    }
    whole.says(&[put("f")]);
    assert_eq!(whole.ended(), None);
    assert_eq!(fs::read_to_string(ground.at("granted/f")).unwrap(), "of a liar");
}

/// A target that lies: CVE-2024-12086 (what it may learn), CVE-2025-10158 (numbers that lie). It is given what the mirror sends and
/// no more; the mirror ends, and is not taken for complete.
#[test]
fn a_target_that_lies_is_told_nothing_and_ends_the_mirror() {
    let answers: [&(dyn Fn(&Line) + Sync); 8] = [
        &|line| line.end(Ok(())).unwrap(),
        &|line| line.end(Err("a reason\u{1b}[2J")).unwrap(),
        &|line| line.send(Channel::Ops, b"read me a file").unwrap(),
        &|line| line.send(Channel::Results, &[255; 100]).unwrap(),
        &|line| line.send(Channel::Listings, &[255; 100]).unwrap(),
        &|line| line.send(Channel::Sums, &[255; 100]).unwrap(),
        &|line| {
            let mut frame = Frame::new();
            Answer::Reached { barrier: u64::MAX }.encode(&mut frame);
            Answer::Applied { who: 0, bytes: u64::MAX }.encode(&mut frame);
            Answer::Written { file: u64::MAX }.encode(&mut frame);
            line.send(Channel::Results, &frame).unwrap();
            // It would be waited for: it might be slow.
            line.end(Ok(())).unwrap();
        },
        &|line| line.break_off(),
    ];
    for (number, answer) in answers.iter().enumerate() {
        println!("answer {number}");
        let bed = Bed::new();
        fs::write(bed.source().join("f"), "content").unwrap();
        let (near, far_end) = dtcl::wire::data::testing::lines();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut ear = Ear::of(&far_end);
                let first = ear.hear(Vec::new).unwrap();
                let Heard::Frame(Channel::Ops, frame) = first else { panic!("{first:?}") };
                assert!(matches!(Op::decode(&mut Reader::new(&frame)), Ok(Op::Begin { .. })));
                answer(&far_end);
                // Then it says nothing more, but listens for a while.
                while let Ok(Heard::Frame(..)) = ear.hear(Vec::new) {}
                far_end.break_off();
            });
            let (end, carrier) = far::source(near);
            let carried = scope.spawn(|| far::carry(carrier));
            let outcome = source::run_over(&bed.plan(), JobKind::Mirror(FULL), &JobShared::new(), end);
            let carried = carried.join().unwrap();
            assert!(!outcome.complete || carried.is_err(), "{number}: {outcome:?} {carried:?}");
        });
    }
}
