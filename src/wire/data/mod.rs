//! A line of data between two machines: operations one way, answers the other, on channels of their own, over TLS.
//!
//! A message is a head of eight bytes (kind, channel, two zeros, length of the body in little endian) and its body. Of each
//! channel at most [`WINDOW`] bytes are under way that the other end has not taken out, so who receives never waits to hand
//! something on, and a channel that nobody reads holds up no other. Who wants no more of a channel says so. Plain threads use a
//! line: any may send, one hears; who is blocked is freed by [`Line::break_off`].
//!
//! A line outlives what carries it: it may come to [rest](Line::rest), without a socket, and go on over another; and one that
//! [mends](Line::mends) goes on when a socket has failed ([`again`]). Nothing is lost or repeated by that; who sends waits meanwhile.
//!
//! A source's frame leaves in parts, so that what is short, and a rest, come between two of them; and each part passes a
//! [`Gate`], which may make it wait, and counts what went over the wire.

mod again;
mod ear;
mod gate;
mod kept;
mod rest;
#[doc(hidden)]
#[allow(clippy::unwrap_used)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use ear::{Ear, Heard};
pub use gate::{Gate, Leave, PART_MOST, wire_len};

use super::FRAME_MAX;
use kept::Kept;
use rest::{Way, Ways};
use rustls::Connection;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Bytes of one channel that may be under way; one frame more begins below it.
pub const WINDOW: u64 = 4 << 20;

/// What a frame costs beside its bytes: many small ones cost memory, too.
const COST: u64 = 256;

/// Most bytes of the words at the end.
const WORDS_MAX: usize = 1024;

/// Bytes that are sealed, and read from the socket, at once.
const PIECE: usize = 64 << 10;

/// What frames are about; a number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Channel {
    /// Source to target.
    Ops = 0,
    /// Target to source: descriptions of directories, checksums, results.
    Listings = 1,
    Sums = 2,
    Results = 3,
}

const CHANNELS: [Channel; 4] = [Channel::Ops, Channel::Listings, Channel::Sums, Channel::Results];

const FRAME: u8 = 1;
const TAKEN: u8 = 2;
const END: u8 = 3;
const LEFT: u8 = 4;
const REST: u8 = 5;
const PACKED: u8 = 6;
const AGAIN: u8 = 7;
/// Bytes of a frame, whose kind is told with its last ones.
const PART: u8 = 8;
/// How many bytes were heard since the line began.
const HEARD: u8 = 9;

/// What was taken out, or heard, is told when it is so much: until then the other end keeps what it has said.
const WORTH: u64 = WINDOW / 16;

/// More than the windows hold, and what is told of them: an end that has said so much and was told nothing gives up.
const KEPT_MOST: u64 = 64 << 20;

/// Whose end of a line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It dials, and says when the line rests.
    Source,
    Target,
}

/// One end of a line.
pub struct Line {
    side: Side,
    ways: Mutex<Ways>,
    /// Something has carried it.
    carried: AtomicBool,
    /// A way has come or gone.
    moved: Condvar,
    /// Held by who sends, so that messages leave in the order in which they were sealed.
    out: parking_lot::Mutex<Out>,
    /// It goes on when what carries it has failed.
    mends: AtomicBool,
    /// [`Line::end`] has said its word.
    ended: AtomicBool,
    /// Bytes that were heard; those of which the other end was told; and those of which it has told.
    heard: AtomicU64,
    /// The same up to the last whole message, which alone is told.
    whole: AtomicU64,
    told: AtomicU64,
    confirmed: AtomicU64,
    /// What may be sent.
    windows: Mutex<Windows>,
    changed: Condvar,
    /// Bytes that were heard and not taken out here.
    held: [AtomicU64; CHANNELS.len()],
    /// What is to be told when it is worth a message, or when there is a way again.
    untold: Mutex<Untold>,
    /// What carried it has failed, and it was not gone on with.
    lost: AtomicBool,
    /// Nothing more is heard, or sent.
    over: AtomicBool,
    /// What frames pass on their way out; unset: nothing holds them up.
    gate: OnceLock<Arc<dyn Gate>>,
}

/// What is on its way out.
#[derive(Debug, Default)]
struct Out {
    sealed: Vec<u8>,
    /// Nothing, if the line does not mend.
    kept: Kept,
}

/// How much of a frame has left.
#[derive(Debug, Default)]
pub struct Sent {
    /// There is room for it at the other end.
    room: bool,
    bytes: usize,
}

#[derive(Default)]
struct Windows {
    /// Bytes of each channel that were sent and not taken out.
    under_way: [u64; CHANNELS.len()],
    /// The other end wants no more of it.
    left: [bool; CHANNELS.len()],
}

#[derive(Default)]
struct Untold {
    /// Bytes that were taken out here.
    taken: [u64; CHANNELS.len()],
    /// Nobody takes out more of it.
    left: [bool; CHANNELS.len()],
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    /// A line whose ends have met: the handshake is over, and nothing else is under way.
    pub fn new(side: Side, tls: Connection, socket: TcpStream) -> io::Result<Line> {
        let line = Self::at_rest(side);
        line.first(tls, socket)?;
        Ok(line)
    }

