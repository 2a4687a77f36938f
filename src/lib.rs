//! The DTCL runtime: the Double-Take Command Language and the replication engine that it drives.
//!
//! Arrows point one way: `cli -> lsp -> shell`; `cli, shell, lsp -> runtime -> commands -> machine -> api <- engine -> wire, sys`, `lsp -> sys`, `machine -> wire`, `wire -> api`;
//! `service -> engine, wire`; `runtime, commands -> lang`; `runtime -> rhai_host -> api`. `lang` and `api` depend on nothing above them.

// pest's generated parsers name it: without pest's `std` feature they do not measure the stack at each step.
extern crate alloc;

pub mod api;
pub mod cli;
pub mod commands;
pub mod engine;
pub mod lang;
pub mod lsp;
pub mod machine;
pub mod nearest;
pub mod rhai_host;
pub mod runtime;
pub mod service;
pub mod shell;
pub mod sys;
pub mod wire;
