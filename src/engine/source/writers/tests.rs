use super::*;
use crate::sys::testing::{Aio, Mapping, Mounted, Page, runs, until_changes_show};
use std::collections::BTreeSet;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn device(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().dev()
}

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

fn read_write(path: &Path) -> File {
    File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

/// What a pass tells of this file.
fn told(writers: &mut Writers, path: &Path) -> Vec<Writer> {
    let mut list = Vec::new();
    let ino = inode(path);
    writers
        .scan(Depth::All, &[device(path)], &mut |writer| list.extend((writer.ino == ino).then_some(*writer)))
        .unwrap();
    list
}

#[test]
fn files_open_for_writing_are_found_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let _both = read_write(&path("both"));
    let _only = File::create(path("only")).unwrap();
    std::fs::write(path("reader"), b"").unwrap();
    let _reader = File::open(path("reader")).unwrap();
    std::fs::write(path("closed"), b"").unwrap();
    let _held = crate::sys::Dir::open_root(dir.path()).unwrap().object(c"closed").unwrap();
    let mut writers = Writers::new(Path::new("/proc"));
    let holds = |list: Vec<Writer>| list.iter().map(|writer| writer.hold).collect::<Vec<_>>();
    assert_eq!(holds(told(&mut writers, &path("both"))), [Hold::Mappable]);
    assert_eq!(holds(told(&mut writers, &path("only"))), [Hold::Open]);
    assert_eq!(holds(told(&mut writers, &path("reader"))), []);
    assert_eq!(holds(told(&mut writers, &path("closed"))), []);
    let mut elsewhere = 0;
    writers.scan(Depth::All, &[u64::MAX], &mut |_| elsewhere += 1).unwrap();
    assert_eq!(elsewhere, 0, "on devices that were not asked for");
}

#[test]
fn a_mapping_without_a_descriptor_is_found_either_way() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let path = dir.path().join("a name with spaces");
    let file = read_write(&path);
    file.write_all_at(&[1; 8192], 0).unwrap();
    let mapping = Mapping::new(&file, 8192).unwrap();
    drop(file);
    for by in [MapsBy::Query, MapsBy::Text] {
        let mut writers = Writers::new(Path::new("/proc"));
        writers.maps = by;
        let found = told(&mut writers, &path);
        assert_eq!(found.iter().map(|w| w.hold).collect::<Vec<_>>(), [Hold::Mapped], "{by:?}");
        assert_eq!(found[0].stat.map(|stat| stat.size), Some(8192), "{by:?}");
        if crate::sys::is_root() {
            let mut byte = [0];
            writers.open(&found[0]).unwrap().read_at(&mut byte, 0).unwrap();
            assert_eq!(byte, [1]);
            assert!(writers.shown_path(&found[0].place).unwrap().ends_with(b"a name with spaces"));
        }
    }
    drop(mapping);
    assert!(told(&mut Writers::new(Path::new("/proc")), &path).is_empty());
}

/// A process that is ended with the value.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_process_is_seen_and_its_file_read_after_it_was_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::fs::write(&path, b"first line").unwrap();
    let output = File::options().append(true).open(&path).unwrap();
    let child = Command::new("cat").stdin(Stdio::piped()).stdout(output).spawn().unwrap();
    let process = child.id();
    let _other = Other(child);
    let mut writers = Writers::new(Path::new("/proc"));
    let found: Vec<Writer> = told(&mut writers, &path)
        .into_iter()
        .filter(|w| matches!(w.place, Place::Descriptor { process: its, .. } if its == process))
        .collect();
    assert_eq!(found.len(), 1, "standard output of the other process");
    assert_eq!(writers.shown_path(&found[0].place).unwrap(), path.as_os_str().as_bytes());
    std::fs::remove_file(&path).unwrap();
    let text = std::io::read_to_string(writers.open(&found[0]).unwrap()).unwrap();
    assert_eq!(text, "first line");
    let another = Writer { ino: found[0].ino + 1, ..found[0] };
    assert_eq!(writers.open(&another).unwrap_err().raw_os_error(), Some(libc::ESTALE));
}

/// A process whose first thread has ended shows no descriptors; its other threads have them.
#[test]
fn a_process_without_its_first_thread_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let program = "import ctypes, sys, threading\n\
        f = open(sys.argv[1], 'w')\n\
        def rest():\n\
        \x20   while open('/proc/self/stat').read().split(') ')[1][0] != 'Z': pass\n\
        \x20   print('ready', flush=True)\n\
        \x20   sys.stdin.read()\n\
        threading.Thread(target=rest).start()\n\
        ctypes.CDLL(None).syscall(60, 0)\n";
    let mut command = Command::new("python3");
    command.args(["-c", program]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(child) = command.spawn() else { return eprintln!("skipped: no python3") };
    let mut other = Other(child);
    let mut line = String::new();
    let output = other.0.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
    assert_eq!(line, "ready\n");
    assert_eq!(told(&mut Writers::new(Path::new("/proc")), &path).len(), 1);
}

