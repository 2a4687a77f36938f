//! The person or pipe at the other end of a session.
//!
//! Handlers never print: they hand [`super::Output`] to the session, which renders it to a [`Ui`]. The shell
//! implements it for a terminal and for pipes; [`Recorder`] keeps everything for tests.

use crate::api::Progress;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where output goes and answers come from.
pub trait Ui {
    /// Standard output, exactly this text.
    fn write(&mut self, text: &str);
    /// Standard error: one message, without a newline at its end.
    fn message(&mut self, text: &str);
    /// Progress of what is running, shown on a terminal only; None clears it.
    fn progress(&mut self, progress: Option<&Progress>);
    /// True once the person asked for the running command to end (Ctrl-C).
    fn cancelled(&self) -> bool;
    /// Asks yes or no. None: there is nobody to ask.
    fn confirm(&mut self, question: &str) -> Option<bool>;
    /// Asks for a password without echo. None: there is nobody to ask.
    fn password(&mut self, prompt: &str) -> Option<String>;
    /// True in the interactive shell on a terminal.
    fn interactive(&self) -> bool;
    /// Columns of the terminal that output goes to; None for a pipe or file, which gets fixed shapes.
    fn width(&self) -> Option<usize> {
        None
    }
    /// Writes what standard output has buffered: to be called before anything that takes time.
    fn flush(&mut self) {}
    /// How long a run may take, once that time is over; it is cancelled then.
    fn out_of_time(&self) -> Option<std::time::Duration> {
        None
    }
    /// Output that is read as a whole, with a pause after each screenful where a person reads it.
    fn page(&mut self, text: &str) {
        self.write(text);
    }
    /// What is written from here on takes the place of what was written since the last turn, on a terminal that can.
    fn redraw(&mut self, _turn: Redraw) {}
    /// True once nobody reads standard output any more: what then ends, ends without a word.
    fn unread(&self) -> bool {
        false
    }
}

/// A turn of WATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redraw {
    /// The first one begins below what is there.
    First,
    Next,
    /// There is no further one.
    Over,
}

/// A [`Ui`] for tests: records what is written and answers from a list. Clones share their record.
#[derive(Clone, Default)]
pub struct Recorder {
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    output: String,
    messages: String,
    progress: Vec<Option<Progress>>,
    cancelled: bool,
    interactive: bool,
    width: Option<usize>,
    answers: VecDeque<bool>,
    passwords: VecDeque<String>,
    questions: Vec<String>,
}

impl Recorder {
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that was written to standard output so far.
    pub fn output(&self) -> String {
        self.lock().output.clone()
    }

    /// Standard output since the last call of this.
    pub fn take_output(&self) -> String {
        std::mem::take(&mut self.lock().output)
    }

    /// All messages so far, each with a newline.
    pub fn messages(&self) -> String {
        self.lock().messages.clone()
    }

    /// Messages since the last call of this.
    pub fn take_messages(&self) -> String {
        std::mem::take(&mut self.lock().messages)
    }

    /// Every progress call.
    pub fn progress_seen(&self) -> Vec<Option<Progress>> {
        self.lock().progress.clone()
    }

    /// The questions and prompts that were put.
    pub fn questions(&self) -> Vec<String> {
        self.lock().questions.clone()
    }

    /// From now on the running command is asked to end, or no longer.
    pub fn cancel(&self, cancelled: bool) {
        self.lock().cancelled = cancelled;
    }

    pub fn set_interactive(&self, interactive: bool) {
        self.lock().interactive = interactive;
    }

    pub fn set_width(&self, width: Option<usize>) {
        self.lock().width = width;
    }

    /// Queues an answer to the next question.
    pub fn answer(&self, yes: bool) {
        self.lock().answers.push_back(yes);
    }

    /// Queues an answer to the next password prompt.
    pub fn answer_password(&self, password: &str) {
        self.lock().passwords.push_back(password.to_owned());
    }
}

impl Ui for Recorder {
    fn write(&mut self, text: &str) {
        self.lock().output.push_str(text);
    }

    fn message(&mut self, text: &str) {
        let mut record = self.lock();
        record.messages.push_str(text);
        record.messages.push('\n');
    }

    fn progress(&mut self, progress: Option<&Progress>) {
        self.lock().progress.push(progress.cloned());
    }

    fn cancelled(&self) -> bool {
        self.lock().cancelled
    }

    fn confirm(&mut self, question: &str) -> Option<bool> {
        let mut record = self.lock();
        record.questions.push(question.to_owned());
        record.answers.pop_front()
    }

    fn password(&mut self, prompt: &str) -> Option<String> {
        let mut record = self.lock();
        record.questions.push(prompt.to_owned());
        record.passwords.pop_front()
    }

    fn interactive(&self) -> bool {
        self.lock().interactive
    }

    fn width(&self) -> Option<usize> {
        self.lock().width
    }
}
