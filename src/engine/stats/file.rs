//! `statistic.sts`: snapshots in a file of bounded size, whose oldest are overwritten in place (LGF-06).
//!
//! The file is a head of one block and then a ring of blocks of 256 bytes. A record is a snapshot: it begins at a block, with a head of 24
//! bytes (mark, number, length, CRC-32), and fills as many blocks as it needs. The CRC covers the file's own random name too,
//! so that nothing that stands in a snapshot (a path, say) can be taken for the beginning of another.
//!
//! Nothing is needed to read it but the file: each block is looked at, and is the beginning of a record if the CRC says so. What is not is
//! passed over: the remains of records that were overwritten, and the last record of a process that was killed or whose disk was full.
//! Records come back in the order of their numbers.
//!
//! Who writes a file holds a lock on it (flock), so that two never write the same.

use super::record;
use crate::api::statistics::Snapshot;
use crate::engine::random::random;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"DTCLsts\x01";
const NAME: usize = 16;
const BLOCK: u64 = 256;
const MARK: &[u8; 4] = b"REC\x1a";
const HEAD: usize = 24;
/// What earlier versions wrote under this name, as text, begins with this.
const TEXT: &[u8] = b"DTCL throughput diagnostics";
/// Most bytes of a snapshot: some thousand connections.
const RECORD_MAX: usize = 4 << 20;
/// The smallest limit: something has to have room.
const LEAST: u64 = 64 << 10;
/// No file is read further than this, whatever its size: the largest limit that a person would set.
const READ_MAX: u64 = 1 << 30;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    #[error("it is no statistics file")]
    Foreign,
    #[error("it is no file")]
    NoFile,
    #[error("it is being written")]
    Busy,
    #[error("the file of before would be kept as {}, and what is there now is no statistics file", .0.display())]
    ForeignOld(PathBuf),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file that is written.
#[derive(Debug)]
pub struct StatisticsFile {
    path: PathBuf,
    file: File,
    name: [u8; NAME],
    /// Bytes that it may take.
    limit: u64,
    /// Where the next record begins, and its number.
    at: u64,
    number: u64,
}

