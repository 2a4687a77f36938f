//! Where a file's data and holes begin, asked one at a time.
#![allow(unsafe_code)]

use super::check;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// The first byte of data at or after `at`; none when only a hole follows, or at the end.
pub fn next_data(file: &File, at: u64) -> io::Result<Option<u64>> {
    match seek(file, at, libc::SEEK_DATA) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        // A file system that does not know holes.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Some(at)),
        Err(error) => Err(error),
    }
}

/// The first byte of a hole at or after `at`, which may be the file's end; `at` itself behind that.
pub fn next_hole(file: &File, at: u64) -> io::Result<u64> {
    match seek(file, at, libc::SEEK_HOLE) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(at),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(u64::MAX),
        other => other,
    }
}

fn seek(file: &File, at: u64, whence: i32) -> io::Result<u64> {
    let at = i64::try_from(at).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    // SAFETY: lseek touches no memory of ours.
    check(unsafe { libc::lseek(file.as_raw_fd(), at, whence) }).map(|at| at as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn data_and_holes_are_found_in_turn() {
        let file = tempfile::tempfile_in(".").unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(&[1; 4096], 512 * 1024).unwrap();
        if next_data(&file, 0).unwrap() == Some(0) {
            return eprintln!("skipped: no holes here");
        }
        let data = next_data(&file, 0).unwrap().unwrap();
        assert!(data <= 512 * 1024 && data > 256 * 1024);
        let hole = next_hole(&file, data).unwrap();
        assert!((516 * 1024..1 << 20).contains(&hole));
        assert_eq!(next_data(&file, hole).unwrap(), None);
        assert_eq!(next_data(&file, 1 << 20).unwrap(), None);
        assert_eq!(next_hole(&file, hole).unwrap(), hole);
    }
}
