//! Who hears one end of a line: takes messages apart, and keeps to the rules of [`Line`].

use super::rest::Way;
use super::{
    AGAIN, CHANNELS, COST, Channel, END, FRAME, FRAME_MAX, LEFT, Line, PACKED, PART, PIECE, REST, Side,
    TAKEN, WINDOW, WORDS_MAX, broken, lock,
};
use crate::wire::packed::{PACKED_MAX, Packed, Unpacker};
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What is heard. That frames were taken out, or are not wanted any more, is no news to anybody but the line.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Frame(Channel, Vec<u8>),
    /// The other end says nothing more: in good order, or why not.
    End(Result<(), String>),
}

/// Hears one end of a line.
pub struct Ear<'a> {
    line: &'a Line,
    /// What is heard over; None while the line rests.
    way: Option<Arc<Way>>,
    /// Sealed bytes that were read; those before `from` were opened.
    raw: Vec<u8>,
    from: usize,
    /// None: nothing was packed yet.
    unpacker: Option<Unpacker>,
    /// Memory for packed frames.
    packed: Vec<u8>,
    /// What has come of a frame whose last part has not.
    pub(super) parts: Vec<u8>,
}

/// Most bytes of packed frames' memory that are kept.
const KEPT: usize = 1 << 20;

impl<'a> Ear<'a> {
    pub fn of(line: &'a Line) -> Self {
        Ear {
            line,
            way: None,
            raw: Vec::new(),
            from: 0,
            unpacker: None,
            packed: Vec::new(),
            parts: Vec::new(),
        }
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
                AGAIN if len == 0 => {
                    if !self.way.as_ref().is_some_and(|way| self.line.spoken(way)) {
                        return Err(broken("what goes on"));
                    }
                }
                REST if len == 0 => {
                    // Nothing follows over this one.
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

    /// Reads so many bytes.
    fn open(&mut self, mut into: &mut [u8]) -> io::Result<()> {
        let way = match &self.way {
            Some(way) => Arc::clone(way),
            None => {
                self.raw.clear();
                self.from = 0;
                Arc::clone(self.way.insert(self.line.hears()?))
            }
        };
        loop {
            let mut tls = lock(&way.tls);
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
            let read = (&way.socket).read(&mut self.raw);
            self.raw.truncate(read.as_ref().map_or(0, |count| *count));
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
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
