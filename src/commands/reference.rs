//! The documents that come from the catalogue: `docs/commands.md`, and the table in `docs/compatibility.md`; the manual pages come from
//! [`manual`](super::manual).
//!
//! Tests compare them with the committed files; `scripts/generate` writes them.

use super::{Command, Family, all, signature};
use crate::api::Access;
use std::fmt::Write as _;

/// The whole of `docs/commands.md`.
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n| piece | stands for |\n| --- | --- |\n");
    for (name, meaning) in signature::PIECES {
        let _ = writeln!(text, "| `<{name}>` | `{}` |", meaning.replace('|', "\\|"));
    }
    for family in Family::ALL {
        let _ = write!(text, "\n## {}\n", family.title());
        for command in all().iter().filter(|command| command.family == family) {
            entry(&mut text, command);
        }
    }
    text
}

const HEAD: &str = "\
# DTCL commands

<!-- Generated from the catalogue in src/commands: scripts/generate -->

Every command of the language. `HELP <command>` prints the same in the shell.

CAPITALS are keywords, in any case; `CONnection` may be written `con` or `connection`. `<x>` stands for a value, `[x]`
may be left out, `{x}` is a group, `x...` repeats, `[x]...` any number of times. `a|b` and `a | b` choose. Neighbouring
optional groups that begin with a keyword may come in any order, each once. A bare word is a keyword where one fits,
else a value; a quoted word, `$name` and `(...)` are always exactly one value.

`<con_id>` is a connection's number, or `*` for all connections of the current source; the first failure, else 1, is the
value then. Commands act on the current source unless `ON <machine>` or their own words say otherwise.

Origin says where a form comes from: **D** read on a page of the vendor's scripting guide, **S** seen in a transcript of a
real session, **G** behaviour from the user guides, spelling ours, **R** spelling widely remembered but unverified, **X** our
extension. [compatibility.md](compatibility.md) has them in one table.
";

fn entry(text: &mut String, command: &Command) {
    let _ = write!(text, "\n### {}\n\n", command.name().to_ascii_uppercase());
    let _ = write!(text, "```\n{}\n```\n\n", command.shown_syntax());
    text.push_str(command.summary);
    if !command.is_available() {
        text.push_str(" **Not yet available in this version.**");
    }
    text.push('\n');
    if !command.details.is_empty() {
        let _ = write!(text, "\n{}\n", escaped(command.details));
    }
    let _ = write!(text, "\nAccess: {}. Origin: {}.\n\n```\n", access(command.access), command.tag);
    for example in command.examples {
        let _ = writeln!(text, "{example}");
    }
    text.push_str("```\n");
}

/// Markdown takes `<x>` outside code for HTML, and `*` for emphasis.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let mut code = false;
    for c in text.chars() {
        match c {
            '`' => code = !code,
            '<' | '*' | '|' | '\\' if !code => escaped.push('\\'),
            _ => {}
        }
        escaped.push(c);
    }
    escaped
}

fn access(access: Access) -> &'static str {
    match access {
        Access::None => "none needed",
        Access::Monitor => "monitor",
        Access::Full => "administrator",
    }
}

/// The generated part of `docs/compatibility.md`: every command with its tag.
pub fn compatibility() -> String {
    let mut text = String::from("| command | origin | in this version |\n| --- | --- | --- |\n");
    for command in all() {
        let available = if command.is_available() { "yes" } else { "later" };
        let syntax = command.shown_syntax().replace('|', "\\|");
        let _ = writeln!(text, "| `{syntax}` | {} | {available} |", command.tag);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{editors, manual};
    use super::*;
    use std::path::{Path, PathBuf};

    /// What stands above this line in `docs/compatibility.md` is written by hand.
    const MARK: &str = "<!-- Generated from the catalogue from here on -->\n\n";

    /// Words that the contract does not have: how often a task may run is chosen with it (docs/design/tasks.md).
    const ADDED: [&str; 1] = [" [ONCE | REPEAT]"];

    fn docs(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
    }

    fn same(name: &str, generated: &str) {
        same_file(&format!("docs/{name}"), generated);
    }

    fn same_file(name: &str, generated: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os("DTCL_REGENERATE").is_some() {
            std::fs::write(&file, generated).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        if committed != generated {
            let line = committed.lines().zip(generated.lines()).position(|(a, b)| a != b).unwrap_or(0) + 1;
            panic!("{name} is out of date at line {line}: scripts/generate");
        }
    }

    #[test]
    fn the_committed_manuals_of_commands_are_the_catalogue() {
        same("man/DTCL-commands.7", &manual::commands());
        for family in Family::ALL {
            same(&format!("man/{}.7", manual::family_name(family)), &manual::family(family));
        }
    }

    #[test]
    fn the_committed_manual_of_the_language_is_that_of_help() {
        same("man/dtcl-language.7", &manual::language());
    }

    #[test]
    fn the_committed_grammars_of_editors_have_the_catalogues_words() {
        same_file("editors/dtcl.tmLanguage.json", &editors::textmate());
        same_file("editors/tree-sitter-dtcl/queries/highlights.scm", &editors::highlights());
    }

    #[test]
    fn the_committed_reference_is_the_catalogue() {
        same("commands.md", &reference());
    }

    #[test]
    fn the_committed_compatibility_table_is_the_catalogue() {
        let committed = std::fs::read_to_string(docs("compatibility.md")).unwrap();
        let (head, _) = committed.split_once(MARK).expect("the mark is in docs/compatibility.md");
        same("compatibility.md", &format!("{head}{MARK}{}", compatibility()));
    }

    /// The contract's tables, where they are at hand: lines, access and tags are the same, in the same order.
    #[test]
    fn the_catalogue_is_the_contract() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/commands.md");
        let Ok(contract) = std::fs::read_to_string(&file) else {
            println!("skipped: {} is not there", file.display());
            return;
        };
        let mut wanted: Vec<(String, String, String)> = Vec::new();
        for row in contract.lines().filter(|line| line.starts_with("| `")) {
            let row = row.replace("\\|", "\u{1}");
            let cells: Vec<String> = row.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
            let [_, lines, access, tag, ..] = cells.as_slice() else { continue };
            if !access.chars().all(|c| "AM-/".contains(c)) {
                continue;
            }
            let lines: Vec<&str> = lines.split(" · ").map(|line| line.trim_matches('`')).collect();
            for (index, line) in lines.iter().enumerate() {
                let access = match access.split_once('/') {
                    Some((first, _)) if index + 1 < lines.len() => first,
                    Some((_, last)) => last,
                    None => access,
                };
                wanted.push(((*line).to_owned(), access.to_owned(), tag.clone()));
            }
        }
        let mine: Vec<&Command> = all().iter().filter(|command| command.family != Family::Language).collect();
        assert_eq!(mine.len(), wanted.len());
        for (command, (line, access, tag)) in mine.into_iter().zip(wanted) {
            assert_eq!(
                ADDED.iter().fold(command.syntax.to_owned(), |syntax, words| syntax.replace(words, "")),
                line
            );
            let letter = match command.access {
                Access::None => "-",
                Access::Monitor => "M",
                Access::Full => "A",
            };
            assert_eq!(letter, access, "{line}");
            // A row with several lines says which tag is whose in words; the first letter has to be among them.
            let letter = command.tag.chars().next().unwrap_or_default();
            assert!(tag == "as above" || tag.contains(letter), "{line}: {tag}");
        }
    }
}
