//! After the mirror the target follows: each kind of change, made alone, is on the target at the next barrier.

use crate::migration::Migration;
use crate::needs;
use crate::support::engine::Engine;
use crate::support::random::Random;
use crate::support::{oracle, q, tree};
use nix::fcntl::{AT_FDCWD, AtFlags, FallocateFlags, OFlag, RenameFlags, fallocate, open, openat, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::linkat;
use std::fs;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

/// A source that a running engine follows, mirrored once.
pub struct Following {
    pub m: Migration,
    pub engine: Engine,
    pub connection: i64,
}

impl Following {
    /// The source holds some files that no test touches, so that the guard against mass deletion keeps still.
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// With what `fill` makes in the source (and outside of it, in the same home) before the connection.
    pub fn with(fill: impl FnOnce(&Migration)) -> Self {
        let m = Migration::new();
        for n in 0..40 {
            m.write(&format!("kept/{n}"), format!("kept {n}\n"));
        }
        fill(&m);
        Self::of(m, &[])
    }

    /// Connects and mirrors, with these variables for the engine.
    pub fn of(m: Migration, env: &[(&str, &str)]) -> Self {
        let mut engine = Engine::start(&m.home, env);
        let connection =
            engine.ok(&format!("connect t to localhost map {} to {}", q(&m.source), q(&m.target)));
        engine.ok(&format!("waitonmirror {connection}"));
        Self { m, engine, connection }
    }

    pub fn source(&self, name: &str) -> PathBuf {
        self.m.source.join(name)
    }

    pub fn target(&self, name: &str) -> PathBuf {
        self.m.target.join(name)
    }

    /// A place on the source's file system that is not in the set.
    pub fn outside(&self, name: &str) -> PathBuf {
        let path = self.m.home.path("outside").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    #[track_caller]
    pub fn barrier(&mut self) {
        self.engine.barrier(self.connection);
    }

    /// Behind a barrier nothing differs.
    #[track_caller]
    pub fn assert_same(&mut self) {
        self.barrier();
        let found = oracle::differences(&self.m.source, &self.m.target);
        assert!(
            found.is_empty(),
            "{} differences behind the barrier:\n{}\n{}\n{}\n{}",
            found.len(),
            found.iter().take(20).cloned().collect::<Vec<_>>().join("\n"),
            self.engine.say("status"),
            self.engine.errors(),
            self.m.log().lines().rev().take(20).collect::<Vec<_>>().join("\n")
        );
    }
}

/// What a file holds; empty when it is not there.
pub fn content(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

pub fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).ino()
}

pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[test]
fn a_new_file_and_a_new_directory() {
    needs!("rsync");
    let mut f = Following::new();
    tree::write(&f.source("new directory/deeper/file"), b"new\n");
    tree::write(&f.source("empty"), b"");
    f.assert_same();
    assert_eq!(content(&f.target("new directory/deeper/file")), b"new\n");
}

#[test]
fn a_tree_of_every_kind_made_while_it_runs() {
    needs!("rsync");
    let mut f = Following::new();
    let outside = f.outside("x");
    tree::every_kind(&f.source("tree"), outside.parent().unwrap());
    f.assert_same();
}

#[test]
fn many_files_in_new_directories_at_full_speed() {
    needs!("rsync");
    let mut f = Following::new();
    for n in 0..3000 {
        tree::write(&f.source(&format!("burst/{}/{}/{n}", n % 7, n % 31)), b"x");
    }
    f.assert_same();
}

#[test]
fn a_file_that_grows_and_shrinks() {
    needs!("rsync");
    let mut f = Following::with(|m| drop(m.write("log", "first\n")));
    let mut log = fs::File::options().append(true).open(f.source("log")).unwrap();
    // The file stays open over all of it.
    for n in 0..20 {
        log.write_all(format!("line {n}\n").as_bytes()).unwrap();
        f.barrier();
        assert_eq!(content(&f.source("log")), content(&f.target("log")));
    }
    log.set_len(10).unwrap();
    f.assert_same();
    log.set_len(100_000).unwrap();
    f.assert_same();
    log.set_len(0).unwrap();
    f.assert_same();
}

#[test]
fn a_few_bytes_of_a_large_file_send_a_few_bytes() {
    needs!("rsync");
    let mut f = Following::with(|m| drop(m.write("large", Random::new(3).bytes(8 << 20))));
    let sent = |f: &mut Following| -> u64 {
        f.engine.status(f.connection, "replication_bytes_transmitted").parse().unwrap()
    };
    let before = sent(&mut f);
    let file = fs::File::options().write(true).open(f.source("large")).unwrap();
    for at in [0, 3 << 20, (8 << 20) - 5] {
        file.write_all_at(b"other", at).unwrap();
    }
    f.assert_same();
    let sent = sent(&mut f) - before;
    assert!(sent < 1 << 20, "{sent} bytes sent for 15 that changed");
}

#[test]
fn a_file_written_ten_thousand_times_is_sent_a_few_times() {
    needs!("rsync");
    let mut f = Following::with(|m| drop(m.write("counter", "0")));
    let file = fs::File::options().write(true).open(f.source("counter")).unwrap();
    for n in 0..10_000_u64 {
        file.write_all_at(format!("{n:020}").as_bytes(), 0).unwrap();
    }
    f.assert_same();
    let sent: u64 = f.engine.status(f.connection, "replication_bytes_transmitted").parse().unwrap();
    assert!(sent < 5_000 * 20, "{sent} bytes sent");
}

#[test]
fn modes_and_times() {
    needs!("rsync");
    let mut f = Following::with(|m| drop(m.write("sub/file", "x")));
    for mode in [0o600, 0o4755, 0o644] {
        fs::set_permissions(f.source("sub/file"), fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(f.source("sub"), fs::Permissions::from_mode(0o2750)).unwrap();
        f.assert_same();
    }
    tree::set_time(&f.source("sub/file"), 1_000_000_000, 123_456_789);
    tree::set_time(&f.source("sub"), 1_100_000_000, 1);
    tree::set_time(&f.m.source.clone(), 1_200_000_000, 999_999_999);
    f.assert_same();
}

#[test]
fn owners() {
    needs!(root, "rsync");
    let mut f = Following::with(|m| {
        m.write("sub/file", "x");
        symlink("file", m.source.join("sub/link")).unwrap();
    });
    lchown(f.source("sub/file"), Some(1234), Some(4321)).unwrap();
    lchown(f.source("sub/link"), Some(1235), None).unwrap();
    lchown(f.source("sub"), None, Some(4321)).unwrap();
    f.assert_same();
}

#[test]
fn extended_attributes_and_acls() {
    needs!("rsync", "setfattr", "setfacl");
    let mut f = Following::with(|m| drop(m.write("sub/file", "x")));
    tree::set_xattr(&f.source("sub/file"), "user.one", "\"first\"");
    tree::set_xattr(&f.source("sub"), "user.two", "\"on a directory\"");
    tree::set_acl(&f.source("sub/file"), "u:1234:rw");
    tree::set_acl(&f.source("sub"), "u:1234:rwx,d:u:1234:rx");
    f.assert_same();
    tree::set_xattr(&f.source("sub/file"), "user.one", "\"second\"");
    let removed = std::process::Command::new("setfacl").arg("-b").arg(f.source("sub")).status().unwrap();
    assert!(removed.success());
    f.assert_same();
}

#[test]
fn files_and_directories_are_renamed_not_copied() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        m.write("a/one", "one");
        m.write("a/deep/two", Random::new(1).bytes(500_000));
        fs::create_dir_all(m.source.join("b")).unwrap();
    });
    let before = (inode(&f.target("a/one")), inode(&f.target("a/deep/two")));
    fs::rename(f.source("a/one"), f.source("a/eins")).unwrap();
    f.assert_same();
    fs::rename(f.source("a"), f.source("b/a moved")).unwrap();
    f.assert_same();
    let after = (inode(&f.target("b/a moved/eins")), inode(&f.target("b/a moved/deep/two")));
    assert_eq!(before, after, "the target's files are others than before the rename");
    assert_eq!(f.engine.status(f.connection, "replication_bytes_transmitted"), "0");
}

