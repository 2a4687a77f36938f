//! From pest's stream of tokens to a [`Part`].
//!
//! Works on the flat stream with stacks of its own: precedence is settled here (operators wait on a stack until a
//! weaker one comes), so neither grammar nor builder recurses over an expression's length.

use super::format::Pieces;
use super::grammar::Rule;
use super::literal;
use super::scan;
use super::tree::{Binary, Clause, ClauseKind, CommandWords, End, Expr, For, Node, Part, Word, WordKind};
use super::{Diagnostic, Span};
use pest::Token;
use pest::iterators::Tokens;

/// An operator that waits for its right side.
enum Pending {
    /// The bottom of one expression.
    Marker,
    Negate(Span),
    Not(Span),
    Binary(Binary, Span),
    /// AND and OR with the number of the node that jumps past the right side.
    And(usize, Span),
    Or(usize, Span),
}

impl Pending {
    /// Binding strength, from language.md 3.
    fn strength(&self) -> u8 {
        match self {
            Pending::Marker => 0,
            Pending::Or(..) => 1,
            Pending::And(..) => 2,
            Pending::Not(_) => 3,
            Pending::Binary(binary, _) => strength(*binary),
            Pending::Negate(_) => 7,
        }
    }
}

const COMPARISON: u8 = 4;

fn strength(binary: Binary) -> u8 {
    match binary {
        Binary::Add | Binary::Subtract => 5,
        Binary::Multiply | Binary::Divide | Binary::Remainder => 6,
        _ => COMPARISON,
    }
}

/// What an expression stands in.
enum Holder {
    Call {
        arguments: u32,
        name: Span,
    },
    List {
        items: u32,
        start: usize,
    },
    Join {
        pieces: u32,
        text: String,
        text_start: usize,
    },
    /// Parentheses, an index or a hole of a `$"..."`.
    One,
}

/// Builds one part from token streams. `base` is where the parsed slice begins in the whole text.
pub(super) struct Builder<'t> {
    text: &'t str,
    part: Part,
    pending: Vec<Pending>,
    holders: Vec<Holder>,
    /// Of the clause being built: expressions and the assigned variable.
    exprs: Vec<Expr>,
    variable: Span,
    /// Where the expression, value and call statement being built begin in `part.nodes`.
    expr_starts: Vec<usize>,
    value_start: usize,
    call_start: usize,
    words_start: usize,
    values_start: usize,
    /// For the formatter.
    pieces: Option<Pieces<'t>>,
}

