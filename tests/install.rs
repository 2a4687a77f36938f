//! `scripts/install`: what it puts into place, that this works, and that it takes all of it away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use support::{have, skip};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

fn install(args: &[&str]) -> Output {
    Command::new(Path::new(PROJECT).join("scripts/install")).args(args).output().unwrap()
}

/// All below a directory that is no directory.
fn files(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![top.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(top).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn what_is_installed_works_and_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().to_str().unwrap();
    let placed =
        install(&["--destdir", dest, "--prefix", "/opt/dtcl", "--binary", env!("CARGO_BIN_EXE_DTCL")]);
    assert!(placed.status.success(), "{}", said(&placed));
    let top = dir.path().join("opt/dtcl");
    let names = [
        "bin/DTCL",
        "bin/dtcl",
        "lib/systemd/system/dtcl.service",
        "share/bash-completion/completions/DTCL",
        "share/bash-completion/completions/dtcl",
        "share/man/man1/DTCL.1",
        "share/man/man1/dtcl.1",
        "share/man/man7/DTCL-commands.7",
    ];
    assert_eq!(files(&top), names.map(PathBuf::from));
    let version = Command::new(top.join("bin/dtcl")).arg("--version").output().unwrap();
    assert_eq!(said(&version), format!("DTCL {}\n", env!("CARGO_PKG_VERSION")));
    let unit = std::fs::read_to_string(top.join("lib/systemd/system/dtcl.service")).unwrap();
    assert!(unit.contains("\nExecStart=/opt/dtcl/bin/DTCL serve\n"), "{unit}");
    // Once more, over what is there.
    let again = install(&["--destdir", dest, "--prefix", "/opt/dtcl", "--binary", "/bin/true"]);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(files(&top).len(), names.len());
    let removed = install(&["--remove", "--destdir", dest, "--prefix", "/opt/dtcl"]);
    assert!(removed.status.success(), "{}", said(&removed));
    assert_eq!(files(dir.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_wrong_argument_places_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().to_str().unwrap();
    for args in [
        &["--destdir", dest, "--prefix", "relative", "--binary", "/bin/true"][..],
        &["--destdir", dest, "--binary"],
        &["--destdir", dest, "--frobnicate"],
    ] {
        assert_eq!(install(args).status.code(), Some(2), "{args:?}");
    }
    let missing = install(&["--destdir", dest, "--binary", "/nowhere/DTCL"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("there is no /nowhere/DTCL"), "{}", said(&missing));
    assert_eq!(files(dir.path()), [] as [PathBuf; 0]);
}

/// What bash would offer at the end of a line.
fn completed(line: &str) -> Vec<String> {
    let script = format!(
        "source {PROJECT}/scripts/installed/completion.bash\n\
         COMP_LINE=$1 COMP_POINT=${{#1}}\n\
         read -ra COMP_WORDS <<< \"$1\"; [[ $1 != *' ' ]] || COMP_WORDS+=('')\n\
         COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
         _dtcl '{}' \"${{COMP_WORDS[COMP_CWORD]}}\" ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        env!("CARGO_BIN_EXE_DTCL")
    );
    let run = Command::new("bash").args(["-c", &script, "bash", line]).output().unwrap();
    said(&run).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_options_forms_and_commands() {
    assert_eq!(completed("DTCL --ch"), ["--check"]);
    assert_eq!(completed("DTCL serve --l"), ["--listen"]);
    assert_eq!(completed("DTCL repset ru"), ["rule"]);
    assert_eq!(completed("DTCL mirror start 1 diff"), ["different"]);
    let first = completed("DTCL se");
    assert!(first.contains(&"set".to_owned()) && first.contains(&"serve".to_owned()), "{first:?}");
    assert_eq!(completed("DTCL nonsense "), [] as [&str; 0]);
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    const NAME: &str = "the_unit_is_one_that_systemd_takes";
    if !have("systemd-analyze") {
        return skip(NAME, "systemd is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("dtcl.service");
    let text = std::fs::read_to_string(Path::new(PROJECT).join("scripts/installed/dtcl.service")).unwrap();
    // Any program that is there.
    std::fs::write(&unit, text.replace("@bindir@/DTCL", "/bin/true")).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let own = said(&verified).lines().filter(|line| line.contains("dtcl.service")).collect::<String>();
    assert!(own.is_empty() && verified.status.success(), "{}", said(&verified));
}

/// `Type=notify` and `WatchdogSec`: what the service manager hears.
#[test]
fn the_service_manager_is_told_that_the_service_is_ready_lives_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut service = Command::new(env!("CARGO_BIN_EXE_DTCL"))
        .args(["serve", "--listen", "none"])
        .env("DTCL_HOME", dir.path().join("home"))
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "200000")
        .spawn()
        .unwrap();
    let hears = || {
        let mut buffer = [0; 256];
        let got = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..got]).trim().to_owned()
    };
    let heard = [hears(), hears(), hears()];
    assert_eq!(heard, ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(service.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let last = std::iter::repeat_with(hears).find(|word| word != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert_eq!(service.wait().unwrap().code(), Some(0));
}