/// Names go to and fro faster than anybody can look: the end counts.
#[test]
fn renames_to_and_fro() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        m.write("a", "content of a");
        m.write("c", "content of c");
        m.write("dir/x/file", "x");
    });
    for round in 0..300 {
        fs::rename(f.source("a"), f.source("b")).unwrap();
        fs::rename(f.source("b"), f.source("a")).unwrap();
        fs::rename(f.source("a"), f.source("b")).unwrap();
        fs::rename(f.source("b"), f.source(if round % 2 == 0 { "a" } else { "dir/x/a" })).unwrap();
        fs::rename(f.source(if round % 2 == 0 { "a" } else { "dir/x/a" }), f.source("a")).unwrap();
        fs::rename(f.source("dir/x"), f.source("x")).unwrap();
        fs::rename(f.source("x"), f.source("dir/x")).unwrap();
        if round % 60 == 0 {
            f.assert_same();
        }
    }
    f.assert_same();
}

/// Programs save so: a new file beside the old one, then over it.
#[test]
fn a_rename_over_another() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        m.write("document", "old");
        fs::create_dir_all(m.source.join("empty")).unwrap();
        m.write("full/file", "x");
    });
    for n in 0..10 {
        tree::write(&f.source("document.tmp"), format!("version {n}").as_bytes());
        fs::rename(f.source("document.tmp"), f.source("document")).unwrap();
    }
    fs::rename(f.source("full"), f.source("empty")).unwrap();
    f.assert_same();
    assert_eq!(content(&f.target("document")), b"version 9");
    assert!(!exists(&f.target("document.tmp")));
}

