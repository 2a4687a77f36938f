//! The pieces that a formatter moves: words, signs and comments in their order, from the tokens of the grammar.
//!
//! Between two pieces stands nothing but blanks, line ends, `;` and what continues a line. A `$"..."` is one piece.

use crate::lang::grammar::Rule;
use crate::lang::scan;
use crate::lang::{Diagnostic, Span};
use pest::Token;
use pest::iterators::Tokens;

/// A piece of a script.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub span: Span,
    pub kind: PieceKind,
    /// What begins with it.
    pub begins: Option<Role>,
}

/// How a piece stands to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    Word,
    /// `(` or `[`
    Open,
    /// The same of a call or an index: nothing before it.
    GluedOpen,
    /// `.name`
    Glued,
    Close,
    Comma,
    /// A minus before its operand.
    Prefix,
    /// From `#` on.
    Comment,
    /// From `//` on: the first thing in its line.
    LineComment,
}

impl PieceKind {
    pub fn is_comment(self) -> bool {
        matches!(self, PieceKind::Comment | PieceKind::LineComment)
    }
}

/// What a statement does to blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Plain,
    /// IF, WHILE, FOR, ON ERROR DO
    Opens,
    /// ELSE, ELSEIF
    Parts,
    Ends,
}

/// Collects the pieces of one part of a script.
#[derive(Debug)]
pub struct Pieces<'t> {
    /// The whole script, lines not joined.
    text: &'t str,
    /// What stands before is taken in.
    at: usize,
    list: Vec<Piece>,
    /// Statements that are open: an assignment and the command in it.
    open: u32,
    /// For the next piece.
    begins: Option<Role>,
    glued: bool,
    /// Where a comment began.
    comment: Option<usize>,
}

impl<'t> Pieces<'t> {
    pub fn new(text: &'t str) -> Self {
        Pieces { text, at: 0, list: Vec::new(), open: 0, begins: None, glued: false, comment: None }
    }

    pub fn list(self) -> Vec<Piece> {
        self.list
    }

    /// Takes in one token stream, whose places count from `base`.
    pub fn add(&mut self, mut tokens: Tokens<'_, Rule>, base: usize) {
        self.at = base;
        while let Some(token) = tokens.next() {
            match token {
                Token::Start { rule, pos } => {
                    let start = base + pos.pos();
                    self.advance(start);
                    if rule == Rule::interpolated || crate::lang::build::is_leaf(rule) {
                        let end = base + end_of(rule, &mut tokens).unwrap_or(start - base);
                        self.leaf(rule, start, end);
                    } else {
                        self.open(rule);
                    }
                }
                Token::End { rule, pos } => {
                    self.advance(base + pos.pos());
                    if role(rule).is_some() {
                        self.open -= 1;
                    }
                }
            }
        }
    }

    fn open(&mut self, rule: Rule) {
        if let Some(role) = role(rule) {
            self.open += 1;
            if self.open == 1 {
                self.begins = Some(role);
            }
        }
        self.glued |= rule == Rule::postfix;
    }

    fn leaf(&mut self, rule: Rule, start: usize, end: usize) {
        let kind = match rule {
            // No text of their own.
            Rule::done => return,
            Rule::slashes => {
                self.comment = Some(start);
                self.at = end;
                return;
            }
            Rule::rest => return self.comment(end),
            Rule::minus => PieceKind::Prefix,
            Rule::sign if self.text[start..].starts_with(',') => PieceKind::Comma,
            _ => PieceKind::Word,
        };
        match rule {
            Rule::else_word => self.begins = Some(Role::Parts),
            Rule::end_word => self.begins = Some(Role::Ends),
            Rule::break_word | Rule::continue_word | Rule::return_word => self.begins = Some(Role::Plain),
            _ => {}
        }
        self.push(kind, start, end);
        self.glued = rule == Rule::function;
    }

    fn comment(&mut self, end: usize) {
        let start = self.comment.take().unwrap_or(self.at);
        let text = self.text[start..end].trim_end_matches([' ', '\t', '\r']);
        let kind = if text.starts_with("//") { PieceKind::LineComment } else { PieceKind::Comment };
        self.push(kind, start, start + text.len());
        self.at = end;
    }

    fn push(&mut self, kind: PieceKind, start: usize, end: usize) {
        let begins = if kind.is_comment() { None } else { self.begins.take() };
        self.list.push(Piece { span: Span::new(start, end), kind, begins });
        self.at = end;
    }