impl StatisticsFile {
    /// A new file, of at most so many bytes. An earlier statistics file of that name is kept as `<name>-old.<extension>` if `keep`
    /// (SaveStatFile); any other is not touched.
    pub fn create(path: &Path, limit: u64, keep: bool) -> Result<StatisticsFile, BadFile> {
        if is_ours(path)? {
            let old = old_name(path);
            match keep {
                true if matches!(is_ours(&old), Err(BadFile::Foreign | BadFile::NoFile)) => {
                    return Err(BadFile::ForeignOld(old));
                }
                true => std::fs::rename(path, old)?,
                false => std::fs::remove_file(path)?,
            }
        }
        let name = random::<NAME>().map_err(|error| io::Error::other(error.message))?;
        let mut block = [0; BLOCK as usize];
        block[..MAGIC.len()].copy_from_slice(MAGIC);
        block[MAGIC.len()..MAGIC.len() + NAME].copy_from_slice(&name);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o640)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        // On the disk before anything follows: a piece of a head would be a foreign file at the next start.
        if let Err(error) =
            lock(&file).and_then(|()| Ok(file.write_all(&block).and_then(|()| file.sync_data())?))
        {
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(StatisticsFile {
            path: path.to_owned(),
            file,
            name,
            limit: limit.max(LEAST),
            at: BLOCK,
            number: 1,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// StatsMaxFileSize as it is by now. A file that is larger shrinks when it has been written once round.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit.max(LEAST);
    }

    /// Adds a snapshot. When it could not be written whole, the next one takes its place.
    pub fn add(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let mut bytes = vec![0; HEAD];
        record::encode(snapshot, &mut bytes);
        let len = bytes.len() - HEAD;
        let blocks = (bytes.len() as u64).div_ceil(BLOCK);
        if len > RECORD_MAX || blocks * BLOCK > self.limit - BLOCK {
            return Err(io::Error::other(
                "the snapshot has no room in the file: SET StatsMaxFileSize to more",
            ));
        }
        bytes[..4].copy_from_slice(MARK);
        bytes[4..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&(len as u32).to_le_bytes());
        let crc = sum(&self.name, &bytes[..HEAD], &bytes[HEAD..]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes.resize((blocks * BLOCK) as usize, 0);
        if self.at + blocks * BLOCK > self.limit {
            // What is behind is older than all before it.
            self.file.set_len(self.at)?;
            self.at = BLOCK;
        }
        self.file.write_all_at(&bytes, self.at)?;
        self.at += blocks * BLOCK;
        self.number += 1;
        Ok(())
    }
}

/// All snapshots of a file, the oldest first: they are found at once, and read one by one.
pub fn read(path: &Path) -> Result<Snapshots, BadFile> {
    let file = open(path)?;
    let name = head(&file)?.ok_or(BadFile::Foreign)?;
    let size = file.metadata()?.len().min(READ_MAX);
    let mut found = Vec::new();
    let mut at = BLOCK;
    while at + HEAD as u64 <= size {
        let record = Record::at(&file, &name, at)?;
        at += record.as_ref().map_or(BLOCK, |(record, _)| record.blocks() * BLOCK);
        found.extend(record.map(|(record, _)| record));
    }
    found.sort_by_key(|record| record.number);
    Ok(Snapshots { file, name, found: found.into_iter() })
}

/// Those of a file that is read.
#[derive(Debug)]
pub struct Snapshots {
    file: File,
    name: [u8; NAME],
    found: std::vec::IntoIter<Record>,
}

impl Iterator for Snapshots {
    type Item = io::Result<Snapshot>;

    fn next(&mut self) -> Option<Self::Item> {
        for found in self.found.by_ref() {
            match Record::at(&self.file, &self.name, found.at) {
                Err(error) => return Some(Err(error)),
                // Who writes the file may have written over it since.
                Ok(Some((record, bytes))) if record == found => {
                    if let Some(snapshot) = record::decode(&bytes) {
                        return Some(Ok(snapshot));
                    }
                }
                Ok(_) => {}
            }
        }
        None
    }
}

/// Where a record is.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    number: u64,
    at: u64,
    /// Of the snapshot, in bytes.
    len: usize,
}

impl Record {
    /// That which begins there, with its snapshot as bytes; None: none does that is whole.
    fn at(file: &File, name: &[u8; NAME], at: u64) -> io::Result<Option<(Record, Vec<u8>)>> {
        let mut head = [0; HEAD];
        if !read_at(file, &mut head, at)? || !head.starts_with(MARK) {
            return Ok(None);
        }
        let number =
            |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
        let (low, high, len, crc) = (number(4), number(8), number(12) as usize, number(16));
        if len > RECORD_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        if !read_at(file, &mut bytes, at + HEAD as u64)? {
            return Ok(None);
        }
        head[16..20].fill(0);
        let record = Record { number: u64::from(high) << 32 | u64::from(low), at, len };
        Ok((sum(name, &head, &bytes) == crc).then_some((record, bytes)))
    }

    fn blocks(&self) -> u64 {
        ((HEAD + self.len) as u64).div_ceil(BLOCK)
    }
}

/// Of a record, whose own sum is 0 in its head.
fn sum(name: &[u8; NAME], head: &[u8], snapshot: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    [name, head, snapshot].into_iter().for_each(|bytes| hasher.update(bytes));
    hasher.finalize()
}

/// False: the file ends before.
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, at) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

/// A file system without locks has one writer that knows what it does.
fn lock(file: &File) -> Result<(), BadFile> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(BadFile::Busy),
        Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => Err(error.into()),
        _ => Ok(()),
    }
}

