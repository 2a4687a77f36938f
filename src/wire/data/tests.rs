use super::testing::{lines, ways, ways_of};
use super::*;
use std::sync::Arc;

fn hear(ear: &mut Ear<'_>) -> io::Result<Heard> {
    ear.hear(Vec::new)
}

#[test]
fn frames_of_any_size_arrive_as_they_were_sent() {
    let (source, target) = lines();
    let frames: Vec<Vec<u8>> =
        [0, 1, PIECE - 8, PIECE, PIECE + 1, 1 << 20].iter().map(|len| vec![*len as u8 ^ 7; *len]).collect();
    let sent = frames.clone();
    let sender = std::thread::spawn(move || {
        for frame in &sent {
            source.send(Channel::Ops, frame).unwrap();
        }
        source.end(Ok(())).unwrap();
        let mut ear = Ear::of(&source, None);
        assert_eq!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Results, b"seen".to_vec()));
        assert_eq!(hear(&mut ear).unwrap(), Heard::End(Err("a reason".into())));
        assert!(hear(&mut ear).is_err());
    });
    let mut ear = Ear::of(&target, None);
    for frame in frames {
        assert_eq!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Ops, frame));
    }
    assert_eq!(hear(&mut ear).unwrap(), Heard::End(Ok(())));
    target.send(Channel::Results, b"seen").unwrap();
    target.end(Err("a reason")).unwrap();
    target.break_off();
    sender.join().unwrap();
}

/// Lets out what it is told to, and writes down what went.
#[derive(Debug)]
struct Portions {
    most: usize,
    shut: AtomicBool,
    went: AtomicU64,
    /// Portions until it shuts.
    left: AtomicU64,
}

impl Gate for Portions {
    fn take(&self, want: usize, over: &dyn Fn() -> bool) -> Leave {
        if over() {
            return Leave::Over;
        }
        if self.shut.load(Relaxed) {
            return Leave::Shut;
        }
        if self.left.fetch_sub(1, Relaxed) == 1 {
            self.shut.store(true, Relaxed);
        }
        Leave::Go(want.min(self.most))
    }

    fn went(&self, took: usize, went: usize) {
        assert!(took == 0 || went <= took, "{took} {went}");
        self.went.fetch_add(went as u64, Relaxed);
    }

    fn wait_open(&self, _: Duration, _: &dyn Fn() -> bool) {
        std::thread::yield_now();
    }

    fn wake(&self) {}
}

fn portions(most: usize) -> Arc<Portions> {
    Arc::new(Portions {
        most,
        shut: AtomicBool::new(false),
        went: AtomicU64::new(0),
        left: AtomicU64::new(u64::MAX),
    })
}

/// What goes over the wire for a frame is what the gate has let out, and no more than that.
#[test]
fn frames_leave_in_portions_and_are_counted_as_they_go_over_the_wire() {
    for most in [64, 1000, 16_406, 70_000, usize::MAX] {
        let (source, target) = lines();
        let gate = portions(most);
        source.pass(gate.clone());
        let mut ear = Ear::of(&target, None);
        for len in [0, 1, 33, 5000, PIECE - 8, PIECE, 200_000] {
            let frame: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let before = gate.went.load(Relaxed);
            let sends = {
                let (source, frame) = (Arc::clone(&source), frame.clone());
                std::thread::spawn(move || assert!(source.offer(&frame, None, &mut Sent::default()).unwrap()))
            };
            assert_eq!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Ops, frame));
            sends.join().unwrap();
            target.took(Channel::Ops, len);
            let went = gate.went.load(Relaxed) - before;
            assert!(went as usize >= wire_len(len), "{most} {len}: {went}");
            assert!(
                most < 1000 || went as usize <= wire_len(len) + 30 * (1 + len / (most.min(PIECE) - 60)),
                "{most} {len}: {went}"
            );
        }
    }
}

