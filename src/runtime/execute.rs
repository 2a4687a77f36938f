//! The machine: carries out operations until the outermost script ends.

use super::arithmetic as math;
use super::failure::{After, Failure};
use super::fault::Fault;
use super::frame::{Caller, Policy, Register};
use super::program::{Op, Own};
use super::{Interpreter, functions, inquiry, rehearse, status, verbs};
use crate::api::Code;
use crate::commands::ui::Redraw;
use crate::commands::{self, Handler, Mode, Outcome};
use crate::lang::{Function, Span, Value};
use std::fmt::Write as _;
use std::sync::Arc;

/// How a run ended.
pub(super) struct End {
    pub status: i32,
    /// EXIT or QUIT was reached.
    pub exit: bool,
    pub policy: Policy,
}

/// What an operation may do besides going on with the next one.
pub(super) enum Turn {
    /// An expression failed here.
    Fault(Box<Fault>),
    /// A command failed here that no assignment caught.
    Failed(Failure),
    /// The topmost frame is another one, or is at another place.
    Frames,
    /// The innermost file ends.
    FileEnd,
    /// The innermost script ends with this status; true by EXIT.
    ScriptEnd(i32, bool),
}

impl From<Box<Fault>> for Turn {
    fn from(fault: Box<Fault>) -> Self {
        Turn::Fault(fault)
    }
}

/// What a command came to.
pub(super) enum Done {
    /// A value, 0 or negative included.
    Value(Result<i64, Failure>),
    /// A file was entered; its end gives the value.
    Entered,
    /// EXIT.
    Exit(i32),
}

impl Interpreter {
    /// Runs the frames until the outermost one ends.
    pub(super) fn execute(&mut self) -> End {
        self.stack.clear();
        loop {
            let Some(scope) = self.scopes.last_mut() else { return self.end(status::FAILED, false) };
            let slots = scope.names.len();
            scope.values.resize(slots, None);
            let (turn, at) = self.run();
            let Some(frame) = self.frames.last() else { return self.end(status::FAILED, false) };
            let (span, source) = (frame.program.spans.get(at).copied(), Arc::clone(&frame.program.source));
            let span = span.unwrap_or_default();
            let failure = match turn {
                Turn::Frames => continue,
                Turn::Fault(fault) => Failure::from(fault),
                Turn::Failed(failure) => failure,
                Turn::FileEnd => {
                    if let Some(end) = self.leave_file() {
                        return end;
                    }
                    continue;
                }
                Turn::ScriptEnd(status, exit) => {
                    if let Some(end) = self.leave_script(status, exit) {
                        return end;
                    }
                    continue;
                }
            };
            if let Some(end) = self.settle(failure, at, span, &source) {
                return end;
            }
        }
    }

    /// A failure at an operation of the topmost frame; the end of the run, if it is that.
    fn settle(
        &mut self,
        failure: Failure,
        at: usize,
        span: Span,
        source: &Arc<crate::lang::Source>,
    ) -> Option<End> {
        if let Some(frame) = self.frames.last_mut() {
            frame.at = at;
        }
        // Nothing else ends a WATCH: what comes next does not take the place of its last turn.
        self.session.borrow_mut().ui().redraw(Redraw::Over);
        match self.failed(&failure, span, source) {
            After::GoOn => None,
            After::Stop(status) => self.leave_script(status, false),
        }
    }

    fn end(&mut self, status: i32, exit: bool) -> End {
        let policy = self.frames.first().map_or(Policy::Inherit, |frame| frame.policy);
        self.frames.clear();
        self.stack.clear();
        End { status, exit, policy }
    }

    /// The innermost file ended well.
    fn leave_file(&mut self) -> Option<End> {
        match self.frames.last().map(|frame| &frame.caller) {
            Some(Caller::Include { assigned }) => {
                let assigned = *assigned;
                if let Some(frame) = self.frames.pop() {
                    self.stack.truncate(frame.base);
                }
                self.result = 1;
                self.error = Arc::default();
                if assigned {
                    self.stack.push(Value::Integer(1));
                }
                None
            }
            _ => {
                let went_on = self.scopes.last().is_some_and(|scope| scope.went_on);
                self.leave_script(if went_on { status::FAILED } else { status::OK }, false)
            }
        }
    }

