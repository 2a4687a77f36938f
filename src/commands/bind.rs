//! From a command's words to a [`Binding`], or to a diagnostic that says what was expected.

use super::matcher::{Expected, Line, Matcher, Step};
use super::{Binding, Command, Handler, Item, Verb, nearest, signature, slots};
use crate::api::{ApiError, Code};
use crate::lang::{Diagnostic, Severity, Span, Word, WordKind};
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

/// The commands that share a first word; their lines are compiled when one of them is first used.
struct Entry {
    commands: Vec<&'static Command>,
    lines: OnceLock<Vec<Line>>,
}

/// First words in capitals, abbreviations too, and where their entries are.
struct Index {
    words: HashMap<String, Spelling>,
    entries: Vec<Entry>,
}

struct Spelling {
    entry: usize,
    /// The matcher behind this word: scripts begin many commands with the same one.
    begun: OnceLock<Matcher<'static>>,
}

impl Spelling {
    fn new(entry: usize) -> Self {
        Self { entry, begun: OnceLock::new() }
    }
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { words: HashMap::new(), entries: Vec::new() };
    for command in super::all() {
        let first = command.syntax.split_once(' ').map_or(command.syntax, |(first, _)| first);
        for printed in first.split('|') {
            let full = printed.to_ascii_uppercase();
            let spelling = index.words.entry(full).or_insert_with(|| {
                index.entries.push(Entry { commands: Vec::new(), lines: OnceLock::new() });
                Spelling::new(index.entries.len() - 1)
            });
            let entry = spelling.entry;
            index.entries[entry].commands.push(command);
            let short: String = printed.chars().filter(char::is_ascii_uppercase).collect();
            index.words.entry(short).or_insert_with(|| Spelling::new(entry));
        }
    }
    index
});

/// The lines that begin with this word, compiled.
pub(crate) fn lines(first: &str) -> Option<&'static [Line]> {
    let index = &*INDEX;
    let entry = &index.entries[spelling(index, first)?.entry];
    Some(entry.lines.get_or_init(|| {
        let compile = |command: &&'static Command| Line {
            command,
            program: signature::compile(command.syntax, command.takes_on()),
        };
        entry.commands.iter().map(compile).collect()
    }))
}

/// The matcher behind a first word.
fn begun(first: &Word) -> Result<Matcher<'static>, Diagnostic> {
    let WordKind::Bare(text) = &first.kind else { return Err(no_command(first)) };
    let Some(spelling) = spelling(&INDEX, text) else { return Err(unknown_command(text, first.span)) };
    let begun = spelling.begun.get_or_init(|| {
        let mut matcher = Matcher::new(lines(text).unwrap_or_default());
        matcher.step(&first.kind);
        matcher
    });
    Ok(begun.clone())
}

fn spelling(index: &'static Index, first: &str) -> Option<&'static Spelling> {
    /// Longer than any first word.
    const LONGEST: usize = 32;
    let mut buffer = [0; LONGEST];
    let capitals = buffer.get_mut(..first.len())?;
    capitals.copy_from_slice(first.as_bytes());
    capitals.make_ascii_uppercase();
    index.words.get(std::str::from_utf8(capitals).ok()?)
}

/// Every first word of a command as printed in capitals, in the catalogue's order.
pub fn first_words() -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for command in super::all() {
        let first = command.syntax.split_once(' ').map_or(command.syntax, |(first, _)| first);
        for word in first.split('|') {
            let word = word.to_ascii_uppercase();
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words
}

/// True if a command begins with this word.
pub fn is_command_word(first: &str) -> bool {
    spelling(&INDEX, first).is_some()
}

/// Binds a command's words to its syntax line. `end` is the place just behind the last word.
///
/// Code 102: no such command, or not its form; a script with that runs nothing. Any other code (-101, -114, -115) is a
/// written value that does not fit its place: the command's own failure when it is reached (language.md 4).
pub fn bind(words: &[Word], end: Span) -> Result<Binding, Diagnostic> {
    let binding = bind_form(words, end)?;
    match check_values(&binding, words).into_iter().next() {
        Some(diagnostic) => Err(diagnostic),
        None => Ok(binding),
    }
}

/// As [`bind`], but values are not looked at.
pub fn bind_form(words: &[Word], end: Span) -> Result<Binding, Diagnostic> {
    let Some(first) = words.first() else {
        return Err(syntax_error(end, "a command is expected here", None));
    };
    let mut matcher = begun(first)?;
    for (index, word) in words.iter().enumerate().skip(1) {
        match matcher.step(&word.kind) {
            Step::Fits => {}
            Step::Rest => return bind_rest(&matcher, words, index, end),
            Step::DoesNotFit => return Err(does_not_fit(&matcher, words, index)),
        }
    }
    match matcher.accepted() {
        Some((command, items)) if has_one_of(command, &items) => Ok(Binding { command, items, rest: None }),
        Some((command, _)) => Err(syntax_error(
            behind(words, end),
            "the command is not complete",
            Some(format!(
                "expected one of {}; syntax: {}",
                command.one_of.join(", "),
                command.shown_syntax()
            )),
        )),
        None => Err(incomplete(&matcher, words, end)),
    }
}

fn has_one_of(command: &Command, items: &[Item]) -> bool {
    let given = |item: &Item| matches!(item, Item::Keyword(word) if command.one_of.contains(word));
    command.one_of.is_empty() || items.iter().any(given)
}

/// Written values that do not fit their places.
pub fn check_values(binding: &Binding, words: &[Word]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for item in &binding.items {
        let Item::Value { slot, word: index } = item else { continue };
        let Some(word) = words.get(*index) else { continue };
        let (WordKind::Bare(text) | WordKind::Quoted(text)) = &word.kind else { continue };
        let exit = matches!(binding.command.handler, Handler::Interpreter(Verb::Exit));
        if let Err(error) = slots::check(if exit { "exit_status" } else { slot }, text) {
            found.push(refused(error, word.span));
        }
    }
    found
}

/// A refused value at its place.
pub(crate) fn refused(error: ApiError, span: Span) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: error.code.number(),
        message: error.message,
        span,
        help: error.help,
    }
}

