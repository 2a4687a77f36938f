//! A snapshot as bytes, for `statistic.sts`: the moment, then blocks; in a block each statistic by its number (its place in
//! [`Statistic::ALL`]) with a tagged value. Numbers are LEB128, text is UTF-8 with its length.
//!
//! A reader passes over statistics that it does not know, so a later version may add some.

use crate::api::ConnectionId;
use crate::api::statistics::{Block, Section, Snapshot, Statistic, Value};

const UNKNOWN: u8 = 0;
const NUMBER: u8 = 1;
const MOMENT: u8 = 2;
const TEXT: u8 = 3;

/// Most blocks and values of a snapshot that are read: far more than an engine has connections.
const MOST: u64 = 1 << 16;

/// Appends the snapshot.
pub fn encode(snapshot: &Snapshot, out: &mut Vec<u8>) {
    put(out, snapshot.at_ms.cast_unsigned());
    put(out, snapshot.blocks.len() as u64);
    for block in &snapshot.blocks {
        out.push(block.section as u8);
        put(out, block.connection.map_or(0, |id| u64::from(id.0)));
        put(out, block.values.len() as u64);
        for (statistic, value) in &block.values {
            out.push(*statistic as u8);
            match value {
                Value::Unknown => out.push(UNKNOWN),
                Value::Number(number) => {
                    out.push(NUMBER);
                    put(out, *number);
                }
                Value::Moment(at) => {
                    out.push(MOMENT);
                    put(out, at.cast_unsigned());
                }
                Value::Text(text) => {
                    out.push(TEXT);
                    put(out, text.len() as u64);
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
}

/// None: it is no snapshot.
pub fn decode(bytes: &[u8]) -> Option<Snapshot> {
    let mut rest = bytes;
    let at_ms = take(&mut rest)?.cast_signed();
    let count = take(&mut rest).filter(|count| *count <= MOST)?;
    let mut blocks = Vec::new();
    for _ in 0..count {
        let section = usize::from(byte(&mut rest)?);
        let section = *Section::ALL.get(section)?;
        let connection = u32::try_from(take(&mut rest)?).ok()?;
        let connection = (connection > 0).then_some(ConnectionId(connection));
        let mut values = Vec::new();
        for _ in 0..take(&mut rest).filter(|count| *count <= MOST)? {
            let statistic = Statistic::ALL.get(usize::from(byte(&mut rest)?));
            let value = match byte(&mut rest)? {
                UNKNOWN => Value::Unknown,
                NUMBER => Value::Number(take(&mut rest)?),
                MOMENT => Value::Moment(take(&mut rest)?.cast_signed()),
                TEXT => {
                    let len = usize::try_from(take(&mut rest)?).ok()?;
                    let (text, after) = rest.split_at_checked(len)?;
                    rest = after;
                    Value::Text(std::str::from_utf8(text).ok()?.to_owned())
                }
                _ => return None,
            };
            if let Some(statistic) = statistic {
                values.push((*statistic, value));
            }
        }
        blocks.push(Block { section, connection, values });
    }
    rest.is_empty().then_some(Snapshot { at_ms, blocks })
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(rest)?;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One with every statistic of a section in it, and each kind of value.
    pub fn sample(at_ms: i64, operations: u64, path: &str) -> Snapshot {
        let mut connection = Block::new(
            Section::Connection,
            vec![
                (Statistic::ConPeerAddress, Value::Text("127.0.0.3".into())),
                (Statistic::ConOpsTx, operations.into()),
                (Statistic::ConRpt, Value::Unknown),
            ],
        );
        connection.connection = Some(ConnectionId(7));
        Snapshot {
            at_ms,
            blocks: vec![
                Block::new(Section::Kernel, vec![(Statistic::StartTime, Value::Moment(-5))]),
                Block::new(Section::Source, vec![(Statistic::LastFileTouched, Value::Text(path.into()))]),
                connection,
            ],
        }
    }

    #[test]
    fn a_snapshot_reads_back_as_it_was_written_and_no_part_of_it_does() {
        for snapshot in [Snapshot::default(), sample(1 << 41, u64::MAX, "/srv/dätä/a.txt")] {
            let mut bytes = Vec::new();
            encode(&snapshot, &mut bytes);
            assert_eq!(decode(&bytes), Some(snapshot));
            for len in 0..bytes.len() {
                assert_eq!(decode(&bytes[..len]), None, "cut to {len}");
            }
        }
    }

    #[test]
    fn a_statistic_of_a_later_version_is_passed_over() {
        let mut bytes = vec![1, 1, Section::Source as u8, 0, 2, 250, NUMBER, 9];
        bytes.extend([Statistic::AutoReconnects as u8, NUMBER, 3]);
        let blocks = vec![Block::new(Section::Source, vec![(Statistic::AutoReconnects, 3.into())])];
        assert_eq!(decode(&bytes), Some(Snapshot { at_ms: 1, blocks }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
