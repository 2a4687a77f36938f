//! Which of the files that have a writer are to be looked at, from what their stamps say from one look to the next.
//!
//! * A file whose ctime or size moved is told of now, and once more half a minute after they came to rest: stamps move when a
//!   write begins, and its bytes may arrive after they were read.
//! * A tick looks at what can write silently now; each minute, and at a barrier, at all files that are open for writing, since
//!   a mapping or an AIO context may have come and gone.
//! * A file seen for the first time counts as moved: who opened it may have written before the look.
//! * A mapped file of a file system that does not show stores is told of at each tick, and once more when the mapping is
//!   gone.
//! * At a barrier every mapped file is told of, every file that has not rested, and where stores do not show those that may
//!   have been mapped and unmapped since the last look.

use super::{Coverage, Depth, Hold, Place, Writer, Writers};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long stamps must have been at rest before a file is looked at for the last time.
const REST: Duration = Duration::from_secs(30);

/// How long files whose writers give events go unlooked at.
const ALL: Duration = Duration::from_secs(60);

/// Why a file is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// ctime or size are not what they were, or this is the first look, or what could write silently let go. When they are those of the bytes that were read last,
    /// and the file is not mapped, nothing is to be done.
    Moved,
    /// Stamps say nothing: the bytes are to be read again though they are the same. Half a minute at rest, the last writer
    /// gone before that, or (barrier) a write that may not have ended when the bytes were read.
    Again,
    /// At a barrier: mapped where stores move ctime. Equal stamps are enough if they were taken before the file was written
    /// back and then read.
    Mapped,
    /// Mapped, or at a barrier perhaps mapped a moment ago, where no stamp shows a store: only the bytes tell.
    Untold,
}

/// A file to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub dev: u64,
    pub ino: u64,
    pub how: How,
    /// To be written back between taking stamps and reading (`sys::write_back`).
    pub mapped: bool,
}

/// Size and ctime.
type Stamps = (u64, (i64, u32));

#[derive(Debug)]
struct Known {
    stamps: Option<Stamps>,
    /// As this round sees them; a file held more than once shows the newest.
    now: Option<Stamps>,
    /// When they were last seen to have moved.
    moved: Instant,
    rested: bool,
    hold: Hold,
    was_mapped: bool,
    place: Place,
    /// Seen by the last look at what can write silently.
    silent: bool,
    /// The round that saw it last.
    round: u64,
}

/// Remembers files with writers from one look to the next: 120 bytes each.
#[derive(Debug)]
pub struct Silent {
    writers: Writers,
    files: HashMap<(u64, u64), Known>,
    round: u64,
    /// The last look at all files.
    all: Option<Instant>,
    coverage: Coverage,
    /// Of this round: whether a device's file system shows stores.
    tells: HashMap<u64, bool>,
}

