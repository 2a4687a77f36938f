//! Output as text, JSON or CSV. The text shapes are those of language.md 8, fixed by golden tests: scripts written for
//! the old product parse them.

use super::output::{Outcome, Output, Record, Table};
use crate::api::ApiError;
use crate::lang::Value;
use std::fmt::Write as _;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// OUTPUT's modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Text,
    /// One document per command and line.
    Json,
    Csv,
}

/// Columns that a label fills in a record (S: `status con`).
const LABEL: usize = 34;

/// The text shape. `width`: the terminal's columns; None gives the fixed shape of a pipe.
pub(crate) fn text(output: &Output, width: Option<usize>) -> String {
    let mut text = String::new();
    match output {
        Output::Nothing => {}
        Output::Text(exact) => text.push_str(exact),
        Output::Assignment { name, value } => {
            let _ = writeln!(text, "{name} = {value}");
        }
        Output::Record(record) => record_text(&mut text, record),
        Output::Records(records) => records.iter().for_each(|record| record_text(&mut text, record)),
        Output::Table(table) => table_text(&mut text, table, width),
    }
    text
}

fn title(text: &mut String, title: Option<&str>) {
    if let Some(title) = title {
        let _ = writeln!(text, "- {title} -");
    }
}

fn record_text(text: &mut String, record: &Record) {
    title(text, record.title.as_deref());
    for (label, value) in &record.rows {
        labelled(text, label, value);
    }
}

/// `Label:` and value; a list's values stand below each other.
fn labelled(text: &mut String, label: &str, value: &Value) {
    pad(text, &format!("{label}:"), LABEL);
    match value {
        Value::List(values) if values.is_empty() => text.push_str("none"),
        Value::List(values) => {
            let cells: Vec<String> = values.iter().map(cell).collect();
            text.push_str(&cells.join(&format!("\n{:LABEL$}", "")));
        }
        value => text.push_str(&cell(value)),
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

fn table_text(text: &mut String, table: &Table, width: Option<usize>) {
    title(text, table.title.as_deref());
    let rows: Vec<Vec<String>> = table.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let mut widths: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            if column.width > 0 {
                return column.width;
            }
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.width());
            let heading = if table.heading { column.name.width() } else { 0 };
            cells.max().unwrap_or(0).max(heading) + 2
        })
        .collect();
    if let Some(width) = width {
        fit(&mut widths, table, width);
        // A window that is too narrow for the columns shows one below the other.
        if widths.iter().sum::<usize>() > width + 2 && table.heading && table.columns.len() > 2 {
            return below_each_other(text, table, &rows);
        }
    }
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut row = String::new();
        for (index, (cell, &column)) in cells.zip(&widths).enumerate() {
            if width.is_some() && table.columns[index].width == 0 {
                pad(&mut row, &clipped(cell, column.saturating_sub(2)), column);
            } else {
                pad(&mut row, cell, column);
            }
        }
        text.push_str(row.trim_end_matches(' '));
        text.push('\n');
    };
    if table.heading {
        line(&mut table.columns.iter().map(|column| column.name));
    }
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
    for (label, value) in &table.summary {
        labelled(text, label, value);
    }
}

/// Each row as labels and values, a blank line between two.
fn below_each_other(text: &mut String, table: &Table, rows: &[Vec<String>]) {
    let column = table.columns.iter().map(|column| column.name.width()).max().unwrap_or(0) + 3;
    for (number, row) in rows.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        for (column_of, cell) in table.columns.iter().zip(row) {
            let mut line = String::new();
            pad(&mut line, &format!("{}:", column_of.name), column);
            line.push_str(cell);
            text.push_str(line.trim_end_matches(' '));
            text.push('\n');
        }
    }
    for (label, value) in &table.summary {
        labelled(text, label, value);
    }
}

/// Takes from the widest columns what does not fit a terminal, from the first one last: it says what a row is about.
fn fit(widths: &mut [usize], table: &Table, width: usize) {
    /// No column gets narrower by fitting.
    const NARROWEST: usize = 10;
    // The two blanks behind the last column need no room.
    while widths.iter().sum::<usize>() > width + 2 {
        let can_give = |index: &usize| table.columns[*index].width == 0 && widths[*index] > NARROWEST;
        let widest = (1..widths.len()).filter(can_give).max_by_key(|&index| widths[index]);
        match widest.or_else(|| Some(0).filter(can_give)) {
            Some(index) => widths[index] -= 1,
            None => break,
        }
    }
}

