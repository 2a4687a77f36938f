//! The target's description of its trees, read in step with the source's own walk.

use super::orphans::Orphans;
use crate::engine::link::{Frame, FramePool, Inlet};
use crate::sys::{FileKind, Meta};
use crate::wire::{Answer, Described, Reader, WireError};
use std::cmp::Ordering;

/// One entry of the target, kept until the next one is read.
#[derive(Clone, Debug)]
pub(super) struct TargetEntry {
    pub name: Vec<u8>,
    pub kind: FileKind,
    pub meta: Meta,
    pub size: u64,
    pub shared: Option<(u64, u64)>,
    pub rdev: u64,
    pub xattrs: [u8; 16],
    pub text: Vec<u8>,
}

impl TargetEntry {
    /// One to be filled.
    pub(super) fn empty() -> Self {
        let meta = Meta { mode: 0, uid: 0, gid: 0, mtime: (0, 0) };
        let (name, text, kind) = (Vec::new(), Vec::new(), FileKind::File);
        Self { name, kind, meta, size: 0, shared: None, rdev: 0, xattrs: [0; 16], text }
    }
}

/// A directory of the target.
#[derive(Clone, Debug)]
pub(super) struct TargetFolder {
    pub meta: Meta,
    pub xattrs: [u8; 16],
}

/// A failure while the target described itself.
#[derive(Clone, Debug)]
pub(super) struct ScanFailure {
    pub root: u16,
    pub path: Vec<u8>,
    pub errno: i32,
    pub what: String,
}

/// Reads the stream of descriptions.
pub(super) struct Listing {
    frames_in: Option<Inlet>,
    pool: FramePool,
    frame: Frame,
    at: usize,
    state: State,
    /// The entry that `peek` shows.
    entry: TargetEntry,
    have_entry: bool,
    /// Entries seen so far, in all directories: the size of the target's copy.
    pub entries: u64,
    pub failures: Vec<ScanFailure>,
}

#[derive(Debug)]
enum State {
    /// Between directories; the next one, if it was read already.
    Between(Option<(u16, Vec<u8>, TargetFolder)>),
    Inside,
    Ended,
}

/// The order in which both sides walk: by root, then name by name.
pub(super) fn walk_order(a: (u16, &[u8]), b: (u16, &[u8])) -> Ordering {
    let names = |path| -> Vec<&[u8]> {
        let path: &[u8] = path;
        if path.is_empty() { Vec::new() } else { path.split(|b| *b == b'/').collect() }
    };
    a.0.cmp(&b.0).then_with(|| names(a.1).cmp(&names(b.1)))
}

impl Listing {
    /// `None` instead of a channel: nothing is on the target.
    pub(super) fn new(frames_in: Option<Inlet>, pool: FramePool) -> Self {
        let state = if frames_in.is_some() { State::Between(None) } else { State::Ended };
        let entry = TargetEntry::empty();
        let (frame, failures) = (Vec::new(), Vec::new());
        Self { frames_in, pool, frame, at: 0, state, entry, have_entry: false, entries: 0, failures }
    }

    /// Another description follows.
    pub(super) fn again(&mut self) {
        self.goes_on();
        self.entries = 0;
    }

    /// What is described next belongs to what was described before.
    pub(super) fn goes_on(&mut self) {
        self.state = if self.frames_in.is_some() { State::Between(None) } else { State::Ended };
        self.have_entry = false;
    }

    /// Goes to a directory of the target, if it has it. Directories must be asked for in walk order. `orphans` see what is in those that are
    /// passed over.
    pub(super) fn enter(
        &mut self,
        root: u16,
        path: &[u8],
        orphans: &mut Orphans,
    ) -> Result<Option<TargetFolder>, WireError> {
        loop {
            match &mut self.state {
                State::Ended => return Ok(None),
                State::Inside => self.skip()?,
                State::Between(next @ Some(_)) => {
                    let Some((its_root, its_path, _)) = next.as_ref() else { continue };
                    match walk_order((*its_root, its_path), (root, path)) {
                        Ordering::Greater => return Ok(None),
                        Ordering::Less => {
                            // Only the target has it.
                            self.pass_over(orphans)?;
                        }
                        Ordering::Equal => {
                            let found = next.take().map(|(_, _, folder)| folder);
                            self.state = State::Inside;
                            return Ok(found);
                        }
                    }
                }
                State::Between(None) => self.read()?,
            }
        }
    }

