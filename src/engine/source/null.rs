//! The null target: takes every operation, keeps nothing (JOB-15, Throughput Diagnostics Utility).

use crate::engine::link::TargetEnd;
use crate::wire::{Answer, Load, OWNERS, Op, Patch, Reader, WireError};

/// Reads and validates all that comes, and answers what a target that succeeds answers.
pub(super) fn serve(end: TargetEnd) -> Result<(), WireError> {
    let answer = |answer: &Answer<'_>| {
        let mut frame = Vec::new();
        answer.encode(&mut frame);
        // A source that has gone needs no answer.
        let _ = end.results.send(frame);
    };
    let (mut who, mut done) = (0, [Done::default(); OWNERS]);
    let tell = |done: &mut [Done; OWNERS]| {
        for (who, Done { bytes, load }) in (0..).zip(std::mem::take(done)) {
            if load != Load::default() {
                answer(&Answer::Applied { who, bytes, load });
            }
        }
    };
    while let Ok(frame) = end.ops.recv() {
        let mut reader = Reader::new(&frame);
        while !reader.is_empty() {
            let before = reader.remaining();
            let op = Op::decode(&mut reader)?;
            if let Op::By { who: next } = op {
                who = next;
            }
            let own = &mut done[usize::from(who)];
            own.load += Load::of(&op, before - reader.remaining());
            match op {
                Op::Put { content, .. } => own.bytes += content.len() as u64,
                Op::FileWrite { patch: Patch::Bytes(content), .. } => own.bytes += content.len() as u64,
                // There is nothing to describe.
                Op::Scan { .. } => {
                    let mut frame = Vec::new();
                    Answer::ScanEnd.encode(&mut frame);
                    let _ = end.listings.send(frame);
                }
                Op::FileAsk { file } => answer(&Answer::Written { file }),
                Op::Barrier { barrier } => {
                    // Who hears of a barrier has heard of all before it.
                    tell(&mut done);
                    answer(&Answer::Reached { barrier });
                }
                _ => {}
            }
        }
        end.frames.give(frame);
        tell(&mut done);
    }
    Ok(())
}

/// What of an owner was taken and not told yet.
#[derive(Clone, Copy, Default)]
struct Done {
    bytes: u64,
    load: Load,
}
