//! Marks of whole file systems, and their events as places.

use super::looks::{Adding, Looks};
use super::mounts::Device;
use super::places::Spot;
use super::{Change, Gap, Key};
use crate::sys::fanotify::{Event, Events, Fid, Group, Named};
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The group and what it marks.
#[derive(Debug)]
pub(super) struct Marks {
    group: Group,
    marks: Mutex<Vec<Mark>>,
}

/// A file system whose events are known, marked now or before.
#[derive(Debug)]
struct Mark {
    /// As events name it.
    file_system: [u8; 8],
    /// As keys name it.
    number: u32,
    device: Device,
    on: bool,
}

impl Marks {
    pub(super) fn new() -> io::Result<Marks> {
        Ok(Marks { group: Group::new()?, marks: Mutex::default() })
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// Marks the file system of an open object.
    pub(super) fn mark(
        &self,
        of: impl AsFd,
        number: u32,
        file_system: [u8; 8],
        device: Device,
    ) -> io::Result<()> {
        // Known first: its events may be read before the call has returned.
        {
            let mut marks = self.marks();
            marks.retain(|mark| mark.number != number);
            marks.push(Mark { file_system, number, device, on: false });
        }
        let marked = self.group.mark_file_system(of);
        if let Some(mark) = self.marks().iter_mut().find(|mark| mark.number == number) {
            mark.on = marked.is_ok();
        }
        marked
    }

    /// Takes back a mark that turned out to be of no use.
    pub(super) fn unmark(&self, of: impl AsFd, number: u32) {
        let _ = self.group.unmark_file_system(of);
        self.marks().retain(|mark| mark.number != number);
    }

    pub(super) fn is_on(&self, number: u32) -> bool {
        self.marks().iter().any(|mark| mark.number == number && mark.on)
    }

    /// Marks that have ended since it was asked last, as their file systems were unmounted.
    pub(super) fn ended(&self) -> Vec<u32> {
        let mut marks = self.marks();
        // Read under the lock, so that a mark made meanwhile is not taken for a lost one. Without an answer all are in doubt.
        let there = self.group.marked().unwrap_or_default();
        let mut ended = Vec::new();
        for mark in marks.iter_mut().filter(|mark| mark.on && !there.contains(&mark.device)) {
            mark.on = false;
            ended.push(mark.number);
        }
        ended
    }

    /// Reads once and adds what came; returns how many events that were.
    pub(super) fn read(&self, buffer: &mut [u8], looks: &Looks) -> io::Result<usize> {
        let got = self.group.read(buffer)?;
        if got == 0 {
            return Ok(0);
        }
        let (numbers, own) = (Numbers(self.marks()), std::process::id());
        let mut adding = looks.adding();
        let mut count = 0;
        for event in Events::new(buffer.get(..got).unwrap_or_default()) {
            adding.count();
            count += 1;
            match event {
                Ok(event) if event.is_overflow() => {
                    let why = "the kernel had no memory for events".to_owned();
                    adding.gap(Gap::Everything { why });
                }
                Ok(event) => add(&event, &numbers, own, &mut adding),
                Err(_) => {
                    let why = "the kernel's events could not be understood".to_owned();
                    adding.gap(Gap::Everything { why });
                }
            }
        }
        Ok(count)
    }

    fn marks(&self) -> MutexGuard<'_, Vec<Mark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From the kernel's names of file systems to those of keys.
struct Numbers<'a>(MutexGuard<'a, Vec<Mark>>);

impl Numbers<'_> {
    fn key(&self, fid: Fid<'_>) -> Option<Key> {
        let mark = self.0.iter().find(|mark| mark.file_system == fid.file_system)?;
        Some(Key::new(mark.number, fid.handle()))
    }
}

/// Adds the places of one event. The kernel folds equal events of one process together, so a mask may hold several.
fn add(event: &Event<'_>, numbers: &Numbers<'_>, own: u32, adding: &mut Adding<'_>) {
    let change = change(event.mask);
    let object = event.object.and_then(|fid| numbers.key(fid));
    let named = |adding: &mut Adding<'_>, (fid, name): Named<'_>| {
        if let Some(dir) = numbers.key(fid) {
            adding.entry(&dir, name, change, object.as_ref());
        }
    };
    if event.entry.is_none() && event.old.is_none() && event.new.is_none() {
        // What this process makes on a target has no name at first, and is captured by the name that it gets.
        let own = change == Change::META && event.process == own;
        if let Some(key) = &object
            && !own
        {
            adding.add(Spot::Object(key), change, None);
        }
        return;
    }
    // A file is found at its new name before it is missed at the old one.
    if let Some((fid, name)) = event.new
        && let Some(dir) = numbers.key(fid)
    {
        let from = event.old.and_then(|(fid, _)| numbers.key(fid));
        adding.moved(&dir, name, change, object.as_ref(), from.as_ref());
    }
    for part in [event.old, event.entry].into_iter().flatten() {
        named(adding, part);
    }
}

fn change(mask: u64) -> Change {
    let mut change = Change::default();
    if mask & (libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_RENAME) != 0 {
        change |= Change::NAME;
    }
    if mask & (libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE) != 0 {
        change |= Change::CONTENT;
    }
    if mask & libc::FAN_ATTRIB != 0 {
        change |= Change::META;
    }
    change
}
