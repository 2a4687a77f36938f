//! The control side with real jobs: what they report becomes states, words and numbers.

use crate::api::*;
use crate::engine::Engine;
use crate::engine::home::Home;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

struct Place {
    dir: tempfile::TempDir,
    engine: Arc<Engine>,
}

const ONE: ConnectionId = ConnectionId(1);

impl Place {
    /// `tree/` with a file and a directory, set `tree`, connected to `copy/` without a mirror.
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree/sub")).unwrap();
        fs::write(dir.path().join("tree/a"), "first").unwrap();
        fs::write(dir.path().join("tree/sub/b"), "second").unwrap();
        let engine = Engine::open(Home::at(dir.path().join("home"))).unwrap();
        let place = Place { dir, engine };
        place.set("tree", "tree");
        place.connect("tree", "tree", "copy").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ask(&self, request: Request) -> Result<Reply, ApiError> {
        self.engine.call(request, &mut ())
    }

    fn set(&self, repset: &str, root: &str) {
        let repset = repset.to_owned();
        let rule = Rule { path: self.path(root).display().to_string(), include: true, recursive: true };
        self.ask(Request::RepsetCreate { repset: repset.clone() }).unwrap();
        self.ask(Request::RuleAdd { repset: repset.clone(), rule }).unwrap();
        self.ask(Request::RepsetSave { repset: Some(repset) }).unwrap();
    }

    fn connect(&self, repset: &str, from: &str, to: &str) -> Result<Reply, ApiError> {
        let text = |name: &str| self.path(name).display().to_string();
        self.ask(Request::Connect(ConnectSpec {
            repset: repset.into(),
            target: ConnectTarget::Machine("localhost".into()),
            map: MapSpec::Pairs(vec![(text(from), text(to))]),
            mirror: None,
            replicate: Some(false),
            calculate: None,
            orphans: None,
            route: None,
            compress: None,
            dry_run: false,
        }))
    }

    fn wait(&self) -> Result<Reply, ApiError> {
        self.ask(Request::Wait { connection: ONE, until: Until::Mirror, timeout_ms: None })
    }

    fn mirror(&self, mirror: MirrorSpec) -> Result<Reply, ApiError> {
        self.ask(Request::MirrorStart { connection: ONE, mirror }).unwrap();
        self.wait()
    }

    fn verify(&self, verify: VerifySpec) -> Result<Reply, ApiError> {
        self.ask(Request::Verify { connection: ONE, verify }).unwrap();
        self.wait()
    }

