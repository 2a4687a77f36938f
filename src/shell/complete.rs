//! Completion and hints, from the catalogue: what could stand where the cursor is.
//!
//! Pure but for [`Names`], which knows what there is now: sets, connections, machines, options, variables.

use std::path::PathBuf;

use super::paths::{self, must_quote};
use crate::commands::{self, CandidateKind};
use crate::lang::{self, Word, WordKind};

/// What there is at the moment.
pub trait Names {
    /// A key was pressed: what follows is asked for it.
    fn begin(&mut self) {}

    /// The values that exist for a slot, each with a note that is only shown; empty for a slot that has no list.
    fn values(&mut self, slot: &str) -> Vec<(String, String)>;

    /// What an option could be set to, each with a note.
    fn option_values(&mut self, _option: &str) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The names in a directory of the current source, each with whether it is a directory; None: the source is this machine.
    fn source_entries(&mut self, _folder: &str) -> Option<Vec<(String, bool)>> {
        None
    }

    /// The variables' names, without `$`.
    fn variables(&self) -> Vec<String>;

    /// Where relative paths of this slot begin.
    fn base(&self, slot: &str) -> PathBuf;
}

/// One thing that could stand at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// As listed.
    pub shown: String,
    /// What replaces the text from the offered start to the cursor.
    pub text: String,
}

/// Words that begin a statement and are no commands.
pub(super) const STATEMENTS: &[&str] =
    &["BREAK", "CONTINUE", "ELSE", "ELSEIF", "END", "FOR", "FOR EACH", "IF", "ON ERROR", "RETURN", "WHILE"];

/// Slots whose value is a place in a file system.
const PATHS: &[&str] = &["path", "file", "filename", "device", "task"];

/// What could stand at the end of `text`, and where the text that it replaces begins.
pub fn complete(text: &str, names: &mut dyn Names) -> (usize, Vec<Offer>) {
    names.begin();
    let typed = lang::words(text);
    if typed.in_expression || (typed.partial.quote.is_none() && typed.partial.text.starts_with('$')) {
        return in_expression(text, names);
    }
    let partial = &typed.partial;
    let words = typed.words.as_slice();
    let upper = upper(&words_of(words), &partial.text);
    let candidates = commands::complete(words, if partial.quote.is_some() { "" } else { &partial.text });
    let mut offers = Vec::new();
    if partial.quote.is_none() {
        if words.is_empty() {
            let fits = |word: &&&str| starts(word, &partial.text);
            offers.extend(STATEMENTS.iter().filter(fits).map(|word| keyword(word, upper)));
        }
        let keywords = candidates.iter().filter(|candidate| matches!(candidate.kind, CandidateKind::Keyword));
        offers.extend(keywords.map(|candidate| keyword(&candidate.text, upper)));
    }
    let mut slots: Vec<&str> = Vec::new();
    for candidate in &candidates {
        if let CandidateKind::Slot(slot) = candidate.kind
            && !slots.contains(&slot)
        {
            slots.push(slot);
        }
    }
    for slot in slots {
        if matches!(slot, "words" | "command") && partial.quote.is_none() {
            let first = commands::complete(&[], &partial.text);
            offers.extend(first.iter().map(|candidate| keyword(&candidate.text, upper)));
        }
        if PATHS.contains(&slot) {
            // All files there are, only to one who has begun a path or can say nothing else.
            if !partial.text.is_empty() || partial.quote.is_some() || offers.is_empty() {
                let folder = paths::split(&partial.text).0;
                let far = if slot == "path" { names.source_entries(folder) } else { None };
                let found = match far {
                    Some(entries) => paths::offers_of(&partial.text, partial.quote, entries.into_iter()),
                    None => paths::offers(&partial.text, partial.quote, &names.base(slot)),
                };
                offers.extend(found.into_iter().map(|path| Offer { shown: path.shown, text: path.text }));
            }
            continue;
        }
        let values = match (slot, option(words)) {
            ("value", Some(option)) => names.option_values(option),
            _ => names.values(slot),
        };
        for (value, note) in values {
            if starts(&value, &partial.text) {
                let taken = offers.iter().any(|offer| offer.text.trim_end().eq_ignore_ascii_case(&value));
                offers.push(offered_value(&value, &note, partial.quote, taken));
            }
        }
    }
    offers.sort_by(|a, b| a.shown.cmp(&b.shown));
    offers.dedup();
    (partial.start, offers)
}

