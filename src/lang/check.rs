//! `--check`: everything that can be known about a script without running it, all independent findings at once.
//!
//! A variable that no earlier place assigns is an error: reading it fails whenever it is reached. Inside a loop the
//! assignments of the whole loop count as earlier, those of other turns. One that some path to it leaves unassigned
//! ([`super::flow`]) is a warning: that path may be one that is never taken.

use super::blocks::stray_else;
use super::flow::{Branches, Flow};
use super::tree::{Clause, ClauseKind, CommandWords, End, Expr, Node, Part};
use super::{
    Block, Blocks, Diagnostic, Function, Severity, Source, Span, Word, WordKind, is_read_only, parse,
};
use std::collections::{HashMap, HashSet};

/// What the checker needs to know about commands.
pub trait Vocabulary {
    /// Whether these words are a command, with literal values checked. `end` is the place behind the last word.
    fn check(&self, words: &[Word], end: Span) -> Result<Known, Diagnostic>;

    /// What was learnt from earlier commands may no longer hold: another branch begins, or a module was called.
    fn forget(&self) {}
}

/// What a command means for the check of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing special.
    Plain,
    /// EXIT and QUIT: nothing behind it is reached.
    Exit,
    /// WRITE: its values are the words from here on.
    Write { from: usize },
    /// RUN or INCLUDE of the file that the word with this number names.
    Script { file: usize, include: bool },
    /// USE: functions unknown here may come from there. The words with these numbers name the file and the module.
    Module { file: usize, name: Option<usize> },
}

/// A script named by RUN or INCLUDE with its name written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub file: String,
    pub include: bool,
    /// Where it is named.
    pub span: Span,
}

/// A module named by USE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// None: its name is known only when the script runs.
    pub file: Option<String>,
    /// The word behind AS.
    pub name: Option<String>,
    pub span: Span,
}

/// A call of a function that is none of the language's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// As it is written: `name::function` or `function`.
    pub name: String,
    pub arguments: u32,
    /// What is wrong if no module has it.
    pub unknown: Diagnostic,
}

/// How a script came to be checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting<'a> {
    /// Another one includes it: its variables and functions may come from there.
    pub included: bool,
    /// Variables that are assigned before it begins.
    pub preset: &'a [(String, String)],
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    pub findings: Vec<Diagnostic>,
    /// Scripts to follow.
    pub named: Vec<Named>,
    pub used: Vec<Used>,
    /// For whoever can read the modules.
    pub calls: Vec<Call>,
    /// Files that are included may bring functions too.
    pub includes: bool,
}

/// Checks one text.
pub fn check(source: &Source, vocabulary: &dyn Vocabulary, setting: Setting<'_>) -> Checked {
    let mut checker = Checker {
        source,
        vocabulary,
        checked: Checked::default(),
        blocks: Blocks::default(),
        flow: Flow::default(),
        doubtful: HashSet::new(),
        assigned: HashMap::new(),
        reads: Vec::new(),
        settled: 0,
        clauses: 0,
        includes: None,
        setting,
    };
    for (name, _) in setting.preset {
        checker.assigned.insert(name.to_lowercase(), 0);
        checker.flow.assign(&name.to_lowercase());
    }
    parse(&source.text, |part| checker.part(&part));
    checker.finish()
}

struct Checker<'a> {
    source: &'a Source,
    vocabulary: &'a dyn Vocabulary,
    checked: Checked,
    blocks: Blocks<Branches>,
    flow: Flow,
    /// Variables that were told to be unassigned on some path.
    doubtful: HashSet<String>,
    /// Lower-case name of each variable and the first clause that assigns it.
    assigned: HashMap<String, usize>,
    /// Reads of variables that were unassigned so far: name, place, and the clause up to which an assignment counts:
    /// the end of the outermost loop around it, once known.
    reads: Vec<Read>,
    /// Those before this one stand in no open loop.
    settled: usize,
    clauses: usize,
    /// The first clause that includes a file: from there on anything may be assigned.
    includes: Option<usize>,
    setting: Setting<'a>,
}

struct Read {
    name: String,
    span: Span,
    in_loop: bool,
    until: usize,
}

