//! The command line: forms, exit statuses, what is said on which stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::Home;

#[test]
fn a_wrong_command_line_names_what_would_be_right() {
    let home = Home::new();
    for (name, args) in [
        ("nothing", &[][..]),
        ("unknown-option", &["--jsn", "-i"]),
        ("unknown-option-json", &["--json", "--chek", "x"]),
        ("file-missing", &["-f"]),
        ("check-missing", &["--check"]),
        ("words-after-text", &["-c", "write", "1"]),
        ("words-after-shell", &["-i", "status"]),
        ("drain-timeout", &["--drain-timeout", "soon", "-i"]),
        ("value-of-a-switch", &["--json=yes", "-i"]),
        ("dry-run-shell", &["--dry-run", "-i"]),
        ("serve-word", &["serve", "now"]),
        ("timeout", &["--timeout", "soon", "-f", "x"]),
        ("timeout-shell", &["--timeout", "5", "-i"]),
        ("var", &["--var", "result=1", "-f", "x"]),
        ("limit", &["--limit", "dept=5", "-f", "x"]),
        ("loud", &["-v", "-q", "-c", "x"]),
    ] {
        home.dtcl().args(args).run().status(2).golden(&format!("cli/usage-{name}"));
    }
}

#[test]
fn help_and_version_print_and_end_well() {
    let home = Home::new();
    home.dtcl().arg("--help").run().ok().golden("cli/help");
    home.dtcl().arg("--version").run().ok().prints(concat!("DTCL ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn output_that_nobody_reads_ends_quietly() {
    let home = Home::new();
    let mut child = home.dtcl().arg("--help").command();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = child.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn each_form_runs() {
    let home = Home::new();
    home.dtcl().text("write 1; write 2").run().ok().golden("cli/form-text");
    home.dtcl().args(["write", "a b", "'c'", "d"]).run().ok().golden("cli/form-words");
    home.dtcl()
        .script("write $1 \" \" $argc\nwrite $script")
        .args(["--json", "x y"])
        .run()
        .ok()
        .golden("cli/form-script");
    home.dtcl().args(["-f", "-", "one"]).stdin("write $1").run().ok().prints("one\n");
    home.dtcl().arg("-i").stdin("write 1\n").run().ok().prints("Command:  write 1\n  1\n");
    home.file("good.dtcl", "write 1\n");
    home.dtcl().args(["--check", "good.dtcl"]).run().ok().golden("cli/form-check");
}

#[test]
fn a_script_may_begin_with_the_programs_name() {
    let home = Home::new();
    home.dtcl().script("#!/usr/bin/env -S DTCL -f\nwrite 1\n").run().ok().prints("1\n");
}

#[test]
fn the_status_says_how_it_ended() {
    let home = Home::new();
    home.dtcl().text("write 1").run().status(0);
    home.dtcl().text("mirror start 9").run().status(1).golden("cli/status-1");
    home.dtcl().text("write 1; frobnicate").run().status(2).golden("cli/status-2");
    home.dtcl().text("source no-such-host.invalid; write 1").run().status(4).golden("cli/status-4");
    home.dtcl().text("exit 77").run().status(77);
    home.dtcl().text("$r = mirror start 9; write $r").run().status(0).prints("-107\n");
    home.dtcl().text("on error continue; mirror start 9; write 1").run().status(1).prints("1\n");
    home.dtcl().arg("-i").stdin("mirror start 9\n").run().status(0);
}

#[test]
fn the_status_is_the_same_in_json() {
    let home = Home::new();
    home.dtcl().arg("--json").text("write 1").run().status(0).golden("cli/status-0-json");
    home.dtcl().arg("--json").text("mirror start 9").run().status(1).golden("cli/status-1-json");
    home.dtcl().arg("--json").text("write 1; frobnicate").run().status(2).golden("cli/status-2-json");
}

#[test]
fn a_script_that_cannot_be_read_is_wrong_usage() {
    let home = Home::new();
    home.dtcl().args(["-f", "nowhere.dtcl"]).run().status(2).golden("cli/script-missing");
    home.dtcl().args(["--json", "-f", "nowhere.dtcl"]).run().status(2).golden("cli/script-missing-json");
    home.dtcl().args(["-f", "."]).run().status(2).golden("cli/script-directory");
    home.dtcl().args(["-f", "x\u{1}"]).run().status(2);
    // A binary file is no script either.
    home.file("binary", [0x7f, b'E', b'L', b'F', 0xff, 0xfe, 0, 1, 2]);
    home.dtcl().args(["-f", "binary"]).run().status(2);
}

#[test]
fn check_reports_everything_and_runs_nothing() {
    let home = Home::new();
    home.file(
        "bad.dtcl",
        "write 1\nfrobnicate\nset NoSuchOption = 1\nset ChecksumAll = 7\nwrite $never\nif 1 = 1 then\n",
    );
    home.file("good.dtcl", "write 1\n");
    home.dtcl().args(["--check", "good.dtcl", "bad.dtcl", "gone.dtcl"]).run().status(2).golden("cli/check");
    home.dtcl().args(["--check", "--json", "bad.dtcl"]).run().status(2).golden("cli/check-json");
    home.dtcl().args(["--check", "good.dtcl"]).run().ok();
}

#[test]
fn scripts_are_formatted_in_place() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let home = Home::new();
    let ugly = "IF $argc<2 THEN\nwrite   1 # one\nEND";
    let formed = "IF $argc < 2 THEN\n  write 1  # one\nEND\n";
    let path = home.file("ugly.dtcl", format!("\u{feff}{ugly}"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
    let well = home.file("well.dtcl", formed);
    let inode = std::fs::metadata(&well).unwrap().ino();
    home.file("bad.dtcl", "IF $a THEN\nwrite \"x\n");
    let bad = std::fs::read(home.path("bad.dtcl")).unwrap();

    let files = ["ugly.dtcl", "well.dtcl", "bad.dtcl", "gone.dtcl"];
    home.dtcl().args(["fmt", "--check"]).args(files).run().status(2).golden("cli/fmt-check");
    home.dtcl().args(["fmt", "--check", "--json"]).args(files).run().status(2).golden("cli/fmt-check-json");
    home.dtcl().args(["fmt", "--check", "ugly.dtcl"]).run().status(1).prints("ugly.dtcl\n");
    assert!(std::fs::read_to_string(&path).unwrap().ends_with(ugly), "--check writes nothing");

    home.dtcl().arg("fmt").args(files).run().status(2).golden("cli/fmt");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("\u{feff}{formed}"));
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o750);
    assert_eq!(std::fs::metadata(&well).unwrap().ino(), inode, "what is formatted is not touched");
    assert_eq!(std::fs::read(home.path("bad.dtcl")).unwrap(), bad);
    home.dtcl().args(["FMT", "--check", "ugly.dtcl", "well.dtcl"]).run().ok().prints("");
}

#[test]
fn standard_input_is_formatted_to_standard_output() {
    let home = Home::new();
    home.dtcl().arg("fmt").stdin("write   1").run().ok().prints("write 1\n");
    home.dtcl().args(["fmt", "-"]).stdin("write   1").run().ok().prints("write 1\n");
    home.dtcl().args(["fmt", "--check", "-"]).stdin("write   1").run().status(1).prints("-\n");
    home.dtcl().arg("fmt").stdin("write \"1").run().status(2).prints("");
    home.dtcl().args(["fmt", "--chek"]).run().status(2).says("did you mean --check?");
    home.dtcl().args(["-q", "fmt", "-"]).run().status(2).says("not for fmt");
}

#[test]
fn a_password_on_the_command_line_is_refused() {
    let home = Home::new();
    let ran = home.dtcl().args(["login", "localhost", "somebody", "secret-word"]).run();
    assert_ne!(ran.status, 0);
    assert!(!ran.out.contains("DT_FULL_ACCESS"), "{}", ran.report());
    home.dtcl().text("login localhost somebody secret-word").run().says("can be read by every user");
    // A file is not listed by other users.
    home.script("login localhost somebody secret-word")
        .ok()
        .prints("User access level set to DT_FULL_ACCESS");
}

/// Starts a script that says when it is under way, and hands its process over then.
fn under_way(
    home: &Home,
    rest: &str,
) -> (std::process::Child, std::io::BufReader<std::process::ChildStdout>) {
    use std::io::BufRead as _;
    let text = format!("write \"under way\"\n{rest}\n");
    let mut child = home
        .dtcl()
        .script(text)
        .command()
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    // What was printed is to be seen before the script waits.
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "under way\n");
    (child, out)
}

#[test]
fn a_signal_stops_a_script_with_status_6() {
    use nix::sys::signal::Signal;
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        for rest in ["sleep 1000", "sleep 1000 hours", "while 1 = 1 do sleep 0 end"] {
            let home = Home::new();
            let (mut child, mut out) = under_way(&home, &format!("{rest}\nwrite \"never\""));
            support::pty::kill(child.id(), signal);
            let status = child.wait().unwrap();
            let mut left = String::new();
            std::io::Read::read_to_string(&mut out, &mut left).unwrap();
            assert_eq!(status.code(), Some(6), "{signal} in {rest}");
            assert_eq!(left, "", "{signal} in {rest}");
        }
    }
}

