//! Each statistic is caused, and changes by the right amount (statistics.tsv, availability.md 9.1): with a real source and target on one
//! machine where it can be, else with jobs in the test's hand.

use super::support::*;
use crate::api::statistics::{Section, Snapshot, Statistic, Value};
use crate::api::*;
use crate::engine::Engine;
use crate::engine::connection::Stage;
use crate::engine::home::Home;
use crate::engine::job::JobOutcome;
use crate::engine::stats::COLUMNS;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A real engine with `tree/` of two files of 5 and 6 bytes in two directories, and a set of it.
struct Real {
    dir: tempfile::TempDir,
    engine: Arc<Engine>,
}

impl Real {
    fn new() -> Real {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree/sub")).unwrap();
        fs::write(dir.path().join("tree/a"), "first").unwrap();
        fs::write(dir.path().join("tree/sub/b"), "second").unwrap();
        let engine = Engine::open(Home::at(dir.path().join("home"))).unwrap();
        let real = Real { dir, engine };
        let rule = Rule { path: real.text("tree"), include: true, recursive: true };
        real.ask(Request::RepsetCreate { repset: "tree".into() });
        real.ask(Request::RuleAdd { repset: "tree".into(), rule });
        real.ask(Request::RepsetSave { repset: None });
        real
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn ask(&self, request: Request) -> Reply {
        self.engine.call(request, &mut ()).unwrap()
    }

    /// To `copy/`, without a mirror.
    fn connect(&self, replicate: bool, target: ConnectTarget) {
        self.ask(Request::Connect(ConnectSpec {
            repset: "tree".into(),
            target,
            map: MapSpec::Pairs(vec![(self.text("tree"), self.text("copy"))]),
            mirror: replicate.then(MirrorSpec::default),
            replicate: Some(replicate),
            calculate: None,
            orphans: None,
            route: None,
            compress: None,
            dry_run: false,
        }));
        if replicate {
            self.wait();
        }
    }

    fn here() -> ConnectTarget {
        ConnectTarget::Machine("localhost".into())
    }

    fn wait(&self) {
        self.ask(Request::Wait { connection: ONE, until: Until::Mirror, timeout_ms: None });
    }

    fn mirror(&self, mirror: MirrorSpec) {
        self.ask(Request::MirrorStart { connection: ONE, mirror });
        self.wait();
    }

    fn barrier(&self) {
        self.ask(Request::Barrier { connection: ONE, timeout_ms: None });
    }

    /// Blocks until a snapshot is so: what is acknowledged is told a moment after what it allows.
    fn until(&self, so: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let snapshot = self.engine.snapshot();
            if so(&snapshot) {
                return snapshot;
            }
            assert!(std::time::Instant::now() < deadline, "{snapshot:#?}");
            std::thread::yield_now();
        }
    }

    /// All is acknowledged.
    fn settled(&self) -> Snapshot {
        self.until(|now| now.number(Statistic::ConOpsInAckQueue) == 0)
    }

    fn columns(&self) -> Vec<(String, String)> {
        match self.ask(Request::Columns { connection: ONE }) {
            Reply::Columns(columns) => columns,
            other => panic!("{other:?}"),
        }
    }
}

use Statistic::*;

/// With a connection to this machine each statistic stands in its section, once, and no other.
#[test]
fn a_snapshot_has_all_of_them() {
    let real = Real::new();
    real.connect(false, Real::here());
    let snapshot = real.engine.snapshot();
    let mut found = Vec::new();
    for block in &snapshot.blocks {
        assert!(block.values.iter().all(|(it, _)| it.section() == block.section), "{block:?}");
        found.extend(block.values.iter().map(|(it, _)| *it));
    }
    // Nothing was sent here yet: a target's block is there all the same, as this machine has a connection.
    found.sort();
    assert_eq!(found, Statistic::ALL);
}

