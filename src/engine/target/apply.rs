//! The applier: reads operations, carries them out in order, answers failures.

use super::file::{Aside, OpenFile, put, unfinished_name};
use super::meta::{Fresh, Wanted};
use super::place::{Place, Root};
use super::sums::{Question, answer_all};
use super::{Policy, remove_tree, scan};
use crate::engine::link::TargetEnd;
use crate::sys::{self, Dir, FileKind, Meta, Stat, Xattrs};
use crate::wire::{Answer, FailureKind, Op, Patch, Reader, WireError};
use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Files that may be begun and not ended at a time.
const OPEN_FILES_MAX: usize = 256;
/// Questions that wait.
const QUESTIONS: usize = 1024;

/// Serves one source until it closes its end. An error means that it broke a rule of the wire; nothing of the message that
/// broke it was carried out.
pub fn serve(end: TargetEnd, policy: Policy) -> Result<(), WireError> {
    let mut applier = Applier {
        wanted: Wanted { attributes: true, xattrs: true, root: sys::is_root() },
        end,
        policy,
        begun: false,
        roots: Vec::new(),
        place: Err((0, Vec::new())),
        files: HashMap::new(),
        questions: None,
        threads: Vec::new(),
    };
    let served = applier.run();
    // The helpers end when their channels do.
    applier.questions = None;
    let Applier { end, threads, .. } = applier;
    drop(end);
    for thread in threads {
        // A panic there has been reported by the runtime, and the source misses its answers.
        let _ = thread.join();
    }
    served
}

struct Applier {
    wanted: Wanted,
    end: TargetEnd,
    policy: Policy,
    /// It was told what it is about.
    begun: bool,
    roots: Vec<Root>,
    /// The directory that was entered, or root and path of one that could not be.
    place: Result<Arc<Place>, (u16, Vec<u8>)>,
    files: HashMap<u64, OpenFile>,
    questions: Option<SyncSender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

/// Why an operation failed: for a person, in few words, and the errno.
struct Failure {
    what: &'static str,
    kind: FailureKind,
    errno: i32,
}

impl Failure {
    fn new(what: &'static str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let kind = match errno {
            libc::ENOSPC | libc::EDQUOT => FailureKind::Full,
            libc::EROFS => FailureKind::ReadOnly,
            libc::EISDIR | libc::ENOTDIR | libc::ENOTEMPTY => FailureKind::Mismatch,
            _ => FailureKind::One,
        };
        Failure { what, kind, errno }
    }
}

trait Explain<T> {
    fn or_say(self, what: &'static str) -> Result<T, Failure>;
}

impl<T> Explain<T> for io::Result<T> {
    fn or_say(self, what: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(what, &error))
    }
}

impl Applier {
    fn run(&mut self) -> Result<(), WireError> {
        while let Ok(frame) = self.end.ops.recv() {
            let mut reader = Reader::new(&frame);
            let mut bytes = 0;
            while !reader.is_empty() {
                if self.end.cut.load(Relaxed) {
                    return Ok(());
                }
                bytes += self.step(Op::decode(&mut reader)?)?;
            }
            self.end.frames.give(frame);
            if bytes > 0 {
                self.answer(&Answer::Applied { bytes });
            }
        }
        Ok(())
    }