#[test]
fn what_may_not_be_looked_at_is_counted() {
    let coverage = Writers::new(Path::new("/proc")).scan(Depth::All, &[], &mut |_| {}).unwrap();
    assert!(coverage.processes > 0);
    if !crate::sys::is_root() {
        assert!(coverage.hidden > 0, "processes of root");
    }
    let dir = tempfile::tempdir().unwrap();
    let nobody = Writers::new(dir.path()).scan(Depth::All, &[], &mut |_| {}).unwrap();
    assert_eq!((nobody.processes, nobody.hidden), (0, 0));
    assert!(Writers::new(&dir.path().join("none")).scan(Depth::All, &[], &mut |_| {}).is_err());
}

#[test]
fn the_file_behind_a_loop_device_is_found_under_any_name() {
    let Some(mounted) = Mounted::new("ext4") else { return };
    let (image, renamed) = (mounted.path.join("image"), mounted.path.join("renamed"));
    File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let output = Command::new("losetup").args(["--show", "-f"]).arg(&image).output().unwrap();
    if !output.status.success() {
        return eprintln!("skipped: no loop device");
    }
    let device = String::from_utf8(output.stdout).unwrap().trim().to_string();
    let number: u32 = device.trim_start_matches("/dev/loop").parse().unwrap();
    std::fs::rename(&image, &renamed).unwrap();
    let mut writers = Writers::new(Path::new("/proc"));
    let mut silent = Silent::new(Path::new("/proc"));
    let first = told(&mut writers, &renamed);
    let hows = |silent: &mut Silent, now| look(silent, &renamed, now, false);
    let now = Instant::now();
    let first_look = hows(&mut silent, now);
    until_changes_show(&renamed);
    let block = File::options().write(true).open(&device).unwrap();
    block.write_all_at(&[7; 4096], 0).unwrap();
    block.sync_all().unwrap();
    drop(block);
    let second_look = hows(&mut silent, now);
    let third_look = hows(&mut silent, now);
    assert!(runs(Command::new("losetup").args(["-d", &device])));
    assert_eq!(first.iter().map(|w| w.place).collect::<Vec<_>>(), [Place::Loop(number)]);
    assert!(first[0].stat.is_some());
    assert_eq!((first_look, second_look, third_look), (vec![How::Moved], vec![How::Moved], vec![]));
}

/// What a look tells of one file, all others being outside the set.
fn look(silent: &mut Silent, path: &Path, now: Instant, barrier: bool) -> Vec<How> {
    let (dev, ino) = (device(path), inode(path));
    look_by_id(silent, (dev, ino), now, barrier)
}

fn look_by_id(silent: &mut Silent, id: (u64, u64), now: Instant, barrier: bool) -> Vec<How> {
    let mut hows = Vec::new();
    let mut in_set = |dev, ino| (dev, ino) == id;
    let mut found = |found: &Found| {
        assert_eq!((found.dev, found.ino), id);
        hows.push(found.how);
    };
    match barrier {
        false => silent.tick(now, &[id.0], &mut in_set, &mut found),
        true => silent.barrier(now, &[id.0], &mut in_set, &mut found),
    }
    .unwrap();
    hows
}

/// A context: while it is there, a tick looks at all files that this process has open.
fn libaio() -> Option<Aio> {
    let aio = Aio::new().ok();
    if aio.is_none() {
        eprintln!("skipped: no libaio");
    }
    aio
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_file_that_moved_is_told_of_now_and_once_more_when_it_has_rested() {
    let Some(_aio) = libaio() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let file = File::create(&path).unwrap();
    let (mut silent, start) = (Silent::new(Path::new("/proc")), Instant::now());
    let mut tick = |after| look(&mut silent, &path, start + seconds(after), false);
    assert_eq!(tick(0), [How::Moved], "the first look");
    assert_eq!(tick(5), []);
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(tick(10), [How::Moved]);
    file.write_all_at(b"y", 1).unwrap();
    assert_eq!(tick(15), [How::Moved], "rest begins again");
    assert_eq!(tick(44), []);
    assert_eq!(tick(45), [How::Again]);
    assert_eq!(tick(50), []);
    assert_eq!(tick(500), []);
    file.write_all_at(b"z", 2).unwrap();
    assert_eq!(tick(505), [How::Moved]);
}

#[test]
fn a_writer_that_leaves_before_its_file_has_rested_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let (mut silent, start) = (Silent::new(Path::new("/proc")), Instant::now());
    let output = File::create(&path).unwrap();
    let other = Other(Command::new("cat").stdin(Stdio::piped()).stdout(output).spawn().unwrap());
    assert_eq!(look(&mut silent, &path, start, false), [How::Moved]);
    drop(other);
    assert_eq!(look(&mut silent, &path, start + seconds(60), false), [How::Again]);
    assert_eq!(look(&mut silent, &path, start + seconds(120), false), []);
    assert!(silent.is_empty());
}

