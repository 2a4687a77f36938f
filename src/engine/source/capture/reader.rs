//! The thread that reads events: it waits for them, for changes of mounts and for its end, and never for anything else. It
//! has no wake-ups while nothing happens.
//!
//! Reading takes turns: whoever holds the buffer has added all that was read before, so a drain that has read what the
//! kernel held when it began has seen all of it in the set.

use super::Gap;
use super::fanotify::Marks;
use super::inotify::Watches;
use super::looks::Looks;
use super::mounts::MountWatch;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Some 700 events.
const BUFFER: usize = 64 * 1024;

/// Events that come closer together than this are read in portions,
const BUSY: Duration = Duration::from_millis(1);

/// with so much time between: a thread that is woken for each event costs the writers several times what reading does. The
/// first events after a pause are read at once.
const REST: Duration = Duration::from_micros(200);

const STOP: u64 = 0;
const MOUNTS: u64 = 1;
const FANOTIFY: u64 = 2;
const INOTIFY: u64 = 3;

/// What the thread shares with the callers.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) looks: Arc<Looks>,
    pub(super) marks: Option<Marks>,
    watches: OnceLock<Watches>,
    /// One at a time makes the watches.
    making: Mutex<()>,
    epoll: Epoll,
    stop: EventFd,
    mounts: MountWatch,
    /// Whoever wants the buffer next; without it the thread could take the buffer again and again.
    turn: Mutex<()>,
    buffer: Mutex<Box<[u8]>>,
    ended: Mutex<Option<String>>,
}

impl Reader {
    pub(super) fn new(marks: Option<Marks>) -> io::Result<Reader> {
        let reader = Reader {
            looks: Looks::new(),
            marks,
            watches: OnceLock::new(),
            making: Mutex::default(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            stop: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            mounts: MountWatch::new()?,
            turn: Mutex::default(),
            buffer: Mutex::new(vec![0; BUFFER].into_boxed_slice()),
            ended: Mutex::default(),
        };
        let readable = |number| EpollEvent::new(EpollFlags::EPOLLIN, number);
        reader.epoll.add(&reader.stop, readable(STOP))?;
        reader.epoll.add(&reader.mounts, EpollEvent::new(EpollFlags::EPOLLPRI, MOUNTS))?;
        if let Some(marks) = &reader.marks {
            reader.epoll.add(marks.group(), readable(FANOTIFY))?;
        }
        Ok(reader)
    }

    /// The watches, made with the first file system that needs them.
    pub(super) fn watches(&self) -> io::Result<&Watches> {
        let _one = locked(&self.making);
        if let Some(watches) = self.watches.get() {
            return Ok(watches);
        }
        let made = Watches::new()?;
        self.epoll.add(made.queue(), EpollEvent::new(EpollFlags::EPOLLIN, INOTIFY))?;
        Ok(self.watches.get_or_init(|| made))
    }

    /// The watches, if there are any.
    pub(super) fn made_watches(&self) -> Option<&Watches> {
        self.watches.get()
    }

    pub(super) fn ended(&self) -> Option<String> {
        locked(&self.ended).clone()
    }

    pub(super) fn stop(&self) {
        let _ = self.stop.write(1);
    }

    /// The thread's work.
    pub(super) fn run(&self) {
        let mut last = None;
        loop {
            let mut ready = [EpollEvent::empty(); 4];
            let count = match self.epoll.wait(&mut ready, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return self.end("waiting for events", error.into()),
            };
            for event in ready.iter().take(count) {
                match event.data() {
                    STOP => return,
                    MOUNTS => self.mounts_changed(),
                    FANOTIFY => self.read_marks(),
                    _ => self.read_watches(),
                }
            }
            let now = Instant::now();
            if last.is_some_and(|last| now.duration_since(last) < BUSY) {
                std::thread::sleep(REST);
            }
            last = Some(now);
        }
    }

    /// Says that mounts have changed, and which marks ended with one.
    pub(super) fn mounts_changed(&self) {
        for number in self.marks.as_ref().map(Marks::ended).unwrap_or_default() {
            self.looks.gap(Gap::FileSystem { number });
        }
        self.looks.mounts_changed();
    }

    /// Reads all that the kernel holds now.
    pub(super) fn drain(&self) {
        let mut buffer = self.buffer();
        if let Some(marks) = &self.marks {
            let waiting = marks.group().waiting();
            self.read_all(waiting, &mut buffer, |buffer| marks.read(buffer, &self.looks));
        }
        if let Some(watches) = self.watches.get() {
            let waiting = watches.queue().waiting();
            self.read_all(waiting, &mut buffer, |buffer| watches.read(buffer, &self.looks));
            watches.flush(&self.looks);
        }
    }

    /// Events are read in their order, and one that is folded into another stands at the older one's place: having read as
    /// much as there was is having read all that there was. `read` counts as `waiting` does.
    fn read_all(
        &self,
        waiting: io::Result<usize>,
        buffer: &mut [u8],
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) {
        let mut left = waiting.unwrap_or(usize::MAX);
        while left > 0 {
            match read(buffer) {
                Ok(0) => return,
                Ok(got) => left = left.saturating_sub(got),
                Err(error) => return self.end("reading events", error),
            }
        }
    }

    fn read_marks(&self) {
        let mut buffer = self.buffer();
        if let Some(marks) = &self.marks
            && let Err(error) = marks.read(&mut buffer, &self.looks)
        {
            let _ = self.epoll.delete(marks.group());
            self.end("reading fanotify events", error);
        }
    }

    /// Until the queue is empty, so that the halves of a rename that two reads part come together.
    fn read_watches(&self) {
        let Some(watches) = self.watches.get() else { return };
        let mut buffer = self.buffer();
        if let Err(error) = watches.read(&mut buffer, &self.looks) {
            let _ = self.epoll.delete(watches.queue());
            return self.end("reading inotify events", error);
        }
        if watches.queue().waiting().is_ok_and(|waiting| waiting == 0) {
            watches.flush(&self.looks);
        }
    }

    /// Reading failed: changes are lost from now on.
    fn end(&self, doing: &str, error: io::Error) {
        let why = format!("{doing}: {error}");
        *locked(&self.ended) = Some(why.clone());
        self.looks.gap(Gap::Everything { why });
    }

    /// While it is held, nothing is read.
    pub(super) fn buffer(&self) -> MutexGuard<'_, Box<[u8]>> {
        let _turn = locked(&self.turn);
        locked(&self.buffer)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
