//! What carries a line at the moment, and how it changes: the source says that the line rests, the target answers, and the socket
//! is closed with nothing on its way; later the source dials anew, and both go on where they were.

use super::{AGAIN, CHANNELS, Channel, Line, REST, Side, lock};
use rustls::Connection;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A socket and its TLS.
pub(super) struct Way {
    pub(super) tls: Mutex<Connection>,
    pub(super) socket: TcpStream,
}

/// Over what is written and heard. One that rests has neither; between, the source still hears until the target has said that
/// nothing more comes.
#[derive(Default)]
pub(super) struct Ways {
    writes: Option<Arc<Way>>,
    hears: Option<Arc<Way>>,
    /// The source has said, or is about to say, that the line rests.
    asked: bool,
}

impl Ways {
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Way>> {
        self.writes.iter().chain(&self.hears)
    }
}

/// A writer's turn: over what it writes, and the buffer.
type Turn<'a> = (Arc<Way>, parking_lot::MutexGuard<'a, Vec<u8>>);

impl Line {
    /// Goes on over another socket, whose handshake is over. What was under way when it came to rest may still be on its way to
    /// here, for which `patience` is waited: AlreadyExists, if it does not rest by then.
    pub fn go_on(&self, mut tls: Connection, socket: TcpStream, patience: Duration) -> io::Result<()> {
        socket.set_nonblocking(false)?;
        // What is sealed goes out at once; the windows are the limit.
        tls.set_buffer_limit(None);
        let way = Arc::new(Way { tls: Mutex::new(tls), socket });
        let deadline = Instant::now() + patience;
        let mut ways = lock(&self.ways);
        while ways.all().next().is_some() {
            self.refuse_over()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            ways = self.moved.wait_timeout(ways, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(ways);
        let mut sealed = self.sealed.lock();
        let again = self.carried.swap(true, Relaxed);
        if again && self.side == Side::Source {
            self.put(&way, &mut sealed, AGAIN, Channel::Ops, &[])?;
            self.tell_all(&way, &mut sealed);
        }
        let mut ways = lock(&self.ways);
        self.refuse_over()?;
        if ways.all().next().is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        // Until the source has spoken it may not have taken over what carries the line.
        let writes = (!again || self.side == Side::Source).then(|| Arc::clone(&way));
        *ways = Ways { writes, hears: Some(way), asked: false };
        self.moved.notify_all();
        Ok(())
    }

    /// The source has spoken over another socket. False: it was not its turn to.
    pub(super) fn spoken(&self, way: &Arc<Way>) -> bool {
        let mut sealed = self.sealed.lock();
        if self.side == Side::Source || lock(&self.ways).writes.is_some() {
            return false;
        }
        self.tell_all(way, &mut sealed);
        lock(&self.ways).writes = Some(Arc::clone(way));
        self.moved.notify_all();
        true
    }

    /// First of all, while the socket is empty: who sends may fill it before the other end hears anything.
    fn tell_all(&self, way: &Way, sealed: &mut Vec<u8>) {
        CHANNELS.into_iter().for_each(|channel| self.tell_over(way, sealed, channel));
    }

    /// The source's: brings the line to rest; returns once the socket is closed. The error: it could not be brought to rest in that
    /// time, or the line is gone. Who hears has to go on hearing meanwhile.
    pub fn rest(&self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        // Who writes brings its message to an end.
        let Some(mut sealed) = self.sealed.try_lock_for(patience) else {
            return Err(ErrorKind::TimedOut.into());
        };
        let Some(way) = lock(&self.ways).writes.clone() else { return self.refuse_over() };
        // The answer may come at once.
        lock(&self.ways).asked = true;
        self.put(&way, &mut sealed, REST, Channel::Ops, &[])?;
        lock(&self.ways).writes = None;
        drop(sealed);
        // Who waits for room only while the line does not rest; under the lock, so that nobody misses it.
        let windows = lock(&self.windows);
        self.changed.notify_all();
        drop(windows);
        self.wake_gate();
        let mut ways = lock(&self.ways);
        while ways.hears.is_some() {
            self.refuse_over()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            ways = self.moved.wait_timeout(ways, left).unwrap_or_else(PoisonError::into_inner).0;
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
                let mut sealed = self.sealed.lock();
                self.put(way, &mut sealed, REST, Channel::Ops, &[])?;
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

    /// What is heard over, once there is something.
    pub(super) fn hears(&self) -> io::Result<Arc<Way>> {
        let mut ways = lock(&self.ways);
        loop {
            self.refuse_over()?;
            if let Some(way) = &ways.hears {
                return Ok(Arc::clone(way));
            }
            ways = self.moved.wait(ways).unwrap_or_else(PoisonError::into_inner);
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
        let sealed = self.sealed.lock();
        // Looked at under the writers' lock: who brings the line to rest takes it, too.
        let way = lock(&self.ways).writes.clone()?;
        Some((way, sealed))
    }
}
