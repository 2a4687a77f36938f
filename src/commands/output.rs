//! What a command shows, before it is rendered as text, JSON or CSV.

use crate::lang::Value;

/// What a command that succeeded gives back.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Positive: success (D). 0 or negative: a failure that is no error of its own (LOGIN, a wait's time-out).
    pub value: i64,
    /// What it shows; rendered by [`super::Session::show`].
    pub output: Output,
}

impl Outcome {
    /// Success without anything to show.
    pub fn done() -> Self {
        Self { value: 1, output: Output::Nothing }
    }

    /// Nothing to show, this value.
    pub fn value(value: i64) -> Self {
        Self { value, output: Output::Nothing }
    }

    /// Success that shows something.
    pub fn show(output: impl Into<Output>) -> Self {
        Self { value: 1, output: output.into() }
    }

    /// Success that shows text exactly as it is (with its own newline at the end).
    pub fn text(text: impl Into<String>) -> Self {
        Self { value: 1, output: Output::Text(text.into()) }
    }
}

/// What a command shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Nothing,
    /// Label and value in one column.
    Record(Record),
    /// One record after the other.
    Records(Vec<Record>),
    /// Rows under columns.
    Table(Table),
    /// `Option = value`.
    Assignment {
        name: String,
        value: String,
    },
    /// Exactly this text.
    Text(String),
}

/// `- Title -`, then `Label:` and value with the values in one column (language.md 8). In JSON the labels are keys in
/// lower case with `_` for blanks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    pub title: Option<String>,
    pub rows: Vec<(String, Value)>,
}

/// `- Title -`, then rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub title: Option<String>,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
    /// The columns' names stand above them.
    pub heading: bool,
    /// Totals that follow the rows.
    pub summary: Vec<(String, Value)>,
}

/// One column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// Fixed width in columns of a screen, or 0: as wide as its widest cell, and two blanks.
    pub width: usize,
}

impl Record {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), rows: Vec::new() }
    }

    /// Without a title line.
    pub fn plain() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn text(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.rows.push((label.into(), Value::String(value.into().into())));
        self
    }

    /// Several values under one label, one a line.
    #[must_use]
    pub fn list(mut self, label: impl Into<String>, values: impl IntoIterator<Item = String>) -> Self {
        let values: Vec<Value> = values.into_iter().map(text).collect();
        self.rows.push((label.into(), Value::List(values.into())));
        self
    }

    #[must_use]
    pub fn number(mut self, label: impl Into<String>, value: u64) -> Self {
        self.rows.push((label.into(), number(value)));
        self
    }
}

impl Table {
    /// A table with a heading and columns as wide as they need.
    pub fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            title: Some(title.into()),
            columns: columns.iter().map(|&name| Column { name, width: 0 }).collect(),
            heading: true,
            ..Self::default()
        }
    }

    pub fn push(&mut self, row: impl IntoIterator<Item = Value>) {
        self.rows.push(row.into_iter().collect());
    }
}

impl From<Record> for Output {
    fn from(record: Record) -> Self {
        Output::Record(record)
    }
}

impl From<Table> for Output {
    fn from(table: Table) -> Self {
        Output::Table(table)
    }
}

/// A count as a value; counts past 64 bits signed stay at the highest.
pub(crate) fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Text as a value.
pub(crate) fn text(value: impl Into<String>) -> Value {
    Value::String(value.into().into())
}
