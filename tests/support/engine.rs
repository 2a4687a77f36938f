//! A running engine, driven as a person would: `DTCL -i` with pipes for a terminal.
//!
//! Nothing sleeps: a line of our own behind each command says when it has ended, a barrier when a change has arrived.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::Home;

/// Longest time that a command may take.
const DEADLINE: Duration = Duration::from_secs(150);

pub struct Engine {
    child: Child,
    stdin: Option<ChildStdin>,
    chunks: Receiver<Vec<u8>>,
    /// What came and was not given away yet.
    text: String,
    turn: usize,
    errors: PathBuf,
}

impl Engine {
    /// On this home, with these variables.
    pub fn start(home: &Home, env: &[(&str, &str)]) -> Engine {
        let errors = home.path("standard-error");
        let mut command = home.dtcl().arg("-i").command();
        command.envs(env.iter().copied());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .expect("the program starts");
        let mut stdout = child.stdout.take().unwrap();
        let (sender, chunks) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        Engine { child, stdin, chunks, text: String::new(), turn: 0, errors }
    }

    /// What the command prints, without prompt and echo.
    #[track_caller]
    pub fn say(&mut self, line: &str) -> String {
        self.turn += 1;
        let mark = format!("end-of-turn-{}", self.turn);
        let lines = format!("{line}\nwrite \"{mark}\"\n");
        let written = self.stdin.as_mut().unwrap().write_all(lines.as_bytes());
        let mark = format!("\n  {mark}\n");
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.text.find(&mark) {
                let rest = self.text.split_off(at + mark.len());
                let said = std::mem::replace(&mut self.text, rest);
                let said: Vec<&str> = said[..at].lines().filter(|l| !l.starts_with("Command:  ")).collect();
                return said.join("\n");
            }
            match self.chunks.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(chunk) => self.text.push_str(&String::from_utf8_lossy(&chunk)),
                Err(why) => panic!("no end of {line} ({why}; {written:?}): {}\n{}", self.text, self.errors()),
            }
        }
    }

    /// An expression of the language, as text.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> String {
        self.say(&format!("write {expression}")).trim().to_owned()
    }

    /// What a command returns: negative for an error.
    #[track_caller]
    pub fn code(&mut self, command: &str) -> i64 {
        self.say(&format!("$code = {command}"));
        let value = self.value("$code");
        value.parse().unwrap_or_else(|_| panic!("{command} returned {value:?}\n{}", self.errors()))
    }

    /// Fails unless the command succeeds.
    #[track_caller]
    pub fn ok(&mut self, command: &str) -> i64 {
        let code = self.code(command);
        assert!(code >= 0, "{command} returned {code}: {}\n{}", self.value("$error"), self.errors());
        code
    }

    /// Waits until everything changed before is on the target.
    #[track_caller]
    pub fn barrier(&mut self, connection: i64) {
        let code = self.code(&format!("barrier {connection} timeout = 120"));
        if code != 1 {
            let why = self.value("$error");
            panic!("the barrier returned {code}: {why}\n{}\n{}", self.say("status"), self.errors());
        }
    }

    /// One value of a connection's status, by its key (`replication`, `target_data_state`, ...).
    #[track_caller]
    pub fn status(&mut self, connection: i64, key: &str) -> String {
        self.value(&format!("(status({connection}).{key})"))
    }

    /// Asks until the status has this value.
    #[track_caller]
    pub fn wait_for_status(&mut self, connection: i64, key: &str, expected: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            let value = self.status(connection, key);
            if value == expected {
                return;
            }
            assert!(
                Instant::now() < end,
                "{key} is {value}, not {expected}\n{}\n{}",
                self.say("status"),
                self.errors()
            );
            std::thread::yield_now();
        }
    }

    /// Standard error until now.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.errors).unwrap_or_default()).into_owned()
    }

    /// Closes its terminal and waits for the end: connections are drained.
    #[track_caller]
    pub fn end(mut self) -> i32 {
        drop(self.stdin.take());
        while self.chunks.recv_timeout(DEADLINE).is_ok() {}
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}
