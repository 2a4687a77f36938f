//! The two ends with a line between two machines. Each machine has one end, threads that send what comes to it, and one that
//! hears what the other says.
//!
//! The source's part runs in [`carry`], in place of a target in this process: it ends when the target has said its last word, or the
//! line is gone. The target's part, [`receive`], runs the applier itself. A line that is gone without an end cuts the target: it
//! drops what it has not taken up yet, as the source will send anew whatever was not acknowledged.

use super::packing::Packs;
use super::{Cut, DEPTH, Frame, FramePool, Inlet, Results, SourceEnd, Tap, TargetEnd};
use crate::engine::log::{escape, inherit};
use crate::engine::transmission::{Auto, Spent, Traffic, Transmission};
use crate::sys;
use crate::wire::data::{Channel, Ear, Heard, Line, Sent};
use crate::wire::{Answer, Reader, WireError};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the source may take to close a line that has come to its end.
const PARTING: Duration = Duration::from_secs(10);

/// How long is waited at first for what is handed to a line that rests.
const AT_REST: Duration = Duration::from_millis(10);
/// Most bytes that are taken from who sends while a line rests.
const ASIDE_MOST: usize = 64 << 20;

/// How a source's line sends.
#[derive(Clone, Debug, Default)]
pub struct Outlet {
    pub transmission: Arc<Transmission>,
    pub traffic: Arc<Traffic>,
}

/// What carries the frames of a source's end.
pub struct Carrier {
    line: Arc<Line>,
    outlet: Outlet,
    cut: Arc<Cut>,
    ops: Receiver<Frame>,
    answers: Answers,
    frames: FramePool,
}

/// Where answers go that were heard. Without limit: the line's windows are one.
struct Answers {
    listings: Sender<Frame>,
    sums: Sender<Frame>,
    results: Sender<Frame>,
}

/// Tells the line what becomes of a channel's frames.
struct Told(Arc<Line>, Channel);

impl Tap for Told {
    fn took(&self, len: usize) {
        self.0.took(self.1, len);
    }

    fn left(&self) {
        self.0.leave(self.1);
    }
}

/// Breaks the line off when it is dropped, whatever has happened: the other end is not to wait for what does not come.
struct BreaksOff(Arc<Line>);

impl Drop for BreaksOff {
    fn drop(&mut self) {
        self.0.break_off();
    }
}

fn breaks_off(line: &Arc<Line>) -> impl Fn() + Send + 'static {
    let line = Arc::clone(line);
    move || line.break_off()
}

/// The source's end of a line that stands. `cut`: once it is, the line is broken off.
pub fn source(line: Arc<Line>, cut: Arc<Cut>, outlet: Outlet) -> (SourceEnd, Carrier) {
    cut.on_cut(breaks_off(&line));
    let (ops, ops_in) = sync_channel(DEPTH);
    let (listings, listings_in) = channel();
    let (sums, sums_in) = channel();
    let (results, results_in) = channel();
    let frames = FramePool::default();
    let inlet = |frames, channel| told(frames, &line, channel);
    let end = SourceEnd {
        ops,
        listings: inlet(listings_in, Channel::Listings),
        sums: inlet(sums_in, Channel::Sums),
        results: inlet(results_in, Channel::Results),
        frames: frames.clone(),
        local: None,
    };
    (end, Carrier { line, outlet, cut, ops: ops_in, answers: Answers { listings, sums, results }, frames })
}

fn told(frames: Receiver<Frame>, line: &Arc<Line>, channel: Channel) -> Inlet {
    Inlet { frames, taps: Some(Box::new(Told(Arc::clone(line), channel))) }
}

