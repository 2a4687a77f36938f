//! What could stand at the cursor: as in the shell, with the names that the script itself has instead of those of a machine.

use super::document::Document;
use super::place;
use crate::lang::{READ_ONLY, unquote};
use crate::shell::complete::{self, Names};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The answer to `textDocument/completion`. `options`: the names of settings.
pub fn complete(document: &Document, offset: usize, path: Option<&Path>, options: &[&'static str]) -> Value {
    let text = document.text();
    let line = place::line(text, offset);
    let typed = joined(&text[line.start..offset]);
    let begin = typed.trim_start();
    if begin.starts_with('#') || begin.starts_with("//") {
        return json!([]);
    }
    let folder = path.and_then(Path::parent).map_or_else(|| PathBuf::from("."), Path::to_owned);
    let mut names = Written { text, folder, options };
    let (start, offers) = complete::complete(&typed, &mut names);
    let range = document.range(crate::lang::Span::new(line.start + start, offset));
    let after_dollar = typed[..start].ends_with('$');
    let items: Vec<Value> = offers
        .into_iter()
        .map(|offer| {
            let text = offer.text.trim_end();
            json!({
                "label": offer.shown,
                "kind": kind(text, after_dollar),
                "filterText": text,
                "textEdit": { "range": range, "newText": text },
            })
        })
        .collect();
    // Paths and names depend on what is typed on.
    json!({ "isIncomplete": true, "items": items })
}

/// The protocol's numbers: function, variable, file, keyword.
fn kind(text: &str, after_dollar: bool) -> u8 {
    match text {
        _ if after_dollar => 6,
        text if text.ends_with('(') => 3,
        text if text.contains('/') => 17,
        _ => 14,
    }
}

/// Continued lines as one: what continues them becomes blanks.
fn joined(typed: &str) -> String {
    let mut lines = typed.split('\n').peekable();
    let mut joined = String::with_capacity(typed.len());
    while let Some(line) = lines.next() {
        if lines.peek().is_none() {
            joined.push_str(line);
        } else {
            let kept = line.trim_end_matches([' ', '\t', '\r', '\\']);
            joined.push_str(kept);
            joined.extend(std::iter::repeat_n(' ', line.len() - kept.len() + 1));
        }
    }
    joined
}

/// The names that a script itself has.
struct Written<'a> {
    text: &'a str,
    folder: PathBuf,
    options: &'a [&'static str],
}

impl Written<'_> {
    /// The sets that it makes.
    fn sets(&self) -> BTreeSet<String> {
        const CREATE: &str = "repset create ";
        let lines = self.text.lines().map(str::trim_start);
        let made = lines
            .filter(|line| line.get(..CREATE.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(CREATE)));
        made.filter_map(|line| {
            let name = line[CREATE.len()..].trim_start();
            match name.chars().next()? {
                quote @ ('"' | '\'') => {
                    let end = name[1..].find(quote)?;
                    Some(unquote(&name[..end + 2]).into_owned())
                }
                '$' | '(' => None,
                _ => name.split([' ', '\t', ';']).next().map(str::to_owned),
            }
        })
        .collect()
    }
}

impl Names for Written<'_> {
    fn values(&mut self, slot: &str) -> Vec<(String, String)> {
        let plain = |name: String| (name, String::new());
        match slot {
            "repset" => self.sets().into_iter().map(plain).collect(),
            "option" => self.options.iter().map(|name| plain((*name).to_owned())).collect(),
            _ => Vec::new(),
        }
    }

    /// Those that stand in the text; the one being typed is among them only if it stands elsewhere too.
    fn variables(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
        for (at, _) in self.text.match_indices('$') {
            let rest = &self.text[at + 1..];
            let name = &rest[..rest.find(|c| !letter(c)).unwrap_or(rest.len())];
            let assigned = rest[name.len()..].trim_start().starts_with('=')
                || rest[name.len()..]
                    .trim_start_matches(' ')
                    .get(..3)
                    .is_some_and(|word| word.eq_ignore_ascii_case("in "));
            if !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && assigned {
                seen.insert(name.to_lowercase());
            }
        }
        seen.extend(READ_ONLY.iter().map(|name| (*name).to_owned()));
        seen.into_iter().collect()
    }

    fn base(&self, _slot: &str) -> PathBuf {
        self.folder.clone()
    }
}
