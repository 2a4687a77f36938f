//! The forms that run something: connector, session and interpreter put together, and taken apart in good order.

use std::cell::RefCell;
use std::io::{BufReader, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::args::{Form, Input, Options};
use super::batch::Batch;
use super::lock::Lock;
use super::output::Output;
use super::stdin::Stdin;
use super::{fmt, grant, help, ui, user};
use crate::api::{ApiError, Reply, Request};
use crate::commands::{Mode, Session, Ui};
use crate::engine::home::Home;
use crate::machine::{Connector, Machine, Machines};
use crate::runtime::Interpreter;
use crate::service::{self, Listen};
use crate::shell::{self, lines::Plain};
use crate::sys::signal::{self, Manner};

/// Usage or syntax error; nothing was run.
pub const USAGE: i32 = 2;

/// A run that was stopped waits for its queues no longer than this.
const STOPPED_DRAIN: Duration = Duration::from_secs(10);

/// Runs a form that has an interpreter; gives the exit status.
pub fn run(form: Form, options: &Options, output: &Output) -> i32 {
    let shell = form == Form::Interactive;
    match &form {
        Form::Serve(listen) => return serve(listen, options),
        Form::User(act) => return user::run(act, output),
        Form::LanguageServer => return crate::lsp::run(connector(false).0),
        Form::Format { files, check } => return fmt::run(files, *check, options.json, output),
        _ => {}
    }
    let batch = &options.batch;
    let (connector, home) = connector(batch.dry_run);
    let console = ui::console(output, shell);
    let mut console: Box<dyn Ui> = match Batch::new(console, batch.log.as_deref(), batch.quiet, batch.timeout)
    {
        Ok(console) => Box::new(console),
        Err(error) => {
            let name = batch.log.as_deref().unwrap_or(Path::new("")).display();
            let message = format!("log {name}: {}", help::reason(&error));
            let help = "--log takes the path of a file in a directory that exists";
            say(&help::told(&message, help, options.json, false));
            return USAGE;
        }
    };
    // Held until the run is over, the drain of its connections included.
    let _lock = match batch.lock.as_deref().map(Lock::take) {
        None => None,
        Some(Ok(lock)) => Some(lock),
        Some(Err(error)) => {
            console.message(&help::told(&error.to_string(), error.help(), options.json, false));
            return 1;
        }
    };
    if let Form::Grant(act) = &form {
        return match connector.open("localhost") {
            Ok(machine) => grant::run(act, &machine, output),
            Err(error) => failed(&error),
        };
    }
    let mut session = Session::new(connector, console);
    session.set_verbose(batch.verbose);
    if batch.dry_run {
        session.set_dry_run();
    }
    if options.json {
        session.set_mode(Mode::Json);
    }
    session.set_exposed(matches!(form, Form::Words(_) | Form::Text(_)));
    let mut interpreter = Interpreter::new(session);
    interpreter.set_limits(options.limits);
    interpreter.preset(batch.variables.clone());
    signal::set_manner(Manner::Request);
    let status = match form {
        Form::Interactive => return interactive(interpreter, home.as_ref(), options.drain),
        Form::Script { file, args } => match read(&file) {
            Ok((name, text)) => interpreter.run_script(&name, &text, args),
            Err(problem) => refuse(&mut interpreter, &problem, options),
        },
        Form::Text(text) => interpreter.run_script("-c", text.as_bytes(), Vec::new()),
        Form::Words(words) => interpreter.run_words(&words),
        Form::Check(files) => check(&mut interpreter, &files, options),
        Form::Serve(_)
        | Form::User(_)
        | Form::Format { .. }
        | Form::LanguageServer
        | Form::Grant(_)
        | Form::TaskHook { .. }
        | Form::Complete(_)
        | Form::Help
        | Form::Version => USAGE,
    };
    close(&mut interpreter, options.drain);
    status
}

/// `serve`: the service of the home, in the foreground.
fn serve(listen: &Listen, options: &Options) -> i32 {
    match Home::find() {
        Ok(home) => service::run(home, listen, options.drain),
        Err(error) => failed(&error.into()),
    }
}

/// Says what is wrong, and what would be right.
pub(super) fn say_failed(message: &str, help: &str) {
    say(&help::told(message, help, false, false));
}

/// Says why something could not be done; gives the exit status.
pub(super) fn failed(error: &ApiError) -> i32 {
    say(&help::told(&error.message, error.help.as_deref().unwrap_or_default(), false, false));
    1
}

/// `-i`: at a terminal with a line editor, else line by line.
fn interactive(interpreter: Interpreter, home: Option<&Home>, drain: Duration) -> i32 {
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let interpreter = Rc::new(RefCell::new(interpreter));
    signal::set_manner(Manner::Command);
    let status = if terminal {
        let history = home.and_then(|home| match home.create() {
            Ok(()) => Some(shell::history_file(home.state_dir())),
            Err(error) => {
                let message = format!("warning: no history is kept: {error}");
                interpreter.borrow_mut().session_mut().ui().message(&message);
                None
            }
        });
        shell::on_terminal(&interpreter, history, own_script(), ui::colour())
    } else {
        shell::run(&interpreter, &mut Plain::new(BufReader::new(Stdin::new())))
    };
    close(&mut interpreter.borrow_mut(), drain);
    status
}

/// What a person has every shell begin with: `dtcl/rc.dtcl` in the directory for configuration.
fn own_script() -> Option<PathBuf> {
    let place = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = place("XDG_CONFIG_HOME").or_else(|| place("HOME").map(|home| home.join(".config")))?;
    Some(config.join("dtcl/rc.dtcl"))
}

/// Ends the session's hold on all machines. From here on one signal is enough to end at once.
fn close(interpreter: &mut Interpreter, drain: Duration) {
    let session = &mut *interpreter.session_mut();
    let stopped = signal::stop_requested() || session.ui().out_of_time().is_some();
    let drain = if stopped { drain.min(STOPPED_DRAIN) } else { drain };
    session.ui().progress(None);
    session.ui().flush();
    signal::set_manner(Manner::AtOnce);
    for connection in busy(session) {
        let seconds = drain.as_secs();
        session
            .ui()
            .message(&format!("{connection} is finishing, for at most {seconds} s; Ctrl-C ends it at once"));
    }
    session.close(drain);
}

/// Connections that an end of this process would cut off in the middle of something.
fn busy(session: &mut Session) -> Vec<String> {
    let mut busy = Vec::new();
    if session.is_dry_run() {
        return busy;
    }
    for machine in session.machines_in_use() {
        if machine.keeps_connections() {
            continue;
        }
        let Ok(Reply::Connections(connections)) = session.ask(&machine, Request::StatusAll) else { continue };
        let working = connections.iter().filter(|connection| {
            let queued = connection.mirror_bytes_queued + connection.replication_bytes_queued;
            queued > 0 || !matches!(connection.mirror.as_str(), "Idle" | "Paused")
        });
        busy.extend(working.map(|one| format!("connection {} ({} to {})", one.id, one.repset, one.target)));
    }
    busy
}

fn refuse(interpreter: &mut Interpreter, problem: &Unreadable, options: &Options) -> i32 {
    interpreter.session_mut().ui().message(&help::told(
        &problem.to_string(),
        problem.help(),
        options.json,
        false,
    ));
    USAGE
}

/// Says it on standard error; nobody can be told that that is gone.
pub(super) fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// A script that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {name}: {}", help::reason(error))]
pub(super) struct Unreadable {
    name: String,
    pub(super) error: std::io::Error,
}

impl Unreadable {
    pub(super) fn help(&self) -> &'static str {
        match self.error.kind() {
            std::io::ErrorKind::NotFound => "-f takes the path of a script, or - for standard input",
            std::io::ErrorKind::IsADirectory => "name a script in that directory",
            _ => "the file must be readable by the user who runs DTCL",
        }
    }
}

