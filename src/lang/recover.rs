//! A line that does not fit the grammar: what is wrong in it, in a person's words, and what of it still stands.
//!
//! Each statement of the line is looked at by itself. Of a broken one, block heads and ends are kept as placeholders,
//! so that the blocks around it still match.

use super::build::Builder;
use super::grammar::{Dtcl, Rule};
use super::scan::{self, Scan};
use super::tree::{ClauseKind, End};
use super::{Diagnostic, Span};
use pest::Parser;
use pest::error::{Error, ErrorVariant, InputLocation};
use std::ops::Range;

/// So many broken statements of one line are told.
const ENOUGH: usize = 20;

/// Takes in the rest of the line that begins at `at`; returns where the next one begins. Places count in `text`, which
/// begins at `base` in the whole script.
pub(super) fn line(text: &str, at: usize, base: usize, builder: &mut Builder<'_>) -> usize {
    let scan = scan::line(text, at);
    let mut broken = 0;
    for piece in &scan.pieces {
        if broken == ENOUGH {
            let rest = Span::new(piece.start, piece.end);
            builder.problem(Diagnostic::error(
                102,
                "more errors in this line are not shown",
                moved(rest, base),
            ));
            break;
        }
        match Dtcl::parse(Rule::segment, &text[piece.clone()]) {
            Ok(pairs) => _ = builder.add(pairs.tokens(), base + piece.start),
            Err(error) => {
                broken += 1;
                let found = explain(text, piece.clone(), &scan, &error);
                builder.problem(Diagnostic { span: moved(found.span, base), ..found });
                placeholders(text, piece.clone(), base, builder);
            }
        }
    }
    scan.next
}

fn moved(span: Span, by: usize) -> Span {
    Span::new(span.start as usize + by, span.end as usize + by)
}

/// What is wrong in a statement.
fn explain(text: &str, piece: Range<usize>, scan: &Scan, error: &Error<Rule>) -> Diagnostic {
    let bytes = text.as_bytes();
    if let Some(quote) = scan.open_quote.filter(|at| piece.contains(at)) {
        // An apostrophe inside a word is more likely than a quote that was meant.
        if bytes[quote] == b'\'' && quote > piece.start && !scan::is_delimiter(bytes[quote - 1]) {
            return inside_word(text, quote, &piece);
        }
        let end = scan::end_of_line(bytes, quote).0;
        return Diagnostic::error(102, "this quote is not closed", Span::new(quote, end.max(quote + 1)))
            .help("quotes end in their line; a quote inside quotes is doubled: \"\"");
    }
    let at = piece.start
        + match error.location {
            InputLocation::Pos(at) => at,
            InputLocation::Span((at, _)) => at,
        };
    let expected = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
        ErrorVariant::CustomError { .. } => &[],
    };
    at_place(text, &piece, scan, at, expected)
}

