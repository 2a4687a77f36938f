//! Every script of `examples/` passes `--check` without a word, those with modules do what they say, and so does the first
//! command of the README.

use crate::needs;
use crate::support::{Home, oracle};
use std::path::{Path, PathBuf};

fn examples() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "dtcl"));
    paths.sort();
    paths
}

#[test]
fn every_example_passes_the_check() {
    let home = Home::new();
    assert!(examples().len() >= 5);
    for path in examples() {
        let ran = home.dtcl().arg("--check").arg(&path).run();
        assert!(ran.status == 0 && ran.err.is_empty(), "{}\n{}", path.display(), ran.report());
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn retry_gives_up_on_what_cannot_be_mended_and_ends_at_once_when_it_answers() {
    let home = Home::new();
    let retry = || home.dtcl().arg("-f").arg(example("retry.dtcl"));
    retry().arg("localhost").run().ok().prints("localhost answers\n");
    let ran = retry().args(["no-such-host.invalid", "1"]).run();
    ran.status(4);
    assert!(ran.out.starts_with("attempt 1: "), "{}", ran.report());
    // The second attempt comes after a pause that the module chose; the run's time ends it before.
    let ran = home
        .dtcl()
        .args(["--timeout", "1", "-f"])
        .arg(example("retry.dtcl"))
        .args(["no-such-host.invalid", "5"])
        .run();
    ran.status(5).says("the run took longer than 1 s");
    retry().run().status(12);
}

#[test]
fn window_mirrors_now_what_is_soon_done() {
    needs!("rsync");
    let home = Home::new();
    let source = home.dir("source");
    crate::support::tree::random(&source, 5, 40);
    let made = "repset create data\nrepset rule add $1 include to data\nrepset save data\n";
    home.dtcl().script(made).arg(&source).run().ok();
    let copy = home.path("copy");
    let ran = home.dtcl().arg("-f").arg(example("window.dtcl")).arg("data").arg(&copy).run();
    ran.ok().prints("data is complete\n");
    home.dtcl().arg("-f").arg(example("window.dtcl")).run().status(12);
}

#[test]
fn report_is_one_line_of_json() {
    let home = Home::new();
    home.dtcl().text("repset create open; repset create shut; repset save shut").run().ok();
    let made = "repset create data\nrepset rule add $1 include to data\nrepset save data\n\
        $con = connect data to tdu\nwaitonmirror $con timeout = 60\n";
    let source = home.dir("source");
    home.file("source/a", "x");
    let script = format!("{made}include \"{}\"\n", example("report.dtcl").display());
    let ran = home.dtcl().script(script).arg(&source).run();
    ran.ok();
    let line = ran.out.lines().last().unwrap();
    let report: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(report["connections"][0]["set"], "data", "{line}");
    assert_eq!(report["port"], 1500, "{line}");
    assert!(report["unsaved"].as_array().unwrap().is_empty(), "{line}");
}

#[test]
fn migrate_twice_and_compare() {
    needs!("rsync");
    let home = Home::new();
    let source = home.dir("source");
    crate::support::tree::random(&source, 11, 150);
    let target = home.path("copy");
    for _ in 0..2 {
        let ran = home.dtcl().arg("-f").arg(example("migrate.dtcl")).arg(&source).arg(&target).run();
        ran.ok().prints("Done.");
        // RemapLink is 1 by default: a link into the set points into the copy.
        let mut found = oracle::differences(&source, &target);
        found.retain(|line| !line.starts_with("cL"));
        assert_eq!(found, Vec::<String>::new());
    }
}

#[test]
fn migrate_needs_no_arguments() {
    let home = Home::new();
    if !Path::new("/usr/share/doc").is_dir() {
        return crate::support::skip("examples::migrate_needs_no_arguments", "no /usr/share/doc here");
    }
    home.dtcl().arg("-f").arg(example("migrate.dtcl")).run().ok().prints("Done.");
    assert!(home.path("dtcl-migrated/usr/share/doc").is_dir());
}
