//! Files on their way: made aside, written, given metadata, and only then a name.

use super::UNFINISHED;
use super::meta::{Fresh, PRIVATE, Wanted};
use super::place::Place;
use crate::engine::random::random;
use crate::sys::{self, FileKind, Meta, Stat, Xattrs};
use crate::wire::{FileMode, Patch};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// A file that has no name yet, or one that nobody looks for.
pub(super) struct Aside {
    pub file: File,
    /// None: it has no name at all (`O_TMPFILE`) and vanishes with this process.
    name: Option<CString>,
    /// The permission bits that it was made with.
    mode: u32,
}

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A number of this process that another, also on another machine, does not have.
pub fn incarnation() -> u32 {
    static OWN: OnceLock<u32> = OnceLock::new();
    *OWN.get_or_init(|| {
        // Without random numbers two processes of one machine are still told apart.
        random().map_or_else(|_| std::process::id(), u32::from_le_bytes)
    })
}

/// A name that no source's tree has, for what is on its way: never described, and not removed while this process lives.
pub fn unfinished_name() -> CString {
    let number = COUNTER.fetch_add(1, Relaxed);
    let text = format!("{}{}-{number}", String::from_utf8_lossy(UNFINISHED), incarnation());
    CString::new(text).unwrap_or_default()
}

impl Aside {
    /// Makes one in the directory's file system. `mode`: its permission bits, if it can have no name.
    pub(super) fn make(place: &Place, mode: u32) -> io::Result<Aside> {
        match place.dir.unnamed(mode) {
            Ok(file) => Ok(Aside { file, name: None, mode }),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT | libc::EINVAL)
                ) =>
            {
                let name = unfinished_name();
                Ok(Aside { file: place.dir.create(&name)?, name: Some(name), mode: PRIVATE })
            }
            Err(error) => Err(error),
        }
    }

    /// Gives it its name, replacing a file that has it. After a failure it can be tried again, or is to be forgotten.
    pub(super) fn publish(&mut self, place: &Place, name: &CStr) -> io::Result<()> {
        if self.name.is_none() {
            match place.dir.link_unnamed(&self.file, name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let aside = unfinished_name();
                    place.dir.link_unnamed(&self.file, &aside)?;
                    // The kernel links an unnamed file once only, so it keeps this name for another try.
                    self.name = Some(aside);
                }
                other => return other,
            }
        }
        match &self.name {
            Some(aside) => place.dir.replace(aside, name),
            None => Ok(()),
        }
    }

    /// Leaves nothing behind.
    pub(super) fn forget(self, place: &Place) {
        if let Some(name) = self.name {
            let _ = place.dir.remove(&name);
        }
    }

    /// Sets its metadata.
    pub(super) fn set(&self, place: &Place, wanted: &Wanted, meta: &Meta, xattrs: &Xattrs) -> io::Result<()> {
        let fresh = Fresh { made: Some(self.mode), acl: place.default_acl, group: place.set_gid };
        wanted.set_file(&self.file, meta, xattrs, fresh)
    }
}

/// Puts a whole small file.
pub(super) fn put(
    place: &Place,
    wanted: &Wanted,
    name: &CStr,
    meta: &Meta,
    xattrs: &Xattrs,
    content: &[u8],
) -> io::Result<()> {
    let mut aside = Aside::make(place, wanted.first_mode(meta))?;
    let done = sys::write_all_at(&aside.file, content, 0)
        .and_then(|()| aside.set(place, wanted, meta, xattrs))
        .and_then(|()| aside.publish(place, name));
    if done.is_err() {
        aside.forget(place);
    }
    done
}

/// A file that was begun and not yet ended.
pub(super) struct OpenFile {
    pub place: Arc<Place>,
    pub name: CString,
    state: State,
    buffer: Vec<u8>,
}

enum State {
    Whole(Aside),
    InPlace(File),
    /// An earlier operation on it failed and was answered; the others are passed over.
    Failed,
}

impl OpenFile {
    /// A new file, or an existing one: `open` when it is open already, with what it says of itself.
    pub(super) fn begin(
        place: Arc<Place>,
        name: CString,
        mode: FileMode,
        open: Option<(File, Stat)>,
    ) -> io::Result<Self> {
        let state = match mode {
            FileMode::Whole => State::Whole(Aside::make(&place, PRIVATE)?),
            FileMode::InPlace | FileMode::Alone => State::InPlace(match open {
                Some((_, stat)) if is_shared(mode, &stat) => return Err(shared()),
                Some((file, stat)) => without_setuid(file, &stat)?,
                None => open_in_place(&place, &name, mode)?,
            }),
        };
        Ok(Self { place, name, state, buffer: Vec::new() })
    }

    /// One that could not be begun: what comes for it is passed over.
    pub(super) fn failed(place: Arc<Place>, name: CString) -> Self {
        Self { place, name, state: State::Failed, buffer: Vec::new() }
    }

