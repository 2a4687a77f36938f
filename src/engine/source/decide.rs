//! What a mirror sends for one file: table 25.1 of the guide's digest as a pure function.

use crate::api::{MirrorKind, MirrorReason};
use crate::engine::settings::Overwrite;

/// The mirror's flags and the settings that decide.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub kind: MirrorKind,
    pub newer: bool,
    pub checksum: bool,
    /// ChecksumAll
    pub checksum_all: bool,
    /// MirrorOverwrite
    pub overwrite: Overwrite,
    /// MirrorZeroKFiles
    pub zero_k_files: bool,
}

/// What is known of a file on both sides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Size on the source is 0.
    pub empty: bool,
    /// A file of this name is on the target. Without it all below is false.
    pub on_target: bool,
    pub size_differs: bool,
    pub time_differs: bool,
    /// The source's modification time is later than the target's.
    pub newer: bool,
    /// The target's is earlier than the source's (for MirrorOverwrite 2 the same question).
    pub target_older: bool,
    /// Size and time are the same, and prove nothing: the content may be of another write within one tick of the clock.
    pub doubtful: bool,
    /// Owner, mode or extended attributes differ.
    pub attributes_differ: bool,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it is the same, or the settings leave it.
    Nothing,
    /// The entire file.
    Whole(MirrorReason),
    /// Compare block checksums, send the blocks that differ (and metadata when it differs).
    Blocks(MirrorReason),
    /// The content counts as the same; owner, mode or extended attributes go.
    Attributes,
}

