//! What stands at a place of a script, told from its line alone: an answer costs the same in a long script and in a short one.

use crate::lang::{self, ClauseKind, CommandWords, Node, Part, Span, Word};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What stands there.
#[derive(Debug)]
pub enum There {
    Command {
        words: Vec<Word>,
        /// The place behind the last word.
        end: Span,
        /// Which of the words, if one.
        at: Option<usize>,
    },
    Call {
        /// As it is written: `name::function` or `function`.
        name: String,
        arguments: u32,
        span: Span,
    },
    /// A word of a statement that is no command.
    Word(Span),
}

/// The line around a byte, with those that it continues or that continue it.
pub fn line(text: &str, offset: usize) -> Range<usize> {
    let begin = |at: usize| text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = |at: usize| text[at..].find('\n').map_or(text.len(), |n| at + n);
    let mut start = begin(offset);
    while start > 0 && continues(&text[begin(start - 1)..start - 1]) {
        start = begin(start - 1);
    }
    let mut last = begin(offset);
    let mut stop = end(last);
    while stop < text.len() && continues(&text[last..stop]) {
        last = stop + 1;
        stop = end(last);
    }
    start..stop
}

fn continues(line: &str) -> bool {
    let line = line.trim_end_matches([' ', '\t', '\r']);
    line.strip_suffix('\\').is_some_and(|before| before.ends_with([' ', '\t']))
}

/// What stands at a byte. Places count in the whole text.
pub fn there(text: &str, offset: usize) -> Option<There> {
    let line = line(text, offset);
    let (script, at) = (&text[line.clone()], offset - line.start);
    let mut found = None;
    lang::parse(script, |part| {
        if found.is_none() {
            found = in_part(script, &part, at);
        }
    });
    found.map(|found| found.moved(line.start))
}

fn in_part(script: &str, part: &Part, at: usize) -> Option<There> {
    let holds = |span: &Span| (span.start as usize..=span.end as usize).contains(&at);
    for (node, span) in part.nodes.iter().zip(&part.spans) {
        if let (Node::Call(arguments), true) = (node, holds(span)) {
            return Some(There::Call {
                name: span.of(script).to_owned(),
                arguments: *arguments,
                span: *span,
            });
        }
    }
    let clause = part.clauses.iter().rev().find(|clause| holds(&clause.span))?;
    let command = |command: &CommandWords| {
        let words = part.words(command).to_vec();
        let word = words.iter().position(|word| holds(&word.span));
        There::Command { words, end: command.end, at: word }
    };
    Some(match &clause.kind {
        ClauseKind::Command(words) => command(words),
        ClauseKind::AssignCommand { command: words, .. } => command(words),
        _ => There::Word(word_at(script, at)?),
    })
}

/// The letters around a place.
fn word_at(script: &str, at: usize) -> Option<Span> {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let start = script[..at].trim_end_matches(letter).len();
    let length = script[at..].find(|c| !letter(c)).unwrap_or(script.len() - at);
    (start < at + length).then(|| Span::new(start, at + length))
}

impl There {
    fn moved(mut self, by: usize) -> There {
        let move_span = |span: &mut Span| *span = Span::new(span.start as usize + by, span.end as usize + by);
        match &mut self {
            There::Command { words, end, .. } => {
                words.iter_mut().for_each(|word| move_span(&mut word.span));
                move_span(end);
            }
            There::Call { span, .. } | There::Word(span) => move_span(span),
        }
        self
    }
}

/// The file that a document is; None if it is none.
pub fn path_of(uri: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    let rest = uri.strip_prefix("file://")?;
    // A host's name may stand before the path.
    let path = &rest[rest.find('/')?..];
    let mut bytes = Vec::with_capacity(path.len());
    let mut left = path.bytes();
    while let Some(byte) = left.next() {
        let number = match byte {
            b'%' => {
                let digits = [left.next()?, left.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        };
        bytes.push(number);
    }
    Some(std::ffi::OsString::from_vec(bytes).into())
}

/// The name of a file as the protocol has it.
pub fn uri_of(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => _ = write!(uri, "%{byte:02X}"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_continues_it() {
        let text = "write 1\nwrite a \\\n b \\\r\n c\nwrite 2";
        for offset in [8, 17, 22, 25] {
            assert_eq!(&text[line(text, offset)], "write a \\\n b \\\r\n c");
        }
        assert_eq!(&text[line(text, 0)], "write 1");
        assert_eq!(&text[line(text, text.len())], "write 2");
        assert_eq!(line("", 0), 0..0);
    }

    #[test]
    fn commands_calls_and_words_are_found() {
        let text = "IF len($a) > 1 THEN\n  mirror start $con END\n$x = m::f(1, 2)";
        let at = |part: &str| there(text, text.find(part).unwrap() + 1);
        assert!(matches!(at("len"), Some(There::Call { name, arguments: 1, .. }) if name == "len"));
        assert!(matches!(at("start"), Some(There::Command { at: Some(1), words, .. }) if words.len() == 3));
        assert!(matches!(at("m::f"), Some(There::Call { name, arguments: 2, .. }) if name == "m::f"));
        assert!(matches!(at("THEN"), Some(There::Word(span)) if span.of(text) == "THEN"));
        assert!(there("", 0).is_none());
    }

    #[test]
    fn names_of_files_are_kept() {
        let path = Path::new("/srv/a b/ü#%.dtcl");
        assert_eq!(uri_of(path), "file:///srv/a%20b/%C3%BC%23%25.dtcl");
        assert_eq!(path_of(&uri_of(path)).as_deref(), Some(path));
        assert_eq!(path_of("file://host/x"), Some("/x".into()));
        assert_eq!(path_of("untitled:Untitled-1"), None);
        assert_eq!(path_of("file:///a%2"), None);
    }
}
