//! A target that fills up or may not be written, and a tree that changes under the mirror's hands.

use crate::migration::Migration;
use crate::needs;
use crate::support::random::Random;
use crate::support::{Home, oracle, q, tree};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A small file system of its own; unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    /// None, with the reason printed, where mounting is not allowed.
    fn tmpfs(test: &str, at: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", options, "dtcl-test"]).arg(at).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(at.to_path_buf())),
            _ => {
                crate::support::skip(test, "cannot mount a tmpfs here (needs root with the right to mount)");
                None
            }
        }
    }

    fn read_only(&self) {
        assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().unwrap().success());
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_target_is_named_and_nothing_is_lost() {
    needs!(root, "rsync");
    let home = Home::new();
    let source = home.dir("source");
    let mount = home.path("mount");
    let Some(mounted) = Mounted::tmpfs("a_full_target", &mount, "size=2m") else { return };
    let m = Migration::between(home, source, mount.join("target"));
    let mut random = Random::new(4);
    for n in 0..12 {
        m.write(&format!("large {n:02}"), random.bytes(400_000));
    }
    m.write("z small", "fits\n");
    let ran = m.mirror("full");
    ran.status(1);
    let said = ran.err.to_lowercase();
    assert!(said.contains("space") || said.contains("full"), "the reason is not named\n{}", ran.report());
    for path in tree::all(&m.target).into_iter().filter(|path| path.is_file()) {
        let from = m.source.join(path.strip_prefix(&m.target).unwrap());
        if from.exists() {
            assert!(std::fs::read(&path).unwrap() == std::fs::read(&from).unwrap(), "{path:?} is not whole");
        }
    }
    // With room the same script completes it.
    mounted.grow("20m");
    m.mirror("different").ok();
    m.assert_same();
}

#[test]
fn a_read_only_target_is_named() {
    needs!(root);
    let home = Home::new();
    let source = home.dir("source");
    let mount = home.path("mount");
    let Some(mounted) = Mounted::tmpfs("a_read_only_target", &mount, "size=2m") else { return };
    let m = Migration::between(home, source, mount.join("target"));
    m.write("file", "content\n");
    m.mirror("full").ok();
    m.write("file", "other content\n");
    mounted.read_only();
    let ran = m.mirror("different");
    ran.status(1);
    assert!(ran.err.to_lowercase().contains("read-only"), "{}", ran.report());
    assert_eq!(std::fs::read(m.target.join("file")).unwrap(), b"content\n");
}

/// What root does by a mount a plain user meets as a directory that is not his.
#[test]
fn a_target_that_may_not_be_written_is_named() {
    let (mut m, run) = as_plain_user();
    m.write("file", "content\n");
    let locked = m.home.dir("locked");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    m.target = locked.join("target");
    let ran = run(&m, "mirror start 1 full\nwaitonmirror 1\n");
    ran.status(1);
    assert!(ran.err.to_lowercase().contains("permission"), "{}", ran.report());
}

type Run = fn(&Migration, &str) -> crate::support::Ran;

/// A migration that belongs to a user without rights, whoever runs the tests.
fn as_plain_user() -> (Migration, Run) {
    if !crate::support::is_root() {
        return (Migration::new(), |m, script| m.run(script));
    }
    let home = Home::new();
    let (source, target) = (home.dir("source"), home.dir("target"));
    for path in [home.root(), &source, &target] {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
    }
    let script = format!(
        "repset create t\nrepset rule add {} include, recursive to t\nrepset save t\nset RemapLink = 0\n",
        q(&source)
    );
    home.dtcl().user(65534).script(script).run().ok();
    (Migration { home, source, target }, |m, script| m.start(script).user(65534).run())
}

#[test]
fn one_unreadable_file_never_stops_the_others() {
    let (m, run) = as_plain_user();
    for n in 0..20 {
        let path = m.write(&format!("dir/file {n}"), "content\n");
        let mode = if n == 7 { 0o000 } else { 0o644 };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    if crate::support::is_root() {
        for path in tree::all(&m.source) {
            std::os::unix::fs::lchown(&path, Some(65534), Some(65534)).unwrap();
        }
    }
    let ran = run(
        &m,
        "mirror start 1 full\n$r = waitonmirror 1\nwrite \"wait \" $r\nwrite $error\nstatus con 1\n\
         explain (\"SOURCE/dir/file 7\")\nwaitonmirror 1\n"
            .replace("SOURCE", m.source.to_str().unwrap())
            .as_str(),
    );
    ran.status(1);
    assert!(!ran.out.contains("wait 1\n"), "{}", ran.report());
    assert!(ran.out.contains("Mirror Required"), "{}", ran.report());
    assert!(
        ran.out.to_lowercase().contains("permission denied"),
        "EXPLAIN names the reason\n{}",
        ran.report()
    );
    assert!(m.log().contains("file 7"), "the log names the file\n{}", m.log());
    assert_eq!(tree::all(&m.target.join("dir")).len(), 19);
}

/// A file where the target directory must be: said clearly, and the file is kept.
#[test]
fn a_file_where_the_target_directory_must_be() {
    let m = Migration::new();
    m.write("file", "content\n");
    std::fs::write(&m.target, "in the way\n").unwrap();
    let ran = m.mirror("full");
    ran.status(1).says("is no directory");
    assert_eq!(std::fs::read(&m.target).unwrap(), b"in the way\n");

    let below = m.target.join("deeper/still");
    let ran = m.home.script(&format!(
        "connect t to localhost map {} to {} mirror full\nwaitonmirror 1\n",
        q(&m.source),
        q(&below)
    ));
    ran.status(1).says("directory");
    assert_eq!(std::fs::read(&m.target).unwrap(), b"in the way\n");
}

/// Exchanges two names for as long as `work` runs. How often, as a second value.
fn while_exchanging<T>(a: &Path, b: &Path, work: impl FnOnce() -> T) -> (T, u64) {
    let done = AtomicBool::new(false);
    let count = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // Either name may be missing for a moment, while the mirror replaces it.
                if renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, count.load(Ordering::Relaxed))
    })
}