/// Is a statistics file there that nobody writes? False: nothing is there.
fn is_ours(path: &Path) -> Result<bool, BadFile> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
        Ok(status) if !status.is_file() => return Err(BadFile::NoFile),
        Ok(_) => {}
    }
    let file = open(path)?;
    lock(&file)?;
    let mut start = [0; BLOCK as usize];
    let ours = match file.metadata()?.len() {
        // What a full disk or a loss of power leaves, and what anybody may have made.
        0 => path.extension().is_some_and(|extension| extension == "sts"),
        1..BLOCK => {
            let mut text = [0; TEXT.len()];
            read_at(&file, &mut text, 0)? && text == *TEXT
        }
        _ => {
            read_at(&file, &mut start, 0)?;
            start.starts_with(MAGIC) || start.starts_with(TEXT) || start == [0; BLOCK as usize]
        }
    };
    if ours { Ok(true) } else { Err(BadFile::Foreign) }
}

/// Never waits, as it would for a fifo.
fn open(path: &Path) -> Result<File, BadFile> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(BadFile::NoFile) }
}

/// The random name in the head; None: it is no statistics file.
fn head(file: &File) -> io::Result<Option<[u8; NAME]>> {
    let mut head = [0; MAGIC.len() + NAME];
    if !read_at(file, &mut head, 0)? {
        return Ok(None);
    }
    let (magic, name) = head.split_at(MAGIC.len());
    Ok((magic == MAGIC).then(|| name.try_into().unwrap_or_default()))
}

