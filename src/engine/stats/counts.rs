//! What the source's part of an engine counts where it happens: of each connection, and over all of them.

use super::received::Received;
use crate::api::statistics::Value;
use crate::wire::{Answer, Load, OWNERS, Reader};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Owners of operations.
const JOB: usize = 0;
const REPLICATION: usize = 1;

/// Pairs of addresses that are counted for; past that one makes room for the next.
const TARGETS_MOST: usize = 1024;

/// Operations and their bytes.
#[derive(Debug, Default)]
pub struct Flow {
    operations: AtomicU64,
    bytes: AtomicU64,
}

impl Flow {
    fn add(&self, load: Load) {
        self.operations.fetch_add(load.operations, Relaxed);
        self.bytes.fetch_add(load.bytes, Relaxed);
    }

    /// Never below nothing: a reader would take that for a number without end.
    fn sub(&self, load: Load) {
        for (count, less) in [(&self.operations, load.operations), (&self.bytes, load.bytes)] {
            let _ = count.fetch_update(Relaxed, Relaxed, |before| Some(before.saturating_sub(less)));
        }
    }

    fn take(&self) -> Load {
        Load { operations: self.operations.swap(0, Relaxed), bytes: self.bytes.swap(0, Relaxed) }
    }

    pub fn read(&self) -> Load {
        Load { operations: self.operations.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }
}

/// All that an engine has counted since it began.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Milliseconds since 1970.
    pub started_ms: i64,
    pub logins: AtomicU64,
    pub failed_logins: AtomicU64,
    /// Records of changes that were put into logs; and what was sent for them.
    pub logged: AtomicU64,
    pub replicated: Flow,
    /// What was sent since a mirror of its connection began.
    pub mirrored: Flow,
    pub unmirrored: AtomicU64,
    pub unreplicated: AtomicU64,
    pub disconnects: AtomicU64,
    pub reconnects: AtomicU64,
    last_file: Mutex<String>,
    targets: Mutex<BTreeMap<(IpAddr, IpAddr), Arc<Received>>>,
}

impl Statistics {
    /// Of an engine that begins now.
    pub fn begun(started_ms: i64) -> Arc<Statistics> {
        Arc::new(Statistics { started_ms, ..Statistics::default() })
    }

    /// Those of a new connection.
    pub fn connection(self: &Arc<Self>) -> Arc<Counts> {
        let mut counts = Counts::default();
        counts.whole = Arc::clone(self);
        Arc::new(counts)
    }

    /// Those of this machine as a target, of a source at `peer` that has reached it at `local`.
    pub fn target(&self, peer: IpAddr, local: IpAddr) -> Arc<Received> {
        let mut targets = super::lock(&self.targets);
        if targets.len() >= TARGETS_MOST && !targets.contains_key(&(peer, local)) {
            // One that no line counts for.
            let Some(ends) = targets.iter().find(|(_, it)| Arc::strong_count(it) == 1).map(|(ends, _)| *ends)
            else {
                return Arc::default();
            };
            targets.remove(&ends);
        }
        Arc::clone(targets.entry((peer, local)).or_default())
    }

    pub fn targets(&self) -> Vec<((IpAddr, IpAddr), Arc<Received>)> {
        super::lock(&self.targets).iter().map(|(ends, received)| (*ends, Arc::clone(received))).collect()
    }

    /// A login by password was let in, or not.
    pub fn login(&self, accepted: bool) {
        let count = if accepted { &self.logins } else { &self.failed_logins };
        count.fetch_add(1, Relaxed);
    }