/// What could stand at the end of a command's text as far as the catalogue and the file system tell: words that another shell
/// completes with.
pub fn words(text: &str) -> Vec<String> {
    complete(text, &mut Nothing).1.into_iter().map(|offer| offer.text.trim_end().to_owned()).collect()
}

/// Nothing is asked: neither an engine nor a home is touched.
struct Nothing;

impl Names for Nothing {
    fn values(&mut self, _slot: &str) -> Vec<(String, String)> {
        Vec::new()
    }

    fn variables(&self) -> Vec<String> {
        Vec::new()
    }

    fn base(&self, _slot: &str) -> PathBuf {
        PathBuf::from(".")
    }
}

/// The rest of the syntax behind what is typed, as a hint; with its blank before it if one is missing.
pub fn hint(text: &str) -> Option<String> {
    let typed = lang::words(text);
    if typed.in_expression || typed.partial.quote.is_some() {
        return None;
    }
    let mut words = typed.words;
    let mut blank = "";
    if !typed.partial.text.is_empty() {
        let span = lang::Span::new(typed.partial.start, text.len());
        let kind = if typed.partial.text.starts_with('$') {
            WordKind::Value
        } else {
            WordKind::Bare(typed.partial.text.into())
        };
        words.push(Word { span, kind });
        blank = " ";
    }
    if words.is_empty() {
        return None;
    }
    let hint = commands::hint(&words).filter(|hint| !hint.is_empty())?;
    Some(format!("{blank}{hint}"))
}

/// The option that a SET is about.
fn option(words: &[Word]) -> Option<&str> {
    let (set, name) = (text_of(&words.first()?.kind)?, text_of(&words.get(1)?.kind)?);
    set.eq_ignore_ascii_case("set").then_some(name)
}

fn words_of(words: &[Word]) -> Vec<&str> {
    let bare = |word: &'_ Word| matches!(word.kind, WordKind::Bare(_));
    words.iter().filter(|word| bare(word)).filter_map(|word| text_of(&word.kind)).collect()
}

fn text_of(kind: &WordKind) -> Option<&str> {
    match kind {
        WordKind::Bare(text) | WordKind::Quoted(text) => Some(text),
        _ => None,
    }
}

/// Variables and functions for the name at the text's end.
fn in_expression(text: &str, names: &dyn Names) -> (usize, Vec<Offer>) {
    let name = |char: char| char.is_alphanumeric() || char == '_';
    let start = text.trim_end_matches(name).len();
    if text[..start].ends_with('$') {
        let mut offers: Vec<Offer> = names
            .variables()
            .into_iter()
            .filter(|variable| starts(variable, &text[start..]))
            .map(|variable| Offer { shown: format!("${variable}"), text: variable })
            .collect();
        offers.sort_by(|a, b| a.shown.cmp(&b.shown));
        return (start, offers);
    }
    if start == text.len() || text[..start].ends_with(['"', '\'']) {
        return (text.len(), Vec::new());
    }
    let functions = lang::Function::ALL.iter().filter(|function| starts(function.name(), &text[start..]));
    let offers = functions
        .map(|function| Offer { shown: function.form().to_owned(), text: format!("{}(", function.name()) });
    (start, offers.collect())
}

fn keyword(word: &str, upper: bool) -> Offer {
    let text = if upper { word.to_uppercase() } else { word.to_lowercase() };
    Offer { shown: text.clone(), text: text + " " }
}

fn offered_value(value: &str, note: &str, quote: Option<char>, taken: bool) -> Offer {
    let shown = if note.is_empty() { value.to_owned() } else { format!("{value} ({note})") };
    let text = match quote {
        Some(quote) => format!("{quote}{}{quote}", value.replace(quote, &quote.to_string().repeat(2))),
        None if taken || must_quote(value) => lang::quote(value),
        None => value.to_owned(),
    };
    Offer { shown, text: text + " " }
}

/// Keywords are filled in as the person types: in capitals or not.
fn upper(words: &[&str], partial: &str) -> bool {
    let sample = if partial.is_empty() { words.first().copied().unwrap_or_default() } else { partial };
    sample.contains(char::is_alphabetic) && !sample.contains(char::is_lowercase)
}

