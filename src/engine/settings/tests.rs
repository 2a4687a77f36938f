use super::table::{DIFFERENCES, Effect, Kind, PRODUCT, Platform, Restart};
use super::*;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

struct Place {
    _dir: tempfile::TempDir,
    home: Home,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.create().unwrap();
        Self { _dir: dir, home }
    }

    fn load(&self) -> Settings {
        let (settings, problems) = Settings::load(&self.home).unwrap();
        assert_eq!(problems, []);
        settings
    }

    fn file(&self) -> String {
        fs::read_to_string(self.home.settings_file()).unwrap()
    }
}

/// Each of the 121 rows of the guide, column by column.
#[test]
fn the_table_is_the_guides() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/reference/settings.tsv");
    let Ok(text) = fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let rows = lines.map(|line| columns.iter().copied().zip(line.split('\t')).collect::<HashMap<_, _>>());
    let rows: Vec<_> = rows.filter(|row| row["platform"] != "windows").collect();
    assert_eq!(rows.len(), 121);
    assert_eq!(PRODUCT.len(), 121);
    for (row, ours) in rows.iter().zip(PRODUCT) {
        let name = row["name"];
        let expect = |column: &str| {
            DIFFERENCES.iter().find(|(n, c, ..)| (*n, *c) == (name, column)).map_or(
                row[column],
                |(_, _, theirs, _)| {
                    assert_eq!(*theirs, row[column], "{name}: the difference noted is none any more");
                    match column {
                        "default" => ours.default,
                        _ => ours.unit,
                    }
                },
            )
        };
        let kind = match (row["type"], row["unit"]) {
            ("bool", _) => Kind::Bool,
            ("enum", _) => Kind::Choice,
            ("int", _) => Kind::Integer,
            ("list", _) => Kind::List,
            ("string", "path") => Kind::Path,
            ("string", "file name") => Kind::FileName,
            ("string", _) => Kind::Text,
            _ => Kind::Unspecified,
        };
        assert_eq!(ours.name, name);
        assert_eq!(ours.kind, kind, "{name}");
        assert_eq!(ours.platform == Platform::Linux, row["platform"] == "linux", "{name}");
        assert_eq!(ours.unit, expect("unit"), "{name}");
        assert_eq!(ours.minimum, expect("minimum"), "{name}");
        assert_eq!(ours.maximum, expect("maximum"), "{name}");
        assert_eq!(ours.allowed, expect("allowed_values"), "{name}");
        assert_eq!(ours.default, expect("default"), "{name}");
        assert_eq!(ours.restart_text(), expect("service_restart_required"), "{name}");
        assert_eq!(ours.meaning, expect("meaning"), "{name}");
    }
}

#[test]
fn names_are_in_order_and_unique_without_case() {
    let names: Vec<String> = PRODUCT.iter().map(|d| d.name.to_lowercase()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(names, sorted);
    assert!(PRODUCT.iter().all(|d| d.platform != Platform::Own));
    assert_eq!(PRODUCT.iter().filter(|d| d.restart == Restart::Yes).count(), 17, "reference-guide.md 12.3");
}

#[test]
fn every_default_is_a_value_that_can_be_set() {
    let settings = Place::new().load();
    for definition in table::all() {
        let default = settings.default_value(definition);
        assert_eq!(definition.check(&default).as_ref(), Ok(&default), "{}", definition.name);
    }
}

/// The documents say for each setting whether it acts, and why not.
#[test]
fn docs_name_every_setting() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md")).unwrap();
    for definition in table::all() {
        let mark = format!("| `{}` |", definition.name);
        let line = docs.lines().find(|line| line.starts_with(&mark));
        let line = line.unwrap_or_else(|| panic!("docs/settings.md does not name {}", definition.name));
        match definition.effect {
            Effect::Acts => assert!(!line.contains("not yet:") && !line.contains("no effect:"), "{line}"),
            Effect::Later(part) => assert!(line.contains(&format!("not yet: {part}")), "{line}"),
            Effect::None(reason) => assert!(line.contains(&format!("no effect: {reason}")), "{line}"),
        }
    }
    for (name, ..) in DIFFERENCES {
        let line = docs.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        assert!(line.contains("(ours)"), "{line}");
    }
}

