//! Places in a text.

use std::sync::OnceLock;

/// Byte offsets into a [`Source`], end exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        let clamp = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: clamp(start), end: clamp(end) }
    }

    /// The smallest span that holds both.
    #[must_use]
    pub fn join(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The text at this place; empty if the place is not in it.
    pub fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A script's text and the name it is shown by.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
    /// Where each line begins; made when a place is first asked for.
    lines: OnceLock<Vec<u32>>,
}

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source { name: name.into(), text: text.into(), lines: OnceLock::new() }
    }

    /// The number of the line, from 1, that holds the byte at `at`.
    pub fn line_of(&self, at: usize) -> usize {
        let starts = self.lines.get_or_init(|| {
            let ends = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0)
                .chain(ends.map(|(end, _)| u32::try_from(end + 1).unwrap_or(u32::MAX)))
                .collect()
        });
        starts.partition_point(|start| *start as usize <= at)
    }
}
