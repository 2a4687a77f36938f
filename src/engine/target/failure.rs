//! Why an operation failed, and which reasons may pass by themselves.

use crate::wire::{FailureKind, WireError};
use std::io;

/// Why an operation failed: for a person, in few words, and the errno.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub what: &'static str,
    pub kind: FailureKind,
    pub errno: i32,
    /// It does not pass whatever its errno says: this side's own rule.
    lasting: bool,
}

/// A failure and what it is about. Held on the heap, as most operations do not fail.
#[derive(Debug)]
pub(super) struct Failed {
    pub failure: Failure,
    pub root: u16,
    pub path: Vec<u8>,
    pub name: Vec<u8>,
}

/// An operation that was not carried out.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It breaks a rule of the wire: the stream ends.
    Wire(WireError),
    Failed(Box<Failed>),
}

impl From<WireError> for Trouble {
    fn from(error: WireError) -> Self {
        Trouble::Wire(error)
    }
}

impl Failure {
    pub(super) fn new(what: &'static str, error: &io::Error) -> Self {
        let lasting = error.get_ref().is_some_and(|inner| inner.is::<Forbidden>());
        let errno = if lasting { libc::EPERM } else { error.raw_os_error().unwrap_or(libc::EIO) };
        let kind = match errno {
            libc::ENOSPC | libc::EDQUOT => FailureKind::Full,
            libc::EROFS => FailureKind::ReadOnly,
            libc::EISDIR | libc::ENOTDIR | libc::ENOTEMPTY => FailureKind::Mismatch,
            _ => FailureKind::One,
        };
        Failure { what, kind, errno, lasting }
    }

    pub(super) fn of_errno(what: &'static str, errno: i32) -> Self {
        Self::new(what, &io::Error::from_raw_os_error(errno))
    }

    /// For an operation on what must be there: ENOENT says that it is not.
    pub(super) fn or_missing(mut self) -> Self {
        if self.errno == libc::ENOENT {
            self.kind = FailureKind::Missing;
        }
        self
    }

    /// This one does not pass.
    pub(super) fn lasting(mut self) -> Self {
        self.lasting = true;
        self
    }

    /// True for a reason that an administrator, another program or time takes away.
    pub(super) fn may_pass(&self) -> bool {
        !self.lasting
            && matches!(
                self.errno,
                libc::EACCES
                    | libc::EPERM
                    | libc::ETXTBSY
                    | libc::EBUSY
                    | libc::ENOSPC
                    | libc::EDQUOT
                    | libc::EROFS
                    | libc::EMFILE
                    | libc::ENFILE
                    | libc::ENOMEM
                    | libc::ENOLCK
                    | libc::EAGAIN
                    | libc::EINTR
                    | libc::EIO
            )
    }

    pub(super) fn about(self, root: u16, path: &[u8], name: &[u8]) -> Trouble {
        Trouble::Failed(Box::new(Failed { failure: self, root, path: path.to_vec(), name: name.to_vec() }))
    }
}

/// An operation would change what the target's administrator keeps from every source (`Policy::forbidden`). EPERM to a source.
#[derive(Debug, thiserror::Error)]
#[error("the engine's own directory is not touched")]
struct Forbidden;

pub(super) fn forbidden() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, Forbidden)
}

pub(super) trait Explain<T> {
    fn or_say(self, what: &'static str) -> Result<T, Failure>;
}

impl<T> Explain<T> for io::Result<T> {
    fn or_say(self, what: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(what, &error))
    }
}
