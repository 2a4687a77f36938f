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

/// Time of all processors since the machine was started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineTime {
    idle: u64,
    all: u64,
}

impl MachineTime {
    /// Percent of the time since an earlier look in which they were busy.
    pub fn busy_percent(&self, before: &MachineTime) -> u64 {
        let all = self.all.saturating_sub(before.all);
        let idle = self.idle.saturating_sub(before.idle).min(all);
        ((all - idle) * 100).checked_div(all).unwrap_or(0)
    }
}

/// The first line of `/proc/stat`.
pub fn machine_time() -> io::Result<MachineTime> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().and_then(|line| line.strip_prefix("cpu "));
    let line = line.ok_or(io::ErrorKind::InvalidData)?;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user.
    let times: Vec<u64> =
        line.split_ascii_whitespace().take(8).map(|time| time.parse().unwrap_or(0)).collect();
    let idle = times.iter().skip(3).take(2).sum();
    Ok(MachineTime { idle, all: times.iter().sum() })
}

/// The shortest time slice that the kernel grants.
const SLICE: Duration = Duration::from_micros(100);

/// Three times the share of the processor that others get.
pub(super) const NICE: i32 = -5;

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

/// Takes back what [`hurry`] asked for, before the calling thread starts a program, which would have it, too. False: it had not hurried.
pub fn calm() -> io::Result<bool> {
    // SAFETY: all zeros is a value of this plain structure.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = u32::try_from(std::mem::size_of::<libc::sched_attr>()).unwrap_or(0);
    // SAFETY: `attributes` has room for as many bytes as it says and outlives the call; 0 is the calling thread.
    check(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) })?;
    let hurries = attributes.sched_nice == NICE || u128::from(attributes.sched_runtime) == SLICE.as_nanos();
    let usual = attributes.sched_policy == libc::SCHED_OTHER.cast_unsigned();
    if !usual || !hurries {
        return Ok(false);
    }
    (attributes.sched_nice, attributes.sched_runtime) = (0, 0);
    // SAFETY: as above; the kernel only reads it.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw mut attributes, 0) })?;
    Ok(true)
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
                assert!(calm().unwrap());
                // SAFETY: as above.
                assert_eq!(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }, 0);
                assert!(!calm().unwrap());
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn the_machine_is_busy_for_a_part_of_its_time() {
        let time = |idle, all| MachineTime { idle, all };
        assert_eq!(time(150, 400).busy_percent(&time(100, 200)), 75);
        assert_eq!(time(1, 1).busy_percent(&time(1, 1)), 0);
        // Counters of idle time may go backwards (proc(5)).
        assert_eq!(time(90, 200).busy_percent(&time(100, 100)), 100);
        let now = machine_time().unwrap();
        assert!(now.all > now.idle && now.idle > 0, "{now:?}");
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
