//! A limit of the bandwidth (TRN-30, -31), and what may leave by it: at most so many bytes in any span.
//!
//! Bytes that were let out are inside the span until it has passed since they had left for sure; so however late who writes
//! comes to it, no span of that length holds more. A limit by rate is kept to in each second, and leaves evenly within it;
//! one by bytes and seconds may be used up at once.

use crate::api::{ApiError, BandwidthSpec, Code};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The greatest limit, kilobits per second; the number above it stands for none (conBandwidthLimit).
const KBIT_MOST: u64 = 4_294_967_294;
/// The longest span: a day.
const SECONDS_MOST: u64 = 86_400;
/// Bytes a second below which a limit is told to be a small one (TRN-33).
pub const SMALL: u64 = 3500;

/// A limit. What is kept of it is its rate in kilobits per second (TRN-31), and the burst of the form that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BandwidthSpec", into = "BandwidthSpec")]
pub struct Limit {
    kbit: u64,
    /// Bytes and seconds.
    burst: Option<(u64, u64)>,
}

impl TryFrom<BandwidthSpec> for Limit {
    type Error = ApiError;

    /// -101 for one that nothing could be sent by, or that is none.
    fn try_from(spec: BandwidthSpec) -> Result<Limit, ApiError> {
        let invalid = |message: String| ApiError::new(Code::InvalidParameterWasSupplied, message);
        let (kbit, burst) = match spec {
            BandwidthSpec::Kbit(kbit) => (u128::from(kbit), None),
            BandwidthSpec::Burst { bytes, seconds } => {
                if !(1..=SECONDS_MOST).contains(&seconds) {
                    return Err(invalid(format!("{seconds} seconds are no span of a bandwidth limit"))
                        .help(format!("1 to {SECONDS_MOST} seconds, a day")));
                }
                (u128::from(bytes) * 8 / (1000 * u128::from(seconds)), Some((bytes, seconds)))
            }
        };
        match u64::try_from(kbit) {
            Ok(0) => Err(invalid(
                "a bandwidth limit of less than 1 kbit/s (125 bytes in a second) sends nothing".into(),
            )
            .help(
                "TRANSMISSION PAUSE <target> holds all; else give more, 28 kbit/s are the advised minimum",
            )),
            Ok(kbit) if kbit <= KBIT_MOST => Ok(Limit { kbit, burst }),
            _ => Err(invalid(format!("that is more than the greatest bandwidth limit, {KBIT_MOST} kbit/s"))
                .help("LIMIT BANDWIDTH OFF TO <target> lifts the limit")),
        }
    }
}

impl From<Limit> for BandwidthSpec {
    fn from(limit: Limit) -> BandwidthSpec {
        match limit.burst {
            Some((bytes, seconds)) => BandwidthSpec::Burst { bytes, seconds },
            None => BandwidthSpec::Kbit(limit.kbit),
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} kbit/s", self.kbit)?;
        match self.burst {
            Some((bytes, 1)) => write!(f, ", at most {bytes} bytes in 1 second"),
            Some((bytes, seconds)) => write!(f, ", at most {bytes} bytes in {seconds} seconds"),
            None => Ok(()),
        }
    }
}

impl Limit {
    /// Kilobits per second, rounded down.
    pub fn kbit(self) -> u64 {
        self.kbit
    }

    /// Bytes, and the span that holds no more of them.
    pub fn most(self) -> (u64, Duration) {
        match self.burst {
            Some((bytes, seconds)) => (bytes, Duration::from_secs(seconds)),
            None => (self.kbit * 125, Duration::from_secs(1)),
        }
    }

    /// How long bytes count: the span, and a little more, so that who counts them at the other end finds no more in one, though
    /// some come later than others.
    fn memory(self) -> Duration {
        let span = self.most().1;
        span + span / 128
    }

    /// Is it below what is advised?
    pub fn is_small(self) -> bool {
        let (bytes, span) = self.most();
        bytes < SMALL.saturating_mul(span.as_secs())
    }
}

/// Into how many parts a span's record is divided: what leaves within one of them counts as having left at its end.
const GRAINS: u32 = 512;
/// Of an even limit so much time's worth may leave at once: who is late by less makes up for it.
const AT_ONCE: Duration = Duration::from_millis(200);
/// Bytes that are let out at once: no more, so that lines take turns, and no fewer, as each portion costs some thirty on the wire.
const PORTION: std::ops::RangeInclusive<u64> = 512..=(64 << 10) + 4096;

