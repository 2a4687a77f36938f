//! `--check` beyond a single command: what earlier commands of the script make of a later one. Taken in the order of
//! the text, with the names that are written out; what cannot be known is not told.

use crate::commands::{Binding, Item};
use crate::lang::{Diagnostic, Span, Word, WordKind};
use std::collections::HashSet;

/// What the script has done so far.
#[derive(Debug, Default)]
pub(super) struct Advice {
    /// Sets that it made or changed and did not save, in lower case.
    unsaved: HashSet<String>,
    /// There was a CONNECT.
    connected: bool,
    pub(super) findings: Vec<Diagnostic>,
}

/// The words of a command as they bind.
struct Bound<'a> {
    binding: &'a Binding,
    words: &'a [Word],
}

impl Bound<'_> {
    fn has(&self, keyword: &str) -> bool {
        self.binding.items.iter().any(|item| matches!(item, Item::Keyword(word) if *word == keyword))
    }

    /// The first keyword: the command's name.
    fn first(&self) -> &'static str {
        match self.binding.items.first() {
            Some(Item::Keyword(word)) => word,
            _ => "",
        }
    }

    /// A value that is written out.
    fn text(&self, wanted: &str) -> Option<(&str, Span)> {
        self.binding.items.iter().find_map(|item| match item {
            Item::Value { slot, word } if *slot == wanted => match &self.words.get(*word)?.kind {
                WordKind::Bare(text) | WordKind::Quoted(text) => Some((&**text, self.words[*word].span)),
                _ => None,
            },
            _ => None,
        })
    }

    fn given(&self, wanted: &str) -> bool {
        self.binding.items.iter().any(|item| matches!(item, Item::Value { slot, .. } if *slot == wanted))
    }
}

impl Advice {
    /// One command of the script.
    pub(super) fn take(&mut self, binding: &Binding, words: &[Word]) {
        let bound = Bound { binding, words };
        match bound.first() {
            "REPSET" => self.set(&bound),
            "CONNECT" => self.connect(&bound),
            // They may save, or mean another machine's sets.
            "RUN" | "INCLUDE" | "SOURCE" => self.unsaved.clear(),
            name if name.starts_with("WAITON") => self.wait(&bound, name),
            _ => {}
        }
        self.connection(&bound);
    }

    /// Another path begins, or something unknown was run.
    pub(super) fn forget(&mut self) {
        self.unsaved.clear();
    }

    fn set(&mut self, bound: &Bound<'_>) {
        let name = bound.text("repset").map(|(name, _)| name.to_lowercase());
        let changes = bound.has("CREATE") || bound.has("RULE") && !bound.has("LIST");
        match name {
            Some(name) if changes => _ = self.unsaved.insert(name),
            Some(name) if bound.has("SAVE") || bound.has("RESYNC") || bound.has("DELETE") => {
                self.unsaved.remove(&name);
            }
            // All, or one whose name is known when it runs.
            None if bound.has("SAVE") || bound.has("RESYNC") || bound.given("repset") => self.unsaved.clear(),
            _ => {}
        }
    }

    fn connect(&mut self, bound: &Bound<'_>) {
        self.connected = true;
        if let Some((name, span)) = bound.text("repset")
            && self.unsaved.contains(&name.to_lowercase())
        {
            self.findings.push(
                Diagnostic::warning(format!("{name} was changed in this script and is not saved"), span)
                    .help(format!("only a saved set can be connected (-144): repset save {name}")),
            );
        }
    }

    fn wait(&mut self, bound: &Bound<'_>, name: &str) {
        if bound.has("TIMEOUT") {
            return;
        }
        let whole = self.span(bound);
        self.findings.push(
            Diagnostic::hint(format!("{name} may wait for ever"), whole)
                .help("timeout = 6 hours ends it; the command then returns 0, which a script can test"),
        );
    }

    fn span(&self, bound: &Bound<'_>) -> Span {
        bound.words.iter().map(|word| word.span).reduce(Span::join).unwrap_or_default()
    }

    /// A number written out, where CONNECT gave one.
    fn connection(&mut self, bound: &Bound<'_>) {
        if !self.connected {
            return;
        }
        if let Some((number, span)) = bound.text("con_id")
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            self.findings
                .push(Diagnostic::warning(format!("connection {number} is written out"), span).help(
                "CONNECT gives the number, which may be another one next time: $con = connect ..., then $con",
            ));
        }
    }
}
