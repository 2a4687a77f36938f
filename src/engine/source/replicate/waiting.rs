//! What records in the log stand for beyond what was counted when they were logged: a file may grow while its record waits, which is logged no
//! second time. So that a queue that is looked at (STATUS, a start by QUEUESIZE) says how much is to be sent.

use super::model::{Identity, NodeId};
use std::collections::HashMap;

/// Files that are remembered; further ones count as they were logged.
const MOST: usize = 65_536;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    files: HashMap<NodeId, File>,
    grown: u64,
}

#[derive(Debug)]
struct File {
    id: Identity,
    /// Bytes beyond the size in the model that were counted when the record was logged, and since.
    logged: u64,
    more: u64,
}

impl Waiting {
    /// A record of the file's content is logged, and counts so many bytes beyond the size that the model has.
    pub(super) fn logs(&mut self, node: NodeId, id: Identity, bytes: u64) {
        self.forget(node);
        if self.files.len() < MOST {
            self.files.insert(node, File { id, logged: bytes, more: 0 });
        }
    }

    /// While it waits, the file is so many bytes longer than the model has it.
    pub(super) fn grows(&mut self, node: NodeId, bytes: u64) {
        if let Some(file) = self.files.get_mut(&node) {
            let more = bytes.saturating_sub(file.logged);
            self.grown = self.grown - file.more + more;
            file.more = more;
        }
    }

    /// Its record has come to its turn, or was not logged.
    pub(super) fn taken(&mut self, node: NodeId, id: &Identity) {
        // The number may be another's by now.
        if self.files.get(&node).is_some_and(|file| file.id == *id) {
            self.forget(node);
        }
    }

    fn forget(&mut self, node: NodeId) {
        if let Some(file) = self.files.remove(&node) {
            self.grown -= file.more;
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

    const ID: Identity = Identity { dev: 1, ino: 2, born: 3 };

    #[test]
    fn what_a_file_grows_by_counts_until_its_record_is_taken() {
        let mut waiting = Waiting::default();
        waiting.logs(1, ID, 1);
        waiting.logs(2, ID, 100);
        waiting.grows(1, 500);
        waiting.grows(2, 100);
        waiting.grows(3, 7);
        assert_eq!(waiting.grown(), 499);
        // It shrinks, and is logged anew.
        waiting.grows(1, 300);
        assert_eq!(waiting.grown(), 299);
        waiting.grows(2, 150);
        waiting.logs(1, ID, 300);
        assert_eq!(waiting.grown(), 50);
        waiting.taken(2, &Identity { ino: 9, ..ID });
        assert_eq!(waiting.grown(), 50, "the number was another's before");
        waiting.taken(2, &ID);
        waiting.taken(2, &ID);
        assert_eq!(waiting.grown(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut waiting = Waiting::default();
        for node in 0..2 * MOST as NodeId {
            waiting.logs(node, ID, 1);
        }
        assert_eq!(waiting.files.len(), MOST);
        waiting.grows(2 * MOST as NodeId - 1, 9);
        assert_eq!(waiting.grown(), 0);
        waiting.clear();
        waiting.logs(1, ID, 1);
        assert_eq!(waiting.files.len(), 1);
    }
}
