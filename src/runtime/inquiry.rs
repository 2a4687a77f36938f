//! The functions that ask a machine: `option`, `status`, `connections`, `repsets`. They act on the current source.

use super::Interpreter;
use super::fault::Fault;
use super::functions::string;
use crate::api::{ConnectionId, ConnectionStatus, Reply, Request};
use crate::lang::{Function, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Interpreter {
    pub(super) fn inquire(&mut self, function: Function, arguments: &[Value]) -> Result<Value, Box<Fault>> {
        let request = match function {
            Function::Option => Request::Get { option: string(function, arguments, 0)?.to_owned() },
            Function::Status => Request::Status { connection: connection(&arguments[0])? },
            Function::Repsets => Request::RepsetList,
            _ => Request::StatusAll,
        };
        match self.session.inquire(request)? {
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

fn size(n: u64) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// A connection as a map: the labels of STATUS in lower case with `_` for blanks, and what `STATUS` lists besides.
fn status_map(status: &ConnectionStatus) -> Value {
    let text = |text: &str| Value::text(text);
    let mut map: BTreeMap<String, Value> = [
        ("id", size(status.id.0.into())),
        ("time_established", text(&established(status.established_ms))),
        ("replication_set", text(&status.repset)),
        ("target_machine", text(&status.target)),
        ("target_address", text(&status.target_address)),
        ("target_state", text(&status.target_data_state)),
        ("target_status", text(&status.target_status)),
        ("transmit", text(&status.transmit)),
        ("mirror", text(&status.mirror)),
        ("replication", text(&status.replication)),
        ("mirror_bytes_transferred", size(status.mirror_bytes_transferred)),
        ("mirror_bytes_transmitted", size(status.mirror_bytes_transmitted)),
        ("mirror_bytes_in_queue", size(status.mirror_bytes_queued)),
        ("mirror_bytes_skipped", size(status.mirror_bytes_skipped)),
        ("replication_bytes_transferred", size(status.replication_bytes_transferred)),
        ("replication_bytes_transmitted", size(status.replication_bytes_transmitted)),
        ("replication_bytes_in_queue", size(status.replication_bytes_queued)),
        ("files_failed", size(status.files_failed)),
        ("last_error", text(status.last_error.as_deref().unwrap_or_default())),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    // Known after a calculation only.
    if let Some(left) = status.mirror_bytes_remaining {
        map.insert("mirror_bytes_remaining".into(), size(left));
    }
    Value::Map(Arc::new(map))
}

/// As STATUS prints it.
fn established(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|time| time.to_zoned(jiff::tz::TimeZone::system()).strftime("%m/%d/%Y %H:%M:%S.%3f").to_string())
        .unwrap_or_default()
}
