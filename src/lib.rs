//! The DTCL runtime: the Double-Take Command Language and the replication engine that it drives.
//!
//! Arrows point one way: `cli, shell -> runtime -> commands -> machine -> api <- engine -> wire, sys`;
//! `runtime, commands -> lang`. `lang` and `api` depend on nothing above them.

pub mod api;
pub mod cli;
pub mod commands;
pub mod engine;
pub mod lang;
pub mod machine;
pub mod nearest;
pub mod runtime;
pub mod shell;
pub mod sys;
pub mod wire;