#[test]
fn a_barrier_tells_of_every_file_that_has_not_rested() {
    let Some(_aio) = libaio() else { return };
    let dir = tempfile::tempdir_in(".").unwrap();
    let path = dir.path().join("f");
    let file = File::create(&path).unwrap();
    let (mut silent, start) = (Silent::new(Path::new("/proc")), Instant::now());
    let mut at = |after, barrier| look(&mut silent, &path, start + seconds(after), barrier);
    assert_eq!(at(0, false), [How::Moved]);
    assert_eq!(at(1, true), [How::Again]);
    assert_eq!(at(2, true), [How::Again]);
    assert_eq!(at(31, false), [How::Again]);
    assert_eq!(at(32, true), [], "at rest, not mapped, not open for reading");
    drop(file);
}

#[test]
fn a_write_by_libaio_is_told_of() {
    let Some(aio) = libaio() else { return };
    let dir = tempfile::tempdir_in(".").unwrap();
    let path = dir.path().join("f");
    let file = read_write(&path);
    file.write_all_at(&[0; 8192], 0).unwrap();
    let (mut silent, start) = (Silent::new(Path::new("/proc")), Instant::now());
    look(&mut silent, &path, start, false);
    assert_eq!(look(&mut silent, &path, start + seconds(30), false), [How::Again]);
    until_changes_show(&path);
    aio.write(&file, &Page([1; 4096]), 4096, || {}).unwrap();
    assert_eq!(look(&mut silent, &path, start + seconds(35), false), [How::Moved]);
}

#[test]
fn a_mapped_file_of_tmpfs_is_told_of_at_each_look_and_after_the_mapping() {
    let Some(mounted) = Mounted::new("tmpfs") else { return };
    let path = mounted.path.join("f");
    let file = read_write(&path);
    file.set_len(8192).unwrap();
    let (mut silent, start) = (Silent::new(Path::new("/proc")), Instant::now());
    let mut at = |after, barrier| look(&mut silent, &path, start + seconds(after), barrier);
    assert_eq!(at(0, false), [How::Moved]);
    assert_eq!(at(1, true), [How::Untold], "may have been mapped meanwhile");
    let mapping = Mapping::new(&file, 8192).unwrap();
    for after in [5, 10, 100] {
        assert_eq!(at(after, false), [How::Untold]);
    }
    assert_eq!(at(101, true), [How::Untold]);
    drop(mapping);
    assert_eq!(at(105, false), [How::Again]);
    assert_eq!(at(110, false), []);
}

#[test]
fn a_mapped_file_that_is_written_back_is_told_of_when_a_store_follows() {
    for kind in ["ext4", "xfs", "btrfs"] {
        let Some(mounted) = Mounted::new(kind) else { continue };
        let path = mounted.path.join("f");
        let file = read_write(&path);
        file.write_all_at(&[0; 8192], 0).unwrap();
        let mut mapping = Mapping::new(&file, 8192).unwrap();
        let (mut silent, start) = (Silent::new(Path::new("/proc")), Instant::now());
        let mut at = |after, barrier| look(&mut silent, &path, start + seconds(after), barrier);
        assert_eq!(at(0, false), [How::Moved], "{kind}");
        mapping.store(0, 1);
        assert_eq!(at(5, false), [How::Moved], "{kind}");
        crate::sys::write_back(&file).unwrap();
        assert_eq!(at(35, false), [How::Again], "{kind}");
        assert_eq!(at(36, true), [How::Mapped], "{kind}");
        assert_eq!(at(40, false), [], "{kind}");
        until_changes_show(&path);
        mapping.store(1, 2);
        assert_eq!(at(45, false), [How::Moved], "{kind}");
        drop(mapping);
        assert_eq!(at(50, true), [How::Again], "{kind}");
    }
}

