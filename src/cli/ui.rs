//! The two kinds of [`Ui`]: a person at a terminal, and a pipe or file.
//!
//! The terminal is the one that standard error goes to: progress and questions appear there, also where standard
//! output is redirected. A pipe gets the same texts whatever they are read by, and never any progress.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use super::meter::Meter;
use super::output::Output;
use super::{pager, prompt};
use crate::api::Progress;
use crate::commands::Ui;
use crate::commands::ui::Redraw;
use crate::sys::{signal, terminal};

/// The process's streams: a [`Terminal`] if a person reads standard error, else a [`Pipe`].
pub fn console(output: &Output, shell: bool) -> Box<dyn Ui> {
    if io::stderr().is_terminal() {
        Box::new(Terminal::new(output.clone(), shell))
    } else {
        Box::new(Pipe { output: output.clone() })
    }
}

/// True where escape sequences for colours are welcome: a terminal that knows them, and no `NO_COLOR`.
pub fn colour() -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_colour && escapes()
}

/// True for a terminal that knows escape sequences.
fn escapes() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

fn cancelled(output: &Output) -> bool {
    signal::stop_requested() || output.is_over()
}

/// Plain output, nobody to ask.
pub struct Pipe {
    output: Output,
}

impl Ui for Pipe {
    fn write(&mut self, text: &str) {
        self.output.write(text);
    }

    fn message(&mut self, text: &str) {
        // What was printed before stands before it where both go to one place.
        self.output.flush();
        // Nobody can be told that standard error is gone.
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn progress(&mut self, _: Option<&Progress>) {}

    fn cancelled(&self) -> bool {
        cancelled(&self.output)
    }

    fn confirm(&mut self, _: &str) -> Option<bool> {
        None
    }

    fn password(&mut self, _: &str) -> Option<String> {
        None
    }

    fn interactive(&self) -> bool {
        false
    }

    fn flush(&mut self) {
        self.output.flush();
    }

    fn unread(&self) -> bool {
        self.output.is_unread()
    }
}

/// A person at a terminal.
pub struct Terminal {
    output: Output,
    /// Standard output is a terminal too: its columns count, and the progress line must not stand in its way.
    wide: bool,
    /// The interactive shell.
    shell: bool,
    colour: bool,
    escapes: bool,
    meter: Meter,
    /// Columns of the progress line that is on the screen.
    drawn: usize,
    /// Within a WATCH: what was written since its last turn.
    watched: Option<String>,
}

impl Terminal {
    fn new(output: Output, shell: bool) -> Self {
        Self {
            output,
            wide: io::stdout().is_terminal(),
            shell: shell && io::stdin().is_terminal() && io::stdout().is_terminal(),
            colour: colour(),
            escapes: escapes(),
            meter: Meter::default(),
            drawn: 0,
            watched: None,
        }
    }

    /// Puts a line in the place of the one before.
    fn draw(&mut self, line: &str) {
        use unicode_width::UnicodeWidthStr as _;
        let columns = line.width();
        // A terminal that cannot clear gets blanks over what is left of the old line.
        let rest = if self.escapes {
            "\x1b[K".to_owned()
        } else {
            let blanks = self.drawn.saturating_sub(columns);
            format!("{}{}", " ".repeat(blanks), "\x08".repeat(blanks))
        };
        let _ = write!(io::stderr(), "\r{line}{rest}");
        self.drawn = columns;
    }

    fn clear(&mut self) {
        if self.drawn > 0 {
            self.draw("");
            let _ = write!(io::stderr(), "\r");
            self.drawn = 0;
        }
    }
}

impl Ui for Terminal {
    fn write(&mut self, text: &str) {
        if self.wide {
            self.clear();
        }
        if let Some(watched) = &mut self.watched {
            watched.push_str(text);
        }
        self.output.write(text);
    }

    fn page(&mut self, text: &str) {
        let size = terminal::size(io::stdout());
        match size {
            Some(size) if self.shell && self.escapes && self.watched.is_none() => {
                self.clear();
                self.output.flush();
                pager::show(&self.output, text, size);
            }
            _ => self.write(text),
        }
    }