/// A gate that shuts in the midst of a frame lets nothing more of it out, and what is short passes; the line comes to rest, goes on
/// over another socket, and the frame is whole.
#[test]
fn a_frame_is_held_in_its_midst_and_goes_on_over_another_socket() {
    let (source, target) = lines();
    let gate = portions(1000);
    gate.left.store(20, Relaxed);
    source.pass(gate.clone());
    let frame: Vec<u8> = (0..300_000).map(|at| (at % 253) as u8).collect();
    let heard = {
        let target = Arc::clone(&target);
        std::thread::spawn(move || {
            let mut ear = Ear::of(&target, None);
            hear(&mut ear).unwrap()
        })
    };
    // What the source hears: that the line rests.
    let hears = Arc::clone(&source);
    let ear = std::thread::spawn(move || {
        let mut ear = Ear::of(&hears, None);
        while hear(&mut ear).is_ok() {}
    });
    let mut sent = Sent::default();
    assert!(!source.offer(&frame, None, &mut sent).unwrap());
    let went = sent.bytes;
    assert_eq!(went, 20 * (1000 - 30));
    assert!(!source.offer(&frame, None, &mut sent).unwrap());
    source.leave(Channel::Listings);
    assert_eq!(sent.bytes, went);
    assert!(!heard.is_finished());
    source.rest(Duration::from_secs(10)).unwrap();
    assert!(source.is_at_rest());
    gate.shut.store(false, Relaxed);
    assert!(!source.offer(&frame, None, &mut sent).unwrap(), "it rests");
    let (one, other) = ways();
    source.go_on(one.0, one.1, None, Duration::ZERO).unwrap();
    target.go_on(other.0, other.1, None, Duration::from_secs(10)).unwrap();
    source.wait_carried(Duration::from_secs(10)).unwrap();
    assert!(source.offer(&frame, None, &mut sent).unwrap());
    assert_eq!(heard.join().unwrap(), Heard::Frame(Channel::Ops, frame));
    source.break_off();
    ear.join().unwrap();
}

#[test]
fn a_channel_that_nobody_empties_holds_up_no_other_and_goes_on_when_it_is() {
    let (source, target) = lines();
    let (frame, count) = (vec![1; 256 << 10], 64);
    let sender = {
        let (source, frame) = (Arc::clone(&source), frame.clone());
        std::thread::spawn(move || (0..count).for_each(|_| source.send(Channel::Listings, &frame).unwrap()))
    };
    // What tells the sender to go on is heard by its own ear.
    let ear_of_source = std::thread::spawn(move || hear(&mut Ear::of(&source, None)));
    let mut ear = Ear::of(&target, None);
    let mut waiting = 0;
    while waiting < WINDOW {
        assert!(matches!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Listings, _)));
        waiting += frame.len() as u64 + COST;
    }
    // The window is full now, and the other way is free.
    assert!(!sender.is_finished());
    let full = waiting / (frame.len() as u64 + COST);
    (0..full).for_each(|_| target.took(Channel::Listings, frame.len()));
    for _ in full..count {
        assert!(matches!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Listings, _)));
        target.took(Channel::Listings, frame.len());
    }
    sender.join().unwrap();
    target.end(Ok(())).unwrap();
    assert_eq!(ear_of_source.join().unwrap().unwrap(), Heard::End(Ok(())));
}

