//! Holding operations of replication back that failed for a reason that may pass, and trying them again (`TGRetryLocked`,
//! `TGExecutionRetryLimit`). What must not overtake them waits behind them ([`held`](super::held)), all else goes on.

use super::apply::{Applier, Carried, Here, LOOK, REPLICATION};
use super::failure::{Failed, Failure, Trouble};
use super::held::{self, EntrySpot, HeldOp, Key, Spot, Touch, Touches};
use super::queue::{self, Queued};
use crate::sys;
use crate::wire::{Answer, Load, Op, Patch, Reader, WireError};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// Shortest time between two tries while there is nothing else to do.
const SHORTEST: Duration = Duration::from_millis(10);
/// Begun files of which operations may be held back: each may keep a descriptor on the source.
const FILES_MOST: usize = 256;

const WAITS: &str = "wait for a change that cannot be made yet";

impl Applier {
    /// Holds an operation back: behind `blocker`, or because it failed itself. What the operations behind it do themselves is
    /// not kept.
    pub(super) fn hold(
        &mut self,
        op: &Op<'_>,
        mut touches: Touches,
        content: u64,
        blocker: Option<u64>,
        failed: Option<Box<Failed>>,
    ) -> Carried {
        if let Op::Enter { root, path, make } = op {
            let spot = Spot { root: *root, path: path.to_vec(), make: *make };
            let errno = failed.as_ref().map_or(libc::EBUSY, |failed| failed.failure.errno);
            self.here = Here::Out { spot, errno, later: true };
            if !make {
                // The operations that follow enter it themselves.
                return Carried::Out;
            }
            touches.extend(self.missing(*root, path).map(|key| (Touch::Make, key)));
        }
        let mut held = HeldOp::new(op, held::is_here(op).then(|| self.here.spot()), touches, content);
        if let Some(file) = held::file_of(op) {
            if let Some(spot) = self.subject(op) {
                self.held.hold_file(file, spot, self.files.contains_key(&file));
            }
            if let Op::FileWrite { patch: Patch::Local(_), .. } = op {
                held.local = self.end.local.as_ref().and_then(|local| local.get(file));
            }
        }
        held.cried = failed.as_ref().is_some_and(|failed| self.cry(failed));
        held.failed = failed;
        if !self.held.has_heads() {
            self.next_try = Instant::now() + self.pause();
        }
        self.held.push(held, blocker);
        Carried::Later
    }

