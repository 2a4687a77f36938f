//! The pest parser made from `grammar/dtcl.pest`. Its rules and errors stay inside this room.

#[derive(pest_derive::Parser)]
#[grammar = "../grammar/dtcl.pest"]
pub(super) struct Dtcl;
