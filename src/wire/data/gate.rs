//! What a source's frames pass on their way out of a line: who limits how fast they leave, and holds them up at once.

use super::PIECE;
use std::fmt::Debug;
use std::time::Duration;

/// Most bytes of a frame in one part.
pub const PART_MOST: usize = PIECE - HEAD;

const HEAD: usize = 8;
/// What TLS 1.3 adds to each of its records (head, kind, tag), and the most that is in one.
const RECORD: usize = 5 + 1 + 16;
const RECORD_MOST: usize = 16 << 10;

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// So many bytes, as they go over the wire: all that was wanted, or enough for a part of it (64).
    Go(usize),
    /// Nothing for now: see [`Gate::wait_open`].
    Shut,
    /// Who asked has no reason any more.
    Over,
}

/// Lets bytes leave, and counts those that went. Shared by lines.
pub trait Gate: Send + Sync + Debug {
    /// Waits until some of so many bytes may leave, one line after the other. What is given has to be [told of](Gate::went).
    /// `over` is looked at again when the gate is [woken](Gate::wake).
    fn take(&self, want: usize, over: &dyn Fn() -> bool) -> Leave;
    /// Of `took` bytes that were to leave, or of none, so many have left: more, if nobody had asked.
    fn went(&self, took: usize, went: usize);
    /// Waits while it is shut, for so long at most.
    fn wait_open(&self, time: Duration, over: &dyn Fn() -> bool);
    /// Those who wait look again.
    fn wake(&self);
}

/// What a message with a body of so many bytes becomes on the wire.
pub fn wire_len(body: usize) -> usize {
    let plain = body + HEAD;
    plain + RECORD * plain.div_ceil(RECORD_MOST)
}

/// The longest body whose message takes no more than so many bytes on the wire.
pub(super) fn body_of(wire: usize) -> usize {
    let (full, rest) = (wire / (RECORD_MOST + RECORD), wire % (RECORD_MOST + RECORD));
    (full * RECORD_MOST + rest.saturating_sub(RECORD)).saturating_sub(HEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_fits_into_what_may_leave() {
        for wire in (31..70_000).chain([1 << 20, (1 << 20) + 7]) {
            let body = body_of(wire);
            assert!(body > 0 && wire_len(body) <= wire, "{wire}");
            // Not one byte is wasted, but where another record would begin.
            assert!(wire_len(body + 1) > wire, "{wire}");
        }
        for body in [0, 1, 16_375, 16_376, 16_377, PART_MOST] {
            assert_eq!(body_of(wire_len(body)), body);
        }
    }
}
