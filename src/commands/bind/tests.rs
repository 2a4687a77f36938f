//! Which line words bind to, and what is said when there is none.

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
    let wanted =
        ["CONNECT", "repset=a", "TO", "target=b", "DRYRUN", "MAP", "EXACT", "NOMIRROR", "ON", "machine=c"];
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
fn names_of_users_and_passwords_are_short_and_not_shown() {
    let (fits, long) = ("x".repeat(100), "x".repeat(101));
    assert_eq!(items(&format!("login a {fits} {fits} {fits}")).1.len(), 5);
    for text in [format!("login a {long}"), format!("login a u {long}"), format!("login a u p {long}")] {
        let error = error(&text);
        assert_eq!((error.code, error.span), (101, Span::new(text.len() - 101, text.len())));
        assert!(!error.message.contains("xxx"), "{}", error.message);
    }
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
        keyword.help.as_deref().unwrap().starts_with("did you mean `create`? expected CREATE, RULE, DEVICE")
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
        quoted.help.as_deref().unwrap().starts_with("a quoted word is a value: write START without quotes.")
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
