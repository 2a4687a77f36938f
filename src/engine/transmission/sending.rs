//! Who sends at this moment: so that a target is not said to be paused while somebody has begun to send just before.

use super::Transmission;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// While it is there its holder may send; whoever holds one while nothing is to be sent any more brings what it has begun to its end, with
/// a question for when that is applied, and drops it.
#[derive(Debug)]
pub struct Sending(Arc<Transmission>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.senders.fetch_sub(1, SeqCst);
    }
}

impl Transmission {
    /// Begins to send. None: nothing is to be sent.
    pub fn sends(self: &Arc<Self>) -> Option<Sending> {
        // Counted first: whoever has closed it and finds nobody knows that all who come later find it closed.
        self.senders.fetch_add(1, SeqCst);
        let sending = Sending(Arc::clone(self));
        (!self.closed.load(SeqCst)).then_some(sending)
    }

    /// Is somebody sending, or about to?
    pub fn is_sending(&self) -> bool {
        self.senders.load(SeqCst) > 0
    }
}
