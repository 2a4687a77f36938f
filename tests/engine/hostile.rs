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
use dtcl::engine::transmission::Transmission;
use dtcl::sys::{FileKind, Meta, Xattrs};
use dtcl::wire::data::{Channel, Ear, Heard, Line};
use dtcl::wire::tls::MachineKey;
use dtcl::wire::{Answer, Load, Op, OrphanNamed, OrphanStep, OrphanTerms, Reader};
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
        let dialled = far.dial(&Transmission::default(), &Arc::default()).unwrap();
        let (end, carrier) = far::source(Arc::clone(&dialled.line), Arc::default(), far::Outlet::default());
        let carried = std::thread::spawn(move || {
            let carried = far::carry(carrier, None);
            drop(dialled);
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
    granting_to("alpha", bed, key, name, kind)
}

fn granting_to(
    machine: &str,
    bed: &Bed,
    key: &Arc<MachineKey>,
    name: &str,
    kind: RootKind,
) -> Result<Arc<Far>, Code> {
    let (from, to) = (bed.source().join(name), bed.target().join(name));
    bed.grants(Granting {
        machine,
        key,
        root: &from,
        kind,
        map: MapSpec::Pairs(vec![(text(&from), text(&to))]),
    })
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
    let refused = stolen.dial(&Transmission::default(), &Arc::default()).err().unwrap();
    assert_eq!(refused.code, Code::InsufficientSecurityAccess, "{refused}");
    // One that never was is told the same.
    let made_up = ground.bed.grant_of_name("0123456789abcdef", &thief);
    assert_eq!(made_up.dial(&Transmission::default(), &Arc::default()).err().unwrap(), refused);
    stolen.withdraw().unwrap_err();
    drop(Liar::at(&ground.far));
    ground.far.withdraw().unwrap();
    assert_eq!(
        ground.far.dial(&Transmission::default(), &Arc::default()).err().unwrap(),
        refused,
        "it is not taken twice"
    );
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
        Op::Orphan(OrphanNamed { dir: b"", name: b"beside", kind: FileKind::File, mtime: (0, 0) }),
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
}

#[test]
fn a_place_has_one_source_and_the_engines_own_has_none() {
    let ground = Ground::new();
    let liar = Liar::at(&ground.far);
    liar.says(&[begin(&ground.at("granted"), None)]);
    let other = Arc::new(MachineKey::passing().unwrap());
    let asks = |name| granting_to("gamma", &ground.bed, &other, name, RootKind::Directory).map(|_| ());
    for name in ["granted", "granted/below", ""] {
        assert_eq!(asks(name), Err(Code::ConnectionAlreadyEstablished), "{name:?}");
    }
    // Nor when it has no line just now. The same source may have it anew.
    drop(liar.ended());
    assert_eq!(asks("granted"), Err(Code::ConnectionAlreadyEstablished));
    until(|| granting(&ground.bed, &ground.key, "granted", RootKind::Directory).is_ok());
    assert!(ground.far.dial(&Transmission::default(), &Arc::default()).is_err(), "{:?}", ground.key);
    // A link that a source has put in its place hides nothing.
    let planted = Ground::of("granted", RootKind::Directory);
    symlink("nowhere/nowhere", planted.at("granted")).unwrap();
    let asks_there = |name| granting_to("gamma", &planted.bed, &other, name, RootKind::Directory).map(|_| ());
    assert!(asks_there("granted").is_err());
    assert_eq!(asks_there(""), Err(Code::ConnectionAlreadyEstablished));
    assert_eq!(asks("../home of the target/lib"), Err(Code::InvalidParameterWasSupplied));
    let home = ground.bed.dir.path();
    let root = home.join("source");
    let map = MapSpec::Pairs(vec![(text(&root), text(home))]);
    let around = Granting { machine: "gamma", key: &other, root: &root, kind: RootKind::Directory, map };
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
    assert_eq!(
        ground.far.dial(&Transmission::default(), &Arc::default()).err().unwrap().code,
        Code::ServerIsNotResponding
    );
    // A source that was killed knows of no line; what is left of its former ones has ended when it is let in.
    let anew = ground.bed.same_grant(&ground.far, &ground.key);
    drop(Liar::at(&anew));
    for line in lines {
        line.says(&[begin(&ground.at("granted"), None), enter(""), put("f")]);
        drop(line.ended());
    }
    ground.beside_is_whole(&["beside"]);
}

/// A link that a source has made where it could leads no later grant of it out.
#[test]
fn a_link_in_a_target_path_is_no_place_to_grant() {
    let ground = Ground::new();
    let outside = ground.bed.dir.path().join("outside");
    fs::create_dir(ground.at("granted")).unwrap();
    symlink(&outside, ground.at("granted/below")).unwrap();
    symlink(&outside, ground.at("root")).unwrap();
    let asks = |name: &str, to: &str| {
        let root = ground.bed.source().join(name);
        let (from, to) = (text(&ground.bed.source()), text(&ground.at(to)));
        let map = MapSpec::Pairs(vec![(from, to)]);
        let kind = RootKind::Directory;
        ground.bed.grants(Granting { machine: "alpha", key: &ground.key, root: &root, kind, map }).map(|_| ())
    };
    for (name, to) in [("below", "granted"), ("below/x", "granted"), ("", "root"), ("x", "root")] {
        let refused = asks(name, to).unwrap_err();
        assert!(refused.message.contains("leads through the link"), "{name} to {to}: {refused}");
    }
    asks("honest", "granted").unwrap();
}

/// A directory is not named as an entry of the one above, so that nothing else can be put in its place; nor a file as a directory.
#[test]
fn what_was_granted_stays_of_its_kind() {
    let (directory, file) = (Ground::new(), Ground::of("one", RootKind::File));
    fs::create_dir(directory.at("granted")).unwrap();
    let liar = Liar::at(&directory.far);
    liar.says(&[begin(&directory.bed.target(), Some(b"granted")), enter("")]);
    liar.says(&[Op::Remove { name: b"granted", tree: true }]);
    assert!(liar.ended().is_some_and(|why| why.contains("not granted")));
    directory.beside_is_whole(&["beside", "granted"]);
    let liar = Liar::at(&file.far);
    liar.says(&[begin(&file.at("one"), None), enter(""), put("f")]);
    assert!(liar.ended().is_some_and(|why| why.contains("not granted")));
    let liar = Liar::at(&directory.far);
    let path = directory.at("granted");
    let root = begin(&path, None);
    let Op::Begin { attributes, xattrs, scan, roots } = root else { panic!() };
    let roots = [roots.clone(), roots].concat();
    liar.says(&[Op::Begin { attributes, xattrs, scan, roots }]);
    assert!(liar.ended().is_some_and(|why| why.contains("so many were not granted")));
}

/// Another machine of the same name is another source.
#[test]
fn a_name_belongs_to_the_key_that_came_with_it() {
    let ground = Ground::new();
    let other = Arc::new(MachineKey::passing().unwrap());
    let refused = granting(&ground.bed, &other, "elsewhere", RootKind::Directory);
    assert_eq!(refused.err(), Some(Code::InvalidParameterWasSupplied));
    granting(&ground.bed, &ground.key, "elsewhere", RootKind::Directory).unwrap();
}

/// A source that reads nothing of what it is told does not make the target keep all of it.
#[test]
fn a_source_that_does_not_listen_is_cut_off() {
    let ground = Ground::new();
    let dialled = ground.far.dial(&Transmission::default(), &Arc::default()).unwrap();
    let line = &dialled.line;
    let mut frame = Frame::new();
    begin(&ground.at("granted"), None).encode(&mut frame);
    line.send(Channel::Ops, &frame).unwrap();
    // Each is answered with its long path. What the target takes out is heard, nothing is read.
    let path = vec![[b'd'; 200]; 19].join(&b'/');
    let ended = std::thread::scope(|scope| {
        let hears = scope.spawn(|| {
            let mut ear = Ear::of(line, None);
            loop {
                match ear.hear(Vec::new) {
                    // Never taken out.
                    Ok(Heard::Frame(..)) => {}
                    other => break other,
                }
            }
        });
        let mut frame = Frame::new();
        Op::Enter { root: 0, path: &path, make: false }.encode(&mut frame);
        let meta = Meta { mode: 0o600, uid: 0, gid: 0, mtime: (1, 0) };
        for _ in 0..500 {
            let (kind, xattrs) = (dtcl::sys::FileKind::File, Xattrs::default());
            Op::SetMeta { name: b"f", kind, meta, xattrs }.encode(&mut frame);
        }
        let mut sent = 0;
        while line.send(Channel::Ops, &frame).is_ok() {
            sent += 1;
            assert!(sent < 2000, "it goes on for ever");
        }
        line.break_off();
        hears.join().unwrap()
    });
    assert!(!matches!(ended, Ok(Heard::End(Ok(())))), "{ended:?}");
    let anew = Liar::at(&ground.far);
    anew.says(&[begin(&ground.at("granted"), None), enter(""), put("f")]);
    assert_eq!(anew.ended(), None);
}

/// What each job asks first: how the target deals with orphans.
fn answers_terms(ear: &mut Ear<'_>, line: &Line) {
    let first = ear.hear(Vec::new).unwrap();
    let Heard::Frame(Channel::Ops, frame) = first else { panic!("{first:?}") };
    assert!(matches!(Op::decode(&mut Reader::new(&frame)), Ok(Op::Orphans(OrphanStep::Ask { .. }))));
    let mut answer = Frame::new();
    Answer::OrphanTerms(OrphanTerms::default()).encode(&mut answer);
    line.send(Channel::Results, &answer).unwrap();
}

/// CVE-2024-12086: a target that asks for what is not its own. What it says to have failed is sent again only if it belongs to the set.
#[test]
fn a_target_gets_nothing_that_does_not_belong_to_the_set() {
    let bed = Bed::new();
    for (name, text) in [("f", "f"), ("left/out", "secret"), ("in/left", "secret"), ("home/key", "secret")] {
        let path = bed.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    symlink("left", bed.source().join("way")).unwrap();
    let rule = |name: &str, include| dtcl::api::Rule {
        path: text(&bed.source().join(name)),
        include,
        recursive: true,
    };
    let mut of_set = bed.plan();
    of_set.rules = Arc::new(dtcl::engine::repset::RuleSet::new(vec![
        rule("", true),
        rule("left", false),
        rule("in/left", false),
    ]));
    of_set.forbidden = vec![{
        use std::os::unix::fs::MetadataExt;
        let home = fs::metadata(bed.source().join("home")).unwrap();
        (home.dev(), home.ino())
    }];
    let mut of_file = bed.plan();
    of_file.rules = Arc::new(dtcl::engine::repset::RuleSet::new(vec![rule("f", true)]));
    of_file.paths[0].source = bed.source().join("f");
    of_file.paths[0].target = bed.target().join("f");
    let wants = |plan: dtcl::engine::job::JobPlan, places: &[(&str, &str)]| -> Vec<u8> {
        let (near, far_end) = dtcl::wire::data::testing::lines();
        let places: Vec<(String, String)> =
            places.iter().map(|(path, name)| ((*path).to_owned(), (*name).to_owned())).collect();
        std::thread::scope(|scope| {
            let target = scope.spawn(move || {
                let mut ear = Ear::of(&far_end, None);
                answers_terms(&mut ear, &far_end);
                let (mut all, mut asked) = (Vec::new(), false);
                while let Ok(Heard::Frame(Channel::Ops, frame)) = ear.hear(Vec::new) {
                    all.extend_from_slice(&frame);
                    let mut answers = Frame::new();
                    if !std::mem::replace(&mut asked, true) {
                        for (path, name) in &places {
                            Answer::Failed {
                                who: 0,
                                kind: dtcl::wire::FailureKind::One,
                                errno: libc_ebusy(),
                                root: 0,
                                path: path.as_bytes(),
                                name: name.as_bytes(),
                                what: b"write",
                            }
                            .encode(&mut answers);
                        }
                    }
                    let mut reader = Reader::new(&frame);
                    while !reader.is_empty() {
                        match Op::decode(&mut reader).unwrap() {
                            Op::Barrier { barrier } => Answer::Reached { barrier }.encode(&mut answers),
                            Op::Begin { scan: true, .. } => {
                                let mut listing = Frame::new();
                                Answer::ScanEnd.encode(&mut listing);
                                far_end.send(Channel::Listings, &listing).unwrap();
                            }
                            _ => {}
                        }
                    }
                    let mut reader = Reader::new(&answers);
                    // One answer a frame, as a target sends them.
                    while !reader.is_empty() {
                        let answer = Answer::decode(&mut reader).unwrap();
                        let mut one = Frame::new();
                        answer.encode(&mut one);
                        let _ = far_end.send(Channel::Results, &one);
                    }
                }
                let _ = far_end.end(Ok(()));
                while ear.hear(Vec::new).is_ok() {}
                all
            });
            let (end, carrier) = far::source(near, Arc::default(), far::Outlet::default());
            scope.spawn(|| far::carry(carrier, None));
            source::run_over(&plan, JobKind::Mirror(FULL), &JobShared::new(), end);
            target.join().unwrap()
        })
    };
    let holds = |sent: &[u8], text: &str| sent.windows(text.len()).any(|window| window == text.as_bytes());
    let places = [
        ("left", "out"),
        ("in", "left"),
        ("way", "out"),
        ("home", "key"),
        ("left", ""),
        ("home", ""),
        ("", "f"),
    ];
    let sent = wants(of_set, &places);
    assert!(holds(&sent, "f") && !holds(&sent, "secret"));
    assert!(!holds(&sent, "out") && !holds(&sent, "key"), "nor is told that it is there");
    fs::write(bed.source().join("beside"), "secret").unwrap();
    let sent = wants(of_file, &[("", "beside"), ("left", "out"), ("", "f"), ("", "")]);
    assert!(holds(&sent, "f") && !holds(&sent, "secret"));
}

fn libc_ebusy() -> i32 {
    nix::errno::Errno::EBUSY as i32
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
    // What is not wanted by then is not sent.
    let answers: [&(dyn Fn(&Line) + Sync); 8] = [
        &|line| drop(line.end(Ok(()))),
        &|line| drop(line.end(Err("a reason\u{1b}[2J"))),
        &|line| drop(line.send(Channel::Ops, b"read me a file")),
        &|line| drop(line.send(Channel::Results, &[255; 100])),
        &|line| drop(line.send(Channel::Listings, &[255; 100])),
        &|line| {
            if line.send(Channel::Sums, &[255; 100]).is_err() {
                // It would be waited for: it might be slow.
                let _ = line.end(Ok(()));
            }
        },
        &|line| {
            let mut frame = Frame::new();
            Answer::Reached { barrier: u64::MAX }.encode(&mut frame);
            Answer::Applied { who: 0, bytes: u64::MAX, load: Load { operations: u64::MAX, bytes: u64::MAX } }
                .encode(&mut frame);
            Answer::Written { file: u64::MAX }.encode(&mut frame);
            let _ = line.send(Channel::Results, &frame);
            let _ = line.end(Ok(()));
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
                let mut ear = Ear::of(&far_end, None);
                answers_terms(&mut ear, &far_end);
                let first = ear.hear(Vec::new).unwrap();
                let Heard::Frame(Channel::Ops, frame) = first else { panic!("{first:?}") };
                assert!(matches!(Op::decode(&mut Reader::new(&frame)), Ok(Op::Begin { .. })));
                answer(&far_end);
                // Then it says nothing more, but listens for a while.
                while let Ok(Heard::Frame(..)) = ear.hear(Vec::new) {}
                far_end.break_off();
            });
            let (end, carrier) = far::source(near, Arc::default(), far::Outlet::default());
            let carried = scope.spawn(|| far::carry(carrier, None));
            let outcome = source::run_over(&bed.plan(), JobKind::Mirror(FULL), &JobShared::new(), end);
            let carried = carried.join().unwrap();
            assert!(!outcome.complete || carried.is_err(), "{number}: {outcome:?} {carried:?}");
        });
    }
}
