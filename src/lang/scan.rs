//! A look at one logical line without the grammar: where it ends, where its statements end, what is left open.
//!
//! Used where the grammar does not fit (to say why, and to find the next statement), for limits that are checked
//! before the grammar sees a line, and for lines that are still being typed. Uses no recursion.

use super::NESTING_LIMIT;
use std::ops::Range;

/// What a look at a logical line found. All places are byte offsets into the whole text.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where its content ends: before a comment or the newline.
    pub end: usize,
    /// Where the next line begins.
    pub next: usize,
    /// Its statements, cut at `;`, as far as they hold anything.
    pub pieces: Vec<Range<usize>>,
    /// A quote that does not end in its line.
    pub open_quote: Option<usize>,
    /// Parentheses without their other half, the last of each statement.
    pub open_brackets: Vec<usize>,
    pub stray_brackets: Vec<usize>,
    /// Where nesting passes the limit.
    pub too_deep: Option<usize>,
    /// What continues it on the next line: backslashes, blanks and newlines.
    pub joints: Vec<Range<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Round(usize),
    Square,
    /// The text of a `$"..."`, which began here.
    Template(usize),
    Hole,
}

pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Ends a word (language.md 2.4).
pub(super) fn is_delimiter(byte: u8) -> bool {
    is_blank(byte)
        || matches!(byte, b'"' | b'\'' | b',' | b';' | b'=' | b'(' | b')' | b'<' | b'>' | b'\n' | b'\r')
}

/// A `$"` behind it begins a text of its own: what ends a word, a bracket, an operator.
fn may_precede_template(byte: u8) -> bool {
    is_delimiter(byte) || matches!(byte, b'{' | b'[' | b'+' | b'-' | b'*' | b'/' | b'%')
}

/// The end of the continuation that begins with the backslash at `at`, if it is one.
pub(super) fn continuation(bytes: &[u8], at: usize) -> Option<usize> {
    let mut i = at + 1;
    while bytes.get(i).copied().is_some_and(is_blank) {
        i += 1;
    }
    match (bytes.get(i), bytes.get(i + 1)) {
        (None, _) => Some(i),
        (Some(b'\n'), _) => Some(i + 1),
        (Some(b'\r'), Some(b'\n')) => Some(i + 2),
        _ => None,
    }
}

/// Looks at the logical line that begins at `start`.
pub(super) fn line(text: &str, start: usize) -> Scan {
    let bytes = text.as_bytes();
    let mut scan = Scan::default();
    let mut inside: Vec<Inside> = Vec::new();
    let mut piece = start;
    let mut at_word_start = true;
    let mut i = start;
    let mut first = start;
    while let Some(byte) = bytes.get(first) {
        // A line that holds nothing may be continued, too.
        let next = match byte {
            b'\\' if first > start && is_blank(bytes[first - 1]) => continuation(bytes, first),
            _ => None,
        };
        match next {
            Some(next) => {
                scan.joints.push(first..next);
                first = next;
            }
            None if is_blank(*byte) => first += 1,
            None => break,
        }
    }
    if bytes[first..].starts_with(b"//") {
        scan.end = first;
        scan.next = end_of_line(bytes, first).1;
        return scan;
    }
    scan.joints.clear();
    loop {
        let Some(&byte) = bytes.get(i) else {
            scan.end = i;
            scan.next = i;
            break;
        };
        let template = match inside.last() {
            Some(Inside::Template(at)) => Some(*at),
            _ => None,
        };
        if byte == b'\n' || (byte == b'\r' && bytes.get(i + 1) == Some(&b'\n')) {
            scan.open_quote = scan.open_quote.or(template);
            scan.end = i;
            scan.next = i + if byte == b'\n' { 1 } else { 2 };
            break;
        }
        if template.is_some() {
            match byte {
                b'"' if bytes.get(i + 1) == Some(&b'"') => i += 1,
                b'"' => {
                    inside.pop();
                    // As behind any quote.
                    at_word_start = true;
                    i += 1;
                    continue;
                }
                b'{' if bytes.get(i + 1) == Some(&b'{') => i += 1,
                b'{' => push(&mut inside, Inside::Hole, i, &mut scan),
                _ => {}
            }
            at_word_start = false;
            i += 1;
            continue;
        }
        match byte {
            b'#' if at_word_start => {
                let (end, next) = end_of_line(bytes, i);
                scan.open_brackets.extend(open_round(&inside));
                finish(&mut scan, text, piece..i);
                scan.end = i;
                scan.next = next.max(end);
                return scan;
            }
            b'\\' if at_word_start && i > start && is_blank(bytes[i - 1]) => {
                if let Some(next) = continuation(bytes, i) {
                    scan.joints.push(i..next);
                    i = next;
                    continue;
                }
            }
            b';' => {
                scan.open_brackets.extend(open_round(&inside));
                inside.clear();
                finish(&mut scan, text, piece..i);
                piece = i + 1;
            }
            b'"' | b'\'' => {
                if byte == b'"'
                    && i > start
                    && bytes[i - 1] == b'$'
                    && (i < 2 || i == start + 1 || may_precede_template(bytes[i - 2]))
                {
                    push(&mut inside, Inside::Template(i - 1), i, &mut scan);
                } else {
                    match quote_end(bytes, i) {
                        Some(end) => i = end,
                        None => {
                            scan.open_quote = scan.open_quote.or(Some(i));
                            let (end, next) = end_of_line(bytes, i);
                            finish(&mut scan, text, piece..end);
                            scan.end = end;
                            scan.next = next;
                            return scan;
                        }
                    }
                }
            }
            b'(' => push(&mut inside, Inside::Round(i), i, &mut scan),
            b'[' => push(&mut inside, Inside::Square, i, &mut scan),
            b')' => {
                while inside.last() == Some(&Inside::Square) {
                    inside.pop();
                }
                if matches!(inside.last(), Some(Inside::Round(_))) {
                    inside.pop();
                } else {
                    scan.stray_brackets.push(i);
                }
            }
            b']' if inside.last() == Some(&Inside::Square) => _ = inside.pop(),
            b'}' => {
                // Ends the hole it stands in, whatever is left open there.
                if let Some(hole) = inside.iter().rposition(|i| *i == Inside::Hole) {
                    inside.truncate(hole);
                }
            }
            _ => {}
        }
        at_word_start = is_delimiter(byte);
        i += 1;
    }
    scan.open_quote = scan.open_quote.or(inside.iter().find_map(|i| match i {
        Inside::Template(at) => Some(*at),
        _ => None,
    }));
    scan.open_brackets.extend(open_round(&inside));
    let end = scan.end;
    finish(&mut scan, text, piece..end);
    scan
}

