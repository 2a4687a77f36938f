//! The service manager's watchdog (`WatchdogSec`): it is told that the service lives as long as the engine answers and what its targets
//! have taken is being applied. What is tried again, and what waits for a person, is no standstill.

use crate::api::ConnectionId;
use crate::engine::Engine;
use crate::engine::log::event;
use crate::engine::replication::Progress;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Operations that a target has taken may stand for so long: one file may be large, and its disk slow.
const STANDSTILL: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    seen: HashMap<ConnectionId, (Progress, Instant)>,
    told: bool,
}

impl Watchdog {
    /// How often the service manager is to be told; None: it does not ask.
    pub(super) fn interval() -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|limit| limit / 2)
    }

    /// Looks at the engine, and tells the service manager if all is well.
    pub(super) async fn beat(&mut self, engine: &Arc<Engine>, patience: Duration) {
        let looked = Arc::clone(engine);
        let looked = tokio::task::spawn_blocking(move || looked.progress());
        let well = match tokio::time::timeout(patience, looked).await {
            Ok(Ok(progress)) => self.look(Instant::now(), &progress),
            _ => Err("the engine does not answer".to_owned()),
        };
        match well {
            Ok(()) => {
                self.told = false;
                // Nobody can be told that nobody listens.
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
            Err(why) => self.complain(&why),
        }
    }

    /// Tells of a standstill once.
    fn complain(&mut self, why: &str) {
        if !std::mem::replace(&mut self.told, true) {
            event!(Standstill, "{why}: the service manager's watchdog is not told that all is well");
        }
    }

    /// Err: a connection at a standstill.
    fn look(&mut self, now: Instant, progress: &[(ConnectionId, Progress)]) -> Result<(), String> {
        self.seen.retain(|id, _| progress.iter().any(|(there, _)| there == id));
        let mut well = Ok(());
        for (id, progress) in progress {
            let (seen, since) = self.seen.entry(*id).or_insert((*progress, now));
            if seen != progress || !progress.has_work {
                (*seen, *since) = (*progress, now);
            } else if now.duration_since(*since) >= STANDSTILL {
                let seconds = now.duration_since(*since).as_secs();
                well = Err(format!(
                    "connection {id}: its target has applied nothing of what it took for {seconds} s"
                ));
            }
        }
        well
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::log::Event;
    use crate::engine::log::testing::Ear;

    #[test]
    fn a_standstill_is_told_and_work_that_goes_on_or_is_none_is_well() {
        let mut watchdog = Watchdog::default();
        let began = Instant::now();
        let (one, two) = (ConnectionId(1), ConnectionId(2));
        let progress = |count, has_work| Progress { counts: [count, 0, 0, 0, 0], has_work };
        let mut look = |after: Duration, one_does, two_does| {
            watchdog.look(began + after, &[(one, one_does), (two, two_does)])
        };
        let second = Duration::from_secs(1);
        look(Duration::ZERO, progress(1, true), progress(1, false)).unwrap();
        look(STANDSTILL - second, progress(1, true), progress(1, false)).unwrap();
        let why = look(STANDSTILL, progress(1, true), progress(1, false)).unwrap_err();
        assert!(why.contains("connection 1") && why.contains("300 s"), "{why}");
        let ear = Ear::new();
        let mut other = Watchdog::default();
        other.complain(&why);
        other.complain(&why);
        assert_eq!(ear.events(), [Event::Standstill], "4155, once");
        // It goes on; the other has had nothing to do for long.
        look(STANDSTILL + second, progress(2, true), progress(1, true)).unwrap();
        look(2 * STANDSTILL, progress(3, true), progress(1, true)).unwrap();
        look(2 * STANDSTILL + second, progress(3, true), progress(1, true)).unwrap_err();
    }
}
