//! Packed frames: what a frame is as it crosses a line compressed (TRN-41).
//!
//! ```text
//! runs   number of runs, then for each the bytes of it that are compressed and those behind them that are as they are
//! raw    the bytes of all runs that are as they are
//! zstd   the rest: a piece of the line's one stream of zstd, flushed
//! ```
//!
//! Numbers are LEB128. The stream goes on from frame to frame, so that small ones profit from what came before; it may end and
//! another begin within a piece (the level changes). Who unpacks knows the size before memory is taken, takes a window of
//! [`WINDOW_LOG`] at most, and believes nothing: pieces that yield more or less than was said end the line.

use super::{FRAME_MAX, WireError};
use std::io::{self, ErrorKind};
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

/// Memory of the window, as a power of two.
pub const WINDOW_LOG: u32 = 21;

/// Levels that may be chosen.
pub const LEVELS: std::ops::RangeInclusive<u8> = 1..=19;

/// Most bytes of a packed frame. What cannot be compressed grows by three bytes in 128 KiB, and the runs take some.
pub const PACKED_MAX: usize = FRAME_MAX + (FRAME_MAX >> 6) + (64 << 10);

/// Most runs of a packed frame: a sender makes one for 64 bytes of content at most, and each takes memory.
pub const RUNS_MAX: usize = 200_000;

/// Bytes that are compressed, and those behind them that are as they are.
pub type Run = (usize, usize);

/// Packs the frames of one line.
pub struct Packer {
    encoder: Encoder<'static>,
    level: u8,
    /// The stream has begun.
    begun: bool,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packer(level {})", self.level)
    }
}

impl Packer {
    pub fn new(level: u8) -> io::Result<Packer> {
        let mut encoder = Encoder::new(i32::from(level))?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        Ok(Packer { encoder, level, begun: false })
    }

    /// Appends the packed frame to `body`. `runs` cover the frame. The bytes that its compressed ones have become. After an error the
    /// line cannot be gone on with.
    pub fn pack(&mut self, frame: &[u8], runs: &[Run], level: u8, body: &mut Vec<u8>) -> io::Result<usize> {
        put(body, runs.len());
        let mut at = 0;
        for (packed, raw) in runs {
            put(body, *packed);
            put(body, *raw);
        }
        for (packed, raw) in runs {
            let from = at + packed;
            body.extend_from_slice(part(frame, from, *raw)?);
            at = from + raw;
        }
        if at != frame.len() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let start = body.len();
        if self.level != level {
            if self.begun {
                whole(body, |out| self.encoder.finish(out, true))?;
                self.encoder.reinit()?;
            }
            self.encoder.set_parameter(CParameter::CompressionLevel(i32::from(level)))?;
            (self.level, self.begun) = (level, false);
        }
        let mut at = 0;
        for (packed, raw) in runs {
            let mut input = InBuffer::around(part(frame, at, *packed)?);
            while input.pos() < *packed {
                body.reserve(((packed - input.pos()) / 2).max(4096));
                let end = body.len();
                self.encoder.run(&mut input, &mut OutBuffer::around_pos(body, end))?;
                self.begun = true;
            }
            at += packed + raw;
        }
        if self.begun {
            whole(body, |out| self.encoder.flush(out))?;
        }
        Ok(body.len() - start)
    }
}