    /// Carries one operation out; bytes of content that it held, whether or not they could be applied.
    fn step(&mut self, op: Op<'_>) -> Result<u64, WireError> {
        match op {
            Op::Begin { attributes, xattrs, scan, roots } => {
                if std::mem::replace(&mut self.begun, true) {
                    return Err(WireError::Invalid("second beginning"));
                }
                self.wanted.attributes = attributes;
                self.wanted.xattrs = xattrs;
                let root = |(path, only): &(&[u8], Option<&[u8]>)| Root::new(&self.policy, path, *only);
                self.roots = roots.iter().map(root).collect();
                if scan {
                    let roots = roots.iter().map(root).collect();
                    self.describe(roots, xattrs);
                }
                Ok(0)
            }
            Op::Enter { root, path, make } => {
                let Some(top) = self.roots.get_mut(usize::from(root)) else {
                    return Err(WireError::Invalid("root's number"));
                };
                match Place::enter(top, root, path, make) {
                    Ok(place) => self.place = Ok(Arc::new(place)),
                    Err(error) => {
                        self.place = Err((root, path.to_vec()));
                        let mut failure = Failure::new("open or make the directory", &error);
                        if path.is_empty() && matches!(failure.kind, FailureKind::One | FailureKind::Mismatch)
                        {
                            failure.kind = FailureKind::Root;
                        }
                        self.failed(root, path, b"", &failure);
                    }
                }
                Ok(0)
            }
            Op::FileBegin { file, name, mode } => {
                if self.files.len() >= OPEN_FILES_MAX || self.files.contains_key(&file) {
                    return Err(WireError::Invalid("file's number"));
                }
                if let Some((place, c_name)) = self.at(name)? {
                    let (open, result) = OpenFile::begin(Arc::clone(&place), c_name, mode);
                    self.files.insert(file, open);
                    if let Err(error) = result {
                        self.failed(place.root, &place.path, name, &Failure::new("create the file", &error));
                    }
                }
                Ok(0)
            }
            Op::FileWrite { file, offset, patch } => {
                self.write(file, offset, patch);
                Ok(match patch {
                    Patch::Bytes(bytes) => bytes.len() as u64,
                    Patch::Local(len) => len,
                    Patch::Hole(_) => 0,
                })
            }
            Op::FileAsk { file } => {
                self.answer(&Answer::Written { file });
                Ok(0)
            }
            Op::FileEnd { file, length, meta, xattrs } => {
                if let Some(open) = self.files.remove(&file) {
                    let (place, name) = (Arc::clone(&open.place), open.name.clone());
                    if let Err(error) = open.end(&self.wanted, length, &meta, &xattrs) {
                        let failure = Failure::new("finish the file", &error);
                        self.failed(place.root, &place.path, name.to_bytes(), &failure);
                    }
                }
                Ok(0)
            }
            Op::FileDrop { file } => {
                self.files.remove(&file);
                Ok(0)
            }
            Op::Question { question, name, block, here } => {
                self.question(question, name, block, here)?;
                Ok(0)
            }
            Op::Barrier { barrier } => {
                self.answer(&Answer::Reached { barrier });
                Ok(0)
            }
            Op::SetDirMeta { meta, xattrs } => {
                if let Ok(place) = &self.place {
                    let place = Arc::clone(place);
                    if let Err(error) = self.wanted.set_dir(&place.dir, &meta, &xattrs) {
                        self.failed(
                            place.root,
                            &place.path,
                            b"",
                            &Failure::new("set the attributes", &error),
                        );
                    }
                }
                Ok(0)
            }
            named => self.named(&named),
        }
    }

    /// Operations on one name of the present directory that are over when they return.
    fn named(&mut self, op: &Op<'_>) -> Result<u64, WireError> {
        let name = match op {
            Op::Put { name, .. }
            | Op::Symlink { name, .. }
            | Op::Node { name, .. }
            | Op::Link { name, .. }
            | Op::SetMeta { name, .. }
            | Op::Remove { name, .. }
            | Op::MoveAside { name } => *name,
            _ => return Err(WireError::Invalid("operation")),
        };
        let Some((place, c_name)) = self.at(name)? else { return Ok(0) };
        let mut bytes = 0;
        let result = match op {
            Op::Put { meta, xattrs, content, .. } => {
                bytes = content.len() as u64;
                put(&place, &self.wanted, &c_name, meta, xattrs, content).or_say("write the file")
            }
            Op::Symlink { meta, xattrs, text, .. } => sys::c_string(text)
                .and_then(|text| {
                    self.make_object(&place, &c_name, FileKind::Symlink, meta, xattrs, |dir, name| {
                        dir.make_symlink(&text, name)
                    })
                })
                .or_say("make the link"),
            Op::Node { meta, xattrs, kind, rdev, .. } => self
                .make_object(&place, &c_name, *kind, meta, xattrs, |dir, name| {
                    dir.make_node(name, *kind, *rdev)
                })
                .or_say("make the special file"),
            Op::Link { root, dir, from, .. } => {
                let Some(root) = self.roots.get_mut(usize::from(*root)) else {
                    return Err(WireError::Invalid("root's number"));
                };
                link(root, &place, &self.wanted, &c_name, dir, from).or_say("make the hard link")
            }
            Op::SetMeta { kind, meta, xattrs, .. } => {
                self.set_meta(&place, &c_name, *kind, meta, xattrs).or_say("set the attributes")
            }
            Op::Remove { tree, .. } => remove(&place.dir, &c_name, *tree, &self.policy).or_say("remove"),
            Op::MoveAside { .. } => self.move_aside(&place, &c_name).or_say("move to MoveOrphansDir"),
            _ => Ok(()),
        };
        if let Err(failure) = result {
            self.failed(place.root, &place.path, name, &failure);
        }
        Ok(bytes)
    }

