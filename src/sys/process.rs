//! How programs are started.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt as _;

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
