//! The shell's comforts on a pseudo-terminal: keys in, screen out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use support::pty::Pty;
use support::served::Served;
use support::{Home, q};

const PROMPT: &str = "Command:  ";

fn shell(home: &Home) -> Pty {
    sized(home, 100, 30)
}

fn sized(home: &Home, columns: u16, rows: u16) -> Pty {
    let mut pty = Pty::sized(home.dtcl().arg("-i").env("TERM", "xterm"), columns, rows);
    pty.expect(PROMPT);
    pty
}

/// Runs a statement and waits for the next prompt.
#[track_caller]
fn run(pty: &mut Pty, statement: &str) {
    pty.send(statement);
    // The prompt is drawn anew with each key.
    pty.settle();
    pty.send("\r");
    pty.expect("\n");
    pty.expect(PROMPT);
}

/// Ends connections, as asked.
fn disconnect(pty: &mut Pty, which: &str) {
    pty.send(&format!("disconnect {which}\r"));
    pty.expect("[y/N]");
    pty.send("y\r");
    pty.expect("\n");
    pty.expect(PROMPT);
}

/// Gives up the line.
fn give_up(pty: &mut Pty) {
    pty.settle();
    pty.send("\x03");
    pty.expect(PROMPT);
}

fn leave(mut pty: Pty) -> String {
    pty.send("exit 0\r");
    let (status, screen) = pty.end();
    assert_eq!(status, 0, "{screen}");
    screen
}

/// A saved set of `data`, whose copy is to be `copy`.
fn payroll(home: &Home) -> String {
    home.file("data/a", "one");
    format!(
        "repset create payroll\nrepset rule add {} include to payroll\nrepset save\n",
        q(&home.path("data"))
    )
}

#[test]
fn names_with_blanks_and_quotes_are_completed_so_that_they_can_be_read() {
    let home = Home::new();
    home.script("repset create \"my set\"\nrepset create \"it's\"\nrepset create plain\nrepset save\n").ok();
    let mut pty = shell(&home);
    run(&mut pty, "repset list");
    pty.send("repset display my\t");
    pty.expect("repset display \"my set\" ");
    give_up(&mut pty);
    pty.send("repset display it\t");
    pty.expect("repset display \"it's\" ");
    give_up(&mut pty);
    pty.send("repset display 'my\t");
    pty.expect("repset display 'my set' ");
    give_up(&mut pty);
    pty.send("REPSET DISPLAY PL\t");
    pty.expect("REPSET DISPLAY plain ");
    give_up(&mut pty);
    pty.send("write 1; repset display pl\t");
    pty.expect("repset display plain ");
    give_up(&mut pty);
    leave(pty);
}

#[test]
fn names_with_line_ends_break_neither_lists_nor_the_line() {
    let home = Home::new();
    home.file("odd/one\ntwo", "");
    home.file("odd/a b/x", "");
    home.file("odd/say \"so\"", "");
    let mut pty = shell(&home);
    let odd = home.path("odd").display().to_string();
    run(&mut pty, &format!("chdir {odd}"));
    pty.send("dir\r");
    pty.expect("one\\ntwo");
    pty.expect(PROMPT);
    // What no command can name is not offered.
    pty.send("dir on\t");
    pty.settle();
    assert!(pty.lines().iter().any(|line| line == "Command:  dir on"), "{:?}", pty.lines());
    give_up(&mut pty);
    pty.send("dir a\t");
    pty.expect("dir \"a b/");
    give_up(&mut pty);
    pty.send("dir s\t");
    pty.expect("dir 'say \"so\"'");
    give_up(&mut pty);
    leave(pty);
}

#[test]
fn options_and_their_values_are_completed() {
    let home = Home::new();
    let mut pty = shell(&home);
    run(&mut pty, "get ChecksumAll");
    pty.send("set checksuma\t");
    pty.expect("set ChecksumAll ");
    pty.send("= \t\t");
    pty.expect("0 (compare by attributes)");
    pty.expect("1 (now; default; compare by checksums)");
    give_up(&mut pty);
    pty.send("getdefault mirrorchunk\t");
    pty.expect("getdefault MirrorChunkSize ");
    give_up(&mut pty);
    leave(pty);
}

