//! What carries a line at the moment, and how it comes to rest: the source says that the line rests, the target answers, and the socket
//! is closed with nothing on its way; later the source dials anew, and both go on where they were ([`super::again`]).

use super::{Channel, Line, Out, REST, Side, head, lock, seal};
use rustls::Connection;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A socket and its TLS.
pub(super) struct Way {
    pub(super) tls: Mutex<Connection>,
    pub(super) socket: TcpStream,
    /// It carries the line after another: what the other end has not heard over that is said again, from this place on.
    pub(super) again: Option<u64>,
    /// It has failed, and not as the other end has closed it.
    pub(super) failed: AtomicBool,
}

/// Over what is written and heard. One that rests has neither; between, the source still hears until the target has said that
/// nothing more comes. One that goes on is not written to, except what is said again, until that has been.
#[derive(Default)]
pub(super) struct Ways {
    pub(super) writes: Option<Arc<Way>>,
    pub(super) hears: Option<Arc<Way>>,
    /// The source has said, or is about to say, that the line rests.
    pub(super) asked: bool,
}

impl Ways {
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Way>> {
        self.writes.iter().chain(&self.hears)
    }
}

/// A writer's turn: over what it writes, and what is on its way.
type Turn<'a> = (Arc<Way>, parking_lot::MutexGuard<'a, Out>);

impl Line {
    /// The source's: brings the line to rest; returns once the socket is closed. The error: it could not be brought to rest in that
    /// time, or the line is gone. Who hears has to go on hearing meanwhile.
    pub fn rest(&self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        let (way, mut out) = loop {
            // Who writes brings its message to an end.
            let Some(out) = self.out.try_lock_for(deadline.saturating_duration_since(Instant::now())) else {
                return Err(ErrorKind::TimedOut.into());
            };
            let ways = lock(&self.ways);
            match (&ways.writes, &ways.hears) {
                (Some(way), _) => break (Arc::clone(way), out),
                (None, None) => return self.refuse_over(),
                // It goes on after a failure.
                (None, Some(_)) => {
                    drop(out);
                    self.refuse_over()?;
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    drop(self.moved.wait_timeout(ways, left).unwrap_or_else(PoisonError::into_inner));
                }
            }
        };
        // The answer may come at once.
        lock(&self.ways).asked = true;
        self.says_alone(&way, &mut out, REST)?;
        lock(&self.ways).writes = None;
        drop(out);
        self.has_moved();
        if !self.let_go(deadline.saturating_duration_since(Instant::now()))? {
            return Err(ErrorKind::TimedOut.into());
        }
        self.refuse_over()
    }

    /// True while nothing carries it.
    pub fn is_at_rest(&self) -> bool {
        lock(&self.ways).all().next().is_none()
    }

    /// True while something may be written.
    pub(super) fn is_carried(&self) -> bool {
        lock(&self.ways).writes.is_some()
    }

    /// Waits until something may be written, for so long at most; the error: it is over.
    pub fn wait_carried(&self, time: Duration) -> io::Result<()> {
        let ways = lock(&self.ways);
        let rests = |ways: &mut Ways| ways.writes.is_none() && !self.is_over();
        drop(self.moved.wait_timeout_while(ways, time, rests).unwrap_or_else(PoisonError::into_inner));
        self.refuse_over()
    }

    /// Nothing will come of it any more.
    pub fn is_over(&self) -> bool {
        self.refuse_over().is_err()
    }

    /// The other end has said that the line rests. False: it was not its turn to say so.
    pub(super) fn rests(&self, way: &Arc<Way>) -> io::Result<bool> {
        match self.side {
            Side::Target => {
                let mut out = self.out.lock();
                self.says_alone(way, &mut out, REST)?;
                let mut ways = lock(&self.ways);
                *ways = Ways::default();
                self.moved.notify_all();
            }
            Side::Source => {
                let mut ways = lock(&self.ways);
                if !ways.asked {
                    return Ok(false);
                }
                ways.hears = None;
                self.moved.notify_all();
            }
        }
        // The other end has said its last word on it.
        let _ = way.socket.shutdown(Shutdown::Write);
        Ok(true)
    }

    /// Says something of what carries the line, not of the line: it is not said again over another.
    pub(super) fn says_alone(&self, way: &Way, out: &mut Out, kind: u8) -> io::Result<()> {
        match seal(way, &mut out.sealed, [&head(kind, Channel::Ops, 0)?, &[]]) {
            Ok(went) => {
                self.went(0, went);
                Ok(())
            }
            Err(error) if self.is_mending() => {
                self.fails(way, &error);
                Ok(())
            }
            Err(error) => {
                self.break_off();
                Err(error)
            }
        }
    }

    /// What is heard over, once there is something. The error: it is over, or there is none until then.
    pub(super) fn hears(&self, until: Option<Instant>) -> io::Result<Arc<Way>> {
        let mut ways = lock(&self.ways);
        loop {
            self.refuse_over()?;
            if let Some(way) = &ways.hears {
                return Ok(Arc::clone(way));
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            ways = match left {
                None => self.moved.wait(ways).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Err(ErrorKind::TimedOut.into()),
                Some(left) => self.moved.wait_timeout(ways, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// A turn to write, once the line does not rest.
    pub(super) fn turn(&self) -> io::Result<Turn<'_>> {
        loop {
            if let Some(turn) = self.try_turn() {
                return Ok(turn);
            }
            let mut ways = lock(&self.ways);
            while ways.writes.is_none() {
                self.refuse_over()?;
                ways = self.moved.wait(ways).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// A turn to write; None: it rests.
    pub(super) fn try_turn(&self) -> Option<Turn<'_>> {
        let out = self.out.lock();
        // Looked at under the writers' lock: who brings the line to rest takes it, too.
        let way = lock(&self.ways).writes.clone()?;
        Some((way, out))
    }
}
