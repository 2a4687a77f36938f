//! `--check`: a script, those it names with RUN and INCLUDE, and the modules it names with USE; each shown once.

use super::advice::Advice;
use super::{Interpreter, extend, verbs};
use crate::commands::{self, Handler, Item, Session, Verb};
use crate::lang::{self, Diagnostic, Known, Span, Vocabulary, Word};
use std::cell::RefCell;
use std::collections::HashSet;

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

impl Interpreter {
    /// Parses and checks a script and those it names, runs nothing, and shows every finding. True if none of them
    /// is an error.
    pub fn check(&mut self, name: &str, text: &[u8]) -> bool {
        let mut clean = true;
        let mut seen = HashSet::new();
        let mut waiting = vec![(name.to_owned(), false, true, lang::decode(name, text))];
        // `shares`: it has the variables of the first one, which alone has those of --var.
        while let Some((name, included, shares, decoded)) = waiting.pop() {
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
            let setting = lang::Setting { included, preset: if shares { &self.preset } else { &[] } };
            let session = self.session();
            let catalogue = Catalogue(&session, RefCell::default());
            let checked = lang::check(&source, &catalogue, setting);
            let advice = catalogue.1.into_inner();
            drop(session);
            let mut findings = checked.findings;
            findings.extend(advice.findings);
            findings.extend(extend::check(&name, &checked.used, checked.calls, included || checked.includes));
            for named in checked.named.into_iter().rev() {
                let path = verbs::beside(&name, &named.file);
                let shown = path.to_string_lossy().into_owned();
                if seen.contains(&shown) {
                    continue;
                }
                match std::fs::read(&path) {
                    Ok(bytes) => {
                        waiting.push((
                            shown.clone(),
                            named.include,
                            shares && named.include,
                            lang::decode(shown, &bytes),
                        ));
                    }
                    // It may be there when the script is run.
                    Err(error) => findings.push(
                        Diagnostic::warning(format!("cannot read {shown}: {error}"), named.span)
                            .help("a relative name is looked for beside the script that names it"),
                    ),
                }
            }
            findings.sort_by_key(|finding| finding.span.start);
            clean &= !findings.iter().any(Diagnostic::is_error);
            self.tell_all(&findings, &source);
        }
        clean
    }
}
