//! Where a path really lies: device and path inside that device's file system, as the kernel's mount table says.
//!
//! Two names of one directory (bind mounts, a file system mounted twice) have the same place, which names and even
//! the inodes of their ancestors do not show.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// `major:minor`, one for each super block.
    device: String,
    /// The directory of the file system that is visible here.
    root: PathBuf,
    point: PathBuf,
}

/// The mounts of this process.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    list: Vec<Mount>,
}

/// A directory tree as its file system knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    pub device: String,
    /// Inside the file system.
    pub path: PathBuf,
    /// The name by which it was reached.
    pub seen: PathBuf,
}

impl Mounts {
    /// Reads the kernel's table.
    pub fn read() -> std::io::Result<Mounts> {
        std::fs::read("/proc/self/mountinfo").map(|text| Mounts::parse(&text))
    }

    /// The places where something is mounted.
    pub fn points(&self) -> impl Iterator<Item = &Path> {
        self.list.iter().map(|mount| mount.point.as_path())
    }

    /// Lines that are not understood are left out: the kernel writes none.
    fn parse(text: &[u8]) -> Mounts {
        let list = text.split(|&byte| byte == b'\n').filter_map(Mount::parse).collect();
        Mounts { list }
    }

    /// The tree at a path: the part in the path's own file system, then each mount below it.
    pub fn regions(&self, real: &Path) -> Vec<Region> {
        let mut regions = Vec::new();
        if let Some(mount) = self.covering(real) {
            let rest = real.strip_prefix(&mount.point).unwrap_or(Path::new(""));
            regions.push(Region {
                device: mount.device.clone(),
                path: joined(&mount.root, rest),
                seen: real.into(),
            });
        }
        for mount in self.list.iter().filter(|mount| mount.point != real && mount.point.starts_with(real)) {
            regions.push(Region {
                device: mount.device.clone(),
                path: mount.root.clone(),
                seen: mount.point.clone(),
            });
        }
        regions
    }

    /// The last mounted of the deepest mount points above a path: it hides the earlier ones.
    fn covering(&self, real: &Path) -> Option<&Mount> {
        self.list.iter().filter(|m| real.starts_with(&m.point)).max_by_key(|m| m.point.components().count())
    }
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|&byte| byte == b' ');
        let device = String::from_utf8(fields.nth(2)?.to_vec()).ok()?;
        let root = unescape(fields.next()?);
        let point = unescape(fields.next()?);
        Some(Mount { device, root, point })
    }
}

/// The table writes blank, tab, newline and backslash as `\ooo`.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) = (*first, tail) {
            bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn joined(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { base.to_path_buf() } else { base.join(rest) }
}

#[cfg(test)]
impl Mounts {
    pub(super) fn of(text: &str) -> Mounts {
        Mounts::parse(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /proc rw - proc proc rw
23 21 8:2 / /srv rw shared:2 master:1 - xfs /dev/sdb rw
24 21 8:2 /data/a /mnt/with\\040blank rw - xfs /dev/sdb rw
25 21 8:3 / /mnt/with\\040blank rw - btrfs /dev/sdc rw
";

    fn place(path: &str) -> (String, String) {
        let region = Mounts::of(TABLE).regions(Path::new(path)).remove(0);
        (region.device, region.path.display().to_string())
    }

    #[test]
    fn a_path_lies_on_the_deepest_mount_above_it() {
        assert_eq!(place("/etc/passwd"), ("8:1".into(), "/etc/passwd".into()));
        assert_eq!(place("/srv"), ("8:2".into(), "/".into()));
        assert_eq!(place("/srv/data/a/x"), ("8:2".into(), "/data/a/x".into()));
        assert_eq!(place("/srvx"), ("8:1".into(), "/srvx".into()));
    }

    #[test]
    fn the_later_mount_hides_the_earlier_one() {
        assert_eq!(place("/mnt/with blank/x"), ("8:3".into(), "/x".into()));
    }

    #[test]
    fn mounts_below_belong_to_a_tree() {
        let seen: Vec<_> =
            Mounts::of(TABLE).regions(Path::new("/")).into_iter().map(|region| region.seen).collect();
        assert_eq!(seen.len(), 5);
        assert!(seen.contains(&PathBuf::from("/srv")));
    }

    #[test]
    fn this_process_has_a_mount_table() {
        assert!(!Mounts::read().unwrap().regions(Path::new("/")).is_empty());
    }
}
