//! The formatter: the same script with the indentation, blanks and line ends that all scripts have.
//!
//! Names, strings, keywords and comments stay as they are written, so do the author's lines and, of blank lines, two in
//! a row. Formatted text means the same, which is looked at each time, and formatting it again changes nothing.

mod layout;
mod lines;
mod pieces;
mod shape;

use super::blocks::stray_else;
use super::tree::{Clause, ClauseKind};
use super::{Block, Blocks, Diagnostic, Part, Source, parse};
pub(super) use pieces::{Piece, Pieces};
use shape::Shape;

/// The formatted text of a script, or what is wrong with it: blocks and statements, not what commands say.
pub fn format(source: &Source) -> Result<String, Vec<Diagnostic>> {
    let text = &source.text;
    let read = Read::of(text);
    if !read.problems.is_empty() {
        return Err(read.problems);
    }
    if let Some(problem) = pieces::lost(text, &read.pieces) {
        return Err(vec![problem]);
    }
    let line_end = match text.find('\n') {
        Some(end) if text[..end].ends_with('\r') => "\r\n",
        _ => "\n",
    };
    let lines = layout::lay_out(text, &read.pieces, line_end);
    let formatted = lines::join(text, &lines, line_end).map_err(|problem| vec![problem])?;
    if formatted == *text {
        return Ok(formatted);
    }
    let again = Read::of(&formatted);
    let comments = pieces::comments(text, &read.pieces).eq(pieces::comments(&formatted, &again.pieces));
    if again.problems.is_empty() && again.shape == read.shape && comments {
        return Ok(formatted);
    }
    let place = again.problems.first().map_or(0, |problem| problem.span.start as usize);
    let line = formatted.get(..place).unwrap_or_default().matches('\n').count() + 1;
    let message =
        format!("formatted, this script would not mean the same (line {line}); it is left as it is");
    Err(vec![
        Diagnostic::error(0, message, super::Span::new(0, 0)).help("this is a mistake of the formatter"),
    ])
}

/// A script as the formatter needs it.
#[derive(Default)]
struct Read {
    problems: Vec<Diagnostic>,
    pieces: Vec<Piece>,
    shape: Shape,
}

impl Read {
    fn of(text: &str) -> Read {
        let (mut read, mut blocks) = (Read::default(), Blocks::default());
        parse::parse_pieces(text, |part| read.part(text, part, &mut blocks));
        read.finish(&blocks)
    }

    fn part(&mut self, text: &str, mut part: Part, blocks: &mut Blocks<()>) {
        self.problems.append(&mut part.problems);
        self.pieces.append(&mut part.pieces);
        for clause in &part.clauses {
            self.problems.extend(block(clause, blocks));
            self.shape.clause(text, &part, clause);
        }
    }

    fn finish(mut self, blocks: &Blocks<()>) -> Read {
        self.problems.extend(blocks.unclosed());
        self.problems.sort_by_key(|problem| problem.span.start);
        self
    }
}

/// What is wrong with the blocks at this clause.
fn block(clause: &Clause, blocks: &mut Blocks<()>) -> Option<Diagnostic> {
    let opened = match &clause.kind {
        ClauseKind::If(_) => Block::If,
        ClauseKind::While(_) => Block::While,
        ClauseKind::For(_) | ClauseKind::ForEach { .. } => Block::For,
        ClauseKind::OnErrorDo => Block::OnError,
        ClauseKind::Broken => Block::Broken,
        ClauseKind::End(end) => return blocks.close(*end, clause.span).err(),
        ClauseKind::ElseIf(_) => return middle("ELSEIF", clause, blocks),
        ClauseKind::Else => return middle("ELSE", clause, blocks),
        _ => return None,
    };
    blocks.open(opened, clause.span, ()).err().flatten()
}

fn middle(word: &str, clause: &Clause, blocks: &mut Blocks<()>) -> Option<Diagnostic> {
    let fits = match blocks.innermost() {
        Some((block @ Block::If, ())) => {
            if word == "ELSE" {
                *block = Block::Else;
            }
            true
        }
        Some((Block::Broken, ())) => true,
        Some(_) => false,
        None => blocks.too_deep(),
    };
    (!fits).then(|| stray_else(word, clause.span))
}

#[cfg(test)]
mod made;
#[cfg(test)]
mod tests;
