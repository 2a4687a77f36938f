//! The way out of a session: mode, indentation, spool file, and what a command shows.

use super::Session;
use crate::api::ApiError;
use crate::commands::render::{self, Mode};
use crate::commands::{Command, Outcome, Output, Ui};
use std::io::Write as _;
use std::time::Instant;

/// The way out: mode, spool file, indentation.
pub(in crate::commands) struct Out {
    pub ui: Box<dyn Ui>,
    pub mode: Mode,
    pub spool: Option<(String, std::fs::File)>,
    /// Two blanks before each line (the interactive shell).
    pub indent: bool,
    pub at_line_start: bool,
    pub capture: Option<Capture>,
    /// A person has typed the command, and nothing waits behind it.
    pub pages: bool,
    /// What is written now is read as a whole.
    pub paged: bool,
}

/// What would be printed, kept for whoever asked for it.
pub(in crate::commands) struct Capture {
    text: String,
    /// At most so many bytes.
    limit: usize,
    /// There was more.
    cut: bool,
}

impl Out {
    /// Standard output, indented if the session is, and copied to the spool file.
    pub fn write(&mut self, text: &str) {
        if !self.indent {
            return self.emit(text);
        }
        let mut indented = String::with_capacity(text.len() + 16);
        for line in text.split_inclusive('\n') {
            if self.at_line_start && line != "\n" {
                indented.push_str("  ");
            }
            indented.push_str(line);
            self.at_line_start = line.ends_with('\n');
        }
        self.emit(&indented);
    }

    fn emit(&mut self, text: &str) {
        if let Some(capture) = &mut self.capture {
            capture.cut |= capture.text.len() + text.len() > capture.limit;
            if !capture.cut {
                capture.text.push_str(text);
            }
            return;
        }
        if self.paged {
            self.ui.page(text)
        } else {
            self.ui.write(text)
        }
        if let Some((name, file)) = &mut self.spool
            && let Err(error) = file.write_all(text.as_bytes())
        {
            let message = format!("spool file {name}: {error}; spooling ends");
            self.spool = None;
            self.ui.message(&message);
        }
    }
}

impl Session {
    /// Notes the command that runs now, for JSON's `command` and TIMING; [`execute`] does it by itself.
    pub fn begin(&mut self, name: impl Into<String>) {
        self.running = Some((name.into(), Instant::now()));
    }

    /// Renders what a command shows, by the mode.
    pub fn show(&mut self, command: &Command, outcome: &Outcome) {
        let (name, started) = match self.running.take() {
            Some((name, started)) => (name, Some(started)),
            None => (command.name(), None),
        };
        self.show_as(&name, outcome);
        self.show_time(started);
    }

    /// A failed command's document in JSON; in text and CSV nothing (the interpreter reports the failure).
    pub fn show_failure(&mut self, command: &Command, error: &ApiError) {
        let (name, started) = match self.running.take() {
            Some((name, started)) => (name, Some(started)),
            None => (command.name(), None),
        };
        if self.out.mode == Mode::Json {
            let text = render::failure(&name, error);
            self.out.write(&text);
        }
        self.show_time(started);
    }

    pub(in crate::commands) fn show_as(&mut self, name: &str, outcome: &Outcome) {
        let width = self.out.ui.width().map(|width| width.saturating_sub(2 * usize::from(self.out.indent)));
        let text = match self.out.mode {
            Mode::Text => render::text(&outcome.output, width),
            Mode::Json => render::json(name, outcome),
            Mode::Csv => render::csv(&outcome.output),
        };
        if !text.is_empty() {
            self.out.paged = self.out.pages;
            self.out.write(&text);
            self.out.paged = false;
        }
    }

    /// Whether what commands show from here on may be paged.
    pub fn set_pages(&mut self, pages: bool) {
        self.out.pages = pages;
    }

    /// Part of a command's output before its end (one connection of several).
    pub(in crate::commands) fn show_part(&mut self, output: Output) {
        let name = self.running.as_ref().map_or_else(String::new, |(name, _)| name.clone());
        self.show_as(&name, &Outcome { value: 1, output });
    }

    /// Runs with its output as text, kept instead of printed; none if it is longer than `limit` bytes.
    pub fn captured<T>(&mut self, limit: usize, work: impl FnOnce(&mut Session) -> T) -> (T, Option<String>) {
        let mode = std::mem::replace(&mut self.out.mode, Mode::Text);
        let indent = std::mem::replace(&mut self.out.indent, false);
        let capture = Capture { text: String::new(), limit, cut: false };
        let before = self.out.capture.replace(capture);
        let result = work(self);
        let capture = std::mem::replace(&mut self.out.capture, before);
        // OUTPUT inside it was for the text that is kept.
        (self.out.mode, self.out.indent) = (mode, indent);
        let text = capture.filter(|capture| !capture.cut).map(|capture| capture.text);
        (result, text)
    }

    fn show_time(&mut self, started: Option<Instant>) {
        if let Some(started) = started
            && self.timing
        {
            let elapsed = started.elapsed();
            self.out.ui.message(&format!("Elapsed: {:.3} s", elapsed.as_secs_f64()));
        }
    }
}
