//! The line editor of a terminal: history, completion, hints.

use std::path::PathBuf;

use rustyline::config::{BellStyle, CompletionType};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor, ExternalPrinter as _};

use super::helper::Typing;
use super::history;
use super::lines::{Line, Lines};
use crate::sys::signal::{self, Manner};

/// A line editor on standard input and output.
pub struct Terminal {
    editor: Editor<Typing, FileHistory>,
    /// Where the history is kept; None: in memory only.
    file: Option<PathBuf>,
}

impl Terminal {
    /// Reads the history kept so far. What is wrong with its file is told, and the history is then kept in memory only.
    pub fn new(typing: Typing, file: Option<PathBuf>) -> Result<(Self, Option<String>), ReadlineError> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(history::LONGEST)?
            .history_ignore_dups(true)?
            .bell_style(BellStyle::None)
            // A key that is not known to be one is text: what is pasted stays as it is.
            .bracketed_paste(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(typing));
        let mut terminal = Self { editor, file };
        let problem = terminal.load();
        Ok((terminal, problem))
    }

    fn load(&mut self) -> Option<String> {
        let file = self.file.as_deref()?;
        match self.editor.load_history(file) {
            Ok(()) => None,
            Err(ReadlineError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                let problem = format!("history {}: {error}; it is left as it is", file.display());
                self.file = None;
                Some(problem)
            }
        }
    }

    /// Prints above the line that is being typed; None where the terminal cannot.
    pub fn printer(&mut self) -> Option<impl FnMut(String) + Send + 'static> {
        let mut printer = self.editor.create_external_printer().ok()?;
        // Nobody can be told that the terminal is gone.
        Some(move |text| _ = printer.print(text))
    }

    /// Statements kept from earlier sessions, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &String> {
        self.editor.history().iter()
    }
}

impl Lines for Terminal {
    fn read(&mut self, prompt: &str) -> Line {
        signal::set_manner(Manner::Editing);
        let read =
            if signal::terminated() { Err(ReadlineError::Interrupted) } else { self.editor.readline(prompt) };
        signal::set_manner(Manner::Command);
        match read {
            _ if signal::terminated() => Line::Stopped,
            Ok(line) => Line::Text(line),
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Line::Interrupted,
            Err(ReadlineError::Eof) => Line::End,
            // A terminal that went away.
            Err(ReadlineError::Io(error)) if error.raw_os_error() == Some(libc::EIO) => Line::End,
            Err(error) => Line::Broken(format!("cannot read the terminal: {error}")),
        }
    }

    fn remember(&mut self, statement: &str) {
        // Appended at once: a shell that is killed loses nothing, and several shells do not overwrite each other.
        if let Ok(true) = self.editor.add_history_entry(statement)
            && let Some(file) = &self.file
        {
            let _ = self.editor.append_history(file);
        }
    }

    fn must_echo(&self) -> bool {
        false
    }
}
