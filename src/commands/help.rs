//! HELP: pages for commands, families, options and topics, at most 80 columns wide.

use super::session::Session;
use super::{Command, Family, all, nearest, signature, topics};
use crate::api::{Access, ApiError, Code, Reply, Request, SettingRow};
use std::fmt::Write as _;

/// Columns of a page.
const WIDTH: usize = 80;
/// So many commands are shown whole; more as a list.
const WHOLE: usize = 3;

/// The page for a command, a family or a topic; an empty topic gives the overview.
///
/// Unknown topics are -101 with the nearest one. Options are known to a machine only: HELP asks it when this fails.
pub fn help(topic: &str) -> Result<String, ApiError> {
    let words: Vec<&str> = topic.split_whitespace().collect();
    if words.is_empty() {
        return Ok(overview());
    }
    let joined = words.join(" ");
    if let Some(text) = topics::find(&joined) {
        return Ok(topics::page(text, WIDTH));
    }
    if let Some(family) = Family::ALL.into_iter().find(|family| names_family(*family, &joined)) {
        return Ok(family_page(family));
    }
    let found: Vec<&Command> = all().iter().filter(|command| names_command(command, &words)).collect();
    match found.len() {
        0 => Err(unknown(&joined)),
        1..=WHOLE => {
            let pages: Vec<String> = found.iter().map(|command| page(command)).collect();
            Ok(pages.join("\n"))
        }
        _ => Ok(list(&found)),
    }
}

/// The page for an option of the current source, if it has one of this name.
pub(super) fn option(session: &mut Session, name: &str) -> Option<String> {
    let wildcards = name.contains(['*', '?', ' ']);
    if name.is_empty() || wildcards {
        return None;
    }
    match session.inquire(Request::Options { pattern: Some(name.to_owned()) }).ok()? {
        Reply::Settings(rows) => rows.iter().find(|row| row.name.eq_ignore_ascii_case(name)).map(option_page),
        _ => None,
    }
}

fn option_page(row: &SettingRow) -> String {
    let mut page = format!("{}\n\n", row.name);
    wrap(&mut page, &sentence(&row.meaning), 0, 0);
    page.push('\n');
    let rows = [("Value", &row.value), ("Default", &row.default), ("Unit", &row.unit), ("Range", &row.range)];
    for (label, value) in rows.into_iter().chain([("Restart needed", &row.restart)]) {
        if !value.is_empty() && value != "-" {
            wrap(&mut page, &format!("{:<16}{value}", format!("{label}:")), 0, 16);
        }
    }
    let _ = write!(page, "\nSET {} = <value> changes it.\n", row.name);
    page
}

fn sentence(text: &str) -> String {
    if text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

fn overview() -> String {
    let mut page = String::from("Commands, by family (HELP <family> lists each with what it does):\n\n");
    for family in Family::ALL {
        let mut words: Vec<String> = Vec::new();
        for command in all().iter().filter(|command| command.family == family) {
            let first = command.syntax.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            for word in first.split('|') {
                if !words.iter().any(|known| known == word) {
                    words.push(word.to_owned());
                }
            }
        }
        wrap(&mut page, &format!("{:<16}{}", family.topic(), words.join(" ")), 2, 18);
    }
    page.push_str("\nTopics:\n\n");
    for topic in topics::TOPICS {
        wrap(&mut page, &format!("{:<16}{}", topic.name, topic.title), 2, 18);
    }
    page.push('\n');
    wrap(
        &mut page,
        "HELP <command>, e.g. `help mirror start`, prints a command's page, HELP <option> an option's.",
        0,
        0,
    );
    page
}

fn names_family(family: Family, topic: &str) -> bool {
    family.topic().eq_ignore_ascii_case(topic) || family.title().eq_ignore_ascii_case(topic)
}

/// The first word is the command's first, the others follow in this order among its keywords.
fn names_command(command: &Command, words: &[&str]) -> bool {
    let mut keywords = keywords(command.syntax).into_iter();
    let is = |alternatives: &str, word: &str| {
        alternatives.split('|').any(|printed| {
            let short: String = printed.chars().filter(char::is_ascii_uppercase).collect();
            printed.eq_ignore_ascii_case(word) || short.eq_ignore_ascii_case(word)
        })
    };
    let Some((first, others)) = words.split_first() else { return false };
    keywords.next().is_some_and(|keyword| is(keyword, first))
        && others.iter().all(|word| keywords.any(|keyword| is(keyword, word)))
}

/// The keywords of a line, alternatives together: `MIRROR`, `STOP|PAUSE|RESUME`.
fn keywords(syntax: &str) -> Vec<&str> {
    syntax
        .split([' ', '[', ']', '{', '}', ',', '=', '.'])
        .filter(|word| word.chars().next().is_some_and(|c| c.is_ascii_uppercase()))
        .collect()
}

fn unknown(topic: &str) -> ApiError {
    let first = topic.split(' ').next().unwrap_or(topic);
    let words = super::first_words();
    let names = words
        .iter()
        .map(String::as_str)
        .chain(Family::ALL.iter().map(|family| family.topic()))
        .chain(topics::TOPICS.iter().map(|topic| topic.name));
    let remedy = match nearest(first, names) {
        Some(name) if !name.eq_ignore_ascii_case(first) => {
            format!("did you mean `{}`? HELP alone lists all topics", name.to_ascii_lowercase())
        }
        _ => "HELP alone lists all topics".to_owned(),
    };
    ApiError::new(Code::InvalidParameterWasSupplied, format!("there is no help about `{topic}`")).help(remedy)
}

fn family_page(family: Family) -> String {
    let commands: Vec<&Command> = all().iter().filter(|command| command.family == family).collect();
    format!("{}\n\n{}", family.title(), list(&commands))
}

fn list(commands: &[&Command]) -> String {
    let mut page = String::new();
    for command in commands {
        wrap(&mut page, command.syntax, 0, 4);
        wrap(&mut page, &format!("{}{}", command.summary, later(command)), 4, 4);
    }
    if commands.iter().any(|command| command.takes_on()) {
        page.push_str("\nThose without an ON of their own take [ON <machine>] too.\n");
    }
    page
}

fn later(command: &Command) -> &'static str {
    if command.is_available() { "" } else { " Not yet available in this version." }
}

