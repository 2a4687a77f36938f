//! Leaving the shell: what would be lost is named first.

use crate::commands::Session;

/// False if something would be lost or would end, and the person, asked, wants to stay.
pub fn may_leave(session: &mut Session) -> bool {
    let losses = session.losses();
    if losses.is_empty() {
        return true;
    }
    for loss in &losses {
        session.ui().message(&format!("warning: {loss}"));
    }
    // Without anybody to ask the warnings are all there is to do.
    session.ui().confirm("Leave the shell?").unwrap_or(true)
}
