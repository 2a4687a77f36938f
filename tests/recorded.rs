//! Failures of machines that the embedded engine cannot show: no access, a time that ran out, a machine that does not
//! answer; and the session of language.md section 8, byte for byte. All against a recorded machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dtcl::api::{Access, ApiError, Code, ConnectionId, ConnectionStatus, Reply, RepsetLine, Request, Watch};
use dtcl::commands::{Mode, Session, ui::Recorder};
use dtcl::machine::{Connector, Machine};
use dtcl::runtime::Interpreter;
use dtcl::shell::{self, lines::Plain};
use support::golden;

/// Answers as written down.
struct Recorded {
    access: Access,
}

impl Machine for Recorded {
    fn name(&self) -> &str {
        "alpha"
    }

    fn call(&self, request: Request, _: &mut dyn Watch) -> Result<Reply, ApiError> {
        match request {
            Request::Login { .. } => Ok(Reply::Access(self.access)),
            Request::Wait { .. } => Ok(Reply::TimedOut),
            Request::RepsetList => {
                Ok(Reply::Repsets(vec![RepsetLine { name: "payroll".into(), connected: false, saved: true }]))
            }
            Request::Status { connection } => Ok(Reply::Connection(Box::new(status(connection)))),
            Request::StatusAll => Ok(Reply::Connections(Vec::new())),
            request => panic!("not recorded: {request:?}"),
        }
    }

    fn close(&self, _: Duration) -> Vec<String> {
        Vec::new()
    }
}

/// The connection of section 8.
fn status(id: ConnectionId) -> ConnectionStatus {
    ConnectionStatus {
        id,
        repset: "payroll".into(),
        target: "10.0.0.9".into(),
        target_address: "10.0.0.9:1500".into(),
        established_ms: established_ms(),
        target_data_state: "Mirror Required".into(),
        target_status: "OK".into(),
        transmit: "Started".into(),
        mirror: "Idle".into(),
        replication: "Replicating".into(),
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
        paths: Vec::new(),
    }
}

/// That instant where this test runs: times are shown in the host's own zone.
fn established_ms() -> i64 {
    let local = jiff::civil::datetime(2015, 8, 17, 13, 59, 7, 473_000_000);
    local.to_zoned(jiff::tz::TimeZone::system()).unwrap().timestamp().as_millisecond()
}

/// Names: the own ones lead to the recorded machine, `nowhere` is none, `silent` does not answer.
struct Network {
    access: Access,
}

impl Connector for Network {
    fn local(&self) -> String {
        "alpha".into()
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Machine>, ApiError> {
        match name {
            "nowhere" => Err(ApiError::bare(Code::ServerDoesNotExistOrCouldNotBeLocated)),
            "silent" => Err(ApiError::bare(Code::ServerIsNotResponding)),
            _ => Ok(Arc::new(Recorded { access: self.access })),
        }
    }
}

fn interpreter(access: Access, mode: Mode) -> (Interpreter, Recorder) {
    let screen = Recorder::new();
    let mut session = Session::new(Arc::new(Network { access }), Box::new(screen.clone()));
    session.set_mode(mode);
    (Interpreter::new(session), screen)
}

/// Runs a script in text and in JSON, compares with the golden file, and gives the status.
#[track_caller]
fn golden(name: &str, access: Access, script: &str) -> i32 {
    let mut statuses = Vec::new();
    for (mode, suffix) in [(Mode::Text, ""), (Mode::Json, "-json")] {
        let (mut interpreter, screen) = interpreter(access, mode);
        let status = interpreter.run_script("script.dtcl", script.as_bytes(), Vec::new());
        let report = format!(
            "[script]\n{script}[out]\n{}[err]\n{}[status {status}]\n",
            screen.output(),
            screen.messages()
        );
        golden::check(&format!("cli/{name}{suffix}"), &report);
        statuses.push(status);
    }
    assert_eq!(statuses[0], statuses[1], "text and JSON end alike");
    statuses[0]
}

#[test]
fn a_login_without_access_stops_with_status_3() {
    let status = golden("login-0", Access::None, "login beta nobody wrong\nwrite \"never\"\n");
    assert_eq!(status, 3);
    let status = golden(
        "login-0-assigned",
        Access::None,
        "$r = login beta nobody wrong\nif $r = 0 then write \"no access\" end\n",
    );
    assert_eq!(status, 0);
}

#[test]
fn too_little_access_stops_with_status_3() {
    let status = golden("access-138", Access::Monitor, "repset create payroll\nwrite \"never\"\n");
    assert_eq!(status, 3);
    let status = golden("access-138-assigned", Access::Monitor, "$r = repset create payroll\nwrite $r\n");
    assert_eq!(status, 0);
}

#[test]
fn a_wait_whose_time_ran_out_stops_with_status_5() {
    let status = golden("wait-0", Access::Full, "waitonmirror 1 timeout = 5\nwrite \"never\"\n");
    assert_eq!(status, 5);
    let status = golden(
        "wait-0-assigned",
        Access::Full,
        "$r = waitonmirror 1 timeout = 5\nif $r = 0 then write \"too slow\" end\n",
    );
    assert_eq!(status, 0);
}

#[test]
fn a_machine_that_cannot_be_reached_stops_with_status_4() {
    for (number, name) in [(109, "nowhere"), (110, "silent")] {
        let script = format!("source {name}\nwrite \"never\"\n");
        assert_eq!(golden(&format!("machine-{number}"), Access::Full, &script), 4);
        let script = format!("$r = source {name}\nif $r = -{number} then write \"gone on\" end\n");
        assert_eq!(golden(&format!("machine-{number}-assigned"), Access::Full, &script), 0);
    }
}

#[test]
fn the_session_of_section_8_byte_for_byte() {
    let (interpreter, screen) = interpreter(Access::Full, Mode::Text);
    let interpreter = Rc::new(RefCell::new(interpreter));
    let status = shell::run(&interpreter, &mut Plain::new(&b"repset list\nstatus con 1\n"[..]));
    assert_eq!(screen.messages(), "");
    assert_eq!(
        screen.output(),
        "\
Command:  repset list
  - List of rep sets -
  payroll                                             disabled
Command:  status con 1
  - Status for connection 1 -
  Time established:                 08/17/2015 13:59:07.473
  Replication set:                  payroll
  Target machine:                   10.0.0.9
  Target state:                     Mirror Required
  Mirror bytes transferred:         0
  Mirror bytes transmitted:         0
  Mirror bytes in queue:            0
  Replication bytes transferred:    2040
  Replication bytes transmitted:    2040
  Replication bytes in queue:       0
"
    );
    assert_eq!(status, 0);
}
