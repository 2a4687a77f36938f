//! What was sent and is not applied yet: questions that follow it, names that leave, content on its way; and the names that may
//! still stand on the target as nobody told it that they are gone.

use super::super::common::Common;
use super::super::ledger::Entry;
use super::super::model::Identity;
use super::super::moves::Place;
use super::super::record::At;
use super::MOST;
use crate::engine::source::emit::{Emit, REPLICATIONS, TargetGone};
use crate::engine::source::folder::{join, split};
use crate::wire::Op;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

/// A name of the target: root, directory, name.
pub(in super::super) type Lost = (u16, Vec<u8>, Vec<u8>);

/// A question whose answer says that all before it is applied.
const ASK: u64 = 1 << 62;

/// Things in the order in which they were sent, each with the question that follows it; None: it was not asked yet.
type Following<T> = VecDeque<(Option<u64>, T)>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Sent bytes and records at each question.
    asks: VecDeque<(u64, u64, Option<u64>)>,
    /// Names that are gone or moved.
    leaving: Following<Lost>,
    /// Files whose content goes to a place.
    pub(super) written: Following<(Place, Identity)>,
    /// The last record that is applied with all before it, and the one that was when the present job began.
    pub(super) upto: u64,
    pub(super) began: u64,
    /// The last question that was answered.
    pub(super) applied: u64,
}

impl Sent {
    /// A question is sent. `upto`: all that the records up to this position bring is before it.
    fn ask(&mut self, number: u64, bytes: u64, upto: Option<u64>) {
        self.asks.push_back((number, bytes, upto));
        if upto.is_some() {
            number_fresh(&mut self.leaving, number);
            number_fresh(&mut self.written, number);
        }
    }

    /// A question is answered. The bytes that are applied, if that is known.
    fn answer(&mut self, number: u64) -> Option<u64> {
        self.applied = number;
        let mut bytes = None;
        while let Some((asked, sent, upto)) = self.asks.front().copied()
            && asked <= number
        {
            bytes = Some(sent);
            self.upto = self.upto.max(upto.unwrap_or(0));
            self.asks.pop_front();
        }
        drop_answered(&mut self.leaving, number);
        drop_answered(&mut self.written, number);
        bytes
    }

    pub(super) fn forget_questions(&mut self) {
        self.asks.clear();
    }

    /// The file whose content went to a place last, and is not applied yet.
    pub(super) fn written_to(&self, place: &Place) -> Option<Identity> {
        self.written.iter().rev().find(|(_, (written, _))| written == place).map(|(_, (_, id))| *id)
    }

    /// The log is dropped. The names that were leaving. What was asked is answered still, while the stream lasts.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Lost> {
        self.written.clear();
        std::mem::take(&mut self.leaving).into_iter().map(|(_, lost)| lost)
    }
}

fn number_fresh<T>(list: &mut Following<T>, number: u64) {
    let fresh = list.iter_mut().rev().take_while(|(asked, _)| asked.is_none());
    fresh.for_each(|(asked, _)| *asked = Some(number));
}

fn drop_answered<T>(list: &mut Following<T>, number: u64) {
    while list.front().is_some_and(|(asked, _)| asked.is_some_and(|asked| asked <= number)) {
        list.pop_front();
    }
}

/// Names that may stand on the target though they are gone, as their operation was dropped.
#[derive(Debug, Default)]
pub(super) struct LostNames {
    names: Vec<Lost>,
    /// Which others there are is not known.
    all: bool,
}

impl LostNames {
    pub(super) fn lose(&mut self, names: impl IntoIterator<Item = Lost>) {
        self.names.extend(names);
        if self.names.len() > MOST {
            self.names = Vec::new();
            self.all = true;
        }
    }

    pub(super) fn lose_places(&mut self, places: impl IntoIterator<Item = Place>) {
        self.lose(places.into_iter().map(|(root, path)| {
            let (directory, name) = split(&path);
            (root, directory.to_vec(), name.to_vec())
        }));
    }
}

impl Common {
    /// Names left the target's copy with nobody telling the target.
    pub(in super::super) fn lose(&self, names: impl IntoIterator<Item = Lost>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            self.desk().lost.lose(names);
        }
    }

    /// The same of those that were kept; all of them are remembered.
    pub(in super::super) fn lost_before(&self, names: Vec<Lost>) {
        self.desk().lost.names.extend(names);
    }

    /// Records were damaged: which names they were about is not known.
    pub(in super::super) fn lose_all(&self) {
        self.ledger.note(&Entry::Unseen);
        self.desk().lost.all = true;
    }

    /// The names that may stand on the target though they are gone; true: there may be others.
    pub(in super::super) fn take_lost(&self) -> (Vec<Lost>, bool) {
        let LostNames { names, all } = std::mem::take(&mut self.desk().lost);
        (names, all)
    }

    /// The content of a file is sent to a place.
    pub(in super::super) fn writes(&self, at: &At<'_>, id: Identity) {
        self.desk().sent.written.push_back((None, ((at.root, join(at.path, at.name)), id)));
    }

    /// A name is leaving the target: the operation is sent, and not yet applied.
    pub(in super::super) fn leaves(&self, lost: Lost) {
        self.desk().sent.leaving.push_back((None, lost));
    }

    /// Appends a question for when all before it is applied; `sent`: all that the records up to this position bring is before it.
    pub(in super::super) fn ask_applied(&self, emit: &mut Emit, sent: Option<u64>) -> Result<(), TargetGone> {
        let number = self.asked.fetch_add(1, Relaxed) + 1;
        if let Some(position) = sent {
            self.dirty().asks(number, position);
        }
        let bytes = self.shared.bytes_transmitted.load(Relaxed);
        self.desk().sent.ask(number, bytes, sent);
        emit.ask(&Op::Barrier { barrier: number | ASK | REPLICATIONS })
    }

    /// The target has applied everything before a barrier or question. `idle`: no large file is under way.
    pub(in super::super) fn reached(&self, number: u64, idle: bool) {
        if number & ASK == 0 {
            return self.mark_reached(number);
        }
        let number = number & !ASK;
        let settled = self.dirty().applied(number, self.looked.load(Relaxed));
        // The records of a large file count as sent when it has begun.
        if let Some(settled) = settled.filter(|_| idle) {
            self.settle(settled);
        }
        let mut desk = self.desk();
        if let Some(bytes) = desk.sent.answer(number) {
            self.shared.bytes_applied.store(bytes, Relaxed);
        }
        let all = desk.sent.asks.is_empty();
        if all {
            desk.failures.settle();
        }
        drop(desk);
        self.told.notify_all();
        self.is_applied(all && idle);
    }

    /// Is all that was sent applied, as far as the target has told? What was taken up and not sent yet is not waited for.
    pub(in super::super) fn is_all_answered(&self) -> bool {
        if !self.is_line_alive() {
            return true;
        }
        // In the order in which an operation passes them, so that none is missed.
        if self.bulk().is_some_and(|bulk| !bulk.is_asked()) {
            return false;
        }
        let desk = self.desk();
        desk.sent.asks.is_empty() && !desk.tasks.is_at_one()
    }

    /// Is all that was logged sent and applied, large files to their end?
    pub(in super::super) fn is_all_applied(&self) -> bool {
        self.queue.is_idle() && self.bulk_alive().is_none_or(|bulk| bulk.len() == 0) && self.is_all_answered()
    }
}
