use super::*;
use crate::api::{MirrorSpec, VerifySpec, Watch};
use crate::engine::replication::{Activity, Replication, ReplicationShared};
use proptest::prelude::*;

fn mirror() -> JobKind {
    JobKind::Mirror(MirrorSpec::default())
}

fn verify(remirror: bool) -> JobKind {
    JobKind::Verify(VerifySpec { remirror, ..VerifySpec::default() })
}

fn complete() -> JobOutcome {
    JobOutcome { complete: true, ..JobOutcome::default() }
}

fn failed() -> JobOutcome {
    let failure = JobFailure { path: b"/srv/a\nb".to_vec(), reason: "permission denied".into() };
    JobOutcome { failures: vec![failure], ..JobOutcome::default() }
}

fn state() -> State {
    State::new(ConnectionId(1))
}

fn run(state: &mut State, kind: JobKind, outcome: JobOutcome) {
    state.start(kind, JobShared::new(), false).unwrap();
    state.ended(outcome, "/log");
}

#[test]
fn the_target_data_state_moves_as_25_3_says() {
    let mut state = state();
    assert_eq!(state.data, DataState::MirrorRequired);
    state.start(mirror(), JobShared::new(), false).unwrap();
    assert_eq!(state.data, DataState::Mirroring);
    state.ended(complete(), "/log");
    assert_eq!(state.data, DataState::Ok);
    run(&mut state, mirror(), JobOutcome { stopped: true, ..JobOutcome::default() });
    assert_eq!(state.data, DataState::MirrorRequired);
    run(&mut state, mirror(), complete());
    run(&mut state, mirror(), failed());
    assert_eq!(state.data, DataState::MirrorRequired);
}

#[test]
fn a_verification_changes_the_state_only_on_evidence() {
    let mut state = state();
    run(&mut state, verify(false), complete());
    assert_eq!(state.data, DataState::MirrorRequired, "it repaired nothing");
    run(&mut state, verify(true), complete());
    assert_eq!(state.data, DataState::Ok);
    let report = VerifyReport { files_different: 2, ..VerifyReport::default() };
    run(&mut state, verify(false), JobOutcome { verify: Some(report), ..complete() });
    assert_eq!(state.data, DataState::MirrorRequired);
    let Some((Work::Verify, Ended::Differs(error), _)) = &state.last else {
        unreachable!("{:?}", state.last)
    };
    assert!(error.message.contains("2 files differ"), "{error}");
}

#[test]
fn an_incomplete_mirror_names_number_path_reason_and_place() {
    let mut state = state();
    run(&mut state, mirror(), failed());
    let Some((_, Ended::Failed(error), _)) = &state.last else { unreachable!() };
    assert_eq!(
        error.message,
        "the mirror of connection 1 is incomplete: 1 file failed, the first is /srv/a\\nb: permission denied"
    );
    assert!(error.help.as_ref().unwrap().contains("/log"));
    assert_eq!(state.last_error().unwrap(), "/srv/a\\nb: permission denied");
}

#[test]
fn one_job_at_a_time() {
    let mut state = state();
    state.start(mirror(), JobShared::new(), false).unwrap();
    assert_eq!(state.start(mirror(), JobShared::new(), false).unwrap_err().code, Code::MirrorAlreadyActive);
    assert_eq!(
        state.start(verify(false), JobShared::new(), false).unwrap_err().code,
        Code::MirrorCurrentlyActive
    );
}

#[test]
fn steps_are_refused_with_their_numbers() {
    let mut state = state();
    let code = |state: &State, work, step| state.steer(work, step).map_err(|error| error.code);
    assert_eq!(code(&state, Work::Mirror, Step::Stop), Err(Code::MirrorIsNotRunning));
    assert_eq!(code(&state, Work::Mirror, Step::Pause), Err(Code::MirrorIsNotRunning));
    assert_eq!(code(&state, Work::Mirror, Step::Resume), Err(Code::MirrorIsNotPaused));
    state.start(mirror(), JobShared::new(), false).unwrap();
    assert_eq!(code(&state, Work::Mirror, Step::Resume), Err(Code::MirrorIsNotPaused));
    assert_eq!(code(&state, Work::Verify, Step::Pause), Err(Code::MirrorIsNotRunning));
    assert_eq!(code(&state, Work::Mirror, Step::Pause), Ok(()));
    assert_eq!(code(&state, Work::Mirror, Step::Pause), Err(Code::MirrorIsNotRunning));
    assert_eq!(code(&state, Work::Mirror, Step::Resume), Ok(()));
    assert_eq!(code(&state, Work::Mirror, Step::Stop), Ok(()));
    assert!(state.running.as_ref().unwrap().shared.stopped());
}