/// `statistic.sts` is kept as `statistic-old.sts`.
fn old_name(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push("-old");
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::sample;
    use super::*;

    fn moments(path: &Path) -> Vec<i64> {
        read(path).unwrap().map(|snapshot| snapshot.unwrap().at_ms).collect()
    }

    #[test]
    fn at_its_limit_the_oldest_are_overwritten_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("statistic.sts");
        let mut file = StatisticsFile::create(&path, 64 << 10, true).unwrap();
        for n in 0..1000 {
            // Of one to four blocks, so that remains of old ones stand between new ones.
            file.add(&sample(n, 5, &"x".repeat((n as usize % 7) * 100))).unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() <= 64 << 10);
        let kept = moments(&path);
        assert!(kept.len() > 80, "{}", kept.len());
        assert_eq!(*kept.last().unwrap(), 999);
        assert!(kept.is_sorted() && kept.windows(2).all(|pair| pair[1] == pair[0] + 1), "{kept:?}");
    }

    #[test]
    fn a_record_that_is_torn_anywhere_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("statistic.sts");
        let mut file = StatisticsFile::create(&path, 64 << 10, true).unwrap();
        for n in 0..3 {
            file.add(&sample(n, 5, &"x".repeat(600))).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        let third = whole.len() - 768;
        for len in (third..whole.len() - 100).step_by(50) {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert_eq!(moments(&path), [0, 1], "cut to {len}");
        }
        let mut torn = whole.clone();
        torn[third + 300] ^= 1;
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(moments(&path), [0, 1]);
    }

    /// A path is written by whoever may name a file.
    #[test]
    fn what_stands_in_a_snapshot_is_never_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("statistic.sts");
        let mut file = StatisticsFile::create(&path, 64 << 10, true).unwrap();
        file.add(&sample(1, 5, "/srv/a")).unwrap();
        // A record of another file, whose name is not this one's, at the beginning of a block.
        let bytes = std::fs::read(&path).unwrap();
        let other = dir.path().join("other.sts");
        StatisticsFile::create(&other, 64 << 10, true).unwrap();
        let mut forged = std::fs::read(&other).unwrap();
        forged.extend_from_slice(&bytes[BLOCK as usize..]);
        std::fs::write(&other, forged).unwrap();
        assert_eq!(moments(&other), Vec::<i64>::new());
    }

    #[test]
    fn the_old_file_is_kept_or_not_and_no_other_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("statistic.sts");
        for n in 0..2 {
            StatisticsFile::create(&path, 0, true).unwrap().add(&sample(n, 5, "")).unwrap();
        }
        assert_eq!(moments(&path), [1]);
        assert_eq!(moments(&dir.path().join("statistic-old.sts")), [0]);
        StatisticsFile::create(&path, 0, false).unwrap();
        assert_eq!(moments(&path), Vec::<i64>::new());
        assert_eq!(moments(&dir.path().join("statistic-old.sts")), [0], "it is not moved over the kept one");
        std::fs::write(&path, "a table").unwrap();
        assert!(matches!(StatisticsFile::create(&path, 0, false), Err(BadFile::Foreign)));
        assert!(matches!(read(&path), Err(BadFile::Foreign)));
        assert_eq!(std::fs::read(&path).unwrap(), b"a table");
        assert!(matches!(StatisticsFile::create(dir.path(), 0, false), Err(BadFile::NoFile)));
    }

    #[test]
    fn what_would_be_kept_is_written_over_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("statistic.sts"), dir.path().join("statistic-old.sts"));
        StatisticsFile::create(&path, 0, true).unwrap().add(&sample(1, 5, "")).unwrap();
        std::fs::write(&old, "a table").unwrap();
        let refused = StatisticsFile::create(&path, 0, true).unwrap_err();
        assert!(refused.to_string().contains("statistic-old.sts"), "{refused}");
        assert_eq!(std::fs::read(&old).unwrap(), b"a table");
        assert_eq!(moments(&path), [1]);
    }

    #[test]
    fn a_file_that_is_written_is_left_to_who_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("statistic.sts");
        let mut file = StatisticsFile::create(&path, 0, true).unwrap();
        for keep in [true, false] {
            assert!(matches!(StatisticsFile::create(&path, 0, keep), Err(BadFile::Busy)));
        }
        file.add(&sample(1, 5, "")).unwrap();
        assert_eq!(moments(&path), [1], "it is read all the same");
        drop(file);
        StatisticsFile::create(&path, 0, true).unwrap();
    }

    /// An earlier version's text, and what a full disk or a loss of power leaves.
    #[test]
    fn what_was_ours_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("statistic.sts");
        for left in [&b"DTCL throughput diagnostics\n"[..], b"", &[0; 256], &[0; 4096]] {
            std::fs::write(&path, left).unwrap();
            StatisticsFile::create(&path, 0, false).unwrap();
            assert_eq!(moments(&path), Vec::<i64>::new());
        }
        let other = dir.path().join("statistics");
        for foreign in [&b""[..], &[0; 100], b"DTCL"] {
            std::fs::write(&other, foreign).unwrap();
            assert!(matches!(StatisticsFile::create(&other, 0, false), Err(BadFile::Foreign)), "{foreign:?}");
        }
    }

    #[test]
    fn a_file_shrinks_to_a_smaller_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("statistic.sts");
        let mut file = StatisticsFile::create(&path, 256 << 10, true).unwrap();
        (0..800).for_each(|n| file.add(&sample(n, 5, "")).unwrap());
        file.set_limit(64 << 10);
        (800..1400).for_each(|n| file.add(&sample(n, 5, "")).unwrap());
        assert!(std::fs::metadata(&path).unwrap().len() <= 64 << 10);
        let kept = moments(&path);
        assert!(kept.windows(2).all(|pair| pair[1] == pair[0] + 1), "{kept:?}");
        assert_eq!(kept.last(), Some(&1399));
    }

    #[test]
    fn what_was_not_written_whole_is_written_over_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("statistic.sts");
        let mut file = StatisticsFile::create(&path, 64 << 10, true).unwrap();
        file.add(&sample(0, 5, "")).unwrap();
        let error = file.add(&sample(1, 5, &"x".repeat(70 << 10))).unwrap_err();
        assert!(error.to_string().contains("StatsMaxFileSize"), "{error}");
        let writable = std::mem::replace(&mut file.file, File::open(&path).unwrap());
        file.add(&sample(2, 5, "")).unwrap_err();
        file.file = writable;
        file.add(&sample(3, 5, "")).unwrap();
        assert_eq!(moments(&path), [0, 3]);
    }
}
