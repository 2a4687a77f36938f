//! Trees holding every kind of file that Linux knows, fixed or random from a seed, and random changes to them.
//!
//! What needs root or a tool (devices, foreign owners, ACLs) is made where it can be made.

use super::random::Random;
use super::{have, is_root};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::mkfifo;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a tree with at least one of every kind below `root` (made too). `outside` (made too, on the same file
/// system) gets the other ends of links that cross the boundary.
pub fn every_kind(root: &Path, outside: &Path) {
    fs::create_dir_all(root).unwrap();
    fs::create_dir_all(outside).unwrap();
    contents(root);
    hard_links(root, outside);
    soft_links(root, outside);
    specials(root);
    names(root);
    attributes(root);
    modes_and_owners(root);
    times(root);
}

fn contents(root: &Path) {
    let mut random = Random::new(7);
    write(&root.join("empty"), b"");
    write(&root.join("small.txt"), b"small\n");
    for size in [1, 4095, 4096, 65535, 65536, 65537, 300_000, 1_500_000] {
        write(&root.join(format!("data/{size}.bin")), &random.bytes(size));
    }
    write(&root.join("data/zeros.bin"), &[0; 100_000]);
    fs::create_dir_all(root.join("empty directory/also empty")).unwrap();
    for n in 0..300 {
        write(&root.join(format!("many/{n:03}")), format!("file {n}\n").as_bytes());
    }
    // Holes in the middle, at the end, everywhere.
    sparse(&root.join("sparse/middle"), 16 << 20, &[(0, 5000), (8 << 20, 4096), ((16 << 20) - 1, 1)]);
    sparse(&root.join("sparse/end"), 5 << 20, &[(0, 100)]);
    sparse(&root.join("sparse/begin"), (3 << 20) + 77, &[(3 << 20, 77)]);
    sparse(&root.join("sparse/only"), 3 << 20, &[]);
}

/// A file of this length holding data only at the given places (offset, length).
pub fn sparse(path: &Path, len: u64, data: &[(u64, usize)]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    file.set_len(len).unwrap();
    for &(offset, size) in data {
        file.write_all_at(&Random::new(offset).bytes(size), offset).unwrap();
    }
}

fn hard_links(root: &Path, outside: &Path) {
    write(&root.join("links/first"), b"three names\n");
    fs::create_dir_all(root.join("links/deeper")).unwrap();
    fs::hard_link(root.join("links/first"), root.join("links/second")).unwrap();
    fs::hard_link(root.join("links/first"), root.join("links/deeper/third")).unwrap();
    write(&root.join("links/large-a"), &Random::new(3).bytes(200_000));
    fs::hard_link(root.join("links/large-a"), root.join("a hard link of a large file")).unwrap();
    // One name outside, one and two inside (REP-21).
    write(&outside.join("shared-1"), b"crosses once\n");
    fs::hard_link(outside.join("shared-1"), root.join("links/crossing")).unwrap();
    write(&outside.join("shared-2"), b"crosses twice\n");
    fs::hard_link(outside.join("shared-2"), root.join("links/crossing-a")).unwrap();
    fs::hard_link(outside.join("shared-2"), root.join("links/crossing-b")).unwrap();
}

fn soft_links(root: &Path, outside: &Path) {
    let dir = root.join("soft");
    fs::create_dir_all(&dir).unwrap();
    symlink("../small.txt", dir.join("relative")).unwrap();
    symlink(root.join("small.txt"), dir.join("absolute inside")).unwrap();
    symlink(root, dir.join("the root")).unwrap();
    symlink(outside.join("shared-1"), dir.join("absolute outside")).unwrap();
    symlink("/nowhere/at all", dir.join("dangling")).unwrap();
    symlink("../data", dir.join("to a directory")).unwrap();
    symlink("loop", dir.join("loop")).unwrap();
    symlink(OsStr::from_bytes(b"odd \xff\n target"), dir.join("odd target")).unwrap();
    symlink("x/".repeat(1500), dir.join("long target")).unwrap();
}

fn specials(root: &Path) {
    let dir = root.join("special");
    fs::create_dir_all(&dir).unwrap();
    mkfifo(&dir.join("fifo"), Mode::from_bits_truncate(0o640)).unwrap();
    mknod(&dir.join("socket"), SFlag::S_IFSOCK, Mode::from_bits_truncate(0o755), 0).unwrap();
    if is_root() {
        mknod(&dir.join("null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).unwrap();
        mknod(&dir.join("block"), SFlag::S_IFBLK, Mode::from_bits_truncate(0o600), makedev(7, 200)).unwrap();
    }
}

/// Names that programs stumble over.
pub fn odd_names() -> Vec<OsString> {
    let mut names: Vec<OsString> = [
        "new\nline",
        "tab\tand\rreturn",
        "double \" quote",
        "single ' quote",
        " leading and trailing ",
        "-rf",
        "star * and ? mark",
        "back\\slash",
        "semi;colon # hash",
        "$dollar {brace}",
        "...",
        ".hidden",
        "ünï¢ödé 漢字 🦀",
        "\u{1b}[31mred",
        "con",
    ]
    .iter()
    .map(OsString::from)
    .collect();
    names.push(OsString::from_vec(b"invalid \xff\xfe utf-8".to_vec()));
    names.push(OsString::from_vec(vec![0x80]));
    names.push(OsString::from("n".repeat(255)));
    names.push(OsString::from_vec([0xC3].repeat(255)));
    names
}

fn names(root: &Path) {
    for (n, name) in odd_names().iter().enumerate() {
        write(&root.join("names").join(name), format!("content {n}\n").as_bytes());
        write(&root.join("directory names").join(name).join(name), format!("inner {n}\n").as_bytes());
    }
    let deep: PathBuf = (0..50).map(|n| format!("level {n:02} of a deep directory")).collect();
    write(&root.join("deep").join(deep).join("bottom"), b"deep\n");
}

fn attributes(root: &Path) {
    let dir = root.join("attributes");
    write(&dir.join("user"), b"has user attributes\n");
    write(&dir.join("both"), b"has both\n");
    fs::create_dir_all(dir.join("folder")).unwrap();
    set_xattr(&dir.join("user"), "user.comment", "\"plain text\"");
    set_xattr(&dir.join("user"), "user.binary", "0x00ff0a0d00");
    set_xattr(&dir.join("user"), "user.empty", "0x");
    set_xattr(&dir.join("user"), "user.long", &format!("0x{}", "ab".repeat(1500)));
    set_xattr(&dir.join("folder"), "user.folder", "\"on a directory\"");
    set_xattr(&dir.join("both"), "user.comment", "\"with an ACL\"");
    set_acl(&dir.join("both"), "u:1234:rw,g:4321:r,m::rw");
    set_acl(&dir.join("folder"), "u:1234:rwx,d:u:1234:rwx,d:g::r");
    if is_root() {
        set_xattr(&dir.join("user"), "trusted.dtcl", "\"root only\"");
        write(&dir.join("capable"), b"#!/bin/sh\n");
        // cap_net_bind_service=ep, version 2.
        set_xattr(&dir.join("capable"), "security.capability", "0x0100000200040000000000000000000000000000");
    }
}

/// `value` as setfattr reads it. Does nothing where the tool or the file system cannot.
pub fn set_xattr(path: &Path, name: &str, value: &str) {
    if have("setfattr") {
        let _ =
            Command::new("setfattr").args(["-h", "-n", name, "-v", value, "--"]).arg(path).output().unwrap();
    }
}

pub fn set_acl(path: &Path, entries: &str) {
    if have("setfacl") {
        let _ = Command::new("setfacl").args(["-m", entries, "--"]).arg(path).output().unwrap();
    }
}

fn modes_and_owners(root: &Path) {
    let dir = root.join("modes");
    let readable = if is_root() { 0o000 } else { 0o400 };
    for (name, mode) in
        [("none", readable), ("setuid", 0o4755), ("setgid", 0o2755), ("all", 0o777), ("w", 0o622)]
    {
        write(&dir.join(name), name.as_bytes());
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    write(&dir.join("read-only/inside"), b"in a directory that may not be written\n");
    for (name, mode) in [("read-only", 0o555), ("shared", 0o2775), ("sticky", 0o1777)] {
        fs::create_dir_all(dir.join(name)).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    if is_root() {
        write(&dir.join("owned"), b"of another user\n");
        symlink("owned", dir.join("owned link")).unwrap();
        lchown(dir.join("owned"), Some(1234), Some(4321)).unwrap();
        lchown(dir.join("owned link"), Some(1234), Some(4321)).unwrap();
        lchown(dir.join("shared"), Some(1234), Some(4321)).unwrap();
        // chown clears setuid, so the mode comes last, as on the target.
        write(&dir.join("owned setuid"), b"x");
        lchown(dir.join("owned setuid"), Some(1234), Some(4321)).unwrap();
        fs::set_permissions(dir.join("owned setuid"), fs::Permissions::from_mode(0o6755)).unwrap();
    }
}

fn times(root: &Path) {
    let dir = root.join("times");
    for (name, seconds, nanos) in [
        ("nanoseconds", 1_700_000_000, 123_456_789),
        ("one nanosecond", 1_700_000_000, 1),
        ("zero", 0, 0),
        ("before 1970", -86_400 * 365 * 3, 999_999_999),
        ("after 2038", 4_000_000_000, 5),
    ] {
        write(&dir.join(name), name.as_bytes());
        set_time(&dir.join(name), seconds, nanos);
        symlink(name, dir.join(format!("link {name}"))).unwrap();
        set_time(&dir.join(format!("link {name}")), seconds + 1, nanos);
        fs::create_dir_all(dir.join(format!("directory {name}/inside"))).unwrap();
        set_time(&dir.join(format!("directory {name}")), seconds, nanos);
    }
    set_time(&dir, 1_234_567_890, 987_654_321);
    set_time(root, 1_222_222_222, 222_222_222);
}

/// Sets the modification time (the access time too), of a link itself.
pub fn set_time(path: &Path, seconds: i64, nanos: i64) {
    let time = TimeSpec::new(seconds, nanos);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}

/// Puts back the times that a file had.
pub fn restore_times(path: &Path, old: &fs::Metadata) {
    let accessed = TimeSpec::new(old.atime(), old.atime_nsec());
    let modified = TimeSpec::new(old.mtime(), old.mtime_nsec());
    utimensat(nix::fcntl::AT_FDCWD, path, &accessed, &modified, UtimensatFlags::NoFollowSymlink).unwrap();
}

/// Changes one byte of a file and puts its times back: only reading the file can find it.
pub fn flip_byte_secretly(path: &Path, offset: u64) {
    let old = fs::metadata(path).unwrap();
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], offset).unwrap();
    drop(file);
    restore_times(path, &old);
}

pub fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A random tree of about `entries` entries.
pub fn random(root: &Path, seed: u64, entries: usize) {
    fs::create_dir_all(root).unwrap();
    let mut random = Random::new(seed);
    for _ in 0..entries {
        create(root, &mut random);
    }
}

/// Some random changes to a tree, as users make them. Less than a quarter of the tree goes away.
pub fn change(root: &Path, random: &mut Random, count: usize) {
    let mut removals = all(root).len() / 8;
    for _ in 0..count {
        let entries = all(root);
        let Some(path) = (!entries.is_empty()).then(|| random.pick(&entries).clone()) else {
            create(root, random);
            continue;
        };
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        match random.below(14) {
            0..=3 => create(root, random),
            4 if meta.is_file() => {
                let file = fs::File::options().write(true).open(&path).unwrap();
                let len = 1 + random.below(3000);
                let at = random.below(usize::try_from(meta.len()).unwrap() + 1) as u64;
                file.write_all_at(&random.bytes(len), at).unwrap();
            }
            5 if meta.is_file() => {
                let file = fs::File::options().write(true).open(&path).unwrap();
                file.set_len(random.below(100_000) as u64).unwrap();
            }
            6 if !meta.is_symlink() => {
                let mode = 0o700 | u32::try_from(random.below(0o100)).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            7 => set_time(&path, random.below(2_000_000_000) as i64, random.below(1_000_000_000) as i64),
            8 if meta.is_dir() && removals > 0 => {
                let inside = all(&path).len() + 1;
                if inside <= removals {
                    removals -= inside;
                    fs::remove_dir_all(&path).unwrap();
                }
            }
            8..=9 if !meta.is_dir() && removals > 0 => {
                removals -= 1;
                fs::remove_file(&path).unwrap();
            }
            // A rename counts as a removal and a new entry; a directory takes all inside along.
            10 if removals > all(&path).len() => {
                let to = place(root, random);
                if !to.starts_with(&path) && fs::symlink_metadata(&to).is_err() {
                    removals -= all(&path).len() + 1;
                    fs::rename(&path, &to).unwrap();
                }
            }
            // The same name, another kind.
            11 if !meta.is_dir() && removals > 0 => {
                removals -= 1;
                fs::remove_file(&path).unwrap();
                make(&path, root, random);
            }
            12 if meta.is_file() => set_xattr(&path, "user.changed", &format!("\"{}\"", random.below(5))),
            13 if is_root() => lchown(&path, Some(1000 + random.below(5) as u32), None).unwrap(),
            _ => {}
        }
    }
}

/// Every entry below a root, directories before what is in them.
pub fn all(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(root) else { return found };
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let is_dir = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
        found.push(path.clone());
        if is_dir {
            found.extend(all(&path));
        }
    }
    found
}

fn create(root: &Path, random: &mut Random) {
    let path = place(root, random);
    if fs::symlink_metadata(&path).is_err() {
        make(&path, root, random);
    }
}

/// A new or old name in a random directory of the tree.
fn place(root: &Path, random: &mut Random) -> PathBuf {
    let mut dirs = vec![root.to_path_buf()];
    dirs.extend(all(root).into_iter().filter(|path| fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())));
    let dir = random.pick(&dirs).clone();
    let name = match random.below(12) {
        0 => random.pick(&odd_names()).clone(),
        _ => OsString::from(format!("{}-{}", random.pick(&["report", "photo", "x", "Ω"]), random.below(60))),
    };
    let path = dir.join(name);
    // A path stays well below PATH_MAX, so that the generator itself can name it.
    if path.as_os_str().len() < 2000 { path } else { root.join(format!("short-{}", random.below(1000))) }
}

fn make(path: &Path, root: &Path, random: &mut Random) {
    match random.below(16) {
        0..=4 => {
            let len = random.below(200);
            fs::write(path, random.bytes(len)).unwrap();
        }
        5 => fs::write(path, b"").unwrap(),
        6 => {
            let len = 60_000 + random.below(200_000);
            fs::write(path, random.bytes(len)).unwrap();
        }
        7 => sparse(path, 200_000 + random.below(3_000_000) as u64, &[(random.below(150_000) as u64, 3000)]),
        8..=10 => fs::create_dir(path).unwrap(),
        11 => {
            let target = random.pick(&["../x-1", "/etc/hostname", "nowhere", "."]);
            symlink(target, path).unwrap();
        }
        12 => symlink(random.pick(&all_or(root)), path).unwrap(),
        13..=14 => {
            let files: Vec<PathBuf> = all(root)
                .into_iter()
                .filter(|path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()))
                .collect();
            match files.is_empty() {
                true => fs::write(path, b"alone").unwrap(),
                false => fs::hard_link(random.pick(&files), path).unwrap(),
            }
        }
        _ => mkfifo(path, Mode::from_bits_truncate(0o644)).unwrap(),
    }
}

fn all_or(root: &Path) -> Vec<PathBuf> {
    let mut found = all(root);
    found.push(root.to_path_buf());
    found
}