/// A replication of which only the words count.
#[derive(Debug, Default)]
struct Words(ReplicationShared);

impl Replication for Words {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn shared(&self) -> &ReplicationShared {
        &self.0
    }

    fn barrier(&self, _: Option<std::time::Duration>, _: &mut dyn Watch) -> Result<bool, ApiError> {
        Ok(true)
    }

    fn release(&self) -> bool {
        false
    }

    fn stop(&self, _: bool, _: std::time::Duration) -> bool {
        true
    }
}

/// Replication that has something to say: as the task does, the state is told at once.
fn replicating(state: &mut State) -> Arc<Words> {
    let words = Arc::new(Words::default());
    words.0.set_activity(Activity::Ready);
    state.replicate().unwrap();
    state.replicates(Some(words.clone()));
    words
}

fn shared(state: &State) -> Option<&ReplicationShared> {
    state.stage.shared()
}

#[test]
fn replication_moves_from_stopped_over_pending_to_ready_and_back() {
    let mut state = state();
    assert_eq!(state.replication_word(), "Stopped");
    state.replicate().unwrap();
    assert_eq!(state.replication_word(), "Pending");
    assert_eq!(state.replicate().unwrap_err().code, Code::ConnectionIsReplicating);
    assert_eq!(state.unreplicate().unwrap_err().code, Code::ReplicationIsPending);
    state.replicates(Some(Arc::new(Words::default())));
    assert_eq!(state.replication_word(), "Pending", "no mirror has run yet");
    shared(&state).unwrap().set_activity(Activity::Ready);
    assert_eq!(state.replication_word(), "Pending", "whatever replication says of itself");
    state.start(mirror(), JobShared::new(), false).unwrap();
    assert_eq!(state.replication_word(), "Ready");
    shared(&state).unwrap().ops_queued.store(1, Relaxed);
    assert_eq!(state.replication_word(), "Replicating");
    assert_eq!(state.unreplicate().unwrap_err().code, Code::MirrorCurrentlyActive);
    state.ended(complete(), "/log");
    assert_eq!((state.replication_word(), state.data), ("Replicating", DataState::Ok));
    state.unreplicate().unwrap();
    assert_eq!(state.start(mirror(), JobShared::new(), false).unwrap_err().code, Code::ReplicationIsPending);
    state.unreplicated(false);
    assert_eq!((state.replication_word(), state.data), ("Stopped", DataState::MirrorRequired));
    assert_eq!(state.left, 1);
}

#[test]
fn what_does_not_come_to_be_changes_nothing() {
    let mut state = state();
    run(&mut state, mirror(), complete());
    state.replicate().unwrap();
    state.replicates(None);
    assert_eq!((state.replication_word(), state.data), ("Stopped", DataState::Ok));
}

#[test]
fn a_connection_that_ends_leaves_the_copy_as_good_as_it_was() {
    let mut state = state();
    replicating(&mut state);
    run(&mut state, mirror(), complete());
    state.unreplicate().unwrap();
    state.unreplicated(true);
    assert_eq!(state.data, DataState::Ok);
}

#[derive(Clone, Debug)]
enum Move {
    Start(bool, bool),
    Steer(bool, u8),
    End(bool, bool, u64),
    Replicate,
    Unreplicate,
    /// Replication misses something.
    Miss,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (any::<bool>(), any::<bool>()).prop_map(|(mirror, repair)| Move::Start(mirror, repair)),
        (any::<bool>(), 0..3u8).prop_map(|(mirror, step)| Move::Steer(mirror, step)),
        (any::<bool>(), any::<bool>(), 0..3u64).prop_map(|(full, stop, left)| Move::End(full, stop, left)),
        Just(Move::Replicate),
        Just(Move::Unreplicate),
        Just(Move::Miss),
    ];
    proptest::collection::vec(one, 0..40)
}

