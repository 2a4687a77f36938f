//! What records in the log stand for beyond what was counted when they were logged: a file may grow while its record waits, which is logged no
//! second time. So that a queue that is looked at (STATUS, a start by QUEUESIZE) says how much is to be sent.

use super::model::NodeId;
use std::collections::HashMap;

/// Files that are remembered; further ones count as they were logged.
const MOST: usize = 65_536;

/// See the module. Changed only while the model is held, with the flag that says that a record of the file's content is in the log.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Bytes that were counted when the record was logged, and since.
    files: HashMap<NodeId, (u64, u64)>,
    grown: u64,
}

impl Waiting {
    /// A record of the file's content was logged, and counts so many bytes.
    pub(super) fn logged(&mut self, node: NodeId, bytes: u64) {
        self.taken(node);
        if self.files.len() < MOST {
            self.files.insert(node, (bytes, 0));
        }
    }

    /// While it waits, so many bytes are to be sent of it.
    pub(super) fn grows(&mut self, node: NodeId, bytes: u64) {
        if let Some((logged, more)) = self.files.get_mut(&node) {
            let now = bytes.saturating_sub(*logged);
            self.grown = self.grown - *more + now;
            *more = now;
        }
    }

    /// Its record has come to its turn, or is dropped.
    pub(super) fn taken(&mut self, node: NodeId) {
        if let Some((_, more)) = self.files.remove(&node) {
            self.grown -= more;
        }
    }

    /// The log is dropped.
    pub(super) fn clear(&mut self) {
        *self = Waiting::default();
    }

    /// Bytes beyond what the records were logged with.
    pub(super) fn grown(&self) -> u64 {
        self.grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_grows_by_counts_until_its_record_is_taken() {
        let mut waiting = Waiting::default();
        waiting.logged(1, 1);
        waiting.logged(2, 100);
        waiting.grows(1, 500);
        waiting.grows(2, 100);
        waiting.grows(3, 7);
        assert_eq!(waiting.grown(), 499);
        // It shrinks, and is logged anew.
        waiting.grows(1, 300);
        assert_eq!(waiting.grown(), 299);
        waiting.grows(2, 150);
        waiting.logged(1, 300);
        assert_eq!(waiting.grown(), 50);
        waiting.taken(2);
        waiting.taken(2);
        assert_eq!(waiting.grown(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut waiting = Waiting::default();
        for node in 0..2 * MOST as NodeId {
            waiting.logged(node, 1);
        }
        assert_eq!(waiting.files.len(), MOST);
        waiting.grows(2 * MOST as NodeId - 1, 9);
        assert_eq!(waiting.grown(), 0);
        waiting.clear();
        waiting.logged(1, 1);
        assert_eq!(waiting.files.len(), 1);
    }
}
