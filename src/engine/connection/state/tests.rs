use super::*;
use crate::api::{MirrorSpec, VerifySpec};
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
    state.start(kind, JobShared::new()).unwrap();
    state.ended(outcome, "/log");
}

#[test]
fn the_target_data_state_moves_as_25_3_says() {
    let mut state = state();
    assert_eq!(state.data, DataState::MirrorRequired);
    state.start(mirror(), JobShared::new()).unwrap();
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
    state.start(mirror(), JobShared::new()).unwrap();
    assert_eq!(state.start(mirror(), JobShared::new()).unwrap_err().code, Code::MirrorAlreadyActive);
    assert_eq!(state.start(verify(false), JobShared::new()).unwrap_err().code, Code::MirrorCurrentlyActive);
}

#[test]
fn steps_are_refused_with_their_numbers() {
    let mut state = state();
    let code = |state: &State, work, step| state.steer(work, step).map_err(|error| error.code);
    assert_eq!(code(&state, Work::Mirror, Step::Stop), Err(Code::MirrorIsNotRunning));
    assert_eq!(code(&state, Work::Mirror, Step::Pause), Err(Code::MirrorIsNotRunning));
    assert_eq!(code(&state, Work::Mirror, Step::Resume), Err(Code::MirrorIsNotPaused));
    state.start(mirror(), JobShared::new()).unwrap();
    assert_eq!(code(&state, Work::Mirror, Step::Resume), Err(Code::MirrorIsNotPaused));
    assert_eq!(code(&state, Work::Verify, Step::Pause), Err(Code::MirrorIsNotRunning));
    assert_eq!(code(&state, Work::Mirror, Step::Pause), Ok(()));
    assert_eq!(code(&state, Work::Mirror, Step::Pause), Err(Code::MirrorIsNotRunning));
    assert_eq!(code(&state, Work::Mirror, Step::Resume), Ok(()));
    assert_eq!(code(&state, Work::Mirror, Step::Stop), Ok(()));
    assert!(state.running.as_ref().unwrap().shared.stopped());
}

#[derive(Clone, Debug)]
enum Move {
    Start(bool, bool),
    Steer(bool, u8),
    End(bool, bool, u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (any::<bool>(), any::<bool>()).prop_map(|(mirror, repair)| Move::Start(mirror, repair)),
        (any::<bool>(), 0..3u8).prop_map(|(mirror, step)| Move::Steer(mirror, step)),
        (any::<bool>(), any::<bool>(), 0..3u64).prop_map(|(full, stop, left)| Move::End(full, stop, left)),
    ];
    proptest::collection::vec(one, 0..40)
}

proptest! {
    /// Whatever happens in whatever order: `Mirroring` means that a mirror runs, `OK` that the last job which said
    /// something about the copy found or left it whole, and a step is taken only by a job of its kind.
    #[test]
    fn the_state_never_claims_more_than_was_seen(moves in moves()) {
        let mut state = state();
        let mut whole = false;
        for step in moves {
            match step {
                Move::Start(is_mirror, repair) => {
                    let kind = if is_mirror { mirror() } else { verify(repair) };
                    let free = state.running.is_none();
                    prop_assert_eq!(state.start(kind, JobShared::new()).is_ok(), free);
                    whole &= !(free && is_mirror);
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
                    state.ended(outcome, "/log");
                    match kind {
                        Some(JobKind::Mirror(_)) => whole = full && !stopped,
                        Some(JobKind::Verify(_)) if stopped => {}
                        Some(JobKind::Verify(_)) if left > 0 => whole = false,
                        Some(JobKind::Verify(spec)) if spec.remirror => whole = full,
                        _ => {}
                    }
                }
            }
            let mirrors = matches!(&state.running, Some(running) if Work::of(&running.kind) == Work::Mirror);
            prop_assert_eq!(state.data == DataState::Mirroring, mirrors);
            prop_assert_eq!(state.data == DataState::Ok, whole && !mirrors);
        }
    }
}
