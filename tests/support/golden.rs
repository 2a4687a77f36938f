//! Golden files: what a user reads, kept under `tests/golden/`. `DTCL_REGENERATE=1` writes them anew.

use std::path::{Path, PathBuf};

/// Where the file of this name is.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Fails unless the text is exactly the golden file's.
#[track_caller]
pub fn check(name: &str, text: &str) {
    let path = path(name);
    if std::env::var_os("DTCL_REGENERATE").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; DTCL_REGENERATE=1 makes it. It would hold:\n{text}", path.display())
    });
    assert!(
        golden == text,
        "differs from {} (DTCL_REGENERATE=1 accepts the new text)\n{}",
        path.display(),
        difference(&golden, text)
    );
}

/// The lines from the first to the last that differ, old ones with `-`, new ones with `+`.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.split('\n').collect(), new.split('\n').collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut text = format!("from line {}:\n", head + 1);
    for line in &old[head..old.len() - tail] {
        text.push_str(&format!("-{line}\n"));
    }
    for line in &new[head..new.len() - tail] {
        text.push_str(&format!("+{line}\n"));
    }
    text
}