fn at_place(text: &str, piece: &Range<usize>, scan: &Scan, at: usize, expected: &[Rule]) -> Diagnostic {
    let wanted = wanted(expected);
    let rest = text[at..piece.end].trim_end();
    let Some(next) = rest.chars().next().filter(|_| !rest.starts_with('\n')) else {
        if let Some(open) = scan.open_brackets.iter().copied().find(|open| piece.contains(open)) {
            return Diagnostic::error(102, "this ( is not closed", Span::new(open, open + 1))
                .help("parentheses end in their line; a blank and \\ at its end continue it");
        }
        let end = piece.start + text[piece.clone()].trim_end().len();
        return with(Diagnostic::error(102, "the statement is not complete", Span::new(end, end)), wanted);
    };
    // Up to a blank, comment or delimiter.
    let word_length = rest.bytes().position(scan::is_delimiter).unwrap_or(rest.len()).max(next.len_utf8());
    let span = Span::new(at, at + word_length);
    let word = &rest[..word_length];
    let glued =
        at > piece.start && !scan::is_delimiter(text.as_bytes()[at - 1]) || starts_glued(text, piece, at);
    let in_expression = expected.iter().any(|rule| matches!(rule, Rule::operator))
        || expected.iter().any(|rule| matches!(rule, Rule::truth));
    if next == ')' && scan.stray_brackets.contains(&at) {
        return Diagnostic::error(102, "this ) closes nothing", Span::new(at, at + 1))
            .help("a ) in a name or path is quoted: \"a (1).txt\"");
    }
    if glued && let Some(name) = variable_before(text, piece.start, at) {
        return Diagnostic::error(
            102,
            format!("a variable ends its word: \"{word}\" cannot follow {name}"),
            span,
        )
        .help(format!("join them in one text: $\"{{{name}}}{word}\""));
    }
    let follows_value = !in_expression && starts_glued(text, piece, at) && !matches!(next, ')' | '<' | '>');
    if glued && (matches!(next, '"' | '\'' | '(' | '$') || follows_value) {
        return inside_word(text, at, piece);
    }
    if let Some(form) = head_form(word).filter(|_| text[piece.start..at].trim().is_empty()) {
        let message = format!("this {} is not complete", word.to_ascii_uppercase());
        return Diagnostic::error(102, message, span).help(format!("expected {form}"));
    }
    if closes_block(word) {
        return with(
            Diagnostic::error(102, format!("{} cannot stand here", word.to_ascii_uppercase()), span),
            wanted.or_else(|| Some(format!("as a value it is quoted: \"{word}\""))),
        );
    }
    if scan::is_delimiter(next as u8 & 0x7f)
        && next.is_ascii()
        && matches!(next, '=')
        && text[at..].starts_with("==")
    {
        return Diagnostic::error(102, "== compares", Span::new(at, at + 2))
            .help("one = assigns: $name = value");
    }
    if in_expression && is_plain_word(word) && expected.iter().any(|rule| matches!(rule, Rule::truth)) {
        return Diagnostic::error(102, format!("text is quoted in an expression: \"{word}\""), span)
            .help(format!("write \"{word}\", or ${word} for a variable, or {word}(...) for a call"));
    }
    if matches!(next, '<' | '>') && !in_expression {
        return Diagnostic::error(102, format!("{next} means nothing among a command's words"), span)
            .help("an expression among words stands in parentheses; as a value it is quoted");
    }
    let message = if next.is_control() {
        "this character cannot stand in a script outside quotes".to_owned()
    } else {
        let shown: String = word.chars().take(40).collect();
        format!("\"{shown}\" does not fit here")
    };
    with(Diagnostic::error(102, message, span), wanted)
}

fn with(diagnostic: Diagnostic, help: Option<String>) -> Diagnostic {
    Diagnostic { help, ..diagnostic }
}

/// Two values without anything between them.
fn inside_word(text: &str, at: usize, piece: &Range<usize>) -> Diagnostic {
    let bytes = text.as_bytes();
    let word_start =
        (piece.start..at).rev().find(|i| scan::is_delimiter(bytes[*i])).map_or(piece.start, |i| i + 1);
    let word_end = (at + 1..piece.end)
        .find(|i| scan::is_delimiter(bytes[*i]) && !matches!(bytes[*i], b'"' | b'\''))
        .unwrap_or(piece.end);
    let whole = text[word_start..word_end].trim();
    let mut end = at + 1;
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let beside_quote = at > piece.start && matches!(bytes[at - 1], b'"' | b'\'' | b')');
    let before = &text[word_start..at];
    let help = if text[at..].starts_with('(') && is_plain_word(before) {
        format!("a call among a command's words stands in parentheses: ({before}(...))")
    } else if beside_quote || whole.contains('"') {
        "put a blank or a comma between them, or join them in one text: $\"{$a}{$b}\"".to_owned()
    } else if text[at..].starts_with('(') {
        "an expression in parentheses is a value of its own; text with ( is quoted".to_owned()
    } else {
        format!("if it is one text, quote it: \"{whole}\"")
    };
    Diagnostic::error(102, "between two values stands a blank, a comma or =", Span::new(at, end)).help(help)
}

/// True if a value ends just before `at`: a closing quote, parenthesis or bracket.
fn starts_glued(text: &str, piece: &Range<usize>, at: usize) -> bool {
    at > piece.start && matches!(text.as_bytes()[at - 1], b'"' | b'\'' | b')')
}

