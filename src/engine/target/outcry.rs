//! What the target's administrators hear of operations that fail for a reason that may pass (4110 to 4113), that succeed after all (4120)
//! or are given up (4150).
//!
//! A full disk fails everything at once: of each cause the first is told, and the next one only when nothing is held back any more. What
//! is given up is told each time: the copy lacks it.

use super::apply::Applier;
use super::failure::Failed;
use crate::engine::log::{Event, escape, event, tell};
use std::io;
use std::os::unix::ffi::OsStrExt;

/// Causes that were told since nothing was held back: one bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Causes(u8);

impl Causes {
    /// False: it was told already.
    fn add(&mut self, event: Event) -> bool {
        let bit = 1 << (event.id() - Event::TargetDiskFull.id());
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }
}

/// Why an operation is tried again.
fn cause(errno: i32) -> Event {
    match errno {
        libc::ENOSPC | libc::EDQUOT => Event::TargetDiskFull,
        libc::ETXTBSY | libc::EBUSY => Event::TargetInUse,
        libc::EACCES | libc::EPERM | libc::EROFS => Event::TargetDenied,
        _ => Event::TargetTrouble,
    }
}

impl Applier {
    /// An operation is held back. True: it was told.
    pub(super) fn cry(&mut self, failed: &Failed) -> bool {
        let event = cause(failed.failure.errno);
        if !self.causes.add(event) {
            return false;
        }
        let how_often = match self.policy.retry_limit {
            0 => "until it succeeds".to_owned(),
            limit => format!("{limit} times"),
        };
        tell(event, &format!("{}; it is tried again {how_often}", self.words(failed)));
        true
    }

    /// One that was told has succeeded.
    pub(super) fn recovered(&self, failed: &Failed, tries: u32) {
        let path = self.whole_path(failed);
        event!(TargetRecovered, "{path}: the operation on the target has succeeded after {tries} retries");
    }

    /// One is given up after its last retry.
    pub(super) fn gave_up(&self, failed: &Failed, tries: u32) {
        event!(
            TargetGaveUp,
            "{}; it is given up after {tries} retries, and the copy lacks it: correct the cause, then mirror",
            self.words(failed)
        );
    }

    /// Nothing is held back any more: what fails from now on is told anew.
    pub(super) fn calm_down(&mut self) {
        if self.held.is_empty() {
            self.causes = Causes::default();
        }
    }

    fn words(&self, failed: &Failed) -> String {
        let error = io::Error::from_raw_os_error(failed.failure.errno);
        format!("{}: cannot {} on the target: {error}", self.whole_path(failed), failed.failure.what)
    }

    fn whole_path(&self, failed: &Failed) -> String {
        let root = self.roots.get(usize::from(failed.root)).map(|root| root.path.as_os_str().as_bytes());
        let parts = [root.unwrap_or_default(), &failed.path, &failed.name];
        let parts: Vec<&[u8]> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        escape(parts.join(&b'/'))
    }
}