    /// The present directory and the name as a C string. None when the directory could not be entered: then the failure of
    /// this name is answered here.
    #[allow(clippy::type_complexity)]
    fn at(&self, name: &[u8]) -> Result<Option<(Arc<Place>, std::ffi::CString)>, WireError> {
        match &self.place {
            Ok(place) => {
                let c_name = sys::c_string(name).map_err(|_| WireError::Invalid("name"))?;
                Ok(Some((Arc::clone(place), c_name)))
            }
            Err((root, path)) => {
                let failure =
                    Failure { what: "reach its directory", kind: FailureKind::One, errno: libc::ENOENT };
                self.failed(*root, path, name, &failure);
                Ok(None)
            }
        }
    }

    fn write(&mut self, file: u64, offset: u64, patch: Patch<'_>) {
        let local = self.end.local.as_ref().and_then(|local| local.get(file));
        let Some(open) = self.files.get_mut(&file) else { return };
        if let Err(error) = open.write(offset, patch, local.as_deref()) {
            let (place, name) = (Arc::clone(&open.place), open.name.clone());
            self.failed(place.root, &place.path, name.to_bytes(), &Failure::new("write the file", &error));
        }
    }

    /// Makes a link or special file; where the name is taken, aside first.
    fn make_object(
        &self,
        place: &Place,
        name: &CStr,
        kind: FileKind,
        meta: &Meta,
        xattrs: &Xattrs,
        make: impl Fn(&Dir, &CStr) -> io::Result<()>,
    ) -> io::Result<()> {
        let finish = |name: &CStr| {
            let object = place.dir.object(name)?;
            if Stat::of(&object)?.kind != kind {
                return Err(io::Error::from_raw_os_error(libc::ESTALE));
            }
            let fresh = Fresh { made: false, ..Aside::fresh(place) };
            self.wanted.set_object(&object, kind, meta, xattrs, fresh)
        };
        match make(&place.dir, name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let aside = unfinished_name();
                make(&place.dir, &aside)?;
                finish(&aside).and_then(|()| place.dir.replace(&aside, name)).inspect_err(|_| {
                    let _ = place.dir.remove(&aside);
                })
            }
            Err(error) => Err(error),
            Ok(()) => finish(name),
        }
    }

    fn set_meta(
        &self,
        place: &Place,
        name: &CStr,
        kind: FileKind,
        meta: &Meta,
        xattrs: &Xattrs,
    ) -> io::Result<()> {
        let object = place.dir.object(name)?;
        if Stat::of(&object)?.kind != kind {
            return Err(io::Error::from_raw_os_error(libc::ESTALE));
        }
        self.wanted.set_object(&object, kind, meta, xattrs, Fresh::OLD)
    }

    /// Moves an entry below the orphans' directory, under the path that it had. Both lie on one file system, or EXDEV.
    fn move_aside(&self, place: &Place, name: &CStr) -> io::Result<()> {
        let Some(aside) = &self.policy.aside else { return Err(io::Error::from_raw_os_error(libc::ENOTSUP)) };
        let root = self.roots.get(usize::from(place.root)).map(|root| root.path.clone()).unwrap_or_default();
        sys::make_dirs(aside)?;
        let top = Dir::open_root(aside)?;
        let mut path = std::os::unix::ffi::OsStrExt::as_bytes(root.as_os_str()).to_vec();
        path.push(b'/');
        path.extend_from_slice(&place.path);
        let mut dir = top;
        for part in path.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
            let part = sys::c_string(part)?;
            match dir.make_dir(&part) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => dir = dir.dir(&part)?,
            }
        }
        match place.dir.move_to(name, &dir, name) {
            // An orphan of the same name was moved before: the newer one gets a number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                for number in 1..1000 {
                    let numbered =
                        sys::c_string(&[name.to_bytes(), format!(".{number}").as_bytes()].concat())?;
                    match place.dir.move_to(name, &dir, &numbered) {
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        other => return other,
                    }
                }
                Err(error)
            }
            other => other,
        }
    }

    fn describe(&mut self, roots: Vec<Root>, xattrs: bool) {
        let (policy, listings, frames) =
            (self.policy.clone(), self.end.listings.clone(), self.end.frames.clone());
        let detail = scan::Detail { xattrs, root: self.wanted.root };
        self.threads
            .push(std::thread::spawn(move || scan::describe(roots, &policy, detail, &listings, &frames)));
    }

    fn question(&mut self, question: u64, name: &[u8], block: u32, here: bool) -> Result<(), WireError> {
        let name = sys::c_string(name).map_err(|_| WireError::Invalid("name"))?;
        // A directory that could not be entered: its answer still keeps its turn.
        let place = self.place.as_ref().ok().map(Arc::clone);
        let local = if here { self.end.local.clone() } else { None };
        let asked = Question { question, place, name, block: block as usize, local };
        if self.questions.is_none() {
            let (sender, receiver) = sync_channel(QUESTIONS);
            let (sums, frames) = (self.end.sums.clone(), self.end.frames.clone());
            self.threads.push(std::thread::spawn(move || answer_all(&receiver, &sums, &frames)));
            self.questions = Some(sender);
        }
        if let Some(questions) = &self.questions {
            // It only ends when the source no longer listens.
            let _ = questions.send(asked);
        }
        Ok(())
    }

    fn failed(&self, root: u16, path: &[u8], name: &[u8], failure: &Failure) {
        let Failure { what, kind, errno } = *failure;
        self.answer(&Answer::Failed { kind, errno, root, path, name, what: what.as_bytes() });
    }

    fn answer(&self, answer: &Answer<'_>) {
        let mut frame = Vec::with_capacity(32);
        answer.encode(&mut frame);
        // A source that has gone needs no answer.
        let _ = self.end.results.send(frame);
    }
}

