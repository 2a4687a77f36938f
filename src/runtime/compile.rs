//! From parts to a [`Program`]: blocks become jumps, names slots, commands bindings. Everything that keeps a script
//! from running is found here; nothing of it runs then.

use super::extend::ModuleCall;
use super::program::{Extent, Invocation, Op, Own, Program};
use super::scope::Names;
use crate::api::Code;
use crate::commands::{self, Arg, Args, Binding, Handler, Item, Verb};
use crate::lang::{
    Block, Blocks, Clause, ClauseKind, CommandWords, Diagnostic, Expr, Function, Node, Part, Source, Span,
    Value, Word, WordKind, check_loop_word, parse, read_only, stray_else, text_is_quoted,
};
use std::sync::Arc;

/// A program, or what keeps the text from being one. `modules`: some are loaded already, so functions that are unknown
/// here may be theirs.
pub fn compile(
    source: Arc<Source>,
    names: &mut Names,
    modules: bool,
) -> Result<Program, (Arc<Source>, Vec<Diagnostic>)> {
    let text = Arc::clone(&source);
    let mut compiler = Compiler {
        text: &text.text,
        names,
        program: Program {
            source,
            ops: Vec::new(),
            spans: Vec::new(),
            constants: Vec::new(),
            invocations: Vec::new(),
            calls: Vec::new(),
            extents: Vec::new(),
            registers: 0,
        },
        blocks: Blocks::default(),
        registers: 0,
        problems: Vec::new(),
        unknown: Vec::new(),
        modules,
    };
    parse(&text.text, |part| compiler.part(&part));
    compiler.finish()
}

/// Whether a text is complete: false if it ends in an open block or continuation, and nothing else is wrong.
pub fn is_complete(text: &str) -> bool {
    let mut blocks: Blocks<()> = Blocks::default();
    let mut broken = false;
    parse(text, |part| {
        broken |= !part.problems.is_empty();
        for clause in &part.clauses {
            let opened = match &clause.kind {
                ClauseKind::If(_) => Block::If,
                ClauseKind::While(_) => Block::While,
                ClauseKind::For(_) | ClauseKind::ForEach { .. } => Block::For,
                ClauseKind::OnErrorDo => Block::OnError,
                ClauseKind::End(end) => {
                    broken |= blocks.close(*end, clause.span).is_err();
                    continue;
                }
                _ => continue,
            };
            broken |= blocks.open(opened, clause.span, ()).is_err();
        }
    });
    broken || (blocks.is_empty() && !ends_in_continuation(text))
}

fn ends_in_continuation(text: &str) -> bool {
    let Some(line) = text.trim_end_matches(['\n', '\r']).rsplit('\n').next() else { return false };
    let trimmed = line.trim_end_matches([' ', '\t', '\r']);
    trimmed.strip_suffix('\\').is_some_and(|before| before.ends_with([' ', '\t'])) && !trimmed.contains('#')
}

/// What an open block still needs when it closes.
#[derive(Default)]
struct Open {
    /// Where a loop begins anew.
    again: u32,
    /// The jump of the last condition, if it leads to the next branch or the end.
    unless: Option<usize>,
    /// Jumps to the block's end.
    leave: Vec<usize>,
    /// Statements (in `extents`) that go on behind the block if they fail.
    heads: Vec<usize>,
    /// It holds a loop register.
    register: bool,
}

