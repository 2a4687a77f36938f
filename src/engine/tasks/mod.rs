//! Tasks in the stream (SET-02, RPL-03 to -05): programs that run at a point of it, on the source or the target.
//!
//! Their order is the replication's (`source/replicate/tasks.rs`), their turn on the target the applier's (`target/task.rs`). Here is what
//! runs them ([`Power`]), what a source knows of each ([`Submitted`]), and who keeps that ([`board`]).

pub(super) mod board;
mod power;
mod process;
mod submitted;
pub mod words;

pub(super) use power::become_user;
pub use power::{Done, Errand, HOOK, Power};
pub use submitted::{Counts, Keeper, KeptTask, NoKeeper, Place, Submitted, new_task};