#[test]
fn a_mirror_is_counted_on_both_sides_and_a_remirror_sets_only_the_sources_count_back() {
    let real = Real::new();
    real.connect(false, Real::here());
    let before = real.engine.snapshot();
    assert_eq!((before.number(MirOpsGenerated), before.number(ConOpsTx)), (0, 0));
    real.mirror(MirrorSpec::default());
    let first = real.settled();
    // Two files, the attributes of two directories.
    assert_eq!(first.number(MirOpsGenerated), 4);
    for counted in [ConOpsTx, ConOpsRx, OpsReceived, MirrorOpsReceived] {
        assert_eq!(first.number(counted), 4, "{counted:?}");
    }
    let bytes = first.number(MirBytesGenerated);
    assert!((11..2000).contains(&bytes), "content, names and attributes: {bytes}");
    for counted in [ConBytesTx, ConBytesRx, ConBytesCompressedTx] {
        assert_eq!(first.number(counted), bytes, "{counted:?}");
    }
    for quiet in [RepOpsGenerated, RepBytesGenerated, ConOpsInMirQueue, ConOpsInCmdQueue, ConResentOpCount] {
        assert_eq!(first.number(quiet), 0, "{quiet:?}");
    }
    real.mirror(MirrorSpec::default());
    let second = real.settled();
    assert_eq!((second.number(MirOpsGenerated), second.number(MirBytesGenerated)), (4, bytes));
    assert_eq!((second.number(MirrorOpsReceived), second.number(OpsReceived)), (8, 8));
    assert_eq!((second.number(ConOpsTx), second.number(ConBytesTx)), (8, 2 * bytes));
    let block = second.of(Section::Connection).next().unwrap();
    let (Value::Moment(began), Value::Moment(ended)) =
        (block.get(ConMirrorStartTime), block.get(ConMirrorEndTime))
    else {
        panic!("{block:?}")
    };
    assert!(began <= ended);
}

#[test]
fn what_is_the_same_is_skipped() {
    let real = Real::new();
    real.connect(false, Real::here());
    real.mirror(MirrorSpec { calculate: true, ..MirrorSpec::default() });
    let first = real.settled();
    assert_eq!((first.number(ConBytesSkipped), first.number(ConMirrorPercent)), (0, 1000));
    assert_eq!(*first.of(Section::Connection).next().unwrap().get(ConMirrorBytesRemaining), Value::Number(0));
    real.mirror(MirrorSpec { kind: MirrorKind::Different, ..MirrorSpec::default() });
    assert_eq!(real.settled().number(ConBytesSkipped), 11);
}

#[test]
fn orphans_are_counted_where_they_were() {
    let real = Real::new();
    real.connect(false, Real::here());
    real.mirror(MirrorSpec::default());
    fs::create_dir(real.path("copy/old")).unwrap();
    fs::write(real.path("copy/old/f"), "seven77").unwrap();
    real.mirror(MirrorSpec { kind: MirrorKind::Different, orphans: true, ..MirrorSpec::default() });
    let now = real.engine.snapshot();
    assert_eq!(
        [OrphanFilesRemoved, OrphanDirectoriesRemoved, OrphanBytesRemoved].map(|it| now.number(it)),
        [1, 1, 7]
    );
}

#[test]
fn replication_is_counted_from_the_log_to_the_target() {
    let real = Real::new();
    real.connect(true, Real::here());
    let mirrored = real.settled();
    let before = mirrored.number(RepOpsGenerated);
    fs::write(real.path("tree/new"), "a change").unwrap();
    real.barrier();
    let now = real.settled();
    assert!(now.number(RepOpsGenerated) > before);
    assert!(now.number(RepBytesGenerated) > mirrored.number(RepBytesGenerated) + 8);
    let of_replication = now.number(OpsReceived) - now.number(MirrorOpsReceived);
    assert!(of_replication > 0);
    assert_eq!(now.number(MirOpsGenerated), mirrored.number(MirOpsGenerated));
    assert_eq!(now.number(ConOpsRx), now.number(ConOpsTx));
    let source = now.of(Section::Source).next().unwrap();
    assert_eq!(*source.get(LastFileTouched), Value::Text(real.text("tree/new")));
    let quiet = real
        .until(|now| [ConOpsInRepQueue, ConBytesInRepQueue, ConRpl].iter().all(|it| now.number(*it) == 0));
    assert!(matches!(quiet.of(Section::Connection).next().unwrap().get(ConRpt), Value::Moment(_)));
}

