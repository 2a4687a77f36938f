//! The commands that the interpreter carries out itself: SLEEP, RUN, INCLUDE, EXIT, USE, and WATCH's pause.

use super::execute::Done;
use super::failure::Failure;
use super::fault::Fault;
use super::frame::{Caller, DEPTH_LIMIT, Frame};
use super::scope::Scope;
use super::{Interpreter, compile, status};
use crate::api::{ApiError, Code};
use crate::commands::{Args, Verb};
use crate::lang::{self, Source, Span, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a pause goes on without looking whether the person wants to stop.
const LOOK: Duration = Duration::from_millis(20);

impl Interpreter {
    pub(super) fn verb(&mut self, verb: Verb, args: &Args, assigned: bool, span: Span) -> Done {
        match verb {
            Verb::Sleep => Done::Value(self.sleep(args).map(|()| 1)),
            Verb::Exit => match exit_status(args) {
                Ok(status) => Done::Exit(status),
                Err(error) => Done::Value(Err(error.into())),
            },
            Verb::Run => self.run_file(args, assigned, span),
            Verb::Include => self.include(args, assigned),
            Verb::Use => Done::Value(self.use_module(args)),
            // Operations of their own.
            Verb::Write | Verb::Watch => Done::Value(Ok(1)),
        }
    }

    fn sleep(&mut self, args: &Args) -> Result<(), Failure> {
        let time = args.duration()?.unwrap_or_default();
        self.pause(time)
    }

    /// Waits; the person's wish to stop ends it.
    pub(super) fn pause(&mut self, time: Duration) -> Result<(), Failure> {
        if self.session.borrow_mut().skips(time)? {
            return Ok(());
        }
        // What was written so far is seen while it waits.
        self.session.borrow_mut().ui().flush();
        let start = Instant::now();
        loop {
            if self.session.borrow().cancelled() {
                return Err(self.stopped());
            }
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// RUN: a scope of its own; its end gives the value.
    fn run_file(&mut self, args: &Args, assigned: bool, span: Span) -> Done {
        let loaded = args.text("file").map_err(Failure::from).and_then(|name| self.load(&name));
        let source = match loaded {
            Ok(source) => source,
            Err(failure) => return Done::Value(Err(failure)),
        };
        let arguments = args.values("arg").map(|value| value.to_string().into()).collect();
        let mut scope = Scope { arguments, script: source.name.as_str().into(), ..Scope::default() };
        match compile::compile(source, &mut scope.names, false) {
            Ok(program) => {
                let frame = Frame::new(Arc::new(program), Caller::Run { assigned, span }, self.stack.len());
                self.frames.push(frame);
                self.scopes.push(scope);
                Done::Entered
            }
            Err((source, problems)) => {
                self.tell_all(&problems, &source);
                Done::Value(Err(Failure { value: -i64::from(status::SYNTAX), ..broken(&source) }))
            }
        }
    }

    /// INCLUDE: shares this scope.
    fn include(&mut self, args: &Args, assigned: bool) -> Done {
        let loaded = args.text("file").map_err(Failure::from).and_then(|name| self.load(&name));
        let source = match loaded {
            Ok(source) => source,
            Err(failure) => return Done::Value(Err(failure)),
        };
        let Some(scope) = self.scopes.last_mut() else { return Done::Value(Ok(1)) };
        let modules = !scope.modules.is_empty();
        match compile::compile(source, &mut scope.names, modules) {
            Ok(program) => {
                let caller = Caller::Include { assigned };
                self.frames.push(Frame::new(Arc::new(program), caller, self.stack.len()));
                Done::Entered
            }
            Err((source, problems)) => {
                self.tell_all(&problems, &source);
                Done::Value(Err(broken(&source)))
            }
        }
    }

    /// A file named by the script that runs.
    pub(super) fn named_here(&self, name: &str) -> PathBuf {
        match self.frames.last() {
            Some(frame) => beside(&frame.program.source.name, name),
            None => PathBuf::from(name),
        }
    }

    /// A script named by RUN or INCLUDE.
    fn load(&mut self, name: &str) -> Result<Arc<Source>, Failure> {
        if self.frames.len() >= DEPTH_LIMIT {
            return Err(ApiError::new(
                Code::InvalidParameterWasSupplied,
                format!("scripts run scripts more than {DEPTH_LIMIT} deep"),
            )
            .help("a script that runs or includes itself must stop somewhere")
            .into());
        }
        let path = self.named_here(name);
        let shown = path.to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).map_err(|error| {
            ApiError::new(Code::InvalidParameterWasSupplied, format!("cannot read {shown}: {error}"))
                .help("a relative name is looked for beside the script that names it")
        })?;
        lang::decode(shown, &bytes).map(Arc::new).map_err(|refused| {
            let (source, problem) = *refused;
            self.tell(&problem, &source);
            broken(&source)
        })
    }
}

/// A file with syntax errors, which have been told: nothing of it is run.
fn broken(source: &Source) -> Failure {
    Failure {
        status: status::SYNTAX,
        ..Failure::new(ApiError::new(
            Code::CommandNotValidOrItsSyntaxIncorrect,
            format!("{} has errors; nothing of it is run", source.name),
        ))
    }
}

/// Where a script finds another one by name: relative names are looked for beside it.
pub(super) fn beside(script: &str, name: &str) -> PathBuf {
    match Path::new(script).parent() {
        Some(directory) if Path::new(script).is_file() => directory.join(name),
        _ => PathBuf::from(name),
    }
}

/// EXIT's and QUIT's status, 0 without one.
fn exit_status(args: &Args) -> Result<i32, ApiError> {
    let Some(text) = args.optional("n")? else { return Ok(0) };
    text.trim().parse::<u8>().map(i32::from).map_err(|_| {
        ApiError::new(Code::InvalidParameterWasSupplied, format!("{text} is no exit status"))
            .help("an exit status is a number from 0 to 255")
    })
}

/// WATCH's pause: whole or decimal seconds.
pub(super) fn seconds(value: &Value) -> Result<Duration, Box<Fault>> {
    let text = value.to_string();
    text.parse::<f64>()
        .ok()
        .filter(|n| (0.1..=86_400.0).contains(n))
        .and_then(|n| Duration::try_from_secs_f64(n).ok())
        .ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Fault::new(format!("\"{shown}\" is no time to watch in")).help("seconds, from 0.1 to 86400")
        })
}

/// The user that this process runs as.
pub(super) fn user() -> String {
    let uid = nix::unistd::getuid();
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}
