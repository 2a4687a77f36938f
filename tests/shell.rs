//! The interactive shell on a pseudo-terminal, and its transcript through a pipe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;
use support::pty::{self, Pty};
use support::{Home, q};

const PROMPT: &str = "Command:  ";

fn shell(home: &Home) -> Pty {
    let mut pty = Pty::start(home.dtcl().arg("-i").env("TERM", "xterm"));
    pty.expect(PROMPT);
    pty
}

#[test]
fn prompts_indents_and_ends_with_exit() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("write 6 * 7; write (6 * 7)\r");
    pty.expect("\n  42\r\n");
    pty.expect(PROMPT);
    pty.send("exit 3\r");
    assert_eq!(pty.end().0, 3);
}

#[test]
fn ends_with_quit_and_at_the_end_of_file() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("QUIT\r");
    assert_eq!(pty.end().0, 0);
    let mut pty = shell(&home);
    pty.send("\x04");
    assert_eq!(pty.end().0, 0);
}

#[test]
fn nothing_stops_the_shell() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("mirror start 7\r");
    pty.expect("107");
    pty.expect(PROMPT);
    pty.send("no such thing\r");
    pty.expect("no");
    pty.expect(PROMPT);
    pty.send("write \"still here\"\r");
    pty.expect("\n  still here\r\n");
    pty.expect(PROMPT);
    pty.send("exit\r");
    assert_eq!(pty.end().0, 0);
}

#[test]
fn the_tabulator_completes_commands_and_names() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("reps\t");
    pty.expect("repset ");
    pty.send("cr\tpayroll\r");
    pty.expect("repset create payroll");
    pty.expect(PROMPT);
    pty.send("repset display pay\t");
    pty.expect("repset display payroll ");
    pty.send("\r");
    pty.expect("payroll");
    pty.expect(PROMPT);
    pty.send("repset save\r");
    pty.expect(PROMPT);
    pty.send("exit\r");
    assert_eq!(pty.end().0, 0);
}

#[test]
fn the_tabulator_completes_paths_in_quotes() {
    let home = Home::new();
    home.file("files/my data/x", "");
    home.file("files/plain", "");
    let mut pty = shell(&home);
    let path = home.path("files");
    pty.send(&format!("repset rule add {}/my\t", path.display()));
    pty.expect(&format!("add \"{}/my data/", path.display()));
    pty.send("\x03");
    pty.expect(PROMPT);
    pty.send(&format!("repset rule add {}/pl\t", path.display()));
    pty.expect(&format!("add {}/plain", path.display()));
    pty.send("\x03");
    pty.expect(PROMPT);
    pty.send("exit\r");
    assert_eq!(pty.end().0, 0);
}

#[test]
fn an_open_block_asks_for_its_rest() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("for $i = 1 to 2 do\r");
    pty.expect("...");
    pty.send("write $\"turn {$i}\"\r");
    pty.expect("...");
    pty.send("end\r");
    pty.expect("\n  turn 1\r\n  turn 2\r\n");
    pty.expect(PROMPT);
    // Ctrl-C gives up what was typed of a block.
    pty.send("while 1 = 1 do\r");
    pty.expect("...");
    pty.send("\x03");
    pty.expect(PROMPT);
    pty.send("write \"out\"\r");
    pty.expect("\n  out\r\n");
    pty.expect(PROMPT);
    pty.send("exit\r");
    assert_eq!(pty.end().0, 0);
}

#[test]
fn ctrl_c_ends_the_command_and_not_the_shell() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("write \"begins\"; sleep 1000; write \"never\"\r");
    pty.expect("\n  begins\r\n");
    pty.send("\x03");
    pty.expect(PROMPT);
    pty.send("while 1 = 1 do sleep 0 end\r");
    pty.expect("\n");
    pty.send("\x03");
    pty.expect(PROMPT);
    // At the prompt it clears the line.
    pty.send("write \"cleared\"\x03");
    pty.expect(PROMPT);
    pty.send("write \"next\"\r");
    pty.expect("\n  next\r\n");
    pty.expect(PROMPT);
    pty.send("exit\r");
    let (status, screen) = pty.end();
    assert_eq!(status, 0);
    assert!(!screen.contains("\n  never"), "{screen}");
    assert!(!screen.contains("\n  cleared"), "{screen}");
}

#[test]
fn sigterm_ends_the_shell_with_status_6() {
    let home = Home::new();
    let pty = shell(&home);
    pty::kill(pty.id(), Signal::SIGTERM);
    assert_eq!(pty.end().0, 6);
    let mut pty = shell(&home);
    pty.send("write \"begins\"; sleep 1000\r");
    pty.expect("\n  begins\r\n");
    pty::kill(pty.id(), Signal::SIGTERM);
    assert_eq!(pty.end().0, 6);
}

#[test]
fn the_history_is_kept_without_passwords() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("write \"kept\"\r");
    pty.expect("\n  kept\r\n");
    pty.expect(PROMPT);
    pty.send("login localhost somebody secret-word\r");
    pty.expect("User access level set to");
    pty.expect(PROMPT);
    pty.send("exit\r");
    assert_eq!(pty.end().0, 0);

    let file = home.home().join("lib/history");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.contains("write \"kept\""), "{kept}");
    assert!(!kept.contains("secret-word"), "{kept}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // The arrow key calls it up again.
    let mut pty = shell(&home);
    pty.send("\x1b[A\x1b[A");
    pty.expect("write \"kept\"");
    pty.send("\r");
    pty.expect("\n  kept\r\n");
    pty.expect(PROMPT);
    pty.send("exit\r");
    assert_eq!(pty.end().0, 0);
}

#[test]
fn a_password_is_asked_for_without_echo() {
    let home = Home::new();
    let mut pty = shell(&home);
    pty.send("login localhost somebody\r");
    pty.expect("Password of somebody on localhost: ");
    pty.send("secret-word\r");
    pty.expect("User access level set to");
    pty.expect(PROMPT);
    pty.send("exit\r");
    let (status, screen) = pty.end();
    assert_eq!(status, 0);
    assert!(!screen.contains("secret-word"), "{screen}");
}

#[test]
fn a_transcript_through_a_pipe_reads_as_at_a_terminal() {
    let home = Home::new();
    let ran = home
        .dtcl()
        .arg("-i")
        .stdin("repset list\nrepset create payroll\nrepset list\nfor $i = 1 to 2 do\nwrite $i\nend\n")
        .run();
    ran.golden("cli/transcript");
}
/// A script that mirrors a tree large enough for progress to be told.
fn migration(home: &Home) -> String {
    for number in 0..2000 {
        home.file(&format!("data/{}/{number}", number % 50), vec![b'x'; 20_000]);
    }
    format!(
        "repset create data\nrepset rule add {} include to data\nrepset save\n\
         $con = connect data to localhost map base {} calculate\nwaitonmirror $con\ndisconnect $con\n",
        q(&home.path("data")),
        q(&home.path("copy"))
    )
}

#[test]
fn progress_is_shown_on_a_terminal_only() {
    let home = Home::new();
    let script = migration(&home);
    let ran = home.script(&script);
    ran.ok();
    assert!(!ran.out.contains("files") && !ran.err.contains('\r'), "{}", ran.report());

    let home = Home::new();
    let script = migration(&home);
    let pty = Pty::start(home.dtcl().script(script).env("TERM", "xterm"));
    let (status, screen) = pty.end();
    assert_eq!(status, 0, "{screen}");
    assert!(screen.contains("Mirroring"), "{screen}");
    // The line is cleared at the end.
    assert_eq!(screen.rsplit('\r').next().unwrap().trim(), "", "{screen}");
}