impl<'t> Builder<'t> {
    /// `text` is the whole script.
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            part: Part::default(),
            pending: Vec::new(),
            holders: Vec::new(),
            exprs: Vec::new(),
            variable: Span::default(),
            expr_starts: Vec::new(),
            value_start: 0,
            call_start: 0,
            words_start: 0,
            values_start: 0,
            pieces: None,
        }
    }

    /// The part gets its pieces, too.
    pub(super) fn keep_pieces(&mut self) {
        self.pieces = Some(Pieces::new(self.text));
    }

    /// The part, done.
    pub(super) fn finish(mut self) -> Part {
        self.part.pieces = self.pieces.map(Pieces::list).unwrap_or_default();
        self.part
    }

    /// Adds a finding.
    pub(super) fn problem(&mut self, problem: Diagnostic) {
        self.part.problems.push(problem);
    }

    /// Adds a clause that no token stream made.
    pub(super) fn clause(&mut self, span: Span, kind: ClauseKind) {
        self.part.clauses.push(Clause { span, kind });
    }

    /// Takes in one token stream; returns how far its root rule matched, in the whole text.
    pub(super) fn add(&mut self, mut tokens: Tokens<'_, Rule>, base: usize) -> usize {
        let mut starts: Vec<usize> = Vec::with_capacity(16);
        let mut end = base;
        if let Some(pieces) = &mut self.pieces {
            pieces.add(tokens.clone(), base);
        }
        while let Some(token) = tokens.next() {
            match token {
                Token::Start { rule, pos } => {
                    let start = base + pos.pos();
                    if is_leaf(rule) {
                        let stop = match tokens.next() {
                            Some(Token::End { pos, .. }) => base + pos.pos(),
                            _ => start,
                        };
                        if rule == Rule::slashes {
                            let input = pos.span(&pos).get_input();
                            self.slashes(Span::new(start, stop), &input[..pos.pos()]);
                        }
                        if rule == Rule::rest {
                            self.hash(start);
                        }
                        self.leaf(rule, start, stop);
                    } else {
                        starts.push(start);
                        self.open(rule, start);
                    }
                }
                Token::End { rule, pos } => {
                    end = base + pos.pos();
                    let start = starts.pop().unwrap_or(base);
                    self.close(rule, start, end);
                }
            }
        }
        end
    }

    fn open(&mut self, rule: Rule, start: usize) {
        match rule {
            Rule::expr => {
                self.expr_starts.push(self.part.nodes.len());
                self.pending.push(Pending::Marker);
            }
            Rule::command | Rule::scheduled => {
                self.words_start = self.part.words.len();
                self.values_start = self.part.values.len();
            }
            Rule::value => self.value_start = self.part.nodes.len(),
            Rule::call_statement => self.call_start = self.part.nodes.len(),
            Rule::variable => self.variable_at(start),
            Rule::paren | Rule::postfix => self.holders.push(Holder::One),
            Rule::hole => {
                self.flush_text(start);
                self.holders.push(Holder::One);
            }
            Rule::list => self.holders.push(Holder::List { items: 0, start }),
            Rule::call => self.holders.push(Holder::Call { arguments: 0, name: Span::default() }),
            Rule::interpolated => {
                self.holders.push(Holder::Join { pieces: 0, text: String::new(), text_start: start })
            }
            _ => {}
        }
    }

    fn close(&mut self, rule: Rule, start: usize, mut end: usize) {
        if matches!(rule, Rule::command | Rule::scheduled | Rule::assign) {
            // The grammar takes in the blanks behind the last word.
            end = start + self.text[start..end].trim_end_matches([' ', '\t']).len();
        }
        let span = Span::new(start, end);
        match rule {
            Rule::rows
            | Rule::segment
            | Rule::variable
            | Rule::prefixed
            | Rule::grouped
            | Rule::called_value => {}
            Rule::expr => self.close_expr(),
            Rule::paren => _ = self.holders.pop(),
            Rule::hole => {
                self.holders.pop();
                if let Some(Holder::Join { pieces, text_start, .. }) = self.holders.last_mut() {
                    *pieces += 1;
                    *text_start = end;
                }
            }
            Rule::postfix => {
                self.holders.pop();
                let node = if self.text[start..].starts_with('[') { Node::Index } else { Node::Field };
                self.emit(node, span);
            }
            Rule::list => {
                if let Some(Holder::List { items, start }) = self.holders.pop() {
                    self.emit(Node::List(items), Span::new(start, end));
                }
            }
            Rule::call => {
                if let Some(Holder::Call { arguments, name }) = self.holders.pop() {
                    self.emit(Node::Call(arguments), name);
                }
            }
            Rule::interpolated => self.close_join(span),
            Rule::value => {
                let expr = self.expr_since(self.value_start);
                self.part.values.push(expr);
                self.part.words.push(Word { span, kind: WordKind::Value });
            }
            _ => self.close_clause(rule, span),
        }
    }

    fn close_clause(&mut self, rule: Rule, span: Span) {
        let kind = match rule {
            Rule::if_head => self.exprs.pop().map(ClauseKind::If),
            Rule::elseif_head => self.exprs.pop().map(ClauseKind::ElseIf),
            Rule::while_head => self.exprs.pop().map(ClauseKind::While),
            Rule::for_head => self.for_head(),
            Rule::for_each => {
                self.exprs.pop().map(|list| ClauseKind::ForEach { variable: self.variable, list })
            }
            Rule::on_error_do => Some(ClauseKind::OnErrorDo),
            Rule::call_statement => Some(ClauseKind::Call(self.expr_since(self.call_start))),
            // Inside an assignment it is closed before that, so it waits as the last clause.
            Rule::command | Rule::scheduled => {
                let place = span.end as usize;
                Some(ClauseKind::Command(CommandWords {
                    words: range(self.words_start, self.part.words.len()),
                    values: range(self.values_start, self.part.values.len()),
                    end: Span::new(place, place),
                }))
            }
            Rule::assign => self.assignment(span),
            _ => return,
        };
        self.exprs.clear();
        if let Some(kind) = kind {
            self.part.clauses.push(Clause { span, kind });
        }
    }

    fn assignment(&mut self, span: Span) -> Option<ClauseKind> {
        let variable = self.variable;
        if let Some(value) = self.exprs.pop() {
            return Some(ClauseKind::Assign { variable, value });
        }
        match self.part.clauses.pop()? {
            Clause { kind: ClauseKind::Command(command), span: inner } if inner.start >= span.start => {
                Some(ClauseKind::AssignCommand { variable, command: Box::new(command) })
            }
            other => {
                self.part.clauses.push(other);
                None
            }
        }
    }

    fn for_head(&mut self) -> Option<ClauseKind> {
        let step = if self.exprs.len() > 2 { self.exprs.pop() } else { None };
        let to = self.exprs.pop()?;
        let from = self.exprs.pop()?;
        Some(ClauseKind::For(Box::new(For { variable: self.variable, from, to, step })))
    }

    fn leaf(&mut self, rule: Rule, start: usize, end: usize) {
        let span = Span::new(start, end);
        let text = &self.text[start..end];
        match rule {
            Rule::number => self.number(text, span),
            Rule::operator => self.operator(text, span),
            Rule::target => {
                self.variable = span;
                self.check_name(span);
            }
            Rule::quoted => {
                let content = literal::unquote(text);
                // Outside expressions it is a word.
                if self.pending.is_empty() {
                    self.word(WordKind::Quoted(content.into()), span);
                } else {
                    self.emit(Node::Text(content.as_ref().into()), span);
                }
            }
            Rule::bare | Rule::schedule_word | Rule::schedule_last => {
                self.word(WordKind::Bare(text.into()), span);
            }
            Rule::sign if text == "=" => self.word(WordKind::Equals, span),
            Rule::sign => self.word(WordKind::Comma, span),
            Rule::minus => self.pending.push(Pending::Negate(span)),
            Rule::not_word => self.not(span),
            Rule::truth => self.emit(Node::Boolean(text.eq_ignore_ascii_case("TRUE")), span),
            Rule::function => {
                if let Some(Holder::Call { name, .. }) = self.holders.last_mut() {
                    *name = span;
                }
            }
            Rule::literal => {
                if let Some(Holder::Join { text: so_far, .. }) = self.holders.last_mut() {
                    so_far.push_str(match text {
                        "\"\"" => "\"",
                        "{{" => "{",
                        "}}" => "}",
                        other => other,
                    });
                }
            }
            Rule::else_word => self.clause(span, ClauseKind::Else),
            Rule::end_word => self.clause(span, ClauseKind::End(end_of(text))),
            Rule::break_word => self.clause(span, ClauseKind::Break),
            Rule::continue_word => self.clause(span, ClauseKind::Continue),
            Rule::return_word => self.clause(span, ClauseKind::Return),
            Rule::on_action => {
                let go_on = text.eq_ignore_ascii_case("CONTINUE");
                let kind = if go_on { ClauseKind::OnErrorContinue } else { ClauseKind::OnErrorStop };
                self.clause(span, kind);
            }
            _ => {}
        }
    }

    fn word(&mut self, kind: WordKind, span: Span) {
        self.part.words.push(Word { span, kind });
    }

    fn emit(&mut self, node: Node, span: Span) {
        self.part.nodes.push(node);
        self.part.spans.push(span);
    }

    fn expr_since(&self, start: usize) -> Expr {
        let range = range(start, self.part.nodes.len());
        Expr { start: range.start, end: range.end }
    }

    fn variable_at(&mut self, start: usize) {
        let name = &self.text[start + 1..];
        let length = name.find(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_');
        let span = Span::new(start, start + 1 + length.unwrap_or(name.len()));
        self.check_name(span);
        self.emit(Node::Variable, span);
    }

    /// `$1` is an argument; other names do not begin with a digit.
    fn check_name(&mut self, span: Span) {
        let name = &span.of(self.text)[1..];
        if name.as_bytes()[0].is_ascii_digit() && !name.bytes().all(|b| b.is_ascii_digit()) {
            self.problem(
                Diagnostic::error(102, "a variable's name does not begin with a digit", span)
                    .help("$1, $2 ... are the script's arguments; names begin with a letter or _"),
            );
        }
    }

    /// `//` is a comment only as the first thing in a line (language.md 2.3), with what it continues. Looks back over
    /// blanks alone: a comment costs the same at a long script's end.
    fn slashes(&mut self, span: Span, joined: &str) {
        let begins_line = |before: &str| {
            let before = before.trim_end_matches([' ', '\t']);
            before.is_empty() || before.ends_with('\n')
        };
        if !begins_line(&self.text[..span.start as usize]) || !begins_line(joined) {
            self.problem(
                Diagnostic::error(102, "// begins a comment only as the first thing in a line", span)
                    .help("elsewhere # begins a comment"),
            );
        }
    }

    /// `#` is a comment only at the start of a word (language.md 2.3), and a value ends no word before it (2.10).
    /// `rest` is what stands behind it.
    fn hash(&mut self, rest: usize) {
        let [.., before, b'#'] = &self.text.as_bytes()[..rest] else { return };
        if !scan::is_delimiter(*before) {
            let message = "a # directly behind a value begins no comment";
            self.problem(
                Diagnostic::error(102, message, Span::new(rest - 1, rest))
                    .help("put a blank before it; text that holds a value is written so: $\"{$x}#\""),
            );
        }
    }

    fn number(&mut self, text: &str, span: Span) {
        let node = if text.contains('/') {
            literal::date(text).map(Node::Date).ok_or_else(|| literal::date_problem(text, span))
        } else if text.contains(':') {
            literal::time(text).map(Node::Time).ok_or_else(|| literal::time_problem(text, span))
        } else {
            return self.integer(text, span);
        };
        let node = node.unwrap_or_else(|problem| {
            self.problem(problem);
            Node::Integer(0)
        });
        self.emit(node, span);
    }

    fn integer(&mut self, text: &str, span: Span) {
        // A minus directly before belongs to the number, so that the smallest integer can be written.
        let negated = match self.pending.last() {
            Some(Pending::Negate(minus)) => Some(*minus),
            _ => None,
        };
        let value = match negated {
            Some(_) => text.parse::<u64>().ok().and_then(|n| 0i64.checked_sub_unsigned(n)),
            None => text.parse::<i64>().ok(),
        };
        if let Some(minus) = negated {
            self.pending.pop();
            self.finish_integer(value, span.join(minus));
        } else {
            self.finish_integer(value, span);
        }
    }

    fn finish_integer(&mut self, value: Option<i64>, span: Span) {
        if value.is_none() {
            self.problem(literal::integer_problem(span));
        }
        self.emit(Node::Integer(value.unwrap_or(0)), span);
    }

    fn not(&mut self, span: Span) {
        // Looser than comparisons: as the right side of a tighter operator it needs parentheses.
        if self.pending.last().is_some_and(|top| top.strength() > 3) {
            self.problem(
                Diagnostic::error(102, "NOT cannot stand here without parentheses", span)
                    .help("NOT binds looser than comparisons and + - * /: write (NOT ...)"),
            );
            return;
        }
        self.pending.push(Pending::Not(span));
    }

    fn operator(&mut self, text: &str, span: Span) {
        let binary = match text {
            "=" | "==" => Binary::Equal,
            "<>" | "!=" => Binary::Unequal,
            "<" => Binary::Less,
            "<=" => Binary::LessOrEqual,
            ">" => Binary::Greater,
            ">=" => Binary::GreaterOrEqual,
            "+" => Binary::Add,
            "-" => Binary::Subtract,
            "*" => Binary::Multiply,
            "/" => Binary::Divide,
            "%" => Binary::Remainder,
            word => {
                let and = word.eq_ignore_ascii_case("AND");
                self.settle(if and { 2 } else { 1 });
                let jump = self.part.nodes.len();
                self.emit(if and { Node::AndElse(0) } else { Node::OrElse(0) }, span);
                self.pending.push(if and { Pending::And(jump, span) } else { Pending::Or(jump, span) });
                return;
            }
        };
        let weak = strength(binary);
        if self.settle(weak) && weak == COMPARISON {
            self.problem(
                Diagnostic::error(102, "comparisons cannot be chained", span)
                    .help("write both comparisons and join them with AND: $a < $b AND $b < $c"),
            );
        }
        self.pending.push(Pending::Binary(binary, span));
    }

    /// Emits the waiting operators that bind at least as strongly; true if one of just this strength was among them.
    fn settle(&mut self, strength: u8) -> bool {
        let mut same = false;
        while let Some(top) = self.pending.last() {
            if top.strength() < strength || matches!(top, Pending::Marker) {
                break;
            }
            same |= top.strength() == strength;
            match self.pending.pop() {
                Some(Pending::Negate(span)) => self.emit(Node::Negate, span),
                Some(Pending::Not(span)) => self.emit(Node::Not, span),
                Some(Pending::Binary(binary, span)) => self.emit(Node::Binary(binary), span),
                Some(Pending::And(jump, span)) => {
                    self.emit(Node::EndLogic, span);
                    self.part.nodes[jump] = Node::AndElse(range(0, self.part.nodes.len()).end);
                }
                Some(Pending::Or(jump, span)) => {
                    self.emit(Node::EndLogic, span);
                    self.part.nodes[jump] = Node::OrElse(range(0, self.part.nodes.len()).end);
                }
                Some(Pending::Marker) | None => break,
            }
        }
        same
    }

    fn close_expr(&mut self) {
        self.settle(0);
        self.pending.pop();
        let start = self.expr_starts.pop().unwrap_or_default();
        match self.holders.last_mut() {
            Some(Holder::Call { arguments: count, .. } | Holder::List { items: count, .. }) => *count += 1,
            Some(_) => {}
            None => {
                let expr = self.expr_since(start);
                self.exprs.push(expr);
            }
        }
    }

    /// The text so far of the `$"..."` being built becomes a node.
    fn flush_text(&mut self, end: usize) {
        let Some(Holder::Join { pieces, text, text_start, .. }) = self.holders.last_mut() else { return };
        if text.is_empty() {
            return;
        }
        *pieces += 1;
        let node = Node::Text(std::mem::take(text).into());
        let span = Span::new(*text_start, end);
        self.emit(node, span);
    }

    fn close_join(&mut self, span: Span) {
        self.flush_text(span.end as usize);
        let Some(Holder::Join { pieces, .. }) = self.holders.pop() else { return };
        self.emit(Node::Join(pieces), span);
    }
}

fn range(start: usize, end: usize) -> std::ops::Range<u32> {
    let span = Span::new(start, end);
    span.start..span.end
}

fn end_of(word: &str) -> End {
    match word.len() {
        3 => End::Any,
        5 => End::If,
        8 => End::While,
        _ => End::For,
    }
}

/// Rules that hold no other token.
pub(super) fn is_leaf(rule: Rule) -> bool {
    !matches!(
        rule,
        Rule::rows
            | Rule::segment
            | Rule::if_head
            | Rule::elseif_head
            | Rule::while_head
            | Rule::for_head
            | Rule::for_each
            | Rule::on_error_do
            | Rule::on_error_set
            | Rule::assign
            | Rule::call_statement
            | Rule::command
            | Rule::scheduled
            | Rule::variable
            | Rule::prefixed
            | Rule::grouped
            | Rule::called_value
            | Rule::value
            | Rule::expr
            | Rule::paren
            | Rule::list
            | Rule::call
            | Rule::postfix
            | Rule::interpolated
            | Rule::hole
    )
}
