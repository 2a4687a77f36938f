//! A run over orphans: each is deleted, moved aside, or only named; the target's log tells what has gone (ORP-04 to ORP-10).
//!
//! Invariants: an orphan goes only if it still is what was described to the source; a directory only when nothing is left in it; what
//! is mounted below a connection's path, and the engine's own directories, stay whole.

use super::apply::Applier;
use super::aside::Attic;
use super::failure::{Failure, Trouble};
use super::place::{Place, leads_into};
use crate::engine::log::{escape, event};
use crate::sys::{self, Dir, FileKind, Meta, Stat};
use crate::wire::{Answer, FailureKind, OrphanCounts, OrphanNamed, OrphanStep, WireError};
use std::ffi::CStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// What an orphan that is left where it is was for.
enum Left {
    /// It is gone, or no affair of this connection's.
    AsItIs,
    /// It is another thing by now, or has something in it that was not described.
    Changed,
    Failed(Failure),
}

impl From<Failure> for Left {
    fn from(failure: Failure) -> Self {
        Left::Failed(failure)
    }
}

/// A run that has begun.
pub(super) struct Run {
    how: How,
    /// LogAllOrphans (ORP-06).
    names: bool,
    counts: OrphanCounts,
    failed: u64,
    /// Directories (device, inode) that are never taken.
    kept: Vec<(u64, u64)>,
}

enum How {
    Preview,
    Delete,
    Move(Attic),
    /// They cannot be moved, and are not deleted instead.
    Keep,
}

impl Applier {
    pub(super) fn orphans(&mut self, step: OrphanStep) {
        match step {
            OrphanStep::Ask { switch_on } => {
                let mut terms = self.policy.orphans.terms();
                // The switch is for all sources. One on another machine may have orphans removed in its own places, by its own job; an
                // administrator of this machine lets it do more (CONNECT ... ORPHANS, when the grant is given).
                if switch_on && self.policy.source.is_none() {
                    self.policy.orphans.switch(true);
                }
                terms.on |= switch_on;
                self.answer(&Answer::OrphanTerms(terms));
            }
            OrphanStep::Begin { preview } => {
                self.end_orphans();
                self.begin_orphans(preview);
            }
            OrphanStep::End => {
                let counts = self.end_orphans();
                self.answer(&Answer::Orphans(counts));
            }
        }
    }

    fn begin_orphans(&mut self, preview: bool) {
        let settings = self.policy.orphans.settings();
        let mut kept = self.policy.forbidden.clone();
        let how = match (self.policy.orphans.own_directory(), settings.move_to) {
            (Err(error), _) => self.keeps_orphans(&error, settings.directory.as_deref()),
            (Ok(own), move_to) => {
                kept.extend(own);
                match move_to {
                    _ if preview => How::Preview,
                    None => How::Delete,
                    Some(path) => match Attic::open(&path, &mut self.roots) {
                        Ok(attic) => How::Move(attic),
                        Err(error) => self.keeps_orphans(&error, Some(&path)),
                    },
                }
            }
        };
        self.run =
            Some(Run { how, names: settings.log_each, counts: OrphanCounts::default(), failed: 0, kept });
    }

    /// What was moved before would be taken, or what is to be moved has no place: none goes.
    fn keeps_orphans(&self, error: &io::Error, directory: Option<&std::path::Path>) -> How {
        let directory = shown(directory.unwrap_or(std::path::Path::new("MoveOrphansDir")));
        tracing::warn!("Orphans cannot be moved to {directory} and are kept: {error}");
        let what = b"move orphans to MoveOrphansDir, which must be a directory that can be written, outside the target paths of the \
                     connection: SET MoveOrphansDir to another one";
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
        let (who, kind) = (self.who, FailureKind::One);
        self.answer(&Answer::Failed { who, kind, errno, root: 0, path: b"", name: b"", what });
        How::Keep
    }

