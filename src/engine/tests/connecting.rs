//! CONNECT: what it accepts, maps and refuses (JOB-02 to JOB-15, REP-06, REP-34, REP-35).

use super::support::*;
use crate::api::statistics::{Section, Statistic, Value};
use crate::api::*;
use crate::engine::stats::file;

fn code(bench: &Bench, spec: ConnectSpec) -> Code {
    bench.code(Request::Connect(spec))
}

#[test]
fn numbers_begin_at_one_and_are_not_given_twice() {
    let bench = Bench::new();
    assert_eq!(bench.connect(bench.spec()), ConnectionId(1));
    bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    assert_eq!(bench.connect(bench.spec()), ConnectionId(2));
}

#[test]
fn unknown_and_unsaved_sets_are_refused() {
    let bench = Bench::new();
    let error =
        bench.ask(Request::Connect(ConnectSpec { repset: "payrol".into(), ..bench.spec() })).unwrap_err();
    assert_eq!(error.code, Code::JobDoesNotExist);
    assert!(error.help.unwrap().contains("payroll"));
    bench.ask(Request::RepsetCreate { repset: "new".into() }).unwrap();
    assert_eq!(code(&bench, ConnectSpec { repset: "new".into(), ..bench.spec() }), Code::JobNotSaved);
}

#[test]
fn a_set_is_found_without_case_and_named_as_typed_first() {
    let bench = Bench::new();
    bench.connect(ConnectSpec { repset: "PAYROLL".into(), ..bench.spec() });
    assert_eq!(bench.status(ONE).repset, "payroll");
}

#[test]
fn the_target_must_be_this_machine() {
    let bench = Bench::new();
    let to = |name: &str| ConnectSpec { target: ConnectTarget::Machine(name.into()), ..bench.spec() };
    assert_eq!(code(&bench, to("no-such-machine.invalid")), Code::ServerDoesNotExistOrCouldNotBeLocated);
    assert_eq!(code(&bench, to("127.0.0.1:1")), Code::ServerIsNotResponding);
    bench.connect(to("127.0.0.1"));
    assert_eq!(bench.status(ONE).target, "127.0.0.1");
}

#[test]
fn what_is_not_there_yet_is_said() {
    let bench = Bench::new();
    let none = Code::OperationOrCommandIsNotSupported;
    let tdu = || ConnectTarget::Tdu { file: None };
    assert_eq!(code(&bench, ConnectSpec { compress: Some("3".into()), target: tdu(), ..bench.spec() }), none);
    assert_eq!(code(&bench, ConnectSpec { replicate: Some(true), target: tdu(), ..bench.spec() }), none);
    for wrong in ["0", "20", "-1", "most", ""] {
        let spec = ConnectSpec { compress: Some(wrong.into()), ..bench.spec() };
        assert_eq!(code(&bench, spec), Code::InvalidParameterWasSupplied, "{wrong}");
    }
}

#[test]
fn a_route_leads_to_the_target() {
    let bench = Bench::new();
    let route = |route: &str| ConnectSpec { route: Some(route.into()), ..bench.spec() };
    for wrong in ["192.0.2.7", "127.0.0.1:7", "a b"] {
        assert_eq!(code(&bench, route(wrong)), Code::InvalidParameterWasSupplied, "{wrong}");
    }
    bench.connect(route("127.0.0.1:1500"));
}

#[test]
fn without_a_map_it_lies_below_the_data_root() {
    let bench = Bench::new();
    bench.connect(ConnectSpec { map: MapSpec::Default, ..bench.spec() });
    let (source, target) = bench.status(ONE).paths.remove(0);
    assert_eq!(source, bench.text("data"));
    assert!(
        target.starts_with(&bench.text("home/data")) && target.ends_with(&format!("/payroll{source}")),
        "{target}"
    );
}

#[test]
fn exact_below_the_data_root_is_no_overlap() {
    let bench = Bench::new();
    bench.connect(ConnectSpec { map: MapSpec::Exact, ..bench.spec() });
}

