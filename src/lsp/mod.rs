//! The language server, `DTCL lsp`: an editor starts it and speaks the Language Server Protocol (3.17) with it over standard input and
//! output. It asks no machine and opens no home: what it knows comes from the text, the files beside it and the catalogue.
//!
//! One thread reads, one checks scripts, one answers. A request is answered in the order in which it came, without waiting for a check;
//! findings follow when no newer text is there.

mod checking;
mod completion;
mod definition;
mod document;
mod frames;
mod hover;
mod place;
mod protocol;
mod server;

pub use server::run;

/// Of what an open document names, no file that is longer is read.
const LONGEST_FILE: u64 = 64 << 20;