#[test]
fn an_exchange() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        m.write("one", "first");
        m.write("two", "second");
        m.write("dir/inside", "x");
        m.write("other/deeper/inside", "y");
    });
    let mut exchange = |a: &str, b: &str| {
        let (a, b) = (f.source(a), f.source(b));
        renameat2(AT_FDCWD, &a, AT_FDCWD, &b, RenameFlags::RENAME_EXCHANGE).unwrap();
        f.assert_same();
    };
    exchange("one", "two");
    exchange("dir", "other");
    exchange("one", "dir");
}

#[test]
fn hard_links_come_and_go() {
    needs!("rsync");
    let mut f = Following::with(|m| drop(m.write("one", "first")));
    fs::hard_link(f.source("one"), f.source("two")).unwrap();
    fs::create_dir(f.source("sub")).unwrap();
    fs::hard_link(f.source("two"), f.source("sub/three")).unwrap();
    f.assert_same();
    assert_eq!(inode(&f.target("one")), inode(&f.target("sub/three")));
    fs::write(f.source("sub/three"), "written through the third").unwrap();
    f.assert_same();
    fs::remove_file(f.source("one")).unwrap();
    f.assert_same();
    // The same name again is another file.
    tree::write(&f.source("one"), b"not linked");
    f.assert_same();
}

#[test]
fn soft_links_change_their_text() {
    needs!("rsync");
    let mut f = Following::new();
    symlink("kept/1", f.source("link")).unwrap();
    f.assert_same();
    fs::remove_file(f.source("link")).unwrap();
    symlink("kept", f.source("link")).unwrap();
    f.assert_same();
    symlink("/nowhere", f.source("link.tmp")).unwrap();
    fs::rename(f.source("link.tmp"), f.source("link")).unwrap();
    f.assert_same();
    fs::remove_file(f.source("link")).unwrap();
    fs::create_dir(f.source("link")).unwrap();
    f.assert_same();
}

#[test]
fn a_fifo() {
    needs!("rsync");
    let mut f = Following::new();
    nix::unistd::mkfifo(&f.source("fifo"), Mode::from_bits_truncate(0o640)).unwrap();
    f.assert_same();
    fs::remove_file(f.source("fifo")).unwrap();
    tree::write(&f.source("fifo"), b"a file now");
    f.assert_same();
}

