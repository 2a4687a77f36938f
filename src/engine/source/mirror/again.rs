//! What is sent after the walk: what failed and may succeed now, what a verification found, what had to wait for orphans.

use super::super::folder::{Folder, OwnMeta};
use super::super::report::Spot;
use super::super::walk::Visit;
use super::Failed;
use super::Mirror;
use super::whole::TRIES;
use crate::sys::{self, Dir, FileKind, Stat, Xattrs};
use crate::wire::Op;
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

impl Mirror<'_> {
    /// Sends what a verification found to differ, whole. False: the target has ended.
    pub(in crate::engine::source) fn remirror(&mut self, spots: Vec<Spot>) -> bool {
        // Names before the directories that hold them, whose times go last.
        let (files, mut folders): (Vec<Spot>, Vec<Spot>) =
            spots.into_iter().partition(|spot| !spot.name.is_empty());
        folders.sort_by_key(|spot| std::cmp::Reverse(spot.path.len()));
        for spot in files.into_iter().chain(folders) {
            if !self.shared.go_on() || self.report.is_fatal() {
                return true;
            }
            match self.resend(&spot) {
                Err(Failed::Gone) => {
                    self.gone = true;
                    return false;
                }
                Err(Failed::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                    self.gate.vanished_at(spot.root, &spot.path);
                }
                Err(Failed::Io(error)) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    self.report.errno(&self.shared.counters, spot, errno, "read", false);
                }
                Ok(()) => {}
            }
        }
        true
    }

    /// Tries again what failed and may succeed now. False: the target has ended.
    pub(in crate::engine::source) fn retry(&mut self) -> bool {
        let limit = match self.plan.settings.retry_limit {
            0 => 3,
            limit => limit,
        };
        let delay = Duration::from_secs(u64::from(self.plan.settings.retry_delay_s));
        for round in 1..=limit {
            let retries = self.report.take_retries();
            if retries.is_empty() || self.gone {
                return !self.gone;
            }
            tracing::info!("Trying {} failed operations again, round {round} of {limit}", retries.len());
            if !self.shared.sleep(delay) {
                for (spot, reason) in retries {
                    self.report.fail(&self.shared.counters, &spot, reason);
                }
                return true;
            }
            for (spot, reason) in retries {
                if let Err(error) = self.resend(&spot) {
                    match error {
                        Failed::Gone => {
                            self.gone = true;
                            return false;
                        }
                        Failed::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                            self.gate.vanished_at(spot.root, &spot.path);
                        }
                        Failed::Io(_) => self.report.retry(&self.shared.counters, spot, reason),
                    }
                }
            }
            if !self.settle_all() {
                return false;
            }
        }
        self.fail_retries();
        true
    }

    /// What would be tried again is not.
    pub(in crate::engine::source) fn fail_retries(&mut self) {
        self.name_parted();
        for (spot, reason) in self.report.take_retries() {
            self.report.fail(&self.shared.counters, &spot, reason);
        }
    }

    /// Sends one thing whole, outside the walk.
    pub(super) fn resend(&mut self, spot: &Spot) -> Result<(), Failed> {
        let Some(root) = self.roots.iter().find(|root| root.number == spot.root) else { return Ok(()) };
        // The target may have named it, and is believed nothing: what does not belong to the set is not sent.
        let Some((dir, included)) = root.reach(self.plan, &spot.path, &spot.name)? else { return Ok(()) };
        let dir = Arc::new(dir);
        let stat = Stat::of(&*dir)?;
        let xattrs = if self.plan.settings.extended_attributes {
            sys::xattrs_of_open(dir.as_fd(), self.as_root)?
        } else {
            Xattrs::default()
        };
        let own = match (included, root.only.is_some()) {
            (true, _) => OwnMeta::Always,
            (false, false) => OwnMeta::WhenMade,
            (false, true) => OwnMeta::Never,
        };
        let folder = Folder::new(spot.root, spot.path.clone(), &stat, xattrs, None, own);
        folder.found();
        folder.touch();
        if !spot.name.is_empty() {
            let name = sys::c_string(&spot.name)?;
            let stat = dir.stat(&name)?;
            match stat.kind {
                FileKind::File => self.resend_file(&folder, &dir, &name, &stat, spot)?,
                FileKind::Directory => return Err(io::Error::from_raw_os_error(libc::EISDIR).into()),
                _ => {
                    let names = sys::Names::default();
                    let visit = Visit { folder: &folder, dir: &dir, names: &names, rules: None, others: &[] };
                    self.other(&visit, &name, &stat, None)?;
                }
            }
        }
        if folder.leave() {
            self.send_folder_meta(&folder)?;
        }
        Ok(())
    }

    /// Sends a file whole, or as a link to another name of it that is good already.
    pub(super) fn resend_file(
        &mut self,
        folder: &Arc<Folder>,
        dir: &Arc<Dir>,
        name: &CStr,
        stat: &Stat,
        spot: &Spot,
    ) -> Result<(), Failed> {
        let id = stat.id();
        if stat.links == 1 {
            return self.whole(folder, dir, name, Some(id), TRIES);
        }
        self.wait_for(id)?;
        let same = |root, path: &[u8], name: &[u8]| (root, path, name) == (spot.root, &spot.path, &spot.name);
        let good = match (self.resent.get_mut(&id), self.links.first(id)) {
            (Some((first, count)), _) if first != spot => {
                *count += 1;
                Some((first.root, first.path.clone(), first.name.clone()))
            }
            (None, Some(first)) if !same(first.root, &first.path, &first.name) => {
                Some((first.root, first.path.clone(), first.name.clone()))
            }
            _ => None,
        };
        if let Some((root, dir, from)) = good {
            folder.touch();
            let Some(sending) = self.gate.sends(folder, name, stat) else { return Ok(()) };
            let Some((root, dir, from)) = sending.name_of(stat, (root, &dir, &from)) else {
                drop(sending);
                self.gate.regroup(folder, stat);
                return Ok(());
            };
            let op = Op::Link { name: name.to_bytes(), root, dir: &dir, from: &from };
            self.emitter.send(folder, &op)?;
            sending.done(stat);
            return Ok(());
        }
        self.resent.entry(id).or_insert_with(|| (spot.clone(), 1));
        self.whole(folder, dir, name, Some(id), TRIES)
    }

    /// A file that had to be sent again is another one now than what its other names show: that is said, and the next mirror
    /// brings them together.
    pub(super) fn name_parted(&mut self) {
        for (id, (spot, good)) in std::mem::take(&mut self.resent) {
            if good < self.links.met(id) {
                let reason = "it had to be sent again, and its other names on the target still show what it was:                               mirror again"
                    .to_string();
                self.report.fail(&self.shared.counters, &spot, reason);
            }
        }
    }
}