    /// One that nothing carries yet: it [goes on](Line::go_on) once something does.
    pub fn at_rest(side: Side) -> Line {
        Line {
            side,
            ways: Mutex::default(),
            carried: AtomicBool::new(false),
            moved: Condvar::new(),
            out: parking_lot::Mutex::default(),
            mends: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            whole: AtomicU64::new(0),
            told: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            windows: Mutex::default(),
            changed: Condvar::new(),
            held: Default::default(),
            untold: Mutex::default(),
            lost: AtomicBool::new(false),
            over: AtomicBool::new(false),
            gate: OnceLock::new(),
        }
    }

    /// Everything from here passes this gate. Said once, before anything is sent.
    pub fn pass(&self, gate: Arc<dyn Gate>) {
        // A second one would be a second owner; there is none.
        let _ = self.gate.set(gate);
    }

    /// Sends a frame, once there is room for it. BrokenPipe: the other end wants no more of this channel.
    pub fn send(&self, channel: Channel, frame: &[u8]) -> io::Result<()> {
        self.take_room(channel, frame.len(), false)?;
        self.write(FRAME, channel, frame)
    }

    /// The same of a frame to the target; false: the line rests, or the gate is shut, and not all of it was sent: `sent` says how much,
    /// and is handed in again. `packed`: what goes in its place ([packed](super::packed)).
    pub fn offer(&self, frame: &[u8], packed: Option<&[u8]>, sent: &mut Sent) -> io::Result<bool> {
        if !sent.room && !self.take_room(Channel::Ops, frame.len(), true)? {
            return Ok(false);
        }
        sent.room = true;
        let (kind, body) = packed.map_or((FRAME, frame), |body| (PACKED, body));
        loop {
            let left = &body[sent.bytes.min(body.len())..];
            let want = wire_len(left.len().min(PART_MOST));
            // Nothing is held while it waits, so what is short passes by.
            let took =
                match self.gate.get().map(|gate| gate.take(want, &|| !self.is_carried() || self.is_over())) {
                    None => want,
                    Some(Leave::Go(took)) => took,
                    Some(Leave::Shut | Leave::Over) => return self.refuse_over().map(|()| false),
                };
            let Some((way, mut out)) = self.try_turn() else {
                self.went(took, 0);
                return self.refuse_over().map(|()| false);
            };
            let count = gate::body_of(took).min(left.len());
            let last = count == left.len();
            let kind = if last { kind } else { PART };
            let went = self.put_uncounted(&way, &mut out, kind, Channel::Ops, &left[..count]);
            self.went(took, *went.as_ref().unwrap_or(&took));
            went?;
            self.tell_heard(&way, &mut out);
            sent.bytes += count;
            if last {
                return Ok(true);
            }
        }
    }

    /// Of what was allowed to leave, so much has.
    fn went(&self, took: usize, went: usize) {
        if let Some(gate) = self.gate.get() {
            gate.went(took, went);
        }
    }

    /// Waits until a frame may go on its way, for so long at most; the error: the line is over.
    pub fn wait_ready(&self, time: Duration) -> io::Result<()> {
        match self.gate.get() {
            Some(gate) if self.is_carried() => {
                gate.wait_open(time, &|| self.is_over());
                self.refuse_over()
            }
            _ => self.wait_carried(time),
        }
    }

    /// Waits until a frame of so many bytes may be sent. False: the line rests, which is not waited for with `unless_rests`.
    fn take_room(&self, channel: Channel, len: usize, unless_rests: bool) -> io::Result<bool> {
        let at = channel as usize;
        let mut windows = lock(&self.windows);
        loop {
            self.refuse_over()?;
            if windows.left[at] {
                return Err(ErrorKind::BrokenPipe.into());
            }
            if unless_rests && !self.is_carried() {
                return Ok(false);
            }
            if windows.under_way[at] < WINDOW {
                break;
            }
            windows = self.changed.wait(windows).unwrap_or_else(PoisonError::into_inner);
        }
        windows.under_way[at] += len as u64 + COST;
        Ok(true)
    }

    /// Nobody takes frames of this channel out any more: the other end need not send any.
    pub fn leave(&self, channel: Channel) {
        lock(&self.untold).left[channel as usize] = true;
        self.tell(channel);
    }

    /// Says that nothing follows.
    pub fn end(&self, how: Result<(), &str>) -> io::Result<()> {
        let words = how.err().unwrap_or_default().as_bytes();
        // A letter that is cut is shown as one that cannot be read.
        self.write(END, Channel::Ops, &words[..words.len().min(WORDS_MAX)])?;
        self.ended.store(true, Relaxed);
        Ok(())
    }

    /// A frame of so many bytes was taken out. The sender is told when that is worth a message.
    pub fn took(&self, channel: Channel, len: usize) {
        let cost = len as u64 + COST;
        self.held[channel as usize].fetch_sub(cost, Relaxed);
        let mut untold = lock(&self.untold);
        let here = &mut untold.taken[channel as usize];
        *here += cost;
        let worth = *here >= WORTH;
        drop(untold);
        if worth {
            self.tell(channel);
        }
    }

