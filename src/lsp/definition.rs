//! Where a thing is defined: the file that RUN, INCLUDE or USE names, the function of a module.

use super::LONGEST_FILE;
use super::document::Document;
use super::place::{self, There};
use super::protocol::{Location, Position, Range};
use crate::commands::{self, Handler, Item, Verb};
use crate::lang::{self, ClauseKind, Span, Word, WordKind};
use crate::sys::read_regular;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// So many files that include each other are looked into.
const FILES: usize = 64;

/// The answer to `textDocument/definition`.
pub fn definition(document: &Document, path: &Path, offset: usize) -> Option<Location> {
    let text = document.text();
    match place::there(text, offset)? {
        There::Command { words, end, at } => {
            let named = named(&words, end)?;
            // On the file's name, or on the word that says what is done with it.
            let fits = at.is_none_or(|at| at == named.word || at == 0);
            let path = beside(path, &named.file);
            (fits && path.is_file()).then(|| Location { uri: place::uri_of(&path), range: BEGIN })
        }
        There::Call { name, arguments, .. } => {
            let found = Functions { text, path }.find(&name, arguments)?;
            let text = Document::new(found.text, 0);
            Some(Location { uri: place::uri_of(&found.path), range: text.range(found.name) })
        }
        There::Word(_) => None,
    }
}

const BEGIN: Range =
    Range { start: Position { line: 0, character: 0 }, end: Position { line: 0, character: 0 } };

/// A file that a command names.
struct Named {
    verb: Verb,
    file: String,
    /// The word behind AS.
    name: Option<String>,
    word: usize,
}

fn named(words: &[Word], end: Span) -> Option<Named> {
    let binding = commands::bind_form(words, end).ok()?;
    let Handler::Interpreter(verb @ (Verb::Run | Verb::Include | Verb::Use)) = binding.command.handler else {
        return None;
    };
    let value = |wanted: &str| {
        binding.items.iter().find_map(|item| match item {
            Item::Value { slot, word } if *slot == wanted => match &words.get(*word)?.kind {
                WordKind::Bare(text) | WordKind::Quoted(text) => Some((text.to_string(), *word)),
                _ => None,
            },
            _ => None,
        })
    };
    let (file, word) = value("file")?;
    Some(Named { verb, file, name: value("name").map(|(name, _)| name), word })
}

/// Relative names are looked for beside the script that names them.
fn beside(script: &Path, name: &str) -> PathBuf {
    script.parent().map_or_else(|| PathBuf::from(name), |directory| directory.join(name))
}

/// The functions that a script may call: those of the modules that it and what it includes use.
pub struct Functions<'a> {
    pub text: &'a str,
    pub path: &'a Path,
}

/// One that was found.
pub struct Found {
    pub path: PathBuf,
    pub text: String,
    /// The place of its name.
    pub name: Span,
}

impl Functions<'_> {
    /// The function that a call means.
    pub fn find(&self, call: &str, arguments: u32) -> Option<Found> {
        let (module, function) = match call.split_once("::") {
            Some((module, function)) => (Some(module), function),
            None => (None, call),
        };
        let mut seen = HashSet::from([self.path.to_owned()]);
        let mut waiting = vec![(self.path.to_owned(), self.text.to_owned())];
        let mut nearly = None;
        while let Some((script, text)) = waiting.pop() {
            for named in files(&text) {
                let path = beside(&script, &named.file);
                if seen.len() > FILES || !seen.insert(path.clone()) {
                    continue;
                }
                let Ok(bytes) = read_regular(&path, LONGEST_FILE) else { continue };
                let Ok(text) = String::from_utf8(bytes) else { continue };
                if named.verb == Verb::Include {
                    waiting.push((path, text));
                    continue;
                }
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                let name = named.name.as_deref().unwrap_or(stem);
                if module.is_some_and(|module| !module.eq_ignore_ascii_case(name)) {
                    continue;
                }
                match function_in(&text, function, arguments) {
                    Some((name, true)) => return Some(Found { path, text, name }),
                    Some((name, false)) => nearly = nearly.or(Some(Found { path, text, name })),
                    None => {}
                }
            }
        }
        nearly
    }
}

