//! Barriers and what they wait for, without threads.

use super::super::record::{At, Record, State};
use super::barriers::{Mark, ROUNDS};
use super::failures::{HEALS, Reached};
use super::*;

const AT: At<'static> = At { root: 0, path: b"", name: b"f" };

fn content(ino: u64, state: State) -> Record<'static> {
    let id = Identity { dev: 1, ino, born: 0 };
    Record::Content { node: 0, id, at: AT, state }
}

fn bytes(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

/// A desk with barriers on their way.
fn desk(marks: &[u64]) -> Desk {
    let mut desk = Desk::default();
    desk.barriers.marks.extend(marks.iter().map(|number| (*number, Mark::default())));
    desk
}

fn miss(desk: &mut Desk, bytes: &[u8], there: bool) {
    desk.owing.miss(bytes, there, desk.barriers.passed);
}

/// What was told is taken by the looker, and the mark logged anew.
fn take_and_log(desk: &mut Desk) {
    desk.failures.heals.clear();
    desk.failures.take(desk.barriers.marks.values().map(|mark| mark.taken));
    desk.barriers.marks.get_mut(&1).unwrap().taken = desk.failures.taken;
}

/// A mark's answer has come, and the looker has taken what had failed; `ids`: what it has sent anew. True: it goes round.
fn answer(desk: &mut Desk, number: u64, ids: &[u64]) -> bool {
    if !desk.answer(number) {
        return false;
    }
    let heals = std::mem::take(&mut desk.failures.heals);
    desk.failures.take(desk.barriers.marks.values().map(|mark| mark.taken));
    let ids: Vec<Identity> = ids.iter().map(|ino| Identity { dev: 1, ino: *ino, born: 0 }).collect();
    heals.iter().for_each(|(place, _)| desk.failures.found(place, &ids));
    desk.judge(number)
}

fn turn(desk: &mut Desk, number: u64) -> bool {
    desk.is_owed_before(number) && desk.turn(number)
}

#[test]
fn a_mark_waits_for_what_was_missed_before_it_and_for_nothing_else() {
    let mut desk = desk(&[1, 2]);
    miss(&mut desk, &bytes(&content(7, State::Single)), true);
    assert!(turn(&mut desk, 1));
    miss(&mut desk, &bytes(&content(8, State::Single)), true);
    // Metadata alone does not bring the content.
    let Record::Content { node, id, at, .. } = content(7, State::Single) else { unreachable!() };
    desk.owing.pay(&Record::Meta { node, id, at });
    assert!(turn(&mut desk, 1));
    desk.owing.pay(&content(7, State::Single));
    assert!(!turn(&mut desk, 1));
    assert!(turn(&mut desk, 2), "8 was missed before its turn");
    assert_eq!(desk.barriers.returned, [1, 1, 2]);
}

#[test]
fn what_is_missed_again_is_as_old_as_at_first() {
    let mut desk = desk(&[1]);
    miss(&mut desk, &bytes(&content(7, State::Nothing)), true);
    assert!(turn(&mut desk, 1));
    miss(&mut desk, &bytes(&content(7, State::Single)), true);
    assert!(turn(&mut desk, 1));
    assert!(desk.owing.lacking.contains(&Identity { dev: 1, ino: 7, born: 0 }));
    desk.owing.pay(&content(7, State::Nothing));
    assert!(!turn(&mut desk, 1) && desk.owing.lacking.is_empty());
}

#[test]
fn a_directory_that_has_the_number_of_a_file_that_was_owed_pays_for_it() {
    let mut desk = desk(&[1]);
    miss(&mut desk, &bytes(&content(7, State::Nothing)), true);
    assert!(turn(&mut desk, 1));
    let id = Identity { dev: 1, ino: 7, born: 0 };
    desk.owing.pay(&Record::DirectoryMeta { node: 0, id, at: AT });
    assert!(!turn(&mut desk, 1) && desk.owing.lacking.is_empty());
}

#[test]
fn a_mark_does_not_wait_for_what_is_gone_and_its_names_are_not_trusted_all_the_same() {
    let mut desk = desk(&[1]);
    miss(&mut desk, &bytes(&content(7, State::Nothing)), false);
    assert!(!turn(&mut desk, 1));
    assert!(desk.owing.lacking.contains(&Identity { dev: 1, ino: 7, born: 0 }));
    assert_eq!(desk.owing.missed.len(), 1);
}

#[test]
fn a_mark_goes_round_no_more_than_so_often() {
    let mut desk = desk(&[1]);
    miss(&mut desk, &bytes(&content(7, State::Single)), true);
    let rounds = (0..).take_while(|_| turn(&mut desk, 1)).count();
    assert_eq!(rounds, ROUNDS as usize);
    assert!(!desk.answer(1));
    let id = Identity { dev: 1, ino: 7, born: 0 };
    assert_eq!(
        desk.barriers.reached[&1],
        Some(Spent::Owed(id)),
        "it is not passed off as one that kept its promise"
    );
}

#[test]
fn what_a_mark_waits_for_in_vain_is_looked_for_anew() {
    let mut desk = desk(&[1]);
    miss(&mut desk, &bytes(&content(7, State::Single)), true);
    let id = Identity { dev: 1, ino: 7, born: 0 };
    let asked: Vec<bool> = (0..6)
        .map(|_| {
            assert!(turn(&mut desk, 1));
            !std::mem::take(&mut desk.jobs.requests.owed).is_empty()
        })
        .collect();
    assert_eq!(asked, [false, false, true, false, false, true]);
    assert_eq!(desk.owing.of(|_, since| since < 1).collect::<Vec<_>>(), [(id, true)]);
}

#[test]
fn a_mark_whose_last_round_had_no_reason_to_go_round_keeps_its_promise() {
    let mut desk = desk(&[1]);
    miss(&mut desk, &bytes(&content(7, State::Single)), true);
    (0..ROUNDS).for_each(|_| assert!(turn(&mut desk, 1)));
    desk.owing.pay(&content(7, State::Single));
    assert!(!turn(&mut desk, 1) && !desk.answer(1));
    assert_eq!(desk.barriers.reached[&1], None);
}

#[test]
fn a_mark_that_failed_each_time_says_where() {
    let mut desk = desk(&[1]);
    let place = || (0, b"a".to_vec());
    for round in 0.. {
        desk.failures.settle();
        assert!(desk.failures.fail(place(), Reached::default()));
        if !answer(&mut desk, 1, &[7]) {
            assert_eq!(round, ROUNDS);
            break;
        }
        take_and_log(&mut desk);
    }
    assert_eq!(desk.barriers.reached[&1], Some(Spent::Failed(place())));
}

#[test]
fn a_mark_waits_until_a_mirror_is_through_with_a_file() {
    let mut desk = desk(&[1]);
    desk.jobs.busy.insert((1, 7), true);
    miss(&mut desk, &bytes(&content(7, State::Single)), true);
    for _ in 0..2 * ROUNDS {
        assert!(turn(&mut desk, 1));
    }
    assert!(desk.barriers.asked.is_empty() && desk.barriers.parked.contains(&1));
}

#[test]
fn a_mark_goes_round_until_what_was_sent_anew_has_not_failed() {
    let mut desk = desk(&[1]);
    assert!(desk.failures.fail((0, b"a".to_vec()), Reached::default()));
    assert!(answer(&mut desk, 1, &[7, 8]));
    take_and_log(&mut desk);
    // Below it, when it was sent anew.
    assert!(desk.failures.fail((0, b"a/b".to_vec()), Reached::default()));
    assert!(answer(&mut desk, 1, &[8]));
    take_and_log(&mut desk);
    assert!(!desk.answer(1));
    assert!(desk.barriers.reached.contains_key(&1) && desk.barriers.marks.is_empty());
    assert!(!desk.answer(2), "an answer that nobody waits for");
    assert!(!desk.barriers.reached.contains_key(&2));
}

#[test]
fn what_others_do_after_a_marks_first_answer_and_fails_does_not_hold_it_up() {
    let mut desk = desk(&[1]);
    assert!(desk.failures.fail((0, b"a".to_vec()), Reached::default()));
    assert!(answer(&mut desk, 1, &[7]), "it may be from before the barrier");
    take_and_log(&mut desk);
    // 7 has arrived.
    assert!(desk.failures.fail((0, b"other".to_vec()), Reached::default()));
    assert!(!answer(&mut desk, 1, &[9]));
    assert_eq!(desk.barriers.reached[&1], None, "it has kept its promise");
}

#[test]
fn what_was_sent_anew_and_had_moved_by_its_turn_is_waited_for() {
    let mut desk = desk(&[1]);
    assert!(!turn(&mut desk, 1), "7 is sent");
    assert!(desk.failures.fail((0, b"a".to_vec()), Reached::default()));
    assert!(answer(&mut desk, 1, &[7]));
    take_and_log(&mut desk);
    miss(&mut desk, &bytes(&content(7, State::Nothing)), true);
    miss(&mut desk, &bytes(&content(9, State::Nothing)), true);
    assert!(turn(&mut desk, 1));
    assert!(desk.judge(1), "it comes back before an answer");
    desk.owing.pay(&content(7, State::Nothing));
    assert!(!turn(&mut desk, 1), "9 is another's");
    assert!(!desk.answer(1));
    assert_eq!(desk.barriers.reached[&1], None);
}

#[test]
fn what_fails_again_before_a_mark_has_its_answer_is_waited_for() {
    let mut desk = desk(&[1]);
    assert!(!turn(&mut desk, 1));
    assert!(desk.failures.fail((0, b"a".to_vec()), Reached::default()));
    assert!(answer(&mut desk, 1, &[7]));
    take_and_log(&mut desk);
    // It fails, and 8 with it is sent anew, while the mark is on its way back for another reason.
    assert!(desk.failures.fail((0, b"a/b".to_vec()), Reached::default()));
    desk.failures.heals.clear();
    desk.failures.take(desk.barriers.marks.values().map(|mark| mark.taken));
    let ids = [7, 8].map(|ino| Identity { dev: 1, ino, born: 0 });
    desk.failures.found(&(0, b"a/b".to_vec()), &ids);
    assert!(desk.judge(1));
    take_and_log(&mut desk);
    assert!(desk.failures.fail((0, b"c".to_vec()), Reached::default()));
    assert!(answer(&mut desk, 1, &[8]), "8 is the mark's");
}

#[test]
fn what_has_the_place_of_what_failed_is_waited_for() {
    let mut desk = desk(&[1]);
    assert!(desk.failures.fail((0, b"a".to_vec()), Reached::default()));
    assert!(answer(&mut desk, 1, &[7]));
    take_and_log(&mut desk);
    assert!(desk.failures.fail((0, b"a".to_vec()), Reached::default()));
    assert!(answer(&mut desk, 1, &[9]), "neither 7 nor what has replaced it is there");
    take_and_log(&mut desk);
    assert!(!desk.answer(1));
}

#[test]
fn what_was_sent_anew_and_arrived_is_not_waited_for_again() {
    let mut desk = desk(&[1]);
    assert!(desk.failures.fail((0, b"a".to_vec()), Reached::default()));
    assert!(answer(&mut desk, 1, &[7, 8]));
    take_and_log(&mut desk);
    assert!(desk.failures.fail((0, b"a/b".to_vec()), Reached::default()));
    assert!(answer(&mut desk, 1, &[8]), "8 has failed again");
    take_and_log(&mut desk);
    assert!(desk.failures.fail((0, b"a/c".to_vec()), Reached::default()));
    assert!(!answer(&mut desk, 1, &[7]), "7 had arrived with the round before");
}

#[test]
fn a_mark_waits_for_content_that_was_sent_in_vain_to_a_place_that_is_gone() {
    let mut desk = desk(&[1]);
    let (place, id) = ((0, b"a/f".to_vec()), Identity { dev: 1, ino: 7, born: 0 });
    assert_eq!(desk.sent.written_to(&place), None, "nothing was sent there");
    desk.sent.written.push_back((None, (place.clone(), id)));
    assert_eq!(desk.sent.written_to(&place), Some(id));
    desk.failures.rewrite(id, &place);
    assert!(desk.has_debts() && desk.failures.rewrites == [id]);
    assert!(desk.answer(1), "it goes round");
}

#[test]
fn failures_that_no_barrier_asks_for_any_more_are_forgotten() {
    let mut desk = desk(&[1, 2]);
    assert!(desk.failures.fail((0, b"a".to_vec()), Reached::default()));
    take_and_log(&mut desk);
    assert_eq!(
        desk.failures.behind(0).map(|told| told.number).collect::<Vec<_>>(),
        [1],
        "2 was not logged yet"
    );
    desk.barriers.marks.remove(&2);
    take_and_log(&mut desk);
    assert_eq!(desk.failures.behind(0).count(), 0);
}

#[test]
fn a_place_that_fails_ever_again_is_given_up() {
    let mut desk = desk(&[]);
    let place = || (0, b"a".to_vec());
    let mut sent = 0;
    let mut reached = Reached::default();
    while desk.failures.fail(place(), reached) {
        sent += 1;
        desk.failures.heals.clear();
        // Of what was sent before it was sent anew: counts once.
        assert!(desk.failures.fail(place(), reached));
        desk.failures.heals.clear();
        reached.applied += 1;
        reached.asked += 1;
    }
    assert_eq!(sent, HEALS);
}