#[test]
fn a_tree_goes_away() {
    needs!("rsync");
    let mut f = Following::with(|m| {
        for n in 0..30 {
            m.write(&format!("tree/{}/{n}", n % 4), "x");
        }
    });
    fs::remove_dir_all(f.source("tree")).unwrap();
    f.assert_same();
    // And comes again under its name at once, with other things in it.
    tree::write(&f.source("tree/1/other"), b"y");
    f.assert_same();
    fs::remove_dir_all(f.source("tree")).unwrap();
    tree::write(&f.source("tree"), b"a file");
    f.assert_same();
}

/// A file made and removed between two looks of the engine; a name made again as another kind.
#[test]
fn what_came_and_went() {
    needs!("rsync");
    let mut f = Following::new();
    for n in 0..500 {
        tree::write(&f.source("there and gone"), b"x");
        fs::remove_file(f.source("there and gone")).unwrap();
        fs::create_dir(f.source("changing")).unwrap();
        fs::remove_dir(f.source("changing")).unwrap();
        if n % 2 == 0 {
            tree::write(&f.source("changing"), format!("{n}").as_bytes());
            fs::remove_file(f.source("changing")).unwrap();
        }
    }
    tree::write(&f.source("changing"), b"the last");
    f.assert_same();
}

#[test]
fn holes_are_punched_and_space_is_kept() {
    needs!("rsync");
    let mut f = Following::with(|m| drop(m.write("data", Random::new(5).bytes(4 << 20))));
    let file = fs::File::options().write(true).open(f.source("data")).unwrap();
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&file, punch, 1 << 20, 2 << 20).unwrap();
    f.assert_same();
    let blocks = fs::metadata(f.target("data")).unwrap().blocks();
    assert!(blocks * 512 < 3 << 20, "the hole was filled: {blocks} blocks");
    fallocate(&file, FallocateFlags::empty(), 4 << 20, 1 << 20).unwrap();
    f.assert_same();
    let grown = fs::File::options().write(true).create(true).truncate(true).open(f.source("sparse")).unwrap();
    grown.set_len(64 << 20).unwrap();
    grown.write_all_at(b"in the middle", 32 << 20).unwrap();
    f.assert_same();
    assert!(fs::metadata(f.target("sparse")).unwrap().blocks() * 512 < 8 << 20);
}

