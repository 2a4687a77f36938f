//! A file that runs: its program, its place in it, its loops, and what a failure in it does.

use super::program::Program;
use crate::lang::{Span, Value};
use std::sync::Arc;
use std::time::Duration;

/// How deep files may call files with RUN and INCLUDE.
pub const DEPTH_LIMIT: usize = 64;

/// What happens when a command fails (language.md 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// As the including file says; by default the script stops.
    Inherit,
    Stop,
    Continue,
    /// The block that begins here is run, then the script stops.
    Do(usize),
}

/// A loop's register.
#[derive(Debug)]
pub enum Register {
    Free,
    Count { next: Option<i64>, last: i64, step: i64 },
    Each { list: Arc<Vec<Value>>, next: usize },
    Watch { pause: Duration },
}

/// Why a file runs.
#[derive(Debug)]
pub enum Caller {
    /// The outermost script, or what was typed.
    Nobody,
    /// INCLUDE: shares the scope below.
    Include { assigned: bool },
    /// RUN: has a scope of its own.
    Run { assigned: bool, span: Span },
}

#[derive(Debug)]
pub struct Frame {
    pub program: Arc<Program>,
    /// The next operation.
    pub at: usize,
    pub registers: Vec<Register>,
    pub policy: Policy,
    pub caller: Caller,
    /// The stack's height when the file began.
    pub base: usize,
    /// In an ON ERROR block: the status that the script will stop with.
    pub stopping: Option<i32>,
}

impl Frame {
    pub fn new(program: Arc<Program>, caller: Caller, base: usize) -> Frame {
        let registers = (0..program.registers).map(|_| Register::Free).collect();
        Frame { program, at: 0, registers, policy: Policy::Inherit, caller, base, stopping: None }
    }

    /// The outermost script.
    pub fn script(program: Arc<Program>, base: usize) -> Frame {
        Frame::new(program, Caller::Nobody, base)
    }
}
