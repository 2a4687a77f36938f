//! What a frame of operations amounts to, for the statistics: counted alike by who sends it, who receives it and the null target.

use super::{OWNERS, Op, Patch, Reader, WireError};

/// Operations, and their bytes as they are encoded: with names and attributes, and with content that the target copies by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub operations: u64,
    pub bytes: u64,
}

impl std::ops::AddAssign for Load {
    fn add_assign(&mut self, other: Load) {
        self.operations = self.operations.saturating_add(other.operations);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Load {
    /// Without the other, which may be more by now.
    pub fn less(self, other: Load) -> Load {
        Load {
            operations: self.operations.saturating_sub(other.operations),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Of one operation that is so many bytes long. What only says whose or where the next ones are, or asks, or is a task, is none
    /// that is counted; its bytes are.
    pub fn of(op: &Op<'_>, len: usize) -> Load {
        // It says of all before it what has become of them, and so cannot be among them.
        if let Op::Barrier { .. } = op {
            return Load::default();
        }
        let operations = match op {
            Op::Begin { .. } | Op::By { .. } | Op::Enter { .. } | Op::Scan { .. } | Op::Question { .. } => 0,
            Op::FileAsk { .. } | Op::Task(_) | Op::Orphans(_) => 0,
            _ => 1,
        };
        let copied = match op {
            Op::FileWrite { patch: Patch::Local(copied), .. } => *copied,
            _ => 0,
        };
        Load { operations, bytes: (len as u64).saturating_add(copied) }
    }

    /// Of a frame, by owner. `who`: whose its first operations are; afterwards, whose the next frame's are.
    pub fn of_frame(frame: &[u8], who: &mut u8) -> Result<[Load; OWNERS], WireError> {
        let (mut reader, mut loads) = (Reader::new(frame), [Load::default(); OWNERS]);
        while !reader.is_empty() {
            let before = reader.remaining();
            let op = Op::decode(&mut reader)?;
            if let Op::By { who: next } = op {
                *who = next;
            }
            loads[usize::from(*who)] += Load::of(&op, before - reader.remaining());
        }
        Ok(loads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Meta, Xattrs};

    #[test]
    fn what_changes_something_is_an_operation_and_all_bytes_count() {
        const META: Meta = Meta { mode: 0o600, uid: 0, gid: 0, mtime: (0, 0) };
        let mut frame = Vec::new();
        Op::Enter { root: 0, path: b"", make: true }.encode(&mut frame);
        Op::Put { name: b"f", meta: META, xattrs: Xattrs::default(), content: &[7; 900] }.encode(&mut frame);
        let of_job = frame.len() as u64;
        Op::Barrier { barrier: 1 }.encode(&mut frame);
        let asked = frame.len() as u64;
        Op::By { who: 1 }.encode(&mut frame);
        Op::FileWrite { file: 1, offset: 0, patch: Patch::Local(5000) }.encode(&mut frame);
        let mut who = 0;
        let [job, replication] = Load::of_frame(&frame, &mut who).unwrap();
        assert_eq!(job, Load { operations: 1, bytes: of_job });
        assert_eq!(replication, Load { operations: 1, bytes: frame.len() as u64 - asked + 5000 });
        assert_eq!(who, 1, "the next frame goes on with it");
    }
}
