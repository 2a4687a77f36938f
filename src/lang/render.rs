//! A finding as a person reads it, and as JSON with the same fields (language.md 7).
//!
//! Columns count characters from 1. In the text form a tab is shown as blanks up to the next multiple of eight, wide
//! characters take their two columns, and of a very long line only the surroundings of the place are shown.

use super::{Diagnostic, Severity, Source};
use unicode_width::UnicodeWidthChar;

/// Shown on each side of the place at most.
const AROUND: usize = 100;

/// A place as a person counts: line and column from 1, length in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    /// At least 1.
    pub length: usize,
}

impl Place {
    /// Where a span lies in a source. A span over several lines is cut at the end of its first.
    pub fn of(span: super::Span, source: &Source) -> Place {
        let (line, start, end) = lay(span, &source.text);
        let number = source.line_of(line.start);
        let column = source.text[line.start..start].chars().count() + 1;
        Place { line: number, column, length: source.text[start..end].chars().count().max(1) }
    }
}

/// The line that holds a span, and the span within it.
fn lay(span: super::Span, text: &str) -> (std::ops::Range<usize>, usize, usize) {
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(span.start as usize);
    let line_start = text[..start].rfind('\n').map_or(0, |n| n + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |n| start + n);
    let line_end = line_start + text[line_start..line_end].trim_end_matches('\r').len();
    let start = start.min(line_end);
    let end = boundary(span.end as usize).clamp(start, line_end);
    (line_start..line_end, start, end)
}

/// The text form: place and message, the line, the place underlined, the help. Ends with a newline.
pub fn render(diagnostic: &Diagnostic, source: &Source) -> String {
    let place = Place::of(diagnostic.span, source);
    let (line, start, end) = lay(diagnostic.span, &source.text);
    let kind = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Hint => "hint",
    };
    let code = if diagnostic.code == 0 { String::new() } else { format!(" -{}", diagnostic.code) };
    let mut out =
        format!("{}:{}:{}: {kind}{code}: {}\n", source.name, place.line, place.column, diagnostic.message);
    excerpt(&mut out, place.line, &source.text[line.clone()], start - line.start, end - line.start);
    let mut margin = place.line.to_string().len();
    if let Some(beside) = &diagnostic.beside {
        let at = format!("{}:{}:{}", beside.file, beside.line, beside.column);
        out.push_str(&format!("{at}: {}\n", beside.note));
        let text = beside.text.trim_end_matches('\r');
        let place = text.char_indices().nth(beside.column - 1).map_or(text.len(), |(at, _)| at);
        excerpt(&mut out, beside.line, text, place, place);
        margin = beside.line.to_string().len();
    }
    if let Some(help) = &diagnostic.help {
        out.push_str(&format!("{} = help: {help}\n", " ".repeat(margin)));
    }
    out
}

/// A line with its number and the marks below `start..end`, offsets into it.
fn excerpt(out: &mut String, number: usize, line: &str, start: usize, end: usize) {
    let from = line[..start].char_indices().rev().nth(AROUND).map_or(0, |(n, _)| n);
    let to = line[end..].char_indices().nth(AROUND).map_or(line.len(), |(n, _)| end + n);
    let (mut shown, mut before, mut under) = (String::new(), 0, 0);
    if from > 0 {
        shown.push_str("...");
        before += 3;
    }
    let mut column = before;
    for (at, c) in line[from..to].char_indices().take(4 * AROUND) {
        let width = push(&mut shown, c, column);
        column += width;
        if from + at < start {
            before += width;
        } else if from + at < end {
            under += width;
        }
    }
    if to < line.len() {
        shown.push_str("...");
    }
    let number = number.to_string();
    let margin = " ".repeat(number.len());
    let marks = "^".repeat(under.max(1));
    out.push_str(&format!("{number} | {}\n{margin} | {}{marks}\n", shown.trim_end(), " ".repeat(before)));
}