/// Everything about a tree that a writer outside his root would change.
fn fingerprint(root: &Path) -> Vec<String> {
    tree::all(root)
        .iter()
        .map(|path| {
            let meta = std::fs::symlink_metadata(path).unwrap();
            let content = if meta.is_file() { std::fs::read(path).unwrap() } else { Vec::new() };
            let stamps =
                (meta.mode(), meta.uid(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
            format!("{path:?} {stamps:?} {content:?}")
        })
        .collect()
}

/// A directory of the target turns into a link to somewhere else and back, thousands of times a second: nothing
/// outside the root changes.
#[test]
fn a_directory_of_the_target_flips_into_a_link() {
    let m = Migration::new();
    for n in 0..400 {
        m.write(&format!("dir/file {n}"), format!("{n}\n"));
        if n < 100 {
            m.write(&format!("dir/sub/file {n}"), "x");
        }
    }
    let outside = m.home.dir("outside");
    for n in 0..400 {
        m.home.file(&format!("outside/file {n}"), "precious\n");
    }
    m.home.file("outside/sub/file 1", "precious\n");
    m.home.file("outside/only outside", "precious\n");
    m.mirror("full").ok();
    // A retry that fails again is no reason to wait here.
    m.home.script("set TGRetryLocked = 0\n").ok();
    let before = fingerprint(&outside);

    let (dir, link) = (m.target.join("dir"), m.home.path("link"));
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let mut flips = 0;
    for flags in ["full", "different checksum orphans", "full orphans"] {
        // Whatever the mirror makes of it, it must end.
        let (_, count) = while_exchanging(&dir, &link, || m.mirror(flags));
        flips += count;
        assert!(fingerprint(&outside) == before, "something outside the target changed by mirror {flags}");
        // What was a directory of the target may lie under the link's name now: begin anew from either state.
        for path in [&dir, &link] {
            match std::fs::symlink_metadata(path) {
                Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path).unwrap(),
                Ok(_) => std::fs::remove_file(path).unwrap(),
                Err(_) => {}
            }
        }
        m.mirror("full").ok();
        std::os::unix::fs::symlink(&outside, &link).unwrap();
    }
    assert!(flips > 100, "only {flips} exchanges happened");
}

/// The same on the source: nothing from outside the set arrives.
#[test]
fn a_directory_of_the_source_flips_into_a_link() {
    let m = Migration::new();
    for n in 0..1500 {
        m.write(&format!("dir/file {n}"), "inside\n");
    }
    let outside = m.home.dir("outside");
    for n in 0..1500 {
        m.home.file(&format!("outside/file {n}"), "SECRET\n");
    }
    let (dir, link) = (m.source.join("dir"), m.home.path("link"));
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    for flags in ["full", "different checksum"] {
        let (_, flips) = while_exchanging(&dir, &link, || m.mirror(flags));
        assert!(flips > 10, "only {flips} exchanges happened");
        for path in tree::all(&m.target) {
            let meta = std::fs::symlink_metadata(&path).unwrap();
            assert!(
                !meta.is_file() || std::fs::read(&path).unwrap() != b"SECRET\n",
                "{path:?} came from outside"
            );
        }
    }
}

/// A file that changes while it is read is never called done: the next difference mirror makes it equal, and no file
/// on the target mixes two versions under stamps that claim it is finished.
#[test]
fn a_file_that_changes_while_it_is_read() {
    needs!("rsync");
    let m = Migration::new();
    let path = m.write("busy", vec![0; 4 << 20]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            let mut n = 0_u8;
            while !done.load(Ordering::Relaxed) {
                n = n.wrapping_add(1);
                use std::os::unix::fs::FileExt as _;
                file.write_all_at(&vec![n; 4 << 20], 0).unwrap();
            }
        });
        let ran = m.mirror("full");
        done.store(true, Ordering::Relaxed);
        // Settled, or named: both are honest.
        assert!(ran.status == 0 || (ran.status == 1 && m.log().contains("busy")), "{}", ran.report());
    });
    m.mirror("different").ok();
    oracle::assert_same(&m.source, &m.target);
}

/// A database or a log that somebody has open, at rest, is no changing file: it arrives, small or large.
#[test]
fn files_that_somebody_holds_open_arrive() {
    needs!("rsync");
    let m = Migration::new();
    let paths = [m.write("large", vec![1; 3 << 20]), m.write("small", "a log line\n")];
    let held = paths.map(|path| std::fs::File::options().write(true).open(path).unwrap());
    m.mirror("full").ok();
    m.assert_same();
    m.mirror("different checksum").ok();
    drop(held);
}
