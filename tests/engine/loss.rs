//! What the target has and the source has not: never lost past the guard, never by a way around it.

use crate::bed::{Bed, DIFFERENT, FULL};
use crate::support;
use dtcl::api::{MirrorSpec, Rule};
use dtcl::engine::job::{JobKind, JobShared, Mapping};
use dtcl::engine::repset::RuleSet;
use dtcl::engine::source;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const ORPHANS: MirrorSpec = MirrorSpec { orphans: true, ..DIFFERENT };

fn fill(dir: &Path, count: usize) {
    fs::create_dir_all(dir).unwrap();
    for n in 0..count {
        fs::write(dir.join(format!("f{n}")), "x").unwrap();
    }
}

/// False where that may not be done.
fn mount(what: &[&str], place: &Path) -> bool {
    let output = Command::new("mount").args(what).arg(place).output();
    output.is_ok_and(|output| output.status.success())
}

fn unmount(place: &Path) {
    assert!(Command::new("umount").arg("-l").arg(place).status().unwrap().success());
}

#[test]
fn the_guard_counts_what_is_in_orphaned_directories_wherever_they_stand() {
    for orphan in ["aaa", "zzz"] {
        let bed = Bed::new();
        fill(&bed.source().join("middle"), 3);
        bed.mirror(FULL);
        fill(&bed.target().join(orphan).join("deep"), 50);
        let (outcome, _) = bed.run(JobKind::Mirror(ORPHANS));
        let fatal = outcome.fatal.unwrap_or_else(|| panic!("{orphan} is gone: {:?}", outcome.failures));
        assert!(fatal.message.contains("mass-deletion guard"), "{fatal:?}");
        assert!(bed.target().join(orphan).join("deep/f49").exists());
        let (outcome, _) = bed.run(JobKind::Mirror(MirrorSpec { clean: true, ..FULL }));
        assert!(outcome.fatal.is_some_and(|fatal| fatal.message.contains("mass-deletion guard")));
        assert!(bed.target().join(orphan).join("deep/f49").exists());
    }
}

#[test]
fn a_guard_of_none_lets_not_even_one_go() {
    let mut bed = Bed::new();
    bed.settings.orphans.guard_percent = 0;
    fill(&bed.source(), 30);
    bed.mirror(ORPHANS);
    fs::write(bed.target().join("orphan"), "x").unwrap();
    for kind in [
        JobKind::Mirror(ORPHANS),
        JobKind::Mirror(MirrorSpec { clean: true, ..FULL }),
        JobKind::Orphans(dtcl::api::OrphanSpec { preview: false }),
    ] {
        let (outcome, _) = bed.run(kind);
        assert!(outcome.fatal.is_some_and(|fatal| fatal.message.contains("mass-deletion guard")), "{kind:?}");
        assert!(bed.target().join("orphan").exists());
    }
}

#[test]
fn the_guard_does_not_count_what_rules_keep() {
    let bed = Bed::new();
    // The walk comes to a directory behind the one that stays.
    fill(&bed.source().join("z"), 3);
    fill(&bed.target().join("cache"), 50);
    fs::write(bed.target().join("orphan"), "x").unwrap();
    let mut plan = bed.plan();
    let root = bed.source().to_str().unwrap().to_string();
    let rule = |path: String, include| Rule { path, include, recursive: true };
    plan.rules = Arc::new(RuleSet::new(vec![rule(root.clone(), true), rule(format!("{root}/cache"), false)]));
    let outcome = source::run(&plan, JobKind::Mirror(ORPHANS), &JobShared::new(), None);
    assert!(outcome.complete, "{outcome:?}");
    assert!(!bed.target().join("orphan").exists());
    assert!(bed.target().join("cache/f49").exists());
}

/// Also where a rule cuts into a directory that only the target has, and by age.
#[test]
fn a_clean_takes_nothing_that_rules_or_age_keep() {
    for (by_age, dir) in [(false, "only there"), (true, "only there"), (false, "shared"), (true, "shared")] {
        let mut bed = Bed::new();
        fill(&bed.source(), 20);
        fill(&bed.source().join("shared"), 2);
        bed.mirror(FULL);
        let (stays, goes) = (bed.target().join(dir).join("kept.tmp"), bed.target().join("goes"));
        fill(&bed.target().join(dir), 2);
        fs::write(&stays, "x").unwrap();
        fill(&goes, 2);
        let root = bed.source().to_str().unwrap().to_string();
        let rule = |path: String, include| Rule { path, include, recursive: true };
        let mut rules = vec![rule(root.clone(), true)];
        if by_age {
            bed.settings.orphans.min_age_minutes = Some(60);
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
            for name in ["goes", "goes/f0", "goes/f1"] {
                fs::File::open(bed.target().join(name)).unwrap().set_modified(then).unwrap();
            }
        } else {
            rules.push(rule(format!("{root}/*.tmp"), false));
        }
        let mut plan = bed.plan();
        plan.rules = Arc::new(RuleSet::new(rules));
        let clean = MirrorSpec { clean: true, ..FULL };
        let outcome = source::run(&plan, JobKind::Mirror(clean), &JobShared::new(), None);
        assert!(outcome.complete, "{outcome:?}");
        assert!(stays.exists() && !goes.exists(), "{dir}, {by_age}");
    }
}

