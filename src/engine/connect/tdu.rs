//! The null target's statistics (JOB-15): snapshots of its connection go to the file that STATLOG writes, or to one of its own.

use crate::engine::Engine;
use crate::engine::connection::{Info, View};
use crate::engine::stats::Recorder;
use std::sync::{Arc, Weak};

/// Where a connection to the null target is told of, when its mirrors begin and end.
#[derive(Clone, Debug)]
pub struct Throughput {
    recorder: Arc<Recorder>,
    engine: Weak<Engine>,
}

impl Throughput {
    pub fn new(recorder: Arc<Recorder>, engine: Weak<Engine>) -> Throughput {
        Throughput { recorder, engine }
    }

    /// Adds a snapshot in which the connection is as it is now.
    pub fn write(&self, info: &Arc<Info>, view: &View) {
        // An engine that is gone has nothing more to tell.
        let Some(engine) = self.engine.upgrade() else { return };
        let limit = engine.statistics_limit();
        self.recorder.add(engine.snapshot_with(info, view), limit);
    }
}
