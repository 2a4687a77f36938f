//! A line of data between two machines: operations one way, answers the other, on channels of their own, over TLS.
//!
//! A message is a head of eight bytes (kind, channel, two zeros, length of the body in little endian) and its body. Of each
//! channel at most [`WINDOW`] bytes are under way that the other end has not taken out, so who receives never waits to hand
//! something on, and a channel that nobody reads holds up no other. Who wants no more of a channel says so. Plain threads use a
//! line: any may send, one hears; who is blocked is freed by [`Line::break_off`].

use super::FRAME_MAX;
use rustls::Connection;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

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

/// What is heard. That frames were taken out, or are not wanted any more, is no news to anybody but the line.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Frame(Channel, Vec<u8>),
    /// The other end says nothing more: in good order, or why not.
    End(Result<(), String>),
}

/// One end of a line.
pub struct Line {
    tls: Mutex<Connection>,
    socket: TcpStream,
    /// Sealed bytes on their way out. Held by who sends, so that they leave in the order in which they were sealed.
    sealed: Mutex<Vec<u8>>,
    /// What may be sent.
    windows: Mutex<Windows>,
    changed: Condvar,
    /// Bytes that were heard and not taken out here.
    held: [AtomicU64; CHANNELS.len()],
    /// Bytes that were taken out here and not told.
    untold: Mutex<[u64; CHANNELS.len()]>,
    /// Nothing more is heard, or sent.
    over: AtomicBool,
}

#[derive(Default)]
struct Windows {
    /// Bytes of each channel that were sent and not taken out.
    under_way: [u64; CHANNELS.len()],
    /// The other end wants no more of it.
    left: [bool; CHANNELS.len()],
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    /// A line whose ends have met: the handshake is over, and nothing else is under way.
    pub fn new(mut tls: Connection, socket: TcpStream) -> io::Result<Line> {
        socket.set_nonblocking(false)?;
        // What is sealed goes out at once; the windows are the limit.
        tls.set_buffer_limit(None);
        Ok(Line {
            tls: Mutex::new(tls),
            socket,
            sealed: Mutex::default(),
            windows: Mutex::default(),
            changed: Condvar::new(),
            held: Default::default(),
            untold: Mutex::default(),
            over: AtomicBool::new(false),
        })
    }

    /// Sends a frame, once there is room for it. BrokenPipe: the other end wants no more of this channel.
    pub fn send(&self, channel: Channel, frame: &[u8]) -> io::Result<()> {
        let at = channel as usize;
        let mut windows = lock(&self.windows);
        loop {
            self.refuse_over()?;
            if windows.left[at] {
                return Err(ErrorKind::BrokenPipe.into());
            }
            if windows.under_way[at] < WINDOW {
                break;
            }
            windows = self.changed.wait(windows).unwrap_or_else(PoisonError::into_inner);
        }
        windows.under_way[at] += frame.len() as u64 + COST;
        drop(windows);
        self.write(FRAME, channel, frame)
    }

    /// Nobody takes frames of this channel out any more: the other end need not send any.
    pub fn leave(&self, channel: Channel) {
        // A line that is gone needs no word.
        let _ = self.write(LEFT, channel, &[]);
    }

    /// Says that nothing follows.
    pub fn end(&self, how: Result<(), &str>) -> io::Result<()> {
        let words = how.err().unwrap_or_default().as_bytes();
        // A letter that is cut is shown as one that cannot be read.
        self.write(END, Channel::Ops, &words[..words.len().min(WORDS_MAX)])
    }

    /// A frame of so many bytes was taken out. The sender is told when that is worth a message.
    pub fn took(&self, channel: Channel, len: usize) {
        let cost = len as u64 + COST;
        self.held[channel as usize].fetch_sub(cost, Relaxed);
        let mut untold = lock(&self.untold);
        let here = &mut untold[channel as usize];
        *here += cost;
        if *here < WINDOW / 4 {
            return;
        }
        let tell = u32::try_from(std::mem::take(here)).unwrap_or(u32::MAX);
        drop(untold);
        // A line that is gone needs no word.
        let _ = self.write(TAKEN, channel, &tell.to_le_bytes());
    }