    /// Tells of the run in the log (ORP-10): also of one whose source has left in its midst.
    pub(super) fn end_orphans(&mut self) -> OrphanCounts {
        let Some(Run { how, counts, failed, .. }) = self.run.take() else { return OrphanCounts::default() };
        let paths: Vec<String> = self.roots.iter().map(|root| shown(&root.path)).collect();
        let paths = paths.join(", ");
        let OrphanCounts { files, directories, bytes, left } = counts;
        let counted = format!("{files} files, {directories} directories, {bytes} bytes");
        let moves = matches!(how, How::Move(_));
        match how {
            How::Preview => tracing::info!("Orphans in {paths}: {counted}; nothing was removed"),
            How::Delete => tracing::info!("Orphans deleted from {paths}: {counted}"),
            How::Move(attic) => {
                tracing::info!("Orphans moved from {paths} to {}: {counted}", shown(&attic.path))
            }
            How::Keep => tracing::info!("Orphans of {paths} were kept"),
        }
        if left > 0 {
            tracing::info!("{left} orphans of {paths} were changed meanwhile and stay");
        }
        if failed > 0 {
            match moves {
                true => event!(OrphansNotMoved, "{failed} orphans of {paths} could not be moved"),
                false => event!(OrphansNotDeleted, "{failed} orphans of {paths} could not be deleted"),
            }
        }
        counts
    }

    /// One orphan.
    pub(super) fn orphan(&mut self, orphan: &OrphanNamed<'_>) -> Result<(), Trouble> {
        if self.run.is_none() {
            return Err(WireError::Invalid("orphan, as no run over orphans has begun").into());
        }
        let (place, name) = self.at(orphan.name)?;
        let Some(mut run) = self.run.take() else { return Ok(()) };
        let taken = self.take_orphan(&mut run, &place, &name, orphan);
        match &taken {
            Err(Left::Failed(_)) => run.failed += 1,
            Err(Left::Changed) => run.counts.left += 1,
            Ok(()) | Err(Left::AsItIs) => {}
        }
        self.run = Some(run);
        match taken {
            Ok(()) | Err(Left::AsItIs | Left::Changed) => Ok(()),
            Err(Left::Failed(failure)) => {
                let path = join(&place.path, orphan.dir);
                Err(failure.about(place.root, &path, orphan.name))
            }
        }
    }

