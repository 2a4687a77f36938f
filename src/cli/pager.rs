//! Output that is longer than the screen, a screenful at a time; and the way back over what was written, for WATCH.
//!
//! Keys: the space bar shows another screen, Return another line, q leaves the rest out; Ctrl-C ends the statement with it. Anything else shows another screen.

use super::output::Output;
use super::prompt;
use crate::sys::signal;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// What stands below a screenful.
const MORE: &str = "-- more: space, Return; q leaves out the rest --";

const CTRL_C: u8 = 3;

/// Columns and rows of a terminal.
type Size = (u16, u16);

/// Writes a text, and waits for a key after each screen of it.
pub(super) fn show(output: &Output, text: &str, size: Size) {
    let (columns, rows) = (usize::from(size.0), usize::from(size.1));
    // A line for the question, and one for the prompt that comes.
    let screen = rows.saturating_sub(1);
    if screen < 2 || height(text, columns) <= screen {
        return output.write(text);
    }
    let mut room = screen;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        output.write(line);
        room = room.saturating_sub(height(line, columns));
        if room > 0 || lines.peek().is_none() {
            continue;
        }
        output.flush();
        let ask: String = MORE.chars().take(columns.saturating_sub(1)).collect();
        let key = prompt::key(&format!("\x1b[7m{ask}\x1b[0m"));
        output.write("\r\x1b[K");
        room = match key {
            Some(CTRL_C) => return signal::interrupt(),
            Some(b'q' | b'Q' | 4 | 0x1b) => return,
            Some(b'\r' | b'\n' | b'j') => 1,
            // Nobody there: all that is left.
            None => usize::MAX,
            Some(_) => screen,
        };
    }
}

/// The sequence that takes back what was written from the beginning of a line, as far as it is on the screen.
pub(super) fn back_over(text: &str, size: Option<Size>) -> String {
    let (columns, rows) = size.map_or((80, 24), |(columns, rows)| (usize::from(columns), usize::from(rows)));
    // A terminal that does not say.
    let rows = if rows == 0 { 24 } else { rows };
    // The cursor is still in a row that was not ended.
    match height(text, columns) - usize::from(!text.is_empty() && !text.ends_with('\n')) {
        0 if text.is_empty() => String::new(),
        0 => "\r\x1b[J".to_owned(),
        height if height < rows => format!("\r\x1b[{height}A\x1b[J"),
        _ => "\x1b[H\x1b[2J".to_owned(),
    }
}

/// Rows that whole lines take.
fn height(text: &str, columns: usize) -> usize {
    let row = |line: &str| {
        line.width().max(line.chars().filter_map(|char| char.width()).sum()).div_ceil(columns.max(1)).max(1)
    };
    text.lines().map(row).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_line_takes_several_rows() {
        assert_eq!(height("a\n\nbb\n", 80), 3);
        assert_eq!(height(&format!("{}\n", "x".repeat(81)), 40), 3);
        assert_eq!(height("", 40), 0);
    }

    #[test]
    fn what_was_written_is_taken_back() {
        assert_eq!(back_over("a\nb\n", Some((80, 24))), "\r\x1b[2A\x1b[J");
        assert_eq!(back_over(&"a\n".repeat(30), Some((80, 24))), "\x1b[H\x1b[2J");
        assert_eq!(back_over("", None), "");
        assert_eq!(back_over("a", Some((80, 24))), "\r\x1b[J");
        assert_eq!(back_over("a\nb", Some((80, 0))), "\r\x1b[1A\x1b[J");
    }
}