#[test]
fn a_file_in_the_place_of_a_full_directory_waits_for_the_guard() {
    let bed = Bed::new();
    fill(&bed.source().join("data"), 50);
    bed.mirror(FULL);
    fs::remove_dir_all(bed.source().join("data")).unwrap();
    fs::write(bed.source().join("data"), "a mistake").unwrap();
    let (outcome, _) = bed.run(JobKind::Mirror(ORPHANS));
    assert!(outcome.fatal.is_some_and(|fatal| fatal.message.contains("mass-deletion guard")));
    assert!(bed.target().join("data/f49").exists());
    let mut bed = bed;
    bed.settings.orphans.guard_percent = 100;
    bed.mirror(ORPHANS);
    bed.same();
}

#[test]
fn a_directory_that_makes_room_for_a_file_is_moved_aside_where_orphans_are() {
    let mut bed = Bed::new();
    let aside = bed.dir.path().join("aside");
    bed.settings.orphans.move_to = Some(aside.clone());
    fs::write(bed.source().join("data"), "now a file").unwrap();
    fs::hard_link(bed.source().join("data"), bed.source().join("second name")).unwrap();
    fill(&bed.target().join("data"), 3);
    bed.mirror(ORPHANS);
    bed.same();
    assert!(aside.join(bed.target().strip_prefix("/").unwrap()).join("data/f2").exists());
}

#[test]
fn a_file_system_mounted_in_an_orphan_keeps_what_it_has_and_the_mirror_says_so() {
    let bed = Bed::new();
    let place = bed.target().join("orphan/mount");
    fs::create_dir_all(&place).unwrap();
    if !mount(&["-t", "tmpfs", "none"], &place) {
        return support::skip("a mount in the target", "may not mount here");
    }
    fs::write(place.join("precious"), "x").unwrap();
    let (outcome, _) = bed.run(JobKind::Mirror(ORPHANS));
    let kept = place.join("precious").exists();
    unmount(&place);
    assert!(kept, "{outcome:?}");
    assert!(!outcome.complete && outcome.failures.len() == 1, "{outcome:?}");
}

#[test]
fn an_orphan_that_is_busy_is_a_failure() {
    let bed = Bed::new();
    let (place, other) = (bed.target().join("orphan"), bed.dir.path().join("outside/file"));
    fs::write(&place, "x").unwrap();
    fs::write(&other, "x").unwrap();
    if !mount(&["--bind", other.to_str().unwrap()], &place) {
        return support::skip("a mount on a file of the target", "may not mount here");
    }
    let (outcome, _) = bed.run(JobKind::Mirror(ORPHANS));
    unmount(&place);
    assert!(!outcome.complete && outcome.failures.len() == 1, "{outcome:?}");
}

#[test]
fn a_clean_that_could_not_bring_everything_back_empties_nothing() {
    let bed = Bed::new();
    fill(&bed.source(), 3);
    fill(&bed.dir.path().join("second"), 3);
    let copy = bed.dir.path().join("second copy");
    let mut plan = bed.plan();
    let rule =
        |path: &Path| Rule { path: path.to_str().unwrap().to_string(), include: true, recursive: true };
    plan.rules = Arc::new(RuleSet::new(vec![rule(&bed.source()), rule(&bed.dir.path().join("second"))]));
    plan.paths.push(Mapping { source: bed.dir.path().join("second"), target: copy.clone() });
    let run = |spec| source::run(&plan, JobKind::Mirror(spec), &JobShared::new(), None);
    assert!(run(FULL).complete);
    // As when a disk is not mounted.
    fs::remove_dir_all(bed.dir.path().join("second")).unwrap();
    let verified =
        source::run(&plan, JobKind::Verify(dtcl::api::VerifySpec::default()), &JobShared::new(), None);
    assert!(!verified.complete && verified.failures.len() == 1, "{verified:?}");
    let outcome = run(MirrorSpec { clean: true, ..FULL });
    assert!(!outcome.complete, "{outcome:?}");
    assert!(bed.target().join("f0").exists() && copy.join("f2").exists());
}
