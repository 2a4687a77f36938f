//! What the line editor asks while a line is typed: completion, hints, colours.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use unicode_width::UnicodeWidthStr as _;

use super::PROMPT;
use super::complete::{self, Names};
use super::highlight;
use crate::sys::terminal;

/// The editor's helper.
pub struct Typing {
    names: Rc<RefCell<dyn Names>>,
    /// Hints are only shown where they look different from what is typed.
    colour: bool,
}

impl Typing {
    pub fn new(names: Rc<RefCell<dyn Names>>, colour: bool) -> Self {
        Self { names, colour }
    }
}

impl Helper for Typing {}

impl Validator for Typing {}

impl Completer for Typing {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Ok(mut names) = self.names.try_borrow_mut() else { return Ok((pos, Vec::new())) };
        let (start, offers) = complete::complete(&line[..pos], &mut *names);
        let pairs = offers.into_iter().map(|offer| Pair { display: offer.shown, replacement: offer.text });
        Ok((start, pairs.collect()))
    }
}

/// The rest of a syntax line. It is read, never taken over: it is no text of a command.
pub struct Rest(String);

impl Hint for Rest {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Typing {
    type Hint = Rest;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Rest> {
        if !self.colour || pos < line.len() {
            return None;
        }
        let hint = complete::hint(line)?;
        // What does not fit into the line is left out: a hint never makes the screen jump.
        let columns = terminal::columns(std::io::stdout()).map_or(80, usize::from);
        let room = columns.saturating_sub(PROMPT.len() + line.width() + 1);
        if hint.width() <= room {
            return Some(Rest(hint));
        }
        // Hints are syntax lines: ASCII.
        let cut = hint.get(..room.checked_sub(3)?)?;
        Some(Rest(format!("{cut}...")))
    }
}

impl Highlighter for Typing {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.colour { Cow::Owned(highlight::coloured(line)) } else { Cow::Borrowed(line) }
    }

    /// A key may change the colour of what stands before it.
    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.colour
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        if self.colour { Cow::Owned(format!("\x1b[1m{prompt}\x1b[0m")) } else { Cow::Borrowed(prompt) }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }
}
