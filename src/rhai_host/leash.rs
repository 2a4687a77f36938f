//! What ends a call from outside: its time, and the wish of whoever runs it.
//!
//! Looked at every few steps of the script, and by functions that wait. Once it was pulled it stays so until the next
//! call: what Rhai does on the way out comes no further.

use super::Limits;
use rhai::{Dynamic, Engine, EvalAltResult, FLOAT, INT, Position};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a wait goes on without looking.
const LOOK: Duration = Duration::from_millis(10);

/// Why a call was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulled {
    Time,
    Memory,
    Stopped,
}

/// How often the memory of the process is looked at: that costs some 20 µs.
const MEMORY: Duration = Duration::from_millis(2);

/// A call that lasts longer than this is said to take time.
const LONG: Duration = Duration::from_millis(50);

/// Whoever runs an engine.
pub trait Owner {
    /// True once what runs is to end.
    fn wants_stop(&self) -> bool;

    /// The call under way takes time: what was printed before is to be seen. Said once in a call.
    fn takes_time(&self) {}
}

impl<F: Fn() -> bool> Owner for F {
    fn wants_stop(&self) -> bool {
        self()
    }
}

/// Shared by an engine and the functions that it may call.
pub struct Leash {
    owner: Box<dyn Owner>,
    time: Duration,
    /// By how much the process may grow, in KiB.
    memory: u64,
    /// When memory is looked at next.
    look: Cell<Option<Instant>>,
    /// What the process had at the first look of a call.
    before: Cell<Option<u64>>,
    /// When the call is said to take time; None once it was.
    long: Cell<Option<Instant>>,
    deadline: Cell<Option<Instant>>,
    pulled: Cell<Option<Pulled>>,
    /// Where the script was last.
    place: Cell<Position>,
}

impl Leash {
    pub(super) fn new(limits: &Limits, owner: Box<dyn Owner>) -> Leash {
        Leash {
            owner,
            time: limits.time,
            memory: limits.memory.saturating_mul(1024),
            look: Cell::new(None),
            before: Cell::new(None),
            long: Cell::new(None),
            deadline: Cell::new(None),
            pulled: Cell::new(None),
            place: Cell::new(Position::NONE),
        }
    }

    /// A call begins.
    pub(super) fn begin(&self) {
        let now = Instant::now();
        self.deadline.set(now.checked_add(self.time));
        self.long.set(Some(now + LONG));
        self.look.set(Some(now + MEMORY));
        self.before.set(None);
        self.pulled.set(None);
        self.place.set(Position::NONE);
    }

    /// The call is over: what is looked at now belongs to none.
    pub(super) fn end(&self) {
        self.deadline.set(None);
    }

    pub(super) fn pulled(&self) -> Option<Pulled> {
        self.pulled.get()
    }

    pub(super) fn place(&self) -> Position {
        self.place.get()
    }

    pub(super) fn note(&self, place: Position) {
        if !place.is_none() {
            self.place.set(place);
        }
    }

    /// When the call under way ends at the latest; None outside a call.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// An error that Rhai cannot catch, if the call is to end now.
    pub fn check(&self) -> Result<(), Box<EvalAltResult>> {
        let now = Instant::now();
        if self.long.get().is_some_and(|long| now >= long) {
            self.will_take_time();
        }
        let pulled = match self.pulled.get() {
            Some(pulled) => Some(pulled),
            None if self.deadline.get().is_some_and(|deadline| now >= deadline) => Some(Pulled::Time),
            None if self.is_too_large(now) => Some(Pulled::Memory),
            None if self.owner.wants_stop() => Some(Pulled::Stopped),
            None => None,
        };
        self.pulled.set(pulled);
        match pulled {
            None => Ok(()),
            Some(_) => Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, self.place.get()))),
        }
    }

    /// Whether the process grew by more than it may. Short calls are never looked at.
    fn is_too_large(&self, now: Instant) -> bool {
        if self.deadline.get().is_none() || self.look.get().is_some_and(|look| now < look) {
            return false;
        }
        let Some(kept) = resident() else { return false };
        // As looking takes time itself, from its end.
        self.look.set(Some(Instant::now() + MEMORY));
        match self.before.get() {
            Some(before) => kept.saturating_sub(before) > self.memory,
            None => {
                self.before.set(Some(kept));
                false
            }
        }
    }

    fn will_take_time(&self) {
        if self.long.take().is_some() {
            self.owner.takes_time();
        }
    }

    /// Waits.
    pub fn sleep(&self, time: Duration) -> Result<(), Box<EvalAltResult>> {
        let start = Instant::now();
        if time >= LOOK {
            self.will_take_time();
        }
        loop {
            self.check()?;
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

/// KiB of memory that this process has.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim_end().parse().ok()
}

/// `sleep(seconds)`, in the place of Rhai's own, which nothing could end.
pub(super) fn register(engine: &mut Engine, leash: &Rc<Leash>) {
    let whole = Rc::clone(leash);
    engine.register_fn("sleep", move |seconds: INT| {
        whole.sleep(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    });
    let part = Rc::clone(leash);
    engine.register_fn("sleep", move |seconds: FLOAT| {
        let time = Duration::try_from_secs_f64(seconds.max(0.0));
        part.sleep(time.unwrap_or(Duration::MAX))
    });
}