fn no_command(first: &Word) -> Diagnostic {
    match &first.kind {
        WordKind::Quoted(text) => {
            let help = is_command_word(text).then(|| "write the command's name without quotes".to_owned());
            syntax_error(first.span, "a command begins with a bare word", help)
        }
        _ => syntax_error(first.span, "a command is expected here", None),
    }
}

fn unknown_command(text: &str, span: Span) -> Diagnostic {
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return syntax_error(
            span,
            format!("`{text}` is reserved for a later version"),
            Some("HELP lists the commands of this version".to_owned()),
        );
    }
    let words = first_words();
    let help = match nearest(text, words.iter().map(String::as_str)) {
        Some(word) => format!("did you mean `{}`?", word.to_ascii_lowercase()),
        None => "HELP lists the commands".to_owned(),
    };
    syntax_error(span, format!("`{}` is not a command", shown(text)), Some(help))
}

/// First words whose lines come later (`commands.md`, last line).
const RESERVED: &[&str] = &["ARCHIVE", "RECALL", "JOB"];

/// The rest of the statement as it is; a `<command>` in it is checked as one.
fn bind_rest(matcher: &Matcher<'_>, words: &[Word], from: usize, end: Span) -> Result<Binding, Diagnostic> {
    let Some((command, slot)) = matcher.rest_slot() else {
        return Err(does_not_fit(matcher, words, from));
    };
    if slot == "command" {
        bind(&words[from..], end)?;
    }
    let mut items = matcher.items_before_rest();
    for (index, word) in words.iter().enumerate().skip(from) {
        if !matches!(word.kind, WordKind::Equals | WordKind::Comma) {
            items.push(Item::Value { slot, word: index });
        }
    }
    Ok(Binding { command, items, rest: Some(from) })
}

fn does_not_fit(matcher: &Matcher<'_>, words: &[Word], index: usize) -> Diagnostic {
    let word = &words[index];
    let expected = matcher.expected();
    let text = match &word.kind {
        WordKind::Bare(text) => format!("`{}`", shown(text)),
        WordKind::Quoted(text) => format!("the quoted `{}`", shown(text)),
        WordKind::Value => "a value".to_owned(),
        WordKind::Equals => "`=`".to_owned(),
        WordKind::Comma => "`,`".to_owned(),
    };
    let message = if expected == [Expected::End] {
        format!("the command ends before {text}")
    } else if matches!(&word.kind, WordKind::Bare(text) if matcher.has_taken(text)) {
        format!("{text} stands here a second time")
    } else {
        format!("{text} does not fit here")
    };
    let mut help = String::new();
    if let WordKind::Bare(text) = &word.kind {
        let keywords = expected.iter().filter_map(|expected| match expected {
            Expected::Keyword(keyword) => Some(keyword.full),
            _ => None,
        });
        if let Some(near) = nearest(text, keywords) {
            help = format!("did you mean `{}`? ", near.to_ascii_lowercase());
        }
    }
    if let WordKind::Quoted(text) = &word.kind
        && expected.iter().any(|e| matches!(e, Expected::Keyword(keyword) if keyword.matches(text)))
    {
        help = format!("a quoted word is a value: write {} without quotes. ", text.to_ascii_uppercase());
    }
    help.push_str(&expected_help(matcher, &expected));
    syntax_error(word.span, message, Some(help))
}

