//! The log as people read it: LOG at the prompt and from another client, LOG WRITE, LogViewer.

use crate::support::served::Served;
use crate::support::{Home, pty};
use nix::sys::signal::Signal;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A program that goes on until it is told to end.
struct Follows {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Follows {
    fn start(mut command: Command) -> Follows {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Follows { child, lines }
    }

    fn until(&mut self, text: &str) -> String {
        let found = self.lines.by_ref().map(Result::unwrap).find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("it ended without {text}"))
    }

    /// Ctrl-C.
    fn end(mut self) -> Option<i32> {
        pty::kill(self.child.id(), Signal::SIGINT);
        self.child.wait().unwrap().code()
    }
}

/// A line without what differs from run to run: type, number, text.
fn tail(line: &str) -> String {
    line.splitn(6, ' ').last().unwrap().to_owned()
}

#[test]
fn the_last_lines_are_shown_and_those_that_are_not_wanted_left_out() {
    let home = Home::new();
    let mut said = String::new();
    for number in 1..=30 {
        said.push_str(&format!("log write \"note {number}\"\n"));
    }
    home.script(&said).ok();
    let shown =
        |text: &str| -> Vec<String> { home.dtcl().text(text).run().ok().out.lines().map(tail).collect() };
    assert_eq!(shown("log 2 include 4013"), ["2 4013 note 29", "2 4013 note 30"]);
    assert_eq!(shown("log include 4013").len(), 20);
    assert_eq!(shown("log 100 include 4000-4012, 4013").len(), 30);
    assert_eq!(shown("log 100 exclude 4013-4020 include 4013"), Vec::<String>::new());
    assert_eq!(shown("log 100 type 1 include 4013"), Vec::<String>::new());
    let json = home.dtcl().arg("--json").text("log 1 include 4013").run();
    for words in ["\"text\":\"note 30\"", "\"id\":4013", "\"type\":2"] {
        json.ok().prints(words);
    }
    home.dtcl().text("log type 3").run().status(1).says("3 is no type of message");
    home.dtcl().text("log write \"\"").run().status(1).says("1 to 1024 characters");
    home.dtcl().text("log 5 include x").run().status(1).says("`x` is not an ID");
}

#[test]
fn whoever_follows_sees_what_another_writes_until_it_is_interrupted() {
    let home = Home::new();
    let _served = Served::start(&home);
    let write = |text: &str| home.dtcl().args(["log", "write", text]).run().ok().out.clone();
    write("before");
    let mut log = Follows::start(home.dtcl().text("log 1 follow include 4013").command());
    let mut viewer = Follows::start(home.dtcl().args(["logviewer", "-include", "4013", "-noid"]).command());
    // The name alone asks for it, as an installation has it.
    let name = home.path("LogViewer");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_DTCL"), &name).unwrap();
    let mut named = Command::new(name);
    named.arg("-type").arg("2").env("DTCL_HOME", home.home());
    let mut named = Follows::start(named);
    assert_eq!(tail(&log.until("before")), "2 4013 before");
    assert_eq!(tail(&viewer.until("before")), "2 before");
    named.until("2 4000 The service has started");
    for text in ["one", "two"] {
        write(text);
        assert_eq!(tail(&log.until(text)), format!("2 4013 {text}"));
        assert_eq!(tail(&viewer.until(text)), format!("2 {text}"));
        named.until(text);
    }
    assert_eq!((log.end(), viewer.end(), named.end()), (Some(6), Some(0), Some(0)));
}

#[test]
fn logviewer_shows_a_file_and_says_what_is_wrong() {
    let home = Home::new();
    home.dtcl().args(["logviewer", "-help"]).run().ok().golden("cli/logviewer-help");
    home.dtcl().args(["logviewer", "-tipe", "1"]).run().status(2).golden("cli/usage-logviewer");
    let missing = home.dtcl().args(["logviewer", "-path", "/no/such.dtl"]).run();
    missing.status(1).says("/no/such.dtl cannot be read");
    let file = home.file("old.dtl", "05/14/2024 08:31:07.1250 77 2244 5 1 4110 no room\nno line of a log\n");
    let mut viewer = Follows::start(home.dtcl().args(["LogViewer", "-PATH"]).arg(file).command());
    assert_eq!(viewer.until("no room"), "05/14/2024 08:31:07.1250 77 2244 5 1 4110 no room");
    assert_eq!(viewer.end(), Some(0));
    assert!(!home.home().exists(), "nothing was made");
}
