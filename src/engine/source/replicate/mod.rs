//! Real-time replication of one connection: from capture's events to operations on the target.
//!
//! ```text
//! capture -> looks -> Looker -> log (Queue) -> Transmitter -> Line -> target
//!                       |                          |            ^
//!                     Model <----------------------+-- Bulk ----+   (large files, by their blocks)
//! ```
//!
//! Each arrow is a thread's work: capture's reads events, the looker compares with the model and logs, the transmitter reads
//! what the log speaks of and sends, bulk hashes large files. All sleep while nothing happens; one tick of five seconds looks
//! for files that are written without events.

mod bulk;
mod common;
mod desk;
mod dirty;
mod gate;
mod ledger;
mod line;
mod look;
mod model;
mod moves;
mod record;
mod run;
mod share;
mod start;
mod tasks;
#[cfg(test)]
mod tests;
mod transmit;
mod waiting;

pub(super) use common::{Begun, Stirred};
pub(super) use gate::Gate;
pub(super) use line::JobEnd;
pub(super) use model::{Identity, nanoseconds};
pub(super) use run::Follow;
pub use start::replicate;
