//! Load for the benchmark and the soak (`scripts/bench --replication`, `scripts/soak`): files at full speed, or random
//! operations on a tree from a seed. Writers of one tree share its names, so they rename and remove under each other.
//!
//! ```text
//! load files DIR COUNT SIZE     COUNT files of SIZE bytes in one directory (made when it is missing)
//! load dirs DIR COUNT           COUNT directories, at most 1,000 beside each other
//! load remove DIR               removes a tree
//! load random DIR SEED COUNT [OUTSIDE]
//!                               COUNT operations that succeeded, 0 = until killed; OUTSIDE, on the same file system: trees
//!                               and files move in from there and out to there
//! ```
//!
//! The last line that `random` writes counts its operations by kind, as JSON.

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["files", dir, count, size] => number(count).and_then(|n| files(Path::new(dir), n, number(size)?)),
        ["dirs", dir, count] => number(count).and_then(|n| dirs(Path::new(dir), n)),
        ["remove", dir] => fs::remove_dir_all(dir),
        ["random", dir, seed, count] => random(dir, seed, count, None),
        ["random", dir, seed, count, outside] => random(dir, seed, count, Some(outside)),
        _ => Err(io::Error::other("load files|dirs|remove|random ...: see examples/load.rs")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| io::Error::other(format!("{text} is not a number")))
}

/// `f000000` and on; each begins with its number, eight bytes, little-endian.
fn files(dir: &Path, count: u64, size: u64) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut content = Random(1).bytes(usize::try_from(size).map_err(io::Error::other)?);
    for n in 0..count {
        for (place, byte) in content.iter_mut().zip(n.to_le_bytes()) {
            *place = byte;
        }
        File::create(dir.join(format!("f{n:06}")))?.write_all(&content)?;
    }
    Ok(())
}

fn dirs(root: &Path, count: u64) -> io::Result<()> {
    fs::create_dir_all(root)?;
    let mut parent = root.to_path_buf();
    for n in 0..count {
        if n % 1000 == 0 {
            parent = root.join(format!("d{n:07}"));
            fs::create_dir(&parent)?;
        } else {
            fs::create_dir(parent.join(format!("e{n:07}")))?;
        }
    }
    Ok(())
}

