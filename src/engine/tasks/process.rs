//! One program to its end: no shell, a limited environment, a process group of its own, bounded output, a bounded time.
//!
//! Invariants: the caller is back soon after the program's own end, whatever it has left behind, and whoever holds its output
//! open; output past the limit is read and dropped, so that the program never waits for it; a group that took too long is
//! killed before the program is waited for, so the number is still its own.

use crate::api::TaskEnd;
use crate::sys;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long nothing may happen until it is looked again.
const LOOK: Duration = Duration::from_millis(20);
/// Most bytes of the output that are kept from its begin, and of its end.
const HEAD: usize = 64 << 10;
const TAIL: usize = 4 << 10;
/// How long a killed program may take to be gone: one in the midst of a system call that cannot be interrupted is left behind.
const DYING: Duration = Duration::from_secs(10);
/// What programs find others in.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is to be run.
#[derive(Debug)]
pub(super) struct Program {
    pub words: Vec<OsString>,
    pub variables: Vec<(&'static str, String)>,
    /// None: as the engine's own user.
    pub user: Option<RunsAs>,
    /// None: however long it takes.
    pub limit: Option<Duration>,
}

/// A user that can be become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct RunsAs {
    pub uid: u32,
    pub gid: u32,
    pub home: String,
}

/// What was printed, standard output and error together.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// The first of it.
    pub head: Vec<u8>,
    /// The last of it, as far as it is not all in `head`.
    pub tail: Vec<u8>,
    /// All bytes that there were.
    pub bytes: u64,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Ran {
    pub end: TaskEnd,
    pub output: Output,
    pub took: Duration,
}

/// A program that runs.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// None: it is closed, or nothing more is wanted.
    pipe: Option<PipeReader>,
    output: Output,
    began: Instant,
    limit: Option<Duration>,
}

impl Output {
    /// The last of it.
    pub(super) fn end(&self) -> &[u8] {
        if self.bytes <= HEAD as u64 {
            &self.head[self.head.len().saturating_sub(TAIL)..]
        } else {
            &self.tail
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let room = HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
    }
}

impl Program {
    /// Starts it. The error says what could not be done.
    pub(super) fn start(&self) -> io::Result<Running> {
        let (reader, writer) = io::pipe()?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let program = self.words.first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command
            .args(&self.words[1..])
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.user.as_ref().map_or("/", |user| user.home.as_str()))
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        if let Some(user) = &self.user {
            // What is root gives up its other groups with this.
            command.uid(user.uid).gid(user.gid);
        }
        sys::starts_apart(&mut command);
        // The thread that starts it may be one that others must not wait for; this is none.
        let hurried = sys::calm().unwrap_or(false);
        let child = command.spawn();
        if hurried {
            let _ = sys::hurry();
        }
        let child = child?;
        // The command holds the pipe's other end.
        drop(command);
        let (began, limit) = (Instant::now(), self.limit);
        Ok(Running { child, pipe: Some(reader), output: Output::default(), began, limit })
    }
}

