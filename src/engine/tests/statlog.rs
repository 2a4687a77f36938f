//! STATLOG: what is written into `statistic.sts`, and when.

use super::support::*;
use crate::api::statistics::Statistic;
use crate::api::*;
use crate::engine::stats::file;
use std::path::Path;
use std::time::Duration;

fn switch(bench: &Bench, running: bool) -> Result<Reply, ApiError> {
    bench.ask(Request::StatisticsLog { running: Some(running) })
}

fn status(bench: &Bench) -> StatisticsLog {
    match bench.ask(Request::StatisticsLog { running: None }).unwrap() {
        Reply::StatisticsLog(log) => log,
        other => panic!("{other:?}"),
    }
}

fn logins(path: &Path) -> Vec<u64> {
    let snapshots = file::read(path).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    snapshots.iter().map(|snapshot| snapshot.number(Statistic::Logins)).collect()
}

fn log_in(bench: &Bench) {
    bench.ask(Request::Login { user: "anna".into(), password: None, domain: None }).unwrap();
}

/// StatsWriteInterval: 5 minutes; what has not moved is not written again.
#[test]
fn a_snapshot_is_written_each_interval_while_something_happens() {
    let bench = Bench::new();
    let path = bench.path("home/log/statistic.sts");
    switch(&bench, true).unwrap();
    bench.engine.statlog_look();
    assert_eq!(logins(&path), [0]);
    log_in(&bench);
    bench.engine.statlog_look();
    assert_eq!(logins(&path), [0], "it is not time yet");
    bench.clock.pass(Duration::from_secs(300));
    bench.engine.statlog_look();
    assert_eq!(logins(&path), [0, 1]);
    for _ in 0..3 {
        bench.clock.pass(Duration::from_secs(300));
        bench.engine.statlog_look();
    }
    assert_eq!(logins(&path), [0, 1], "nothing has happened");
    log_in(&bench);
    switch(&bench, false).unwrap();
    assert_eq!(logins(&path), [0, 1, 2], "the end is written");
}

#[test]
fn it_begins_and_ends_once_and_says_how_it_stands() {
    let bench = Bench::new();
    let stopped = status(&bench);
    assert!(!stopped.running && stopped.file.ends_with("/log/statistic.sts"), "{stopped:?}");
    assert_eq!((stopped.limit, stopped.interval_minutes, stopped.keeps_old), (10_485_760, 5, true));
    assert_eq!(switch(&bench, false).unwrap_err().code, Code::InvalidParameterWasSupplied);
    switch(&bench, true).unwrap();
    let refused = switch(&bench, true).unwrap_err();
    assert!(refused.message.contains("logged already, to"), "{refused}");
    assert!(status(&bench).running);
    switch(&bench, false).unwrap();
    assert!(!status(&bench).running);
    assert!(bench.log().contains("Statistics are logged to"));
}

/// SaveStatFile, StatsLoggingOn: the last run's file is kept when the next one begins with the engine.
#[test]
fn it_begins_with_the_engine_where_it_is_set_and_keeps_the_old_file() {
    let bench = Bench::new();
    bench.set_option("StatsLoggingOn", "1");
    assert!(!status(&bench).running, "it takes effect at the next start");
    let bench = bench.again();
    assert!(status(&bench).running);
    log_in(&bench);
    let bench = bench.again();
    let old = bench.path("home/log/statistic-old.sts");
    assert_eq!(logins(&old).last(), Some(&1));
}

#[test]
fn a_file_that_is_no_statistics_file_is_not_touched() {
    let bench = Bench::new();
    std::fs::write(bench.path("home/log/statistic.sts"), "a table").unwrap();
    assert_eq!(switch(&bench, true).unwrap_err().code, Code::InvalidStatisticsFile);
    assert!(!status(&bench).running);
    assert_eq!(std::fs::read(bench.path("home/log/statistic.sts")).unwrap(), b"a table");
}

/// JOB-15: one file has one writer, so the null target adds to what is logged.
#[test]
fn the_null_target_fills_the_file_that_is_logged() {
    let bench = Bench::new();
    switch(&bench, true).unwrap();
    bench.engine.statlog_look();
    let target = ConnectTarget::Tdu { file: None };
    bench.connect(ConnectSpec { target, mirror: Some(MirrorSpec::default()), ..bench.spec() });
    bench.until_jobs(1);
    bench.runner.complete();
    bench.wait(Until::Mirror).unwrap();
    bench.ask(Request::Disconnect { connection: ONE, discard: false }).unwrap();
    assert!(logins(&bench.path("home/log/statistic.sts")).len() >= 3);
    assert!(!bench.path("home/log/statistic-old.sts").exists());
}