/// Has the encoder write all that it holds.
fn whole(
    body: &mut Vec<u8>,
    mut write: impl FnMut(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> io::Result<()> {
    loop {
        body.reserve(4096);
        let end = body.len();
        if write(&mut OutBuffer::around_pos(body, end))? == 0 {
            return Ok(());
        }
    }
}

fn part(frame: &[u8], at: usize, len: usize) -> io::Result<&[u8]> {
    frame.get(at..at + len).ok_or_else(|| ErrorKind::InvalidInput.into())
}

/// A packed frame that was taken apart: its size is known, and nothing of it unpacked.
#[derive(Debug)]
pub struct Packed<'a> {
    runs: Vec<Run>,
    raw: &'a [u8],
    stream: &'a [u8],
    /// Bytes of the frame, at most [`FRAME_MAX`].
    pub len: usize,
}

impl<'a> Packed<'a> {
    pub fn parse(mut body: &'a [u8]) -> Result<Packed<'a>, WireError> {
        let count = get(&mut body)?;
        // Each takes two bytes at least.
        if count > body.len() / 2 {
            return Err(WireError::Truncated);
        }
        if count > RUNS_MAX {
            return Err(WireError::TooLong { what: "list of runs", limit: RUNS_MAX });
        }
        let (mut runs, mut len, mut raw_len) = (Vec::with_capacity(count), 0usize, 0usize);
        for _ in 0..count {
            let run = (get(&mut body)?, get(&mut body)?);
            // Neither is over 32 bits.
            len = len.saturating_add(run.0).saturating_add(run.1);
            raw_len = raw_len.saturating_add(run.1);
            if len > FRAME_MAX {
                return Err(WireError::TooLong { what: "packed frame", limit: FRAME_MAX });
            }
            runs.push(run);
        }
        let (raw, stream) = body.split_at_checked(raw_len).ok_or(WireError::Truncated)?;
        Ok(Packed { runs, raw, stream, len })
    }
}

/// Unpacks the frames of one line.
pub struct Unpacker {
    decoder: Decoder<'static>,
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacker")
    }
}

impl Unpacker {
    pub fn new() -> io::Result<Unpacker> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Unpacker { decoder })
    }

    /// Unpacks into an empty frame. After an error the line cannot be gone on with.
    pub fn unpack(&mut self, packed: &Packed<'_>, frame: &mut Vec<u8>) -> Result<(), WireError> {
        frame.resize(packed.len, 0);
        let mut input = InBuffer::around(packed.stream);
        let (mut rest, mut raw) = (frame.as_mut_slice(), packed.raw);
        for (compressed, plain) in &packed.runs {
            let cut = rest.split_at_mut_checked(*compressed).and_then(|(into, rest)| {
                let (same, rest) = rest.split_at_mut_checked(*plain)?;
                Some((into, same, rest))
            });
            let (into, same, behind) = cut.ok_or(WireError::Truncated)?;
            let (from, raw_behind) = raw.split_at_checked(*plain).ok_or(WireError::Truncated)?;
            self.fill(&mut input, into)?;
            same.copy_from_slice(from);
            (rest, raw) = (behind, raw_behind);
        }
        self.nothing_left(&mut input)
    }

    /// Unpacks exactly so many bytes.
    fn fill(&mut self, input: &mut InBuffer<'_>, into: &mut [u8]) -> Result<(), WireError> {
        let mut done = 0;
        while done < into.len() {
            let (read, written) = self.step(input, &mut into[done..])?;
            done += written;
            if (read, written) == (0, 0) {
                return Err(WireError::Truncated);
            }
        }
        Ok(())
    }

    /// All of the piece was read, and nothing more comes of it.
    fn nothing_left(&mut self, input: &mut InBuffer<'_>) -> Result<(), WireError> {
        loop {
            let (read, written) = self.step(input, &mut [0])?;
            if written > 0 {
                return Err(WireError::Invalid("packed frame's size"));
            }
            if read == 0 {
                break;
            }
        }
        if input.pos() < input.src.len() { Err(WireError::Invalid("packed frame's end")) } else { Ok(()) }
    }

    /// Bytes that were read and written.
    fn step(&mut self, input: &mut InBuffer<'_>, into: &mut [u8]) -> Result<(usize, usize), WireError> {
        let before = input.pos();
        let mut output = OutBuffer::around(into);
        self.decoder.run(input, &mut output).map_err(|_| WireError::Invalid("packed frame"))?;
        Ok((input.pos() - before, output.pos()))
    }
}

