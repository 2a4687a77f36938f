//! The house's own rules, read from the sources: which room may use which, where unsafe code stands, that documents name
//! what exists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room and the rooms that it may use. Arrows point one way (docs/design/README.md).
const ROOMS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("lang", &[]),
    ("sys", &[]),
    ("wire", &["api", "sys"]),
    ("rhai_host", &["api"]),
    ("engine", &["api", "wire", "sys"]),
    ("machine", &["api", "engine", "wire", "sys"]),
    ("service", &["api", "engine", "wire", "sys"]),
    ("commands", &["api", "lang", "machine", "sys"]),
    ("runtime", &["api", "lang", "machine", "commands", "rhai_host", "sys"]),
    ("shell", &["api", "lang", "machine", "commands", "runtime", "sys"]),
    ("lsp", &["api", "lang", "machine", "commands", "runtime", "shell", "sys"]),
    ("cli", &["api", "lang", "machine", "commands", "runtime", "shell", "lsp", "engine", "service", "sys"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a directory with this extension.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Lines of code with their numbers; comments left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn rooms_use_only_those_that_they_may() {
    let mut wrong = Vec::new();
    for (room, allowed) in ROOMS {
        let dir = root().join("src").join(room);
        // Tests in files of their own may look from above.
        for path in files(&dir, "rs").into_iter().filter(|path| !path.ends_with("tests.rs")) {
            let text = fs::read_to_string(&path).unwrap();
            for (n, line) in code(&text) {
                for used in line.split("crate::").skip(1) {
                    let used: String =
                        used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let is_room = ROOMS.iter().any(|(name, _)| *name == used);
                    if is_room && used != *room && !allowed.contains(&used.as_str()) {
                        wrong.push(format!("{}:{n}: {room} uses {used}", path.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_in_sys_and_says_why() {
    let mut wrong = Vec::new();
    for path in files(&root().join("src"), "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in code(&text) {
            let is_unsafe =
                line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl");
            if !is_unsafe {
                continue;
            }
            let in_sys = path.starts_with(root().join("src/sys"));
            let said = lines[n.saturating_sub(6)..n].iter().any(|line| line.contains("SAFETY:"));
            if !in_sys || !said {
                wrong.push(format!("{}:{n}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "outside src/sys or without a SAFETY: line\n{}", wrong.join("\n"));
}

#[test]
fn every_module_begins_with_its_purpose() {
    let without: Vec<PathBuf> = files(&root().join("src"), "rs")
        .into_iter()
        .filter(|path| !path.ends_with("tests.rs"))
        .filter(|path| !fs::read_to_string(path).unwrap().trim_start().starts_with("//!"))
        .collect();
    assert!(without.is_empty(), "no //! at the top: {without:?}");
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let reasons = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let mut listed = BTreeSet::new();
    for row in reasons.lines().filter(|line| line.starts_with("| ")) {
        let names = row.split('|').nth(1).unwrap();
        listed.extend(names.split(',').map(|name| name.split_whitespace().next().unwrap_or("").to_string()));
    }
    let mut used = BTreeSet::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]")
            && let Some((name, _)) = line.split_once('=')
        {
            used.insert(name.trim().to_string());
        }
    }
    listed.retain(|name| name != "crate" && name != "---");
    assert_eq!(used, listed, "Cargo.toml on the left, docs/dependencies.md on the right");
}

#[test]
fn the_index_names_every_design_document() {
    let index = fs::read_to_string(root().join("docs/design/README.md")).unwrap();
    let missing: Vec<String> = files(&root().join("docs/design"), "md")
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_string())
        .filter(|name| name != "README.md" && !index.contains(&format!("({name})")))
        .collect();
    assert!(missing.is_empty(), "docs/design/README.md does not name {missing:?}");
}

/// Links between documents lead somewhere.
#[test]
fn links_in_documents_lead_somewhere() {
    let mut documents = files(&root().join("docs"), "md");
    documents.push(root().join("README.md"));
    let mut broken = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1) {
            let Some((link, _)) = link.split_once(')') else { continue };
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let target =
                if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            let has_anchor = || {
                let text = fs::read_to_string(&target).unwrap_or_default();
                text.lines().filter(|line| line.starts_with('#')).any(|line| heading_anchor(line) == anchor)
            };
            if !target.exists() || (!anchor.is_empty() && !has_anchor()) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn heading_anchor(line: &str) -> String {
    let text = line.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-')
        .collect::<String>()
        .replace(' ', "-")
}

/// Each example that the user guide names is there; a person's own files are not.
#[test]
fn the_user_guide_names_what_exists() {
    let guide = fs::read_to_string(root().join("docs/user-guide.md")).unwrap();
    for word in guide.split(|c: char| c.is_whitespace() || "`()[],".contains(c)) {
        if word.ends_with(".dtcl") && !matches!(word, "script.dtcl" | "rc.dtcl") {
            let name = word.rsplit('/').next().unwrap();
            assert!(root().join("examples").join(name).exists(), "{word} is not there");
        }
    }
}
