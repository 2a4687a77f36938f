//! Real programs as writers: git, tar, SQLite, dpkg, rsync, a compiler.

use crate::needs;
use crate::replication::{Following, exists};
use crate::support::random::Random;
use crate::support::tree;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

#[track_caller]
fn run(dir: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(dir).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// git without the settings of whoever runs the test.
#[track_caller]
fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut all = vec![
        "-c",
        "user.name=somebody",
        "-c",
        "user.email=somebody@example.org",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "gc.auto=20",
        "-c",
        "gc.autoDetach=false",
    ];
    all.extend(arguments);
    run(dir, "git", &all)
}

#[test]
fn git_commits_and_checks_out() {
    needs!("git", "rsync");
    // A repack takes away nearly all files of the repository: the guard would ask.
    let mut f = Following::with(|m| {
        m.home.script("set MassDeletionGuard = 100\n").ok();
    });
    let repository = f.source("repository");
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "-q"]);
    let mut random = Random::new(4);
    for commit in 0..12 {
        for _ in 0..15 {
            let name = format!("dir{}/file{}", random.below(6), random.below(10));
            let len = random.below(5000);
            tree::write(&repository.join(name), &random.bytes(len));
        }
        git(&repository, &["add", "-A"]);
        git(&repository, &["commit", "-q", "-m", &format!("commit {commit}")]);
        git(&repository, &["tag", &format!("v{commit}")]);
    }
    f.assert_same();
    for commit in [0, 11, 3, 7, 5] {
        git(&repository, &["checkout", "-q", &format!("v{commit}")]);
    }
    git(&repository, &["checkout", "-q", "main"]);
    git(&repository, &["repack", "-adq"]);
    f.assert_same();
    git(&f.m.source, &["clone", "-q", "repository", "clone"]);
    f.assert_same();
    // The copy is a repository.
    git(&f.target("clone"), &["-c", "safe.directory=*", "fsck", "--strict"]);
}

/// A tree outside of the set, to unpack and copy from.
fn material(f: &Following) -> std::path::PathBuf {
    let tree = f.outside("material");
    tree::random(&tree, 21, 400);
    tree
}

#[test]
fn tar_unpacks() {
    needs!("tar", "rsync");
    // It removes more than half of the copy before it brings it back.
    let mut f = Following::with(|m| {
        m.home.script("set MassDeletionGuard = 100\n").ok();
    });
    let material = material(&f);
    let archive = f.outside("archive.tar");
    run(&material, "tar", &["-cf", archive.to_str().unwrap(), "."]);
    fs::create_dir(f.source("unpacked")).unwrap();
    run(&f.source("unpacked"), "tar", &["-xpf", archive.to_str().unwrap()]);
    f.assert_same();
    // Over what is there.
    run(
        &f.source("unpacked"),
        "tar",
        &["-xpf", archive.to_str().unwrap(), "--unlink-first", "--recursive-unlink"],
    );
    f.assert_same();
}

#[test]
fn rsync_copies_into_the_source() {
    needs!("rsync");
    let mut f = Following::new();
    let material = material(&f);
    let copy = f.source("copied");
    let mut random = Random::new(8);
    for turn in 0..4 {
        let mut arguments = vec!["-aHAX", "--delete"];
        if turn % 2 == 1 {
            arguments.extend(["--inplace", "--no-whole-file"]);
        }
        let from = format!("{}/", material.display());
        arguments.extend([from.as_str(), copy.to_str().unwrap()]);
        run(&f.m.source, "rsync", &arguments);
        f.assert_same();
        tree::change(&material, &mut random, 40);
    }
}

#[test]
fn dpkg_unpacks() {
    needs!("dpkg-deb", "rsync");
    let mut f = Following::new();
    let package = f.outside("package");
    for n in 0..150 {
        tree::write(&package.join(format!("usr/share/example/{}/{n}", n % 7)), format!("{n}\n").as_bytes());
    }
    std::os::unix::fs::symlink("1", package.join("usr/share/example/link")).unwrap();
    let control = "Package: example\nVersion: 1\nArchitecture: all\nMaintainer: somebody <somebody@example.org>\n\
                   Description: an example\n";
    tree::write(&package.join("DEBIAN/control"), control.as_bytes());
    let deb = f.outside("example.deb");
    let arguments = ["--root-owner-group", "--build", package.to_str().unwrap(), deb.to_str().unwrap()];
    run(&f.m.source, "dpkg-deb", &arguments);
    for _ in 0..2 {
        run(&f.m.source, "dpkg-deb", &["-x", deb.to_str().unwrap(), f.source("system").to_str().unwrap()]);
        f.assert_same();
    }
    assert!(exists(&f.target("system/usr/share/example/3/3")));
}

