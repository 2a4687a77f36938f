//! For tests of this module: words without the language's parser, arguments without the interpreter.

use super::ui::Recorder;
use super::{Arg, Args, Binding, Item, Session};
use crate::api::{Access, ApiError, Code, Reply, Request, Watch};
use crate::lang::{Span, Value, Word, WordKind};
use crate::machine::{Connector, Machine};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Splits a simple command as language.md 2.4 does; `$name` and `(...)` become values.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let kind = match bytes[at] {
            b' ' => {
                at += 1;
                continue;
            }
            b'=' => {
                at += 1;
                WordKind::Equals
            }
            b',' => {
                at += 1;
                WordKind::Comma
            }
            b'"' => {
                let end = start + 1 + text[start + 1..].find('"').expect("closing quote");
                at = end + 1;
                WordKind::Quoted(text[start + 1..end].into())
            }
            b'(' => {
                at += text[start..].find(')').expect("closing parenthesis") + 1;
                WordKind::Value
            }
            first => {
                at += text[start..].find([' ', '=', ',', '"', '(']).unwrap_or(text.len() - start);
                if first == b'$' { WordKind::Value } else { WordKind::Bare(text[start..at].into()) }
            }
        };
        words.push(Word { span: Span::new(start, at), kind });
    }
    words
}

/// The place behind the text.
pub(crate) fn end(text: &str) -> Span {
    Span::new(text.len(), text.len())
}

pub(crate) fn bind(text: &str) -> Result<Binding, crate::lang::Diagnostic> {
    super::bind(&words(text), end(text))
}

/// Evaluates a binding of words that are all written out.
pub(crate) fn args(text: &str) -> (&'static super::Command, Args) {
    let words = words(text);
    let binding = super::bind(&words, end(text)).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    let items = binding.items.iter().map(|item| match item {
        Item::Keyword(keyword) => Arg::Keyword(keyword),
        Item::Value { slot, word } => Arg::Value {
            slot,
            value: match &words[*word].kind {
                WordKind::Bare(text) | WordKind::Quoted(text) => Value::String((&**text).into()),
                kind => panic!("{text}: {kind:?} is not written out"),
            },
            span: words[*word].span,
        },
    });
    (binding.command, Args { items: items.collect() })
}

type Answer = dyn Fn(&Request, &mut dyn Watch) -> Result<Reply, ApiError> + Send + Sync;

/// A machine that answers from a function and keeps what it was asked. It grants full access to everybody.
pub(crate) struct Fake {
    name: String,
    answer: Box<Answer>,
    asked: Mutex<Vec<Request>>,
}

impl Machine for Fake {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        self.asked.lock().unwrap().push(request.clone());
        match (self.answer)(&request, watch) {
            Err(error) if error.message == UNSCRIPTED && matches!(request, Request::Login { .. }) => {
                Ok(Reply::Access(Access::Full))
            }
            answer => answer,
        }
    }

    fn close(&self, _: Duration) -> Vec<String> {
        Vec::new()
    }
}

const UNSCRIPTED: &str = "not scripted";

/// What a fake answers to requests that its test does not care about.
pub(crate) fn unscripted() -> Result<Reply, ApiError> {
    Err(ApiError::new(Code::UnknownError, UNSCRIPTED))
}

/// Knows `localhost` and whatever the test names; all else is -109.
struct Fakes(Vec<Arc<Fake>>);

impl Connector for Fakes {
    fn local(&self) -> String {
        "alpha".to_owned()
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Machine>, ApiError> {
        match self.0.iter().find(|fake| fake.name == name) {
            Some(fake) => Ok(Arc::clone(fake) as Arc<dyn Machine>),
            None => Err(ApiError::bare(Code::ServerDoesNotExistOrCouldNotBeLocated)),
        }
    }
}

/// A session with one fake machine and a recorder.
pub(crate) struct Stage {
    pub session: Session,
    pub ui: Recorder,
    machine: Arc<Fake>,
}

impl Stage {
    /// `localhost` answers from the function.
    pub fn new(
        answer: impl Fn(&Request, &mut dyn Watch) -> Result<Reply, ApiError> + Send + Sync + 'static,
    ) -> Stage {
        let fake = |name: &str, answer: Box<Answer>| {
            Arc::new(Fake { name: name.to_owned(), answer, asked: Mutex::default() })
        };
        let machine = fake("localhost", Box::new(answer));
        let beta = fake("beta", Box::new(|_, _| unscripted()));
        let ui = Recorder::new();
        let connector = Arc::new(Fakes(vec![Arc::clone(&machine), beta]));
        Stage { session: Session::new(connector, Box::new(ui.clone())), ui, machine }
    }

    /// A machine that does whatever it is told.
    pub fn obedient() -> Stage {
        Stage::new(|request, _| match request {
            Request::Login { .. } => unscripted(),
            _ => Ok(Reply::Done),
        })
    }

    /// Binds, runs and shows one command; its value or its failure.
    pub fn run(&mut self, text: &str) -> Result<i64, ApiError> {
        let (command, args) = args(text);
        match super::execute(&mut self.session, command, &args) {
            Ok(outcome) => {
                self.session.show(command, &outcome);
                Ok(outcome.value)
            }
            Err(error) => {
                self.session.show_failure(command, &error);
                Err(error)
            }
        }
    }

    /// Runs one command that must succeed; what it printed.
    pub fn output(&mut self, text: &str) -> String {
        self.run(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        self.ui.take_output()
    }

    /// The code of a command that must fail.
    pub fn code(&mut self, text: &str) -> u16 {
        match self.run(text) {
            Ok(value) => panic!("{text} gives {value}"),
            Err(error) => error.code.number(),
        }
    }

    /// What the machine was asked since the last call of this, without logins.
    pub fn asked(&self) -> Vec<Request> {
        let asked = std::mem::take(&mut *self.machine.asked.lock().unwrap());
        asked.into_iter().filter(|request| !matches!(request, Request::Login { .. })).collect()
    }
}