impl Checker<'_> {
    fn part(&mut self, part: &Part) {
        self.checked.findings.extend(part.problems.iter().cloned());
        for clause in &part.clauses {
            self.clauses += 1;
            self.clause(part, clause);
        }
    }

    fn finish(mut self) -> Checked {
        self.leave_loop();
        self.checked.findings.extend(self.blocks.unclosed());
        self.checked.includes = self.includes.is_some();
        // One finding for each variable.
        let mut told = HashSet::new();
        for read in std::mem::take(&mut self.reads) {
            let assigned = self.assigned.get(&read.name).is_some_and(|at| *at <= read.until);
            let included = self.setting.included || self.includes.is_some_and(|at| at <= read.until);
            if !assigned && !included && told.insert(read.name.clone()) {
                let names =
                    self.assigned.keys().map(String::as_str).filter(|name| *name != read.name).take(1000);
                let problem = Diagnostic::error(
                    101,
                    format!("${} is read before any assignment", read.name),
                    read.span,
                );
                self.checked.findings.push(match super::nearest(&read.name, names) {
                    Some(near) => problem.help(format!("did you mean ${near}?")),
                    None => problem.help(format!("assign it first: ${} = ...", read.name)),
                });
            }
        }
        self.checked.findings.sort_by_key(|finding| finding.span.start);
        self.checked
    }

    fn error(&mut self, problem: Diagnostic) {
        self.checked.findings.push(problem);
    }

    fn open(&mut self, block: Block, span: Span) {
        self.open_loop(block, span, false, false);
    }

    fn open_loop(&mut self, block: Block, span: Span, endless: bool, taken: bool) {
        let branches = self.flow.open(endless, taken);
        if let Err(Some(problem)) = self.blocks.open(block, span, branches) {
            self.error(problem);
        }
    }

    fn close(&mut self, end: End, span: Span) {
        match self.blocks.close(end, span) {
            Ok(Some((block, branches))) => match block {
                Block::If => self.flow.close_branches(branches, false),
                Block::Else => self.flow.close_branches(branches, true),
                Block::While | Block::For => self.flow.close_loop(branches),
                Block::OnError | Block::Broken => self.flow.close_aside(&branches),
            },
            Ok(None) => {}
            Err(problem) => self.error(problem),
        }
    }

    /// A statement that no path leads to, the first of each such place.
    fn reach(&mut self, clause: &Clause) {
        let part_of_a_block =
            matches!(clause.kind, ClauseKind::End(_) | ClauseKind::Else | ClauseKind::ElseIf(_));
        if !part_of_a_block && let Some(word) = self.flow.unreachable() {
            self.checked.findings.push(
                Diagnostic::warning(format!("this is never reached: {word} stands before it"), clause.span)
                    .help("remove it, or the condition is missing that leads past it"),
            );
        }
    }

    fn clause(&mut self, part: &Part, clause: &Clause) {
        self.reach(clause);
        match &clause.kind {
            ClauseKind::If(condition) => {
                self.expr(part, *condition);
                self.open(Block::If, clause.span);
            }
            ClauseKind::ElseIf(condition) => {
                self.middle("ELSEIF", clause.span);
                self.expr(part, *condition);
            }
            ClauseKind::Else => self.middle("ELSE", clause.span),
            ClauseKind::While(condition) => {
                // Worked out again on each turn: what the loop assigns counts.
                let endless = part.expr(*condition).map(|(_, node, _)| node).eq([&Node::Boolean(true)]);
                self.open_loop(Block::While, clause.span, endless, false);
                self.expr(part, *condition);
            }
            ClauseKind::For(head) => {
                for expr in [Some(head.from), Some(head.to), head.step].into_iter().flatten() {
                    self.expr(part, expr);
                }
                let taken = head.step.is_none()
                    && matches!((number(part, head.from), number(part, head.to)), (Some(from), Some(to)) if from <= to);
                self.open_loop(Block::For, clause.span, false, taken);
                self.assign(head.variable);
            }
            ClauseKind::ForEach { variable, list } => {
                self.expr(part, *list);
                self.open(Block::For, clause.span);
                self.assign(*variable);
            }
            ClauseKind::OnErrorDo => self.open(Block::OnError, clause.span),
            ClauseKind::OnErrorContinue | ClauseKind::OnErrorStop => {}
            ClauseKind::Return => self.flow.leave("RETURN"),
            ClauseKind::End(end) => {
                self.close(*end, clause.span);
                if !self.in_loop() {
                    self.leave_loop();
                }
            }
            ClauseKind::Break => self.loop_word("BREAK", clause.span),
            ClauseKind::Continue => self.loop_word("CONTINUE", clause.span),
            ClauseKind::Assign { variable, value } => {
                self.expr(part, *value);
                self.assign(*variable);
            }
            ClauseKind::AssignCommand { variable, command } => {
                let before = self.checked.findings.len();
                self.command(part, command, true);
                let words = part.words(command);
                for finding in &mut self.checked.findings[before..] {
                    text_is_quoted(finding, words);
                }
                self.assign(*variable);
            }
            ClauseKind::Call(expr) => self.expr(part, *expr),
            ClauseKind::Command(command) => self.command(part, command, false),
            ClauseKind::Broken => self.open(Block::Broken, clause.span),
            ClauseKind::BrokenAssign => {
                let name = self.name(clause.span);
                self.flow.assign(&name);
                self.assigned.entry(name).or_insert(self.clauses);
            }
        }
    }

    fn middle(&mut self, word: &str, span: Span) {
        self.vocabulary.forget();
        let fits = match self.blocks.innermost() {
            Some((block @ Block::If, branches)) => {
                if word == "ELSE" {
                    *block = Block::Else;
                }
                self.flow.next_branch(branches);
                true
            }
            Some((Block::Broken, _)) => true,
            Some(_) => false,
            None => self.blocks.too_deep(),
        };
        if !fits {
            self.error(stray_else(word, span));
        }
    }

    fn in_loop(&self) -> bool {
        self.blocks.too_deep()
            || self.blocks.iter().any(|(block, _)| matches!(block, Block::While | Block::For))
    }

    fn loop_word(&mut self, word: &'static str, span: Span) {
        if let Err(problem) = check_loop_word(&self.blocks, word, span) {
            self.error(problem);
            return;
        }
        let innermost = self.blocks.iter_mut().find(|(block, _)| matches!(block, Block::While | Block::For));
        if let Some((_, branches)) = innermost {
            match word {
                "BREAK" => self.flow.break_out(branches),
                _ => self.flow.next_turn(branches),
            }
        }
        self.flow.leave(word);
    }

    /// Reads inside the loop that ends here may rely on its assignments.
    fn leave_loop(&mut self) {
        for read in self.reads[self.settled..].iter_mut().filter(|read| read.in_loop) {
            read.until = read.until.max(self.clauses);
        }
        self.settled = self.reads.len();
    }

    fn name(&self, span: Span) -> String {
        span.of(&self.source.text).trim_start_matches('$').to_lowercase()
    }

    fn assign(&mut self, span: Span) {
        let name = self.name(span);
        if is_read_only(&name) {
            self.error(read_only(&name, span));
        } else {
            self.flow.assign(&name);
            self.assigned.entry(name).or_insert(self.clauses);
        }
    }

    fn read(&mut self, span: Span) {
        let name = self.name(span);
        if is_read_only(&name) {
            return;
        }
        if self.assigned.contains_key(&name) {
            self.doubt(name, span);
            return;
        }
        // Not by its own statement: that one assigns after it has read.
        // A block of ON ERROR runs at some later time, when the whole file may have assigned.
        let aside = self.blocks.iter().any(|(block, _)| matches!(block, Block::OnError));
        let until = if aside { usize::MAX } else { self.clauses - 1 };
        let read = Read { name, span, in_loop: self.in_loop(), until };
        self.reads.push(read);
    }

    /// A variable that some earlier place assigns, though not every path leads through one.
    fn doubt(&mut self, name: String, span: Span) {
        let elsewhere = self.setting.included || self.includes.is_some();
        if !elsewhere && !self.flow.is_sure(&name) && self.doubtful.insert(name.clone()) {
            self.checked
                .findings
                .push(Diagnostic::warning(format!("${name} may be read before it is assigned"), span).help(
                    format!("assign it on every path that leads here, or first of all: ${name} = ..."),
                ));
        }
    }

    fn expr(&mut self, part: &Part, expr: Expr) {
        for (_, node, span) in part.expr(expr) {
            match node {
                Node::Variable => self.read(span),
                Node::Call(arguments) => {
                    let name = span.of(&self.source.text);
                    match Function::resolve(name, *arguments, span) {
                        Ok(_) => {}
                        Err(problem) if Function::named(name).is_some() => self.error(problem),
                        Err(unknown) => {
                            self.vocabulary.forget();
                            let call = Call { name: name.to_owned(), arguments: *arguments, unknown };
                            self.checked.calls.push(call);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn command(&mut self, part: &Part, command: &CommandWords, assigned: bool) {
        for expr in part.values(command) {
            self.expr(part, *expr);
        }
        let words = part.words(command);
        for word in words {
            if let WordKind::Bare(text) = &word.kind
                && let Some(problem) = dollar_inside(text, word.span)
            {
                self.checked.findings.push(problem);
            }
        }
        match self.vocabulary.check(words, command.end) {
            Err(problem) => self.error(problem),
            Ok(Known::Plain) => {}
            // One that is assigned goes on if its value does not fit.
            Ok(Known::Exit) if assigned => {}
            Ok(Known::Exit) => self.flow.leave("EXIT"),
            Ok(Known::Module { file, name }) => {
                let text = |word: &Word| match &word.kind {
                    WordKind::Bare(text) | WordKind::Quoted(text) => Some(text.to_string()),
                    _ => None,
                };
                if let Some(word) = words.get(file) {
                    let name = name.and_then(|name| words.get(name)).and_then(text);
                    self.checked.used.push(Used { file: text(word), name, span: word.span });
                }
            }
            Ok(Known::Write { from }) => self.side_by_side(words.get(from..).unwrap_or_default()),
            Ok(Known::Script { file, include }) => {
                if include {
                    self.includes.get_or_insert(self.clauses);
                }
                if let Some(Word { kind: WordKind::Bare(name) | WordKind::Quoted(name), span }) =
                    words.get(file)
                {
                    self.checked.named.push(Named { file: name.to_string(), include, span: *span });
                }
            }
        }
    }

    /// `write a b` prints `ab`.
    fn side_by_side(&mut self, values: &[Word]) {
        let pair =
            values.windows(2).find(|pair| pair.iter().all(|word| matches!(word.kind, WordKind::Bare(_))));
        if let Some([first, second]) = pair {
            let span = first.span.join(second.span);
            self.checked.findings.push(
                Diagnostic::warning("WRITE puts nothing between its values", span)
                    .help("quote the text to keep its blanks: write \"a b\""),
            );
        }
    }
}

/// A number that is written out.
fn number(part: &Part, expr: Expr) -> Option<i64> {
    let mut nodes = part.expr(expr).map(|(_, node, _)| node);
    match (nodes.next(), nodes.next()) {
        (Some(Node::Integer(n)), None) => Some(*n),
        _ => None,
    }
}

/// BREAK and CONTINUE need a loop around them, and none of them leaves an ON ERROR block.
pub fn check_loop_word<T>(blocks: &Blocks<T>, word: &str, span: Span) -> Result<(), Diagnostic> {
    if blocks.too_deep() {
        return Ok(());
    }
    for (block, _) in blocks.iter() {
        match block {
            Block::While | Block::For | Block::Broken => return Ok(()),
            Block::OnError => break,
            Block::If | Block::Else => {}
        }
    }
    Err(Diagnostic::error(102, format!("{word} stands in no loop"), span).help(format!(
        "{word} belongs between WHILE or FOR and its END; RETURN leaves a file, EXIT the script"
    )))
}

/// A right side of one bare word that is no command was probably meant as text.
pub fn text_is_quoted(finding: &mut Diagnostic, words: &[Word]) {
    if let [Word { kind: WordKind::Bare(text), span }] = words
        && finding.code == 102
        && finding.span == *span
    {
        let hint = format!("a bare word after = is a command; text is quoted: \"{text}\"");
        finding.help = Some(match finding.help.take() {
            Some(help) if help.starts_with("did you mean") => format!("{hint}; {help}"),
            _ => hint,
        });
    }
}

/// An assignment of a variable that the interpreter sets.
pub fn read_only(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error(101, format!("${name} is set by the interpreter and cannot be assigned"), span)
        .help("choose another name")
}

/// `/srv/$name` in a word is text as it stands.
fn dollar_inside(text: &str, span: Span) -> Option<Diagnostic> {
    let at = text.char_indices().find(|(i, c)| {
        *c == '$' && text[i + 1..].chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
    })?;
    let name: String = text[at.0 + 1..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    Some(Diagnostic::warning(format!("${name} is not expanded inside a word"), span).help(format!(
        "to expand it: $\"{}{{${name}}}{}\"; to keep it as it is: \"{text}\"",
        &text[..at.0],
        &text[at.0 + 1 + name.len()..]
    )))
}

impl Checked {
    /// Whether anything found is an error.
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}
