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
        ("dry-run", &["--dry-run", "-f", "x.dtcl"]),
    ] {
        home.dtcl().args(args).run().status(2).golden(&format!("cli/usage-{name}"));
    }
}

#[test]
fn the_service_is_for_a_later_version() {
    let home = Home::new();
    home.dtcl().arg("serve").run().status(1).golden("cli/serve");
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