/// The variable that ends just before `at`, with its `$`.
fn variable_before(text: &str, start: usize, at: usize) -> Option<&str> {
    let before = &text[start..at];
    let name = before.rfind('$')?;
    let inner = &before[name + 1..];
    let fits =
        !inner.is_empty() && inner.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']'));
    let begins =
        name == 0 || scan::is_delimiter(before.as_bytes()[name - 1]) || before.as_bytes()[name - 1] == b'{';
    (fits && begins).then_some(&before[name..])
}

fn is_plain_word(word: &str) -> bool {
    word.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && word.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn closes_block(word: &str) -> bool {
    ["END", "ENDIF", "ENDWHILE", "ENDFOR", "ELSE", "ELSEIF"].iter().any(|w| w.eq_ignore_ascii_case(word))
}

/// What a statement with this first word looks like.
fn head_form(word: &str) -> Option<&'static str> {
    let forms = [
        ("IF", "IF <condition> THEN ... END"),
        ("ELSEIF", "ELSEIF <condition> THEN"),
        ("WHILE", "WHILE <condition> DO ... END"),
        ("FOR", "FOR $i = <from> TO <to> [STEP <n>] DO ... END or FOR EACH $x IN <list> DO ... END"),
        ("ON", "ON ERROR CONTINUE, ON ERROR STOP or ON ERROR DO ... END"),
    ];
    forms.iter().find(|(head, _)| head.eq_ignore_ascii_case(word)).map(|(_, form)| *form)
}

/// The expected things in a person's words.
fn wanted(expected: &[Rule]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for rule in expected {
        let name = match rule {
            Rule::then_word => "THEN",
            Rule::do_word => "DO",
            Rule::to_word => "TO",
            Rule::step_word => "STEP",
            Rule::in_word => "IN",
            Rule::error_word => "ERROR",
            Rule::on_action => "CONTINUE, STOP or DO",
            Rule::operator => "an operator",
            Rule::truth | Rule::expr | Rule::value => "a value",
            Rule::assign_sign => "=",
            Rule::target => "a variable ($name)",
            _ => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    // ON ERROR DO is two rules that begin alike.
    if names.contains(&"CONTINUE, STOP or DO") {
        names.retain(|name| *name != "DO");
    }
    let (last, others) = names.split_last()?;
    Some(if others.is_empty() {
        format!("expected {last}")
    } else {
        format!("expected {} or {last}", others.join(", "))
    })
}

/// Keeps what a broken statement opens, closes and assigns.
fn placeholders(text: &str, piece: Range<usize>, base: usize, builder: &mut Builder<'_>) {
    let words = plain_words(text, piece.clone());
    let mut at_head = true;
    for (number, word) in words.iter().enumerate() {
        let content = &text[word.clone()];
        let is = |name: &str| content.eq_ignore_ascii_case(name);
        let span = Span::new(base + word.start, base + word.end);
        if closes_block(content) {
            at_head = is("ELSE") || is("ELSEIF");
            if !at_head {
                builder.clause(span, ClauseKind::End(End::Any));
            }
            continue;
        }
        let follows = |n: usize, name: &str| {
            words.get(number + n).is_some_and(|word| text[word.clone()].eq_ignore_ascii_case(name))
        };
        if at_head
            && (is("IF") || is("WHILE") || is("FOR") || (is("ON") && follows(1, "ERROR") && follows(2, "DO")))
        {
            builder.clause(span, ClauseKind::Broken);
        } else if number == 0 && content.starts_with('$') && content.len() > 1 {
            builder.clause(span, ClauseKind::BrokenAssign);
        }
        at_head = is("THEN") || is("DO");
    }
}

/// The words of a piece outside quotes.
fn plain_words(text: &str, piece: Range<usize>) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut i = piece.start;
    while i < piece.end {
        match bytes[i] {
            b'"' | b'\'' => i = scan::quote_end(bytes, i).map_or(piece.end, |end| end + 1),
            byte if scan::is_delimiter(byte) => i += 1,
            _ => {
                let end = (i..piece.end).find(|n| scan::is_delimiter(bytes[*n])).unwrap_or(piece.end);
                words.push(i..end);
                i = end;
            }
        }
    }
    words
}