fn page(command: &Command) -> String {
    let mut page = String::new();
    wrap(&mut page, &command.shown_syntax(), 0, 4);
    page.push('\n');
    wrap(&mut page, command.summary, 0, 0);
    if !command.is_available() {
        page.push_str("\nNot yet available in this version.\n");
    }
    if !command.details.is_empty() {
        page.push('\n');
        wrap(&mut page, command.details, 0, 0);
    }
    let pieces: Vec<(&str, &str)> = pieces(command.syntax);
    if !pieces.is_empty() {
        page.push('\n');
        for (name, text) in pieces {
            wrap(&mut page, &format!("<{name}> is {text}"), 0, 4);
        }
    }
    page.push_str("\nExamples:\n");
    for example in command.examples {
        wrap(&mut page, example, 2, 6);
    }
    page.push('\n');
    let last = format!("{} Origin: {} (HELP origins).", access(command.access), command.tag);
    wrap(&mut page, &last, 0, 0);
    page
}

pub(super) fn access(access: Access) -> &'static str {
    match access {
        Access::None => "Needs no login.",
        Access::Monitor => "Monitor access is enough.",
        Access::Full => "Needs administrator access.",
    }
}

/// The pieces that a line uses, and those that these use.
pub(super) fn pieces(syntax: &str) -> Vec<(&'static str, &'static str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    let mut texts = vec![syntax];
    while let Some(text) = texts.pop() {
        for (name, meaning) in signature::PIECES {
            if text.contains(&format!("<{name}>")) && !found.iter().any(|(known, _)| known == name) {
                found.push((name, meaning));
                texts.push(meaning);
            }
        }
    }
    found
}

/// Appends a paragraph, broken at blanks. `first` and `hang`: indents of the first and the other lines.
pub(super) fn wrap(page: &mut String, text: &str, first: usize, hang: usize) {
    wrap_at(page, text, first, hang, WIDTH);
}

pub(super) fn wrap_at(page: &mut String, text: &str, first: usize, hang: usize, width: usize) {
    let mut line = " ".repeat(first);
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            page.push_str(line.trim_end());
            page.push('\n');
            line = " ".repeat(hang);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    page.push_str(line.trim_end());
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_fits_80_columns() {
        let mut pages: Vec<String> = all().iter().map(page).collect();
        pages.push(overview());
        pages.extend(Family::ALL.into_iter().map(family_page));
        pages.extend(topics::TOPICS.iter().map(|topic| help(topic.name).unwrap()));
        for page in pages {
            for line in page.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
            assert!(page.ends_with('\n') && !page.ends_with("\n\n"), "{page:?}");
        }
    }

    #[test]
    fn every_command_is_found_by_its_name() {
        for command in all() {
            let page = help(&command.name()).unwrap();
            let start = command.syntax.split(' ').next().unwrap();
            assert!(page.contains(start), "{} in {page}", command.syntax);
        }
    }

    #[test]
    fn finds_commands_families_and_topics() {
        let page = help("mirror start").unwrap();
        assert!(page.starts_with("MIRROR START <con_id> [FULL | DIFFERENT]"), "{page}");
        assert!(page.contains("Needs administrator access."), "{page}");
        assert!(help("status con").unwrap().starts_with("STATUS CONnection <con_id>"));
        assert!(help("schedule window").unwrap().contains("SCHEDULE <target> WINDOW <hh:mm> TO <hh:mm>"));
        assert!(help("sets").unwrap().starts_with("Replication sets\n\nREPSET CREATE <repset>\n"));
        assert!(help("quoting").unwrap().contains("backslash"));
        assert!(help("while").unwrap().contains("WHILE <condition> DO"));
        assert!(help("snapshot").unwrap().contains("Not yet available in this version."));
        let error = help("mirrro").unwrap_err();
        assert_eq!(error.code.number(), 101);
        assert!(error.help.unwrap().starts_with("did you mean `mirror`?"));
    }

    #[test]
    fn pages_explain_the_pieces_they_use() {
        let page = help("connect").unwrap();
        assert!(page.contains("<map> is MAP EXACT | MAP BASE <path>"), "{page}");
    }

    #[test]
    fn an_option_page_has_all_its_fields() {
        let row = SettingRow {
            name: "ChecksumAll".into(),
            value: "0".into(),
            default: "1".into(),
            unit: "-".into(),
            range: "0 to 1".into(),
            restart: "no".into(),
            meaning: "Compares by checksums".into(),
        };
        let page = option_page(&row);
        assert!(page.contains("Compares by checksums.\n"), "{page}");
        assert!(page.contains("Value:          0\nDefault:        1\nRange:          0 to 1\n"), "{page}");
    }
}
