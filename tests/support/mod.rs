//! What the end-to-end tests share: a home of their own, the program, and reasons to skip.
//!
//! Each test runs the real binary on a `DTCL_HOME` in a temporary directory, so tests never meet.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod engine;
pub mod golden;
pub mod oracle;
pub mod pty;
pub mod random;
pub mod served;
pub mod tree;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Longest time that a run may take, on a slow machine under load.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(300);

/// A temporary directory holding a home and whatever else a test makes.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("dtcl-test-").tempdir().unwrap() }
    }

    /// On another file system than the usual temporary directory.
    pub fn new_in(parent: &Path) -> Self {
        Self { dir: tempfile::Builder::new().prefix("dtcl-test-").tempdir_in(parent).unwrap() }
    }

    /// The temporary directory itself; the home is `home` in it.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the temporary directory (outside the home).
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Makes a directory (with parents) outside the home.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Writes a file (with parents) outside the home.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A call of the program on this home, inside a network namespace.
    pub fn dtcl_within(&self, namespace: &str) -> Dtcl {
        let mut ip = Command::new("ip");
        ip.args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_DTCL")]);
        Dtcl::by(ip, &self.home(), self.root())
    }

    /// A call of the program on this home.
    pub fn dtcl(&self) -> Dtcl {
        Dtcl::new(&self.home(), self.root())
    }

    /// Runs a script's text from a file `script.dtcl`.
    pub fn script(&self, text: &str) -> Ran {
        self.dtcl().script(text).run()
    }
}

/// One call of the program, under construction.
pub struct Dtcl {
    command: Command,
    stdin: Vec<u8>,
    dir: PathBuf,
    shown: String,
}

impl Dtcl {
    fn new(home: &Path, dir: &Path) -> Self {
        Self::by(Command::new(env!("CARGO_BIN_EXE_DTCL")), home, dir)
    }

    fn by(mut command: Command, home: &Path, dir: &Path) -> Self {
        command
            .env("DTCL_HOME", home)
            .env("HOME", dir)
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("DTCL_PASSWORD_FILE")
            .current_dir(dir);
        Self { command, stdin: Vec::new(), dir: dir.to_owned(), shown: String::new() }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn stdin(mut self, text: impl AsRef<[u8]>) -> Self {
        self.stdin = text.as_ref().to_vec();
        self
    }

    /// `-f script.dtcl`, with this text; further arguments are the script's.
    pub fn script(mut self, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.dir.join("script.dtcl"), text.as_ref()).unwrap();
        self.shown = String::from_utf8_lossy(text.as_ref()).into_owned();
        self.command.arg("-f").arg("script.dtcl");
        self
    }

    /// `-c TEXT`.
    pub fn text(mut self, text: &str) -> Self {
        self.command.args(["-c", text]);
        self
    }

    /// The program with arguments and environment, for tests that need the process itself.
    pub fn command(self) -> Command {
        self.command
    }

    /// The command line as a person would type it.
    fn line(&self) -> String {
        let mut line = String::from("DTCL");
        for arg in self.command.get_args() {
            let arg = arg.to_string_lossy();
            let plain = !arg.is_empty() && !arg.contains([' ', '"', '\'', '$', ';', '*', '\n', '(', '[']);
            line.push(' ');
            line.push_str(&if plain {
                arg.into_owned()
            } else {
                format!("'{}'", arg.replace('\'', r"'\''"))
            });
        }
        line
    }

    /// Runs as another user (tests that run as root and need a plain user).
    pub fn user(mut self, uid: u32) -> Self {
        self.command.uid(uid).gid(uid);
        self
    }

