//! The table of events against the guide's and against the documentation.

use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn manifest(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn severity(word: &str) -> Option<Severity> {
    match word.trim_matches(|c: char| !c.is_alphabetic()) {
        "Info" | "Information" => Some(Severity::Information),
        "Warning" => Some(Severity::Warning),
        "Error" => Some(Severity::Error),
        _ => None,
    }
}

/// Every event of the list is sent with its severity, or stands among those that are not, with the reason.
fn is_told(id: u32, listed: Severity, used: bool) {
    let sent = Event::ALL.iter().find(|event| event.id() == id);
    let not = UNSENT.iter().find(|unsent| (unsent.first..=unsent.last).contains(&id));
    match (sent, not) {
        (Some(event), None) => assert_eq!(event.severity(), listed, "{id}"),
        (None, Some(unsent)) => {
            assert!(!unsent.why.is_empty());
            assert!(unsent.severity.is_none_or(|severity| severity == listed), "{id}");
        }
        (None, None) => assert!(!used, "{id} is neither sent nor among those that are not"),
        (Some(_), Some(_)) => panic!("{id} is both sent and not"),
    }
}

#[test]
fn the_linux_events_are_the_guides() {
    let path = manifest("../shared/spec/reference/linux-events.tsv");
    let Ok(text) = fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 19);
    for row in rows {
        is_told(row[0].parse().unwrap(), severity(row[1]).unwrap(), true);
    }
}

#[test]
fn the_engines_events_are_the_guides() {
    let path = manifest("../shared/spec/reference/backup.md");
    let Ok(text) = fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let mut listed = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        if let [id, _, "Service", word, .., used] = cells.as_slice()
            && let (Ok(id), Some(severity)) = (id.parse::<u32>(), severity(word))
        {
            listed.insert(id, (severity, used.starts_with('L')));
        }
    }
    let ours = |id: u32| matches!(id, 4000..=4411 | 5500..=5600 | 11007);
    assert!(listed.keys().filter(|id| ours(**id)).count() > 100, "{listed:?}");
    for (id, (severity, used)) in listed.into_iter().filter(|(id, _)| ours(*id)) {
        is_told(id, severity, used);
    }
}

#[test]
fn numbers_rise_and_are_unique() {
    assert!(Event::ALL.windows(2).all(|pair| pair[0].id() < pair[1].id()));
    assert!(UNSENT.windows(2).all(|pair| pair[0].last < pair[1].first));
}

/// Code that nobody calls sends nothing: each event of the table is used somewhere outside it.
#[test]
fn each_event_is_sent_somewhere() {
    fn sources(dir: &Path, text: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("log/event") {
                    sources(&path, text);
                }
            } else if !path.ends_with("log/event.rs") && !path.to_string_lossy().contains("tests") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    sources(&manifest("src"), &mut text);
    let text: String = text.split_whitespace().collect();
    for event in Event::ALL {
        let name = format!("{event:?}");
        let used = [format!("event!({name},"), format!("Event::{name}")];
        assert!(used.iter().any(|used| text.contains(used.as_str())), "{name} is never sent");
    }
}

fn documentation() -> String {
    let mut text = String::from(
        "# Events\n\nWhat the engine tells its administrators beside its own log: each event has the product's number and \
         severity, stands in\nthe log (column 7) and goes to the system's log as `event <number> <severity>: <text>`, facility \
         `daemon`. The system's engine\nsends to `/dev/log`; a home of its own (`DTCL_HOME`, or a user's) sends nothing unless \
         `DTCL_SYSLOG` names the socket to send to. Nothing\nwaits for the system's log: where it does not take an event, the engine's own \
         log has it.\n\nOnly a service tells that it starts and stops (4000 to 4005).\n\nThis page is made from the table in \
         `src/engine/log/event.rs`.\n\n## Sent\n\n| number | severity | what it says |\n| --- | --- | --- |\n",
    );
    for event in Event::ALL {
        text.push_str(&format!("| {} | {} | {} |\n", event.id(), event.severity().word(), event.meaning()));
    }
    text.push_str("\n## Not sent\n\nNumbers of the product's lists (its Linux events, and its engine's 4000 to 4411, 5500 to 5600, 11007).\n\n| number | why |\n| --- | --- |\n");
    for Unsent { first, last, why, .. } in UNSENT {
        let number = if first == last { first.to_string() } else { format!("{first} to {last}") };
        text.push_str(&format!("| {number} | {why} |\n"));
    }
    text
}

#[test]
fn the_events_reference_is_up_to_date() {
    let path = manifest("docs/events.md");
    if std::env::var_os("DTCL_REGENERATE").is_some() {
        fs::write(&path, documentation()).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        documentation(),
        "DTCL_REGENERATE=1 writes it anew"
    );
}
