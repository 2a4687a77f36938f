//! Completion of paths: names of a directory on this machine, quoted where they must be.
//!
//! Offered is only what the language can say: a name that is not UTF-8, holds control characters or both kinds of
//! quotes is left out.

use std::path::Path;

/// More names than these are not listed: only what they have in common is filled in.
const MOST: usize = 5000;

/// One name offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// As listed: the last name alone, `/` behind a directory.
    pub shown: String,
    /// What replaces the word, its opening quote included.
    pub text: String,
}

/// The paths that begin with `typed` (without quotes). `quote` is the opening quote that is there already. Relative paths
/// are looked up below `base`.
pub fn offers(typed: &str, quote: Option<char>, base: &Path) -> Vec<Offer> {
    let Ok(entries) = std::fs::read_dir(base.join(split(typed).0)) else { return Vec::new() };
    let start = split(typed).1;
    let entries = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        // Follows links: what leads to a directory can be gone into. Looked at only where it is wanted.
        let folder = name.starts_with(start) && entry.path().is_dir();
        Some((name, folder))
    });
    offers_of(typed, quote, entries)
}

/// The directory of a path with its slash, and the beginning of a name in it.
pub fn split(typed: &str) -> (&str, &str) {
    match typed.rfind('/') {
        Some(slash) => typed.split_at(slash + 1),
        None => ("", typed),
    }
}

/// The same of names that are known, each with whether it is a directory.
pub fn offers_of(
    typed: &str,
    quote: Option<char>,
    entries: impl Iterator<Item = (String, bool)>,
) -> Vec<Offer> {
    let (folder, start) = split(typed);
    let mut names: Vec<String> = entries
        .filter_map(|(name, leads)| {
            // Hidden names are offered to those who ask for them.
            let wanted = name.starts_with(start) && (start.starts_with('.') || !name.starts_with('.'));
            let both = name.contains('"') && name.contains('\'');
            let sayable = !both && !name.contains(char::is_control);
            if !wanted || !sayable {
                return None;
            }
            Some(if leads { name + "/" } else { name })
        })
        .collect();
    if names.len() > MOST {
        let common = common(&names);
        return if common.len() > start.len() { vec![open_offer(folder, common, quote)] } else { Vec::new() };
    }
    names.sort_unstable();
    // All alike, so that what they have in common can be filled in.
    let quoted = quote.is_some() || names.iter().any(|name| must_quote(&format!("{folder}{name}")));
    names.into_iter().map(|name| offer(folder, name, quoted.then(|| quote.unwrap_or('"')))).collect()
}

fn offer(folder: &str, name: String, quote: Option<char>) -> Offer {
    let path = format!("{folder}{name}");
    let Some(quote) = quote else { return Offer { text: path, shown: name } };
    let quote = fitting(&path, quote);
    // A directory's quote stays open: one goes on into it.
    let text = if path.ends_with('/') { format!("{quote}{path}") } else { format!("{quote}{path}{quote}") };
    Offer { text, shown: name }
}

/// The beginning of several names.
fn open_offer(folder: &str, common: &str, quote: Option<char>) -> Offer {
    let path = format!("{folder}{common}");
    let quote = if must_quote(&path) { Some(quote.unwrap_or('"')) } else { quote };
    let text = match quote {
        Some(quote) => format!("{}{path}", fitting(&path, quote)),
        None => path,
    };
    Offer { text, shown: common.to_owned() }
}

/// The quote that the path does not hold itself, the given one if both would do.
fn fitting(path: &str, quote: char) -> char {
    match (path.contains('"'), path.contains('\'')) {
        (true, _) => '\'',
        (_, true) => '"',
        _ => quote,
    }
}

/// True for what is not one bare word (language.md 2.3, 2.4).
pub fn must_quote(text: &str) -> bool {
    let apart = |char: char| char.is_whitespace() || "\"',;=()<>".contains(char);
    text.is_empty() || text.contains(apart) || text.starts_with(['#', '$']) || text.starts_with("//")
}

fn common(names: &[String]) -> &str {
    let Some((first, rest)) = names.split_first() else { return "" };
    let mut length = first.len();
    for name in rest {
        length = first[..length].bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    }
    while !first.is_char_boundary(length) {
        length -= 1;
    }
    &first[..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    fn texts(typed: &str, quote: Option<char>, base: &Path) -> Vec<String> {
        offers(typed, quote, base).into_iter().map(|offer| offer.text).collect()
    }

    #[test]
    fn offers_what_begins_alike() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["beta", "alpha.txt", "alps", ".hidden"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("alp")).unwrap();
        assert_eq!(texts("al", None, dir.path()), ["alp/", "alpha.txt", "alps"]);
        assert_eq!(texts("", None, dir.path()), ["alp/", "alpha.txt", "alps", "beta"]);
        assert_eq!(texts(".h", None, dir.path()), [".hidden"]);
        let path = format!("{}/bet", dir.path().display());
        assert_eq!(texts(&path, Some('\''), Path::new("/")), [format!("'{path}a'")]);
        assert_eq!(texts("no/such/", None, dir.path()), Vec::<String>::new());
    }

    #[test]
    fn quotes_what_is_not_a_word() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("my data")).unwrap();
        std::fs::write(dir.path().join("mine"), "").unwrap();
        assert_eq!(texts("my", None, dir.path()), ["\"my data/"]);
        // All alike, so that `"m` is what they share.
        assert_eq!(texts("m", None, dir.path()), ["\"mine\"", "\"my data/"]);
    }

    #[test]
    fn leaves_out_what_cannot_be_said() {
        let dir = tempfile::tempdir().unwrap();
        for name in [&b"x\"'y"[..], b"x\xff", b"x\ny", b"x\"y", b"x'z"] {
            std::fs::write(dir.path().join(OsStr::from_bytes(name)), "").unwrap();
        }
        assert_eq!(texts("x", Some('"'), dir.path()), ["'x\"y'", "\"x'z\""]);
    }

    #[test]
    fn very_many_names_are_not_listed() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..=MOST {
            std::fs::write(dir.path().join(format!("part-{number}")), "").unwrap();
        }
        assert_eq!(texts("p", None, dir.path()), ["part-"]);
        assert_eq!(texts("part-", None, dir.path()), Vec::<String>::new());
    }
}