/// REP-06
#[test]
fn a_place_inside_the_sets_own_data_is_refused() {
    let bench = Bench::new();
    let pair =
        |to: String| ConnectSpec { map: MapSpec::Pairs(vec![(bench.text("data"), to)]), ..bench.spec() };
    std::os::unix::fs::symlink(bench.path("data"), bench.path("alias")).unwrap();
    for to in ["data", "data/copy/deep", "alias/copy"] {
        let error = bench.ask(Request::Connect(pair(bench.text(to)))).unwrap_err();
        assert_eq!(error.code, Code::InvalidParameterWasSupplied, "{to}");
        assert!(error.help.unwrap().contains("MAP BASE"), "{to}");
    }
    assert_eq!(code(&bench, pair(bench.dir.path().display().to_string())), Code::InvalidParameterWasSupplied);
    assert!(bench.engine.connections().is_empty());
}

/// REP-06: the set's rules may leave the place out.
#[test]
fn a_place_that_the_rules_exclude_is_no_overlap() {
    let bench = Bench::new();
    bench.rule("payroll", &bench.path("data/backup"), false);
    bench.ask(Request::RepsetSave { repset: None }).unwrap();
    let pair = |to: &str| ConnectSpec {
        map: MapSpec::Pairs(vec![(bench.text("data"), bench.text(to))]),
        ..bench.spec()
    };
    bench.connect(pair("data/backup/today"));
    assert_eq!(code(&bench, pair("data/other")), Code::InvalidParameterWasSupplied);
}

/// The home is never part of a set, so a replica in it is not read again.
#[test]
fn the_home_inside_the_sets_data_is_no_overlap() {
    let bench = Bench::new();
    bench.set("all", bench.dir.path());
    bench.connect(ConnectSpec { repset: "all".into(), map: MapSpec::Default, ..bench.spec() });
}

#[test]
fn the_engines_own_directories_are_no_place_for_data() {
    let bench = Bench::new();
    for place in ["home/lib", "home/log/x", "home"] {
        let map = MapSpec::Pairs(vec![(bench.text("data"), bench.text(place))]);
        let error = bench.ask(Request::Connect(ConnectSpec { map, ..bench.spec() })).unwrap_err();
        assert!(error.message.contains("engine keeps"), "{place}: {error}");
    }
}

/// REP-35
#[test]
fn a_place_has_one_writer() {
    let bench = Bench::new();
    bench.make("b");
    bench.set("other", &bench.path("b"));
    let to = |repset: &str, from: &str, to: &str| ConnectSpec {
        repset: repset.into(),
        map: MapSpec::Pairs(vec![(bench.text(from), bench.text(to))]),
        ..bench.spec()
    };
    bench.connect(to("payroll", "data", "copy/x"));
    for place in ["copy/x", "copy", "copy/x/deeper"] {
        let error = bench.ask(Request::Connect(to("other", "b", place))).unwrap_err();
        assert_eq!(error.code, Code::ConnectionAlreadyEstablished, "{place}");
        assert!(error.message.contains("connection 1 of the set payroll"), "{error}");
    }
    bench.connect(to("other", "b", "copy/y"));
    bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    bench.connect(to("payroll", "data", "copy/x"));
}

/// REP-34
#[test]
fn data_in_two_sets_is_noted() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    bench.set("again", &bench.path("data"));
    let mut watcher = Watcher::new(|| ());
    let map = MapSpec::Base(bench.text("second"));
    bench
        .engine
        .call(Request::Connect(ConnectSpec { repset: "again".into(), map, ..bench.spec() }), &mut watcher)
        .unwrap();
    assert!(
        matches!(&watcher.events[..], [Event::Notice(text)] if text.contains("the set payroll")),
        "{:?}",
        watcher.events
    );
}

#[test]
fn a_set_of_which_nothing_exists_is_refused() {
    let bench = Bench::new();
    bench.set("gone", &bench.path("nowhere"));
    let gone = |bench: &Bench| ConnectSpec { repset: "gone".into(), ..bench.spec() };
    let error = bench.ask(Request::Connect(gone(&bench))).unwrap_err();
    assert_eq!(error.code, Code::SourcePathIsInvalid);
    assert!(error.message.contains(&bench.text("nowhere")), "{error}");
    bench.rule("gone", &bench.path("data"), true);
    bench.ask(Request::RepsetSave { repset: None }).unwrap();
    let mut watcher = Watcher::new(|| ());
    bench.engine.call(Request::Connect(gone(&bench)), &mut watcher).unwrap();
    assert!(matches!(&watcher.events[..], [Event::Notice(text)] if text.contains("nowhere")));
}

