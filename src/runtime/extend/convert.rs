//! Values of the language as Rhai's, and back. Nothing is guessed: what the other side does not have is an error that
//! says where in the value it stands.
//!
//! | DTCL | Rhai |
//! | --- | --- |
//! | integer, string, boolean | integer, string, boolean |
//! | date, time | `date`, `time` (see [`super::dates`]) |
//! | list, map | array, map |
//! | string of one letter | a `char` comes back as one |
//! | nothing of its kind | `()`, a fraction, a blob, a function, a moment: an error |

use crate::lang::Value;
use crate::rhai_host::{Limits, Unfit};
use crate::runtime::fault::Fault;
use rhai::{Array, Dynamic, FLOAT, INT, ImmutableString, Map};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How deep lists and maps may lie in each other.
const DEEPEST: usize = 64;

/// What is over if not a limit that can be set.
const DEEP: &str = "nesting";

/// The arguments of a call. Refused if they are larger than a value of Rhai may be.
pub(super) fn arguments(name: &str, values: &[Value], limits: &Limits) -> Result<Vec<Dynamic>, Box<Fault>> {
    values
        .iter()
        .map(|value| {
            let mut room = Room { bytes: limits.string, items: limits.list, entries: limits.map };
            dynamic(value, &mut room, 0).map_err(|limit| {
                if limit == DEEP {
                    return Fault::new(format!(
                        "an argument of {name} has lists and maps too deep in each other"
                    ))
                    .help(format!("at most {DEEPEST} deep"));
                }
                Fault::new(format!("an argument of {name} is larger than its limit ({limit})"))
                    .help(format!("DTCL --limit {limit}=NUMBER raises it"))
            })
        })
        .collect()
}

/// What is left of the limits.
struct Room {
    bytes: usize,
    items: usize,
    entries: usize,
}

fn take(room: &mut usize, n: usize, limit: &'static str) -> Result<(), &'static str> {
    *room = room.checked_sub(n).ok_or(limit)?;
    Ok(())
}

fn dynamic(value: &Value, room: &mut Room, depth: usize) -> Result<Dynamic, &'static str> {
    if depth > DEEPEST {
        return Err(DEEP);
    }
    Ok(match value {
        Value::Integer(n) => Dynamic::from(*n),
        Value::Boolean(truth) => Dynamic::from(*truth),
        Value::Date(date) => Dynamic::from(*date),
        Value::Time(time) => Dynamic::from(*time),
        Value::String(text) => {
            take(&mut room.bytes, text.len(), "string")?;
            Dynamic::from(ImmutableString::from(&**text))
        }
        Value::List(list) => {
            take(&mut room.items, list.len(), "list")?;
            let items: Result<Array, _> = list.iter().map(|item| dynamic(item, room, depth + 1)).collect();
            Dynamic::from(items?)
        }
        Value::Map(map) => {
            take(&mut room.entries, map.len(), "map")?;
            let mut entries = Map::new();
            for (key, value) in map.iter() {
                entries.insert(key.as_str().into(), dynamic(value, room, depth + 1)?);
            }
            Dynamic::from(entries)
        }
    })
}

/// A value that was made here (an answer of a machine), however large.
pub(super) fn own(value: &Value) -> Dynamic {
    let mut room = Room { bytes: usize::MAX, items: usize::MAX, entries: usize::MAX };
    dynamic(value, &mut room, 0).unwrap_or(Dynamic::UNIT)
}

/// What a function returned.
pub(super) fn value(value: Dynamic) -> Result<Value, Unfit> {
    from(value, &mut String::new(), 0)
}

/// `at` is where in the whole value it stands: `.a[2]`.
fn from(value: Dynamic, at: &mut String, depth: usize) -> Result<Value, Unfit> {
    let value = value.flatten();
    let unfit = |what: &str, help: &str, at: &str| {
        let place = if at.is_empty() { String::new() } else { format!(" at {at}") };
        Err(Unfit { message: format!("{what}{place}"), help: help.to_owned() })
    };
    if depth > DEEPEST {
        return unfit("lists and maps that lie too deep in each other", "at most 64 deep", "");
    }
    if value.is_unit() {
        return unfit("nothing", "the function's last expression, or RETURN, is its value", at);
    }
    if let Some(n) = value.clone().try_cast::<FLOAT>() {
        let help = "numbers are whole in DTCL: x.to_int(), x.round().to_int() or x.to_string()";
        return unfit(&format!("a fraction ({n})"), help, at);
    }
    let kind = value.type_name().to_owned();
    let value = match value.try_cast_result::<INT>() {
        Ok(n) => return Ok(Value::Integer(n)),
        Err(value) => value,
    };
    let value = match value.try_cast_result::<bool>() {
        Ok(truth) => return Ok(Value::Boolean(truth)),
        Err(value) => value,
    };
    let value = match value.try_cast_result::<ImmutableString>() {
        Ok(text) => return Ok(Value::text(text.as_str())),
        Err(value) => value,
    };
    let value = match value.try_cast_result::<char>() {
        Ok(letter) => return Ok(Value::text(letter.to_string())),
        Err(value) => value,
    };
    let value = match value.try_cast_result::<jiff::civil::Date>() {
        Ok(date) => return Ok(Value::Date(date)),
        Err(value) => value,
    };
    let value = match value.try_cast_result::<jiff::civil::Time>() {
        Ok(time) => return Ok(Value::Time(time)),
        Err(value) => value,
    };
    let value = match value.try_cast_result::<Array>() {
        Ok(array) => {
            let mut items = Vec::with_capacity(array.len());
            for (n, item) in array.into_iter().enumerate() {
                let end = at.len();
                at.push_str(&format!("[{n}]"));
                items.push(from(item, at, depth + 1)?);
                at.truncate(end);
            }
            return Ok(Value::List(Arc::new(items)));
        }
        Err(value) => value,
    };
    match value.try_cast_result::<Map>() {
        Ok(map) => {
            let mut entries = BTreeMap::new();
            for (key, item) in map {
                let end = at.len();
                at.push_str(&format!(".{key}"));
                entries.insert(key.to_string(), from(item, at, depth + 1)?);
                at.truncate(end);
            }
            Ok(Value::Map(Arc::new(entries)))
        }
        Err(_) => {
            let short = kind.rsplit("::").next().unwrap_or(&kind);
            unfit(&format!("a value of the type {short}"), "DTCL has none of its kind", at)
        }
    }
}