    /// Tells the other end what became of a channel; a line that rests does so when it goes on, and one that is gone needs no word.
    fn tell(&self, channel: Channel) {
        if let Some((way, mut out)) = self.try_turn() {
            self.tell_over(&way, &mut out, channel);
            self.tell_heard(&way, &mut out);
        }
    }

    fn tell_over(&self, way: &Way, out: &mut Out, channel: Channel) {
        let mut untold = lock(&self.untold);
        let taken = std::mem::take(&mut untold.taken[channel as usize]);
        let left = std::mem::take(&mut untold.left[channel as usize]);
        drop(untold);
        if taken > 0 {
            let taken = u32::try_from(taken).unwrap_or(u32::MAX).to_le_bytes();
            let _ = self.put(way, out, TAKEN, channel, &taken);
        }
        if left {
            let _ = self.put(way, out, LEFT, channel, &[]);
        }
    }

    /// Ends the line in the midst of what is under way, on this end and, soon, on the other. Does not block.
    pub fn break_off(&self) {
        // Under the locks, so that no waiting thread can miss it.
        let windows = lock(&self.windows);
        let ways = lock(&self.ways);
        self.over.store(true, Relaxed);
        self.changed.notify_all();
        self.moved.notify_all();
        // One that is gone already is no error.
        ways.all().for_each(|way| drop(way.socket.shutdown(Shutdown::Both)));
        drop(ways);
        drop(windows);
        self.wake_gate();
    }

    /// Who waits there looks again whether there is a reason to.
    fn wake_gate(&self) {
        if let Some(gate) = self.gate.get() {
            gate.wake();
        }
    }

    /// Nothing more is said from here; the other end closes the line when it has heard all.
    pub fn close(&self) {
        lock(&self.ways).all().for_each(|way| drop(way.socket.shutdown(Shutdown::Write)));
    }

    fn refuse_over(&self) -> io::Result<()> {
        if self.over.load(Relaxed) { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Writes a message, once the line does not rest.
    fn write(&self, kind: u8, channel: Channel, body: &[u8]) -> io::Result<()> {
        let (way, mut out) = self.turn()?;
        self.put(&way, &mut out, kind, channel, body)?;
        self.tell_heard(&way, &mut out);
        Ok(())
    }

    /// Writes a message at the writer's turn. It does not wait at the gate, which counts it.
    fn put(&self, way: &Way, out: &mut Out, kind: u8, channel: Channel, body: &[u8]) -> io::Result<()> {
        let went = self.put_uncounted(way, out, kind, channel, body)?;
        self.went(0, went);
        Ok(())
    }

    /// Writes a message; the bytes that went over the wire for it.
    fn put_uncounted(
        &self,
        way: &Way,
        out: &mut Out,
        kind: u8,
        channel: Channel,
        body: &[u8],
    ) -> io::Result<usize> {
        let head = head(kind, channel, body.len())?;
        let (first, rest) = body.split_at(body.len().min(PIECE));
        self.refuse_over()?;
        let mends = self.is_mending();
        let Out { sealed, kept } = out;
        if mends {
            let confirmed = self.confirmed.load(Relaxed);
            if confirmed > kept.upto() || kept.len() > KEPT_MOST {
                // It tells of what was not said, or of nothing.
                self.break_off();
                return Err(broken("what was heard"));
            }
            kept.forget(confirmed);
            kept.push(&head);
            kept.push(body);
        }
        let mut send = || {
            let mut went = seal(way, sealed, [&head, first])?;
            for piece in rest.chunks(PIECE) {
                went += seal(way, sealed, [piece, &[]])?;
            }
            Ok(went)
        };
        match send() {
            Err(error) if mends => {
                // It is said again, from where the other end has heard it.
                self.fails(way, &error);
                Ok(wire_len(body.len()))
            }
            // What was sent in part cannot be gone on with.
            went => went.inspect_err(|_| self.break_off()),
        }
    }
}

fn head(kind: u8, channel: Channel, len: usize) -> io::Result<[u8; 8]> {
    let len = u32::try_from(len).map_err(|_| ErrorKind::InvalidInput)?.to_le_bytes();
    Ok([kind, channel as u8, 0, 0, len[0], len[1], len[2], len[3]])
}

/// Seals these bytes and sends them; how many they became.
fn seal(way: &Way, sealed: &mut Vec<u8>, bytes: [&[u8]; 2]) -> io::Result<usize> {
    {
        let mut tls = lock(&way.tls);
        let len = bytes[0].len() + bytes[1].len();
        // Without a limit all of it is taken.
        if tls.writer().write_vectored(&bytes.map(IoSlice::new))? < len {
            return Err(ErrorKind::WriteZero.into());
        }
        while tls.wants_write() {
            tls.write_tls(sealed)?;
        }
    }
    let count = sealed.len();
    let written = (&way.socket).write_all(sealed);
    // Nothing of it goes over another socket.
    sealed.clear();
    written.map(|()| count)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the other end broke a rule of the line: {what}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
