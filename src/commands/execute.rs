//! Carries commands out.

use super::{Args, Command, Handler, Outcome, Session};
use crate::api::{ApiError, Code};

/// Carries a command out: access first, then its handler.
pub fn execute(session: &mut Session, command: &'static Command, args: &Args) -> Result<Outcome, ApiError> {
    session.begin(args.name());
    match command.handler {
        Handler::Run(run) => session.needing(command.access, |session| run(session, args)),
        Handler::Interpreter(verb) => Err(ApiError::new(
            Code::OperationOrCommandIsNotSupported,
            format!("{verb:?} can only be run by the interpreter"),
        )),
        Handler::Later => Err(ApiError::new(
            Code::OperationOrCommandIsNotSupported,
            format!("{} is not yet available in this version", args.name().to_ascii_uppercase()),
        )
        .help("HELP lists the commands of this version")),
    }
}
