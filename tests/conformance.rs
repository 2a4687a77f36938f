//! The conformance suite: the cases of `tests/conformance`, which any implementation of the language could run, against
//! this program. `tests/conformance/README.md` is the format's description; `tests/conformance/run` runs the same files.
//!
//! `DTCL_CASE=WORD` runs only the cases whose file or title holds WORD.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::Home;

/// A case of a file: what to run, and what is expected.
struct Case {
    /// `language/words.case: a title`.
    name: String,
    headers: BTreeMap<String, Vec<String>>,
    sections: Vec<Section>,
}

/// `--- kind options`, with the lines up to the next section or case.
struct Section {
    kind: String,
    options: Vec<String>,
    lines: Vec<String>,
}

impl Section {
    fn text(&self, here: &str) -> String {
        let has = |option: &str| self.options.iter().any(|given| given == option);
        let end = if has("crlf") { "\r\n" } else { "\n" };
        let mut text = if has("bom") { "\u{feff}".to_string() } else { String::new() };
        text.push_str(&self.lines.join(end));
        if !self.lines.is_empty() && !has("nonl") {
            text.push_str(end);
        }
        text.replace("@DIR@", here)
    }

    /// The name of a file, or the status.
    fn name(&self) -> &str {
        self.options.first().expect("a section with its name")
    }

