//! A syntax line, parsed from its notation (`grammar/signature.pest`) and compiled for the matcher.
//!
//! Lines are compile-time constants: one that does not parse is a mistake in the catalogue, which a test finds; at run
//! time such a line would simply match nothing.

use pest::Parser;
use pest::iterators::Pair;

#[derive(pest_derive::Parser)]
#[grammar = "grammar/signature.pest"]
struct Notation;

/// The pieces that stand for more (`commands.md`, the table of pieces).
pub(crate) const PIECES: &[(&str, &str)] = &[
    ("units", "SECONDS|MINUTES|HOURS|DAYS"),
    ("duration", "<n> [<units>]"),
    ("day", "MOnday|TUesday|WEdnesday|THursday|FRiday|SAturday|SUnday"),
    ("map", "MAP EXACT | MAP BASE <path> | MAP <path> TO <path>[, <path> TO <path>]..."),
    (
        "flags",
        "[<map>] [MIRROR [FULL | DIFFERENT] [NEWER] [CHECKSUM] | NOMIRROR] [REPLICATE | NOREPLICATE] \
         [CALCULATE | NOCALCULATE] [ORPHANS | NOORPHANS] [ROUTE <address>] [COMPRESS <level>] [DRYRUN]",
    ),
    ("mirror_point", "MIRRORSTART|MIRRORSTOP|MIRRORCOMPLETE"),
    ("fail_point", "PREFAILOVER|POSTFAILOVER|PREFAILBACK|POSTFAILBACK|SOURCEPOSTFAILBACK"),
];

/// Slots that take the rest of the statement.
const REST: &[&str] = &["words", "command"];

/// A keyword and its spellings, all in capitals but `printed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keyword {
    /// As the line prints it, e.g. `CONnection`.
    pub printed: &'static str,
    /// Whole, in capitals.
    pub full: &'static str,
    /// The capitals alone, or a unit without its S.
    pub short: Option<&'static str>,
}

impl Keyword {
    pub fn matches(&self, word: &str) -> bool {
        self.full.eq_ignore_ascii_case(word)
            || self.short.is_some_and(|short| short.eq_ignore_ascii_case(word))
    }

    fn new(printed: &'static str, unit: bool) -> Self {
        let full = upper(printed);
        let short = if unit {
            full.strip_suffix('S')
        } else if printed.bytes().any(|b| b.is_ascii_lowercase()) {
            Some(leak(printed.chars().filter(|c| !c.is_ascii_lowercase()).collect()))
        } else {
            None
        };
        Self { printed, full, short }
    }
}

