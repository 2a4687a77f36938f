//! Statistics: what an engine counts of its own work, a snapshot of it, and the file that snapshots are kept in (docs/design/statistics.md).
//!
//! Counts are made where the thing happens, by atomic additions, and read by whoever wants a snapshot; nothing waits for them.

mod columns;
mod counts;
pub mod file;
mod logging;
mod received;
mod record;
mod snapshot;

pub use columns::COLUMNS;
pub use counts::{Counts, Statistics, Stream};
pub use logging::{Logging, Recorder};
pub use received::{Received, Standing};

use super::lock;
