//! Handlers against a machine that answers from a script: what they ask, what they show, what they return.

use crate::api::*;
use crate::commands::Mode;
use crate::commands::testing::{Stage, unscripted};

fn status(id: u32) -> ConnectionStatus {
    ConnectionStatus {
        id: ConnectionId(id),
        repset: "payroll".into(),
        target: "10.0.0.9".into(),
        target_address: "10.0.0.9:1500".into(),
        established_ms: 1_439_819_947_473,
        target_data_state: "Mirror Required".into(),
        target_status: "OK".into(),
        transmit: "Started".into(),
        mirror: "Idle".into(),
        replication: "Ready".into(),
        mirror_bytes_transferred: 0,
        mirror_bytes_transmitted: 0,
        mirror_bytes_queued: 0,
        replication_bytes_transferred: 2040,
        replication_bytes_transmitted: 2040,
        replication_bytes_queued: 0,
        mirror_bytes_remaining: None,
        mirror_bytes_skipped: 0,
        files_failed: 0,
        bandwidth_limit: None,
        verification: None,
        last_error: None,
        paths: vec![],
    }
}

fn golden() -> Stage {
    Stage::new(|request, _| match request {
        Request::RepsetList => Ok(Reply::Repsets(vec![
            RepsetLine { name: "payroll".into(), connected: false, saved: true },
            RepsetLine { name: "wages".into(), connected: true, saved: false },
        ])),
        Request::Status { connection: ConnectionId(1) } => Ok(Reply::Connection(Box::new(status(1)))),
        Request::Status { connection: ConnectionId(2) } => {
            Ok(Reply::Connection(Box::new(ConnectionStatus {
                files_failed: 3,
                last_error: Some("/srv/a: Permission denied".into()),
                ..status(2)
            })))
        }
        Request::Status { .. } => Err(ApiError::bare(Code::ConnectionDoesNotExist)),
        Request::StatusAll => Ok(Reply::Connections(vec![status(1), status(2)])),
        _ => unscripted(),
    })
}

/// The time in the zone of whoever runs the test.
fn established() -> String {
    crate::commands::show::moment_ms(1_439_819_947_473)
}

#[test]
fn repset_list_has_the_golden_shape() {
    let mut stage = golden();
    let expected = "- List of rep sets -\n\
                    payroll                                             disabled\n\
                    wages                                               enabled\n";
    assert_eq!(stage.output("repset list"), expected);
    stage.session.set_indent(true);
    let indented: String = expected.lines().map(|line| format!("  {line}\n")).collect();
    assert_eq!(stage.output("repset list"), indented);
}

#[test]
fn status_connection_has_the_golden_shape() {
    let mut stage = golden();
    let time = established();
    assert_eq!(time.len(), "08/17/2015 13:59:07.473".len());
    assert!(time.starts_with("08/17/2015 ") && time.ends_with(".473"), "{time}");
    let ten = format!(
        "- Status for connection 1 -\n\
         Time established:                 {time}\n\
         Replication set:                  payroll\n\
         Target machine:                   10.0.0.9\n\
         Target state:                     Mirror Required\n\
         Mirror bytes transferred:         0\n\
         Mirror bytes transmitted:         0\n\
         Mirror bytes in queue:            0\n\
         Replication bytes transferred:    2040\n\
         Replication bytes transmitted:    2040\n\
         Replication bytes in queue:       0\n"
    );
    assert_eq!(stage.output("status con 1"), ten);
    let more = stage.output("status con 2");
    assert_eq!(more.lines().count(), 13, "{more}");
    assert!(more.ends_with(
        "Files failed:                     3\nLast error:                       /srv/a: Permission denied\n"
    ));
    assert!(stage.output("status connection *").starts_with(&ten));
    assert_eq!(stage.code("status con 3"), 107);
}