/// REP-01
#[test]
fn nothing_but_a_pseudo_file_system_is_no_set() {
    let bench = Bench::new();
    bench.set("kernel", std::path::Path::new("/proc"));
    let error =
        bench.ask(Request::Connect(ConnectSpec { repset: "kernel".into(), ..bench.spec() })).unwrap_err();
    assert_eq!(error.code, Code::SourcePathIsInvalid);
    assert!(error.message.contains("pseudo"), "{error}");
}

#[test]
fn a_file_where_a_directory_must_be_is_refused() {
    let bench = Bench::new();
    std::fs::write(bench.path("plain"), "").unwrap();
    for to in ["plain", "plain/below"] {
        let map = MapSpec::Pairs(vec![(bench.text("data"), bench.text(to))]);
        let expected = Code::FileDirectoryMismatchDirectoryExpected;
        assert_eq!(code(&bench, ConnectSpec { map, ..bench.spec() }), expected, "{to}");
    }
}

#[test]
fn a_dry_run_tells_and_connects_nothing() {
    let bench = Bench::new();
    let mut watcher = Watcher::new(|| ());
    let spec = ConnectSpec {
        mirror: Some(MirrorSpec::default()),
        dry_run: true,
        orphans: Some(true),
        ..bench.spec()
    };
    let reply = bench.engine.call(Request::Connect(spec), &mut watcher);
    assert_eq!(reply, Ok(Reply::DryRun { files: 1, bytes: 7 }));
    assert_eq!(watcher.events.len(), 2);
    assert_eq!(
        watcher.events[0],
        Event::WouldSend { path: "/a\\nb".into(), reason: MirrorReason::Missing, bytes: 7 }
    );
    assert!(bench.engine.connections().is_empty());
    assert_eq!(bench.connect(bench.spec()), ONE, "no number was used");
    bench.ask(Request::MirrorStart { connection: ONE, mirror: MirrorSpec::default() }).unwrap();
    bench.until_jobs(1);
    let plans = bench.runner.plans.lock().unwrap();
    assert!(
        matches!(plans[0].1, crate::engine::job::JobKind::Mirror(spec) if !spec.orphans),
        "nor the switch set"
    );
}

/// ORP-03
#[test]
fn orphans_is_a_switch_of_the_target() {
    let bench = Bench::new();
    let switch = |bench: &Bench| {
        let Reply::Target(rows) = bench.ask(Request::StatusTarget).unwrap() else { unreachable!() };
        rows.into_iter().find(|(label, _)| label == "Move/Delete Orphan Files").unwrap().1
    };
    bench.connect(ConnectSpec { orphans: Some(true), ..bench.spec() });
    assert_eq!(switch(&bench), "On");
    let others = |to: &str, orphans| ConnectSpec {
        map: MapSpec::Pairs(vec![(bench.text("data"), bench.text(to))]),
        orphans,
        ..bench.spec()
    };
    bench.connect(others("second", None));
    assert_eq!(switch(&bench), "On");
    let third = bench.connect(others("third", Some(false)));
    assert_eq!(switch(&bench), "Off");
    let verify = VerifySpec { orphans: true, ..VerifySpec::default() };
    bench.ask(Request::Verify { connection: third, verify }).unwrap();
    assert_eq!(switch(&bench), "On");
}

/// JOB-15
#[test]
fn the_null_target_counts_into_its_file() {
    let bench = Bench::new();
    let tdu = |file: Option<&str>| ConnectSpec {
        target: ConnectTarget::Tdu { file: file.map(str::to_owned) },
        mirror: Some(MirrorSpec::default()),
        ..bench.spec()
    };
    assert_eq!(code(&bench, tdu(Some("a/b"))), Code::InvalidStatisticsFile);
    bench.connect(tdu(None));
    assert_eq!(bench.status(ONE).target_address, "TDU");
    bench.until_jobs(1);
    set_counters(&bench.shared(ONE), 4711, 0, 0);
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    assert_eq!(
        bench.code(Request::Verify { connection: ONE, verify: VerifySpec::default() }),
        Code::OperationOrCommandIsNotSupported
    );
    bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    let snapshots =
        file::read(&bench.path("home/log/statistic.sts")).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let ends: Vec<bool> = snapshots
        .iter()
        .flat_map(|snapshot| snapshot.of(Section::Connection))
        .map(|block| *block.get(Statistic::ConMirrorEndTime) != Value::Unknown)
        .collect();
    assert_eq!(ends, [false, true], "the mirror's beginning and its end");
}
