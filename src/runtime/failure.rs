//! Failures: how they are told, what they do to the script, and the status it exits with (language.md 1 and 4).

use super::fault::Fault;
use super::frame::Policy;
use super::{Interpreter, status};
use crate::api::{ApiError, Code};
use crate::lang::{Beside, Diagnostic, Severity, Source, Span};
use std::sync::Arc;

/// A command or expression that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What the command returns: 0 or negative.
    pub value: i64,
    /// The product's number, positive; 0 where none fits.
    pub code: u16,
    pub message: String,
    pub help: Option<String>,
    /// Its place in a Rhai module.
    pub beside: Option<Box<Beside>>,
    /// The exit status it stops a script with.
    pub status: i32,
    /// Already told, by the script it ran.
    pub told: bool,
}

impl Failure {
    pub fn new(error: ApiError) -> Failure {
        let status = match error.code {
            Code::InsufficientSecurityAccess | Code::InsufficientSourceSecurityAccess => status::ACCESS,
            Code::ServerDoesNotExistOrCouldNotBeLocated | Code::ServerIsNotResponding => status::UNREACHABLE,
            _ => status::FAILED,
        };
        Failure {
            value: error.code.value(),
            code: error.code.number(),
            message: error.message,
            help: error.help,
            beside: None,
            status,
            told: false,
        }
    }

    /// A command that returned 0 or a negative number without an error of its own. `name` is its keywords.
    pub fn returned(value: i64, name: &str) -> Failure {
        if value < 0
            && let Some(code) = Code::from_number(value)
        {
            return Failure::new(ApiError::bare(code));
        }
        let upper = name.to_ascii_uppercase();
        let (message, status) = match name {
            "login" | "logon" if value == 0 => (format!("{upper} was given no access"), status::ACCESS),
            _ if value == 0 && is_wait(name) => (format!("{upper}: the time ran out"), status::TIMED_OUT),
            "task status" if value == 0 => {
                (format!("{upper}: the task has failed, or was ignored"), status::FAILED)
            }
            _ => (format!("{upper} failed with {value}"), status::FAILED),
        };
        Failure { value, code: 0, message, help: None, beside: None, status, told: false }
    }
}

fn is_wait(name: &str) -> bool {
    name.starts_with("waiton") || name.starts_with("barrier")
}

impl From<Box<Fault>> for Failure {
    fn from(fault: Box<Fault>) -> Self {
        let code = Code::from_number(fault.code.into()).unwrap_or(Code::UnknownError);
        let error = ApiError { code, message: fault.message, help: fault.help };
        Failure { beside: fault.beside, ..Failure::new(error) }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Failure::new(error)
    }
}

/// Where the script goes on after a failure.
pub enum After {
    /// In the topmost frame, at its place.
    GoOn,
    /// The script ends with this status.
    Stop(i32),
}

impl Interpreter {
    /// The person stopped it, or the run's time is over.
    pub(super) fn stopped(&self) -> Failure {
        let over = self.session.borrow_mut().ui().out_of_time();
        let (message, status) = match over {
            Some(limit) => (format!("the run took longer than {} s", limit.as_secs()), status::TIMED_OUT),
            None => ("stopped".to_owned(), status::STOPPED),
        };
        let help = over.map(|_| "--timeout ended it; what was started on machines goes on".to_owned());
        let value = Code::UnknownError.value();
        Failure { value, code: 0, message, help, beside: None, status, told: false }
    }

    /// A wish to stop means everything: no assignment and no ON ERROR goes on past it.
    pub(super) fn is_stopping(&self, status: i32) -> bool {
        status == status::STOPPED || self.session.borrow_mut().ui().out_of_time().is_some()
    }

    /// A failure that no assignment caught. The topmost frame's place is the failing operation.
    pub(super) fn failed(&mut self, failure: &Failure, span: Span, source: &Arc<Source>) -> After {
        self.result = failure.value;
        self.error = failure.message.as_str().into();
        let stopping = self.is_stopping(failure.status);
        let quiet = stopping && self.session.borrow_mut().ui().unread();
        if !failure.told && !quiet {
            self.report(failure, span, source);
        }
        if stopping {
            return After::Stop(failure.status);
        }
        // A failure in an ON ERROR block stops at once.
        let script = self.script_frames();
        if let Some(status) = self.frames[script.clone()].iter().find_map(|frame| frame.stopping) {
            return After::Stop(status);
        }
        let found = script.rev().find(|n| self.frames[*n].policy != Policy::Inherit);
        match found.map(|n| (n, self.frames[n].policy)) {
            Some((_, Policy::Continue)) => {
                if let Some(scope) = self.scopes.last_mut() {
                    scope.went_on = true;
                }
                if let Some(frame) = self.frames.last_mut() {
                    frame.at = frame.program.resume_after(frame.at);
                    self.stack.truncate(frame.base);
                }
                After::GoOn
            }
            Some((n, Policy::Do(block))) => {
                // The block stands in the file that said so; files included from there end.
                self.frames.truncate(n + 1);
                if let Some(frame) = self.frames.last_mut() {
                    frame.at = block;
                    frame.stopping = Some(failure.status);
                    self.stack.truncate(frame.base);
                }
                After::GoOn
            }
            _ => After::Stop(failure.status),
        }
    }

    /// The frames of the innermost script: its own file and what it includes.
    pub(super) fn script_frames(&self) -> std::ops::Range<usize> {
        let start = self
            .frames
            .iter()
            .rposition(|frame| !matches!(frame.caller, super::frame::Caller::Include { .. }))
            .unwrap_or(0);
        start..self.frames.len()
    }

    fn report(&mut self, failure: &Failure, span: Span, source: &Arc<Source>) {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code: failure.code,
            message: failure.message.clone(),
            span,
            help: failure.help.clone(),
            beside: failure.beside.clone(),
        };
        self.tell(&diagnostic, source);
    }
}