/// A misspelled name in a view fails here, by `set_in_force`'s assertion.
#[test]
fn every_view_reads_options_that_exist() {
    let place = Place::new();
    let settings = place.load();
    let mirror = settings.mirror();
    // Where the queue lies is the home's word.
    assert_eq!(mirror.queue_dir, place.home.queue_dir());
    // And where moved orphans do.
    let aside = place.home.state_dir().join("orphans");
    assert_eq!(mirror.orphans.directory.as_ref(), Some(&aside));
    let mut contract = MirrorSettings { queue_dir: mirror.queue_dir.clone(), ..MirrorSettings::default() };
    contract.orphans.directory = Some(aside);
    assert_eq!(
        format!("{mirror:?}"),
        format!("{contract:?}"),
        "the defaults of the table and of the type agree"
    );
    let log = settings.log();
    assert_eq!((log.base.as_str(), log.level, log.max_size, log.max_files), ("dtlog", 2, 5_242_880, 20));
    assert_eq!(log.directory, place.home.log_dir());
    let verify = settings.verify_log();
    assert_eq!(verify.file("Data"), place.home.log_dir().join("Data DTVerify.log"));
    assert_eq!((verify.limit, verify.append), (1_048_576, true));
    assert_eq!(settings.queue(), QueueSettings::default());
    assert_eq!(settings.queue_directory(), place.home.queue_dir());
    let automatic = settings.auto_remirror();
    assert_eq!((automatic.reconnect, automatic.retry.as_secs()), (true, 30));
    assert_eq!(automatic.kind, Some(RemirrorKind::Checksum { all: false }));
    assert!(settings.calculate_on_connect() && !settings.cleaner());
    let statistics = settings.statistics();
    assert_eq!(
        (statistics.file.as_str(), statistics.keep, statistics.at_start),
        ("statistic.sts", true, false)
    );
    assert_eq!((statistics.limit, statistics.interval.as_secs()), (10_485_760, 300));
    assert_eq!(settings.repset_database(), place.home.state_dir().join("DblTake.db"));
}

#[test]
fn set_reaches_the_views_and_the_file() {
    let place = Place::new();
    fs::write(place.home.settings_file(), "# mine\n\nRemapLink=0\n").unwrap();
    let settings = place.load();
    assert!(!settings.mirror().remap_link);
    let set = |name: &str, value: &str| settings.set(name, value).unwrap();
    assert_eq!(set("mirrorchunksize", " 4096 ").name, "MirrorChunkSize");
    set("MirrorOverwrite", "2");
    set("DisableAttributeReplication", "1");
    set("MoveOrphanedFiles", "1");
    set("MoveOrphansDir", "/srv/orphans");
    set("RemoveAllOrphans", "0");
    set("MassDeletionGuard", "7");
    let mirror = settings.mirror();
    assert_eq!((mirror.chunk_size, mirror.overwrite), (4096, Overwrite::Older));
    assert_eq!(mirror.orphans.move_to.as_deref(), Some(Path::new("/srv/orphans")));
    assert_eq!((mirror.orphans.min_age_minutes, mirror.orphans.guard_percent), (Some(60), 7));
    assert!(
        place.file().starts_with(
            "# mine\n\nDisableAttributeReplication=1\nMassDeletionGuard=7\nMirrorChunkSize=4096\n"
        ),
        "{}",
        place.file()
    );
    settings.set_default("MIRRORCHUNKSIZE").unwrap();
    assert_eq!(settings.mirror().chunk_size, 65536);
    assert!(!place.file().contains("MirrorChunkSize"));
    // The next start sees the same.
    assert_eq!(format!("{:?}", place.load().mirror().orphans), format!("{:?}", settings.mirror().orphans));
}

/// QUE-02: the memory waits for a restart; QUE-03: a limit of 0 is none of Unlimited.
#[test]
fn the_queue_reads_its_settings() {
    let place = Place::new();
    let settings = place.load();
    let set = |name: &str, value: &str| drop(settings.set(name, value).unwrap());
    set("QMemoryBufferMax", "32");
    set("MemoryQueueToDiskThreshold", "75");
    set("QueueSizeAlertThreshold", "80");
    set("QJournalDir", "/srv/queue");
    set("QJournalFileSize", "1");
    set("QJournalSpaceMax", "0");
    set("QJournalFreeSpaceMin", "50");
    set("QLogWriteThrough", "1");
    set("OpBufferSize", "1000");
    let now = settings.queue();
    assert_eq!((now.memory_max_bytes, now.to_disk_percent, now.alert_percent), (256 << 20, 100, 50));
    assert_eq!((now.space_max, now.write_through, now.op_limit), (Some(0), true, 1000));
    let restarted = place.load();
    assert_eq!(
        restarted.queue(),
        QueueSettings {
            memory_max_bytes: 32 << 20,
            to_disk_percent: 75,
            file_size_bytes: 1 << 20,
            space_max: Some(0),
            free_min_bytes: 50 << 20,
            alert_percent: 80,
            write_through: true,
            op_limit: 1000,
        }
    );
    assert_eq!(restarted.queue_directory(), Path::new("/srv/queue"));
    restarted.set("QJournalSpaceMax", "2").unwrap();
    assert_eq!(restarted.queue().space_max, Some(2 << 20));
}

