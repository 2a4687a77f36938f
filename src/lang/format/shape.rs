//! What a script means, whatever its blanks: equal for two texts whose trees differ in places alone.

use crate::lang::{Clause, ClauseKind, CommandWords, Expr, Node, Part, Span, WordKind};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;

/// A hash over all statements so far.
#[derive(Debug, Default)]
pub struct Shape(DefaultHasher);

impl PartialEq for Shape {
    fn eq(&self, other: &Shape) -> bool {
        self.0.finish() == other.0.finish()
    }
}

impl Shape {
    /// Takes in a clause of a part of `text`.
    pub fn clause(&mut self, text: &str, part: &Part, clause: &Clause) {
        discriminant(&clause.kind).hash(&mut self.0);
        match &clause.kind {
            ClauseKind::If(expr)
            | ClauseKind::ElseIf(expr)
            | ClauseKind::While(expr)
            | ClauseKind::Call(expr) => {
                self.expr(text, part, *expr);
            }
            ClauseKind::For(head) => {
                self.name(text, head.variable);
                for expr in [Some(head.from), Some(head.to), head.step].into_iter().flatten() {
                    self.expr(text, part, expr);
                }
            }
            ClauseKind::ForEach { variable, list: value } | ClauseKind::Assign { variable, value } => {
                self.name(text, *variable);
                self.expr(text, part, *value);
            }
            ClauseKind::AssignCommand { variable, command } => {
                self.name(text, *variable);
                self.command(text, part, command);
            }
            ClauseKind::Command(command) => self.command(text, part, command),
            ClauseKind::End(end) => discriminant(end).hash(&mut self.0),
            ClauseKind::Else
            | ClauseKind::OnErrorDo
            | ClauseKind::OnErrorContinue
            | ClauseKind::OnErrorStop
            | ClauseKind::Break
            | ClauseKind::Continue
            | ClauseKind::Return
            | ClauseKind::Broken
            | ClauseKind::BrokenAssign => {}
        }
    }

    fn name(&mut self, text: &str, span: Span) {
        span.of(text).hash(&mut self.0);
    }

    fn command(&mut self, text: &str, part: &Part, command: &CommandWords) {
        let mut values = part.values(command).iter();
        let words = part.words(command);
        words.len().hash(&mut self.0);
        for word in words {
            discriminant(&word.kind).hash(&mut self.0);
            match &word.kind {
                WordKind::Bare(text) | WordKind::Quoted(text) => text.hash(&mut self.0),
                WordKind::Value => {
                    if let Some(expr) = values.next() {
                        self.expr(text, part, *expr);
                    }
                }
                WordKind::Equals | WordKind::Comma => {}
            }
        }
    }

    fn expr(&mut self, text: &str, part: &Part, expr: Expr) {
        (expr.end - expr.start).hash(&mut self.0);
        for (_, node, span) in part.expr(expr) {
            discriminant(node).hash(&mut self.0);
            match node {
                Node::Integer(number) => number.hash(&mut self.0),
                Node::Text(text) => text.hash(&mut self.0),
                Node::Date(date) => date.hash(&mut self.0),
                Node::Time(time) => time.hash(&mut self.0),
                Node::Boolean(truth) => truth.hash(&mut self.0),
                Node::Variable | Node::Field => self.name(text, span),
                Node::Binary(binary) => discriminant(binary).hash(&mut self.0),
                // Parts begin to count anew.
                Node::AndElse(to) | Node::OrElse(to) => to.saturating_sub(expr.start).hash(&mut self.0),
                Node::Call(count) => {
                    self.name(text, span);
                    count.hash(&mut self.0);
                }
                Node::List(count) | Node::Join(count) => count.hash(&mut self.0),
                Node::Negate | Node::Not | Node::EndLogic | Node::Index => {}
            }
        }
    }
}
