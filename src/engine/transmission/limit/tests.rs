use super::*;
use proptest::prelude::*;

fn kbit(kbit: u64) -> Limit {
    Limit::try_from(BandwidthSpec::Kbit(kbit)).unwrap()
}

fn burst(bytes: u64, seconds: u64) -> Limit {
    Limit::try_from(BandwidthSpec::Burst { bytes, seconds }).unwrap()
}

#[test]
fn a_limit_is_kept_as_it_was_typed_and_has_a_rate() {
    for (limit, rate, words) in [
        (kbit(10_000), 10_000, "10000 kbit/s"),
        (burst(1_000_000, 10), 800, "800 kbit/s, at most 1000000 bytes in 10 seconds"),
        (burst(125, 1), 1, "1 kbit/s, at most 125 bytes in 1 second"),
        (burst(1000, 3), 2, "2 kbit/s, at most 1000 bytes in 3 seconds"),
    ] {
        assert_eq!((limit.kbit(), limit.to_string()), (rate, words.to_owned()));
        let kept = serde_json::to_string(&limit).unwrap();
        assert_eq!(serde_json::from_str::<Limit>(&kept).unwrap(), limit);
    }
    assert!(kbit(27).is_small() && !kbit(28).is_small());
    assert!(burst(34_999, 10).is_small() && !burst(35_000, 10).is_small());
}

#[test]
fn absurd_limits_are_refused_with_what_to_type() {
    use BandwidthSpec::{Burst, Kbit};
    for spec in [
        Kbit(0),
        Kbit(KBIT_MOST + 1),
        Kbit(u64::MAX),
        Burst { bytes: 0, seconds: 1 },
        Burst { bytes: 124, seconds: 1 },
        Burst { bytes: 1, seconds: 0 },
        Burst { bytes: u64::MAX, seconds: 1 },
        Burst { bytes: u64::MAX, seconds: u64::MAX },
        Burst { bytes: 1 << 40, seconds: SECONDS_MOST + 1 },
    ] {
        let error = Limit::try_from(spec).unwrap_err();
        assert_eq!(error.code.number(), 101, "{spec:?}");
        assert!(error.help.is_some(), "{spec:?}");
        // Nor is it taken from a file.
        let kept = serde_json::to_string(&spec).unwrap();
        assert!(serde_json::from_str::<Limit>(&kept).is_err(), "{spec:?}");
    }
    assert_eq!(kbit(KBIT_MOST).kbit(), KBIT_MOST);
}

/// One who sends all that may leave, a time after it was let out. When which bytes left, and how many.
fn sends(
    limit: Limit,
    time: Duration,
    mut late: impl FnMut() -> (Duration, Duration),
) -> Vec<(Duration, u64)> {
    let start = Instant::now();
    let mut bucket = Bucket::new(start);
    bucket.set(Some(limit), start);
    let (mut now, mut left) = (start, Vec::new());
    while now < start + time {
        match bucket.take(1 << 20, now) {
            Ok(took) => {
                let (leaves, returns) = late();
                left.push((now + leaves - start, took));
                now += leaves + returns;
                bucket.went(took, took, now);
            }
            Err(again) => {
                assert!(again > now, "who may not send is told when to ask again");
                now = again + late().1;
            }
        }
    }
    left
}