/// A kilobit per second lets one of so many parts of a byte leave in a nanosecond.
const PARTS: i128 = 8_000_000;

/// What has left, and what may.
#[derive(Debug)]
pub struct Bucket {
    limit: Option<Limit>,
    /// First and last moment at which these bytes left.
    gone: VecDeque<(Instant, Instant, u64)>,
    /// Their sum.
    inside: u64,
    /// Let out, and maybe still on its way to the socket.
    under_way: u64,
    /// What may leave now by an even limit, in parts of a byte ([`PARTS`]); below zero after what nobody had asked for. As of `at`.
    even: i128,
    at: Instant,
}

impl Bucket {
    pub fn new(now: Instant) -> Bucket {
        Bucket { limit: None, gone: VecDeque::new(), inside: 0, under_way: 0, even: 0, at: now }
    }

    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// What has left lately counts for the new limit, too.
    pub fn set(&mut self, limit: Option<Limit>, now: Instant) {
        self.limit = limit;
        (self.even, self.at) = (0, now);
        match limit {
            Some(_) => self.forget(now),
            None => {
                self.gone.clear();
                self.inside = 0;
            }
        }
    }

    /// How many of `want` bytes may leave now: all, or a portion. The error: ask again then, or when something has changed.
    pub fn take(&mut self, want: u64, now: Instant) -> Result<u64, Instant> {
        let Some(limit) = self.limit else {
            self.under_way += want;
            return Ok(want);
        };
        self.forget(now);
        let most = limit.most().0;
        // What is short and never waits (some tens of bytes now and then) has room of its own.
        let most = most - (most >> 8).min(1024);
        let portion = (limit.kbit * 125 / 50).clamp(*PORTION.start(), *PORTION.end()).min(most);
        let least = want.min((portion / 8).max(64));
        let room = most.saturating_sub(self.inside + self.under_way);
        if room < least {
            // Enough of the oldest has to be forgotten.
            let mut freed = room;
            let enough = self.gone.iter().find(|(_, _, bytes)| {
                freed += bytes;
                freed >= least
            });
            return Err(enough.map_or(now + AT_ONCE, |(_, last, _)| *last + limit.memory()));
        }
        let took = want.min(room).min(portion);
        if limit.burst.is_none() {
            self.flow(limit, now);
            let lacks = i128::from(took) * PARTS - self.even;
            if lacks > 0 {
                let nanoseconds = lacks / i128::from(limit.kbit) + 1;
                return Err(now + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX >> 8)));
            }
        }
        self.even -= i128::from(took) * PARTS;
        self.under_way += took;
        Ok(took)
    }

    /// Of `took` bytes `went` have left by now.
    pub fn went(&mut self, took: u64, went: u64, now: Instant) {
        self.under_way = self.under_way.saturating_sub(took);
        self.even += (i128::from(took) - i128::from(went)) * PARTS;
        let Some(limit) = self.limit else { return };
        if went == 0 {
            return;
        }
        self.inside += went;
        let grain = limit.most().1 / GRAINS;
        match self.gone.back_mut() {
            Some((first, last, bytes)) if now.saturating_duration_since(*first) < grain => {
                *last = now.max(*last);
                *bytes += went;
            }
            _ => self.gone.push_back((now, now, went)),
        }
    }

    /// Bytes whose span has passed.
    fn forget(&mut self, now: Instant) {
        let Some(limit) = self.limit else { return };
        let memory = limit.memory();
        while let Some((_, last, bytes)) = self.gone.front()
            && now.saturating_duration_since(*last) >= memory
        {
            self.inside -= bytes;
            self.gone.pop_front();
        }
    }

    /// Time has passed for an even limit.
    fn flow(&mut self, limit: Limit, now: Instant) {
        let kbit = i128::from(limit.kbit);
        let nanoseconds = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX >> 64);
        // Not less than two portions, or who comes late would lose some of it.
        let portion = (kbit * 125 / 50).clamp((*PORTION.start()).into(), (*PORTION.end()).into());
        let most = (nanoseconds(AT_ONCE) * kbit).max(2 * portion * PARTS);
        let came = nanoseconds(now.saturating_duration_since(self.at)) * kbit;
        self.even = self.even.saturating_add(came).min(most);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests;