    /// Takes the next entry of the directory entered; its buffers are exchanged with `entry`'s. False: no more.
    pub(super) fn next_into(&mut self, entry: &mut TargetEntry) -> Result<bool, WireError> {
        while !self.have_entry {
            if !matches!(self.state, State::Inside) {
                return Ok(false);
            }
            self.read()?;
        }
        self.have_entry = false;
        std::mem::swap(entry, &mut self.entry);
        Ok(true)
    }

    /// Passes over the directory that comes next; what is in one that only the target has may be orphans.
    fn pass_over(&mut self, orphans: &mut Orphans) -> Result<(), WireError> {
        let State::Between(Some((root, path, _))) = &self.state else { return Ok(()) };
        let stray = orphans.stray(*root, path);
        self.state = State::Inside;
        if let Some(stray) = stray {
            let mut theirs = TargetEntry::empty();
            while self.next_into(&mut theirs)? {
                orphans.meet_in(&stray, &theirs);
                if orphans.is_full() {
                    return Err(WireError::Invalid("description: it is too long"));
                }
            }
            return Ok(());
        }
        self.skip()
    }

    /// Passes over the rest of a directory.
    fn skip(&mut self) -> Result<(), WireError> {
        while matches!(self.state, State::Inside) {
            self.read()?;
        }
        self.have_entry = false;
        Ok(())
    }

    /// Reads to the end of the stream, so that the count of entries is whole.
    pub(super) fn finish(&mut self, orphans: &mut Orphans) -> Result<(), WireError> {
        while !matches!(self.state, State::Ended) {
            match self.state {
                State::Inside => self.skip()?,
                State::Between(Some(_)) => self.pass_over(orphans)?,
                _ => self.read()?,
            }
        }
        Ok(())
    }

    /// Reads one message.
    fn read(&mut self) -> Result<(), WireError> {
        while self.at >= self.frame.len() {
            self.pool.give(std::mem::take(&mut self.frame));
            self.at = 0;
            match self.frames_in.as_ref().and_then(|frames| frames.recv().ok()) {
                Some(frame) => self.frame = frame,
                None => {
                    // Without a word that it is whole: nothing may be concluded from what is missing in it.
                    self.state = State::Ended;
                    return Err(WireError::Truncated);
                }
            }
        }
        let rest = &self.frame[self.at..];
        let mut reader = Reader::new(rest);
        let answer = Answer::decode(&mut reader)?;
        self.at += rest.len() - reader.remaining();
        match answer {
            Answer::Entry(Described { name, kind, meta, size, shared, rdev, xattrs, text }) => {
                let entry = &mut self.entry;
                entry.name.clear();
                entry.name.extend_from_slice(name);
                entry.text.clear();
                entry.text.extend_from_slice(text);
                (entry.kind, entry.meta, entry.size) = (kind, meta, size);
                (entry.shared, entry.rdev, entry.xattrs) = (shared, rdev, xattrs);
                self.have_entry = true;
                self.entries += 1;
            }
            Answer::DirectoryEnd => self.state = State::Between(None),
            Answer::Directory { root, path, meta, xattrs } => {
                self.state = State::Between(Some((root, path.to_vec(), TargetFolder { meta, xattrs })));
            }
            Answer::ScanEnd => self.state = State::Ended,
            Answer::Failed { root, path, errno, what, .. } => self.failures.push(ScanFailure {
                root,
                path: path.to_vec(),
                errno,
                what: String::from_utf8_lossy(what).into_owned(),
            }),
            _ => return Err(WireError::Invalid("answer")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_ordered_name_by_name_not_byte_by_byte() {
        // '-' sorts before '/', yet everything below `a` comes before `a-b`.
        let mut paths: Vec<&[u8]> = vec![b"a-b", b"a/z", b"a", b"", b"a/b/c", b"a\x01"];
        paths.sort_by(|a, b| walk_order((0, a), (0, b)));
        assert_eq!(paths, [&b""[..], b"a", b"a/b/c", b"a/z", b"a\x01", b"a-b"]);
    }
}