    fn take_orphan(
        &mut self,
        run: &mut Run,
        place: &Place,
        name: &CStr,
        orphan: &OrphanNamed<'_>,
    ) -> Result<(), Left> {
        let holder = holder(place, orphan.dir)?;
        let stat = match holder.stat(name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Left::AsItIs),
            Err(error) => return Err(Failure::new("look at an orphan", &error).into()),
        };
        let is_directory = stat.kind == FileKind::Directory;
        if stat.kind != orphan.kind || (!is_directory && stat.meta.mtime != orphan.mtime) {
            return Err(Left::Changed);
        }
        let within = Stat::of(&holder).map_err(|error| Failure::new("look at an orphan", &error))?.id();
        if run.kept.contains(&within) || run.kept.contains(&stat.id()) {
            return Err(Left::AsItIs);
        }
        // However deep in one of those.
        let path = join(&place.path, orphan.dir);
        let root = self.roots.get_mut(usize::from(place.root));
        match root.map(|root| root.open(false).and_then(|root| leads_into(&root, &path, &run.kept))) {
            Some(Ok(false)) => {}
            Some(Err(error)) if !is_gone(&error) => {
                return Err(Failure::new("reach the directory of an orphan", &error).into());
            }
            _ => return Err(Left::AsItIs),
        }
        if is_directory {
            // Where something is mounted it is EXDEV.
            match holder.dir_here(name).and_then(|dir| is_empty(&dir)) {
                Ok(false) if !matches!(run.how, How::Preview) => return Err(Left::Changed),
                Ok(_) => {}
                Err(error) if is_gone(&error) => return Err(Left::AsItIs),
                Err(error) => return Err(Failure::new("remove", &error).into()),
            }
        }
        let verb = match &run.how {
            How::Keep => return Err(Left::AsItIs),
            How::Preview => "",
            How::Delete => {
                let gone = if is_directory { holder.remove_dir(name) } else { holder.remove(name) };
                settle(gone, "remove")?;
                " deleted"
            }
            How::Move(attic) => {
                let root = self.roots.get(usize::from(place.root));
                let root = root.map(|root| root.path.as_os_str().as_bytes()).unwrap_or_default();
                let way = [root, b"/", &join(&place.path, orphan.dir)].concat();
                // A directory was changed by what was taken out of it.
                let stat = Stat { meta: Meta { mtime: orphan.mtime, ..stat.meta }, ..stat };
                let moved = attic.take(&holder, name, &stat, &way, &self.wanted);
                settle_moved(moved, &holder, name)?;
                " moved"
            }
        };
        let one = match stat.kind {
            FileKind::Directory => OrphanCounts { directories: 1, ..OrphanCounts::default() },
            FileKind::File => OrphanCounts { files: 1, bytes: stat.size, ..OrphanCounts::default() },
            _ => OrphanCounts { files: 1, ..OrphanCounts::default() },
        };
        run.counts.files += one.files;
        run.counts.directories += one.directories;
        run.counts.bytes += one.bytes;
        if !matches!(run.how, How::Preview) {
            self.lately.forget(within, name);
            self.policy.orphans.count(one);
            self.policy.counts.removes(one);
        }
        if run.names || matches!(run.how, How::Preview) {
            let root =
                self.roots.get(usize::from(place.root)).map(|root| root.path.clone()).unwrap_or_default();
            let below = join(&join(&place.path, orphan.dir), orphan.name);
            let whole = root.join(std::ffi::OsStr::from_bytes(&below));
            tracing::info!("Orphan{verb}: {}", shown(&whole));
        }
        Ok(())
    }
}

/// The directory that holds an orphan, if the way to it crosses no mount and nothing of it has changed.
fn holder(place: &Place, dir: &[u8]) -> Result<Dir, Left> {
    let opened = match dir {
        [] => place.dir.again(),
        dir => sys::c_string(dir).and_then(|dir| place.dir.dir_here(&dir)),
    };
    opened.map_err(|error| match error.raw_os_error() {
        // What is mounted there is told of where it is mounted.
        Some(libc::EXDEV) => Left::AsItIs,
        _ if is_gone(&error) => Left::AsItIs,
        _ => Failure::new("reach the directory of an orphan", &error).into(),
    })
}

/// The way is another by now, or there is none.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ESTALE | libc::EAGAIN)
    )
}

fn settle(gone: io::Result<()>, what: &'static str) -> Result<(), Left> {
    match gone {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => {
            Err(Left::Changed)
        }
        Err(error) if is_gone(&error) => Err(Left::AsItIs),
        Err(error) => Err(Failure::new(what, &error).into()),
    }
}

/// The same of one that was to be moved. What fails where orphans are moved to says nothing of the orphan: it has gone only when it is not
/// there.
fn settle_moved(moved: io::Result<()>, holder: &Dir, name: &CStr) -> Result<(), Left> {
    let Err(error) = moved else { return Ok(()) };
    if error.raw_os_error() == Some(libc::ENOTEMPTY) {
        return Err(Left::Changed);
    }
    match holder.stat(name) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Err(Left::AsItIs),
        _ => Err(Failure::new("move to MoveOrphansDir", &error).into()),
    }
}

fn is_empty(dir: &Dir) -> io::Result<bool> {
    let mut names = sys::Names::default();
    sys::list_dir(dir, &mut names, &mut Vec::new())?;
    Ok(names.is_empty())
}

pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    match (path.is_empty(), name.is_empty()) {
        (true, _) => name.to_vec(),
        (_, true) => path.to_vec(),
        _ => [path, b"/", name].concat(),
    }
}

fn shown(path: &std::path::Path) -> String {
    escape(path.as_os_str().as_bytes())
}
