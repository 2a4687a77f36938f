//! For tests of this module: words without the language's parser, arguments without the interpreter.

use super::{Arg, Args, Binding, Item};
use crate::lang::{Span, Value, Word, WordKind};

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
