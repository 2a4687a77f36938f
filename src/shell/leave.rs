//! Leaving the shell: what would be lost is named first.

use crate::api::{Reply, Request};
use crate::commands::Session;

/// False if something would be lost or would end, and the person, asked, wants to stay.
pub fn may_leave(session: &mut Session) -> bool {
    let losses = losses(session);
    if losses.is_empty() {
        return true;
    }
    for loss in &losses {
        session.ui().message(&format!("warning: {loss}"));
    }
    // Without anybody to ask the warnings are all there is to do.
    session.ui().confirm("Leave the shell?").unwrap_or(true)
}

/// What ends with this shell, as sentences.
fn losses(session: &mut Session) -> Vec<String> {
    let mut losses = Vec::new();
    for machine in session.machines_in_use() {
        if let Ok(Reply::Repsets(sets)) = session.ask(&machine, Request::RepsetList) {
            let unsaved = sets.iter().filter(|set| !set.saved);
            losses.extend(unsaved.map(|set| format!("replication set {} has unsaved changes", set.name)));
        }
        if let Ok(Reply::Connections(connections)) = session.ask(&machine, Request::StatusAll) {
            losses.extend(connections.iter().map(|connection| {
                let (id, set, target) = (connection.id, &connection.repset, &connection.target);
                format!("connection {id} ({set} to {target}) ends with this shell")
            }));
        }
    }
    losses
}