    /// Takes in what the grammar has no tokens for: keywords of heads, brackets, commas of calls, names of variables.
    fn advance(&mut self, to: usize) {
        let bytes = self.text.as_bytes();
        while self.at < to {
            let start = self.at;
            let (kind, end) = match bytes[start] {
                b' ' | b'\t' | b'\r' | b'\n' | b';' => {
                    self.at += 1;
                    continue;
                }
                b'\\' if scan::continuation(bytes, start).is_some() => {
                    self.at = scan::continuation(bytes, start).unwrap_or(to);
                    continue;
                }
                b'#' => {
                    self.comment = Some(start);
                    self.at += 1;
                    continue;
                }
                b'(' | b'[' if std::mem::take(&mut self.glued) => (PieceKind::GluedOpen, start + 1),
                b'(' | b'[' => (PieceKind::Open, start + 1),
                b')' | b']' => (PieceKind::Close, start + 1),
                b',' => (PieceKind::Comma, start + 1),
                b'=' => (PieceKind::Word, start + 1),
                b'.' => {
                    self.glued = false;
                    (PieceKind::Glued, self.name_end(start + 1, to))
                }
                // A keyword, or the `$` of a name.
                _ => (PieceKind::Word, self.name_end(start + 1, to)),
            };
            self.push(kind, start, end);
        }
    }

    fn name_end(&self, from: usize, to: usize) -> usize {
        let name = |c: &char| c.is_ascii_alphanumeric() || *c == '_' || !c.is_ascii();
        let text = self.text.get(from..to).unwrap_or_default();
        from + text.chars().take_while(name).map(char::len_utf8).sum::<usize>()
    }
}

/// The comments among these pieces.
pub fn comments<'t>(text: &'t str, pieces: &[Piece]) -> impl Iterator<Item = &'t str> {
    pieces.iter().filter(|piece| piece.kind.is_comment()).map(|piece| piece.span.of(text))
}

/// What stands between pieces and would be lost with the blanks there: a form feed, say, which a run passes over with
/// the comment behind it.
pub fn lost(text: &str, pieces: &[Piece]) -> Option<Diagnostic> {
    let bytes = text.as_bytes();
    let ends = pieces.iter().map(|piece| (piece.span.end as usize, piece.kind.is_comment()));
    let starts = pieces.iter().map(|piece| piece.span.start as usize).chain([text.len()]);
    for ((mut at, comment), start) in std::iter::once((0, false)).chain(ends).zip(starts) {
        // A comment's own end: all up to the newline is its text.
        while comment && at < start && matches!(bytes[at], b' ' | b'\t' | b'\r') {
            at += 1;
        }
        while at < start {
            at = match bytes[at] {
                b' ' | b'\t' | b'\n' | b';' => at + 1,
                b'\r' if bytes.get(at + 1) == Some(&b'\n') => at + 1,
                b'\\' => match scan::continuation(bytes, at) {
                    Some(end) => end,
                    None => return Some(cannot_stand(text, at)),
                },
                _ => return Some(cannot_stand(text, at)),
            };
        }
    }
    None
}

fn cannot_stand(text: &str, at: usize) -> Diagnostic {
    let length = text[at..].chars().next().map_or(1, char::len_utf8);
    let message = "what stands here is neither a statement nor a comment";
    Diagnostic::error(102, message, Span::new(at, at + length))
        .help("between statements stand blanks, tabs, semicolons and line ends: take this character out")
}

/// Where the rule that has just begun ends; what is in it is passed over.
fn end_of(wanted: Rule, tokens: &mut Tokens<'_, Rule>) -> Option<usize> {
    let mut depth = 1;
    for token in tokens {
        match token {
            Token::Start { rule, .. } if rule == wanted => depth += 1,
            Token::End { rule, pos } if rule == wanted => {
                depth -= 1;
                if depth == 0 {
                    return Some(pos.pos());
                }
            }
            _ => {}
        }
    }
    None
}

/// What a rule that is a statement does to blocks.
fn role(rule: Rule) -> Option<Role> {
    match rule {
        Rule::if_head | Rule::while_head | Rule::for_head | Rule::for_each | Rule::on_error_do => {
            Some(Role::Opens)
        }
        Rule::elseif_head => Some(Role::Parts),
        Rule::assign | Rule::command | Rule::scheduled | Rule::call_statement | Rule::on_error_set => {
            Some(Role::Plain)
        }
        _ => None,
    }
}
