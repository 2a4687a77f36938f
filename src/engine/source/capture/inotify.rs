//! Watches of directories, and their events as places.
//!
//! The lock is held while a watch is made, so that its first event does not come before it is known.

use super::looks::{Adding, Looks};
use super::{Change, Gap, Key};
use crate::sys::inotify::{Event, Events, Inotify};
use crate::sys::{Dir, Handle};
use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The queue and its watches.
#[derive(Debug)]
pub(super) struct Watches {
    queue: Inotify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    watches: HashMap<i32, Watch>,
    generation: u32,
    /// The first half of a rename, until the next event tells whether the second is there.
    half: Option<Half>,
}

/// What a number of the kernel's stands for now.
#[derive(Debug)]
struct Watch {
    file_system: u32,
    /// Tells a number that is used again from what it was.
    generation: u32,
    live: bool,
    /// Watches of this number that were ended, while their last event was not read yet: what comes before it is theirs.
    ending: u32,
}

#[derive(Debug)]
struct Half {
    dir: Key,
    name: Box<[u8]>,
    cookie: u32,
}

impl Watch {
    fn key(&self, number: i32) -> Key {
        Key::new(self.file_system, Handle::new(number, &self.generation.to_ne_bytes()))
    }
}

impl Watches {
    pub(super) fn new() -> io::Result<Watches> {
        let queue = Inotify::new().map_err(|error| match error.raw_os_error() {
            Some(libc::EMFILE) => limit("max_user_instances", "queues of inotify events", 128),
            _ => error,
        })?;
        Ok(Watches { queue, state: Mutex::default() })
    }

    pub(super) fn queue(&self) -> &Inotify {
        &self.queue
    }

    /// Watches a directory.
    pub(super) fn register(&self, dir: &Dir, file_system: u32) -> io::Result<Key> {
        let mut state = self.state();
        let number = self.queue.watch(dir).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOSPC) => limit("max_user_watches", "watched directories", 8192),
            _ => error,
        })?;
        state.generation = state.generation.wrapping_add(1);
        let generation = state.generation;
        let new = Watch { file_system, generation, live: false, ending: 0 };
        let watch = state.watches.entry(number).or_insert(new);
        if !watch.live {
            *watch = Watch { file_system, generation, live: true, ending: watch.ending };
        }
        Ok(watch.key(number))
    }

    /// Ends the watch of this key.
    pub(super) fn forget(&self, key: &Key) {
        let mut state = self.state();
        let number = key.handle.kind();
        if let Some(watch) = state.watches.get_mut(&number)
            && watch.live
            && watch.key(number) == *key
            // Else the kernel has ended it, and says so in the queue.
            && self.queue.unwatch(number).is_ok()
        {
            watch.live = false;
            watch.ending += 1;
        }
    }

    /// True when a directory of this file system is watched.
    pub(super) fn is_on(&self, file_system: u32) -> bool {
        self.state().watches.values().any(|watch| watch.live && watch.file_system == file_system)
    }

    /// Reads once and adds what came; returns how many bytes that were.
    pub(super) fn read(&self, buffer: &mut [u8], looks: &Looks) -> io::Result<usize> {
        let got = self.queue.read(buffer)?;
        let mut state = self.state();
        if got == 0 && state.half.is_none() {
            return Ok(0);
        }
        let mut adding = looks.adding();
        for event in Events::new(buffer.get(..got).unwrap_or_default()) {
            adding.count();
            state.event(&event, &mut adding);
        }
        if got == 0 {
            state.end_half(&mut adding);
        }
        Ok(got)
    }

    /// Gives up waiting for the second half of a rename.
    pub(super) fn flush(&self, looks: &Looks) {
        let mut state = self.state();
        if state.half.is_some() {
            state.end_half(&mut looks.adding());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn event(&mut self, event: &Event<'_>, adding: &mut Adding<'_>) {
        if event.mask & libc::IN_Q_OVERFLOW != 0 {
            self.end_half(adding);
            let why = "more changes than fs.inotify.max_queued_events waited to be read".to_owned();
            return adding.gap(Gap::Everything { why });
        }
        let Some(watch) = self.watches.get_mut(&event.watch) else { return };
        if event.mask & libc::IN_IGNORED != 0 {
            match watch.ending {
                0 => watch.live = false,
                _ => watch.ending -= 1,
            }
            if !watch.live && watch.ending == 0 {
                self.watches.remove(&event.watch);
            }
            return;
        }
        if watch.ending > 0 {
            return;
        }
        let (dir, file_system) = (watch.key(event.watch), watch.file_system);
        if event.mask & libc::IN_UNMOUNT != 0 {
            return adding.gap(Gap::FileSystem { number: file_system });
        }
        if event.mask & libc::IN_MOVED_FROM != 0 {
            self.end_half(adding);
            self.half = Some(Half { dir, name: event.name.into(), cookie: event.cookie });
            return;
        }
        // A file is found at its new name before it is missed at the old one.
        let second = event.mask & libc::IN_MOVED_TO != 0
            && self.half.as_ref().is_some_and(|half| half.cookie == event.cookie);
        if !second {
            self.end_half(adding);
        }
        adding.entry(&dir, event.name, change(event.mask), None);
        self.end_half(adding);
    }

    fn end_half(&mut self, adding: &mut Adding<'_>) {
        if let Some(half) = self.half.take() {
            adding.entry(&half.dir, &half.name, Change::NAME, None);
        }
    }
}

fn change(mask: u32) -> Change {
    const NAMES: u32 = libc::IN_CREATE
        | libc::IN_DELETE
        | libc::IN_MOVED_FROM
        | libc::IN_MOVED_TO
        | libc::IN_DELETE_SELF
        | libc::IN_MOVE_SELF;
    let mut change = Change::default();
    if mask & NAMES != 0 {
        change |= Change::NAME;
    }
    if mask & libc::IN_MOVED_TO != 0 {
        change |= Change::MOVED;
    }
    if mask & (libc::IN_MODIFY | libc::IN_CLOSE_WRITE) != 0 {
        change |= Change::CONTENT;
    }
    if mask & libc::IN_ATTRIB != 0 {
        change |= Change::META;
    }
    change
}

/// A limit of the kernel that is too low, with the command that raises it. `usual` is its value where it cannot be read.
fn limit(name: &str, what: &str, usual: u64) -> io::Error {
    let now = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}"));
    let now = now.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(usual);
    let message = format!(
        "this user has all the {what} that fs.inotify.{name} allows ({now}): raise it with \
         `sysctl -w fs.inotify.{name}={}`, and in /etc/sysctl.d to keep it",
        now.saturating_mul(8)
    );
    io::Error::new(io::ErrorKind::QuotaExceeded, message)
}

