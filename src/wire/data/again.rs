//! How a line goes on over another socket, after a rest or when what carried it has failed.
//!
//! All that is said over a line is one stream of bytes, whatever carries it. Each end counts what it has heard, and tells it now and then;
//! the other keeps what it has said until then. When a socket fails, the source dials anew, both tell how far they have heard, and
//! each goes on from where the other is: nothing is lost or said twice, in the midst of a message also. A socket that the other end has closed
//! has not failed: who closes it has ended, and knows nothing of the line any more.

use super::rest::{Way, Ways};
use super::{AGAIN, CHANNELS, Channel, HEARD, Line, Out, Side, WORTH, lock, seal};
use rustls::Connection;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Has a socket failed by this, and not been closed by the other end?
fn is_failure(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}

impl Line {
    /// From here on the line goes on when a socket has failed. Said before anything else is.
    pub fn mends(&self) {
        self.mends.store(true, Relaxed);
    }

    pub(super) fn is_mending(&self) -> bool {
        self.mends.load(Relaxed)
    }

    /// Its first socket.
    pub(super) fn first(&self, tls: Connection, socket: TcpStream) -> io::Result<()> {
        self.carried.store(true, Relaxed);
        let way = way(tls, socket, None)?;
        self.carries(Ways { writes: Some(Arc::clone(&way)), hears: Some(way), ..Ways::default() })
    }

    fn carries(&self, ways: Ways) -> io::Result<()> {
        let mut here = lock(&self.ways);
        self.refuse_over()?;
        if here.all().next().is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.lost.store(false, Relaxed);
        *here = ways;
        self.moved.notify_all();
        Ok(())
    }

