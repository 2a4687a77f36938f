//! A part of the target that cannot be written for a while: what the status says, what waits where, and that it all arrives.

use crate::migration::Migration;
use crate::needs;
use crate::replication::Following;
use crate::support::{skip, tree};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);
/// Files that are made where they cannot be, of 20 KB each: more than the blocks of a queue that stay in memory.
const FILES: usize = 200;

/// A directory in which nobody can make anything, not even root, until it is dropped.
struct Immutable(PathBuf);

impl Immutable {
    /// None: there is no such thing here.
    fn new(path: &Path) -> Option<Immutable> {
        let done = Command::new("chattr").arg("+i").arg(path).output().is_ok_and(|ran| ran.status.success());
        done.then(|| Immutable(path.to_owned()))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").arg(&self.0).output();
    }
}

/// A source that is followed with these settings, and the target's directory `locked` that cannot be written, below which more was made
/// than may be held back.
fn held(settings: &str) -> Option<(Following, Immutable)> {
    let m = Migration::new();
    for n in 0..40 {
        m.write(&format!("kept/{n}"), format!("kept {n}\n"));
    }
    m.write("locked/first", "first\n");
    m.home.script(&format!("set TGRetryLocked = 0\nset OpBufferSize = 3\n{settings}")).ok();
    let mut f = Following::of(m, &[]);
    f.barrier();
    let Some(immutable) = Immutable::new(&f.target("locked")) else {
        skip("a directory of the target that cannot be written", "chattr +i does not work here");
        return None;
    };
    for n in 0..FILES {
        tree::write(&f.source(&format!("locked/{n}")), &[n as u8; 20_000]);
    }
    Some((f, immutable))
}

/// Waits until what was made waits on the target, a part of it on disk.
fn wait_for_queue(f: &mut Following) {
    let end = Instant::now() + DEADLINE;
    while queued(f, "Bytes In Target Disk Queue") == 0 || queued(f, "Ops Remaining") < FILES as u64 {
        assert!(Instant::now() < end, "{}\n{}", f.engine.say("status target localhost"), f.m.log());
        std::thread::yield_now();
    }
}

/// A number of `status target`.
fn queued(f: &mut Following, label: &str) -> u64 {
    let shown = f.engine.say("status target localhost");
    let line = shown.lines().find_map(|line| line.trim().strip_prefix(label));
    line.and_then(|rest| rest.trim_start_matches(':').trim().parse().ok())
        .unwrap_or_else(|| panic!("{label}: {shown} {}", f.engine.errors()))
}

fn segments(f: &Following) -> Vec<PathBuf> {
    let directory = f.m.home.home().join("lib/queue").join(format!("target-{}", f.connection));
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "dtq")).collect()
}

/// `TGWriteFailureBeforeNotification`, QUE-07.
#[test]
fn what_the_target_cannot_do_waits_on_its_disk_and_arrives() {
    needs!("rsync");
    let Some((mut f, immutable)) = held("set TGWriteFailureBeforeNotification = 2\n") else { return };
    wait_for_queue(&mut f);
    assert!(!segments(&f).is_empty());
    f.engine.wait_for_status(f.connection, "target_status", "Retrying");
    assert!(f.m.log().contains("is retrying operations"), "{}", f.m.log());
    // Waits behind what waits.
    tree::write(&f.source("kept/0"), b"changed\n");
    drop(immutable);
    f.assert_same();
    f.engine.wait_for_status(f.connection, "target_status", "OK");
    let end = Instant::now() + DEADLINE;
    for label in ["Ops Remaining", "Bytes In Target Queue", "Bytes In Target Disk Queue"] {
        while queued(&mut f, label) > 0 {
            assert!(Instant::now() < end, "{label}: {}", f.engine.say("status target localhost"));
        }
    }
    assert!(segments(&f).is_empty());
    assert_eq!(f.engine.status(f.connection, "target_state"), "OK");
}

#[test]
fn a_target_status_that_nobody_wants_stays_as_it_is_and_the_log_still_says_what_waits() {
    needs!("rsync");
    let Some((mut f, immutable)) = held("set TGWriteFailureBeforeNotification = 0\n") else { return };
    wait_for_queue(&mut f);
    assert_eq!(f.engine.status(f.connection, "target_status"), "OK");
    let log = f.m.log();
    assert!(!log.contains("is retrying operations"), "{log}");
    // The source's word, and the event of the target.
    assert_eq!(log.lines().filter(|line| line.ends_with("it is tried again")).count(), 1, "{log}");
    assert_eq!(log.lines().filter(|line| line.contains(" 4112 ")).count(), 1, "{log}");
    drop(immutable);
    f.assert_same();
}

/// QUE-03, QUE-06: at the limit the target reads no more, and the source queues.
#[test]
fn a_target_whose_disk_queue_is_full_lets_the_source_queue() {
    needs!("rsync");
    let Some((mut f, immutable)) = held("set QJournalSpaceMax = 1\nset QJournalFileSize = 1\n") else {
        return;
    };
    let end = Instant::now() + DEADLINE;
    let said = [
        "Target: QueueSizeAlertThreshold 50% exceeded: the disk queue",
        "The target reads nothing more for now",
    ];
    while !said.iter().all(|words| f.m.log().contains(words)) {
        assert!(Instant::now() < end, "{}\n{}", f.engine.say("status target localhost"), f.m.log());
        std::thread::yield_now();
    }
    assert!(queued(&mut f, "Bytes In Target Disk Queue") <= 1 << 20);
    drop(immutable);
    f.assert_same();
    assert_eq!(f.engine.status(f.connection, "target_state"), "OK", "nothing was lost");
}

/// QUE-10.
#[test]
fn a_file_of_the_targets_queue_that_is_gone_requires_a_mirror() {
    needs!("rsync");
    let Some((mut f, immutable)) = held("set AutoRemirror = 0\n") else { return };
    wait_for_queue(&mut f);
    let segments = segments(&f);
    std::fs::remove_file(f.source("kept/1")).unwrap();
    std::fs::rename(f.source("kept/2"), f.source("kept/moved")).unwrap();
    std::fs::remove_file(segments.iter().min().unwrap()).unwrap();
    drop(immutable);
    f.engine.wait_for_status(f.connection, "target_state", "Mirror Required");
    assert!(f.m.log().contains("the target's disk queue is damaged"), "{}", f.m.log());
    f.engine.ok(&format!("mirror start {} different", f.connection));
    f.engine.ok(&format!("waitonmirror {}", f.connection));
    // Also what was removed meanwhile: no orphans are removed by that mirror.
    f.assert_same();
}