/// Table 25.1, with MIR-03 (a file missing on the target is always sent), `MirrorZeroKFiles` and `MirrorOverwrite`.
///
/// Attributes of files whose content counts as the same are compared and sent (the table's note, our inference). A file
/// that is left because it is not newer keeps its attributes: its content may be another one.
pub fn decide(policy: &Policy, facts: &Facts) -> Decision {
    use Decision::{Attributes, Blocks, Nothing, Whole};
    if facts.empty && !policy.zero_k_files {
        return Nothing;
    }
    if !facts.on_target {
        return Whole(MirrorReason::Missing);
    }
    match policy.overwrite {
        Overwrite::Never => return Nothing,
        Overwrite::Older if !facts.target_older => return Nothing,
        Overwrite::Older | Overwrite::Always => {}
    }
    let differs = if facts.size_differs {
        Some(MirrorReason::Size)
    } else if facts.time_differs || facts.doubtful {
        Some(MirrorReason::Time)
    } else {
        None
    };
    let unflagged = if differs.is_none() && facts.attributes_differ { Attributes } else { Nothing };
    match (policy.kind, policy.newer, policy.checksum) {
        (MirrorKind::Full, _, _) => Whole(MirrorReason::Full),
        (MirrorKind::Different, false, false) => differs.map_or(unflagged, Whole),
        (MirrorKind::Different, true, false) if facts.newer || facts.doubtful => Whole(MirrorReason::Newer),
        (MirrorKind::Different, false, true) if policy.checksum_all => {
            Blocks(differs.unwrap_or(MirrorReason::Checksum))
        }
        (MirrorKind::Different, false, true) => differs.map_or(unflagged, Blocks),
        (MirrorKind::Different, true, true) if facts.newer || facts.doubtful => Blocks(MirrorReason::Newer),
        (MirrorKind::Different, true, _) => unflagged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Policy = Policy {
        kind: MirrorKind::Full,
        newer: false,
        checksum: false,
        checksum_all: false,
        overwrite: Overwrite::Always,
        zero_k_files: true,
    };
    const DIFFERENT: Policy = Policy { kind: MirrorKind::Different, ..FULL };
    const SAME: Facts = Facts {
        empty: false,
        on_target: true,
        size_differs: false,
        time_differs: false,
        newer: false,
        target_older: false,
        doubtful: false,
        attributes_differ: false,
    };
    const OLDER_SOURCE: Facts = Facts { time_differs: true, ..SAME };
    const NEWER_SOURCE: Facts = Facts { time_differs: true, newer: true, target_older: true, ..SAME };
    const OTHER_SIZE: Facts = Facts { size_differs: true, ..SAME };
    const MISSING: Facts = Facts { on_target: false, ..SAME };

    #[test]
    fn stamps_that_prove_nothing_are_no_sameness() {
        let doubtful = Facts { doubtful: true, ..SAME };
        assert_eq!(decide(&DIFFERENT, &doubtful), Decision::Whole(MirrorReason::Time));
        let checksum = Policy { checksum: true, ..DIFFERENT };
        assert_eq!(decide(&checksum, &doubtful), Decision::Blocks(MirrorReason::Time));
        let newer = Policy { newer: true, ..DIFFERENT };
        assert_eq!(decide(&newer, &doubtful), Decision::Whole(MirrorReason::Newer));
        let older = Policy { overwrite: Overwrite::Older, ..DIFFERENT };
        assert_eq!(decide(&older, &doubtful), Decision::Nothing);
    }

    #[test]
    fn row_1_full_sends_every_file_whole() {
        for facts in [SAME, OLDER_SOURCE, NEWER_SOURCE, OTHER_SIZE] {
            assert_eq!(decide(&FULL, &facts), Decision::Whole(MirrorReason::Full));
        }
    }

    #[test]
    fn row_2_difference_sends_whole_what_differs_by_date_time_or_size() {
        assert_eq!(decide(&DIFFERENT, &SAME), Decision::Nothing);
        assert_eq!(decide(&DIFFERENT, &OLDER_SOURCE), Decision::Whole(MirrorReason::Time));
        assert_eq!(decide(&DIFFERENT, &NEWER_SOURCE), Decision::Whole(MirrorReason::Time));
        assert_eq!(decide(&DIFFERENT, &OTHER_SIZE), Decision::Whole(MirrorReason::Size));
    }

    #[test]
    fn row_3_newer_sends_whole_only_what_is_newer() {
        let policy = Policy { newer: true, ..DIFFERENT };
        assert_eq!(decide(&policy, &NEWER_SOURCE), Decision::Whole(MirrorReason::Newer));
        for facts in [SAME, OLDER_SOURCE, OTHER_SIZE] {
            assert_eq!(decide(&policy, &facts), Decision::Nothing);
        }
    }

    #[test]
    fn row_4_checksum_compares_blocks_of_what_differs() {
        let policy = Policy { checksum: true, ..DIFFERENT };
        assert_eq!(decide(&policy, &SAME), Decision::Nothing);
        assert_eq!(decide(&policy, &OLDER_SOURCE), Decision::Blocks(MirrorReason::Time));
        assert_eq!(decide(&policy, &OTHER_SIZE), Decision::Blocks(MirrorReason::Size));
    }

    #[test]
    fn row_5_checksum_all_compares_blocks_of_every_file() {
        let policy = Policy { checksum: true, checksum_all: true, ..DIFFERENT };
        assert_eq!(decide(&policy, &SAME), Decision::Blocks(MirrorReason::Checksum));
        assert_eq!(decide(&policy, &OTHER_SIZE), Decision::Blocks(MirrorReason::Size));
    }

    #[test]
    fn row_6_newer_and_checksum_compare_blocks_of_what_is_newer_whatever_checksum_all_says() {
        for checksum_all in [false, true] {
            let policy = Policy { newer: true, checksum: true, checksum_all, ..DIFFERENT };
            assert_eq!(decide(&policy, &NEWER_SOURCE), Decision::Blocks(MirrorReason::Newer));
            for facts in [SAME, OLDER_SOURCE, OTHER_SIZE] {
                assert_eq!(decide(&policy, &facts), Decision::Nothing);
            }
        }
    }

    #[test]
    fn what_is_missing_on_the_target_is_always_sent() {
        for newer in [false, true] {
            for checksum in [false, true] {
                for kind in [MirrorKind::Full, MirrorKind::Different] {
                    for overwrite in [Overwrite::Never, Overwrite::Older, Overwrite::Always] {
                        let policy = Policy { kind, newer, checksum, overwrite, ..FULL };
                        assert_eq!(decide(&policy, &MISSING), Decision::Whole(MirrorReason::Missing));
                    }
                }
            }
        }
    }

    #[test]
    fn mirror_overwrite_leaves_files_that_are_there_or_not_older() {
        let never = Policy { overwrite: Overwrite::Never, ..FULL };
        assert_eq!(decide(&never, &NEWER_SOURCE), Decision::Nothing);
        let older = Policy { overwrite: Overwrite::Older, ..FULL };
        assert_eq!(decide(&older, &NEWER_SOURCE), Decision::Whole(MirrorReason::Full));
        assert_eq!(decide(&older, &OLDER_SOURCE), Decision::Nothing);
    }

    #[test]
    fn empty_files_are_left_when_the_setting_says_so() {
        let policy = Policy { zero_k_files: false, ..FULL };
        assert_eq!(decide(&policy, &Facts { empty: true, ..MISSING }), Decision::Nothing);
        assert_eq!(decide(&policy, &MISSING), Decision::Whole(MirrorReason::Missing));
    }

    #[test]
    fn attributes_go_only_where_the_content_counts_as_the_same() {
        let other = Facts { attributes_differ: true, ..SAME };
        assert_eq!(decide(&DIFFERENT, &other), Decision::Attributes);
        let newer = Policy { newer: true, ..DIFFERENT };
        assert_eq!(decide(&newer, &other), Decision::Attributes);
        assert_eq!(decide(&newer, &Facts { attributes_differ: true, ..OLDER_SOURCE }), Decision::Nothing);
        let checksum = Policy { checksum: true, ..DIFFERENT };
        assert_eq!(decide(&checksum, &other), Decision::Attributes);
    }
}