#[test]
fn who_sends_more_than_the_window_or_what_is_no_message_is_not_heard() {
    let head = |kind, channel, len: u32| {
        let mut head = vec![kind, channel, 0, 0];
        head.extend_from_slice(&len.to_le_bytes());
        head
    };
    for bad in [
        head(FRAME, 9, 0),
        head(9, 0, 0),
        head(PART, 0, 0),
        head(PART, 1, 1),
        head(PART, 0, u32::MAX),
        head(FRAME, 0, FRAME_MAX as u32 + 1),
        head(TAKEN, 0, 5),
        [head(TAKEN, 0, 4), vec![1, 0, 0, 0]].concat(),
        head(END, 0, WORDS_MAX as u32 + 1),
        head(LEFT, 0, 1),
        head(REST, 0, 1),
        head(AGAIN, 0, 0),
        vec![FRAME, 0, 1, 0, 0, 0, 0, 0],
    ] {
        let (source, target) = lines();
        let (way, mut out) = source.turn().unwrap();
        seal(&way, &mut out.sealed, [&bad, &[]]).unwrap();
        drop(out);
        let error = hear(&mut Ear::of(&target, None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{bad:?}: {error}");
    }
    let (source, target) = lines();
    let sender =
        std::thread::spawn(move || while source.write(FRAME, Channel::Ops, &[0; 1 << 20]).is_ok() {});
    let mut ear = Ear::of(&target, None);
    let error = (0..6).find_map(|_| hear(&mut ear).err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    // Closed with what was not read, it ends the sender, whose window may be full.
    drop(ear);
    drop(target);
    sender.join().unwrap();
}

#[test]
fn who_waits_for_an_end_that_does_not_read_can_be_freed() {
    for channels in [&[Channel::Ops][..], &CHANNELS] {
        let (source, target) = lines();
        let (began, begun) = std::sync::mpsc::channel();
        let senders: Vec<_> = channels
            .iter()
            .map(|channel| {
                let (waits, began, channel) = (Arc::clone(&source), began.clone(), *channel);
                std::thread::spawn(move || {
                    began.send(()).unwrap();
                    while waits.send(channel, &[0; 1 << 20]).is_ok() {}
                })
            })
            .collect();
        senders.iter().for_each(|_| begun.recv().unwrap());
        // Windows, or the socket, are full sooner or later; in either it is freed.
        source.break_off();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        let mut ear = Ear::of(&target, None);
        while hear(&mut ear).is_ok() {}
    }
}

#[test]
fn who_sends_on_a_channel_that_was_left_hears_of_it() {
    let (source, target) = lines();
    let hears = Arc::clone(&target);
    let ear = std::thread::spawn(move || {
        let mut ear = Ear::of(&hears, None);
        while hear(&mut ear).is_ok() {}
    });
    source.leave(Channel::Listings);
    let error = loop {
        // The window is larger than what is sent until it is heard, or it is full: then it waits.
        if let Err(error) = target.send(Channel::Listings, &[0; 1000]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    // The others are as they were.
    target.send(Channel::Results, b"more").unwrap();
    source.break_off();
    ear.join().unwrap();
}

/// The line goes on over another socket, as the source and its target do it.
fn go_on(source: &Arc<Line>, target: &Arc<Line>) {
    let (ours, theirs) = ways();
    source.go_on(ours.0, ours.1, None, Duration::ZERO).unwrap();
    target.go_on(theirs.0, theirs.1, None, Duration::from_secs(10)).unwrap();
}

/// TRN-02: what was under way arrives once and in its order, whenever the line rests.
#[test]
fn a_line_that_rests_again_and_again_loses_nothing() {
    let (source, target) = lines();
    const FRAMES: u32 = 100;
    let taken = Arc::new(AtomicU64::new(0));
    // Sends numbers, and takes out what comes.
    let talk = |line: Arc<Line>, sends: Channel| {
        let (hears, takes) = (Arc::clone(&line), Arc::clone(&line));
        let (heard, frames) = std::sync::mpsc::channel();
        let ear = std::thread::spawn(move || {
            let mut ear = Ear::of(&hears, None);
            while let Heard::Frame(channel, frame) = hear(&mut ear).unwrap() {
                heard.send((channel, frame)).unwrap();
            }
            drop(heard);
            // The other end may come to rest once more.
            hear(&mut ear).unwrap_err()
        });
        // Who hears never waits for a turn to write.
        let taken = Arc::clone(&taken);
        let taker = std::thread::spawn(move || {
            for number in 0..FRAMES {
                let (channel, frame) = frames.recv().unwrap();
                assert_eq!(frame[..4], number.to_le_bytes());
                takes.took(channel, frame.len());
                taken.fetch_add(1, Relaxed);
            }
            assert!(frames.recv().is_err());
        });
        let sender = std::thread::spawn(move || {
            for number in 0..FRAMES {
                // More than a window in all.
                let mut frame = vec![7; 100_000];
                frame[..4].copy_from_slice(&number.to_le_bytes());
                line.send(sends, &frame).unwrap();
            }
            line.end(Ok(())).unwrap();
        });
        (ear, sender, taker)
    };
    let near = talk(Arc::clone(&source), Channel::Ops);
    let far = talk(Arc::clone(&target), Channel::Results);
    let mut rests = 0;
    while !(near.1.is_finished() && far.1.is_finished()) {
        // In the midst of it, again and again.
        if taken.load(Relaxed) < 10 * rests {
            std::thread::yield_now();
            continue;
        }
        source.rest(Duration::from_secs(10)).unwrap();
        assert!(source.is_at_rest());
        rests += 1;
        go_on(&source, &target);
    }
    assert!(rests > 3, "{rests}");
    for thread in [near.1, near.2, far.1, far.2] {
        thread.join().unwrap();
    }
    source.break_off();
    target.break_off();
    near.0.join().unwrap();
    far.0.join().unwrap();
}

/// What was taken out while the line rests is told when it goes on: the sender waits for it.
#[test]
fn a_full_window_is_emptied_over_a_rest() {
    let (source, target) = lines();
    let frame = vec![1; 1 << 20];
    let sender = {
        let (source, frame) = (Arc::clone(&source), frame.clone());
        std::thread::spawn(move || (0..8).for_each(|_| source.send(Channel::Ops, &frame).unwrap()))
    };
    let hears = Arc::clone(&source);
    let ear_of_source = std::thread::spawn(move || hear(&mut Ear::of(&hears, None)).unwrap_err());
    let mut ear = Ear::of(&target, None);
    // As much as may be under way; none is taken out.
    (0..4).for_each(|_| drop(hear(&mut ear).unwrap()));
    let resting = Arc::clone(&source);
    let rest = std::thread::spawn(move || resting.rest(Duration::from_secs(10)).unwrap());
    let rest_of_them = std::thread::scope(|scope| {
        let ear = scope.spawn(move || {
            (4..8).filter(|_| matches!(hear(&mut ear), Ok(Heard::Frame(Channel::Ops, _)))).count()
        });
        rest.join().unwrap();
        // Nobody can be told at the moment.
        (0..4).for_each(|_| target.took(Channel::Ops, frame.len()));
        target.leave(Channel::Results);
        go_on(&source, &target);
        ear.join().unwrap()
    });
    sender.join().unwrap();
    assert_eq!(rest_of_them, 4);
    source.break_off();
    ear_of_source.join().unwrap();
}

#[test]
fn who_waits_for_a_line_that_rests_can_be_freed() {
    let line = Arc::new(Line::at_rest(Side::Source));
    assert!(line.is_at_rest());
    let (sends, hears) = (Arc::clone(&line), Arc::clone(&line));
    let sender = std::thread::spawn(move || sends.send(Channel::Ops, b"frame").unwrap_err());
    let ear = std::thread::spawn(move || hear(&mut Ear::of(&hears, None)).unwrap_err());
    // Neither is an error, and neither waits: nobody hears them before it goes on.
    line.took(Channel::Results, WINDOW as usize);
    line.leave(Channel::Listings);
    line.break_off();
    assert_eq!(sender.join().unwrap().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(ear.join().unwrap().kind(), ErrorKind::ConnectionAborted);
    let (ours, _theirs) = ways();
    assert!(line.go_on(ours.0, ours.1, None, Duration::ZERO).is_err());
}

/// Who hands frames over is told that the line rests, also in the midst of waiting for room.
#[test]
fn what_is_offered_to_a_line_that_rests_is_not_waited_for() {
    let (source, target) = lines();
    let hears = Arc::clone(&target);
    let ear = std::thread::spawn(move || {
        let mut ear = Ear::of(&hears, None);
        while hear(&mut ear).is_ok() {}
    });
    let answers = Arc::clone(&source);
    let answered = std::thread::spawn(move || hear(&mut Ear::of(&answers, None)));
    let offers = Arc::clone(&source);
    // Nothing is taken out, so the window fills.
    let sender =
        std::thread::spawn(move || while offers.offer(&[0; 100_000], None, &mut Sent::default()).unwrap() {});
    source.rest(Duration::from_secs(10)).unwrap();
    sender.join().unwrap();
    assert!(!source.offer(b"x", None, &mut Sent::default()).unwrap());
    source.wait_carried(Duration::from_millis(1)).unwrap();
    source.break_off();
    assert!(
        source.offer(b"x", None, &mut Sent::default()).is_err()
            && source.wait_carried(Duration::from_secs(60)).is_err()
    );
    target.break_off();
    ear.join().unwrap();
    assert!(answered.join().unwrap().is_err());
}

/// A target that has a line rest by itself, or never does, and a source that goes on without a rest.
#[test]
fn a_rest_that_nobody_asked_for_or_answers_is_none() {
    let (source, target) = lines();
    target.write(REST, Channel::Ops, &[]).unwrap();
    assert_eq!(hear(&mut Ear::of(&source, None)).unwrap_err().kind(), ErrorKind::InvalidData);
    let (source, target) = lines();
    let hears = Arc::clone(&source);
    let ear = std::thread::spawn(move || hear(&mut Ear::of(&hears, None)));
    assert_eq!(source.rest(Duration::from_millis(20)).unwrap_err().kind(), ErrorKind::TimedOut);
    source.break_off();
    assert!(ear.join().unwrap().is_err());
    let (_, theirs) = ways();
    let refused = target.go_on(theirs.0, theirs.1, None, Duration::ZERO).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
}

fn packed(frame: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut packer = crate::wire::packed::Packer::new(3).unwrap();
    packer.pack(frame, &[(frame.len(), 0)], 3, &mut body).unwrap();
    body
}

/// Packed frames count as what they become: a bomb of many small messages is one, too.
#[test]
fn packed_frames_arrive_and_take_no_more_than_the_window() {
    let (source, target) = lines();
    let mut packer = crate::wire::packed::Packer::new(1).unwrap();
    let mut ear = Ear::of(&target, None);
    for level in [1, 1, 9] {
        let (frame, mut body) = (vec![level; 100_000], Vec::new());
        packer.pack(&frame, &[(99_000, 1000)], level, &mut body).unwrap();
        assert!(source.offer(&frame, Some(&body), &mut Sent::default()).unwrap());
        source.send(Channel::Ops, b"between").unwrap();
        assert_eq!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Ops, frame.clone()));
        assert_eq!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Ops, b"between".to_vec()));
        (0..2).for_each(|n| target.took(Channel::Ops, [frame.len(), 7][n]));
    }
    let (source, target) = lines();
    let mut packer = crate::wire::packed::Packer::new(1).unwrap();
    let frame = vec![0; 1 << 20];
    for _ in 0..6 {
        let mut body = Vec::new();
        packer.pack(&frame, &[(frame.len(), 0)], 1, &mut body).unwrap();
        assert!(body.len() < 1000);
        // Without the sender's own look at the window.
        source.write(PACKED, Channel::Ops, &body).unwrap();
    }
    let mut ear = Ear::of(&target, None);
    let heard = (0..6).map_while(|_| hear(&mut ear).ok()).count();
    assert_eq!(heard, 4);
}

#[test]
fn what_is_packed_wrongly_or_on_another_channel_is_not_heard() {
    let good = packed(b"some content, some content");
    let mut long = good.clone();
    long.extend_from_slice(&[0xff; 20]);
    for (kind, channel, body) in [
        (PACKED, Channel::Results, good.clone()),
        (PACKED, Channel::Ops, good[..good.len() - 8].to_vec()),
        (PACKED, Channel::Ops, long),
        (PACKED, Channel::Ops, Vec::new()),
        (PACKED, Channel::Ops, vec![0; crate::wire::packed::PACKED_MAX + 1]),
    ] {
        let (source, target) = lines();
        let sender = {
            let body = body.clone();
            std::thread::spawn(move || {
                // It may be broken off in the midst of it.
                let _ = source.write(kind, channel, &body);
                source
            })
        };
        let error = hear(&mut Ear::of(&target, None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{channel:?} {}: {error}", body.len());
        drop(target);
        sender.join().unwrap();
    }
    // Nothing comes packed from a target.
    let (source, target) = lines();
    target.write(PACKED, Channel::Ops, &good).unwrap();
    assert_eq!(hear(&mut Ear::of(&source, None)).unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn packed_frames_are_put_together_and_parts_are_bounded() {
    let (source, target) = lines();
    let gate = portions(100);
    source.pass(gate);
    let mut packer = crate::wire::packed::Packer::new(3).unwrap();
    let mut ear = Ear::of(&target, None);
    for round in 0..3u8 {
        let frame: Vec<u8> = (0..20_000u32).map(|at| (at / 7) as u8 ^ round).collect();
        let mut body = Vec::new();
        // Half of it as it is, so that many parts are needed.
        packer.pack(&frame, &[(10_000, 10_000)], 3, &mut body).unwrap();
        assert!(source.offer(&frame, Some(&body), &mut Sent::default()).unwrap());
        assert_eq!(hear(&mut ear).unwrap(), Heard::Frame(Channel::Ops, frame));
    }
    // Parts that never end, and an end that makes too much of them.
    for end in [PART, FRAME] {
        let (source, target) = lines();
        let sender = std::thread::spawn(move || {
            while source.write(PART, Channel::Ops, &[0; 1 << 20]).is_ok() {
                if end == FRAME && source.write(PART, Channel::Listings, &[]).is_ok() {
                    break;
                }
            }
        });
        let mut ear = Ear::of(&target, None);
        let error = hear(&mut ear).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert!(ear.parts.len() <= 2 * FRAME_MAX, "{}", ear.parts.len());
        drop(ear);
        drop(target);
        sender.join().unwrap();
    }
}

/// Frames with their numbers, of any size, packed or not.
fn numbered(number: u32) -> Vec<u8> {
    let len = [0, 3, 1000, 40_000, 90_000][number as usize % 5];
    let mut frame = number.to_le_bytes().to_vec();
    frame.extend((0..len).map(|at| (at as u32 ^ number) as u8));
    frame
}

/// Cables that are cut at any byte of either direction, with what is under way lost: all that was said is heard, once and in its order.
#[test]
fn a_line_goes_on_over_other_sockets_when_they_fail() {
    const FRAMES: u32 = 600;
    let mut state = 7_u64;
    let random = move |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let (source, target) = (Arc::new(Line::at_rest(Side::Source)), Arc::new(Line::at_rest(Side::Target)));
    let (one, other) = ways_of([100_000, 100_000]);
    [&source, &target].into_iter().for_each(|line| line.mends());
    source.go_on(one.0, one.1, None, Duration::ZERO).unwrap();
    target.go_on(other.0, other.1, None, Duration::ZERO).unwrap();
    let cables = AtomicU64::new(0);
    let random = Mutex::new(random);
    let redials = || {
        while source.is_at_rest() {
            let count = cables.fetch_add(1, Relaxed);
            let mut random = lock(&random);
            let bytes = [0; 2].map(|_| {
                let scale = random(19).max(1);
                if count < 200 { random(1 << scale) as usize } else { usize::MAX / 2 }
            });
            let (one, other) = ways_of(bytes);
            let theirs = target.heard_last(Duration::from_secs(10)).unwrap();
            target.go_on(other.0, other.1, Some(source.heard()), Duration::ZERO).unwrap();
            // It may be cut already.
            let _ = source.go_on(one.0, one.1, Some(theirs), Duration::ZERO);
        }
    };
    fn hears<'a>(line: &'a Arc<Line>, channel: Channel, redials: Option<&'a (dyn Fn() + Sync)>) -> Ear<'a> {
        let mut ear = Ear::of(line, redials);
        for number in 0..FRAMES {
            let frame = numbered(number);
            assert_eq!(hear(&mut ear).unwrap(), Heard::Frame(channel, frame.clone()), "{number}");
            line.took(channel, frame.len());
        }
        assert_eq!(hear(&mut ear).unwrap(), Heard::End(Ok(())));
        ear
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut packer = crate::wire::packed::Packer::new(3).unwrap();
            for number in 0..FRAMES {
                let (frame, mut body, mut sent) = (numbered(number), Vec::new(), Sent::default());
                let packs = number % 3 == 0;
                if packs {
                    packer.pack(&frame, &[(frame.len(), 0)], 3, &mut body).unwrap();
                }
                while !source.offer(&frame, packs.then_some(&body[..]), &mut sent).unwrap() {
                    source.wait_ready(Duration::from_millis(10)).unwrap();
                }
            }
            source.end(Ok(())).unwrap();
        });
        scope.spawn(|| {
            (0..FRAMES).for_each(|number| target.send(Channel::Results, &numbered(number)).unwrap());
            // While the source has still to hear it.
            target.write(END, Channel::Ops, &[]).unwrap();
        });
        scope.spawn(|| {
            let mut ear = hears(&target, Channel::Ops, None);
            while hear(&mut ear).is_ok() {}
        });
        hears(&source, Channel::Results, Some(&redials));
        // It waits for a source whose cable was cut.
        target.break_off();
    });
    assert!(cables.load(Relaxed) > 20, "{cables:?}");
    // What was heard is not kept: of some 16 MiB a window at most.
    let kept: usize = source.out.lock().kept.behind(0).map(<[u8]>::len).sum();
    assert!(kept < WINDOW as usize + FRAME_MAX, "{kept}");
}

/// An end that takes everything out and confirms nothing, or more than was said, is not served for ever.
#[test]
fn who_confirms_nothing_is_given_up() {
    let (source, target) = lines();
    source.mends();
    let ear = {
        let target = Arc::clone(&target);
        std::thread::spawn(move || {
            let mut ear = Ear::of(&target, None);
            // It does not mend, so it confirms nothing.
            while let Ok(Heard::Frame(channel, frame)) = hear(&mut ear) {
                target.took(channel, frame.len());
            }
        })
    };
    let hears = Arc::clone(&source);
    let other = std::thread::spawn(move || while hear(&mut Ear::of(&hears, None)).is_ok() {});
    let frame = vec![7; 1 << 20];
    let sent = (0..200).take_while(|_| source.send(Channel::Ops, &frame).is_ok()).count() as u64;
    assert!((60..80).contains(&sent), "{sent} MiB");
    ear.join().unwrap();
    other.join().unwrap();
    let (source, target) = lines();
    [&source, &target].into_iter().for_each(|line| line.mends());
    target.write(HEARD, Channel::Ops, &u64::MAX.to_le_bytes()).unwrap();
    target.end(Ok(())).unwrap();
    assert_eq!(hear(&mut Ear::of(&source, None)).unwrap(), Heard::End(Ok(())));
    assert!(source.send(Channel::Ops, b"x").is_err());
}

/// A socket that the other end closes has not failed: it has ended.
#[test]
fn a_line_whose_other_end_is_closed_is_over() {
    let (source, target) = lines();
    [&source, &target].into_iter().for_each(|line| line.mends());
    target.break_off();
    let error = hear(&mut Ear::of(&source, Some(&|| panic!("nobody is there to be dialled")))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

/// Who claims to have heard what was not said, or not to have heard what it has told of, is not gone on with.
#[test]
fn a_line_goes_on_from_where_it_can_alone() {
    let (source, target) = lines();
    [&source, &target].into_iter().for_each(|line| line.mends());
    let hears = Arc::clone(&target);
    let ear = std::thread::spawn(move || while hear(&mut Ear::of(&hears, None)).is_ok() {});
    source.send(Channel::Ops, &[1; 100]).unwrap();
    lock(&source.ways).writes = None;
    lock(&source.ways).hears = None;
    source.out.lock().kept.forget(108);
    for heard in [0, 107, 109, u64::MAX] {
        let (ours, _theirs) = ways();
        let refused = source.go_on(ours.0, ours.1, Some(heard), Duration::ZERO).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{heard}");
    }
    let (ours, _theirs) = ways();
    source.go_on(ours.0, ours.1, Some(108), Duration::ZERO).unwrap();
    target.break_off();
    ear.join().unwrap();
}
