//! What there is now, for completion: asked of the current source and the interpreter at each press of the tabulator.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::asking::Questions;
use super::complete::Names;
use crate::api::{Reply, Request, SettingRow};
use crate::runtime::Interpreter;

/// The names of a running shell.
pub struct Living {
    interpreter: Rc<RefCell<Interpreter>>,
    questions: RefCell<Questions>,
}

impl Living {
    pub fn new(interpreter: Rc<RefCell<Interpreter>>) -> Self {
        Self { interpreter, questions: RefCell::default() }
    }

    /// An answer of the current source; None if it cannot be asked or takes its time, which is no reason to disturb who types.
    fn ask(&self, request: Request) -> Option<Reply> {
        let (machine, login) = self.interpreter.try_borrow().ok()?.session_mut().source_in_passing()?;
        self.questions.borrow_mut().ask(&machine, login, request)
    }

    /// The source is another machine than this one.
    fn is_far(&self) -> bool {
        let source = self
            .interpreter
            .try_borrow()
            .ok()
            .and_then(|interpreter| interpreter.session_mut().source_in_passing());
        source.is_some_and(|(machine, _)| machine.is_far())
    }
}

impl Names for Living {
    fn begin(&mut self) {
        self.questions.borrow_mut().key();
    }

    fn values(&mut self, slot: &str) -> Vec<(String, String)> {
        let plain = |name: String| (name, String::new());
        match slot {
            "repset" => match self.ask(Request::RepsetList) {
                Some(Reply::Repsets(sets)) => sets.into_iter().map(|set| plain(set.name)).collect(),
                _ => Vec::new(),
            },
            "con_id" => match self.ask(Request::StatusAll) {
                Some(Reply::Connections(all)) => all
                    .into_iter()
                    .map(|one| (one.id.to_string(), format!("{} to {}", one.repset, one.target)))
                    .collect(),
                _ => Vec::new(),
            },
            "option" => match self.ask(Request::Options { pattern: None }) {
                Some(Reply::Settings(rows)) => rows.into_iter().map(|row| plain(row.name)).collect(),
                _ => Vec::new(),
            },
            "machine" | "target" | "source" | "address" => match self.interpreter.try_borrow() {
                Ok(interpreter) => interpreter.session().machine_names().into_iter().map(plain).collect(),
                Err(_) => Vec::new(),
            },
            "job_name" => match self.ask(Request::TaskList) {
                Some(Reply::Tasks(list)) => {
                    // Each connection has its own task of a job.
                    let jobs: BTreeMap<String, String> = list
                        .tasks
                        .into_iter()
                        .map(|task| (task.job, format!("to {}", task.target)))
                        .collect();
                    jobs.into_iter().collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn option_values(&mut self, option: &str) -> Vec<(String, String)> {
        let Some(Reply::Settings(rows)) = self.ask(Request::Options { pattern: Some(option.to_owned()) })
        else {
            return Vec::new();
        };
        match rows.as_slice() {
            [row] => values(row),
            _ => Vec::new(),
        }
    }

    fn source_entries(&mut self, folder: &str) -> Option<Vec<(String, bool)>> {
        if !self.is_far() {
            return None;
        }
        let path = match folder.starts_with('/') {
            true => folder.to_owned(),
            false => self.base("path").join(folder).display().to_string(),
        };
        match self.ask(Request::Directory { path }) {
            Some(Reply::Directory(entries)) => {
                Some(entries.into_iter().map(|entry| (entry.name, entry.kind == 'd')).collect())
            }
            _ => Some(Vec::new()),
        }
    }

    fn variables(&self) -> Vec<String> {
        self.interpreter.try_borrow().map(|interpreter| interpreter.variables()).unwrap_or_default()
    }

    fn base(&self, slot: &str) -> PathBuf {
        let interpreter = self.interpreter.try_borrow();
        // Files are this process's; paths are the source's, which CHDIR browses.
        let directory = match &interpreter {
            Ok(interpreter) if slot == "path" => interpreter.session().directory().map(str::to_owned),
            _ => None,
        };
        directory.unwrap_or_else(|| ".".to_owned()).into()
    }
}

/// What an option could be set to: the values that it knows with what each means, else what it is and what it was.
fn values(row: &SettingRow) -> Vec<(String, String)> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let known = row.range.split("; ").filter_map(|piece| piece.split_once(" = "));
    let mut values: Vec<(String, String)> = known
        .filter(|(value, _)| is_number(value.trim()))
        .map(|(value, meaning)| (value.trim().to_owned(), meaning.to_owned()))
        .collect();
    for value in [&row.value, &row.default] {
        if !value.is_empty() && !values.iter().any(|(known, _)| known == value) {
            values.push((value.clone(), String::new()));
        }
    }
    for (value, note) in &mut values {
        for (what, is) in [("default", *value == row.default), ("now", *value == row.value)] {
            if is {
                *note = if note.is_empty() { what.to_owned() } else { format!("{what}; {note}") };
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &str, default: &str, range: &str) -> SettingRow {
        SettingRow {
            name: "X".into(),
            value: value.into(),
            default: default.into(),
            unit: "-".into(),
            range: range.into(),
            restart: "no".into(),
            meaning: String::new(),
        }
    }

    #[test]
    fn values_are_offered_with_what_they_mean() {
        let offered =
            |row| values(&row).into_iter().map(|(value, note)| format!("{value}|{note}")).collect::<Vec<_>>();
        assert_eq!(offered(row("1", "1", "0 = no; 1 = yes")), ["0|no", "1|now; default; yes"]);
        assert_eq!(offered(row("45", "30", "0 or more")), ["45|now", "30|default"]);
        assert_eq!(offered(row("", "", "any text")), Vec::<String>::new());
        assert_eq!(offered(row("7", "50", "0 = every one waits; 100 = none")).len(), 4);
    }
}
