//! The null target: takes every operation, keeps nothing (JOB-15, Throughput Diagnostics Utility).

use crate::engine::link::TargetEnd;
use crate::wire::{Answer, OWNERS, Op, Patch, Reader, WireError};

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
        let mut bytes = [0; OWNERS];
        while !reader.is_empty() {
            match Op::decode(&mut reader)? {
                Op::Put { content, .. } => bytes[usize::from(who)] += content.len() as u64,
                Op::FileWrite { patch: Patch::Bytes(content), .. } => {
                    bytes[usize::from(who)] += content.len() as u64
                }
                Op::By { who: next } => who = next,
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
        for (who, bytes) in (0..).zip(bytes).filter(|(_, bytes)| *bytes > 0) {
            answer(&Answer::Applied { who, bytes });
        }
    }
    Ok(())
}
