//! What went wrong in a job, collected from its threads.

use super::walk::source_path;
use crate::api::{ApiError, Code};
use crate::engine::job::{Counters, JobFailure};
use crate::engine::log::escape;
use crate::wire::FailureKind;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Failures that are kept; the rest is counted.
const KEPT: usize = 1000;
/// Things that are tried again at the end; more than that and something general is wrong.
const RETRIES: usize = 100_000;

/// A place below a root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub root: u16,
    pub path: Vec<u8>,
    pub name: Vec<u8>,
}

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reason {
    text: String,
    /// It could not be read on the source (FailedMirrorCount).
    is_unread: bool,
}

impl Reason {
    pub(super) fn unread(text: String) -> Reason {
        Reason { text, is_unread: true }
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Reason {
        Reason { text, is_unread: false }
    }
}

/// Shared by the threads of a job.
pub(super) struct Report {
    /// Source path of each root's directory.
    roots: Vec<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    failures: Vec<JobFailure>,
    retries: Vec<(Spot, Reason)>,
    fatal: Option<ApiError>,
}

impl Report {
    pub(super) fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source path of a place.
    pub(super) fn path(&self, spot: &Spot) -> Vec<u8> {
        let root = self.roots.get(usize::from(spot.root)).map(PathBuf::as_path).unwrap_or("/".as_ref());
        source_path(root, &spot.path, &spot.name)
    }

    /// One thing failed for good.
    pub(super) fn fail(&self, counters: &Counters, spot: &Spot, reason: impl Into<Reason>) {
        let path = self.path(spot);
        let Reason { text: reason, is_unread } = reason.into();
        tracing::warn!("{}: {reason}", escape(&path));
        counters.errors.fetch_add(1, Relaxed);
        counters.unread.fetch_add(u64::from(is_unread), Relaxed);
        let mut inner = self.lock();
        if inner.failures.len() < KEPT {
            inner.failures.push(JobFailure { path, reason });
        }
    }

    /// One thing failed and may succeed when it is tried again.
    pub(super) fn retry(&self, counters: &Counters, spot: Spot, reason: impl Into<Reason>) {
        let (mut inner, reason) = (self.lock(), reason.into());
        if inner.retries.len() < RETRIES {
            inner.retries.push((spot, reason));
        } else {
            drop(inner);
            self.fail(counters, &spot, reason);
        }
    }

    /// A failure that was answered by the target, or met on the source, by its errno.
    pub(super) fn errno(&self, counters: &Counters, spot: Spot, errno: i32, what: &str, on_target: bool) {
        let side = if on_target { "target" } else { "source" };
        let text = format!("cannot {what} on the {side}: {}{}", describe(errno), advice(errno, on_target));
        let reason = Reason { text, is_unread: !on_target };
        if is_transient(errno) {
            self.retry(counters, spot, reason)
        } else {
            self.fail(counters, &spot, reason)
        }
    }

    /// A directory (root and path) that could not be read on the source.
    pub(super) fn unreadable(&self, counters: &Counters, at: (u16, &[u8]), error: &io::Error, what: &str) {
        let spot = Spot { root: at.0, path: at.1.to_vec(), name: Vec::new() };
        self.errno(counters, spot, error.raw_os_error().unwrap_or(libc::EIO), what, false);
    }

    /// A failed operation of the target.
    pub(super) fn answered(
        &self,
        counters: &Counters,
        kind: FailureKind,
        spot: Spot,
        errno: i32,
        what: &str,
    ) {
        let path = escape(self.path(&spot));
        let fatal = match kind {
            FailureKind::Full => Some(
                ApiError::new(Code::TargetDiskIsFull, format!("the target's disk is full at {path}"))
                    .help("free space on the target, or map to a larger file system, and mirror again"),
            ),
            FailureKind::ReadOnly => Some(
                ApiError::new(
                    Code::WriteAccessIsBlockedOnTheVolume,
                    format!("the target's file system is read-only at {path}"),
                )
                .help("mount it for writing and mirror again"),
            ),
            FailureKind::Root => Some(
                ApiError::new(
                    if errno == libc::ENOTDIR {
                        Code::FileDirectoryMismatchDirectoryExpected
                    } else {
                        Code::InvalidPath
                    },
                    format!("the target path of {path} cannot be used: {}", describe(errno)),
                )
                .help("check what stands at the target path and its permissions, or MAP to another place"),
            ),
            FailureKind::One | FailureKind::Mismatch | FailureKind::Missing => None,
        };
        if let Some(fatal) = fatal {
            self.fatal(fatal);
        }
        self.errno(counters, spot, errno, what, true);
    }

    /// Something that ends the job. The first one counts.
    pub(super) fn fatal(&self, error: ApiError) {
        self.lock().fatal.get_or_insert(error);
    }

    pub(super) fn is_fatal(&self) -> bool {
        self.lock().fatal.is_some()
    }

    pub(super) fn take_retries(&self) -> Vec<(Spot, Reason)> {
        let mut retries = std::mem::take(&mut self.lock().retries);
        retries.sort();
        retries.dedup_by(|a, b| a.0 == b.0);
        retries
    }

    pub(super) fn finish(&self) -> (Vec<JobFailure>, Option<ApiError>) {
        let mut inner = self.lock();
        (std::mem::take(&mut inner.failures), inner.fatal.take())
    }
}

/// What may go away by itself.
fn is_transient(errno: i32) -> bool {
    matches!(
        errno,
        libc::EBUSY | libc::ETXTBSY | libc::EAGAIN | libc::EINTR | libc::EIO | libc::ESTALE | libc::ENOMEM
    )
}

fn describe(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    // "Permission denied (os error 13)" -> "Permission denied"
    text.split(" (os error").next().unwrap_or_default().to_string()
}

fn advice(errno: i32, on_target: bool) -> &'static str {
    match (errno, on_target) {
        (libc::EACCES | libc::EPERM, false) => " (run as a user who may read it, or exclude it)",
        (libc::EACCES | libc::EPERM, true) => " (run as a user who may write there; see also lsattr)",
        (libc::EISDIR | libc::ENOTEMPTY, true) => {
            " (a directory stands where a file must be: remove it, or mirror with ORPHANS)"
        }
        (libc::EXDEV, true) => " (something is mounted there: unmount it, or keep both on one file system)",
        (libc::E2BIG, _) => " (it has more extended attributes than can be sent: SET ExtendedAttributes = 0)",
        (libc::ENOTDIR, true) => " (a file stands where a directory must be: remove it)",
        (libc::EOPNOTSUPP, true) => {
            " (the target's file system has no such attributes: SET ExtendedAttributes = 0)"
        }
        _ => "",
    }
}
