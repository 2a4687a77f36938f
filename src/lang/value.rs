//! Values (language.md 3).

use std::collections::BTreeMap;
use std::sync::Arc;

/// A value of the language.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Integer(i64),
    String(Arc<str>),
    Date(jiff::civil::Date),
    Time(jiff::civil::Time),
    Boolean(bool),
    List(Arc<Vec<Value>>),
    Map(Arc<BTreeMap<String, Value>>),
}
