//! Who hears one end of a line: takes messages apart, and keeps to the rules of [`Line`].

use super::rest::Way;
use super::{
    AGAIN, CHANNELS, COST, Channel, END, FRAME, FRAME_MAX, HEARD, LEFT, Line, PACKED, PART, PIECE, REST,
    Side, TAKEN, WINDOW, WORDS_MAX, broken, head, lock,
};
use crate::wire::packed::{PACKED_MAX, Packed, Unpacker};
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What is heard. That frames were taken out, or are not wanted any more, is no news to anybody but the line.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Frame(Channel, Vec<u8>),
    /// The other end says nothing more: in good order, or why not.
    End(Result<(), String>),
}

/// Hears one end of a line.
pub struct Ear<'a> {
    line: &'a Arc<Line>,
    /// Called when a socket has failed. A source's dials anew, and returns once something carries the line or it is over; without it the line
    /// has failed, too. A target's tells of it.
    redials: Option<&'a (dyn Fn() + Sync)>,
    /// What is heard over; None while the line rests.
    way: Option<Arc<Way>>,
    /// Sealed bytes that were read; those before `from` were opened.
    raw: Vec<u8>,
    from: usize,
    /// How that has failed, once what was read before is taken out.
    failed: Option<io::Error>,
    /// So long a source may stay away that was lost.
    until: Option<Instant>,
    /// None: nothing was packed yet.
    unpacker: Option<Unpacker>,
    /// Memory for packed frames.
    packed: Vec<u8>,
    /// What has come of a frame whose last part has not.
    pub(super) parts: Vec<u8>,
}

/// How long a target keeps a line that has failed. After a weekend the source compares what is dirty.
const AWAY: Duration = Duration::from_secs(72 * 60 * 60);

/// How long a source may take to speak over a new socket.
const SPEAKS: Duration = Duration::from_secs(30);

/// Most bytes of packed frames' memory that are kept.
const KEPT: usize = 1 << 20;