#[test]
fn some_values_wait_for_a_restart() {
    let place = Place::new();
    let settings = place.load();
    assert!(settings.set("DisableAttributeReplication", "1").unwrap().restart);
    assert!(!settings.set("ChecksumAll", "0").unwrap().restart);
    assert_eq!(settings.get("DisableAttributeReplication").unwrap().value, "1", "stored");
    assert!(settings.mirror().attributes, "not in force");
    assert!(!settings.mirror().checksum_all, "in force at once");
    assert!(!place.load().mirror().attributes);
}

#[test]
fn a_hand_edited_line_is_not_lost() {
    let place = Place::new();
    let settings = place.load();
    fs::write(place.home.settings_file(), "Cleaner=1\n").unwrap();
    settings.set("ChecksumAll", "0").unwrap();
    assert_eq!(place.file(), "ChecksumAll=0\nCleaner=1\n");
}

#[test]
fn unknown_names_and_bad_values_say_what_is_right() {
    let place = Place::new();
    let settings = place.load();
    let error = settings.get("MirorChunkSize").unwrap_err();
    assert_eq!(error.code, Code::InvalidOptionSupplied);
    assert!(error.help.unwrap().contains("MirrorChunkSize"));
    assert_eq!(settings.get("Frobnicate").unwrap_err().help.as_deref(), Some("OPTIONS lists all"));
    let error = settings.set("MirrorChunkSize", "0").unwrap_err();
    assert_eq!(error.code, Code::InvalidParameterWasSupplied);
    assert_eq!(error.help.as_deref(), Some("allowed: 1 to 1048576"));
    assert!(!place.home.settings_file().exists(), "nothing was changed");
    assert_eq!(settings.get("HBTTL").unwrap().name, "HBTTTL");
    assert_eq!(settings.get("MaxNumberOfLogFiles").unwrap().value, "20");
}

#[test]
fn settings_without_effect_say_so() {
    let settings = Place::new().load();
    assert_eq!(settings.get("ChecksumAll").unwrap().inert, None);
    assert!(settings.set("UNetPort", "2000").unwrap().inert.unwrap().contains("network"));
    assert!(settings.set("Advertisement", "x").unwrap().inert.unwrap().contains("obsolete"));
    assert_eq!(settings.get("EncryptNetworkData").unwrap().value, "1");
}

#[test]
fn problems_of_the_file_are_reported_with_their_line() {
    let place = Place::new();
    let text = "ChecksumAll=7\nLogdri=/x\nRemapLink=0\nremaplink=1\nwhat\nHBTTL=9\n";
    fs::write(place.home.settings_file(), text).unwrap();
    let (settings, problems) = Settings::load(&place.home).unwrap();
    for (problem, words) in problems.iter().zip([
        "line 1: ChecksumAll cannot be \"7\"",
        "line 2: there is no option \"Logdri\"; did you mean LogDir?",
        "line 4: RemapLink stands twice",
        "line 5: the line is not of the form",
    ]) {
        assert!(problem.text.contains(words), "{problem:?}");
    }
    assert_eq!(problems.len(), 4);
    assert!(settings.mirror().checksum_all, "the default");
    assert_eq!(settings.get("HBTTTL").unwrap().value, "9");
    settings.set("Cleaner", "1").unwrap();
    assert!(place.file().contains("Logdri=/x\n") && place.file().contains("what\n"), "{}", place.file());
}

#[test]
fn options_lists_by_pattern() {
    let settings = Place::new().load();
    let names = |pattern: Option<&str>| -> Vec<String> {
        settings.list(pattern).unwrap().into_iter().map(|row| row.name).collect()
    };
    assert_eq!(names(None).len(), 122);
    assert_eq!(names(Some("verifylog*")), ["VerifyLogAppend", "VerifyLogLimit", "VerifyLogName"]);
    assert_eq!(names(Some("hbttl")), ["HBTTTL"]);
    assert_eq!(settings.list(Some("x*")).unwrap_err().code, Code::InvalidOptionSupplied);
    let row = settings.list(Some("LogMessageLevel")).unwrap().remove(0);
    assert_eq!((row.value.as_str(), row.default.as_str(), row.restart.as_str()), ("2", "2", "no"));
    assert!(row.range.starts_with("0 = nothing; 1 = alerts"));
}

#[test]
fn a_file_that_cannot_be_written_changes_nothing() {
    let place = Place::new();
    let settings = place.load();
    fs::remove_dir(place.home.settings_file().parent().unwrap()).unwrap();
    fs::write(place.home.settings_file().parent().unwrap(), "").unwrap();
    let error = settings.set("ChecksumAll", "0").unwrap_err();
    assert!(error.help.is_some(), "{}", error.message);
    assert!(settings.mirror().checksum_all);
}