    /// The innermost script ends with a status: the outermost ends the run, one that RUN ran returns to its caller.
    fn leave_script(&mut self, mut status: i32, exit: bool) -> Option<End> {
        loop {
            let first = self.script_frames().start;
            if first == 0 {
                return Some(self.end(status, exit));
            }
            let base = self.frames[first].base;
            let Caller::Run { assigned, span } = self.frames[first].caller else {
                return Some(self.end(status, exit));
            };
            self.frames.truncate(first);
            self.stack.truncate(base);
            self.scopes.pop();
            if status == 0 {
                self.result = 1;
                self.error = Arc::default();
                if assigned {
                    self.stack.push(Value::Integer(1));
                }
                return None;
            }
            let value = -i64::from(status);
            let failure = Failure {
                value,
                code: 0,
                message: format!("the script ended with status {status}"),
                help: None,
                beside: None,
                status,
                told: self.is_stopping(status),
            };
            // A wish to stop means everything.
            if assigned && !self.is_stopping(status) {
                self.result = value;
                self.error = failure.message.as_str().into();
                self.stack.push(Value::Integer(value));
                return None;
            }
            let Some(frame) = self.frames.last() else { return Some(self.end(status, exit)) };
            let source = Arc::clone(&frame.program.source);
            let at = frame.at.saturating_sub(1);
            if let Some(frame) = self.frames.last_mut() {
                frame.at = at;
            }
            match self.failed(&failure, span, &source) {
                After::GoOn => return None,
                After::Stop(outer) => status = outer,
            }
        }
    }

    /// Runs the topmost frame until something happens that the operations alone do not settle. Gives the place of
    /// the operation where it did.
    fn run(&mut self) -> (Turn, usize) {
        let Some(frame) = self.frames.last() else { return (Turn::ScriptEnd(status::FAILED, false), 0) };
        let program = Arc::clone(&frame.program);
        let mut at = frame.at;
        let turn = loop {
            match self.step(&program.ops, &program, &mut at) {
                Ok(()) => {}
                Err(turn) => break turn,
            }
        };
        let here = at.saturating_sub(1);
        // A frame that was entered begins at its own place; this one goes on behind the operation.
        if !matches!(turn, Turn::Frames)
            && let Some(frame) = self.frames.last_mut()
        {
            frame.at = at;
        }
        (turn, here)
    }

