//! What a dry run says: a command as it stands in the script, with the values that it was given.

use super::as_word;
use super::program::{Invocation, Program};
use crate::commands::{Arg, Args};

/// The text of the command that the operation `at` runs.
pub(super) fn spelled(program: &Program, at: usize, invocation: &Invocation, args: &Args) -> String {
    let (span, text) = (program.spans[at], &program.source.text);
    let mut spelled = String::new();
    let mut from = span.start as usize;
    for (item, _) in &invocation.holes {
        let Some(Arg::Value { value, span, .. }) = args.items.get(*item as usize) else { continue };
        spelled.push_str(text.get(from..span.start as usize).unwrap_or_default());
        spelled.push_str(&plain(&as_word(&value.to_string())));
        from = span.end as usize;
    }
    spelled.push_str(text.get(from..span.end as usize).unwrap_or_default());
    one_line(&spelled)
}

/// What could steer a terminal, or end the line, is written out.
pub(super) fn plain(text: &str) -> String {
    let written = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(written).collect()
}

/// Continued lines as one.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim_end().strip_suffix('\\').unwrap_or(line).trim());
    lines.collect::<Vec<_>>().join(" ")
}
