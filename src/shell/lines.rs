//! Where the shell's lines come from: a terminal with a line editor, or anything else line by line.

use std::io::BufRead;

use crate::sys::signal;

/// What reading one line gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its end.
    Text(String),
    /// Ctrl-C: what was typed so far is given up.
    Interrupted,
    /// Ctrl-D or end of file.
    End,
    /// The program was asked to stop.
    Stopped,
    /// The line cannot be used: why.
    Unusable(String),
    /// No more lines can be read: why.
    Broken(String),
}

/// Gives lines.
pub trait Lines {
    /// Shows the prompt and reads a line.
    fn read(&mut self, prompt: &str) -> Line;

    /// Keeps a statement that was read whole, so that it can be called up again.
    fn remember(&mut self, _: &str) {}

    /// True when neither prompt nor line is on the screen yet after a read: the shell prints both, so that a transcript
    /// reads like a session at a terminal.
    fn must_echo(&self) -> bool;
}

/// Lines of a pipe or file.
pub struct Plain<R> {
    input: R,
}

impl<R: BufRead> Plain<R> {
    pub fn new(input: R) -> Self {
        Self { input }
    }
}

impl<R: BufRead> Lines for Plain<R> {
    fn read(&mut self, _: &str) -> Line {
        let mut line = Vec::new();
        signal::forget_interrupt();
        match self.input.read_until(b'\n', &mut line) {
            _ if signal::stop_requested() => Line::Stopped,
            Ok(0) => Line::End,
            Err(error) => Line::Broken(format!("cannot read standard input: {error}")),
            Ok(_) => {
                if line.ends_with(b"\n") {
                    line.pop();
                    if line.ends_with(b"\r") {
                        line.pop();
                    }
                }
                match String::from_utf8(line) {
                    Ok(line) => Line::Text(line),
                    Err(_) => Line::Unusable("this line is not UTF-8; DTCL's text is".into()),
                }
            }
        }
    }

    fn must_echo(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_of_either_kind_and_a_last_one_without_end() {
        let mut lines = Plain::new(&b"repset list\r\nwrite 1\n\xff\nlast"[..]);
        assert_eq!(lines.read(""), Line::Text("repset list".into()));
        assert_eq!(lines.read(""), Line::Text("write 1".into()));
        assert!(matches!(lines.read(""), Line::Unusable(_)));
        assert_eq!(lines.read(""), Line::Text("last".into()));
        assert_eq!(lines.read(""), Line::End);
    }
}
