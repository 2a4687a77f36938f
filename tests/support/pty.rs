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
        Self::sized(dtcl, 100, 30)
    }

    /// On a terminal of so many columns and rows.
    pub fn sized(dtcl: Dtcl, columns: u16, rows: u16) -> Pty {
        let size = nix::pty::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(Some(&size), None).expect("a pseudo-terminal");
        // A service that another test starts meanwhile is not to hold it open.
        for end in [&pty.master, &pty.slave] {
            nix::fcntl::fcntl(end, nix::fcntl::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).unwrap();
        }
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
        let screen = Screen { columns: columns.into(), rows: rows.into(), ..Screen::default() };
        Pty { master, chunks, screen, seen: 0, child }
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

    /// Takes in what comes until nothing has for a while that a person would notice. What is expected next comes after it.
    pub fn settle(&mut self) {
        while let Ok(chunk) = self.chunks.recv_timeout(Duration::from_millis(300)) {
            self.screen.feed(&chunk);
        }
        self.seen = self.screen.text.len();
    }

    /// Reads until the screen is as wanted.
    #[track_caller]
    pub fn until(&mut self, what: &str, wanted: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !wanted(&self.lines()) {
            match self.chunks.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(chunk) => self.screen.feed(&chunk),
                Err(why) => panic!("no {what} ({why}) on the screen:\n{}", self.lines().join("\n")),
            }
        }
    }

    /// All that came, escape sequences too.
    pub fn raw(&self) -> &str {
        std::str::from_utf8(&self.screen.raw).unwrap()
    }

    /// The lines that are on the screen, without blanks at their ends.
    pub fn lines(&self) -> Vec<String> {
        self.screen.lines()
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

/// Text of a terminal without its escape sequences, and the screen that they make of it.
#[derive(Default)]
struct Screen {
    text: String,
    raw: Vec<u8>,
    columns: usize,
    rows: usize,
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
    /// Follows the sequences that this program and its line editor use.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.raw);
        let mut grid = vec![vec![' '; self.columns]; self.rows];
        let (mut row, mut column) = (0usize, 0usize);
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            match char {
                '\r' => column = 0,
                '\n' if row + 1 < self.rows => row += 1,
                '\n' => {
                    grid.remove(0);
                    grid.push(vec![' '; self.columns]);
                }
                '\x08' => column = column.saturating_sub(1),
                '\x1b' => {
                    if chars.next() != Some('[') {
                        continue;
                    }
                    let mut number = String::new();
                    let last = loop {
                        match chars.next() {
                            Some(end @ '\x40'..='\x7e') => break end,
                            Some(char) => number.push(char),
                            None => break ' ',
                        }
                    };
                    let count = number.split(';').next().unwrap_or("").parse::<usize>().unwrap_or(0);
                    match last {
                        'A' => row = row.saturating_sub(count.max(1)),
                        'B' => row = (row + count.max(1)).min(self.rows - 1),
                        'C' => column = (column + count.max(1)).min(self.columns - 1),
                        'D' => column = column.saturating_sub(count.max(1)),
                        'H' => (row, column) = (0, 0),
                        'K' => grid[row][column.min(self.columns)..].fill(' '),
                        'J' if count == 2 => grid.iter_mut().for_each(|line| line.fill(' ')),
                        'J' => {
                            grid[row][column.min(self.columns)..].fill(' ');
                            grid[row + 1..].iter_mut().for_each(|line| line.fill(' '));
                        }
                        _ => {}
                    }
                }
                char if char.is_control() => {}
                char => {
                    if column >= self.columns {
                        column = 0;
                        if row + 1 < self.rows {
                            row += 1;
                        } else {
                            grid.remove(0);
                            grid.push(vec![' '; self.columns]);
                        }
                    }
                    grid[row][column] = char;
                    column += 1;
                }
            }
        }
        grid.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
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
