//! `--check`: a script and those it names with RUN and INCLUDE, each shown once.

use super::{Interpreter, verbs};
use crate::commands::{self, Handler, Item, Session, Verb};
use crate::lang::{self, Diagnostic, Known, Source, Span, Vocabulary, Word};
use std::collections::HashSet;

/// The catalogue, for the checker, and the session, which knows the options.
struct Catalogue<'a>(&'a Session);

impl Vocabulary for Catalogue<'_> {
    fn check(&self, words: &[Word], end: Span) -> Result<Known, Diagnostic> {
        let binding = commands::bind(words, end)?;
        if let Some(problem) = self.0.vet_options(&binding, words) {
            return Err(problem);
        }
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
            Verb::Use => Known::Module,
            Verb::Watch => {
                if let Some(rest) = binding.rest {
                    self.check(&words[rest..], end)?;
                }
                Known::Plain
            }
            Verb::Sleep | Verb::Exit => Known::Plain,
        })
    }
}

impl Interpreter {
    /// Parses and checks a script and those it names, runs nothing, and shows every finding. True if none of them
    /// is an error.
    pub fn check(&mut self, name: &str, text: &[u8]) -> bool {
        let mut clean = true;
        let mut seen = HashSet::new();
        let mut waiting = vec![(name.to_owned(), lang::decode(name, text))];
        while let Some((name, decoded)) = waiting.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let source = match decoded {
                Ok(source) => source,
                Err(refused) => {
                    let (source, problem) = *refused;
                    self.tell(&problem, &source);
                    clean = false;
                    continue;
                }
            };
            let checked = lang::check(&source, &Catalogue(&self.session));
            let mut findings = checked.findings;
            for named in checked.named.into_iter().rev() {
                let path = verbs::beside(&name, &named.file);
                let shown = path.to_string_lossy().into_owned();
                if seen.contains(&shown) {
                    continue;
                }
                match std::fs::read(&path) {
                    Ok(bytes) => waiting.push((shown.clone(), lang::decode(shown, &bytes))),
                    // It may be there when the script is run.
                    Err(error) => findings.push(
                        Diagnostic::warning(format!("cannot read {shown}: {error}"), named.span)
                            .help("a relative name is looked for beside the script that names it"),
                    ),
                }
            }
            findings.sort_by_key(|finding| finding.span.start);
            clean &= !findings.iter().any(Diagnostic::is_error);
            self.show_findings(&findings, &source);
        }
        clean
    }

    fn show_findings(&mut self, findings: &[Diagnostic], source: &Source) {
        self.tell_all(findings, source);
    }
}
