//! One command as a text, as `run("...")` takes it.

use crate::api::{ApiError, Code};
use crate::commands::{Args, Command, Handler, Verb};
use crate::lang::Source;
use crate::runtime::compile;
use crate::runtime::program::Op;
use crate::runtime::scope::Names;
use std::sync::Arc;

/// They open a file that the text names, where the client runs.
const FILES: [&str; 3] = ["SPOOL", "REPSET EXPORT", "REPSET IMPORT"];

/// The command and its arguments. -102 if the text is not exactly one, -161 for those that are the script's own.
pub(super) fn command(text: &str) -> Result<(&'static Command, Args), ApiError> {
    let compiled = compile::compile(Arc::new(Source::new("run", text)), &mut Names::default(), false);
    let program = compiled.map_err(|(_, problems)| {
        let error = problems.into_iter().next();
        let (message, help) = error.map_or_else(Default::default, |error| (error.message, error.help));
        let error = ApiError::new(Code::CommandNotValidOrItsSyntaxIncorrect, message);
        ApiError { help, ..error }
    })?;
    let only = match program.ops[..] {
        [.., Op::Command(number), Op::End] if program.extents.len() == 2 => Some(number),
        _ => None,
    };
    if let [.., Op::Write(_) | Op::WriteNoLine(_), Op::End] = program.ops[..] {
        return Err(own("WRITE"));
    }
    let Some(number) = only else {
        return Err(ApiError::new(
            Code::CommandNotValidOrItsSyntaxIncorrect,
            "run() takes exactly one command",
        )
        .help(
            "conditions, loops and assignments are written in Rhai: let r = run(\"mirror start 1\"); r.value",
        ));
    };
    let invocation = program.invocations.into_iter().nth(number as usize);
    let Some(invocation) = invocation.filter(|invocation| invocation.holes.is_empty()) else {
        return Err(ApiError::new(
            Code::CommandNotValidOrItsSyntaxIncorrect,
            "variables of the script are not known in run()",
        )
        .help("pass the value to the function, and join it to the text: run(`mirror start ${con}`)"));
    };
    let name = invocation.args.name().to_ascii_uppercase();
    if FILES.contains(&name.as_str()) {
        return Err(own(&name));
    }
    match invocation.command.handler {
        Handler::Run(_) | Handler::Later | Handler::Interpreter(Verb::Sleep) => {}
        Handler::Interpreter(_) => {
            return Err(own(&name));
        }
    }
    Ok((invocation.command, invocation.args))
}

/// A command that only the script itself has.
fn own(name: &str) -> ApiError {
    ApiError::new(Code::OperationOrCommandIsNotSupported, format!("{name} cannot be run from Rhai"))
        .help("print(...) writes; files and loops are the script's own")
}
