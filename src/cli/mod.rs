//! The program: arguments, exit status, standard streams, signals. What a script does is the interpreter's.
//!
//! A run that only prints starts nothing: no runtime, no threads, no engine, no home.

pub mod args;
mod batch;
#[cfg(test)]
mod completion;
mod dtstat;
mod fmt;
mod grant;
mod help;
mod lock;
mod logviewer;
mod meter;
mod output;
mod pager;
mod prompt;
mod run;
mod stdin;
mod ui;
mod user;

use std::io::Write as _;
use std::process::ExitCode;

use crate::shell;
use crate::sys::signal::{self, Manner};
use crate::sys::stack;
use args::Form;

/// The program. Returns its exit status (language.md 1).
pub fn main() -> ExitCode {
    // Without handlers a signal still ends the process, only not in good order.
    let _ = signal::install(Manner::AtOnce);
    if let Some(options) = logviewer::asked(std::env::args_os()) {
        return exit_code(logviewer::run(options));
    }
    let got = stack::raise();
    if let Some(args) = dtstat::asked_for(std::env::args_os()) {
        return exit_code(dtstat::main(args));
    }
    let mut invocation = match args::parse(std::env::args_os().skip(1)) {
        Ok(invocation) => invocation,
        Err(rejected) => return end(run::USAGE, &help::rejected(&rejected)),
    };
    invocation.options.limits.fit(got, stack::SIZE);
    let output = output::Output::stdout();
    let options = &invocation.options;
    let status = match invocation.form {
        Form::Help => {
            output.write(help::HELP);
            0
        }
        Form::Complete(text) => {
            for offer in shell::complete::words(&text) {
                output.write(&format!("{offer}\n"));
            }
            0
        }
        Form::Version => {
            output.write(&help::version());
            0
        }
        // Its signals are those of any other task.
        Form::TaskHook { file, args } => crate::runtime::hook::run(&file, &args),
        form => run::run(form, options, &output),
    };
    match output.finish() {
        Ok(()) => exit_code(status),
        // What could not be written is a failure, whatever else went well.
        Err(error) => end(if status == 0 { 1 } else { status }, &help::unwritten(&error, options.json)),
    }
}

/// Says why, and ends with this status.
fn end(status: i32, message: &str) -> ExitCode {
    // Nobody can be told that standard error is gone.
    let _ = writeln!(std::io::stderr(), "{message}");
    exit_code(status)
}

/// Statuses are 0 to 255; an interpreter gives no other.
fn exit_code(status: i32) -> ExitCode {
    u8::try_from(status).unwrap_or(1).into()
}

#[cfg(test)]
mod tests {
    /// `scripts/generate` writes it.
    #[test]
    fn the_committed_manual_page_is_the_help() {
        let pages = [
            ("DTCL.1", crate::commands::manual::program(super::help::HELP)),
            ("DTStat.1", crate::commands::manual::statistics(super::dtstat::HELP)),
        ];
        for (name, page) in pages {
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man").join(name);
            if std::env::var_os("DTCL_REGENERATE").is_some() {
                std::fs::write(&file, &page).unwrap();
            }
            let committed = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(committed == page, "docs/man/{name} is out of date: scripts/generate");
        }
    }
}