/// The death of a target is an auto-disconnect; the mirror that begins by itself reconnects.
#[test]
fn what_comes_back_by_itself_is_counted() {
    let real = Real::new();
    real.connect(true, Real::here());
    let Stage::On(replication) = real.engine.connection(ONE).unwrap().view().state.stage else { panic!() };
    replication.cut();
    let now = real.until(|now| now.number(AutoReconnects) > 0);
    assert_eq!((now.number(AutoDisconnects), now.number(AutoReconnects)), (1, 1));
}

/// A program that runs on the target cannot be written to, so the change is under way when the line breaks.
#[test]
fn what_was_under_way_when_the_line_broke_is_sent_again() {
    let real = Real::new();
    fs::copy("/bin/sleep", real.path("tree/program")).unwrap();
    // Of two names, so it is written in place.
    fs::hard_link(real.path("tree/program"), real.path("tree/other")).unwrap();
    real.connect(true, Real::here());
    real.settled();
    let mut runs = std::process::Command::new(real.path("copy/program")).arg("600").spawn().unwrap();
    let file = fs::OpenOptions::new().append(true).open(real.path("tree/program")).unwrap();
    std::io::Write::write_all(&mut &file, b"more").unwrap();
    drop(file);
    let held = real.until(|now| now.number(Retries) > 0);
    let under_way = held.number(ConOpsInAckQueue);
    assert!(under_way > 0);
    let Stage::On(replication) = real.engine.connection(ONE).unwrap().view().state.stage else { panic!() };
    runs.kill().unwrap();
    runs.wait().unwrap();
    replication.cut();
    let now = real.until(|now| now.number(AutoReconnects) > 0 && now.number(ConOpsInAckQueue) == 0);
    assert!(now.number(ConResentOpCount) > 0, "{under_way} were under way");
}

#[test]
fn tasks_are_counted_on_both_sides() {
    let real = Real::new();
    real.ask(Request::Set { option: "EnableTaskCmdProcessing".into(), value: "1".into() });
    real.connect(true, Real::here());
    for program in ["/bin/true", "/bin/false"] {
        real.ask(Request::QueueTask(Box::new(TaskSpec {
            job: "count".into(),
            target: "localhost".into(),
            commands: vec![(TaskPoint::Execute, program.into())],
            limit: TaskLimit::Forever,
            repeat: false,
            by: "test".into(),
        })));
    }
    let now = real.until(|now| now.number(ConTasksSucceeded) + now.number(ConTasksFailed) == 2);
    let counts =
        [ConTaskCmdsSubmitted, ConTaskCmdsQueued, ConTasksSucceeded, ConTasksFailed, ConTasksIgnored];
    assert_eq!(counts.map(|it| now.number(it)), [2, 0, 1, 1, 0]);
    assert_eq!([TasksSucceeded, TasksFailed, TasksIgnored].map(|it| now.number(it)), [1, 1, 0]);
}

#[test]
fn the_null_target_acknowledges_and_has_no_block_of_a_target() {
    let real = Real::new();
    real.connect(false, ConnectTarget::Tdu { file: None });
    real.mirror(MirrorSpec::default());
    let now = real.settled();
    assert_eq!((now.number(ConOpsTx), now.number(ConOpsRx), now.number(MirOpsGenerated)), (4, 4, 4));
    assert_eq!(now.of(Section::Target).count(), 0);
}

