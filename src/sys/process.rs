//! How programs are started, and what memory this one takes.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt as _;

/// Bytes of memory that this process has made its own, in RAM and swapped out (what the system's page file would hold). 0: that cannot be told.
pub fn own_memory() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let kilobytes = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
    };
    (kilobytes("RssAnon") + kilobytes("VmSwap")) * 1024
}

/// The program that a command starts is in a session of its own, without a terminal, makes files as is usual, and may open as many as is usual.
pub fn starts_apart(command: &mut std::process::Command) {
    const FILES: libc::rlim_t = 1024;
    let apart = || {
        // SAFETY: these calls are async-signal-safe and touch nothing of this process but its own attributes; the structure is plain and outlives
        // the calls.
        unsafe {
            libc::setsid();
            libc::umask(0o022);
            let mut limit: libc::rlimit = std::mem::zeroed();
            if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
                limit.rlim_cur = limit.rlim_cur.min(FILES);
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are made, and nothing is allocated.
    unsafe { command.pre_exec(apart) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_that_is_filled_is_counted() {
        let before = super::own_memory();
        let filled = std::hint::black_box(vec![1_u8; 64 << 20]);
        let grown = super::own_memory().saturating_sub(before);
        assert!(before > 0 && grown > 32 << 20, "{grown} of {}", filled.len());
    }
}