fn starts(word: &str, start: &str) -> bool {
    word.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    struct Fixed(PathBuf);

    impl Names for Fixed {
        fn values(&mut self, slot: &str) -> Vec<(String, String)> {
            let names: &[(&str, &str)] = match slot {
                "repset" => &[("payroll", ""), ("Pay & co", ""), ("to", ""), ("it's", "")],
                "con_id" => &[("1", "payroll to beta")],
                "target" | "machine" | "address" => &[("beta", "")],
                _ => &[],
            };
            names.iter().map(|(name, note)| ((*name).to_owned(), (*note).to_owned())).collect()
        }

        fn variables(&self) -> Vec<String> {
            vec!["con".into(), "count".into(), "dir".into()]
        }

        fn base(&self, _: &str) -> PathBuf {
            self.0.clone()
        }
    }

    fn texts_in(base: &Path, text: &str) -> (usize, Vec<String>) {
        let (start, offers) = complete(text, &mut Fixed(base.to_owned()));
        (start, offers.into_iter().map(|offer| offer.text).collect())
    }

    fn texts(text: &str) -> Vec<String> {
        texts_in(Path::new("/nowhere"), text).1
    }

    #[test]
    fn commands_and_statements_begin_a_line() {
        assert_eq!(texts("reps"), ["repset "]);
        assert_eq!(texts("REPS"), ["REPSET "]);
        assert_eq!(texts("whi"), ["while "]);
        assert_eq!(texts("write 1; mirr"), ["mirror "]);
        assert_eq!(texts("if $r > 0 then mirr"), ["mirror "]);
        assert_eq!(texts("frobnicate "), Vec::<String>::new());
    }

    #[test]
    fn sets_are_offered_as_the_language_can_read_them() {
        assert_eq!(texts_in(Path::new("/"), "repset display p").0, 15);
        assert_eq!(texts("repset display p"), ["\"Pay & co\" ", "payroll "]);
        assert_eq!(texts("repset display \"p"), ["\"Pay & co\" ", "\"payroll\" "]);
        assert_eq!(texts("repset display i"), ["\"it's\" "]);
        assert_eq!(texts("repset display 'i"), ["'it''s' "]);
        assert_eq!(texts("connect payroll to b"), ["beta "]);
    }

    #[test]
    fn a_name_that_is_a_keyword_there_is_quoted() {
        let offers = texts("repset rule add /x include t");
        assert!(offers.contains(&"to ".to_owned()), "{offers:?}");
        assert_eq!(texts("repset delete t"), ["to "]);
    }

    #[test]
    fn connections_show_what_they_connect() {
        let (_, offers) = complete("mirror start ", &mut Fixed("/".into()));
        assert_eq!(offers, [Offer { shown: "1 (payroll to beta)".into(), text: "1 ".into() }]);
    }

    #[test]
    fn variables_and_functions_stand_in_expressions() {
        assert_eq!(texts("mirror start $co"), ["con", "count"]);
        assert_eq!(texts("if $d"), ["dir"]);
        assert_eq!(texts("write (le"), ["len("]);
        assert_eq!(texts("write (\"le"), Vec::<String>::new());
    }

    #[test]
    fn paths_are_offered_once_they_are_begun() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("my data")).unwrap();
        std::fs::write(dir.path().join("plain"), "").unwrap();
        assert_eq!(texts_in(dir.path(), "run pl"), (4, vec!["plain".into()]));
        assert_eq!(texts_in(dir.path(), "repset rule add \"my"), (16, vec!["\"my data/".into()]));
        assert_eq!(texts_in(dir.path(), "repset import my"), (14, vec!["\"my data/".into()]));
    }

    #[test]
    fn help_and_watch_take_a_command() {
        assert_eq!(texts("help reps"), ["repset "]);
        assert_eq!(texts("help repset cr"), ["create "]);
        assert_eq!(texts("watch 5 reps"), ["repset "]);
    }

    #[test]
    fn a_hint_is_what_is_still_missing() {
        assert_eq!(hint(""), None);
        assert_eq!(hint("frobnicate"), None);
        let missing = hint("conid payroll").unwrap();
        assert!(missing.starts_with(' ') && missing.contains("TO"), "{missing}");
        assert!(hint("conid ").unwrap().starts_with("<repset>"));
    }
}
