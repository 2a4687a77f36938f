//! STATUS, CONID, EXPLAIN, and sets in use.

use super::support::*;
use crate::api::*;
use crate::engine::job::{JobFailure, JobOutcome};
use std::os::unix::ffi::OsStrExt;

fn explain(bench: &Bench, path: &str, id: Option<ConnectionId>) -> Vec<(String, String)> {
    match bench.ask(Request::Explain { path: bench.text(path), connection: id }).unwrap() {
        Reply::Explanation(rows) => rows,
        other => panic!("{other:?}"),
    }
}

fn value<'a>(rows: &'a [(String, String)], label: &str) -> &'a str {
    match rows.iter().find(|(name, _)| name == label) {
        Some((_, value)) => value,
        None => panic!("no {label} in {rows:?}"),
    }
}

#[test]
fn a_connection_is_found_by_set_and_target() {
    let bench = Bench::new();
    let ask = |target: Option<&str>| {
        bench.ask(Request::ConnectionIdOf { repset: "PAYROLL".into(), target: target.map(str::to_owned) })
    };
    assert_eq!(ask(None).unwrap_err().code, Code::ConnectionDoesNotExist);
    bench.connect(bench.spec());
    assert_eq!(ask(None), Ok(Reply::Connected(ONE)));
    assert_eq!(ask(Some("127.0.0.1")), Ok(Reply::Connected(ONE)), "another name of this machine");
    assert_eq!(ask(Some("no-such.invalid")).unwrap_err().code, Code::ConnectionDoesNotExist);
    bench.connect(ConnectSpec { map: MapSpec::Base(bench.text("second")), ..bench.spec() });
    assert_eq!(ask(None).unwrap_err().code, Code::InvalidParameterWasSupplied);
}

#[test]
fn a_connected_set_is_in_use() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let Reply::Repsets(sets) = bench.ask(Request::RepsetList).unwrap() else { unreachable!() };
    assert!(sets[0].connected);
    assert_eq!(bench.code(Request::RepsetDelete { repset: "payroll".into() }), Code::JobIsInUse);
    let Reply::Repset(detail) = bench.ask(Request::RepsetDisplay { repset: "payroll".into() }).unwrap()
    else {
        unreachable!()
    };
    assert_eq!(detail.connections, [ONE]);
    bench.rule("payroll", &bench.path("x"), true);
    let Reply::Saved(saved) = bench.ask(Request::RepsetSave { repset: None }).unwrap() else {
        unreachable!()
    };
    assert_eq!(saved.connected, ["payroll"]);
}

#[test]
fn a_calculation_is_remembered() {
    let bench = Bench::new();
    let Reply::Size(size) = bench.ask(Request::RepsetCalculate { repset: "payroll".into() }).unwrap() else {
        unreachable!()
    };
    assert_eq!((size.files, size.bytes), (4, 200));
    let Reply::Repset(detail) = bench.ask(Request::RepsetDisplay { repset: "payroll".into() }).unwrap()
    else {
        unreachable!()
    };
    assert_eq!(detail.size.map(|size| size.bytes), Some(200));
}

#[test]
fn modules_show_their_connections() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let Reply::Source(rows) = bench.ask(Request::StatusSource).unwrap() else { unreachable!() };
    assert_eq!(value(&rows, "Replication set"), "payroll");
    assert_eq!(value(&rows, "Connections"), "1");
    let Reply::Target(rows) = bench.ask(Request::StatusTarget).unwrap() else { unreachable!() };
    assert_eq!(value(&rows, "Target data state"), "Mirror Required");
    assert_eq!(value(&rows, "Move/Delete Orphan Files"), "Off");
}