impl Running {
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end. `stop`: whether it is to be killed; asked again and again.
    pub(super) fn wait(mut self, stop: &dyn Fn() -> bool) -> Ran {
        let end = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break ended(status),
                Ok(None) => {}
                // It is nobody's child any more.
                Err(_) => break TaskEnd::Unknown,
            }
            let late = self.limit.is_some_and(|limit| self.began.elapsed() >= limit);
            if late || stop() {
                self.kill();
                break if late { TaskEnd::TimedOut } else { TaskEnd::Killed };
            }
            self.listen(
                self.limit.map_or(LOOK, |limit| limit.saturating_sub(self.began.elapsed()).min(LOOK)),
            );
        };
        // What it printed before its end is in the pipe; what others print later is theirs.
        self.read();
        Ran { end, output: self.output, took: self.began.elapsed() }
    }

    /// Its group is killed: it is not waited for yet, so the number is no one else's.
    fn kill(&mut self) {
        if let Ok(process) = i32::try_from(self.child.id()) {
            match killpg(Pid::from_raw(process), Signal::SIGKILL) {
                // It may have ended just now.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => {
                    tracing::error!("The process group {process} of a task cannot be killed: {error}")
                }
            }
        }
        let deadline = Instant::now() + DYING;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            self.listen(LOOK);
        }
    }

    /// Reads what there is, for which it waits a while.
    fn listen(&mut self, wait: Duration) {
        let Some(pipe) = &self.pipe else { return std::thread::sleep(wait) };
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            _ => self.read(),
        }
    }

    /// Reads what there is now, of one that prints without end a part.
    fn read(&mut self) {
        let mut buffer = [0; 16 << 10];
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.output.take(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}

fn ended(status: ExitStatus) -> TaskEnd {
    match (status.code(), status.signal()) {
        (Some(code), _) => TaskEnd::Exited(code),
        (None, Some(signal)) => TaskEnd::Signalled(signal),
        (None, None) => TaskEnd::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program {
            words: ["/bin/sh", "-c", script].map(OsString::from).to_vec(),
            variables: vec![("DT_JOB", "a job".to_owned())],
            user: None,
            limit: Some(Duration::from_secs(20)),
        }
    }

    fn run(program: &Program) -> Ran {
        program.start().unwrap().wait(&|| false)
    }

    fn is_alive(process: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // One that is dead and not waited for has no life either.
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn its_exit_status_or_signal_is_told() {
        assert_eq!(run(&shell("exit 0")).end, TaskEnd::Exited(0));
        assert_eq!(run(&shell("exit 7")).end, TaskEnd::Exited(7));
        assert_eq!(run(&shell("kill -TERM $$")).end, TaskEnd::Signalled(15));
        let missing = Program { words: vec!["/no/such/program".into()], ..shell("") };
        assert_eq!(missing.start().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn it_gets_what_it_is_to_have_and_nothing_else() {
        // Open here, and not there.
        let file = tempfile::NamedTempFile::new().unwrap();
        let ran = run(&shell("env; pwd; cat; echo wrong >&2; ls -l /proc/self/fd >&2"));
        let text = String::from_utf8(ran.output.head).unwrap();
        assert!(!text.contains(file.path().to_str().unwrap()), "{text}");
        let is_own =
            |line: &&str| !line.starts_with("_=") && !line.contains(" -> ") && !line.starts_with("total");
        let mut lines: Vec<&str> = text.lines().filter(is_own).collect();
        lines.sort_unstable();
        let path = format!("PATH={PATH}");
        assert_eq!(lines, ["/", "DT_JOB=a job", "HOME=/", path.as_str(), "PWD=/", "wrong"], "{text}");
    }

    #[test]
    fn a_task_that_forks_is_killed_with_all_its_group_when_it_takes_too_long() {
        let program =
            Program { limit: Some(Duration::from_millis(300)), ..shell("sleep 77 & echo $!; sleep 78") };
        let began = Instant::now();
        let ran = run(&program);
        assert_eq!(ran.end, TaskEnd::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let child: i32 = String::from_utf8(ran.output.head).unwrap().trim().parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_alive(child) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!is_alive(child), "{child} lives on");
    }

    #[test]
    fn what_it_leaves_behind_is_not_waited_for_and_lives_on() {
        let began = Instant::now();
        // The daemon keeps the output open.
        let ran = run(&shell("setsid sleep 30 & echo $!; echo ready"));
        assert_eq!(ran.end, TaskEnd::Exited(0));
        assert!(began.elapsed() < Duration::from_secs(10));
        let text = String::from_utf8(ran.output.head).unwrap();
        assert!(text.ends_with("ready\n"), "{text}");
        let daemon: i32 = text.lines().next().unwrap().parse().unwrap();
        assert!(is_alive(daemon));
        nix::sys::signal::kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
    }

    #[test]
    fn one_that_closes_its_output_is_waited_for() {
        let ran = run(&shell("exec >&- 2>&-; sleep 0.3; exit 3"));
        assert_eq!(ran.end, TaskEnd::Exited(3));
        assert!(ran.took >= Duration::from_millis(300));
    }

    #[test]
    fn output_is_bounded_and_never_holds_the_task_up() {
        let ran = run(&shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end"));
        assert_eq!(ran.end, TaskEnd::Exited(0));
        assert_eq!((ran.output.bytes, ran.output.head.len()), (3_000_009, HEAD));
        assert!(ran.output.end().ends_with(b"x\nthe end\n"));
        assert_eq!(ran.output.end().len(), TAIL);
        let ran = run(&shell("echo short"));
        assert_eq!(ran.output.end(), b"short\n");
        // One that prints without end is ended by its time all the same.
        let ran = run(&Program { limit: Some(Duration::from_millis(200)), ..shell("yes") });
        assert_eq!(ran.end, TaskEnd::TimedOut);
    }

    #[test]
    fn whoever_wants_it_to_stop_is_heard() {
        let ran = shell("sleep 60").start().unwrap().wait(&|| true);
        assert_eq!(ran.end, TaskEnd::Killed);
    }

    #[test]
    fn it_becomes_its_user_without_other_groups() {
        if !sys::is_root() {
            eprintln!("skipped: only root can become another user");
            return;
        }
        let user = RunsAs { uid: 65534, gid: 65534, home: "/nonexistent".into() };
        let ran = run(&Program { user: Some(user), ..shell("id -u; id -G; echo $HOME") });
        assert_eq!(String::from_utf8(ran.output.head).unwrap(), "65534\n65534\n/nonexistent\n");
    }

    /// The applier's thread asks for short slices; what it starts gets what everybody gets.
    #[test]
    fn it_is_not_hurried_as_who_starts_it_is() {
        let nice = || {
            let ran = run(&shell("cut -d' ' -f19 /proc/self/stat"));
            String::from_utf8(ran.output.head).unwrap().trim().to_owned()
        };
        let usual = nice();
        let hurried = std::thread::spawn(move || {
            let _ = sys::hurry();
            nice()
        });
        assert_eq!(hurried.join().unwrap(), usual);
    }
}
