//! Every script of `examples/` passes `--check`, and the first command of the README does what it says.

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