    /// Writes a range. `local`: the file to copy from. After a failure the same range can be written again.
    pub(super) fn write(&mut self, offset: u64, patch: Patch<'_>, local: Option<&File>) -> io::Result<()> {
        let file = match &self.state {
            State::Whole(aside) => &aside.file,
            State::InPlace(file) => file,
            State::Failed => return Ok(()),
        };
        match patch {
            Patch::Bytes(bytes) => sys::write_all_at(file, bytes, offset),
            // A hole at the end comes from the length; inside a new file it is there already.
            Patch::Hole(len) => match self.state {
                State::InPlace(_) => sys::punch(file, offset, len),
                _ => Ok(()),
            },
            Patch::Local(len) => match local {
                Some(local) => copy_local(local, file, offset, len, &mut self.buffer).map(drop),
                None => Err(io::Error::from_raw_os_error(libc::EBADF)),
            },
        }
    }

    /// Sets length and metadata, and gives the name. A file that was changed in place comes back open. After a failure it can be
    /// tried again.
    pub(super) fn end(
        &mut self,
        wanted: &Wanted,
        length: u64,
        meta: &Meta,
        xattrs: &Xattrs,
    ) -> io::Result<Option<File>> {
        match &mut self.state {
            State::Failed => return Ok(None),
            State::InPlace(file) => {
                let stat = Stat::of(&*file)?;
                if stat.size != length {
                    file.set_len(length)?;
                }
                wanted.set_changed(file, &stat, meta, xattrs)?;
            }
            State::Whole(aside) => {
                if Stat::of(&aside.file)?.size != length {
                    aside.file.set_len(length)?;
                }
                aside.set(&self.place, wanted, meta, xattrs)?;
                aside.publish(&self.place, &self.name)?;
            }
        }
        match std::mem::replace(&mut self.state, State::Failed) {
            State::InPlace(file) => Ok(Some(file)),
            _ => Ok(None),
        }
    }

    /// Sets length and metadata of one that is changed in place; it stays open.
    pub(super) fn set(&self, wanted: &Wanted, length: u64, meta: &Meta, xattrs: &Xattrs) -> io::Result<()> {
        let State::InPlace(file) = &self.state else { return Ok(()) };
        let stat = Stat::of(file)?;
        if stat.size != length {
            file.set_len(length)?;
        }
        wanted.set_changed(file, &stat, meta, xattrs)
    }

    #[cfg(test)]
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// Forgets it; what has no name yet is gone. One that was changed in place in part counts as old, so that no mirror takes it
    /// for newer than the source's.
    pub(super) fn fail(&mut self) {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Whole(aside) => aside.forget(&self.place),
            State::InPlace(file) => {
                let _ = sys::set_times(&file, (0, 0));
            }
            State::Failed => {}
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.fail();
    }
}

/// Opens a regular file for changes by blocks. An owner's missing write permission is no obstacle: the mode is set at the
/// end anyway. Until then it has no setuid and setgid bits, as its bytes are another's already.
fn open_in_place(place: &Place, name: &CStr, mode: FileMode) -> io::Result<File> {
    let file = match place.dir.update(name) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            let object = place.dir.object(name)?;
            let stat = Stat::of(&object)?;
            if stat.kind != FileKind::File {
                return Err(error);
            }
            object.set_mode(stat.meta.mode | 0o600)?;
            place.dir.update(name)?
        }
        other => other?,
    };
    let stat = Stat::of(&file)?;
    if is_shared(mode, &stat) {
        return Err(shared());
    }
    without_setuid(file, &stat)
}

fn is_shared(mode: FileMode, stat: &Stat) -> bool {
    mode == FileMode::Alone && stat.links > 1
}

/// It has other names, so that it is not the file that the source means: what is written to it would show under those.
fn shared() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

fn without_setuid(file: File, stat: &Stat) -> io::Result<File> {
    if stat.meta.mode & 0o6000 != 0 {
        sys::set_mode(&file, stat.meta.mode & !0o6000)?;
    }
    Ok(file)
}

/// Copies a range inside the kernel, or through a buffer where the kernel cannot. Fewer bytes than asked when the source
/// has become shorter: its stamps will tell.
pub(super) fn copy_local(
    from: &File,
    to: &File,
    offset: u64,
    len: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<u64> {
    let mut done = 0;
    while done < len {
        match sys::copy_range(from, to, offset + done, len - done) {
            Ok(0) => return Ok(done),
            Ok(got) => done += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EXDEV | libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM)
                ) =>
            {
                return copy_through(from, to, offset + done, len - done, buffer).map(|rest| done + rest);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn copy_through(from: &File, to: &File, offset: u64, len: u64, buffer: &mut Vec<u8>) -> io::Result<u64> {
    let mut done = 0;
    while done < len {
        buffer.clear();
        let part = usize::try_from(len - done).unwrap_or(usize::MAX).min(512 << 10);
        let got = sys::read_into(from, offset + done, part, buffer)?;
        if got == 0 {
            break;
        }
        sys::write_all_at(to, buffer, offset + done)?;
        done += got as u64;
    }
    Ok(done)
}
