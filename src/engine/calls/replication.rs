//! REPLICATION START and STOP.

use crate::api::{ApiError, Code, ConnectionId, Event, Reply, Watch};
use crate::engine::connection::{Begun, Capture};
use crate::engine::replication::Hold;
use crate::engine::{Engine, lock};

impl Engine {
    /// `REPLICATION START`: begins it (RPL-01), or lets what is held go on.
    pub(in crate::engine) fn replication_start(
        &self,
        id: ConnectionId,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let connection = self.connection(id)?;
        if connection.is_null() {
            return Err(ApiError::new(
                Code::OperationOrCommandIsNotSupported,
                format!(
                    "connection {id} leads to the null target, which keeps nothing that could be changed"
                ),
            )
            .help(format!("MIRROR START {id} counts all that is there")));
        }
        let told = |hold: &Hold, watch: &mut dyn Watch| {
            let held = hold.words(id);
            let what = held.split_once("; ").map_or(held.as_str(), |(what, _)| what);
            watch.event(Event::Notice(format!("{what}; it goes on now")));
        };
        if let Some(hold) = connection.release() {
            told(&hold, watch);
            return Ok(Reply::Done);
        }
        // Until it has taken its way, nobody else takes a place on it.
        let turn = lock(&self.connecting);
        let (plan, route) = self.way(&connection)?;
        let begun = connection.replicate(Capture { plan, route, then: None })?;
        drop(turn);
        match begun {
            Begun::Starting(begun) => {
                connection.captures(begun, watch)?;
                self.keeps_replicating(&connection.info, true);
                watch.event(Event::Notice(format!(
                    "changes of connection {id} are captured from now on; they are sent once a mirror has run: \
                     MIRROR START {id} DIFFERENT CHECKSUM"
                )));
            }
            Begun::Released(hold) => told(&hold, watch),
        }
        Ok(Reply::Done)
    }

    /// `REPLICATION STOP` (RPL-02).
    pub(in crate::engine) fn replication_stop(
        &self,
        id: ConnectionId,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let connection = self.connection(id)?;
        super::connections::refuse_held(&connection, "REPLICATION STOP")?;
        let left = connection.unreplicate(watch)?;
        self.keeps_replicating(&connection.info, false);
        if left > 0 {
            watch.event(Event::Notice(format!(
                "{left} changes of connection {id} were in the queue and were not sent"
            )));
        }
        Ok(Reply::Done)
    }
}