#[test]
fn json_is_one_document_per_command() {
    let mut stage = golden();
    stage.session.set_mode(Mode::Json);
    let list = "{\"command\":\"repset list\",\"value\":1,\"rows\":[{\"name\":\"payroll\",\"state\":\"disabled\"},\
                {\"name\":\"wages\",\"state\":\"enabled\"}]}\n";
    assert_eq!(stage.output("repset list"), list);
    let status = stage.output("status con 1");
    let start = format!(
        "{{\"command\":\"status connection\",\"value\":1,\"time_established\":\"{}\",\"replication_set\":\"payroll\",",
        established()
    );
    assert!(status.starts_with(&start), "{status}");
    assert!(status.ends_with("\"replication_bytes_transferred\":2040,\"replication_bytes_transmitted\":2040,\"replication_bytes_in_queue\":0}\n"), "{status}");
    assert_eq!(stage.code("status con 3"), 107);
    assert_eq!(
        stage.ui.take_output(),
        "{\"command\":\"status connection\",\"value\":-107,\"code\":-107,\
         \"message\":\"Connection does not exist\",\"help\":null}\n"
    );
}

#[test]
fn csv_has_a_heading() {
    let mut stage = golden();
    stage.session.set_mode(Mode::Csv);
    assert_eq!(stage.output("repset list"), "name,state\npayroll,disabled\nwages,enabled\n");
    assert!(stage.output("status con *").starts_with("time_established,replication_set,target_machine,"));
}