fn incomplete(matcher: &Matcher<'_>, words: &[Word], end: Span) -> Diagnostic {
    let expected = matcher.expected();
    syntax_error(behind(words, end), "the command is not complete", Some(expected_help(matcher, &expected)))
}

/// The place where more words would stand.
fn behind(words: &[Word], end: Span) -> Span {
    let start = words.last().map_or(end.start, |last| end.start.max(last.span.end));
    Span { start, end: end.end.max(start) }
}

/// `expected TO or <x>; syntax: ...`.
fn expected_help(matcher: &Matcher<'_>, expected: &[Expected]) -> String {
    let commands = matcher.commands();
    let mut help = format!("expected {}", listed(expected));
    if commands.len() <= 2 {
        let lines: Vec<String> = commands.iter().map(|command| command.shown_syntax()).collect();
        help.push_str("; syntax: ");
        help.push_str(&lines.join(" or "));
    }
    help
}

/// What may stand at a place, in words.
pub(crate) fn listed(expected: &[Expected]) -> String {
    let names: Vec<String> = expected.iter().map(spelled).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

pub(crate) fn spelled(expected: &Expected) -> String {
    match expected {
        Expected::Keyword(keyword) => keyword.printed.to_owned(),
        Expected::Slot(slot) => format!("<{slot}>"),
        Expected::Equals => "`=`".to_owned(),
        Expected::Comma => "`,`".to_owned(),
        Expected::End => "the command's end".to_owned(),
    }
}

/// A word for a message: one line of bounded length.
fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push_str("...");
    }
    short.replace("\\\\", "\\").replace("\\'", "'")
}

