//! Values (language.md 3).

use std::collections::BTreeMap;
use std::fmt;
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

/// The types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Integer,
    String,
    Date,
    Time,
    Boolean,
    List,
    Map,
}

impl fmt::Display for Kind {
    /// With its article, as messages need it: `a date`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Integer => "an integer",
            Kind::String => "a string",
            Kind::Date => "a date",
            Kind::Time => "a time",
            Kind::Boolean => "a boolean",
            Kind::List => "a list",
            Kind::Map => "a map",
        })
    }
}

impl Value {
    /// A string value.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Value::String(text.into())
    }

    pub fn kind(&self) -> Kind {
        match self {
            Value::Integer(_) => Kind::Integer,
            Value::String(_) => Kind::String,
            Value::Date(_) => Kind::Date,
            Value::Time(_) => Kind::Time,
            Value::Boolean(_) => Kind::Boolean,
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
        }
    }

    /// A list or map as JSON writes it; dates and times as WRITE prints them.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Integer(n) => (*n).into(),
            Value::Boolean(b) => (*b).into(),
            Value::String(s) => serde_json::Value::String(s.to_string()),
            Value::Date(_) | Value::Time(_) => serde_json::Value::String(self.to_string()),
            Value::List(items) => items.iter().map(Value::to_json).collect(),
            Value::Map(map) => serde_json::Value::Object(
                map.iter().map(|(name, value)| (name.clone(), value.to_json())).collect(),
            ),
        }
    }
}

impl fmt::Display for Value {
    /// As WRITE prints it: dates `mm/dd/yyyy`, times `hh:mm:ss`, lists and maps as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(n) => n.fmt(f),
            Value::String(s) => f.write_str(s),
            Value::Date(d) => write!(f, "{:02}/{:02}/{:04}", d.month(), d.day(), d.year()),
            Value::Time(t) => write!(f, "{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second()),
            Value::Boolean(true) => f.write_str("TRUE"),
            Value::Boolean(false) => f.write_str("FALSE"),
            Value::List(_) | Value::Map(_) => self.to_json().fmt(f),
        }
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value::Integer(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Boolean(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_write_does() {
        let list = Value::List(Arc::new(vec![
            1.into(),
            Value::text("a\"b"),
            true.into(),
            Value::Date(jiff::civil::date(2027, 5, 3)),
        ]));
        assert_eq!(list.to_string(), r#"[1,"a\"b",true,"05/03/2027"]"#);
        assert_eq!(Value::Date(jiff::civil::date(2027, 11, 30)).to_string(), "11/30/2027");
        assert_eq!(Value::Time(jiff::civil::time(9, 5, 0, 0)).to_string(), "09:05:00");
        assert_eq!(Value::from(false).to_string(), "FALSE");
    }
}
