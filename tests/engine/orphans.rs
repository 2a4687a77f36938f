//! Orphans: which they are, what a preview and a removal do with them, and what stays (ORP-01 to -11).

use crate::bed::{Bed, DIFFERENT, FULL};
use crate::following::Followed;
use dtcl::api::{ConnectionId, MirrorSpec, OrphanSpec, Rule, VerifySpec};
use dtcl::engine::job::{JobKind, JobOutcome, JobPlan, JobShared};
use dtcl::engine::orphans::TargetOrphans;
use dtcl::engine::repset::RuleSet;
use dtcl::engine::settings::OrphanSettings;
use dtcl::engine::{link, source, target};
use dtcl::sys::FileKind;
use dtcl::wire::{Op, OrphanNamed, OrphanStep};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

const START: JobKind = JobKind::Orphans(OrphanSpec { preview: false });
const PREVIEW: JobKind = JobKind::Orphans(OrphanSpec { preview: true });

fn write(path: PathBuf, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn at(bed: &Bed, name: &str) -> PathBuf {
    bed.target().join(name)
}

/// Files, directories, bytes.
fn counts(shared: &JobShared) -> [u64; 3] {
    let counters = &shared.counters;
    [&counters.orphans, &counters.orphan_directories, &counters.orphan_bytes].map(|count| count.load(Relaxed))
}

#[track_caller]
fn sweep(plan: &JobPlan, kind: JobKind) -> [u64; 3] {
    let shared = JobShared::new();
    let outcome = source::run(plan, kind, &shared, None);
    assert!(outcome.complete, "{outcome:?}");
    counts(&shared)
}

/// A plan by these rules: the path below the source, and whether it is included.
fn by_rules(bed: &Bed, rules: &[(&str, bool)]) -> JobPlan {
    let mut plan = bed.plan();
    let rule = |(path, include): &(&str, bool)| Rule {
        path: format!("{}{path}", bed.source().display()),
        include: *include,
        recursive: true,
    };
    plan.rules = Arc::new(RuleSet::new(rules.iter().map(rule).collect()));
    plan
}

fn with_age(minutes: u64, path: &Path) {
    let then = SystemTime::now() - Duration::from_secs(60 * minutes);
    fs::File::open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn a_preview_names_what_a_removal_takes_and_takes_nothing() {
    for bed in [Bed::new(), Bed::far()] {
        for n in 0..40 {
            write(bed.source().join(format!("keep{n}")), "x");
        }
        bed.mirror(FULL);
        write(at(&bed, "orphan"), "12345");
        write(at(&bed, "old/deep/file"), "123");
        symlink("nowhere", at(&bed, "old/link")).unwrap();
        let found = sweep(&bed.plan(), PREVIEW);
        assert_eq!(found, [3, 2, 8]);
        assert!(at(&bed, "orphan").exists() && at(&bed, "old/deep/file").exists());
        assert_eq!(sweep(&bed.plan(), START), found);
        bed.same();
        assert_eq!(sweep(&bed.plan(), START), [0, 0, 0]);
    }
}

/// ORP-11, both directions.
#[test]
fn what_a_rule_excludes_stays_and_what_an_included_wildcard_leaves_out_goes() {
    let bed = Bed::new();
    write(bed.source().join("d/file"), "x");
    let plan = by_rules(&bed, &[("", true), ("/*.tmp", false)]);
    for name in ["gone/a", "gone/b.tmp", "whole/a", "c.tmp", "d/e"] {
        write(at(&bed, name), "x");
    }
    assert_eq!(sweep(&plan, PREVIEW), [3, 1, 3]);
    assert_eq!(sweep(&plan, START), [3, 1, 3]);
    for (name, stays) in
        [("gone/b.tmp", true), ("c.tmp", true), ("gone/a", false), ("whole", false), ("d/e", false)]
    {
        assert_eq!(at(&bed, name).exists(), stays, "{name}");
    }

    let bed = Bed::new();
    write(bed.source().join("d/one.db"), "x");
    // On the source, and not in the set.
    write(bed.source().join("d/other.txt"), "x");
    let plan = by_rules(&bed, &[("/*.db", true), ("/*.log", false)]);
    for name in ["d/one.db", "d/two.db", "d/other.txt", "d/kept.log", "e/x.txt"] {
        write(at(&bed, name), "x");
    }
    assert_eq!(sweep(&plan, START), [3, 1, 3]);
    for (name, stays) in
        [("d/one.db", true), ("d/kept.log", true), ("d/two.db", false), ("d/other.txt", false), ("e", false)]
    {
        assert_eq!(at(&bed, name).exists(), stays, "{name}");
    }
}

/// REP-34: what the source has is no orphan because another connection sends it.
#[test]
fn what_another_connection_sends_stays() {
    let bed = Bed::new();
    for name in ["d/one.db", "d/two.txt"] {
        write(bed.source().join(name), "x");
    }
    for name in ["d/one.db", "d/orphan.db"] {
        write(at(&bed, name), "x");
    }
    let mut plan = bed.plan();
    plan.elsewhere = vec![(ConnectionId(7), by_rules(&bed, &[("/*.db", true)]).rules)];
    let file = at(&bed, "d/one.db");
    assert_eq!(sweep(&plan, START), [1, 0, 1]);
    assert!(file.exists() && !at(&bed, "d/orphan.db").exists());
    for kind in [
        JobKind::Mirror(MirrorSpec { orphans: true, ..DIFFERENT }),
        JobKind::Verify(VerifySpec { orphans: true, ..VerifySpec::default() }),
        JobKind::Mirror(MirrorSpec { clean: true, ..FULL }),
    ] {
        let outcome = source::run(&plan, kind, &JobShared::new(), None);
        assert!(outcome.complete && file.exists(), "{kind:?} {outcome:?}");
    }
}

/// ORP-09: also in directories that only the target has.
#[test]
fn only_what_is_old_goes() {
    let mut bed = Bed::new();
    bed.settings.orphans.min_age_minutes = Some(60);
    write(bed.source().join("file"), "x");
    for name in ["old", "young", "dir/old", "dir/young", "all old/a"] {
        write(at(&bed, name), "x");
    }
    for name in ["old", "dir/old", "all old/a", "all old", "dir"] {
        with_age(61, &at(&bed, name));
    }
    with_age(59, &at(&bed, "young"));
    assert_eq!(sweep(&bed.plan(), START), [3, 1, 3]);
    assert!(at(&bed, "young").exists() && at(&bed, "dir/young").exists());
    assert!(!at(&bed, "dir/old").exists() && !at(&bed, "all old").exists());
}

/// ORP-08: to another file system, with all that they had.
#[test]
fn orphans_are_moved_to_another_file_system_whole() {
    let aside = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut bed = Bed::new();
    if fs::metadata(aside.path()).unwrap().dev() == fs::metadata(bed.dir.path()).unwrap().dev() {
        return crate::support::skip("orphans over file systems", "the build lies in /dev/shm");
    }
    bed.settings.orphans.move_to = Some(aside.path().to_path_buf());
    write(bed.source().join("file"), "x");
    write(at(&bed, "dir/script"), "content");
    fs::set_permissions(at(&bed, "dir/script"), fs::Permissions::from_mode(0o751)).unwrap();
    with_age(10_000, &at(&bed, "dir/script"));
    symlink("nowhere", at(&bed, "dir/link")).unwrap();
    fs::set_permissions(at(&bed, "dir"), fs::Permissions::from_mode(0o711)).unwrap();
    with_age(20_000, &at(&bed, "dir"));
    let before = ["dir", "dir/script"].map(|name| fs::metadata(at(&bed, name)).unwrap());
    assert_eq!(sweep(&bed.plan(), START), [2, 1, 7]);
    assert!(!at(&bed, "dir").exists());
    let moved = aside.path().join(bed.target().strip_prefix("/").unwrap());
    for (name, before) in ["dir", "dir/script"].iter().zip(before) {
        let after = fs::metadata(moved.join(name)).unwrap();
        assert_eq!(
            (after.mode(), after.uid(), after.gid()),
            (before.mode(), before.uid(), before.gid()),
            "{name}"
        );
        assert_eq!((after.mtime(), after.mtime_nsec()), (before.mtime(), before.mtime_nsec()), "{name}");
    }
    assert_eq!(fs::read_to_string(moved.join("dir/script")).unwrap(), "content");
    assert_eq!(fs::read_link(moved.join("dir/link")).unwrap(), Path::new("nowhere"));
    // What was moved before is never replaced.
    write(at(&bed, "dir/script"), "second");
    assert_eq!(sweep(&bed.plan(), START), [1, 1, 6]);
    assert_eq!(fs::read_to_string(moved.join("dir/script")).unwrap(), "content");
    assert_eq!(fs::read_to_string(moved.join("dir/script.1")).unwrap(), "second");
}

/// What stands where orphans are moved to is never replaced, and none of them is taken for gone because of it.
#[test]
fn what_is_in_the_way_of_moved_orphans_gives_them_another_name() {
    for in_place_of in ["", "dir", "dir/empty"] {
        let mut bed = Bed::new();
        let aside = bed.dir.path().join("aside");
        bed.settings.orphans.move_to = Some(aside.clone());
        write(bed.source().join("file"), "x");
        write(at(&bed, "dir/orphan"), "content");
        fs::create_dir(at(&bed, "dir/empty")).unwrap();
        let moved = aside.join(bed.target().strip_prefix("/").unwrap());
        let other = moved.join(in_place_of);
        let other = other.to_str().unwrap().trim_end_matches('/').to_owned();
        write(PathBuf::from(&other), "of another");
        assert_eq!(sweep(&bed.plan(), START), [1, 2, 7], "{in_place_of}");
        assert_eq!(fs::read_to_string(&other).unwrap(), "of another");
        let rest = |name: &str| match name.strip_prefix(in_place_of) {
            Some(rest) => format!("{other}.1{}{rest}", if in_place_of.is_empty() { "/" } else { "" }),
            None => moved.join(name).to_str().unwrap().to_owned(),
        };
        assert_eq!(fs::read_to_string(rest("dir/orphan")).unwrap(), "content");
        assert!(Path::new(&rest("dir/empty")).is_dir());
        assert!(!at(&bed, "dir").exists());
    }
}

/// ORP-08: a place inside the connection's own target paths would move them again and again.
#[test]
fn orphans_that_would_be_moved_into_their_own_target_path_stay() {
    for place in ["target/aside", "target", ""] {
        let mut bed = Bed::new();
        let aside = if place.is_empty() { PathBuf::from("/") } else { bed.dir.path().join(place) };
        bed.settings.orphans.move_to = Some(aside.clone());
        bed.settings.orphans.directory = Some(aside);
        write(bed.source().join("file"), "x");
        bed.mirror(FULL);
        write(at(&bed, "orphan"), "x");
        let (outcome, shared) = bed.run(START);
        assert!(!outcome.complete && outcome.failures.len() == 1, "{place}: {outcome:?}");
        assert!(outcome.failures[0].reason.contains("MoveOrphansDir"), "{outcome:?}");
        assert_eq!(counts(&shared), [0, 0, 0]);
        assert!(at(&bed, "orphan").exists(), "{place}");
    }
}

/// What was moved there before is nobody's orphan, whatever is done with orphans later.
#[test]
fn what_lies_in_the_directory_of_moved_orphans_stays() {
    let mut bed = Bed::new();
    bed.settings.orphans.directory = Some(at(&bed, "aside"));
    write(bed.source().join("file"), "x");
    write(at(&bed, "aside/of another/orphan"), "x");
    write(at(&bed, "orphan"), "x");
    assert_eq!(sweep(&bed.plan(), START), [1, 0, 1]);
    assert!(at(&bed, "aside/of another/orphan").exists());
}

/// Has a target do this, as its source says it.
fn says(root: &Path, orphans: &OrphanSettings, ops: &[Op<'_>]) {
    let (source_end, target_end) = link::pair(false);
    let settings = orphans.clone();
    let orphans = Arc::new(TargetOrphans::new(move || settings.clone()));
    let policy = target::Policy { orphans, ..target::Policy::default() };
    let server = std::thread::spawn(move || target::serve(target_end, policy));
    let mut frame = link::Frame::new();
    let roots = vec![(root.as_os_str().as_bytes(), None)];
    Op::Begin { attributes: true, xattrs: true, scan: false, roots }.encode(&mut frame);
    Op::Enter { root: 0, path: b"", make: false }.encode(&mut frame);
    ops.iter().for_each(|op| op.encode(&mut frame));
    source_end.ops.send(frame).unwrap();
    drop(source_end);
    server.join().unwrap().unwrap();
}

/// However a source reaches for it: by a directory between, or by what holds it.
#[test]
fn nothing_is_taken_out_of_the_directory_of_moved_orphans() {
    let bed = Bed::new();
    let place = at(&bed, "holds/aside/of another/deep/orphan");
    write(place.clone(), "x");
    let mut settings = bed.settings.orphans.clone();
    settings.directory = Some(at(&bed, "holds/aside"));
    let meta = fs::metadata(&place).unwrap();
    let mtime = (meta.mtime(), u32::try_from(meta.mtime_nsec()).unwrap());
    let begin = || Op::Orphans(OrphanStep::Begin { preview: false });
    let named =
        |dir: &'static str| OrphanNamed { dir: dir.as_bytes(), name: b"orphan", kind: FileKind::File, mtime };
    let deep = || Op::Orphan(named("holds/aside/of another/deep"));
    says(&bed.target(), &settings, &[begin(), deep()]);
    let remove = |name: &'static str| Op::Remove { name: name.as_bytes(), tree: true };
    says(&bed.target(), &settings, &[remove("holds")]);
    assert!(place.exists());
    // While it is not known where that is nothing goes.
    let unknown = OrphanSettings { directory: Some(bed.source().join("file/aside")), ..settings };
    write(bed.source().join("file"), "x");
    says(&bed.target(), &unknown, &[begin(), deep(), remove("holds")]);
    assert!(place.exists());
    let elsewhere = OrphanSettings { directory: None, ..unknown };
    says(&bed.target(), &elsewhere, &[begin(), deep()]);
    assert!(!place.exists());
}

#[test]
fn the_guard_stops_a_removal_by_hand_and_a_preview_says_so_only() {
    let bed = Bed::new();
    write(bed.source().join("file"), "x");
    for n in 0..30 {
        write(at(&bed, &format!("old/{n}")), "x");
    }
    assert_eq!(sweep(&bed.plan(), PREVIEW), [30, 1, 30]);
    let (outcome, _) = bed.run(START);
    assert!(outcome.fatal.is_some_and(|fatal| fatal.message.contains("mass-deletion guard")));
    assert!(at(&bed, "old/29").exists());
}

/// ORP-05: a stop is heard between two pieces, a pause holds.
#[test]
fn a_removal_can_be_held_and_stopped() {
    let mut bed = Bed::new();
    (bed.settings.orphans.piece, bed.settings.orphans.guard_percent) = (1, 100);
    write(bed.source().join("file"), "x");
    for n in 0..2000 {
        write(at(&bed, &format!("old/{n}")), "x");
    }
    let left = || fs::read_dir(at(&bed, "old")).unwrap().count();
    let shared = JobShared::new();
    let plan = bed.plan();
    let outcome: JobOutcome = std::thread::scope(|scope| {
        let job = scope.spawn(|| source::run(&plan, START, &shared, None));
        while left() == 2000 {
            std::thread::yield_now();
        }
        assert!(shared.pause());
        // Those under way are done, and no more: what is counted twice is at rest.
        let mut before = left();
        loop {
            std::thread::sleep(Duration::from_millis(50));
            if left() == before {
                break;
            }
            before = left();
        }
        assert!(before > 0, "the pause came too late");
        shared.stop();
        let outcome = job.join().unwrap();
        assert_eq!(left(), before);
        outcome
    });
    assert!(outcome.stopped && outcome.fatal.is_none(), "{outcome:?}");
    let gone = counts(&shared)[0];
    assert_eq!(gone, 2000 - left() as u64);
}

/// ORP-03: the switch is the target's; whoever asks turns it on for all.
#[test]
fn the_switch_of_the_target_counts_for_every_mirror() {
    let mut bed = Bed::new();
    let settings = bed.settings.orphans.clone();
    let target = Arc::new(TargetOrphans::new(move || settings.clone()));
    bed.settings.target_orphans = Some(Arc::clone(&target));
    write(bed.source().join("file"), "x");
    write(at(&bed, "orphan"), "x");
    bed.mirror(DIFFERENT);
    assert!(at(&bed, "orphan").exists() && !target.is_on());
    bed.mirror(MirrorSpec { orphans: true, ..DIFFERENT });
    assert!(!at(&bed, "orphan").exists() && target.is_on());
    write(at(&bed, "another"), "xy");
    bed.mirror(DIFFERENT);
    assert!(!at(&bed, "another").exists());
    assert_eq!(target.removed().files, 2);
    assert_eq!(target.removed().bytes, 3);
    target.switch(false);
    write(at(&bed, "third"), "x");
    bed.mirror(DIFFERENT);
    assert!(at(&bed, "third").exists());
}

/// Over a line the target is asked at the beginning of each job. What a source there asks for counts for its job alone.
#[test]
fn a_source_on_another_machine_turns_no_switch_for_others() {
    let followed = Followed::with_queue(Bed::far(), |bed| write(bed.source().join("file"), "x"));
    let bed = &followed.bed;
    let mirror = |spec| {
        let outcome =
            source::run(&bed.plan(), JobKind::Mirror(spec), &JobShared::new(), Some(&followed.replication));
        assert!(outcome.complete, "{outcome:?}");
    };
    write(at(bed, "orphan"), "x");
    mirror(DIFFERENT);
    assert!(at(bed, "orphan").exists());
    mirror(MirrorSpec { orphans: true, ..DIFFERENT });
    assert!(!at(bed, "orphan").exists());
    write(at(bed, "another"), "x");
    mirror(DIFFERENT);
    assert!(at(bed, "another").exists());
}

/// What replication brings while orphans are looked for stays, whatever its name was before.
#[test]
fn what_replication_brings_meanwhile_stays() {
    let followed = Followed::new(|bed| {
        for n in 0..20 {
            write(bed.source().join(format!("d{n}/file")), "x");
        }
    });
    let bed = &followed.bed;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..60 {
                for n in 0..20 {
                    // Names that the target has as orphans.
                    write(followed.at(&format!("d{n}/new{round}")), "from the source");
                    write(followed.at(&format!("d{n}/dir{round}/below")), "from the source");
                    if round % 3 == 0 {
                        fs::rename(followed.at(&format!("d{n}")), followed.at(&format!("moving{n}")))
                            .unwrap();
                        fs::rename(followed.at(&format!("moving{n}")), followed.at(&format!("d{n}")))
                            .unwrap();
                    }
                }
            }
            done.store(true, Relaxed);
        });
        let mut runs = 0;
        while !done.load(Relaxed) || runs < 3 {
            for n in 0..20 {
                for round in 0..60 {
                    for name in [format!("d{n}/new{round}"), format!("d{n}/dir{round}/below")] {
                        let source = followed.at(&name);
                        let target = at(bed, &name);
                        if !source.exists() && round % 7 == runs % 7 {
                            // By hand, and perhaps at the very moment at which replication writes it.
                            let _ = fs::create_dir(at(bed, &format!("d{n}/dir{round}")));
                            let _ = fs::File::create_new(&target);
                        }
                    }
                }
            }
            let outcome = source::run(&bed.plan(), START, &JobShared::new(), Some(&followed.replication));
            assert!(outcome.fatal.is_none(), "{outcome:?}");
            runs += 1;
        }
        writer.join().unwrap();
    });
    followed.barrier();
    let outcome = source::run(&bed.plan(), START, &JobShared::new(), Some(&followed.replication));
    assert!(outcome.complete, "{outcome:?}");
    followed.barrier();
    for n in 0..20 {
        for round in 0..60 {
            for name in [format!("d{n}/new{round}"), format!("d{n}/dir{round}/below")] {
                assert_eq!(
                    fs::read_to_string(at(bed, &name)).ok().as_deref(),
                    Some("from the source"),
                    "{name}"
                );
            }
        }
    }
}

