//! The two ends with a line between two machines. Each machine has one end, threads that send what comes to it, and one that
//! hears what the other says.
//!
//! The source's part runs in [`carry`], in place of a target in this process: it ends when the target has said its last word, or the
//! line is gone. The target's part, [`receive`], runs the applier itself. A line that is gone without an end cuts the target: it
//! drops what it has not taken up yet, as the source will send anew whatever was not acknowledged.

use super::{DEPTH, Frame, FramePool, Inlet, SourceEnd, TargetEnd};
use crate::engine::log::inherit;
use crate::sys;
use crate::wire::data::{Channel, Ear, Heard, Line};
use crate::wire::{Answer, Reader, WireError};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, atomic::AtomicBool};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the source may take to close a line that has come to its end.
const PARTING: Duration = Duration::from_secs(10);

/// What carries the frames of a source's end.
pub struct Carrier {
    line: Arc<Line>,
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

/// The source's end of a line that stands.
pub fn source(line: Arc<Line>) -> (SourceEnd, Carrier) {
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
    (end, Carrier { line, ops: ops_in, answers: Answers { listings, sums, results }, frames })
}

/// What comes out here is told to the line.
fn told(frames: Receiver<Frame>, line: &Arc<Line>, channel: Channel) -> Inlet {
    let line = Arc::clone(line);
    Inlet { frames, took: Some(Box::new(move |len| line.took(channel, len))) }
}

/// Carries until the target has ended; blocks. The error: why it ended before its source did.
pub fn carry(carrier: Carrier) -> Result<(), String> {
    let Carrier { line, ops, answers, frames } = carrier;
    let (sends, pool) = (Arc::clone(&line), frames.clone());
    // It ends when the source closes its end, which it does once it has heard that the target has ended: so that is not waited for.
    start("line out", move || {
        let sent = send_all(&sends, Channel::Ops, &ops, &pool);
        // A line that is gone is noticed by who hears.
        if sends.is_cut() || sent.and_then(|()| sends.end(Ok(()))).is_err() {
            sends.break_off();
        }
    })?;
    let mut ear = Ear::of(&line);
    let ended = loop {
        let (to, frame) = match ear.hear(|| frames.take()) {
            Ok(Heard::Frame(Channel::Listings, frame)) => (&answers.listings, frame),
            Ok(Heard::Frame(Channel::Sums, frame)) => (&answers.sums, frame),
            Ok(Heard::Frame(Channel::Results, frame)) => (&answers.results, frame),
            Ok(Heard::Frame(Channel::Ops, _)) => break Err("the target sent operations".to_owned()),
            Ok(Heard::End(how)) => break how,
            Err(_) if line.is_cut() => break Ok(()),
            Err(error) => break Err(format!("the line to the target is lost: {error}")),
        };
        // Who reads them would wait for those that do not come.
        if let Err(error) = validate(&frame) {
            break Err(format!("what the target said is no answer: {error}"));
        }
        // Who wants no answers any more needs none.
        let _ = to.send(frame);
    };
    line.break_off();
    ended
}

/// Reads all answers of a frame.
fn validate(frame: &[u8]) -> Result<(), WireError> {
    let mut reader = Reader::new(frame);
    while !reader.is_empty() {
        Answer::decode(&mut reader)?;
    }
    Ok(())
}

/// Runs a target at this end of a line; blocks until it has ended. `serve` is the applier.
pub fn receive<E: std::fmt::Display>(
    line: &Arc<Line>,
    cut: Arc<AtomicBool>,
    serve: impl FnOnce(TargetEnd) -> Result<(), E>,
) -> Result<(), String> {
    let (ops, ops_in) = channel();
    let (listings, listings_in) = sync_channel(DEPTH);
    let (sums, sums_in) = sync_channel(DEPTH);
    let (results, results_in) = channel();
    let frames = FramePool::default();
    let end = TargetEnd {
        ops: told(ops_in, line, Channel::Ops),
        listings,
        sums,
        results,
        frames: frames.clone(),
        local: None,
        cut: Arc::clone(&cut),
    };
    let (hears, pool) = (Arc::clone(line), frames.clone());
    let (heard_all, all_heard) = channel::<()>();
    start("line in", move || {
        let mut ear = Ear::of(&hears);
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
            cut.store(true, Relaxed);
        }
        drop(heard_all);
    })?;
    let outgoing =
        [(Channel::Listings, listings_in), (Channel::Sums, sums_in), (Channel::Results, results_in)];
    let mut pumps = Vec::new();
    for (channel, outgoing) in outgoing {
        let (sends, pool) = (Arc::clone(line), frames.clone());
        let pump = start("line out", move || drop(send_all(&sends, channel, &outgoing, &pool)));
        pumps.push(pump.inspect_err(|_| line.break_off())?);
    }
    let served = serve(end).map_err(|error| error.to_string());
    for pump in pumps {
        // A panic there has been reported by the runtime.
        let _ = pump.join();
    }
    let _ = line.end(served.as_ref().copied().map_err(String::as_str));
    line.close();
    // The source closes it when it has heard that.
    let _ = all_heard.recv_timeout(PARTING);
    line.break_off();
    served
}

/// Sends all that comes; the error: the line is gone.
fn send_all(
    line: &Line,
    channel: Channel,
    frames: &Receiver<Frame>,
    pool: &FramePool,
) -> std::io::Result<()> {
    for frame in frames {
        let sent = line.send(channel, &frame);
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
