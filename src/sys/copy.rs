//! Content: reads into reused memory, writes, copies inside the kernel, holes, leases.
#![allow(unsafe_code)]

use super::check;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Appends up to `len` bytes at `offset` of the file to `buffer`, until the file's end. Returns how many. The memory is
/// not cleared first.
pub fn read_into(file: &File, offset: u64, len: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut done = 0;
    while done < len {
        match read_once(file, offset + done as u64, len - done, buffer) {
            Ok(0) => break,
            Ok(got) => done += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Appends up to `len` bytes at `offset` with one call: of a regular file fewer come only at its end.
pub fn read_once(file: &File, offset: u64, len: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.reserve(len);
    let position = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    let spare = &mut buffer.spare_capacity_mut()[..len];
    // SAFETY: the kernel writes at most `spare.len()` bytes into memory that `buffer` owns.
    let got = unsafe { libc::pread(file.as_raw_fd(), spare.as_mut_ptr().cast(), spare.len(), position) };
    let got = check(got as libc::c_long)?;
    // SAFETY: pread filled `got` bytes behind the present length, inside the capacity.
    unsafe { buffer.set_len(buffer.len() + got) };
    Ok(got)
}

/// Fills `buffer` from `offset` as far as the file goes; returns how many bytes.
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(got) => done += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all bytes at `offset`.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Copies up to `len` bytes inside the kernel (a reflink where the file system can). Returns how many: fewer at the
/// source's end. EXDEV, EINVAL, EOPNOTSUPP or ENOSYS: read and write instead.
pub fn copy_range(from: &File, to: &File, offset: u64, len: u64) -> io::Result<u64> {
    let position = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    let (mut source, mut target) = (position, position);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    // SAFETY: both offsets live on this frame for the length of the call.
    let got = unsafe {
        libc::copy_file_range(from.as_raw_fd(), &raw mut source, to.as_raw_fd(), &raw mut target, len, 0)
    };
    Ok(check(got as libc::c_long)? as u64)
}

/// Frees the blocks of a range without changing the size; where the file system cannot, writes zeros.
pub fn punch(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let (Ok(start), Ok(length)) = (i64::try_from(offset), i64::try_from(len)) else {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    };
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: fallocate touches no memory of ours.
    match check(unsafe { libc::fallocate(file.as_raw_fd(), mode, start, length) }.into()) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => {
            let zeros = vec![0; 64 * 1024];
            // Behind the end there is nothing to clear, and `len` may be a peer's word.
            let end = file.metadata()?.len().min(offset + len);
            let mut at = offset;
            while at < end {
                let part = usize::try_from(end - at).unwrap_or(usize::MAX).min(zeros.len());
                file.write_all_at(&zeros[..part], at)?;
                at += part as u64;
            }
            Ok(())
        }
        other => other.map(drop),
    }
}

/// The data segments of a file of `size` bytes as (offset, length), found by `SEEK_DATA` and `SEEK_HOLE`. One segment
/// for a file system that does not know holes.
pub fn segments(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let seek = |offset: u64, whence| {
        let offset = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
        // SAFETY: lseek touches no memory of ours.
        check(unsafe { libc::lseek(file.as_raw_fd(), offset, whence) }).map(|at| at as u64)
    };
    let mut list = Vec::new();
    let mut at = 0;
    while at < size {
        let data = match seek(at, libc::SEEK_DATA) {
            Ok(data) => data,
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => break,
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                list.push((0, size));
                break;
            }
            Err(error) => return Err(error),
        };
        let hole = seek(data, libc::SEEK_HOLE)?.min(size);
        if hole <= data {
            break;
        }
        list.push((data, hole - data));
        at = hole;
    }
    Ok(list)
}

/// Says that the file will be read from its start to its end.
pub fn advise_sequential(file: &File) {
    // SAFETY: posix_fadvise touches no memory of ours; its failure changes nothing.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_SEQUENTIAL) };
}

/// `F_SETSIG` of fcntl(2), which the libc crate lacks for some targets.
const F_SETSIG: libc::c_int = 10;

/// True when nobody has the file open for writing now, nor mapped so. Tried with a read lease, which is given back at once,
/// so that no writer waits. Also false where that cannot be known: the file is another user's, or leases are not supported.
pub fn nobody_writes(file: &File) -> bool {
    let fd = file.as_raw_fd();
    // SAFETY: fcntl with integer arguments touches no memory of ours. The signal of a break is set to one that is ignored by
    // default (SIGIO would end the process).
    unsafe {
        libc::fcntl(fd, F_SETSIG, libc::SIGURG) == 0
            && libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) == 0
            && libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn holes_are_found_and_made() {
        let mut file = tempfile::tempfile_in(".").unwrap();
        file.write_all(&[7; 8192]).unwrap();
        file.set_len(1 << 20).unwrap();
        let before = segments(&file, 1 << 20).unwrap();
        if before == [(0, 1 << 20)] {
            return eprintln!("skipped: no holes here");
        }
        assert_eq!(before[0].0, 0);
        assert!(before.iter().map(|s| s.1).sum::<u64>() < 1 << 20);
        punch(&file, 0, 8192).unwrap();
        assert!(segments(&file, 1 << 20).unwrap().is_empty());
        let mut byte = [1];
        file.read_at(&mut byte, 0).unwrap();
        assert_eq!(byte, [0]);
    }

    #[test]
    fn a_lease_is_refused_while_there_is_a_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert!(!nobody_writes(&reader));
        drop(writer);
        assert!(nobody_writes(&reader) || !super::super::is_root());
    }
}
