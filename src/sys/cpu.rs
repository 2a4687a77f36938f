//! Processor time of the calling thread: for work that keeps to a share of it, and for work that must not wait for it.
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

/// The shortest time slice that the kernel grants.
const SLICE: Duration = Duration::from_micros(100);

/// Three times the share of the processor that others get.
const NICE: i32 = -5;

/// Asks the scheduler for short time slices, and a larger share of a busy processor where that is allowed, for the calling thread
/// and those that it starts: once it is woken it waits for a tenth of a millisecond where others wait for several. Slices are as
/// usual before Linux 6.12. Nothing happens to a thread that an administrator gave another policy or priority
/// (sched_setattr(2), `sched_runtime` and `sched_nice`).
pub fn hurry() -> io::Result<()> {
    // SAFETY: all zeros is a value of this plain structure.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = u32::try_from(std::mem::size_of::<libc::sched_attr>()).unwrap_or(0);
    // SAFETY: `attributes` has room for as many bytes as it says and outlives the call; 0 is the calling thread.
    check(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) })?;
    let usual = [libc::SCHED_OTHER, libc::SCHED_BATCH].map(i32::cast_unsigned);
    if !usual.contains(&attributes.sched_policy) || attributes.sched_nice != 0 {
        return Ok(());
    }
    attributes.sched_runtime = u64::try_from(SLICE.as_nanos()).unwrap_or(0);
    let mut set = |nice| {
        attributes.sched_nice = nice;
        // SAFETY: as above; the kernel only reads it.
        check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw mut attributes, 0) }).map(drop)
    };
    // Without CAP_SYS_NICE only the slices.
    set(NICE).or_else(|_| set(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_hurry() {
        std::thread::spawn(|| {
            hurry().unwrap();
            if crate::sys::is_root() {
                // SAFETY: it takes and gives numbers only; 0 is the calling thread.
                assert_eq!(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }, NICE);
            }
        })
        .join()
        .unwrap();
    }

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