#[test]
fn connections_are_listed_with_their_sets_and_jobs_by_name() {
    let home = Home::new();
    let set = payroll(&home);
    home.script(&format!("{set}repset copy payroll to other\nrepset save\n")).ok();
    let mut pty = shell(&home);
    for (name, place) in [("payroll", "copy"), ("other", "second")] {
        run(&mut pty, &format!("connect {name} to localhost map base {}", q(&home.path(place))));
    }
    run(&mut pty, "queuetask nightly to localhost onexecute = \"/bin/true\"");
    pty.send("mirror stop \t\t");
    pty.expect("1 (payroll to localhost)");
    pty.expect("2 (other to localhost)");
    give_up(&mut pty);
    pty.send("task status ni\t");
    pty.expect("task status nightly ");
    give_up(&mut pty);
    pty.send("connect payroll to loc\t");
    pty.expect("connect payroll to localhost ");
    give_up(&mut pty);
    disconnect(&mut pty, "*");
    leave(pty);
}

#[test]
fn variables_functions_and_statements_are_completed() {
    let home = Home::new();
    let mut pty = shell(&home);
    run(&mut pty, "$counter = 4");
    pty.send("write $cou\t\r");
    pty.expect("\n  4\r\n");
    pty.expect(PROMPT);
    pty.send("write (le\t\"abc\"))\r");
    pty.expect("\n  3\r\n");
    pty.expect(PROMPT);
    pty.send("whi\t");
    pty.expect("while ");
    give_up(&mut pty);
    pty.send("help repset cr\t");
    pty.expect("help repset create ");
    give_up(&mut pty);
    leave(pty);
}

#[test]
fn what_is_missing_is_hinted_and_what_is_typed_has_colours() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("repset rename a");
    pty.expect("TO <name>");
    give_up(&mut pty);
    run(&mut pty, "write \"green\" # said");
    let raw = pty.raw().to_owned();
    for coloured in ["\x1b[1mwrite\x1b[0m", "\x1b[32m\"green\"\x1b[0m", "\x1b[2m# said\x1b[0m"] {
        assert!(raw.contains(coloured), "{coloured:?} in {raw:?}");
    }
    leave(pty);

    let mut pty = Pty::start(home.dtcl().arg("-i").env("TERM", "xterm").env("NO_COLOR", "1"));
    pty.expect(PROMPT);
    run(&mut pty, "write \"green\"");
    run(&mut pty, "frobnicate");
    assert!(!pty.raw().contains("\x1b[1m") && !pty.raw().contains("\x1b[3"), "{:?}", pty.raw());
    leave(pty);
}

#[test]
fn a_dumb_terminal_gets_no_sequences() {
    let home = Home::new();
    let mut pty = Pty::start(home.dtcl().arg("-i").env("TERM", "dumb"));
    pty.expect(PROMPT);
    pty.send("options\r");
    pty.expect("WarningPings");
    pty.expect(PROMPT);
    pty.send("frobnicate\r");
    pty.expect("error -102");
    pty.expect(PROMPT);
    assert!(!pty.raw().contains('\x1b'), "{:?}", pty.raw());
    leave(pty);
}

#[test]
fn the_history_is_searched_and_a_block_comes_back_whole() {
    let home = Home::new();
    let mut pty = shell(&home);
    run(&mut pty, "write \"needle\" 1");
    run(&mut pty, "write \"other\"");
    pty.send("\x12need");
    pty.expect("reverse-i-search");
    pty.settle();
    pty.send("\r");
    pty.expect("\n  needle1\r\n");
    pty.expect(PROMPT);
    for line in ["for $i = 1 to 2 do", "write $\"turn {$i}\""] {
        pty.send(line);
        pty.send("\r");
        pty.expect("... ");
    }
    pty.send("end\r");
    pty.expect("  turn 2\r\n");
    pty.expect(PROMPT);
    // All lines of it, to be changed in any of them.
    pty.send("\x1b[A");
    pty.expect("end");
    pty.settle();
    pty.send("\r");
    pty.expect("\n  turn 1\r\n");
    pty.expect("  turn 2\r\n");
    pty.expect(PROMPT);
    leave(pty);
}

#[test]
fn the_line_is_edited_by_characters_and_not_by_bytes() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("write \"a\u{e4}\u{4e2d}\"\x1b[D\x7f\x7f\x1b[Cb\x01\x05\x7f\r");
    pty.expect("\n  a\r\n");
    pty.expect(PROMPT);
    pty.send("write \"one two\"\x1b[D\x17three\r");
    pty.expect("\n  one three\r\n");
    pty.expect(PROMPT);
    leave(pty);
}