struct Compiler<'a> {
    text: &'a str,
    names: &'a mut Names,
    program: Program,
    blocks: Blocks<Open>,
    /// Loop registers in use.
    registers: u32,
    problems: Vec<Diagnostic>,
    /// Calls of functions that the language does not have.
    unknown: Vec<Diagnostic>,
    /// They may be those of modules.
    modules: bool,
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Compiler<'_> {
    fn finish(mut self) -> Result<Program, (Arc<Source>, Vec<Diagnostic>)> {
        let end = self.text.len();
        self.problems.extend(self.blocks.unclosed());
        if !self.modules {
            self.problems.append(&mut self.unknown);
        }
        if self.program.ops.len() > (u32::MAX / 2) as usize {
            self.problems.push(Diagnostic::error(101, "the script is too large", Span::new(0, 0)));
        }
        if !self.problems.is_empty() {
            self.problems.sort_by_key(|problem| problem.span.start);
            return Err((self.program.source, self.problems));
        }
        let start = self.place();
        self.program.extents.push(Extent { start, resume: start });
        self.emit(Op::End, Span::new(end, end));
        Ok(self.program)
    }

    fn place(&self) -> u32 {
        number(self.program.ops.len())
    }

    fn emit(&mut self, op: Op, span: Span) -> usize {
        self.program.ops.push(op);
        self.program.spans.push(span);
        self.program.ops.len() - 1
    }

    /// Lets a jump lead here.
    fn land(&mut self, jump: usize) {
        let here = self.place();
        self.point(jump, here);
    }

    fn point(&mut self, jump: usize, to: u32) {
        match &mut self.program.ops[jump] {
            Op::Jump(place) | Op::Again(place) | Op::Unless(place) | Op::WhileWell(place) => *place = to,
            _ => {}
        }
    }

    fn constant(&mut self, value: Value) -> u32 {
        self.program.constants.push(value);
        number(self.program.constants.len() - 1)
    }

    fn part(&mut self, part: &Part) {
        self.problems.extend(part.problems.iter().cloned());
        for clause in &part.clauses {
            let extent = self.program.extents.len();
            let start = self.place();
            self.program.extents.push(Extent { start, resume: 0 });
            self.clause(part, clause, extent);
            // Heads get their end when their block closes.
            if self.program.extents[extent].resume == 0 {
                self.program.extents[extent].resume = self.place();
            }
        }
    }

    fn open(&mut self, block: Block, span: Span, open: Open) {
        if let Err(Some(problem)) = self.blocks.open(block, span, open) {
            self.problems.push(problem);
        }
    }

    fn clause(&mut self, part: &Part, clause: &Clause, extent: usize) {
        let span = clause.span;
        match &clause.kind {
            ClauseKind::If(condition) => {
                let unless = Some(self.condition(part, *condition));
                self.open(Block::If, span, Open { unless, heads: vec![extent], ..Open::default() });
            }
            ClauseKind::ElseIf(condition) => self.else_if(part, *condition, span, extent),
            ClauseKind::Else => {
                self.middle("ELSE", span);
            }
            ClauseKind::While(condition) => {
                let again = self.place();
                let unless = Some(self.condition(part, *condition));
                self.open(Block::While, span, Open { again, unless, heads: vec![extent], ..Open::default() });
            }
            ClauseKind::For(head) => {
                self.expr(part, head.from);
                self.expr(part, head.to);
                match head.step {
                    Some(step) => self.expr(part, step),
                    None => _ = self.emit(Op::Integer(1), span),
                }
                let register = self.registers;
                self.emit(Op::ForBegin(register), span);
                self.loop_head(span, head.variable, extent);
            }
            ClauseKind::ForEach { variable, list } => {
                self.expr(part, *list);
                let register = self.registers;
                self.emit(Op::EachBegin(register), part.expr_span(*list));
                self.loop_head(span, *variable, extent);
            }
            ClauseKind::OnErrorDo => {
                self.emit(Op::OnErrorDo, span);
                let over = self.emit(Op::Jump(0), span);
                self.open(Block::OnError, span, Open { leave: vec![over], ..Open::default() });
            }
            ClauseKind::OnErrorContinue => _ = self.emit(Op::OnErrorContinue, span),
            ClauseKind::OnErrorStop => _ = self.emit(Op::OnErrorStop, span),
            ClauseKind::End(end) => match self.blocks.close(*end, span) {
                Ok(Some((block, open))) => self.close(block, open, span),
                Ok(None) => {}
                Err(problem) => self.problems.push(problem),
            },
            ClauseKind::Break => self.leave_loop("BREAK", span),
            ClauseKind::Continue => self.leave_loop("CONTINUE", span),
            ClauseKind::Return => self.leave_file(span),
            ClauseKind::Assign { variable, value } => {
                self.expr(part, *value);
                self.store(*variable);
            }
            ClauseKind::AssignCommand { variable, command } => {
                self.command(part, command, true, span);
                self.store(*variable);
            }
            ClauseKind::Call(expr) => {
                self.expr(part, *expr);
                self.emit(Op::Drop, span);
            }
            ClauseKind::Command(command) => self.command(part, command, false, span),
            ClauseKind::Broken => self.open(Block::Broken, span, Open::default()),
            ClauseKind::BrokenAssign => {}
        }
    }

    // --- blocks ---------------------------------------------------------------------------------------

    /// A condition and the jump that is taken when it is false.
    fn condition(&mut self, part: &Part, condition: Expr) -> usize {
        self.expr(part, condition);
        self.emit(Op::Unless(0), part.expr_span(condition))
    }

    fn loop_head(&mut self, span: Span, variable: Span, extent: usize) {
        let register = self.registers;
        self.registers += 1;
        self.program.registers = self.program.registers.max(self.registers);
        let again = self.place();
        self.emit(Op::Next(register), span);
        let leave = vec![self.emit(Op::Jump(0), span)];
        self.store(variable);
        let open = Open { again, leave, heads: vec![extent], register: true, ..Open::default() };
        self.open(Block::For, span, open);
    }

    /// ELSE and ELSEIF: ends the branch before; false if there is none.
    fn middle(&mut self, word: &str, span: Span) -> bool {
        let too_deep = self.blocks.too_deep();
        let over = self.program.ops.len();
        let unless = match self.blocks.innermost() {
            Some((block @ Block::If, open)) => {
                if word == "ELSE" {
                    *block = Block::Else;
                }
                open.leave.push(over);
                open.unless.take()
            }
            Some((Block::Broken, _)) => return false,
            None if too_deep => return false,
            _ => {
                self.problems.push(stray_else(word, span));
                return false;
            }
        };
        self.emit(Op::Jump(0), span);
        if let Some(unless) = unless {
            self.land(unless);
        }
        true
    }

    fn else_if(&mut self, part: &Part, condition: Expr, span: Span, extent: usize) {
        let fits = self.middle("ELSEIF", span);
        let unless = self.condition(part, condition);
        if fits && let Some((_, open)) = self.blocks.innermost() {
            open.unless = Some(unless);
            open.heads.push(extent);
        }
    }

    fn close(&mut self, block: Block, open: Open, span: Span) {
        match block {
            Block::While | Block::For => _ = self.emit(Op::Again(open.again), span),
            Block::OnError => _ = self.emit(Op::HandlerEnd, span),
            Block::If | Block::Else | Block::Broken => {}
        }
        if open.register {
            self.registers -= 1;
        }
        let here = self.place();
        for jump in open.leave.iter().chain(&open.unless) {
            self.point(*jump, here);
        }
        for head in open.heads {
            self.program.extents[head].resume = here;
        }
    }

    fn leave_loop(&mut self, word: &str, span: Span) {
        if let Err(problem) = check_loop_word(&self.blocks, word, span) {
            self.problems.push(problem);
            return;
        }
        let jump = self.emit(Op::Jump(0), span);
        let innermost = self.blocks.iter_mut().find(|(block, _)| matches!(block, Block::While | Block::For));
        if let Some((_, open)) = innermost {
            if word == "BREAK" {
                open.leave.push(jump);
            } else {
                let again = open.again;
                self.program.ops[jump] = Op::Again(again);
            }
        }
    }

    fn leave_file(&mut self, span: Span) {
        // In an ON ERROR block it ends the block, and so the script.
        let in_handler = self.blocks.iter().any(|(block, _)| block == Block::OnError);
        self.emit(if in_handler { Op::HandlerEnd } else { Op::End }, span);
    }

    // --- variables and expressions ----------------------------------------------------------------------

    fn name(&self, span: Span) -> &str {
        let text = span.of(self.text);
        text.strip_prefix('$').unwrap_or(text)
    }

    fn store(&mut self, variable: Span) {
        let name = self.name(variable);
        if crate::lang::is_read_only(name) {
            let problem = read_only(&name.to_lowercase(), variable);
            self.problems.push(problem);
            return;
        }
        let text = self.text;
        let name = variable.of(text);
        let slot = self.names.slot(&name[1..]);
        self.emit(Op::Store(slot), variable);
    }

    fn load(&mut self, variable: Span) -> Op {
        let text = self.text;
        let name = &variable.of(text)[1..];
        if name.as_bytes()[0].is_ascii_digit() {
            return Op::Argument(name.parse().unwrap_or(u32::MAX));
        }
        if crate::lang::is_read_only(name) {
            return Own::named(&name.to_lowercase()).map_or(Op::Integer(0), Op::Own);
        }
        Op::Load(self.names.slot(name))
    }

    /// One operation for each node, so that jumps keep their distances.
    fn expr(&mut self, part: &Part, expr: Expr) {
        let offset = i64::from(self.place()) - i64::from(expr.start);
        let target = |node: u32| u32::try_from(i64::from(node) + offset).unwrap_or(u32::MAX);
        for (_, node, span) in part.expr(expr) {
            let op = match node {
                Node::Integer(n) => match i32::try_from(*n) {
                    Ok(n) => Op::Integer(n),
                    Err(_) => Op::Constant(self.constant(Value::Integer(*n))),
                },
                Node::Text(text) => Op::Constant(self.constant(Value::String(Arc::clone(text)))),
                Node::Date(date) => Op::Constant(self.constant(Value::Date(*date))),
                Node::Time(time) => Op::Constant(self.constant(Value::Time(*time))),
                Node::Boolean(truth) => Op::Boolean(*truth),
                Node::Variable => self.load(span),
                Node::Negate => Op::Negate,
                Node::Not => Op::Not,
                Node::Binary(binary) => Op::Binary(*binary),
                Node::AndElse(node) => Op::AndElse(target(*node)),
                Node::OrElse(node) => Op::OrElse(target(*node)),
                Node::EndLogic => Op::EndLogic,
                Node::Index => Op::Index,
                Node::Field => {
                    let name = span.of(self.text).trim_start_matches('.').to_owned();
                    Op::Field(self.constant(Value::text(name)))
                }
                Node::Call(arguments) => self.call(*arguments, span),
                Node::List(items) => Op::List(*items),
                Node::Join(pieces) => Op::Join(*pieces),
            };
            self.emit(op, span);
        }
    }

    fn call(&mut self, arguments: u32, span: Span) -> Op {
        let text = self.text;
        let name = span.of(text);
        let own = Function::named(name).is_some();
        match Function::resolve(name, arguments, span) {
            // No function takes more than a few.
            Ok(function) => return Op::Call(function, u8::try_from(arguments).unwrap_or(u8::MAX)),
            Err(problem) if own => self.problems.push(problem),
            Err(problem) => self.unknown.push(problem),
        }
        self.program.calls.push(ModuleCall::new(name, arguments));
        Op::CallModule(number(self.program.calls.len() - 1))
    }

    // --- commands ---------------------------------------------------------------------------------------

    fn command(&mut self, part: &Part, command: &CommandWords, assigned: bool, span: Span) {
        let words = part.words(command);
        let binding = match commands::bind_form(words, command.end) {
            Ok(binding) => binding,
            Err(mut problem) => {
                if assigned {
                    text_is_quoted(&mut problem, words);
                }
                return self.problems.push(problem);
            }
        };
        match binding.command.handler {
            Handler::Interpreter(Verb::Write) => self.write(part, command, &binding, assigned, span),
            Handler::Interpreter(Verb::Watch) => self.watch(part, command, &binding, assigned, span),
            Handler::Interpreter(Verb::Use | Verb::Include) => {
                self.modules = true;
                self.invoke(part, command, words, &binding, assigned, span);
            }
            _ => self.invoke(part, command, words, &binding, assigned, span),
        }
    }

    /// The values of a command's words, pushed in their order.
    fn values(&mut self, part: &Part, command: &CommandWords) -> u32 {
        let values = part.values(command);
        for value in values {
            self.expr(part, *value);
        }
        number(values.len())
    }

    fn invoke(
        &mut self,
        part: &Part,
        command: &CommandWords,
        words: &[Word],
        binding: &Binding,
        assigned: bool,
        span: Span,
    ) {
        let values = self.values(part, command);
        let number = self.invocation(words, binding, values);
        self.emit(if assigned { Op::CommandValue(number) } else { Op::Command(number) }, span);
    }

    fn invocation(&mut self, words: &[Word], binding: &Binding, values: u32) -> u32 {
        let mut holes = Vec::new();
        // Values so far, and up to which word: items come in the order of the words.
        let (mut before, mut counted) = (0, 0);
        let mut items = Vec::with_capacity(binding.items.len());
        for item in &binding.items {
            items.push(match item {
                Item::Keyword(keyword) => Arg::Keyword(keyword),
                Item::Value { slot, word } => {
                    let value = match &words[*word].kind {
                        WordKind::Bare(text) | WordKind::Quoted(text) => Value::text(&**text),
                        _ => {
                            before +=
                                words[counted..*word].iter().filter(|w| w.kind == WordKind::Value).count();
                            counted = *word;
                            holes.push((number(items.len()), number(before)));
                            Value::Boolean(false)
                        }
                    };
                    Arg::Value { slot, value, span: words[*word].span }
                }
            });
        }
        self.program.invocations.push(Invocation {
            command: binding.command,
            args: Args { items },
            holes: holes.into(),
            values,
        });
        number(self.program.invocations.len() - 1)
    }

    fn write(&mut self, part: &Part, command: &CommandWords, binding: &Binding, assigned: bool, span: Span) {
        let words = part.words(command);
        let mut values = part.values(command).iter();
        let (mut count, mut line) = (0, true);
        for item in &binding.items {
            match item {
                Item::Keyword(keyword) => line &= *keyword != "NOLINE",
                Item::Value { word, .. } => {
                    count += 1;
                    match &words[*word].kind {
                        WordKind::Bare(text) | WordKind::Quoted(text) => {
                            let constant = self.constant(Value::text(&**text));
                            self.emit(Op::Constant(constant), words[*word].span);
                        }
                        _ => {
                            if let Some(value) = values.next() {
                                self.expr(part, *value);
                            }
                        }
                    }
                }
            }
        }
        self.emit(if line { Op::Write(count) } else { Op::WriteNoLine(count) }, span);
        if assigned {
            self.emit(Op::Integer(1), span);
        }
    }

    /// WATCH is a loop around its command.
    fn watch(&mut self, part: &Part, command: &CommandWords, binding: &Binding, assigned: bool, span: Span) {
        let words = part.words(command);
        let first = binding.rest.unwrap_or(words.len());
        let refuse = |message: &str| {
            Diagnostic::error(Code::CommandNotValidOrItsSyntaxIncorrect.number(), message, span)
        };
        let watched = match commands::bind_form(&words[first..], command.end) {
            Ok(watched) => watched,
            Err(problem) => return self.problems.push(problem),
        };
        if matches!(watched.command.handler, Handler::Interpreter(Verb::Watch | Verb::Exit | Verb::Use)) {
            return self.problems.push(refuse("this command cannot be watched"));
        }
        let before = words[..first].iter().filter(|w| w.kind == WordKind::Value).count();
        let all = command.values.clone();
        let split = all.start + number(before);
        // The seconds.
        let seconds =
            words[..first].iter().rev().find(|w| !matches!(w.kind, WordKind::Equals | WordKind::Comma));
        match seconds.map(|word| (&word.kind, word.span)) {
            Some((WordKind::Bare(text) | WordKind::Quoted(text), place)) => {
                let constant = self.constant(Value::text(&**text));
                self.emit(Op::Constant(constant), place);
            }
            _ => {
                if let Some(value) = part.values(command).get(before.wrapping_sub(1)) {
                    self.expr(part, *value);
                }
            }
        }
        let register = self.registers;
        self.program.registers = self.program.registers.max(register + 1);
        self.emit(Op::WatchBegin(register), seconds.map_or(span, |word| word.span));
        let again = self.place();
        let start = command.words.start + number(first);
        let inner =
            CommandWords { words: start..command.words.end, values: split..all.end, end: command.end };
        if let Handler::Interpreter(Verb::Write) = watched.command.handler {
            self.write(part, &inner, &watched, assigned, span);
        } else {
            self.invoke(part, &inner, &words[first..], &watched, assigned, span);
        }
        // The value is that of the command that failed: nothing else ends it.
        let check = assigned.then(|| self.emit(Op::WhileWell(0), span));
        self.emit(Op::WatchWait(register), span);
        self.emit(Op::Again(again), span);
        if let Some(check) = check {
            self.emit(Op::Integer(1), span);
            self.land(check);
        }
    }
}
