//! The lines over which sources on other machines send to this one: how many, whose, and their end.

use super::link::Cut;
use super::lock;
use crate::wire::data::Line;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Most lines of one grant: replication's, and those of jobs beside it.
const OF_ONE: usize = 8;
/// Most lines.
const ALL: usize = 1024;
/// How long a line that is cut may take to end: an operation that is being carried out is brought to its end.
pub(super) const ENDING: Duration = Duration::from_secs(10);

/// The lines that stand. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    open: Mutex<Open>,
    ended: Condvar,
}

#[derive(Default)]
struct Open {
    standing: Vec<Standing>,
    /// Of each grant the process that called last, and its newest call. As many as there are grants.
    newest: HashMap<String, (u32, u64)>,
    /// No line begins any more.
    closed: bool,
}

/// One line.
#[derive(Clone)]
struct Standing {
    grant: String,
    number: u64,
    from: SocketAddr,
    cut: Arc<Cut>,
    /// It is this side that ends it.
    ended: Arc<AtomicBool>,
    line: Arc<OnceLock<Weak<Line>>>,
}

impl Lines {
    /// The line of that number, if it has not come to its end.
    pub(super) fn standing(&self, grant: &str, number: u64) -> Option<Arc<Line>> {
        let open = lock(&self.shared.open);
        let line = open.standing.iter().find(|line| line.grant == grant && line.number == number)?;
        line.line.get()?.upgrade().filter(|line| !line.is_over())
    }

    /// Has the grant a line? One that has failed is kept for its source, and stands in nobody's way.
    pub(super) fn is_standing(&self, grant: &str) -> bool {
        let is_lost = |standing: &Standing| {
            standing.line.get().and_then(Weak::upgrade).is_some_and(|line| line.is_lost())
        };
        let open = lock(&self.shared.open);
        open.standing.iter().any(|standing| standing.grant == grant && !is_lost(standing))
    }

    /// Is this call of a source's process newer than all that came before? One may come late, after a newer one was answered.
    pub(super) fn is_newest(&self, grant: &str, process: u32, call: u64) -> bool {
        let mut open = lock(&self.shared.open);
        match open.newest.get_mut(grant) {
            Some((known, newest)) if *known == process => {
                let is_newest = call > *newest;
                *newest = call.max(*newest);
                is_newest
            }
            _ => {
                open.newest.insert(grant.to_owned(), (process, call));
                true
            }
        }
    }

    /// Where lines of the grant come from.
    pub(super) fn from(&self, grant: &str) -> Vec<SocketAddr> {
        let open = lock(&self.shared.open);
        open.standing.iter().filter(|line| line.grant == grant).map(|line| line.from).collect()
    }

    /// Ends those that `which` names, and waits for it. False: some have not ended in time.
    pub(super) fn end(&self, which: impl Fn(&str, u64) -> bool) -> bool {
        let mut open = lock(&self.shared.open);
        let deadline = Instant::now() + ENDING;
        loop {
            let dead: Vec<&Standing> =
                open.standing.iter().filter(|line| which(&line.grant, line.number)).collect();
            if dead.is_empty() {
                return true;
            }
            for line in dead {
                line.ended.store(true, Relaxed);
                line.cut.cut();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.ended.wait_timeout(open, left);
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes a place for a line. None: there are too many, or the number is taken.
    pub(super) fn begin(&self, grant: &str, number: u64, from: SocketAddr) -> Option<Taken> {
        let mut open = lock(&self.shared.open);
        let of_one = open.standing.iter().filter(|line| line.grant == grant);
        let (count, taken) =
            of_one.fold((0, false), |(count, taken), line| (count + 1, taken || line.number == number));
        if open.closed || taken || count >= OF_ONE || open.standing.len() >= ALL {
            return None;
        }
        let cut = Arc::new(Cut::default());
        let (line, ended) = (Arc::default(), Arc::<AtomicBool>::default());
        open.standing.push(Standing {
            grant: grant.to_owned(),
            number,
            from,
            cut: Arc::clone(&cut),
            ended: Arc::clone(&ended),
            line: Arc::clone(&line),
        });
        Some(Taken { lines: self.clone(), grant: grant.to_owned(), number, cut, ended, line })
    }

    /// Ends all, and waits for it a while.
    pub(super) fn close(&self) {
        lock(&self.shared.open).closed = true;
        if !self.end(|_, _| true) {
            tracing::warn!("Lines of sources did not end in {} s", ENDING.as_secs());
        }
    }
}

/// The place of a line; given back when it is dropped.
pub(super) struct Taken {
    lines: Lines,
    grant: String,
    pub(super) number: u64,
    pub(super) cut: Arc<Cut>,
    ended: Arc<AtomicBool>,
    line: Arc<OnceLock<Weak<Line>>>,
}

impl Taken {
    /// Was it this side that ended it?
    pub(super) fn was_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Said once.
    pub(super) fn is_carried_by(&self, line: &Arc<Line>) {
        let _ = self.line.set(Arc::downgrade(line));
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Taken { lines, grant, number, .. } = self;
        lock(&lines.shared.open).standing.retain(|line| (&line.grant, line.number) != (grant, *number));
        lines.shared.ended.notify_all();
    }
}