#[test]
fn watch_redraws_in_its_place() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("watch 0.1 write \"tick\"\r");
    // Back over its one line, several times.
    let end = Instant::now() + Duration::from_secs(20);
    while pty.raw().matches("\x1b[1A\x1b[J").count() < 4 && Instant::now() < end {
        pty.expect("tick");
    }
    pty.send("\x03");
    pty.expect(PROMPT);
    let ticks = pty.lines().iter().filter(|line| line.trim() == "tick").count();
    assert_eq!(ticks, 1, "{:?}", pty.lines());
    leave(pty);
}

#[test]
fn what_is_longer_than_the_screen_is_shown_by_screenfuls() {
    let home = Home::new();
    let mut pty = sized(&home, 100, 12);
    pty.send("options\r");
    pty.expect("-- more");
    pty.settle();
    let lines = pty.lines();
    assert!(lines[11].starts_with("-- more") && lines[1].contains("Name"), "{lines:?}");
    // A line, a screen, and enough.
    pty.send("\r");
    pty.settle();
    let next = pty.lines();
    assert_eq!(next[0], lines[1], "one line on");
    pty.send(" ");
    pty.settle();
    assert_eq!(
        pty.lines().iter().filter(|line| next.contains(line)).count(),
        1,
        "only the question: {:?}",
        pty.lines()
    );
    pty.send("q");
    pty.expect(PROMPT);
    // The whole of a key's sequence is its own, and Ctrl-C ends what stands behind it, too.
    pty.send("options; write (\"be\" + \"hind\")\r");
    pty.expect("-- more");
    pty.send("\x1b[1;5B");
    pty.expect("-- more");
    pty.send("\x03");
    pty.expect(PROMPT);
    pty.settle();
    assert!(pty.lines().iter().any(|line| line == PROMPT.trim_end()), "{:?}", pty.lines());
    assert!(!pty.raw().contains("behind"), "{:?}", pty.lines());
    // What fits is not held up, nor what a script writes.
    run(&mut pty, "options Checksum*");
    pty.send("for $i = 1 to 30 do write $\"w{$i}\" end\r");
    pty.expect("w30");
    pty.expect(PROMPT);
    pty.send("for $i = 1 to 1 do options end\r");
    pty.expect("WarningPings");
    pty.expect(PROMPT);
    assert_eq!(leave(pty).matches("WarningPings").count(), 1);
}

#[test]
fn forty_columns_are_enough() {
    let home = Home::new();
    home.script(&payroll(&home)).ok();
    let mut pty = sized(&home, 40, 30);
    run(&mut pty, &format!("connect payroll to localhost map base {}", q(&home.path("copy"))));
    pty.send("status\r");
    pty.expect("payroll");
    pty.expect(PROMPT);
    let table = pty.lines();
    // Nine columns have no room beside each other.
    assert!(
        table.iter().any(|line| line.starts_with("  Replication set:") && line.ends_with("payroll")),
        "{table:?}"
    );
    // A hint does not make the line jump.
    pty.send("schedule localhost ");
    pty.settle();
    let at = pty.lines().iter().rposition(|line| line.starts_with("Command:  schedule")).unwrap();
    assert!(pty.lines()[at + 1].is_empty(), "{:?}", pty.lines());
    give_up(&mut pty);
    // A line that is longer than the window is one line still.
    pty.send("write \"0123456789012345678901234567890123456789\"\r");
    pty.expect("\n  0123456789012345678901234567890123456789\r\n");
    pty.expect(PROMPT);
    disconnect(&mut pty, "1");
    leave(pty);
}

#[test]
fn a_shell_begins_with_the_persons_own_script() {
    let home = Home::new();
    home.file(".config/dtcl/rc.dtcl", "$mine = 7\nwrite \"from rc\"\nfunny thing\n");
    let mut pty = Pty::start(home.dtcl().arg("-i").env("TERM", "xterm"));
    // What is wrong in it is told, and the shell goes on.
    pty.expect("rc.dtcl:3:1");
    pty.expect(PROMPT);
    leave(pty);
    home.file(".config/dtcl/rc.dtcl", "$mine = 7\nwrite \"from rc\"\n");
    let mut pty = Pty::start(home.dtcl().arg("-i").env("TERM", "xterm"));
    pty.expect("from rc");
    pty.expect(PROMPT);
    pty.send("write ($mine + 1)\r");
    pty.expect("\n  8\r\n");
    pty.expect(PROMPT);
    leave(pty);
    // Only a person at a terminal has it.
    let ran = home.dtcl().arg("-i").stdin("write 1\n").run();
    assert!(!ran.out.contains("from rc"), "{}", ran.out);
    home.file("other/dtcl/rc.dtcl", "exit 5\n");
    let pty =
        Pty::start(home.dtcl().arg("-i").env("TERM", "xterm").env("XDG_CONFIG_HOME", home.path("other")));
    assert_eq!(pty.end().0, 5);
}