#[test]
fn the_state_is_a_sum() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let state = || bench.engine.snapshot().number(ConState);
    let step = |step| bench.ask(Request::Transmission { target: "localhost".into(), step }).unwrap();
    assert_eq!(state(), 1);
    step(TransmissionStep::Pause);
    assert_eq!(state(), 2);
    step(TransmissionStep::Resume);
    step(TransmissionStep::Stop);
    assert_eq!(state(), 0);
    step(TransmissionStep::Start);
    assert_eq!(state(), 1);
}

#[test]
fn the_limit_in_force_is_shown_in_kilobits() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let limit = || bench.engine.snapshot().number(ConBandwidthLimit);
    assert_eq!(limit(), 4_294_967_295);
    let change = BandwidthChange::Limit(BandwidthSpec::Kbit(800));
    bench.ask(Request::Bandwidth { target: "localhost".into(), change }).unwrap();
    assert_eq!(limit(), 800);
}

/// While a mirror runs the target lags behind by the time since both were equal last.
#[test]
fn the_lag_grows_in_a_mirror() {
    let bench = Bench::new();
    bench.following();
    let now = || bench.engine.snapshot();
    assert_eq!(now().number(ConRpl), 0);
    let equal = now().of(Section::Connection).next().unwrap().get(ConRpt).clone();
    bench.ask(Request::MirrorStart { connection: ONE, mirror: MirrorSpec::default() }).unwrap();
    bench.until_jobs(2);
    bench.clock.pass(Duration::from_secs(90));
    let block = now().of(Section::Connection).next().unwrap().clone();
    assert_eq!((block.number(ConRpl), block.get(ConRpt)), (90, &equal));
    assert_ne!(block.get(ConCurrentTime), block.get(ConRpt));
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    assert_eq!(now().number(ConRpl), 0);
}

#[test]
fn a_mirror_under_way_has_bytes_to_go() {
    let bench = Bench::new();
    let mirror = MirrorSpec { calculate: true, ..MirrorSpec::default() };
    bench.connect(ConnectSpec { mirror: Some(mirror), calculate: None, ..bench.spec() });
    bench.until_jobs(1);
    set_counters(&bench.shared(ONE), 60, 15, 40);
    let now = bench.engine.snapshot();
    assert_eq!(
        [ConMirrorBytesRemaining, ConMirrorPercent, ConBytesInMirQueue, ConBytesSkipped]
            .map(|it| now.number(it)),
        [125, 375, 40, 15]
    );
}

#[test]
fn what_a_queue_takes_is_shown() {
    let bench = Bench::new();
    let follower = bench.following();
    let shared = &follower.shared;
    shared.memory_queue.store(4096, Relaxed);
    shared.disk_queue.store(9000, Relaxed);
    shared.queue_percent.store(7, Relaxed);
    shared.bytes_queued.store(1536, Relaxed);
    follower.queue(4);
    let now = bench.engine.snapshot();
    assert_eq!(
        [QueueAllocator, ConBytesInDiskQueue, DriverQueuePercent, ConBytesInRepQueue, ConOpsInRepQueue]
            .map(|it| now.number(it)),
        [4096, 9000, 7, 1536, 4]
    );
    assert_eq!(now.number(ConOpsInCmdQueue), 4);
}

#[test]
fn files_that_a_mirror_could_not_read_are_counted_when_it_ends() {
    let bench = Bench::new();
    bench.mirroring();
    bench.until_jobs(1);
    bench.shared(ONE).counters.unread.store(3, Relaxed);
    bench.runner.end(JobOutcome { complete: true, ..JobOutcome::default() });
    bench.until(ONE, |status| status.mirror == "Idle");
    assert_eq!(bench.engine.snapshot().number(FailedMirrorCount), 3);
}

