//! A connection's numbers and words as people and scripts read them (29.1, 25.4).

use super::state::Remirror;
use super::{Ended, Info, Stage, State, View, Work};
use crate::api::{ConnectionStatus, Phase, Progress};
use crate::engine::connect::mapping::shown;
use crate::engine::job::JobShared;
use crate::engine::replication::ReplicationShared;
use crate::engine::transmission::Mode;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the mirror machinery does right now.
pub fn phase(state: &State) -> Phase {
    let Some(running) = &state.running else { return Phase::Idle };
    if running.shared.is_paused() {
        return Phase::Paused;
    }
    running.shared.phase().filter(|phase| *phase != Phase::Idle).unwrap_or(match Work::of(&running.kind) {
        Work::Mirror => Phase::Mirroring,
        Work::Verify => Phase::Verifying,
        Work::Orphans => Phase::RemovingOrphans,
    })
}

/// Mirror Status: a word, or a percentage where the size is known (MIR-09).
pub fn mirror_word(state: &State) -> String {
    let word = match phase(state) {
        Phase::Idle => "Idle",
        Phase::Calculating => "Calculating",
        Phase::Mirroring => {
            return match state.running.as_ref().and_then(|running| percent(&running.shared)) {
                Some(percent) => format!("{percent}%"),
                None => "Mirroring".to_owned(),
            };
        }
        Phase::Waiting => "Waiting",
        Phase::RemovingOrphans => "Removing Orphans",
        Phase::Verifying => "Verifying",
        Phase::Paused => "Paused",
    };
    word.to_owned()
}

/// Parts of a hundred that are done, by bytes, or by files when there are none.
fn percent(shared: &JobShared) -> Option<u64> {
    permille(shared).map(|permille| permille / 10)
}

/// Thousandths, the same way.
pub fn permille(shared: &JobShared) -> Option<u64> {
    let counters = &shared.counters;
    if !counters.calculated.load(Relaxed) {
        return None;
    }
    let (done, total) = match counters.bytes_total.load(Relaxed) {
        0 => (counters.files.load(Relaxed), counters.files_total.load(Relaxed)),
        total => (counters.bytes_sent.load(Relaxed) + counters.bytes_skipped.load(Relaxed), total),
    };
    // Files that grew since they were counted do not make more than all of it.
    Some(if total == 0 { 1000 } else { (u128::from(done) * 1000 / u128::from(total)).min(1000) as u64 })
}

/// How far the running job is.
pub fn progress(state: &State) -> Option<Progress> {
    let running = state.running.as_ref()?;
    Some(of_job(&running.shared, phase(state)))
}

/// A job's counters as progress.
pub fn of_job(shared: &JobShared, phase: Phase) -> Progress {
    let counters = &shared.counters;
    let calculated = counters.calculated.load(Relaxed);
    Progress {
        phase,
        files_done: counters.files.load(Relaxed),
        bytes_done: counters.bytes_sent.load(Relaxed) + counters.bytes_skipped.load(Relaxed),
        files_total: calculated.then(|| counters.files_total.load(Relaxed)),
        bytes_total: calculated.then(|| counters.bytes_total.load(Relaxed)),
        errors: counters.errors.load(Relaxed),
        path: counters.path.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    }
}

/// Transmit Mode (29.1).
fn transmit_word(info: &Info, state: &State) -> &'static str {
    let kept = info.transmission.kept();
    match kept.mode {
        Mode::Paused => return "Paused",
        Mode::Stopped => return "Stopped",
        // TRN-27.
        Mode::Started if kept.schedule.waits() => return "Scheduled",
        Mode::Started => {}
    }
    match (state.remirror, &state.running) {
        (Remirror::Disconnected, None) => "Stopped",
        // Also while a mirror that makes good what was lost tries to reach it.
        _ if is_gone(info, state) => "Error",
        _ => "Started",
    }
}

/// conState: a sum, of which only 4 and 8 occur together.
pub fn flags(info: &Info, state: &State) -> u64 {
    match transmit_word(info, state) {
        "Started" => 1,
        "Paused" => 2,
        "Scheduled" if is_gone(info, state) => 4 + 8,
        "Scheduled" => 4,
        "Error" => 8,
        _ => 0,
    }
}