    fn redraw(&mut self, turn: Redraw) {
        let last = self.watched.take();
        if turn == Redraw::Over || !self.wide || !self.escapes {
            return;
        }
        if let (Redraw::Next, Some(text)) = (turn, last) {
            self.clear();
            self.output.write(&pager::back_over(&text, terminal::size(io::stdout())));
        }
        self.watched = Some(String::new());
    }

    fn message(&mut self, text: &str) {
        self.clear();
        self.output.flush();
        // It stays, and what is watched goes on below it.
        if let Some(watched) = &mut self.watched {
            watched.clear();
        }
        if signal::stop_requested() {
            // The terminal has shown ^C where the message is to begin.
            let _ = write!(io::stderr(), "\r");
        }
        let text = if self.colour { coloured(text) } else { text.to_owned() };
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn progress(&mut self, progress: Option<&Progress>) {
        let Some(progress) = progress else {
            self.clear();
            self.meter.reset();
            return;
        };
        // The last column stays free: some terminals go to the next line when it is filled.
        let width = terminal::columns(io::stderr()).map_or(79, |columns| usize::from(columns) - 1);
        if let Some(line) = self.meter.line(progress, Instant::now(), width) {
            if self.drawn == 0 {
                self.output.flush();
            }
            self.draw(&line);
        }
    }

    fn cancelled(&self) -> bool {
        cancelled(&self.output)
    }

    /// Only the shell asks: a script is not to stand still because it was started from a terminal.
    fn confirm(&mut self, question: &str) -> Option<bool> {
        if !self.shell {
            return None;
        }
        self.clear();
        self.output.flush();
        prompt::confirm(question)
    }

    fn password(&mut self, prompt: &str) -> Option<String> {
        self.clear();
        self.output.flush();
        prompt::password(prompt)
    }

    fn interactive(&self) -> bool {
        self.shell
    }

    fn width(&self) -> Option<usize> {
        if self.wide { terminal::columns(io::stdout()).map(usize::from) } else { None }
    }

    fn flush(&mut self) {
        self.output.flush();
    }

    fn unread(&self) -> bool {
        self.output.is_unread()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The message with its kind (`error`, `warning`) and the marks below its place in colour.
fn coloured(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    // `file:1:2: error -102: ...`, or no place before it.
    let kinds = [("error", "1;31"), ("warning", "1;33"), ("hint", "1;36")];
    let found = kinds.iter().find_map(|(kind, colour)| {
        let at = if first.starts_with(kind) { 0 } else { first.find(&format!(": {kind}"))? + 2 };
        let ends = first[at + kind.len()..].starts_with([':', ' ']);
        ends.then_some((at, kind.len(), colour))
    });
    let Some((at, length, colour)) = found else { return text.to_owned() };
    let (head, kind, tail) = (&first[..at], &first[at..at + length], &first[at + length..]);
    let mut coloured = format!("{head}\x1b[{colour}m{kind}\x1b[0m{tail}");
    for line in rest.split('\n').filter(|_| !rest.is_empty()) {
        coloured.push('\n');
        match line.split_once('^') {
            Some((margin, _)) if margin.trim() == "|" => {
                coloured.push_str(&format!("{margin}\x1b[{colour}m{}\x1b[0m", &line[margin.len()..]));
            }
            _ => coloured.push_str(line),
        }
    }
    coloured
}

#[cfg(test)]
mod tests {
    use super::coloured;

    #[test]
    fn the_kind_and_the_marks_of_a_message_are_coloured() {
        assert_eq!(coloured("error: no"), "\x1b[1;31merror\x1b[0m: no");
        assert_eq!(
            coloured("a.dtcl:1:2: warning: w\n1 | write a b\n  |       ^ ^\n  = help: h"),
            "a.dtcl:1:2: \x1b[1;33mwarning\x1b[0m: w\n1 | write a b\n  |       \x1b[1;33m^ ^\x1b[0m\n  = help: h"
        );
    }

    #[test]
    fn other_messages_stay_as_they_are() {
        for text in ["errors happen", "no colour", "warning", "connection 1: mirror error"] {
            assert_eq!(coloured(text), text);
        }
    }
}
