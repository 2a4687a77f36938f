//! Tests of the interpreter as a whole: script in; output, messages and status out.

mod checking;
mod commands;
mod control;
mod errors;
mod files;
mod modules;
mod shell;
mod values;

use super::Interpreter;
use crate::api::{Access, ApiError, Code, ConnectionId, Reply, Request, SettingValue, Watch};
use crate::commands::Session;
use crate::commands::ui::Recorder;
use crate::machine::{Connector, Machine};
use std::sync::Arc;
use std::time::Duration;

/// What a script did.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    status: i32,
    output: String,
    messages: String,
}

/// A machine that answers a few things.
struct Small;

impl Machine for Small {
    fn name(&self) -> &str {
        "localhost"
    }

    fn call(&self, request: Request, _: &mut dyn Watch) -> Result<Reply, ApiError> {
        match request {
            Request::Login { user, .. } if user == "nobody" => Ok(Reply::Access(Access::None)),
            Request::Login { .. } => Ok(Reply::Access(Access::Full)),
            Request::Ping | Request::Logout | Request::RepsetCreate { .. } => Ok(Reply::Done),
            Request::Connect(_) => Ok(Reply::Connected(ConnectionId(7))),
            Request::Wait { .. } => Ok(Reply::TimedOut),
            Request::Get { option } => Ok(Reply::Setting(SettingValue {
                name: option,
                value: "1500".into(),
                restart: false,
                inert: None,
            })),
            _ => Err(ApiError::bare(Code::ConnectionDoesNotExist)),
        }
    }

    fn close(&self, _: Duration) -> Vec<String> {
        Vec::new()
    }
}

struct One;

impl Connector for One {
    fn local(&self) -> String {
        "here".into()
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Machine>, ApiError> {
        match name {
            "localhost" | "here" => Ok(Arc::new(Small)),
            "mute" => Err(ApiError::bare(Code::ServerIsNotResponding)),
            _ => Err(ApiError::bare(Code::ServerDoesNotExistOrCouldNotBeLocated)),
        }
    }
}

fn interpreter() -> (Interpreter, Recorder) {
    let ui = Recorder::new();
    let session = Session::new(Arc::new(One), Box::new(ui.clone()));
    (Interpreter::new(session), ui)
}

fn run_with(name: &str, script: &str, arguments: &[&str]) -> Ran {
    let (mut interpreter, ui) = interpreter();
    let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
    let status = interpreter.run_script(name, script.as_bytes(), arguments);
    Ran { status, output: ui.output(), messages: ui.messages() }
}

fn run(script: &str) -> Ran {
    run_with("a.dtcl", script, &[])
}

/// The output of a script that must end well.
fn output(script: &str) -> String {
    let ran = run(script);
    assert_eq!((ran.status, ran.messages.as_str()), (0, ""), "{script}\n{ran:?}");
    ran.output
}

/// Status and the first line of the messages.
fn failed(script: &str) -> (i32, String) {
    let ran = run(script);
    (ran.status, ran.messages.lines().next().unwrap_or_default().to_owned())
}