/// The files that a script uses and includes. Only lines that may name one are parsed.
fn files(text: &str) -> Vec<Named> {
    let may = |line: &&str| {
        let has = |word: &str| {
            line.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        };
        has("use ") || has("include ")
    };
    let mut found = Vec::new();
    for line in text.lines().filter(may) {
        lang::parse(line, |part| {
            for clause in &part.clauses {
                let command = match &clause.kind {
                    ClauseKind::Command(command) => command,
                    ClauseKind::AssignCommand { command, .. } => command,
                    _ => continue,
                };
                let named = named(part.words(command), command.end);
                found.extend(named.filter(|named| named.verb != Verb::Run));
            }
        });
    }
    found
}

/// The place of a function's name in a module, and whether it takes so many arguments.
fn function_in(text: &str, name: &str, arguments: u32) -> Option<(Span, bool)> {
    let mut nearly = None;
    for (at, _) in text.match_indices("fn") {
        let apart = |c: char| !(c.is_alphanumeric() || c == '_');
        let line = &text[text[..at].rfind('\n').map_or(0, |end| end + 1)..at];
        if !text[..at].chars().next_back().is_none_or(apart) || line.contains("//") {
            continue;
        }
        let rest = &text[at + 2..];
        let begin = at + 2 + (rest.len() - rest.trim_start().len());
        let length = text[begin..].find(apart).unwrap_or(0);
        if begin == at + 2 || !text[begin..begin + length].eq_ignore_ascii_case(name) {
            continue;
        }
        let Some(parameters) = text[begin + length..].trim_start().strip_prefix('(') else { continue };
        let parameters = parameters.split(')').next().unwrap_or_default();
        let many = parameters.split(',').filter(|one| !one.trim().is_empty()).count();
        let span = Span::new(begin, begin + length);
        if many == arguments as usize {
            return Some((span, true));
        }
        nearly = nearly.or(Some((span, false)));
    }
    nearly
}

impl Found {
    /// Its head with the comment above it, and where it stands.
    pub fn told(&self) -> String {
        let at = self.name.start as usize;
        let begin = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        let head = self.text[begin..].lines().next().unwrap_or_default();
        let head = head.split('{').next().unwrap_or_default().trim();
        let mut comment: Vec<&str> = Vec::new();
        for line in self.text[..begin].lines().rev() {
            let Some(line) = line.trim().strip_prefix("//") else { break };
            comment.push(line.trim_start_matches('/').trim());
        }
        comment.reverse();
        let file = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("```rhai\n{head}\n```\n{}\n\n{file}", comment.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_by_its_name_and_arguments() {
        let text = "// fn f(x)\nconst A = 1;\nfn g(f) { f }\n// One.\n/// Two.\nprivate fn f(a, b) { }\nfn F(a) {}\nfn fn_f() {}";
        let (two, fits) = function_in(text, "f", 2).unwrap();
        assert!(fits && text[two.start as usize..].starts_with("f(a, b)"));
        let (one, _) = function_in(text, "f", 1).unwrap();
        assert!(text[one.start as usize..].starts_with("F(a)"));
        assert!(!function_in(text, "f", 5).unwrap().1);
        assert!(function_in(text, "x", 1).is_none());
        let found = Found { path: "/a/m.rhai".into(), text: text.into(), name: two };
        assert_eq!(found.told(), "```rhai\nprivate fn f(a, b)\n```\nOne. Two.\n\nm.rhai");
    }

    #[test]
    fn modules_are_found_through_included_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        file("lib.dtcl", "IF TRUE THEN USE \"m.rhai\" AS tools END\ninclude main.dtcl\n");
        file("m.rhai", "fn double(x) { x * 2 }\n");
        let path = dir.path().join("main.dtcl");
        let functions = Functions { text: "include lib.dtcl\n$x = tools::double(2)\n", path: &path };
        assert_eq!(functions.find("TOOLS::Double", 1).unwrap().path, dir.path().join("m.rhai"));
        assert!(functions.find("double", 1).is_some());
        assert!(functions.find("m::double", 1).is_none());
    }
}
