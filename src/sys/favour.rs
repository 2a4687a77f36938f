//! Threads that get nearly all of a busy processor while somebody waits for what they do.
#![allow(unsafe_code)]

use super::check;
use super::cpu::NICE;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Thirty times the share of the processor that others get.
const FAVOURED: i32 = -15;

/// Some threads, and who waits for them. Where priorities may not be raised (no CAP_SYS_NICE) they stay what they are.
#[derive(Debug, Default)]
pub struct Favour {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// With the priority that each has while nobody waits.
    threads: Vec<(libc::pid_t, i32)>,
    waiting: usize,
}

/// A thread's place among them.
#[derive(Debug)]
pub struct Member {
    favour: Arc<Favour>,
    thread: libc::pid_t,
}

/// Somebody waits.
#[derive(Debug)]
pub struct Waiting {
    favour: Arc<Favour>,
}

impl Favour {
    /// The calling thread is one of them, until what is returned is dropped. Nothing happens to a thread that an administrator gave
    /// another priority.
    pub fn joins(self: &Arc<Self>) -> Member {
        // SAFETY: it takes nothing and cannot fail.
        let thread = unsafe { libc::gettid() };
        let usual = nice(thread);
        let mut state = self.state();
        if usual == 0 || usual == NICE {
            state.threads.push((thread, usual));
            if state.waiting > 0 {
                let _ = set_nice(thread, FAVOURED);
            }
        }
        drop(state);
        Member { favour: Arc::clone(self), thread }
    }

    /// Somebody waits, until what is returned is dropped.
    pub fn waits(self: &Arc<Self>) -> Waiting {
        let mut state = self.state();
        state.waiting += 1;
        if state.waiting == 1 {
            state.threads.iter().for_each(|(thread, _)| drop(set_nice(*thread, FAVOURED)));
        }
        drop(state);
        Waiting { favour: Arc::clone(self) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    /// Before the thread ends, so that no other that gets its number is meant.
    fn drop(&mut self) {
        self.favour.state().threads.retain(|(thread, _)| *thread != self.thread);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.favour.state();
        state.waiting -= 1;
        if state.waiting == 0 {
            state.threads.iter().for_each(|(thread, usual)| drop(set_nice(*thread, *usual)));
        }
    }
}

/// setpriority(2): on Linux of one thread.
fn set_nice(thread: libc::pid_t, nice: i32) -> io::Result<()> {
    // SAFETY: it takes numbers only.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, thread.cast_unsigned(), nice) }.into()).map(drop)
}

fn nice(thread: libc::pid_t) -> i32 {
    // SAFETY: it takes numbers only.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, thread.cast_unsigned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn threads_are_favoured_while_somebody_waits() {
        let favour = Arc::new(Favour::default());
        let (told, tell) = channel();
        let (end, ends) = channel::<()>();
        let (joins, began) = (Arc::clone(&favour), nice(0));
        let thread = std::thread::spawn(move || {
            let member = joins.joins();
            told.send(member.thread).unwrap();
            ends.recv().unwrap_err();
        });
        let number = tell.recv().unwrap();
        let may = crate::sys::is_root() && began == 0;
        let first = favour.waits();
        assert_eq!(nice(number), if may { FAVOURED } else { began });
        let second = favour.waits();
        drop(first);
        assert_eq!(nice(number), if may { FAVOURED } else { began });
        drop(second);
        assert_eq!(nice(number), began);
        drop(end);
        thread.join().unwrap();
        assert!(favour.state().threads.is_empty());
    }
}
