//! What is lost when a session ends, and its end.

use super::Session;
use crate::api::{Reply, Request};
use crate::machine::Machine;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long a service is waited for by who is leaving.
const FAREWELL: Duration = Duration::from_secs(3);

impl Session {
    /// What ends or is lost with this session, as sentences: sets that are not saved, connections of an embedded engine.
    /// Machines that were not used are not asked. What was named once is not named again by [`Session::close`].
    pub fn losses(&mut self) -> Vec<String> {
        self.told = true;
        let mut losses = Vec::new();
        for machine in self.machines_in_use() {
            losses.extend(unsaved(&machine));
            if machine.keeps_connections() {
                continue;
            }
            // A machine that no longer answers has nothing that this session could still save.
            if let Ok(Reply::Connections(connections)) = machine.call(Request::StatusAll, &mut ()) {
                losses.extend(connections.iter().map(|connection| {
                    let (id, set, target) = (connection.id, &connection.repset, &connection.target);
                    format!("connection {id} ({set} to {target}) ends with this shell")
                }));
            }
        }
        losses
    }

    /// Ends the session's hold on all machines. An embedded engine drains its connections for at most this long; what
    /// it closed is named in messages.
    pub fn close(&mut self, drain: Duration) {
        if !self.told {
            let mut lost: Vec<String> = self.machines_in_use().iter().flat_map(unsaved).collect();
            // Several names may lead to one machine.
            lost.dedup();
            for line in lost {
                self.out.ui.message(&format!("warning: {line}"));
            }
        }
        for opened in std::mem::take(&mut self.machines) {
            for line in opened.machine.close(drain) {
                self.out.ui.message(&line);
            }
        }
    }
}

/// Its replication sets that are not saved, as sentences.
fn unsaved(machine: &Arc<dyn Machine>) -> Vec<String> {
    let list = match machine.keeps_connections() {
        // An engine of this process always answers.
        false => machine.call(Request::RepsetList, &mut ()).ok(),
        true => soon(machine, Request::RepsetList),
    };
    match list {
        Some(Reply::Repsets(sets)) => {
            let unsaved = sets.iter().filter(|set| !set.saved);
            unsaved.map(|set| format!("replication set {} has unsaved changes", set.name)).collect()
        }
        _ => Vec::new(),
    }
}

/// An answer that comes in time: a service that hangs keeps nobody here.
fn soon(machine: &Arc<dyn Machine>, request: Request) -> Option<Reply> {
    let (sender, answer) = channel();
    let machine = Arc::clone(machine);
    // Whoever asked may have gone by then.
    let ask = move || _ = sender.send(machine.call(request, &mut ()));
    std::thread::Builder::new().name("farewell".into()).spawn(ask).ok()?;
    answer.recv_timeout(FAREWELL).ok()?.ok()
}