#[test]
fn a_file_tells_its_story() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    let rows = explain(&bench, "data/file", Some(ONE));
    assert!(value(&rows, "In the set").starts_with("yes, by the rule"));
    assert!(value(&rows, "On source").starts_with("file, 7 bytes"));
    assert_eq!(value(&rows, "On target"), "no");
    assert_eq!(value(&rows, "Pending"), "a mirror is required");
    let target = std::path::PathBuf::from(value(&rows, "Target path"));
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::write(&target, "less").unwrap();
    let rows = explain(&bench, "data/file", None);
    assert!(value(&rows, "On target").starts_with("yes, but different: 4 bytes there"), "{rows:?}");
}

#[test]
fn the_last_error_of_a_file_is_told() {
    let bench = Bench::new();
    bench.mirroring();
    let path = bench.path("data/file").as_os_str().as_bytes().to_vec();
    let failures = vec![JobFailure { path, reason: "Permission denied".into() }];
    bench.runner.end(JobOutcome { failures, ..JobOutcome::default() });
    bench.wait(Until::Mirror).unwrap_err();
    assert_eq!(value(&explain(&bench, "data/file", Some(ONE)), "Last error"), "Permission denied");
    assert_eq!(value(&explain(&bench, "data/other", Some(ONE)), "Last error"), "none");
}

#[test]
fn what_is_not_in_the_set_says_why() {
    let bench = Bench::new();
    bench.connect(bench.spec());
    assert_eq!(value(&explain(&bench, "elsewhere", Some(ONE)), "In the set"), "no, no rule names it");
    assert_eq!(value(&explain(&bench, "elsewhere", None), "In the set"), "no, no rule of any set names it");
    bench.set("all", bench.dir.path());
    let reply =
        bench.ask(Request::RepsetTest { path: bench.text("home/lib/x"), repset: "all".into() }).unwrap();
    let Reply::Belongs(belongs) = reply else { unreachable!() };
    assert!(!belongs.belongs && belongs.reason.unwrap().contains("engine's own home"));
    let reply =
        bench.ask(Request::RepsetTest { path: bench.text("data/file"), repset: "all".into() }).unwrap();
    let Reply::Belongs(belongs) = reply else { unreachable!() };
    assert!(belongs.belongs && belongs.rule.is_some());
}

/// language.md 2.1
#[test]
fn names_of_sets_compare_without_case() {
    let bench = Bench::new();
    assert_eq!(bench.code(Request::RepsetCreate { repset: "PayRoll".into() }), Code::JobExists);
    let copy = Request::RepsetCopy { repset: "PAYROLL".into(), name: "Copy".into() };
    bench.ask(copy.clone()).unwrap();
    assert_eq!(bench.code(copy), Code::JobExists);
    bench.ask(Request::RepsetRename { repset: "copy".into(), name: "COPY".into() }).unwrap();
    let Reply::Repsets(sets) = bench.ask(Request::RepsetList).unwrap() else { unreachable!() };
    let names: Vec<_> = sets.into_iter().map(|set| set.name).collect();
    assert_eq!(names, ["COPY", "payroll"]);
}

/// The lines of log-lines.md that are the control side's, in their order.
#[test]
fn the_log_tells_what_happened() {
    let bench = Bench::new();
    bench.rule("payroll", &bench.path("data/tmp"), false);
    bench.ask(Request::RepsetSave { repset: None }).unwrap();
    bench.mirroring();
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    let text = bench.log();
    let mut rest = text.as_str();
    for line in [
        &format!("{} --> Inc, Rec (1)", bench.text("data")),
        &format!("{} --> Exc, Rec (1)", bench.text("data/tmp")),
        "Connected to localhost IP address ip://127.0.0.1 : 1500",
        "Service has established a connection to (127.0.0.1:1500) for Replication Set payroll",
        "has changed from Mirror Required to Mirroring",
        "has changed from Mirroring to OK",
        "Service has disconnected from localhost (127.0.0.1:1500) for Replication Set payroll",
    ] {
        let Some(at) = rest.find(line) else { panic!("no {line:?} in what is left: {rest}") };
        rest = &rest[at..];
    }
}
