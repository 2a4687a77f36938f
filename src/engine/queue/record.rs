//! The format of records and segments, the same in memory and on disk, so that a block is spilled as it is.
//!
//! A record: CRC-32 of all that follows, length of the content (u32), position (u64), bytes that it stands for (u64), content.
//! The CRC is filled in when a block goes to disk; records that stay in memory never pay for it. A segment: a head with
//! magic, version, the queue's own tag, number and first position, then records. All numbers are little-endian.

/// Bytes before a record's content.
pub(super) const HEAD: usize = 24;
/// Longest content of a record: a frame of the stream.
pub const RECORD_MOST: usize = crate::wire::FRAME_MAX;
/// Bytes before a segment's first record.
pub(super) const SEGMENT_HEAD: usize = 40;

const MAGIC: [u8; 8] = *b"DTQUEUE\n";
const VERSION: u32 = 1;

/// A record in a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub position: u64,
    /// Content bytes that it stands for.
    pub bytes: u64,
    pub content: &'a [u8],
    /// Where the next one begins.
    pub end: usize,
}

/// Appends a record without its CRC.
pub(super) fn append(block: &mut Vec<u8>, position: u64, bytes: u64, content: &[u8]) {
    let mut head = [0; HEAD];
    // No longer than RECORD_MOST.
    head[4..8].copy_from_slice(&(content.len() as u32).to_le_bytes());
    head[8..16].copy_from_slice(&position.to_le_bytes());
    head[16..].copy_from_slice(&bytes.to_le_bytes());
    block.extend_from_slice(&head);
    block.extend_from_slice(content);
}

/// The record that begins at `at`; None at the block's end, or where no whole record is.
pub(super) fn read(block: &[u8], at: usize) -> Option<Record<'_>> {
    let head: &[u8; HEAD] = block.get(at..)?.first_chunk()?;
    let length = number(&head[4..8]) as usize;
    let end = at + HEAD + length;
    Some(Record {
        position: number(&head[8..16]),
        bytes: number(&head[16..]),
        content: block.get(at + HEAD..end)?,
        end,
    })
}

/// Fills in the CRC of each record.
pub(super) fn seal(block: &mut [u8]) {
    let mut at = 0;
    while let Some(Record { end, .. }) = read(block, at) {
        let crc = crc32fast::hash(&block[at + 4..end]);
        block[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}

/// Are these bytes the sealed records with the positions from `first` on, all `records` of them and nothing else? Else the
/// position from which on they are not.
pub(super) fn check(block: &[u8], first: u64, records: u64) -> Result<(), u64> {
    let mut at = 0;
    for position in first..first + records {
        let record = read(block, at).filter(|record| record.position == position).ok_or(position)?;
        let end = record.end;
        if number(&block[at..at + 4]) != u64::from(crc32fast::hash(&block[at + 4..end])) {
            return Err(position);
        }
        at = end;
    }
    if at == block.len() { Ok(()) } else { Err(first + records) }
}

/// What a segment's head says.
pub(super) fn segment_head(tag: u64, number: u64, first: u64) -> [u8; SEGMENT_HEAD] {
    let mut head = [0; SEGMENT_HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..20].copy_from_slice(&tag.to_le_bytes());
    head[20..28].copy_from_slice(&number.to_le_bytes());
    head[28..36].copy_from_slice(&first.to_le_bytes());
    let crc = crc32fast::hash(&head[..36]);
    head[36..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Up to eight little-endian bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(contents: &[&[u8]]) -> Vec<u8> {
        let mut block = Vec::new();
        for (position, content) in (7..).zip(contents) {
            append(&mut block, position, 1000 + position, content);
        }
        block
    }

    #[test]
    fn records_are_read_as_they_were_appended() {
        let block = block(&[b"one", b"", b"three"]);
        let first = read(&block, 0).unwrap();
        assert_eq!((first.position, first.bytes, first.content), (7, 1007, &b"one"[..]));
        let second = read(&block, first.end).unwrap();
        assert_eq!((second.position, second.content), (8, &b""[..]));
        let third = read(&block, second.end).unwrap();
        assert_eq!((third.content, third.end), (&b"three"[..], block.len()));
        assert_eq!(read(&block, third.end), None);
    }

    #[test]
    fn a_block_is_good_only_with_exactly_its_records() {
        let mut block = block(&[b"one", b"", b"three"]);
        assert_eq!(check(&block, 7, 3), Err(7), "not sealed");
        seal(&mut block);
        assert_eq!(check(&block, 7, 3), Ok(()));
        assert_eq!(check(&block, 6, 3), Err(6));
        assert_eq!(check(&block, 7, 4), Err(10));
        assert_eq!(check(&block, 7, 2), Err(9), "something stands behind");
        assert_eq!(check(&block[..block.len() - 1], 7, 3), Err(9));
        assert_eq!(check(&[], 7, 0), Ok(()));
    }

    #[test]
    fn heads_of_segments_differ_in_all_they_say() {
        let head = segment_head(1, 2, 3);
        for other in [segment_head(9, 2, 3), segment_head(1, 9, 3), segment_head(1, 2, 9)] {
            assert_ne!(head, other);
        }
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_found(bit in 0..8 * (3 * HEAD + 8)) {
            let mut block = block(&[b"one", b"", b"three"]);
            seal(&mut block);
            block[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(check(&block, 7, 3).is_err());
        }

        #[test]
        fn no_bytes_make_the_reader_fail(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0..90_usize) {
            let mut bytes = bytes;
            let _ = read(&bytes, at);
            let _ = check(&bytes, 0, 3);
            seal(&mut bytes);
        }
    }
}