    /// Goes on over another socket, whose handshake is over. `heard`: so much of what was said here the other end has heard; None: all, as the line
    /// rested. What was under way when it came to rest may still be on its way to here, for which `patience` is waited: AlreadyExists, if
    /// something carries it even then. InvalidInput: nobody can have heard so much, or what follows is not kept.
    pub fn go_on(
        self: &Arc<Self>,
        tls: Connection,
        socket: TcpStream,
        heard: Option<u64>,
        patience: Duration,
    ) -> io::Result<()> {
        if !self.let_go(patience)? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !self.carried.load(Relaxed) {
            return self.first(tls, socket);
        }
        let mut out = self.out.lock();
        let heard = heard.filter(|_| self.is_mending());
        if heard.is_some_and(|heard| !out.kept.reaches(heard)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let way = way(tls, socket, Some(heard.unwrap_or(u64::MAX)))?;
        if self.side == Side::Source {
            self.says_alone(&way, &mut out, AGAIN)?;
        }
        drop(out);
        self.carries(Ways { hears: Some(Arc::clone(&way)), ..Ways::default() })?;
        if self.side == Side::Source { self.speaks(&way) } else { Ok(()) }
    }

    /// Bytes that were heard: for ever, as long as nothing carries it.
    pub fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    /// What carries it is given up; returns what was heard until then, once who hears has let go of it. The error: that took too long.
    pub fn heard_last(&self, patience: Duration) -> io::Result<u64> {
        for way in lock(&self.ways).all() {
            way.failed.store(true, Relaxed);
            let _ = way.socket.shutdown(Shutdown::Both);
        }
        if self.let_go(patience)? { Ok(self.heard()) } else { Err(ErrorKind::TimedOut.into()) }
    }

    /// Waits until nothing carries it. False: that took too long.
    pub(super) fn let_go(&self, patience: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        let mut ways = lock(&self.ways);
        while ways.all().next().is_some() {
            self.refuse_over()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            ways = self.moved.wait_timeout(ways, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(true)
    }

    /// What carried it has failed, and nothing has since. Not at an agreed rest.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }

    /// Waits until something carries it, for so long at most.
    pub fn wait_way(&self, time: Duration) {
        let ways = lock(&self.ways);
        let waits = |ways: &mut Ways| ways.all().next().is_none() && !self.is_over();
        drop(self.moved.wait_timeout_while(ways, time, waits).unwrap_or_else(PoisonError::into_inner));
    }

    /// Says again what the other end has not heard, and has others write after that. On a thread of its own: who hears must go on hearing
    /// meanwhile, as the other end says its own.
    pub(super) fn speaks(self: &Arc<Self>, way: &Arc<Way>) -> io::Result<()> {
        let (line, way) = (Arc::clone(self), Arc::clone(way));
        let speaks = move || {
            let mut out = line.out.lock();
            // Else it has come to rest, or has failed, meanwhile.
            let carries = |ways: &Ways| ways.hears.as_ref().is_some_and(|hears| Arc::ptr_eq(hears, &way));
            if !carries(&lock(&line.ways)) {
                return;
            }
            if let Err(error) = line.say_again(&way, &mut out) {
                return line.fails(&way, &error);
            }
            // First of all: who sends may wait for nothing else.
            CHANNELS.into_iter().for_each(|channel| line.tell_over(&way, &mut out, channel));
            line.tell_heard(&way, &mut out);
            let mut ways = lock(&line.ways);
            if carries(&ways) {
                ways.writes = Some(Arc::clone(&way));
            }
            drop(ways);
            line.has_moved();
        };
        std::thread::Builder::new().name("line again".to_owned()).spawn(speaks).map(drop)
    }

    fn say_again(&self, way: &Way, out: &mut Out) -> io::Result<()> {
        let Out { sealed, kept } = out;
        let from = way.again.unwrap_or(u64::MAX);
        for piece in kept.behind(from) {
            let went = seal(way, sealed, [piece, &[]])?;
            self.went(0, went);
        }
        Ok(())
    }

    /// Who writes has met an error: who hears finds out what becomes of the line.
    pub(super) fn fails(&self, way: &Way, error: &io::Error) {
        if is_failure(error) {
            way.failed.store(true, Relaxed);
        }
        let _ = way.socket.shutdown(Shutdown::Both);
        let mut ways = lock(&self.ways);
        if ways.writes.as_ref().is_some_and(|writes| std::ptr::eq(&**writes, way)) {
            ways.writes = None;
        }
        drop(ways);
        self.has_moved();
    }

    /// Who hears has met an error. The error: that is the end of the line.
    pub(super) fn loses(&self, way: &Arc<Way>, error: io::Error) -> io::Result<()> {
        if !self.is_mending() {
            return Err(error);
        }
        // Who writes is freed, and may be the one who was told why; it has noted that once it has ended its turn.
        let _ = way.socket.shutdown(Shutdown::Both);
        drop(self.out.lock());
        self.refuse_over()?;
        let has_ended = self.side == Side::Target && self.ended.load(Relaxed);
        if has_ended || !is_failure(&error) && !way.failed.load(Relaxed) {
            return Err(error);
        }
        self.lost.store(true, Relaxed);
        *lock(&self.ways) = Ways::default();
        self.has_moved();
        Ok(())
    }

    /// Who waits looks again: for a turn, for room unless the line rests, at the gate.
    pub(super) fn has_moved(&self) {
        self.moved.notify_all();
        // Under the lock, so that nobody misses it.
        let windows = lock(&self.windows);
        self.changed.notify_all();
        drop(windows);
        self.wake_gate();
    }

    /// Tells how much was heard, when that is worth a message. At a writer's turn: who hears waits for nobody.
    pub(super) fn tell_heard(&self, way: &Way, out: &mut Out) {
        if !self.is_mending() {
            return;
        }
        let heard = self.whole.load(Relaxed);
        if heard.saturating_sub(self.told.load(Relaxed)) >= WORTH {
            self.told.store(heard, Relaxed);
            let _ = self.put(way, out, HEARD, Channel::Ops, &heard.to_le_bytes());
        }
    }

    /// The other end has told how much it has heard.
    pub(super) fn is_heard(&self, heard: u64) {
        self.confirmed.fetch_max(heard, Relaxed);
        // Who writes does it else.
        if let Some(mut out) = self.out.try_lock()
            && out.kept.reaches(heard)
        {
            out.kept.forget(heard);
        }
    }
}

fn way(mut tls: Connection, socket: TcpStream, again: Option<u64>) -> io::Result<Arc<Way>> {
    socket.set_nonblocking(false)?;
    // What is sealed goes out at once; the windows are the limit.
    tls.set_buffer_limit(None);
    Ok(Arc::new(Way { tls: Mutex::new(tls), socket, again, failed: AtomicBool::new(false) }))
}
