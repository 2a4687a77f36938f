//! REPLICATION START and STOP, as a caller asks for them: a call waits, the connection's task does not.

use super::task::Message;
use super::{Connection, Order, Stage};
use crate::api::{ApiError, MirrorSpec, Watch};
use crate::engine::connect::route::Route;
use crate::engine::job::JobPlan;
use crate::engine::replication::Hold;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A replication to begin, and the mirror that is to follow once changes are captured.
pub struct Capture {
    pub plan: JobPlan,
    pub route: Arc<Route>,
    pub then: Option<Order>,
}

/// What became of a request to replicate.
pub enum Begun {
    /// Capture is being set up; the answer comes when it is, and the mirror has begun.
    Starting(oneshot::Receiver<Result<(), ApiError>>),
    /// It replicated before; what was held goes on.
    Released(Hold),
}

/// The settings `AutoReconnect`, `AutoRemirror` and `AutoRemirrorRetry`, and the target's orphan switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Automatic {
    pub reconnect: bool,
    /// The mirror to begin, and whether CHECKSUM looks at every file; None: a person begins it.
    pub remirror: Option<(MirrorSpec, bool)>,
    pub retry: Duration,
}

impl Connection {
    /// Begins to replicate, or releases what is held; returns once the connection has taken it up.
    pub fn replicate(&self, capture: Capture) -> Result<Begun, ApiError> {
        self.ask(|answer| Message::Replicate { capture: Box::new(capture), answer }, &())?
    }

    /// Lets what is held go on; None: nothing is. The root may be gone, so no way is looked for.
    pub fn release(&self) -> Option<Hold> {
        let Stage::On(replication) = &self.view().state.stage else { return None };
        let hold = replication.shared().hold()?;
        if !replication.release() {
            return None;
        }
        tracing::info!("Replication of connection {} was told to go on: {hold:?}", self.info.id);
        Some(hold)
    }

    /// Waits until changes are captured.
    pub fn captures(
        &self,
        begun: oneshot::Receiver<Result<(), ApiError>>,
        watch: &dyn Watch,
    ) -> Result<(), ApiError> {
        self.answer(begun, watch)?
    }

    /// Ends replication; what is queued is sent first. Returns how many changes were left in the queue.
    pub fn unreplicate(&self, watch: &dyn Watch) -> Result<u64, ApiError> {
        self.ask(|answer| Message::Unreplicate { answer }, watch)?
    }
}
