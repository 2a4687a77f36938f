//! Colours of the line that is typed: what is text, what a variable, a comment, a statement's word, and whether a first word begins a
//! command at all. The line is never changed: without its escape sequences it is what was typed.

use super::complete::STATEMENTS;
use crate::commands;

const TEXT: &str = "32";
const VARIABLE: &str = "36";
const COMMENT: &str = "2";
const KEYWORD: &str = "1;34";
const COMMAND: &str = "1";
const UNKNOWN: &str = "31";

/// Words of statements that stand within a line, too.
const INNER: &[&str] = &[
    "THEN", "DO", "IN", "EACH", "STEP", "AND", "OR", "NOT", "ENDIF", "ENDWHILE", "ENDFOR", "ON", "ERROR",
    "STOP",
];

/// The line with its colours.
pub fn coloured(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 32);
    let mut first = true;
    let mut statement = false;
    let mut rest = line;
    while let Some(char) = rest.chars().next() {
        let end = match char {
            '"' | '\'' => rest[1..].find(char).map_or(rest.len(), |at| at + 2),
            '$' if rest[1..].starts_with('"') => rest[2..].find('"').map_or(rest.len(), |at| at + 3),
            '$' => 1 + length(&rest[1..], |c| c.is_alphanumeric() || c == '_'),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            _ if is_word(char) => length(rest, is_word),
            _ => char.len_utf8(),
        };
        let (piece, after) = rest.split_at(end);
        let colour = match char {
            '"' | '\'' => Some(TEXT),
            '$' if piece.ends_with('"') && piece.len() > 2 => Some(TEXT),
            '$' => Some(VARIABLE),
            '#' => Some(COMMENT),
            '\n' | ';' => {
                (first, statement) = (true, false);
                None
            }
            // What is assigned may be a command.
            '=' if !first && !statement => {
                first = true;
                None
            }
            _ if is_word(char) => {
                let upper = piece.to_ascii_uppercase();
                let begins = first;
                first = false;
                if begins && STATEMENTS.iter().any(|word| word.split(' ').next() == Some(upper.as_str())) {
                    statement = true;
                    first = upper == "ELSE";
                    Some(KEYWORD)
                } else if statement && (INNER.contains(&upper.as_str()) || upper == "END" || upper == "TO") {
                    first = matches!(upper.as_str(), "THEN" | "DO");
                    Some(KEYWORD)
                } else if begins && commands::is_command_word(piece) {
                    Some(COMMAND)
                } else if begins && !after.is_empty() && !after.trim_start().starts_with(['(', ':']) {
                    // Still being typed it may become one.
                    Some(UNKNOWN)
                } else {
                    None
                }
            }
            _ => None,
        };
        match colour {
            Some(colour) => {
                out.push_str("\x1b[");
                out.push_str(colour);
                out.push('m');
                out.push_str(piece);
                out.push_str("\x1b[0m");
            }
            None => out.push_str(piece),
        }
        // A variable at the beginning is what is assigned to.
        if char == '$' {
            first = false;
        }
        rest = after;
    }
    out
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '/' | '.' | '-' | ':' | '*' | '?' | '\\' | '@' | '+')
}

fn length(text: &str, fits: impl Fn(char) -> bool) -> usize {
    text.find(|char| !fits(char)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::coloured;
    use proptest::prelude::*;

    fn plain(text: &str) -> String {
        let mut pieces = text.split('\x1b');
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |all, piece| all + piece.split_once('m').map_or("", |(_, rest)| rest))
    }

    #[test]
    fn text_variables_and_commands_look_different() {
        assert_eq!(
            coloured("write \"a\" $b # c"),
            "\x1b[1mwrite\x1b[0m \x1b[32m\"a\"\x1b[0m \x1b[36m$b\x1b[0m \x1b[2m# c\x1b[0m"
        );
        assert_eq!(coloured("$r = status"), "\x1b[36m$r\x1b[0m = \x1b[1mstatus\x1b[0m");
        assert_eq!(
            coloured("if $r then status end"),
            "\x1b[1;34mif\x1b[0m \x1b[36m$r\x1b[0m \x1b[1;34mthen\x1b[0m \x1b[1mstatus\x1b[0m \x1b[1;34mend\x1b[0m"
        );
        assert_eq!(coloured("qqqqqq 1"), "\x1b[31mqqqqqq\x1b[0m 1");
        assert_eq!(coloured("qqqqqq"), "qqqqqq", "it may become one");
    }

    proptest! {
        #[test]
        fn the_line_stays_what_was_typed(line in "[ -~\u{e4}\u{4e00}\n]{0,60}") {
            prop_assert_eq!(plain(&coloured(&line)), line);
        }
    }
}