impl<'a> Ear<'a> {
    pub fn of(line: &'a Arc<Line>, redials: Option<&'a (dyn Fn() + Sync)>) -> Self {
        Ear {
            line,
            redials,
            way: None,
            raw: Vec::new(),
            from: 0,
            failed: None,
            until: None,
            unpacker: None,
            packed: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The next thing said. `memory`: an empty frame. The error: the line is of no use any more.
    pub fn hear(&mut self, memory: impl FnOnce() -> Vec<u8>) -> io::Result<Heard> {
        loop {
            self.line.whole.store(self.line.heard(), Relaxed);
            let mut head = [0; 8];
            self.open(&mut head)?;
            let [kind, channel, 0, 0, l0, l1, l2, l3] = head else { return Err(broken("a message's head")) };
            let channel = CHANNELS.into_iter().find(|known| *known as u8 == channel);
            let channel = channel.ok_or_else(|| broken("a channel's number"))?;
            let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            match kind {
                PART if self.line.side == Side::Target && channel == Channel::Ops && len > 0 => {
                    let begun = self.parts.len();
                    if begun + len > FRAME_MAX.max(PACKED_MAX) {
                        return Err(broken("a part's length"));
                    }
                    let mut parts = std::mem::take(&mut self.parts);
                    parts.resize(begun + len, 0);
                    self.open(&mut parts[begun..])?;
                    self.parts = parts;
                }
                FRAME => {
                    let begun = self.begun(channel);
                    if len + begun > FRAME_MAX {
                        return Err(broken("a frame's length"));
                    }
                    self.holds(channel, len + begun)?;
                    let mut frame = memory();
                    self.join(channel, &mut frame, len)?;
                    return Ok(Heard::Frame(channel, frame));
                }
                PACKED if self.line.side == Side::Target && channel == Channel::Ops => {
                    if len + self.parts.len() > PACKED_MAX {
                        return Err(broken("a packed frame's length"));
                    }
                    let mut body = std::mem::take(&mut self.packed);
                    body.clear();
                    self.join(channel, &mut body, len)?;
                    let packed = Packed::parse(&body).map_err(|error| broken(&error.to_string()))?;
                    self.holds(channel, packed.len)?;
                    let unpacker = match &mut self.unpacker {
                        Some(unpacker) => unpacker,
                        none => none.insert(Unpacker::new()?),
                    };
                    let mut frame = memory();
                    unpacker.unpack(&packed, &mut frame).map_err(|error| broken(&error.to_string()))?;
                    if body.capacity() <= KEPT {
                        self.packed = body;
                    }
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
                HEARD if len == 8 => {
                    let mut heard = [0; 8];
                    self.open(&mut heard)?;
                    self.line.is_heard(u64::from_le_bytes(heard));
                }
                REST if len == 0 => {
                    // Nothing follows over this one, of which this was said alone.
                    self.line.heard.fetch_sub(8, Relaxed);
                    let Some(way) = self.way.take() else { return Err(broken("a rest")) };
                    if !self.is_at_end() || !self.line.rests(&way)? {
                        return Err(broken("a rest"));
                    }
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

    /// Bytes of a frame on that channel that came before its last part.
    fn begun(&self, channel: Channel) -> usize {
        if channel == Channel::Ops { self.parts.len() } else { 0 }
    }

    /// Puts a frame together: what came of it, and its last part of so many bytes.
    fn join(&mut self, channel: Channel, frame: &mut Vec<u8>, len: usize) -> io::Result<()> {
        let begun = self.begun(channel);
        if begun > 0 {
            frame.extend_from_slice(&self.parts);
            self.parts.clear();
            if self.parts.capacity() > KEPT {
                self.parts = Vec::new();
            }
        }
        frame.resize(begun + len, 0);
        self.open(&mut frame[begun..])
    }

    /// A frame of so many bytes is here until it is taken out.
    fn holds(&self, channel: Channel, len: usize) -> io::Result<()> {
        let held = self.line.held[channel as usize].fetch_add(len as u64 + COST, Relaxed);
        if held >= WINDOW { Err(broken("more than was asked for")) } else { Ok(()) }
    }

    /// Was all taken apart that was read?
    fn is_at_end(&self) -> bool {
        self.from == self.raw.len()
    }

    /// Reads so many bytes, over as many sockets as it takes.
    fn open(&mut self, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            let read = match self.way()? {
                Some(way) => self.read(&way, into),
                None => continue,
            };
            match read {
                Ok(count) => {
                    self.line.heard.fetch_add(count as u64, Relaxed);
                    into = &mut into[count..];
                }
                Err(error) => self.lose(error)?,
            }
        }
        Ok(())
    }

    /// What is heard over, once there is something. None: it has failed already.
    fn way(&mut self) -> io::Result<Option<Arc<Way>>> {
        if let Some(way) = &self.way {
            return Ok(Some(Arc::clone(way)));
        }
        let way = self.line.hears(self.until.take())?;
        self.raw.clear();
        self.from = 0;
        self.way = Some(Arc::clone(&way));
        if way.again.is_some() && self.line.side == Side::Target {
            // Before the source has spoken it may not have taken over what carries the line.
            let _ = way.socket.set_read_timeout(Some(SPEAKS));
            let mut said = [0; 8];
            let mut len = 0;
            while len < said.len() {
                match self.read(&way, &mut said[len..]) {
                    Ok(count) => len += count,
                    Err(error) => {
                        // A source that has given up a dial closes its socket, and dials anew.
                        way.failed.store(true, Relaxed);
                        self.lose(error)?;
                        return Ok(None);
                    }
                }
            }
            let _ = way.socket.set_read_timeout(None);
            if said != head(AGAIN, Channel::Ops, 0)? {
                return Err(broken("what goes on"));
            }
            self.line.speaks(&way)?;
        }
        Ok(Some(way))
    }

    /// What carries the line has failed. The error: so has the line.
    fn lose(&mut self, error: io::Error) -> io::Result<()> {
        let Some(way) = self.way.take() else { return Err(error) };
        if self.line.side == Side::Source && self.redials.is_none() {
            return Err(error);
        }
        self.line.loses(&way, error)?;
        self.until = Instant::now().checked_add(AWAY).filter(|_| self.line.side == Side::Target);
        if let Some(redials) = self.redials {
            redials();
        }
        Ok(())
    }

    /// Reads some bytes, at least one.
    fn read(&mut self, way: &Way, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let mut count = 0;
            let opened = self.open_read(way, into, &mut count);
            if count == 0 {
                opened?;
            } else {
                self.failed = opened.err();
                return Ok(count);
            }
            self.raw.resize(PIECE, 0);
            self.from = 0;
            let read = (&way.socket).read(&mut self.raw);
            self.raw.truncate(read.as_ref().map_or(0, |count| *count));
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    /// Opens what was read from the socket, and takes out what fits; `count`: so many bytes.
    fn open_read(&mut self, way: &Way, into: &mut [u8], count: &mut usize) -> io::Result<()> {
        let mut tls = lock(&way.tls);
        while *count < into.len() {
            match tls.reader().read(&mut into[*count..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(more) => {
                    *count += more;
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
        Ok(())
    }
}

impl std::fmt::Debug for Ear<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ear")
    }
}

impl Drop for Ear<'_> {
    /// Nobody hears any more, so nobody is to wait for an answer.
    fn drop(&mut self) {
        self.line.break_off();
    }
}
