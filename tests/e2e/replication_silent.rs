//! Writes that give no event before the writer closes: shared mappings, libaio, loop devices, files open from before the
//! engine started. At a barrier they are always on the target.
//!
//! The writers are those of the benchmark (`scripts/benchlib/silent.py`): safe Rust has no shared mappings.

use crate::needs;
use crate::replication::{Following, content};
use crate::support::skip;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const PROGRAM: &str = r#"
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from benchlib import silent
writer = getattr(silent, sys.argv[2])(sys.argv[3])
print("ready", flush=True)
for line in sys.stdin:
    offset, text = line.rstrip("\n").split(" ", 1)
    writer.write(int(offset), text.encode())
    print("done", flush=True)
writer.close()
"#;

/// Another process that has a file of 8 MiB open, and writes to it when told.
struct Writer {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Writer {
    /// None when it cannot be here (no loop devices, another processor).
    fn start(kind: &str, path: &Path) -> Option<Writer> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .arg(scripts)
            .arg(kind)
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut writer = Writer { child, stdin, stdout };
        (writer.line() == "ready\n").then_some(writer)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn write(&mut self, offset: u64, text: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{offset} {text}").unwrap();
        assert_eq!(self.line(), "done\n");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

fn at(path: &Path, offset: u64, len: usize) -> String {
    let mut bytes = vec![0; len];
    fs::File::open(path).and_then(|file| file.read_exact_at(&mut bytes, offset)).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn arrives_at_a_barrier(kind: &str) {
    let mut writer = None;
    let mut f = Following::with(|m| writer = Writer::start(kind, &m.source.join("image")));
    let Some(mut writer) = writer else {
        return skip(&format!("replication_silent, {kind}"), "this kind of writer cannot run here");
    };
    for (n, offset) in [0_u64, 70_000, 4 << 20, 70_000, (8 << 20) - 30].into_iter().enumerate() {
        let text = format!("written silently {n}");
        writer.write(offset, &text);
        f.barrier();
        assert_eq!(at(&f.target("image"), offset, text.len()), text, "{kind}, write {n}");
    }
    drop(writer);
    f.assert_same();
}

#[test]
fn stores_to_a_shared_mapping() {
    needs!("python3", "rsync");
    arrives_at_a_barrier("Mapping");
}

#[test]
fn writes_by_libaio() {
    needs!("python3", "rsync");
    arrives_at_a_barrier("Libaio");
}

#[test]
fn writes_to_a_loop_device() {
    needs!(root, "python3", "losetup", "rsync");
    arrives_at_a_barrier("Loop");
}

#[test]
fn writes_to_a_file_open_from_before() {
    needs!("python3", "rsync");
    arrives_at_a_barrier("Plain");
}

/// Stores to a mapping on tmpfs move no stamp at all.
#[test]
fn stores_to_a_shared_mapping_on_tmpfs() {
    needs!("python3", "rsync");
    let shm = Path::new("/dev/shm");
    let tmpfs =
        nix::sys::statfs::statfs(shm).is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC);
    if !tmpfs {
        return skip("stores_to_a_shared_mapping_on_tmpfs", "/dev/shm is no tmpfs here");
    }
    let home = crate::support::Home::new_in(shm);
    let (source, target) = (home.dir("source"), home.path("target"));
    let mut writer = Writer::start("Mapping", &source.join("image")).unwrap();
    let mut f = Following::of(crate::migration::Migration::between(home, source, target), &[]);
    for n in 0..5 {
        let text = format!("store {n}");
        writer.write(100_000 * n, &text);
        f.barrier();
        assert_eq!(at(&f.target("image"), 100_000 * n, text.len()), text);
    }
}

/// A file system in an image in the set: synced and unmounted, the copy is the same file system.
#[test]
fn a_loop_mounted_image() {
    needs!(root, "mkfs.ext4", "mount", "umount", "rsync");
    let mut f = Following::with(|m| {
        fs::File::create(m.source.join("disk.img")).unwrap().set_len(16 << 20).unwrap();
        let made =
            Command::new("mkfs.ext4").args(["-q", "-F"]).arg(m.source.join("disk.img")).status().unwrap();
        assert!(made.success());
    });
    let place = f.m.home.dir("mounted");
    let mount =
        |image: &Path| Command::new("mount").args(["-o", "loop"]).arg(image).arg(&place).output().unwrap();
    let umount = || assert!(Command::new("umount").arg(&place).status().unwrap().success());
    if !mount(&f.source("disk.img")).status.success() {
        return skip("a_loop_mounted_image", "no loop devices here");
    }
    fs::write(place.join("inside"), vec![b'x'; 300_000]).unwrap();
    fs::create_dir(place.join("dir")).unwrap();
    umount();
    f.assert_same();
    let copy = f.m.home.path("copy of the disk.img");
    fs::copy(f.target("disk.img"), &copy).unwrap();
    assert!(mount(&copy).status.success(), "the copy cannot be mounted");
    let inside = content(&place.join("inside"));
    umount();
    assert_eq!(inside, vec![b'x'; 300_000]);
    assert!(fs::metadata(f.target("disk.img")).unwrap().size() == 16 << 20);
}