#[test]
fn news_stand_above_the_line_that_is_typed() {
    let home = Home::new();
    let _served = Served::start(&home);
    home.script(&payroll(&home)).ok();
    let mut pty = shell(&home);
    run(
        &mut pty,
        &format!("$c = connect payroll to localhost map base {}; waitonmirror $c", q(&home.path("copy"))),
    );
    pty.send("write \"half");
    // What came before the first look is no news.
    let end = Instant::now() + Duration::from_secs(60);
    let is_told = |pty: &Pty| pty.lines().iter().any(|line| line.contains("the target is Paused"));
    for step in ["pause", "resume"].into_iter().cycle() {
        home.script(&format!("{step} target localhost\n")).ok();
        pty.settle();
        if is_told(&pty) {
            break;
        }
        assert!(Instant::now() < end, "{:?}", pty.lines());
    }
    pty.until("the line below it", |lines| {
        lines.iter().any(|line| line.starts_with("Command:  write \"half"))
    });
    let lines = pty.lines();
    let of = |text: &str| lines.iter().rposition(|line| line.contains(text)).unwrap();
    assert!(of("the target is Paused") < of("Command:  write \"half"), "{lines:?}");
    assert!(of("RESUME TARGET localhost") < of("Command:  write \"half"), "{lines:?}");
    pty.send(" whole\"\r");
    pty.expect("\n  half whole\r\n");
    pty.expect(PROMPT);
    leave(pty);
}

#[test]
fn no_machine_that_does_not_answer_keeps_a_person_from_leaving() {
    let home = Home::new();
    let served = Served::start(&home);
    let mut pty = shell(&home);
    run(&mut pty, "repset list");
    served.signal(Signal::SIGSTOP);
    // A question that is on its way when the shell ends.
    pty.send("repset display \t");
    give_up(&mut pty);
    let began = Instant::now();
    pty.send("exit 0\r");
    let (status, screen) = pty.end();
    let took = began.elapsed();
    served.signal(Signal::SIGCONT);
    assert_eq!(status, 0, "{screen}");
    // What is given up is waited for half a minute.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn no_key_waits_for_a_machine_that_does_not_answer() {
    let home = Home::new();
    let served = Served::start(&home);
    home.script(&payroll(&home)).ok();
    let mut pty = shell(&home);
    run(&mut pty, "repset list");
    served.signal(Signal::SIGSTOP);
    // All of its threads.
    let stopped = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", served.pid())).unwrap();
        tasks
            .map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap())
            .all(|stat| stat.contains(") T "))
    };
    let end = Instant::now() + Duration::from_secs(30);
    while !stopped() {
        assert!(Instant::now() < end, "it does not stop");
        std::thread::yield_now();
    }
    let mut slowest = Duration::ZERO;
    for key in ["a", "b", "c"] {
        pty.send("repset display \t");
        let began = Instant::now();
        pty.send(key);
        pty.expect(&format!("repset display {key}"));
        slowest = slowest.max(began.elapsed());
        give_up(&mut pty);
    }
    served.signal(Signal::SIGCONT);
    // 80 ms, and what a busy machine takes for two keys.
    assert!(slowest < Duration::from_millis(400), "{slowest:?}");
    pty.settle();
    pty.send("repset display pay\t");
    pty.settle();
    pty.send("\t");
    pty.expect("repset display payroll ");
    give_up(&mut pty);
    leave(pty);
}

#[test]
fn a_wait_shows_how_far_it_is_and_ctrl_c_ends_it() {
    let home = Home::new();
    home.script(&payroll(&home)).ok();
    let mut pty = shell(&home);
    run(&mut pty, &format!("connect payroll to localhost map base {} nomirror", q(&home.path("copy"))));
    pty.send("transmission stop localhost; mirror start 1; waitonmirror 1\r");
    pty.expect("Mirroring");
    pty.send("\x03");
    pty.expect(PROMPT);
    disconnect(&mut pty, "1 discard");
    leave(pty);
}