#[test]
fn a_file_that_leaves_the_set_is_forgotten() {
    let Some(_aio) = libaio() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let _file = File::create(&path).unwrap();
    let mut silent = Silent::new(Path::new("/proc"));
    let ino = inode(&path);
    let mut told = Vec::new();
    for inside in [true, false, false, true] {
        let mut found = Vec::new();
        silent
            .tick(Instant::now(), &[device(&path)], &mut |_, its| inside && its == ino, &mut |f| {
                found.push(f.how)
            })
            .unwrap();
        told.push(found);
    }
    assert_eq!(told, [vec![How::Moved], vec![], vec![], vec![How::Moved]]);
}

/// What gives an event at each write is not polled; a barrier, and a look each minute, see it.
#[test]
fn a_tick_passes_over_processes_that_cannot_write_silently() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let output = File::create(&path).unwrap();
    let command = Command::new("cat").stdin(Stdio::piped()).stdout(output).spawn().unwrap();
    let _other = Other(command);
    let (mut silent, start) = (Silent::new(Path::new("/proc")), Instant::now());
    let mut at = |after, barrier| look(&mut silent, &path, start + seconds(after), barrier);
    assert_eq!(at(0, false), [How::Moved], "the first look is at all");
    std::fs::write(&path, b"one").unwrap();
    assert_eq!(at(5, false), []);
    assert_eq!(at(10, true), [How::Moved]);
    std::fs::write(&path, b"other").unwrap();
    assert_eq!(at(69, false), []);
    assert_eq!(at(70, false), [How::Moved]);
    assert_eq!(at(130, false), [How::Again]);
    assert_eq!(at(131, true), []);
    let mut writers = Writers::new(Path::new("/proc"));
    let mut seen = 0;
    let ino = inode(&path);
    writers
        .scan(Depth::Silent, &[device(&path)], &mut |w| {
            let is_other =
                !matches!(w.place, Place::Descriptor { process, .. } if process == std::process::id());
            seen += usize::from(w.ino == ino && is_other);
        })
        .unwrap();
    assert_eq!(seen, 0);
}

/// A mapping that is gone by the next look may have been written meanwhile, though the file is still open.
#[test]
fn a_process_that_lets_go_of_its_mapping_is_told_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, [0; 8192]).unwrap();
    let program = "import mmap, sys\n\
        f = open(sys.argv[1], 'r+b')\n\
        m = mmap.mmap(f.fileno(), 8192)\n\
        print('mapped', flush=True)\n\
        sys.stdin.readline()\n\
        m.close()\n\
        print('unmapped', flush=True)\n\
        sys.stdin.read()\n";
    let mut command = Command::new("python3");
    command.args(["-c", program]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(child) = command.spawn() else { return eprintln!("skipped: no python3") };
    let mut other = Other(child);
    let mut output = std::io::BufReader::new(other.0.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    let (mut silent, start) = (Silent::new(Path::new("/proc")), Instant::now());
    let mut at = |after| look(&mut silent, &path, start + seconds(after), false);
    at(0);
    other.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!(line, "mapped\nunmapped\n");
    assert_eq!(at(5), [How::Again]);
    assert_eq!(at(10), []);
}

/// 10,000 open files of this process and its neighbours. `cargo test --release writers -- --ignored --nocapture`, alone.
#[test]
#[ignore = "a measurement"]
fn a_tick_with_10000_open_files_takes_less_than_25_ms() {
    crate::sys::raise_open_files();
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<File> = (0..10_000).map(|n| read_write(&dir.path().join(n.to_string()))).collect();
    let dev = device(dir.path());
    let mine: BTreeSet<u64> = files.iter().map(|file| file.metadata().unwrap().ino()).collect();
    let measure = |what: &str, barrier: bool| {
        let (mut silent, start) = (Silent::new(Path::new("/proc")), Instant::now());
        let mut times = Vec::new();
        for _ in 0..9 {
            let (cpu, wall) = (crate::sys::thread_cpu().unwrap(), Instant::now());
            let mut in_set = |_, ino| mine.contains(&ino);
            match barrier {
                false => silent.tick(start, &[dev], &mut in_set, &mut |_| {}),
                true => silent.barrier(start, &[dev], &mut in_set, &mut |_| {}),
            }
            .unwrap();
            times.push((crate::sys::thread_cpu().unwrap() - cpu, wall.elapsed()));
        }
        // The first look is at all.
        times.remove(0);
        times.sort();
        println!("{what}: CPU and wall, median {:?}, {:?}", times[4], silent.coverage());
        times[4].0
    };
    let plain = measure("tick, writers with events", false);
    measure("barrier", true);
    let _aio = libaio();
    measure("tick, a process that uses libaio", false);
    assert!(plain < Duration::from_millis(25));
}
