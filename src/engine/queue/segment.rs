//! Segments: files of sealed blocks, written at one end and read at the other.
//!
//! A segment's file is removed when the last block in it has been read or dropped and it is not written any more: each
//! block that lies on disk, and the writer, hold the segment. Files are opened again by name for reading, so that their
//! number is bounded and one that was removed or replaced is noticed (QUE-10).

use super::Full;
use super::fs::{SegmentDir, SegmentFile, SegmentFs, is_passing, segment_name};
use super::limits::{Limits, SEGMENTS_MOST};
use super::record::{self, SEGMENT_HEAD};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Names in a row that may be taken already.
const NAMES_TAKEN: usize = 16;

/// What a queue has on disk.
#[derive(Debug)]
pub(super) struct DiskUse {
    pub bytes: AtomicU64,
    segments: AtomicU64,
    /// Free bytes of the volume when they were asked for last; u64::MAX before.
    free: AtomicU64,
}

impl DiskUse {
    pub(super) fn free(&self) -> Option<u64> {
        Some(self.free.load(Relaxed)).filter(|free| *free != u64::MAX)
    }
}

/// One file.
#[derive(Debug)]
struct Segment {
    dir: Arc<dyn SegmentDir>,
    number: u64,
    first: u64,
    len: AtomicU64,
    used: Arc<DiskUse>,
}

impl Segment {
    fn grow(&self, by: usize) {
        self.len.fetch_add(by as u64, Relaxed);
        self.used.bytes.fetch_add(by as u64, Relaxed);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // One that is gone already was somebody else's doing; one that cannot be removed goes with the next sweep.
        let _ = self.dir.remove(&segment_name(self.number));
        self.used.bytes.fetch_sub(self.len.load(Relaxed), Relaxed);
        self.used.segments.fetch_sub(1, Relaxed);
    }
}

/// A block on disk.
#[derive(Debug)]
pub(super) struct Extent {
    segment: Arc<Segment>,
    offset: u64,
    pub len: usize,
    pub first: u64,
    pub records: u64,
}

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    segment: Arc<Segment>,
    file: Box<dyn SegmentFile>,
}

/// Where the next block goes. Both are made when they are needed.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    dir: Option<Arc<dyn SegmentDir>>,
    pub writer: Option<Arc<Writer>>,
}

/// Writes blocks.
#[derive(Debug)]
pub(super) struct Journal {
    fs: Arc<dyn SegmentFs>,
    directory: PathBuf,
    limits: Limits,
    pub used: Arc<DiskUse>,
    /// In the head of each of its segments: tells them from another queue's.
    tag: u64,
    /// Numbers of segments are used once.
    next: AtomicU64,
}

impl Journal {
    pub(super) fn new(fs: Arc<dyn SegmentFs>, directory: PathBuf, limits: Limits) -> Self {
        use std::hash::{BuildHasher, RandomState};
        let used =
            DiskUse { bytes: AtomicU64::new(0), segments: AtomicU64::new(0), free: AtomicU64::new(u64::MAX) };
        let tag = RandomState::new().hash_one(std::process::id());
        Self { fs, directory, limits, used: Arc::new(used), tag, next: AtomicU64::new(1) }
    }

    /// Seals a block of records and writes it at `place`. When it cannot, what is on disk is as before.
    pub(super) fn write(
        &self,
        place: &mut Place,
        block: &mut [u8],
        first: u64,
        records: u64,
    ) -> Result<Extent, Full> {
        let room = |writer: &Arc<Writer>| {
            let len = writer.segment.len.load(Relaxed);
            len + block.len() as u64 <= self.limits.segment || len == SEGMENT_HEAD as u64
        };
        let present = place.writer.take().filter(room);
        let need = block.len() as u64 + if present.is_some() { 0 } else { SEGMENT_HEAD as u64 };
        let writer = match present {
            Some(writer) => {
                let checked = self.check_space(&*writer.segment.dir, need);
                place.writer = Some(Arc::clone(&writer));
                checked?;
                writer
            }
            None => self.begin(place, need, first)?,
        };
        record::seal(block);
        let segment = &writer.segment;
        let offset = segment.len.load(Relaxed);
        if let Err(error) = writer.file.write(block, offset) {
            // A segment is left where it is clean, and only if a block lies in it.
            let clean = writer.file.cut(offset).is_ok();
            place.writer = (clean && offset > SEGMENT_HEAD as u64).then_some(writer);
            return Err(Full::Disk(error.to_string()));
        }
        segment.grow(block.len());
        let extent = Extent { segment: Arc::clone(segment), offset, len: block.len(), first, records };
        place.writer = Some(writer);
        Ok(extent)
    }

