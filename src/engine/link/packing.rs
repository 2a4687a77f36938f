//! Which bytes of a frame are compressed on their way to another machine (TRN-40 to -44): all but the content of small files
//! (`MinCompressionFileSize`), of files whose extension says that they are compressed already (`SkipCompressionFileExt`), and what
//! cannot be compressed, as a sample of it tells.
//!
//! Frames are taken apart here, on the line's thread, so who fills them does not know of it. Of a larger file the size is known
//! as far as it was sent.

use crate::engine::transmission::{Packing, Traffic};
use crate::wire::packed::{Packer, Run};
use crate::wire::{OWNERS, Op, Patch, Reader};
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

/// A stretch of content that is too short to be worth a stop of the compressor.
const SHORT: usize = 64;
/// Bytes of content that are looked at for whether they can be compressed, in so many places.
const SAMPLE: usize = 4096;
const PLACES: usize = 16;
/// Bits of information in a byte of the sample from which on it cannot be. A sample of that size of what is random has 7.95.
const DENSE: f64 = 7.8;
/// Most files that are under way and skipped; the target holds no more of them open than a few hundred.
const SKIPPED_MOST: usize = 4096;

/// Packs the frames of one line. The decisions about a file last from its beginning to its end.
#[derive(Debug, Default)]
pub(super) struct Packs {
    packer: Option<Packer>,
    owner: usize,
    /// Files under way whose extension says that they are compressed already.
    skipped: HashSet<u64>,
}

/// What a frame is made of.
#[derive(Debug, Default, PartialEq)]
struct Parts {
    runs: Vec<Run>,
    /// Bytes that are compressed, and those of them that are content of each owner's files.
    packed: usize,
    content: [usize; OWNERS],
}

impl Packs {
    /// Packs a frame into `body`. False: it is better sent as it is.
    pub(super) fn pack(
        &mut self,
        frame: &[u8],
        packing: &Packing,
        traffic: &Traffic,
        body: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let Some(parts) = self.take_apart(frame, packing).filter(|parts| parts.packed >= SHORT) else {
            return Ok(false);
        };
        body.clear();
        let packer = match &mut self.packer {
            Some(packer) => packer,
            none => none.insert(Packer::new(packing.level)?),
        };
        let became = packer.pack(frame, &parts.runs, packing.level, body)?;
        let spared = parts.packed.saturating_sub(became) as u64;
        for (owner, content) in parts.content.into_iter().enumerate() {
            let share = u128::from(spared) * content as u128 / parts.packed as u128;
            traffic.spared[owner].fetch_add(u64::try_from(share).unwrap_or(0), Relaxed);
        }
        Ok(true)
    }

    /// None: it is no frame of operations.
    fn take_apart(&mut self, frame: &[u8], packing: &Packing) -> Option<Parts> {
        let (mut reader, mut parts) = (Reader::new(frame), Parts::default());
        // Where the present run began, and what is as it is.
        let mut begun = 0;
        while !reader.is_empty() {
            let op = Op::decode(&mut reader).ok()?;
            let end = frame.len() - reader.remaining();
            // Content stands at the end of its operation.
            let (content, skipped) = match &op {
                Op::By { who } => {
                    self.owner = usize::from(*who).min(OWNERS - 1);
                    continue;
                }
                Op::Put { name, content, .. } => {
                    (*content, (content.len() as u64) < packing.smallest || packing.skips(name))
                }
                Op::FileBegin { file, name, .. } => {
                    if packing.skips(name) && self.skipped.len() < SKIPPED_MOST {
                        self.skipped.insert(*file);
                    }
                    continue;
                }
                Op::FileEnd { file, .. } | Op::FileDrop { file } => {
                    self.skipped.remove(file);
                    continue;
                }
                Op::FileWrite { file, offset, patch: Patch::Bytes(content) } => {
                    let size = offset.saturating_add(content.len() as u64);
                    (*content, size < packing.smallest || self.skipped.contains(file))
                }
                _ => continue,
            };
            if content.len() < SHORT || !(skipped || is_dense(content)) {
                parts.content[self.owner] += content.len();
                continue;
            }
            let start = place_of(frame, content)?.start;
            debug_assert!(start + content.len() <= end);
            parts.packed += start - begun;
            parts.runs.push((start - begun, content.len()));
            begun = start + content.len();
        }
        parts.packed += frame.len() - begun;
        parts.runs.push((frame.len() - begun, 0));
        Some(parts)
    }
}

/// Where these bytes of a frame stand in it.
fn place_of(frame: &[u8], bytes: &[u8]) -> Option<Range<usize>> {
    let start = (bytes.as_ptr() as usize).checked_sub(frame.as_ptr() as usize)?;
    let end = start.checked_add(bytes.len())?;
    (end <= frame.len()).then_some(start..end)
}

