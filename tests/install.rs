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
    let mut names: Vec<PathBuf> = [
        "bin/DTCL",
        "bin/DTStat",
        "bin/LogViewer",
        "bin/dtcl",
        "bin/dtstat",
        "lib/systemd/system/dtcl.service",
        "share/bash-completion/completions/DTCL",
        "share/bash-completion/completions/dtcl",
        "share/fish/vendor_completions.d/DTCL.fish",
        "share/fish/vendor_completions.d/dtcl.fish",
        "share/man/man1/DTCL.1",
        "share/man/man1/DTStat.1",
        "share/man/man1/dtcl.1",
        "share/man/man1/dtstat.1",
        "share/zsh/site-functions/_dtcl",
    ]
    .map(PathBuf::from)
    .into();
    let project = Path::new(PROJECT);
    let pages = files(&project.join("docs/man"))
        .into_iter()
        .filter(|page| page.extension().is_some_and(|ext| ext == "7"));
    names.extend(pages.map(|page| Path::new("share/man/man7").join(page)));
    names.extend(
        files(&project.join("editors")).into_iter().map(|file| Path::new("share/dtcl/editors").join(file)),
    );
    names.sort();
    assert_eq!(files(&top), names);
    let version = Command::new(top.join("bin/dtcl")).arg("--version").output().unwrap();
    assert_eq!(said(&version), format!("DTCL {}\n", env!("CARGO_PKG_VERSION")));
    let version = Command::new(top.join("bin/DTStat")).arg("--version").output().unwrap();
    assert_eq!(said(&version), format!("DTStat {}\n", env!("CARGO_PKG_VERSION")));
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
fn a_relative_destdir_counts_from_where_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let called = |args: &[&str]| {
        let script = Path::new(PROJECT).join("scripts/install");
        Command::new(script).args(args).current_dir(dir.path()).output().unwrap()
    };
    let args = ["--destdir", "made here", "--binary", "/bin/true"];
    let placed = called(&args);
    assert!(placed.status.success(), "{}", said(&placed));
    let editors = dir.path().join("made here/usr/local/share/dtcl/editors");
    assert_eq!(files(&editors), files(&Path::new(PROJECT).join("editors")));
    assert!(!Path::new(PROJECT).join("editors/made here").exists());
    // A file that cannot be put into place is a failure.
    std::fs::remove_dir_all(&editors).unwrap();
    std::fs::write(&editors, "in the way").unwrap();
    let failed = called(&args);
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
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

/// A shell that completes: what it would offer at the end of a line.
fn completed(shell: &str, line: &str) -> Vec<String> {
    let file = format!("{PROJECT}/scripts/installed/completion.{shell}");
    let program = Path::new(env!("CARGO_BIN_EXE_DTCL"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let script = match shell {
        "bash" => format!(
            "source {file}
             COMP_LINE=$1 COMP_POINT=${{#1}}
             read -ra COMP_WORDS <<< \"$1\"; [[ $1 != *' ' ]] || COMP_WORDS+=('')
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _dtcl DTCL \"${{COMP_WORDS[COMP_CWORD]}}\" ''; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        ),
        // What zsh's own functions would do with the words, without its editor.
        "zsh" => format!(
            "_describe() {{ local name; for name in \"${{(P@)2}}\"; do echo ${{name%%:*}}; done }}
             _files() {{ echo FILES }}
             compadd() {{ shift; print -l -- \"$@\" }}
             words=(${{=1}}); [[ $1 != *' ' ]] || words+=('')
             CURRENT=${{#words}}
             complete() {{ source {file} }}
             complete | grep -- \"^${{words[CURRENT]}}\\|^FILES\""
        ),
        _ => format!("source {file}; complete -C \"$argv[1]\" | string replace -r '\\t.*' ''"),
    };
    let mut run = Command::new(shell);
    match shell {
        "fish" => run.args(["--no-config", "-c", &script, line]),
        "zsh" => run.args(["-f", "-c", &script, "zsh", line]),
        _ => run.args(["-c", &script, "bash", line]),
    };
    let run = run.env("PATH", path).output().unwrap();
    said(&run).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn shells_complete_options_forms_and_commands() {
    const NAME: &str = "shells_complete_options_forms_and_commands";
    for shell in ["bash", "zsh", "fish"] {
        if !have(shell) {
            skip(NAME, &format!("{shell} is not installed"));
            continue;
        }
        let offers = |line: &str| completed(shell, line);
        assert_eq!(offers("DTCL --ch"), ["--check"], "{shell}");
        assert_eq!(offers("DTCL serve --l"), ["--listen"], "{shell}");
        assert_eq!(offers("DTCL repset ru"), ["rule"], "{shell}");
        assert_eq!(offers("DTCL mirror start 1 diff"), ["different"], "{shell}");
        let first = offers("DTCL se");
        assert!(
            first.contains(&"set".to_owned()) && first.contains(&"serve".to_owned()),
            "{shell}: {first:?}"
        );
        assert_eq!(offers("DTCL nonsense "), [] as [&str; 0], "{shell}");
        assert_eq!(offers("dtcl grant ta"), ["tasks"], "{shell}");
        assert!(!offers("DTCL -f ").is_empty(), "{shell}");
    }
}

/// Pages that a reader can show without a complaint.
#[test]
fn manual_pages_are_well_formed() {
    const NAME: &str = "manual_pages_are_well_formed";
    if !have("mandoc") {
        return skip(NAME, "mandoc is not installed");
    }
    let directory = Path::new(PROJECT).join("docs/man");
    for page in files(&directory) {
        let lint = Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .arg(directory.join(&page))
            .output()
            .unwrap();
        // A page has no date of its own: it belongs to a version.
        let found: Vec<String> =
            said(&lint).lines().filter(|line| !line.contains("missing date")).map(str::to_owned).collect();
        assert_eq!(found, [] as [&str; 0], "{}", page.display());
    }
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
