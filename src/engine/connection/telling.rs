//! What administrators hear of a connection: the events that follow from a change of its state, told where it changes.

use super::state::{Ended, State, Step, Work};
use super::{Info, Stage};
use crate::engine::log::{Event, event, tell};

/// Tells the events that lie between two states.
pub(super) fn changed(info: &Info, before: &State, after: &State) {
    let place = place(info);
    // A mirror that begins by itself is tried again and again while its target is away: who was told of one failure hears of the next
    // only when it is another one.
    let is_retry = is_retry(before, after);
    if before.data != after.data {
        let Info { id, source, target_address, .. } = info;
        let (address, from, to) = (super::ip_words(target_address), before.data, after.data);
        let text = format!(
            "Target data state for connection {id} from {source} {address} has changed from {from} to {to}"
        );
        if is_retry { tracing::info!("{text}") } else { event!(TargetDataState, "{text}") }
    }
    match (&before.stage, &after.stage) {
        (Stage::Off | Stage::Starting, Stage::On(_)) => {
            event!(ReplicationStarted, "Replication has started to {place}");
            event!(ProtectionStarted, "Protection of {place} has started");
        }
        (Stage::On(_) | Stage::Stopping(_), Stage::Off) => {
            event!(ReplicationStopped, "Replication has stopped to {place}");
            event!(JobStopped, "Protection of {place} has stopped");
        }
        _ => {}
    }
    match (&before.running, &after.running) {
        (None, Some(running)) if !is_retry => began(Work::of(&running.kind), &place),
        (Some(_), None) if !is_retry => {
            if let Some((work, end, _)) = &after.last {
                ended(*work, end, &place);
            }
        }
        _ => {}
    }
}

/// Is this the beginning of a mirror by itself after one that failed, or its end for the same reason?
fn is_retry(before: &State, after: &State) -> bool {
    let Some((_, Ended::Failed(failed), _)) = &before.last else { return false };
    match (&before.running, &after.running, &after.last) {
        (None, Some(running), _) => running.automatic,
        (Some(running), None, Some((_, Ended::Failed(again), _))) => {
            running.automatic && again.message == failed.message
        }
        _ => false,
    }
}

/// A person has paused a job, or has it go on.
pub(super) fn steered(info: &Info, work: Work, step: Step) {
    let event = match (work, step) {
        (Work::Mirror, Step::Pause) => Event::MirrorPaused,
        (Work::Mirror, Step::Resume) => Event::MirrorResumed,
        (Work::Verify, Step::Pause) => Event::VerifyPaused,
        (Work::Verify, Step::Resume) => Event::VerifyResumed,
        (Work::Orphans, Step::Pause) => Event::OrphansPaused,
        (Work::Orphans, Step::Resume) => Event::OrphansResumed,
        // Its end is told when it has come.
        (_, Step::Stop) => return,
    };
    let how = if step == Step::Pause { "paused" } else { "resumed" };
    tell(event, &format!("The {} was {how}: {}", work.noun(), place(info)));
}

/// What was told of a row of tries to reconnect: each of it once, and a failure again when its reason is another one.
#[derive(Debug, Default)]
pub(super) struct Reconnecting {
    begun: bool,
    done: bool,
    failed: Option<String>,
}

impl Reconnecting {
    pub(super) fn begins(&mut self, info: &Info, why: &str) {
        if !std::mem::replace(&mut self.begun, true) {
            event!(AutoReconnectBegun, "Auto-reconnect begins to {}: {why}", place(info));
        }
    }

    /// The line to the target stands.
    pub(super) fn succeeds(&mut self, info: &Info) {
        if !std::mem::replace(&mut self.done, true) {
            event!(AutoReconnectDone, "Auto-reconnect has succeeded to {}", place(info));
        }
    }

    pub(super) fn failed(&mut self, info: &Info, why: &str) {
        if self.failed.as_deref() != Some(why) {
            event!(AutoReconnectFailed, "Auto-reconnect has failed to {}: {why}", place(info));
            self.failed = Some(why.to_owned());
        }
    }
}

/// A set was connected.
pub(in crate::engine) fn connected(info: &Info) {
    let place = place(info);
    event!(Connected, "Connected to {place}");
    event!(JobCreated, "The job was created: {place}");
}

/// A connection has ended; `for_good`: no service goes on with it.
pub(in crate::engine) fn disconnected(info: &Info, for_good: bool) {
    let place = place(info);
    event!(Disconnected, "Disconnected from {place}");
    if for_good {
        event!(JobDeleted, "The job was deleted: {place}");
    }
}

/// `beta (192.0.2.7:1500), replication set payroll, connection 1`
pub(in crate::engine) fn place(info: &Info) -> String {
    let Info { id, target, target_address, repset, .. } = info;
    format!("{target} ({target_address}), replication set {repset}, connection {id}")
}

fn began(work: Work, place: &str) {
    let event = match work {
        Work::Mirror => Event::MirrorStarted,
        Work::Verify => Event::VerifyStarted,
        Work::Orphans => Event::OrphansStarted,
    };
    tell(event, &format!("The {} has started to {place}", work.noun()));
}

fn ended(work: Work, end: &Ended, place: &str) {
    let noun = work.noun();
    let (stopped, completed) = match work {
        Work::Mirror => (Event::MirrorStopped, Event::MirrorCompleted),
        Work::Verify => (Event::VerifyStopped, Event::VerifyCompleted),
        Work::Orphans => (Event::OrphansStopped, Event::OrphansCompleted),
    };
    match (work, end) {
        (_, Ended::Complete) => tell(completed, &format!("The {noun} is complete to {place}")),
        (_, Ended::Stopped) => tell(stopped, &format!("The {noun} was stopped to {place}")),
        (Work::Verify, Ended::Differs(error) | Ended::Failed(error)) => {
            tell(completed, &format!("The {noun} has ended to {place}"));
            event!(VerifyErrors, "Verification has ended with errors: {place}: {}", error.message);
        }
        (_, Ended::Differs(error) | Ended::Failed(error)) => {
            tell(stopped, &format!("The {noun} has ended to {place}: {}", error.message));
            event!(GeneralError, "{place}: {}", error.message);
        }
    }
}
