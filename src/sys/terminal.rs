//! The terminal's size.

#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

/// Columns of the terminal behind this descriptor; None if it is none or does not say.
pub fn columns(terminal: impl AsFd) -> Option<u16> {
    size(terminal).map(|(columns, _)| columns)
}

/// Columns and rows.
pub fn size(terminal: impl AsFd) -> Option<(u16, u16)> {
    // SAFETY: all-zero is a valid winsize; TIOCGWINSZ writes one winsize and reads nothing.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        if libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) != 0 {
            return None;
        }
        size
    };
    (size.ws_col > 0).then_some((size.ws_col, size.ws_row))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_terminal_says_its_width_and_a_file_does_not() {
        let size = nix::pty::Winsize { ws_row: 10, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(Some(&size), None).unwrap();
        assert_eq!(super::columns(&pty.slave), Some(77));
        assert_eq!(super::columns(tempfile::tempfile().unwrap()), None);
    }
}
