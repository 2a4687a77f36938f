//! The functions that ask a machine: `option`, `status`, `connections`, `repsets`. They act on the current source.

use super::fault::Fault;
use super::functions::string;
use crate::api::{ConnectionId, ConnectionStatus, Reply, Request};
use crate::commands::{self, Session};
use crate::lang::{Function, Value};
use std::sync::Arc;

/// Asks for one of them.
pub(super) fn ask(
    session: &mut Session,
    function: Function,
    arguments: &[Value],
) -> Result<Value, Box<Fault>> {
    let request = match function {
        Function::Option => Request::Get { option: string(function, arguments, 0)?.to_owned() },
        Function::Status => Request::Status { connection: connection(&arguments[0])? },
        Function::Repsets => Request::RepsetList,
        _ => Request::StatusAll,
    };
    match session.inquire(request)? {
        Reply::Setting(setting) => Ok(setting_value(&setting.value)),
        Reply::Connection(status) => Ok(status_map(&status)),
        Reply::Connections(all) => Ok(list(all.iter().map(status_map))),
        Reply::Repsets(sets) => Ok(list(sets.into_iter().map(|set| {
            map([
                ("name", Value::text(set.name)),
                ("connected", set.connected.into()),
                ("saved", set.saved.into()),
            ])
        }))),
        _ => Err(Fault::new("the machine's answer does not fit the question")
            .help("the versions of this program and of the service there differ")),
    }
}

fn connection(value: &Value) -> Result<ConnectionId, Box<Fault>> {
    let number = match value {
        Value::Integer(n) => u32::try_from(*n).ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|n| *n > 0).map(ConnectionId).ok_or_else(|| {
        Fault::new(format!("{value} is no connection"))
            .help("CONNECT returns a connection's number; STATUS lists them")
    })
}

/// A setting as a number if it is written as one.
fn setting_value(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(n) if n.to_string() == text => Value::Integer(n),
        _ => Value::text(text),
    }
}

fn list(items: impl Iterator<Item = Value>) -> Value {
    Value::List(Arc::new(items.collect()))
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(Arc::new(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
}

/// A connection as a map, with the labels of STATUS as keys.
fn status_map(status: &ConnectionStatus) -> Value {
    Value::Map(Arc::new(commands::status_map(status)))
}
