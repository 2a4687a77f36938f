//! A file system in memory that fails when told to, for tests.

use super::fs::{SegmentDir, SegmentFile, SegmentFs};
use crate::engine::lock;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// A capacity that nothing reaches.
pub(super) const UNLIMITED: u64 = u64::MAX / 2;

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// Clones are the same file system.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    inner: Arc<Mutex<Inner>>,
}

type Bytes = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
pub(super) struct Inner {
    pub files: BTreeMap<CString, Bytes>,
    /// Directories that were made and are there.
    pub dirs: usize,
    pub made: usize,
    /// Bytes of all files together.
    pub capacity: u64,
    /// What `free` says; None: what is left of the capacity.
    pub free: Option<u64>,
    /// Errors of calls that fail until told otherwise.
    pub create: Option<i32>,
    pub open: Option<i32>,
    pub cut: Option<i32>,
    /// Calls that reached the file system.
    pub writes: usize,
    pub reads: usize,
    pub synchronous: usize,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            dirs: 0,
            made: 0,
            capacity: UNLIMITED,
            free: None,
            create: None,
            open: None,
            cut: None,
            writes: 0,
            reads: 0,
            synchronous: 0,
        }
    }
}

impl Inner {
    pub(super) fn used(&self) -> u64 {
        self.files.values().map(|file| lock(file).len() as u64).sum()
    }

    /// What the files may still grow by. Not added up without need: there may be thousands.
    fn left(&self) -> u64 {
        if self.capacity == UNLIMITED { UNLIMITED } else { self.capacity.saturating_sub(self.used()) }
    }

    pub(super) fn calls(&self) -> usize {
        self.writes + self.reads
    }

    /// The bytes of the oldest segment.
    pub(super) fn first(&self) -> Bytes {
        Arc::clone(self.files.values().next().unwrap())
    }
}

impl Faults {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl SegmentFs for Faults {
    fn sweep(&self, _: &Path) -> usize {
        0
    }

    fn make(&self, _: &Path) -> io::Result<Arc<dyn SegmentDir>> {
        let mut inner = self.lock();
        inner.dirs += 1;
        inner.made += 1;
        Ok(Arc::new(FaultsDir(self.clone())))
    }
}

#[derive(Debug)]
struct FaultsDir(Faults);

impl Drop for FaultsDir {
    fn drop(&mut self) {
        self.0.lock().dirs -= 1;
    }
}

impl SegmentDir for FaultsDir {
    fn create(&self, name: &CStr, write_through: bool) -> io::Result<Box<dyn SegmentFile>> {
        let mut inner = self.0.lock();
        if let Some(number) = inner.create {
            return Err(error(number));
        }
        if inner.files.contains_key(name) {
            return Err(error(libc::EEXIST));
        }
        inner.synchronous += usize::from(write_through);
        let bytes = Bytes::default();
        inner.files.insert(name.to_owned(), Arc::clone(&bytes));
        Ok(Box::new(FaultsFile { fs: self.0.clone(), bytes }))
    }

    fn open(&self, name: &CStr) -> io::Result<Box<dyn SegmentFile>> {
        let inner = self.0.lock();
        if let Some(number) = inner.open {
            return Err(error(number));
        }
        let bytes = inner.files.get(name).cloned().ok_or_else(|| error(libc::ENOENT))?;
        Ok(Box::new(FaultsFile { fs: self.0.clone(), bytes }))
    }

    fn remove(&self, name: &CStr) -> io::Result<()> {
        self.0.lock().files.remove(name).map(drop).ok_or_else(|| error(libc::ENOENT))
    }

    fn free(&self) -> io::Result<u64> {
        let inner = self.0.lock();
        Ok(inner.free.unwrap_or_else(|| inner.left()))
    }
}

#[derive(Debug)]
struct FaultsFile {
    fs: Faults,
    bytes: Bytes,
}

impl SegmentFile for FaultsFile {
    /// As much as there is room for, then ENOSPC.
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.fs.lock();
        inner.writes += 1;
        let room = inner.left();
        let mut file = lock(&self.bytes);
        assert_eq!(file.len() as u64, offset, "appended where the last block ended");
        let take = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        file.extend_from_slice(&bytes[..take]);
        if take < bytes.len() { Err(error(libc::ENOSPC)) } else { Ok(()) }
    }

    fn read(&self, offset: u64, len: usize, into: &mut Vec<u8>) -> io::Result<()> {
        self.fs.lock().reads += 1;
        let file = lock(&self.bytes);
        let rest = usize::try_from(offset).ok().and_then(|offset| file.get(offset..)).unwrap_or_default();
        into.extend_from_slice(&rest[..len.min(rest.len())]);
        Ok(())
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        if let Some(number) = self.fs.lock().cut {
            return Err(error(number));
        }
        lock(&self.bytes).truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }
}