/// Carries until the target has ended; blocks. The error: why it ended before its source did. `redials`: has the line go on when a socket has
/// failed, and returns once it does, or is over; None: that is its end.
pub fn carry(carrier: Carrier, redials: Option<&(dyn Fn() + Sync)>) -> Result<(), String> {
    let Carrier { line, outlet, cut, ops, answers, frames } = carrier;
    let _guard = BreaksOff(Arc::clone(&line));
    let (sends, pool) = (Arc::clone(&line), frames.clone());
    // It ends when the source closes its end, which it does once it has heard that the target has ended: so that is not waited for.
    start("line out", move || {
        // A line that is gone is noticed by who hears; a target that wants nothing more says why.
        if send_ops(&sends, &ops, &pool, &outlet).is_ok() {
            let _ = sends.end(Ok(()));
        }
    })?;
    let mut ear = Ear::of(&line, redials);
    loop {
        let (to, frame) = match ear.hear(|| frames.take()) {
            Ok(Heard::Frame(Channel::Listings, frame)) => (&answers.listings, frame),
            Ok(Heard::Frame(Channel::Sums, frame)) => (&answers.sums, frame),
            Ok(Heard::Frame(Channel::Results, frame)) => (&answers.results, frame),
            Ok(Heard::Frame(Channel::Ops, _)) => return Err("the target sent operations".to_owned()),
            // They may go to a terminal.
            Ok(Heard::End(how)) => return how.map_err(|words| escape(words.as_bytes())),
            Err(_) if cut.is_cut() => return Ok(()),
            Err(error) => return Err(format!("the line to the target is lost: {error}")),
        };
        // Who reads them would wait for those that do not come.
        if let Err(error) = validate(&frame) {
            return Err(format!("what the target said is no answer: {error}"));
        }
        // Who wants no answers any more needs none.
        let _ = to.send(frame);
    }
}

/// Reads all answers of a frame.
fn validate(frame: &[u8]) -> Result<(), WireError> {
    let mut reader = Reader::new(frame);
    while !reader.is_empty() {
        Answer::decode(&mut reader)?;
    }
    Ok(())
}

/// Runs a target at this end of a line; blocks until it has ended. `serve` is the applier. The error: it, or the source, did not come
/// to a good end.
/// `lost`: what has carried the line has failed, and its source may dial anew.
pub fn receive<E: std::fmt::Display>(
    line: &Arc<Line>,
    cut: Arc<Cut>,
    lost: impl Fn() + Send + Sync + 'static,
    serve: impl FnOnce(TargetEnd) -> Result<(), E>,
) -> Result<(), String> {
    let _guard = BreaksOff(Arc::clone(line));
    cut.on_cut(breaks_off(line));
    line.mends();
    let (ops, ops_in) = channel();
    let (listings, listings_in) = sync_channel(DEPTH);
    let (sums, sums_in) = sync_channel(DEPTH);
    let (results, results_in) = channel();
    let frames = FramePool::default();
    let waiting = Arc::new(AtomicU64::new(0));
    let results = Results { frames: results, waiting: Some((Arc::clone(&waiting), Arc::clone(&cut))) };
    let ops_in = told(ops_in, line, Channel::Ops);
    let end = TargetEnd {
        ops: ops_in,
        listings,
        sums,
        results,
        frames: frames.clone(),
        local: None,
        cut: Arc::clone(&cut),
    };
    let (hears, pool, cuts) = (Arc::clone(line), frames.clone(), Arc::clone(&cut));
    let (heard_all, all_heard) = channel::<()>();
    start("line in", move || {
        let mut ear = Ear::of(&hears, Some(&lost));
        let mut ops = Some(ops);
        loop {
            match ear.hear(|| pool.take()) {
                // After an end, or once the applier has given up, nobody takes it out.
                Ok(Heard::Frame(Channel::Ops, frame)) => drop(ops.as_ref().map(|ops| ops.send(frame))),
                // What follows is only that answers were taken out.
                Ok(Heard::End(Ok(()))) => ops = None,
                _ => break,
            }
        }
        if ops.is_some() {
            cuts.cut();
        }
        drop(heard_all);
    })?;
    let outgoing =
        [(Channel::Listings, listings_in), (Channel::Sums, sums_in), (Channel::Results, results_in)];
    let mut pumps = Vec::new();
    for (channel, outgoing) in outgoing {
        let (sends, pool, waiting) = (Arc::clone(line), frames.clone(), Arc::clone(&waiting));
        pumps.push(start("line out", move || drop(send_all(&sends, channel, &outgoing, &pool, &waiting)))?);
    }
    let mut served = serve(end).map_err(|error| error.to_string());
    for pump in pumps {
        // A panic there has been reported by the runtime.
        let _ = pump.join();
    }
    if served.is_ok() && cut.is_cut() {
        // Not all that came was applied.
        served = Err("the line was cut".to_owned());
    }
    let _ = line.end(served.as_ref().copied().map_err(String::as_str));
    line.close();
    // The source closes it when it has heard that.
    let _ = all_heard.recv_timeout(PARTING);
    served
}

