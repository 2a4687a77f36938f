//! The program: arguments, exit status, standard streams, signals. What a script does is the interpreter's.
//!
//! A run that only prints starts nothing: no runtime, no threads, no engine, no home.

pub mod args;
mod help;
mod meter;
mod output;
mod prompt;
mod stdin;
mod ui;

use std::process::ExitCode;

use args::Form;

/// Usage or syntax error; nothing was run.
const USAGE: u8 = 2;

/// The program. Returns its exit status (language.md 1).
pub fn main() -> ExitCode {
    let invocation = match args::parse(std::env::args_os().skip(1)) {
        Ok(invocation) => invocation,
        Err(rejected) => {
            eprintln!("{}", help::rejected(&rejected));
            return USAGE.into();
        }
    };
    let output = output::Output::stdout();
    match invocation.form {
        Form::Help => output.write(help::HELP),
        Form::Version => output.write(&help::version()),
        Form::Later(form) => {
            eprintln!("{}", help::later(form, invocation.options.json));
            return ExitCode::FAILURE;
        }
        _ => return USAGE.into(),
    }
    match output.finish() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
