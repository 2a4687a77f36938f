//! What a client may ask of a machine: requests, replies, events. Serde types only; depends on nothing above.

mod code;
mod error;
mod event;
mod grant;
mod log;
mod reply;
mod request;
mod schedule;
pub mod statistics;
mod task;

pub use code::Code;
pub use error::ApiError;
pub use event::{Event, MirrorReason, Phase, Progress, Watch};
pub use grant::{GrantLine, GrantSpec, Granted, Introduction, RootKind};
pub use log::{IdRange, LogFilter, LogFrom, LogLine, LogPart, LogPlace};
pub use reply::*;
pub use request::*;
pub use schedule::*;
pub use task::*;

/// The number of a connection, counted from 1 since the engine started (CNX-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ConnectionId(pub u32);

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