fn push(inside: &mut Vec<Inside>, new: Inside, at: usize, scan: &mut Scan) {
    inside.push(new);
    if inside.len() > NESTING_LIMIT && scan.too_deep.is_none() {
        scan.too_deep = Some(at);
    }
}

fn open_round(inside: &[Inside]) -> Option<usize> {
    inside.iter().rev().find_map(|i| match i {
        Inside::Round(at) => Some(*at),
        _ => None,
    })
}

fn finish(scan: &mut Scan, text: &str, piece: Range<usize>) {
    if !text[piece.clone()].trim().is_empty() {
        scan.pieces.push(piece);
    }
}

/// The place of the quote that ends the one at `at`; none if the line ends first.
pub(super) fn quote_end(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = bytes[at];
    let mut i = at + 1;
    loop {
        match bytes.get(i)? {
            b'\n' => return None,
            b if *b == quote => {
                if bytes.get(i + 1) != Some(&quote) {
                    return Some(i);
                }
                i += 2;
            }
            _ => i += 1,
        }
    }
}

/// Where the physical line around `at` ends (before CR LF or LF), and where the next begins.
pub(super) fn end_of_line(bytes: &[u8], at: usize) -> (usize, usize) {
    match bytes[at..].iter().position(|b| *b == b'\n') {
        Some(n) => {
            let end = at + n;
            let before = if end > at && bytes[end - 1] == b'\r' { end - 1 } else { end };
            (before, end + 1)
        }
        None => (bytes.len(), bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        line(text, 0).pieces.into_iter().map(|p| text[p].trim()).collect()
    }

    #[test]
    fn statements_are_cut_at_semicolons_outside_quotes() {
        assert_eq!(pieces("a \"x;y\" ; b 'c;d'; # e; f\ng"), ["a \"x;y\"", "b 'c;d'"]);
        assert_eq!(pieces("a $\"{f(\"x;}\")};\" ; b"), ["a $\"{f(\"x;}\")};\"", "b"]);
    }

    #[test]
    fn a_continuation_belongs_to_its_line_but_not_in_comments_or_quotes() {
        let text = "a \\  \n  b\nc";
        assert_eq!(&text[line(text, 0).next..], "c");
        let text = "write (-$\"{[$\"}\"]} # \" \\\n 1)\nc";
        assert_eq!(&text[line(text, 0).next..], "c");
        for text in ["a # x \\\nc", "a $\"x\"# x \\\nc", "a \"x\"# x \\\nc"] {
            assert_eq!(&text[line(text, 0).next..], "c");
        }
        let text = "e:\\data\\\nc";
        assert_eq!(&text[line(text, 0).next..], "c");
        let text = " \\\n// a \\\nc";
        let scan = line(text, 0);
        assert_eq!((&text[scan.next..], scan.joints.len()), ("c", 1));
        let text = "a \"x \\\nc";
        let scan = line(text, 0);
        assert_eq!((scan.open_quote, &text[scan.next..]), (Some(2), "c"));
    }

    #[test]
    fn depth_is_measured() {
        let deep = format!("write {}1{}", "(".repeat(300), ")".repeat(300));
        assert_eq!(line(&deep, 0).too_deep, Some(6 + NESTING_LIMIT));
        assert_eq!(line(&format!("write \"{}\"", "(".repeat(300)), 0).too_deep, None);
    }
}