#[test]
fn logins_are_counted() {
    let bench = Bench::new();
    bench.ask(Request::Login { user: "anna".into(), password: None, domain: None }).unwrap();
    bench.engine.counts().login(false);
    let now = bench.engine.snapshot();
    assert_eq!((now.number(Logins), now.number(FailedLogins)), (1, 1));
    assert_eq!(*now.of(Section::Kernel).next().unwrap().get(StartTime), Value::Moment(1_439_819_947_473));
}

/// All 26, with the guide's names, from one connection that has sent something.
#[test]
fn the_columns_are_those_of_the_monitor() {
    let real = Real::new();
    real.connect(true, Real::here());
    // One that is written where it is watched may be sent twice.
    fs::write(real.path("aside"), "a change").unwrap();
    fs::rename(real.path("aside"), real.path("tree/new")).unwrap();
    real.barrier();
    real.until(|now| now.number(ConOpsInCmdQueue) == 0 && now.number(ConBytesInRepQueue) == 0);
    let columns = real.columns();
    assert_eq!(columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), COLUMNS);
    let get = |name: &str| &*columns.iter().find(|(found, _)| found == name).unwrap().1;
    for (name, value) in [
        ("Replication Set", "tree"),
        ("Connection ID", "1"),
        ("Target Name", "localhost"),
        ("Target IP", "127.0.0.1"),
        ("Target Data State", "OK"),
        ("Target Status", "OK"),
        ("Commit Mode", "Real-time"),
        ("Transmit Mode", "Started"),
        ("Mirror Status", "Idle"),
        ("Queued (Ops)", "0"),
        ("Sent (Bytes)", "19"),
        ("Sent Compressed (Bytes)", "19"),
        ("Queued Replication (Bytes)", "0"),
        ("Sent Replication (Bytes)", "8"),
        ("Sent Compressed Replication (Bytes)", "8"),
        ("Queued Mirror (Ops)", "0"),
        ("Sent Mirror (Bytes)", "11"),
        ("Sent Compressed Mirror (Bytes)", "11"),
        ("Skipped Mirror (Bytes)", "0"),
        ("Queued Replication (Ops)", "0"),
        ("Disk Queue (Bytes)", "0"),
    ] {
        assert_eq!(get(name), value, "{name}");
    }
    assert!(get("Last File Touched").ends_with("/tree/new"));
    assert!(!get("Connected Since").is_empty());
    real.ask(Request::Transmission { target: "localhost".into(), step: TransmissionStep::Pause });
    let since = |columns: Vec<(String, String)>| columns[25].1.clone();
    assert!(!since(real.columns()).is_empty(), "kept while it is paused");
    real.ask(Request::Transmission { target: "localhost".into(), step: TransmissionStep::Stop });
    assert!(since(real.columns()).is_empty(), "blank without a socket");
}

/// With compression the compressed count is the smaller one, without both are equal.
#[test]
fn what_compression_spares_is_not_counted_as_compressed() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let traffic = Arc::clone(&bench.engine.connection(ONE).unwrap().info.traffic);
    let stream = traffic.counts.stream();
    let load = |operations, bytes| crate::wire::Load { operations, bytes };
    stream.sends([load(3, 700), load(2, 300)]);
    let sent = || {
        let now = bench.engine.snapshot();
        [ConOpsTx, ConBytesTx, ConBytesCompressedTx, ConOpsInAckQueue, ConOpsInMirQueue]
            .map(|it| now.number(it))
    };
    assert_eq!(sent(), [5, 1000, 1000, 5, 3]);
    traffic.spared[1].fetch_add(120, Relaxed);
    assert_eq!(sent(), [5, 1000, 880, 5, 3]);
    drop(stream);
    assert_eq!(sent(), [5, 1000, 880, 0, 0], "nothing is under way any more");
    traffic.counts.cannot_replicate();
    let _again = traffic.counts.stream();
    let now = bench.engine.snapshot();
    assert_eq!((now.number(ConResentOpCount), now.number(FailedRepCount)), (5, 1));
}
