//! Golden files for what a user reads: each script of `tests/golden/scripts` with its screen, as text and with
//! `--json`. A script may begin with `# arguments: ...` for the program (`--check`, `-i`); `@DIR@` in it is the test's
//! directory, which holds `data/` (a small fixed tree).
//!
//! What differs from run to run is made the same: the directory's random name, and, without a line `# plain`, digits
//! of dates, times and durations.

use crate::support::{Home, golden, tree};
use std::path::{Path, PathBuf};

#[test]
fn every_script_prints_its_golden_screen() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scripts");
    let mut scripts: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "dtcl"));
    scripts.sort();
    assert!(!scripts.is_empty());
    let mut failures = Vec::new();
    for path in &scripts {
        let name = path.file_stem().unwrap().to_str().unwrap();
        for (json, suffix) in [(false, "txt"), (true, "json")] {
            let screen = screen(&std::fs::read_to_string(path).unwrap(), name, json);
            let checked =
                std::panic::catch_unwind(|| golden::check(&format!("scripts/{name}.{suffix}"), &screen));
            if checked.is_err() {
                failures.push(format!("{name}.{suffix}"));
            }
        }
    }
    assert!(failures.is_empty(), "screens that differ (shown above): {}", failures.join(", "));
}

/// Runs a script; status, standard output and standard error as one text.
fn screen(text: &str, name: &str, json: bool) -> String {
    // The name's length is fixed, so that columns do not depend on it.
    let home = Home::new_in(Path::new("/tmp"));
    prepare(&home);
    let dir = home.root().to_str().unwrap();
    let text = text.replace("@DIR@", dir);
    let arguments = text.lines().find_map(|line| line.strip_prefix("# arguments: ")).unwrap_or("-f");
    let mut dtcl = home.dtcl();
    if json {
        dtcl = dtcl.arg("--json");
    }
    let file = format!("{name}.dtcl");
    dtcl = if arguments == "-i" {
        dtcl.arg("-i").stdin(&text)
    } else {
        std::fs::write(home.path(&file), &text).unwrap();
        dtcl.args(arguments.split_whitespace()).arg(&file)
    };
    let ran = dtcl.run();
    let screen =
        format!("--- status {}\n--- standard output\n{}--- standard error\n{}", ran.status, ran.out, ran.err);
    let screen = screen.replace(dir, "/tmp/dtcl-test-XXXXXX");
    if text.contains("# plain\n") { screen } else { steady(&screen) }
}

/// The tree that scripts find.
fn prepare(home: &Home) {
    for (name, content) in [("data/a.txt", vec![b'a'; 1000]), ("data/sub/b.bin", vec![7; 100_000])] {
        let path = home.file(name, content);
        tree::set_time(&path, 1_700_000_000, 0);
    }
    home.file("data/sub/c.tmp", "temporary\n");
    for name in ["data/sub/c.tmp", "data/sub", "data"] {
        tree::set_time(&home.path(name), 1_700_000_000, 0);
    }
}

/// Digits of dates, times of day and durations become `#`.
fn steady(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for start in 0..bytes.len() {
        for shape in
            ["dd/dd/dddd", "d/d/dddd", "d/dd/dddd", "dd/d/dddd", "dd:dd:dd.ddd", "dd:dd:dd", "d:dd:dd"]
        {
            blank(&mut bytes, start, shape);
        }
    }
    let text = String::from_utf8(bytes).unwrap();
    let mut steady = String::new();
    let mut rest = text.as_str();
    for label in ["Elapsed time (seconds):", "\"elapsed_time_seconds\":"] {
        while let Some(at) = rest.find(label) {
            // A duration has as many digits as it needs.
            let value =
                at + label.len() + rest[at + label.len()..].find(|c: char| c.is_ascii_digit()).unwrap();
            let digits = rest[value..].find(|c: char| !c.is_ascii_digit()).unwrap();
            steady.push_str(&rest[..value]);
            steady.push('#');
            rest = &rest[value + digits..];
        }
    }
    steady + rest
}

/// Puts `#` where the text has this shape, not inside longer runs of digits.
fn blank(bytes: &mut [u8], start: usize, shape: &str) {
    let end = start + shape.len();
    if end > bytes.len() {
        return;
    }
    let part = |at: Option<&u8>| at.is_some_and(|byte| byte.is_ascii_digit() || *byte == b':');
    if part(bytes.get(end)) || (start > 0 && part(bytes.get(start - 1))) {
        return;
    }
    let fits = bytes[start..end].iter().zip(shape.bytes()).all(|(&byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    });
    if fits {
        for byte in bytes[start..end].iter_mut().filter(|byte| byte.is_ascii_digit()) {
            *byte = b'#';
        }
    }
}