fn put(out: &mut Vec<u8>, number: usize) {
    let mut rest = number;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A number of at most 32 bits, in the fewest bytes.
fn get(from: &mut &[u8]) -> Result<usize, WireError> {
    let mut number = 0u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = from.split_first().ok_or(WireError::Truncated)?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let fewest = shift == 0 || *byte != 0;
            let fits = u32::try_from(number).ok().filter(|_| fewest).and_then(|n| usize::try_from(n).ok());
            return fits.ok_or(WireError::Invalid("packed frame's number"));
        }
    }
    Err(WireError::Invalid("packed frame's number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpack(unpacker: &mut Unpacker, body: &[u8]) -> Result<Vec<u8>, WireError> {
        let mut frame = Vec::new();
        unpacker.unpack(&Packed::parse(body)?, &mut frame)?;
        Ok(frame)
    }

    fn packed(packer: &mut Packer, frame: &[u8], runs: &[Run], level: u8) -> Vec<u8> {
        let mut body = Vec::new();
        packer.pack(frame, runs, level, &mut body).unwrap();
        body
    }

    /// Bytes that cannot be compressed.
    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect()
    }

    /// A body by hand.
    fn body(runs: &[Run], raw: &[u8], stream: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, runs.len());
        runs.iter().for_each(|(packed, same)| {
            put(&mut out, *packed);
            put(&mut out, *same);
        });
        [out.as_slice(), raw, stream].concat()
    }

    #[test]
    fn frames_come_out_as_they_went_in_at_every_level_and_profit_from_those_before() {
        let (mut packer, mut unpacker) = (Packer::new(3).unwrap(), Unpacker::new().unwrap());
        let text: Vec<u8> =
            (0..40_000u32).flat_map(|n| format!("line {}\n", n * n % 977).into_bytes()).collect();
        let mut sizes = Vec::new();
        for level in LEVELS.chain([3, 3]) {
            let runs = [(1000, 0), (text.len() - 3000, 1500), (500, 0)];
            let body = packed(&mut packer, &text, &runs, level);
            assert!(body.len() < text.len() / 3, "{level}: {}", body.len());
            assert_eq!(unpack(&mut unpacker, &body).unwrap(), text, "{level}");
            sizes.push(body.len());
        }
        // The same once more is nearly nothing, but for what is as it is.
        assert!(sizes[20] < 2500 && sizes[19] > 2 * sizes[20], "{sizes:?}");
        let nothing = packed(&mut packer, b"", &[], 3);
        assert_eq!(unpack(&mut unpacker, &nothing).unwrap(), b"");
        let noise = noise(FRAME_MAX, 7);
        let body = packed(&mut packer, &noise, &[(FRAME_MAX, 0)], 3);
        assert!(body.len() <= PACKED_MAX);
        assert!(unpack(&mut unpacker, &body).unwrap() == noise);
        // As many runs as a frame may have.
        let runs = vec![(1, 1); 100_000];
        let frame = vec![7; 200_000];
        assert_eq!(unpack(&mut unpacker, &packed(&mut packer, &frame, &runs, 3)).unwrap(), frame);
    }

    /// A bomb, sizes that lie either way, what follows, what is cut, a window that is too large.
    #[test]
    fn a_piece_that_is_not_what_it_says_is_refused_before_memory_is_taken() {
        let wide = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        let made = packed(&mut Packer::new(19).unwrap(), &vec![0; FRAME_MAX], &[(FRAME_MAX, 0)], 19);
        let zeros = Packed::parse(&made).unwrap().stream;
        let refused = |body: &[u8]| unpack(&mut Unpacker::new().unwrap(), body).unwrap_err();
        assert!(zeros.len() < 16 << 10, "{}", zeros.len());
        assert!(matches!(refused(&body(&[(64 << 20, 0)], b"", &wide)), WireError::TooLong { .. }));
        assert!(matches!(refused(&body(&[(FRAME_MAX, 1)], b"x", zeros)), WireError::TooLong { .. }));
        assert!(matches!(refused(&body(&vec![(0, 0); RUNS_MAX + 1], b"", b"")), WireError::TooLong { .. }));
        assert_eq!(refused(&body(&[(1000, 0)], b"", &wide)), WireError::Invalid("packed frame"));
        assert!(matches!(
            refused(&body(&[(0xffff_ffff, 0xffff_ffff); 3], b"", b"")),
            WireError::TooLong { .. }
        ));
        assert_eq!(refused(&body(&[(1000, 0)], b"", zeros)), WireError::Invalid("packed frame's size"));
        assert_eq!(refused(&body(&[], b"", zeros)), WireError::Invalid("packed frame's size"));
        let small = zstd::bulk::compress(b"content", 3).unwrap();
        assert_eq!(unpack(&mut Unpacker::new().unwrap(), &body(&[(7, 0)], b"", &small)).unwrap(), b"content");
        assert_eq!(refused(&body(&[(8, 0)], b"", &small)), WireError::Truncated);
        assert_eq!(refused(&body(&[(6, 0)], b"", &small)), WireError::Invalid("packed frame's size"));
        assert_eq!(refused(&body(&[(7, 0)], b"", &small[..small.len() - 1])), WireError::Truncated);
        let behind = [small.as_slice(), b"more"].concat();
        assert!(matches!(refused(&body(&[(7, 0)], b"", &behind)), WireError::Invalid(_)));
        assert_eq!(refused(&body(&[(0, 4)], b"raw", b"")), WireError::Truncated);
        assert_eq!(refused(&body(&[(7, 0)], b"", b"")), WireError::Truncated);
        assert_eq!(refused(b""), WireError::Truncated);
        assert_eq!(refused(&[0xff, 0xff, 0xff, 0xff, 0x0f]), WireError::Truncated);
        assert!(matches!(refused(&[0xff, 0xff, 0xff, 0xff, 0x1f]), WireError::Invalid(_)));
        assert!(matches!(refused(&[0x80, 0x00]), WireError::Invalid(_)));
        let mut encoder = Encoder::new(3).unwrap();
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG + 1)).unwrap();
        let mut wide = Vec::with_capacity(1 << 20);
        encoder.run(&mut InBuffer::around(b"content"), &mut OutBuffer::around(&mut wide)).unwrap();
        let end = wide.len();
        encoder.flush(&mut OutBuffer::around_pos(&mut wide, end)).unwrap();
        assert_eq!(refused(&body(&[(7, 0)], b"", &wide)), WireError::Invalid("packed frame"));
    }

    fn pieces() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
        let bytes = prop_oneof![
            (any::<u64>(), 0..5000usize).prop_map(|(seed, len)| noise(len, seed)),
            (any::<u8>(), 0..5000usize).prop_map(|(byte, len)| vec![byte; len]),
            "[a-c ]{0,300}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec((bytes, any::<bool>()), 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_frames_in_any_runs_come_out_as_they_went_in(frames in proptest::collection::vec((pieces(), 1..6u8), 1..5)) {
            let (mut packer, mut unpacker) = (Packer::new(1).unwrap(), Unpacker::new().unwrap());
            for (pieces, level) in frames {
                let runs: Vec<Run> = pieces
                    .iter()
                    .map(|(bytes, packed)| if *packed { (bytes.len(), 0) } else { (0, bytes.len()) })
                    .collect();
                let frame = pieces.into_iter().flat_map(|(bytes, _)| bytes).collect::<Vec<u8>>();
                let body = packed(&mut packer, &frame, &runs, level);
                prop_assert_eq!(unpack(&mut unpacker, &body).unwrap(), frame);
            }
        }

        /// What a peer sends is a frame of the size that was said, or it is refused.
        #[test]
        fn any_bytes_are_a_frame_of_their_size_or_refused(
            runs in proptest::collection::vec((0..3000usize, 0..300usize), 0..4),
            raw in proptest::collection::vec(any::<u8>(), 0..600),
            stream in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            for bytes in [body(&runs, &raw, &stream), stream] {
                let Ok(packed) = Packed::parse(&bytes) else { continue };
                let mut frame = Vec::new();
                if Unpacker::new().unwrap().unpack(&packed, &mut frame).is_ok() {
                    prop_assert_eq!(frame.len(), packed.len);
                }
            }
        }

        /// Any bit that is changed, any byte that lacks: an error, or a frame of the size that is said.
        #[test]
        fn what_was_damaged_on_its_way_takes_no_more_than_it_says(at in any::<prop::sample::Index>(), bit in 0..8u8, cut in any::<bool>()) {
            let mut packer = Packer::new(3).unwrap();
            let frame: Vec<u8> = (0..3000u32).flat_map(|n| n.to_string().into_bytes()).collect();
            let mut bytes = packed(&mut packer, &frame, &[(frame.len() - 100, 100)], 3);
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            if let Ok(packed) = Packed::parse(&bytes) {
                let mut into = Vec::new();
                let unpacked = Unpacker::new().unwrap().unpack(&packed, &mut into);
                prop_assert!(into.len() <= FRAME_MAX);
                prop_assert!(!cut || unpacked.is_err());
            }
        }
    }
}