    /// Ends the line in the midst of what is under way, on this end and, soon, on the other. Does not block.
    pub fn break_off(&self) {
        // Under the lock, so that no waiting thread can miss it.
        let windows = lock(&self.windows);
        self.over.store(true, Relaxed);
        self.changed.notify_all();
        drop(windows);
        // One that is gone already is no error.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Nothing more is said from here; the other end closes the line when it has heard all.
    pub fn close(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    fn refuse_over(&self) -> io::Result<()> {
        if self.over.load(Relaxed) { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    fn write(&self, kind: u8, channel: Channel, body: &[u8]) -> io::Result<()> {
        let len = u32::try_from(body.len()).map_err(|_| ErrorKind::InvalidInput)?.to_le_bytes();
        let head = [kind, channel as u8, 0, 0, len[0], len[1], len[2], len[3]];
        let (first, rest) = body.split_at(body.len().min(PIECE));
        let mut sealed = lock(&self.sealed);
        self.refuse_over()?;
        let mut send = || {
            self.seal(&mut sealed, [&head, first])?;
            rest.chunks(PIECE).try_for_each(|piece| self.seal(&mut sealed, [piece, &[]]))
        };
        // What was sent in part cannot be gone on with.
        send().inspect_err(|_| self.break_off())
    }

    /// Seals these bytes and sends them.
    fn seal(&self, sealed: &mut Vec<u8>, bytes: [&[u8]; 2]) -> io::Result<()> {
        {
            let mut tls = lock(&self.tls);
            let len = bytes[0].len() + bytes[1].len();
            // Without a limit all of it is taken.
            if tls.writer().write_vectored(&bytes.map(IoSlice::new))? < len {
                return Err(ErrorKind::WriteZero.into());
            }
            while tls.wants_write() {
                tls.write_tls(sealed)?;
            }
        }
        let mut rest = sealed.as_slice();
        while !rest.is_empty() {
            match (&self.socket).write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        sealed.clear();
        Ok(())
    }
}

/// Hears one end of a line.
#[derive(Debug)]
pub struct Ear<'a> {
    line: &'a Line,
    /// Sealed bytes that were read; those before `from` were opened.
    raw: Vec<u8>,
    from: usize,
}

impl<'a> Ear<'a> {
    pub fn of(line: &'a Line) -> Self {
        Ear { line, raw: Vec::new(), from: 0 }
    }

    /// The next thing said. `memory`: an empty frame. The error: the line is of no use any more.
    pub fn hear(&mut self, memory: impl FnOnce() -> Vec<u8>) -> io::Result<Heard> {
        loop {
            let mut head = [0; 8];
            self.open(&mut head)?;
            let [kind, channel, 0, 0, l0, l1, l2, l3] = head else { return Err(broken("a message's head")) };
            let channel = CHANNELS.into_iter().find(|known| *known as u8 == channel);
            let channel = channel.ok_or_else(|| broken("a channel's number"))?;
            let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            match kind {
                FRAME => {
                    if len > FRAME_MAX {
                        return Err(broken("a frame's length"));
                    }
                    let cost = len as u64 + COST;
                    let held = self.line.held[channel as usize].fetch_add(cost, Relaxed);
                    if held >= WINDOW {
                        return Err(broken("more than was asked for"));
                    }
                    let mut frame = memory();
                    frame.resize(len, 0);
                    self.open(&mut frame)?;
                    return Ok(Heard::Frame(channel, frame));
                }
                TAKEN if len == 4 => {
                    let mut taken = [0; 4];
                    self.open(&mut taken)?;
                    let mut windows = lock(&self.line.windows);
                    let here = &mut windows.under_way[channel as usize];
                    let left = here.checked_sub(u64::from(u32::from_le_bytes(taken)));
                    *here = left.ok_or_else(|| broken("more was taken than was sent"))?;
                    self.line.changed.notify_all();
                }
                LEFT if len == 0 => {
                    lock(&self.line.windows).left[channel as usize] = true;
                    self.line.changed.notify_all();
                }
                END if len <= WORDS_MAX => {
                    let mut words = vec![0; len];
                    self.open(&mut words)?;
                    let words = String::from_utf8_lossy(&words).into_owned();
                    return Ok(Heard::End(if words.is_empty() { Ok(()) } else { Err(words) }));
                }
                _ => return Err(broken("a message's kind")),
            }
        }
    }

    /// Reads so many bytes.
    fn open(&mut self, mut into: &mut [u8]) -> io::Result<()> {
        loop {
            let mut tls = lock(&self.line.tls);
            while !into.is_empty() {
                match tls.reader().read(into) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(count) => {
                        into = &mut into[count..];
                        continue;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                let mut rest = &self.raw[self.from..];
                if rest.is_empty() {
                    break;
                }
                self.from += tls.read_tls(&mut rest)?;
                tls.process_new_packets().map_err(io::Error::other)?;
            }
            drop(tls);
            if into.is_empty() {
                return Ok(());
            }
            self.raw.resize(PIECE, 0);
            self.from = 0;
            let read = (&self.line.socket).read(&mut self.raw);
            self.raw.truncate(read.as_ref().map_or(0, |count| *count));
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }
}

impl Drop for Ear<'_> {
    /// Nobody hears any more, so nobody is to wait for an answer.
    fn drop(&mut self) {
        self.line.break_off();
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the other end broke a rule of the line: {what}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[doc(hidden)]
#[allow(clippy::unwrap_used)]
pub mod testing {
    //! Lines over loopback, for tests.

    use super::*;
    use crate::wire::tls::{self, Expected, MachineKey};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, ServerConnection};
    use std::net::TcpListener;
    use std::sync::Arc;

    /// The source's end and the target's.
    pub fn lines() -> (Arc<Line>, Arc<Line>) {
        let (key, caller) = (MachineKey::passing().unwrap(), MachineKey::passing().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut source = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut target, _) = listener.accept().unwrap();
        let config = tls::client(Expected::new(None), &caller).unwrap();
        let mut client = ClientConnection::new(config, ServerName::try_from("machine").unwrap()).unwrap();
        let mut server = ServerConnection::new(tls::server(&key).unwrap()).unwrap();
        let server = std::thread::spawn(move || {
            server.complete_io(&mut target).unwrap();
            (server, target)
        });
        client.complete_io(&mut source).unwrap();
        let (server, target) = server.join().unwrap();
        let line = |tls: Connection, socket| Arc::new(Line::new(tls, socket).unwrap());
        (line(client.into(), source), line(server.into(), target))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::lines;
    use super::*;
    use std::sync::Arc;

    fn hear(ear: &mut Ear<'_>) -> io::Result<Heard> {
        ear.hear(Vec::new)
    }

    #[test]
    fn frames_of_any_size_arrive_as_they_were_sent() {
        let (source, target) = lines();
        let frames: Vec<Vec<u8>> = [0, 1, PIECE - 8, PIECE, PIECE + 1, 1 << 20]
            .iter()
            .map(|len| vec![*len as u8 ^ 7; *len])
            .collect();
        let sent = frames.clone();
        let sender = std::thread::spawn(move || {
            for frame in &sent {
                source.send(Channel::Ops, frame).unwrap();
            }
            source.end(Ok(())).unwrap();
            let mut ear = Ear::of(&source);
            assert_eq!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Results, b"seen".to_vec()));
            assert_eq!(hear(&mut ear).unwrap(), Heard::End(Err("a reason".into())));
            assert!(hear(&mut ear).is_err());
        });
        let mut ear = Ear::of(&target);
        for frame in frames {
            assert_eq!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Ops, frame));
        }
        assert_eq!(hear(&mut ear).unwrap(), Heard::End(Ok(())));
        target.send(Channel::Results, b"seen").unwrap();
        target.end(Err("a reason")).unwrap();
        target.break_off();
        sender.join().unwrap();
    }

    #[test]
    fn a_channel_that_nobody_empties_holds_up_no_other_and_goes_on_when_it_is() {
        let (source, target) = lines();
        let (frame, count) = (vec![1; 256 << 10], 64);
        let sender = {
            let (source, frame) = (Arc::clone(&source), frame.clone());
            std::thread::spawn(move || {
                (0..count).for_each(|_| source.send(Channel::Listings, &frame).unwrap())
            })
        };
        // What tells the sender to go on is heard by its own ear.
        let ear_of_source = std::thread::spawn(move || hear(&mut Ear::of(&source)));
        let mut ear = Ear::of(&target);
        let mut waiting = 0;
        while waiting < WINDOW {
            assert!(matches!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Listings, _)));
            waiting += frame.len() as u64 + COST;
        }
        // The window is full now, and the other way is free.
        assert!(!sender.is_finished());
        let full = waiting / (frame.len() as u64 + COST);
        (0..full).for_each(|_| target.took(Channel::Listings, frame.len()));
        for _ in full..count {
            assert!(matches!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Listings, _)));
            target.took(Channel::Listings, frame.len());
        }
        sender.join().unwrap();
        target.end(Ok(())).unwrap();
        assert_eq!(ear_of_source.join().unwrap().unwrap(), Heard::End(Ok(())));
    }

    #[test]
    fn who_sends_more_than_the_window_or_what_is_no_message_is_not_heard() {
        let head = |kind, channel, len: u32| {
            let mut head = vec![kind, channel, 0, 0];
            head.extend_from_slice(&len.to_le_bytes());
            head
        };
        for bad in [
            head(FRAME, 9, 0),
            head(9, 0, 0),
            head(FRAME, 0, FRAME_MAX as u32 + 1),
            head(TAKEN, 0, 5),
            [head(TAKEN, 0, 4), vec![1, 0, 0, 0]].concat(),
            head(END, 0, WORDS_MAX as u32 + 1),
            head(LEFT, 0, 1),
            vec![FRAME, 0, 1, 0, 0, 0, 0, 0],
        ] {
            let (source, target) = lines();
            source.seal(&mut Vec::new(), [&bad, &[]]).unwrap();
            let error = hear(&mut Ear::of(&target)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{bad:?}: {error}");
        }
        let (source, target) = lines();
        let sender =
            std::thread::spawn(move || while source.write(FRAME, Channel::Ops, &[0; 1 << 20]).is_ok() {});
        let mut ear = Ear::of(&target);
        let error = (0..6).find_map(|_| hear(&mut ear).err()).unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        // Closed with what was not read, it ends the sender, whose window may be full.
        drop(ear);
        drop(target);
        sender.join().unwrap();
    }

    #[test]
    fn who_waits_for_an_end_that_does_not_read_can_be_freed() {
        for channels in [&[Channel::Ops][..], &CHANNELS] {
            let (source, target) = lines();
            let (began, begun) = std::sync::mpsc::channel();
            let senders: Vec<_> = channels
                .iter()
                .map(|channel| {
                    let (waits, began, channel) = (Arc::clone(&source), began.clone(), *channel);
                    std::thread::spawn(move || {
                        began.send(()).unwrap();
                        while waits.send(channel, &[0; 1 << 20]).is_ok() {}
                    })
                })
                .collect();
            senders.iter().for_each(|_| begun.recv().unwrap());
            // Windows, or the socket, are full sooner or later; in either it is freed.
            source.break_off();
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            let mut ear = Ear::of(&target);
            while hear(&mut ear).is_ok() {}
        }
    }

    #[test]
    fn who_sends_on_a_channel_that_was_left_hears_of_it() {
        let (source, target) = lines();
        let hears = Arc::clone(&target);
        let ear = std::thread::spawn(move || {
            let mut ear = Ear::of(&hears);
            while hear(&mut ear).is_ok() {}
        });
        source.leave(Channel::Listings);
        let error = loop {
            // The window is larger than what is sent until it is heard, or it is full: then it waits.
            if let Err(error) = target.send(Channel::Listings, &[0; 1000]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        // The others are as they were.
        target.send(Channel::Results, b"more").unwrap();
        source.break_off();
        ear.join().unwrap();
    }
}
