//! Questions to a person: yes or no, and passwords without echo. Asked on the controlling terminal, whatever the
//! standard streams are; a process that has none gets no answer.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::sys::signal;

/// No answer is longer.
const LONGEST: usize = 4096;

const ESCAPE: u8 = 0x1b;
/// Milliseconds between the characters of a key, at most.
const SEQUENCE: u8 = 50;

/// Asks until the answer is yes or no; a bare return key is no. None: nobody to ask, or Ctrl-C.
pub fn confirm(question: &str) -> Option<bool> {
    let mut terminal = open()?;
    loop {
        let answer = ask(&mut terminal, &format!("{question} [y/N] "))?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Some(true),
            "" | "n" | "no" => return Some(false),
            _ => {}
        }
    }
}

/// Asks for a password. None: nobody to ask, end of file, or Ctrl-C.
pub fn password(prompt: &str) -> Option<String> {
    let mut terminal = open()?;
    let silence = Silence::of(&terminal)?;
    let answer = ask(&mut terminal, prompt);
    drop(silence);
    // The return key was not echoed either.
    let _ = writeln!(terminal);
    answer
}

/// Shows a prompt and waits for one key. None: nobody to ask.
pub fn key(prompt: &str) -> Option<u8> {
    let mut terminal = open()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut raw = before.clone();
    raw.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
    tcsetattr(&terminal, SetArg::TCSADRAIN, &raw).ok()?;
    let _restored = Silence { terminal: terminal.try_clone().ok()?, before };
    terminal.write_all(prompt.as_bytes()).ok()?;
    loop {
        let mut fds = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) if signal::stop_requested() => return Some(b'q'),
            Err(Errno::EINTR) => continue,
            Err(_) => return None,
            Ok(_) => {}
        }
        let mut byte = [0];
        return match nix::unistd::read(&terminal, &mut byte) {
            Ok(1) if byte[0] == ESCAPE && follows(&terminal, SEQUENCE) => {
                rest_of_sequence(&terminal);
                Some(0)
            }
            Ok(1) if byte[0] >= 0x80 => {
                while follows(&terminal, 0u8) && read_byte(&terminal).is_some() {}
                Some(0)
            }
            Ok(1) => Some(byte[0]),
            _ => None,
        };
    }
}

/// Is there more to read within these milliseconds?
fn follows(terminal: &File, milliseconds: u8) -> bool {
    let mut fds = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::from(milliseconds)), Ok(1..))
}

fn read_byte(terminal: &File) -> Option<u8> {
    let mut byte = [0];
    matches!(nix::unistd::read(terminal, &mut byte), Ok(1)).then_some(byte[0])
}

/// Reads a key's sequence from behind its escape character to its end, so that nothing of it is taken for typing.
fn rest_of_sequence(terminal: &File) {
    // `ESC [ 1 ; 5 C` and `ESC O P`; any other is one character.
    let Some(first) = read_byte(terminal) else { return };
    if !matches!(first, b'[' | b'O') {
        return;
    }
    while follows(terminal, SEQUENCE) {
        match read_byte(terminal) {
            Some(0x40..=0x7e) | None => return,
            Some(_) => {}
        }
    }
}

fn open() -> Option<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty").ok()
}

/// Writes a prompt and reads a line, without its end.
fn ask(terminal: &mut File, prompt: &str) -> Option<String> {
    terminal.write_all(prompt.as_bytes()).ok()?;
    let mut line = Vec::new();
    loop {
        let mut fds = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) if signal::stop_requested() => {
                let _ = writeln!(terminal);
                return None;
            }
            Err(Errno::EINTR) => continue,
            Err(_) => return None,
            Ok(_) => {}
        }
        let mut byte = [0];
        match nix::unistd::read(&*terminal, &mut byte) {
            Err(Errno::EINTR) => {}
            Ok(0) | Err(_) => return None,
            Ok(_) if byte[0] == b'\n' => return String::from_utf8(line).ok(),
            Ok(_) if line.len() == LONGEST => return None,
            Ok(_) => line.push(byte[0]),
        }
    }
}

/// A terminal without echo until it is dropped.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    fn of(terminal: &File) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        silent.local_flags.insert(LocalFlags::ICANON | LocalFlags::ISIG);
        let terminal = terminal.try_clone().ok()?;
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &silent).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}
