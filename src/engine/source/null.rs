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
    let mut who = 0;
    while let Ok(frame) = end.ops.recv() {
        let mut reader = Reader::new(&frame);
        let (mut bytes, mut loads) = ([0; OWNERS], [Load::default(); OWNERS]);
        while !reader.is_empty() {
            let before = reader.remaining();
            let op = Op::decode(&mut reader)?;
            if let Op::By { who: next } = op {
                who = next;
            }
            loads[usize::from(who)] += Load::of(&op, before - reader.remaining());
            match op {
                Op::Put { content, .. } => bytes[usize::from(who)] += content.len() as u64,
                Op::FileWrite { patch: Patch::Bytes(content), .. } => {
                    bytes[usize::from(who)] += content.len() as u64
                }
                // There is nothing to describe.
                Op::Scan { .. } => {
                    let mut frame = Vec::new();
                    Answer::ScanEnd.encode(&mut frame);
                    let _ = end.listings.send(frame);
                }
                Op::FileAsk { file } => answer(&Answer::Written { file }),
                Op::Barrier { barrier } => answer(&Answer::Reached { barrier }),
                _ => {}
            }
        }
        end.frames.give(frame);
        for ((who, load), bytes) in (0..).zip(loads).zip(bytes) {
            if load != Load::default() {
                answer(&Answer::Applied { who, bytes, load });
            }
        }
    }
    Ok(())
}