/// Is it compressed already, encrypted or random? A sample of it has nearly eight bits of information in a byte.
fn is_dense(content: &[u8]) -> bool {
    if content.len() < SAMPLE / 4 {
        // Too few to tell.
        return false;
    }
    let mut counts = [0u32; 256];
    let piece = (SAMPLE / PLACES).min(content.len() / PLACES);
    let step = content.len() / PLACES;
    for place in 0..PLACES {
        let from = place * step;
        content[from..from + piece].iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    }
    let total = f64::from(u32::try_from(PLACES * piece).unwrap_or(1));
    let bits = |count: u32| {
        let share = f64::from(count) / total;
        -share * share.log2()
    };
    let entropy: f64 = counts.into_iter().filter(|count| *count > 0).map(bits).sum();
    // A small sample of what is random shows less than it has, by half a bit for each of 256 values in it.
    entropy + 255.0 / (2.0 * std::f64::consts::LN_2 * total) > DENSE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Meta, Xattrs};
    use crate::wire::FileMode;
    use crate::wire::packed::{Packed, Unpacker};

    const META: Meta = Meta { mode: 0o600, uid: 0, gid: 0, mtime: (0, 0) };

    fn packing() -> Packing {
        Packing { level: 3, smallest: 1024, skipped: ["jpg".to_owned(), "gz".to_owned()].into() }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for byte in &mut bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state >> 32) as u8;
        }
        bytes
    }

    fn put<'a>(name: &'a str, content: &'a [u8]) -> Op<'a> {
        Op::Put { name: name.as_bytes(), meta: META, xattrs: Xattrs::default(), content }
    }

    fn write(file: u64, offset: u64, content: &[u8]) -> Op<'_> {
        Op::FileWrite { file, offset, patch: Patch::Bytes(content) }
    }

    /// Bytes that are sent as they are.
    fn same(packs: &mut Packs, ops: &[Op<'_>]) -> usize {
        let mut frame = Vec::new();
        ops.iter().for_each(|op| op.encode(&mut frame));
        let parts = packs.take_apart(&frame, &packing()).unwrap();
        assert_eq!(parts.runs.iter().map(|(packed, same)| packed + same).sum::<usize>(), frame.len());
        assert_eq!(parts.packed, parts.runs.iter().map(|(packed, _)| packed).sum::<usize>());
        parts.runs.iter().map(|(_, same)| same).sum()
    }

    /// TRN-44, MinCompressionFileSize, SkipCompressionFileExt.
    #[test]
    fn what_is_small_listed_or_dense_goes_as_it_is() {
        let (text, noise) = ("text ".repeat(1000).into_bytes(), noise(5000));
        let mut packs = Packs::default();
        assert_eq!(same(&mut packs, &[put("a.txt", &text)]), 0);
        assert_eq!(same(&mut packs, &[put("a.txt", &text[..1024])]), 0);
        assert_eq!(same(&mut packs, &[put("a.txt", &text[..1023])]), 1023);
        assert_eq!(same(&mut packs, &[put("a.JPG", &text), put("b.tar.gz", &text), put("c", &text)]), 10_000);
        assert_eq!(same(&mut packs, &[put("jpg", &text), put(".jpg", &text)]), 0, "no extension");
        assert_eq!(same(&mut packs, &[put("a", &noise), put("b", &text)]), 5000);
        // A file under way, over several frames.
        let begin = |file, name: &'static [u8]| Op::FileBegin { file, name, mode: FileMode::Whole };
        assert_eq!(same(&mut packs, &[begin(1, b"a.jpg"), begin(2, b"a"), write(1, 0, &text)]), 5000);
        assert_eq!(
            same(&mut packs, &[write(1, 5000, &text), write(2, 0, &text), write(2, 0, &text[..900])]),
            5900
        );
        assert_eq!(same(&mut packs, &[write(2, 5000, &text[..900]), write(2, 0, &noise)]), 5000);
        assert_eq!(same(&mut packs, &[Op::FileDrop { file: 1 }, write(1, 5000, &text)]), 0);
    }

    #[test]
    fn what_is_spared_counts_for_whose_content_it_was() {
        let (mut packs, traffic, mut body) = (Packs::default(), Traffic::default(), Vec::new());
        let text = "text ".repeat(1000).into_bytes();
        let mut frame = Vec::new();
        for op in [put("a", &text), Op::By { who: 1 }, put("b", &text), put("c", &text)] {
            op.encode(&mut frame);
        }
        assert!(packs.pack(&frame, &packing(), &traffic, &mut body).unwrap());
        let mut unpacked = Vec::new();
        Unpacker::new().unwrap().unpack(&Packed::parse(&body).unwrap(), &mut unpacked).unwrap();
        assert_eq!(unpacked, frame);
        let [job, replication] = [0, 1].map(|owner| traffic.spared[owner].load(Relaxed));
        assert!((4800..5000).contains(&job) && (9600..10_000).contains(&replication), "{job} {replication}");
        // The owner is the stream's, not the frame's.
        let mut frame = Vec::new();
        put("d", &text).encode(&mut frame);
        assert!(packs.pack(&frame, &packing(), &traffic, &mut body).unwrap());
        assert_eq!(traffic.spared[0].load(Relaxed), job);
        // Too little is not worth it, and what is no frame goes as it is.
        assert!(!packs.pack(b"\x14\x00", &packing(), &traffic, &mut body).unwrap());
        assert!(!packs.pack(&[255; 100], &packing(), &traffic, &mut body).unwrap());
    }

    #[test]
    fn dense_is_what_a_compressor_cannot_make_smaller() {
        let random = noise(100_000);
        for len in [1024, 2000, 4096, 65_536, 100_000] {
            assert!(is_dense(&random[..len]), "{len}");
        }
        let packed =
            zstd::bulk::compress("some words, some of them again ".repeat(9999).as_bytes(), 3).unwrap();
        assert!(!is_dense(&packed[..packed.len().min(1000)]), "too few to tell");
        let halves: Vec<u8> =
            random.iter().flat_map(|byte| [b'0' + (byte >> 4), b'0' + (byte & 15)]).collect();
        assert!(!is_dense(&halves), "base 16");
        let machine_code = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_dense(&machine_code[..1 << 20]));
    }
}