impl Silent {
    /// `proc` is `/proc`.
    pub fn new(proc: &Path) -> Self {
        Self {
            writers: Writers::new(proc),
            files: HashMap::new(),
            round: 0,
            all: None,
            coverage: Coverage::default(),
            tells: HashMap::new(),
        }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What the last look could see.
    pub fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// The look of a tick. `in_set` is asked once for each file with a writer on these devices (`st_dev`).
    pub fn tick(
        &mut self,
        now: Instant,
        devices: &[u64],
        in_set: &mut dyn FnMut(u64, u64) -> bool,
        found: &mut dyn FnMut(&Found),
    ) -> io::Result<()> {
        self.look(now, devices, false, in_set, found)
    }

    /// The look of a barrier. What was written by calls that returned before this one, and by stores made before it, is in the
    /// files that are told of here or whose events are in the queue.
    pub fn barrier(
        &mut self,
        now: Instant,
        devices: &[u64],
        in_set: &mut dyn FnMut(u64, u64) -> bool,
        found: &mut dyn FnMut(&Found),
    ) -> io::Result<()> {
        self.look(now, devices, true, in_set, found)
    }

    /// Files (device, inode) that can be written at the moment without anything that tells.
    pub fn held(&self) -> impl Iterator<Item = (u64, u64)> {
        self.files.iter().filter(|(_, known)| known.silent).map(|(id, _)| *id)
    }

    fn look(
        &mut self,
        now: Instant,
        devices: &[u64],
        barrier: bool,
        in_set: &mut dyn FnMut(u64, u64) -> bool,
        found: &mut dyn FnMut(&Found),
    ) -> io::Result<()> {
        self.round += 1;
        let deep = barrier || self.all.is_none_or(|all| now.saturating_duration_since(all) >= ALL);
        let depth = if deep { Depth::All } else { Depth::Silent };
        let (files, round) = (&mut self.files, self.round);
        self.coverage = self.writers.scan(depth, devices, &mut |writer| {
            note(files, round, now, writer, in_set);
        })?;
        if deep {
            self.all = Some(now);
        }
        self.tells.clear();
        let (tells, writers) = (&mut self.tells, &self.writers);
        self.files.retain(|(dev, ino), known| {
            let mapped = known.hold == Hold::Mapped;
            let mut tell = |how| found(&Found { dev: *dev, ino: *ino, how, mapped });
            if known.round != round && deep {
                // Closed: there is an event.
                if !known.rested {
                    tell(How::Again);
                }
                return false;
            }
            if known.round != round {
                // It may still be open. What a writer did before it let go was not seen.
                match () {
                    () if !known.silent => {}
                    () if known.was_mapped || !known.rested => tell(How::Again),
                    () => tell(How::Moved),
                }
                // Destroying a context waits for its writes, so nothing comes after that look.
                (known.silent, known.was_mapped, known.rested) = (false, false, true);
                return true;
            }
            let hidden = known.hold != Hold::Open
                && !*tells.entry(*dev).or_insert_with(|| writers.stores_move_ctime(&known.place));
            let moved = known.stamps != known.now || known.now.is_none();
            let rested = !moved && !known.rested && now.saturating_duration_since(known.moved) >= REST;
            match () {
                () if hidden && (mapped || barrier) => tell(How::Untold),
                () if known.was_mapped && !mapped => tell(How::Again),
                () if moved => tell(How::Moved),
                () if rested || barrier && !known.rested => tell(How::Again),
                () if mapped && barrier => tell(How::Mapped),
                () => {}
            }
            known.was_mapped = mapped;
            known.silent |= mapped || !deep;
            if moved {
                known.moved = now;
            }
            known.rested = !moved && (known.rested || rested);
            known.stamps = known.now;
            true
        });
        Ok(())
    }
}

/// Enters what one look has seen of one writer.
fn note(
    files: &mut HashMap<(u64, u64), Known>,
    round: u64,
    now: Instant,
    writer: &Writer,
    in_set: &mut dyn FnMut(u64, u64) -> bool,
) {
    let id = (writer.dev, writer.ino);
    let stamps = writer.stat.map(|stat| (stat.size, stat.ctime));
    let Some(known) = files.get_mut(&id) else {
        if in_set(writer.dev, writer.ino) {
            let known = Known {
                stamps: None,
                now: stamps,
                moved: now,
                rested: false,
                hold: writer.hold,
                was_mapped: false,
                place: writer.place,
                silent: false,
                round,
            };
            files.insert(id, known);
        }
        return;
    };
    if known.round != round {
        if !in_set(writer.dev, writer.ino) {
            // Left the set: forgotten without a word.
            files.remove(&id);
            return;
        }
        *known = Known { round, now: stamps, hold: writer.hold, place: writer.place, ..*known };
        return;
    }
    if writer.hold > known.hold {
        known.hold = writer.hold;
        known.place = writer.place;
    }
    // The later look saw the later stamps; one that saw none says nothing.
    known.now = stamps.or(known.now);
}