/// A script's name in messages and its bytes.
pub(super) fn read(input: &Input) -> Result<(String, Vec<u8>), Unreadable> {
    match input {
        Input::Stdin => {
            let name = "-".to_owned();
            let mut text = Vec::new();
            // Nothing is under way yet that a signal would have to end in good order.
            signal::set_manner(Manner::AtOnce);
            let read = Stdin::new().read_to_end(&mut text);
            signal::set_manner(Manner::Request);
            match read {
                Ok(_) => Ok((name, text)),
                Err(error) => Err(Unreadable { name: "standard input".into(), error }),
            }
        }
        Input::File(path) => {
            let name = path.to_string_lossy().into_owned();
            std::fs::read(path).map(|text| (name.clone(), text)).map_err(|error| Unreadable { name, error })
        }
    }
}

fn check(interpreter: &mut Interpreter, files: &[Input], options: &Options) -> i32 {
    let mut status = 0;
    for file in files {
        let clean = match read(file) {
            Ok((name, text)) => interpreter.check(&name, &text),
            Err(problem) => refuse(interpreter, &problem, options) == 0,
        };
        if !clean {
            status = USAGE;
        }
    }
    status
}

/// How machines are found. Without a home only those that need none are. In a dry run each stands for itself only in questions.
pub(super) fn connector(dry_run: bool) -> (Arc<dyn Connector>, Option<Home>) {
    match Home::find() {
        Ok(home) if dry_run => (Machines::rehearsed(home.clone()), Some(home)),
        Ok(home) => (Machines::new(home.clone()), Some(home)),
        Err(error) => (Arc::new(Homeless(error.into())), None),
    }
}

/// No directory for an engine: told by the first command that needs a machine.
struct Homeless(ApiError);

impl Connector for Homeless {
    fn local(&self) -> String {
        nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
    }

    fn open(&self, _: &str) -> Result<Arc<dyn Machine>, ApiError> {
        Err(self.0.clone())
    }
}