    /// The directories above this one that are to be made for it.
    fn missing<'a>(&mut self, root: u16, path: &'a [u8]) -> impl Iterator<Item = Key> + use<'a> {
        let top = self.roots.get_mut(usize::from(root)).and_then(|root| root.open(false).ok());
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let above = (!path.is_empty()).then_some(0).into_iter().chain(ends).map(|end| &path[..end]);
        let is_there = move |path: &[u8]| match (&top, sys::c_string(path)) {
            (Some(top), Ok(path)) => top.descend(&path).is_ok(),
            _ => false,
        };
        above.filter(move |path| !is_there(path)).map(move |path| Key::new(root, path, b""))
    }

    fn pause(&self) -> Duration {
        self.policy.retry_delay.max(SHORTEST)
    }

    /// What an operation is about, for a person; None for what is about no entry.
    fn subject(&self, op: &Op<'_>) -> Option<EntrySpot> {
        if let Op::Enter { root, path, .. } = op {
            return Some(EntrySpot { root: *root, path: path.to_vec(), name: Vec::new() });
        }
        let (root, path) = self.here.at();
        let here = |name: &[u8]| EntrySpot { root, path: path.to_vec(), name: name.to_vec() };
        match (held::name_of(op), held::file_of(op)) {
            (Some(name), _) => Some(here(name)),
            (None, Some(file)) => self.file_spot(file),
            (None, None) => Some(here(b"")),
        }
    }

    fn busy(&self, op: &Op<'_>) -> Option<Box<Failed>> {
        let failure = Failure::of_errno(WAITS, libc::EBUSY);
        let EntrySpot { root, path, name } = self.subject(op)?;
        Some(Box::new(Failed { failure, root, path, name }))
    }

    /// A mirror's operation that would overtake what is held back fails; a mirror tries it again at its end.
    pub(super) fn refuse_for_held(&mut self, op: &Op<'_>) {
        if let Op::Enter { root, path, make } = op {
            let spot = Spot { root: *root, path: path.to_vec(), make: *make };
            self.here = Here::Out { spot, errno: libc::EBUSY, later: false };
        }
        if let Some(failed) = self.busy(op) {
            self.give_up(op, &failed);
        }
    }

    /// What is to be done before the next operation while some are held: nothing more is looked at while too many are. `rest`: the
    /// operations of its frame from that one on.
    pub(super) fn before_next(&mut self, rest: &[u8]) -> Result<(), WireError> {
        if self.policy.retry_delay.is_zero() || Instant::now() >= self.next_try {
            self.try_again()?;
        }
        if self.is_full() {
            self.in_hand = queue::count(rest, |_| ())?;
            self.foresee(rest);
            self.wait_for_room()?;
            self.in_hand = 0;
        }
        Ok(())
    }

    /// Is so much held back that nothing more is to be looked at?
    fn is_full(&self) -> bool {
        self.backlog.is_reached(self.held.cost(), self.held.count())
            || self.held.are_many_open()
            || self.held.files.len() >= FILES_MOST
    }

    /// Tries again what is held until there is room. What comes meanwhile is put aside.
    fn wait_for_room(&mut self) -> Result<(), WireError> {
        while self.is_full() && !self.is_cut() {
            self.answer_bytes();
            self.settle_held();
            let left = self.next_try.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.try_again()?;
            } else if !self.put_aside(left.min(LOOK))? {
                // Told again and again, as nothing else says that the source has gone.
                self.gone |= !self.tell_held();
            }
        }
        Ok(())
    }

    /// Reads a frame ahead, if there is room for it and one comes in this time. False: none was read.
    pub(super) fn put_aside(&mut self, wait: Duration) -> Result<bool, WireError> {
        self.backlog.try_again();
        if self.ended || !self.backlog.has_room() {
            std::thread::sleep(wait);
            return Ok(false);
        }
        match self.end.ops.recv_timeout(wait) {
            Ok(frame) => {
                self.count_received(&frame)?;
                self.receive_tasks(&frame)?;
                self.backlog.push(frame).map(|()| true)
            }
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                Ok(false)
            }
        }
    }

    /// Tries again what failed, and what waited for it.
    pub(super) fn try_again(&mut self) -> Result<(), WireError> {
        let who = std::mem::replace(&mut self.who, REPLICATION);
        let tried = self.go_through(self.held.heads());
        self.who = who;
        self.next_try = Instant::now() + self.pause();
        self.answer_bytes();
        self.settle_held();
        tried
    }

    fn go_through(&mut self, mut ready: BTreeSet<u64>) -> Result<(), WireError> {
        while let Some(number) = ready.pop_first() {
            if self.is_cut() {
                return Ok(());
            }
            let Some(mut held) = self.held.take(number) else { continue };
            if let Some(blocker) = self.held.blocker(&held.touches, number) {
                self.held.put_back(number, held, Some(blocker));
                continue;
            }
            let bytes = std::mem::take(&mut held.op);
            let op = Op::decode(&mut Reader::new(&bytes))?;
            if matches!(op, Op::FileBegin { .. }) && self.held.are_many_open() {
                held.failed = held.failed.or_else(|| self.busy(&op));
                held.op = bytes;
                self.held.put_back(number, held, None);
                continue;
            }
            let saved = held.spot.clone().map(|spot| {
                std::mem::replace(&mut self.here, Here::Out { spot, errno: libc::EBUSY, later: true })
            });
            let enters = matches!(op, Op::Enter { .. });
            let saved = saved.or_else(|| {
                let out = Spot { root: 0, path: Vec::new(), make: false };
                enters.then(|| {
                    std::mem::replace(&mut self.here, Here::Out { spot: out, errno: 0, later: true })
                })
            });
            self.local = held.local.clone();
            // What only waited for another is tried for the first time.
            self.policy.counts.retries.fetch_add(u64::from(held.failed.is_some()), Relaxed);
            let result = self.apply(&op);
            self.local = None;
            let is_over = match result {
                Ok(()) => {
                    if let Op::FileBegin { file, .. } = op
                        && let Some(spot) = self.file_spot(file)
                    {
                        self.held.hold_file(file, spot, true);
                    }
                    if let (Some(failed), true) = (&held.failed, held.cried) {
                        self.recovered(failed, held.tries + u32::from(self.held.is_head(number)));
                    }
                    true
                }
                Err(Trouble::Wire(error)) => return Err(error),
                Err(Trouble::Failed(failed)) => {
                    let tried = held.tries + u32::from(self.held.is_head(number));
                    let limit = self.policy.retry_limit;
                    if failed.failure.may_pass() && (limit == 0 || tried < limit) {
                        held.tries = tried;
                        if self.policy.notify_after != 0 && tried >= self.policy.notify_after {
                            self.held.note_stubborn(number);
                        }
                        held.cried |= held.failed.is_none() && self.cry(&failed);
                        held.failed = Some(failed);
                        if held.spot.is_none() && !enters {
                            // Its directory may have been moved.
                            let touches = self.touches(&op);
                            self.held.touch_anew(number, &mut held, touches);
                        }
                        false
                    } else {
                        if failed.failure.may_pass() {
                            self.gave_up(&failed, tried);
                        }
                        self.give_up(&op, &failed);
                        true
                    }
                }
            };
            if let Some(saved) = saved {
                self.here = saved;
            }
            let load = Load::of(&op, bytes.len());
            held.op = bytes;
            if is_over {
                self.bytes[usize::from(REPLICATION)] += held.content;
                self.loads[usize::from(REPLICATION)] += load;
                ready.extend(self.held.done(number, held));
            } else {
                self.held.put_back(number, held, None);
            }
        }
        Ok(())
    }

    /// The source has ended: one more try, then what is still held is answered as failed.
    pub(super) fn last_try(&mut self) -> Result<(), WireError> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.try_again()?;
        self.who = REPLICATION;
        for held in self.held.drain() {
            let op = Op::decode(&mut Reader::new(&held.op))?;
            if let Some(spot) = held.spot {
                self.here = Here::Out { spot, errno: libc::EBUSY, later: false };
            }
            if let Some(failed) = held.failed.or_else(|| self.busy(&op)) {
                self.policy.counts.dropped.fetch_add(1, Relaxed);
                self.gave_up(&failed, held.tries);
                self.answer_failed(&failed);
            }
            self.bytes[usize::from(REPLICATION)] += held.content;
            self.loads[usize::from(REPLICATION)] += Load::of(&op, held.op.len());
        }
        self.answer_bytes();
        self.settle_held();
        Ok(())
    }

    pub(super) fn release_barriers(&mut self) {
        while let Some(barrier) = self.held.reached() {
            self.answer(&Answer::Reached { barrier });
        }
    }

    /// Says what became of what is held.
    pub(super) fn settle_held(&mut self) {
        self.release_barriers();
        self.calm_down();
        if (self.held.count(), self.held.has_stubborn()) != self.told {
            self.tell_held();
        }
        self.tell_queue();
        self.show();
    }

    /// Says how much is queued: at once when there begins or ceases to be something, else not too often.
    fn tell_queue(&mut self) {
        let (last, at) = self.told_queue;
        if self.held.is_empty() && self.backlog.is_empty() && last == Queued::default() {
            return;
        }
        let queued = self.queued();
        if let Some(alert) = self.backlog.alert(&queued) {
            tracing::warn!("Target: {alert}");
        }
        let begins = |now: u64, before: u64| now > 0 && before == 0;
        let at_once = queued == Queued::default()
            || begins(queued.operations, last.operations)
            || begins(queued.disk, last.disk);
        if queued != last && (at_once || at.elapsed() >= LOOK) {
            self.told_queue = (queued, Instant::now());
            let Queued { operations, memory, disk } = queued;
            self.answer(&Answer::Queue { operations, memory, disk });
        }
    }

    pub(super) fn queued(&self) -> Queued {
        let Queued { operations, memory, disk } = self.backlog.usage();
        let held = if self.held.is_empty() { 0 } else { self.held.cost() as u64 };
        Queued {
            operations: operations + self.in_hand + u64::from(self.held.count()),
            memory: memory + held,
            disk,
        }
    }

    /// False: the source has gone.
    fn tell_held(&mut self) -> bool {
        self.told = (self.held.count(), self.held.has_stubborn());
        let (count, retrying) = self.told;
        let nothing = EntrySpot { root: 0, path: Vec::new(), name: Vec::new() };
        let (errno, what, spot) = match self.held.first_failure() {
            Some(Failed { failure, root, path, name }) => {
                let spot = EntrySpot { root: *root, path: path.clone(), name: name.clone() };
                (failure.errno, failure.what, spot)
            }
            None => (0, "", nothing),
        };
        let EntrySpot { root, path, name } = &spot;
        let what = what.as_bytes();
        self.answer(&Answer::Held { count, retrying, errno, root: *root, path, name, what })
    }
}
