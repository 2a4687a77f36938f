//! The null target: takes every operation, keeps nothing (JOB-15, Throughput Diagnostics Utility).

use crate::engine::link::TargetEnd;
use crate::wire::{Answer, Op, Patch, Reader, WireError};

/// Reads and validates all that comes, and answers what a target that succeeds answers.
pub(super) fn serve(end: TargetEnd) -> Result<(), WireError> {
    let answer = |answer: &Answer<'_>| {
        let mut frame = Vec::new();
        answer.encode(&mut frame);
        // A source that has gone needs no answer.
        let _ = end.results.send(frame);
    };
    while let Ok(frame) = end.ops.recv() {
        let mut reader = Reader::new(&frame);
        let mut bytes = 0;
        while !reader.is_empty() {
            match Op::decode(&mut reader)? {
                Op::Put { content, .. } => bytes += content.len() as u64,
                Op::FileWrite { patch: Patch::Bytes(content), .. } => bytes += content.len() as u64,
                Op::FileAsk { file } => answer(&Answer::Written { file }),
                Op::Barrier { barrier } => answer(&Answer::Reached { barrier }),
                _ => {}
            }
        }
        end.frames.give(frame);
        if bytes > 0 {
            answer(&Answer::Applied { bytes });
        }
    }
    Ok(())
}