    pub fn run(mut self) -> Ran {
        let line = self.line();
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().unwrap();
        let text = std::mem::take(&mut self.stdin);
        let writer = std::thread::spawn(move || {
            // A program that ends without reading its input is no failure of the test.
            let _ = stdin.write_all(&text);
        });
        // A program that hangs fails its test instead of holding up all of them.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        let (ended, watch) = std::sync::mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            let hangs = watch.recv_timeout(LONGEST) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            if hangs {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
            hangs
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        let hung = watchdog.join().unwrap();
        writer.join().unwrap();
        use std::os::unix::process::ExitStatusExt as _;
        let ran = Ran {
            status: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0)),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            shown: self.shown,
            line,
            dir: self.dir,
        };
        assert!(!hung, "it did not end in {LONGEST:?} and was killed\n{}", ran.report());
        ran
    }

    /// Starts it and returns at once; its output goes nowhere unless a test redirects it.
    pub fn spawn(mut self) -> Child {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// What a call left behind.
#[derive(Debug)]
pub struct Ran {
    /// The exit status; a signal's number with a minus sign.
    pub status: i32,
    pub out: String,
    pub err: String,
    shown: String,
    line: String,
    dir: PathBuf,
}

impl Ran {
    /// Compares command line, script, status, output and messages with `tests/golden/<name>`. The test's own
    /// directory is written `<dir>` there.
    #[track_caller]
    pub fn golden(&self, name: &str) -> &Self {
        let mut report = format!("$ {}\n", self.line);
        for (label, text) in [("script", &self.shown), ("out", &self.out), ("err", &self.err)] {
            if text.is_empty() {
                continue;
            }
            report.push_str(&format!("[{label}]\n{text}"));
            if !text.ends_with('\n') {
                report.push_str("[no newline]\n");
            }
        }
        report.push_str(&format!("[status {}]\n", self.status));
        golden::check(name, &report.replace(&*self.dir.to_string_lossy(), "<dir>"));
        self
    }

    /// Fails the test with everything that was said unless the status is this one.
    #[track_caller]
    pub fn status(&self, expected: i32) -> &Self {
        assert!(self.status == expected, "expected status {expected}\n{}", self.report());
        self
    }

    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.status(0)
    }

    /// Standard error holds this text (compared without case).
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(
            self.err.to_lowercase().contains(&text.to_lowercase()),
            "standard error does not say {text:?}\n{}",
            self.report()
        );
        self
    }

    /// Standard output holds this text, exactly.
    #[track_caller]
    pub fn prints(&self, text: &str) -> &Self {
        assert!(self.out.contains(text), "standard output does not hold {text:?}\n{}", self.report());
        self
    }

    /// These lines are printed, in this order, with others between them or not.
    #[track_caller]
    pub fn prints_lines(&self, expected: &[&str]) -> &Self {
        let mut lines = self.out.lines();
        for line in expected {
            assert!(
                lines.any(|printed| printed == *line),
                "{line:?} is not printed there\n{}",
                self.report()
            );
        }
        self
    }

    pub fn report(&self) -> String {
        format!(
            "--- script\n{}\n--- status {}\n--- standard output\n{}\n--- standard error\n{}",
            self.shown, self.status, self.out, self.err
        )
    }
}

/// Blocks until the script writes this line.
pub fn wait_for_line(child: &mut Child, expected: &str) {
    use std::io::{BufRead as _, Read as _};
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        if line == expected {
            // Keep the pipe open, so that the program never meets a closed one.
            std::mem::forget(lines);
            return;
        }
        seen.push(line);
    }
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    panic!("the script ended without {expected:?}: {seen:?}\n{err}");
}

/// Quotes a path for a script.
pub fn q(path: &Path) -> String {
    format!("\"{}\"", path.to_str().expect("a path for a script is UTF-8").replace('"', "\"\""))
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Is a program installed?
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Says why a test cannot run here; `scripts/test` lists the reasons at its end.
pub fn skip(test: &str, reason: &str) {
    eprintln!("skipped: {test}: {reason}");
    if let Some(list) = std::env::var_os("DTCL_TEST_SKIPS") {
        let mut list = std::fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
        writeln!(list, "{test}: {reason}").unwrap();
    }
}

/// `needs!(root, "rsync")`: returns from the test with a printed reason when something is missing.
#[macro_export]
macro_rules! needs {
    (@one root) => { (!$crate::support::is_root()).then(|| "needs root".to_string()) };
    (@one $program:literal) => {
        (!$crate::support::have($program)).then(|| format!("needs the program {}", $program))
    };
    ($($what:tt),+ $(,)?) => {
        $(if let Some(reason) = $crate::needs!(@one $what) {
            let name = std::thread::current().name().unwrap_or("a test").to_string();
            $crate::support::skip(&name, &reason);
            return;
        })+
    };
}
