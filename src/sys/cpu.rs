//! Processor time of the calling thread, for work that keeps to a share of it.
#![allow(unsafe_code)]

use super::check;
use std::io;
use std::time::Duration;

/// Processor time that this thread has used.
pub fn thread_cpu() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` has room for one timespec and outlives the call.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }.into())?;
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Ok(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_time_of_the_thread_that_does_it() {
        let before = thread_cpu().unwrap();
        let mut data = vec![7u8; 1 << 20];
        while thread_cpu().unwrap() == before {
            data.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(3));
        }
        assert!(thread_cpu().unwrap() > before);
    }
}
