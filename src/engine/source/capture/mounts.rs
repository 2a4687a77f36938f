//! The kernel's table of mounts as capture needs it: numbers, super blocks, and a notice of each change.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Device number of a super block.
pub(super) type Device = (u32, u32);

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) number: u64,
    pub(super) device: Device,
    /// All of the file system is visible here, not only a directory of it.
    pub(super) whole: bool,
    pub(super) point: PathBuf,
    /// `ext4`, `overlay`, ...
    pub(super) kind: String,
}

/// The mounts of this process.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    list: Vec<Mount>,
}

impl Mounts {
    pub(super) fn read() -> io::Result<Mounts> {
        Ok(Mounts::parse(&std::fs::read("/proc/self/mountinfo")?))
    }

    /// Lines that are not understood are left out: the kernel writes none.
    fn parse(text: &[u8]) -> Mounts {
        Mounts { list: text.split(|&byte| byte == b'\n').filter_map(mount).collect() }
    }

    pub(super) fn of(&self, number: u64) -> Option<&Mount> {
        self.list.iter().find(|mount| mount.number == number)
    }

    /// The mounts of a super block: those of these numbers first, then those that show all of it.
    pub(super) fn of_device(&self, device: Device, first: &[u64]) -> Vec<Mount> {
        let mut mounts: Vec<_> = self.list.iter().filter(|mount| mount.device == device).cloned().collect();
        mounts.sort_by_key(|mount| (!first.contains(&mount.number), !mount.whole));
        mounts
    }
}

/// `number parent major:minor root point options [fields] - kind source options`
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let number = text(fields.next()?)?.parse().ok()?;
    let (major, minor) = text(fields.nth(1)?)?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let whole = fields.next()? == b"/";
    let point = unescape(fields.next()?);
    let kind = text(fields.skip_while(|field| field != b"-").nth(1)?)?.to_owned();
    Some(Mount { number, device, whole, point, kind })
}

fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

/// The table writes blank, tab, newline and backslash as `\ooo`.
fn unescape(mut rest: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        (rest, bytes) = match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                (tail, bytes)
            }
            _ => {
                bytes.push(*first);
                (tail, bytes)
            }
        };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Tells of changes of the table since it was asked last.
#[derive(Debug)]
pub(super) struct MountWatch {
    file: File,
}

impl AsFd for MountWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl MountWatch {
    pub(super) fn new() -> io::Result<MountWatch> {
        Ok(MountWatch { file: File::open("/proc/self/mountinfo")? })
    }

    /// True when something was mounted or unmounted since the last call. An error counts as a change.
    pub(super) fn changed(&self) -> bool {
        let mut asked = [PollFd::new(self.file.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut asked, PollTimeout::ZERO) {
            Ok(ready) => ready != 0,
            Err(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
24 21 8:2 /data/a /mnt/with\\040blank rw - xfs /dev/sdb rw
23 21 8:2 / /srv rw shared:2 master:1 - xfs /dev/sdb rw
";

    #[test]
    fn a_line_becomes_a_mount() {
        let mounts = Mounts::parse(TABLE);
        let expected = Mount {
            number: 24,
            device: (8, 2),
            whole: false,
            point: "/mnt/with blank".into(),
            kind: "xfs".into(),
        };
        assert_eq!(mounts.of(24), Some(&expected));
        assert_eq!(mounts.of(23).map(|mount| mount.whole), Some(true));
        assert_eq!(mounts.of(99), None);
    }

    #[test]
    fn a_mount_that_was_used_goes_before_one_that_shows_all() {
        let order = |first: &[u64]| -> Vec<u64> {
            Mounts::parse(TABLE).of_device((8, 2), first).iter().map(|mount| mount.number).collect()
        };
        assert_eq!(order(&[]), [23, 24]);
        assert_eq!(order(&[24]), [24, 23]);
    }

    #[test]
    fn this_process_has_mounts() {
        assert!(!Mounts::read().unwrap().list.is_empty());
    }
}