/// The target of what is to be sent has gone.
fn is_gone(info: &Info, state: &State) -> bool {
    if info.traffic.is_away() {
        return true;
    }
    // A job may have a stream of its own.
    let over_stream = state.running.as_ref().is_none_or(|running| running.over_stream);
    match &state.stage {
        Stage::On(replication) => over_stream && !replication.is_connected(),
        // It is to go on, and its target was not reached yet.
        Stage::Off => state.running.is_none() && state.resumes.is_some(),
        Stage::Starting | Stage::Stopping(_) => false,
    }
}

/// Has the target something to apply that was sent to it, as far as it has told?
pub fn has_under_way(info: &Info, state: &State) -> bool {
    if info.transmission.is_silent(&info.traffic) {
        // Nothing is told, and nothing can be waited for.
        return false;
    }
    // First those who send: what they leave behind is asked for by then.
    if info.transmission.is_sending() {
        return true;
    }
    let replicated = match &state.stage {
        Stage::On(replication) | Stage::Stopping(replication) => {
            !replication.is_all_answered() || replication.shared().target_ops.load(Relaxed) > 0
        }
        Stage::Off | Stage::Starting => false,
    };
    let queued = |running: &super::state::Running| running.shared.counters.bytes_queued.load(Relaxed) > 0;
    replicated || state.running.as_ref().is_some_and(queued)
}

/// The whole status.
pub fn status(info: &Info, view: &View) -> ConnectionStatus {
    let state = &view.state;
    let running = state.running.as_ref().map(|running| &*running.shared);
    let job = running.or(state.last.as_ref().map(|(_, _, shared)| &**shared));
    let live = |count: fn(&JobShared) -> u64| running.map_or(0, count);
    let sent = state.totals.sent + live(|job| job.counters.bytes_sent.load(Relaxed));
    // Skipped Mirror is of mirrors only; what a verification found equal is in its report.
    let mirrors = state.running.as_ref().is_some_and(|running| Work::of(&running.kind) == Work::Mirror);
    let skipped =
        state.totals.skipped + if mirrors { live(|job| job.counters.bytes_skipped.load(Relaxed)) } else { 0 };
    let complete = running.is_none() && matches!(&state.last, Some((_, Ended::Complete, _)));
    let remaining = job.filter(|job| job.counters.calculated.load(Relaxed)).map(|job| {
        let counters = &job.counters;
        let done = counters.bytes_sent.load(Relaxed) + counters.bytes_skipped.load(Relaxed);
        if complete { 0 } else { counters.bytes_total.load(Relaxed).saturating_sub(done) }
    });
    let replication = state.stage.shared();
    let count =
        |of: fn(&ReplicationShared) -> &AtomicU64| replication.map_or(0, |shared| of(shared).load(Relaxed));
    let replicated = state.totals.replicated + count(|shared| &shared.bytes_transmitted);
    let retrying = replication.is_some_and(|shared| shared.retrying.load(Relaxed));
    let spared = &info.traffic.spared;
    let hindered = info.transmission.hindered(&info.target, &info.traffic);
    ConnectionStatus {
        id: info.id,
        repset: info.repset.clone(),
        target: info.target.clone(),
        target_address: info.target_address.clone(),
        established_ms: info.established_ms,
        target_data_state: state.data.to_string(),
        target_status: match info.transmission.kept().target_paused {
            true if has_under_way(info, state) => "Pause Pending",
            true => "Paused",
            false if retrying => "Retrying",
            false => "OK",
        }
        .to_owned(),
        transmit: transmit_word(info, state).to_owned(),
        mirror: mirror_word(state),
        replication: state.replication_word().to_owned(),
        // Without compression both are the same (9.1 rows 13, 18 and 21).
        mirror_bytes_transferred: sent,
        mirror_bytes_transmitted: sent.saturating_sub(spared[0].load(Relaxed)),
        mirror_bytes_queued: live(|job| job.counters.bytes_queued.load(Relaxed)),
        replication_bytes_transferred: replicated,
        replication_bytes_transmitted: replicated.saturating_sub(spared[1].load(Relaxed)),
        replication_bytes_queued: count(|shared| &shared.bytes_queued),
        mirror_bytes_remaining: remaining,
        mirror_bytes_skipped: skipped,
        files_failed: job.map_or(0, |job| job.counters.errors.load(Relaxed))
            + state.totals.replication_errors
            + count(|shared| &shared.errors),
        verification: None,
        bandwidth_limit: info.transmission.in_force().0.map(|limit| limit.to_string()),
        last_error: hindered.or_else(|| state.last_error()),
        paths: view.route.paths.iter().map(|path| (shown(&path.source), shown(&path.target))).collect(),
    }
}