/// The most bytes in any span of that length.
fn most_in(left: &[(Duration, u64)], span: Duration) -> u64 {
    let (mut most, mut sum, mut first) = (0, 0, 0);
    for (at, bytes) in left {
        sum += bytes;
        while left[first].0 + span <= *at {
            sum -= left[first].1;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

proptest! {
    /// However late who sends is, no span of that length holds more.
    #[test]
    fn no_span_holds_more_than_the_limit(
        rate in prop_oneof![1..100u64, 100..200_000u64],
        seconds in prop_oneof![Just(None), (1..20u64).prop_map(Some)],
        lates in prop::collection::vec((0..30_000u64, 0..30_000u64), 1..50),
    ) {
        let limit = match seconds {
            None => kbit(rate),
            Some(seconds) => burst(rate * 125 * seconds, seconds),
        };
        let (bytes, span) = limit.most();
        let mut turn = 0;
        let left = sends(limit, 3 * span, || {
            turn += 1;
            let (leaves, returns) = lates[turn % lates.len()];
            (micros(leaves), micros(returns))
        });
        prop_assert!(most_in(&left, span) <= bytes, "{} of {bytes}", most_in(&left, span));
    }

    /// Nor of several who send at a time, and are late each for himself.
    #[test]
    fn nor_of_several_lines(
        rate in 8..50_000u64,
        lates in prop::collection::vec((0..5_000u64, 0..5_000u64), 3..30),
    ) {
        let limit = burst(rate * 125, 1);
        let (bytes, span) = limit.most();
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        bucket.set(Some(limit), start);
        let (mut now, mut turn, mut left) = (start, 0, Vec::new());
        // When they will have sent, and how much.
        let mut under_way: Vec<(Instant, u64)> = Vec::new();
        while now < start + 3 * span {
            under_way.retain(|(until, took)| {
                let goes_on = *until > now;
                if !goes_on {
                    bucket.went(*took, *took, now);
                }
                goes_on
            });
            let took = if under_way.len() < 4 { bucket.take(1 << 20, now) } else { Err(now + span) };
            let again = match took {
                Ok(took) => {
                    turn += 1;
                    let (leaves, returns) = lates[turn % lates.len()];
                    left.push((now + micros(leaves) - start, took));
                    under_way.push((now + micros(leaves + returns), took));
                    continue;
                }
                Err(again) => again.max(now + micros(1)),
            };
            now = under_way.iter().map(|(until, _)| *until).min().map_or(again, |until| until.min(again).max(now));
        }
        left.sort_unstable();
        prop_assert!(most_in(&left, span) <= bytes, "{} of {bytes}", most_in(&left, span));
    }

    /// A limit that is changed in between: what left before counts, so neither of both is passed.
    #[test]
    fn nor_after_the_limit_was_changed(rates in prop::collection::vec(1..50_000u64, 2..6), late in 0..5000u64) {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let mut now = start;
        let mut left = Vec::new();
        let mut changed = Vec::new();
        for rate in rates {
            let limit = kbit(rate);
            bucket.set(Some(limit), now);
            let from = now - start;
            changed.push((from, limit));
            while now - start < from + Duration::from_millis(1500) {
                match bucket.take(1 << 20, now) {
                    Ok(took) => {
                        left.push((now - start, took));
                        now += micros(late);
                        bucket.went(took, took, now);
                    }
                    Err(again) => now = again.max(now + micros(1)),
                }
            }
        }
        for (at, (from, limit)) in changed.iter().enumerate() {
            let until = changed.get(at + 1).map_or(Duration::MAX, |(until, _)| *until);
            let (bytes, span) = limit.most();
            let here: Vec<_> = left.iter().filter(|(at, _)| (*from..until).contains(at)).copied().collect();
            prop_assert!(most_in(&here, span) <= bytes);
        }
    }
}

/// What may leave does, within 2 percent, in ten seconds; and with a limit of 100 Mbit/s, too, by one who is late by some
/// hundred microseconds each time.
#[test]
fn what_may_leave_does() {
    for limit in
        [kbit(28), kbit(800), kbit(100_000), burst(500_000, 1), burst(1_000_000, 10), kbit(1_000_000)]
    {
        let (bytes, span) = limit.most();
        let ten = Duration::from_secs(10);
        let left = sends(limit, 3 * ten, || (micros(20), micros(150)));
        for from in [0, 10, 20].map(Duration::from_secs) {
            let went: u64 =
                left.iter().filter(|(at, _)| (from..from + ten).contains(at)).map(|(_, bytes)| bytes).sum();
            let most = bytes * 10 / span.as_secs();
            // The first second of an even limit begins with nothing.
            assert!(went * 100 >= most * 98, "{limit}: {went} of {most} from {from:?}");
            assert!(went <= most, "{limit}: {went} of {most}");
        }
    }
}

/// TRN-30: by bytes and seconds all may leave at once; by rate it leaves evenly.
#[test]
fn bursts_are_of_the_form_that_has_them() {
    let quick = || (micros(1), micros(1));
    let left = sends(burst(1_000_000, 10), Duration::from_secs(9), quick);
    let last = left.last().unwrap().0;
    assert!(last < Duration::from_secs(1), "{last:?}");
    let left = sends(kbit(8000), Duration::from_secs(2), quick);
    let tenth = most_in(&left, Duration::from_millis(100));
    assert!(tenth <= 310_000, "{tenth} of 1000000 in a tenth of a second");
}

#[test]
fn what_nobody_asked_for_is_made_up_for_and_what_did_not_leave_is_given_back() {
    let start = Instant::now();
    let mut bucket = Bucket::new(start);
    bucket.set(Some(burst(10_000, 1)), start);
    bucket.went(0, 9_900, start);
    assert!(bucket.take(1000, start).is_err());
    let later = start + Duration::from_millis(1100);
    let took = bucket.take(512, later).unwrap();
    bucket.went(took, 0, later);
    assert_eq!(bucket.take(512, later).unwrap(), 512);
    // Without a limit nothing waits.
    bucket.set(None, later);
    assert_eq!(bucket.take(u64::MAX >> 1, later).unwrap(), u64::MAX >> 1);
}