proptest! {
    /// Whatever happens in whatever order: `Mirroring` means that a mirror runs, `OK` that the last job which said
    /// something about the copy found or left it whole and, with replication, that it began after changes were captured
    /// and none was missed since; and a step is taken only by a job of its kind.
    #[test]
    fn the_state_never_claims_more_than_was_seen(moves in moves()) {
        let mut state = state();
        let mut whole = false;
        // What is missed, or was when the running job began, and whether that job goes over the stream.
        let (mut missed, mut missed_before, mut over) = (false, false, false);
        for step in moves {
            match step {
                Move::Start(is_mirror, repair) => {
                    let kind = if is_mirror { mirror() } else { verify(repair) };
                    let free = state.running.is_none();
                    prop_assert_eq!(state.start(kind, JobShared::new(), false).is_ok(), free);
                    if free {
                        over = shared(&state).is_some();
                        missed_before = missed && repairs(&kind);
                        missed &= !repairs(&kind);
                        if let (true, Some(words)) = (repairs(&kind), shared(&state)) {
                            words.begin_mirror(false);
                        }
                    }
                }
                Move::Replicate => {
                    let off = shared(&state).is_none();
                    prop_assert_eq!(state.clone().replicate().is_ok(), off);
                    if off {
                        replicating(&mut state);
                        (whole, missed, missed_before) = (false, false, false);
                    }
                }
                Move::Unreplicate => {
                    let free = shared(&state).is_some() && !(state.running.is_some() && over);
                    prop_assert_eq!(state.unreplicate().is_ok(), free);
                    if free {
                        state.unreplicated(false);
                        (whole, missed, missed_before) = (false, false, false);
                    }
                }
                Move::Miss => {
                    if let Some(words) = shared(&state) {
                        words.require_mirror(Some("an overflow".to_owned()));
                        missed = true;
                    }
                    state.notice();
                }
                Move::Steer(is_mirror, step) => {
                    let work = if is_mirror { Work::Mirror } else { Work::Verify };
                    let step = [Step::Stop, Step::Pause, Step::Resume][usize::from(step)];
                    let runs = state.running.as_ref().is_some_and(|running| Work::of(&running.kind) == work);
                    prop_assert!(runs || state.steer(work, step).is_err());
                }
                Move::End(full, stopped, left) => {
                    let kind = state.running.as_ref().map(|running| running.kind);
                    let report = VerifyReport { files_missing: left, ..VerifyReport::default() };
                    let is_verify = matches!(kind, Some(JobKind::Verify(_)));
                    let verify = is_verify.then_some(report);
                    let outcome = JobOutcome { complete: full && !stopped, stopped, verify, ..JobOutcome::default() };
                    let counts = over || shared(&state).is_none();
                    state.ended(outcome, "/log");
                    let all = full && !stopped && (!is_verify || left == 0);
                    match kind {
                        Some(JobKind::Mirror(_)) => whole = all && counts,
                        Some(JobKind::Verify(_)) if stopped => {}
                        Some(JobKind::Verify(_)) if left > 0 => whole = false,
                        Some(JobKind::Verify(spec)) if spec.remirror => whole = full && counts,
                        _ => {}
                    }
                    missed |= missed_before && !all;
                    missed_before = false;
                    if missed && let Some(words) = shared(&state) {
                        // As the task does.
                        words.require_mirror(Some("an overflow".to_owned()));
                    }
                }
            }
            let mirrors = matches!(&state.running, Some(running) if Work::of(&running.kind) == Work::Mirror);
            prop_assert_eq!(state.data == DataState::Mirroring, mirrors);
            prop_assert_eq!(state.data == DataState::Ok, whole && !missed && !mirrors);
            let word = state.replication_word();
            prop_assert_eq!(word == "Stopped", shared(&state).is_none());
            // Ready is said of a copy that a mirror has reached the end of, or of one that is being mirrored.
            prop_assert!(word != "Ready" || state.mirrored || state.running.as_ref().is_some_and(|r| r.over_stream));
            // A barrier passes only where it can keep its promise.
            prop_assert!(state.obstacle().is_some() || (state.data == DataState::Ok && shared(&state).is_some()));
        }
    }
}