fn random(dir: &str, seed: &str, count: &str, outside: Option<&str>) -> io::Result<()> {
    let seed = number(seed)?;
    // What this writer alone has outside, so that two writers never meet there.
    let outside = outside.map(|dir| Path::new(dir).join(seed.to_string()));
    if let Some(dir) = &outside {
        fs::create_dir_all(dir)?;
    }
    let mut writer =
        Writer { root: dir.to_owned(), outside, random: Random(seed), serial: 0, recent: Vec::new() };
    let count = number(count)?;
    let mut done = [0_u64; KINDS.len()];
    let mut total = 0;
    while count == 0 || total < count {
        let kind = writer.kind();
        match writer.operate(KINDS[kind].0) {
            Ok(()) => {
                done[kind] += 1;
                total += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Err(error),
            // The name was not there, was there, or was another kind: the next one will do.
            Err(_) => {}
        }
    }
    let counts: Vec<String> =
        KINDS.iter().zip(done).map(|((kind, _), n)| format!("\"{kind:?}\": {n}")).collect();
    println!("{{{}}}", counts.join(", "));
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Create,
    Large,
    Append,
    Write,
    Truncate,
    Hole,
    RenameFile,
    RenameDir,
    Exchange,
    Mkdir,
    Link,
    Symlink,
    Fifo,
    Unlink,
    Rmdir,
    Chmod,
    Times,
    Xattr,
    MoveIn,
    MoveOut,
}

/// Each kind with its weight.
const KINDS: &[(Kind, usize)] = &[
    (Kind::Create, 200),
    (Kind::Large, 2),
    (Kind::Append, 120),
    (Kind::Write, 100),
    (Kind::Truncate, 40),
    (Kind::Hole, 5),
    (Kind::RenameFile, 100),
    (Kind::RenameDir, 40),
    (Kind::Exchange, 20),
    (Kind::Mkdir, 100),
    (Kind::Link, 60),
    (Kind::Symlink, 40),
    (Kind::Fifo, 5),
    (Kind::Unlink, 110),
    (Kind::Rmdir, 40),
    (Kind::Chmod, 50),
    (Kind::Times, 20),
    (Kind::Xattr, 30),
    (Kind::MoveIn, 4),
    (Kind::MoveOut, 2),
];

struct Writer {
    root: String,
    outside: Option<PathBuf>,
    random: Random,
    serial: u64,
    /// Files that this writer made lately: half of its operations go there, so that they find something.
    recent: Vec<String>,
}

impl Writer {
    /// An index into [`KINDS`], by weight.
    fn kind(&mut self) -> usize {
        let sum: usize = KINDS.iter().map(|(_, weight)| weight).sum();
        let mut at = self.random.below(sum);
        KINDS
            .iter()
            .position(|(_, weight)| {
                let here = at < *weight;
                at = at.saturating_sub(*weight);
                here
            })
            .unwrap_or_default()
    }

    /// A directory's name, one to four deep, more often deep: few for all writers, so that they meet.
    fn dir(&mut self) -> String {
        let mut path = self.root.clone();
        for _ in 0..[1, 2, 3, 3, 4, 4, 4, 4][self.random.below(8)] {
            path.push_str("/d");
            path.push_str(&self.random.below(5).to_string());
        }
        path
    }

    /// One that is likely there.
    fn known(&mut self) -> String {
        if self.recent.is_empty() || self.random.below(2) == 0 {
            return self.file();
        }
        let at = self.random.below(self.recent.len());
        self.recent[at].clone()
    }

    fn remember(&mut self, path: String) {
        if self.recent.len() < 64 {
            return self.recent.push(path);
        }
        let at = self.random.below(64);
        self.recent[at] = path;
    }

    fn file(&mut self) -> String {
        let mut path = match self.random.below(8) {
            0 => self.root.clone(),
            _ => self.dir(),
        };
        path.push_str("/f");
        path.push_str(&self.random.below(40).to_string());
        path
    }

    fn operate(&mut self, kind: Kind) -> io::Result<()> {
        match kind {
            Kind::Create => {
                let len = self.random.below(2048);
                let content = self.random.bytes(len);
                let path = self.file();
                if let Some(dir) = Path::new(&path).parent() {
                    fs::create_dir_all(dir)?;
                }
                File::options().write(true).create_new(true).open(&path)?.write_all(&content)?;
                self.remember(path);
                Ok(())
            }
            Kind::Large => {
                let len = 60_000 + self.random.below(400_000);
                let content = self.random.bytes(len);
                regular(OpenOptions::new().write(true).create(true), &self.file())?.write_all(&content)
            }
            Kind::Append => {
                let len = 1 + self.random.below(1024);
                let content = self.random.bytes(len);
                regular(OpenOptions::new().append(true), &self.known())?.write_all(&content)
            }
            Kind::Write => {
                let file = regular(OpenOptions::new().write(true), &self.known())?;
                let len = 1 + self.random.below(1024);
                let at = self.random.next() % (file.metadata()?.len() + 1);
                file.write_all_at(&self.random.bytes(len), at)
            }
            Kind::Truncate => {
                let len = self.random.below(4096) as u64;
                regular(OpenOptions::new().write(true), &self.known())?.set_len(len)
            }
            Kind::Hole => {
                let file = regular(OpenOptions::new().write(true), &self.known())?;
                let at = self.random.below(100) as u64 * 4096;
                file.set_len(at + 1_000_000)?;
                file.write_all_at(&self.random.bytes(100), at)
            }
            Kind::RenameFile => {
                let to = self.file();
                fs::rename(self.known(), &to)?;
                self.remember(to);
                Ok(())
            }
            Kind::RenameDir => {
                // Never to a deeper place, so that the tree stays as deep as names reach, and its size within bounds for ever.
                let (mut from, mut to) = (self.dir(), self.dir());
                if to.len() > from.len() {
                    std::mem::swap(&mut from, &mut to);
                }
                fs::rename(from, to)
            }
            Kind::Exchange => {
                if self.random.below(2) == 0 {
                    return exchange(&self.known(), &self.known());
                }
                let (from, to) = (self.dir(), self.dir());
                if from.len() != to.len() {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                exchange(&from, &to)
            }
            Kind::Mkdir => fs::create_dir(self.dir()),
            Kind::Link => fs::hard_link(self.known(), self.file()),
            Kind::Symlink => {
                let target = format!("../f{}", self.random.below(40));
                symlink(target, self.file())
            }
            Kind::Fifo => {
                let mode = Mode::from_bits_truncate(0o600);
                nix::unistd::mkfifo(self.file().as_str(), mode).map_err(io::Error::from)
            }
            Kind::Unlink => fs::remove_file(self.known()),
            Kind::Rmdir => fs::remove_dir(self.dir()),
            Kind::Chmod => {
                let path = if self.random.below(4) == 0 { self.dir() } else { self.known() };
                // Through a link it would be another name's; a writer that is no root must still get in.
                if fs::symlink_metadata(&path)?.is_symlink() {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                fs::set_permissions(path, Permissions::from_mode(0o700 | (self.random.next() & 0o77) as u32))
            }
            Kind::Times => {
                let path = if self.random.below(4) == 0 { self.dir() } else { self.known() };
                let seconds = i64::try_from(self.random.next() % 2_000_000_000).unwrap_or_default();
                let nanos = i64::try_from(self.random.next() % 1_000_000_000).unwrap_or_default();
                let time = TimeSpec::new(seconds, nanos);
                let flags = UtimensatFlags::NoFollowSymlink;
                utimensat(AT_FDCWD, path.as_str(), &time, &time, flags).map_err(io::Error::from)
            }
            Kind::Xattr => {
                let file = regular(OpenOptions::new().read(true), &self.known())?;
                let len = self.random.below(200);
                dtcl::sys::set_xattr(&file, c"user.load", &self.random.bytes(len))
            }
            Kind::MoveIn => self.move_in(),
            Kind::MoveOut => self.move_out(),
        }
    }

    /// A fresh tree from outside, over an empty directory or a new name.
    fn move_in(&mut self) -> io::Result<()> {
        let Some(fresh) = self.place_outside() else { return Err(io::ErrorKind::Unsupported.into()) };
        for part in ["d0/d1", "d2"] {
            fs::create_dir_all(fresh.join(part))?;
            for n in 0..1 + self.random.below(4) {
                fs::write(fresh.join(part).join(format!("f{n}")), self.random.bytes(100))?;
            }
        }
        let result = fs::rename(&fresh, self.dir());
        if result.is_err() {
            fs::remove_dir_all(&fresh)?;
        }
        result
    }

    /// A file or a whole tree, which then goes away; sometimes a file comes back first, changed meanwhile.
    fn move_out(&mut self) -> io::Result<()> {
        let Some(away) = self.place_outside() else { return Err(io::ErrorKind::Unsupported.into()) };
        if self.random.below(4) == 0 {
            fs::rename(self.dir(), &away)?;
            return fs::remove_dir_all(&away);
        }
        fs::rename(self.known(), &away)?;
        let meta = fs::symlink_metadata(&away)?;
        // A name of several would come back as a file of its own (REP-23), which no comparison by inode expects.
        if meta.is_file() && meta.nlink() == 1 && self.random.below(2) == 0 {
            OpenOptions::new().append(true).open(&away)?.write_all(b"changed outside")?;
            return fs::rename(&away, self.file());
        }
        fs::remove_file(&away)
    }

    fn place_outside(&mut self) -> Option<PathBuf> {
        self.serial += 1;
        self.outside.as_ref().map(|dir| dir.join(self.serial.to_string()))
    }
}

/// Opens a regular file, never a fifo (that would wait for the other end) and never through a link.
fn regular(options: &mut OpenOptions, path: &str) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn exchange(from: &str, to: &str) -> io::Result<()> {
    renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_EXCHANGE).map_err(io::Error::from)
}

/// SplitMix64: the same seed gives the same operations.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or_default()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