    /// Runs operations until one needs more than the stack; `at` is behind it then.
    #[inline]
    fn step(&mut self, ops: &[Op], program: &super::program::Program, at: &mut usize) -> Result<(), Turn> {
        let mut pc = *at;
        let scope = self.scopes.len() - 1;
        macro_rules! fail {
            ($fault:expr) => {{
                *at = pc;
                return Err(Turn::Fault($fault));
            }};
        }
        macro_rules! must {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(fault) => fail!(fault),
                }
            };
        }
        loop {
            let op = ops[pc];
            pc += 1;
            match op {
                Op::Integer(n) => self.stack.push(Value::Integer(n.into())),
                Op::Constant(n) => self.stack.push(program.constants[n as usize].clone()),
                Op::Boolean(truth) => self.stack.push(Value::Boolean(truth)),
                Op::Load(slot) => match &self.scopes[scope].values[slot as usize] {
                    Some(Value::Integer(n)) => {
                        let n = *n;
                        self.stack.push(Value::Integer(n));
                    }
                    Some(value) => {
                        let value = value.clone();
                        self.stack.push(value);
                    }
                    None => fail!(unassigned(program.spans[pc - 1].of(&program.source.text))),
                },
                Op::Store(slot) => {
                    if let Some(value) = self.stack.pop() {
                        self.scopes[scope].values[slot as usize] = Some(value);
                    }
                }
                Op::Binary(operator) => {
                    let right = self.pop();
                    if let Some(left) = self.stack.last_mut() {
                        *left = must!(math::binary(operator, left, &right));
                    }
                }
                Op::Unless(target) => {
                    let value = self.pop();
                    if !must!(math::truth(&value)) {
                        pc = target as usize;
                    }
                }
                Op::Jump(target) => pc = target as usize,
                Op::Again(target) => {
                    self.turns = self.turns.wrapping_add(1);
                    if self.turns == 0 && self.session.borrow().cancelled() {
                        *at = pc;
                        return Err(Turn::Failed(self.stopped()));
                    }
                    pc = target as usize;
                }
                Op::Next(register) => {
                    let Some(frame) = self.frames.last_mut() else { continue };
                    match &mut frame.registers[register as usize] {
                        Register::Count { next, last, step } => {
                            let Some(n) = *next else { continue };
                            if (*step > 0 && n > *last) || (*step < 0 && n < *last) {
                                continue;
                            }
                            *next = n.checked_add(*step);
                            self.stack.push(Value::Integer(n));
                        }
                        Register::Each { list, next } => {
                            let Some(value) = list.get(*next) else { continue };
                            *next += 1;
                            let value = value.clone();
                            self.stack.push(value);
                        }
                        Register::Free | Register::Watch { .. } => continue,
                    }
                    pc += 1;
                }
                Op::Negate => {
                    let value = self.pop();
                    let value = must!(math::negate(&value));
                    self.stack.push(value);
                }
                Op::Not => {
                    let value = self.pop();
                    let truth = must!(math::truth(&value));
                    self.stack.push(Value::Boolean(!truth));
                }
                Op::AndElse(target) => {
                    let value = self.pop();
                    if !must!(math::truth(&value)) {
                        self.stack.push(Value::Boolean(false));
                        pc = target as usize;
                    }
                }
                Op::OrElse(target) => {
                    let value = self.pop();
                    if must!(math::truth(&value)) {
                        self.stack.push(Value::Boolean(true));
                        pc = target as usize;
                    }
                }
                Op::EndLogic => {
                    if let Some(value) = self.stack.last() {
                        must!(math::truth(value));
                    }
                }
                Op::Index => {
                    let index = self.pop();
                    let value = self.pop();
                    let value = must!(math::index(&value, &index));
                    self.stack.push(value);
                }
                Op::Field(name) => {
                    let value = self.pop();
                    let name = program.constants[name as usize].to_string();
                    let value = must!(math::field(&value, &name));
                    self.stack.push(value);
                }
                Op::Call(function, arguments) => {
                    let from = self.stack.len().saturating_sub(arguments.into());
                    let arguments = self.stack.split_off(from);
                    let value = self.call(function, &arguments);
                    // What a wish to stop broke off is no error that a script may go on from.
                    if value.is_err() && self.session.borrow().cancelled() {
                        *at = pc;
                        return Err(Turn::Failed(self.stopped()));
                    }
                    let value = must!(value);
                    self.stack.push(value);
                }
                Op::CallModule(n) => {
                    let call = &program.calls[n as usize];
                    let from = self.stack.len().saturating_sub(call.arguments as usize);
                    let arguments = self.stack.split_off(from);
                    let dropped = matches!(ops.get(pc), Some(Op::Drop));
                    match self.call_module(call, &arguments, dropped) {
                        Ok(value) => self.stack.push(value),
                        Err(turn) => {
                            *at = pc;
                            return Err(turn);
                        }
                    }
                }
                Op::List(items) => {
                    let from = self.stack.len().saturating_sub(items as usize);
                    let items = self.stack.split_off(from);
                    self.stack.push(Value::List(Arc::new(items)));
                }
                Op::Join(pieces) => {
                    let from = self.stack.len().saturating_sub(pieces as usize);
                    let mut text = String::new();
                    for piece in self.stack.drain(from..) {
                        let _ = write!(text, "{piece}");
                    }
                    self.stack.push(Value::text(text));
                }
                Op::Drop => _ = self.stack.pop(),
                Op::Own(own) => {
                    let value = self.own(own);
                    self.stack.push(value);
                }
                Op::Argument(n) => match self.argument(n) {
                    Ok(value) => self.stack.push(value),
                    Err(fault) => fail!(fault),
                },
                Op::ForBegin(register) => {
                    let (step, to, from) = (self.pop(), self.pop(), self.pop());
                    let new = must!(count(&from, &to, &step));
                    self.set_register(register, new);
                }
                Op::EachBegin(register) => {
                    let Value::List(list) = self.pop() else {
                        fail!(
                            Fault::new("FOR EACH goes through a list")
                                .help("split(text, \" \") makes a list of a text; [1, 2] is one")
                        )
                    };
                    self.set_register(register, Register::Each { list, next: 0 });
                }
                Op::Write(values) => self.print(values, true),
                Op::WriteNoLine(values) => self.print(values, false),
                Op::OnErrorStop => self.set_policy(Policy::Stop),
                Op::OnErrorContinue => self.set_policy(Policy::Continue),
                Op::OnErrorDo => self.set_policy(Policy::Do(pc + 1)),
                Op::HandlerEnd => {
                    *at = pc;
                    let stopping = self.frames.last().and_then(|frame| frame.stopping);
                    return Err(Turn::ScriptEnd(stopping.unwrap_or(status::FAILED), false));
                }
                Op::WatchBegin(register) => {
                    let seconds = self.pop();
                    let pause = must!(verbs::seconds(&seconds));
                    self.set_register(register, Register::Watch { pause });
                    self.session.borrow_mut().ui().redraw(Redraw::First);
                }
                Op::WatchWait(register) => {
                    let pause = match self.frames.last().and_then(|f| f.registers.get(register as usize)) {
                        Some(Register::Watch { pause }) => *pause,
                        _ => continue,
                    };
                    if self.session.borrow().is_dry_run() {
                        // Seen once: nothing would come in between.
                        pc += 1;
                        continue;
                    }
                    if let Err(failure) = self.pause(pause) {
                        *at = pc;
                        return Err(Turn::Failed(failure));
                    }
                    self.session.borrow_mut().ui().redraw(Redraw::Next);
                }
                Op::WhileWell(target) => match self.stack.last() {
                    Some(Value::Integer(..=0)) => {
                        self.session.borrow_mut().ui().redraw(Redraw::Over);
                        pc = target as usize;
                    }
                    _ => _ = self.stack.pop(),
                },
                Op::End => {
                    *at = pc;
                    return Err(Turn::FileEnd);
                }
                Op::Command(n) | Op::CommandValue(n) => {
                    let assigned = matches!(op, Op::CommandValue(_));
                    *at = pc;
                    if let Some(turn) = self.command(program, n as usize, assigned, pc) {
                        return Err(turn);
                    }
                }
            }
        }
    }

    #[inline]
    fn pop(&mut self) -> Value {
        self.stack.pop().unwrap_or(Value::Boolean(false))
    }

    fn set_register(&mut self, register: u32, new: Register) {
        if let Some(frame) = self.frames.last_mut() {
            frame.registers[register as usize] = new;
        }
    }

    fn set_policy(&mut self, policy: Policy) {
        if let Some(frame) = self.frames.last_mut() {
            frame.policy = policy;
        }
    }

    fn own(&mut self, own: Own) -> Value {
        let scope = self.scopes.last();
        match own {
            Own::Argc => {
                let count = scope.map_or(0, |scope| scope.arguments.len());
                Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
            }
            Own::Script => Value::String(scope.map(|scope| Arc::clone(&scope.script)).unwrap_or_default()),
            Own::User => Value::text(verbs::user()),
            Own::Machine => Value::text(self.session.borrow().local()),
            Own::Source => Value::text(self.session.borrow().source()),
            Own::Target => Value::text(self.session.borrow().target()),
            Own::Result => Value::Integer(self.result),
            Own::Error => Value::String(Arc::clone(&self.error)),
            Own::Date => Value::Date(jiff::Zoned::now().date()),
            Own::Time => {
                let now = jiff::Zoned::now().time();
                Value::Time(now.with().subsec_nanosecond(0).build().unwrap_or(now))
            }
        }
    }

    fn argument(&self, n: u32) -> Result<Value, Box<Fault>> {
        let arguments = self.scopes.last().map(|scope| scope.arguments.as_slice()).unwrap_or_default();
        match (n as usize).checked_sub(1).and_then(|n| arguments.get(n)) {
            Some(text) => Ok(Value::String(Arc::clone(text))),
            None => {
                Err(Fault::new(format!("there is no ${n}: the script has {} arguments", arguments.len()))
                    .help("look at $argc first"))
            }
        }
    }

    fn call(&mut self, function: Function, arguments: &[Value]) -> Result<Value, Box<Fault>> {
        if self.session.borrow().is_dry_run() {
            return self.rehearse(function, arguments);
        }
        self.ask(function, arguments)
    }

    /// In a dry run the clock goes on by pauses that take no time, and looking for a file for ever comes to an end.
    fn rehearse(&mut self, function: Function, arguments: &[Value]) -> Result<Value, Box<Fault>> {
        if function == Function::Exists {
            self.session.borrow_mut().look(1)?;
        }
        match self.ask(function, arguments)? {
            Value::Integer(now) if function == Function::Now => {
                let ahead = i64::try_from(self.session.borrow().ahead().as_secs()).unwrap_or(i64::MAX);
                Ok(Value::Integer(now.saturating_add(ahead)))
            }
            value => Ok(value),
        }
    }

    fn ask(&mut self, function: Function, arguments: &[Value]) -> Result<Value, Box<Fault>> {
        match functions::call(function, arguments) {
            Some(result) => result,
            None => inquiry::ask(&mut self.session.borrow_mut(), function, arguments),
        }
    }

    /// WRITE: joins the values on the stack.
    fn print(&mut self, values: u32, line: bool) {
        let from = self.stack.len().saturating_sub(values as usize);
        let mut text = String::new();
        for value in self.stack.drain(from..) {
            match value {
                Value::String(piece) => text.push_str(&piece),
                other => _ = write!(text, "{other}"),
            }
        }
        self.result = 1;
        self.error = Arc::default();
        if line {
            text.push('\n');
        }
        let mut session = self.session.borrow_mut();
        if session.mode() == Mode::Json {
            session.show_text("write", &text);
        } else if !text.is_empty() {
            // The same text, without a copy on its way.
            session.write(&text);
        }
    }

    /// A command: its value is pushed if it is assigned. None: go on with the next operation.
    fn command(
        &mut self,
        program: &super::program::Program,
        number: usize,
        assigned: bool,
        next: usize,
    ) -> Option<Turn> {
        let invocation = &program.invocations[number];
        let from = self.stack.len().saturating_sub(invocation.values as usize);
        let filled;
        let args = if invocation.holes.is_empty() {
            &invocation.args
        } else {
            filled = invocation.filled(&self.stack[from..]);
            &filled
        };
        self.stack.truncate(from);
        if self.session.borrow().is_verbose() {
            let (span, source) = (program.spans[next - 1], &program.source);
            let place = format!("{}:{}", source.name, source.line_of(span.start as usize));
            self.session.borrow_mut().trace(&place, args, span.of(&source.text));
        }
        let done = match invocation.command.handler {
            Handler::Interpreter(verb) => {
                // The place to return to, should a file be entered.
                if let Some(frame) = self.frames.last_mut() {
                    frame.at = next;
                }
                self.verb(verb, args, assigned, program.spans[next - 1])
            }
            Handler::Run(_) | Handler::Later => {
                // A script that was typed goes on while nobody looks.
                self.session.borrow_mut().set_pages(self.typed && self.frames.len() == 1);
                let outcome = commands::execute(&mut self.session.borrow_mut(), invocation.command, args);
                if self.session.borrow_mut().take_changed() && outcome.is_ok() {
                    let text = rehearse::spelled(program, next - 1, invocation, args);
                    self.session.borrow_mut().would(&text);
                }
                Done::Value(match outcome {
                    Ok(outcome) => self.show(invocation.command, &outcome, args),
                    Err(error) => {
                        self.session.borrow_mut().show_failure(invocation.command, &error);
                        Err(error.into())
                    }
                })
            }
        };
        let stopped = self.session.borrow().cancelled();
        match done {
            Done::Entered => Some(Turn::Frames),
            Done::Exit(status) => Some(Turn::ScriptEnd(status, true)),
            Done::Value(_) if stopped => Some(Turn::Failed(self.stopped())),
            Done::Value(Ok(value)) => {
                self.result = value;
                self.error = Arc::default();
                if assigned {
                    self.stack.push(Value::Integer(value));
                }
                None
            }
            Done::Value(Err(failure)) if assigned => {
                self.result = failure.value;
                self.error = failure.message.as_str().into();
                self.stack.push(Value::Integer(failure.value));
                None
            }
            Done::Value(Err(failure)) => Some(Turn::Failed(failure)),
        }
    }

    fn show(
        &mut self,
        command: &commands::Command,
        outcome: &Outcome,
        args: &commands::Args,
    ) -> Result<i64, Failure> {
        self.session.borrow_mut().show(command, outcome);
        if outcome.value > 0 {
            Ok(outcome.value)
        } else {
            Err(Failure::returned(outcome.value, &args.name()))
        }
    }
}

#[cold]
fn unassigned(variable: &str) -> Box<Fault> {
    Fault::with(Code::InvalidParameterWasSupplied, format!("{variable} was never assigned"))
        .help(format!("assign it first: {variable} = ..."))
}

/// The register of a counting loop.
fn count(from: &Value, to: &Value, step: &Value) -> Result<Register, Box<Fault>> {
    let (Value::Integer(from), Value::Integer(to), Value::Integer(step)) = (from, to, step) else {
        let wrong = [from, to, step].into_iter().find(|value| !matches!(value, Value::Integer(_)));
        let kind = wrong.map_or(crate::lang::Kind::Integer, Value::kind);
        return Err(Fault::new(format!("FOR counts with integers, not with {kind}")));
    };
    if *step == 0 {
        return Err(Fault::new("STEP 0 would never end").help("a step is positive or negative"));
    }
    Ok(Register::Count { next: Some(*from), last: *to, step: *step })
}
