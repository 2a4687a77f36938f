//! USE: Rhai modules of a script (language.md 6). What they may do is bounded by [`crate::rhai_host`]; what they may
//! reach is registered in [`functions`], and goes through the caller's session like a command that was typed.

mod check;
mod convert;
mod dates;
mod functions;
mod modules;
mod single;

pub use check::check;
pub use modules::{ModuleCall, Modules};

use super::execute::Turn;
use super::failure::Failure;
use super::fault::Fault;
use super::{Interpreter, status};
use crate::api::{ApiError, Code};
use crate::commands::Args;
use crate::lang::{Beside, Value};
use crate::rhai_host::{Host, Kind, Wrong};
use crate::sys::read_regular;
use std::path::Path;
use std::rc::Rc;

/// No module is longer.
const LONGEST: u64 = 1 << 20;

impl Interpreter {
    /// USE: loads a module into the scope of this script.
    pub(super) fn use_module(&mut self, args: &Args) -> Result<i64, Failure> {
        let (file, name) = (args.text("file")?, args.optional("name")?);
        let path = self.named_here(&file);
        let shown = path.to_string_lossy().into_owned();
        let text = read(&path, &shown)?;
        let name = module_name(name, &path)?;
        let host = self.host();
        let module = host.compile(&shown, &text).map_err(|wrong| {
            let message = format!("{shown} is no Rhai module: {}", wrong.message);
            let error = ApiError::new(Code::CommandNotValidOrItsSyntaxIncorrect, message);
            let help = wrong.help.clone();
            let beside = beside(&wrong, "here");
            Failure { help, beside, status: status::SYNTAX, ..Failure::new(error) }
        })?;
        if let Some(scope) = self.scopes.last_mut() {
            scope.modules.load(name, Rc::new(module)).map_err(Failure::from)?;
        }
        Ok(1)
    }

    /// The engine, made when the first module is loaded.
    fn host(&mut self) -> Rc<Host> {
        let session = Rc::clone(&self.session);
        let limits = self.limits;
        if self.host.as_ref().is_some_and(|host| host.is_broken()) {
            self.host = None;
        }
        Rc::clone(self.host.get_or_insert_with(|| Rc::new(functions::host(limits, &session))))
    }

    /// Calls a function of a module. `dropped`: nobody wants its value, so it need not have one.
    pub(super) fn call_module(
        &mut self,
        call: &ModuleCall,
        arguments: &[Value],
        dropped: bool,
    ) -> Result<Value, Turn> {
        let Some(scope) = self.scopes.last() else { return Ok(Value::Boolean(false)) };
        let (module, function) = scope.modules.find(call)?;
        let host = self.host();
        let name = call.shown.as_str();
        let given = convert::arguments(name, arguments, host.limits())?;
        let take = |value: rhai::Dynamic| match dropped && value.is_unit() {
            true => Ok(Value::Boolean(false)),
            false => convert::value(value),
        };
        host.call(&module, &function, given, take).map_err(|wrong| self.gone_wrong(name, *wrong))
    }

    fn gone_wrong(&mut self, name: &str, wrong: Wrong) -> Turn {
        let note = match &wrong.function {
            Some(function) => format!("in {function}"),
            None => format!("in {name}"),
        };
        let beside = beside(&wrong, &note);
        let code = match &wrong.kind {
            Kind::Stopped => return Turn::Failed(Failure { beside, ..self.stopped() }),
            Kind::Failed(error) => error.code,
            Kind::Unfit => Code::InvalidParameterWasSupplied,
            Kind::Syntax | Kind::Limit(_) | Kind::Raised => Code::UnknownError,
        };
        let message = match wrong.kind {
            Kind::Unfit => format!("{name} returned {}", wrong.message),
            _ => format!("{name}: {}", wrong.message),
        };
        let fault = Fault::with(code, message);
        Turn::Fault(Box::new(Fault { help: wrong.help, beside, ..*fault }))
    }
}

/// The file of a module, at most [`LONGEST`] bytes of UTF-8.
fn read(path: &Path, shown: &str) -> Result<String, ApiError> {
    let rhai = path.extension().is_some_and(|extension| extension == "rhai");
    if !rhai {
        return Err(invalid(format!("{shown} is no .rhai file"))
            .help("USE loads Rhai modules; scripts in DTCL are loaded with INCLUDE"));
    }
    let failed = |error: std::io::Error| {
        invalid(format!("cannot read {shown}: {error}"))
            .help("a relative name is looked for beside the script that names it")
    };
    let bytes = read_regular(path, LONGEST).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| invalid(format!("{shown} is no UTF-8 text")))
}

/// What stands before `::`: the name behind AS, else the file's own, if it can be one.
fn module_name(given: Option<String>, path: &Path) -> Result<Option<String>, ApiError> {
    match given {
        Some(name) if is_name(&name) => Ok(Some(name)),
        Some(name) => Err(invalid(format!("{name} is no name for a module"))
            .help("letters, digits and _, not beginning with a digit")),
        None => {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            Ok(stem.filter(|stem| is_name(stem)).map(str::to_owned))
        }
    }
}

/// The place of a Rhai error as the second place of a finding.
fn beside(wrong: &Wrong, note: &str) -> Option<Box<Beside>> {
    let (line, column) = wrong.place?;
    Some(Box::new(Beside {
        file: wrong.file.clone(),
        line,
        column,
        text: wrong.line.clone(),
        note: note.to_owned(),
    }))
}

/// What may stand before `::`.
fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii())
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii())
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterWasSupplied, message)
}