/// Operations on their way to a line. Whoever hands them over holds what others wait for, and may be told to end: so while the line
/// rests, or its gate is shut, they are taken all the same. They are few, as all that send look whether they may between two.
struct Outgoing<'a> {
    line: &'a Line,
    frames: &'a Receiver<Frame>,
    aside: VecDeque<Frame>,
    bytes: usize,
}

impl Outgoing<'_> {
    /// None: there are no more.
    fn next(&mut self) -> Option<Frame> {
        let Some(frame) = self.aside.pop_front() else { return self.frames.recv().ok() };
        self.bytes -= frame.len();
        Some(frame)
    }

    /// Sends a frame; `packed`: what goes in its place.
    fn send(&mut self, frame: &[u8], packed: Option<&[u8]>) -> io::Result<()> {
        let (mut wait, mut sent) = (AT_REST, Sent::default());
        while !self.line.offer(frame, packed, &mut sent)? {
            while self.bytes < ASIDE_MOST
                && let Ok(frame) = self.frames.try_recv()
            {
                self.bytes += frame.len();
                self.aside.push_back(frame);
            }
            self.line.wait_ready(wait)?;
            // Who sends comes to a stand soon.
            wait = (2 * wait).min(100 * AT_REST);
        }
        Ok(())
    }
}

/// Sends operations, packed where that was chosen; the error: the line is gone, or the target wants none of it any more.
fn send_ops(line: &Line, frames: &Receiver<Frame>, pool: &FramePool, outlet: &Outlet) -> io::Result<()> {
    let (mut packs, mut body) = (Packs::default(), Vec::new());
    let mut at = Instant::now();
    let mut auto = Auto::new(at);
    // The time since the last look.
    let mut lap = || {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut at, now))
    };
    let mut outgoing = Outgoing { line, frames, aside: VecDeque::new(), bytes: 0 };
    while let Some(frame) = outgoing.next() {
        let idle = lap();
        let sent = match outlet.transmission.packing(&auto) {
            None => outgoing.send(&frame, None),
            Some(packing) => {
                let packed = packs.pack(&frame, &packing, &outlet.traffic, &mut body);
                // A stream of which a piece lacks cannot be gone on with.
                let packed = packed.inspect_err(|_| line.break_off())?;
                let took = lap();
                let sent = outgoing.send(&frame, packed.then_some(&body[..]));
                auto.went(Spent { idle, packing: took, sending: lap() }, Instant::now());
                sent
            }
        };
        pool.give(frame);
        sent?;
    }
    Ok(())
}

/// Sends all that comes; the error: the line is gone, or the other end wants none of it any more. `waiting` counts results.
fn send_all(
    line: &Line,
    channel: Channel,
    frames: &Receiver<Frame>,
    pool: &FramePool,
    waiting: &AtomicU64,
) -> io::Result<()> {
    for frame in frames {
        let sent = line.send(channel, &frame);
        if channel == Channel::Results {
            waiting.fetch_sub(Results::cost(&frame), Relaxed);
        }
        pool.give(frame);
        sent?;
    }
    Ok(())
}

/// A thread that a change passes through on its way.
fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    let work = inherit(move || {
        // Without it changes arrive later when the machine is busy.
        let _ = sys::hurry();
        work();
    });
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|error| format!("no thread for the line: {error}"))
}
