//! Random operations on a replicated tree and beside it, by one thread or several.
//!
//! What REP-23 takes apart on purpose is not done: no name is moved in that shares its inode with another, and nothing is
//! written through a name outside to a file that has others.

use crate::support::random::Random;
use crate::support::tree;
use nix::fcntl::{AT_FDCWD, AtFlags, FallocateFlags, OFlag, RenameFlags};
use nix::sys::stat::Mode;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::RwLock;

pub struct Operations {
    source: PathBuf,
    outside: PathBuf,
    /// Held for writing while something crosses the border: what is done inside stays inside.
    border: RwLock<()>,
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

impl Operations {
    pub fn new(source: PathBuf, outside: PathBuf) -> Self {
        Self { source, outside, border: RwLock::new(()) }
    }

    /// One operation on something that is there, or not any more.
    pub fn one(&self, random: &mut Random) {
        if random.one_in(8) {
            let _border = self.border.write().unwrap();
            self.cross(random);
        } else {
            let _border = self.border.read().unwrap();
            self.inside(random);
        }
    }

    fn inside(&self, random: &mut Random) {
        let mut all = all(&self.source);
        let path = match all.len() {
            0 => return drop(fs::create_dir(self.source.join("a"))),
            _ => random.pick(&all).clone(),
        };
        let other = random.pick(&all).clone();
        all.push(self.source.clone());
        let place = place(&all, random);
        let write = |path: &Path| OpenOptions::new().write(true).custom_flags(libc_nofollow()).open(path);
        // What cannot be done is not done: that is part of it.
        let _ = match random.below(24) {
            0 | 1 => OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .custom_flags(libc_nofollow())
                .open(&place)
                .and_then(|file| file.write_all_at(&random.bytes(3000), 0)),
            2 => write(&path).and_then(|file| {
                file.set_len(0)?;
                file.write_all_at(&random.bytes(200), 0)
            }),
            3 => write(&path)
                .and_then(|file| file.write_all_at(&random.bytes(5000), random.below(200_000) as u64)),
            4 => write(&path).and_then(|file| file.set_len(random.below(300_000) as u64)),
            5 | 6 => fs::create_dir(place),
            7..=9 => fs::rename(&path, place),
            10 => fs::rename(&path, other),
            11 => fs::hard_link(&path, place),
            12 => symlink("a/b", place),
            13 => fs::remove_file(&path),
            14 if random.one_in(3) => fs::remove_dir_all(&path),
            14 => fs::remove_dir(&path),
            15 => exchange(&path, &other),
            16 => unnamed(&place, random),
            17 => sparse(&write(&path), random),
            18 => OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&place)
                .and_then(|file| file.set_len(random.below(6 << 20) as u64)),
            19 if is_real(&path) => {
                tree::set_xattr(&path, "user.x", &random.below(9).to_string());
                Ok(())
            }
            20 if path.symlink_metadata().is_ok() => {
                let time = nix::sys::time::TimeSpec::new(random.below(1 << 30) as i64, 7);
                let flags = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
                nix::sys::stat::utimensat(AT_FDCWD, &path, &time, &time, flags).map_err(std::io::Error::from)
            }
            21 => replace(&place, &path, random),
            22 if is_real(&path) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o700 + random.below(64) as u32))
            }
            _ => Ok(()),
        };
    }

    /// Something goes out, comes in, or has names on both sides.
    fn cross(&self, random: &mut Random) {
        let (mut inside, mut outside) = (all(&self.source), all(&self.outside));
        let in_path = (!inside.is_empty()).then(|| random.pick(&inside).clone());
        let out_path = (!outside.is_empty()).then(|| random.pick(&outside).clone());
        inside.push(self.source.clone());
        outside.push(self.outside.clone());
        let (in_place, out_place) = (place(&inside, random), place(&outside, random));
        let _ = match (random.below(8), in_path, out_path) {
            (0 | 1, Some(path), _) => fs::rename(path, out_place),
            (2 | 3, _, Some(path)) if is_alone(&path) => fs::rename(path, in_place),
            (4, Some(path), _) => fs::hard_link(path, out_place),
            (5, _, Some(path)) => fs::hard_link(path, in_place),
            (6, _, Some(path)) if is_alone(&path) && path.is_file() => fs::write(path, random.bytes(2000)),
            (7, _, Some(path)) => fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)),
            _ => File::create_new(out_place).and_then(|file| file.write_all_at(&random.bytes(2000), 0)),
        };
    }
}

fn libc_nofollow() -> i32 {
    OFlag::O_NOFOLLOW.bits() | OFlag::O_NONBLOCK.bits()
}

/// Every entry that is found at the moment.
fn all(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(root) else { return found };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let below =
            if path.symlink_metadata().is_ok_and(|stat| stat.is_dir()) { all(&path) } else { Vec::new() };
        found.push(path);
        found.extend(below);
    }
    found
}

/// One of few names in some directory.
fn place(all: &[PathBuf], random: &mut Random) -> PathBuf {
    let mut dir = random.pick(all).clone();
    while !dir.symlink_metadata().is_ok_and(|stat| stat.is_dir()) && dir.pop() {}
    dir.join(NAMES[random.below(NAMES.len())])
}

fn is_real(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|stat| stat.is_file() || stat.is_dir())
}

/// No file at or below the path has another name.
fn is_alone(path: &Path) -> bool {
    let alone = |path: &Path| path.symlink_metadata().is_ok_and(|stat| stat.is_dir() || stat.nlink() == 1);
    alone(path) && all(path).iter().all(|path| alone(path))
}

fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    Ok(nix::fcntl::renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE)?)
}

/// A file that is written before it has a name.
fn unnamed(place: &Path, random: &mut Random) -> io::Result<()> {
    let dir = place.parent().unwrap();
    let file = nix::fcntl::open(dir, OFlag::O_TMPFILE | OFlag::O_RDWR, Mode::from_bits_truncate(0o600))?;
    let file = File::from(file);
    file.write_all_at(&random.bytes(3000), 0)?;
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    nix::unistd::linkat(AT_FDCWD, path.as_str(), AT_FDCWD, place, AtFlags::AT_SYMLINK_FOLLOW)?;
    if random.one_in(2) {
        file.write_all_at(&random.bytes(100), random.below(5000) as u64)?;
    }
    Ok(())
}

/// Data here and there in a file, and holes.
fn sparse(file: &io::Result<File>, random: &mut Random) -> io::Result<()> {
    let Ok(file) = file else { return Ok(()) };
    let len = file.metadata()?.len().max(1);
    for _ in 0..random.below(4) {
        let at = random.below(len as usize) as u64;
        if random.one_in(2) {
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            nix::fcntl::fallocate(file, flags, at as i64, 1 + random.below(100_000) as i64)?;
        } else {
            file.write_all_at(&random.bytes(20_000), at)?;
        }
    }
    Ok(())
}

/// As editors save: a new file takes the name, or what was written under one name.
fn replace(place: &Path, path: &Path, random: &mut Random) -> io::Result<()> {
    if !path.symlink_metadata()?.is_file() {
        return Ok(());
    }
    if random.one_in(2) {
        let len = path.metadata()?.len() as usize;
        OpenOptions::new().write(true).open(path)?.write_all_at(&random.bytes(len.min(100)), 0)?;
        return fs::rename(path, place);
    }
    let aside = place.with_file_name("aside");
    fs::write(&aside, random.bytes(1000))?;
    fs::rename(aside, path)
}
