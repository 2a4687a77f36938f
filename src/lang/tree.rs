//! The tree of a script: flat by design.
//!
//! A script is a row of clauses; block heads and ends are clauses of their own, and an expression is a row of nodes
//! in the order in which they are worked out. So nothing here recurses, whatever a script's depth. Clauses come in
//! [`Part`]s, each with its own nodes and words.

use super::Span;
use std::ops::Range;
use std::sync::Arc;

/// One word of a command, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub span: Span,
    pub kind: WordKind,
}

/// What stands in a command's word list (language.md 2.4 to 2.10).
#[derive(Clone, Debug, PartialEq)]
pub enum WordKind {
    /// An unquoted word: a keyword where one fits, else a value.
    Bare(Box<str>),
    /// A quoted word, quotes removed and doubled quotes folded: always a value.
    Quoted(Box<str>),
    /// `$name`, `$name.field`, `$name[i]`, `(...)` or `$"..."`: always exactly one value, known when it runs.
    Value,
    Equals,
    Comma,
}

/// Some lines of a script.
#[derive(Debug, Default)]
pub struct Part {
    pub clauses: Vec<Clause>,
    /// The nodes of all expressions here.
    pub nodes: Vec<Node>,
    /// The place of each node, parallel to `nodes`.
    pub spans: Vec<Span>,
    /// The words of all commands here.
    pub words: Vec<Word>,
    /// The expressions of the words of kind [`WordKind::Value`], in the order of the words.
    pub values: Vec<Expr>,
    /// What is wrong here.
    pub problems: Vec<super::Diagnostic>,
    /// Where each word and sign stands; only for the formatter.
    pub(super) pieces: Vec<super::format::Piece>,
}

impl Part {
    /// The nodes of an expression with their places.
    pub fn expr(&self, expr: Expr) -> impl Iterator<Item = (usize, &Node, Span)> {
        let range = expr.start as usize..expr.end as usize;
        range
            .clone()
            .zip(self.nodes[range.clone()].iter())
            .zip(self.spans[range].iter())
            .map(|((i, n), s)| (i, n, *s))
    }

    /// The place of a whole expression.
    pub fn expr_span(&self, expr: Expr) -> Span {
        let spans = &self.spans[expr.start as usize..expr.end as usize];
        spans.iter().copied().reduce(Span::join).unwrap_or_default()
    }

    /// The words of a command.
    pub fn words(&self, command: &CommandWords) -> &[Word] {
        &self.words[command.words.start as usize..command.words.end as usize]
    }

    /// The expressions of a command's words of kind [`WordKind::Value`].
    pub fn values(&self, command: &CommandWords) -> &[Expr] {
        &self.values[command.values.start as usize..command.values.end as usize]
    }
}

/// An expression: a range of [`Part::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expr {
    pub start: u32,
    pub end: u32,
}

/// One step of an expression, for a machine with a stack of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Integer(i64),
    Text(Arc<str>),
    Date(jiff::civil::Date),
    Time(jiff::civil::Time),
    Boolean(bool),
    /// Its name is the text of its place, `$` included.
    Variable,
    Negate,
    Not,
    Binary(Binary),
    /// AND has its left side: if that is false, go to the node with this number (counted in [`Part::nodes`]).
    AndElse(u32),
    /// OR has its left side: if that is true, go to the node with this number.
    OrElse(u32),
    /// The right side of AND or OR is there; it must be a boolean.
    EndLogic,
    /// `x[i]`
    Index,
    /// `x.name`; the name is the text of its place, dot included.
    Field,
    /// A call with so many arguments; the function's name is the text of its place.
    Call(u32),
    /// `[...]` with so many items.
    List(u32),
    /// `$"..."` of so many pieces.
    Join(u32),
}

/// Operators with two sides that are both worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Binary {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Binary::Equal => "=",
            Binary::Unequal => "<>",
            Binary::Less => "<",
            Binary::LessOrEqual => "<=",
            Binary::Greater => ">",
            Binary::GreaterOrEqual => ">=",
            Binary::Add => "+",
            Binary::Subtract => "-",
            Binary::Multiply => "*",
            Binary::Divide => "/",
            Binary::Remainder => "%",
        }
    }
}

/// A statement, or a block's head, middle or end.
#[derive(Debug)]
pub struct Clause {
    pub span: Span,
    pub kind: ClauseKind,
}

#[derive(Debug)]
pub enum ClauseKind {
    If(Expr),
    ElseIf(Expr),
    Else,
    While(Expr),
    For(Box<For>),
    ForEach {
        /// The place of `$x`.
        variable: Span,
        list: Expr,
    },
    OnErrorDo,
    OnErrorContinue,
    OnErrorStop,
    End(End),
    Break,
    Continue,
    Return,
    Assign {
        /// The place of `$name`.
        variable: Span,
        value: Expr,
    },
    AssignCommand {
        variable: Span,
        command: Box<CommandWords>,
    },
    /// A call as a statement: its value is dropped.
    Call(Expr),
    Command(CommandWords),
    /// A block's head with an error in it, kept so that its END has something to close.
    Broken,
    /// An assignment with an error in it; the clause's place is that of `$name`.
    BrokenAssign,
}

/// `FOR $i = <from> TO <to> [STEP <n>] DO`
#[derive(Debug)]
pub struct For {
    pub variable: Span,
    pub from: Expr,
    pub to: Expr,
    pub step: Option<Expr>,
}

/// Which word closes a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Any,
    If,
    While,
    For,
}

/// A command: its words and the expressions among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandWords {
    /// In [`Part::words`].
    pub words: Range<u32>,
    /// In [`Part::values`].
    pub values: Range<u32>,
    /// The place just behind the last word.
    pub end: Span,
}
