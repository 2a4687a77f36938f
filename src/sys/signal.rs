//! Signals that ask the program to stop: SIGINT, SIGTERM, SIGHUP.
//!
//! A handler only sets flags, or ends the process where nothing could look at a flag. Which of the two is the
//! [`Manner`], chosen by the program as it goes. Signals that come together count as one: `timeout` sends to the process
//! and to its group, a service manager SIGHUP right after SIGTERM. A signal that was ignored at the start (`nohup`, a background job)
//! stays ignored.

#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU8, Ordering};

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Manner {
    /// Ends the process at once with status 6: nothing is under way that needs good order.
    AtOnce = 0,
    /// The first is a request ([`stop_requested`]), the second ends the process at once.
    Request = 1,
    /// SIGINT is only ever a request, for the running command; the others are as in `Request`.
    Command = 2,
    /// A line editor waits at the terminal and sees Ctrl-C as a key; the others are handed to it as SIGINT.
    Editing = 3,
    /// Somebody else in the program has handlers of its own and is told; here nothing happens.
    Elsewhere = 4,
}

/// Exit status of a program that was stopped by a signal (language.md 1).
pub const STOPPED: i32 = 6;

static MANNER: AtomicU8 = AtomicU8::new(Manner::AtOnce as u8);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static TERMINATED: AtomicBool = AtomicBool::new(false);
static LAST: AtomicI32 = AtomicI32::new(0);
/// When the last request came, in milliseconds of the monotonic clock.
static SINCE: AtomicI64 = AtomicI64::new(i64::MIN);

/// Signals that come within this many milliseconds are one request.
const TOGETHER: i64 = 300;

/// Installs the handlers. They restart system calls, so that no other code meets EINTR but in `poll` and the like.
pub fn install(manner: Manner) -> io::Result<()> {
    MANNER.store(manner as u8, Ordering::SeqCst);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        if disposition(signal)? != libc::SIG_IGN {
            handle(signal, libc::SA_RESTART)?;
        }
    }
    // Nobody else sends it: it is the handler's own reminder.
    handle(libc::SIGALRM, libc::SA_RESTART)
}

/// Changes what a signal does from now on.
pub fn set_manner(manner: Manner) {
    let before = MANNER.swap(manner as u8, Ordering::SeqCst);
    // A line editor's read has to end, not to be restarted, when the program is asked to stop.
    let flags = match (before == Manner::Editing as u8, manner == Manner::Editing) {
        (false, true) => 0,
        (true, false) => libc::SA_RESTART,
        _ => return,
    };
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGALRM] {
        if disposition(signal).is_ok_and(|current| current == own()) {
            // It could be set before; nothing has changed since.
            let _ = handle(signal, flags);
        }
    }
}

fn own() -> libc::sighandler_t {
    handler as extern "C" fn(libc::c_int) as libc::sighandler_t
}

fn disposition(signal: libc::c_int) -> io::Result<libc::sighandler_t> {
    // SAFETY: all-zero is a valid sigaction; the kernel only writes the structure given.
    unsafe {
        let mut current: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal, std::ptr::null(), &raw mut current) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(current.sa_sigaction)
    }
}

fn handle(signal: libc::c_int, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: all-zero is a valid sigaction (empty mask); the kernel only reads the structure given. The handler uses
    // atomics, raise and _exit alone.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = own();
        action.sa_flags = flags;
        if libc::sigaction(signal, &raw const action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// True when a signal has asked to stop, since [`forget_interrupt`] if it was SIGINT.
pub fn stop_requested() -> bool {
    INTERRUPTED.load(Ordering::SeqCst) || terminated()
}

/// True when SIGTERM or SIGHUP has come.
pub fn terminated() -> bool {
    TERMINATED.load(Ordering::SeqCst)
}

/// The number of the last signal that came; 0 when none has.
pub fn last() -> i32 {
    LAST.load(Ordering::SeqCst)
}

/// Ctrl-C came as a key: as if it had been a signal.
pub fn interrupt() {
    LAST.store(libc::SIGINT, Ordering::SeqCst);
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// A SIGINT that came before is not for what comes next.
pub fn forget_interrupt() {
    INTERRUPTED.store(false, Ordering::SeqCst);
}

extern "C" fn handler(signal: libc::c_int) {
    const AT_ONCE: u8 = Manner::AtOnce as u8;
    const REQUEST: u8 = Manner::Request as u8;
    const COMMAND: u8 = Manner::Command as u8;
    const EDITING: u8 = Manner::Editing as u8;
    const ELSEWHERE: u8 = Manner::Elsewhere as u8;
    let manner = MANNER.load(Ordering::SeqCst);
    if manner == ELSEWHERE {
        return;
    }
    if signal == libc::SIGALRM {
        if manner == EDITING && terminated() {
            give_up_line();
        }
        return;
    }
    let interrupt = signal == libc::SIGINT;
    LAST.store(signal, Ordering::SeqCst);
    // Both are set, whichever was before.
    let before = if interrupt {
        INTERRUPTED.swap(true, Ordering::SeqCst) | terminated()
    } else {
        TERMINATED.swap(true, Ordering::SeqCst) | (manner == REQUEST && INTERRUPTED.load(Ordering::SeqCst))
    };
    let now = monotonic();
    let apart = now.saturating_sub(SINCE.load(Ordering::SeqCst)) > TOGETHER;
    if apart {
        SINCE.store(now, Ordering::SeqCst);
    }
    let again = before && apart && !(interrupt && matches!(manner, COMMAND | EDITING));
    if again || (manner == AT_ONCE && (apart || !before)) {
        // SAFETY: _exit may be called in a signal handler.
        unsafe { libc::_exit(STOPPED) }
    }
    if manner == EDITING && !interrupt {
        give_up_line();
    }
}

/// The editor has its own SIGINT handler while it waits; it then gives the line up and we look at the flag. It may not
/// have begun to wait: so it is reminded each second until it has.
fn give_up_line() {
    // SAFETY: raise and alarm may be called in a signal handler.
    unsafe {
        libc::raise(libc::SIGINT);
        libc::alarm(1);
    }
}

/// Milliseconds of a clock that nobody sets.
fn monotonic() -> i64 {
    // SAFETY: all-zero is a valid timespec; clock_gettime only writes it, and may be called in a signal handler.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
        time
    };
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_the_command_is_a_request_however_often_it_comes() {
        install(Manner::Command).unwrap();
        forget_interrupt();
        assert!(!stop_requested());
        for _ in 0..3 {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGINT).unwrap();
            assert!(stop_requested());
        }
        assert_eq!(last(), libc::SIGINT);
        forget_interrupt();
        assert!(!stop_requested());
        // Ctrl-C ends the tests again.
        set_manner(Manner::AtOnce);
    }
}
