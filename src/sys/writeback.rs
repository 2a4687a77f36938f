//! Stores to shared mappings: which file systems show them in ctime, and how to make the next one show
//! (docs/design/silent-writes.md).
#![allow(unsafe_code)]

use super::check;
use super::stat::file_system_magic;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// File systems on which the first store to a clean page moves ctime, tested on this list's first three. What is not known
/// to do so is taken not to: tmpfs and hugetlbfs do not; overlayfs does so once, but [`write_back`] does not reach its pages.
const TELLING: [i64; 4] = [
    libc::EXT4_SUPER_MAGIC,
    libc::XFS_SUPER_MAGIC,
    libc::BTRFS_SUPER_MAGIC,
    // f2fs, which marks and stamps in the same function.
    0xF2F5_2010,
];

/// True when a store to a page that is clean moves the file's ctime. Otherwise only the bytes tell.
pub fn stores_move_ctime(magic: i64) -> bool {
    TELLING.contains(&magic)
}

/// True on tmpfs, where a store to a page that is in the mapping moves no stamp and there is nothing to write back.
pub fn is_tmpfs(fd: impl AsFd) -> io::Result<bool> {
    Ok(file_system_magic(fd)? == libc::TMPFS_MAGIC)
}

/// Makes all dirty pages of the file go to its device and waits for them, so that later stores through a mapping move ctime
/// again. Needs no right to write. To be called after the stamps are taken and before the bytes are read. It flushes no
/// device cache and no journal; on tmpfs it does nothing.
pub fn write_back(file: &File) -> io::Result<()> {
    // All three together make the kernel wait for each page, not skip those that are under way.
    let flags =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: sync_file_range touches no memory of ours.
    match check(unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) }.into()) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => write_back(file),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Aio, Mapping, Mounted, Page, ctime, until_changes_show};
    use super::*;
    use std::os::unix::fs::{FileExt, OpenOptionsExt};
    use std::path::Path;

    const LEN: usize = 4 * 65536;

    /// A file whose pages are clean, open for reading and writing.
    fn clean_file(path: &Path) -> File {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        file.write_all_at(&[1; LEN], 0).unwrap();
        file.sync_all().unwrap();
        file
    }

    /// True when `change` moves the file's ctime.
    fn moves(path: &Path, change: impl FnOnce()) -> bool {
        until_changes_show(path);
        let before = ctime(path);
        change();
        ctime(path) != before
    }

    #[test]
    fn a_store_shows_where_the_list_says_so_and_after_each_write_back() {
        for kind in ["ext4", "xfs", "btrfs"] {
            let Some(mounted) = Mounted::new(kind) else { continue };
            let path = mounted.path.join("f");
            let file = clean_file(&path);
            assert!(stores_move_ctime(file_system_magic(&file).unwrap()), "{kind}");
            let reader = File::open(&path).unwrap();
            let mut mapping = Mapping::new(&file, LEN).unwrap();
            drop(file);
            assert!(moves(&path, || mapping.store(0, 2)), "{kind}: a clean page");
            assert!(!moves(&path, || mapping.store(1, 3)), "{kind}: a dirty page");
            assert!(!moves(&path, || write_back(&reader).unwrap()), "{kind}: written back");
            assert!(moves(&path, || mapping.store(2, 4)), "{kind}: after it was written back");
            assert!(moves(&path, || mapping.store(LEN - 1, 5)), "{kind}: another page");
            write_back(&reader).unwrap();
            assert!(
                moves(&path, || mapping.store(LEN - 2, 6)),
                "{kind}: that page after it was written back"
            );
        }
    }

    #[test]
    fn stores_to_a_mapped_page_do_not_show_on_tmpfs() {
        let Some(mounted) = Mounted::new("tmpfs") else { return };
        let path = mounted.path.join("f");
        let file = clean_file(&path);
        assert!(is_tmpfs(&file).unwrap());
        assert!(!stores_move_ctime(file_system_magic(&file).unwrap()));
        let mut mapping = Mapping::new(&file, LEN).unwrap();
        // The store that brings a page into the mapping does show.
        assert!(moves(&path, || mapping.store(0, 2)));
        assert!(!moves(&path, || mapping.store(1, 3)));
        write_back(&file).unwrap();
        assert!(!moves(&path, || mapping.store(2, 4)));
        // One that was brought in by a load does not.
        mapping.load(65536);
        assert!(!moves(&path, || mapping.store(65536, 5)));
        assert!(!moves(&path, || drop(mapping)));
    }

    /// Why overlayfs is not on the list.
    #[test]
    fn overlayfs_is_not_reached_by_a_write_back() {
        let Some(mounted) = Mounted::new("ext4") else { return };
        let below = |name: &str| {
            let path = mounted.path.join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (low, up, work, over) = (below("low"), below("up"), below("work"), below("over"));
        let options =
            format!("lowerdir={},upperdir={},workdir={}", low.display(), up.display(), work.display());
        let mut mount = std::process::Command::new("mount");
        if !super::super::testing::runs(mount.args(["-t", "overlay", "none", "-o", &options]).arg(&over)) {
            return eprintln!("skipped: no overlayfs");
        }
        let path = over.join("f");
        let file = clean_file(&path);
        assert!(!stores_move_ctime(file_system_magic(&file).unwrap()));
        let mut mapping = Mapping::new(&file, LEN).unwrap();
        assert!(moves(&path, || mapping.store(0, 2)));
        write_back(&file).unwrap();
        assert!(!moves(&path, || mapping.store(1, 3)));
        drop((mapping, file));
        super::super::testing::runs(std::process::Command::new("umount").arg("-l").arg(&over));
    }

    #[test]
    fn libaio_moves_ctime_at_submission_and_not_at_the_end() {
        let Ok(aio) = Aio::new() else { return eprintln!("skipped: no libaio") };
        for kind in ["ext4", "xfs", "btrfs", "tmpfs"] {
            let Some(mounted) = Mounted::new(kind) else { continue };
            let path = mounted.path.join("f");
            let file = clean_file(&path);
            let direct = File::options().write(true).custom_flags(libc::O_DIRECT).open(&path);
            for (writer, offset) in [(Some(&file), 0), (direct.as_ref().ok(), 4096), (Some(&file), 1 << 20)] {
                let Some(writer) = writer else { continue };
                until_changes_show(&path);
                let before = ctime(&path);
                let mut submitted = before;
                aio.write(writer, &Page([9; 4096]), offset, || submitted = ctime(&path)).unwrap();
                assert_ne!(submitted, before, "{kind} at {offset}: submission");
                assert_eq!(ctime(&path), submitted, "{kind} at {offset}: end");
            }
        }
    }
}
