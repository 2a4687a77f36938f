//! `statistic.sts`: snapshots in a file of bounded size, whose oldest are overwritten in place (LGF-06).
//!
//! The file is a head of one block and then a ring of blocks of 256 bytes. A record is a snapshot: it begins at a block, with a head of 24
//! bytes (mark, number, length, CRC-32), and fills as many blocks as it needs. The CRC covers the file's own random name too,
//! so that nothing that stands in a snapshot (a path, say) can be taken for the beginning of another.
//!
//! Nothing is needed to read it but the file: each block is looked at, and is the beginning of a record if the CRC says so. What is not is
//! passed over: the remains of records that were overwritten, and the last record of a process that was killed or whose disk was full.
//! Records come back in the order of their numbers.

use super::record;
use crate::api::statistics::Snapshot;
use crate::engine::random::random;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"DTCLsts\x01";
const NAME: usize = 16;
const BLOCK: u64 = 256;
const MARK: &[u8; 4] = b"REC\x1a";
const HEAD: usize = 24;
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
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
            Ok(status) if !status.is_file() => return Err(BadFile::NoFile),
            Ok(_) => {
                // One that is empty is what a full disk leaves.
                if head(&open(path)?)?.is_none() && std::fs::metadata(path)?.len() > 0 {
                    return Err(BadFile::Foreign);
                }
                match keep {
                    true => std::fs::rename(path, old_name(path))?,
                    false => std::fs::remove_file(path)?,
                }
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
        if let Err(error) = file.write_all(&block) {
            // A piece of a head would be a foreign file at the next start.
            let _ = std::fs::remove_file(path);
            return Err(error.into());
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

    /// StatsMaxFileSize as it is by now. A file that is larger stays so until it is written anew.
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
        let crc = sum(&self.name, &bytes);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes.resize((blocks * BLOCK) as usize, 0);
        if self.at + blocks * BLOCK > self.limit {
            self.at = BLOCK;
        }
        self.file.write_all_at(&bytes, self.at)?;
        self.at += blocks * BLOCK;
        self.number += 1;
        Ok(())
    }
}

/// All snapshots of a file, the oldest first.
pub fn read(path: &Path) -> Result<Vec<Snapshot>, BadFile> {
    let file = open(path)?;
    let name = head(&file)?.ok_or(BadFile::Foreign)?;
    let mut bytes = Vec::new();
    file.take(READ_MAX).read_to_end(&mut bytes)?;
    let mut found = Vec::new();
    let mut at = BLOCK as usize;
    while at + HEAD <= bytes.len() {
        match record_at(&bytes[at..], &name) {
            Some((number, snapshot, len)) => {
                found.push((number, snapshot));
                at += (HEAD + len).next_multiple_of(BLOCK as usize);
            }
            None => at += BLOCK as usize,
        }
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, snapshot)| snapshot).collect())
}

/// Number, snapshot and its length in bytes.
fn record_at(bytes: &[u8], name: &[u8; NAME]) -> Option<(u64, Snapshot, usize)> {
    if !bytes.starts_with(MARK) {
        return None;
    }
    let number = u64::from_le_bytes(bytes[4..12].try_into().ok()?);
    let len = usize::try_from(u32::from_le_bytes(bytes[12..16].try_into().ok()?)).ok()?;
    let crc = u32::from_le_bytes(bytes[16..20].try_into().ok()?);
    let mut whole = bytes.get(..HEAD.checked_add(len)?)?.to_vec();
    whole[16..20].fill(0);
    if sum(name, &whole) != crc {
        return None;
    }
    Some((number, record::decode(&whole[HEAD..])?, len))
}

fn sum(name: &[u8; NAME], record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name);
    hasher.update(record);
    hasher.finalize()
}

/// Never waits, as it would for a fifo.
fn open(path: &Path) -> Result<File, BadFile> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(BadFile::NoFile) }
}

/// The random name in the head; None: it is no statistics file.
fn head(file: &File) -> io::Result<Option<[u8; NAME]>> {
    let mut head = [0; MAGIC.len() + NAME];
    match file.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
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
        read(path).unwrap().iter().map(|snapshot| snapshot.at_ms).collect()
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