fn clipped(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return cell.to_owned();
    }
    let mut short = String::new();
    let mut used = 0;
    for c in cell.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// Appends a cell and blanks up to its column's width; a cell that is too wide is followed by one blank.
fn pad(text: &mut String, cell: &str, width: usize) {
    text.push_str(cell);
    let blanks = width.saturating_sub(cell.width()).max(1);
    text.extend(std::iter::repeat_n(' ', blanks));
}

/// A value as a cell: one line.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().any(char::is_control) => text
            .chars()
            .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
            .collect(),
        Value::String(text) => text.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Date(date) => date.strftime("%m/%d/%Y").to_string(),
        Value::Time(time) => time.strftime("%H:%M:%S").to_string(),
        Value::List(_) | Value::Map(_) => value_json(value),
    }
}

/// `{"command": ..., "value": ..., ...}` on one line.
pub(crate) fn json(name: &str, outcome: &Outcome) -> String {
    let mut document = Object::default();
    document.put("command", encoded(name));
    document.put("value", outcome.value.to_string());
    match &outcome.output {
        Output::Nothing => {}
        Output::Text(text) => document.put("text", encoded(text.strip_suffix('\n').unwrap_or(text))),
        Output::Assignment { name, value } => {
            document.put("option", encoded(name));
            document.put("setting", encoded(value));
        }
        Output::Record(record) => document.0.extend(record_json(record).0.into_iter().map(|(key, value)| {
            // `command` and `value` are the document's own.
            if matches!(key.as_str(), "command" | "value") {
                (format!("{key}_"), value)
            } else {
                (key, value)
            }
        })),
        Output::Records(records) => {
            document.put("rows", array(records.iter().map(|record| record_json(record).text())));
        }
        Output::Table(table) => {
            let rows = table.rows.iter().map(|row| {
                let cells = table.columns.iter().zip(row);
                Object(cells.map(|(column, value)| (key(column.name), value_json(value))).collect()).text()
            });
            document.put("rows", array(rows));
            document.0.extend(table.summary.iter().map(|(label, value)| (key(label), value_json(value))));
        }
    }
    document.text() + "\n"
}

/// A failed command's document.
pub(crate) fn failure(name: &str, error: &ApiError) -> String {
    let mut document = Object::default();
    document.put("command", encoded(name));
    document.put("value", error.code.value().to_string());
    document.put("code", error.code.value().to_string());
    document.put("message", encoded(&error.message));
    document.put("help", error.help.as_deref().map_or_else(|| "null".to_owned(), encoded));
    document.text() + "\n"
}

/// Keys and encoded values; they keep the order in which a person reads them.
#[derive(Default)]
struct Object(Vec<(String, String)>);

impl Object {
    fn put(&mut self, key: &str, value: String) {
        self.0.push((key.to_owned(), value));
    }

    fn text(&self) -> String {
        let pairs: Vec<String> =
            self.0.iter().map(|(key, value)| format!("{}:{value}", encoded(key))).collect();
        format!("{{{}}}", pairs.join(","))
    }
}

fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

fn encoded(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A label that stands several times (a row for each connection) becomes one key with a list.
fn record_json(record: &Record) -> Object {
    let mut keys: Vec<(String, Vec<String>)> = Vec::new();
    for (label, value) in &record.rows {
        let (key, value) = (key(label), value_json(value));
        match keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => keys.push((key, vec![value])),
        }
    }
    let one = |mut values: Vec<String>| match values.len() {
        1 => values.remove(0),
        _ => array(values.into_iter()),
    };
    Object(keys.into_iter().map(|(key, values)| (key, one(values))).collect())
}

/// A value as JSON.
pub(crate) fn value_json(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        Value::List(list) => array(list.iter().map(value_json)),
        Value::Map(map) => Object(map.iter().map(|(k, v)| (k.clone(), value_json(v))).collect()).text(),
        Value::String(text) => encoded(text),
        Value::Date(_) | Value::Time(_) => encoded(&cell(value)),
    }
}

