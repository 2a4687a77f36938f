//! Lines to the text: comments behind statements, line ends, the limit of a line.

use crate::lang::{Diagnostic, LINE_LIMIT, Span};
use unicode_width::UnicodeWidthChar;

/// Blanks before a comment behind a statement.
const APART: usize = 2;

/// A line of the formatted text; one that is continued counts as one.
#[derive(Debug)]
pub struct Line {
    /// Blank lines before it.
    pub blank: usize,
    /// Without its comment; of a line that is only a comment, the blanks before it.
    pub text: String,
    /// In the script.
    pub comment: Option<Span>,
    /// Of what it begins with, in the script.
    pub place: Span,
}

impl Line {
    fn has_both(&self) -> bool {
        self.comment.is_some() && !self.text.trim_start_matches(' ').is_empty()
    }
}

/// The text of these lines; an error if one becomes longer than a line may be.
pub fn join(script: &str, lines: &[Line], line_end: &str) -> Result<String, Diagnostic> {
    let mut out = String::with_capacity(script.len() + script.len() / 8);
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        // Lines with comments behind them, one below the other.
        let more = lines[at + 1..].iter().take_while(|next| next.has_both() && next.blank == 0).count();
        let run = if line.has_both() { &lines[at..=at + more] } else { &lines[at..=at] };
        let column = common_column(script, run);
        for line in run {
            for _ in 0..line.blank {
                out.push_str(line_end);
            }
            let start = out.len();
            write(script, line, column, &mut out);
            let too_long = |line: &str| line.len() > LINE_LIMIT;
            if too_long(&out[start..]) && out[start..].split('\n').any(too_long) {
                let message = "with the formatter's blanks this line is too long";
                return Err(Diagnostic::error(102, message, line.place)
                    .help("a line has at most 1 MiB: continue it on the next with a blank and \\"));
            }
            out.push_str(line_end);
        }
        at += run.len();
    }
    Ok(out)
}

fn write(script: &str, line: &Line, column: Option<usize>, out: &mut String) {
    out.push_str(&line.text);
    match line.comment {
        Some(comment) => {
            if line.has_both() {
                let width = width(&line.text);
                let blanks = column.map_or(APART, |column| column - width);
                out.extend(std::iter::repeat_n(' ', blanks));
            }
            out.push_str(comment.of(script));
        }
        // A word of its own that would continue the line.
        None if line.text.ends_with(" \\") => out.push(';'),
        None => {}
    }
}

/// Where the comments of several lines begin if the author had them below each other.
fn common_column(script: &str, run: &[Line]) -> Option<usize> {
    let (first, others) = run.split_first()?;
    let column = |line: &Line| line.comment.map(|comment| width(&script[..comment.start as usize]));
    if others.is_empty() || others.iter().any(|line| column(line) != column(first)) {
        return None;
    }
    run.iter().map(|line| width(&line.text) + APART).max()
}

/// Columns that the last line of a text takes; tabs go to multiples of eight.
fn width(text: &str) -> usize {
    let line = text.rfind('\n').map_or(text, |end| &text[end + 1..]);
    line.chars().fold(0, |column, c| match c {
        '\t' => column + 8 - column % 8,
        c => column + c.width().unwrap_or(0),
    })
}
