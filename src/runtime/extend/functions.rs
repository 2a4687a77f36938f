//! What a Rhai function may call beyond the language itself. Whatever asks a machine goes through the session that the
//! script has, under the same access.

use super::{convert, dates, single};
use crate::api::{ApiError, Code};
use crate::commands::{self, Handler, Mode, Session};
use crate::lang::{self, Function, Value};
use crate::rhai_host::{Host, Leash, Limits, Owner};
use crate::runtime::fault::Fault;
use crate::runtime::inquiry;
use rhai::{Array, Dynamic, Engine, EvalAltResult, INT, Map, Position};
use std::cell::RefCell;
use std::rc::Rc;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;
type Shared = Rc<RefCell<Session>>;

/// Who runs the script. While a function has the session, it looks itself.
struct Caller(Shared);

impl Owner for Caller {
    fn wants_stop(&self) -> bool {
        self.0.try_borrow().is_ok_and(|session| session.cancelled())
    }

    fn takes_time(&self) {
        if let Ok(mut session) = self.0.try_borrow_mut() {
            session.ui().flush();
        }
    }
}

/// The engine of an interpreter.
pub(super) fn host(limits: Limits, session: &Shared) -> Host {
    Host::new(limits, Caller(Rc::clone(session)), |engine, leash| {
        dates::register(engine);
        output(engine, session);
        inquiries(engine, session, leash);
        let (session, leash) = (Rc::clone(session), Rc::clone(leash));
        engine.register_fn("run", move |text: &str| run(&session, &leash, limits.string, text));
        engine.register_fn("quote", |text: &str| lang::quote(text));
        engine.register_fn("to_json", |map: Map| json(Dynamic::from(map)));
        engine.register_fn("to_json", |array: Array| json(Dynamic::from(array)));
        // An error of a machine that `catch` caught.
        engine
            .register_type_with_name::<ApiError>("error")
            .register_get("code", |error: &mut ApiError| error.code.value())
            .register_get("message", |error: &mut ApiError| error.message.clone())
            .register_fn("to_string", |error: &mut ApiError| error.message.clone())
            .register_fn("to_debug", |error: &mut ApiError| error.message.clone());
    })
}

/// `print` as WRITE does it; `debug` and `log` as messages, which --log keeps too.
fn output(engine: &mut Engine, session: &Shared) {
    let to = Rc::clone(session);
    engine.on_print(move |text| {
        let mut session = to.borrow_mut();
        let text = format!("{text}\n");
        if session.mode() == Mode::Json { session.show_text("write", &text) } else { session.write(&text) }
    });
    let to = Rc::clone(session);
    engine.on_debug(move |text, file, place| {
        let file = file.unwrap_or_default();
        let line = place.line().unwrap_or_default();
        to.borrow_mut().ui().message(&format!("{file}:{line}: debug: {text}"));
    });
    let to = Rc::clone(session);
    engine.register_fn("log", move |text: Dynamic| to.borrow_mut().ui().message(&text.to_string()));
}

/// An error of a machine or a command, that keeps its number.
fn failed(error: ApiError) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(error), Position::NONE))
}

impl From<Box<Fault>> for ApiError {
    fn from(fault: Box<Fault>) -> Self {
        let code = Code::from_number(fault.code.into()).unwrap_or(Code::UnknownError);
        ApiError { code, message: fault.message, help: fault.help }
    }
}

/// `option(name)`, `status(con)`, `connections()`, `repsets()`, as the language has them.
fn inquiries(engine: &mut Engine, session: &Shared, leash: &Rc<Leash>) {
    let ask = |function: Function| {
        let (session, leash) = (Rc::clone(session), Rc::clone(leash));
        move |arguments: &[Value]| -> Result<Dynamic> {
            leash.check()?;
            let mut session = session.borrow_mut();
            let answer = session.until(leash.deadline(), |s| inquiry::ask(s, function, arguments));
            drop(session);
            // An answer that came too late is none.
            leash.check()?;
            answer.map(|value| convert::own(&value)).map_err(|fault| failed(fault.into()))
        }
    };
    let option = ask(Function::Option);
    engine.register_fn("option", move |name: &str| option(&[Value::text(name)]));
    let status = ask(Function::Status);
    engine.register_fn("status", move |con: INT| status(&[Value::Integer(con)]));
    let connections = ask(Function::Connections);
    engine.register_fn("connections", move || connections(&[]));
    let repsets = ask(Function::Repsets);
    engine.register_fn("repsets", move || repsets(&[]));
}

/// `run(text)`: one command, as if it had been typed. A map: `value`, `text` (what it would have printed) and `error`
/// (its message, or ""). A command that fails throws nothing.
fn run(session: &Shared, leash: &Rc<Leash>, limit: usize, text: &str) -> Result<Map> {
    leash.check()?;
    let (done, text) = match single::command(text) {
        Err(error) => (Err(error), Some(String::new())),
        Ok((command, args)) => match command.handler {
            Handler::Interpreter(_) => {
                let time = args.duration().map(Option::unwrap_or_default);
                let slept = time.map(|time| {
                    // The leash asks the session, too.
                    let skips = session.borrow_mut().skips(time);
                    match skips {
                        Ok(true) => Ok(()),
                        Ok(false) => leash.sleep(time),
                        Err(error) => Err(failed(error)),
                    }
                });
                match slept {
                    Ok(Err(ended)) => return Err(ended),
                    Ok(Ok(())) => (Ok(1), Some(String::new())),
                    Err(error) => (Err(error), Some(String::new())),
                }
            }
            Handler::Run(_) | Handler::Later => {
                let mut session = session.borrow_mut();
                if session.is_verbose() {
                    session.trace("run", &args, text);
                }
                let ran = session.until(leash.deadline(), |session| {
                    session.captured(limit, |session| {
                        let outcome = commands::execute(session, command, &args)?;
                        session.show(command, &outcome);
                        Ok(outcome.value)
                    })
                });
                if session.take_changed() && ran.0.is_ok() {
                    session.would(&crate::runtime::rehearse::plain(text.trim()));
                }
                ran
            }
        },
    };
    leash.check()?;
    let Some(text) = text else {
        let what = "Length of string".to_owned();
        return Err(Box::new(EvalAltResult::ErrorDataTooLarge(what, Position::NONE)));
    };
    let (value, error) = match done {
        Ok(value) => (value, String::new()),
        Err(error) => (error.code.value(), error.message),
    };
    let mut map = Map::new();
    map.insert("value".into(), Dynamic::from(value));
    map.insert("text".into(), Dynamic::from(text));
    map.insert("error".into(), Dynamic::from(error));
    Ok(map)
}

/// As WRITE prints a list or map.
fn json(value: Dynamic) -> Result<String> {
    match convert::value(value) {
        Ok(value) => Ok(value.to_string()),
        Err(unfit) => Err(format!("to_json: {}; {}", unfit.message, unfit.help).into()),
    }
}