    fn status(&self) -> ConnectionStatus {
        match self.ask(Request::Status { connection: ONE }).unwrap() {
            Reply::Connection(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    fn state(&self) -> String {
        self.status().target_data_state
    }
}

#[test]
fn a_mirror_and_a_second_one_that_sends_nothing() {
    let place = Place::new();
    assert_eq!(place.mirror(MirrorSpec::default()), Ok(Reply::Done));
    assert_eq!(fs::read(place.path("copy/sub/b")).unwrap(), b"second");
    let status = place.status();
    assert_eq!((status.target_data_state.as_str(), status.mirror.as_str()), ("OK", "Idle"));
    assert_eq!((status.mirror_bytes_transmitted, status.mirror_bytes_skipped), (11, 0));
    let different = MirrorSpec { kind: MirrorKind::Different, ..MirrorSpec::default() };
    assert_eq!(place.mirror(different), Ok(Reply::Done));
    let status = place.status();
    assert_eq!((status.mirror_bytes_transmitted, status.mirror_bytes_skipped), (11, 11));
}

#[test]
fn a_verification_that_finds_something_requires_a_mirror_and_a_remirror_repairs_it() {
    let place = Place::new();
    place.mirror(MirrorSpec::default()).unwrap();
    assert_eq!(place.verify(VerifySpec::default()), Ok(Reply::Done));
    assert_eq!(place.state(), "OK");
    fs::write(place.path("copy/a"), "worse").unwrap();
    fs::remove_file(place.path("copy/sub/b")).unwrap();
    let error = place.verify(VerifySpec { checksum: true, ..VerifySpec::default() }).unwrap_err();
    assert!(error.message.contains("2 files differ or are missing"), "{error}");
    assert_eq!(place.state(), "Mirror Required");
    let repair = VerifySpec { remirror: true, checksum: true, ..VerifySpec::default() };
    assert_eq!(place.verify(repair), Ok(Reply::Done));
    assert_eq!(place.state(), "OK");
    assert_eq!(fs::read(place.path("copy/a")).unwrap(), b"first");
    assert_eq!(fs::read(place.path("copy/sub/b")).unwrap(), b"second");
    let Reply::Verify(report) = place.ask(Request::VerifyReport { connection: ONE }).unwrap() else {
        unreachable!()
    };
    assert_eq!((report.files_different, report.files_missing, report.files_remirrored), (1, 1, 2));
}

#[test]
fn what_stands_in_the_way_on_the_target_is_said() {
    let place = Place::new();
    fs::write(place.path("copy"), "a file").unwrap();
    let start = Request::MirrorStart { connection: ONE, mirror: MirrorSpec::default() };
    let error = place.ask(start).unwrap_err();
    assert_eq!(error.code, Code::FileDirectoryMismatchDirectoryExpected);
    assert_eq!(fs::read(place.path("copy")).unwrap(), b"a file");
}

/// The home lies in the data that is mirrored, and the copy lies in the home.
#[test]
fn the_home_is_left_out_of_its_own_parent() {
    let place = Place::new();
    // Else the first connection's data would be left to it (REP-34).
    place.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    place.set("all", "");
    place.connect("all", "", "home/data/all").unwrap();
    let start = Request::MirrorStart { connection: ConnectionId(2), mirror: MirrorSpec::default() };
    place.ask(start).unwrap();
    let wait = Request::Wait { connection: ConnectionId(2), until: Until::Mirror, timeout_ms: None };
    assert_eq!(place.ask(wait), Ok(Reply::Done));
    assert_eq!(fs::read(place.path("home/data/all/tree/a")).unwrap(), b"first");
    assert!(!place.path("home/data/all/home").exists());
}

#[test]
fn a_dry_run_names_what_would_be_sent_and_sends_nothing() {
    let place = Place::new();
    let mut watcher = super::support::Watcher::new(|| ());
    let mirror = MirrorSpec { kind: MirrorKind::Different, dry_run: true, ..MirrorSpec::default() };
    let request = Request::MirrorStart { connection: ONE, mirror };
    let reply = place.engine.call(request, &mut watcher);
    assert!(matches!(reply, Ok(Reply::DryRun { bytes: 11, .. })), "{reply:?}");
    let missing = |event: &&Event| matches!(event, Event::WouldSend { reason: MirrorReason::Missing, .. });
    assert!(watcher.events.iter().filter(missing).count() >= 2, "{:?}", watcher.events);
    assert!(!place.path("copy").exists());
    assert_eq!(place.state(), "Mirror Required");
}

#[test]
fn a_size_is_counted_and_kept() {
    let place = Place::new();
    let Reply::Size(size) = place.ask(Request::RepsetCalculate { repset: "tree".into() }).unwrap() else {
        unreachable!()
    };
    assert_eq!((size.files, size.bytes), (2, 11));
}

#[test]
fn closing_lets_a_mirror_end() {
    let place = Place::new();
    place.ask(Request::MirrorStart { connection: ONE, mirror: MirrorSpec::default() }).unwrap();
    let named = place.engine.close(Duration::from_secs(60));
    assert_eq!(named, ["connection 1 of tree to localhost: the mirror is complete"]);
    assert_eq!(fs::read(place.path("copy/a")).unwrap(), b"first");
}

/// The line is cut in the middle of a mirror: it ends, each file that is there is whole, and nothing unfinished stays.
#[test]
fn discard_cuts_the_line_and_leaves_whole_files() {
    let place = Place::new();
    let content = vec![b'x'; 300_000];
    for number in 0..200 {
        fs::write(place.path(&format!("tree/big{number:03}")), &content).unwrap();
    }
    let mirror = MirrorSpec { calculate: false, ..MirrorSpec::default() };
    place.ask(Request::MirrorStart { connection: ONE, mirror }).unwrap();
    let connection = place.engine.connection(ONE).unwrap();
    let job = connection.view().state.running.unwrap().shared;
    while job.counters.files.load(std::sync::atomic::Ordering::Relaxed) < 5 {
        std::thread::yield_now();
    }
    place.ask(Request::Disconnect { connection: ONE, discard: true }).unwrap();
    let there: Vec<_> = fs::read_dir(place.path("copy")).unwrap().map(|entry| entry.unwrap()).collect();
    for entry in &there {
        let name = entry.file_name().into_string().unwrap();
        assert!(["a", "sub"].contains(&name.as_str()) || name.starts_with("big"), "{name}");
        if name.starts_with("big") {
            assert!(fs::read(entry.path()).unwrap() == content, "{name} is not whole");
        }
    }
}

/// 4150: what the target gives up the copy lacks, so a mirror is required, and the next one brings it.
#[test]
fn an_operation_that_is_given_up_makes_the_state_mirror_required() {
    let place = Place::new();
    for (option, value) in [("TGExecutionRetryLimit", "2"), ("TGRetryLocked", "0"), ("AutoRemirror", "0")] {
        place.ask(Request::Set { option: option.into(), value: value.into() }).unwrap();
    }
    fs::copy("/bin/sleep", place.path("tree/sleep")).unwrap();
    // One with two names is changed in place.
    fs::hard_link(place.path("tree/sleep"), place.path("tree/other name")).unwrap();
    place.ask(Request::ReplicationStart { connection: ONE }).unwrap();
    place.mirror(MirrorSpec::default()).unwrap();
    assert_eq!(place.state(), "OK");
    let mut runs = std::process::Command::new(place.path("copy/sleep")).arg("1000").spawn().unwrap();
    fs::write(place.path("tree/sleep"), [1; 30_000]).unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while place.state() != "Mirror Required" {
        assert!(std::time::Instant::now() < end, "{:?}", place.status());
        std::thread::yield_now();
    }
    runs.kill().unwrap();
    runs.wait().unwrap();
    let error = place.status().last_error.unwrap();
    assert!(error.contains("could not be brought to the target"), "{error}");
    let log: String = fs::read_dir(place.path("home/log"))
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    for words in [" 1 4111 ", " 1 4150 ", "after 2 retries"] {
        assert!(log.contains(words), "no {words}: {log}");
    }
    place
        .mirror(MirrorSpec { kind: MirrorKind::Different, checksum: true, ..MirrorSpec::default() })
        .unwrap();
    assert_eq!(place.state(), "OK");
    assert_eq!(fs::read(place.path("copy/other name")).unwrap(), [1; 30_000]);
}