#[test]
fn a_script_whose_output_nobody_reads_ends() {
    let home = Home::new();
    let (mut child, out) = under_way(&home, "while 1 = 1 do write \"more\" end");
    drop(out);
    let status = child.wait().unwrap();
    let mut err = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
    assert_eq!(err, "");
    assert_eq!(status.code(), Some(6));
}

#[test]
fn one_run_at_a_time_holds_the_lock() {
    use nix::sys::signal::Signal;
    let home = Home::new();
    let lock = home.path("lock");
    let mut child = home
        .dtcl()
        .arg("--lock")
        .arg(&lock)
        .script("write \"under way\"\nsleep 1000\n")
        .command()
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut String::new()).unwrap();
    let second = || home.dtcl().arg("--lock").arg(&lock).text("write 2").run();
    second().status(1).says(&format!("lock is held by process {}", child.id()));
    assert_eq!(second().out, "");
    support::pty::kill(child.id(), Signal::SIGKILL);
    child.wait().unwrap();
    second().ok().prints("2\n");
}

#[test]
fn a_run_ends_when_its_time_is_over() {
    let home = Home::new();
    home.file("m.rhai", "fn f() {\n  loop { }\n}\n");
    for rest in ["sleep 1000", "while 1 = 1 do $x = 1 end", "$r = sleep 1000", "use \"m.rhai\"; $x = f()"] {
        let script = format!("ON ERROR CONTINUE\n{rest}\nwrite \"never\"\n");
        let ran =
            home.dtcl().args(["--timeout", "1", "--limit", "operations=1000000000"]).script(script).run();
        ran.status(5).says("the run took longer than 1 s");
        assert_eq!(ran.out, "", "{rest}");
    }
    home.dtcl().args(["--timeout", "1000"]).text("write 1").run().ok();
}