#[cfg(test)]
mod tests {
    use super::super::{Batch, Place};
    use super::*;

    fn event(watch: i32, mask: u32, cookie: u32, name: &[u8]) -> Event<'_> {
        Event { watch, mask, cookie, name }
    }

    fn live(state: &mut State, number: i32, generation: u32, ending: u32) -> Key {
        let watch = Watch { file_system: 0, generation, live: true, ending };
        let key = watch.key(number);
        state.watches.insert(number, watch);
        key
    }

    fn names(state: &mut State, events: &[Event<'_>]) -> Vec<(Key, String)> {
        let looks = Looks::new();
        for one in events {
            state.event(one, &mut looks.adding());
        }
        state.end_half(&mut looks.adding());
        let mut batch = Batch::default();
        looks.take(&mut batch);
        let name = |place| match place {
            Place::Name { dir, name } => (dir, String::from_utf8(name.into_vec()).unwrap()),
            other => panic!("{other:?}"),
        };
        batch.looks.into_iter().map(|look| name(look.place)).collect()
    }

    #[test]
    fn a_number_that_is_used_again_is_not_taken_for_what_it_was() {
        let mut state = State::default();
        let key = live(&mut state, 1, 2, 1);
        let events = [
            event(1, libc::IN_CREATE, 0, b"old"),
            event(1, libc::IN_IGNORED, 0, b""),
            event(1, libc::IN_CREATE, 0, b"new"),
        ];
        assert_eq!(names(&mut state, &events), [(key, "new".to_owned())]);
    }

    #[test]
    fn a_rename_finds_the_new_name_first() {
        let mut state = State::default();
        let (a, b) = (live(&mut state, 1, 1, 0), live(&mut state, 2, 2, 0));
        let events = [
            event(1, libc::IN_MOVED_FROM, 9, b"old"),
            event(2, libc::IN_MOVED_TO, 9, b"new"),
            event(1, libc::IN_MOVED_FROM, 10, b"leaves"),
            event(2, libc::IN_MOVED_TO, 11, b"comes"),
        ];
        let expected = [(b.clone(), "new"), (a.clone(), "old"), (a, "leaves"), (b, "comes")]
            .map(|(k, n)| (k, n.to_owned()));
        assert_eq!(names(&mut state, &events), expected);
    }

    #[test]
    fn a_low_limit_is_named_with_the_command_that_raises_it() {
        let text = limit("max_user_watches", "watched directories", 8192).to_string();
        assert!(text.contains("sysctl -w fs.inotify.max_user_watches="), "{text}");
    }
}