#[test]
fn the_table_of_all_connections() {
    let mut stage = golden();
    let expected = "- Connections -\n\
        ID  Replication set  Target machine  Transmit  Mirror  Replication  Target state     Queued  Sent\n\
        1   payroll          10.0.0.9        Started   Idle    Ready        Mirror Required  0       2040\n\
        2   payroll          10.0.0.9        Started   Idle    Ready        Mirror Required  0       2040\n";
    assert_eq!(stage.output("status"), expected);
    stage.ui.set_width(Some(80));
    for line in stage.output("status").lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn rules_are_recursive_unless_said_otherwise() {
    let mut stage = Stage::obedient();
    stage.output("repset rule add /srv include to payroll");
    stage.output("repset rule add \"/srv/*.tmp\" exc, nonrec to payroll");
    let rule = |path: &str, include, recursive| Request::RuleAdd {
        repset: "payroll".into(),
        rule: Rule { path: path.into(), include, recursive },
    };
    assert_eq!(stage.asked(), [rule("/srv", true, true), rule("/srv/*.tmp", false, false)]);
}

fn connected() -> Stage {
    Stage::new(|request, _| match request {
        Request::Connect(_) => Ok(Reply::Connected(ConnectionId(7))),
        _ => unscripted(),
    })
}

fn spec(text: &str) -> ConnectSpec {
    let mut stage = connected();
    assert_eq!(stage.run(text), Ok(7), "the value is the connection ID");
    assert_eq!(stage.ui.output(), "", "what only changes something prints nothing");
    match stage.asked().pop() {
        Some(Request::Connect(spec)) => spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn connect_takes_every_flag() {
    let plain = spec("connect payroll to beta");
    assert_eq!(plain.map, MapSpec::Default);
    assert_eq!(plain.mirror, Some(MirrorSpec::default()), "a full mirror");
    assert_eq!((plain.replicate, plain.calculate, plain.orphans), (None, None, None));

    let pairs = spec(
        "connect payroll to beta map /a to /x, /b to /y nomirror noreplicate orphans route 192.0.2.7:1500",
    );
    let wanted = [("/a", "/x"), ("/b", "/y")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(pairs.map, MapSpec::Pairs(wanted.to_vec()));
    assert_eq!((pairs.mirror, pairs.replicate, pairs.orphans), (None, Some(false), Some(true)));
    assert_eq!(pairs.route.as_deref(), Some("192.0.2.7:1500"));

    let base = spec("connect payroll to beta mirror checksum compress 3 map base /copy calculate");
    assert_eq!(base.map, MapSpec::Base("/copy".into()));
    let mirror = base.mirror.unwrap();
    assert_eq!((mirror.kind, mirror.checksum, mirror.calculate), (MirrorKind::Different, true, true));
    assert_eq!(base.compress.as_deref(), Some("3"));
    assert_eq!(spec("connect payroll to beta map exact").map, MapSpec::Exact);

    let tdu = |file: Option<&str>| ConnectTarget::Tdu { file: file.map(str::to_owned) };
    assert_eq!(spec("connect payroll to tdu").target, tdu(None));
    assert_eq!(spec("connect payroll to tdu \"a.sts\"").target, tdu(Some("a.sts")));
    assert_eq!(spec("connect payroll to \"tdu\"").target, ConnectTarget::Machine("tdu".into()));
}

#[test]
fn mirror_flags_choose_the_kind() {
    let kind = |text: &str| {
        let mut stage = Stage::obedient();
        stage.output(text);
        match stage.asked().pop() {
            Some(Request::MirrorStart { mirror, .. }) => mirror.kind,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kind("mirror start 1"), MirrorKind::Full);
    assert_eq!(kind("mirror start 1 newer"), MirrorKind::Different);
    assert_eq!(kind("mirror start 1 full checksum"), MirrorKind::Full);
    assert_eq!(kind("mirror start 1 different"), MirrorKind::Different);
}

fn dry() -> Stage {
    Stage::new(|request, watch| match request {
        Request::Connect(_) | Request::MirrorStart { .. } => {
            let lines = [("/srv/a", MirrorReason::Missing, 5), ("/srv/b c", MirrorReason::Time, 1_000_000)];
            for (path, reason, bytes) in lines {
                watch.event(Event::WouldSend { path: path.into(), reason, bytes });
            }
            Ok(Reply::DryRun { files: 2, bytes: 1_000_005 })
        }
        _ => unscripted(),
    })
}

#[test]
fn a_dry_run_names_each_file_with_its_reason() {
    let expected = "- What the mirror would send -\n\
                    missing on target           5               /srv/a\n\
                    different time              1000000         /srv/b c\n\
                    Files:                            2\n\
                    Bytes:                            1000005\n";
    assert_eq!(dry().output("mirror start 1 different dryrun"), expected);
    assert_eq!(dry().output("connect payroll to beta dryrun"), expected);
    let mut stage = dry();
    stage.session.set_mode(Mode::Json);
    assert_eq!(
        stage.output("mirror start 1 dryrun"),
        "{\"command\":\"mirror start\",\"value\":1,\"rows\":[{\"reason\":\"missing on target\",\"bytes\":5,\
         \"path\":\"/srv/a\"},{\"reason\":\"different time\",\"bytes\":1000000,\"path\":\"/srv/b c\"}],\
         \"files\":2,\"bytes\":1000005}\n"
    );
}

#[test]
fn a_star_means_all_connections_and_the_first_failure_is_the_value() {
    let mut stage = Stage::new(|request, _| match request {
        Request::StatusAll => Ok(Reply::Connections(vec![status(1), status(2), status(3)])),
        Request::MirrorStop { connection: ConnectionId(1) } => Ok(Reply::Done),
        Request::MirrorStop { .. } => Err(ApiError::bare(Code::MirrorIsNotRunning)),
        Request::Wait { connection: ConnectionId(2), .. } => Ok(Reply::TimedOut),
        Request::Wait { .. } => Ok(Reply::Done),
        _ => unscripted(),
    });
    let error = stage.run("mirror stop *").unwrap_err();
    assert_eq!(error.code, Code::MirrorIsNotRunning);
    assert_eq!(error.message, "connection 2: Mirror is not running");
    assert_eq!(stage.ui.take_messages(), "connection 3: Mirror is not running\n");
    let stops =
        stage.asked().into_iter().filter(|request| matches!(request, Request::MirrorStop { .. })).count();
    assert_eq!(stops, 3);
    assert_eq!(stage.run("waitonmirror * timeout = 1 hours"), Ok(0));
    let none = Stage::new(|request, _| match request {
        Request::StatusAll => Ok(Reply::Connections(vec![])),
        _ => unscripted(),
    });
    assert_eq!({ none }.run("mirror stop *"), Ok(1));
}

#[test]
fn waits_pass_their_time_and_return_0_when_it_ran_out() {
    let mut stage = Stage::new(|request, _| match request {
        Request::Wait { .. } => Ok(Reply::TimedOut),
        _ => unscripted(),
    });
    assert_eq!(stage.run("waitontarget 1 timeout = 2 minutes"), Ok(0));
    assert_eq!(stage.run("waitonqueue 1"), Ok(0));
    let asked = stage.asked();
    let Request::Wait { until: Until::Target, timeout_ms: Some(ms), .. } = asked[0] else {
        panic!("{asked:?}")
    };
    assert!((100_000..=120_000).contains(&ms), "{ms}");
    assert!(matches!(asked[1], Request::Wait { until: Until::Queue, timeout_ms: None, .. }), "{asked:?}");
    assert_eq!(stage.code("waitonrestore 1"), 161);
}

#[test]
fn a_barrier_is_a_wait_of_its_own() {
    let mut stage = Stage::new(|request, _| match request {
        Request::StatusAll => Ok(Reply::Connections(vec![status(1), status(2)])),
        Request::Barrier { connection: ConnectionId(2), .. } => Ok(Reply::TimedOut),
        Request::Barrier { .. } => Ok(Reply::Done),
        _ => unscripted(),
    });
    assert_eq!(stage.run("barrier 1"), Ok(1));
    assert_eq!(stage.run("barrier * timeout = 30"), Ok(0));
    let asked: Vec<_> = stage
        .asked()
        .into_iter()
        .filter_map(|request| match request {
            Request::Barrier { connection, timeout_ms } => Some((connection.0, timeout_ms.is_some())),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [(1, false), (1, true), (2, true)]);
}

#[test]
fn replication_is_started_and_stopped() {
    let mut stage = Stage::new(|request, _| match request {
        Request::ReplicationStart { .. } => Ok(Reply::Done),
        Request::ReplicationStop { .. } => Err(ApiError::bare(Code::ConnectionIsNotReplicating)),
        _ => unscripted(),
    });
    assert_eq!(stage.run("replication start 1"), Ok(1));
    assert_eq!(stage.code("replication stop 1"), 126);
}

/// A hold is seen where one looks first.
#[test]
fn status_says_what_waits_for_a_person() {
    let mut stage = Stage::new(|request, _| match request {
        Request::StatusAll => {
            let held = ConnectionStatus {
                replication: "Pending".into(),
                last_error: Some("replication is held: /srv is gone".into()),
                ..status(2)
            };
            Ok(Reply::Connections(vec![status(1), held]))
        }
        _ => unscripted(),
    });
    let shown = stage.output("status");
    let last = shown.lines().last().unwrap_or_default();
    assert_eq!(last, "Connection 2:                     replication is held: /srv is gone", "{shown}");
}

#[test]
fn progress_goes_to_the_person_and_is_cleared() {
    let progress = Progress {
        phase: Phase::Mirroring,
        files_done: 1,
        bytes_done: 2,
        files_total: None,
        bytes_total: None,
        errors: 0,
        path: String::new(),
    };
    let sent = progress.clone();
    let mut stage = Stage::new(move |request, watch| match request {
        Request::Wait { .. } => {
            watch.event(Event::Progress(sent.clone()));
            watch.event(Event::Notice("a file was skipped".into()));
            Ok(Reply::Done)
        }
        _ => unscripted(),
    });
    assert_eq!(stage.output("waitonmirror 1"), "");
    assert_eq!(stage.ui.progress_seen(), [Some(progress), None]);
    assert_eq!(stage.ui.messages(), "a file was skipped\n");
}

fn login(access: Access) -> Stage {
    Stage::new(move |request, _| match request {
        Request::Login { .. } => Ok(Reply::Access(access)),
        Request::RepsetList => Ok(Reply::Repsets(vec![])),
        _ => unscripted(),
    })
}

#[test]
fn login_prints_and_returns_the_access() {
    let mut stage = login(Access::Full);
    assert_eq!(stage.run("login localhost admin secret"), Ok(2));
    assert_eq!(stage.ui.take_output(), "User access level set to DT_FULL_ACCESS\n");
    let mut stage = login(Access::None);
    stage.ui.answer_password("wrong");
    assert_eq!(stage.run("logon localhost admin"), Ok(0));
    assert_eq!(stage.ui.take_output(), "User access level set to DT_NO_ACCESS\n");
    assert_eq!(stage.ui.questions(), ["Password of admin on localhost: "]);
    assert_eq!(stage.code("repset list"), 138);
}

#[test]
fn passwords_stay_out_of_sight() {
    let mut stage = login(Access::Full);
    assert_eq!(stage.run(&format!("login localhost u p {}", "x".repeat(100))), Ok(2));
    stage.session.set_exposed(true);
    let error = stage.run("login localhost u p").unwrap_err();
    assert!(error.help.unwrap().contains("DTCL_PASSWORD_FILE"));
}

#[test]
fn monitor_access_may_look_but_not_change() {
    let mut stage = login(Access::Monitor);
    assert_eq!(stage.output("repset list"), "- List of rep sets -\n");
    assert_eq!(stage.code("repset create payroll"), 138);
    assert_eq!(stage.asked(), [Request::RepsetList], "the machine was not even asked");
}

#[test]
fn logout_lasts_until_the_next_login() {
    let mut stage = Stage::new(|request, _| match request {
        Request::Logout => Ok(Reply::Done),
        Request::RepsetList => Ok(Reply::Repsets(vec![])),
        _ => unscripted(),
    });
    assert_eq!(stage.run("repset list"), Ok(1));
    assert_eq!(stage.run("logout *"), Ok(1));
    assert_eq!(stage.code("repset list"), 138);
    assert_eq!(stage.run("login localhost u p"), Ok(2));
    assert_eq!(stage.run("repset list"), Ok(1));
}

#[test]
fn source_and_target_are_looked_up_at_once() {
    let mut stage = Stage::obedient();
    assert_eq!(stage.code("source gamma"), 109);
    assert_eq!(stage.session.source(), "");
    assert_eq!(stage.run("source beta"), Ok(1));
    assert_eq!(stage.session.source(), "beta");
    assert_eq!(stage.code("status target"), 131);
    assert_eq!(stage.code("repset list on gamma"), 109);
}

#[test]
fn ping_needs_no_login_and_is_silent() {
    let mut stage = login(Access::None);
    assert_eq!(stage.code("ping nowhere"), 109);
    let mut stage = Stage::obedient();
    assert_eq!(stage.output("ping localhost"), "");
    assert_eq!(stage.asked(), [Request::Ping]);
}

#[test]
fn disconnect_asks_on_a_terminal_only() {
    let mut stage = Stage::obedient();
    assert_eq!(stage.run("disconnect 1"), Ok(1));
    assert!(stage.ui.questions().is_empty());
    stage.ui.set_interactive(true);
    stage.ui.answer(false);
    assert_eq!(stage.code("disconnect 1 discard"), 1);
    assert_eq!(stage.ui.questions(), ["Disconnect connection 1 and drop what is queued?"]);
    stage.ui.answer(true);
    assert_eq!(stage.run("disconnect 1 discard"), Ok(1));
    let drop = |discard| Request::Disconnect { connection: ConnectionId(1), discard };
    assert_eq!(stage.asked(), [drop(false), drop(true)]);
    assert_eq!(stage.code("disconnect 1 stopmonitor"), 161);
}

#[test]
fn options_are_printed_as_assignments() {
    let setting = |restart, inert: Option<&str>| SettingValue {
        name: "ChecksumAll".into(),
        value: "0".into(),
        restart,
        inert: inert.map(str::to_owned),
    };
    let mut stage = Stage::new(move |request, _| match request {
        Request::Get { .. } | Request::GetDefault { .. } => Ok(Reply::Setting(setting(false, None))),
        Request::Set { value, .. } if value == "1" => Ok(Reply::Setting(setting(true, None))),
        Request::Set { .. } => Ok(Reply::Setting(setting(false, Some("nothing listens yet")))),
        _ => unscripted(),
    });
    assert_eq!(stage.output("get checksumall"), "ChecksumAll = 0\n");
    assert_eq!(stage.run("get checksumall"), Ok(1));
    assert_eq!(stage.ui.take_output(), "ChecksumAll = 0\n");
    assert_eq!(stage.output("set ChecksumAll = 1"), "");
    assert_eq!(stage.output("set ChecksumAll=0"), "");
    assert_eq!(
        stage.ui.messages(),
        "ChecksumAll takes effect after a restart of the service\n\
         ChecksumAll: nothing listens yet\n"
    );
    stage.session.set_mode(Mode::Json);
    assert_eq!(
        stage.output("get ChecksumAll"),
        "{\"command\":\"get\",\"value\":1,\"option\":\"ChecksumAll\",\"setting\":\"0\"}\n"
    );
}

#[test]
fn sets_are_exported_to_new_files_and_imported_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.set");
    let mut stage = Stage::new(|request, _| match request {
        Request::RepsetExport { .. } => Ok(Reply::Text("/srv inc, rec\n".into())),
        Request::RepsetImport { .. } => Ok(Reply::Name("wages".into())),
        _ => unscripted(),
    });
    let export = format!("repset export payroll to \"{}\"", file.display());
    assert_eq!(stage.output(&export), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "/srv inc, rec\n");
    assert_eq!(stage.code(&export), 225, "an existing file is not overwritten");
    stage.asked();
    stage.output(&format!("repset import \"{}\" as wages", file.display()));
    let import = Request::RepsetImport { text: "/srv inc, rec\n".into(), name: Some("wages".into()) };
    assert_eq!(stage.asked(), [import]);
    assert_eq!(stage.code("repset import \"/nowhere/at/all\""), 225);
}

#[test]
fn saving_warns_of_connected_sets() {
    let mut stage = Stage::new(|request, _| match request {
        Request::RepsetSave { repset: None } => Ok(Reply::Saved(Saved {
            saved: vec!["payroll".into()],
            connected: vec!["payroll".into()],
            warnings: vec!["/srv/old is covered by /srv".into()],
        })),
        _ => unscripted(),
    });
    assert_eq!(stage.output("repset save"), "");
    assert_eq!(
        stage.ui.messages(),
        "warning: /srv/old is covered by /srv\n\
         warning: payroll is connected: run MIRROR START <con_id> DIFFERENT to bring its target up to date\n"
    );
}

#[test]
fn a_set_is_displayed_whole() {
    let rule = |path: &str| Rule { path: path.into(), include: true, recursive: true };
    let detail = RepsetDetail {
        name: "payroll".into(),
        rules: vec![rule("/srv"), rule("/srv/old")],
        discarded: vec![None, Some("/srv covers it".into())],
        generation: 4,
        saved: true,
        size: None,
        connections: vec![],
    };
    let mut stage = Stage::new(move |request, _| match request {
        Request::RepsetDisplay { .. } => Ok(Reply::Repset(Box::new(detail.clone()))),
        Request::RuleList { .. } => Ok(Reply::Rules(detail.rules.clone())),
        _ => unscripted(),
    });
    assert_eq!(
        stage.output("repset display payroll"),
        "- Replication set payroll -\n\
         Rules:                            /srv inc, rec\n\
         \u{20}                                 /srv/old inc, rec (without effect: /srv covers it)\n\
         Generation:                       4\n\
         State:                            saved\n\
         Connections:                      none\n\
         Size:                             not calculated\n"
    );
    assert_eq!(
        stage.output("repset rule list payroll"),
        "- Rules of payroll -\n/srv inc, rec\n/srv/old inc, rec\n"
    );
}

#[test]
fn directories_of_the_source_are_browsed() {
    let mut stage = Stage::new(|request, _| match request {
        Request::Directory { path } if path == "/srv/data" || path == "/srv" => {
            Ok(Reply::Directory(vec![DirectoryEntry {
                name: "a b".into(),
                kind: '-',
                size: 12,
                modified: 0,
            }]))
        }
        Request::Directory { .. } => Err(ApiError::bare(Code::InvalidPath)),
        Request::RuleAdd { .. } => Ok(Reply::Done),
        _ => unscripted(),
    });
    assert_eq!(stage.output("pwd"), "/\n");
    assert_eq!(stage.code("chdir /nowhere"), 225);
    assert_eq!(stage.output("chdir srv"), "");
    assert_eq!(stage.output("chdir ./data/../data"), "");
    assert_eq!(stage.output("pwd"), "/srv/data\n");
    let listing = stage.output("dir ..");
    assert!(listing.starts_with("- Directory of /srv -\nKind  Bytes  Modified"), "{listing}");
    assert!(listing.lines().last().unwrap().ends_with("a b"), "{listing}");
    stage.asked();
    stage.output("repset rule add sub inc to payroll");
    let [Request::RuleAdd { rule, .. }] = &stage.asked()[..] else { panic!() };
    assert_eq!(rule.path, "/srv/data/sub");
}

#[test]
fn spool_keeps_what_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    let mut stage = golden();
    stage.output(&format!("spool \"{}\"", file.display()));
    let printed = stage.output("repset list");
    stage.output("spool off");
    stage.output("repset list");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), printed);
}

#[test]
fn timing_tells_how_long_it_took() {
    let mut stage = golden();
    stage.output("timing on");
    stage.ui.take_messages();
    stage.output("repset list");
    let message = stage.ui.take_messages();
    assert!(message.starts_with("Elapsed: 0.") && message.ends_with(" s\n"), "{message}");
    stage.output("timing off");
    stage.ui.take_messages();
    stage.output("repset list");
    assert_eq!(stage.ui.take_messages(), "");
}

#[test]
fn history_lists_what_was_remembered() {
    let mut stage = Stage::obedient();
    stage.session.remember("repset list\n");
    stage.session.remember("history");
    assert_eq!(stage.output("history"), "1     repset list\n2     history\n");
}

#[test]
fn what_a_session_loses_is_named_once() {
    let warning = "warning: replication set wages has unsaved changes\n";
    let mut stage = golden();
    stage.session.close(std::time::Duration::ZERO);
    assert!(stage.asked().is_empty(), "nothing was used, nothing is asked");

    let mut stage = golden();
    stage.output("repset list");
    stage.session.close(std::time::Duration::ZERO);
    assert_eq!(stage.ui.messages(), warning);

    let mut stage = golden();
    stage.output("repset list");
    let losses = stage.session.losses();
    assert_eq!(losses[0], "replication set wages has unsaved changes");
    assert_eq!(losses[1], "connection 1 (payroll to 10.0.0.9) ends with this shell");
    stage.session.close(std::time::Duration::ZERO);
    assert_eq!(stage.ui.messages(), "");
}

#[test]
fn orphans_and_scheduled_verifications_are_asked_for_as_typed() {
    let mut stage = Stage::obedient();
    for line in [
        "orphans preview 1",
        "orphans start 1",
        "orphans pause 1",
        "orphans resume 1",
        "orphans stop 1",
        "schedule verify 1 starttime = 11/30/26 22:30 every 2 hours checksum",
        "schedule verify 1 starttime = now remirror newer",
        "schedule verify 1 clear",
    ] {
        stage.run(line).unwrap();
    }
    let connection = ConnectionId(1);
    let orphans = |preview| Request::Orphans { connection, orphans: OrphanSpec { preview } };
    let verify = |time: Option<&str>, every, verify| {
        let schedule = VerifyScheduleSpec { time: time.map(str::to_owned), every, verify };
        Request::ScheduleVerify { connection, schedule: Some(schedule) }
    };
    let asked = stage.asked();
    assert_eq!(
        asked,
        [
            orphans(true),
            orphans(false),
            Request::OrphansPause { connection },
            Request::OrphansResume { connection },
            Request::OrphansStop { connection },
            verify(
                Some("2026-11-30T22:30:00"),
                Some((2, TimeUnit::Hours)),
                VerifySpec { checksum: true, ..VerifySpec::default() }
            ),
            verify(None, None, VerifySpec { remirror: true, newer: true, ..VerifySpec::default() }),
            Request::ScheduleVerify { connection, schedule: None },
        ]
    );
}

#[test]
fn later_commands_say_so() {
    let mut stage = Stage::obedient();
    let error = stage.run("script list 1").unwrap_err();
    assert_eq!(error.code, Code::OperationOrCommandIsNotSupported);
    assert_eq!(error.message, "SCRIPT LIST is not yet available in this version");
    assert!(stage.asked().is_empty());
}

#[test]
fn conid_gives_the_number() {
    let mut stage = Stage::new(|request, _| match request {
        Request::ConnectionIdOf { target: None, .. } => Ok(Reply::Connected(ConnectionId(4))),
        Request::ConnectionIdOf { .. } => Err(ApiError::bare(Code::ConnectionDoesNotExist)),
        _ => unscripted(),
    });
    assert_eq!(stage.run("conid payroll"), Ok(4));
    assert_eq!(stage.ui.take_output(), "");
    stage.ui.set_interactive(true);
    assert_eq!(stage.output("conid payroll"), "Connection ID:                    4\n");
    assert_eq!(stage.code("conid payroll to beta"), 107);
}

#[test]
fn help_asks_the_machine_for_options_last() {
    let mut stage = Stage::new(|request, _| match request {
        Request::Options { .. } => Ok(Reply::Settings(vec![SettingRow {
            name: "ChecksumAll".into(),
            value: "1".into(),
            default: "1".into(),
            unit: "-".into(),
            range: "0 to 1".into(),
            restart: "no".into(),
            meaning: "Compare by checksums".into(),
        }])),
        _ => unscripted(),
    });
    assert!(stage.output("help mirror start").starts_with("MIRROR START"));
    assert!(stage.asked().is_empty());
    assert!(stage.output("help checksumall").starts_with("ChecksumAll\n\nCompare by checksums.\n"));
    assert_eq!(stage.code("help banana"), 101);
}

#[test]
fn a_status_map_has_the_labels_of_status_as_keys() {
    use crate::lang::Value;
    let map = crate::commands::status_map(&status(1));
    assert_eq!(map["target_state"], Value::String("Mirror Required".into()));
    assert_eq!(map["replication_bytes_transferred"], Value::Integer(2040));
    assert_eq!(map["id"], Value::Integer(1));
    assert!(!map.contains_key("mirror_bytes_remaining"));
    let mut stage = golden();
    stage.session.set_mode(Mode::Json);
    for label in ["time_established", "replication_set", "mirror_bytes_in_queue"] {
        assert!(
            stage.output("status con 1").contains(&format!("\"{label}\":")) && map.contains_key(label),
            "{label}"
        );
    }
}