#[test]
fn a_signal_stops_a_module_that_does_not_end() {
    use nix::sys::signal::Signal;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let home = Home::new();
        home.file("m.rhai", "fn f() {\n  loop { try { sleep(1) } catch { } }\n}\n");
        let (mut child, _out) = under_way(&home, "use \"m.rhai\"\nf()");
        support::pty::kill(child.id(), signal);
        let mut err = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(6), "{err}");
        assert!(err.contains("script.dtcl:3:1: error: stopped") && err.contains("m.rhai:2:"), "{err}");
    }
}

#[test]
fn batch_options_do_what_they_say() {
    let home = Home::new();
    let log = home.path("run.log");
    let script = "write $set\nrepset list\n$r = login localhost nobody secret-word\nmirror start 9\n";
    let run = |option: &str| {
        home.dtcl().arg(option).arg("--log").arg(&log).args(["--var", "set=pay roll"]).script(script).run()
    };
    let quiet = run("-q");
    quiet.status(1).says("error -107");
    assert_eq!(quiet.out, "");
    let loud = run("-v");
    assert!(loud.out.starts_with("pay roll\n"), "{}", loud.report());
    loud.says("+ script.dtcl:2: repset list").says("+ script.dtcl:3: login ...");
    assert!(!loud.err.contains("secret-word"), "{}", loud.report());
    let kept = std::fs::read_to_string(&log).unwrap();
    assert_eq!(kept.matches(" pay roll\n").count(), 2, "{kept}");
    assert_eq!(kept.matches("error -107").count(), 2, "{kept}");
    assert!(!kept.contains("secret-word") && kept.contains("+ script.dtcl:2: repset list"), "{kept}");
    home.dtcl().args(["--log", "/nowhere/x"]).text("write 1").run().status(2).says("/nowhere/x");
}

