//! `--check`: a script, those it names with RUN and INCLUDE, and the modules it names with USE; each shown once.

use super::advice::Advice;
use super::{Interpreter, extend, verbs};
use crate::commands::{self, Handler, Item, Session, Verb};
use crate::lang::{self, Diagnostic, Known, Source, Span, Vocabulary, Word};
use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The catalogue, for the checker, the session, which knows the options, and what the script did so far.
struct Catalogue<'a>(&'a Session, RefCell<Advice>);

impl Vocabulary for Catalogue<'_> {
    fn forget(&self) {
        self.1.borrow_mut().forget();
    }

    fn check(&self, words: &[Word], end: Span) -> Result<Known, Diagnostic> {
        let binding = commands::bind(words, end)?;
        if let Some(problem) = self.0.vet_options(&binding, words) {
            return Err(problem);
        }
        self.1.borrow_mut().take(&binding, words);
        let Handler::Interpreter(verb) = binding.command.handler else { return Ok(Known::Plain) };
        let value = |name: &str| {
            binding.items.iter().find_map(|item| match item {
                Item::Value { slot, word } if *slot == name => Some(*word),
                _ => None,
            })
        };
        Ok(match verb {
            Verb::Write => {
                let first = binding.items.iter().find_map(|item| match item {
                    Item::Value { word, .. } => Some(*word),
                    Item::Keyword(_) => None,
                });
                Known::Write { from: first.unwrap_or(words.len()) }
            }
            Verb::Run | Verb::Include => match value("file") {
                Some(file) => Known::Script { file, include: verb == Verb::Include },
                None => Known::Plain,
            },
            Verb::Use => match value("file") {
                Some(file) => Known::Module { file, name: value("name") },
                None => Known::Plain,
            },
            Verb::Watch => {
                if let Some(rest) = binding.rest {
                    self.check(&words[rest..], end)?;
                }
                Known::Plain
            }
            Verb::Exit => Known::Exit,
            Verb::Sleep => Known::Plain,
        })
    }
}

/// A script, or one that it names, with everything that was found in it.
#[derive(Debug)]
pub struct CheckedFile {
    pub source: Source,
    pub findings: Vec<Diagnostic>,
    /// Another one of them includes it.
    pub included: bool,
    /// The scripts that it names, whether they can be read or not.
    pub names: Vec<PathBuf>,
}

/// Parses and checks a script and those it names, in the order in which they are reached; runs nothing. `preset`: variables that are
/// assigned before it begins; `read`: how a script is read that another one names.
pub fn check_files(
    session: &Session,
    preset: &[(String, String)],
    name: &str,
    text: &[u8],
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Vec<CheckedFile> {
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    let mut waiting = vec![(name.to_owned(), false, true, lang::decode(name, text))];
    // `shares`: it has the variables of the first one, which alone has those of --var.
    while let Some((name, included, shares, decoded)) = waiting.pop() {
        if !seen.insert(one_name(Path::new(&name))) {
            continue;
        }
        let source = match decoded {
            Ok(source) => source,
            Err(refused) => {
                let (source, problem) = *refused;
                files.push(CheckedFile { source, findings: vec![problem], included, names: Vec::new() });
                continue;
            }
        };
        let setting = lang::Setting { included, preset: if shares { preset } else { &[] } };
        let catalogue = Catalogue(session, RefCell::default());
        let checked = lang::check(&source, &catalogue, setting);
        let mut findings = checked.findings;
        findings.extend(catalogue.1.into_inner().findings);
        findings.extend(extend::check(&name, &checked.used, checked.calls, included || checked.includes));
        let mut names = Vec::new();
        for named in checked.named.into_iter().rev() {
            let path = verbs::beside(&name, &named.file);
            let shown = path.to_string_lossy().into_owned();
            names.push(path.clone());
            if seen.contains(&one_name(&path)) {
                continue;
            }
            match read(&path) {
                Ok(bytes) => {
                    let shares = shares && named.include;
                    waiting.push((shown.clone(), named.include, shares, lang::decode(shown, &bytes)));
                }
                // It may be there when the script is run.
                Err(error) => findings.push(
                    Diagnostic::warning(format!("cannot read {shown}: {error}"), named.span)
                        .help("a relative name is looked for beside the script that names it"),
                ),
            }
        }
        findings.sort_by_key(|finding| finding.span.start);
        files.push(CheckedFile { source, findings, included, names });
    }
    files
}

/// The same for each way to write a file's name, so that scripts which name each other by way of `..` come to an end.
fn one_name(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir
                    if matches!(plain.components().next_back(), Some(Component::Normal(_))) =>
                {
                    plain.pop();
                }
                part => plain.push(part),
            }
        }
        plain
    })
}

impl Interpreter {
    /// Parses and checks a script and those it names, runs nothing, and shows every finding. True if none of them
    /// is an error.
    pub fn check(&mut self, name: &str, text: &[u8]) -> bool {
        let files = check_files(&self.session(), &self.preset, name, text, &|path| std::fs::read(path));
        for file in &files {
            self.tell_all(&file.findings, &file.source);
        }
        !files.iter().any(|file| file.findings.iter().any(Diagnostic::is_error))
    }
}
