//! A set as text: what REPSET EXPORT writes and REPSET IMPORT reads (RST-15).
//!
//! ```text
//! # Replication set, exported by DTCL
//! repset "Data"
//! "/srv/data" inc, rec
//! "/srv/data/old" exc, nonrec
//! ```
//!
//! One rule a line. In quotes a backslash begins an escape: `\\`, `\"`, `\n`, `\r`, `\t` or `\u{<hex>}`. Blank lines and
//! lines that begin with `#` are skipped.

use super::error::StoreError;
use crate::api::Rule;
use crate::engine::repset::{check_name, normalise_rule_path};

/// Longest text that is read, in bytes.
const TEXT_LIMIT: usize = 16 << 20;

pub(super) fn write(name: &str, rules: &[Rule]) -> String {
    let mut out = format!("# Replication set, exported by DTCL\nrepset {}\n", quote(name));
    for rule in rules {
        let kind = if rule.include { "inc" } else { "exc" };
        let recursion = if rule.recursive { "rec" } else { "nonrec" };
        out.push_str(&format!("{} {kind}, {recursion}\n", quote(&rule.path)));
    }
    out
}

/// The name and the rules of an exported set.
pub(super) fn read(text: &str) -> Result<(String, Vec<Rule>), StoreError> {
    if text.len() > TEXT_LIMIT {
        let problem = format!("the text has {} bytes, at most {TEXT_LIMIT} are read", text.len());
        return Err(StoreError::Import { line: 1, problem });
    }
    let mut name = None;
    let mut rules = Vec::new();
    let mut last = 0;
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        last = index + 1;
        let failed = |problem: String| StoreError::Import { line: index + 1, problem };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match (&name, line.strip_prefix("repset").filter(|rest| rest.starts_with([' ', '\t', '"']))) {
            (None, Some(rest)) => {
                let (text, rest) = quoted(rest.trim_start()).map_err(failed)?;
                if !rest.is_empty() {
                    return Err(failed(format!("\"{}\" stands behind the name", rest.escape_debug())));
                }
                check_name(&text).map_err(|error| failed(error.message))?;
                name = Some(text);
            }
            (None, None) => return Err(failed("the first line must be: repset \"<name>\"".into())),
            (Some(_), Some(_)) => return Err(failed("a second set begins here; a file holds one".into())),
            (Some(_), None) => rules.push(rule(line).map_err(failed)?),
        }
    }
    let missing =
        || StoreError::Import { line: last + 1, problem: "there is no line: repset \"<name>\"".into() };
    Ok((name.ok_or_else(missing)?, rules))
}

fn rule(line: &str) -> Result<Rule, String> {
    let (path, flags) = quoted(line)?;
    let path = normalise_rule_path(&path).map_err(|error| error.message)?;
    let (include, recursive) = match flags.split(',').map(str::trim).collect::<Vec<_>>()[..] {
        ["inc", "rec"] => (true, true),
        ["inc", "nonrec"] => (true, false),
        ["exc", "rec"] => (false, true),
        ["exc", "nonrec"] => (false, false),
        _ => {
            return Err(format!(
                "\"{}\" is none of: inc, rec; inc, nonrec; exc, rec; exc, nonrec",
                flags.escape_debug()
            ));
        }
    };
    Ok(Rule { path, include, recursive })
}

fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A quoted text at the beginning, and what follows it.
fn quoted(line: &str) -> Result<(String, &str), String> {
    let Some(body) = line.strip_prefix('"') else { return Err("a text in quotes is expected".into()) };
    let mut out = String::new();
    let mut chars = body.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return Ok((out, body[place + 1..].trim())),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(c @ ('\\' | '"')) => out.push(c),
                Some('u') => {
                    let digits = body[place + 2..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
                    let c = digits
                        .and_then(|(hex, _)| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32))
                        .ok_or("\\u must be followed by {<hex digits>} of a character")?;
                    out.push(c);
                    chars.by_ref().find(|(_, c)| *c == '}');
                }
                _ => return Err("a backslash must be followed by \\ \" n r t or u{...}".into()),
            },
            c => out.push(c),
        }
    }
    Err("the closing quote is missing".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn the_form() {
        let rules = [
            Rule { path: "/srv/data".into(), include: true, recursive: true },
            Rule { path: "/srv/a \"b\"\n\u{7f}\\".into(), include: false, recursive: false },
        ];
        let text = "# Replication set, exported by DTCL\nrepset \"Data\"\n\"/srv/data\" inc, rec\n\
                    \"/srv/a \\\"b\\\"\\n\\u{7f}\\\\\" exc, nonrec\n";
        assert_eq!(write("Data", &rules), text);
        assert_eq!(read(text).unwrap(), ("Data".to_owned(), rules.to_vec()));
    }

    #[test]
    fn written_by_hand() {
        let text = "\u{feff}# mine\r\n\r\n  repset\t\"A\"  \r\n\"//srv/x/\"  exc,rec\r\n#\"/y\" inc, rec\r\n";
        let (name, rules) = read(text).unwrap();
        assert_eq!(name, "A");
        assert_eq!(rules, [Rule { path: "/srv/x".into(), include: false, recursive: true }]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, words) in [
            ("", "line 1 "),
            ("#\n\"/srv\" inc, rec", "line 2 of the exported set: the first line must be"),
            ("repset \"A\" x", "line 1"),
            ("repset \"a/b\"", "character 2"),
            ("repset \"A", "closing quote"),
            ("repset \"A\"\n/srv inc, rec", "line 2 of the exported set: a text in quotes"),
            ("repset \"A\"\n\"/srv\" inc", "line 2"),
            ("repset \"A\"\n\"srv\" inc, rec", "not absolute"),
            ("repset \"A\"\n\"/srv\\x\" inc, rec", "backslash"),
            ("repset \"A\"\n\"/srv\\u{110000}\" inc, rec", "hex"),
            ("repset \"A\"\nrepset \"B\"", "second set"),
        ] {
            let error = error(text);
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(
            name in "[a-zA-Z \u{e4}'$]{1,9}",
            rules in prop::collection::vec((".{0,20}|[\"\\\\\n\r\t u{}]{0,9}", any::<bool>(), any::<bool>()), 0..6),
        ) {
            prop_assume!(check_name(&name).is_ok());
            let rules: Vec<Rule> = rules
                .into_iter()
                .filter_map(|(path, include, recursive)| {
                    Some(Rule { path: normalise_rule_path(&format!("/{path}")).ok()?, include, recursive })
                })
                .collect();
            let text = write(&name, &rules);
            prop_assert_eq!(text.lines().count(), rules.len() + 2, "one rule a line");
            prop_assert_eq!(read(&text).unwrap(), (name, rules));
        }

        #[test]
        fn nothing_panics(text in "(repset \"A\"\n)?.{0,40}|\"[/a\\\\u{}\"]{0,12}") {
            let _ = read(&text);
        }
    }
}