#[test]
fn a_compiler_builds() {
    needs!("cc", "ar", "rsync");
    let mut f = Following::new();
    let dir = f.source("build");
    for n in 0..12 {
        tree::write(
            &dir.join(format!("part{n}.c")),
            format!("int part{n}(void) {{ return {n}; }}\n").as_bytes(),
        );
    }
    for turn in 0..2 {
        for n in 0..12 {
            run(&dir, "cc", &["-g", "-c", &format!("part{n}.c"), "-o", &format!("part{n}.o")]);
        }
        let objects: Vec<String> = (0..12).map(|n| format!("part{n}.o")).collect();
        let mut arguments = vec!["rcs", "all.a"];
        arguments.extend(objects.iter().map(String::as_str));
        run(&dir, "ar", &arguments);
        f.assert_same();
        tree::write(&dir.join("part3.c"), format!("int part3(void) {{ return {turn} + 30; }}\n").as_bytes());
    }
}

const SQLITE: &str = r#"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("pragma journal_mode = wal")
db.execute("create table if not exists t (id integer primary key, n integer, data blob)")
print("ready", flush=True)
turn = 0
for line in sys.stdin:
    for _ in range(int(line)):
        turn += 1
        db.execute("begin")
        for n in range(10):
            db.execute("insert into t (n, data) values (?, randomblob(?))", (turn, turn * 37 % 3000))
        db.execute("delete from t where id % 7 = ?", (turn % 7,))
        db.execute("update t set n = n + 1 where id % 5 = ?", (turn % 5,))
        db.execute("commit")
    # Its writers pause here: the other side takes the barrier.
    count = db.execute("select count(*), sum(n) from t").fetchone()
    print(*count, flush=True)
"#;

const CHECK: &str = r#"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute("pragma integrity_check").fetchone()[0], *db.execute("select count(*), sum(n) from t").fetchone())
"#;

/// The writers pause over the barrier; the copy of database and log, taken then, is whole. The connection stays open: the
/// log and its shared memory (a mapping) are there.
#[test]
fn a_database_in_wal_mode() {
    needs!("python3");
    if !Command::new("python3").args(["-c", "import sqlite3"]).output().unwrap().status.success() {
        return crate::support::skip("a_database_in_wal_mode", "python3 has no sqlite3");
    }
    let mut f = Following::new();
    let mut child = Command::new("python3")
        .args(["-c", SQLITE])
        .arg(f.source("data.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut lines = BufReader::new(stdout).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    for turn in 0..5 {
        writeln!(stdin, "{}", 20 + turn * 30).unwrap();
        let expected = lines.next().unwrap().unwrap();
        f.barrier();
        let copy = f.m.home.dir(&format!("copy {turn}"));
        for name in ["data.db", "data.db-wal"] {
            if exists(&f.target(name)) {
                fs::copy(f.target(name), copy.join(name)).unwrap();
            }
        }
        let found = run(&copy, "python3", &["-c", CHECK, copy.join("data.db").to_str().unwrap()]);
        assert_eq!(found.trim(), format!("ok {expected}"), "turn {turn}");
    }
    drop(stdin);
    child.wait().unwrap();
}

/// `sed -i`, `mv`, `cp -a --reflink=auto`, `install`, `truncate`, `touch`: what administrators type.
#[test]
fn coreutils() {
    needs!("sh", "sed", "install", "truncate", "rsync");
    let mut f = Following::with(|m| {
        for n in 0..20 {
            m.write(&format!("work/{n}.txt"), format!("line one of {n}\nline two\n"));
        }
    });
    for line in [
        "sed -i s/line/LINE/ *.txt",
        "mkdir -p a/b/c && mv 1.txt 2.txt a/b && mv a z",
        "cp -a --reflink=auto z copy && install -m 600 3.txt copy/installed",
        "truncate -s 1M 4.txt && truncate -s 10 4.txt && truncate -s +5 4.txt",
        "touch -d 2001-02-03T04:05:06 5.txt && touch -h -d 2001-02-03 . && ln -sf 5.txt link && ln -sf 6.txt link",
        "cat 7.txt 8.txt >9.txt && cat 7.txt >>10.txt && : >11.txt && dd if=/dev/zero of=12.txt bs=1k seek=50 count=1 2>&1",
        "rm -rf copy && mkdir copy && rm 13.txt && echo again >13.txt",
        "chmod -R go-rwx z && chmod +x 14.txt",
    ] {
        run(&f.source("work"), "sh", &["-c", line]);
        f.assert_same();
    }
}
