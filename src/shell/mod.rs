//! The interactive shell (language.md 1 and 8): reads statements, lets the interpreter run them, and goes on whatever
//! comes of them.
//!
//! At a terminal a line editor completes from the catalogue and keeps a history; anything else is read line by line,
//! and prompt and line are printed, so that the transcript reads like a session.

mod asking;
pub mod complete;
mod editor;
mod helper;
mod highlight;
mod history;
mod leave;
pub mod lines;
mod names;
mod news;
mod paths;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

pub use history::file as history_file;

use editor::Terminal;
use helper::Typing;
use names::Living;

use news::Watched;

use crate::commands::ui::Redraw;
use crate::runtime::{Feed, Interpreter};
use crate::sys::signal;
use lines::{Line, Lines};

/// The prompt (S), with its two blanks.
pub const PROMPT: &str = "Command:  ";
/// The prompt for the rest of an open block, as wide.
pub const MORE: &str = "     ...  ";

/// The shell on a terminal, with a line editor. `history` is the file that keeps what was typed, `rc` a script that is run first.
pub fn on_terminal(
    interpreter: &Rc<RefCell<Interpreter>>,
    history: Option<PathBuf>,
    rc: Option<PathBuf>,
    colour: bool,
) -> i32 {
    let names = Living::new(Rc::clone(interpreter));
    let typing = Typing::new(Rc::new(RefCell::new(names)), colour);
    let opened = Terminal::new(typing, history);
    let (mut terminal, problem) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            interpreter.borrow_mut().session_mut().ui().message(&format!("error: {error}"));
            return 1;
        }
    };
    if let Some(problem) = problem {
        interpreter.borrow_mut().session_mut().ui().message(&format!("warning: {problem}"));
    }
    let watched = terminal.printer().and_then(|mut print| {
        let watched = Arc::new(Watched::default());
        news::begin(Arc::clone(&watched), move |line| print(format!("{line}\n"))).ok().map(|()| watched)
    });
    for statement in terminal.kept() {
        interpreter.borrow_mut().session_mut().remember(statement);
    }
    if let Some(rc) = rc
        && let Feed::Exit(status) = begin(interpreter, &rc)
    {
        return status;
    }
    read_on(interpreter, &mut terminal, watched.as_deref())
}

/// Runs a person's own script at the start of a shell; what it sets stays.
fn begin(interpreter: &Rc<RefCell<Interpreter>>, rc: &Path) -> Feed {
    let Some(name) = rc.to_str().filter(|_| rc.is_file()) else { return Feed::Done };
    let mut interpreter = interpreter.borrow_mut();
    interpreter.session_mut().set_indent(true);
    interpreter.feed(&format!("include {}\n", crate::lang::quote(name)))
}

/// Runs what is typed until the end of it; gives the exit status.
pub fn run(interpreter: &Rc<RefCell<Interpreter>>, lines: &mut dyn Lines) -> i32 {
    read_on(interpreter, lines, None)
}

fn read_on(interpreter: &Rc<RefCell<Interpreter>>, lines: &mut dyn Lines, watched: Option<&Watched>) -> i32 {
    let mut text = String::new();
    loop {
        if signal::terminated() {
            return signal::STOPPED;
        }
        interpreter.borrow_mut().session_mut().ui().flush();
        let prompt = if text.is_empty() { PROMPT } else { MORE };
        // What interrupted the last statement is not for the next; what comes from here on is.
        signal::forget_interrupt();
        if let Some(watched) = watched {
            watched.set(interpreter.borrow().session().machines_in_use());
        }
        let read = lines.read(prompt);
        if let Some(watched) = watched {
            watched.set(Vec::new());
        }
        // Borrowed only while a statement runs: the line editor looks for names meanwhile.
        let mut interpreter = interpreter.borrow_mut();
        match read {
            Line::Stopped => return signal::STOPPED,
            Line::Interrupted => text.clear(),
            Line::Unusable(why) => interpreter.session_mut().ui().message(&format!("error: {why}")),
            Line::Broken(why) => {
                interpreter.session_mut().ui().message(&format!("error: {why}"));
                return 1;
            }
            Line::End => {
                if !lines.must_echo() {
                    interpreter.session_mut().ui().write("\n");
                }
                if leave::may_leave(&mut interpreter.session_mut()) {
                    return 0;
                }
            }
            Line::Text(line) => {
                if lines.must_echo() {
                    interpreter.session_mut().ui().write(&format!("{prompt}{line}\n"));
                }
                if text.is_empty() && line.trim().is_empty() {
                    continue;
                }
                text.push_str(&line);
                text.push('\n');
                // Behind the typed line, whatever WRITE NOLINE left open before.
                interpreter.session_mut().set_indent(true);
                let statement = alias(&text);
                let fed = interpreter.feed(&statement);
                if matches!(fed, Feed::Incomplete) {
                    continue;
                }
                interpreter.session_mut().ui().progress(None);
                interpreter.session_mut().ui().redraw(Redraw::Over);
                let typed = std::mem::take(&mut text);
                if history::may_keep(&typed) {
                    lines.remember(typed.trim_end());
                    interpreter.session_mut().remember(typed.trim_end());
                }
                if let Feed::Exit(status) = fed
                    && leave::may_leave(&mut interpreter.session_mut())
                {
                    return status;
                }
            }
        }
    }
}

/// `?` is what people type for help at many prompts; it begins no command.
fn alias(text: &str) -> std::borrow::Cow<'_, str> {
    match text.trim_start().strip_prefix('?') {
        Some(topic) if topic.is_empty() || topic.starts_with(char::is_whitespace) => {
            format!("help{topic}").into()
        }
        _ => text.into(),
    }
}