fn syntax_error(span: Span, message: impl Into<String>, help: Option<String>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::CommandNotValidOrItsSyntaxIncorrect.number(),
        message: message.into(),
        span,
        help,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{bind, words};

    fn items(text: &str) -> (&'static str, Vec<String>) {
        let words = words(text);
        let binding = bind(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let items = binding.items.iter().map(|item| match item {
            Item::Keyword(keyword) => (*keyword).to_owned(),
            Item::Value { slot, word } => match &words[*word].kind {
                WordKind::Bare(text) | WordKind::Quoted(text) => format!("{slot}={text}"),
                _ => format!("{slot}=?"),
            },
        });
        (binding.command.syntax, items.collect())
    }

    fn error(text: &str) -> Diagnostic {
        match bind(text) {
            Ok(binding) => panic!("{text} binds to {:?}", binding.command),
            Err(error) => error,
        }
    }

    #[test]
    fn a_keyword_wins_where_any_line_has_it_and_is_a_value_elsewhere() {
        assert_eq!(
            items("connect to to beta").1,
            ["CONNECT", "repset=to", "TO", "target=beta"],
            "a set called `to` needs no quotes"
        );
        assert_eq!(
            items("schedule \"verify\" start memlimit = 80").1,
            ["SCHEDULE", "target=verify", "START", "MEMLIMIT", "percent=80"]
        );
        assert_eq!(items("connect a to tdu").0, "CONNECT <repset> TO TDU [<filename>] <flags>");
        assert_eq!(items("connect a to \"tdu\"").0, "CONNECT <repset> TO <target> <flags>");
        assert_eq!(items("STATUS Con 1").1, ["STATUS", "CONNECTION", "con_id=1"]);
        assert_eq!(items("logout *").1, ["LOGOUT", "*"]);
        assert_eq!(items("verify *").1, ["VERIFY", "con_id=*"]);
    }

    #[test]
    fn optional_groups_come_in_any_order_each_once() {
        let wanted = [
            "CONNECT",
            "repset=a",
            "TO",
            "target=b",
            "DRYRUN",
            "MAP",
            "EXACT",
            "NOMIRROR",
            "ON",
            "machine=c",
        ];
        assert_eq!(items("connect a to b dryrun map exact nomirror on c").1, wanted);
        assert_eq!(items("connect a to b on c mirror checksum newer").1.len(), 9);
        let twice = error("connect a to b dryrun nomirror dryrun");
        assert_eq!(twice.code, 102);
        assert_eq!(twice.span, Span::new(31, 37));
        assert_eq!(twice.message, "`dryrun` stands here a second time");
        let both = error("connect a to b mirror full different");
        assert_eq!(both.span, Span::new(27, 36));
        assert_eq!(error("repset delete a on b on c").code, 102);
    }

    #[test]
    fn each_point_of_a_task_once_and_at_least_one() {
        let task = "queuetask j to b onexec = /bin/a \"x y\" onqueue = /bin/b timeout = forever";
        assert_eq!(items(task).1.len(), 11);
        assert_eq!(error("queuetask j to b timeout = 5").code, 102);
        assert_eq!(error("queuetask j to b onexec = /bin/a onexecute = /bin/b").code, 102);
    }

    #[test]
    fn a_schedule_names_at_least_one_condition() {
        let none = error("schedule beta start");
        assert_eq!(none.code, 102);
        assert!(
            none.help.unwrap().starts_with("expected one of STARTTIME, MEMLIMIT, QUEUESIZE, EVERY; syntax: ")
        );
        assert!(bind("schedule beta end bytes = 5").is_ok());
    }

    #[test]
    fn commas_and_maps() {
        let pairs = "connect a to b map /a to /x, /b to /y mirror";
        let paths = ["/a", "TO", "/x", "/b", "TO", "/y"];
        let bound = items(pairs).1;
        assert_eq!(bound[5..11], paths.map(|p| if p == "TO" { p.to_owned() } else { format!("path={p}") }));
        assert_eq!(
            items("repset rule add /a inc, rec to b").1,
            items("repset rule add /a include recursive to b").1
        );
        assert_eq!(items("limit bandwidth 5, 6 to b").0, items("limit bandwidth 5 6 to b").0);
    }

    #[test]
    fn the_rest_of_the_statement() {
        let binding = bind("watch 2 status con 1").unwrap();
        assert_eq!(binding.rest, Some(2));
        assert_eq!(binding.items.len(), 5);
        assert_eq!(error("watch 2 statsu con 1").span, Span::new(8, 14));
        assert_eq!(bind("help").unwrap().rest, None);
        assert_eq!(items("help mirror start").1, ["HELP", "words=mirror", "words=start"]);
    }

    #[test]
    fn errors_say_what_was_expected_and_where() {
        let unknown = error("mirrro start 1");
        assert_eq!((unknown.code, unknown.span), (102, Span::new(0, 6)));
        assert_eq!(unknown.message, "`mirrro` is not a command");
        assert_eq!(unknown.help.as_deref(), Some("did you mean `mirror`?"));

        let keyword = error("repset ceate a");
        assert_eq!(keyword.span, Span::new(7, 12));
        assert!(
            keyword
                .help
                .as_deref()
                .unwrap()
                .starts_with("did you mean `create`? expected CREATE, RULE, DEVICE")
        );

        let missing = error("repset create");
        assert_eq!((missing.code, missing.span), (102, Span::new(13, 13)));
        assert_eq!(
            missing.help.as_deref(),
            Some("expected <repset>; syntax: REPSET CREATE <repset> [ON <machine>]")
        );

        let after = error("pwd now");
        assert_eq!(after.message, "the command ends before `now`");
        let quoted = error("mirror \"start\" 1");
        assert!(
            quoted
                .help
                .as_deref()
                .unwrap()
                .starts_with("a quoted word is a value: write START without quotes.")
        );
        assert_eq!(error("archive /x").message, "`archive` is reserved for a later version");
    }

    #[test]
    fn written_values_are_checked_with_their_own_numbers() {
        assert_eq!(error("mirror start payroll").code, 101);
        assert_eq!(error("schedule verify 1 starttime = 13/01/26 22:00").code, 114);
        assert_eq!(error("schedule b window 22:00 to 24:30").code, 115);
        assert_eq!(error("compression set 20 for b").code, 101);
        assert_eq!(error("exit 256").code, 101);
        assert_eq!(error("connect a to b route b:99999").code, 101);
        assert!(bind("mirror start $con").is_ok(), "a value is known when it runs");
    }

    #[test]
    fn a_long_line_takes_linear_time() {
        let text = format!("write {}", "word ".repeat(200_000));
        let started = std::time::Instant::now();
        assert_eq!(bind(&text).unwrap().items.len(), 200_001);
        assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
    }
}
