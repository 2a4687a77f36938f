use super::*;
use crate::api::Code;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("DblTake.db")
    }

    fn open(&self) -> Store {
        Store::open(&self.file()).unwrap()
    }

    fn refused(&self) -> ApiError {
        let before = fs::read(self.file()).unwrap();
        let error = Store::open(&self.file()).unwrap_err();
        assert_eq!(fs::read(self.file()).unwrap(), before, "the file is kept as it is");
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 1, "and nothing is made beside it");
        error
    }
}

fn include(path: &str) -> Rule {
    Rule { path: path.into(), include: true, recursive: true }
}

fn exclude(path: &str) -> Rule {
    Rule { include: false, ..include(path) }
}

fn nobody(_: &str) -> bool {
    false
}

fn code<T: std::fmt::Debug>(result: Result<T, ApiError>) -> Code {
    let error = result.unwrap_err();
    assert!(error.help.is_some(), "no remedy: {}", error.message);
    error.code
}

/// A store with the saved set `Data` of one rule.
fn with_data(place: &Place) -> Store {
    let store = place.open();
    store.create("Data").unwrap();
    store.add_rule("Data", &include("/srv/data")).unwrap();
    store.save(Some("Data"), nobody).unwrap();
    store
}

/// RST-08
#[test]
fn what_is_saved_outlives_the_engine_and_the_rest_does_not() {
    let place = Place::new();
    let store = with_data(&place);
    store.create("Draft").unwrap();
    store.add_rule("Data", &exclude("/srv/data/old")).unwrap();
    assert_eq!(store.unsaved(), ["Data", "Draft"]);
    drop(store);
    let store = place.open();
    assert_eq!(store.rules("Data").unwrap(), [include("/srv/data")]);
    assert_eq!(store.list(|name| name == "Data").unwrap().len(), 1);
    assert!(store.list(|name| name == "Data").unwrap()[0].connected);
    assert!(store.unsaved().is_empty());
    assert_eq!(fs::metadata(place.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn only_saved_sets_are_connected() {
    let place = Place::new();
    let store = with_data(&place);
    let (rules, generation) = store.saved_rule_set("Data").unwrap();
    assert_eq!((rules.rules().len(), generation), (1, 1));
    store.add_rule("Data", &exclude("/srv/data/old")).unwrap();
    assert_eq!(code(store.saved_rule_set("Data")), Code::JobNotSaved);
    assert_eq!(store.rule_set("Data").unwrap().rules().len(), 2);
    store.resync("Data").unwrap();
    assert_eq!(store.saved_rule_set("Data").unwrap().0.rules().len(), 1);
    store.create("New").unwrap();
    assert_eq!(code(store.saved_rule_set("New")), Code::JobNotSaved);
    assert_eq!(code(store.resync("New")), Code::JobNotSaved);
    assert!(store.exists("New").unwrap(), "resync does not delete");
}

#[test]
fn a_change_that_is_taken_back_is_none() {
    let place = Place::new();
    let store = with_data(&place);
    store.add_rule("Data", &exclude("/srv/data/old")).unwrap();
    store.remove_rule("Data", "/srv//data/old/").unwrap();
    assert!(store.unsaved().is_empty());
    store.add_rule("Data", &include("/srv/data/")).unwrap();
    assert!(store.unsaved().is_empty(), "the rule was there");
    let saved = store.save(Some("Data"), nobody).unwrap();
    assert!(saved.saved.is_empty());
    assert_eq!(store.display("Data", vec![]).unwrap().generation, 1);
}

#[test]
fn a_path_has_one_rule_of_a_type() {
    let place = Place::new();
    let store = with_data(&place);
    store.add_rule("Data", &Rule { recursive: false, ..include("/srv/data") }).unwrap();
    store.add_rule("Data", &exclude("/srv/data")).unwrap();
    assert_eq!(
        store.rules("Data").unwrap(),
        [Rule { recursive: false, ..include("/srv/data") }, exclude("/srv/data")]
    );
    store.remove_rule("Data", "/srv/data").unwrap();
    assert!(store.rules("Data").unwrap().is_empty());
}

/// RST-09: two who edit one set.
#[test]
fn a_stale_save_is_refused_with_both_numbers() {
    let place = Place::new();
    let one = with_data(&place);
    let two = place.open();
    one.add_rule("Data", &include("/one")).unwrap();
    two.add_rule("Data", &include("/two")).unwrap();
    two.create("Other").unwrap();
    one.save(None, nobody).unwrap();
    let error = two.save(None, nobody).unwrap_err();
    assert_eq!(error.code, Code::JobIsChanged);
    assert!(error.message.contains("generation 1, generation 2 is saved"), "{}", error.message);
    assert!(!one.exists("Other").unwrap(), "all or none");
    two.resync("Data").unwrap();
    assert_eq!(two.rules("Data").unwrap()[1], include("/one"));
    two.save(None, nobody).unwrap();
    assert!(one.exists("Other").unwrap());

    one.create("Same").unwrap();
    two.create("Same").unwrap();
    one.save(None, nobody).unwrap();
    assert_eq!(code(two.save(None, nobody)), Code::JobIsChanged);

    one.add_rule("Data", &include("/three")).unwrap();
    two.delete("Data", false).unwrap();
    let error = one.save(Some("Data"), nobody).unwrap_err();
    assert!(error.message.contains("deleted"), "{}", error.message);
}

#[test]
fn saving_counts_generations_and_warns() {
    let place = Place::new();
    let store = with_data(&place);
    store.add_rule("Data", &Rule { recursive: false, ..include("/srv/data/sub") }).unwrap();
    let saved = store.save(None, |name| name == "Data").unwrap();
    assert_eq!(
        (saved.saved.as_slice(), saved.connected.as_slice()),
        (&["Data".to_owned()][..], &["Data".to_owned()][..])
    );
    assert!(saved.warnings[0].contains("/srv/data/sub inc, nonrec"), "{:?}", saved.warnings);
    let detail = store.display("Data", vec![ConnectionId(3)]).unwrap();
    assert_eq!((detail.generation, detail.saved), (2, true));
    assert!(detail.discarded[1].is_some() && detail.discarded[0].is_none());
    assert_eq!(detail.connections, [ConnectionId(3)]);
    store.create("Empty").unwrap();
    assert!(store.save(None, nobody).unwrap().warnings[0].contains("nothing belongs"));
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let place = Place::new();
    let store = with_data(&place);
    assert_eq!(code(store.create("Data")), Code::JobExists);
    assert_eq!(code(store.create("a/b")), Code::InvalidParameterWasSupplied);
    assert_eq!(code(store.rename("Data", "a*", false)), Code::InvalidParameterWasSupplied);
    assert_eq!(code(store.copy("Data", "Data")), Code::JobExists);
    let error = store.rules("Dta").unwrap_err();
    assert_eq!(error.code, Code::JobDoesNotExist);
    assert!(error.help.unwrap().contains("did you mean \"Data\"?"));
    assert_eq!(code(store.rules("nothing like it")), Code::JobDoesNotExist);
    assert_eq!(code(store.save(Some("nope"), nobody)), Code::JobDoesNotExist);
    assert_eq!(code(store.add_rule("Data", &include("srv"))), Code::SourcePathIsInvalid);
    let error = store.remove_rule("Data", "/srv/dat").unwrap_err();
    assert_eq!(error.code, Code::JobReplicationRuleDoesNotExist);
    assert!(error.help.unwrap().contains("/srv/data"));
}

/// language.md 2.1: names compare without case and are kept as typed.
#[test]
fn case_does_not_tell_sets_apart() {
    let place = Place::new();
    let store = with_data(&place);
    for taken in [store.create("DATA"), store.copy("data", "dATA"), store.rename("Data", "Data", false)] {
        assert_eq!(code(taken), Code::JobExists);
    }
    let text = store.export("data").unwrap();
    assert!(text.contains("repset \"Data\""), "{text}");
    assert_eq!(code(store.import(&text.replace("Data", "DATA"), None)), Code::JobExists);
    store.add_rule("dAtA", &exclude("/srv/data/old")).unwrap();
    assert_eq!(store.unsaved(), ["Data"]);
    assert_eq!(store.display("DATA", vec![]).unwrap().name, "Data");
    assert_eq!(store.spelled("data").as_deref(), Ok("Data"));
    store.save(Some("DATA"), nobody).unwrap();
    store.rename("Data", "DATA", false).unwrap();
    assert_eq!(store.list(nobody).unwrap()[0].name, "DATA");
    store.delete("data", false).unwrap();
    assert!(store.list(nobody).unwrap().is_empty());
}

/// RST-13: RENAME renames, COPY copies. RST-16: DELETE when not connected.
#[test]
fn rename_copy_delete() {
    let place = Place::new();
    let store = with_data(&place);
    store.add_rule("Data", &exclude("/srv/data/old")).unwrap();
    assert_eq!(code(store.rename("Data", "New", true)), Code::JobIsInUse);
    store.rename("Data", "New", false).unwrap();
    assert!(!store.exists("Data").unwrap());
    assert_eq!(store.unsaved(), ["New"], "the changes are still not saved");
    store.save(None, nobody).unwrap();
    store.copy("New", "Copy").unwrap();
    assert_eq!(store.unsaved(), ["Copy"]);
    assert_eq!(store.rules("Copy").unwrap(), store.rules("New").unwrap());
    assert_eq!(code(store.delete("New", true)), Code::JobIsInUse);
    store.delete("New", false).unwrap();
    store.delete("Copy", false).unwrap();
    assert!(place.open().list(nobody).unwrap().is_empty());
}

/// RST-15
#[test]
fn export_and_import() {
    let place = Place::new();
    let store = with_data(&place);
    store.add_rule("Data", &exclude("/srv/data/a \"b\"\nc")).unwrap();
    let text = store.export("Data").unwrap();
    assert_eq!(code(store.import(&text, None)), Code::JobExists);
    assert_eq!(store.import(&text, Some("Again")).unwrap(), "Again");
    assert_eq!(store.rules("Again").unwrap(), store.rules("Data").unwrap());
    assert!(store.unsaved().contains(&"Again".to_owned()));
    assert_eq!(code(store.import(&text, Some("a:b"))), Code::InvalidParameterWasSupplied);
    assert_eq!(code(store.import("rubbish", None)), Code::InvalidParameterWasSupplied);
}

/// RST-14
#[test]
fn a_size_belongs_to_its_rules() {
    let place = Place::new();
    let store = with_data(&place);
    let size = SetSize { files: 3, directories: 2, bytes: 1 << 40, errors: 1, calculated: 1_700_000_000 };
    store.set_size("Data", &size).unwrap();
    let detail = place.open().display("Data", vec![]).unwrap();
    assert_eq!((detail.size.as_ref(), detail.generation), (Some(&size), 1));
    store.add_rule("Data", &exclude("/srv/data/old")).unwrap();
    assert_eq!(store.display("Data", vec![]).unwrap().size, None);
    store.set_size("Data", &size).unwrap();
    store.save(None, nobody).unwrap();
    assert_eq!(place.open().display("Data", vec![]).unwrap().size, Some(size));
}

#[test]
fn test_names_the_rule_or_another_reason() {
    let place = Place::new();
    let store = place.open();
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().to_str().unwrap().to_owned();
    fs::create_dir_all(tree.path().join("home/lib")).unwrap();
    fs::create_dir(tree.path().join("d.x")).unwrap();
    symlink("/etc", tree.path().join("link")).unwrap();
    store.create("S").unwrap();
    store.add_rule("S", &include(&root)).unwrap();
    store.add_rule("S", &Rule { recursive: false, ..exclude(&format!("{root}/*.x")) }).unwrap();
    store.add_rule("S", &include("/proc")).unwrap();
    let status = fs::metadata(tree.path().join("home")).unwrap();
    let forbidden = [(status.dev(), status.ino())];
    let test = |path: &str| store.test(path, "S", &forbidden).unwrap();
    assert!(test(&format!("{root}/missing")).belongs);
    assert!(test(&format!("{root}/d.x")).belongs, "a directory");
    let excluded = test(&format!("{root}/f.x"));
    assert!(!excluded.belongs && excluded.reason.is_none());
    assert_eq!(excluded.rule.map(|r| r.path), Some(format!("{root}/*.x")));
    assert!(test(&format!("{root}/f.x/")).belongs, "written as a directory");
    let outside = test("/usr/bin");
    assert_eq!((outside.belongs, outside.rule), (false, None));
    assert!(test(&format!("{root}/home/lib/f")).reason.unwrap().contains("own home"));
    assert!(test(&format!("{root}/link")).belongs);
    assert!(test(&format!("{root}/link/passwd")).reason.unwrap().contains("symbolic link"));
    assert!(test("/proc/self/status").reason.unwrap().contains("proc"));
    assert!(test(&format!("{root}{}", "/x".repeat(2048))).reason.unwrap().contains("4094"));
    assert_eq!(store.test("relative", "S", &[]).unwrap_err().code, Code::SourcePathIsInvalid);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_kept() {
    let place = Place::new();
    fs::write(place.file(), "this is no database, but it is long enough to look at\n".repeat(100)).unwrap();
    let error = place.refused();
    assert!(error.message.contains("damaged") && error.message.contains("DblTake.db"), "{}", error.message);
    assert!(error.help.unwrap().contains(".damaged"));
}

#[test]
fn a_damaged_database_is_refused_and_kept() {
    let place = Place::new();
    let store = place.open();
    for set in 0..40 {
        let name = format!("Set {set}");
        store.create(&name).unwrap();
        for rule in 0..20 {
            store.add_rule(&name, &include(&format!("/srv/{set}/{}", "x".repeat(rule * 5 + 1)))).unwrap();
        }
    }
    store.save(None, nobody).unwrap();
    drop(store);
    let good = fs::read(place.file()).unwrap();
    assert!(good.len() > 16384, "several pages");
    let damages: [(&str, Vec<u8>); 3] = [
        ("cut in half", good[..good.len() / 2].to_vec()),
        ("a page of zeros", [&good[..4096], &[0; 4096], &good[8192..]].concat()),
        ("a page of noise", [&good[..8192], &[0xa5; 4096], &good[12288..]].concat()),
    ];
    for (what, bytes) in damages {
        fs::write(place.file(), bytes).unwrap();
        let error = place.refused();
        assert!(error.message.contains("damaged"), "{what}: {}", error.message);
    }
    fs::write(place.file(), good).unwrap();
    assert_eq!(place.open().list(nobody).unwrap().len(), 40, "the copy is good again");
}

#[test]
fn foreign_and_newer_databases_are_refused_and_kept() {
    let place = Place::new();
    let change = |statements: &str| {
        let connection = rusqlite::Connection::open(place.file()).unwrap();
        connection.execute_batch(statements).unwrap();
    };
    change("CREATE TABLE theirs (x)");
    assert!(place.refused().message.contains("no database of this program"));
    fs::remove_file(place.file()).unwrap();
    drop(place.open());
    change("PRAGMA user_version = 99");
    assert!(place.refused().message.contains("newer version (format 99, this one knows 3)"));
    fs::write(place.file(), "").unwrap();
    assert!(place.open().list(nobody).unwrap().is_empty(), "a crash may leave an empty file");
}

#[test]
fn a_place_without_permission_says_so() {
    let place = Place::new();
    fs::create_dir(place.file()).unwrap();
    assert_eq!(code(Store::open(&place.file())), Code::UnknownError);
    assert_eq!(code(Store::open(&place.dir.path().join("no/DblTake.db"))), Code::UnknownError);
}

/// A list of files from elsewhere becomes a set in a moment, rule by rule.
#[test]
fn thousands_of_rules() {
    let place = Place::new();
    let store = place.open();
    store.create("Many").unwrap();
    for n in 0..3000 {
        store
            .add_rule("Many", &Rule { recursive: n % 2 == 0, ..include(&format!("/srv/{}/file {n}", n % 7)) })
            .unwrap();
    }
    store.save(None, nobody).unwrap();
    let rules = place.open().rule_set("Many").unwrap();
    assert_eq!(rules.rules().len(), 3000);
    assert!(rules.explain(Path::new("/srv/1/file 2997"), false).0);
    assert!(!rules.explain(Path::new("/srv/2/file 2997"), false).0);
}

mod model {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Create(u8),
        Add(u8, u8),
        Remove(u8, u8),
        Save(Option<u8>),
        Resync(u8),
        Rename(u8, u8),
        Copy(u8, u8),
        Delete(u8),
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        let set = || 0..3u8;
        prop_oneof![
            2 => set().prop_map(Step::Create),
            4 => (set(), 0..4u8).prop_map(|(s, r)| Step::Add(s, r)),
            2 => (set(), 0..4u8).prop_map(|(s, r)| Step::Remove(s, r)),
            2 => prop::option::of(set()).prop_map(Step::Save),
            1 => set().prop_map(Step::Resync),
            1 => (set(), set()).prop_map(|(a, b)| Step::Rename(a, b)),
            1 => (set(), set()).prop_map(|(a, b)| Step::Copy(a, b)),
            1 => set().prop_map(Step::Delete),
            1 => Just(Step::Reopen),
        ]
    }

    /// Rules as they stand and as they are saved.
    type Sets = BTreeMap<u8, (Vec<u8>, Option<Vec<u8>>)>;

    /// What a step does to plain lists; false: it must fail.
    fn apply(sets: &mut Sets, step: &Step) -> bool {
        match *step {
            Step::Create(s) => !sets.contains_key(&s) && sets.insert(s, (vec![], None)).is_none(),
            Step::Add(s, r) => sets.get_mut(&s).is_some_and(|(now, _)| {
                if !now.contains(&r) {
                    now.push(r);
                }
                true
            }),
            Step::Remove(s, r) => sets.get_mut(&s).is_some_and(|(now, _)| {
                let before = now.len();
                now.retain(|x| *x != r);
                now.len() < before
            }),
            Step::Save(None) => {
                sets.values_mut().for_each(|(now, saved)| *saved = Some(now.clone()));
                true
            }
            Step::Save(Some(s)) => sets.get_mut(&s).is_some_and(|(now, saved)| {
                *saved = Some(now.clone());
                true
            }),
            Step::Resync(s) => match sets.get_mut(&s) {
                Some((now, Some(saved))) => {
                    *now = saved.clone();
                    true
                }
                _ => false,
            },
            Step::Rename(a, b) => {
                if sets.contains_key(&b) {
                    return false;
                }
                let Some(set) = sets.remove(&a) else { return false };
                sets.insert(b, set).is_none()
            }
            Step::Copy(a, b) => {
                let Some((rules, _)) = sets.get(&a).cloned() else { return false };
                !sets.contains_key(&b) && sets.insert(b, (rules, None)).is_none()
            }
            Step::Delete(s) => sets.remove(&s).is_some(),
            Step::Reopen => {
                sets.retain(|_, (now, saved)| {
                    saved.as_ref().is_some_and(|saved| {
                        now.clone_from(saved);
                        true
                    })
                });
                true
            }
        }
    }

    fn name(set: u8) -> String {
        format!("Set {set}")
    }

    fn path(rule: u8) -> String {
        format!("/srv/{rule}")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_store_does_what_plain_lists_do(steps in prop::collection::vec(step(), 0..40)) {
            let place = Place::new();
            let mut store = place.open();
            let mut sets = Sets::new();
            for step in &steps {
                let expected = apply(&mut sets, step);
                let done = match *step {
                    Step::Create(s) => store.create(&name(s)).is_ok(),
                    Step::Add(s, r) => store.add_rule(&name(s), &include(&path(r))).is_ok(),
                    Step::Remove(s, r) => store.remove_rule(&name(s), &path(r)).is_ok(),
                    Step::Save(s) => store.save(s.map(name).as_deref(), nobody).is_ok(),
                    Step::Resync(s) => store.resync(&name(s)).is_ok(),
                    Step::Rename(a, b) => store.rename(&name(a), &name(b), false).is_ok(),
                    Step::Copy(a, b) => store.copy(&name(a), &name(b)).is_ok(),
                    Step::Delete(s) => store.delete(&name(s), false).is_ok(),
                    Step::Reopen => {
                        drop(store);
                        store = place.open();
                        true
                    }
                };
                prop_assert_eq!(done, expected, "{:?}", step);
                for (set, (now, saved)) in &sets {
                    let rules: Vec<Rule> = now.iter().map(|r| include(&path(*r))).collect();
                    let detail = store.display(&name(*set), vec![]).unwrap();
                    prop_assert_eq!(&detail.rules, &rules);
                    prop_assert_eq!(detail.saved, saved.as_ref() == Some(now), "{:?}", step);
                }
                prop_assert_eq!(store.list(nobody).unwrap().len(), sets.len());
            }
        }
    }
}
