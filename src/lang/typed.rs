//! A line that is being typed, as words, for completion and hints.

use super::scan;
use super::tree::{Word, WordKind};
use super::{Span, unquote};

/// The statement being typed.
#[derive(Debug, Default)]
pub struct Typed {
    /// Its finished words.
    pub words: Vec<Word>,
    /// The word that the cursor stands at the end of.
    pub partial: Partial,
    /// True in an expression: what is typed there is no command's word.
    pub in_expression: bool,
}

/// A word that may still grow.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// Without its opening quote; empty after a blank.
    pub text: String,
    /// Where it begins (at the quote, if any), a byte offset into the line.
    pub start: usize,
    /// The quote that is open.
    pub quote: Option<char>,
}

/// The words of the statement that the end of `text` belongs to.
pub fn words(text: &str) -> Typed {
    let start = text.rfind('\n').map_or(0, |n| n + 1);
    let bytes = text.as_bytes();
    let mut typed = Typed::default();
    let mut i = start;
    while i < bytes.len() {
        let from = i;
        match bytes[i] {
            b';' => {
                typed = Typed::default();
                i += 1;
            }
            b'#' => return Typed { in_expression: true, ..Typed::default() },
            b'=' | b',' => {
                let kind = if bytes[i] == b'=' { WordKind::Equals } else { WordKind::Comma };
                i += 1;
                typed.word(kind, from, i);
                // `$r = ` begins a command anew.
                if typed.words.len() == 2 && matches!(typed.words[0].kind, WordKind::Value) {
                    typed = Typed::default();
                }
            }
            b'"' | b'\'' => match scan::quote_end(bytes, i) {
                Some(end) => {
                    i = end + 1;
                    typed.word(WordKind::Quoted(unquote(&text[from..i]).into()), from, i);
                }
                None => {
                    typed.partial = Partial {
                        text: text[i + 1..].to_owned(),
                        start: i,
                        quote: Some(char::from(bytes[i])),
                    };
                    return typed;
                }
            },
            b'(' => match parenthesis_end(bytes, i) {
                Some(end) => {
                    i = end + 1;
                    typed.word(WordKind::Value, from, i);
                }
                None => return Typed { in_expression: true, ..Typed::default() },
            },
            byte if scan::is_delimiter(byte) => i += 1,
            b'$' if bytes.get(i + 1) == Some(&b'"') => match scan::quote_end(bytes, i + 1) {
                Some(end) => {
                    i = end + 1;
                    typed.word(WordKind::Value, from, i);
                }
                None => return Typed { in_expression: true, ..Typed::default() },
            },
            first => {
                i = (i..bytes.len()).find(|n| scan::is_delimiter(bytes[*n])).unwrap_or(bytes.len());
                if i == bytes.len() {
                    typed.partial = Partial { text: text[from..].to_owned(), start: from, quote: None };
                    return typed;
                }
                let content = &text[from..i];
                if first == b'$' {
                    typed.word(WordKind::Value, from, i);
                } else {
                    typed.bare(content, from, i);
                }
            }
        }
    }
    typed.partial.start = bytes.len();
    typed
}

fn parenthesis_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut i = at;
    loop {
        match bytes.get(i)? {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(i),
            b')' => depth -= 1,
            b'"' | b'\'' => i = scan::quote_end(bytes, i)?,
            _ => {}
        }
        i += 1;
    }
}

impl Typed {
    fn word(&mut self, kind: WordKind, start: usize, end: usize) {
        self.words.push(Word { span: Span::new(start, end), kind });
    }

    fn bare(&mut self, content: &str, start: usize, end: usize) {
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(content));
        let begins = self.words.is_empty();
        if self.in_expression && is(&["THEN", "DO"]) || is(&["ELSE", "END", "ENDIF", "ENDWHILE", "ENDFOR"]) {
            *self = Typed::default();
        } else if begins && is(&["IF", "ELSEIF", "WHILE", "FOR"]) {
            self.in_expression = true;
        } else {
            self.word(WordKind::Bare(content.into()), start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> (Vec<String>, String, usize) {
        let typed = words(text);
        let words = typed
            .words
            .iter()
            .map(|word| match &word.kind {
                WordKind::Bare(text) => text.to_string(),
                WordKind::Quoted(text) => format!("\"{text}\""),
                WordKind::Value => "?".into(),
                WordKind::Equals => "=".into(),
                WordKind::Comma => ",".into(),
            })
            .collect();
        (words, typed.partial.text, typed.partial.start)
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn finished_words_and_the_one_at_the_cursor() {
        assert_eq!(shown("connect pay"), (strings(&["connect"]), "pay".into(), 8));
        assert_eq!(shown("connect \"a b\" to "), (strings(&["connect", "\"a b\"", "to"]), String::new(), 17));
        let typed = words("repset rule add \"/srv/a b");
        assert_eq!(typed.partial, Partial { text: "/srv/a b".into(), start: 16, quote: Some('"') });
    }

    #[test]
    fn assignments_blocks_and_semicolons_begin_anew() {
        assert_eq!(shown("$r = mirror st").0, ["mirror"]);
        assert_eq!(shown("IF $r > 0 THEN mirror st").0, ["mirror"]);
        assert_eq!(shown("write 1; mirror start (1 + 2) f").0, ["mirror", "start", "?"]);
        assert!(words("IF $r").in_expression);
    }
}
