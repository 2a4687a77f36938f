//! The interactive shell (language.md 1 and 8): reads statements, lets the interpreter run them, and goes on whatever
//! comes of them.

mod history;
pub mod lines;
mod paths;
