//! Hard links where something goes wrong on the way, or on the second mirror.

use crate::bed::{Bed, DIFFERENT, FULL, run_through};
use crate::support::{oracle, tree};
use dtcl::api::VerifySpec;
use dtcl::engine::settings::Overwrite;
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_verify_that_repairs_keeps_names_of_one_file_together() {
    let bed = Bed::new();
    fs::write(bed.source().join("a"), vec![b'x'; 100_000]).unwrap();
    fs::hard_link(bed.source().join("a"), bed.source().join("b")).unwrap();
    bed.mirror(FULL);
    for checksum in [false, true] {
        tree::flip_byte_secretly(&bed.target().join("a"), 7);
        bed.verify(VerifySpec { remirror: true, checksum, ..VerifySpec::default() });
        bed.same();
    }
}

#[test]
fn fifos_that_are_one_on_the_target_only_become_two() {
    let bed = Bed::new();
    for name in ["a", "b"] {
        nix::unistd::mkfifo(&bed.source().join(name), Mode::from_bits_truncate(0o600)).unwrap();
    }
    std::os::unix::fs::symlink("text", bed.source().join("s")).unwrap();
    std::os::unix::fs::symlink("text", bed.source().join("t")).unwrap();
    bed.mirror(FULL);
    for (from, to) in [("a", "b"), ("s", "t")] {
        fs::remove_file(bed.target().join(to)).unwrap();
        fs::hard_link(bed.target().join(from), bed.target().join(to)).unwrap();
    }
    bed.mirror(DIFFERENT);
    let inode = |name| fs::symlink_metadata(bed.target().join(name)).unwrap().ino();
    assert_ne!(inode("a"), inode("b"));
    assert_ne!(inode("s"), inode("t"));
    oracle::assert_same(&bed.source(), &bed.target());
}

#[test]
fn a_missing_name_is_not_linked_to_an_older_file_that_was_left_as_it_is() {
    for (overwrite, newer) in [(Overwrite::Never, false), (Overwrite::Always, true)] {
        let mut bed = Bed::new();
        bed.settings.overwrite = overwrite;
        fs::write(bed.source().join("a"), "of the source").unwrap();
        for name in ["b", "c"] {
            fs::hard_link(bed.source().join("a"), bed.source().join(name)).unwrap();
        }
        fs::write(bed.target().join("a"), "kept by the setting").unwrap();
        tree::set_time(&bed.source().join("a"), 1_000_000, 0);
        bed.mirror(dtcl::api::MirrorSpec { newer, ..DIFFERENT });
        assert_eq!(fs::read_to_string(bed.target().join("a")).unwrap(), "kept by the setting");
        assert_eq!(fs::read_to_string(bed.target().join("b")).unwrap(), "of the source");
        let inode = |name| fs::metadata(bed.target().join(name)).unwrap().ino();
        assert_eq!(inode("b"), inode("c"));
    }
}

#[test]
fn names_of_a_large_file_that_changes_on_the_way_stay_together() {
    use std::os::unix::fs::FileExt;
    for changes in [1, 2, 3, 5, 9] {
        let bed = Bed::new();
        fs::write(bed.source().join("a"), vec![1; 300_000]).unwrap();
        fs::hard_link(bed.source().join("a"), bed.source().join("b")).unwrap();
        bed.mirror(FULL);
        // The old file is still on the target: a link to it would show the old content under both names.
        let path = bed.source().join("a");
        let write = |bytes: &[u8], at| {
            fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(bytes, at).unwrap();
        };
        write(b"second", 0);
        let mut left = changes;
        // Every frame but the first comes after stamps were taken, so the file is not settled. Then nobody writes any more.
        let (outcome, ()) = run_through(&bed, |from_source, ops| {
            for frame in from_source {
                if left > 0 {
                    left -= 1;
                    write(&[left], 100);
                }
                ops.send(frame).unwrap();
            }
        });
        if outcome.complete {
            bed.same();
        } else {
            assert!(!outcome.failures.is_empty(), "{outcome:?}");
        }
        bed.mirror(DIFFERENT);
        bed.same();
    }
}
