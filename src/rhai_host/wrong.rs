//! What went wrong in Rhai: a sentence, its kind, and its place in the Rhai file.

use super::leash::Pulled;
use super::module::line_and_column;
use super::{Leash, Limit, Limits, Module};
use crate::api::ApiError;
use rhai::{EvalAltResult, LexError, ParseError, ParseErrorType, Position};

/// An error of a Rhai file or of a call into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub kind: Kind,
    /// Without the place.
    pub message: String,
    pub help: Option<String>,
    /// The file's name as it was given.
    pub file: String,
    /// Line and column, from 1.
    pub place: Option<(usize, usize)>,
    /// The line at that place.
    pub line: String,
    /// The innermost function that it happened in, if Rhai says so.
    pub function: Option<String>,
}

/// What a caller cannot take: "a fraction (1.5)", and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub message: String,
    pub help: String,
}

/// What kind of error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The text is no Rhai, or not what a module may hold.
    Syntax,
    /// A limit ended the call.
    Limit(Limit),
    /// Whoever runs it wanted it to stop.
    Stopped,
    /// A registered function failed so, and nothing in the module caught it.
    Failed(Box<ApiError>),
    /// What the function returned is of no use to its caller: "a fraction (1.5)".
    Unfit,
    /// `throw`, a missing function, a wrong type, a division by zero ...
    Raised,
}

impl Wrong {
    fn new(kind: Kind, message: String, name: &str, text: &str, place: Position) -> Wrong {
        let place = line_and_column(place);
        let line = place.and_then(|(line, _)| text.lines().nth(line - 1)).unwrap_or_default().to_owned();
        Wrong { kind, message, help: None, file: name.to_owned(), place, line, function: None }
    }

    pub(super) fn of_parse(error: &ParseError, name: &str, text: &str) -> Wrong {
        let ParseError(kind, place) = error;
        let (message, help) = match &**kind {
            ParseErrorType::Reserved(word)
                if matches!(word.as_str(), "import" | "export" | "eval" | "curry") =>
            {
                let help = match word.as_str() {
                    "eval" => "write what is to be run as a function",
                    "curry" => "write a function that knows the value: |x| f(1, x)",
                    "import" => "a module is one file: USE the other file too",
                    _ => "every function that is not private can be called",
                };
                (format!("{word} is not available here"), Some(help.to_owned()))
            }
            ParseErrorType::BadInput(LexError::ImproperSymbol(symbol, _))
                if matches!(symbol.as_str(), "import" | "export" | "eval" | "curry") =>
            {
                (format!("{symbol} is not available here"), Some("a module is one file".to_owned()))
            }
            other => (lower_first(&other.to_string()), None),
        };
        let place = if place.is_none() { end_of(text) } else { *place };
        Wrong { help, ..Wrong::new(Kind::Syntax, message, name, text, place) }
    }

    /// A statement that stands in no function.
    pub(super) fn outside(name: &str, text: &str, place: Position) -> Wrong {
        let message = "only functions and constants stand in a module".to_owned();
        let wrong = Wrong::new(Kind::Syntax, message, name, text, place);
        Wrong { help: Some("put it into a function, or begin it with const".to_owned()), ..wrong }
    }

    /// A value that its caller cannot take, at the last place of the call.
    pub(super) fn of_value(unfit: Unfit, module: &Module, leash: &Leash) -> Wrong {
        let wrong = Wrong::new(Kind::Unfit, unfit.message, module.name(), module.text(), leash.place());
        Wrong { help: Some(unfit.help), ..wrong }
    }

    /// Rhai, or a function that was registered, panicked.
    pub(super) fn of_panic(message: &str, module: &Module, leash: &Leash) -> Wrong {
        let message = format!("Rhai itself failed: {message}");
        Wrong::new(Kind::Raised, message, module.name(), module.text(), leash.place())
    }

    pub(super) fn of_run(error: EvalAltResult, module: &Module, leash: &Leash, limits: &Limits) -> Wrong {
        let mut function = None;
        let mut inner = error;
        loop {
            inner = match inner {
                EvalAltResult::ErrorInFunctionCall(name, _, within, _) => {
                    function = Some(name);
                    *within
                }
                EvalAltResult::ErrorInModule(_, within, _) => *within,
                _ => break,
            };
        }
        let limit = match &inner {
            EvalAltResult::ErrorTooManyOperations(_) => Some(Limit::Operations),
            EvalAltResult::ErrorStackOverflow(_) => Some(Limit::Depth),
            EvalAltResult::ErrorDataTooLarge(what, _) if what.contains("string") => Some(Limit::String),
            EvalAltResult::ErrorDataTooLarge(what, _) if what.contains("map") => Some(Limit::Map),
            EvalAltResult::ErrorDataTooLarge(..) => Some(Limit::List),
            EvalAltResult::ErrorTerminated(..) if leash.pulled() == Some(Pulled::Time) => Some(Limit::Time),
            EvalAltResult::ErrorTerminated(..) if leash.pulled() == Some(Pulled::Memory) => {
                Some(Limit::Memory)
            }
            _ => None,
        };
        let (name, text) = (module.name(), module.text());
        if let Some(limit) = limit {
            let number = limits.number(limit);
            let message = match limit {
                Limit::Operations => format!("it took more than {number} steps"),
                Limit::Depth => format!("its functions call each other more than {number} deep"),
                Limit::String => format!("a string is longer than {number} bytes"),
                Limit::List => format!("a list has more than {number} items"),
                Limit::Map => format!("a map has more than {number} entries"),
                Limit::Memory => format!("it took more than {number} MiB of memory"),
                Limit::Time => format!("it took longer than {number} s"),
            };
            // Its own place was lost on the way out.
            let wrong = Wrong::new(Kind::Limit(limit), message, name, text, leash.place());
            let help =
                format!("if that is meant: DTCL --limit {}=NUMBER (at most {})", limit.name(), limit.most());
            return Wrong { help: Some(help), ..wrong };
        }
        let place = match inner.position() {
            place if place.is_none() => leash.place(),
            place => place,
        };
        let (kind, message, help) = match &mut inner {
            EvalAltResult::ErrorTerminated(..) => (Kind::Stopped, "stopped".to_owned(), None),
            EvalAltResult::ErrorRuntime(thrown, _) => match thrown.clone().try_cast::<ApiError>() {
                Some(error) => {
                    let (message, help) = (error.message.clone(), error.help.clone());
                    (Kind::Failed(Box::new(error)), message, help)
                }
                None if thrown.is_unit() => (Kind::Raised, "it threw an error".to_owned(), None),
                None => (Kind::Raised, thrown.to_string(), None),
            },
            other => {
                other.clear_position();
                (Kind::Raised, lower_first(&other.to_string()), None)
            }
        };
        Wrong { help, function, ..Wrong::new(kind, message, name, text, place) }
    }
}

/// Rhai's messages begin with a capital; ours follow a colon.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

fn end_of(text: &str) -> Position {
    let short = |n: usize| u16::try_from(n.max(1)).unwrap_or(u16::MAX);
    let column = text.lines().last().map_or(1, |line| line.chars().count());
    Position::new(short(text.lines().count()), short(column))
}
