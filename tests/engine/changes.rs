//! Difference mirrors of a tree that changes at random on both sides, judged by rsync.

use crate::bed::{Bed, CHECKSUM, DIFFERENT};
use crate::support::random::Random;
use crate::support::{oracle, tree};
use dtcl::api::{MirrorSpec, VerifySpec};
use std::path::Path;

/// Steps and seeds of the usual run; `DTCL_TEST_STEPS` and `DTCL_TEST_SEED` ask for more.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Comes back when a change gets another time than those before it: a clock's tick is long enough to change one file on both
/// sides, and size and time would not tell them apart.
fn later(dir: &Path) {
    let now = || {
        std::fs::write(dir.join("probe"), "x").unwrap();
        std::fs::metadata(dir.join("probe")).unwrap().modified().unwrap()
    };
    let first = now();
    while now() == first {}
}

fn run(seed: u64, steps: u64) {
    let mut bed = Bed::new();
    let mut random = Random::new(seed);
    bed.settings.orphans.guard_percent = 100;
    bed.settings.checksum_all = random.one_in(2);
    bed.settings.small_file_threshold = *random.pick(&[0, 4096, 65536, u64::MAX]);
    bed.settings.chunk_size = *random.pick(&[1, 4096, 65536, 1 << 20]);
    bed.settings.mirror_queue_limit = *random.pick(&[1, 7, 1000]);
    tree::random(&bed.source(), seed, 60);
    for step in 0..steps {
        if random.one_in(3) {
            tree::change(&bed.target(), &mut random, 6);
            later(bed.dir.path());
        }
        tree::change(&bed.source(), &mut random, 15);
        let orphans = MirrorSpec { orphans: true, ..DIFFERENT };
        let spec = *random.pick(&[orphans, MirrorSpec { checksum: true, ..orphans }, DIFFERENT, CHECKSUM]);
        let (outcome, _) = bed.run(dtcl::engine::job::JobKind::Mirror(spec));
        if !spec.orphans {
            // What only the target has may stand where something must go; the rest is there.
            let others = outcome.failures.iter().filter(|failure| !failure.reason.contains("ORPHANS"));
            assert_eq!(others.count(), 0, "seed {seed}, step {step}: {outcome:?}");
            continue;
        }
        assert!(outcome.complete, "seed {seed}, step {step}, {spec:?}: {outcome:?}");
        let found = oracle::differences(&bed.source(), &bed.target());
        assert!(
            found.is_empty(),
            "seed {seed}, step {step}, {spec:?}, {:?}:\n{}",
            bed.settings,
            found.join("\n")
        );
        let again = bed.mirror(spec);
        assert_eq!(again, 0, "seed {seed}, step {step}: a second mirror sends nothing");
        let report = bed.verify(VerifySpec::default());
        assert_eq!(
            (report.files_different, report.files_missing, report.directories_missing),
            (0, 0, 0),
            "seed {seed}, step {step}: {:?}",
            report.differing
        );
    }
}

#[test]
fn difference_mirrors_follow_random_changes() {
    let (first, steps) = (number("DTCL_TEST_SEED", 1), number("DTCL_TEST_STEPS", 8));
    for seed in first..first + number("DTCL_TEST_SEEDS", 4) {
        run(seed, steps);
    }
}
