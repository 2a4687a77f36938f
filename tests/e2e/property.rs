//! Random trees, random changes between difference mirrors: the oracle never finds anything.
//!
//! `DTCL_PROPERTY_SEEDS=from..to` runs other seeds than the usual few.

use crate::migration::Migration;
use crate::needs;
use crate::support::random::Random;
use crate::support::{oracle, tree};

fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("DTCL_PROPERTY_SEEDS").ok();
    let range = given.as_deref().and_then(|text| text.split_once(".."));
    range.map_or(0..4, |(from, to)| from.parse().unwrap()..to.parse().unwrap())
}

#[test]
fn the_target_follows_random_changes() {
    needs!("rsync");
    for seed in seeds() {
        let m = Migration::new();
        tree::random(&m.source, seed, 120);
        m.mirror("full").ok();
        m.assert_same();
        let mut random = Random::new(seed ^ 0xABCD);
        for round in 0..4 {
            tree::change(&m.source, &mut random, 25);
            let flags = random.pick(&["different orphans", "different checksum orphans", "full orphans"]);
            let ran = m.mirror(flags);
            ran.ok();
            let found = oracle::differences(&m.source, &m.target);
            assert!(
                found.is_empty(),
                "seed {seed}, round {round}, mirror {flags}:\n{}\n{}",
                found.join("\n"),
                ran.report()
            );
        }
    }
}

/// Damage on the target itself is put right too: a difference mirror looks at the target.
#[test]
fn damage_on_the_target_is_put_right() {
    needs!("rsync");
    for seed in seeds() {
        let m = Migration::new();
        tree::random(&m.source, seed, 120);
        m.mirror("full").ok();
        let mut random = Random::new(seed ^ 0x1234);
        tree::change(&m.target, &mut random, 25);
        let ran = m.mirror("different checksum orphans");
        ran.ok();
        let found = oracle::differences(&m.source, &m.target);
        assert!(found.is_empty(), "seed {seed}:\n{}\n{}", found.join("\n"), ran.report());
    }
}