    /// The file in the case's directory that the section is about.
    fn path(&self, home: &Home) -> PathBuf {
        let here = home.root().to_str().unwrap();
        Path::new(&format!("{here}/{}", self.name().replace("@DIR@", here))).to_path_buf()
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

fn cases() -> Vec<Case> {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()) {
        if folder.is_dir() {
            files.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    files.sort();
    files.iter().flat_map(|path| cases_of(path)).collect()
}

fn cases_of(path: &Path) -> Vec<Case> {
    let place = path.strip_prefix(directory()).unwrap().display().to_string();
    let mut cases: Vec<Case> = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().split('\n') {
        if let Some(title) = line.strip_prefix("=== ") {
            let name = format!("{place}: {title}");
            cases.push(Case { name, headers: BTreeMap::new(), sections: Vec::new() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(section) = line.strip_prefix("--- ") {
            let mut words = section.split_whitespace().map(str::to_string);
            let kind = words.next().expect("a section's kind");
            case.sections.push(Section { kind, options: words.collect(), lines: Vec::new() });
        } else if let Some(section) = case.sections.last_mut() {
            section.lines.push(line.to_string());
        } else if let Some((key, value)) = line.split_once(": ") {
            case.headers.entry(key.to_string()).or_default().push(value.to_string());
        }
    }
    cases
}

impl Case {
    fn header(&self, key: &str) -> &[String] {
        self.headers.get(key).map_or(&[], Vec::as_slice)
    }

    fn sections<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Section> {
        self.sections.iter().filter(move |section| section.kind == kind)
    }

    fn mode(&self) -> &str {
        self.header("mode").first().map_or("run", String::as_str)
    }

    /// A new home, with the case's files beside it.
    fn home(&self) -> (Home, String) {
        let home = Home::new_in(Path::new("/tmp"));
        let here = home.root().to_str().unwrap().to_string();
        for section in self.sections("script") {
            home.file("script.dtcl", section.text(&here));
        }
        for section in self.sections("file") {
            home.file(section.name(), section.text(&here));
        }
        (home, here)
    }

    /// What the checker says of a script that runs well, if it should not; a header `warned` says that it should.
    fn wrongly_checked(&self) -> Vec<String> {
        let well = self.sections("status").any(|section| section.name() == "0");
        if self.mode() != "run" || !well {
            return Vec::new();
        }
        let (home, _) = self.home();
        let ran = home.dtcl().args(["--check", "script.dtcl"]).run();
        match (ran.err.is_empty(), self.header("warned")) {
            (true, []) | (false, [_]) => Vec::new(),
            (true, reasons) => vec![format!("--check says nothing, but should of {reasons:?}")],
            (false, _) => vec![format!("--check is not silent:\n{}", ran.err)],
        }
    }

    /// Runs the case in a home of its own; what is wrong, one text for each.
    fn wrong(&self) -> Vec<String> {
        let (home, here) = self.home();
        let mut dtcl = home.dtcl();
        dtcl = match self.mode() {
            "run" => dtcl.args(["-f", "script.dtcl"]),
            "check" => dtcl.args(["--check", "script.dtcl"]),
            "words" => dtcl,
            other => return vec![format!("no mode: {other}")],
        };
        for arg in self.header("arg") {
            dtcl = dtcl.arg(arg.replace("@DIR@", &here));
        }
        for pair in self.header("env") {
            let (name, value) = pair.split_once('=').expect("env: NAME=value");
            dtcl = dtcl.env(name, value.replace("@DIR@", &here));
        }
        let stdin: String = self.sections("stdin").map(|section| section.text(&here)).collect();
        let ran = dtcl.stdin(stdin).run();

        let mut wrong = Vec::new();
        let expected: String = self.sections("out").map(|section| section.text(&here)).collect();
        if !matches(&expected, &ran.out) {
            wrong.push(format!("expected output:\n{expected}actual output:\n{}", ran.out));
        }
        let said = Said::all(&ran.err);
        let listed: Vec<String> = self
            .sections("errors")
            .flat_map(|section| &section.lines)
            .filter(|line| !line.is_empty())
            .map(|line| line.replace("@DIR@", &here))
            .collect();
        compare_errors(&listed, said, &mut wrong);
        for section in &self.sections {
            match section.kind.as_str() {
                "status" if ran.status.to_string() != section.name() => {
                    wrong.push(format!("expected status {}, actual status {}", section.name(), ran.status));
                }
                "silent" if !ran.err.is_empty() => wrong.push("standard error is not empty".to_string()),
                "says" => {
                    for line in
                        section.lines.iter().filter(|line| !ran.err.contains(&line.replace("@DIR@", &here)))
                    {
                        wrong.push(format!("standard error does not say {line}"));
                    }
                }
                "holds" => {
                    let held = std::fs::read_to_string(section.path(&home));
                    if held.as_ref().ok() != Some(&section.text(&here)) {
                        wrong.push(format!("{} holds {held:?}", section.name()));
                    }
                }
                "absent" if section.path(&home).symlink_metadata().is_ok() => {
                    wrong.push(format!("{} exists", section.name()));
                }
                _ => {}
            }
        }
        if !wrong.is_empty() && !ran.err.is_empty() {
            wrong.push(format!("standard error:\n{}", ran.err));
        }
        wrong
    }
}

/// Something that standard error says about a place: `FILE:LINE:COLUMN: error CODE: ...` and the lines up to the next one.
struct Said {
    file: String,
    line: String,
    column: String,
    /// `-102`, `error` (without a number), `warning`, `hint`.
    kind: String,
    text: String,
}

impl Said {
    fn all(err: &str) -> Vec<Said> {
        let mut all: Vec<Said> = Vec::new();
        for line in err.lines() {
            if let Some(said) = Said::head(line) {
                all.push(said);
            } else if let Some(said) = all.last_mut() {
                said.text.push('\n');
                said.text.push_str(line);
            }
        }
        all
    }

    fn head(line: &str) -> Option<Said> {
        let mut parts = line.splitn(5, ':');
        let mut part = || parts.next();
        let (file, row, column, kind) = (part()?, part()?, part()?, part()?);
        part()?;
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let kind = kind.strip_prefix(' ')?;
        let kind = kind.strip_prefix("error ").unwrap_or(kind);
        let is_kind = matches!(kind, "error" | "warning" | "hint") || number(kind.trim_start_matches('-'));
        (number(row) && number(column) && is_kind && !file.contains(' ')).then(|| Said {
            file: file.to_string(),
            line: row.to_string(),
            column: column.to_string(),
            kind: kind.to_string(),
            text: line.to_string(),
        })
    }

    fn is_error(&self) -> bool {
        !matches!(self.kind.as_str(), "warning" | "hint")
    }

    /// Is this what a line of an `errors` section expects: `[FILE:]LINE:COLUMN KIND [TEXT [& TEXT]...]`?
    fn fits(&self, expected: &str) -> bool {
        let mut words = expected.splitn(3, ' ');
        let (place, kind) = (words.next().unwrap(), words.next().expect("a kind of error"));
        let place =
            if place.matches(':').count() == 2 { place.to_string() } else { format!("script.dtcl:{place}") };
        let (place, column) = place.rsplit_once(':').unwrap();
        let text = self.text.to_lowercase();
        place == format!("{}:{}", self.file, self.line)
            && (column == "*" || column == self.column)
            && (kind == self.kind || (kind == "error" && self.is_error()))
            && words.next().unwrap_or("").split(" & ").all(|word| text.contains(&word.to_lowercase()))
    }
}

/// Each listed line is said once, and no error is said that is not listed.
fn compare_errors(listed: &[String], mut said: Vec<Said>, wrong: &mut Vec<String>) {
    for expected in listed {
        match said.iter().position(|said| said.fits(expected)) {
            Some(at) => drop(said.remove(at)),
            None => wrong.push(format!("not said: {expected}")),
        }
    }
    wrong.extend(
        said.iter().filter(|said| said.is_error()).map(|said| format!("not expected: {}", said.text)),
    );
}

/// Line for line; `@*@` in an expected line stands for anything.
fn matches(expected: &str, actual: &str) -> bool {
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.split('\n').collect(), actual.split('\n').collect());
    expected.len() == actual.len()
        && expected.iter().zip(&actual).all(|(expected, actual)| line_matches(expected, actual))
}

fn line_matches(expected: &str, actual: &str) -> bool {
    let mut parts = expected.split("@*@");
    let Some(mut rest) = actual.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The known failures with their reasons.
fn known() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(directory().join("known-failures")).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (name, reason) = line.split_once(" | ").unwrap_or_else(|| panic!("without a reason: {line}"));
            (name.to_string(), reason.to_string())
        })
        .collect()
}

/// Does the same for all cases that are asked for, some at a time; what is wrong, by the case's name.
fn for_each_case(work: impl Fn(&Case) -> Vec<String> + Sync) -> Vec<String> {
    let word = std::env::var("DTCL_CASE").unwrap_or_default();
    let mut cases = cases();
    cases.retain(|case| case.name.contains(&word));
    assert!(!cases.is_empty(), "no case's name holds {word:?}");
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let wrong = work(case).join("\n").replace('\n', "\n    ");
                    if !wrong.is_empty() {
                        failures.lock().unwrap().push(format!("{}\n    {wrong}", case.name));
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap()
}

#[test]
fn every_case_holds() {
    let known = known();
    let failures = for_each_case(|case| match (case.wrong(), known.contains_key(&case.name)) {
        (wrong, true) if wrong.is_empty() => {
            vec!["it holds, but stands in known-failures: take it out there".to_string()]
        }
        (_, true) => Vec::new(),
        (wrong, false) => wrong,
    });
    assert!(
        failures.is_empty(),
        "{} cases (DTCL_CASE=WORD runs some):\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// A checker that cries wolf is switched off.
#[test]
fn what_runs_well_is_checked_in_silence() {
    let known = known();
    let failures =
        for_each_case(
            |case| if known.contains_key(&case.name) { Vec::new() } else { case.wrongly_checked() },
        );
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_case_has_a_name_of_its_own_a_rule_and_a_status() {
    let mut names = BTreeSet::new();
    for case in cases() {
        assert!(names.insert(case.name.clone()), "twice: {}", case.name);
        assert!(!case.header("rule").is_empty(), "no rule: {}", case.name);
        assert_eq!(
            case.sections.last().map(|section| section.kind.as_str()),
            Some("status"),
            "{}",
            case.name
        );
    }
    let strange: Vec<String> = known().into_keys().filter(|name| !names.contains(name)).collect();
    assert!(strange.is_empty(), "known-failures names no cases: {strange:?}");
}

/// The command table of the compatibility page comes from the catalogue, so no line of the catalogue is forgotten.
#[test]
fn every_syntax_line_has_scripts_that_parse_and_that_do_not() {
    let table =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md")).unwrap();
    let (_, table) = table.split_once("<!-- Generated").expect("the generated table");
    let lines: BTreeSet<String> = table
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split_once("` | "))
        .map(|(syntax, _)| syntax.replace("\\|", "|"))
        .collect();
    let mut tried: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for case in cases() {
        for syntax in case.header("syntax") {
            let parses = case.sections("status").any(|section| section.name() == "0");
            let entry = tried.entry(syntax.clone()).or_default();
            if parses { entry.0 = true } else { entry.1 = true }
        }
    }
    let missing: Vec<&String> = lines
        .iter()
        .filter(|line| {
            let without = line.strip_suffix(" [ON <machine>]").unwrap_or(line);
            let (parse, refuse) =
                tried.get(without).or_else(|| tried.get(*line)).copied().unwrap_or_default();
            // HELP takes whatever follows it.
            !(parse && (refuse || without == "HELP [<words>]"))
        })
        .collect();
    assert!(lines.len() > 100, "{} lines read", lines.len());
    assert!(missing.is_empty(), "no cases with this header `syntax:` {missing:#?}");
}

#[test]
fn a_wildcard_stands_for_a_part_of_a_line() {
    assert!(matches("a @*@ c\n", "a b c\n"));
    assert!(matches("@*@\n", "\n"));
    assert!(!matches("a @*@ c\n", "a b\nc\n"));
    assert!(!matches("a@*@\n", "b\n"));
    assert!(matches("@*@b@*@b\n", "abb\n"));
    assert!(!matches("@*@b@*@b\n", "ab\n"));
}