    /// A new segment in the directory, which is made if there is none.
    fn begin(&self, place: &mut Place, need: u64, first: u64) -> Result<Arc<Writer>, Full> {
        let failed = |error: io::Error| Full::Disk(error.to_string());
        if self.used.segments.load(Relaxed) >= SEGMENTS_MOST {
            return Err(Full::Segments);
        }
        let mut again = place.dir.is_some();
        let mut taken = 0;
        loop {
            let dir = match &place.dir {
                Some(dir) => Arc::clone(dir),
                None => {
                    let dir = self.fs.make(&self.directory).map_err(failed)?;
                    Arc::clone(place.dir.insert(dir))
                }
            };
            self.check_space(&*dir, need)?;
            let this = self.next.fetch_add(1, Relaxed);
            let file = match dir.create(&segment_name(this), self.limits.write_through) {
                Ok(file) => file,
                // Somebody removed the directory.
                Err(error) if error.kind() == io::ErrorKind::NotFound && again => {
                    again = false;
                    place.dir = None;
                    continue;
                }
                // Something was put there; it is left alone.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && taken < NAMES_TAKEN => {
                    taken += 1;
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            self.used.segments.fetch_add(1, Relaxed);
            // From here on its file is removed when it is dropped.
            let len = AtomicU64::new(0);
            let segment = Segment { dir, number: this, first, len, used: Arc::clone(&self.used) };
            file.write(&record::segment_head(self.tag, this, first), 0).map_err(failed)?;
            segment.grow(SEGMENT_HEAD);
            let writer = Arc::new(Writer { segment: Arc::new(segment), file });
            place.writer = Some(Arc::clone(&writer));
            return Ok(writer);
        }
    }

    /// May `need` more bytes be written?
    fn check_space(&self, dir: &dyn SegmentDir, need: u64) -> Result<(), Full> {
        let used = self.used.bytes.load(Relaxed);
        if let Some(limit) = self.limits.space
            && used + need > limit
        {
            return Err(Full::Limit { limit });
        }
        let free = dir.free().map_err(|error| Full::Disk(error.to_string()))?;
        self.used.free.store(free, Relaxed);
        let keep = self.limits.free_min;
        if free < keep.saturating_add(need) { Err(Full::FreeSpace { free, keep }) } else { Ok(()) }
    }
}

/// Why a block could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// Tried again later.
    Passing(io::Error),
    /// It is lost: why.
    Lost(String),
}

/// Reads blocks; keeps the file that it read last.
#[derive(Debug, Default)]
pub(super) struct Reader {
    open: Option<(u64, Box<dyn SegmentFile>)>,
}

impl Reader {
    /// Reads a block into an empty buffer and checks each record of it. A segment's head is checked when it is opened.
    pub(super) fn read(
        &mut self,
        journal: &Journal,
        extent: &Extent,
        into: &mut Vec<u8>,
    ) -> Result<(), Unread> {
        let segment = &*extent.segment;
        let name = segment_name(segment.number);
        let lost = |why: &str| Unread::Lost(format!("{}: {why}", name.to_string_lossy()));
        let failed = |error: io::Error| match error {
            error if is_passing(&error) => Unread::Passing(error),
            error => lost(&error.to_string()),
        };
        let file = match &mut self.open {
            Some((number, file)) if *number == segment.number => file,
            _ => {
                let file = segment.dir.open(&name).map_err(failed)?;
                file.read(0, SEGMENT_HEAD, into).map_err(failed)?;
                if *into != record::segment_head(journal.tag, segment.number, segment.first) {
                    return Err(lost("another file is in its place"));
                }
                into.clear();
                &mut self.open.insert((segment.number, file)).1
            }
        };
        file.read(extent.offset, extent.len, into).map_err(failed)?;
        if into.len() < extent.len {
            return Err(lost("it was cut short"));
        }
        record::check(into, extent.first, extent.records)
            .map_err(|position| lost(&format!("record {position} is damaged")))?;
        // Nobody else holds it: its file goes with the extent, and its blocks with ours.
        if Arc::strong_count(&extent.segment) == 1 {
            self.open = None;
        }
        Ok(())
    }

    /// Lets go of the file.
    pub(super) fn close(&mut self) {
        self.open = None;
    }
}