/// The same, at the worst moment: between the search and the removal the source comes to have all of them.
#[test]
fn what_the_source_has_by_then_is_no_orphan_any_more() {
    let mut bed = Bed::new();
    bed.settings.orphans.piece = 1;
    let followed = Followed::with_queue(bed, |bed| write(bed.source().join("d/file"), "x"));
    let bed = &followed.bed;
    let names: Vec<String> =
        (0..500).map(|n| format!("{}/{n}", if n % 2 == 0 { "d" } else { "new" })).collect();
    names.iter().for_each(|name| write(at(bed, name), "on the target only"));
    let left = || names.iter().filter(|name| at(bed, name).exists()).count();
    let shared = JobShared::new();
    let plan = bed.plan();
    std::thread::scope(|scope| {
        let job = scope.spawn(|| source::run(&plan, START, &shared, Some(&followed.replication)));
        while left() == names.len() {
            std::thread::yield_now();
        }
        assert!(shared.pause());
        names.iter().for_each(|name| write(followed.at(name), "from the source"));
        followed.barrier();
        shared.resume();
        let outcome = job.join().unwrap();
        assert!(outcome.complete, "{outcome:?}");
    });
    followed.barrier();
    for name in &names {
        assert_eq!(fs::read_to_string(at(bed, name)).ok().as_deref(), Some("from the source"), "{name}");
    }
    assert!(counts(&shared)[0] < names.len() as u64, "the pause came too late");
}
