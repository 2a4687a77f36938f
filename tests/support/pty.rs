//! The program on a pseudo-terminal: what a person at a terminal would see.
//!
//! Nothing sleeps: a test types, and reads until the text that it expects is there or a deadline has passed.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::Dtcl;

/// Longest time that an expected text may take to come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A program with a terminal of its own, 100 columns wide.
pub struct Pty {
    master: File,
    chunks: Receiver<Vec<u8>>,
    /// All that came, escape sequences left out.
    screen: Screen,
    /// How much of the screen has been matched.
    seen: usize,
    child: Child,
}

impl Pty {
    /// Starts the program with standard input, output and error on the terminal.
    pub fn start(dtcl: Dtcl) -> Pty {
        let size = nix::pty::Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(Some(&size), None).expect("a pseudo-terminal");
        let slave = || Stdio::from(pty.slave.try_clone().unwrap());
        // setsid makes the terminal the controlling one, so that its keys send signals.
        let program = dtcl.command();
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(program.get_current_dir().unwrap());
        let child = command
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .expect("setsid (util-linux) is installed");
        drop(pty.slave);
        let master = File::from(pty.master);
        let mut reader = master.try_clone().unwrap();
        let (sender, chunks) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The read fails with EIO once nobody has the other side open.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Pty { master, chunks, screen: Screen::default(), seen: 0, child }
    }

    /// Types: `\r` is the return key, `\x03` Ctrl-C, `\x04` Ctrl-D, `\t` the tabulator.
    pub fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads until this text has come, behind what was expected before; gives what came in between.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.screen.text[self.seen..].find(text) {
                let between = self.screen.text[self.seen..self.seen + at].to_owned();
                self.seen += at + text.len();
                return between;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.chunks.recv_timeout(left) {
                Ok(chunk) => self.screen.feed(&chunk),
                Err(why) => panic!("{text:?} did not come ({why}); what came:\n{}", self.screen.text),
            }
        }
    }

    /// The process, to send it signals.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads to the end and gives the exit status.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.chunks.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(chunk) => self.screen.feed(&chunk),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(why) => {
                    let _ = self.child.kill();
                    panic!("the program did not end ({why}); what came:\n{}", self.screen.text);
                }
            }
        }
        let status = self.child.wait().unwrap();
        (status.code().unwrap_or(-1), self.screen.text)
    }
}

/// Text of a terminal without its escape sequences. Cursor movements are not followed: tests look for words.
#[derive(Default)]
struct Screen {
    text: String,
    state: State,
    /// Bytes of a character that has not come whole.
    partial: Vec<u8>,
}

#[derive(Default)]
enum State {
    #[default]
    Text,
    Escape,
    Sequence,
}

impl Screen {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match self.state {
                State::Text if byte == 0x1b => self.state = State::Escape,
                State::Text => {
                    self.partial.push(byte);
                    if let Ok(text) = std::str::from_utf8(&self.partial) {
                        self.text.push_str(text);
                        self.partial.clear();
                    }
                }
                State::Escape => self.state = if byte == b'[' { State::Sequence } else { State::Text },
                State::Sequence if (0x40..=0x7e).contains(&byte) => self.state = State::Text,
                State::Sequence => {}
            }
        }
    }
}

/// Sends a signal to a process that a test started.
pub fn kill(id: u32, signal: nix::sys::signal::Signal) {
    let id = nix::unistd::Pid::from_raw(i32::try_from(id).unwrap());
    nix::sys::signal::kill(id, signal).expect("the process runs");
}