/// Appends a character as it is shown, returns the columns it takes.
fn push(shown: &mut String, c: char, column: usize) -> usize {
    match c {
        '\t' => {
            let width = 8 - column % 8;
            shown.push_str(&" ".repeat(width));
            width
        }
        c if c.is_control() => {
            shown.push('\u{fffd}');
            1
        }
        c => {
            shown.push(c);
            c.width().unwrap_or(0)
        }
    }
}

/// The JSON form: the fields of the text form. One line, without a newline at its end.
pub fn to_json(diagnostic: &Diagnostic, source: &Source) -> String {
    let place = Place::of(diagnostic.span, source);
    let mut document = serde_json::json!({
        "severity": match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Hint => "hint",
        },
        "code": -i32::from(diagnostic.code),
        "message": diagnostic.message,
        "file": source.name,
        "line": place.line,
        "column": place.column,
        "length": place.length,
        "help": diagnostic.help,
    });
    if let Some(beside) = &diagnostic.beside {
        document["beside"] = serde_json::json!({
            "file": beside.file,
            "line": beside.line,
            "column": beside.column,
            "length": 1,
            "text": beside.text,
            "message": beside.note,
        });
    }
    document.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::{Beside, Span};

    fn source(text: &str) -> Source {
        Source::new("a.dtcl", text)
    }

    #[test]
    fn the_place_is_underlined_behind_tabs_and_wide_characters() {
        let source = source("x\r\n\twrite \"日本\" oops\r\n");
        let start = source.text.find("oops").unwrap();
        let diagnostic = Diagnostic::error(102, "no", Span::new(start, start + 4)).help("yes");
        assert_eq!(
            render(&diagnostic, &source),
            "a.dtcl:2:13: error -102: no\n\
             2 |         write \"日本\" oops\n  \
             |                      ^^^^\n  \
             = help: yes\n"
        );
        let json: serde_json::Value = serde_json::from_str(&to_json(&diagnostic, &source)).unwrap();
        assert_eq!((json["line"].as_i64(), json["column"].as_i64()), (Some(2), Some(13)));
        assert_eq!((json["length"].as_i64(), json["code"].as_i64()), (Some(4), Some(-102)));
    }

    #[test]
    fn a_second_place_has_its_line_and_its_fields() {
        let source = source("$n = f(1)");
        let beside = Beside {
            file: "m.rhai".into(),
            line: 12,
            column: 3,
            text: "  throw \"no\";".into(),
            note: "in f".into(),
        };
        let diagnostic = Diagnostic::error(1, "f: no", Span::new(5, 9)).help("yes");
        let diagnostic = Diagnostic { beside: Some(Box::new(beside)), ..diagnostic };
        assert_eq!(
            render(&diagnostic, &source),
            "a.dtcl:1:6: error -1: f: no\n1 | $n = f(1)\n  |      ^^^^\n\
             m.rhai:12:3: in f\n12 |   throw \"no\";\n   |   ^\n   = help: yes\n"
        );
        let json: serde_json::Value = serde_json::from_str(&to_json(&diagnostic, &source)).unwrap();
        assert_eq!((json["line"].as_i64(), json["beside"]["line"].as_i64()), (Some(1), Some(12)));
        assert_eq!(json["beside"]["text"], "  throw \"no\";");
    }

    #[test]
    fn a_place_at_the_end_has_one_mark() {
        let source = source("write (1");
        let text = render(&Diagnostic::error(0, "no", Span::new(8, 8)), &source);
        assert_eq!(text, "a.dtcl:1:9: error: no\n1 | write (1\n  |         ^\n");
    }

    #[test]
    fn of_a_long_line_only_the_surroundings_are_shown() {
        let source = source(&"x".repeat(1 << 20));
        let text = render(&Diagnostic::error(0, "no", Span::new(500_000, 500_001)), &source);
        assert!(text.len() < 1000, "{}", text.len());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("1 | ...xxx") && lines[1].ends_with("xxx..."), "{text}");
        assert_eq!(lines[2].find('^'), Some(4 + 3 + AROUND + 1), "{text}");
    }
}