#[test]
fn limits_of_modules_can_be_raised() {
    let home = Home::new();
    home.file("m.rhai", "fn f(n) { let l = []; for i in 0..n { l.push(i); } l.len() }\n");
    let script = "use \"m.rhai\"\nwrite (f(20000))\n";
    home.dtcl().script(script).run().status(1).says("f: a list has more than 10000 items");
    home.dtcl().args(["--limit", "list=30000"]).script(script).run().ok().prints("20000\n");
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let home = Home::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let child =
        home.dtcl().text("write 1").command().stdout(full).stderr(std::process::Stdio::piped()).spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write standard output"));
}

#[test]
fn without_a_home_only_what_needs_one_fails() {
    let home = Home::new();
    let without = || home.dtcl().env("DTCL_HOME", "/dev/null/home");
    without().text("write 1").run().ok().prints("1\n");
    without().text("repset list").run().status(1).says("/dev/null/home");
}

#[test]
fn a_run_that_only_prints_makes_no_home() {
    let home = Home::new();
    home.dtcl().text("write 1").run().ok();
    assert!(!home.home().exists());
}

/// Enough files that their mirror is not done before it is paused.
fn many_files(home: &Home) {
    for number in 0..1500 {
        home.file(&format!("data/{}/{number}", number % 30), "content");
    }
}

/// A script that has a connection with a mirror that does not end: it is paused.
const PAUSED: &str = "repset create data\nrepset rule add $1 include to data\nrepset save\n\
    $con = connect data to localhost map base $2\nmirror pause $con\nwrite \"under way\"\n";

#[test]
fn a_signal_ends_a_wait_and_names_the_connection_that_ended_with_it() {
    use nix::sys::signal::Signal;
    let home = Home::new();
    many_files(&home);
    let script = format!("{PAUSED}waitonmirror $con\nwrite \"never\"\n");
    let mut child = home
        .dtcl()
        .script(script)
        .args([home.path("data"), home.path("copy")])
        .command()
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    support::pty::kill(child.id(), Signal::SIGTERM);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{err}");
    assert!(err.contains("error: stopped"), "{err}");
    assert!(err.contains("connection 1 of data to localhost: stopped before it was complete"), "{err}");
}

#[test]
fn a_wait_inside_a_module_ends_at_its_limit() {
    let home = Home::new();
    many_files(&home);
    home.file("m.rhai", "fn f(con) {\n  run(`waitonmirror ${con}`).value\n}\n");
    let script = format!(
        "{PAUSED}use \"m.rhai\"\nON ERROR CONTINUE\n$before = now()\n$x = f($con)\n$took = now() - $before\n\
         IF $took > 2 THEN write \"too late: \" $took END\n"
    );
    let ran = home
        .dtcl()
        .args(["--limit", "time=1"])
        .script(script)
        .args([home.path("data"), home.path("copy")])
        .run();
    ran.status(1).prints("under way\n").says("f: it took longer than 1 s").says("m.rhai:2:");
    assert!(!ran.out.contains("too late"), "{}", ran.report());
}

#[test]
fn a_wait_that_runs_out_of_time_gives_status_5() {
    let home = Home::new();
    many_files(&home);
    let script = format!("{PAUSED}waitonmirror $con timeout = 0\nwrite \"never\"\n");
    let ran = home.dtcl().script(script).args([home.path("data"), home.path("copy")]).run();
    ran.status(5).prints("under way\n").says("the time ran out");
    assert!(!ran.out.contains("never"), "{}", ran.report());
}

#[test]
fn the_second_signal_ends_a_program_that_does_not_hear_the_first() {
    use nix::sys::signal::Signal;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::{Duration, Instant};
    let home = Home::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut child = home
        .dtcl()
        .text("while 1 = 1 do write \"a line that fills the pipe\" end")
        .command()
        .stdout(writer)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let id = child.id();
    // It is under way. From here on nobody reads the pipe, though somebody could: writing blocks.
    std::io::Read::read_exact(&mut reader, &mut [0; 1]).unwrap();
    let (sender, ended) = channel();
    std::thread::spawn(move || sender.send(child.wait().unwrap()));
    let start = Instant::now();
    let status = loop {
        support::pty::kill(id, Signal::SIGTERM);
        match ended.recv_timeout(Duration::from_millis(400)) {
            Ok(status) => break status,
            Err(RecvTimeoutError::Timeout) if start.elapsed() < Duration::from_secs(20) => {}
            Err(why) => panic!("it did not end: {why}"),
        }
    };
    assert_eq!(status.code(), Some(6));
}
