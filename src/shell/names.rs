//! What there is now, for completion: asked of the current source and the interpreter at each press of the tabulator.

use std::cell::RefCell;
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
                    list.tasks.into_iter().map(|task| (task.job, format!("to {}", task.target))).collect()
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

/// What an option could be set to: all of a short range, else what it is and what it was.
fn values(row: &SettingRow) -> Vec<(String, String)> {
    /// More values than a person would choose from.
    const MOST: u64 = 20;
    let bounds = row
        .range
        .split_once(" to ")
        .and_then(|(from, to)| Some((from.trim().parse::<u64>().ok()?, to.trim().parse::<u64>().ok()?)));
    let mut values: Vec<String> = match bounds {
        Some((from, to)) if to >= from && to - from < MOST => (from..=to).map(|n| n.to_string()).collect(),
        _ => Vec::new(),
    };
    for value in [&row.value, &row.default] {
        if !value.is_empty() && !values.contains(value) {
            values.push(value.clone());
        }
    }
    let note = |value: &str| match (value == row.value, value == row.default) {
        (true, true) => "now, default",
        (true, false) => "now",
        (false, true) => "default",
        (false, false) => "",
    };
    values.into_iter().map(|value| (value.clone(), note(&value).to_owned())).collect()
}