/// Its first writes carry a name that never existed.
#[test]
fn a_file_that_gets_its_name_late() {
    needs!("rsync");
    let mut f = Following::new();
    let dir = open(&f.m.source, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY;
    let Ok(file) = openat(&dir, ".", flags, Mode::from_bits_truncate(0o600)) else {
        return crate::support::skip(
            "a_file_that_gets_its_name_late",
            "no O_TMPFILE in the temporary directory",
        );
    };
    let file = fs::File::from(file);
    file.write_all_at(b"before it had a name", 0).unwrap();
    f.barrier();
    let by_handle = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    linkat(AT_FDCWD, &by_handle, &dir, "named", AtFlags::AT_SYMLINK_FOLLOW).unwrap();
    f.assert_same();
    file.write_all_at(b"AFTER", 0).unwrap();
    f.assert_same();
    assert_eq!(content(&f.target("named")), b"AFTERe it had a name");
}

/// Writes to a file that has no name any more go nowhere, and hold up nothing.
#[test]
fn an_open_file_without_a_name() {
    needs!("rsync");
    let mut f = Following::with(|m| drop(m.write("doomed", "x")));
    let mut file = fs::File::options().append(true).open(f.source("doomed")).unwrap();
    fs::remove_file(f.source("doomed")).unwrap();
    file.write_all(&Random::new(1).bytes(300_000)).unwrap();
    f.assert_same();
    tree::write(&f.source("doomed"), b"another");
    file.write_all(b"still going nowhere").unwrap();
    f.assert_same();
}

#[test]
fn odd_names() {
    needs!("rsync");
    let mut f = Following::new();
    for name in tree::odd_names() {
        tree::write(&f.m.source.join("odd").join(&name).join(&name), b"x");
    }
    f.assert_same();
    fs::rename(f.source("odd"), f.source("even")).unwrap();
    f.assert_same();
    for name in tree::odd_names().iter().take(10) {
        fs::remove_dir_all(f.source("even").join(name)).unwrap();
    }
    f.assert_same();
}

/// Changes while the first mirror runs are on the target at the first barrier behind it.
#[test]
fn changes_during_the_mirror() {
    needs!("rsync");
    let m = Migration::new();
    for n in 0..4000 {
        m.write(&format!("{:02}/{n}", n % 50), "before");
    }
    let mut engine = Engine::start(&m.home, &[]);
    let c = engine.ok(&format!("connect t to localhost map {} to {}", q(&m.source), q(&m.target)));
    for n in (0..4000).step_by(7) {
        m.write(&format!("{:02}/{n}", n % 50), format!("while it was mirrored {n}"));
    }
    fs::rename(m.source.join("03"), m.source.join("03 moved")).unwrap();
    for n in 0..200 {
        fs::remove_file(m.source.join(format!("{:02}/{}", 10, 10 + 50 * (n % 80)))).unwrap_or(());
    }
    engine.ok(&format!("waitonmirror {c}"));
    let mut f = Following { m, engine, connection: c };
    f.assert_same();
}

#[test]
fn replicating_ready_and_stopped_show() {
    let mut f = Following::new();
    f.barrier();
    f.engine.wait_for_status(f.connection, "replication", "Ready");
    let stop = format!("replication stop {}", f.connection);
    f.engine.ok(&stop);
    assert_eq!(f.engine.status(f.connection, "replication"), "Stopped");
    // Nothing follows any more, and a barrier says so instead of waiting.
    assert!(f.engine.code(&format!("barrier {} timeout = 60", f.connection)) < 0);
}

#[test]
fn after_stop_and_start_a_mirror_brings_what_was_missed() {
    needs!("rsync");
    let mut f = Following::new();
    let c = f.connection;
    f.engine.ok(&format!("replication stop {c}"));
    tree::write(&f.source("missed"), b"x");
    fs::remove_file(f.source("kept/1")).unwrap();
    f.engine.ok(&format!("replication start {c}"));
    assert_eq!(f.engine.status(c, "target_state"), "Mirror Required");
    f.engine.ok(&format!("mirror start {c} different orphans"));
    f.engine.ok(&format!("waitonmirror {c}"));
    tree::write(&f.source("after"), b"y");
    f.assert_same();
}

#[test]
fn a_disconnect_sends_what_is_waiting() {
    needs!("rsync");
    let mut f = Following::new();
    for n in 0..500 {
        tree::write(&f.source(&format!("last minute/{n}")), b"x");
    }
    f.engine.ok(&format!("disconnect {}", f.connection));
    oracle::assert_same(&f.m.source, &f.m.target);
}

#[test]
fn the_end_of_the_program_drains_the_connection() {
    needs!("rsync");
    let f = Following::new();
    for n in 0..500 {
        tree::write(&f.source(&format!("last minute/{n}")), b"x");
    }
    f.engine.end();
    oracle::assert_same(&f.m.source, &f.m.target);
}

#[test]
fn a_verification_of_a_followed_tree_finds_nothing() {
    let mut f = Following::new();
    for n in 0..50 {
        tree::write(&f.source(&format!("new/{n}")), b"x");
    }
    f.barrier();
    f.engine.ok(&format!("verify {} checksum", f.connection));
    f.engine.ok(&format!("waitonmirror {}", f.connection));
    let log = f.m.verify_log();
    assert!(log.contains("END OF VERIFICATION"), "{log}");
    assert!(!log.contains("DIFFERENT") && !log.contains(" MISSING ON TARGET"), "{log}");
}
