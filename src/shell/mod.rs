//! The interactive shell (language.md 1 and 8): reads statements, lets the interpreter run them, and goes on whatever
//! comes of them.

pub mod complete;
mod editor;
mod helper;
mod history;
mod leave;
pub mod lines;
mod paths;

/// The prompt (S), with its two blanks.
pub const PROMPT: &str = "Command:  ";
