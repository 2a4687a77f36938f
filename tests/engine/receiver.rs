//! A target and a source that lies: operations made by hand.

use crate::bed::{Bed, CHECKSUM, FULL};
use crate::support;
use dtcl::engine::job::JobKind;
use dtcl::engine::{link, target};
use dtcl::sys::{Meta, Xattrs};
use dtcl::wire::{Answer, FileMode, Op, Patch, Reader, WireError};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::JoinHandle;

/// A source that sends what it is told to.
struct Liar {
    end: link::SourceEnd,
    server: JoinHandle<Result<(), WireError>>,
}

impl Liar {
    fn new() -> Self {
        let (end, target_end) = link::pair(false);
        let server = std::thread::spawn(move || target::serve(target_end, target::Policy::default()));
        Self { end, server }
    }

    fn send(&self, ops: &[Op<'_>]) {
        let mut frame = Vec::new();
        ops.iter().for_each(|op| op.encode(&mut frame));
        // A target that has ended is asked for its error.
        let _ = self.end.ops.send(frame);
    }

    /// Waits until all is applied.
    fn barrier(&self) {
        self.send(&[Op::Barrier { barrier: 7 }]);
        for frame in &self.end.results {
            match Answer::decode(&mut Reader::new(&frame)).unwrap() {
                Answer::Reached { .. } => return,
                Answer::Failed { errno, what, .. } => {
                    panic!("{}: {errno}", String::from_utf8_lossy(what));
                }
                _ => {}
            }
        }
        panic!("the target has ended");
    }

    fn end(self) -> Result<(), WireError> {
        drop(self.end);
        self.server.join().unwrap()
    }
}

fn begin(root: &Path) -> Op<'_> {
    let root = std::os::unix::ffi::OsStrExt::as_bytes(root.as_os_str());
    Op::Begin { attributes: true, xattrs: false, scan: false, roots: vec![(root, None)] }
}

#[test]
fn a_second_beginning_is_refused() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    liar.send(&[begin(&target), begin(&target)]);
    assert_eq!(liar.end(), Err(WireError::Invalid("second beginning")));
}

#[test]
fn a_root_that_climbs_is_refused() {
    let liar = Liar::new();
    liar.send(&[begin(Path::new("/tmp/../etc"))]);
    assert_eq!(liar.end(), Err(WireError::Invalid("root")));
}

#[test]
fn a_file_that_is_changed_in_place_is_not_setuid_meanwhile() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    let file = target.join("f");
    fs::write(&file, "of the owner").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o6755)).unwrap();
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
    liar.send(&[
        begin(&target),
        Op::Enter { root: 0, path: b"", make: false },
        Op::FileBegin { file: 1, name: b"f", mode: FileMode::InPlace },
        Op::FileWrite { file: 1, offset: 0, patch: Patch::Bytes(b"of another") },
    ]);
    liar.barrier();
    assert_eq!(mode(), 0o755);
    let meta = Meta { mode: 0o6755, uid: 0, gid: 0, mtime: (5, 0) };
    liar.send(&[Op::FileEnd { file: 1, length: 12, meta, xattrs: Xattrs::default() }]);
    liar.barrier();
    if support::is_root() {
        assert_eq!(mode(), 0o6755);
    }
    liar.end().unwrap();
}

#[test]
fn a_file_left_half_changed_counts_as_old() {
    let bed = Bed::new();
    let (liar, target) = (Liar::new(), bed.target());
    fs::write(target.join("f"), "before").unwrap();
    liar.send(&[
        begin(&target),
        Op::Enter { root: 0, path: b"", make: false },
        Op::FileBegin { file: 1, name: b"f", mode: FileMode::InPlace },
        Op::FileWrite { file: 1, offset: 0, patch: Patch::Bytes(b"half") },
        Op::FileDrop { file: 1 },
    ]);
    liar.barrier();
    liar.end().unwrap();
    let modified = fs::metadata(target.join("f")).unwrap().modified().unwrap();
    assert!(modified < std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1));
}

#[test]
fn a_file_with_more_attributes_than_travel_fails_alone() {
    let bed = Bed::new();
    let shm = Path::new("/dev/shm");
    let Ok(dir) = tempfile::tempdir_in(shm) else {
        return support::skip("many attributes", "no /dev/shm here");
    };
    let mut bed = bed;
    bed.from = Some(dir.path().to_path_buf());
    fs::write(dir.path().join("many"), "x").unwrap();
    fs::write(dir.path().join("other"), "x").unwrap();
    let held = dtcl::sys::Dir::open_root(dir.path()).unwrap().object(c"many").unwrap();
    for n in 0..40 {
        let name = std::ffi::CString::new(format!("user.n{n}")).unwrap();
        if let Err(error) = dtcl::sys::set_xattr(&held, &name, &[b'v'; 60_000]) {
            return support::skip("many attributes", &format!("no room for them: {error}"));
        }
    }
    let (outcome, _) = bed.run(JobKind::Mirror(FULL));
    assert!(outcome.fatal.is_none(), "{outcome:?}");
    assert_eq!(outcome.failures.len(), 1, "{outcome:?}");
    assert!(bed.target().join("other").exists());
}

#[test]
fn many_directories_are_compared_with_few_descriptors() {
    let bed = Bed::new();
    for n in 0..1500 {
        let dir = bed.source().join(format!("d{n}"));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("f"), vec![b'x'; 100]).unwrap();
    }
    // A large file first: the questions about the others pile up behind it.
    fs::write(bed.source().join("a"), vec![1; 60 << 20]).unwrap();
    bed.mirror(FULL);
    let most = std::sync::atomic::AtomicUsize::new(0);
    let shared = dtcl::engine::job::JobShared::new();
    let plan = bed.plan();
    std::thread::scope(|scope| {
        let job = scope.spawn(|| dtcl::engine::source::run(&plan, JobKind::Mirror(CHECKSUM), &shared));
        while !job.is_finished() {
            let open = fs::read_dir("/proc/self/fd").unwrap().count();
            most.fetch_max(open, std::sync::atomic::Ordering::Relaxed);
        }
        assert!(job.join().unwrap().complete);
    });
    let most = most.into_inner();
    assert!(most < 800, "{most} descriptors; a common limit is 1024");
}

#[test]
fn without_root_a_foreign_setuid_bit_does_not_become_ones_own() {
    if !support::is_root() {
        return support::skip("a foreign setuid file", "needs root to make one");
    }
    // The mask itself; a run as another user is in the suite run as a plain user.
    let foreign = Meta { mode: 0o6755, uid: 12345, gid: 12345, mtime: (0, 0) };
    assert_eq!(dtcl::sys::attainable_mode(&foreign, true, 1000, false), 0o6755);
    assert_eq!(dtcl::sys::attainable_mode(&foreign, false, 1000, false), 0o755);
    assert_eq!(dtcl::sys::attainable_mode(&foreign, false, 12345, true), 0o6755);
}
