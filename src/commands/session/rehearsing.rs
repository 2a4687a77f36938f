//! A session of a dry run: it knows what would have been changed, and ends loops that wait for what cannot come.
//!
//! That nothing is changed is the machines' part; what a client writes by itself (SPOOL, REPSET EXPORT) asks here first.

use super::Session;
use crate::api::{ApiError, Code, Request};
use crate::commands::files;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Questions and pauses in a row that nothing is changed between.
const LOOKS: u32 = 10_000;
/// A pause counts for so many.
const PAUSE: u32 = 10;

/// Pauses of a whole run, whatever is changed between them.
const PAUSES: u32 = 2_000;

/// What a dry run has come to.
#[derive(Debug, Default)]
pub(super) struct Rehearsal {
    /// The command under way would change something.
    changed: bool,
    /// Questions since the last change.
    looks: u32,
    /// How many pauses there were.
    pauses: u32,
    /// Pauses that were not waited for.
    ahead: Duration,
    /// Files that would have been written.
    files: BTreeMap<String, String>,
}

impl Session {
    /// From now on nothing is changed: the machines rehearse, and pauses take no time.
    pub fn set_dry_run(&mut self) {
        self.rehearsal = Some(Rehearsal::default());
    }

    pub fn is_dry_run(&self) -> bool {
        self.rehearsal.is_some()
    }

    /// In a dry run true, and the command is one that would change something: it is not to be done.
    pub(in crate::commands) fn only_rehearses(&mut self) -> bool {
        let Some(rehearsal) = &mut self.rehearsal else { return false };
        rehearsal.changed = true;
        true
    }

    /// A file that would have been written, for who reads it later in the same run. An error where a real run could not write it.
    pub(in crate::commands) fn keep_file(&mut self, name: &str, text: String) -> Result<(), ApiError> {
        files::vet_new(Path::new(name))?;
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.files.insert(name.to_owned(), text);
        }
        Ok(())
    }

    pub(in crate::commands) fn kept_file(&self, name: &str) -> Option<String> {
        self.rehearsal.as_ref()?.files.get(name).cloned()
    }

    /// Whether a command since the last call would have changed something.
    pub fn take_changed(&mut self) -> bool {
        self.rehearsal.as_mut().is_some_and(|rehearsal| std::mem::take(&mut rehearsal.changed))
    }

    /// Says what a command would do, in its own words.
    pub fn would(&mut self, command: &str) {
        match self.mode() {
            super::Mode::Json => self.show_text("would", command),
            super::Mode::Text | super::Mode::Csv => self.write(&format!("would: {command}\n")),
        }
    }

    /// A request is about to be asked.
    pub(super) fn rehearse(&mut self, request: &Request) -> Result<(), ApiError> {
        let Some(rehearsal) = &mut self.rehearsal else { return Ok(()) };
        if request.changes() {
            rehearsal.changed = true;
            rehearsal.looks = 0;
            return Ok(());
        }
        self.look(1)
    }

    /// A pause of a dry run, which takes no time. False: this is none, so wait.
    pub fn skips(&mut self, time: Duration) -> Result<bool, ApiError> {
        let Some(rehearsal) = &mut self.rehearsal else { return Ok(false) };
        rehearsal.ahead = rehearsal.ahead.saturating_add(time);
        rehearsal.pauses += 1;
        if rehearsal.pauses > PAUSES {
            rehearsal.pauses = 0;
            return Err(endless("nothing ends these pauses"));
        }
        self.look(PAUSE).map(|()| true)
    }

    /// How far the clock is ahead by pauses that took no time.
    pub fn ahead(&self) -> Duration {
        self.rehearsal.as_ref().map_or(Duration::ZERO, |rehearsal| rehearsal.ahead)
    }

    /// Something was looked at, and may be looked at again until it has changed.
    pub fn look(&mut self, times: u32) -> Result<(), ApiError> {
        let Some(rehearsal) = &mut self.rehearsal else { return Ok(()) };
        rehearsal.looks = rehearsal.looks.saturating_add(times);
        if rehearsal.looks <= LOOKS {
            return Ok(());
        }
        rehearsal.looks = 0;
        Err(endless("what is waited for here does not come"))
    }
}

fn endless(why: &str) -> ApiError {
    ApiError::new(
        Code::OperationOrCommandIsNotSupported,
        format!("in a dry run this goes on for ever: {why}"),
    )
    .help("bound the loop by a number of turns or by now(), which an ended SLEEP moves in a dry run too")
}