/// Removes an entry; a directory that is not empty only as a tree.
fn remove(dir: &Dir, name: &CStr, tree: bool, policy: &Policy) -> io::Result<()> {
    let gone = match dir.remove(name) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EISDIR | libc::EPERM)) => {
            if tree {
                remove_tree(dir, name, &policy.forbidden)
            } else {
                dir.remove_dir(name)
            }
        }
        other => other,
    };
    match gone {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Gives an earlier entry another name; across file systems it becomes a copy (REP-20).
fn link(
    root: &mut Root,
    place: &Place,
    wanted: &Wanted,
    name: &CStr,
    dir: &[u8],
    from: &[u8],
) -> io::Result<()> {
    let from_dir = root.open(false)?.descend(&sys::c_string(dir)?)?;
    let from = sys::c_string(from)?;
    match place.dir.link(name, &from_dir, &from) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let aside = unfinished_name();
            place.dir.link(&aside, &from_dir, &from)?;
            let replaced = place.dir.replace(&aside, name);
            // Where both names were the same file already, rename does nothing and leaves both.
            match place.dir.remove(&aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => replaced.and(Err(error)),
                _ => replaced,
            }
        }
        Err(error) if error.raw_os_error() == Some(libc::EXDEV) => {
            copy(&from_dir, &from, place, wanted, name)
        }
        other => other,
    }
}

/// Copies a regular file with its metadata from one place of the target to another.
fn copy(from_dir: &Dir, from: &CStr, place: &Place, wanted: &Wanted, name: &CStr) -> io::Result<()> {
    let source = from_dir.read(from)?;
    let stat = Stat::of(&source)?;
    if stat.kind != FileKind::File {
        return Err(io::Error::from_raw_os_error(libc::EXDEV));
    }
    let xattrs = sys::xattrs_of(std::os::fd::AsFd::as_fd(&source), wanted.root)?;
    let aside = Aside::make(place)?;
    let copied = (|| {
        let (mut buffer, mut at) = (Vec::new(), 0);
        loop {
            buffer.clear();
            let got = sys::read_into(&source, at, 512 << 10, &mut buffer)?;
            if got == 0 {
                break;
            }
            sys::write_all_at(&aside.file, &buffer, at)?;
            at += got as u64;
        }
        wanted.set_file(&aside.file, &stat.meta, &xattrs, Aside::fresh(place))
    })();
    match copied {
        Ok(()) => aside.publish(place, name),
        Err(error) => {
            aside.forget(place);
            Err(error)
        }
    }
}
