//! One line of the engine log: eight columns with blanks between them (reference-guide.md 2.2).
//!
//! `MM/DD/YYYY HH:MM:SS.ffff <process> <thread> <sequence> <type> <id> <text>`, local time, fractions in 1/10000 s.

use super::escape::one_line;
use jiff::Zoned;
use std::io::Write;

/// Longest text in bytes; a message that names two paths of 4094 bytes, escaped, fits.
const TEXT_LIMIT: usize = 64 << 10;

/// Column 6, and the level from which a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A warning or an error: type 1.
    Alert,
    /// Type 2.
    Information,
    /// Type 2 as well, since the file knows only two; written at level 3 alone.
    Debug,
}

impl Kind {
    /// The lowest `LogMessageLevel` that lets it through.
    pub(super) fn level(self) -> u8 {
        match self {
            Kind::Alert => 1,
            Kind::Information => 2,
            Kind::Debug => 3,
        }
    }

    fn column(self) -> u8 {
        if self == Kind::Alert { 1 } else { 2 }
    }
}

/// What goes into the columns, but for the sequence number.
pub(super) struct Message<'a> {
    pub(super) kind: Kind,
    /// 0: the message has none.
    pub(super) id: u32,
    pub(super) text: &'a str,
}

impl Message<'_> {
    /// The line with its end.
    pub(super) fn line(&self, now: &Zoned, thread: i32, sequence: u64) -> Vec<u8> {
        let mut text = one_line(self.text);
        if text.len() > TEXT_LIMIT {
            let end = (0..=TEXT_LIMIT).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
            text = format!("{}...", &text[..end]).into();
        }
        let mut line = Vec::with_capacity(64 + text.len());
        // Writing into memory does not fail.
        let _ = writeln!(
            line,
            "{:02}/{:02}/{:04} {:02}:{:02}:{:02}.{:04} {} {thread} {sequence} {} {} {text}",
            now.month(),
            now.day(),
            now.year(),
            now.hour(),
            now.minute(),
            now.second(),
            now.subsec_nanosecond() / 100_000,
            std::process::id(),
            self.kind.column(),
            self.id,
        );
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_columns_in_the_guides_form() {
        let now: Zoned = "2024-05-14T08:31:07.125099999+02:00[Europe/Berlin]".parse().unwrap();
        let message = Message { kind: Kind::Alert, id: 0, text: "Mirror read failed: a\nb\u{1b}[0m \\n" };
        let line = String::from_utf8(message.line(&now, 2244, 5)).unwrap();
        let process = std::process::id();
        assert_eq!(
            line,
            format!("05/14/2024 08:31:07.1250 {process} 2244 5 1 0 Mirror read failed: a\\nb\\x1b[0m \\n\n")
        );
        for (kind, column) in [(Kind::Information, " 2 7 x\n"), (Kind::Debug, " 2 7 x\n")] {
            let line = Message { kind, id: 7, text: "x" }.line(&now, 1, 1);
            assert!(line.ends_with(column.as_bytes()));
        }
    }

    #[test]
    fn a_text_without_end_is_cut() {
        let text = "\u{e4}".repeat(TEXT_LIMIT);
        let line = Message { kind: Kind::Alert, id: 0, text: &text }.line(&Zoned::now(), 1, 1);
        assert!(line.len() < TEXT_LIMIT + 100 && line.ends_with("\u{e4}...\n".as_bytes()));
    }
}
