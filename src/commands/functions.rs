//! What the language's functions `status`, `connections`, `repsets` and `option` ask of the current source.

use super::render::key;
use super::session::{Session, unexpected};
use super::show;
use crate::api::{Access, ApiError, Code, ConnectionId, ConnectionStatus, Reply, Request};
use crate::lang::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `status(con)`: a map; its keys are the labels of STATUS in lower case with `_` for blanks, and `id`.
pub fn status(session: &mut Session, connection: i64) -> Result<Value, ApiError> {
    let id = u32::try_from(connection).ok().filter(|&id| id > 0).map(ConnectionId).ok_or_else(|| {
        ApiError::new(Code::InvalidParameterWasSupplied, format!("{connection} is not a connection ID"))
            .help("connections() lists them")
    })?;
    match ask(session, Request::Status { connection: id })? {
        Reply::Connection(status) => Ok(map(&status)),
        _ => Err(unexpected()),
    }
}

/// `connections()`: a list of such maps.
pub fn connections(session: &mut Session) -> Result<Value, ApiError> {
    match ask(session, Request::StatusAll)? {
        Reply::Connections(all) => Ok(Value::List(Arc::new(all.iter().map(map).collect()))),
        _ => Err(unexpected()),
    }
}

/// `repsets()`: a list of maps with `name`, `state` (`enabled` or `disabled`, as REPSET LIST prints it) and `saved`.
pub fn repsets(session: &mut Session) -> Result<Value, ApiError> {
    let Reply::Repsets(sets) = ask(session, Request::RepsetList)? else { return Err(unexpected()) };
    let list = sets.into_iter().map(|set| {
        let state = if set.connected { "enabled" } else { "disabled" };
        let entries = [
            ("name", Value::String(set.name.into())),
            ("state", Value::String(state.into())),
            ("saved", Value::Boolean(set.saved)),
        ];
        Value::Map(Arc::new(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
    });
    Ok(Value::List(Arc::new(list.collect())))
}

/// `option(name)`: a setting's value, an integer where it is one.
pub fn option(session: &mut Session, name: &str) -> Result<Value, ApiError> {
    let Reply::Setting(setting) = ask(session, Request::Get { option: name.to_owned() })? else {
        return Err(unexpected());
    };
    Ok(match setting.value.parse::<i64>() {
        Ok(number) if number.to_string() == setting.value => Value::Integer(number),
        _ => Value::String(setting.value.into()),
    })
}

fn ask(session: &mut Session, request: Request) -> Result<Reply, ApiError> {
    session.needing(Access::Monitor, |session| {
        let machine = session.source_machine()?;
        session.ask(&machine, request)
    })
}

fn map(status: &ConnectionStatus) -> Value {
    let entries: BTreeMap<String, Value> =
        show::connection_whole(status).into_iter().map(|(label, value)| (key(&label), value)).collect();
    Value::Map(Arc::new(entries))
}