/// A label as a key: lower case, `_` for all that is no letter or digit.
pub(crate) fn key(label: &str) -> String {
    let mut key = String::new();
    for c in label.chars() {
        if c.is_alphanumeric() {
            key.extend(c.to_lowercase());
        } else if !key.is_empty() && !key.ends_with('_') {
            key.push('_');
        }
    }
    key.trim_end_matches('_').to_owned()
}

/// RFC 4180: a heading line, then rows. Text stays as it is.
pub(crate) fn csv(output: &Output) -> String {
    let mut text = String::new();
    match output {
        Output::Nothing => {}
        Output::Text(exact) => text.push_str(exact),
        Output::Assignment { name, value } => {
            text.push_str("option,setting\n");
            csv_line(&mut text, [name.clone(), value.clone()].into_iter());
        }
        Output::Record(record) => csv_records(&mut text, std::slice::from_ref(record)),
        Output::Records(records) => csv_records(&mut text, records),
        Output::Table(table) => {
            csv_line(&mut text, table.columns.iter().map(|column| key(column.name)));
            for row in &table.rows {
                csv_line(&mut text, row.iter().map(cell));
            }
        }
    }
    text
}

fn csv_records(text: &mut String, records: &[Record]) {
    let mut keys: Vec<String> = Vec::new();
    for (label, _) in records.iter().flat_map(|record| &record.rows) {
        let key = key(label);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        return;
    }
    csv_line(text, keys.iter().cloned());
    for record in records {
        let value = |wanted: &String| record.rows.iter().find(|(label, _)| key(label) == *wanted);
        csv_line(text, keys.iter().map(|key| value(key).map_or_else(String::new, |(_, value)| cell(value))));
    }
}

fn csv_line(text: &mut String, cells: impl Iterator<Item = String>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            let _ = write!(text, "\"{}\"", cell.replace('"', "\"\""));
        } else {
            text.push_str(&cell);
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Column;

    fn table(rows: &[[&str; 2]]) -> Output {
        let mut table = Table::new("T", &["First", "Second"]);
        for row in rows {
            table.push(row.map(|cell| Value::String(cell.into())));
        }
        Output::Table(table)
    }

    #[test]
    fn columns_line_up_by_what_a_screen_shows() {
        let shown = text(&table(&[["日本", "x"], ["a", "y"]]), None);
        assert_eq!(shown, "- T -\nFirst  Second\n日本   x\na      y\n");
    }

    #[test]
    fn control_bytes_never_reach_a_terminal() {
        let shown = text(&table(&[["a\u{1b}[31m\nb", "x"]]), None);
        assert!(shown.contains("a\\u{1b}[31m\\nb  x"), "{shown}");
        let record = Record::plain().text("Path", "a\nb");
        assert_eq!(text(&record.into(), None).lines().count(), 1);
    }

    #[test]
    fn a_name_too_long_for_its_column_keeps_one_blank() {
        let columns = vec![Column { name: "Name", width: 4 }, Column { name: "State", width: 1 }];
        let rows = vec![vec![Value::String("longer".into()), Value::String("on".into())]];
        let table = Table { columns, rows, ..Table::default() };
        assert_eq!(text(&table.into(), None), "longer on\n");
    }

    #[test]
    fn a_terminal_clips_and_a_pipe_does_not() {
        let long = "x".repeat(100);
        let output = table(&[[&long, &long]]);
        assert!(text(&output, None).contains(&format!("{long}  {long}")));
        for line in text(&output, Some(60)).lines() {
            assert!(line.width() <= 60, "{line}");
        }
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(csv(&table(&[["a,b", "say \"x\""]])), "first,second\n\"a,b\",\"say \"\"x\"\"\"\n");
    }

    #[test]
    fn a_repeated_label_is_a_list_in_json() {
        let record = Record::plain().text("Source path", "/a").text("Source path", "/b").text("Value", "v");
        assert_eq!(
            json("x", &Outcome::show(record)),
            "{\"command\":\"x\",\"value\":1,\"source_path\":[\"/a\",\"/b\"],\"value_\":\"v\"}\n"
        );
    }

    #[test]
    fn labels_become_keys() {
        assert_eq!(key("Elapsed time (seconds)"), "elapsed_time_seconds");
        assert_eq!(key("ID"), "id");
    }
}
