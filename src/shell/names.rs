//! What there is now, for completion: asked of the current source and the interpreter at each press of the tabulator.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use super::complete::Names;
use crate::api::{Reply, Request};
use crate::runtime::Interpreter;

/// The names of a running shell.
pub struct Living {
    interpreter: Rc<RefCell<Interpreter>>,
}

impl Living {
    pub fn new(interpreter: Rc<RefCell<Interpreter>>) -> Self {
        Self { interpreter }
    }

    /// An answer of the current source; None if it cannot be asked, which is no reason to disturb who types.
    fn ask(&self, request: Request) -> Option<Reply> {
        let interpreter = self.interpreter.try_borrow_mut().ok()?;
        let mut session = interpreter.session_mut();
        let machine = session.source_machine().ok()?;
        session.ask(&machine, request).ok()
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
            _ => Vec::new(),
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
