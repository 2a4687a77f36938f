//! Standard input that a signal can end.

use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::signal;

/// Reads like standard input, but fails once a signal has asked to stop.
pub struct Stdin(io::Stdin);

impl Stdin {
    pub fn new() -> Self {
        Self(io::stdin())
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if signal::stop_requested() {
                return Err(io::Error::other("stopped by a signal"));
            }
            // Unlike read, poll is never restarted after a signal.
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => return nix::unistd::read(&self.0, buffer).map_err(Into::into),
            }
        }
    }
}
