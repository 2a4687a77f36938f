//! An open document: its text, and places in it as editors count them.

use super::protocol::{Change, Position, Range};
use crate::lang::Span;

/// A text with the begins of its lines. Lines end in LF, CR LF or CR, as the protocol has it.
#[derive(Debug)]
pub struct Document {
    text: String,
    pub version: i64,
    lines: Vec<usize>,
}

impl Document {
    pub fn new(text: String, version: i64) -> Document {
        let lines = lines(&text);
        Document { text, version, lines }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes in an edit.
    pub fn change(&mut self, change: &Change) {
        match change.range {
            None => self.text.clone_from(&change.text),
            Some(range) => {
                let (start, end) = (self.offset(range.start), self.offset(range.end));
                self.text.replace_range(start.min(end)..end.max(start), &change.text);
            }
        }
        self.lines = lines(&self.text);
    }

    /// The byte at a place. One behind a line's end means that end, one behind the last line the text's end, one inside a character
    /// its begin.
    pub fn offset(&self, place: Position) -> usize {
        let Some(start) = self.lines.get(place.line as usize).copied() else { return self.text.len() };
        let next = self.lines.get(place.line as usize + 1).copied().unwrap_or(self.text.len());
        let line = self.text[start..next].trim_end_matches(['\r', '\n']);
        let mut left = place.character as usize;
        for (at, c) in line.char_indices() {
            if left < c.len_utf16() {
                return start + at;
            }
            left -= c.len_utf16();
        }
        start + line.len()
    }

    /// The place of a byte.
    pub fn position(&self, offset: usize) -> Position {
        let offset = floor(&self.text, offset);
        let line = self.lines.partition_point(|start| *start <= offset) - 1;
        let before = &self.text[self.lines[line]..offset];
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Position { line: number(line), character: number(before.chars().map(char::len_utf16).sum()) }
    }

    pub fn range(&self, span: Span) -> Range {
        Range { start: self.position(span.start as usize), end: self.position(span.end as usize) }
    }
}

fn lines(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = bytes.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(line: u32, character: u32) -> Position {
        Position { line, character }
    }

    #[test]
    fn characters_count_in_utf_16() {
        let document = Document::new("a😀é\r\n日\rx\n".into(), 1);
        let pairs = [
            (0, at(0, 0)),
            (1, at(0, 1)),
            (5, at(0, 3)),
            (7, at(0, 4)),
            (9, at(1, 0)),
            (12, at(1, 1)),
            (13, at(2, 0)),
            (15, at(3, 0)),
        ];
        for (offset, position) in pairs {
            assert_eq!(document.position(offset), position);
            assert_eq!(document.offset(position), offset, "{position:?}");
        }
        // Inside a surrogate pair; behind a line's end; behind the text's.
        assert_eq!(document.offset(at(0, 2)), 1);
        assert_eq!(document.offset(at(0, 99)), 7);
        assert_eq!(document.offset(at(9, 0)), 15);
    }

    #[test]
    fn edits_are_taken_in() {
        let mut document = Document::new("write 1\nwrite 😀2\n".into(), 1);
        let range = Range { start: at(1, 8), end: at(1, 9) };
        document.change(&Change { range: Some(range), text: "3\nwrite 4".into() });
        assert_eq!(document.text(), "write 1\nwrite 😀3\nwrite 4\n");
        assert_eq!(document.position(document.text().len()), at(3, 0));
        document.change(&Change { range: None, text: String::new() });
        assert_eq!((document.text(), document.offset(at(5, 5))), ("", 0));
    }

    proptest! {
        #[test]
        fn places_lead_back(text in "[a😀é日\r\n]{0,20}") {
            let document = Document::new(text.clone(), 0);
            for (offset, _) in text.char_indices() {
                let position = document.position(offset);
                // Between CR and LF is the line's end.
                let inside = text[..offset].ends_with('\r') && text[offset..].starts_with('\n');
                prop_assert_eq!(document.offset(position), if inside { offset - 1 } else { offset });
            }
        }

        #[test]
        fn no_edit_makes_it_panic(text in "[a😀\r\n]{0,8}", a in 0u32..5, b in 0u32..9, c in 0u32..5, d in 0u32..9) {
            let mut document = Document::new(text, 0);
            document.change(&Change { range: Some(Range { start: at(a, b), end: at(c, d) }), text: "x\n".into() });
            prop_assert!(document.text().contains("x\n"));
        }
    }
}
