//! A script made ready to run: operations for a machine with a stack, variables resolved to slots, commands bound.
//!
//! Invariants: the stack is as deep after a statement as before it; a jump leads to an operation of the same program;
//! between statements nothing of a loop lies on the stack (loops have registers of their own).

use super::extend::ModuleCall;
use crate::commands::{Arg, Args, Command};
use crate::lang::{Binary, Function, Source, Span, Value};
use std::sync::Arc;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Pushes a small integer.
    Integer(i32),
    /// Pushes a constant.
    Constant(u32),
    Boolean(bool),
    /// Pushes a variable's value.
    Load(u32),
    /// Pops into a variable.
    Store(u32),
    /// Pushes a variable that the interpreter sets.
    Own(Own),
    /// Pushes `$1`, `$2` ...
    Argument(u32),
    Negate,
    Not,
    Binary(Binary),
    AndElse(u32),
    OrElse(u32),
    EndLogic,
    Index,
    /// Its name is a constant.
    Field(u32),
    /// A function and its number of arguments.
    Call(Function, u8),
    /// A function of a module (USE), by its number in `Program::calls`.
    CallModule(u32),
    List(u32),
    Join(u32),
    Drop,
    Jump(u32),
    /// A jump to where a loop begins anew: here the person's wish to stop is looked at.
    Again(u32),
    /// Pops a condition, jumps if it is false.
    Unless(u32),
    /// Pops from, to and step into a loop's register.
    ForBegin(u32),
    /// Pops a list into a loop's register.
    EachBegin(u32),
    /// Pushes the next value and leaves out the next operation, or goes on with it when there is none.
    Next(u32),
    /// Prints so many values and a newline.
    Write(u32),
    WriteNoLine(u32),
    /// Runs a command; a failure stops or not, as ON ERROR says.
    Command(u32),
    /// Runs a command and pushes what it returns.
    CommandValue(u32),
    OnErrorStop,
    OnErrorContinue,
    /// The block begins behind the next operation, which jumps over it.
    OnErrorDo,
    /// The end of an ON ERROR block: the script stops.
    HandlerEnd,
    /// Pops seconds into a loop's register.
    WatchBegin(u32),
    /// Waits the time of a register, then goes on; in a dry run it leaves the loop, behind the next operation.
    WatchWait(u32),
    /// Pops a command's value if it is a success, else jumps and leaves it there.
    WhileWell(u32),
    /// The file's end, RETURN too.
    End,
}

/// Variables that the interpreter sets (language.md 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    Argc,
    Script,
    User,
    Machine,
    Source,
    Target,
    Result,
    Error,
    Date,
    Time,
}

impl Own {
    /// By its name in lower case.
    pub fn named(name: &str) -> Option<Own> {
        Some(match name {
            "argc" => Own::Argc,
            "script" => Own::Script,
            "user" => Own::User,
            "machine" => Own::Machine,
            "source" => Own::Source,
            "target" => Own::Target,
            "result" => Own::Result,
            "error" => Own::Error,
            "date" => Own::Date,
            "time" => Own::Time,
            _ => return None,
        })
    }
}

/// A command, bound once.
#[derive(Debug)]
pub struct Invocation {
    pub command: &'static Command,
    /// Complete, except for the values that are known when it runs.
    pub args: Args,
    /// Index in `args.items` and number of the value on the stack, counted from the first pushed.
    pub holes: Box<[(u32, u32)]>,
    /// How many values it takes from the stack.
    pub values: u32,
}

impl Invocation {
    /// The arguments with the values filled in.
    pub fn filled(&self, values: &[Value]) -> Args {
        let mut args = self.args.clone();
        for (item, value) in &self.holes {
            if let (Some(Arg::Value { value: place, .. }), Some(value)) =
                (args.items.get_mut(*item as usize), values.get(*value as usize))
            {
                *place = value.clone();
            }
        }
        args
    }
}

/// A statement's operations, and where the script goes on if it fails and may.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub start: u32,
    pub resume: u32,
}

/// A script made ready to run.
#[derive(Debug)]
pub struct Program {
    pub source: Arc<Source>,
    pub ops: Vec<Op>,
    /// Parallel to `ops`.
    pub spans: Vec<Span>,
    pub constants: Vec<Value>,
    pub invocations: Vec<Invocation>,
    pub calls: Vec<ModuleCall>,
    /// By their start.
    pub extents: Vec<Extent>,
    /// How many loop registers it needs.
    pub registers: u32,
}

impl Program {
    /// Where the script goes on after the statement that the operation `at` belongs to.
    pub fn resume_after(&self, at: usize) -> usize {
        let next = self.extents.partition_point(|extent| extent.start as usize <= at);
        match next.checked_sub(1).and_then(|n| self.extents.get(n)) {
            Some(extent) => extent.resume as usize,
            None => self.ops.len() - 1,
        }
    }
}
