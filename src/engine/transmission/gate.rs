//! Where what leaves for a target waits for its limit, for all lines to it together (CNX-06): one after the other, a portion at
//! a time. It shuts at once, in the midst of a frame, and counts what went over the wire.

use super::Traffic;
use super::limit::{Bucket, Limit};
use crate::wire::data::{Gate, Leave};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Fewer bytes than this are no part of a frame.
const LEAST: u64 = 64;
/// How long at most nobody looks whether there is still a reason to wait.
const LOOK: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct Throttle {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    bucket: Bucket,
    /// Nothing leaves.
    shut: bool,
    /// Bytes that may still leave in this session (TRN-21).
    budget: Option<u64>,
    /// All bytes that ever went.
    sent: u64,
    /// Who waits, in the order in which they came.
    waiting: VecDeque<u64>,
    next: u64,
}

impl State {
    fn is_shut(&self) -> bool {
        self.shut || self.budget.is_some_and(|left| left < LEAST)
    }
}

impl Default for Throttle {
    fn default() -> Self {
        let state = State {
            bucket: Bucket::new(Instant::now()),
            shut: false,
            budget: None,
            sent: 0,
            waiting: VecDeque::new(),
            next: 0,
        };
        Throttle { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Throttle {
    /// Counts for what waits, too.
    pub fn limit(&self, limit: Option<Limit>) {
        let mut state = self.lock();
        if state.bucket.limit() != limit {
            state.bucket.set(limit, Instant::now());
            self.changed.notify_all();
        }
    }

    pub fn shut(&self, shut: bool) {
        self.lock().shut = shut;
        self.changed.notify_all();
    }

    /// So many bytes may still leave; None: any number.
    pub fn allow(&self, budget: Option<u64>) {
        self.lock().budget = budget;
        self.changed.notify_all();
    }

    /// What was allowed has left.
    pub fn is_used_up(&self) -> bool {
        self.lock().budget.is_some_and(|left| left < LEAST)
    }

    /// Bytes that went over the wire since the engine began.
    pub fn sent(&self) -> u64 {
        self.lock().sent
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate for Throttle {
    fn take(&self, want: usize, over: &dyn Fn() -> bool) -> Leave {
        let mut state = self.lock();
        let turn = state.next;
        state.next += 1;
        state.waiting.push_back(turn);
        let leave = loop {
            if over() {
                break Leave::Over;
            }
            if state.is_shut() {
                break Leave::Shut;
            }
            let mut wait = LOOK;
            if state.waiting.front() == Some(&turn) {
                let now = Instant::now();
                let want = (want as u64).min(state.budget.unwrap_or(u64::MAX));
                match state.bucket.take(want, now) {
                    Ok(took) => {
                        if let Some(budget) = &mut state.budget {
                            *budget -= took;
                        }
                        break Leave::Go(took as usize);
                    }
                    Err(again) => wait = wait.min(again.saturating_duration_since(now)),
                }
            }
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        };
        // Whoever was behind another has nobody's turn come by leaving.
        let was_first = state.waiting.front() == Some(&turn);
        state.waiting.retain(|other| *other != turn);
        if was_first && !state.waiting.is_empty() {
            self.changed.notify_all();
        }
        leave
    }

    fn went(&self, took: usize, went: usize) {
        let (took, went) = (took as u64, went as u64);
        let mut state = self.lock();
        state.bucket.went(took, went, Instant::now());
        state.sent += went;
        if let Some(budget) = &mut state.budget {
            *budget = budget.saturating_add(took).saturating_sub(went);
        }
        if !state.waiting.is_empty() {
            self.changed.notify_all();
        }
    }

    fn wait_open(&self, time: Duration, over: &dyn Fn() -> bool) {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while state.is_shut() && !over() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn wake(&self) {
        // Under the lock, so that nobody who is about to wait misses it.
        let state = self.lock();
        self.changed.notify_all();
        drop(state);
    }
}

/// The gate as the lines of one connection pass it: what went for it is counted apart.
#[derive(Debug)]
pub struct Counted {
    pub gate: Arc<Throttle>,
    pub traffic: Arc<Traffic>,
}

impl Gate for Counted {
    fn take(&self, want: usize, over: &dyn Fn() -> bool) -> Leave {
        self.gate.take(want, over)
    }

    fn went(&self, took: usize, went: usize) {
        self.traffic.left.fetch_add(went as u64, Relaxed);
        self.gate.went(took, went);
    }

    fn wait_open(&self, time: Duration, over: &dyn Fn() -> bool) {
        self.gate.wait_open(time, over);
    }

    fn wake(&self) {
        self.gate.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::BandwidthSpec;
    use std::sync::mpsc::channel;

    fn never() -> bool {
        false
    }

    fn burst(bytes: u64, seconds: u64) -> Option<Limit> {
        Some(BandwidthSpec::Burst { bytes, seconds }.try_into().unwrap())
    }

    /// One who waits for a byte to leave, which cannot before a day has passed.
    fn waits(gate: &Arc<Throttle>) -> std::thread::JoinHandle<Leave> {
        gate.limit(burst(20_000_000, 86_400));
        gate.went(0, 20_000_000);
        let (gate, (tell, told)) = (Arc::clone(gate), channel());
        let waits = std::thread::spawn(move || {
            tell.send(()).unwrap();
            gate.take(1000, &never)
        });
        told.recv().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waits.is_finished());
        waits
    }

    #[test]
    fn another_limit_and_a_shut_gate_count_at_once_for_who_waits() {
        let gate = Arc::new(Throttle::default());
        let began = Instant::now();
        let waiting = waits(&gate);
        gate.limit(None);
        assert_eq!(waiting.join().unwrap(), Leave::Go(1000));
        let waiting = waits(&gate);
        gate.limit(burst(1_000_000, 1));
        assert!(matches!(waiting.join().unwrap(), Leave::Go(_)));
        let waiting = waits(&gate);
        gate.shut(true);
        assert_eq!(waiting.join().unwrap(), Leave::Shut);
        gate.shut(false);
        // Who has no reason any more is woken.
        gate.limit(burst(20_000_000, 86_400));
        gate.went(0, 20_000_000);
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let waiting = {
            let (gate, over) = (Arc::clone(&gate), Arc::clone(&over));
            std::thread::spawn(move || gate.take(1000, &|| over.load(std::sync::atomic::Ordering::Relaxed)))
        };
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        gate.wake();
        assert_eq!(waiting.join().unwrap(), Leave::Over);
        assert!(began.elapsed() < Duration::from_secs(5), "nobody slept through it");
    }

    /// Who asks at a shut gate, and is refused, is no news for those who wait for it to open.
    #[test]
    fn who_waits_at_a_shut_gate_sleeps() {
        let gate = Arc::new(Throttle::default());
        gate.shut(true);
        let looks = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let began = Instant::now();
        let waiting = {
            let (gate, looks) = (Arc::clone(&gate), Arc::clone(&looks));
            std::thread::spawn(move || {
                gate.wait_open(Duration::from_millis(300), &|| {
                    looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    false
                });
                began.elapsed()
            })
        };
        while began.elapsed() < Duration::from_millis(150) {
            assert_eq!(gate.take(1000, &never), Leave::Shut);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(waiting.join().unwrap() >= Duration::from_millis(300), "it waits on though others ask");
        assert!(looks.load(std::sync::atomic::Ordering::Relaxed) < 10, "and nobody wakes it");
        gate.allow(Some(u64::MAX));
        gate.went(100, 1);
    }

    /// TRN-21: no byte more, and what was let out and did not go is given back.
    #[test]
    fn a_session_s_bytes_are_its_last() {
        let gate = Throttle::default();
        gate.allow(Some(10_000));
        let mut went = 0;
        while let Leave::Go(took) = gate.take(3000, &never) {
            gate.went(took, took - 1);
            went += took - 1;
        }
        assert!((10_000 - 64..=10_000).contains(&went), "{went}");
        assert!(gate.is_used_up() && gate.sent() == went as u64);
        gate.allow(None);
        assert_eq!(gate.take(3000, &never), Leave::Go(3000));
        assert!(!gate.is_used_up());
    }

    /// CNX-06: together they have the limit, and each has its share.
    #[test]
    fn lines_take_turns() {
        let gate = Arc::new(Throttle::default());
        gate.limit(Some(BandwidthSpec::Kbit(8000).try_into().unwrap()));
        let began = Instant::now();
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let gate = Arc::clone(&gate);
                std::thread::spawn(move || {
                    let mut went = 0;
                    while began.elapsed() < Duration::from_millis(1500) {
                        let Leave::Go(took) = gate.take(60_000, &never) else { panic!() };
                        gate.went(took, took);
                        went += took;
                    }
                    went
                })
            })
            .collect();
        let went: Vec<usize> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        let all: usize = went.iter().sum();
        assert!((1_200_000..=2_000_000).contains(&all), "{went:?}");
        assert!(went.iter().all(|one| *one > all / 8), "{went:?}");
    }
}