    /// The file that replication sent last, escaped.
    pub fn last_file(&self) -> Value {
        Value::Text(self.last_file.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// One connection's.
#[derive(Debug, Default)]
pub struct Counts {
    whole: Arc<Statistics>,
    /// By owner: what was sent, what of it the target has dealt with, and what it never will have, as its stream is over.
    pub sent: [Flow; OWNERS],
    pub acknowledged: [Flow; OWNERS],
    lost: [Flow; OWNERS],
    /// Its share of what was sent since a mirror began; and whether one runs: a verification sends as a job as well.
    mirrored: Flow,
    mirrors: AtomicBool,
    /// What was lost and is sent again from the next stream on; and what was.
    due_again: AtomicU64,
    pub resent: AtomicU64,
    /// An auto-disconnect has not been made good yet.
    disconnected: AtomicBool,
    /// Nobody asked for the job that began last.
    by_itself: AtomicBool,
    /// When it was last seen that source and target are equal. Milliseconds since 1970; 0: never.
    equal_ms: AtomicI64,
    /// Milliseconds since 1970; 0: never.
    pub mirror_began_ms: AtomicI64,
    pub mirror_ended_ms: AtomicI64,
}

impl Counts {
    /// A stream to the target begins: what was lost with the last one is sent again.
    pub fn stream(self: &Arc<Self>) -> Arc<Stream> {
        self.resent.fetch_add(self.due_again.swap(0, Relaxed), Relaxed);
        Arc::new(Stream {
            counts: Arc::clone(self),
            sent: Default::default(),
            acknowledged: Default::default(),
            lost: Mutex::default(),
        })
    }

    /// Sent and not dealt with, by owner.
    pub fn under_way(&self, owner: usize) -> Load {
        let [sent, acknowledged, lost] =
            [&self.sent, &self.acknowledged, &self.lost].map(|flows| flows[owner].read());
        sent.less(acknowledged).less(lost)
    }

    /// Of a mirror or verification, sent and not dealt with.
    pub fn mirror_under_way(&self) -> Load {
        self.under_way(JOB)
    }

    /// Of both owners.
    pub fn all(flows: &[Flow; OWNERS]) -> Load {
        let mut all = Load::default();
        flows.iter().for_each(|flow| all += flow.read());
        all
    }

    /// A change was put into the log.
    pub fn logs(&self) {
        self.whole.logged.fetch_add(1, Relaxed);
    }

    /// What a change was about could not be read.
    pub fn cannot_replicate(&self) {
        self.whole.unreplicated.fetch_add(1, Relaxed);
    }

    /// So many files of a mirror could not be read.
    pub fn could_not_mirror(&self, files: u64) {
        self.whole.unmirrored.fetch_add(files, Relaxed);
    }

    /// Replication has sent this file.
    pub fn touches(&self, path: &str) {
        let mut last = self.whole.last_file.lock().unwrap_or_else(PoisonError::into_inner);
        path.clone_into(&mut last);
    }

    /// A mirror begins: its operations are counted from nothing again.
    pub fn mirror_begins(&self, now_ms: i64) {
        self.whole.mirrored.sub(self.mirrored.take());
        self.mirrors.store(true, Relaxed);
        self.mirror_began_ms.store(now_ms, Relaxed);
        self.mirror_ended_ms.store(0, Relaxed);
    }

    pub fn mirror_ends(&self, now_ms: i64) {
        self.mirrors.store(false, Relaxed);
        self.mirror_ended_ms.store(now_ms, Relaxed);
    }

    /// Source and target are equal at this moment.
    pub fn is_equal(&self, now_ms: i64) {
        self.equal_ms.store(now_ms, Relaxed);
    }

    /// When they were seen to be, last.
    pub fn equal_ms(&self) -> Option<i64> {
        Some(self.equal_ms.load(Relaxed)).filter(|at| *at > 0)
    }

    /// Auto-disconnect.
    pub fn disconnects(&self) {
        self.whole.disconnects.fetch_add(1, Relaxed);
        self.disconnected.store(true, Relaxed);
    }

    /// A job begins; `by_itself`: nobody asked for it.
    pub fn job_begins(&self, by_itself: bool) {
        self.by_itself.store(by_itself, Relaxed);
    }

    /// The job has reached the target: the connection is there again.
    pub fn is_back(&self) {
        if self.disconnected.swap(false, Relaxed) && self.by_itself.load(Relaxed) {
            self.reconnects();
        }
    }

    /// Auto-reconnect.
    pub fn reconnects(&self) {
        self.whole.reconnects.fetch_add(1, Relaxed);
    }
}

impl Drop for Counts {
    /// A connection that is gone has mirrored nothing.
    fn drop(&mut self) {
        self.whole.mirrored.sub(self.mirrored.take());
    }
}

/// What goes over one stream. When it ends or is dropped, what was not dealt with is lost.
#[derive(Debug, Default)]
pub struct Stream {
    counts: Arc<Counts>,
    sent: [Flow; OWNERS],
    acknowledged: [Flow; OWNERS],
    /// What is known to be lost already.
    lost: Mutex<[Load; OWNERS]>,
}

impl Stream {
    /// A frame leaves.
    pub fn sends(&self, loads: [Load; OWNERS]) {
        let Counts { whole, sent, mirrored, mirrors, .. } = &*self.counts;
        for (owner, load) in loads.into_iter().enumerate() {
            sent[owner].add(load);
            self.sent[owner].add(load);
        }
        if mirrors.load(Relaxed) {
            // The whole first: a mirror that begins takes its share out of it.
            whole.mirrored.add(loads[JOB]);
            mirrored.add(loads[JOB]);
        }
        whole.replicated.add(loads[REPLICATION]);
    }

    /// There was no room for it: it has not left.
    pub fn takes_back(&self, loads: [Load; OWNERS]) {
        let Counts { whole, sent, mirrored, mirrors, .. } = &*self.counts;
        for (owner, load) in loads.into_iter().enumerate() {
            sent[owner].sub(load);
            self.sent[owner].sub(load);
        }
        if mirrors.load(Relaxed) {
            mirrored.sub(loads[JOB]);
            whole.mirrored.sub(loads[JOB]);
        }
        whole.replicated.sub(loads[REPLICATION]);
    }

    #[cfg(test)]
    pub fn sent(&self) -> [Load; OWNERS] {
        std::array::from_fn(|owner| self.sent[owner].read())
    }

    /// The target has answered.
    pub fn is_told(&self, answer: &[u8]) {
        if let Ok(Answer::Applied { who, load, .. }) = Answer::decode(&mut Reader::new(answer)) {
            let owner = usize::from(who);
            // More than was sent is nothing that a target has dealt with.
            let (sent, before) = (self.sent[owner].read(), self.acknowledged[owner].read());
            let under_way = sent.less(before);
            let load = Load {
                operations: load.operations.min(under_way.operations),
                bytes: load.bytes.min(under_way.bytes),
            };
            self.acknowledged[owner].add(load);
            self.counts.acknowledged[owner].add(load);
        }
    }

    /// The target answers no more. Called again, it loses what was sent into the void since.
    pub fn ends(&self) {
        let mut known = super::lock(&self.lost);
        for (owner, known) in known.iter_mut().enumerate() {
            let left = self.sent[owner].read().less(self.acknowledged[owner].read());
            let more = left.less(*known);
            *known += more;
            self.counts.lost[owner].add(more);
            self.counts.due_again.fetch_add(more.operations, Relaxed);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ends();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Load = Load { operations: 10, bytes: 1000 };
    const FOUR: Load = Load { operations: 4, bytes: 300 };

    fn told(stream: &Stream, who: u8, load: Load) {
        let mut answer = Vec::new();
        Answer::Applied { who, bytes: 0, load }.encode(&mut answer);
        stream.is_told(&answer);
    }

    #[test]
    fn what_is_not_acknowledged_when_its_stream_ends_is_sent_again() {
        let whole = Statistics::begun(7);
        let counts = whole.connection();
        let stream = counts.stream();
        stream.sends([TEN, FOUR]);
        told(&stream, 0, FOUR);
        assert_eq!(counts.mirror_under_way(), Load { operations: 6, bytes: 700 });
        assert_eq!(counts.under_way(REPLICATION), FOUR);
        drop(stream);
        assert_eq!(counts.mirror_under_way(), Load::default(), "it is not on its way any more");
        assert_eq!(counts.resent.load(Relaxed), 0, "nobody has sent it again yet");
        let stream = counts.stream();
        assert_eq!(counts.resent.load(Relaxed), 10);
        told(&stream, 0, TEN);
        assert_eq!(Counts::all(&counts.acknowledged), FOUR, "a target cannot deal with more than was sent");
    }

    /// The next one begins while the last is still held by somebody.
    #[test]
    fn a_stream_that_has_ended_loses_what_it_had_once() {
        let counts = Statistics::begun(0).connection();
        let stream = counts.stream();
        stream.sends([TEN, Load::default()]);
        stream.ends();
        assert_eq!(counts.under_way(JOB), Load::default());
        let _next = counts.stream();
        assert_eq!(counts.resent.load(Relaxed), 10);
        stream.sends([FOUR, Load::default()]);
        drop(stream);
        assert_eq!(counts.under_way(JOB), Load::default());
        let _third = counts.stream();
        assert_eq!(counts.resent.load(Relaxed), 14);
    }

    #[test]
    fn sources_that_come_from_ever_other_addresses_make_room_for_each_other() {
        let whole = Statistics::begun(0);
        let here = IpAddr::from([127, 0, 0, 1]);
        let of = |n: u32| whole.target(std::net::Ipv4Addr::from(n).into(), here);
        let held = of(0);
        (1..2000).for_each(|n| drop(of(n)));
        assert_eq!(whole.targets().len(), TARGETS_MOST);
        assert!(Arc::ptr_eq(&held, &of(0)), "a line counts for it");
    }

    /// statistics.tsv: MirOpsGenerated is set to zero by a remirror.
    #[test]
    fn a_remirror_counts_from_nothing_and_leaves_others_alone() {
        let whole = Statistics::begun(0);
        let (one, other) = (whole.connection(), whole.connection());
        one.mirror_begins(1);
        other.mirror_begins(1);
        one.stream().sends([TEN, FOUR]);
        other.stream().sends([FOUR, Load::default()]);
        assert_eq!(whole.mirrored.read(), Load { operations: 14, bytes: 1300 });
        one.mirror_begins(5);
        assert_eq!(whole.mirrored.read(), FOUR);
        assert_eq!(whole.replicated.read(), FOUR);
        assert_eq!(one.sent[JOB].read(), TEN, "what was sent stays so");
        assert_eq!(one.mirror_began_ms.load(Relaxed), 5);
        one.stream().sends([FOUR, Load::default()]);
        one.mirror_ends(6);
        one.stream().sends([TEN, Load::default()]);
        assert_eq!(whole.mirrored.read(), Load { operations: 8, bytes: 600 }, "no verification is a mirror");
        drop(one);
        assert_eq!(whole.mirrored.read(), FOUR, "its share goes with the connection");
    }

    #[test]
    fn only_what_comes_back_by_itself_is_an_auto_reconnect() {
        let whole = Statistics::begun(0);
        let counts = whole.connection();
        counts.job_begins(true);
        counts.is_back();
        assert_eq!(whole.reconnects.load(Relaxed), 0, "it was never away");
        for by_itself in [false, true] {
            counts.disconnects();
            counts.job_begins(by_itself);
            assert_eq!(whole.reconnects.load(Relaxed), 0, "it has not reached the target yet");
            counts.is_back();
        }
        assert_eq!((whole.disconnects.load(Relaxed), whole.reconnects.load(Relaxed)), (2, 1));
    }
}
