//! What administrators hear of a connection: the events that follow from a change of its state, told where it changes.

use super::state::{Ended, State, Step, Work};
use super::{Info, Stage};
use crate::engine::log::{Event, event, tell};

/// Tells the events that lie between two states.
pub(super) fn changed(info: &Info, before: &State, after: &State) {
    let place = place(info);
    if before.data != after.data {
        let Info { id, source, target_address, .. } = info;
        let (address, from, to) = (super::ip_words(target_address), before.data, after.data);
        event!(
            TargetDataState,
            "Target data state for connection {id} from {source} {address} has changed from {from} to {to}"
        );
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
        (None, Some(running)) => began(Work::of(&running.kind), &place),
        (Some(_), None) => {
            if let Some((work, end, _)) = &after.last {
                ended(*work, end, &place);
            }
        }
        _ => {}
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