fn upper(word: &'static str) -> &'static str {
    if word.bytes().any(|b| b.is_ascii_lowercase()) { leak(word.to_ascii_uppercase()) } else { word }
}

/// The catalogue is a constant: what is derived from it lives as long, and is derived once.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A part of a line.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Keyword(Keyword),
    Slot(&'static str),
    Rest(&'static str),
    Equals,
    Comma,
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Optional(Box<Node>),
    /// Once or more.
    Repeat(Box<Node>),
    /// Groups that begin with a keyword: any order, each at most once.
    Any {
        groups: Vec<Node>,
        required: bool,
    },
}

/// One step of a compiled line.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Keyword(Keyword),
    Slot(&'static str),
    Rest(&'static str),
    Equals,
    Comma,
    Jump(usize),
    Split(usize, usize),
    /// Forgets which groups of an `Any` were taken.
    Clear(u64),
    /// Goes into a group not taken yet (its bit, its place), or on to `exit`.
    Any {
        groups: Vec<(u64, usize)>,
        exit: usize,
        required: bool,
    },
    Accept,
}

/// A compiled line. It starts at step 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub ops: Vec<Op>,
}

/// The line without its implicit `[ON <machine>]`, as a tree.
pub(crate) fn parse(syntax: &'static str) -> Option<Node> {
    parse_in(syntax, false)
}

/// The line as a tree in which groups of any order are found; `on` adds `[ON <machine>]` as its last optional group.
pub(crate) fn tree(syntax: &'static str, on: bool) -> Option<Node> {
    let line = parse(syntax)?;
    let machine = if on { parse("[ON <machine>]") } else { None };
    Some(normal(Node::Sequence(std::iter::once(line).chain(machine).collect())))
}

/// Compiles a line; `on` as in [`tree`].
pub(crate) fn compile(syntax: &'static str, on: bool) -> Program {
    let Some(tree) = tree(syntax, on) else { return Program::default() };
    let mut compiler = Compiler { ops: Vec::new(), bits: 0 };
    compiler.node(&tree);
    compiler.ops.push(Op::Accept);
    Program { ops: compiler.ops }
}

fn parse_in(text: &'static str, unit: bool) -> Option<Node> {
    let line = Notation::parse(Rule::line, text).ok()?.next()?;
    choice(line.into_inner().next()?, unit)
}

fn choice(pair: Pair<'static, Rule>, unit: bool) -> Option<Node> {
    let parts: Option<Vec<Node>> = pair.into_inner().map(|part| sequence(part, unit)).collect();
    Some(one_or(parts?, Node::Choice))
}

fn sequence(pair: Pair<'static, Rule>, unit: bool) -> Option<Node> {
    let items: Option<Vec<Node>> = pair.into_inner().map(|part| item(part, unit)).collect();
    Some(one_or(items?, Node::Sequence))
}

fn item(pair: Pair<'static, Rule>, unit: bool) -> Option<Node> {
    let mut inner = pair.into_inner();
    let pieces: Option<Vec<Node>> = inner.next()?.into_inner().map(|part| piece(part, unit)).collect();
    let node = one_or(pieces?, Node::Choice);
    Some(match (inner.next(), node) {
        (None, node) => node,
        (Some(_), Node::Optional(body)) => Node::Optional(Box::new(Node::Repeat(body))),
        (Some(_), node) => Node::Repeat(Box::new(node)),
    })
}

fn piece(pair: Pair<'static, Rule>, unit: bool) -> Option<Node> {
    let part = pair.into_inner().next()?;
    Some(match part.as_rule() {
        Rule::optional => Node::Optional(Box::new(choice(part.into_inner().next()?, unit)?)),
        Rule::group => choice(part.into_inner().next()?, unit)?,
        Rule::slot => slot(part.into_inner().next()?.as_str())?,
        Rule::keyword => Node::Keyword(Keyword::new(part.as_str(), unit)),
        Rule::symbol => match part.as_str() {
            "=" => Node::Equals,
            "," => Node::Comma,
            star => Node::Keyword(Keyword { printed: star, full: star, short: None }),
        },
        _ => return None,
    })
}

fn slot(name: &'static str) -> Option<Node> {
    match PIECES.iter().find(|(piece, _)| *piece == name) {
        Some((piece, text)) => parse_in(text, *piece == "units"),
        None if REST.contains(&name) => Some(Node::Rest(name)),
        None => Some(Node::Slot(name)),
    }
}

fn one_or(mut nodes: Vec<Node>, wrap: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        Some(last) => {
            nodes.push(last);
            wrap(nodes)
        }
        None => wrap(nodes),
    }
}

/// Flattens sequences and joins neighbouring optional groups that begin with a keyword.
fn normal(node: Node) -> Node {
    match node {
        Node::Sequence(parts) => {
            let mut flat = Vec::new();
            for part in parts {
                match normal(part) {
                    Node::Sequence(inner) => flat.extend(inner),
                    other => flat.push(other),
                }
            }
            let mut joined: Vec<Node> = Vec::new();
            for part in flat {
                match (joined.last_mut(), part) {
                    (
                        Some(Node::Any { groups, required: false }),
                        Node::Any { groups: more, required: false },
                    ) => groups.extend(more),
                    (_, part) => joined.push(part),
                }
            }
            one_or(joined, Node::Sequence)
        }
        Node::Choice(parts) => Node::Choice(parts.into_iter().map(normal).collect()),
        Node::Optional(body) => {
            let body = normal(*body);
            if begins_with_keyword(&body) {
                Node::Any { groups: vec![body], required: false }
            } else {
                Node::Optional(Box::new(body))
            }
        }
        Node::Repeat(body) => {
            let groups = alternatives(normal(*body));
            if groups.len() > 1 && groups.iter().all(begins_with_keyword) {
                Node::Any { groups, required: true }
            } else {
                Node::Repeat(Box::new(one_or(groups, Node::Choice)))
            }
        }
        other => other,
    }
}

fn begins_with_keyword(node: &Node) -> bool {
    match node {
        Node::Keyword(_) => true,
        Node::Sequence(parts) => parts.first().is_some_and(begins_with_keyword),
        Node::Choice(parts) => parts.iter().all(begins_with_keyword),
        Node::Repeat(body) => begins_with_keyword(body),
        _ => false,
    }
}

/// `{A|B = <x>}` as `A = <x>` and `B = <x>`.
fn alternatives(node: Node) -> Vec<Node> {
    match node {
        Node::Choice(parts) => parts.into_iter().flat_map(alternatives).collect(),
        Node::Sequence(parts) => match parts.split_first() {
            Some((Node::Choice(heads), rest)) => heads
                .iter()
                .map(|head| {
                    Node::Sequence(std::iter::once(head.clone()).chain(rest.iter().cloned()).collect())
                })
                .collect(),
            _ => vec![Node::Sequence(parts)],
        },
        other => vec![other],
    }
}

struct Compiler {
    ops: Vec<Op>,
    /// Bits given to groups so far.
    bits: u32,
}

impl Compiler {
    fn node(&mut self, node: &Node) {
        match node {
            Node::Keyword(keyword) => self.ops.push(Op::Keyword(*keyword)),
            Node::Slot(name) => self.ops.push(Op::Slot(name)),
            Node::Rest(name) => self.ops.push(Op::Rest(name)),
            Node::Equals => self.ops.push(Op::Equals),
            Node::Comma => self.ops.push(Op::Comma),
            Node::Sequence(parts) => parts.iter().for_each(|part| self.node(part)),
            Node::Choice(parts) => self.choice(parts),
            Node::Optional(body) => {
                let split = self.hole();
                self.node(body);
                self.ops[split] = Op::Split(split + 1, self.ops.len());
            }
            Node::Repeat(body) => {
                let start = self.ops.len();
                self.node(body);
                let split = self.ops.len();
                self.ops.push(Op::Split(start, split + 1));
            }
            Node::Any { groups, required } => self.any(groups, *required),
        }
    }

    fn choice(&mut self, parts: &[Node]) {
        let mut ends = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if index + 1 == parts.len() {
                self.node(part);
                break;
            }
            let split = self.hole();
            self.node(part);
            ends.push(self.hole());
            self.ops[split] = Op::Split(split + 1, self.ops.len());
        }
        for end in ends {
            self.ops[end] = Op::Jump(self.ops.len());
        }
    }

    fn any(&mut self, groups: &[Node], required: bool) {
        let bits: Vec<u64> = groups
            .iter()
            .map(|_| {
                // A line has far fewer than 64 groups (a test says so); one more would share the last bit.
                let bit = 1 << self.bits.min(63);
                self.bits += 1;
                bit
            })
            .collect();
        let all = bits.iter().fold(0, |all, bit| all | bit);
        let any = self.hole();
        let mut places = Vec::new();
        for (group, bit) in groups.iter().zip(bits) {
            places.push((bit, self.ops.len()));
            self.node(group);
            self.ops.push(Op::Jump(any));
        }
        self.ops[any] = Op::Any { groups: places, exit: self.ops.len(), required };
        self.ops.push(Op::Clear(all));
    }

    /// Room for an op that is known later.
    fn hole(&mut self) -> usize {
        self.ops.push(Op::Accept);
        self.ops.len() - 1
    }
}
